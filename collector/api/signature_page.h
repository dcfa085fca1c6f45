/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_SIGNATURE_PAGE_H
#define COLLECTOR_API_SIGNATURE_PAGE_H

#include "collector/api/call.h"

void signature_page(struct call *c, uint64_t id); /* answer with the page document */

/* signatures.c: the members of the short document, without its head. */
void signature_members(struct jsonout *j, const struct api *a, const struct ledger *l, const struct key_view *k);

/* signature_samples.c: "stack", "dump_samples", "alias_history" out of c->history, a stack of the log when there is
 * none; first and last: positions of reports. */
void signature_samples(struct call *c, const char *state, uint64_t first, uint64_t last);

#endif
