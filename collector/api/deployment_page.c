/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/deployments/{id}?view=page: all that its page shows in one answer; ?view=votes: more of the votes. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/signature.h"
#include "collector/api/banner.h"
#include "collector/api/deployment_page.h"
#include "collector/api/evidence.h"
#include "collector/api/page.h"
#include "collector/api/sheet.h"
#include "collector/api/words.h"
#include "collector/ledger/numeric.h"
#include "collector/ledger/proceed.h"

#define MINUTES_MAX 1440u
#define CO_MAX      8u
#define DECISIONS   64u
#define MINUTE_US   60000000ll

/* ---- rings and time ---- */

/* When the place after so many hosts was served; 0: not yet.  To the minute. */
static int64_t
when_served(const struct sheet *x, uint64_t places)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < x->n_minutes; i++) {
		sum += x->minutes[i].served;
		if (sum > places)
			return x->d.begin_us + x->minutes[i].minute * MINUTE_US;
	}
	return 0;
}

/* A hazard that the hosts up to the end of a ring exclude: all are resolved, and none is bad. */
static double
certified(const struct sheet *x, uint64_t upto)
{
	if (x->v.resolved < upto || x->v.bad > 0 || x->v.lost > 0 || x->v.verdict == VERDICT_HALT || upto == 0)
		return 1;
	return proceed_hazard((double)upto, 0, 0, x->v.assumed.beta);
}

static void
say_ring(const struct sheet *x, uint32_t i, const char *state, double hazard, char *out, size_t size)
{
	const struct view_ring *r = &x->rings[i];
	char served[PROSE_COUNT_SIZE], of[PROSE_COUNT_SIZE], rate[64];
	struct prose p;
	uint32_t n = 0;

	prose_begin(&p, rate, sizeof(rate), NULL, 0, &n);
	prose_rate(&p, hazard);
	prose_count_text(r->served, served);
	prose_count_text(r->size, of);
	if (strcmp(state, "not_started") == 0)
		snprintf(out, size, "not started");
	else if (strncmp(state, "halt", 4) == 0)
		snprintf(out, size, r->rest ? "stopped at %s" : "stopped at %s of %s", served, of);
	else if (hazard < 1)
		snprintf(out, size, "clean: hazard < %s", rate);
	else if (!r->rest && r->served < r->size)
		snprintf(out, size, "%s of %s served", served, of);
	else
		snprintf(out, size, "%s served", served);
}

static void
rings(const struct sheet *x)
{
	struct jsonout *j = x->j;
	uint64_t before = 0;
	char text[160];

	jsonout_open(j, "rings", '[');
	for (uint32_t i = 0; i < x->d.n_rings; i++) {
		const struct view_ring *r = &x->rings[i];
		const char *state = words_ring(x->rings, x->d.n_rings, i, x->status);
		const bool whole = !r->rest && r->served == r->size;
		const double hazard = whole ? certified(x, before + r->served) : 1;

		say_ring(x, i, state, hazard, text, sizeof(text));
		jsonout_open(j, NULL, '{');
		jsonout_u64(j, "n", i + 1);
		jsonout_text(j, "name", x->d.rings[i].name);
		if (r->rest)
			jsonout_null(j, "size");
		else
			jsonout_u64(j, "size", r->size);
		jsonout_u64(j, "served", r->served);
		jsonout_string(j, "state", state);
		jsonout_time(j, "started", r->served > 0 ? when_served(x, before) : 0);
		if (hazard < 1)
			jsonout_real(j, "certified_hazard", hazard);
		else
			jsonout_null(j, "certified_hazard");
		jsonout_string(j, "text", text);
		jsonout_close(j, '}');
		before += r->served;
	}
	jsonout_close(j, ']');
}

