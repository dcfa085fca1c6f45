/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/mem.h"
#include "collector/ledger/table.h"

void
table_init(struct table *t, size_t row, unsigned shift, uint64_t id, bool drops)
{
	*t = (struct table){ .row = (uint32_t)row, .shift = shift, .id = id, .drops = drops };
}

static uint64_t
n_chunks(const struct table *t)
{
	return ((t->n + (1u << t->shift) - 1) >> t->shift) - t->first_chunk;
}

void
table_fini(struct table *t)
{
	uint64_t n = t->n > table_first(t) ? n_chunks(t) : 0;

	for (uint64_t i = 0; i < n; i++)
		free(t->chunks[i]);
	free(t->chunks);
	free(t->words);
	*t = (struct table){ 0 };
}

static void
add_chunk(struct table *t, uint64_t at)
{
	if (at == t->cap) {
		size_t cap = t->cap > 0 ? t->cap * 2 : 4;

		t->chunks = mem_grow(t->chunks, t->cap, cap, sizeof(*t->chunks));
		t->words = mem_grow(t->words, t->cap, cap, sizeof(*t->words));
		t->cap = cap;
	}
	t->chunks[at] = mem_zero((size_t)1 << t->shift, t->row);
	t->words[at] = 0;
}

void *
table_add(struct table *t, struct snap *s, uint64_t *no_out)
{
	uint64_t no = t->n, chunk = no >> t->shift;

	if ((no & ((1u << t->shift) - 1)) == 0)
		add_chunk(t, chunk - t->first_chunk);
	snap_touch(s, &t->words[chunk - t->first_chunk], t->id + chunk);
	t->n++;
	if (no_out != NULL)
		*no_out = no;
	return table_at(t, no);
}

bool
table_drop(struct table *t, struct snap *s, uint64_t keep)
{
	uint64_t n = n_chunks(t), end = (t->first_chunk + 1) << t->shift;

	if (t->n < end || keep < end)
		return false;
	snap_touch(s, &t->words[0], t->id + t->first_chunk);
	snap_dropped(s, t->id + t->first_chunk);
	free(t->chunks[0]);
	memmove(t->chunks, t->chunks + 1, (n - 1) * sizeof(*t->chunks));
	memmove(t->words, t->words + 1, (n - 1) * sizeof(*t->words));
	t->first_chunk++;
	return true;
}

uint32_t *
table_word(const struct table *t, uint64_t id)
{
	uint64_t c = id - t->id;

	return c >= t->first_chunk && c << t->shift < t->n ? &t->words[c - t->first_chunk] : NULL;
}

void
table_span(const struct table *t, uint64_t id, uint64_t *from_out, uint64_t *to_out)
{
	uint64_t c = id - t->id;

	*from_out = c << t->shift;
	*to_out = (c + 1) << t->shift < t->n ? (c + 1) << t->shift : t->n;
}

bool
table_load(struct table *t, uint64_t id, uint32_t n, uint64_t *from_out)
{
	uint64_t c = id - t->id;

	if (n == 0 || n > 1u << t->shift || c > UINT32_MAX)
		return false;
	if (t->n == 0 && t->drops)
		t->first_chunk = c;
	else if (t->n != c << t->shift)
		return false; /* a chunk is missing, or the one before is not full */
	add_chunk(t, c - t->first_chunk);
	t->n = (c << t->shift) + n;
	*from_out = c << t->shift;
	return true;
}

bool
table_loaded(struct table *t, uint64_t n)
{
	if (t->n == 0 && t->drops && (n & ((1u << t->shift) - 1)) == 0 && n >> t->shift <= UINT32_MAX) {
		t->n = n; /* all dropped */
		t->first_chunk = n >> t->shift;
	}
	return t->n == n;
}

size_t
table_bytes(const struct table *t)
{
	return (t->n > table_first(t) ? n_chunks(t) : 0) * (((size_t)t->row << t->shift) + 16) +
	       t->cap * (sizeof(void *) + sizeof(uint32_t));
}
