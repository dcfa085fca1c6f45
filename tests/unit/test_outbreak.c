/* SPDX-License-Identifier: Apache-2.0 */
/* Alarms without a deployment, on whole logs. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/ledger/state.h"
#include "tests/unit/halt_help.h"
#include "tests/unit/ledger_help.h"

#define FLEET  2000u
#define MINUTE 60000000ll

/* ---- a world ---- */

struct heard {
	unsigned raised[ALARM_N], cleared[ALARM_N];
	struct alarm last;
};

struct world {
	struct heard heard;
	struct ledger *l;
	struct scribe s;
	struct dice dice;
	uint32_t all[FLEET];
	uint64_t n; /* crashes so far */
};

static void
on_alarm(void *arg, const struct alarm *a)
{
	struct heard *h = arg;

	h->last = *a;
	if (a->cleared_us == 0)
		h->raised[a->kind]++;
	else
		h->cleared[a->kind]++;
}

static struct ledger *
new_ledger(struct heard *h)
{
	struct ledger_options o = { .sink = { .arg = h, .alarm = on_alarm } };

	return ledger_new(&o);
}

static void
here(struct world *w)
{
	scribe_presence(&w->s, w->all, FLEET);
}

/* Time goes by, and the fleet is there. */
static void
pass(struct world *w, unsigned minutes)
{
	for (unsigned i = 0; i < minutes * 2; i++) {
		if (i % 20 == 0)
			here(w);
		scribe_tick(&w->s, MINUTE / 2);
	}
}

static struct world *
begin(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->dice.state = 99;
	w->l = new_ledger(&w->heard);
	scribe_init(&w->s, w->l);
	scribe_fleet(&w->s, 1, FLEET);
	for (uint32_t i = 0; i < FLEET; i++)
		w->all[i] = i;
	pass(w, 2);
	return w;
}

static void
end(struct world *w)
{
	assert_false(w->s.failed);
	scribe_fini(&w->s);
	ledger_free(w->l);
	free(w);
}

static void
crash(struct world *w, uint64_t host, const char *module, uint64_t offset, enum report_kind kind)
{
	char site[16];
	struct crash c = { .host = host,
			   .site = scribe_site(host, site),
			   .module = module,
			   .module_id = "11112222333344445555666677778888",
			   .offset = offset,
			   .reason = "PAGE_FAULT_IN_NONPAGED_AREA",
			   .kind = kind,
			   .epoch = 1,
			   .seq = ++w->n };

	scribe_crash(&w->s, &c);
}

static uint64_t
any_host(struct world *w)
{
	return 1 + dice_below(&w->dice, FLEET);
}

static unsigned
alarms(const struct world *w, struct alarm *first)
{
	struct alarm a[ALARMS_KEPT];
	size_t n = ledger_alarms(w->l, w->s.tenant, a, ALARMS_KEPT);

	if (n > 0 && first != NULL)
		*first = a[0];
	return (unsigned)n;
}

/* ---- newborn signatures ---- */

static void
spread(struct world *w, unsigned hosts, uint64_t offset)
{
	for (unsigned i = 0; i < hosts; i++) {
		crash(w, 1 + (i * 37) % FLEET, "badnews.sys", offset, REPORT_KERNEL);
		if (i % 10 == 9)
			scribe_tick(&w->s, MINUTE / 60);
	}
}

static void
a_fault_spreads_at_a_cold_start(void **state)
{
	struct world *w = begin();
	struct alarm a;

	(void)state;
	spread(w, 40, 0x100);
	assert_int_equal(w->heard.raised[ALARM_OUTBREAK], 1);
	assert_int_equal(w->heard.raised[ALARM_BRAKE], 1); /* 2 % of the fleet, at 40 sites */
	assert_int_equal(alarms(w, &a), 2);
	assert_string_equal(a.title, w->heard.last.title);
	assert_non_null(strstr(a.title, "badnews.sys"));
	assert_false(a.certified); /* nothing is learned yet; and the brake never is */
	assert_true(a.hosts >= 10 && a.sites >= 5 && a.active > FLEET / 2 && a.cleared_us == 0);
	pass(w, 70);
	assert_int_equal(w->heard.cleared[ALARM_OUTBREAK], 1);
	assert_int_equal(w->heard.cleared[ALARM_BRAKE], 1);
	alarms(w, &a);
	assert_true(a.cleared_us > a.raised_us);
	end(w);
}

