/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/hash.h"
#include "base/reader.h"
#include "proto/report.h"
#include "proto/wire.h"

/* Field numbers of faultline.Report. */
enum {
	R_HOST = 1,
	R_EPOCH,
	R_SEQ,
	R_KIND,
	R_OCCURRED,
	R_MODULE,
	R_MODULE_ID,
	R_MODULE_VERSION,
	R_OFFSET,
	R_REASON,
	R_REASON_CODE,
	R_PARAMS,
	R_PRODUCT,
	R_VERSION,
	R_OS,
	R_OS_BUILD,
	R_ARCH,
	R_BOOT_ID,
	R_UPTIME,
	R_COUNT,
	R_LABELS,
	R_FRAMES,
	R_CONTENT,
	R_HW_CLASS,
	R_HAS_DUMP,
	R_HOST_HASH = 40,
	R_SITE,
	R_FLAGS,
	R_IDEMPOTENCY,
	R_DUMP_SHA256,
	R_DUMP_SIZE,
	R_GUID_HASH
};
/* Field numbers of faultline.StackFrame and faultline.Pair. */
enum { F_MODULE = 1, F_MODULE_ID, F_OFFSET, F_TRUST, F_FUNCTION };
enum { P_NAME = 1, P_VALUE };

/* Why decoding stopped, kept apart from the reader's own failures. */
struct decode {
	struct reader *r;
	enum discard why; /* first refusal that is not plain damage */
};

__attribute__((cold, noinline)) static void
refuse(struct decode *d, enum discard why, const char *what)
{
	if (d->why == DISCARD_none && !reader_failed(d->r))
		d->why = why;
	reader_fail(d->r, ERR_MALFORMED, what);
}

/* The last n < 8 bytes of a text in one word, filled up with spaces. */
static uint64_t
short_word(const char *p, size_t n)
{
	uint32_t a, b;
	uint16_t c, d;

	if (n >= 4) {
		memcpy(&a, p, 4);
		memcpy(&b, p + n - 4, 4);
		return a | (uint64_t)b << 32;
	}
	if (n >= 2) {
		memcpy(&c, p, 2);
		memcpy(&d, p + n - 2, 2);
		return c | (uint64_t)d << 16 | 0x2020202000000000u;
	}
	return (n == 1 ? (unsigned char)p[0] : 0x20u) | 0x2020202020202000u;
}

/* Texts that hold only ASCII are the rule, and are checked eight bytes at a time; the full
 * check is the exception. */
static bool
utf8_ok(struct text t)
{
	const uint64_t low = 0x0101010101010101ull, high = 0x8080808080808080ull;
	uint64_t v, bad = 0; /* a byte above 0x7f, or perhaps a zero */
	size_t i = 0;

	for (; t.len - i >= 8; i += 8) {
		memcpy(&v, t.at + i, 8);
		bad |= v | (v - low);
	}
	if (i == 0)
		v = short_word(t.at, t.len);
	else
		memcpy(&v, t.at + t.len - 8, 8);
	bad |= v | (v - low);
	return (bad & high) == 0 || text_is_utf8(t);
}

static struct text
take_text(struct decode *d, const struct wire_field *f, size_t max, const char *what)
{
	if (f->type != WIRE_BYTES)
		refuse(d, DISCARD_invalid_protobuf, what);
	else if (f->bytes.len > max)
		refuse(d, DISCARD_invalid_field, what);
	else if (!utf8_ok(f->bytes))
		refuse(d, DISCARD_invalid_utf8, what);
	else
		return f->bytes;
	return (struct text){ NULL, 0 };
}

static struct text
take_bytes(struct decode *d, const struct wire_field *f, size_t max, enum discard why, const char *what)
{
	if (f->type != WIRE_BYTES)
		refuse(d, DISCARD_invalid_protobuf, what);
	else if (f->bytes.len > max)
		refuse(d, why, what);
	else
		return f->bytes;
	return (struct text){ NULL, 0 };
}

static uint64_t
take_uint(struct decode *d, const struct wire_field *f, uint64_t max, const char *what)
{
	if (f->type == WIRE_BYTES)
		refuse(d, DISCARD_invalid_protobuf, what);
	else if (f->value > max)
		refuse(d, DISCARD_invalid_field, what);
	else
		return f->value;
	return 0;
}

