/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdatomic.h>

#include "base/latency.h"

static _Atomic uint64_t counts[LATENCY_N][LATENCY_BUCKETS], sums_us[LATENCY_N];

/* Four buckets from each power of two to the next: by the two bits below the highest. */
static unsigned
bucket(uint64_t us)
{
	unsigned high, b;

	if (us < 4)
		return (unsigned)us;
	high = 63u - (unsigned)__builtin_clzll(us);
	b = (high - 1) * 4 + (unsigned)(us >> (high - 2) & 3);
	return b < LATENCY_BUCKETS ? b : LATENCY_BUCKETS - 1;
}

uint64_t
latency_bucket_end(unsigned b)
{
	if (b < 4)
		return b + 1;
	return (uint64_t)(4 + b % 4 + 1) << (b / 4 - 1);
}

void
latency_add(enum latency what, int64_t us)
{
	const uint64_t took = us > 0 ? (uint64_t)us : 0;

	atomic_fetch_add_explicit(&counts[what][bucket(took)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&sums_us[what], took, memory_order_relaxed);
}

void
latency_read(enum latency what, struct latency_counts *out)
{
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		out->n[i] = atomic_load_explicit(&counts[what][i], memory_order_relaxed);
	out->sum_us = atomic_load_explicit(&sums_us[what], memory_order_relaxed);
}

uint64_t
latency_quantile(const struct latency_counts *from, const struct latency_counts *to, double share)
{
	uint64_t all = 0, seen = 0;

	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		all += to->n[i] - from->n[i];
	for (unsigned i = 0; i < LATENCY_BUCKETS && all > 0; i++) {
		seen += to->n[i] - from->n[i];
		if ((double)seen >= share * (double)all)
			return latency_bucket_end(i);
	}
	return 0;
}
