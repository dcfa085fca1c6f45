/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_JSONOUT_H
#define COLLECTOR_API_JSONOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* Writes JSON into one growing buffer, commas and escapes included.  Running out of
 * memory or past the limit sticks in `failed`; check once at the end.  Texts that are not
 * UTF-8 come out with U+FFFD, so an answer is always valid JSON. */
struct jsonout {
	char *at; /* not NUL-terminated */
	size_t len, cap;
	size_t limit; /* bytes; 0: JSONOUT_LIMIT */
	bool failed;
	bool comma; /* private: a value precedes */
};
#define JSONOUT_LIMIT (32u * 1024 * 1024)

void jsonout_init(struct jsonout *j); /* allocates nothing yet */
void jsonout_fini(struct jsonout *j);
void jsonout_reset(struct jsonout *j); /* empty again, memory kept */

/* key may be NULL: inside arrays and at the top. */
void jsonout_open(struct jsonout *j, const char *key, char bracket); /* '{' or '[' */
void jsonout_close(struct jsonout *j, char bracket);                 /* '}' or ']' */
void jsonout_text(struct jsonout *j, const char *key, struct text value);
void jsonout_string(struct jsonout *j, const char *key, const char *value); /* NULL: null */
void jsonout_u64(struct jsonout *j, const char *key, uint64_t value);
void jsonout_i64(struct jsonout *j, const char *key, int64_t value);
void jsonout_double(struct jsonout *j, const char *key, double value, int decimals); /* not finite: null */
/* As few digits as read back the same: 0.001, 1e-6. */
void jsonout_real(struct jsonout *j, const char *key, double value);
void jsonout_bool(struct jsonout *j, const char *key, bool value);
void jsonout_null(struct jsonout *j, const char *key);
void jsonout_hex(struct jsonout *j, const char *key, uint64_t value);      /* "0xe14ed" */
void jsonout_time(struct jsonout *j, const char *key, int64_t wall_us);    /* RFC 3339 ms; 0: null */
void jsonout_host(struct jsonout *j, const char *key, uint64_t host_hash); /* "h:<16 hex>" */

/* Bytes that are JSON already (or, at the top, anything). */
void jsonout_raw(struct jsonout *j, const char *bytes, size_t len);

#endif
