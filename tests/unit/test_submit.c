/* SPDX-License-Identifier: Apache-2.0 */
/* Upload forms. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/log/report_id.h"
#include "tests/unit/ingest_help.h"

/* ---- forms ---- */

#define FORM               "Content-Type: multipart/form-data; boundary=XX\r\n"
#define FIELD(name, value) "--XX\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define DUMP(bytes)                                                                                     \
	"--XX\r\nContent-Disposition: form-data; name=\"upload_file_minidump\"; filename=\"a.dmp\"\r\n" \
	"Content-Type: application/vnd.tcpdump.pcap\r\n\r\n" bytes "\r\n"

static const char *
post_form(const char *path, const char *headers, const char *body)
{
	return request("POST", path, headers, body, strlen(body));
}

static void
test_form(void **state)
{
	struct report r;
	uint64_t pos;
	char id[64];

	(void)state;
	expect(post_form("/submit", FORM,
			 FIELD("ProductName", "Fire\xc3\xbc") FIELD("Version", "128") FIELD("guid", "g-1")
				 FIELD("ptime", "61000") FIELD("unknown", "x") DUMP("MDMP\r\n--X\r--XX") "--XX--\r\n"),
	       200, "\r\n\r\nCrashID=bp-");
	r = logged_report(0);
	check_text(r.product, "Fire\xc3\xbc");
	check_text(r.version, "128");
	assert_int_equal(r.uptime_s, 61);
	assert_int_equal(r.flags, REPORT_FLAG_FORM);
	assert_int_equal(r.dump_size, 14);
	assert_int_equal(fake_dumps.last_size, 14);
	assert_memory_equal(r.dump_sha256.at, fake_dumps.last_sha256, SHA256_BYTES);
	assert_true(r.guid_hash != 0);
	memcpy(id, strstr(http_peer_text(peer), "CrashID=") + 8, 39);
	id[39] = '\0';
	assert_int_equal(report_id_parse_bp(id, &env.log_id, &pos), 0);
	assert_true(pos == 1 << 16);
	/* other paths, and Crashpad anywhere, get the bare id */
	post_form("/upload", FORM, FIELD("prod", "p") DUMP("MDMP") "--XX--\r\n");
	assert_int_equal(report_id_parse(strstr(http_peer_text(peer), "\r\n\r\n") + 4, &env.log_id, &pos), 0);
	assert_true(pos == 2 << 16);
	post_form("/submit?guid=x", FORM "User-Agent: Crashpad/0.8.0\r\n", DUMP("MDMP") "--XX--\r\n");
	assert_int_equal(report_id_parse(strstr(http_peer_text(peer), "\r\n\r\n") + 4, &env.log_id, &pos), 0);
}

static void
test_extra_json(void **state)
{
	struct report r;

	(void)state;
#define EXTRA(json)                                                                           \
	"--XX\r\nContent-Disposition: form-data; name=\"extra\"; filename=\"extra.json\"\r\n" \
	"Content-Type: application/json\r\n\r\n" json "\r\n"
	expect(post_form("/submit", FORM,
			 EXTRA("{\"ProductName\":\"F\\u00fc\",\"Version\":\"1\",\"ReleaseChannel\":\"esr\"}")
				 DUMP("MDMP") "--XX--"),
	       200, "CrashID=bp-");
	r = logged_report(0);
	check_text(r.product, "F\xc3\xbc");
	check_text(r.labels[0].value, "esr");
	expect(post_form("/submit", FORM, EXTRA("{\"a\":1}") DUMP("MDMP") "--XX--"), 400,
	       "Discarded=malformed_invalid_json_value\n");
	expect(post_form("/submit", FORM, EXTRA("{") DUMP("MDMP") "--XX--"), 400, "Discarded=malformed_invalid_json\n");
	expect(post_form("/submit", FORM, EXTRA("{}") FIELD("a", "b") DUMP("MDMP") "--XX--"), 400,
	       "Discarded=malformed_has_json_and_kv\n");
}

static void
check_bad_form(const char *headers, const char *body, enum discard why, const char *word)
{
	const uint64_t before = discard_get(why);
	const size_t records = hand.n_records;

	expect(post_form("/submit", headers, body), 400, word);
	assert_int_equal(discard_get(why) - before, 1);
	assert_int_equal(hand.n_records, records);
}

