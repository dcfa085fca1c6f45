/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/hash.h"
#include "base/reader.h"
#include "collector/log/journal_format.h"

#define SEGMENT_MAGIC 0x314e52554f4a4c46ull /* "FLJOURN1" */
#define FRAME_MAGIC   0x31464c46u           /* "FLF1" */
#define HEADER_FIELDS 80u
#define HEADER_CRC_AT 12u
#define FRAME_CRC_AT  28u
#define BATCH_CRC_AT  8u

static uint8_t *
put(uint8_t *p, uint64_t v, unsigned width)
{
	for (unsigned i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> 8 * i);
	return p + width;
}

static uint32_t
header_crc(const uint8_t *bytes)
{
	static const uint8_t zero[4];
	uint32_t crc = crc32c(0, bytes, HEADER_CRC_AT);

	crc = crc32c(crc, zero, sizeof(zero));
	return crc32c(crc, bytes + HEADER_CRC_AT + 4, JOURNAL_HEADER_BYTES - HEADER_CRC_AT - 4);
}

void
segment_header_encode(const struct segment_header *h, uint8_t out[JOURNAL_HEADER_BYTES])
{
	uint8_t *p = out;

	memset(out, 0, JOURNAL_HEADER_BYTES);
	p = put(p, SEGMENT_MAGIC, 8);
	p = put(p, JOURNAL_VERSION, 4);
	p = put(p, 0, 4);
	memcpy(p, h->id.uuid, sizeof(h->id.uuid));
	p = put(p + sizeof(h->id.uuid), h->size, 8);
	p = put(p, h->first, 8);
	p = put(p, h->prev_first, 8);
	p = put(p, h->prev_used, 8);
	p = put(p, h->prev_end, 8);
	put(p, (uint64_t)h->created_us, 8);
	put(out + HEADER_CRC_AT, header_crc(out), 4);
}

enum err
segment_header_decode(const uint8_t in[JOURNAL_HEADER_BYTES], struct segment_header *out)
{
	struct segment_header h;
	const uint8_t *uuid;
	uint32_t version, crc;
	uint64_t magic;
	struct reader r;

	reader_init(&r, in, HEADER_FIELDS, false);
	magic = reader_u64(&r);
	version = reader_u32(&r);
	crc = reader_u32(&r);
	uuid = reader_bytes(&r, sizeof(h.id.uuid));
	h.size = reader_u64(&r);
	h.first = reader_u64(&r);
	h.prev_first = reader_u64(&r);
	h.prev_used = reader_u64(&r);
	h.prev_end = reader_u64(&r);
	h.created_us = (int64_t)reader_u64(&r);
	if (reader_failed(&r) || magic != SEGMENT_MAGIC)
		return ERR_MALFORMED;
	if (version != JOURNAL_VERSION)
		return ERR_UNSUPPORTED;
	if (crc != header_crc(in) || h.first % LOG_POS_STEP != 0 || h.first < LOG_POS_FIRST || h.prev_end > h.first ||
	    h.prev_end % LOG_POS_STEP != 0 || h.size % 8 != 0 || h.size > JOURNAL_SEGMENT_MAX ||
	    h.size < JOURNAL_HEADER_BYTES + FRAME_MAX_BYTES)
		return ERR_MALFORMED;
	memcpy(h.id.uuid, uuid, sizeof(h.id.uuid));
	*out = h;
	return ERR_OK;
}

uint32_t
frame_seed(const struct log_id *id, uint64_t segment_first)
{
	uint8_t le[8];

	put(le, segment_first, 8);
	return crc32c(crc32c(0, id->uuid, sizeof(id->uuid)), le, sizeof(le));
}

void
frame_encode(uint32_t seed, uint64_t pos, uint64_t durable, const uint8_t *batch, uint32_t batch_len, uint8_t *out)
{
	const uint64_t size = frame_size(batch_len);
	uint8_t *p = out;

	p = put(p, FRAME_MAGIC, 4);
	p = put(p, batch_len, 4);
	p = put(p, pos, 8);
	p = put(p, durable, 8);
	memcpy(p, batch + BATCH_CRC_AT, 4);
	put(out + FRAME_CRC_AT, crc32c(seed, out, FRAME_CRC_AT), 4);
	memcpy(out + FRAME_HEADER_BYTES, batch, batch_len);
	memset(out + FRAME_HEADER_BYTES + batch_len, 0, size - FRAME_HEADER_BYTES - batch_len);
}

