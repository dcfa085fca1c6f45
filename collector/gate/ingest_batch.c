/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/reports and /v1/heartbeats: one or many, JSON or protobuf. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/reader.h"
#include "base/settings.h"
#include "collector/gate/identity.h"
#include "collector/gate/ingest_batch.h"
#include "collector/gate/json_report.h"
#include "collector/gate/roster.h"
#include "proto/claim.h"
#include "proto/wire.h"

#define KEEP_CALLS 256   /* idle calls kept */
#define KEEP_BYTES 16384 /* and the buffers they may keep */
#define ITEMS_MAX  65535u
#define WIRE_SLACK 1024 /* an encoded item is hardly ever longer than its JSON */

/* ---- calls are kept, so that an ordinary request allocates nothing ---- */

static struct batch_call *
call_new(struct ingest *in)
{
	struct batch_call *c = in->free_calls;

	if (c != NULL) {
		in->free_calls = c->next_free;
		in->n_free_calls--;
		return c;
	}
	return calloc(1, sizeof(*c));
}

static void
call_destroy(struct batch_call *c)
{
	free(c->body);
	free(c->wire);
	free(c->items);
	free(c);
}

static void
call_free(struct batch_call *c)
{
	struct ingest *in = c->in;

	ingest_unwait(in, &c->waiter);
	ingest_drop(in, c->held);
	if (in->n_free_calls >= KEEP_CALLS ||
	    c->body_cap + c->wire_cap + c->items_cap * sizeof(*c->items) > KEEP_BYTES) {
		call_destroy(c);
		return;
	}
	c->next_free = in->free_calls;
	in->free_calls = c;
	in->n_free_calls++;
}

void
ingest_batch_free_pool(struct ingest *in)
{
	for (struct batch_call *c = in->free_calls, *next; c != NULL; c = next) {
		next = c->next_free;
		call_destroy(c);
	}
	in->free_calls = NULL;
}

/* Make room for want bytes; what is beyond KEEP_BYTES counts against the gate. */
static bool
grow(struct batch_call *c, void *buf_io, size_t *cap, size_t want)
{
	size_t size = *cap > 0 ? *cap : 1024;
	void *old, *bigger;

	if (want <= *cap)
		return true;
	while (size < want)
		size *= 2;
	if (size > KEEP_BYTES) {
		if (!ingest_hold(c->in, size))
			return false;
		c->held += size;
	}
	memcpy(&old, buf_io, sizeof(old));
	if ((bigger = realloc(old, size)) == NULL)
		return false;
	memcpy(buf_io, &bigger, sizeof(bigger));
	*cap = size;
	return true;
}

/* ---- reading ---- */

static bool
type_is(const char *content_type, const char *type)
{
	const size_t n = strlen(type);

	return strncasecmp(content_type, type, n) == 0 && strchr("; \t", content_type[n]) != NULL;
}

static void
begin(struct http_request *r, bool heartbeats)
{
	struct ingest *in = r->arg;
	struct batch_call *c;
	const char *accept;
	bool json = type_is(r->content_type, "application/json");

	if (!json && !type_is(r->content_type, "application/x-protobuf") &&
	    !type_is(r->content_type, "application/protobuf")) {
		http_refuse(r, DISCARD_wrong_content_type, "Content-Type", NULL);
		return;
	}
	if (ingest_overloaded(in) || (c = call_new(in)) == NULL) {
		http_refuse(r, DISCARD_log_busy, NULL, NULL);
		return;
	}
	c->in = in;
	c->r = r;
	c->heartbeats = heartbeats;
	c->json = json;
	c->single = c->busy = false;
	c->len = c->held = 0;
	c->n_items = 0;
	c->waiter = (struct waiter){ .waiting = false };
	accept = http_header(r, "accept");
	c->json_answer = accept == NULL || strstr(accept, "protobuf") == NULL
				 ? json || (accept != NULL && strstr(accept, "json") != NULL)
				 : false;
	r->ctx = c;
	http_limit_body(r, ingest_settings(in)->max_body, ingest_settings(in)->max_body);
}

static void
begin_reports(struct http_request *r)
{
	begin(r, false);
}

static void
begin_heartbeats(struct http_request *r)
{
	begin(r, true);
}

static void
body(struct http_request *r, const void *data, size_t len)
{
	struct batch_call *c = r->ctx;

	if (!grow(c, &c->body, &c->body_cap, c->len + len)) {
		http_refuse(r, DISCARD_log_busy, NULL, NULL);
		return;
	}
	memcpy(c->body + c->len, data, len);
	c->len += len;
}

static struct batch_item *
new_item(struct batch_call *c)
{
	size_t cap = c->items_cap * sizeof(*c->items);

	if (c->n_items >= ITEMS_MAX || !grow(c, &c->items, &cap, (c->n_items + 1) * sizeof(*c->items)))
		return NULL;
	c->items_cap = cap / sizeof(*c->items);
	c->items[c->n_items] = (struct batch_item){ .why = DISCARD_none };
	return &c->items[c->n_items++];
}

