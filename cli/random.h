/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_RANDOM_H
#define CLI_RANDOM_H

#include <math.h>
#include <stdint.h>

#include "base/hash.h"

/* Random numbers of the simulations: a stream is one integer, and the same seed gives the
 * same stream.  Each draw advances it by one step, whatever the distribution needs. */
struct rng {
	uint64_t s;
};

static inline struct rng
rng_of(uint64_t seed, uint64_t stream)
{
	return (struct rng){ hash_mix(hash_mix(seed + 0x9e3779b97f4a7c15ull) + stream) };
}

static inline uint64_t
rng_next(struct rng *r)
{
	r->s += 0x9e3779b97f4a7c15ull;
	return hash_mix(r->s);
}

static inline double
unit_of(uint64_t bits)
{
	return (double)(bits >> 11) / 9007199254740992.0; /* [0, 1) */
}

static inline double
rng_unit(struct rng *r)
{
	return unit_of(rng_next(r));
}

static inline uint64_t
rng_below(struct rng *r, uint64_t n) /* n > 0 */
{
	__extension__ unsigned __int128 wide = rng_next(r);

	return (uint64_t)(wide * n >> 64);
}

static inline double
rng_exponential(struct rng *r, double mean)
{
	return -mean * log(1 - rng_unit(r));
}

static inline double
rng_normal(struct rng *r)
{
	double a = rng_unit(r), b = rng_unit(r);

	return sqrt(-2 * log(1 - a)) * cos(6.283185307179586 * b);
}

static inline double
rng_lognormal(struct rng *r, double median, double sigma)
{
	return median * exp(sigma * rng_normal(r));
}

static inline uint64_t
rng_poisson(struct rng *r, double mean)
{
	double p = 1, limit;
	uint64_t n = 0;

	if (mean > 60) { /* a normal is near enough for how many crashes a day has */
		double v = mean + sqrt(mean) * rng_normal(r) + 0.5;

		return v > 0 ? (uint64_t)v : 0;
	}
	limit = exp(-mean);
	for (p = rng_unit(r); p > limit; p *= rng_unit(r))
		n++;
	return n;
}

/* Place i of a random order of 0 .. n-1, without storing it: a Feistel network over the
 * next power of four, walked until it lands inside. */
static inline uint32_t
permute(uint32_t n, uint64_t seed, uint32_t i)
{
	unsigned half = 1;
	uint64_t x = i;

	while (n > 1ull << 2 * half)
		half++;
	do {
		uint32_t mask = (1u << half) - 1, a = (uint32_t)(x >> half), b = (uint32_t)x & mask;

		for (unsigned round = 0; round < 4; round++) {
			uint32_t t = a ^ ((uint32_t)hash_mix(seed + ((uint64_t)round << 32 | b)) & mask);

			a = b;
			b = t;
		}
		x = (uint64_t)a << half | b;
	} while (x >= n);
	return (uint32_t)x;
}

#endif
