/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"

/* Where keys of a deployment stand, and the votes that brought them there. */

#define INTERVAL_ALPHA 0.05
#define MINUTE_US      60000000ll

/* ---- what could still come ---- */

/* The chance that the next vote is a served host's, where most of them are. */
static double
chance_now(const struct deployment *d)
{
	struct share most = { 0, 0 };

	for (uint64_t i = 0; i < d->strata.rows.n; i++) {
		const struct stratum_row *row = table_at(&d->strata.rows, i);

		if (row->now.y1 > most.y1)
			most = row->now;
	}
	return eprocess_chance(d->params.rho, most.y1, most.y0);
}

static uint32_t
votes_needed(const struct deployment *d, const struct eprocess *e, double alpha, struct floors f, uint32_t have)
{
	double q = chance_now(d);
	uint32_t n = d->strata.at_risk1 > 0 ? eprocess_needs(e, q, alpha) : UINT32_MAX;

	if (n == UINT32_MAX)
		return n;
	return n + have < f.hosts ? f.hosts - have : n;
}

static uint32_t
votes_possible(const struct deployment *d, const struct trial_row *row)
{
	uint32_t used;

	if (!d->randomised) {
		used = row != NULL ? row->spent.n : 0;
		return d->sites.n > used ? d->sites.n - used : 0;
	}
	used = row != NULL ? row->served.n : 0;
	return d->strata.at_risk1 > used ? d->strata.at_risk1 - used : 0;
}

void
deployment_prospects(const struct deployment *d, uint32_t *possible_out, uint32_t *needed_out)
{
	enum key_pool pool = d->msg->n_modules > 0 ? POOL_OWN : POOL_NEW_KERNEL;
	struct eprocess fresh;

	eprocess_init(&fresh, GRID_NEW,
		      key_log_weight(pool, pool == POOL_OWN ? 1 : d->births[pool] + 1, key_births(&d->params, pool)));
	*possible_out = votes_possible(d, NULL);
	*needed_out = votes_needed(d, &fresh, d->params.alpha, key_floors(&d->params, SEVERITY_KERNEL), 0);
}

/* ---- one key ---- */

static void
say_why(const struct deployment *d, const struct standing *s, const struct trial_row *row, char *out, size_t size)
{
	uint32_t hosts = row->served.n - row->forgiven;

	if (d->halted && d->halt_trial != UINT32_MAX && row == trial_at(d, d->halt_trial))
		snprintf(out, size, "It halted the deployment.");
	else if (s->muted)
		snprintf(out, size, "Muted or accepted for this deployment: it has no vote.");
	else if (!s->tested)
		snprintf(out, size,
			 "Not tested by itself: only served hosts can have this build; its module's name is tested.");
	else if (!s->would_cross)
		snprintf(out, size, "Weight and evidence give odds of e^%.1f, e^%.1f are needed.",
			 s->log_weight + s->log_e, s->log_needed);
	else if (hosts < s->k_min || s->served_sites < s->s_min)
		snprintf(out, size,
			 "The evidence suffices; %u served hosts at %u sites are too few, %u at %u are needed.", hosts,
			 s->served_sites, s->k_min, s->s_min);
	else if (s->material < s->material_needed)
		snprintf(out, size, "The evidence suffices; too rare to be worth a halt.");
	else
		snprintf(out, size, "It reaches the level of a halt; a program of others is watched, not halted for.");
}

static void
name_key(const struct ledger *l, const struct trial_row *row, struct standing *out)
{
	const struct key *key = trial_key(l, row);
	struct text module;

	out->key_no = key != NULL ? row->key_no : UINT32_MAX;
	out->trial_key = row->key_no;
	out->grid = (uint8_t)row->e.grid;
	out->signature = row->key_id;
	out->rung = key != NULL ? key->rung : RUNG_N;
	if (row->key_no == KEY_DARK || row->key_no == KEY_BOOT)
		snprintf(out->title, sizeof(out->title),
			 row->key_no == KEY_DARK ? "went dark" : "hosts in a boot loop");
	if (key == NULL)
		return;
	module = key_module(key);
	key_title(key, out->title, sizeof(out->title));
	snprintf(out->module, sizeof(out->module), "%.*s", (int)module.len, module.at);
}

