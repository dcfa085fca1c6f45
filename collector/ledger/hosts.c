/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>

#include "base/hash.h"
#include "collector/ledger/hosts.h"
#include "collector/ledger/ledger.h"
#include "collector/ledger/mem.h"
#include "proto/wire.h"

#define SHARDS     256u
#define SHARD_MIN  16u
#define SIDE_SHIFT 8

/* One index array: slots, then tags, in one allocation.  Readers on other threads see
 * it through an atomic pointer; a tag is stored after its slot. */
struct host_index {
	uint32_t n;            /* power of two */
	_Atomic uint8_t *tags; /* 0: empty */
	_Atomic uint32_t slots[];
};
struct host_shard {
	_Atomic(struct host_index *) index;
	uint32_t used;
};
struct host_retired {
	struct host_retired *next;
	struct host_index *index;
	uint64_t epoch;
};
struct host_map_reader {
	struct host_map_reader *next;
	struct hosts *h;
	_Atomic uint64_t in; /* epoch while inside a lookup, else 0 */
};

static uint64_t
key_of(uint16_t tenant, uint64_t hash)
{
	return hash_mix(hash + (uint64_t)tenant * 0x9e3779b97f4a7c15ull);
}
static uint32_t
shard_of(uint64_t key)
{
	return (uint32_t)(key >> 56);
}
static uint8_t
tag_of(uint64_t key)
{
	uint8_t t = (uint8_t)(key >> 48);

	return t != 0 ? t : 1;
}

static struct host_index *
index_new(struct hosts *h, uint32_t n)
{
	size_t size = sizeof(struct host_index) + n * 5ul;
	struct host_index *x = mem_zero(1, size);

	x->n = n;
	x->tags = (_Atomic uint8_t *)(x->slots + n);
	h->index_bytes += size;
	return x;
}

static void
index_free(struct hosts *h, struct host_index *x)
{
	h->index_bytes -= sizeof(struct host_index) + x->n * 5ul;
	free(x);
}

void
hosts_init(struct hosts *h)
{
	*h = (struct hosts){ .epoch = 1, .n_intervals = 1 };
	/* 8 MB of address space, of which only what is used becomes memory */
	h->chunks = mem_zero(HOST_MAX >> HOST_CHUNK_SHIFT, sizeof(*h->chunks));
	h->shards = mem_zero(SHARDS, sizeof(*h->shards));
	for (uint32_t i = 0; i < SHARDS; i++)
		atomic_init(&h->shards[i].index, index_new(h, SHARD_MIN));
	table_init(&h->side, sizeof(struct host_side), SIDE_SHIFT, chunk_id(CHUNK_SIDE, 0, 0), false);
	h->readers_lock = mem_zero(1, sizeof(pthread_mutex_t));
	pthread_mutex_init(h->readers_lock, NULL);
}

void
hosts_fini(struct hosts *h)
{
	for (uint32_t c = 0; c << HOST_CHUNK_SHIFT < h->n; c += HOST_SLAB)
		free(h->chunks[c]);
	free(h->chunks);
	free(h->words_cold);
	free(h->words_seen);
	free(h->due);
	for (uint32_t i = 0; i < SHARDS; i++)
		free(atomic_load(&h->shards[i].index));
	while (h->retired != NULL) {
		struct host_retired *r = h->retired;

		h->retired = r->next;
		free(r->index);
		free(r);
	}
	free(h->shards);
	table_fini(&h->side);
	free(h->side_slots);
	pthread_mutex_destroy(h->readers_lock);
	free(h->readers_lock);
}

/* ---- lookup ---- */

static bool
is_host(const struct hosts *h, uint32_t no, uint16_t tenant, uint64_t hash)
{
	const struct host_chunk *c = host_chunk(h, no);

	return atomic_load_explicit(&c->hash[HOST_AT(no)], memory_order_relaxed) == hash &&
	       atomic_load_explicit(&c->tenant[HOST_AT(no)], memory_order_relaxed) == tenant;
}

static uint32_t
find(const struct hosts *h, uint16_t tenant, uint64_t hash, uint64_t key)
{
	const struct host_index *x = atomic_load_explicit(&h->shards[shard_of(key)].index, memory_order_acquire);
	uint8_t want = tag_of(key), tag;

	for (uint32_t i = (uint32_t)key & (x->n - 1);; i = (i + 1) & (x->n - 1)) {
		tag = atomic_load_explicit(&x->tags[i], memory_order_acquire);
		if (tag == 0)
			return UINT32_MAX;
		if (tag == want) {
			uint32_t no = atomic_load_explicit(&x->slots[i], memory_order_relaxed);

			if (is_host(h, no, tenant, hash))
				return no;
		}
	}
}

