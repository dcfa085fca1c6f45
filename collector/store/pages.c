/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "collector/store/outcomes.h"
#include "collector/store/pages.h"
#include "collector/store/pg.h"

#define SQL_SIZE      4096
#define SAMPLES       10 /* dumps shown */
#define BEST_OF       50 /* newest results, of which the best one's stack is shown */
#define FILED_MAX     100000
#define CLAIMED_SHOWN 50

#define TIME(column) "to_char(" column ", 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')" /* the session is in UTC */

/* The only value of the only row into q->json. */
static bool
take(struct pg *pg, struct store_query *q, PGresult *res, enum store_answer *answer_out)
{
	size_t n;
	char *copy;

	if (res == NULL)
		return false;
	if (PQntuples(res) == 0 || PQgetisnull(res, 0, 0)) {
		*answer_out = STORE_ABSENT;
		PQclear(res);
		return true;
	}
	n = (size_t)PQgetlength(res, 0, 0);
	if ((copy = arena_calloc(q->arena, n + 1, 1)) != NULL)
		memcpy(copy, PQgetvalue(res, 0, 0), n);
	PQclear(res);
	if (copy == NULL) {
		pg->failure = PG_LATER;
		pg->state[0] = '\0';
		snprintf(pg->text, sizeof(pg->text), "the answer is too large");
		return false;
	}
	q->json = copy;
	*answer_out = STORE_FOUND;
	return true;
}

static void
signature_page(const struct store_query *q, char *sql, size_t size)
{
	const int64_t id = (int64_t)q->key;
	const int tenant = (int16_t)q->tenant;

	snprintf(
		sql, size,
		"WITH t AS MATERIALIZED (SELECT position, log, encode(sha256, 'hex') AS sha256, " TIME(
			"received") " AS received, outcome, partial, format, error, rule, module, \"offset\", frames FROM"
				    " triage_results WHERE tenant = %d AND signature = %" PRId64
				    " ORDER BY position DESC LIMIT %d)"
				    " SELECT json_build_object('dumps', coalesce((SELECT json_agg(x) FROM (SELECT position::text,"
				    " log, sha256, received, outcome, partial, format, error FROM t LIMIT %d) AS x), '[]'),"
				    " 'best', (SELECT row_to_json(x) FROM (SELECT position::text, log, sha256, received, rule, module,"
				    " \"offset\", frames FROM t WHERE outcome = 0 ORDER BY partial, jsonb_array_length(frames) DESC,"
				    " position DESC LIMIT 1) AS x),"
				    " 'claimed', coalesce((SELECT json_agg(x) FROM (SELECT 's1-' || lpad(to_hex(claimed), 16, '0') AS id,"
				    " reports FROM aliases WHERE tenant = %d AND signature = %" PRId64
				    " ORDER BY reports DESC, claimed LIMIT %d) AS x), '[]'))",
		tenant, id, BEST_OF, SAMPLES, tenant, id, CLAIMED_SHOWN);
}

static void
signature_hours(const struct store_query *q, char *sql, size_t size)
{
	const int64_t id = (int64_t)q->key;
	const int tenant = (int16_t)q->tenant;

	snprintf(sql, size,
		 "SELECT coalesce(json_agg(json_build_array(h, n, c, hosts, sites)), '[]') FROM (SELECT"
		 " floor(extract(epoch FROM received) / 3600)::int8 AS h, count(*) AS n,"
		 " sum(crashes) AS c, count(DISTINCT host) AS hosts, count(DISTINCT site) AS sites FROM reports WHERE"
		 " received >= date_trunc('hour', now()) - interval '23 hours' AND tenant = %d AND outcome & %u = 0 AND"
		 " (signature = %" PRId64
		 " OR position = ANY (ARRAY(SELECT position FROM triage_results WHERE tenant = %d AND"
		 " signature = %" PRId64 " ORDER BY position DESC LIMIT %d))) GROUP BY 1) AS x",
		 tenant, OUTCOME_RESENT, id, tenant, id, FILED_MAX);
}

#define DECISION_COLUMNS \
	"position::text, log, " TIME("received") " AS at, deployment, action, automatic, actor, reason, basis::text"

/* The deployment's name is a parameter: it comes from a URL. */
static PGresult *
decisions(struct pg *pg, const struct store_query *q)
{
	char sql[SQL_SIZE], below[128] = "";
	const char *params[] = { q->text };

	if (q->from.log != 0)
		snprintf(below, sizeof(below), " AND (log, position) < (%d, %" PRId64 ")", q->from.log,
			 (int64_t)q->from.pos);
	snprintf(
		sql, sizeof(sql),
		"SELECT coalesce(json_agg(x), '[]') FROM (SELECT " DECISION_COLUMNS
		", (proof - 'votes') || jsonb_build_object('odds', proof -> 'votes' -> -1 -> 'log_odds') AS proof FROM decisions"
		" WHERE tenant = %d AND ($1::text IS NULL OR deployment = $1)%s ORDER BY log DESC, position DESC LIMIT %u) AS x",
		(int16_t)q->tenant, below, q->limit + 1);
	return pg_query(pg, sql, 1, params);
}

static void
decision(const struct store_query *q, int log_no, char *sql, size_t size)
{
	snprintf(sql, size,
		 "SELECT row_to_json(x) FROM (SELECT " DECISION_COLUMNS
		 ", proof FROM decisions WHERE tenant = %d AND log = %d AND position = %" PRId64 ") AS x",
		 (int16_t)q->tenant, log_no, (int64_t)q->key);
}

bool
pages_lookup(struct pg *pg, int log_no, struct store_query *q, enum store_answer *answer_out)
{
	char sql[SQL_SIZE];

	switch (q->what) {
	case STORE_SIGNATURE_PAGE:
		signature_page(q, sql, sizeof(sql));
		break;
	case STORE_SIGNATURE_HOURS:
		signature_hours(q, sql, sizeof(sql));
		break;
	case STORE_DECISIONS:
		return take(pg, q, decisions(pg, q), answer_out);
	default:
		decision(q, log_no, sql, sizeof(sql));
		break;
	}
	return take(pg, q, pg_exec(pg, sql), answer_out);
}
