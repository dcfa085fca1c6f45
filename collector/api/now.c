/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/now: the fleet at a glance, for the live page and `faultline top`. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "collector/api/banner.h"
#include "collector/api/counts.h"
#include "collector/api/inflow.h"
#include "collector/api/page.h"
#include "collector/api/words.h"

#define NOW_ROWS        10u
#define NOW_DEPLOYMENTS 100u
#define NOW_OTHERS      8u
#define NEW_SINCE_US    3600000000ll

void
now_second(struct api *a)
{
	uint64_t reports = counter_get(COUNTER_reports), *last = &a->reports_before;

	a->arrivals[a->seconds % API_ARRIVALS] = (uint32_t)(reports - *last);
	*last = reports;
	a->seconds++;
}

/* Crash reports accepted in each of the last seconds, oldest first. */
static void
arrivals(struct jsonout *j, const struct api *a)
{
	uint64_t n = a->seconds < API_ARRIVALS ? a->seconds : API_ARRIVALS, sum = 0;

	jsonout_open(j, "arrivals", '{');
	jsonout_u64(j, "step_seconds", 1);
	jsonout_time(j, "end", clock_wall_us());
	jsonout_open(j, "reports", '[');
	for (uint64_t i = a->seconds - n; i < a->seconds; i++)
		jsonout_u64(j, NULL, a->arrivals[i % API_ARRIVALS]);
	jsonout_close(j, ']');
	for (uint64_t i = a->seconds > 60 ? a->seconds - 60 : 0; i < a->seconds; i++)
		sum += a->arrivals[i % API_ARRIVALS];
	jsonout_u64(j, "last_minute", sum);
	jsonout_close(j, '}');
}

static void
signatures(struct jsonout *j, const char *key, const struct view_signature *s, uint32_t n)
{
	jsonout_open(j, key, '[');
	for (uint32_t i = 0; i < n && i < NOW_ROWS; i++)
		words_signature(j, &s[i]);
	jsonout_close(j, ']');
}

/* ---- deployments: worst first, then the newest change ---- */

static int
gravity(const struct api *a, const struct view_deployment *d)
{
	static const char *const worst[] = {
		"halt", "halt_uncertified", "halt_recovered", "watch", "would_halt", "hold"
	};
	const char *status = page_status(a, &d->verdict);
	int g = 0;

	for (size_t i = 0; i < sizeof(worst) / sizeof(worst[0]); i++)
		if (strcmp(worst[i], status) == 0)
			g = (int)(sizeof(worst) / sizeof(worst[0]) - i);
	return d->open ? g + 1 : 0;
}

struct ranked {
	const struct view_deployment *d;
	int gravity;
};

static int
by_gravity(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;

	if (a->gravity != b->gravity)
		return b->gravity - a->gravity;
	if (a->d->verdict.since_us != b->d->verdict.since_us)
		return a->d->verdict.since_us > b->d->verdict.since_us ? -1 : 1;
	return strcmp(a->d->id, b->d->id);
}

const struct view_deployment **
now_ranked(const struct api *a, const struct fold_view *v, uint32_t *n_out)
{
	struct ranked *r = calloc(v->n_deployments + 1ul, sizeof(*r));
	const struct view_deployment **out = calloc(v->n_deployments + 1ul, sizeof(*out));
	uint32_t n = 0;

	for (uint32_t i = 0; r != NULL && i < v->n_deployments; i++)
		if (v->deployments[i].tenant == API_TENANT && v->deployments[i].verdict.state != STATE_DELETED)
			r[n++] = (struct ranked){ &v->deployments[i], gravity(a, &v->deployments[i]) };
	if (r != NULL)
		qsort(r, n, sizeof(*r), by_gravity);
	for (uint32_t i = 0; out != NULL && i < n; i++)
		out[i] = r[i].d;
	*n_out = out != NULL ? n : 0;
	free(r);
	return out;
}

