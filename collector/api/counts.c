/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/counters.h"
#include "base/latency.h"
#include "collector/api/counts.h"
#include "collector/api/series.h"
#include "collector/fold/fold.h"

#define METRIC_DEPLOYMENTS 256u /* open ones with a series of their own */
#define HISTOGRAM_LEAST_US 96u
#define HISTOGRAM_MOST_US  4194304u

void
counts_json(struct jsonout *j)
{
	for (unsigned c = 0; c < COUNTER_N; c++)
		jsonout_u64(j, counter_name(c), counter_get(c));
}

__attribute__((format(printf, 2, 3))) static void
line(struct jsonout *out, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (n > 0)
		jsonout_raw(out, buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
}

static void
family(struct jsonout *out, const char *name, const char *type, const char *help)
{
	line(out, "# HELP faultline_%s %s\n# TYPE faultline_%s %s\n", name, help, name, type);
}

/* Base units: a gauge in microseconds leaves in seconds. */
static void
gauge(struct jsonout *out, const char *name, const char *help, uint64_t value)
{
	static const char micro[] = "_microseconds";
	size_t n = strlen(name), m = sizeof(micro) - 1;
	char base[64];

	if (n > m && strcmp(name + n - m, micro) == 0) {
		snprintf(base, sizeof(base), "%.*s_seconds", (int)(n - m), name);
		family(out, base, "gauge", help);
		line(out, "faultline_%s %.6f\n", base, (double)(int64_t)value / 1e6);
		return;
	}
	family(out, name, "gauge", help);
	line(out, "faultline_%s %" PRIu64 "\n", name, value);
}

static void
table(struct jsonout *out)
{
	char total[64];

	for (unsigned c = 0; c < COUNTER_N; c++) {
		if (counter_is_gauge(c)) {
			gauge(out, counter_name(c), counter_help(c), counter_get(c));
			continue;
		}
		snprintf(total, sizeof(total), "%s_total", counter_name(c));
		family(out, total, "counter", counter_help(c));
		line(out, "faultline_%s %" PRIu64 "\n", total, counter_get(c));
	}
	family(out, "discards_total", "counter", "What was refused, by stable code");
	for (unsigned d = 1; d < DISCARD_N; d++)
		line(out, "faultline_discards_total{code=\"%s\"} %" PRIu64 "\n", discard_code(d), discard_get(d));
}

/* As Prometheus wants it: so many took at most that long.  Bounds are 1.33 or 1.5 times the one before. */
static void
histogram(struct jsonout *out, const char *name, const char *help, enum latency what)
{
	struct latency_counts now;
	uint64_t n = 0;

	latency_read(what, &now);
	family(out, name, "histogram", help);
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		const uint64_t end_us = latency_bucket_end(i);

		n += now.n[i];
		if (i % 2 == 1 && end_us >= HISTOGRAM_LEAST_US && end_us <= HISTOGRAM_MOST_US)
			line(out, "faultline_%s_bucket{le=\"%.6f\"} %" PRIu64 "\n", name, (double)end_us / 1e6, n);
	}
	line(out, "faultline_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, n);
	line(out, "faultline_%s_sum %.6f\nfaultline_%s_count %" PRIu64 "\n", name, (double)now.sum_us / 1e6, name, n);
}

static void
states(struct jsonout *out, const struct fold_view *v)
{
	uint64_t n[STATE_N] = { 0 };

	for (uint32_t i = 0; i < v->n_deployments; i++)
		if (v->deployments[i].verdict.state < STATE_N)
			n[v->deployments[i].verdict.state]++;
	family(out, "deployments", "gauge", "Deployments by the state of their verdict");
	for (unsigned s = 0; s < STATE_N; s++)
		line(out, "faultline_deployments{state=\"%s\"} %" PRIu64 "\n",
		     verdict_state_name((enum verdict_state)s), n[s]);
}

struct deployments {
	struct jsonout *out;
	const char *family; /* that is being written */
};

static void
sample(void *arg, const struct series *s)
{
	struct deployments *d = arg;

	if (d->family != s->family) {
		d->family = s->family;
		family(d->out, s->family, "gauge", s->help);
	}
	/* ids are of A-Z a-z 0-9 . _ : - and need no escape */
	if (s->label != NULL)
		line(d->out, "faultline_%s{deployment=\"%s\",%s=\"%s\"} %.0f\n", s->family, s->deployment, s->label,
		     s->word, s->value);
	else
		line(d->out, "faultline_%s{deployment=\"%s\"} %.0f\n", s->family, s->deployment, s->value);
}

void
counts_metrics(struct jsonout *out, const struct fold_view *view, const char *doubt, int64_t started_wall_us)
{
	struct deployments d = { .out = out };

	family(out, "build_info", "gauge", "The version that runs");
	line(out, "faultline_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	family(out, "start_time_seconds", "gauge", "When the API started, since 1970 UTC");
	line(out, "faultline_start_time_seconds %.3f\n", (double)started_wall_us / 1e6);
	table(out);
	histogram(out, "log_flush_seconds", "Groups of batches written and flushed to disk, by the time that took",
		  LATENCY_LOG_FLUSH);
	histogram(out, "ledger_turn_seconds",
		  "Batches folded, by the time until the ledger was ready for the next: telling what changed included",
		  LATENCY_LEDGER_TURN);
	family(out, "fresh", "gauge", "1 while what is told of deployments is up to date");
	line(out, "faultline_fresh %d\n", view != NULL && doubt == NULL);
	if (view == NULL)
		return;
	states(out, view);
	series_each(view, doubt, METRIC_DEPLOYMENTS, false, sample, &d);
}
