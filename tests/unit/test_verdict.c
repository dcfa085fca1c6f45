/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "tests/unit/ledger_help.h"

/* What the sink was told. */
struct heard {
	unsigned verdicts, decisions, deployments, differences;
	uint64_t decision_pos;
	char reason[VERDICT_REASON_MAX];
};
static struct heard heard;

static void
on_verdict(void *arg, uint16_t tenant, const char *deployment, const struct verdict_view *v)
{
	(void)arg, (void)tenant, (void)deployment, (void)v;
	heard.verdicts++;
}

static void
on_decision(void *arg, uint16_t tenant, const char *deployment, const char *reason, uint64_t pos)
{
	(void)arg, (void)tenant, (void)deployment;
	heard.decisions++;
	heard.decision_pos = pos;
	snprintf(heard.reason, sizeof(heard.reason), "%s", reason);
}

static void
on_difference(void *arg, uint16_t tenant, const char *deployment, uint64_t pos, const char *what)
{
	(void)arg, (void)tenant, (void)deployment, (void)pos, (void)what;
	heard.differences++;
}

/* Every host numbered below n is heard again. */
static void
hear_all(struct scribe *s, uint32_t n)
{
	uint32_t *no = malloc(n * sizeof(*no));

	assert_non_null(no);
	for (uint32_t i = 0; i < n; i++)
		no[i] = i;
	scribe_presence(s, no, n);
	free(no);
}

static void
start(struct scribe *s, uint32_t fleet)
{
	struct ledger_options o = {
		.sink = { .verdict_changed = on_verdict, .decision_wanted = on_decision, .difference = on_difference }
	};

	heard = (struct heard){ 0 };
	scribe_init(s, ledger_new(&o));
	scribe_fleet(s, 1, fleet);
	/* known for an hour, and there: else nobody would vote */
	scribe_tick(s, 3700 * 1000000ll);
	hear_all(s, fleet);
}

static void
stop(struct scribe *s)
{
	assert_false(s->failed);
	ledger_free(s->l);
	scribe_fini(s);
}

static struct verdict_view
verdict(struct scribe *s, const char *id)
{
	struct verdict_view v;
	uint32_t no;

	assert_true(ledger_deployment_find(s->l, s->tenant, text_of(id), &no));
	assert_true(ledger_verdict(s->l, no, &v));
	return v;
}

static void
serve_range(struct scribe *s, const char *id, uint64_t first, uint32_t n)
{
	uint64_t hosts[2000];

	for (uint32_t i = 0; i < n; i++)
		hosts[i] = first + i;
	scribe_serve(s, id, hosts, n);
}

static void
bad_crash(struct scribe *s, uint64_t host)
{
	scribe_crash(s, &(struct crash){ .host = host,
					 .module = "csagent.sys",
					 .module_id = "6e5e4a3c1000",
					 .offset = 0xe14ed,
					 .kind = REPORT_KERNEL,
					 .reason = "PAGE_FAULT_IN_NONPAGED_AREA" });
}

/* A person with a pocket calculator: factors add up to where the key stands. */
static void
check_votes(const struct evidence *e)
{
	double odds = e->standing.log_weight;

	for (uint32_t i = 0; i < e->n_votes; i++) {
		const struct vote *v = &e->votes[i];

		assert_true(fabs(v->q - e->standing.rho * v->y1 / (e->standing.rho * v->y1 + v->y0)) < 1e-12);
		odds += v->log_factor;
		assert_true(fabs(odds - v->log_odds) < 1e-9);
	}
	assert_true(fabs(odds - e->standing.log_weight - e->standing.log_e) < 1e-9);
	assert_true(odds >= e->standing.log_needed);
}

/* A small ring at one site, all of it crashes: too few sites for a halt, and no hazard is excluded either. */
static void
test_no_hazard_excluded(void **state)
{
	uint64_t hosts[10];
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 3000);
	scribe_deploy(&s, "d", 10, 60000, "armed");
	for (uint64_t i = 0; i < 10; i++)
		hosts[i] = 10 + i; /* ten to a site */
	scribe_serve(&s, "d", hosts, 10);
	for (int i = 0; i < 10; i++)
		bad_crash(&s, hosts[i]);
	v = verdict(&s, "d");
	assert_int_equal(v.resolved, 10);
	assert_int_equal(v.bad, 10);
	assert_int_equal(v.verdict, VERDICT_HOLD);
	assert_int_equal(v.state, STATE_TOO_FEW_RESOLVED);
	assert_non_null(strstr(v.reason, "excludes no hazard"));
	/* a person knows better */
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_RESUME, false, "the lab", 0, false);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_PROCEED);
	ledger_free(s.l);
	scribe_fini(&s);
}

