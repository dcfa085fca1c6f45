/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_OUTLOOK_H
#define COLLECTOR_LEDGER_OUTLOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/ledger/eprocess.h"

/* What a rollout plan would show before it is started: what each ring can certify, and how many
 * hosts a bad payload would harm until the halt.  Expected values, not a simulation: votes come
 * when their expected number says so, and go through the test itself.  Pure. */

struct outlook_ring {
	double hosts;   /* 0: all that are left */
	double serve_s; /* the ring is served evenly in this time */
	double bake_s;  /* and then waits */
};
#define OUTLOOK_RINGS 64u

struct outlook_plan {
	double fleet; /* eligible hosts */
	const struct outlook_ring *rings;
	uint32_t n_rings;
	const struct halt_params *params;
};

struct outlook_ring_view {
	double from_s, to_s;    /* of serving, since the start */
	double served;          /* hosts, with all rings before */
	double share;           /* served of the fleet, when it is full */
	uint32_t votes_needed;  /* served hosts that crash alike, to halt then; UINT32_MAX: no control is left */
	double hazard;          /* smallest excluded when all are resolved and clean; 1: none */
	uint64_t next_ring_max; /* that it allows by the harm budget */
	bool next_fits;         /* the plan's next ring is not larger; true for the last */
};
/* out has n_rings entries. */
void outlook_rings(const struct outlook_plan *p, struct outlook_ring_view *out);

/* A bad payload, and how the server comes to know of it. */
struct outlook_fault {
	double hazard;           /* share of served hosts that it harms */
	double heard;            /* share of those that are heard of: uploads; 1 for silence */
	double harm_s;           /* mean time from serving to the crash */
	double median_s, spread; /* from there to the report: log-normal, sigma `spread` */
	double stop_s;           /* from the deciding report to the last host served */
	enum key_pool pool;      /* what is tested: POOL_NEW_KERNEL, POOL_OWN, POOL_DARK ... */
};
struct outlook_harm {
	bool halted;     /* false: not by this evidence; all that is planned is harmed */
	uint32_t ring;   /* being served, or baking, then */
	uint32_t votes;  /* reports it took */
	double at_s;     /* when serving stopped */
	double served;   /* hosts by then */
	double harmed;   /* of them */
	double if_first; /* harmed, had the very first report stopped it: no rule can do better */
};
void outlook_harm(const struct outlook_plan *p, const struct outlook_fault *f, struct outlook_harm *out);

#endif
