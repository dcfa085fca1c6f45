/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_POOL_H
#define COLLECTOR_WORKERS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "collector/workers/wanted.h"

/* Triage workers: confined processes that analyse one image after the other.
 *
 * Each may read the images it is handed and write its result area, nothing else.  A worker
 * that dies or takes too long is killed and replaced; that costs the one image it was
 * working on, the others it had queued are given to another worker.  After `recycle`
 * images it is replaced too.
 *
 * A pool belongs to one thread, which waits for pool_fd() at most pool_timeout_ms() and
 * then calls pool_turn(). */
struct pool;

struct pool_options {
	uint32_t workers;
	uint64_t timeout_ms;         /* wall clock one image may take */
	uint64_t memory_bytes;       /* private memory of a worker */
	uint64_t image_bytes;        /* largest image */
	uint64_t recycle;            /* images a worker serves; 0: for ever */
	struct wanted_source images; /* what workers may ask for; open NULL: nothing */
};

/* How a job ended.  ERR_TIMEOUT and ERR_CRASHED in `outcome` mean that the image hung or
 * killed its worker. */
struct pool_job {
	int fd;        /* the image: a stored dump or a sealed memfd; stays the caller's */
	uint64_t size; /* of the image, at most what fd holds */
	void (*done)(struct pool_job *job);
	void *arg;
	/* for done(): */
	enum err outcome;   /* ERR_OK: result holds what the analysis wrote */
	const void *result; /* valid during done() only; checked for nothing but its size */
	size_t result_size;
	/* the pool's: */
	struct pool_job *next;
};

/* Starts the zygote and the workers (they are ready later).  NULL with errno. */
struct pool *pool_new(const struct pool_options *o);
void pool_free(struct pool *p);                                    /* jobs not done are dropped without done() */
void pool_configure(struct pool *p, const struct pool_options *o); /* workers and memory stay */

/* Queue a job, which is the pool's until done() has run (on this thread, in pool_turn());
 * any number may wait. */
void pool_submit(struct pool *p, struct pool_job *job);
uint32_t pool_pending(const struct pool *p); /* jobs not done */

/* Enough jobs are queued to keep every worker busy. */
bool pool_full(const struct pool *p);

int pool_fd(const struct pool *p);
int pool_timeout_ms(const struct pool *p); /* -1: nothing is timed */
void pool_turn(struct pool *p);            /* never blocks */

#endif
