/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/deployments/{id}/evidence: why it halted, or why it did not, for any key.
 * GET /v1/deployments/{id}/votes: the ordered votes of a key, enough to recompute its odds by hand. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/signature.h"
#include "collector/api/evidence.h"
#include "collector/api/standing.h"
#include "collector/api/words.h"
#include "collector/ledger/eprocess.h"

#define STANDINGS_MAX 10u   /* keys shown, best first */
#define VOTES_MAX     1000u /* of a page */
#define MINUTES_MAX   1440u
#define STRATA_MAX    50u

const char *
evidence_token(const struct api *a, uint64_t halt_pos, char out[HALT_TOKEN_SIZE])
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof(a->env.log_id.uuid); i++)
		n += (size_t)snprintf(out + n, HALT_TOKEN_SIZE - n, "%02x", a->env.log_id.uuid[i]);
	snprintf(out + n, HALT_TOKEN_SIZE - n, "-%016" PRIx64, halt_pos);
	return out;
}

/* ---- in a verdict ---- */

static double
share(uint32_t n, uint32_t all)
{
	return ((double)n + 1) / ((double)all + 2);
}

void
evidence_verdict(struct jsonout *j, const struct api *a, const struct verdict_view *v)
{
	const struct evidence *e = &v->evidence;

	jsonout_open(j, "evidence", '{');
	jsonout_u64(j, "hosts", e->set ? e->served_with : 0);
	jsonout_u64(j, "exposed", v->served);
	jsonout_u64(j, "baseline_hosts", e->set ? e->unserved_with : 0);
	jsonout_u64(j, "baseline", v->unserved);
	if (e->set && strcmp(e->standing.pool, "dark") == 0 && e->standing.key_no == UINT32_MAX)
		jsonout_u64(j, "dark", e->served_with);
	else
		jsonout_null(j, "dark");
	jsonout_string(j, "signature", e->set ? e->title : NULL);
	if (e->set) {
		jsonout_u64(j, "module_hosts", e->module_served_with);
		jsonout_u64(j, "module_baseline_hosts", e->module_unserved_with);
		jsonout_double(j, "share_served", share(e->served_with, e->served), 6);
		jsonout_double(j, "share_unserved", share(e->unserved_with, e->unserved), 6);
		words_signature_id(j, "leading_signature_id", e->signature);
		jsonout_time(j, "first", e->first_us);
		jsonout_time(j, "last", e->last_us);
		standing_members(j, &e->standing);
		jsonout_open(j, "votes", '[');
		for (uint32_t i = 0; i < e->n_votes && i < VERDICT_VOTES; i++)
			standing_vote(j, a, &e->votes[i]);
		jsonout_close(j, ']');
	}
	jsonout_close(j, '}');
}

static void
assumptions(struct jsonout *j, const struct assumptions *s)
{
	jsonout_open(j, "assumptions", '{');
	jsonout_double(j, "rho", s->rho, 3);
	jsonout_real(j, "alpha", s->alpha);
	jsonout_real(j, "alpha_watch", s->alpha_watch);
	jsonout_bool(j, "randomised_per_host", s->randomised);
	jsonout_bool(j, "compared_with_held_back_part", s->held_back);
	jsonout_bool(j, "one_vote_per_site", s->vote_per_site);
	jsonout_u64(j, "strata", s->strata);
	jsonout_u64(j, "host_age_seconds", s->min_age_s);
	jsonout_u64(j, "heard_within_seconds", s->active_s);
	jsonout_u64(j, "late_after_seconds", s->late_s);
	jsonout_u64(j, "clock_skew_seconds", s->skew_s);
	jsonout_u64(j, "at_risk_served", s->at_risk1);
	jsonout_u64(j, "at_risk_unserved", s->at_risk0);
	jsonout_u64(j, "served_that_do_not_vote", s->no_vote);
	jsonout_close(j, '}');
}

