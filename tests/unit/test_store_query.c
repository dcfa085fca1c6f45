/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/signature.h"
#include "collector/store/days.h"
#include "collector/store/pg.h"
#include "collector/store/store_query.h"
#include "collector/store/textbuf.h"
#include "proto/log.pb-c.h"
#include "tests/unit/store_help.h"

/* History read back out of the database, and its retention. */

struct fixture {
	struct rig *r;
	struct store_queries *s;
	struct mailbox *reply;
	uint64_t pos; /* last batch of what setup() put there */
	int64_t now_us;
};

static struct log_id
log_id_of(struct rig *r)
{
	uint64_t first, end;
	struct log_id id;

	log_bounds(r->log, &first, &end, &id);
	return id;
}

/* Three days: the day before yesterday and yesterday with 100 reports each, today with 300,
 * of ten hosts and two modules. */
static int
setup_all(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct projector *p;
	struct log_id id;
	char err[256];

	f->r = rig_new();
	f->reply = mailbox_new();
	f->now_us = f->r->now_us;
	for (int day = 2; day >= 0; day--) {
		f->r->now_us = f->now_us - day * STORE_DAY_US;
		f->pos = rig_reports(f->r, &(struct rig_reports){ day > 0 ? 100 : 300, 20, 10, 2, day == 0 });
	}
	p = rig_projector(f->r, NULL, NULL, 150);
	rig_wait(f->r, p);
	projector_stop(p);
	id = log_id_of(f->r);
	f->s = store_queries_start(cluster_conninfo(f->r->cluster), &id, err, sizeof(err));
	assert_non_null(f->s);
	*state = f;
	return 0;
}

static int
teardown_all(void **state)
{
	struct fixture *f = *state;

	store_queries_stop(f->s);
	mailbox_free(f->reply);
	rig_free(f->r);
	free(f);
	return 0;
}

static void
note(struct store_query *q)
{
	*(bool *)q->arg = true;
}

static void
ask(struct fixture *f, struct store_query *q)
{
	bool done = false;

	q->reply = f->reply;
	q->done = note;
	q->arg = &done;
	assert_true(store_ask(f->s, q));
	while (!done) {
		assert_true(mailbox_wait(f->reply, 60000));
		store_dispatch(f->reply);
	}
}

static uint64_t
signature(const char *module)
{
	struct signature_key key = { text_of(module), TEXT("5f3e9a2b1c000"), 0xe14ed, REASON_ACCESS };

	return signature_hash(&key, RUNG_KEY);
}

static void
test_one_report(void **state)
{
	struct fixture *f = *state;
	struct store_query q = { .what = STORE_REPORT, .key = f->pos + 3 };

	ask(f, &q);
	assert_int_equal(q.answer, STORE_FOUND);
	assert_int_equal(q.n, 1);
	assert_int_equal(q.reports->pos, f->pos + 3);
	assert_int_equal(q.reports->received_us, f->now_us);
	assert_int_equal(q.reports->occurred_us, 1721361600000000);
	assert_int_equal(q.reports->host, 4);
	assert_int_equal(q.reports->signature, signature("m1.dll"));
	assert_string_equal(q.reports->title, "m1.dll+0xe14ed");
	assert_string_equal(q.reports->module, "C:\\Windows\\m1.dll");
	assert_string_equal(q.reports->site, "berlin");
	assert_string_equal(q.reports->reason, "EXCEPTION_ACCESS_VIOLATION_READ");
	assert_non_null(strstr(q.reports->details, "BaseThreadInitThunk"));
	assert_string_equal(q.reports->triage, "");
	store_query_fini(&q);
	q = (struct store_query){ .what = STORE_REPORT, .key = f->pos + 77 };
	ask(f, &q);
	assert_int_equal(q.answer, STORE_ABSENT);
	store_query_fini(&q);
	q = (struct store_query){ .what = STORE_REPORT, .key = f->pos + 3, .tenant = 9 }; /* another's */
	ask(f, &q);
	assert_int_equal(q.answer, STORE_ABSENT);
	store_query_fini(&q);
}

