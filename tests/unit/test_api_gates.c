/* SPDX-License-Identifier: Apache-2.0 */
/* Gates of other systems while the server is not sure: never a go-ahead. */
#include "config.h"

#include "tests/unit/api_world.h"

#define FORM_TYPE "Content-Type: application/x-www-form-urlencoded\r\n"
#define HALTED    "/api/v1/query?query=faultline_deployment_halted%7Bdeployment%3D%22d1%22%7D"
#define PAYLOAD \
	"{\"name\":\"a\",\"namespace\":\"b\",\"phase\":\"Progressing\",\"checksum\":\"c\",\"metadata\":{\"deployment\":\"d1\"}}"

static int
status(struct world *w, struct client *c, const char *method, const char *path, const char *headers, const char *body)
{
	ask(w, c, method, path, headers, body);
	return c->status;
}

static void
expect(struct world *w, int query, int confirm, int check, int rollback)
{
	struct client c;

	client_open(&c, w);
	assert_int_equal(status(w, &c, "GET", HALTED, "", ""), query);
	assert_int_equal(status(w, &c, "GET", "/api/v1/query?query=vector(1)", "", ""), 200);
	assert_int_equal(status(w, &c, "POST", "/v1/flagger/confirm", JSON_TYPE, PAYLOAD), confirm);
	assert_int_equal(status(w, &c, "POST", "/v1/flagger/check", JSON_TYPE, PAYLOAD), check);
	assert_int_equal(status(w, &c, "POST", "/v1/flagger/rollback", JSON_TYPE, PAYLOAD), rollback);
	client_close(&c);
}

static void
the_table(void **state)
{
	struct world *w = *state;

	world_deploy(w, VERDICT_PROCEED, STATE_CLEAN, "clean");
	expect(w, 200, 200, 200, 403);
	world_deploy(w, VERDICT_HOLD, STATE_TOO_FEW_RESOLVED, "few");
	expect(w, 200, 403, 200, 403);
	world_deploy(w, VERDICT_HALT, STATE_HALTED, "bad");
	expect(w, 200, 403, 403, 200);
}

static void
doubt(void **state)
{
	struct world *w = *state;

	for (int how = 0; how < 3; how++) {
		w->fold->caught_up = how != 0;
		w->fold->failed = how == 1 ? "disk gone" : NULL;
		world_deploy(w, VERDICT_PROCEED, STATE_CLEAN, "clean");
		if (how == 2)
			w->fold->now_us -= 60000000;
		w->fold->verdict.fresh_us = w->fold->now_us;
		expect(w, 503, 403, 200, 403);
		w->fold->verdict.verdict = VERDICT_HALT;
		w->fold->verdict.state = STATE_HALTED;
		expect(w, 200, 403, 403, 200); /* a halt stays one */
	}
}

static void
in_doubt_a_halt_is_all_that_is_told(void **state)
{
	static const char *const unsure[] = {
		"/api/v1/query?query=faultline_deployment_halted", /* others might be missing */
		"/api/v1/query?query=faultline_deployment_halted%7Bdeployment%3D%22d2%22%7D%20or%20vector(0)",
		"/api/v1/query?query=faultline_deployment_verdict%7Bdeployment%3D%22d1%22%7D",
		"/api/v1/query?query=faultline_hosts_dark",
	};
	struct world *w = *state;
	struct client c;

	world_deploy(w, VERDICT_HALT, STATE_HALTED, "bad");
	w->fold->caught_up = false;
	client_open(&c, w);
	for (size_t i = 0; i < sizeof(unsure) / sizeof(unsure[0]); i++) {
		assert_int_equal(status(w, &c, "GET", unsure[i], "", ""), 503);
		assert_string_equal(text(&c, "errorType"), "unavailable");
	}
	client_close(&c);
}

static void
offers(void **state)
{
	struct world *w = *state;
	struct client c;

	world_deploy(w, VERDICT_PROCEED, STATE_CLEAN, "clean");
	client_open(&c, w);
	ask(w, &c, "GET", "/v1/deployments/d1/offer?host=a", "", "");
	assert_string_equal(text(&c, "why"), "ring_open");
	w->fold->caught_up = false;
	ask(w, &c, "GET", "/v1/deployments/d1/offer?host=a", "", "");
	assert_string_equal(text(&c, "why"), "not_fresh");
	assert_true(json_is_false(json_object_get(c.body, "offer")));
	assert_string_equal(text(&c, "verdict"), "hold");
	ask(w, &c, "POST", "/v1/deployments/d1/offer", JSON_TYPE, "{\"host\":\"a\"}");
	assert_true(json_is_false(json_object_get(c.body, "recorded")));
	client_close(&c);
}

static void
forms(void **state)
{
	struct world *w = *state;
	struct client c;

	world_deploy(w, VERDICT_HALT, STATE_HALTED, "bad");
	client_open(&c, w);
	assert_int_equal(status(w, &c, "POST", "/api/v1/query", FORM_TYPE, "query=vector%281%29&time=&step=1"), 200);
	assert_int_equal(status(w, &c, "POST", "/api/v1/query?query=vector(1)", FORM_TYPE, ""), 200);
	assert_int_equal(status(w, &c, "POST", "/api/v1/query", FORM_TYPE, "time=1"), 400);
	assert_string_equal(text(&c, "status"), "error");
	assert_int_equal(status(w, &c, "POST", "/api/v1/query", JSON_TYPE, "{}"), 415);
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_table, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(doubt, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(in_doubt_a_halt_is_all_that_is_told, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(offers, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(forms, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
