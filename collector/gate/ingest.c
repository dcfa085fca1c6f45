/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/mailbox.h"
#include "base/settings.h"
#include "collector/gate/identity.h"
#include "collector/gate/ingest_impl.h"
#include "collector/workers/dumps.h"

#define BODY_BYTES_MAX   ((size_t)256 * 1024 * 1024) /* of one gate, over all its requests */
#define WAITERS_MAX      4096
#define RETRY_MS         5
#define SUBMIT_PATHS_MAX 32

const struct settings *
ingest_settings(const struct ingest *in)
{
	return in->gate->env->settings(in->gate->env->arg);
}

/* ---- back-pressure ---- */

static void
arm_retry(struct ingest *in)
{
	static const struct timeval soon = { 0, RETRY_MS * 1000 };

	if (!evtimer_pending(in->retry_ev, NULL))
		evtimer_add(in->retry_ev, &soon);
}

void
ingest_wait(struct ingest *in, struct waiter *w)
{
	if (!w->waiting) {
		w->waiting = true;
		TAILQ_INSERT_TAIL(&in->waiters, w, entry);
		in->n_waiters++;
	}
	arm_retry(in);
}

void
ingest_unwait(struct ingest *in, struct waiter *w)
{
	if (!w->waiting)
		return;
	w->waiting = false;
	TAILQ_REMOVE(&in->waiters, w, entry);
	in->n_waiters--;
}

bool
ingest_overloaded(const struct ingest *in)
{
	return in->n_waiters >= WAITERS_MAX;
}

/* The intake's one on_room() belongs to the stream; polling costs nothing while it is idle. */
static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct ingest *in = arg;
	struct waiter *w;

	(void)fd;
	(void)what;
	for (size_t n = in->n_waiters; n > 0 && (w = TAILQ_FIRST(&in->waiters)) != NULL; n--) {
		ingest_unwait(in, w);
		if (!w->retry(w)) {
			w->waiting = true;
			TAILQ_INSERT_HEAD(&in->waiters, w, entry);
			in->n_waiters++;
			break;
		}
	}
	if (in->n_waiters > 0)
		arm_retry(in);
}

bool
ingest_hold(struct ingest *in, size_t bytes)
{
	if (bytes > BODY_BYTES_MAX - in->body_bytes)
		return false;
	in->body_bytes += bytes;
	return true;
}

void
ingest_drop(struct ingest *in, size_t bytes)
{
	in->body_bytes -= bytes;
}

enum discard
ingest_outcome(const struct ingest *in, enum log_outcome outcome)
{
	if (outcome == LOG_DURABLE)
		return DISCARD_none;
	return outcome == LOG_REFUSED && intake_full(in->gate->intake) ? DISCARD_disk_full : DISCARD_log_unknown;
}

/* ---- records ---- */

void
ingest_sender(struct ingest *in, struct http_request *r, int64_t received_us, struct sender *out)
{
	out->peer = http_peer(r);
	out->authenticated = http_authenticated(r);
	out->received_us = received_us;
	out->pressure = log_pressure(in->gate->env->log);
	out->class = out->pressure >= LOG_PRESSURE_SIGNATURES_ONLY ? LOG_CLASS_VITAL : LOG_CLASS_NORMAL;
	out->site = identity_site(in->gate->env->identity(in->gate->env->arg), out->peer, out->authenticated, NULL, 0,
				  out->site_buf);
}

struct text
ingest_site(struct ingest *in, const struct sender *s, const struct report_pair *labels, uint32_t n_labels, char *buf)
{
	if (n_labels == 0)
		return s->site;
	return identity_site(in->gate->env->identity(in->gate->env->arg), s->peer, s->authenticated, labels, n_labels,
			     buf);
}

void
ingest_stamp(struct ingest *in, const struct sender *s, const struct report *r, char *site_buf,
	     struct report_stamp *out)
{
	const struct gate_env *env = in->gate->env;
	const struct identity *id = env->identity(env->arg);

	*out = (struct report_stamp){
		.host_hash = identity_host(id, 0, r->host),
		.site = ingest_site(in, s, r->labels, r->n_labels, site_buf),
		.flags = s->authenticated ? REPORT_FLAG_AUTHENTICATED : 0,
		.clear_occurred = !report_time_ok(r->occurred_us, s->received_us),
		.drop_frames = s->pressure >= LOG_PRESSURE_REDUCE_BODIES,
	};
	if (out->clear_occurred)
		out->flags |= REPORT_FLAG_CLOCK;
	if (out->drop_frames)
		out->flags |= REPORT_FLAG_REDUCED;
}

void
ingest_put_halted(struct ingest *in, struct json_out *o)
{
	const struct gate_env *env = in->gate->env;
	const struct text *ids;
	uint64_t version;
	const size_t n = env->halted(env->arg, &ids, &version);

	for (size_t i = 0; i < n; i++) {
		json_out_raw(o, i == 0 ? ",\"halted\":[" : ",");
		json_out_string(o, ids[i]);
	}
	if (n > 0)
		json_out_raw(o, "]");
}

/* ---- the listener ---- */

static void
health(struct http_request *r)
{
	http_answer(r, 200, "text/plain", "ok\n", 3);
}

static const struct http_ops health_ops = { .complete = health };

static void
on_stored(evutil_socket_t fd, short what, void *arg)
{
	struct ingest *in = arg;

	(void)fd;
	(void)what;
	dumps_dispatch(in->stored);
}

