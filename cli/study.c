/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/tables.h"

/* What the tables are made of: null worlds with many deployments, and rows of runs. */

#define SMALL_FLEET 20000u /* is what its row is about: not scaled */

void
plan_day(struct push_plan *p)
{
	static const double shares[] = { .001, .01, .1, .5, 1 }, hours[] = { 0, 2, 6, 12, 18 };

	push_rings(p, shares, hours, 5, 1800);
}

struct world *
study_world(const struct study *s, const struct world_options *o)
{
	struct world_options own = *o;
	struct world *w;

	if (s->hosts > 0 && o->hosts > SMALL_FLEET) {
		own.sites = (uint32_t)((double)own.sites * s->hosts / own.hosts);
		own.sites = own.sites < 12 ? 12 : own.sites;
		own.crashes_day *= (double)s->hosts / own.hosts;
		own.hosts = s->hosts;
	}
	w = world_new(&own);
	world_until(w, 0);
	return w;
}

void
study_take(struct study *s, struct sheet *sheet)
{
	if (s->text)
		sheet_print(sheet);
	fflush(stdout);
	json_array_append_new(s->sheets, sheet->json);
}

/* ---- harmless deployments ---- */

static int
by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

struct counts {
	unsigned halts, pauses, proceeds, fired[COMPARE_RULES];
};

static void
count(struct push *p, struct counts *c)
{
	c->halts += p->halts > 0;
	c->pauses += p->watch_us < INT64_MAX;
	c->proceeds += p->proceeded;
	for (int i = 0; p->compare != NULL && i < COMPARE_RULES; i++)
		c->fired[i] += compare_fired(p->compare, (enum compare_rule)i) >= 0;
	if (p->halts > 0)
		run_progress("%s halted: %s", p->id, p->reason);
	compare_free(p->compare);
	p->compare = NULL;
}

static void
live(struct world *w, const struct nulls *n, const int64_t *starts, uint64_t seed, struct counts *c)
{
	unsigned begun = 0, over = 0;
	int64_t last = clock_boot_us();

	while (over < n->n) {
		for (; begun < n->n && starts[begun] <= w->now_us; begun++) {
			struct push *p = push_new(w, &n->plan, hash_mix(seed + begun));

			if (n->compare)
				p->compare = compare_new(w->o.hosts, .5);
		}
		for (; over < begun && w->now_us >= starts[over] + 24 * HOUR_US; over++) {
			count(w->pushes[over], c);
			push_close(w->pushes[over]);
		}
		world_second(w);
		if (clock_boot_us() - last > 10 * SECOND_US) {
			last = clock_boot_us();
			run_progress("%s: day %.1f, %u of %u deployments are over, %u halted", n->label,
				     (double)w->now_us / 24 / (double)HOUR_US, over, n->n, c->halts);
		}
	}
}

json_t *
study_nulls(const struct study *s, const struct nulls *given)
{
	struct nulls n = *given;
	struct counts c = { 0 };
	struct rng r = rng_of(s->seed, 8);
	int64_t *starts, begun = clock_boot_us();
	struct world *w;
	json_t *row;

	if (s->runs > 0)
		n.n = s->runs;
	n.world.days = n.n / 100.0 + 1.2;
	n.world.seed = s->seed;
	starts = need(calloc(n.n, sizeof(*starts)));
	for (unsigned i = 0; i < n.n; i++)
		starts[i] = (int64_t)((.1 + rng_unit(&r) * (n.world.days - 1.2)) * 24 * (double)HOUR_US);
	qsort(starts, n.n, sizeof(*starts), by_value);
	w = study_world(s, &n.world);
	live(w, &n, starts, s->seed * 7919, &c);
	row = json_pack("{s:s, s:i, s:i, s:o, s:o}", "world", n.label, "deployments", (int)n.n, "hosts",
			(int)w->o.hosts, "false halts per 1000", json_share(c.halts, n.n, 1000), "pauses per 1000",
			json_share(c.pauses, n.n, 1000));
	for (int i = 0; n.compare && i < COMPARE_RULES; i++)
		json_object_set_new(row, compare_name((enum compare_rule)i), json_share(c.fired[i], n.n, 1000));
	json_object_set_new(row, "reached proceed, %", json_real(100.0 * c.proceeds / n.n));
	json_object_set_new(row, "reports", json_integer((json_int_t)w->reports));
	json_object_set_new(row, "seconds", json_integer((clock_boot_us() - begun) / SECOND_US));
	world_free(w);
	free(starts);
	return row;
}

/* ---- rows of runs ---- */

struct outcome *
study_runs(const struct study *s, struct run *r, const char *label, unsigned n)
{
	struct outcome *o = need(calloc(n, sizeof(*o)));

	r->seed = hash_mix(s->seed * 31 + n + strlen(label));
	for (const char *p = label; *p != '\0'; p++)
		r->seed = hash_mix(r->seed + (unsigned char)*p);
	if (run_many(r, n, s->jobs, label, o) == 0)
		return o;
	free(o);
	return NULL;
}

static json_t *
column(const struct outcome *o, unsigned n, size_t offset)
{
	double *v = need(malloc(n * sizeof(*v)));
	json_t *j;

	for (unsigned i = 0; i < n; i++)
		memcpy(&v[i], (const char *)&o[i] + offset, sizeof(*v));
	j = json_mean(v, n);
	free(v);
	return j;
}

json_t *
study_row(const struct study *s, const char *label, const struct run *r, const struct outcome *o, unsigned n,
	  const char *expected)
{
	unsigned halted = 0, fired;
	json_t *row;

	(void)s;
	for (unsigned i = 0; i < n; i++)
		halted += o[i].halted;
	row = json_pack("{s:s, s:i, s:o, s:s, s:o, s:o, s:o, s:o}", "case", label, "runs", (int)n, "hosts harmed",
			column(o, n, offsetof(struct outcome, harmed)), "reference", expected, "halted, %",
			json_share(halted, n, 100), "if pauses were obeyed",
			column(o, n, offsetof(struct outcome, watch_harmed)), "hosts served",
			column(o, n, offsetof(struct outcome, exposed)), "reports at the halt",
			column(o, n, offsetof(struct outcome, reports)));
	for (int k = 0; r->compare && k < COMPARE_RULES; k++) {
		char text[96];
		json_t *m = column(o, n, offsetof(struct outcome, fired_harmed) + (size_t)k * sizeof(double));

		fired = 0;
		for (unsigned i = 0; i < n; i++)
			fired += o[i].fired[k];
		if (fired == n) {
			json_object_set_new(row, compare_name((enum compare_rule)k), m);
			continue;
		}
		snprintf(text, sizeof(text), "%.0f (%.0f %%)", json_number_value(json_array_get(m, 0)),
			 100.0 * fired / n);
		json_object_set_new(row, compare_name((enum compare_rule)k), json_string(text));
		json_decref(m);
	}
	return row;
}