static void
take_pair(struct decode *d, const struct wire_field *f, struct report_pair *pairs, uint32_t *n, const char *what)
{
	struct report_pair p = { { NULL, 0 }, { NULL, 0 } };
	struct reader sub;
	struct decode inner = { &sub, DISCARD_none };
	struct wire_field g;

	if (f->type != WIRE_BYTES || *n >= REPORT_MAX_PAIRS) {
		refuse(d, f->type != WIRE_BYTES ? DISCARD_invalid_protobuf : DISCARD_too_many_items, what);
		return;
	}
	reader_init(&sub, f->bytes.at, f->bytes.len, false);
	while (wire_next(&sub, &g))
		if (g.number == P_NAME)
			p.name = take_text(&inner, &g, TEXT_NAME_MAX, "name");
		else if (g.number == P_VALUE)
			p.value = take_text(&inner, &g, VALUE_MAX, "value");
	if (reader_failed(&sub)) {
		refuse(d, inner.why != DISCARD_none ? inner.why : DISCARD_invalid_protobuf, what);
		return;
	}
	pairs[(*n)++] = p;
}

/* One frame into *out, or only checked when out is NULL. */
static void
take_frame(struct decode *d, const struct wire_field *f, struct report_frame *out)
{
	struct report_frame fr = { 0 };
	struct reader sub;
	struct decode inner = { &sub, DISCARD_none };
	struct wire_field g;

	if (f->type != WIRE_BYTES) {
		refuse(d, DISCARD_invalid_protobuf, "frames");
		return;
	}
	reader_init(&sub, f->bytes.at, f->bytes.len, false);
	while (wire_next(&sub, &g))
		switch (g.number) {
		case F_MODULE:
			fr.module = take_text(&inner, &g, MODULE_MAX, "frames.module");
			break;
		case F_MODULE_ID:
			fr.module_id = take_text(&inner, &g, MODULE_ID_MAX, "frames.module_id");
			break;
		case F_OFFSET:
			fr.offset = take_uint(&inner, &g, UINT64_MAX, "frames.offset");
			break;
		case F_TRUST:
			fr.trust = (uint32_t)take_uint(&inner, &g, 255, "frames.trust");
			break;
		case F_FUNCTION:
			fr.function = take_text(&inner, &g, FUNCTION_MAX, "frames.function");
			break;
		default:
			break;
		}
	if (reader_failed(&sub))
		refuse(d, inner.why != DISCARD_none ? inner.why : DISCARD_invalid_protobuf, "frames");
	else if (out != NULL)
		*out = fr;
}

/* Packed or single, as parsers must accept both. */
static void
take_params(struct decode *d, const struct wire_field *f, struct report *out)
{
	struct reader sub;

	if (f->type != WIRE_BYTES) {
		if (out->n_params >= REPORT_MAX_PARAMS)
			refuse(d, DISCARD_too_many_items, "params");
		else
			out->params[out->n_params++] = f->value;
		return;
	}
	reader_init(&sub, f->bytes.at, f->bytes.len, false);
	while (!reader_failed(&sub) && sub.pos < sub.size) {
		uint64_t v = wire_varint(&sub);

		if (out->n_params >= REPORT_MAX_PARAMS) {
			refuse(d, DISCARD_too_many_items, "params");
			return;
		}
		out->params[out->n_params++] = v;
	}
	if (reader_failed(&sub))
		refuse(d, DISCARD_invalid_protobuf, "params");
}

static void
take_gate_field(struct decode *d, const struct wire_field *f, struct report *out)
{
	out->gate_fields = true;
	switch (f->number) {
	case R_HOST_HASH:
		out->host_hash = take_uint(d, f, UINT64_MAX, "host_hash");
		break;
	case R_SITE:
		out->site = take_text(d, f, TEXT_NAME_MAX, "site");
		break;
	case R_FLAGS:
		out->flags = (uint32_t)take_uint(d, f, UINT32_MAX, "flags");
		break;
	case R_IDEMPOTENCY:
		out->idempotency = take_uint(d, f, UINT64_MAX, "idempotency");
		break;
	case R_DUMP_SHA256:
		out->dump_sha256 = take_bytes(d, f, 32, DISCARD_invalid_field, "dump_sha256");
		break;
	case R_DUMP_SIZE:
		out->dump_size = take_uint(d, f, UINT64_MAX, "dump_size");
		break;
	case R_GUID_HASH:
		out->guid_hash = take_uint(d, f, UINT64_MAX, "guid_hash");
		break;
	default:
		break; /* a newer sender's field */
	}
}

