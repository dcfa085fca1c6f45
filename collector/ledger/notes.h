/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_NOTES_H
#define COLLECTOR_LEDGER_NOTES_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/ledger/ledger.h"
#include "collector/ledger/pack.h"

/* Inside of the ledger: what people say of signatures.  No key, vote or verdict looks at it.
 * The notes of one signature are one snapshot chunk. */

struct note {
	struct note_view view; /* its texts point into `texts` */
	char *texts;
};

struct signature_notes {
	uint32_t slot, word; /* word: generation of its chunk */
	uint16_t tenant;
	uint64_t signature;
	uint32_t n;
	struct note notes[NOTES_KEPT]; /* oldest first */
};

struct notes {
	struct signature_notes **slots; /* none is ever removed */
	uint32_t n;
	uint64_t version; /* position of the newest; derived */
};

void notes_fini(struct notes *n);
void fold_note(struct ledger *l, const struct record_view *rec);

uint32_t *notes_word(struct ledger *l, uint64_t id);
bool notes_pack(const struct ledger *l, uint64_t id, struct pack *k);
bool notes_unpack(struct ledger *l, uint64_t id, struct reader *r);

#endif
