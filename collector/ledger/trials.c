/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"

/* The keys of a deployment: which there are, with which share of alpha, and their votes. */

#define LOOKS 64

/* ---- finding one ---- */

static bool
is_special(uint32_t key_no)
{
	return key_no >= KEY_BOOT;
}

static bool
is_signature(const struct key *key)
{
	return key->rung == RUNG_KEY || key->rung == RUNG_STOP;
}

static uint32_t
home(const struct deployment *d, uint32_t key_no)
{
	return (uint32_t)hash_mix(key_no) & (d->n_slots - 1);
}

uint32_t
trial_number(const struct deployment *d, uint32_t key_no)
{
	if (d->n_slots == 0)
		return UINT32_MAX;
	for (uint32_t i = home(d, key_no); d->slots[i].trial != 0; i = (i + 1) & (d->n_slots - 1))
		if (d->slots[i].key_no == key_no)
			return d->slots[i].trial - 1;
	return UINT32_MAX;
}

struct trial_row *
trial_find(const struct deployment *d, uint32_t key_no)
{
	uint32_t i = trial_number(d, key_no);

	return i != UINT32_MAX ? trial_at(d, i) : NULL;
}

void
trial_prefetch(const struct deployment *d, uint32_t key_no, uint32_t host_no, unsigned step, uint32_t *trial)
{
	const struct trial_row *row;

	if (d->n_slots == 0)
		return;
	if (step == 0) {
		__builtin_prefetch(&d->slots[home(d, key_no)]);
		return;
	}
	if (step == 1)
		*trial = trial_number(d, key_no);
	if (*trial >= d->trials.n)
		return;
	row = trial_at(d, *trial);
	if (step == 1) {
		for (size_t at = 0; at < sizeof(*row); at += 64)
			__builtin_prefetch((const char *)row + at);
		return;
	}
	hostset_prefetch(&row->served, host_no, (int)step - 2);
	hostset_prefetch(&row->unserved, host_no, (int)step - 2);
}

const struct key *
trial_key(const struct ledger *l, const struct trial_row *row)
{
	const struct key *key = is_special(row->key_no) ? NULL : key_at(&l->keys, row->key_no);

	return key != NULL && key->id == row->key_id ? key : NULL;
}

static void
place(struct deployment *d, uint32_t trial)
{
	uint32_t key_no = trial_at(d, trial)->key_no, i = home(d, key_no);

	while (d->slots[i].trial != 0)
		i = (i + 1) & (d->n_slots - 1);
	d->slots[i] = (struct trial_slot){ key_no, trial + 1 };
}

/* Take a trial out of the index: what was pushed beyond its place by it moves up (Knuth, TAOCP 6.4, algorithm R). */
static void
displace(struct deployment *d, uint32_t trial)
{
	const uint32_t mask = d->n_slots - 1;
	uint32_t hole = home(d, trial_at(d, trial)->key_no), i;

	while (d->slots[hole].trial != trial + 1)
		hole = (hole + 1) & mask;
	for (i = (hole + 1) & mask; d->slots[i].trial != 0; i = (i + 1) & mask) {
		uint32_t from = home(d, d->slots[i].key_no);

		if (((i - from) & mask) < ((i - hole) & mask))
			continue; /* its home is behind the hole */
		d->slots[hole] = d->slots[i];
		hole = i;
	}
	d->slots[hole] = (struct trial_slot){ 0, 0 };
}

static void
rebuild(struct deployment *d, uint32_t n_slots)
{
	free(d->slots);
	d->n_slots = n_slots;
	d->slots = mem_zero(n_slots, sizeof(*d->slots));
	for (uint64_t i = 0; i < d->trials.n; i++)
		if (trial_at(d, (uint32_t)i)->key_no != KEY_NONE)
			place(d, (uint32_t)i);
}