/* A host that crashed before it was served and again after has voted as one not served; it is a bad host
 * all the same. */
static void
test_bad_again(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 3000);
	scribe_deploy(&s, "d", 100, 60000, "armed");
	serve_range(&s, "d", 1, 50);
	for (uint64_t h = 201; h <= 203; h++)
		bad_crash(&s, h);
	scribe_tick(&s, 300 * 1000000);
	serve_range(&s, "d", 201, 3);
	scribe_tick(&s, 300 * 1000000);
	assert_int_equal(verdict(&s, "d").bad, 0);
	for (uint64_t h = 201; h <= 203; h++)
		bad_crash(&s, h);
	assert_int_equal(verdict(&s, "d").bad, 3);
	ledger_free(s.l);
	scribe_fini(&s);
}

/* Hold until hosts are resolved, then proceed, then a bad payload in the second ring halts
 * after a handful of hosts. */
static void
test_second_ring(void **state)
{
	uint32_t crashed = 0;
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 3000);
	scribe_deploy(&s, "content-291", 100, 60000, "armed");
	v = verdict(&s, "content-291");
	assert_int_equal(v.verdict, VERDICT_HOLD);
	assert_int_equal(v.state, STATE_NOTHING_SERVED);
	assert_int_equal(v.unserved, 3000);
	serve_range(&s, "content-291", 1, 100);
	v = verdict(&s, "content-291");
	assert_int_equal(v.state, STATE_TOO_FEW_RESOLVED);
	assert_int_equal(v.needed, 50);
	scribe_tick(&s, 61 * 1000000);
	assert_int_equal(verdict(&s, "content-291").resolved, 0); /* nobody was heard since */
	hear_all(&s, 3000);
	scribe_tick(&s, 1000000);
	v = verdict(&s, "content-291");
	assert_int_equal(v.verdict, VERDICT_PROCEED);
	assert_int_equal(v.resolved, 100);
	assert_in_range(v.next_ring_max, 1000, 1100); /* 77 hosts at what 100 clean ones exclude */
	assert_int_equal(v.state, STATE_CLEAN);
	assert_non_null(strstr(v.reason, "Clear to serve up to 1,0"));
	/* the second ring is bad */
	serve_range(&s, "content-291", 101, 50);
	for (uint64_t h = 101; verdict(&s, "content-291").verdict != VERDICT_HALT; h += 3) {
		assert_int_equal(heard.decisions, 0);
		bad_crash(&s, h);
		bad_crash(&s, h);
		crashed++;
	}
	v = verdict(&s, "content-291");
	assert_in_range(crashed, 5, 8);
	assert_int_equal(v.state, STATE_HALTED);
	assert_false(v.recorded);
	assert_true(v.evidence.set);
	assert_string_equal(v.evidence.title, "csagent.sys+0xe14ed");
	assert_string_equal(v.evidence.standing.pool, "new_kernel");
	assert_int_equal(v.evidence.served_with, crashed);
	assert_int_equal(v.evidence.served, 150);
	assert_int_equal(v.evidence.unserved, 2850);
	assert_int_equal(v.evidence.unserved_with, 0);
	assert_int_equal(v.evidence.n_votes, crashed);
	assert_int_equal(v.evidence.votes[1].host_no, 103);
	assert_true(v.evidence.votes[1].exposed);
	assert_int_equal(v.evidence.votes[1].y1, 150);
	assert_int_equal(v.evidence.votes[1].y0, 2850);
	check_votes(&v.evidence);
	assert_non_null(strstr(v.reason, "csagent.sys+0xe14ed is on "));
	assert_non_null(strstr(v.reason,
			       "If content-291 were harmless, evidence this strong would appear in fewer than "
			       "1 of "));
	assert_non_null(strstr(v.reason, "(threshold: 1 of 1 million)"));
	/* asked for one Decision; it is the latch */
	assert_int_equal(heard.decisions, 1);
	assert_string_equal(heard.reason, v.reason);
	scribe_decide(&s, "content-291", FAULTLINE__LOG__ACTION__ACTION_HALT, true, v.reason, v.halt_pos, false);
	v = verdict(&s, "content-291");
	assert_true(v.recorded);
	assert_int_equal(v.verdict, VERDICT_HALT);
	bad_crash(&s, 150);
	scribe_tick(&s, 3600 * 1000000ll);
	assert_int_equal(verdict(&s, "content-291").verdict, VERDICT_HALT);
	assert_int_equal(heard.decisions, 1);
	assert_int_equal(heard.differences, 0);
	stop(&s);
}

