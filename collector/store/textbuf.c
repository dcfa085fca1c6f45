/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "collector/store/textbuf.h"

void
textbuf_free(struct textbuf *b)
{
	free(b->at);
	*b = (struct textbuf){ 0 };
}

void
textbuf_reset(struct textbuf *b)
{
	b->len = 0;
	b->failed = false;
}

char *
textbuf_grow(struct textbuf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (n > b->cap - b->len) {
		size_t cap = b->cap * 2 > b->len + n ? b->cap * 2 : b->len + n + 256;
		char *grown = realloc(b->at, cap);

		if (grown == NULL) {
			b->failed = true;
			b->len = 0;
			return NULL;
		}
		b->at = grown;
		b->cap = cap;
	}
	b->len += n;
	return b->at + b->len - n;
}

void
textbuf_put(struct textbuf *b, const void *data, size_t len)
{
	char *p = textbuf_grow(b, len);

	if (p != NULL && len > 0)
		memcpy(p, data, len);
}

void
textbuf_printf(struct textbuf *b, const char *fmt, ...)
{
	char buf[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(buf))
		b->failed = true; /* only numbers and literals are printed so */
	else
		textbuf_put(b, buf, (size_t)n);
}

const char *
textbuf_string(struct textbuf *b)
{
	char *p = textbuf_grow(b, 1);

	if (p == NULL)
		return "";
	*p = '\0';
	b->len--;
	return b->at;
}

/* ---- array literals ---- */

void
array_open(struct textbuf *b)
{
	textbuf_reset(b);
	textbuf_put(b, "{", 1);
}

/* Nothing to escape and nothing to repair: the usual case, copied in one piece. */
static bool
is_plain(struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.at[i];

		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			return false;
	}
	return true;
}

static bool
put_plain(struct textbuf *b, struct text t)
{
	char *p = is_plain(t) ? textbuf_grow(b, t.len + 2) : NULL;

	if (p == NULL)
		return false;
	p[0] = p[t.len + 1] = '"';
	if (t.len > 0)
		memcpy(p + 1, t.at, t.len);
	return true;
}

/* Reports are checked when they come in; what was read in a dump need not be UTF-8. */
static void
put_clean(struct textbuf *b, char c, bool clean)
{
	if (!clean && (c == '\0' || (unsigned char)c >= 0x80))
		c = '?';
	textbuf_put(b, &c, 1);
}

static void
separate(struct textbuf *b)
{
	if (b->len > 1)
		textbuf_put(b, ",", 1);
}

void
array_int(struct textbuf *b, int64_t v)
{
	separate(b);
	textbuf_printf(b, "%" PRId64, v);
}

void
array_text(struct textbuf *b, struct text t)
{
	bool clean;

	separate(b);
	if (put_plain(b, t))
		return;
	clean = text_is_utf8(t);
	textbuf_put(b, "\"", 1);
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] == '"' || t.at[i] == '\\')
			textbuf_put(b, "\\", 1);
		put_clean(b, t.at[i], clean);
	}
	textbuf_put(b, "\"", 1);
}

void
array_bytes(struct textbuf *b, struct text t)
{
	char *p;

	separate(b);
	textbuf_put(b, "\"\\\\x", 4);
	p = textbuf_grow(b, 2 * t.len + 1);
	if (p != NULL)
		hex_encode(t.at, t.len, p);
	if (!b->failed)
		b->len--; /* hex_encode()'s NUL */
	textbuf_put(b, "\"", 1);
}

int64_t
store_time(int64_t wall_us)
{
	return wall_us < STORE_TIME_MIN ? STORE_TIME_MIN : wall_us > STORE_TIME_MAX ? STORE_TIME_MAX : wall_us;
}

char *
day_text(int32_t day, char *buf)
{
	char when[CLOCK_RFC3339_SIZE];

	clock_rfc3339(day * STORE_DAY_US, when);
	memcpy(buf, when, 10);
	buf[10] = '\0';
	return buf;
}

void
array_time(struct textbuf *b, int64_t wall_us)
{
	int64_t s = store_time(wall_us) / 1000000, us = store_time(wall_us) % 1000000;
	char when[CLOCK_RFC3339_SIZE];

	separate(b);
	clock_rfc3339(s * 1000000, when);
	when[19] = '\0'; /* seconds; ours has microseconds */
	textbuf_printf(b, "\"%s.%06dZ\"", when, (int)us);
}

void
array_null(struct textbuf *b)
{
	separate(b);
	textbuf_put(b, "NULL", 4);
}

const char *
array_close(struct textbuf *b)
{
	textbuf_put(b, "}", 1);
	return textbuf_string(b);
}

/* ---- JSON ---- */

void
textbuf_json(struct textbuf *b, struct text t)
{
	bool clean;

	if (put_plain(b, t))
		return;
	clean = text_is_utf8(t);
	textbuf_put(b, "\"", 1);
	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.at[i];

		if (c == '"' || c == '\\') {
			textbuf_put(b, "\\", 1);
			textbuf_put(b, &t.at[i], 1);
		} else if (c < 0x20 && c != 0)
			textbuf_printf(b, "\\u%04x", c);
		else
			put_clean(b, t.at[i], clean);
	}
	textbuf_put(b, "\"", 1);
}
