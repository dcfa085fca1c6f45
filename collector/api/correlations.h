/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_CORRELATIONS_H
#define COLLECTOR_API_CORRELATIONS_H

#include "collector/api/jsonout.h"
#include "collector/ledger/correlate.h"

/* Members of a correlation that is done and ranked. */
void correlation_members(struct jsonout *j, const struct correlation *k, const char *title, uint64_t limit);

#endif
