/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "collector/ledger/proceed.h"
#include "collector/ledger/state.h"

/* The words of a verdict: the one place where it becomes sentences. */

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

/* The smallest hazard that is excluded; hosts that fell silent count as bad, beyond the usual churn. */
static double
excluded(const struct ledger *l, const struct deployment *d, const struct verdict_view *v)
{
	double hours = (double)deployment_bake_us(l, d) / 3.6e9, churn = v->lost > 0 ? silence_churn(l) * hours : 0;

	return proceed_hazard((double)v->resolved + v->lost, (double)v->bad + v->lost, churn, d->params.beta);
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
	if (v->resolved < v->needed || (v->bad + v->lost > d->forgiven_bad && excluded(l, d, v) >= 1))
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
	if (d->co_of != 0)
		v->suspects[v->n_suspects++] = d->co_of - 1;
	for (uint32_t i = 0; d->halted && i < l->n_open && v->n_suspects < VERDICT_SUSPECTS; i++)
		if (l->open[i]->co_of == d->no + 1)
			v->suspects[v->n_suspects++] = l->open[i]->no;
	*a = (struct assumptions){ .rho = d->params.rho,
				   .alpha = d->params.alpha,
				   .alpha_watch = d->params.alpha_watch,
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

/* ---- sentences ---- */

/* "7.16", or the name of the deployment. */
static const char *
what(const struct deployment *d)
{
	return d->msg->version[0] != '\0' ? d->msg->version : d->msg->id;
}

static const char *
title_of(const struct standing *s)
{
	return s->title[0] != '\0' ? s->title : "a signature";
}

/* Every sentence fits unless a title is absurdly long: the numbers are in the evidence. */
static void
say_evidence(const struct deployment *d, const struct verdict_view *v, const char *lead, char *out, size_t size)
{
	const struct evidence *e = &v->evidence;
	const struct standing *s = &e->standing;
	char also[VERDICT_TITLE_MAX + 16] = "";

	if (e->signature != s->signature)
		snprintf(also, sizeof(also), " (mostly %s)", e->title);
	if (!s->set ||
	    snprintf(out, size,
		     "%s%s%s is on %u of %u served hosts at %u sites and on %u of %u hosts not served. If %s "
		     "were harmless, evidence this strong would appear in fewer than 1 of %.2g deployments "
		     "(threshold: 1 of %.2g).",
		     lead, title_of(s), also, s->served_with, s->served, s->served_sites, s->unserved_with, s->unserved,
		     what(d), num_exp(s->log_weight + s->log_e > 0 ? s->log_weight + s->log_e : 0),
		     num_exp(s->log_needed)) < 0)
		snprintf(out, size, "%sThe log records an automatic halt.", lead);
}

static void
say_hold(const struct ledger *l, const struct deployment *d, const struct verdict_view *v, char *out, size_t size)
{
	switch (v->state) {
	case STATE_NOTHING_SERVED:
		snprintf(out, size, "No host has been served this deployment yet.");
		break;
	case STATE_WATCH:
		if (d->eligible < d->params.small_fleet && d->sticky && v->evidence.standing.log_needed > 0 &&
		    !v->evidence.standing.would_cross)
			snprintf(out, size,
				 "%u served hosts crashed in a fleet of %u, too small for a proof: a person decides.",
				 v->bad, v->eligible);
		else
			say_evidence(d, v,
				     d->sticky ? "Paused until a person decides: "
					       : "Paused, to see whether there are more: ",
				     out, size);
		break;
	case STATE_CO_SUSPECT:
		snprintf(out, size,
			 "%s was halted, and the same crashes speak against this deployment as much: held until they "
			 "can be told apart or a person releases it.",
			 l->deployments[d->co_of - 1]->msg->id);
		break;
	case STATE_BLIND:
		snprintf(out, size, "The server does not hear its fleet: %s", ledger_blind_why(l, d->tenant));
		break;
	default:
		if (v->resolved >= v->needed) {
			snprintf(
				out, size,
				"%u served hosts are resolved, %u of them crashed, and %u others fell silent: this excludes "
				"no hazard, until more hosts are resolved or a person lets it go on.",
				v->resolved, v->bad, v->lost);
			break;
		}
		snprintf(out, size,
			 "%u of %u served hosts are resolved (alive for the bake time, or crashed); %u are needed.",
			 v->resolved, v->served, v->needed);
	}
}

static void
say_proceed(const struct verdict_view *v, char *out, size_t size)
{
	char fell[48] = "";
	int n;

	if (v->lost > 0)
		snprintf(fell, sizeof(fell), ", and %u others fell silent", v->lost);
	if (v->state == STATE_UNCERTIFIED)
		n = snprintf(
			out, size,
			"UNCERTIFIED: %u served hosts are resolved and none crashed; a fleet of %u is too small to "
			"prove anything.",
			v->resolved, v->eligible);
	else
		n = snprintf(out, size,
			     "%u served hosts are resolved, %u of them crashed%s: a hazard of %.2g and more is "
			     "excluded. A next ring of up to %llu hosts is certified.",
			     v->resolved, v->bad, fell, v->hazard, (unsigned long long)v->next_ring_max);
	if (v->cannot_certify && v->votes_needed == UINT32_MAX)
		snprintf(out + n, size - (size_t)n,
			 " CANNOT CERTIFY a halt any more: no hosts are left to compare with.");
	else if (v->cannot_certify)
		snprintf(out + n, size - (size_t)n, " CANNOT CERTIFY a halt: votes still possible %u, needed %u.",
			 v->votes_possible, v->votes_needed);
}

static void
say_reason(const struct ledger *l, const struct deployment *d, struct verdict_view *v)
{
	char *out = v->reason;
	size_t size = sizeof(v->reason), n = 0;

	out[0] = '\0';
	if (v->shadow && v->verdict == VERDICT_PROCEED && v->state != STATE_CLEAN && v->state != STATE_UNCERTIFIED &&
	    v->state != STATE_WOULD_HALT && v->state != STATE_CLOSED)
		n = (size_t)snprintf(out, size, "Shadow mode; armed it would hold: ");
	switch (v->state) {
	case STATE_CLEAN:
	case STATE_UNCERTIFIED:
		say_proceed(v, out, size);
		break;
	case STATE_WOULD_HALT:
		say_evidence(d, v, "Shadow mode; armed it would have halted: ", out, size);
		break;
	case STATE_HALTED:
		say_evidence(d, v, "", out, size);
		break;
	case STATE_RECOVERED:
		n = (size_t)snprintf(out, size, "%u of %u harmed hosts are well again. ", v->harmed_back, v->harmed);
		say_evidence(d, v, "", out + n, size - n);
		break;
	case STATE_HALTED_HEURISTIC:
		snprintf(out, size, "Without a proof that it was this deployment: %.*s", (int)d->said_len,
			 d->said != NULL ? d->said : "");
		break;
	case STATE_HALTED_BY_PERSON:
		snprintf(out, size, "Halted by a person: %.*s", (int)d->said_len, d->said != NULL ? d->said : "");
		break;
	case STATE_PAUSED:
		snprintf(out, size, "Paused by a person: %.*s", (int)d->said_len, d->said != NULL ? d->said : "");
		break;
	case STATE_CLOSED:
		snprintf(out, size, "The deployment is closed; its last verdict was %s.", verdict_name(v->verdict));
		break;
	case STATE_DELETED:
	case STATE_N:
		snprintf(out, size, "The deployment was deleted.");
		break;
	default:
		say_hold(l, d, v, out + n, size - n);
	}
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
	say_reason(l, d, out);
}

bool
ledger_verdict(const struct ledger *l, uint32_t no, struct verdict_view *out)
{
	if (no >= l->n_deployments)
		return false;
	deployment_verdict(l, l->deployments[no], out);
	return true;
}
