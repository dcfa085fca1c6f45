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
#include "collector/ledger/state.h"
#include "tests/unit/ledger_help.h"

/* The halt engine: several deployments, people, strata, and those who would deceive it. */

#define MINUTE 60000000ll
#define HOUR   (60 * MINUTE)

static void
hear(struct scribe *s, uint32_t first, uint32_t n)
{
	uint32_t *no = malloc(n * sizeof(*no));

	assert_non_null(no);
	for (uint32_t i = 0; i < n; i++)
		no[i] = first + i;
	scribe_presence(s, no, n);
	free(no);
}

/* Hosts 1 to `fleet`, known for an hour and there. */
static void
start(struct scribe *s, uint32_t fleet)
{
	scribe_init(s, ledger_new(NULL));
	scribe_fleet(s, 1, fleet);
	scribe_tick(s, HOUR + 100 * 1000000);
	hear(s, 0, fleet);
}

static void
stop(struct scribe *s)
{
	assert_false(s->failed);
	ledger_free(s->l);
	scribe_fini(s);
}

static uint32_t
number(struct scribe *s, const char *id)
{
	uint32_t no;

	assert_true(ledger_deployment_find(s->l, s->tenant, text_of(id), &no));
	return no;
}

static struct verdict_view
verdict(struct scribe *s, const char *id)
{
	struct verdict_view v;

	assert_true(ledger_verdict(s->l, number(s, id), &v));
	return v;
}

static void
serve(struct scribe *s, const char *id, uint64_t first, uint32_t n)
{
	uint64_t hosts[5000];

	assert_true(n <= 5000);
	for (uint32_t i = 0; i < n; i++)
		hosts[i] = first + i;
	scribe_serve(s, id, hosts, n);
}

static void
crash(struct scribe *s, uint64_t host, const char *module)
{
	scribe_crash(s, &(struct crash){ .host = host, .module = module, .offset = 0x1000, .kind = REPORT_KERNEL });
}

static struct standing
standing(struct scribe *s, const char *id, const char *title)
{
	uint32_t keys[64];
	size_t n = ledger_standings(s->l, number(s, id), keys, 64);
	struct standing st;

	for (size_t i = 0; i < n; i++)
		if (ledger_standing(s->l, number(s, id), keys[i], &st) && strcmp(st.title, title) == 0)
			return st;
	return (struct standing){ 0 };
}

static void
plan(struct scribe *s, const char *id, const char *assignment, const char *module)
{
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	char *texts[3] = { strdup(id), strdup(assignment), strdup(module != NULL ? module : "") };

	m.id = texts[0];
	m.assignment = texts[1];
	m.modules = &texts[2];
	m.n_modules = module != NULL;
	m.bake_ms = 1000;
	scribe_message(s, RECORD_DEPLOYMENT, &m);
	for (int i = 0; i < 3; i++)
		free(texts[i]);
}

static void
decide(struct scribe *s, const char *id, Faultline__Log__Action action, uint64_t signature)
{
	static char reason[] = "a person's";
	Faultline__Log__Decision m = FAULTLINE__LOG__DECISION__INIT;
	char *copy = strdup(id);

	m.deployment = copy;
	m.action = action;
	m.reason = reason;
	m.signature = signature;
	scribe_message(s, RECORD_DECISION, &m);
	free(copy);
}

/* ---- pauses ---- */

/* Two hosts at two sites are enough to pause, not to halt; a quarter of an hour later it goes on by
 * itself, and a third crash pauses it again or halts it. */
