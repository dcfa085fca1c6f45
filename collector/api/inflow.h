/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_INFLOW_H
#define COLLECTOR_API_INFLOW_H

#include "collector/api/jsonout.h"

struct api;

/* Rates and delays of what comes in, over the last seconds, minutes and the last hour of this process. */
struct inflow;
struct inflow *inflow_new(void); /* NULL: out of memory */
void inflow_free(struct inflow *g);
void inflow_second(struct inflow *g);                                        /* once a second */
void inflow_json(struct jsonout *j, const struct api *a, int64_t ledger_us); /* "ingest": {...} */

#endif
