/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "collector/gate/json_in.h"

void
json_in_init(struct json_in *j, char *text, size_t len)
{
	*j = (struct json_in){ .p = text, .end = text + len, .why = DISCARD_none };
}

static void
fail(struct json_in *j, enum discard why)
{
	if (j->why == DISCARD_none)
		j->why = why;
	j->p = j->end;
}

static void
skip_white(struct json_in *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
		j->p++;
}

/* Take one character of punctuation if it comes next. */
static bool
take(struct json_in *j, char c)
{
	skip_white(j);
	if (j->p == j->end || *j->p != c)
		return false;
	j->p++;
	return true;
}

enum json_kind
json_in_kind(struct json_in *j)
{
	skip_white(j);
	if (j->p == j->end)
		return JSON_BAD;
	switch (*j->p) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
	case 'f':
		return JSON_BOOL;
	case 'n':
		return JSON_NULL;
	default:
		return *j->p == '-' || (*j->p >= '0' && *j->p <= '9') ? JSON_NUMBER : JSON_BAD;
	}
}

bool
json_in_open(struct json_in *j, enum json_kind kind)
{
	if (!take(j, kind == JSON_OBJECT ? '{' : '[') || ++j->depth > JSON_MAX_DEPTH) {
		fail(j, DISCARD_invalid_json);
		return false;
	}
	return true;
}

/* Between members: true if another one follows. */
static bool
next_member(struct json_in *j, bool *first, char close)
{
	if (j->why != DISCARD_none)
		return false;
	if (take(j, close)) {
		j->depth--;
		return false;
	}
	if (!*first && !take(j, ',')) {
		fail(j, DISCARD_invalid_json);
		return false;
	}
	*first = false;
	return true;
}

bool
json_in_item(struct json_in *j, bool *first)
{
	return next_member(j, first, ']');
}

bool
json_in_key(struct json_in *j, bool *first, struct text *key_out)
{
	if (!next_member(j, first, '}'))
		return false;
	*key_out = json_in_string(j);
	if (j->why == DISCARD_none && !take(j, ':'))
		fail(j, DISCARD_invalid_json);
	return j->why == DISCARD_none;
}

static int
hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		const char c = p[i], low = (char)(c | 32);

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if (low >= 'a' && low <= 'f')
			v = v << 4 | (low - 'a' + 10);
		else
			return -1;
	}
	return v;
}

static char *
put_utf8(char *out, unsigned cp)
{
	if (cp < 0x80) {
		*out++ = (char)cp;
	} else if (cp < 0x800) {
		*out++ = (char)(0xc0 | cp >> 6);
		*out++ = (char)(0x80 | (cp & 63));
	} else if (cp < 0x10000) {
		*out++ = (char)(0xe0 | cp >> 12);
		*out++ = (char)(0x80 | (cp >> 6 & 63));
		*out++ = (char)(0x80 | (cp & 63));
	} else {
		*out++ = (char)(0xf0 | cp >> 18);
		*out++ = (char)(0x80 | (cp >> 12 & 63));
		*out++ = (char)(0x80 | (cp >> 6 & 63));
		*out++ = (char)(0x80 | (cp & 63));
	}
	return out;
}

/* \uXXXX at j->p (past the u), with its second half when it is a surrogate. */
static char *
unescape_unicode(struct json_in *j, char *out)
{
	int cp, low;

	if (j->end - j->p < 4 || (cp = hex4(j->p)) == -1)
		return NULL;
	j->p += 4;
	if (cp >= 0xdc00 && cp <= 0xdfff)
		return NULL;
	if (cp >= 0xd800 && cp <= 0xdbff) {
		if (j->end - j->p < 6 || j->p[0] != '\\' || j->p[1] != 'u' || (low = hex4(j->p + 2)) < 0xdc00 ||
		    low > 0xdfff)
			return NULL;
		j->p += 6;
		cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
	}
	return put_utf8(out, (unsigned)cp);
}

