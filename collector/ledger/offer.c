/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/state.h"

/* Which ring has this place?  UINT32_MAX: none, the plan ends before it. */
static uint32_t
ring_of(const struct deployment *d, uint64_t place)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < d->msg->n_rings; i++) {
		uint64_t size = deployment_ring_size(d, i);

		end += size < UINT64_MAX - end ? size : UINT64_MAX - end;
		if (place < end)
			return i;
	}
	return UINT32_MAX;
}

bool
ledger_offer(const struct ledger *l, uint32_t deployment, uint64_t hash, struct offer_view *out)
{
	struct deployment *d = deployment < l->n_deployments ? l->deployments[deployment] : NULL;
	struct candidate c = { .hash = hash };
	struct safeguard_lookup look;
	uint32_t host;

	if (d == NULL || d->life == DEPLOYMENT_DELETED)
		return false;
	memset(out, 0, sizeof(*out));
	host = hosts_find(&l->hosts, d->tenant, hash);
	out->known = host != UINT32_MAX;
	if (out->known) {
		c = host_candidate(l, host);
		out->served = deployment_served(d, host);
		out->withdrawn = hostset_has(&d->withdrawn, host);
	}
	/* what it notes down while it looks is no state of the ledger */
	out->eligible = deployment_eligible((struct ledger *)(uintptr_t)l, d, &c);
	out->listed = strcmp(d->msg->assignment, "listed") == 0;
	for (size_t i = 0; i < d->msg->n_rings; i++)
		out->listed |= d->msg->rings[i]->n_hosts > 0; /* a hand-picked ring is no range of ranks */
	/* Its exact place would need the ranks of all; ranks are spread evenly. */
	out->place = (uint64_t)(((unsigned __int128)deployment_rank(l, d, &c) * d->eligible) >> 64);
	out->first = d->msg->n_rings > 0 ? deployment_ring_size(d, 0) : UINT64_MAX;
	out->ring = d->msg->n_rings > 0 && !out->listed ? ring_of(d, out->place) : UINT32_MAX;
	ledger_safeguard_lookup(l, deployment, &look);
	out->safeguarded = ledger_safeguarded(l, &look, hash, &out->safeguard);
	return true;
}
