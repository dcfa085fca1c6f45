/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_HALTS_H
#define COLLECTOR_HALTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct fold_view;

/* Which deployments are halted now, for the acknowledgements that gates send: replaced whole
 * when the set changes.  What was read stays valid until halts_free(): old lists are kept,
 * because halts are rare and no reader says when it is done. */
struct halts;

struct halts *halts_new(void);    /* NULL when out of memory */
void halts_free(struct halts *h); /* NULL is fine */

/* Take the set from a view.  One thread at a time. */
void halts_update(struct halts *h, const struct fold_view *v);

/* Any thread.  *version_out changes whenever the set does. */
size_t halts_list(const struct halts *h, const struct text **ids_out, uint64_t *version_out);

#endif
