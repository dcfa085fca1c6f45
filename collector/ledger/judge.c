/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "collector/ledger/annals.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/numeric.h"
#include "collector/ledger/proceed.h"
#include "collector/ledger/state.h"

/* When a deployment is paused, halted, or held because another one was. */

#define LOG_2          0x1.62e42fefa39efp-1
#define LOG_100        0x1.26bb1bbb55515p+2
#define WATCH_HOSTS    2u
#define WATCH_SITES    2u
#define CLEARING_VOTES 5u

/* ---- one key ---- */

static enum key_severity
severity_of(const struct ledger *l, const struct trial_row *row)
{
	const struct key *key = trial_key(l, row);

	if (row->key_no == KEY_DARK)
		return SEVERITY_DARK;
	if (key == NULL || key->rung == RUNG_KERNEL || key->rung == RUNG_STOP ||
	    (key->rung != RUNG_ANY && (key->kinds & (1u << REPORT_KERNEL | 1u << REPORT_BOOT_CRITICAL)) != 0))
		return SEVERITY_KERNEL;
	return (row->flags & (TRIAL_OWN | TRIAL_SERVICE)) != 0 ? SEVERITY_SERVICE : SEVERITY_USER;
}

enum key_severity
trial_severity(const struct ledger *l, const struct trial_row *row)
{
	return severity_of(l, row);
}

/* A crash of somebody else's program is watched, not halted for: unless nobody said what the deployment's
 * own programs are. */
bool
trial_may_halt(const struct ledger *l, const struct deployment *d, const struct trial_row *row)
{
	return severity_of(l, row) != SEVERITY_USER || d->msg->n_modules == 0;
}

double
trial_needed(const struct deployment *d, const struct trial_row *row)
{
	return row->resumes * LOG_2 - num_log(d->params.alpha);
}

double
trial_odds(const struct trial_row *row)
{
	return row->e.log_weight + eprocess_log(&row->e);
}

/* Distinct hosts of both arms; those whom a late receipt moved count once. */
uint32_t
trial_unserved(const struct trial_row *row)
{
	return row->unserved.n - row->moved;
}

double
trial_material(const struct deployment *d, const struct trial_row *row)
{
	double served = d->served, unserved = d->eligible - d->served_eligible, mu;

	/* of silence served hosts are asked about for minutes, the others all day: their shares do not compare */
	if (row->e.grid != GRID_OLD || unserved < 1)
		mu = material_mu_new(d->params.delta, served);
	else
		mu = material_mu_old(d->params.delta, served, trial_unserved(row), unserved);
	return material_log(row->served.n - row->forgiven, mu);
}

bool
trial_crosses(const struct ledger *l, const struct deployment *d, const struct trial_row *row)
{
	struct floors f = key_floors(&d->params, severity_of(l, row));

	if (trial_odds(row) < trial_needed(d, row) || row->served.n - row->forgiven < f.hosts ||
	    row->sites1.n < f.sites)
		return false;
	return trial_material(d, row) >= -num_log(d->params.alpha_material);
}

static bool
row_muted(const struct ledger *l, const struct deployment *d, const struct trial_row *row)
{
	return deployment_mutes(d, row->key_id, l->now_us);
}

/* Evidence enough to stop serving for a while, and more of it than when that was done last. */
static bool
watches(const struct deployment *d, const struct trial_row *row)
{
	return trial_odds(row) >= -num_log(d->params.alpha_watch) && row->served.n - row->forgiven >= WATCH_HOSTS &&
	       row->sites1.n >= WATCH_SITES && row->served.n > row->watched;
}

/* ---- one deployment ---- */

bool
deployment_is_shadow(const struct ledger *l, const struct deployment *d)
{
	return strcmp(d->msg->mode, "shadow") == 0 || l->halt.randomised.shadow;
}

static void
watch(struct ledger *l, struct deployment *d, uint32_t trial, bool sticky)
{
	struct trial_row *row = table_edit(&d->trials, &l->snap, trial);

	row->watched = row->served.n;
	annals_touch(l, d);
	d->watch_trial = trial;
	d->by_past = false;
	d->watch_until_us = l->now_us + d->params.watch_pause_s * 1000000ll;
	d->sticky = d->sticky || sticky || !d->params.auto_resume;
}

