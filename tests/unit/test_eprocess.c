/* SPDX-License-Identifier: Apache-2.0 */
/* The test of one key: its proof checked by enumeration, its figures against the first
 * implementation, its error level by simulation. */
#include "config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collector/ledger/eprocess.h"
#include "collector/ledger/halt_params.h"
#include "collector/ledger/numeric.h"
#include "tests/unit/halt_help.h"
#include "tests/unit/halt_oracle.h"

/* Every outcome of 14 votes, each with its probability under a harmless deployment: the
 * expectation of E is 1, not about 1. */
static double
expectation(enum ratio_grid g, double rho, double at_rho)
{
	double sum = 0;

	for (unsigned outcome = 0; outcome < 1u << 14; outcome++) {
		struct eprocess e;
		double p = 1, log_e = 0;

		eprocess_init(&e, g, 0);
		for (int i = 0; i < 14; i++) {
			double y1 = 1 + 70. * i, y0 = 1000 - 70. * i, truth = eprocess_chance(at_rho, y1, y0);
			bool served = outcome >> i & 1;

			p *= served ? truth : 1 - truth;
			log_e = eprocess_vote(&e, served, eprocess_chance(rho, y1, y0));
		}
		sum += p * exp(log_e);
	}
	return sum;
}

static void
expectation_is_one(void **state)
{
	(void)state;
	for (int g = 0; g < GRID_N; g++) {
		assert_true(fabs(expectation((enum ratio_grid)g, 1, 1) - 1) < 1e-12);
		assert_true(fabs(expectation((enum ratio_grid)g, 2, 2) - 1) < 1e-12);
		assert_true(expectation((enum ratio_grid)g, 2, 1) < .2);
		assert_true(expectation((enum ratio_grid)g, 1, 2) > 1.5); /* rho too small: no proof any more */
	}
}

static void
equals_the_first_implementation(void **state)
{
	struct dice d = { 42 };

	(void)state;
	for (int run = 0; run < 300; run++) {
		int which = run % GRID_N;
		struct oracle_grid og;
		struct oracle_ev oe = { 0 };
		struct eprocess e;
		double rate = exp(-8 * dice_unit(&d));

		oracle_grid(&og, which);
		eprocess_init(&e, (enum ratio_grid)which, 0);
		for (int i = 0; i < 400; i++) {
			double y1 = (double)dice_below(&d, 1u << (1 + dice_below(&d, 22))), rho = 1 + (double)(run % 5);
			double y0 = (double)dice_below(&d, 1u << (1 + dice_below(&d, 22)));
			double q = eprocess_chance(rho, y1, y0), ours, theirs;
			unsigned d1 = dice_chance(&d, rate), d0 = !d1;

			assert_true(q == oracle_q(y1, y0, rho));
			if (i % 10 == 9) {
				d1 = (unsigned)dice_below(&d, 5);
				d0 = (unsigned)dice_below(&d, 50);
			}
			ours = eprocess_bin(&e, d1, d0, q);
			theirs = oracle_update(&oe, &og, d1, d0, q);
			assert_true(fabs(ours - theirs) <= 1e-9 * fmax(1, fabs(theirs)));
			assert_true(fabs(e.peak - oe.peak) <= 1e-9 * fmax(1, fabs(oe.peak)));
		}
	}
}

/* The same after a million votes of every kind: nothing overflows, nothing drifts. */
static void
a_million_votes_do_not_drift(void **state)
{
	struct eprocess e;
	struct oracle_ev oe = { 0 };
	struct oracle_grid og;
	double ours = 0, theirs = 0;

	(void)state;
	oracle_grid(&og, 0);
	eprocess_init(&e, GRID_NEW, 0);
	for (unsigned i = 0; i < 1000000; i++) {
		double q = 1e-9 + (i % 1000) * 1e-3 * .999;

		ours = eprocess_vote(&e, i % 7 == 0, q);
		theirs = oracle_update(&oe, &og, i % 7 == 0, i % 7 != 0, q);
	}
	assert_true(isfinite(ours) && fabs(ours - theirs) <= 1e-9 * fabs(theirs));
	assert_int_equal(e.served + e.unserved, 1000000);
}

static void
grids_are_what_they_say(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct eprocess), 96);
	for (int g = 0; g < GRID_N; g++) {
		const struct grid *grid = eprocess_grid((enum ratio_grid)g);
		double sum = 0;

		for (uint32_t i = 0; i < grid->n; i++) {
			sum += exp(grid->log_share[i]);
			assert_true(fabs(grid->log_ratio[i] - log(grid->ratio[i])) < 1e-14 * grid->log_ratio[i]);
		}
		assert_true(fabs(sum - 1) < 1e-15 * GRID_MAX);
	}
}

