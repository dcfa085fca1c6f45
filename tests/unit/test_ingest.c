/* SPDX-License-Identifier: Apache-2.0 */
/* Reports, heartbeats and dumps over HTTP. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "collector/log/report_id.h"
#include "proto/wire.h"
#include "tests/unit/ingest_help.h"

/* ---- reports ---- */

static void
test_json_report(void **state)
{
	const char *answer;
	struct report_frame frames[REPORT_MAX_FRAMES];
	struct report r;

	(void)state;
	want_all = halted_one = true;
	answer = post_json(
		"/v1/reports",
		"{\"host\":\"h-1\",\"epoch\":\"0x1122334455667788\",\"seq\":9,\"kind\":\"kernel\","
		"\"occurred\":\"2024-07-19T04:09:00Z\",\"module\":\"C:\\\\Windows\\\\csagent.sys\",\"module_id\":\"65ab\","
		"\"offset\":\"0xe14ed\",\"reason\":\"PAGE_FAULT_IN_NONPAGED_AREA\",\"reason_code\":80,"
		"\"params\":[\"0xffff840500000074\",0,\"0xfffff80335eb14ed\",2],\"product\":\"falcon\",\"version\":\"7.11\","
		"\"os\":\"windows\",\"boot_id\":\"b\\u00e9\",\"uptime_s\":5,\"labels\":{\"ring\":\"1\"},"
		"\"content\":[{\"name\":\"c-00000291\",\"value\":\"32\"}],\"has_dump\":true,\"unknown\":{\"a\":[1,{}]},"
		"\"frames\":[{\"module\":\"nt\",\"offset\":18446744073709551615,\"trust\":\"scan\",\"function\":\"f\"}]}");
	expect(answer, 200, "\r\nContent-Type: application/json\r\n");
	assert_non_null(strstr(answer, "{\"id\":\""));
	assert_non_null(strstr(answer, "\"want_dump\":true,\"put_url\":\"/v1/dumps/"));
	assert_non_null(strstr(answer, "\"signature\":\"s1-"));
	assert_non_null(strstr(answer, ",\"halted\":[\"rollout-\\\"7\\\"\"]}\n"));
	assert_int_equal(hand.n_records, 1);
	r = logged_report(0);
	assert_true(r.epoch == 0x1122334455667788ull && r.seq == 9 && r.kind == REPORT_KERNEL);
	assert_true(r.occurred_us == 1721362140000000ll && r.offset == 0xe14ed && r.reason_code == 80);
	assert_int_equal(r.n_params, 4);
	assert_true(r.params[0] == 0xffff840500000074ull);
	check_text(r.module, "C:\\Windows\\csagent.sys");
	check_text(r.boot_id, "b\xc3\xa9");
	check_text(r.labels[0].name, "ring");
	check_text(r.content[0].value, "32");
	assert_true(r.host_hash != 0 && r.flags == 0);
	assert_int_equal(report_frames(&r, frames), 1);
	assert_true(frames[0].offset == UINT64_MAX && frames[0].trust == 4);
}

/* The answer leaves after the record is durable, and not before. */
static void
test_answer_waits_for_the_log(void **state)
{
	(void)state;
	hand.hold = true;
	assert_string_equal(post_json("/v1/reports", "{\"host\":\"h\",\"module\":\"m\"}"), "");
	assert_int_equal(hand.n_held, 1);
	settle();
	turn();
	expect(http_peer_text(peer), 200, "\"id\":\"");
}

