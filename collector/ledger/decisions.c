/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"

/* What people, and the engine through its records, decided about deployments. */

int64_t
deployment_bake_us(const struct ledger *l, const struct deployment *d)
{
	uint64_t us = d->msg->bake_ms > 0 && d->msg->bake_ms < UINT32_MAX ? d->msg->bake_ms * 1000 : l->bake_us;

	return (int64_t)us;
}

int64_t
deployment_close_us(const struct deployment *d)
{
	uint64_t ms = d->msg->close_ms > 0 && d->msg->close_ms < (1ull << 40) ? d->msg->close_ms : 72ull * 3600 * 1000;

	return d->last_receipt_us > 0 ? d->last_receipt_us + (int64_t)(ms * 1000) : INT64_MAX;
}

static const char *
refuses_action(const struct deployment *d, int action, bool forced, struct text reason)
{
	if (d == NULL || d->life == DEPLOYMENT_DELETED)
		return "not_found";
	if (action == FAULTLINE__LOG__ACTION__ACTION_DELETE)
		return d->halted && !forced ? "halted" : NULL;
	if (d->life == DEPLOYMENT_CLOSED)
		return "closed";
	if ((action == FAULTLINE__LOG__ACTION__ACTION_RESUME ||
	     (action >= FAULTLINE__LOG__ACTION__ACTION_MUTE && action <= FAULTLINE__LOG__ACTION__ACTION_ACK)) &&
	    reason.len == 0)
		return "reason_missing";
	return NULL;
}

const char *
ledger_refuses_decision(const struct ledger *l, uint16_t tenant, struct text id, uint32_t action, bool forced,
			struct text reason)
{
	uint32_t no;

	return refuses_action(ledger_deployment_find(l, tenant, id, &no) ? l->deployments[no] : NULL, (int)action,
			      forced, reason);
}

static void
halt_by_record(struct ledger *l, struct deployment *d, const Faultline__Log__Decision *m, uint64_t pos)
{
	if (m->automatic) {
		if (m->basis <= d->resumed_pos)
			return; /* told again after a person had resumed it */
		if (!d->halted && l->sink.difference != NULL)
			l->sink.difference(l->sink.arg, d->tenant, d->msg->id, pos,
					   "the log records an automatic halt that this fold does not come to");
		d->recorded = true;
	}
	if (d->halted)
		return;
	d->halted = true;
	d->by_person = !m->automatic;
	annals_touch(l, d);
	d->by_past = false;
	d->halt_pos = pos;
	d->halt_us = l->now_us;
	d->halt_trial = m->automatic ? d->suspect : UINT32_MAX;
}

/* Drop what only judging needs; verdict and evidence stay. */
void
deployment_close(struct ledger *l, struct deployment *d, enum deployment_life life)
{
	bool was_open = d->life == DEPLOYMENT_OPEN;

	if (was_open && life == DEPLOYMENT_CLOSED)
		learned_closed(l, d);
	d->life = (uint8_t)life;
	if (!was_open)
		return;
	for (uint32_t b = 0; b < d->n_blocks; b++)
		if (d->blocks[b] != NULL) {
			snap_touch(&l->snap, &d->blocks[b]->word, chunk_id(CHUNK_SERVED, d->no, b));
			snap_dropped(&l->snap, chunk_id(CHUNK_SERVED, d->no, b));
			free(d->blocks[b]);
			d->blocks[b] = NULL;
		}
	dark_close(l, d);
	past_fini(&d->past);
	d->final_resolved = d->resolved.n;
	d->final_withdrawn = d->withdrawn.n;
	d->final_bad = d->bad.n;
	hostset_drop(&d->resolved, &l->snap, chunk_id(CHUNK_RESOLVED, d->no, 0));
	hostset_drop(&d->withdrawn, &l->snap, chunk_id(CHUNK_RESOLVED, d->no, WITHDRAWN_BLOCKS));
	hostset_drop(&d->bad, &l->snap, chunk_id(CHUNK_RESOLVED, d->no, BAD_BLOCKS));
	hostset_drop(&d->sites, &l->snap, chunk_id(CHUNK_RESOLVED, d->no, SITES_BLOCKS));
	for (int q = 0; q < 2; q++) {
		d->waiting_first[q] = d->waiting[q].n;
		while (table_drop(&d->waiting[q], &l->snap, d->waiting_first[q]))
			;
	}
	for (uint32_t i = 0; i < d->trials.n; i++) {
		const struct trial_row *row = trial_at(d, i);

		if (row->key_no < KEY_BOOT)
			key_at(&l->keys, row->key_no)->pins--;
	}
	strata_close(&d->strata, &l->snap, d->no);
}

