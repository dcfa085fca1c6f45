/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/fold/proof.h"
#include "collector/ledger/eprocess.h"
#include "proto/log.pb-c.h"

static void
fill_vote(Faultline__Log__ProofVote *m, const struct vote *v)
{
	faultline__log__proof_vote__init(m);
	m->host_number = v->host_no;
	m->served = v->exposed;
	m->counted = v->counted;
	m->site_number = v->site;
	m->stratum = v->stratum;
	m->at_risk_served = v->y1;
	m->at_risk_unserved = v->y0;
	m->position = v->pos;
	m->received_us = v->at_us;
	m->crashed_us = v->crash_us;
	m->served_us = v->served_us;
	m->q = v->q;
	m->log_factor = v->log_factor;
	m->log_odds = v->log_odds;
}

/* Votes behind the one that decided belong to what came later. */
static size_t
up_to(const struct vote *votes, size_t n, uint64_t halt_pos)
{
	while (n > 0 && votes[n - 1].pos > halt_pos)
		n--;
	return n;
}

static uint8_t *
pack(const struct standing *s, const struct verdict_view *v, const struct vote *votes, size_t n, uint64_t total,
     size_t *len_out)
{
	const struct grid *g = eprocess_grid((enum ratio_grid)s->grid);
	Faultline__Log__ProofVote *rows = calloc(n + 1, sizeof(*rows)), **list = calloc(n + 1, sizeof(*list));
	Faultline__Log__Proof m = FAULTLINE__LOG__PROOF__INIT;
	uint8_t *out = NULL;

	if (rows == NULL || list == NULL)
		goto done;
	for (size_t i = 0; i < n; i++) {
		fill_vote(&rows[i], &votes[i]);
		list[i] = &rows[i];
	}
	m.signature = s->key_no != UINT32_MAX ? s->signature : 0;
	m.title = (char *)(uintptr_t)s->title;
	m.pool = (char *)(uintptr_t)s->pool;
	m.ratios = (double *)(uintptr_t)g->ratio;
	m.log_shares = (double *)(uintptr_t)g->log_share;
	m.n_ratios = m.n_log_shares = g->n;
	m.log_weight = s->log_weight;
	m.log_needed = s->log_needed;
	m.rho = s->rho;
	m.hosts_needed = s->k_min;
	m.sites_needed = s->s_min;
	m.served = v->served;
	m.unserved = v->unserved;
	m.votes_total = total;
	m.votes = list;
	m.n_votes = n;
	*len_out = faultline__log__proof__get_packed_size(&m);
	if ((out = malloc(*len_out + 1)) != NULL)
		faultline__log__proof__pack(&m, out);
done:
	free(rows);
	free(list);
	return out;
}

uint8_t *
proof_pack(const struct ledger *l, uint16_t tenant, const char *deployment, uint64_t halt_pos, size_t *len_out)
{
	struct verdict_view *v = malloc(sizeof(*v));
	struct vote *votes = calloc(PROOF_VOTES, sizeof(*votes));
	uint64_t total = 0;
	uint8_t *out = NULL;
	uint32_t no;
	size_t n;

	*len_out = 0;
	if (v != NULL && votes != NULL && ledger_deployment_find(l, tenant, text_of(deployment), &no) &&
	    ledger_verdict(l, no, v) && v->evidence.set && v->halt_pos == halt_pos) {
		const struct standing *s = &v->evidence.standing;

		n = ledger_votes(l, no, s->trial_key, 0, votes, PROOF_VOTES, &total, NULL);
		out = pack(s, v, votes, up_to(votes, n, halt_pos), total, len_out);
	}
	free(v);
	free(votes);
	return out;
}

void
wanted_add(struct wanted **list, uint16_t tenant, const char *deployment, const char *reason, uint64_t pos)
{
	struct wanted *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return;
	w->tenant = tenant;
	w->pos = pos;
	snprintf(w->deployment, sizeof(w->deployment), "%s", deployment);
	snprintf(w->reason, sizeof(w->reason), "%s", reason);
	while (*list != NULL)
		list = &(*list)->next;
	*list = w;
}

struct wanted *
wanted_take(struct wanted **list)
{
	struct wanted *w = *list;

	if (w != NULL)
		*list = w->next;
	return w;
}
