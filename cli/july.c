/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/tables.h"

/* 19 July 2024: a content file pushed to 8.5 million hosts within 78 minutes from 04:09 UTC
 * put every one of them into a boot loop.
 *
 * What is known is in the model; what is not (how many uploaded a report, and when) is varied.
 * The fault shows as a page fault in the vendor's driver at one of two offsets, one crash in
 * ten as another stop code; a host reboots within one to three minutes and crashes again.
 * Two confusers: in the same night a region of the fleet is cut off for hours for a reason of
 * its own, and ordinary crashes go on, some of them popular. */

#define JULY_HOSTS 8500000u
#define PUSH_S     (78 * 60.0)

struct schedule {
	const char *name;
	unsigned n;
	double at_s[5], share[5];
	double ramp_first, ramp_double_s;
};

static const struct schedule schedules[] = {
	{ "flat, everybody within 78 minutes", 2, { 0, PUSH_S }, { 0, 1 }, 0, 0 },
	{ "0.1 % in 10 min, half an hour's bake, the rest in 78",
	  4,
	  { 0, 600, 2400, 2400 + PUSH_S },
	  { 0, .001, .001, 1 },
	  0,
	  0 },
	{ "0.1 % in 60 min, half an hour's bake, the rest in 78",
	  4,
	  { 0, 3600, 5400, 5400 + PUSH_S },
	  { 0, .001, .001, 1 },
	  0,
	  0 },
	{ "ramp: 20 hosts, twice as many every 10 minutes", 0, { 0 }, { 0 }, 20, 600 },
};

/* What is heard of the harmed. */
static const struct channel {
	const char *name;
	double upload;
	bool boots;
	unsigned interval_s;
} channels[] = {
	{ "10 % upload", .1, false, 300 },
	{ "1 % upload", .01, false, 300 },
	{ "silence, heartbeat 5 min", 0, false, 300 },
	{ "boots are heard of, nothing uploaded", 0, true, 300 },
	{ "silence, heartbeat 1 min", 0, false, 60 },
};
#define N_CHANNELS  5u
#define N_SCHEDULES 4u

/* HALT 8.6, rho 2 for crashes and 1.5 for silence. */
static const char *const expected[N_SCHEDULES][N_CHANNELS] = {
	{ "194000 +- 2000", "248000 +- 3000", "926282", "-", "381410" },
	{ "2333 +- 58", "3636 +- 128", "7225", "-", "2975" },
	{ "531 +- 17", "1031 +- 83", "1211 +- 14", "-", "496" },
	{ "52 +- 8", "456 +- 82", "28 +- 1", "-", "10 +- 0" },
};

static void
plan_july(struct push_plan *p, const struct schedule *s)
{
	push_defaults(p);
	p->n_points = s->n;
	memcpy(p->at_s, s->at_s, sizeof(s->at_s));
	memcpy(p->share, s->share, sizeof(s->share));
	p->ramp_first = s->ramp_first;
	p->ramp_double_s = s->ramp_double_s;
	p->hazard = 1;
	p->own = false; /* a content file: the driver that reads it is not in its manifest */
	p->module = "csagent.sys";
	p->variants = 2;
	p->other = .1;
	p->crash_s = 20;
	p->report_s = 240;
	p->report_sigma = .5;
}

/* The region goes dark two minutes after the push began. */
static void
cut_region(struct run *r, struct push *p)
{
	if (r->world->now_us == p->begin_us + 120 * SECOND_US)
		world_outage(r->world, r->world->now_us, .04, 6);
}

/* The outage and the noise alone, with a harmless push to everybody: nothing may halt. */
static int
confusers_alone(struct study *s, struct world *w, struct sheet *sheet, unsigned n)
{
	struct run r = { .world = w, .also = cut_region, .max_h = .5 };
	struct outcome *o;
	unsigned halted = 0;

	plan_july(&r.plan, &schedules[0]);
	r.plan.hazard = 0;
	o = study_runs(s, &r, "the outage alone", n);
	if (o == NULL)
		return -1;
	for (unsigned i = 0; i < n; i++)
		halted += o[i].halted;
	free(o);
	sheet_row(sheet, json_pack("{s:s, s:s, s:i, s:s, s:s, s:o}", "schedule", "flat, harmless content", "evidence",
				   "the outage and the noise alone", "runs", (int)n, "hosts harmed", "0", "reference",
				   "no halt", "halted, %", json_share(halted, n, 100)));
	return 0;
}

