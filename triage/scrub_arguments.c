/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/scrub_private.h"

/* Command lines.  What a secret is can only be guessed from names: the guess errs on the side of x. */

struct units {
	uint8_t *p;
	size_t n; /* characters */
	unsigned width;
	uint64_t changed; /* bytes */
};

/* Lower-case ASCII; anything else that is wider is 0x80. */
static unsigned
at(const struct units *u, size_t i)
{
	unsigned c = u->p[i * u->width];

	if (u->width == 2 && u->p[i * 2 + 1] != 0)
		return 0x80;
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static void
mask(struct units *u, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		u->changed += u->width;
		u->p[i * u->width] = 'x';
		if (u->width == 2)
			u->p[i * 2 + 1] = 0;
	}
}

static bool
says(const struct units *u, size_t from, size_t to, const char *word)
{
	size_t n = strlen(word);

	if (to - from < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (at(u, from + i) != (unsigned char)word[i])
			return false;
	return true;
}

/* Is a name in [from, to) like that of a secret? */
static bool
secret_name(const struct units *u, size_t from, size_t to)
{
	static const char *const words[] = { "pass", "pwd",    "secret",  "token",   "key",    "auth",
					     "cred", "cookie", "session", "private", "bearer", "signature" };

	for (size_t i = from; i < to; i++)
		for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
			if (says(u, i, to, words[w]))
				return true;
	return false;
}

/* Tokens that are known by their beginning. */
static bool
known_token(const struct units *u, size_t from, size_t to)
{
	static const char *const starts[] = { "ghp_",  "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-",
					      "xoxp-", "akia", "eyj",  "sk-",         "ya29.",  "-----begin" };

	for (size_t w = 0; w < sizeof(starts) / sizeof(starts[0]); w++)
		if (to - from >= 16 && says(u, from, to, starts[w]))
			return true;
	return false;
}

/* The password of "scheme://user:password@host". */
static void
mask_userinfo(struct units *u, size_t from, size_t to)
{
	size_t start = from, colon = 0, end = 0;

	while (start + 3 <= to && !says(u, start, to, "://"))
		start++;
	if (start + 3 > to)
		return;
	for (size_t i = start + 3; i < to && at(u, i) != '/'; i++) {
		if (at(u, i) == ':' && colon == 0)
			colon = i;
		if (at(u, i) == '@')
			end = i;
	}
	if (colon != 0 && end > colon)
		mask(u, colon + 1, end);
}

/* One argument.  Returns whether its value is the next one. */
static bool
one(struct units *u, size_t from, size_t to)
{
	size_t eq = from;

	while (eq < to && at(u, eq) != '=' && !(at(u, eq) == ':' && at(u, from) == '/'))
		eq++;
	if (known_token(u, from, to)) {
		mask(u, from, to);
		return false;
	}
	if (eq < to && secret_name(u, from, eq)) {
		mask(u, eq + 1, to);
		return false;
	}
	if (eq < to && known_token(u, eq + 1, to))
		mask(u, eq + 1, to);
	mask_userinfo(u, from, to);
	/* "Authorization: Bearer …" as one argument */
	if (eq == to && at(u, from) != '-' && at(u, from) != '/' && secret_name(u, from, to)) {
		size_t colon = from;

		while (colon < to && at(u, colon) != ':')
			colon++;
		if (colon + 1 < to && secret_name(u, from, colon))
			mask(u, colon + 1, to);
	}
	return eq == to && to > from && (at(u, from) == '-' || at(u, from) == '/') && secret_name(u, from, to);
}

uint64_t
scrub_arguments(uint8_t *p, size_t n, unsigned width, bool line, enum scrub_arguments how)
{
	struct units u = { p, n / width, width, 0 };
	bool next = false, first = true;
	size_t i = 0;

	if (how == SCRUB_ARGUMENTS_KEEP)
		return 0;
	while (i < u.n) {
		size_t from = i;
		unsigned quote = 0;

		for (; i < u.n && at(&u, i) != 0; i++) {
			unsigned c = at(&u, i);

			if (line && c == '"')
				quote = quote ? 0 : c;
			else if (line && (c == ' ' || c == '\t') && quote == 0)
				break;
		}
		if (i > from) {
			if (!first && how == SCRUB_ARGUMENTS_ALL)
				mask(&u, from, i);
			else if (next) {
				mask(&u, from, i);
				next = false;
			} else
				next = one(&u, from, i);
			first = false;
		}
		if (i < u.n && line && at(&u, i) == 0)
			break; /* what follows a line's end is padding */
		i++;
	}
	return u.changed;
}
