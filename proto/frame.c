/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "proto/frame.h"
#include "proto/report.h"

/* Field numbers, see proto/faultline.proto. */
enum { C_NUMBER = 1 };
enum { HELLO_VERSION = 1, HELLO_AGENT, HELLO_TOKEN };
enum { SERVED_DEPLOYMENT = 1, SERVED_HOST, SERVED_WITHDRAWN };
enum { PIECE_REPORT = 1, PIECE_OFFSET, PIECE_DATA, PIECE_LAST };
enum { WELCOME_VERSION = 1, WELCOME_SERVER, WELCOME_MAX_FRAME, WELCOME_HALTED };
enum { ACK_NUMBER = 1, ACK_WANT_DUMP, ACK_REFUSED, ACK_HALTED, ACK_ADVICE, ACK_HALTS };
enum { NACK_NUMBER = 1, NACK_CODE, NACK_MESSAGE, NACK_RETRY_AFTER };

enum frame_found
frame_split(const uint8_t *bytes, size_t len, uint32_t max, struct text *body_out, size_t *need_out)
{
	struct reader r;
	uint32_t n;

	*need_out = FRAME_PREFIX;
	if (len < FRAME_PREFIX)
		return FRAME_PARTIAL;
	reader_init(&r, bytes, len, true);
	n = reader_u32(&r);
	if (n == 0)
		return FRAME_ZERO;
	if (n > max)
		return FRAME_OVERSIZED;
	*need_out = (size_t)FRAME_PREFIX + n;
	if (len < *need_out)
		return FRAME_PARTIAL;
	*body_out = (struct text){ (const char *)reader_bytes(&r, n), n };
	return FRAME_READY;
}

/* A field as bytes of at most max, or a failure of the reader. */
static struct text
take_bytes(struct reader *r, const struct wire_field *f, size_t max, const char *what)
{
	if (f->type == WIRE_BYTES && f->bytes.len <= max)
		return f->bytes;
	reader_fail(r, f->type == WIRE_BYTES ? ERR_LIMIT : ERR_MALFORMED, what);
	return (struct text){ NULL, 0 };
}

static struct text
take_text(struct reader *r, const struct wire_field *f, size_t max, const char *what)
{
	struct text t = take_bytes(r, f, max, what);

	if (!reader_failed(r) && !text_is_utf8(t))
		reader_fail(r, ERR_MALFORMED, what);
	return t;
}

static uint64_t
take_uint(struct reader *r, const struct wire_field *f, uint64_t max, const char *what)
{
	if (f->type != WIRE_BYTES && f->value <= max)
		return f->value;
	reader_fail(r, ERR_MALFORMED, what);
	return 0;
}

/* ---- client to server ---- */

enum discard
client_frame_decode(struct text frame, struct client_frame *out, struct diag *diag)
{
	struct reader r;
	struct wire_field f;

	*out = (struct client_frame){ 0 };
	reader_init(&r, frame.at, frame.len, false);
	while (wire_next(&r, &f))
		if (f.number == C_NUMBER) {
			out->number = take_uint(&r, &f, UINT64_MAX, "number");
		} else if (f.number >= CLIENT_HELLO && f.number <= CLIENT_DUMP) {
			if (out->kind != CLIENT_NONE)
				reader_fail(&r, ERR_MALFORMED, "two kinds in one frame");
			out->kind = (enum client_kind)f.number;
			out->body = take_bytes(&r, &f, SIZE_MAX, "kind");
		}
	*diag = r.err;
	if (reader_failed(&r))
		return DISCARD_frame_invalid;
	return out->kind == CLIENT_NONE ? DISCARD_frame_unknown : DISCARD_none;
}

bool
frame_item(struct reader *r, struct text *item_out)
{
	struct wire_field f;

	while (wire_next(r, &f))
		if (f.number == 1) {
			*item_out = take_bytes(r, &f, SIZE_MAX, "item");
			return !reader_failed(r);
		}
	return false;
}

