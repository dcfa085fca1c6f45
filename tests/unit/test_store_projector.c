/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/counters.h"
#include "collector/store/outcomes.h"
#include "proto/log.pb-c.h"
#include "tests/unit/store_help.h"

/* The projector against a real PostgreSQL: what is in the database afterwards, whatever
 * happened to it meanwhile. */

static int
setup_all(void **state)
{
	*state = rig_new();
	return 0;
}

static int
teardown_all(void **state)
{
	rig_free(*state);
	return 0;
}

static int
setup(void **state)
{
	rig_sql(*state, "DROP SCHEMA IF EXISTS faultline CASCADE");
	rig_new_log(*state);
	return 0;
}

static int64_t
total(struct rig *r)
{
	return rig_number(r, "SELECT count(*) FROM reports");
}

/* Rows, sums and positions all say n, and no position is there twice. */
static void
assert_holds(struct rig *r, int64_t n)
{
	assert_int_equal(total(r), n);
	assert_int_equal(rig_number(r, "SELECT count(DISTINCT position) FROM reports"), n);
	assert_int_equal(rig_number(r, "SELECT sum(reports) FROM signatures"), n);
	assert_int_equal(rig_number(r, "SELECT sum(reports) FROM signature_days"), n);
	assert_int_equal(rig_number(r, "SELECT sum(reports) FROM report_days"), n);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM rejected"), 0);
}

static void
test_everything_once(void **state)
{
	struct rig *r = *state;
	struct projector *p = rig_projector(r, NULL, NULL, 1000);

	rig_reports(r, &(struct rig_reports){ 5000, 64, 100, 20, false });
	rig_wait(r, p);
	assert_true(projector_up(p));
	projector_stop(p);
	/* A second run begins where the first ended. */
	rig_reports(r, &(struct rig_reports){ 500, 64, 100, 20, false });
	p = rig_projector(r, NULL, NULL, 1000);
	rig_wait(r, p);
	projector_stop(p);
	assert_holds(r, 5500);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM signatures"), 20);
	assert_int_equal(rig_number(r, "SELECT count(DISTINCT host) FROM reports"), 100);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM origins"), 20);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM sites"), 1);
	assert_int_equal(rig_number(r, "SELECT crashes FROM signatures WHERE title = 'm7.dll+0xe14ed'"), 275);
	assert_int_equal(rig_number(r, "SELECT epoch FROM logs"), 2);
}

static void
test_nothing_of_a_report_is_lost(void **state)
{
	struct rig *r = *state;
	struct projector *p = rig_projector(r, NULL, NULL, 1000);

	rig_reports(r, &(struct rig_reports){ 1, 64, 1, 1, true });
	rig_wait(r, p);
	projector_stop(p);
	assert_string_equal(rig_sql(r, "SELECT details->'labels'->>'ring' FROM reports"), "canary \"1\"\n");
	assert_string_equal(rig_sql(r, "SELECT details->'labels'->>'grüße' FROM reports"), "日本");
	assert_string_equal(rig_sql(r, "SELECT details->'frames'->0->>'function' FROM reports"), "f\"1\\");
	assert_string_equal(rig_sql(r, "SELECT details->'frames'->3->>'module_offset' FROM reports"),
			    "0xffffffffffffffff");
	assert_string_equal(rig_sql(r, "SELECT details->'params'->>0 FROM reports"), "0xffffffffffffffff");
	assert_string_equal(rig_sql(r, "SELECT occurred FROM reports"), "2024-07-19 04:00:00+00");
	assert_string_equal(rig_sql(r, "SELECT uptime_s FROM reports"), "3600");
	assert_string_equal(rig_sql(r, "SELECT o.module || ' ' || o.reason || ' ' || o.version || ' ' || o.os_build"
				       " FROM reports JOIN origins o ON o.id = origin"),
			    "C:\\Windows\\m0.dll EXCEPTION_ACCESS_VIOLATION_READ 7.11.18110 10.0.19045");
	assert_string_equal(rig_sql(r, "SELECT name FROM reports JOIN sites s ON s.id = site"), "berlin");
	assert_string_equal(rig_sql(r, "SELECT title || ' ' || module_id FROM signatures"),
			    "m0.dll+0xe14ed 5f3e9a2b1c000");
}