/* A power cut, a lab, an image: one place is one vote. */
static void
one_site_is_no_outbreak(void **state)
{
	struct world *w = begin();

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		struct crash c = { .host = 1 + i % FLEET,
				   .site = "lab",
				   .module = "badnews.sys",
				   .offset = 0x100,
				   .kind = REPORT_KERNEL,
				   .epoch = 1,
				   .seq = i + 1 };

		scribe_crash(&w->s, &c);
		scribe_tick(&w->s, MINUTE / 60);
	}
	assert_int_equal(alarms(w, NULL), 0);
	end(w);
}

static void
programs_make_no_outbreak(void **state)
{
	struct world *w = begin();

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		crash(w, 1 + i * 37 % FLEET, "editor.exe", 0x100, REPORT_USER);
	assert_int_equal(alarms(w, NULL), 0);
	end(w);
}

/* The brake out of the way. */
static void
no_brake(struct world *w)
{
	char name[] = "halt-brake-sites", value[] = "100000";
	Faultline__Log__Setting one = FAULTLINE__LOG__SETTING__INIT, *all[1] = { &one };
	Faultline__Log__Settings m = FAULTLINE__LOG__SETTINGS__INIT;

	one.name = name;
	one.value = value;
	m.settings = all;
	m.n_settings = 1;
	scribe_message(&w->s, RECORD_SETTINGS, &m);
}

static void
births_are_learned(void **state)
{
	uint64_t everybody[FLEET];
	struct verdict_view v;
	uint32_t no;
	struct world *w = begin();
	struct fleet_learned f;
	struct alarm a;

	(void)state;
	for (unsigned i = 0; i < 210; i++) { /* benign: on one or two hosts */
		char module[16];

		snprintf(module, sizeof(module), "drv%u.sys", i);
		for (unsigned k = 0; k <= i % 2; k++)
			crash(w, any_host(w), module, 0x40, REPORT_KERNEL);
		if (i % 10 == 0)
			pass(w, 30);
	}
	ledger_learned(w->l, w->s.tenant, &f);
	assert_true(f.births < 100 && !f.births_learned);
	pass(w, 25 * 60);
	ledger_learned(w->l, w->s.tenant, &f);
	assert_int_equal(f.births, 210);
	no_brake(w);
	/* a push that leaves nobody to compare with, and one of long ago */
	for (uint32_t i = 0; i < FLEET; i++)
		everybody[i] = 1 + i;
	scribe_deploy(&w->s, "old", 0, 0, "armed");
	scribe_serve(&w->s, "old", everybody, FLEET);
	pass(w, 25 * 60);
	/* and one in stages: it was compared for hours before its last ring */
	scribe_deploy(&w->s, "staged", 0, 0, "armed");
	scribe_serve(&w->s, "staged", everybody, FLEET / 2);
	pass(w, 70);
	scribe_serve(&w->s, "staged", everybody + FLEET / 2, FLEET / 2);
	scribe_deploy(&w->s, "push", 0, 0, "armed");
	scribe_deploy(&w->s, "ring", 0, 0, "armed");
	scribe_serve(&w->s, "push", everybody, FLEET);
	scribe_serve(&w->s, "ring", everybody, FLEET / 10);
	pass(w, 2);
	assert_true(f.births_learned && f.evidence_most > log(1e4));
	assert_int_equal(alarms(w, NULL), 0);
	spread(w, 40, 0x100);
	assert_int_equal(w->heard.raised[ALARM_OUTBREAK], 1);
	assert_int_equal(alarms(w, &a), 1);
	assert_true(a.certified && a.log_e >= a.log_needed && a.log_needed > 9); /* 1e-4 */
	assert_int_equal(a.deployments, 1);
	assert_true(ledger_deployment_find(w->l, w->s.tenant, TEXT("push"), &no) && ledger_verdict(w->l, no, &v));
	assert_int_equal(v.state, STATE_HALTED_HEURISTIC);
	assert_true(v.by_past);
	assert_non_null(strstr(v.reason, "No hosts are left to compare with"));
	assert_non_null(strstr(v.reason, "badnews.sys"));
	assert_non_null(strstr(v.reason, "new kernel signatures (threshold: 1 of 10,000)"));
	assert_true(v.harmed >= 10);
	assert_true(ledger_deployment_find(w->l, w->s.tenant, TEXT("old"), &no) && ledger_verdict(w->l, no, &v));
	assert_int_not_equal(v.verdict, VERDICT_HALT);
	assert_true(ledger_deployment_find(w->l, w->s.tenant, TEXT("staged"), &no) && ledger_verdict(w->l, no, &v));
	assert_int_not_equal(v.verdict, VERDICT_HALT);
	assert_false(v.by_past);
	assert_true(ledger_deployment_find(w->l, w->s.tenant, TEXT("ring"), &no) && ledger_verdict(w->l, no, &v));
	assert_int_not_equal(v.verdict, VERDICT_HALT);
	end(w);
}

