/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/health: how the server itself is. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/settings.h"
#include "base/token.h"
#include "collector/api/call.h"
#include "collector/api/counts.h"
#include "collector/api/inflow.h"
#include "collector/api/page.h"
#include "collector/api/telling.h"

#define SAMPLE_S   300
#define TREND_US   600000000ll /* no trend is told of less */
#define DELIVERIES 5u
#define DEAD_SHOWN 20u
#define PROBLEMS   12u

static bool
disk(const struct api *a, uint64_t *free_out, uint64_t *total_out)
{
	struct statvfs v;

	if (statvfs(a->env.settings(a->env.arg)->data, &v) != 0)
		return false;
	*free_out = (uint64_t)v.f_bavail * v.f_frsize;
	*total_out = (uint64_t)v.f_blocks * v.f_frsize;
	return true;
}

void
health_second(struct api *a)
{
	struct disk_sample *s = &a->disk[a->n_disk % DISK_SAMPLES];
	uint64_t total;

	if (a->n_disk > 0 &&
	    clock_boot_us() - a->disk[(a->n_disk - 1) % DISK_SAMPLES].at_us < (int64_t)SAMPLE_S * 1000000)
		return;
	if (!disk(a, &s->free, &total))
		return;
	s->at_us = clock_boot_us();
	a->n_disk++;
}

/* Bytes a day by which free space shrank since the oldest sample; false: too little is known. */
static bool
growth(const struct api *a, uint64_t free_now, double *out)
{
	const struct disk_sample *s = &a->disk[a->n_disk > DISK_SAMPLES ? a->n_disk % DISK_SAMPLES : 0];
	const int64_t span = clock_boot_us() - s->at_us;

	if (a->n_disk == 0 || span < TREND_US)
		return false;
	*out = ((double)s->free - (double)free_now) / (double)span * 86400e6;
	return true;
}

static void
disk_members(struct jsonout *j, const struct api *a)
{
	const struct settings *s = a->env.settings(a->env.arg);
	uint64_t free_now, total;
	double daily, days;
	char text[64];

	if (!disk(a, &free_now, &total)) {
		jsonout_null(j, "disk");
		return;
	}
	jsonout_open(j, "disk", '{');
	jsonout_u64(j, "free", free_now);
	jsonout_u64(j, "total", total);
	jsonout_u64(j, "pressure", counter_get(COUNTER_disk_pressure));
	jsonout_open(j, "used", '{');
	jsonout_u64(j, "log", counter_get(COUNTER_log_bytes_kept));
	jsonout_u64(j, "dumps", counter_get(COUNTER_dump_bytes_kept));
	jsonout_u64(j, "symbols", counter_get(COUNTER_symbol_bytes_kept));
	jsonout_close(j, '}');
	jsonout_open(j, "limits", '{');
	jsonout_u64(j, "log", s->log_bytes);
	jsonout_u64(j, "dumps", s->dump_bytes);
	jsonout_u64(j, "symbols", s->symbol_bytes);
	jsonout_u64(j, "reserve", s->disk_reserve);
	jsonout_close(j, '}');
	if (!growth(a, free_now, &daily)) {
		jsonout_null(j, "growth_bytes_per_day");
		jsonout_null(j, "horizon_days");
		jsonout_string(j, "horizon_text", "not known yet: the rate is measured over 10 min at least");
	} else {
		days = daily > 0 && free_now > s->disk_reserve ? (double)(free_now - s->disk_reserve) / daily : -1;
		jsonout_double(j, "growth_bytes_per_day", daily, 0);
		if (daily <= 0 || days > 3650) {
			jsonout_null(j, "horizon_days");
			jsonout_string(j, "horizon_text", "does not fill at this rate");
		} else {
			days = days < 0 ? 0 : days;
			jsonout_double(j, "horizon_days", days, 1);
			snprintf(text, sizeof(text), days < 2 ? "%.1f days at this rate" : "%.0f days at this rate",
				 days);
			jsonout_string(j, "horizon_text", text);
		}
	}
	jsonout_close(j, '}');
}

