/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_MEM_H
#define COLLECTOR_LEDGER_MEM_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Memory of the ledger.  None left ends the process: a half-folded record cannot be
 * undone, and a restart folds it again from the last snapshot. */
static inline void *
mem_zero(size_t n, size_t size)
{
	void *p = calloc(n > 0 ? n : 1, size > 0 ? size : 1);

	if (p == NULL)
		abort();
	return p;
}

/* Grow an array of `old` elements to n; new ones are zero. */
static inline void *
mem_grow(void *p, size_t old, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || (p = realloc(p, bytes > 0 ? bytes : 1)) == NULL)
		abort();
	memset((char *)p + old * size, 0, bytes - old * size);
	return p;
}

#endif
