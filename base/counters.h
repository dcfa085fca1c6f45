/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_COUNTERS_H
#define BASE_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counters, gauges and discard codes of the process, from counters.def and
 * discards.def.  Any thread; relaxed atomics, so add once per batch, not per record. */
enum counter {
#define COUNTER(name, help) COUNTER_##name,
#define GAUGE(name, help)   COUNTER_##name,
#include "base/counters.def"
#undef COUNTER
#undef GAUGE
	COUNTER_N
};

enum discard {
	DISCARD_none = 0,
#define DISCARD(code, status, help) DISCARD_##code,
#include "base/discards.def"
#undef DISCARD
	DISCARD_N
};

void counter_add(enum counter c, uint64_t n);
void counter_sub(enum counter c, uint64_t n); /* gauges only */
void counter_set(enum counter c, uint64_t v); /* gauges only */
uint64_t counter_get(enum counter c);
bool counter_is_gauge(enum counter c);
const char *counter_name(enum counter c); /* "http_requests" */
const char *counter_help(enum counter c);

/* Count one refusal. */
void discard_count(enum discard d);
uint64_t discard_get(enum discard d);
const char *discard_code(enum discard d); /* "bad_gzip" */
const char *discard_help(enum discard d);
int discard_status(enum discard d); /* HTTP status of the JSON API */

#endif
