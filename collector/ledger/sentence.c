/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "collector/ledger/prose.h"
#include "collector/ledger/state.h"

/* The words of a verdict: the one place where it becomes sentences.  Pages, programs, webhooks and people who copy them
 * all have them from here.  Times stand in them, not ages: a sentence does not change by itself. */

/* "7.16", or the name of the deployment. */
static const char *
what(const struct deployment *d)
{
	return d->msg->version[0] != '\0' ? d->msg->version : d->msg->id;
}

static void
name(struct prose *p, const struct standing *s)
{
	if (s->title[0] == '\0')
		prose_say(p, "a signature");
	else if (s->rung == RUNG_MODULE || s->key_no == UINT32_MAX)
		prose_name(p, PART_MODULE, s->title, s->signature);
	else
		prose_name(p, PART_SIGNATURE, s->title, s->signature);
}

/* "csagent.sys is on 52 of 1,042 exposed hosts at 8 sites and on 1 of 990,198 others." */
static void
say_counts(struct prose *p, const struct verdict_view *v)
{
	const struct standing *s = &v->evidence.standing;
	const struct evidence *e = &v->evidence;
	const bool silence = s->key_no == UINT32_MAX;

	if (!silence) {
		name(p, s);
		if (e->signature != s->signature) {
			prose_say(p, " (mostly ");
			prose_name(p, PART_SIGNATURE, e->title, e->signature);
			prose_say(p, ")");
		}
		prose_say(p, " is on ");
	}
	prose_count(p, s->served_with);
	prose_say(p, " of ");
	prose_count(p, s->served);
	prose_say(p, " exposed hosts%s at ",
		  !silence                   ? ""
		  : s->trial_key == KEY_DARK ? " went dark"
					     : " are in a boot loop");
	prose_count(p, s->served_sites);
	prose_say(p, " %s and %s", s->served_sites == 1 ? "site" : "sites", silence ? "" : "on ");
	prose_count(p, s->unserved_with);
	prose_say(p, " of ");
	prose_count(p, s->unserved);
	prose_say(p, " others.");
}

static void
say_odds(struct prose *p, const struct deployment *d, const struct verdict_view *v)
{
	const struct standing *s = &v->evidence.standing;
	const double odds = s->log_weight + s->log_e;

	prose_say(p, " If %s were harmless, evidence this strong would appear in fewer than 1 of ", what(d));
	prose_odds(p, num_exp(odds > 0 ? odds : 0));
	prose_say(p, " deployments (threshold: 1 of ");
	prose_odds(p, num_exp(s->log_needed));
	prose_say(p, ").");
}

/* Which votes had come when it was halted. */
static void
say_crossing(struct prose *p, const struct ledger *l, const struct verdict_view *v)
{
	const struct evidence *e = &v->evidence;
	uint32_t votes = 0, sites = 0, i;

	for (i = 0; i < e->n_votes && e->votes[i].pos <= v->halt_pos; i++) {
		uint32_t k = 0;

		if (!e->votes[i].exposed)
			continue;
		votes++;
		while (k < i && (!e->votes[k].exposed || e->votes[k].site != e->votes[i].site))
			k++;
		sites += k == i;
	}
	prose_say(p, " Crossed at ");
	prose_time(p, v->halt_us, l->now_us);
	if (i < VERDICT_VOTES && votes > 0) { /* else only the first of them are here */
		prose_say(p, " with ");
		prose_count(p, votes);
		prose_say(p, " exposed %s from ", votes == 1 ? "vote" : "votes");
		prose_count(p, sites);
		prose_say(p, " %s", sites == 1 ? "site" : "sites");
	}
	if (v->harmed > 0) {
		prose_say(p, "; ");
		prose_count(p, v->harmed);
		prose_say(p, " %s harmed", v->harmed == 1 ? "host" : "hosts");
	}
	prose_say(p, ".");
}

/* What was found where no hosts are left to compare with. */
static void
say_past(struct prose *p, const struct ledger *l, const struct deployment *d, const struct verdict_view *v)
{
	prose_say(
		p,
		"No hosts are left to compare with, so it is compared with the past: %.*s. If the fleet went on as it "
		"did, evidence this strong would appear in fewer than 1 of ",
		(int)d->cause_len, d->cause != NULL ? d->cause : "");
	prose_odds(p, num_exp(d->past.odds < 700 ? d->past.odds : 700));
	prose_say(p, d->past.newborn ? " new kernel signatures (threshold: 1 of " : " deployments (threshold: 1 of ");
	prose_odds(p, num_exp(d->past.needed));
	prose_say(p, "). That it is the doing of %s is not proved.", what(d));
	if (d->halted && v->halt_us != 0)
		say_crossing(p, l, v);
}

