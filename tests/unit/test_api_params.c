/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "collector/api/jsonout.h"
#include "collector/api/params.h"

static void
durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {
		{ "30s", 30000 }, { "30", 30000 },   { "1.5", 1500 },     { "500ms", 500 },
		{ "5m", 300000 }, { "2h", 7200000 }, { "7d", 604800000 }, { "0", 0 },
	};
	static const char *const bad[] = { "",    "s",     "-1s", "1x",   "1 s",
					   "1e9", "1.2.3", "nan", "0x10", "99999999999999999" };
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ms = 42;
		assert_int_equal(params_duration(good[i].text, &ms), 0);
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ms = 42;
		assert_int_equal(params_duration(bad[i], &ms), -1);
		assert_int_equal(ms, 42);
	}
}

static void
since_is_an_age_or_a_time(void **state)
{
	int64_t us;

	(void)state;
	assert_int_equal(params_since("1h", 7200000000, &us), 0);
	assert_int_equal(us, 3600000000);
	assert_int_equal(params_since("1970-01-01T00:00:05Z", 7200000000, &us), 0);
	assert_int_equal(us, 5000000);
	assert_int_equal(params_since("yesterday", 7200000000, &us), -1);
}

static void
counts(void **state)
{
	uint64_t n = 7;

	(void)state;
	assert_int_equal(params_count("1000", 1, 1000, &n), 0);
	assert_int_equal(n, 1000);
	assert_int_equal(params_count("1001", 1, 1000, &n), -1);
	assert_int_equal(params_count("0", 1, 1000, &n), -1);
	assert_int_equal(params_count("-1", 1, UINT64_MAX, &n), -1);
	assert_int_equal(params_count(" 1", 1, 1000, &n), -1);
	assert_int_equal(params_count("1x", 1, 1000, &n), -1);
	assert_int_equal(params_count("", 0, 1000, &n), -1);
	assert_int_equal(params_count("99999999999999999999999", 0, UINT64_MAX, &n), -1);
	assert_int_equal(n, 1000);
}

static void
deployment_ids(void **state)
{
	char long_id[DEPLOYMENT_ID_MAX + 1];

	(void)state;
	memset(long_id, 'a', sizeof(long_id));
	assert_true(params_deployment_id(TEXT("sensor-content_291:32.a")));
	assert_true(params_deployment_id((struct text){ long_id, DEPLOYMENT_ID_MAX }));
	assert_false(params_deployment_id((struct text){ long_id, DEPLOYMENT_ID_MAX + 1 }));
	assert_false(params_deployment_id(TEXT("")));
	assert_false(params_deployment_id(TEXT(".")));
	assert_false(params_deployment_id(TEXT("..")));
	assert_false(params_deployment_id(TEXT("a/b")));
	assert_false(params_deployment_id(TEXT("a\0b")));
	assert_false(params_deployment_id(TEXT("<b>")));
}

static void
host_hashes(void **state)
{
	uint64_t h = 0;

	(void)state;
	assert_int_equal(params_host_hash(TEXT("h:0123456789abcdef"), &h), 0);
	assert_true(h == 0x0123456789abcdefull);
	assert_int_equal(params_host_hash(TEXT("h:0123456789abcde"), &h), -1);
	assert_int_equal(params_host_hash(TEXT("h:0123456789abcdeg"), &h), -1);
	assert_int_equal(params_host_hash(TEXT("x:0123456789abcdef"), &h), -1);
}

static void
cursors_come_back(void **state)
{
	struct params_cursor c = { 2, UINT64_MAX, 0x1234 }, back;
	char text[PARAMS_CURSOR_SIZE + 1];

	(void)state;
	params_cursor_format(&c, text);
	assert_int_equal(params_cursor_parse(text, &back), 0);
	assert_int_equal(back.order, 2);
	assert_true(back.key == UINT64_MAX && back.id == 0x1234);
	assert_int_equal(params_cursor_parse("", &back), -1);
	assert_int_equal(params_cursor_parse("zz", &back), -1);
	text[5] = 'x';
	assert_int_equal(params_cursor_parse(text, &back), -1);
}

