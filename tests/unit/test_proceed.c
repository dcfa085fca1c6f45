/* SPDX-License-Identifier: Apache-2.0 */
/* What clean hosts certify, and what a plan would show before it is started. */
#include "config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "collector/ledger/halt_params.h"
#include "collector/ledger/outlook.h"
#include "collector/ledger/proceed.h"
#include "tests/unit/halt_help.h"
#include "tests/unit/halt_oracle.h"

static bool
within(double x, double want, double percent)
{
	bool ok = fabs(x - want) <= want * percent / 100;

	if (!ok)
		print_error("%g is not within %g %% of %g\n", x, percent, want);
	return ok;
}

static void
equals_the_first_implementation(void **state)
{
	struct dice d = { 5 };

	(void)state;
	for (int i = 0; i < 20000; i++) {
		double n = (double)dice_below(&d, 100000), k = (double)dice_below(&d, 5),
		       h = exp(-9 * dice_unit(&d)) / 2;
		double ours = proceed_log(n, k, h, 0), theirs = oracle_proceed(n, k, h);

		assert_true(fabs(ours - theirs) <= 1e-9 * fmax(1, fabs(theirs)));
	}
}

/* HALT 5: 764 clean hosts exclude 1 %, 7,675 a tenth of that; with one bad host 1,100 and 11,042. */
static void
hosts_needed(void **state)
{
	(void)state;
	assert_int_equal(proceed_needs(.01, 0, 1e-3), 764);
	assert_int_equal(proceed_needs(.001, 0, 1e-3), 7675);
	assert_true(proceed_hazard(764, 0, 0, 1e-3) <= .01 && proceed_hazard(763, 0, 0, 1e-3) > .01);
	assert_true(proceed_hazard(1100, 1, 0, 1e-3) <= .01 && proceed_hazard(1099, 1, 0, 1e-3) > .01);
	assert_true(proceed_hazard(11042, 1, 0, 1e-3) <= .001 && proceed_hazard(11041, 1, 0, 1e-3) > .001);
	/* churn must be told apart from harm: it takes more hosts, and too much of it certifies nothing */
	assert_true(proceed_needs(.01, .001, 1e-3) > 764);
	assert_true(proceed_hazard(10000, 5, .0005, 1e-3) < proceed_hazard(10000, 5, 0, 1e-3));
	assert_true(proceed_hazard(50, 50, 0, 1e-3) == 1 && proceed_hazard(0, 0, 0, 1e-3) == 1);
}

/* The ring-growth law: the next ring may be about ten times as large, whatever the size. */
static void
ring_growth(void **state)
{
	(void)state;
	for (double n = 100; n < 1e7; n *= 10) {
		double next = (double)proceed_next_ring(77, proceed_hazard(n, 0, 0, 1e-3));

		assert_true(within(next, 10 * n, 5));
	}
	assert_int_equal(proceed_next_ring(77, 1), 0);
	assert_int_equal(proceed_next_ring(77, proceed_hazard(1, 0, 0, 1e-3)), 0);
}

/* A deployment of hazard h is certified below h in at most beta of its lives, watched at every host. */
static void
hardly_ever_wrong(void **state)
{
	enum { LIVES = 3000, HOSTS = 400 };
	static const double beta = .05;
	struct dice d = { 3 };

	(void)state;
	for (int c = 0; c < 2; c++) {
		double h = .02, churn = c * .01;
		unsigned wrong = 0;

		for (int life = 0; life < LIVES; life++) {
			unsigned bad = 0;

			for (unsigned n = 1; n <= HOSTS; n++) {
				bad += dice_chance(&d, h + churn);
				if (proceed_log(n, bad, h, churn) >= -log(beta)) {
					assert_true(proceed_hazard(n, bad, churn, beta) <= h);
					wrong++;
					break;
				}
			}
		}
		assert_true(wrong > 0 && wrong + 1.645 * sqrt(wrong) <= beta * LIVES);
	}
}

/* ---- plans ---- */

static struct outlook_harm
harm(const struct outlook_plan *p, double hazard, double heard, double median_s)
{
	struct outlook_fault f = { hazard, heard, 20, median_s, .5, 30, POOL_NEW_KERNEL };
	struct outlook_harm h;

	outlook_harm(p, &f, &h);
	return h;
}