/* The character after a backslash: an escape is never shorter than what it stands for. */
static char *
unescape(struct json_in *j, char *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	char c;

	if (j->p == j->end)
		return NULL;
	c = *j->p++;
	if (c == 'u')
		return unescape_unicode(j, out);
	if (c == '\0' || (at = strchr(from, c)) == NULL)
		return NULL;
	*out = to[at - from];
	return out + 1;
}

struct text
json_in_string(struct json_in *j)
{
	struct text t = { NULL, 0 };
	char *start, *out;
	unsigned char all = 0;

	if (!take(j, '"')) {
		fail(j, DISCARD_invalid_json);
		return t;
	}
	start = out = j->p;
	while (j->p < j->end && *j->p != '"') {
		const char c = *j->p++;

		if (c == '\\') {
			if ((out = unescape(j, out)) == NULL)
				break;
			all |= (unsigned char)out[-1];
			continue;
		}
		if ((unsigned char)c < 0x20) {
			out = NULL;
			break;
		}
		all |= (unsigned char)c;
		*out++ = c;
	}
	if (out == NULL || j->p == j->end) {
		fail(j, DISCARD_invalid_json);
		return t;
	}
	j->p++;
	t = (struct text){ start, (size_t)(out - start) };
	if (all >= 0x80 && !text_is_utf8(t))
		fail(j, DISCARD_invalid_utf8);
	return t;
}

static size_t
digits(struct json_in *j)
{
	const char *from = j->p;

	while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
		j->p++;
	return (size_t)(j->p - from);
}

struct text
json_in_number(struct json_in *j)
{
	const char *start;
	size_t n;

	skip_white(j);
	start = j->p;
	if (j->p < j->end && *j->p == '-')
		j->p++;
	n = digits(j);
	if (n == 0 || (n > 1 && *(j->p - n) == '0'))
		goto bad;
	if (j->p < j->end && *j->p == '.') {
		j->p++;
		if (digits(j) == 0)
			goto bad;
	}
	if (j->p < j->end && (*j->p == 'e' || *j->p == 'E')) {
		j->p++;
		if (j->p < j->end && (*j->p == '+' || *j->p == '-'))
			j->p++;
		if (digits(j) == 0)
			goto bad;
	}
	return (struct text){ start, (size_t)(j->p - start) };
bad:
	fail(j, DISCARD_invalid_json);
	return (struct text){ NULL, 0 };
}

static bool
literal(struct json_in *j, const char *word)
{
	const size_t n = strlen(word);

	skip_white(j);
	if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0)
		return false;
	j->p += n;
	return true;
}

bool
json_in_bool(struct json_in *j)
{
	if (literal(j, "true"))
		return true;
	if (!literal(j, "false"))
		fail(j, DISCARD_invalid_json);
	return false;
}

void
json_in_skip(struct json_in *j)
{
	struct text key;
	bool first = true;

	switch (json_in_kind(j)) {
	case JSON_OBJECT:
		if (json_in_open(j, JSON_OBJECT))
			while (json_in_key(j, &first, &key))
				json_in_skip(j);
		break;
	case JSON_ARRAY:
		if (json_in_open(j, JSON_ARRAY))
			while (json_in_item(j, &first))
				json_in_skip(j);
		break;
	case JSON_STRING:
		(void)json_in_string(j);
		break;
	case JSON_NUMBER:
		(void)json_in_number(j);
		break;
	case JSON_BOOL:
		(void)json_in_bool(j);
		break;
	case JSON_NULL:
		if (!literal(j, "null"))
			fail(j, DISCARD_invalid_json);
		break;
	case JSON_BAD:
		fail(j, DISCARD_invalid_json);
		break;
	}
}

bool
json_in_done(struct json_in *j)
{
	skip_white(j);
	if (j->p != j->end)
		fail(j, DISCARD_invalid_json);
	return j->why == DISCARD_none;
}
