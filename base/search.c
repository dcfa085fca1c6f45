/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"

/* What a field's value may be. */
enum shape {
	CONTAINED, /* the fleet's text contains it */
	WHOLE,     /* it is the fleet's text, with * for anything */
	WORD,      /* one of a few */
	COUNT,
	OFFSET,
	AGE,
};

static const struct field {
	const char *name;
	enum shape shape;
	const char *words; /* of a WORD, a space between */
} fields[SEARCH_FIELDS] = {
	[SEARCH_TITLE] = { "title", CONTAINED, NULL },
	[SEARCH_MODULE] = { "module", WHOLE, NULL },
	[SEARCH_OFFSET] = { "offset", OFFSET, NULL },
	[SEARCH_KIND] = { "kind", WORD, "kernel boot-critical service user unknown" },
	[SEARCH_REASON] = { "reason", CONTAINED, NULL },
	[SEARCH_BUILD] = { "build", WHOLE, NULL },
	[SEARCH_SITE] = { "site", WHOLE, NULL },
	[SEARCH_OS] = { "os", WHOLE, NULL },
	[SEARCH_PRODUCT] = { "product", WHOLE, NULL },
	[SEARCH_CONTENT] = { "content", CONTAINED, NULL },
	[SEARCH_DEPLOYMENT] = { "deployment", WHOLE, NULL },
	[SEARCH_STATE] = { "state", WORD, "proceed hold watch halt none" },
	[SEARCH_HOSTS] = { "hosts", COUNT, NULL },
	[SEARCH_SITES] = { "sites", COUNT, NULL },
	[SEARCH_REPORTS] = { "reports", COUNT, NULL },
	[SEARCH_NEW] = { "new", AGE, NULL },
	[SEARCH_LAST] = { "last", AGE, NULL },
};

static const char all_fields[] =
	"fields are module, offset, kind, reason, build, site, os, product, content, deployment, state, "
	"hosts, sites, reports, new, last, title";

const char *
search_field_name(enum search_field f)
{
	return f < SEARCH_FIELDS ? fields[f].name : "";
}

static unsigned char
lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool
same_letters(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* ---- parsing ---- */

struct parser {
	struct text q;
	size_t at;
	struct search *out;
	size_t used; /* of out->values */
	struct search_error *err;
};

/* "typed" is what; right.  At most 40 bytes of what was typed, so that the sentence stays short and printable. */
static int
wrong(struct parser *p, size_t at, struct text typed, const char *what, const char *right)
{
	char shown[44];
	size_t n = 0;

	for (size_t i = 0, len; i < typed.len && n + 4 < 40; i += len) {
		bool harmless;

		len = text_character(typed.at + i, typed.len - i, &harmless);
		if (harmless && n + len < 40) {
			memcpy(shown + n, typed.at + i, len);
			n += len;
		} else
			shown[n++] = '?';
	}
	shown[n] = '\0';
	p->err->at = at;
	if (typed.len > 0)
		snprintf(p->err->message, sizeof(p->err->message), "\"%s\" %s; %s", shown, what, right);
	else
		snprintf(p->err->message, sizeof(p->err->message), "%s; %s", what, right);
	p->out->n = 0;
	return -1;
}

/* An operator in front of a number or an age. */
static enum search_op
take_op(struct text *v)
{
	static const struct {
		const char *text;
		enum search_op op;
	} ops[] = { { ">=", SEARCH_AT_LEAST },
		    { "<=", SEARCH_AT_MOST },
		    { ">", SEARCH_MORE },
		    { "<", SEARCH_LESS },
		    { "=", SEARCH_IS } };

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		size_t n = strlen(ops[i].text);

		if (v->len >= n && memcmp(v->at, ops[i].text, n) == 0) {
			*v = (struct text){ v->at + n, v->len - n };
			return ops[i].op;
		}
	}
	return SEARCH_IS;
}

