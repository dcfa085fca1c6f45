/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/numeric.h"
#include "collector/ledger/proceed.h"

#define SHARES       5
#define HAZARD_MOST  0.5
#define HAZARD_LEAST 1e-9

double
proceed_log(double n, double bad, double h, double churn)
{
	static const double SHARE[SHARES] = { 0, .05, .1, .25, .5 };
	double worst = h + churn, a[SHARES];
	int used = 0;

	if (!(worst > 0 && worst < 1) || !(h > 0))
		return 0;
	for (int i = 0; i < SHARES; i++) {
		double p = churn + SHARE[i] * h;

		if (p <= 0 && bad > 0)
			continue;
		a[used++] = (bad > 0 ? bad * num_log(p / worst) : 0) + (n - bad) * (num_log1p(-p) - num_log1p(-worst)) -
			    num_log(SHARES);
	}
	return num_logsumexp(a, (size_t)used);
}

bool
proceed_excludes(double n, double bad, double churn, double beta)
{
	return n > 0 && bad <= n && churn < HAZARD_MOST && !(proceed_log(n, bad, HAZARD_MOST, churn) < -num_log(beta));
}

double
proceed_hazard(double n, double bad, double churn, double beta)
{
	double need = -num_log(beta), good = 1, fails;

	if (!proceed_excludes(n, bad, churn, beta))
		return 1;
	for (fails = HAZARD_MOST; fails > HAZARD_LEAST; fails *= 0.9) {
		if (proceed_log(n, bad, fails, churn) < need)
			break;
		good = fails;
	}
	if (good == 1 || fails <= HAZARD_LEAST)
		return good;
	for (int i = 0; i < 40; i++) {
		double middle = good + (fails - good) / 2;

		if (proceed_log(n, bad, middle, churn) >= need)
			good = middle;
		else
			fails = middle;
	}
	return good;
}

uint64_t
proceed_next_ring(double budget, double hazard)
{
	double hosts;

	if (!(hazard > 0 && hazard < 1))
		return 0;
	hosts = budget / hazard;
	return hosts < 0x1p62 ? (uint64_t)hosts : UINT64_MAX;
}

uint64_t
proceed_needs(double h, double churn, double beta)
{
	double need = -num_log(beta);
	uint64_t low = 0, high = 1; /* low is not enough */

	while (proceed_log((double)high, churn * (double)high, h, churn) < need) {
		low = high;
		high *= 2;
		if (high > 1ull << 50)
			return UINT64_MAX;
	}
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		if (proceed_log((double)middle, churn * (double)middle, h, churn) >= need)
			high = middle;
		else
			low = middle;
	}
	return high;
}