static void
test_watch(void **state)
{
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 4000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 40);
	crash(&s, 1, "new.sys");
	assert_int_equal(verdict(&s, "d").state, STATE_TOO_FEW_RESOLVED);
	crash(&s, 11, "new.sys");
	crash(&s, 21, "new.sys");
	v = verdict(&s, "d");
	assert_int_equal(v.state, STATE_WATCH);
	assert_int_equal(v.verdict, VERDICT_HOLD);
	assert_false(v.sticky);
	assert_int_equal(v.watch_until_us, s.now_us + 15 * MINUTE);
	assert_non_null(strstr(v.reason, "new.sys+0x1000"));
	scribe_tick(&s, 14 * MINUTE);
	assert_int_equal(verdict(&s, "d").state, STATE_WATCH);
	scribe_tick(&s, 2 * MINUTE);
	assert_int_not_equal(verdict(&s, "d").state, STATE_WATCH);
	hear(&s, 0, 4000);
	crash(&s, 31, "new.sys");
	assert_int_equal(verdict(&s, "d").state, STATE_WATCH);
	crash(&s, 33, "new.sys");
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED);
	stop(&s);
}

/* Somebody else's program crashes where the deployment went: that is shown to a person, and stays. */
static void
test_third_party(void **state)
{
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 4000);
	plan(&s, "d", "hash", "sensor.sys");
	serve(&s, "d", 1, 100);
	for (uint64_t h = 1; h < 80; h += 10)
		scribe_crash(&s, &(struct crash){ .host = h, .module = "browser.exe", .offset = 16 });
	v = verdict(&s, "d");
	assert_int_equal(v.verdict, VERDICT_HOLD);
	assert_int_equal(v.state, STATE_WATCH);
	assert_true(v.sticky);
	assert_string_equal(v.evidence.standing.severity, "user");
	scribe_tick(&s, HOUR);
	assert_int_equal(verdict(&s, "d").state, STATE_WATCH);
	decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_RELEASE, 0);
	assert_int_not_equal(verdict(&s, "d").state, STATE_WATCH);
	stop(&s);
}

/* The module is in the manifest: its name is tested, at any offset; its signatures are shown. */
static void
test_manifest(void **state)
{
	struct verdict_view v;
	struct standing st;
	struct scribe s;
	uint32_t n = 0;

	(void)state;
	start(&s, 4000);
	plan(&s, "d", "hash", "Sensor.SYS");
	serve(&s, "d", 1, 40);
	for (uint64_t h = 1; verdict(&s, "d").verdict != VERDICT_HALT && n < 20; h += 4, n++)
		scribe_crash(&s, &(struct crash){ .host = h,
						  .module = "sensor.sys",
						  .module_id = "6E5E4A3C1000",
						  .offset = 0x1000 + h % 3,
						  .kind = REPORT_KERNEL });
	assert_in_range(n, 3, 5);
	v = verdict(&s, "d");
	assert_string_equal(v.evidence.standing.title, "sensor.sys");
	assert_string_equal(v.evidence.standing.pool, "own");
	assert_int_equal(v.evidence.standing.birth, 1);
	assert_true(v.evidence.standing.own);
	assert_non_null(strstr(v.evidence.title, "sensor.sys+0x10"));
	assert_non_null(strstr(v.reason, "sensor.sys (mostly sensor.sys+0x10"));
	st = standing(&s, "d", v.evidence.title);
	assert_true(st.set && !st.tested);
	assert_non_null(strstr(st.why, "its module's name is tested"));
	stop(&s);
}

/* ---- several deployments ---- */

/* Two in one ring, one of them bad: nobody can tell which.  One is halted, the other held for as long as
 * nobody releases it. */
