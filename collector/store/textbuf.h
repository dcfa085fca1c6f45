/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_TEXTBUF_H
#define COLLECTOR_STORE_TEXTBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* A growing buffer for what is sent to PostgreSQL: COPY rows, array literals, JSON.
 * Running out of memory sticks in `failed` and empties the buffer; check once before use. */
struct textbuf {
	char *at;
	size_t len, cap;
	bool failed;
};

void textbuf_free(struct textbuf *b);  /* and zero it: ready for use again */
void textbuf_reset(struct textbuf *b); /* keeps the memory */

/* Room for n bytes at the end, counted as written; NULL when out of memory. */
char *textbuf_grow(struct textbuf *b, size_t n);

void textbuf_put(struct textbuf *b, const void *data, size_t len);
void textbuf_printf(struct textbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *textbuf_string(struct textbuf *b); /* NUL-terminated; "" after a failure */

/* Times in the database lie between 2000 and 2200, whatever a clock said. */
#define STORE_TIME_MIN (946684800ll * 1000000)
#define STORE_TIME_MAX (7258118400ll * 1000000)
#define STORE_DAY_US   (86400ll * 1000000)
int64_t store_time(int64_t wall_us);

/* "2024-07-19" of a day number since 1970; buf of >= 16 bytes. */
char *day_text(int32_t day, char *buf);

/* One more element of an array literal "{…}": comma, quotes and escapes as needed. */
void array_open(struct textbuf *b); /* resets b */
void array_int(struct textbuf *b, int64_t v);
void array_text(struct textbuf *b, struct text t);
void array_bytes(struct textbuf *b, struct text t);  /* for bytea[] */
void array_time(struct textbuf *b, int64_t wall_us); /* for timestamptz[] */
void array_null(struct textbuf *b);
const char *array_close(struct textbuf *b);

/* A JSON string with its quotes.  Text that is not UTF-8 has '?' for what is not ASCII. */
void textbuf_json(struct textbuf *b, struct text t);

#endif
