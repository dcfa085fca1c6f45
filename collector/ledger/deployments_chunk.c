/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

/* Deployments as snapshot chunks. */

#define MESSAGE_MAX (1u << 20)

static struct deployment *
deployment_of(const struct ledger *l, uint64_t id)
{
	return chunk_a(id) < l->n_deployments ? l->deployments[chunk_a(id)] : NULL;
}

static struct hostset *
trial_set(const struct deployment *d, uint32_t b)
{
	bool sites = (b & 0xffff) == 0xffff;
	struct trial_row *row;

	if (!table_has(&d->trials, b >> 18))
		return NULL;
	row = trial_at(d, b >> 18);
	switch (b >> 16 & 3) {
	case SET_SERVED:
		return sites ? &row->sites1 : &row->served;
	case SET_UNSERVED:
		return sites ? &row->spent : &row->unserved;
	case SET_OTHERS:
		return sites ? NULL : &row->others;
	default:
		return NULL;
	}
}

static uint32_t
trial_block(uint32_t b)
{
	return (b & 0xffff) == 0xffff ? 0 : b & 0xffff;
}

static struct hostset *
fate_set(struct deployment *d, uint32_t b)
{
	return (b & WITHDRAWN_BLOCKS) != 0 ? &d->withdrawn
	       : (b & BAD_BLOCKS) != 0     ? &d->bad
	       : (b & SITES_BLOCKS) != 0   ? &d->sites
					   : &d->resolved;
}

static uint32_t
fate_block(uint32_t b)
{
	return b & ~(WITHDRAWN_BLOCKS | BAD_BLOCKS | SITES_BLOCKS);
}

uint32_t *
deployment_word(struct ledger *l, uint64_t id)
{
	struct deployment *d = deployment_of(l, id);
	struct hostset *set;
	uint32_t b = chunk_b(id);

	if (d == NULL)
		return NULL;
	switch (chunk_kind(id)) {
	case CHUNK_DEPLOYMENT:
		return &d->word;
	case CHUNK_SERVED:
		return b < d->n_blocks && d->blocks[b] != NULL ? &d->blocks[b]->word : NULL;
	case CHUNK_RESOLVED:
		return hostset_word(fate_set(d, b), fate_block(b));
	case CHUNK_WAITING:
		return table_word(&d->waiting[b >> 31], id);
	case CHUNK_TRIALS:
		return table_word(&d->trials, id);
	case CHUNK_VOTES:
		return table_word(&d->votes, id);
	case CHUNK_STRATA:
		return table_word(&d->strata.rows, id);
	case CHUNK_MINUTES:
		return table_word(&d->minutes, id);
	case CHUNK_MOVED:
		return b < d->strata.n_moved && d->strata.moved[b] != NULL ? &d->strata.moved[b]->word : NULL;
	case CHUNK_DARK:
		return &d->dark.word;
	case CHUNK_ANNALS:
		return &d->word_annals;
	default:
		set = trial_set(d, b);
		return set != NULL ? hostset_word(set, trial_block(b)) : NULL;
	}
}

/* ---- the deployment itself ---- */

static void
pack_real(struct pack *k, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	pack_u64(k, bits);
}

