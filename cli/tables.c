/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/tables.h"

/* The worlds that docs/HALT.md tabulates. */

static int
add_row(struct study *s, struct sheet *sheet, struct run *r, const char *label, unsigned n, const char *expected)
{
	struct outcome *o;

	if (s->runs > 0)
		n = s->runs;
	o = study_runs(s, r, label, n);
	if (o == NULL)
		return -1;
	sheet_row(sheet, study_row(s, label, r, o, n, expected));
	free(o);
	return 0;
}

/* Worlds in which no host falls silent: a heartbeat an hour says as much as one each five
 * minutes when the ledger is told so, and costs a twelfth. */
static void
crash_world(struct world_options *o, uint32_t hosts, uint32_t sites)
{
	/* a bake time longer than the day: who has stayed alive is not asked here */
	static const char *const slow[] = { "halt-active", "65m", "bake", "30h", NULL };

	world_defaults(o);
	o->hosts = hosts;
	o->sites = sites;
	o->interval_s = 3600;
	o->settings = slow;
}

/* ---- nothing is wrong ---- */

/* Where it is asked. */
static void
null_world(struct world_options *o, uint32_t hosts, uint32_t sites)
{
	static const char *const settings[] = { "halt-active", "35m", NULL };

	crash_world(o, hosts, sites);
	o->interval_s = 1800;
	o->settings = settings;
	o->tick_s = 30;
}

static int
make_null(struct study *s)
{
	struct nulls n = { .label = "randomised rings", .n = 1000, .compare = s->compare };
	struct sheet sheet;

	sheet_begin(
		&sheet, "Harmless deployments",
		"False halts and pauses per 1,000 deployments with 95 % intervals; rings of 0.1, 1, 10, 50 and 100 % "
		"in a day; 100,000 hosts, 5,000 known crashes and 200 births a day.");
	null_world(&n.world, 100000, 2000);
	n.world.crashes_day = 5000;
	push_defaults(&n.plan);
	plan_day(&n.plan);
	sheet_row(&sheet, study_nulls(s, &n));
	study_take(s, &sheet);
	return 0;
}

static int
make_staged(struct study *s)
{
	struct nulls n = { .n = 1000 };
	struct sheet sheet;

	sheet_begin(&sheet, "Harmless deployments that are not randomised per host",
		    "50,000 hosts at 1,000 sites, 1,500 known crashes and 200 births a day.");
	null_world(&n.world, 50000, 1000);
	n.world.crashes_day = 1500;
	push_defaults(&n.plan);
	plan_day(&n.plan);
	n.n = 300;
	n.label = "site after site, at random";
	n.plan.order = PUSH_BY_SITE;
	sheet_row(&sheet, study_nulls(s, &n));
	n.n = 1000;
	n.label = "small sites first";
	n.plan.order = PUSH_BY_SITE_SIZE;
	sheet_row(&sheet, study_nulls(s, &n));
	n.n = 300;
	n.label = "one fixed ring whose hosts crash 20 times more";
	n.plan.order = PUSH_FIXED;
	n.world.lab = 20;
	sheet_row(&sheet, study_nulls(s, &n));
	n.world.lab = 1;
	n.n = 1000;
	n.label = "12 sites, 3,000 hosts, by site";
	n.plan.order = PUSH_BY_SITE;
	n.world.hosts = 3000;
	n.world.sites = 12;
	n.world.crashes_day = 300;
	n.world.births_day = 40;
	sheet_row(&sheet, study_nulls(s, &n));
	n.label = "12 sites, 3,000 hosts, by hash";
	n.plan.order = PUSH_BY_HASH;
	sheet_row(&sheet, study_nulls(s, &n));
	study_take(s, &sheet);
	return 0;
}

