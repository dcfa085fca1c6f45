/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet's short history, and what was decided about deployments. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ledger_help.h"

#define SECOND 1000000ll
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

static void
start(struct scribe *s)
{
	scribe_init(s, ledger_new(NULL));
	s->now_us = s->now_us / HOUR * HOUR; /* the beginning of an hour */
	scribe_tick(s, 0);
}

static void
stop(struct scribe *s)
{
	assert_false(s->failed);
	ledger_free(s->l);
	scribe_fini(s);
}

static void
crash(struct scribe *s, uint64_t host, enum report_kind kind)
{
	scribe_crash(s, &(struct crash){ .host = host, .module = "m", .offset = 16, .kind = kind, .seq = ++s->seq });
}

static void
hosts_that_crash_are_counted_once(void **state)
{
	struct pulse_view p;
	struct scribe s;

	(void)state;
	start(&s);
	for (uint64_t h = 1; h <= 5; h++)
		crash(&s, h, REPORT_USER);
	crash(&s, 1, REPORT_USER);
	ledger_pulse(s.l, &p);
	assert_int_equal(p.value[PULSE_CRASHING], 5);
	scribe_tick(&s, 6 * MINUTE);
	crash(&s, 1, REPORT_USER); /* its newest one counts */
	crash(&s, 6, REPORT_USER);
	ledger_pulse(s.l, &p);
	assert_int_equal(p.value[PULSE_CRASHING], 6);
	scribe_tick(&s, 4 * MINUTE);
	ledger_pulse(s.l, &p);
	assert_int_equal(p.value[PULSE_CRASHING], 2); /* the others were ten minutes ago */
	scribe_tick(&s, 6 * MINUTE);
	ledger_pulse(s.l, &p);
	assert_int_equal(p.value[PULSE_CRASHING], 0);
	scribe_tick(&s, 300 * MINUTE);
	crash(&s, 1, REPORT_USER);
	ledger_pulse(s.l, &p);
	assert_int_equal(p.value[PULSE_CRASHING], 1);
	stop(&s);
}

static void
arrivals_in_bins(void **state)
{
	struct pulse_view p;
	struct scribe s;

	(void)state;
	start(&s);
	crash(&s, 1, REPORT_KERNEL);
	crash(&s, 2, REPORT_BOOT_CRITICAL);
	crash(&s, 3, REPORT_SERVICE);
	scribe_tick(&s, 20 * SECOND);
	crash(&s, 4, REPORT_USER);
	ledger_pulse(s.l, &p);
	assert_int_equal(p.all[PULSE_RATES - 2], 3);
	assert_int_equal(p.kernel[PULSE_RATES - 2], 2);
	assert_int_equal(p.all[PULSE_RATES - 1], 1);
	assert_int_equal(p.kernel[PULSE_RATES - 1], 0);
	assert_int_equal(p.all[0], PULSE_UNKNOWN); /* before the beginning */
	assert_int_equal(p.rates_from_us + (PULSE_RATES - 1) * 20 * SECOND, s.now_us / (20 * SECOND) * 20 * SECOND);
	scribe_tick(&s, 100 * SECOND); /* we were not there in between */
	ledger_pulse(s.l, &p);
	assert_int_equal(p.all[PULSE_RATES - 1], 0);
	for (unsigned i = 2; i <= 5; i++)
		assert_int_equal(p.all[PULSE_RATES - i], PULSE_UNKNOWN);
	assert_int_equal(p.all[PULSE_RATES - 6], 1);
	assert_int_equal(p.all[PULSE_RATES - 7], 3);
	scribe_tick(&s, 2 * HOUR);
	ledger_pulse(s.l, &p);
	for (unsigned i = 0; i + 1 < PULSE_RATES; i++)
		assert_int_equal(p.all[i], PULSE_UNKNOWN);
	stop(&s);
}

#define FLEET 90u
#define LIVE  60u /* that go on */

static void
run(struct scribe *s, int64_t us)
{
	uint32_t hosts[LIVE];

	for (uint32_t i = 0; i < LIVE; i++)
		hosts[i] = i;
	for (int64_t t = 0; t < us; t += MINUTE) {
		scribe_presence(s, hosts, LIVE);
		scribe_tick(s, MINUTE);
	}
}

