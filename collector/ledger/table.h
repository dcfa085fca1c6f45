/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_TABLE_H
#define COLLECTOR_LEDGER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/snap.h"

/* Rows of one size in chunks that never move; appended at the end, dropped in whole
 * chunks at the front.  Row numbers are for ever. */
struct table {
	uint64_t first_chunk; /* chunks before it were dropped */
	uint64_t n;           /* next row number */
	void **chunks;
	uint32_t *words; /* generations */
	size_t cap;
	uint32_t row, shift; /* bytes; log2 of rows a chunk */
	uint64_t id;         /* id of chunk 0; chunk numbers are added */
	bool drops;          /* chunks at the front may go */
};

void table_init(struct table *t, size_t row, unsigned shift, uint64_t id, bool drops);
void table_fini(struct table *t);
void *table_add(struct table *t, struct snap *s, uint64_t *no_out); /* zeroed */

static inline uint64_t
table_first(const struct table *t)
{
	return t->first_chunk << t->shift;
}
static inline bool
table_has(const struct table *t, uint64_t no)
{
	return no < t->n && no >> t->shift >= t->first_chunk;
}
/* The row must exist. */
static inline void *
table_at(const struct table *t, uint64_t no)
{
	return (char *)t->chunks[(no >> t->shift) - t->first_chunk] + (no & ((1u << t->shift) - 1)) * (size_t)t->row;
}
/* The same, about to be changed. */
static inline void *
table_edit(struct table *t, struct snap *s, uint64_t no)
{
	uint64_t c = no >> t->shift;

	snap_touch(s, &t->words[c - t->first_chunk], t->id + c);
	return table_at(t, no);
}

/* Drop the first chunk if all its rows are before `keep`. */
bool table_drop(struct table *t, struct snap *s, uint64_t keep);

uint32_t *table_word(const struct table *t, uint64_t id); /* NULL: no such chunk */
/* Rows of the chunk: [*from, *to). */
void table_span(const struct table *t, uint64_t id, uint64_t *from_out, uint64_t *to_out);
/* While loading, in order: make the chunk with id hold n rows.  False when it cannot. */
bool table_load(struct table *t, uint64_t id, uint32_t n, uint64_t *from_out);
/* After loading: rows end at n.  False when they do not. */
bool table_loaded(struct table *t, uint64_t n);
size_t table_bytes(const struct table *t);

#endif
