/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "collector/store/days.h"
#include "collector/store/lookup.h"
#include "collector/store/outcomes.h"
#include "collector/store/pages.h"
#include "collector/store/pg.h"

#define BUDGET_US   2000000ll /* of one page; what is left is for the next */
#define WINDOW_ROWS 200000ull /* rows of an open day that are looked at in one statement */
#define SQL_SIZE    4096

#define MICROS(column) "(extract(epoch FROM " column ") * 1000000)::int8"

static const char report_columns[] = "r.log, r.position, r.tenant, r.host, r.signature, " MICROS("r.received") ", " MICROS(
	"r.occurred") ","
		      " r.uptime_s, r.crashes, r.flags, r.kind, r.outcome, o.reason_code, coalesce(s.title, 'unknown'),"
		      " coalesce(i.name, ''), o.module, o.module_version, coalesce(s.module_id, ''), o.reason, o.product, o.version,"
		      " o.os, o.os_build, o.arch, o.hw_class, coalesce(s.\"offset\", 0), coalesce(encode(coalesce(r.dump,"
		      " (SELECT d.sha256 FROM dumps AS d WHERE d.tenant = r.tenant AND d.log = r.log AND d.position = r.position"
		      " LIMIT 1)), 'hex'), ''),"
		      " coalesce(r.details::text, '{}')";
static const char report_joins[] =
	" LEFT JOIN origins o ON o.tenant = r.tenant AND o.id = r.origin LEFT JOIN sites i ON i.tenant = r.tenant AND"
	" i.id = r.site LEFT JOIN signatures s ON s.tenant = r.tenant AND s.id = r.signature";

int
lookup_log(struct pg *pg, const struct log_id *log)
{
	char sql[160], *p = sql + sprintf(sql, "SELECT no FROM logs WHERE uuid = '\\x");
	PGresult *res;
	int no;

	for (int i = 0; i < 16; i++)
		p += sprintf(p, "%02x", log->uuid[i]);
	strcpy(p, "'");
	res = pg_exec(pg, sql);
	no = res != NULL && PQntuples(res) == 1 ? atoi(PQgetvalue(res, 0, 0)) : 0;
	PQclear(res);
	return no;
}

/* ---- rows to structs ---- */

struct row {
	const PGresult *res;
	int row, col;
	struct arena *arena;
	bool failed;
};

static int64_t
take_int(struct row *r)
{
	return strtoll(PQgetvalue(r->res, r->row, r->col++), NULL, 10); /* 0 for null */
}

static const char *
take_text(struct row *r)
{
	const char *v = PQgetvalue(r->res, r->row, r->col);
	size_t n = (size_t)PQgetlength(r->res, r->row, r->col++);
	char *copy = arena_calloc(r->arena, n + 1, 1);

	if (copy == NULL) {
		r->failed = true;
		return "";
	}
	memcpy(copy, v, n);
	return copy;
}

static void
take_report(struct row *r, struct store_report *out)
{
	out->log = (int32_t)take_int(r);
	out->pos = (uint64_t)take_int(r);
	out->tenant = (uint16_t)take_int(r);
	out->host = (uint64_t)take_int(r);
	out->signature = (uint64_t)take_int(r);
	out->received_us = take_int(r);
	out->occurred_us = take_int(r);
	out->uptime_s = (uint64_t)take_int(r);
	out->crashes = (uint64_t)take_int(r);
	out->flags = (uint32_t)take_int(r);
	out->kind = (uint32_t)take_int(r);
	out->outcome = (uint32_t)take_int(r);
	out->reason_code = (uint64_t)take_int(r);
	out->title = take_text(r);
	out->site = take_text(r);
	out->module = take_text(r);
	out->module_version = take_text(r);
	out->module_id = take_text(r);
	out->reason = take_text(r);
	out->product = take_text(r);
	out->version = take_text(r);
	out->os = take_text(r);
	out->os_build = take_text(r);
	out->arch = take_text(r);
	out->hw_class = take_text(r);
	out->offset = (uint64_t)take_int(r);
	out->dump = take_text(r);
	out->details = take_text(r);
	out->triage = "";
}

static bool
too_much(struct pg *pg)
{
	pg->failure = PG_LATER;
	pg->state[0] = '\0';
	snprintf(pg->text, sizeof(pg->text), "the answer is too large");
	return false;
}

/* Append the rows to q->reports, which has room for them. */
static bool
take_reports(struct pg *pg, struct store_query *q, const PGresult *res)
{
	for (int i = 0; i < PQntuples(res); i++) {
		struct row r = { res, i, 0, q->arena, false };

		take_report(&r, &q->reports[q->n]);
		if (r.failed)
			return too_much(pg);
		q->n++;
	}
	return true;
}

/* ---- one report ---- */

