/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "collector/log/journal_private.h"

#define QUEUE_BYTES_DEFAULT (8u * 1024 * 1024)

static struct journal *
journal_of(struct log *l)
{
	return (struct journal *)l;
}

static enum log_append
append(struct log *l, struct log_submission *s)
{
	struct journal *j = journal_of(l);
	const unsigned pressure = atomic_load(&j->pressure);
	enum log_append answer = LOG_QUEUED;

	if (atomic_load(&j->broken) || j->read_only)
		return LOG_BROKEN;
	if (pressure >= LOG_PRESSURE_FULL || (pressure >= LOG_PRESSURE_SIGNATURES_ONLY && s->class == LOG_CLASS_NORMAL))
		return LOG_FULL;
	s->next = NULL;
	pthread_mutex_lock(&j->lock);
	if (j->closing) {
		answer = LOG_BROKEN;
	} else if (j->queue_bytes > 0 && j->queue_bytes + s->len > j->queue_limit) {
		j->busy = true;
		answer = LOG_BUSY;
	} else {
		if (j->queue_head == NULL)
			pthread_cond_signal(&j->queued);
		*j->queue_tail = s;
		j->queue_tail = &s->next;
		j->queue_bytes += s->len;
	}
	pthread_mutex_unlock(&j->lock);
	return answer;
}

static void
on_room(struct log *l, void (*fn)(void *arg), void *arg)
{
	struct journal *j = journal_of(l);
	struct room_watch *w;
	size_t i;

	pthread_mutex_lock(&j->lock);
	for (i = 0; i < j->n_watches && j->watches[i].arg != arg; i++)
		;
	if (i < j->n_watches && fn == NULL) {
		j->watches[i] = j->watches[--j->n_watches];
	} else if (i < j->n_watches) {
		j->watches[i].fn = fn;
	} else if (fn != NULL && (w = realloc(j->watches, (i + 1) * sizeof(*w))) != NULL) {
		w[i] = (struct room_watch){ fn, arg };
		j->watches = w;
		j->n_watches = i + 1;
	}
	pthread_mutex_unlock(&j->lock);
}

static void
bounds(struct log *l, uint64_t *first_out, uint64_t *end_out, struct log_id *id_out)
{
	struct journal *j = journal_of(l);

	pthread_mutex_lock(&j->lock);
	*first_out = j->segments[0].begin;
	*end_out = j->segments[j->n_segments - 1].end;
	*id_out = j->id;
	pthread_mutex_unlock(&j->lock);
}

static void
release_below(struct log *l, enum log_floor holder, uint64_t floor)
{
	struct journal *j = journal_of(l);

	pthread_mutex_lock(&j->lock);
	j->floors[holder] = floor;
	j->poked = true;
	pthread_cond_signal(&j->keep);
	pthread_mutex_unlock(&j->lock);
}

static enum log_durability
durability(const struct log *l)
{
	(void)l;
	return LOG_ONE_DISK;
}

static enum log_pressure
pressure(const struct log *l)
{
	return (enum log_pressure)atomic_load(&((const struct journal *)l)->pressure);
}

static bool
stopped(const struct log *l)
{
	const struct journal *j = (const struct journal *)l;

	return atomic_load(&j->broken) || j->read_only;
}

static void
journal_free(struct journal *j)
{
	if (j->fd != -1)
		j->io->close(j->fd);
	if (j->lock_fd != -1)
		close(j->lock_fd);
	pthread_cond_destroy(&j->queued);
	pthread_cond_destroy(&j->appended);
	pthread_cond_destroy(&j->keep);
	pthread_cond_destroy(&j->kept);
	pthread_mutex_destroy(&j->lock);
	free(j->segments);
	free(j->watches);
	free(j->buf);
	free(j->dir);
	free(j);
}

static void
stop_keeper(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	j->keeper_stop = true;
	pthread_cond_signal(&j->keep);
	pthread_mutex_unlock(&j->lock);
	pthread_join(j->keeper, NULL);
}