static double
unpack_real(struct reader *r)
{
	uint64_t bits = reader_u64(r);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* What the engine made of it. */
static void
pack_judged(const struct deployment *d, struct pack *k)
{
	pack_text(k, (struct text){ (const char *)&d->params, sizeof(d->params) });
	pack_u8(k, d->randomised);
	pack_real(k, d->suspect_odds);
	for (int i = 0; i < POOL_N; i++)
		pack_varint(k, d->births[i]);
	pack_varint(k, d->known);
	pack_varint(k, d->over_cap);
	pack_varint(k, d->late_votes);
	pack_varint(k, d->early_votes);
	pack_varint(k, (uint64_t)d->watch_until_us);
	pack_varint(k, d->watch_trial);
	pack_varint(k, d->co_of);
	pack_varint(k, d->co_key);
	pack_real(k, d->co_sep);
	pack_varint(k, d->forgiven_bad);
	pack_varint(k, d->n_mutes);
	for (uint32_t i = 0; i < d->n_mutes; i++) {
		pack_u64(k, d->mutes[i].signature);
		pack_varint(k, (uint64_t)d->mutes[i].until_us);
		pack_varint(k, d->mutes[i].pos);
		pack_u8(k, d->mutes[i].accepted);
	}
	pack_text(k, (struct text){ (const char *)d->strata.size_class, d->strata.n_sites });
	pack_varint(k, d->strata.at_risk1);
	pack_varint(k, d->strata.at_risk0);
	pack_varint(k, d->strata.moved_hosts);
}

static bool
unpack_mutes(struct deployment *d, struct reader *r)
{
	uint32_t n = unpack_u32(r);

	if (reader_failed(r) || n > MUTES_MAX)
		return false;
	d->mutes = mem_zero(n, sizeof(*d->mutes));
	d->n_mutes = n;
	for (uint32_t i = 0; i < n; i++) {
		d->mutes[i].signature = reader_u64(r);
		d->mutes[i].until_us = (int64_t)wire_varint(r);
		d->mutes[i].pos = wire_varint(r);
		d->mutes[i].accepted = reader_u8(r) != 0;
	}
	return !reader_failed(r);
}

static bool
unpack_judged(struct deployment *d, struct reader *r)
{
	struct text t = unpack_text(r, sizeof(d->params));

	if (t.len != sizeof(d->params))
		return false;
	memcpy(&d->params, t.at, t.len);
	d->randomised = reader_u8(r) != 0;
	d->suspect_odds = unpack_real(r);
	for (int i = 0; i < POOL_N; i++)
		d->births[i] = unpack_u32(r);
	d->known = unpack_u32(r);
	d->over_cap = wire_varint(r);
	d->late_votes = wire_varint(r);
	d->early_votes = wire_varint(r);
	d->watch_until_us = (int64_t)wire_varint(r);
	d->watch_trial = unpack_u32(r);
	d->co_of = unpack_u32(r);
	d->co_key = unpack_u32(r);
	d->co_sep = unpack_real(r);
	d->forgiven_bad = unpack_u32(r);
	if (!unpack_mutes(d, r))
		return false;
	t = unpack_text(r, 1u << 16);
	d->strata.size_class = mem_zero(t.len, 1);
	d->strata.n_sites = (uint32_t)t.len;
	if (t.len > 0)
		memcpy(d->strata.size_class, t.at, t.len);
	d->strata.at_risk1 = unpack_u32(r);
	d->strata.at_risk0 = unpack_u32(r);
	d->strata.moved_hosts = unpack_u32(r);
	return !reader_failed(r);
}

static void
pack_core(const struct deployment *d, struct pack *k)
{
	pack_u16(k, d->tenant);
	pack_text(k, (struct text){ (const char *)d->packed, d->packed_len });
	pack_u8(k, d->life);
	pack_u8(k, (uint8_t)(d->paused | d->halted << 1 | d->by_person << 2 | d->recorded << 3 | d->frozen << 4 |
			     d->sticky << 5 | d->heuristic << 6 | d->recovered << 7));
	pack_varint(k, d->begin_pos);
	pack_varint(k, d->halt_pos);
	pack_varint(k, d->resumed_pos);
	pack_varint(k, (uint64_t)d->begin_us);
	pack_varint(k, (uint64_t)d->first_receipt_us);
	pack_varint(k, (uint64_t)d->last_receipt_us);
	pack_varint(k, (uint64_t)d->halt_us);
	pack_varint(k, d->eligible);
	pack_varint(k, d->served);
	pack_varint(k, d->served_eligible);
	pack_varint(k, d->served_new);
	for (unsigned i = 0; i < RECEIPT_N; i++)
		pack_varint(k, d->served_by[i]);
	pack_varint(k, d->halt_trial);
	pack_varint(k, d->suspect);
	pack_varint(k, d->shown);
	pack_varint(k, d->resumes);
	pack_judged(d, k);
	pack_text(k, (struct text){ d->said, d->said_len });
	pack_varint(k, d->final_resolved);
	pack_varint(k, d->final_withdrawn);
	pack_varint(k, d->final_bad);
	for (int q = 0; q < 2; q++) {
		pack_varint(k, d->waiting_first[q]);
		pack_varint(k, d->waiting[q].n);
	}
	pack_varint(k, d->trials.n);
	pack_varint(k, d->votes.n);
	pack_varint(k, d->strata.rows.n);
	pack_varint(k, d->minutes.n);
	pack_varint(k, d->n_new);
	pack_varint(k, d->n_old);
	pack_varint(k, d->n_modules);
	pack_varint(k, d->hand);
	pack_u8(k, d->verdict);
	pack_u8(k, d->state);
	pack_varint(k, d->version);
	pack_varint(k, d->since_pos);
	pack_varint(k, (uint64_t)d->since_us);
	hostset_pack(&d->withdrawn, k);
	hostset_pack(&d->resolved, k);
	hostset_pack(&d->bad, k);
	hostset_pack(&d->sites, k);
}

static bool
unpack_tables(struct deployment *d, struct reader *r)
{
	for (int q = 0; q < 2; q++) {
		d->waiting_first[q] = wire_varint(r);
		d->waiting_n[q] = wire_varint(r);
	}
	d->trials_n = wire_varint(r);
	d->votes_n = wire_varint(r);
	d->strata_n = wire_varint(r);
	d->minutes_n = wire_varint(r);
	d->n_new = unpack_u32(r);
	d->n_old = unpack_u32(r);
	d->n_modules = unpack_u32(r);
	d->hand = unpack_u32(r);
	d->verdict = reader_u8(r);
	d->state = reader_u8(r);
	d->version = wire_varint(r);
	d->since_pos = wire_varint(r);
	d->since_us = (int64_t)wire_varint(r);
	return hostset_unpack(&d->withdrawn, r) && hostset_unpack(&d->resolved, r) && hostset_unpack(&d->bad, r) &&
	       hostset_unpack(&d->sites, r);
}

static bool
unpack_core(struct deployment *d, struct reader *r)
{
	struct text t;
	uint8_t flags;

	d->tenant = reader_u16(r);
	t = unpack_text(r, MESSAGE_MAX);
	if (reader_failed(r) || !deployment_read(d, t.at, t.len))
		return false;
	d->life = reader_u8(r);
	flags = reader_u8(r);
	d->paused = flags & 1;
	d->halted = flags >> 1 & 1;
	d->by_person = flags >> 2 & 1;
	d->recorded = flags >> 3 & 1;
	d->frozen = flags >> 4 & 1;
	d->sticky = flags >> 5 & 1;
	d->heuristic = flags >> 6 & 1;
	d->recovered = flags >> 7 & 1;
	d->begin_pos = wire_varint(r);
	d->halt_pos = wire_varint(r);
	d->resumed_pos = wire_varint(r);
	d->begin_us = (int64_t)wire_varint(r);
	d->first_receipt_us = (int64_t)wire_varint(r);
	d->last_receipt_us = (int64_t)wire_varint(r);
	d->halt_us = (int64_t)wire_varint(r);
	d->eligible = unpack_u32(r);
	d->served = unpack_u32(r);
	d->served_eligible = unpack_u32(r);
	d->served_new = unpack_u32(r);
	for (unsigned i = 0; i < RECEIPT_N; i++)
		d->served_by[i] = unpack_u32(r);
	d->halt_trial = unpack_u32(r);
	d->suspect = unpack_u32(r);
	d->shown = unpack_u32(r);
	d->resumes = unpack_u32(r);
	if (!unpack_judged(d, r))
		return false;
	deployment_say(d, unpack_text(r, SAID_MAX));
	d->final_resolved = unpack_u32(r);
	d->final_withdrawn = unpack_u32(r);
	d->final_bad = unpack_u32(r);
	return unpack_tables(d, r) && !reader_failed(r);
}

/* ---- its tables ---- */

static void
pack_waiting(const struct table *t, uint64_t id, struct pack *k)
{
	uint64_t from, to;

	table_span(t, id, &from, &to);
	pack_varint(k, to - from);
	for (; from < to; from++) {
		const struct waiting_row *w = table_at(t, from);

		pack_varint(k, w->host_no);
		pack_u32(k, w->served_s);
		pack_u32(k, w->check_s);
	}
}

static bool
unpack_waiting(const struct ledger *l, struct table *t, uint64_t id, struct reader *r)
{
	uint32_t n = unpack_u32(r);
	uint64_t from;

	if (reader_failed(r) || !table_load(t, id, n, &from))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct waiting_row *w = table_at(t, from + i);

		w->host_no = unpack_u32(r);
		w->served_s = reader_u32(r);
		w->check_s = reader_u32(r);
		if (reader_failed(r) || w->host_no >= l->hosts.n)
			return false;
	}
	return true;
}