/* Most of a log are records that leave no row; a transaction over them must end too. */
static void
test_a_log_without_reports(void **state)
{
	struct rig *r = *state;
	uint64_t before = counter_get(COUNTER_store_transactions);
	struct projector *p;

	for (int i = 0; i < 10; i++)
		rig_filler(r, 60000);
	rig_reports(r, &(struct rig_reports){ 5, 64, 100, 20, false });
	p = rig_projector(r, NULL, NULL, 1000);
	rig_wait(r, p);
	projector_stop(p);
	assert_holds(r, 5);
	assert_int_equal(rig_number(r, "SELECT records FROM logs"), 600005);
	assert_true(counter_get(COUNTER_store_transactions) - before >= 3);
}

static void
test_a_batch_over_midnight(void **state)
{
	struct rig *r = *state;
	struct projector *p;
	int64_t now = r->now_us;

	for (int i = 0; i < 20; i++) {
		r->now_us = now - (i % 2) * 86400ll * 1000000;
		rig_reports(r, &(struct rig_reports){ 10, 10, 5, 2, false });
	}
	for (int i = 2; i < 14; i++) { /* and more days than fit into one transaction */
		r->now_us = now - i * 86400ll * 1000000;
		rig_reports(r, &(struct rig_reports){ 10, 10, 5, 2, false });
	}
	r->now_us = -5; /* a clock that was never set */
	rig_reports(r, &(struct rig_reports){ 1, 1, 1, 1, false });
	r->now_us = now;
	p = rig_projector(r, NULL, NULL, 1000);
	rig_wait(r, p);
	projector_stop(p);
	assert_holds(r, 321);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM days"), 15);
	assert_int_equal(rig_number(r, "SELECT reports FROM report_days ORDER BY day DESC LIMIT 1"), 100);
}

/* ---- trouble ---- */

static int
backend(struct rig *r)
{
	return (int)rig_number(r, "SELECT pid FROM pg_stat_activity WHERE application_name = 'faultlined'");
}

static void
test_killed_again_and_again(void **state)
{
	struct rig *r = *state;
	struct projector *p = rig_projector(r, NULL, NULL, 2000);
	uint64_t restarts = counter_get(COUNTER_store_restarts);

	for (int i = 0; i < 4; i++) {
		int victim = 0;

		rig_reports(r, &(struct rig_reports){ 30000, 128, 1000, 50, false });
		RIG_UNTIL(projector_up(p) && (victim = i % 2 == 0 ? backend(r) : rig_postmaster(r)) != 0, "the server");
		assert_int_equal(kill(victim, SIGKILL), 0);
		RIG_UNTIL(!projector_up(p), "the projector to notice");
	}
	rig_wait(r, p);
	projector_stop(p);
	assert_holds(r, 120000);
	assert_true(counter_get(COUNTER_store_restarts) > restarts);
}

static void
test_a_server_that_hangs(void **state)
{
	struct rig *r = *state;
	struct projector_options o = { .conninfo = cluster_conninfo(r->cluster),
				       .log = r->log,
				       .batch_rows = 1000,
				       .report_days = 90,
				       .timeout_ms = 700 };
	char err[256];
	struct projector *p = projector_start(&o, err, sizeof(err));
	uint64_t failures = counter_get(COUNTER_store_failures);
	int pid;

	rig_reports(r, &(struct rig_reports){ 100, 64, 100, 20, false });
	rig_wait(r, p);
	pid = backend(r);
	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	rig_reports(r, &(struct rig_reports){ 3000, 64, 100, 20, false });
	RIG_UNTIL(counter_get(COUNTER_store_failures) > failures, "the projector to notice");
	/* A new connection waits for the row that the hanging one may have locked, or goes on. */
	assert_int_equal(kill(pid, SIGCONT), 0);
	rig_wait(r, p);
	projector_stop(p);
	assert_holds(r, 3100);
}

static void
test_stops_while_the_server_hangs(void **state)
{
	struct rig *r = *state;
	struct projector *p = rig_projector(r, NULL, NULL, 1000);
	int64_t begin;
	int pid;

	rig_reports(r, &(struct rig_reports){ 100, 64, 100, 20, false });
	rig_wait(r, p);
	pid = backend(r);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	rig_reports(r, &(struct rig_reports){ 3000, 64, 100, 20, false });
	begin = clock_boot_us();
	projector_stop(p);
	assert_true(clock_boot_us() - begin < 20000000); /* its time limit is a minute */
	assert_int_equal(kill(pid, SIGCONT), 0);
	p = rig_projector(r, NULL, NULL, 1000);
	rig_wait(r, p);
	projector_stop(p);
	assert_holds(r, 3100);
}

