/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/deployments/{id}/safeguard and /safeguard/check: where it must not be offered. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "collector/api/call.h"
#include "collector/api/safeguard.h"
#include "collector/api/words.h"

#define PAGE_MAX   1000u
#define AT_ONCE    4096u /* hosts looked at in one question to the ledger */
#define NAME_SIZE  40
#define FIRST_PAGE SAFEGUARD_FROM_HALT

/* "halt" while it is one of a halt that holds. */
static char *
name_of(const struct safeguard_view *g, char out[NAME_SIZE])
{
	if (g->halted)
		strcpy(out, "halt");
	else
		snprintf(out, NAME_SIZE, "sg-%016" PRIx64 ".%u", g->pos, g->index);
	return out;
}

void
safeguard_json(struct jsonout *j, const char *key, const struct safeguard_view *g)
{
	char name[NAME_SIZE];

	jsonout_open(j, key, '{');
	jsonout_string(j, "id", name_of(g, name));
	jsonout_string(j, "kind", g->n_hosts > 0 ? "hosts" : "stratum");
	if (g->n_hosts > 0) {
		jsonout_u64(j, "hosts_total", g->n_hosts);
	} else {
		jsonout_text(j, "product", g->product);
		jsonout_text(j, "os_build", g->os_build);
		jsonout_text(j, "hw_class", g->hw_class);
	}
	jsonout_bool(j, "automatic", g->automatic);
	words_signature_id(j, "signature_id", g->signature);
	jsonout_text(j, "reason", g->reason);
	if (g->actor.len > 0)
		jsonout_text(j, "actor", g->actor);
	else
		jsonout_null(j, "actor");
	jsonout_time(j, "since", g->at_us);
	jsonout_close(j, '}');
}

/* ---- list: a row for each stratum and for each host ---- */

struct list {
	uint32_t limit;
	struct params_cursor from; /* key: slot + 1, 0 from the start; id: host in it */
	struct safeguard_view rows[PAGE_MAX + FIRST_PAGE];
};

static void
host_rows(struct call *c, const struct safeguard_view *g, uint64_t from, uint32_t *left, struct params_cursor *next)
{
	struct jsonout *j = &c->out;

	for (uint64_t i = from; i < g->n_hosts; i++) {
		char name[NAME_SIZE];

		if (*left == 0) {
			*next = (struct params_cursor){ .order = 7, .key = g->slot + 1, .id = i };
			return;
		}
		(*left)--;
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "id", name_of(g, name));
		jsonout_string(j, "kind", "host");
		jsonout_host(j, "host", g->hosts[i]);
		jsonout_text(j, "reason", g->reason);
		jsonout_time(j, "since", g->at_us);
		jsonout_close(j, '}');
	}
}

static void
ask_list(struct call *c, const struct ledger *l)
{
	struct list *s = c->state;
	struct params_cursor next = { .key = 0 };
	struct verdict_view v;
	struct jsonout *j = &c->out;
	uint32_t no, left = s->limit;
	size_t n;

	if (!ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) || !ledger_verdict(l, no, &v) ||
	    v.state == STATE_DELETED) {
		c->refusal = DISCARD_unknown_deployment;
		return;
	}
	n = ledger_safeguards(l, no, s->from.key > 0 ? (uint32_t)s->from.key - 1 : 0, s->rows, s->limit + FIRST_PAGE);
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "deployment", c->id);
	call_freshness(j, c->api->env.fold, ledger_position(l), ledger_now_us(l));
	jsonout_string(j, "verdict", verdict_name(v.verdict));
	jsonout_open(j, "safeguards", '[');
	for (size_t i = 0; i < n && next.key == 0; i++) {
		const struct safeguard_view *g = &s->rows[i];
		const bool first = s->from.key > 0 && g->slot + 1 == s->from.key;

		if (s->from.key > 0 && (g->halted || g->slot + 1 < s->from.key))
			continue; /* of the pages before */
		if (g->n_hosts > 0)
			host_rows(c, g, first ? s->from.id : 0, &left, &next);
		else if (left == 0 && !g->halted)
			next = (struct params_cursor){ .order = 7, .key = g->slot + 1 };
		else {
			left -= left > 0;
			safeguard_json(j, NULL, g);
		}
	}
	jsonout_close(j, ']');
	if (next.key != 0) {
		char buf[PARAMS_CURSOR_SIZE];

		jsonout_string(j, "next", params_cursor_format(&next, buf));
	} else
		jsonout_null(j, "next");
	jsonout_close(j, '}');
}

