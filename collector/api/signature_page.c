/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/signatures/{id}?view=page: all that the page of a signature shows, in one answer. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/settings.h"
#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/correlations.h"
#include "collector/api/notes.h"
#include "collector/api/page.h"
#include "collector/api/signature_page.h"
#include "collector/api/telling.h"
#include "collector/api/words.h"
#include "collector/ledger/story.h"

#define FACTS_SHOWN 30u
#define SUSPECTS    32u /* newest deployments that are asked for a standing */
#define BUILDS_LOOK 64u
#define LN10        2.302585092994046

struct suspect {
	char id[DEPLOYMENT_ID_MAX + 1];
	const char *status;
	uint32_t no;
	struct standing standing;
	bool halt;
	int64_t halt_us, served_us;
};

struct page {
	uint64_t id, position;
	int64_t now_us;
	enum { FIRST, STORY, CORRELATION, DONE } step;
	struct story story;
	struct correlation correlation;
	enum correlate_state correlated;
	struct key_view k; /* its texts are gone after the turn */
	char module[MODULE_NAME_MAX + 1];
	struct suspect *worst; /* NULL: no deployment met it */
};

/* ---- on the ledger thread ---- */

static double
log10_of(double log)
{
	return log / LN10;
}

static void
find_suspects(struct call *c, const struct ledger *l)
{
	struct page *p = c->state;
	struct suspect *s = ARENA_NEW(c->arena, struct suspect);
	struct verdict_view *v = ARENA_NEW(c->arena, struct verdict_view);
	struct deployment_view d;
	uint32_t looked = 0;

	for (uint32_t no = ledger_deployments(l); s != NULL && v != NULL && no-- > 0 && looked < SUSPECTS;) {
		struct standing st;

		if (!ledger_deployment(l, no, &d) || d.tenant != API_TENANT || d.deleted ||
		    d.id.len > DEPLOYMENT_ID_MAX)
			continue;
		looked++;
		if (!ledger_standing(l, no, p->k.key_no, &st) || !st.set || st.served_with == 0 ||
		    (p->worst != NULL && st.log_weight + st.log_e <= s->standing.log_weight + s->standing.log_e) ||
		    !ledger_verdict(l, no, v))
			continue;
		*s = (struct suspect){ .no = no,
				       .standing = st,
				       .status = page_status(c->api, v),
				       .halt = v->verdict == VERDICT_HALT,
				       .halt_us = v->halt_us,
				       .served_us = d.first_receipt_us };
		memcpy(s->id, d.id.at, d.id.len);
		p->worst = s;
	}
}

static void
rung_row(struct jsonout *j, const struct ledger *l, const struct page *p, const struct key_view *k)
{
	struct standing st;
	const bool met = p->worst != NULL && ledger_standing(l, p->worst->no, k->key_no, &st) && st.set;

	jsonout_open(j, NULL, '{');
	jsonout_string(j, "rung", signature_rung_name((enum signature_rung)k->rung));
	words_signature_id(j, "id", k->id);
	jsonout_string(j, "key", k->title);
	jsonout_u64(j, "hosts", k->hosts);
	jsonout_bool(j, "tested", met && st.tested);
	if (met) {
		jsonout_u64(j, "exposed", st.served_with);
		jsonout_u64(j, "exposed_of", st.served);
		jsonout_u64(j, "control", st.unserved_with);
		jsonout_u64(j, "control_of", st.unserved);
	}
	if (met && st.tested) {
		jsonout_double(j, "log10_odds", log10_of(st.log_weight + st.log_e), 3);
		jsonout_double(j, "threshold_log10", log10_of(st.log_needed), 3);
		jsonout_string(j, "note", st.muted ? "muted" : "tested");
	} else {
		jsonout_null(j, "log10_odds");
		jsonout_null(j, "threshold_log10");
		jsonout_string(j, "note", met ? "shown, not tested" : "no deployment met it");
	}
	jsonout_close(j, '}');
}

