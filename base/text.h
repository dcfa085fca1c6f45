/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes, usually text; not NUL-terminated.  at may be NULL when len is 0. */
struct text {
	const char *at;
	size_t len;
};

#define TEXT(literal) ((struct text){ "" literal, sizeof(literal) - 1 })

static inline struct text
text_of(const char *s)
{
	return (struct text){ s, s != NULL ? strlen(s) : 0 };
}

static inline bool
text_equal(struct text a, struct text b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Length of the well-formed UTF-8 sequence at p (n > 0 bytes left; a NUL is one), 0 if
 * it is ill-formed. */
size_t text_utf8_sequence(const void *p, size_t n);

/* Bytes of the next character (n > 0 bytes left), and whether a terminal may see it: not if it is ill-formed,
 * a control character, ends a line, or changes the direction of writing. */
size_t text_character(const char *p, size_t n, bool *harmless_out);

/* Well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF); NUL is refused. */
bool text_is_utf8(struct text t);

#endif
