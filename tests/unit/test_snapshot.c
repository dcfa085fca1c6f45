/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "tests/unit/ledger_help.h"

/* Changes with every change of what is kept or how it is counted: look at the difference, then
 * put the new value here. */
#define GOLDEN "e6acc70fd81f816d439787ae3613081264cdbda35ff071b4bf3232ecc55cfba5"

/* A store of chunks in memory, as the file store keeps them. */
struct chunk {
	uint64_t id;
	uint8_t *bytes;
	size_t len;
};
struct shelf {
	struct chunk *at;
	size_t n;
	size_t given; /* bytes */
};

static void
put(void *arg, uint64_t id, const void *bytes, size_t len)
{
	struct shelf *sh = arg;
	size_t i;

	for (i = 0; i < sh->n && sh->at[i].id != id; i++)
		;
	if (i == sh->n) {
		sh->at = realloc(sh->at, ++sh->n * sizeof(*sh->at));
		assert_non_null(sh->at);
		sh->at[i].bytes = NULL;
	}
	free(sh->at[i].bytes);
	sh->at[i] = (struct chunk){ id, malloc(len + 1), len };
	assert_non_null(sh->at[i].bytes);
	if (len > 0)
		memcpy(sh->at[i].bytes, bytes, len);
	sh->given += len;
}

static int
by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct chunk *)a)->id, y = ((const struct chunk *)b)->id;

	return (x > y) - (x < y);
}

static struct ledger *
load(struct shelf *sh)
{
	struct ledger *l = ledger_new(NULL);

	qsort(sh->at, sh->n, sizeof(*sh->at), by_id);
	for (size_t i = 0; i < sh->n; i++)
		if (sh->at[i].len > 0)
			assert_int_equal(ledger_load_chunk(l, sh->at[i].id, sh->at[i].bytes, sh->at[i].len), ERR_OK);
	assert_int_equal(ledger_load_end(l), ERR_OK);
	return l;
}

static void
shelf_fini(struct shelf *sh)
{
	for (size_t i = 0; i < sh->n; i++)
		free(sh->at[i].bytes);
	free(sh->at);
}

static void
assert_same(struct ledger *a, struct ledger *b)
{
	uint8_t x[32], y[32];

	ledger_digest(a, x);
	ledger_digest(b, y);
	assert_memory_equal(x, y, 32);
}

static void
make_log(struct scribe *s, uint64_t seed, unsigned records)
{
	scribe_init(s, NULL);
	scribe_random(s, seed, records);
}

/* Restart at every record: snapshot, load, go on; the same state as without. */
static void
test_restart_everywhere(void **state)
{
	struct shelf sh = { 0 };
	struct ledger *plain = ledger_new(NULL), *l = ledger_new(NULL);
	struct scribe s;

	(void)state;
	make_log(&s, 1, 700);
	for (size_t i = 0; i < s.n_kept; i++) {
		assert_int_equal(scribe_fold(&s, i, plain), ERR_OK);
		assert_int_equal(scribe_fold(&s, i, l), ERR_OK);
		ledger_snapshot_begin(l, true, put, &sh);
		while (!ledger_snapshot_step(l, 1000))
			;
		ledger_snapshot_end(l, true);
		ledger_free(l);
		l = load(&sh);
		assert_same(plain, l);
		shelf_fini(&sh);
		sh = (struct shelf){ 0 };
	}
	ledger_free(plain);
	ledger_free(l);
	scribe_fini(&s);
}

/* Incremental snapshots, taken in small steps while folding goes on, hold the state of the
 * moment they began; one that fails loses nothing. */
static void
test_copy_on_write(void **state)
{
	struct shelf sh = { 0 };
	struct ledger *l = ledger_new(NULL), *then = ledger_new(NULL), *back;
	struct scribe s;
	size_t i = 0, n = 0, full;

	(void)state;
	make_log(&s, 2, 6000);
	while (i + 100 < s.n_kept) {
		struct shelf lost = { 0 };
		bool fail = n % 5 == 3;

		for (int k = 0; k < 60; k++, i++) {
			assert_int_equal(scribe_fold(&s, i, l), ERR_OK);
			assert_int_equal(scribe_fold(&s, i, then), ERR_OK);
		}
		full = sh.given;
		ledger_snapshot_begin(l, false, put, fail ? &lost : &sh);
		for (int k = 0; k < 40; k++, i++) {
			assert_int_equal(scribe_fold(&s, i, l), ERR_OK);
			if (k % 4 == 0)
				ledger_snapshot_step(l, 500);
		}
		if (!fail)
			while (!ledger_snapshot_step(l, 500))
				;
		ledger_snapshot_end(l, !fail);
		shelf_fini(&lost);
		if (!fail) {
			back = load(&sh);
			assert_same(then, back);
			ledger_free(back);
		}
		for (size_t k = i - 40; k < i; k++)
			assert_int_equal(scribe_fold(&s, k, then), ERR_OK);
		n++;
	}
	assert_true(n > 50);
	assert_true(sh.given - full > 0);
	assert_same(l, then);
	ledger_free(l);
	ledger_free(then);
	shelf_fini(&sh);
	scribe_fini(&s);
}