static int
make_rebuild(struct study *s)
{
	static const double rates[] = { 10, 100, 1000 };
	struct nulls n = { .n = 340 };
	struct sheet sheet;

	sheet_begin(&sheet, "Harmless rebuilds of a module that crashes anyway",
		    "Every crash of the new build has a signature that only served hosts can have.");
	null_world(&n.world, 50000, 1000);
	push_defaults(&n.plan);
	plan_day(&n.plan);
	for (int i = 0; i < 3; i++) {
		char label[64];

		snprintf(label, sizeof(label), "module on %.0f hosts a day", rates[i]);
		n.label = label;
		n.plan.rebuild = rates[i];
		sheet_row(&sheet, study_nulls(s, &n));
	}
	study_take(s, &sheet);
	return 0;
}

/* ---- a bad payload that uploads ---- */

static const double hazards[] = { 1, .1, .01, .001, .0001 };
static const char *const hazard_names[] = { "100 %", "10 %", "1 %", "0.1 %", "0.01 %" };

static int
make_hazards(struct study *s)
{
	static const char *const expected[] = { "106.6 +- 1.2", "18.7 +- 0.4", "5.4 +- 0.2", "6.3 +- 0.3",
						"10.8 +- 0.5" };
	static const char *const own[] = { "106.6 (rho 2)", "18.7 (rho 2)", "5.4 (rho 2)", "6.5 +- 0.3 (rho 2)",
					   "12.7 +- 0.6 (rho 2)" };
	struct run r = { .compare = s->compare, .compare_until = .5, .noise = true };
	struct world_options o;
	struct sheet sheet;
	char label[64];
	int bad = 0;

	sheet_begin(
		&sheet, "A bad payload whose hosts upload",
		"One million hosts, randomised rings of 0.1, 1, 10, 50 and 100 % at 0, 2, 6, 12 and 18 h; 90 % upload, "
		"median 3 min after the crash; the stop takes 30 s.");
	crash_world(&o, 1000000, 20000);
	r.world = study_world(s, &o);
	push_defaults(&r.plan);
	plan_day(&r.plan);
	for (int i = 0; i < 10 && bad == 0; i++) {
		r.plan.hazard = hazards[i % 5];
		r.plan.own = i >= 5;
		r.compare = s->compare && i < 5;
		snprintf(label, sizeof(label), "%s%s", hazard_names[i % 5], i >= 5 ? ", module in the manifest" : "");
		bad = add_row(s, &sheet, &r, label,
			      i >= 5  ? 100
			      : i < 3 ? 400
				      : 200,
			      i >= 5 ? own[i % 5] : expected[i]);
	}
	world_free(r.world);
	study_take(s, &sheet);
	return bad;
}

static int
make_old(struct study *s)
{
	static const double baseline[] = { 10, 100, 1000 };
	static const char *const expected[3][3] = { { "7.5 +- 0.3", "7.9 +- 0.4", "17.7 +- 1.1" },
						    { "7.5 +- 0.4", "10.8 +- 0.9", "84.5 (18 %)" },
						    { "8.8 +- 0.6", "24.6 +- 2.3", "never" } };
	struct sheet sheet;
	char label[64];
	int bad = 0;

	sheet_begin(&sheet, "A known signature comes more often",
		    "The same fleet and rings; the signature had so many hosts a day before.");
	for (int b = 0; b < 3 && bad == 0; b++) {
		struct run r = { .noise = true };
		struct world_options o;

		crash_world(&o, 1000000, 20000);
		o.flaky_day = baseline[b];
		r.world = study_world(s, &o);
		push_defaults(&r.plan);
		plan_day(&r.plan);
		r.plan.known = 0;
		r.plan.kind = REPORT_USER;
		r.plan.upload = 1;
		for (int i = 2; i < 5 && bad == 0; i++) {
			r.plan.hazard = hazards[i];
			snprintf(label, sizeof(label), "%g hosts a day, %s", baseline[b], hazard_names[i]);
			bad = add_row(s, &sheet, &r, label, i < 4 ? 200 : 60, expected[b][i - 2]);
		}
		world_free(r.world);
	}
	study_take(s, &sheet);
	return bad;
}

/* ---- hosts that fall silent ---- */