static void
test_many(void **state)
{
	const uint64_t bad = discard_get(DISCARD_invalid_host_id), kinds = discard_get(DISCARD_invalid_json_value);
	const char *answer;

	(void)state;
	answer = post_json(
		"/v1/reports",
		" [ {\"host\":\"a\",\"module\":\"m\"}, {\"module\":\"m\"}, {\"host\":\"b\",\"kind\":\"odd\"} ] ");
	expect(answer, 200, "{\"reports\":[{\"id\":");
	assert_non_null(strstr(answer, "{\"error\":{\"code\":\"invalid_host_id\""));
	assert_non_null(strstr(answer, "\"field\":\"reports[1].host\"}}"));
	assert_non_null(strstr(answer, "\"field\":\"reports[2].kind\"}}"));
	assert_int_equal(hand.n_records, 1);
	assert_int_equal(discard_get(DISCARD_invalid_host_id) - bad, 1);
	assert_int_equal(discard_get(DISCARD_invalid_json_value) - kinds, 1);
	answer = post_json("/v1/reports", "{ \"reports\": [{\"host\":\"a\"},{\"host\":\"b\"}], \"more\": 1 }");
	expect(answer, 200, "{\"reports\":[{\"id\":");
	assert_int_equal(hand.n_records, 3);
}

static void
check_bad_json(const char *body, int status, enum discard why, const char *field)
{
	const uint64_t before = discard_get(why);
	const size_t records = hand.n_records;
	char want[128];

	snprintf(want, sizeof(want), "{\"error\":{\"code\":\"%s\",", discard_code(why));
	expect(post_json("/v1/reports", body), status, want);
	if (field != NULL) {
		snprintf(want, sizeof(want), "\"field\":\"%s\"", field);
		assert_non_null(strstr(http_peer_text(peer), want));
	}
	assert_int_equal(discard_get(why) - before, 1);
	assert_int_equal(hand.n_records, records);
}

static void
test_bad_json(void **state)
{
	char long_host[100], deep[200];

	(void)state;
	check_bad_json("", 400, DISCARD_empty, NULL);
	check_bad_json("[]", 400, DISCARD_empty, NULL);
	check_bad_json("{", 400, DISCARD_invalid_json, NULL);
	check_bad_json("nonsense", 400, DISCARD_invalid_json, NULL);
	check_bad_json("{\"host\":\"a\"} x", 400, DISCARD_invalid_json, NULL);
	check_bad_json("{\"host\":\"a\",}", 400, DISCARD_invalid_json, NULL);
	check_bad_json("[{\"host\":\"a\"} {\"host\":\"a\"}]", 400, DISCARD_invalid_json, NULL);
	check_bad_json("{\"host\":\"a\\q\"}", 400, DISCARD_invalid_json, NULL);
	check_bad_json("{\"host\":\"a\\ud800\"}", 400, DISCARD_invalid_json, NULL);
	check_bad_json("{\"host\":\"a\nb\"}", 400, DISCARD_invalid_json, NULL);
	check_bad_json("{\"host\":\"a\",\"seq\":01}", 400, DISCARD_invalid_json, NULL);
	check_bad_json("{\"host\":\"a\",\"module\":\"\xff\"}", 400, DISCARD_invalid_utf8, NULL);
	check_bad_json("{\"host\":\"a\",\"module\":\"\\u0000\"}", 400, DISCARD_invalid_utf8, NULL);
	check_bad_json("7", 400, DISCARD_invalid_json_value, NULL);
	check_bad_json("{\"host\":7}", 400, DISCARD_invalid_json_value, "host");
	check_bad_json("{\"host\":\"\"}", 400, DISCARD_invalid_host_id, "host");
	check_bad_json("{\"host\":\"a\",\"seq\":-1}", 400, DISCARD_invalid_json_value, "seq");
	check_bad_json("{\"host\":\"a\",\"seq\":1.5}", 400, DISCARD_invalid_json_value, "seq");
	check_bad_json("{\"host\":\"a\",\"seq\":18446744073709551616}", 400, DISCARD_invalid_json_value, "seq");
	check_bad_json("{\"host\":\"a\",\"offset\":\"0xg\"}", 400, DISCARD_invalid_json_value, "offset");
	check_bad_json("{\"host\":\"a\",\"reason_code\":4294967296}", 400, DISCARD_invalid_json_value, "reason_code");
	check_bad_json("{\"host\":\"a\",\"occurred\":\"yesterday\"}", 400, DISCARD_invalid_time, "occurred");
	check_bad_json("{\"host\":\"a\",\"params\":[1,2,3,4,5]}", 400, DISCARD_too_many_items, "params");
	check_bad_json("{\"host\":\"a\",\"frames\":[{\"module\":3}]}", 400, DISCARD_invalid_json_value,
		       "frames.module");
	memset(long_host, 'x', sizeof(long_host));
	memcpy(long_host, "{\"host\":\"", 9);
	strcpy(long_host + sizeof(long_host) - 3, "\"}");
	check_bad_json(long_host, 400, DISCARD_invalid_host_id, NULL);
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"host\":\"a\",\"x\":", 16);
	deep[sizeof(deep) - 1] = '\0';
	check_bad_json(deep, 400, DISCARD_invalid_json, NULL);
	expect(request("POST", "/v1/reports", "Content-Type: text/xml\r\n", "<a/>", 4), 415, "wrong_content_type");
	expect(request("POST", "/v1/reports", "", "{}", 2), 415, "wrong_content_type");
}