static void
usual_of_the_hour(void **state)
{
	struct pulse_view p;
	struct scribe s;
	uint32_t first;

	(void)state;
	start(&s);
	scribe_fleet(&s, 1, FLEET); /* a heartbeat each; of some nothing more: dark from then on */
	run(&s, HOUR);
	ledger_pulse(s.l, &p);
	assert_int_equal(p.value[PULSE_DARK], FLEET - LIVE);
	assert_int_equal(p.value[PULSE_ALIVE], LIVE);
	assert_int_equal(p.usual[PULSE_DARK], PULSE_UNKNOWN); /* of this hour; the one before is known */
	assert_int_equal(p.usual_from_us, s.now_us / HOUR * HOUR + 7 * 24 * HOUR);
	assert_int_equal(p.spark[PULSE_DARK][PULSE_SPARK - 3], FLEET - LIVE);
	assert_int_equal(p.spark[PULSE_DARK][0], PULSE_UNKNOWN);
	assert_true(p.spark[PULSE_ALIVE][PULSE_SPARK - 5] > LIVE);
	run(&s, (7 * 24 - 1) * HOUR);
	ledger_pulse(s.l, &p);
	assert_int_equal(p.usual_from_us, 0);
	first = p.usual[PULSE_DARK];
	assert_in_range(first, 20, FLEET - LIVE - 1);
	assert_in_range(p.usual[PULSE_ALIVE], LIVE + 1, LIVE + 10);
	for (unsigned i = 0; i < PULSE_SPARK - 1; i++)
		assert_int_equal(p.spark[PULSE_DARK][i], FLEET - LIVE);
	run(&s, HOUR); /* a week without the beginning: it moves by a quarter */
	run(&s, (7 * 24 - 1) * HOUR);
	ledger_pulse(s.l, &p);
	assert_in_range(p.usual[PULSE_DARK], first, FLEET - LIVE - 1);
	scribe_tick(&s, 3 * HOUR); /* a stop is a hole, not a day of nothing */
	ledger_pulse(s.l, &p);
	for (unsigned i = 2; i < 12; i++)
		assert_int_equal(p.spark[PULSE_DARK][PULSE_SPARK - i], PULSE_UNKNOWN);
	stop(&s);
}

static struct decision_view
newest(const struct scribe *s, size_t *n_out)
{
	static struct decision_view v[200];

	*n_out = ledger_decisions(s->l, s->tenant, UINT32_MAX, v, 200);
	for (size_t i = 1; i < *n_out; i++)
		assert_true(v[i - 1].pos > v[i].pos);
	return v[0];
}

static void
decide(struct scribe *s, const char *id, Faultline__Log__Action action, const char *reason)
{
	scribe_decide(s, id, action, false, reason, 0, false);
}

static void
who_decided_what(void **state)
{
	struct decision_view v, ack;
	char long_text[1400];
	struct scribe s;
	uint64_t pos;
	size_t n;

	(void)state;
	start(&s);
	scribe_deploy(&s, "a", 10, 1000, "armed");
	scribe_deploy(&s, "b", 10, 1000, "armed");
	assert_false(ledger_acknowledged(s.l, 0, &ack));
	decide(&s, "a", FAULTLINE__LOG__ACTION__ACTION_HALT, "phones ring");
	pos = s.last_pos;
	v = newest(&s, &n);
	assert_int_equal(n, 1);
	assert_int_equal(v.pos, pos);
	assert_int_equal(v.action, FAULTLINE__LOG__ACTION__ACTION_HALT);
	assert_false(v.automatic);
	assert_true(text_equal(v.reason, TEXT("phones ring")));
	decide(&s, "a", FAULTLINE__LOG__ACTION__ACTION_ACK, ""); /* no reason: refused */
	assert_false(ledger_acknowledged(s.l, 0, &ack));
	decide(&s, "a", FAULTLINE__LOG__ACTION__ACTION_ACK, "on it");
	decide(&s, "b", FAULTLINE__LOG__ACTION__ACTION_PAUSE, "lunch");
	assert_true(ledger_acknowledged(s.l, 0, &ack));
	assert_true(text_equal(ack.reason, TEXT("on it")));
	assert_false(ledger_acknowledged(s.l, 1, &ack));
	v = newest(&s, &n);
	assert_int_equal(n, 3);
	assert_int_equal(v.deployment, 1);
	assert_int_equal(ledger_decisions(s.l, s.tenant, 0, &v, 1), 1);
	assert_int_equal(v.action, FAULTLINE__LOG__ACTION__ACTION_ACK);
	assert_int_equal(ledger_decisions(s.l, s.tenant + 1, UINT32_MAX, &v, 1), 0);
	decide(&s, "a", FAULTLINE__LOG__ACTION__ACTION_RESUME, "fixed");
	assert_false(ledger_acknowledged(s.l, 0, &ack));
	memset(long_text, 'x', sizeof(long_text));
	memcpy(long_text + 1022, "\xe2\x82\xac", 3); /* three bytes across the limit */
	long_text[1399] = '\0';
	decide(&s, "a", FAULTLINE__LOG__ACTION__ACTION_ACK, long_text);
	assert_true(ledger_acknowledged(s.l, 0, &ack));
	assert_int_equal(ack.reason.len, 1022);
	for (int i = 0; i < 100; i++)
		decide(&s, "b", FAULTLINE__LOG__ACTION__ACTION_PAUSE, "again");
	newest(&s, &n);
	assert_int_equal(n, 64 + 4);
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_that_crash_are_counted_once),
		cmocka_unit_test(arrivals_in_bins),
		cmocka_unit_test(usual_of_the_hour),
		cmocka_unit_test(who_decided_what),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
