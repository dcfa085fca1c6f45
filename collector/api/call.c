/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <protobuf-c/protobuf-c.h>

#include "base/clock.h"
#include "collector/api/call.h"
#include "collector/gate/identity.h"

#define CALL_ARENA    ((size_t)64 * 1024 * 1024) /* 32 bytes a signature that is looked for */
#define CALL_AGAIN_MS 2                          /* between two looks whether a record is folded */
#define CALLS_MAX     20000

static void
call_free(struct call *c)
{
	c->api->n_calls--;
	if (c->timer != NULL)
		event_free(c->timer);
	if (c->asked_history)
		store_query_fini(&c->history);
	jsonout_fini(&c->out);
	arena_free(c->arena);
	free(c->body);
	free(c);
}

/* Is a Content-Type this media type, whatever its parameters? */
static bool
is_type(const char *type, const char *wanted)
{
	size_t n = strcspn(type, " ;\t");

	return n == strlen(wanted) && strncasecmp(type, wanted, n) == 0;
}

/* Without tokens a web page that lets its own name point to our loopback address would be as
 * good as a local user.  Such a page cannot make a browser send an address or localhost. */
static bool
is_rebound(struct http_request *r, const struct api *a)
{
	const char *host = http_header(r, "host");
	struct in6_addr v6;
	char name[64];
	size_t n;

	if (!a->env.open_reads || a->env.tokens(a->env.arg) != NULL || host == NULL)
		return false;
	n = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
	if (n >= sizeof(name))
		return true;
	memcpy(name, host, n);
	name[n] = '\0';
	if (host[0] == '[')
		return inet_pton(AF_INET6, name + 1, &v6) != 1;
	return inet_pton(AF_INET, name, &v6) != 1 && strcasecmp(name, "localhost") != 0 &&
	       (n < 11 || strcasecmp(name + n - 10, ".localhost") != 0);
}

bool
call_admit(struct http_request *r)
{
	const struct api *a = r->arg;

	if (a->draining) {
		http_refuse(r, DISCARD_draining, NULL, NULL);
		return false;
	}
	if (is_rebound(r, a)) {
		http_refuse(r, DISCARD_bad_host, "Host",
			    "without a token file this address answers to its number and to localhost only");
		return false;
	}
	if (sign_in_is_forged(r)) {
		http_refuse(r, DISCARD_bad_origin, "Origin", NULL);
		return false;
	}
	return true;
}

struct call *
call_new(struct http_request *r)
{
	return call_new_as(r, "application/json");
}

