/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/crypto.h"
#include "base/logline.h"
#include "collector/store/days.h"
#include "collector/store/outcomes.h"
#include "collector/store/pg.h"
#include "collector/store/projector.h"
#include "collector/store/schema.h"
#include "collector/store/stretch.h"
#include "collector/store/textbuf.h"

#define READ_WAIT_MS      250
#define BACKOFF_MIN_MS    100
#define BACKOFF_MAX_MS    10000
#define SMALL_ROWS        1000      /* a smaller stretch is followed by a short rest, */
#define REST_MS           50        /* so that a trickle is not a transaction a report */
#define ALIVE_US          5000000ll /* look whether an idle database answers */
#define UPKEEP_US         600000000ll
#define RECORDS_MAX       200000             /* of a stretch: most records leave no row, and a transaction must end */
#define BYTES_MAX         ((size_t)16 << 20) /* of what waits in memory for its end */
#define UPKEEP_TIMEOUT_MS 3600000            /* an index over a day of a large fleet takes its time */

struct projector {
	char *conninfo;
	struct log *log;
	struct outcomes *outcomes;
	int timeout_ms;
	uint64_t (*log_records)(void *arg);
	void *arg;
	atomic_uint batch_rows, report_days;
	pthread_t thread;
	int stop_fd;
	_Atomic uint64_t position;
	atomic_bool stop, up;
	int64_t patient_until_us; /* boot time; 0 once connected */
	_Atomic(const char *) problem;
	char problem_text[600];
	char told[600]; /* last failure told, so that a repeated one is told once */
	/* the thread's */
	struct pg pg;
	struct log_id log_id;
	struct log_reader *reader;
	struct batch_view batch; /* read, and not wholly written yet if has_batch */
	bool has_batch;
	struct stretch *stretch; /* NULL until claimed */
	bool claimed;
	int log_no, epoch;
	uint64_t at;             /* committed */
	uint64_t records;        /* of this log in the database */
	uint64_t records_offset; /* the log's count when we had all, minus ours */
	uint32_t max_records;    /* less than all while a poisonous record is looked for */
	uint32_t refusals;       /* PG_DATA in a row at this position */
	int backoff_ms;
	int64_t alive_at, upkeep_at;
};

static bool
stopping(const struct projector *p)
{
	return atomic_load(&p->stop);
}

static void
rest(struct projector *p, int ms)
{
	struct pollfd f = { p->stop_fd, POLLIN, 0 };

	poll(&f, 1, ms);
}

static void
set_up(struct projector *p, bool up)
{
	if (up && p->told[0] != '\0' && p->refusals == 0) {
		log_info("store", "the database answers again");
		p->told[0] = '\0';
	}
	atomic_store(&p->up, up);
	counter_set(COUNTER_database_up, up);
}

/* Nothing goes on by itself from here. */
static void
give_up(struct projector *p, const char *why)
{
	snprintf(p->problem_text, sizeof(p->problem_text), "%s", why);
	counter_add(COUNTER_store_failures, 1);
	log_error("store", "no longer writing to the database: %s", why);
	set_up(p, false);
	atomic_store(&p->problem, p->problem_text);
}

/* Tell of a failed call, once while it repeats, and rest before the next try. */
static void
failed(struct projector *p, const char *what)
{
	char line[sizeof(p->told)];

	if (p->pg.failure == PG_STOPPED)
		return;
	counter_add(COUNTER_store_failures, 1);
	snprintf(line, sizeof(line), "%s: %s%s%s", what, p->pg.text, p->pg.state[0] ? ", SQLSTATE " : "", p->pg.state);
	if (strcmp(line, p->told) != 0)
		log_warn("store", "%s; trying again", line);
	set_up(p, false);
	memcpy(p->told, line, sizeof(line));
	if (p->pg.failure == PG_DATA)
		return; /* not the server's trouble: waiting helps nobody */
	rest(p, p->backoff_ms);
	p->backoff_ms = p->backoff_ms * 2 < BACKOFF_MAX_MS ? p->backoff_ms * 2 : BACKOFF_MAX_MS;
}

/* ---- the session: connected, schema applied, position ours ---- */

static void
hex_id(const struct log_id *id, char out[40])
{
	char *p = stpcpy(out, "\\x");

	for (int i = 0; i < 16; i++)
		p += sprintf(p, "%02x", id->uuid[i]);
}

