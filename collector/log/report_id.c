/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/crypto.h"
#include "collector/log/report_id.h"

/* 100 bits: the position in the high 64, the check in the low 36.
 * The bp- form is laid out as a version 4 UUID, whose version and variant bits are fixed;
 * the digit before the date is Socorro's throttle result, 0 for accepted:
 *
 *	bp-PPPPPPPP-PPPP-4PPP-8PCC-CCCCC0YYMMDD	(P: the position, C: 28 bits of the check) */
#define CHECK_BITS    36
#define CHECK_BP_BITS 28

static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

static uint64_t
check_of(uint64_t pos, const struct log_id *log, unsigned bits)
{
	uint8_t le[8];

	for (unsigned i = 0; i < 8; i++)
		le[i] = (uint8_t)(pos >> 8 * i);
	return siphash64(log->uuid, le, sizeof(le)) >> (64 - bits);
}

char *
report_id_format(uint64_t pos, const struct log_id *log, char out[REPORT_ID_SIZE])
{
	unsigned __int128 v = (unsigned __int128)pos << CHECK_BITS | check_of(pos, log, CHECK_BITS);

	for (int i = REPORT_ID_SIZE - 2; i >= 0; i--) {
		out[i] = digits[(unsigned)v & 31];
		v >>= 5;
	}
	out[REPORT_ID_SIZE - 1] = '\0';
	return out;
}

int
report_id_parse(const char *text, const struct log_id *log, uint64_t *pos_out)
{
	unsigned __int128 v = 0;
	uint64_t pos;

	for (int i = 0; i < REPORT_ID_SIZE - 1; i++) {
		const char *d = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

		if (d == NULL)
			return -1;
		v = v << 5 | (unsigned)(d - digits);
	}
	pos = (uint64_t)(v >> CHECK_BITS);
	if (text[REPORT_ID_SIZE - 1] != '\0' ||
	    ((uint64_t)v & ((1ull << CHECK_BITS) - 1)) != check_of(pos, log, CHECK_BITS))
		return -1;
	*pos_out = pos;
	return 0;
}

char *
report_id_format_bp(uint64_t pos, const struct log_id *log, int64_t received_us, char out[REPORT_ID_BP_SIZE])
{
	const uint64_t check = check_of(pos, log, CHECK_BP_BITS);
	time_t t = (time_t)(received_us / 1000000);
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	snprintf(out, REPORT_ID_BP_SIZE, "bp-%08x-%04x-4%03x-8%x%02x-%05x0%02u%02u%02u", (unsigned)(pos >> 32),
		 (unsigned)(pos >> 16 & 0xffff), (unsigned)(pos >> 4 & 0xfff), (unsigned)(pos & 0xf),
		 (unsigned)(check >> 20), (unsigned)(check & 0xfffff), (unsigned)(tm.tm_year + 1900) % 100,
		 (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100);
	return out;
}

/* The value of n hexadecimal digits at *text, which moves on; -1 if one is none. */
static int64_t
hex_digits(const char **text, unsigned n)
{
	static const char hex[] = "0123456789abcdef";
	int64_t v = 0;

	for (; n > 0; n--, (*text)++) {
		const char *d = **text != '\0' ? strchr(hex, **text) : NULL;

		if (d == NULL)
			return -1;
		v = v << 4 | (d - hex);
	}
	return v;
}

static bool
literal(const char **text, const char *want)
{
	size_t n = strlen(want);

	if (strncmp(*text, want, n) != 0)
		return false;
	*text += n;
	return true;
}

static bool
is_date(const char *text)
{
	unsigned v[3];

	for (int i = 0; i < 6; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	for (int i = 0; i < 3; i++)
		v[i] = (unsigned)(text[2 * i] - '0') * 10 + (unsigned)(text[2 * i + 1] - '0');
	return text[6] == '\0' && v[1] >= 1 && v[1] <= 12 && v[2] >= 1 && v[2] <= 31;
}

int
report_id_parse_bp(const char *text, const struct log_id *log, uint64_t *pos_out)
{
	static const struct {
		const char *before;
		unsigned n;
	} fields[] = { { "", 8 }, { "-", 4 }, { "-4", 3 }, { "-8", 1 }, { "", 2 }, { "-", 5 } };
	uint64_t pos = 0, check = 0;

	literal(&text, "bp-"); /* clients show ids with and without it */
	for (unsigned i = 0; i < 6; i++) {
		int64_t v;

		if (!literal(&text, fields[i].before) || (v = hex_digits(&text, fields[i].n)) == -1)
			return -1;
		if (i < 4)
			pos = pos << 4 * fields[i].n | (uint64_t)v;
		else
			check = check << 4 * fields[i].n | (uint64_t)v;
	}
	if (!literal(&text, "0") || !is_date(text) || check != check_of(pos, log, CHECK_BP_BITS))
		return -1;
	*pos_out = pos;
	return 0;
}
