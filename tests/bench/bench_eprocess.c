/* SPDX-License-Identifier: Apache-2.0 */
/* One vote of the halt engine: nanoseconds beside those of the first implementation, which
 * uses libm, in the same run.
 *
 *	bench_eprocess [votes, 3000000] */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/ledger/eprocess.h"
#include "tests/unit/halt_oracle.h"

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* A storm's mixture: mostly hosts not served, q of a growing ring. */
static double
chance(long i)
{
	return .0005 + (double)(i & 1023) * 2e-4;
}

static double
ours(enum ratio_grid g, long n, double *sum)
{
	struct eprocess e;
	double from = now();

	eprocess_init(&e, g, 0);
	for (long i = 0; i < n; i++)
		*sum += eprocess_vote(&e, i % 9 == 0, chance(i));
	return (now() - from) / (double)n;
}

/* Four keys of one report share a q. */
static double
shared(long n, double *sum)
{
	struct eprocess e[4];
	struct grid_cost cost;
	double from = now();

	for (int k = 0; k < 4; k++)
		eprocess_init(&e[k], GRID_NEW, 0);
	for (long i = 0; i < n / 4; i++) {
		eprocess_cost(GRID_NEW, chance(i), &cost);
		for (int k = 0; k < 4; k++)
			*sum += eprocess_apply(&e[k], i % 9 == 0, i % 9 != 0, &cost);
	}
	return (now() - from) / (double)n;
}

static double
theirs(int g, long n, double *sum)
{
	struct oracle_grid og;
	struct oracle_ev e = { 0 };
	double from = now();

	oracle_grid(&og, g);
	for (long i = 0; i < n; i++)
		*sum += oracle_update(&e, &og, i % 9 == 0, i % 9 != 0, chance(i));
	return (now() - from) / (double)n;
}

int
main(int argc, char **argv)
{
	static const char *const names[] = { "new (5 ratios)", "old (7)", "dark (8)" };
	long n = argc > 1 ? atol(argv[1]) : 3000000;
	double sum = 0;
	volatile double used;

	if (n < 1)
		return 2;
	for (int g = 0; g < GRID_N; g++) {
		double a = theirs(g, n, &sum), b = ours((enum ratio_grid)g, n, &sum);

		printf("vote, grid %-15s %6.0f ns; with libm %6.0f ns; ratio %.2f\n", names[g], b, a, b / a);
	}
	printf("vote, four keys at one q    %6.0f ns each\n", shared(n, &sum));
	used = sum; /* not optimised away */
	(void)used;
	return 0;
}