/* In the order of their numbers, so that a snapshot need not keep it. */
static void
add_close(struct deployment *d, uint32_t trial)
{
	uint32_t i = d->n_near;

	if ((d->n_near & (d->n_near + 1)) == 0)
		d->near = mem_grow(d->near, d->n_near, d->n_near * 2 + 1, sizeof(*d->near));
	d->n_near++;
	for (; i > 0 && d->near[i - 1] > trial; i--)
		d->near[i] = d->near[i - 1];
	d->near[i] = trial;
	trial_at(d, trial)->flags |= TRIAL_CLOSE;
}

void
trials_index(struct ledger *l, struct deployment *d)
{
	uint32_t n = 64;

	while ((d->trials.n + 1) * 4 > n * 3ull)
		n *= 2;
	rebuild(d, n);
	for (uint64_t i = 0; d->life == DEPLOYMENT_OPEN && i < d->trials.n; i++) {
		struct trial_row *row = trial_at(d, (uint32_t)i);

		if (row->key_no != KEY_NONE && !is_special(row->key_no))
			key_at(&l->keys, row->key_no)->pins++;
		if ((row->flags & TRIAL_CLOSE) != 0)
			add_close(d, (uint32_t)i);
	}
}

/* ---- making one ---- */

uint64_t
trial_base(const struct deployment *d, uint32_t trial, enum trial_set set)
{
	return chunk_id(CHUNK_TRIAL_HOSTS, d->no, trial << 18 | (uint32_t)set << 16);
}

/* Sites are one block; block 0xffff of hosts does not exist. */
uint64_t
trial_sites_base(const struct deployment *d, uint32_t trial, bool spent)
{
	return chunk_id(CHUNK_TRIAL_HOSTS, d->no, trial << 18 | (spent ? 1u << 16 : 0) | 0xffff);
}

/* Over the cap a signature that no served host has gives way and is tested no more: whether it had
 * votes of others does not matter, for nothing that it would have counted is forgotten in favour of a halt. */
static uint32_t
give_way(struct ledger *l, struct deployment *d)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		uint32_t no = d->hand;
		struct trial_row *row = trial_at(d, no);

		d->hand = no + 1 < d->trials.n ? no + 1 : 0;
		if ((row->flags & (TRIAL_NEW | TRIAL_CLOSE)) != TRIAL_NEW || row->served.n > 0 ||
		    row->unserved.n_blocks > 0 || row->others.n_blocks > 0 || no == d->suspect || no == d->halt_trial)
			continue;
		displace(d, no);
		row = table_edit(&d->trials, &l->snap, no);
		key_at(&l->keys, row->key_no)->pins--;
		hostset_fini(&row->served);
		hostset_fini(&row->unserved);
		hostset_fini(&row->others);
		hostset_fini(&row->sites1);
		hostset_fini(&row->spent);
		memset(row, 0, sizeof(*row));
		row->key_no = KEY_NONE;
		return no;
	}
	return UINT32_MAX;
}

static uint32_t
add(struct ledger *l, struct deployment *d, uint32_t key_no, enum key_pool pool, uint8_t flags, double log_weight)
{
	struct trial_row *row;
	uint64_t no;

	if ((flags & TRIAL_NEW) != 0 && d->n_new >= TRIALS_NEW) {
		no = give_way(l, d);
		if (no == UINT32_MAX) {
			d->over_cap++;
			return UINT32_MAX;
		}
		row = trial_at(d, (uint32_t)no);
	} else {
		row = table_add(&d->trials, &l->snap, &no);
		d->n_new += (flags & TRIAL_NEW) != 0;
	}
	row->key_no = key_no;
	row->since_row = d->votes.n;
	row->pool = (uint8_t)pool;
	row->flags = flags;
	eprocess_init(&row->e, key_pool_grid(pool), log_weight);
	if (!is_special(key_no)) {
		struct key *key = key_at(&l->keys, key_no);

		row->key_id = key->id;
		key->pins++;
	}
	if ((d->trials.n + 1) * 4 > d->n_slots * 3ull)
		rebuild(d, d->n_slots > 0 ? d->n_slots * 2 : 64);
	else
		place(d, (uint32_t)no);
	return (uint32_t)no;
}