static bool
take_number(struct text v, bool hex_allowed, uint64_t *out)
{
	unsigned base = 10;
	uint64_t n = 0;

	if (hex_allowed && v.len > 2 && v.at[0] == '0' && lower(v.at[1]) == 'x') {
		base = 16;
		v = (struct text){ v.at + 2, v.len - 2 };
	}
	if (v.len == 0)
		return false;
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = lower(v.at[i]);
		unsigned digit = c >= '0' && c <= '9' ? c - 48u : c >= 'a' && c <= 'f' ? c - 87u : 16;

		if (digit >= base || n > (UINT64_MAX - digit) / base)
			return false;
		n = n * base + digit;
	}
	*out = n;
	return true;
}

/* "90s", "10m", "1h", "7d", "2w", to µs. */
static bool
take_age(struct text v, uint64_t *out)
{
	static const struct {
		char unit;
		uint64_t s;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 7 * 86400 } };
	uint64_t n;

	if (v.len < 2 || !take_number((struct text){ v.at, v.len - 1 }, false, &n) || n > 1000000)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (lower(v.at[v.len - 1]) == (unsigned char)units[i].unit) {
			*out = n * units[i].s * 1000000;
			return true;
		}
	return false;
}

static bool
is_word_of(struct text v, const char *words)
{
	while (*words != '\0') {
		size_t n = strcspn(words, " ");

		if (v.len == n && same_letters(v.at, words, n))
			return true;
		words += n + (words[n] == ' ');
	}
	return false;
}

/* The value as it is meant, in out->values. */
static int
value(struct parser *p, struct search_term *t, size_t at)
{
	const struct field *f = &fields[t->field];
	struct text v = t->value;

	if (f->shape != COUNT && f->shape != OFFSET && f->shape != AGE) {
		if (f->shape == WORD && !is_word_of(v, f->words))
			return wrong(p, at, v, "is no word for this field", f->words);
		return 0;
	}
	t->op = take_op(&v);
	at += (size_t)(v.at - t->value.at);
	t->value = v;
	if (f->shape == AGE) {
		if (t->op == SEARCH_IS)
			t->op = SEARCH_AT_MOST;
		return take_age(v, &t->number) ? 0 : wrong(p, at, v, "is no age", "say <30m, <1h, <7d or >2w");
	}
	return take_number(v, f->shape == OFFSET, &t->number)
		       ? 0
		       : wrong(p, at, v, "is no number",
			       f->shape == OFFSET ? "say 0xe14ed, or decimal" : "say >10, >=3, <5 or 7");
}

/* A value, quoted or up to the next space, copied to out->values. */
static int
take_value(struct parser *p, struct text *out)
{
	char *to = p->out->values + p->used;
	size_t n = 0, start = p->at;

	if (p->at < p->q.len && p->q.at[p->at] == '"') {
		for (p->at++;; p->at++) {
			if (p->at >= p->q.len)
				return wrong(p, start, TEXT(""), "a quotation mark is opened here and not closed",
					     "end it with another");
			if (p->q.at[p->at] == '"')
				break;
			if (p->q.at[p->at] == '\\' && p->at + 1 < p->q.len)
				p->at++;
			to[n++] = p->q.at[p->at];
		}
		p->at++;
		if (p->at < p->q.len && !is_space(p->q.at[p->at]))
			return wrong(p, p->at, TEXT(""), "a term ended with the quotation mark before this",
				     "put a space here");
	} else
		while (p->at < p->q.len && !is_space(p->q.at[p->at]))
			to[n++] = p->q.at[p->at++];
	p->used += n;
	*out = (struct text){ to, n };
	return 0;
}

/* "module:" at the beginning of a term; an unknown name in front of a colon is an error, so that a slip of
 * the pen never finds everything. */
