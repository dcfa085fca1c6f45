/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "collector/api/body.h"

#define NOW 1721362140000000

static uint64_t
length_as_hash(void *arg, struct text host)
{
	(void)arg;
	return host.len;
}
static const struct body_hosts hosts = { length_as_hash, NULL };

static struct arena *
arena(void **state)
{
	return *state;
}

static int
setup(void **state)
{
	*state = arena_new(1 << 20);
	return *state == NULL;
}

static int
teardown(void **state)
{
	arena_free(*state);
	return 0;
}

static void
full_deployment(void **state)
{
	static const char body[] =
		"{\"id\":\"d1\",\"artefact\":\"sensor\",\"version\":\"291-32\",\"modules\":[\"csagent.sys\",\"x.dll\"],"
		"\"eligible\":{\"products\":[\"falcon\"],\"sites\":[\"berlin\"],\"hosts\":[\"a\",\"bb\"]},"
		"\"assignment\":\"site\",\"salt\":\"0xffffffffffffffff\",\"bake\":\"30m\",\"close_after\":3600,\"mode\":\"shadow\","
		"\"rings\":[{\"name\":\"canary\",\"hosts\":100},{\"name\":\"early\",\"percent\":2.5},{\"name\":\"rest\"}],"
		"\"halt\":{\"host_age\":\"2h\",\"alpha\":1e-7,\"auto_resume\":false,\"heartbeat\":60},"
		"\"actor\":\"ci\"}";
	Faultline__Log__Deployment d;
	struct body_error err;
	bool has_salt;

	assert_int_equal(body_deployment(body, sizeof(body) - 1, "d1", &hosts, arena(state), &d, &has_salt, &err), 0);
	assert_string_equal(d.id, "d1");
	assert_string_equal(d.artefact, "sensor");
	assert_int_equal(d.n_modules, 2);
	assert_string_equal(d.modules[1], "x.dll");
	assert_int_equal(d.eligible->n_products, 1);
	assert_int_equal(d.eligible->n_hosts, 2);
	assert_int_equal(d.eligible->hosts[1], 2);
	assert_string_equal(d.assignment, "site");
	assert_true(has_salt && d.salt == UINT64_MAX);
	assert_int_equal(d.bake_ms, 1800000);
	assert_int_equal(d.close_ms, 3600000);
	assert_string_equal(d.mode, "shadow");
	assert_int_equal(d.n_rings, 3);
	assert_int_equal(d.rings[0]->size, 100);
	assert_true(d.rings[1]->percent == 2.5);
	assert_true(d.rings[2]->size == 0 && d.rings[2]->percent == 0);
	assert_string_equal(d.actor, "ci");
	assert_int_equal(d.n_halt, 4); /* in the order of the table, whatever that of the body */
	assert_string_equal(d.halt[0]->name, "alpha");
	assert_string_equal(d.halt[0]->value, "1e-7");
	assert_string_equal(d.halt[1]->name, "heartbeat");
	assert_string_equal(d.halt[1]->value, "60");
	assert_string_equal(d.halt[2]->name, "host_age");
	assert_string_equal(d.halt[2]->value, "7200");
	assert_string_equal(d.halt[3]->name, "auto_resume");
	assert_string_equal(d.halt[3]->value, "no");
}

static void
defaults(void **state)
{
	Faultline__Log__Deployment d;
	struct body_error err;
	bool has_salt = true;

	assert_int_equal(body_deployment("{}", 2, "d1", &hosts, arena(state), &d, &has_salt, &err), 0);
	assert_string_equal(d.assignment, "hash");
	assert_string_equal(d.mode, "armed");
	assert_false(has_salt);
	assert_int_equal(d.bake_ms, 0);
	assert_null(d.eligible);
}

