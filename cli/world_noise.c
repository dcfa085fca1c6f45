/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/world.h"

/* Ordinary crashes of a fleet: known signatures with a Zipf share each, births whose size is
 * Pareto, patches of third parties, incidents that hit one site.  The rates are those of
 * docs/HALT.md: invented, and said there. */

#define USER_MODULES   400u
#define KERNEL_MODULES 60u

/* One in ten. */
static bool
is_kernel(uint32_t signature)
{
	return signature != 0 && hash_mix(signature * 2654435761ull + 5) % 10 == 0;
}

void
world_look(uint32_t signature, struct crash_look *out)
{
	bool kernel = is_kernel(signature);
	uint32_t module = (uint32_t)(hash_mix(signature + 77ull) % (kernel ? KERNEL_MODULES : USER_MODULES));

	snprintf(out->module, sizeof(out->module), kernel ? "drv%03u.sys" : "app%03u.dll", module);
	snprintf(out->module_id, sizeof(out->module_id), "%08x%05x", 0x60000000u + module * 7919u, 0x10000u + module);
	out->offset = 0x1000 + signature * 16ull;
	out->kind = kernel ? REPORT_KERNEL : REPORT_USER;
	out->code = kernel ? 0x50 : 0xc0000005;
}

double
world_known_rate(const struct world *w, uint32_t signature)
{
	if (signature >= w->o.signatures)
		return 0;
	if (signature == 0 && w->o.flaky_day > 0)
		return w->o.flaky_day;
	return w->o.crashes_day / w->zipf / (signature + 1);
}

void
world_module_near(const struct world *w, double a_day, uint64_t pick, char out[32])
{
	double rate[USER_MODULES] = { 0 };
	uint32_t best[8], n = 0;
	struct crash_look look;

	for (uint32_t s = 0; s < w->o.signatures; s++) {
		unsigned module;

		world_look(s, &look);
		if (sscanf(look.module, "app%u.dll", &module) == 1)
			rate[module] += world_known_rate(w, s);
	}
	for (uint32_t m = 0; m < USER_MODULES; m++) { /* the eight nearest, by ratio */
		uint32_t i = n < 8 ? n++ : 8;

		for (; i > 0 && fabs(log(rate[m] / a_day)) < fabs(log(rate[best[i - 1]] / a_day)); i--)
			if (i < 8)
				best[i] = best[i - 1];
		if (i < 8)
			best[i] = m;
	}
	snprintf(out, 32, "app%03u.dll", best[pick % (a_day > 300 ? 2 : 8)]);
}

uint32_t
world_random_host(const struct world *w, struct rng *r)
{
	if (w->o.lab > 1 && rng_unit(r) < .001 * w->o.lab)
		return permute(w->o.hosts, FIXED_RING_SEED, (uint32_t)rng_below(r, w->o.hosts / 1000 + 1));
	return permute(w->o.hosts, w->o.seed + 3, (uint32_t)(pow(rng_unit(r), 1.5) * w->o.hosts));
}

/* ---- making it ---- */

struct noise {
	struct world *w;
	struct rng r;
	int64_t from_us, to_us;
	size_t cap;
};

static void
add(struct noise *n, int64_t at_us, uint32_t signature, uint32_t host)
{
	struct world *w = n->w;

	if (at_us < n->from_us || at_us >= n->to_us)
		return;
	if (w->n_noise == n->cap) {
		n->cap = n->cap > 0 ? n->cap * 2 : 4096;
		w->noise = need(realloc(w->noise, n->cap * sizeof(*w->noise)));
	}
	if (at_us < w->first_us[signature])
		w->first_us[signature] = at_us;
	w->noise[w->n_noise] = (struct event){
		.at_us = at_us, .occurred_us = at_us, .host = host, .signature = signature, .what = HAPPEN_REPORT
	};
	w->noise[w->n_noise].order = w->n_noise;
	w->n_noise++;
}

static uint32_t
new_signature(struct world *w)
{
	if ((w->n_signatures & (w->n_signatures - 1)) == 0)
		w->first_us = need(realloc(w->first_us, (w->n_signatures * 2ul + 1) * sizeof(*w->first_us)));
	w->first_us[w->n_signatures] = INT64_MAX;
	return w->n_signatures++;
}

