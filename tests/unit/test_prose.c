/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and times in sentences, and where their parts lie. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/ledger/prose.h"

static char out[256];
static struct part parts[4];
static uint32_t n_parts;

static struct prose
begin(size_t size)
{
	struct prose p;

	prose_begin(&p, out, size, parts, 4, &n_parts);
	return p;
}

static const char *
odds(double n)
{
	struct prose p = begin(sizeof(out));

	prose_odds(&p, n);
	return out;
}

static const char *
rate(double r)
{
	struct prose p = begin(sizeof(out));

	prose_rate(&p, r);
	return out;
}

static void
numbers(void **state)
{
	char buf[PROSE_COUNT_SIZE];

	(void)state;
	assert_string_equal(prose_count_text(0, buf), "0");
	assert_string_equal(prose_count_text(999, buf), "999");
	assert_string_equal(prose_count_text(1000, buf), "1,000");
	assert_string_equal(prose_count_text(990198, buf), "990,198");
	assert_string_equal(prose_count_text(UINT64_MAX, buf), "18,446,744,073,709,551,615");
	assert_string_equal(odds(0.2), "1");
	assert_string_equal(odds(1234.4), "1,234");
	assert_string_equal(odds(1e6), "1 million");
	assert_string_equal(odds(999999.9999), "1 million");
	assert_string_equal(odds(4.83e6), "4.8 million");
	assert_string_equal(odds(120e6), "120 million");
	assert_string_equal(odds(2.5e9), "2.5 billion");
	assert_string_equal(odds(1e18), "a trillion");
	assert_string_equal(odds(1.0 / 0.0), "a trillion");
	assert_string_equal(rate(0.00087), "0.087 %");
	assert_string_equal(rate(0.038), "3.8 %");
	assert_string_equal(rate(0.5), "50 %");
	assert_string_equal(rate(0.000012), "12 per million");
}

static void
times(void **state)
{
	const int64_t now = 1784600000000000ll; /* 2026-07-21T02:13:20Z */
	struct prose p = begin(sizeof(out));

	(void)state;
	prose_time(&p, now - 60000000, now);
	assert_string_equal(out, "02:12:20 UTC");
	p = begin(sizeof(out));
	prose_time(&p, now - 3 * 3600000000ll, now);
	assert_string_equal(out, "2026-07-20 23:13 UTC");
	assert_int_equal(parts[0].us, now - 3 * 3600000000ll);
}

static void
parts_are_of_the_text(void **state)
{
	struct prose p = begin(sizeof(out));

	(void)state;
	prose_say(&p, "Of ");
	prose_count(&p, 1042);
	prose_say(&p, " hosts ");
	prose_name(&p, PART_MODULE, "csagent.sys", 7);
	prose_break(&p);
	prose_name(&p, PART_DEPLOYMENT, "d1", 0);
	prose_count(&p, 1); /* no room for a fifth */
	prose_say(&p, ".");
	assert_string_equal(out, "Of 1,042 hosts csagent.sys d11.");
	assert_int_equal(n_parts, 4);
	assert_int_equal(parts[0].at, 3);
	assert_int_equal(parts[0].len, 5);
	assert_true(parts[0].value == 1042);
	assert_memory_equal(out + parts[1].at, "csagent.sys", parts[1].len);
	assert_int_equal(parts[1].id, 7);
	assert_int_equal(parts[2].kind, PART_BREAK);
	p = begin(10);
	prose_say(&p, "Short ");
	prose_name(&p, PART_MODULE, "long name", 0); /* does not fit: the end */
	prose_say(&p, "x");
	assert_string_equal(out, "Short ");
	assert_int_equal(n_parts, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(times),
		cmocka_unit_test(parts_are_of_the_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
