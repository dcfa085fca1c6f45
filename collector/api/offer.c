/* SPDX-License-Identifier: Apache-2.0 */
/* GET and POST /v1/deployments/{id}/offer: may this host have it now?
 *
 * The server does the assignment: the rank of a host, by the deployment's salt, says which ring
 * it is in, and what has been proved of the hosts served so far how far the rings are open.  POST also
 * records the receipt when the answer is yes, before it is given. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "collector/api/call.h"
#include "collector/api/safeguard.h"
#include "proto/report.h"

enum why {
	OFFER_OPEN,
	OFFER_SERVED,
	OFFER_CLOSED,
	OFFER_HALTED,
	OFFER_NOT_FRESH,
	OFFER_HELD,
	OFFER_LISTED,
	OFFER_NOT_ELIGIBLE,
	OFFER_WITHDRAWN,
	OFFER_SAFEGUARD,
	OFFER_NO_RING,
	OFFER_RING_CLOSED,
};

static const struct {
	const char *name, *sentence;
} whys[] = {
	[OFFER_OPEN] = { "ring_open", "the ring of this host is open" },
	[OFFER_SERVED] = { "served", "the host was served before" },
	[OFFER_CLOSED] = { "closed", "the deployment is closed" },
	[OFFER_HALTED] = { "halted", NULL },
	[OFFER_NOT_FRESH] = { "not_fresh", NULL },
	[OFFER_HELD] = { "held", NULL },
	[OFFER_LISTED] = { "listed", "hosts are assigned by list, and this one has not been served" },
	[OFFER_NOT_ELIGIBLE] = { "not_eligible", "the host is not eligible" },
	[OFFER_WITHDRAWN] = { "withdrawn", "it was taken back from this host" },
	[OFFER_SAFEGUARD] = { "safeguard", "a safeguard keeps the host out" },
	[OFFER_NO_RING] = { "no_ring", "the plan ends before this host" },
	[OFFER_RING_CLOSED] = { "ring_closed", "the rings are not open as far as this host yet" },
};

struct offer {
	uint64_t host;
	char *up_to, *actor; /* NULL or "": no limit, nobody */
	bool record;
	/* answered by the ledger */
	struct offer_view view;
	struct verdict_view verdict;
	bool open, no_such_ring;
	char ring[256];
	uint32_t last; /* ring of up_to */
	uint64_t position;
	char safeguard[1024]; /* JSON, because texts are borrowed */
	size_t safeguard_len;
};

static void
keep_safeguard(struct offer *o)
{
	struct jsonout j;

	jsonout_init(&j);
	safeguard_json(&j, NULL, &o->view.safeguard);
	if (!j.failed && j.len <= sizeof(o->safeguard)) {
		memcpy(o->safeguard, j.at, j.len);
		o->safeguard_len = j.len;
	}
	jsonout_fini(&j);
}

static void
ask_offer(struct call *c, const struct ledger *l)
{
	struct offer *o = c->state;
	struct deployment_view d;
	uint32_t no;

	if (!ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) || !ledger_deployment(l, no, &d) ||
	    !ledger_verdict(l, no, &o->verdict) || !ledger_offer(l, no, o->host, &o->view)) {
		c->refusal = DISCARD_unknown_deployment;
		return;
	}
	o->open = d.open;
	o->position = ledger_position(l);
	o->last = UINT32_MAX;
	if (o->view.ring < d.n_rings)
		snprintf(o->ring, sizeof(o->ring), "%.*s", (int)d.rings[o->view.ring].name.len,
			 d.rings[o->view.ring].name.at);
	if (o->up_to != NULL && o->up_to[0] != '\0') {
		for (o->last = 0; o->last < d.n_rings && !text_equal(d.rings[o->last].name, text_of(o->up_to));)
			o->last++;
		o->no_such_ring = o->last == d.n_rings;
	}
	if (o->view.safeguarded)
		keep_safeguard(o);
}

/* How many of the eligible hosts, by rank, may have it: the first ring while it is being judged, and
 * beyond it what a proceed allows. */
static uint64_t
open_places(const struct offer *o)
{
	const struct verdict_view *v = &o->verdict;
	uint64_t allowed = v->verdict == VERDICT_PROCEED ? v->served + v->next_ring_max : 0;

	if (allowed < v->next_ring_max)
		allowed = UINT64_MAX;
	return allowed > o->view.first ? allowed : o->view.first;
}

/* A hold that only waits for hosts to be served, or to live long enough. */
static bool
waits_for_hosts(enum verdict_state s)
{
	return s == STATE_NOTHING_SERVED || s == STATE_TOO_FEW_RESOLVED || s == STATE_TOO_FEW_CONTROLS;
}

