/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_TELLING_H
#define COLLECTOR_API_TELLING_H

#include "base/text.h"
#include "collector/api/jsonout.h"
#include "collector/ledger/prose.h"

/* Sentences that pages of the dashboard begin with, beside those of the ledger: put together here, so that a page
 * composes none. */
#define TELLING_SIZE  1024u
#define TELLING_PARTS 24u
struct telling {
	struct prose p;
	char text[TELLING_SIZE];
	struct part parts[TELLING_PARTS];
	uint32_t n_parts;
};

void telling_begin(struct telling *t);
void telling_text(struct telling *t, struct text text, size_t most); /* cut to whole characters */
/* "13 min", "7 min 30 s", "2 h 05 min", "3 d 04 h" */
void telling_span(struct telling *t, uint64_t seconds);
void telling_put(struct jsonout *j, const struct telling *t); /* "summary", "summary_parts" */

#endif
