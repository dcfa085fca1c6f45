/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_VERDICT_H
#define COLLECTOR_LEDGER_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "collector/ledger/prose.h"

/* What the ledger says about a deployment.  docs/HALT.md explains the numbers. */

enum verdict { VERDICT_HOLD, VERDICT_PROCEED, VERDICT_HALT };

/* Why, precisely.  Stored; append only. */
enum verdict_state {
	STATE_NOTHING_SERVED,
	STATE_TOO_FEW_RESOLVED, /* INSUFFICIENT */
	STATE_TOO_FEW_CONTROLS, /* of older rules */
	STATE_CLEAN,            /* PROCEED(h) */
	STATE_WOULD_HALT,       /* proceed: shadow mode, armed it would have halted */
	STATE_PAUSED,           /* hold: by a person */
	STATE_HALTED,           /* halt: by evidence with a proof */
	STATE_HALTED_BY_PERSON,
	STATE_CLOSED, /* what was decided last stays */
	STATE_DELETED,
	STATE_WATCH,            /* hold: strong evidence, not enough to halt; ends by itself unless `sticky` */
	STATE_CO_SUSPECT,       /* hold: another deployment was halted and this one cannot be told from it */
	STATE_BLIND,            /* hold: the server does not hear the fleet */
	STATE_UNCERTIFIED,      /* proceed: a small fleet, baked without a bad host; nothing is certified */
	STATE_HALTED_HEURISTIC, /* halt: by the emergency brake, without a bound on false alarms */
	STATE_RECOVERED,        /* halt still: the harmed hosts are back; a person may resume */
	STATE_N
};

const char *verdict_name(enum verdict v);             /* "hold", "proceed", "halt" */
const char *verdict_state_name(enum verdict_state s); /* "too_few_resolved", ... */

#define VERDICT_REASON_MAX 1024
#define VERDICT_TITLE_MAX  320
#define VERDICT_PARTS      24
#define VERDICT_VOTES      32 /* first votes in an evidence; ledger_votes() has all */
#define VERDICT_SUSPECTS   4

/* One vote: a host's first crash under a key since the deployment began.  log_odds is the sum
 * of the factors' logs and of the key's log weight up to and including this vote: q from y1 and y0
 * (rho y1 / (rho y1 + y0)), the factor from q and the grid, and the sum can be checked by hand. */
struct vote {
	uint32_t host_no;
	bool exposed; /* served when it crashed */
	bool counted; /* it moved the evidence; false: its site had voted, or there was nothing to compare with */
	uint16_t site;
	uint16_t stratum;  /* of this deployment: ledger_stratum() */
	uint32_t y1, y0;   /* hosts at risk: served and not, the greatest share since shortly before the crash */
	uint64_t pos;      /* record that voted */
	int64_t at_us;     /* when that was received */
	int64_t crash_us;  /* when it crashed, as far as is known */
	int64_t served_us; /* when it was served, to the minute; 0: it was not */
	double q, log_factor, log_odds;
};

/* Where one key of one deployment stands.  "Served" and "unserved" count hosts that vote: known long
 * enough before the deployment began and heard of lately when they crashed. */
struct standing {
	bool set;
	uint32_t key_no;    /* UINT32_MAX: silence or boot loops, see pool */
	uint32_t trial_key; /* what ledger_votes() takes for it */
	uint8_t grid;       /* enum ratio_grid (eprocess.h) that it bets on */
	uint64_t signature; /* id; signature_id_text() */
	uint8_t rung;       /* enum signature_rung */
	char title[VERDICT_TITLE_MAX];
	char module[256]; /* "" for a stop code without a module */
	const char *pool; /* "own", "new kernel", ... static */
	const char *severity;
	bool own;    /* its module is in the manifest */
	bool tested; /* false: shown only; its module's name is tested in its place */
	bool muted;
	uint32_t birth;                   /* order of birth in its pool, 0: none */
	double log_weight, log_e, peak_e; /* natural logs */
	double log_needed;                /* log(1/alpha), alpha halved by each resume of this key */
	double rho;
	uint32_t k_min, s_min;            /* floors: served hosts, their sites */
	double material, material_needed; /* the gate, logs */
	double ratio_low, ratio_high;     /* of the hazards, anytime-valid, 95 % */
	uint32_t served_with, served;     /* n1, N1: distinct hosts */
	uint32_t unserved_with, unserved; /* n0, N0: eligible, not served */
	uint32_t served_sites;
	uint32_t others_with;        /* hosts that have it and do not vote: too new, or silent before */
	uint32_t at_risk1, at_risk0; /* now, in all strata */
	uint32_t votes_possible;     /* served hosts (or sites) that can still vote for it */
	uint32_t votes_needed;       /* in a row, to halt; UINT32_MAX: none would do */
	uint32_t resumes;
	bool would_cross; /* weight and evidence reach the threshold */
	char why[256];    /* why this key did (not) halt */
};

struct evidence {
	bool set; /* false: no key has been under suspicion */
	struct standing standing;
	/* the exact signature with most served hosts where a module or a class is what is tested, else the same */
	uint64_t signature;
	char title[VERDICT_TITLE_MAX];
	char module[256];
	uint32_t served_with, served; /* these, of the standing */
	uint32_t unserved_with, unserved;
	uint32_t served_sites;
	uint32_t module_served_with, module_unserved_with; /* any offset or build of it */
	uint64_t first_pos, last_pos;                      /* of the exposed votes */
	int64_t first_us, last_us;
	uint32_t n_votes;
	struct vote votes[VERDICT_VOTES];
};

