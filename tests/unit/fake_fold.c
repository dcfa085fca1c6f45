/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "collector/ledger/correlate.h"
#include "collector/ledger/seek.h"
#include "collector/ledger/story.h"
#include "tests/unit/fake_fold.h"

/* The API only ever passes the ledger on: here it is the fold itself. */
static const struct fold *
fold_of(const struct ledger *l)
{
	return (const void *)l;
}

struct fold *
fake_fold_new(void)
{
	struct fold *f = calloc(1, sizeof(*f));

	f->caught_up = true;
	f->position = 0x1000000;
	f->now_us = clock_wall_us();
	f->first_event = f->next_event = 1000;
	return f;
}

void
fake_fold_free(struct fold *f)
{
	free(f);
}

void
fake_fold_verdict(struct fold *f, enum verdict v, enum verdict_state s, const char *reason)
{
	f->verdict.verdict = v;
	f->verdict.state = s;
	f->verdict.version++;
	f->verdict.since_pos = f->position;
	f->verdict.since_us = f->now_us;
	f->verdict.fresh_pos = f->position;
	f->verdict.fresh_us = f->now_us;
	f->position += 0x10000;
	snprintf(f->verdict.reason, sizeof(f->verdict.reason), "%s", reason);
}

void
fake_fold_event(struct fold *f, enum fold_event_kind kind, const char *text)
{
	struct fold_event *e = &f->events[f->next_event % 2048];

	memset(e, 0, sizeof(*e));
	e->id = f->next_event++;
	e->kind = kind;
	e->pos = f->position;
	e->signature = 0xabc;
	e->verdict = f->verdict.verdict;
	e->state = f->verdict.state;
	snprintf(e->deployment, sizeof(e->deployment), "%s", f->id);
	snprintf(e->text, sizeof(e->text), "%s", text);
}

/* ---- collector/fold/fold.h ---- */

uint64_t
fold_position(const struct fold *f)
{
	return f->position;
}
bool
fold_caught_up(const struct fold *f)
{
	return f->caught_up;
}
const char *
fold_failed(const struct fold *f)
{
	return f->failed;
}

const struct fold_view *
fold_view_get(struct fold *f)
{
	struct fold_view *v = calloc(1, sizeof(*v));

	f->views++;
	v->position = f->position;
	v->now_us = f->now_us;
	v->stats.hosts = 7;
	v->stats.signatures = f->n_keys;
	for (uint32_t i = 0; i < f->n_keys && i < VIEW_TOP; i++) {
		v->newest[i].id = i + 1;
		v->newest[i].hosts = i + 1;
		snprintf(v->newest[i].title, sizeof(v->newest[i].title), "<b>m%u.so</b>+0x1", i);
		v->by_hosts[i] = v->by_trend[i] = v->newest[i];
	}
	v->n_newest = v->n_by_hosts = v->n_by_trend = f->n_keys < VIEW_TOP ? f->n_keys : VIEW_TOP;
	v->deployments = calloc(1, sizeof(*v->deployments));
	if (f->id[0] != '\0') {
		v->n_deployments = 1;
		memcpy(v->deployments[0].id, f->id, sizeof(f->id));
		v->deployments[0].open = f->open;
		v->deployments[0].verdict = f->verdict;
	}
	return v;
}

void
fold_view_put(struct fold *f, const struct fold_view *v)
{
	struct fold_view *mine;

	f->views--;
	memcpy(&mine, &v, sizeof(mine));
	free(mine->deployments);
	free(mine);
}

const struct view_deployment *
fold_view_deployment(const struct fold_view *v, uint16_t tenant, struct text id)
{
	return v->n_deployments == 1 && tenant == 0 && text_equal(text_of(v->deployments[0].id), id) ? v->deployments
												     : NULL;
}

bool
fold_ask(struct fold *f, struct fold_query *q)
{
	if (f->queue_full)
		return false;
	f->asked++;
	q->ask(q, (const void *)f);
	mailbox_post(q->reply, &q->mail);
	return true;
}

size_t
fold_events_since(struct fold *f, uint64_t after, struct fold_event *out, size_t cap, bool *missed_out,
		  uint64_t *last_out)
{
	size_t n = 0;

	*last_out = f->next_event - 1;
	*missed_out = false;
	if (after == UINT64_MAX)
		return 0;
	*missed_out = after + 1 < f->first_event;
	for (uint64_t id = *missed_out ? f->first_event : after + 1; id < f->next_event && n < cap; id++)
		out[n++] = f->events[id % 2048];
	return n;
}

/* ---- collector/ledger/ledger.h ---- */

uint64_t
ledger_position(const struct ledger *l)
{
	return fold_of(l)->position;
}
int64_t
ledger_now_us(const struct ledger *l)
{
	return fold_of(l)->now_us;
}
uint32_t
ledger_deployments(const struct ledger *l)
{
	return fold_of(l)->id[0] != '\0';
}

