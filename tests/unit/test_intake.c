/* SPDX-License-Identifier: Apache-2.0 */
/* Groups, batches and outcomes, against a log that answers when told to. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/gate/intake.h"

struct hand_log {
	struct log log;
	struct log_submission *held[64];
	size_t n;
	enum log_append answer;
	uint64_t seq;
};

static enum log_append
hand_append(struct log *l, struct log_submission *s)
{
	struct hand_log *h = (struct hand_log *)l;

	if (h->answer == LOG_QUEUED)
		h->held[h->n++] = s;
	return h->answer;
}

static const struct log_ops hand_ops = { .append = hand_append };

static void
settle(struct hand_log *h, struct intake *in, enum log_outcome outcome)
{
	for (size_t i = 0; i < h->n; i++) {
		h->held[i]->outcome = outcome;
		h->held[i]->first = ++h->seq << 16;
		mailbox_post(h->held[i]->reply, &h->held[i]->mail);
	}
	h->n = 0;
	intake_dispatch(in);
}

struct seen {
	struct intake_group g;
	int done;
	enum log_outcome outcome;
};

static void
on_done(struct intake_group *g, enum log_outcome outcome)
{
	struct seen *s = g->arg;

	s->done++;
	s->outcome = outcome;
}

static void
put_group(struct intake *in, struct seen *s, int n, size_t size)
{
	enum intake_result why;

	*s = (struct seen){ .g = { .done = on_done, .arg = s } };
	intake_begin(in, &s->g, LOG_CLASS_NORMAL);
	for (int i = 0; i < n; i++) {
		uint8_t *p = intake_add(in, RECORD_REPORT, 0, 1, size, &why);

		assert_non_null(p);
		memset(p, i, size);
	}
	intake_commit(in);
}

static void
test_done_only_after_outcome(void **state)
{
	struct hand_log h = { { &hand_ops }, { 0 }, 0, LOG_QUEUED, 0 };
	struct intake *in = intake_new(&h.log);
	struct seen a, b;

	(void)state;
	put_group(in, &a, 3, 100);
	put_group(in, &b, 2, 100);
	assert_int_equal(h.n, 0);
	intake_flush(in);
	assert_int_equal(h.n, 1);
	assert_int_equal(a.done + b.done, 0);
	settle(&h, in, LOG_DURABLE);
	assert_int_equal(a.done, 1);
	assert_int_equal(b.done, 1);
	assert_int_equal(a.outcome, LOG_DURABLE);
	assert_true(intake_position(&a.g, 2) == ((uint64_t)1 << 16 | 2));
	assert_true(intake_position(&b.g, 1) == ((uint64_t)1 << 16 | 4));
	assert_int_equal(intake_in_flight(in), 0);
	intake_free(in);
}

static void
test_group_over_several_batches_has_every_position(void **state)
{
	struct hand_log h = { { &hand_ops }, { 0 }, 0, LOG_QUEUED, 0 };
	struct intake *in = intake_new(&h.log);
	struct seen a, b;
	const int n = 30;

	(void)state;
	put_group(in, &a, 2, 1000);
	put_group(in, &b, n, 60000); /* 8 to a batch */
	intake_flush(in);
	assert_true(h.n > 3);
	settle(&h, in, LOG_DURABLE);
	assert_int_equal(b.done, 1);
	for (int i = 1; i < n; i++)
		assert_true(intake_position(&b.g, i) > intake_position(&b.g, i - 1));
	assert_int_equal(intake_position(&b.g, 0) & 0xffff, 2);
	intake_free(in);
}

static void
test_abandon_leaves_earlier_groups_alone(void **state)
{
	struct hand_log h = { { &hand_ops }, { 0 }, 0, LOG_QUEUED, 0 };
	struct intake *in = intake_new(&h.log);
	struct seen a, b = { .g = { .done = on_done, .arg = &b } };
	struct batch_view v;
	enum intake_result why;

	(void)state;
	put_group(in, &a, 2, 1000);
	intake_begin(in, &b.g, LOG_CLASS_NORMAL);
	for (int i = 0; i < 12; i++)
		assert_non_null(intake_add(in, RECORD_REPORT, 0, 1, 60000, &why));
	intake_abandon(in);
	intake_flush(in);
	assert_int_equal(h.n, 1);
	assert_int_equal(batch_open(h.held[0]->bytes, h.held[0]->len, &v), ERR_OK);
	assert_int_equal(v.n, 2);
	settle(&h, in, LOG_DURABLE);
	assert_int_equal(a.done, 1);
	assert_int_equal(b.done, 0);
	intake_free(in);
}

static void
test_busy_log_keeps_batches_in_order(void **state)
{
	struct hand_log h = { { &hand_ops }, { 0 }, 0, LOG_BUSY, 0 };
	struct intake *in = intake_new(&h.log);
	struct seen a, b;
	struct batch_view v;

	(void)state;
	put_group(in, &a, 1, 10);
	intake_flush(in);
	put_group(in, &b, 2, 10);
	intake_flush(in);
	assert_int_equal(a.done + b.done, 0);
	h.answer = LOG_QUEUED;
	intake_flush(in);
	assert_int_equal(h.n, 2);
	assert_int_equal(batch_open(h.held[0]->bytes, h.held[0]->len, &v), ERR_OK);
	assert_int_equal(v.n, 1);
	assert_true(v.number == 1);
	settle(&h, in, LOG_DURABLE);
	assert_int_equal(a.done + b.done, 2);
	intake_free(in);
}

static void
test_full_log_refuses_and_says_so(void **state)
{
	struct hand_log h = { { &hand_ops }, { 0 }, 0, LOG_FULL, 0 };
	struct intake *in = intake_new(&h.log);
	struct seen a;

	(void)state;
	put_group(in, &a, 1, 10);
	intake_flush(in);
	assert_int_equal(a.done, 1);
	assert_int_equal(a.outcome, LOG_REFUSED);
	assert_true(intake_full(in));
	intake_free(in);
}

static void
test_back_pressure(void **state)
{
	struct hand_log h = { { &hand_ops }, { 0 }, 0, LOG_QUEUED, 0 };
	struct intake *in = intake_new(&h.log);
	static struct seen s[64];
	int n = 0;

	(void)state;
	while (intake_ready(in) && n < 64) {
		put_group(in, &s[n++], 8, 60000);
		intake_flush(in);
	}
	assert_true(n < 16);
	settle(&h, in, LOG_DURABLE);
	assert_true(intake_ready(in));
	intake_free(in);
}

static void
count_room(void *arg)
{
	++*(int *)arg;
}

static void
test_held_back_until_let_go(void **state)
{
	struct hand_log h = { { &hand_ops }, { 0 }, 0, LOG_QUEUED, 0 };
	struct intake *in = intake_new(&h.log);
	int told = 0;

	(void)state;
	intake_hold(in, true);
	assert_false(intake_ready(in));
	intake_on_room(in, count_room, &told);
	assert_int_equal(told, 0);
	intake_hold(in, false);
	assert_true(intake_ready(in));
	assert_int_equal(told, 1);
	intake_hold(in, false);
	assert_int_equal(told, 1);
	intake_free(in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_done_only_after_outcome),
		cmocka_unit_test(test_group_over_several_batches_has_every_position),
		cmocka_unit_test(test_abandon_leaves_earlier_groups_alone),
		cmocka_unit_test(test_busy_log_keeps_batches_in_order),
		cmocka_unit_test(test_full_log_refuses_and_says_so),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_held_back_until_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
