/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_CALL_H
#define COLLECTOR_API_CALL_H

/* Inside of the API, for the files of this folder only.
 *
 * A call is one request from its headers to its answer.  A handler parses, then asks the
 * ledger and perhaps first writes to the log; each step goes on in a function on the
 * API's loop.  The call outlives a client that leaves while the ledger or the log holds
 * it (busy); then nothing is answered and it is freed when it comes back. */

#include <sys/queue.h>

#include "base/arena.h"
#include "collector/api/api.h"
#include "collector/api/body.h"
#include "collector/api/jsonout.h"
#include "collector/api/params.h"
#include "collector/fold/fold.h"
#include "collector/gate/intake.h"
#include "collector/http/http.h"
#include "collector/store/store_query.h"

#define API_TENANT        0
#define API_MAX_BODY      ((uint64_t)8 * 1024 * 1024)
#define API_WRITE_WAIT_MS 10000    /* for a durable record to be folded */
#define API_STALE_US      15000000 /* ledger clock this far behind: no verdict but halt is sure */
#define API_ARRIVALS      600      /* seconds of crash arrivals kept */
#define LOG_ENDS          3600
#define DISK_SAMPLES      289 /* each five minutes */

struct event;
struct hub;
struct call;
struct inflow;

typedef void call_ask_fn(struct call *c, const struct ledger *l); /* on the ledger thread */
typedef void call_then_fn(struct call *c);                        /* on the API's loop */

/* What somebody may do.  More roles come between these: nothing asks for more than "at least". */
enum role { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_N };
struct caller {
	enum role role;
	bool browser; /* a page may be behind it: what cannot be taken back is asked for twice */
};

struct call {
	struct fold_query query; /* first */
	struct intake_group group;
	struct api *api;
	struct http_request *req; /* NULL: the client has left */
	struct arena *arena;      /* parsed body and whatever lives as long as the call */
	struct jsonout out;       /* the answer */
	int status;               /* of the answer; 200 at first */
	enum role role;           /* of the caller */
	enum discard refusal;     /* set by an ask that found nothing; 0: none */
	char id[DEPLOYMENT_ID_MAX + 1];
	void *state;                /* the handler's own, from the arena */
	struct store_query history; /* answered once `then` of call_history() runs */
	/* private to call.c */
	bool busy, asked_history;
	call_ask_fn *ask;
	call_then_fn *then;
	uint64_t wait_pos; /* ask only once this position is folded; 0: at once */
	bool too_early;
	int64_t give_up_us;
	struct event *timer;
	call_then_fn *on_timer;
	char *body;
	size_t body_len, body_cap;
	TAILQ_ENTRY(call) entry; /* in a list of waiters or streams */
	TAILQ_HEAD(call_list, call) * list;
};

struct api {
	struct api_env env;
	struct event_base *base;
	struct http_server *http;
	struct intake *intake;
	struct mailbox *replies, *histories;
	struct event *replied, *logged, *second, *woken, *told;
	int wake_fd;
	struct log_reader *reader; /* for GET /v1/reports/{id} */
	struct call_list waiters;  /* long polls on verdicts */
	struct hub *hub;           /* SSE */
	struct sessions *sessions;
	struct inflow *inflow;
	struct idem *idem;
	struct now_cache {
		struct http_blob *document; /* NULL: none yet */
		uint64_t position, second;
	} now[ROLE_N];
	uint64_t now_told; /* hash of what the streams were told of it last */
	size_t n_calls, n_waiters, n_uploads;
	struct mailbox *symbols_done; /* from the symbol store */
	struct event *stored;
	struct correlate_fleet *correlate_fleet; /* NULL until asked for; used on the ledger thread alone */
	bool draining;
	int64_t started_us;
	uint64_t reports_before;
	uint32_t arrivals[API_ARRIVALS]; /* a ring */
	uint64_t seconds;                /* arrivals[seconds % API_ARRIVALS] is the running one */
	struct log_end {
		uint64_t position;
		int64_t at_us;
	} ends[LOG_ENDS]; /* of the log, each second: a ring */
	uint64_t n_ends;
	struct disk_sample {
		int64_t at_us; /* boot time */
		uint64_t free;
	} disk[DISK_SAMPLES]; /* a ring: health.c */
	uint64_t n_disk;
};

/* ---- call.c ---- */

/* ops for routes whose arg is a struct api: a call for each request. */
struct call *call_new(struct http_request *r);                      /* NULL: refused already */
struct call *call_new_as(struct http_request *r, const char *type); /* a body of another type than JSON */
bool call_admit(struct http_request *r); /* false: refused, because we stop or a web page may be behind it */
void call_end(struct http_request *r, enum http_end how);
void call_body(struct http_request *r, const void *data, size_t len);

/* Takes the deployment id from the path into c->id; false: refused and answered. */
bool call_take_id(struct call *c);
uint64_t call_hash_host(void *api, struct text host); /* for struct body_hosts */

/* Ask the ledger, then go on in then(): answers the client itself when it cannot ask, and
 * does not go on when the client has left. */
void call_ask(struct call *c, call_ask_fn *ask, call_then_fn *then);

/* Ask the database c->history (what, key, from and limit are set); the answer is in it, and
 * answer may be STORE_DOWN.  Without a database, or with too many questions, it is so at once. */
void call_history(struct call *c, call_then_fn *then);

/* Append a log record of this type to the group that call_log() opened. */
bool call_log_add(struct call *c, enum record_type type, const struct ProtobufCMessage *m);
bool call_log_begin(struct call *c); /* false: refused and answered */
/* Commit, wait until durable and folded, then ask. */
void call_log_commit(struct call *c, call_ask_fn *ask, call_then_fn *then);

