/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/gate/multipart.h"

/* What was read, as text: "name/filename/type=data;" a part. */
static char seen[8192];
static size_t n_seen;

static void
note(const char *data, size_t len)
{
	assert_true(n_seen + len < sizeof(seen));
	if (len > 0)
		memcpy(seen + n_seen, data, len);
	seen[n_seen += len] = '\0';
}

static enum discard
part_begin(void *arg, const struct multipart_part *p)
{
	(void)arg;
	note(p->name.at, p->name.len);
	note("/", 1);
	note(p->filename.at, p->filename.len);
	note("/", 1);
	note(p->content_type.at, p->content_type.len);
	note("=", 1);
	return DISCARD_none;
}

static enum discard
part_data(void *arg, const char *data, size_t len)
{
	(void)arg;
	note(data, len);
	return DISCARD_none;
}

static enum discard
part_end(void *arg)
{
	(void)arg;
	note(";", 1);
	return DISCARD_none;
}

static const struct multipart_ops ops = { part_begin, part_data, part_end };

/* In pieces of every size, from one byte to all at once. */
static void
check(const char *boundary, const char *body, enum discard why, bool finished, const char *want)
{
	const size_t len = strlen(body);

	for (size_t step = 1; step <= len; step++) {
		struct multipart m;
		enum discard got = DISCARD_none;

		n_seen = 0;
		seen[0] = '\0';
		multipart_init(&m, text_of(boundary), &ops, NULL);
		for (size_t at = 0; at < len && got == DISCARD_none; at += step)
			got = multipart_feed(&m, body + at, len - at < step ? len - at : step);
		assert_int_equal(got, why);
		assert_int_equal(multipart_finished(&m), finished);
		if (strcmp(seen, want) != 0)
			fail_msg("step %zu: %s is not %s", step, seen, want);
	}
}

#define PART(name) "Content-Disposition: form-data; name=\"" name "\"\r\n"

static void
test_parts(void **state)
{
	(void)state;
	check("b", "--b\r\n" PART("a") "\r\n1\r\n--b\r\n" PART("c") "\r\n2\r\n--b--\r\n", DISCARD_none, true,
	      "a//=1;c//=2;");
	check("b",
	      "preamble\r\n--b \t\r\ncontent-DISPOSITION:form-data;filename=\"f;g\" ; name=a\r\nContent-Type:  text/plain \r\n"
	      "\r\n\r\n--b--epilogue\r\n--b\r\n",
	      DISCARD_none, true, "a/f;g/text/plain=;");
	check("b", "--b\r\n\r\nno headers\r\n--b--", DISCARD_none, true, "//=no headers;");
}

/* Data may look like a delimiter for as long as it likes. */
static void
test_almost_delimiters(void **state)
{
	(void)state;
	check("ab", "--ab\r\n" PART("x") "\r\n\r\r\n\r\n-\r\n--\r\n--a\r\n--aa--ab\n--ab\r\r\n--ab--", DISCARD_none,
	      true, "x//=\r\r\n\r\n-\r\n--\r\n--a\r\n--aa--ab\n--ab\r;");
	check("-", "---\r\n" PART("x") "\r\n--\r\n--\r\n-\r\n-----", DISCARD_none, true, "x//=--\r\n--\r\n-;");
}

static void
test_damage(void **state)
{
	char big[6000];

	(void)state;
	check("b", "--b\r\n" PART("a") "\r\ntorn", DISCARD_none, false, "a//=torn");
	check("b", "--bx\r\n\r\n", DISCARD_bad_multipart, false, "");
	check("b", "--b\n" PART("a") "\r\n\r\n--b--", DISCARD_bad_multipart, false, "");
	memset(big, 'h', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	memcpy(big, "--b\r\n", 5);
	check("b", big, DISCARD_bad_multipart, false, ""); /* headers without end */
	memcpy(big, "hhhhh", 5);
	check("b", big, DISCARD_bad_multipart, false, ""); /* no delimiter comes */
}

static void
test_boundary(void **state)
{
	static const struct {
		const char *type, *boundary;
		enum discard why;
	} rows[] = {
		{ "multipart/form-data; boundary=abc", "abc", DISCARD_none },
		{ "Multipart/Mixed;charset=utf-8; BOUNDARY=\"a b;c\"; x=y", "a b;c", DISCARD_none },
		{ "multipart/form-data", "", DISCARD_no_boundary },
		{ "multipart/form-data; boundary=\"\"", "", DISCARD_no_boundary },
		{ "multipart/form-data; notboundary=a", "", DISCARD_no_boundary },
		{ "multipart/form-data; boundary=0123456789012345678901234567890123456789012345678901234567890123456789x",
		  "", DISCARD_no_boundary },
		{ "text/plain; boundary=a", "", DISCARD_wrong_content_type },
		{ "", "", DISCARD_no_content_type },
	};
	struct text b;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(multipart_boundary(rows[i].type, &b), rows[i].why);
		if (rows[i].why == DISCARD_none)
			assert_true(text_equal(b, text_of(rows[i].boundary)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_almost_delimiters),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_boundary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
