/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_PROMQL_H
#define COLLECTOR_API_PROMQL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

struct arena;

/* The expressions of GET /api/v1/query: the corner of PromQL that a gate needs, and nothing
 * that would be answered differently by Prometheus.  Pure.
 *
 *   query    = term [ "or" "vector" "(" number ")" ]
 *   term     = number | "vector" "(" number ")" | selector
 *            | ( "sum" | "min" | "max" | "count" ) "(" selector ")"
 *   selector = name [ "{" [ label ( "=" | "!=" ) string { "," ... } [","] ] "}" ]
 */

#define PROMQL_MATCHERS   8u
#define PROMQL_QUERY_MAX  4096u
#define PROMQL_ERROR_SIZE 256

enum promql_kind { PROMQL_NUMBER, PROMQL_VECTOR, PROMQL_SELECT };
enum promql_over { PROMQL_EACH, PROMQL_SUM, PROMQL_MIN, PROMQL_MAX, PROMQL_COUNT };

struct promql_matcher {
	struct text label, value;
	bool differs; /* != */
};

struct promql {
	enum promql_kind kind;
	double number; /* PROMQL_NUMBER, PROMQL_VECTOR */
	/* PROMQL_SELECT */
	enum promql_over over;
	struct text name;
	struct promql_matcher matchers[PROMQL_MATCHERS];
	unsigned n_matchers;
	/* what stands in when nothing was selected */
	bool has_fallback;
	double fallback;
};

/* Texts of *out borrow from query or live in a.  -1 with a sentence in err that says where. */
int promql_parse(struct text query, struct arena *a, struct promql *out, char err[PROMQL_ERROR_SIZE]);

/* Does a label with this value pass?  A label that a series lacks has the value "". */
bool promql_matches(const struct promql_matcher *m, struct text value);

#endif
