/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_STANDING_H
#define COLLECTOR_API_STANDING_H

#include "collector/api/api.h"
#include "collector/api/jsonout.h"
#include "collector/ledger/verdict.h"

const char *standing_name(const struct standing *s); /* "signature", "dark" or "boot" */

/* Members of a standing, inside an object; one vote as an element of an array. */
void standing_members(struct jsonout *j, const struct standing *s);
void standing_vote(struct jsonout *j, const struct api *a, const struct vote *v);

#endif