/* HALT 8.3 and 8.6 give what simulations of these plans measured. */
static void
outlook_agrees_with_simulation(void **state)
{
	static const struct outlook_ring five[] = { { 1000, 1800, 5400 },
						    { 9000, 1800, 12600 },
						    { 90000, 1800, 19800 },
						    { 400000, 1800, 19800 },
						    { 0, 1800, 0 } };
	static const struct outlook_ring flat[] = { { 0, 4680, 0 } };
	static const struct outlook_ring fast[] = { { 8500, 600, 1800 }, { 0, 4680, 0 } };
	static const struct outlook_ring slow[] = { { 8500, 3600, 1800 }, { 0, 4680, 0 } };
	static const double measured[5] = { 106.6, 18.7, 5.5, 7.1, 14.5 };
	struct outlook_ring ramp[20];
	struct halt_params p;
	struct outlook_plan plan = { 1e6, five, 5, &p };
	double h = 1;

	(void)state;
	halt_params_default(&p, true);
	p.rho = 2; /* as simulated */
	for (int i = 0; i < 5; i++, h /= 10) {
		struct outlook_harm o = harm(&plan, h, .9, 180);

		assert_true(o.halted && within(o.harmed, measured[i], 25));
		assert_true(o.if_first <= o.harmed);
	}
	plan.fleet = 8.5e6;
	plan.n_rings = 1;
	plan.rings = flat;
	assert_true(within(harm(&plan, 1, .1, 240).harmed, 194e3, 15));
	assert_true(within(harm(&plan, 1, .01, 240).harmed, 248e3, 15));
	plan.n_rings = 2;
	plan.rings = fast;
	assert_true(within(harm(&plan, 1, .1, 240).harmed, 2333, 10));
	assert_true(within(harm(&plan, 1, .01, 240).harmed, 3636, 10));
	plan.rings = slow;
	assert_true(within(harm(&plan, 1, .1, 240).harmed, 531, 10));
	assert_true(within(harm(&plan, 1, .01, 240).harmed, 1031, 10));
	for (int i = 0; i < 20; i++)
		ramp[i] = (struct outlook_ring){ i < 19 ? 20 * pow(2, i) : 0, 600, 0 };
	plan.n_rings = 20;
	plan.rings = ramp;
	assert_true(within(harm(&plan, 1, .1, 240).harmed, 52, 10));
	assert_true(within(harm(&plan, 1, .01, 240).harmed, 456, 15));
}

static void
outlook_of_rings(void **state)
{
	static const struct outlook_ring rings[] = {
		{ 1000, 600, 1800 }, { 9000, 600, 1800 }, { 500000, 600, 1800 }, { 0, 600, 0 }
	};
	struct halt_params p;
	struct outlook_plan plan = { 1e6, rings, 4, &p };
	struct outlook_ring_view v[4];

	(void)state;
	halt_params_default(&p, true);
	outlook_rings(&plan, v);
	assert_true(v[0].from_s == 0 && v[0].to_s == 600 && v[1].from_s == 2400 && v[3].served == 1e6);
	assert_int_equal(v[0].votes_needed, 3);
	assert_true(v[1].share == .01 && v[1].votes_needed == 5);
	assert_true(v[0].next_fits && !v[1].next_fits); /* fifty times as large */
	assert_true(v[1].next_ring_max > 95000 && v[1].next_ring_max < 105000);
	assert_int_equal(v[3].votes_needed, UINT32_MAX); /* nobody is left to compare with */
	plan.fleet = 150;
	outlook_rings(&plan, v);
	assert_true(v[0].hazard == 1 && v[0].next_ring_max == 0); /* a small fleet certifies nothing */
}

/* Too rare, or never heard of: the plan says that it would not be stopped. */
static void
outlook_without_a_halt(void **state)
{
	static const struct outlook_ring rings[] = { { 100, 60, 600 }, { 0, 60, 0 } };
	struct halt_params p;
	struct outlook_plan plan = { 10000, rings, 2, &p };
	struct outlook_harm o;

	(void)state;
	halt_params_default(&p, true);
	o = harm(&plan, .001, .5, 240);
	assert_false(o.halted);
	assert_true(within(o.harmed, 10, 1));
	o = harm(&plan, .5, 0, 240);
	assert_true(!o.halted && within(o.harmed, 5000, 1));
	plan.n_rings = 0;
	o = harm(&plan, .5, 1, 240);
	assert_true(!o.halted && o.harmed == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_the_first_implementation),
		cmocka_unit_test(hosts_needed),
		cmocka_unit_test(ring_growth),
		cmocka_unit_test(hardly_ever_wrong),
		cmocka_unit_test(outlook_agrees_with_simulation),
		cmocka_unit_test(outlook_of_rings),
		cmocka_unit_test(outlook_without_a_halt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