bool
ledger_deployment_find(const struct ledger *l, uint16_t tenant, struct text id, uint32_t *no_out)
{
	*no_out = 0;
	return tenant == 0 && fold_of(l)->id[0] != '\0' && text_equal(text_of(fold_of(l)->id), id);
}

bool
ledger_deployment(const struct ledger *l, uint32_t no, struct deployment_view *out)
{
	const struct fold *f = fold_of(l);

	memset(out, 0, sizeof(*out));
	out->id = text_of(f->id);
	out->open = f->open;
	out->salt = 0x77;
	out->begin_us = f->now_us;
	out->rings[0].name = TEXT("canary");
	out->rings[0].size = 10;
	out->n_rings = 1;
	out->packed = (struct text){ (const char *)f->packed, f->packed_len };
	return no == 0;
}

bool
ledger_verdict(const struct ledger *l, uint32_t no, struct verdict_view *out)
{
	*out = fold_of(l)->verdict;
	return no == 0;
}

size_t
ledger_decisions(const struct ledger *l, uint16_t tenant, uint32_t deployment, struct decision_view *out, size_t cap)
{
	(void)tenant, (void)deployment;
	if (!fold_of(l)->has_decision || cap == 0)
		return 0;
	out[0] = fold_of(l)->decision;
	return 1;
}

bool
ledger_acknowledged(const struct ledger *l, uint32_t deployment, struct decision_view *out)
{
	(void)deployment;
	*out = fold_of(l)->decision;
	return fold_of(l)->has_decision && out->action == 9;
}

void
ledger_harm(const struct ledger *l, uint32_t deployment, struct harm_view *out)
{
	(void)l, (void)deployment;
	*out = (struct harm_view){ .harmed = 5, .looping = 2, .dark = 1, .churn = 0.001 };
}

size_t
ledger_co_suspects(const struct ledger *l, uint32_t deployment, struct co_view *out, size_t cap)
{
	(void)l, (void)deployment, (void)out, (void)cap;
	return 0;
}

struct text
ledger_site(const struct ledger *l, uint16_t site)
{
	(void)l, (void)site;
	return TEXT("<b>berlin</b>");
}

int32_t
ledger_served_minute(const struct ledger *l, uint32_t deployment, uint32_t host_no)
{
	(void)l;
	return deployment == 0 && host_no == 3 ? 5 : -1;
}

bool
ledger_host(const struct ledger *l, uint16_t tenant, uint64_t hash, struct host_view *out)
{
	const struct fold *f = fold_of(l);

	if (!f->has_host || hash != f->host_hash)
		return false;
	*out = (struct host_view){ .host_no = 3,
				   .tenant = tenant,
				   .hash = hash,
				   .last_seen_us = f->now_us - 5000000,
				   .boots = 2,
				   .interval_s = 60,
				   .limit_s = 240,
				   .missed = 2,
				   .grace_s = 120,
				   .deadline_us = f->now_us + 235000000,
				   .site = TEXT("berlin") };
	return true;
}

bool
ledger_host_by_number(const struct ledger *l, uint32_t no, struct host_view *out)
{
	return ledger_host(l, 0, fold_of(l)->host_hash, out) && no == 3;
}

const char *
host_state_name(enum host_state s)
{
	static const char *const names[HOST_STATES] = {
		"active", "dark", "boot-looping", "goodbye", "quiet", "unheard"
	};

	return s < HOST_STATES ? names[s] : "unheard";
}

/* Host 3 is active; a deployment, if asked for, served it. */
size_t
ledger_hosts_in(const struct ledger *l, uint16_t tenant, enum host_state state, uint32_t deployment, uint32_t from,
		uint32_t look, uint32_t *out, size_t cap, uint32_t *next_out)
{
	(void)deployment;
	(void)look;
	*next_out = UINT32_MAX;
	if (!fold_of(l)->has_host || tenant != 0 || state != HOST_IS_ALIVE || from > 3 || cap == 0)
		return 0;
	out[0] = 3;
	return 1;
}

void
ledger_silence(const struct ledger *l, struct silence_view *out)
{
	(void)l;
	*out = (struct silence_view){ .alive = 9, .dark = 2, .looping = 1 };
}

bool
ledger_churn(const struct ledger *l, uint32_t stratum, struct churn_view *out)
{
	(void)l;
	*out = (struct churn_view){ .product = TEXT("agent"), .alive = 9, .silences = 1, .host_hours = 100 };
	return stratum == 0;
}