static struct verdict_view
verdict_on(const struct world *w, const char *id)
{
	struct verdict_view v;
	uint32_t no;

	assert_true(ledger_deployment_find(w->l, w->s.tenant, text_of(id), &no) && ledger_verdict(w->l, no, &v));
	return v;
}

static void
push_to_all(struct world *w, const char *id)
{
	uint64_t everybody[FLEET];

	for (uint32_t i = 0; i < FLEET; i++)
		everybody[i] = 1 + i;
	scribe_deploy(&w->s, id, 0, 0, "armed");
	scribe_serve(&w->s, id, everybody, FLEET);
}

/* What a benign signature does is not known yet: a push that left no controls is paused, not halted. */
static void
a_cold_start_only_pauses(void **state)
{
	struct world *w = begin();
	struct verdict_view v;

	(void)state;
	pass(w, 70);
	no_brake(w);
	push_to_all(w, "push");
	pass(w, 2);
	spread(w, 40, 0x100);
	v = verdict_on(w, "push");
	assert_int_equal(v.state, STATE_WATCH);
	assert_int_equal(v.verdict, VERDICT_HOLD);
	assert_true(v.by_past && !v.sticky);
	assert_non_null(strstr(v.reason, "No hosts are left to compare with"));
	pass(w, 20);
	assert_int_not_equal(verdict_on(w, "push").state, STATE_WATCH);
	end(w);
}

/* ---- known ones ---- */

static void
crashes_for(struct world *w, unsigned minutes, double per_minute)
{
	for (unsigned i = 0; i < minutes; i++) {
		if (i % 10 == 0)
			here(w);
		for (uint64_t n = dice_poisson(&w->dice, per_minute); n > 0; n--)
			crash(w, any_host(w), "flaky.exe", 0x77, REPORT_USER);
		scribe_tick(&w->s, MINUTE);
	}
}

static void
a_known_one_surges(void **state)
{
	struct world *w = begin();
	struct alarm a;

	(void)state;
	crashes_for(w, 3 * 24 * 60, .2); /* one in five minutes */
	assert_int_equal(alarms(w, NULL), 0);
	crashes_for(w, 120, .4); /* twice that is within daily variation */
	assert_int_equal(alarms(w, NULL), 0);
	crashes_for(w, 20, 8);
	assert_true(w->heard.raised[ALARM_SURGE] >= 1);
	alarms(w, &a);
	assert_int_equal(a.kind, ALARM_SURGE);
	assert_true(a.log_e >= a.log_needed && a.log_needed > 13);
	pass(w, 90);
	assert_int_equal(w->heard.cleared[ALARM_SURGE], w->heard.raised[ALARM_SURGE]);
	end(w);
}

/* Everybody is served within minutes, and a known crash comes far more often: there is no one to compare
 * with, but its own past. */