static void
latch(struct ledger *l, struct deployment *d, uint32_t trial, uint64_t pos)
{
	annals_touch(l, d);
	d->halted = true;
	d->by_person = d->recorded = d->heuristic = d->recovered = d->by_past = false;
	d->halt_trial = trial;
	d->halt_pos = pos;
	d->halt_us = l->now_us;
	d->watch_until_us = 0;
	d->sticky = false;
	if (trial != UINT32_MAX)
		((struct trial_row *)table_edit(&d->trials, &l->snap, trial))->flags |= TRIAL_CROSSED;
}

static void
ask_for_decision(struct ledger *l, struct deployment *d)
{
	struct verdict_view v;

	if (deployment_is_shadow(l, d) || l->sink.decision_wanted == NULL)
		return;
	deployment_verdict(l, d, &v);
	l->sink.decision_wanted(l->sink.arg, d->tenant, d->msg->id, v.reason, d->halt_pos);
}

/* The trial that stands highest of those that cross and may halt; pauses for others. */
static uint32_t
look(struct ledger *l, struct deployment *d)
{
	uint32_t best = UINT32_MAX;

	for (uint32_t i = 0; i < d->n_near; i++) {
		const struct trial_row *row = trial_at(d, d->near[i]);
		bool crosses;

		if (row->key_no == KEY_NONE || (d->halted && (row->flags & TRIAL_CROSSED) != 0) || row_muted(l, d, row))
			continue;
		crosses = trial_crosses(l, d, row);
		if (d->halted) { /* others follow the one that halted: they are named on a resume */
			if (crosses && (row->flags & TRIAL_CROSSED) == 0)
				((struct trial_row *)table_edit(&d->trials, &l->snap, d->near[i]))->flags |=
					TRIAL_CROSSED;
			continue;
		}
		if (crosses && trial_may_halt(l, d, row)) {
			if (best == UINT32_MAX || trial_odds(row) > trial_odds(trial_at(d, best)))
				best = d->near[i];
		} else if (watches(d, row)) {
			watch(l, d, d->near[i], crosses);
		}
	}
	return best;
}

/* A small fleet has no proof to wait for: one bad host holds it until a person has looked. */
static void
look_at_small(struct ledger *l, struct deployment *d)
{
	if (d->eligible >= d->params.small_fleet || d->bad.n <= d->forgiven_bad || d->sticky)
		return;
	annals_touch(l, d);
	d->watch_trial = d->suspect;
	d->by_past = false;
	d->watch_until_us = l->now_us;
	d->sticky = true;
}

/* ---- several ---- */

/* The highest standing in `d` of what a report with that key votes for. */
static double
standing_of_family(const struct ledger *l, const struct deployment *d, const struct trial_row *of, uint32_t *key_out)
{
	const struct key *key = trial_key(l, of);
	uint32_t keys[4] = { of->key_no, KEY_NONE, KEY_NONE, KEY_NONE };
	double best = -1e300;

	if (key != NULL && key->rung == RUNG_KEY)
		keys[1] = keys_find(&l->keys, d->tenant, RUNG_MODULE, key->module_id_key);
	if (key != NULL && (key->kinds & 1u << REPORT_KERNEL) != 0)
		keys[2] = keys_find(&l->keys, d->tenant, RUNG_KERNEL, l->keys.class_ids[RUNG_KERNEL]);
	if (key != NULL)
		keys[3] = keys_find(&l->keys, d->tenant, RUNG_ANY, l->keys.class_ids[RUNG_ANY]);
	for (int i = 0; i < 4; i++) {
		const struct trial_row *row = keys[i] != KEY_NONE ? trial_find(d, keys[i]) : NULL;
		double odds;

		if (row == NULL || (row->flags & TRIAL_SHOWN) != 0)
			continue;
		odds = trial_odds(row);
		if (odds > best) {
			best = odds;
			*key_out = keys[i];
		}
	}
	return best;
}

