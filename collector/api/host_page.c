/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/hosts/{id}?view=page: one host's story.  The ledger knows how it is and what it was served, the database
 * its crashes of the past; boots are told by the uptimes in them. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/host_page.h"
#include "collector/api/page.h"
#include "collector/api/telling.h"
#include "collector/api/words.h"
#include "collector/log/report_id.h"

#define ROWS_DEFAULT 100u
#define ROWS_MAX     500u
#define LIVE_ROWS    300u
#define VOTES_SHOWN  8u

struct row {
	int64_t at_us;
	const char *kind;
	bool live;
	char text[320];
	char deployment[DEPLOYMENT_ID_MAX + 1];
	uint64_t signature;
	const struct store_report *report;
};

struct page {
	uint64_t hash, position;
	uint64_t limit;
	int64_t before_us; /* rows of a later page are older than this; INT64_MAX: the first page */
	int64_t now_us;
	size_t n;
	struct row *rows;
};

static struct row *
add(struct page *p, int64_t at_us, const char *kind, bool live)
{
	struct row *r;

	if (at_us <= 0 || p->n == LIVE_ROWS + 2 * ROWS_MAX)
		return NULL;
	r = &p->rows[p->n++];
	*r = (struct row){ .at_us = at_us, .kind = kind, .live = live };
	return r;
}

/* ---- what the ledger knows ---- */

static void
live_rows(struct page *p, const struct ledger *l, const struct host_view *h)
{
	uint32_t n = ledger_deployments(l);
	struct deployment_view d;
	struct key_view k;
	struct note_view v;
	struct row *r;
	uint64_t from;

	if ((r = add(p, h->first_seen_us, "first_seen", true)) != NULL)
		snprintf(r->text, sizeof(r->text), "First heard of");
	if (h->state == HOST_IS_DARK && (r = add(p, h->deadline_us, "dark", true)) != NULL)
		snprintf(r->text, sizeof(r->text), "Counts as dark: the silence limit of %u s is over", h->limit_s);
	if (h->goodbye && (r = add(p, h->last_seen_us, "goodbye", true)) != NULL)
		snprintf(r->text, sizeof(r->text), "Said goodbye");
	else if ((r = add(p, h->last_seen_us, "heard", true)) != NULL)
		snprintf(r->text, sizeof(r->text), "Last heard of");
	for (uint32_t no = n; no-- > 0 && p->n < LIVE_ROWS;) {
		int32_t minute = ledger_served_minute(l, no, h->host_no);

		if (minute < 0 || !ledger_deployment(l, no, &d) ||
		    (r = add(p, d.begin_us + (int64_t)minute * 60000000, "served", true)) == NULL)
			continue;
		snprintf(r->deployment, sizeof(r->deployment), "%.*s", (int)d.id.len, d.id.at);
		snprintf(r->text, sizeof(r->text), "Served %s", r->deployment);
	}
	if (h->last_signature == 0 || !ledger_signature(l, API_TENANT, h->last_signature, &k))
		return;
	if ((r = add(p, h->last_report_us, "crash", true)) != NULL) {
		r->signature = h->last_signature;
		snprintf(r->text, sizeof(r->text), "Crash in %.280s", k.title);
	}
	/* it was told with the next answer to a report of it */
	if (ledger_advice(l, API_TENANT, h->last_signature, &v, &from) && v.at_us <= h->last_report_us &&
	    (r = add(p, h->last_report_us, "advice", true)) != NULL) {
		r->signature = h->last_signature;
		snprintf(r->text, sizeof(r->text), "Was told: %.*s", (int)(v.text.len < 250 ? v.text.len : 250),
			 v.text.at);
	}
}

static void
sentence(struct call *c, const struct ledger *l, const struct host_view *h)
{
	static const char *const states[HOST_STATES] = { "Alive",          "Dark",
							 "In a boot loop", "Gone with a goodbye",
							 "Quiet",          "Never heard of" };
	struct telling *t = ARENA_NEW(c->arena, struct telling);
	char id[DEPLOYMENT_ID_MAX + 1];
	struct deployment_view d;
	int64_t now = ledger_now_us(l);

	if (t == NULL)
		return;
	telling_begin(t);
	prose_say(&t->p, "%s", states[h->state]);
	if (h->state == HOST_IS_DARK && h->deadline_us != 0) {
		prose_say(&t->p, " since ");
		prose_time(&t->p, h->deadline_us, now);
	}
	if (h->last_seen_us != 0) {
		prose_say(&t->p, ": last heard of ");
		prose_time(&t->p, h->last_seen_us, now);
	}
	if (h->limit_s != 0) {
		prose_say(&t->p, ", silence limit ");
		telling_span(t, h->limit_s);
		if (h->state == HOST_IS_ALIVE && h->deadline_us != 0) {
			prose_say(&t->p, ", so it counts as dark after ");
			prose_time(&t->p, h->deadline_us, now);
		}
	} else if (h->state != HOST_IS_UNHEARD)
		prose_say(&t->p, ", no heartbeat is expected of it");
	for (uint32_t no = ledger_deployments(l); no-- > 0;) {
		int32_t minute = ledger_served_minute(l, no, h->host_no);

		if (minute < 0 || !ledger_deployment(l, no, &d) || d.deleted)
			continue;
		prose_say(&t->p, "; served ");
		snprintf(id, sizeof(id), "%.*s", (int)d.id.len, d.id.at);
		prose_name(&t->p, PART_DEPLOYMENT, id, 0);
		prose_say(&t->p, " at ");
		prose_time(&t->p, d.begin_us + (int64_t)minute * 60000000, now);
		break;
	}
	prose_say(&t->p, ".");
	telling_put(&c->out, t);
}

