/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_CSV_H
#define COLLECTOR_API_CSV_H

#include "collector/api/jsonout.h"

/* Rows of RFC 4180, written raw into a jsonout's buffer.  No cell is a formula to a spreadsheet (a ' goes
 * before = + - @, and before a tab or line end at the beginning), and what a terminal must not see is written
 * as U+202E and the like. */
void csv_text(struct jsonout *j, struct text t);
void csv_u64(struct jsonout *j, uint64_t n);
void csv_time(struct jsonout *j, int64_t wall_us); /* RFC 3339 ms; 0: empty */
void csv_end(struct jsonout *j);                   /* of a row */

#endif