uint32_t
hosts_find(const struct hosts *h, uint16_t tenant, uint64_t hash)
{
	return find(h, tenant, hash, key_of(tenant, hash));
}

void
hosts_prefetch_index(const struct hosts *h, uint16_t tenant, uint64_t hash)
{
	uint64_t key = key_of(tenant, hash);
	const struct host_index *x = atomic_load_explicit(&h->shards[shard_of(key)].index, memory_order_relaxed);
	uint32_t i = (uint32_t)key & (x->n - 1);

	__builtin_prefetch(&x->tags[i]);
	__builtin_prefetch(&x->slots[i]);
}

void
hosts_prefetch_row(const struct hosts *h, uint16_t tenant, uint64_t hash)
{
	uint64_t key = key_of(tenant, hash);
	const struct host_index *x = atomic_load_explicit(&h->shards[shard_of(key)].index, memory_order_relaxed);
	uint32_t i = (uint32_t)key & (x->n - 1), no = atomic_load_explicit(&x->slots[i], memory_order_relaxed);
	const struct host_chunk *c;

	if (no >= h->n)
		return;
	c = host_chunk(h, no);
	no = HOST_AT(no);
	__builtin_prefetch(&c->hash[no]);
	__builtin_prefetch(&c->tenant[no]);
	__builtin_prefetch(&c->last_seen[no]);
	__builtin_prefetch(&c->first_seen[no]);
	__builtin_prefetch(&c->boot[no]);
	__builtin_prefetch(&c->site[no]);
	__builtin_prefetch(&c->stratum[no]);
	__builtin_prefetch(&c->interval[no]);
	__builtin_prefetch(&c->flags[no]);
}

/* ---- insertion ---- */

static void
place(struct host_index *x, uint64_t key, uint32_t no)
{
	uint32_t i = (uint32_t)key & (x->n - 1);

	while (atomic_load_explicit(&x->tags[i], memory_order_relaxed) != 0)
		i = (i + 1) & (x->n - 1);
	atomic_store_explicit(&x->slots[i], no, memory_order_relaxed);
	atomic_store_explicit(&x->tags[i], tag_of(key), memory_order_release);
}

static uint64_t
key_of_host(const struct hosts *h, uint32_t no)
{
	const struct host_chunk *c = host_chunk(h, no);

	return key_of(atomic_load_explicit(&c->tenant[HOST_AT(no)], memory_order_relaxed),
		      atomic_load_explicit(&c->hash[HOST_AT(no)], memory_order_relaxed));
}

/* Free retired arrays that no reader can be in any more. */
static void
reclaim(struct hosts *h)
{
	uint64_t oldest = UINT64_MAX;
	struct host_retired **p = &h->retired;

	pthread_mutex_lock(h->readers_lock);
	for (struct host_map_reader *r = h->readers; r != NULL; r = r->next) {
		uint64_t in = atomic_load(&r->in);

		if (in != 0 && in < oldest)
			oldest = in;
	}
	pthread_mutex_unlock(h->readers_lock);
	while (*p != NULL)
		if ((*p)->epoch < oldest) {
			struct host_retired *gone = *p;

			*p = gone->next;
			index_free(h, gone->index);
			free(gone);
		} else {
			p = &(*p)->next;
		}
}

static void
grow(struct hosts *h, struct host_shard *shard)
{
	struct host_index *old = atomic_load_explicit(&shard->index, memory_order_relaxed);
	struct host_index *x = index_new(h, old->n * 2);
	struct host_retired *r;

	for (uint32_t i = 0; i < old->n; i++)
		if (atomic_load_explicit(&old->tags[i], memory_order_relaxed) != 0) {
			uint32_t no = atomic_load_explicit(&old->slots[i], memory_order_relaxed);

			place(x, key_of_host(h, no), no);
		}
	atomic_store(&shard->index, x);
	r = mem_zero(1, sizeof(*r));
	*r = (struct host_retired){ h->retired, old, atomic_fetch_add(&h->epoch, 1) };
	h->retired = r;
	reclaim(h);
}

