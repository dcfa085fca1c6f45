/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_MEM_H
#define TRIAGE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory of the crashed process that the dump holds: address to bytes. */

struct mem_region {
	uint64_t addr; /* addr + size does not wrap */
	uint64_t size;
	const uint8_t *data; /* borrowed from the image */
};

struct mem {
	struct mem_region *regions; /* after mem_sort(): by address, none overlaps */
	size_t n;
	bool big_endian;
};

/* Put regions in order and drop what overlaps an earlier one (writers repeat the
 * stacks).  Call once, after the last region was added. */
void mem_sort(struct mem *m);

/* The region that holds addr, NULL: the dump does not have it. */
const struct mem_region *mem_find(const struct mem *m, uint64_t addr);

/* Bytes at addr if all len lie in one region, else NULL. */
const uint8_t *mem_bytes(const struct mem *m, uint64_t addr, uint64_t len);

/* Unsigned value of width 1, 2, 4 or 8 bytes at addr in one region. */
bool region_read(const struct mem_region *r, uint64_t addr, unsigned width, bool big_endian, uint64_t *out);

#endif
