/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/messenger.h"

struct module_rule {
	enum reason_class class;
	const char *module, *rule;
};

struct function_rule {
	const char *kind, *module, *function, *rule;
};

static const struct module_rule modules[] = {
#define MODULE(class, module) { REASON_##class, module, "messenger: " module },
#define FUNCTION(kind, module, function, example)
#include "triage/messengers.def"
#undef MODULE
#undef FUNCTION
};

static const struct function_rule functions[] = {
#define MODULE(class, module)
#define FUNCTION(kind, module, function, example) { kind, module, function, "messenger: " function " (" kind ")" },
#include "triage/messengers.def"
#undef MODULE
#undef FUNCTION
};

struct offset_rule {
	const char *id;
	uint32_t first, size;
	const char *rule;
};

static const struct offset_rule offsets[] = {
#define OFFSETS(id, kind, first, size, function) \
	{ id, first, size, "messenger: " function " (" kind ", known offset)" },
#include "triage/messengeroffsets.def"
#undef OFFSETS
};

/* Greedy from the last star on: linear in practice, quadratic at worst, and names are short. */
bool
messenger_matches(const char *pattern, const char *name)
{
	const char *star = NULL, *retry = NULL;

	while (*name != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			retry = name;
		} else if (*pattern == *name) {
			pattern++;
			name++;
		} else if (star != NULL) {
			pattern = star;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

const char *
messenger_module(enum reason_class class, const char *module)
{
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
		if (modules[i].class == class && messenger_matches(modules[i].module, module))
			return modules[i].rule;
	return NULL;
}

const char *
messenger_function(const char *module, const char *function, bool kernel)
{
	char plain[FUNCTION_PLAIN_MAX + 1];

	if (function_plain(function, plain) == 0)
		return NULL;
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		const struct function_rule *r = &functions[i];

		if ((*r->module != '\0' && !messenger_matches(r->module, module)) ||
		    (!kernel && strcmp(r->kind, "kernel") == 0))
			continue;
		if (messenger_matches(r->function, plain))
			return r->rule;
	}
	return NULL;
}

const char *
messenger_offset(const char *id, uint64_t offset)
{
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		if (offset - offsets[i].first < offsets[i].size && strcmp(offsets[i].id, id) == 0)
			return offsets[i].rule;
	return NULL;
}

/* ---- plain names ---- */

static bool
is_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	return true;
}

static bool
starts(const char *s, size_t n, const char *with)
{
	size_t k = strlen(with);

	return n >= k && memcmp(s, with, k) == 0;
}

/* "?f@C@N@@YAXXZ" → "N::C::f"; 0 for operators and templates, whose names are codes. */
static size_t
from_msvc(const char *s, size_t n, char *out)
{
	size_t end, len = 0, stop;

	for (end = 1; end + 1 < n && !(s[end] == '@' && s[end + 1] == '@'); end++)
		if (s[end] == '?')
			return 0;
	if (end + 1 >= n || end == 1 || end > FUNCTION_PLAIN_MAX / 2)
		return 0;
	for (stop = end; stop > 1;) {
		size_t from = stop;

		while (from > 1 && s[from - 1] != '@')
			from--;
		if (len > 0) {
			memcpy(out + len, "::", 2);
			len += 2;
		}
		memcpy(out + len, s + from, stop - from);
		len += stop - from;
		stop = from > 1 ? from - 1 : 1;
	}
	return len;
}

/* Where the parameters begin; a '(' that is part of the name itself is passed over. */
static size_t
parameters(const char *s, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (s[i] != '(' || starts(s + i, n - i, "(anonymous") || starts(s + i, n - i, "(.") ||
		    starts(s + i, n - i, "(*"))
			continue;
		if (i >= 8 && memcmp(s + i - 8, "operator", 8) == 0)
			continue;
		return i;
	}
	return n;
}

static size_t
without_clones(const char *s, size_t n)
{
	static const char *const marks[] = { ".constprop.", ".isra.", ".part.", ".cold",  ".llvm.",
					     ".lto_priv.",  ".abi0",  ".clone", " [clone" };

	for (size_t i = 1; i < n; i++)
		for (size_t k = 0; k < sizeof(marks) / sizeof(marks[0]); k++)
			if (starts(s + i, n - i, marks[k]))
				return i;
	return n;
}

static size_t
without_version(const char *s, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (s[i] == '@' && s[0] != '?')
			return i;
	return n;
}

static size_t
without_offset(const char *s, size_t n)
{
	for (size_t i = 1; i + 2 < n; i++)
		if (s[i] == '+' && s[i + 1] == '0' && s[i + 2] == 'x')
			return i;
	return n;
}

size_t
function_plain(const char *function, char out[FUNCTION_PLAIN_MAX + 1])
{
	const char *s = function, *bang = strchr(function, '!');
	size_t n;

	if (bang != NULL && bang > s && bang[1] != '\0' && memchr(s, '(', (size_t)(bang - s)) == NULL &&
	    memchr(s, '<', (size_t)(bang - s)) == NULL && memchr(s, ' ', (size_t)(bang - s)) == NULL)
		s = bang + 1;
	n = strlen(s);
	if (n > 2 && s[0] == '?') {
		size_t len = from_msvc(s, n, out);

		out[len] = '\0';
		if (len > 0)
			return len;
	}
	if (s[0] != '+' && s[0] != '-') { /* Objective-C names hold colons and no parameters */
		n = without_offset(s, n);
		n = without_version(s, n);
		n = parameters(s, n);
		n = without_clones(s, n);
		if (n > 19 && memcmp(s + n - 19, "::h", 3) == 0 && is_hex(s + n - 16, 16))
			n -= 19;
	}
	while (n > 0 && s[n - 1] == ' ')
		n--;
	if (n > FUNCTION_PLAIN_MAX)
		for (n = FUNCTION_PLAIN_MAX; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80; n--)
			;
	memcpy(out, s, n);
	out[n] = '\0';
	return n;
}
