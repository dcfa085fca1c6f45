/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_BATCH_H
#define PROTO_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"

/* A batch: the unit of the log.  Atomic, at most BATCH_MAX_BYTES and
 * BATCH_MAX_RECORDS; the same bytes in every log engine, and so its own CRC.
 *
 * Bytes, little endian:
 *	u32 magic "FLB1"   u32 length of the whole batch   u32 crc32c of everything after this field
 *	u32 n records      u64 producer   u64 number       u32 epoch   u32 zero
 * then n records:
 *	u32 length of the whole record   u32 crc32c of everything after this field
 *	u16 type   u8 version   u8 flags   i64 received (us, UTC)   u16 tenant   payload
 *
 * The CRC of a record lets a reader quote one record alone; the CRC of the batch is
 * what decides whether a torn write counts. */
#define BATCH_MAGIC       0x31424c46u
#define BATCH_HEADER      40u
#define BATCH_MAX_BYTES   (512u * 1024)
#define BATCH_MAX_RECORDS 65535u
#define RECORD_HEADER     22u
#define RECORD_MAX_BYTES  (256u * 1024)

#define RECORD_FLAG_REFUSE 1u /* a reader that does not know the type must refuse to start */

/* Record types; stored, append only.  Payloads: proto/payload.h. */
enum record_type {
	RECORD_SEED = 1,     /* first record of a log */
	RECORD_SETTINGS = 2, /* the full set, at start and at reload */
	RECORD_TICK = 3,
	RECORD_GAP = 4,
	RECORD_LEDGER_VERSION = 5,
	RECORD_LEADER = 6,
	RECORD_REPORT = 16,
	RECORD_HEARTBEAT = 17, /* a host new to us, or whose boot id or versions changed, or goodbye */
	RECORD_PRESENCE = 18,  /* the host numbers heard in one second */
	RECORD_DUMP_STORED = 19,
	RECORD_TRIAGE_RESULT = 20,
	RECORD_DEPLOYMENT = 32, /* create or change */
	RECORD_RECEIPT = 33,
	RECORD_DECISION = 34,       /* halt, pause, resume, delete: the latch */
	RECORD_SAFEGUARD = 35,      /* where a deployment must not be offered, by a person */
	RECORD_SIGNATURE_NOTE = 36, /* advice for a signature, or a merge: shown and told, never counted */
};

/* ---- writing ---- */

/* Builds one batch in memory it owns.  Single-threaded. */
struct batch_writer {
	uint8_t *bytes; /* BATCH_MAX_BYTES */
	uint32_t len;
	uint32_t n;
};
int batch_writer_init(struct batch_writer *w); /* -1: out of memory */
void batch_writer_fini(struct batch_writer *w);
void batch_writer_reset(struct batch_writer *w);

/* True if a record with that payload still fits. */
bool batch_writer_fits(const struct batch_writer *w, size_t payload_len);

/* Start a record and return where its payload of exactly payload_len bytes goes;
 * NULL if it does not fit (nothing is changed then).  The CRC is filled in by
 * batch_writer_finish(). */
uint8_t *batch_writer_add(struct batch_writer *w, enum record_type type, uint16_t tenant, int64_t received_us,
			  size_t payload_len);

/* Fill in header and CRCs; the batch is then w->bytes[0 .. w->len). */
void batch_writer_finish(struct batch_writer *w, uint64_t producer, uint64_t number, uint32_t epoch);

/* ---- reading ---- */

/* Views borrow the bytes. */
struct batch_view {
	uint64_t first; /* position of the batch, as the log gave it; 0 in a bare batch */
	uint64_t next;  /* position to read on from */
	uint64_t producer, number;
	uint32_t epoch;
	uint32_t n;
	const uint8_t *bytes;
	uint32_t len;
};

struct record_view {
	uint64_t pos;          /* unique; orders the log */
	enum record_type type; /* may be a value this binary does not know */
	uint8_t version, flags;
	uint16_t tenant;
	int64_t received_us;
	const uint8_t *payload;
	uint32_t payload_len;
	uint32_t index; /* in the batch */
};

/* Check magic, length, CRC and fill *out (positions stay 0).  bytes may be longer
 * than the batch.  ERR_TRUNCATED if it is not whole, ERR_MALFORMED if it is damaged. */
enum err batch_open(const void *bytes, size_t size, struct batch_view *out);

/* Iterate: cursor starts at 0, *out is kept from call to call.  Never more than b->n
 * records.  False at the end or at a damaged record (then *diag_out, if given, is set;
 * else its code is ERR_OK). */
bool batch_next(const struct batch_view *b, uint32_t *cursor, struct record_view *out, struct diag *diag_out);

/* Position of record `index` of the batch that the log placed at `first`. */
static inline uint64_t
batch_record_pos(uint64_t first, uint32_t index)
{
	return first + index; /* a log position is sequence << 16 | 0; see collector/log/log.h */
}
static inline uint64_t
batch_of_record(uint64_t pos)
{
	return pos & ~(uint64_t)0xffff;
}

#endif