static void
errors_name_the_field(void **state)
{
	static const struct {
		const char *body, *field;
		enum discard code;
	} cases[] = {
		{ "", "", DISCARD_empty },
		{ "{", "", DISCARD_invalid_json },
		{ "{\"version\":\"a\\u0000b\"}", "", DISCARD_invalid_json },
		{ "{\"version\":\"\xff\"}", "", DISCARD_invalid_json },
		{ "{\"mode\":\"armed\",\"mode\":\"shadow\"}", "", DISCARD_invalid_json },
		{ "[]", "", DISCARD_invalid_json_value },
		{ "{\"versoin\":\"1\"}", "versoin", DISCARD_invalid_field },
		{ "{\"id\":\"other\"}", "id", DISCARD_invalid_field },
		{ "{\"version\":1}", "version", DISCARD_invalid_json_value },
		{ "{\"version\":\"a\\nb\"}", "version", DISCARD_invalid_field },
		{ "{\"modules\":\"x\"}", "modules", DISCARD_invalid_json_value },
		{ "{\"modules\":[\"x\",1]}", "modules[1]", DISCARD_invalid_json_value },
		{ "{\"modules\":[\"\"]}", "modules[0]", DISCARD_invalid_field },
		{ "{\"eligible\":[]}", "eligible", DISCARD_invalid_json_value },
		{ "{\"eligible\":{\"site\":[]}}", "eligible.site", DISCARD_invalid_field },
		{ "{\"eligible\":{\"sites\":[1]}}", "eligible.sites[0]", DISCARD_invalid_json_value },
		{ "{\"eligible\":{\"hosts\":[\"\"]}}", "eligible.hosts[0]", DISCARD_invalid_host_id },
		{ "{\"assignment\":\"dice\"}", "assignment", DISCARD_invalid_field },
		{ "{\"assignment\":true}", "assignment", DISCARD_invalid_json_value },
		{ "{\"salt\":7}", "salt", DISCARD_invalid_json_value },
		{ "{\"salt\":\"7\"}", "salt", DISCARD_invalid_field },
		{ "{\"salt\":\"0x\"}", "salt", DISCARD_invalid_field },
		{ "{\"salt\":\"0x0\"}", "salt", DISCARD_invalid_field },
		{ "{\"salt\":\"0x11111111111111111\"}", "salt", DISCARD_invalid_field },
		{ "{\"rings\":[1]}", "rings[0]", DISCARD_invalid_json_value },
		{ "{\"rings\":[{}]}", "rings[0].name", DISCARD_invalid_field },
		{ "{\"rings\":[{\"name\":\"a\",\"size\":1}]}", "rings[0].size", DISCARD_invalid_field },
		{ "{\"rings\":[{\"name\":\"a\",\"hosts\":0}]}", "rings[0].hosts", DISCARD_invalid_field },
		{ "{\"rings\":[{\"name\":\"a\",\"hosts\":1.5}]}", "rings[0].hosts", DISCARD_invalid_json_value },
		{ "{\"rings\":[{\"name\":\"a\",\"percent\":101}]}", "rings[0].percent", DISCARD_invalid_field },
		{ "{\"rings\":[{\"name\":\"a\",\"percent\":\"5\"}]}", "rings[0].percent", DISCARD_invalid_json_value },
		{ "{\"rings\":[{\"name\":\"a\",\"hosts\":1,\"percent\":1}]}", "rings[0].percent",
		  DISCARD_invalid_field },
		{ "{\"rings\":[{\"name\":\"a\"},{\"name\":\"b\"}]}", "rings[0].hosts", DISCARD_invalid_field },
		{ "{\"rings\":[{\"name\":\"a\",\"hosts\":1},{\"name\":\"a\"}]}", "rings[1].name",
		  DISCARD_invalid_field },
		{ "{\"bake\":\"soon\"}", "bake", DISCARD_invalid_field },
		{ "{\"bake\":-1}", "bake", DISCARD_invalid_field },
		{ "{\"bake\":0}", "bake", DISCARD_invalid_field },
		{ "{\"bake\":\"31d\"}", "bake", DISCARD_invalid_field },
		{ "{\"bake\":true}", "bake", DISCARD_invalid_json_value },
		{ "{\"mode\":\"off\"}", "mode", DISCARD_invalid_field },
		{ "{\"halt\":1}", "halt", DISCARD_invalid_json_value },
		{ "{\"halt\":{\"alfa\":1}}", "halt.alfa", DISCARD_invalid_field },
		{ "{\"halt\":{\"alpha\":0.5}}", "halt.alpha", DISCARD_invalid_field },
		{ "{\"halt\":{\"alpha\":\"nan\"}}", "halt.alpha", DISCARD_invalid_field },
		{ "{\"halt\":{\"alpha\":true}}", "halt.alpha", DISCARD_invalid_json_value },
		{ "{\"halt\":{\"auto_resume\":1}}", "halt.auto_resume", DISCARD_invalid_json_value },
		{ "{\"halt\":{\"hosts_user\":2.5}}", "halt.hosts_user", DISCARD_invalid_field },
		{ "{\"halt\":{\"host_age\":\"soon\"}}", "halt.host_age", DISCARD_invalid_field },
		{ "{\"halt\":{\"brake_sites\":3}}", "halt.brake_sites", DISCARD_invalid_field },
		{ "{\"<b>\x1b\":1}", "", DISCARD_invalid_json },
		{ "{\"\\u001b[31m\":1}", "?[31m", DISCARD_invalid_field },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Faultline__Log__Deployment d;
		struct body_error err;
		bool has_salt;

		assert_int_equal(body_deployment(cases[i].body, strlen(cases[i].body), "d1", &hosts, arena(state), &d,
						 &has_salt, &err),
				 -1);
		assert_string_equal(err.field, cases[i].field);
		assert_int_equal(err.code, cases[i].code);
		assert_true(strlen(err.message) > 0);
	}
}