enum discard
hello_decode(struct text body, struct hello *out, struct diag *diag)
{
	struct reader r;
	struct wire_field f;

	*out = (struct hello){ 0 };
	reader_init(&r, body.at, body.len, false);
	while (wire_next(&r, &f))
		if (f.number == HELLO_VERSION)
			out->version = (uint32_t)take_uint(&r, &f, UINT32_MAX, "version");
		else if (f.number == HELLO_AGENT)
			out->agent = take_text(&r, &f, AGENT_MAX, "agent");
		else if (f.number == HELLO_TOKEN)
			out->token = take_bytes(&r, &f, TOKEN_MAX, "token");
	if (!reader_failed(&r) && out->version != FRAME_VERSION)
		reader_fail(&r, ERR_UNSUPPORTED, "version must be 1");
	*diag = r.err;
	return reader_failed(&r) ? DISCARD_frame_invalid : DISCARD_none;
}

enum discard
served_decode(struct text item, struct served *out, struct diag *diag)
{
	struct reader r;
	struct wire_field f;

	*out = (struct served){ 0 };
	reader_init(&r, item.at, item.len, false);
	while (wire_next(&r, &f))
		if (f.number == SERVED_DEPLOYMENT)
			out->deployment = take_text(&r, &f, DEPLOYMENT_ID_MAX, "deployment");
		else if (f.number == SERVED_HOST)
			out->host = take_bytes(&r, &f, HOST_ID_MAX, "host");
		else if (f.number == SERVED_WITHDRAWN)
			out->withdrawn = take_uint(&r, &f, 1, "withdrawn") != 0;
	*diag = r.err;
	if (reader_failed(&r))
		return r.err.code == ERR_TRUNCATED ? DISCARD_invalid_protobuf : DISCARD_invalid_field;
	if (out->host.len == 0)
		return DISCARD_invalid_host_id;
	return out->deployment.len == 0 ? DISCARD_invalid_field : DISCARD_none;
}

enum discard
dump_piece_decode(struct text body, struct dump_piece *out, struct diag *diag)
{
	struct reader r;
	struct wire_field f;

	*out = (struct dump_piece){ 0 };
	reader_init(&r, body.at, body.len, false);
	while (wire_next(&r, &f))
		if (f.number == PIECE_REPORT)
			out->report = take_text(&r, &f, REPORT_ID_MAX, "report");
		else if (f.number == PIECE_OFFSET)
			out->offset = take_uint(&r, &f, UINT64_MAX, "offset");
		else if (f.number == PIECE_DATA)
			out->data = take_bytes(&r, &f, SIZE_MAX, "data");
		else if (f.number == PIECE_LAST)
			out->last = take_uint(&r, &f, 1, "last") != 0;
	*diag = r.err;
	return reader_failed(&r) ? DISCARD_frame_invalid : DISCARD_none;
}

static size_t
put_prefix(uint8_t *out, size_t head_len, size_t body_len)
{
	uint32_t n = (uint32_t)(head_len - FRAME_PREFIX + body_len);

	out[0] = (uint8_t)(n >> 24);
	out[1] = (uint8_t)(n >> 16);
	out[2] = (uint8_t)(n >> 8);
	out[3] = (uint8_t)n;
	return head_len;
}

size_t
client_frame_head(uint64_t number, enum client_kind kind, size_t body_len, uint8_t out[FRAME_HEAD_MAX])
{
	struct wire_out o = { out + FRAME_PREFIX, out + FRAME_HEAD_MAX, false };

	wire_put_varint(&o, C_NUMBER, number);
	wire_put_raw_varint(&o, (uint64_t)kind << 3 | WIRE_BYTES);
	wire_put_raw_varint(&o, body_len);
	return put_prefix(out, (size_t)(o.p - out), body_len);
}

void
item_put(struct wire_out *o, struct text item)
{
	wire_put_bytes_always(o, 1, item);
}

void
hello_put(struct wire_out *o, const struct hello *h)
{
	wire_put_varint(o, HELLO_VERSION, h->version);
	wire_put_bytes(o, HELLO_AGENT, h->agent);
	wire_put_bytes(o, HELLO_TOKEN, h->token);
}

