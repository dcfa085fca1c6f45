/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "collector/ledger/annals.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/numeric.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

#define LOG_2   0x1.62e42fefa39efp-1
#define PUSH_US 3600000000ll /* a push within it was one at once; what comes within it may be its doing */

bool
deployment_is_spent(const struct ledger *l, const struct deployment *d)
{
	return d->life == DEPLOYMENT_OPEN && d->eligible > 0 && d->served_eligible > CHANCE_SPENT * d->eligible &&
	       d->last_receipt_us - d->first_receipt_us <= PUSH_US && l->now_us - d->last_receipt_us < PUSH_US;
}

void
past_fini(struct past *p)
{
	free(p->keys);
	p->keys = NULL;
	p->n = p->cap = p->first_bin = 0;
}

void
past_restart(struct past *p)
{
	past_fini(p);
	p->resumes++;
}

/* Known when the deployment began, and counted for its tenant. */
static bool
is_known(const struct deployment *d, const struct key *key)
{
	return key->tenant == d->tenant && key->rung != RUNG_BUILD && key->rung != RUNG_FUNCTION &&
	       (key->first_pos < d->begin_pos || (key->flags & KEY_OLD) != 0);
}

static struct past_key *
obtain(struct past *p, uint32_t key_no, uint64_t key_id)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (p->keys[i].key_no == key_no)
			return &p->keys[i];
	if (p->n == PAST_KEYS)
		return NULL;
	if (p->n == p->cap) {
		p->keys = mem_grow(p->keys, p->cap, p->cap * 2 + 16, sizeof(*p->keys));
		p->cap = p->cap * 2 + 16;
	}
	p->keys[p->n] = (struct past_key){ .key_no = key_no, .key_id = key_id };
	return &p->keys[p->n++];
}

/* The keys that voted in this bin, whether for the first time or not. */
static void
meet(struct ledger *l, struct deployment *d)
{
	const struct outbreaks *o = &l->outbreaks;
	uint32_t before = o->bin - d->past.first_bin;

	for (uint32_t i = 0; i < o->n_hot; i++) {
		const struct outbreak_row *row = table_at(&o->rows, o->hot[i]);
		const struct key *key = key_at(&l->keys, row->key_no);
		double mu = outbreak_expected(l, row);
		uint32_t n = d->past.n;
		struct past_key *k;

		if (row->n_sites == 0 || key->id != row->key_id || !is_known(d, key) || mu < 0)
			continue;
		k = obtain(&d->past, row->key_no, row->key_id);
		if (k != NULL && d->past.n > n) /* the bins before, without a vote */
			k->expected = mu * before;
	}
}

static void
judge(struct ledger *l, struct deployment *d, const struct past_key *k, uint64_t pos)
{
	double kappa = outbreak_kappa(l), log_e = frailty_log(k->votes, k->expected, kappa);
	char title[ALARM_TITLE_MAX], why[CAUSE_MAX];
	struct past_standing s = { .key_no = k->key_no,
				   .odds = log_e + key_log_weight_known(d->past.known),
				   .needed = d->past.resumes * LOG_2 - num_log(d->params.alpha),
				   .material = material_log(k->votes,
							    material_mu_spent(d->params.delta, d->served, k->expected)),
				   .watch_only = l->outbreaks.fit.keys < FRAILTY_KEYS_MIN,
				   .why = why };

	key_title(key_at(&l->keys, k->key_no), title, sizeof(title));
	snprintf(why, sizeof(why),
		 "%s came from %u sites (counted anew each five minutes) since the push, where %.3g are usual at this "
		 "time of day",
		 title, k->votes, k->expected);
	deployment_past(l, d, &s, pos);
}

/* One more bin of one deployment. */
static void
count(struct ledger *l, struct deployment *d, bool whole, uint64_t pos)
{
	struct past *p = &d->past;

	if (p->first_bin == 0) {
		p->first_bin = l->outbreaks.bin;
		p->known = l->outbreaks.n_rows > 0 ? l->outbreaks.n_rows : 1;
	}
	if (!whole)
		return;
	meet(l, d);
	for (uint32_t i = 0; i < p->n && !d->halted; i++) {
		struct past_key *k = &p->keys[i];
		const struct key *key = key_at(&l->keys, k->key_no);
		const struct outbreak_row *row;
		double mu;

		if (key->id != k->key_id || key->outbreak == 0)
			continue;
		row = table_at(&l->outbreaks.rows, key->outbreak - 1);
		mu = outbreak_expected(l, row);
		if (mu < 0)
			continue;
		k->votes += row->n_sites;
		k->expected += mu;
		if (row->n_sites > 0)
			judge(l, d, k, pos);
	}
}

void
past_bin(struct ledger *l, bool whole, uint64_t pos)
{
	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];
		bool asked = !d->halted && deployment_is_spent(l, d);

		if (!asked && d->past.first_bin == 0)
			continue;
		annals_touch(l, d);
		if (asked)
			count(l, d, whole, pos);
		else
			past_fini(&d->past);
	}
}

/* ---- snapshot ---- */

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

void
past_pack(const struct deployment *d, struct pack *k)
{
	const struct past *p = &d->past;

	pack_u8(k, d->by_past);
	pack_text(k, (struct text){ d->cause, d->cause_len });
	pack_u8(k, p->newborn);
	pack_real(k, p->odds);
	pack_real(k, p->needed);
	pack_varint(k, p->first_bin);
	pack_varint(k, p->known);
	pack_varint(k, p->resumes);
	pack_varint(k, (uint64_t)d->withdrawn_us);
	pack_varint(k, d->fixed.clean);
	pack_varint(k, d->fixed.bad);
	pack_varint(k, p->n);
	for (uint32_t i = 0; i < p->n; i++) {
		pack_varint(k, p->keys[i].key_no);
		pack_u64(k, p->keys[i].key_id);
		pack_varint(k, p->keys[i].votes);
		pack_real(k, p->keys[i].expected);
	}
}

bool
past_unpack(struct deployment *d, struct reader *r)
{
	struct past *p = &d->past;
	uint32_t n;

	d->by_past = reader_u8(r) != 0;
	deployment_cause(d, unpack_text(r, CAUSE_MAX));
	p->newborn = reader_u8(r) != 0;
	p->odds = unpack_real(r);
	p->needed = unpack_real(r);
	p->first_bin = unpack_u32(r);
	p->known = unpack_u32(r);
	p->resumes = unpack_u32(r);
	d->withdrawn_us = (int64_t)wire_varint(r);
	d->fixed.clean = unpack_u32(r);
	d->fixed.bad = unpack_u32(r);
	n = unpack_u32(r);
	if (reader_failed(r) || n > PAST_KEYS)
		return false;
	p->keys = mem_zero(n, sizeof(*p->keys));
	p->cap = n;
	while (p->n < n) {
		struct past_key *key = &p->keys[p->n++];

		key->key_no = unpack_u32(r);
		key->key_id = reader_u64(r);
		key->votes = unpack_u32(r);
		key->expected = unpack_real(r);
	}
	return !reader_failed(r);
}
