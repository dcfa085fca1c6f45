/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/signature.h"
#include "tests/unit/ledger_help.h"

static struct ledger_stats
stats(const struct ledger *l)
{
	struct ledger_stats s;

	ledger_stats(l, &s);
	return s;
}

static void
start(struct scribe *s)
{
	struct ledger *l = ledger_new(NULL);

	assert_non_null(l);
	scribe_init(s, l);
}

static void
stop(struct scribe *s)
{
	assert_false(s->failed);
	ledger_free(s->l);
	scribe_fini(s);
}

static struct key_view
key(struct scribe *s, enum signature_rung rung, const char *module, const char *id, uint64_t offset,
    enum reason_class reason)
{
	struct signature_key k = { text_of(module), text_of(id), offset, reason };
	struct key_view v;

	assert_true(ledger_key(s->l, s->tenant, (uint8_t)rung, signature_hash(&k, rung), &v));
	return v;
}

/* A crash counts on every rung of its ladder, once, with distinct hosts and sites. */
static void
test_ladder(void **state)
{
	struct scribe s;
	struct key_view v;

	(void)state;
	start(&s);
	scribe_crash(&s, &(struct crash){ .host = 1,
					  .module = "C:\\Windows\\System32\\drivers\\CSAgent.sys",
					  .module_id = "6E5E4A3C1000",
					  .offset = 0xe14ed,
					  .kind = REPORT_KERNEL,
					  .reason = "PAGE_FAULT_IN_NONPAGED_AREA" });
	scribe_crash(&s, &(struct crash){ .host = 11,
					  .module = "csagent.sys",
					  .module_id = "6e5e4a3c1000",
					  .offset = 0xe14ed,
					  .kind = REPORT_KERNEL,
					  .reason = "PAGE_FAULT_IN_NONPAGED_AREA" });
	scribe_crash(
		&s,
		&(struct crash){
			.host = 11, .module = "csagent.sys", .module_id = "aaaa", .offset = 1, .kind = REPORT_USER });
	v = key(&s, RUNG_KEY, "csagent.sys", "6e5e4a3c1000", 0xe14ed, REASON_ACCESS);
	assert_string_equal(v.title, "csagent.sys+0xe14ed");
	assert_int_equal(v.reports, 2);
	assert_int_equal(v.hosts, 2);
	assert_int_equal(v.sites, 2);
	assert_int_equal(v.kinds, 1 << REPORT_KERNEL);
	assert_int_equal(v.hours[0], 2);
	v = key(&s, RUNG_BUILD, "csagent.sys", "6e5e4a3c1000", 0, REASON_OTHER);
	assert_int_equal(v.reports, 2);
	v = key(&s, RUNG_MODULE, "csagent.sys", "", 0, REASON_OTHER);
	assert_int_equal(v.reports, 3);
	assert_int_equal(v.hosts, 2);
	v = key(&s, RUNG_KERNEL, "", "", 0, REASON_OTHER);
	assert_int_equal(v.reports, 2);
	v = key(&s, RUNG_ANY, "", "", 0, REASON_OTHER);
	assert_int_equal(v.reports, 3);
	assert_int_equal(stats(s.l).signatures, 2);
	stop(&s);
}

/* The same sequence number again is known and not counted; a number behind the window is
 * counted as late, unless its content was seen. */
static void
test_resent(void **state)
{
	struct scribe s;
	struct report_view r;
	uint64_t first, again;

	(void)state;
	start(&s);
	first = scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 9, .seq = 1, .offset = 16 });
	again = scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 9, .seq = 1, .offset = 16 });
	assert_int_equal(stats(s.l).reports, 1);
	assert_int_equal(stats(s.l).reports_resent, 1);
	assert_true(ledger_report(s.l, again, &r));
	assert_int_equal(r.outcome, REPORT_RESENT);
	assert_int_equal(r.first, first);
	/* out of order inside the window is no resend */
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 9, .seq = 5 });
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 9, .seq = 3 });
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 9, .seq = 3 });
	assert_int_equal(stats(s.l).reports, 3);
	assert_int_equal(stats(s.l).reports_resent, 2);
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 9, .seq = 500 });
	/* 2 was never seen, 1 was */
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 9, .seq = 2 });
	assert_int_equal(stats(s.l).reports_late, 1);
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 9, .seq = 1, .offset = 16 });
	assert_int_equal(stats(s.l).reports, 5);
	assert_int_equal(stats(s.l).reports_resent, 3);
	/* without numbers nothing is recognised */
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	assert_int_equal(stats(s.l).reports, 7);
	stop(&s);
}

