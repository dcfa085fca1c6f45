/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

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

static void
start(struct scribe *s, uint32_t fleet)
{
	struct ledger_options o = {
		.sink = { .verdict_changed = on_verdict, .decision_wanted = on_decision, .difference = on_difference }
	};

	heard = (struct heard){ 0 };
	scribe_init(s, ledger_new(&o));
	scribe_fleet(s, 1, fleet);
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
bad_crash(struct scribe *s, uint64_t host)
{
	scribe_crash(s, &(struct crash){ .host = host,
					 .module = "csagent.sys",
					 .module_id = "6e5e4a3c1000",
					 .offset = 0xe14ed,
					 .kind = REPORT_KERNEL,
					 .reason = "PAGE_FAULT_IN_NONPAGED_AREA" });
}

/* Hold until hosts are resolved, then proceed, then a bad payload in the second ring halts
 * with the third host at the second site. */
static void
test_second_ring(void **state)
{
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
	assert_int_equal(v.next_ring_max, 1000);
	/* the second ring is bad */
	serve_range(&s, "content-291", 101, 500);
	bad_crash(&s, 105);
	bad_crash(&s, 106);
	bad_crash(&s, 106);
	assert_int_equal(verdict(&s, "content-291").verdict, VERDICT_PROCEED);
	assert_int_equal(heard.decisions, 0);
	bad_crash(&s, 120);
	v = verdict(&s, "content-291");
	assert_int_equal(v.verdict, VERDICT_HALT);
	assert_int_equal(v.state, STATE_HALTED);
	assert_int_equal(v.halt_pos, s.last_pos);
	assert_false(v.recorded);
	assert_true(v.evidence.set);
	assert_string_equal(v.evidence.title, "csagent.sys+0xe14ed");
	assert_int_equal(v.evidence.served_with, 3);
	assert_int_equal(v.evidence.served_sites, 2);
	assert_int_equal(v.evidence.served, 600);
	assert_int_equal(v.evidence.unserved, 2400);
	assert_int_equal(v.evidence.unserved_with, 0);
	assert_int_equal(v.evidence.n_votes, 3);
	assert_int_equal(v.evidence.votes[2].host_no, 119);
	assert_true(v.evidence.votes[2].exposed);
	assert_non_null(strstr(v.reason, "csagent.sys+0xe14ed, never seen before this deployment began, is on 3 of 600 "
					 "served hosts at 2 sites"));
	/* asked for one Decision; it is the latch */
	assert_int_equal(heard.decisions, 1);
	assert_string_equal(heard.reason, v.reason);
	scribe_decide(&s, "content-291", FAULTLINE__LOG__ACTION__ACTION_HALT, true, v.reason, v.halt_pos, false);
	v = verdict(&s, "content-291");
	assert_true(v.recorded);
	assert_int_equal(v.verdict, VERDICT_HALT);
	bad_crash(&s, 130);
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
	serve_range(&s, "d", 1, 500);
	for (uint64_t h = 20; h < 30; h++)
		bad_crash(&s, h);
	assert_int_equal(verdict(&s, "d").evidence.served_with, 10);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HOLD);
	assert_int_equal(heard.decisions, 0);
	bad_crash(&s, 30); /* the next site */
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	stop(&s);
}

