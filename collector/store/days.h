/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_DAYS_H
#define COLLECTOR_STORE_DAYS_H

#include <stdbool.h>
#include <stdint.h>

struct pg;

/* The tables of report rows, one a UTC day of receipt: made when the first row of a day
 * comes, closed (indexed, distinct hosts counted) when the day is over, dropped when it is
 * older than the retention. */

#define DAYS_TABLE_SIZE 32
char *days_table(int32_t day, char buf[DAYS_TABLE_SIZE]); /* "reports_20240719" */

/* The table is there after this; the caller's transaction. */
bool days_ensure(struct pg *pg, int32_t day);

/* Close every open day before `today`, one a transaction, as far as no lock and no
 * time limit stands in the way.  False only when the connection failed. */
bool days_close(struct pg *pg, int32_t today);

/* Drop the tables of days before `first_kept`.  Signatures, their days and decisions stay. */
bool days_drop(struct pg *pg, int32_t first_kept);

#endif
