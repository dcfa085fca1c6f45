/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/settings.h"
#include "base/token.h"
#include "collector/gate/identity.h"
#include "collector/gate/roster.h"
#include "collector/gate/stream_conn.h"
#include "proto/claim.h"
#include "proto/wire.h"

#define BUSY_RETRY_MS 5000
#define RECEIPT_HOSTS 8192u /* hosts in one Receipt record */

/* A frame being taken: what its items share. */
struct batch {
	struct conn *c;
	struct stream *s;
	struct frame_group *g;
	int64_t now_us;
	uint32_t index; /* of the item */
	uint32_t bad_times, items;
	bool reduce;
};

/* What came of an item: it goes on, or the log decides for the whole frame. */
enum item { ITEM_DONE, ITEM_NO_MEMORY, ITEM_INTAKE };

/* ---- who ---- */

static struct text
site_of(struct conn *c, const struct report_pair *labels, uint32_t n_labels)
{
	struct stream *s = c->stream;
	const struct sockaddr *peer = (const struct sockaddr *)&c->peer;
	char buf[SITE_MAX];
	struct text t;

	for (uint32_t i = 0; i < n_labels; i++)
		if (text_equal(labels[i].name, TEXT("site"))) {
			static _Thread_local char labelled[SITE_MAX];

			return identity_site(s->identity, peer, c->authenticated, labels, n_labels, labelled);
		}
	if (c->site_version != s->identity_version || c->site == NULL) {
		t = identity_site(s->identity, peer, c->authenticated, NULL, 0, buf);
		free(c->site);
		c->site = strndup(t.at, t.len);
		c->site_version = s->identity_version;
	}
	return text_of(c->site);
}

static uint64_t
host_of(const struct conn *c, struct text host)
{
	return identity_host(c->stream->identity, 0, host);
}

/* ---- signatures ---- */

static uint64_t
claim_key(const struct stream *s, const struct report *r)
{
	uint64_t h = hash64(s->cache_seed, r->module.at, r->module.len);

	h = hash64(h ^ r->offset, r->module_id.at, r->module_id.len);
	h = hash64(h ^ (uint64_t)r->reason_code << 8 ^ (uint64_t)r->kind, r->reason.at, r->reason.len);
	if (r->module.len == 0) {
		h = hash64(h, r->params, r->n_params * sizeof(r->params[0]));
		h = hash64(h, r->os_build.at, r->os_build.len);
	}
	return h | 1;
}

/* Once a frame for each signature: is there advice?  And would we like this dump? */
static bool
note_signature(struct batch *b, const struct report *r)
{
	struct stream *s = b->s;
	uint64_t hash = claim_key(s, r);
	struct key_slot *k = &s->keys[hash % KEY_CACHE];
	struct wanted w = { .index = b->index, .record = b->g->intake.n - 1 };
	struct claim claim;

	if (k->hash != hash) {
		claim_of(r, &claim);
		*k = (struct key_slot){ .hash = hash, .signature = claim_hash(&claim) };
	}
	if (k->signature == 0)
		return true;
	w.signature = k->signature;
	if (k->frame != s->frame) {
		k->frame = s->frame;
		k->wanted = true;
		w.advice = s->env->advice != NULL && s->env->advice(s->env->arg, 0, k->signature).len > 0;
	}
	if (r->has_dump && k->wanted)
		w.dump = k->wanted = s->env->want_dump(s->env->arg, 0, k->signature);
	return (!w.dump && !w.advice) || group_want(b->g, &w);
}

/* ---- items ---- */

static enum item
refuse(struct batch *b, enum discard code, const char *what)
{
	return group_refuse(b->g, b->index, code, what) ? ITEM_DONE : ITEM_NO_MEMORY;
}