static void
minute_values(const struct sheet *x, const char *key, uint32_t from, uint32_t to, size_t member)
{
	size_t at = 0;

	jsonout_open(x->j, key, '[');
	for (uint32_t m = from; m <= to; m++) {
		while (at < x->n_minutes && x->minutes[at].minute < m)
			at++;
		if (at < x->n_minutes && x->minutes[at].minute == m)
			jsonout_u64(x->j, NULL, *(const uint32_t *)((const char *)&x->minutes[at] + member));
		else
			jsonout_u64(x->j, NULL, 0);
	}
	jsonout_close(x->j, ']');
}

static void
per_minute(const struct sheet *x)
{
	const int64_t now_us = ledger_now_us(x->l);
	uint32_t to = now_us > x->d.begin_us ? (uint32_t)((now_us - x->d.begin_us) / MINUTE_US) : 0, from = 0;

	if (x->n_minutes > 0)
		from = x->minutes[0].minute;
	if (!x->d.open && x->n_minutes > 0)
		to = x->minutes[x->n_minutes - 1].minute;
	if (to >= MINUTES_MAX && to - MINUTES_MAX + 1 > from)
		from = to - MINUTES_MAX + 1;
	jsonout_open(x->j, "per_minute", '{');
	jsonout_time(x->j, "t0", x->d.begin_us + from * MINUTE_US);
	jsonout_u64(x->j, "step_s", 60);
	jsonout_bool(x->j, "open", x->d.open);
	minute_values(x, "served", from, to, offsetof(struct timeline_minute, served));
	minute_values(x, "crashed", from, to, offsetof(struct timeline_minute, exposed));
	minute_values(x, "dark", from, to, offsetof(struct timeline_minute, dark));
	jsonout_close(x->j, '}');
}

/* ---- harm ---- */

/* Hosts served by then, to the minute. */
static uint64_t
served_until(const struct sheet *x, int64_t at_us)
{
	uint64_t n = 0;

	for (size_t i = 0; i < x->n_minutes; i++)
		if (x->d.begin_us + x->minutes[i].minute * MINUTE_US <= at_us)
			n += x->minutes[i].served;
	return n;
}

/* How many hosts that were served when these were fall silent by themselves. */
static double
usual_silence(const struct sheet *x)
{
	const int64_t now_us = ledger_now_us(x->l);
	double hours = 0;

	for (size_t i = 0; i < x->n_minutes; i++)
		hours += (double)x->minutes[i].served *
			 (double)(now_us - x->d.begin_us - x->minutes[i].minute * MINUTE_US) / 3.6e9;
	return hours > 0 ? hours * x->harm.churn : 0;
}

static uint32_t
harmed_of(const struct verdict_view *v)
{
	return v->harmed > 0 ? v->harmed : v->bad;
}

/* What serving everybody would cost, at the share of the exposed that was harmed. */
static double
projected(const struct sheet *x)
{
	return x->v.served > 0 ? (double)harmed_of(&x->v) / x->v.served * x->v.unserved : 0;
}

static void
blast(const struct sheet *x)
{
	const struct verdict_view *v = &x->v;
	const int64_t stop_us = v->halt_us, last_us = x->d.last_receipt_us;
	const bool after = stop_us != 0 && last_us > stop_us;
	uint64_t before = after ? served_until(x, stop_us) : v->served;
	struct jsonout *j = x->j;

	before = before < v->served ? before : v->served;
	jsonout_open(j, "blast", '{');
	jsonout_u64(j, "exposed", v->served);
	jsonout_u64(j, "harmed", harmed_of(v));
	jsonout_u64(j, "harmed_back", v->harmed_back);
	jsonout_u64(j, "boot_loop", x->harm.looping);
	jsonout_u64(j, "silent", v->silent);
	jsonout_double(j, "silent_usual", usual_silence(x), 2);
	jsonout_double(j, "projected_if_resumed", projected(x), 0);
	jsonout_u64(j, "never_served", v->unserved);
	jsonout_u64(j, "served_before_stop", before);
	jsonout_u64(j, "served_after_stop", stop_us != 0 ? v->served - before : 0);
	jsonout_time(j, "last_served", last_us);
	if (after)
		jsonout_u64(j, "last_served_after_s", (uint64_t)((last_us - stop_us) / 1000000));
	else
		jsonout_null(j, "last_served_after_s");
	jsonout_bool(j, "none_since", stop_us != 0);
	jsonout_u64(j, "next_ring_max",
		    strcmp(x->status, "proceed") == 0 && v->verdict == VERDICT_PROCEED ? v->next_ring_max : 0);
	jsonout_close(j, '}');
}