/* Files of the server may not grow: what a full disk is to it, and it passes. */
static void
test_a_full_disk(void **state)
{
	struct rig *r = *state;
	struct projector *p = rig_projector(r, NULL, NULL, 5000);
	uint64_t failures;

	rig_reports(r, &(struct rig_reports){ 100, 64, 100, 20, false });
	rig_wait(r, p);
	failures = counter_get(COUNTER_store_failures);
	/* The postmaster hands it on to every server that it starts later; WAL segments of
	 * 16 MB still fit. */
	rig_limit_files(rig_postmaster(r), 17 << 20);
	rig_limit_files(backend(r), 17 << 20);
	rig_reports(r, &(struct rig_reports){ 250000, 256, 1000, 50, false });
	RIG_UNTIL(counter_get(COUNTER_store_failures) > failures + 2, "refusals");
	assert_null(projector_problem(p));
	rig_limit_files(rig_postmaster(r), 0);
	rig_wait(r, p);
	projector_stop(p);
	assert_holds(r, 250100);
}

static void
test_an_older_projector_is_shut_out(void **state)
{
	struct rig *r = *state;
	struct projector *old = rig_projector(r, NULL, NULL, 1000), *young;

	rig_reports(r, &(struct rig_reports){ 1000, 64, 100, 20, false });
	rig_wait(r, old);
	young = rig_projector(r, NULL, NULL, 1000);
	RIG_UNTIL(projector_up(young), "the second projector");
	rig_reports(r, &(struct rig_reports){ 5000, 64, 100, 20, false });
	RIG_UNTIL(projector_problem(old) != NULL, "the first projector to give up");
	assert_non_null(strstr(projector_problem(old), "another faultlined"));
	assert_false(projector_up(old));
	rig_wait(r, young);
	assert_null(projector_problem(young));
	projector_stop(old);
	projector_stop(young);
	assert_holds(r, 6000);
}

static void
test_one_record_the_database_refuses(void **state)
{
	struct rig *r = *state;
	struct projector *p = rig_projector(r, NULL, NULL, 1000);
	Faultline__Log__Decision d = FAULTLINE__LOG__DECISION__INIT;
	uint8_t buf[256];
	uint64_t pos;

	rig_reports(r, &(struct rig_reports){ 10, 64, 100, 20, false });
	rig_wait(r, p);
	rig_sql(r, "ALTER TABLE decisions ADD CHECK (reason <> 'poison')");
	projector_stop(p);
	d.deployment = (char *)(uintptr_t) "d1";
	d.reason = (char *)(uintptr_t) "fine";
	rig_record(r, RECORD_DECISION, buf, faultline__log__decision__pack(&d, buf));
	rig_reports(r, &(struct rig_reports){ 3000, 64, 100, 20, false });
	d.reason = (char *)(uintptr_t) "poison";
	pos = rig_record(r, RECORD_DECISION, buf, faultline__log__decision__pack(&d, buf));
	rig_reports(r, &(struct rig_reports){ 3000, 64, 100, 20, false });
	p = rig_projector(r, NULL, NULL, 1000);
	rig_wait(r, p);
	projector_stop(p);
	assert_int_equal(rig_number(r, "SELECT position FROM rejected"), pos);
	assert_string_equal(rig_sql(r, "SELECT encode(payload, 'escape') LIKE '%%poison%%' FROM rejected"), "t");
	assert_int_equal(rig_number(r, "SELECT count(*) FROM decisions"), 1);
	rig_sql(r, "DELETE FROM rejected");
	assert_holds(r, 6010);
}

static void
test_a_log_that_forgot(void **state)
{
	struct rig *r = *state;
	struct projector *p = rig_projector(r, NULL, NULL, 1000);
	uint64_t first;

	rig_reports(r, &(struct rig_reports){ 100, 10, 100, 20, false });
	rig_wait(r, p);
	projector_stop(p);
	rig_reports(r, &(struct rig_reports){ 500, 10, 100, 20, false });
	first = rig_reports(r, &(struct rig_reports){ 10, 10, 100, 20, false });
	rig_reports(r, &(struct rig_reports){ 90, 10, 100, 20, false });
	fake_store_truncate(r->store, first);
	p = rig_projector(r, NULL, NULL, 1000);
	rig_wait(r, p);
	projector_stop(p);
	assert_holds(r, 200);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM gaps"), 1);
	assert_int_equal(rig_number(r, "SELECT to_position FROM gaps"), first);
}

static void
test_a_newer_schema_is_refused(void **state)
{
	struct rig *r = *state;
	struct projector *p = rig_projector(r, NULL, NULL, 1000);

	rig_reports(r, &(struct rig_reports){ 10, 10, 100, 20, false });
	rig_wait(r, p);
	projector_stop(p);
	rig_sql(r, "INSERT INTO schema_version VALUES (9999, 'future')");
	p = rig_projector(r, NULL, NULL, 1000);
	RIG_UNTIL(projector_problem(p) != NULL, "the refusal");
	assert_non_null(strstr(projector_problem(p), "schema version 9999"));
	projector_stop(p);
	assert_int_equal(total(r), 10);
}