/* Run fn on the API's loop after ms, unless the client leaves or call_cancel() comes first. */
void call_after(struct call *c, uint64_t ms, call_then_fn *fn);
void call_cancel(struct call *c);

/* A query of fold_ask() came back. */
void call_answered(struct mail *m);

/* Put into or take out of a list; leaving clients are taken out. */
void call_enlist(struct call *c, struct call_list *list);
void call_delist(struct call *c);

/* ---- answering: the last use of c ---- */

void call_send(struct call *c); /* c->status with c->out, or the refusal */
void call_refuse(struct call *c, enum discard why, const char *field, const char *message);
void call_refuse_body(struct call *c, const struct body_error *e);

/* Members every answer about fleet state carries: as_of, position, stale_seconds, live. */
void call_freshness(struct jsonout *j, struct fold *f, uint64_t position, int64_t now_us);
void jsonout_position(struct jsonout *j, const char *key, uint64_t pos);

/* Is the fold as far as a verdict needs?  NULL, or a sentence why not. */
const char *call_not_fresh(const struct api *a, int64_t ledger_us);

/* ---- who asks: sign_in.c ---- */

struct caller sign_in_caller(struct http_request *r);
/* Is it a write that a page of another site may have made a browser send? */
bool sign_in_is_forged(struct http_request *r);
void sign_in_members(struct jsonout *j, enum role role);       /* "role", "can" */
bool sign_in_session(void *api, const struct http_request *r); /* for struct http_options */

/* ---- the handlers, one file each ---- */

extern const struct http_ops signatures_list_ops, signatures_json_ops, signatures_csv_ops;          /* search.c */
extern const struct http_ops signature_ops;                                                         /* signatures.c */
extern const struct http_ops correlations_ops;                                                      /* correlations.c */
extern const struct http_ops report_ops;                                                            /* reports.c */
extern const struct http_ops signature_reports_ops, host_reports_ops;                               /* history.c */
extern const struct http_ops host_ops;                                                              /* hosts.c */
extern const struct http_ops advice_ops, advice_put_ops, advice_delete_ops, merge_ops, unmerge_ops; /* notes.c */
extern const struct http_ops decisions_list_ops, decision_ops;                                      /* halts.c */
extern const struct http_ops health_ops;                                                            /* health.c */
extern const struct http_ops dump_ops;                                                              /* dumps.c */
extern const struct http_ops hosts_list_ops, silence_ops;
extern const struct http_ops deployments_list_ops, deployment_ops, deployment_put_ops, deployment_delete_ops;
extern const struct http_ops receipts_ops, halt_ops, resume_ops, pause_ops, mute_ops, accept_ops, release_ops,
	ack_ops;                          /* deployments.c, decisions.c */
extern const struct http_ops verdict_ops; /* verdict.c */
extern const struct http_ops query_ops;   /* query.c */
/* flagger.c */
extern const struct http_ops flagger_confirm_ops, flagger_check_ops, flagger_rollback_ops, flagger_event_ops;
extern const struct http_ops offer_ops, offer_record_ops;                                             /* offer.c */
extern const struct http_ops safeguard_list_ops, safeguard_change_ops, safeguard_check_ops;           /* safeguard.c */
extern const struct http_ops webhooks_list_ops, webhook_ops, webhook_redeliver_ops, webhook_ping_ops; /* webhooks.c */
extern const struct http_ops symbols_put_ops, symbols_list_ops, symbols_delete_ops;                   /* symbols.c */
extern const struct http_ops now_ops;                                                                 /* now.c */
extern const struct http_ops stream_ops;                                                              /* stream.c */
extern const struct http_ops healthz_ops, readyz_ops, version_ops, metrics_ops;                       /* status.c */
extern const struct http_ops asset_ops, shell_ops;                                                    /* assets.c */
extern const struct http_ops session_ops, session_begin_ops, session_end_ops;                         /* sign_in.c */
extern const struct http_ops alarms_ops, learned_ops;                                                 /* alarms.c */

/* history.c: members of a report that the database holds; the triage result or null. */
void history_report(struct jsonout *j, const struct api *a, const struct store_query *q, const struct store_report *r);
void history_triage(struct jsonout *j, const struct store_query *q);
const char *history_outcome(uint64_t code);             /* of a triage result: enum err as it was stored */
const char *history_state(const struct store_query *q); /* "database", "down" or "slow" */

void now_second(struct api *a); /* once a second: sample the arrivals */
/* /v1/now for a stream: without sparks and what older programs read.  false: as all were told last, unless anyway. */
bool now_event(struct api *a, struct jsonout *j, bool anyway);
void health_second(struct api *a); /* once a second: sample the disk */
/* The deployments of a view, worst first; free() it.  NULL when out of memory. */
const struct view_deployment **now_ranked(const struct api *a, const struct fold_view *v, uint32_t *n_out);
void now_fini(struct api *a);

struct hub *hub_new(struct api *a); /* stream.c; NULL when out of memory */
void hub_free(struct hub *h);
void hub_events(struct hub *h); /* the fold has new ones */
void hub_second(struct hub *h);

/* What is told: the ledger's verdict, or hold when that is in doubt (then why, else NULL). */
enum verdict verdict_told(const struct api *a, const struct verdict_view *v, const char **doubt_out);
void verdict_wake(struct api *a);  /* a verdict may have changed */
void verdict_drain(struct api *a); /* answer every waiter */
/* Members of a verdict answer; votes too when the evidence holds them. */
void verdict_json(struct jsonout *j, const struct api *a, const struct verdict_view *v);
#define VERDICT_ETAG_SIZE 64
char *verdict_etag(const struct api *a, const struct verdict_view *v, char out[VERDICT_ETAG_SIZE]);

#endif