static void
receipts(void **state)
{
	static const char by_host[] =
		"{\"hosts\":[\"a\",\"bb\",\"ccc\"],\"at\":\"2024-07-19T04:00:00Z\",\"withdrawn\":true}";
	static const char by_ring[] = "{\"ring\":\"canary\"}";
	Faultline__Log__Receipt r;
	struct body_error err;

	assert_int_equal(body_receipt(by_host, sizeof(by_host) - 1, "d1", NOW, &hosts, arena(state), &r, &err), 0);
	assert_string_equal(r.deployment, "d1");
	assert_int_equal(r.n_hosts, 3);
	assert_int_equal(r.hosts[2], 3);
	assert_true(r.withdrawn);
	assert_true(r.at_us == 1721361600000000);
	assert_int_equal(body_receipt(by_ring, sizeof(by_ring) - 1, "d1", NOW, &hosts, arena(state), &r, &err), 0);
	assert_string_equal(r.ring, "canary");
	assert_int_equal(r.n_hosts, 0);
	assert_false(r.withdrawn);
}

static void
bad_receipts(void **state)
{
	static const struct {
		const char *body, *field;
		enum discard code;
	} cases[] = {
		{ "{}", "hosts", DISCARD_invalid_field },
		{ "{\"hosts\":[]}", "hosts", DISCARD_invalid_field },
		{ "{\"hosts\":[\"a\"],\"ring\":\"r\"}", "ring", DISCARD_invalid_field },
		{ "{\"hosts\":[null]}", "hosts[0]", DISCARD_invalid_json_value },
		{ "{\"hosts\":[\"01234567890123456789012345678901234567890123456789012345678901234\"]}", "hosts[0]",
		  DISCARD_invalid_host_id },
		{ "{\"ring\":\"r\",\"at\":\"1601-01-01T00:00:00Z\"}", "at", DISCARD_invalid_time },
		{ "{\"ring\":\"r\",\"at\":\"2100-01-01T00:00:00Z\"}", "at", DISCARD_invalid_time },
		{ "{\"ring\":\"r\",\"at\":5}", "at", DISCARD_invalid_json_value },
		{ "{\"ring\":\"r\",\"withdrawn\":1}", "withdrawn", DISCARD_invalid_json_value },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Faultline__Log__Receipt r;
		struct body_error err;

		assert_int_equal(
			body_receipt(cases[i].body, strlen(cases[i].body), "d1", NOW, &hosts, arena(state), &r, &err),
			-1);
		assert_string_equal(err.field, cases[i].field);
		assert_int_equal(err.code, cases[i].code);
	}
}