/* ---- webhooks ---- */

/* The newest deliveries, and the dead ones. */
static void
trim(json_t *one)
{
	json_t *all = json_object_get(one, "deliveries"), *last = json_array(), *dead = json_array(), *d;
	size_t i;

	json_array_foreach(all, i, d)
	{
		const char *state = json_string_value(json_object_get(d, "state"));

		if (i < DELIVERIES)
			json_array_append(last, d);
		if (state != NULL && strcmp(state, "dead") == 0 && json_array_size(dead) < DEAD_SHOWN)
			json_array_append(dead, d);
	}
	json_object_set_new(one, "last", last);
	json_object_set_new(one, "dead_letters", dead);
	json_object_del(one, "deliveries");
}

static json_t *
endpoints(const struct api_env *env)
{
	char *text = env->webhooks != NULL ? env->webhooks(env->arg, NULL) : NULL;
	json_t *o = text != NULL ? json_loads(text, 0, NULL) : NULL, *out = json_array(), *e;
	size_t i;

	free(text);
	json_array_foreach(json_object_get(o, "webhooks"), i, e)
	{
		const char *name = json_string_value(json_object_get(e, "name"));
		char *more = name != NULL ? env->webhooks(env->arg, name) : NULL;
		json_t *one = more != NULL ? json_loads(more, 0, NULL) : NULL;

		free(more);
		if (one == NULL)
			continue;
		trim(one);
		json_array_append_new(out, one);
	}
	json_decref(o);
	return out;
}

static void
put_json(struct jsonout *j, const char *key, const json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	if (text == NULL) {
		jsonout_null(j, key);
		return;
	}
	jsonout_open(j, key, text[0]);
	jsonout_raw(j, text + 1, strlen(text + 1));
	j->comma = true;
	free(text);
}

/* ---- what is wrong ---- */

struct problem {
	const char *kind, *level;
	char text[200];
};

struct problems {
	size_t n;
	bool failed;
	struct problem at[PROBLEMS];
};

