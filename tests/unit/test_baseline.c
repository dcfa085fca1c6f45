/* SPDX-License-Identifier: Apache-2.0 */
/* Tests against history: the figures they are said to have, and their false alarms. */
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

#include "collector/ledger/baseline.h"
#include "collector/ledger/halt_params.h"
#include "tests/unit/halt_help.h"
#include "tests/unit/halt_oracle.h"

/* ---- a known signature ---- */

/* Extra votes until one of 5,000 known keys is certified at 1e-6, along the expected path. */
static double
extra_needed(double jump, double kappa)
{
	for (double mu = .01; mu < 1e6; mu *= 1.0005)
		if (frailty_log(jump * mu, mu, kappa) >= log(1e6 / (.1 / 5000)))
			return (jump - 1) * mu;
	return INFINITY;
}

static void
jumps_that_can_be_certified(void **state)
{
	(void)state;
	/* daily variation of 50 %: doubling and fourfold never */
	assert_true(isinf(extra_needed(2, 4)) && isinf(extra_needed(4, 4)));
	assert_true(fabs(extra_needed(10, 4) - 519) < 10);
	assert_true(fabs(extra_needed(30, 4) - 17) < 1);
	/* of 10 %: x2, x4, x10 */
	assert_true(fabs(extra_needed(2, 100) - 480) < 5);
	assert_true(fabs(extra_needed(4, 100) - 38) < 1);
	assert_true(fabs(extra_needed(10, 100) - 18) < 1);
}

static void
daily_variation_is_no_alarm(void **state)
{
	enum { PATHS = 20000, BINS = 60 };
	struct dice d = { 11 };
	unsigned hits[2] = { 0, 0 };

	(void)state;
	for (int path = 0; path < PATHS; path++) {
		double factor = dice_gamma(&d, 4) / 4, n = 0, peak = 0;

		for (int i = 1; i <= BINS; i++) {
			n += (double)dice_poisson(&d, factor);
			peak = fmax(peak, frailty_log(n, i, 4));
		}
		hits[0] += peak >= log(10);
		hits[1] += peak >= log(100);
	}
	assert_true(hits[0] > 0 && hits[0] + 1.645 * sqrt(hits[0]) <= PATHS / 10.);
	assert_true(hits[1] + 1.645 * sqrt(hits[1]) + 1 <= PATHS / 100.);
}

static void
kappa_is_learned(void **state)
{
	static const double truths[] = { 2, 10, 50 };

	(void)state;
	for (int t = 0; t < 3; t++) {
		struct frailty_fit f = { 0 };
		struct dice d = { (uint64_t)t };
		double kappa;

		assert_true(frailty_kappa(&f, 4) == 4);
		for (int key = 0; key < 400; key++) {
			double rate = 20 + 100 * dice_unit(&d);
			uint32_t days[14];

			for (int i = 0; i < 14; i++)
				days[i] = (uint32_t)dice_poisson(&d, rate * dice_gamma(&d, truths[t]) / truths[t]);
			frailty_add(&f, days, 14);
			if (key == 10)
				assert_true(frailty_kappa(&f, 4) == 4); /* too few keys */
		}
		kappa = frailty_kappa(&f, 4);
		assert_true(kappa > truths[t] * .8 && kappa < truths[t] * 1.3);
	}
}

/* Bins of five minutes, nothing ever changes: alarms at 1/a come less often than once in 1/a bins. */
static void
detector_keeps_its_run_length(void **state)
{
	enum { BINS = 400000 };
	struct dice d = { 17 };
	double log_m = 0;
	unsigned alarms = 0, delay = 0;

	(void)state;
	for (int i = 0; i < BINS; i++) {
		log_m = detector_step(log_m, (double)dice_poisson(&d, .7 * dice_gamma(&d, 4) / 4), .7, 4);
		if (log_m >= log(1000)) {
			alarms++;
			log_m = 0;
		}
	}
	assert_true(alarms <= BINS / 1000);
	for (log_m = 0; log_m < log(1e6); delay++) /* thirtyfold: seen within two bins */
		log_m = detector_step(log_m, 21, .7, 4);
	assert_true(delay <= 2);
}

/* ---- a new signature ---- */

static void
births_equal_the_first_implementation(void **state)
{
	double rate[BIRTH_RATES], psi[BIRTH_RATES] = { 0, 0, 0, .1, .15, .25, .25, .25 }, sum = 0;
	struct birth_prior p;
	struct dice d = { 23 };

	(void)state;
	births_cold(&p);
	for (uint32_t m = 0; m < BIRTH_RATES; m++) {
		rate[m] = births_rate(m);
		sum += p.pi[m];
	}
	assert_true(fabs(sum - 1) < 1e-12);
	assert_true(fabs(p.pi[4] - .0014) < 5e-5 && fabs(p.pi[7] - 1.6e-6) < 5e-8);
	for (int i = 0; i < 5000; i++) {
		double n = (double)dice_below(&d, 3000), A = exp(-14 * dice_unit(&d)) * 100;
		double ours = births_log(n, A, &p), theirs = oracle_nb(n, A, BIRTH_RATES, rate, p.pi, psi, 2);

		assert_true(fabs(ours - theirs) <= 1e-9 * fmax(1, fabs(theirs)));
		assert_true(ours <= births_log_max(&p) + 1e-9);
	}
	/* at a cold start speed is worth this much, and no more: 1e3, 1e4, 1e5 an hour */
	assert_true(fabs(psi[4] / p.pi[4] - 106) < 2 && fabs(psi[5] / p.pi[5] - 1.76e3) < 30);
}

