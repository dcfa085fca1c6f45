/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_LEDGER_H
#define COLLECTOR_LEDGER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/text.h"
#include "collector/ledger/alarm.h"
#include "collector/ledger/verdict.h"
#include "proto/batch.h"

/* The ledger: folds the log into hosts, signatures, deployments and verdicts.
 *
 * Pure and deterministic: no I/O, no clock, no settings but those in records; the same
 * log gives the same ledger_digest().  One thread.  Running out of memory ends the
 * process: a half-folded record cannot be undone, and a restart folds it again. */
struct ledger;

/* ---- what happens while folding ---- */

enum report_outcome { REPORT_COUNTED, REPORT_LATE, REPORT_RESENT };

/* Called while folding; must not call back into the ledger.  Any entry may be NULL.
 * Texts are borrowed for the call. */
struct ledger_sink {
	void *arg;
	void (*signature_new)(void *arg, uint16_t tenant, uint64_t signature, const char *title, uint64_t pos);
	void (*verdict_changed)(void *arg, uint16_t tenant, const char *deployment, const struct verdict_view *v);
	void (*deployment_changed)(void *arg, uint16_t tenant, const char *deployment, uint64_t pos);
	/* The rule halted it: append an automatic Decision (basis = pos) to the log. */
	void (*decision_wanted)(void *arg, uint16_t tenant, const char *deployment, const char *reason, uint64_t pos);
	/* An alarm without a deployment was raised, or is over (cleared_us). */
	void (*alarm)(void *arg, const struct alarm *a);
	/* A report was folded.  signature is 0 when none is known yet; first is the position
	 * of the original for a resent one (0: not known any more); cloned: two epochs live. */
	void (*report)(void *arg, uint16_t tenant, uint64_t pos, enum report_outcome outcome, uint64_t signature,
		       uint64_t first, bool cloned);
	/* The whole batch at `first` was folded before. */
	void (*batch_duplicate)(void *arg, uint64_t first);
	/* More dumps of that signature are welcome today (or, wanted false, no longer). */
	void (*dumps_wanted)(void *arg, uint16_t tenant, uint64_t signature, bool wanted);
	/* A recorded automatic Decision that this fold did not come to itself. */
	void (*difference)(void *arg, uint16_t tenant, const char *deployment, uint64_t pos, const char *what);
};

struct ledger_options {
	struct ledger_sink sink;
};

struct ledger *ledger_new(const struct ledger_options *o);
void ledger_free(struct ledger *l); /* NULL is fine */

/* Fold one batch.  Duplicate (producer, number) are dropped.  ERR_UNSUPPORTED: it holds a
 * record that must not be skipped and is not known (nothing of the batch is folded);
 * ERR_MALFORMED: damaged. */
enum err ledger_fold(struct ledger *l, const struct batch_view *b);

uint64_t ledger_position(const struct ledger *l); /* read on from here */
int64_t ledger_now_us(const struct ledger *l);    /* newest time in the log */

/* SHA-256 over the canonical serialisation of everything. */
void ledger_digest(const struct ledger *l, uint8_t out[32]);

struct ledger_stats {
	uint64_t records, batches, duplicate_batches, stale_batches, gaps, unknown_records, bad_records;
	uint64_t reports, reports_late, reports_resent, heartbeats, presence_hosts, presence_unknown;
	uint64_t hosts, hosts_cloned, hosts_recent, sites, strata;
	uint64_t signatures, keys, fingerprints, signatures_over_cap;
	uint64_t deployments, deployments_open, deployments_halted, alarms_open;
	uint64_t receipts, decisions, triage_results, refused_changes;
	uint64_t bytes_hosts;
};
void ledger_stats(const struct ledger *l, struct ledger_stats *out);
size_t ledger_key_bytes(const struct ledger *l); /* walks every key */

/* ---- questions (same thread as the fold) ---- */

/* What a host is doing, as far as its heartbeats tell (docs/HALT.md, "Silence").  Dark comes before
 * looping; a host that only sends reports is active while it was heard of lately, else quiet. */
enum host_state {
	HOST_IS_ALIVE,
	HOST_IS_DARK,
	HOST_IS_LOOPING,
	HOST_IS_GONE,
	HOST_IS_QUIET,
	HOST_IS_UNHEARD,
	HOST_STATES
};
const char *host_state_name(enum host_state s); /* "active", "dark", "boot-looping", "goodbye", "quiet", "unheard" */
enum host_state ledger_host_state(const struct ledger *l, uint32_t host_no);

