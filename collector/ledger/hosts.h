/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_HOSTS_H
#define COLLECTOR_LEDGER_HOSTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/snap.h"
#include "collector/ledger/table.h"

/* Every host: (tenant, hash of its id) -> a dense number, and its columns.
 *
 * Columns live in chunks of HOST_CHUNK hosts, structure of arrays, 39 bytes a host;
 * sixteen chunks are one allocation, so that nothing is lost to page rounding.  The
 * index is 256 shards of open addressing, 5 bytes a slot (number and tag), at most
 * 3/4 full: 6.7 to 13.4 bytes a host, 8.4 at ten million.  Shards grow one by one, so
 * that no single insert rehashes more than 1/256 of the fleet.  47.4 bytes in all. */
#define HOST_CHUNK_SHIFT 12
#define HOST_CHUNK       (1u << HOST_CHUNK_SHIFT)
#define HOST_SLAB        16u
#define HOST_MAX         0xfff00000u
#define HOST_BYTES       39u

#define HOST_GOODBYE 1u
#define HOST_CLONED  2u  /* two live epochs */
#define HOST_REPORTS 4u  /* has a side row */
#define HOST_HEARD   8u  /* sent something itself; else only served */
#define HOST_ACTIVE  16u /* heard of lately: in the risk sets; judge.h */
#define HOST_ALIVE   32u /* heartbeats are expected of it and come; silence.h */
#define HOST_LOOPING 64u /* in a boot loop; boots.h */

struct host_chunk {
	_Atomic uint64_t hash[HOST_CHUNK]; /* read by other threads, with tenant and print */
	uint32_t last_seen[HOST_CHUNK];    /* unix seconds; CHUNK_SEEN, the rest is CHUNK_HOSTS */
	uint32_t first_seen[HOST_CHUNK];
	uint32_t boot[HOST_CHUNK];          /* hash of the boot id; 0: none */
	_Atomic uint32_t print[HOST_CHUNK]; /* heartbeat_fingerprint(); 0: no heartbeat yet */
	_Atomic uint16_t tenant[HOST_CHUNK];
	uint16_t boots[HOST_CHUNK];   /* saturates */
	uint16_t site[HOST_CHUNK];    /* interned, as the next three */
	uint16_t stratum[HOST_CHUNK]; /* product, OS build, hardware class */
	uint16_t content[HOST_CHUNK];
	uint16_t labels[HOST_CHUNK];
	uint8_t interval[HOST_CHUNK]; /* between heartbeats: hosts_interval(); 0: it sends none */
	uint8_t relay[HOST_CHUNK];    /* who passes its heartbeats on, 1 to 255 by hash; 0: nobody */
	uint8_t flags[HOST_CHUNK];
};
_Static_assert(sizeof(struct host_chunk) == (size_t)HOST_BYTES * HOST_CHUNK, "bytes a host");

/* One epoch of a host's sequence numbers. */
struct host_window {
	uint64_t epoch, high;
	uint64_t bits; /* bit i: high - i was seen */
	bool used;
};
/* Hosts that sent reports: 96 bytes more. */
struct host_side {
	uint32_t host_no;
	uint32_t last_report; /* unix seconds */
	uint64_t reports;
	uint64_t last_signature;
	struct host_window now, before;
};

#define HOST_INTERVALS 256u

struct host_shard;
struct hosts {
	uint32_t n;
	struct host_chunk **chunks; /* directory for HOST_MAX hosts, touched lazily; never moves */
	uint32_t *words_cold, *words_seen;
	uint32_t *due; /* per chunk: nobody in it falls silent before this second; saved in CHUNK_SILENCE */
	size_t words_cap;
	uint16_t intervals[HOST_INTERVALS]; /* seconds by number, rising numbers in order of appearance */
	uint32_t n_intervals;               /* 1: none yet */
	struct host_shard *shards;
	struct table side;    /* struct host_side */
	uint32_t *side_slots; /* row + 1 */
	uint32_t n_side_slots;
	uint64_t cloned;
	struct host_retired *retired; /* old index arrays that a reader may still be in */
	_Atomic uint64_t epoch;
	struct host_map_reader *readers;
	void *readers_lock;
	size_t index_bytes;
};

void hosts_init(struct hosts *h);
void hosts_fini(struct hosts *h);

static inline struct host_chunk *
host_chunk(const struct hosts *h, uint32_t no)
{
	return h->chunks[no >> HOST_CHUNK_SHIFT];
}
#define HOST_AT(no) ((no) & (HOST_CHUNK - 1))

void hosts_prefetch_side(const struct hosts *h, uint32_t no, int step); /* step 0, then 1 */
/* Number of a host, UINT32_MAX if unknown. */
uint32_t hosts_find(const struct hosts *h, uint16_t tenant, uint64_t hash);
void hosts_prefetch_index(const struct hosts *h, uint16_t tenant, uint64_t hash);
void hosts_prefetch_row(const struct hosts *h, uint16_t tenant, uint64_t hash);
/* Give it the next number; UINT32_MAX when the table is full. */
uint32_t hosts_add(struct hosts *h, struct snap *s, uint16_t tenant, uint64_t hash);

/* About to change the host's columns (all but last_seen), or its last_seen. */
struct host_chunk *hosts_edit(struct hosts *h, struct snap *s, uint32_t no);
struct host_chunk *hosts_edit_seen(struct hosts *h, struct snap *s, uint32_t no);

/* Intervals are kept by number, so that one byte a host does.  When all numbers are taken, the
 * next longer one that has a number stands for it, or the longest. */
uint8_t hosts_interval_number(struct hosts *h, uint32_t seconds); /* 0 for 0 */
static inline uint32_t
hosts_interval(const struct hosts *h, uint32_t no)
{
	return h->intervals[host_chunk(h, no)->interval[HOST_AT(no)]];
}

/* The side row, made on first use; about to be changed. */
struct host_side *hosts_edit_side(struct hosts *h, struct snap *s, uint32_t no);
const struct host_side *hosts_side(const struct hosts *h, uint32_t no); /* NULL: none */

struct host_map_reader *hosts_reader_new(struct hosts *h); /* ledger.h says the rest */

size_t hosts_bytes(const struct hosts *h); /* columns and index, in use */

/* ---- snapshot ---- */
void hosts_make_chunk(struct hosts *h, uint32_t c);
uint32_t *hosts_word(struct hosts *h, uint64_t id);
bool hosts_pack(const struct hosts *h, uint64_t id, struct pack *k);
bool hosts_unpack(struct hosts *h, uint64_t id, struct reader *r);
bool hosts_loaded(struct hosts *h);

#endif
