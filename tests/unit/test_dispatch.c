/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/counters.h"
#include "collector/workers/checkpoint.h"
#include "collector/workers/dispatch.h"
#include "collector/workers/dumps.h"
#include "collector/workers/worker.h"
#include "collector/workers/zygote.h"
#include "proto/log.pb-c.h"
#include "proto/pbarena.h"
#include "proto/report.h"
#include "tests/unit/fake_log.h"
#include "tests/unit/log_help.h"

/* The workers of this test: the real analysis, but some images hang or crash it. */
static size_t
act(const void *image, size_t size, struct images *images, void *out, size_t cap)
{
	static volatile unsigned sink;

	if (size >= 4 && memcmp(image, "hang", 4) == 0)
		for (;;)
			sink++;
	if (size >= 4 && memcmp(image, "kill", 4) == 0)
		abort();
	return worker_triage(image, size, images, out, cap);
}

/* ---- fixture: a store, a log in memory, a reader of what triage wrote ---- */

#define MAX_FOUND 512

struct seen {
	uint64_t report;
	uint32_t outcome;
	uint8_t sha256[SHA256_BYTES];
	char error[WORKER_WHAT_MAX];
	char format[32], module[64], reason[64];
};

struct fixture {
	char *dir;
	struct fake_store *store;
	struct log *log;
	struct mailbox *reply;
	struct dumps *dumps;
	struct dispatch *d;
	struct log_reader *reader;
	struct pool_options o;
	uint64_t number;
	int commits;
	size_t n;
	struct seen seen[MAX_FOUND];
};

static void
start(struct fixture *f)
{
	char err[256];

	f->d = dispatch_start(f->dir, f->log, f->dumps, &f->o, err, sizeof(err));
	if (f->d == NULL)
		fail_msg("%s", err);
}

static void
stop(struct fixture *f)
{
	dispatch_stop(f->d);
	f->d = NULL;
}

static int
setup(void **state)
{
	const struct fake_options fo = { .seed = 1, .threaded = true };
	const struct dumps_options o = {
		.max_dump = 1 << 20, .keep_bytes = 1 << 24, .per_signature = 3, .keep_days = 30
	};
	struct fixture *f = calloc(1, sizeof(*f));
	char err[256];

	f->dir = temp_dir_new();
	f->store = fake_store_new(&fo);
	f->log = fake_log_open(f->store);
	f->reply = mailbox_new();
	f->dumps = dumps_open(f->dir, &o, NULL, err, sizeof(err));
	assert_non_null(f->dumps);
	f->reader = log_reader_new(f->log, 0);
	f->o = (struct pool_options){
		.workers = 2, .timeout_ms = 300, .memory_bytes = 256 << 20, .image_bytes = 1 << 20, .recycle = 100
	};
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	dispatch_stop(f->d);
	dumps_close(f->dumps);
	log_reader_free(f->reader);
	log_close(f->log);
	fake_store_free(f->store);
	mailbox_free(f->reply);
	temp_dir_free(f->dir);
	free(f);
	return 0;
}

static void
on_commit(struct dumps_commit *c)
{
	struct fixture *f = c->arg;

	f->commits++;
}

static void
put_dump(struct fixture *f, const void *bytes, size_t size, uint8_t sha256[SHA256_BYTES])
{
	struct mailbox *reply = mailbox_new();
	struct dumps_commit c = { .reply = reply, .done = on_commit, .arg = f };
	const int before = f->commits;
	enum discard why;
	struct dump_writer *w = dumps_begin(f->dumps, 0, 0, &why);

	assert_non_null(w);
	assert_int_equal(dumps_write(w, bytes, size), DISCARD_none);
	dumps_commit(w, &c);
	while (f->commits == before) {
		assert_true(mailbox_wait(reply, 10000));
		dumps_dispatch(reply);
	}
	assert_int_not_equal(c.outcome, DUMPS_FAILED);
	memcpy(sha256, c.sha256, SHA256_BYTES);
	mailbox_free(reply);
}

struct append {
	struct log_submission s;
	bool done;
};

static void
on_append(struct log_submission *s)
{
	((struct append *)s->arg)->done = true;
}