void
served_put(struct wire_out *o, const struct served *s)
{
	wire_put_bytes(o, SERVED_DEPLOYMENT, s->deployment);
	wire_put_bytes(o, SERVED_HOST, s->host);
	wire_put_varint(o, SERVED_WITHDRAWN, s->withdrawn);
}

void
dump_piece_put(struct wire_out *o, const struct dump_piece *p)
{
	wire_put_bytes(o, PIECE_REPORT, p->report);
	wire_put_varint(o, PIECE_OFFSET, p->offset);
	wire_put_bytes(o, PIECE_DATA, p->data);
	wire_put_varint(o, PIECE_LAST, p->last);
}

/* ---- server to client ---- */

enum discard
server_frame_decode(struct text frame, enum server_kind *kind_out, struct text *body_out)
{
	struct reader r;
	struct wire_field f;

	*kind_out = SERVER_NONE;
	reader_init(&r, frame.at, frame.len, false);
	while (wire_next(&r, &f))
		if (f.number >= SERVER_WELCOME && f.number <= SERVER_NACK) {
			*kind_out = (enum server_kind)f.number;
			*body_out = take_bytes(&r, &f, SIZE_MAX, "kind");
		}
	return reader_failed(&r) ? DISCARD_frame_invalid : DISCARD_none;
}

/* WantDump and Refused: number, index, then one or two texts.  Advice: two texts. */
static void
take_nested(struct reader *parent, struct text body, bool numbered, struct server_item *out)
{
	struct reader r;
	struct wire_field f;
	uint32_t text_at = numbered ? 3 : 1;

	reader_init(&r, body.at, body.len, false);
	while (wire_next(&r, &f))
		if (numbered && f.number == 1)
			out->number = take_uint(&r, &f, UINT64_MAX, "number");
		else if (numbered && f.number == 2)
			out->index = (uint32_t)take_uint(&r, &f, UINT32_MAX, "index");
		else if (f.number == text_at)
			out->id = take_bytes(&r, &f, SIZE_MAX, "id");
		else if (f.number == text_at + 1)
			out->message = take_bytes(&r, &f, SIZE_MAX, "text");
	if (reader_failed(&r))
		reader_fail(parent, r.err.code, r.err.what);
}

static bool
ack_item(struct reader *r, const struct wire_field *f, struct server_item *out)
{
	struct text body;

	switch (f->number) {
	case ACK_NUMBER:
		out->kind = ITEM_NUMBER;
		out->number = take_uint(r, f, UINT64_MAX, "number");
		return true;
	case ACK_HALTS:
		out->kind = ITEM_HALTS;
		return take_uint(r, f, 1, "halts") != 0;
	case ACK_HALTED:
		out->kind = ITEM_HALTED;
		out->id = take_bytes(r, f, SIZE_MAX, "halted");
		return true;
	case ACK_WANT_DUMP:
	case ACK_REFUSED:
	case ACK_ADVICE:
		out->kind = f->number == ACK_ADVICE    ? ITEM_ADVICE
			    : f->number == ACK_REFUSED ? ITEM_REFUSED
						       : ITEM_WANT_DUMP;
		body = take_bytes(r, f, SIZE_MAX, "item");
		take_nested(r, body, f->number != ACK_ADVICE, out);
		return true;
	default:
		return false;
	}
}

static bool
nack_item(struct reader *r, const struct wire_field *f, struct server_item *out)
{
	switch (f->number) {
	case NACK_NUMBER:
		out->kind = ITEM_NUMBER;
		out->number = take_uint(r, f, UINT64_MAX, "number");
		return true;
	case NACK_CODE:
		out->kind = ITEM_CODE;
		out->id = take_bytes(r, f, SIZE_MAX, "code");
		return true;
	case NACK_MESSAGE:
		out->kind = ITEM_MESSAGE;
		out->message = take_bytes(r, f, SIZE_MAX, "message");
		return true;
	case NACK_RETRY_AFTER:
		out->kind = ITEM_RETRY_AFTER;
		out->number = take_uint(r, f, UINT32_MAX, "retry_after_ms");
		return true;
	default:
		return false;
	}
}

