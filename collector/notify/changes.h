/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_NOTIFY_CHANGES_H
#define COLLECTOR_NOTIFY_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct fold_view;
struct view_deployment;

/* What was said of each deployment, and what is new since then.
 *
 * Notices come from comparing two levels, the last one told and the one of now, and not from
 * edges: whatever was missed while nobody looked is told in one step, and because the ledger
 * folds the same log to the same verdicts, a notice that is made a second time after a crash
 * has the same id. */

enum notice_kind {
	NOTICE_HALT_RAISED,
	NOTICE_HALT_CHANGED,
	NOTICE_HALT_LIFTED,
	NOTICE_VERDICT_CHANGED,
	NOTICE_DEPLOYMENT_CREATED,
	NOTICE_DEPLOYMENT_CLOSED,
	NOTICE_DEPLOYMENT_DELETED,
	NOTICE_ALARM_RAISED,
	NOTICE_ALARM_OVER,
	NOTICE_PING,
	NOTICE_N
};
const char *notice_kind_name(enum notice_kind k); /* "halt.raised" */
int notice_kind_parse(const char *name);          /* -1: no kind */
unsigned notice_kind_bits(enum notice_kind k);    /* WEBHOOK_*; all for a ping */

#define NOTICE_ID_SIZE 37

/* How long an ended halt is remembered, so that alerts can be said to have ended. */
#define CHANGES_KEEP_US ((int64_t)300 * 1000000)

struct told {
	char deployment[129];
	char verdict[16], state[40];
	uint64_t halt_pos; /* 0: not halted */
	uint64_t since_pos;
	bool closed, deleted;
	int64_t halted_us;   /* since when it has been halted; 0: never */
	int64_t resolved_us; /* when the halt was seen lifted; 0: it was not */
	char *reason, *title;
	uint32_t seen; /* of the last comparison; for throwing away what is gone */
};

/* An alarm without a deployment. */
struct told_alarm {
	uint64_t no, signature;
	char kind[16];
	bool certified;
	int64_t raised_us, resolved_us; /* resolved: when it was seen over; 0: it goes on */
	char *title, *text;
	uint32_t seen;
};

struct changes {
	uint8_t log[16]; /* uuid of the log that the positions are of */
	bool first;      /* nothing is known to have been told: only halts are news */
	struct told *told;
	size_t n, cap, sorted; /* the first `sorted` are, by deployment */
	struct told_alarm *alarms;
	size_t n_alarms;
	uint32_t round;
};

/* A new notice: its id (stable), the deployment ("" for pings and alarms), and its data, which are the callee's. */
typedef void notice_fn(void *arg, enum notice_kind kind, const char *id, const char *deployment, int64_t at_us,
		       json_t *data);

void changes_init(struct changes *c, const uint8_t log[16]);
void changes_fini(struct changes *c);

/* Compare; true if anything is other than it was.  Only with a view of a fold that is up to date. */
bool changes_look(struct changes *c, const struct fold_view *v, int64_t now_us, notice_fn *fn, void *arg);

json_t *changes_pack(const struct changes *c); /* NULL: out of memory */
/* False: not what changes_pack() made of this log; c is as after init then. */
bool changes_unpack(struct changes *c, const json_t *j);

#endif
