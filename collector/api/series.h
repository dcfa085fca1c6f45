/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_SERIES_H
#define COLLECTOR_API_SERIES_H

#include <stdbool.h>

#include "collector/fold/fold.h"

/* The series that say something about deployments, the same ones for /metrics and for
 * /api/v1/query.  Names come without the "faultline_" in front. */

struct series {
	const char *family, *help;
	const char *deployment;   /* label of every one of them */
	const char *label, *word; /* a second label and its value, or NULL */
	double value;
};

typedef void series_fn(void *arg, const struct series *s);

/* All of a family, then all of the next.  At most `most` deployments; closed ones too when
 * `closed`.  With a doubt (call_not_fresh()) nothing that could be taken for a go-ahead is told:
 * verdicts are halt or hold, and a deployment that is not halted has no series deployment_halted. */
void series_each(const struct fold_view *v, const char *doubt, uint32_t most, bool closed, series_fn *fn, void *arg);

/* Is there such a family (without the prefix)?  Its second label, NULL if it has none. */
bool series_family(const char *family, const char **label_out);

#endif
