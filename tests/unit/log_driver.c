/* SPDX-License-Identifier: Apache-2.0 */
/* What every engine behind collector/log/log.h must do, and what whoever stands above it
 * must be able to bear: the same cases on the local journal and on the nasty fake.
 * A new engine adds itself to main(). */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/log/journal.h"
#include "tests/unit/fake_log.h"
#include "tests/unit/log_help.h"

struct bench;

struct driver {
	const char *name;
	void (*start)(struct bench *b);                    /* sets b->log: an empty log */
	void (*reopen)(struct bench *b);                   /* b->log is closed: open it again */
	void (*truncate)(struct bench *b, uint64_t below); /* make it let go of at least one batch */
	void (*stop)(struct bench *b);                     /* b->log is closed */
};

struct bench {
	const struct driver *driver;
	struct log *log;
	struct mailbox *reply;
	char *dir;
	struct fake_store *store;
};

static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->driver = *state;
	b->reply = mailbox_new();
	b->driver->start(b);
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	log_close(b->log);
	log_dispatch(b->reply);
	b->driver->stop(b);
	mailbox_free(b->reply);
	free(b);
	return 0;
}

static void
reopen(struct bench *b)
{
	log_close(b->log);
	log_dispatch(b->reply);
	b->driver->reopen(b);
}

/* ---- what a careful sender does ---- */

struct sender {
	struct log *log;
	struct mailbox *reply;
	struct mail room; /* posted to reply by on_room */
	uint64_t producer;
	uint32_t count;
	size_t len;
	uint64_t *first; /* of batch i: position in the ack */
	unsigned unknown, refused, busy;
};

static void
append_or_wait(struct sender *s, struct test_batch *t)
{
	enum log_append rc;

	t->answered = false;
	while ((rc = log_append(s->log, &t->s)) == LOG_BUSY) {
		s->busy++;
		mailbox_wait(s->reply, 10);
		log_dispatch(s->reply);
	}
	if (rc != LOG_QUEUED)
		fail_msg("append: %d", (int)rc);
}

/* Send `count` batches, up to 16 at a time, each again until it is durable. */
static void *
send_all(void *arg)
{
	struct sender *s = arg;
	struct test_batch *flight[16] = { NULL };
	uint32_t sent = 0, done = 0;

	while (done < s->count) {
		for (unsigned i = 0; i < 16 && sent < s->count; i++)
			if (flight[i] == NULL) {
				flight[i] = test_batch_new(s->producer, sent++, s->len < 1000 ? 1 + i % 3 : 1, s->len,
							   LOG_CLASS_NORMAL, s->reply);
				append_or_wait(s, flight[i]);
			}
		assert_true(mailbox_wait(s->reply, 20000));
		log_dispatch(s->reply);
		for (unsigned i = 0; i < 16; i++) {
			struct test_batch *t = flight[i];

			if (t == NULL || !t->answered)
				continue;
			s->unknown += t->s.outcome == LOG_UNKNOWN;
			s->refused += t->s.outcome == LOG_REFUSED;
			if (t->s.outcome != LOG_DURABLE) {
				append_or_wait(s, t);
				continue;
			}
			s->first[t->number] = t->s.first;
			test_batch_free(t);
			flight[i] = NULL;
			done++;
		}
	}
	return NULL;
}

static void
sender_init(struct sender *s, struct bench *b, uint64_t producer, uint32_t count, size_t len)
{
	*s = (struct sender){ .log = b->log, .reply = mailbox_new(), .producer = producer, .count = count, .len = len };
	s->first = calloc(count, sizeof(*s->first));
}

static void
sender_fini(struct sender *s)
{
	mailbox_free(s->reply);
	free(s->first);
}

/* ---- cases ---- */

/* Many senders at once: everything acknowledged is there, at the acknowledged position;
 * positions rise; duplicates carry the same producer and number. */
