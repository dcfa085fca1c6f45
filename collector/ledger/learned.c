/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

#define BIRTHS_MEMORY 50u /* deployments after which an old one has little weight */

void
learned_fini(struct learned *s)
{
	free(s->rings);
}

/* ---- ratios ---- */

static void
ring_name(const struct deployment *d, char out[LEARNED_NAME_MAX])
{
	snprintf(out, LEARNED_NAME_MAX, "%.8s/%.64s", d->msg->assignment,
		 d->msg->n_rings > 0 ? d->msg->rings[0]->name : "");
}

static struct ring_ratios *
ring_find(const struct learned *s, uint16_t tenant, const char *name)
{
	for (uint32_t i = 0; i < s->n_rings; i++)
		if (s->rings[i].tenant == tenant && strcmp(s->rings[i].name, name) == 0)
			return &s->rings[i];
	return NULL;
}

double
learned_rho(const struct ring_ratios *r)
{
	double most = 1;

	if (r == NULL || r->n < LEARNED_RATIOS_MIN)
		return 0;
	/* of at most 64 the 99 % quantile is the largest */
	for (uint32_t i = 0; i < r->n && i < LEARNED_RATIOS; i++)
		most = r->ratio[i] > most ? r->ratio[i] : most;
	return most < 1000 ? most : 1000;
}

/* Mantel and Haenszel's estimate of the hazard ratio from the votes of "any crash": each vote
 * weighs by what was at risk of the other arm.  0: too few. */
static double
ratio_of(const struct ledger *l, const struct deployment *d)
{
	uint32_t any = keys_find(&l->keys, d->tenant, RUNG_ANY, l->keys.class_ids[RUNG_ANY]);
	const struct trial_row *row = any != KEY_NONE ? trial_find(d, any) : NULL;
	double up = 0, down = 0;
	uint32_t n[2] = { 0, 0 };

	for (uint32_t at = row != NULL ? row->last_vote : 0; at != 0 && table_has(&d->votes, at - 1);) {
		const struct vote_row *v = table_at(&d->votes, at - 1);
		double q = eprocess_chance(1, v->y1, v->y0);
		bool exposed = (v->flags & VOTE_EXPOSED) != 0;

		at = v->before;
		if ((v->flags & VOTE_SPENT) != 0 || !eprocess_counts(q))
			continue;
		n[exposed]++;
		if (exposed)
			up += 1 - q;
		else
			down += q;
	}
	return n[0] >= LEARNED_VOTES_MIN && n[1] >= LEARNED_VOTES_MIN ? up / down : 0;
}

static void
add_ratio(struct ledger *l, const struct deployment *d, double ratio)
{
	struct learned *s = &l->learned;
	char name[LEARNED_NAME_MAX];
	struct ring_ratios *r;

	ring_name(d, name);
	r = ring_find(s, d->tenant, name);
	if (r == NULL && s->n_rings < LEARNED_RINGS) {
		s->rings = mem_grow(s->rings, s->n_rings, s->n_rings + 1, sizeof(*s->rings));
		r = &s->rings[s->n_rings++];
		r->tenant = d->tenant;
		strcpy(r->name, name);
	}
	if (r != NULL)
		r->ratio[r->n++ % LEARNED_RATIOS] = ratio;
}

/* ---- a deployment's life ---- */

void
learned_closed(struct ledger *l, const struct deployment *d)
{
	static const enum key_pool POOLS[BORN_N] = { POOL_NEW_KERNEL, POOL_NEW_USER, POOL_TOTALS };
	struct learned *s = &l->learned;
	double ratio, weight;

	if (d->halted || d->served == 0)
		return; /* not known to be harmless */
	snap_touch(&l->snap, &l->outbreaks.word, chunk_id(CHUNK_ALARMS, 0, 0));
	ratio = ratio_of(l, d);
	if (ratio > 0)
		add_ratio(l, d, ratio);
	s->deployments++;
	weight = 1.0 / (s->deployments < BIRTHS_MEMORY ? s->deployments : BIRTHS_MEMORY);
	for (int i = 0; i < BORN_N; i++)
		s->births[i] += weight * (d->births[POOLS[i]] - s->births[i]);
}

void
learned_apply(const struct ledger *l, const struct deployment *d, const struct halt_params *before,
	      struct halt_params *p)
{
	double *const births[BORN_N] = { &p->births_kernel, &p->births_user, &p->births_totals };
	const struct learned *s = &l->learned;
	char name[LEARNED_NAME_MAX];
	bool said = false;
	double rho;

	if (d->trials.n > 0) { /* there are weights already */
		p->births_kernel = before->births_kernel;
		p->births_user = before->births_user;
		p->births_totals = before->births_totals;
	} else if (s->deployments >= LEARNED_BIRTHS_MIN)
		for (int i = 0; i < BORN_N; i++)
			*births[i] = s->births[i] > 1 ? s->births[i] : 1;
	for (size_t i = 0; i < d->msg->n_halt; i++)
		said = said || strcmp(d->msg->halt[i]->name, "rho") == 0;
	if (said || d->randomised)
		return;
	ring_name(d, name);
	rho = learned_rho(ring_find(s, d->tenant, name));
	if (rho > 0)
		p->rho = rho;
}

/* ---- snapshot ---- */

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

void
learned_pack(const struct learned *s, struct pack *k)
{
	pack_varint(k, s->deployments);
	for (int i = 0; i < BORN_N; i++)
		pack_real(k, s->births[i]);
	pack_varint(k, s->n_rings);
	for (uint32_t i = 0; i < s->n_rings; i++) {
		const struct ring_ratios *g = &s->rings[i];

		pack_u16(k, g->tenant);
		pack_text(k, text_of(g->name));
		pack_varint(k, g->n);
		for (uint32_t j = 0; j < g->n && j < LEARNED_RATIOS; j++)
			pack_real(k, g->ratio[j]);
	}
}

bool
learned_unpack(struct learned *s, struct reader *r)
{
	uint32_t n;

	s->deployments = unpack_u32(r);
	for (int i = 0; i < BORN_N; i++)
		s->births[i] = unpack_real(r);
	n = unpack_u32(r);
	if (reader_failed(r) || n > LEARNED_RINGS || s->n_rings > 0)
		return false;
	s->rings = mem_zero(n, sizeof(*s->rings));
	for (; s->n_rings < n; s->n_rings++) {
		struct ring_ratios *g = &s->rings[s->n_rings];
		struct text t;

		g->tenant = reader_u16(r);
		t = unpack_text(r, sizeof(g->name) - 1);
		if (t.len > 0)
			memcpy(g->name, t.at, t.len);
		g->n = unpack_u32(r);
		for (uint32_t j = 0; j < g->n && j < LEARNED_RATIOS; j++)
			g->ratio[j] = unpack_real(r);
		if (reader_failed(r))
			return false;
	}
	return true;
}
