/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_INTERN_H
#define COLLECTOR_LEDGER_INTERN_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "collector/ledger/table.h"

/* Texts as numbers of 16 bits, given in order of appearance.  0 is the empty text;
 * beyond the cap every new text is INTERN_OTHER, and counted. */
#define INTERN_OTHER 0xffffu
#define INTERN_MAX   0xfffeu

struct intern {
	struct table rows; /* struct intern_row; row i is number i + 1 */
	uint16_t *slots;
	uint32_t n_slots; /* power of two, or 0 */
	uint64_t over;    /* texts refused for the cap */
};

void intern_init(struct intern *t, uint64_t id);
void intern_fini(struct intern *t);
uint16_t intern_add(struct intern *t, struct snap *s, struct text text);
uint16_t intern_find(const struct intern *t, struct text text); /* 0: not there */
struct text intern_text(const struct intern *t, uint16_t no);
uint32_t intern_count(const struct intern *t);

void intern_pack(const struct intern *t, uint64_t chunk, struct pack *k);
bool intern_unpack(struct intern *t, uint64_t chunk, struct reader *r);

#endif