/* P(E ever reaches c) <= 1/c: 95 % upper limit of the share of paths that did, with votes at
 * the edge of what is tolerated; and it is broken where rho is less than the truth. */
static double
crossing(enum ratio_grid g, double rho, double truth, double from, double to, double c, uint64_t seed)
{
	enum { PATHS = 8000, VOTES = 200 };
	struct dice d = { seed };
	unsigned hits = 0;

	for (int path = 0; path < PATHS; path++) {
		struct eprocess e;

		eprocess_init(&e, g, 0);
		for (int i = 0; i < VOTES; i++) {
			double share = from + (to - from) * i / VOTES;

			eprocess_vote(&e, dice_chance(&d, eprocess_chance(truth, share, 1 - share)),
				      eprocess_chance(rho, share, 1 - share));
			if (e.peak >= log(c)) {
				hits++;
				break;
			}
		}
	}
	return (hits + 1.645 * sqrt(hits + 1.) + 1) / PATHS;
}

static void
never_too_many_false_alarms(void **state)
{
	static const double at[] = { 10, 100 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_true(crossing(GRID_OLD, 1, 1, .3, .3, at[i], 1) <= 1 / at[i]);
		assert_true(crossing(GRID_OLD, 1, 1, .02, .9, at[i], 2) <= 1 / at[i]);
		assert_true(crossing(GRID_NEW, 1, 1, .001, .5, at[i], 3) <= 1 / at[i]);
		assert_true(crossing(GRID_DARK, 1.2, 1.2, .1, .4, at[i], 4) <= 1 / at[i]);
		assert_true(crossing(GRID_OLD, 2, 2, .1, .4, at[i], 5) <= 1 / at[i]);
	}
	assert_true(crossing(GRID_OLD, 1, 2, .3, .3, 10, 6) > .1);
}

/* Several votes in one bin: of the hosts at risk each can go once, so the count is
 * hypergeometric where the factor supposes binomial.  Exactly, its expectation is below 1. */
static void
ties_are_conservative(void **state)
{
	enum { Y1 = 40, Y0 = 160 };

	(void)state;
	for (int g = 0; g < GRID_N; g++)
		for (int n = 1; n <= 60; n += 7) {
			double sum = 0, p_all = 0;

			for (int k = 0; k <= n && k <= Y1; k++) {
				double lp = lgamma(Y1 + 1) - lgamma(k + 1) - lgamma(Y1 - k + 1) + lgamma(Y0 + 1) -
					    lgamma(n - k + 1) - lgamma(Y0 - n + k + 1) -
					    (lgamma(Y1 + Y0 + 1) - lgamma(n + 1) - lgamma(Y1 + Y0 - n + 1));
				struct eprocess e;

				eprocess_init(&e, (enum ratio_grid)g, 0);
				sum += exp(lp + eprocess_bin(&e, (uint32_t)k, (uint32_t)(n - k),
							     eprocess_chance(1, Y1, Y0)));
				p_all += exp(lp);
			}
			assert_true(fabs(p_all - 1) < 1e-9);
			assert_true(sum <= 1 + 1e-9);
		}
}

