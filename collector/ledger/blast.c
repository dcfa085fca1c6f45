/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/state.h"

/* How far the harm of a deployment reaches, and which others reached the same hosts. */

/* The hosts that count as harmed: those of the key that halted it, else whatever is bad. */
static const struct hostset *
harmed_hosts(const struct deployment *d)
{
	return d->halted && d->halt_trial != UINT32_MAX ? &trial_at(d, d->halt_trial)->served : &d->bad;
}

void
ledger_harm(const struct ledger *l, uint32_t deployment, struct harm_view *out)
{
	const struct deployment *d = deployment < l->n_deployments ? l->deployments[deployment] : NULL;

	*out = (struct harm_view){ 0 };
	if (d == NULL)
		return;
	for (uint32_t no = 0; hostset_next(harmed_hosts(d), &no); no++) {
		const uint8_t flags = host_chunk(&l->hosts, no)->flags[HOST_AT(no)];

		out->harmed++;
		out->looping += (flags & HOST_LOOPING) != 0;
		out->dark += host_is_dark(&l->hosts, no);
	}
	out->churn = silence_churn(l);
}

static struct co_view
co_view(const struct deployment *halted, const struct deployment *other)
{
	struct co_view v = { .deployment = other->no,
			     .log_odds = other->suspect != UINT32_MAX ? other->suspect_odds : 0,
			     .separation = other->co_sep,
			     .paused = other->co_of != 0 };

	for (uint32_t no = 0; hostset_next(harmed_hosts(halted), &no); no++)
		v.shared += deployment_served(other, no);
	return v;
}

size_t
ledger_co_suspects(const struct ledger *l, uint32_t deployment, struct co_view *out, size_t cap)
{
	const struct deployment *d = deployment < l->n_deployments ? l->deployments[deployment] : NULL;
	size_t n = 0;

	if (d != NULL && d->co_of != 0 && cap > 0) {
		const struct deployment *halted = l->deployments[d->co_of - 1];

		out[n] = co_view(halted, d);
		out[n++].deployment = halted->no;
	}
	for (uint32_t i = 0; d != NULL && d->halted && i < l->n_open && n < cap; i++) {
		const struct deployment *other = l->open[i];

		if (other == d || other->tenant != d->tenant)
			continue;
		out[n] = co_view(d, other);
		n += out[n].paused || out[n].shared > 0;
	}
	return n;
}

struct text
ledger_site(const struct ledger *l, uint16_t site)
{
	return site_name(l, site);
}