struct host_view {
	uint32_t host_no;
	uint16_t tenant;
	uint64_t hash;
	int64_t first_seen_us, last_seen_us; /* whole seconds; 0: never heard, only served */
	uint32_t boots;                      /* boot ids seen */
	uint32_t interval_s;
	bool goodbye, cloned;
	enum host_state state;
	int64_t deadline_us; /* dark after this unless it is heard of; 0: no heartbeat is expected of it */
	uint32_t limit_s;    /* missed * interval + grace */
	uint32_t missed, grace_s;
	uint32_t unlistened_s; /* of the time since it was last seen, what we did not listen in */
	bool relayed;          /* its heartbeats come through a relay */
	uint64_t reports;      /* counted */
	int64_t last_report_us;
	uint64_t last_signature;                                        /* of its last report; 0 if none */
	struct text site, product, os_build, hw_class, content, labels; /* borrowed until the next fold */
};
bool ledger_host(const struct ledger *l, uint16_t tenant, uint64_t hash, struct host_view *out);
bool ledger_host_by_number(const struct ledger *l, uint32_t host_no, struct host_view *out);

/* Up to cap host numbers of tenant from number `from` on (*next_out: where to go on, UINT32_MAX: that was all) in
 * that state; deployment UINT32_MAX, or only hosts it served.  Looks at no more than `look` hosts. */
size_t ledger_hosts_in(const struct ledger *l, uint16_t tenant, enum host_state state, uint32_t deployment,
		       uint32_t from, uint32_t look, uint32_t *out, size_t cap, uint32_t *next_out);

/* Silence, in numbers. */
struct silence_view {
	uint64_t alive, dark, looping;
	uint64_t went_dark, came_back, loops; /* ever */
	uint64_t gaps, blind_minutes;         /* ever; times in which we did not listen */
	int64_t blind_since_us;               /* 0: we hear the fleet */
	int64_t deadlines_from_us;            /* no silence counts from before: the end of our last long absence */
};
void ledger_silence(const struct ledger *l, struct silence_view *out);

/* How often hosts of a stratum (numbers from 0, 0 being hosts that do not say) fall silent without a
 * goodbye, without a deployment: about the last day.  False when there is no such stratum. */
struct churn_view {
	struct text product, os_build, hw_class; /* borrowed until the next fold */
	uint64_t alive;
	double silences, host_hours;
};
bool ledger_churn(const struct ledger *l, uint32_t stratum, struct churn_view *out);

#define KEY_VERSIONS 4
#define KEY_TREND    24

struct key_view {
	uint32_t key_no;
	uint64_t id;
	uint16_t tenant;
	uint8_t rung; /* enum signature_rung */
	uint8_t reason_class;
	uint8_t kinds; /* bit (1 << enum report_kind) */
	uint64_t offset;
	uint64_t reports, crashes; /* reports, and the sum of their counts */
	uint32_t hosts, sites;     /* distinct */
	uint32_t dumps;            /* stored, ever */
	uint64_t first_pos, last_pos;
	int64_t first_us, last_us;
	uint64_t trend;            /* crashes in the running and the last full hour */
	uint32_t hours[KEY_TREND]; /* crashes per hour, the running one first */
	bool confirmed;            /* triage computed it from a dump */
	uint64_t alias;            /* triage files it under this signature; 0: none */
	uint64_t module_key;       /* id of its module's key; 0: none */
	char title[VERDICT_TITLE_MAX];
	struct text module, module_id, reason; /* borrowed until the next fold */
	struct text versions[KEY_VERSIONS];
	uint32_t n_versions;
};
bool ledger_key(const struct ledger *l, uint16_t tenant, uint8_t rung, uint64_t id, struct key_view *out);
bool ledger_key_by_number(const struct ledger *l, uint32_t key_no, struct key_view *out);
/* The signature with that id: exact, else provisional, else any rung. */
bool ledger_signature(const struct ledger *l, uint16_t tenant, uint64_t id, struct key_view *out);

enum key_sort { KEYS_BY_HOSTS, KEYS_NEWEST, KEYS_BY_TREND };