void
trial_standing(const struct ledger *l, const struct deployment *d, const struct trial_row *row, struct standing *out)
{
	enum key_severity severity = trial_severity(l, row);
	struct floors f = key_floors(&d->params, severity);
	double alpha = d->params.alpha;

	*out = (struct standing){ .set = true };
	name_key(l, row, out);
	out->pool = key_pool_name((enum key_pool)row->pool);
	out->severity = key_severity_name(severity);
	out->own = (row->flags & TRIAL_OWN) != 0;
	out->tested = (row->flags & TRIAL_SHOWN) == 0;
	out->muted = deployment_mutes(d, row->key_id, l->now_us);
	out->birth = row->birth;
	out->log_weight = row->e.log_weight;
	out->log_e = eprocess_log(&row->e);
	out->peak_e = row->e.peak;
	out->log_needed = trial_needed(d, row);
	out->rho = row->key_no == KEY_DARK ? d->params.rho_dark : d->params.rho;
	out->k_min = f.hosts;
	out->s_min = f.sites;
	out->material = trial_material(d, row);
	out->material_needed = -num_log(d->params.alpha_material);
	eprocess_interval(&row->e, out->rho, INTERVAL_ALPHA, &out->ratio_low, &out->ratio_high);
	out->served_with = row->served.n;
	out->served = d->served;
	out->unserved_with = trial_unserved(row);
	out->unserved = d->eligible - d->served_eligible;
	out->served_sites = row->sites1.n;
	out->others_with = row->others.n;
	out->at_risk1 = d->strata.at_risk1;
	out->at_risk0 = d->strata.at_risk0;
	out->votes_possible = votes_possible(d, row);
	for (uint8_t i = 0; i < row->resumes; i++)
		alpha /= 2;
	out->votes_needed =
		out->tested ? votes_needed(d, &row->e, alpha, f, row->served.n - row->forgiven) : UINT32_MAX;
	out->resumes = row->resumes;
	out->would_cross = out->tested && out->log_weight + out->log_e >= out->log_needed;
	say_why(d, out, row, out->why, sizeof(out->why));
}

static const struct deployment *
deployment_no(const struct ledger *l, uint32_t no)
{
	return no < l->n_deployments ? l->deployments[no] : NULL;
}

bool
ledger_standing(const struct ledger *l, uint32_t deployment, uint32_t key_no, struct standing *out)
{
	const struct deployment *d = deployment_no(l, deployment);
	const struct trial_row *row = d != NULL ? trial_find(d, key_no) : NULL;

	*out = (struct standing){ .key_no = key_no };
	if (row != NULL)
		trial_standing(l, d, row, out);
	return d != NULL;
}

bool
ledger_standing_special(const struct ledger *l, uint32_t deployment, unsigned which, struct standing *out)
{
	return ledger_standing(l, deployment, which == 0 ? KEY_DARK : KEY_BOOT, out);
}

uint32_t
ledger_blamed(const struct ledger *l, uint32_t key_no)
{
	uint32_t best = UINT32_MAX, most = 0;

	for (uint32_t i = 0; i < l->n_open; i++) {
		const struct trial_row *row = trial_find(l->open[i], key_no);

		if (row != NULL && row->served.n > most) {
			most = row->served.n;
			best = l->open[i]->no;
		}
	}
	return best;
}

struct ranked_trial {
	double odds;
	uint32_t trial;
};

static int
by_odds(const void *a, const void *b)
{
	const struct ranked_trial *x = a, *y = b;

	if (x->odds != y->odds)
		return x->odds > y->odds ? -1 : 1;
	return (x->trial > y->trial) - (x->trial < y->trial);
}

size_t
ledger_standings(const struct ledger *l, uint32_t deployment, uint32_t *keys_out, size_t cap)
{
	const struct deployment *d = deployment_no(l, deployment);
	struct ranked_trial *v;
	size_t n = 0;

	if (d == NULL)
		return 0;
	v = mem_zero(d->trials.n, sizeof(*v));
	for (uint32_t i = 0; i < d->trials.n; i++) {
		const struct trial_row *row = trial_at(d, i);

		if (row->key_no == KEY_NONE || row->key_no >= KEY_BOOT || row->served.n == 0)
			continue;
		v[n++] = (struct ranked_trial){ (row->flags & TRIAL_SHOWN) != 0 ? -1e9 : trial_odds(row), i };
	}
	qsort(v, n, sizeof(*v), by_odds);
	n = n < cap ? n : cap;
	for (size_t i = 0; i < n; i++)
		keys_out[i] = trial_at(d, v[i].trial)->key_no;
	free(v);
	return n;
}

/* ---- votes ---- */

struct reading {
	struct eprocess e;
	double rho;
};

static void
read_vote(const struct deployment *d, const struct trial_row *row, const struct vote_row *v, struct reading *r,
	  struct vote *out)
{
	double before = eprocess_log(&r->e), after = before;

