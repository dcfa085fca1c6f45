/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/logline.h"
#include "collector/store/pg.h"

static void
set_text(struct pg *pg, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n < sizeof(pg->text) - 1; text++)
		pg->text[n++] = *text == '\n' || *text == '\t' ? ' ' : *text;
	while (n > 0 && pg->text[n - 1] == ' ')
		n--;
	pg->text[n] = '\0';
}

void
pg_close(struct pg *pg)
{
	PQfinish(pg->conn);
	pg->conn = NULL;
}

static bool
lose(struct pg *pg, enum pg_failure why, const char *text)
{
	pg->failure = why;
	pg->state[0] = '\0';
	set_text(pg, text != NULL ? text : PQerrorMessage(pg->conn));
	pg_close(pg);
	return false;
}

/* Which errors pass by themselves is PostgreSQL's own classification: appendix A. */
static enum pg_failure
classify(const char *state)
{
	static const struct {
		const char *prefix;
		enum pg_failure failure;
	} classes[] = {
		{ "22", PG_DATA },  { "23", PG_DATA },  { "54", PG_DATA },  { "08", PG_LOST },
		{ "25", PG_LATER }, { "40", PG_LATER }, { "53", PG_LATER }, { "55", PG_LATER },
		{ "57", PG_LATER }, { "58", PG_LATER }, { "XX", PG_LATER },
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(state, classes[i].prefix, 2) == 0)
			return classes[i].failure;
	return PG_WRONG;
}

static bool
refuse(struct pg *pg, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (PQstatus(pg->conn) == CONNECTION_BAD)
		return lose(pg, PG_LOST, state != NULL ? PQresultErrorMessage(res) : NULL);
	snprintf(pg->state, sizeof(pg->state), "%s", state != NULL ? state : "");
	set_text(pg, PQresultErrorMessage(res));
	pg->failure = state != NULL ? classify(state) : PG_LATER;
	return false;
}

/* Until the socket is ready for `events`.  What came in meanwhile is consumed by the caller. */
static bool
wait_socket(struct pg *pg, short events, int64_t deadline)
{
	struct pollfd p[2] = { { PQsocket(pg->conn), events, 0 }, { pg->stop_fd, POLLIN, 0 } };
	int64_t left = (deadline - clock_boot_us()) / 1000;

	if (left <= 0)
		return lose(pg, PG_LOST, "the database did not answer in time");
	if (poll(p, 2, (int)left) == -1)
		return true; /* EINTR: the caller looks again */
	if (p[1].revents != 0)
		return lose(pg, PG_STOPPED, "stopped");
	return true;
}

static int64_t
deadline_of(const struct pg *pg)
{
	return clock_boot_us() + (int64_t)pg->timeout_ms * 1000;
}

/* Everything sent; reads at the same time, because the server may be blocked writing to us. */
static bool
flush(struct pg *pg, int64_t deadline)
{
	int left;

	while ((left = PQflush(pg->conn)) == 1) {
		if (!wait_socket(pg, POLLIN | POLLOUT, deadline))
			return false;
		if (!PQconsumeInput(pg->conn))
			return lose(pg, PG_LOST, NULL);
	}
	return left == 0 || lose(pg, PG_LOST, NULL);
}

/* The next result, NULL with failure PG_FINE when there is none left. */
static PGresult *
next_result(struct pg *pg, int64_t deadline)
{
	while (PQisBusy(pg->conn)) {
		if (!wait_socket(pg, POLLIN, deadline))
			return NULL;
		if (!PQconsumeInput(pg->conn)) {
			lose(pg, PG_LOST, NULL);
			return NULL;
		}
	}
	return PQgetResult(pg->conn);
}

/* All results of what was sent: the last good one, or NULL if one failed. */
static PGresult *
collect(struct pg *pg)
{
	int64_t deadline = deadline_of(pg);
	PGresult *res, *last = NULL;

	pg->failure = PG_FINE;
	if (!flush(pg, deadline))
		return NULL;
	while ((res = next_result(pg, deadline)) != NULL) {
		ExecStatusType st = PQresultStatus(res);

		PQclear(last);
		last = res;
		if (st == PGRES_COPY_IN)
			return res; /* the rest comes after the data */
		if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK && pg->failure == PG_FINE && !refuse(pg, res) &&
		    pg->conn == NULL)
			break;
	}
	if (pg->failure == PG_FINE && last != NULL)
		return last;
	PQclear(last);
	if (pg->failure == PG_FINE)
		lose(pg, PG_LOST, NULL);
	return NULL;
}

