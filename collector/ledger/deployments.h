/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_DEPLOYMENTS_H
#define COLLECTOR_LEDGER_DEPLOYMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/annals.h"
#include "collector/ledger/eprocess.h"
#include "collector/ledger/dark.h"
#include "collector/ledger/halt_params.h"
#include "collector/ledger/hostset.h"
#include "collector/ledger/judge.h"
#include "collector/ledger/ledger.h"
#include "collector/ledger/past.h"
#include "collector/ledger/strata.h"
#include "collector/ledger/table.h"
#include "proto/log.pb-c.h"

struct arena;

/* What a person decided about a signature in this deployment. */
#define HALT_SKEW_S 120u /* clocks of hosts may be wrong by that much */
struct mute {
	uint64_t signature;
	int64_t until_us; /* INT64_MAX: until released */
	uint64_t pos;
	bool accepted;
};
#define MUTES_MAX 256u
#define SAID_MAX  512u
#define CAUSE_MAX 640u

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

/* How it is known that a host was served: somebody said so, host by host; its heartbeat has the
 * content; or the plan only, whose ring was said to be open (intention to treat). */
enum receipt_source { RECEIPT_SERVED, RECEIPT_INFERRED, RECEIPT_PLAN, RECEIPT_N };

/* Served hosts that got the fix: well for the bake time since, and crashed again. */
struct fixed {
	uint32_t clean, bad;
};

struct trial_slot {
	uint32_t key_no, trial; /* + 1; 0: empty */
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
	struct halt_params params;
	bool randomised, sticky, heuristic, recovered;
	bool by_past; /* what pauses or halts it is a comparison with the past: cause says which */
	uint64_t begin_pos, halt_pos, resumed_pos;
	int64_t begin_us, first_receipt_us, last_receipt_us, halt_us, withdrawn_us;
	struct fixed fixed; /* when it was looked at last */
	uint32_t eligible, served, served_eligible;
	uint32_t served_new;          /* of served: too new to vote */
	uint32_t halt_trial, suspect; /* UINT32_MAX: none */
	double suspect_odds;
	uint32_t resumes;
	uint32_t births[POOL_N];          /* keys that got a weight, in either arm */
	uint32_t known;                   /* signatures known when it began */
	uint64_t over_cap;                /* votes of keys not tested for the cap */
	uint64_t late_votes, early_votes; /* crashes too old to vote; of before it began */
	int64_t watch_until_us;           /* 0: not paused by the engine */
	uint32_t watch_trial, watch_needs;
	uint32_t co_of, co_key; /* halted deployment it cannot be told from, + 1; by which key */
	double co_sep;          /* log odds for that one against this, of hosts exposed to one only */
	uint32_t forgiven_bad;  /* when a person resumed it last */
	struct mute *mutes;
	uint32_t n_mutes;
	struct annal *annals;
	uint32_t n_annals, word_annals;
	bool annals_loaded;
	char *said; /* reason a person gave for the last decision */
	size_t said_len;
	char *cause; /* why the engine paused or halted it without a comparison */
	size_t cause_len;
	struct past past;
	struct dark dark;
	uint32_t served_by[RECEIPT_N];                       /* hosts, by enum receipt_source */
	struct hostset withdrawn, resolved, bad, sites;      /* sites: of served hosts */
	uint32_t final_resolved, final_withdrawn, final_bad; /* their sizes, once closed */
	struct served_block **blocks;
	uint32_t n_blocks;
	struct table waiting[2]; /* struct waiting_row: fresh, and to be looked at again */
	uint64_t waiting_first[2];
	uint64_t waiting_n[2], trials_n, votes_n, strata_n, minutes_n; /* while loading */
	struct table trials;                                           /* struct trial_row */
	struct table votes;                                            /* struct vote_row */
	struct table minutes;                                          /* struct timeline_minute */
	struct strata strata;
	uint32_t n_new, n_old, n_modules, hand;
	/* what was said last */
	uint8_t verdict, state;
	uint32_t shown; /* suspect then */
	uint64_t version, since_pos;
	int64_t since_us;
	/* derived */
	struct trial_slot *slots; /* by key */
	uint32_t n_slots;
	uint8_t *may_strata, *may_sites; /* eligibility by number: 0 not computed, 1 yes, 2 no */
	uint32_t n_may_strata, n_may_sites;
	uint8_t *contents; /* sets with the content it brings, likewise */
	uint32_t n_contents;
	uint64_t own[DEPLOYMENT_MAX_MODULES]; /* ids of the manifest's modules */
	uint32_t *near;                       /* trials on enough hosts to be judged again and again */
	uint32_t n_near;
	bool moved; /* counts changed since it was judged */
	/* of the report being folded */
	bool ballot_exposed, ballot_explains;
	double ballot_odds;
};

/* A host as the selector sees it. */
struct candidate {
	uint64_t hash;
	uint16_t stratum, site;
};

struct ledger;