static enum discard
no_room(const struct batch_call *c)
{
	return c->n_items >= ITEMS_MAX ? DISCARD_too_many_items : DISCARD_log_busy;
}

/* Where the items of a protobuf batch are. */
static enum discard
find_protobuf(struct batch_call *c)
{
	struct reader r;
	struct wire_field f;

	c->from = c->body;
	reader_init(&r, c->body, c->len, false);
	while (wire_next(&r, &f)) {
		struct batch_item *it;

		if (f.number != 1)
			continue;
		if (f.type != WIRE_BYTES)
			return DISCARD_invalid_protobuf;
		if ((it = new_item(c)) == NULL)
			return no_room(c);
		it->at = (uint32_t)((const uint8_t *)f.bytes.at - c->body);
		it->len = (uint32_t)f.bytes.len;
	}
	return reader_failed(&r) ? DISCARD_invalid_protobuf : DISCARD_none;
}

static enum discard
convert_item(struct batch_call *c, struct json_in *j, size_t *used)
{
	struct batch_item *it = new_item(c);
	size_t len;

	if (it == NULL)
		return no_room(c);
	it->at = (uint32_t)*used;
	it->why = (c->heartbeats ? json_heartbeat : json_report)(j, c->wire + *used, c->wire_cap - *used, &len,
								 &it->field);
	it->len = (uint32_t)len;
	*used += len;
	return j->why;
}

static enum discard
convert_array(struct batch_call *c, struct json_in *j, size_t *used)
{
	enum discard why;
	bool first = true;

	json_in_open(j, JSON_ARRAY);
	while (json_in_item(j, &first))
		if ((why = convert_item(c, j, used)) != DISCARD_none)
			return why;
	return j->why;
}

/* {"reports":[...]}: the key at the front of an object tells it from a single item. */
static bool
is_wrapped(const struct batch_call *c)
{
	struct json_in peek;
	struct text key;
	bool first = true, is;
	const char *name = c->heartbeats ? "heartbeats" : "reports";
	char start[64];
	const size_t n = c->len < sizeof(start) ? c->len : sizeof(start);

	memcpy(start, c->body, n); /* a copy: strings are unescaped in place */
	json_in_init(&peek, start, n);
	is = json_in_kind(&peek) == JSON_OBJECT && json_in_open(&peek, JSON_OBJECT) &&
	     json_in_key(&peek, &first, &key) && text_equal(key, text_of(name)) && json_in_kind(&peek) == JSON_ARRAY;
	return is;
}

/* A JSON item, an array of them, or {"reports":[...]} / {"heartbeats":[...]}. */
static enum discard
convert_json(struct batch_call *c)
{
	enum discard why = DISCARD_none;
	struct json_in j;
	struct text key;
	size_t used = 0;
	bool first = true;

	if (!grow(c, &c->wire, &c->wire_cap, c->len + WIRE_SLACK))
		return DISCARD_log_busy;
	c->from = c->wire;
	json_in_init(&j, (char *)c->body, c->len);
	if (json_in_kind(&j) == JSON_ARRAY) {
		why = convert_array(c, &j, &used);
	} else if (is_wrapped(c)) {
		json_in_open(&j, JSON_OBJECT);
		json_in_key(&j, &first, &key);
		why = convert_array(c, &j, &used);
		while (why == DISCARD_none && json_in_key(&j, &first, &key))
			json_in_skip(&j);
	} else {
		c->single = true;
		why = convert_item(c, &j, &used);
	}
	if (why == DISCARD_none && !json_in_done(&j))
		why = j.why;
	return why;
}

/* ---- logging ---- */

static enum intake_result
add_report(struct batch_call *c, struct batch_item *it, const struct sender *s, uint32_t index)
{
	enum intake_result why = INTAKE_OK;
	struct report_stamp stamp;
	char site[SITE_MAX];
	struct report rep;
	struct claim claim;
	struct diag diag;
	uint8_t *to;

	it->why = report_decode(c->from + it->at, it->len, &rep, &diag);
	if (it->why == DISCARD_none && rep.host.len == 0) {
		it->why = DISCARD_invalid_host_id;
		diag.what = "host";
	}
	if (it->why != DISCARD_none) {
		it->field = diag.what;
		return INTAKE_OK;
	}
	ingest_stamp(c->in, s, &rep, site, &stamp);
	if (c->idempotency != 0)
		stamp.idempotency = index == 0 ? c->idempotency : hash_mix(c->idempotency + index);
	it->odd_time = stamp.clear_occurred;
	it->has_dump = rep.has_dump;
	if (it->has_dump || c->json_answer) {
		claim_of(&rep, &claim);
		it->signature = claim_hash(&claim);
	}
	to = intake_add(c->in->gate->intake, RECORD_REPORT, 0, s->received_us, report_record_size(&rep, &stamp), &why);
	if (to != NULL) {
		report_record_write(&rep, &stamp, to);
		it->record = c->n_records++;
	}
	return why;
}

