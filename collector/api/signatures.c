/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/signatures and /v1/signatures/{id}. */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/words.h"
#include "collector/log/report_id.h"

#define LIST_DEFAULT 100u
#define LIST_MAX     1000u

struct list {
	struct key_query query;
	char module[MODULE_NAME_MAX + 1];
	char deployment[DEPLOYMENT_ID_MAX + 1];
	uint32_t limit;
	uint32_t keys[LIST_MAX + 1];
	uint64_t values[LIST_MAX + 1];
};

static const char *const sort_names[] = {
	[KEYS_BY_HOSTS] = "hosts",
	[KEYS_NEWEST] = "newest",
	[KEYS_BY_TREND] = "trend",
};
#define N_SORTS (sizeof(sort_names) / sizeof(sort_names[0]))

/* 1: there and in buf, 0: absent, -1: too long or damaged (refused). */
static int
param(struct call *c, const char *name, char *buf, size_t size)
{
	const char *q = c->req->query;
	const size_t n = strlen(name);

	if (http_query(c->req, name, buf, size) == 0)
		return 1;
	for (; *q != '\0'; q += strcspn(q, "&"), q += *q == '&')
		if (strncmp(q, name, n) == 0 && q[n] == '=') {
			call_refuse(c, DISCARD_invalid_parameter, name, "is too long or not properly encoded");
			return -1;
		}
	return 0;
}

