/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_ADVICE_H
#define COLLECTOR_ADVICE_H

#include <stdint.h>

#include "base/text.h"

struct ledger;

/* What endpoints are told of which signature: the ledger's advice, for the threads of the gates.
 * Replaced whole when it changes. */
struct advice;

struct advice *advice_new(void);    /* NULL when out of memory */
void advice_free(struct advice *a); /* NULL is fine */

/* Take it from the ledger.  On the ledger's thread. */
void advice_update(struct advice *a, const struct ledger *l);

/* Any thread.  The text, then its link on a line of its own; empty: none.  Valid until this thread asks again. */
struct text advice_find(struct advice *a, uint16_t tenant, uint64_t signature);

#endif
