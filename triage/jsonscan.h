/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_JSONSCAN_H
#define TRIAGE_JSONSCAN_H

#include "triage/textscan.h"

/* JSON read in place: a value is the range of bytes it stands in, nothing is built.  Damaged
 * input yields empty values; nothing here recurses or allocates but jsonscan_string(). */

/* The value at the begin of t (blanks before it are passed); empty when there is none.  *rest
 * may be NULL. */
struct text jsonscan_value(struct text t, struct text *rest);

/* Value of a member of an object, empty: not there.  The first of that name counts. */
struct text jsonscan_member(struct text object, const char *name);

/* Elements of an array one by one: *list begins as the array and *first as true. */
bool jsonscan_next(struct text *list, bool *first, struct text *value);

/* Members of an object one by one: *object begins as the object; the name is raw. */
bool jsonscan_pair(struct text *object, struct text *name, struct text *value);

/* A string without quotes and escapes, valid UTF-8; "" for what is none. */
const char *jsonscan_string(struct textdump *t, struct text value, size_t max);

/* A whole number; false for what is none.  A negative one is two's complement. */
bool jsonscan_number(struct text value, uint64_t *out);

static inline bool
jsonscan_true(struct text value)
{
	return text_equal(value, TEXT("true"));
}

#endif
