/* SPDX-License-Identifier: Apache-2.0 */
/* Our logarithms against libm's, to 1e-12. */
#include "config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "collector/ledger/numeric.h"
#include "tests/unit/halt_help.h"

static void
close_to(const char *what, double x, double ours, double libm)
{
	double off = fabs(ours - libm);

	if (ours == libm || off <= 1e-12 * fabs(libm))
		return;
	print_error("%s(%.17g) is %.17g, libm says %.17g\n", what, x, ours, libm);
	fail();
}

/* Over the whole range, geometrically, and densely where the value goes through zero. */
static void
agrees_with_libm(void **state)
{
	struct dice d = { 1 };

	(void)state;
	for (int i = 0; i < 300000; i++) {
		double x = (dice_unit(&d) - .5) * 1480, wide = exp((dice_unit(&d) - .5) * 1400);
		double near = (dice_unit(&d) - .5) * 2, tiny = near * exp(-dice_unit(&d) * 60);

		if (x > -708) /* below, libm's result is not a normal number and has fewer digits */
			close_to("exp", x, num_exp(x), exp(x));
		close_to("exp", tiny, num_exp(tiny), exp(tiny));
		close_to("expm1", near, num_expm1(near), expm1(near));
		close_to("expm1", tiny, num_expm1(tiny), expm1(tiny));
		close_to("log", wide, num_log(wide), log(wide));
		close_to("log", 1 + near, num_log(1 + near), log(1 + near));
		close_to("log", 1 + tiny, num_log(1 + tiny), log(1 + tiny));
		close_to("log1p", wide, num_log1p(wide), log1p(wide));
		close_to("log1p", near, num_log1p(near), log1p(near));
		close_to("log1p", tiny, num_log1p(tiny), log1p(tiny));
	}
	for (int i = 0; i < 100000; i++) {
		double x = exp((dice_unit(&d) - .5) * 60), z = dice_unit(&d) * 20;

		close_to("lgamma", x, num_lgamma(x), lgamma(x));
		close_to("lgamma", z, num_lgamma(z), lgamma(z));
		close_to("lgamma", 1 + z * 1e-9, num_lgamma(1 + z * 1e-9), lgamma(1 + z * 1e-9));
		close_to("lgamma", 2 - z * 1e-9, num_lgamma(2 - z * 1e-9), lgamma(2 - z * 1e-9));
	}
}

static void
edges(void **state)
{
	double inf = INFINITY, a[4] = { -inf, -inf, -inf, -inf };

	(void)state;
	assert_true(num_exp(0) == 1 && num_exp(-inf) == 0 && num_exp(-1000) == 0 && num_exp(710) == inf);
	assert_true(num_exp(709.78) > 1.7e308 && num_exp(709.78) < inf);
	assert_true(num_exp(-745) > 0 && isnan(num_exp(NAN)) && isnan(num_expm1(NAN)));
	assert_true(num_expm1(0) == 0 && num_expm1(-inf) == -1 && num_expm1(1e-300) == 1e-300);
	assert_true(num_log(1) == 0 && num_log(0) == -inf && num_log(inf) == inf && isnan(num_log(-1)));
	assert_true(fabs(num_log(5e-324) - log(5e-324)) < 1e-12 && isnan(num_log(NAN)));
	assert_true(num_log1p(0) == 0 && num_log1p(-1) == -inf && isnan(num_log1p(-1.5)) && num_log1p(inf) == inf);
	assert_true(num_lgamma(1) == 0 && num_lgamma(2) == 0 && isnan(num_lgamma(0)) && isnan(num_lgamma(-1)));
	assert_true(num_logsumexp(a, 0) == -inf && num_logsumexp(a, 4) == -inf);
	a[2] = 1e6;
	a[3] = -1e6;
	assert_true(num_logsumexp(a, 4) == 1e6);
	a[3] = 1e6;
	assert_true(fabs(num_logsumexp(a, 4) - (1e6 + log(2))) < 1e-9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_libm),
		cmocka_unit_test(edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