static int
take_field(struct parser *p, enum search_field *out)
{
	const char *from = p->q.at + p->at;
	size_t left = p->q.len - p->at, n = 0;

	*out = SEARCH_TITLE;
	while (n < left && ((lower(from[n]) >= 'a' && lower(from[n]) <= 'z') || from[n] == '_'))
		n++;
	if (n == 0 || n >= left || from[n] != ':' || (n + 1 < left && from[n + 1] == ':'))
		return 0; /* a word, also one with C++'s :: in it */
	for (unsigned f = 0; f < SEARCH_FIELDS; f++)
		if (strlen(fields[f].name) == n && same_letters(from, fields[f].name, n)) {
			*out = (enum search_field)f;
			p->at += n + 1;
			return 0;
		}
	return wrong(p, p->at, (struct text){ from, n }, "is no field", all_fields);
}

static int
term(struct parser *p)
{
	struct search_term *t = &p->out->terms[p->out->n];
	size_t start = p->at, at;

	*t = (struct search_term){ .at = (uint16_t)start };
	if (p->q.at[p->at] == '-' && p->at + 1 < p->q.len && !is_space(p->q.at[p->at + 1])) {
		t->negated = true;
		p->at++;
	}
	if (take_field(p, &t->field) != 0)
		return -1;
	at = p->at;
	if (take_value(p, &t->value) != 0)
		return -1;
	if (t->value.len == 0)
		return wrong(p, at, TEXT(""), "a value is missing here", "say for example module:csagent.sys");
	if (value(p, t, at) != 0)
		return -1;
	t->length = (uint16_t)(p->at - start);
	p->out->n++;
	return 0;
}

int
search_parse(struct text query, struct search *out, struct search_error *err)
{
	struct parser p = { .q = query, .out = out, .err = err };

	out->n = 0;
	if (query.len > SEARCH_MAX)
		return wrong(&p, SEARCH_MAX, TEXT(""), "the query is too long", "it may have 1,024 bytes");
	if (!text_is_utf8(query))
		return wrong(&p, 0, TEXT(""), "the query is not UTF-8", "send it percent-encoded as UTF-8");
	for (;;) {
		while (p.at < query.len && is_space(query.at[p.at]))
			p.at++;
		if (p.at >= query.len)
			return 0;
		if (out->n == SEARCH_TERMS)
			return wrong(&p, p.at, TEXT(""), "there are too many terms", "16 are the most");
		if (term(&p) != 0)
			return -1;
	}
}

/* ---- matching ---- */

static bool
contains(struct text has, struct text part)
{
	for (size_t i = 0; i + part.len <= has.len; i++)
		if (same_letters(has.at + i, part.at, part.len))
			return true;
	return false;
}

/* * is any text.  The last star alone is gone back to: what an earlier one took need not change. */
static bool
is_like(struct text has, struct text pattern)
{
	size_t h = 0, p = 0, star = SIZE_MAX, retry = 0;

	while (h < has.len) {
		if (p < pattern.len && pattern.at[p] == '*') {
			star = p++;
			retry = h;
		} else if (p < pattern.len && lower(pattern.at[p]) == lower(has.at[h])) {
			p++;
			h++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			h = ++retry;
		} else
			return false;
	}
	while (p < pattern.len && pattern.at[p] == '*')
		p++;
	return p == pattern.len;
}

bool
search_says(const struct search_term *t, struct text has)
{
	return fields[t->field].shape == CONTAINED ? contains(has, t->value) : is_like(has, t->value);
}

bool
search_holds(const struct search_term *t, uint64_t has)
{
	switch (t->op) {
	case SEARCH_LESS:
		return has < t->number;
	case SEARCH_AT_MOST:
		return has <= t->number;
	case SEARCH_MORE:
		return has > t->number;
	case SEARCH_AT_LEAST:
		return has >= t->number;
	case SEARCH_IS:
		break;
	}
	return has == t->number;
}

size_t
search_column(struct text query, size_t at)
{
	size_t n = 0;

	for (size_t i = 0; i < at && i < query.len; i++)
		n += ((unsigned char)query.at[i] & 0xc0) != 0x80;
	return n;
}