static void
say_evidence(struct prose *p, const struct ledger *l, const struct deployment *d, const struct verdict_view *v)
{
	if (v->by_past) {
		say_past(p, l, d, v);
		return;
	}
	if (!v->evidence.standing.set) {
		prose_say(p, "The log records an automatic halt.");
		return;
	}
	say_counts(p, v);
	say_odds(p, d, v);
	if (d->halted && v->halt_us != 0)
		say_crossing(p, l, v);
}

static void
say_watch(struct prose *p, const struct ledger *l, const struct deployment *d, const struct verdict_view *v)
{
	const struct standing *s = &v->evidence.standing;

	if (d->eligible < d->params.small_fleet && d->sticky && s->log_needed > 0 && !s->would_cross) {
		prose_say(p, "Paused until a person decides: ");
		prose_count(p, v->bad);
		prose_say(p, " exposed hosts crashed in a fleet of ");
		prose_count(p, v->eligible);
		prose_say(p, ", too small for a proof.");
		return;
	}
	prose_say(p, "Paused at ");
	prose_time(p, v->since_us, l->now_us);
	prose_say(p, ": ");
	if (v->by_past)
		say_past(p, l, d, v);
	else if (s->set)
		say_counts(p, v);
	if (d->sticky) {
		prose_say(p, " A person decides.");
		return;
	}
	prose_say(p, " Resumes by itself at ");
	prose_time(p, d->watch_until_us, l->now_us);
	prose_say(p, " unless there are more.");
}

/* Until when the hosts that were served last are watched; 0: that is over. */
static int64_t
bake_end(const struct ledger *l, const struct deployment *d)
{
	const int64_t end = d->last_receipt_us + deployment_bake_us(l, d);

	return d->last_receipt_us > 0 && end > l->now_us ? end : 0;
}

static void
say_insufficient(struct prose *p, const struct ledger *l, const struct deployment *d, const struct verdict_view *v)
{
	const int64_t end = bake_end(l, d);

	if (v->resolved >= v->needed) {
		prose_say(p, "Wait: ");
		prose_count(p, v->resolved);
		prose_say(p, " exposed hosts are resolved, ");
		prose_count(p, v->bad);
		prose_say(p, " of them crashed, and ");
		prose_count(p, v->lost);
		prose_say(p,
			  " others fell silent: this excludes no hazard, until more are resolved or a person lets it "
			  "go on.");
		return;
	}
	prose_say(p, "Wait: ");
	prose_count(p, v->resolved);
	prose_say(p, " of ");
	prose_count(p, v->needed);
	prose_say(p, " hosts are resolved; ");
	prose_count(p, v->needed - v->resolved);
	prose_say(p, " more %s missing", v->needed - v->resolved == 1 ? "is" : "are");
	if (end != 0) {
		prose_say(p, ", and the bake time ends at ");
		prose_time(p, end, l->now_us);
	}
	if (v->bad + v->lost == 0) {
		prose_say(p, ". Nothing bad so far.");
		return;
	}
	prose_say(p, ". So far ");
	prose_count(p, v->bad);
	prose_say(p, " crashed and ");
	prose_count(p, v->lost);
	prose_say(p, " fell silent.");
}

static void
say_hold(struct prose *p, const struct ledger *l, const struct deployment *d, const struct verdict_view *v)
{
	switch (v->state) {
	case STATE_NOTHING_SERVED:
		prose_say(p, "No host has been served this deployment yet.");
		break;
	case STATE_WATCH:
		say_watch(p, l, d, v);
		break;
	case STATE_CO_SUSPECT:
		prose_say(p, "Paused until a person releases it: ");
		prose_name(p, PART_DEPLOYMENT, l->deployments[d->co_of - 1]->msg->id, 0);
		prose_say(p, " was halted, and the same crashes speak against this deployment as much.");
		break;
	case STATE_BLIND:
		prose_say(p, "Holding: the server does not hear its fleet, so silence is not judged (%s).",
			  ledger_blind_why(l, d->tenant));
		break;
	default:
		say_insufficient(p, l, d, v);
	}
}