/* ---- doubts ---- */

__attribute__((format(printf, 4, 5))) static void
doubt(struct jsonout *j, const char *kind, const char *state, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "kind", kind);
	jsonout_string(j, "state", state);
	jsonout_string(j, "text", text);
	jsonout_close(j, '}');
}

static void
key_doubts(struct jsonout *j, const struct standing *s)
{
	char n[PROSE_COUNT_SIZE], of[PROSE_COUNT_SIZE];

	if (!s->set)
		return;
	prose_count_text(s->unserved_with, n);
	prose_count_text(s->unserved, of);
	if (s->unserved_with > 0)
		doubt(j, "control_same_key", s->ratio_low > 1 ? "fine" : "concern",
		      "%s of %s hosts that were not served have it too; each further one lowers the odds.", n, of);
	else
		doubt(j, "control_same_key", s->unserved > 0 ? "fine" : "concern",
		      s->unserved > 0
			      ? "The same on hosts that were not served would speak against it: none of %s has it."
			      : "No host is left that was not served (%s): there is nothing to compare with.",
		      of);
	if (s->served_sites < 3 && s->served_with > 0)
		doubt(j, "one_site", "concern", "All of it comes from %u %s: something there may be the cause.",
		      s->served_sites, s->served_sites == 1 ? "site" : "sites");
	else if (s->served_with > 0)
		doubt(j, "one_site", "fine", "It comes from %u sites.", s->served_sites);
}

static void
co_doubt(const struct sheet *x, const struct co_view *co)
{
	struct deployment_view d;
	const char *state = co->paused && co->separation < 2 * LN10 && co->separation > -2 * LN10 ? "concern" : "fine";

	if (!ledger_deployment(x->l, co->deployment, &d))
		return;
	if (co->separation != 0)
		doubt(x->j, "concurrent", state,
		      "%.*s reached %u of the harmed hosts too; hosts that only one of them reached give odds of 1 to "
		      "10^%.1f for the halted one.",
		      (int)d.id.len, d.id.at, co->shared, co->separation / LN10);
	else
		doubt(x->j, "concurrent", state, "%.*s reached %u of the harmed hosts too.", (int)d.id.len, d.id.at,
		      co->shared);
}