static int
add_case(struct study *s, struct sheet *sheet, struct run *r, unsigned schedule, unsigned channel, unsigned n)
{
	struct outcome *o;
	json_t *row, *whole;

	plan_july(&r->plan, &schedules[schedule]);
	r->plan.upload = channels[channel].upload;
	r->plan.boot_loop = channels[channel].boots;
	r->plan.dark = !channels[channel].boots;
	o = study_runs(s, r, schedules[schedule].name, n);
	if (o == NULL)
		return -1;
	whole = study_row(s, schedules[schedule].name, r, o, n, expected[schedule][channel]);
	row = json_pack("{s:s, s:s, s:i, s:O, s:s, s:O, s:O, s:O}", "schedule", schedules[schedule].name, "evidence",
			channels[channel].name, "runs", (int)n, "hosts harmed", json_object_get(whole, "hosts harmed"),
			"reference", expected[schedule][channel], "halted, %", json_object_get(whole, "halted, %"),
			"if pauses were obeyed", json_object_get(whole, "if pauses were obeyed"), "reports at the halt",
			json_object_get(whole, "reports at the halt"));
	for (int k = 0; r->compare && k < COMPARE_RULES; k++)
		json_object_set(row, compare_name((enum compare_rule)k),
				json_object_get(whole, compare_name((enum compare_rule)k)));
	json_object_set_new(row, "minutes", json_real((double)(int)(o->halt_s / 6) / 10));
	json_decref(whole);
	free(o);
	sheet_row(sheet, row);
	return 0;
}

static struct world *
fleet_of(const struct study *s, unsigned interval_s)
{
	/* a minute's heartbeat: silent is who missed three, as in the reference */
	static const char *const quick[] = { "halt-silence-beats", "3", "halt-silence-grace", "0s", NULL };
	struct world_options o;
	struct study fleet = *s;

	world_defaults(&o);
	o.seed = s->seed;
	o.hosts = s->hosts > 0 ? s->hosts : JULY_HOSTS;
	o.sites = o.hosts / 142 < 60000 ? o.hosts / 142 : 60000;
	o.interval_s = interval_s;
	o.settings = interval_s < 120 ? quick : NULL;
	o.history_h = .25;
	o.churn = .05;
	o.goodbye = .99;
	o.epoch_us = 1721362140000000; /* 04:09:00 UTC */
	o.crashes_day = o.hosts * .015;
	o.days = .15;
	fleet.hosts = 0;
	run_progress("%u hosts, a heartbeat every %u s", o.hosts, o.interval_s);
	return study_world(&fleet, &o);
}

int
july_2024(struct study *s)
{
	unsigned n = s->runs > 0 ? s->runs : 1;
	struct world *world = NULL;
	struct sheet sheet;
	int bad = 0;

	sheet_begin(&sheet, "19 July 2024",
		    "Hosts harmed until the halt took effect. What happened: 8,500,000, within 78 minutes.");
	for (unsigned k = 0; k < N_CHANNELS && bad == 0; k++) {
		struct run r = { .also = cut_region,
				 .compare = s->compare && channels[k].upload > 0,
				 .compare_until = 1 };
		bool last = k + 1 == N_CHANNELS || channels[k + 1].interval_s != channels[k].interval_s;

		if (world == NULL)
			world = fleet_of(s, channels[k].interval_s);
		r.world = world;
		for (unsigned i = 0; i < N_SCHEDULES && bad == 0; i++)
			bad = add_case(s, &sheet, &r, i, k, n);
		if (!last)
			continue;
		if (channels[k].interval_s == 300 && bad == 0)
			bad = confusers_alone(s, world, &sheet, n);
		world_free(world);
		world = NULL;
	}
	world_free(world);
	study_take(s, &sheet);
	return bad;
}
