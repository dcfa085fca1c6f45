/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_FILING_H
#define COLLECTOR_STORE_FILING_H

#include <stdbool.h>

#include <libpq-fe.h>

struct pg;

/* File freshly triaged reports under the signature that was computed from their dumps,
 * beside the one they claimed: an alias, never a rewrite.  `results` are the new rows of
 * triage_results (tenant, position, signature, module, module_id, offset, reason_class,
 * received).  The caller's transaction. */
bool filing_store(struct pg *pg, int log_no, const PGresult *results);

#endif