static void
test_absurd_times(void **state)
{
	static const char *const times[] = { "\"1601-01-01T00:00:00Z\"", "\"2100-01-01T00:00:00Z\"", "-11644473600000",
					     "99999999999999999" };
	char body[128];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const uint64_t before = discard_get(DISCARD_invalid_time);

		snprintf(body, sizeof(body), "{\"host\":\"a\",\"module\":\"m\",\"occurred\":%s}", times[i]);
		expect(post_json("/v1/reports", body), 200, "\"ignored\":[\"occurred\"]");
		assert_int_equal(discard_get(DISCARD_invalid_time) - before, 1);
		assert_int_equal(logged_report(i).occurred_us, 0);
		assert_int_equal(logged_report(i).flags, REPORT_FLAG_CLOCK);
	}
}

static size_t
protobuf_batch(uint8_t *buf, size_t size, unsigned n, bool bad_last)
{
	struct wire_out o = { buf, buf + size, false };
	uint8_t one[512];
	struct report r;

	for (unsigned i = 0; i < n; i++) {
		size_t len;

		memset(&r, 0, offsetof(struct report, labels));
		r.host = bad_last && i == n - 1 ? text_of("") : text_of("host");
		r.seq = i + 1;
		r.module = text_of("m.so");
		r.offset = i;
		r.has_dump = i % 2 == 0;
		len = report_encode(&r, NULL, one, sizeof(one));
		assert_true(len > 0);
		wire_put_bytes_always(&o, 1, (struct text){ (char *)one, len });
	}
	assert_false(o.full);
	return (size_t)(o.p - buf);
}

#define PROTOBUF "Content-Type: application/x-protobuf\r\n"

static void
test_protobuf(void **state)
{
	uint8_t batch[8192];
	size_t len = protobuf_batch(batch, sizeof(batch), 16, true);
	const char *answer;
	unsigned wants = 0, refused = 0;
	unsigned long len_out;
	struct reader r;
	struct wire_field f;

	(void)state;
	want_all = true;
	answer = request("POST", "/v1/reports", PROTOBUF, batch, len);
	expect(answer, 200, "Content-Type: application/x-protobuf\r\n");
	assert_int_equal(hand.n_records, 15);
	len_out = strtoul(strstr(answer, "Content-Length: ") + 16, NULL, 10);
	reader_init(&r, strstr(answer, "\r\n\r\n") + 4, len_out, false);
	while (wire_next(&r, &f)) {
		wants += f.number == 2;
		refused += f.number == 3;
	}
	assert_false(reader_failed(&r));
	assert_int_equal(wants, 8);
	assert_int_equal(refused, 1);
	expect(request("POST", "/v1/reports", PROTOBUF "Accept: application/json\r\n", batch, len), 200,
	       "\"reports\":[{\"id\":");
	expect(request("POST", "/v1/reports", PROTOBUF, "\x0a\xff", 2), 400, "invalid_protobuf");
	expect(request("POST", "/v1/reports", PROTOBUF, "\x08\x01", 2), 400, "invalid_protobuf");
	expect(request("POST", "/v1/reports", PROTOBUF, "\x0a\x00", 2), 400, "invalid_host_id");
}

