/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "triage/mem.h"

static int
by_address(const void *pa, const void *pb)
{
	const struct mem_region *a = pa, *b = pb;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	/* of two that start together the longer comes first and stays */
	return a->size == b->size ? 0 : a->size > b->size ? -1 : 1;
}

void
mem_sort(struct mem *m)
{
	size_t kept = 0;
	bool sorted = true;

	for (size_t i = 1; i < m->n && sorted; i++)
		sorted = by_address(&m->regions[i - 1], &m->regions[i]) <= 0;
	if (!sorted)
		qsort(m->regions, m->n, sizeof(m->regions[0]), by_address);
	for (size_t i = 0; i < m->n; i++) {
		const struct mem_region *last = kept > 0 ? &m->regions[kept - 1] : NULL;

		if (m->regions[i].size == 0 || (last != NULL && m->regions[i].addr - last->addr < last->size))
			continue;
		m->regions[kept++] = m->regions[i];
	}
	m->n = kept;
}

const struct mem_region *
mem_find(const struct mem *m, uint64_t addr)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->regions[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || addr - m->regions[lo - 1].addr >= m->regions[lo - 1].size)
		return NULL;
	return &m->regions[lo - 1];
}

const uint8_t *
mem_bytes(const struct mem *m, uint64_t addr, uint64_t len)
{
	const struct mem_region *r = mem_find(m, addr);

	if (r == NULL || len > r->size - (addr - r->addr))
		return NULL;
	return r->data + (size_t)(addr - r->addr);
}

bool
region_read(const struct mem_region *r, uint64_t addr, unsigned width, bool big_endian, uint64_t *out)
{
	const uint8_t *p;
	uint64_t v = 0;

	if (r == NULL || addr < r->addr || addr - r->addr >= r->size || width > r->size - (addr - r->addr))
		return false;
	p = r->data + (size_t)(addr - r->addr);
	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t)p[i] << 8 * (big_endian ? width - 1 - i : i);
	*out = v;
	return true;
}