static uint64_t
append(struct fixture *f, enum record_type type, const void *payload, size_t len)
{
	struct append a = { .s = { .reply = f->reply, .done = on_append, .arg = &a } };
	struct batch_writer w;
	uint64_t first;

	assert_int_equal(batch_writer_init(&w), 0);
	batch_writer_reset(&w);
	memcpy(batch_writer_add(&w, type, 0, clock_wall_us(), len), payload, len);
	batch_writer_finish(&w, 7, ++f->number, 0);
	a.s.bytes = w.bytes;
	a.s.len = w.len;
	assert_int_equal(log_append(f->log, &a.s), LOG_QUEUED);
	while (!a.done) {
		mailbox_wait(f->reply, 10000);
		log_dispatch(f->reply);
	}
	assert_int_equal(a.s.outcome, LOG_DURABLE);
	first = a.s.first;
	batch_writer_fini(&w);
	return batch_record_pos(first, 0);
}

/* A report as a gate logs it; returns its position. */
static uint64_t
put_report(struct fixture *f, const uint8_t *sha256)
{
	struct report r = { .epoch = 1, .seq = ++f->number, .reason = TEXT("SIGSEGV"), .host = TEXT("h"), .count = 1 },
		      back;
	struct report_stamp s = { .host_hash = 42, .site = TEXT("berlin") };
	uint8_t raw[1024], record[2048];
	struct diag diag;
	size_t n;

	if (sha256 != NULL) {
		s.dump_sha256 = (struct text){ (const char *)sha256, SHA256_BYTES };
		s.dump_size = 4;
	}
	n = report_encode(&r, NULL, raw, sizeof(raw));
	assert_int_equal(report_decode(raw, n, &back, &diag), DISCARD_none);
	n = report_record_size(&back, &s);
	report_record_write(&back, &s, record);
	return append(f, RECORD_REPORT, record, n);
}

static void
remember(struct fixture *f, const struct record_view *r)
{
	struct arena *a = arena_new(1 << 20);
	ProtobufCAllocator alloc = pbarena(a);
	const Faultline__Log__TriageResult *m =
		faultline__log__triage_result__unpack(&alloc, r->payload_len, r->payload);
	struct seen *s = &f->seen[f->n++];

	assert_non_null(m);
	assert_true(f->n < MAX_FOUND);
	s->report = m->report;
	s->outcome = m->outcome;
	assert_int_equal(m->sha256.len, SHA256_BYTES);
	memcpy(s->sha256, m->sha256.data, SHA256_BYTES);
	snprintf(s->error, sizeof(s->error), "%s", m->error);
	snprintf(s->format, sizeof(s->format), "%s", m->format);
	snprintf(s->module, sizeof(s->module), "%s", m->module);
	snprintf(s->reason, sizeof(s->reason), "%s", m->reason);
	arena_free(a);
}

/* Read the log until n results were seen; with n above what comes, fails. */
static void
await(struct fixture *f, size_t n)
{
	const int64_t end = clock_boot_us() + 60000000;
	struct record_view r;
	struct batch_view b;
	uint32_t cursor;

	while (f->n < n) {
		assert_true(clock_boot_us() < end);
		if (log_read(f->reader, &b, 1000) != LOG_BATCH)
			continue;
		for (cursor = 0; batch_next(&b, &cursor, &r, NULL);)
			if (r.type == RECORD_TRIAGE_RESULT)
				remember(f, &r);
	}
}

static size_t
results_of(const struct fixture *f, uint64_t report)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->seen[i].report == report;
	return n;
}

/* ---- tests ---- */

static void
stamp_tells_the_dump_without_decoding(void **state)
{
	uint8_t sha[SHA256_BYTES], raw[256], record[1024];
	struct report r = { .host = TEXT("h"), .count = 1 }, back;
	struct report_stamp s = { .host_hash = 42, .site = TEXT("x") };
	const uint64_t sizes[] = { 0, 1, 127, 128, 1 << 20, UINT64_MAX };
	struct text got;
	struct diag diag;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		random_bytes(sha, sizeof(sha));
		sha[3] = 0xe2, sha[4] = 2, sha[5] = 32; /* looks like the field itself */
		s.dump_sha256 = (struct text){ (const char *)sha, sizeof(sha) };
		s.dump_size = sizes[i];
		n = report_encode(&r, NULL, raw, sizeof(raw));
		assert_int_equal(report_decode(raw, n, &back, &diag), DISCARD_none);
		n = report_record_size(&back, &s);
		report_record_write(&back, &s, record);
		assert_true(report_record_dump(record, n, &got));
		assert_int_equal(got.len, SHA256_BYTES);
		assert_memory_equal(got.at, sha, SHA256_BYTES);
		s.dump_sha256 = (struct text){ 0 };
		n = report_record_size(&back, &s);
		report_record_write(&back, &s, record);
		assert_false(report_record_dump(record, n, &got));
	}
	assert_false(report_record_dump(record, 0, &got));
}

