/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_TRIALS_H
#define COLLECTOR_LEDGER_TRIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/ledger/deployments.h"
#include "collector/ledger/eprocess.h"
#include "collector/ledger/hostset.h"

/* Keys of a deployment, their votes, and what was folded from them. */

#define TRIALS_NEW     4096u /* keys born since, tested or shown */
#define TRIALS_OLD     4096u /* keys known when it began */
#define TRIALS_MODULES 4096u
#define TRIALS_MAX     (TRIALS_NEW + TRIALS_OLD + TRIALS_MODULES + DEPLOYMENT_MAX_MODULES + 4u) /* < 2^14 */
#define VOTES_KEPT     65536u                                                                   /* of one key */
#define VOTES_ALL      (1u << 20)                                                               /* of a deployment */
#define KEY_DARK       (UINT32_MAX - 1) /* key_no of went dark, of boot loops: no keys of the fleet */
#define KEY_BOOT       (UINT32_MAX - 2)

/* The sets of a trial, as snapshot chunks count them. */
enum trial_set { SET_SERVED, SET_UNSERVED, SET_OTHERS };

#define TRIAL_SHOWN   1u  /* not tested: its module's name is */
#define TRIAL_CROSSED 2u  /* reached the level of a halt at some time */
#define TRIAL_CLOSE   4u  /* on the list of those judged at each record; derived */
#define TRIAL_OWN     8u  /* its module is in the manifest */
#define TRIAL_NEW     16u /* takes the room of one of TRIALS_NEW */
#define TRIAL_SERVICE 32u /* a crash of a service was among its first */

/* One key in one deployment.  A host that may vote is in served if it was served when it
 * crashed first, else in unserved.  `moved` hosts are in both: they count as served, because a later
 * receipt said that they had been by then. */
struct trial_row {
	uint32_t key_no;
	uint64_t key_id; /* the key's row may be given to another after closing */
	struct eprocess e;
	uint32_t birth; /* order in its pool, from 1; 0: weights do not depend on it */
	uint8_t pool;   /* enum key_pool */
	uint8_t flags, resumes;
	uint32_t forgiven; /* hosts served counted before a person resumed it */
	struct hostset served, unserved, others;
	struct hostset sites1; /* of served hosts */
	struct hostset spent;  /* sites that have voted, where a site has one vote */
	uint32_t moved;
	uint64_t first_pos, last_pos; /* of exposed votes */
	int64_t first_us, last_us;
	uint32_t last_vote;       /* in deployment.votes, + 1 */
	uint32_t n_votes, n_kept; /* since the beginning; still to be found from last_vote on */
	uint32_t since;           /* of the kept ones, how many came before the last resume */
	uint64_t since_row;       /* rows of votes before it, or before the trial */
	uint32_t watched;         /* served hosts when it was last paused for */
};

#define VOTE_EXPOSED 1u
#define VOTE_SPENT   2u /* its site had voted: counted as a host, no evidence */

/* One vote; all keys of a deployment in the order they came. */
struct vote_row {
	uint64_t pos;
	int64_t at_us, crash_us;
	uint32_t host_no, y1, y0;
	uint32_t before; /* of the same trial, + 1 */
	uint16_t trial, site, stratum;
	uint16_t served; /* minute + 1, 0: not served when it crashed */
	uint8_t flags;
};

/* A report or triage result votes for these keys (KEY_NONE where there is none). */
struct ballot {
	uint32_t host_no;
	uint16_t tenant, site;
	const uint32_t *keys; /* key, build, module, stop, then classes */
	unsigned n_keys;
	uint64_t signature;           /* 0: none is known */
	uint64_t pos, report_pos;     /* of the record that votes; of the report */
	int64_t crash_us, arrived_us; /* of the report */
	uint8_t kind;                 /* enum report_kind */
	bool active;                  /* the host was heard of shortly before the crash */
};
void deployments_vote(struct ledger *l, const struct ballot *b);
/* A receipt that came late says who had been served by at_us: votes since then are looked at again. */
void deployment_relabel(struct ledger *l, struct deployment *d, int64_t at_us);

struct trial_row *trial_find(const struct deployment *d, uint32_t key_no);
uint32_t trial_number(const struct deployment *d, uint32_t key_no); /* UINT32_MAX: none */
static inline struct trial_row *
trial_at(const struct deployment *d, uint32_t trial)
{
	return table_at(&d->trials, trial);
}
/* Fetch what the vote of a host for a key will touch: steps 0 to AHEAD_STEPS - 1, some work between.
 * *trial is kept between them, and may be out of date. */
void trial_prefetch(const struct deployment *d, uint32_t key_no, uint32_t host_no, unsigned step, uint32_t *trial);
/* NULL for silence and boot loops, or when the key's row was given to another key. */
const struct key *trial_key(const struct ledger *l, const struct trial_row *row);

void deployment_evidence(const struct ledger *l, const struct deployment *d, uint32_t trial, struct evidence *out);
void trial_standing(const struct ledger *l, const struct deployment *d, const struct trial_row *row,
		    struct standing *out);
double trial_needed(const struct deployment *d, const struct trial_row *row);   /* log 1/alpha */
double trial_material(const struct deployment *d, const struct trial_row *row); /* log of the gate's evidence */
double trial_odds(const struct trial_row *row);                                 /* log of weight and evidence */
uint32_t trial_unserved(const struct trial_row *row);
enum key_severity trial_severity(const struct ledger *l, const struct trial_row *row);
/* Does it reach the level of a halt, floors and gate included? */
bool trial_crosses(const struct ledger *l, const struct deployment *d, const struct trial_row *row);
bool trial_may_halt(const struct ledger *l, const struct deployment *d, const struct trial_row *row);
/* The trial of a key, made when missing and there is room; UINT32_MAX: none. */
struct birth {
	bool rebuilt; /* of a build never seen before, of a module that was */
	uint8_t kind;
};
uint32_t trial_obtain(struct ledger *l, struct deployment *d, uint32_t key_no, const struct birth *b);
void trials_begin(struct ledger *l, struct deployment *d);                  /* those every deployment has */
void trials_manifest(struct deployment *d);                                 /* ids of its modules */
void trial_restart(struct ledger *l, struct deployment *d, uint32_t trial); /* a person resumed it */
uint64_t trial_base(const struct deployment *d, uint32_t trial, enum trial_set set);
uint64_t trial_sites_base(const struct deployment *d, uint32_t trial, bool spent);

/* One vote of a host that may vote; the hosts' label and what was at risk are known. */
struct cast {
	uint32_t host_no;
	uint16_t site, stratum, served;
	uint32_t y1, y0;
	uint64_t pos;
	int64_t crash_us;
	bool exposed, spent;
};
void trial_cast(struct ledger *l, struct deployment *d, uint32_t trial, const struct cast *c,
		const struct grid_cost *cost);
/* Votes that can still come, and that a new key needs in a row to halt (UINT32_MAX: no number does). */
void deployment_prospects(const struct deployment *d, uint32_t *possible_out, uint32_t *needed_out);
void trials_index(struct ledger *l, struct deployment *d); /* after loading */

#endif
