/* SPDX-License-Identifier: Apache-2.0 */
/* Finding signatures in the ledger: pages and ranks against a plain sort, many more of them than a
 * deployment has room for. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/ledger/seek.h"
#include "collector/ledger/state.h"
#include "tests/unit/halt_help.h"
#include "tests/unit/ledger_help.h"

#define MANY 9000u /* signatures; a deployment tests 4,096 new ones */

static struct scribe s;
static struct ledger *l;
static struct arena *arena;

static int
setup(void **state)
{
	struct ledger_options o = { .sink = { 0 } };

	(void)state;
	l = ledger_new(&o);
	scribe_init(&s, l);
	arena = arena_new((size_t)64 << 20);
	return arena == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	scribe_fini(&s);
	ledger_free(l);
	arena_free(arena);
	return 0;
}

static void
crash(uint64_t host, uint64_t signature)
{
	char site[16];

	scribe_crash(&s, &(struct crash){ .host = host,
					  .site = scribe_site(host, site),
					  .module = signature % 2 ? "odd.sys" : "even.sys",
					  .module_id = "66907e3b56000",
					  .offset = 16 * (signature + 1),
					  .kind = REPORT_KERNEL });
}

static struct seek
look(const char *query, enum seek_sort sort)
{
	static struct search q[4];
	static unsigned n;
	struct search *mine = &q[n++ % 4];
	struct search_error err;
	struct seek k = { .sort = sort, .query = mine };
	enum seek_state state;

	assert_int_equal(search_parse(text_of(query), mine, &err), 0);
	while ((state = seek_step(&k, l, arena)) == SEEK_MORE)
		;
	assert_int_equal(state, SEEK_DONE);
	return k;
}

static int
plainly(const void *a, const void *b)
{
	const struct seek_row *x = a, *y = b;

	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return x->key_no < y->key_no ? -1 : x->key_no > y->key_no;
}

static void
pages_are_pieces_of_the_whole(void **state)
{
	static const size_t from[] = { 0, 1, 199, 200, 777, 1999, 2000 };
	struct dice dice = { 11 };
	struct seek_row *all;
	struct seek k;

	(void)state;
	for (unsigned i = 0; i < 4000; i++)
		crash(1 + i % 50, i < 2000 ? i : dice_below(&dice, 2000));
	k = look("", SEEK_BY_HOSTS);
	assert_int_equal(k.n, 2000);
	all = malloc(k.n * sizeof(*all));
	assert_non_null(all);
	memcpy(all, k.rows, k.n * sizeof(*all));
	qsort(all, k.n, sizeof(*all), plainly);
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		size_t n = seek_page(&k, from[i], 200), left = k.n - from[i];

		assert_int_equal(n, left < 200 ? left : 200);
		for (size_t r = 0; r < n; r++)
			assert_int_equal(k.rows[from[i] + r].key_no, all[from[i] + r].key_no);
	}
	free(all);
}

static void
ranks_count_those_that_crash_more(void **state)
{
	struct seek_mark marks[9];
	struct seek_ranks r = { .n = 9, .marks = marks };
	struct seek k;

	(void)state;
	for (unsigned i = 0; i < 100; i++) /* twelve hours ago: signature i crashed i + 1 times */
		for (unsigned n = 0; n <= i; n++)
			crash(1 + n, i);
	scribe_tick(&s, 13 * 3600ll * 1000000);
	for (unsigned i = 0; i < 10; i++) /* now the ten rarest, the rarest most */
		for (unsigned n = 0; n < 10 - i; n++)
			crash(200 + n, i);
	k = look("last:<1h -offset:0x10", SEEK_NEWEST);
	assert_int_equal(k.n, 9);
	r.rows = k.rows;
	assert_int_equal(seek_page(&k, 0, 9), 9);
	while (seek_ranks_step(&r, &k, l, arena) == SEEK_MORE)
		;
	for (unsigned i = 0; i < 9; i++) {
		struct key_view v;

		assert_true(ledger_key_by_number(l, k.rows[i].key_no, &v));
		assert_int_equal(marks[i].rank, v.offset / 16);
		assert_int_equal(marks[i].rank_before, 100 - (v.offset / 16 - 1));
		assert_int_equal(marks[i].builds, 1);
	}
}

/* The index of a deployment's keys was built anew for each key beyond its room: with ten deployments
 * and as many thousand new signatures the ledger stood still. */
static void
each_key_is_found_after_others_gave_way(void **state)
{
	const struct deployment *d;
	const uint64_t served = 1;
	char site[16];
	uint32_t no;

	(void)state;
	scribe_fleet(&s, 1, 300);
	scribe_tick(&s, 2 * 3600ll * 1000000); /* newer hosts have no vote */
	scribe_heartbeat(&s, 1, scribe_site(1, site), "sensor", "b");
	scribe_deploy(&s, "d1", 0, 60000, "armed");
	scribe_serve(&s, "d1", &served, 1);
	for (unsigned i = 0; i < MANY; i++)
		crash(2 + i % 200, i);
	assert_true(ledger_deployment_find(l, 0, TEXT("d1"), &no));
	d = l->deployments[no];
	assert_true(d->n_new == TRIALS_NEW);
	for (uint32_t i = 0; i < d->trials.n; i++)
		if (trial_at(d, i)->key_no != KEY_NONE)
			assert_int_equal(trial_number(d, trial_at(d, i)->key_no), i);
	for (unsigned i = 0; i < 100; i++)
		crash(1, MANY - 1 - i);
	assert_int_equal(look("deployment:d1", SEEK_BY_HOSTS).n, 100);
	assert_int_equal(look("deployment:none", SEEK_BY_HOSTS).n, MANY - 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_are_pieces_of_the_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(ranks_count_those_that_crash_more, setup, teardown),
		cmocka_unit_test_setup_teardown(each_key_is_found_after_others_gave_way, setup, teardown),
	};

	return cmocka_run_group_tests_name("seek", tests, NULL, NULL);
}
