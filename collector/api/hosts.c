/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/hosts/{id}: a raw host id, or h:<16 hex>.  GET /v1/hosts: those in one state.  GET /v1/silence. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "collector/api/call.h"
#include "collector/api/host_page.h"
#include "collector/api/words.h"
#include "collector/gate/identity.h"
#include "proto/report.h"

static void
text_or_null(struct jsonout *j, const char *key, struct text t)
{
	if (t.len > 0)
		jsonout_text(j, key, t);
	else
		jsonout_null(j, key);
}

/* The ledger keeps a set as its canonical text: a line name=value each, sorted. */
static void
pairs(struct jsonout *j, const char *key, struct text set)
{
	jsonout_open(j, key, '[');
	while (set.len > 0) {
		const char *nl = memchr(set.at, '\n', set.len);
		struct text line = { set.at, nl != NULL ? (size_t)(nl - set.at) : set.len };
		const char *eq = memchr(line.at, '=', line.len);
		size_t name = eq != NULL ? (size_t)(eq - line.at) : line.len,
		       past = nl != NULL ? line.len + 1 : line.len;

		jsonout_open(j, NULL, '{');
		jsonout_text(j, "name", (struct text){ line.at, name });
		jsonout_text(j, "value",
			     (struct text){ line.at + name + (eq != NULL), line.len - name - (eq != NULL) });
		jsonout_close(j, '}');
		set.at += past;
		set.len -= past;
	}
	jsonout_close(j, ']');
}