static bool
take_triage(struct pg *pg, int log_no, struct store_query *q)
{
	char sql[SQL_SIZE];
	PGresult *res;
	bool ok = true;

	snprintf(sql, sizeof(sql),
		 "SELECT to_jsonb(t) - 'tenant' - 'log' - 'position' FROM triage_results AS t WHERE tenant = %d AND"
		 " log = %d AND position = %" PRId64,
		 (int16_t)q->tenant, log_no, (int64_t)q->key);
	res = pg_exec(pg, sql);
	if (res == NULL)
		return false;
	if (PQntuples(res) == 1) {
		struct row r = { res, 0, 0, q->arena, false };

		q->reports[0].triage = take_text(&r);
		ok = !r.failed || too_much(pg);
	}
	PQclear(res);
	return ok;
}

static bool
one_report(struct pg *pg, int log_no, struct store_query *q, enum store_answer *answer_out)
{
	char sql[SQL_SIZE], table[DAYS_TABLE_SIZE];
	PGresult *days, *res;
	bool ok = true;

	*answer_out = STORE_ABSENT;
	snprintf(sql, sizeof(sql),
		 "SELECT day - '1970-01-01'::date FROM report_days WHERE log = %d AND %" PRId64
		 " BETWEEN first_position AND last_position",
		 log_no, (int64_t)q->key);
	days = pg_exec(pg, sql);
	if (days == NULL)
		return false;
	for (int i = 0; ok && q->n == 0 && i < PQntuples(days); i++) {
		snprintf(sql, sizeof(sql),
			 "SELECT %s FROM %s AS r%s WHERE r.log = %d AND r.position = %" PRId64
			 " AND r.tenant = %d LIMIT 1",
			 report_columns, days_table((int32_t)atoi(PQgetvalue(days, i, 0)), table), report_joins, log_no,
			 (int64_t)q->key, (int16_t)q->tenant);
		res = pg_exec(pg, sql);
		ok = res != NULL && take_reports(pg, q, res);
		PQclear(res);
	}
	PQclear(days);
	if (!ok || q->n == 0)
		return ok;
	*answer_out = STORE_FOUND;
	return take_triage(pg, log_no, q);
}

/* ---- lists of reports ---- */

struct stretch_of_day {
	int32_t log, day;
	uint64_t first, last, rows;
	bool closed;
};

/* Rows of one day with first <= position < end, newest first, into q. */
static bool
list_window(struct pg *pg, struct store_query *q, const struct stretch_of_day *d, uint64_t first, uint64_t end)
{
	char sql[2 * SQL_SIZE], table[DAYS_TABLE_SIZE], where[256];
	uint32_t want = q->limit - q->n;
	PGresult *res;
	bool ok;
	int n;

	snprintf(where, sizeof(where),
		 "r.tenant = %d AND r.log = %d AND r.position >= %" PRId64 " AND r.position < %" PRId64
		 " AND r.outcome & %u = 0",
		 (int16_t)q->tenant, d->log, (int64_t)first, (int64_t)end, OUTCOME_RESENT);
	days_table(d->day, table);
	n = snprintf(sql, sizeof(sql),
		     "SELECT %s FROM (SELECT * FROM (SELECT * FROM %s AS r WHERE %s AND r.%s = %" PRId64
		     " ORDER BY r.position DESC LIMIT %u) AS a",
		     report_columns, table, where, q->what == STORE_REPORTS_OF_HOST ? "host" : "signature",
		     (int64_t)q->key, want);
	if (q->what == STORE_REPORTS_OF_SIGNATURE)
		n += snprintf(sql + n, sizeof(sql) - (size_t)n,
			      " UNION ALL SELECT * FROM %s AS r WHERE %s AND r.signature <> %" PRId64
			      " AND r.position = ANY (ARRAY(SELECT t.position FROM triage_results AS t WHERE"
			      " t.tenant = %d AND t.signature = %" PRId64 " AND t.log = %d AND t.position >= %" PRId64
			      " AND t.position < %" PRId64 " ORDER BY t.position DESC LIMIT %u))",
			      table, where, (int64_t)q->key, (int16_t)q->tenant, (int64_t)q->key, d->log,
			      (int64_t)first, (int64_t)end, want);
	snprintf(sql + n, sizeof(sql) - (size_t)n, ") AS r%s ORDER BY r.position DESC LIMIT %u", report_joins, want);
	res = pg_exec(pg, sql);
	ok = res != NULL && take_reports(pg, q, res);
	PQclear(res);
	return ok;
}

/* Positions below `end` of a day.  A closed day has an index; of an open one bounded
 * stretches are looked at, the newest first, as long as the budget lasts. */
