/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/hostset.h"
#include "collector/ledger/mem.h"
#include "proto/wire.h"

#define BLOCK_ARRAY  1024u /* more members make it a bitmap: to insert into an array would take longer */
#define BLOCK_PACKED 2048u /* more members are packed as one */
#define BLOCK_WORDS  1024u

/* Without members there is no such block. */
struct hostset_block {
	uint32_t word; /* generation */
	uint32_t n;
	uint32_t cap; /* of v; 0: bits */
	union {
		uint16_t *v;
		uint64_t *bits;
	} u;
};

static bool
is_bitmap(const struct hostset_block *b)
{
	return b->cap == 0 && b->n > 0;
}

/* Where x is likely to be among n members of a block: they are about evenly spread. */
static uint32_t
guess16(uint32_t n, uint16_t x)
{
	return x * n >> 16;
}

/* First index in sorted v[0..n) whose value is >= x: from the guess on in steps that double, so that
 * mostly one cache line is looked at, and never more than twice those of halving. */
static uint32_t
lower16(const uint16_t *v, uint32_t n, uint16_t x)
{
	uint32_t at = guess16(n, x), lo = 0, hi = n, step = 15;

	if (n == 0)
		return 0;
	if (v[at] < x) {
		for (lo = at + 1; n - lo > step && v[lo + step] < x; step *= 2)
			lo += step + 1;
		hi = n - lo > step ? lo + step : n;
	} else {
		for (hi = at; hi > step && v[hi - 1 - step] >= x; step *= 2)
			hi -= step + 1;
		lo = hi > step ? hi - step : 0;
	}
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

/* *at_out is where it would be inserted. */
static bool
block_find(const struct hostset_block *b, uint16_t x, uint32_t *at_out)
{
	*at_out = 0;
	if (is_bitmap(b))
		return b->u.bits[x >> 6] >> (x & 63) & 1;
	*at_out = lower16(b->u.v, b->n, x);
	return *at_out < b->n && b->u.v[*at_out] == x;
}

static void
block_to_bits(struct hostset_block *b)
{
	uint64_t *bits = mem_zero(BLOCK_WORDS, sizeof(*bits));

	for (uint32_t i = 0; i < b->n; i++)
		bits[b->u.v[i] >> 6] |= 1ull << (b->u.v[i] & 63);
	free(b->u.v);
	b->u.bits = bits;
	b->cap = 0;
}

/* x is not there yet; `at` is what block_find() said. */
static void
block_insert(struct hostset_block *b, uint32_t at, uint16_t x)
{
	if (!is_bitmap(b) && b->n == BLOCK_ARRAY)
		block_to_bits(b);
	if (is_bitmap(b)) {
		b->u.bits[x >> 6] |= 1ull << (x & 63);
	} else {
		if (b->n == b->cap) {
			uint32_t cap = b->cap > 0 ? b->cap * 2 : 16;

			b->u.v = mem_grow(b->u.v, b->cap, cap, sizeof(*b->u.v));
			b->cap = cap;
		}
		memmove(b->u.v + at + 1, b->u.v + at, (b->n - at) * sizeof(*b->u.v));
		b->u.v[at] = x;
	}
	b->n++;
}

static struct hostset_block *
block_at(struct hostset *set, uint32_t i)
{
	if (i >= set->n_blocks) {
		set->u.blocks = mem_grow(set->u.blocks, set->n_blocks, i + 1, sizeof(*set->u.blocks));
		set->n_blocks = (uint16_t)(i + 1);
	}
	return &set->u.blocks[i];
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
		block_insert(b, b->n, (uint16_t)v[i]);
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
	uint32_t at;

	if (x > HOSTSET_MAX)
		return false;
	if (set->n_blocks == 0)
		return small_add(set, x, s, base);
	b = block_at(set, x >> 16);
	if (block_find(b, (uint16_t)x, &at))
		return false;
	snap_touch(s, &b->word, base + (x >> 16));
	block_insert(b, at, (uint16_t)x);
	set->n++;
	return true;
}

bool
hostset_has(const struct hostset *set, uint32_t x)
{
	uint32_t i;

	if (set->n_blocks > 0)
		return x >> 16 < set->n_blocks && block_find(&set->u.blocks[x >> 16], (uint16_t)x, &i);
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
	b = &set->u.blocks[x >> 16];
	if (step == 0)
		__builtin_prefetch(b);
	else if (is_bitmap(b))
		__builtin_prefetch(&b->u.bits[(x & 0xffff) >> 6]);
	else if (b->n > 0)
		__builtin_prefetch(b->u.v + guess16(b->n, (uint16_t)x));
}

void
hostset_fini(struct hostset *set)
{
	for (uint32_t i = 0; i < set->n_blocks; i++)
		if (is_bitmap(&set->u.blocks[i]))
			free(set->u.blocks[i].u.bits);
		else
			free(set->u.blocks[i].u.v);
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
		if (set->u.blocks[i].n > 0) {
			snap_touch(s, &set->u.blocks[i].word, base + i);
			snap_dropped(s, base + i);
		}
	hostset_fini(set);
}

size_t
hostset_bytes(const struct hostset *set)
{
	size_t n = set->n_blocks * sizeof(struct hostset_block) + set->small_cap * sizeof(uint32_t);

	for (uint32_t i = 0; i < set->n_blocks; i++) {
		const struct hostset_block *b = &set->u.blocks[i];

		n += b->cap * sizeof(*b->u.v) + (is_bitmap(b) ? BLOCK_WORDS * 8 : 0);
	}
	return n;
}

static bool
block_next(const struct hostset_block *b, uint32_t *low)
{
	if (!is_bitmap(b)) {
		uint32_t i = lower16(b->u.v, b->n, (uint16_t)*low);

		if (i == b->n)
			return false;
		*low = b->u.v[i];
		return true;
	}
	for (uint32_t w = *low >> 6; w < BLOCK_WORDS; w++) {
		uint64_t bits = b->u.bits[w];

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
		if (block_next(&set->u.blocks[i], &low)) {
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
	const struct hostset_block *b = block < set->n_blocks ? &set->u.blocks[block] : NULL;
	uint32_t low = 0, last = 0;

	if (b == NULL || b->n == 0)
		return false;
	pack_varint(k, b->n);
	for (uint32_t i = 0; !is_bitmap(b) && i < b->n; i++) {
		pack_varint(k, b->u.v[i] - last);
		last = b->u.v[i];
	}
	if (!is_bitmap(b))
		return true;
	if (b->n > BLOCK_PACKED) {
		for (uint32_t w = 0; w < BLOCK_WORDS; w++)
			pack_u64(k, b->u.bits[w]);
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

	if (reader_failed(r) || block >= set->n_blocks || set->u.blocks[block].n > 0 || n == 0 || n > 65536)
		return false;
	b = block_at(set, block);
	if (n > BLOCK_PACKED) {
		b->u.bits = mem_zero(BLOCK_WORDS, sizeof(uint64_t));
		for (uint32_t w = 0; w < BLOCK_WORDS; w++)
			b->u.bits[w] = reader_u64(r);
		b->n = n;
		return !reader_failed(r);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t step = unpack_u32(r);

		if (reader_failed(r) || step > 0xffff - last || (i > 0 && step == 0))
			return false;
		last += step;
		block_insert(b, b->n, (uint16_t)last);
	}
	return true;
}

bool
hostset_loaded(const struct hostset *set)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < set->n_blocks; i++)
		n += set->u.blocks[i].n;
	return set->n_blocks == 0 || n == set->n;
}

uint32_t *
hostset_word(const struct hostset *set, uint32_t block)
{
	return block < set->n_blocks && set->u.blocks[block].n > 0 ? &set->u.blocks[block].word : NULL;
}
