/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_COUNTS_H
#define COLLECTOR_API_COUNTS_H

#include "collector/api/jsonout.h"

struct fold_view;

/* The counters of the process, as JSON members and as Prometheus text 0.0.4. */
void counts_json(struct jsonout *j);

/* view may be NULL: then without what the ledger knows.  doubt is call_not_fresh(). */
void counts_metrics(struct jsonout *out, const struct fold_view *view, const char *doubt, int64_t started_wall_us);

#endif