static void
every_dump_the_log_names_is_triaged_once(void **state)
{
	struct fixture *f = *state;
	uint8_t sha[2][SHA256_BYTES], stored[64];
	uint64_t report[4];
	size_t len;

	start(f);
	put_dump(f, "not a dump", 10, sha[0]);
	put_dump(f, "neither", 7, sha[1]);
	report[0] = put_report(f, sha[0]);
	report[1] = put_report(f, NULL);
	report[2] = put_report(f, NULL);
	{
		Faultline__Log__DumpStored m;

		faultline__log__dump_stored__init(&m);
		m.report = report[2];
		m.sha256 = (ProtobufCBinaryData){ SHA256_BYTES, sha[1] };
		m.size = 7;
		len = faultline__log__dump_stored__pack(&m, stored);
	}
	append(f, RECORD_DUMP_STORED, stored, len);
	await(f, 2);
	assert_int_equal(results_of(f, report[0]), 1);
	assert_int_equal(results_of(f, report[1]), 0);
	assert_int_equal(results_of(f, report[2]), 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(f->seen[i].outcome, ERR_UNSUPPORTED);
		assert_int_not_equal(f->seen[i].error[0], '\0');
	}
	assert_memory_equal(f->seen[0].sha256, f->seen[0].report == report[0] ? sha[0] : sha[1], SHA256_BYTES);
	/* after a clean stop nothing is done again */
	stop(f);
	start(f);
	report[3] = put_report(f, sha[0]);
	await(f, 3);
	assert_int_equal(f->seen[2].report, report[3]);
}

static void
without_its_checkpoint_everything_is_done_again(void **state)
{
	struct fixture *f = *state;
	uint8_t sha[SHA256_BYTES];
	char path[512];
	uint64_t report;

	put_dump(f, "not a dump", 10, sha);
	report = put_report(f, sha);
	start(f);
	await(f, 1);
	stop(f);
	snprintf(path, sizeof(path), "%s/triage.checkpoint", f->dir);
	assert_int_equal(unlink(path), 0);
	start(f);
	await(f, 2);
	assert_int_equal(results_of(f, report), 2);
}

static void
dump_that_is_not_kept_is_said_so(void **state)
{
	struct fixture *f = *state;
	uint8_t sha[SHA256_BYTES] = { 1 };

	start(f);
	put_report(f, sha);
	await(f, 1);
	assert_int_equal(f->seen[0].outcome, ERR_ABSENT);
}

static void
killer(struct fixture *f, const char *image, enum err expected)
{
	const uint64_t killed = counter_get(COUNTER_triage_killed);
	uint8_t bad[SHA256_BYTES], good[SHA256_BYTES];

	start(f);
	put_dump(f, image, 4, bad);
	put_dump(f, "good", 4, good);
	put_report(f, bad);
	for (int i = 0; i < 20; i++)
		put_report(f, good);
	await(f, 21);
	assert_int_equal(counter_get(COUNTER_triage_killed) - killed, 2);
	for (int i = 0; i < 21; i++)
		assert_int_equal(f->seen[i].outcome,
				 memcmp(f->seen[i].sha256, bad, SHA256_BYTES) == 0 ? expected : ERR_UNSUPPORTED);
	/* it is not tried a third time, whoever sends it */
	stop(f);
	start(f);
	put_report(f, bad);
	await(f, 22);
	assert_int_equal(f->seen[21].outcome, expected);
	assert_int_equal(counter_get(COUNTER_triage_killed) - killed, 2);
}

static void
dump_that_hangs_costs_two_workers_for_ever(void **state)
{
	killer(*state, "hang", ERR_TIMEOUT);
}

