/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"
#include "collector/ledger/intern.h"
#include "collector/ledger/mem.h"

#define SHIFT    8
#define TEXT_MAX 65535

struct intern_row {
	char *at;
	uint32_t len;
	uint32_t hash;
};

void
intern_init(struct intern *t, uint64_t id)
{
	*t = (struct intern){ 0 };
	table_init(&t->rows, sizeof(struct intern_row), SHIFT, id, false);
}

void
intern_fini(struct intern *t)
{
	for (uint64_t i = 0; i < t->rows.n; i++)
		free(((struct intern_row *)table_at(&t->rows, i))->at);
	table_fini(&t->rows);
	free(t->slots);
}

static void
place(struct intern *t, uint16_t no, uint32_t hash)
{
	uint32_t i = hash & (t->n_slots - 1);

	while (t->slots[i] != 0)
		i = (i + 1) & (t->n_slots - 1);
	t->slots[i] = no;
}

static void
make_room(struct intern *t)
{
	if ((t->rows.n + 1) * 4 <= (uint64_t)t->n_slots * 3)
		return;
	free(t->slots);
	t->n_slots = t->n_slots > 0 ? t->n_slots * 2 : 64;
	t->slots = mem_zero(t->n_slots, sizeof(*t->slots));
	for (uint64_t i = 0; i < t->rows.n; i++)
		place(t, (uint16_t)(i + 1), ((struct intern_row *)table_at(&t->rows, i))->hash);
}

static uint32_t
hash_of(struct text text)
{
	return (uint32_t)hash64(0, text.at, text.len);
}

static uint16_t
find(const struct intern *t, struct text text, uint32_t hash)
{
	if (t->n_slots == 0)
		return 0;
	for (uint32_t i = hash & (t->n_slots - 1); t->slots[i] != 0; i = (i + 1) & (t->n_slots - 1)) {
		const struct intern_row *row = table_at(&t->rows, t->slots[i] - 1u);

		if (row->hash == hash && row->len == text.len && memcmp(row->at, text.at, text.len) == 0)
			return t->slots[i];
	}
	return 0;
}

uint16_t
intern_find(const struct intern *t, struct text text)
{
	return text.len == 0 ? 0 : find(t, text, hash_of(text));
}

static void
set_row(struct intern_row *row, struct text text)
{
	row->at = mem_zero(text.len, 1);
	memcpy(row->at, text.at, text.len);
	row->len = (uint32_t)text.len;
	row->hash = hash_of(text);
}

uint16_t
intern_add(struct intern *t, struct snap *s, struct text text)
{
	uint32_t hash;
	uint16_t no;

	if (text.len == 0)
		return 0;
	hash = hash_of(text);
	no = find(t, text, hash);
	if (no != 0)
		return no;
	if (t->rows.n >= INTERN_MAX || text.len > TEXT_MAX) {
		t->over++;
		return INTERN_OTHER;
	}
	make_room(t);
	set_row(table_add(&t->rows, s, NULL), text);
	no = (uint16_t)t->rows.n;
	place(t, no, hash);
	return no;
}

struct text
intern_text(const struct intern *t, uint16_t no)
{
	const struct intern_row *row;

	if (no == INTERN_OTHER)
		return TEXT("other");
	if (no == 0 || no > t->rows.n)
		return TEXT("");
	row = table_at(&t->rows, no - 1u);
	return (struct text){ row->at, row->len };
}

uint32_t
intern_count(const struct intern *t)
{
	return (uint32_t)t->rows.n;
}

void
intern_pack(const struct intern *t, uint64_t chunk, struct pack *k)
{
	uint64_t from, to;

	table_span(&t->rows, chunk, &from, &to);
	pack_varint(k, to - from);
	for (; from < to; from++)
		pack_text(k, intern_text(t, (uint16_t)(from + 1)));
}

bool
intern_unpack(struct intern *t, uint64_t chunk, struct reader *r)
{
	uint32_t n = unpack_u32(r);
	uint64_t from;

	if (reader_failed(r) || t->rows.n + n > INTERN_MAX || !table_load(&t->rows, chunk, n, &from))
		return false;
	t->rows.n = from; /* rows become visible one by one: place() reads them */
	for (uint32_t i = 0; i < n; i++) {
		struct text text = unpack_text(r, TEXT_MAX);

		make_room(t);
		if (reader_failed(r) || text.len == 0) {
			t->rows.n = from + n; /* the rest stays zero: freeing it is harmless */
			return false;
		}
		set_row(table_at(&t->rows, from + i), text);
		t->rows.n++;
		place(t, (uint16_t)t->rows.n, ((struct intern_row *)table_at(&t->rows, from + i))->hash);
	}
	return true;
}