static void
test_one_site(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	serve_range(&s, "d", 15, 20);
	for (uint64_t h = 20; h < 30; h++)
		bad_crash(&s, h);
	assert_int_equal(verdict(&s, "d").evidence.served_with, 10);
	assert_true(verdict(&s, "d").evidence.standing.would_cross);
	assert_non_null(strstr(verdict(&s, "d").evidence.standing.why, "10 served hosts at 1 sites are too few"));
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HOLD);
	assert_int_equal(heard.decisions, 0);
	bad_crash(&s, 30); /* the next site */
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	stop(&s);
}

/* Crashes of every step-th host from `first` on until it halts; how many that took. */
static uint32_t
crash_until_halt(struct scribe *s, const char *id, uint64_t first, uint64_t step)
{
	uint32_t n = 0;

	for (; verdict(s, id).verdict != VERDICT_HALT && n < 100; n++)
		bad_crash(s, first + n * step);
	assert_true(n < 100);
	return n;
}

/* As often among those not served: never a halt.  Known before, but much more often among the
 * served: it came back, and that is a halt.  Sent again: counts once. */
static void
test_shares(void **state)
{
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "both", 0, 1000, "armed");
	serve_range(&s, "both", 1, 500);
	for (uint64_t h = 1; h < 2000; h += 3)
		bad_crash(&s, 1 + h * 997 % 2000);
	v = verdict(&s, "both");
	assert_int_not_equal(v.verdict, VERDICT_HALT);
	assert_int_not_equal(v.state, STATE_WATCH);
	assert_true(v.evidence.standing.log_e < 1);
	assert_true(v.evidence.standing.ratio_low < 1 && v.evidence.standing.ratio_high > 1);
	stop(&s);

	start(&s, 2000);
	bad_crash(&s, 1999);
	scribe_deploy(&s, "back", 0, 1000, "armed");
	serve_range(&s, "back", 1, 20);
	crash_until_halt(&s, "back", 1, 2);
	v = verdict(&s, "back");
	assert_in_range(v.evidence.served_with, 3, 8);
	assert_string_equal(v.evidence.standing.pool, "old");
	stop(&s);

	start(&s, 2000);
	scribe_deploy(&s, "resent", 0, 1000, "armed");
	serve_range(&s, "resent", 1, 20);
	for (int i = 0; i < 5; i++)
		for (uint64_t h = 8; h < 12; h += 3)
			scribe_crash(&s,
				     &(struct crash){ .host = h, .module = "new", .epoch = 1, .seq = 1, .offset = 16 });
	assert_int_equal(verdict(&s, "resent").evidence.served_with, 2);
	assert_int_not_equal(verdict(&s, "resent").verdict, VERDICT_HALT);
	stop(&s);
}

/* A receipt that comes after the crash does not make the host exposed. */
static void
test_late_receipts(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	serve_range(&s, "d", 1, 10);
	for (uint64_t h = 100; h < 140; h++)
		bad_crash(&s, h);
	serve_range(&s, "d", 11, 500);
	for (uint64_t h = 100; h < 140; h++)
		bad_crash(&s, h);
	assert_false(verdict(&s, "d").evidence.set);
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	stop(&s);
}

/* A receipt that comes after the crash and says that the host was served before it: the
 * vote moves, in the trial that is there and in one that the receipt begins. */
