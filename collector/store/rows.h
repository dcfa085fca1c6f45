/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_ROWS_H
#define COLLECTOR_STORE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/store/tally.h"
#include "collector/store/textbuf.h"

struct pg;

/* The report rows of one transaction on their way into the tables of their days, in
 * PostgreSQL's binary COPY format.
 *
 * The rows of one day stream while the next are still being made; rows of other days (a
 * batch over midnight) wait in memory, because a connection does one COPY at a time. */
#define ROWS_MAX_DAYS 8

struct rows_day {
	int32_t day;
	uint64_t n, first_pos, last_pos;
	struct textbuf out;
	bool copying;
};

struct rows {
	struct rows_day days[ROWS_MAX_DAYS]; /* [0] is the one that streams */
	uint32_t n_days;
	uint64_t n; /* rows of all days */
	struct textbuf details;
};

void rows_free(struct rows *r);
void rows_reset(struct rows *r); /* for the next transaction; keeps memory */

/* False when the record's day would be one too many: store what there is first. */
bool rows_fits(const struct rows *r, const struct record_view *rec);

/* Add one row and, when enough is waiting, send it.  False: pg says why. */
bool rows_add(struct rows *r, struct pg *pg, int log_no, const struct record_view *rec, const struct report *rep,
	      const struct tally_refs *refs, uint32_t outcome);

/* Send the rest, end every COPY, note the positions in report_days. */
bool rows_store(struct rows *r, struct pg *pg, int log_no);

#endif
