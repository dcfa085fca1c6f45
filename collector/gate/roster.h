/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_ROSTER_H
#define COLLECTOR_GATE_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intake;

/* What one gate knows of hosts, so that an ordinary heartbeat costs one table look-up
 * and two bytes of log: host hash -> (host number, fingerprint of its last full record).
 * One a loop, on that loop's thread. */
struct roster;

struct roster *roster_new(uint32_t gate, uint64_t seed);	/* NULL when out of memory */
void	       roster_free(struct roster *r);

/* The ledger numbered a host (published by the fold, in order). */
void roster_learn(struct roster *r, uint64_t host_hash, uint32_t host_no);

/* A heartbeat came.  True if it must be logged in full (host without number, or the
 * fingerprint changed since the last full record through this gate); false if it was
 * taken into this second's presence set. */
bool roster_beat(struct roster *r, uint64_t host_hash, uint32_t fingerprint);

/* The full record of that host is durable: from now on this fingerprint is known. */
void roster_told(struct roster *r, uint64_t host_hash, uint32_t fingerprint);

/* Append this second's presence set to the intake, if there is one.  `thin` keeps one in
 * eight (disk low).  Call once a second. */
void roster_flush(struct roster *r, struct intake *in, int64_t now_us, bool thin);

size_t roster_bytes(const struct roster *r);

#endif