static uint32_t
add_in_order(struct ledger *l, struct deployment *d, uint32_t key_no, enum key_pool pool, uint8_t flags, uint32_t j)
{
	uint32_t no = add(l, d, key_no, pool, flags, key_log_weight(pool, j, key_births(&d->params, pool)));

	if (no != UINT32_MAX)
		trial_at(d, no)->birth = j;
	return no;
}

void
trials_manifest(struct deployment *d)
{
	for (size_t i = 0; i < d->msg->n_modules; i++) {
		struct signature_key place_ = { .module = text_of(d->msg->modules[i]) };

		d->own[i] = signature_hash(&place_, RUNG_MODULE);
	}
}

/* Place of a module in the manifest, from 1; 0: it is not in it. */
static uint32_t
own_module(const struct deployment *d, uint64_t module)
{
	for (uint32_t i = 0; i < d->msg->n_modules; i++)
		if (d->own[i] == module)
			return i + 1;
	return 0;
}

void
trials_begin(struct ledger *l, struct deployment *d)
{
	add_in_order(l, d, KEY_DARK, POOL_DARK, 0, 1);
	add_in_order(l, d, KEY_BOOT, POOL_BOOT, 0, 1);
	d->births[POOL_TOTALS] = 2; /* any crash, any kernel crash: their places are fixed */
	for (uint64_t i = 0; i < l->keys.rows.n; i++) {
		const struct key *key = key_at(&l->keys, (uint32_t)i);

		d->known += is_signature(key) && key->tenant == d->tenant;
	}
}

static uint32_t
obtain_module(struct ledger *l, struct deployment *d, uint32_t key_no, const struct key *key)
{
	uint32_t own = own_module(d, key->id);

	if (own > 0)
		return add_in_order(l, d, key_no, POOL_OWN, TRIAL_OWN, own);
	if (d->n_modules >= TRIALS_MODULES) {
		d->over_cap++;
		return UINT32_MAX;
	}
	d->n_modules++;
	return add_in_order(l, d, key_no, POOL_TOTALS, 0, ++d->births[POOL_TOTALS]);
}

static uint32_t
obtain_signature(struct ledger *l, struct deployment *d, uint32_t key_no, const struct key *key, const struct birth *b)
{
	bool own = key->rung == RUNG_KEY && own_module(d, key->module_id_key) > 0;
	bool kernel = b->kind == REPORT_KERNEL || b->kind == REPORT_BOOT_CRITICAL || key->rung == RUNG_STOP;
	bool born_since = key->first_pos > d->begin_pos && (key->flags & KEY_OLD) == 0;
	enum key_pool pool = kernel ? POOL_NEW_KERNEL : POOL_NEW_USER;
	uint8_t flags = (uint8_t)((own ? TRIAL_OWN : 0) | (b->kind == REPORT_SERVICE ? TRIAL_SERVICE : 0));

	if (own || (born_since && b->rebuilt && key->rung == RUNG_KEY))
		return add(l, d, key_no, own ? POOL_OWN : pool, flags | TRIAL_SHOWN | TRIAL_NEW, 0);
	if (born_since)
		return add_in_order(l, d, key_no, pool, flags | TRIAL_NEW, ++d->births[pool]);
	if (d->n_old >= TRIALS_OLD) {
		d->over_cap++;
		return UINT32_MAX;
	}
	d->n_old++;
	return add(l, d, key_no, POOL_OLD, flags, key_log_weight_known(d->known));
}