/* Seen before the deployment began, a tenth in the control, a resend: no halt. */
static void
test_no_halt(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 2000);
	bad_crash(&s, 1999);
	scribe_deploy(&s, "old", 0, 1000, "armed");
	serve_range(&s, "old", 1, 500);
	for (uint64_t h = 10; h < 60; h++)
		bad_crash(&s, h);
	assert_int_not_equal(verdict(&s, "old").verdict, VERDICT_HALT);
	stop(&s);

	start(&s, 2000);
	scribe_deploy(&s, "spread", 0, 1000, "armed");
	serve_range(&s, "spread", 1, 1000);
	bad_crash(&s, 1500);
	bad_crash(&s, 1600);
	for (uint64_t h = 100; h < 120; h++)
		bad_crash(&s, h);
	/* shares 21/1002 and 3/1002: seven times */
	assert_int_not_equal(verdict(&s, "spread").verdict, VERDICT_HALT);
	for (uint64_t h = 120; h < 129; h++)
		bad_crash(&s, h); /* 29 hosts: 30/1002 is ten times 3/1002 */
	assert_int_equal(verdict(&s, "spread").evidence.served_with, 29);
	/* and the module's share must be more than ten times */
	assert_int_not_equal(verdict(&s, "spread").verdict, VERDICT_HALT);
	bad_crash(&s, 130);
	assert_int_equal(verdict(&s, "spread").verdict, VERDICT_HALT);
	stop(&s);

	start(&s, 2000);
	scribe_deploy(&s, "resent", 0, 1000, "armed");
	serve_range(&s, "resent", 1, 500);
	for (int i = 0; i < 5; i++)
		for (uint64_t h = 10; h < 12; h++)
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
	struct scribe s;

	(void)state;
	start(&s, 200);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	serve_range(&s, "d", 1, 160);
	scribe_tick(&s, 2000000);
	hear_all(&s, 200);
	scribe_tick(&s, 1000000);
	assert_int_equal(verdict(&s, "d").resolved, 160);
	assert_int_equal(verdict(&s, "d").state, STATE_TOO_FEW_CONTROLS);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HOLD);
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
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	serve_range(&s, "d", 1, 500);
	bad_crash(&s, 1);
	bad_crash(&s, 11);
	bad_crash(&s, 21);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HALT);
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
	/* what crossed starts again: three more hosts */
	bad_crash(&s, 31);
	bad_crash(&s, 41);
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	bad_crash(&s, 51);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HALT);
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
	uint64_t before, after[3];
	struct scribe s;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	before = scribe_crash(&s, &(struct crash){ .host = 400, .module = "", .reason = "" });
	serve_range(&s, "d", 1, 500);
	for (uint64_t i = 0; i < 3; i++)
		after[i] = scribe_crash(&s, &(struct crash){ .host = 1 + 10 * i, .module = "", .reason = "" });
	t.module = module;
	t.offset = 0x1234;
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
		t.report = i < 2 ? after[i] : before;
		scribe_message(&s, RECORD_TRIAGE_RESULT, &t);
	}
	assert_int_equal(verdict(&s, "d").evidence.served_with, 2);
	assert_int_equal(verdict(&s, "d").evidence.unserved_with, 1);
	t.report = after[2];
	scribe_message(&s, RECORD_TRIAGE_RESULT, &t);
	assert_int_equal(verdict(&s, "d").evidence.served_with, 3);
	stop(&s);
}

/* A harmless rebuild of a module with a thousand ordinary crashes a day: every crash on a
 * served host has a signature never seen before, and it must never halt. */
static void
test_harmless_rebuild(void **state)
{
	const uint32_t fleet = 20000, rings[] = { 100, 1000, 5000, 13900 };
	uint64_t rng = 42, served = 0;
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
	assert_true(verdict(&s, "rebuild").evidence.served_with >= 3); /* it did come close */
	assert_int_equal(verdict(&s, "rebuild").evidence.unserved_with, 0);
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
	static const uint64_t before[] = { 1, 2, 11 }, after[] = { 3, 4, 12 };
	struct scribe s;

	(void)state;
	start(&s, 2000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	serve_range(&s, "d", 1, 20);
	for (int i = 0; i < 3; i++)
		bad_crash(&s, before[i]);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	scribe_decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_RESUME, false, "thought fixed", 0, false);
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	for (int i = 0; i < 3; i++)
		bad_crash(&s, after[i]);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_second_ring),
		cmocka_unit_test(test_one_site),
		cmocka_unit_test(test_no_halt),
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
