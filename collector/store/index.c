/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "collector/store/index.h"

struct index_slot {
	uint64_t key;
	uint32_t value; /* of key + 1; 0: free */
};

static struct index_slot *
probe(const struct index *x, uint64_t key)
{
	uint32_t i = (uint32_t)key & (x->cap - 1);

	while (x->slots[i].value != 0 && x->slots[i].key != key)
		i = (i + 1) & (x->cap - 1);
	return &x->slots[i];
}

uint32_t
index_find(const struct index *x, uint64_t key)
{
	return x->cap == 0 ? INDEX_NONE : probe(x, key)->value - 1;
}

static bool
grow(struct index *x)
{
	struct index bigger = { .n = x->n, .cap = x->cap == 0 ? 256 : x->cap * 2 };

	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return false;
	for (uint32_t i = 0; i < x->cap; i++)
		if (x->slots[i].value != 0)
			*probe(&bigger, x->slots[i].key) = x->slots[i];
	free(x->slots);
	*x = bigger;
	return true;
}

bool
index_put(struct index *x, uint64_t key, uint32_t value)
{
	if (x->n >= x->cap / 2 && !grow(x))
		return false;
	*probe(x, key) = (struct index_slot){ key, value + 1 };
	x->n++;
	return true;
}

void
index_clear(struct index *x)
{
	if (x->cap > 0)
		memset(x->slots, 0, x->cap * sizeof(*x->slots));
	x->n = 0;
}

void
index_free(struct index *x)
{
	free(x->slots);
	*x = (struct index){ 0 };
}
