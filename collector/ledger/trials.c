/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"

/* Votes: what each (deployment, key) counts, and when it is judged. */

#define LOOKS        64
#define WAITING_TURN 4096u /* served hosts looked at again in one tick */

/* ---- finding a trial ---- */

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

static uint32_t
find(const struct deployment *d, uint32_t key_no)
{
	if (d->n_slots == 0)
		return UINT32_MAX;
	for (uint32_t i = home(d, key_no); d->slots[i] != 0; i = (i + 1) & (d->n_slots - 1))
		if (((struct trial_row *)table_at(&d->trials, d->slots[i] - 1u))->key_no == key_no)
			return d->slots[i] - 1;
	return UINT32_MAX;
}

struct trial_row *
trial_find(const struct deployment *d, uint32_t key_no)
{
	uint32_t i = find(d, key_no);

	return i != UINT32_MAX ? table_at(&d->trials, i) : NULL;
}

static void
place(struct deployment *d, uint32_t trial)
{
	uint32_t i = home(d, ((struct trial_row *)table_at(&d->trials, trial))->key_no);

	while (d->slots[i] != 0)
		i = (i + 1) & (d->n_slots - 1);
	d->slots[i] = trial + 1;
}

static void
rebuild(struct deployment *d, uint32_t n_slots)
{
	free(d->slots);
	d->n_slots = n_slots;
	d->slots = mem_zero(n_slots, sizeof(*d->slots));
	for (uint64_t i = 0; i < d->trials.n; i++)
		if (((struct trial_row *)table_at(&d->trials, i))->key_no != KEY_NONE)
			place(d, (uint32_t)i);
}

static void
add_near(struct deployment *d, uint32_t trial)
{
	if ((d->n_near & (d->n_near + 1)) == 0)
		d->near = mem_grow(d->near, d->n_near, d->n_near * 2 + 1, sizeof(*d->near));
	d->near[d->n_near++] = trial;
}

void
trials_index(struct ledger *l, struct deployment *d)
{
	uint32_t n = 64;

	while ((d->trials.n + 1) * 4 > n * 3ull)
		n *= 2;
	rebuild(d, n);
	for (uint64_t i = 0; d->life == DEPLOYMENT_OPEN && i < d->trials.n; i++) {
		const struct trial_row *row = table_at(&d->trials, i);
		struct key *key = key_at(&l->keys, row->key_no);

		key->pins++;
		if (is_signature(key) && row->hosts1.n >= FLOOR_HOSTS)
			add_near(d, (uint32_t)i);
	}
}

/* ---- making one ---- */

static uint64_t
set_base(const struct deployment *d, uint32_t trial, uint32_t which)
{
	return chunk_id(CHUNK_TRIAL_HOSTS, d->no, trial << 17 | which << 16);
}

/* Over the cap a signature on fewer than two exposed hosts gives way; its hosts will count
 * as unexposed if it comes back, which can only delay a halt. */
static uint32_t
give_way(struct ledger *l, struct deployment *d)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		uint32_t no = d->hand;
		struct trial_row *row = table_at(&d->trials, no);
		struct key *key = key_at(&l->keys, row->key_no);

		d->hand = no + 1 < d->trials.n ? no + 1 : 0;
		if (!is_signature(key) || row->hosts1.n >= 2 || row->hosts0.n_blocks > 0 || no == d->halt_trial ||
		    no == d->suspect)
			continue;
		row = table_edit(&d->trials, &l->snap, no);
		key->pins--;
		hostset_fini(&row->hosts1);
		hostset_fini(&row->hosts0);
		hostset_fini(&row->sites1);
		free(row->votes);
		memset(row, 0, sizeof(*row));
		row->key_no = KEY_NONE;
		rebuild(d, d->n_slots);
		return no;
	}
	return UINT32_MAX;
}

