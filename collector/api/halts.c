/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/decisions: who decided what of which deployment, and on which evidence.  History is the database's; without
 * it the last ones are told that the ledger keeps. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/crypto.h"
#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/page.h"
#include "collector/api/words.h"

#define LIST_DEFAULT 100u
#define LIST_MAX     500u
#define LN10         2.302585092994046

struct ask {
	char deployment[DEPLOYMENT_ID_MAX + 1];
	bool one; /* the one at `wanted`, else a list */
	uint64_t wanted;
	uint64_t limit;
	uint64_t position;
	int64_t now_us;
	uint64_t newest; /* in the database; 0: none known */
	size_t told;     /* by the ledger */
	json_t *row;     /* of the database: what was asked for */
};

static const char *
action_name(unsigned action)
{
	static const char *const names[] = { "none",  "halt", "resume", "pause",   "delete",
					     "close", "mute", "accept", "release", "ack" };

	return action < sizeof(names) / sizeof(names[0]) ? names[action] : "none";
}

/* What `faultline replay` needs to find it again: log and position. */
static void
replay_token(struct jsonout *j, const struct api *a, uint64_t pos)
{
	char hex[33], token[64];

	hex_encode(a->env.log_id.uuid, sizeof(a->env.log_id.uuid), hex);
	snprintf(token, sizeof(token), "%.8s-%016" PRIx64, hex, pos);
	jsonout_string(j, "replay_token", token);
}

/* ---- a row of the ledger ---- */

static void
ledger_row(struct jsonout *j, const char *key, const struct api *a, const struct ledger *l,
	   const struct decision_view *v)
{
	struct deployment_view d;
	const bool known = ledger_deployment(l, v->deployment, &d);

	jsonout_open(j, key, '{');
	jsonout_position(j, "n", v->pos);
	jsonout_position(j, "position", v->pos);
	jsonout_time(j, "at", v->at_us);
	if (known)
		jsonout_text(j, "deployment", d.id);
	else
		jsonout_null(j, "deployment");
	jsonout_string(j, "action", action_name(v->action));
	jsonout_bool(j, "automatic", v->automatic);
	jsonout_string(j, "mode", known ? d.shadow ? "shadow" : "armed" : NULL);
	if (v->actor.len > 0)
		page_text(j, "actor", v->actor);
	else
		jsonout_null(j, "actor");
	page_text(j, "reason", v->reason);
	if (v->log_needed > 0) {
		jsonout_open(j, "evidence", '{');
		jsonout_double(j, "log10_odds", v->log_odds / LN10, 3);
		jsonout_double(j, "threshold_log10", v->log_needed / LN10, 3);
		words_signature_id(j, "signature", v->signature);
		jsonout_close(j, '}');
	} else
		jsonout_null(j, "evidence");
	replay_token(j, a, v->pos);
	jsonout_null(j, "signature_valid"); /* decisions are not signed yet */
	jsonout_close(j, '}');
}

/* ---- a row of the database ---- */

static const char *
text_in(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL && s[0] != '\0' ? s : NULL;
}

static void
put_text(struct jsonout *j, const char *key, const char *s)
{
	if (s != NULL)
		page_text(j, key, text_of(s));
	else
		jsonout_null(j, key);
}

static uint64_t
position_in(const json_t *o)
{
	const char *s = text_in(o, "position");

	return s != NULL ? strtoull(s, NULL, 10) : 0;
}

