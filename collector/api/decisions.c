/* SPDX-License-Identifier: Apache-2.0 */
/* What people and deployers tell a deployment: receipts, halt, resume, acknowledge, delete. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "collector/api/idem.h"
#include "collector/api/page.h"
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
	struct body_wish wish;
	const char *refused; /* static: ledger_refuses_decision() */
	bool browser, unconfirmed, overtaken;
	char *key; /* Idempotency-Key; NULL: none */
};

/* Did a person act, or did it halt, since the caller looked?  A halt that is asked for is welcome all the same.  The
 * engine's own record comes after its halt, so that is looked up by the record that decided. */
static bool
is_overtaken(const struct decision *d, const struct verdict_view *v, const struct decision_view *last)
{
	const bool halts = d->message.action == FAULTLINE__LOG__ACTION__ACTION_HALT;
	const uint64_t since = d->wish.expect_position;

	if (since == 0)
		return false;
	return (last != NULL && last->pos >= since) || (!halts && v->halt_pos != 0 && v->halt_pos >= since);
}

#define LOOK_BACK 8u

/* The newest decision of a person. */
static bool
last_of_people(const struct ledger *l, uint32_t no, struct decision_view *out)
{
	struct decision_view all[LOOK_BACK];
	size_t n = ledger_decisions(l, API_TENANT, no, all, LOOK_BACK);

	for (size_t i = 0; i < n; i++)
		if (!all[i].automatic) {
			*out = all[i];
			return true;
		}
	return false;
}

static const char *
did(unsigned action)
{
	static const char *const words[] = { "acted on",
					     "halted",
					     "resumed",
					     "paused",
					     "deleted",
					     "closed",
					     "muted a signature of",
					     "accepted a signature of",
					     "released",
					     "acknowledged" };

	return words[action < sizeof(words) / sizeof(words[0]) ? action : 0];
}

/* "anna resumed it at 03:12:09 UTC: "rolled back"" */
static void
say_overtaken(struct jsonout *j, const struct decision_view *last, int64_t now_us)
{
	char text[1400];
	struct prose p;

	prose_begin(&p, text, sizeof(text), NULL, 0, NULL);
	if (last == NULL) {
		prose_say(&p, "It was halted since.");
	} else {
		if (last->actor.len == 0)
			prose_say(&p, "Somebody %s it at ", did(last->action));
		else
			prose_say(&p, "%.*s %s it at ", (int)last->actor.len, last->actor.at, did(last->action));
		prose_time(&p, last->at_us, now_us);
		prose_say(&p, ": \"%.*s\"", (int)last->reason.len, last->reason.at);
	}
	jsonout_open(j, "error", '{');
	jsonout_string(j, "code", discard_code(DISCARD_conflict));
	jsonout_string(j, "message", text);
	jsonout_string(j, "field", "expect_position");
	jsonout_close(j, '}');
}

/* What the caller did not know. */
static void
newer(struct call *c, const struct ledger *l, const struct verdict_view *v, const struct decision_view *last)
{
	struct jsonout *j = &c->out;

	jsonout_open(j, NULL, '{');
	say_overtaken(j, last, ledger_now_us(l));
	jsonout_string(j, "deployment", c->id);
	jsonout_position(j, "position", ledger_position(l));
	jsonout_open(j, "verdict", '{');
	verdict_json(j, c->api, v);
	jsonout_close(j, '}');
	words_decision(j, "decision", last);
	jsonout_close(j, '}');
	c->status = discard_status(DISCARD_conflict);
	discard_count(DISCARD_conflict);
}

static void
ask_decision(struct call *c, const struct ledger *l)
{
	struct decision *d = c->state;
	struct decision_view last;
	struct verdict_view v;
	uint32_t no;
	bool any;

	d->refused = ledger_refuses_decision(l, API_TENANT, text_of(c->id), (uint32_t)d->message.action,
					     d->message.forced, text_of(d->message.reason));
	d->message.basis = ledger_position(l);
	if (d->refused != NULL || !ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) ||
	    !ledger_verdict(l, no, &v))
		return;
	any = last_of_people(l, no, &last) && last.pos >= d->wish.expect_position;
	d->overtaken = is_overtaken(d, &v, any ? &last : NULL);
	if (d->overtaken)
		newer(c, l, &v, any ? &last : NULL);
	d->unconfirmed = d->browser && d->message.action == FAULTLINE__LOG__ACTION__ACTION_RESUME &&
			 v.verdict == VERDICT_HALT && strcmp(d->wish.confirm, c->id) != 0;
}

/* The verdict as it is after it, and the decision itself. */
static void
ask_decided(struct call *c, const struct ledger *l)
{
	struct jsonout *j = &c->out;
	struct decision_view last;
	struct verdict_view v;
	uint32_t no;

	if (!ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) || !ledger_verdict(l, no, &v)) {
		c->refusal = DISCARD_unknown_deployment;
		return;
	}
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "deployment", c->id);
	verdict_json(j, c->api, &v);
	jsonout_string(j, "status", page_status(c->api, &v));
	words_decision(j, "decision", ledger_decisions(l, API_TENANT, no, &last, 1) == 1 ? &last : NULL);
	words_decision(j, "acknowledged", ledger_acknowledged(l, no, &last) ? &last : NULL);
	jsonout_close(j, '}');
}

