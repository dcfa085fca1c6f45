/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TALLY_H
#define CLI_TALLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Results of simulations: means and shares with 95 % intervals, and the tables they go into. */

struct mean {
	double mean, half, median; /* half: of the interval */
};
struct mean mean_of(const double *v, size_t n);

/* Wilson's interval of k in n. */
void share_interval(size_t k, size_t n, double *lo, double *hi);

/* A table: rows are objects whose keys are the columns, in the order of the first row. */
struct sheet {
	json_t *json; /* {title, note, rows: [...]} */
};
void sheet_begin(struct sheet *s, const char *title, const char *note);
/* Takes the row.  Values: strings, numbers, or arrays [value, half width] and [value, low, high]. */
void sheet_row(struct sheet *s, json_t *row);
void sheet_print(const struct sheet *s); /* as text */

json_t *json_mean(const double *v, size_t n);         /* [mean, half width] */
json_t *json_share(size_t k, size_t n, double scale); /* [share, low, high], times scale */

#endif