static void
evidence(struct jsonout *j, const json_t *proof)
{
	const json_t *odds = json_object_get(proof, "odds"), *votes = json_object_get(proof, "votes");

	if (!json_is_object(proof)) {
		jsonout_null(j, "evidence");
		return;
	}
	if (votes != NULL)
		odds = json_object_get(json_array_get(votes, json_array_size(votes) - 1), "log_odds");
	jsonout_open(j, "evidence", '{');
	jsonout_double(j, "log10_odds", json_number_value(odds) / LN10, 3);
	jsonout_double(j, "threshold_log10", json_number_value(json_object_get(proof, "log_needed")) / LN10, 3);
	put_text(j, "key", text_in(proof, "title"));
	put_text(j, "signature", text_in(proof, "signature_id"));
	put_text(j, "pool", text_in(proof, "pool"));
	jsonout_i64(j, "served", json_integer_value(json_object_get(proof, "served")));
	jsonout_i64(j, "unserved", json_integer_value(json_object_get(proof, "unserved")));
	jsonout_i64(j, "votes", json_integer_value(json_object_get(proof, "votes_total")));
	jsonout_close(j, '}');
}

static void
database_row(struct jsonout *j, const char *key, const struct api *a, const json_t *o, int32_t this_log)
{
	const uint64_t pos = position_in(o);

	jsonout_open(j, key, '{');
	jsonout_position(j, "n", pos);
	jsonout_position(j, "position", pos);
	put_text(j, "at", text_in(o, "at"));
	put_text(j, "deployment", text_in(o, "deployment"));
	jsonout_string(j, "action", action_name((unsigned)json_integer_value(json_object_get(o, "action"))));
	jsonout_bool(j, "automatic", json_is_true(json_object_get(o, "automatic")));
	jsonout_null(j, "mode"); /* of then: not kept */
	put_text(j, "actor", text_in(o, "actor"));
	put_text(j, "reason", text_in(o, "reason"));
	evidence(j, json_object_get(o, "proof"));
	if (json_integer_value(json_object_get(o, "log")) == this_log)
		replay_token(j, a, pos);
	else
		jsonout_null(j, "replay_token"); /* of another log */
	jsonout_null(j, "signature_valid");
	jsonout_close(j, '}');
}

/* ---- the list ---- */

/* Those that are not in the database: the newest, or, when that does not answer, all that the ledger keeps. */
static void
ask_ledger(struct call *c, const struct ledger *l)
{
	struct ask *q = c->state;
	struct decision_view *all = ARENA_ARRAY(c->arena, struct decision_view, LIST_MAX);
	uint32_t deployment = UINT32_MAX;
	size_t n = 0;

	q->position = ledger_position(l);
	q->now_us = ledger_now_us(l);
	if (all == NULL) {
		c->refusal = DISCARD_too_many_waiters;
		return;
	}
	jsonout_open(&c->out, NULL, '{');
	page_head(c, q->position, q->now_us);
	if (q->deployment[0] == '\0' || ledger_deployment_find(l, API_TENANT, text_of(q->deployment), &deployment))
		n = ledger_decisions(l, API_TENANT, deployment, all, q->one ? LIST_MAX : q->limit);
	if (!q->one)
		jsonout_open(&c->out, "decisions", '[');
	for (size_t i = 0; i < n; i++)
		if (q->one ? all[i].pos == q->wanted && q->row == NULL
			   : all[i].pos > q->newest && c->history.from.log == 0) {
			ledger_row(&c->out, q->one ? "decision" : NULL, c->api, l, &all[i]);
			q->told++;
		}
}

static void
list_answer(struct call *c)
{
	struct ask *q = c->state;
	struct jsonout *j = &c->out;
	json_t *rows = q->row, *o;
	char next[40];
	size_t i, n = 0;

	if (c->refusal != DISCARD_none) {
		json_decref(rows);
		call_send(c);
		return;
	}
	json_array_foreach(rows, i, o)
	{
		if (n < q->limit) {
			database_row(j, NULL, c->api, o, c->history.this_log);
			n++;
		}
	}
	jsonout_close(j, ']');
	jsonout_string(j, "state",
		       rows != NULL || c->history.answer == STORE_ABSENT ? "database"
		       : c->api->env.store == NULL                       ? "none"
									 : history_state(&c->history));
	if (json_array_size(rows) > n && n > 0) {
		const json_t *last = json_array_get(rows, n - 1);

		snprintf(next, sizeof(next), "%08" PRIx32 "%016" PRIx64,
			 (uint32_t)json_integer_value(json_object_get(last, "log")), position_in(last));
		jsonout_string(j, "next", next);
	} else
		jsonout_null(j, "next");
	jsonout_close(j, '}');
	json_decref(rows);
	page_send(c, q->position);
}

