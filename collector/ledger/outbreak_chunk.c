/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

/* Watched keys and alarms as snapshot chunks. */

static void
pack_real(struct pack *k, double x)
{
	uint64_t bits;

	memcpy(&bits, &x, sizeof(bits));
	pack_u64(k, bits);
}

static double
unpack_real(struct reader *r)
{
	uint64_t bits = reader_u64(r);
	double x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* ---- rows ---- */

static void
pack_row(const struct outbreak_row *row, struct pack *k)
{
	pack_u32(k, row->key_no);
	if (row->key_no == KEY_NONE)
		return;
	pack_u64(k, row->key_id);
	pack_u8(k, (uint8_t)(row->newborn | row->urged << 1));
	pack_u8(k, row->raised);
	pack_varint(k, (uint64_t)row->birth.born_us);
	pack_varint(k, row->birth.started);
	for (uint32_t i = 0; i < row->birth.started; i++) {
		pack_real(k, row->birth.exposure[i]);
		pack_varint(k, row->birth.votes[i]);
	}
	pack_varint(k, row->brake_bin);
	for (uint32_t i = 0; i < BRAKE_BINS; i++) {
		pack_varint(k, row->brake_hosts[i]);
		pack_varint(k, row->brake_sites[i]);
	}
	pack_varint(k, row->first_hour);
	pack_varint(k, row->hour);
	for (uint32_t i = 0; i < OUTBREAK_HOURS; i++)
		pack_varint(k, row->votes[i]);
	pack_real(k, row->log_m);
	pack_varint(k, row->n_sites);
	for (uint32_t i = 0; i < row->n_sites; i++)
		pack_varint(k, row->sites[i]);
	pack_varint(k, row->last_s);
}

static uint16_t
unpack_u16(struct reader *r)
{
	uint32_t v = unpack_u32(r);

	if (v > UINT16_MAX)
		reader_fail(r, ERR_MALFORMED, "a number of 16 bits");
	return (uint16_t)v;
}

static bool
unpack_row(const struct ledger *l, struct outbreak_row *row, struct reader *r)
{
	uint8_t flags;

	row->key_no = reader_u32(r);
	if (row->key_no == KEY_NONE)
		return !reader_failed(r);
	if (row->key_no >= l->keys.rows.n)
		return false;
	row->key_id = reader_u64(r);
	flags = reader_u8(r);
	row->newborn = (flags & 1) != 0;
	row->urged = (flags & 2) != 0;
	row->raised = reader_u8(r);
	row->birth.born_us = (int64_t)wire_varint(r);
	row->birth.started = unpack_u32(r);
	if (row->birth.started > BIRTH_STARTS || flags > 3 || row->raised >= 1u << ALARM_N)
		return false;
	for (uint32_t i = 0; i < row->birth.started; i++) {
		row->birth.exposure[i] = unpack_real(r);
		row->birth.votes[i] = unpack_u32(r);
	}
	row->brake_bin = unpack_u32(r);
	for (uint32_t i = 0; i < BRAKE_BINS; i++) {
		row->brake_hosts[i] = unpack_u32(r);
		row->brake_sites[i] = unpack_u32(r);
	}
	row->first_hour = unpack_u32(r);
	row->hour = unpack_u32(r);
	for (uint32_t i = 0; i < OUTBREAK_HOURS; i++)
		row->votes[i] = unpack_u16(r);
	row->log_m = unpack_real(r);
	row->n_sites = unpack_u16(r);
	if (row->n_sites > OUTBREAK_SITES)
		return false;
	for (uint32_t i = 0; i < row->n_sites; i++)
		row->sites[i] = unpack_u16(r);
	row->last_s = unpack_u32(r);
	return !reader_failed(r);
}

/* ---- alarms, and what is counted for a tenant ---- */

static void
pack_alarm(const struct alarm *a, struct pack *k)
{
	pack_varint(k, a->no);
	pack_u16(k, a->tenant);
	pack_u8(k, a->kind);
	pack_u8(k, a->rung);
	pack_u8(k, a->certified);
	pack_u64(k, a->signature);
	pack_varint(k, a->pos);
	pack_varint(k, (uint64_t)a->raised_us);
	pack_varint(k, (uint64_t)a->cleared_us);
	pack_real(k, a->log_e);
	pack_real(k, a->log_needed);
	pack_varint(k, a->hosts);
	pack_varint(k, a->sites);
	pack_varint(k, a->active);
	pack_varint(k, a->deployments);
	pack_text(k, text_of(a->title));
	pack_text(k, text_of(a->text));
}

static bool
unpack_alarm(struct alarm *a, struct reader *r)
{
	struct text t;

	a->no = wire_varint(r);
	a->tenant = reader_u16(r);
	a->kind = reader_u8(r);
	a->rung = reader_u8(r);
	a->certified = reader_u8(r) != 0;
	a->signature = reader_u64(r);
	a->pos = wire_varint(r);
	a->raised_us = (int64_t)wire_varint(r);
	a->cleared_us = (int64_t)wire_varint(r);
	a->log_e = unpack_real(r);
	a->log_needed = unpack_real(r);
	a->hosts = unpack_u32(r);
	a->sites = unpack_u32(r);
	a->active = unpack_u32(r);
	a->deployments = unpack_u32(r);
	t = unpack_text(r, sizeof(a->title) - 1);
	if (t.len > 0)
		memcpy(a->title, t.at, t.len);
	t = unpack_text(r, sizeof(a->text) - 1);
	if (t.len > 0)
		memcpy(a->text, t.at, t.len);
	return !reader_failed(r) && a->kind < ALARM_N && a->rung < RUNG_N;
}

static void
pack_fleet(const struct fleet *f, struct pack *k)
{
	pack_u16(k, f->tenant);
	pack_varint(k, f->active);
	pack_real(k, f->exposure);
	pack_varint(k, f->tally.total);
	for (uint32_t i = 0; i < BIRTH_BINS; i++) {
		pack_varint(k, f->tally.births[i]);
		if (f->tally.births[i] == 0)
			continue;
		pack_real(k, f->tally.votes[i]);
		pack_real(k, f->tally.exposure[i]);
	}
}

static bool
unpack_fleet(struct fleet *f, struct reader *r)
{
	uint64_t sum = 0;

	f->tenant = reader_u16(r);
	f->active = unpack_u32(r);
	f->exposure = unpack_real(r);
	f->tally.total = wire_varint(r);
	for (uint32_t i = 0; i < BIRTH_BINS && !reader_failed(r); i++) {
		sum += f->tally.births[i] = unpack_u32(r);
		if (f->tally.births[i] == 0)
			continue;
		f->tally.votes[i] = unpack_real(r);
		f->tally.exposure[i] = unpack_real(r);
		if (!(f->tally.votes[i] >= 0 && f->tally.exposure[i] >= 0))
			return false;
	}
	if (reader_failed(r) || sum != f->tally.total)
		return false;
	births_learn(&f->tally, &f->prior);
	return true;
}

static void
pack_all(const struct outbreaks *o, struct pack *k)
{
	pack_varint(k, o->rows.n);
	pack_varint(k, o->over);
	pack_varint(k, (uint64_t)o->tick_us);
	pack_varint(k, o->bin);
	pack_varint(k, o->minute);
	pack_varint(k, o->day);
	pack_varint(k, o->hour);
	memcpy(pack_room(k, sizeof(o->ticked)), o->ticked, sizeof(o->ticked));
	pack_real(k, o->fit.mean_squared);
	pack_real(k, o->fit.excess);
	pack_varint(k, o->fit.keys);
	pack_varint(k, o->n_fleets);
	for (uint32_t i = 0; i < o->n_fleets; i++)
		pack_fleet(o->fleets[i], k);
	pack_varint(k, o->alarm_no);
	pack_varint(k, o->n_alarms);
	for (uint32_t i = 0; i < o->n_alarms; i++)
		pack_alarm(&o->alarms[i], k);
}

static bool
unpack_all(struct outbreaks *o, struct reader *r)
{
	uint32_t n;

	o->rows_due = wire_varint(r);
	o->over = wire_varint(r);
	o->tick_us = (int64_t)wire_varint(r);
	o->bin = unpack_u32(r);
	o->minute = unpack_u32(r);
	o->day = unpack_u32(r);
	o->hour = unpack_u32(r);
	for (uint32_t i = 0; i < OUTBREAK_HOURS; i++)
		o->ticked[i] = reader_u8(r);
	o->fit.mean_squared = unpack_real(r);
	o->fit.excess = unpack_real(r);
	o->fit.keys = unpack_u32(r);
	n = unpack_u32(r);
	if (reader_failed(r) || n > OUTBREAK_FLEETS || o->n_fleets > 0)
		return false;
	while (o->n_fleets < n) {
		o->fleets[o->n_fleets] = mem_zero(1, sizeof(struct fleet));
		if (!unpack_fleet(o->fleets[o->n_fleets++], r))
			return false;
	}
	o->alarm_no = wire_varint(r);
	n = unpack_u32(r);
	if (reader_failed(r) || n > ALARMS_KEPT)
		return false;
	o->alarms = mem_zero(n, sizeof(*o->alarms));
	while (o->n_alarms < n)
		if (!unpack_alarm(&o->alarms[o->n_alarms++], r))
			return false;
	return true;
}

/* ---- chunks ---- */

uint32_t *
outbreaks_word(struct ledger *l, uint64_t id)
{
	return chunk_kind(id) == CHUNK_ALARMS ? &l->outbreaks.word : table_word(&l->outbreaks.rows, id);
}

bool
outbreaks_pack(const struct ledger *l, uint64_t id, struct pack *k)
{
	uint64_t from, to;

	if (chunk_kind(id) == CHUNK_ALARMS) {
		pack_all(&l->outbreaks, k);
		learned_pack(&l->learned, k);
		return true;
	}
	table_span(&l->outbreaks.rows, id, &from, &to);
	pack_varint(k, to - from);
	for (; from < to; from++)
		pack_row(table_at(&l->outbreaks.rows, from), k);
	return true;
}

bool
outbreaks_unpack(struct ledger *l, uint64_t id, struct reader *r)
{
	struct outbreaks *o = &l->outbreaks;
	uint64_t from;
	uint32_t n;

	if (chunk_kind(id) == CHUNK_ALARMS)
		return unpack_all(o, r) && learned_unpack(&l->learned, r);
	n = unpack_u32(r);
	if (reader_failed(r) || !table_load(&o->rows, id, n, &from))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!unpack_row(l, table_at(&o->rows, from + i), r))
			return false;
	return true;
}

bool
outbreaks_loaded(struct ledger *l)
{
	struct outbreaks *o = &l->outbreaks;

	if (!table_loaded(&o->rows, o->rows_due) || o->rows.n > OUTBREAK_ROWS)
		return false;
	for (uint32_t i = 0; i < o->rows.n; i++) {
		struct outbreak_row *row = table_at(&o->rows, i);
		struct key *key;

		if (row->key_no == KEY_NONE)
			continue;
		o->n_rows++;
		if (row->n_sites > 0 || row->log_m > 0)
			outbreak_heat(o, i, row);
		key = key_at(&l->keys, row->key_no);
		if (key->id != row->key_id)
			continue; /* the key gave way: the row goes with the day */
		if (key->outbreak != 0)
			return false;
		key->outbreak = i + 1;
	}
	return true;
}