static void
take_crash_field(struct decode *d, const struct wire_field *f, struct report *out)
{
	switch (f->number) {
	case R_MODULE:
		out->module = take_text(d, f, MODULE_MAX, "module");
		break;
	case R_MODULE_ID:
		out->module_id = take_text(d, f, MODULE_ID_MAX, "module_id");
		break;
	case R_MODULE_VERSION:
		out->module_version = take_text(d, f, VERSION_MAX, "module_version");
		break;
	case R_OFFSET:
		out->offset = take_uint(d, f, UINT64_MAX, "offset");
		break;
	case R_REASON:
		out->reason = take_text(d, f, REASON_MAX, "reason");
		break;
	case R_REASON_CODE:
		out->reason_code = (uint32_t)take_uint(d, f, UINT32_MAX, "reason_code");
		break;
	case R_PARAMS:
		take_params(d, f, out);
		break;
	case R_FRAMES:
		if (++out->n_frames > REPORT_MAX_FRAMES)
			refuse(d, DISCARD_too_many_items, "frames");
		else
			take_frame(d, f, NULL);
		break;
	default:
		take_gate_field(d, f, out);
	}
}

static void
take_report_field(struct decode *d, const struct wire_field *f, struct report *out)
{
	switch (f->number) {
	case R_HOST:
		if (out->host_len != 0) /* one only: it is cut out of the record */
			refuse(d, DISCARD_invalid_host_id, "host given twice");
		out->host = take_bytes(d, f, HOST_ID_MAX, DISCARD_invalid_host_id, "host");
		out->host_at = f->start;
		out->host_len = d->r->pos - f->start;
		break;
	case R_EPOCH:
		out->epoch = take_uint(d, f, UINT64_MAX, "epoch");
		break;
	case R_SEQ:
		out->seq = take_uint(d, f, UINT64_MAX, "seq");
		break;
	case R_KIND:
		out->kind = (enum report_kind)take_uint(d, f, REPORT_N_KINDS - 1, "kind");
		break;
	case R_OCCURRED:
		out->occurred_us = (int64_t)take_uint(d, f, UINT64_MAX, "occurred_us");
		break;
	case R_PRODUCT:
		out->product = take_text(d, f, TEXT_NAME_MAX, "product");
		break;
	case R_VERSION:
		out->version = take_text(d, f, VERSION_MAX, "version");
		break;
	case R_OS:
		out->os = take_text(d, f, TEXT_NAME_MAX, "os");
		break;
	case R_OS_BUILD:
		out->os_build = take_text(d, f, TEXT_NAME_MAX, "os_build");
		break;
	case R_ARCH:
		out->arch = take_text(d, f, TEXT_NAME_MAX, "arch");
		break;
	case R_BOOT_ID:
		out->boot_id = take_bytes(d, f, BOOT_ID_MAX, DISCARD_invalid_field, "boot_id");
		break;
	case R_UPTIME:
		out->uptime_s = take_uint(d, f, UINT64_MAX, "uptime_s");
		break;
	case R_COUNT:
		out->count = (uint32_t)take_uint(d, f, UINT32_MAX, "count");
		break;
	case R_LABELS:
		take_pair(d, f, out->labels, &out->n_labels, "labels");
		break;
	case R_CONTENT:
		take_pair(d, f, out->content, &out->n_content, "content");
		break;
	case R_HW_CLASS:
		out->hw_class = take_text(d, f, TEXT_NAME_MAX, "hw_class");
		break;
	case R_HAS_DUMP:
		out->has_dump = take_uint(d, f, 1, "has_dump") != 0;
		break;
	default:
		take_crash_field(d, f, out);
	}
}

static enum discard
verdict(const struct decode *d, struct diag *diag)
{
	*diag = d->r->err;
	if (!reader_failed(d->r))
		return DISCARD_none;
	return d->why != DISCARD_none ? d->why : DISCARD_invalid_protobuf;
}

