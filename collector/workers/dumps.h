/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_DUMPS_H
#define COLLECTOR_WORKERS_DUMPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/crypto.h"
#include "base/mailbox.h"

struct log;

/* The dumps we keep: immutable files (0400) named by their SHA-256, DATA/dumps/ab/<64 hex>.
 *
 * A dump is streamed into DATA/incoming/ by the thread that receives it: those writes go to
 * the page cache and do not wait for the disk.  dumps_commit() hands the file to the store's
 * own thread, which flushes it, gives it its name, flushes the folder and posts the outcome;
 * so an event loop never waits for a flush.  Quotas decide at the begin, not after
 * megabytes were sent.
 *
 * Threads: a struct dumps is for any thread; a writer for one thread at a time. */
struct dumps;
struct dump_writer;

struct dumps_options {
	uint64_t max_dump;      /* bytes of one dump; 0: no limit */
	uint64_t keep_bytes;    /* bytes of all dumps, those being written included */
	uint64_t per_signature; /* dumps kept per signature and UTC day */
	uint64_t keep_days;
};

/* Open the store below data_dir (which must exist): makes incoming/ and dumps/, removes
 * unfinished uploads of an earlier run, counts what is kept, starts the thread.  log may be
 * NULL, else its pressure refuses dumps and it must outlive the store.  NULL with a sentence
 * in err. */
struct dumps *dumps_open(const char *data_dir, const struct dumps_options *o, struct log *log, char *err,
			 size_t err_size);

/* Everything committed is finished and posted before this returns; every writer must be
 * gone.  The reply mailboxes are still to be dispatched once.  NULL is fine. */
void dumps_close(struct dumps *d);

/* New limits, after a reload. */
void dumps_configure(struct dumps *d, const struct dumps_options *o);

/* Should the sender of this crash be asked for its dump?  True at most per_signature times
 * for a signature and day, counting dumps kept and requests of the last ten minutes that
 * were not answered; false while dumps are refused anyway. */
bool dumps_want(struct dumps *d, uint16_t tenant, uint64_t signature);

/* Start receiving.  signature: the client's claim, 0 when none is known (then only the
 * total counts; dumps_settle() decides after triage).  NULL with a code: dump_not_wanted
 * (enough of this signature), dump_disk_low (disk pressure, or dropped early: the chance is 0
 * while at most half of keep_bytes is used and rises to 1 when all is). */
struct dump_writer *dumps_begin(struct dumps *d, uint16_t tenant, uint64_t signature, enum discard *why_out);

/* DISCARD_none, else dump_too_large or dump_disk_low: then only dumps_abandon() remains. */
enum discard dumps_write(struct dump_writer *w, const void *data, size_t len);
uint64_t dumps_written(const struct dump_writer *w); /* bytes so far */
void dumps_abandon(struct dump_writer *w);           /* frees w and its file; NULL is fine */

enum dumps_outcome {
	DUMPS_STORED,    /* on disk under its name */
	DUMPS_DUPLICATE, /* it was there before; as good as stored */
	DUMPS_FAILED,    /* not stored: the disk refused */
};

/* The caller owns it and leaves it alone until done() has run: exactly once, on the thread
 * that dispatches `reply`. */
struct dumps_commit {
	struct mailbox *reply;
	void (*done)(struct dumps_commit *c);
	void *arg;
	/* filled by dumps_commit() before it returns: */
	uint8_t sha256[SHA256_BYTES];
	uint64_t size;
	/* filled before done() runs: */
	enum dumps_outcome outcome;
	/* the store's: */
	struct dump_writer *writer;
	struct mail mail;
};

/* Make it durable; consumes w.  Never blocks. */
void dumps_commit(struct dump_writer *w, struct dumps_commit *c);

/* Run done() for every outcome waiting in `reply`; call when its descriptor is readable.
 * The mailbox holds nothing but commits of dumps. */
void dumps_dispatch(struct mailbox *reply);

/* A read-only descriptor of a stored dump, the caller's to close; -1 if it is not kept. */
int dumps_open_file(struct dumps *d, const uint8_t sha256[SHA256_BYTES], uint64_t *size_out);

/* Triage found the signature of a stored dump: count it there (once, however often this is
 * called), or, if enough dumps of that signature are kept today, remove it.  True if it stays. */
bool dumps_settle(struct dumps *d, const uint8_t sha256[SHA256_BYTES], uint16_t tenant, uint64_t signature);

uint64_t dumps_bytes(struct dumps *d); /* kept and being written */

#endif
