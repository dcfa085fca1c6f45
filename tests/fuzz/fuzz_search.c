/* SPDX-License-Identifier: Apache-2.0 */
/* Queries for signatures.  What is taken has values inside the query's own buffer and terms inside the text;
 * what is refused says why, in one printable line, at a place that is there. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
taken(const struct search *s, struct text q)
{
	check(s->n <= SEARCH_TERMS);
	for (unsigned i = 0; i < s->n; i++) {
		const struct search_term *t = &s->terms[i];

		check(t->field < SEARCH_FIELDS && t->value.len > 0 && t->length > 0);
		check((size_t)t->at + t->length <= q.len);
		check(t->value.at >= s->values && t->value.at + t->value.len <= s->values + sizeof(s->values));
		check(search_column(q, t->at) <= t->at);
		if (memchr(t->value.at, '*', t->value.len) == NULL)
			check(search_says(t, t->value));
		search_says(t, q);
		search_holds(t, q.len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct search *s = malloc(sizeof(*s));
	struct search_error err = { 0 };
	char *query = malloc(size + 1);
	struct text q = { query, size };

	check(s != NULL && query != NULL);
	memcpy(query, data, size); /* of its own length: a byte too far is seen */
	if (search_parse(q, s, &err) == 0)
		taken(s, q);
	else {
		check(s->n == 0 && err.at <= size && err.message[0] != '\0');
		check(text_is_utf8(text_of(err.message)) && strchr(err.message, '\n') == NULL);
	}
	free(query);
	free(s);
	return 0;
}
