/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_SCHEMA_H
#define COLLECTOR_STORE_SCHEMA_H

#include <stdbool.h>

struct pg;

/* The database's schema: files schema/NNNN-name.sql, part of the binary, each applied once
 * and in order.  A step that was released is never changed. */
struct schema_step {
	int version; /* 0 ends the table */
	const char *name;
	const char *sql;
};
extern const struct schema_step schema_steps[];

int schema_newest(void); /* the version this binary speaks */

/* Bring the database to our version, each step in a transaction of its own; two binaries
 * that do so at once wait for each other.  False: pg says why; a database newer than this
 * binary is refused with PG_WRONG and a sentence in pg->text. */
bool schema_apply(struct pg *pg);

/* Apply steps up to `version` only (tests of migration); -1: all. */
bool schema_apply_to(struct pg *pg, int version);

#endif
