/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "collector/api/promql.h"

#define NUMBER_MAX 63u

struct parse {
	struct text query;
	size_t at;
	struct arena *arena;
	char *err; /* of PROMQL_ERROR_SIZE */
};

__attribute__((format(printf, 2, 3))) static int
fail(const struct parse *p, const char *fmt, ...)
{
	char what[PROMQL_ERROR_SIZE - 24];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(p->err, PROMQL_ERROR_SIZE, "character %zu: %s", p->at + 1, what);
	return -1;
}

/* ---- words ---- */

static char
peek(const struct parse *p)
{
	return p->at < p->query.len ? p->query.at[p->at] : '\0';
}

static char
next_word(struct parse *p)
{
	while (p->at < p->query.len && strchr(" \t\r\n", p->query.at[p->at]) != NULL && p->query.at[p->at] != '\0')
		p->at++;
	return peek(p);
}

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A name, which may be empty. */
static struct text
name(struct parse *p, bool colons)
{
	const size_t from = (next_word(p), p->at);

	while (is_alpha(peek(p)) || (p->at > from && is_digit(peek(p))) || (colons && peek(p) == ':'))
		p->at++;
	return (struct text){ p->query.at + from, p->at - from };
}

static int
expect(struct parse *p, char c)
{
	if (next_word(p) != c)
		return fail(p, "expected '%c'", c);
	p->at++;
	return 0;
}

static int
number(struct parse *p, double *out)
{
	const size_t from = (next_word(p), p->at);
	char buf[NUMBER_MAX + 1], *end;
	size_t len;

	while (is_digit(peek(p)) || (peek(p) != '\0' && strchr("+-.eE", peek(p)) != NULL))
		p->at++;
	len = p->at - from;
	p->at = from;
	if (len == 0 || len > NUMBER_MAX)
		return fail(p, "expected a number");
	memcpy(buf, p->query.at + from, len);
	buf[len] = '\0';
	*out = strtod(buf, &end);
	if (*end != '\0' || !(*out >= -1e300 && *out <= 1e300))
		return fail(p, "expected a number");
	p->at += len;
	return 0;
}

/* "..." or '...' with \\, \", \' and \n; `...` as it stands. */
static int
string(struct parse *p, struct text *out)
{
	const char quote = next_word(p);
	char *to;
	size_t n = 0;

	if (quote == '\0' || strchr("\"'`", quote) == NULL)
		return fail(p, "expected a text in quotes");
	if ((to = arena_calloc(p->arena, p->query.len - p->at + 1, 1)) == NULL)
		return fail(p, "the query is too large");
	for (p->at++; p->at < p->query.len && peek(p) != quote; p->at++) {
		char c = peek(p);

		if (c == '\\' && quote != '`') {
			p->at++;
			c = peek(p);
			if (c == '\0' || strchr("\\\"'n", c) == NULL)
				return fail(p, "the escapes are \\\\, \\\", \\' and \\n");
			c = c == 'n' ? '\n' : c;
		}
		to[n++] = c;
	}
	if (p->at >= p->query.len)
		return fail(p, "the text is not closed");
	p->at++;
	*out = (struct text){ to, n };
	return 0;
}

/* ---- selectors ---- */

static int
matcher(struct parse *p, struct promql *q)
{
	struct promql_matcher *m = &q->matchers[q->n_matchers];
	const size_t from = (next_word(p), p->at);
	char first, second;

	if (q->n_matchers == PROMQL_MATCHERS)
		return fail(p, "at most %u labels can be asked for", PROMQL_MATCHERS);
	m->label = name(p, false);
	if (m->label.len == 0)
		return fail(p, "expected the name of a label");
	if (text_equal(m->label, TEXT("__name__"))) {
		p->at = from;
		return fail(p, "the name of the metric goes in front of the braces");
	}
	first = next_word(p);
	second = p->at + 1 < p->query.len ? p->query.at[p->at + 1] : '\0';
	if ((first == '=' || first == '!') && second == '~')
		return fail(p, "regular expressions are not supported: use = or !=");
	if (first != '=' && !(first == '!' && second == '='))
		return fail(p, "expected = or !=");
	m->differs = first == '!';
	p->at += m->differs ? 2 : 1;
	if (string(p, &m->value) != 0)
		return -1;
	q->n_matchers++;
	return 0;
}