static void
test_co_suspects(void **state)
{
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 4000);
	plan(&s, "a", "hash", NULL);
	plan(&s, "b", "hash", NULL);
	plan(&s, "elsewhere", "hash", NULL);
	serve(&s, "a", 1, 40);
	serve(&s, "b", 1, 40);
	serve(&s, "elsewhere", 2000, 40);
	for (uint64_t h = 1; h < 30; h += 4)
		crash(&s, h, "new.sys");
	assert_int_equal(verdict(&s, "a").state, STATE_HALTED);
	assert_int_equal(verdict(&s, "a").n_suspects, 1);
	v = verdict(&s, "b");
	assert_int_equal(v.state, STATE_CO_SUSPECT);
	assert_int_equal(v.verdict, VERDICT_HOLD);
	assert_int_equal(v.n_suspects, 1);
	assert_int_equal(v.suspects[0], number(&s, "a"));
	assert_non_null(strstr(v.reason, "a was halted"));
	assert_int_not_equal(verdict(&s, "elsewhere").state, STATE_CO_SUSPECT);
	/* never by itself, whatever time does and the culprit's hosts go on to do */
	for (int i = 0; i < 40; i++) {
		scribe_tick(&s, 10 * MINUTE);
		hear(&s, 0, 4000);
		crash(&s, 30 + (uint64_t)i % 10, "new.sys");
	}
	assert_int_equal(verdict(&s, "b").state, STATE_CO_SUSPECT);
	decide(&s, "b", FAULTLINE__LOG__ACTION__ACTION_RELEASE, 0);
	assert_int_not_equal(verdict(&s, "b").state, STATE_CO_SUSPECT);
	assert_int_not_equal(verdict(&s, "b").verdict, VERDICT_HALT);
	assert_int_equal(verdict(&s, "a").verdict, VERDICT_HALT);
	stop(&s);
}

/* Hosts that were served only one of the two tell them apart: the innocent goes on ... */
static void
test_separated(void **state)
{
	struct scribe s;

	(void)state;
	for (int guilty = 0; guilty < 2; guilty++) {
		start(&s, 4000);
		plan(&s, "a", "hash", NULL);
		plan(&s, "b", "hash", NULL);
		serve(&s, "a", 1, 40);
		serve(&s, "b", 1, 40);
		for (uint64_t h = 1; h < 30; h += 4)
			crash(&s, h, "new.sys");
		assert_int_equal(verdict(&s, "b").state, STATE_CO_SUSPECT);
		serve(&s, guilty == 0 ? "a" : "b", 1000, 40);
		for (uint64_t h = 1000; h < 1040; h += 8)
			crash(&s, h, "new.sys");
		if (guilty == 0) {
			assert_int_not_equal(verdict(&s, "b").state, STATE_CO_SUSPECT);
			assert_int_not_equal(verdict(&s, "b").verdict, VERDICT_HALT);
		} else { /* ... and the guilty is halted, too */
			assert_int_equal(verdict(&s, "b").state, STATE_HALTED);
		}
		stop(&s);
	}
}

/* A new kernel signature on many hosts at many sites pulls the brake: it halts neither a deployment that is held
 * because it cannot be told from the one that was halted, nor one that its own comparison clears. */
static void
test_brake_spares_the_innocent(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 4000);
	scribe_setting(&s, "halt-brake-sites", "20");
	plan(&s, "a", "hash", NULL);
	plan(&s, "b", "hash", NULL);
	serve(&s, "a", 1, 800);
	serve(&s, "b", 1, 800);
	for (uint64_t h = 1; h < 800; h += 20)
		crash(&s, h, "new.sys");
	assert_int_equal(verdict(&s, "a").state, STATE_HALTED);
	assert_int_equal(verdict(&s, "b").state, STATE_CO_SUSPECT);
	stop(&s);

	start(&s, 4000);
	plan(&s, "harmless", "hash", NULL);
	serve(&s, "harmless", 1, 2000);
	for (uint64_t i = 0; i < 30; i++) /* in both arms alike */
		crash(&s, i % 2 * 2000 + 1 + i * 20, "new.sys");
	assert_int_not_equal(verdict(&s, "harmless").verdict, VERDICT_HALT);
	assert_true(standing(&s, "harmless", "new.sys").log_e < 0);
	stop(&s);
}

/* Hosts not served fall silent all day long, served ones are asked for minutes: the gate compares no shares of the
 * two, or a day's churn would hide what a payload does. */
