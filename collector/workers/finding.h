/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_FINDING_H
#define COLLECTOR_WORKERS_FINDING_H

#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/diag.h"

struct arena;
struct triage_result;

/* The payload of a RECORD_TRIAGE_RESULT (log.TriageResult).  r is looked at when outcome is
 * ERR_OK, what (may not be NULL) otherwise.  Returns the length and bytes in the arena; 0
 * when it is out of memory. */
size_t finding_encode(struct arena *a, uint64_t report, const uint8_t sha256[SHA256_BYTES], enum err outcome,
		      const char *what, const struct triage_result *r, uint8_t **out);

#endif
