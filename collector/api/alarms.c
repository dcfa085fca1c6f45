/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/alarms and /v1/learned: the fleet as a whole, without a deployment. */
#include "config.h"

#include "collector/api/call.h"
#include "collector/api/words.h"

static void
ask_alarms(struct call *c, const struct ledger *l)
{
	struct alarm *a = ARENA_ARRAY(c->arena, struct alarm, ALARMS_KEPT);
	struct jsonout *j = &c->out;
	size_t n;

	if (a == NULL) {
		c->refusal = DISCARD_too_many_waiters;
		return;
	}
	n = ledger_alarms(l, API_TENANT, a, ALARMS_KEPT);
	jsonout_open(j, NULL, '{');
	call_freshness(j, c->api->env.fold, ledger_position(l), ledger_now_us(l));
	jsonout_open(j, "alarms", '[');
	for (size_t i = 0; i < n; i++)
		words_alarm(j, &a[i]);
	jsonout_close(j, ']');
	jsonout_close(j, '}');
}

static void
alarms_begin(struct http_request *r)
{
	struct call *c = call_new(r);

	if (c != NULL)
		call_ask(c, ask_alarms, call_send);
}

const struct http_ops alarms_ops = { .begin = alarms_begin, .end = call_end };

static void
ask_learned(struct call *c, const struct ledger *l)
{
	struct jsonout *j = &c->out;
	struct fleet_learned f;

	ledger_learned(l, API_TENANT, &f);
	jsonout_open(j, NULL, '{');
	call_freshness(j, c->api->env.fold, ledger_position(l), ledger_now_us(l));
	jsonout_u64(j, "active_hosts", f.active);
	jsonout_open(j, "deployments", '{');
	jsonout_u64(j, "harmless", f.deployments);
	jsonout_double(j, "new_kernel_signatures", f.births_kernel, 2);
	jsonout_double(j, "new_user_signatures", f.births_user, 2);
	jsonout_double(j, "modules", f.births_totals, 2);
	jsonout_close(j, '}');
	jsonout_open(j, "rings", '[');
	for (uint32_t i = 0; i < f.n_rings; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "ring", f.rings[i].name);
		jsonout_u64(j, "deployments", f.rings[i].n);
		jsonout_double(j, "last_ratio", f.rings[i].last, 3);
		if (f.rings[i].rho > 0)
			jsonout_double(j, "rho", f.rings[i].rho, 3);
		else
			jsonout_null(j, "rho");
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	jsonout_open(j, "known_signatures", '{');
	jsonout_u64(j, "watched", f.watched);
	jsonout_u64(j, "without_room", f.over);
	jsonout_double(j, "kappa", f.kappa, 3);
	jsonout_u64(j, "kappa_from", f.kappa_keys);
	jsonout_close(j, '}');
	jsonout_open(j, "new_kernel_signatures", '{');
	jsonout_u64(j, "births", f.births);
	jsonout_bool(j, "learned", f.births_learned);
	jsonout_double(j, "log_evidence_most", f.evidence_most, 3);
	jsonout_open(j, "benign", '[');
	for (size_t i = 0; i < sizeof(f.birth_rates) / sizeof(f.birth_rates[0]); i++) {
		jsonout_open(j, NULL, '{');
		jsonout_real(j, "hosts_per_million_host_hours", f.birth_rates[i]);
		jsonout_real(j, "share", f.birth_shares[i]);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	jsonout_close(j, '}');
	jsonout_close(j, '}');
}

static void
learned_begin(struct http_request *r)
{
	struct call *c = call_new(r);

	if (c != NULL)
		call_ask(c, ask_learned, call_send);
}

const struct http_ops learned_ops = { .begin = learned_begin, .end = call_end };
