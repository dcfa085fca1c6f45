/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

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

static enum verdict_state
natural_state(const struct deployment *d, const struct verdict_view *v)
{
	if (d->life == DEPLOYMENT_DELETED)
		return STATE_DELETED;
	if (d->halted)
		return d->by_person ? STATE_HALTED_BY_PERSON : v->shadow ? STATE_WOULD_HALT : STATE_HALTED;
	if (d->life == DEPLOYMENT_CLOSED)
		return STATE_CLOSED;
	if (d->paused)
		return STATE_PAUSED;
	if (v->served == 0)
		return STATE_NOTHING_SERVED;
	if (v->resolved < v->needed)
		return STATE_TOO_FEW_RESOLVED;
	return v->unserved < FLOOR_CONTROLS ? STATE_TOO_FEW_CONTROLS : STATE_CLEAN;
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
		return shadow ? VERDICT_PROCEED : VERDICT_HOLD;
	case STATE_WATCH:
	case STATE_CO_SUSPECT:
	case STATE_BLIND:
	case STATE_PAUSED:
	case STATE_DELETED:
	case STATE_N:
		break;
	}
	return VERDICT_HOLD;
}

static uint32_t
bad_hosts(const struct ledger *l, const struct deployment *d)
{
	uint32_t any = keys_find(&l->keys, d->tenant, RUNG_ANY, l->keys.class_ids[RUNG_ANY]);
	const struct trial_row *row = any != KEY_NONE ? trial_find(d, any) : NULL;

	return row != NULL ? row->hosts1.n : 0;
}

void
deployment_state(const struct ledger *l, const struct deployment *d, struct verdict_view *v)
{
	uint64_t ring = ring_size(d);
	bool closed = d->life != DEPLOYMENT_OPEN;

	memset(v, 0, offsetof(struct verdict_view, reason));
	v->shadow = strcmp(d->msg->mode, "shadow") == 0;
	v->served = d->served;
	v->eligible = d->eligible;
	v->unserved = d->eligible - d->served_eligible;
	v->resolved = closed ? d->final_resolved : d->resolved.n;
	v->withdrawn = closed ? d->final_withdrawn : d->withdrawn.n;
	v->bad = bad_hosts(l, d);
	v->needed = ring < FLOOR_RESOLVED ? (uint32_t)ring : FLOOR_RESOLVED;
	v->state = natural_state(d, v);
	v->verdict = verdict_of(d, v->state, v->shadow);
	v->version = d->version;
	v->since_pos = d->since_pos;
	v->since_us = d->since_us;
	v->fresh_pos = l->position;
	v->fresh_us = l->now_us;
	v->recorded = d->recorded;
	v->halt_pos = d->halt_pos;
	/* HALT 5: n clean hosts let the next ring be ten times that; each bad one counts against it */
	if (v->verdict == VERDICT_PROCEED && !closed)
		v->next_ring_max = 10ull * v->resolved / (1 + v->bad);
}

/* ---- evidence ---- */

void
deployment_evidence(const struct ledger *l, const struct deployment *d, uint32_t trial, struct evidence *out)
{
	const struct trial_row *row = table_at(&d->trials, trial);
	const struct key *key = key_at(&l->keys, row->key_no);
	struct text module = key_module(key);
	struct trial t;

	memset(out, 0, sizeof(*out));
	trial_counts(l, d, row, &t);
	out->set = true;
	out->signature = row->key_id;
	if (key->id == row->key_id) {
		key_title(key, out->title, sizeof(out->title));
		snprintf(out->module, sizeof(out->module), "%.*s", (int)module.len, module.at);
	}
	out->served_with = t.n1;
	out->served = t.N1;
	out->unserved_with = t.n0;
	out->unserved = t.N0;
	out->served_sites = t.sites1;
	out->module_served_with = t.m1;
	out->module_unserved_with = t.m0;
	out->first_pos = row->first_pos;
	out->last_pos = row->last_pos;
	out->first_us = row->first_us;
	out->last_us = row->last_us;
	out->n_votes = row->n_votes;
	if (row->n_votes > 0)
		memcpy(out->votes, row->votes, row->n_votes * sizeof(*row->votes));
}

/* ---- sentences ---- */

static void
say_suspect(const struct verdict_view *v, const char *lead, char *out, size_t size)
{
	const struct evidence *e = &v->evidence;
	int n;

	n = snprintf(
		out, size,
		"%s%s, never seen before this deployment began, is on %u of %u served hosts at %u sites and on %u of %u "
		"eligible hosts not served; any crash of %s is on %u and %u of them.",
		lead, e->title[0] != '\0' ? e->title : "A signature", e->served_with, e->served, e->served_sites,
		e->unserved_with, e->unserved, e->module[0] != '\0' ? e->module : "the kernel", e->module_served_with,
		e->module_unserved_with);
	if (n < 0 || (size_t)n >= size)
		out[size - 1] = '\0'; /* an absurdly long module name: the numbers are in the evidence */
}

static void
say_hold(const struct verdict_view *v, char *out, size_t size)
{
	switch (v->state) {
	case STATE_NOTHING_SERVED:
		snprintf(out, size, "No host has been served this deployment yet.");
		break;
	case STATE_TOO_FEW_RESOLVED:
		snprintf(out, size,
			 "%u of %u served hosts are resolved (alive for the bake time, or crashed); %u are needed.",
			 v->resolved, v->served, v->needed);
		break;
	default:
		snprintf(out, size, "Only %u eligible hosts are not served; %u are needed to compare with.",
			 v->unserved, FLOOR_CONTROLS);
	}
}

static void
say_reason(const struct deployment *d, struct verdict_view *v)
{
	char *out = v->reason;
	size_t size = sizeof(v->reason);
	size_t n = 0;

	out[0] = '\0';
	if (v->shadow && v->state <= STATE_TOO_FEW_CONTROLS)
		n = (size_t)snprintf(out, size, "Shadow mode; armed it would hold: ");
	switch (v->state) {
	case STATE_NOTHING_SERVED:
	case STATE_TOO_FEW_RESOLVED:
	case STATE_TOO_FEW_CONTROLS:
		say_hold(v, out + n, size - n);
		break;
	case STATE_CLEAN:
		snprintf(
			out, size,
			"%u served hosts are resolved, %u of them crashed, and no new signature sets them apart from %u "
			"hosts not served.",
			v->resolved, v->bad, v->unserved);
		break;
	case STATE_WOULD_HALT:
		say_suspect(v, "Shadow mode; armed it would have halted: ", out, size);
		break;
	case STATE_HALTED:
		if (v->evidence.set)
			say_suspect(v, "", out, size);
		else
			snprintf(out, size, "The log records an automatic halt.");
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
		snprintf(out, size, "The deployment was deleted.");
		break;
	default:
		break;
	}
}

void
deployment_verdict(const struct ledger *l, const struct deployment *d, struct verdict_view *out)
{
	uint32_t trial = d->halted ? d->halt_trial : d->suspect;

	deployment_state(l, d, out);
	out->evidence.set = false;
	out->evidence.n_votes = 0;
	if (trial != UINT32_MAX)
		deployment_evidence(l, d, trial, &out->evidence);
	say_reason(d, out);
}

bool
ledger_verdict(const struct ledger *l, uint32_t no, struct verdict_view *out)
{
	if (no >= l->n_deployments)
		return false;
	deployment_verdict(l, l->deployments[no], out);
	return true;
}