static void
deployments(struct jsonout *j, const struct api *a, const struct fold_view *v)
{
	uint32_t n;
	const struct view_deployment **rows = now_ranked(a, v, &n);

	jsonout_open(j, "deployments", '[');
	for (uint32_t i = 0; i < n && i < NOW_DEPLOYMENTS; i++)
		words_deployment(j, a, rows[i]);
	jsonout_close(j, ']');
	jsonout_u64(j, "deployments_total", n);
	free(rows);
}

/* ---- the verdict on the fleet ---- */

static void
others(struct jsonout *j, const struct api *a, const struct fold_view *v, const struct banner *b)
{
	char headline[192];
	uint32_t n, told = 0;
	const struct view_deployment **rows = now_ranked(a, v, &n);

	jsonout_open(j, "others", '[');
	for (uint32_t i = 0; i < n && told < NOW_OTHERS; i++) {
		const char *status = page_status(a, &rows[i]->verdict);

		if (!rows[i]->open || rows[i] == b->deployment ||
		    (strncmp(status, "halt", 4) != 0 && strcmp(status, "watch") != 0))
			continue;
		banner_headline(status, rows[i]->id, headline, sizeof(headline));
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "deployment", rows[i]->id);
		jsonout_string(j, "status", status);
		jsonout_string(j, "headline", headline);
		jsonout_close(j, '}');
		told++;
	}
	jsonout_close(j, ']');
	free(rows);
}

static void
verdict(struct jsonout *j, const struct api *a, const struct fold_view *v)
{
	char copy[sizeof(((struct banner *)0)->headline) + sizeof(((struct banner *)0)->text) + 64],
		at[CLOCK_RFC3339_SIZE];
	const struct view_deployment *d;
	struct banner b;

	banner_make(a, v, &b);
	d = b.deployment;
	jsonout_open(j, "verdict", '{');
	jsonout_string(j, "state", b.state);
	jsonout_string(j, "status", b.status);
	jsonout_string(j, "headline", b.headline);
	words_prose(j, "summary", b.text, b.parts, b.n_parts);
	if (b.since_us != 0)
		snprintf(copy, sizeof(copy), "%s. %s (since %.19sZ)", b.headline, b.text,
			 clock_rfc3339(b.since_us, at));
	else
		snprintf(copy, sizeof(copy), "%s", b.text);
	jsonout_string(j, "copy_text", copy);
	jsonout_string(j, "deployment", d != NULL ? d->id : NULL);
	if (b.alarm != NULL)
		jsonout_u64(j, "alarm", b.alarm->no);
	else
		jsonout_null(j, "alarm");
	jsonout_time(j, "since", b.since_us);
	words_acknowledged(j, d);
	jsonout_time(j, "last_served", d != NULL ? d->last_served_us : 0);
	others(j, a, v, &b);
	jsonout_u64(j, "halted", b.halted);
	jsonout_u64(j, "watched", b.watched);
	jsonout_u64(j, "running", b.running);
	jsonout_close(j, '}');
}

/* ---- history ---- */

static void
value_or_null(struct jsonout *j, const char *key, uint32_t value)
{
	if (value == PULSE_UNKNOWN)
		jsonout_null(j, key);
	else
		jsonout_u64(j, key, value);
}

static void
values(struct jsonout *j, const char *key, const uint32_t *v, uint32_t n)
{
	jsonout_open(j, key, '[');
	for (uint32_t i = 0; i < n; i++)
		value_or_null(j, NULL, v[i]);
	jsonout_close(j, ']');
}

