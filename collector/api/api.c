/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/settings.h"
#include "collector/api/call.h"
#include "collector/api/evidence.h"
#include "collector/api/idem.h"
#include "collector/api/inflow.h"
#include "collector/api/page.h"
#include "collector/api/session.h"
#include "collector/ledger/correlate.h"
#include "collector/symbols/store.h"

#define API_MAX_OUTPUT ((uint64_t)1024 * 1024) /* a stream may lag by this much */

/* Routes that follow another system's contract (params NULL) let its parameters through. */
static const struct {
	enum http_method method;
	const char *pattern;
	const struct http_ops *ops;
	enum { OPEN, READ, ASK, BULK, WRITE } access; /* ASK, BULK: questions with a body, of 64 KiB or more */
	const char *params;
} routes[] = {
	{ HTTP_METHOD_GET, "/healthz", &healthz_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/readyz", &readyz_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/version", &version_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/metrics", &metrics_ops, READ, NULL },
	{ HTTP_METHOD_GET, "/api/v1/query", &query_ops, READ, NULL },
	{ HTTP_METHOD_POST, "/api/v1/query", &query_ops, ASK, NULL },
	{ HTTP_METHOD_POST, "/v1/flagger/confirm", &flagger_confirm_ops, ASK, "" },
	{ HTTP_METHOD_POST, "/v1/flagger/check", &flagger_check_ops, ASK, "" },
	{ HTTP_METHOD_POST, "/v1/flagger/rollback", &flagger_rollback_ops, ASK, "" },
	{ HTTP_METHOD_POST, "/v1/flagger/event", &flagger_event_ops, WRITE, "" },
	{ HTTP_METHOD_GET, "/v1/now", &now_ops, READ, "" },
	{ HTTP_METHOD_GET, "/v1/alarms", &alarms_ops, READ, "" },
	{ HTTP_METHOD_GET, "/v1/learned", &learned_ops, READ, "" },
	{ HTTP_METHOD_GET, "/v1/stream", &stream_ops, READ, "deployment topics last_event_id" },
	{ HTTP_METHOD_GET, "/v1/signatures", &signatures_list_ops, READ,
	  "q sort group module kind new_since deployment rungs facets limit offset cursor from_end" },
	{ HTTP_METHOD_GET, "/v1/signatures.json", &signatures_json_ops, READ,
	  "q sort group module kind new_since deployment rungs facets" },
	{ HTTP_METHOD_GET, "/v1/signatures.csv", &signatures_csv_ops, READ,
	  "q sort group module kind new_since deployment rungs facets" },
	{ HTTP_METHOD_GET, "/v1/signatures/{}", &signature_ops, READ, "view" },
	{ HTTP_METHOD_GET, "/v1/signatures/{}/correlations", &correlations_ops, READ, "limit" },
	{ HTTP_METHOD_GET, "/v1/signatures/{}/advice", &advice_ops, READ, "" },
	{ HTTP_METHOD_PUT, "/v1/signatures/{}/advice", &advice_put_ops, WRITE, "" },
	{ HTTP_METHOD_DELETE, "/v1/signatures/{}/advice", &advice_delete_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/signatures/{}/merge", &merge_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/signatures/{}/unmerge", &unmerge_ops, WRITE, "" },
	{ HTTP_METHOD_GET, "/v1/signatures/{}/reports", &signature_reports_ops, READ, "limit cursor" },
	{ HTTP_METHOD_GET, "/v1/dumps/{}", &dump_ops, WRITE, "" },
	{ HTTP_METHOD_GET, "/v1/decisions", &decisions_list_ops, READ, "deployment limit cursor" },
	{ HTTP_METHOD_GET, "/v1/decisions/{}", &decision_ops, READ, "" },
	{ HTTP_METHOD_GET, "/v1/health", &health_ops, READ, "" },
	{ HTTP_METHOD_GET, "/v1/hosts/{}/reports", &host_reports_ops, READ, "limit cursor" },
	{ HTTP_METHOD_GET, "/v1/reports/{}", &report_ops, READ, "" },
	{ HTTP_METHOD_GET, "/v1/hosts/{}", &host_ops, READ, "view limit cursor" },
	{ HTTP_METHOD_GET, "/v1/hosts", &hosts_list_ops, READ, "state deployment limit cursor" },
	{ HTTP_METHOD_GET, "/v1/silence", &silence_ops, READ, "" },
	{ HTTP_METHOD_GET, "/v1/deployments", &deployments_list_ops, READ, "view state q sort limit cursor" },
	{ HTTP_METHOD_GET, "/v1/deployments/{}", &deployment_ops, READ, "view key from limit" },
	{ HTTP_METHOD_PUT, "/v1/deployments/{}", &deployment_put_ops, WRITE, "" },
	{ HTTP_METHOD_DELETE, "/v1/deployments/{}", &deployment_delete_ops, WRITE, "force" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/receipts", &receipts_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/halt", &halt_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/resume", &resume_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/pause", &pause_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/ack", &ack_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/mute", &mute_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/accept", &accept_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/release", &release_ops, WRITE, "" },
	{ HTTP_METHOD_GET, "/v1/deployments/{}/evidence", &evidence_ops, READ, "key signature" },
	{ HTTP_METHOD_GET, "/v1/deployments/{}/votes", &votes_ops, READ, "key signature from limit" },
	{ HTTP_METHOD_GET, "/v1/deployments/{}/verdict", &verdict_ops, READ, "wait" },
	{ HTTP_METHOD_GET, "/v1/deployments/{}/offer", &offer_ops, READ, "host up_to" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/offer", &offer_record_ops, WRITE, "" },
	{ HTTP_METHOD_GET, "/v1/deployments/{}/safeguard", &safeguard_list_ops, READ, "limit cursor" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/safeguard", &safeguard_change_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/deployments/{}/safeguard/check", &safeguard_check_ops, BULK, "" },
	{ HTTP_METHOD_GET, "/v1/symbols", &symbols_list_ops, READ, "limit cursor" },
	{ HTTP_METHOD_PUT, "/v1/symbols/{}", &symbols_put_ops, WRITE, "" },
	{ HTTP_METHOD_DELETE, "/v1/symbols/{}", &symbols_delete_ops, WRITE, "" },
	{ HTTP_METHOD_GET, "/v1/webhooks", &webhooks_list_ops, READ, "" },
	{ HTTP_METHOD_GET, "/v1/webhooks/{}", &webhook_ops, READ, "" },
	{ HTTP_METHOD_POST, "/v1/webhooks/{}/redeliver", &webhook_redeliver_ops, WRITE, "" },
	{ HTTP_METHOD_POST, "/v1/webhooks/{}/ping", &webhook_ping_ops, WRITE, "" },
	{ HTTP_METHOD_GET, "/v1/session", &session_ops, OPEN, "" },
	{ HTTP_METHOD_POST, "/v1/session", &session_begin_ops, OPEN, "" },
	{ HTTP_METHOD_DELETE, "/v1/session", &session_end_ops, OPEN, "" },
	{ HTTP_METHOD_GET, "/", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/deployments", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/deployments/*", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/signatures", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/signatures/*", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/hosts", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/hosts/*", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/halts", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/halts/*", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/health", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/signin", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/about", &shell_ops, OPEN, NULL },
	{ HTTP_METHOD_GET, "/*", &asset_ops, OPEN, NULL },
};
#define N_ROUTES (sizeof(routes) / sizeof(routes[0]))

static struct http_options
options(struct api *a)
{
	const struct settings *s = a->env.settings(a->env.arg);

	return (struct http_options){
		.max_connections = s->max_connections,
		.max_header = s->max_header,
		.header_timeout_ms = s->header_timeout,
		.request_timeout_ms = s->request_timeout,
		.idle_timeout_ms = s->idle_timeout,
		.max_output = API_MAX_OUTPUT,
		.connections = COUNTER_connections_api,
		.tokens = a->env.tokens,
		.tokens_arg = a->env.arg,
		.session = sign_in_session,
		.session_arg = a,
	};
}

static struct http_server *
make_server(struct api *a)
{
	struct http_route table[N_ROUTES];
	struct http_options o = options(a);
	size_t n = 0;

	memset(table, 0, sizeof(table));
	for (size_t i = 0; i < N_ROUTES; i++) {
		if (a->env.symbols == NULL && strncmp(routes[i].pattern, "/v1/symbols", 11) == 0)
			continue;
		table[n].method = routes[i].method;
		table[n].pattern = routes[i].pattern;
		table[n].ops = routes[i].ops;
		table[n].arg = a;
		table[n].max_raw = table[n].max_body = routes[i].access >= BULK ? API_MAX_BODY : 0;
		table[n].token = routes[i].access == WRITE || (routes[i].access != OPEN && !a->env.open_reads);
		table[n++].params = routes[i].params;
	}
	return http_server_new(a->base, table, n, &o);
}

/* ---- what wakes the loop ---- */

static void
on_replies(evutil_socket_t fd, short what, void *arg)
{
	struct api *a = arg;
	struct mail *m = mailbox_take(a->replies), *next;

	(void)fd;
	(void)what;
	for (; m != NULL; m = next) {
		next = m->next;
		call_answered(m);
	}
}

static void
on_told(evutil_socket_t fd, short what, void *arg)
{
	struct api *a = arg;

	(void)fd;
	(void)what;
	store_dispatch(a->histories);
}

static void
on_stored(evutil_socket_t fd, short what, void *arg)
{
	struct api *a = arg;

	(void)fd;
	(void)what;
	symbols_dispatch(a->symbols_done);
}

static void
on_logged(evutil_socket_t fd, short what, void *arg)
{
	struct api *a = arg;

	(void)fd;
	(void)what;
	intake_dispatch(a->intake);
}

static void
on_woken(evutil_socket_t fd, short what, void *arg)
{
	struct api *a = arg;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) == sizeof(n)) {
		verdict_wake(a);
		hub_events(a->hub);
	}
}

static void
on_second(evutil_socket_t fd, short what, void *arg)
{
	struct api *a = arg;

	(void)fd;
	(void)what;
	page_second(a);
	health_second(a);
	inflow_second(a->inflow);
	now_second(a);
	hub_second(a->hub);
}

void
api_wake(struct api *a)
{
	const uint64_t one = 1;
	ssize_t n = write(a->wake_fd, &one, sizeof(one));

	(void)n; /* a full counter wakes as well */
}

/* ---- life ---- */

static bool
watch(struct api *a)
{
	static const struct timeval second = { 1, 0 };

	a->replied = event_new(a->base, mailbox_fd(a->replies), EV_READ | EV_PERSIST, on_replies, a);
	a->told = event_new(a->base, mailbox_fd(a->histories), EV_READ | EV_PERSIST, on_told, a);
	a->logged = event_new(a->base, intake_fd(a->intake), EV_READ | EV_PERSIST, on_logged, a);
	a->woken = event_new(a->base, a->wake_fd, EV_READ | EV_PERSIST, on_woken, a);
	a->stored = event_new(a->base, mailbox_fd(a->symbols_done), EV_READ | EV_PERSIST, on_stored, a);
	a->second = event_new(a->base, -1, EV_PERSIST, on_second, a);
	return a->stored != NULL && event_add(a->stored, NULL) == 0 && a->replied != NULL && a->told != NULL &&
	       a->logged != NULL && a->woken != NULL && a->second != NULL && event_add(a->replied, NULL) == 0 &&
	       event_add(a->told, NULL) == 0 && event_add(a->logged, NULL) == 0 && event_add(a->woken, NULL) == 0 &&
	       event_add(a->second, &second) == 0;
}

struct api *
api_new(struct event_base *base, const struct api_env *env, char *err, size_t err_size)
{
	struct api *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	a->env = *env;
	a->base = base;
	a->started_us = clock_boot_us();
	a->reports_before = counter_get(COUNTER_reports);
	TAILQ_INIT(&a->waiters);
	if ((a->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) == -1 || (a->replies = mailbox_new()) == NULL ||
	    (a->histories = mailbox_new()) == NULL || (a->symbols_done = mailbox_new()) == NULL ||
	    (a->intake = intake_new(env->log)) == NULL || (a->reader = log_reader_new(env->log, 0)) == NULL ||
	    (a->sessions = sessions_new()) == NULL || (a->inflow = inflow_new()) == NULL ||
	    (a->idem = idem_new()) == NULL || (a->hub = hub_new(a)) == NULL || (a->http = make_server(a)) == NULL ||
	    !watch(a)) {
		snprintf(err, err_size, "cannot start the API: out of memory or descriptors");
		api_free(a);
		return NULL;
	}
	return a;
}

int
api_listen(struct api *a, int fd)
{
	return http_server_listen(a->http, fd);
}

uint16_t
api_port(const struct api *a)
{
	return http_server_port(a->http);
}

void
api_reload(struct api *a)
{
	struct http_options o = options(a);

	http_server_configure(a->http, &o);
}

void
api_drain(struct api *a)
{
	a->draining = true;
	http_server_drain(a->http);
	verdict_drain(a);
}

bool
api_drained(const struct api *a)
{
	return http_server_connections(a->http) == 0 && a->n_calls == 0 && a->n_uploads == 0 &&
	       intake_in_flight(a->intake) == 0;
}

/* What the ledger and the log still hold comes back soon: both answer everything. */
static void
wait_for_calls(struct api *a)
{
	while (a->n_calls > 0 || a->n_uploads > 0 || (a->intake != NULL && intake_in_flight(a->intake) > 0))
		if (event_base_loop(a->base, EVLOOP_ONCE) != 0)
			break;
}

void
api_free(struct api *a)
{
	struct event *events[6];

	if (a == NULL)
		return;
	a->draining = true;
	http_server_free(a->http); /* every open call ends; busy ones stay */
	wait_for_calls(a);
	events[0] = a->replied;
	events[1] = a->logged;
	events[2] = a->woken;
	events[3] = a->second;
	events[4] = a->told;
	events[5] = a->stored;
	for (size_t i = 0; i < 6; i++)
		if (events[i] != NULL)
			event_free(events[i]);
	hub_free(a->hub);
	if (a->reader != NULL)
		log_reader_free(a->reader);
	if (a->intake != NULL)
		intake_free(a->intake);
	if (a->replies != NULL)
		mailbox_free(a->replies);
	if (a->histories != NULL)
		mailbox_free(a->histories);
	if (a->symbols_done != NULL)
		mailbox_free(a->symbols_done);
	if (a->wake_fd > 0)
		close(a->wake_fd);
	correlate_fleet_free(a->correlate_fleet);
	now_fini(a);
	inflow_free(a->inflow);
	idem_free(a->idem);
	sessions_free(a->sessions);
	free(a);
}