static void
test_cloned(void **state)
{
	struct scribe s;
	struct host_view h;

	(void)state;
	start(&s);
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 1, .seq = 1 });
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 2, .seq = 1 });
	assert_true(ledger_host(s.l, 0, 1, &h));
	assert_false(h.cloned); /* an agent installed again */
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 1, .seq = 2 });
	assert_true(ledger_host(s.l, 0, 1, &h));
	assert_true(h.cloned);
	assert_int_equal(h.reports, 3);
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .epoch = 2, .seq = 1 });
	assert_int_equal(stats(s.l).reports, 3); /* its window was kept */
	assert_int_equal(stats(s.l).hosts_cloned, 1);
	stop(&s);
}

static void
test_uploads(void **state)
{
	uint8_t sha[32] = { 1, 2, 3 };
	struct scribe s;

	(void)state;
	start(&s);
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .idempotency = 77 });
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .idempotency = 77 });
	scribe_crash(&s, &(struct crash){ .host = 2, .module = "a", .idempotency = 77 });
	assert_int_equal(stats(s.l).reports, 2); /* keys are the host's own */
	scribe_crash(&s, &(struct crash){ .host = 3, .module = "", .sha256 = sha, .guid = 5 });
	scribe_crash(&s, &(struct crash){ .host = 3, .module = "", .sha256 = sha, .guid = 5 });
	scribe_crash(&s, &(struct crash){ .host = 3, .module = "", .sha256 = sha, .guid = 6 });
	assert_int_equal(stats(s.l).reports, 4);
	scribe_tick(&s, 6 * 86400ll * 1000000);
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .idempotency = 77 });
	assert_int_equal(stats(s.l).reports, 4);
	scribe_tick(&s, 2 * 86400ll * 1000000); /* forgotten after seven days */
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .idempotency = 77 });
	assert_int_equal(stats(s.l).reports, 5);
	stop(&s);
}

/* A kernel dump that came with a report of an unknown kind: the kernel rung votes, and without
 * a module to blame the stop code.  A claim that names a module is not overruled by a stop code. */
static void
test_kernel_dump(void **state)
{
	static char build[] = "10.0.19041";
	Faultline__Log__TriageResult t = FAULTLINE__LOG__TRIAGE_RESULT__INIT;
	uint64_t params[4] = { 0xffff8d8c11111080, 0, 0, 0 };
	struct stop_key died = { .code = 0xef, .n_params = 4, .os_build = TEXT("10.0.19041") };
	static const struct signature_key none;
	struct report_view r;
	struct key_view v;
	struct scribe s;

	(void)state;
	memcpy(died.params, params, sizeof(params));
	start(&s);
	t.report = scribe_crash(&s, &(struct crash){ .host = 1, .module = "", .reason = "", .has_dump = true });
	t.kernel = true;
	t.stop_code = 0xef;
	t.stop_params = params;
	t.n_stop_params = 4;
	t.os_build = build;
	scribe_message(&s, RECORD_TRIAGE_RESULT, &t);
	scribe_message(&s, RECORD_TRIAGE_RESULT, &t);
	assert_true(ledger_report(s.l, t.report, &r));
	assert_int_equal(r.computed, signature_stop_hash(&died));
	assert_true(ledger_signature(s.l, 0, r.computed, &v));
	assert_int_equal(v.rung, RUNG_STOP);
	assert_int_equal(v.reports, 1);
	assert_true(ledger_signature(s.l, 0, signature_hash(&none, RUNG_KERNEL), &v));
	assert_int_equal(v.reports, 1);

	t.report =
		scribe_crash(&s, &(struct crash){ .host = 2, .module = "a.sys", .module_id = "12", .has_dump = true });
	scribe_message(&s, RECORD_TRIAGE_RESULT, &t);
	assert_true(ledger_report(s.l, t.report, &r));
	assert_int_equal(r.computed, 0);
	assert_true(ledger_signature(s.l, 0, signature_stop_hash(&died), &v));
	assert_int_equal(v.reports, 1);
	assert_true(ledger_signature(s.l, 0, signature_hash(&none, RUNG_KERNEL), &v));
	assert_int_equal(v.reports, 2);
	stop(&s);
}

