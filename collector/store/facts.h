/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_FACTS_H
#define COLLECTOR_STORE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/batch.h"

struct pg;

/* The rarer records of one transaction: dumps, triage results, deployments, receipts,
 * decisions, gaps, and records that the database refused.  Collected as columns, written
 * with one statement a kind. */
struct facts;

struct facts *facts_new(void); /* NULL when out of memory */
void facts_free(struct facts *f);

/* Take what the database wants of a record; records of other types, and payloads that are
 * no valid message, change nothing.  *taken_out says whether it did.  False: out of
 * memory. */
bool facts_add(struct facts *f, int log_no, const struct record_view *rec, bool *taken_out);

/* A stretch of the log that was released before we read it. */
bool facts_add_gap(struct facts *f, int log_no, uint64_t from, uint64_t to, const char *why);

/* A record that the database would not take, with its reason. */
bool facts_add_rejected(struct facts *f, int log_no, const struct record_view *rec, const char *error);

/* Write them; the caller's transaction, after the report rows. */
bool facts_store(struct facts *f, struct pg *pg, int log_no);
void facts_clear(struct facts *f);
size_t facts_bytes(const struct facts *f); /* collected so far */

#endif
