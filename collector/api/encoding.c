/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "collector/api/encoding.h"

static const char *const names[ENCODING_N] = { NULL, "gzip", "br", "zstd" };

const char *
encoding_name(enum encoding e)
{
	return names[e];
}

/* "0.25" as 250; more than three digits or anything else: 0. */
static int
weight(const char *p, size_t len)
{
	int value, unit = 100;

	if (len == 0 || (p[0] != '0' && p[0] != '1') || (len > 1 && p[1] != '.') || len > 5)
		return 0;
	value = (p[0] - '0') * 1000;
	for (size_t i = 2; i < len; i++, unit /= 10) {
		if (!isdigit((unsigned char)p[i]))
			return 0;
		value += (p[i] - '0') * unit;
	}
	return value <= 1000 ? value : 0;
}

/* One element, "gzip;q=0.5": its name's length, and the weight. */
static size_t
element(const char *p, size_t len, int *weight_out)
{
	size_t name = 0, at;

	while (name < len && strchr("; \t", p[name]) == NULL)
		name++;
	at = name;
	*weight_out = 1000;
	while (at < len) {
		size_t n;

		at += strspn(p + at, "; \t");
		n = at < len ? strcspn(p + at, "; \t,") : 0;
		if (at + 2 <= len && strncasecmp(p + at, "q=", 2) == 0)
			*weight_out = weight(p + at + 2, n - 2);
		at += n;
	}
	return name;
}

static bool
is_named(const char *p, size_t len, enum encoding e)
{
	if (e == ENCODING_GZIP && len == 6 && strncasecmp(p, "x-gzip", 6) == 0)
		return true;
	return e != ENCODING_PLAIN && len == strlen(names[e]) && strncasecmp(p, names[e], len) == 0;
}

enum encoding
encoding_pick(const char *accept, unsigned have)
{
	static const enum encoding by_size[] = { ENCODING_BROTLI, ENCODING_ZSTD, ENCODING_GZIP };
	int weights[ENCODING_N] = { 0, -1, -1, -1 }, others = 0, best = 0;
	enum encoding pick = ENCODING_PLAIN;

	for (const char *p = accept != NULL ? accept : ""; *p != '\0';) {
		size_t len, name;
		int w;

		p += strspn(p, ", \t");
		len = strcspn(p, ",");
		name = element(p, len, &w);
		if (name == 1 && *p == '*')
			others = w;
		for (unsigned e = 0; e < ENCODING_N; e++)
			if (is_named(p, name, (enum encoding)e))
				weights[e] = w;
		p += len;
	}
	for (size_t i = 0; i < sizeof(by_size) / sizeof(by_size[0]); i++) {
		const enum encoding e = by_size[i];
		const int w = weights[e] >= 0 ? weights[e] : others;

		if ((have & 1u << e) != 0 && w > best) {
			best = w;
			pick = e;
		}
	}
	return pick;
}