static int64_t
any_time(struct noise *n)
{
	return n->from_us + (int64_t)(rng_unit(&n->r) * (double)(n->to_us - n->from_us));
}

/* More crashes by day than by night. */
static int64_t
working_time(struct noise *n)
{
	for (;;) {
		int64_t t = any_time(n);
		double hours = (double)t / (double)HOUR_US;

		if (rng_unit(&n->r) < (1 + .6 * sin(hours * 0.2617993877991494)) / 1.6)
			return t;
	}
}

static void
make_known(struct noise *n, double days, bool announce)
{
	struct world *w = n->w;

	for (uint32_t s = 0; s < w->o.signatures; s++) {
		uint64_t k = rng_poisson(&n->r, world_known_rate(w, s) * days);

		while (k-- > 0)
			add(n, working_time(n), s, world_random_host(w, &n->r));
		if (announce) /* the history is longer than what is played of it */
			add(n, n->from_us + (int64_t)rng_below(&n->r, 600 * SECOND_US), s, world_random_host(w, &n->r));
	}
}

static void
make_births(struct noise *n, double days)
{
	struct world *w = n->w;

	for (uint64_t births = rng_poisson(&n->r, w->o.births_day * days); births-- > 0;) {
		int64_t born = any_time(n);
		double a_day = .5 / (1 - rng_unit(&n->r));
		uint64_t k = rng_poisson(&n->r, (a_day < 5000 ? a_day : 5000) * 2);
		uint32_t s = new_signature(w);

		add(n, born, s, world_random_host(w, &n->r));
		while (k-- > 0)
			add(n, born + (int64_t)(rng_exponential(&n->r, 24) * (double)HOUR_US), s,
			    world_random_host(w, &n->r));
	}
}

static void
make_patches(struct noise *n, double days)
{
	struct world *w = n->w;

	for (uint64_t patches = rng_poisson(&n->r, w->o.patches_day * days); patches-- > 0;) {
		uint64_t k = (uint64_t)(pow(10, 2.7 + rng_unit(&n->r)) * w->o.hosts / 1e6);
		int64_t start = any_time(n);
		uint32_t s = new_signature(w);

		while (k-- > 0)
			add(n, start + (int64_t)(rng_unit(&n->r) * 12 * (double)HOUR_US), s,
			    (uint32_t)rng_below(&n->r, w->o.hosts));
	}
}

static void
make_incidents(struct noise *n, double days)
{
	struct world *w = n->w;

	for (uint64_t incidents = rng_poisson(&n->r, w->o.incidents_day * days); incidents-- > 0;) {
		uint32_t site = w->site[rng_below(&n->r, w->o.hosts)];
		double share = .05 + .75 * rng_unit(&n->r);
		bool fresh = rng_unit(&n->r) < .5;
		uint32_t s = fresh ? new_signature(w) : (uint32_t)rng_below(&n->r, w->o.signatures);
		int64_t start = any_time(n);

		for (uint32_t h = w->site_start[site]; h < w->site_start[site + 1]; h++)
			if (rng_unit(&n->r) < share)
				add(n, start + (int64_t)(rng_unit(&n->r) * .5 * (double)HOUR_US), s, h);
	}
}

static int
by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->at_us != y->at_us)
		return x->at_us < y->at_us ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

void
world_make_noise(struct world *w, uint64_t seed, double from_h, double to_h)
{
	struct noise n = { .w = w,
			   .r = rng_of(seed, 4),
			   .from_us = (int64_t)(from_h * (double)HOUR_US),
			   .to_us = (int64_t)(to_h * (double)HOUR_US) };
	double days = (to_h - from_h) / 24;
	bool first = w->n_signatures == 0;

	free(w->noise);
	w->noise = NULL;
	w->n_noise = w->at_noise = 0;
	while (w->n_signatures < w->o.signatures) {
		uint32_t s = new_signature(w);

		w->first_us[s] = INT64_MIN;
		w->zipf += 1.0 / w->n_signatures;
	}
	if (days <= 0)
		return;
	make_known(&n, days, first);
	make_births(&n, days);
	make_patches(&n, days);
	make_incidents(&n, days);
	if (w->n_noise > 0)
		qsort(w->noise, w->n_noise, sizeof(*w->noise), by_time);
}
