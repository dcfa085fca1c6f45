/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/latency.h"
#include "base/logline.h"
#include "collector/log/journal_private.h"

/* Group commit: whatever waits in the queue when the last flush is done is written as one
 * group, flushed once, shown to readers and then answered. */

#define HURRY_US 1000000 /* a segment that lasted less leaves no time to zero the next */

static void
answer(struct log_submission *s, enum log_outcome outcome)
{
	s->outcome = outcome;
	mailbox_post(s->reply, &s->mail); /* s is the caller's again */
}

/* Answer all of [list, end). */
static void
answer_all(struct log_submission *list, const struct log_submission *end, enum log_outcome outcome)
{
	for (struct log_submission *s = list, *next; s != end; s = next) {
		next = s->next;
		if (outcome == LOG_UNKNOWN)
			counter_add(COUNTER_log_unknown, 1);
		answer(s, outcome);
	}
}

static void
stop_engine(struct journal *j, const char *what)
{
	log_error("log", "cannot %s in %s: %s; nothing is accepted any more, restart to recover", what, j->dir,
		  strerror(errno));
	atomic_store(&j->broken, true);
}

static void
sleep_on(pthread_cond_t *c, pthread_mutex_t *lock, int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(c, lock, &t);
}

static void
set_stalled(struct journal *j, bool stalled)
{
	pthread_mutex_lock(&j->lock);
	j->stalled = stalled;
	journal_update_pressure(j);
	if (stalled && !j->closing)
		sleep_on(&j->kept, &j->lock, 1000);
	pthread_mutex_unlock(&j->lock);
}

/* Write the frames in buf, which end at `at`.  A file system that has no room even inside
 * a zero-filled segment (it copies on write) is asked again until it has: the same bytes
 * at the same place do no harm, and nothing of this is acknowledged. */
static int
flush_buf(struct journal *j)
{
	bool stalled = false;

	while (journal_write(j, j->fd, j->buf, j->buf_len, j->at - j->buf_len) == -1) {
		if ((errno != ENOSPC && errno != EDQUOT) || (stalled && j->closing))
			return -1;
		stalled = true;
		set_stalled(j, true);
		errno = ENOSPC;
	}
	if (stalled)
		set_stalled(j, false);
	counter_add(COUNTER_log_bytes_written, j->buf_len);
	j->buf_len = 0;
	return 0;
}

static void
publish(struct journal *j)
{
	struct segment *s;

	pthread_mutex_lock(&j->lock);
	s = &j->segments[j->n_segments - 1];
	s->used = j->at;
	s->end = j->durable;
	pthread_cond_broadcast(&j->appended);
	pthread_mutex_unlock(&j->lock);
	counter_set(COUNTER_log_end, j->durable);
}

/* Write and sync as many of the list as fit into the segment; returns the rest. */
static struct log_submission *
commit_group(struct journal *j, struct log_submission *list)
{
	struct log_submission *s;
	uint64_t records = 0, batches = 0;
	int64_t began_us;

	for (s = list; s != NULL && frame_size(s->len) <= j->size - j->at; s = s->next) {
		if (j->buf_len + frame_size(s->len) > 2 * FRAME_MAX_BYTES && flush_buf(j) == -1)
			break;
		frame_encode(j->seed, j->next, j->durable, s->bytes, s->len, j->buf + j->buf_len);
		j->buf_len += frame_size(s->len);
		j->at += frame_size(s->len);
		s->first = j->next;
		j->next += LOG_POS_STEP;
		batches++;
		records += (uint64_t)s->bytes[12] | (uint64_t)s->bytes[13] << 8;
	}
	if (s == list)
		return s;
	began_us = clock_boot_us();
	if (flush_buf(j) == -1 || j->io->fdatasync(j->fd) == -1) {
		stop_engine(j, "write the log");
		answer_all(list, s, LOG_UNKNOWN);
		return s;
	}
	j->durable = j->next;
	latency_add(LATENCY_LOG_FLUSH, clock_boot_us() - began_us);
	counter_add(COUNTER_log_syncs, 1);
	counter_add(COUNTER_log_batches, batches);
	counter_add(COUNTER_log_records, records);
	publish(j);
	answer_all(list, s, LOG_DURABLE);
	return s;
}

/* Take a ready file for the next segment, waiting for the keeper unless it has no room.
 * False: none for a batch of this class. */
static bool
take_ready(struct journal *j, enum log_class class, uint32_t *n_out)
{
	bool have;

	pthread_mutex_lock(&j->lock);
	while (j->n_ready <= JOURNAL_RESERVE && !j->no_space) {
		atomic_store(&j->hurry, true);
		pthread_cond_signal(&j->keep);
		j->poked = true;
		pthread_cond_wait(&j->kept, &j->lock);
	}
	have = j->n_ready > (class == LOG_CLASS_VITAL ? 0 : JOURNAL_RESERVE);
	if (have)
		*n_out = j->ready[--j->n_ready];
	else
		journal_update_pressure(j);
	pthread_mutex_unlock(&j->lock);
	return have;
}

/* A ready file that could not be used for want of room or descriptors. */
static void
put_back(struct journal *j, uint32_t n)
{
	pthread_mutex_lock(&j->lock);
	j->ready[j->n_ready++] = n;
	j->no_space = true;
	journal_update_pressure(j);
	pthread_mutex_unlock(&j->lock);
}