void
evidence_outlook(struct jsonout *j, const struct verdict_view *v)
{
	jsonout_bool(j, "sticky", v->sticky);
	jsonout_string(j, "compared_with", v->by_past ? "past" : "unserved");
	jsonout_time(j, "watch_until", v->watch_until_us);
	if (v->verdict == VERDICT_PROCEED && v->hazard < 1)
		jsonout_real(j, "hazard_excluded", v->hazard);
	else
		jsonout_null(j, "hazard_excluded");
	jsonout_bool(j, "cannot_certify", v->cannot_certify);
	jsonout_u64(j, "votes_possible", v->votes_possible);
	if (v->votes_needed != UINT32_MAX)
		jsonout_u64(j, "votes_needed", v->votes_needed);
	else
		jsonout_null(j, "votes_needed");
	jsonout_u64(j, "harmed", v->harmed);
	jsonout_u64(j, "harmed_back", v->harmed_back);
	jsonout_u64(j, "fixed", v->fixed);
	jsonout_u64(j, "fixed_bad", v->fixed_bad);
	assumptions(j, &v->assumed);
}

/* ---- the whole of it ---- */

/* What is asked about: the key that decided, or one that is named. */
struct question {
	bool named;
	int special; /* 0 dark, 1 boot, -1: a signature */
	uint64_t signature;
	uint64_t from, limit; /* of votes */
};

/* Takes key= or signature=; false: refused and answered. */
static bool
take_key(struct call *c, struct question *q)
{
	char text[64];

	q->special = -1;
	if (http_query(c->req, "key", text, sizeof(text)) == 0) {
		q->named = true;
		q->special = strcmp(text, "dark") == 0 ? 0 : strcmp(text, "boot") == 0 ? 1 : -1;
		if (q->special < 0) {
			call_refuse(c, DISCARD_invalid_parameter, "key",
				    "is dark or boot; name others with signature=");
			return false;
		}
	} else if (http_query(c->req, "signature", text, sizeof(text)) == 0) {
		q->named = true;
		if (signature_id_parse(text, strlen(text), &q->signature) != 0) {
			call_refuse(c, DISCARD_invalid_parameter, "signature", "is not a signature id");
			return false;
		}
	}
	return true;
}

static bool
find_standing(const struct ledger *l, uint32_t no, const struct question *q, struct standing *out)
{
	struct key_view k;

	if (q->special >= 0)
		return ledger_standing_special(l, no, (unsigned)q->special, out);
	return ledger_signature(l, API_TENANT, q->signature, &k) && ledger_standing(l, no, k.key_no, out);
}

/* Why a key that the deployment never met did not halt it. */
static void
unmet(struct jsonout *j, const struct ledger *l, const struct question *q)
{
	struct key_view k;

	jsonout_open(j, "standing", '{');
	if (q->special >= 0) {
		jsonout_string(j, "key", q->special == 0 ? "dark" : "boot");
		jsonout_string(j, "why",
			       q->special == 0 ? "No host went dark since the deployment began."
					       : "No host was in a boot loop since the deployment began.");
	} else {
		bool known = ledger_signature(l, API_TENANT, q->signature, &k);

		jsonout_string(j, "key", "signature");
		words_signature_id(j, "signature_id", q->signature);
		jsonout_string(j, "title", known ? k.title : NULL);
		jsonout_string(j, "why",
			       known ? "No eligible or served host reported it since the deployment began."
				     : "No report of this signature was ever counted.");
	}
	jsonout_close(j, '}');
}

static void
standings(struct jsonout *j, const struct ledger *l, uint32_t no)
{
	uint32_t keys[STANDINGS_MAX];
	struct standing s;
	size_t n = ledger_standings(l, no, keys, STANDINGS_MAX);

	jsonout_open(j, "standings", '[');
	for (size_t i = 0; i < n; i++)
		if (ledger_standing(l, no, keys[i], &s) && s.set) {
			jsonout_open(j, NULL, '{');
			standing_members(j, &s);
			jsonout_close(j, '}');
		}
	for (unsigned which = 0; which < 2; which++)
		if (ledger_standing_special(l, no, which, &s) && s.served_with > 0) {
			jsonout_open(j, NULL, '{');
			standing_members(j, &s);
			jsonout_close(j, '}');
		}
	jsonout_close(j, ']');
}

