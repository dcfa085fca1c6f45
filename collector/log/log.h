/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LOG_LOG_H
#define COLLECTOR_LOG_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "proto/batch.h"

/* The log: an append-only sequence of batches behind a table of functions, so that
 * nothing above knows which engine holds it.
 *
 * Positions are opaque, ordered, strictly rising and NOT dense: engine sequence << 16,
 * the low 16 bits being a record's index in its batch (batch_record_pos()).  They exist
 * only in an acknowledgement and in a read; nobody computes with them. */
struct log;
struct log_reader;

struct log_id {
	uint8_t uuid[16]; /* this log; changes when a log is created anew */
};

enum log_append {
	LOG_QUEUED,
	LOG_BUSY,   /* stop reading sockets until on_room() */
	LOG_FULL,   /* disk full for this kind of batch: refuse the client */
	LOG_FENCED, /* another writer holds a later epoch */
	LOG_BROKEN, /* the engine has stopped; only a restart helps */
};

enum log_outcome {
	LOG_DURABLE,
	LOG_REFUSED, /* certainly not stored */
	LOG_UNKNOWN, /* may be stored: resend with the same (producer, number) */
};

enum log_read {
	LOG_BATCH,
	LOG_WAIT,      /* nothing yet; the end is a fact about a moment */
	LOG_TRUNCATED, /* wanted position was released; out->first is the oldest kept,
				 * where the next call reads on */
	LOG_REWOUND,   /* history changed under the reader: stop */
	LOG_BROKEN_READ,
};

enum log_durability { LOG_ONE_DISK, LOG_MAJORITY_MEMORY, LOG_MAJORITY_DISK };

/* What the batch carries decides what a full disk refuses first (DESIGN §4). */
enum log_class {
	LOG_CLASS_VITAL, /* decisions, receipts, ticks, signatures: may use the reserve segments */
	LOG_CLASS_NORMAL,
};

/* How full the disk is; each level includes those before it. */
enum log_pressure {
	LOG_PRESSURE_NONE,
	LOG_PRESSURE_NO_DUMPS,
	LOG_PRESSURE_THIN_PRESENCE,
	LOG_PRESSURE_REDUCE_BODIES,
	LOG_PRESSURE_SIGNATURES_ONLY,
	LOG_PRESSURE_FULL,
};

/* One append.  The caller owns it and its bytes and leaves both alone until done()
 * has run: exactly once, on the thread that reads `reply`, in any order. */
struct log_submission {
	struct log_submission *next; /* the engine's */
	const uint8_t *bytes;        /* a finished batch (batch_writer_finish) */
	uint32_t len;
	enum log_class class;
	struct mailbox *reply; /* the outcome is posted here, as the mail below */
	/* filled before done is posted: */
	enum log_outcome outcome;
	uint64_t first;                         /* position of the batch when DURABLE */
	struct mail mail;                       /* the engine's link into the reply mailbox */
	void (*done)(struct log_submission *s); /* called by log_dispatch() */
	void *arg;
};

/* Never blocks.  Anything but LOG_QUEUED means done() will not be called. */
enum log_append log_append(struct log *l, struct log_submission *s);

/* Run done() for every outcome waiting in `reply`; call when its descriptor is readable. */
void log_dispatch(struct mailbox *reply);

/* Told (on an engine thread: only post to your own loop) when LOG_BUSY is over or the
 * engine has stopped.  One function per arg; NULL takes it back. */
void log_on_room(struct log *l, void (*fn)(void *arg), void *arg);

/* A reader from `from`: 0 (the oldest kept), a view's `next`, or the position of a batch
 * or record (the batch that holds it comes first).  Its own thread; NULL when out of
 * memory.  Readers are freed before the log is closed. */
struct log_reader *log_reader_new(struct log *l, uint64_t from);
void log_reader_free(struct log_reader *r);

/* Read on from another position, as if new: for look-ups by report id. */
void log_reader_seek(struct log_reader *r, uint64_t from);

/* The next batch, waiting up to timeout_ms (0: do not wait; -1: for ever).  The view is valid until
 * the next call on this reader.  Only durable batches are ever shown. */
enum log_read log_read(struct log_reader *r, struct batch_view *out, int timeout_ms);

/* Make the reader's next wait, or the one it is in, end with LOG_WAIT at once; not lost if
 * there are batches to return first.  Any thread. */
void log_reader_wake(struct log_reader *r);

/* Where a reader of everything kept begins, and the position that the next batch will be
 * at or after. */
void log_bounds(struct log *l, uint64_t *first_out, uint64_t *end_out, struct log_id *id_out);

/* Who holds on to old positions.  A hard floor is never crossed: the log grows and in the
 * end refuses instead.  A soft floor is kept until the log is over its size budget. */
enum log_floor {
	LOG_FLOOR_LEDGER, /* hard: the next position of the oldest snapshot still needed */
	LOG_FLOOR_STORE,  /* soft: the projector's position */
	LOG_FLOOR_REPLAY, /* soft: what a replay of an open deployment would read */
	LOG_N_FLOORS,
};

/* This holder needs nothing below floor (UINT64_MAX: nothing at all, e.g. no database).
 * Until told, a log keeps everything for the first two and nothing for LOG_FLOOR_REPLAY.
 * Advisory: the engine also keeps whatever its retention settings keep.  Any thread. */
void log_release_below(struct log *l, enum log_floor holder, uint64_t floor);

enum log_durability log_durability(const struct log *l);
enum log_pressure log_pressure(const struct log *l); /* any thread, cheap */
bool log_stopped(const struct log *l);               /* every append is LOG_BROKEN from here; any thread, cheap */

/* Flush what is queued, answer everything, stop the engine's threads.  The reply mailboxes
 * must still be there, and be dispatched once more. */
void log_close(struct log *l);

/* ---- the seam: what an engine implements ---- */
struct log_ops {
	enum log_append (*append)(struct log *, struct log_submission *);
	void (*on_room)(struct log *, void (*fn)(void *arg), void *arg);
	struct log_reader *(*reader_new)(struct log *, uint64_t from);
	void (*reader_free)(struct log_reader *);
	void (*reader_seek)(struct log_reader *, uint64_t from);
	enum log_read (*read)(struct log_reader *, struct batch_view *out, int timeout_ms);
	void (*reader_wake)(struct log_reader *);
	void (*bounds)(struct log *, uint64_t *, uint64_t *, struct log_id *);
	void (*release_below)(struct log *, enum log_floor holder, uint64_t floor);
	enum log_durability (*durability)(const struct log *);
	enum log_pressure (*pressure)(const struct log *);
	bool (*stopped)(const struct log *);
	void (*close)(struct log *);
};
struct log {
	const struct log_ops *ops;
}; /* first member of an engine's own struct */
struct log_reader {
	const struct log_ops *ops;
};

#endif