struct call *
call_new_as(struct http_request *r, const char *type)
{
	const bool write = r->method != HTTP_METHOD_GET;
	struct api *a = r->arg;
	struct call *c;

	counter_add(COUNTER_api_queries, 1);
	if (!call_admit(r))
		return NULL;
	if (write && !is_type(r->content_type, type)) {
		char message[80];

		snprintf(message, sizeof(message), "send Content-Type: %s", type);
		http_refuse(r, DISCARD_wrong_content_type, NULL, message);
		return NULL;
	}
	if (a->n_calls >= CALLS_MAX || (c = calloc(1, sizeof(*c))) == NULL) {
		http_refuse(r, DISCARD_too_many_waiters, NULL, NULL);
		return NULL;
	}
	a->n_calls++;
	c->api = a;
	c->req = r;
	c->status = 200;
	c->role = sign_in_caller(r).role;
	jsonout_init(&c->out);
	r->ctx = c;
	if ((c->arena = arena_new(CALL_ARENA)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return NULL;
	}
	return c;
}

void
call_end(struct http_request *r, enum http_end how)
{
	struct call *c = r->ctx;

	(void)how;
	if (c == NULL)
		return;
	call_delist(c);
	c->req = NULL;
	if (!c->busy)
		call_free(c);
}

void
call_body(struct http_request *r, const void *data, size_t len)
{
	struct call *c = r->ctx;

	if (len > c->body_cap - c->body_len) {
		size_t cap = c->body_cap != 0 ? c->body_cap * 2 : 4096;
		char *body;

		while (cap < c->body_len + len)
			cap *= 2;
		if ((body = realloc(c->body, cap)) == NULL) {
			call_refuse(c, DISCARD_body_too_large, NULL, NULL);
			return;
		}
		c->body = body;
		c->body_cap = cap;
	}
	memcpy(c->body + c->body_len, data, len);
	c->body_len += len;
}

bool
call_take_id(struct call *c)
{
	if (!params_deployment_id(text_of(c->req->segment))) {
		call_refuse(c, DISCARD_invalid_parameter, "id", "a deployment id is 1 to 128 of A-Z a-z 0-9 . _ : -");
		return false;
	}
	strcpy(c->id, c->req->segment);
	return true;
}

uint64_t
call_hash_host(void *arg, struct text host)
{
	struct api *a = arg;

	return identity_api_host(a->env.identity(a->env.arg), API_TENANT, host);
}

/* ---- asking ---- */

static void
on_ledger(struct fold_query *q, const struct ledger *l)
{
	struct call *c = (struct call *)q;

	c->too_early = c->wait_pos != 0 && ledger_position(l) <= c->wait_pos;
	if (!c->too_early)
		c->ask(c, l);
}

static void
submit(struct call *c)
{
	c->query.ask = on_ledger;
	c->query.reply = c->api->replies;
	c->busy = true;
	if (!fold_ask(c->api->env.fold, &c->query)) {
		c->busy = false;
		call_refuse(c, DISCARD_catching_up, NULL, "too many questions wait for the ledger; ask again");
	}
}

void
call_ask(struct call *c, call_ask_fn *ask, call_then_fn *then)
{
	c->ask = ask;
	c->then = then;
	submit(c);
}

/* The query came back. */
static void
answered(struct call *c)
{
	c->busy = false;
	if (c->req == NULL) {
		call_free(c);
		return;
	}
	if (!c->too_early) {
		c->then(c);
		return;
	}
	if (clock_boot_us() > c->give_up_us)
		call_refuse(c, DISCARD_catching_up, NULL,
			    "the record is durable, but the ledger has not come to it yet; look again");
	else
		call_after(c, CALL_AGAIN_MS, submit);
}

/* ---- history ---- */

static void
told(struct store_query *q)
{
	struct call *c = q->arg;

	c->busy = false;
	if (c->req == NULL)
		call_free(c);
	else
		c->then(c);
}

void
call_history(struct call *c, call_then_fn *then)
{
	c->then = then;
	c->history.tenant = API_TENANT;
	c->history.reply = c->api->histories;
	c->history.done = told;
	c->history.arg = c;
	c->busy = true;
	if (c->api->env.store != NULL && store_ask(c->api->env.store, &c->history)) {
		c->asked_history = true;
		return;
	}
	c->busy = false;
	c->history.answer = STORE_DOWN;
	then(c);
}

/* ---- writing ---- */

static void
logged(struct intake_group *g, enum log_outcome outcome)
{
	struct call *c = g->arg;

	c->busy = false;
	if (c->req == NULL) {
		call_free(c);
		return;
	}
	if (outcome == LOG_DURABLE) {
		c->wait_pos = intake_position(g, g->n - 1);
		c->give_up_us = clock_boot_us() + (int64_t)API_WRITE_WAIT_MS * 1000;
		submit(c);
	} else
		call_refuse(c, outcome == LOG_REFUSED ? DISCARD_disk_full : DISCARD_log_unknown, NULL, NULL);
}

bool
call_log_begin(struct call *c)
{
	if (!intake_ready(c->api->intake)) {
		call_refuse(c, DISCARD_log_busy, NULL, NULL);
		return false;
	}
	c->group.done = logged;
	c->group.arg = c;
	intake_begin(c->api->intake, &c->group, LOG_CLASS_VITAL);
	return true;
}

bool
call_log_add(struct call *c, enum record_type type, const ProtobufCMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	enum intake_result why = INTAKE_TOO_BIG;
	uint8_t *at = NULL;

	if (len <= RECORD_MAX_BYTES - RECORD_HEADER)
		at = intake_add(c->api->intake, type, API_TENANT, clock_wall_us(), len, &why);
	if (at != NULL) {
		protobuf_c_message_pack(m, at);
		return true;
	}
	intake_abandon(c->api->intake);
	call_refuse(c,
		    why == INTAKE_TOO_BIG ? DISCARD_too_many_items
		    : why == INTAKE_BUSY  ? DISCARD_log_busy
					  : DISCARD_log_unknown,
		    NULL, NULL);
	return false;
}

void
call_log_commit(struct call *c, call_ask_fn *ask, call_then_fn *then)
{
	struct intake *in = c->api->intake;

	c->ask = ask;
	c->then = then;
	c->busy = true;
	intake_commit(in); /* never done before the flush: the group is not empty */
	intake_flush(in);
}

/* ---- waiting ---- */

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct call *c = arg;

	(void)fd;
	(void)what;
	c->on_timer(c);
}

