/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_SHEET_H
#define COLLECTOR_API_SHEET_H

#include "collector/api/call.h"

/* The page of a deployment, for the two files that write it (deployment_page.c, sheet_keys.c).  On the ledger thread. */

#define LN10       2.302585092994046
#define KEYS_MAX   20u
#define VOTES_PAGE 200u

struct sheet_question {
	bool votes_only, named;
	int special; /* 0 dark, 1 boot, -1: a signature */
	uint64_t signature;
	uint64_t from, limit;
	uint64_t position; /* of the answer */
};

/* All that the parts of the page need. */
struct sheet {
	struct call *c;
	struct jsonout *j;
	const struct ledger *l;
	const struct sheet_question *q;
	uint32_t no;
	struct deployment_view d;
	struct verdict_view v;
	struct standing key; /* that is shown; key.set false: there is none */
	struct harm_view harm;
	struct view_ring rings[DEPLOYMENT_MAX_RINGS];
	const char *status;
	struct timeline_minute *minutes;
	size_t n_minutes;
	struct vote *votes;
	size_t n_votes;
	uint64_t votes_total, votes_kept;
};

/* NULL when it is not known. */
void sheet_real(struct jsonout *j, const char *key, double value, bool known, int decimals);
void sheet_pair(struct jsonout *j, const char *key, uint64_t have, uint64_t need);
bool sheet_is_signature(const struct standing *s);

void sheet_keys(const struct sheet *x);  /* "keys" */
void sheet_key(const struct sheet *x);   /* "key": the one that is shown */
void sheet_table(const struct sheet *x); /* "table" */
void sheet_votes(const struct sheet *x); /* "votes" and how many there are */

#endif