static void
say_proceed(struct prose *p, const struct deployment *d, const struct verdict_view *v)
{
	if (v->state == STATE_UNCERTIFIED) {
		prose_say(p, "UNCERTIFIED: ");
		prose_count(p, v->resolved);
		prose_say(p, " exposed hosts are resolved and none crashed; a fleet of ");
		prose_count(p, v->eligible);
		prose_say(p, " is too small to prove anything.");
	} else {
		prose_say(p, "Clear to serve up to ");
		prose_count(p, v->next_ring_max);
		prose_say(p, " more hosts: ");
		prose_count(p, v->resolved);
		prose_say(p, " hosts took it and ");
		if (v->bad > 0)
			prose_count(p, v->bad);
		else
			prose_say(p, "none");
		prose_say(p, " went bad");
		if (v->lost > 0) {
			prose_say(p, ", ");
			prose_count(p, v->lost);
			prose_say(p, " others fell silent");
		}
		prose_say(p, ", so its hazard is under ");
		prose_rate(p, v->hazard);
		prose_say(p, " (1 in ");
		prose_count(p, (uint64_t)(1 / d->params.beta + 0.5));
		prose_say(p, " error).");
	}
	if (v->cannot_certify && v->votes_needed == UINT32_MAX) {
		prose_say(p, " CANNOT CERTIFY a halt any more: no hosts are left to compare with.");
	} else if (v->cannot_certify) {
		prose_say(p, " CANNOT CERTIFY a halt: votes still possible ");
		prose_count(p, v->votes_possible);
		prose_say(p, ", needed ");
		prose_count(p, v->votes_needed);
		prose_say(p, ".");
	}
}

void
verdict_say(const struct ledger *l, const struct deployment *d, struct verdict_view *v)
{
	const char *said = d->said != NULL ? d->said : "";
	const int said_len = d->said != NULL ? (int)d->said_len : 0;
	struct prose p;

	prose_begin(&p, v->reason, sizeof(v->reason), v->parts, VERDICT_PARTS, &v->n_parts);
	if (v->shadow && v->verdict == VERDICT_PROCEED && v->state != STATE_CLEAN && v->state != STATE_UNCERTIFIED &&
	    v->state != STATE_WOULD_HALT && v->state != STATE_CLOSED)
		prose_say(&p, "Shadow mode; armed it would hold: ");
	switch (v->state) {
	case STATE_CLEAN:
	case STATE_UNCERTIFIED:
		say_proceed(&p, d, v);
		break;
	case STATE_WOULD_HALT:
		prose_say(&p, "Shadow mode; armed it would have halted: ");
		say_evidence(&p, l, d, v);
		break;
	case STATE_HALTED:
		say_evidence(&p, l, d, v);
		break;
	case STATE_RECOVERED:
		prose_count(&p, v->harmed_back);
		prose_say(&p, " of ");
		prose_count(&p, v->harmed);
		prose_say(&p, " harmed hosts are back, and of ");
		prose_count(&p, (uint64_t)v->fixed + v->fixed_bad);
		prose_say(&p, " that got the fix ");
		prose_count(&p, v->fixed_bad);
		prose_say(&p, " crashed. Still halted; a person releases it. ");
		say_evidence(&p, l, d, v);
		break;
	case STATE_HALTED_HEURISTIC:
		if (v->by_past) {
			say_past(&p, l, d, v);
			break;
		}
		prose_say(&p, "Halted by the emergency brake, without a bound on how often that is wrong: %.*s",
			  (int)d->cause_len, d->cause != NULL ? d->cause : "");
		break;
	case STATE_HALTED_BY_PERSON:
		prose_say(&p, "Halted by a person: %.*s", said_len, said);
		break;
	case STATE_PAUSED:
		prose_say(&p, "Paused by a person: %.*s", said_len, said);
		break;
	case STATE_CLOSED:
		prose_say(&p, "The deployment is closed; its last verdict was %s.", verdict_name(v->verdict));
		break;
	case STATE_DELETED:
	case STATE_N:
		prose_say(&p, "The deployment was deleted.");
		break;
	default:
		say_hold(&p, l, d, v);
	}
}