static void
pack_trial(const struct trial_row *row, struct pack *k)
{
	pack_varint(k, row->key_no);
	pack_u64(k, row->key_id);
	for (int i = 0; i < GRID_MAX; i++)
		pack_real(k, row->e.log_factor[i]);
	pack_real(k, row->e.log_weight);
	pack_real(k, row->e.peak);
	pack_varint(k, row->e.grid);
	pack_varint(k, row->e.served);
	pack_varint(k, row->e.unserved);
	pack_varint(k, row->birth);
	pack_u8(k, row->pool);
	pack_u8(k, row->flags);
	pack_u8(k, row->resumes);
	pack_varint(k, row->forgiven);
	pack_varint(k, row->moved);
	hostset_pack(&row->served, k);
	hostset_pack(&row->unserved, k);
	hostset_pack(&row->others, k);
	hostset_pack(&row->sites1, k);
	hostset_pack(&row->spent, k);
	pack_varint(k, row->first_pos);
	pack_varint(k, row->last_pos);
	pack_varint(k, (uint64_t)row->first_us);
	pack_varint(k, (uint64_t)row->last_us);
	pack_varint(k, row->last_vote);
	pack_varint(k, row->n_votes);
	pack_varint(k, row->n_kept);
	pack_varint(k, row->since);
	pack_varint(k, row->since_row);
	pack_varint(k, row->watched);
}

