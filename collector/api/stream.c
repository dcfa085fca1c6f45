/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/stream: server-sent events.  `signature`, `verdict`, `deployment` and `alarm` carry ids
 * and can be resumed with Last-Event-ID; `counters` come each second and cannot.
 * ?deployment=ID leaves the events of that deployment only; ?topics= is what pages ask for (topics.h). */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "collector/api/counts.h"
#include "collector/api/page.h"
#include "collector/api/topics.h"
#include "collector/api/words.h"

#define STREAMS_MAX    1000u
#define KEEP_ALIVE_S   15u
#define PING_S         5u
#define EVENTS_AT_ONCE 64u
#define NO_ID          UINT64_MAX

struct hub {
	struct api *api;
	struct call_list streams;
	size_t n_streams, n_now; /* n_now: that want to hear of /v1/now */
	uint64_t last;           /* newest event told to everybody */
	uint64_t seconds;
	struct fold_event events[EVENTS_AT_ONCE];
};

struct hub *
hub_new(struct api *a)
{
	struct hub *h = calloc(1, sizeof(*h));
	bool missed;

	if (h == NULL)
		return NULL;
	h->api = a;
	TAILQ_INIT(&h->streams);
	fold_events_since(a->env.fold, UINT64_MAX, NULL, 0, &missed, &h->last);
	return h;
}

void
hub_free(struct hub *h)
{
	free(h);
}

/* ---- frames ---- */

static void
frame_open(struct jsonout *j, const char *event, uint64_t id)
{
	char head[80];
	int n = id != NO_ID ? snprintf(head, sizeof(head), "id: %" PRIu64 "\nevent: %s\ndata: ", id, event)
			    : snprintf(head, sizeof(head), "event: %s\ndata: ", event);

	j->comma = false;
	jsonout_raw(j, head, (size_t)n);
}

static void
frame_close(struct jsonout *j)
{
	jsonout_raw(j, "\n\n", 2);
}

static void
event_frame(struct jsonout *j, const struct api *a, const struct fold_event *e)
{
	static const char *const names[] = {
		[EVENT_SIGNATURE] = "signature",
		[EVENT_VERDICT] = "verdict",
		[EVENT_DEPLOYMENT] = "deployment",
		[EVENT_ALARM] = "alarm",
	};

	frame_open(j, names[e->kind], e->id);
	if (e->kind == EVENT_ALARM) {
		words_alarm(j, &e->alarm);
		frame_close(j);
		return;
	}
	jsonout_open(j, NULL, '{');
	if (e->kind == EVENT_SIGNATURE) {
		words_signature_id(j, "id", e->signature);
		jsonout_string(j, "title", e->text);
	} else
		jsonout_string(j, "deployment", e->deployment);
	if (e->kind == EVENT_VERDICT) {
		const struct fold_view *v = fold_view_get(a->env.fold);
		const char *doubt = e->verdict == VERDICT_PROCEED ? call_not_fresh(a, v->now_us) : NULL;

		jsonout_string(j, "verdict", verdict_name(doubt != NULL ? VERDICT_HOLD : e->verdict));
		jsonout_string(j, "state", doubt != NULL ? "not_fresh" : verdict_state_name(e->state));
		jsonout_string(j, "status",
			       page_status(a, &(struct verdict_view){ .verdict = e->verdict,
								      .state = e->state,
								      .fresh_us = v->now_us }));
		jsonout_string(j, "reason", doubt != NULL ? doubt : e->text);
		fold_view_put(a->env.fold, v);
	}
	jsonout_position(j, "position", e->pos);
	jsonout_close(j, '}');
	frame_close(j);
}

/* Is an event for this client? */
static bool
wanted(const struct call *c, const struct fold_event *e)
{
	const struct topics *t = c->state;

	if (e->tenant != API_TENANT)
		return false;
	if (t == NULL)
		return c->id[0] == '\0' ||
		       (e->kind != EVENT_SIGNATURE && e->kind != EVENT_ALARM && strcmp(c->id, e->deployment) == 0);
	switch (e->kind) {
	case EVENT_SIGNATURE:
		return t->signatures;
	case EVENT_ALARM:
		return t->now || t->alarms;
	case EVENT_VERDICT:
		return t->now || t->verdicts || topics_deployment(t, e->deployment) >= 0;
	default:
		return topics_deployment(t, e->deployment) >= 0;
	}
}

