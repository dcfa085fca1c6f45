/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "collector/store/outcomes.h"
#include "tests/unit/log_help.h"

/* Decisions of the fold, as the projector reads them, across any end of the daemon. */

#define POS(batch) ((uint64_t)(batch) << 16)

static int
setup(void **state)
{
	*state = temp_dir_new();
	return 0;
}

static int
teardown(void **state)
{
	temp_dir_free(*state);
	return 0;
}

static struct outcomes *
open_at(const char *dir, uint64_t from)
{
	char err[256];
	struct outcomes *o = outcomes_open(dir, err, sizeof(err));

	assert_non_null(o);
	outcomes_rewind(o, from);
	return o;
}

/* What a deterministic fold says: one report in seven is resent, one batch in 50 is double. */
static uint32_t
decision(uint64_t batch, uint32_t i)
{
	if (batch % 50 == 49)
		return OUTCOME_RESENT | OUTCOME_DUPLICATE;
	return hash_mix(batch * 64 + i) % 7 == 0 ? OUTCOME_RESENT : 0;
}

static void
fold(struct outcomes *o, uint64_t from, uint64_t to)
{
	for (uint64_t b = from; b < to; b++) {
		if (b % 50 == 49)
			outcomes_put(o, POS(b), OUTCOME_DUPLICATE);
		else
			for (uint32_t i = 0; i < 64; i++)
				if (decision(b, i) != 0)
					outcomes_put(o, POS(b) + i, decision(b, i));
		outcomes_decided(o, POS(b + 1));
	}
}

static void
assert_reads(struct outcomes *o, uint64_t from, uint64_t to)
{
	outcomes_seek(o, POS(from));
	for (uint64_t b = from; b < to; b++) {
		assert_int_equal(outcomes_wait(o, POS(b + 1), 0), 1);
		for (uint32_t i = 0; i < 64; i++)
			assert_int_equal(outcomes_get(o, POS(b), POS(b) + i), decision(b, i));
	}
}

static void
test_read_as_written(void **state)
{
	struct outcomes *o = open_at(*state, POS(1));

	assert_int_equal(outcomes_wait(o, POS(2), 0), 0);
	fold(o, 1, 20);
	assert_reads(o, 1, 20);
	fold(o, 20, 200); /* read on where it stopped */
	for (uint64_t b = 20; b < 200; b++)
		for (uint32_t i = 0; i < 64; i++)
			assert_int_equal(outcomes_get(o, POS(b), POS(b) + i), decision(b, i));
	assert_reads(o, 7, 200);
	outcomes_close(o);
}

static void
test_many_files(void **state)
{
	struct outcomes *o = open_at(*state, POS(1));

	fold(o, 1, 20000); /* 180,000 entries of 16 bytes: three files */
	assert_reads(o, 1, 20000);
	outcomes_release(o, POS(19000));
	assert_reads(o, 19000, 20000);
	outcomes_close(o);
}

/* Snapshots are taken after a sync; a killed daemon folds again from the snapshot. */
static void
test_killed_between_snapshots(void **state)
{
	for (int round = 0; round < 20; round++) {
		uint64_t snapshot = (uint64_t)round * 40 + 1;
		struct outcomes *o = open_at(*state, POS(snapshot));

		fold(o, snapshot, snapshot + 40);
		assert_int_equal(outcomes_sync(o), 0);
		fold(o, snapshot + 40, snapshot + 40 + (uint64_t)round * 13 % 90);
		outcomes_close(o); /* what is above the snapshot is there or not: both are fine */
	}
	struct outcomes *o = open_at(*state, POS(801));

	fold(o, 801, 900);
	assert_reads(o, 1, 900);
	outcomes_close(o);
}

/* A tail that a power cut tore. */
static void
test_torn_tail(void **state)
{
	struct outcomes *o = open_at(*state, POS(1));
	char path[4096];
	FILE *f;

	fold(o, 1, 30);
	outcomes_sync(o);
	fold(o, 30, 60);
	outcomes_close(o);
	snprintf(path, sizeof(path), "%s/%016llx.out", (char *)*state, (unsigned long long)POS(1));
	f = fopen(path, "r+");
	assert_non_null(f);
	fseek(f, -100, SEEK_END);
	for (int i = 0; i < 100; i++)
		fputc(i < 50 ? 0 : 0xa5, f);
	fclose(f);
	o = open_at(*state, POS(30));
	fold(o, 30, 60);
	assert_reads(o, 1, 60);
	outcomes_close(o);
}

static void
test_lost_decisions_are_told(void **state)
{
	struct outcomes *o = open_at(*state, POS(100)); /* nothing is known of what came before */

	fold(o, 100, 110);
	outcomes_seek(o, POS(98));
	assert_int_equal(outcomes_get(o, POS(98), POS(98)), OUTCOME_UNKNOWN);
	assert_int_equal(outcomes_get(o, POS(99), POS(99) + 5), OUTCOME_UNKNOWN);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(outcomes_get(o, POS(100), POS(100) + i), decision(100, i));
	outcomes_close(o);

	o = open_at(*state, POS(200)); /* files end at 110, the snapshot is later */
	fold(o, 200, 210);
	outcomes_seek(o, POS(105));
	assert_int_equal(outcomes_get(o, POS(105), POS(105)), decision(105, 0));
	assert_int_equal(outcomes_get(o, POS(150), POS(150)), OUTCOME_UNKNOWN);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(outcomes_get(o, POS(200), POS(200) + i), decision(200, i));
	outcomes_close(o);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(read_as_written),         T(many_files), T(killed_between_snapshots), T(torn_tail),
		T(lost_decisions_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
