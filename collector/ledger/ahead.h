/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_AHEAD_H
#define COLLECTOR_LEDGER_AHEAD_H

#include "collector/ledger/state.h"

#define AHEAD_KEYS 6u  /* of a report, as a ballot orders them */
#define AHEAD_OPEN 16u /* open deployments looked ahead for: what more would need does not stay in a cache */

/* A record decoded ahead of its turn.  Looking ahead changes nothing but caches. */
struct ahead {
	struct record_view rec;
	enum { AHEAD_OTHER, AHEAD_REPORT, AHEAD_HEARTBEAT, AHEAD_BAD } what;
	uint64_t hash;    /* of its host */
	uint32_t host_no; /* UINT32_MAX: not known yet */
	struct claim_hash claim;
	uint32_t keys[AHEAD_KEYS];               /* it will probably vote for; KEY_NONE */
	uint32_t trials[AHEAD_OPEN][AHEAD_KEYS]; /* and their trials; UINT32_MAX */
	union {
		struct report report;
		struct heartbeat heartbeat;
	} u;
};

/* Decode the reports and heartbeats of a run and fetch what folding them will touch, each
 * step for all of them, so that the waits for memory overlap. */
void look_ahead(struct ledger *l, struct ahead *run, unsigned n);

/* The same of what its votes in deployments will touch, a record at a time: call with step 0 to
 * AHEAD_STEPS - 1, a record's fold between them. */
#define AHEAD_STEPS 4u
void look_ahead_votes(const struct ledger *l, struct ahead *a, unsigned step);

#endif