static void
journal_close(struct log *l)
{
	struct journal *j = journal_of(l);

	if (!j->read_only) {
		pthread_mutex_lock(&j->lock);
		j->closing = true;
		pthread_cond_signal(&j->queued);
		pthread_cond_broadcast(&j->kept);
		pthread_mutex_unlock(&j->lock);
		pthread_join(j->writer, NULL); /* before the keeper, for which it may be waiting */
		stop_keeper(j);
	}
	journal_free(j);
}

static const struct log_ops journal_ops = {
	.append = append,
	.on_room = on_room,
	.reader_new = journal_reader_new,
	.reader_free = journal_reader_free,
	.reader_seek = journal_reader_seek,
	.read = journal_read,
	.reader_wake = journal_reader_wake,
	.bounds = bounds,
	.release_below = release_below,
	.durability = durability,
	.pressure = pressure,
	.stopped = stopped,
	.close = journal_close,
};

/* Under the lock, or before there are threads. */
static void
set_limits(struct journal *j, const struct journal_options *o)
{
	j->keep_bytes = o->keep_bytes;
	j->keep_age_ms = o->keep_age_ms;
	j->reserve_bytes = o->reserve_bytes;
	atomic_store(&j->max_age_ms, o->keep_age_ms / 7);
}

void
journal_configure(struct log *l, const struct journal_options *o)
{
	struct journal *j = journal_of(l);

	pthread_mutex_lock(&j->lock);
	set_limits(j, o);
	j->poked = true;
	pthread_cond_signal(&j->keep);
	pthread_mutex_unlock(&j->lock);
}

static struct journal *
journal_new(const char *dir, const struct journal_options *o)
{
	struct journal *j = calloc(1, sizeof(*j));
	pthread_condattr_t a;

	if (j == NULL)
		return NULL;
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&j->queued, &a);
	pthread_cond_init(&j->appended, &a);
	pthread_cond_init(&j->keep, &a);
	pthread_cond_init(&j->kept, &a);
	pthread_condattr_destroy(&a);
	j->log.ops = &journal_ops;
	j->io = o->io != NULL ? o->io : &journal_io_system;
	j->fd = j->lock_fd = -1;
	j->read_only = o->read_only;
	j->segment_bytes = o->segment_bytes < JOURNAL_SEGMENT_MIN   ? JOURNAL_SEGMENT_MIN
			   : o->segment_bytes > JOURNAL_SEGMENT_MAX ? JOURNAL_SEGMENT_MAX
								    : (o->segment_bytes + 4095) & ~(uint64_t)4095;
	j->queue_limit = o->queue_bytes != 0 ? o->queue_bytes : QUEUE_BYTES_DEFAULT;
	j->queue_tail = &j->queue_head;
	j->floors[LOG_FLOOR_REPLAY] = UINT64_MAX;
	j->free_bytes = UINT64_MAX;
	set_limits(j, o);
	j->dir = strdup(dir);
	j->buf = o->read_only ? NULL : malloc(2 * FRAME_MAX_BYTES);
	if (j->dir == NULL || (j->buf == NULL && !o->read_only)) {
		journal_free(j);
		return NULL;
	}
	return j;
}

struct log *
journal_open(const char *dir, const struct journal_options *o, char *err, size_t err_size)
{
	struct journal *j;

	if (strlen(dir) > JOURNAL_PATH_MAX - 64) {
		snprintf(err, err_size, "the path of the log is too long");
		return NULL;
	}
	if ((j = journal_new(dir, o)) == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	if (journal_recover(j, err, err_size) == -1) {
		journal_free(j);
		return NULL;
	}
	if (j->read_only)
		return &j->log;
	counter_set(COUNTER_log_end, j->durable);
	counter_set(COUNTER_log_bytes_kept, journal_bytes_kept(j));
	if (pthread_create(&j->keeper, NULL, journal_keeper_main, j) != 0) {
		snprintf(err, err_size, "cannot start a thread");
		journal_free(j);
		return NULL;
	}
	if (pthread_create(&j->writer, NULL, journal_writer_main, j) != 0) {
		snprintf(err, err_size, "cannot start a thread");
		stop_keeper(j);
		journal_free(j);
		return NULL;
	}
	return &j->log;
}
