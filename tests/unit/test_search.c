/* SPDX-License-Identifier: Apache-2.0 */
/* The query language: what is valid and how it is read, what is not and where it says so. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/search.h"

static struct search s;
static struct search_error err;

#define parses(q)           assert_int_equal(search_parse(text_of(q), &s, &err), 0)
#define is_text(t, literal) assert_true(text_equal((t), TEXT(literal)))

static void
terms(void **state)
{
	(void)state;
	parses("");
	assert_int_equal(s.n, 0);
	parses("  module:csagent.sys kind:kernel new:<1h hosts:>10 ");
	assert_int_equal(s.n, 4);
	assert_int_equal(s.terms[0].field, SEARCH_MODULE);
	is_text(s.terms[0].value, "csagent.sys");
	assert_int_equal(s.terms[0].at, 2);
	assert_int_equal(s.terms[0].length, strlen("module:csagent.sys"));
	assert_int_equal(s.terms[2].op, SEARCH_LESS);
	assert_true(s.terms[2].number == 3600ull * 1000000);
	assert_int_equal(s.terms[3].op, SEARCH_MORE);
	assert_true(s.terms[3].number == 10);
	parses("-site:\"Berlin Mitte\" \"two words\" -\"x\" Module:A");
	assert_true(s.terms[0].negated && s.terms[2].negated && !s.terms[1].negated);
	is_text(s.terms[0].value, "Berlin Mitte");
	assert_int_equal(s.terms[1].field, SEARCH_TITLE);
	is_text(s.terms[1].value, "two words");
	assert_int_equal(s.terms[3].field, SEARCH_MODULE);
	parses("\"a \\\"quoted\\\" word\"");
	is_text(s.terms[0].value, "a \"quoted\" word");
	parses("std::terminate -");
	assert_int_equal(s.n, 2);
	is_text(s.terms[0].value, "std::terminate");
	is_text(s.terms[1].value, "-");
	parses("offset:0xE14ED reports:>=3 sites:<=2 hosts:7 last:2w new:>=1d");
	assert_true(s.terms[0].number == 0xe14ed && s.terms[1].op == SEARCH_AT_LEAST &&
		    s.terms[2].op == SEARCH_AT_MOST);
	assert_int_equal(s.terms[3].op, SEARCH_IS);
	assert_int_equal(s.terms[4].op, SEARCH_AT_MOST); /* an age without a sign: not older */
	assert_true(s.terms[5].number == 86400ull * 1000000);
}

static void
errors_point_at_the_character(void **state)
{
	static const struct {
		const char *query;
		size_t column;
		const char *says;
	} cases[] = {
		{ "modul:x", 0, "\"modul\" is no field; fields are module" },
		{ "kind:kernel size:>3", 12, "\"size\" is no field" },
		{ "kind:kernal", 5, "\"kernal\" is no word for this field; kernel boot-critical" },
		{ "hosts:many", 6, "\"many\" is no number; say >10" },
		{ "hosts:>many", 7, "\"many\" is no number" },
		{ "hosts:>", 7, "is no number" },
		{ "hosts:99999999999999999999999", 6, "is no number" },
		{ "new:<1", 5, "\"1\" is no age; say <30m" },
		{ "new:yesterday", 4, "is no age" },
		{ "a \"b c", 2, "a quotation mark is opened here" },
		{ "\"a\"b", 3, "put a space here" },
		{ "module:", 7, "a value is missing here" },
		{ "-module:\"\"", 8, "a value is missing here" },
		{ "\xc3\xa4\xc3\xb6 kind:x", 8, "is no word" }, /* counted in characters */
		{ "a\xff", 0, "not UTF-8" },
	};
	char many[200] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct text q = text_of(cases[i].query);

		assert_int_equal(search_parse(q, &s, &err), -1);
		assert_int_equal(s.n, 0);
		if (search_column(q, err.at) != cases[i].column || strstr(err.message, cases[i].says) == NULL)
			fail_msg("%s: at %zu, %s", cases[i].query, err.at, err.message);
	}
	for (unsigned i = 0; i <= SEARCH_TERMS; i++)
		strcat(many, "a ");
	assert_int_equal(search_parse(text_of(many), &s, &err), -1);
	assert_int_equal(err.at, 2 * SEARCH_TERMS);
	assert_non_null(strstr(err.message, "16 are the most"));
}

static bool
says(const char *query, const char *has)
{
	parses(query);
	return search_says(&s.terms[0], text_of(has));
}

static void
matching(void **state)
{
	(void)state;
	assert_true(says("AGENT", "csagent.sys+0xe14ed"));
	assert_false(says("agents", "csagent.sys+0xe14ed"));
	assert_true(says("module:CSAgent.sys", "csagent.sys"));
	assert_false(says("module:csagent", "csagent.sys"));
	assert_true(says("module:cs*.sys", "csagent.sys"));
	assert_true(says("module:*", ""));
	assert_true(says("module:*a*a*b", "xxaxxaab"));
	assert_false(says("module:*a*a*b", "xxaxxaabc"));
	assert_true(says("content:292", "channel=292\nother=1"));
	assert_true(says("reason:page_fault", "PAGE_FAULT_IN_NONPAGED_AREA"));
	parses("hosts:>=3");
	assert_true(search_holds(&s.terms[0], 3) && !search_holds(&s.terms[0], 2));
	parses("hosts:<3");
	assert_true(search_holds(&s.terms[0], 2) && !search_holds(&s.terms[0], 3));
	parses("hosts:3");
	assert_true(search_holds(&s.terms[0], 3) && !search_holds(&s.terms[0], 4));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(terms),
		cmocka_unit_test(errors_point_at_the_character),
		cmocka_unit_test(matching),
	};

	return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
