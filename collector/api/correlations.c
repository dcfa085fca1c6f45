/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/signatures/{id}/correlations: what its hosts have in common that the fleet has not. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/correlations.h"
#include "collector/api/words.h"

#define SHOWN     20u
#define SHOWN_MAX 200u

struct question {
	uint64_t id, limit;
	enum correlate_state state;
	bool found;
	struct correlation correlation;
	char title[VERDICT_TITLE_MAX];
};

/* One turn.  The counts of the fleet are every question's: only the ledger's thread touches them. */
static void
ask(struct call *c, const struct ledger *l)
{
	struct question *q = c->state;
	struct key_view k;

	if (!q->found) {
		if (!ledger_signature(l, API_TENANT, q->id, &k)) {
			c->refusal = DISCARD_unknown_signature;
			return;
		}
		q->found = true;
		q->correlation.key_no = k.key_no;
	}
	q->state = correlation_step(&q->correlation, c->api->correlate_fleet, l, c->arena);
	if (q->state != CORRELATE_DONE || !ledger_key_by_number(l, q->correlation.key_no, &k))
		return;
	jsonout_open(&c->out, NULL, '{');
	call_freshness(&c->out, c->api->env.fold, ledger_position(l), ledger_now_us(l));
	jsonout_open(&c->out, "signature", '{');
	words_key(&c->out, &k);
	jsonout_close(&c->out, '}');
	memcpy(q->title, k.title, sizeof(q->title));
}

/* In a word: all its hosts have it and few others, or it is certain but not all, or nothing is. */
static const char *
reading(const struct correlation *c, const struct fact *f)
{
	if (!f->over)
		return "no";
	return (uint64_t)f->hosts * 10 >= (uint64_t)c->hosts * 9 && f->low >= 2 ? "explains it" : "weak";
}

static void
fact(struct jsonout *j, const struct correlation *c, const struct fact *f)
{
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "kind", fact_kind_name((enum fact_kind)f->kind));
	jsonout_text(j, "fact", f->name);
	jsonout_u64(j, "hosts", f->hosts);
	jsonout_double(j, "share", (double)f->hosts / c->hosts, 6);
	jsonout_u64(j, "fleet_hosts", f->fleet);
	jsonout_double(j, "fleet_share", (double)f->fleet / c->fleet, 6);
	jsonout_double(j, "lift", f->lift, 4);
	jsonout_double(j, "low", f->low, 4);
	jsonout_double(j, "high", f->high, 4);
	jsonout_bool(j, "over_represented", f->over);
	jsonout_string(j, "reading", reading(c, f));
	if (f->same != UINT32_MAX)
		jsonout_u64(j, "cannot_be_told_from", f->same);
	else
		jsonout_null(j, "cannot_be_told_from");
	jsonout_close(j, '}');
}

static void
statement(struct jsonout *j, const struct correlation *c, const char *title)
{
	const struct fact *f = c->facts;
	char text[1024];
	size_t same = 0;

	for (size_t i = 1; i < c->n_facts; i++)
		same += f[i].same == 0;
	if (c->hosts == 0)
		snprintf(text, sizeof(text), "No host with %s was heard of within a week.", title);
	else if (c->n_facts == 0 || !f[0].over)
		snprintf(text, sizeof(text),
			 "Nothing is over-represented for certain among the %u hosts with %s: %u facts were compared.",
			 c->hosts, title, c->compared);
	else
		snprintf(
			text, sizeof(text),
			"%u of %u hosts with %s have %s %.*s, and %u of %u hosts of the fleet: %.3g times as often as chance "
			"would have it, at least %.3g times%s.",
			f[0].hosts, c->hosts, title, fact_kind_name((enum fact_kind)f[0].kind),
			(int)(f[0].name.len < 300 ? f[0].name.len : 300), f[0].name.at, f[0].fleet, c->fleet, f[0].lift,
			f[0].low, same > 0 ? "; other facts of the same hosts cannot be told from it" : "");
	jsonout_string(j, "statement", text);
}

void
correlation_members(struct jsonout *j, const struct correlation *k, const char *title, uint64_t limit)
{
	statement(j, k, title);
	jsonout_u64(j, "hosts", k->hosts);
	jsonout_u64(j, "hosts_not_heard_of", k->key_hosts > k->hosts ? k->key_hosts - k->hosts : 0);
	jsonout_u64(j, "fleet_hosts", k->fleet);
	jsonout_time(j, "fleet_counted", k->fleet_us);
	jsonout_u64(j, "facts_compared", k->compared);
	jsonout_u64(j, "facts_without_room", k->fact_over);
	jsonout_real(j, "error", CORRELATE_ERROR);
	jsonout_open(j, "facts", '[');
	for (size_t i = 0; i < k->n_facts && i < limit; i++)
		fact(j, k, &k->facts[i]);
	jsonout_close(j, ']');
}

static void
then(struct call *c)
{
	struct question *q = c->state;
	struct correlation *k = &q->correlation;
	struct jsonout *j = &c->out;

	if (c->refusal == 0 && q->state == CORRELATE_MORE) {
		call_ask(c, ask, then);
		return;
	}
	if (c->refusal == 0 && q->state == CORRELATE_NO_MEMORY)
		c->refusal = DISCARD_too_many_waiters;
	if (c->refusal != 0) {
		call_send(c);
		return;
	}
	correlation_rank(k);
	correlation_members(j, k, q->title, q->limit);
	jsonout_close(j, '}');
	call_send(c);
}

static void
begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct question *q;
	char text[16];

	if (c == NULL)
		return;
	if (c->api->correlate_fleet == NULL)
		c->api->correlate_fleet = correlate_fleet_new();
	c->state = q = ARENA_NEW(c->arena, struct question);
	if (q == NULL || c->api->correlate_fleet == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	q->limit = SHOWN;
	if (signature_id_parse(r->segment, strlen(r->segment), &q->id) != 0)
		call_refuse(c, DISCARD_invalid_parameter, "id", "a signature id is s1- and 16 hex digits");
	else if (http_query(r, "limit", text, sizeof(text)) == 0 && params_count(text, 1, SHOWN_MAX, &q->limit) != 0)
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 200");
	else
		call_ask(c, ask, then);
}

const struct http_ops correlations_ops = { .begin = begin, .end = call_end };