/* A stop code alone is counted under a provisional key; triage files it under the module
 * it finds, as an alias, and adds only the rungs that were not voted for. */
static void
test_triage(void **state)
{
	static char module[] = "csagent.sys", id[] = "6e5e4a3c1000";
	Faultline__Log__TriageResult t = FAULTLINE__LOG__TRIAGE_RESULT__INIT;
	struct report_view r;
	struct key_view v;
	struct scribe s;

	(void)state;
	start(&s);
	t.report = scribe_crash(
		&s,
		&(struct crash){
			.host = 1, .module = "", .kind = REPORT_KERNEL, .code = 0x50, .reason = "", .has_dump = true });
	assert_true(ledger_report(s.l, t.report, &r));
	assert_int_not_equal(r.claimed, 0);
	assert_true(ledger_signature(s.l, 0, r.claimed, &v));
	assert_int_equal(v.rung, RUNG_STOP);
	t.module = module;
	t.module_id = id;
	t.offset = 0xe14ed;
	t.reason_class = REASON_ACCESS;
	scribe_message(&s, RECORD_TRIAGE_RESULT, &t);
	scribe_message(&s, RECORD_TRIAGE_RESULT, &t); /* told twice, counted once */
	v = key(&s, RUNG_KEY, module, id, 0xe14ed, REASON_ACCESS);
	assert_int_equal(v.reports, 1);
	assert_true(v.confirmed);
	assert_true(ledger_signature(s.l, 0, r.claimed, &v));
	assert_int_equal(v.reports, 1);
	assert_int_equal(v.alias, key(&s, RUNG_KEY, module, id, 0xe14ed, REASON_ACCESS).id);
	v = key(&s, RUNG_ANY, "", "", 0, REASON_OTHER);
	assert_int_equal(v.reports, 1);
	assert_true(ledger_report(s.l, t.report, &r));
	assert_int_equal(r.stage, DUMP_TRIAGED);
	assert_int_equal(r.computed, key(&s, RUNG_KEY, module, id, 0xe14ed, REASON_ACCESS).id);
	/* a claim that triage confirms is not counted again */
	t.report = scribe_crash(&s, &(struct crash){ .host = 2, .module = module, .module_id = id, .offset = 0xe14ed });
	scribe_message(&s, RECORD_TRIAGE_RESULT, &t);
	v = key(&s, RUNG_KEY, module, id, 0xe14ed, REASON_ACCESS);
	assert_int_equal(v.reports, 2);
	assert_int_equal(v.hosts, 2);
	stop(&s);
}

static void
test_enough_dumps(void **state)
{
	Faultline__Log__DumpStored d = FAULTLINE__LOG__DUMP_STORED__INIT;
	struct report_view r;
	struct scribe s;

	(void)state;
	start(&s);
	for (unsigned i = 0; i < 5; i++) {
		d.report = scribe_crash(&s, &(struct crash){ .host = i + 1, .module = "a", .offset = 64 });
		assert_true(ledger_report(s.l, d.report, &r));
		assert_false(ledger_has_enough_dumps(s.l, 0, r.claimed));
		scribe_message(&s, RECORD_DUMP_STORED, &d);
		scribe_message(&s, RECORD_DUMP_STORED, &d);
	}
	assert_true(ledger_has_enough_dumps(s.l, 0, r.claimed));
	scribe_tick(&s, 86400ll * 1000000);
	assert_false(ledger_has_enough_dumps(s.l, 0, r.claimed));
	stop(&s);
}