/* Sets of many hosts are chunks of their own. */
static void
test_large_sets(void **state)
{
	struct shelf sh = { 0 };
	struct ledger *l = ledger_new(NULL), *back;
	struct scribe s;
	struct key_query q = { .rungs = true };
	struct key_view v;
	uint32_t no;

	(void)state;
	scribe_init(&s, l);
	scribe_fleet(&s, 1, 70000);
	scribe_deploy(&s, "d", 0, 1000, "armed");
	for (uint64_t h = 1; h < 70000; h += 7)
		scribe_crash(&s, &(struct crash){ .host = h, .module = "m", .offset = 16 });
	ledger_snapshot_begin(l, false, put, &sh);
	while (!ledger_snapshot_step(l, 100000))
		;
	ledger_snapshot_end(l, true);
	for (uint64_t h = 2; h < 70000; h += 1000)
		scribe_crash(&s, &(struct crash){ .host = h, .module = "m", .offset = 16 });
	ledger_snapshot_begin(l, false, put, &sh);
	while (!ledger_snapshot_step(l, 100000))
		;
	ledger_snapshot_end(l, true);
	back = load(&sh);
	assert_same(l, back);
	assert_int_equal(ledger_keys(back, &q, &no, NULL, 1), 1);
	assert_true(ledger_key_by_number(back, no, &v));
	assert_int_equal(v.hosts, 10060);
	ledger_free(back);
	shelf_fini(&sh);
	assert_false(s.failed);
	ledger_free(l);
	scribe_fini(&s);
}

#define KIND_GLOBALS 1u
#define KIND_PULSE   27u

/* What a server of the version before left is read; the next snapshot is a whole one of this version. */
static void
test_version_before(void **state)
{
	struct shelf sh = { 0 };
	struct ledger *l = ledger_new(NULL), *back;
	struct decision_view v;
	struct scribe s;

	(void)state;
	make_log(&s, 4, 3000);
	for (size_t i = 0; i < s.n_kept; i++)
		assert_int_equal(scribe_fold(&s, i, l), ERR_OK);
	assert_true(ledger_decisions(l, 0, UINT32_MAX, &v, 1) == 1);
	ledger_snapshot_begin(l, true, put, &sh);
	while (!ledger_snapshot_step(l, 1000))
		;
	ledger_snapshot_end(l, true);
	for (size_t i = 0; i < sh.n; i++) {
		if (sh.at[i].id >> 56 == KIND_GLOBALS)
			sh.at[i].bytes[0] = LEDGER_SNAPSHOT_OLDEST;
		else if (sh.at[i].id >> 56 >= KIND_PULSE)
			sh.at[i].len = 0;
	}
	back = load(&sh);
	assert_int_equal(ledger_position(back), ledger_position(l));
	assert_true(ledger_decisions(back, 0, UINT32_MAX, &v, 1) == 0);
	ledger_snapshot_begin(back, false, put, &sh);
	while (!ledger_snapshot_step(back, 1000))
		;
	ledger_snapshot_end(back, true);
	ledger_free(l);
	l = load(&sh);
	assert_same(back, l);
	ledger_free(l);
	ledger_free(back);
	shelf_fini(&sh);
	scribe_fini(&s);
}

/* A damaged chunk is refused, whatever the damage; nothing crashes. */
static void
test_damage(void **state)
{
	struct shelf sh = { 0 };
	struct ledger *l = ledger_new(NULL);
	struct scribe s;
	unsigned refused = 0;

	(void)state;
	make_log(&s, 3, 800);
	for (size_t i = 0; i < s.n_kept; i++)
		assert_int_equal(scribe_fold(&s, i, l), ERR_OK);
	ledger_snapshot_begin(l, true, put, &sh);
	while (!ledger_snapshot_step(l, 1000))
		;
	ledger_snapshot_end(l, true);
	qsort(sh.at, sh.n, sizeof(*sh.at), by_id);
	for (size_t i = sh.n; i-- > 0;) /* chunks that are gone cannot be missed */
		if (sh.at[i].len == 0) {
			free(sh.at[i].bytes);
			memmove(&sh.at[i], &sh.at[i + 1], (--sh.n - i) * sizeof(*sh.at));
		}
	for (size_t bad = 0; bad < sh.n; bad++) {
		struct ledger *back = ledger_new(NULL);
		enum err e = ERR_OK;

		for (size_t i = 0; i < sh.n && e == ERR_OK; i++)
			e = ledger_load_chunk(back, sh.at[i].id, sh.at[i].bytes,
					      i == bad ? sh.at[i].len / 2 : sh.at[i].len);
		refused += e != ERR_OK;
		ledger_free(back);
	}
	assert_int_equal(refused, sh.n);
	/* and one that is missing is noticed */
	for (size_t gone = 0; gone < sh.n; gone++) {
		struct ledger *back = ledger_new(NULL);
		enum err e = ERR_OK;

		for (size_t i = 0; i < sh.n && e == ERR_OK; i++)
			if (i != gone)
				e = ledger_load_chunk(back, sh.at[i].id, sh.at[i].bytes, sh.at[i].len);
		if (e == ERR_OK)
			e = ledger_load_end(back);
		assert_int_not_equal(e, ERR_OK);
		ledger_free(back);
	}
	ledger_free(l);
	shelf_fini(&sh);
	scribe_fini(&s);
}

/* The digest of a fixed log, so that compilers and processors are compared. */
static void
test_golden(void **state)
{
	struct ledger *l = ledger_new(NULL);
	char hex[SHA256_HEX];
	uint8_t d[32];
	struct scribe s;

	(void)state;
	make_log(&s, 20240719, 5000);
	for (size_t i = 0; i < s.n_kept; i++)
		assert_int_equal(scribe_fold(&s, i, l), ERR_OK);
	ledger_digest(l, d);
	print_message("digest %s\n", hex_encode(d, 32, hex));
	assert_string_equal(hex, GOLDEN);
	ledger_free(l);
	scribe_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart_everywhere),
		cmocka_unit_test(test_copy_on_write),
		cmocka_unit_test(test_large_sets),
		cmocka_unit_test(test_version_before),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_golden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
