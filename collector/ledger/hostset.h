/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_HOSTSET_H
#define COLLECTOR_LEDGER_HOSTSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/snap.h"

/* A set of host (or site) numbers that only grows.  Up to two inside the struct, up to
 * HOSTSET_SMALL in a sorted array, beyond that blocks of 65,536 numbers, each a sorted
 * array or a bitmap.  Blocks are snapshot chunks of their own, so that a set of millions
 * is never serialised in one go; that, and memory counted to the byte, is why this is not
 * CRoaring. */
#define HOSTSET_SMALL 512u

struct hostset_block;
struct hostset {
	uint32_t n;
	uint16_t small_cap; /* > 0: the sorted array */
	uint16_t n_blocks;  /* > 0: blocks */
	union {
		uint32_t inl[2];
		uint32_t *small;
		struct hostset_block *blocks;
	} u;
};

/* Add x; true if it was new.  Blocks that change are touched under id base + block. */
bool hostset_add(struct hostset *set, uint32_t x, struct snap *s, uint64_t base);
/* Fetch what adding x will touch: call with step 0, then 1, some work between. */
void hostset_prefetch(const struct hostset *set, uint32_t x, int step);
bool hostset_has(const struct hostset *set, uint32_t x);
void hostset_fini(struct hostset *set);
/* Blocks are dropped from the snapshot too. */
void hostset_drop(struct hostset *set, struct snap *s, uint64_t base);
size_t hostset_bytes(const struct hostset *set); /* outside the struct */

/* Next member >= *x; false when there is none.  Start with *x = 0, go on with *x + 1. */
bool hostset_next(const struct hostset *set, uint32_t *x);

/* In the owner's chunk: the members of a small set, or only how many blocks there are. */
void hostset_pack(const struct hostset *set, struct pack *k);
bool hostset_unpack(struct hostset *set, struct reader *r);
/* Were all blocks loaded? */
bool hostset_loaded(const struct hostset *set);
/* One block. */
bool hostset_pack_block(const struct hostset *set, uint32_t block, struct pack *k);
bool hostset_unpack_block(struct hostset *set, uint32_t block, struct reader *r);
uint32_t *hostset_word(const struct hostset *set, uint32_t block); /* NULL: no such block */

#endif