static void
a_push_at_once_is_compared_with_the_past(void **state)
{
	struct world *w = begin();
	struct verdict_view v;

	(void)state;
	crashes_for(w, 3 * 24 * 60, .2);
	push_to_all(w, "harmless");
	crashes_for(w, 55, .4); /* within daily variation */
	v = verdict_on(w, "harmless");
	assert_int_not_equal(v.state, STATE_HALTED);
	assert_int_not_equal(v.state, STATE_WATCH);
	crashes_for(w, 24 * 60, .2);
	push_to_all(w, "cold");
	crashes_for(w, 20, 8); /* how much days differ is not learned yet */
	assert_int_equal(verdict_on(w, "cold").state, STATE_WATCH);
	crashes_for(w, 24 * 60, .2);
	push_to_all(w, "bad");
	w->l->outbreaks.fit = (struct frailty_fit){ .mean_squared = 4, .excess = 1, .keys = FRAILTY_KEYS_MIN };
	crashes_for(w, 40, 8);
	v = verdict_on(w, "bad");
	assert_int_equal(v.state, STATE_HALTED_HEURISTIC);
	assert_true(v.by_past && v.cannot_certify);
	assert_non_null(strstr(v.reason, "flaky.exe"));
	assert_non_null(strstr(v.reason, "usual at this time of day"));
	assert_non_null(strstr(v.reason, "deployments (threshold: 1 of 1 million)"));
	assert_int_not_equal(verdict_on(w, "harmless").verdict, VERDICT_HALT); /* hours ago: not its doing */
	/* a person goes on: counting begins anew, with half of alpha */
	scribe_decide(&w->s, "bad", FAULTLINE__LOG__ACTION__ACTION_RESUME, false, "known", 0, false);
	assert_int_not_equal(verdict_on(w, "bad").verdict, VERDICT_HALT);
	end(w);
}

/* While the server was away nobody was counted: that is no surge afterwards, and no exposure. */
static void
our_own_absence_is_no_surge(void **state)
{
	struct world *w = begin();

	(void)state;
	crashes_for(w, 2 * 24 * 60, .3);
	scribe_tick(&w->s, 600 * MINUTE);
	for (int i = 0; i < 60; i++) /* what was spooled meanwhile */
		crash(w, any_host(w), "flaky.exe", 0x77, REPORT_USER);
	scribe_tick(&w->s, 10 * MINUTE);
	crashes_for(w, 60, .3);
	assert_int_equal(alarms(w, NULL), 0);
	end(w);
}

/* ---- what deployments teach ---- */

/* A listed ring of 600 hosts at 60 sites which crashes three times as often as the others, by itself. */
static void
lab_deployment(struct world *w, unsigned no)
{
	char id[16], name[] = "lab", assignment[] = "listed", mode[] = "armed", module[24];
	Faultline__Log__Ring ring = FAULTLINE__LOG__RING__INIT, *rings[1] = { &ring };
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	uint64_t hosts[600];
	unsigned n = 0;

	snprintf(id, sizeof(id), "d%u", no);
	ring.name = name;
	ring.size = 600;
	m.id = id;
	m.assignment = assignment;
	m.mode = mode;
	m.rings = rings;
	m.n_rings = 1;
	m.salt = 7;
	m.close_ms = 3600000;
	scribe_message(&w->s, RECORD_DEPLOYMENT, &m);
	for (unsigned i = 0; i < 600; i++)
		hosts[i] = 1 + i;
	scribe_serve(&w->s, id, hosts, 600);
	pass(w, 1);
	/* one crash a site, at 39 of 60 sites served and at 30 of 140 others */
	for (unsigned i = 0; i < 69; i++) {
		unsigned at = i * 37 % 69; /* in no order */

		snprintf(module, sizeof(module), "app%u-%u.exe", no, n++);
		crash(w, 1 + 10 * (at < 39 ? at : 21 + at) + no % 10, module, 0x10, REPORT_USER);
	}
	pass(w, 62);
}

static void
rho_and_births_are_learned(void **state)
{
	struct world *w = begin();
	struct fleet_learned f;
	struct verdict_view v;
	uint32_t no;

	(void)state;
	pass(w, 70); /* the hosts are old enough to vote */
	for (unsigned i = 0; i < 31; i++) {
		lab_deployment(w, i);
		ledger_learned(w->l, w->s.tenant, &f);
		assert_int_equal(f.deployments, i + 1);
		assert_int_equal(f.n_rings, 1);
		assert_string_equal(f.rings[0].name, "listed/lab");
		assert_true((f.rings[0].rho > 0) == (i + 1 >= 30));
		assert_true(ledger_deployment_find(w->l, w->s.tenant, TEXT("d30"), &no) == (i == 30));
	}
	assert_true(f.rings[0].last > 2 && f.rings[0].last < 4.5);
	assert_true(f.rings[0].rho >= f.rings[0].last);
	assert_true(f.births_user > 60 && f.births_kernel == 0);
	assert_true(ledger_verdict(w->l, no, &v));
	assert_true(v.assumed.rho == f.rings[0].rho); /* the 31st was the first to profit */
	assert_true(ledger_deployment_find(w->l, w->s.tenant, TEXT("d29"), &no) && ledger_verdict(w->l, no, &v));
	assert_true(v.assumed.rho == 5);
	end(w);
}

