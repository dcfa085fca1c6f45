/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/ahead.h"

static void
decode(struct ledger *l, struct ahead *a)
{
	struct diag diag;

	a->what = AHEAD_OTHER;
	a->host_no = UINT32_MAX;
	if (a->rec.type == RECORD_REPORT) {
		a->what = AHEAD_BAD;
		if (report_decode(a->rec.payload, a->rec.payload_len, &a->u.report, &diag) != DISCARD_none)
			return;
		a->what = AHEAD_REPORT;
		a->hash = a->u.report.host_hash;
		a->claim = keys_hash_claim(&l->keys, a->rec.tenant, &a->u.report);
		keys_prefetch_claim(&l->keys, a->claim);
	} else if (a->rec.type == RECORD_HEARTBEAT) {
		a->what = AHEAD_BAD;
		if (heartbeat_decode(a->rec.payload, a->rec.payload_len, &a->u.heartbeat, &diag) != DISCARD_none)
			return;
		a->what = AHEAD_HEARTBEAT;
		a->hash = a->u.heartbeat.host_hash;
	} else {
		return;
	}
	hosts_prefetch_index(&l->hosts, a->rec.tenant, a->hash);
}

static void
fetch_key(const struct ledger *l, uint32_t no)
{
	const char *key = (const char *)key_at(&l->keys, no);

	for (size_t at = 0; at < sizeof(struct key); at += 64)
		__builtin_prefetch(key + at);
}

static void
fetch_rows(const struct ledger *l, struct ahead *a)
{
	struct rungs g;

	hosts_prefetch_row(&l->hosts, a->rec.tenant, a->hash);
	for (unsigned i = 0; i < AHEAD_KEYS; i++)
		a->keys[i] = KEY_NONE;
	if (a->what != AHEAD_REPORT || !keys_guess(&l->keys, a->claim, &g))
		return;
	a->keys[0] = g.key;
	a->keys[1] = g.build;
	a->keys[2] = g.module;
	a->keys[3] = g.stop;
	for (unsigned i = 0; i < AHEAD_KEYS; i++)
		if (a->keys[i] != KEY_NONE)
			fetch_key(l, a->keys[i]);
}

/* Steps 0 and 1 of the sets that the report's host will be added to. */
static void
fetch_sets(const struct ledger *l, const struct ahead *a, int step)
{
	for (unsigned i = 0; i < AHEAD_KEYS; i++)
		if (a->keys[i] != KEY_NONE)
			hostset_prefetch(&key_at(&l->keys, a->keys[i])->hosts, a->host_no, step);
}

static bool
is_known_report(const struct ahead *a)
{
	return a->what == AHEAD_REPORT && a->host_no != UINT32_MAX;
}

void
look_ahead(struct ledger *l, struct ahead *run, unsigned n)
{
	uint16_t tenant = n > 0 ? run[0].rec.tenant : 0;
	const uint32_t any = keys_find(&l->keys, tenant, RUNG_ANY, l->keys.class_ids[RUNG_ANY]),
		       kernel = keys_find(&l->keys, tenant, RUNG_KERNEL, l->keys.class_ids[RUNG_KERNEL]);

	for (unsigned i = 0; i < n; i++)
		decode(l, &run[i]);
	for (unsigned i = 0; i < n; i++)
		if (run[i].what == AHEAD_REPORT || run[i].what == AHEAD_HEARTBEAT)
			fetch_rows(l, &run[i]);
	for (unsigned i = 0; i < n; i++) {
		if (run[i].what != AHEAD_REPORT)
			continue;
		run[i].host_no = hosts_find(&l->hosts, run[i].rec.tenant, run[i].hash);
		if (run[i].host_no == UINT32_MAX)
			continue;
		hosts_prefetch_side(&l->hosts, run[i].host_no, 0);
		if (run[i].u.report.seq != 0)
			recent_prefetch(&l->recent[RECENT_REPORTS],
					report_content(run[i].host_no, &run[i].u.report, run[i].claim));
		run[i].keys[4] = run[i].u.report.kind == REPORT_KERNEL ? kernel : KEY_NONE;
		run[i].keys[5] = any;
		fetch_sets(l, &run[i], 0);
	}
	for (unsigned i = 0; i < n; i++)
		if (is_known_report(&run[i])) {
			hosts_prefetch_side(&l->hosts, run[i].host_no, 1);
			fetch_sets(l, &run[i], 1);
		}
}

void
look_ahead_votes(const struct ledger *l, struct ahead *a, unsigned step)
{
	const unsigned n = l->n_open < AHEAD_OPEN ? l->n_open : AHEAD_OPEN;

	if (!is_known_report(a))
		return;
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < AHEAD_KEYS; k++) {
			if (step == 0)
				a->trials[i][k] = UINT32_MAX;
			if (a->keys[k] != KEY_NONE)
				trial_prefetch(l->open[i], a->keys[k], a->host_no, step, &a->trials[i][k]);
		}
	for (unsigned i = 0; step == 0 && i < n; i++)
		deployment_prefetch_served(l->open[i], a->host_no);
}
