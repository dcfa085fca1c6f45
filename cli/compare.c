/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "cli/compare.h"
#include "cli/world.h"

#define BIN_S   300.0
#define CHECK_S (6 * 3600.0)
#define HOUR_S  3600.0
#define HALF_S  1800.0
#define ENOUGH  25u /* Crashlytics */
#define SYSTEMS 3u  /* Ubuntu: more than */
#define BLAME   10u /* Gandalf: votes */

struct tracked {
	uint64_t key; /* 0: empty */
	float *at_s;  /* of exposed hosts */
	uint32_t n, tail_hour, tail_half;
	uint32_t in_bin1, in_bin0; /* exposed and not, in the running bin */
	uint32_t votes1, votes0;
	double a_day;
	bool fresh, touched;
};

struct compare {
	uint32_t hosts;
	double until_share, share;
	double fired[COMPARE_RULES];
	double bin_end, check_end;
	struct tracked *keys;
	uint32_t n_keys, cap_keys;
	uint64_t *seen; /* (key, host) */
	uint32_t n_seen, cap_seen;
	uint64_t *touched; /* keys of the running bin */
	uint32_t n_touched, cap_touched;
};

const char *
compare_name(enum compare_rule rule)
{
	static const char *const names[] = {
		"fixed 10 in 60 min",       "fixed 50 in 60 min", "fixed 1000 in 60 min",   "Crashlytics 1 % and 25",
		"Crashlytics 0.1 % and 25", "three-sigma, 5 min", "Ubuntu new bucket, 6 h", "Gandalf-like vote",
	};

	return names[rule];
}

struct compare *
compare_new(uint32_t hosts, double until_share)
{
	struct compare *c = need(calloc(1, sizeof(*c)));

	c->hosts = hosts;
	c->until_share = until_share;
	c->bin_end = BIN_S;
	c->check_end = CHECK_S;
	for (int i = 0; i < COMPARE_RULES; i++)
		c->fired[i] = -1;
	return c;
}

void
compare_free(struct compare *c)
{
	if (c == NULL)
		return;
	for (uint32_t i = 0; i < c->cap_keys; i++)
		free(c->keys[i].at_s);
	free(c->keys);
	free(c->seen);
	free(c->touched);
	free(c);
}

double
compare_fired(const struct compare *c, enum compare_rule rule)
{
	return c->fired[rule];
}

bool
compare_all_fired(const struct compare *c)
{
	for (int i = 0; i < COMPARE_RULES; i++)
		if (c->fired[i] < 0)
			return false;
	return true;
}

static void
fire(struct compare *c, enum compare_rule rule, double at_s)
{
	if (c->fired[rule] < 0 && c->share <= c->until_share + 1e-9)
		c->fired[rule] = at_s;
}

/* ---- tables ---- */

static bool
first_of_host(struct compare *c, uint64_t key, uint32_t host)
{
	uint64_t v = hash_mix(key + host * 0x9e3779b97f4a7c15ull) | 1;
	uint32_t i;

	if ((c->n_seen + 1) * 4ull > c->cap_seen * 3ull) {
		uint64_t *old = c->seen;
		uint32_t cap = c->cap_seen;

		c->cap_seen = cap > 0 ? cap * 2 : 1024;
		c->seen = need(calloc(c->cap_seen, sizeof(*c->seen)));
		for (uint32_t k = 0; k < cap; k++) {
			if (old[k] == 0)
				continue;
			for (i = (uint32_t)(old[k] >> 20) & (c->cap_seen - 1); c->seen[i] != 0;)
				i = (i + 1) & (c->cap_seen - 1);
			c->seen[i] = old[k];
		}
		free(old);
	}
	for (i = (uint32_t)(v >> 20) & (c->cap_seen - 1); c->seen[i] != 0; i = (i + 1) & (c->cap_seen - 1))
		if (c->seen[i] == v)
			return false;
	c->seen[i] = v;
	c->n_seen++;
	return true;
}

static struct tracked *
slot_of(const struct compare *c, uint64_t key)
{
	uint32_t i = (uint32_t)hash_mix(key) & (c->cap_keys - 1);

	while (c->keys[i].key != 0 && c->keys[i].key != key)
		i = (i + 1) & (c->cap_keys - 1);
	return &c->keys[i];
}

