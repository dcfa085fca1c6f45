/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LOG_JOURNAL_FORMAT_H
#define COLLECTOR_LOG_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/log/log.h"

/* The bytes of a journal segment, little endian.  Pure: no I/O; safe on hostile input.
 *
 *	header, JOURNAL_HEADER_BYTES, zero behind the fields:
 *	    u64 magic "FLJOURN1"   u32 version   u32 crc32c of the header with this field zero
 *	    u8[16] journal uuid    u64 segment bytes
 *	    u64 first: position of its first batch, also its file name
 *	    u64 previous segment's first (0: none), used bytes and end
 *	    i64 created (us, UTC)
 *	then frames, each at a multiple of 8 and zero-padded to one:
 *	    u32 magic "FLF1"       u32 length of the batch
 *	    u64 position           u64 durable: end of the log when this frame was written;
 *	                           everything below it had been synced
 *	    u32 the batch's crc    u32 crc32c of these fields and of the segment's identity
 *	    the batch (proto/batch.h)
 *	then zeros, or what a recycled file held before.
 *
 * The CRC of a frame is seeded with the journal's uuid and the segment's first position,
 * which no two segments share: what a recycled file held before can never pass for a
 * batch of the new segment, zeroed or not.
 *
 * `durable` tells an interrupted write from damage.  Batches written together may reach
 * the disk in any order, so a good frame behind a bad one proves nothing, unless the good
 * one says that everything below it, the bad one included, had been synced. */
#define JOURNAL_HEADER_BYTES 4096u
#define JOURNAL_VERSION      1u
#define FRAME_HEADER_BYTES   32u
#define FRAME_MAX_BYTES      (FRAME_HEADER_BYTES + BATCH_MAX_BYTES)
#define JOURNAL_SEGMENT_MAX  (1024u * 1024 * 1024)
#define LOG_POS_STEP         0x10000u /* from a batch to the first position behind it */
#define LOG_POS_FIRST        LOG_POS_STEP

struct segment_header {
	struct log_id id;
	uint64_t size;
	uint64_t first;
	uint64_t prev_first, prev_used, prev_end;
	int64_t created_us;
};

void segment_header_encode(const struct segment_header *h, uint8_t out[JOURNAL_HEADER_BYTES]);

/* ERR_UNSUPPORTED: a later version; ERR_MALFORMED: no header, or damaged. */
enum err segment_header_decode(const uint8_t in[JOURNAL_HEADER_BYTES], struct segment_header *out);

struct frame {
	uint64_t pos, durable;
	uint32_t batch_len, batch_crc;
};

/* Bytes that a batch takes in a segment. */
static inline uint64_t
frame_size(uint32_t batch_len)
{
	return (FRAME_HEADER_BYTES + (uint64_t)batch_len + 7) & ~(uint64_t)7;
}

/* The seed of the frames of a segment. */
uint32_t frame_seed(const struct log_id *id, uint64_t segment_first);

/* Write header, batch and padding: frame_size(batch_len) bytes. */
void frame_encode(uint32_t seed, uint64_t pos, uint64_t durable, const uint8_t *batch, uint32_t batch_len,
		  uint8_t *out);

/* Decode the header of a frame; false if these are none of this segment's. */
bool frame_decode(uint32_t seed, const uint8_t in[FRAME_HEADER_BYTES], struct frame *out);

/* Check the batch behind a decoded header, which must be there whole, and open it:
 * positions set, borrowed.  False if damaged. */
bool frame_batch(const struct frame *f, const uint8_t *batch, struct batch_view *out);

/* What a segment holds. */
struct segment_scan {
	uint64_t used;  /* offset behind the last whole frame */
	uint64_t end;   /* position behind it; the header's prev_end if there is none */
	uint64_t group; /* offset of the first frame that was not yet synced when the last one
				 * was written: [group, used) may be in the page cache alone */
	uint64_t batches;
	uint64_t junk_end;   /* offset behind the last byte that is not zero; == used when clean */
	uint64_t lost_below; /* if > end: batches of [end, lost_below) were synced and are damaged */
};
void segment_scan(const struct segment_header *h, const uint8_t *bytes, size_t size, struct segment_scan *out);

/* The first offset >= at, < size, multiple of 8, where a frame header stands; size if none. */
uint64_t frame_find(uint32_t seed, const uint8_t *bytes, uint64_t size, uint64_t at, struct frame *out);

#endif
