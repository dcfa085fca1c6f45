/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_HALT_HELP_H
#define TESTS_UNIT_HALT_HELP_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* Random numbers that are the same everywhere. */
struct dice {
	uint64_t state;
};

static inline uint64_t
dice_u64(struct dice *d)
{
	uint64_t x = d->state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static inline double
dice_unit(struct dice *d) /* 0 to below 1 */
{
	return (double)(dice_u64(d) >> 11) * 0x1p-53;
}

static inline bool
dice_chance(struct dice *d, double p)
{
	return dice_unit(d) < p;
}

static inline uint64_t
dice_below(struct dice *d, uint64_t n)
{
	return (uint64_t)(dice_unit(d) * (double)n);
}

/* Poisson by inversion up to a mean of 30, above by the normal curve. */
static inline uint64_t
dice_poisson(struct dice *d, double mean)
{
	double p, sum, u;
	uint64_t n = 0;

	if (mean > 30) {
		double z = sqrt(-2 * log(1 - dice_unit(d))) * cos(2 * 3.14159265358979 * dice_unit(d));
		double x = mean + sqrt(mean) * z + .5;

		return x > 0 ? (uint64_t)x : 0;
	}
	p = sum = exp(-mean);
	for (u = dice_unit(d); u > sum && n < 1000; n++, sum += p)
		p *= mean / (double)(n + 1);
	return n;
}

/* Gamma of shape >= 1 and mean `shape` (Marsaglia and Tsang). */
static inline double
dice_gamma(struct dice *d, double shape)
{
	double a = shape - 1. / 3, c = 1 / sqrt(9 * a);

	for (;;) {
		double x = sqrt(-2 * log(1 - dice_unit(d))) * cos(2 * 3.14159265358979 * dice_unit(d)), v = 1 + c * x;

		v = v * v * v;
		if (v > 0 && log(1 - dice_unit(d)) < .5 * x * x + a - a * v + a * log(v))
			return a * v;
	}
}

#endif
