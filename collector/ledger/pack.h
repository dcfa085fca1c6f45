/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_PACK_H
#define COLLECTOR_LEDGER_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/reader.h"
#include "base/text.h"

/* The bytes of a chunk: little endian, varints as in protobuf.  Read back with
 * base/reader.h and wire_varint(). */
struct pack {
	uint8_t *p;
	size_t n, cap;
};

void pack_free(struct pack *k);
void pack_grow(struct pack *k, size_t n);

/* Room for n more bytes behind p + n. */
static inline void
pack_reserve(struct pack *k, size_t n)
{
	if (k->cap - k->n < n)
		pack_grow(k, n);
}

/* n more bytes, already counted */
static inline uint8_t *
pack_room(struct pack *k, size_t n)
{
	pack_reserve(k, n);
	k->n += n;
	return k->p + k->n - n;
}

void pack_u8(struct pack *k, uint8_t v);
void pack_u16(struct pack *k, uint16_t v);
void pack_u32(struct pack *k, uint32_t v);
void pack_u64(struct pack *k, uint64_t v);
void pack_varint(struct pack *k, uint64_t v);
void pack_text(struct pack *k, struct text t); /* varint length, bytes */

/* A text written by pack_text(), borrowed; fails the reader above max. */
struct text unpack_text(struct reader *r, size_t max);
/* A varint that fits 32 bits; fails the reader when it does not. */
uint32_t unpack_u32(struct reader *r);

#endif