static enum intake_result
add_heartbeat(struct batch_call *c, struct batch_item *it, const struct sender *s)
{
	const struct identity *id = c->in->gate->env->identity(c->in->gate->env->arg);
	enum intake_result why = INTAKE_OK;
	struct report_stamp stamp = { 0 };
	struct heartbeat h;
	char site[SITE_MAX];
	struct diag diag;
	uint8_t *to;

	it->why = heartbeat_decode(c->from + it->at, it->len, &h, &diag);
	if (it->why == DISCARD_none && h.host.len == 0) {
		it->why = DISCARD_invalid_host_id;
		diag.what = "host";
	}
	if (it->why != DISCARD_none) {
		it->field = diag.what;
		return INTAKE_OK;
	}
	stamp.host_hash = identity_host(id, 0, h.host);
	stamp.site = ingest_site(c->in, s, h.labels, h.n_labels, site);
	stamp.flags = s->authenticated ? REPORT_FLAG_AUTHENTICATED : 0;
	stamp.relay = c->n_items > 1 ? identity_relay(id, s->peer) : 0;
	if (!heartbeat_tells(&h) &&
	    !roster_beat(c->in->gate->roster, 0, stamp.host_hash, heartbeat_fingerprint(&h, stamp.site, stamp.relay)))
		return INTAKE_OK;
	to = intake_add(c->in->gate->intake, RECORD_HEARTBEAT, 0, s->received_us, heartbeat_record_size(&h, &stamp),
			&why);
	if (to != NULL) {
		heartbeat_record_write(&h, &stamp, to);
		c->n_records++;
	}
	return why;
}

static void on_logged(struct intake_group *g, enum log_outcome outcome);

/* False: no room, nothing was logged, try again. */
static bool
log_items(struct batch_call *c)
{
	struct intake *intake = c->in->gate->intake;
	enum intake_result why = INTAKE_OK;
	struct sender s;

	if (!intake_ready(intake))
		return false;
	ingest_sender(c->in, c->r, c->received_us, &s);
	c->group = (struct intake_group){ .done = on_logged, .arg = c };
	c->n_records = 0;
	c->n_accepted = 0;
	intake_begin(intake, &c->group, s.class);
	for (uint32_t i = 0; i < c->n_items && why == INTAKE_OK; i++) {
		struct batch_item *it = &c->items[i];

		if (it->converted_bad || (it->why != DISCARD_none && !c->tried)) {
			it->converted_bad = true; /* JSON said so; decoding cannot mend it */
			continue;
		}
		why = c->heartbeats ? add_heartbeat(c, it, &s) : add_report(c, it, &s, i);
		c->n_accepted += it->why == DISCARD_none;
	}
	c->tried = true;
	if (why == INTAKE_OK && c->n_accepted > 0) {
		c->busy = true;
		c->in->in_work++;
		intake_commit(intake); /* may run on_logged() and with it free c */
		return true;
	}
	intake_abandon(intake);
	if (why == INTAKE_BUSY)
		return false;
	if (why == INTAKE_OK)
		batch_refuse_all(c);
	else
		http_refuse(c->r, why == INTAKE_TOO_BIG ? DISCARD_too_many_items : DISCARD_log_unknown, NULL, NULL);
	return true;
}

static bool
retry(struct waiter *w)
{
	return log_items((struct batch_call *)((char *)w - offsetof(struct batch_call, waiter)));
}

static void
on_logged(struct intake_group *g, enum log_outcome outcome)
{
	struct batch_call *c = g->arg;

	c->busy = false;
	c->in->in_work--;
	if (outcome == LOG_DURABLE)
		counter_add(c->heartbeats ? COUNTER_heartbeats : COUNTER_reports, c->n_accepted);
	if (c->r == NULL)
		call_free(c);
	else if (outcome == LOG_DURABLE)
		batch_answer(c);
	else
		http_refuse(c->r, ingest_outcome(c->in, outcome), NULL, NULL);
}

static void
complete(struct http_request *r)
{
	struct batch_call *c = r->ctx;
	const char *key = http_header(r, "idempotency-key");
	const struct gate_env *env = c->in->gate->env;
	enum discard why;

	if (c->len == 0) {
		http_refuse(r, DISCARD_empty, NULL, NULL);
		return;
	}
	c->received_us = clock_wall_us();
	c->idempotency = key != NULL ? identity_hash(env->identity(env->arg), "idempotency-key", text_of(key)) : 0;
	c->tried = false;
	why = c->json ? convert_json(c) : find_protobuf(c);
	if (why == DISCARD_none && c->n_items == 0)
		why = DISCARD_empty;
	if (why != DISCARD_none) {
		http_refuse(r, why, NULL, NULL);
		return;
	}
	c->waiter.retry = retry;
	if (!log_items(c))
		ingest_wait(c->in, &c->waiter);
}

static void
end(struct http_request *r, enum http_end how)
{
	struct batch_call *c = r->ctx;

	(void)how;
	if (c == NULL)
		return;
	c->r = NULL;
	if (!c->busy)
		call_free(c);
}

const struct http_ops ingest_reports_ops = { .begin = begin_reports, .body = body, .complete = complete, .end = end };
const struct http_ops ingest_heartbeats_ops = {
	.begin = begin_heartbeats, .body = body, .complete = complete, .end = end
};
