/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger thread over a real journal, with snapshots in files. */
#include "config.h"

#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/counters.h"
#include "collector/fold/fold.h"
#include "collector/log/journal.h"
#include "collector/store/outcomes.h"
#include "tests/unit/fake_log.h"
#include "tests/unit/ledger_help.h"
#include "tests/unit/log_help.h"

struct world {
	char *dir;
	char snapshots[512];
	struct log *log;
	struct fold *fold;
	struct scribe s;
	struct mailbox *reply;
	size_t appended;
	uint64_t last; /* position of the last batch */
	/* told by the fold */
	_Atomic unsigned decisions, changes, puts;
	_Atomic uint64_t rewound, decided, put_bits;
};

static void
on_decide(void *arg, const struct fold_decision *d)
{
	struct world *w = arg;

	assert_true(d->proof != NULL && d->proof_len > 0);
	w->decisions++;
}

static void
on_changed(void *arg)
{
	struct world *w = arg;

	w->changes++;
}

static void
on_rewind(void *arg, uint64_t from)
{
	((struct world *)arg)->rewound = from;
}

static void
on_put(void *arg, uint64_t pos, uint32_t bits)
{
	struct world *w = arg;

	(void)pos;
	w->puts++;
	w->put_bits |= bits;
}

static void
on_decided(void *arg, uint64_t next)
{
	((struct world *)arg)->decided = next;
}

static int
on_sync(void *arg, int *fd_out)
{
	(void)arg;
	*fd_out = -1;
	return 0;
}

static void
open_log(struct world *w)
{
	struct journal_options o = { .segment_bytes = 1 << 20, .keep_bytes = 1 << 30, .keep_age_ms = 1000000000 };
	char err[256] = "", path[1024];

	snprintf(path, sizeof(path), "%s/log", w->dir);
	mkdir(path, 0700);
	w->log = journal_open(path, &o, err, sizeof(err));
	if (w->log == NULL)
		fail_msg("%s", err);
}

static bool
start_fold(struct world *w, char *err, size_t err_size)
{
	static struct fold_outcomes outcomes;
	struct fold_options o = { .log = w->log,
				  .outcomes = &outcomes,
				  .snapshot_dir = w->snapshots,
				  .snapshot_interval_ms = 3600000,
				  .snapshot_records = 0,
				  .decide = on_decide,
				  .changed = on_changed,
				  .arg = w };

	outcomes = (struct fold_outcomes){ w, on_rewind, on_put, on_decided, on_sync };
	w->fold = fold_start(&o, err, err_size);
	return w->fold != NULL;
}

static void
must_start(struct world *w)
{
	char err[1024] = "";

	if (!start_fold(w, err, sizeof(err)))
		fail_msg("%s", err);
}

static void
world_fini(struct world *w)
{
	fold_stop(w->fold);
	log_close(w->log);
	log_dispatch(w->reply);
	mailbox_free(w->reply);
	scribe_fini(&w->s);
	temp_dir_free(w->dir);
}

static void
done(struct log_submission *s)
{
	*(bool *)s->arg = true;
}

/* Append what the scribe wrote since the last time; wait until it is durable. */
static void
append_all(struct world *w)
{
	for (; w->appended < w->s.n_kept; w->appended++) {
		bool answered = false;
		struct log_submission s = { .bytes = w->s.kept[w->appended].bytes,
					    .len = w->s.kept[w->appended].len,
					    .class = LOG_CLASS_VITAL,
					    .reply = w->reply,
					    .done = done,
					    .arg = &answered };

		assert_int_equal(log_append(w->log, &s), LOG_QUEUED);
		while (!answered) {
			mailbox_wait(w->reply, -1);
			log_dispatch(w->reply);
		}
		assert_int_equal(s.outcome, LOG_DURABLE);
		w->last = s.first;
	}
}

static void
world_init(struct world *w)
{
	*w = (struct world){ .dir = temp_dir_new(), .reply = mailbox_new() };
	snprintf(w->snapshots, sizeof(w->snapshots), "%s/snapshots", w->dir);
	mkdir(w->snapshots, 0700);
	scribe_init(&w->s, NULL);
	open_log(w);
	scribe_record(&w->s, RECORD_SEED, "", 0);
	append_all(w);
}

/* Until everything appended is visible. */
static void
settle(struct world *w)
{
	while (fold_position(w->fold) <= w->last && fold_failed(w->fold) == NULL)
		sched_yield();
}

struct question {
	struct fold_query q;
	uint8_t digest[32];
	struct ledger_stats stats;
};

static void
on_question(struct fold_query *q, const struct ledger *l)
{
	struct question *me = q->arg;

	ledger_digest(l, me->digest);
	ledger_stats(l, &me->stats);
}

static struct question
ask(struct world *w)
{
	struct question me = { .q = { .ask = on_question, .reply = w->reply } };

	me.q.arg = &me;
	assert_true(fold_ask(w->fold, &me.q));
	while (mailbox_take(w->reply) == NULL)
		mailbox_wait(w->reply, -1);
	return me;
}