static enum item
take_report(struct batch *b, struct text item, enum intake_result *why)
{
	struct report *r = &b->s->report;
	struct report_stamp stamp = { 0 };
	struct diag diag;
	enum discard d = report_decode(item.at, item.len, r, &diag);
	uint8_t *p;

	if (d == DISCARD_none && r->host.len == 0) { /* a hash in its place is ours to write */
		d = DISCARD_invalid_host_id;
		diag.what = "host";
	}
	if (d != DISCARD_none)
		return refuse(b, d, diag.what);
	stamp.host_hash = host_of(b->c, r->host);
	stamp.site = site_of(b->c, r->labels, r->n_labels);
	stamp.drop_frames = b->reduce;
	stamp.flags = (b->c->authenticated ? REPORT_FLAG_AUTHENTICATED : 0) | (b->reduce ? REPORT_FLAG_REDUCED : 0);
	if (!report_time_ok(r->occurred_us, b->now_us)) {
		stamp.clear_occurred = true;
		stamp.flags |= REPORT_FLAG_CLOCK;
		b->bad_times++;
	}
	p = intake_add(b->s->gate->intake, RECORD_REPORT, 0, b->now_us, report_record_size(r, &stamp), why);
	if (p == NULL)
		return ITEM_INTAKE;
	report_record_write(r, &stamp, p);
	b->items++;
	return note_signature(b, r) ? ITEM_DONE : ITEM_NO_MEMORY;
}

/* Who passes on this host's heartbeats, 0: nobody. */
static uint32_t
relay_of(struct conn *c, uint64_t host)
{
	if (c->beats_of == 0)
		c->beats_of = host;
	c->relays |= c->beats_of != host;
	return c->relays ? identity_relay(c->stream->identity, (const struct sockaddr *)&c->peer) : 0;
}

static enum item
take_heartbeat(struct batch *b, struct text item, enum intake_result *why)
{
	struct heartbeat *h = &b->s->heartbeat;
	struct report_stamp stamp = { 0 };
	struct diag diag;
	enum discard d = heartbeat_decode(item.at, item.len, h, &diag);
	uint32_t fingerprint;
	uint8_t *p;

	if (d == DISCARD_none && h->host.len == 0) {
		d = DISCARD_invalid_host_id;
		diag.what = "host";
	}
	if (d != DISCARD_none)
		return refuse(b, d, diag.what);
	stamp.host_hash = host_of(b->c, h->host);
	stamp.site = site_of(b->c, h->labels, h->n_labels);
	stamp.flags = b->c->authenticated ? REPORT_FLAG_AUTHENTICATED : 0;
	stamp.relay = relay_of(b->c, stamp.host_hash);
	fingerprint = heartbeat_fingerprint(h, stamp.site, stamp.relay);
	b->items++;
	if (!heartbeat_tells(h) && !roster_beat(b->s->gate->roster, 0, stamp.host_hash, fingerprint))
		return ITEM_DONE;
	p = intake_add(b->s->gate->intake, RECORD_HEARTBEAT, 0, b->now_us, heartbeat_record_size(h, &stamp), why);
	if (p == NULL)
		return ITEM_INTAKE;
	heartbeat_record_write(h, &stamp, p);
	return ITEM_DONE;
}

/* ---- frames ---- */

static bool
begin_frame(struct batch *b, struct conn *c, uint64_t number, enum log_class class)
{
	*b = (struct batch){ .c = c, .s = c->stream, .g = group_new(c, number), .now_us = clock_wall_us() };
	if (b->g == NULL) {
		conn_finish(c, DISCARD_frame_memory, NULL, RETRY_MS);
		return false;
	}
	intake_begin(b->s->gate->intake, &b->g->intake, class);
	return true;
}

static enum taken
give_up(struct batch *b, enum discard code, const char *what, uint32_t retry_ms)
{
	intake_abandon(b->s->gate->intake);
	group_free(b->s, b->g);
	conn_finish(b->c, code, what, retry_ms);
	return TAKEN_LAST;
}

static enum taken
commit_frame(struct batch *b)
{
	for (uint32_t i = 0; i < b->g->n_refused; i++)
		discard_count(b->g->refused[i].code);
	for (; b->bad_times > 0; b->bad_times--)
		discard_count(DISCARD_invalid_time);
	b->c->number = b->g->number;
	group_queue(b->g);
	intake_commit(b->s->gate->intake);
	return TAKEN;
}

/* Nothing of the frame is taken; it alone is refused. */
static enum taken
refuse_frame(struct batch *b, enum discard code, const char *what)
{
	struct intake *in = b->s->gate->intake;

	intake_abandon(in);
	b->g->n_refused = b->g->n_wanted = b->bad_times = 0;
	intake_begin(in, &b->g->intake, LOG_CLASS_NORMAL);
	if (!group_refuse(b->g, FRAME_ALL, code, what))
		return give_up(b, DISCARD_frame_memory, NULL, RETRY_MS);
	return commit_frame(b);
}