static void
tiles(struct jsonout *j, const struct pulse_view *p, bool sparks)
{
	static const char *const names[PULSE_TILES] = { "alive", "dark", "boot_loop", "crashing_10m" };

	jsonout_open(j, "fleet", '{');
	for (unsigned t = 0; t < PULSE_TILES; t++) {
		jsonout_open(j, names[t], '{');
		jsonout_u64(j, "value", p->value[t]);
		value_or_null(j, "usual", p->usual[t]);
		jsonout_time(j, "usual_from", p->usual_from_us);
		if (sparks) {
			jsonout_open(j, "spark", '{');
			jsonout_time(j, "t0", p->spark_from_us);
			jsonout_u64(j, "step_s", 900);
			jsonout_bool(j, "open", true);
			values(j, "v", p->spark[t], PULSE_SPARK);
			jsonout_close(j, '}');
		}
		jsonout_close(j, '}');
	}
	jsonout_close(j, '}');
}

static void
rates(struct jsonout *j, const struct fold_view *v)
{
	jsonout_open(j, "rates", '{');
	jsonout_time(j, "t0", v->pulse.rates_from_us);
	jsonout_u64(j, "step_s", 20);
	jsonout_bool(j, "open", true);
	values(j, "all", v->pulse.all, PULSE_RATES);
	values(j, "kernel", v->pulse.kernel, PULSE_RATES);
	jsonout_open(j, "annotations", '[');
	for (uint32_t i = 0; i < v->n_marks; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_time(j, "t", v->marks[i].at_us);
		jsonout_string(j, "kind", words_action(v->marks[i].action));
		jsonout_string(j, "deployment", v->marks[i].deployment);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	jsonout_close(j, '}');
}

/* Of the last hour, most hosts first. */
static void
new_signatures(struct jsonout *j, const struct api *a, const struct fold_view *v)
{
	bool told[VIEW_TOP] = { false };

	jsonout_open(j, "new_signatures", '[');
	for (uint32_t row = 0; row < NOW_ROWS; row++) {
		const struct view_signature *best = NULL;
		const struct view_deployment *d = NULL;

		for (uint32_t i = 0; i < v->n_newest; i++)
			if (!told[i] && v->newest[i].first_us > v->now_us - NEW_SINCE_US &&
			    (best == NULL || v->newest[i].hosts > best->hosts))
				best = &v->newest[i];
		if (best == NULL)
			break;
		told[best - v->newest] = true;
		for (uint32_t i = 0; best->deployment != UINT32_MAX && i < v->n_deployments; i++)
			if (v->deployments[i].no == best->deployment && v->deployments[i].tenant == API_TENANT)
				d = &v->deployments[i];
		jsonout_open(j, NULL, '{');
		words_signature_id(j, "id", best->id);
		page_text(j, "title", text_of(best->title));
		words_kinds(j, best->kinds);
		jsonout_string(j, "reason", best->reason);
		jsonout_u64(j, "hosts", best->hosts);
		jsonout_u64(j, "sites", best->sites);
		jsonout_time(j, "first_seen", best->first_us);
		jsonout_string(j, "deployment", d != NULL ? d->id : NULL);
		jsonout_string(j, "status", d != NULL ? page_status(a, &d->verdict) : NULL);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

/* ---- the document ---- */

static void
open_alarms(struct jsonout *j, const struct fold_view *v)
{
	jsonout_open(j, "alarms", '[');
	for (uint32_t i = 0; i < v->n_alarms; i++)
		words_alarm(j, &v->alarms[i]);
	jsonout_close(j, ']');
}

/* What makes it another document than the last one: nothing that only a clock moves. */
static void
core(struct jsonout *j, const struct api *a, const struct fold_view *v, bool sparks)
{
	verdict(j, a, v);
	tiles(j, &v->pulse, sparks);
	deployments(j, a, v);
	rates(j, v);
	new_signatures(j, a, v);
	open_alarms(j, v);
}

static void
head(struct jsonout *j, const struct api *a, const struct fold_view *v)
{
	jsonout_time(j, "time", clock_wall_us());
	jsonout_string(j, "version", PACKAGE_VERSION);
	jsonout_double(j, "uptime_seconds", (double)(clock_boot_us() - a->started_us) / 1e6, 0);
	call_freshness(j, a->env.fold, v->position, v->now_us);
	page_freshness(j, a, v->position, v->now_us);
}

/* Members that are older than the page. */
static void
older(struct jsonout *j, const struct api *a, const struct fold_view *v)
{
	jsonout_string(j, "database",
		       a->env.store == NULL                    ? "none"
		       : counter_get(COUNTER_database_up) != 0 ? "up"
							       : "down");
	jsonout_open(j, "hosts", '{');
	jsonout_u64(j, "known", v->stats.hosts);
	jsonout_u64(j, "recent", v->stats.hosts_recent);
	jsonout_u64(j, "cloned", v->stats.hosts_cloned);
	jsonout_u64(j, "sites", v->stats.sites);
	jsonout_close(j, '}');
	jsonout_open(j, "reports", '{');
	jsonout_u64(j, "counted", v->stats.reports);
	jsonout_u64(j, "resent", v->stats.reports_resent);
	jsonout_u64(j, "late", v->stats.reports_late);
	jsonout_close(j, '}');
	jsonout_u64(j, "signatures", v->stats.signatures);
	arrivals(j, a);
	jsonout_open(j, "counters", '{');
	counts_json(j);
	jsonout_close(j, '}');
	signatures(j, "largest", v->by_hosts, v->n_by_hosts);
	signatures(j, "newest", v->newest, v->n_newest);
	signatures(j, "rising", v->by_trend, v->n_by_trend);
}

/* Made once for a view and second, however many ask. */
static struct http_blob *
document(struct api *a, const struct fold_view *v, enum role role)
{
	struct now_cache *c = &a->now[role];
	struct jsonout j;

	if (c->document != NULL && c->position == v->position && c->second == a->seconds)
		return c->document;
	jsonout_init(&j);
	jsonout_open(&j, NULL, '{');
	head(&j, a, v);
	sign_in_members(&j, role);
	core(&j, a, v, true);
	inflow_json(&j, a, v->now_us);
	older(&j, a, v);
	jsonout_close(&j, '}');
	jsonout_raw(&j, "\n", 1);
	http_blob_unref(c->document);
	c->document = j.failed ? NULL : http_blob_new(j.at, j.len);
	c->position = v->position;
	c->second = a->seconds;
	jsonout_fini(&j);
	return c->document;
}

static void
now_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct http_blob *b;
	const struct fold_view *v;
	struct api *a;

	if (c == NULL)
		return;
	a = c->api;
	v = fold_view_get(a->env.fold);
	if (!page_same(c, v->position)) {
		b = document(a, v, c->role);
		if (b == NULL)
			call_refuse(c, DISCARD_catching_up, NULL, "the answer does not fit into memory");
		else
			http_answer_blob(r, 200, "application/json", b);
	}
	fold_view_put(a->env.fold, v);
}

const struct http_ops now_ops = { .begin = now_begin, .end = call_end };

bool
now_event(struct api *a, struct jsonout *j, bool anyway)
{
	const struct fold_view *v = fold_view_get(a->env.fold);
	struct jsonout inner;
	uint64_t hash;
	bool news;

	jsonout_init(&inner);
	jsonout_open(&inner, NULL, '{');
	core(&inner, a, v, false);
	hash = inner.failed ? 0 : hash64(1, inner.at, inner.len);
	news = (anyway || hash != a->now_told) && !inner.failed;
	if (news) {
		if (!anyway)
			a->now_told = hash;
		jsonout_open(j, NULL, '{');
		head(j, a, v);
		inflow_json(j, a, v->now_us);
		jsonout_raw(j, ",", 1);
		jsonout_raw(j, inner.at + 1, inner.len - 1); /* without its bracket */
		jsonout_close(j, '}');
	}
	jsonout_fini(&inner);
	fold_view_put(a->env.fold, v);
	return news;
}

void
now_fini(struct api *a)
{
	for (unsigned i = 0; i < ROLE_N; i++)
		http_blob_unref(a->now[i].document);
}
