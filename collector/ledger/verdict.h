/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_VERDICT_H
#define COLLECTOR_LEDGER_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the ledger says about a deployment, and the interface of what decides it. */

enum verdict { VERDICT_HOLD, VERDICT_PROCEED, VERDICT_HALT };

/* Why, precisely.  Stored; append only. */
enum verdict_state {
	STATE_NOTHING_SERVED,
	STATE_TOO_FEW_RESOLVED,
	STATE_TOO_FEW_CONTROLS,
	STATE_CLEAN,      /* proceed */
	STATE_WOULD_HALT, /* proceed: shadow mode, armed it would have halted */
	STATE_PAUSED,     /* hold: by a person */
	STATE_HALTED,     /* halt: by the rule */
	STATE_HALTED_BY_PERSON,
	STATE_CLOSED, /* what was decided last stays */
	STATE_DELETED,
	STATE_N
};

const char *verdict_name(enum verdict v);             /* "hold", "proceed", "halt" */
const char *verdict_state_name(enum verdict_state s); /* "too_few_resolved", ... */

#define VERDICT_REASON_MAX 512
#define VERDICT_TITLE_MAX  320
#define VERDICT_VOTES      32 /* first votes kept for the record */

/* One vote: a host's first crash under a key since the deployment began. */
struct vote {
	uint32_t host_no;
	bool exposed; /* its receipt was folded before */
	uint16_t site;
	uint64_t pos;  /* record that voted */
	int64_t at_us; /* when that was received */
};

/* The numbers of one comparison, checkable by hand: a share is (n + 1) / (N + 2). */
struct evidence {
	bool set;           /* false: no key has been under suspicion */
	uint64_t signature; /* id; signature_id_text() */
	char title[VERDICT_TITLE_MAX];
	char module[256];                 /* "" for a stop code without a module */
	uint32_t served_with, served;     /* n1, N1: distinct hosts */
	uint32_t unserved_with, unserved; /* n0, N0: eligible, not served */
	uint32_t served_sites;
	uint32_t module_served_with, module_unserved_with;
	uint64_t first_pos, last_pos; /* of the votes */
	int64_t first_us, last_us;
	uint32_t n_votes;
	struct vote votes[VERDICT_VOTES];
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
	uint32_t needed;        /* served hosts that must be resolved */
	uint64_t next_ring_max; /* 0 unless proceed */
	bool shadow;
	bool recorded;     /* halt: its Decision is in the log */
	uint64_t halt_pos; /* record that halted, 0 if none */
	char reason[VERDICT_REASON_MAX];
	struct evidence evidence;
};

/* ---- the engine behind it ---- */

/* What an engine is asked about: counts of one (deployment, key), kept by the ledger
 * vote by vote.  Everything is since the deployment began. */
struct trial {
	bool born_since;                       /* the key was never seen before */
	uint32_t n1, n0;                       /* distinct hosts: exposed, unserved and eligible */
	uint32_t sites1;                       /* distinct sites among n1 */
	uint32_t m1, m0;                       /* the same hosts counts for its module name, any offset or build */
	uint32_t N1, N0;                       /* hosts served; eligible hosts not served */
	uint32_t forgiven_n1, forgiven_sites1; /* of these, counted before a person resumed */
};

/* An engine judges; the ledger counts, latches and words.  Pure; state_size bytes per
 * deployment are kept in the snapshot for it, zero at the start, plain integers only. */
struct verdict_engine {
	const char *name;
	size_t state_size;
	/* After a vote, and again on ticks for keys that were close: halt? */
	bool (*crosses)(const void *state, const struct trial *t);
};

extern const struct verdict_engine floor_rule;

/* Floors of the rule; part of docs/LEDGER.md. */
#define FLOOR_HOSTS    3u
#define FLOOR_SITES    2u
#define FLOOR_RESOLVED 50u
#define FLOOR_CONTROLS 50u

#endif
