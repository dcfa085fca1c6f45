/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/logline.h"
#include "collector/log/log.h"
#include "collector/workers/checkpoint.h"
#include "collector/workers/dispatch.h"
#include "collector/workers/dumps.h"
#include "collector/workers/finding.h"
#include "collector/workers/follow.h"
#include "collector/workers/worker.h"
#include "triage/triage.h"

#define MAX_OPEN      256u /* dumps read from the log and not done with */
#define MAX_KILLS     2u
#define CHECKPOINT_US 5000000  /* at most that often */
#define IDLE_US       30000000 /* the log moves on without dumps: look at it */
#define AGAIN_US      1000000  /* before an append is tried again */
#define STOP_US       5000000  /* what a stop waits for the log */

/* One dump, from the log record that names it to the durable result. */
struct task {
	struct task *next; /* in log order */
	struct task *found_next;
	struct find *find;
	struct pool_job job;
	struct dispatch *d;
	struct arena *arena; /* of the payload */
	uint8_t *payload;    /* of the result record */
	size_t payload_len;
	uint64_t signature; /* 0: none */
	bool finished;
};

struct dispatch {
	struct log *log;
	struct dumps *dumps;
	struct pool *pool;
	struct follow *follow;
	struct mailbox *finds;   /* from follow */
	struct mailbox *replies; /* from the log */
	struct mailbox *control; /* stop, or wake after a reload */
	struct mail stop, wake;
	pthread_t thread;
	pthread_mutex_t lock;
	struct pool_options fresh; /* under lock, for the thread to take */
	_Atomic bool reloaded;
	bool stopping;
	int64_t stop_by;

	struct task *first, **last;       /* not finished, and finished behind one that is not */
	struct task *found, **found_last; /* results to append */
	struct task *in_batch;            /* appended, outcome not known */
	struct batch_writer writer;
	struct log_submission sub;
	uint64_t producer, number;
	bool submitted;    /* sub is the log's */
	int64_t append_at; /* boot time; INT64_MAX: when there is room */

	uint64_t scanned; /* everything the log names before this was taken up */
	struct checkpoint checkpoint;
	int64_t saved_us;
};

/* ---- the checkpoint ---- */

static uint64_t
done_before(const struct dispatch *d)
{
	return d->first != NULL ? d->first->find->pos : d->scanned;
}

static void
save(struct dispatch *d)
{
	d->checkpoint.position = done_before(d);
	d->saved_us = clock_boot_us();
	if (checkpoint_save(&d->checkpoint) == -1)
		log_warn("triage", "%s: %s", d->checkpoint.path, strerror(errno));
}

static bool
behind(const struct dispatch *d)
{
	return d->checkpoint.position != done_before(d);
}

static void
task_free(struct task *t)
{
	arena_free(t->arena);
	free(t->find);
	free(t);
}

/* Drop what is finished from the front; everything before the new front is done. */
static void
retire(struct dispatch *d)
{
	while (d->first != NULL && d->first->finished) {
		struct task *t = d->first;

		d->first = t->next;
		if (d->first == NULL)
			d->last = &d->first;
		task_free(t);
	}
}

/* ---- results into the log ---- */

static void submit(struct dispatch *d);

static void
task_finish(struct task *t)
{
	struct dispatch *d = t->d;

	if (t->signature != 0)
		dumps_settle(d->dumps, t->find->sha256, t->find->tenant, t->signature);
	arena_free(t->arena);
	t->arena = NULL;
	t->finished = true;
	counter_sub(COUNTER_triage_queue, 1);
	follow_done(d->follow);
}

static void
on_outcome(struct log_submission *s)
{
	struct dispatch *d = s->arg;

	d->submitted = false;
	if (s->outcome != LOG_DURABLE) {
		d->append_at = clock_boot_us() + AGAIN_US; /* the same batch: the fold drops a second one */
		return;
	}
	for (struct task *t = d->in_batch, *next; t != NULL; t = next) {
		next = t->found_next;
		task_finish(t);
	}
	d->in_batch = NULL;
	retire(d);
	submit(d);
}

/* Move found results into the batch until it is full. */
static void
fill_batch(struct dispatch *d)
{
	struct task **last = &d->in_batch;

	batch_writer_reset(&d->writer);
	while (d->found != NULL) {
		struct task *t = d->found;
		uint8_t *p = batch_writer_add(&d->writer, RECORD_TRIAGE_RESULT, t->find->tenant, clock_wall_us(),
					      t->payload_len);

		if (p == NULL)
			break;
		memcpy(p, t->payload, t->payload_len);
		d->found = t->found_next;
		if (d->found == NULL)
			d->found_last = &d->found;
		t->found_next = NULL;
		*last = t;
		last = &t->found_next;
	}
	batch_writer_finish(&d->writer, d->producer, ++d->number, 0);
}