static void
test_bad_forms(void **state)
{
	char many[40000] = "";

	(void)state;
	check_bad_form("", "x", DISCARD_no_content_type, "\r\n\r\nDiscarded=malformed_no_content_type\n");
	check_bad_form("Content-Type: text/plain\r\n", "x", DISCARD_wrong_content_type,
		       "Discarded=malformed_wrong_content_type\n");
	check_bad_form("Content-Type: multipart/form-data\r\n", "x", DISCARD_no_boundary,
		       "Discarded=malformed_no_boundary\n");
	check_bad_form("Content-Type: multipart/form-data; boundary=\r\n", "x", DISCARD_no_boundary,
		       "malformed_no_boundary");
	check_bad_form(FORM, "no delimiter", DISCARD_bad_multipart, "Discarded=malformed_invalid_payload_structure\n");
	check_bad_form(FORM, FIELD("a", "b") DUMP("MDMP"), DISCARD_bad_multipart,
		       "malformed_invalid_payload_structure");
	check_bad_form(FORM, "--XXno", DISCARD_bad_multipart, "malformed_invalid_payload_structure");
	check_bad_form(FORM, "--XX--", DISCARD_no_annotations, "Discarded=malformed_no_annotations\n");
	check_bad_form(FORM, FIELD("a", "b") "--XX--", DISCARD_no_dump, "Discarded=malformed_no_dump\n");
	check_bad_form(FORM, FIELD("a", "b") DUMP("") "--XX--", DISCARD_no_dump, "Discarded=malformed_no_dump\n");
	check_bad_form(FORM, DUMP("MDMP") DUMP("MDMP") "--XX--", DISCARD_two_dumps, "Discarded=malformed_two_dumps\n");
	check_bad_form(FORM, FIELD("prod", "\xff") DUMP("MDMP") "--XX--", DISCARD_invalid_annotation_value,
		       "Discarded=malformed_invalid_annotation_value\n");
	check_bad_form(FORM "Content-Encoding: gzip\r\n", "not gzip", DISCARD_bad_gzip,
		       "Discarded=malformed_bad_gzip\n");
	for (int i = 0; i < 513; i++)
		strcat(many, FIELD("a", "b"));
	strcat(many, "--XX--");
	check_bad_form(FORM, many, DISCARD_too_many_parts, "Discarded=malformed_too_many_parts\n");
	assert_int_equal(fake_dumps.committed, 0);
}

static void
test_field_too_large(void **state)
{
	char *body = malloc(200000);
	size_t n = (size_t)sprintf(body, "--XX\r\nContent-Disposition: form-data; name=\"prod\"\r\n\r\n");

	(void)state;
	memset(body + n, 'p', 150000);
	strcpy(body + n + 150000, "\r\n" DUMP("MDMP") "--XX--");
	check_bad_form(FORM, body, DISCARD_part_too_large, "Discarded=malformed_part_too_large\n");
	/* what we do not keep may be as long as it likes; what is kept is cut at a character */
	memcpy(strstr(body, "prod"), "text", 4);
	expect(post_form("/submit", FORM, body), 200, "CrashID=");
	strcpy(body,
	       FIELD("ver", "0123456789012345678901234567890123456789012345678901234567890\xe2\x82\xac\xe2\x82\xac")
		       DUMP("MDMP") "--XX--");
	expect(post_form("/submit", FORM, body), 200, "CrashID=");
	check_text(logged_report(1).version,
		   "0123456789012345678901234567890123456789012345678901234567890\xe2\x82\xac");
	free(body);
}

/* Old Electron clients: the dump's part is a form of its own. */
static void
test_nested(void **state)
{
#define INNER(bytes)                                                        \
	"--yy\r\nContent-Disposition: form-data; name=\"ver\"\r\n\r\n7\r\n" \
	"--yy\r\nContent-Disposition: form-data; name=\"upload_file_minidump\"\r\n\r\n" bytes "\r\n--yy--\r\n"
	(void)state;
	expect(post_form("/submit", FORM,
			 FIELD("prod", "p") DUMP(INNER("MDMPinner")) FIELD("platform", "Linux") "--XX--\r\n"),
	       200, "CrashID=");
	assert_int_equal(fake_dumps.last_size, 9);
	check_text(logged_report(0).version, "7");
	check_text(logged_report(0).product, "p");
	check_text(logged_report(0).os, "Linux");
	expect(post_form("/submit", FORM, DUMP("--") "--XX--\r\n"), 200, "CrashID="); /* no form after all */
	assert_int_equal(fake_dumps.last_size, 2);
	expect(post_form("/submit", FORM, DUMP("-MDMP") "--XX--\r\n"), 200, "CrashID=");
	assert_int_equal(fake_dumps.last_size, 5);
	check_bad_form(FORM, DUMP(INNER("--zz\r\n\r\n\r\n--zz--")) "--XX--\r\n", DISCARD_bad_multipart, "malformed_");
	check_bad_form(FORM, DUMP(INNER("M")) DUMP("M") "--XX--\r\n", DISCARD_two_dumps, "malformed_two_dumps");
	check_bad_form(FORM, DUMP("--yy\r\ntorn") "--XX--\r\n", DISCARD_bad_multipart, "malformed_");
}

