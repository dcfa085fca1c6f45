/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/state.h"

/* Its exact place would need the ranks of all; ranks are spread evenly. */
uint64_t
deployment_place(const struct ledger *l, const struct deployment *d, const struct candidate *c)
{
	return (uint64_t)(((unsigned __int128)deployment_rank(l, d, c) * d->eligible) >> 64);
}

bool
deployment_has_places(const struct deployment *d)
{
	bool listed = strcmp(d->msg->assignment, "listed") == 0 || d->msg->n_rings == 0;

	for (size_t i = 0; i < d->msg->n_rings; i++)
		listed |= d->msg->rings[i]->n_hosts > 0; /* a hand-picked ring is no range of ranks */
	return !listed;
}

uint32_t
deployment_ring(const struct deployment *d, uint64_t place)
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
	out->listed = !deployment_has_places(d) && (d->msg->n_rings > 0 || strcmp(d->msg->assignment, "listed") == 0);
	out->place = deployment_place(l, d, &c);
	out->first = d->msg->n_rings > 0 ? deployment_ring_size(d, 0) : UINT64_MAX;
	out->ring = deployment_has_places(d) ? deployment_ring(d, out->place) : UINT32_MAX;
	ledger_safeguard_lookup(l, deployment, &look);
	out->safeguarded = ledger_safeguarded(l, &look, hash, &out->safeguard);
	return true;
}