struct key_query {
	uint16_t tenant;
	enum key_sort sort;
	struct text module;     /* normalised name; empty: any */
	uint8_t kinds;          /* 0: any; else those bits */
	int64_t new_since_us;   /* first seen at or after; 0: any */
	struct text deployment; /* only signatures with an exposed host; empty: any */
	bool rungs;             /* build, module and class rungs too */
	/* continue after this entry of the same sort; value 0 and key_no 0: from the start */
	uint64_t after_value;
	uint32_t after_key_no;
	bool after;
};
/* Up to cap key numbers in order; *values_out (may be NULL) the sort value of each. */
size_t ledger_keys(const struct ledger *l, const struct key_query *q, uint32_t *out, uint64_t *values_out, size_t cap);

struct ring_view {
	struct text name;
	uint64_t size; /* planned; of a percentage, of the eligible hosts now */
	bool rest;     /* whoever is left; size is 0 */
};
#define DEPLOYMENT_MAX_RINGS   32
#define DEPLOYMENT_MAX_MODULES 64
struct deployment_view {
	uint16_t tenant;
	struct text id, artefact, version, assignment, actor; /* borrowed until the next fold */
	struct text modules[DEPLOYMENT_MAX_MODULES];
	uint32_t n_modules;
	struct ring_view rings[DEPLOYMENT_MAX_RINGS];
	uint32_t n_rings;
	uint64_t salt, bake_ms, close_ms;
	bool shadow;
	uint64_t begin_pos;
	int64_t begin_us, first_receipt_us, last_receipt_us;
	bool open, deleted; /* neither closed nor deleted; deleted */
	/* the message as logged last (log.Deployment) */
	struct text packed;
};
uint32_t ledger_deployments(const struct ledger *l); /* numbers 0 .. n-1; deleted ones included */
bool ledger_deployment(const struct ledger *l, uint32_t no, struct deployment_view *out);
bool ledger_deployment_find(const struct ledger *l, uint16_t tenant, struct text id, uint32_t *no_out);
bool ledger_verdict(const struct ledger *l, uint32_t no, struct verdict_view *out);

/* When was the host served, in whole minutes since the deployment began; -1: not served. */
int32_t ledger_served_minute(const struct ledger *l, uint32_t deployment, uint32_t host_no);

/* Would the log accept that change now?  NULL, or the error code the API answers with:
 * "not_found", "halted" (delete needs force), "frozen" (manifest, eligibility, salt after
 * the first receipt), "closed", "reason_missing". */
const char *ledger_refuses_decision(const struct ledger *l, uint16_t tenant, struct text id, uint32_t action,
				    bool forced, struct text reason);
const char *ledger_refuses_deployment(const struct ledger *l, uint16_t tenant, const void *packed, size_t len);

/* What people, and the engine through its records, decided. */
struct decision_view {
	uint32_t deployment;
	uint64_t pos;
	int64_t at_us;  /* of an automatic halt: when it halted */
	uint8_t action; /* log.Action */
	bool automatic;
	uint64_t signature;          /* of a mute and the like; 0: none */
	int64_t until_us;            /* of a mute */
	double log_odds, log_needed; /* of the key shown then; needed 0: there was none */
	struct text actor, reason;   /* borrowed until the next fold */
};
/* Newest first, of one deployment or of all (UINT32_MAX); the last 64 of each are kept.  Returns how many. */
size_t ledger_decisions(const struct ledger *l, uint16_t tenant, uint32_t deployment, struct decision_view *out,
			size_t cap);
/* Does a person look after it?  The newest acknowledgement since the last halt or resume. */
bool ledger_acknowledged(const struct ledger *l, uint32_t deployment, struct decision_view *out);

/* The open deployment under which a signature falls: most of its served hosts have it; UINT32_MAX: none has one. */
uint32_t ledger_blamed(const struct ledger *l, uint32_t key_no);

