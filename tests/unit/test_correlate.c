/* SPDX-License-Identifier: Apache-2.0 */
/* What the hosts of a signature have in common. */
#include "config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "collector/ledger/correlate.h"
#include "collector/ledger/ledger.h"
#include "proto/batch.h"
#include "tests/unit/halt_help.h"
#include "tests/unit/ledger_help.h"

#define PAIRS 10

struct world {
	struct ledger *l;
	struct scribe s;
	struct arena *arena;
	struct correlate_fleet *fleet;
	struct correlation c;
	struct dice dice;
};

static void
world_init(struct world *w, uint64_t seed)
{
	struct ledger_options o = { .sink = { 0 } };

	*w = (struct world){ .l = ledger_new(&o), .fleet = correlate_fleet_new(), .dice = { seed } };
	scribe_init(&w->s, w->l);
	assert_non_null(w->fleet);
}

static void
world_fini(struct world *w)
{
	scribe_fini(&w->s);
	arena_free(w->arena);
	correlate_fleet_free(w->fleet);
	ledger_free(w->l);
}

/* A heartbeat with 10 contents and 8 labels, each of two versions: bit i of `has`. */
static void
beat(struct world *w, uint64_t host, uint32_t has)
{
	static struct heartbeat h;
	static char names[2 * PAIRS][16];
	struct report_stamp stamp = { .host_hash = host };
	uint8_t raw[4096], out[8192];
	struct diag diag;
	char site[16];
	size_t len;

	h = (struct heartbeat){ .host = TEXT("host"),
				.boot_id = TEXT("boot"),
				.product = TEXT("agent"),
				.os_build = TEXT("19045"), /* as in the crash reports, which move hosts too */
				.interval_s = 60,
				.n_content = PAIRS,
				.n_labels = PAIRS - 2 };
	for (unsigned i = 0; i < 2 * PAIRS - 2; i++) {
		struct report_pair *p = i < PAIRS ? &h.content[i] : &h.labels[i - PAIRS];

		snprintf(names[i], sizeof(names[i]), "fact%u", i);
		*p = (struct report_pair){ text_of(names[i]), has >> i & 1 ? TEXT("new") : TEXT("old") };
	}
	len = heartbeat_encode(&h, raw, sizeof(raw));
	assert_int_equal(heartbeat_decode(raw, len, &h, &diag), DISCARD_none);
	snprintf(site, sizeof(site), "site%u", (unsigned)(host % 37));
	stamp.site = text_of(site);
	heartbeat_record_write(&h, &stamp, out);
	scribe_record(&w->s, RECORD_HEARTBEAT, out, heartbeat_record_size(&h, &stamp));
}

static void
crash(struct world *w, uint64_t host)
{
	char site[16];

	snprintf(site, sizeof(site), "site%u", (unsigned)(host % 37));
	scribe_crash(&w->s, &(struct crash){ .host = host, .site = site, .module = "bad.sys", .offset = 0x10 });
}

static struct correlation *
correlate(struct world *w)
{
	struct key_query q = { .sort = KEYS_BY_HOSTS };
	enum correlate_state state;
	uint32_t key;

	assert_int_equal(ledger_keys(w->l, &q, &key, NULL, 1), 1);
	arena_free(w->arena);
	w->arena = arena_new((size_t)16 << 20);
	w->c = (struct correlation){ .key_no = key };
	while ((state = correlation_step(&w->c, w->fleet, w->l, w->arena)) == CORRELATE_MORE)
		;
	assert_int_equal(state, CORRELATE_DONE);
	correlation_rank(&w->c);
	return &w->c;
}

static const struct fact *
find(const struct correlation *c, enum fact_kind kind, const char *name)
{
	for (size_t i = 0; i < c->n_facts; i++)
		if (c->facts[i].kind == kind && text_equal(c->facts[i].name, text_of(name)))
			return &c->facts[i];
	return NULL;
}

/* A content version on a tenth of the hosts crashes on 30 of these, and 5 hosts crash without it:
 * it comes first of 18 pairs of facts and 37 sites, and nothing else is claimed. */
static void
a_planted_content_is_first(void **state)
{
	const struct correlation *c;
	struct world w;
	unsigned harmed = 0, others = 0;

	(void)state;
	world_init(&w, 1);
	for (uint64_t host = 1; host <= 3000; host++) {
		uint32_t has = (uint32_t)dice_u64(&w.dice) & ~(1u << 7);
		bool bad = host % 10 == 3;

		beat(&w, host, has | (bad ? 1u << 7 : 0));
		if (bad ? harmed < 30 : host % 100 == 1 && others < 5) {
			crash(&w, host);
			harmed += bad;
			others += !bad;
		}
	}
	c = correlate(&w);
	assert_int_equal(c->hosts, 35);
	assert_int_equal(c->fleet, 3000);
	assert_int_equal(c->compared, 2 * 18 + 37);
	assert_string_equal(c->facts[0].name.at, "fact7=new");
	assert_int_equal(c->facts[0].kind, FACT_CONTENT);
	assert_int_equal(c->facts[0].hosts, 30);
	assert_int_equal(c->facts[0].fleet, 300);
	assert_true(fabs(c->facts[0].lift - 30. / 35 / .1) < 1e-9);
	assert_true(c->facts[0].low > 3 && c->facts[0].low < c->facts[0].lift && c->facts[0].high <= 10);
	for (size_t i = 1; i < c->n_facts; i++)
		assert_false(c->facts[i].over);
	assert_null(find(c, FACT_PRODUCT, "agent")); /* all share it */
	world_fini(&w);
}

