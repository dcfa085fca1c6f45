/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "triage/module.h"

struct slot {
	uint64_t base, size;
	uint32_t index;
};

static int
by_base(const void *pa, const void *pb)
{
	const struct slot *a = pa, *b = pb;

	if (a->base != b->base)
		return a->base < b->base ? -1 : 1;
	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

enum err
module_index_build(struct arena *a, const struct triage_module *modules, size_t n, struct module_index *out)
{
	struct module_index mi = { .modules = modules, .n = n };
	struct slot *slots = ARENA_ARRAY(a, struct slot, n), *last = NULL;

	mi.order = ARENA_ARRAY(a, uint32_t, n);
	if (slots == NULL || mi.order == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++)
		slots[i] = (struct slot){ modules[i].base, modules[i].size, (uint32_t)i };
	qsort(slots, n, sizeof(slots[0]), by_base);
	for (size_t i = 0; i < n; i++) {
		/* a module that begins inside another one is not found by address */
		if (slots[i].size == 0 || (last != NULL && slots[i].base - last->base < last->size))
			continue;
		last = &slots[i];
		mi.order[mi.n_order++] = slots[i].index;
	}
	*out = mi;
	return ERR_OK;
}

int32_t
module_index_find(const struct module_index *mi, uint64_t addr)
{
	size_t lo = 0, hi = mi->n_order;
	const struct triage_module *m;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (mi->modules[mi->order[mid]].base <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0)
		return -1;
	m = &mi->modules[mi->order[lo - 1]];
	return addr - m->base < m->size ? (int32_t)mi->order[lo - 1] : -1;
}

uint64_t
module_index_top(const struct module_index *mi)
{
	const struct triage_module *m;

	if (mi->n_order == 0)
		return 0;
	m = &mi->modules[mi->order[mi->n_order - 1]];
	return m->size > UINT64_MAX - m->base ? UINT64_MAX : m->base + m->size;
}
