/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "collector/api/page.h"

#define LIST_TEXT_MAX   256u
#define DATABASE_LATE_S 5.0

static double
age_s(int64_t now_us, int64_t then_us)
{
	return now_us > then_us ? (double)(now_us - then_us) / 1e6 : 0;
}

void
page_second(struct api *a)
{
	struct log_id id;
	uint64_t first;
	struct log_end *e = &a->ends[a->n_ends++ % LOG_ENDS];

	log_bounds(a->env.log, &first, &e->position, &id);
	e->at_us = clock_wall_us();
}

/* The database holds everything before a position: how long ago was that the end of the log? */
double
page_database_lag_s(const struct api *a)
{
	const uint64_t stored = a->env.store != NULL && a->env.stored != NULL ? a->env.stored(a->env.arg) : UINT64_MAX;
	uint64_t n = a->n_ends < LOG_ENDS ? a->n_ends : LOG_ENDS;
	const struct log_end *missing = NULL;

	for (uint64_t i = 1; i <= n; i++) {
		const struct log_end *e = &a->ends[(a->n_ends - i) % LOG_ENDS];

		if (e->position <= stored)
			break;
		missing = e;
	}
	return missing != NULL ? age_s(clock_wall_us(), missing->at_us) : 0;
}

static const char *
state(const struct api *a, double database_s)
{
	if (fold_failed(a->env.fold) != NULL)
		return "failed";
	if (!fold_caught_up(a->env.fold))
		return "restarting";
	if (counter_get(COUNTER_fleet_unheard) != 0)
		return "blind";
	if (a->env.store != NULL && counter_get(COUNTER_database_up) == 0)
		return "database_down";
	if (a->env.store != NULL && database_s > DATABASE_LATE_S)
		return "database_behind";
	return "live";
}

void
page_freshness(struct jsonout *j, const struct api *a, uint64_t position, int64_t ledger_us)
{
	const double database_s = page_database_lag_s(a);
	int64_t now_us = clock_wall_us();

	jsonout_open(j, "freshness", '{');
	jsonout_position(j, "position", position);
	jsonout_time(j, "ledger", ledger_us);
	jsonout_time(j, "database", a->env.store != NULL ? now_us - (int64_t)(database_s * 1e6) : 0);
	jsonout_open(j, "behind_s", '{');
	jsonout_double(j, "ledger", age_s(now_us, ledger_us), 1);
	if (a->env.store != NULL)
		jsonout_double(j, "database", database_s, 1);
	else
		jsonout_null(j, "database");
	jsonout_close(j, '}');
	jsonout_string(j, "state", state(a, database_s));
	jsonout_time(j, "time", now_us);
	jsonout_close(j, '}');
}

void
page_head(struct call *c, uint64_t position, int64_t ledger_us)
{
	call_freshness(&c->out, c->api->env.fold, position, ledger_us);
	page_freshness(&c->out, c->api, position, ledger_us);
	sign_in_members(&c->out, c->role);
}

const char *
page_status(const struct api *a, const struct verdict_view *v)
{
	const char *doubt;

	if (verdict_told(a, v, &doubt) != v->verdict)
		return "hold";
	switch (v->state) {
	case STATE_HALTED_HEURISTIC:
		return "halt_uncertified";
	case STATE_RECOVERED:
		return "halt_recovered";
	case STATE_WOULD_HALT:
		return "would_halt";
	case STATE_WATCH:
	case STATE_CO_SUSPECT:
		return "watch";
	default:
		return verdict_name(v->verdict);
	}
}

void
page_text(struct jsonout *j, const char *key, struct text t)
{
	size_t cut = t.len;
	char name[64];

	if (cut > LIST_TEXT_MAX) {
		cut = LIST_TEXT_MAX;
		while (cut > 0 && ((unsigned char)t.at[cut] & 0xc0) == 0x80)
			cut--;
		snprintf(name, sizeof(name), "%s_len", key);
		jsonout_u64(j, name, t.len);
	}
	jsonout_text(j, key, (struct text){ t.at, cut });
}

char *
page_etag(struct http_request *r, uint64_t position, char out[PAGE_ETAG_SIZE])
{
	uint64_t h = hash64((uint64_t)sign_in_caller(r).role, r->path, strlen(r->path));

	snprintf(out, PAGE_ETAG_SIZE, "\"%" PRIx64 "-%" PRIx64 "\"", position, hash64(h, r->query, strlen(r->query)));
	return out;
}

bool
page_same(struct call *c, uint64_t position)
{
	char etag[PAGE_ETAG_SIZE];

	http_set_header(c->req, "Cache-Control", "no-cache");
	http_set_header(c->req, "Vary", "Authorization, Cookie");
	http_set_header(c->req, "X-Content-Type-Options", "nosniff");
	return http_not_modified(c->req, page_etag(c->req, position, etag));
}

void
page_send(struct call *c, uint64_t position)
{
	if (c->refusal != DISCARD_none || c->out.failed) {
		call_send(c);
		return;
	}
	if (page_same(c, position))
		return;
	jsonout_raw(&c->out, "\n", 1);
	http_answer(c->req, c->status, "application/json", c->out.at, c->out.len);
}
