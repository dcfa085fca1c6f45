/* SPDX-License-Identifier: Apache-2.0 */
/* Safeguards in the ledger: what is folded, refused, kept in snapshots and dropped. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ledger_help.h"

#define CHUNKS 1024

/* Chunks as a store keeps them: the newest of each, none when it is gone. */
static struct shelf {
	struct {
		uint64_t id;
		uint8_t *bytes;
		size_t len;
	} at[CHUNKS];
	size_t n;
} shelf;

static void
put(void *arg, uint64_t id, const void *bytes, size_t len)
{
	size_t i = 0;

	(void)arg;
	while (i < shelf.n && shelf.at[i].id != id)
		i++;
	if (i == shelf.n) {
		assert_true(shelf.n < CHUNKS);
		shelf.at[shelf.n++].id = id;
	}
	free(shelf.at[i].bytes);
	shelf.at[i].bytes = len > 0 ? malloc(len) : NULL;
	shelf.at[i].len = len;
	if (len > 0)
		memcpy(shelf.at[i].bytes, bytes, len);
}

static void
snapshot(struct ledger *l, bool full)
{
	ledger_snapshot_begin(l, full, put, NULL);
	while (!ledger_snapshot_step(l, 1 << 20))
		;
	ledger_snapshot_end(l, true);
}

static int
by_id(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static struct ledger *
load(void)
{
	struct ledger *l = ledger_new(NULL);

	qsort(shelf.at, shelf.n, sizeof(shelf.at[0]), by_id);
	for (size_t i = 0; i < shelf.n; i++)
		if (shelf.at[i].len > 0)
			assert_int_equal(ledger_load_chunk(l, shelf.at[i].id, shelf.at[i].bytes, shelf.at[i].len),
					 ERR_OK);
	assert_int_equal(ledger_load_end(l), ERR_OK);
	return l;
}

static void
assert_same(const struct ledger *a, const struct ledger *b)
{
	uint8_t x[32], y[32];

	ledger_digest(a, x);
	ledger_digest(b, y);
	assert_memory_equal(x, y, sizeof(x));
}

/* ---- a deployment with guards ---- */

static struct scribe s;
static uint32_t no;

static int
setup(void **state)
{
	(void)state;
	memset(&shelf, 0, sizeof(shelf));
	scribe_init(&s, ledger_new(NULL));
	scribe_fleet(&s, 1, 40);
	scribe_deploy(&s, "d1", 0, 0, "armed");
	assert_true(ledger_deployment_find(s.l, 0, TEXT("d1"), &no));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ledger_free(s.l);
	scribe_fini(&s);
	for (size_t i = 0; i < shelf.n; i++)
		free(shelf.at[i].bytes);
	return 0;
}

static uint64_t
guard(const char *deployment, const char *product, uint64_t *hosts, size_t n)
{
	Faultline__Log__Safeguard m = FAULTLINE__LOG__SAFEGUARD__INIT;
	char id[16], name[64], reason[] = "known";

	snprintf(id, sizeof(id), "%s", deployment);
	snprintf(name, sizeof(name), "%s", product);
	m.deployment = id;
	m.product = name;
	m.hosts = hosts;
	m.n_hosts = n;
	m.reason = reason;
	return scribe_message(&s, RECORD_SAFEGUARD, &m);
}

static void
lift(uint64_t pos)
{
	Faultline__Log__Safeguard m = FAULTLINE__LOG__SAFEGUARD__INIT;
	char id[] = "d1";

	m.deployment = id;
	m.remove_pos = pos;
	scribe_message(&s, RECORD_SAFEGUARD, &m);
}

static size_t
guards(const struct ledger *l)
{
	struct safeguard_view v[8];

	return ledger_safeguards(l, no, 0, v, 8);
}

static bool
held(const struct ledger *l, uint64_t host)
{
	struct safeguard_lookup look;

	ledger_safeguard_lookup(l, no, &look);
	return ledger_safeguarded(l, &look, host, NULL);
}

static uint64_t
refused(void)
{
	struct ledger_stats stats;

	ledger_stats(s.l, &stats);
	return stats.refused_changes;
}

static void
they_hold_hosts_out(void **state)
{
	uint64_t hosts[] = { 7, 3, 99 }, before = refused(), pos;
	struct safeguard_view v[2];

	(void)state;
	pos = guard("d1", "", hosts, 3);
	assert_true(held(s.l, 3) && held(s.l, 7) && held(s.l, 99)); /* 99 was never heard of */
	assert_false(held(s.l, 4));
	assert_int_equal(ledger_safeguards(s.l, no, 0, v, 2), 1);
	assert_true(v[0].pos == pos && v[0].n_hosts == 3 && v[0].hosts[0] == 3 && !v[0].automatic);
	lift(pos);
	assert_false(held(s.l, 3));
	lift(pos); /* it is gone */
	guard("none", "", hosts, 3);
	assert_int_equal(refused() - before, 2);
	assert_int_equal(guards(s.l), 0);
}

static void
snapshots_keep_them(void **state)
{
	uint64_t hosts[] = { 7, 3 }, first, second;
	struct ledger *copy;
	size_t from;

	(void)state;
	first = guard("d1", "sensor", NULL, 0);
	second = guard("d1", "", hosts, 2);
	snapshot(s.l, true);
	copy = load();
	assert_same(copy, s.l);
	assert_int_equal(guards(copy), 2);
	from = s.n_kept;
	lift(first);
	guard("d1", "toaster", NULL, 0); /* takes the slot that became free */
	lift(second);
	for (size_t i = from; i < s.n_kept; i++)
		assert_int_equal(scribe_fold(&s, i, copy), ERR_OK);
	assert_same(copy, s.l);
	ledger_free(copy);

	snapshot(s.l, false); /* what changed, and what is gone */
	copy = load();
	assert_same(copy, s.l);
	assert_int_equal(guards(copy), 1);
	assert_false(held(copy, 3));
	ledger_free(copy);
}

static void
they_go_with_their_deployment(void **state)
{
	uint64_t hosts[] = { 5 };

	(void)state;
	guard("d1", "", hosts, 1);
	scribe_deploy(&s, "d2", 0, 0, "armed");
	guard("d2", "", hosts, 1);
	scribe_decide(&s, "d1", FAULTLINE__LOG__ACTION__ACTION_DELETE, false, "done", 0, true);
	assert_int_equal(guards(s.l), 0);
	assert_true(ledger_deployment_find(s.l, 0, TEXT("d2"), &no));
	assert_int_equal(guards(s.l), 1);
}

static void
places_fill_the_rings(void **state)
{
	struct offer_view o;
	uint32_t first = 0;

	(void)state;
	scribe_deploy(&s, "d3", 10, 0, "armed");
	assert_true(ledger_deployment_find(s.l, 0, TEXT("d3"), &no));
	for (uint64_t host = 1; host <= 40; host++) {
		assert_true(ledger_offer(s.l, no, host, &o));
		assert_true(o.known && o.eligible && !o.served && o.place < 40);
		assert_true((o.ring == 0) == (o.place < 10));
		first += o.ring == 0;
	}
	assert_in_range(first, 3, 20); /* ten, as ranks fall */
	assert_true(ledger_offer(s.l, no, 12345, &o));
	assert_false(o.known);
	assert_false(ledger_offer(s.l, no + 1, 1, &o));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(they_hold_hosts_out, setup, teardown),
		cmocka_unit_test_setup_teardown(snapshots_keep_them, setup, teardown),
		cmocka_unit_test_setup_teardown(they_go_with_their_deployment, setup, teardown),
		cmocka_unit_test_setup_teardown(places_fill_the_rings, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