/* The database of a daemon that had only the first steps, with rows in it. */
static void
test_migration(void **state)
{
	struct rig *r = *state;
	struct projector *p = rig_projector(r, NULL, NULL, 1000);

	rig_reports(r, &(struct rig_reports){ 10, 10, 100, 20, false });
	rig_wait(r, p);
	projector_stop(p);
	rig_sql(r, "DROP TABLE aliases");
	rig_sql(r, "DELETE FROM schema_version WHERE version > 1");
	rig_reports(r, &(struct rig_reports){ 10, 10, 100, 20, false });
	p = rig_projector(r, NULL, NULL, 1000);
	rig_wait(r, p);
	projector_stop(p);
	assert_holds(r, 20);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM aliases"), 0);
	assert_true(rig_number(r, "SELECT max(version) FROM schema_version") > 1);
}

/* ---- what the fold decided ---- */

static void
test_resent_reports_are_kept_but_not_counted(void **state)
{
	struct rig *r = *state;
	char dir[4096], err[256];
	struct outcomes *o;
	struct projector *p;
	uint64_t one, two, first, end;
	struct log_id id;

	snprintf(dir, sizeof(dir), "%s/outcomes", r->dir);
	o = outcomes_open(dir, err, sizeof(err));
	outcomes_rewind(o, 0);
	one = rig_reports(r, &(struct rig_reports){ 10, 10, 10, 1, false });
	two = rig_reports(r, &(struct rig_reports){ 10, 10, 10, 1, false });
	p = rig_projector(r, NULL, o, 1000);
	RIG_UNTIL(projector_up(p), "the projector");
	assert_true(projector_position(p) <= one); /* not before the fold */
	outcomes_put(o, one + 3, OUTCOME_RESENT);
	outcomes_put(o, one + 4, OUTCOME_LATE);
	outcomes_decided(o, two);
	outcomes_put(o, two, OUTCOME_DUPLICATE);
	log_bounds(r->log, &first, &end, &id);
	outcomes_decided(o, end);
	rig_wait(r, p);
	projector_stop(p);
	outcomes_close(o);
	assert_int_equal(total(r), 20);
	assert_int_equal(rig_number(r, "SELECT sum(reports) FROM signatures"), 9);
	assert_int_equal(rig_number(r, "SELECT sum(crashes) FROM signature_days"), 9);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM reports WHERE outcome & 1 = 0"), 9);
	assert_int_equal(rig_number(r, "SELECT position FROM reports WHERE outcome = 2"), one + 4);
}

/* ---- the rarer records ---- */

static void
add_triage(struct rig *r, uint64_t report, const char *module, uint64_t offset)
{
	Faultline__Log__TriageResult m = FAULTLINE__LOG__TRIAGE_RESULT__INIT;
	Faultline__Log__Frame fr = FAULTLINE__LOG__FRAME__INIT, *frames[] = { &fr };
	uint8_t sha[32] = { 1, 2, 3 }, buf[1024];

	m.report = report;
	m.sha256 = (ProtobufCBinaryData){ sizeof(sha), sha };
	m.module = fr.module = (char *)(uintptr_t)module;
	m.offset = fr.offset = offset;
	m.reason_class = 1;
	m.error = (char *)(uintptr_t) "bad \xff byte and \"quotes\"";
	fr.function = (char *)(uintptr_t) "\xc3(";
	m.frames = frames;
	m.n_frames = 1;
	rig_record(r, RECORD_TRIAGE_RESULT, buf, faultline__log__triage_result__pack(&m, buf));
}