static void
test_churn_does_not_shut_the_gate(void **state)
{
	struct dark_host dark[300];
	struct dark_bin bin = { .hosts = dark };
	struct deployment *d;
	struct scribe s;

	(void)state;
	start(&s, 4000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 60);
	d = s.l->deployments[0];
	bin.stratum = deployment_stratum(s.l, d, 0);
	bin.pos = s.last_pos;
	bin.from_us = s.now_us;
	bin.y0 = 3940;
	bin.n = 300;
	for (uint32_t i = 0; i < 300; i++) /* nobody was asked about who was served */
		dark[i] = (struct dark_host){ 1000 + i * 10, false, true };
	deployment_dark_bin(s.l, d, &bin);
	deployments_settle(s.l, s.last_pos);
	assert_int_equal(verdict(&s, "d").state, STATE_TOO_FEW_RESOLVED);
	bin.y1 = 60;
	bin.n = 6;
	for (uint32_t i = 0; i < 6; i++)
		dark[i] = (struct dark_host){ i * 10, true, true };
	deployment_dark_bin(s.l, d, &bin);
	deployments_settle(s.l, s.last_pos);
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED);
	assert_string_equal(verdict(&s, "d").evidence.standing.title, "went dark");
	stop(&s);
}

/* Served to other hosts, at the same time: only the bad one is halted. */
static void
test_overlapping(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 4000);
	plan(&s, "good", "hash", NULL);
	plan(&s, "bad", "hash", NULL);
	serve(&s, "good", 1, 400);
	serve(&s, "bad", 390, 40); /* ten hosts got both */
	for (uint64_t h = 390; h < 430; h += 4)
		crash(&s, h, "new.sys");
	assert_int_equal(verdict(&s, "bad").state, STATE_HALTED);
	assert_int_not_equal(verdict(&s, "good").verdict, VERDICT_HALT);
	assert_int_not_equal(verdict(&s, "good").state, STATE_CO_SUSPECT);
	stop(&s);
}

/* ---- people ---- */

static void
test_mute_and_accept(void **state)
{
	uint64_t id;
	struct scribe s;

	(void)state;
	start(&s, 4000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 40);
	crash(&s, 1, "new.sys");
	id = standing(&s, "d", "new.sys+0x1000").signature;
	decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_MUTE, id);
	for (uint64_t h = 3; h < 40; h += 3)
		crash(&s, h, "new.sys");
	assert_true(standing(&s, "d", "new.sys+0x1000").muted);
	assert_int_equal(standing(&s, "d", "new.sys+0x1000").served_with, 1);
	assert_int_equal(verdict(&s, "d").bad, 1);
	scribe_tick(&s, 25 * HOUR); /* a mute lasts a day */
	hear(&s, 0, 4000);
	for (uint64_t h = 2; h < 40; h += 3)
		crash(&s, h, "new.sys");
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED);
	stop(&s);

	start(&s, 4000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 40);
	decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_ACCEPT, id);
	scribe_tick(&s, 48 * HOUR);
	hear(&s, 0, 4000);
	for (uint64_t h = 1; h < 40; h += 3)
		crash(&s, h, "new.sys");
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_RELEASE, id);
	for (uint64_t h = 1; h < 40; h += 3)
		crash(&s, h, "new.sys");
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED);
	stop(&s);
}

/* Served hosts that crashed, and are well since: a person may resume. */
static void
test_recovered(void **state)
{
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 4000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 40);
	for (uint64_t h = 1; h < 40; h += 4)
		scribe_crash(&s, &(struct crash){ .host = h,
						  .module = "new.sys",
						  .offset = 16,
						  .kind = REPORT_KERNEL,
						  .epoch = 1,
						  .seq = h });
	v = verdict(&s, "d");
	assert_int_equal(v.state, STATE_HALTED);
	assert_int_equal(v.harmed, 10);
	assert_int_equal(v.harmed_back, 0);
	scribe_tick(&s, 2 * MINUTE);
	hear(&s, 40, 4000 - 40);
	scribe_tick(&s, MINUTE);
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED);
	hear(&s, 0, 40);
	scribe_tick(&s, MINUTE);
	v = verdict(&s, "d");
	assert_int_equal(v.state, STATE_RECOVERED);
	assert_int_equal(v.verdict, VERDICT_HALT);
	assert_int_equal(v.harmed_back, 10);
	decide(&s, "d", FAULTLINE__LOG__ACTION__ACTION_RESUME, 0);
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	stop(&s);
}

