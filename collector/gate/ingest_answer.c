/* SPDX-License-Identifier: Apache-2.0 */
/* The answers to posted reports and heartbeats. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/signature.h"
#include "collector/gate/ingest_batch.h"
#include "collector/log/report_id.h"
#include "proto/wire.h"

/* faultline.Ack, WantDump and Refused */
enum { ACK_NUMBER = 1, ACK_WANT_DUMP, ACK_REFUSED, ACK_HALTED };
enum { WANT_NUMBER = 1, WANT_INDEX, WANT_REPORT };
enum { REFUSED_NUMBER = 1, REFUSED_INDEX, REFUSED_CODE, REFUSED_MESSAGE };

static const char *
list_name(const struct batch_call *c)
{
	return c->heartbeats ? "heartbeats" : "reports";
}

static void
field_path(const struct batch_call *c, uint32_t i, char *buf, size_t size)
{
	const char *field = c->items[i].field != NULL ? c->items[i].field : "";

	if (c->single)
		snprintf(buf, size, "%s", field);
	else
		snprintf(buf, size, "%s[%u]%s%s", list_name(c), i, *field != '\0' ? "." : "", field);
}

static void
put_error(struct json_out *o, const struct batch_call *c, uint32_t i)
{
	const enum discard why = c->items[i].why;
	char path[128];

	field_path(c, i, path, sizeof(path));
	json_out_raw(o, "{\"code\":");
	json_out_string(o, text_of(discard_code(why)));
	json_out_raw(o, ",\"message\":");
	json_out_string(o, text_of(discard_help(why)));
	if (*path != '\0') {
		json_out_raw(o, ",\"field\":");
		json_out_string(o, text_of(path));
	}
	json_out_raw(o, "}");
}

static bool
wanted(const struct batch_call *c, const struct batch_item *it)
{
	const struct gate_env *env = c->in->gate->env;

	return it->has_dump && env->want_dump(env->arg, 0, it->signature);
}

/* The members of one accepted report, without its braces. */
static void
put_report(struct json_out *o, const struct batch_call *c, const struct batch_item *it)
{
	const struct gate_env *env = c->in->gate->env;
	char id[REPORT_ID_SIZE], signature[SIGNATURE_ID_LEN];
	struct text advice = { NULL, 0 };
	const bool want = wanted(c, it);

	report_id_format(intake_position(&c->group, it->record), &env->log_id, id);
	json_out_raw(o, "\"id\":\"");
	json_out_raw(o, id);
	json_out_raw(o, want ? "\",\"want_dump\":true,\"put_url\":\"/v1/dumps/" : "\",\"want_dump\":false");
	if (want) {
		json_out_raw(o, id);
		json_out_raw(o, "\"");
	}
	if (it->signature != 0) {
		json_out_raw(o, ",\"signature\":\"");
		json_out_raw(o, signature_id_text(it->signature, signature));
		json_out_raw(o, "\"");
		advice = env->advice(env->arg, 0, it->signature);
	}
	if (advice.len > 0) {
		json_out_raw(o, ",\"advice\":");
		json_out_string(o, advice);
	}
	if (it->odd_time)
		json_out_raw(o, ",\"ignored\":[\"occurred\"]");
}

static void
json_reports(struct batch_call *c, struct json_out *o)
{
	if (c->single) {
		json_out_raw(o, "{");
		put_report(o, c, &c->items[0]);
	} else {
		json_out_raw(o, "{\"reports\":[");
		for (uint32_t i = 0; i < c->n_items; i++) {
			json_out_raw(o, i > 0 ? ",{" : "{");
			if (c->items[i].why == DISCARD_none) {
				put_report(o, c, &c->items[i]);
			} else {
				json_out_raw(o, "\"error\":");
				put_error(o, c, i);
			}
			json_out_raw(o, "}");
		}
		json_out_raw(o, "]");
	}
	ingest_put_halted(c->in, o);
	json_out_raw(o, "}\n");
}