static void
timeline(struct jsonout *j, const struct ledger *l, uint32_t no, int64_t begin_us)
{
	struct timeline_minute *m = calloc(MINUTES_MAX, sizeof(*m));
	size_t n = m != NULL ? ledger_timeline(l, no, 0, m, MINUTES_MAX) : 0;

	jsonout_open(j, "timeline", '[');
	for (size_t i = 0; i < n; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_time(j, "at", begin_us + (int64_t)m[i].minute * 60000000);
		jsonout_u64(j, "served", m[i].served);
		jsonout_u64(j, "votes_served", m[i].exposed);
		jsonout_u64(j, "votes_unserved", m[i].unexposed);
		jsonout_u64(j, "dark", m[i].dark);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	free(m);
}

static void
strata(struct jsonout *j, const struct ledger *l, uint32_t no, uint32_t n)
{
	struct stratum_view s;

	jsonout_open(j, "strata", '[');
	for (uint32_t i = 0; i < n && i < STRATA_MAX; i++) {
		if (!ledger_stratum(l, no, (uint16_t)i, &s))
			continue;
		jsonout_open(j, NULL, '{');
		jsonout_u64(j, "stratum", i);
		jsonout_bool(j, "other", s.other);
		jsonout_string(j, "product", s.product);
		jsonout_string(j, "os_build", s.os_build);
		jsonout_string(j, "hw_class", s.hw_class);
		jsonout_u64(j, "at_risk_served", s.at_risk1);
		jsonout_u64(j, "at_risk_unserved", s.at_risk0);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

/* Exposed, harmed, and what going on would cost at the rate seen so far. */
static void
blast_radius(struct jsonout *j, const struct verdict_view *v)
{
	const struct evidence *e = &v->evidence;
	uint32_t harmed = v->harmed > 0 ? v->harmed : e->set ? e->served_with : 0;
	double rate = v->served > 0 ? (double)harmed / v->served : 0;

	jsonout_open(j, "blast_radius", '{');
	jsonout_u64(j, "exposed", v->served);
	jsonout_u64(j, "harmed", harmed);
	jsonout_u64(j, "harmed_back", v->harmed_back);
	jsonout_u64(j, "bad", v->bad);
	jsonout_u64(j, "not_exposed", v->unserved);
	jsonout_double(j, "projected_if_resumed", rate * v->unserved, 0);
	jsonout_close(j, '}');
}

/* What speaks for another explanation, in words. */
static void
doubts(struct jsonout *j, const struct ledger *l, const struct verdict_view *v)
{
	const struct standing *s = &v->evidence.standing;
	char text[512];

	jsonout_open(j, "would_change", '[');
	if (v->evidence.set && s->unserved_with > 0) {
		snprintf(text, sizeof(text),
			 "%u hosts that were not served have it too; each further one lowers the odds.",
			 s->unserved_with);
		jsonout_string(j, NULL, text);
	} else if (v->evidence.set) {
		snprintf(text, sizeof(text),
			 "The same on hosts that were not served: none of the %u at risk has it so far.", s->at_risk0);
		jsonout_string(j, NULL, text);
	}
	if (v->evidence.set && s->served_sites < 3) {
		snprintf(text, sizeof(text), "All of it comes from %u site%s: something there may be the cause.",
			 s->served_sites, s->served_sites == 1 ? "" : "s");
		jsonout_string(j, NULL, text);
	}
	for (uint32_t i = 0; i < v->n_suspects && i < VERDICT_SUSPECTS; i++) {
		struct deployment_view d;

		if (!ledger_deployment(l, v->suspects[i], &d))
			continue;
		snprintf(text, sizeof(text), "The deployment %.*s is served to the same hosts: it may be that one.",
			 (int)d.id.len, d.id.at);
		jsonout_string(j, NULL, text);
	}
	if (!v->assumed.randomised) {
		snprintf(text, sizeof(text),
			 "Hosts were not chosen at random: up to %.3g times as many crashes among the served are put "
			 "down to that.",
			 v->assumed.rho);
		jsonout_string(j, NULL, text);
	}
	if (v->state == STATE_HALTED_HEURISTIC || v->state == STATE_UNCERTIFIED)
		jsonout_string(j, NULL, "This verdict is uncertified: nothing bounds how often it is wrong.");
	jsonout_close(j, ']');
}

static void
suspects(struct jsonout *j, const struct ledger *l, const struct verdict_view *v)
{
	jsonout_open(j, "suspects", '[');
	for (uint32_t i = 0; i < v->n_suspects && i < VERDICT_SUSPECTS; i++) {
		struct deployment_view d;

		if (ledger_deployment(l, v->suspects[i], &d))
			jsonout_text(j, NULL, d.id);
	}
	jsonout_close(j, ']');
}

static bool
find(struct call *c, const struct ledger *l, uint32_t *no, struct deployment_view *d, struct verdict_view *v)
{
	if (ledger_deployment_find(l, API_TENANT, text_of(c->id), no) && ledger_deployment(l, *no, d) &&
	    ledger_verdict(l, *no, v) && v->state != STATE_DELETED)
		return true;
	c->refusal = DISCARD_unknown_deployment;
	return false;
}

static void
ask_evidence(struct call *c, const struct ledger *l)
{
	const struct question *q = c->state;
	struct jsonout *j = &c->out;
	char token[HALT_TOKEN_SIZE];
	struct deployment_view d;
	struct verdict_view v;
	struct standing s;
	uint32_t no;

	if (!find(c, l, &no, &d, &v))
		return;
	jsonout_open(j, NULL, '{');
	jsonout_text(j, "deployment", d.id);
	verdict_json(j, c->api, &v);
	jsonout_string(j, "token", v.halt_pos != 0 ? evidence_token(c->api, v.halt_pos, token) : NULL);
	suspects(j, l, &v);
	if (!q->named) {
		standings(j, l, no);
	} else if (find_standing(l, no, q, &s) && s.set) {
		jsonout_open(j, "standing", '{');
		standing_members(j, &s);
		jsonout_close(j, '}');
	} else {
		unmet(j, l, q);
	}
	timeline(j, l, no, d.begin_us);
	strata(j, l, no, v.assumed.strata);
	blast_radius(j, &v);
	doubts(j, l, &v);
	jsonout_close(j, '}');
}

static void
evidence_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct question *q;

	if (c == NULL || !call_take_id(c))
		return;
	if ((c->state = q = ARENA_NEW(c->arena, struct question)) == NULL)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
	else if (take_key(c, q))
		call_ask(c, ask_evidence, call_send);
}

const struct http_ops evidence_ops = { .begin = evidence_begin, .end = call_end };

/* ---- votes ---- */

/* The grid of hazard ratios that this key bets on: with q of each vote, its odds by hand. */
static void
grid(struct jsonout *j, const struct standing *s)
{
	const struct grid *g = eprocess_grid((enum ratio_grid)s->grid);

	jsonout_open(j, "grid", '[');
	for (uint32_t i = 0; i < g->n; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_real(j, "ratio", g->ratio[i]);
		jsonout_double(j, "log_share", g->log_share[i], 12);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
ask_votes(struct call *c, const struct ledger *l)
{
	const struct question *q = c->state;
	struct jsonout *j = &c->out;
	struct deployment_view d;
	struct verdict_view v;
	struct standing s;
	struct vote *votes;
	uint64_t total = 0, kept = 0;
	size_t n = 0;
	uint32_t no;
	bool known;

	if (!find(c, l, &no, &d, &v))
		return;
	known = q->named ? find_standing(l, no, q, &s) && s.set : v.evidence.set;
	if (known && !q->named)
		s = v.evidence.standing;
	jsonout_open(j, NULL, '{');
	jsonout_text(j, "deployment", d.id);
	jsonout_open(j, "standing", '{');
	if (known)
		standing_members(j, &s);
	jsonout_close(j, '}');
	if (known)
		grid(j, &s);
	votes = known ? calloc(q->limit, sizeof(*votes)) : NULL;
	if (votes != NULL)
		n = ledger_votes(l, no, s.trial_key, q->from, votes, q->limit, &total, &kept);
	jsonout_u64(j, "total", total);
	jsonout_u64(j, "kept", kept);
	jsonout_open(j, "votes", '[');
	for (size_t i = 0; i < n; i++)
		standing_vote(j, c->api, &votes[i]);
	jsonout_close(j, ']');
	if (q->from + n < kept)
		jsonout_u64(j, "next", q->from + n);
	else
		jsonout_null(j, "next");
	jsonout_close(j, '}');
	free(votes);
}

static void
votes_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct question *q;
	char text[24];

	if (c == NULL || !call_take_id(c))
		return;
	if ((c->state = q = ARENA_NEW(c->arena, struct question)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	q->limit = 100;
	if (http_query(r, "limit", text, sizeof(text)) == 0 && params_count(text, 1, VOTES_MAX, &q->limit) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 1000");
		return;
	}
	if (http_query(r, "from", text, sizeof(text)) == 0 && params_count(text, 0, UINT32_MAX, &q->from) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "from", "must be the number of a vote");
		return;
	}
	if (take_key(c, q))
		call_ask(c, ask_votes, call_send);
}

const struct http_ops votes_ops = { .begin = votes_begin, .end = call_end };
