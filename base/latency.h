/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LATENCY_H
#define BASE_LATENCY_H

#include <stdint.h>

/* How long things took, counted in buckets of a quarter of an octave (19 % wide).  Any thread; relaxed atomics. */
enum latency {
	LATENCY_LOG_FLUSH,   /* a group of batches to disk */
	LATENCY_LEDGER_TURN, /* a batch folded, what changed told, a turn of a snapshot: until the next may begin */
	LATENCY_N
};
#define LATENCY_BUCKETS 112u /* up to 268 s; what takes longer is in the last */

struct latency_counts {
	uint64_t n[LATENCY_BUCKETS];
	uint64_t sum_us;
};
uint64_t latency_bucket_end(unsigned bucket); /* one more than the largest value in it, in µs */

void latency_add(enum latency what, int64_t us);
void latency_read(enum latency what, struct latency_counts *out); /* since the process began */

/* The time that this share (0 to 1) of what came between two readings took at most, in µs: the upper end of its bucket.
 * 0: nothing came. */
uint64_t latency_quantile(const struct latency_counts *from, const struct latency_counts *to, double share);

#endif