static void
decided(struct call *c)
{
	const struct decision *d = c->state;
	struct http_blob *b;

	if (d->key != NULL && c->refusal == DISCARD_none && !c->out.failed) {
		jsonout_raw(&c->out, "\n", 1);
		if ((b = http_blob_new(c->out.at, c->out.len)) != NULL) {
			idem_keep(c->api->idem, d->key, c->req->path, b);
			http_set_header(c->req, "Cache-Control", "no-store");
			http_answer_blob(c->req, 200, "application/json", b);
			http_blob_unref(b);
			return;
		}
	}
	call_send(c);
}

static void
refuse_decision(struct call *c, const char *why)
{
	if (strcmp(why, "not_found") == 0) {
		c->refusal = DISCARD_unknown_deployment;
		call_send(c);
	} else if (strcmp(why, "halted") == 0)
		call_refuse(c, DISCARD_deployment_halted, NULL, NULL);
	else if (strcmp(why, "reason_missing") == 0)
		call_refuse(c, DISCARD_invalid_field, "reason", "is required");
	else if (strcmp(why, "unconfirmed") == 0)
		call_refuse(c, DISCARD_invalid_field, "confirm",
			    "to resume a halted deployment a browser also sends its id");
	else if (strcmp(why, "overtaken") == 0)
		call_send(c); /* it is written */
	else
		call_refuse(c, DISCARD_conflict, NULL, strcmp(why, "closed") == 0 ? "the deployment is closed" : why);
}

static void
decision_asked(struct call *c)
{
	struct decision *d = c->state;

	if (d->refused != NULL || d->overtaken || d->unconfirmed) {
		refuse_decision(c, d->refused != NULL ? d->refused : d->overtaken ? "overtaken" : "unconfirmed");
		return;
	}
	if (call_log_begin(c) && call_log_add(c, RECORD_DECISION, &d->message.base)) {
		if (d->message.action == FAULTLINE__LOG__ACTION__ACTION_DELETE)
			call_log_commit(c, ask_deleted, call_send);
		else
			call_log_commit(c, ask_decided, decided);
	}
}

/* The same request again?  Then it is answered as it was. */
static bool
take_idempotency_key(struct call *c, struct decision *d)
{
	const char *key = http_header(c->req, "idempotency-key");
	struct http_blob *answer;

	if (key == NULL || d->message.action == FAULTLINE__LOG__ACTION__ACTION_DELETE)
		return true;
	if (!idem_key(key)) {
		call_refuse(c, DISCARD_invalid_field, "Idempotency-Key", "is 1 to 64 of A-Z a-z 0-9 _ -");
		return false;
	}
	if ((d->key = arena_calloc(c->arena, strlen(key) + 1, 1)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return false;
	}
	strcpy(d->key, key);
	switch (idem_begin(c->api->idem, key, c->req->path, c->body != NULL ? c->body : "", c->body_len,
			   clock_boot_us(), &answer)) {
	case IDEM_NEW:
		return true;
	case IDEM_AGAIN:
		http_set_header(c->req, "Cache-Control", "no-store");
		http_set_header(c->req, "Idempotent-Replay", "true");
		http_answer_blob(c->req, 200, "application/json", answer);
		return false;
	case IDEM_BUSY:
		call_refuse(c, DISCARD_conflict, "Idempotency-Key",
			    "the first request of this key is not answered yet");
		return false;
	default:
		call_refuse(c, DISCARD_conflict, "Idempotency-Key", "this key was used with another body");
		return false;
	}
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
	if (body_decision(body, len, c->id, action, clock_wall_us(), c->arena, &d->message, &d->wish, &err) != 0) {
		call_refuse_body(c, &err);
		return;
	}
	d->message.forced = forced;
	d->browser = sign_in_caller(c->req).browser;
	if (take_idempotency_key(c, d))
		call_ask(c, ask_decision, decision_asked);
}

static void
decision_end(struct http_request *r, enum http_end how)
{
	struct call *c = r->ctx;
	const struct decision *d = c != NULL ? c->state : NULL;

	if (d != NULL && d->key != NULL && !c->busy) /* else it is being written */
		idem_drop(c->api->idem, d->key, r->path);
	call_end(r, how);
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

static void
ack_complete(struct http_request *r)
{
	struct call *c = r->ctx;

	decide(c, FAULTLINE__LOG__ACTION__ACTION_ACK, false, c->body, c->body_len);
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
	.end = decision_end,
};
const struct http_ops resume_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = resume_complete,
	.end = decision_end,
};
const struct http_ops pause_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = pause_complete,
	.end = decision_end,
};
const struct http_ops mute_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = mute_complete,
	.end = decision_end,
};
const struct http_ops accept_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = accept_complete,
	.end = decision_end,
};
const struct http_ops release_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = release_complete,
	.end = decision_end,
};
const struct http_ops ack_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = ack_complete,
	.end = decision_end,
};
const struct http_ops deployment_delete_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = delete_complete,
	.end = decision_end,
};