void
call_after(struct call *c, uint64_t ms, call_then_fn *fn)
{
	struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	c->on_timer = fn;
	if (c->timer == NULL)
		c->timer = evtimer_new(c->api->base, on_timer, c);
	if (c->timer == NULL || evtimer_add(c->timer, &tv) != 0)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
}

void
call_cancel(struct call *c)
{
	if (c->timer != NULL)
		evtimer_del(c->timer);
}

void
call_enlist(struct call *c, struct call_list *list)
{
	c->list = list;
	TAILQ_INSERT_TAIL(c->list, c, entry);
}

void
call_delist(struct call *c)
{
	if (c->list != NULL)
		TAILQ_REMOVE(c->list, c, entry);
	c->list = NULL;
}

/* ---- answering ---- */

void
call_send(struct call *c)
{
	struct http_request *r = c->req;

	if (c->refusal != DISCARD_none) {
		enum discard why = c->refusal;

		/* what is not there yet is not a 404 */
		if (discard_status(why) == 404 && !fold_caught_up(c->api->env.fold))
			why = DISCARD_catching_up;
		call_refuse(c, why, NULL, NULL);
		return;
	}
	if (c->out.failed) {
		call_refuse(c, DISCARD_catching_up, NULL, "the answer does not fit into memory");
		return;
	}
	jsonout_raw(&c->out, "\n", 1);
	http_set_header(r, "Cache-Control", "no-store");
	http_set_header(r, "X-Content-Type-Options", "nosniff");
	http_answer(r, c->status, "application/json", c->out.at, c->out.len);
}

void
call_refuse(struct call *c, enum discard why, const char *field, const char *message)
{
	http_refuse(c->req, why, field, message);
}

void
call_refuse_body(struct call *c, const struct body_error *e)
{
	call_refuse(c, e->code, e->field[0] != '\0' ? e->field : NULL, e->message);
}

const char *
call_not_fresh(const struct api *a, int64_t ledger_us)
{
	if (fold_failed(a->env.fold) != NULL)
		return "the ledger has stopped, so what is known is out of date";
	if (!fold_caught_up(a->env.fold))
		return "the server is still reading its log after a restart";
	if (clock_wall_us() - ledger_us > API_STALE_US)
		return "the ledger is behind the log";
	return NULL;
}

void
jsonout_position(struct jsonout *j, const char *key, uint64_t pos)
{
	char buf[20];

	snprintf(buf, sizeof(buf), "%016" PRIx64, pos);
	jsonout_string(j, key, buf);
}

void
call_freshness(struct jsonout *j, struct fold *f, uint64_t position, int64_t now_us)
{
	int64_t age = clock_wall_us() - now_us;

	jsonout_time(j, "as_of", now_us);
	jsonout_position(j, "position", position);
	jsonout_double(j, "stale_seconds", age > 0 ? (double)age / 1e6 : 0, 3);
	jsonout_string(j, "server", fold_failed(f) != NULL ? "failed" : fold_caught_up(f) ? "live" : "catching_up");
}

/* The mailbox of queries is read by api.c; this is what it does with one. */
void
call_answered(struct mail *m)
{
	answered((struct call *)m);
}
