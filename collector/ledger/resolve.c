/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/state.h"

/* What time does to deployments: served hosts prove to be alive, pauses end, and in the end they close. */

#define WAITING_TURN 4096u /* served hosts looked at again in one tick */

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
deployment_forgive_lost(struct ledger *l, struct deployment *d)
{
	uint64_t first = d->waiting_first[1], end = d->waiting[1].n;

	snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
	for (uint64_t i = first; i < end; i++) {
		struct waiting_row w = *(struct waiting_row *)table_at(&d->waiting[1], i), *again;

		d->waiting_first[1]++;
		if (host_is_dark(&l->hosts, w.host_no))
			continue;
		again = table_add(&d->waiting[1], &l->snap, NULL);
		*again = w;
	}
	while (table_drop(&d->waiting[1], &l->snap, d->waiting_first[1]))
		;
}

void
deployments_tick(struct ledger *l, bool minute)
{
	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];

		if (d->life != DEPLOYMENT_OPEN)
			continue;
		look_again(l, d, 0);
		look_again(l, d, 1);
		judge_tick(l, d, minute);
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

/* ---- the timeline ---- */

struct timeline_minute *
deployment_minute(struct ledger *l, struct deployment *d)
{
	uint32_t now = deployment_minute_now(l, d);
	struct timeline_minute *m = d->minutes.n > 0 ? table_at(&d->minutes, d->minutes.n - 1) : NULL;

	if (m != NULL && m->minute == now)
		return table_edit(&d->minutes, &l->snap, d->minutes.n - 1);
	m = table_add(&d->minutes, &l->snap, NULL);
	m->minute = now;
	return m;
}

size_t
ledger_timeline(const struct ledger *l, uint32_t deployment, uint32_t from_minute, struct timeline_minute *out,
		size_t cap)
{
	const struct deployment *d = deployment < l->n_deployments ? l->deployments[deployment] : NULL;
	uint64_t lo = 0, hi = d != NULL ? d->minutes.n : 0;
	size_t n = 0;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (((const struct timeline_minute *)table_at(&d->minutes, mid))->minute < from_minute)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; d != NULL && lo < d->minutes.n && n < cap; lo++)
		out[n++] = *(const struct timeline_minute *)table_at(&d->minutes, lo);
	return n;
}