static uint32_t
make(struct ledger *l, struct deployment *d, uint32_t key_no)
{
	struct key *key = key_at(&l->keys, key_no);
	bool exact = is_signature(key), module = key->rung == RUNG_MODULE;
	struct trial_row *row;
	uint64_t no;

	if (exact && d->n_exact >= TRIALS_EXACT) {
		uint32_t reused = give_way(l, d);

		if (reused == UINT32_MAX) {
			d->over_cap++;
			return UINT32_MAX;
		}
		no = reused;
		row = table_at(&d->trials, no);
	} else if (module && d->n_modules >= TRIALS_MODULES) {
		d->over_cap++;
		return UINT32_MAX;
	} else {
		row = table_add(&d->trials, &l->snap, &no);
		d->n_exact += exact;
		d->n_modules += module;
	}
	row->key_no = key_no;
	row->key_id = key->id;
	key->pins++;
	if ((d->trials.n + 1) * 4 > d->n_slots * 3ull)
		rebuild(d, d->n_slots > 0 ? d->n_slots * 2 : 64);
	else
		place(d, (uint32_t)no);
	return (uint32_t)no;
}

/* A key born since the deployment began is followed from its first exposed vote on: all
 * hosts that had it before were not exposed then.  `but` is the host that votes now, if
 * this is its first vote. */
static void
fill_in(struct ledger *l, struct deployment *d, uint32_t trial, uint32_t but)
{
	struct trial_row *row = table_at(&d->trials, trial);
	const struct hostset *all = &key_at(&l->keys, row->key_no)->hosts;

	for (uint32_t no = 0; hostset_next(all, &no); no++) {
		const struct host_chunk *c = host_chunk(&l->hosts, no);
		struct candidate who = { atomic_load_explicit(&c->hash[HOST_AT(no)], memory_order_relaxed),
					 c->stratum[HOST_AT(no)], c->site[HOST_AT(no)] };

		if (no != but && deployment_eligible(l, d, &who))
			hostset_add(&row->hosts0, no, &l->snap, set_base(d, trial, 1));
	}
}

/* ---- one vote ---- */

static void
note(struct trial_row *row, const struct ledger *l, const struct ballot *b, bool exposed)
{
	if (row->n_votes == VERDICT_VOTES)
		return;
	row->votes = mem_grow(row->votes, row->n_votes, row->n_votes + 1, sizeof(*row->votes));
	row->votes[row->n_votes++] = (struct vote){
		.host_no = b->host_no, .exposed = exposed, .site = b->site, .pos = b->pos, .at_us = l->now_us
	};
}

static void
count(struct ledger *l, struct deployment *d, uint32_t key_no, bool fresh, const struct ballot *b, bool exposed)
{
	const struct key *key = key_at(&l->keys, key_no);
	uint32_t trial = find(d, key_no);
	bool born_since = key->first_pos > d->begin_pos && (key->flags & KEY_OLD) == 0;
	struct trial_row *row;
	bool moves;

	if (key->rung == RUNG_BUILD || (is_signature(key) && !born_since))
		return; /* the rule asks about neither */
	if (trial == UINT32_MAX) {
		if (born_since && !exposed && key->rung != RUNG_ANY && key->rung != RUNG_KERNEL)
			return;
		trial = make(l, d, key_no);
		if (trial == UINT32_MAX)
			return;
		if (born_since)
			fill_in(l, d, trial, fresh ? b->host_no : UINT32_MAX);
	}
	row = table_at(&d->trials, trial);
	if (hostset_has(&row->hosts1, b->host_no))
		return;
	moves = hostset_has(&row->hosts0, b->host_no);
	if (moves && !b->moves)
		return;
	row = table_edit(&d->trials, &l->snap, trial);
	row->moved += moves;
	note(row, l, b, exposed);
	if (!exposed) {
		hostset_add(&row->hosts0, b->host_no, &l->snap, set_base(d, trial, 1));
		return;
	}
	hostset_add(&row->hosts1, b->host_no, &l->snap, set_base(d, trial, 0));
	hostset_add(&row->sites1, b->site, &l->snap, chunk_id(CHUNK_TRIAL_HOSTS, d->no, trial << 17 | 0xffff));
	if (row->first_pos == 0) {
		row->first_pos = b->pos;
		row->first_us = l->now_us;
	}
	row->last_pos = b->pos;
	row->last_us = l->now_us;
	if (key->rung == RUNG_ANY) /* a bad host is resolved */
		hostset_add(&d->resolved, b->host_no, &l->snap, chunk_id(CHUNK_RESOLVED, d->no, 0));
	if (is_signature(key) && row->hosts1.n == FLOOR_HOSTS)
		add_near(d, trial);
	if (is_signature(key) && (d->suspect == UINT32_MAX ||
				  row->hosts1.n > ((struct trial_row *)table_at(&d->trials, d->suspect))->hosts1.n))
		d->suspect = trial;
}

