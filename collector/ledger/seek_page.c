/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "collector/ledger/seek.h"

static bool
comes_before(struct seek_row a, struct seek_row b)
{
	return a.value != b.value ? a.value > b.value : a.key_no < b.key_no;
}

static int
in_order(const void *a, const void *b)
{
	const struct seek_row *x = a, *y = b;

	return comes_before(*x, *y) ? -1 : comes_before(*y, *x);
}

static void
swap(struct seek_row *a, struct seek_row *b)
{
	struct seek_row t = *a;

	*a = *b;
	*b = t;
}

/* Hoare's selection: what belongs before place k is before it, what belongs after it after it. */
static void
split_at(struct seek_row *rows, size_t n, size_t k)
{
	size_t lo = 0, hi = n;

	while (hi - lo > 1) {
		struct seek_row pivot = rows[lo + (hi - lo - 1) / 2];
		size_t i = lo, j = hi - 1;

		for (;; i++, j--) {
			while (comes_before(rows[i], pivot))
				i++;
			while (comes_before(pivot, rows[j]))
				j--;
			if (i >= j)
				break;
			swap(&rows[i], &rows[j]);
		}
		/* [lo, j] are not after the pivot, [j + 1, hi) not before it, and both have some */
		if (k <= j)
			hi = j + 1;
		else
			lo = j + 1;
	}
}

size_t
seek_page(struct seek *s, size_t from, size_t n)
{
	if (from >= s->n)
		return 0;
	if (n > s->n - from)
		n = s->n - from;
	if (from > 0)
		split_at(s->rows, s->n, from);
	if (from + n < s->n)
		split_at(s->rows + from, s->n - from, n);
	qsort(s->rows + from, n, sizeof(*s->rows), in_order);
	return n;
}
