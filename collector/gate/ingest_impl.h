/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_INGEST_IMPL_H
#define COLLECTOR_GATE_INGEST_IMPL_H

/* Inside of the HTTP ingest, for ingest*.c and submit*.c only. */

#include <sys/queue.h>

#include "base/crypto.h"
#include "base/text.h"
#include "collector/gate/gate.h"
#include "collector/gate/identity.h"
#include "collector/gate/ingest.h"
#include "collector/gate/intake.h"
#include "collector/gate/json_out.h"
#include "collector/http/http.h"
#include "proto/report.h"

struct mailbox;

/* Something that could not be given to the intake because it was busy. */
struct waiter {
	TAILQ_ENTRY(waiter) entry;
	bool waiting;
	/* Try again; false: still no room.  May free the waiter when it returns true. */
	bool (*retry)(struct waiter *w);
	/* The ingest ends: free it, unless its client's request will (then NULL). */
	void (*drop)(struct waiter *w);
};

struct batch_call;

struct ingest {
	struct gate *gate;
	struct http_server *http;
	struct mailbox *stored; /* outcomes of dumps_commit() */
	struct event *stored_ev, *retry_ev;
	TAILQ_HEAD(, waiter) waiters;
	size_t n_waiters;
	size_t in_work;    /* groups whose outcome is awaited */
	size_t commits;    /* dumps whose outcome is awaited */
	bool ending;       /* ingest_free() runs: nothing more is logged */
	size_t body_bytes; /* held by requests that are not answered */
	struct json_out out;
	struct batch_call *free_calls;
	size_t n_free_calls;
	char *submit_paths; /* split in place; routes borrow from it */
};

const struct settings *ingest_settings(const struct ingest *in);

/* ---- back-pressure ---- */
void ingest_wait(struct ingest *in, struct waiter *w);
void ingest_unwait(struct ingest *in, struct waiter *w); /* no-op when it does not wait */
bool ingest_overloaded(const struct ingest *in);         /* too much waits already: refuse log_busy */

/* Memory for bodies: false when this gate holds too much already. */
bool ingest_hold(struct ingest *in, size_t bytes);
void ingest_drop(struct ingest *in, size_t bytes);

/* What a failed group is refused with. */
enum discard ingest_outcome(const struct ingest *in, enum log_outcome outcome);

/* ---- records ---- */
struct sender {
	const struct sockaddr *peer;
	bool authenticated;
	int64_t received_us;
	enum log_pressure pressure;
	enum log_class class;
	struct text site; /* when no label says otherwise; may borrow site_buf */
	char site_buf[SITE_MAX];
};
void ingest_sender(struct ingest *in, struct http_request *r, int64_t received_us, struct sender *out);

/* The site of one item with these labels; buf of SITE_MAX bytes. */
struct text ingest_site(struct ingest *in, const struct sender *s, const struct report_pair *labels, uint32_t n_labels,
			char *buf);

/* The stamp of a decoded report; site_buf of SITE_MAX bytes lives as long as the stamp. */
void ingest_stamp(struct ingest *in, const struct sender *s, const struct report *r, char *site_buf,
		  struct report_stamp *out);

/* "halted":[...] of the deployments halted now, as a member after a comma, if there are any. */
void ingest_put_halted(struct ingest *in, struct json_out *o);

/* ---- handlers ---- */
extern const struct http_ops ingest_reports_ops; /* ingest_batch.c */
extern const struct http_ops ingest_heartbeats_ops;
extern const struct http_ops ingest_dump_ops;    /* ingest_dump.c */
extern const struct http_ops submit_socorro_ops; /* submit.c */
extern const struct http_ops submit_plain_ops;
void ingest_batch_free_pool(struct ingest *in);

#endif
