/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/reader.h"
#include "proto/batch.h"

static void
put(uint8_t *p, uint64_t v, unsigned width)
{
	for (unsigned i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- writing ---- */

int
batch_writer_init(struct batch_writer *w)
{
	w->bytes = malloc(BATCH_MAX_BYTES);
	batch_writer_reset(w);
	return w->bytes != NULL ? 0 : -1;
}

void
batch_writer_fini(struct batch_writer *w)
{
	free(w->bytes);
	w->bytes = NULL;
}

void
batch_writer_reset(struct batch_writer *w)
{
	w->len = BATCH_HEADER;
	w->n = 0;
}

bool
batch_writer_fits(const struct batch_writer *w, size_t payload_len)
{
	return payload_len <= RECORD_MAX_BYTES - RECORD_HEADER && w->n < BATCH_MAX_RECORDS &&
	       payload_len + RECORD_HEADER <= BATCH_MAX_BYTES - w->len;
}

uint8_t *
batch_writer_add(struct batch_writer *w, enum record_type type, uint16_t tenant, int64_t received_us,
		 size_t payload_len)
{
	uint8_t *p = w->bytes + w->len;

	if (!batch_writer_fits(w, payload_len))
		return NULL;
	put(p, RECORD_HEADER + payload_len, 4);
	put(p + 8, (uint64_t)type, 2);
	p[10] = 1;
	p[11] = 0;
	put(p + 12, (uint64_t)received_us, 8);
	put(p + 20, tenant, 2);
	w->len += (uint32_t)(RECORD_HEADER + payload_len);
	w->n++;
	return p + RECORD_HEADER;
}

void
batch_writer_finish(struct batch_writer *w, uint64_t producer, uint64_t number, uint32_t epoch)
{
	uint8_t *b = w->bytes;

	for (uint32_t at = BATCH_HEADER; at < w->len;) {
		uint32_t len = get32(b + at);

		put(b + at + 4, crc32c(0, b + at + 8, len - 8), 4);
		at += len;
	}
	put(b, BATCH_MAGIC, 4);
	put(b + 4, w->len, 4);
	put(b + 12, w->n, 4);
	put(b + 16, producer, 8);
	put(b + 24, number, 8);
	put(b + 32, epoch, 4);
	put(b + 36, 0, 4);
	put(b + 8, crc32c(0, b + 12, w->len - 12), 4);
}

/* ---- reading ---- */

enum err
batch_open(const void *bytes, size_t size, struct batch_view *out)
{
	struct reader r;
	uint32_t magic, len, crc, n, epoch;
	uint64_t producer, number;

	reader_init(&r, bytes, size, false);
	magic = reader_u32(&r);
	len = reader_u32(&r);
	crc = reader_u32(&r);
	n = reader_u32(&r);
	producer = reader_u64(&r);
	number = reader_u64(&r);
	epoch = reader_u32(&r);
	if (reader_failed(&r))
		return r.err.code;
	if (magic != BATCH_MAGIC || len < BATCH_HEADER || len > BATCH_MAX_BYTES || n > BATCH_MAX_RECORDS ||
	    (uint64_t)n * RECORD_HEADER > len - BATCH_HEADER)
		return ERR_MALFORMED;
	if (len > size)
		return ERR_TRUNCATED;
	if (crc32c(0, (const uint8_t *)bytes + 12, len - 12) != crc)
		return ERR_MALFORMED;
	*out = (struct batch_view){
		.producer = producer, .number = number, .epoch = epoch, .n = n, .bytes = bytes, .len = len
	};
	return ERR_OK;
}

bool
batch_next(const struct batch_view *b, uint32_t *cursor, struct record_view *out, struct diag *diag_out)
{
	uint32_t at = *cursor == 0 ? BATCH_HEADER : *cursor, len;
	const uint32_t seen = *cursor == 0 ? 0 : out->index + 1;
	struct reader r;

	if (diag_out != NULL)
		*diag_out = (struct diag){ ERR_OK, "", 0 };
	if (at >= b->len || seen >= b->n) {
		if (diag_out != NULL && (at < b->len || seen != b->n))
			*diag_out = (struct diag){ ERR_MALFORMED, "a batch has not as many records as it says", at };
		return false;
	}
	reader_init(&r, b->bytes + at, b->len - at, false);
	len = reader_u32(&r);
	reader_skip(&r, 4); /* the batch's CRC covers the record's */
	out->index = seen;
	out->type = (enum record_type)reader_u16(&r);
	out->version = reader_u8(&r);
	out->flags = reader_u8(&r);
	out->received_us = (int64_t)reader_u64(&r);
	out->tenant = reader_u16(&r);
	if (!reader_failed(&r) && len < RECORD_HEADER)
		reader_fail(&r, ERR_MALFORMED, "record shorter than its header");
	out->payload_len = len - RECORD_HEADER;
	out->payload = reader_bytes(&r, out->payload_len);
	if (reader_failed(&r)) {
		if (diag_out != NULL)
			*diag_out = r.err;
		return false;
	}
	out->pos = batch_record_pos(b->first, out->index);
	*cursor = at + len;
	return true;
}