/* Hosts that crash for no reason among the facts: nothing is claimed, in any of 300 fleets. */
static void
nothing_is_claimed_of_chance(void **state)
{
	unsigned claimed = 0, claimed_unadjusted = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		const struct correlation *c;
		struct world w;

		world_init(&w, 1000 + seed);
		for (uint64_t host = 1; host <= 200; host++) {
			/* some facts are rare */
			beat(&w, host,
			     (uint32_t)(dice_u64(&w.dice) & (host % 3 == 0 ? dice_u64(&w.dice) : 0xffff0000u)));
			if (dice_chance(&w.dice, .1))
				crash(&w, host);
		}
		c = correlate(&w);
		for (size_t i = 0; i < c->n_facts; i++) {
			const struct fact *f = &c->facts[i];

			claimed += f->over;
			claimed_unadjusted += f->hosts >= CORRELATE_HOSTS &&
					      correlate_bound(f->hosts, c->hosts, log(20), false) * c->fleet > f->fleet;
		}
		world_fini(&w);
	}
	assert_int_equal(claimed, 0);
	assert_true(claimed_unadjusted > 20); /* the test could fail */
}

/* Facts of exactly the same hosts are said to be so. */
static void
facts_of_the_same_hosts_are_grouped(void **state)
{
	const struct fact *a, *b;
	const struct correlation *c;
	struct world w;

	(void)state;
	world_init(&w, 3);
	for (uint64_t host = 1; host <= 1000; host++) {
		uint32_t has = (uint32_t)dice_u64(&w.dice) & ~(1u << 2 | 1u << 12);

		beat(&w, host, has | (host % 5 == 0 ? 1u << 2 | 1u << 12 : 0));
		if (host % 25 == 0)
			crash(&w, host);
	}
	c = correlate(&w);
	a = find(c, FACT_CONTENT, "fact2=new");
	b = find(c, FACT_LABEL, "fact12=new");
	assert_ptr_equal(a, &c->facts[0]);
	assert_non_null(b);
	assert_int_equal(b->same, 0);
	assert_true(a->over && b->over && a->same == UINT32_MAX);
	world_fini(&w);
}

/* Hosts that were not heard of for a week are in neither count; new content is counted anew after a minute. */
static void
the_fleet_is_of_now(void **state)
{
	const struct correlation *c;
	struct world w;

	(void)state;
	world_init(&w, 4);
	for (uint64_t host = 1; host <= 100; host++)
		beat(&w, host, 0);
	for (uint64_t host = 1; host <= 10; host++)
		crash(&w, host);
	assert_int_equal(correlate(&w)->fleet, 100);
	scribe_tick(&w.s, 8ll * 86400 * 1000000);
	for (uint64_t host = 6; host <= 60; host++)
		beat(&w, host, host <= 15);
	c = correlate(&w);
	assert_int_equal(c->fleet, 55);
	assert_int_equal(c->hosts, 5);
	assert_int_equal(c->key_hosts, 10);
	assert_int_equal(find(c, FACT_CONTENT, "fact0=new")->hosts, 5);
	assert_int_equal(find(c, FACT_CONTENT, "fact0=new")->fleet, 10);
	world_fini(&w);
}

/* n KL(k/n || bound) = log_odds, and the bound holds against exact binomial tails. */
static void
the_interval_is_honest(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 200; n += 1 + n / 3)
		for (unsigned k = 1; k <= n; k++) {
			double p = correlate_bound(k, n, 7, false), x = (double)k / n, kl, tail = 0;

			assert_true(p > 0 && p < x);
			kl = x * log(x / p) + (k < n ? (1 - x) * log((1 - x) / (1 - p)) : 0);
			assert_true(fabs(n * kl - 7) < 1e-6);
			for (unsigned i = k; i <= n; i++)
				tail += exp(lgamma(n + 1.) - lgamma(i + 1.) - lgamma(n - i + 1.) + i * log(p) +
					    (n - i) * log1p(-p));
			assert_true(tail <= exp(-7) * (1 + 1e-9));
			assert_true(fabs(1 - correlate_bound(n - k, n, 7, true) - p) < 1e-9); /* mirrored */
		}
	assert_true(correlate_bound(0, 10, 7, false) == 0 && correlate_bound(10, 10, 7, true) == 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_planted_content_is_first),
		cmocka_unit_test(nothing_is_claimed_of_chance),
		cmocka_unit_test(facts_of_the_same_hosts_are_grouped),
		cmocka_unit_test(the_fleet_is_of_now),
		cmocka_unit_test(the_interval_is_honest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
