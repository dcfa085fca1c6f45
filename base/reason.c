/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/signature.h"

/* Reason texts and codes to reason classes: words by base/reasons.def, sentences of
 * kernels by the phrases below. */

struct reason_row {
	const char *name;
	uint32_t code;
	enum reason_class class;
	bool weak;
};

static const struct reason_row rows[] = {
#define REASON(name, code, class) { #name, code, REASON_##class, false },
#define WEAK(name, code, class)   { #name, code, REASON_##class, true },
#include "base/reasons.def"
#undef REASON
#undef WEAK
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static const char *const class_names[REASON_N_CLASSES] = {
	[REASON_OTHER] = "other",           [REASON_ACCESS] = "access",     [REASON_ILLEGAL] = "illegal",
	[REASON_ARITHMETIC] = "arithmetic", [REASON_ABORT] = "abort",       [REASON_FASTFAIL] = "fastfail",
	[REASON_STACK] = "stack",           [REASON_WATCHDOG] = "watchdog", [REASON_HARDWARE] = "hardware",
	[REASON_ASSERT] = "assert",
};

/* First match wins, so the telling phrase stands before the general one. */
static const struct phrase {
	const char *words;
	enum reason_class class;
} phrases[] = {
	/* EXC_CRASH of macOS, whose flags begin with the signal behind it */
	{ "unknown 0x0000000a / 0x0b", REASON_ACCESS },
	{ "unknown 0x0000000a / 0x0a", REASON_ACCESS },
	{ "unknown 0x0000000a / 0x08", REASON_ARITHMETIC },
	{ "unknown 0x0000000a / 0x05", REASON_ASSERT },
	{ "unknown 0x0000000a / 0x04", REASON_ILLEGAL },
	{ "unknown 0x0000000a", REASON_ABORT },
	{ "kernel stack overflow", REASON_STACK },
	{ "stack guard page", REASON_STACK },
	{ "double fault", REASON_STACK },
	{ "stack overflow", REASON_STACK },
	{ "kernel stack is corrupted", REASON_FASTFAIL },
	{ "stack smashing", REASON_FASTFAIL },
	{ "heap corruption", REASON_FASTFAIL },
	{ "machine check", REASON_HARDWARE },
	{ "hardware error", REASON_HARDWARE },
	{ "uncorrected", REASON_HARDWARE },
	{ "lockup", REASON_WATCHDOG },
	{ "rcu stall", REASON_WATCHDOG },
	{ "self-detected stall", REASON_WATCHDOG },
	{ "detected stalls", REASON_WATCHDOG },
	{ "hung task", REASON_WATCHDOG },
	{ "hung_task", REASON_WATCHDOG },
	{ "blocked for more than", REASON_WATCHDOG },
	{ "watchdog", REASON_WATCHDOG },
	{ "timed out", REASON_WATCHDOG },
	{ "null pointer", REASON_ACCESS },
	{ "paging request", REASON_ACCESS },
	{ "page fault", REASON_ACCESS },
	{ "unable to handle", REASON_ACCESS },
	{ "general protection", REASON_ACCESS },
	{ "segmentation fault", REASON_ACCESS },
	{ "access violation", REASON_ACCESS },
	{ "use-after-free", REASON_ACCESS },
	{ "out-of-bounds", REASON_ACCESS },
	{ "buffer-overflow", REASON_ACCESS },
	{ "bus error", REASON_ACCESS },
	{ "alignment", REASON_ACCESS },
	{ "divide error", REASON_ARITHMETIC },
	{ "division by zero", REASON_ARITHMETIC },
	{ "divide by zero", REASON_ARITHMETIC },
	{ "floating point", REASON_ARITHMETIC },
	{ "invalid opcode", REASON_ILLEGAL },
	{ "undefined instruction", REASON_ILLEGAL },
	{ "illegal instruction", REASON_ILLEGAL },
	{ "kernel bug at", REASON_ASSERT },
	{ "assert", REASON_ASSERT },
	{ "panicked at", REASON_ABORT },
	{ "attempted to kill init", REASON_ABORT },
	{ "not syncing", REASON_ABORT },
	{ "nsexception", REASON_ABORT },
	{ "c++ exception", REASON_ABORT },
	{ "abort", REASON_ABORT },
	{ "oops", REASON_ACCESS },
};

const char *
reason_class_name(enum reason_class c)
{
	return (unsigned)c < REASON_N_CLASSES ? class_names[c] : class_names[REASON_OTHER];
}

int
reason_class_parse(const char *s, size_t len)
{
	for (int i = 0; i < REASON_N_CLASSES; i++)
		if (strlen(class_names[i]) == len && memcmp(class_names[i], s, len) == 0)
			return i;
	return -1;
}

static const struct reason_row *
row_of_code(uint64_t code)
{
	/* Windows x64 sign-extends NTSTATUS parameters */
	if (code >> 32 == 0xffffffff && (code & 0x80000000))
		code = (uint32_t)code;
	for (size_t i = 0; code != 0 && i < N_ROWS; i++)
		if (rows[i].code == code)
			return &rows[i];
	return NULL;
}

enum reason_class
reason_class_of_code(uint64_t code)
{
	const struct reason_row *row = row_of_code(code);

	return row != NULL ? row->class : REASON_OTHER;
}

const char *
bugcheck_name(uint64_t code)
{
	const struct reason_row *row = row_of_code(code);

	return row != NULL ? row->name : NULL;
}

struct word {
	const char *p;
	size_t len;
};

/* Upper-case order, as the table is sorted: strncasecmp() would fold the other way
 * and put '_' elsewhere. */
static int
word_cmp(const void *key, const void *elem)
{
	const struct word *w = key;
	const char *name = ((const struct reason_row *)elem)->name;

	for (size_t i = 0; i < w->len; i++) {
		char c = w->p[i] >= 'a' && w->p[i] <= 'z' ? (char)(w->p[i] - 'a' + 'A') : w->p[i];

		if (c != name[i])
			return (unsigned char)c < (unsigned char)name[i] ? -1 : 1;
	}
	return name[w->len] == '\0' ? 0 : -1;
}

static bool
word_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool
hex_word(struct word w, uint64_t *v_out)
{
	uint64_t v = 0;

	if (w.len > 2 && w.p[0] == '0' && (w.p[1] == 'x' || w.p[1] == 'X'))
		w = (struct word){ w.p + 2, w.len - 2 };
	else if (w.len != 8)
		return false; /* without 0x only NTSTATUS is written as bare digits */
	if (w.len > 16)
		return false;
	for (size_t i = 0; i < w.len; i++) {
		char c = w.p[i];
		int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;

		if (d < 0)
			return false;
		v = v << 4 | (uint64_t)d;
	}
	*v_out = v;
	return true;
}

/* After "unknown" a small number is an exception or signal, not a stop code. */
static const struct reason_row *
row_of_word(struct word w, bool unknown)
{
	const struct reason_row *row;
	static const struct word fast = { "FAST_FAIL", 9 };
	uint64_t code;

	if (hex_word(w, &code))
		return unknown && code < 0x40000000 ? NULL : row_of_code(code);
	row = bsearch(&w, rows, N_ROWS, sizeof(rows[0]), word_cmp);
	if (row == NULL && w.len > 10 && strncasecmp(w.p, "FAST_FAIL_", 10) == 0)
		row = bsearch(&fast, rows, N_ROWS, sizeof(rows[0]), word_cmp);
	return row;
}

static bool
contains(const char *hay, size_t len, const char *words)
{
	size_t n = strlen(words);

	for (size_t i = 0; i + n <= len; i++)
		if (strncasecmp(hay + i, words, n) == 0)
			return true;
	return false;
}

enum reason_class
reason_class_of(const char *reason, size_t len)
{
	const struct reason_row *weak = NULL;
	bool numbers_done = false, unknown;

	if (reason == NULL)
		return REASON_OTHER;
	unknown = len >= 7 && strncasecmp(reason, "unknown", 7) == 0;
	if (len > 256)
		len = 256; /* the rest of a longer text says nothing more */
	for (size_t i = 0; i < len;) {
		struct word w = { reason + i, 0 };
		const struct reason_row *row;

		while (w.len < len - i && word_char(w.p[w.len]))
			w.len++;
		i += w.len ? w.len : 1;
		if (w.len < 3 || (w.p[0] == '0' && numbers_done))
			continue;
		row = row_of_word(w, unknown);
		/* "0x50 (0xffff…, 0x2)": the first number is the code, the next are its parameters,
		 * of which the first can be the exception behind a general stop code */
		numbers_done |= w.p[0] == '0' && !(row != NULL && row->weak && weak == NULL);
		if (row != NULL && !row->weak)
			return row->class;
		if (weak == NULL)
			weak = row;
	}
	if (weak != NULL)
		return weak->class;
	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (contains(reason, len, phrases[i].words))
			return phrases[i].class;
	return REASON_OTHER;
}