static void
etags(void **state)
{
	(void)state;
	assert_true(params_etag_listed("\"7\"", "\"7\""));
	assert_true(params_etag_listed("W/\"7\"", "\"7\""));
	assert_true(params_etag_listed("\"1\", \"7\" ,\"9\"", "\"7\""));
	assert_true(params_etag_listed("*", "\"7\""));
	assert_false(params_etag_listed("\"77\"", "\"7\""));
	assert_false(params_etag_listed("7", "\"7\""));
	assert_false(params_etag_listed("", "\"7\""));
}

/* Whatever goes in, a strict parser reads the same value back. */
static void
json_survives_any_text(void **state)
{
	static const struct {
		struct text in;
		const char *out;
	} cases[] = {
		{ { "a\"b\\c/\n\t\r\b\f", 11 }, "a\"b\\c/\n\t\r\b\f" },
		{ { "\x01\x1f\x7f", 3 }, "\x01\x1f\x7f" },
		{ { "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xa5", 14 }, "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xa5" },
		{ { "\xff\xc0\xaf", 3 }, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ { "\xed\xa0\x80", 3 }, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ { "x\xe2\x82", 3 }, "x\xef\xbf\xbd\xef\xbf\xbd" },
		{ { "<script>alert(1)</script>", 25 }, "<script>alert(1)</script>" },
		{ { NULL, 0 }, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jsonout j;
		json_t *v;

		jsonout_init(&j);
		jsonout_text(&j, NULL, cases[i].in);
		assert_false(j.failed);
		v = json_loadb(j.at, j.len, JSON_DECODE_ANY, NULL);
		assert_non_null(v);
		assert_string_equal(json_string_value(v), cases[i].out);
		json_decref(v);
		jsonout_fini(&j);
	}
}

static void
json_shapes(void **state)
{
	static const char want[] =
		"{\"a\":1,\"b\":[],\"c\":[\"x\",null,-2,{\"d\":true}],\"e\":\"0xe14ed\",\"f\":0.250,"
		"\"g\":null,\"t\":\"2024-07-19T04:09:00.007Z\",\"n\":null,\"h\":\"h:00000000000000ff\"}";
	struct jsonout j;

	(void)state;
	jsonout_init(&j);
	jsonout_open(&j, NULL, '{');
	jsonout_u64(&j, "a", 1);
	jsonout_open(&j, "b", '[');
	jsonout_close(&j, ']');
	jsonout_open(&j, "c", '[');
	jsonout_string(&j, NULL, "x");
	jsonout_null(&j, NULL);
	jsonout_i64(&j, NULL, -2);
	jsonout_open(&j, NULL, '{');
	jsonout_bool(&j, "d", true);
	jsonout_close(&j, '}');
	jsonout_close(&j, ']');
	jsonout_hex(&j, "e", 0xe14ed);
	jsonout_double(&j, "f", 0.25, 3);
	jsonout_double(&j, "g", INFINITY, 3);
	jsonout_time(&j, "t", 1721362140007000);
	jsonout_time(&j, "n", 0);
	jsonout_host(&j, "h", 255);
	jsonout_close(&j, '}');
	assert_false(j.failed);
	assert_int_equal(j.len, sizeof(want) - 1);
	assert_memory_equal(j.at, want, sizeof(want) - 1);
	jsonout_fini(&j);
}

static void
json_stops_at_its_limit(void **state)
{
	struct jsonout j;

	(void)state;
	jsonout_init(&j);
	j.limit = 100;
	jsonout_open(&j, NULL, '[');
	for (int i = 0; i < 1000; i++)
		jsonout_string(&j, NULL, "0123456789");
	assert_true(j.failed);
	assert_true(j.len <= 100);
	jsonout_fini(&j);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),   cmocka_unit_test(since_is_an_age_or_a_time),
		cmocka_unit_test(counts),      cmocka_unit_test(deployment_ids),
		cmocka_unit_test(host_hashes), cmocka_unit_test(cursors_come_back),
		cmocka_unit_test(etags),       cmocka_unit_test(json_survives_any_text),
		cmocka_unit_test(json_shapes), cmocka_unit_test(json_stops_at_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
