/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/signatures/{id}; the list is in search.c. */
#include "config.h"

#include <string.h>

#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/signature_page.h"
#include "collector/api/words.h"
#include "collector/log/report_id.h"

static void
rung(struct jsonout *j, const struct ledger *l, const struct key_view *k, enum signature_rung which)
{
	struct signature_key key = { .module = k->module, .module_id = k->module_id };
	struct key_view up;

	if (!ledger_key(l, API_TENANT, (uint8_t)which, signature_hash(&key, which), &up))
		return;
	jsonout_open(j, NULL, '{');
	words_key(j, &up);
	jsonout_close(j, '}');
}

static void
samples(struct jsonout *j, const struct api *a, const struct key_view *k)
{
	char buf[REPORT_ID_SIZE];

	jsonout_open(j, "sample_reports", '[');
	if (k->first_pos != 0) {
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "report", report_id_format(k->first_pos, &a->env.log_id, buf));
		jsonout_time(j, "received", k->first_us);
		jsonout_close(j, '}');
	}
	if (k->last_pos != 0 && k->last_pos != k->first_pos) {
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "report", report_id_format(k->last_pos, &a->env.log_id, buf));
		jsonout_time(j, "received", k->last_us);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

void
signature_members(struct jsonout *j, const struct api *a, const struct ledger *l, const struct key_view *k)
{
	words_key(j, k);
	jsonout_bool(j, "confirmed", k->confirmed);
	words_signature_id(j, "alias", k->alias);
	jsonout_u64(j, "dumps", k->dumps);
	jsonout_open(j, "versions", '[');
	for (uint32_t i = 0; i < k->n_versions; i++)
		jsonout_text(j, NULL, k->versions[i]);
	jsonout_close(j, ']');
	jsonout_open(j, "hours", '['); /* oldest first: as a chart reads */
	for (uint32_t i = KEY_TREND; i-- > 0;)
		jsonout_u64(j, NULL, k->hours[i]);
	jsonout_close(j, ']');
	jsonout_open(j, "rungs", '[');
	if (k->module.len > 0 && k->rung == RUNG_KEY)
		rung(j, l, k, RUNG_BUILD);
	if (k->module.len > 0 && k->rung <= RUNG_BUILD)
		rung(j, l, k, RUNG_MODULE);
	jsonout_close(j, ']');
	samples(j, a, k);
}

static void
ask_one(struct call *c, const struct ledger *l)
{
	const uint64_t *id = c->state;
	struct key_view k;

	if (!ledger_signature(l, API_TENANT, *id, &k)) {
		c->refusal = DISCARD_unknown_signature;
		return;
	}
	jsonout_open(&c->out, NULL, '{');
	call_freshness(&c->out, c->api->env.fold, ledger_position(l), ledger_now_us(l));
	signature_members(&c->out, c->api, l, &k);
	jsonout_close(&c->out, '}');
}

static void
one_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	char view[8];
	uint64_t *id;

	if (c == NULL)
		return;
	c->state = id = ARENA_NEW(c->arena, uint64_t);
	if (id == NULL || signature_id_parse(r->segment, strlen(r->segment), id) != 0)
		call_refuse(c, DISCARD_invalid_parameter, "id", "a signature id is s1- and 16 hex digits");
	else if (http_query(r, "view", view, sizeof(view)) != 0)
		call_ask(c, ask_one, call_send);
	else if (strcmp(view, "page") == 0)
		signature_page(c, *id);
	else
		call_refuse(c, DISCARD_invalid_parameter, "view", "must be page");
}

const struct http_ops signature_ops = { .begin = one_begin, .end = call_end };
