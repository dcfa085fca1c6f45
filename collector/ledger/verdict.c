/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "collector/ledger/proceed.h"
#include "collector/ledger/state.h"

/* Verdict and state of a deployment; its sentence is made in sentence.c. */

static const char *const VERDICTS[] = { "hold", "proceed", "halt" };
static const char *const STATES[STATE_N] = {
	[STATE_NOTHING_SERVED] = "nothing_served",
	[STATE_TOO_FEW_RESOLVED] = "too_few_resolved",
	[STATE_TOO_FEW_CONTROLS] = "too_few_controls",
	[STATE_CLEAN] = "clean",
	[STATE_WOULD_HALT] = "would_halt",
	[STATE_PAUSED] = "paused",
	[STATE_HALTED] = "halted",
	[STATE_HALTED_BY_PERSON] = "halted_by_person",
	[STATE_CLOSED] = "closed",
	[STATE_DELETED] = "deleted",
	[STATE_WATCH] = "watch",
	[STATE_CO_SUSPECT] = "co_suspect",
	[STATE_BLIND] = "blind",
	[STATE_UNCERTIFIED] = "uncertified",
	[STATE_HALTED_HEURISTIC] = "halted_heuristic",
	[STATE_RECOVERED] = "recovered",
};

const char *
verdict_name(enum verdict v)
{
	return v <= VERDICT_HALT ? VERDICTS[v] : "hold";
}

const char *
verdict_state_name(enum verdict_state s)
{
	return s < STATE_N ? STATES[s] : "unknown";
}

/* ---- verdict and state, without words ---- */

/* The ring being served: the first whose plan is not yet filled. */
static uint64_t
ring_size(const struct deployment *d)
{
	uint64_t before = 0, size = 0;

	for (size_t i = 0; i < d->msg->n_rings; i++) {
		size = deployment_ring_size(d, i);
		if (size > UINT64_MAX - before || before + size >= d->served)
			break;
		before += size;
	}
	return d->msg->n_rings > 0 ? size : UINT64_MAX;
}

/* Served hosts that did not live for the bake time, as far as is known: dark, and not heard of since it was over. */
static uint32_t
lost(const struct deployment *d)
{
	uint64_t overdue = d->waiting[1].n - d->waiting_first[1];

	if (d->life != DEPLOYMENT_OPEN)
		return 0;
	return d->dark.silent < overdue ? d->dark.silent : (uint32_t)overdue;
}

/* Of hosts that fell silent, which count as bad, this many in the bake time are nothing unusual. */
static double
churn_of(const struct ledger *l, const struct deployment *d, const struct verdict_view *v)
{
	double hours = (double)deployment_bake_us(l, d) / 3.6e9;

	return v->lost > 0 ? silence_churn(l) * hours : 0;
}

/* The smallest hazard that is excluded. */
static double
excluded(const struct ledger *l, const struct deployment *d, const struct verdict_view *v)
{
	return proceed_hazard((double)v->resolved + v->lost, (double)v->bad + v->lost, churn_of(l, d, v),
			      d->params.beta);
}

/* Is any? */
static bool
excludes(const struct ledger *l, const struct deployment *d, const struct verdict_view *v)
{
	return proceed_excludes((double)v->resolved + v->lost, (double)v->bad + v->lost, churn_of(l, d, v),
				d->params.beta);
}

static enum verdict_state
halted_state(const struct deployment *d, const struct verdict_view *v)
{
	if (d->by_person)
		return STATE_HALTED_BY_PERSON;
	if (v->shadow)
		return STATE_WOULD_HALT;
	if (d->recovered)
		return STATE_RECOVERED;
	return d->heuristic ? STATE_HALTED_HEURISTIC : STATE_HALTED;
}

static enum verdict_state
natural_state(const struct ledger *l, const struct deployment *d, const struct verdict_view *v)
{
	if (d->life == DEPLOYMENT_DELETED)
		return STATE_DELETED;
	if (d->halted)
		return halted_state(d, v);
	if (d->life == DEPLOYMENT_CLOSED)
		return STATE_CLOSED;
	if (d->paused)
		return STATE_PAUSED;
	if (d->co_of != 0)
		return STATE_CO_SUSPECT;
	if (d->watch_until_us != 0)
		return STATE_WATCH;
	if (l->n_blind > 0 && ledger_is_blind(l, d->tenant))
		return STATE_BLIND;
	if (v->served == 0)
		return STATE_NOTHING_SERVED;
	if (v->resolved < v->needed || (v->bad + v->lost > d->forgiven_bad && !excludes(l, d, v)))
		return STATE_TOO_FEW_RESOLVED;
	return d->eligible < d->params.small_fleet ? STATE_UNCERTIFIED : STATE_CLEAN;
}