bool
frame_decode(uint32_t seed, const uint8_t in[FRAME_HEADER_BYTES], struct frame *out)
{
	uint32_t magic, crc;
	struct reader r;
	struct frame f;

	reader_init(&r, in, FRAME_HEADER_BYTES, false);
	magic = reader_u32(&r);
	if (magic != FRAME_MAGIC)
		return false;
	f.batch_len = reader_u32(&r);
	f.pos = reader_u64(&r);
	f.durable = reader_u64(&r);
	f.batch_crc = reader_u32(&r);
	crc = reader_u32(&r);
	if (reader_failed(&r) || crc != crc32c(seed, in, FRAME_CRC_AT) || f.batch_len < BATCH_HEADER ||
	    f.batch_len > BATCH_MAX_BYTES || f.pos % LOG_POS_STEP != 0 || f.durable > f.pos)
		return false;
	*out = f;
	return true;
}

bool
frame_batch(const struct frame *f, const uint8_t *batch, struct batch_view *out)
{
	uint8_t crc[4];

	put(crc, f->batch_crc, 4);
	if (memcmp(crc, batch + BATCH_CRC_AT, 4) != 0 || batch_open(batch, f->batch_len, out) != ERR_OK ||
	    out->len != f->batch_len)
		return false;
	out->first = f->pos;
	out->next = f->pos + LOG_POS_STEP;
	return true;
}

uint64_t
frame_find(uint32_t seed, const uint8_t *bytes, uint64_t size, uint64_t at, struct frame *out)
{
	for (at = (at + 7) & ~(uint64_t)7; at < size && size - at >= FRAME_HEADER_BYTES; at += 8)
		if (bytes[at] == (FRAME_MAGIC & 0xff) && frame_decode(seed, bytes + at, out))
			return at;
	return size;
}

/* Offset behind the last byte of [from, size) that is not zero; from if there is none. */
static uint64_t
nonzero_end(const uint8_t *bytes, uint64_t from, uint64_t size)
{
	static const uint8_t zero[4096];

	while (size - from >= sizeof(zero) && memcmp(bytes + size - sizeof(zero), zero, sizeof(zero)) == 0)
		size -= sizeof(zero);
	while (size > from && bytes[size - 1] == 0)
		size--;
	return size;
}

void
segment_scan(const struct segment_header *h, const uint8_t *bytes, size_t size, struct segment_scan *out)
{
	const uint32_t seed = frame_seed(&h->id, h->first);
	struct segment_scan s = { .used = JOURNAL_HEADER_BYTES, .end = h->prev_end, .group = JOURNAL_HEADER_BYTES };
	uint64_t group_durable = 0;
	struct batch_view b;
	struct frame f;

	*out = s;
	if (size < JOURNAL_HEADER_BYTES)
		return;
	while (size - s.used >= FRAME_HEADER_BYTES && frame_decode(seed, bytes + s.used, &f) &&
	       frame_size(f.batch_len) <= size - s.used && f.pos >= (s.batches == 0 ? h->first : s.end) &&
	       frame_batch(&f, bytes + s.used + FRAME_HEADER_BYTES, &b)) {
		if (s.batches == 0 || f.durable != group_durable)
			s.group = s.used;
		group_durable = f.durable;
		s.used += frame_size(f.batch_len);
		s.end = f.pos + LOG_POS_STEP;
		s.batches++;
	}
	s.junk_end = nonzero_end(bytes, s.used, size);
	for (uint64_t at = s.used; (at = frame_find(seed, bytes, s.junk_end, at, &f)) < s.junk_end; at += 8)
		if (f.durable > s.lost_below)
			s.lost_below = f.durable;
	*out = s;
}
