/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/signature.h"
#include "collector/store/days.h"
#include "collector/store/filing.h"
#include "collector/store/pg.h"
#include "collector/store/textbuf.h"

enum { TENANT, POSITION, SIGNATURE, MODULE, MODULE_ID, OFFSET, CLASS, RECEIVED, COLUMNS };

/* A title of a signature whose every part is in the row. */
static size_t
title_of(const PGresult *res, int row, char *out, size_t size)
{
	struct signature_key key = { text_of(PQgetvalue(res, row, MODULE)), text_of(PQgetvalue(res, row, MODULE_ID)),
				     (uint64_t)strtoll(PQgetvalue(res, row, OFFSET), NULL, 10),
				     (enum reason_class)atoi(PQgetvalue(res, row, CLASS)) };

	return signature_title(&key, out, size);
}

/* Union of the days that may hold the positions: "SELECT … FROM reports_20240719 …". */
static bool
claims_query(struct pg *pg, int log_no, const char *positions, struct textbuf *sql)
{
	static const char days[] = "SELECT d.day - '1970-01-01'::date FROM report_days AS d WHERE d.log = $1::int2 AND"
				   " EXISTS (SELECT FROM unnest($2::int8[]) AS p (pos)"
				   " WHERE pos BETWEEN d.first_position AND d.last_position)";
	char no[16], table[DAYS_TABLE_SIZE];
	const char *params[] = { no, positions };
	PGresult *res;

	snprintf(no, sizeof(no), "%d", log_no);
	res = pg_query(pg, days, 2, params);
	if (res == NULL)
		return false;
	textbuf_reset(sql);
	textbuf_printf(sql, "SELECT NULL::int8 AS position, NULL::int8 AS signature WHERE false");
	for (int i = 0; i < PQntuples(res); i++)
		textbuf_printf(sql,
			       " UNION ALL SELECT position, signature FROM %s WHERE log = %d AND position = ANY ($2)",
			       days_table((int32_t)atoi(PQgetvalue(res, i, 0)), table), log_no);
	PQclear(res);
	return true;
}

static bool
store(struct pg *pg, int log_no, struct textbuf *cols, const char *claims)
{
	static const char format_head
		[] = "WITH claims AS (",
     format_tail[] =
		"), t AS MATERIALIZED (SELECT DISTINCT ON (t.position) t.*, c.signature AS claimed FROM"
		" unnest($1::int2[], $2::int8[], $3::int8[], $4::text[], $5::text[], $6::int8[], $7::int2[],"
		" $8::timestamptz[], $9::text[])"
		" AS t (tenant, position, signature, module, module_id, off, class, received, title)"
		" JOIN claims AS c USING (position) WHERE c.signature <> t.signature),"
		" a AS (INSERT INTO aliases AS x (tenant, claimed, signature, reports)"
		"  SELECT tenant, claimed, signature, count(*) FROM t GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
		"  ON CONFLICT (tenant, claimed, signature) DO UPDATE SET reports = x.reports + excluded.reports"
		"  RETURNING 1)"
		" INSERT INTO signatures AS x (tenant, id, rung, reason_class, kinds, \"offset\", first_seen, last_seen,"
		" first_log, first_position, reports, crashes, triaged, title, module, module_id)"
		" SELECT tenant, signature, 0, min(class), 0, min(off), min(received), max(received), $10::int2,"
		" min(position), 0, 0, count(*), min(title), min(module), min(module_id) FROM t GROUP BY 1, 2 ORDER BY 1, 2"
		" ON CONFLICT (tenant, id) DO UPDATE SET triaged = x.triaged + excluded.triaged,"
		" last_seen = greatest(x.last_seen, excluded.last_seen)";
	struct textbuf sql = { 0 };
	const char *params[COLUMNS + 2];
	char no[16];
	bool ok;

	snprintf(no, sizeof(no), "%d", log_no);
	for (int i = 0; i <= COLUMNS; i++)
		params[i] = textbuf_string(&cols[i]);
	params[COLUMNS + 1] = no;
	textbuf_put(&sql, format_head, sizeof(format_head) - 1);
	textbuf_put(&sql, claims, strlen(claims));
	textbuf_put(&sql, format_tail, sizeof(format_tail) - 1);
	ok = pg_run_params(pg, textbuf_string(&sql), COLUMNS + 2, params);
	textbuf_free(&sql);
	return ok;
}

bool
filing_store(struct pg *pg, int log_no, const PGresult *results)
{
	struct textbuf cols[COLUMNS + 1] = { 0 }, claims = { 0 };
	char title[512];
	bool ok = true;
	int n = 0;

	for (int i = 0; i <= COLUMNS; i++)
		array_open(&cols[i]);
	for (int row = 0; row < PQntuples(results); row++) {
		if (atoll(PQgetvalue(results, row, SIGNATURE)) == 0)
			continue; /* triage blamed no module */
		for (int i = 0; i < COLUMNS; i++)
			array_text(&cols[i], text_of(PQgetvalue(results, row, i)));
		title_of(results, row, title, sizeof(title));
		array_text(&cols[COLUMNS], text_of(title));
		n++;
	}
	for (int i = 0; i <= COLUMNS; i++)
		array_close(&cols[i]);
	if (n > 0)
		ok = claims_query(pg, log_no, textbuf_string(&cols[POSITION]), &claims) &&
		     store(pg, log_no, cols, textbuf_string(&claims));
	for (int i = 0; i <= COLUMNS; i++)
		textbuf_free(&cols[i]);
	textbuf_free(&claims);
	return ok;
}
