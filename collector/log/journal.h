/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LOG_JOURNAL_H
#define COLLECTOR_LOG_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/log/log.h"

#define JOURNAL_SEGMENT_MIN (1024 * 1024) /* holds the largest batch and the header */

/* The local journal: the log's first engine.  A directory of zero-filled segments,
 * one writer thread, group commit by fdatasync. */
struct journal_options {
	uint64_t segment_bytes;           /* raised to JOURNAL_SEGMENT_MIN, a multiple of 4096 */
	uint64_t keep_bytes, keep_age_ms; /* retention; 0: no limit; see log_release_below() */
	uint64_t reserve_bytes;           /* free space below which log_pressure() rises */
	uint64_t queue_bytes;             /* submissions in flight before LOG_BUSY; 0: a default */
	bool read_only;                   /* no writer thread: for replay of a stopped journal */
	const struct journal_io *io;      /* NULL: the system's; tests put a shim here */
};

/* The calls that change the disk, so that a test can drop or tear what was not synced.
 * As the system calls of these names: -1 and errno on failure; pwrite may be short. */
struct journal_io {
	int (*open)(const char *path, int flags, unsigned mode);
	int (*close)(int fd);
	int64_t (*pwrite)(int fd, const void *buf, size_t len, uint64_t off);
	int (*allocate)(int fd, uint64_t len); /* fallocate(fd, 0, 0, len) */
	int (*fdatasync)(int fd);
	int (*rename)(const char *from, const char *to);
	int (*unlink)(const char *path);
	int (*sync_dir)(const char *path);
	int (*free_bytes)(const char *path, uint64_t *out);
};
extern const struct journal_io journal_io_system;

/* Open or create the journal in dir (which must exist), drop what an interrupted write
 * left at its end and start its threads.  NULL with a sentence in err: also when a second
 * process has it open, and when batches that were acknowledged are damaged or missing.
 * o->io must outlive the log; the rest of o is copied. */
struct log *journal_open(const char *dir, const struct journal_options *o, char *err, size_t err_size);

/* New retention and reserve, after a reload.  Any thread. */
void journal_configure(struct log *l, const struct journal_options *o);

#endif