static void
list_told(struct call *c)
{
	struct ask *q = c->state;
	const json_t *first;

	if (c->history.answer == STORE_FOUND)
		q->row = json_loads(c->history.json, 0, NULL);
	first = json_array_get(q->row, 0);
	if (first != NULL && json_integer_value(json_object_get(first, "log")) == c->history.this_log)
		q->newest = position_in(first);
	call_ask(c, ask_ledger, list_answer);
}

static bool
take_cursor(struct call *c)
{
	char text[40];
	int32_t log;
	int end = 0;

	if (http_query(c->req, "cursor", text, sizeof(text)) != 0)
		return true;
	if (strlen(text) == 24 &&
	    sscanf(text, "%8" SCNx32 "%16" SCNx64 "%n", (uint32_t *)&log, &c->history.from.pos, &end) == 2 &&
	    end == 24) {
		c->history.from.log = log;
		return true;
	}
	call_refuse(c, DISCARD_invalid_parameter, "cursor", "is not a cursor of this list");
	return false;
}

static void
list_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	char text[16];
	struct ask *q;

	if (c == NULL)
		return;
	if ((c->state = q = ARENA_NEW(c->arena, struct ask)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	q->limit = LIST_DEFAULT;
	if (http_query(r, "limit", text, sizeof(text)) == 0 && params_count(text, 1, LIST_MAX, &q->limit) != 0)
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 500");
	else if (http_query(r, "deployment", q->deployment, sizeof(q->deployment)) == 0 &&
		 !params_deployment_id(text_of(q->deployment)))
		call_refuse(c, DISCARD_invalid_parameter, "deployment", "is not a deployment id");
	else if (take_cursor(c)) {
		c->history.what = STORE_DECISIONS;
		c->history.limit = (uint32_t)q->limit;
		c->history.text = q->deployment[0] != '\0' ? q->deployment : NULL;
		call_history(c, list_told);
	}
}

const struct http_ops decisions_list_ops = { .begin = list_begin, .end = call_end };

/* ---- one ---- */

static void
put_vote(struct jsonout *j, size_t n, const json_t *v)
{
	jsonout_open(j, NULL, '{');
	jsonout_u64(j, "n", n);
	jsonout_time(j, "t", json_integer_value(json_object_get(v, "received_us")));
	jsonout_time(j, "crashed", json_integer_value(json_object_get(v, "crashed_us")));
	jsonout_time(j, "served", json_integer_value(json_object_get(v, "served_us")));
	jsonout_i64(j, "host_number", json_integer_value(json_object_get(v, "host_number")));
	jsonout_bool(j, "exposed", json_is_true(json_object_get(v, "served")));
	jsonout_bool(j, "counted", json_is_true(json_object_get(v, "counted")));
	jsonout_i64(j, "site_number", json_integer_value(json_object_get(v, "site_number")));
	jsonout_i64(j, "stratum", json_integer_value(json_object_get(v, "stratum")));
	jsonout_i64(j, "at_risk_served", json_integer_value(json_object_get(v, "at_risk_served")));
	jsonout_i64(j, "at_risk_unserved", json_integer_value(json_object_get(v, "at_risk_unserved")));
	jsonout_real(j, "q", json_number_value(json_object_get(v, "q")));
	jsonout_real(j, "log_factor", json_number_value(json_object_get(v, "log_factor")));
	jsonout_double(j, "log10_odds", json_number_value(json_object_get(v, "log_odds")) / LN10, 3);
	put_text(j, "position", text_in(v, "position"));
	jsonout_close(j, '}');
}

static void
put_proof(struct jsonout *j, const json_t *proof)
{
	const json_t *votes = json_object_get(proof, "votes"), *grid = json_object_get(proof, "grid");
	size_t i;
	json_t *v;

	if (!json_is_object(proof)) {
		jsonout_null(j, "proof");
		return;
	}
	jsonout_open(j, "proof", '{');
	put_text(j, "title", text_in(proof, "title"));
	put_text(j, "signature", text_in(proof, "signature_id"));
	put_text(j, "pool", text_in(proof, "pool"));
	jsonout_real(j, "log_weight", json_number_value(json_object_get(proof, "log_weight")));
	jsonout_double(j, "log10_weight", json_number_value(json_object_get(proof, "log_weight")) / LN10, 3);
	jsonout_double(j, "threshold_log10", json_number_value(json_object_get(proof, "log_needed")) / LN10, 3);
	jsonout_real(j, "rho", json_number_value(json_object_get(proof, "rho")));
	jsonout_i64(j, "hosts_needed", json_integer_value(json_object_get(proof, "hosts_needed")));
	jsonout_i64(j, "sites_needed", json_integer_value(json_object_get(proof, "sites_needed")));
	jsonout_i64(j, "served", json_integer_value(json_object_get(proof, "served")));
	jsonout_i64(j, "unserved", json_integer_value(json_object_get(proof, "unserved")));
	jsonout_i64(j, "votes_total", json_integer_value(json_object_get(proof, "votes_total")));
	jsonout_open(j, "grid", '[');
	json_array_foreach(grid, i, v)
	{
		jsonout_open(j, NULL, '{');
		jsonout_real(j, "ratio", json_number_value(json_object_get(v, "ratio")));
		jsonout_real(j, "log_share", json_number_value(json_object_get(v, "log_share")));
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	jsonout_open(j, "votes", '[');
	json_array_foreach(votes, i, v)
	{
		put_vote(j, i + 1, v);
	}
	jsonout_close(j, ']');
	jsonout_close(j, '}');
}

static void
one_answer(struct call *c)
{
	struct ask *q = c->state;
	struct jsonout *j = &c->out;
	json_t *o = q->row;

	if (c->refusal == DISCARD_none && o == NULL && q->told == 0)
		c->refusal = c->api->env.store != NULL && c->history.answer != STORE_ABSENT ? DISCARD_database_down
											    : DISCARD_unknown_decision;
	if (c->refusal != DISCARD_none) {
		json_decref(o);
		call_send(c);
		return;
	}
	if (o != NULL)
		database_row(j, "decision", c->api, o, c->history.this_log);
	put_proof(j, json_object_get(o, "proof"));
	jsonout_string(j, "state", o != NULL ? "database" : c->api->env.store == NULL ? "none" : "live");
	jsonout_close(j, '}');
	json_decref(o);
	page_send(c, q->position);
}

static void
one_told(struct call *c)
{
	struct ask *q = c->state;

	if (c->history.answer == STORE_FOUND)
		q->row = json_loads(c->history.json, 0, NULL);
	call_ask(c, ask_ledger, one_answer);
}

static void
one_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct ask *q;
	int end = 0;

	if (c == NULL)
		return;
	if ((c->state = q = ARENA_NEW(c->arena, struct ask)) == NULL)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
	else if (strlen(r->segment) != 16 || sscanf(r->segment, "%16" SCNx64 "%n", &q->wanted, &end) != 1 || end != 16)
		call_refuse(c, DISCARD_invalid_parameter, "n", "is a position: 16 hex digits");
	else {
		q->one = true;
		q->limit = 1;
		c->history.what = STORE_DECISION;
		c->history.key = q->wanted;
		c->history.limit = 1;
		call_history(c, one_told);
	}
}

const struct http_ops decision_ops = { .begin = one_begin, .end = call_end };