void
deployment_expose(struct ledger *l, struct deployment *d, const struct report_row *r)
{
	const struct rungs *a = &r->claimed, *c = &r->computed;
	const uint32_t keys[] = {
		a->key,
		a->build,
		a->module,
		a->stop,
		c->key,
		c->build,
		c->module,
		r->kind == REPORT_KERNEL ? keys_find(&l->keys, d->tenant, RUNG_KERNEL, l->keys.class_ids[RUNG_KERNEL])
					 : KEY_NONE,
		keys_find(&l->keys, d->tenant, RUNG_ANY, l->keys.class_ids[RUNG_ANY]),
	};
	const struct ballot b = { .host_no = r->host_no,
				  .tenant = r->tenant,
				  .site = host_chunk(&l->hosts, r->host_no)->site[HOST_AT(r->host_no)],
				  .pos = r->pos,
				  .report_pos = r->pos,
				  .moves = true };

	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i] != KEY_NONE)
			count(l, d, keys[i], false, &b, true);
	d->moved = true;
	l->judge = true;
}

/* Was the host exposed when the report came? */
static bool
was_exposed(const struct deployment *d, const struct ballot *b)
{
	if (b->exposed == NULL)
		return deployment_served(d, b->host_no);
	for (unsigned i = 0; i < b->n_exposed; i++)
		if (b->exposed[i] == d->no + 1)
			return true;
	return false;
}

void
deployments_vote(struct ledger *l, struct ballot *b)
{
	const struct host_chunk *c = host_chunk(&l->hosts, b->host_no);
	struct candidate who = { atomic_load_explicit(&c->hash[HOST_AT(b->host_no)], memory_order_relaxed),
				 c->stratum[HOST_AT(b->host_no)], c->site[HOST_AT(b->host_no)] };

	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];
		bool exposed;

		if (d->life != DEPLOYMENT_OPEN || d->tenant != b->tenant || b->report_pos < d->begin_pos)
			continue;
		exposed = was_exposed(d, b);
		if (exposed && b->found[0] == 0)
			b->found[0] = d->no + 1;
		else if (exposed && b->found[1] == 0)
			b->found[1] = d->no + 1;
		if (!exposed && !deployment_eligible(l, d, &who))
			continue;
		snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
		for (unsigned k = 0; k < b->n_keys; k++)
			if (b->keys[k] != KEY_NONE)
				count(l, d, b->keys[k], b->fresh[k], b, exposed);
		d->moved = true;
		l->judge = true;
	}
}

void
deployments_key_born(struct ledger *l, uint16_t tenant)
{
	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];

		if (d->life != DEPLOYMENT_OPEN || d->tenant != tenant)
			continue;
		snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
		d->births++;
	}
}

/* ---- resolving served hosts ---- */

/* Look at served hosts whose bake time is over: alive since is resolved, others wait. */
static void
look_again(struct ledger *l, struct deployment *d, int q)
{
	uint32_t now = seconds(l->now_us), bake = (uint32_t)((deployment_bake_us(l, d) + 999999) / 1000000);
	uint64_t end = d->waiting[q].n;

	for (unsigned turn = 0; d->waiting_first[q] < end && turn < WAITING_TURN; turn++) {
		struct waiting_row w = *(struct waiting_row *)table_at(&d->waiting[q], d->waiting_first[q]);

		if (w.check_s > now)
			break;
		snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
		d->waiting_first[q]++;
		table_drop(&d->waiting[q], &l->snap, d->waiting_first[q]);
		d->moved = true;
		if (host_chunk(&l->hosts, w.host_no)->last_seen[HOST_AT(w.host_no)] >= w.served_s + bake) {
			hostset_add(&d->resolved, w.host_no, &l->snap, chunk_id(CHUNK_RESOLVED, d->no, 0));
		} else if (!hostset_has(&d->resolved, w.host_no)) {
			struct waiting_row *again = table_add(&d->waiting[1], &l->snap, NULL);

			*again = (struct waiting_row){ w.host_no, w.served_s, now + 1 };
		}
	}
}

void
deployments_tick(struct ledger *l)
{
	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];

		if (d->life != DEPLOYMENT_OPEN)
			continue;
		look_again(l, d, 0);
		look_again(l, d, 1);
		if (l->now_us > deployment_close_us(d)) {
			snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
			deployment_close(l, d, DEPLOYMENT_CLOSED);
			d->moved = true;
			if (l->sink.deployment_changed != NULL)
				l->sink.deployment_changed(l->sink.arg, d->tenant, d->msg->id, l->birth.pos);
		}
		l->judge |= d->moved;
	}
}