/* First session of this process: a new epoch, which shuts out any older projector. */
static PGresult *
claim(struct projector *p, const char *uuid)
{
	static const char make[] =
		"INSERT INTO logs (no, uuid, seed) SELECT coalesce(max(no), 0) + 1, $1::bytea, $2::int8 FROM logs"
		" WHERE NOT EXISTS (SELECT FROM logs WHERE uuid = $1::bytea) HAVING NOT EXISTS"
		" (SELECT FROM logs WHERE uuid = $1::bytea)";
	static const char take[] = "UPDATE logs SET epoch = epoch + 1 WHERE uuid = $1::bytea"
				   " RETURNING no, epoch, position, seed, records";
	char seed[24];
	const char *params[] = { uuid, seed };
	PGresult *res;

	snprintf(seed, sizeof(seed), "%" PRId64, (int64_t)random_u64());
	if (!pg_run(&p->pg, "BEGIN; LOCK TABLE logs IN SHARE ROW EXCLUSIVE MODE") ||
	    !pg_run_params(&p->pg, make, 2, params) || (res = pg_query(&p->pg, take, 1, params)) == NULL)
		return NULL;
	if (pg_run(&p->pg, "COMMIT"))
		return res;
	PQclear(res);
	return NULL;
}

static bool
read_position(struct projector *p)
{
	char uuid[40];
	const char *params[] = { uuid };
	PGresult *res;
	int epoch;

	hex_id(&p->log_id, uuid);
	res = p->claimed
		      ? pg_query(&p->pg, "SELECT no, epoch, position, seed, records FROM logs WHERE uuid = $1::bytea",
				 1, params)
		      : claim(p, uuid);
	if (res == NULL)
		return false;
	if (PQntuples(res) != 1) { /* somebody emptied the database under us: begin again */
		PQclear(res);
		p->claimed = false;
		p->pg.failure = PG_LATER;
		snprintf(p->pg.text, sizeof(p->pg.text), "the database does not know this log any more");
		return false;
	}
	p->log_no = atoi(PQgetvalue(res, 0, 0));
	epoch = atoi(PQgetvalue(res, 0, 1));
	p->at = (uint64_t)strtoll(PQgetvalue(res, 0, 2), NULL, 10);
	p->records = (uint64_t)strtoll(PQgetvalue(res, 0, 4), NULL, 10);
	if (!p->claimed) {
		stretch_free(p->stretch);
		p->stretch = stretch_new((uint64_t)strtoll(PQgetvalue(res, 0, 3), NULL, 10), p->log_no);
		p->epoch = epoch;
		p->claimed = p->stretch != NULL;
	}
	PQclear(res);
	if (p->claimed && epoch != p->epoch)
		give_up(p, "another faultlined writes this log into the database");
	return p->claimed;
}

/* Read the log from p->at again. */
static void
reopen_reader(struct projector *p)
{
	log_reader_free(p->reader);
	p->has_batch = false;
	p->reader = log_reader_new(p->log, batch_of_record(p->at));
	if (p->outcomes != NULL)
		outcomes_seek(p->outcomes, batch_of_record(p->at));
}

/* What is in the database is not asked for again. */
static void
release(struct projector *p)
{
	log_release_below(p->log, LOG_FLOOR_STORE, p->at);
	if (p->outcomes != NULL)
		outcomes_release(p->outcomes, p->at);
}

static bool
open_session(struct projector *p)
{
	if (p->pg.conn != NULL)
		return true;
	if (!pg_connect(&p->pg, p->conninfo)) {
		if (clock_boot_us() < p->patient_until_us)
			rest(p, BACKOFF_MIN_MS);
		else
			failed(p, "cannot reach the database");
		return false;
	}
	p->patient_until_us = 0;
	if (!schema_apply(&p->pg)) {
		if (p->pg.failure == PG_WRONG && p->pg.state[0] == '\0')
			give_up(p, p->pg.text);
		else
			failed(p, "cannot prepare the database");
		pg_close(&p->pg);
		return false;
	}
	if (!read_position(p)) {
		failed(p, "cannot read the position in the database");
		pg_close(&p->pg);
		return false;
	}
	if (atomic_load(&p->problem) != NULL)
		return false;
	atomic_store(&p->position, p->at);
	release(p);
	reopen_reader(p);
	set_up(p, true);
	return true;
}

/* ---- one transaction ---- */

