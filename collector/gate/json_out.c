/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "collector/gate/json_out.h"

void
json_out_reset(struct json_out *o)
{
	o->len = 0;
	o->failed = false;
}

void
json_out_fini(struct json_out *o)
{
	free(o->buf);
	*o = (struct json_out){ 0 };
}

void
json_out_bytes(struct json_out *o, const void *data, size_t len)
{
	if (len > o->cap - o->len) {
		size_t cap = o->cap > 0 ? o->cap : 1024;
		char *bigger;

		while (cap - o->len < len)
			cap *= 2;
		if ((bigger = realloc(o->buf, cap)) == NULL) {
			o->failed = true;
			return;
		}
		o->buf = bigger;
		o->cap = cap;
	}
	memcpy(o->buf + o->len, data, len);
	o->len += len;
}

void
json_out_raw(struct json_out *o, const char *literal)
{
	json_out_bytes(o, literal, strlen(literal));
}

void
json_out_string(struct json_out *o, struct text t)
{
	static const char hex[] = "0123456789abcdef";
	size_t from = 0;

	json_out_bytes(o, "\"", 1);
	for (size_t i = 0; i < t.len; i++) {
		const unsigned char c = (unsigned char)t.at[i];
		char escaped[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		json_out_bytes(o, t.at + from, i - from);
		from = i + 1;
		if (c >= 0x20) {
			escaped[1] = (char)c;
			json_out_bytes(o, escaped, 2);
		} else {
			json_out_bytes(o, escaped, 6);
		}
	}
	if (t.len > from)
		json_out_bytes(o, t.at + from, t.len - from);
	json_out_bytes(o, "\"", 1);
}

void
json_out_uint(struct json_out *o, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	json_out_bytes(o, digits + n, sizeof(digits) - n);
}
