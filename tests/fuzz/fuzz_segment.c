/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what lies in a log segment behind its header.  The input is a script: each
 * step writes a frame of this segment, of another one, damage or the input's own bytes, at
 * an offset near the last one; what the scan says must hold for what was written. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "collector/log/journal_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEGMENT (JOURNAL_HEADER_BYTES + 65536u)

static struct batch_writer w;

struct script {
	const uint8_t *data;
	size_t left;
};

static unsigned
take(struct script *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->data++;
}

static uint32_t
frame(uint8_t *out, uint32_t seed, uint64_t pos, uint64_t durable, unsigned payload)
{
	uint8_t *p;

	if (w.bytes == NULL && batch_writer_init(&w) == -1)
		abort();
	batch_writer_reset(&w);
	if ((p = batch_writer_add(&w, RECORD_REPORT, 0, 0, payload)) == NULL)
		abort();
	memset(p, (int)payload, payload);
	batch_writer_finish(&w, 1, pos, 0);
	frame_encode(seed, pos, durable, w.bytes, w.len, out);
	return (uint32_t)frame_size(w.len);
}

static void
check(const struct segment_header *h, const uint8_t *bytes)
{
	const uint32_t seed = frame_seed(&h->id, h->first);
	struct segment_scan s;
	uint64_t at = JOURNAL_HEADER_BYTES, n = 0, end = h->prev_end;
	struct batch_view b;
	struct frame f;

	segment_scan(h, bytes, SEGMENT, &s);
	if (s.used > SEGMENT || s.group > s.used || s.junk_end < s.used || s.junk_end > SEGMENT)
		abort();
	while (at < s.used) {
		if (!frame_decode(seed, bytes + at, &f) || !frame_batch(&f, bytes + at + FRAME_HEADER_BYTES, &b) ||
		    b.first < end || b.first < h->first)
			abort();
		end = b.next;
		at += frame_size(f.batch_len);
		n++;
	}
	if (at != s.used || n != s.batches || end != s.end)
		abort();
	for (at = s.junk_end; at < SEGMENT; at++)
		if (bytes[at] != 0)
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct segment_header h = { .size = 1 << 20, .first = 5 * LOG_POS_STEP, .prev_end = 4 * LOG_POS_STEP }, got;
	struct script s = { data, size };
	uint8_t *bytes = calloc(1, SEGMENT), header[JOURNAL_HEADER_BYTES] = { 0 };
	uint64_t at = JOURNAL_HEADER_BYTES, pos = h.first;

	memcpy(header, data, size < sizeof(header) ? size : sizeof(header));
	if (segment_header_decode(header, &got) == ERR_OK && got.first < LOG_POS_FIRST)
		abort();
	segment_header_encode(&h, bytes);
	if (segment_header_decode(bytes, &got) != ERR_OK || got.first != h.first || got.prev_end != h.prev_end)
		abort();
	while (s.left > 0) {
		const unsigned op = take(&s), arg = take(&s);
		const uint32_t seed = frame_seed(&h.id, op & 8 ? h.first + LOG_POS_STEP : h.first);

		if (at > SEGMENT - 512)
			at = JOURNAL_HEADER_BYTES;
		switch (op & 7) {
		case 0:
		case 1:
		case 2: /* the next batch */
			at += frame(bytes + at, seed, pos, pos - (op >> 4) * LOG_POS_STEP, arg);
			pos += LOG_POS_STEP;
			break;
		case 3: /* a hole */
			at += arg & ~7u;
			break;
		case 4: /* positions go elsewhere */
			pos = (uint64_t)(arg + 1) * LOG_POS_STEP;
			break;
		case 5: /* damage */
			bytes[JOURNAL_HEADER_BYTES + (arg << 4 | op >> 4)] ^= (uint8_t)(1 + take(&s));
			break;
		case 6: /* raw bytes */
			for (unsigned i = 0; i < 40; i++)
				bytes[at + i] = (uint8_t)take(&s);
			break;
		case 7: /* back */
			at = JOURNAL_HEADER_BYTES + (arg << 3);
			break;
		}
	}
	check(&h, bytes);
	free(bytes);
	return 0;
}