static enum why
judge(const struct call *c, const struct offer *o, const char **doubt_out)
{
	const struct offer_view *w = &o->view;
	const struct verdict_view *v = &o->verdict;

	*doubt_out = v->verdict != VERDICT_HALT ? call_not_fresh(c->api, v->fresh_us) : NULL;
	if (v->verdict == VERDICT_HALT)
		return OFFER_HALTED;
	if (!o->open)
		return OFFER_CLOSED;
	if (*doubt_out != NULL)
		return OFFER_NOT_FRESH;
	if (v->verdict == VERDICT_HOLD && !waits_for_hosts(v->state))
		return OFFER_HELD;
	if (!w->eligible)
		return OFFER_NOT_ELIGIBLE;
	if (w->safeguarded)
		return OFFER_SAFEGUARD;
	if (w->withdrawn)
		return OFFER_WITHDRAWN;
	if (w->served)
		return OFFER_SERVED;
	if (w->listed)
		return OFFER_LISTED;
	if (o->ring[0] == '\0' && w->first != UINT64_MAX)
		return OFFER_NO_RING;
	if (o->last != UINT32_MAX && w->ring > o->last)
		return OFFER_RING_CLOSED;
	return w->place < open_places(o) ? OFFER_OPEN : OFFER_RING_CLOSED;
}

static void
tell(struct call *c, const struct offer *o, enum why why, const char *doubt)
{
	struct jsonout *j = &c->out;

	jsonout_reset(j);
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "deployment", c->id);
	jsonout_host(j, "host", o->host);
	jsonout_bool(j, "offer", why <= OFFER_SERVED);
	jsonout_string(j, "why", whys[why].name);
	jsonout_string(j, "reason",
		       doubt != NULL                ? doubt
		       : whys[why].sentence != NULL ? whys[why].sentence
						    : o->verdict.reason);
	jsonout_string(j, "ring", o->ring[0] != '\0' ? o->ring : NULL);
	jsonout_bool(j, "known", o->view.known);
	jsonout_bool(j, "recorded", o->record && why == OFFER_OPEN);
	jsonout_string(j, "verdict", verdict_name(doubt != NULL ? VERDICT_HOLD : o->verdict.verdict));
	if (o->safeguard_len > 0) {
		jsonout_raw(j, ",\"safeguard\":", 13);
		jsonout_raw(j, o->safeguard, o->safeguard_len);
	} else
		jsonout_null(j, "safeguard");
	call_freshness(j, c->api->env.fold, o->position, o->verdict.fresh_us);
	jsonout_close(j, '}');
	call_send(c);
}

static void
recorded(struct call *c)
{
	if (c->refusal != DISCARD_none)
		call_send(c);
	else
		tell(c, c->state, OFFER_OPEN, NULL);
}

static void
ask_nothing(struct call *c, const struct ledger *l)
{
	struct offer *o = c->state;

	o->position = ledger_position(l);
}

/* Served from now on: the receipt is durable before the host hears of it. */
static void
record(struct call *c, const struct offer *o)
{
	Faultline__Log__Receipt m = FAULTLINE__LOG__RECEIPT__INIT;
	uint64_t host = o->host;

	m.deployment = c->id;
	m.n_hosts = 1;
	m.hosts = &host;
	if (o->actor != NULL)
		m.actor = o->actor;
	if (call_log_begin(c) && call_log_add(c, RECORD_RECEIPT, &m.base))
		call_log_commit(c, ask_nothing, recorded);
}

static void
asked(struct call *c)
{
	struct offer *o = c->state;
	const char *doubt = NULL;
	enum why why;

	if (c->refusal != DISCARD_none) {
		call_send(c);
		return;
	}
	if (o->no_such_ring) {
		call_refuse(c, DISCARD_invalid_field, "up_to", "the deployment has no ring of this name");
		return;
	}
	why = judge(c, o, &doubt);
	if (why == OFFER_OPEN && o->record)
		record(c, o);
	else
		tell(c, o, why, doubt);
}

static void
offer_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	char host[3 * HOST_ID_MAX + 1];
	struct offer *o;

	if (c == NULL || !call_take_id(c))
		return;
	if ((c->state = o = ARENA_NEW(c->arena, struct offer)) == NULL ||
	    (o->up_to = arena_calloc(c->arena, sizeof(o->ring), 1)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	if (r->method != HTTP_METHOD_GET)
		return;
	if (http_query(r, "host", host, sizeof(host)) != 0 || host[0] == '\0' || strlen(host) > HOST_ID_MAX) {
		call_refuse(c, DISCARD_invalid_parameter, "host",
			    "a host id is 1 to 64 bytes, or h: and 16 hex digits");
		return;
	}
	if (http_query(r, "up_to", o->up_to, sizeof(o->ring)) != 0)
		o->up_to[0] = '\0';
	o->host = call_hash_host(c->api, text_of(host));
	call_ask(c, ask_offer, asked);
}

static void
offer_complete(struct http_request *r)
{
	struct call *c = r->ctx;
	struct body_hosts hosts = { call_hash_host, c->api };
	struct offer *o = c->state;
	struct body_error err;

	o->record = true;
	if (body_offer(c->body, c->body_len, &hosts, c->arena, &o->host, &o->up_to, &o->actor, &err) != 0)
		call_refuse_body(c, &err);
	else
		call_ask(c, ask_offer, asked);
}

const struct http_ops offer_ops = { .begin = offer_begin, .end = call_end };
const struct http_ops offer_record_ops = {
	.begin = offer_begin,
	.body = call_body,
	.complete = offer_complete,
	.end = call_end,
};