static void
publish_lag(struct projector *p, bool caught_up)
{
	uint64_t all = p->log_records != NULL ? p->log_records(p->arg) : counter_get(COUNTER_log_records);
	uint64_t ours = p->records + p->records_offset;

	/* Our count began with the first record we saw, the log's perhaps elsewhere. */
	if (caught_up) {
		p->records_offset = all - p->records;
		ours = all;
	}
	counter_set(COUNTER_projector_lag_records, (int64_t)(all - ours) > 0 ? all - ours : 0);
}

/* The stretch's transaction: takes the row of our log, so that nobody else can move it. */
static bool
begin(struct projector *p)
{
	char sql[160];
	PGresult *res;
	uint64_t at;
	int epoch;

	snprintf(sql, sizeof(sql), "BEGIN; SELECT epoch, position FROM logs WHERE no = %d FOR UPDATE", p->log_no);
	res = pg_exec(&p->pg, sql);
	if (res == NULL)
		return false;
	epoch = PQntuples(res) == 1 ? atoi(PQgetvalue(res, 0, 0)) : -1;
	at = PQntuples(res) == 1 ? (uint64_t)strtoll(PQgetvalue(res, 0, 1), NULL, 10) : 0;
	PQclear(res);
	if (epoch == p->epoch && at == p->at)
		return true;
	/* Fenced, or a commit of ours whose fate was unknown came through after all: the next
	 * session finds out. */
	p->pg.failure = PG_LATER;
	p->pg.state[0] = '\0';
	snprintf(p->pg.text, sizeof(p->pg.text), "the position in the database moved");
	pg_close(&p->pg);
	return false;
}

static bool
commit(struct projector *p, uint64_t next, uint64_t records)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "UPDATE logs SET position = %" PRId64 ", records = records + %" PRIu64
		 ", updated = now() WHERE no = %d; COMMIT",
		 (int64_t)next, records, p->log_no);
	if (!pg_run(&p->pg, sql))
		return false;
	p->at = next;
	p->records += records;
	atomic_store(&p->position, next);
	return true;
}

/* The transaction failed; p->pg says how.  Afterwards the same stretch is read again, or
 * less of it when the database refuses something in it. */
static void
recover(struct projector *p, uint32_t n_records)
{
	enum pg_failure why = p->pg.failure;

	stretch_clear(p->stretch, false);
	if (why == PG_STOPPED)
		return;
	if (why == PG_DATA && ++p->refusals > 1)
		p->max_records = n_records > 1 ? n_records / 2 : 1;
	failed(p, "cannot write to the database");
	/* A COPY may be half way: a new connection is the surest way out of it. */
	pg_close(&p->pg);
}

static void
committed(struct projector *p)
{
	counter_add(COUNTER_store_transactions, 1);
	counter_add(COUNTER_store_rows, stretch_rows(p->stretch));
	stretch_clear(p->stretch, true);
	p->backoff_ms = BACKOFF_MIN_MS;
	p->refusals = 0;
	p->alive_at = clock_boot_us();
	if (p->max_records <= UINT32_MAX / 4)
		p->max_records *= 4; /* past the poison, back to full speed */
	else
		p->max_records = UINT32_MAX;
	set_up(p, true);
	release(p);
	publish_lag(p, false);
}

/* What one turn took from the log. */
struct turn {
	uint64_t next; /* position behind it */
	uint32_t n;    /* records */
};

/* Take the records of a batch that are still to be written.  False: p->pg says why.
 * *full_out: the transaction shall end here. */
static bool
take_batch(struct projector *p, const struct batch_view *b, struct turn *t, bool *full_out)
{
	struct record_view rec;
	uint32_t cursor = 0;

	while (batch_next(b, &cursor, &rec, NULL)) {
		uint32_t bits;

		rec.pos = batch_record_pos(b->first, rec.index);
		if (rec.pos < p->at)
			continue;
		if (t->n >= p->max_records || stretch_rows(p->stretch) >= atomic_load(&p->batch_rows) ||
		    !stretch_fits(p->stretch, &rec)) {
			*full_out = true;
			t->next = rec.pos;
			return true;
		}
		bits = p->outcomes != NULL ? outcomes_get(p->outcomes, b->first, rec.pos) : 0;
		t->n++;
		if (!stretch_add(p->stretch, &p->pg, &rec, bits))
			return false;
	}
	t->next = b->next;
	return true;
}