/* Does it want all events and the counters? */
static bool
is_plain(const struct call *c)
{
	return c->state == NULL && c->id[0] == '\0';
}

/* ---- to everybody ---- */

enum audience { EVERYBODY, PLAIN, OF_NOW, WITH_TOPICS, WITHOUT_TOPICS };

static bool
hears(const struct call *c, enum audience who)
{
	const struct topics *t = c->state;

	switch (who) {
	case EVERYBODY:
		return true;
	case PLAIN:
		return is_plain(c);
	case OF_NOW:
		return t != NULL && t->now;
	case WITH_TOPICS:
		return t != NULL;
	default:
		return t == NULL;
	}
}

static void
broadcast(struct hub *h, const struct jsonout *j, enum audience who)
{
	struct http_blob *b = j->failed ? NULL : http_blob_new(j->at, j->len);
	struct call *c, *next;

	if (b == NULL)
		return;
	for (c = TAILQ_FIRST(&h->streams); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (hears(c, who))
			http_stream_send_blob(c->req, b); /* a slow one is cut by the server */
	}
	http_blob_unref(b);
}

/* Of these events what one filtered client wants. */
static void
send_some(struct hub *h, struct call *c, size_t n)
{
	struct jsonout j;

	jsonout_init(&j);
	for (size_t i = 0; i < n; i++)
		if (wanted(c, &h->events[i]))
			event_frame(&j, h->api, &h->events[i]);
	if (j.len > 0 && !j.failed)
		http_stream_send(c->req, j.at, j.len);
	jsonout_fini(&j);
}

void
hub_events(struct hub *h)
{
	struct call *c, *next;
	struct jsonout j;
	bool missed;
	uint64_t last;
	size_t n;

	jsonout_init(&j);
	do {
		n = fold_events_since(h->api->env.fold, h->last, h->events, EVENTS_AT_ONCE, &missed, &last);
		jsonout_reset(&j);
		if (missed) {
			frame_open(&j, "reset", NO_ID);
			jsonout_raw(&j, "{}", 2);
			frame_close(&j);
			broadcast(h, &j, EVERYBODY);
			jsonout_reset(&j);
		}
		for (size_t i = 0; i < n; i++)
			if (h->events[i].tenant == API_TENANT)
				event_frame(&j, h->api, &h->events[i]);
		if (n > 0)
			h->last = h->events[n - 1].id;
		else if (missed)
			h->last = last;
		if (j.len > 0 && !TAILQ_EMPTY(&h->streams))
			broadcast(h, &j, PLAIN);
		for (c = TAILQ_FIRST(&h->streams); n > 0 && c != NULL; c = next) {
			next = TAILQ_NEXT(c, entry);
			if (!is_plain(c))
				send_some(h, c, n);
		}
	} while (n == EVENTS_AT_ONCE);
	jsonout_fini(&j);
}

static void
counters_frame(struct jsonout *j, struct api *a)
{
	const struct fold_view *v = fold_view_get(a->env.fold);

	frame_open(j, "counters", NO_ID);
	jsonout_open(j, NULL, '{');
	jsonout_time(j, "time", clock_wall_us());
	call_freshness(j, a->env.fold, v->position, v->now_us);
	jsonout_u64(j, "arrivals", a->seconds > 0 ? a->arrivals[(a->seconds - 1) % API_ARRIVALS] : 0);
	jsonout_u64(j, "hosts", v->stats.hosts);
	jsonout_u64(j, "hosts_recent", v->stats.hosts_recent);
	jsonout_u64(j, "signatures", v->stats.signatures);
	jsonout_open(j, "counters", '{');
	counts_json(j);
	jsonout_close(j, '}');
	jsonout_close(j, '}');
	frame_close(j);
	fold_view_put(a->env.fold, v);
}