uint32_t
trial_obtain(struct ledger *l, struct deployment *d, uint32_t key_no, const struct birth *b)
{
	uint32_t trial = trial_number(d, key_no);
	const struct key *key;

	/* silence and boot loops have their trials from the start, and no key */
	if (trial != UINT32_MAX || key_no == KEY_DARK || key_no == KEY_BOOT)
		return trial;
	key = key_at(&l->keys, key_no);
	switch ((enum signature_rung)key->rung) {
	case RUNG_KEY:
	case RUNG_STOP:
		/* born since, met before and not there any more: it gave way */
		if (key->first_pos > d->begin_pos && key->reports > 1 && d->n_new >= TRIALS_NEW)
			return UINT32_MAX;
		return obtain_signature(l, d, key_no, key, b);
	case RUNG_MODULE:
		return obtain_module(l, d, key_no, key);
	case RUNG_ANY:
		return add_in_order(l, d, key_no, POOL_TOTALS, 0, 1);
	case RUNG_KERNEL:
		return add_in_order(l, d, key_no, POOL_TOTALS, 0, 2);
	case RUNG_BUILD:
	case RUNG_FUNCTION:
	case RUNG_N:
		break;
	}
	return UINT32_MAX;
}

/* ---- one vote ---- */

static void
keep(struct ledger *l, struct deployment *d, uint32_t trial, struct trial_row *row, const struct cast *c, bool spent)
{
	struct vote_row *v;
	uint64_t no;

	row->n_votes++;
	if (row->n_votes - 1 > row->n_kept || row->n_kept >= VOTES_KEPT || d->votes.n >= VOTES_ALL)
		return;
	v = table_add(&d->votes, &l->snap, &no);
	*v = (struct vote_row){ .pos = c->pos,
				.at_us = l->now_us,
				.crash_us = c->crash_us,
				.host_no = c->host_no,
				.y1 = c->y1,
				.y0 = c->y0,
				.before = row->last_vote,
				.trial = (uint16_t)trial,
				.site = c->site,
				.stratum = c->stratum,
				.served = c->served,
				.flags = (uint8_t)((c->exposed ? VOTE_EXPOSED : 0) | (spent ? VOTE_SPENT : 0)) };
	row->last_vote = (uint32_t)no + 1;
	row->n_kept++;
}

/* Counts of the exposed arm; false if the host was in it. */
static bool
expose(struct ledger *l, struct deployment *d, uint32_t trial, struct trial_row *row, uint32_t host_no, uint16_t site,
       uint64_t pos)
{
	if (!hostset_add(&row->served, host_no, &l->snap, trial_base(d, trial, SET_SERVED)))
		return false;
	hostset_add(&row->sites1, site, &l->snap, trial_sites_base(d, trial, false));
	if (row->first_pos == 0) {
		row->first_pos = pos;
		row->first_us = l->now_us;
	}
	row->last_pos = pos;
	row->last_us = l->now_us;
	return true;
}

static bool
is_tested(const struct trial_row *row)
{
	return (row->flags & TRIAL_SHOWN) == 0;
}

static void
note_standing(struct deployment *d, uint32_t trial, double log_e)
{
	struct trial_row *row = trial_at(d, trial);
	double odds = row->e.log_weight + log_e;

	if ((row->flags & TRIAL_CLOSE) == 0 && odds >= -num_log(d->params.alpha_watch))
		add_close(d, trial);
	if (row->served.n > 0 && (d->suspect == UINT32_MAX || trial == d->suspect || odds > d->suspect_odds)) {
		d->suspect = trial;
		d->suspect_odds = odds;
	}
}