static bool
unpack_eprocess(struct eprocess *e, struct reader *r)
{
	for (int i = 0; i < GRID_MAX; i++)
		e->log_factor[i] = unpack_real(r);
	e->log_weight = unpack_real(r);
	e->peak = unpack_real(r);
	e->grid = unpack_u32(r);
	e->served = unpack_u32(r);
	e->unserved = unpack_u32(r);
	return !reader_failed(r) && e->grid < GRID_N;
}

static bool
unpack_trial(const struct ledger *l, const struct deployment *d, struct trial_row *row, struct reader *r)
{
	row->key_no = unpack_u32(r);
	row->key_id = reader_u64(r);
	if (reader_failed(r) || (row->key_no >= l->keys.rows.n && row->key_no < KEY_BOOT) ||
	    !unpack_eprocess(&row->e, r))
		return false;
	row->birth = unpack_u32(r);
	row->pool = reader_u8(r);
	row->flags = reader_u8(r);
	row->resumes = reader_u8(r);
	row->forgiven = unpack_u32(r);
	row->moved = unpack_u32(r);
	if (!hostset_unpack(&row->served, r) || !hostset_unpack(&row->unserved, r) ||
	    !hostset_unpack(&row->others, r) || !hostset_unpack(&row->sites1, r) || !hostset_unpack(&row->spent, r) ||
	    row->moved > row->unserved.n || row->forgiven > row->served.n || row->pool >= POOL_N)
		return false;
	row->first_pos = wire_varint(r);
	row->last_pos = wire_varint(r);
	row->first_us = (int64_t)wire_varint(r);
	row->last_us = (int64_t)wire_varint(r);
	row->last_vote = unpack_u32(r);
	row->n_votes = unpack_u32(r);
	row->n_kept = unpack_u32(r);
	row->since = unpack_u32(r);
	row->since_row = wire_varint(r);
	row->watched = unpack_u32(r);
	return !reader_failed(r) && row->last_vote <= d->votes_n && row->n_kept <= row->n_votes &&
	       row->since <= row->n_kept;
}

static void
pack_trials(const struct deployment *d, uint64_t id, struct pack *k)
{
	uint64_t from, to;

	table_span(&d->trials, id, &from, &to);
	pack_varint(k, to - from);
	for (; from < to; from++)
		pack_trial(table_at(&d->trials, from), k);
}