/* ---- a signature that people know about ---- */

#define MUTE_US (24ll * 3600 * 1000000)

static void
mute(struct ledger *l, struct deployment *d, const Faultline__Log__Decision *m, uint64_t pos)
{
	bool accepted = m->action == FAULTLINE__LOG__ACTION__ACTION_ACCEPT;
	int64_t until = accepted ? INT64_MAX : m->until_us > 0 ? m->until_us : l->now_us + MUTE_US;
	uint32_t i = 0;

	while (i < d->n_mutes && d->mutes[i].signature != m->signature && d->mutes[i].until_us > l->now_us)
		i++;
	if (m->signature == 0 || i == MUTES_MAX) {
		l->stats.refused_changes++;
		return;
	}
	if (i == d->n_mutes) {
		d->mutes = mem_grow(d->mutes, i, i + 1u, sizeof(*d->mutes));
		d->n_mutes++;
	}
	d->mutes[i] = (struct mute){ m->signature, until, pos, accepted };
}

static void
release(struct ledger *l, struct deployment *d, uint64_t signature)
{
	uint32_t kept = 0;

	if (signature == 0) {
		if (d->co_of != 0 || d->watch_until_us != 0)
			judge_release(l, d);
		return;
	}
	for (uint32_t i = 0; i < d->n_mutes; i++)
		if (d->mutes[i].signature != signature)
			d->mutes[kept++] = d->mutes[i];
	d->n_mutes = kept;
}

static void
keep(struct text t, size_t max, char **at, size_t *len)
{
	free(*at);
	*len = t.len < max ? t.len : max;
	*at = mem_zero(*len, 1);
	if (*len > 0)
		memcpy(*at, t.at, *len);
}

void
deployment_say(struct deployment *d, struct text said)
{
	keep(said, SAID_MAX, &d->said, &d->said_len);
}

void
deployment_cause(struct deployment *d, struct text cause)
{
	keep(cause, CAUSE_MAX, &d->cause, &d->cause_len);
}

static void
apply(struct ledger *l, struct deployment *d, const Faultline__Log__Decision *m, uint64_t pos)
{
	struct text said = text_of(m->reason);

	switch (m->action) {
	case FAULTLINE__LOG__ACTION__ACTION_HALT:
		halt_by_record(l, d, m, pos);
		break;
	case FAULTLINE__LOG__ACTION__ACTION_RESUME:
		safeguards_keep(l, d, pos); /* of the halt that is about to be forgotten */
		judge_resume(l, d);
		d->resumed_pos = pos;
		break;
	case FAULTLINE__LOG__ACTION__ACTION_MUTE:
	case FAULTLINE__LOG__ACTION__ACTION_ACCEPT:
		mute(l, d, m, pos);
		break;
	case FAULTLINE__LOG__ACTION__ACTION_RELEASE:
		release(l, d, m->signature);
		break;
	case FAULTLINE__LOG__ACTION__ACTION_PAUSE:
		d->paused = true;
		break;
	case FAULTLINE__LOG__ACTION__ACTION_DELETE:
		safeguards_drop(l, d);
		deployment_close(l, d, DEPLOYMENT_DELETED);
		break;
	case FAULTLINE__LOG__ACTION__ACTION_CLOSE:
		deployment_close(l, d, DEPLOYMENT_CLOSED);
		break;
	default:
		return; /* an acknowledgement is in the annals: that is all */
	}
	if (m->automatic)
		return;
	deployment_say(d, said);
}

/* The engine's own decision again: after a restart it may be appended twice, or after a person had resumed. */
static bool
told_before(const struct deployment *d, const Faultline__Log__Decision *m)
{
	return m->automatic && (m->basis <= d->resumed_pos || (d->halted && d->recorded));
}

void
fold_decision(struct ledger *l, const struct record_view *rec)
{
	Faultline__Log__Decision *m = unpack_record(l, rec, &faultline__log__decision__descriptor);
	struct deployment *d = NULL;
	uint32_t no;

	l->stats.decisions++;
	if (m == NULL)
		return;
	if (ledger_deployment_find(l, rec->tenant, text_of(m->deployment), &no))
		d = l->deployments[no];
	if (refuses_action(d, (int)m->action, m->forced, text_of(m->reason)) != NULL) {
		l->stats.refused_changes++;
		return;
	}
	deployment_touch(l, d);
	if (!told_before(d, m))
		annals_add(l, d, m, rec->pos);
	apply(l, d, m, rec->pos);
	deployment_tell(l, d, rec->pos);
}
