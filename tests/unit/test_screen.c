/* SPDX-License-Identifier: Apache-2.0 */
/* What commands print for people: text that a fleet chose, numbers, ages, columns, trends. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cli/api_client.h"
#include "cli/figures.h"
#include "cli/glyph.h"
#include "cli/screen.h"

static void
test_glyphs(void **state)
{
	static const struct {
		const char *text, *shown;
		int columns;
	} rows[] = {
		{ "a", "a", 1 },
		{ "é", "é", 1 },
		{ "界", "界", 2 },
		{ "\U0001f4a5", "\U0001f4a5", 2 },
		{ "\u0301", "\u0301", 0 }, /* combines */
		{ "\x1b", "<U+001B>", 8 }, /* steers */
		{ "\n", "<U+000A>", 8 },
		{ "\xc2\x9b", "<U+009B>", 8 },
		{ "\x7f", "<U+007F>", 8 },
		{ "\u202e", "<U+202E>", 8 }, /* turns around */
		{ "\u061c", "<U+061C>", 8 },
		{ "\u200b", "<U+200B>", 8 }, /* hides */
		{ "\u2060", "<U+2060>", 8 },
		{ "\ufeff", "<U+FEFF>", 8 },
		{ "\u00ad", "<U+00AD>", 8 },
		{ "\U000e0041", "<U+E0041>", 9 },
		{ "\xff", "<FF>", 4 },         /* no UTF-8 */
		{ "\xe7\x95", "<E7>", 4 },     /* cut off */
		{ "\xed\xa0\x80", "<ED>", 4 }, /* a surrogate */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct glyph g;

		glyph_next(rows[i].text, &g);
		assert_string_equal(g.text, rows[i].shown);
		assert_int_equal(g.columns, rows[i].columns);
		assert_int_equal(g.len, strlen(rows[i].shown));
		assert_true(g.taken >= 1 && g.taken <= strlen(rows[i].text));
	}
}

static char *
printed(const char *text, int width, bool pad, int *used_out)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	*used_out = print_column(f, text, width, pad);
	fclose(f);
	return out;
}

static void
test_columns(void **state)
{
	static const struct {
		const char *text;
		int width;
		const char *shown;
	} rows[] = {
		{ "csagent.sys", 11, "csagent.sys" },
		{ "csagent.sys", 10, "csagent.s…" },
		{ "ab", 4, "ab  " },
		{ "", 2, "  " },
		{ "ab", 1, "…" },
		{ "ab", 0, "" },
		{ "界界", 4, "界界" },
		{ "界界界", 5, "界界…" },
		{ "界界界", 4, "界 …" },       /* the second half of a character is no place */
		{ "a\u202eb", 8, "a      …" }, /* nor is a part of a box */
		{ "a\u202eb", 10, "a<U+202E>b" },
		{ "e\u0301e\u0301", 2, "e\u0301e\u0301" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int used;
		char *out = printed(rows[i].text, rows[i].width, true, &used);

		assert_string_equal(out, rows[i].shown);
		assert_int_equal(used, rows[i].width);
		free(out);
	}
}

static void
test_figures(void **state)
{
	char buf[FIGURE_SIZE];
	int64_t now;

	(void)state;
	assert_string_equal(figure_count(0, buf), "0");
	assert_string_equal(figure_count(-1234, buf), "-1,234");
	assert_string_equal(figure_count(999999, buf), "999,999");
	assert_string_equal(figure_count(1000000, buf), "1.0 M");
	assert_string_equal(figure_count(INT64_MIN, buf), "-9223372036.9 G");
	assert_int_equal(clock_parse_rfc3339("2026-12-01T03:17:22Z", &now), 0);
	assert_string_equal(figure_age("2026-12-01T03:17:22Z", now, buf), "0 s");
	assert_string_equal(figure_age("2026-12-01T03:18:22Z", now, buf), "0 s"); /* a clock that is ahead */
	assert_string_equal(figure_age("2026-12-01T03:16:23Z", now, buf), "59 s");
	assert_string_equal(figure_age("2026-12-01T03:16:22Z", now, buf), "1 min");
	assert_string_equal(figure_age("2026-12-01T02:17:22Z", now, buf), "1 h");
	assert_string_equal(figure_age("2026-11-30T03:17:22Z", now, buf), "1 d");
	assert_string_equal(figure_age("soon", now, buf), "–");
}

static char *
drawn(int width, void (*draw)(struct screen *s, const void *arg), const void *arg)
{
	struct screen s = { .width = width, .rows = 100 };
	char *out = NULL;
	size_t len;

	s.out = open_memstream(&out, &len);
	draw(&s, arg);
	fclose(s.out);
	return out;
}

static void
draw_wrapped(struct screen *s, const void *text)
{
	screen_wrapped(s, text, 1, 2);
}
static void
draw_spark(struct screen *s, const void *json)
{
	json_t *values = json_loads(json, 0, NULL);

	screen_spark(s, values, s->width, true);
	json_decref(values);
}

static void
test_wrapping_and_trends(void **state)
{
	static const struct {
		void (*draw)(struct screen *s, const void *arg);
		const char *arg, *shown;
	} rows[] = {
		{ draw_wrapped, "one two", " one two\n" },
		{ draw_wrapped, "one two three", " one two\n three\n" },
		{ draw_wrapped, "one two three four five", " one two\n three f…\n" },
		{ draw_wrapped, "abcdefghijkl", " abcdefgh\n ijkl\n" },
		{ draw_wrapped, "", "" },
		{ draw_spark, "[0, 1, null, 7]", "▁▂ █" },
		{ draw_spark, "[0, 0]", "▁▁" },
		{ draw_spark, "[]", "" },
		{ draw_spark, "7", "" },
		{ draw_spark, "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,9]", "▁▁▁▁▁▁▁▁█" }, /* the highest of each two */
		{ draw_spark, "[\"x\", -5, 1e300]", " ▁█" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *out = drawn(9, rows[i].draw, rows[i].arg);

		assert_string_equal(out, rows[i].shown);
		free(out);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glyphs),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_wrapping_and_trends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
