/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "collector/ledger/seek_private.h"

#define WINDOW_H 12u /* hours of a rank; half of what a key remembers */

uint32_t
seek_under(const struct seek *s, uint32_t key_no)
{
	return key_no < s->work->n_keys ? s->work->under[key_no] : 0;
}

struct seek_ranking {
	uint32_t next_key, n_keys;
	uint64_t *now, *before;       /* sorted values of the page, least first */
	uint32_t *now_of, *before_of; /* [i]: keys that exactly i of these values are below */
	uint64_t *modules;            /* sorted ids of the page's modules */
	uint32_t *builds;
};

static uint64_t
crashes(const struct key *k, int64_t now_us, unsigned from)
{
	uint64_t n = 0;

	for (unsigned i = from; i < from + WINDOW_H; i++)
		n += key_hour(k, now_us, i);
	return n;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* How many of the sorted values are below v. */
static size_t
below(const uint64_t *values, size_t n, uint64_t v)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (values[mid] < v)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool
begin(struct seek_ranks *r, const struct seek *s, const struct ledger *l, struct arena *a)
{
	struct seek_ranking *w = r->work = arena_calloc(a, 1, sizeof(*w));
	size_t n = r->n + 1;

	if (w == NULL)
		return false;
	w->n_keys = s->work->n_keys;
	w->now = arena_calloc(a, n, sizeof(*w->now));
	w->before = arena_calloc(a, n, sizeof(*w->before));
	w->now_of = arena_calloc(a, n, sizeof(*w->now_of));
	w->before_of = arena_calloc(a, n, sizeof(*w->before_of));
	w->modules = arena_calloc(a, n, sizeof(*w->modules));
	w->builds = arena_calloc(a, n, sizeof(*w->builds));
	if (w->now == NULL || w->before == NULL || w->now_of == NULL || w->before_of == NULL || w->modules == NULL ||
	    w->builds == NULL)
		return false;
	for (size_t i = 0; i < r->n; i++) {
		const struct key *k = key_at(&l->keys, r->rows[i].key_no);

		w->now[i] = crashes(k, s->work->now_us, 0);
		w->before[i] = crashes(k, s->work->now_us, WINDOW_H);
		w->modules[i] = k->module_id_key;
	}
	qsort(w->now, r->n, sizeof(*w->now), by_value);
	qsort(w->before, r->n, sizeof(*w->before), by_value);
	qsort(w->modules, r->n, sizeof(*w->modules), by_value);
	return true;
}

static void
look_at(struct seek_ranks *r, const struct seek *s, const struct key *k)
{
	struct seek_ranking *w = r->work;
	size_t i;

	if (k->tenant == s->tenant && k->rung == RUNG_BUILD && k->reports > 0) {
		i = below(w->modules, r->n, k->module_id_key);
		if (i < r->n && w->modules[i] == k->module_id_key)
			w->builds[i]++;
	}
	if (!seek_in_group(s, k))
		return;
	w->now_of[below(w->now, r->n, crashes(k, s->work->now_us, 0))]++;
	w->before_of[below(w->before, r->n, crashes(k, s->work->now_us, WINDOW_H))]++;
}

/* Keys with more crashes than v, and 1. */
static uint32_t
rank(const uint64_t *values, const uint32_t *counts, size_t n, uint64_t v)
{
	uint32_t more = 0;

	for (size_t i = below(values, n, v + 1); i <= n; i++)
		more += counts[i];
	return more + 1;
}

static void
mark(struct seek_ranks *r, const struct seek *s, const struct ledger *l, size_t i)
{
	const struct seek_ranking *w = r->work;
	const struct key *k = key_at(&l->keys, r->rows[i].key_no);
	uint64_t now = crashes(k, s->work->now_us, 0), before = crashes(k, s->work->now_us, WINDOW_H);
	size_t module = below(w->modules, r->n, k->module_id_key);

	r->marks[i] = (struct seek_mark){
		.rank = rank(w->now, w->now_of, r->n, now),
		.rank_before = before > 0 ? rank(w->before, w->before_of, r->n, before) : 0,
		.builds = k->module_id_key != 0 && module < r->n ? w->builds[module] : 0,
		.deployment = seek_under(s, r->rows[i].key_no),
	};
}

enum seek_state
seek_ranks_step(struct seek_ranks *r, const struct seek *s, const struct ledger *l, struct arena *a)
{
	if (r->work == NULL)
		return begin(r, s, l, a) ? SEEK_MORE : SEEK_NO_MEMORY;
	for (uint32_t i = 0; i < SEEK_TURN / 8 && r->work->next_key < r->work->n_keys; i++)
		look_at(r, s, key_at(&l->keys, r->work->next_key++));
	if (r->work->next_key < r->work->n_keys)
		return SEEK_MORE;
	for (size_t i = 0; i < r->n; i++)
		mark(r, s, l, i);
	return SEEK_DONE;
}