static void
test_receipts_with_a_time(void **state)
{
	struct verdict_view v;
	uint64_t hosts[40];
	int64_t served;
	struct scribe s;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	scribe_tick(&s, 2000000);
	serve_range(&s, "d", 1, 10);
	bad_crash(&s, 1); /* the trial begins */
	bad_crash(&s, 900);
	served = s.now_us + 1000000;
	scribe_tick(&s, 2000000);
	for (uint64_t h = 100; h < 140; h++)
		bad_crash(&s, hosts[h - 100] = h);
	scribe_tick(&s, 60000000);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HOLD);
	assert_int_equal(verdict(&s, "d").evidence.unserved_with, 41);
	scribe_serve_at(&s, "d", hosts, 2, s.now_us - 1000000); /* after their crashes */
	assert_int_equal(verdict(&s, "d").evidence.served_with, 1);
	scribe_serve_at(&s, "d", hosts + 2, 38, served);
	v = verdict(&s, "d");
	assert_int_equal(v.evidence.served_with, 39);
	assert_int_equal(v.evidence.unserved_with, 3);
	assert_int_equal(v.bad, 39);
	assert_int_equal(v.verdict, VERDICT_HALT);
	stop(&s);
}

static void
test_shadow(void **state)
{
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "d", 0, 1000, "shadow");
	v = verdict(&s, "d");
	assert_int_equal(v.verdict, VERDICT_PROCEED);
	assert_int_equal(v.state, STATE_NOTHING_SERVED);
	assert_non_null(strstr(v.reason, "armed it would hold"));
	serve_range(&s, "d", 1, 500);
	for (uint64_t h = 20; h < 60; h++)
		bad_crash(&s, h);
	v = verdict(&s, "d");
	assert_int_equal(v.verdict, VERDICT_PROCEED);
	assert_int_equal(v.state, STATE_WOULD_HALT);
	assert_non_null(strstr(v.reason, "armed it would have halted: csagent.sys+0xe14ed"));
	assert_int_equal(heard.decisions, 0);
	stop(&s);
}

static void
test_controls(void **state)
{
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 200);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	serve_range(&s, "d", 1, 160);
	scribe_tick(&s, 2000000);
	hear_all(&s, 200);
	scribe_tick(&s, 1000000);
	assert_int_equal(verdict(&s, "d").resolved, 160);
	v = verdict(&s, "d");
	assert_int_equal(v.state, STATE_CLEAN);
	assert_int_equal(v.verdict, VERDICT_PROCEED);
	assert_false(v.cannot_certify);
	assert_int_equal(v.votes_possible, 160);
	assert_true(v.votes_needed > 60 && v.votes_needed < 160);
	/* everybody is served: nobody is left to compare with */
	serve_range(&s, "d", 161, 40);
	v = verdict(&s, "d");
	assert_true(v.cannot_certify);
	assert_non_null(strstr(v.reason, "CANNOT CERTIFY"));
	for (uint64_t h = 1; h < 90; h++)
		bad_crash(&s, h);
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	for (uint64_t h = 90; h < 200; h++)
		bad_crash(&s, h);
	/* but ten sites are too many for the emergency brake, which proves nothing */
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED_HEURISTIC);
	stop(&s);

	/* too small for any proof: baked without a bad host it goes on, and says what that is worth */
	start(&s, 100);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	serve_range(&s, "d", 1, 60);
	scribe_tick(&s, 2000000);
	hear_all(&s, 100);
	scribe_tick(&s, 1000000);
	assert_int_equal(verdict(&s, "d").state, STATE_UNCERTIFIED);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_PROCEED);
	bad_crash(&s, 5);
	assert_int_equal(verdict(&s, "d").state, STATE_WATCH);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HOLD);
	scribe_tick(&s, 3600 * 1000000ll);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HOLD);
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_RESUME, false, "looked at", 0, false);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_PROCEED);
	stop(&s);

	/* a ring smaller than fifty needs only itself */
	start(&s, 200);
	scribe_deploy(&s, "d", 5, 1000, "armed");
	serve_range(&s, "d", 1, 5);
	scribe_tick(&s, 2000000);
	hear_all(&s, 200);
	scribe_tick(&s, 1000000);
	assert_int_equal(verdict(&s, "d").needed, 5);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_PROCEED);
	stop(&s);
}

