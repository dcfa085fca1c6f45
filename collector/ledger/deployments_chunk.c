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
	struct trial_row *row;

	if (!table_has(&d->trials, b >> 17))
		return NULL;
	row = table_at(&d->trials, b >> 17);
	if ((b & 0x1ffff) == 0xffff)
		return &row->sites1;
	return (b >> 16 & 1) != 0 ? &row->hosts0 : &row->hosts1;
}

static uint32_t
trial_block(uint32_t b)
{
	return (b & 0x1ffff) == 0xffff ? 0 : b & 0xffff;
}

static struct hostset *
fate_set(struct deployment *d, uint32_t b)
{
	return b >= WITHDRAWN_BLOCKS ? &d->withdrawn : &d->resolved;
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
		return hostset_word(fate_set(d, b), b & ~WITHDRAWN_BLOCKS);
	case CHUNK_WAITING:
		return table_word(&d->waiting[b >> 31], id);
	case CHUNK_TRIALS:
		return table_word(&d->trials, id);
	default:
		set = trial_set(d, b);
		return set != NULL ? hostset_word(set, trial_block(b)) : NULL;
	}
}

/* ---- the deployment itself ---- */

static void
pack_core(const struct ledger *l, const struct deployment *d, struct pack *k)
{
	pack_u16(k, d->tenant);
	pack_text(k, (struct text){ (const char *)d->packed, d->packed_len });
	pack_u8(k, d->life);
	pack_u8(k, (uint8_t)(d->paused | d->halted << 1 | d->by_person << 2 | d->recorded << 3 | d->frozen << 4));
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
	pack_varint(k, d->halt_trial);
	pack_varint(k, d->suspect);
	pack_varint(k, d->shown);
	pack_varint(k, d->resumes);
	pack_varint(k, d->births);
	pack_varint(k, d->over_cap);
	pack_text(k, (struct text){ d->said, d->said_len });
	pack_varint(k, d->final_resolved);
	pack_varint(k, d->final_withdrawn);
	for (int q = 0; q < 2; q++) {
		pack_varint(k, d->waiting_first[q]);
		pack_varint(k, d->waiting[q].n);
	}
	pack_varint(k, d->trials.n);
	pack_varint(k, d->n_exact);
	pack_varint(k, d->n_modules);
	pack_varint(k, d->hand);
	pack_u8(k, d->verdict);
	pack_u8(k, d->state);
	pack_varint(k, d->version);
	pack_varint(k, d->since_pos);
	pack_varint(k, (uint64_t)d->since_us);
	hostset_pack(&d->withdrawn, k);
	hostset_pack(&d->resolved, k);
	pack_text(k, (struct text){ d->engine_state, l->engine->state_size });
}

static bool
unpack_tables(struct deployment *d, struct reader *r)
{
	for (int q = 0; q < 2; q++) {
		d->waiting_first[q] = wire_varint(r);
		d->waiting_n[q] = wire_varint(r);
	}
	d->trials_n = wire_varint(r);
	d->n_exact = unpack_u32(r);
	d->n_modules = unpack_u32(r);
	d->hand = unpack_u32(r);
	d->verdict = reader_u8(r);
	d->state = reader_u8(r);
	d->version = wire_varint(r);
	d->since_pos = wire_varint(r);
	d->since_us = (int64_t)wire_varint(r);
	return hostset_unpack(&d->withdrawn, r) && hostset_unpack(&d->resolved, r);
}

static bool
unpack_core(struct ledger *l, struct deployment *d, struct reader *r)
{
	struct text t, said;
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
	d->halt_trial = unpack_u32(r);
	d->suspect = unpack_u32(r);
	d->shown = unpack_u32(r);
	d->resumes = unpack_u32(r);
	d->births = wire_varint(r);
	d->over_cap = wire_varint(r);
	said = unpack_text(r, 512);
	d->said = mem_zero(said.len, 1);
	d->said_len = said.len;
	if (said.len > 0)
		memcpy(d->said, said.at, said.len);
	d->final_resolved = unpack_u32(r);
	d->final_withdrawn = unpack_u32(r);
	if (!unpack_tables(d, r))
		return false;
	t = unpack_text(r, 1u << 16);
	if (reader_failed(r) || t.len != l->engine->state_size)
		return false;
	if (t.len > 0)
		memcpy(d->engine_state, t.at, t.len);
	return true;
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
	pack_varint(k, row->forgiven_n1);
	pack_varint(k, row->forgiven_sites1);
	pack_varint(k, row->moved);
	hostset_pack(&row->hosts1, k);
	hostset_pack(&row->hosts0, k);
	hostset_pack(&row->sites1, k);
	pack_varint(k, row->first_pos);
	pack_varint(k, row->last_pos);
	pack_varint(k, (uint64_t)row->first_us);
	pack_varint(k, (uint64_t)row->last_us);
	pack_varint(k, row->n_votes);
	for (uint32_t i = 0; i < row->n_votes; i++) {
		pack_varint(k, row->votes[i].host_no);
		pack_u8(k, row->votes[i].exposed);
		pack_u16(k, row->votes[i].site);
		pack_varint(k, row->votes[i].pos);
		pack_varint(k, (uint64_t)row->votes[i].at_us);
	}
}

