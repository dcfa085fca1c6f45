/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/deployments/{id}/verdict: at once, or as a long poll.
 *
 * With If-None-Match it waits until the ETag differs and answers 304 when the time is up;
 * without, it waits while the verdict is hold.  A verdict that may be out of date is never
 * told as proceed. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "collector/api/call.h"
#include "collector/api/evidence.h"

#define WAIT_MAX_MS ((uint64_t)300000)
#define LOOK_MS     1000 /* a waiter also looks by itself: freshness changes without an event */

struct poll {
	struct verdict_view view; /* as the ledger said when asked */
	uint64_t position;        /* then */
	const char *if_none_match;
	int64_t deadline_us;
};

enum verdict
verdict_told(const struct api *a, const struct verdict_view *v, const char **doubt_out)
{
	*doubt_out = v->verdict == VERDICT_PROCEED ? call_not_fresh(a, v->fresh_us) : NULL;
	return *doubt_out != NULL ? VERDICT_HOLD : v->verdict;
}

char *
verdict_etag(const struct api *a, const struct verdict_view *v, char out[VERDICT_ETAG_SIZE])
{
	const char *doubt;

	verdict_told(a, v, &doubt);
	snprintf(out, VERDICT_ETAG_SIZE, "\"%" PRIx64 "-%" PRIx64 "%s\"", v->since_pos, v->version,
		 doubt != NULL ? "-unsure" : "");
	return out;
}

void
verdict_json(struct jsonout *j, const struct api *a, const struct verdict_view *v)
{
	const char *doubt;
	enum verdict is = verdict_told(a, v, &doubt);
	int64_t age = clock_wall_us() - v->fresh_us;

	jsonout_string(j, "verdict", verdict_name(is));
	jsonout_string(j, "state", doubt != NULL ? "not_fresh" : verdict_state_name(v->state));
	jsonout_string(j, "reason", doubt != NULL ? doubt : v->reason);
	jsonout_time(j, "since", v->since_us);
	jsonout_double(j, "stale_seconds", age > 0 ? (double)age / 1e6 : 0, 3);
	jsonout_time(j, "as_of", v->fresh_us);
	jsonout_position(j, "position", v->fresh_pos);
	jsonout_u64(j, "version", v->version);
	jsonout_u64(j, "served", v->served);
	jsonout_string(j, "receipts", v->receipts);
	jsonout_u64(j, "withdrawn", v->withdrawn);
	jsonout_u64(j, "silent", v->silent);
	jsonout_u64(j, "lost", v->lost);
	jsonout_u64(j, "resolved", v->resolved);
	jsonout_u64(j, "bad", v->bad);
	jsonout_u64(j, "unserved", v->unserved);
	jsonout_u64(j, "eligible", v->eligible);
	jsonout_u64(j, "needed", v->needed);
	jsonout_u64(j, "next_ring_max", is == VERDICT_PROCEED ? v->next_ring_max : 0);
	jsonout_bool(j, "shadow", v->shadow);
	jsonout_bool(j, "recorded", v->recorded);
	if (v->halt_pos != 0)
		jsonout_position(j, "halted_at", v->halt_pos);
	else
		jsonout_null(j, "halted_at");
	evidence_outlook(j, v);
	evidence_verdict(j, a, v);
}

/* Answer with the verdict, or go on waiting: true when answered. */
static bool
settle(struct call *c, const struct verdict_view *v, bool time_is_up)
{
	struct poll *p = c->state;
	char etag[VERDICT_ETAG_SIZE];
	const char *doubt;
	bool same;

	verdict_etag(c->api, v, etag);
	same = p->if_none_match != NULL && params_etag_listed(p->if_none_match, etag);
	if (!time_is_up && (p->if_none_match != NULL ? same : verdict_told(c->api, v, &doubt) == VERDICT_HOLD))
		return false;
	call_cancel(c);
	call_delist(c);
	http_set_header(c->req, "ETag", etag);
	http_set_header(c->req, "Cache-Control", "no-store");
	if (same) {
		http_answer(c->req, 304, NULL, NULL, 0);
		return true;
	}
	jsonout_reset(&c->out);
	jsonout_open(&c->out, NULL, '{');
	jsonout_string(&c->out, "deployment", c->id);
	verdict_json(&c->out, c->api, v);
	jsonout_close(&c->out, '}');
	jsonout_raw(&c->out, "\n", 1);
	http_set_header(c->req, "X-Content-Type-Options", "nosniff");
	if (c->out.failed)
		call_refuse(c, DISCARD_catching_up, NULL, "the answer does not fit into memory");
	else
		http_answer(c->req, 200, "application/json", c->out.at, c->out.len);
	return true;
}