/* All harmed hosts are well again, but of a thousand that were served hardly any got the fix: resuming could
 * harm as many again.  The rollback says how many did. */
static void
test_recovered_needs_the_fix(void **state)
{
	Faultline__Log__Receipt m = FAULTLINE__LOG__RECEIPT__INIT;
	char id[] = "d";
	uint64_t hosts[1000];
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 4000);
	scribe_setting(&s, "halt-brake-sites", "100000");
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 1000);
	for (uint64_t h = 1; h < 400; h += 10)
		crash(&s, h, "new.sys");
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED);
	scribe_tick(&s, 2 * MINUTE);
	hear(&s, 0, 4000);
	scribe_tick(&s, MINUTE);
	v = verdict(&s, "d");
	assert_int_equal(v.harmed_back, v.harmed);
	assert_int_equal(v.state, STATE_HALTED);
	assert_int_equal(v.fixed, v.harmed);
	for (uint64_t i = 0; i < 1000; i++)
		hosts[i] = 1 + i;
	m.deployment = id;
	m.hosts = hosts;
	m.n_hosts = 1000;
	m.withdrawn = true;
	scribe_message(&s, RECORD_RECEIPT, &m);
	scribe_tick(&s, MINUTE);
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED); /* nobody was heard of since */
	hear(&s, 0, 4000);
	scribe_tick(&s, MINUTE);
	v = verdict(&s, "d");
	assert_int_equal(v.state, STATE_RECOVERED);
	assert_int_equal(v.fixed, 1000);
	assert_int_equal(v.fixed_bad, 0);
	assert_non_null(strstr(v.reason, "of 1,000 that got the fix 0 crashed"));
	/* the fix does not hold: they crash again after the rollback */
	for (uint64_t h = 1; h < 400; h += 10)
		scribe_crash(&s, &(struct crash){ .host = h,
						  .module = "new.sys",
						  .offset = 0x1000,
						  .kind = REPORT_KERNEL,
						  .epoch = 1,
						  .seq = 2 });
	scribe_tick(&s, 2 * MINUTE);
	hear(&s, 0, 4000);
	scribe_tick(&s, MINUTE);
	v = verdict(&s, "d");
	assert_int_equal(v.fixed_bad, 40);
	assert_int_equal(v.state, STATE_HALTED);
	stop(&s);
}

/* ---- who votes ---- */

/* Host ids that appear with the crash: they are shown, and neither halt nor save anything. */
static void
test_forged_hosts(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 2000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 20);
	serve(&s, "d", 90000, 100); /* receipts for hosts that nobody knows */
	for (uint64_t h = 90000; h < 90100; h++)
		crash(&s, h, "new.sys");
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	assert_int_equal(standing(&s, "d", "new.sys+0x1000").served_with, 0);
	/* ten thousand control crashes of hosts made up for it do not suppress a halt */
	for (uint64_t h = 100000; h < 110000; h++)
		crash(&s, h, "bad.sys");
	for (uint64_t h = 1; h < 20; h += 3)
		crash(&s, h, "bad.sys");
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED);
	assert_int_equal(verdict(&s, "d").evidence.unserved_with, 0);
	assert_true(verdict(&s, "d").evidence.standing.others_with >= 10000);
	stop(&s);
}

