/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/logline.h"
#include "collector/fold/snapshot_files.h"
#include "collector/fold/snapshot_store.h"

/* The thread that writes snapshots, and the queue to it. */

struct job {
	struct job *next;
	enum { JOB_BEGIN, JOB_PUT, JOB_COMMIT, JOB_STOP } what;
	int fd;      /* to be synced before COMMIT; -1: none */
	uint64_t id; /* chunk, or position for BEGIN */
	size_t len;
	uint8_t bytes[];
};

struct snapshot_store {
	struct snapshot_files *files;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more, finished;
	struct job *first, **last;
	size_t queued;
	enum snapshot_result result;
	bool out_of_memory; /* a chunk could not be queued: the commit must fail */
};

static struct job *
take(struct snapshot_store *s)
{
	struct job *j;

	pthread_mutex_lock(&s->lock);
	while (s->first == NULL)
		pthread_cond_wait(&s->more, &s->lock);
	j = s->first;
	s->first = j->next;
	if (s->first == NULL)
		s->last = &s->first;
	s->queued -= j->len;
	pthread_mutex_unlock(&s->lock);
	return j;
}

static void
finish(struct snapshot_store *s, bool ok)
{
	pthread_mutex_lock(&s->lock);
	s->result = ok ? SNAPSHOT_DONE : SNAPSHOT_FAILED;
	pthread_cond_broadcast(&s->finished);
	pthread_mutex_unlock(&s->lock);
}

static void *
write_all(void *arg)
{
	struct snapshot_store *s = arg;
	bool ok = true, stop = false;

	while (!stop) {
		struct job *j = take(s);

		switch (j->what) {
		case JOB_BEGIN:
			ok = snapshot_files_begin(s->files, j->id);
			break;
		case JOB_PUT:
			ok = ok && snapshot_files_put(s->files, j->id, j->bytes, j->len);
			break;
		case JOB_COMMIT:
			ok = ok && j->id == 0 && (j->fd == -1 || fdatasync(j->fd) == 0) &&
			     snapshot_files_commit(s->files);
			if (j->fd != -1)
				close(j->fd);
			if (!ok)
				snapshot_files_abandon(s->files);
			finish(s, ok);
			if (ok)
				snapshot_files_collect(s->files);
			break;
		case JOB_STOP:
			stop = true;
		}
		free(j);
	}
	return NULL;
}

static void
submit(struct snapshot_store *s, struct job *j)
{
	pthread_mutex_lock(&s->lock);
	j->next = NULL;
	*s->last = j;
	s->last = &j->next;
	s->queued += j->len;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
}

static struct job *
job_new(struct snapshot_store *s, int what, uint64_t id, const void *bytes, size_t len)
{
	struct job *j = malloc(sizeof(*j) + len);

	if (j == NULL) {
		s->out_of_memory = true;
		return NULL;
	}
	j->what = what;
	j->fd = -1;
	j->id = id;
	j->len = len;
	if (len > 0)
		memcpy(j->bytes, bytes, len);
	return j;
}

enum snapshot_found
snapshot_store_open(const char *dir, const uint8_t uuid[16], struct ledger *l, struct snapshot_store **store_out,
		    char *err, size_t err_size)
{
	struct snapshot_store *s = calloc(1, sizeof(*s));
	enum snapshot_found found;

	*store_out = NULL;
	if (s == NULL) {
		snprintf(err, err_size, "out of memory");
		return SNAPSHOT_NONE;
	}
	found = snapshot_files_open(dir, uuid, l, &s->files, err, err_size);
	if (s->files == NULL) {
		free(s);
		return found;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	pthread_cond_init(&s->finished, NULL);
	s->last = &s->first;
	s->result = SNAPSHOT_DONE;
	if (pthread_create(&s->thread, NULL, write_all, s) != 0) {
		snprintf(err, err_size, "cannot start the snapshot thread");
		snapshot_files_close(s->files);
		free(s);
		return found;
	}
	*store_out = s;
	return found;
}

void
snapshot_store_close(struct snapshot_store *s)
{
	struct job *j;

	if (s == NULL)
		return;
	while ((j = job_new(s, JOB_STOP, 0, NULL, 0)) == NULL)
		usleep(1000); /* the thread must end before its memory does */
	submit(s, j);
	pthread_join(s->thread, NULL);
	snapshot_files_close(s->files);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->more);
	pthread_cond_destroy(&s->finished);
	free(s);
}

void
snapshot_store_begin(struct snapshot_store *s, uint64_t position)
{
	struct job *j;

	s->out_of_memory = false;
	j = job_new(s, JOB_BEGIN, position, NULL, 0);
	if (j != NULL)
		submit(s, j);
}

void
snapshot_store_put(void *store, uint64_t chunk, const void *bytes, size_t len)
{
	struct snapshot_store *s = store;
	struct job *j = job_new(s, JOB_PUT, chunk, bytes, len);

	if (j != NULL)
		submit(s, j);
}

size_t
snapshot_store_queued(struct snapshot_store *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->queued;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void
snapshot_store_commit(struct snapshot_store *s, int fd)
{
	bool lost = s->out_of_memory;
	struct job *j = job_new(s, JOB_COMMIT, lost, NULL, 0);

	pthread_mutex_lock(&s->lock);
	s->result = j != NULL ? SNAPSHOT_PENDING : SNAPSHOT_FAILED;
	pthread_mutex_unlock(&s->lock);
	if (j != NULL) {
		j->fd = fd;
		submit(s, j);
	} else if (fd != -1) {
		close(fd);
	}
}

enum snapshot_result
snapshot_store_result(struct snapshot_store *s)
{
	enum snapshot_result r;

	pthread_mutex_lock(&s->lock);
	r = s->result;
	pthread_mutex_unlock(&s->lock);
	return r;
}

enum snapshot_result
snapshot_store_wait(struct snapshot_store *s)
{
	enum snapshot_result r;

	pthread_mutex_lock(&s->lock);
	while (s->result == SNAPSHOT_PENDING)
		pthread_cond_wait(&s->finished, &s->lock);
	r = s->result;
	pthread_mutex_unlock(&s->lock);
	return r;
}