static void
co_suspects(const struct sheet *x, const struct co_view *co, size_t n)
{
	struct jsonout *j = x->j;
	struct deployment_view d;

	jsonout_open(j, "co_suspects", '[');
	for (size_t i = 0; i < n; i++) {
		if (!ledger_deployment(x->l, co[i].deployment, &d))
			continue;
		jsonout_open(j, NULL, '{');
		jsonout_text(j, "id", d.id);
		jsonout_double(j, "log10_odds", co[i].log_odds / LN10, 2);
		sheet_real(j, "separation_log10", co[i].separation / LN10, co[i].separation != 0, 2);
		jsonout_u64(j, "shared_hosts", co[i].shared);
		jsonout_bool(j, "paused", co[i].paused);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
doubts(const struct sheet *x)
{
	const struct verdict_view *v = &x->v;
	struct co_view co[CO_MAX];
	size_t n = ledger_co_suspects(x->l, x->no, co, CO_MAX);

	jsonout_open(x->j, "doubts", '[');
	key_doubts(x->j, &x->key);
	for (size_t i = 0; i < n; i++)
		co_doubt(x, &co[i]);
	if (v->assumed.randomised)
		doubt(x->j, "randomised", "fine", "Hosts were chosen by a hash with the deployment's own salt.");
	else
		doubt(x->j, "randomised", "note",
		      "Hosts were not chosen at random: up to %.3g times as many crashes among the served are put down "
		      "to that.",
		      v->assumed.rho);
	if (v->state == STATE_HALTED_HEURISTIC || v->state == STATE_UNCERTIFIED)
		doubt(x->j, "uncertified", "concern", "Uncertified: nothing bounds how often this verdict is wrong.");
	if (v->cannot_certify && v->verdict != VERDICT_HALT)
		doubt(x->j, "cannot_certify", "concern",
		      "A halt can no longer be proved: votes still possible %u, and more are needed.",
		      v->votes_possible);
	if (strcmp(v->receipts, "plan") == 0)
		doubt(x->j, "receipts", "note",
		      "Who was served is known from the plan only: the comparison is diluted.");
	jsonout_close(x->j, ']');
	co_suspects(x, co, n);
}

/* ---- what is missing ---- */

static void
missing(struct jsonout *j, const char *kind, uint64_t have, uint64_t need, const char *what)
{
	char n[PROSE_COUNT_SIZE], text[160];

	prose_count_text(need > have ? need - have : 0, n);
	snprintf(text, sizeof(text), "%s more %s", n, what);
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "kind", kind);
	jsonout_u64(j, "have", have);
	jsonout_u64(j, "need", need);
	jsonout_string(j, "text", text);
	jsonout_close(j, '}');
}

static void
missing_time(struct jsonout *j, const char *kind, int64_t until_us, const char *what)
{
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "kind", kind);
	jsonout_time(j, "until", until_us);
	jsonout_string(j, "text", what);
	jsonout_close(j, '}');
}

static void
needed(const struct sheet *x)
{
	const struct verdict_view *v = &x->v;
	const int64_t bake_us = x->d.last_receipt_us + (int64_t)x->d.bake_ms * 1000;

	jsonout_open(x->j, "needed", '[');
	if (v->state == STATE_NOTHING_SERVED)
		missing(x->j, "served", 0, 1, "host served");
	if (v->state == STATE_TOO_FEW_RESOLVED && v->resolved < v->needed)
		missing(x->j, "hosts", v->resolved, v->needed,
			v->needed - v->resolved == 1 ? "host resolved" : "hosts resolved");
	if (v->state == STATE_TOO_FEW_RESOLVED && bake_us > ledger_now_us(x->l))
		missing_time(x->j, "bake", bake_us, "the bake time of the hosts served last");
	if (v->state == STATE_WATCH && v->watch_until_us != 0)
		missing_time(x->j, "watch", v->watch_until_us, "nothing more until then");
	if (v->state == STATE_CO_SUSPECT || v->state == STATE_PAUSED || (v->state == STATE_WATCH && v->sticky) ||
	    v->verdict == VERDICT_HALT)
		missing_time(x->j, "person", 0, "a person decides");
	jsonout_close(x->j, ']');
}

/* ---- decisions ---- */

static void
decisions(const struct sheet *x)
{
	struct decision_view *d = calloc(DECISIONS, sizeof(*d));
	size_t n = d != NULL ? ledger_decisions(x->l, API_TENANT, x->no, d, DECISIONS) : 0;
	struct decision_view ack;

	words_decision(x->j, "acknowledged", ledger_acknowledged(x->l, x->no, &ack) ? &ack : NULL);
	jsonout_open(x->j, "decisions", '[');
	for (size_t i = n; i > 0; i--)
		words_decision(x->j, NULL, &d[i - 1]);
	jsonout_close(x->j, ']');
	jsonout_open(x->j, "resumes", '[');
	for (size_t i = n; i > 0; i--)
		if (strcmp(words_action(d[i - 1].action), "resume") == 0)
			words_decision(x->j, NULL, &d[i - 1]);
	jsonout_close(x->j, ']');
	jsonout_open(x->j, "annotations", '[');
	if (x->d.first_receipt_us != 0) {
		jsonout_open(x->j, NULL, '{');
		jsonout_time(x->j, "t", x->d.first_receipt_us);
		jsonout_string(x->j, "kind", "start");
		jsonout_text(x->j, "deployment", x->d.id);
		jsonout_close(x->j, '}');
	}
	for (size_t i = n; i > 0; i--) {
		jsonout_open(x->j, NULL, '{');
		jsonout_time(x->j, "t", d[i - 1].at_us);
		jsonout_string(x->j, "kind", words_action(d[i - 1].action));
		jsonout_text(x->j, "deployment", x->d.id);
		jsonout_close(x->j, '}');
	}
	jsonout_close(x->j, ']');
	free(d);
}