/* The first record at our position alone is refused: keep it aside and go on behind it. */
static bool
reject(struct projector *p, const char *error)
{
	struct batch_view b;
	struct record_view rec;
	uint32_t cursor = 0;

	if (log_read(p->reader, &b, READ_WAIT_MS) != LOG_BATCH)
		return false;
	while (batch_next(&b, &cursor, &rec, NULL)) {
		rec.pos = batch_record_pos(b.first, rec.index);
		if (rec.pos < p->at)
			continue;
		counter_add(COUNTER_store_rejected, 1);
		log_error("store", "record %" PRIu64 " of type %d is not for the database: %s", rec.pos, (int)rec.type,
			  error);
		p->batch = b;
		p->has_batch = true;
		return begin(p) && stretch_reject(p->stretch, &p->pg, &rec, error) && commit(p, rec.pos + 1, 1);
	}
	return false;
}

/* From the batch that is there to as many as fit; one transaction. */
static void
project(struct projector *p)
{
	struct turn t = { .next = p->at };
	bool full = false, ok = begin(p);
	char error[sizeof(p->pg.text)];

	while (ok) {
		ok = take_batch(p, &p->batch, &t, &full);
		if (!ok || full)
			break;
		p->has_batch = false;
		if (t.n >= RECORDS_MAX || stretch_bytes(p->stretch) >= BYTES_MAX)
			break;
		p->has_batch = log_read(p->reader, &p->batch, 0) == LOG_BATCH;
		if (!p->has_batch || stopping(p) ||
		    (p->outcomes != NULL && !outcomes_wait(p->outcomes, p->batch.next, 0)))
			break;
	}
	ok = ok && stretch_store(p->stretch, &p->pg) && commit(p, t.next, t.n);
	if (ok) {
		bool small = stretch_rows(p->stretch) < SMALL_ROWS;

		committed(p);
		if (small && !p->has_batch)
			rest(p, REST_MS);
		return;
	}
	snprintf(error, sizeof(error), "%s", p->pg.text);
	if (p->pg.failure == PG_DATA && t.n == 1 && p->refusals > 1) {
		stretch_clear(p->stretch, false);
		pg_close(&p->pg); /* a COPY may be half way: a new connection is the surest way out */
		if (open_session(p) && reject(p, error)) {
			committed(p);
			return;
		}
	}
	recover(p, t.n);
}

/* The log let go of what we wanted: say so in the database and go on. */
static void
bridge(struct projector *p, uint64_t oldest)
{
	uint64_t from = p->at;

	if (oldest <= p->at) { /* kept after all */
		reopen_reader(p);
		return;
	}
	log_warn("store", "the log no longer holds positions %" PRIu64 " to %" PRIu64 ": the database has a gap", from,
		 oldest);
	if (begin(p) && stretch_gap(p->stretch, &p->pg, from, oldest, "released before it was read") &&
	    commit(p, oldest, 0)) {
		committed(p);
		reopen_reader(p);
	} else
		recover(p, 0);
}

/* ---- upkeep and the loop ---- */

static void
upkeep(struct projector *p)
{
	int32_t today = (int32_t)(store_time(clock_wall_us()) / STORE_DAY_US);
	uint32_t keep = atomic_load(&p->report_days);
	bool ok;

	if (clock_boot_us() < p->upkeep_at)
		return;
	p->upkeep_at = clock_boot_us() + UPKEEP_US;
	p->pg.timeout_ms = UPKEEP_TIMEOUT_MS;
	/* A day is over only when no gate can still be about to log a record of it. */
	ok = pg_run(&p->pg, "SET statement_timeout = '1h'") &&
	     days_close(&p->pg, (int32_t)((store_time(clock_wall_us()) - 600000000) / STORE_DAY_US)) &&
	     (keep == 0 || days_drop(&p->pg, today - (int32_t)keep));
	p->pg.timeout_ms = p->timeout_ms;
	if (ok) {
		char sql[64];

		snprintf(sql, sizeof(sql), "SET statement_timeout = %d", p->timeout_ms);
		ok = pg_run(&p->pg, sql);
	}
	if (!ok) {
		failed(p, "upkeep of the database");
		pg_close(&p->pg);
	}
}