static void
ping_frame(struct jsonout *j, struct api *a)
{
	const struct fold_view *v = fold_view_get(a->env.fold);

	frame_open(j, "ping", NO_ID);
	jsonout_open(j, NULL, '{');
	page_freshness(j, a, v->position, v->now_us);
	jsonout_close(j, '}');
	frame_close(j);
	fold_view_put(a->env.fold, v);
}

/* The whole of /v1/now if it is another one than was told last. */
static bool
now_frame(struct jsonout *j, struct api *a, bool anyway)
{
	frame_open(j, "now", NO_ID);
	if (!now_event(a, j, anyway))
		return false;
	frame_close(j);
	return true;
}

/* Of what a page shows of a deployment: changes when that is to be fetched again. */
static uint64_t
print_of(const struct view_deployment *d)
{
	const struct verdict_view *v = &d->verdict;
	const uint64_t facts[] = { v->version,
				   v->served,
				   v->withdrawn,
				   v->resolved,
				   v->bad,
				   v->silent,
				   v->harmed,
				   v->harmed_back,
				   v->unserved,
				   d->open,
				   v->evidence.last_pos,
				   v->evidence.standing.unserved_with,
				   v->evidence.standing.served_with,
				   d->acknowledged.pos,
				   (uint64_t)v->watch_until_us };

	return hash64(1, facts, sizeof(facts)) | 1;
}

/* Tell each page whose deployment moved. */
static void
tell_deployments(struct hub *h)
{
	const struct fold_view *v = fold_view_get(h->api->env.fold);
	struct call *c, *next;
	struct jsonout j;

	jsonout_init(&j);
	for (c = TAILQ_FIRST(&h->streams); c != NULL; c = next) {
		struct topics *t = c->state;

		next = TAILQ_NEXT(c, entry);
		jsonout_reset(&j);
		for (unsigned i = 0; t != NULL && i < t->n_deployments; i++) {
			const struct view_deployment *d =
				fold_view_deployment(v, API_TENANT, text_of(t->deployments[i].id));
			const uint64_t print = d != NULL ? print_of(d) : 1;

			if (t->deployments[i].print != 0 && t->deployments[i].print != print) {
				frame_open(&j, "deployment", NO_ID);
				jsonout_open(&j, NULL, '{');
				jsonout_string(&j, "deployment", t->deployments[i].id);
				jsonout_position(&j, "position", v->position);
				jsonout_close(&j, '}');
				frame_close(&j);
			}
			t->deployments[i].print = print;
		}
		if (j.len > 0 && !j.failed)
			http_stream_send(c->req, j.at, j.len);
	}
	jsonout_fini(&j);
	fold_view_put(h->api->env.fold, v);
}

void
hub_second(struct hub *h)
{
	struct jsonout j;

	h->seconds++;
	hub_events(h);
	if (TAILQ_EMPTY(&h->streams))
		return;
	jsonout_init(&j);
	if (h->seconds % KEEP_ALIVE_S == 0)
		jsonout_raw(&j, ":\n\n", 3);
	counters_frame(&j, h->api);
	broadcast(h, &j, WITHOUT_TOPICS);
	jsonout_reset(&j);
	if (h->n_now > 0 && now_frame(&j, h->api, false))
		broadcast(h, &j, OF_NOW);
	jsonout_reset(&j);
	tell_deployments(h);
	if (h->seconds % PING_S == 0) {
		ping_frame(&j, h->api);
		broadcast(h, &j, WITH_TOPICS);
	}
	jsonout_fini(&j);
}

/* ---- one client ---- */