static void
test_duplicate_batches(void **state)
{
	struct scribe s;

	(void)state;
	start(&s);
	for (int i = 0; i < 10; i++)
		scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	assert_int_equal(scribe_fold(&s, 3, s.l), ERR_OK);
	assert_int_equal(scribe_fold(&s, 9, s.l), ERR_OK);
	assert_int_equal(stats(s.l).reports, 10);
	assert_int_equal(stats(s.l).duplicate_batches, 2);
	/* a gap is counted, and filled by a batch that was only late */
	s.number += 3;
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	assert_int_equal(stats(s.l).gaps, 3);
	s.number -= 3;
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	assert_int_equal(stats(s.l).gaps, 2);
	assert_int_equal(stats(s.l).reports, 12);
	/* far behind the window it can only be a resend */
	s.number += 3000;
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	s.number -= 2900;
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	assert_int_equal(stats(s.l).stale_batches, 1);
	assert_int_equal(stats(s.l).reports, 13);
	/* another producer starts its own count */
	s.producer = 8;
	s.number = 5000;
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	assert_int_equal(stats(s.l).reports, 14);
	stop(&s);
}

static void
test_unknown_records(void **state)
{
	struct scribe s;

	(void)state;
	start(&s);
	scribe_record(&s, (enum record_type)9000, "x", 1);
	assert_int_equal(stats(s.l).unknown_records, 1);
	scribe_begin(&s);
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	scribe_record(&s, (enum record_type)9000, "x", 1);
	s.w->bytes[s.w->len - 1 - RECORD_HEADER + 11] = RECORD_FLAG_REFUSE;
	scribe_commit(&s);
	assert_true(s.failed);
	s.failed = false;
	assert_int_equal(stats(s.l).reports, 0); /* nothing of that batch */
	stop(&s);
}

static void
test_tenants(void **state)
{
	struct scribe s;
	struct host_view h;

	(void)state;
	start(&s);
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	s.tenant = 3;
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "a" });
	assert_int_equal(stats(s.l).hosts, 2);
	assert_int_equal(key(&s, RUNG_MODULE, "a", "", 0, REASON_OTHER).reports, 1);
	assert_true(ledger_host(s.l, 3, 1, &h));
	assert_int_equal(h.host_no, 1);
	assert_false(ledger_host(s.l, 4, 1, &h));
	stop(&s);
}

static void
test_hosts(void **state)
{
	struct scribe s;
	struct host_view h;
	uint32_t dark[4], next;

	(void)state;
	start(&s);
	scribe_heartbeat(&s, 1, "berlin", "agent", "boot-1");
	scribe_heartbeat(&s, 1, "berlin", "agent", "boot-2");
	scribe_heartbeat(&s, 2, "paris", "agent", "boot-1");
	scribe_heartbeat(&s, 3, "paris", "agent", "boot-1");
	assert_true(ledger_host(s.l, 0, 1, &h));
	assert_int_equal(h.boots, 2);
	assert_true(text_equal(h.site, TEXT("berlin")));
	assert_true(text_equal(h.product, TEXT("agent")));
	assert_true(text_equal(h.content, TEXT("channel=291\n")));
	scribe_goodbye(&s, 2, "paris");
	for (unsigned i = 0; i <= 240; i++) { /* twice the interval and two minutes */
		assert_int_equal(ledger_hosts_in(s.l, 0, HOST_IS_DARK, UINT32_MAX, 0, 9, dark, 4, &next), 0);
		scribe_tick(&s, 1000000);
		if (i == 100)
			scribe_presence(&s, (uint32_t[]){ 0 }, 1);
	}
	assert_int_equal(ledger_hosts_in(s.l, 0, HOST_IS_DARK, UINT32_MAX, 0, 9, dark, 4, &next), 1);
	assert_int_equal(dark[0], 2); /* the one that said goodbye is not dark */
	for (unsigned i = 0; i < 110; i++)
		scribe_tick(&s, 1000000);
	assert_int_equal(ledger_hosts_in(s.l, 0, HOST_IS_DARK, UINT32_MAX, 0, 9, dark, 4, &next), 2);
	stop(&s);
}