/* Deployments that served the host. */
static void
served(struct jsonout *j, const struct ledger *l, const struct host_view *h)
{
	struct deployment_view d;
	uint32_t n = ledger_deployments(l);

	jsonout_open(j, "served", '[');
	for (uint32_t no = 0; no < n; no++) {
		int32_t minute = ledger_served_minute(l, no, h->host_no);

		if (minute < 0 || !ledger_deployment(l, no, &d))
			continue;
		jsonout_open(j, NULL, '{');
		jsonout_text(j, "deployment", d.id);
		jsonout_time(j, "at", d.begin_us + (int64_t)minute * 60000000);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

/* Why it counts as dark, or when it would: deadline = last seen + missed * interval + grace + what we did
 * not listen in. */
static void
deadline(struct jsonout *j, const struct host_view *h)
{
	if (h->limit_s == 0) {
		jsonout_null(j, "silence");
		return;
	}
	jsonout_open(j, "silence", '{');
	if (h->deadline_us != 0)
		jsonout_time(j, "deadline", h->deadline_us);
	else
		jsonout_null(j, "deadline");
	jsonout_u64(j, "limit_seconds", h->limit_s);
	jsonout_u64(j, "missed", h->missed);
	jsonout_u64(j, "interval_seconds", h->interval_s);
	jsonout_u64(j, "grace_seconds", h->grace_s);
	jsonout_u64(j, "not_listened_seconds", h->unlistened_s);
	jsonout_bool(j, "relayed", h->relayed);
	jsonout_close(j, '}');
}

void
host_members(struct jsonout *j, const struct ledger *l, const struct host_view *h)
{
	const int64_t silent = h->last_seen_us != 0 ? ledger_now_us(l) - h->last_seen_us : 0;

	jsonout_host(j, "id", h->hash);
	jsonout_u64(j, "number", h->host_no);
	jsonout_time(j, "first_seen", h->first_seen_us);
	jsonout_time(j, "last_seen", h->last_seen_us);
	jsonout_double(j, "silent_seconds", silent > 0 ? (double)silent / 1e6 : 0, 0);
	jsonout_u64(j, "interval_seconds", h->interval_s);
	jsonout_string(j, "state", host_state_name(h->state));
	deadline(j, h);
	jsonout_bool(j, "goodbye", h->goodbye);
	jsonout_bool(j, "cloned", h->cloned);
	jsonout_u64(j, "boots", h->boots);
	jsonout_u64(j, "reports", h->reports);
	jsonout_time(j, "last_report", h->last_report_us);
	words_signature_id(j, "last_signature", h->last_signature);
	text_or_null(j, "site", h->site);
	text_or_null(j, "product", h->product);
	text_or_null(j, "os_build", h->os_build);
	text_or_null(j, "hw_class", h->hw_class);
	pairs(j, "content", h->content);
	pairs(j, "labels", h->labels);
	served(j, l, h);
}

static void
ask_host(struct call *c, const struct ledger *l)
{
	const uint64_t *hash = c->state;
	struct host_view h;

	if (!ledger_host(l, API_TENANT, *hash, &h)) {
		c->refusal = DISCARD_unknown_host;
		return;
	}
	jsonout_open(&c->out, NULL, '{');
	call_freshness(&c->out, c->api->env.fold, ledger_position(l), ledger_now_us(l));
	host_members(&c->out, l, &h);
	jsonout_close(&c->out, '}');
}

static void
host_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct text id = text_of(r->segment);
	char view[8];
	uint64_t *hash;

	if (c == NULL)
		return;
	c->state = hash = ARENA_NEW(c->arena, uint64_t);
	if (hash == NULL || id.len == 0 || id.len > HOST_ID_MAX) {
		call_refuse(c, DISCARD_invalid_host_id, "id", NULL);
		return;
	}
	*hash = identity_api_host(c->api->env.identity(c->api->env.arg), API_TENANT, id);
	if (http_query(r, "view", view, sizeof(view)) != 0)
		call_ask(c, ask_host, call_send);
	else if (strcmp(view, "page") == 0)
		host_page(c, *hash);
	else
		call_refuse(c, DISCARD_invalid_parameter, "view", "must be page");
}

const struct http_ops host_ops = { .begin = host_begin, .end = call_end };

/* ---- those in one state ---- */

#define LIST_DEFAULT 100u
#define LIST_MAX     1000u
#define LIST_LOOK    500000u /* hosts looked at for one answer: about a millisecond of the ledger */

struct list {
	enum host_state state;
	char deployment[DEPLOYMENT_ID_MAX + 1];
	uint32_t from, limit;
	uint32_t hosts[LIST_MAX];
};

static void
put_host(struct jsonout *j, const struct host_view *h)
{
	jsonout_open(j, NULL, '{');
	jsonout_host(j, "id", h->hash);
	jsonout_u64(j, "number", h->host_no);
	jsonout_string(j, "state", host_state_name(h->state));
	jsonout_time(j, "last_seen", h->last_seen_us);
	text_or_null(j, "site", h->site);
	text_or_null(j, "product", h->product);
	text_or_null(j, "os_build", h->os_build);
	text_or_null(j, "hw_class", h->hw_class);
	deadline(j, h);
	jsonout_close(j, '}');
}

static void
ask_list(struct call *c, const struct ledger *l)
{
	struct list *q = c->state;
	struct jsonout *j = &c->out;
	uint32_t deployment = UINT32_MAX, next;
	struct host_view h;
	char cursor[16];
	size_t n;

	if (q->deployment[0] != '\0' && !ledger_deployment_find(l, API_TENANT, text_of(q->deployment), &deployment)) {
		c->refusal = DISCARD_unknown_deployment;
		return;
	}
	n = ledger_hosts_in(l, API_TENANT, q->state, deployment, q->from, LIST_LOOK, q->hosts, q->limit, &next);
	jsonout_open(j, NULL, '{');
	call_freshness(j, c->api->env.fold, ledger_position(l), ledger_now_us(l));
	jsonout_open(j, "hosts", '[');
	for (size_t i = 0; i < n; i++)
		if (ledger_host_by_number(l, q->hosts[i], &h))
			put_host(j, &h);
	jsonout_close(j, ']');
	snprintf(cursor, sizeof(cursor), "%u", next);
	jsonout_string(j, "next", next != UINT32_MAX ? cursor : NULL);
	jsonout_close(j, '}');
}

static bool
take_state(struct call *c, struct list *q)
{
	char text[32];
	unsigned s = 0;

	if (http_query(c->req, "state", text, sizeof(text)) != 0)
		text[0] = '\0';
	while (s < HOST_STATES && strcmp(text, host_state_name((enum host_state)s)) != 0)
		s++;
	q->state = (enum host_state)s;
	if (s < HOST_STATES)
		return true;
	call_refuse(c, DISCARD_invalid_parameter, "state",
		    "is required: active, dark, boot-looping, goodbye, quiet or unheard");
	return false;
}

static void
list_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	uint64_t limit = LIST_DEFAULT, from = 0;
	char text[32];
	struct list *q;

	if (c == NULL)
		return;
	if ((c->state = q = ARENA_NEW(c->arena, struct list)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	if (!take_state(c, q))
		return;
	if (http_query(r, "limit", text, sizeof(text)) == 0 && params_count(text, 1, LIST_MAX, &limit) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 1000");
		return;
	}
	if (http_query(r, "cursor", text, sizeof(text)) == 0 && params_count(text, 0, UINT32_MAX, &from) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "cursor", "is not a cursor of this list");
		return;
	}
	if (http_query(r, "deployment", q->deployment, sizeof(q->deployment)) == 0 &&
	    !params_deployment_id(text_of(q->deployment))) {
		call_refuse(c, DISCARD_invalid_parameter, "deployment", "is not a deployment id");
		return;
	}
	q->limit = (uint32_t)limit;
	q->from = (uint32_t)from;
	call_ask(c, ask_list, call_send);
}

const struct http_ops hosts_list_ops = { .begin = list_begin, .end = call_end };

/* ---- silence of the whole fleet ---- */

#define CHURN_ROWS 256u

static void
churn(struct jsonout *j, const struct ledger *l)
{
	struct churn_view v;
	unsigned told = 0;

	jsonout_open(j, "churn", '[');
	for (uint32_t no = 0; told < CHURN_ROWS && ledger_churn(l, no, &v); no++) {
		if (v.host_hours <= 0)
			continue;
		told++;
		jsonout_open(j, NULL, '{');
		text_or_null(j, "product", v.product);
		text_or_null(j, "os_build", v.os_build);
		text_or_null(j, "hw_class", v.hw_class);
		jsonout_u64(j, "alive", v.alive);
		jsonout_double(j, "silences", v.silences, 1);
		jsonout_double(j, "host_hours", v.host_hours, 1);
		jsonout_double(j, "per_host_hour", v.silences / v.host_hours, 6);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
time_or_null(struct jsonout *j, const char *key, int64_t us)
{
	if (us != 0)
		jsonout_time(j, key, us);
	else
		jsonout_null(j, key);
}

static void
ask_silence(struct call *c, const struct ledger *l)
{
	struct jsonout *j = &c->out;
	struct silence_view v;

	ledger_silence(l, &v);
	jsonout_open(j, NULL, '{');
	call_freshness(j, c->api->env.fold, ledger_position(l), ledger_now_us(l));
	jsonout_u64(j, "alive", v.alive);
	jsonout_u64(j, "dark", v.dark);
	jsonout_u64(j, "boot_looping", v.looping);
	jsonout_u64(j, "went_dark", v.went_dark);
	jsonout_u64(j, "came_back", v.came_back);
	jsonout_u64(j, "boot_loops", v.loops);
	jsonout_u64(j, "gaps", v.gaps);
	jsonout_u64(j, "blind_minutes", v.blind_minutes);
	time_or_null(j, "blind_since", v.blind_since_us);
	time_or_null(j, "deadlines_from", v.deadlines_from_us);
	churn(j, l);
	jsonout_close(j, '}');
}

static void
silence_begin(struct http_request *r)
{
	struct call *c = call_new(r);

	if (c != NULL)
		call_ask(c, ask_silence, call_send);
}

const struct http_ops silence_ops = { .begin = silence_begin, .end = call_end };
