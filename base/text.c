/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/text.h"

/* Unicode 15, table 3-7. */
size_t
text_utf8_sequence(const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	unsigned char lo = 0x80, hi = 0xbf;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
		return 0;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return len;
}

size_t
text_character(const char *p, size_t n, bool *harmless_out)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t len = text_utf8_sequence(p, n);
	unsigned low = len == 3 ? u[2] : 0;

	*harmless_out = len > 0 && *u >= ' ' && *u != 0x7f;
	if (len == 2) /* C1; U+061C */
		*harmless_out = !(u[0] == 0xc2 && u[1] < 0xa0) && !(u[0] == 0xd8 && u[1] == 0x9c);
	else if (len == 3 && u[0] == 0xe2 && u[1] == 0x80) /* U+200E, 200F, 2028 to 202E */
		*harmless_out = low != 0x8e && low != 0x8f && !(low >= 0xa8 && low <= 0xae);
	else if (len == 3 && u[0] == 0xe2 && u[1] == 0x81) /* U+2066 to 2069 */
		*harmless_out = !(low >= 0xa6 && low <= 0xa9);
	return len > 0 ? len : 1;
}

bool
text_is_utf8(struct text t)
{
	const unsigned char *p = (const unsigned char *)t.at;

	for (size_t i = 0; i < t.len;) {
		size_t n = text_utf8_sequence(p + i, t.len - i);

		if (p[i] == 0 || n == 0)
			return false;
		i += n;
	}
	return true;
}