/* A host that dies is not resolved by being silent; one that crashed is. */
static void
test_resolved(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 300);
	scribe_deploy(&s, "d", 0, 10000, "armed");
	serve_range(&s, "d", 1, 60);
	scribe_tick(&s, 20 * 1000000);
	scribe_tick(&s, 3600 * 1000000ll);
	assert_int_equal(verdict(&s, "d").resolved, 0);
	bad_crash(&s, 1);
	assert_int_equal(verdict(&s, "d").resolved, 1);
	assert_int_equal(verdict(&s, "d").bad, 1);
	hear_all(&s, 40);
	scribe_tick(&s, 2 * 1000000);
	assert_int_equal(verdict(&s, "d").resolved, 40);
	stop(&s);
}

static void
test_people(void **state)
{
	uint32_t first, second;
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	serve_range(&s, "d", 1, 60);
	first = crash_until_halt(&s, "d", 1, 3);
	assert_string_equal(
		ledger_refuses_decision(s.l, 0, TEXT("d"), FAULTLINE__LOG__ACTION__ACTION_DELETE, false, TEXT("")),
		"halted");
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_DELETE, false, "gone", 0, false);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_RESUME, false, "", 0, false);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HALT); /* a person must say why */
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_RESUME, false, "fixed by 291.1", 0, false);
	v = verdict(&s, "d");
	assert_int_not_equal(v.verdict, VERDICT_HALT);
	/* the automatic Decision of before comes late: a person has decided since */
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_HALT, true, "late", heard.decision_pos, false);
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	/* what crossed starts again, at half the error level: as many hosts, or one more */
	second = crash_until_halt(&s, "d", 2, 3);
	assert_in_range(second, first, first + 1);
	v = verdict(&s, "d");
	assert_int_equal(v.evidence.standing.resumes, 1);
	assert_true(fabs(v.evidence.standing.log_needed - log(2e6)) < 1e-9);
	assert_int_equal(v.evidence.n_votes, second);
	check_votes(&v.evidence);
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_DELETE, false, "gone", 0, true);
	assert_int_equal(verdict(&s, "d").state, STATE_DELETED);
	/* the name may be used again, from nothing */
	scribe_deploy(&s, "d", 0, 1000, "armed");
	assert_int_equal(verdict(&s, "d").state, STATE_NOTHING_SERVED);
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_PAUSE, false, "lunch", 0, false);
	assert_int_equal(verdict(&s, "d").state, STATE_PAUSED);
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_RESUME, false, "back", 0, false);
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_HALT, false, "smoke in the lab", 0, false);
	v = verdict(&s, "d");
	assert_int_equal(v.state, STATE_HALTED_BY_PERSON);
	assert_non_null(strstr(v.reason, "smoke in the lab"));
	stop(&s);
}

/* The log says it was halted; a fold that sees no reason keeps it halted and says so. */
static void
test_difference(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 300);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_HALT, true, "by an older rule", s.last_pos, false);
	assert_int_equal(heard.differences, 1);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	stop(&s);
}

static void
test_frozen_and_closed(void **state)
{
	static char id[] = "d", mode[] = "armed", product[] = "agent", other[] = "other";
	char *products[1] = { product };
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	Faultline__Log__Selector sel = FAULTLINE__LOG__SELECTOR__INIT;
	uint8_t packed[256];
	struct scribe s;

	(void)state;
	start(&s, 300);
	for (uint64_t h = 1000; h < 1010; h++)
		scribe_heartbeat(&s, h, "x", other, NULL);
	m.id = id;
	m.mode = mode;
	m.eligible = &sel;
	sel.products = products;
	sel.n_products = 1;
	scribe_message(&s, RECORD_DEPLOYMENT, &m);
	assert_int_equal(verdict(&s, "d").eligible, 300);
	scribe_heartbeat(&s, 1000, "x", product, NULL);
	assert_int_equal(verdict(&s, "d").eligible, 301);
	scribe_heartbeat(&s, 1, NULL, other, NULL);
	scribe_heartbeat(&s, 2000, "y", product, NULL);
	assert_int_equal(verdict(&s, "d").eligible, 301);
	serve_range(&s, "d", 1, 20); /* host 1 is served though not eligible */
	assert_int_equal(verdict(&s, "d").served, 20);
	assert_int_equal(verdict(&s, "d").unserved, 282);
	products[0] = other;
	assert_string_equal(ledger_refuses_deployment(s.l, 0, packed, protobuf_c_message_pack(&m.base, packed)),
			    "frozen");
	scribe_message(&s, RECORD_DEPLOYMENT, &m);
	assert_int_equal(verdict(&s, "d").eligible, 301);
	m.bake_ms = 5000;
	products[0] = product;
	assert_null(ledger_refuses_deployment(s.l, 0, packed, protobuf_c_message_pack(&m.base, packed)));
	/* 72 hours after the last receipt it closes */
	scribe_tick(&s, 73 * 3600 * 1000000ll);
	assert_int_equal(verdict(&s, "d").state, STATE_CLOSED);
	assert_int_equal(verdict(&s, "d").served, 20);
	serve_range(&s, "d", 100, 20);
	assert_int_equal(verdict(&s, "d").served, 20);
	stop(&s);
}