/* Over the cap old signatures give way, are remembered, and are not new when they return. */
/* A sender that names its site in one message only is at one site, not at two. */
static void
test_a_network_does_not_replace_a_site(void **state)
{
	struct scribe s;
	struct host_view h;

	(void)state;
	start(&s);
	scribe_heartbeat(&s, 1, "10.0.0.0/24", "p", "b");
	scribe_heartbeat(&s, 1, "berlin", "p", "b");
	scribe_heartbeat(&s, 1, "10.0.0.0/24", "p", "b");
	scribe_crash(&s, &(struct crash){ .host = 1, .site = "2001:db8::/48", .module = "m", .seq = 1 });
	assert_true(ledger_host(s.l, 0, 1, &h));
	assert_true(text_equal(h.site, TEXT("berlin")));
	scribe_heartbeat(&s, 1, "paris", "p", "b");
	assert_true(ledger_host(s.l, 0, 1, &h));
	assert_true(text_equal(h.site, TEXT("paris")));
	stop(&s);
}

static void
test_cap(void **state)
{
	static char name[] = "max-signatures", value[] = "20";
	Faultline__Log__Setting one = FAULTLINE__LOG__SETTING__INIT, *list[1] = { &one };
	Faultline__Log__Settings m = FAULTLINE__LOG__SETTINGS__INIT;
	struct key_view v;
	struct scribe s;

	(void)state;
	start(&s);
	one.name = name;
	one.value = value;
	m.n_settings = 1;
	m.settings = list;
	scribe_message(&s, RECORD_SETTINGS, &m);
	for (unsigned i = 0; i < 30; i++)
		scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .offset = 16 * (i + 1) });
	assert_int_equal(stats(s.l).signatures, 20);
	assert_int_equal(stats(s.l).signatures_over_cap, 10);
	assert_int_equal(key(&s, RUNG_MODULE, "a", "", 0, REASON_OTHER).reports, 30);
	scribe_tick(&s, 8 * 86400ll * 1000000);
	scribe_crash(&s, &(struct crash){ .host = 1, .module = "b", .offset = 16 });
	assert_int_equal(stats(s.l).signatures, 20);
	assert_int_equal(key(&s, RUNG_KEY, "b", "", 16, REASON_ACCESS).reports, 1);
	assert_true(stats(s.l).fingerprints >= 11);
	for (unsigned i = 0; i < 12; i++)
		scribe_crash(&s, &(struct crash){ .host = 1, .module = "a", .offset = 16 * (i + 1) });
	v = key(&s, RUNG_KEY, "a", "", 16, REASON_ACCESS);
	assert_true(v.reports >= 1);
	stop(&s);
}

static void
test_keys_query(void **state)
{
	struct key_query q = { .sort = KEYS_BY_HOSTS };
	uint32_t no[4];
	uint64_t value[4];
	struct key_view v;
	struct scribe s;
	size_t n, seen = 0;

	(void)state;
	start(&s);
	for (unsigned i = 0; i < 10; i++)
		for (unsigned h = 0; h <= i; h++)
			scribe_crash(&s, &(struct crash){ .host = h + 1,
							  .module = i % 2 ? "odd" : "even",
							  .offset = 16 * (i + 1) });
	while ((n = ledger_keys(s.l, &q, no, value, 4)) > 0) {
		for (size_t i = 0; i < n; i++, seen++) {
			assert_int_equal(value[i], 10 - seen);
			assert_true(ledger_key_by_number(s.l, no[i], &v));
			assert_int_equal(v.hosts, 10 - seen);
		}
		q.after = true;
		q.after_value = value[n - 1];
		q.after_key_no = no[n - 1];
	}
	assert_int_equal(seen, 10);
	q = (struct key_query){ .sort = KEYS_NEWEST, .module = TEXT("odd") };
	assert_int_equal(ledger_keys(s.l, &q, no, value, 4), 4);
	q.kinds = 1 << REPORT_KERNEL;
	assert_int_equal(ledger_keys(s.l, &q, no, value, 4), 0);
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ladder),          cmocka_unit_test(test_resent),
		cmocka_unit_test(test_cloned),          cmocka_unit_test(test_uploads),
		cmocka_unit_test(test_triage),          cmocka_unit_test(test_kernel_dump),
		cmocka_unit_test(test_enough_dumps),    cmocka_unit_test(test_duplicate_batches),
		cmocka_unit_test(test_unknown_records), cmocka_unit_test(test_tenants),
		cmocka_unit_test(test_hosts),           cmocka_unit_test(test_cap),
		cmocka_unit_test(test_keys_query),      cmocka_unit_test(test_a_network_does_not_replace_a_site),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
