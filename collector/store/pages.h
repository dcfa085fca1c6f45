/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_PAGES_H
#define COLLECTOR_STORE_PAGES_H

#include "collector/store/store_query.h"

struct pg;

/* The questions of store_query.h that one statement answers, as JSON that the database makes. */
bool pages_lookup(struct pg *pg, int log_no, struct store_query *q, enum store_answer *answer_out);

#endif