/* Whoever the same votes speak against almost as much is held, not blamed. */
static void
name_suspects(struct ledger *l, struct deployment *culprit)
{
	const struct trial_row *row = trial_at(culprit, culprit->halt_trial);
	double odds = trial_odds(row);

	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];
		uint32_t key = KEY_NONE;
		double other;

		if (d == culprit || d->life != DEPLOYMENT_OPEN || d->tenant != culprit->tenant || d->halted ||
		    d->co_of != 0)
			continue;
		other = standing_of_family(l, d, row, &key);
		if (key == KEY_NONE || other < -num_log(d->params.alpha_watch))
			continue;
		if (odds - other > LOG_100) { /* told apart already: what speaks against it is explained */
			if (trial_crosses(l, d, trial_find(d, key)))
				trial_restart(l, d, trial_number(d, key));
			continue;
		}
		snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
		d->co_of = culprit->no + 1;
		d->co_key = key;
		d->co_sep = odds - other;
		d->moved = true;
	}
}

/* Halt the one that stands highest of those that cross at this record; the rest is looked at
 * again, its evidence now explained or held. */
static void
halt_highest(struct ledger *l, uint64_t pos)
{
	for (;;) {
		struct deployment *best = NULL;
		uint32_t trial = UINT32_MAX;

		for (uint32_t i = 0; i < l->n_open; i++) {
			struct deployment *d = l->open[i];
			uint32_t found;

			if (!d->moved || d->life != DEPLOYMENT_OPEN || d->co_of != 0)
				continue;
			snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
			found = look(l, d);
			if (found != UINT32_MAX &&
			    (best == NULL || trial_odds(trial_at(d, found)) > trial_odds(trial_at(best, trial)))) {
				best = d;
				trial = found;
			}
		}
		if (best == NULL)
			return;
		latch(l, best, trial, pos);
		l->n_halted++;
		name_suspects(l, best);
		ask_for_decision(l, best);
	}
}

/* What crossed starts again. */
static void
restart_crossed(struct ledger *l, struct deployment *d)
{
	for (uint32_t i = 0; i < d->trials.n; i++) {
		const struct trial_row *row = trial_at(d, i);

		if (row->key_no != KEY_NONE &&
		    (i == d->halt_trial || (row->flags & TRIAL_CROSSED) != 0 || trial_crosses(l, d, row)))
			trial_restart(l, d, i);
	}
}

/* Told apart from the one that was halted: the votes speak against that one, and what they said
 * against this one is explained; or against this one, and it is judged again. */
static void
settle_suspicion(struct ledger *l, struct deployment *d)
{
	if (d->co_of == 0 || (d->co_sep < LOG_100 && d->co_sep > -LOG_100))
		return;
	if (d->co_sep > 0)
		restart_crossed(l, d);
	d->co_of = 0;
	d->co_key = KEY_NONE;
	d->co_sep = 0;
	d->watch_until_us = 0;
	deployment_touch(l, d);
}

uint32_t
deployment_shown(const struct deployment *d)
{
	uint32_t s = d->halted ? d->halt_trial : d->suspect;

	if (s != UINT32_MAX && !d->halted && (d->suspect_odds < 0 || trial_at(d, s)->served.n < WATCH_HOSTS))
		return UINT32_MAX;
	return s;
}

/* Tell what changed. */
static void
settle(struct ledger *l, struct deployment *d, uint64_t pos)
{
	struct verdict_view v;

	d->moved = false;
	snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
	if (d->life == DEPLOYMENT_OPEN && !d->halted)
		look_at_small(l, d);
	deployment_state(l, d, &v);
	if (v.verdict == d->verdict && v.state == d->state && deployment_shown(d) == d->shown)
		return;
	d->verdict = (uint8_t)v.verdict;
	d->state = (uint8_t)v.state;
	d->shown = deployment_shown(d);
	d->version++;
	d->since_pos = pos;
	d->since_us = l->now_us;
	if (l->sink.verdict_changed == NULL)
		return;
	deployment_verdict(l, d, &v);
	l->sink.verdict_changed(l->sink.arg, d->tenant, d->msg->id, &v);
}