/* Place of a host in the plan: rings take the lowest ranks first. */
uint64_t deployment_rank(const struct ledger *l, const struct deployment *d, const struct candidate *c);
struct candidate host_candidate(const struct ledger *l, uint32_t host_no);
uint16_t host_tenant(const struct ledger *l, uint32_t host_no);

/* CHUNK_RESOLVED: where the blocks of withdrawn, of bad, of sites begin */
#define WITHDRAWN_BLOCKS (1u << 31)
#define BAD_BLOCKS       (1u << 30)
#define SITES_BLOCKS     (1u << 29)

void deployment_free(struct deployment *d);
void deployment_touch(struct ledger *l, struct deployment *d);                    /* changed: save it and judge it */
void deployment_tell(struct ledger *l, const struct deployment *d, uint64_t pos); /* the sink: it changed */
void deployment_close(struct ledger *l, struct deployment *d, enum deployment_life life);
bool deployment_read(struct deployment *d, const void *packed, size_t len); /* parse into msg */
bool deployment_eligible(struct ledger *l, struct deployment *d, const struct candidate *c);
bool deployment_served(const struct deployment *d, uint32_t host_no);
void deployment_prefetch_served(const struct deployment *d, uint32_t host_no);
uint16_t deployment_served_minute(const struct deployment *d, uint32_t host_no); /* + 1; 0: not served */
const char *deployment_receipts(const struct deployment *d); /* "served", "inferred" or "plan": of most hosts; "none" */
/* Does what the host says it has make it a served one?  Then it is from now on. */
void receipts_infer(struct ledger *l, struct deployment *d, uint32_t host_no);
/* The same of every host: the deployment began, or was changed. */
void receipts_infer_all(struct ledger *l, struct deployment *d);
/* Does the host say that it has other content than this deployment's by now? */
bool receipts_replaced(struct ledger *l, struct deployment *d, uint32_t host_no);
int64_t deployment_close_us(const struct deployment *d);
int64_t deployment_bake_us(const struct ledger *l, const struct deployment *d);
uint64_t deployment_ring_size(const struct deployment *d, size_t ring);
/* Are rings ranges of places?  Not those that are listed, and not without rings. */
bool deployment_has_places(const struct deployment *d);
/* Place of a host among the eligible, from 0 (offer.c); and which ring has it, UINT32_MAX: the plan ends before it. */
uint64_t deployment_place(const struct ledger *l, const struct deployment *d, const struct candidate *c);
uint32_t deployment_ring(const struct deployment *d, uint64_t place);

/* A host appeared (old == NULL) or changed. */
void deployments_host_changed(struct ledger *l, uint32_t host_no, const struct candidate *old);

/* A person goes on although served hosts fell silent: those that are dark now are not waited for any more. */
void deployment_forgive_lost(struct ledger *l, struct deployment *d);
void deployments_tick(struct ledger *l, bool minute); /* minute: one is over */
/* Judge, close what is due, and tell the sink what changed. */
void deployments_settle(struct ledger *l, uint64_t pos);

void fold_deployment(struct ledger *l, const struct record_view *rec);
void fold_receipt(struct ledger *l, const struct record_view *rec);
void fold_decision(struct ledger *l, const struct record_view *rec);

void deployment_state(const struct ledger *l, const struct deployment *d,
		      struct verdict_view *v); /* without words and evidence */
void deployment_verdict(const struct ledger *l, const struct deployment *d, struct verdict_view *out);
void verdict_say(const struct ledger *l, const struct deployment *d, struct verdict_view *v); /* its reason */
void deployment_say(struct deployment *d, struct text said); /* reason a person gave for the last decision */
void deployment_cause(struct deployment *d, struct text cause);
uint32_t deployment_shown(const struct deployment *d); /* trial whose evidence is shown; UINT32_MAX: none */
void deployment_harm(const struct ledger *l, const struct deployment *d, uint32_t *harmed_out, uint32_t *back_out);
void judge_tick(struct ledger *l, struct deployment *d, bool minute);
void judge_release(struct ledger *l, struct deployment *d); /* a pause of the engine's */
void judge_resume(struct ledger *l, struct deployment *d);  /* that, and a halt */
bool deployment_mutes(const struct deployment *d, uint64_t signature, int64_t now_us);
void deployment_bad(struct ledger *l, struct deployment *d, uint32_t host_no);
struct timeline_minute *deployment_minute(struct ledger *l, struct deployment *d); /* of now, about to change */
bool deployment_is_shadow(const struct ledger *l, const struct deployment *d);

/* ---- snapshot ---- */
uint32_t *deployment_word(struct ledger *l, uint64_t id);
bool deployment_pack(const struct ledger *l, uint64_t id, struct pack *k);
bool deployment_unpack(struct ledger *l, uint64_t id, struct reader *r);
bool deployments_loaded(struct ledger *l);
void deployment_start(struct deployment *d, uint32_t no); /* empty tables */

#endif