static void
dark_world(struct world_options *o, bool goodbye)
{
	world_defaults(o);
	o->interval_s = 300;
	o->tick_s = 5;
	o->history_h = 4;
	o->churn = .05;
	o->goodbye = goodbye ? .99 : 0;
}

static int
make_dark(struct study *s)
{
	static const char *const expected[2][5] = {
		{ "311.2 +- 1.8 (rho 1.5)", "37.9 +- 0.8 (rho 1.5)", "10.2 +- 1.1 (rho 1)", "28.9 +- 2.4 (rho 1)",
		  "70.4 (78 %, rho 1)" },
		{ "324.3 +- 2.1 (rho 1.5)", "48.5 +- 0.9 (rho 1.5)", "77.5 +- 3.9 (rho 1)", "never", "never" },
	};
	static const unsigned runs[5] = { 200, 200, 100, 60, 60 };
	struct sheet sheet;
	char label[64];
	int bad = 0;

	sheet_begin(
		&sheet, "A bad payload whose hosts never upload (went dark)",
		"The same fleet and rings, a heartbeat every 5 minutes; 5 % of the hosts fall silent an hour, with a "
		"goodbye 99 % of these say so.");
	for (int g = 0; g < 2 && bad == 0; g++) {
		struct run r = { .noise = true };
		struct world_options o;

		dark_world(&o, g == 0);
		r.world = study_world(s, &o);
		push_defaults(&r.plan);
		plan_day(&r.plan);
		r.plan.dark = true;
		r.plan.upload = 0;
		r.plan.crash_s = 30;
		for (int i = 0; i < 5 && bad == 0; i++) {
			r.plan.hazard = hazards[i];
			snprintf(label, sizeof(label), "%s, %s", g == 0 ? "goodbye" : "no goodbye", hazard_names[i]);
			bad = add_row(s, &sheet, &r, label, runs[i], expected[g][i]);
		}
		world_free(r.world);
	}
	study_take(s, &sheet);
	return bad;
}

static int
make_dark_null(struct study *s)
{
	struct nulls n = { .n = 1000 };
	struct sheet sheet;

	sheet_begin(&sheet, "Harmless deployments while hosts fall silent anyway",
		    "200,000 hosts at 4,000 sites, a heartbeat every 5 minutes, five sites a day cut off for hours.");
	push_defaults(&n.plan);
	plan_day(&n.plan);
	for (int g = 0; g < 2; g++) {
		dark_world(&n.world, g == 1);
		n.world.hosts = 200000;
		n.world.sites = 4000;
		n.world.crashes_day = 3000;
		n.world.outages_day = 5;
		n.world.tick_s = 5;
		n.label = g == 1 ? "goodbye" : "no goodbye";
		sheet_row(&sheet, study_nulls(s, &n));
	}
	n.label = "goodbye, site after site";
	n.plan.order = PUSH_BY_SITE;
	sheet_row(&sheet, study_nulls(s, &n));
	study_take(s, &sheet);
	return 0;
}

static int
make_boot_loop(struct study *s)
{
	struct run r = { .noise = true };
	struct world_options o;
	struct sheet sheet;
	char label[64];
	int bad = 0;

	sheet_begin(
		&sheet, "A bad payload that boots again and again, nothing uploaded",
		"The same fleet and rings; a boot every one to three minutes is all that is heard of a harmed host.");
	dark_world(&o, true);
	r.world = study_world(s, &o);
	push_defaults(&r.plan);
	plan_day(&r.plan);
	r.plan.boot_loop = true;
	r.plan.upload = 0;
	r.plan.crash_s = 30;
	for (int i = 0; i < 4 && bad == 0; i++) {
		r.plan.hazard = hazards[i];
		snprintf(label, sizeof(label), "boot loop, %s", hazard_names[i]);
		bad = add_row(s, &sheet, &r, label, i < 3 ? 200 : 100, "-");
	}
	world_free(r.world);
	study_take(s, &sheet);
	return bad;
}

/* ---- small fleets ---- */

