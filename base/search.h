/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SEARCH_H
#define BASE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* The one-line query for signatures (docs/SEARCH.md): the same text on the page, in the API and on the
 * command line.  Terms with spaces between, all of which must hold:
 *
 *	word            the title contains it
 *	field:value     -field:value does not hold; "…" where a value has spaces
 *	hosts:>10       counts, with > >= < <= or =
 *	new:<1h         ages
 *
 * Pure, allocates nothing.  ASCII letters are the same in either case. */

#define SEARCH_MAX   1024u /* bytes of a query */
#define SEARCH_TERMS 16u

enum search_field {
	SEARCH_TITLE,
	SEARCH_MODULE,
	SEARCH_OFFSET,
	SEARCH_KIND,
	SEARCH_REASON,
	SEARCH_BUILD,
	SEARCH_SITE,
	SEARCH_OS,
	SEARCH_PRODUCT,
	SEARCH_CONTENT,
	SEARCH_DEPLOYMENT,
	SEARCH_STATE,
	SEARCH_HOSTS,
	SEARCH_SITES,
	SEARCH_REPORTS,
	SEARCH_NEW,
	SEARCH_LAST,
	SEARCH_FIELDS
};
const char *search_field_name(enum search_field f); /* "module" */

enum search_op { SEARCH_IS, SEARCH_LESS, SEARCH_AT_MOST, SEARCH_MORE, SEARCH_AT_LEAST };

struct search_term {
	enum search_field field;
	enum search_op op;
	bool negated;
	struct text value;   /* unquoted; in search.values */
	uint64_t number;     /* of counts and offsets; of ages in µs */
	uint16_t at, length; /* in the query, bytes */
};

struct search {
	struct search_term terms[SEARCH_TERMS];
	unsigned n;
	char values[SEARCH_MAX];
};

struct search_error {
	size_t at;         /* in the query, bytes */
	char message[320]; /* what is wrong and what would be right; printable, no line end */
};

/* 0, or -1 with *err_out; then *out holds nothing.  The empty query has no terms and finds all. */
int search_parse(struct text query, struct search *out, struct search_error *err_out);

/* Does the term's value say this text?  Titles, reasons and contents contain it; the others are it, * being
 * anything.  Negation is the caller's. */
bool search_says(const struct search_term *t, struct text has);
/* Does the comparison hold for a count, or an age in µs? */
bool search_holds(const struct search_term *t, uint64_t has);

/* Characters before a byte of the query: where a person sees it. */
size_t search_column(struct text query, size_t at);

#endif
