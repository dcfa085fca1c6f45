/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/jsonscan.h"
#include "triage/utf.h"

/* Behind the closing quote of the string at t.at[at]. */
static size_t
string_end(struct text t, size_t at)
{
	for (at++; at < t.len; at++) {
		if (t.at[at] == '\\')
			at++;
		else if (t.at[at] == '"')
			return at + 1;
	}
	return t.len;
}

static size_t
value_end(struct text t)
{
	size_t depth = 0, i = 0;

	if (t.at[0] == '"')
		return string_end(t, 0);
	if (t.at[0] != '{' && t.at[0] != '[') {
		while (i < t.len && strchr(",]}: \t\r\n", t.at[i]) == NULL)
			i++;
		return i;
	}
	while (i < t.len) {
		char c = t.at[i];

		if (c == '"') {
			i = string_end(t, i);
			continue;
		}
		i++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return i;
	}
	return t.len;
}

struct text
jsonscan_value(struct text t, struct text *rest)
{
	struct text v;

	while (t.len > 0 && strchr(" \t\r\n", t.at[0]) != NULL)
		t = text_from(t, 1);
	v = t.len > 0 ? text_upto(t, value_end(t)) : t;
	if (rest != NULL)
		*rest = text_from(t, v.len);
	return v;
}

static struct text
skip(struct text t, const char *chars)
{
	while (t.len > 0 && t.at[0] != '\0' && strchr(chars, t.at[0]) != NULL)
		t = text_from(t, 1);
	return t;
}

bool
jsonscan_next(struct text *list, bool *first, struct text *value)
{
	if (*first) {
		if (list->len == 0 || list->at[0] != '[')
			return false;
		*list = text_from(*list, 1);
		*first = false;
	}
	*list = skip(*list, ", \t\r\n");
	if (list->len == 0 || list->at[0] == ']')
		return false;
	*value = jsonscan_value(*list, list);
	return value->len > 0;
}

bool
jsonscan_pair(struct text *object, struct text *name, struct text *value)
{
	struct text t = skip(*object, "{, \t\r\n");

	if (t.len == 0 || t.at[0] != '"')
		return false;
	*name = jsonscan_value(t, &t);
	t = skip(t, " \t\r\n");
	if (name->len < 2 || t.len == 0 || t.at[0] != ':')
		return false;
	*name = (struct text){ name->at + 1, name->len - 2 };
	*value = jsonscan_value(text_from(t, 1), object);
	return value->len > 0;
}

struct text
jsonscan_member(struct text object, const char *name)
{
	struct text key, value, want = text_of(name);

	if (object.len == 0 || object.at[0] != '{')
		return (struct text){ NULL, 0 };
	while (jsonscan_pair(&object, &key, &value))
		if (text_equal(key, want))
			return value;
	return (struct text){ NULL, 0 };
}

bool
jsonscan_number(struct text value, uint64_t *out)
{
	bool minus = value.len > 0 && value.at[0] == '-';
	size_t n = text_dec(text_from(value, minus ? 1 : 0), out);

	if (n == 0 || n + minus != value.len)
		return false;
	if (minus)
		*out = 0 - *out;
	return true;
}

static size_t
put_utf8(uint32_t c, char *out)
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

/* "\u00e9" at the begin of t, with its second half when there is one; bytes used, 0: damaged. */
static size_t
unicode(struct text t, uint32_t *out)
{
	uint64_t hi, lo;

	if (t.len < 6 || text_hex((struct text){ t.at + 2, 4 }, &hi) != 4)
		return 0;
	*out = (uint32_t)hi;
	if (hi < 0xd800 || hi > 0xdfff)
		return 6;
	*out = 0xfffd;
	if (hi > 0xdbff || t.len < 12 || t.at[6] != '\\' || t.at[7] != 'u' ||
	    text_hex((struct text){ t.at + 8, 4 }, &lo) != 4 || lo < 0xdc00 || lo > 0xdfff)
		return 6;
	*out = 0x10000 + (((uint32_t)hi - 0xd800) << 10) + ((uint32_t)lo - 0xdc00);
	return 12;
}

const char *
jsonscan_string(struct textdump *t, struct text v, size_t max)
{
	static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
	size_t n = 0;
	char *s;

	if (v.len < 2 || v.at[0] != '"')
		return "";
	v = text_upto((struct text){ v.at + 1, v.len - (v.at[v.len - 1] == '"' ? 2 : 1) }, max);
	s = arena_calloc(t->arena, v.len + 1, 1);
	if (s == NULL) {
		t->full = true;
		return "";
	}
	while (v.len > 0) {
		size_t used = 1;
		uint32_t c;
		const char *p;

		if (v.at[0] != '\\' || v.len < 2) {
			s[n++] = v.at[0];
		} else if (v.at[1] == 'u' && (used = unicode(v, &c)) > 0) {
			n += put_utf8(c != 0 ? c : 0xfffd, s + n); /* six bytes and more become at most four */
		} else {
			used = 2;
			p = strchr(from, v.at[1]);
			s[n++] = p != NULL ? to[p - from] : v.at[1];
		}
		v = text_from(v, used);
	}
	return textdump_copy(t, (struct text){ s, n }, max);
}
