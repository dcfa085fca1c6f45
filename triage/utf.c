/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "triage/utf.h"

static size_t
put_code_point(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

const char *
utf_from_bytes(struct arena *a, const void *bytes, size_t len, size_t max)
{
	const uint8_t *p = bytes;
	size_t n = 0, i, out = 0;
	char *s;

	if (len > max)
		len = max; /* what is kept cannot come from further on */
	while (n < len && p[n] != '\0')
		n++;
	/* at worst each byte becomes the three of U+FFFD */
	for (i = 0; i < n && p[i] < 0x80; i++)
		;
	s = arena_calloc(a, i == n ? n + 1 : 3 * n + 1, 1);
	if (s == NULL)
		return NULL;
	if (i == n) {
		if (n > 0)
			memcpy(s, p, n);
		return s;
	}
	for (i = 0; i < n;) {
		size_t k = text_utf8_sequence(p + i, n - i);

		if (out + 3 > max || out + k > max)
			break;
		if (k == 0) {
			out += put_code_point(0xfffd, s + out);
			i++;
		} else {
			memcpy(s + out, p + i, k);
			out += k;
			i += k;
		}
	}
	s[out] = '\0';
	return s;
}

static uint32_t
unit_at(const uint8_t *p, size_t i, bool big_endian)
{
	return big_endian ? (uint32_t)p[2 * i] << 8 | p[2 * i + 1] : (uint32_t)p[2 * i + 1] << 8 | p[2 * i];
}

const char *
utf_from_utf16(struct arena *a, const uint8_t *units, size_t n_units, bool big_endian, size_t max)
{
	size_t n = 0, out = 0;
	char *s;

	if (n_units > max)
		n_units = max;
	while (n < n_units && unit_at(units, n, big_endian) != 0)
		n++;
	s = arena_calloc(a, 3 * n + 1, 1);
	if (s == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		uint32_t c = unit_at(units, i, big_endian);
		char tmp[4];
		size_t k;

		if (c >= 0xd800 && c < 0xdc00 && i + 1 < n) {
			uint32_t low = unit_at(units, i + 1, big_endian);

			if (low >= 0xdc00 && low < 0xe000) {
				c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
				i++;
			}
		}
		if (c >= 0xd800 && c < 0xe000)
			c = 0xfffd;
		k = put_code_point(c, tmp);
		if (out + k > max)
			break;
		memcpy(s + out, tmp, k);
		out += k;
	}
	s[out] = '\0';
	return s;
}

const char *
utf_printf(struct arena *a, const char *fmt, ...)
{
	char buf[1536], *s;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if ((size_t)n >= sizeof(buf)) {
		n = (int)sizeof(buf) - 1;
		/* do not leave half a character at the end; buf[n] is its NUL, so look before */
		while (n > 0 && ((unsigned char)buf[n - 1] & 0xc0) == 0x80)
			n--;
		if (n > 0 && (unsigned char)buf[n - 1] >= 0xc0)
			n--;
	}
	s = arena_calloc(a, (size_t)n + 1, 1);
	if (s != NULL)
		memcpy(s, buf, (size_t)n);
	return s;
}
