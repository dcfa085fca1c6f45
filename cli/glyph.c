/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/glyph.h"

struct range {
	uint32_t first, last;
};

/* Without width and without being a mark on a letter: two names that differ by one look the same. */
static const struct range unseen[] = {
	{ 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f },   { 0xfeff, 0xfeff },
	{ 0x00ad, 0x00ad }, { 0x180e, 0x180e }, { 0xe0000, 0xe0fff },
};
static const struct range combining[] = {
	{ 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x064b, 0x065f },   { 0x1ab0, 0x1aff },
	{ 0x1dc0, 0x1dff }, { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0x1f3fb, 0x1f3ff },
};
static const struct range wide[] = {
	{ 0x1100, 0x115f },   { 0x2e80, 0x303e },   { 0x3041, 0xa4cf },   { 0xac00, 0xd7a3 },
	{ 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },   { 0xffe0, 0xffe6 },
	{ 0x1f300, 0x1f64f }, { 0x1f680, 0x1f9ff }, { 0x20000, 0x3fffd },
};

static bool
within(uint32_t c, const struct range *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (c >= r[i].first && c <= r[i].last)
			return true;
	return false;
}
#define WITHIN(c, table) within(c, table, sizeof(table) / sizeof((table)[0]))

static uint32_t
code_point(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	uint32_t c = len == 1 ? u[0] : u[0] & (0xffu >> (len + 1));

	for (size_t i = 1; i < len; i++)
		c = c << 6 | (u[i] & 0x3fu);
	return c;
}

void
glyph_next(const char *s, struct glyph *out)
{
	const size_t left = strnlen(s, 4), len = text_utf8_sequence(s, left);
	uint32_t c = len > 0 ? code_point(s, len) : 0;
	bool harmless;

	out->taken = text_character(s, left, &harmless);
	if (harmless && !WITHIN(c, unseen)) {
		memcpy(out->text, s, len);
		out->text[len] = '\0';
		out->len = len;
		out->columns = WITHIN(c, combining) ? 0 : WITHIN(c, wide) ? 2 : 1;
		return;
	}
	if (len > 0)
		snprintf(out->text, sizeof(out->text), "<U+%04X>", (unsigned)c);
	else
		snprintf(out->text, sizeof(out->text), "<%02X>", (unsigned char)*s);
	out->len = strlen(out->text);
	out->columns = (int)out->len;
}
