/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_CLAIM_H
#define PROTO_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/signature.h"
#include "proto/report.h"

/* What a report itself claims to be a case of, before triage has seen a dump.  One
 * definition for ledger, database and clients. */
struct claim {
	enum signature_rung rung; /* RUNG_KEY, RUNG_STOP; RUNG_ANY: it names nothing */
	struct signature_key key; /* reason is set for every rung; texts borrow the report's */
	struct stop_key stop;     /* RUNG_STOP */
};

/* A module is named: RUNG_KEY.  Else a kernel crash with a stop code: RUNG_STOP.  The
 * class is that of the reason text, or of the code when the text tells nothing. */
void claim_of(const struct report *r, struct claim *out);

/* Its signature, 0 for RUNG_ANY. */
uint64_t claim_hash(const struct claim *c);

/* As people say it ("csagent.sys+0xe14ed", "stop 0x50 …", "unknown"); returns the length. */
size_t claim_title(const struct claim *c, char *out, size_t cap);

#endif
