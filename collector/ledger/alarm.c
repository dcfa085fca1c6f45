/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"

#define QUIET_S 3600u /* without a vote: it is over */

const char *
alarm_kind_name(enum alarm_kind k)
{
	static const char *const NAMES[ALARM_N] = { "outbreak", "surge", "brake" };

	return k < ALARM_N ? NAMES[k] : "unknown";
}

static void
tell(struct ledger *l, const struct alarm *a)
{
	if (l->sink.alarm != NULL)
		l->sink.alarm(l->sink.arg, a);
}

/* Room for one more: the oldest that is over goes, or the oldest. */
static struct alarm *
room(struct outbreaks *o)
{
	uint32_t go = 0;

	if (o->n_alarms < ALARMS_KEPT) {
		o->alarms = mem_grow(o->alarms, o->n_alarms, o->n_alarms + 1, sizeof(*o->alarms));
		return &o->alarms[o->n_alarms++];
	}
	while (go < o->n_alarms && o->alarms[go].cleared_us == 0)
		go++;
	go = go < o->n_alarms ? go : 0;
	memmove(&o->alarms[go], &o->alarms[go + 1], (o->n_alarms - go - 1) * sizeof(*o->alarms));
	return &o->alarms[o->n_alarms - 1];
}

void
alarm_raise(struct ledger *l, struct outbreak_row *row, struct alarm *a)
{
	struct outbreaks *o = &l->outbreaks;
	const struct key *key = key_at(&l->keys, row->key_no);
	struct alarm *kept;

	snap_touch(&l->snap, &o->word, chunk_id(CHUNK_ALARMS, 0, 0));
	row->raised |= (uint8_t)(1u << a->kind);
	a->no = ++o->alarm_no;
	a->tenant = key->tenant;
	a->rung = key->rung;
	a->signature = key->id;
	a->raised_us = l->now_us;
	key_title(key, a->title, sizeof(a->title));
	kept = room(o);
	*kept = *a;
	tell(l, kept);
}

/* Alarms whose key has been quiet for an hour are over. */
void
alarms_minute(struct ledger *l)
{
	struct outbreaks *o = &l->outbreaks;
	uint32_t now = seconds(l->now_us);

	for (uint32_t i = 0; i < o->n_alarms; i++) {
		struct alarm *a = &o->alarms[i];
		uint32_t key_no, row;

		if (a->cleared_us != 0)
			continue;
		key_no = keys_find(&l->keys, a->tenant, a->rung, a->signature);
		row = key_no != KEY_NONE ? key_at(&l->keys, key_no)->outbreak : 0;
		if (row != 0 && ((struct outbreak_row *)table_at(&o->rows, row - 1))->last_s + QUIET_S > now)
			continue;
		if (row != 0)
			outbreak_edit(l, row - 1)->raised &= (uint8_t) ~(1u << a->kind);
		a->cleared_us = l->now_us;
		tell(l, a);
	}
}

size_t
ledger_alarms(const struct ledger *l, uint16_t tenant, struct alarm *out, size_t cap)
{
	const struct outbreaks *o = &l->outbreaks;
	size_t n = 0;

	for (int over = 0; over < 2; over++) /* those that go on first; newest first */
		for (uint32_t i = o->n_alarms; i-- > 0 && n < cap;)
			if (o->alarms[i].tenant == tenant && (o->alarms[i].cleared_us != 0) == (over != 0))
				out[n++] = o->alarms[i];
	return n;
}

static void
rings(const struct learned *s, uint16_t tenant, struct fleet_learned *out)
{
	out->deployments = s->deployments;
	out->births_kernel = s->births[BORN_KERNEL];
	out->births_user = s->births[BORN_USER];
	out->births_totals = s->births[BORN_TOTALS];
	for (uint32_t i = 0; i < s->n_rings && out->n_rings < LEARNED_SHOWN; i++) {
		const struct ring_ratios *g = &s->rings[i];
		struct learned_ring *r = &out->rings[out->n_rings];

		if (g->tenant != tenant || g->n == 0)
			continue;
		strcpy(r->name, g->name);
		r->n = g->n;
		r->last = g->ratio[(g->n - 1) % LEARNED_RATIOS];
		r->rho = learned_rho(g);
		out->n_rings++;
	}
}

void
ledger_learned(const struct ledger *l, uint16_t tenant, struct fleet_learned *out)
{
	const struct outbreaks *o = &l->outbreaks;
	const struct fleet *f = NULL;
	struct birth_prior cold;

	births_cold(&cold);
	memset(out, 0, sizeof(*out));
	for (uint32_t i = 0; i < o->n_fleets; i++)
		if (o->fleets[i]->tenant == tenant)
			f = o->fleets[i];
	out->kappa = outbreak_kappa(l);
	out->kappa_keys = o->fit.keys;
	out->births = f != NULL ? f->tally.total : 0;
	out->births_learned = f != NULL && births_learned(&f->tally);
	out->evidence_most = births_log_max(f != NULL ? &f->prior : &cold);
	out->watched = o->n_rows;
	out->over = o->over;
	out->active = f != NULL ? f->active : 0;
	rings(&l->learned, tenant, out);
	for (uint32_t m = 0; m < BIRTH_RATES; m++) {
		out->birth_rates[m] = births_rate(m);
		out->birth_shares[m] = (f != NULL ? &f->prior : &cold)->pi[m];
	}
}
