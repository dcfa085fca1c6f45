/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_REPORT_H
#define PROTO_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/diag.h"
#include "base/signature.h" /* MODULE_ID_MAX */
#include "base/text.h"

/* A crash report (faultline.Report), flat: views into the bytes it was decoded from.
 *
 * Decoding validates: every text is UTF-8 and within its limit, every count within its
 * own, so nothing downstream checks again. */
#define HOST_ID_MAX       64u
#define BOOT_ID_MAX       64u
#define MODULE_MAX        1024u /* as sent: a path */
#define VERSION_MAX       64u
#define REASON_MAX        128u
#define TEXT_NAME_MAX     128u /* product, os, os_build, arch, hw_class, site, label and content names */
#define VALUE_MAX         256u /* label and content values */
#define FUNCTION_MAX      512u
#define REPORT_MAX_PARAMS 4u
#define REPORT_MAX_PAIRS  16u /* labels, and content, each */
#define REPORT_MAX_FRAMES 64u
#define REPORT_MAX_BYTES  (64u * 1024)

enum report_kind { REPORT_UNKNOWN, REPORT_USER, REPORT_SERVICE, REPORT_BOOT_CRITICAL, REPORT_KERNEL, REPORT_N_KINDS };

/* Set by the gate. */
#define REPORT_FLAG_AUTHENTICATED 1u  /* sender held a token */
#define REPORT_FLAG_CLOCK         2u  /* occurred_us was absurd and was cleared */
#define REPORT_FLAG_FORM          4u  /* came as an upload form: the dump will tell the module */
#define REPORT_FLAG_REDUCED       8u  /* body reduced because the disk is low */
#define REPORT_FLAG_DUMP_DROPPED  16u /* a dump came and was not kept */

struct report_frame {
	struct text module, module_id, function;
	uint64_t offset;
	uint32_t trust; /* faultline.Trust */
};

struct report_pair {
	struct text name, value;
};

struct report {
	struct text host; /* empty in a log record */
	uint64_t epoch, seq;
	enum report_kind kind;
	int64_t occurred_us;
	struct text module, module_id, module_version;
	uint64_t offset;
	struct text reason;
	uint32_t reason_code;
	uint64_t params[REPORT_MAX_PARAMS];
	uint32_t n_params;
	struct text product, version, os, os_build, arch, hw_class;
	struct text boot_id;
	uint64_t uptime_s;
	uint32_t count; /* >= 1 after decoding */
	uint32_t n_labels, n_content, n_frames;
	bool has_dump;
	bool gate_fields; /* raw holds fields of the gate's: a record must overwrite each */
	/* the gate's */
	uint64_t host_hash;
	struct text site;
	uint32_t flags;
	uint64_t idempotency;
	struct text dump_sha256; /* 32 bytes or empty */
	uint64_t dump_size;
	uint64_t guid_hash;
	/* where it came from */
	struct text raw;          /* the message */
	size_t host_at, host_len; /* the host field in raw, tag included; 0, 0 if none */
	/* n_labels and n_content of these are set, the rest is not even zeroed;
	 * frames are decoded on request: report_frames() */
	struct report_pair labels[REPORT_MAX_PAIRS];
	struct report_pair content[REPORT_MAX_PAIRS];
};

/* Decode and validate.  On failure returns the discard code to count and to answer,
 * and *diag says what and where; *out is then unspecified.  `bytes` is borrowed by *out. */
enum discard report_decode(const void *bytes, size_t len, struct report *out, struct diag *diag);

/* Frames into out[REPORT_MAX_FRAMES]; the report was decoded, so this cannot fail.
 * Returns their number. */
uint32_t report_frames(const struct report *r, struct report_frame *out);

/* Encode every field but the gate's from the struct (frames given apart).  Returns the
 * length, or 0 if it does not fit. */
size_t report_encode(const struct report *r, const struct report_frame *frames, uint8_t *buf, size_t size);

/* What the gate adds to a report before it is logged. */
struct report_stamp {
	uint64_t host_hash;
	struct text site;
	uint32_t flags;
	uint64_t idempotency;
	struct text dump_sha256;
	uint64_t dump_size;
	uint64_t guid_hash;
	uint32_t relay;      /* heartbeats: hash of who passed it on, 0: nobody */
	bool clear_occurred; /* the sender's clock is absurd */
	bool drop_frames;    /* disk low: keep only what the fold needs */
};

/* The record payload: the client's bytes without the host id, then the stamp.
 * report_record_size() is exact. */
size_t report_record_size(const struct report *r, const struct report_stamp *s);
void report_record_write(const struct report *r, const struct report_stamp *s, uint8_t *out);

/* The dump a logged report came with (32 bytes), read from the stamp's end without decoding
 * the rest: for readers that pass millions of reports and want few.  Says the same as
 * report_decode(). */
bool report_record_dump(const void *payload, size_t len, struct text *sha256_out);

/* Is the time believable?  0 (unknown) is; else 2000-01-01 to a day after now. */
bool report_time_ok(int64_t occurred_us, int64_t now_us);

/* ---- heartbeats (faultline.Heartbeat) ---- */

struct heartbeat {
	struct text host; /* empty in a log record */
	struct text boot_id;
	uint64_t uptime_s;
	struct text product, version, os, os_build, arch, hw_class;
	uint32_t n_content, n_labels;
	bool goodbye, complete;
	uint32_t interval_s; /* 0: it does not say */
	uint64_t host_hash;
	struct text site;
	uint32_t flags, relay;
	struct text raw;
	size_t host_at, host_len;
	struct report_pair content[REPORT_MAX_PAIRS]; /* n_content of these are set */
	struct report_pair labels[REPORT_MAX_PAIRS];
};
enum discard heartbeat_decode(const void *bytes, size_t len, struct heartbeat *out, struct diag *diag);
size_t heartbeat_encode(const struct heartbeat *h, uint8_t *buf, size_t size);
size_t heartbeat_record_size(const struct heartbeat *h, const struct report_stamp *s);
void heartbeat_record_write(const struct heartbeat *h, const struct report_stamp *s, uint8_t *out);

/* Fingerprint of everything whose change needs a full record: boot id, product,
 * versions, content, labels, site, relay, interval; not the uptime. */
uint32_t heartbeat_fingerprint(const struct heartbeat *h, struct text site, uint32_t relay);

/* Must be logged in full whatever the fingerprint says: a goodbye, or, where there is no boot id to tell
 * one boot from another, an early uptime. */
#define HEARTBEAT_EARLY_S 900u
static inline bool
heartbeat_tells(const struct heartbeat *h)
{
	return h->goodbye || (h->boot_id.len == 0 && h->uptime_s > 0 && h->uptime_s < HEARTBEAT_EARLY_S);
}

#endif
