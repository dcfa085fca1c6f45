/* SPDX-License-Identifier: Apache-2.0 */
/* Queries of /api/v1/query.  What is taken has texts inside the query or the arena and numbers
 * that are finite; what is refused says why, in one printable line of its own. */
#include "config.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "collector/api/promql.h"

static void
check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new((size_t)64 * 1024);
	char err[PROMQL_ERROR_SIZE] = "";
	char *query = malloc(size + 1);
	struct promql q;
	uint8_t sum = 0; /* every byte of the texts is read */

	check(a != NULL && query != NULL);
	memcpy(query, data, size); /* of its own length: a byte too far is seen */
	if (promql_parse((struct text){ query, size }, a, &q, err) == 0) {
		check(q.n_matchers <= PROMQL_MATCHERS && isfinite(q.number) && isfinite(q.fallback));
		check(q.kind != PROMQL_SELECT || q.name.len > 0);
		for (unsigned i = 0; i < q.n_matchers; i++) {
			check(q.matchers[i].label.len > 0);
			check(promql_matches(&q.matchers[i], q.matchers[i].value) != q.matchers[i].differs);
			for (size_t k = 0; k < q.matchers[i].value.len; k++)
				sum ^= (uint8_t)q.matchers[i].value.at[k];
		}
		for (size_t k = 0; k < q.name.len; k++)
			sum ^= (uint8_t)q.name.at[k];
	} else {
		check(err[0] != '\0' && memchr(err, '\0', sizeof(err)) != NULL && strchr(err, '\n') == NULL);
	}
	free(query);
	arena_free(a);
	check(size > 0 || sum == 0);
	return 0;
}