/* Would its crash count in a deployment (docs/HALT.md, who votes)? */
static void
votes(struct jsonout *j, const struct ledger *l, const struct host_view *h, struct verdict_view *v)
{
	struct deployment_view d;
	uint32_t shown = 0;
	char why[300];

	jsonout_open(j, "votes", '[');
	for (uint32_t no = ledger_deployments(l); no-- > 0 && shown < VOTES_SHOWN;) {
		int64_t known, quiet;
		bool may;

		if (!ledger_deployment(l, no, &d) || !d.open || d.tenant != API_TENANT || !ledger_verdict(l, no, v))
			continue;
		shown++;
		known = d.begin_us - h->first_seen_us;
		quiet = ledger_now_us(l) - h->last_seen_us;
		may = h->first_seen_us != 0 && known >= (int64_t)v->assumed.min_age_s * 1000000;
		if (h->first_seen_us == 0)
			snprintf(why, sizeof(why), "It was served and never heard of.");
		else if (!may)
			snprintf(why, sizeof(why),
				 "It is too new: a host votes that was known for %u s before the deployment began.",
				 v->assumed.min_age_s);
		else if (quiet > (int64_t)v->assumed.active_s * 1000000)
			snprintf(why, sizeof(why),
				 "It may vote, but was silent for more than %u s: a crash of a time when nobody "
				 "heard of it would not count.",
				 v->assumed.active_s);
		else
			snprintf(why, sizeof(why),
				 "It was known before the deployment began and is heard of: its first crash counts.");
		jsonout_open(j, NULL, '{');
		jsonout_text(j, "deployment", d.id);
		jsonout_bool(j, "votes", may && quiet <= (int64_t)v->assumed.active_s * 1000000);
		jsonout_bool(j, "served", ledger_served_minute(l, no, h->host_no) >= 0);
		jsonout_string(j, "why", why);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
ask_page(struct call *c, const struct ledger *l)
{
	struct page *p = c->state;
	struct verdict_view *v = ARENA_NEW(c->arena, struct verdict_view);
	struct host_view h;

	if (!ledger_host(l, API_TENANT, p->hash, &h)) {
		c->refusal = DISCARD_unknown_host;
		return;
	}
	p->position = ledger_position(l);
	p->now_us = ledger_now_us(l);
	jsonout_open(&c->out, NULL, '{');
	page_head(c, p->position, p->now_us);
	host_members(&c->out, l, &h);
	sentence(c, l, &h);
	if (v != NULL)
		votes(&c->out, l, &h, v);
	live_rows(p, l, &h);
}

/* ---- what the database knows ---- */

static void
past_rows(struct page *p, const struct store_query *q)
{
	for (uint32_t i = 0; i < q->n; i++) {
		const struct store_report *s = &q->reports[i];
		const int64_t at = s->occurred_us != 0 ? s->occurred_us : s->received_us;
		struct row *r = add(p, at, "crash", false);

		if (r == NULL)
			continue;
		r->report = s;
		r->signature = s->signature;
		snprintf(r->text, sizeof(r->text), "Crash in %.280s", s->title);
		if (s->uptime_s == 0 || s->uptime_s > 10ull * 366 * 86400 ||
		    (r = add(p, at - (int64_t)s->uptime_s * 1000000, "boot", false)) == NULL)
			continue;
		snprintf(r->text, sizeof(r->text), "Booted, by the uptime in a crash report");
	}
}

static int
newest_first(const void *x, const void *y)
{
	const struct row *a = x, *b = y;

	if (a->at_us != b->at_us)
		return a->at_us > b->at_us ? -1 : 1;
	return strcmp(a->kind, b->kind);
}

/* Two of a kind within a second of one another are one: the ledger's last crash is in the database too, and
 * crashes of one boot tell it twice. */
static bool
is_double(const struct page *p, size_t i)
{
	const struct row *a = &p->rows[i];

	for (size_t k = i; k-- > 0 && p->rows[k].at_us - a->at_us < 5000000;)
		if (strcmp(p->rows[k].kind, a->kind) == 0 &&
		    (strcmp(a->kind, "boot") == 0 || (a->live != p->rows[k].live && strcmp(a->kind, "crash") == 0)))
			return true;
	return false;
}

static void
put_row(struct jsonout *j, const struct call *c, const struct row *r)
{
	char id[REPORT_ID_SIZE];

	jsonout_open(j, NULL, '{');
	jsonout_time(j, "at", r->at_us);
	jsonout_string(j, "kind", r->kind);
	jsonout_string(j, "source", r->live ? "live" : "database");
	jsonout_string(j, "text", r->text);
	if (r->deployment[0] != '\0')
		jsonout_string(j, "deployment", r->deployment);
	if (r->signature != 0)
		words_signature_id(j, "signature", r->signature);
	if (r->report != NULL) {
		jsonout_string(j, "report",
			       r->report->log == c->history.this_log
				       ? report_id_format(r->report->pos, &c->api->env.log_id, id)
				       : NULL);
		jsonout_string(j, "crash_kind", words_kind(r->report->kind));
		jsonout_u64(j, "uptime_seconds", r->report->uptime_s);
		jsonout_time(j, "received", r->report->received_us);
		jsonout_string(j, "dump_sha256", r->report->dump[0] != '\0' ? r->report->dump : NULL);
	}
	jsonout_close(j, '}');
}

static void
told(struct call *c)
{
	const struct store_query *q = &c->history;
	struct page *p = c->state;
	struct jsonout *j = &c->out;
	const bool whole = q->answer == STORE_FOUND;
	int64_t after_us = 0;
	char next[64];

	if (whole)
		past_rows(p, q);
	if (whole && q->more && q->n > 0)
		after_us = q->reports[q->n - 1].received_us;
	qsort(p->rows, p->n, sizeof(p->rows[0]), newest_first);
	jsonout_open(j, "timeline", '{');
	jsonout_string(j, "state", c->api->env.store == NULL ? "none" : history_state(q));
	jsonout_open(j, "rows", '[');
	for (size_t i = 0; i < p->n; i++) {
		const struct row *r = &p->rows[i];

		/* what the ledger knows stands on the page of its time */
		if (!is_double(p, i) && (!r->live || (r->at_us < p->before_us && r->at_us >= after_us)))
			put_row(j, c, r);
	}
	jsonout_close(j, ']');
	snprintf(next, sizeof(next), "%08" PRIx32 "%08" PRIx32 "%016" PRIx64 "%016" PRIx64, (uint32_t)q->next.log,
		 (uint32_t)q->next.day, q->next.pos, (uint64_t)(after_us != 0 ? after_us : p->before_us));
	jsonout_string(j, "next", whole && q->more ? next : NULL);
	jsonout_string(j, "note",
		       c->api->env.store == NULL ? "Without a database only what the ledger knows of it is told."
		       : !whole ? "The database does not answer: only what the ledger knows of it is told."
				: NULL);
	jsonout_close(j, '}');
	jsonout_close(j, '}');
	page_send(c, p->position);
}

static void
then(struct call *c)
{
	struct page *p = c->state;

	if (c->refusal != DISCARD_none) {
		call_send(c);
		return;
	}
	c->history.what = STORE_REPORTS_OF_HOST;
	c->history.key = p->hash;
	c->history.limit = (uint32_t)p->limit;
	call_history(c, told);
}

static bool
take_page(struct call *c, struct page *p)
{
	char text[72];
	uint32_t log, day;
	uint64_t before;
	int end = 0;

	p->limit = ROWS_DEFAULT;
	p->before_us = INT64_MAX;
	if (http_query(c->req, "limit", text, sizeof(text)) == 0 && params_count(text, 1, ROWS_MAX, &p->limit) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 500");
		return false;
	}
	if (http_query(c->req, "cursor", text, sizeof(text)) != 0)
		return true;
	if (strlen(text) != 48 ||
	    sscanf(text, "%8" SCNx32 "%8" SCNx32 "%16" SCNx64 "%16" SCNx64 "%n", &log, &day, &c->history.from.pos,
		   &before, &end) != 4 ||
	    end != 48) {
		call_refuse(c, DISCARD_invalid_parameter, "cursor", "is not a cursor of this list");
		return false;
	}
	c->history.from.log = (int32_t)log;
	c->history.from.day = (int32_t)day;
	p->before_us = (int64_t)before;
	return true;
}

void
host_page(struct call *c, uint64_t hash)
{
	struct page *p = ARENA_NEW(c->arena, struct page);

	if (p == NULL || (p->rows = ARENA_ARRAY(c->arena, struct row, LIVE_ROWS + 2 * ROWS_MAX)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	c->state = p;
	p->hash = hash;
	if (take_page(c, p))
		call_ask(c, ask_page, then);
}