/* ---- state ---- */

struct shelf {
	struct {
		uint64_t id;
		void *bytes;
		size_t len;
	} at[4096];
	size_t n;
};

static void
shelve(void *arg, uint64_t id, const void *bytes, size_t len)
{
	struct shelf *sh = arg;
	size_t i = 0;

	while (i < sh->n && sh->at[i].id != id)
		i++;
	if (i == sh->n)
		sh->at[sh->n++].bytes = NULL;
	assert_true(sh->n < 4096);
	free(sh->at[i].bytes);
	sh->at[i].id = id;
	sh->at[i].len = len;
	sh->at[i].bytes = memcpy(malloc(len + 1), bytes, len);
}

static int
by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Stopped in the middle of a surge and loaded again: nothing is different from then on. */
static void
a_snapshot_changes_nothing(void **state)
{
	struct world *w = begin();
	struct heard again = { { 0 }, { 0 }, { 0 } };
	struct shelf *sh = calloc(1, sizeof(*sh));
	uint8_t a[32], b[32];
	struct ledger *l;
	size_t half;

	(void)state;
	assert_non_null(sh);
	crashes_for(w, 26 * 60, .3);
	ledger_snapshot_begin(w->l, true, shelve, sh);
	while (!ledger_snapshot_step(w->l, 100000))
		;
	ledger_snapshot_end(w->l, true);
	crashes_for(w, 22 * 60, .3);
	push_to_all(w, "push"); /* compared with the past from here on */
	crashes_for(w, 12, .5);
	assert_true(w->l->deployments[0]->past.n > 0);
	spread(w, 5, 0x100);
	crashes_for(w, 2, 8);
	/* incremental, in the middle of a bin */
	ledger_snapshot_begin(w->l, false, shelve, sh);
	while (!ledger_snapshot_step(w->l, 100000))
		;
	ledger_snapshot_end(w->l, true);
	half = w->s.n_kept;
	l = new_ledger(&again);
	qsort(sh->at, sh->n, sizeof(sh->at[0]), by_id);
	for (size_t i = 0; i < sh->n; i++)
		if (sh->at[i].len > 0)
			assert_int_equal(ledger_load_chunk(l, sh->at[i].id, sh->at[i].bytes, sh->at[i].len), ERR_OK);
	assert_int_equal(ledger_load_end(l), ERR_OK);
	ledger_digest(w->l, a);
	ledger_digest(l, b);
	assert_memory_equal(a, b, sizeof(a));
	memset(&w->heard, 0, sizeof(w->heard));
	spread(w, 40, 0x100);
	crashes_for(w, 20, 8);
	pass(w, 80);
	for (size_t i = half; i < w->s.n_kept; i++)
		assert_int_equal(scribe_fold(&w->s, i, l), ERR_OK);
	ledger_digest(w->l, a);
	ledger_digest(l, b);
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_equal(again.raised, w->heard.raised, sizeof(again.raised));
	assert_true(again.raised[ALARM_BRAKE] == 1 && again.raised[ALARM_SURGE] >= 1);
	ledger_free(l);
	for (size_t i = 0; i < sh->n; i++)
		free(sh->at[i].bytes);
	free(sh);
	end(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fault_spreads_at_a_cold_start),
		cmocka_unit_test(one_site_is_no_outbreak),
		cmocka_unit_test(programs_make_no_outbreak),
		cmocka_unit_test(births_are_learned),
		cmocka_unit_test(a_cold_start_only_pauses),
		cmocka_unit_test(a_known_one_surges),
		cmocka_unit_test(a_push_at_once_is_compared_with_the_past),
		cmocka_unit_test(our_own_absence_is_no_surge),
		cmocka_unit_test(rho_and_births_are_learned),
		cmocka_unit_test(a_snapshot_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