static void
test_idempotency(void **state)
{
	(void)state;
	request("POST", "/v1/reports", JSON "Idempotency-Key: k1\r\n", "[{\"host\":\"a\"},{\"host\":\"b\"}]", 27);
	request("POST", "/v1/reports", JSON "Idempotency-Key: k1\r\n", "[{\"host\":\"a\"},{\"host\":\"b\"}]", 27);
	assert_int_equal(hand.n_records, 4);
	assert_true(logged_report(0).idempotency != 0);
	assert_true(logged_report(0).idempotency != logged_report(1).idempotency);
	assert_true(logged_report(0).idempotency == logged_report(2).idempotency);
	assert_true(logged_report(1).idempotency == logged_report(3).idempotency);
}

static void
test_log_refuses(void **state)
{
	const uint64_t full = discard_get(DISCARD_disk_full);

	(void)state;
	hand.answer = LOG_FULL;
	expect(post_json("/v1/reports", "{\"host\":\"a\"}"), 503, "disk_full");
	assert_non_null(strstr(http_peer_text(peer), "Retry-After: "));
	assert_int_equal(discard_get(DISCARD_disk_full) - full, 1);
	hand.answer = LOG_QUEUED; /* room again */
	expect(post_json("/v1/reports", "{\"host\":\"a\"}"), 200, "\"id\"");
	hand.outcome = LOG_UNKNOWN;
	expect(post_json("/v1/reports", "{\"host\":\"a\"}"), 503, "log_unknown");
}

static bool
all_answered(void)
{
	return ingest->n_waiters == 0;
}

/* A busy log makes clients wait, not fail. */
static void
test_log_busy(void **state)
{
	struct http_peer *peers[24];
	size_t answered = 0;
	char big[40000];
	char body[41000];
	int n;

	(void)state;
	hand.answer = LOG_BUSY;
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	n = snprintf(body, sizeof(body),
		     "POST /v1/reports HTTP/1.1\r\nHost: a\r\n" JSON
		     "Content-Length: %zu\r\n\r\n{\"host\":\"a\",\"x\":\"%s\"}",
		     strlen(big) + 19, big);
	for (int i = 0; i < 24; i++) {
		peers[i] = http_peer_new(gate.base, ingest->http);
		http_peer_send(peers[i], body, (size_t)n);
		turn();
		assert_string_equal(http_peer_text(peers[i]), "");
	}
	assert_true(ingest->n_waiters > 0);
	http_peer_free(peers[23]); /* who leaves while waiting is forgotten */
	hand.answer = LOG_QUEUED;
	for (int64_t until = clock_boot_us() + 10000000; !all_answered() && clock_boot_us() < until;) {
		event_base_loop(gate.base, EVLOOP_ONCE);
		turn();
	}
	turn();
	for (int i = 0; i < 23; i++) {
		answered += strncmp(http_peer_text(peers[i]), "HTTP/1.1 200 ", 13) == 0;
		http_peer_free(peers[i]);
	}
	assert_int_equal(answered, 23);
	assert_int_equal(ingest->body_bytes, 0);
}

static void
test_low_disk_reduces(void **state)
{
	struct report r;

	(void)state;
	hand.pressure = LOG_PRESSURE_REDUCE_BODIES;
	expect(post_json("/v1/reports", "{\"host\":\"a\",\"module\":\"m\",\"frames\":[{\"module\":\"n\"}]}"), 200,
	       "\"id\"");
	r = logged_report(0);
	assert_int_equal(r.n_frames, 0);
	assert_true(r.flags & REPORT_FLAG_REDUCED);
}