static void add(struct problems *p, const char *kind, bool failed, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void
add(struct problems *p, const char *kind, bool failed, const char *fmt, ...)
{
	va_list ap;

	if (p->n == PROBLEMS)
		return;
	p->at[p->n].kind = kind;
	p->at[p->n].level = failed ? "failed" : "attention";
	va_start(ap, fmt);
	vsnprintf(p->at[p->n].text, sizeof(p->at[0].text), fmt, ap);
	va_end(ap);
	p->failed = p->failed || failed;
	p->n++;
}

static void
look(const struct api *a, int64_t ledger_us, const json_t *hooks, struct problems *p)
{
	const struct settings *s = a->env.settings(a->env.arg);
	const char *why = fold_failed(a->env.fold), *stale = call_not_fresh(a, ledger_us);
	const double behind_s = page_database_lag_s(a);
	size_t i;
	json_t *h;

	if (why != NULL)
		add(p, "ledger", true, "The ledger has stopped: %.150s.", why);
	else if (stale != NULL)
		add(p, "ledger", false, "Verdicts hold: %.150s.", stale);
	why = a->env.not_ready != NULL ? a->env.not_ready(a->env.arg) : NULL;
	if (why != NULL)
		add(p, "ready", true, "Not ready: %.170s.", why);
	if (counter_get(COUNTER_fleet_unheard) != 0)
		add(p, "blind", false, "Under half the expected heartbeats arrive; silence is not judged.");
	if (a->env.store != NULL && counter_get(COUNTER_database_up) == 0)
		add(p, "database_down", false, "The database does not answer; history is late, verdicts are not.");
	else if (a->env.store != NULL && behind_s > 5)
		add(p, "database_behind", false, "The database is %.0f s behind; history is late, verdicts are not.",
		    behind_s);
	if (counter_get(COUNTER_disk_pressure) > 0)
		add(p, "disk", counter_get(COUNTER_disk_pressure) >= 5, "The disk is short of space: %s.",
		    counter_get(COUNTER_disk_pressure) >= 5 ? "nothing is accepted"
							    : "dumps are refused, what is kept is thinned");
	if (counter_get(COUNTER_triage_workers) < s->workers)
		add(p, "workers", counter_get(COUNTER_triage_workers) == 0,
		    "%" PRIu64 " of %" PRIu64 " triage workers are up.", (uint64_t)counter_get(COUNTER_triage_workers),
		    (uint64_t)s->workers);
	json_array_foreach(hooks, i, h)
	{
		if (json_integer_value(json_object_get(h, "dead")) > 0)
			add(p, "webhook", false, "%lld deliveries to webhook %.100s are dead.",
			    (long long)json_integer_value(json_object_get(h, "dead")),
			    json_string_value(json_object_get(h, "name")));
	}
}

static void
verdict(struct call *c, const struct problems *p)
{
	struct telling *t = ARENA_NEW(c->arena, struct telling);
	struct jsonout *j = &c->out;

	jsonout_string(j, "status", p->failed ? "failed" : p->n > 0 ? "attention" : "ok");
	if (t != NULL) {
		telling_begin(t);
		if (p->n == 0)
			prose_say(&t->p, "Everything works.");
		for (size_t i = 0; i < p->n && i < 3; i++)
			prose_say(&t->p, "%s%s", i > 0 ? " " : "", p->at[i].text);
		telling_put(j, t);
	}
	jsonout_open(j, "problems", '[');
	for (size_t i = 0; i < p->n; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "kind", p->at[i].kind);
		jsonout_string(j, "level", p->at[i].level);
		jsonout_string(j, "text", p->at[i].text);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

/* ---- the parts ---- */

static void
ledger(struct jsonout *j, const struct fold_view *v)
{
	jsonout_open(j, "ledger", '{');
	jsonout_u64(j, "behind_records", counter_get(COUNTER_ledger_lag_records));
	jsonout_double(j, "behind_seconds", (double)counter_get(COUNTER_ledger_lag_microseconds) / 1e6, 3);
	jsonout_u64(j, "records", v->stats.records);
	jsonout_u64(j, "hosts", v->stats.hosts);
	jsonout_u64(j, "signatures", v->stats.signatures);
	jsonout_u64(j, "deployments", v->stats.deployments);
	jsonout_u64(j, "snapshots", counter_get(COUNTER_snapshots));
	jsonout_close(j, '}');
}

static void
database(struct jsonout *j, const struct api *a)
{
	jsonout_open(j, "database", '{');
	jsonout_string(j, "state",
		       a->env.store == NULL                    ? "none"
		       : counter_get(COUNTER_database_up) != 0 ? "up"
							       : "down");
	if (a->env.store != NULL) {
		jsonout_position(j, "position", a->env.stored != NULL ? a->env.stored(a->env.arg) : 0);
		jsonout_double(j, "behind_seconds", page_database_lag_s(a), 1);
		jsonout_u64(j, "behind_records", counter_get(COUNTER_projector_lag_records));
		jsonout_u64(j, "failures", counter_get(COUNTER_store_failures));
		jsonout_u64(j, "rejected", counter_get(COUNTER_store_rejected));
		jsonout_u64(j, "restarts", counter_get(COUNTER_store_restarts));
	}
	jsonout_close(j, '}');
}

static void
queue(struct jsonout *j, const char *name, enum counter c, const char *what)
{
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "name", name);
	jsonout_u64(j, "waiting", counter_get(c));
	jsonout_string(j, "what", what);
	jsonout_close(j, '}');
}

static void
queues(struct jsonout *j)
{
	jsonout_open(j, "queues", '[');
	queue(j, "ledger", COUNTER_ledger_lag_records, "records in the log, not yet folded");
	queue(j, "database", COUNTER_projector_lag_records, "records not yet in the database");
	queue(j, "triage", COUNTER_triage_queue, "dumps to be looked at");
	queue(j, "webhooks", COUNTER_webhooks_pending, "deliveries to be made");
	jsonout_close(j, ']');
}

static void
workers(struct jsonout *j, const struct settings *s)
{
	jsonout_open(j, "workers", '{');
	jsonout_u64(j, "configured", s->workers);
	jsonout_u64(j, "up", counter_get(COUNTER_triage_workers));
	jsonout_u64(j, "waiting", counter_get(COUNTER_triage_queue));
	jsonout_u64(j, "done", counter_get(COUNTER_triage_done));
	jsonout_u64(j, "failed", counter_get(COUNTER_triage_failed));
	jsonout_u64(j, "killed", counter_get(COUNTER_triage_killed));
	jsonout_u64(j, "restarts", counter_get(COUNTER_triage_zygote_restarts));
	jsonout_close(j, '}');
}

static int
by_count(const void *x, const void *y)
{
	const uint64_t a = discard_get(*(const enum discard *)x), b = discard_get(*(const enum discard *)y);

	return (a < b) - (a > b);
}

/* Since the start, the most first. */
static void
discards(struct jsonout *j)
{
	enum discard order[DISCARD_N];
	size_t n = 0;

	for (unsigned d = 1; d < DISCARD_N; d++)
		if (discard_get((enum discard)d) > 0)
			order[n++] = (enum discard)d;
	qsort(order, n, sizeof(order[0]), by_count);
	jsonout_open(j, "discards", '[');
	for (size_t i = 0; i < n; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "code", discard_code(order[i]));
		jsonout_i64(j, "status", discard_status(order[i]));
		jsonout_u64(j, "count", discard_get(order[i]));
		jsonout_string(j, "help", discard_help(order[i]));
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
begin(struct http_request *r)
{
	struct call *c = call_new(r);
	const struct tokens *tokens;
	const struct fold_view *v;
	struct problems *p;
	struct api *a;
	json_t *hooks;

	if (c == NULL)
		return;
	a = c->api;
	if ((p = ARENA_NEW(c->arena, struct problems)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	hooks = endpoints(&a->env);
	v = fold_view_get(a->env.fold);
	tokens = a->env.tokens(a->env.arg);
	jsonout_open(&c->out, NULL, '{');
	page_head(c, v->position, v->now_us);
	look(a, v->now_us, hooks, p);
	verdict(c, p);
	jsonout_string(&c->out, "version", PACKAGE_VERSION);
	jsonout_time(&c->out, "time", clock_wall_us());
	jsonout_time(&c->out, "started", clock_wall_us() - (clock_boot_us() - a->started_us));
	jsonout_double(&c->out, "uptime_seconds", (double)(clock_boot_us() - a->started_us) / 1e6, 0);
	ledger(&c->out, v);
	database(&c->out, a);
	queues(&c->out);
	workers(&c->out, a->env.settings(a->env.arg));
	inflow_json(&c->out, a, v->now_us);
	discards(&c->out);
	put_json(&c->out, "webhooks", hooks);
	disk_members(&c->out, a);
	jsonout_open(&c->out, "tokens", '{');
	jsonout_bool(&c->out, "configured", tokens != NULL);
	jsonout_u64(&c->out, "count", tokens != NULL ? tokens_count(tokens) : 0);
	jsonout_close(&c->out, '}');
	jsonout_open(&c->out, "counters", '{');
	counts_json(&c->out);
	jsonout_close(&c->out, '}');
	jsonout_close(&c->out, '}');
	fold_view_put(a->env.fold, v);
	json_decref(hooks);
	call_send(c); /* of this moment: no version to compare */
}

const struct http_ops health_ops = { .begin = begin, .end = call_end };
