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
