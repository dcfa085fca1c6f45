/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/runs.h"
#include "cli/tally.h"
#include "cli/world.h"

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct mean
mean_of(const double *v, size_t n)
{
	struct mean m = { 0 };
	double *sorted, square = 0;

	if (n == 0)
		return m;
	sorted = need(malloc(n * sizeof(*sorted)));
	memcpy(sorted, v, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_value);
	m.median = n % 2 != 0 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
	free(sorted);
	for (size_t i = 0; i < n; i++)
		m.mean += v[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		square += (v[i] - m.mean) * (v[i] - m.mean);
	if (n > 1)
		m.half = 1.96 * sqrt(square / (double)(n - 1) / (double)n);
	return m;
}

void
share_interval(size_t k, size_t n, double *lo, double *hi)
{
	double z = 1.96, N = n > 0 ? (double)n : 1, p = (double)k / N, d = 1 + z * z / N;
	double centre = (p + z * z / 2 / N) / d, half = z * sqrt(p * (1 - p) / N + z * z / 4 / N / N) / d;

	*lo = k == 0 || centre - half < 0 ? 0 : centre - half;
	*hi = centre + half > 1 ? 1 : centre + half;
}

/* Few digits are worth printing. */
static double
rounded(double v)
{
	double unit = fabs(v) >= 1000 ? 1 : fabs(v) >= 10 ? 10 : 100;

	return floor(v * unit + 0.5) / unit;
}

json_t *
json_mean(const double *v, size_t n)
{
	struct mean m = mean_of(v, n);

	return json_pack("[f, f]", rounded(m.mean), rounded(m.half));
}

json_t *
json_share(size_t k, size_t n, double scale)
{
	double lo, hi;

	share_interval(k, n, &lo, &hi);
	return json_pack("[f, f, f]", rounded(n > 0 ? scale * (double)k / (double)n : 0), rounded(scale * lo),
			 rounded(scale * hi));
}

/* ---- tables ---- */

void
sheet_begin(struct sheet *s, const char *title, const char *note)
{
	s->json = need(json_pack("{s:s, s:s, s:[]}", "title", title, "note", note, "rows"));
}

void
sheet_row(struct sheet *s, json_t *row)
{
	char *text = json_dumps(row, JSON_REAL_PRECISION(6));

	run_progress("%s", text != NULL ? text : "");
	free(text);
	json_array_append_new(json_object_get(s->json, "rows"), need(row));
}

static void
number(char *out, size_t size, double v)
{
	if (fabs(v) >= 1000)
		snprintf(out, size, "%.0f", v);
	else
		snprintf(out, size, "%g", v);
}

static void
cell(const json_t *v, char *out, size_t size)
{
	char a[32], b[32], c[32];

	if (json_is_string(v)) {
		snprintf(out, size, "%s", json_string_value(v));
	} else if (json_is_number(v)) {
		number(out, size, json_number_value(v));
	} else if (json_is_array(v)) {
		number(a, sizeof(a), json_number_value(json_array_get(v, 0)));
		number(b, sizeof(b), json_number_value(json_array_get(v, 1)));
		number(c, sizeof(c), json_number_value(json_array_get(v, 2)));
		if (json_array_size(v) == 2)
			snprintf(out, size, "%s +- %s", a, b);
		else
			snprintf(out, size, "%s [%s, %s]", a, b, c);
	} else {
		snprintf(out, size, "-");
	}
}

void
sheet_print(const struct sheet *s)
{
	json_t *rows = json_object_get(s->json, "rows"), *first = json_array_get(rows, 0), *row, *value;
	const char *key;
	size_t i;
	char text[160];

	printf("\n%s\n%s\n\n", json_string_value(json_object_get(s->json, "title")),
	       json_string_value(json_object_get(s->json, "note")));
	if (first == NULL)
		return;
	for (size_t line = 0; line <= json_array_size(rows); line++) {
		const char *sep = "| ";

		json_object_foreach(first, key, value)
		{
			int width = (int)strlen(key);

			json_array_foreach(rows, i, row)
			{
				cell(json_object_get(row, key), text, sizeof(text));
				width = (int)strlen(text) > width ? (int)strlen(text) : width;
			}
			cell(json_object_get(json_array_get(rows, line > 0 ? line - 1 : 0), key), text, sizeof(text));
			printf("%s%-*s", sep, width, line > 0 ? text : key);
			sep = " | ";
		}
		printf(" |\n");
		if (line > 0)
			continue;
		json_object_foreach(first, key, value) printf("|---");
		printf("|\n");
	}
}