static void
insert(struct hosts *h, uint64_t key, uint32_t no)
{
	struct host_shard *shard = &h->shards[shard_of(key)];
	struct host_index *x = atomic_load_explicit(&shard->index, memory_order_relaxed);

	if ((shard->used + 1) * 4ull > x->n * 3ull) {
		grow(h, shard);
		x = atomic_load_explicit(&shard->index, memory_order_relaxed);
	}
	place(x, key, no);
	shard->used++;
}

void
hosts_make_chunk(struct hosts *h, uint32_t c)
{
	if (c >= h->words_cap) {
		size_t cap = h->words_cap > 0 ? h->words_cap * 2 : 64;

		h->words_cold = mem_grow(h->words_cold, h->words_cap, cap, sizeof(uint32_t));
		h->words_seen = mem_grow(h->words_seen, h->words_cap, cap, sizeof(uint32_t));
		h->due = mem_grow(h->due, h->words_cap, cap, sizeof(uint32_t));
		h->words_cap = cap;
	}
	if (c % HOST_SLAB == 0) {
		struct host_chunk *slab = mem_zero(HOST_SLAB, sizeof(*slab));

		for (uint32_t i = 0; i < HOST_SLAB; i++)
			h->chunks[c + i] = slab + i;
	}
}

uint32_t
hosts_add(struct hosts *h, struct snap *s, uint16_t tenant, uint64_t hash)
{
	uint32_t no = h->n;
	struct host_chunk *c;

	if (no >= HOST_MAX)
		return UINT32_MAX;
	if (HOST_AT(no) == 0)
		hosts_make_chunk(h, no >> HOST_CHUNK_SHIFT);
	hosts_edit_seen(h, s, no);
	c = hosts_edit(h, s, no);
	atomic_store_explicit(&c->hash[HOST_AT(no)], hash, memory_order_relaxed);
	atomic_store_explicit(&c->tenant[HOST_AT(no)], tenant, memory_order_relaxed);
	h->n++;
	insert(h, key_of(tenant, hash), no);
	return no;
}

struct host_chunk *
hosts_edit(struct hosts *h, struct snap *s, uint32_t no)
{
	uint32_t c = no >> HOST_CHUNK_SHIFT;

	snap_touch(s, &h->words_cold[c], chunk_id(CHUNK_HOSTS, 0, c));
	return h->chunks[c];
}

uint8_t
hosts_interval_number(struct hosts *h, uint32_t seconds)
{
	uint32_t s = seconds < UINT16_MAX ? seconds : UINT16_MAX, best = 1;

	if (s == 0)
		return 0;
	for (uint32_t i = 1; i < h->n_intervals; i++) {
		if (h->intervals[i] == s)
			return (uint8_t)i;
		if (h->intervals[best] < s ? h->intervals[i] > h->intervals[best]
					   : h->intervals[i] > s && h->intervals[i] < h->intervals[best])
			best = i;
	}
	if (h->n_intervals == HOST_INTERVALS)
		return (uint8_t)best;
	h->intervals[h->n_intervals] = (uint16_t)s;
	return (uint8_t)h->n_intervals++;
}

struct host_chunk *
hosts_edit_seen(struct hosts *h, struct snap *s, uint32_t no)
{
	uint32_t c = no >> HOST_CHUNK_SHIFT;

	snap_touch(s, &h->words_seen[c], chunk_id(CHUNK_SEEN, 0, c));
	return h->chunks[c];
}

static void side_room(struct hosts *h, uint64_t rows);

bool
hosts_loaded(struct hosts *h)
{
	for (uint32_t no = 0; no < h->n; no++) {
		const struct host_chunk *c = host_chunk(h, no);

		insert(h, key_of_host(h, no), no);
		if (c->interval[HOST_AT(no)] >= h->n_intervals)
			return false;
		h->cloned += (c->flags[HOST_AT(no)] & HOST_CLONED) != 0;
	}
	side_room(h, h->side.n);
	for (uint64_t i = 0; i < h->side.n; i++) {
		const struct host_side *s = table_at(&h->side, i);

		if ((host_chunk(h, s->host_no)->flags[HOST_AT(s->host_no)] & HOST_REPORTS) == 0)
			return false;
	}
	return true;
}

/* ---- hosts that report ---- */

static uint32_t
side_home(const struct hosts *h, uint32_t no)
{
	return (uint32_t)hash_mix(no) & (h->n_side_slots - 1);
}