static int
make_small(struct study *s)
{
	static const struct {
		uint32_t hosts, sites;
		const char *expected;
	} fleets[] = { { 3000, 12, "28 % halted [R]" }, { 5000, 30, "93 % halted [R]" }, { 20000, 100, "-" } };
	struct sheet sheet;
	char label[64];
	int bad = 0;

	sheet_begin(&sheet, "Small fleets, hazard 1 % and 10 %",
		    "The same rings; the share halted before everybody was served.");
	for (int f = 0; f < 3 && bad == 0; f++) {
		struct run r = { .noise = true };
		struct world_options o;

		crash_world(&o, fleets[f].hosts, fleets[f].sites);
		o.tick_s = 5;
		o.crashes_day = o.hosts * .015;
		o.births_day = 20;
		r.world = study_world(s, &o);
		push_defaults(&r.plan);
		plan_day(&r.plan);
		for (int i = 2; i >= 1 && bad == 0; i--) {
			r.plan.hazard = hazards[i];
			snprintf(label, sizeof(label), "%u hosts, %u sites, %s", o.hosts, o.sites, hazard_names[i]);
			bad = add_row(s, &sheet, &r, label, 200, i == 2 ? fleets[f].expected : "-");
		}
		world_free(r.world);
	}
	study_take(s, &sheet);
	return bad;
}

/* ---- forgers ---- */

struct forgers {
	unsigned control;  /* forged crashes of the signature on hosts not served */
	unsigned per_site; /* forged crashes of served hosts, all at one site */
};

/* A site that makes its hosts crash by hand, or hosts not served that claim the signature. */
static void
forge(struct run *r, struct push *p)
{
	const struct forgers *f = r->arg;
	struct world *w = r->world;
	struct rng rng = rng_of(r->seed, 11);
	int64_t at = p->begin_us + 60 * SECOND_US;
	unsigned n = 0;

	if (w->now_us != at)
		return;
	for (unsigned i = 0; i < f->control; i++) {
		struct event e = { .at_us = at + (int64_t)rng_below(&rng, 120 * SECOND_US),
				   .host = (uint32_t)rng_below(&rng, w->o.hosts),
				   .signature = SIGNATURE_PUSHED | p->no << 8,
				   .what = HAPPEN_REPORT };

		e.occurred_us = e.at_us;
		if (!push_is_exposed(p, e.host))
			world_plan(w, &e);
	}
	for (uint32_t h = w->site_start[3]; n < f->per_site && h < w->site_start[4]; h++, n++) {
		struct event e = { .at_us = at + HOUR_US * 13 + n * SECOND_US,
				   .host = h,
				   .signature = SIGNATURE_PUSHED | p->no << 8,
				   .what = HAPPEN_REPORT };

		e.occurred_us = e.at_us;
		world_plan(w, &e);
	}
}

static int
make_forged(struct study *s)
{
	static const unsigned controls[] = { 0, 100, 1000 };
	struct run r = { .noise = true, .also = forge };
	struct forgers f = { 0 };
	struct world_options o;
	struct sheet sheet;
	char label[80];
	int bad = 0;

	sheet_begin(
		&sheet, "Forged reports",
		"Crashes of the bad signature forged on hosts not served must not hide it; crashes forged at one site "
		"must not halt.");
	crash_world(&o, 1000000, 20000);
	r.world = study_world(s, &o);
	r.arg = &f;
	push_defaults(&r.plan);
	plan_day(&r.plan);
	r.plan.hazard = .1;
	for (int i = 0; i < 3 && bad == 0; i++) {
		f.control = controls[i];
		snprintf(label, sizeof(label), "hazard 10 %%, %u forged control crashes", controls[i]);
		bad = add_row(s, &sheet, &r, label, 100, i == 0 ? "18.7" : "-");
	}
	f.control = 0;
	f.per_site = 5000;
	r.plan.hazard = 0;
	if (bad == 0)
		bad = add_row(s, &sheet, &r, "harmless; one site forges 5,000 crashes of served hosts", 40,
			      "0 % halted");
	world_free(r.world);
	study_take(s, &sheet);
	return bad;
}

