/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_SAFEGUARDS_H
#define COLLECTOR_LEDGER_SAFEGUARDS_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/ledger/pack.h"

/* Inside of the ledger: hosts and strata on which a deployment must not be offered.  A person
 * adds and removes them; a halt has some while it holds, which become lasting ones when it is
 * resumed.  Each is a snapshot chunk of its own, written once. */

struct arena;
struct deployment;
struct ledger;
struct record_view;

struct safeguard {
	uint32_t slot, word; /* word: generation of its chunk */
	uint32_t deployment;
	uint64_t pos, signature;
	uint32_t index;
	bool automatic;
	int64_t at_us;
	uint8_t *packed; /* log.Safeguard */
	size_t packed_len;
	struct arena *arena;                   /* of msg */
	struct Faultline__Log__Safeguard *msg; /* hosts are sorted */
};

void safeguards_fini(struct ledger *l);
void fold_safeguard(struct ledger *l, const struct record_view *rec);
/* A halt is about to be resumed: its strata stay. */
void safeguards_drop(struct ledger *l, const struct deployment *d); /* all of a deployment that is deleted */
void safeguards_keep(struct ledger *l, const struct deployment *d, uint64_t pos);

uint32_t *safeguard_word(struct ledger *l, uint64_t id);
bool safeguard_pack(const struct ledger *l, uint64_t id, struct pack *k);
bool safeguard_unpack(struct ledger *l, uint64_t id, struct reader *r);

#endif
