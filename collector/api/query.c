/* SPDX-License-Identifier: Apache-2.0 */
/* GET and POST /api/v1/query: enough of Prometheus' instant query for the gates that speak it.
 *
 * Answers are of now.  Where an answer could be a false go-ahead because the server is not
 * up to date, there is none: 503, which a gate takes for an error and never for a zero. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "collector/api/call.h"
#include "collector/api/promql.h"
#include "collector/api/series.h"

#define PREFIX     "faultline_"
#define ALL        UINT32_MAX
#define TIME_SLACK 300.0 /* seconds: clocks of a gate and ours may differ by this much */

struct asked {
	char text[PROMQL_QUERY_MAX * 3 + 1];
	char time[64];
	struct promql q;
	char family[96];      /* without prefix, when a selector */
	enum counter counter; /* COUNTER_N: a family of series.h */
	const char *label;    /* second label of that family */
	struct jsonout *out;
	double now_s;
	/* of sum, min, max and count */
	uint64_t n;
	double sum, min, max;
};

/* ---- errors, as Prometheus words them ---- */

static void
refuse(struct call *c, int status, const char *type, const char *message)
{
	jsonout_reset(&c->out);
	jsonout_open(&c->out, NULL, '{');
	jsonout_string(&c->out, "status", "error");
	jsonout_string(&c->out, "errorType", type);
	jsonout_string(&c->out, "error", message);
	jsonout_close(&c->out, '}');
	discard_count(status == 400 ? DISCARD_invalid_parameter : DISCARD_catching_up);
	c->status = status;
	call_send(c);
}

/* ---- samples ---- */

static void
value(struct asked *a, double v)
{
	char buf[64];

	jsonout_open(a->out, "value", '[');
	jsonout_double(a->out, NULL, a->now_s, 3);
	snprintf(buf, sizeof(buf), rint(v) == v && fabs(v) < 1e15 ? "%.0f" : "%.17g", v);
	jsonout_string(a->out, NULL, buf);
	jsonout_close(a->out, ']');
}

static void
bare_sample(struct asked *a, double v)
{
	jsonout_open(a->out, NULL, '{');
	jsonout_open(a->out, "metric", '{');
	jsonout_close(a->out, '}');
	value(a, v);
	jsonout_close(a->out, '}');
}

static bool
passes(const struct asked *a, const struct series *s)
{
	for (unsigned i = 0; i < a->q.n_matchers; i++) {
		const struct promql_matcher *m = &a->q.matchers[i];
		const char *has = text_equal(m->label, TEXT("deployment")) ? s->deployment : s->word;

		if (!promql_matches(m, text_of(has != NULL ? has : "")))
			return false;
	}
	return true;
}

static void
sample(void *arg, const struct series *s)
{
	struct asked *a = arg;

	if (strcmp(s->family, a->family) != 0 || !passes(a, s))
		return;
	a->sum += s->value;
	a->min = a->n == 0 || s->value < a->min ? s->value : a->min;
	a->max = a->n == 0 || s->value > a->max ? s->value : a->max;
	a->n++;
	if (a->q.over != PROMQL_EACH)
		return;
	jsonout_open(a->out, NULL, '{');
	jsonout_open(a->out, "metric", '{');
	jsonout_text(a->out, "__name__", a->q.name);
	if (s->deployment != NULL)
		jsonout_string(a->out, "deployment", s->deployment);
	if (s->label != NULL)
		jsonout_string(a->out, s->label, s->word);
	jsonout_close(a->out, '}');
	value(a, s->value);
	jsonout_close(a->out, '}');
}

static void
over_all(struct asked *a)
{
	const double of[] = { 0, a->sum, a->min, a->max, (double)a->n };

	if (a->q.over != PROMQL_EACH && a->n > 0)
		bare_sample(a, of[a->q.over]);
	if (a->n == 0 && a->q.has_fallback)
		bare_sample(a, a->q.fallback);
}

static void
select_series(struct asked *a, const struct fold_view *v, const char *doubt)
{
	if (a->counter == COUNTER_N) {
		series_each(v, doubt, ALL, true, sample, a);
	} else {
		uint64_t n = counter_get(a->counter);
		struct series s = { .family = a->family, .value = (double)n };
		const size_t len = strlen(a->family);

		if (len > 8 && strcmp(a->family + len - 8, "_seconds") == 0)
			s.value = (double)(int64_t)n / 1e6;
		sample(a, &s);
	}
	over_all(a);
}

/* ---- what is asked for ---- */

/* A family without labels: any counter or gauge of the process, named as on /metrics. */
static enum counter
find_counter(const char *family)
{
	static const char micro[] = "_microseconds";
	char name[96];

	for (unsigned c = 0; c < COUNTER_N; c++) {
		const char *base = counter_name(c);
		const size_t len = strlen(base), m = sizeof(micro) - 1;

		if (!counter_is_gauge(c))
			snprintf(name, sizeof(name), "%s_total", base);
		else if (len > m && strcmp(base + len - m, micro) == 0)
			snprintf(name, sizeof(name), "%.*s_seconds", (int)(len - m), base);
		else
			snprintf(name, sizeof(name), "%s", base);
		if (strcmp(name, family) == 0)
			return (enum counter)c;
	}
	return COUNTER_N;
}