static bool
unpack_trials(const struct ledger *l, struct deployment *d, uint64_t id, struct reader *r)
{
	uint32_t n = unpack_u32(r);
	uint64_t from;

	if (reader_failed(r) || !table_load(&d->trials, id, n, &from))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!unpack_trial(l, d, table_at(&d->trials, from + i), r))
			return false;
	return true;
}

/* ---- votes, strata, minutes ---- */

static void
pack_votes(const struct deployment *d, uint64_t id, struct pack *k)
{
	uint64_t from, to;

	table_span(&d->votes, id, &from, &to);
	pack_varint(k, to - from);
	for (; from < to; from++) {
		const struct vote_row *v = table_at(&d->votes, from);

		pack_u64(k, v->pos);
		pack_varint(k, (uint64_t)v->at_us);
		pack_varint(k, (uint64_t)v->crash_us);
		pack_varint(k, v->host_no);
		pack_varint(k, v->y1);
		pack_varint(k, v->y0);
		pack_varint(k, v->before);
		pack_u16(k, v->trial);
		pack_u16(k, v->site);
		pack_u16(k, v->stratum);
		pack_u16(k, v->served);
		pack_u8(k, v->flags);
	}
}

static bool
unpack_votes(const struct ledger *l, struct deployment *d, uint64_t id, struct reader *r)
{
	uint32_t n = unpack_u32(r);
	uint64_t from;

	if (reader_failed(r) || !table_load(&d->votes, id, n, &from))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct vote_row *v = table_at(&d->votes, from + i);

		v->pos = reader_u64(r);
		v->at_us = (int64_t)wire_varint(r);
		v->crash_us = (int64_t)wire_varint(r);
		v->host_no = unpack_u32(r);
		v->y1 = unpack_u32(r);
		v->y0 = unpack_u32(r);
		v->before = unpack_u32(r);
		v->trial = reader_u16(r);
		v->site = reader_u16(r);
		v->stratum = reader_u16(r);
		v->served = reader_u16(r);
		v->flags = reader_u8(r);
		if (reader_failed(r) || v->host_no >= l->hosts.n || v->before > from + i || v->trial >= d->trials_n ||
		    v->stratum >= d->strata_n)
			return false;
	}
	return true;
}

static void
pack_share(struct share s, struct pack *k)
{
	pack_varint(k, s.y1);
	pack_varint(k, s.y0);
}

static struct share
unpack_share(struct reader *r)
{
	struct share s;

	s.y1 = unpack_u32(r);
	s.y0 = unpack_u32(r);
	return s;
}

static void
pack_strata(const struct deployment *d, uint64_t id, struct pack *k)
{
	uint64_t from, to;

	table_span(&d->strata.rows, id, &from, &to);
	pack_varint(k, to - from);
	for (; from < to; from++) {
		const struct stratum_row *row = table_at(&d->strata.rows, from);

		pack_u32(k, row->key);
		pack_varint(k, row->minute);
		pack_share(row->now, k);
		pack_u64(k, row->pos);
		for (unsigned i = 0; i < SHARE_LEVELS; i++) {
			pack_share(row->running[i], k);
			pack_share(row->before[i], k);
		}
	}
}

static bool
unpack_strata(struct deployment *d, uint64_t id, struct reader *r)
{
	uint32_t n = unpack_u32(r);
	uint64_t from;

	if (reader_failed(r) || !table_load(&d->strata.rows, id, n, &from))
		return false;
	for (uint32_t j = 0; j < n; j++) {
		struct stratum_row *row = table_at(&d->strata.rows, from + j);

		row->key = reader_u32(r);
		row->minute = unpack_u32(r);
		row->now = unpack_share(r);
		row->pos = reader_u64(r);
		for (unsigned i = 0; i < SHARE_LEVELS; i++) {
			row->running[i] = unpack_share(r);
			row->before[i] = unpack_share(r);
		}
	}
	return !reader_failed(r);
}

