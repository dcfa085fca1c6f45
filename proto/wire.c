/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <endian.h>
#include <string.h>

#include "proto/wire.h"

uint64_t
wire_varint(struct reader *r)
{
	const uint8_t *p = r->base + r->pos;
	size_t left = r->size - r->pos;
	uint64_t v = 0;

	if (reader_failed(r))
		return 0;
	if (left > 0 && p[0] < 0x80) { /* tags and most lengths */
		r->pos++;
		return p[0];
	}
	for (unsigned i = 0; i < 10; i++) {
		if (i >= left) {
			reader_fail(r, ERR_TRUNCATED, "varint ends early");
			return 0;
		}
		v |= (uint64_t)(p[i] & 0x7f) << 7 * i;
		if (p[i] < 0x80) {
			if (i == 9 && p[i] > 1)
				break;
			r->pos += i + 1;
			return v;
		}
	}
	reader_fail(r, ERR_MALFORMED, "varint over 64 bits");
	return 0;
}

/* Little endian whatever the reader's order. */
static uint64_t
fixed64(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 8);
	uint64_t v;

	if (p == NULL)
		return 0;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

bool
wire_next_slow(struct reader *r, struct wire_field *f)
{
	uint64_t tag;

	if (reader_failed(r) || r->pos >= r->size)
		return false;
	f->start = r->pos;
	tag = wire_varint(r);
	f->number = (uint32_t)(tag >> 3);
	f->type = (enum wire_type)(tag & 7);
	f->bytes = (struct text){ NULL, 0 };
	f->value = 0;
	if (!reader_failed(r) && (f->number == 0 || tag >> 3 > 0x1fffffff))
		reader_fail(r, ERR_MALFORMED, "field number out of range");
	switch (f->type) {
	case WIRE_VARINT:
		f->value = wire_varint(r);
		break;
	case WIRE_FIXED64:
		f->value = fixed64(r);
		break;
	case WIRE_FIXED32:
		f->value = reader_u32(r);
		break;
	case WIRE_BYTES:
		f->bytes.len = wire_varint(r);
		f->bytes.at = (const char *)reader_bytes(r, f->bytes.len);
		break;
	default:
		reader_fail(r, ERR_MALFORMED, "unknown wire type");
	}
	return !reader_failed(r);
}

size_t
wire_varint_size(uint64_t v)
{
	size_t n = 1;

	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

void
wire_put_raw_varint(struct wire_out *o, uint64_t v)
{
	if (v < 0x80 && o->p < o->end) {
		*o->p++ = (uint8_t)v;
		return;
	}
	if ((size_t)(o->end - o->p) < 10 && (size_t)(o->end - o->p) < wire_varint_size(v)) {
		o->full = true;
		return;
	}
	for (; v >= 0x80; v >>= 7)
		*o->p++ = (uint8_t)(v | 0x80);
	*o->p++ = (uint8_t)v;
}

void
wire_put_varint_always(struct wire_out *o, uint32_t field, uint64_t v)
{
	wire_put_raw_varint(o, (uint64_t)field << 3 | WIRE_VARINT);
	wire_put_raw_varint(o, v);
}

void
wire_put_varint(struct wire_out *o, uint32_t field, uint64_t v)
{
	if (v != 0)
		wire_put_varint_always(o, field, v);
}

void
wire_put_fixed64_always(struct wire_out *o, uint32_t field, uint64_t v)
{
	wire_put_raw_varint(o, (uint64_t)field << 3 | WIRE_FIXED64);
	if (o->end - o->p < 8) {
		o->full = true;
		return;
	}
	v = htole64(v);
	memcpy(o->p, &v, 8);
	o->p += 8;
}

void
wire_put_fixed64(struct wire_out *o, uint32_t field, uint64_t v)
{
	if (v != 0)
		wire_put_fixed64_always(o, field, v);
}

void
wire_put_bytes_always(struct wire_out *o, uint32_t field, struct text t)
{
	wire_put_raw_varint(o, (uint64_t)field << 3 | WIRE_BYTES);
	wire_put_raw_varint(o, t.len);
	if ((size_t)(o->end - o->p) < t.len) {
		o->full = true;
		return;
	}
	if (t.len > 0)
		memcpy(o->p, t.at, t.len);
	o->p += t.len;
}

void
wire_put_bytes(struct wire_out *o, uint32_t field, struct text t)
{
	if (t.len > 0)
		wire_put_bytes_always(o, field, t);
}
