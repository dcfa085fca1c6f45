/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "collector/log/report_id.h"

static const struct log_id here = { "0123456789abcde" }, there = { "0123456789abcdf" };

static const uint64_t positions[] = { 0, 1, 0x10000, 0x1ffff, 0xdeadbeefcafef00dull, UINT64_MAX };
#define N_POSITIONS (sizeof(positions) / sizeof(positions[0]))

static void
ids_come_back(void **state)
{
	char id[REPORT_ID_SIZE], bp[REPORT_ID_BP_SIZE];
	uint64_t pos;

	(void)state;
	for (size_t i = 0; i < N_POSITIONS; i++) {
		assert_ptr_equal(report_id_format(positions[i], &here, id), id);
		assert_int_equal(strlen(id), 20);
		pos = 42;
		assert_int_equal(report_id_parse(id, &here, &pos), 0);
		assert_true(pos == positions[i]);
		report_id_format_bp(positions[i], &here, 1721361600000000, bp);
		assert_int_equal(strlen(bp), 39);
		assert_string_equal(bp + 33, "240719");
		pos = 42;
		assert_int_equal(report_id_parse_bp(bp, &here, &pos), 0);
		assert_true(pos == positions[i]);
		assert_int_equal(report_id_parse_bp(bp + 3, &here, &pos), 0);
	}
}

static void
bp_form_has_the_shape_of_a_uuid(void **state)
{
	char bp[REPORT_ID_BP_SIZE];

	(void)state;
	report_id_format_bp(0x0123456789abcdefull, &here, 0, bp);
	assert_memory_equal(bp, "bp-01234567-89ab-4cde-8f", 24);
	assert_int_equal(bp[26], '-');
	assert_string_equal(bp + 33, "700101");
}

static void
ids_of_another_log_are_refused(void **state)
{
	char id[REPORT_ID_SIZE], bp[REPORT_ID_BP_SIZE];
	uint64_t pos = 42;

	(void)state;
	report_id_format(0x10003, &here, id);
	report_id_format_bp(0x10003, &here, 0, bp);
	assert_int_equal(report_id_parse(id, &there, &pos), -1);
	assert_int_equal(report_id_parse_bp(bp, &there, &pos), -1);
	assert_true(pos == 42);
}

/* Whatever one character becomes, the id is refused. */
static void
every_changed_character_is_refused(void **state)
{
	static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyzAV-_ %";
	char id[REPORT_ID_SIZE], bp[REPORT_ID_BP_SIZE];
	uint64_t pos = 42;

	(void)state;
	report_id_format(0x1234567890005ull, &here, id);
	for (size_t i = 0; id[i] != '\0'; i++) {
		char good = id[i];

		for (const char *c = alphabet; *c != '\0'; c++)
			if (*c != good) {
				id[i] = *c;
				assert_int_equal(report_id_parse(id, &here, &pos), -1);
			}
		id[i] = good;
	}
	report_id_format_bp(0x1234567890005ull, &here, 0, bp);
	for (size_t i = 0; i < 33; i++) {
		char good = bp[i];

		for (const char *c = alphabet; *c != '\0'; c++)
			if (*c != good) {
				bp[i] = *c;
				assert_int_equal(report_id_parse_bp(bp, &here, &pos), -1);
			}
		bp[i] = good;
	}
	assert_true(pos == 42);
}

static void
wrong_lengths_and_dates_are_refused(void **state)
{
	char id[REPORT_ID_SIZE + 1], bp[REPORT_ID_BP_SIZE + 1];
	uint64_t pos;

	(void)state;
	report_id_format(0x10003, &here, id);
	strcat(id, "0");
	assert_int_equal(report_id_parse(id, &here, &pos), -1);
	for (int n = 19; n >= 0; n--) {
		id[n] = '\0';
		assert_int_equal(report_id_parse(id, &here, &pos), -1);
	}
	report_id_format_bp(0x10003, &here, 0, bp);
	strcat(bp, "0");
	assert_int_equal(report_id_parse_bp(bp, &here, &pos), -1);
	for (int n = 38; n >= 0; n--) {
		bp[n] = '\0';
		assert_int_equal(report_id_parse_bp(bp, &here, &pos), -1);
	}
	report_id_format_bp(0x10003, &here, 0, bp);
	memcpy(bp + 33, "701301", 6);
	assert_int_equal(report_id_parse_bp(bp, &here, &pos), -1);
	memcpy(bp + 33, "70010x", 6);
	assert_int_equal(report_id_parse_bp(bp, &here, &pos), -1);
}

/* Guessing must not work: of many ids with a random check, none is ours. */
static void
guesses_fail(void **state)
{
	char id[REPORT_ID_SIZE];
	uint64_t pos, seed = 1;

	(void)state;
	report_id_format(0x10003, &here, id);
	for (int i = 0; i < 100000; i++) {
		seed = hash_mix(seed + 0x9e3779b97f4a7c15ull);
		for (int k = 13; k < 20; k++)
			id[k] = "0123456789abcdefghijklmnopqrstuv"[seed >> 5 * (k - 13) & 31];
		assert_int_equal(report_id_parse(id, &here, &pos), -1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_come_back),
		cmocka_unit_test(bp_form_has_the_shape_of_a_uuid),
		cmocka_unit_test(ids_of_another_log_are_refused),
		cmocka_unit_test(every_changed_character_is_refused),
		cmocka_unit_test(wrong_lengths_and_dates_are_refused),
		cmocka_unit_test(guesses_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