static void
decisions_need_a_reason(void **state)
{
	static const char good[] = "{\"reason\":\"canary bleeds\",\"actor\":\"ana\"}";
	static const char wishes[] = "{\"reason\":\"x\",\"expect_position\":\"00000000004a0010\",\"confirm\":\"d1\"}";
	static const char odd[] = "{\"reason\":\"x\",\"expect_position\":\"4a0010\"}";
	Faultline__Log__Decision d;
	struct body_wish wish;
	struct body_error err;

	assert_int_equal(body_decision(good, sizeof(good) - 1, "d1", FAULTLINE__LOG__ACTION__ACTION_HALT, 1,
				       arena(state), &d, &wish, &err),
			 0);
	assert_string_equal(d.deployment, "d1");
	assert_string_equal(d.reason, "canary bleeds");
	assert_string_equal(d.actor, "ana");
	assert_int_equal(d.action, FAULTLINE__LOG__ACTION__ACTION_HALT);
	assert_false(d.automatic);
	assert_int_equal(
		body_decision("{}", 2, "d1", FAULTLINE__LOG__ACTION__ACTION_HALT, 1, arena(state), &d, &wish, &err),
		-1);
	assert_string_equal(err.field, "reason");
	assert_int_equal(body_decision("{\"reason\":\"\"}", 13, "d1", FAULTLINE__LOG__ACTION__ACTION_HALT, 1,
				       arena(state), &d, &wish, &err),
			 -1);
	assert_string_equal(err.field, "reason");
	assert_int_equal(body_decision(wishes, sizeof(wishes) - 1, "d1", FAULTLINE__LOG__ACTION__ACTION_RESUME, 1,
				       arena(state), &d, &wish, &err),
			 0);
	assert_int_equal(wish.expect_position, 0x4a0010);
	assert_string_equal(wish.confirm, "d1");
	assert_int_equal(body_decision(odd, sizeof(odd) - 1, "d1", FAULTLINE__LOG__ACTION__ACTION_RESUME, 1,
				       arena(state), &d, &wish, &err),
			 -1);
	assert_string_equal(err.field, "expect_position");
}

/* A body whose arrays would not fit the arena is refused, not half read. */
static void
memory_is_bounded(void **state)
{
	struct arena *small = arena_new(4096);
	Faultline__Log__Receipt r;
	struct body_error err;
	char *body = malloc(200000);
	size_t len = 0;

	(void)state;
	len += (size_t)sprintf(body, "{\"hosts\":[\"a\"");
	for (int i = 0; i < 20000; i++)
		len += (size_t)sprintf(body + len, ",\"b\"");
	len += (size_t)sprintf(body + len, "]}");
	assert_int_equal(body_receipt(body, len, "d1", NOW, &hosts, small, &r, &err), -1);
	assert_int_equal(err.code, DISCARD_body_too_large);
	free(body);
	arena_free(small);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(full_deployment, setup, teardown),
		cmocka_unit_test_setup_teardown(defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(errors_name_the_field, setup, teardown),
		cmocka_unit_test_setup_teardown(receipts, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_receipts, setup, teardown),
		cmocka_unit_test_setup_teardown(decisions_need_a_reason, setup, teardown),
		cmocka_unit_test(memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
