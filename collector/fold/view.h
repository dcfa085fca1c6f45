/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_FOLD_VIEW_H
#define COLLECTOR_FOLD_VIEW_H

#include <stdatomic.h>

#include "collector/fold/fold.h"

/* A published view with its reference count. */
struct shared_view {
	struct fold_view v; /* first: fold_view_put() casts back */
	_Atomic uint32_t refs;
};

/* Build a view of l on the ledger thread.  Top lists are taken over from `before` when it
 * is given and tops is false.  NULL when out of memory. */
struct shared_view *view_build(const struct ledger *l, const struct shared_view *before, bool tops);
void view_free(struct shared_view *v);

#endif