static bool
list_day(struct pg *pg, struct store_query *q, const struct stretch_of_day *d, uint64_t end, int64_t deadline)
{
	uint64_t step = d->closed ? UINT64_MAX : (d->last - d->first) / (d->rows / WINDOW_ROWS + 1) + 1;

	while (end > d->first) {
		uint64_t first = end - d->first > step ? end - step : d->first;

		if (!list_window(pg, q, d, first, end))
			return false;
		q->next = (struct store_cursor){ d->log, d->day, q->n == q->limit ? q->reports[q->n - 1].pos : first };
		end = first;
		if (q->n == q->limit || clock_boot_us() > deadline) {
			q->more = true; /* perhaps an empty page follows */
			return true;
		}
	}
	return true;
}

static bool
list_reports(struct pg *pg, struct store_query *q)
{
	int64_t deadline = clock_boot_us() + BUDGET_US;
	char sql[SQL_SIZE], from[256] = "";
	PGresult *res;
	bool ok = true;

	if (q->from.log != 0)
		snprintf(from, sizeof(from), "WHERE (r.log, r.day) <= (%d, '1970-01-01'::date + %d)", q->from.log,
			 q->from.day);
	snprintf(sql, sizeof(sql),
		 "SELECT r.log, r.day - '1970-01-01'::date, r.first_position, r.last_position, r.reports, d.closed FROM"
		 " report_days AS r JOIN days AS d USING (day) %s ORDER BY r.log DESC, r.day DESC",
		 from);
	res = pg_exec(pg, sql);
	if (res == NULL)
		return false;
	for (int i = 0; ok && !q->more && i < PQntuples(res); i++) {
		struct row r = { res, i, 0, q->arena, false };
		struct stretch_of_day d;
		uint64_t end;

		d.log = (int32_t)take_int(&r);
		d.day = (int32_t)take_int(&r);
		d.first = (uint64_t)take_int(&r);
		d.last = (uint64_t)take_int(&r);
		d.rows = (uint64_t)take_int(&r);
		d.closed = PQgetvalue(res, i, 5)[0] == 't';
		end = d.log == q->from.log && d.day == q->from.day && q->from.pos <= d.last ? q->from.pos : d.last + 1;
		ok = list_day(pg, q, &d, end, deadline);
	}
	PQclear(res);
	return ok;
}

/* ---- days of a signature ---- */

static bool
list_days(struct pg *pg, struct store_query *q)
{
	char sql[SQL_SIZE], from[128] = "";
	PGresult *res;

	if (q->from.day != 0)
		snprintf(from, sizeof(from), " AND day < '1970-01-01'::date + %d", q->from.day);
	snprintf(sql, sizeof(sql),
		 "SELECT day - '1970-01-01'::date, reports, crashes, coalesce(hosts, -1) FROM signature_days WHERE"
		 " tenant = %d AND signature = %" PRId64 "%s ORDER BY day DESC LIMIT %u",
		 (int16_t)q->tenant, (int64_t)q->key, from, q->limit + 1);
	res = pg_exec(pg, sql);
	if (res == NULL)
		return false;
	for (int i = 0; i < PQntuples(res) && q->n < q->limit; i++) {
		struct row r = { res, i, 0, q->arena, false };
		struct store_day *d = &q->days[q->n++];

		d->day = (int32_t)take_int(&r);
		d->reports = (uint64_t)take_int(&r);
		d->crashes = (uint64_t)take_int(&r);
		d->hosts = take_int(&r);
	}
	q->more = PQntuples(res) > (int)q->n;
	if (q->n > 0)
		q->next = (struct store_cursor){ .day = q->days[q->n - 1].day };
	PQclear(res);
	return true;
}

bool
lookup(struct pg *pg, int log_no, struct store_query *q, enum store_answer *answer_out)
{
	uint32_t room;

	q->limit = q->limit < 1 ? 1 : q->limit > STORE_PAGE_MAX ? STORE_PAGE_MAX : q->limit;
	room = q->what == STORE_REPORT ? 1 : q->limit;
	*answer_out = STORE_FOUND;
	q->json = "";
	if (log_no == 0) { /* nothing was ever projected */
		*answer_out = q->what == STORE_REPORT || q->what >= STORE_SIGNATURE_PAGE ? STORE_ABSENT : STORE_FOUND;
		return pg->conn != NULL;
	}
	if (q->what >= STORE_SIGNATURE_PAGE)
		return pages_lookup(pg, log_no, q, answer_out);
	if (q->what == STORE_DAYS_OF_SIGNATURE) {
		q->days = ARENA_ARRAY(q->arena, struct store_day, room);
		return q->days != NULL ? list_days(pg, q) : too_much(pg);
	}
	q->reports = ARENA_ARRAY(q->arena, struct store_report, room);
	if (q->reports == NULL)
		return too_much(pg);
	return q->what == STORE_REPORT ? one_report(pg, log_no, q, answer_out) : list_reports(pg, q);
}