void
deployments_settle(struct ledger *l, uint64_t pos)
{
	uint32_t kept = 0;

	l->judge = false;
	for (uint32_t i = 0; l->n_halted > 0 && i < l->n_open; i++)
		settle_suspicion(l, l->open[i]);
	halt_highest(l, pos);
	l->n_halted = 0;
	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];

		if (d->moved)
			settle(l, d, pos);
		if (d->life != DEPLOYMENT_OPEN)
			continue;
		l->n_halted += d->halted && !d->by_person;
		l->open[kept++] = d;
	}
	l->n_open = kept;
}

void
ledger_pending_decisions(const struct ledger *l, const struct ledger_sink *sink)
{
	for (uint32_t i = 0; i < l->n_deployments; i++) {
		const struct deployment *d = l->deployments[i];
		struct verdict_view v;

		if (!d->halted || d->by_person || d->recorded || deployment_is_shadow(l, d) ||
		    d->life != DEPLOYMENT_OPEN)
			continue;
		deployment_verdict(l, d, &v);
		sink->decision_wanted(sink->arg, d->tenant, d->msg->id, v.reason, d->halt_pos);
	}
}

/* ---- time ---- */

/* Served hosts that voted for what halted it, and how many of them are well again: heard of, in no boot
 * loop, and without another crash for the bake time. */
void
deployment_harm(const struct ledger *l, const struct deployment *d, uint32_t *harmed_out, uint32_t *back_out)
{
	const struct hostset *hosts = d->halt_trial != UINT32_MAX ? &trial_at(d, d->halt_trial)->served : &d->bad;
	uint32_t bake = (uint32_t)(deployment_bake_us(l, d) / 1000000), back = 0;

	for (uint32_t no = 0; hostset_next(hosts, &no); no++) {
		const struct host_side *side = hosts_side(&l->hosts, no);
		uint32_t crashed = side != NULL ? side->last_report : 0;

		back += host_is_well(&l->hosts, no) &&
			host_chunk(&l->hosts, no)->last_seen[HOST_AT(no)] >= crashed + bake;
	}
	*harmed_out = hosts->n;
	*back_out = back;
}

/* A host got the fix if the payload was withdrawn from it, if it says that its content is another by now, or
 * if it was harmed and is well again: somebody mended it.  Counted are those that have been well for the
 * bake time since, and those that crashed once more after the withdrawal. */
static void
count_fixed(struct ledger *l, struct deployment *d, struct fixed *out)
{
	const struct hostset *harmed = d->halt_trial != UINT32_MAX ? &trial_at(d, d->halt_trial)->served : &d->bad;
	uint32_t bake = (uint32_t)(deployment_bake_us(l, d) / 1000000), since = seconds(d->withdrawn_us);

	*out = (struct fixed){ 0 };
	for (uint32_t no = 0; no < d->n_blocks * SERVED_BLOCK && no < l->hosts.n; no++) {
		const struct host_side *side;
		uint32_t crashed, from;
		bool taken;

		if (!deployment_served(d, no))
			continue;
		taken = hostset_has(&d->withdrawn, no);
		if (!taken && !hostset_has(harmed, no) && !receipts_replaced(l, d, no))
			continue;
		side = hosts_side(&l->hosts, no);
		crashed = side != NULL ? side->last_report : 0;
		from = taken && since > crashed ? since : crashed;
		if (taken && crashed > since)
			out->bad++;
		else if (host_is_well(&l->hosts, no) &&
			 host_chunk(&l->hosts, no)->last_seen[HOST_AT(no)] >= from + bake)
			out->clean++;
	}
}

/* HALT 5: nine of ten harmed hosts are well again, hardly any crashed with the fix, and those that got it
 * exclude every hazard at which serving as many hosts again would cost more than the harm budget. */
static void
look_at_recovery(struct ledger *l, struct deployment *d)
{
	uint32_t harmed, back;
	bool recovered;

	if (!d->halted || d->by_person)
		return;
	deployment_harm(l, d, &harmed, &back);
	recovered = harmed > 0 && back * 10ull >= harmed * 9ull;
	if (recovered) {
		struct fixed f;
		double hazard;

		count_fixed(l, d, &f);
		hazard = proceed_hazard((double)f.clean + f.bad, f.bad, 0, d->params.beta);
		recovered = f.bad * 10ull <= harmed && (d->served <= d->params.harm_budget ||
							proceed_next_ring(d->params.harm_budget, hazard) >= d->served);
		if (f.clean != d->fixed.clean || f.bad != d->fixed.bad) {
			deployment_touch(l, d);
			annals_touch(l, d);
			d->fixed = f;
		}
	}
	if (recovered == d->recovered)
		return;
	deployment_touch(l, d);
	d->recovered = recovered;
}

