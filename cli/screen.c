/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "cli/api_client.h"
#include "cli/glyph.h"
#include "cli/screen.h"

#define WIDEST 4096

int
screen_left(const struct screen *s)
{
	return s->rows > s->used ? s->rows - s->used : 0;
}

void
screen_style(const struct screen *s, enum screen_style style)
{
	static const struct {
		const char *coloured, *plain;
	} codes[] = {
		[STYLE_PLAIN] = { "0", "0" },
		[STYLE_BOLD] = { "0;1", "0;1" },
		[STYLE_HEADING] = { "0;7", "0;7" },
		[STYLE_PROCEED] = { "0;34", "0" },
		[STYLE_HOLD] = { "0;36", "0" },
		[STYLE_WATCH] = { "0;30;43", "0;1" },
		[STYLE_HALT] = { "0;1;37;41", "0;1;7" },
		[STYLE_UNKNOWN] = { "0;2;7", "0;7" },
	};

	if (s->live)
		fprintf(s->out, "\x1b[%sm", s->colours ? codes[style].coloured : codes[style].plain);
}

void
screen_end_line(struct screen *s)
{
	if (s->live)
		fputs(s->column < s->width ? "\x1b[0m\x1b[K\r\n" : "\x1b[0m\r\n", s->out); /* K takes the last column */
	else
		fputc('\n', s->out);
	s->used++;
	s->column = 0;
}

void
screen_space(struct screen *s, int n)
{
	for (; n > 0 && s->column < s->width; n--, s->column++)
		fputc(' ', s->out);
}

void
screen_text(struct screen *s, const char *text, int width, bool pad)
{
	const int room = s->width - s->column;

	if (width > room)
		width = room;
	if (width > 0)
		s->column += print_column(s->out, text, width, pad);
}

int
screen_columns(const char *text)
{
	struct glyph g;
	int n = 0;

	for (; *text != '\0' && n < WIDEST; text += g.taken) {
		glyph_next(text, &g);
		n += g.columns;
	}
	return n;
}

void
screen_right(struct screen *s, const char *text, int width)
{
	screen_space(s, width - screen_columns(text));
	screen_text(s, text, width, false);
}

void
screen_bar(struct screen *s, enum screen_style style, const char *text)
{
	screen_style(s, style);
	screen_text(s, text, s->width, true);
	screen_end_line(s);
}

/* Bytes of text that go in a line of so many columns: up to the last space that fits, if there is one. */
static size_t
line_of(const char *text, int width)
{
	size_t at = 0, space = 0;
	struct glyph g;

	for (int column = 0; text[at] != '\0'; at += g.taken) {
		glyph_next(text + at, &g);
		if (column + g.columns > width)
			return space > 0 ? space : at > 0 ? at : g.taken;
		if (text[at] == ' ')
			space = at;
		column += g.columns;
	}
	return at;
}

void
screen_wrapped(struct screen *s, const char *text, int indent, int lines)
{
	char line[WIDEST];

	while (*text != '\0' && lines-- > 0) {
		size_t n = line_of(text, s->width - indent);
		bool cut = lines == 0 && text[n] != '\0';

		screen_space(s, indent - s->column);
		if (cut) /* as much as fits, and the sign that there is more */
			screen_text(s, text, s->width - indent, false);
		else {
			if (n >= sizeof(line))
				n = sizeof(line) - 1;
			memcpy(line, text, n);
			line[n] = '\0';
			screen_text(s, line, s->width - indent, false);
		}
		screen_end_line(s);
		text += n;
		text += strspn(text, " ");
	}
}

/* The highest of values[from, to); false: none is known. */
static bool
highest(const json_t *values, size_t from, size_t to, double *out)
{
	bool known = false;

	for (size_t i = from; i < to; i++) {
		const json_t *v = json_array_get(values, i);

		if (json_is_number(v) && (!known || json_number_value(v) > *out)) {
			*out = json_number_value(v);
			known = true;
		}
	}
	return known;
}

void
screen_spark(struct screen *s, const json_t *values, int width, bool from_zero)
{
	static const char *const bars[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	const size_t n = json_array_size(values);
	double low = 0, high = 0, v = 0;
	bool any = false;

	if (width > s->width - s->column)
		width = s->width - s->column;
	if (width <= 0)
		return;
	if ((size_t)width > n)
		width = (int)n;
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < width; i++) {
			bool known =
				highest(values, n * (size_t)i / (size_t)width, n * (size_t)(i + 1) / (size_t)width, &v);
			double share;

			if (pass == 0) {
				if (known) {
					low = !any || v < low ? v : low;
					high = !any || v > high ? v : high;
					any = true;
				}
				continue;
			}
			if (from_zero || low < high / 2)
				low = 0;
			share = high > low ? (v - low) / (high - low) : high > 0 ? 0.5 : 0;
			s->column += print_column(s->out, known ? bars[(int)(share * 7 + 0.5)] : " ", 1, true);
		}
}