bool
ledger_key_by_number(const struct ledger *l, uint32_t key_no, struct key_view *out)
{
	memset(out, 0, sizeof(*out));
	out->key_no = key_no;
	out->id = key_no;
	out->hosts = key_no;
	out->kinds = 1u << 4;
	out->offset = 0xe14ed;
	out->first_us = fold_of(l)->now_us;
	out->module = TEXT("csagent.sys");
	out->module_id = TEXT("abc");
	snprintf(out->title, sizeof(out->title), "csagent.sys+0x%x", key_no);
	return key_no >= 1 && key_no <= fold_of(l)->n_keys;
}

bool
ledger_key(const struct ledger *l, uint16_t tenant, uint8_t rung, uint64_t id, struct key_view *out)
{
	(void)tenant;
	(void)rung;
	(void)id;
	return ledger_key_by_number(l, 1, out);
}

bool
ledger_signature(const struct ledger *l, uint16_t tenant, uint64_t id, struct key_view *out)
{
	return tenant == 0 && id <= UINT32_MAX && ledger_key_by_number(l, (uint32_t)id, out);
}

/* All keys; a value is the number. */
enum seek_state
seek_step(struct seek *s, const struct ledger *l, struct arena *a)
{
	s->rows = arena_calloc(a, fold_of(l)->n_keys + 1, sizeof(*s->rows));
	for (uint32_t no = 1; no <= fold_of(l)->n_keys; no++) {
		struct key_view k;

		ledger_key_by_number(l, no, &k);
		s->rows[s->n++] = (struct seek_row){ no, k.id, no };
	}
	return SEEK_DONE;
}

uint32_t
seek_under(const struct seek *s, uint32_t key_no)
{
	(void)s;
	(void)key_no;
	return 0;
}

enum seek_state
seek_ranks_step(struct seek_ranks *r, const struct seek *s, const struct ledger *l, struct arena *a)
{
	(void)s;
	(void)l;
	(void)a;
	for (size_t i = 0; i < r->n; i++)
		r->marks[i] = (struct seek_mark){ .rank = (uint32_t)i + 1 };
	return SEEK_DONE;
}

const char *
seek_facet_name(enum seek_facet f)
{
	(void)f;
	return "kind";
}

size_t
seek_facet(const struct seek *s, const struct ledger *l, enum seek_facet f, struct seek_count out[SEEK_FACET])
{
	(void)s;
	(void)l;
	(void)f;
	(void)out;
	return 0;
}

bool
ledger_report(const struct ledger *l, uint64_t pos, struct report_view *out)
{
	(void)pos;
	*out = fold_of(l)->report;
	return fold_of(l)->has_report;
}

size_t
ledger_safeguards(const struct ledger *l, uint32_t deployment, uint32_t from, struct safeguard_view *out, size_t cap)
{
	(void)l;
	(void)deployment;
	(void)from;
	(void)out;
	(void)cap;
	return 0;
}

void
ledger_safeguard_lookup(const struct ledger *l, uint32_t deployment, struct safeguard_lookup *out)
{
	(void)l;
	*out = (struct safeguard_lookup){ .deployment = deployment };
}

bool
ledger_safeguarded(const struct ledger *l, const struct safeguard_lookup *look, uint64_t hash,
		   struct safeguard_view *out)
{
	(void)l;
	(void)look;
	(void)hash;
	(void)out;
	return false;
}

const char *
ledger_refuses_safeguard(const struct ledger *l, uint16_t tenant, const void *packed, size_t len)
{
	(void)tenant;
	(void)packed;
	(void)len;
	return fold_of(l)->refuse;
}

/* Every host is in the first of the rings, the only one of ten. */
bool
ledger_offer(const struct ledger *l, uint32_t deployment, uint64_t hash, struct offer_view *out)
{
	(void)l;
	(void)deployment;
	(void)hash;
	*out = (struct offer_view){ .known = true, .eligible = true, .ring = UINT32_MAX, .first = UINT64_MAX };
	return true;
}

const char *
ledger_refuses_decision(const struct ledger *l, uint16_t tenant, struct text id, uint32_t action, bool forced,
			struct text reason)
{
	uint32_t no;

	(void)action;
	(void)reason;
	if (!ledger_deployment_find(l, tenant, id, &no))
		return "not_found";
	return forced ? NULL : fold_of(l)->refuse;
}

const char *
ledger_refuses_deployment(const struct ledger *l, uint16_t tenant, const void *packed, size_t len)
{
	(void)tenant;
	(void)packed;
	(void)len;
	return fold_of(l)->refuse;
}

/* ---- collector/ledger/verdict.h ---- */

const char *
verdict_name(enum verdict v)
{
	static const char *const names[] = { "hold", "proceed", "halt" };

	return names[v];
}