/* ---- the head of the page ---- */

static void
thresholds(const struct sheet *x)
{
	const struct assumptions *a = &x->v.assumed;
	double spent = 0, alpha = a->alpha;

	for (uint32_t i = 0; i <= (x->key.set ? x->key.resumes : 0); i++, alpha /= 2)
		spent += alpha;
	jsonout_open(x->j, "thresholds", '{');
	jsonout_double(x->j, "watch_log10", -num_log(a->alpha_watch) / LN10, 3);
	jsonout_double(x->j, "halt_log10", (x->key.set ? x->key.log_needed : -num_log(a->alpha)) / LN10, 3);
	jsonout_real(x->j, "alpha", a->alpha);
	jsonout_real(x->j, "alpha_watch", a->alpha_watch);
	jsonout_real(x->j, "alpha_spent", spent);
	sheet_real(x->j, "log10_weight", x->key.log_weight / LN10, x->key.set, 6);
	jsonout_close(x->j, '}');
}

static void
rules(const struct sheet *x)
{
	const struct assumptions *a = &x->v.assumed;
	struct jsonout *j = x->j;

	jsonout_string(j, "receipts", x->v.receipts);
	jsonout_open(j, "rules", '{');
	jsonout_double(j, "rho", a->rho, 3);
	jsonout_real(j, "alpha", a->alpha);
	jsonout_real(j, "alpha_watch", a->alpha_watch);
	jsonout_bool(j, "randomised_per_host", a->randomised);
	jsonout_bool(j, "compared_with_held_back_part", a->held_back);
	jsonout_bool(j, "one_vote_per_site", a->vote_per_site);
	jsonout_u64(j, "strata", a->strata);
	jsonout_u64(j, "host_age_seconds", a->min_age_s);
	jsonout_u64(j, "heard_within_seconds", a->active_s);
	jsonout_u64(j, "late_after_seconds", a->late_s);
	jsonout_u64(j, "clock_skew_seconds", a->skew_s);
	jsonout_u64(j, "at_risk_served", a->at_risk1);
	jsonout_u64(j, "at_risk_unserved", a->at_risk0);
	jsonout_u64(j, "served_that_do_not_vote", a->no_vote);
	jsonout_u64(j, "late_votes", a->late_votes);
	jsonout_u64(j, "early_votes", a->early_votes);
	jsonout_u64(j, "without_room", a->over_cap);
	jsonout_close(j, '}');
}

static void
token(const struct sheet *x)
{
	char text[HALT_TOKEN_SIZE], command[HALT_TOKEN_SIZE + 32];

	if (x->v.halt_pos == 0) {
		jsonout_null(x->j, "replay_token");
		jsonout_null(x->j, "replay_command");
		return;
	}
	evidence_token(x->c->api, x->v.halt_pos, text);
	jsonout_string(x->j, "replay_token", text);
	snprintf(command, sizeof(command), "faultline replay DATA/log --until %llu", (unsigned long long)x->v.halt_pos);
	jsonout_string(x->j, "replay_command", command);
}

static void
summary(const struct sheet *x, const char *unsure)
{
	const struct verdict_view *v = &x->v;
	const char *sentence = unsure != NULL ? unsure : v->reason;
	char headline[192], copy[sizeof(v->reason) + 512], at[CLOCK_RFC3339_SIZE];

	snprintf(copy, sizeof(copy), "%.*s", (int)x->d.id.len, x->d.id.at);
	banner_headline(x->status, copy, headline, sizeof(headline));
	jsonout_string(x->j, "headline", headline);
	words_prose(x->j, "summary", sentence, v->parts, unsure != NULL ? 0 : v->n_parts);
	snprintf(copy, sizeof(copy),
		 "%s. %s %u exposed, %u harmed (%u boot-looping), %u silent, %u never served. (since %.19sZ)", headline,
		 sentence, v->served, harmed_of(v), x->harm.looping, v->silent, v->unserved,
		 clock_rfc3339(v->since_us, at));
	jsonout_string(x->j, "copy_text", copy);
}

