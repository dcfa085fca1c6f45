/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_AHEAD_H
#define COLLECTOR_LEDGER_AHEAD_H

#include "collector/ledger/state.h"

/* A record decoded ahead of its turn.  Looking ahead changes nothing but caches. */
struct ahead {
	struct record_view rec;
	enum { AHEAD_OTHER, AHEAD_REPORT, AHEAD_HEARTBEAT, AHEAD_BAD } what;
	uint64_t hash;    /* of its host */
	uint32_t host_no; /* UINT32_MAX: not known yet */
	struct claim_hash claim;
	uint32_t keys[4]; /* it will probably vote for; KEY_NONE */
	union {
		struct report report;
		struct heartbeat heartbeat;
	} u;
};

/* Decode the reports and heartbeats of a run and fetch what folding them will touch, each
 * step for all of them, so that the waits for memory overlap. */
void look_ahead(struct ledger *l, struct ahead *run, unsigned n);

#endif
