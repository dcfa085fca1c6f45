/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_DEPLOYMENTS_H
#define COLLECTOR_LEDGER_DEPLOYMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/hostset.h"
#include "collector/ledger/ledger.h"
#include "collector/ledger/table.h"
#include "proto/log.pb-c.h"

struct arena;

#define TRIALS_EXACT   4096u /* tested signatures a deployment */
#define TRIALS_MODULES 8192u
#define TRIALS_MAX     (TRIALS_EXACT + TRIALS_MODULES + 16u)

/* Counts of one key in one deployment.  A host is in hosts1 if it was served before its
 * first vote here, else in hosts0 if it was eligible.  `moved` hosts are in both: they
 * count as exposed, because a later receipt said that they had been served by then. */
struct trial_row {
	uint32_t key_no;
	uint64_t key_id; /* the row may be given to another key after closing */
	uint32_t forgiven_n1, forgiven_sites1;
	struct hostset hosts1, hosts0, sites1;
	uint32_t moved;
	uint64_t first_pos, last_pos; /* of exposed votes */
	int64_t first_us, last_us;
	struct vote *votes; /* the first of both arms */
	uint32_t n_votes;
};

/* A served host whose fate is open. */
struct waiting_row {
	uint32_t host_no;
	uint32_t served_s, check_s; /* unix seconds */
};

#define SERVED_BLOCK 65536u
struct served_block {
	uint32_t word;
	uint16_t minute[SERVED_BLOCK]; /* since the deployment began, + 1, saturating; 0: not served */
};

enum deployment_life { DEPLOYMENT_OPEN, DEPLOYMENT_CLOSED, DEPLOYMENT_DELETED };

struct deployment {
	uint32_t no;
	uint32_t word; /* generation of its chunk */
	uint16_t tenant;
	uint8_t life; /* enum deployment_life */
	bool paused, halted, by_person, recorded;
	bool frozen;     /* a receipt was folded */
	uint8_t *packed; /* log.Deployment */
	size_t packed_len;
	struct arena *arena; /* of msg */
	Faultline__Log__Deployment *msg;
	uint64_t begin_pos, halt_pos, resumed_pos;
	int64_t begin_us, first_receipt_us, last_receipt_us, halt_us;
	uint32_t eligible, served, served_eligible;
	uint32_t halt_trial, suspect; /* UINT32_MAX: none */
	uint32_t resumes;
	uint64_t births;   /* keys born since, either arm */
	uint64_t over_cap; /* votes of keys not tested for the cap */
	char *said;        /* reason a person gave for the last decision */
	size_t said_len;
	struct hostset withdrawn, resolved;
	uint32_t final_resolved, final_withdrawn; /* their sizes, once closed */
	struct served_block **blocks;
	uint32_t n_blocks;
	struct table waiting[2]; /* struct waiting_row: fresh, and to be looked at again */
	uint64_t waiting_first[2];
	uint64_t waiting_n[2], trials_n; /* while loading */
	struct table trials;             /* struct trial_row */
	uint32_t n_exact, n_modules, hand;
	/* what was said last */
	uint8_t verdict, state;
	uint32_t shown; /* suspect then */
	uint64_t version, since_pos;
	int64_t since_us;
	/* derived */
	uint32_t *slots; /* trial + 1 by key */
	uint32_t n_slots;
	uint8_t *strata, *sites; /* eligibility by number: 0 not computed, 1 yes, 2 no */
	uint32_t n_strata, n_sites;
	uint32_t *near; /* trials on enough hosts to be judged again and again */
	uint32_t n_near;
	bool moved; /* counts changed since it was judged */
	void *engine_state;
};

/* A host as the selector sees it. */
struct candidate {
	uint64_t hash;
	uint16_t stratum, site;
};

struct ledger;

struct candidate host_candidate(const struct ledger *l, uint32_t host_no);
uint16_t host_tenant(const struct ledger *l, uint32_t host_no);

#define WITHDRAWN_BLOCKS (1u << 31) /* CHUNK_RESOLVED: where the blocks of withdrawn begin */

void deployment_free(struct deployment *d);
void deployment_touch(struct ledger *l, struct deployment *d); /* changed: save it and judge it */
void deployment_close(struct ledger *l, struct deployment *d, enum deployment_life life);
bool deployment_read(struct deployment *d, const void *packed, size_t len); /* parse into msg */
bool deployment_eligible(struct ledger *l, struct deployment *d, const struct candidate *c);
bool deployment_served(const struct deployment *d, uint32_t host_no);
int64_t deployment_close_us(const struct deployment *d);
int64_t deployment_bake_us(const struct ledger *l, const struct deployment *d);
uint64_t deployment_ring_size(const struct deployment *d, size_t ring);
struct trial_row *trial_find(const struct deployment *d, uint32_t key_no);

/* A host appeared (old == NULL) or changed. */
void deployments_host_changed(struct ledger *l, uint32_t host_no, const struct candidate *old);

struct report_row;

/* A report or triage result votes for these keys (KEY_NONE where there is none). */
struct ballot {
	uint32_t host_no;
	uint16_t tenant, site;
	const uint32_t *keys;
	const bool *fresh; /* per key: the host's first vote ever */
	unsigned n_keys;
	uint64_t pos, report_pos; /* of the record that votes; of the report */
	const uint32_t *exposed;  /* NULL: look the receipts up; else deployments (no + 1) */
	unsigned n_exposed;
	bool moves;        /* a vote that was cast as unexposed is changed */
	uint32_t found[2]; /* out: the first deployments (no + 1) it is exposed to */
};
void deployments_vote(struct ledger *l, struct ballot *b);
/* The host of this report had been served when it came, as only a later receipt says. */
void deployment_expose(struct ledger *l, struct deployment *d, const struct report_row *r);

void deployments_key_born(struct ledger *l, uint16_t tenant);
void deployments_tick(struct ledger *l);
/* Judge, close what is due, and tell the sink what changed. */
void deployments_settle(struct ledger *l, uint64_t pos);

void fold_deployment(struct ledger *l, const struct record_view *rec);
void fold_receipt(struct ledger *l, const struct record_view *rec);
void fold_decision(struct ledger *l, const struct record_view *rec);

void deployment_state(const struct ledger *l, const struct deployment *d,
		      struct verdict_view *v); /* without words and evidence */
void deployment_verdict(const struct ledger *l, const struct deployment *d, struct verdict_view *out);
void deployment_evidence(const struct ledger *l, const struct deployment *d, uint32_t trial, struct evidence *out);
void trial_counts(const struct ledger *l, const struct deployment *d, const struct trial_row *row, struct trial *out);

/* ---- snapshot ---- */
uint32_t *deployment_word(struct ledger *l, uint64_t id);
bool deployment_pack(const struct ledger *l, uint64_t id, struct pack *k);
bool deployment_unpack(struct ledger *l, uint64_t id, struct reader *r);
bool deployments_loaded(struct ledger *l);
void deployment_start(struct deployment *d, uint32_t no); /* empty tables */
void trials_index(struct ledger *l, struct deployment *d);

#endif