static void
concurrent_senders_lose_nothing(void **state)
{
	struct bench *b = *state;
	enum { SENDERS = 4, COUNT = 300 };
	struct sender s[SENDERS];
	pthread_t thread[SENDERS];
	bool *seen = calloc(SENDERS * COUNT, 1), *at_ack = calloc(SENDERS * COUNT, 1);
	struct log_reader *r;
	struct batch_view v;
	uint64_t last = 0, first, end;
	struct log_id id;

	for (unsigned i = 0; i < SENDERS; i++) {
		sender_init(&s[i], b, i, COUNT, 700);
		assert_int_equal(pthread_create(&thread[i], NULL, send_all, &s[i]), 0);
	}
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(thread[i], NULL);
	log_bounds(b->log, &first, &end, &id);
	r = log_reader_new(b->log, 0);
	while (log_read(r, &v, 0) == LOG_BATCH) {
		assert_true(v.first > last && v.first >= first && v.next > v.first && v.next <= end);
		assert_true(v.producer < SENDERS && v.number < COUNT);
		assert_true(test_batch_is(&v, v.n, 700));
		seen[v.producer * COUNT + v.number] = true;
		if (s[v.producer].first[v.number] == v.first)
			at_ack[v.producer * COUNT + v.number] = true;
		last = v.first;
	}
	for (unsigned i = 0; i < SENDERS * COUNT; i++)
		assert_true(seen[i] && at_ack[i]);
	log_reader_free(r);
	for (unsigned i = 0; i < SENDERS; i++)
		sender_fini(&s[i]);
	free(seen);
	free(at_ack);
}

/* A second reader, and one that starts anywhere, see the same history. */
static void
readers_agree(void **state)
{
	struct bench *b = *state;
	struct log_reader *one, *two, *three;
	struct batch_view v, w;
	struct sender s;

	sender_init(&s, b, 7, 200, 300);
	send_all(&s);
	one = log_reader_new(b->log, 0);
	two = log_reader_new(b->log, 0);
	for (unsigned i = 0; log_read(one, &v, 0) == LOG_BATCH; i++) {
		assert_int_equal(log_read(two, &w, 0), LOG_BATCH);
		assert_true(v.first == w.first && v.next == w.next && v.producer == w.producer && v.number == w.number);
		assert_int_equal(v.len, w.len);
		assert_memory_equal(v.bytes, w.bytes, v.len);
		if (i % 10 != 0)
			continue;
		three = log_reader_new(b->log, v.first + v.n - 1); /* a record's position finds its batch */
		assert_int_equal(log_read(three, &w, 0), LOG_BATCH);
		assert_true(v.first == w.first);
		log_reader_seek(three, v.first);
		assert_int_equal(log_read(three, &w, 0), LOG_BATCH);
		assert_true(v.first == w.first);
		log_reader_free(three);
	}
	assert_int_equal(log_read(two, &w, 0), LOG_WAIT);
	log_reader_free(one);
	log_reader_free(two);
	sender_fini(&s);
}

struct waiter {
	struct log_reader *reader;
	unsigned batches, waits;
};

/* Reads until it was woken: WAIT long before the time-out. */
static void *
wait_for_batches(void *arg)
{
	struct waiter *w = arg;
	struct batch_view v;

	for (;;)
		switch (log_read(w->reader, &v, 20000)) {
		case LOG_BATCH:
			w->batches++;
			break;
		case LOG_WAIT:
			w->waits++;
			return NULL;
		case LOG_TRUNCATED:
		case LOG_REWOUND:
		case LOG_BROKEN_READ:
			return NULL;
		}
}

static void
reader_waits_at_the_end(void **state)
{
	struct bench *b = *state;
	struct waiter w = { .reader = log_reader_new(b->log, 0) };
	struct batch_view v;
	struct sender s;
	pthread_t thread;

	assert_int_equal(log_read(w.reader, &v, 0), LOG_WAIT);
	assert_int_equal(log_read(w.reader, &v, 20), LOG_WAIT);
	log_reader_wake(w.reader);
	assert_int_equal(log_read(w.reader, &v, 20000), LOG_WAIT); /* a wake-up is not lost */
	assert_int_equal(pthread_create(&thread, NULL, wait_for_batches, &w), 0);
	sender_init(&s, b, 1, 50, 100);
	send_all(&s);
	log_reader_wake(w.reader);
	pthread_join(thread, NULL);
	assert_int_equal(w.waits, 1);
	while (log_read(w.reader, &v, 0) == LOG_BATCH)
		w.batches++;
	assert_true(w.batches >= 50);
	log_reader_free(w.reader);
	sender_fini(&s);
}

static void
reading_goes_on_after_reopening(void **state)
{
	struct bench *b = *state;
	struct log_reader *r;
	struct batch_view v;
	struct log_id id, again;
	uint64_t first, end, next, seen = 0;
	struct sender s;

	sender_init(&s, b, 1, 60, 100);
	send_all(&s);
	r = log_reader_new(b->log, 0);
	for (int i = 0; i < 30; i++)
		assert_int_equal(log_read(r, &v, 0), LOG_BATCH);
	next = v.next;
	log_reader_free(r);
	log_bounds(b->log, &first, &end, &id);
	sender_fini(&s);
	reopen(b);
	log_bounds(b->log, &first, &end, &again);
	assert_memory_equal(&id, &again, sizeof(id));
	sender_init(&s, b, 2, 60, 100);
	send_all(&s);
	for (uint32_t i = 0; i < 60; i++)
		assert_true(s.first[i] >= end);
	r = log_reader_new(b->log, next);
	while (log_read(r, &v, 0) == LOG_BATCH) {
		assert_true(v.first >= next);
		seen++;
	}
	assert_true(seen >= 30 + 60);
	log_reader_free(r);
	sender_fini(&s);
}