/* ---- two deployments ---- */

/* A second, harmless deployment begins with the first, which is bad. */
static struct push *second;

static void
push_second(struct run *r, struct push *p)
{
	struct push_plan plan = p->plan;

	if (r->world->now_us != p->begin_us)
		return;
	plan.hazard = 0;
	second = push_new(r->world, &plan, r->seed + 99);
}

/* What is said of it hours after the halt, when its hosts have long been resolved. */
static void
tell_second(struct run *r, struct push *p, struct outcome *o)
{
	struct verdict_view v;

	(void)p;
	world_until(r->world, r->world->now_us + 3 * HOUR_US);
	if (!ledger_verdict(r->world->ledger, second->no, &v))
		return;
	o->extra[0] = second->halts > 0;
	o->extra[1] = v.verdict == VERDICT_PROCEED;
	o->extra[2] = v.state == STATE_CO_SUSPECT;
}

static int
make_suspects(struct study *s)
{
	static const double shares[] = { .02, .2, 1 }, hours[] = { 0, 6, 12 };
	struct run r = { .noise = true, .also = push_second, .finish = tell_second };
	struct world_options o;
	struct sheet sheet;
	int bad = 0;

	sheet_begin(
		&sheet, "Two deployments at once, one of them bad",
		"Both start together; 20,000 hosts, rings of 2, 20 and 100 %, hazard 20 %; what is said of the "
		"harmless one three hours after the halt of the other. In the same ring the two cannot be told apart.");
	world_defaults(&o);
	o.hosts = 20000;
	o.sites = 400;
	o.crashes_day = 600;
	o.history_h = 6;
	r.world = study_world(s, &o);
	push_defaults(&r.plan);
	push_rings(&r.plan, shares, hours, 3, 1800);
	r.plan.hazard = .2;
	for (int fixed = 0; fixed < 2 && bad == 0; fixed++) {
		unsigned n = s->runs > 0 ? s->runs : 100, halted = 0, count[3] = { 0 };
		const char *label = fixed ? "the same fixed ring" : "salts of their own";
		struct outcome *v;

		r.plan.order = fixed ? PUSH_FIXED : PUSH_BY_HASH;
		v = study_runs(s, &r, label, n);
		if (v == NULL) {
			bad = -1;
			break;
		}
		for (unsigned i = 0; i < n; i++) {
			halted += v[i].halted;
			for (int k = 0; k < 3; k++)
				count[k] += v[i].extra[k] > 0;
		}
		sheet_row(&sheet,
			  json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "case", label, "runs", (int)n,
				    "bad one halted, %", json_share(halted, n, 100), "other one halted, %",
				    json_share(count[0], n, 100), "other one proceeds, %", json_share(count[1], n, 100),
				    "other one held as a co-suspect, %", json_share(count[2], n, 100)));
		free(v);
	}
	world_free(r.world);
	study_take(s, &sheet);
	return bad;
}

const struct table_of tables[] = {
	{ "null", "harmless deployments, one million hosts", make_null },
	{ "staged", "harmless, staged by site, by site size, by a fixed ring; 12-site fleets", make_staged },
	{ "rebuild", "harmless rebuilds of modules that crash anyway", make_rebuild },
	{ "hazards", "a bad payload of 100 % to 0.01 %", make_hazards },
	{ "old", "a known signature comes more often", make_old },
	{ "dark", "a bad payload whose hosts never upload", make_dark },
	{ "dark-null", "harmless while hosts fall silent anyway", make_dark_null },
	{ "boot-loop", "a bad payload that boots again and again", make_boot_loop },
	{ "small", "small fleets", make_small },
	{ "forged", "forged reports", make_forged },
	{ "suspects", "two deployments at once, one bad", make_suspects },
};
const unsigned n_tables = sizeof(tables) / sizeof(tables[0]);
