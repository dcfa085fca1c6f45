/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/scrub_private.h"

#define STRING_MAX      131072u /* MAX_ARG_STRLEN of Linux */
#define ENVIRONMENT_MAX (1u << 20)
#define WORDS_MAX       65536u

/* ---- Linux: strings at the top of the first thread's stack ----
 *
 * The kernel puts argc, argv[], NULL, envp[], NULL and the auxiliary vector there.  The vector's
 * bytes are known from the dump, so everything is found by looking for them. */

/* Where in memory the vector is; 0: not in the dump. */
static uint64_t
find_auxv(const struct scrub *s, unsigned width)
{
	size_t want = s->auxv.size < 32u * width ? s->auxv.size : 32u * width;

	if (want < 4u * width)
		return 0;
	want -= want % width;
	for (size_t i = 0; i < s->n_regions; i++) {
		const struct mem_region *r = &s->regions[i];
		const uint8_t *p = r->data, *end = r->data + r->size;

		while ((size_t)(end - p) >= want && (p = memmem(p, (size_t)(end - p), s->auxv.data, want)) != NULL) {
			uint64_t addr = r->addr + (uint64_t)(p - r->data);

			if (addr % width == 0 && addr > r->addr)
				return addr;
			p++;
		}
	}
	return 0;
}

static size_t
string_length(const struct scrub *s, uint64_t addr)
{
	for (size_t n = 0; n < STRING_MAX; n++) {
		const uint8_t *p = scrub_memory(s, addr + n, 1);

		if (p == NULL || *p == 0)
			return n;
	}
	return STRING_MAX;
}

/* Pointers from addr downwards to a zero word or, for argv, to a word that counts them.  The strings are scrubbed;
 * returns the address of that word, 0: lost. */
static uint64_t
scrub_strings(struct scrub *s, uint64_t addr, unsigned width, bool environment)
{
	uint64_t v;

	for (uint64_t i = 0; i < WORDS_MAX; i++, addr -= width) {
		size_t n;

		if (addr < width || !scrub_word(s, addr, width, &v))
			return 0;
		if (environment ? v == 0 : v == i)
			return addr;
		n = string_length(s, v);
		if (environment && s->opt->environment)
			s->counts.environment += scrub_zero(s, v, n);
	}
	return 0;
}

/* argv in order: an option's value may be the next argument. */
static void
scrub_argv(struct scrub *s, uint64_t argc_at, uint64_t argc, unsigned width)
{
	uint64_t first = 0, last = 0;
	size_t total;
	const uint8_t *p;

	if (s->opt->arguments == SCRUB_ARGUMENTS_KEEP || argc == 0 || !scrub_word(s, argc_at + width, width, &first) ||
	    !scrub_word(s, argc_at + argc * width, width, &last) || last < first || last - first > ENVIRONMENT_MAX)
		return;
	total = (size_t)(last - first) + string_length(s, last);
	p = scrub_memory(s, first, total);
	if (p != NULL) /* the kernel lays them one behind the other */
		s->counts.arguments += scrub_arguments(scrub_bytes(s, p), total, 1, false, s->opt->arguments);
}

void
scrub_linux(struct scrub *s)
{
	unsigned width = dump_pointer_width(s->d);
	uint64_t auxv = find_auxv(s, width), at, v;

	if (auxv < 3u * width || !scrub_word(s, auxv - width, width, &v) || v != 0)
		return;
	if ((at = scrub_strings(s, auxv - 2u * width, width, true)) == 0)
		return;
	if ((at = scrub_strings(s, at - width, width, false)) != 0 && scrub_word(s, at, width, &v))
		scrub_argv(s, at, v, width);
}

/* ---- Windows: TEB → PEB → process parameters ----
 *
 * Offsets are those of every Windows since Vista; they are checked by where they lead. */

struct layout {
	unsigned peb, parameters, command_line, environment, environment_size;
};
static const struct layout layout64 = { 0x60, 0x20, 0x70, 0x80, 0x3f0 };
static const struct layout layout32 = { 0x30, 0x10, 0x40, 0x48, 0x290 };

/* Bytes of a block of UTF-16 strings up to its empty one. */
static uint64_t
block_length(const struct scrub *s, uint64_t addr, uint64_t said)
{
	uint64_t n = 0, a, b;

	if (said > 0 && said <= ENVIRONMENT_MAX)
		return said;
	for (; n < ENVIRONMENT_MAX; n += 2)
		if (!scrub_word(s, addr + n, 2, &a) || (a == 0 && (!scrub_word(s, addr + n + 2, 2, &b) || b == 0)))
			break;
	return n;
}

static void
scrub_parameters(struct scrub *s, uint64_t at, unsigned width, const struct layout *l)
{
	uint64_t environment = 0, size = 0, length = 0, text = 0;
	const uint8_t *p;

	if (scrub_word(s, at + l->environment, width, &environment) && environment != 0 && s->opt->environment) {
		(void)scrub_word(s, at + l->environment_size, width, &size);
		size = block_length(s, environment, size);
		s->counts.environment += scrub_zero(s, environment, size);
	}
	if (scrub_word(s, at + l->command_line, 2, &length) &&
	    scrub_word(s, at + l->command_line + width, width, &text) && (p = scrub_memory(s, text, length)) != NULL)
		s->counts.arguments += scrub_arguments(scrub_bytes(s, p), length, 2, true, s->opt->arguments);
}

void
scrub_windows(struct scrub *s, const uint64_t *tebs, size_t n)
{
	unsigned width = dump_pointer_width(s->d);
	const struct layout *l = width == 8 ? &layout64 : &layout32;
	uint64_t last = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t peb, parameters;

		if (tebs[i] == 0 || !scrub_word(s, tebs[i] + l->peb, width, &peb) ||
		    !scrub_word(s, peb + l->parameters, width, &parameters) || parameters == last)
			continue;
		last = parameters;
		scrub_parameters(s, parameters, width, l);
	}
}
