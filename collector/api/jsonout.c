/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/settings.h"
#include "collector/api/jsonout.h"

void
jsonout_init(struct jsonout *j)
{
	memset(j, 0, sizeof(*j));
}

void
jsonout_fini(struct jsonout *j)
{
	free(j->at);
	memset(j, 0, sizeof(*j));
}

void
jsonout_reset(struct jsonout *j)
{
	j->len = 0;
	j->failed = j->comma = false;
}

void
jsonout_raw(struct jsonout *j, const char *bytes, size_t len)
{
	size_t limit = j->limit != 0 ? j->limit : JSONOUT_LIMIT;

	if (j->failed || len > limit - j->len) {
		j->failed = true;
		return;
	}
	if (len > j->cap - j->len) {
		size_t cap = j->cap != 0 ? j->cap : 1024;
		char *at;

		while (cap < j->len + len)
			cap *= 2;
		if ((at = realloc(j->at, cap)) == NULL) {
			j->failed = true;
			return;
		}
		j->at = at;
		j->cap = cap;
	}
	memcpy(j->at + j->len, bytes, len);
	j->len += len;
}

/* Length of the well-formed UTF-8 sequence at p, 0 if there is none. */
static size_t
utf8_length(const uint8_t *p, size_t len)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (len < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static void
escape(struct jsonout *j, uint8_t c)
{
	static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
	const char *found = c != '\0' ? strchr(plain, c) : NULL;
	char buf[8];

	if (found != NULL)
		snprintf(buf, sizeof(buf), "\\%c", letter[found - plain]);
	else
		snprintf(buf, sizeof(buf), "\\u%04x", c);
	jsonout_raw(j, buf, strlen(buf));
}

static void
quoted(struct jsonout *j, struct text t)
{
	const uint8_t *p = (const uint8_t *)t.at;
	size_t from = 0, i = 0;

	jsonout_raw(j, "\"", 1);
	while (i < t.len) {
		size_t n = utf8_length(p + i, t.len - i);

		if (n > 0 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f) {
			i += n;
			continue;
		}
		if (i > from)
			jsonout_raw(j, t.at + from, i - from);
		if (n == 0)
			jsonout_raw(j, "\xef\xbf\xbd", 3);
		else
			escape(j, p[i]);
		from = ++i;
	}
	if (i > from)
		jsonout_raw(j, t.at + from, i - from);
	jsonout_raw(j, "\"", 1);
}

static void
before(struct jsonout *j, const char *key)
{
	if (j->comma)
		jsonout_raw(j, ",", 1);
	j->comma = true;
	if (key != NULL) {
		quoted(j, text_of(key));
		jsonout_raw(j, ":", 1);
	}
}

void
jsonout_open(struct jsonout *j, const char *key, char bracket)
{
	before(j, key);
	jsonout_raw(j, &bracket, 1);
	j->comma = false;
}

void
jsonout_close(struct jsonout *j, char bracket)
{
	jsonout_raw(j, &bracket, 1);
	j->comma = true;
}

void
jsonout_text(struct jsonout *j, const char *key, struct text value)
{
	before(j, key);
	quoted(j, value);
}

void
jsonout_string(struct jsonout *j, const char *key, const char *value)
{
	if (value == NULL)
		jsonout_null(j, key);
	else
		jsonout_text(j, key, text_of(value));
}

static void
literal(struct jsonout *j, const char *key, const char *value)
{
	before(j, key);
	jsonout_raw(j, value, strlen(value));
}

void
jsonout_u64(struct jsonout *j, const char *key, uint64_t value)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRIu64, value);
	literal(j, key, buf);
}

void
jsonout_i64(struct jsonout *j, const char *key, int64_t value)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRId64, value);
	literal(j, key, buf);
}

void
jsonout_double(struct jsonout *j, const char *key, double value, int decimals)
{
	char buf[340];

	if (!isfinite(value)) {
		jsonout_null(j, key);
		return;
	}
	snprintf(buf, sizeof(buf), "%.*f", decimals, value);
	literal(j, key, buf);
}

void
jsonout_real(struct jsonout *j, const char *key, double value)
{
	char buf[40];

	if (!isfinite(value)) {
		jsonout_null(j, key);
		return;
	}
	settings_real_text(value, buf, sizeof(buf));
	literal(j, key, buf);
}

void
jsonout_bool(struct jsonout *j, const char *key, bool value)
{
	literal(j, key, value ? "true" : "false");
}

void
jsonout_null(struct jsonout *j, const char *key)
{
	literal(j, key, "null");
}

void
jsonout_hex(struct jsonout *j, const char *key, uint64_t value)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "\"0x%" PRIx64 "\"", value);
	literal(j, key, buf);
}

void
jsonout_time(struct jsonout *j, const char *key, int64_t wall_us)
{
	char buf[CLOCK_RFC3339_SIZE];

	if (wall_us == 0)
		jsonout_null(j, key);
	else
		jsonout_string(j, key, clock_rfc3339(wall_us, buf));
}

void
jsonout_host(struct jsonout *j, const char *key, uint64_t host_hash)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "h:%016" PRIx64, host_hash);
	jsonout_string(j, key, buf);
}
