/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/hash.h"
#include "collector/gate/intake.h"
#include "collector/gate/roster.h"
#include "proto/presence.h"

#define NO_NUMBER UINT32_MAX

/* Open addressing, linear probing, power of two, at most 3/4 full; hash 0 is a free slot. */
struct slot {
	uint64_t hash;
	uint32_t number;	/* NO_NUMBER until the ledger gives one */
	uint32_t fingerprint;	/* of the last full record known to be durable */
};

struct roster {
	uint32_t     gate;
	uint64_t     seed;
	struct slot *slots;
	size_t	     cap, used;
	uint32_t    *heard;	/* this second's host numbers, unsorted, repeated ones too */
	size_t	     n_heard, cap_heard;
};

struct roster *
roster_new(uint32_t gate, uint64_t seed)
{
	struct roster *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->gate = gate;
	r->seed = seed;
	r->cap = 1024;
	r->slots = calloc(r->cap, sizeof(*r->slots));
	if (r->slots == NULL) {
		free(r);
		return NULL;
	}
	return r;
}

void
roster_free(struct roster *r)
{
	if (r == NULL)
		return;
	free(r->slots);
	free(r->heard);
	free(r);
}

static struct slot *
find(struct slot *slots, size_t cap, uint64_t seed, uint64_t hash)
{
	size_t i = (size_t)hash_mix(hash ^ seed) & (cap - 1);

	while (slots[i].hash != 0 && slots[i].hash != hash)
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

static int
grow(struct roster *r)
{
	struct slot *bigger = calloc(r->cap * 2, sizeof(*bigger));

	if (bigger == NULL)
		return -1;
	for (size_t i = 0; i < r->cap; i++)
		if (r->slots[i].hash != 0)
			*find(bigger, r->cap * 2, r->seed, r->slots[i].hash) = r->slots[i];
	free(r->slots);
	r->slots = bigger;
	r->cap *= 2;
	return 0;
}

/* NULL when out of memory: the heartbeat is then simply logged in full. */
static struct slot *
take(struct roster *r, uint64_t hash)
{
	struct slot *s = find(r->slots, r->cap, r->seed, hash);

	if (s->hash != 0)
		return s;
	if ((r->used + 1) * 4 > r->cap * 3) {
		if (grow(r) == -1)
			return NULL;
		s = find(r->slots, r->cap, r->seed, hash);
	}
	*s = (struct slot){ hash, NO_NUMBER, 0 };
	r->used++;
	return s;
}

void
roster_learn(struct roster *r, uint64_t host_hash, uint32_t host_no)
{
	struct slot *s = take(r, host_hash);

	if (s != NULL)
		s->number = host_no;
}

static bool
hear(struct roster *r, uint32_t number)
{
	if (r->n_heard == r->cap_heard) {
		size_t cap = r->cap_heard ? r->cap_heard * 2 : 1024;
		uint32_t *bigger = realloc(r->heard, cap * sizeof(*bigger));

		if (bigger == NULL)
			return false;
		r->heard = bigger;
		r->cap_heard = cap;
	}
	r->heard[r->n_heard++] = number;
	return true;
}

bool
roster_beat(struct roster *r, uint64_t host_hash, uint32_t fingerprint)
{
	struct slot *s = find(r->slots, r->cap, r->seed, host_hash);

	if (s->hash == 0 || s->number == NO_NUMBER || s->fingerprint != fingerprint)
		return true;
	return !hear(r, s->number);
}

void
roster_told(struct roster *r, uint64_t host_hash, uint32_t fingerprint)
{
	struct slot *s = take(r, host_hash);

	if (s != NULL)
		s->fingerprint = fingerprint;
}

static int
by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
sort_unique(struct roster *r)
{
	size_t n = 0;

	qsort(r->heard, r->n_heard, sizeof(r->heard[0]), by_number);
	for (size_t i = 0; i < r->n_heard; i++)
		if (n == 0 || r->heard[n - 1] != r->heard[i])
			r->heard[n++] = r->heard[i];
	r->n_heard = n;
}

/* A presence set is not acknowledged to anyone. */
static void
on_done(struct intake_group *g, enum log_outcome outcome)
{
	(void)outcome;
	free(g);
}

/* One record of at most 64 KiB; returns how many numbers it took, 0 when it did not fit. */
static size_t
append_some(struct intake *in, uint32_t gate, int64_t now_us, const uint32_t *hosts, size_t n)
{
	static _Thread_local uint8_t buf[64 * 1024];
	struct intake_group *g = calloc(1, sizeof(*g));
	enum intake_result why;
	size_t used, len;
	uint8_t *p;

	if (g == NULL)
		return 0;
	g->done = on_done;
	len = presence_encode(gate, (uint64_t)(now_us / 1000000), hosts, n, buf, sizeof(buf), &used);
	intake_begin(in, g, LOG_CLASS_NORMAL);
	p = intake_add(in, RECORD_PRESENCE, 0, now_us, len, &why);
	if (p == NULL) {
		intake_abandon(in);
		free(g);
		return 0;
	}
	memcpy(p, buf, len);
	intake_commit(in);
	return used;
}

void
roster_flush(struct roster *r, struct intake *in, int64_t now_us, bool thin)
{
	size_t at = 0, kept = 0, used;

	if (r->n_heard == 0)
		return;
	sort_unique(r);
	if (thin) {
		/* A different eighth each second, so that every host is heard of in eight. */
		for (size_t i = 0; i < r->n_heard; i++)
			if ((r->heard[i] & 7) == ((uint64_t)now_us / 1000000 & 7))
				r->heard[kept++] = r->heard[i];
		r->n_heard = kept;
	}
	while (at < r->n_heard && (used = append_some(in, r->gate, now_us, r->heard + at, r->n_heard - at)) > 0)
		at += used;
	/* What did not fit waits for the next second; it is sorted in again then. */
	memmove(r->heard, r->heard + at, (r->n_heard - at) * sizeof(r->heard[0]));
	r->n_heard -= at;
}

size_t
roster_bytes(const struct roster *r)
{
	return sizeof(*r) + r->cap * sizeof(*r->slots) + r->cap_heard * sizeof(*r->heard);
}