static int
matchers(struct parse *p, struct promql *q)
{
	if (next_word(p) != '{')
		return 0;
	for (p->at++; next_word(p) != '}';) {
		if (matcher(p, q) != 0)
			return -1;
		if (next_word(p) == ',')
			p->at++;
		else if (peek(p) != '}')
			return fail(p, "expected ',' or '}'");
	}
	p->at++;
	return 0;
}

static int
selector(struct parse *p, struct promql *q)
{
	q->kind = PROMQL_SELECT;
	if (q->name.len == 0) {
		q->name = name(p, true);
		if (q->name.len == 0)
			return fail(p, "expected the name of a metric");
	}
	if (matchers(p, q) != 0)
		return -1;
	if (next_word(p) == '[')
		return fail(p, "ranges are not supported: only the newest value is known");
	if (peek(p) == '(')
		return fail(p, "the functions are sum, min, max, count and vector");
	return 0;
}

static int
vector(struct parse *p, double *out)
{
	return expect(p, '(') != 0 || number(p, out) != 0 || expect(p, ')') != 0 ? -1 : 0;
}

static int
term(struct parse *p, struct promql *q)
{
	static const char *const overs[] = { "", "sum", "min", "max", "count" };
	const char first = next_word(p);

	if (first == '\0' && p->at >= p->query.len)
		return fail(p, "the query is empty");
	if (is_digit(first) || first == '.' || first == '-' || first == '+') {
		q->kind = PROMQL_NUMBER;
		return number(p, &q->number);
	}
	if (first == '{')
		return fail(p, "the name of the metric goes in front of the braces");
	q->name = name(p, true);
	if (q->name.len == 0)
		return fail(p, "expected a number, vector(...) or the name of a metric");
	if (next_word(p) != '(')
		return selector(p, q);
	if (text_equal(q->name, TEXT("vector"))) {
		q->kind = PROMQL_VECTOR;
		return vector(p, &q->number);
	}
	for (unsigned o = PROMQL_SUM; o <= PROMQL_COUNT; o++)
		if (text_equal(q->name, text_of(overs[o]))) {
			q->over = (enum promql_over)o;
			q->name.len = 0;
			p->at++;
			return selector(p, q) != 0 || expect(p, ')') != 0 ? -1 : 0;
		}
	return fail(p, "the functions are sum, min, max, count and vector");
}

int
promql_parse(struct text query, struct arena *a, struct promql *out, char err[PROMQL_ERROR_SIZE])
{
	struct parse p = { .query = query, .arena = a, .err = err };
	struct text word;

	memset(out, 0, sizeof(*out));
	if (query.len > PROMQL_QUERY_MAX)
		return fail(&p, "a query is at most %u bytes", PROMQL_QUERY_MAX);
	if (term(&p, out) != 0)
		return -1;
	next_word(&p);
	if (p.at == query.len)
		return 0;
	word = name(&p, false);
	if (!text_equal(word, TEXT("or")) || out->kind == PROMQL_NUMBER) {
		p.at -= word.len;
		return fail(&p, "nothing but \"or vector(...)\" may follow: there are no operators");
	}
	word = name(&p, false);
	if (!text_equal(word, TEXT("vector"))) {
		p.at -= word.len;
		return fail(&p, "expected vector(...) after \"or\"");
	}
	if (vector(&p, &out->fallback) != 0)
		return -1;
	out->has_fallback = true;
	next_word(&p);
	return p.at == query.len ? 0 : fail(&p, "the query should end here");
}

bool
promql_matches(const struct promql_matcher *m, struct text value)
{
	return text_equal(m->value, value) != m->differs;
}