/* A ring by plan serves so many hosts, others than the ring before, the same ones each time. */
static void
test_plan(void **state)
{
	static char id[] = "d", names[3][8] = { "one", "two", "rest" };
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	Faultline__Log__Ring r[3], *rings[3] = { &r[0], &r[1], &r[2] };
	Faultline__Log__Receipt p = FAULTLINE__LOG__RECEIPT__INIT;
	struct scribe s;

	(void)state;
	start(&s, 1000);
	for (int i = 0; i < 3; i++) {
		faultline__log__ring__init(&r[i]);
		r[i].name = names[i];
	}
	r[0].size = 30;
	r[1].percent = 10;
	m.id = id;
	m.salt = 12345;
	m.n_rings = 3;
	m.rings = rings;
	scribe_message(&s, RECORD_DEPLOYMENT, &m);
	p.deployment = id;
	p.ring = names[0];
	scribe_message(&s, RECORD_RECEIPT, &p);
	assert_int_equal(verdict(&s, "d").served, 30);
	scribe_message(&s, RECORD_RECEIPT, &p);
	assert_int_equal(verdict(&s, "d").served, 30);
	p.ring = names[1];
	scribe_message(&s, RECORD_RECEIPT, &p);
	assert_int_equal(verdict(&s, "d").served, 130);
	p.ring = names[2];
	scribe_message(&s, RECORD_RECEIPT, &p);
	assert_int_equal(verdict(&s, "d").served, 1000);
	stop(&s);
}

/* An upload form says nothing about the module; triage does.  The host was exposed when
 * the report came. */
static void
test_forms(void **state)
{
	static char module[] = "app.exe";
	Faultline__Log__TriageResult t = FAULTLINE__LOG__TRIAGE_RESULT__INIT;
	uint64_t before, after[4];
	uint32_t keys[8], no;
	struct standing st;
	struct scribe s;
	bool found = false;
	size_t n;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	before = scribe_crash(&s, &(struct crash){ .host = 30, .module = "", .reason = "" });
	scribe_tick(&s, 180 * 1000000);
	serve_range(&s, "d", 1, 50);
	for (uint64_t i = 0; i < 4; i++)
		after[i] = scribe_crash(&s, &(struct crash){ .host = 1 + 4 * i, .module = "", .reason = "" });
	t.module = module;
	t.offset = 0x1234;
	t.report = before;
	scribe_message(&s, RECORD_TRIAGE_RESULT, &t);
	for (uint64_t i = 0; i < 4; i++) {
		t.report = after[i];
		scribe_message(&s, RECORD_TRIAGE_RESULT, &t);
	}
	assert_true(ledger_deployment_find(s.l, 0, TEXT("d"), &no));
	n = ledger_standings(s.l, no, keys, 8);
	for (size_t i = 0; i < n; i++)
		if (ledger_standing(s.l, no, keys[i], &st) && strcmp(st.title, "app.exe+0x1234") == 0) {
			assert_int_equal(st.served_with, 4);
			assert_int_equal(st.unserved_with, 1);
			found = true;
		}
	assert_true(found);
	stop(&s);
}

/* A harmless rebuild of a module with a thousand ordinary crashes a day: every crash on a
 * served host has a signature never seen before, and it must never halt. */