static void
bad_rollout(struct world *w)
{
	struct crash c = { .module = "bad.sys", .offset = 16, .epoch = 1, .seq = 1, .kind = REPORT_KERNEL };
	uint64_t hosts[20];

	scribe_fleet(&w->s, 1, 2000);
	scribe_tick(&w->s, 3700 * 1000000ll);
	scribe_fleet(&w->s, 1, 2000); /* known for an hour, and there */
	scribe_deploy(&w->s, "d", 0, 1000, "armed");
	for (uint64_t i = 0; i < 20; i++)
		hosts[i] = i * 10 + 1;
	scribe_serve(&w->s, "d", hosts, 20);
	for (c.host = 1; c.host < 60; c.host += 10)
		scribe_crash(&w->s, &c);
	c.host = 1;
	scribe_crash(&w->s, &c);
}

static void
test_live(void **state)
{
	const struct view_deployment *d;
	const struct fold_view *v;
	struct fold_event events[16];
	uint64_t from, last;
	struct host_map_reader *r;
	uint32_t no, print;
	struct world w;
	bool missed;
	size_t n;

	(void)state;
	world_init(&w);
	scribe_tick(&w.s, 0);
	append_all(&w);
	must_start(&w);
	settle(&w);
	while (!fold_caught_up(w.fold))
		sched_yield();
	fold_events_since(w.fold, UINT64_MAX, NULL, 0, &missed, &from);
	bad_rollout(&w);
	append_all(&w);
	settle(&w);
	v = fold_view_get(w.fold);
	d = fold_view_deployment(v, 0, TEXT("d"));
	assert_non_null(d);
	assert_null(fold_view_deployment(v, 0, TEXT("dd")));
	assert_null(fold_view_deployment(v, 1, TEXT("d")));
	assert_int_equal(d->verdict.verdict, VERDICT_HALT);
	assert_int_equal(v->stats.reports, 6);
	assert_int_equal(v->stats.reports_resent, 1);
	fold_view_put(w.fold, v);
	assert_int_equal(w.decisions, 1);
	assert_true(w.changes > 0);
	assert_int_equal(w.puts, 1);
	assert_int_equal(w.put_bits, OUTCOME_RESENT);
	assert_int_equal(w.decided, w.last + 65536);
	/* events: the deployment, its verdict, the signature, the halt */
	n = fold_events_since(w.fold, from, events, 16, &missed, &last);
	assert_false(missed);
	assert_true(n >= 4);
	assert_int_equal(events[n - 1].kind, EVENT_VERDICT);
	assert_int_equal(events[n - 1].verdict, VERDICT_HALT);
	assert_int_equal(events[n - 1].id, last);
	assert_int_equal(fold_events_since(w.fold, last, events, 16, &missed, &last), 0);
	/* gates look hosts up from their own threads */
	r = fold_host_map(w.fold);
	assert_true(host_map_find(r, 0, 2000, &no, &print));
	assert_int_equal(no, 1999);
	assert_int_not_equal(print, 0);
	assert_false(host_map_find(r, 0, 2001, &no, &print));
	host_map_reader_free(r);
	assert_true(fold_wants_dump(w.fold, 0, 12345));
	world_fini(&w);
}

/* A restart loads the snapshot, replays the tail only, and stands where it stood.  A halt
 * whose Decision never reached the log is asked for again; one that did is not. */
static void
test_restart(void **state)
{
	struct question before, after;
	struct world w;
	uint64_t loaded;

	(void)state;
	world_init(&w);
	must_start(&w);
	bad_rollout(&w);
	append_all(&w);
	settle(&w);
	before = ask(&w);
	loaded = fold_position(w.fold);
	fold_stop(w.fold);
	assert_int_equal(w.decisions, 1);
	must_start(&w);
	while (!fold_caught_up(w.fold))
		sched_yield();
	assert_int_equal(w.rewound, loaded);
	after = ask(&w);
	assert_memory_equal(before.digest, after.digest, 32);
	assert_int_equal(w.decisions, 2);
	scribe_decide(&w.s, "d", FAULTLINE__LOG__ACTION__ACTION_HALT, true, "as told", w.last, false);
	append_all(&w);
	settle(&w);
	before = ask(&w);
	fold_stop(w.fold);
	must_start(&w);
	while (!fold_caught_up(w.fold))
		sched_yield();
	assert_int_equal(w.decisions, 2);
	after = ask(&w);
	assert_memory_equal(before.digest, after.digest, 32);
	world_fini(&w);
}

/* Many snapshots while folding, then the state must equal a fold from the beginning. */
static void
test_many_snapshots(void **state)
{
	struct question a;
	struct ledger *l = ledger_new(NULL);
	uint64_t taken = counter_get(COUNTER_snapshots);
	struct log_reader *r;
	struct batch_view b;
	uint8_t digest[32];
	struct world w;

	(void)state;
	world_init(&w);
	must_start(&w);
	for (int round = 0; round < 8; round++) {
		fold_configure(w.fold, 5, 50);
		scribe_random(&w.s, (uint64_t)round, 300);
		append_all(&w);
		settle(&w);
		if (round % 3 == 2) {
			fold_stop(w.fold);
			must_start(&w);
		}
	}
	settle(&w);
	a = ask(&w);
	assert_true(counter_get(COUNTER_snapshots) > taken + 4);
	r = log_reader_new(w.log, 0);
	while (log_read(r, &b, 0) == LOG_BATCH)
		assert_int_equal(ledger_fold(l, &b), ERR_OK);
	ledger_digest(l, digest);
	assert_memory_equal(a.digest, digest, 32);
	log_reader_free(r);
	ledger_free(l);
	world_fini(&w);
}