/* What the numbers rest on. */
struct assumptions {
	double rho, alpha, alpha_watch, beta;
	bool randomised;    /* per host, by a hash with the deployment's own salt */
	bool held_back;     /* a hand-picked ring compared with its own held-back part */
	bool vote_per_site; /* else per host */
	uint32_t strata;    /* hosts are compared within; 4,096 and `other` at most */
	uint32_t min_age_s, active_s, late_s, skew_s;
	uint32_t at_risk1, at_risk0;      /* hosts that could vote now */
	uint32_t no_vote;                 /* hosts served that are too new to vote */
	uint64_t late_votes, early_votes; /* crashes too old to vote; of before it began */
	uint64_t over_cap;                /* votes for keys that had no room */
};

struct verdict_view {
	enum verdict verdict;
	enum verdict_state state;
	uint64_t version;   /* rises when verdict, state or suspect change: the ETag */
	uint64_t since_pos; /* record that brought this version */
	int64_t since_us;
	uint64_t fresh_pos; /* everything before this position is in it */
	int64_t fresh_us;   /* the ledger's clock there */
	uint32_t served, withdrawn, resolved, bad, unserved, eligible;
	const char *receipts;   /* how it is known who was served: "served", "inferred", "plan"; "none"; static */
	uint32_t silent;        /* served hosts that are dark now */
	uint32_t lost;          /* of them those not heard of since their bake time was over: bad, as far as is known */
	uint32_t needed;        /* served hosts that must be resolved */
	uint64_t next_ring_max; /* 0 unless proceed */
	double hazard;          /* proceed: hazards from here up are excluded (beta); 1: none is */
	bool shadow;
	bool recorded;       /* halt: its Decision is in the log */
	bool sticky;         /* watch: only a person ends it */
	bool by_past;        /* watch, halt: nobody was left to compare with, it was compared with the past */
	bool cannot_certify; /* votes_possible < votes_needed: no crash could halt it any more */
	uint32_t votes_possible, votes_needed;
	int64_t watch_until_us; /* watch: then it goes on by itself; 0 otherwise */
	uint64_t halt_pos;      /* record that halted, 0 if none */
	int64_t halt_us;
	uint32_t harmed, harmed_back; /* halt: served hosts that voted for the key, and that are well again */
	uint32_t fixed, fixed_bad;    /* halt: served hosts that got the fix: well since, and crashed again */
	uint32_t n_suspects;          /* deployments this one cannot be told from, by number */
	uint32_t suspects[VERDICT_SUSPECTS];
	struct assumptions assumed;
	uint32_t n_parts; /* of the reason; what stands between them is text */
	struct part parts[VERDICT_PARTS];
	char reason[VERDICT_REASON_MAX];
	struct evidence evidence; /* of the key that halted, else of the one that stands highest */
};

/* ---- more, on request (same thread as the fold) ---- */

struct ledger;

/* "Why did it not halt?": the standing of a key; set is false when the deployment never met it. */
bool ledger_standing(const struct ledger *l, uint32_t deployment, uint32_t key_no, struct standing *out);
/* Went dark and boot loops have no key: which 0 and 1. */
bool ledger_standing_special(const struct ledger *l, uint32_t deployment, unsigned which, struct standing *out);
/* Up to cap keys that stand highest, best first.  Returns how many. */
size_t ledger_standings(const struct ledger *l, uint32_t deployment, uint32_t *keys_out, size_t cap);

/* The ordered votes of a key from number `from` on; with the grid and the weight they give its
 * standing again.  Returns how many were written; *total_out (may be NULL) how many there are.
 * Votes beyond the 65,536th of a key are counted and not kept: *kept_out is then less. */
size_t ledger_votes(const struct ledger *l, uint32_t deployment, uint32_t key_no, uint64_t from, struct vote *out,
		    size_t cap, uint64_t *total_out, uint64_t *kept_out);

/* The hosts of a halt's key (else those that are bad), as they are now. */
struct harm_view {
	uint32_t harmed, looping, dark;
	double churn; /* silences of a host and hour that are usual */
};
void ledger_harm(const struct ledger *l, uint32_t deployment, struct harm_view *out);

/* Open deployments that reached hosts which a halted one harmed; of a co-suspect, the halted one. */
struct co_view {
	uint32_t deployment;
	double log_odds;   /* natural log: of its own highest key */
	double separation; /* natural log: for the halted one against it; 0 if it is not held for it */
	uint32_t shared;   /* harmed hosts that it served too */
	bool paused;       /* held as a co-suspect */
};
size_t ledger_co_suspects(const struct ledger *l, uint32_t deployment, struct co_view *out, size_t cap);

/* The name of a vote's site; borrowed until the next fold. */
struct text ledger_site(const struct ledger *l, uint16_t site);

/* What happened in one minute since the deployment began; minutes without anything are left out. */
struct timeline_minute {
	uint32_t minute;
	uint32_t served;    /* hosts */
	uint32_t exposed;   /* votes (of any key: reports that counted) of served hosts */
	uint32_t unexposed; /* of eligible hosts not served */
	uint32_t dark;      /* served hosts that went dark */
};
size_t ledger_timeline(const struct ledger *l, uint32_t deployment, uint32_t from_minute, struct timeline_minute *out,
		       size_t cap);

/* A stratum of a deployment: product, OS build, hardware class, and the size class of the site (log2 of its
 * hosts, -1 where it is not compared by that). */
struct stratum_view {
	char product[128], os_build[128], hw_class[128];
	int size_class;
	bool other; /* all that had no room of their own */
	uint32_t at_risk1, at_risk0;
};
bool ledger_stratum(const struct ledger *l, uint32_t deployment, uint16_t stratum, struct stratum_view *out);

#endif