void
trial_cast(struct ledger *l, struct deployment *d, uint32_t trial, const struct cast *c, const struct grid_cost *cost)
{
	struct trial_row *row = table_edit(&d->trials, &l->snap, trial);
	bool tracked = row->key_no == d->co_key || d->halt_trial == trial;
	double before = 0, after;
	bool spent = c->spent;

	if (hostset_has(c->exposed ? &row->unserved : &row->served, c->host_no))
		return;
	if (!c->exposed && !hostset_add(&row->unserved, c->host_no, &l->snap, trial_base(d, trial, SET_UNSERVED)))
		return;
	if (c->exposed && !expose(l, d, trial, row, c->host_no, c->site, c->pos))
		return;
	/* a vote that says nothing (q is 0 before anybody was served) costs the site nothing */
	if (!d->randomised && row->key_no != KEY_DARK && eprocess_counts(cost->q) &&
	    !hostset_add(&row->spent, c->site, &l->snap, trial_sites_base(d, trial, true)))
		spent = true;
	keep(l, d, trial, row, c, spent);
	if (spent || !is_tested(row))
		return;
	if (!c->exposed && !tracked && trial != d->suspect) { /* the usual case: it only stands lower now */
		eprocess_add(&row->e, 0, 1, cost);
		return;
	}
	if (tracked)
		before = eprocess_log(&row->e);
	after = eprocess_apply(&row->e, c->exposed, !c->exposed, cost);
	if (tracked)
		d->ballot_odds += after - before;
	note_standing(d, trial, after);
}

/* ---- a ballot ---- */

#define MINUTE_US 60000000ll

/* Minute + 1 in which the host was served, if that was before at_us as far as clocks tell; else 0. */
static uint16_t
served_before(const struct deployment *d, uint32_t host_no, int64_t at_us)
{
	uint16_t minute = deployment_served_minute(d, host_no);

	return minute > 0 && d->begin_us + (minute - 1) * MINUTE_US <= at_us ? minute : 0;
}

static uint32_t
minute_of(const struct deployment *d, int64_t us)
{
	return us > d->begin_us ? (uint32_t)((us - d->begin_us) / MINUTE_US) : 0;
}

/* Does this one, halted, explain a report of its key from a host that it was served to? */
static bool
explains(const struct deployment *d, const struct ballot *b)
{
	if (!d->halted || d->by_person || d->life != DEPLOYMENT_OPEN || d->tenant != b->tenant ||
	    !deployment_served(d, b->host_no))
		return false;
	for (unsigned k = 0; k < b->n_keys; k++) {
		const struct trial_row *row = b->keys[k] != KEY_NONE ? trial_find(d, b->keys[k]) : NULL;

		if (row != NULL && (row->flags & TRIAL_CROSSED) != 0)
			return true;
	}
	return false;
}

bool
deployment_mutes(const struct deployment *d, uint64_t signature, int64_t now_us)
{
	for (uint32_t i = 0; i < d->n_mutes; i++)
		if (d->mutes[i].signature == signature && d->mutes[i].until_us > now_us)
			return true;
	return false;
}

/* Is any key of the ballot muted: its signature, its module, ... */
static bool
muted(const struct ledger *l, const struct deployment *d, const struct ballot *b)
{
	for (unsigned k = 0; d->n_mutes > 0 && k < b->n_keys; k++)
		if (b->keys[k] != KEY_NONE && deployment_mutes(d, key_at(&l->keys, b->keys[k])->id, l->now_us))
			return true;
	return false;
}

void
deployment_bad(struct ledger *l, struct deployment *d, uint32_t host_no)
{
	hostset_add(&d->bad, host_no, &l->snap, chunk_id(CHUNK_RESOLVED, d->no, BAD_BLOCKS));
	hostset_add(&d->resolved, host_no, &l->snap, chunk_id(CHUNK_RESOLVED, d->no, 0));
}

static struct birth
birth_of(const struct ledger *l, const struct deployment *d, const struct ballot *b)
{
	struct birth birth = { .kind = b->kind };

	if (b->n_keys > 2 && b->keys[1] != KEY_NONE && b->keys[2] != KEY_NONE)
		birth.rebuilt = key_at(&l->keys, b->keys[1])->first_pos > d->begin_pos &&
				key_at(&l->keys, b->keys[2])->first_pos <= d->begin_pos;
	return birth;
}