static struct tracked *
track(struct compare *c, const struct compare_event *e)
{
	uint64_t key = e->key | 1;
	struct tracked *t;

	if ((c->n_keys + 1) * 4ull > c->cap_keys * 3ull) {
		struct tracked *old = c->keys;
		uint32_t cap = c->cap_keys;

		c->cap_keys = cap > 0 ? cap * 2 : 256;
		c->keys = need(calloc(c->cap_keys, sizeof(*c->keys)));
		for (uint32_t k = 0; k < cap; k++)
			if (old[k].key != 0)
				*slot_of(c, old[k].key) = old[k];
		free(old);
	}
	t = slot_of(c, key);
	if (t->key == 0) {
		*t = (struct tracked){ .key = key, .a_day = e->a_day, .fresh = e->fresh };
		c->n_keys++;
	}
	return t;
}

/* ---- what is judged at the end of a bin ---- */

static void
judge_bin(struct compare *c, struct tracked *t, double at_s)
{
	double share = c->share < .99 ? c->share : .99, expected = t->in_bin0 * share / (1 - share);
	double usual = t->a_day * BIN_S / 86400, all = t->in_bin1 + t->in_bin0;

	if ((t->in_bin1 - expected) / sqrt(expected > 1 ? expected : 1) > 3)
		fire(c, COMPARE_SIGMA, at_s);
	if (all > usual + 4 * sqrt(usual > 1 ? usual : 1)) {
		t->votes1 += t->in_bin1;
		t->votes0 += t->in_bin0;
		if (t->votes1 >= BLAME && (double)t->votes1 / (t->votes1 + t->votes0) - share > .5)
			fire(c, COMPARE_GANDALF, at_s);
	}
	t->in_bin1 = t->in_bin0 = 0;
	t->touched = false;
}

static void
check_phase(struct compare *c, double at_s)
{
	for (uint32_t i = 0; i < c->cap_keys && c->fired[COMPARE_UBUNTU] < 0; i++)
		if (c->keys[i].key != 0 && c->keys[i].fresh && c->keys[i].n > SYSTEMS)
			fire(c, COMPARE_UBUNTU, at_s);
}

void
compare_until(struct compare *c, double at_s, double share)
{
	while (at_s >= c->bin_end) {
		c->share = share;
		for (uint32_t i = 0; i < c->n_touched; i++)
			judge_bin(c, slot_of(c, c->touched[i]), c->bin_end);
		c->n_touched = 0;
		if (c->bin_end >= c->check_end) {
			check_phase(c, c->bin_end);
			c->check_end += CHECK_S;
		}
		c->bin_end += BIN_S;
	}
	c->share = share;
}

/* ---- what is judged at once ---- */

static void
judge_windows(struct compare *c, struct tracked *t, double at_s)
{
	uint32_t hour, half;
	double exposed = c->share * c->hosts;

	while (t->at_s[t->tail_hour] <= at_s - HOUR_S)
		t->tail_hour++;
	while (t->at_s[t->tail_half] <= at_s - HALF_S)
		t->tail_half++;
	hour = t->n - t->tail_hour;
	half = t->n - t->tail_half;
	if (t->fresh && hour >= 10)
		fire(c, COMPARE_FIXED_10, at_s);
	if (t->fresh && hour >= 50)
		fire(c, COMPARE_FIXED_50, at_s);
	if (t->fresh && hour >= 1000)
		fire(c, COMPARE_FIXED_1000, at_s);
	if (half >= ENOUGH && half >= .01 * exposed)
		fire(c, COMPARE_CRASHLYTICS, at_s);
	if (half >= ENOUGH && half >= .001 * exposed)
		fire(c, COMPARE_CRASHLYTICS_LOW, at_s);
}

void
compare_report(struct compare *c, const struct compare_event *e)
{
	struct tracked *t;

	compare_until(c, e->at_s, e->share);
	if (!first_of_host(c, e->key, e->host))
		return;
	t = track(c, e);
	if (!t->touched) {
		if (c->n_touched == c->cap_touched) {
			c->cap_touched = c->cap_touched > 0 ? c->cap_touched * 2 : 64;
			c->touched = need(realloc(c->touched, c->cap_touched * sizeof(*c->touched)));
		}
		c->touched[c->n_touched++] = t->key;
		t->touched = true;
	}
	t->in_bin1 += e->exposed;
	t->in_bin0 += !e->exposed;
	if (!e->exposed)
		return;
	if ((t->n & (t->n - 1)) == 0)
		t->at_s = need(realloc(t->at_s, (t->n * 2ul + 1) * sizeof(*t->at_s)));
	t->at_s[t->n++] = (float)e->at_s;
	judge_windows(c, t, e->at_s);
}
