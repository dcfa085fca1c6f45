/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#define ARENA_SEPARATE (HAVE_ASAN_GCC || __has_feature(address_sanitizer))
#ifdef __SANITIZE_ADDRESS__
#define HAVE_ASAN_GCC 1
#else
#define HAVE_ASAN_GCC 0
#endif

#define ARENA_BLOCK ((size_t)64 * 1024)

struct block {
	struct block *next;
	size_t cap, used;
	alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct block *head;
	size_t limit, used;
};

struct arena *
arena_new(size_t limit)
{
	struct arena *a = calloc(1, sizeof(*a));

	if (a != NULL)
		a->limit = limit;
	return a;
}

void
arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	for (struct block *b = a->head, *next; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(a);
}

void *
arena_calloc(struct arena *a, size_t n, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct block *b = a->head;
	size_t want, cap;
	void *p;

	if (size != 0 && n > (SIZE_MAX - align) / size)
		return NULL;
	want = n * size;
	if (!ARENA_SEPARATE)
		want = (want + align - 1) & ~(align - 1);
	if (want > a->limit - a->used)
		return NULL;
	if (ARENA_SEPARATE || b == NULL || want > b->cap - b->used) {
		cap = ARENA_SEPARATE || want > ARENA_BLOCK ? want : ARENA_BLOCK;
		b = calloc(1, sizeof(*b) + cap);
		if (b == NULL)
			return NULL;
		b->cap = cap;
		b->next = a->head;
		a->head = b;
	}
	p = b->data + b->used;
	b->used += want;
	a->used += want;
	return p;
}

size_t
arena_used(const struct arena *a)
{
	return a->used;
}