static void
test_triage_files_beside_the_claim(void **state)
{
	struct rig *r = *state;
	struct projector *p = rig_projector(r, NULL, NULL, 1000);
	uint64_t pos = rig_reports(r, &(struct rig_reports){ 10, 10, 10, 1, false });

	add_triage(r, pos + 1, "csagent.sys", 0xe14ed);
	add_triage(r, pos + 1, "csagent.sys", 0xe14ed); /* told twice: counted once */
	rig_wait(r, p);
	add_triage(r, pos + 2, "csagent.sys", 0xe14ed);
	add_triage(r, pos + 3, "", 0); /* the dump showed nothing */
	rig_wait(r, p);
	projector_stop(p);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM triage_results"), 3);
	assert_int_equal(rig_number(r, "SELECT triaged FROM signatures WHERE title = 'csagent.sys+0xe14ed'"), 2);
	assert_int_equal(rig_number(r, "SELECT reports FROM signatures WHERE title = 'm0.dll+0xe14ed'"), 10);
	assert_int_equal(rig_number(r, "SELECT reports FROM aliases"), 2);
	assert_string_equal(rig_sql(r, "SELECT c.title || ' ' || s.title FROM aliases JOIN signatures c ON c.id ="
				       " claimed JOIN signatures s ON s.id = signature"),
			    "m0.dll+0xe14ed csagent.sys+0xe14ed");
	assert_string_equal(rig_sql(r, "SELECT error FROM triage_results"), "bad ? byte and \"quotes\"");
	assert_string_equal(rig_sql(r, "SELECT frames->0->>'module_offset' FROM triage_results"), "0xe14ed");
}

static void
test_deployments_receipts_decisions(void **state)
{
	struct rig *r = *state;
	struct projector *p;
	Faultline__Log__Deployment d = FAULTLINE__LOG__DEPLOYMENT__INIT;
	Faultline__Log__Ring ring = FAULTLINE__LOG__RING__INIT, *rings[] = { &ring };
	Faultline__Log__Receipt rc = FAULTLINE__LOG__RECEIPT__INIT;
	Faultline__Log__Decision dc = FAULTLINE__LOG__DECISION__INIT;
	Faultline__Log__DumpStored ds = FAULTLINE__LOG__DUMP_STORED__INIT;
	uint64_t hosts[] = { 1, 2, 3 };
	uint8_t buf[1024], sha[32] = { 9 };

	d.id = (char *)(uintptr_t) "channel-file-291";
	d.artefact = (char *)(uintptr_t) "C-00000291.sys";
	ring.name = (char *)(uintptr_t) "canary";
	ring.percent = 0.1;
	d.rings = rings;
	d.n_rings = 1;
	rig_record(r, RECORD_DEPLOYMENT, buf, faultline__log__deployment__pack(&d, buf));
	rc.deployment = d.id;
	rc.hosts = hosts;
	rc.n_hosts = 3;
	for (int i = 0; i < 4; i++)
		rig_record(r, RECORD_RECEIPT, buf, faultline__log__receipt__pack(&rc, buf));
	dc.deployment = d.id;
	dc.action = FAULTLINE__LOG__ACTION__ACTION_HALT;
	dc.automatic = true;
	dc.reason = (char *)(uintptr_t) "csagent.sys+0xe14ed on 12 hosts";
	rig_record(r, RECORD_DECISION, buf, faultline__log__decision__pack(&dc, buf));
	ds.report = 77;
	ds.sha256 = (ProtobufCBinaryData){ sizeof(sha), sha };
	ds.size = 4096;
	rig_record(r, RECORD_DUMP_STORED, buf, faultline__log__dump_stored__pack(&ds, buf));
	rig_record(r, RECORD_DECISION, "\xff\xff\xff", 3); /* no message: nothing to keep */
	rig_record(r, (enum record_type)999, "?", 1);      /* of a later version */
	p = rig_projector(r, NULL, NULL, 1000);
	rig_wait(r, p);
	projector_stop(p);
	assert_string_equal(rig_sql(r, "SELECT definition->'rings'->0->>'percent' FROM deployments"
				       " WHERE id = 'channel-file-291'"),
			    "0.10000000000000001");
	assert_int_equal(rig_number(r, "SELECT hosts FROM receipts WHERE NOT withdrawn"), 12);
	assert_int_equal(rig_number(r, "SELECT receipts FROM receipts"), 4);
	assert_string_equal(rig_sql(r, "SELECT reason FROM decisions WHERE automatic AND action = 1"),
			    "csagent.sys+0xe14ed on 12 hosts");
	assert_int_equal(rig_number(r, "SELECT size FROM dumps WHERE position = 77"), 4096);
}

#define T(name) cmocka_unit_test_setup(test_##name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(everything_once),
		T(nothing_of_a_report_is_lost),
		T(a_log_without_reports),
		T(a_batch_over_midnight),
		T(an_older_projector_is_shut_out),
		T(one_record_the_database_refuses),
		T(a_log_that_forgot),
		T(a_newer_schema_is_refused),
		T(migration),
		T(resent_reports_are_kept_but_not_counted),
		T(triage_files_beside_the_claim),
		T(deployments_receipts_decisions),
		T(a_server_that_hangs),
		T(stops_while_the_server_hangs),
		T(a_full_disk),
		T(killed_again_and_again),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
