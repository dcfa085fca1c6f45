/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_PAST_H
#define COLLECTOR_LEDGER_PAST_H

#include <stdbool.h>
#include <stdint.h>

/* A push at once left nobody to compare with: for an hour each known key is compared with its own
 * past instead (HALT 4.3).  One statistic a key, fed by bins of five minutes; the deployment's alpha is
 * split evenly over the keys that are watched, as it is over known signatures. */

struct ledger;
struct deployment;
struct pack;
struct reader;

#define PAST_KEYS 4096u

struct past_key {
	uint32_t key_no;
	uint64_t key_id; /* the key's row may be given to another */
	uint32_t votes;  /* sites, a bin each time, since the push */
	double expected; /* of them, at these times of the day */
};

/* Where a key stands against the past (judge.c decides). */
struct past_standing {
	uint32_t key_no;
	double odds, needed; /* logs; weight included */
	double material;     /* log of the gate's evidence */
	bool newborn;        /* odds are those among new kernel signatures, not among deployments */
	bool watch_only;     /* what is normal is not learned yet */
	const char *why;     /* a clause for people */
};

struct past {
	uint32_t first_bin;    /* absolute; 0: not asked */
	uint32_t known;        /* keys watched then: the weight of each */
	uint32_t resumes;      /* by a person, since: alpha halves each time */
	struct past_key *keys; /* in the order they were met */
	uint32_t n, cap;
	/* of what paused or halted the deployment */
	bool newborn;
	double odds, needed;
};

/* Did the push leave nobody to compare with, and no time to do it in?  One that went out in stages was
 * compared for hours: what surges after its last ring may be anything, and third parties make fleets
 * surge every few days.  So is it an hour after a push at once. */
bool deployment_is_spent(const struct ledger *l, const struct deployment *d);

/* A bin is about to close: what its hot rows have counted is still in them.  whole: the server ran in it. */
void past_bin(struct ledger *l, bool whole, uint64_t pos);

void past_restart(struct past *p); /* a person resumed it */
void past_fini(struct past *p);

/* With it goes what else is known without a comparison: deployment.by_past, cause, withdrawn_us, fixed.  Part of
 * CHUNK_ANNALS: annals_touch() before any of it changes. */
void past_pack(const struct deployment *d, struct pack *k);
bool past_unpack(struct deployment *d, struct reader *r);

#endif
