/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_ROSTER_H
#define COLLECTOR_GATE_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intake;

/* One gate's presence set: an ordinary heartbeat costs a look-up in the ledger's host map
 * and about two bytes of log.  One a loop, on that loop's thread. */
struct roster;

/* What the ledger knows of a host: its number and the fingerprint of its last full record.
 * False: nothing yet. */
typedef bool roster_find(void *arg, uint16_t tenant, uint64_t host_hash, uint32_t *host_no_out,
			 uint32_t *fingerprint_out);

struct roster *roster_new(uint32_t gate, roster_find *find, void *arg); /* NULL when out of memory */
void roster_free(struct roster *r);

/* A heartbeat came.  True if it must be logged in full (the ledger does not know the host,
 * or its fingerprint changed); false if it was taken into this second's presence set. */
bool roster_beat(struct roster *r, uint16_t tenant, uint64_t host_hash, uint32_t fingerprint);

/* Append this second's presence set to the intake, if there is one.  `thin` keeps one in
 * eight (disk low).  Call once a second. */
void roster_flush(struct roster *r, struct intake *in, int64_t now_us, bool thin);

#endif
