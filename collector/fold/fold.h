/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_FOLD_FOLD_H
#define COLLECTOR_FOLD_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "collector/ledger/ledger.h"
#include "collector/log/log.h"

/* The ledger thread: loads the newest snapshot, folds the log from there for ever, takes
 * snapshots, publishes what it knows and answers questions between batches. */
struct fold;

/* Who else needs to know what was decided about reports: in production the side file
 * that the projector reads (collector/store/outcomes.h has the contract of each; bits are
 * OUTCOME_*).  All on the ledger thread. */
struct fold_outcomes {
	void *arg;
	void (*rewind)(void *arg, uint64_t from);            /* once, before the first batch */
	void (*put)(void *arg, uint64_t pos, uint32_t bits); /* a report not simply counted; a whole duplicate batch */
	void (*decided)(void *arg, uint64_t next);           /* after each batch */
	/* Before a snapshot becomes valid: *fd_out is synced (not on the ledger thread) and closed, -1: nothing
	 * is to be synced.  Returns -1: it must not become valid. */
	int (*sync)(void *arg, int *fd_out);
};

/* A halt that the ledger came to; texts and bytes are borrowed for the call. */
struct fold_decision {
	uint16_t tenant;
	const char *deployment, *reason;
	uint64_t pos;         /* record that decided */
	const uint8_t *proof; /* packed log.Proof; NULL: none */
	size_t proof_len;
};

struct fold_options {
	struct log *log;
	const struct fold_outcomes *outcomes; /* NULL: nobody */
	const char *snapshot_dir;             /* must exist; NULL: no snapshots */
	uint64_t snapshot_interval_ms, snapshot_records;
	/* Append an automatic Decision (halt) to the log: pack a log.Decision with basis pos.
	 * On the ledger thread; must not block; texts are borrowed. */
	void (*decide)(void *arg, const struct fold_decision *d);
	/* A new view was published with a changed verdict, or events were added.  On the
	 * ledger thread; only post to your own loop. */
	void (*changed)(void *arg);
	/* What people say of signatures changed, or is known now.  On the ledger thread: copy out, be quick. */
	void (*advised)(void *arg, const struct ledger *l);
	void *arg;
};

/* Load and start the thread.  NULL with a sentence in err (a snapshot of a newer version,
 * a log that does not reach back to the snapshot, ...). */
struct fold *fold_start(const struct fold_options *o, char *err, size_t err_size);

/* Take a last snapshot and stop.  Mail of fold_ask() still queued is answered. */
void fold_stop(struct fold *f);

/* New intervals after a reload. */
void fold_configure(struct fold *f, uint64_t snapshot_interval_ms, uint64_t snapshot_records);

/* Everything before this position is folded and visible.  Any thread. */
uint64_t fold_position(const struct fold *f);
/* Batches in the log that are not folded; 0 while the fold is still catching up or has
 * stopped, because then nobody should wait for it.  Any thread, cheap. */
uint64_t fold_behind(const struct fold *f);
/* The log as it was when fold_start() ran has been folded (readiness). */
bool fold_caught_up(const struct fold *f);
/* NULL, or why the thread stopped folding (an unknown record that may not be skipped,
 * history changed, ...): verdicts are stale from then on. */
const char *fold_failed(const struct fold *f);

/* ---- views: immutable, any thread ---- */

#define VIEW_TOP    100
#define VIEW_ALARMS 16
#define VIEW_MARKS  64