/* Known hosts that nobody heard of for a while are not at risk, and do not vote. */
static void
test_silent_hosts(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 2000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 20);
	assert_int_equal(verdict(&s, "d").assumed.at_risk1, 20);
	assert_int_equal(verdict(&s, "d").assumed.at_risk0, 1980);
	for (uint64_t h = 1; h <= 20; h++)
		scribe_goodbye(&s, h, NULL); /* without it they went dark, which is a reason to halt */
	/* the others are heard: if nobody were, that would be the server's blindness */
	for (int i = 0; i < 300; i++) {
		scribe_tick(&s, 4000000);
		if (i % 10 == 0)
			hear(&s, 20, 1980);
	}
	assert_int_equal(verdict(&s, "d").assumed.at_risk1, 0);
	assert_int_equal(verdict(&s, "d").assumed.at_risk0, 1980);
	for (uint64_t h = 1; h < 20; h++)
		crash(&s, h, "new.sys");
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	assert_int_equal(standing(&s, "d", "new.sys+0x1000").served_with, 0);
	hear(&s, 0, 1000);
	assert_int_equal(verdict(&s, "d").assumed.at_risk1, 20);
	scribe_goodbye(&s, 900, NULL);
	assert_int_equal(verdict(&s, "d").assumed.at_risk0, 1979);
	for (uint64_t h = 1; h < 20; h++)
		crash(&s, h, "new.sys");
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED);
	stop(&s);
}

/* Clocks: a crash said to be before the receipt is a control's; one of tomorrow is of now; one of the day
 * before yesterday, or of before the deployment, has no vote. */
static void
test_clocks(void **state)
{
	struct crash c = { .module = "new.sys", .offset = 0x1000, .kind = REPORT_KERNEL };
	struct standing st;
	struct scribe s;

	(void)state;
	start(&s, 2000);
	plan(&s, "d", "hash", NULL);
	scribe_tick(&s, 5 * HOUR);
	hear(&s, 0, 2000);
	serve(&s, "d", 1, 20);
	c.host = 1;
	c.occurred_us = s.now_us - 3 * HOUR;
	scribe_crash(&s, &c);
	c.host = 2;
	c.occurred_us = s.now_us + 3 * HOUR;
	scribe_crash(&s, &c);
	c.host = 3;
	c.occurred_us = s.now_us - 30 * 1000000; /* a clock that is a little behind */
	scribe_crash(&s, &c);
	c.host = 4;
	c.occurred_us = s.now_us - 7 * HOUR; /* before it began */
	scribe_crash(&s, &c);
	c.host = 5;
	c.occurred_us = s.now_us - 49 * HOUR;
	scribe_crash(&s, &c);
	st = standing(&s, "d", "new.sys+0x1000");
	assert_int_equal(st.served_with, 2);
	assert_int_equal(st.unserved_with, 1);
	stop(&s);
}

/* A thousand machines cloned from one image, behind one address. */
static void
test_clones(void **state)
{
	struct scribe s;

	(void)state;
	start(&s, 2000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 10, 1);
	for (uint64_t i = 0; i < 1000; i++)
		scribe_crash(&s, &(struct crash){ .host = 10,
						  .module = "new.sys",
						  .offset = 0x1000,
						  .kind = REPORT_KERNEL,
						  .epoch = 1 + i % 3,
						  .seq = 1 + i });
	assert_int_equal(standing(&s, "d", "new.sys+0x1000").served_with, 1);
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	stop(&s);
}

/* Served by site, a site has one vote, whichever way it goes. */
static void
test_site_votes(void **state)
{
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 4000);
	plan(&s, "d", "site", NULL);
	serve(&s, "d", 10, 30); /* three sites of ten */
	for (uint64_t h = 10; h < 40; h++)
		crash(&s, h, "new.sys");
	v = verdict(&s, "d");
	assert_true(v.assumed.vote_per_site);
	assert_true(v.assumed.rho == 5);
	assert_int_equal(v.evidence.standing.served_with, 30);
	assert_int_equal(v.votes_possible, 3);
	assert_int_not_equal(v.verdict, VERDICT_HALT);
	assert_true(v.cannot_certify || v.votes_needed <= 3);
	serve(&s, "d", 100, 60);
	for (uint64_t h = 100; h < 160; h += 10)
		crash(&s, h, "new.sys");
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED);
	stop(&s);
}

/* ---- strata ---- */

/* A patch of the operating system crashes what is on it.  The deployment went to these hosts alone; within
 * their stratum served hosts crash no more than others. */
