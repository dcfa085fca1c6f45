/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/fold/view.h"
#include "proto/log.pb-c.h"

#define HOUR_US 3600000000ll

/* As much of a text as there is room for, up to the end of a UTF-8 sequence. */
static void
copy(char *out, size_t size, struct text t)
{
	size_t n = t.len < size ? t.len : size - 1;

	while (n > 0 && n < t.len && ((unsigned char)t.at[n] & 0xc0) == 0x80)
		n--;
	if (n > 0)
		memcpy(out, t.at, n);
	out[n] = '\0';
}

static uint32_t
top(const struct ledger *l, enum key_sort sort, struct view_signature *out)
{
	struct key_query q = { .sort = sort };
	uint32_t no[VIEW_TOP];
	size_t n = ledger_keys(l, &q, no, NULL, VIEW_TOP);

	for (size_t i = 0; i < n; i++) {
		struct key_view k;

		ledger_key_by_number(l, no[i], &k);
		out[i] = (struct view_signature){ .tenant = k.tenant,
						  .id = k.id,
						  .rung = k.rung,
						  .kinds = k.kinds,
						  .hosts = k.hosts,
						  .sites = k.sites,
						  .crashes = k.crashes,
						  .trend = k.trend,
						  .first_us = k.first_us,
						  .last_us = k.last_us,
						  .deployment = ledger_blamed(l, no[i]) };
		copy(out[i].reason, sizeof(out[i].reason), k.reason);
		memcpy(out[i].title, k.title, sizeof(k.title));
	}
	return (uint32_t)n;
}

static int
by_name(const void *a, const void *b)
{
	const struct view_deployment *x = a, *y = b;

	if (x->tenant != y->tenant)
		return x->tenant < y->tenant ? -1 : 1;
	return strcmp(x->id, y->id);
}

static void
add_rings(const struct deployment_view *d, struct view_deployment *out)
{
	uint64_t left = out->verdict.served;

	out->n_rings = d->n_rings;
	for (uint32_t i = 0; i < d->n_rings; i++) {
		struct view_ring *r = &out->rings[i];

		copy(r->name, sizeof(r->name), d->rings[i].name);
		r->size = d->rings[i].size;
		r->rest = d->rings[i].rest;
		r->served = r->rest || left < r->size ? left : r->size;
		left -= r->served;
	}
}

static void
add_mark(struct fold_view *v, const char *deployment, int64_t at_us, uint8_t action)
{
	uint32_t i;

	if (at_us <= 0 || at_us < v->now_us - HOUR_US)
		return;
	if (v->n_marks == VIEW_MARKS) { /* the oldest goes */
		if (at_us <= v->marks[0].at_us)
			return;
		memmove(v->marks, v->marks + 1, (VIEW_MARKS - 1) * sizeof(v->marks[0]));
		v->n_marks--;
	}
	for (i = v->n_marks++; i > 0 && v->marks[i - 1].at_us > at_us; i--)
		v->marks[i] = v->marks[i - 1];
	v->marks[i] = (struct view_mark){ .at_us = at_us, .action = action };
	snprintf(v->marks[i].deployment, sizeof(v->marks[i].deployment), "%s", deployment);
}

static void
add_decisions(const struct ledger *l, struct fold_view *v, struct view_deployment *out)
{
	struct decision_view d[16];
	size_t n = ledger_decisions(l, out->tenant, out->no, d, 16);

	add_mark(v, out->id, out->first_served_us, 0);
	if (!out->verdict.recorded && out->verdict.state != STATE_HALTED_BY_PERSON)
		add_mark(v, out->id, out->verdict.halt_us, FAULTLINE__LOG__ACTION__ACTION_HALT);
	for (size_t i = 0; i < n; i++)
		add_mark(v, out->id, d[i].at_us, d[i].action);
	if (!ledger_acknowledged(l, out->no, &d[0]))
		return;
	out->acknowledged.pos = d[0].pos;
	out->acknowledged.at_us = d[0].at_us;
	copy(out->acknowledged.actor, sizeof(out->acknowledged.actor), d[0].actor);
	copy(out->acknowledged.reason, sizeof(out->acknowledged.reason), d[0].reason);
}

static bool
add_deployments(const struct ledger *l, struct fold_view *v)
{
	uint32_t n = ledger_deployments(l);

	v->deployments = calloc(n + 1ul, sizeof(*v->deployments));
	if (v->deployments == NULL)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct view_deployment *out = &v->deployments[v->n_deployments];
		struct deployment_view d;

		if (!ledger_deployment(l, i, &d) || d.deleted)
			continue;
		out->tenant = d.tenant;
		out->no = i;
		out->open = d.open;
		snprintf(out->id, sizeof(out->id), "%.*s", (int)d.id.len, d.id.at);
		out->created_us = d.begin_us;
		out->first_served_us = d.first_receipt_us;
		out->last_served_us = d.last_receipt_us;
		out->bake_us = (int64_t)d.bake_ms * 1000;
		ledger_verdict(l, i, &out->verdict);
		add_rings(&d, out);
		add_decisions(l, v, out);
		v->n_deployments++;
	}
	qsort(v->deployments, v->n_deployments, sizeof(*v->deployments), by_name);
	return true;
}

struct shared_view *
view_build(const struct ledger *l, const struct shared_view *before, bool tops)
{
	struct shared_view *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->v.position = ledger_position(l);
	s->v.now_us = ledger_now_us(l);
	if (!add_deployments(l, &s->v)) {
		free(s);
		return NULL;
	}
	atomic_init(&s->refs, 1);
	ledger_pulse(l, &s->v.pulse);
	ledger_stats(l, &s->v.stats);
	s->v.n_alarms = (uint32_t)ledger_alarms(l, 0, s->v.alarms, VIEW_ALARMS);
	while (s->v.n_alarms > 0 && s->v.alarms[s->v.n_alarms - 1].cleared_us != 0)
		s->v.n_alarms--;
	if (before != NULL && !tops) {
		s->v.n_by_hosts = before->v.n_by_hosts;
		s->v.n_newest = before->v.n_newest;
		s->v.n_by_trend = before->v.n_by_trend;
		memcpy(s->v.by_hosts, before->v.by_hosts, sizeof(s->v.by_hosts));
		memcpy(s->v.newest, before->v.newest, sizeof(s->v.newest));
		memcpy(s->v.by_trend, before->v.by_trend, sizeof(s->v.by_trend));
		return s;
	}
	s->v.n_by_hosts = top(l, KEYS_BY_HOSTS, s->v.by_hosts);
	s->v.n_newest = top(l, KEYS_NEWEST, s->v.newest);
	s->v.n_by_trend = top(l, KEYS_BY_TREND, s->v.by_trend);
	return s;
}

void
view_free(struct shared_view *s)
{
	if (s == NULL)
		return;
	free(s->v.deployments);
	free(s);
}

const struct view_deployment *
fold_view_deployment(const struct fold_view *v, uint16_t tenant, struct text id)
{
	uint32_t lo = 0, hi = v->n_deployments;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		const struct view_deployment *d = &v->deployments[mid];
		size_t len = strlen(d->id), n = len < id.len ? len : id.len;
		int c = d->tenant != tenant ? (d->tenant < tenant ? -1 : 1) : n > 0 ? memcmp(d->id, id.at, n) : 0;

		if (c == 0)
			c = len < id.len ? -1 : len > id.len;
		if (c == 0)
			return d;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