static void
dump_that_crashes_costs_two_workers_for_ever(void **state)
{
	killer(*state, "kill", ERR_CRASHED);
}

static void
kills_of_an_earlier_run_count(void **state)
{
	struct fixture *f = *state;
	const uint64_t killed = counter_get(COUNTER_triage_killed);
	struct checkpoint *c = calloc(1, sizeof(*c));
	uint64_t first, end;
	uint8_t sha[SHA256_BYTES];
	struct log_id id;

	put_dump(f, "kill", 4, sha);
	log_bounds(f->log, &first, &end, &id);
	assert_int_equal(checkpoint_load(c, f->dir, id.uuid), 0);
	assert_int_equal(checkpoint_kill(c, sha, ERR_CRASHED), 1);
	assert_int_equal(checkpoint_save(c), 0);
	start(f);
	put_report(f, sha);
	await(f, 1);
	assert_int_equal(f->seen[0].outcome, ERR_CRASHED);
	assert_int_equal(counter_get(COUNTER_triage_killed) - killed, 1);
	free(c);
}

static void
checkpoint_of_another_log_starts_again_but_keeps_its_notes(void **state)
{
	struct fixture *f = *state;
	const uint8_t here[16] = { 1 }, there[16] = { 2 }, sha[SHA256_BYTES] = { 9 };
	struct checkpoint *c = calloc(1, sizeof(*c));
	char cmd[600];

	assert_int_equal(checkpoint_load(c, f->dir, here), 0);
	assert_int_equal(c->position, 0);
	c->position = 12345;
	checkpoint_kill(c, sha, ERR_TIMEOUT);
	assert_int_equal(checkpoint_save(c), 0);
	assert_int_equal(checkpoint_load(c, f->dir, here), 0);
	assert_int_equal(c->position, 12345);
	assert_int_equal(checkpoint_load(c, f->dir, there), 0);
	assert_int_equal(c->position, 0);
	assert_non_null(checkpoint_find(c, sha));
	assert_int_equal(checkpoint_find(c, sha)->last, ERR_TIMEOUT);
	/* torn: no "end" line */
	snprintf(cmd, sizeof(cmd), "sed -i '$d' %s/triage.checkpoint", f->dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(checkpoint_load(c, f->dir, here), 0);
	assert_int_equal(c->position, 0);
	for (uint32_t i = 0; i < 2 * CHECKPOINT_NOTES; i++) {
		uint8_t other[SHA256_BYTES] = { (uint8_t)i, (uint8_t)(i >> 8), 7 };

		checkpoint_kill(c, other, ERR_CRASHED);
	}
	assert_int_equal(c->n_notes, CHECKPOINT_NOTES);
	assert_int_equal(checkpoint_save(c), 0);
	free(c);
}

static void
results_wait_for_a_log_that_refuses(void **state)
{
	struct fixture *f = *state;
	uint8_t sha[SHA256_BYTES];

	put_dump(f, "not a dump", 10, sha);
	for (int i = 0; i < 5; i++)
		put_report(f, sha);
	fake_store_answer(f->store, LOG_FULL, 1);
	start(f);
	await(f, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(results_of(f, f->seen[i].report), 1);
}

static void
more_dumps_than_are_taken_up_at_once(void **state)
{
	struct fixture *f = *state;
	uint8_t sha[SHA256_BYTES];

	put_dump(f, "not a dump", 10, sha);
	for (int i = 0; i < 400; i++)
		put_report(f, sha);
	start(f);
	await(f, 400);
	stop(f);
	assert_int_equal(counter_get(COUNTER_triage_queue), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(stamp_tells_the_dump_without_decoding),
		T(every_dump_the_log_names_is_triaged_once),
		T(without_its_checkpoint_everything_is_done_again),
		T(dump_that_is_not_kept_is_said_so),
		T(dump_that_hangs_costs_two_workers_for_ever),
		T(dump_that_crashes_costs_two_workers_for_ever),
		T(kills_of_an_earlier_run_count),
		T(checkpoint_of_another_log_starts_again_but_keeps_its_notes),
		T(results_wait_for_a_log_that_refuses),
		T(more_dumps_than_are_taken_up_at_once),
	};

	if (zygote_requested(argc, argv))
		return zygote_main(act);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