/* What the client missed, or "reset" when that is gone. */
static void
catch_up(struct hub *h, const struct call *c, struct jsonout *j, uint64_t after)
{
	struct fold_event *events = calloc(EVENTS_AT_ONCE, sizeof(*events));
	bool missed = false, gap = after > h->last;
	uint64_t last;
	size_t n = 0;

	while (events != NULL && !gap && after < h->last) {
		n = fold_events_since(h->api->env.fold, after, events, EVENTS_AT_ONCE, &missed, &last);
		gap = missed;
		for (size_t i = 0; i < n && events[i].id <= h->last; i++)
			if (wanted(c, &events[i]))
				event_frame(j, h->api, &events[i]);
		if (n == 0)
			break;
		after = events[n - 1].id;
	}
	if (gap) {
		jsonout_reset(j);
		frame_open(j, "reset", h->last);
		jsonout_raw(j, "{}", 2);
		frame_close(j);
	}
	free(events);
}

/* What it asks for; false: refused and answered. */
static bool
take_filter(struct call *c)
{
	struct http_request *r = c->req;
	char text[TOPICS_TEXT_MAX];
	struct topics *t;

	if (http_query(r, "deployment", c->id, sizeof(c->id)) == 0 ? !params_deployment_id(text_of(c->id))
								   : strstr(r->query, "deployment=") != NULL) {
		call_refuse(c, DISCARD_invalid_parameter, "deployment", "is not a deployment id");
		return false;
	}
	if (strstr(r->query, "topics=") == NULL)
		return true;
	if ((t = ARENA_NEW(c->arena, struct topics)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return false;
	}
	if (http_query(r, "topics", text, sizeof(text)) != 0 || topics_parse(text, t) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "topics",
			    "are now, signatures, alarms, verdicts or deployment:ID, at most 8, a comma between");
		return false;
	}
	c->state = t;
	return true;
}

/* Where it goes on: the header of an EventSource that was cut, or the parameter of a new one. */
static bool
take_resume(struct call *c, bool *any_out, uint64_t *after_out)
{
	const char *resume = http_header(c->req, "last-event-id");
	char text[24];

	if ((resume == NULL || *resume == '\0') && http_query(c->req, "last_event_id", text, sizeof(text)) == 0)
		resume = text;
	*any_out = resume != NULL && *resume != '\0';
	if (!*any_out || params_count(resume, 0, UINT64_MAX, after_out) == 0)
		return true;
	call_refuse(c, DISCARD_invalid_parameter, "Last-Event-ID", "is not an id of this stream");
	return false;
}

static void
stream_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct http_blob *first;
	uint64_t after = 0;
	bool resumes;
	struct hub *h;
	size_t n;

	if (c == NULL)
		return;
	h = c->api->hub;
	if (h->n_streams >= STREAMS_MAX) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	if (!take_filter(c) || !take_resume(c, &resumes, &after))
		return;
	hub_events(h); /* so that h->last is what a view read from now on includes */
	jsonout_raw(&c->out, "retry: 3000\n\n", 13);
	if (resumes) {
		catch_up(h, c, &c->out, after);
	} else {
		frame_open(&c->out, "hello", h->last);
		jsonout_raw(&c->out, "{}", 2);
		frame_close(&c->out);
	}
	if (c->state == NULL)
		counters_frame(&c->out, c->api);
	else
		ping_frame(&c->out, c->api);
	if (hears(c, OF_NOW))
		now_frame(&c->out, c->api, true);
	first = c->out.failed ? NULL : http_blob_new(c->out.at, c->out.len);
	jsonout_fini(&c->out);
	if (first == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	http_set_header(r, "Cache-Control", "no-store");
	http_set_header(r, "X-Accel-Buffering", "no");
	n = ++h->n_streams;
	h->n_now += hears(c, OF_NOW);
	call_enlist(c, &h->streams);
	http_stream_begin(r, "text/event-stream");
	if (h->n_streams == n) /* else it was a HEAD, and r is gone */
		http_stream_send_blob(r, first);
	http_blob_unref(first);
}

static void
stream_end(struct http_request *r, enum http_end how)
{
	struct call *c = r->ctx;

	if (c != NULL && c->list != NULL) {
		c->api->hub->n_streams--;
		c->api->hub->n_now -= hears(c, OF_NOW);
	}
	call_end(r, how);
}

const struct http_ops stream_ops = { .begin = stream_begin, .end = stream_end };
