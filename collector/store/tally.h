/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_TALLY_H
#define COLLECTOR_STORE_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/batch.h"
#include "proto/report.h"

struct pg;

/* What the reports of one transaction add to signatures and days, summed up here so that
 * the database changes one row a signature instead of one a report; and the small tables
 * that report rows point to (origins, sites).
 *
 * Signatures, origins and sites met before are remembered across transactions. */
struct tally;

struct tally *tally_new(uint64_t seed); /* NULL when out of memory */
void tally_free(struct tally *t);

/* Where a report row points. */
struct tally_refs {
	uint64_t signature; /* base/signature.h; 0: none known */
	uint64_t origin, site;
};

/* Add one report; `counted` false only looks up the references.  False: out of memory. */
bool tally_report(struct tally *t, const struct record_view *rec, const struct report *r, bool counted,
		  struct tally_refs *out);

/* Write everything added since the last clear; the caller's transaction. */
bool tally_store(struct tally *t, struct pg *pg, int log_no);

/* After a commit; or, committed false, after anything else: forgets what was remembered. */
void tally_clear(struct tally *t, bool committed);

#endif