/* The deployment's test of each key of the ballot. */
static void
cast_all(struct ledger *l, struct deployment *d, const struct ballot *b, struct cast *c, bool votes)
{
	struct birth birth = birth_of(l, d, b);
	struct grid_cost cost[GRID_N];
	bool have[GRID_N] = { false };

	for (unsigned k = 0; k < b->n_keys; k++) {
		uint32_t trial = b->keys[k] != KEY_NONE ? trial_obtain(l, d, b->keys[k], &birth) : UINT32_MAX;
		struct trial_row *row;

		if (trial == UINT32_MAX)
			continue;
		row = trial_at(d, trial);
		if (!votes && (hostset_has(&row->served, b->host_no) || hostset_has(&row->unserved, b->host_no)))
			continue;
		if (!votes) {
			row = table_edit(&d->trials, &l->snap, trial);
			hostset_add(&row->others, b->host_no, &l->snap, trial_base(d, trial, SET_OTHERS));
			continue;
		}
		if (!have[row->e.grid]) {
			eprocess_cost((enum ratio_grid)row->e.grid, eprocess_chance(d->params.rho, c->y1, c->y0),
				      &cost[row->e.grid]);
			have[row->e.grid] = true;
		}
		trial_cast(l, d, trial, c, &cost[row->e.grid]);
	}
}

static void
vote_in(struct ledger *l, struct deployment *d, const struct ballot *b, unsigned explainers)
{
	int64_t edge = b->crash_us + HALT_SKEW_S * 1000000ll;
	struct candidate who = host_candidate(l, b->host_no);
	struct cast c = { .host_no = b->host_no, .site = b->site, .pos = b->pos, .crash_us = b->crash_us };
	struct share most;

	if (edge > b->arrived_us)
		edge = b->arrived_us;
	c.served = served_before(d, b->host_no, edge);
	c.exposed = c.served != 0;
	if (!c.exposed && !deployment_served(d, b->host_no) && !deployment_eligible(l, d, &who))
		return;
	snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
	if (edge < d->begin_us) {
		d->early_votes++;
		return;
	}
	if (l->now_us - b->crash_us > d->params.late_s * 1000000ll) {
		d->late_votes++;
		return;
	}
	d->ballot_exposed = c.exposed;
	if (explainers > d->ballot_explains || muted(l, d, b))
		return;
	if (c.exposed)
		deployment_bad(l, d, b->host_no);
	c.stratum = deployment_stratum(l, d, b->host_no);
	most = strata_greatest(&d->strata, &l->snap, c.stratum, minute_of(d, b->crash_us - HALT_SKEW_S * 1000000ll),
			       deployment_minute_now(l, d));
	c.y1 = most.y1;
	c.y0 = most.y0;
	cast_all(l, d, b, &c, b->active && deployment_votes(l, d, b->host_no));
	if (c.exposed)
		deployment_minute(l, d)->exposed++;
	else
		deployment_minute(l, d)->unexposed++;
	d->moved = true;
	l->judge = true;
}

/* Votes of hosts exposed to one of two suspects tell them apart. */
static void
separate(struct ledger *l)
{
	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i], *other;

		if (d->co_of == 0)
			continue;
		other = l->deployments[d->co_of - 1];
		if (d->life != DEPLOYMENT_OPEN || other->life != DEPLOYMENT_OPEN)
			continue;
		if (d->ballot_exposed == other->ballot_exposed || (d->ballot_odds == 0 && other->ballot_odds == 0))
			continue;
		snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
		d->co_sep += other->ballot_odds - d->ballot_odds;
		d->moved = l->judge = true;
	}
}

void
deployments_vote(struct ledger *l, const struct ballot *b)
{
	unsigned explainers = 0;

	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];

		d->ballot_exposed = false;
		d->ballot_odds = 0;
		d->ballot_explains = l->n_halted > 0 && explains(d, b);
		explainers += d->ballot_explains;
	}
	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];

		if (d->life == DEPLOYMENT_OPEN && d->tenant == b->tenant && b->report_pos >= d->begin_pos)
			vote_in(l, d, b, explainers);
	}
	if (l->n_halted > 0)
		separate(l);
}