/* Look at a view that is at least as new as what the ledger said to this call. */
static bool
look(struct call *c, const struct fold_view *view, bool time_is_up)
{
	struct poll *p = c->state;
	const struct view_deployment *d = NULL;

	if (view->position >= p->position) {
		d = fold_view_deployment(view, API_TENANT, text_of(c->id));
		if (d == NULL || d->verdict.state == STATE_DELETED) {
			call_cancel(c);
			call_delist(c);
			call_refuse(c, DISCARD_unknown_deployment, "id", "the deployment was deleted");
			return true;
		}
	}
	if (d != NULL && d->verdict.version >= p->view.version)
		return settle(c, &d->verdict, time_is_up);
	return settle(c, &p->view, time_is_up);
}

static void on_look(struct call *c);

static void
look_later(struct call *c)
{
	struct poll *p = c->state;
	int64_t left = (p->deadline_us - clock_boot_us() + 999) / 1000;

	call_after(c, left < 0 ? 0 : left < LOOK_MS ? (uint64_t)left : LOOK_MS, on_look);
}

static void
on_look(struct call *c)
{
	struct poll *p = c->state;
	struct fold *f = c->api->env.fold;
	const struct fold_view *view = fold_view_get(f);
	bool done = look(c, view, c->api->draining || clock_boot_us() >= p->deadline_us);

	fold_view_put(f, view);
	if (!done)
		look_later(c);
}

static void
ask_verdict(struct call *c, const struct ledger *l)
{
	struct poll *p = c->state;
	uint32_t no;

	p->position = ledger_position(l);
	if (!ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) || !ledger_verdict(l, no, &p->view) ||
	    p->view.state == STATE_DELETED)
		c->refusal = DISCARD_unknown_deployment;
}

static void
asked(struct call *c)
{
	struct poll *p = c->state;

	if (c->refusal != DISCARD_none) {
		call_send(c);
		return;
	}
	if (settle(c, &p->view, clock_boot_us() >= p->deadline_us))
		return;
	call_enlist(c, &c->api->waiters);
	on_look(c); /* it may have changed since the ledger answered */
}

void
verdict_wake(struct api *a)
{
	const struct fold_view *view;
	struct call *c, *next;

	if (TAILQ_EMPTY(&a->waiters))
		return;
	view = fold_view_get(a->env.fold);
	for (c = TAILQ_FIRST(&a->waiters); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		look(c, view, false);
	}
	fold_view_put(a->env.fold, view);
}

void
verdict_drain(struct api *a)
{
	struct call *c;

	while ((c = TAILQ_FIRST(&a->waiters)) != NULL)
		on_look(c);
}

static void
verdict_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct poll *p;
	uint64_t wait_ms = 0;
	char wait[32];

	if (c == NULL || !call_take_id(c))
		return;
	if (strstr(r->query, "wait") != NULL && http_query(r, "wait", wait, sizeof(wait)) == 0 &&
	    (params_duration(wait, &wait_ms) != 0 || wait_ms > WAIT_MAX_MS)) {
		call_refuse(c, DISCARD_invalid_parameter, "wait", "must be a time like 30s, at most 5m");
		return;
	}
	if ((c->state = p = ARENA_NEW(c->arena, struct poll)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	p->if_none_match = http_header(r, "if-none-match");
	p->deadline_us = clock_boot_us() + (int64_t)wait_ms * 1000;
	call_ask(c, ask_verdict, asked);
}

const struct http_ops verdict_ops = { .begin = verdict_begin, .end = call_end };
