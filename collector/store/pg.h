/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_PG_H
#define COLLECTOR_STORE_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

/* One connection for a thread that may wait: every call ends by itself at its time limit,
 * whatever the server does, and at once when stop_fd becomes readable.
 *
 * A failed call has set `failure`, `state` and `text`.  After PG_LOST (the connection is
 * closed then) the fate of what was sent is unknown. */
enum pg_failure {
	PG_FINE,
	PG_LOST,    /* no connection, broken, or out of time */
	PG_STOPPED, /* stop_fd became readable; the connection is closed */
	PG_LATER,   /* the server cannot now: full, shutting down, locked, read-only, … */
	PG_DATA,    /* it will never take this data */
	PG_WRONG,   /* our statement or its schema is wrong, or a right is missing */
};

struct pg {
	PGconn *conn;   /* NULL: not connected */
	int stop_fd;    /* -1: none */
	int timeout_ms; /* of one call */
	enum pg_failure failure;
	char state[6];  /* SQLSTATE, "" if the server did not say */
	char text[512]; /* one line */
};

/* Connect and prepare the session: schema search path, UTC, and limits on the server's
 * side too.  False on failure. */
bool pg_connect(struct pg *pg, const char *conninfo);
void pg_close(struct pg *pg);

/* Run statements without parameters ("BEGIN; …"); the last one's result, NULL on failure.
 * PQclear() it. */
PGresult *pg_exec(struct pg *pg, const char *sql);
bool pg_run(struct pg *pg, const char *sql); /* the same, result not wanted */

/* One statement with text parameters (NULL: SQL null), text results. */
PGresult *pg_query(struct pg *pg, const char *sql, int n, const char *const *params);
bool pg_run_params(struct pg *pg, const char *sql, int n, const char *const *params);

/* COPY … FROM STDIN: begin, put any number of times, end. */
bool pg_copy_begin(struct pg *pg, const char *sql);
bool pg_copy_put(struct pg *pg, const void *data, size_t len);
bool pg_copy_end(struct pg *pg);

#endif