/* The dump is refused, the report counts: the answer says so in a header. */
static void
test_form_dump_dropped(void **state)
{
	static char big[250000];
	uint8_t sha[SHA256_BYTES];
	char *body = malloc(300000);
	size_t n;

	(void)state;
	fake_dumps.refuse_begin = DISCARD_dump_disk_low;
	expect(post_form("/submit", FORM, FIELD("prod", "p") DUMP("MDMP") "--XX--"), 200,
	       "X-Faultline-Dump: dump_disk_low\r\n");
	assert_non_null(strstr(http_peer_text(peer), "CrashID=bp-"));
	assert_int_equal(logged_report(0).flags, REPORT_FLAG_FORM | REPORT_FLAG_DUMP_DROPPED);
	sha256("MDMP", 4, sha); /* known again when it comes again */
	assert_memory_equal(logged_report(0).dump_sha256.at, sha, sizeof(sha));
	fake_dumps.refuse_begin = DISCARD_none;
	memset(big, 'd', sizeof(big) - 1);
	n = (size_t)sprintf(body, DUMP("%s") "--XX--", big);
	expect(request("POST", "/submit", FORM, body, n), 200, "X-Faultline-Dump: dump_too_large\r\n");
	assert_true(fake_dumps.largest_write <= 65536);
	assert_int_equal(fake_dumps.committed, 0);
	free(body);
	hand.answer = LOG_FULL;
	expect(post_form("/submit", FORM, DUMP("MDMP") "--XX--"), 200, "\r\n\r\nDiscarded=disk_full\n");
}

static void
test_form_splits(void **state)
{
	static const char form[] =
		"POST /submit HTTP/1.1\r\nHost: a\r\n" FORM "Transfer-Encoding: chunked\r\n\r\n"
		"e0\r\n" FIELD("prod", "p") DUMP("MDMP\r\n\r\n--XY\r\n--X\r") "\r\n"
									      "6\r\n--XX--\r\n0\r\n\r\n";
	char *fixed = strdup(form);
	size_t chunk = strlen(FIELD("prod", "p") DUMP("MDMP\r\n\r\n--XY\r\n--X\r")), len;

	(void)state;
	memcpy(strstr(fixed, "e0\r\n"), (char[]){ "0123456789abcdef"[chunk >> 4], "0123456789abcdef"[chunk & 15] }, 2);
	len = strlen(fixed);
	for (size_t at = 0; at <= len; at++) {
		hand.n_records = 0;
		http_peer_forget(peer);
		http_peer_send(peer, fixed, at);
		http_peer_send(peer, fixed + at, len - at);
		turn();
		expect(http_peer_text(peer), 200, "CrashID=");
		assert_int_equal(fake_dumps.last_size, 18);
	}
	free(fixed);
}

static void
test_client_leaves(void **state)
{
	static const char half[] =
		"POST /submit HTTP/1.1\r\nHost: a\r\n" FORM "Content-Length: 1000\r\n\r\n" DUMP("MDMP");

	(void)state;
	http_peer_send(peer, half, sizeof(half) - 1);
	http_peer_free(peer);
	peer = http_peer_new(gate.base, ingest->http);
	assert_int_equal(fake_dumps.open, 0);
	hand.hold = true;
	post_json("/v1/reports", "{\"host\":\"a\"}");
	http_peer_free(peer);
	peer = http_peer_new(gate.base, ingest->http);
	settle();
	turn();
	assert_int_equal(ingest->in_work, 0);
	assert_int_equal(ingest->body_bytes, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_form),   T(test_extra_json),        T(test_bad_forms),   T(test_field_too_large),
		T(test_nested), T(test_form_dump_dropped), T(test_form_splits), T(test_client_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