void
judge_tick(struct ledger *l, struct deployment *d, bool minute)
{
	if (d->watch_until_us != 0 && !d->sticky && l->now_us >= d->watch_until_us) {
		deployment_touch(l, d);
		d->watch_until_us = 0;
	}
	if (minute)
		look_at_recovery(l, d);
}

/* A person lets a pause go: what had crossed starts again. */
void
judge_release(struct ledger *l, struct deployment *d)
{
	restart_crossed(l, d);
	annals_touch(l, d);
	if (d->by_past)
		past_restart(&d->past);
	d->by_past = false;
	d->sticky = false;
	d->watch_until_us = 0;
	d->co_of = 0;
	d->co_key = KEY_NONE;
	d->co_sep = 0;
	d->forgiven_bad = d->bad.n;
	deployment_forgive_lost(l, d);
	for (uint32_t i = 0; i < d->n_near; i++) {
		struct trial_row *row = table_edit(&d->trials, &l->snap, d->near[i]);

		row->watched = row->served.n;
	}
}

void
judge_resume(struct ledger *l, struct deployment *d)
{
	judge_release(l, d);
	d->resumes += d->halted && !d->by_person;
	d->halted = d->by_person = d->recorded = d->paused = d->heuristic = d->recovered = false;
	d->fixed = (struct fixed){ 0 };
	d->halt_trial = UINT32_MAX;
	d->halt_pos = 0;
}

/* ---- from elsewhere ---- */

void
deployment_brake(struct ledger *l, struct deployment *d, const char *reason, uint64_t pos)
{
	if (d->halted || d->life != DEPLOYMENT_OPEN)
		return;
	deployment_touch(l, d);
	latch(l, d, UINT32_MAX, pos);
	d->heuristic = true;
	deployment_cause(d, text_of(reason));
	ask_for_decision(l, d);
}

void
deployment_past(struct ledger *l, struct deployment *d, const struct past_standing *s, uint64_t pos)
{
	uint32_t trial = trial_number(d, s->key_no), hosts;
	const struct trial_row *row = trial != UINT32_MAX ? trial_at(d, trial) : NULL;
	bool crosses, watches;
	struct floors f;

	if (row == NULL || (row->flags & TRIAL_SHOWN) != 0 || row_muted(l, d, row) || d->halted || d->co_of != 0)
		return;
	f = key_floors(&d->params, severity_of(l, row));
	hosts = row->served.n - row->forgiven;
	crosses = s->odds >= s->needed && hosts >= f.hosts && row->sites1.n >= f.sites &&
		  s->material >= -num_log(d->params.alpha_material);
	watches = s->odds >= -num_log(d->params.alpha_watch) && hosts >= WATCH_HOSTS && row->sites1.n >= WATCH_SITES &&
		  row->served.n > row->watched;
	if (!crosses && !watches)
		return;
	deployment_touch(l, d);
	if (crosses && !s->watch_only && trial_may_halt(l, d, row))
		latch(l, d, trial, pos);
	else if (watches)
		watch(l, d, trial, crosses && !s->watch_only);
	else
		return;
	deployment_cause(d, text_of(s->why));
	d->past.newborn = s->newborn;
	d->past.odds = s->odds;
	d->past.needed = s->needed;
	d->by_past = true;
	d->heuristic = d->halted; /* it has a bound; that it was this deployment has none */
	if (d->halted)
		ask_for_decision(l, d);
}

bool
deployment_clears(const struct ledger *l, const struct deployment *d, uint32_t key_no)
{
	const struct key *key = key_at(&l->keys, key_no);
	const struct trial_row *row = trial_find(d, key_no);
	uint32_t module = KEY_NONE;

	if (key->rung == RUNG_KEY)
		module = keys_find(&l->keys, d->tenant, RUNG_MODULE, key->module_id_key);
	if (row == NULL || (row->flags & TRIAL_SHOWN) != 0)
		row = module != KEY_NONE ? trial_find(d, module) : NULL;
	return row != NULL && row->e.served + row->e.unserved >= CLEARING_VOTES && eprocess_log(&row->e) < 0;
}