static bool
welcome_item(struct reader *r, const struct wire_field *f, struct server_item *out)
{
	switch (f->number) {
	case WELCOME_MAX_FRAME:
		out->kind = ITEM_MAX_FRAME;
		out->number = take_uint(r, f, UINT32_MAX, "max_frame");
		return true;
	case WELCOME_HALTED:
		out->kind = ITEM_HALTED;
		out->id = take_bytes(r, f, SIZE_MAX, "halted");
		return true;
	default:
		return false;
	}
}

bool
server_next(struct reader *r, enum server_kind kind, struct server_item *out)
{
	struct wire_field f;
	bool found = false;

	while (!found && wire_next(r, &f)) {
		*out = (struct server_item){ 0 };
		found = kind == SERVER_ACK    ? ack_item(r, &f, out)
			: kind == SERVER_NACK ? nack_item(r, &f, out)
					      : welcome_item(r, &f, out);
	}
	return found && !reader_failed(r);
}

size_t
server_frame_head(enum server_kind kind, size_t body_len, uint8_t out[FRAME_HEAD_MAX])
{
	struct wire_out o = { out + FRAME_PREFIX, out + FRAME_HEAD_MAX, false };

	wire_put_raw_varint(&o, (uint64_t)kind << 3 | WIRE_BYTES);
	wire_put_raw_varint(&o, body_len);
	return put_prefix(out, (size_t)(o.p - out), body_len);
}

void
welcome_put(struct wire_out *o, struct text server, uint32_t max_frame, const struct text *halted, size_t n)
{
	wire_put_varint(o, WELCOME_VERSION, FRAME_VERSION);
	wire_put_bytes(o, WELCOME_SERVER, server);
	wire_put_varint(o, WELCOME_MAX_FRAME, max_frame);
	for (size_t i = 0; i < n; i++)
		wire_put_bytes_always(o, WELCOME_HALTED, halted[i]);
}

void
nack_put(struct wire_out *o, const struct nack *n)
{
	wire_put_varint(o, NACK_NUMBER, n->number);
	wire_put_bytes(o, NACK_CODE, n->code);
	wire_put_bytes(o, NACK_MESSAGE, n->message);
	wire_put_varint(o, NACK_RETRY_AFTER, n->retry_after_ms);
}

void
ack_put_number(struct wire_out *o, uint64_t number)
{
	wire_put_varint(o, ACK_NUMBER, number);
}

static void
put_numbered(struct wire_out *o, uint32_t field, uint64_t number, uint32_t index, struct text id, struct text message)
{
	uint8_t buf[512];
	struct wire_out in = { buf, buf + sizeof(buf), false };

	wire_put_varint(&in, 1, number);
	wire_put_varint(&in, 2, index);
	wire_put_bytes(&in, 3, id);
	if (message.len <= 256)
		wire_put_bytes(&in, 4, message);
	if (in.full)
		o->full = true;
	else
		wire_put_bytes_always(o, field, (struct text){ (char *)buf, (size_t)(in.p - buf) });
}

void
ack_put_want_dump(struct wire_out *o, uint64_t number, uint32_t index, struct text report)
{
	put_numbered(o, ACK_WANT_DUMP, number, index, report, (struct text){ NULL, 0 });
}

void
ack_put_refused(struct wire_out *o, uint64_t number, uint32_t index, struct text code, struct text message)
{
	put_numbered(o, ACK_REFUSED, number, index, code, message);
}

void
ack_put_halted(struct wire_out *o, const struct text *halted, size_t n)
{
	wire_put_varint(o, ACK_HALTS, 1);
	for (size_t i = 0; i < n; i++)
		wire_put_bytes_always(o, ACK_HALTED, halted[i]);
}

void
ack_put_advice(struct wire_out *o, struct text signature, struct text advice)
{
	size_t len = 2 + wire_varint_size(signature.len) + signature.len + wire_varint_size(advice.len) + advice.len;

	wire_put_raw_varint(o, ACK_ADVICE << 3 | WIRE_BYTES);
	wire_put_raw_varint(o, len);
	wire_put_bytes_always(o, 1, signature);
	wire_put_bytes_always(o, 2, advice);
}
