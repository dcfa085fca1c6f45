/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/now: the fleet at a glance, for the live page and `faultline top`. */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "collector/api/call.h"
#include "collector/api/counts.h"
#include "collector/api/words.h"

#define NOW_ROWS        10u
#define NOW_DEPLOYMENTS 100u

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

/* How much a person wants to see it: halts, then what is open, then the newest change. */
static int
gravity(const struct view_deployment *d)
{
	return d->verdict.verdict == VERDICT_HALT ? 2 : d->open ? 1 : 0;
}

static void
deployments(struct jsonout *j, const struct api *a, const struct fold_view *v)
{
	uint32_t told = 0, all = 0;

	jsonout_open(j, "deployments", '[');
	for (int g = 2; g >= 0; g--)
		for (uint32_t i = 0; i < v->n_deployments; i++) {
			const struct view_deployment *d = &v->deployments[i];

			if (d->tenant != API_TENANT || d->verdict.state == STATE_DELETED || gravity(d) != g)
				continue;
			all++;
			if (told < NOW_DEPLOYMENTS) {
				words_deployment(j, a, d);
				told++;
			}
		}
	jsonout_close(j, ']');
	jsonout_u64(j, "deployments_total", all);
}

static void
now_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	const struct fold_view *v;
	struct jsonout *j;

	if (c == NULL)
		return;
	j = &c->out;
	v = fold_view_get(c->api->env.fold);
	jsonout_open(j, NULL, '{');
	jsonout_time(j, "time", clock_wall_us());
	jsonout_string(j, "version", PACKAGE_VERSION);
	jsonout_double(j, "uptime_seconds", (double)(clock_boot_us() - c->api->started_us) / 1e6, 0);
	call_freshness(j, c->api->env.fold, v->position, v->now_us);
	jsonout_string(j, "database",
		       c->api->env.store == NULL               ? "none"
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
	arrivals(j, c->api);
	jsonout_open(j, "counters", '{');
	counts_json(j);
	jsonout_close(j, '}');
	signatures(j, "largest", v->by_hosts, v->n_by_hosts);
	signatures(j, "newest", v->newest, v->n_newest);
	signatures(j, "rising", v->by_trend, v->n_by_trend);
	jsonout_open(j, "alarms", '[');
	for (uint32_t i = 0; i < v->n_alarms; i++)
		words_alarm(j, &v->alarms[i]);
	jsonout_close(j, ']');
	deployments(j, c->api, v);
	jsonout_close(j, '}');
	fold_view_put(c->api->env.fold, v);
	call_send(c);
}

const struct http_ops now_ops = { .begin = now_begin, .end = call_end };
