/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/logline.h"
#include "collector/log/journal_private.h"

/* The keeper keeps JOURNAL_READY prepared files ready, made from retired segments when
 * there are some, retires what retention and floors let go, and watches free space.
 *
 * A retired segment leaves the table first, so that a reader inside it notices; then the
 * directory is synced, oldest first, so that no power cut leaves a hole in the middle;
 * only then its bytes are touched. */

#define KEEPER_INTERVAL_MS 1000

void
journal_update_pressure(struct journal *j)
{
	enum log_pressure p = LOG_PRESSURE_NONE;
	const struct segment *last = &j->segments[j->n_segments - 1];

	if (j->free_bytes < j->reserve_bytes)
		p = LOG_PRESSURE_NO_DUMPS;
	if (j->free_bytes < j->reserve_bytes / 2)
		p = LOG_PRESSURE_THIN_PRESENCE;
	if (j->free_bytes < j->reserve_bytes / 4)
		p = LOG_PRESSURE_REDUCE_BODIES;
	if (j->no_space && j->n_ready <= JOURNAL_RESERVE)
		p = LOG_PRESSURE_SIGNATURES_ONLY;
	/* Full: none left, and the largest batch may not fit into what is left of the last. */
	if ((j->no_space && j->n_ready == 0 && last->size - last->used < frame_size(BATCH_MAX_BYTES)) || j->stalled)
		p = LOG_PRESSURE_FULL;
	if (p != atomic_load(&j->pressure))
		log_warn("log", "disk pressure is now %u (was %u), %llu bytes free", (unsigned)p,
			 atomic_load(&j->pressure), (unsigned long long)j->free_bytes);
	atomic_store(&j->pressure, (unsigned)p);
	counter_set(COUNTER_disk_pressure, (uint64_t)p);
}

/* Under the lock: may the oldest segment go? */
static bool
may_retire(const struct journal *j)
{
	const struct segment *s = &j->segments[0];
	const int64_t age_us = clock_wall_us() - s->sealed_us;
	bool over_size, old;

	if (j->n_segments < 2 || s->end > j->floors[LOG_FLOOR_LEDGER])
		return false;
	/* Counted with all ready files, so that a segment retired to become one is one less. */
	over_size = j->keep_bytes != 0 &&
		    journal_bytes_kept(j) + (JOURNAL_READY - j->n_ready) * j->segment_bytes > j->keep_bytes;
	old = j->keep_age_ms != 0 && age_us > 0 && (uint64_t)age_us / 1000 > j->keep_age_ms;
	return over_size || (old && s->end <= j->floors[LOG_FLOOR_STORE] && s->end <= j->floors[LOG_FLOOR_REPLAY]);
}

/* Under the lock, which is let go meanwhile: retire the oldest segment.  With a use for
 * it, it becomes making-<n>.  True if *n_out is such a file. */
static bool
retire(struct journal *j, uint32_t *n_out)
{
	const struct segment old = j->segments[0];
	const bool reuse = j->n_ready < JOURNAL_READY && old.size == j->segment_bytes;
	char path[JOURNAL_PATH_MAX], making[JOURNAL_PATH_MAX];
	int rc;

	memmove(j->segments, j->segments + 1, --j->n_segments * sizeof(j->segments[0]));
	*n_out = j->next_ready;
	j->next_ready += reuse;
	pthread_mutex_unlock(&j->lock);
	journal_segment_path(j, old.first, path);
	journal_making_path(j, *n_out, making);
	rc = reuse ? j->io->rename(path, making) : j->io->unlink(path);
	if (rc == -1 || j->io->sync_dir(j->dir) == -1) {
		log_warn("log", "cannot retire %s: %s", path, strerror(errno));
		rc = -1;
	}
	pthread_mutex_lock(&j->lock);
	return reuse && rc == 0;
}

/* Without the lock: prepare making-<n> and call it ready-<n>.  -1 with errno. */
static int
make_ready(struct journal *j, uint32_t n)
{
	char making[JOURNAL_PATH_MAX], ready[JOURNAL_PATH_MAX];
	int e;

	journal_making_path(j, n, making);
	journal_ready_path(j, n, ready);
	if (journal_prepare(j, making) == 0 && j->io->rename(making, ready) == 0)
		return 0;
	e = errno;
	j->io->unlink(making);
	errno = e;
	return -1;
}

/* Under the lock, which is let go meanwhile: one more ready file, from making-<n> if
 * recycled, else new.  False when that failed. */
static bool
add_ready(struct journal *j, bool recycled, uint32_t n)
{
	uint64_t room = UINT64_MAX;
	int rc = 0, e = 0;

	if (!recycled)
		n = j->next_ready++;
	pthread_mutex_unlock(&j->lock);
	if (!recycled && j->io->free_bytes(j->dir, &room) == 0 && room < j->segment_bytes) {
		rc = -1;
		e = ENOSPC;
	} else if ((rc = make_ready(j, n)) == -1) {
		e = errno;
	}
	pthread_mutex_lock(&j->lock);
	if (rc == 0) {
		j->ready[j->n_ready++] = n;
		if (j->no_space && j->n_ready == JOURNAL_READY)
			log_info("log", "there is room for log segments again");
		j->no_space = j->no_space && j->n_ready < JOURNAL_READY;
	} else {
		if (!j->no_space)
			log_warn("log", "no room for another log segment in %s: %s", j->dir, strerror(e));
		j->no_space = true;
	}
	pthread_cond_broadcast(&j->kept);
	return rc == 0;
}

/* Under the lock: everything there is to do now. */
static void
keep(struct journal *j)
{
	bool more = true, made;
	uint32_t n;

	while (more && !j->keeper_stop) {
		more = false;
		if (may_retire(j)) {
			made = retire(j, &n);
			if (made)
				add_ready(j, true, n);
			more = true;
		} else if (j->n_ready < JOURNAL_READY) {
			more = add_ready(j, false, 0);
		}
		counter_set(COUNTER_log_bytes_kept, journal_bytes_kept(j));
	}
}

static void
look_at_space(struct journal *j)
{
	uint64_t room;

	pthread_mutex_unlock(&j->lock);
	if (j->io->free_bytes(j->dir, &room) == -1)
		room = UINT64_MAX; /* a file system that does not say is not called full */
	pthread_mutex_lock(&j->lock);
	j->free_bytes = room;
	journal_update_pressure(j);
}

void *
journal_keeper_main(void *arg)
{
	struct journal *j = arg;
	struct timespec t;

	pthread_setname_np(pthread_self(), "log-keeper");
	pthread_mutex_lock(&j->lock);
	while (!j->keeper_stop) {
		j->poked = false;
		keep(j);
		look_at_space(j);
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_sec += KEEPER_INTERVAL_MS / 1000;
		while (!j->keeper_stop && !j->poked && pthread_cond_timedwait(&j->keep, &j->lock, &t) == 0)
			;
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}
