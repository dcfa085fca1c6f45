/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_SNAP_H
#define COLLECTOR_LEDGER_SNAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/pack.h"

/* Which chunks changed since the last snapshot, and copy on write while one is taken.
 *
 * Every chunk has a generation word next to its data; whoever changes the chunk calls
 * snap_touch() before.  A snapshot raises the generation: chunks of the generation
 * before are still to be saved, and saved first if they are touched. */

/* Kinds of chunks, in canonical order; stored. */
enum chunk_kind {
	CHUNK_GLOBALS = 1,
	CHUNK_PRODUCERS,
	CHUNK_INTERN, /* a: which table */
	CHUNK_HOSTS,  /* what changes rarely */
	CHUNK_SEEN,   /* last seen */
	CHUNK_SIDE,   /* hosts that report */
	CHUNK_RECENT, /* a: which ring */
	CHUNK_FINGERPRINTS,
	CHUNK_KEYS,
	CHUNK_KEY_HOSTS, /* a: key, b: block */
	CHUNK_REPORTS,
	CHUNK_DEPLOYMENT,  /* a: deployment */
	CHUNK_SERVED,      /* a: deployment, b: block */
	CHUNK_RESOLVED,    /* a: deployment, b: block */
	CHUNK_WAITING,     /* a: deployment, b: queue << 31 | chunk */
	CHUNK_TRIALS,      /* a: deployment */
	CHUNK_TRIAL_HOSTS, /* a: deployment, b: trial << 18 | set << 16 | block */
	CHUNK_VOTES,       /* a: deployment */
	CHUNK_STRATA,      /* a: deployment */
	CHUNK_MOVED,       /* a: deployment, b: block */
	CHUNK_MINUTES,     /* a: deployment */
	CHUNK_ALARMS,      /* what the tests without a deployment count for a tenant */
	CHUNK_OUTBREAKS,   /* watched keys */
	CHUNK_SILENCE,     /* what belongs to no host; b 1: boots */
	CHUNK_DARK,        /* a: deployment */
	CHUNK_SAFEGUARD,   /* a: slot */
	CHUNK_PULSE,       /* short history of the fleet */
	CHUNK_ANNALS,      /* a: deployment */
	CHUNK_NOTES,       /* a: slot */
	CHUNK_N
};

static inline uint64_t
chunk_id(enum chunk_kind kind, uint32_t a, uint32_t b)
{
	return (uint64_t)kind << 56 | (uint64_t)(a & 0xffffff) << 32 | b;
}
static inline enum chunk_kind
chunk_kind(uint64_t id)
{
	return (enum chunk_kind)(id >> 56);
}
static inline uint32_t
chunk_a(uint64_t id)
{
	return (uint32_t)(id >> 32) & 0xffffff;
}
static inline uint32_t
chunk_b(uint64_t id)
{
	return (uint32_t)id;
}

struct id_list {
	uint64_t *at;
	size_t n, cap;
};
void id_list_add(struct id_list *v, uint64_t id);

struct snap {
	uint32_t gen; /* current, from 1 */
	bool running;
	struct id_list dirty;  /* touched in this generation */
	struct id_list saving; /* touched in the one before: being saved */
	size_t saved;          /* of saving */
	struct id_list gone;   /* dropped while saving, and saved before that */
	struct pack out;
	/* serialise a chunk; false: there is no such chunk */
	bool (*write)(void *state, uint64_t id, struct pack *out);
	/* its generation word; NULL: there is no such chunk */
	uint32_t *(*word)(void *state, uint64_t id);
	void *state;
	void (*fn)(void *arg, uint64_t id, const void *bytes, size_t len);
	void *arg;
};

void snap_init(struct snap *s); /* gen 1, nothing dirty */
void snap_fini(struct snap *s);
void snap_touch_slow(struct snap *s, uint32_t *word, uint64_t id);
void snap_dropped(struct snap *s, uint64_t id); /* after snap_touch(), when the chunk goes away */

static inline void
snap_touch(struct snap *s, uint32_t *word, uint64_t id)
{
	if (*word != s->gen)
		snap_touch_slow(s, word, id);
}

void snap_begin(struct snap *s);
/* Put a chunk on the list of a snapshot just begun, whatever its generation. */
void snap_include(struct snap *s, uint32_t *word, uint64_t id);
bool snap_step(struct snap *s, size_t budget);
void snap_end(struct snap *s, bool ok);

#endif