/* The fleet's short history: docs/LEDGER.md. */
enum pulse_tile { PULSE_ALIVE, PULSE_DARK, PULSE_LOOPING, PULSE_CRASHING, PULSE_TILES };
#define PULSE_SPARK   96u  /* quarters of an hour */
#define PULSE_RATES   180u /* times 20 s */
#define PULSE_UNKNOWN UINT32_MAX
struct pulse_view {
	uint32_t value[PULSE_TILES];
	uint32_t usual[PULSE_TILES]; /* at this hour of the week; PULSE_UNKNOWN while that is not learned */
	int64_t usual_from_us;       /* then it may be; 0: it is */
	int64_t spark_from_us, rates_from_us;
	uint32_t spark[PULSE_TILES][PULSE_SPARK]; /* means, PULSE_UNKNOWN where we did not run; the last is not over */
	uint32_t all[PULSE_RATES], kernel[PULSE_RATES]; /* reports; kernel and boot-critical ones of them */
};
void ledger_pulse(const struct ledger *l, struct pulse_view *out);

/* Alarms of a tenant, those that go on first, then newest first; returns how many. */
size_t ledger_alarms(const struct ledger *l, uint16_t tenant, struct alarm *out, size_t cap);
/* What the tests behind them have learned of it. */
void ledger_learned(const struct ledger *l, uint16_t tenant, struct fleet_learned *out);
/* ---- where a deployment must not be offered ---- */

struct safeguard_view {
	uint64_t pos;   /* of the record that made it: with index its name */
	uint32_t index; /* 0 but for those that a resume made */
	uint32_t slot;  /* rises along ledger_safeguards(); for paging */
	bool automatic; /* a stratum where the signature below harmed hosts */
	bool halted;    /* automatic, and the halt still holds: it has no name yet */
	uint64_t signature;
	struct text product, os_build, hw_class; /* of a stratum; empty: any.  Borrowed until the next fold */
	const uint64_t *hosts;                   /* sorted; else a stratum.  Borrowed likewise */
	size_t n_hosts;
	struct text reason, actor;
	int64_t at_us;
};

#define SAFEGUARDS_MAX      4096u /* of all deployments */
#define SAFEGUARD_HOSTS     20000u
#define SAFEGUARD_FROM_HALT 256u /* strata of one halt */

/* Up to cap of a deployment's, from this slot on; first, when from is 0, the strata of a halt that holds. */
size_t ledger_safeguards(const struct ledger *l, uint32_t deployment, uint32_t from, struct safeguard_view *out,
			 size_t cap);
/* Is this host kept out?  By which (out may be NULL).  A host that is not known can only be listed. */
struct safeguard_lookup {
	uint32_t deployment;
	uint16_t strata[SAFEGUARD_FROM_HALT]; /* of a halt that holds */
	size_t n;
	uint64_t signature;
};
void ledger_safeguard_lookup(const struct ledger *l, uint32_t deployment,
			     struct safeguard_lookup *out); /* until the next fold */
bool ledger_safeguarded(const struct ledger *l, const struct safeguard_lookup *look, uint64_t hash,
			struct safeguard_view *out);
/* NULL, or why the log should not take that record: "not_found", "too_many", "unknown" (nothing to remove). */
const char *ledger_refuses_safeguard(const struct ledger *l, uint16_t tenant, const void *packed, size_t len);

/* ---- what people say of signatures ---- */

/* Values of log.NoteAction. */
enum note_action { NOTE_IS_NONE, NOTE_IS_ADVICE, NOTE_IS_ADVICE_REMOVED, NOTE_IS_MERGE, NOTE_IS_UNMERGE };
const char *note_action_name(enum note_action a); /* "advice", "advice_removed", "merge", "unmerge" */

#define NOTES_SIGNATURES 4096u /* that something is said of */
#define NOTES_KEPT       16u   /* of one signature: the newest, and what holds */
#define NOTE_TEXT_MAX    512u
struct note_view {
	uint64_t pos;
	int64_t at_us;
	enum note_action action;
	uint64_t into;                         /* of a merge */
	struct text text, link, actor, reason; /* borrowed until the next fold */
};

uint64_t ledger_notes_version(const struct ledger *l); /* position of the newest note; 0: none */
/* Newest first; returns how many. */
size_t ledger_notes(const struct ledger *l, uint16_t tenant, uint64_t signature, struct note_view out[NOTES_KEPT]);
/* The advice that its hosts are told: its own, else that of what it is merged into (*from_out: whose). */
bool ledger_advice(const struct ledger *l, uint16_t tenant, uint64_t signature, struct note_view *out,
		   uint64_t *from_out);
