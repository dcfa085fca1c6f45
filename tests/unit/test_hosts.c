/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's containers against plain ones, and the host map read from other threads. */
#include "config.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "collector/ledger/hosts.h"
#include "collector/ledger/hostset.h"
#include "collector/ledger/intern.h"
#include "collector/ledger/recent.h"
#include "tests/unit/ledger_help.h"

static uint64_t rng = 7;

static uint64_t
roll(uint64_t n)
{
	rng += 0x9e3779b97f4a7c15ull;
	return hash_mix(rng) % n;
}

/* Pack a set with its blocks and read it back. */
static void
assert_packs(const struct hostset *set)
{
	struct hostset back;
	struct pack k = { 0 };
	struct reader r;
	uint32_t x = 0, y = 0;

	hostset_pack(set, &k);
	reader_init(&r, k.p, k.n, false);
	assert_true(hostset_unpack(&back, &r));
	for (uint32_t b = 0; b < set->n_blocks; b++) {
		struct pack kb = { 0 };
		struct reader rb;

		if (!hostset_pack_block(set, b, &kb))
			continue;
		assert_false(hostset_loaded(&back));
		reader_init(&rb, kb.p, kb.n, false);
		assert_true(hostset_unpack_block(&back, b, &rb));
		assert_int_equal(rb.pos, rb.size);
		pack_free(&kb);
	}
	assert_true(hostset_loaded(&back));
	assert_int_equal(back.n, set->n);
	for (; hostset_next(set, &x); x++, y++) {
		assert_true(hostset_next(&back, &y));
		assert_int_equal(x, y);
	}
	pack_free(&k);
	hostset_fini(&back);
}

/* Every form of a set: in the struct, array, array blocks, bitmaps. */
static void
test_hostset(void **state)
{
	static const uint32_t ranges[] = { 3, 700, 5000, 70000, 3000000 };
	static uint8_t there[3000000];

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		struct hostset set = { 0 };
		struct snap s;
		uint32_t n = 0, x = 0, seen = 0;

		memset(there, 0, sizeof(there));
		snap_init(&s);
		for (unsigned i = 0; i < 20000; i++) {
			uint32_t v = (uint32_t)roll(ranges[round]);

			assert_int_equal(hostset_add(&set, v, &s, 0), !there[v]);
			n += !there[v];
			there[v] = 1;
			if (i % 4000 == 0)
				assert_packs(&set);
		}
		assert_int_equal(set.n, n);
		for (unsigned i = 0; i < 20000; i++) {
			uint32_t v = (uint32_t)roll(ranges[round]);

			assert_int_equal(hostset_has(&set, v), there[v]);
		}
		for (; hostset_next(&set, &x); x++, seen++)
			assert_int_equal(there[x], 1);
		assert_int_equal(seen, n);
		assert_packs(&set);
		hostset_fini(&set);
		snap_fini(&s);
	}
}

/* What is remembered for so long, and no longer; row numbers beyond 2^32. */
static void
test_recent(void **state)
{
	struct recent t;
	struct snap s;
	uint64_t pos;

	(void)state;
	snap_init(&s);
	recent_init(&t, chunk_id(CHUNK_RECENT, 0, 0), 100, 5000);
	/* as after four billion reports */
	t.rows.n = t.first = (1ull << 32) - 8192;
	t.rows.first_chunk = t.rows.n >> t.rows.shift;
	for (uint32_t i = 0; i < 30000; i++) {
		uint32_t now = 1000 + i / 100;

		recent_expire(&t, &s, now);
		recent_add(&t, &s, i * 7919ull, i, now);
		if (i >= 4000) {
			uint32_t back = (uint32_t)roll(4000);

			assert_true(recent_find(&t, (i - back) * 7919ull, &pos));
			assert_int_equal(pos, i - back);
			assert_false(recent_find(&t, i * 7919ull + 1, &pos));
		}
		if (i >= 5000)
			assert_false(recent_find(&t, (i - 5000) * 7919ull, &pos));
	}
	assert_true(t.dropped_early > 0);
	recent_expire(&t, &s, 100000);
	assert_false(recent_find(&t, 29999 * 7919ull, &pos));
	recent_fini(&t);
	snap_fini(&s);
}

static void
test_intern(void **state)
{
	struct intern t;
	struct snap s;
	char buf[16];

	(void)state;
	snap_init(&s);
	intern_init(&t, chunk_id(CHUNK_INTERN, 0, 0));
	assert_int_equal(intern_add(&t, &s, TEXT("")), 0);
	for (uint32_t i = 0; i < 70000; i++) {
		uint16_t no;

		memcpy(buf, &i, 4);
		no = intern_add(&t, &s, (struct text){ buf, 4 });
		assert_int_equal(no, i < INTERN_MAX ? i + 1 : INTERN_OTHER);
		assert_int_equal(intern_add(&t, &s, (struct text){ buf, 4 }), no);
	}
	assert_int_equal(intern_count(&t), INTERN_MAX);
	assert_true(t.over > 0);
	assert_memory_equal(intern_text(&t, 500).at, "\xf3\x01\0\0", 4);
	intern_fini(&t);
	snap_fini(&s);
}

struct lookups {
	struct ledger *l;
	_Atomic uint32_t known; /* hosts 1 .. known have been folded */
	_Atomic bool stop;
	_Atomic unsigned wrong, found;
};

static void *
look_up(void *arg)
{
	struct lookups *q = arg;
	struct host_map_reader *r = host_map_reader_new(q->l);
	uint64_t at = 1;

	while (!atomic_load(&q->stop)) {
		uint32_t known = atomic_load(&q->known), no, print;

		at = hash_mix(at + 1);
		if (known == 0)
			continue;
		if (!host_map_find(r, 0, 1 + at % known, &no, &print) || no != at % known || print == 0)
			q->wrong++;
		if (host_map_find(r, 0, 1000000 + at % 1000, &no, &print))
			q->wrong++;
		q->found++;
	}
	host_map_reader_free(r);
	return NULL;
}

/* A gate finds every host that was folded before it asked, while the index grows. */
static void
test_host_map(void **state)
{
	struct lookups q = { .l = ledger_new(NULL) };
	pthread_t threads[2];
	struct scribe s;

	(void)state;
	scribe_init(&s, q.l);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_up, &q), 0);
	for (uint32_t n = 0; n < 60000; n += 500) {
		scribe_fleet(&s, n + 1, 500);
		atomic_store(&q.known, n + 500);
	}
	while (atomic_load(&q.found) < 1000)
		sched_yield();
	atomic_store(&q.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(q.wrong, 0);
	assert_false(s.failed);
	ledger_free(q.l);
	scribe_fini(&s);
}

/* 10 million hosts stay within the 48 bytes. */
static void
test_bytes(void **state)
{
	struct hosts h;
	struct snap s;

	(void)state;
	snap_init(&s);
	hosts_init(&h);
	for (uint64_t i = 0; i < 160000; i++)
		hosts_add(&h, &s, 0, hash_mix(i));
	/* shards of 625 are as full as those of 39,062: 0.61 of 1,024, 0.60 of 65,536 */
	assert_true((double)(h.index_bytes) / 160000 < 8.5);
	assert_true(HOST_BYTES + 8.5 < 48);
	hosts_fini(&h);
	snap_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostset),  cmocka_unit_test(test_recent), cmocka_unit_test(test_intern),
		cmocka_unit_test(test_host_map), cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