static void
patch_file(const char *dir, const char *suffix, long at, uint8_t value)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool patched = false;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name), n = strlen(suffix);
		char path[1024];
		FILE *f;

		if (len < n || strcmp(e->d_name + len - n, suffix) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		f = fopen(path, "r+b");
		assert_non_null(f);
		assert_int_equal(fseek(f, at, SEEK_SET), 0);
		fputc(value, f);
		fclose(f);
		patched = true;
	}
	closedir(d);
	assert_true(patched);
}

/* A damaged snapshot is replaced from the log; one of a newer version is left alone. */
static void
test_damaged_snapshot(void **state)
{
	struct question before, after;
	char err[1024];
	struct world w;

	(void)state;
	world_init(&w);
	must_start(&w);
	bad_rollout(&w);
	append_all(&w);
	settle(&w);
	before = ask(&w);
	fold_stop(w.fold);
	patch_file(w.snapshots, ".chunks", 3000, 0x5a);
	must_start(&w);
	while (!fold_caught_up(w.fold))
		sched_yield();
	assert_int_not_equal(w.rewound, 0);
	after = ask(&w);
	assert_memory_equal(before.digest, after.digest, 32);
	fold_stop(w.fold);
	must_start(&w);
	while (!fold_caught_up(w.fold))
		sched_yield();
	fold_stop(w.fold);
	w.fold = NULL;
	patch_file(w.snapshots, "MANIFEST", 4, 99);
	assert_false(start_fold(&w, err, sizeof(err)));
	assert_non_null(strstr(err, "newer version"));
	world_fini(&w);
}

/* A log that lies about its outcomes, stores twice and skips positions: nothing is lost,
 * nothing counted twice. */
static void
test_nasty_log(void **state)
{
	struct fake_options fo = { .seed = 5, .threaded = true, .busy = 40, .unknown = 60, .twice = 60, .sparse = 3 };
	struct world w = { .reply = mailbox_new() };
	struct fake_store *st = fake_store_new(&fo);
	struct fold_options o = { .changed = on_changed, .arg = &w };
	struct question q;
	char err[256];

	(void)state;
	scribe_init(&w.s, NULL);
	o.log = w.log = fake_log_open(st);
	w.fold = fold_start(&o, err, sizeof(err));
	assert_non_null(w.fold);
	for (unsigned i = 0; i < 300; i++)
		scribe_crash(&w.s, &(struct crash){ .host = 1 + i, .module = "m", .offset = 16 });
	for (size_t i = 0; i < w.s.n_kept; i++)
		for (bool stored = false; !stored;) {
			bool answered = false;
			struct log_submission s = { .bytes = w.s.kept[i].bytes,
						    .len = w.s.kept[i].len,
						    .class = LOG_CLASS_NORMAL,
						    .reply = w.reply,
						    .done = done,
						    .arg = &answered };

			if (log_append(w.log, &s) != LOG_QUEUED)
				continue;
			while (!answered) {
				mailbox_wait(w.reply, -1);
				log_dispatch(w.reply);
			}
			stored = s.outcome == LOG_DURABLE; /* UNKNOWN: the same again */
			if (stored)
				w.last = s.first;
		}
	settle(&w);
	q = ask(&w);
	assert_int_equal(q.stats.reports, 300);
	assert_int_equal(q.stats.hosts, 300);
	assert_true(q.stats.duplicate_batches > 0);
	fold_stop(w.fold);
	log_close(w.log);
	log_dispatch(w.reply);
	fake_store_free(st);
	mailbox_free(w.reply);
	scribe_fini(&w.s);
}

static void
test_unknown_record(void **state)
{
	struct question q;
	struct world w;

	(void)state;
	world_init(&w);
	must_start(&w);
	scribe_crash(&w.s, &(struct crash){ .host = 1, .module = "m" });
	scribe_begin(&w.s);
	scribe_record(&w.s, (enum record_type)9000, "x", 1);
	w.s.w->bytes[BATCH_HEADER + 11] = RECORD_FLAG_REFUSE;
	scribe_commit(&w.s);
	append_all(&w);
	while (fold_failed(w.fold) == NULL)
		sched_yield();
	assert_non_null(strstr(fold_failed(w.fold), "may not skip"));
	q = ask(&w); /* still answers */
	assert_int_equal(q.stats.reports, 1);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_live),           cmocka_unit_test(test_restart),
		cmocka_unit_test(test_many_snapshots), cmocka_unit_test(test_damaged_snapshot),
		cmocka_unit_test(test_nasty_log),      cmocka_unit_test(test_unknown_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