static const struct tokens *
current_tokens(void *arg)
{
	const struct ingest *in = arg;

	return in->gate->env->tokens(in->gate->env->arg);
}

static struct http_options
options(struct ingest *in)
{
	const struct settings *s = ingest_settings(in);

	return (struct http_options){
		.max_connections = s->max_connections,
		.max_header = s->max_header,
		.header_timeout_ms = s->header_timeout,
		.request_timeout_ms = s->request_timeout,
		.idle_timeout_ms = s->idle_timeout,
		.connections = COUNTER_connections_ingest,
		.tokens = current_tokens,
		.tokens_arg = in,
	};
}

/* The configured form paths; only /submit itself speaks Socorro's dialect.  Returns the
 * number of routes now, or -1 with err. */
static int
submit_routes(struct ingest *in, struct http_route *routes, int n, char *err, size_t err_size)
{
	char *save = NULL, *path;

	in->submit_paths = strdup(ingest_settings(in)->submit_paths);
	if (in->submit_paths == NULL) {
		snprintf(err, err_size, "out of memory");
		return -1;
	}
	for (path = strtok_r(in->submit_paths, ", \t", &save); path != NULL; path = strtok_r(NULL, ", \t", &save)) {
		const bool socorro = strcmp(path, "/submit") == 0;

		if (*path != '/' || strncmp(path, "/v1/", 4) == 0 || strcmp(path, "/healthz") == 0) {
			snprintf(err, err_size, "submit-paths: %s cannot be a path of upload forms", path);
			return -1;
		}
		if (n == SUBMIT_PATHS_MAX) {
			snprintf(err, err_size, "submit-paths: more than %d paths", SUBMIT_PATHS_MAX);
			return -1;
		}
		routes[n++] = (struct http_route){
			HTTP_METHOD_POST, path, socorro ? &submit_socorro_ops : &submit_plain_ops, in, 0, 0, false, NULL
		};
	}
	return n;
}

static int
start_listener(struct ingest *in, const char *listen_addr, char *err, size_t err_size)
{
	struct http_route routes[SUBMIT_PATHS_MAX + 4] = {
		{ HTTP_METHOD_POST, "/v1/reports", &ingest_reports_ops, in, 0, 0, true, "" },
		{ HTTP_METHOD_POST, "/v1/heartbeats", &ingest_heartbeats_ops, in, 0, 0, true, "" },
		{ HTTP_METHOD_PUT, "/v1/dumps/{}", &ingest_dump_ops, in, 0, 0, true, "" },
		{ HTTP_METHOD_GET, "/healthz", &health_ops, in, 0, 0, false, NULL },
	};
	const struct http_options o = options(in);
	int n = submit_routes(in, routes, 4, err, err_size), fd;

	if (n == -1)
		return -1;
	fd = http_bind(listen_addr, ingest_settings(in)->gate_threads > 1, err, err_size);
	if (fd == -1)
		return -1;
	in->http = http_server_new(in->gate->base, routes, (size_t)n, &o);
	if (in->http == NULL || http_server_listen(in->http, fd) == -1) {
		snprintf(err, err_size, "out of memory");
		return -1;
	}
	return 0;
}

struct ingest *
ingest_new(struct gate *gate, const char *listen_addr, char *err, size_t err_size)
{
	struct ingest *in = calloc(1, sizeof(*in));

	if (in == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	in->gate = gate;
	TAILQ_INIT(&in->waiters);
	in->stored = mailbox_new();
	in->retry_ev = evtimer_new(gate->base, on_retry, in);
	if (in->stored == NULL || in->retry_ev == NULL ||
	    (in->stored_ev = event_new(gate->base, mailbox_fd(in->stored), EV_READ | EV_PERSIST, on_stored, in)) ==
		    NULL ||
	    event_add(in->stored_ev, NULL) == -1) {
		snprintf(err, err_size, "out of memory");
		ingest_free(in);
		return NULL;
	}
	if (start_listener(in, listen_addr, err, err_size) == -1) {
		ingest_free(in);
		return NULL;
	}
	return in;
}

uint16_t
ingest_port(const struct ingest *in)
{
	return http_server_port(in->http);
}

void
ingest_reload(struct ingest *in)
{
	const struct http_options o = options(in);

	http_server_configure(in->http, &o);
}

void
ingest_drain(struct ingest *in)
{
	http_server_drain(in->http);
}

bool
ingest_drained(const struct ingest *in)
{
	return http_server_connections(in->http) == 0 && in->in_work == 0 && in->commits == 0 && in->n_waiters == 0;
}

void
ingest_free(struct ingest *in)
{
	struct waiter *w;

	if (in == NULL)
		return;
	in->ending = true;
	http_server_free(in->http);
	while ((w = TAILQ_FIRST(&in->waiters)) != NULL) {
		ingest_unwait(in, w);
		w->drop(w);
	}
	while (in->commits > 0) { /* the store posts each outcome once, here or never */
		mailbox_wait(in->stored, -1);
		dumps_dispatch(in->stored);
	}
	ingest_batch_free_pool(in);
	json_out_fini(&in->out);
	if (in->stored_ev != NULL)
		event_free(in->stored_ev);
	if (in->retry_ev != NULL)
		event_free(in->retry_ev);
	if (in->stored != NULL)
		mailbox_free(in->stored);
	free(in->submit_paths);
	free(in);
}
