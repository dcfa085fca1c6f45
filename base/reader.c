/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/reader.h"

void
reader_init(struct reader *r, const void *buf, size_t size, bool big_endian)
{
	*r = (struct reader){ .base = buf, .size = size, .big_endian = big_endian };
}

enum err
reader_fail(struct reader *r, enum err code, const char *what)
{
	if (r->err.code == ERR_OK)
		r->err = (struct diag){ code, what, r->origin + r->pos };
	return r->err.code;
}

struct reader
reader_sub(struct reader *parent, uint64_t off, uint64_t len)
{
	struct reader child = { .big_endian = parent->big_endian };

	if (!reader_failed(parent) && (off > parent->size || len > parent->size - off))
		reader_fail(parent, ERR_TRUNCATED, "range outside input");
	if (reader_failed(parent)) {
		child.err = parent->err;
		return child;
	}
	child.base = parent->base + (size_t)off;
	child.size = (size_t)len;
	child.origin = parent->origin + off;
	return child;
}

const uint8_t *
reader_bytes(struct reader *r, uint64_t n)
{
	const uint8_t *p;

	if (reader_failed(r))
		return NULL;
	if (n > r->size - r->pos) {
		reader_fail(r, ERR_TRUNCATED, "unexpected end of input");
		return NULL;
	}
	p = r->base + r->pos;
	r->pos += (size_t)n;
	return p;
}

void
reader_skip(struct reader *r, uint64_t n)
{
	(void)reader_bytes(r, n);
}

static uint64_t
read_uint(struct reader *r, unsigned width)
{
	const uint8_t *p = reader_bytes(r, width);
	uint64_t v = 0;

	if (p == NULL)
		return 0;
	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t)p[i] << 8 * (r->big_endian ? width - 1 - i : i);
	return v;
}

uint8_t
reader_u8(struct reader *r)
{
	return (uint8_t)read_uint(r, 1);
}
uint16_t
reader_u16(struct reader *r)
{
	return (uint16_t)read_uint(r, 2);
}
uint32_t
reader_u32(struct reader *r)
{
	return (uint32_t)read_uint(r, 4);
}
uint64_t
reader_u64(struct reader *r)
{
	return read_uint(r, 8);
}

size_t
reader_count(struct reader *r, uint64_t n, size_t elem, size_t limit)
{
	if (reader_failed(r))
		return 0;
	if (n > limit) {
		reader_fail(r, ERR_LIMIT, "too many elements");
		return 0;
	}
	if (elem != 0 && n > (r->size - r->pos) / elem) {
		reader_fail(r, ERR_TRUNCATED, "element count exceeds input");
		return 0;
	}
	return (size_t)n;
}