static bool
ready(struct pg *pg)
{
	if (pg->conn != NULL)
		return true;
	pg->failure = PG_LOST;
	pg->state[0] = '\0';
	set_text(pg, "not connected to the database");
	return false;
}

static bool
connect_steps(struct pg *pg, int64_t deadline)
{
	PostgresPollingStatusType st = PGRES_POLLING_WRITING;

	while (st == PGRES_POLLING_READING || st == PGRES_POLLING_WRITING) {
		if (!wait_socket(pg, st == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
			return false;
		st = PQconnectPoll(pg->conn);
	}
	return st == PGRES_POLLING_OK || lose(pg, PG_LOST, NULL);
}

static void
on_notice(void *arg, const char *text)
{
	struct pg line;

	(void)arg;
	set_text(&line, text);
	log_debug("store", "%s", line.text);
}

bool
pg_connect(struct pg *pg, const char *conninfo)
{
	char session[512];
	int64_t deadline = clock_boot_us() + 10000000;

	pg_close(pg);
	pg->failure = PG_FINE;
	pg->conn = PQconnectStart(conninfo);
	if (pg->conn == NULL || PQstatus(pg->conn) == CONNECTION_BAD)
		return lose(pg, PG_LOST, pg->conn == NULL ? "out of memory" : NULL);
	if (!connect_steps(pg, deadline))
		return false;
	PQsetnonblocking(pg->conn, 1);
	PQsetNoticeProcessor(pg->conn, on_notice, NULL);
	snprintf(
		session, sizeof(session),
		"SET search_path = faultline, pg_temp; SET timezone = 'UTC'; SET client_min_messages = warning;"
		"SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET application_name = 'faultlined';"
		"SET statement_timeout = %d; SET lock_timeout = %d; SET idle_in_transaction_session_timeout = %d",
		pg->timeout_ms, pg->timeout_ms / 2, pg->timeout_ms);
	return pg_run(pg, session);
}

PGresult *
pg_exec(struct pg *pg, const char *sql)
{
	if (!ready(pg))
		return NULL;
	if (!PQsendQuery(pg->conn, sql)) {
		lose(pg, PG_LOST, NULL);
		return NULL;
	}
	return collect(pg);
}

bool
pg_run(struct pg *pg, const char *sql)
{
	PGresult *res = pg_exec(pg, sql);

	PQclear(res);
	return res != NULL;
}

PGresult *
pg_query(struct pg *pg, const char *sql, int n, const char *const *params)
{
	if (!ready(pg))
		return NULL;
	if (!PQsendQueryParams(pg->conn, sql, n, NULL, params, NULL, NULL, 0)) {
		lose(pg, PG_LOST, NULL);
		return NULL;
	}
	return collect(pg);
}

bool
pg_run_params(struct pg *pg, const char *sql, int n, const char *const *params)
{
	PGresult *res = pg_query(pg, sql, n, params);

	PQclear(res);
	return res != NULL;
}

bool
pg_copy_begin(struct pg *pg, const char *sql)
{
	PGresult *res = pg_exec(pg, sql);
	bool ok = res != NULL && PQresultStatus(res) == PGRES_COPY_IN;

	PQclear(res);
	return ok;
}

bool
pg_copy_put(struct pg *pg, const void *data, size_t len)
{
	const char *p = data;

	if (!ready(pg))
		return false;
	/* In pieces, so that libpq does not collect everything before it sends. */
	while (len > 0) {
		size_t n = len < 65536 ? len : 65536;

		if (PQputCopyData(pg->conn, p, (int)n) != 1)
			return lose(pg, PG_LOST, NULL);
		if (!flush(pg, deadline_of(pg)))
			return false;
		p += n;
		len -= n;
	}
	return true;
}

bool
pg_copy_end(struct pg *pg)
{
	PGresult *res;

	if (!ready(pg))
		return false;
	if (PQputCopyEnd(pg->conn, NULL) != 1)
		return lose(pg, PG_LOST, NULL);
	res = collect(pg);
	PQclear(res);
	return res != NULL;
}