/* ---- judging ---- */

void
trial_counts(const struct ledger *l, const struct deployment *d, const struct trial_row *row, struct trial *out)
{
	const struct key *key = key_at(&l->keys, row->key_no);
	const struct trial_row *module = NULL;
	uint32_t above = KEY_NONE;

	/* a stop code has no module: any kernel crash stands for it; so does any crash for
	 * a module that the cap left out */
	if (key->rung == RUNG_KEY)
		above = keys_find(&l->keys, d->tenant, RUNG_MODULE, key->module_id_key);
	else if (key->rung == RUNG_STOP)
		above = keys_find(&l->keys, d->tenant, RUNG_KERNEL, l->keys.class_ids[RUNG_KERNEL]);
	else
		above = row->key_no;
	if (above != KEY_NONE)
		module = trial_find(d, above);
	if (module == NULL) {
		above = keys_find(&l->keys, d->tenant, RUNG_ANY, l->keys.class_ids[RUNG_ANY]);
		module = above != KEY_NONE ? trial_find(d, above) : NULL;
	}
	*out = (struct trial){
		.born_since = key->id == row->key_id && key->first_pos > d->begin_pos && (key->flags & KEY_OLD) == 0 &&
			      is_signature(key),
		.n1 = row->hosts1.n,
		.n0 = row->hosts0.n - row->moved,
		.sites1 = row->sites1.n,
		.m1 = module != NULL ? module->hosts1.n : row->hosts1.n,
		.m0 = module != NULL ? module->hosts0.n - module->moved : row->hosts0.n - row->moved,
		.N1 = d->served,
		.N0 = d->eligible - d->served_eligible,
		.forgiven_n1 = row->forgiven_n1,
		.forgiven_sites1 = row->forgiven_sites1,
	};
}

static void
halt(struct ledger *l, struct deployment *d, uint32_t trial, uint64_t pos)
{
	d->halted = true;
	d->by_person = false;
	d->recorded = false;
	d->halt_trial = trial;
	d->halt_pos = pos;
	d->halt_us = l->now_us;
}

static bool
is_shadow(const struct deployment *d)
{
	return strcmp(d->msg->mode, "shadow") == 0;
}

static void
judge(struct ledger *l, struct deployment *d, uint64_t pos)
{
	struct verdict_view v;

	for (uint32_t i = 0; !d->halted && i < d->n_near; i++) {
		struct trial t;

		trial_counts(l, d, table_at(&d->trials, d->near[i]), &t);
		if (!l->engine->crosses(d->engine_state, &t))
			continue;
		halt(l, d, d->near[i], pos);
		if (is_shadow(d) || l->sink.decision_wanted == NULL)
			continue;
		deployment_verdict(l, d, &v);
		l->sink.decision_wanted(l->sink.arg, d->tenant, d->msg->id, v.reason, pos);
	}
}

static uint32_t
shown_suspect(const struct deployment *d)
{
	uint32_t s = d->halted ? d->halt_trial : d->suspect;

	if (s != UINT32_MAX && !d->halted && ((struct trial_row *)table_at(&d->trials, s))->hosts1.n < 2)
		return UINT32_MAX;
	return s;
}

/* Judge one and tell what changed. */
static void
settle(struct ledger *l, struct deployment *d, uint64_t pos)
{
	struct verdict_view v;

	d->moved = false;
	snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
	if (d->life == DEPLOYMENT_OPEN)
		judge(l, d, pos);
	deployment_state(l, d, &v);
	if (v.verdict == d->verdict && v.state == d->state && shown_suspect(d) == d->shown)
		return;
	d->verdict = (uint8_t)v.verdict;
	d->state = (uint8_t)v.state;
	d->shown = shown_suspect(d);
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
	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];

		if (d->moved)
			settle(l, d, pos);
		if (d->life == DEPLOYMENT_OPEN)
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

		if (!d->halted || d->by_person || d->recorded || is_shadow(d) || d->life != DEPLOYMENT_OPEN)
			continue;
		deployment_verdict(l, d, &v);
		sink->decision_wanted(sink->arg, d->tenant, d->msg->id, v.reason, d->halt_pos);
	}
}
