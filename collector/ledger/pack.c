/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/mem.h"
#include "collector/ledger/pack.h"
#include "proto/wire.h"

void
pack_grow(struct pack *k, size_t n)
{
	size_t cap = k->cap * 2 > k->n + n ? k->cap * 2 : k->n + n + 4096;

	k->p = mem_grow(k->p, k->cap, cap, 1);
	k->cap = cap;
}

void
pack_free(struct pack *k)
{
	free(k->p);
	*k = (struct pack){ 0 };
}

static void
put(struct pack *k, uint64_t v, unsigned width)
{
	uint8_t *p = pack_room(k, width);

	for (unsigned i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

void
pack_u8(struct pack *k, uint8_t v)
{
	put(k, v, 1);
}

void
pack_u16(struct pack *k, uint16_t v)
{
	put(k, v, 2);
}

void
pack_u32(struct pack *k, uint32_t v)
{
	put(k, v, 4);
}

void
pack_u64(struct pack *k, uint64_t v)
{
	put(k, v, 8);
}

void
pack_varint(struct pack *k, uint64_t v)
{
	uint8_t *p;

	pack_reserve(k, 10);
	for (p = k->p + k->n; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	k->n = (size_t)(p - k->p);
}

void
pack_text(struct pack *k, struct text t)
{
	pack_varint(k, t.len);
	if (t.len > 0)
		memcpy(pack_room(k, t.len), t.at, t.len);
}

struct text
unpack_text(struct reader *r, size_t max)
{
	uint64_t len = wire_varint(r);
	struct text t = { NULL, 0 };

	if (len > max)
		reader_fail(r, ERR_MALFORMED, "text too long in a snapshot");
	else if ((t.at = (const char *)reader_bytes(r, len)) != NULL)
		t.len = len;
	return t;
}

uint32_t
unpack_u32(struct reader *r)
{
	uint64_t v = wire_varint(r);

	if (v > UINT32_MAX) {
		reader_fail(r, ERR_MALFORMED, "number too large in a snapshot");
		return 0;
	}
	return (uint32_t)v;
}
