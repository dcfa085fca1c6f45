/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

/* Lines of a terminal, drawn from the top: nothing wraps, nothing that a fleet chose steers the terminal.
 * A style is said by a word or a shape too: with colours false it is bold or reversed at most. */
enum screen_style {
	STYLE_PLAIN,
	STYLE_BOLD,
	STYLE_HEADING,
	STYLE_PROCEED,
	STYLE_HOLD,
	STYLE_WATCH,
	STYLE_HALT,
	STYLE_UNKNOWN,
};

struct screen {
	FILE *out;
	int width, rows; /* of the terminal, or of the paper */
	int used;        /* lines drawn so far */
	int column;      /* of this line */
	bool live;       /* a terminal that is drawn over; else plain text */
	bool colours;
};

int screen_left(const struct screen *s); /* lines left */
void screen_style(const struct screen *s, enum screen_style style);
void screen_end_line(struct screen *s);
/* At most width columns, and what fits in the line; pads when pad. */
void screen_text(struct screen *s, const char *text, int width, bool pad);
void screen_right(struct screen *s, const char *text, int width); /* pads before */
void screen_space(struct screen *s, int n);
/* A line of its own in a style, over the whole width. */
void screen_bar(struct screen *s, enum screen_style style, const char *text);
/* Text in as many lines as it needs, at most so many, from a column on; "…" ends what is cut. */
void screen_wrapped(struct screen *s, const char *text, int indent, int lines);
/* A trend in so many columns, one after another the highest of equal stretches; null is a gap.  From zero, or
 * from the lowest where that is high above it. */
void screen_spark(struct screen *s, const json_t *values, int width, bool from_zero);

/* Columns that a text needs. */
int screen_columns(const char *text);

#endif
