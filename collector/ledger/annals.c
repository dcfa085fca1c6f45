/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/annals.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

/* A text cut to max bytes, at the beginning of a UTF-8 sequence. */
static size_t
cut(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n <= max)
		return n;
	for (n = max; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

static char *
two_texts(const char *actor, size_t actor_len, const char *reason, size_t reason_len)
{
	char *p = mem_zero(actor_len + reason_len + 2, 1);

	if (actor_len > 0)
		memcpy(p, actor, actor_len);
	if (reason_len > 0)
		memcpy(p + actor_len + 1, reason, reason_len);
	return p;
}

void
annals_touch(struct ledger *l, struct deployment *d)
{
	snap_touch(&l->snap, &d->word_annals, chunk_id(CHUNK_ANNALS, d->no, 0));
}

void
annals_add(struct ledger *l, struct deployment *d, const Faultline__Log__Decision *m, uint64_t pos)
{
	const uint32_t shown = deployment_shown(d);
	const struct trial_row *row = shown != UINT32_MAX ? trial_at(d, shown) : NULL;
	struct annal *a;

	annals_touch(l, d);
	if (d->n_annals == ANNALS_KEPT) {
		free(d->annals[0].texts);
		memmove(d->annals, d->annals + 1, (ANNALS_KEPT - 1) * sizeof(*d->annals));
		d->n_annals--;
	} else {
		d->annals = mem_grow(d->annals, d->n_annals, d->n_annals + 1, sizeof(*d->annals));
	}
	a = &d->annals[d->n_annals++];
	*a = (struct annal){
		.pos = pos,
		.at_us = m->automatic && d->halted ? d->halt_us : l->now_us,
		.action = (uint8_t)m->action,
		.automatic = m->automatic,
		.signature = m->signature,
		.until_us = m->until_us,
		.log_odds = row != NULL ? trial_odds(row) : 0,
		.log_needed = row != NULL ? trial_needed(d, row) : 0,
		.texts = two_texts(m->actor, cut(m->actor, ANNALS_ACTOR), m->reason, cut(m->reason, ANNALS_REASON)),
	};
}

void
annals_fini(struct deployment *d)
{
	for (uint32_t i = 0; i < d->n_annals; i++)
		free(d->annals[i].texts);
	free(d->annals);
}

/* ---- asking ---- */

static struct decision_view
view(const struct deployment *d, const struct annal *a)
{
	const struct text actor = text_of(a->texts);

	return (struct decision_view){ .deployment = d->no,
				       .pos = a->pos,
				       .at_us = a->at_us,
				       .action = a->action,
				       .automatic = a->automatic,
				       .signature = a->signature,
				       .until_us = a->until_us,
				       .log_odds = a->log_odds,
				       .log_needed = a->log_needed,
				       .actor = actor,
				       .reason = text_of(a->texts + actor.len + 1) };
}

static void
insert(struct decision_view *out, size_t *n, size_t cap, const struct decision_view *v)
{
	size_t at = *n < cap ? (*n)++ : cap;

	while (at > 0 && out[at - 1].pos < v->pos) {
		if (at < cap)
			out[at] = out[at - 1];
		at--;
	}
	if (at < cap)
		out[at] = *v;
}

size_t
ledger_decisions(const struct ledger *l, uint16_t tenant, uint32_t deployment, struct decision_view *out, size_t cap)
{
	size_t n = 0;

	for (uint32_t i = 0; i < l->n_deployments; i++) {
		const struct deployment *d = l->deployments[i];

		if (d->tenant != tenant || (deployment != UINT32_MAX && i != deployment))
			continue;
		for (uint32_t k = d->n_annals; k > 0; k--) {
			struct decision_view v = view(d, &d->annals[k - 1]);

			if (n == cap && out[cap - 1].pos > v.pos)
				break;
			insert(out, &n, cap, &v);
		}
	}
	return n;
}

bool
ledger_acknowledged(const struct ledger *l, uint32_t deployment, struct decision_view *out)
{
	const struct deployment *d = deployment < l->n_deployments ? l->deployments[deployment] : NULL;

	for (uint32_t i = d != NULL ? d->n_annals : 0; i > 0; i--) {
		const struct annal *a = &d->annals[i - 1];

		if (a->action == FAULTLINE__LOG__ACTION__ACTION_ACK) {
			*out = view(d, a);
			return true;
		}
		if (a->action == FAULTLINE__LOG__ACTION__ACTION_HALT ||
		    a->action == FAULTLINE__LOG__ACTION__ACTION_RESUME)
			break;
	}
	return false;
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
annals_pack(const struct deployment *d, struct pack *k)
{
	pack_varint(k, d->n_annals);
	for (uint32_t i = 0; i < d->n_annals; i++) {
		const struct annal *a = &d->annals[i];
		const struct text actor = text_of(a->texts);

		pack_varint(k, a->pos);
		pack_varint(k, (uint64_t)a->at_us);
		pack_u8(k, a->action);
		pack_u8(k, a->automatic);
		pack_u64(k, a->signature);
		pack_varint(k, (uint64_t)a->until_us);
		pack_real(k, a->log_odds);
		pack_real(k, a->log_needed);
		pack_text(k, actor);
		pack_text(k, text_of(a->texts + actor.len + 1));
	}
	past_pack(d, k);
}

bool
annals_unpack(struct deployment *d, struct reader *r)
{
	uint32_t n = unpack_u32(r);

	if (reader_failed(r) || n > ANNALS_KEPT || d->n_annals > 0)
		return false;
	d->annals_loaded = true;
	d->annals = mem_zero(n, sizeof(*d->annals));
	for (uint32_t i = 0; i < n; i++) {
		struct annal *a = &d->annals[i];
		struct text actor, reason;

		a->pos = wire_varint(r);
		a->at_us = (int64_t)wire_varint(r);
		a->action = reader_u8(r);
		a->automatic = reader_u8(r) != 0;
		a->signature = reader_u64(r);
		a->until_us = (int64_t)wire_varint(r);
		a->log_odds = unpack_real(r);
		a->log_needed = unpack_real(r);
		actor = unpack_text(r, ANNALS_ACTOR);
		reason = unpack_text(r, ANNALS_REASON);
		a->texts = two_texts(actor.at, reader_failed(r) ? 0 : actor.len, reason.at,
				     reader_failed(r) ? 0 : reason.len);
		d->n_annals++;
		if (reader_failed(r))
			return false;
	}
	return past_unpack(d, r);
}
