/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"
#include "collector/ledger/keys.h"
#include "collector/ledger/mem.h"
#include "proto/wire.h"

/* 64-bit fingerprints of keys that gave way to newer ones, in 256 shards of open
 * addressing; 0 is an empty slot. */
struct fingerprint_shard {
	uint32_t word;
	uint32_t n, slots;
	uint64_t *at;
};

void
fingerprints_init(struct keys *k)
{
	k->fingerprints = mem_zero(FINGERPRINT_SHARDS, sizeof(*k->fingerprints));
}

void
fingerprints_fini(struct keys *k)
{
	for (uint32_t i = 0; i < FINGERPRINT_SHARDS; i++)
		free(k->fingerprints[i].at);
	free(k->fingerprints);
}

uint64_t
key_print(uint16_t tenant, uint8_t rung, uint64_t id)
{
	uint64_t p = hash_mix(id ^ hash_mix((uint64_t)tenant << 8 | rung | 1ull << 40));

	return p != 0 ? p : 1;
}

static struct fingerprint_shard *
shard_of(const struct keys *k, uint64_t print)
{
	return &k->fingerprints[print >> 56];
}

static void
place(struct fingerprint_shard *f, uint64_t print)
{
	uint32_t i = (uint32_t)print & (f->slots - 1);

	while (f->at[i] != 0)
		i = (i + 1) & (f->slots - 1);
	f->at[i] = print;
	f->n++;
}

static void
make_room(struct fingerprint_shard *f, uint32_t n)
{
	uint64_t *old = f->at;
	uint32_t slots = f->slots;

	if (n * 4ull <= slots * 3ull)
		return;
	f->slots = slots > 0 ? slots : 16;
	while (n * 4ull > f->slots * 3ull)
		f->slots *= 2;
	f->at = mem_zero(f->slots, sizeof(*f->at));
	f->n = 0;
	for (uint32_t i = 0; i < slots; i++)
		if (old[i] != 0)
			place(f, old[i]);
	free(old);
}

bool
fingerprint_has(const struct keys *k, uint64_t print)
{
	const struct fingerprint_shard *f = shard_of(k, print);

	if (f->slots == 0)
		return false;
	for (uint32_t i = (uint32_t)print & (f->slots - 1); f->at[i] != 0; i = (i + 1) & (f->slots - 1))
		if (f->at[i] == print)
			return true;
	return false;
}

bool
fingerprint_add(struct keys *k, struct snap *s, uint64_t print)
{
	struct fingerprint_shard *f = shard_of(k, print);

	if (fingerprint_has(k, print))
		return true;
	if (k->n_fingerprints >= FINGERPRINT_MAX)
		return false;
	snap_touch(s, &f->word, chunk_id(CHUNK_FINGERPRINTS, 0, (uint32_t)(print >> 56)));
	make_room(f, f->n + 1);
	place(f, print);
	k->n_fingerprints++;
	return true;
}

uint32_t *
fingerprint_word(const struct keys *k, uint64_t id)
{
	uint32_t i = chunk_b(id);

	return i < FINGERPRINT_SHARDS && k->fingerprints[i].n > 0 ? &k->fingerprints[i].word : NULL;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

bool
fingerprint_pack(const struct keys *k, uint64_t id, struct pack *out)
{
	const struct fingerprint_shard *f = &k->fingerprints[chunk_b(id)];
	uint64_t *v;
	uint32_t n = 0;

	if (f->n == 0)
		return false;
	v = mem_zero(f->n, sizeof(*v));
	for (uint32_t i = 0; i < f->slots; i++)
		if (f->at[i] != 0)
			v[n++] = f->at[i];
	qsort(v, n, sizeof(*v), by_value);
	pack_varint(out, n);
	for (uint32_t i = 0; i < n; i++)
		pack_u64(out, v[i]);
	free(v);
	return true;
}

bool
fingerprint_unpack(struct keys *k, uint64_t id, struct reader *r)
{
	struct fingerprint_shard *f = &k->fingerprints[chunk_b(id) % FINGERPRINT_SHARDS];
	size_t n = reader_count(r, wire_varint(r), 8, FINGERPRINT_MAX);

	if (reader_failed(r) || chunk_b(id) >= FINGERPRINT_SHARDS || f->n != 0)
		return false;
	make_room(f, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		uint64_t print = reader_u64(r);

		if (print == 0 || print >> 56 != chunk_b(id))
			return false;
		place(f, print);
	}
	k->n_fingerprints += n;
	return true;
}