/* What was queued when the log is closed is answered, each exactly once. */
static void
closing_answers_everything(void **state)
{
	struct bench *b = *state;
	struct test_batch *t[100];
	unsigned queued = 0;

	for (unsigned i = 0; i < 100; i++) {
		t[i] = test_batch_new(1, i, 2, 500, LOG_CLASS_NORMAL, b->reply);
		if (log_append(b->log, &t[i]->s) == LOG_QUEUED)
			queued++;
		else
			t[i]->answered = true;
	}
	assert_true(queued > 0);
	reopen(b);
	for (unsigned i = 0; i < 100; i++) {
		assert_true(t[i]->answered);
		test_batch_free(t[i]);
	}
}

static void
largest_batches_fit(void **state)
{
	struct bench *b = *state;
	struct test_batch *t[2];
	struct log_reader *r = log_reader_new(b->log, 0);
	struct batch_view v;

	t[0] = test_batch_new(1, 0, 2, RECORD_MAX_BYTES - RECORD_HEADER - BATCH_HEADER / 2, LOG_CLASS_NORMAL, b->reply);
	assert_int_equal(t[0]->s.len, BATCH_MAX_BYTES);
	t[1] = test_batch_new(1, 1, (BATCH_MAX_BYTES - BATCH_HEADER) / RECORD_HEADER, 0, LOG_CLASS_NORMAL, b->reply);
	for (unsigned i = 0; i < 2; i++) {
		struct sender s = { .log = b->log, .reply = b->reply };

		do {
			append_or_wait(&s, t[i]);
			wait_answer(b->reply, t[i]);
		} while (t[i]->s.outcome != LOG_DURABLE);
		do
			assert_int_equal(log_read(r, &v, 1000), LOG_BATCH);
		while (v.number != i || v.first != t[i]->s.first);
		assert_int_equal(v.len, t[i]->s.len);
		assert_memory_equal(v.bytes, t[i]->s.bytes, v.len);
		test_batch_free(t[i]);
	}
	log_reader_free(r);
}

/* A reader below what is kept is told so, once, with the oldest position, and reads on there. */
static void
truncation_is_explicit(void **state)
{
	struct bench *b = *state;
	struct log_reader *r, *slow = log_reader_new(b->log, 0);
	struct batch_view v;
	uint64_t first, end, from, number;
	struct log_id id;
	struct sender s;

	sender_init(&s, b, 1, 40, 100000);
	send_all(&s);
	assert_int_equal(log_read(slow, &v, 0), LOG_BATCH);
	from = v.first;
	log_bounds(b->log, &first, &end, &id);
	b->driver->truncate(b, end);
	r = log_reader_new(b->log, from);
	assert_int_equal(log_read(r, &v, 0), LOG_TRUNCATED);
	log_bounds(b->log, &first, &end, &id);
	assert_true(v.first > from && v.first == first);
	assert_int_equal(log_read(r, &v, 0), LOG_BATCH);
	assert_true(v.first >= first);
	number = v.first;
	log_reader_free(r);
	/* One that was inside when it went: told as well, never given anything else. */
	for (;;) {
		enum log_read rc = log_read(slow, &v, 0);

		if (rc == LOG_TRUNCATED) {
			assert_true(v.first == first);
			assert_int_equal(log_read(slow, &v, 0), LOG_BATCH);
			assert_true(v.first == number);
			break;
		}
		assert_int_equal(rc, LOG_BATCH);
		assert_true(test_batch_is(&v, v.n, 100000) && v.first < number);
	}
	log_reader_free(slow);
	r = log_reader_new(b->log, 0);
	assert_int_equal(log_read(r, &v, 0), LOG_BATCH);
	assert_true(v.first == number);
	log_reader_free(r);
	sender_fini(&s);
}

static void
a_future_position_is_another_history(void **state)
{
	struct bench *b = *state;
	uint64_t first, end, pos;
	struct log_reader *r;
	struct batch_view v;
	struct log_id id;
	struct sender s;

	sender_init(&s, b, 1, 3, 100);
	send_all(&s);
	pos = s.first[2];
	log_bounds(b->log, &first, &end, &id);
	r = log_reader_new(b->log, end + (1ull << 40));
	assert_true(pos < end);
	assert_int_equal(log_read(r, &v, 0), LOG_REWOUND);
	log_reader_free(r);
	sender_fini(&s);
}

