/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/logline.h"
#include "collector/store/days.h"
#include "collector/store/pg.h"
#include "collector/store/textbuf.h"

#define DAYS_A_TURN 16

char *
days_table(int32_t day, char buf[DAYS_TABLE_SIZE])
{
	char d[16];

	day_text(day, d);
	snprintf(buf, DAYS_TABLE_SIZE, "reports_%.4s%.2s%.2s", d, d + 5, d + 8);
	return buf;
}

bool
days_ensure(struct pg *pg, int32_t day)
{
	char sql[1024], table[DAYS_TABLE_SIZE], from[16], to[16];
	PGresult *res;
	bool there;

	days_table(day, table);
	snprintf(sql, sizeof(sql), "SELECT 1 FROM days WHERE day = '%s' AND NOT closed", day_text(day, from));
	res = pg_exec(pg, sql);
	if (res == NULL)
		return false;
	there = PQntuples(res) == 1;
	PQclear(res);
	if (there)
		return true;
	/* Made apart and attached: that lets readers of the other days go on, and a late row
	 * opens a closed day again. */
	snprintf(sql, sizeof(sql),
		 "CREATE TABLE IF NOT EXISTS %s (LIKE reports INCLUDING DEFAULTS INCLUDING INDEXES);"
		 "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = '%s'::regclass) THEN"
		 " ALTER TABLE reports ATTACH PARTITION %s FOR VALUES FROM ('%s 00:00Z') TO ('%s 00:00Z');"
		 " END IF; END $$;"
		 "INSERT INTO days (day) VALUES ('%s') ON CONFLICT (day) DO UPDATE SET closed = false",
		 table, table, table, from, day_text(day + 1, to), from);
	return pg_run(pg, sql);
}

/* After a refusal in a transaction: back to none.  False if the connection is gone. */
static bool
put_off(struct pg *pg, const char *what, const char *table)
{
	if (pg->conn == NULL)
		return false;
	log_warn("store", "%s of %s is put off: %s", what, table, pg->text);
	return pg_run(pg, "ROLLBACK");
}

static bool
close_day(struct pg *pg, int32_t day)
{
	char sql[2048], table[DAYS_TABLE_SIZE], d[16];

	days_table(day, table);
	day_text(day, d);
	snprintf(sql, sizeof(sql),
		 "BEGIN;"
		 "CREATE INDEX IF NOT EXISTS %s_host ON %s (tenant, host, position);"
		 "CREATE INDEX IF NOT EXISTS %s_signature ON %s (tenant, signature, position);"
		 "UPDATE signature_days AS t SET hosts = s.hosts FROM (SELECT tenant, signature,"
		 " count(DISTINCT host) AS hosts FROM %s WHERE outcome & 1 = 0 GROUP BY 1, 2) AS s"
		 " WHERE t.day = '%s' AND t.tenant = s.tenant AND t.signature = s.signature;"
		 "UPDATE days SET closed = true WHERE day = '%s'; COMMIT",
		 table, table, table, table, table, d, d);
	if (!pg_run(pg, sql))
		return put_off(pg, "closing", table);
	log_info("store", "closed the day %s", d);
	/* Cannot run in a transaction; only speeds up reading. */
	snprintf(sql, sizeof(sql), "VACUUM (ANALYZE) %s", table);
	return pg_run(pg, sql) || pg->conn != NULL;
}

/* Days that `where` selects, oldest first; -1 when the connection failed. */
static int
list_days(struct pg *pg, const char *where, int32_t day, int32_t out[DAYS_A_TURN])
{
	char sql[256], d[16];
	PGresult *res;
	int n;

	snprintf(sql, sizeof(sql), "SELECT day - '1970-01-01'::date FROM days WHERE %s day < '%s' ORDER BY 1 LIMIT %d",
		 where, day_text(day, d), DAYS_A_TURN);
	res = pg_exec(pg, sql);
	if (res == NULL)
		return -1;
	n = PQntuples(res);
	for (int i = 0; i < n; i++)
		out[i] = (int32_t)atoi(PQgetvalue(res, i, 0));
	PQclear(res);
	return n;
}

bool
days_close(struct pg *pg, int32_t today)
{
	int32_t days[DAYS_A_TURN];
	int n = list_days(pg, "NOT closed AND", today, days);

	for (int i = 0; i < n; i++)
		if (!close_day(pg, days[i]))
			return false;
	return n >= 0;
}

bool
days_drop(struct pg *pg, int32_t first_kept)
{
	int32_t days[DAYS_A_TURN];
	int n = list_days(pg, "", first_kept, days);

	for (int i = 0; i < n; i++) {
		char sql[256], table[DAYS_TABLE_SIZE], d[16];

		days_table(days[i], table);
		snprintf(sql, sizeof(sql),
			 "BEGIN; DROP TABLE IF EXISTS %s; DELETE FROM report_days WHERE day = '%s';"
			 "DELETE FROM days WHERE day = '%s'; COMMIT",
			 table, day_text(days[i], d), d);
		if (!pg_run(pg, sql)) {
			if (!put_off(pg, "dropping", table))
				return false;
		} else
			log_info("store", "dropped the reports of %s", d);
	}
	return n >= 0;
}