/* An item could not be added. */
static enum taken
out_of_room(struct batch *b, enum item item, enum intake_result why)
{
	if (item == ITEM_NO_MEMORY)
		return give_up(b, DISCARD_frame_memory, NULL, RETRY_MS);
	if (why == INTAKE_TOO_BIG)
		return refuse_frame(b, DISCARD_too_many_items, NULL);
	if (why == INTAKE_BROKEN)
		return give_up(b, DISCARD_log_unknown, NULL, BUSY_RETRY_MS);
	intake_abandon(b->s->gate->intake);
	group_free(b->s, b->g);
	conn_pause(b->c, PAUSE_BUSY);
	return TAKEN_NOT;
}

typedef enum item take_fn(struct batch *b, struct text item, enum intake_result *why);

static enum taken
take_batch(struct conn *c, const struct client_frame *f, take_fn *take, enum log_class class, enum counter counter)
{
	enum intake_result why = INTAKE_OK;
	enum item done = ITEM_DONE;
	struct reader r;
	struct batch b;
	struct text item;

	if (!begin_frame(&b, c, f->number, class))
		return TAKEN_LAST;
	b.reduce = class == LOG_CLASS_VITAL;
	reader_init(&r, f->body.at, f->body.len, false);
	for (; done == ITEM_DONE && frame_item(&r, &item); b.index++) {
		if (b.index >= FRAME_MAX_ITEMS)
			return refuse_frame(&b, DISCARD_too_many_items, NULL);
		done = take(&b, item, &why);
	}
	if (done != ITEM_DONE)
		return out_of_room(&b, done, why);
	if (reader_failed(&r))
		return give_up(&b, DISCARD_frame_invalid, r.err.what, 0);
	if (b.index == 0)
		return refuse_frame(&b, DISCARD_empty, NULL);
	if (counter == COUNTER_reports)
		b.g->reports = b.items;
	else
		counter_add(counter, b.items);
	return commit_frame(&b);
}

/* ---- receipts: runs of one deployment become one record ---- */

static bool
same_run(const struct served *a, const struct served *b)
{
	return a->withdrawn == b->withdrawn && text_equal(a->deployment, b->deployment);
}

/* A faultline.log.Receipt. */
static enum item
add_receipt(struct batch *b, const struct served *run, const uint8_t *hosts, size_t n, enum intake_result *why)
{
	uint8_t buf[DEPLOYMENT_ID_MAX + 64 + RECEIPT_HOSTS * 8];
	struct wire_out o = { buf, buf + sizeof(buf), false };
	uint8_t *p;

	if (n == 0)
		return ITEM_DONE;
	wire_put_bytes(&o, 1, run->deployment);
	wire_put_varint(&o, 2, run->withdrawn);
	wire_put_varint(&o, 3, (uint64_t)b->now_us);
	wire_put_bytes(&o, 4, (struct text){ (const char *)hosts, n * 8 });
	wire_put_bytes(&o, 6, TEXT("stream"));
	p = intake_add(b->s->gate->intake, RECORD_RECEIPT, 0, b->now_us, (size_t)(o.p - buf), why);
	if (p == NULL)
		return ITEM_INTAKE;
	memcpy(p, buf, (size_t)(o.p - buf));
	return ITEM_DONE;
}

static enum item
take_receipts(struct batch *b, struct reader *r, enum intake_result *why)
{
	uint8_t hosts[RECEIPT_HOSTS * 8];
	struct served run = { 0 }, next;
	enum item done = ITEM_DONE;
	struct text item;
	struct diag diag;
	size_t n = 0;

	for (; done == ITEM_DONE && frame_item(r, &item); b->index++) {
		enum discard d = served_decode(item, &next, &diag);
		uint64_t hash;

		if (d != DISCARD_none) {
			done = refuse(b, d, diag.what);
			continue;
		}
		if (n == RECEIPT_HOSTS || !same_run(&run, &next)) {
			done = add_receipt(b, &run, hosts, n, why);
			n = 0;
		}
		run = next;
		hash = host_of(b->c, next.host);
		for (int i = 0; i < 8; i++)
			hosts[n * 8 + (size_t)i] = (uint8_t)(hash >> 8 * i);
		n++;
	}
	return done == ITEM_DONE && !reader_failed(r) ? add_receipt(b, &run, hosts, n, why) : done;
}