static void
submit(struct dispatch *d)
{
	if (d->submitted || clock_boot_us() < d->append_at || (d->in_batch == NULL && d->found == NULL))
		return;
	if (d->in_batch == NULL)
		fill_batch(d);
	d->sub = (struct log_submission){ .bytes = d->writer.bytes,
					  .len = d->writer.len,
					  .class = LOG_CLASS_NORMAL,
					  .reply = d->replies,
					  .done = on_outcome,
					  .arg = d };
	switch (log_append(d->log, &d->sub)) {
	case LOG_QUEUED:
		d->submitted = true;
		break;
	case LOG_BUSY:
	case LOG_FULL:
	case LOG_FENCED:
	case LOG_BROKEN:
		d->append_at = clock_boot_us() + AGAIN_US;
		break;
	}
}

static void
found(struct task *t, enum err outcome, const char *what, const struct triage_result *r)
{
	struct dispatch *d = t->d;

	t->payload_len = finding_encode(t->arena, t->find->report, t->find->sha256, outcome, what, r, &t->payload);
	if (t->payload_len == 0) { /* cannot be: the arena has room for it */
		log_error("triage", "out of memory: a result is lost until the next start");
		return;
	}
	counter_add(outcome == ERR_OK ? COUNTER_triage_done : COUNTER_triage_failed, 1);
	*d->found_last = t;
	d->found_last = &t->found_next;
}

/* ---- dumps to the pool ---- */

static void
on_analysed(struct pool_job *job)
{
	struct task *t = job->arg;
	struct dispatch *d = t->d;
	struct triage_result r;
	char what[WORKER_WHAT_MAX] = "the dump is too large for a worker";
	enum err e = job->outcome;

	if (e == ERR_TIMEOUT || e == ERR_CRASHED) {
		uint32_t kills = checkpoint_kill(&d->checkpoint, t->find->sha256, e);

		save(d);
		if (kills < MAX_KILLS) {
			if (!d->stopping) /* else the next start tries it */
				pool_submit(d->pool, job);
			return;
		}
		snprintf(what, sizeof(what), e == ERR_TIMEOUT ? "it took too long" : "it killed the worker");
	}
	close(job->fd);
	job->fd = -1;
	if (e == ERR_OK)
		e = worker_result(t->arena, job->result, job->result_size, &r, what);
	t->signature = e == ERR_OK && r.has_signature ? r.signature : 0;
	found(t, e, what, &r);
}

static void
take_up(struct dispatch *d, struct find *f)
{
	const struct checkpoint_note *note = checkpoint_find(&d->checkpoint, f->sha256);
	struct task *t = calloc(1, sizeof(*t));

	if (t != NULL)
		t->arena = arena_new(TRIAGE_ARENA_BYTES);
	if (t == NULL || t->arena == NULL) {
		log_error("triage", "out of memory: a dump is not triaged before the next start");
		free(t);
		free(f);
		follow_done(d->follow);
		return;
	}
	t->d = d;
	t->find = f;
	*d->last = t;
	d->last = &t->next;
	counter_add(COUNTER_triage_queue, 1);
	t->job = (struct pool_job){ .fd = -1, .done = on_analysed, .arg = t };
	if (note != NULL && note->kills >= MAX_KILLS) {
		found(t, note->last, note->last == ERR_TIMEOUT ? "it took too long" : "it killed the worker", NULL);
		return;
	}
	t->job.fd = dumps_open_file(d->dumps, f->sha256, &t->job.size);
	if (t->job.fd == -1)
		found(t, ERR_ABSENT, "the dump is not kept", NULL);
	else
		pool_submit(d->pool, &t->job);
}

/* ---- the thread ---- */

static void
on_control(struct dispatch *d)
{
	for (struct mail *m = mailbox_take(d->control); m != NULL; m = m->next)
		if (m == &d->stop) {
			d->stopping = true;
			d->stop_by = clock_boot_us() + STOP_US;
		}
	if (atomic_exchange(&d->reloaded, false)) {
		pthread_mutex_lock(&d->lock);
		pool_configure(d->pool, &d->fresh);
		pthread_mutex_unlock(&d->lock);
	}
}

static int
sooner(int timeout_ms, int64_t at_us)
{
	int64_t left = (at_us - clock_boot_us() + 999) / 1000;

	if (left < 0)
		left = 0;
	return timeout_ms == -1 || left < timeout_ms ? (int)left : timeout_ms;
}

