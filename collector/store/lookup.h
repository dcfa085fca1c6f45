/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_LOOKUP_H
#define COLLECTOR_STORE_LOOKUP_H

#include "collector/store/store_query.h"

struct pg;

/* The statements behind store_query.h; blocking. */

/* The number of a log in the database; 0: none, or the connection failed. */
int lookup_log(struct pg *pg, const struct log_id *log);

/* Answer into q, memory from q->arena.  False: pg says why. */
bool lookup(struct pg *pg, int log_no, struct store_query *q, enum store_answer *answer_out);

#endif