enum discard
report_decode(const void *bytes, size_t len, struct report *out, struct diag *diag)
{
	struct reader r;
	struct decode d = { &r, DISCARD_none };
	struct wire_field f;

	memset(out, 0, offsetof(struct report, labels));
	reader_init(&r, bytes, len, false);
	if (len > REPORT_MAX_BYTES)
		refuse(&d, DISCARD_invalid_field, "report over 64 KiB");
	while (wire_next(&r, &f))
		take_report_field(&d, &f, out);
	if (out->count == 0)
		out->count = 1;
	out->raw = (struct text){ bytes, len };
	if (!reader_failed(&r) && out->host.len == 0 && out->host_hash == 0)
		refuse(&d, DISCARD_invalid_host_id, "host");
	return verdict(&d, diag);
}

uint32_t
report_frames(const struct report *rep, struct report_frame *out)
{
	struct reader r;
	struct decode d = { &r, DISCARD_none };
	struct wire_field f;
	uint32_t n = 0;

	reader_init(&r, rep->raw.at, rep->raw.len, false);
	while (n < REPORT_MAX_FRAMES && wire_next(&r, &f))
		if (f.number == R_FRAMES)
			take_frame(&d, &f, &out[n++]);
	return n;
}

/* ---- encoding ---- */

static size_t
pair_size(const struct report_pair *p)
{
	size_t n = 0;

	if (p->name.len > 0)
		n += 1 + wire_varint_size(p->name.len) + p->name.len;
	if (p->value.len > 0)
		n += 1 + wire_varint_size(p->value.len) + p->value.len;
	return n;
}

static void
put_pairs(struct wire_out *o, uint32_t field, const struct report_pair *pairs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		wire_put_raw_varint(o, (uint64_t)field << 3 | WIRE_BYTES);
		wire_put_raw_varint(o, pair_size(&pairs[i]));
		wire_put_bytes(o, P_NAME, pairs[i].name);
		wire_put_bytes(o, P_VALUE, pairs[i].value);
	}
}

static void
put_frame(struct wire_out *o, const struct report_frame *f)
{
	uint8_t buf[MODULE_MAX + MODULE_ID_MAX + FUNCTION_MAX + 64];
	struct wire_out in = { buf, buf + sizeof(buf), false };

	wire_put_bytes(&in, F_MODULE, f->module);
	wire_put_bytes(&in, F_MODULE_ID, f->module_id);
	wire_put_varint(&in, F_OFFSET, f->offset);
	wire_put_varint(&in, F_TRUST, f->trust);
	wire_put_bytes(&in, F_FUNCTION, f->function);
	if (in.full)
		o->full = true;
	else
		wire_put_bytes_always(o, R_FRAMES, (struct text){ (char *)buf, (size_t)(in.p - buf) });
}

static void
put_params(struct wire_out *o, const struct report *r)
{
	uint8_t buf[REPORT_MAX_PARAMS * 10];
	struct wire_out in = { buf, buf + sizeof(buf), false };

	if (r->n_params == 0)
		return;
	for (uint32_t i = 0; i < r->n_params; i++)
		wire_put_raw_varint(&in, r->params[i]);
	wire_put_bytes_always(o, R_PARAMS, (struct text){ (char *)buf, (size_t)(in.p - buf) });
}

