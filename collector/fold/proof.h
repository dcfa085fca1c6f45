/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_FOLD_PROOF_H
#define COLLECTOR_FOLD_PROOF_H

#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/ledger.h"

#define PROOF_VOTES 2000u /* kept with a decision; a halt has some dozens */

/* What a halt rests on, as a packed log.Proof: the key, its grid and weight, and its votes in order up to the one
 * that decided.  malloc()ed, NULL when the deployment is not there or memory is short. */
uint8_t *proof_pack(const struct ledger *l, uint16_t tenant, const char *deployment, uint64_t halt_pos,
		    size_t *len_out);

/* Halts that were found while a batch was folded; told when it is folded, for then the ledger can be asked. */
struct wanted {
	struct wanted *next;
	uint16_t tenant;
	uint64_t pos;
	char deployment[129];
	char reason[VERDICT_REASON_MAX];
};

/* Put one more behind the others.  When memory is short it is lost: folding again finds the halt. */
void wanted_add(struct wanted **list, uint16_t tenant, const char *deployment, const char *reason, uint64_t pos);
/* Take the first out of the list; free() it.  NULL when empty. */
struct wanted *wanted_take(struct wanted **list);

#endif
