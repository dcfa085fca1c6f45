/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LOG_JOURNAL_PRIVATE_H
#define COLLECTOR_LOG_JOURNAL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "collector/log/journal.h"
#include "collector/log/journal_format.h"

/* Inside the journal.  Three kinds of threads meet in one lock:
 *
 *	writer	journal_writer.c	takes the queue, writes and syncs it, moves to the next segment
 *	keeper	journal_keeper.c	zero-fills segments ahead, retires old ones, watches free space
 *	readers	journal_reader.c	see what is below `end` of the last segment
 *
 * No I/O is done under the lock. */

/* Prepared files kept ready.  The last JOURNAL_RESERVE are for LOG_CLASS_VITAL
 * when there is no room for another. */
#define JOURNAL_RESERVE 2u
#define JOURNAL_READY   (JOURNAL_RESERVE + 1)

/* Each start takes up positions at the wall clock's 64 us tick, or at the log's end if that
 * is later.  No log appends 15,625 batches a second for long, so the positions of a history
 * that was lost (a disk put back to an older copy) are never given again: they fall
 * between batches, and a reader that has seen them is told LOG_REWOUND.  Positions stay
 * below 2^63 until the year 2255. */
static inline uint64_t
journal_start_position(int64_t wall_us)
{
	return wall_us < 64 ? LOG_POS_FIRST : ((uint64_t)wall_us >> 6) * LOG_POS_STEP;
}

struct segment {
	uint64_t first; /* its name */
	uint64_t begin; /* end of the segment before: the lowest `next` that leads here */
	uint64_t end;   /* position behind its last durable batch */
	uint64_t used;  /* bytes up to there */
	uint64_t size;
	int64_t sealed_us; /* wall time; 0 for the last one */
};

struct room_watch {
	void (*fn)(void *arg);
	void *arg;
};

struct journal {
	struct log log;
	const struct journal_io *io;
	char *dir;
	struct log_id id;
	int lock_fd;
	uint64_t segment_bytes;
	bool read_only;

	pthread_mutex_t lock;
	pthread_cond_t queued;   /* to the writer: work, or closing */
	pthread_cond_t appended; /* to readers: end moved, or woken */
	pthread_cond_t keep;     /* to the keeper: a reason to look */
	pthread_cond_t kept;     /* to the writer: `ready` or `no_space` changed */

	/* under lock */
	struct segment *segments; /* oldest first, never none; the writer appends to the last */
	size_t n_segments, segments_cap;
	struct log_submission *queue_head, **queue_tail;
	uint64_t queue_bytes, queue_limit;
	struct room_watch *watches;
	size_t n_watches;
	uint64_t floors[LOG_N_FLOORS];
	uint64_t keep_bytes, keep_age_ms, reserve_bytes;
	uint32_t ready[JOURNAL_READY]; /* numbers of ready files */
	unsigned n_ready;
	uint32_t next_ready; /* number for the next file; the keeper's */
	bool no_space;       /* the keeper could not make a segment */
	bool stalled;        /* the writer waits for space inside a segment */
	bool busy;           /* somebody was told LOG_BUSY */
	bool keeper_stop, poked;
	uint64_t free_bytes; /* of the file system, as last seen */

	_Atomic uint64_t max_age_ms; /* of the last segment when keep_age_ms is set, so that it can be kept */
	atomic_bool closing;         /* set under lock */
	atomic_bool broken;
	atomic_bool hurry; /* segments fill faster than they can be zeroed */
	_Atomic(unsigned) pressure;

	/* the writer's */
	pthread_t writer, keeper;
	int fd; /* of the last segment */
	uint32_t seed;
	uint64_t at;        /* offset of the next frame */
	uint64_t size;      /* of that segment */
	uint64_t next;      /* position for the next batch */
	uint64_t durable;   /* end of what is synced */
	int64_t since_us;   /* boot time at which the last segment was begun, */
	int64_t created_us; /* and wall time */
	uint8_t *buf;       /* frames on their way to the file, */
	uint64_t buf_len;   /* to be written at `at` - buf_len */
};

/* File names: <16 hex digits of first>.seg, ready-<n> (prepared), making-<n> (not yet). */
enum { JOURNAL_PATH_MAX = 4096 };
void journal_segment_path(const struct journal *j, uint64_t first, char out[JOURNAL_PATH_MAX]);
void journal_ready_path(const struct journal *j, uint32_t n, char out[JOURNAL_PATH_MAX]);
void journal_making_path(const struct journal *j, uint32_t n, char out[JOURNAL_PATH_MAX]);

/* pwrite all of it; -1 with errno. */
int journal_write(const struct journal *j, int fd, const void *bytes, uint64_t len, uint64_t off);

/* Make a new or recycled file of segment_bytes fit for use: its space allocated, zeroed and
 * synced.  Zeros make later flushes cheap, no more: under a load that fills a segment in
 * less time than it takes to zero one, they are left out (hurry).  -1 with errno, the file
 * left behind. */
int journal_prepare(const struct journal *j, const char *path);

/* Make the prepared file at `path` the last segment: header, sync, rename,
 * sync of the directory.  0 with the descriptor in *fd_out; -1 with errno, and
 * *renamed_out tells whether it already has the segment's name. */
int journal_activate(const struct journal *j, const char *path, const struct segment_header *h, int *fd_out,
		     bool *renamed_out);

/* Under the lock: add a segment behind the last, which is sealed.  -1: out of memory. */
int journal_add_segment(struct journal *j, const struct segment *s);

/* Under the lock: recompute the pressure from free_bytes, no_space and n_ready. */
void journal_update_pressure(struct journal *j);

uint64_t journal_bytes_kept(const struct journal *j); /* under the lock */

/* Read the directory: lock file, segments, torn tail.  -1 with a sentence in err. */
int journal_recover(struct journal *j, char *err, size_t err_size);

/* Thread bodies; arg is the journal. */
void *journal_writer_main(void *arg);
void *journal_keeper_main(void *arg);

/* The reader's part of log_ops. */
struct log_reader *journal_reader_new(struct log *l, uint64_t from);
void journal_reader_free(struct log_reader *r);
void journal_reader_seek(struct log_reader *r, uint64_t from);
enum log_read journal_read(struct log_reader *r, struct batch_view *out, int timeout_ms);
void journal_reader_wake(struct log_reader *r);

#endif