static void
pack_minutes(const struct deployment *d, uint64_t id, struct pack *k)
{
	uint64_t from, to;

	table_span(&d->minutes, id, &from, &to);
	pack_varint(k, to - from);
	for (; from < to; from++) {
		const struct timeline_minute *m = table_at(&d->minutes, from);

		pack_varint(k, m->minute);
		pack_varint(k, m->served);
		pack_varint(k, m->exposed);
		pack_varint(k, m->unexposed);
		pack_varint(k, m->dark);
	}
}

static bool
unpack_minutes(struct deployment *d, uint64_t id, struct reader *r)
{
	uint32_t n = unpack_u32(r);
	uint64_t from;

	if (reader_failed(r) || !table_load(&d->minutes, id, n, &from))
		return false;
	for (uint32_t j = 0; j < n; j++) {
		struct timeline_minute *m = table_at(&d->minutes, from + j);

		m->minute = unpack_u32(r);
		m->served = unpack_u32(r);
		m->exposed = unpack_u32(r);
		m->unexposed = unpack_u32(r);
		m->dark = unpack_u32(r);
	}
	return !reader_failed(r);
}

static bool
unpack_moved(struct deployment *d, uint32_t b, struct reader *r)
{
	struct strata *s = &d->strata;

	if (b < s->n_moved || b > HOST_MAX / MOVED_BLOCK)
		return false;
	s->moved = mem_grow(s->moved, s->n_moved, b + 1, sizeof(*s->moved));
	s->n_moved = b + 1;
	s->moved[b] = mem_zero(1, sizeof(*s->moved[b]));
	for (uint32_t i = 0; i < MOVED_BLOCK; i++) {
		s->moved[b]->stratum[i] = reader_u16(r);
		if (s->moved[b]->stratum[i] > d->strata_n)
			return false;
	}
	return !reader_failed(r);
}

static bool
unpack_served(struct deployment *d, uint32_t b, struct reader *r)
{
	if (b < d->n_blocks || b > HOST_MAX / SERVED_BLOCK)
		return false;
	d->blocks = mem_grow(d->blocks, d->n_blocks, b + 1, sizeof(*d->blocks));
	d->n_blocks = b + 1;
	d->blocks[b] = mem_zero(1, sizeof(*d->blocks[b]));
	for (uint32_t i = 0; i < SERVED_BLOCK; i++)
		d->blocks[b]->minute[i] = reader_u16(r);
	return !reader_failed(r);
}

bool
deployment_pack(const struct ledger *l, uint64_t id, struct pack *k)
{
	struct deployment *d = deployment_of(l, id);
	uint32_t b = chunk_b(id);

	switch (chunk_kind(id)) {
	case CHUNK_DEPLOYMENT:
		pack_core(d, k);
		return true;
	case CHUNK_SERVED:
		for (uint32_t i = 0; i < SERVED_BLOCK; i++)
			pack_u16(k, d->blocks[b]->minute[i]);
		return true;
	case CHUNK_RESOLVED:
		return hostset_pack_block(fate_set(d, b), fate_block(b), k);
	case CHUNK_WAITING:
		pack_waiting(&d->waiting[b >> 31], id, k);
		return true;
	case CHUNK_TRIALS:
		pack_trials(d, id, k);
		return true;
	case CHUNK_VOTES:
		pack_votes(d, id, k);
		return true;
	case CHUNK_STRATA:
		pack_strata(d, id, k);
		return true;
	case CHUNK_MINUTES:
		pack_minutes(d, id, k);
		return true;
	case CHUNK_DARK:
		dark_pack(l, d, k);
		return true;
	case CHUNK_ANNALS:
		annals_pack(d, k);
		return true;
	case CHUNK_MOVED:
		for (uint32_t i = 0; i < MOVED_BLOCK; i++)
			pack_u16(k, d->strata.moved[b]->stratum[i]);
		return true;
	default:
		return hostset_pack_block(trial_set(d, b), trial_block(b), k);
	}
}