static void
a_shared_cost_is_the_same_vote(void **state)
{
	struct eprocess a, b;
	struct grid_cost cost;

	(void)state;
	eprocess_init(&a, GRID_OLD, -3);
	eprocess_init(&b, GRID_OLD, -3);
	eprocess_cost(GRID_OLD, .01, &cost);
	assert_true(eprocess_vote(&a, true, .01) == eprocess_apply(&b, 1, 0, &cost));
	assert_true(eprocess_vote(&a, false, .01) == eprocess_apply(&b, 0, 1, &cost));
	assert_memory_equal(&a, &b, sizeof(a));
	/* nobody, or everybody, served: a vote says nothing */
	for (int i = 0; i < 2; i++) {
		double q = eprocess_chance(1, i * 100., 100. - i * 100);

		assert_false(eprocess_counts(q));
		b = a;
		assert_true(eprocess_vote(&b, i == 1, q) == eprocess_log(&a));
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

/* The weights of all keys that will ever be born are the pool; all pools are 1. */
static void
weights_sum_to_one(void **state)
{
	static const double births[] = { 1, 3, 20, 300 };
	double all = 0;

	(void)state;
	for (int p = 0; p < POOL_N; p++)
		all += key_pool_share((enum key_pool)p);
	assert_true(fabs(all - 1) < 1e-12);
	for (int i = 0; i < 4; i++) {
		double sum = 0, J = births[i];
		uint32_t n = 200000;

		for (uint32_t j = 1; j <= n; j++)
			sum += exp(key_log_weight(POOL_OWN, j, J));
		/* the rest of the series is J / (n + J) */
		assert_true(fabs(sum + .2 * J / (n + J) - .2) < 1e-10);
		assert_true(fabs(key_log_weight(POOL_OWN, 5, J) - oracle_weight(.2, 5, J)) < 1e-12);
	}
	assert_true(fabs(exp(key_log_weight_known(5000)) - .1 / 5000) < 1e-15);
	assert_true(exp(key_log_weight_known(0)) <= .1 + 1e-12);
}

/* HALT 8.7: reports in a row that decide, floor of three hosts for a kernel included. */
static void
reports_needed(void **state)
{
	static const struct {
		double q;
		uint32_t kernel[2], own[2];
	} table[] = {
		{ 1e-4, { 3, 3 }, { 3, 3 } }, { .001, { 3, 4 }, { 3, 3 } },   { .01, { 5, 5 }, { 4, 5 } },
		{ .1, { 9, 12 }, { 8, 10 } }, { .5, { 28, 47 }, { 25, 42 } },
	};
	struct halt_params p;
	struct floors f;

	(void)state;
	halt_params_default(&p, true);
	f = key_floors(&p, SEVERITY_KERNEL);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (int rho = 1; rho <= 2; rho++) {
			double q = eprocess_chance(rho, table[i].q, 1 - table[i].q);
			struct eprocess kernel, own;
			uint32_t need;

			eprocess_init(&kernel, GRID_NEW, key_log_weight(POOL_NEW_KERNEL, 5, 20));
			eprocess_init(&own, GRID_NEW, key_log_weight(POOL_OWN, 1, 3));
			need = eprocess_needs(&kernel, q, p.alpha);
			assert_int_equal(need > f.hosts ? need : f.hosts, table[i].kernel[rho - 1]);
			need = eprocess_needs(&own, q, p.alpha);
			assert_int_equal(need > f.hosts ? need : f.hosts, table[i].own[rho - 1]);
		}
}

static void
what_is_needed_is_enough(void **state)
{
	struct eprocess e;
	uint32_t need;

	(void)state;
	eprocess_init(&e, GRID_NEW, key_log_weight(POOL_NEW_USER, 40, 300));
	eprocess_vote(&e, false, .02);
	need = eprocess_needs(&e, .02, 1e-6);
	assert_true(need > 1);
	for (uint32_t i = 1; i < need; i++)
		eprocess_vote(&e, true, .02);
	assert_false(eprocess_reaches(&e, 1e-6));
	eprocess_vote(&e, true, .02);
	assert_true(eprocess_reaches(&e, 1e-6));
	assert_int_equal(eprocess_needs(&e, .02, 1e-6), 0);
	eprocess_init(&e, GRID_NEW, -3);
	assert_int_equal(eprocess_needs(&e, 1, 1e-6), UINT32_MAX);
}

static void
gate_and_closed_form(void **state)
{
	struct dice d = { 9 };

	(void)state;
	for (int i = 0; i < 2000; i++) {
		double k = (double)dice_below(&d, 100), mu = exp(-12 * dice_unit(&d)) * 100;
		double n1 = (double)dice_below(&d, 40), n0 = (double)dice_below(&d, 40), s = -dice_unit(&d) * 100, x;

		x = oracle_material(k, mu);
		assert_true(fabs(material_log(k, mu) - x) <= 1e-9 * fmax(1, fabs(x)));
		x = oracle_beta(n1, n0, s, 1, .1);
		assert_true(fabs(eprocess_closed_form(n1, n0, s, 1, .1) - x) <= 1e-9 * fmax(1, fabs(x)));
	}
	/* three crashes of a thousand served are worth a halt at 1e-5, three of a million are not */
	assert_true(material_log(3, material_mu_new(1e-5, 1000)) >= log(100));
	assert_true(material_log(3, material_mu_new(1e-5, 1000000)) < log(100));
	assert_true(material_mu_old(1e-5, 1000, 9, 100000) == (1e-5 + 1e-4) * 1000);
	assert_true(material_mu_spent(1e-5, 1000, 7) == 1e-5 * 1000 + 7);
}

/* The interval covers the true ratio at every moment, in more than 95 of 100 paths. */
static void
interval_covers(void **state)
{
	static const double truths[] = { .5, 1, 3, 30, 300 };

	(void)state;
	for (size_t t = 0; t < 5; t++)
		for (int g = 0; g < GRID_N; g++)
			for (int rho = 1; rho <= 5; rho += 4) {
				struct dice d = { t * 10 + (unsigned)g };
				unsigned missed = 0;

				for (int path = 0; path < 150; path++) {
					struct eprocess e;
					bool out = false;

					eprocess_init(&e, (enum ratio_grid)g, 0);
					for (int i = 0; i < 150; i++) {
						double y1 = .001 + .002 * i, low, high;

						eprocess_vote(&e,
							      dice_chance(&d, eprocess_chance(truths[t], y1, 1 - y1)),
							      eprocess_chance(rho, y1, 1 - y1));
						eprocess_interval(&e, rho, .05, &low, &high);
						assert_true(low >= 0 && low <= high);
						out = out || truths[t] < low || truths[t] > high;
					}
					missed += out;
				}
				assert_true(missed <= 150 * .05 + 1.645 * sqrt(150 * .05));
			}
}

static void
interval_says_something(void **state)
{
	struct eprocess e;
	double low, high;

	(void)state;
	eprocess_init(&e, GRID_NEW, 0);
	eprocess_interval(&e, 1, .05, &low, &high);
	assert_true(low == 0 && isinf(high));
	for (int i = 0; i < 4; i++)
		eprocess_vote(&e, true, eprocess_chance(1, 1000, 999000));
	eprocess_interval(&e, 1, .05, &low, &high);
	assert_true(low > 300 && low < 1000 && isinf(high)); /* four of four where one in a thousand is served */
	eprocess_init(&e, GRID_OLD, 0);
	for (int i = 0; i < 1000; i++)
		eprocess_vote(&e, i % 2 == 0, .2);
	eprocess_interval(&e, 1, .05, &low, &high); /* half the votes from a fifth of the hosts: the ratio is 4 */
	assert_true(low > 2.5 && low < 4 && high > 4 && high < 6.5);
}

static void
floors_by_severity(void **state)
{
	struct halt_params p;

	(void)state;
	halt_params_default(&p, true);
	assert_int_equal(key_floors(&p, SEVERITY_KERNEL).hosts, 3);
	assert_int_equal(key_floors(&p, SEVERITY_KERNEL).sites, 2);
	assert_int_equal(key_floors(&p, SEVERITY_DARK).sites, 3);
	assert_int_equal(key_floors(&p, SEVERITY_SERVICE).hosts, 4);
	assert_int_equal(key_floors(&p, SEVERITY_USER).hosts, 5);
	assert_int_equal(key_floors(&p, SEVERITY_USER).sites, 3);
}

static void
parameters(void **state)
{
	struct halt_globals g;
	struct halt_params p;
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	Faultline__Log__Setting alpha = FAULTLINE__LOG__SETTING__INIT, *all[1] = { &alpha };
	char err[160], hash[] = "hash", listed[] = "listed", name[] = "alpha", value[] = "1e-9";

	(void)state;
	halt_params_default(&g.randomised, true);
	halt_params_default(&g.unrandomised, false);
	m.assignment = hash;
	halt_params_of(&p, &g, &m);
	assert_true(p.rho == 1 && p.rho_dark == 1.2 && p.alpha == 1e-6 && p.harm_budget == 77);
	assert_true(p.heartbeat_s == 300 && p.host_age_s == 3600 && p.watch_pause_s == 900 && p.auto_resume);
	m.assignment = listed;
	m.n_halt = 1;
	m.halt = all;
	alpha.name = name;
	alpha.value = value;
	halt_params_of(&p, &g, &m);
	assert_true(p.rho == 5 && p.rho_dark == 1.5 && p.alpha == 1e-9);
	assert_int_equal(halt_params_set(&p, "heartbeat", "60", err, sizeof(err)), 0);
	assert_int_equal(p.heartbeat_s, 60);
	assert_int_equal(halt_params_set(&p, "heartbeat", "2m", err, sizeof(err)), 0);
	assert_int_equal(p.heartbeat_s, 120);
	assert_int_equal(halt_params_set(&p, "heartbeat", "0", err, sizeof(err)), -1);
	assert_non_null(strstr(err, "1s"));
	assert_int_equal(halt_params_set(&p, "brake_sites", "3", err, sizeof(err)), -1);
	assert_int_equal(halt_params_set(&p, "nothing", "3", err, sizeof(err)), -1);
	assert_int_equal(p.heartbeat_s, 120);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grids_are_what_they_say),
		cmocka_unit_test(expectation_is_one),
		cmocka_unit_test(equals_the_first_implementation),
		cmocka_unit_test(a_million_votes_do_not_drift),
		cmocka_unit_test(never_too_many_false_alarms),
		cmocka_unit_test(ties_are_conservative),
		cmocka_unit_test(a_shared_cost_is_the_same_vote),
		cmocka_unit_test(weights_sum_to_one),
		cmocka_unit_test(reports_needed),
		cmocka_unit_test(what_is_needed_is_enough),
		cmocka_unit_test(gate_and_closed_form),
		cmocka_unit_test(interval_covers),
		cmocka_unit_test(interval_says_something),
		cmocka_unit_test(floors_by_severity),
		cmocka_unit_test(parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