static void
identity(const struct sheet *x)
{
	const char *unsure;
	const enum verdict told = verdict_told(x->c->api, &x->v, &unsure);
	const struct verdict_view *v = &x->v;
	struct jsonout *j = x->j;

	jsonout_text(j, "id", x->d.id);
	jsonout_text(j, "artefact", x->d.artefact);
	jsonout_text(j, "version", x->d.version);
	jsonout_open(j, "manifest", '[');
	for (uint32_t i = 0; i < x->d.n_modules; i++)
		page_text(j, NULL, x->d.modules[i]);
	jsonout_close(j, ']');
	jsonout_text(j, "actor", x->d.actor);
	jsonout_string(j, "mode", v->shadow ? "shadow" : "armed");
	jsonout_bool(j, "open", x->d.open);
	jsonout_time(j, "created", x->d.begin_us);
	jsonout_string(j, "verdict", verdict_name(told));
	jsonout_string(j, "state", unsure != NULL ? "not_fresh" : verdict_state_name(v->state));
	jsonout_string(j, "status", x->status);
	jsonout_bool(j, "certified", words_certified(v));
	jsonout_bool(j, "latched", v->verdict == VERDICT_HALT || v->sticky);
	jsonout_bool(j, "sticky", v->sticky);
	jsonout_time(j, "since", v->since_us);
	jsonout_time(j, "watch_until", v->watch_until_us);
	jsonout_u64(j, "resolved", v->resolved);
	jsonout_u64(j, "bad", v->bad);
	summary(x, unsure);
}