/* Benign births of the mixture itself: n votes of a gamma-mixed rate. */
static double
benign_votes(struct dice *d, const struct birth_prior *p, double exposure)
{
	double u = dice_unit(d), rate;
	uint32_t m = 0;

	while (m + 1 < BIRTH_RATES && u >= p->pi[m])
		u -= p->pi[m++];
	rate = births_rate(m) * dice_gamma(d, 2) / 2;
	return (double)dice_poisson(d, fmin(rate * exposure, 1e6));
}

static void
births_are_learned(void **state)
{
	struct birth_prior truth = { { .93, .06, .0086, .0014, 0, 0, 0, 0 } }, learned;
	struct birth_tally t;
	struct dice d = { 31 };

	(void)state;
	memset(&t, 0, sizeof(t));
	assert_false(births_learned(&t));
	births_learn(&t, &learned);
	assert_true(fabs(learned.pi[1] - .842) < .001); /* nothing known: the cold start */
	for (int i = 0; i < 4000; i++)
		births_count(&t, benign_votes(&d, &truth, 24), 24);
	assert_true(births_learned(&t));
	births_learn(&t, &learned);
	assert_true(learned.pi[0] > .9 && learned.pi[0] < .95 && learned.pi[2] < .012 && learned.pi[4] < 2e-5);
	assert_true(births_log_max(&learned) > log(1e6)); /* fast ones are known to be rare now */
}

static void
benign_births_hardly_ever_alarm(void **state)
{
	enum { BIRTHS = 6000 };
	struct birth_prior cold;
	struct dice d = { 37 };
	unsigned hits[2] = { 0, 0 };

	(void)state;
	births_cold(&cold);
	for (int i = 0; i < BIRTHS; i++) {
		double u = dice_unit(&d), rate, fleet = 0, peak = -1e9;
		uint32_t m = 0;
		struct newborn b;

		while (m + 1 < BIRTH_RATES && u >= cold.pi[m])
			u -= cold.pi[m++];
		rate = births_rate(m) * dice_gamma(&d, 2) / 2;
		birth_begin(&b, 0, 0);
		for (int minute = 1; minute <= 24 * 60; minute += minute < 120 ? 1 : 30) {
			uint64_t n = dice_poisson(&d, fmin(rate * (minute < 120 ? 1 : 30) / 60., 2000));

			fleet = minute / 60.; /* a million hosts */
			while (n-- > 0)
				birth_vote(&b);
			birth_advance(&b, minute * 60000000ll, fleet); /* those were before */
			peak = fmax(peak, birth_log(&b, fleet, &cold));
		}
		hits[0] += peak >= log(10);
		hits[1] += peak >= log(100);
	}
	print_message("E reached 10: %u, 100: %u of %d\n", hits[0], hits[1], BIRTHS);
	assert_true(hits[0] + 1.645 * sqrt(hits[0]) + 1 <= BIRTHS / 10.);
	assert_true(hits[1] + 1.645 * sqrt(hits[1]) + 1 <= BIRTHS / 100.);
}

/* HALT 4.4's fault of 1e5 hosts an hour in a million: ten reports, when births are learned; and one that
 * sleeps for an hour in a quiet signature is found from a later start. */
static void
a_fault_is_found(void **state)
{
	struct birth_prior learned = { { .93, .06, .0086, .0014, 7.7e-6, 7.4e-7, 7.4e-8, 8.2e-9 } };
	struct newborn b;
	unsigned votes = 0;
	double fleet = 0;

	(void)state;
	birth_begin(&b, 0, 0);
	while (birth_log(&b, fleet, &learned) < log(1e4)) {
		birth_vote(&b);
		votes++;
		fleet = votes / 1e5;
		assert_true(votes < 10);
	}
	birth_begin(&b, 0, 0);
	for (int minute = 1; minute <= 70; minute++) {
		fleet = minute / 60.;
		birth_advance(&b, minute * 60000000ll, fleet);
	}
	assert_int_equal(b.started, 8);
	for (votes = 0; birth_log(&b, fleet, &learned) < log(1e4); votes++) {
		birth_vote(&b);
		fleet += 1e-5;
		assert_true(votes < 700);
	}
	print_message("%u votes after an hour's sleep\n", votes);
}

static void
brake(void **state)
{
	struct halt_params p;

	(void)state;
	halt_params_default(&p, true);
	assert_true(brake_pulls(&p, 1000, 10, 1000000));
	assert_false(brake_pulls(&p, 999, 10, 1000000));
	assert_false(brake_pulls(&p, 1000, 9, 1000000)); /* an incident of few sites */
	assert_false(brake_pulls(&p, 2, 10, 100));       /* never fewer hosts than a halt needs */
	assert_false(brake_pulls(&p, 100, 100, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jumps_that_can_be_certified),
		cmocka_unit_test(daily_variation_is_no_alarm),
		cmocka_unit_test(kappa_is_learned),
		cmocka_unit_test(detector_keeps_its_run_length),
		cmocka_unit_test(births_equal_the_first_implementation),
		cmocka_unit_test(births_are_learned),
		cmocka_unit_test(benign_births_hardly_ever_alarm),
		cmocka_unit_test(a_fault_is_found),
		cmocka_unit_test(brake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