static enum taken
take_receipt_frame(struct conn *c, const struct client_frame *f)
{
	enum intake_result why = INTAKE_OK;
	enum item done;
	struct reader r;
	struct batch b;

	if (!begin_frame(&b, c, f->number, LOG_CLASS_VITAL))
		return TAKEN_LAST;
	reader_init(&r, f->body.at, f->body.len, false);
	done = take_receipts(&b, &r, &why);
	if (done != ITEM_DONE)
		return out_of_room(&b, done, why);
	if (reader_failed(&r))
		return give_up(&b, DISCARD_frame_invalid, r.err.what, 0);
	if (b.index == 0)
		return refuse_frame(&b, DISCARD_empty, NULL);
	return commit_frame(&b);
}

/* ---- hello ---- */

static enum taken
take_hello(struct conn *c, const struct client_frame *f)
{
	const struct gate_env *env = c->stream->env;
	const struct tokens *tokens = env->tokens(env->arg);
	struct hello h;
	struct diag diag;

	if (f->kind != CLIENT_HELLO) {
		conn_finish(c, DISCARD_hello_missing, NULL, 0);
		return TAKEN_LAST;
	}
	if (hello_decode(f->body, &h, &diag) != DISCARD_none) {
		conn_finish(c, DISCARD_frame_invalid, diag.what, 0);
		return TAKEN_LAST;
	}
	if (tokens != NULL && !tokens_match(tokens, h.token.at, h.token.len)) {
		conn_finish(c, DISCARD_unauthorized, "the token is not one of ours", 0);
		return TAKEN_LAST;
	}
	c->authenticated = tokens != NULL;
	c->number = c->acked = f->number;
	conn_set_state(c, CONN_OPEN, c->stream->env->settings(env->arg)->idle_timeout);
	conn_welcome(c);
	return c->state == CONN_OPEN ? TAKEN : TAKEN_LAST;
}

static enum taken
take_reports(struct conn *c, const struct client_frame *f)
{
	enum log_pressure pressure = log_pressure(c->stream->env->log);

	return take_batch(c, f, take_report,
			  pressure >= LOG_PRESSURE_REDUCE_BODIES ? LOG_CLASS_VITAL : LOG_CLASS_NORMAL, COUNTER_reports);
}

enum taken
conn_frame(struct conn *c, struct text body)
{
	struct client_frame f;
	struct diag diag;
	enum discard d;

	/* Not before there is room, and not while too much of it waits: the peer is told nothing
	 * and the frame stays where it is. */
	if (c->in_flight >= FLIGHT_MAX || c->refusals > REFUSALS_MANY) {
		conn_pause(c, PAUSE_FLIGHT);
		return TAKEN_NOT;
	}
	if (!intake_ready(c->stream->gate->intake)) {
		conn_pause(c, PAUSE_BUSY);
		return TAKEN_NOT;
	}
	d = client_frame_decode(body, &f, &diag);
	if (d != DISCARD_none) {
		conn_finish(c, d, diag.what, 0);
		return TAKEN_LAST;
	}
	c->stream->frames++;
	c->stream->frame++;
	if (c->state == CONN_HELLO)
		return take_hello(c, &f);
	if (f.number <= c->number) {
		conn_finish(c, DISCARD_frame_invalid, "frame numbers must rise", 0);
		return TAKEN_LAST;
	}
	switch (f.kind) {
	case CLIENT_REPORTS:
		return take_reports(c, &f);
	case CLIENT_HEARTBEATS:
		return take_batch(c, &f, take_heartbeat, LOG_CLASS_NORMAL, COUNTER_heartbeats);
	case CLIENT_RECEIPTS:
		return take_receipt_frame(c, &f);
	case CLIENT_DUMP:
		return conn_dump_piece(c, &f);
	default:
		conn_finish(c, DISCARD_frame_invalid, "a second hello", 0);
		return TAKEN_LAST;
	}
}