/* What crashes: the signatures among the keys. */
static void
signatures(const struct sheet *x)
{
	uint32_t numbers[KEYS_MAX];
	size_t n = ledger_standings(x->l, x->no, numbers, KEYS_MAX);
	struct jsonout *j = x->j;
	struct standing s;
	struct key_view k;

	jsonout_open(j, "signatures", '[');
	for (size_t i = 0; i < n; i++) {
		if (!ledger_standing(x->l, x->no, numbers[i], &s) || !s.set || !sheet_is_signature(&s) ||
		    !ledger_key_by_number(x->l, numbers[i], &k))
			continue;
		jsonout_open(j, NULL, '{');
		words_signature_id(j, "id", k.id);
		jsonout_string(j, "title", k.title);
		words_kinds(j, k.kinds);
		page_text(j, "reason", k.reason);
		jsonout_bool(j, "in_manifest", s.own);
		jsonout_u64(j, "hosts", s.served_with);
		jsonout_u64(j, "hosts_ever", k.hosts);
		jsonout_u64(j, "sites", s.served_sites);
		jsonout_time(j, "first_seen", k.first_us);
		jsonout_bool(j, "first_seen_ever", k.first_us >= x->d.begin_us);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

/* ---- the answer ---- */

static bool
find_key(struct sheet *x)
{
	const struct sheet_question *q = x->q;
	struct key_view k;

	if (!q->named) {
		x->key = x->v.evidence.standing;
		x->key.set = x->v.evidence.set;
		return x->key.set;
	}
	if (q->special >= 0)
		return ledger_standing_special(x->l, x->no, (unsigned)q->special, &x->key) && x->key.set;
	return ledger_signature(x->l, API_TENANT, q->signature, &k) &&
	       ledger_standing(x->l, x->no, k.key_no, &x->key) && x->key.set;
}

static void
read_rings(struct sheet *x)
{
	uint64_t left = x->v.served;

	for (uint32_t i = 0; i < x->d.n_rings; i++) {
		struct view_ring *r = &x->rings[i];

		r->size = x->d.rings[i].size;
		r->rest = x->d.rings[i].rest;
		r->served = r->rest || left < r->size ? left : r->size;
		left -= r->served;
	}
}

static void
write_page(const struct sheet *x)
{
	identity(x);
	needed(x);
	thresholds(x);
	sheet_keys(x);
	sheet_key(x);
	sheet_table(x);
	sheet_votes(x);
	rings(x);
	per_minute(x);
	blast(x);
	doubts(x);
	rules(x);
	decisions(x);
	token(x);
	signatures(x);
}

static void
ask_page(struct call *c, const struct ledger *l)
{
	struct sheet_question *q = c->state;
	struct sheet *x = calloc(1, sizeof(*x));

	if (x == NULL) {
		c->refusal = DISCARD_too_many_waiters;
		return;
	}
	*x = (struct sheet){ .c = c, .j = &c->out, .l = l, .q = q };
	q->position = ledger_position(l);
	if (!ledger_deployment_find(l, API_TENANT, text_of(c->id), &x->no) || !ledger_deployment(l, x->no, &x->d) ||
	    !ledger_verdict(l, x->no, &x->v) || x->v.state == STATE_DELETED) {
		c->refusal = DISCARD_unknown_deployment;
		free(x);
		return;
	}
	ledger_harm(l, x->no, &x->harm);
	x->status = page_status(c->api, &x->v);
	read_rings(x);
	if ((x->minutes = calloc(MINUTES_MAX, sizeof(*x->minutes))) != NULL)
		x->n_minutes = ledger_timeline(l, x->no, 0, x->minutes, MINUTES_MAX);
	if (find_key(x) && (x->votes = calloc(q->limit, sizeof(*x->votes))) != NULL)
		x->n_votes = ledger_votes(l, x->no, x->key.trial_key, q->from, x->votes, q->limit, &x->votes_total,
					  &x->votes_kept);
	jsonout_open(&c->out, NULL, '{');
	page_head(c, q->position, ledger_now_us(l));
	if (q->votes_only) {
		jsonout_text(&c->out, "id", x->d.id);
		sheet_votes(x);
	} else {
		write_page(x);
	}
	jsonout_close(&c->out, '}');
	free(x->minutes);
	free(x->votes);
	free(x);
}

static void
answered(struct call *c)
{
	const struct sheet_question *q = c->state;

	page_send(c, q->position);
}

static bool
take_key(struct call *c, struct sheet_question *q)
{
	char text[64];

	q->special = -1;
	if (http_query(c->req, "key", text, sizeof(text)) != 0)
		return true;
	q->named = true;
	q->special = strcmp(text, "dark") == 0 ? 0 : strcmp(text, "boot") == 0 ? 1 : -1;
	if (q->special >= 0 || signature_id_parse(text, strlen(text), &q->signature) == 0)
		return true;
	call_refuse(c, DISCARD_invalid_parameter, "key", "is a signature id, dark or boot");
	return false;
}

bool
deployment_page_begin(struct call *c)
{
	struct sheet_question *q;
	char text[24];

	if (http_query(c->req, "view", text, sizeof(text)) != 0)
		return false;
	if ((c->state = q = ARENA_NEW(c->arena, struct sheet_question)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return true;
	}
	q->votes_only = strcmp(text, "votes") == 0;
	q->limit = VOTES_PAGE;
	if (!q->votes_only && strcmp(text, "page") != 0)
		call_refuse(c, DISCARD_invalid_parameter, "view", "is page or votes");
	else if (http_query(c->req, "limit", text, sizeof(text)) == 0 && params_count(text, 1, 1000, &q->limit) != 0)
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 1000");
	else if (http_query(c->req, "from", text, sizeof(text)) == 0 &&
		 params_count(text, 0, UINT32_MAX, &q->from) != 0)
		call_refuse(c, DISCARD_invalid_parameter, "from", "must be the number of a vote");
	else if (take_key(c, q))
		call_ask(c, ask_page, answered);
	return true;
}
