/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "collector/api/params.h"

bool
params_deployment_id(struct text t)
{
	if (t.len == 0 || t.len > DEPLOYMENT_ID_MAX)
		return false;
	for (size_t i = 0; i < t.len; i++)
		if (!isalnum((unsigned char)t.at[i]) && (t.at[i] == '\0' || strchr("._:-", t.at[i]) == NULL))
			return false;
	return !(t.at[0] == '.' && (t.len == 1 || (t.len == 2 && t.at[1] == '.')));
}

int
params_duration(const char *text, uint64_t *ms_out)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = {
		{ "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	};
	size_t n = strspn(text, "0123456789.");
	char *end;
	double value;

	if (n == 0 || n > 15)
		return -1;
	value = strtod(text, &end);
	if (end != text + n)
		return -1;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].name) == 0) {
			if (value * units[i].ms > 1e15)
				return -1;
			*ms_out = (uint64_t)(value * units[i].ms + 0.5);
			return 0;
		}
	return -1;
}

int
params_since(const char *text, int64_t now_us, int64_t *us_out)
{
	uint64_t ms;

	if (params_duration(text, &ms) == 0) {
		*us_out = now_us - (int64_t)ms * 1000;
		return 0;
	}
	return clock_parse_rfc3339(text, us_out);
}

int
params_count(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t value;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -1;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || value < min || value > max)
		return -1;
	*out = value;
	return 0;
}

static int
parse_hex64(const char *p, uint64_t *out)
{
	uint8_t bytes[8];
	uint64_t value = 0;

	if (hex_decode(p, 16, bytes) != 0)
		return -1;
	for (int i = 0; i < 8; i++)
		value = value << 8 | bytes[i];
	*out = value;
	return 0;
}

int
params_host_hash(struct text t, uint64_t *hash_out)
{
	if (t.len != 18 || memcmp(t.at, "h:", 2) != 0)
		return -1;
	return parse_hex64(t.at + 2, hash_out);
}

char *
params_cursor_format(const struct params_cursor *c, char out[PARAMS_CURSOR_SIZE])
{
	snprintf(out, PARAMS_CURSOR_SIZE, "%02x%016" PRIx64 "%016" PRIx64, c->order & 0xff, c->key, c->id);
	return out;
}

int
params_cursor_parse(const char *text, struct params_cursor *out)
{
	struct params_cursor c;
	uint8_t order;

	if (strlen(text) != PARAMS_CURSOR_SIZE - 2 || hex_decode(text, 2, &order) != 0 ||
	    parse_hex64(text + 2, &c.key) != 0 || parse_hex64(text + 18, &c.id) != 0)
		return -1;
	c.order = order;
	*out = c;
	return 0;
}

bool
params_etag_listed(const char *if_none_match, const char *etag)
{
	size_t len = strlen(etag);
	const char *p = if_none_match;

	while (*p != '\0') {
		p += strspn(p, " \t,");
		if (*p == '*')
			return true;
		if (strncmp(p, "W/", 2) == 0)
			p += 2;
		if (strncmp(p, etag, len) == 0 && (p[len] == '\0' || strchr(" \t,", p[len]) != NULL))
			return true;
		p += strcspn(p, ",");
	}
	return false;
}
