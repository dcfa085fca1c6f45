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

/* Tell o->advised, if notes are newer than *heard. */
static inline void
fold_tell_notes(const struct fold_options *o, const struct ledger *l, uint64_t *heard)
{
	if (o->advised != NULL && ledger_notes_version(l) != *heard)
		o->advised(o->arg, l);
	*heard = ledger_notes_version(l);
}

#endif