static enum verdict
verdict_of(const struct deployment *d, enum verdict_state s, bool shadow)
{
	switch (s) {
	case STATE_CLEAN:
	case STATE_UNCERTIFIED:
	case STATE_WOULD_HALT:
		return VERDICT_PROCEED;
	case STATE_HALTED:
	case STATE_HALTED_HEURISTIC:
	case STATE_RECOVERED:
	case STATE_HALTED_BY_PERSON:
		return VERDICT_HALT;
	case STATE_CLOSED:
		return shadow ? VERDICT_PROCEED : (enum verdict)d->verdict; /* what was decided last stays */
	case STATE_NOTHING_SERVED:
	case STATE_TOO_FEW_RESOLVED:
	case STATE_TOO_FEW_CONTROLS:
	case STATE_WATCH:
	case STATE_CO_SUSPECT:
	case STATE_BLIND:
		return shadow ? VERDICT_PROCEED : VERDICT_HOLD;
	case STATE_PAUSED:
	case STATE_DELETED:
	case STATE_N:
		break;
	}
	return VERDICT_HOLD;
}

void
deployment_state(const struct ledger *l, const struct deployment *d, struct verdict_view *v)
{
	uint64_t ring = ring_size(d);
	bool closed = d->life != DEPLOYMENT_OPEN;

	memset(v, 0, offsetof(struct verdict_view, reason));
	v->shadow = deployment_is_shadow(l, d);
	v->served = d->served;
	v->receipts = deployment_receipts(d);
	v->silent = d->dark.silent;
	v->lost = lost(d);
	v->eligible = d->eligible;
	v->unserved = d->eligible - d->served_eligible;
	v->resolved = closed ? d->final_resolved : d->resolved.n;
	v->withdrawn = closed ? d->final_withdrawn : d->withdrawn.n;
	v->bad = closed ? d->final_bad : d->bad.n;
	v->needed = ring < d->params.min_resolved ? (uint32_t)ring : d->params.min_resolved;
	v->state = natural_state(l, d, v);
	v->verdict = verdict_of(d, v->state, v->shadow);
	v->version = d->version;
	v->since_pos = d->since_pos;
	v->since_us = d->since_us;
	v->fresh_pos = l->position;
	v->fresh_us = l->now_us;
	v->recorded = d->recorded;
	v->sticky = d->sticky;
	v->by_past = d->by_past && (d->halted || d->watch_until_us != 0);
	v->watch_until_us = d->sticky ? 0 : d->watch_until_us;
	v->halt_pos = d->halt_pos;
	v->halt_us = d->halted ? d->halt_us : 0;
}

/* What takes arithmetic. */
static void
look_ahead(const struct ledger *l, const struct deployment *d, struct verdict_view *v)
{
	struct assumptions *a = &v->assumed;

	v->hazard = excluded(l, d, v);
	if (v->verdict == VERDICT_PROCEED && d->life == DEPLOYMENT_OPEN)
		v->next_ring_max = proceed_next_ring(d->params.harm_budget, v->hazard);
	if (d->life == DEPLOYMENT_OPEN && v->served > 0) {
		deployment_prospects(d, &v->votes_possible, &v->votes_needed);
		v->cannot_certify = v->votes_possible < v->votes_needed;
	}
	if (d->halted && d->life == DEPLOYMENT_OPEN)
		deployment_harm(l, d, &v->harmed, &v->harmed_back);
	v->fixed = d->halted ? d->fixed.clean : 0;
	v->fixed_bad = d->halted ? d->fixed.bad : 0;
	if (d->co_of != 0)
		v->suspects[v->n_suspects++] = d->co_of - 1;
	for (uint32_t i = 0; d->halted && i < l->n_open && v->n_suspects < VERDICT_SUSPECTS; i++)
		if (l->open[i]->co_of == d->no + 1)
			v->suspects[v->n_suspects++] = l->open[i]->no;
	*a = (struct assumptions){ .rho = d->params.rho,
				   .alpha = d->params.alpha,
				   .alpha_watch = d->params.alpha_watch,
				   .beta = d->params.beta,
				   .randomised = d->randomised,
				   .held_back = deployment_holds_back(d),
				   .vote_per_site = !d->randomised,
				   .strata = deployment_strata(d),
				   .min_age_s = d->params.host_age_s,
				   .active_s = l->halt.randomised.active_s,
				   .late_s = d->params.late_s,
				   .skew_s = HALT_SKEW_S,
				   .at_risk1 = d->strata.at_risk1,
				   .at_risk0 = d->strata.at_risk0,
				   .no_vote = d->served_new,
				   .late_votes = d->late_votes,
				   .early_votes = d->early_votes,
				   .over_cap = d->over_cap };
}

void
deployment_verdict(const struct ledger *l, const struct deployment *d, struct verdict_view *out)
{
	uint32_t trial = d->halted ? d->halt_trial : d->suspect;

	deployment_state(l, d, out);
	look_ahead(l, d, out);
	if (d->watch_until_us != 0 && !d->halted && d->watch_trial != UINT32_MAX)
		trial = d->watch_trial;
	if (trial != UINT32_MAX)
		deployment_evidence(l, d, trial, &out->evidence);
	else
		memset(&out->evidence, 0, offsetof(struct evidence, votes));
	verdict_say(l, d, out);
}

bool
ledger_verdict(const struct ledger *l, uint32_t no, struct verdict_view *out)
{
	if (no >= l->n_deployments)
		return false;
	deployment_verdict(l, l->deployments[no], out);
	return true;
}
