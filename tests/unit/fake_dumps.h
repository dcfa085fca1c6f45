/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_FAKE_DUMPS_H
#define TESTS_UNIT_FAKE_DUMPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "collector/workers/dumps.h"

/* The writing side of the dump store without a disk, for tests of what stands before it. */
struct fake_dumps {
	enum discard refuse_begin, refuse_write; /* what to answer; DISCARD_none: take it */
	enum dumps_outcome outcome;
	unsigned open, committed;
	size_t largest_write;
	uint8_t last_sha256[SHA256_BYTES];
	uint64_t last_size;
};
extern struct fake_dumps fake_dumps;

#endif
