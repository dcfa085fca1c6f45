/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_STRETCH_H
#define COLLECTOR_STORE_STRETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/batch.h"

struct pg;

/* A stretch of the log on its way into one transaction.  The caller begins and commits;
 * report rows already travel while records are added, the rest goes with stretch_store(). */
struct stretch;

struct stretch *stretch_new(uint64_t seed, int log_no); /* NULL when out of memory */
void stretch_free(struct stretch *s);                   /* NULL is fine */

/* False when the record must wait for the next transaction. */
bool stretch_fits(const struct stretch *s, const struct record_view *rec);

/* Add a record with the fold's OUTCOME_* bits.  False: pg says why. */
bool stretch_add(struct stretch *s, struct pg *pg, const struct record_view *rec, uint32_t outcome);

/* Send everything that is not sent yet. */
bool stretch_store(struct stretch *s, struct pg *pg);

/* Instead of records: a hole in the log, or one record that the database refused. */
bool stretch_gap(struct stretch *s, struct pg *pg, uint64_t from, uint64_t to, const char *why);
bool stretch_reject(struct stretch *s, struct pg *pg, const struct record_view *rec, const char *error);

uint32_t stretch_rows(const struct stretch *s); /* report rows added */
size_t stretch_bytes(const struct stretch *s);  /* that wait in memory */

/* Empty it, after a commit or (false) after anything else. */
void stretch_clear(struct stretch *s, bool committed);

#endif