size_t
report_encode(const struct report *r, const struct report_frame *frames, uint8_t *buf, size_t size)
{
	struct wire_out o = { buf, buf + size, false };

	wire_put_bytes(&o, R_HOST, r->host);
	wire_put_fixed64(&o, R_EPOCH, r->epoch);
	wire_put_varint(&o, R_SEQ, r->seq);
	wire_put_varint(&o, R_KIND, r->kind);
	wire_put_varint(&o, R_OCCURRED, (uint64_t)r->occurred_us);
	wire_put_bytes(&o, R_MODULE, r->module);
	wire_put_bytes(&o, R_MODULE_ID, r->module_id);
	wire_put_bytes(&o, R_MODULE_VERSION, r->module_version);
	wire_put_varint(&o, R_OFFSET, r->offset);
	wire_put_bytes(&o, R_REASON, r->reason);
	wire_put_varint(&o, R_REASON_CODE, r->reason_code);
	put_params(&o, r);
	wire_put_bytes(&o, R_PRODUCT, r->product);
	wire_put_bytes(&o, R_VERSION, r->version);
	wire_put_bytes(&o, R_OS, r->os);
	wire_put_bytes(&o, R_OS_BUILD, r->os_build);
	wire_put_bytes(&o, R_ARCH, r->arch);
	wire_put_bytes(&o, R_BOOT_ID, r->boot_id);
	wire_put_varint(&o, R_UPTIME, r->uptime_s);
	wire_put_varint(&o, R_COUNT, r->count);
	put_pairs(&o, R_LABELS, r->labels, r->n_labels);
	for (uint32_t i = 0; frames != NULL && i < r->n_frames; i++)
		put_frame(&o, &frames[i]);
	put_pairs(&o, R_CONTENT, r->content, r->n_content);
	wire_put_bytes(&o, R_HW_CLASS, r->hw_class);
	wire_put_varint(&o, R_HAS_DUMP, r->has_dump);
	return o.full ? 0 : (size_t)(o.p - buf);
}

/* ---- the record ---- */

#define STAMP_MAX (10 + 3 + TEXT_NAME_MAX + 8 + 10 + 36 + 14 + 10 + 4)

/* Only what is set; everything when the sender wrote gate fields, so that ours win. */
static size_t
put_stamp(const struct report_stamp *s, bool all, uint8_t *buf, size_t size)
{
	struct wire_out o = { buf, buf + size, false };

	if (s->clear_occurred)
		wire_put_varint_always(&o, R_OCCURRED, 0);
	wire_put_fixed64_always(&o, R_HOST_HASH, s->host_hash);
	wire_put_bytes_always(&o, R_SITE, s->site);
	if (all || s->flags != 0)
		wire_put_varint_always(&o, R_FLAGS, s->flags);
	if (all || s->idempotency != 0)
		wire_put_fixed64_always(&o, R_IDEMPOTENCY, s->idempotency);
	all = all || s->dump_sha256.len > 0; /* report_record_dump() reads these three from the end */
	if (all)
		wire_put_bytes_always(&o, R_DUMP_SHA256, s->dump_sha256);
	if (all || s->dump_size != 0)
		wire_put_varint_always(&o, R_DUMP_SIZE, s->dump_size);
	if (all || s->guid_hash != 0)
		wire_put_fixed64_always(&o, R_GUID_HASH, s->guid_hash);
	return (size_t)(o.p - buf);
}

/* Is this the end of a stamp whose dump has a hash? */
static bool
stamp_end(const uint8_t *p, size_t len, struct text *sha256_out)
{
	struct wire_field dump, size, guid;
	struct reader rd;

	reader_init(&rd, p, len, false);
	if (!wire_next(&rd, &dump) || !wire_next(&rd, &size) || !wire_next(&rd, &guid) || rd.pos != len ||
	    dump.number != R_DUMP_SHA256 || dump.type != WIRE_BYTES || dump.bytes.len != 32 ||
	    size.number != R_DUMP_SIZE || guid.number != R_GUID_HASH)
		return false;
	*sha256_out = dump.bytes;
	return true;
}

bool
report_record_dump(const void *payload, size_t len, struct text *sha256_out)
{
	/* two tags of two bytes and a length, the hash; a varint of 1 to 10 bytes; 8 bytes */
	const size_t shortest = 3 + 32 + 2 + 1 + 2 + 8;
	const uint8_t *p = payload;

	for (size_t n = shortest; n < shortest + 10 && n <= len; n++) {
		const uint8_t *at = p + len - n;

		if (at[2] == 32 && at[0] == (uint8_t)(R_DUMP_SHA256 << 3 | WIRE_BYTES | 0x80) &&
		    at[1] == R_DUMP_SHA256 >> 4 && stamp_end(at, n, sha256_out))
			return true;
	}
	return false;
}

/* Copy every field but the host and, when asked, the frames. */
static size_t
copy_reduced(const struct report *r, uint8_t *out)
{
	struct reader rd;
	struct wire_field f;
	size_t n = 0;

	reader_init(&rd, r->raw.at, r->raw.len, false);
	while (wire_next(&rd, &f)) {
		size_t len = rd.pos - f.start;

		if (f.number == R_HOST || f.number == R_FRAMES || f.number == R_LABELS)
			continue;
		if (out != NULL)
			memcpy(out + n, r->raw.at + f.start, len);
		n += len;
	}
	return n;
}

