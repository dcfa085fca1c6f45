/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_PROJECTOR_H
#define COLLECTOR_STORE_PROJECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/log/log.h"

struct outcomes;

/* The projector: a thread that reads the log into PostgreSQL.
 *
 * Every transaction holds a stretch of the log and the position behind it, so each record
 * is in the database exactly once whatever crashes when.  A database that is away, slow,
 * full or shutting down is waited for, and the same stretch is tried again; nothing is
 * skipped.  A record the database can never take is kept in its table `rejected`.  What the
 * log released before it was read leaves a row in `gaps`. */
struct projector;

struct projector_options {
	const char *conninfo;      /* libpq; copied */
	struct log *log;           /* outlives the projector */
	struct outcomes *outcomes; /* NULL: every report counts */
	uint32_t batch_rows;       /* reports per transaction */
	uint32_t report_days;      /* retention of report rows */
	int timeout_ms;            /* of one database call; 0: a minute */
	int patience_ms;           /* the server is only being started: that long nothing is said of it */
	/* Records in the log up to its end, for the lag gauge; NULL: counter log_records. */
	uint64_t (*log_records)(void *arg);
	void *arg;
};

/* Start the thread; the database need not be there.  NULL with a sentence in err. */
struct projector *projector_start(const struct projector_options *o, char *err, size_t err_size);

/* Stops within a fraction of a second, whatever the database does; what was not committed
 * is projected by the next start.  NULL is fine. */
void projector_stop(struct projector *p);

/* New limits after a reload.  Any thread. */
void projector_configure(struct projector *p, uint32_t batch_rows, uint32_t report_days);

/* Everything below is in the database; 0: not known yet.  The projector itself tells it to
 * log_release_below().  Any thread. */
uint64_t projector_position(const struct projector *p);

/* The schema is there and the database answered the last call.  Any thread. */
bool projector_up(const struct projector *p);

/* NULL, or why nothing will be projected until somebody acts: another projector took over,
 * the database's schema is newer, …  Static for the life of the projector.  Any thread. */
const char *projector_problem(const struct projector *p);

#endif
