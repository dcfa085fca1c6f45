/* SPDX-License-Identifier: Apache-2.0 */
/* What people and deployers tell a deployment: receipts, halt, resume, pause, delete. */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "collector/api/call.h"
#include "collector/api/words.h"

#define RECEIPT_HOSTS 30000u /* in one record: 8 bytes each, well below RECORD_MAX_BYTES */

static void
write_begin(struct http_request *r)
{
	struct call *c = call_new(r);

	if (c != NULL)
		call_take_id(c);
}

/* The verdict as it is after the record. */
static void
ask_after(struct call *c, const struct ledger *l)
{
	struct jsonout *j = &c->out;
	struct verdict_view v;
	uint32_t no;

	if (!ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) || !ledger_verdict(l, no, &v)) {
		c->refusal = DISCARD_unknown_deployment;
		return;
	}
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "deployment", c->id);
	verdict_json(j, c->api, &v);
	jsonout_close(j, '}');
}

/* ---- receipts ---- */

struct receipt {
	Faultline__Log__Receipt message; /* first */
	enum discard code;               /* why the ledger would not take it */
	const char *field, *why;
};

static void
refuse_receipt(struct receipt *r, enum discard code, const char *field, const char *why)
{
	r->code = code;
	r->field = field;
	r->why = why;
}

static void
ask_receipt(struct call *c, const struct ledger *l)
{
	struct receipt *r = c->state;
	struct deployment_view d;
	struct verdict_view v;
	uint32_t no, i = 0;

	if (!ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) || !ledger_deployment(l, no, &d) ||
	    !ledger_verdict(l, no, &v) || v.state == STATE_DELETED) {
		c->refusal = DISCARD_unknown_deployment;
		return;
	}
	if (!d.open) {
		refuse_receipt(r, DISCARD_conflict, NULL, "the deployment is closed");
		return;
	}
	if (r->message.n_hosts > 0)
		return;
	if (r->message.percent > 0)
		i = d.n_rings;
	while (i < d.n_rings && !text_equal(d.rings[i].name, text_of(r->message.ring)))
		i++;
	if (i == d.n_rings && r->message.percent <= 0)
		refuse_receipt(r, DISCARD_invalid_field, "ring", "the deployment has no ring of this name");
	else if (text_equal(d.assignment, TEXT("listed")))
		refuse_receipt(r, DISCARD_invalid_field, "ring", "hosts are assigned by list: name them");
	else if (r->message.withdrawn)
		refuse_receipt(r, DISCARD_invalid_field, "withdrawn", "name the hosts that it was taken back from");
}

static void
receipt_asked(struct call *c)
{
	struct receipt *r = c->state;
	Faultline__Log__Receipt *m = &r->message;
	uint64_t *hosts = m->hosts;
	const size_t n = m->n_hosts;
	size_t left = n;

	if (c->refusal != DISCARD_none) {
		call_send(c);
		return;
	}
	if (r->code != DISCARD_none) {
		call_refuse(c, r->code, r->field, r->why);
		return;
	}
	if (!call_log_begin(c))
		return;
	do {
		m->n_hosts = left < RECEIPT_HOSTS ? left : RECEIPT_HOSTS;
		m->hosts = m->n_hosts > 0 ? hosts + (n - left) : NULL;
		if (!call_log_add(c, RECORD_RECEIPT, &m->base))
			return;
		left -= m->n_hosts;
	} while (left > 0);
	call_log_commit(c, ask_after, call_send);
}

static void
receipts_complete(struct http_request *r)
{
	struct call *c = r->ctx;
	struct body_hosts hosts = { call_hash_host, c->api };
	struct body_error err;

	if ((c->state = ARENA_NEW(c->arena, struct receipt)) == NULL)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
	else if (body_receipt(c->body, c->body_len, c->id, clock_wall_us(), &hosts, c->arena, c->state, &err) != 0)
		call_refuse_body(c, &err);
	else
		call_ask(c, ask_receipt, receipt_asked);
}

const struct http_ops receipts_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = receipts_complete,
	.end = call_end,
};

/* ---- decisions ---- */

static void
ask_deleted(struct call *c, const struct ledger *l)
{
	(void)l;
	jsonout_open(&c->out, NULL, '{');
	jsonout_string(&c->out, "deployment", c->id);
	jsonout_bool(&c->out, "deleted", true);
	jsonout_close(&c->out, '}');
}

