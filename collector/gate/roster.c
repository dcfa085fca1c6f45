/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "collector/gate/intake.h"
#include "collector/gate/roster.h"
#include "proto/presence.h"

struct roster {
	uint32_t gate;
	roster_find *find;
	void *arg;
	uint32_t *heard; /* this second's host numbers, unsorted, repeated ones too */
	size_t n_heard, cap_heard;
};

struct roster *
roster_new(uint32_t gate, roster_find *find, void *arg)
{
	struct roster *r = calloc(1, sizeof(*r));

	if (r != NULL)
		*r = (struct roster){ .gate = gate, .find = find, .arg = arg };
	return r;
}

void
roster_free(struct roster *r)
{
	if (r == NULL)
		return;
	free(r->heard);
	free(r);
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
roster_beat(struct roster *r, uint16_t tenant, uint64_t host_hash, uint32_t fingerprint)
{
	uint32_t number, known;

	if (!r->find(r->arg, tenant, host_hash, &number, &known) || known != fingerprint)
		return true;
	return !hear(r, number);
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