bool
deployment_explained(const struct ledger *l, const struct deployment *d, uint32_t host_no)
{
	for (uint32_t i = 0; l->n_halted > 0 && i < l->n_open; i++) {
		const struct deployment *o = l->open[i];
		uint32_t key;

		if (o == d || !o->halted || o->by_person || o->tenant != d->tenant || o->halt_trial == UINT32_MAX)
			continue;
		key = trial_at(o, o->halt_trial)->key_no;
		if ((key == KEY_DARK || key == KEY_BOOT) && deployment_served(o, host_no))
			return true;
	}
	return false;
}

void
deployment_dark_bin(struct ledger *l, struct deployment *d, const struct dark_bin *bin)
{
	uint32_t trial = trial_number(d, KEY_DARK);
	struct grid_cost cost;

	if (d->life != DEPLOYMENT_OPEN || trial == UINT32_MAX)
		return;
	deployment_touch(l, d);
	eprocess_cost(GRID_DARK, eprocess_chance(d->params.rho_dark, bin->y1, bin->y0), &cost);
	for (size_t i = 0; i < bin->n; i++) {
		const struct dark_host *h = &bin->hosts[i];
		struct cast c = { .host_no = h->host_no,
				  .site = host_chunk(&l->hosts, h->host_no)->site[HOST_AT(h->host_no)],
				  .stratum = bin->stratum,
				  .served = h->exposed ? deployment_served_minute(d, h->host_no) : 0,
				  .y1 = bin->y1,
				  .y0 = bin->y0,
				  .pos = bin->pos,
				  .crash_us = bin->from_us,
				  .exposed = h->exposed,
				  .spent = !h->counts };

		if (h->exposed)
			deployment_minute(l, d)->dark++;
		trial_cast(l, d, trial, &c, &cost);
	}
}

void
deployments_boot_vote(struct ledger *l, uint32_t host_no, int64_t crash_us, uint64_t pos)
{
	uint32_t at = HOST_AT(host_no), key = KEY_BOOT;
	const struct host_chunk *c = host_chunk(&l->hosts, host_no);
	struct ballot b = { .host_no = host_no,
			    .tenant = host_tenant(l, host_no),
			    .site = c->site[at],
			    .keys = &key,
			    .n_keys = 1,
			    .pos = pos,
			    .report_pos = pos,
			    .crash_us = crash_us,
			    .arrived_us = l->now_us,
			    .kind = REPORT_KERNEL,
			    .active = true };

	deployments_vote(l, &b);
}

/* ---- blindness ---- */

static struct blind_tenant *
blind_of(const struct ledger *l, uint16_t tenant)
{
	for (uint32_t i = 0; i < l->n_blind; i++)
		if (l->blind[i].tenant == tenant)
			return &l->blind[i];
	return NULL;
}

bool
ledger_is_blind(const struct ledger *l, uint16_t tenant)
{
	return blind_of(l, tenant) != NULL;
}

const char *
ledger_blind_why(const struct ledger *l, uint16_t tenant)
{
	const struct blind_tenant *b = blind_of(l, tenant);

	return b != NULL ? b->why : "";
}

void
ledger_set_blind(struct ledger *l, uint16_t tenant, bool blind, const char *why)
{
	struct blind_tenant *b = blind_of(l, tenant);

	if (blind == (b != NULL))
		return;
	if (blind) {
		l->blind = mem_grow(l->blind, l->n_blind, l->n_blind + 1, sizeof(*l->blind));
		b = &l->blind[l->n_blind++];
		b->tenant = tenant;
		snprintf(b->why, sizeof(b->why), "%s", why);
	} else {
		*b = l->blind[--l->n_blind];
	}
	for (uint32_t i = 0; i < l->n_open; i++)
		if (l->open[i]->tenant == tenant && l->open[i]->life == DEPLOYMENT_OPEN)
			deployment_touch(l, l->open[i]);
}