	*out = (struct vote){ .host_no = v->host_no,
			      .exposed = (v->flags & VOTE_EXPOSED) != 0,
			      .site = v->site,
			      .stratum = v->stratum,
			      .y1 = v->y1,
			      .y0 = v->y0,
			      .pos = v->pos,
			      .at_us = v->at_us,
			      .crash_us = v->crash_us,
			      .served_us = v->served > 0 ? d->begin_us + (v->served - 1) * MINUTE_US : 0,
			      .q = eprocess_chance(r->rho, v->y1, v->y0) };
	out->counted = (v->flags & VOTE_SPENT) == 0 && (row->flags & TRIAL_SHOWN) == 0 && eprocess_counts(out->q);
	if (out->counted)
		after = eprocess_vote(&r->e, out->exposed, out->q);
	out->log_factor = after - before;
	out->log_odds = r->e.log_weight + after;
}

/* Votes from number `from` on.  After a resume the evidence begins again. */
static size_t
read_votes(const struct deployment *d, const struct trial_row *row, uint64_t from, struct vote *out, size_t cap)
{
	uint32_t *order = mem_zero(row->n_kept, sizeof(*order)), at = row->last_vote;
	struct reading r = { .rho = row->key_no == KEY_DARK ? d->params.rho_dark : d->params.rho };
	struct vote ignored;
	size_t n = 0;

	for (uint32_t i = row->n_kept; i > 0 && at > 0; i--) {
		order[i - 1] = at - 1;
		at = ((struct vote_row *)table_at(&d->votes, at - 1))->before;
	}
	eprocess_init(&r.e, (enum ratio_grid)row->e.grid, row->e.log_weight);
	for (uint32_t i = 0; i < row->n_kept && n < cap; i++) {
		if (i == row->since)
			eprocess_init(&r.e, (enum ratio_grid)row->e.grid, row->e.log_weight);
		read_vote(d, row, table_at(&d->votes, order[i]), &r, i >= from ? &out[n] : &ignored);
		n += i >= from;
	}
	free(order);
	return n;
}

size_t
ledger_votes(const struct ledger *l, uint32_t deployment, uint32_t key_no, uint64_t from, struct vote *out, size_t cap,
	     uint64_t *total_out, uint64_t *kept_out)
{
	const struct deployment *d = deployment_no(l, deployment);
	const struct trial_row *row = d != NULL ? trial_find(d, key_no) : NULL;

	if (total_out != NULL)
		*total_out = row != NULL ? row->n_votes : 0;
	if (kept_out != NULL)
		*kept_out = row != NULL ? row->n_kept : 0;
	return row != NULL ? read_votes(d, row, from, out, cap) : 0;
}

/* ---- evidence ---- */

/* The exact signature of the same module, or of any, that most served hosts have. */
static void
lead(const struct ledger *l, const struct deployment *d, const struct trial_row *of, struct evidence *out)
{
	const struct key *key = trial_key(l, of);
	const struct trial_row *best = NULL;

	if (key == NULL || key->rung == RUNG_KEY || key->rung == RUNG_STOP)
		return;
	for (uint32_t i = 0; i < d->trials.n; i++) {
		const struct trial_row *row = trial_at(d, i);
		const struct key *k = row->key_no != KEY_NONE ? trial_key(l, row) : NULL;

		if (k == NULL || (k->rung != RUNG_KEY && k->rung != RUNG_STOP) ||
		    (key->rung == RUNG_MODULE && (k->rung != RUNG_KEY || k->module_id_key != key->id)) ||
		    (key->rung == RUNG_KERNEL && trial_severity(l, row) != SEVERITY_KERNEL))
			continue;
		if (best == NULL || row->served.n > best->served.n)
			best = row;
	}
	if (best == NULL || best->served.n == 0)
		return;
	out->signature = best->key_id;
	key_title(trial_key(l, best), out->title, sizeof(out->title));
}

void
deployment_evidence(const struct ledger *l, const struct deployment *d, uint32_t trial, struct evidence *out)
{
	const struct trial_row *row = trial_at(d, trial), *module = NULL;
	const struct key *key = trial_key(l, row);
	struct standing *s = &out->standing;

	memset(out, 0, offsetof(struct evidence, votes));
	trial_standing(l, d, row, s);
	out->set = true;
	out->signature = s->signature;
	memcpy(out->title, s->title, sizeof(out->title));
	memcpy(out->module, s->module, sizeof(out->module));
	out->served_with = s->served_with;
	out->served = s->served;
	out->unserved_with = s->unserved_with;
	out->unserved = s->unserved;
	out->served_sites = s->served_sites;
	if (key != NULL && key->rung == RUNG_KEY)
		module = trial_find(d, keys_find(&l->keys, d->tenant, RUNG_MODULE, key->module_id_key));
	module = module != NULL ? module : row;
	out->module_served_with = module->served.n;
	out->module_unserved_with = trial_unserved(module);
	out->first_pos = row->first_pos;
	out->last_pos = row->last_pos;
	out->first_us = row->first_us;
	out->last_us = row->last_us;
	lead(l, d, row, out);
	out->n_votes = (uint32_t)read_votes(d, row, row->since, out->votes, VERDICT_VOTES);
}
