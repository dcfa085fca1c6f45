/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/hostset.h"
#include "collector/ledger/mem.h"
#include "proto/wire.h"

#define BLOCK_ARRAY 2048u /* more members make it a bitmap, which is no larger then */
#define BLOCK_WORDS 1024u

struct hostset_block {
	uint32_t word; /* generation */
	uint32_t n;
	uint32_t cap; /* of v; 0: bits */
	uint16_t *v;
	uint64_t *bits;
};

/* First index in sorted v[0..n) whose value is >= x. */
static uint32_t
lower16(const uint16_t *v, uint32_t n, uint16_t x)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (v[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint32_t
lower32(const uint32_t *v, uint32_t n, uint32_t x)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (v[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- one block ---- */

static bool
block_has(const struct hostset_block *b, uint16_t x)
{
	uint32_t i;

	if (b == NULL)
		return false;
	if (b->bits != NULL)
		return b->bits[x >> 6] >> (x & 63) & 1;
	i = lower16(b->v, b->n, x);
	return i < b->n && b->v[i] == x;
}

static void
block_to_bits(struct hostset_block *b)
{
	b->bits = mem_zero(BLOCK_WORDS, sizeof(uint64_t));
	for (uint32_t i = 0; i < b->n; i++)
		b->bits[b->v[i] >> 6] |= 1ull << (b->v[i] & 63);
	free(b->v);
	b->v = NULL;
	b->cap = 0;
}

/* x is not there yet. */
static void
block_add(struct hostset_block *b, uint16_t x)
{
	if (b->bits == NULL && b->n == BLOCK_ARRAY)
		block_to_bits(b);
	if (b->bits != NULL) {
		b->bits[x >> 6] |= 1ull << (x & 63);
	} else {
		uint32_t i = lower16(b->v, b->n, x);

		if (b->n == b->cap) {
			uint32_t cap = b->cap > 0 ? b->cap * 2 : 16;

			b->v = mem_grow(b->v, b->cap, cap, sizeof(*b->v));
			b->cap = cap;
		}
		memmove(b->v + i + 1, b->v + i, (b->n - i) * sizeof(*b->v));
		b->v[i] = x;
	}
	b->n++;
}

static void
block_free(struct hostset_block *b)
{
	if (b == NULL)
		return;
	free(b->v);
	free(b->bits);
	free(b);
}

static struct hostset_block *
block_at(struct hostset *set, uint32_t i)
{
	if (i >= set->n_blocks) {
		set->u.blocks = mem_grow(set->u.blocks, set->n_blocks, i + 1, sizeof(*set->u.blocks));
		set->n_blocks = (uint16_t)(i + 1);
	}
	if (set->u.blocks[i] == NULL)
		set->u.blocks[i] = mem_zero(1, sizeof(struct hostset_block));
	return set->u.blocks[i];
}

/* ---- the set ---- */

/* The last block number, 65,535, cannot be counted in n_blocks: host numbers end before it. */
#define HOSTSET_MAX 0xfffeffffu

static const uint32_t *
members(const struct hostset *set)
{
	return set->small_cap > 0 ? set->u.small : set->u.inl;
}

static void
to_blocks(struct hostset *set, struct snap *s, uint64_t base)
{
	uint32_t v[HOSTSET_SMALL], n = set->n;

	memcpy(v, set->u.small, n * sizeof(*v));
	free(set->u.small);
	set->small_cap = 0;
	set->u.blocks = NULL;
	for (uint32_t i = 0; i < n; i++) {
		struct hostset_block *b = block_at(set, v[i] >> 16);

		snap_touch(s, &b->word, base + (v[i] >> 16));
		block_add(b, (uint16_t)v[i]);
	}
}

static void
grow_small(struct hostset *set)
{
	if (set->small_cap == 0) {
		uint32_t *v = mem_zero(4, sizeof(*v));

		memcpy(v, set->u.inl, sizeof(set->u.inl));
		set->u.small = v;
		set->small_cap = 4;
	} else {
		set->u.small = mem_grow(set->u.small, set->small_cap, set->small_cap * 2u, sizeof(uint32_t));
		set->small_cap = (uint16_t)(set->small_cap * 2);
	}
}

/* At index i, found by lower32(). */
static void
small_insert(struct hostset *set, uint32_t i, uint32_t x)
{
	uint32_t *v = set->small_cap > 0 ? set->u.small : set->u.inl;

	memmove(v + i + 1, v + i, (set->n - i) * sizeof(*v));
	v[i] = x;
	set->n++;
}

/* Add to a set without blocks; false: it was there. */
static bool
small_add(struct hostset *set, uint32_t x, struct snap *s, uint64_t base)
{
	uint32_t i = lower32(members(set), set->n, x);

	if (i < set->n && members(set)[i] == x)
		return false;
	if (set->n == (set->small_cap > 0 ? set->small_cap : 2u)) {
		if (set->n >= HOSTSET_SMALL) {
			to_blocks(set, s, base);
			return hostset_add(set, x, s, base);
		}
		grow_small(set);
	}
	small_insert(set, i, x);
	return true;
}

bool
hostset_add(struct hostset *set, uint32_t x, struct snap *s, uint64_t base)
{
	struct hostset_block *b;

	if (x > HOSTSET_MAX)
		return false;
	if (set->n_blocks == 0)
		return small_add(set, x, s, base);
	if (hostset_has(set, x))
		return false;
	b = block_at(set, x >> 16);
	snap_touch(s, &b->word, base + (x >> 16));
	block_add(b, (uint16_t)x);
	set->n++;
	return true;
}

bool
hostset_has(const struct hostset *set, uint32_t x)
{
	uint32_t i;

	if (set->n_blocks > 0)
		return x >> 16 < set->n_blocks && block_has(set->u.blocks[x >> 16], (uint16_t)x);
	i = lower32(members(set), set->n, x);
	return i < set->n && members(set)[i] == x;
}

void
hostset_prefetch(const struct hostset *set, uint32_t x, int step)
{
	const struct hostset_block *b;

	if (set->n_blocks == 0) {
		if (set->small_cap > 0 && step == 0)
			__builtin_prefetch(set->u.small + set->n / 2);
		return;
	}
	if (x >> 16 >= set->n_blocks)
		return;
	if (step == 0) {
		__builtin_prefetch(&set->u.blocks[x >> 16]);
		return;
	}
	b = set->u.blocks[x >> 16];
	if (b == NULL)
		return;
	if (step == 1)
		__builtin_prefetch(b);
	else if (b->bits != NULL)
		__builtin_prefetch(&b->bits[(x & 0xffff) >> 6]);
	else
		__builtin_prefetch(b->v + b->n / 2);
}

void
hostset_fini(struct hostset *set)
{
	for (uint32_t i = 0; i < set->n_blocks; i++)
		block_free(set->u.blocks[i]);
	if (set->n_blocks > 0)
		free(set->u.blocks);
	else if (set->small_cap > 0)
		free(set->u.small);
	*set = (struct hostset){ 0 };
}

void
hostset_drop(struct hostset *set, struct snap *s, uint64_t base)
{
	for (uint32_t i = 0; i < set->n_blocks; i++)
		if (set->u.blocks[i] != NULL) {
			snap_touch(s, &set->u.blocks[i]->word, base + i);
			snap_dropped(s, base + i);
		}
	hostset_fini(set);
}

size_t
hostset_bytes(const struct hostset *set)
{
	size_t n = set->n_blocks * sizeof(void *) + set->small_cap * sizeof(uint32_t);

	for (uint32_t i = 0; i < set->n_blocks; i++) {
		const struct hostset_block *b = set->u.blocks[i];

		if (b != NULL)
			n += sizeof(*b) + b->cap * sizeof(*b->v) + (b->bits != NULL ? BLOCK_WORDS * 8 : 0);
	}
	return n;
}

static bool
block_next(const struct hostset_block *b, uint32_t *low)
{
	if (b->bits == NULL) {
		uint32_t i = lower16(b->v, b->n, (uint16_t)*low);

		if (i == b->n)
			return false;
		*low = b->v[i];
		return true;
	}
	for (uint32_t w = *low >> 6; w < BLOCK_WORDS; w++) {
		uint64_t bits = b->bits[w];

		if (w == *low >> 6)
			bits &= ~0ull << (*low & 63);
		if (bits != 0) {
			*low = w << 6 | (uint32_t)__builtin_ctzll(bits);
			return true;
		}
	}
	return false;
}

bool
hostset_next(const struct hostset *set, uint32_t *x)
{
	uint32_t i, low;

	if (set->n_blocks == 0) {
		i = lower32(members(set), set->n, *x);
		if (i == set->n)
			return false;
		*x = members(set)[i];
		return true;
	}
	low = *x & 0xffff;
	for (i = *x >> 16; i < set->n_blocks; i++, low = 0)
		if (set->u.blocks[i] != NULL && block_next(set->u.blocks[i], &low)) {
			*x = i << 16 | low;
			return true;
		}
	return false;
}

/* ---- snapshot ---- */

void
hostset_pack(const struct hostset *set, struct pack *k)
{
	uint32_t last = 0;

	pack_varint(k, set->n_blocks);
	pack_varint(k, set->n);
	for (uint32_t i = 0; set->n_blocks == 0 && i < set->n; i++) {
		pack_varint(k, members(set)[i] - last);
		last = members(set)[i];
	}
}

bool
hostset_unpack(struct hostset *set, struct reader *r)
{
	uint32_t blocks = unpack_u32(r), n = unpack_u32(r), last = 0;

	if (blocks > UINT16_MAX || (blocks == 0 && n > HOSTSET_SMALL))
		reader_fail(r, ERR_MALFORMED, "set of hosts");
	if (reader_failed(r))
		return false;
	*set = (struct hostset){ 0 };
	if (blocks > 0) {
		set->u.blocks = mem_zero(blocks, sizeof(*set->u.blocks));
		set->n_blocks = (uint16_t)blocks;
		set->n = n;
		return true;
	}
	for (uint32_t i = 0; i < n; i++) {
		last += unpack_u32(r);
		if (reader_failed(r) || !hostset_add(set, last, NULL, 0)) {
			reader_fail(r, ERR_MALFORMED, "members of a set of hosts");
			return false;
		}
	}
	return true;
}

bool
hostset_pack_block(const struct hostset *set, uint32_t block, struct pack *k)
{
	const struct hostset_block *b = block < set->n_blocks ? set->u.blocks[block] : NULL;
	uint32_t low = 0, last = 0;

	if (b == NULL)
		return false;
	pack_varint(k, b->n);
	if (b->bits != NULL) {
		for (uint32_t w = 0; w < BLOCK_WORDS; w++)
			pack_u64(k, b->bits[w]);
		return true;
	}
	while (low <= 0xffff && block_next(b, &low)) {
		pack_varint(k, low - last);
		last = low++;
	}
	return true;
}

bool
hostset_unpack_block(struct hostset *set, uint32_t block, struct reader *r)
{
	uint32_t n = unpack_u32(r), last = 0;
	struct hostset_block *b;

	if (reader_failed(r) || block >= set->n_blocks || set->u.blocks[block] != NULL || n == 0 || n > 65536)
		return false;
	b = block_at(set, block);
	if (n > BLOCK_ARRAY) {
		b->bits = mem_zero(BLOCK_WORDS, sizeof(uint64_t));
		for (uint32_t w = 0; w < BLOCK_WORDS; w++)
			b->bits[w] = reader_u64(r);
		b->n = n;
		return !reader_failed(r);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t step = unpack_u32(r);

		if (reader_failed(r) || step > 0xffff - last || (i > 0 && step == 0))
			return false;
		last += step;
		block_add(b, (uint16_t)last);
	}
	return true;
}

bool
hostset_loaded(const struct hostset *set)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < set->n_blocks; i++)
		n += set->u.blocks[i] != NULL ? set->u.blocks[i]->n : 0;
	return set->n_blocks == 0 || n == set->n;
}

uint32_t *
hostset_word(const struct hostset *set, uint32_t block)
{
	return block < set->n_blocks && set->u.blocks[block] != NULL ? &set->u.blocks[block]->word : NULL;
}