static void
json_heartbeats(struct batch_call *c, struct json_out *o)
{
	bool any = false;

	json_out_raw(o, "{\"accepted\":");
	json_out_uint(o, c->n_accepted);
	for (uint32_t i = 0; i < c->n_items && c->n_accepted < c->n_items; i++) {
		if (c->items[i].why == DISCARD_none)
			continue;
		json_out_raw(o, any ? "," : ",\"errors\":[");
		any = true;
		put_error(o, c, i);
	}
	if (any)
		json_out_raw(o, "]");
	ingest_put_halted(c->in, o);
	json_out_raw(o, "}\n");
}

/* A submessage of at most 256 bytes. */
static void
put_message(struct json_out *o, uint32_t field, const uint8_t *bytes, size_t len)
{
	uint8_t head[16];
	struct wire_out w = { head, head + sizeof(head), false };

	wire_put_raw_varint(&w, (uint64_t)field << 3 | WIRE_BYTES);
	wire_put_raw_varint(&w, len);
	json_out_bytes(o, head, (size_t)(w.p - head));
	json_out_bytes(o, bytes, len);
}

/* faultline.Ack: number 1 stands for the request. */
static void
protobuf_ack(struct batch_call *c, struct json_out *o)
{
	const struct gate_env *env = c->in->gate->env;
	uint8_t buf[256];
	const struct text *ids;
	uint64_t version;
	size_t n;

	json_out_bytes(o, "\x08\x01", 2);
	for (uint32_t i = 0; i < c->n_items; i++) {
		const struct batch_item *it = &c->items[i];
		struct wire_out w = { buf, buf + sizeof(buf), false };
		char id[REPORT_ID_SIZE];

		if (it->why == DISCARD_none && (c->heartbeats || !wanted(c, it)))
			continue;
		wire_put_varint(&w, WANT_NUMBER, 1);
		wire_put_varint(&w, WANT_INDEX, i);
		if (it->why == DISCARD_none) {
			report_id_format(intake_position(&c->group, it->record), &env->log_id, id);
			wire_put_bytes(&w, WANT_REPORT, text_of(id));
		} else {
			wire_put_bytes(&w, REFUSED_CODE, text_of(discard_code(it->why)));
			if (it->field != NULL)
				wire_put_bytes(&w, REFUSED_MESSAGE, text_of(it->field));
		}
		put_message(o, it->why == DISCARD_none ? ACK_WANT_DUMP : ACK_REFUSED, buf, (size_t)(w.p - buf));
	}
	n = env->halted(env->arg, &ids, &version);
	for (size_t i = 0; i < n; i++)
		put_message(o, ACK_HALTED, (const uint8_t *)ids[i].at, ids[i].len);
}

static void
count_discards(const struct batch_call *c)
{
	for (uint32_t i = 0; i < c->n_items; i++) {
		if (c->items[i].why != DISCARD_none)
			discard_count(c->items[i].why);
		else if (c->items[i].odd_time)
			discard_count(DISCARD_invalid_time);
	}
}

void
batch_answer(struct batch_call *c)
{
	struct json_out *o = &c->in->out;

	count_discards(c);
	counter_add(COUNTER_acks, 1);
	json_out_reset(o);
	if (!c->json_answer)
		protobuf_ack(c, o);
	else if (c->heartbeats)
		json_heartbeats(c, o);
	else
		json_reports(c, o);
	if (o->failed) /* durable, but we cannot say so: the client sends again */
		http_refuse(c->r, DISCARD_log_unknown, NULL, NULL);
	else
		http_answer(c->r, 200, c->json_answer ? "application/json" : "application/x-protobuf", o->buf, o->len);
}

void
batch_refuse_all(struct batch_call *c)
{
	char path[128];

	field_path(c, 0, path, sizeof(path));
	for (uint32_t i = 1; i < c->n_items; i++)
		discard_count(c->items[i].why);
	http_refuse(c->r, c->items[0].why, *path != '\0' ? path : NULL, NULL);
}