/* ---- what a late receipt changes ---- */

/* Take what the vote did to the evidence back, or put it in again. */
static void
weigh(const struct deployment *d, struct trial_row *row, const struct vote_row *v, int sign)
{
	bool exposed = (v->flags & VOTE_EXPOSED) != 0;
	const struct grid *g = eprocess_grid(row->e.grid);
	struct grid_cost cost;

	eprocess_cost((enum ratio_grid)row->e.grid, eprocess_chance(d->params.rho, v->y1, v->y0), &cost);
	if (!eprocess_counts(cost.q) || (v->flags & VOTE_SPENT) != 0 || !is_tested(row))
		return;
	for (uint32_t i = 0; i < g->n; i++)
		row->e.log_factor[i] += sign * ((exposed ? g->log_ratio[i] : 0) + cost.log_cost[i]);
	row->e.served += exposed ? (uint32_t)sign : 0;
	row->e.unserved += exposed ? 0 : (uint32_t)sign;
}

/* One vote, with what is known now. */
static void
relabel(struct ledger *l, struct deployment *d, uint64_t no)
{
	const struct vote_row *old = table_at(&d->votes, no);
	int64_t edge = old->crash_us + HALT_SKEW_S * 1000000ll;
	uint32_t minute = deployment_minute_now(l, d);
	struct share now = strata_greatest(&d->strata, &l->snap, old->stratum, minute, minute);
	struct trial_row *row = table_edit(&d->trials, &l->snap, old->trial);
	struct vote_row *v = table_edit(&d->votes, &l->snap, no);
	bool exposed = (v->flags & VOTE_EXPOSED) != 0;

	weigh(d, row, v, -1);
	if (share_exceeds(now, (struct share){ v->y1, v->y0 })) {
		v->y1 = now.y1;
		v->y0 = now.y0;
	}
	if (!exposed)
		v->served = served_before(d, v->host_no, edge < v->at_us ? edge : v->at_us);
	if (!exposed && v->served != 0) {
		v->flags |= VOTE_EXPOSED;
		row->moved++;
		expose(l, d, v->trial, row, v->host_no, v->site, v->pos);
		deployment_bad(l, d, v->host_no);
	}
	weigh(d, row, v, 1);
	if (is_tested(row))
		note_standing(d, v->trial, eprocess_log(&row->e));
}

void
deployment_relabel(struct ledger *l, struct deployment *d, int64_t at_us)
{
	for (uint64_t i = d->votes.n; i > 0; i--) {
		const struct vote_row *v = table_at(&d->votes, i - 1);
		const struct trial_row *row = trial_at(d, v->trial);

		if (v->at_us < at_us)
			break;
		/* those of a key that a person resumed since stay as they were */
		if (row->key_no != KEY_NONE && !is_special(row->key_no) && row->last_vote != 0 && i > row->since_row) {
			relabel(l, d, i - 1);
			d->moved = l->judge = true;
		}
	}
}

/* ---- after a resume ---- */

void
trial_restart(struct ledger *l, struct deployment *d, uint32_t trial)
{
	struct trial_row *row = table_edit(&d->trials, &l->snap, trial);
	double weight = row->e.log_weight;

	eprocess_init(&row->e, (enum ratio_grid)row->e.grid, weight);
	row->resumes = (uint8_t)(row->resumes + (row->resumes < UINT8_MAX));
	row->forgiven = row->served.n;
	row->since = row->n_kept;
	row->since_row = d->votes.n;
	row->watched = row->served.n;
	row->flags &= (uint8_t)~TRIAL_CROSSED;
	/* each site may vote again in the new test */
	hostset_drop(&row->spent, &l->snap, trial_sites_base(d, trial, true));
}
