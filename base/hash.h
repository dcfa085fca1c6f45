/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Seeded 64-bit hash (XXH3) for tables whose keys others choose.  Any thread.
 * The value is part of no file format unless the seed is stored beside it. */
uint64_t hash64(uint64_t seed, const void *data, size_t len);

/* Full-avalanche mix of one integer (splitmix64 finaliser). */
static inline uint64_t
hash_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* CRC-32C (Castagnoli), as in iSCSI; start and chain with crc = 0. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
