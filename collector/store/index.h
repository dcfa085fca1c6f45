/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_INDEX_H
#define COLLECTOR_STORE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

/* A set of well-mixed 64-bit keys, each with a small number.  Zeroed memory is an empty
 * one. */
struct index {
	struct index_slot *slots;
	uint32_t n, cap; /* cap is a power of two or 0 */
};

#define INDEX_NONE UINT32_MAX

uint32_t index_find(const struct index *x, uint64_t key);      /* INDEX_NONE if absent */
bool index_put(struct index *x, uint64_t key, uint32_t value); /* key is absent; false: out of memory */
void index_clear(struct index *x);
void index_free(struct index *x);

#endif
