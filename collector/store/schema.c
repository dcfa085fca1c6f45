/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/logline.h"
#include "collector/store/pg.h"
#include "collector/store/schema.h"

/* "fault" and "schema" of advisory locks; any fixed pair does. */
#define BEGIN_LOCKED "BEGIN; SELECT pg_advisory_xact_lock(1717664108, 1935894637)"

int
schema_newest(void)
{
	int v = 0;

	for (const struct schema_step *s = schema_steps; s->version != 0; s++)
		v = s->version;
	return v;
}

static bool
read_version(struct pg *pg, int *out)
{
	PGresult *res = pg_exec(pg, "SELECT coalesce(max(version), 0) FROM faultline.schema_version");

	if (res == NULL)
		return false;
	*out = atoi(PQgetvalue(res, 0, 0));
	PQclear(res);
	return true;
}

static bool
too_new(struct pg *pg, int version)
{
	pg->failure = PG_WRONG;
	pg->state[0] = '\0';
	snprintf(
		pg->text, sizeof(pg->text),
		"the database has schema version %d, this faultlined knows versions up to %d: use the newer faultlined",
		version, schema_newest());
	return false;
}

static bool
apply_step(struct pg *pg, const struct schema_step *s, bool *applied_out)
{
	char mark[256];
	int now;

	*applied_out = false;
	if (!pg_run(pg, BEGIN_LOCKED) || !read_version(pg, &now))
		return false;
	if (now > schema_newest()) {
		pg_run(pg, "ROLLBACK");
		return too_new(pg, now);
	}
	if (now >= s->version)
		return pg_run(pg, "ROLLBACK");
	snprintf(mark, sizeof(mark), "INSERT INTO faultline.schema_version (version, name) VALUES (%d, '%s'); COMMIT",
		 s->version, s->name);
	*applied_out = true;
	return pg_run(pg, s->sql) && pg_run(pg, mark);
}

/* Keep the reason of the first failure while cleaning up after it. */
static bool
give_up(struct pg *pg)
{
	struct pg first = *pg;

	if (pg->conn != NULL && !pg_run(pg, "ROLLBACK"))
		return false;
	pg->failure = first.failure;
	memcpy(pg->state, first.state, sizeof(first.state));
	memcpy(pg->text, first.text, sizeof(first.text));
	return false;
}

bool
schema_apply_to(struct pg *pg, int version)
{
	/* A user that may not create schemas can still use one that was made for it. */
	static const char there[] = "SELECT to_regclass('faultline.schema_version') IS NOT NULL";
	static const char start[] = BEGIN_LOCKED
		";"
		"CREATE SCHEMA IF NOT EXISTS faultline;"
		"CREATE TABLE IF NOT EXISTS faultline.schema_version (version integer PRIMARY KEY, name text NOT NULL,"
		" applied timestamptz NOT NULL DEFAULT now()); COMMIT";
	bool applied, old;
	PGresult *res = pg_exec(pg, there);
	int now;

	if (res == NULL)
		return false;
	old = PQgetvalue(res, 0, 0)[0] == 't';
	PQclear(res);
	if ((!old && !pg_run(pg, start)) || !read_version(pg, &now))
		return give_up(pg);
	if (now > schema_newest())
		return too_new(pg, now);
	for (const struct schema_step *s = schema_steps; s->version != 0; s++) {
		if (s->version <= now || (version != -1 && s->version > version))
			continue;
		if (!apply_step(pg, s, &applied))
			return give_up(pg);
		if (applied)
			log_info("store", "database schema is now version %d (%s)", s->version, s->name);
	}
	return true;
}

bool
schema_apply(struct pg *pg)
{
	return schema_apply_to(pg, -1);
}
