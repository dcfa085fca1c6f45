/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_NOTES_H
#define COLLECTOR_API_NOTES_H

#include "collector/api/jsonout.h"
#include "collector/ledger/ledger.h"

/* Members about what people said of a signature: "advice", "merged_into", "merged", "history". */
void notes_members(struct jsonout *j, const struct ledger *l, uint64_t signature);

#endif