static bool
unpack_trial(const struct ledger *l, struct trial_row *row, struct reader *r)
{
	uint32_t n;

	row->key_no = unpack_u32(r);
	row->key_id = reader_u64(r);
	row->forgiven_n1 = unpack_u32(r);
	row->forgiven_sites1 = unpack_u32(r);
	row->moved = unpack_u32(r);
	if (reader_failed(r) || row->key_no >= l->keys.rows.n || !hostset_unpack(&row->hosts1, r) ||
	    !hostset_unpack(&row->hosts0, r) || !hostset_unpack(&row->sites1, r) || row->moved > row->hosts0.n)
		return false;
	row->first_pos = wire_varint(r);
	row->last_pos = wire_varint(r);
	row->first_us = (int64_t)wire_varint(r);
	row->last_us = (int64_t)wire_varint(r);
	n = unpack_u32(r);
	if (reader_failed(r) || n > VERDICT_VOTES)
		return false;
	row->votes = mem_zero(n, sizeof(*row->votes));
	row->n_votes = n;
	for (uint32_t i = 0; i < n; i++) {
		row->votes[i].host_no = unpack_u32(r);
		row->votes[i].exposed = reader_u8(r) != 0;
		row->votes[i].site = reader_u16(r);
		row->votes[i].pos = wire_varint(r);
		row->votes[i].at_us = (int64_t)wire_varint(r);
	}
	return !reader_failed(r);
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
		if (!unpack_trial(l, table_at(&d->trials, from + i), r))
			return false;
	return true;
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
		pack_core(l, d, k);
		return true;
	case CHUNK_SERVED:
		for (uint32_t i = 0; i < SERVED_BLOCK; i++)
			pack_u16(k, d->blocks[b]->minute[i]);
		return true;
	case CHUNK_RESOLVED:
		return hostset_pack_block(fate_set(d, b), b & ~WITHDRAWN_BLOCKS, k);
	case CHUNK_WAITING:
		pack_waiting(&d->waiting[b >> 31], id, k);
		return true;
	case CHUNK_TRIALS:
		pack_trials(d, id, k);
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
		d->engine_state = mem_zero(1, l->engine->state_size);
		return unpack_core(l, d, r);
	}
	if (d == NULL)
		return false;
	switch (chunk_kind(id)) {
	case CHUNK_SERVED:
		return unpack_served(d, b, r);
	case CHUNK_RESOLVED:
		return hostset_unpack_block(fate_set(d, b), b & ~WITHDRAWN_BLOCKS, r);
	case CHUNK_WAITING:
		return unpack_waiting(l, &d->waiting[b >> 31], id, r);
	case CHUNK_TRIALS:
		return unpack_trials(l, d, id, r);
	default:
		set = trial_set(d, b);
		return set != NULL && hostset_unpack_block(set, trial_block(b), r);
	}
}

/* Is every chunk of it there? */
static bool
is_whole(const struct deployment *d)
{
	uint32_t served = 0;

	for (uint32_t b = 0; b < d->n_blocks; b++)
		for (uint32_t i = 0; d->blocks[b] != NULL && i < SERVED_BLOCK; i++)
			served += d->blocks[b]->minute[i] != 0;
	for (uint64_t i = 0; i < d->trials.n; i++) {
		const struct trial_row *row = table_at(&d->trials, i);

		if (!hostset_loaded(&row->hosts1) || !hostset_loaded(&row->hosts0) || !hostset_loaded(&row->sites1))
			return false;
	}
	return hostset_loaded(&d->resolved) && hostset_loaded(&d->withdrawn) &&
	       (d->life != DEPLOYMENT_OPEN || served == d->served);
}

bool
deployments_loaded(struct ledger *l)
{
	for (uint32_t i = 0; i < l->n_deployments; i++) {
		struct deployment *d = l->deployments[i];

		if (!table_loaded(&d->waiting[0], d->waiting_n[0]) || !table_loaded(&d->waiting[1], d->waiting_n[1]) ||
		    !table_loaded(&d->trials, d->trials_n) || d->waiting_first[0] > d->waiting_n[0] ||
		    d->waiting_first[1] > d->waiting_n[1] || d->life > DEPLOYMENT_DELETED ||
		    (d->suspect != UINT32_MAX && d->suspect >= d->trials.n) ||
		    (d->halt_trial != UINT32_MAX && d->halt_trial >= d->trials.n) || !is_whole(d))
			return false;
		trials_index(l, d);
		if (d->life != DEPLOYMENT_OPEN)
			continue;
		l->open = mem_grow(l->open, l->n_open, l->n_open + 1, sizeof(*l->open));
		l->open[l->n_open++] = d;
	}
	return true;
}