size_t
report_record_size(const struct report *r, const struct report_stamp *s)
{
	uint8_t stamp[STAMP_MAX + 64];
	size_t body = s->drop_frames ? copy_reduced(r, NULL) : r->raw.len - r->host_len;

	return body + put_stamp(s, r->gate_fields, stamp, sizeof(stamp));
}

static uint8_t *
copy_without_host(struct text raw, size_t host_at, size_t host_len, uint8_t *out)
{
	size_t tail = raw.len - host_at - host_len;

	memcpy(out, raw.at, host_at);
	memcpy(out + host_at, raw.at + host_at + host_len, tail);
	return out + host_at + tail;
}

void
report_record_write(const struct report *r, const struct report_stamp *s, uint8_t *out)
{
	if (s->drop_frames)
		out += copy_reduced(r, out);
	else
		out = copy_without_host(r->raw, r->host_at, r->host_len, out);
	put_stamp(s, r->gate_fields, out, STAMP_MAX + 64);
}

bool
report_time_ok(int64_t occurred_us, int64_t now_us)
{
	const int64_t y2000_us = 946684800ll * 1000000, day_us = 86400ll * 1000000;

	return occurred_us == 0 || (occurred_us >= y2000_us && occurred_us <= now_us + day_us);
}

/* ---- heartbeats ---- */

enum {
	H_HOST = 1,
	H_BOOT_ID,
	H_UPTIME,
	H_PRODUCT,
	H_VERSION,
	H_OS,
	H_OS_BUILD,
	H_ARCH,
	H_HW_CLASS,
	H_CONTENT,
	H_GOODBYE,
	H_INTERVAL,
	H_LABELS,
	H_COMPLETE,
	H_HOST_HASH = 40,
	H_SITE,
	H_FLAGS,
	H_RELAY
};

static void
take_heartbeat_field(struct decode *d, const struct wire_field *f, struct heartbeat *out)
{
	switch (f->number) {
	case H_HOST:
		if (out->host_len != 0)
			refuse(d, DISCARD_invalid_host_id, "host given twice");
		out->host = take_bytes(d, f, HOST_ID_MAX, DISCARD_invalid_host_id, "host");
		out->host_at = f->start;
		out->host_len = d->r->pos - f->start;
		break;
	case H_BOOT_ID:
		out->boot_id = take_bytes(d, f, BOOT_ID_MAX, DISCARD_invalid_field, "boot_id");
		break;
	case H_UPTIME:
		out->uptime_s = take_uint(d, f, UINT64_MAX, "uptime_s");
		break;
	case H_PRODUCT:
		out->product = take_text(d, f, TEXT_NAME_MAX, "product");
		break;
	case H_VERSION:
		out->version = take_text(d, f, VERSION_MAX, "version");
		break;
	case H_OS:
		out->os = take_text(d, f, TEXT_NAME_MAX, "os");
		break;
	case H_OS_BUILD:
		out->os_build = take_text(d, f, TEXT_NAME_MAX, "os_build");
		break;
	case H_ARCH:
		out->arch = take_text(d, f, TEXT_NAME_MAX, "arch");
		break;
	case H_HW_CLASS:
		out->hw_class = take_text(d, f, TEXT_NAME_MAX, "hw_class");
		break;
	case H_CONTENT:
		take_pair(d, f, out->content, &out->n_content, "content");
		break;
	case H_GOODBYE:
		out->goodbye = take_uint(d, f, 1, "goodbye") != 0;
		break;
	case H_INTERVAL:
		out->interval_s = (uint32_t)take_uint(d, f, 86400, "interval_s");
		break;
	case H_LABELS:
		take_pair(d, f, out->labels, &out->n_labels, "labels");
		break;
	case H_COMPLETE:
		out->complete = take_uint(d, f, 1, "complete") != 0;
		break;
	case H_HOST_HASH:
		out->host_hash = take_uint(d, f, UINT64_MAX, "host_hash");
		break;
	case H_SITE:
		out->site = take_text(d, f, TEXT_NAME_MAX, "site");
		break;
	case H_FLAGS:
		out->flags = (uint32_t)take_uint(d, f, UINT32_MAX, "flags");
		break;
	case H_RELAY:
		out->relay = (uint32_t)take_uint(d, f, UINT32_MAX, "relay");
		break;
	default:
		break; /* a newer sender's field */
	}
}