static void
test_harmless_rebuild(void **state)
{
	const uint32_t fleet = 20000, rings[] = { 100, 1000, 5000, 13900 };
	uint32_t keys[32], no, shown = 0;
	uint64_t rng = 42, served = 0;
	struct standing st;
	size_t n;
	struct scribe s;

	(void)state;
	start(&s, fleet);
	for (int i = 0; i < 3000; i++) { /* ordinary days before */
		rng += 0x9e3779b97f4a7c15ull;
		scribe_crash(&s, &(struct crash){ .host = 1 + hash_mix(rng) % fleet,
						  .module = "app.exe",
						  .module_id = "1111",
						  .offset = 0x1000 + hash_mix(rng + 1) % 7 * 16 });
	}
	scribe_deploy(&s, "rebuild", 100, 0, "armed");
	for (unsigned ring = 0; ring < 4; ring++) {
		for (uint32_t done = 0; done < rings[ring]; done += 100, served += 100)
			serve_range(&s, "rebuild", served + 1, 100);
		for (int minute = 0; minute < 6 * 60; minute++) { /* six hours a ring: 250 crashes */
			scribe_tick(&s, 60 * 1000000);
			if (minute % 10 == 0)
				hear_all(&s, fleet);
			if (minute * 250 / 360 == (minute + 1) * 250 / 360)
				continue;
			rng += 0x9e3779b97f4a7c15ull;
			uint64_t host = 1 + hash_mix(rng) % fleet;

			scribe_crash(&s, &(struct crash){ .host = host,
							  .module = "app.exe",
							  .module_id = host <= served ? "2222" : "1111",
							  .offset = 0x1000 + hash_mix(rng + 1) % 7 * 16 });
			assert_int_not_equal(verdict(&s, "rebuild").verdict, VERDICT_HALT);
		}
	}
	assert_int_equal(heard.decisions, 0);
	/* signatures that only served hosts could have are shown, and not tested */
	assert_true(ledger_deployment_find(s.l, 0, TEXT("rebuild"), &no));
	n = ledger_standings(s.l, no, keys, 32);
	for (size_t i = 0; i < n; i++) {
		assert_true(ledger_standing(s.l, no, keys[i], &st));
		shown += st.rung == RUNG_KEY && st.served_with >= 3 && st.unserved_with == 0 && !st.tested;
		assert_false(st.would_cross);
	}
	assert_int_equal(shown, 7);
	stop(&s);
}

/* The same batches with duplicates among them give the same votes. */
static void
test_duplicates(void **state)
{
	struct verdict_view v;
	struct scribe s;
	struct ledger *l;
	uint32_t no;

	(void)state;
	start(&s, 1000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	serve_range(&s, "d", 1, 500);
	bad_crash(&s, 1);
	bad_crash(&s, 11);
	l = ledger_new(NULL);
	for (size_t i = 0; i < s.n_kept; i++) {
		assert_int_equal(scribe_fold(&s, i, l), ERR_OK);
		assert_int_equal(scribe_fold(&s, i / 2, l), ERR_OK);
	}
	assert_true(ledger_deployment_find(l, 0, TEXT("d"), &no));
	assert_true(ledger_verdict(l, no, &v));
	assert_int_equal(v.evidence.served_with, 2);
	assert_int_equal(v.served, 500);
	ledger_free(l);
	stop(&s);
}

/* Two sites are all there is: after a resume the same signature must still be able to halt. */
static void
test_resume_on_two_sites(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	serve_range(&s, "d", 1, 19);
	crash_until_halt(&s, "d", 1, 2);
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_RESUME, false, "thought fixed", 0, false);
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	crash_until_halt(&s, "d", 2, 2);
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_hazard_excluded),
		cmocka_unit_test(test_bad_again),
		cmocka_unit_test(test_second_ring),
		cmocka_unit_test(test_one_site),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_late_receipts),
		cmocka_unit_test(test_receipts_with_a_time),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_controls),
		cmocka_unit_test(test_resolved),
		cmocka_unit_test(test_people),
		cmocka_unit_test(test_difference),
		cmocka_unit_test(test_frozen_and_closed),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_harmless_rebuild),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_resume_on_two_sites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