/* All pages of a list: how many, each once, newest first. */
static uint32_t
walk(struct fixture *f, struct store_query q, uint32_t limit)
{
	struct store_cursor from = { 0 };
	uint64_t last = UINT64_MAX;
	uint32_t n = 0;
	bool more = true;

	while (more) {
		q.from = from;
		q.limit = limit;
		ask(f, &q);
		assert_int_equal(q.answer, STORE_FOUND);
		for (uint32_t i = 0; i < q.n; i++) {
			assert_true(q.reports[i].pos < last);
			last = q.reports[i].pos;
		}
		n += q.n;
		more = q.more;
		from = q.next;
		store_query_fini(&q);
	}
	return n;
}

static void
assert_lists(struct fixture *f)
{
	struct store_query sig = { .what = STORE_REPORTS_OF_SIGNATURE, .key = signature("m1.dll") },
			   host = { .what = STORE_REPORTS_OF_HOST, .key = 7 },
			   none = { .what = STORE_REPORTS_OF_HOST, .key = 77 };

	assert_int_equal(walk(f, sig, 7), 250);
	assert_int_equal(walk(f, sig, 1000), 250);
	assert_int_equal(walk(f, host, 10), 50);
	assert_int_equal(walk(f, host, 1), 50);
	assert_int_equal(walk(f, none, 10), 0);
}

static void
test_lists_while_days_are_open(void **state)
{
	assert_lists(*state);
}

static void
test_days_of_a_signature(void **state)
{
	struct fixture *f = *state;
	struct store_query q = { .what = STORE_DAYS_OF_SIGNATURE, .key = signature("m0.dll"), .limit = 2 };

	ask(f, &q);
	assert_int_equal(q.n, 2);
	assert_int_equal(q.days[0].reports, 150);
	assert_int_equal(q.days[0].hosts, -1);
	assert_int_equal(q.days[1].reports, 50);
	assert_true(q.more);
	q.from = q.next;
	store_query_fini(&q);
	ask(f, &q);
	assert_int_equal(q.n, 1);
	assert_int_equal(q.days[0].day, f->now_us / STORE_DAY_US - 2);
	assert_false(q.more);
	store_query_fini(&q);
}

static void
test_what_triage_filed_elsewhere(void **state)
{
	struct fixture *f = *state;
	Faultline__Log__TriageResult m = FAULTLINE__LOG__TRIAGE_RESULT__INIT;
	struct store_query q = { .what = STORE_REPORTS_OF_SIGNATURE, .limit = 10 };
	struct signature_key key = { TEXT("csagent.sys"), TEXT("abc"), 0x10, REASON_ACCESS };
	uint8_t sha[32] = { 0xab }, buf[512];
	struct projector *p;

	m.report = f->pos + 5;
	m.sha256 = (ProtobufCBinaryData){ sizeof(sha), sha };
	m.module = (char *)(uintptr_t) "csagent.sys";
	m.module_id = (char *)(uintptr_t) "abc";
	m.offset = 0x10;
	m.reason_class = REASON_ACCESS;
	m.reason = (char *)(uintptr_t) "PAGE_FAULT_IN_NONPAGED_AREA";
	rig_record(f->r, RECORD_TRIAGE_RESULT, buf, faultline__log__triage_result__pack(&m, buf));
	p = rig_projector(f->r, NULL, NULL, 100);
	rig_wait(f->r, p);
	projector_stop(p);
	q.key = signature_hash(&key, RUNG_KEY);
	ask(f, &q);
	assert_int_equal(q.n, 1);
	assert_int_equal(q.reports->pos, f->pos + 5);
	assert_string_equal(q.reports->title, "m1.dll+0xe14ed"); /* its claim is not rewritten */
	store_query_fini(&q);
	q = (struct store_query){ .what = STORE_REPORT, .key = f->pos + 5 };
	ask(f, &q);
	assert_non_null(strstr(q.reports->triage, "PAGE_FAULT_IN_NONPAGED_AREA"));
	store_query_fini(&q);
}

static void
connect_pg(struct fixture *f, struct pg *pg)
{
	*pg = (struct pg){ .stop_fd = -1, .timeout_ms = 60000 };
	assert_true(pg_connect(pg, cluster_conninfo(f->r->cluster)));
}