struct room {
	_Atomic unsigned calls;
};

static void
count_room(void *arg)
{
	atomic_fetch_add(&((struct room *)arg)->calls, 1);
}

/* After LOG_BUSY the watch is called, and appending works again. */
static void
busy_ends(void **state)
{
	struct bench *b = *state;
	struct room room = { 0 };
	enum { N = 100 };
	struct test_batch *t[N];
	unsigned busy = 0;

	log_on_room(b->log, count_room, &room);
	for (unsigned i = 0; i < N; i++)
		t[i] = test_batch_new(1, i, 1, 200000, LOG_CLASS_NORMAL, b->reply);
	for (unsigned i = 0; i < N; i++) {
		enum log_append rc = log_append(b->log, &t[i]->s);

		assert_true(rc == LOG_QUEUED || rc == LOG_BUSY);
		busy += rc == LOG_BUSY;
		t[i]->answered = rc == LOG_BUSY;
	}
	assert_true(busy > 0);
	for (unsigned i = 0; i < N; i++) {
		wait_answer(b->reply, t[i]);
		test_batch_free(t[i]);
	}
	for (int i = 0; i < 2000 && atomic_load(&room.calls) == 0; i++)
		mailbox_wait(b->reply, 10);
	assert_true(atomic_load(&room.calls) > 0);
	log_on_room(b->log, NULL, &room);
}

/* ---- the journal ---- */

static void
journal_again(struct bench *b)
{
	const struct journal_options o = { .segment_bytes = JOURNAL_SEGMENT_MIN, .queue_bytes = 4 << 20 };
	char err[512] = "";

	if ((b->log = journal_open(b->dir, &o, err, sizeof(err))) == NULL)
		fail_msg("%s", err);
}

static void
journal_start(struct bench *b)
{
	b->dir = temp_dir_new();
	journal_again(b);
}

static void
journal_truncate(struct bench *b, uint64_t below)
{
	const struct journal_options o = { .keep_bytes = 1 };
	uint64_t first, before, end;
	struct log_id id;

	log_bounds(b->log, &before, &end, &id);
	log_release_below(b->log, LOG_FLOOR_LEDGER, below);
	journal_configure(b->log, &o);
	do {
		mailbox_wait(b->reply, 5);
		log_bounds(b->log, &first, &end, &id);
	} while (first == before || below - first > 10 * 0x10000); /* ten fit into the last segment */
}

static void
journal_stop(struct bench *b)
{
	temp_dir_free(b->dir);
}

static const struct driver journal = {
	"journal", journal_start, journal_again, journal_truncate, journal_stop,
};

/* ---- the fake ---- */

static void
fake_again(struct bench *b)
{
	b->log = fake_log_open(b->store);
}

static void
fake_start(struct bench *b)
{
	const struct fake_options o = {
		.seed = 4, .threaded = true, .busy = 20, .unknown = 40, .refused = 10, .twice = 20, .sparse = 50
	};

	b->store = fake_store_new(&o);
	fake_again(b);
}

static void
fake_truncate(struct bench *b, uint64_t below)
{
	fake_store_truncate(b->store, below - 5 * 0x10000);
}

static void
fake_stop(struct bench *b)
{
	fake_store_free(b->store);
}

static const struct driver fake = { "fake", fake_start, fake_again, fake_truncate, fake_stop };

int
main(void)
{
	static const struct driver *const drivers[] = { &journal, &fake };
	static const struct {
		const char *name;
		void (*fn)(void **);
	} cases[] = {
#define CASE(fn) { #fn, fn }
		CASE(concurrent_senders_lose_nothing),
		CASE(readers_agree),
		CASE(reader_waits_at_the_end),
		CASE(reading_goes_on_after_reopening),
		CASE(closing_answers_everything),
		CASE(largest_batches_fit),
		CASE(truncation_is_explicit),
		CASE(a_future_position_is_another_history),
		CASE(busy_ends),
	};
	enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };
	int failed = 0;

	for (size_t d = 0; d < sizeof(drivers) / sizeof(drivers[0]); d++) {
		struct CMUnitTest tests[N_CASES];

		for (size_t i = 0; i < N_CASES; i++)
			tests[i] = (struct CMUnitTest){ cases[i].name, cases[i].fn, setup, teardown,
							(void *)(uintptr_t)drivers[d] };
		printf("== %s\n", drivers[d]->name);
		failed += _cmocka_run_group_tests(drivers[d]->name, tests, N_CASES, NULL, NULL);
	}
	return failed;
}