static bool
find_family(struct asked *a, char *err, size_t err_size)
{
	const struct promql *q = &a->q;
	const size_t n = strlen(PREFIX);

	if (q->name.len <= n || q->name.len - n >= sizeof(a->family) || memcmp(q->name.at, PREFIX, n) != 0) {
		snprintf(err, err_size, "there is no metric %.*s here: they are those of /metrics",
			 (int)(q->name.len < 100 ? q->name.len : 100), q->name.at);
		return false;
	}
	memcpy(a->family, q->name.at + n, q->name.len - n);
	a->counter = find_counter(a->family);
	if (a->counter == COUNTER_N && !series_family(a->family, &a->label)) {
		snprintf(err, err_size, "there is no metric " PREFIX "%s here: they are those of /metrics", a->family);
		return false;
	}
	for (unsigned i = 0; i < q->n_matchers; i++) {
		struct text label = q->matchers[i].label;

		if (a->counter == COUNTER_N && (text_equal(label, TEXT("deployment")) ||
						(a->label != NULL && text_equal(label, text_of(a->label)))))
			continue;
		snprintf(err, err_size, PREFIX "%s has no label %.*s", a->family,
			 (int)(label.len < 64 ? label.len : 64), label.at);
		return false;
	}
	return true;
}

/* Unix seconds or RFC 3339, about now: nothing older is kept. */
static bool
time_is_now(const struct asked *a)
{
	int64_t us;
	char *end;
	double s;

	if (a->time[0] == '\0')
		return true;
	s = strtod(a->time, &end);
	if (*end != '\0' || end == a->time) {
		if (clock_parse_rfc3339(a->time, &us) != 0)
			return false;
		s = (double)us / 1e6;
	}
	return fabs(s - a->now_s) <= TIME_SLACK;
}

static void
answer(struct call *c, struct asked *a)
{
	const struct fold_view *v = fold_view_get(c->api->env.fold);
	const char *doubt = call_not_fresh(c->api, v->now_us);

	a->out = &c->out;
	jsonout_open(&c->out, NULL, '{');
	jsonout_string(&c->out, "status", "success");
	jsonout_open(&c->out, "data", '{');
	jsonout_string(&c->out, "resultType", a->q.kind == PROMQL_NUMBER ? "scalar" : "vector");
	if (a->q.kind == PROMQL_NUMBER) {
		char buf[64];

		jsonout_open(&c->out, "result", '[');
		jsonout_double(&c->out, NULL, a->now_s, 3);
		snprintf(buf, sizeof(buf), "%.17g", a->q.number);
		jsonout_string(&c->out, NULL, buf);
	} else {
		jsonout_open(&c->out, "result", '[');
		if (a->q.kind == PROMQL_VECTOR)
			bare_sample(a, a->q.number);
		else
			select_series(a, v, doubt);
	}
	jsonout_close(&c->out, ']');
	jsonout_close(&c->out, '}');
	jsonout_close(&c->out, '}');
	fold_view_put(c->api->env.fold, v);
	/* In doubt only a halt is told. */
	if (doubt != NULL && a->q.kind == PROMQL_SELECT &&
	    !(strcmp(a->family, "deployment_halted") == 0 && a->n > 0 && a->sum == (double)a->n && a->q.n_matchers > 0))
		refuse(c, 503, "unavailable", doubt);
	else
		call_send(c);
}

static void
run(struct call *c, struct asked *a)
{
	char err[PROMQL_ERROR_SIZE + 64] = "";

	a->now_s = (double)clock_wall_us() / 1e6;
	a->counter = COUNTER_N;
	if (!time_is_now(a))
		refuse(c, 400, "bad_data", "invalid parameter \"time\": only the present is known here");
	else if (promql_parse(text_of(a->text), c->arena, &a->q, err) != 0 ||
		 (a->q.kind == PROMQL_SELECT && !find_family(a, err, sizeof(err))))
		refuse(c, 400, "bad_data", err);
	else
		answer(c, a);
}

/* From the URL or, with POST, from the form; false: refused. */
static bool
parameters(struct call *c, struct asked *a, const char *form)
{
	if (form == NULL || http_form_value(form, "query", a->text, sizeof(a->text)) != 0)
		if (http_query(c->req, "query", a->text, sizeof(a->text)) != 0) {
			refuse(c, 400, "bad_data", "invalid parameter \"query\": missing, too long or damaged");
			return false;
		}
	if (form == NULL || http_form_value(form, "time", a->time, sizeof(a->time)) != 0)
		if (http_query(c->req, "time", a->time, sizeof(a->time)) != 0)
			a->time[0] = '\0';
	return true;
}

static void
query_begin(struct http_request *r)
{
	struct call *c = call_new_as(r, "application/x-www-form-urlencoded");
	struct asked *a;

	if (c == NULL)
		return;
	if ((c->state = a = ARENA_NEW(c->arena, struct asked)) == NULL)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
	else if (r->method == HTTP_METHOD_GET && parameters(c, a, NULL))
		run(c, a);
}

static void
query_complete(struct http_request *r)
{
	struct call *c = r->ctx;
	char *form = arena_calloc(c->arena, c->body_len + 1, 1);

	if (form == NULL) {
		call_refuse(c, DISCARD_body_too_large, NULL, NULL);
		return;
	}
	if (c->body_len > 0)
		memcpy(form, c->body, c->body_len);
	if (parameters(c, c->state, form))
		run(c, c->state);
}

const struct http_ops query_ops = {
	.begin = query_begin,
	.body = call_body,
	.complete = query_complete,
	.end = call_end,
};
