/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_PARAMS_H
#define COLLECTOR_API_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* Texts from URLs and bodies into values.  Pure; each returns 0, or -1 and leaves *out. */

#define DEPLOYMENT_ID_MAX 128
/* 1 to 128 of A-Z a-z 0-9 . _ : - */
bool params_deployment_id(struct text t);

/* "30s", "500ms", "5m", "2h", "7d", or seconds as a bare number ("30", "1.5"). */
int params_duration(const char *text, uint64_t *ms_out);

/* A duration before now ("1h") or an RFC 3339 time. */
int params_since(const char *text, int64_t now_us, int64_t *us_out);

int params_count(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* "h:<16 hex>" */
int params_host_hash(struct text t, uint64_t *hash_out);

/* Where a page of a sorted list ended: the sort key and id of its last row.  Opaque to
 * clients; carries the order it belongs to, so that it cannot be used with another. */
struct params_cursor {
	unsigned order; /* < 256 */
	uint64_t key, id;
};
#define PARAMS_CURSOR_SIZE 36 /* with the NUL */
char *params_cursor_format(const struct params_cursor *c, char out[PARAMS_CURSOR_SIZE]);
int params_cursor_parse(const char *text, struct params_cursor *out);

/* Is version `etag` (with quotes) in an If-None-Match value? */
bool params_etag_listed(const char *if_none_match, const char *etag);

#endif
