/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints, and what is kept for them. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/notify/outbox.h"

#define SECOND ((int64_t)1000000)

static struct outbox box;
static struct receiver *desk;

static void
on_drop(void *arg, struct receiver *e)
{
	(void)e;
	++*(int *)arg;
}

static void
configure(const char *text)
{
	char err[200] = "";
	int dropped = 0;
	struct webhooks *w = webhooks_parse(text, strlen(text), err, sizeof(err));

	assert_string_equal(err, "");
	assert_int_equal(outbox_configure(&box, w, on_drop, &dropped), 0);
	webhooks_free(w);
	desk = outbox_find(&box, "desk");
}

static int
setup(void **state)
{
	(void)state;
	outbox_init(&box);
	configure("[desk]\nurl = https://user:pw@a.example:81/secret?k=v\n[chat]\nurl = http://b/\nformat = slack\n");
	return desk == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	outbox_fini(&box);
	return 0;
}

static struct delivery *
queue(const char *id, const char *deployment, int64_t now)
{
	struct notice n = { .kind = NOTICE_HALT_RAISED, .at_us = now, .data = json_pack("{s:s}", "reason", id) };
	struct delivery *d;

	snprintf(n.id, sizeof(n.id), "%s", id);
	snprintf(n.deployment, sizeof(n.deployment), "%s", deployment);
	d = outbox_put(&box, desk, &n, now);
	json_decref(n.data);
	return d;
}

static void
what_is_configured(void **state)
{
	static const char *const bad[] = {
		"[a]\nurl = http://x\nevents = none\n",
		"[a]\nurl = http://x\nsecret = short\n",
		"[a]\nurl = http://x\nformat = pagerduty\n",
		"[a]\nurl = http://x\nrouting-key = k\n",
		"[a]\nurl = file:///etc/passwd\n",
		"[a]\nurl = http://\n",
		"[a]\nurl = http://a b\n",
		"[a b]\nurl = http://x\n",
		"[a]\nurl = http://x\ntimeout = 2h\n",
		"[a]\nurl = http://x\nnonsense\n",
		"[a]\nurl = http://x\nformat = alertmanager\nevents = halt\n",
	};
	char buf[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(webhooks_parse(bad[i], strlen(bad[i]), buf, sizeof(buf)));
	webhook_origin(&desk->hook, buf, sizeof(buf));
	assert_string_equal(buf, "https://a.example:81");
	assert_int_equal(desk->hook.events, WEBHOOK_HALT | WEBHOOK_VERDICT | WEBHOOK_DEPLOYMENT | WEBHOOK_ALARM);
	assert_int_equal(outbox_find(&box, "chat")->hook.events, WEBHOOK_HALT | WEBHOOK_ALARM);
}

static void
waiting_grows_and_ends(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 100; n++) {
		uint64_t least = outbox_backoff_ms(n, 0), most = outbox_backoff_ms(n, least);

		assert_true(least >= 500 && most == least * 2 && most <= 300000);
		assert_true(n > 9 || least == 500u << (n - 1));
	}
}

static void
one_deployment_keeps_its_order(void **state)
{
	int64_t wait = INT64_MAX;
	struct delivery *a = queue("1", "d1", 0), *b = queue("2", "d1", 0), *c = queue("3", "d2", 0);

	(void)state;
	assert_ptr_equal(outbox_due(desk, 0, &wait), a);
	a->in_flight = true;
	assert_ptr_equal(outbox_due(desk, 0, &wait), c);
	c->in_flight = true;
	assert_null(outbox_due(desk, 0, &wait)); /* b waits for a */
	assert_int_equal(outbox_settle(&box, a, 500, 0, "no", SECOND), DELIVERY_PENDING);
	assert_null(outbox_due(desk, SECOND, &wait));
	assert_in_range(wait, SECOND / 2, SECOND);
	assert_ptr_equal(outbox_due(desk, 3 * SECOND, &wait), a);
	assert_int_equal(outbox_settle(&box, a, 429, 60, "later", 3 * SECOND), DELIVERY_PENDING);
	assert_int_equal(a->next_us, 63 * SECOND);
	assert_int_equal(outbox_settle(&box, a, 204, 0, "", 64 * SECOND), DELIVERY_DELIVERED);
	assert_ptr_equal(outbox_due(desk, 64 * SECOND, &wait), b);
	assert_null(queue("2", "d1", 0)); /* the same notice twice is one delivery */
}

static void
what_is_final_and_what_is_given_up(void **state)
{
	struct delivery *a = queue("1", "d1", 0);

	(void)state;
	assert_int_equal(outbox_settle(&box, a, 422, 0, "bad", 1), DELIVERY_DEAD);
	outbox_again(&box, a, 2);
	assert_int_equal(outbox_settle(&box, a, 0, 0, "refused", 2 + 86400 * SECOND), DELIVERY_DEAD);
	outbox_again(&box, a, 3);
	assert_int_equal(outbox_settle(&box, a, 410, 0, "gone", 4), DELIVERY_DEAD);
	assert_true(desk->gone);
	queue("2", "d1", 5);
	assert_int_equal(desk->n[DELIVERY_DEAD], 2);
	for (int i = 0; i < 2000; i++) {
		char id[16];

		desk->gone = false;
		snprintf(id, sizeof(id), "n%d", i);
		queue(id, id, 6);
	}
	assert_int_equal(desk->n[DELIVERY_PENDING], OUTBOX_PENDING_MAX);
	assert_int_equal(desk->n[DELIVERY_DEAD], OUTBOX_KEPT);
}

static void
the_file_brings_it_back(void **state)
{
	static const uint8_t log[16] = { 1, 2, 3 }, other[16] = { 9 };
	struct changes c, back;
	json_t *j;

	(void)state;
	changes_init(&c, log);
	changes_init(&back, log);
	c.first = false;
	outbox_settle(&box, queue("1", "d1", 0), 503, 0, "busy", SECOND);
	outbox_settle(&box, queue("2", "d2", 0), 200, 0, "", SECOND);
	j = outbox_pack(&box, &c);
	outbox_fini(&box);
	configure("[desk]\nurl = http://elsewhere/\n[new]\nurl = http://c/\n");
	assert_true(outbox_unpack(&box, &back, j));
	assert_false(back.first);
	assert_int_equal(desk->n[DELIVERY_PENDING], 1);
	assert_int_equal(desk->n[DELIVERY_DELIVERED], 1);
	assert_string_equal(TAILQ_FIRST(&desk->all)->last_error, "busy");
	assert_string_equal(json_string_value(json_object_get(TAILQ_FIRST(&desk->all)->notice.data, "reason")), "1");
	changes_fini(&back);
	changes_init(&back, other); /* another log: nothing of it was told */
	assert_false(outbox_unpack(&box, &back, j));
	assert_true(back.first);
	json_decref(j);
	changes_fini(&c);
	changes_fini(&back);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_configured, setup, teardown),
		cmocka_unit_test_setup_teardown(waiting_grows_and_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(one_deployment_keeps_its_order, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_final_and_what_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(the_file_brings_it_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
