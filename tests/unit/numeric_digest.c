/* SPDX-License-Identifier: Apache-2.0 */
/* One number from many results of the ledger's arithmetic: the same bits, the same number.
 * Its inputs are made without libm. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "collector/ledger/baseline.h"
#include "collector/ledger/eprocess.h"
#include "collector/ledger/numeric.h"
#include "collector/ledger/proceed.h"

static uint64_t digest = 0xcbf29ce484222325, state = 7;

static void
add(double x)
{
	uint64_t b;

	memcpy(&b, &x, sizeof(b));
	for (int i = 0; i < 8; i++, b >>= 8)
		digest = (digest ^ (b & 0xff)) * 0x100000001b3;
}

static double
unit(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (double)(state >> 11) * 0x1p-53;
}

int
main(void)
{
	struct eprocess e[GRID_N];

	for (int i = 0; i < 200000; i++) {
		double x = (unit() - .5) * 1400, wide = num_exp(x * .9), near = unit() * 2 - .999;

		add(wide);
		add(num_expm1(near));
		add(num_log(wide));
		add(num_log1p(near));
		add(num_log1p(wide));
		add(num_lgamma(wide));
		add(num_lgamma(unit() * 30));
	}
	for (int g = 0; g < GRID_N; g++)
		eprocess_init(&e[g], (enum ratio_grid)g, key_log_weight(POOL_OWN, 1 + g, 3));
	for (int i = 0; i < 30000; i++)
		for (int g = 0; g < GRID_N; g++) {
			bool served = unit() < .1; /* a statement each: arguments have no order */
			double q = unit() * .2, low, high;

			add(eprocess_vote(&e[g], served, q));
			eprocess_interval(&e[g], 1, .05, &low, &high);
			add(low);
			add(high);
			add(material_log(e[g].served, unit() * 9));
		}
	for (int i = 0; i < 3000; i++) {
		struct birth_prior p;
		struct birth_tally t = {
			.births = { [0] = 9, [3] = 2 }, .votes = { [3] = 6 }, .exposure = { 3, 0, 0, 2 }, .total = 11
		};
		double n = 1 + unit() * 1e4, mu = unit() * 50, kappa = .5 + unit() * 100;

		add(proceed_hazard(n, i % 3, 0, 1e-3));
		add(frailty_log(n / 100, mu, kappa));
		if (i % 100 == 0)
			births_learn(&t, &p);
		add(births_log(n / 50, mu / 100, &p));
	}
	printf("%016" PRIx64 "\n", digest);
	return 0;
}