static void
test_strata(void **state)
{
	struct stratum_view st;
	struct scribe s;

	(void)state;
	start(&s, 1000);
	for (uint64_t h = 5001; h <= 5200; h++)
		scribe_heartbeat(&s, h, NULL, "other-product", NULL);
	scribe_tick(&s, HOUR + 100000000);
	hear(&s, 0, 1200);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 5001, 100);
	assert_int_equal(verdict(&s, "d").assumed.strata, 3);
	for (uint64_t i = 0; i < 100; i += 2) {
		crash(&s, 5101 + i, "patched.sys");
		crash(&s, 5001 + i, "patched.sys");
	}
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	assert_true(standing(&s, "d", "patched.sys+0x1000").log_e < 1);
	/* a host stays where it was, whatever it says to be later: an update must not leave it alone */
	assert_true(ledger_stratum(s.l, number(&s, "d"), 2, &st));
	assert_string_equal(st.product, "other-product");
	assert_int_equal(st.at_risk1, 100);
	assert_int_equal(st.at_risk0, 100);
	for (uint64_t h = 5001; h <= 5100; h++)
		scribe_heartbeat(&s, h, NULL, "agent", NULL);
	assert_true(ledger_stratum(s.l, number(&s, "d"), 2, &st));
	assert_int_equal(st.at_risk1, 100);
	assert_int_equal(verdict(&s, "d").assumed.strata, 3);
	stop(&s);
}

/* The greatest share of the last minutes, in blocks of powers of two: never less than the truth. */
static void
test_shares(void **state)
{
	struct share at[4096], truth, got;
	struct strata st = { 0 };
	struct snap snap;
	uint64_t rng = 7;

	(void)state;
	snap_init(&snap);
	strata_init(&st, 0);
	assert_int_equal(strata_obtain(&st, &snap, 77), 1);
	assert_int_equal(strata_obtain(&st, &snap, 77), 1);
	strata_shift(&st, &snap, 1, 1, 0, 0, 1000);
	for (uint32_t m = 0; m < 4096; m++) {
		rng = hash_mix(rng + m);
		if (rng % 3 == 0) { /* some come, some go, some are served */
			const struct stratum_row *row = table_at(&st.rows, 1);
			int served = (int)(rng >> 8 & 7) - 3;

			if (served > 0 || row->now.y1 >= 3)
				strata_shift(&st, &snap, 1, 2 + m, m, served, (int)(rng >> 16 & 7) - 3);
		}
		at[m] = ((struct stratum_row *)table_at(&st.rows, 1))->now;
		for (uint32_t age = 0; age <= 2000 && age <= m; age = age * 2 + 1) {
			truth = at[m - age];
			for (uint32_t i = m - age; i <= m; i++)
				if (share_exceeds(at[i], truth))
					truth = at[i];
			got = strata_greatest(&st, &snap, 1, m - age, m);
			assert_false(share_exceeds(truth, got));
		}
	}
	strata_fini(&st);
	snap_fini(&snap);
}

/* A hand-picked ring that holds back half of itself is compared with that half. */
static void
test_held_back(void **state)
{
	static char id[] = "d", assignment[] = "listed", name[] = "lab";
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	Faultline__Log__Ring r = FAULTLINE__LOG__RING__INIT, *rings[1] = { &r };
	uint64_t hosts[400];
	struct scribe s;

	(void)state;
	start(&s, 4000);
	for (uint64_t i = 0; i < 400; i++)
		hosts[i] = 1000 - i;
	m.id = id;
	m.assignment = assignment;
	m.rings = rings;
	m.n_rings = 1;
	r.name = name;
	r.hosts = hosts;
	r.n_hosts = 400;
	r.hold_back = 50;
	scribe_message(&s, RECORD_DEPLOYMENT, &m);
	scribe_serve(&s, id, hosts, 200);
	assert_true(verdict(&s, "d").assumed.held_back);
	/* the lab's own trouble: both halves alike */
	for (uint64_t i = 0; i < 200; i += 3) {
		crash(&s, hosts[200 + i], "lab.sys");
		crash(&s, hosts[i], "lab.sys");
	}
	assert_int_not_equal(verdict(&s, "d").verdict, VERDICT_HALT);
	assert_true(standing(&s, "d", "lab.sys+0x1000").log_e < 1);
	stop(&s);
}