const char *
verdict_state_name(enum verdict_state s)
{
	static const char *const names[STATE_N] = {
		"nothing_served", "too_few_resolved", "too_few_controls", "clean",  "would_halt",
		"paused",         "halted",           "halted_by_person", "closed", "deleted",
	};

	return names[s];
}

size_t
ledger_alarms(const struct ledger *l, uint16_t tenant, struct alarm *out, size_t cap)
{
	(void)l, (void)tenant, (void)out, (void)cap;
	return 0;
}

void
ledger_learned(const struct ledger *l, uint16_t tenant, struct fleet_learned *out)
{
	(void)l, (void)tenant;
	*out = (struct fleet_learned){ .kappa = 4 };
}

const char *
alarm_kind_name(enum alarm_kind k)
{
	(void)k;
	return "brake";
}

/* ---- standings: nothing is known of any key ---- */

bool
ledger_standing(const struct ledger *l, uint32_t deployment, uint32_t key_no, struct standing *out)
{
	(void)l, (void)deployment, (void)key_no;
	memset(out, 0, sizeof(*out));
	return false;
}

bool
ledger_standing_special(const struct ledger *l, uint32_t deployment, unsigned which, struct standing *out)
{
	(void)l, (void)deployment, (void)which;
	memset(out, 0, sizeof(*out));
	return false;
}

size_t
ledger_standings(const struct ledger *l, uint32_t deployment, uint32_t *keys_out, size_t cap)
{
	(void)l, (void)deployment, (void)keys_out, (void)cap;
	return 0;
}

size_t
ledger_votes(const struct ledger *l, uint32_t deployment, uint32_t key_no, uint64_t from, struct vote *out, size_t cap,
	     uint64_t *total_out, uint64_t *kept_out)
{
	(void)l, (void)deployment, (void)key_no, (void)from, (void)out, (void)cap;
	if (total_out != NULL)
		*total_out = 0;
	if (kept_out != NULL)
		*kept_out = 0;
	return 0;
}

size_t
ledger_timeline(const struct ledger *l, uint32_t deployment, uint32_t from_minute, struct timeline_minute *out,
		size_t cap)
{
	(void)l, (void)deployment, (void)from_minute, (void)out, (void)cap;
	return 0;
}

bool
ledger_stratum(const struct ledger *l, uint32_t deployment, uint16_t stratum, struct stratum_view *out)
{
	(void)l, (void)deployment, (void)stratum;
	memset(out, 0, sizeof(*out));
	return false;
}

/* ---- correlations: there is nothing to compare ---- */

struct correlate_fleet *
correlate_fleet_new(void)
{
	return calloc(1, 1);
}

void
correlate_fleet_free(struct correlate_fleet *f)
{
	free(f);
}

enum correlate_state
correlation_step(struct correlation *c, struct correlate_fleet *f, const struct ledger *l, struct arena *a)
{
	(void)c, (void)f, (void)l, (void)a;
	return CORRELATE_DONE;
}

void
correlation_rank(struct correlation *c)
{
	(void)c;
}

const char *
fact_kind_name(enum fact_kind k)
{
	(void)k;
	return "content";
}

/* ---- notes and stories: nobody said anything, nothing happened ---- */

size_t
ledger_notes(const struct ledger *l, uint16_t tenant, uint64_t signature, struct note_view out[NOTES_KEPT])
{
	(void)l, (void)tenant, (void)signature, (void)out;
	return 0;
}

bool
ledger_advice(const struct ledger *l, uint16_t tenant, uint64_t signature, struct note_view *out, uint64_t *from_out)
{
	(void)l, (void)tenant, (void)signature, (void)out, (void)from_out;
	return false;
}

bool
ledger_merge(const struct ledger *l, uint16_t tenant, uint64_t signature, struct note_view *out)
{
	(void)l, (void)tenant, (void)signature, (void)out;
	return false;
}

size_t
ledger_merged(const struct ledger *l, uint16_t tenant, uint64_t into, uint64_t *out, size_t cap)
{
	(void)l, (void)tenant, (void)into, (void)out, (void)cap;
	return 0;
}

const char *
ledger_refuses_note(const struct ledger *l, uint16_t tenant, const void *packed, size_t len)
{
	(void)l, (void)tenant, (void)packed, (void)len;
	return "unknown_signature";
}

const char *
note_action_name(enum note_action a)
{
	(void)a;
	return "none";
}

enum story_state
story_step(struct story *s, const struct ledger *l, struct arena *a)
{
	(void)s, (void)l, (void)a;
	return STORY_NO_MEMORY;
}

void
story_finish(struct story *s)
{
	(void)s;
}

size_t
ledger_keys(const struct ledger *l, const struct key_query *q, uint32_t *out, uint64_t *values_out, size_t cap)
{
	(void)l, (void)q, (void)out, (void)values_out, (void)cap;
	return 0;
}
