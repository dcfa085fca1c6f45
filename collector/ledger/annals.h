/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_ANNALS_H
#define COLLECTOR_LEDGER_ANNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/log.pb-c.h"

struct deployment;
struct ledger;
struct pack;
struct reader;

/* What was decided about a deployment, by whom and why: its newest ANNALS_KEPT decisions, oldest first. */
#define ANNALS_KEPT   64u
#define ANNALS_ACTOR  128u /* bytes of each text kept */
#define ANNALS_REASON 1024u

struct annal {
	uint64_t pos;
	int64_t at_us;
	uint8_t action; /* log.Action */
	bool automatic;
	uint64_t signature;
	int64_t until_us;
	double log_odds, log_needed; /* of what was shown then; needed 0: nothing was */
	char *texts;                 /* actor, NUL, reason, NUL */
};

/* About to be applied: what it found is kept with it. */
void annals_add(struct ledger *l, struct deployment *d, const Faultline__Log__Decision *m, uint64_t pos);
void annals_touch(struct ledger *l, struct deployment *d); /* about to change */
void annals_fini(struct deployment *d);

void annals_pack(const struct deployment *d, struct pack *k);
bool annals_unpack(struct deployment *d, struct reader *r);

#endif
