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
	free(t->old);
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
home(uint64_t key, uint32_t n_slots)
{
	return (uint32_t)hash_mix(key) & (n_slots - 1);
}

static void
place(struct recent *t, uint64_t row)
{
	uint32_t i = home(row_at(t, row)->key, t->n_slots);

	while (t->slots[i] != 0)
		i = (i + 1) & (t->n_slots - 1);
	t->slots[i] = slot_of(row);
}

/* The index grows without a stop: a larger one begins empty, and each row added takes a few of the old one along.
 * The old one is only read: rows dropped since are told by their numbers. */
#define MOVED_AT_ONCE 2u

static void
move_some(struct recent *t, uint32_t n)
{
	for (; n > 0 && t->old != NULL; n--) {
		uint32_t slot = t->old[t->n_moved++];
		uint64_t row = slot != 0 ? slot_row(t, slot) : UINT64_MAX;

		if (row < t->rows.n)
			place(t, row);
		if (t->n_moved < t->n_old)
			continue;
		free(t->old);
		t->old = NULL;
		t->n_old = t->n_moved = 0;
	}
}

static void
make_room(struct recent *t)
{
	uint64_t n = t->rows.n - t->first;

	move_some(t, MOVED_AT_ONCE);
	if ((n + 1) * 4 <= (uint64_t)t->n_slots * 3)
		return;
	move_some(t, UINT32_MAX); /* none: the larger one takes longer to fill */
	t->old = t->slots;
	t->n_old = t->n_slots;
	t->n_slots = t->n_slots > 0 ? t->n_slots * 2 : 64;
	t->slots = mem_zero(t->n_slots, sizeof(*t->slots));
}

/* The oldest row of that key in an index, or UINT64_MAX. */
static uint64_t
oldest(const struct recent *t, const uint32_t *slots, uint32_t n_slots, uint64_t key)
{
	uint64_t best = UINT64_MAX;

	if (n_slots == 0)
		return best;
	for (uint32_t i = home(key, n_slots); slots[i] != 0; i = (i + 1) & (n_slots - 1)) {
		uint64_t row = slot_row(t, slots[i]);

		if (row < t->rows.n && row < best && row_at(t, row)->key == key)
			best = row;
	}
	return best;
}

bool
recent_find(const struct recent *t, uint64_t key, uint64_t *pos_out)
{
	uint64_t row = oldest(t, t->slots, t->n_slots, key), old = oldest(t, t->old, t->n_old, key);

	row = old < row ? old : row;
	if (row == UINT64_MAX)
		return false;
	*pos_out = row_at(t, row)->pos;
	return true;
}

void
recent_prefetch(const struct recent *t, uint64_t key)
{
	if (t->n_slots > 0)
		__builtin_prefetch(&t->slots[home(key, t->n_slots)]);
}

/* Take one row out of the index, closing the hole (no tombstones). */
static void
unplace(struct recent *t, uint64_t row)
{
	uint32_t mask = t->n_slots - 1, i = home(row_at(t, row)->key, t->n_slots), hole;

	for (; t->slots[i] != slot_of(row); i = (i + 1) & mask)
		if (t->slots[i] == 0)
			return; /* still in the old one */
	hole = i;
	for (;;) {
		uint32_t want;

		i = (i + 1) & mask;
		if (t->slots[i] == 0)
			break;
		want = home(row_at(t, slot_row(t, t->slots[i]))->key, t->n_slots);
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
	free(t->old);
	t->old = NULL;
	t->n_old = t->n_moved = 0;
	t->n_slots = 64;
	while ((n - first + 1) * 4 > (uint64_t)t->n_slots * 3)
		t->n_slots *= 2;
	t->slots = mem_zero(t->n_slots, sizeof(*t->slots));
	for (uint64_t i = first; i < n; i++)
		place(t, i);
	return true;
}
