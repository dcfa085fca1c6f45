/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/hosts/{id}: a raw host id, or h:<16 hex>. */
#include "config.h"

#include <string.h>

#include "collector/api/call.h"
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

static void
ask_host(struct call *c, const struct ledger *l)
{
	const uint64_t *hash = c->state;
	struct jsonout *j = &c->out;
	struct host_view h;
	int64_t silent;

	if (!ledger_host(l, API_TENANT, *hash, &h)) {
		c->refusal = DISCARD_unknown_host;
		return;
	}
	silent = h.last_seen_us != 0 ? ledger_now_us(l) - h.last_seen_us : 0;
	jsonout_open(j, NULL, '{');
	call_freshness(j, c->api->env.fold, ledger_position(l), ledger_now_us(l));
	jsonout_host(j, "id", h.hash);
	jsonout_u64(j, "number", h.host_no);
	jsonout_time(j, "first_seen", h.first_seen_us);
	jsonout_time(j, "last_seen", h.last_seen_us);
	jsonout_double(j, "silent_seconds", silent > 0 ? (double)silent / 1e6 : 0, 0);
	jsonout_u64(j, "interval_seconds", h.interval_s);
	jsonout_bool(j, "goodbye", h.goodbye);
	jsonout_bool(j, "cloned", h.cloned);
	jsonout_u64(j, "boots", h.boots);
	jsonout_u64(j, "reports", h.reports);
	jsonout_time(j, "last_report", h.last_report_us);
	words_signature_id(j, "last_signature", h.last_signature);
	text_or_null(j, "site", h.site);
	text_or_null(j, "product", h.product);
	text_or_null(j, "os_build", h.os_build);
	text_or_null(j, "hw_class", h.hw_class);
	pairs(j, "content", h.content);
	pairs(j, "labels", h.labels);
	served(j, l, &h);
	jsonout_close(j, '}');
}

static void
host_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct text id = text_of(r->segment);
	uint64_t *hash;

	if (c == NULL)
		return;
	c->state = hash = ARENA_NEW(c->arena, uint64_t);
	if (hash == NULL || id.len == 0 || id.len > HOST_ID_MAX) {
		call_refuse(c, DISCARD_invalid_host_id, "id", NULL);
		return;
	}
	*hash = identity_api_host(c->api->env.identity(c->api->env.arg), API_TENANT, id);
	call_ask(c, ask_host, call_send);
}

const struct http_ops host_ops = { .begin = host_begin, .end = call_end };
