/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "collector/api/promql.h"

struct world {
	struct arena *arena;
	struct promql q;
	char err[PROMQL_ERROR_SIZE];
};

static int
setup(void **state)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	w.arena = arena_new((size_t)1 << 20);
	*state = &w;
	return w.arena == NULL;
}

static int
teardown(void **state)
{
	arena_free(((struct world *)*state)->arena);
	return 0;
}

static int
parse(struct world *w, const char *query)
{
	return promql_parse(text_of(query), w->arena, &w->q, w->err);
}

#define assert_text(t, literal) assert_true(text_equal((t), TEXT(literal)))

static void
numbers_and_vectors(void **state)
{
	struct world *w = *state;

	assert_int_equal(parse(w, " vector( 1 ) "), 0);
	assert_int_equal(w->q.kind, PROMQL_VECTOR);
	assert_true(w->q.number == 1);
	assert_int_equal(parse(w, "-1.5e3"), 0);
	assert_int_equal(w->q.kind, PROMQL_NUMBER);
	assert_true(w->q.number == -1500);
	assert_int_equal(parse(w, "vector(0) or vector(2)"), 0);
	assert_true(w->q.has_fallback && w->q.fallback == 2);
}

static void
selectors(void **state)
{
	struct world *w = *state;

	assert_int_equal(parse(w, "a_b{x=\"1\" , y != 'it\\'s\\n' ,}"), 0);
	assert_int_equal(w->q.kind, PROMQL_SELECT);
	assert_int_equal(w->q.over, PROMQL_EACH);
	assert_text(w->q.name, "a_b");
	assert_int_equal(w->q.n_matchers, 2);
	assert_text(w->q.matchers[0].label, "x");
	assert_text(w->q.matchers[0].value, "1");
	assert_false(w->q.matchers[0].differs);
	assert_text(w->q.matchers[1].value, "it's\n");
	assert_true(w->q.matchers[1].differs);
	assert_true(promql_matches(&w->q.matchers[0], TEXT("1")));
	assert_false(promql_matches(&w->q.matchers[0], TEXT("")));
	assert_true(promql_matches(&w->q.matchers[1], TEXT("")));

	assert_int_equal(parse(w, "max (up{a=`\\n`}) or vector(0)"), 0);
	assert_int_equal(w->q.over, PROMQL_MAX);
	assert_text(w->q.name, "up");
	assert_text(w->q.matchers[0].value, "\\n");
	assert_true(w->q.has_fallback);
	/* a metric may be called like a function */
	assert_int_equal(parse(w, "sum{}"), 0);
	assert_text(w->q.name, "sum");
	assert_int_equal(w->q.over, PROMQL_EACH);
}

static void
what_is_not_understood(void **state)
{
	static const struct {
		const char *query, *says;
	} bad[] = {
		{ "", "character 1: the query is empty" },
		{ "   ", "character 4: the query is empty" },
		{ "a{", "expected the name of a label" },
		{ "a{b}", "character 4: expected = or !=" },
		{ "a{b=~\"c\"}", "regular expressions" },
		{ "a{b!~\"c\"}", "regular expressions" },
		{ "a{b=\"c\"", "expected ',' or '}'" },
		{ "a{b=\"c}", "not closed" },
		{ "a{b=\"\\x\"}", "the escapes are" },
		{ "a{b=c}", "a text in quotes" },
		{ "a{__name__=\"b\"}", "in front of the braces" },
		{ "{a=\"b\"}", "in front of the braces" },
		{ "a[5m]", "ranges are not supported" },
		{ "a offset 5m", "there are no operators" },
		{ "a + 1", "there are no operators" },
		{ "1 + 1", "there are no operators" },
		{ "1 or vector(1)", "there are no operators" },
		{ "a or b", "expected vector(...)" },
		{ "a or vector(1) or vector(2)", "should end here" },
		{ "sum(a) by (b)", "there are no operators" },
		{ "sum(sum(a))", "the functions are" },
		{ "sum(1)", "expected the name of a metric" },
		{ "rate(a)", "the functions are" },
		{ "vector(a)", "expected a number" },
		{ "vector(1", "expected ')'" },
		{ "1e999", "expected a number" },
		{ "0x", "there are no operators" },
		{ "a{a=\"\",b=\"\",c=\"\",d=\"\",e=\"\",f=\"\",g=\"\",h=\"\",i=\"\"}", "at most 8 labels" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		w->err[0] = '\0';
		assert_int_equal(parse(w, bad[i].query), -1);
		if (strstr(w->err, bad[i].says) == NULL)
			fail_msg("%s: %s", bad[i].query, w->err);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers_and_vectors, setup, teardown),
		cmocka_unit_test_setup_teardown(selectors, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_understood, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
