/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_GLYPH_H
#define CLI_GLYPH_H

#include <stddef.h>

/* One character of text that a server or fleet chose, as a terminal may show it.  What would steer the
 * terminal or hide from the eye (control characters, bytes that are no UTF-8, marks of writing direction,
 * blanks without width) becomes a visible "<U+202E>" or "<9B>". */
struct glyph {
	size_t taken;  /* bytes of the text */
	int columns;   /* 0 for marks that combine, 2 for wide East Asian characters and pictures */
	size_t len;    /* bytes to print, */
	char text[12]; /* NUL-terminated */
};

/* s: NUL-terminated and not empty. */
void glyph_next(const char *s, struct glyph *out);

#endif