static void
test_heartbeats(void **state)
{
	const char *answer;
	struct heartbeat h;
	struct diag diag;

	(void)state;
	halted_one = true;
	answer = post_json("/v1/heartbeats",
			   "[{\"host\":\"a\",\"boot_id\":\"1\",\"product\":\"p\",\"content\":{\"c\":\"2\"},"
			   "\"uptime_s\":7,\"interval_s\":30},{\"host\":\"\"},{\"host\":\"b\",\"goodbye\":true}]");
	expect(answer, 200, "{\"accepted\":2,\"errors\":[{\"code\":\"invalid_host_id\"");
	assert_non_null(strstr(answer, "\"halted\":[\"rollout-\\\"7\\\"\"]"));
	assert_int_equal(hand.n_records, 2);
	assert_int_equal(hand.type[0], RECORD_HEARTBEAT);
	assert_int_equal(heartbeat_decode(hand.payload[0], hand.payload_len[0], &h, &diag), DISCARD_none);
	assert_true(h.interval_s == 30 && h.uptime_s == 7 && h.n_content == 1 && h.host_hash != 0);
	expect(post_json("/v1/heartbeats", "{\"host\":\"c\"}"), 200, "{\"accepted\":1");
}

/* ---- dumps ---- */

static void
first_id(char id[REPORT_ID_SIZE])
{
	const char *at = strstr(post_json("/v1/reports", "{\"host\":\"a\",\"module\":\"m\"}"), "\"id\":\"");

	assert_non_null(at);
	memcpy(id, at + 6, REPORT_ID_SIZE - 1);
	id[REPORT_ID_SIZE - 1] = '\0';
}

static void
test_put_dump(void **state)
{
	char id[REPORT_ID_SIZE], path[64], hex[SHA256_HEX];
	uint8_t sha[SHA256_BYTES];
	struct reader r;
	struct wire_field f;

	(void)state;
	first_id(id);
	snprintf(path, sizeof(path), "/v1/dumps/%s", id);
	sha256("MDMPdata", 8, sha);
	expect(request("PUT", path, "", "MDMPdata", 8), 200, hex_encode(sha, sizeof(sha), hex));
	assert_non_null(strstr(http_peer_text(peer), "{\"stored\":true,\"report\":\""));
	assert_int_equal(hand.type[1], RECORD_DUMP_STORED);
	reader_init(&r, hand.payload[1], hand.payload_len[1], false);
	assert_true(wire_next(&r, &f) && f.number == 1 && f.value == 1 << 16);
	assert_true(wire_next(&r, &f) && f.number == 2 && memcmp(f.bytes.at, sha, 32) == 0);
	assert_true(wire_next(&r, &f) && f.number == 3 && f.value == 8);
	expect(request("PUT", "/v1/dumps/0123456789abcdefghij", "", "x", 1), 404, "unknown_report");
	expect(request("PUT", path, "", "", 0), 400, "empty");
	expect(request("PUT", path, "Content-Encoding: gzip\r\n", "x", 1), 400, "bad_gzip");
	fake_dumps.refuse_begin = DISCARD_dump_not_wanted;
	expect(request("PUT", path, "", "x", 1), 200, "{\"stored\":false,\"reason\":{\"code\":\"dump_not_wanted\"");
	fake_dumps.refuse_begin = DISCARD_none;
	fake_dumps.outcome = DUMPS_FAILED;
	expect(request("PUT", path, "", "x", 1), 200, "{\"stored\":false,\"reason\":{\"code\":\"dump_disk_low\"");
	assert_int_equal(hand.n_records, 2);
}

static void
test_dump_too_large(void **state)
{
	static char big[300000];
	char id[REPORT_ID_SIZE], path[64];

	(void)state;
	first_id(id);
	snprintf(path, sizeof(path), "/v1/dumps/%s", id);
	expect(request("PUT", path, "", big, sizeof(big)), 413, "dump_too_large");
	assert_int_equal(fake_dumps.committed, 0);
}

static void
test_other_paths(void **state)
{
	(void)state;
	expect(request("GET", "/healthz", "", "", 0), 200, "\r\n\r\nok\n");
	expect(request("GET", "/submit", "", "", 0), 405, "Allow: POST\r\n");
	expect(request("GET", "/v1/signatures", "", "", 0), 404, "not_found");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_json_report),    T(test_answer_waits_for_the_log),
		T(test_many),           T(test_bad_json),
		T(test_absurd_times),   T(test_protobuf),
		T(test_idempotency),    T(test_log_refuses),
		T(test_log_busy),       T(test_low_disk_reduces),
		T(test_heartbeats),     T(test_put_dump),
		T(test_dump_too_large), T(test_other_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
