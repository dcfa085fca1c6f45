/* SPDX-License-Identifier: Apache-2.0 */
/* What comes in and how fast it is kept: rates of the counters, sampled by the API once a second. */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/latency.h"
#include "base/settings.h"
#include "collector/api/inflow.h"
#include "collector/api/page.h"

#define RATE_S    10u
#define FLUSHES   60u /* readings of the flush times, each FLUSH_S */
#define FLUSH_S   10u
#define REFUSALS  60u
#define REFUSAL_S 60u

struct inflow {
	uint64_t seconds;
	struct {
		uint64_t heartbeats, reports;
	} at[RATE_S + 1]; /* rings, all of them */
	struct latency_counts flushes[FLUSHES];
	uint64_t refused[REFUSALS];
};

static uint64_t
refused(void)
{
	uint64_t n = 0;

	for (unsigned d = 1; d < DISCARD_N; d++)
		n += discard_get((enum discard)d);
	return n;
}

void
inflow_second(struct inflow *g)
{
	g->at[g->seconds % (RATE_S + 1)].heartbeats = counter_get(COUNTER_heartbeats);
	g->at[g->seconds % (RATE_S + 1)].reports = counter_get(COUNTER_reports);
	if (g->seconds % FLUSH_S == 0)
		latency_read(LATENCY_LOG_FLUSH, &g->flushes[g->seconds / FLUSH_S % FLUSHES]);
	if (g->seconds % REFUSAL_S == 0)
		g->refused[g->seconds / REFUSAL_S % REFUSALS] = refused();
	g->seconds++;
}

struct inflow *
inflow_new(void)
{
	struct inflow *g = calloc(1, sizeof(*g));

	if (g != NULL)
		inflow_second(g); /* what came before the first second is over counts too */
	return g;
}

void
inflow_free(struct inflow *g)
{
	free(g);
}

/* The oldest of a ring of n readings, one each `every` seconds. */
static uint64_t
oldest(const struct inflow *g, uint64_t n, uint64_t every)
{
	const uint64_t taken = (g->seconds + every - 1) / every;

	return taken > n ? taken % n : 0;
}

void
inflow_json(struct jsonout *j, const struct api *a, int64_t ledger_us)
{
	const struct inflow *g = a->inflow;
	const struct settings *s = a->env.settings(a->env.arg);
	const uint64_t span = g->seconds > RATE_S ? RATE_S : g->seconds > 1 ? g->seconds - 1 : 1;
	const uint64_t old = g->seconds > RATE_S ? g->seconds % (RATE_S + 1) : 0;
	const int64_t lag_us = clock_wall_us() - ledger_us;
	struct latency_counts now;

	latency_read(LATENCY_LOG_FLUSH, &now);
	jsonout_open(j, "ingest", '{');
	jsonout_double(j, "heartbeats_per_s",
		       (double)(counter_get(COUNTER_heartbeats) - g->at[old].heartbeats) / (double)span, 1);
	jsonout_double(j, "reports_per_s", (double)(counter_get(COUNTER_reports) - g->at[old].reports) / (double)span,
		       1);
	jsonout_double(j, "journal_p99_ms",
		       (double)latency_quantile(&g->flushes[oldest(g, FLUSHES, FLUSH_S)], &now, 0.99) / 1000, 1);
	jsonout_double(j, "verdict_lag_s", lag_us > 0 ? (double)lag_us / 1e6 : 0, 1);
	if (a->env.store != NULL)
		jsonout_double(j, "database_lag_s", page_database_lag_s(a), 1);
	else
		jsonout_null(j, "database_lag_s");
	jsonout_string(j, "database",
		       a->env.store == NULL                    ? "none"
		       : counter_get(COUNTER_database_up) != 0 ? "up"
							       : "down");
	jsonout_u64(j, "refused_1h", refused() - g->refused[oldest(g, REFUSALS, REFUSAL_S)]);
	jsonout_open(j, "workers", '{');
	jsonout_u64(j, "up", counter_get(COUNTER_triage_workers));
	jsonout_u64(j, "of", s->workers);
	jsonout_u64(j, "queue", counter_get(COUNTER_triage_queue));
	jsonout_close(j, '}');
	jsonout_bool(j, "receiving", counter_get(COUNTER_disk_pressure) < 5);
	jsonout_close(j, '}');
}
