/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/recent.h"

#define SHIFT 12

struct recent_row {
	uint64_t key, pos;
	uint32_t at_s;
};

void
recent_init(struct recent *t, uint64_t id, uint32_t age_s, uint64_t cap)
{
	*t = (struct recent){ .age_s = age_s, .cap = cap };
	table_init(&t->rows, sizeof(struct recent_row), SHIFT, id, true);
}

void
recent_fini(struct recent *t)
{
	table_fini(&t->rows);
	free(t->slots);
}

static const struct recent_row *
row_at(const struct recent *t, uint64_t no)
{
	return table_at(&t->rows, no);
}

/* A slot holds row number modulo 2^32 - 1, plus 1; 0 is empty.  Rows alive span less. */
#define SLOT_MOD 0xffffffffull

static uint64_t
slot_row(const struct recent *t, uint32_t slot)
{
	uint64_t m = slot - 1u, f = t->first % SLOT_MOD;

	return t->first + (m >= f ? m - f : m + SLOT_MOD - f);
}

static uint32_t
slot_of(uint64_t row)
{
	return (uint32_t)(row % SLOT_MOD) + 1;
}

static uint32_t
home(const struct recent *t, uint64_t key)
{
	return (uint32_t)hash_mix(key) & (t->n_slots - 1);
}

static void
place(struct recent *t, uint64_t row)
{
	uint32_t i = home(t, row_at(t, row)->key);

	while (t->slots[i] != 0)
		i = (i + 1) & (t->n_slots - 1);
	t->slots[i] = slot_of(row);
}

static void
make_room(struct recent *t)
{
	uint64_t n = t->rows.n - t->first;

	if ((n + 1) * 4 <= (uint64_t)t->n_slots * 3)
		return;
	free(t->slots);
	t->n_slots = t->n_slots > 0 ? t->n_slots * 2 : 64;
	t->slots = mem_zero(t->n_slots, sizeof(*t->slots));
	for (uint64_t i = t->first; i < t->rows.n; i++)
		place(t, i);
}

bool
recent_find(const struct recent *t, uint64_t key, uint64_t *pos_out)
{
	if (t->n_slots == 0)
		return false;
	for (uint32_t i = home(t, key); t->slots[i] != 0; i = (i + 1) & (t->n_slots - 1)) {
		const struct recent_row *row = row_at(t, slot_row(t, t->slots[i]));

		if (row->key == key) {
			*pos_out = row->pos;
			return true;
		}
	}
	return false;
}

void
recent_prefetch(const struct recent *t, uint64_t key)
{
	if (t->n_slots > 0)
		__builtin_prefetch(&t->slots[home(t, key)]);
}

/* Take one row out of the index, closing the hole (no tombstones). */
static void
unplace(struct recent *t, uint64_t row)
{
	uint32_t mask = t->n_slots - 1, i = home(t, row_at(t, row)->key), hole;

	while (t->slots[i] != slot_of(row))
		i = (i + 1) & mask;
	hole = i;
	for (;;) {
		uint32_t want;

		i = (i + 1) & mask;
		if (t->slots[i] == 0)
			break;
		want = home(t, row_at(t, slot_row(t, t->slots[i]))->key);
		if (((i - want) & mask) >= ((i - hole) & mask)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole] = 0;
}

static void
drop_first(struct recent *t, struct snap *s)
{
	unplace(t, t->first);
	t->first++;
	table_drop(&t->rows, s, t->first);
}

void
recent_expire(struct recent *t, struct snap *s, uint32_t now_s)
{
	while (t->first < t->rows.n && (uint64_t)row_at(t, t->first)->at_s + t->age_s < now_s)
		drop_first(t, s);
}

void
recent_add(struct recent *t, struct snap *s, uint64_t key, uint64_t pos, uint32_t now_s)
{
	struct recent_row *row;

	if (t->rows.n - t->first >= t->cap) {
		drop_first(t, s);
		t->dropped_early++;
	}
	make_room(t);
	row = table_add(&t->rows, s, NULL);
	*row = (struct recent_row){ key, pos, now_s };
	place(t, t->rows.n - 1);
}

void
recent_pack(const struct recent *t, uint64_t chunk, struct pack *k)
{
	uint64_t from, to;

	table_span(&t->rows, chunk, &from, &to);
	pack_varint(k, to - from);
	for (; from < to; from++) {
		const struct recent_row *row = row_at(t, from);

		pack_u64(k, row->key);
		pack_u64(k, row->pos);
		pack_u32(k, row->at_s);
	}
}

bool
recent_unpack(struct recent *t, uint64_t chunk, struct reader *r)
{
	uint32_t n = unpack_u32(r);
	uint64_t from;

	if (reader_failed(r) || !table_load(&t->rows, chunk, n, &from))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct recent_row *row = table_at(&t->rows, from + i);

		row->key = reader_u64(r);
		row->pos = reader_u64(r);
		row->at_s = reader_u32(r);
	}
	return !reader_failed(r);
}

bool
recent_loaded(struct recent *t, uint64_t first, uint64_t n)
{
	if (!table_loaded(&t->rows, n) || first < table_first(&t->rows) || first > n)
		return false;
	t->first = first;
	free(t->slots);
	t->slots = NULL;
	t->n_slots = 64;
	while ((n - first + 1) * 4 > (uint64_t)t->n_slots * 3)
		t->n_slots *= 2;
	t->slots = mem_zero(t->n_slots, sizeof(*t->slots));
	for (uint64_t i = first; i < n; i++)
		place(t, i);
	return true;
}