static void
side_place(struct hosts *h, uint64_t row)
{
	uint32_t i = side_home(h, ((struct host_side *)table_at(&h->side, row))->host_no);

	while (h->side_slots[i] != 0)
		i = (i + 1) & (h->n_side_slots - 1);
	h->side_slots[i] = (uint32_t)row + 1;
}

static void
side_room(struct hosts *h, uint64_t rows)
{
	if (rows * 4 <= h->n_side_slots * 3ull)
		return;
	free(h->side_slots);
	if (h->n_side_slots == 0)
		h->n_side_slots = 64;
	while (rows * 4 > h->n_side_slots * 3ull)
		h->n_side_slots *= 2;
	h->side_slots = mem_zero(h->n_side_slots, sizeof(*h->side_slots));
	for (uint64_t i = 0; i < h->side.n; i++)
		side_place(h, i);
}

static uint32_t
side_find(const struct hosts *h, uint32_t no)
{
	if (no >= h->n || (host_chunk(h, no)->flags[HOST_AT(no)] & HOST_REPORTS) == 0)
		return UINT32_MAX;
	for (uint32_t i = side_home(h, no); h->side_slots[i] != 0; i = (i + 1) & (h->n_side_slots - 1))
		if (((struct host_side *)table_at(&h->side, h->side_slots[i] - 1u))->host_no == no)
			return h->side_slots[i] - 1;
	return UINT32_MAX;
}

void
hosts_prefetch_side(const struct hosts *h, uint32_t no, int step)
{
	uint32_t row;

	if (h->n_side_slots == 0)
		return;
	if (step == 0) {
		__builtin_prefetch(&h->side_slots[side_home(h, no)]);
		return;
	}
	row = h->side_slots[side_home(h, no)];
	if (row != 0)
		__builtin_prefetch(table_at(&h->side, row - 1));
}

const struct host_side *
hosts_side(const struct hosts *h, uint32_t no)
{
	uint32_t row = side_find(h, no);

	return row != UINT32_MAX ? table_at(&h->side, row) : NULL;
}

struct host_side *
hosts_edit_side(struct hosts *h, struct snap *s, uint32_t no)
{
	uint32_t row = side_find(h, no);
	struct host_side *side;

	if (row != UINT32_MAX)
		return table_edit(&h->side, s, row);
	side_room(h, h->side.n + 1);
	side = table_add(&h->side, s, NULL);
	side->host_no = no;
	side_place(h, h->side.n - 1);
	hosts_edit(h, s, no)->flags[HOST_AT(no)] |= HOST_REPORTS;
	return side;
}

size_t
hosts_bytes(const struct hosts *h)
{
	size_t slabs = (h->n + HOST_CHUNK * HOST_SLAB - 1) / (HOST_CHUNK * HOST_SLAB);

	return slabs * HOST_SLAB * sizeof(struct host_chunk) + h->index_bytes +
	       (h->n >> HOST_CHUNK_SHIFT) * (sizeof(void *) + 3 * sizeof(uint32_t));
}

/* ---- other threads ---- */

struct host_map_reader *
hosts_reader_new(struct hosts *h)
{
	struct host_map_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->h = h;
	pthread_mutex_lock(h->readers_lock);
	r->next = h->readers;
	h->readers = r;
	pthread_mutex_unlock(h->readers_lock);
	return r;
}

void
host_map_reader_free(struct host_map_reader *r)
{
	struct host_map_reader **p;

	if (r == NULL)
		return;
	pthread_mutex_lock(r->h->readers_lock);
	for (p = &r->h->readers; *p != r; p = &(*p)->next)
		;
	*p = r->next;
	pthread_mutex_unlock(r->h->readers_lock);
	free(r);
}

bool
host_map_find(struct host_map_reader *r, uint16_t tenant, uint64_t hash, uint32_t *host_no_out,
	      uint32_t *fingerprint_out)
{
	struct hosts *h = r->h;
	uint32_t no;

	/* from here on no array that this lookup can see is freed: see reclaim() */
	atomic_store(&r->in, atomic_load(&h->epoch));
	atomic_thread_fence(memory_order_seq_cst);
	no = find(h, tenant, hash, key_of(tenant, hash));
	atomic_store_explicit(&r->in, 0, memory_order_release);
	if (no == UINT32_MAX)
		return false;
	*host_no_out = no;
	*fingerprint_out = atomic_load_explicit(&host_chunk(h, no)->print[HOST_AT(no)], memory_order_relaxed);
	return true;
}