static int
patience(const struct dispatch *d)
{
	int ms = sooner(pool_timeout_ms(d->pool), clock_boot_us() + IDLE_US);

	if (!d->submitted && (d->in_batch != NULL || d->found != NULL))
		ms = sooner(ms, d->append_at);
	if (behind(d))
		ms = sooner(ms, d->saved_us + CHECKPOINT_US);
	if (d->stopping && !d->submitted)
		ms = sooner(ms, d->stop_by);
	return ms;
}

static bool
may_leave(const struct dispatch *d)
{
	if (!d->stopping || d->submitted) /* what was submitted is the log's */
		return false;
	return (d->found == NULL && d->in_batch == NULL) || clock_boot_us() >= d->stop_by;
}

static void *
run(void *arg)
{
	struct dispatch *d = arg;
	struct pollfd p[] = { { .fd = pool_fd(d->pool), .events = POLLIN },
			      { .fd = mailbox_fd(d->finds), .events = POLLIN },
			      { .fd = mailbox_fd(d->replies), .events = POLLIN },
			      { .fd = mailbox_fd(d->control), .events = POLLIN } };

	pthread_setname_np(pthread_self(), "triage");
	while (!may_leave(d)) {
		struct mail *m, *next;
		uint64_t scanned;

		poll(p, sizeof(p) / sizeof(p[0]), patience(d));
		on_control(d);
		log_dispatch(d->replies);
		scanned = follow_position(d->follow); /* before: what lies below it is in the mailbox */
		for (m = mailbox_take(d->finds); m != NULL; m = next) {
			next = m->next;
			take_up(d, (struct find *)m);
		}
		d->scanned = scanned;
		pool_turn(d->pool);
		submit(d);
		if (behind(d) && clock_boot_us() - d->saved_us >= CHECKPOINT_US)
			save(d);
	}
	if (behind(d))
		save(d);
	return NULL;
}

/* ---- the outside ---- */

static void
release(struct dispatch *d)
{
	struct mail *m, *next;

	if (d->follow != NULL)
		follow_stop(d->follow);
	pool_free(d->pool);
	for (m = d->finds != NULL ? mailbox_take(d->finds) : NULL; m != NULL; m = next) {
		next = m->next;
		free(m);
	}
	while (d->first != NULL) {
		struct task *t = d->first;

		d->first = t->next;
		if (t->job.fd != -1)
			close(t->job.fd);
		if (!t->finished)
			counter_sub(COUNTER_triage_queue, 1);
		task_free(t);
	}
	mailbox_free(d->finds);
	mailbox_free(d->replies);
	mailbox_free(d->control);
	batch_writer_fini(&d->writer);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static int
prepare(struct dispatch *d, const char *data_dir, const struct pool_options *o)
{
	uint64_t first, end;
	struct log_id id;

	log_bounds(d->log, &first, &end, &id);
	if (checkpoint_load(&d->checkpoint, data_dir, id.uuid) == -1 || batch_writer_init(&d->writer) == -1)
		return -1;
	d->finds = mailbox_new();
	d->replies = mailbox_new();
	d->control = mailbox_new();
	if (d->finds == NULL || d->replies == NULL || d->control == NULL || (d->pool = pool_new(o)) == NULL)
		return -1;
	d->scanned = d->checkpoint.position;
	d->follow = follow_start(d->log, d->checkpoint.position, d->finds, MAX_OPEN);
	return d->follow != NULL ? 0 : -1;
}

struct dispatch *
dispatch_start(const char *data_dir, struct log *log, struct dumps *dumps, const struct pool_options *o, char *err,
	       size_t err_size)
{
	struct dispatch *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&d->lock, NULL);
	d->log = log;
	d->dumps = dumps;
	d->last = &d->first;
	d->found_last = &d->found;
	d->producer = random_u64();
	if (prepare(d, data_dir, o) == -1 || pthread_create(&d->thread, NULL, run, d) != 0) {
		snprintf(err, err_size, "triage cannot be started: %s", strerror(errno));
		release(d);
		return NULL;
	}
	return d;
}

void
dispatch_configure(struct dispatch *d, const struct pool_options *o)
{
	pthread_mutex_lock(&d->lock);
	d->fresh = *o;
	pthread_mutex_unlock(&d->lock);
	if (!atomic_exchange(&d->reloaded, true))
		mailbox_post(d->control, &d->wake);
}

void
dispatch_stop(struct dispatch *d)
{
	if (d == NULL)
		return;
	mailbox_post(d->control, &d->stop);
	pthread_join(d->thread, NULL);
	release(d);
}
