/* SPDX-License-Identifier: Apache-2.0 */
/* Of a deployment's page: what is tested, and who voted. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/signature.h"
#include "collector/api/page.h"
#include "collector/api/sheet.h"
#include "collector/api/standing.h"
#include "collector/api/words.h"
#include "collector/ledger/numeric.h"
#include "collector/log/report_id.h"

void
sheet_real(struct jsonout *j, const char *key, double value, bool known, int decimals)
{
	if (known)
		jsonout_double(j, key, value, decimals);
	else
		jsonout_null(j, key);
}

static const char *
kind_of(const struct standing *s)
{
	if (s->key_no == UINT32_MAX)
		return standing_name(s);
	switch (s->rung) {
	case RUNG_KEY:
	case RUNG_STOP:
		return "signature";
	default:
		return signature_rung_name((enum signature_rung)s->rung);
	}
}

bool
sheet_is_signature(const struct standing *s)
{
	return s->key_no != UINT32_MAX && (s->rung == RUNG_KEY || s->rung == RUNG_STOP);
}

static void
name_members(struct jsonout *j, const struct standing *s)
{
	char label[VERDICT_TITLE_MAX + 64];

	if (s->key_no == UINT32_MAX)
		jsonout_string(j, "id", standing_name(s));
	else
		words_signature_id(j, "id", s->signature);
	if (s->key_no == UINT32_MAX)
		snprintf(label, sizeof(label), "%s", standing_name(s));
	else
		snprintf(label, sizeof(label), "%s:%s", kind_of(s), s->title);
	jsonout_string(j, "key", label);
	jsonout_string(j, "kind", kind_of(s));
	jsonout_string(j, "title", s->title);
	jsonout_bool(j, "tested", s->tested);
}

/* The odds as they were when the deployment was halted: those after the last vote until then. */
static bool
odds_at_halt(const struct sheet *x, const struct standing *s, double *out)
{
	struct vote *votes = calloc(VOTES_PAGE, sizeof(*votes));
	bool found = false;
	size_t n;

	if (votes == NULL || x->v.halt_pos == 0) {
		free(votes);
		return false;
	}
	n = ledger_votes(x->l, x->no, s->trial_key, 0, votes, VOTES_PAGE, NULL, NULL);
	for (size_t i = 0; i < n && votes[i].pos <= x->v.halt_pos; i++) {
		*out = votes[i].log_odds;
		found = true;
	}
	free(votes);
	return found;
}

static void
one_key(const struct sheet *x, const struct standing *s)
{
	double at = 0;
	bool then = odds_at_halt(x, s, &at);

	jsonout_open(x->j, NULL, '{');
	name_members(x->j, s);
	sheet_real(x->j, "log10_odds", (s->log_weight + s->log_e) / LN10, s->tested, 3);
	sheet_real(x->j, "log10_at_halt", at / LN10, then && s->tested, 3);
	jsonout_bool(x->j, "reaches", s->would_cross);
	jsonout_u64(x->j, "exposed", s->served_with);
	jsonout_u64(x->j, "control", s->unserved_with);
	jsonout_close(x->j, '}');
}

void
sheet_keys(const struct sheet *x)
{
	uint32_t numbers[KEYS_MAX];
	struct standing s;
	size_t n = ledger_standings(x->l, x->no, numbers, KEYS_MAX);

	jsonout_open(x->j, "keys", '[');
	for (size_t i = 0; i < n; i++)
		if (ledger_standing(x->l, x->no, numbers[i], &s) && s.set)
			one_key(x, &s);
	for (unsigned which = 0; which < 2; which++)
		if (ledger_standing_special(x->l, x->no, which, &s) && s.set && s.served_with > 0)
			one_key(x, &s);
	jsonout_close(x->j, ']');
}

void
sheet_pair(struct jsonout *j, const char *key, uint64_t have, uint64_t need)
{
	jsonout_open(j, key, '[');
	jsonout_u64(j, NULL, have);
	jsonout_u64(j, NULL, need);
	jsonout_close(j, ']');
}

void
sheet_key(const struct sheet *x)
{
	static const char *const grids[] = { "NEW", "OLD", "DARK" };
	const struct standing *s = &x->key;
	struct jsonout *j = x->j;

	if (!s->set) {
		jsonout_null(j, "key");
		return;
	}
	jsonout_open(j, "key", '{');
	name_members(j, s);
	jsonout_string(j, "grid", grids[s->grid < 3 ? s->grid : 0]);
	jsonout_string(j, "pool", s->pool);
	jsonout_string(j, "severity", s->severity);
	jsonout_real(j, "weight", num_exp(s->log_weight));
	jsonout_double(j, "log10_weight", s->log_weight / LN10, 6);
	jsonout_double(j, "log10_odds", (s->log_weight + s->log_e) / LN10, 6);
	jsonout_double(j, "log10_needed", s->log_needed / LN10, 6);
	jsonout_double(j, "rho", s->rho, 3);
	jsonout_open(j, "floors", '{');
	sheet_pair(j, "hosts", s->served_with, s->k_min);
	sheet_pair(j, "sites", s->served_sites, s->s_min);
	jsonout_close(j, '}');
	jsonout_bool(j, "materiality_met", s->material >= s->material_needed);
	jsonout_bool(j, "in_manifest", s->own);
	jsonout_bool(j, "muted", s->muted);
	jsonout_u64(j, "votes_possible", s->votes_possible);
	if (s->votes_needed != UINT32_MAX)
		jsonout_u64(j, "votes_needed", s->votes_needed);
	else
		jsonout_null(j, "votes_needed");
	jsonout_bool(j, "reaches", s->would_cross);
	jsonout_u64(j, "resumes", s->resumes);
	jsonout_string(j, "why", s->why);
	jsonout_close(j, '}');
}