enum discard
heartbeat_decode(const void *bytes, size_t len, struct heartbeat *out, struct diag *diag)
{
	struct reader r;
	struct decode d = { &r, DISCARD_none };
	struct wire_field f;

	memset(out, 0, offsetof(struct heartbeat, content));
	reader_init(&r, bytes, len, false);
	if (len > REPORT_MAX_BYTES)
		refuse(&d, DISCARD_invalid_field, "heartbeat over 64 KiB");
	while (wire_next(&r, &f))
		take_heartbeat_field(&d, &f, out);
	out->raw = (struct text){ bytes, len };
	if (!reader_failed(&r) && out->host.len == 0 && out->host_hash == 0)
		refuse(&d, DISCARD_invalid_host_id, "host");
	return verdict(&d, diag);
}

size_t
heartbeat_encode(const struct heartbeat *h, uint8_t *buf, size_t size)
{
	struct wire_out o = { buf, buf + size, false };

	wire_put_bytes(&o, H_HOST, h->host);
	wire_put_bytes(&o, H_BOOT_ID, h->boot_id);
	wire_put_varint(&o, H_UPTIME, h->uptime_s);
	wire_put_bytes(&o, H_PRODUCT, h->product);
	wire_put_bytes(&o, H_VERSION, h->version);
	wire_put_bytes(&o, H_OS, h->os);
	wire_put_bytes(&o, H_OS_BUILD, h->os_build);
	wire_put_bytes(&o, H_ARCH, h->arch);
	wire_put_bytes(&o, H_HW_CLASS, h->hw_class);
	put_pairs(&o, H_CONTENT, h->content, h->n_content);
	wire_put_varint(&o, H_GOODBYE, h->goodbye);
	wire_put_varint(&o, H_INTERVAL, h->interval_s);
	put_pairs(&o, H_LABELS, h->labels, h->n_labels);
	wire_put_varint(&o, H_COMPLETE, h->complete);
	return o.full ? 0 : (size_t)(o.p - buf);
}

static size_t
put_heartbeat_stamp(const struct report_stamp *s, uint8_t *buf, size_t size)
{
	struct wire_out o = { buf, buf + size, false };

	wire_put_fixed64_always(&o, H_HOST_HASH, s->host_hash);
	wire_put_bytes_always(&o, H_SITE, s->site);
	wire_put_varint_always(&o, H_FLAGS, s->flags);
	wire_put_varint_always(&o, H_RELAY, s->relay);
	return (size_t)(o.p - buf);
}

size_t
heartbeat_record_size(const struct heartbeat *h, const struct report_stamp *s)
{
	uint8_t stamp[STAMP_MAX + 64];

	return h->raw.len - h->host_len + put_heartbeat_stamp(s, stamp, sizeof(stamp));
}

void
heartbeat_record_write(const struct heartbeat *h, const struct report_stamp *s, uint8_t *out)
{
	out = copy_without_host(h->raw, h->host_at, h->host_len, out);
	put_heartbeat_stamp(s, out, STAMP_MAX + 64);
}

static uint64_t
mix_text(uint64_t h, struct text t)
{
	return hash64(h, t.at, t.len) + t.len;
}

uint32_t
heartbeat_fingerprint(const struct heartbeat *h, struct text site, uint32_t relay)
{
	uint64_t v = mix_text(h->interval_s | (uint64_t)relay << 32, h->boot_id);

	v = mix_text(v, h->product);
	v = mix_text(v, h->version);
	v = mix_text(v, h->os);
	v = mix_text(v, h->os_build);
	v = mix_text(v, h->arch);
	v = mix_text(v, h->hw_class);
	v = mix_text(v, site);
	for (uint32_t i = 0; i < h->n_content; i++)
		v = mix_text(mix_text(v, h->content[i].name), h->content[i].value);
	for (uint32_t i = 0; i < h->n_labels; i++)
		v = mix_text(mix_text(v + 1, h->labels[i].name), h->labels[i].value);
	return (uint32_t)(v ^ v >> 32);
}
