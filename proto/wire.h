/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/reader.h"
#include "base/text.h"

/* Protocol Buffers wire format, field by field, without allocation: for the records
 * that come by the million.  Rare messages go through protobuf-c and an arena. */

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
	uint32_t number;
	enum wire_type type;
	uint64_t value;    /* VARINT, FIXED64, FIXED32 */
	struct text bytes; /* BYTES; borrowed */
	size_t start;      /* offset of the tag in the message */
};

/* What wire_next() does when the field is not of the common short form. */
bool wire_next_slow(struct reader *r, struct wire_field *f);

/* The next field, or false at the end or on failure (then reader_failed(r)).  Groups are refused. */
static inline bool
wire_next(struct reader *r, struct wire_field *f)
{
	size_t left = r->size - r->pos;
	const uint8_t *p;

	if (left == 0 || reader_failed(r))
		return false;
	p = r->base + r->pos;
	/* One byte of tag and one of value or length: nearly every field of a report. */
	if (left < 2 || p[0] >= 0x80 || p[0] < 8 || p[1] >= 0x80)
		return wire_next_slow(r, f);
	f->start = r->pos;
	f->number = p[0] >> 3;
	f->type = (enum wire_type)(p[0] & 7);
	f->value = 0;
	f->bytes = (struct text){ NULL, 0 };
	if (f->type == WIRE_BYTES && p[1] <= left - 2) {
		f->bytes = (struct text){ (const char *)p + 2, p[1] };
		r->pos += 2 + (size_t)p[1];
		return true;
	}
	if (f->type != WIRE_VARINT)
		return wire_next_slow(r, f);
	f->value = p[1];
	r->pos += 2;
	return true;
}

/* One varint, as inside packed fields. */
uint64_t wire_varint(struct reader *r);

/* Append to [p, end).  Overflow sticks: p stays, full is set. */
struct wire_out {
	uint8_t *p, *end;
	bool full;
};
void wire_put_varint(struct wire_out *o, uint32_t field, uint64_t v);   /* v = 0 is left out */
void wire_put_fixed64(struct wire_out *o, uint32_t field, uint64_t v);  /* v = 0 is left out */
void wire_put_bytes(struct wire_out *o, uint32_t field, struct text t); /* empty is left out */
void wire_put_fixed64_always(struct wire_out *o, uint32_t field, uint64_t v);
void wire_put_varint_always(struct wire_out *o, uint32_t field, uint64_t v);
void wire_put_bytes_always(struct wire_out *o, uint32_t field, struct text t);
void wire_put_raw_varint(struct wire_out *o, uint64_t v); /* no tag */

size_t wire_varint_size(uint64_t v);

#endif
