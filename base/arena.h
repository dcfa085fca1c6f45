/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdalign.h>
#include <stddef.h>

/* One arena per dump.  Everything a parse produces lives and dies with it;
 * nothing inside is freed on its own.  The limit is the memory budget of the
 * whole parse: a hostile dump runs out of arena, not out of machine.
 *
 * With --enable-sanitizers=address every allocation is its own malloc block,
 * so overflows inside the arena are caught. */
struct arena;

struct arena *arena_new(size_t limit); /* NULL if out of memory */
void arena_free(struct arena *a);      /* NULL is fine */

/* Zeroed memory for n objects; NULL on overflow, limit or out of memory. */
void *arena_calloc(struct arena *a, size_t n, size_t size);

#define ARENA_ARRAY(a, type, n) ((type *)arena_calloc((a), (n), sizeof(type)))
#define ARENA_NEW(a, type)      ARENA_ARRAY((a), type, 1)

size_t arena_used(const struct arena *a);

#endif