/* ---- what others feed ---- */

static void
test_hooks(void **state)
{
	struct dark_host dark[6];
	struct deployment *d;
	struct verdict_view v;
	struct standing st;
	struct scribe s;

	(void)state;
	start(&s, 4000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 60);
	d = s.l->deployments[0];
	for (uint32_t i = 0; i < 6; i++)
		dark[i] = (struct dark_host){ i * 10, true, true };
	deployment_dark_bin(s.l, d,
			    &(struct dark_bin){ .stratum = deployment_stratum(s.l, d, 0),
						.y1 = 60,
						.y0 = 3940,
						.from_us = s.now_us,
						.pos = s.last_pos,
						.hosts = dark,
						.n = 6 });
	deployments_settle(s.l, s.last_pos);
	v = verdict(&s, "d");
	assert_int_equal(v.state, STATE_HALTED);
	assert_string_equal(v.evidence.standing.title, "went dark");
	assert_true(ledger_standing_special(s.l, 0, 0, &st));
	assert_int_equal(st.served_with, 6);
	assert_string_equal(st.severity, "dark");
	stop(&s);

	start(&s, 4000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 60);
	for (uint32_t i = 0; i < 6; i++)
		deployments_boot_vote(s.l, i * 10, s.now_us, s.last_pos);
	deployments_settle(s.l, s.last_pos);
	assert_string_equal(verdict(&s, "d").evidence.standing.title, "hosts in a boot loop");
	assert_int_equal(verdict(&s, "d").state, STATE_HALTED);
	stop(&s);

	start(&s, 4000);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 60);
	ledger_set_blind(s.l, 0, true, "half of the heartbeats are missing");
	deployments_settle(s.l, s.last_pos);
	assert_int_equal(verdict(&s, "d").state, STATE_BLIND);
	assert_int_equal(verdict(&s, "d").verdict, VERDICT_HOLD);
	ledger_set_blind(s.l, 0, false, "");
	deployment_brake(s.l, s.l->deployments[0], "0.2 % of the fleet within an hour", s.last_pos);
	deployments_settle(s.l, s.last_pos);
	v = verdict(&s, "d");
	assert_int_equal(v.state, STATE_HALTED_HEURISTIC);
	assert_int_equal(v.verdict, VERDICT_HALT);
	assert_non_null(strstr(v.reason, "0.2 % of the fleet within an hour"));
	stop(&s);
}

/* One host, served or not, is no evidence of anything. */
static void
test_one_host(void **state)
{
	struct verdict_view v;
	struct scribe s;

	(void)state;
	start(&s, 1);
	plan(&s, "d", "hash", NULL);
	serve(&s, "d", 1, 1);
	scribe_tick(&s, 2000000);
	hear(&s, 0, 1);
	scribe_tick(&s, 1000000);
	v = verdict(&s, "d");
	assert_int_equal(v.state, STATE_TOO_FEW_RESOLVED); /* of fifty, as no ring says otherwise */
	assert_true(v.cannot_certify);
	crash(&s, 1, "new.sys");
	assert_int_equal(verdict(&s, "d").state, STATE_WATCH);
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_third_party),
		cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_co_suspects),
		cmocka_unit_test(test_brake_spares_the_innocent),
		cmocka_unit_test(test_churn_does_not_shut_the_gate),
		cmocka_unit_test(test_separated),
		cmocka_unit_test(test_overlapping),
		cmocka_unit_test(test_mute_and_accept),
		cmocka_unit_test(test_recovered),
		cmocka_unit_test(test_recovered_needs_the_fix),
		cmocka_unit_test(test_forged_hosts),
		cmocka_unit_test(test_silent_hosts),
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_clones),
		cmocka_unit_test(test_site_votes),
		cmocka_unit_test(test_strata),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_held_back),
		cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_one_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