/* What it is merged into, if it is; and up to cap signatures that are merged into it. */
bool ledger_merge(const struct ledger *l, uint16_t tenant, uint64_t signature, struct note_view *out);
size_t ledger_merged(const struct ledger *l, uint16_t tenant, uint64_t into, uint64_t *out, size_t cap);
/* Signatures that anything is said of, by number from 0; false when there is no such number. */
bool ledger_noted(const struct ledger *l, uint32_t no, uint16_t *tenant_out, uint64_t *signature_out);
/* NULL, or why the log should not take that record: "unknown_signature", "unknown_into", "self", "chain" (merges are
 * one deep), "no_text", "no_advice", "not_merged", "conflict" (the newest note is another), "too_many",
 * "unknown_action". */
const char *ledger_refuses_note(const struct ledger *l, uint16_t tenant, const void *packed, size_t len);

/* Where a host stands in the plan. */
struct offer_view {
	bool known;    /* heard of */
	bool eligible; /* by what is known of it */
	bool served, withdrawn;
	bool listed;    /* hosts are assigned by list: there is no ring */
	uint32_t ring;  /* number in the plan; UINT32_MAX: beyond the last ring, or there are none */
	uint64_t place; /* among the eligible hosts, from 0, by its rank */
	uint64_t first; /* of these the first ring has; UINT64_MAX: all */
	bool safeguarded;
	struct safeguard_view safeguard;
};
bool ledger_offer(const struct ledger *l, uint32_t deployment, uint64_t hash, struct offer_view *out);

/* A report, for 7 days (of at most two million, the newest). */
enum dump_stage { DUMP_NONE, DUMP_STORED, DUMP_TRIAGED, DUMP_UNREADABLE };
struct report_view {
	uint64_t pos;
	enum report_outcome outcome;
	uint64_t first; /* original of a resent one */
	uint32_t host_no;
	uint64_t claimed;  /* signature of the client's claim; 0: none */
	uint64_t computed; /* signature the server computed; 0: none yet */
	enum dump_stage stage;
};
bool ledger_report(const struct ledger *l, uint64_t pos, struct report_view *out);

/* Enough dumps of that signature today? */
bool ledger_has_enough_dumps(const struct ledger *l, uint16_t tenant, uint64_t signature);

/* Halts that the rule made and whose Decision is not in the log yet: call after catching up. */
void ledger_pending_decisions(const struct ledger *l, const struct ledger_sink *sink);

/* ---- other threads: the append-only host map ---- */

/* One per reading thread; the only functions of this header that may run beside a fold. */
struct host_map_reader;
struct host_map_reader *host_map_reader_new(struct ledger *l);
void host_map_reader_free(struct host_map_reader *r);
/* Number and last heartbeat_fingerprint() (0: none yet) of a host. */
bool host_map_find(struct host_map_reader *r, uint16_t tenant, uint64_t hash, uint32_t *host_no_out,
		   uint32_t *fingerprint_out);

/* ---- snapshots ---- */

/* State is split into chunks that are serialised alone; chunk ids are opaque.  An empty
 * chunk (len 0) says that the chunk is gone. */
typedef void ledger_chunk_fn(void *arg, uint64_t chunk, const void *bytes, size_t len);

/* Snapshots of LEDGER_SNAPSHOT_OLDEST and later are read: version 5 had no history, no decisions and no
 * comparison with the past. */
#define LEDGER_SNAPSHOT_VERSION 6u
#define LEDGER_SNAPSHOT_OLDEST  5u

/* Start a snapshot at ledger_position(): chunks changed since the last one that ended well
 * (all, when full, which takes a walk over them) will be given to fn by step(), and by ledger_fold() for chunks about to
 * change.  One at a time. */
void ledger_snapshot_begin(struct ledger *l, bool full, ledger_chunk_fn *fn, void *arg);
/* Serialise about budget bytes; true when nothing is left. */
bool ledger_snapshot_step(struct ledger *l, size_t budget);
/* ok false: it was not stored; its chunks will be in the next one. */
void ledger_snapshot_end(struct ledger *l, bool ok);

/* Load into a fresh ledger: chunks in rising order of their ids.  After a failure the
 * ledger may only be freed. */
enum err ledger_load_chunk(struct ledger *l, uint64_t chunk, const void *bytes, size_t len);
/* Rebuild indexes; the ledger may be folded into after ERR_OK. */
enum err ledger_load_end(struct ledger *l);

#endif
