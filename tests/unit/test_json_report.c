/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/gate/json_report.h"
#include "collector/gate/submit_fields.h"
#include "proto/report.h"

/* The report that a JSON text makes.  The bytes live until the next call. */
static struct report
convert(const char *json)
{
	static char text[4096];
	static uint8_t bytes[4096];
	const char *field;
	struct json_in j;
	struct report r;
	struct diag diag;
	size_t len;

	strcpy(text, json);
	json_in_init(&j, text, strlen(text));
	assert_int_equal(json_report(&j, bytes, sizeof(bytes), &len, &field), DISCARD_none);
	assert_true(json_in_done(&j));
	assert_int_equal(report_decode(bytes, len, &r, &diag), DISCARD_none);
	return r;
}

static void
test_numbers(void **state)
{
	(void)state;
	assert_true(convert("{\"host\":\"h\",\"epoch\":18446744073709551615}").epoch == UINT64_MAX);
	assert_true(convert("{\"host\":\"h\",\"epoch\":\"18446744073709551615\"}").epoch == UINT64_MAX);
	assert_true(convert("{\"host\":\"h\",\"epoch\":\"0XfFfFfFfFfFfFfFfF\"}").epoch == UINT64_MAX);
	assert_true(convert("{\"host\":\"h\",\"epoch\":null,\"seq\":0}").seq == 0);
	assert_true(convert("{\"host\":\"h\",\"occurred\":1721362140123}").occurred_us == 1721362140123000);
	assert_true(convert("{\"host\":\"h\",\"occurred_us\":1721362140123456}").occurred_us == 1721362140123456);
	assert_true(convert("{\"host\":\"h\",\"occurred\":\"2024-07-19T06:09:00.5+02:00\"}").occurred_us ==
		    1721362140500000);
	assert_true(convert("{\"host\":\"h\",\"occurred\":-1000}").occurred_us == -1000000);
	assert_int_equal(convert("{\"host\":\"h\",\"kind\":3}").kind, REPORT_BOOT_CRITICAL);
	assert_int_equal(convert("{\"host\":\"h\",\"kind\":\"boot-critical\"}").kind, REPORT_BOOT_CRITICAL);
	assert_int_equal(convert("{\"host\":\"h\"}").count, 1);
}

static void
test_texts(void **state)
{
	struct report r = convert("{\"host\":\"a\\u0041\\/\\t\\uD83D\\uDE00\",\"module\":\"C:\\\\\\u00e9\"}");

	(void)state;
	assert_true(text_equal(r.host, TEXT("aA/\t\xf0\x9f\x98\x80")));
	assert_true(text_equal(r.module, TEXT("C:\\\xc3\xa9")));
	r = convert(
		" {\t\"host\" :\r\n\"h\" , \"labels\" : [ { \"value\" : \"v\" , \"name\" : \"n\" } ] , \"x\" : [ ] } ");
	assert_int_equal(r.n_labels, 1);
	assert_true(text_equal(r.labels[0].name, TEXT("n")) && text_equal(r.labels[0].value, TEXT("v")));
}

static enum discard
refusal(const char *json, const char *field_want)
{
	char text[512];
	uint8_t bytes[512];
	const char *field;
	struct json_in j;
	enum discard why;
	size_t len;

	strcpy(text, json);
	json_in_init(&j, text, strlen(text));
	why = json_report(&j, bytes, sizeof(bytes), &len, &field);
	if (why != DISCARD_none)
		assert_string_equal(field != NULL ? field : "", field_want);
	if (why != DISCARD_none && j.why == DISCARD_none)
		assert_true(json_in_done(&j)); /* the reader stands behind the item */
	return why != DISCARD_none ? why : j.why;
}

static void
test_refusals(void **state)
{
	(void)state;
	assert_int_equal(refusal("{\"seq\":\"x\",\"kind\":[],\"host\":\"h\"}", "seq"), DISCARD_invalid_json_value);
	assert_int_equal(refusal("{\"host\":\"h\",\"labels\":{\"a\":{\"b\":[1]}}}", "labels"),
			 DISCARD_invalid_json_value);
	assert_int_equal(refusal("{\"host\":\"h\",\"seq\":1e3}", "seq"), DISCARD_invalid_json_value);
	assert_int_equal(refusal("{\"host\":\"h\",\"offset\":\"\"}", "offset"), DISCARD_invalid_json_value);
	assert_int_equal(refusal("{\"host\":\"h\",\"offset\":\"0x11112222333344445\"}", "offset"),
			 DISCARD_invalid_json_value);
	assert_int_equal(refusal("{\"host\":\"h\",\"occurred\":1.5}", "occurred"), DISCARD_invalid_time);
	assert_int_equal(refusal("[]", ""), DISCARD_invalid_json_value);
	assert_int_equal(refusal("{\"host\":\"h\"", ""), DISCARD_invalid_json);
	assert_int_equal(refusal("{\"host\" \"h\"}", ""), DISCARD_invalid_json);
	assert_int_equal(refusal("{host:1}", ""), DISCARD_invalid_json);
	assert_int_equal(refusal("{\"host\":nul}", ""), DISCARD_invalid_json);
	assert_int_equal(refusal("{\"host\":\"\\udc00\"}", ""), DISCARD_invalid_json);
	assert_int_equal(refusal("{\"host\":\"\\ud800\\u0041\"}", ""), DISCARD_invalid_json);
	assert_int_equal(refusal("{\"host\":\"\xc0\xaf\"}", ""), DISCARD_invalid_utf8);
}

static void
test_annotations(void **state)
{
	static char json[] =
		"{\"ProductName\":\"App\",\"Version\":\"1.0\",\"CrashTime\":\"1721362140\",\"UptimeTS\":\"61.5\","
		"\"ReleaseChannel\":\"beta\",\"TelemetryEnvironment\":\"{}\"}";
	struct submit_fields f = { .any = false };
	struct report r;

	(void)state;
	assert_int_equal(submit_fields_json(&f, json, sizeof(json) - 1), DISCARD_none);
	assert_int_equal(submit_fields_check(&f), DISCARD_none);
	submit_fields_report(&f, &r);
	assert_true(text_equal(r.product, TEXT("App")) && text_equal(r.version, TEXT("1.0")));
	assert_true(r.occurred_us == 1721362140000000 && r.uptime_s == 61 && r.n_labels == 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_annotations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
