/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_SAFEGUARD_H
#define COLLECTOR_API_SAFEGUARD_H

#include "collector/api/jsonout.h"
#include "collector/ledger/ledger.h"

/* One safeguard as an object; of listed hosts only how many. */
void safeguard_json(struct jsonout *j, const char *key, const struct safeguard_view *g);

#endif