/* Go on in a new segment.  False: no room for this class, or the engine has stopped. */
static bool
next_segment(struct journal *j, enum log_class class)
{
	struct segment_header h = {
		.id = j->id, .size = j->segment_bytes, .first = j->next, .created_us = clock_wall_us()
	};
	struct segment s = {
		.first = h.first, .begin = j->durable, .end = j->durable, .used = JOURNAL_HEADER_BYTES, .size = h.size
	};
	const struct segment *last;
	char path[JOURNAL_PATH_MAX];
	bool renamed, ok;
	uint32_t n;
	int fd;

	if (!take_ready(j, class, &n))
		return false;
	pthread_mutex_lock(&j->lock);
	last = &j->segments[j->n_segments - 1];
	h.prev_first = last->first;
	h.prev_used = j->at;
	h.prev_end = j->durable;
	pthread_mutex_unlock(&j->lock);
	journal_ready_path(j, n, path);
	if (journal_activate(j, path, &h, &fd, &renamed) == -1) {
		if (!renamed && (errno == ENOSPC || errno == EDQUOT || errno == EMFILE || errno == ENFILE))
			put_back(j, n);
		else
			stop_engine(j, "begin a log segment");
		return false;
	}
	j->io->close(j->fd);
	j->fd = fd;
	j->at = s.used;
	j->size = s.size;
	j->seed = frame_seed(&j->id, s.first);
	atomic_store(&j->hurry, clock_boot_us() - j->since_us < HURRY_US);
	j->since_us = clock_boot_us();
	j->created_us = h.created_us;
	pthread_mutex_lock(&j->lock);
	j->segments[j->n_segments - 1].sealed_us = h.created_us;
	ok = journal_add_segment(j, &s) == 0;
	j->poked = true;
	pthread_cond_signal(&j->keep);
	pthread_cond_broadcast(&j->appended);
	pthread_mutex_unlock(&j->lock);
	if (!ok) {
		errno = ENOMEM;
		stop_engine(j, "begin a log segment");
	}
	return ok;
}

/* No segment for the first of the list, whose class is given: refuse what is no better. */
static struct log_submission *
refuse_class(struct log_submission *list, enum log_class class)
{
	struct log_submission *kept = NULL, **tail = &kept;

	for (struct log_submission *s = list, *next; s != NULL; s = next) {
		next = s->next;
		if (class == LOG_CLASS_VITAL || s->class == LOG_CLASS_NORMAL) {
			answer(s, LOG_REFUSED);
		} else {
			*tail = s;
			tail = &s->next;
		}
	}
	*tail = NULL;
	return kept;
}

/* A batch that cannot be read would end the log for every reader and refuse the next start:
 * whoever made it, it stays out.  Returns the others. */
static struct log_submission *
refuse_damaged(struct log_submission *list)
{
	struct log_submission *kept = NULL, **tail = &kept;
	struct batch_view b;

	for (struct log_submission *s = list, *next; s != NULL; s = next) {
		next = s->next;
		if (batch_open(s->bytes, s->len, &b) != ERR_OK || b.len != s->len) {
			log_error("log", "a damaged batch of %" PRIu32 " bytes was refused", s->len);
			answer(s, LOG_REFUSED);
		} else {
			*tail = s;
			tail = &s->next;
		}
	}
	*tail = NULL;
	return kept;
}

/* Has the last segment batches, and is it so old that they would outlive their age in it? */
static bool
is_stale(const struct journal *j)
{
	const uint64_t max_age_ms = atomic_load(&j->max_age_ms);
	const int64_t age_us = clock_wall_us() - j->created_us;

	return max_age_ms != 0 && j->at > JOURNAL_HEADER_BYTES && age_us > 0 && (uint64_t)age_us / 1000 > max_age_ms;
}

static void
commit(struct journal *j, struct log_submission *list)
{
	list = refuse_damaged(list);
	if (list != NULL && is_stale(j))
		next_segment(j, LOG_CLASS_NORMAL); /* without room the old one does */
	while (list != NULL && !atomic_load(&j->broken)) {
		list = commit_group(j, list);
		if (list == NULL || atomic_load(&j->broken))
			break;
		if (!next_segment(j, list->class) && !atomic_load(&j->broken))
			list = refuse_class(list, list->class);
	}
	answer_all(list, NULL, LOG_REFUSED);
}

/* Under the lock: the submissions of the queue, whose bytes no longer count. */
static struct log_submission *
take_queue(struct journal *j)
{
	struct log_submission *list = j->queue_head;

	j->queue_head = NULL;
	j->queue_tail = &j->queue_head;
	return list;
}

static void
tell_room(struct journal *j)
{
	struct room_watch *w;

	pthread_mutex_lock(&j->lock);
	j->busy = false;
	w = j->watches;
	for (size_t i = 0; i < j->n_watches; i++)
		w[i].fn(w[i].arg);
	pthread_mutex_unlock(&j->lock);
}

void *
journal_writer_main(void *arg)
{
	struct journal *j = arg;

	pthread_setname_np(pthread_self(), "log-writer");
	pthread_mutex_lock(&j->lock);
	for (;;) {
		struct log_submission *list;
		uint64_t bytes;
		bool busy;

		while (j->queue_head == NULL && !j->closing)
			pthread_cond_wait(&j->queued, &j->lock);
		if (j->queue_head == NULL)
			break;
		list = take_queue(j);
		bytes = j->queue_bytes;
		pthread_mutex_unlock(&j->lock);
		commit(j, list);
		pthread_mutex_lock(&j->lock);
		j->queue_bytes -= bytes;
		busy = j->busy && j->queue_bytes <= j->queue_limit / 2;
		if (busy || (atomic_load(&j->broken) && j->busy)) {
			pthread_mutex_unlock(&j->lock);
			tell_room(j);
			pthread_mutex_lock(&j->lock);
		}
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}