static void
test_lists_of_closed_days(void **state)
{
	struct fixture *f = *state;
	struct store_query q = { .what = STORE_DAYS_OF_SIGNATURE, .key = signature("m0.dll"), .limit = 9 };
	char table[DAYS_TABLE_SIZE];
	struct pg pg;

	connect_pg(f, &pg);
	assert_true(days_close(&pg, (int32_t)(f->now_us / STORE_DAY_US)));
	assert_true(days_close(&pg, (int32_t)(f->now_us / STORE_DAY_US))); /* nothing left to do */
	pg_close(&pg);
	assert_int_equal(rig_number(f->r, "SELECT count(*) FROM days WHERE closed"), 2);
	days_table((int32_t)(f->now_us / STORE_DAY_US) - 1, table);
	assert_int_equal(rig_number(f->r, "SELECT count(*) FROM pg_indexes WHERE tablename = '%s'", table), 3);
	assert_lists(f);
	ask(f, &q);
	assert_int_equal(q.n, 3);
	assert_int_equal(q.days[0].hosts, -1);
	assert_int_equal(q.days[1].hosts, 5);
	assert_int_equal(q.days[2].hosts, 5);
	store_query_fini(&q);
}

/* A late row opens a closed day again, and it is closed again. */
static void
test_a_late_row(void **state)
{
	struct fixture *f = *state;
	struct projector *p;
	struct pg pg;

	f->r->now_us = f->now_us - STORE_DAY_US;
	rig_reports(f->r, &(struct rig_reports){ 1, 1, 1, 1, false });
	f->r->now_us = f->now_us;
	p = rig_projector(f->r, NULL, NULL, 100);
	rig_wait(f->r, p);
	projector_stop(p);
	assert_int_equal(rig_number(f->r, "SELECT sum(reports) FROM signatures"), 501);
	connect_pg(f, &pg);
	assert_true(days_close(&pg, (int32_t)(f->now_us / STORE_DAY_US)));
	pg_close(&pg);
	assert_int_equal(rig_number(f->r, "SELECT count(*) FROM days WHERE closed"), 2);
}

static void
test_retention(void **state)
{
	struct fixture *f = *state;
	struct pg pg;

	connect_pg(f, &pg);
	assert_true(days_drop(&pg, (int32_t)(f->now_us / STORE_DAY_US) - 1));
	assert_true(days_drop(&pg, (int32_t)(f->now_us / STORE_DAY_US) - 1));
	pg_close(&pg);
	assert_int_equal(rig_number(f->r, "SELECT count(*) FROM reports"), 401);
	assert_int_equal(rig_number(f->r, "SELECT count(*) FROM days"), 2);
	assert_int_equal(rig_number(f->r, "SELECT sum(reports) FROM signatures"), 501); /* kept */
	assert_int_equal(rig_number(f->r, "SELECT count(*) FROM signature_days"), 6);
}

static void
test_a_database_that_is_away(void **state)
{
	struct fixture *f = *state;
	struct store_query q = { .what = STORE_REPORT, .key = f->pos };
	int pid = rig_postmaster(f->r);

	assert_int_equal(kill(pid, SIGKILL), 0);
	do { /* a server process outlives its postmaster by an answer or two */
		store_query_fini(&q);
		q = (struct store_query){ .what = STORE_REPORT, .key = f->pos };
		ask(f, &q);
	} while (q.answer != STORE_DOWN && rig_postmaster(f->r) == pid);
	assert_true(q.answer == STORE_DOWN || rig_postmaster(f->r) != pid);
	store_query_fini(&q);
	RIG_UNTIL(cluster_up(f->r->cluster) && rig_postmaster(f->r) != pid, "the cluster");
	do { /* it does not try for each question */
		store_query_fini(&q);
		q = (struct store_query){ .what = STORE_REPORT, .key = f->pos };
		ask(f, &q);
	} while (q.answer == STORE_DOWN);
	assert_int_equal(q.answer, STORE_FOUND);
	store_query_fini(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_report),
		cmocka_unit_test(test_lists_while_days_are_open),
		cmocka_unit_test(test_days_of_a_signature),
		cmocka_unit_test(test_lists_of_closed_days),
		cmocka_unit_test(test_what_triage_filed_elsewhere),
		cmocka_unit_test(test_a_late_row),
		cmocka_unit_test(test_retention),
		cmocka_unit_test(test_a_database_that_is_away),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