static void
arm(struct jsonout *j, const char *key, uint64_t crashed, uint64_t at_risk)
{
	jsonout_open(j, key, '{');
	jsonout_u64(j, "crashed", crashed);
	jsonout_u64(j, "at_risk", at_risk);
	jsonout_close(j, '}');
}

void
sheet_table(const struct sheet *x)
{
	const struct standing *s = &x->key;
	const bool known = s->set && s->served > 0 && s->unserved > 0;
	struct jsonout *j = x->j;

	if (!s->set) {
		jsonout_null(j, "table");
		return;
	}
	jsonout_open(j, "table", '{');
	arm(j, "exposed", s->served_with, s->served);
	arm(j, "control", s->unserved_with, s->unserved);
	sheet_real(j, "ratio",
		   known && s->unserved_with > 0 ? (double)s->served_with / s->served * s->unserved / s->unserved_with
						 : 0,
		   known && s->unserved_with > 0, 3);
	jsonout_double(j, "ratio_low", s->ratio_low, 3);
	jsonout_double(j, "ratio_high", s->ratio_high, 3); /* infinite: null */
	jsonout_double(j, "confidence", 0.95, 2);
	jsonout_u64(j, "sites", s->served_sites);
	jsonout_u64(j, "strata", x->v.assumed.strata);
	jsonout_text(j, "assignment", x->d.assignment);
	jsonout_bool(j, "held_back", x->v.assumed.held_back);
	jsonout_close(j, '}');
}

/* ---- votes ---- */

static void
stratum(struct jsonout *j, const struct sheet *x, uint16_t no)
{
	struct stratum_view s;
	char text[400];

	if (!ledger_stratum(x->l, x->no, no, &s)) {
		jsonout_null(j, "stratum");
		jsonout_null(j, "os_build");
		return;
	}
	if (s.other)
		snprintf(text, sizeof(text), "all others");
	else
		snprintf(text, sizeof(text), "%s%s%s%s%s", s.product,
			 s.product[0] != '\0' && s.os_build[0] != '\0' ? " / " : "", s.os_build,
			 s.hw_class[0] != '\0' ? " / " : "", s.hw_class);
	jsonout_string(j, "stratum", text);
	jsonout_string(j, "os_build", s.other ? NULL : s.os_build);
}

/* What the odds came to with this vote: the watch level for the first time, or the halt itself. */
static const char *
reached(const struct sheet *x, const struct vote *v, const struct vote *before)
{
	const double watch = -num_log(x->v.assumed.alpha_watch);
	const bool decided = x->v.halt_pos != 0 && x->v.evidence.set &&
			     x->v.evidence.standing.trial_key == x->key.trial_key && v->pos == x->v.halt_pos;

	if (decided)
		return "halt";
	return v->log_odds >= watch && (before == NULL || before->log_odds < watch) ? "watch" : NULL;
}

static void
one_vote(const struct sheet *x, size_t i)
{
	const struct vote *v = &x->votes[i];
	struct jsonout *j = x->j;
	char id[REPORT_ID_SIZE];
	struct host_view h;

	jsonout_open(j, NULL, '{');
	jsonout_u64(j, "n", x->q->from + i + 1);
	jsonout_time(j, "t", v->at_us);
	jsonout_time(j, "crashed", v->crash_us);
	jsonout_bool(j, "exposed", v->exposed);
	jsonout_bool(j, "counted", v->counted);
	if (ledger_host_by_number(x->l, v->host_no, &h))
		jsonout_host(j, "host", h.hash);
	else
		jsonout_null(j, "host");
	page_text(j, "site", ledger_site(x->l, v->site));
	stratum(j, x, v->stratum);
	if (v->served_us != 0 && v->crash_us >= v->served_us)
		jsonout_u64(j, "since_served_s", (uint64_t)((v->crash_us - v->served_us) / 1000000));
	else
		jsonout_null(j, "since_served_s");
	sheet_pair(j, "at_risk", v->y1, v->y0);
	jsonout_double(j, "q", v->q, 9);
	jsonout_real(j, "factor", num_exp(v->log_factor));
	jsonout_double(j, "log10_odds", v->log_odds / LN10, 6);
	jsonout_string(j, "reached", reached(x, v, i > 0 ? v - 1 : NULL));
	jsonout_string(j, "report", report_id_format(v->pos, &x->c->api->env.log_id, id));
	jsonout_close(j, '}');
}

void
sheet_votes(const struct sheet *x)
{
	struct jsonout *j = x->j;

	jsonout_open(j, "votes", '[');
	for (size_t i = 0; i < x->n_votes; i++)
		one_vote(x, i);
	jsonout_close(j, ']');
	jsonout_u64(j, "votes_total", x->votes_total);
	jsonout_u64(j, "votes_kept", x->votes_kept);
	if (x->q->from + x->n_votes < x->votes_kept)
		jsonout_u64(j, "votes_next", x->q->from + x->n_votes);
	else
		jsonout_null(j, "votes_next");
}