static void
idle(struct projector *p)
{
	publish_lag(p, true);
	if (clock_boot_us() - p->alive_at < ALIVE_US)
		return;
	p->alive_at = clock_boot_us();
	if (!pg_run(&p->pg, "SELECT 1")) {
		failed(p, "the database is gone");
		pg_close(&p->pg);
	}
}

static void
turn(struct projector *p)
{
	struct batch_view b;

	upkeep(p);
	if (p->pg.conn == NULL)
		return;
	if (p->reader == NULL) {
		rest(p, BACKOFF_MAX_MS);
		reopen_reader(p);
		return;
	}
	if (p->has_batch) {
		if (p->outcomes != NULL && !outcomes_wait(p->outcomes, p->batch.next, READ_WAIT_MS))
			return; /* the fold has not decided about it yet */
		project(p);
		return;
	}
	switch (log_read(p->reader, &b, READ_WAIT_MS)) {
	case LOG_BATCH:
		p->batch = b;
		p->has_batch = b.next > p->at;
		break;
	case LOG_WAIT:
		idle(p);
		break;
	case LOG_TRUNCATED:
		bridge(p, b.first);
		break;
	case LOG_REWOUND:
		give_up(p, "the log's history changed");
		break;
	case LOG_BROKEN_READ:
		log_warn("store", "the log cannot be read; trying again");
		rest(p, BACKOFF_MAX_MS);
		reopen_reader(p);
		break;
	}
}

static void *
projector_main(void *arg)
{
	struct projector *p = arg;

	while (!stopping(p)) {
		if (atomic_load(&p->problem) != NULL) {
			pg_close(&p->pg);
			rest(p, -1);
		} else if (open_session(p))
			turn(p);
	}
	pg_close(&p->pg);
	log_reader_free(p->reader);
	stretch_free(p->stretch);
	return NULL;
}

/* ---- lifetime ---- */

static int
check_conninfo(const char *conninfo, char *err, size_t err_size)
{
	char *why = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &why);

	if (options == NULL)
		snprintf(err, err_size, "database \"%s\" is no libpq URL or connection string: %s", conninfo,
			 why != NULL ? why : "out of memory");
	PQconninfoFree(options);
	PQfreemem(why);
	return options != NULL ? 0 : -1;
}

struct projector *
projector_start(const struct projector_options *o, char *err, size_t err_size)
{
	struct projector *p;
	uint64_t first, end;

	if (check_conninfo(o->conninfo, err, err_size) == -1)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (p == NULL || (p->conninfo = strdup(o->conninfo)) == NULL) {
		snprintf(err, err_size, "out of memory");
		free(p);
		return NULL;
	}
	p->log = o->log;
	p->outcomes = o->outcomes;
	p->log_records = o->log_records;
	p->arg = o->arg;
	p->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : 60000;
	p->max_records = UINT32_MAX;
	p->patient_until_us = o->patience_ms > 0 ? clock_boot_us() + o->patience_ms * 1000ll : 0;
	p->backoff_ms = BACKOFF_MIN_MS;
	projector_configure(p, o->batch_rows, o->report_days);
	log_bounds(o->log, &first, &end, &p->log_id);
	p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->pg = (struct pg){ .stop_fd = p->stop_fd, .timeout_ms = p->timeout_ms };
	if (p->stop_fd == -1 || pthread_create(&p->thread, NULL, projector_main, p) != 0) {
		snprintf(err, err_size, "cannot start the projector: %s", strerror(errno));
		if (p->stop_fd != -1)
			close(p->stop_fd);
		free(p->conninfo);
		free(p);
		return NULL;
	}
	return p;
}

void
projector_stop(struct projector *p)
{
	uint64_t one = 1;

	if (p == NULL)
		return;
	atomic_store(&p->stop, true);
	if (write(p->stop_fd, &one, sizeof(one)) == -1)
		log_warn("store", "%s", strerror(errno));
	pthread_join(p->thread, NULL);
	close(p->stop_fd);
	free(p->conninfo);
	free(p);
}

void
projector_configure(struct projector *p, uint32_t batch_rows, uint32_t report_days)
{
	atomic_store(&p->batch_rows, batch_rows > 0 ? batch_rows : 1);
	atomic_store(&p->report_days, report_days);
}

uint64_t
projector_position(const struct projector *p)
{
	return atomic_load(&p->position);
}

bool
projector_up(const struct projector *p)
{
	return atomic_load(&p->up);
}

const char *
projector_problem(const struct projector *p)
{
	return atomic_load(&p->problem);
}