struct view_signature {
	uint16_t tenant;
	uint64_t id;
	uint8_t rung, kinds;
	uint32_t hosts, sites;
	uint64_t crashes, trend;
	int64_t first_us, last_us;
	uint32_t deployment; /* under which it falls (ledger_blamed()), UINT32_MAX: none */
	char title[VERDICT_TITLE_MAX];
	char reason[128];
};
struct view_ring {
	char name[48];
	uint64_t size, served; /* served: as if the rings were filled in their order */
	bool rest;             /* whoever is left; size is 0 */
};
/* Something that happened to a deployment within the last hour. */
struct view_mark {
	int64_t at_us;
	uint8_t action; /* log.Action; 0: first served */
	char deployment[129];
};
struct view_decision {
	uint64_t pos; /* 0: there is none */
	int64_t at_us;
	char actor[132], reason[1028];
};
struct view_deployment {
	uint16_t tenant;
	uint32_t no;
	char id[129];
	bool open;
	int64_t created_us, first_served_us, last_served_us, bake_us;
	uint32_t n_rings;
	struct view_ring rings[DEPLOYMENT_MAX_RINGS];
	struct view_decision acknowledged;
	struct verdict_view verdict; /* evidence without the votes */
};
struct fold_view {
	uint64_t position;
	int64_t now_us;
	struct ledger_stats stats;
	struct pulse_view pulse;
	uint32_t n_marks; /* oldest first */
	struct view_mark marks[VIEW_MARKS];
	uint32_t n_by_hosts, n_newest, n_by_trend, n_deployments;
	struct view_signature by_hosts[VIEW_TOP], newest[VIEW_TOP], by_trend[VIEW_TOP]; /* tenant 0 */
	uint32_t n_alarms;
	struct alarm alarms[VIEW_ALARMS];    /* tenant 0: those that go on, newest first */
	struct view_deployment *deployments; /* sorted by tenant, then id */
};
/* The newest view, never NULL; give it back.  Published at most every 100 ms, and at once
 * when a verdict changes. */
const struct fold_view *fold_view_get(struct fold *f);
void fold_view_put(struct fold *f, const struct fold_view *v);

/* One deployment of a view; NULL if it is not there. */
const struct view_deployment *fold_view_deployment(const struct fold_view *v, uint16_t tenant, struct text id);

/* ---- questions: run on the ledger thread between batches ---- */

struct fold_query {
	struct mail mail;                                          /* link; also the answer's mail in `reply` */
	void (*ask)(struct fold_query *q, const struct ledger *l); /* on the ledger thread: copy out, be quick */
	struct mailbox *reply;                                     /* posted here when answered */
	void *arg;
};
/* The caller owns q and leaves it alone until it comes back through q->reply.  False when
 * the queue is full or the thread has stopped: answer "busy". */
bool fold_ask(struct fold *f, struct fold_query *q);

/* Report status without a question: true once everything up to pos is folded. */
static inline bool
fold_has(const struct fold *f, uint64_t pos)
{
	return fold_position(f) > pos;
}

/* ---- events, for SSE: any thread ---- */

enum fold_event_kind { EVENT_SIGNATURE, EVENT_VERDICT, EVENT_DEPLOYMENT, EVENT_ALARM };

struct fold_event {
	uint64_t id; /* rises; survives no restart: starts at the log position */
	enum fold_event_kind kind;
	uint16_t tenant;
	uint64_t pos;
	uint64_t signature;   /* EVENT_SIGNATURE */
	char deployment[129]; /* EVENT_VERDICT, EVENT_DEPLOYMENT */
	enum verdict verdict; /* EVENT_VERDICT */
	enum verdict_state state;
	char text[VERDICT_REASON_MAX]; /* title of the signature, or the reason */
	struct alarm alarm;            /* EVENT_ALARM: as it was then */
};
/* Up to cap events after id `after`, oldest first; *missed_out says that older ones after
 * `after` are gone from the ring of 1,024.  after = UINT64_MAX: only sets *last_out. */
size_t fold_events_since(struct fold *f, uint64_t after, struct fold_event *out, size_t cap, bool *missed_out,
			 uint64_t *last_out);

/* ---- for gates: any thread ---- */

/* One reader per gate thread. */
struct host_map_reader *fold_host_map(struct fold *f);
/* Are more dumps of that signature welcome?  Cheap, may lag. */
bool fold_wants_dump(const struct fold *f, uint16_t tenant, uint64_t signature);

#endif