static bool
parse_order(struct call *c, struct list *l)
{
	struct params_cursor cursor;
	char buf[64];
	unsigned s = 0;
	int there;

	if ((there = param(c, "sort", buf, sizeof(buf))) < 0)
		return false;
	while (there == 1 && s < N_SORTS && strcmp(buf, sort_names[s]) != 0)
		s++;
	if (s == N_SORTS) {
		call_refuse(c, DISCARD_invalid_parameter, "sort", "must be hosts, newest or trend");
		return false;
	}
	l->query.sort = (enum key_sort)s;
	if ((there = param(c, "cursor", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1 && (params_cursor_parse(buf, &cursor) != 0 || cursor.order != s || cursor.id > UINT32_MAX)) {
		call_refuse(c, DISCARD_invalid_parameter, "cursor", "is not a cursor of this list and order");
		return false;
	}
	if (there == 1) {
		l->query.after = true;
		l->query.after_value = cursor.key;
		l->query.after_key_no = (uint32_t)cursor.id;
	}
	return true;
}

static bool
parse_filters(struct call *c, struct list *l)
{
	char buf[1024];
	uint64_t limit = LIST_DEFAULT;
	int there;

	if ((there = param(c, "module", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1)
		l->query.module = (struct text){ l->module, module_name_normalise(text_of(buf), TEXT(""), l->module,
										  sizeof(l->module)) };
	if ((there = param(c, "kind", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1 && words_kind_parse(buf, &l->query.kinds) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "kind",
			    "must be kernel, boot-critical, service, user or unknown");
		return false;
	}
	if ((there = param(c, "new_since", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1 && params_since(buf, clock_wall_us(), &l->query.new_since_us) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "new_since", "must be an age like 1h or an RFC 3339 time");
		return false;
	}
	if ((there = param(c, "deployment", l->deployment, sizeof(l->deployment))) < 0)
		return false;
	if (there == 1 && !params_deployment_id(text_of(l->deployment))) {
		call_refuse(c, DISCARD_invalid_parameter, "deployment", "is not a deployment id");
		return false;
	}
	if (there == 1)
		l->query.deployment = text_of(l->deployment);
	if ((there = param(c, "rungs", buf, sizeof(buf))) < 0)
		return false;
	l->query.rungs = there == 1 && strcmp(buf, "1") == 0;
	if ((there = param(c, "limit", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1 && params_count(buf, 1, LIST_MAX, &limit) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 1000");
		return false;
	}
	l->limit = (uint32_t)limit;
	return true;
}

static void
ask_list(struct call *c, const struct ledger *ledger)
{
	struct list *l = c->state;
	struct jsonout *j = &c->out;
	struct key_view k;
	uint32_t no;
	size_t n;

	if (l->deployment[0] != '\0' && !ledger_deployment_find(ledger, API_TENANT, text_of(l->deployment), &no)) {
		c->refusal = DISCARD_unknown_deployment;
		return;
	}
	n = ledger_keys(ledger, &l->query, l->keys, l->values, l->limit + 1);
	jsonout_open(j, NULL, '{');
	call_freshness(j, c->api->env.fold, ledger_position(ledger), ledger_now_us(ledger));
	jsonout_string(j, "sort", sort_names[l->query.sort]);
	jsonout_open(j, "signatures", '[');
	for (size_t i = 0; i < n && i < l->limit; i++)
		if (ledger_key_by_number(ledger, l->keys[i], &k)) {
			jsonout_open(j, NULL, '{');
			words_key(j, &k);
			jsonout_close(j, '}');
		}
	jsonout_close(j, ']');
	if (n > l->limit) {
		struct params_cursor cursor = { l->query.sort, l->values[l->limit - 1], l->keys[l->limit - 1] };
		char buf[PARAMS_CURSOR_SIZE];

		jsonout_string(j, "next", params_cursor_format(&cursor, buf));
	} else
		jsonout_null(j, "next");
	jsonout_close(j, '}');
}

static void
list_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct list *l;

	if (c == NULL)
		return;
	if ((c->state = l = ARENA_NEW(c->arena, struct list)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	l->query.tenant = API_TENANT;
	if (parse_order(c, l) && parse_filters(c, l))
		call_ask(c, ask_list, call_send);
}

const struct http_ops signatures_list_ops = { .begin = list_begin, .end = call_end };

/* ---- one ---- */

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

static void
ask_one(struct call *c, const struct ledger *l)
{
	struct jsonout *j = &c->out;
	const uint64_t *id = c->state;
	struct key_view k;

	if (!ledger_signature(l, API_TENANT, *id, &k)) {
		c->refusal = DISCARD_unknown_signature;
		return;
	}
	jsonout_open(j, NULL, '{');
	call_freshness(j, c->api->env.fold, ledger_position(l), ledger_now_us(l));
	words_key(j, &k);
	jsonout_bool(j, "confirmed", k.confirmed);
	words_signature_id(j, "alias", k.alias);
	jsonout_u64(j, "dumps", k.dumps);
	jsonout_open(j, "versions", '[');
	for (uint32_t i = 0; i < k.n_versions; i++)
		jsonout_text(j, NULL, k.versions[i]);
	jsonout_close(j, ']');
	jsonout_open(j, "hours", '['); /* oldest first: as a chart reads */
	for (uint32_t i = KEY_TREND; i-- > 0;)
		jsonout_u64(j, NULL, k.hours[i]);
	jsonout_close(j, ']');
	jsonout_open(j, "rungs", '[');
	if (k.module.len > 0 && k.rung == RUNG_KEY)
		rung(j, l, &k, RUNG_BUILD);
	if (k.module.len > 0 && k.rung <= RUNG_BUILD)
		rung(j, l, &k, RUNG_MODULE);
	jsonout_close(j, ']');
	samples(j, c->api, &k);
	jsonout_close(j, '}');
}

static void
one_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	uint64_t *id;

	if (c == NULL)
		return;
	c->state = id = ARENA_NEW(c->arena, uint64_t);
	if (id == NULL || signature_id_parse(r->segment, strlen(r->segment), id) != 0)
		call_refuse(c, DISCARD_invalid_parameter, "id", "a signature id is s1- and 16 hex digits");
	else
		call_ask(c, ask_one, call_send);
}

const struct http_ops signature_ops = { .begin = one_begin, .end = call_end };