struct decision {
	Faultline__Log__Decision message;
	const char *refused; /* static: ledger_refuses_decision() */
	uint64_t position;
};

static void
ask_decision(struct call *c, const struct ledger *l)
{
	struct decision *d = c->state;

	d->refused = ledger_refuses_decision(l, API_TENANT, text_of(c->id), (uint32_t)d->message.action,
					     d->message.forced, text_of(d->message.reason));
	d->message.basis = ledger_position(l);
}

static void
decision_asked(struct call *c)
{
	struct decision *d = c->state;

	if (d->refused != NULL) {
		if (strcmp(d->refused, "not_found") == 0) {
			c->refusal = DISCARD_unknown_deployment;
			call_send(c);
		} else if (strcmp(d->refused, "halted") == 0)
			call_refuse(c, DISCARD_deployment_halted, NULL, NULL);
		else if (strcmp(d->refused, "reason_missing") == 0)
			call_refuse(c, DISCARD_invalid_field, "reason", "is required");
		else
			call_refuse(c, DISCARD_conflict, NULL,
				    strcmp(d->refused, "closed") == 0 ? "the deployment is closed" : d->refused);
		return;
	}
	if (call_log_begin(c) && call_log_add(c, RECORD_DECISION, &d->message.base))
		call_log_commit(c, d->message.action == FAULTLINE__LOG__ACTION__ACTION_DELETE ? ask_deleted : ask_after,
				call_send);
}

static void
decide(struct call *c, Faultline__Log__Action action, bool forced, const char *body, size_t len)
{
	struct decision *d = ARENA_NEW(c->arena, struct decision);
	struct body_error err;

	if ((c->state = d) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	if (body_decision(body, len, c->id, action, clock_wall_us(), c->arena, &d->message, &err) != 0)
		call_refuse_body(c, &err);
	else {
		d->message.forced = forced;
		call_ask(c, ask_decision, decision_asked);
	}
}

static void
halt_complete(struct http_request *r)
{
	struct call *c = r->ctx;

	decide(c, FAULTLINE__LOG__ACTION__ACTION_HALT, false, c->body, c->body_len);
}

static void
resume_complete(struct http_request *r)
{
	struct call *c = r->ctx;

	decide(c, FAULTLINE__LOG__ACTION__ACTION_RESUME, false, c->body, c->body_len);
}

static void
pause_complete(struct http_request *r)
{
	struct call *c = r->ctx;

	decide(c, FAULTLINE__LOG__ACTION__ACTION_PAUSE, false, c->body, c->body_len);
}

static void
mute_complete(struct http_request *r)
{
	struct call *c = r->ctx;

	decide(c, FAULTLINE__LOG__ACTION__ACTION_MUTE, false, c->body, c->body_len);
}

static void
accept_complete(struct http_request *r)
{
	struct call *c = r->ctx;

	decide(c, FAULTLINE__LOG__ACTION__ACTION_ACCEPT, false, c->body, c->body_len);
}

static void
release_complete(struct http_request *r)
{
	struct call *c = r->ctx;

	decide(c, FAULTLINE__LOG__ACTION__ACTION_RELEASE, false, c->body, c->body_len);
}

/* A body is welcome and not required: curl -X DELETE sends none. */
static void
delete_complete(struct http_request *r)
{
	static const char no_reason[] = "{\"reason\":\"deleted through the API\"}";
	struct call *c = r->ctx;
	char force[8];
	bool forced = http_query(r, "force", force, sizeof(force)) == 0 && strcmp(force, "1") == 0;

	if (c->body_len > 0)
		decide(c, FAULTLINE__LOG__ACTION__ACTION_DELETE, forced, c->body, c->body_len);
	else
		decide(c, FAULTLINE__LOG__ACTION__ACTION_DELETE, forced, no_reason, sizeof(no_reason) - 1);
}

const struct http_ops halt_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = halt_complete,
	.end = call_end,
};
const struct http_ops resume_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = resume_complete,
	.end = call_end,
};
const struct http_ops pause_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = pause_complete,
	.end = call_end,
};
const struct http_ops mute_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = mute_complete,
	.end = call_end,
};
const struct http_ops accept_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = accept_complete,
	.end = call_end,
};
const struct http_ops release_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = release_complete,
	.end = call_end,
};
const struct http_ops deployment_delete_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = delete_complete,
	.end = call_end,
};