bool
deployment_unpack(struct ledger *l, uint64_t id, struct reader *r)
{
	struct deployment *d = deployment_of(l, id);
	uint32_t b = chunk_b(id);
	struct hostset *set;

	if (chunk_kind(id) == CHUNK_DEPLOYMENT) {
		if (d != NULL || chunk_a(id) != l->n_deployments)
			return false;
		d = mem_zero(1, sizeof(*d));
		l->deployments =
			mem_grow(l->deployments, l->n_deployments, l->n_deployments + 1, sizeof(*l->deployments));
		l->deployments[l->n_deployments] = d;
		deployment_start(d, l->n_deployments++);
		return unpack_core(d, r);
	}
	if (d == NULL)
		return false;
	switch (chunk_kind(id)) {
	case CHUNK_SERVED:
		return unpack_served(d, b, r);
	case CHUNK_RESOLVED:
		return hostset_unpack_block(fate_set(d, b), fate_block(b), r);
	case CHUNK_WAITING:
		return unpack_waiting(l, &d->waiting[b >> 31], id, r);
	case CHUNK_TRIALS:
		return unpack_trials(l, d, id, r);
	case CHUNK_VOTES:
		return unpack_votes(l, d, id, r);
	case CHUNK_STRATA:
		return unpack_strata(d, id, r);
	case CHUNK_MINUTES:
		return unpack_minutes(d, id, r);
	case CHUNK_MOVED:
		return unpack_moved(d, b, r);
	case CHUNK_DARK:
		return dark_unpack(l, d, r);
	case CHUNK_ANNALS:
		return annals_unpack(d, r);
	default:
		set = trial_set(d, b);
		return set != NULL && hostset_unpack_block(set, trial_block(b), r);
	}
}

/* Is every chunk of it there? */
static bool
is_whole(const struct deployment *d)
{
	uint32_t served = 0, moved = 0;

	for (uint32_t b = 0; b < d->strata.n_moved; b++)
		for (uint32_t i = 0; d->strata.moved[b] != NULL && i < MOVED_BLOCK; i++)
			moved += d->strata.moved[b]->stratum[i] != 0;
	if (moved != d->strata.moved_hosts)
		return false;
	for (uint32_t b = 0; b < d->n_blocks; b++)
		for (uint32_t i = 0; d->blocks[b] != NULL && i < SERVED_BLOCK; i++)
			served += d->blocks[b]->minute[i] != 0;
	for (uint64_t i = 0; i < d->trials.n; i++) {
		const struct trial_row *row = table_at(&d->trials, i);

		if (!hostset_loaded(&row->served) || !hostset_loaded(&row->unserved) || !hostset_loaded(&row->others) ||
		    !hostset_loaded(&row->sites1) || !hostset_loaded(&row->spent))
			return false;
	}
	return hostset_loaded(&d->bad) && hostset_loaded(&d->sites) && hostset_loaded(&d->resolved) &&
	       hostset_loaded(&d->withdrawn) && (d->life != DEPLOYMENT_OPEN || served == d->served);
}

bool
deployments_loaded(struct ledger *l)
{
	for (uint32_t i = 0; i < l->n_deployments; i++) {
		struct deployment *d = l->deployments[i];

		if (!table_loaded(&d->waiting[0], d->waiting_n[0]) || !table_loaded(&d->waiting[1], d->waiting_n[1]) ||
		    !table_loaded(&d->trials, d->trials_n) || !table_loaded(&d->votes, d->votes_n) ||
		    !table_loaded(&d->strata.rows, d->strata_n) || !table_loaded(&d->minutes, d->minutes_n) ||
		    d->waiting_first[0] > d->waiting_n[0] || d->waiting_first[1] > d->waiting_n[1] ||
		    d->life > DEPLOYMENT_DELETED || (d->suspect != UINT32_MAX && d->suspect >= d->trials.n) ||
		    (d->halt_trial != UINT32_MAX && d->halt_trial >= d->trials.n) ||
		    (d->watch_trial != UINT32_MAX && d->watch_trial >= d->trials.n) || d->co_of > l->n_deployments ||
		    !is_whole(d))
			return false;
		trials_index(l, d);
		strata_index(&d->strata);
		if (d->life != DEPLOYMENT_OPEN)
			continue;
		l->open = mem_grow(l->open, l->n_open, l->n_open + 1, sizeof(*l->open));
		l->open[l->n_open++] = d;
		l->n_halted += d->halted && !d->by_person;
	}
	return true;
}