static void
list_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	char limit_text[16], cursor[64];
	uint64_t limit = 100;
	struct list *s;

	if (c == NULL || !call_take_id(c))
		return;
	if ((c->state = s = ARENA_NEW(c->arena, struct list)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	if (http_query(r, "limit", limit_text, sizeof(limit_text)) == 0 &&
	    params_count(limit_text, 1, PAGE_MAX, &limit) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 1000");
		return;
	}
	if (http_query(r, "cursor", cursor, sizeof(cursor)) == 0 &&
	    (params_cursor_parse(cursor, &s->from) != 0 || s->from.order != 7 || s->from.key > SAFEGUARDS_MAX)) {
		call_refuse(c, DISCARD_invalid_parameter, "cursor", "is not a cursor of this list");
		return;
	}
	s->limit = (uint32_t)limit;
	call_ask(c, ask_list, call_send);
}

const struct http_ops safeguard_list_ops = { .begin = list_begin, .end = call_end };

/* ---- add and remove ---- */

struct change {
	Faultline__Log__Safeguard message; /* first */
	const char *refused;
};

static void
ask_change(struct call *c, const struct ledger *l)
{
	struct change *s = c->state;
	size_t len = faultline__log__safeguard__get_packed_size(&s->message);
	uint8_t *packed = arena_calloc(c->arena, len + 1, 1);

	if (packed == NULL) {
		c->refusal = DISCARD_too_many_waiters;
		return;
	}
	faultline__log__safeguard__pack(&s->message, packed);
	s->refused = ledger_refuses_safeguard(l, API_TENANT, packed, len);
}

static void
ask_changed(struct call *c, const struct ledger *l)
{
	const struct change *s = c->state;
	char name[NAME_SIZE];

	(void)l;
	snprintf(name, sizeof(name), "sg-%016" PRIx64 ".%u",
		 s->message.remove_pos != 0 ? s->message.remove_pos : c->wait_pos, s->message.remove_index);
	jsonout_open(&c->out, NULL, '{');
	jsonout_string(&c->out, "deployment", c->id);
	jsonout_string(&c->out, s->message.remove_pos != 0 ? "removed" : "added", name);
	jsonout_close(&c->out, '}');
}

static void
change_asked(struct call *c)
{
	struct change *s = c->state;

	if (c->refusal != DISCARD_none)
		call_send(c);
	else if (s->refused == NULL) {
		if (call_log_begin(c) && call_log_add(c, RECORD_SAFEGUARD, &s->message.base)) {
			c->status = s->message.remove_pos != 0 ? 200 : 201;
			call_log_commit(c, ask_changed, call_send);
		}
	} else if (strcmp(s->refused, "not_found") == 0) {
		c->refusal = DISCARD_unknown_deployment;
		call_send(c);
	} else if (strcmp(s->refused, "unknown") == 0)
		call_refuse(c, DISCARD_unknown_safeguard, "remove", NULL);
	else
		call_refuse(c, DISCARD_conflict, NULL, "there are too many safeguards: remove some");
}

static void
write_begin(struct http_request *r)
{
	struct call *c = call_new(r);

	if (c != NULL)
		call_take_id(c);
}

static void
change_complete(struct http_request *r)
{
	struct call *c = r->ctx;
	struct body_hosts hosts = { call_hash_host, c->api };
	struct body_error err;

	if ((c->state = ARENA_NEW(c->arena, struct change)) == NULL)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
	else if (body_safeguard(c->body, c->body_len, c->id, &hosts, c->arena, c->state, &err) != 0)
		call_refuse_body(c, &err);
	else
		call_ask(c, ask_change, change_asked);
}

const struct http_ops safeguard_change_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = change_complete,
	.end = call_end,
};

/* ---- check, in bulk ---- */

struct check {
	uint64_t *hosts;
	size_t n, done, held;
	struct verdict_view verdict;
};

static void
ask_check(struct call *c, const struct ledger *l)
{
	struct check *k = c->state;
	struct jsonout *j = &c->out;
	struct safeguard_lookup look;
	struct safeguard_view g;
	char name[NAME_SIZE];
	uint32_t no;
	size_t end = k->n - k->done > AT_ONCE ? k->done + AT_ONCE : k->n;

	if (!ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) || !ledger_verdict(l, no, &k->verdict) ||
	    k->verdict.state == STATE_DELETED) {
		c->refusal = DISCARD_unknown_deployment;
		return;
	}
	if (k->done == 0) {
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "deployment", c->id);
		call_freshness(j, c->api->env.fold, ledger_position(l), ledger_now_us(l));
		jsonout_open(j, "held", '[');
	}
	ledger_safeguard_lookup(l, no, &look);
	for (; k->done < end; k->done++)
		if (ledger_safeguarded(l, &look, k->hosts[k->done], &g)) {
			k->held++;
			jsonout_open(j, NULL, '{');
			jsonout_u64(j, "index", k->done);
			jsonout_host(j, "host", k->hosts[k->done]);
			jsonout_string(j, "by", name_of(&g, name));
			jsonout_close(j, '}');
		}
}

static void
checked(struct call *c)
{
	struct check *k = c->state;
	const char *doubt;

	if (c->refusal == DISCARD_none && k->done < k->n) {
		call_ask(c, ask_check, checked); /* others may ask between */
		return;
	}
	if (c->refusal == DISCARD_none) {
		jsonout_close(&c->out, ']');
		jsonout_u64(&c->out, "held_total", k->held);
		jsonout_u64(&c->out, "allowed_total", k->n - k->held);
		jsonout_string(&c->out, "verdict", verdict_name(verdict_told(c->api, &k->verdict, &doubt)));
		jsonout_string(&c->out, "reason", doubt != NULL ? doubt : k->verdict.reason);
		jsonout_close(&c->out, '}');
	}
	call_send(c);
}

static void
check_complete(struct http_request *r)
{
	struct call *c = r->ctx;
	struct body_hosts hosts = { call_hash_host, c->api };
	struct check *k = ARENA_NEW(c->arena, struct check);
	struct body_error err;

	if ((c->state = k) == NULL)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
	else if (body_hosts_list(c->body, c->body_len, &hosts, c->arena, &k->n, &k->hosts, &err) != 0)
		call_refuse_body(c, &err);
	else
		call_ask(c, ask_check, checked);
}

const struct http_ops safeguard_check_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = check_complete,
	.end = call_end,
};