static void
ladder(struct jsonout *j, const struct ledger *l, const struct page *p)
{
	static const enum signature_rung rungs[] = { RUNG_BUILD, RUNG_MODULE };
	struct key_view up;

	jsonout_string(j, "ladder_deployment", p->worst != NULL ? p->worst->id : NULL);
	jsonout_open(j, "ladder", '[');
	rung_row(j, l, p, &p->k);
	for (size_t i = 0; i < 2; i++) {
		struct signature_key key = { .module = p->k.module, .module_id = p->k.module_id };

		if (p->k.module.len > 0 && p->k.rung < rungs[i] &&
		    ledger_key(l, API_TENANT, (uint8_t)rungs[i], signature_hash(&key, rungs[i]), &up))
			rung_row(j, l, p, &up);
	}
	jsonout_close(j, ']');
}

static void
builds(struct jsonout *j, const struct ledger *l, const struct page *p)
{
	struct key_query q = { .tenant = API_TENANT, .sort = KEYS_BY_HOSTS, .module = p->k.module, .rungs = true };
	uint32_t keys[BUILDS_LOOK];
	size_t n = p->k.module.len > 0 ? ledger_keys(l, &q, keys, NULL, BUILDS_LOOK) : 0;
	struct key_view k;

	jsonout_open(j, "builds", '[');
	for (size_t i = 0; i < n; i++) {
		if (!ledger_key_by_number(l, keys[i], &k) || k.rung != RUNG_BUILD)
			continue;
		jsonout_open(j, NULL, '{');
		words_signature_id(j, "id", k.id);
		page_text(j, "module_id", k.module_id);
		jsonout_u64(j, "hosts", k.hosts);
		jsonout_u64(j, "crashes", k.crashes);
		jsonout_time(j, "first_seen", k.first_us);
		jsonout_time(j, "last_seen", k.last_us);
		jsonout_bool(j, "this", text_equal(k.module_id, p->k.module_id));
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
some_hosts(struct jsonout *j, const struct ledger *l, const struct story *s)
{
	struct host_view h;

	jsonout_open(j, "hosts_list", '[');
	for (uint32_t i = 0; i < s->n_hosts; i++) {
		if (!ledger_host_by_number(l, s->host_no[i], &h))
			continue;
		jsonout_open(j, NULL, '{');
		jsonout_host(j, "id", h.hash);
		page_text(j, "site", h.site);
		page_text(j, "os_build", h.os_build);
		jsonout_string(j, "state", host_state_name(h.state));
		jsonout_time(j, "last_seen", h.last_seen_us);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
ask_first(struct call *c, const struct ledger *l)
{
	struct page *p = c->state;

	if (!ledger_signature(l, API_TENANT, p->id, &p->k)) {
		c->refusal = DISCARD_unknown_signature;
		return;
	}
	p->position = ledger_position(l);
	p->now_us = ledger_now_us(l);
	snprintf(p->module, sizeof(p->module), "%.*s", (int)p->k.module.len, p->k.module.at);
	p->story.key_no = p->correlation.key_no = p->k.key_no;
	jsonout_open(&c->out, NULL, '{');
	page_head(c, p->position, p->now_us);
	signature_members(&c->out, c->api, l, &p->k);
	notes_members(&c->out, l, p->id);
	find_suspects(c, l);
	ladder(&c->out, l, p);
	builds(&c->out, l, p);
	p->step = STORY;
}

static void
ask_page(struct call *c, const struct ledger *l)
{
	struct page *p = c->state;
	enum story_state s;

	switch (p->step) {
	case FIRST:
		ask_first(c, l);
		break;
	case STORY:
		s = story_step(&p->story, l, c->arena);
		if (s == STORY_NO_MEMORY)
			c->refusal = DISCARD_too_many_waiters;
		if (s != STORY_DONE)
			break;
		story_finish(&p->story);
		some_hosts(&c->out, l, &p->story);
		p->step = CORRELATION;
		break;
	default:
		p->correlated = correlation_step(&p->correlation, c->api->correlate_fleet, l, c->arena);
		p->step = p->correlated == CORRELATE_MORE ? CORRELATION : DONE;
		break;
	}
}

/* ---- on the API's loop ---- */

static void
series(struct jsonout *j, const char *key, const struct story *s, const uint32_t v[STORY_MINUTES])
{
	jsonout_open(j, key, '{');
	jsonout_time(j, "t0", s->t0_us);
	jsonout_u64(j, "step_s", 60);
	jsonout_bool(j, "open", true);
	jsonout_open(j, "v", '[');
	for (uint32_t i = 0; i < STORY_MINUTES; i++)
		if (i < s->from)
			jsonout_null(j, NULL);
		else
			jsonout_u64(j, NULL, v[i]);
	jsonout_close(j, ']');
	jsonout_close(j, '}');
}

static void
minutes(struct jsonout *j, const struct story *s)
{
	jsonout_open(j, "minutes", '{');
	jsonout_string(j, "source", "live");
	jsonout_time(j, "complete_from", s->t0_us + (int64_t)s->from * 60000000);
	series(j, "hosts", s, s->hosts);
	series(j, "sites", s, s->sites);
	series(j, "crashes", s, s->crashes);
	jsonout_close(j, '}');
}

#define HOURS 24

static void
hour_series(struct jsonout *j, const char *key, const json_t *rows, int64_t first, size_t column, int64_t known_to)
{
	int64_t v[HOURS] = { 0 };
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
	{
		int64_t at = json_integer_value(json_array_get(row, 0)) - first;

		if (at >= 0 && at < HOURS)
			v[at] = json_integer_value(json_array_get(row, column));
	}
	jsonout_open(j, key, '{');
	jsonout_time(j, "t0", first * 3600000000ll);
	jsonout_u64(j, "step_s", 3600);
	jsonout_bool(j, "open", true);
	jsonout_open(j, "v", '[');
	for (int h = 0; h < HOURS; h++)
		if (first + h > known_to)
			jsonout_null(j, NULL);
		else
			jsonout_i64(j, NULL, v[h]);
	jsonout_close(j, ']');
	jsonout_close(j, '}');
}

static void
annotation(struct jsonout *j, int64_t us, const char *kind, const char *deployment)
{
	if (us == 0)
		return;
	jsonout_open(j, NULL, '{');
	jsonout_time(j, "t", us);
	jsonout_string(j, "kind", kind);
	jsonout_string(j, "deployment", deployment);
	jsonout_close(j, '}');
}

static const char *
database_state(const struct call *c, const struct store_query *q)
{
	return c->api->env.store == NULL ? "none" : q->answer == STORE_ABSENT ? "database" : history_state(q);
}

static void
over_time(struct call *c, struct page *p)
{
	const struct store_query *q = &c->history;
	struct jsonout *j = &c->out;
	json_t *rows = q->answer == STORE_FOUND ? json_loads(q->json, 0, NULL) : NULL;
	const int64_t hour = clock_wall_us() / 3600000000ll;

	jsonout_open(j, "over_time", '{');
	minutes(j, &p->story);
	jsonout_open(j, "hours", '{');
	jsonout_string(j, "source", "database");
	jsonout_string(j, "state", database_state(c, q));
	if (rows != NULL || q->answer == STORE_ABSENT) {
		const int64_t known = (clock_wall_us() - (int64_t)(page_database_lag_s(c->api) * 1e6)) / 3600000000ll;

		hour_series(j, "hosts", rows, hour - (HOURS - 1), 3, known);
		hour_series(j, "sites", rows, hour - (HOURS - 1), 4, known);
		hour_series(j, "crashes", rows, hour - (HOURS - 1), 2, known);
	}
	jsonout_close(j, '}');
	jsonout_open(j, "annotations", '[');
	if (p->worst != NULL) {
		annotation(j, p->worst->served_us, "served", p->worst->id);
		annotation(j, p->worst->halt_us, "halt", p->worst->id);
	}
	jsonout_close(j, ']');
	jsonout_close(j, '}');
	json_decref(rows);
}

static void
list(struct jsonout *j, const char *key, const struct story *s, enum story_list which)
{
	jsonout_open(j, key, '{');
	jsonout_u64(j, "total", s->total[which]);
	jsonout_u64(j, "unknown", s->unknown[which]);
	jsonout_open(j, "rows", '[');
	for (uint32_t i = 0; i < s->n_rows[which]; i++) {
		jsonout_open(j, NULL, '{');
		page_text(j, "name", s->rows[which][i].name);
		jsonout_u64(j, "hosts", s->rows[which][i].hosts);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	jsonout_close(j, '}');
}

static void
deployments(struct jsonout *j, const struct page *p)
{
	const struct suspect *s = p->worst;

	jsonout_open(j, "deployments", '[');
	if (s != NULL) {
		const struct standing *st = &s->standing;

		jsonout_open(j, NULL, '{');
		jsonout_string(j, "id", s->id);
		jsonout_string(j, "status", s->status);
		jsonout_u64(j, "served_with", st->served_with);
		jsonout_u64(j, "served", st->served);
		jsonout_u64(j, "unserved_with", st->unserved_with);
		jsonout_u64(j, "unserved", st->unserved);
		jsonout_double(j, "log10_odds", log10_of(st->log_weight + st->log_e), 3);
		jsonout_double(j, "threshold_log10", log10_of(st->log_needed), 3);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static const char *
kind_words(uint8_t kinds)
{
	static const char *const names[] = { "Crash", "Crash of a program", "Crash of a service", "Boot-critical crash",
					     "Kernel crash" };
	unsigned worst = 0;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (kinds & 1u << i)
			worst = i;
	return names[worst];
}

static void
sentence(struct call *c, const struct page *p)
{
	const struct correlation *k = &p->correlation;
	const struct fact *f = p->correlated == CORRELATE_DONE && k->n_facts > 0 && k->facts[0].over ? k->facts : NULL;
	struct telling *t = ARENA_NEW(c->arena, struct telling);

	if (t == NULL) {
		c->out.failed = true;
		return;
	}
	telling_begin(t);
	prose_say(&t->p, "%s in ", kind_words(p->k.kinds));
	prose_name(&t->p, PART_MODULE, p->module[0] != '\0' ? p->module : p->k.title, p->k.id);
	prose_say(&t->p, ", ");
	prose_count(&t->p, p->k.hosts);
	prose_say(&t->p, p->k.hosts == 1 ? " host" : " hosts");
	if (p->k.sites > 0) {
		prose_say(&t->p, " at ");
		prose_count(&t->p, p->k.sites);
		prose_say(&t->p, p->k.sites == 1 ? " site" : " sites");
	}
	prose_say(&t->p, " in ");
	telling_span(t, p->k.last_us > p->k.first_us ? (uint64_t)(p->k.last_us - p->k.first_us) / 1000000 : 0);
	prose_say(&t->p, ", never seen before ");
	prose_time(&t->p, p->k.first_us, p->now_us);
	if (f != NULL) {
		prose_say(&t->p, f->hosts == k->hosts ? "; all " : "; ");
		prose_count(&t->p, f->hosts);
		if (f->hosts != k->hosts) {
			prose_say(&t->p, " of ");
			prose_count(&t->p, k->hosts);
		}
		prose_say(&t->p, " have %s ", fact_kind_name((enum fact_kind)f->kind));
		telling_text(t, f->name, 120);
	}
	prose_say(&t->p, ".");
	telling_put(&c->out, t);
}

/* NAME=URL, a blank between two; what is in braces is filled in, percent-encoded. */
static void
fill(struct text what, char *out, size_t size, size_t *n)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < what.len && *n + 4 < size; i++) {
		const unsigned char b = (unsigned char)what.at[i];

		if ((b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') ||
		    strchr("-._~", b) != NULL)
			out[(*n)++] = (char)b;
		else {
			out[(*n)++] = '%';
			out[(*n)++] = hex[b >> 4];
			out[(*n)++] = hex[b & 15];
		}
	}
}

static void
issue_url(const struct call *c, const struct page *p, struct text template, char *out, size_t size)
{
	const char *base = c->api->env.settings(c->api->env.arg)->public_url;
	char id[SIGNATURE_ID_LEN], url[512], hosts[16];
	size_t n = 0;

	signature_id_text(p->k.id, id);
	snprintf(url, sizeof(url), "%.400s/signatures/%s", base, id);
	snprintf(hosts, sizeof(hosts), "%u", p->k.hosts);
	const struct {
		struct text name;
		const char *value;
	} known[] = { { TEXT("{id}"), id },
		      { TEXT("{title}"), p->k.title },
		      { TEXT("{module}"), p->module },
		      { TEXT("{hosts}"), hosts },
		      { TEXT("{url}"), url } };

	for (size_t i = 0; i < template.len && n + 4 < size;) {
		size_t k = 0;

		while (k < 5 && (template.len - i < known[k].name.len ||
				 memcmp(template.at + i, known[k].name.at, known[k].name.len) != 0))
			k++;
		if (k < 5) {
			fill(text_of(known[k].value), out, size, &n);
			i += known[k].name.len;
		} else
			out[n++] = template.at[i++];
	}
	out[n] = '\0';
}

static void
issue_links(struct call *c, const struct page *p)
{
	const char *s = c->api->env.settings(c->api->env.arg)->issue_links;
	struct jsonout *j = &c->out;
	char url[4096];

	jsonout_open(j, "issue_links", '[');
	while (*(s += strspn(s, " \t")) != '\0') {
		const size_t len = strcspn(s, " \t"), name = strcspn(s, "=");

		if (name < len &&
		    (strncmp(s + name + 1, "https://", 8) == 0 || strncmp(s + name + 1, "http://", 7) == 0)) {
			issue_url(c, p, (struct text){ s + name + 1, len - name - 1 }, url, sizeof(url));
			jsonout_open(j, NULL, '{');
			jsonout_text(j, "name", (struct text){ s, name });
			jsonout_string(j, "url", url);
			jsonout_close(j, '}');
		}
		s += len;
	}
	jsonout_close(j, ']');
}

/* The last step: what the database knows of hours is there. */
static void
told_hours(struct call *c)
{
	struct page *p = c->state;
	struct jsonout *j = &c->out;

	over_time(c, p);
	list(j, "site_list", &p->story, STORY_SITES);
	list(j, "os_builds", &p->story, STORY_OS_BUILDS);
	list(j, "products", &p->story, STORY_PRODUCTS);
	list(j, "hw_classes", &p->story, STORY_HW_CLASSES);
	deployments(j, p);
	issue_links(c, p);
	jsonout_close(j, '}');
	page_send(c, p->position);
}

static void
told_samples(struct call *c)
{
	struct page *p = c->state;

	signature_samples(c, database_state(c, &c->history), p->k.first_pos, p->k.last_pos);
	if (c->asked_history)
		store_query_fini(&c->history);
	c->asked_history = false;
	c->history = (struct store_query){ .what = STORE_SIGNATURE_HOURS, .key = p->id, .limit = 1 };
	call_history(c, told_hours);
}

static void
then(struct call *c)
{
	struct page *p = c->state;
	struct jsonout *j = &c->out;

	if (c->refusal != DISCARD_none) {
		call_send(c);
		return;
	}
	if (p->step != DONE) {
		call_ask(c, ask_page, then);
		return;
	}
	if (p->correlated == CORRELATE_DONE)
		correlation_rank(&p->correlation);
	sentence(c, p);
	jsonout_open(j, "correlations", '{');
	jsonout_string(j, "state", p->correlated == CORRELATE_DONE ? "ok" : "no_memory");
	if (p->correlated == CORRELATE_DONE)
		correlation_members(j, &p->correlation, p->k.title, FACTS_SHOWN);
	jsonout_close(j, '}');
	c->history.what = STORE_SIGNATURE_PAGE;
	c->history.key = p->id;
	c->history.limit = 1;
	call_history(c, told_samples);
}

void
signature_page(struct call *c, uint64_t id)
{
	struct page *p = ARENA_NEW(c->arena, struct page);

	if (c->api->correlate_fleet == NULL)
		c->api->correlate_fleet = correlate_fleet_new();
	if (p == NULL || c->api->correlate_fleet == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	c->state = p;
	p->id = id;
	call_ask(c, ask_page, then);
}
