/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_JSON_IN_H
#define COLLECTOR_GATE_JSON_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/text.h"

/* Pull reader over one JSON text (RFC 8259), for the reports that come one by one: no tree,
 * no allocation; strings are unescaped in place, so the text is consumed.
 *
 * The first failure sticks in why; every later call is a no-op that says "end".  Values of a
 * wrong type are not failures: the caller sees the kind and skips. */
struct json_in {
	char *p, *end;
	enum discard why; /* DISCARD_none, invalid_json or invalid_utf8 */
	unsigned depth;
};

#define JSON_MAX_DEPTH 32

enum json_kind { JSON_BAD, JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_BOOL, JSON_NULL };

void json_in_init(struct json_in *j, char *text, size_t len);

enum json_kind json_in_kind(struct json_in *j); /* of the value that comes next */

/* Walk an object or array: open, then next until false (end or failure).  For each member
 * exactly one value must be taken or skipped. */
bool json_in_open(struct json_in *j, enum json_kind kind);
bool json_in_key(struct json_in *j, bool *first, struct text *key_out); /* *first starts true */
bool json_in_item(struct json_in *j, bool *first);

struct text json_in_string(struct json_in *j);
struct text json_in_number(struct json_in *j); /* its literal */
bool json_in_bool(struct json_in *j);
void json_in_skip(struct json_in *j);

/* Nothing but white space is left, and nothing failed. */
bool json_in_done(struct json_in *j);

#endif
