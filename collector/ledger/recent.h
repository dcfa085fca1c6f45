/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_RECENT_H
#define COLLECTOR_LEDGER_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/ledger/table.h"

/* What was seen in the last so many seconds: 64-bit keys with a log position, oldest
 * first, at most cap of them (the oldest go early, and are counted). */
struct recent {
	struct table rows;
	uint64_t first;  /* oldest live row */
	uint32_t *slots; /* row number + 1 in 32 bits */
	uint32_t n_slots;
	uint32_t *old; /* while the index grows: the one before, up to n_moved in slots too; else NULL */
	uint32_t n_old, n_moved;
	uint32_t age_s;
	uint64_t cap, dropped_early;
};

void recent_init(struct recent *t, uint64_t id, uint32_t age_s, uint64_t cap);
void recent_fini(struct recent *t);
bool recent_find(const struct recent *t, uint64_t key, uint64_t *pos_out);
void recent_add(struct recent *t, struct snap *s, uint64_t key, uint64_t pos, uint32_t now_s);
void recent_expire(struct recent *t, struct snap *s, uint32_t now_s);
void recent_prefetch(const struct recent *t, uint64_t key);

void recent_pack(const struct recent *t, uint64_t chunk, struct pack *k);
bool recent_unpack(struct recent *t, uint64_t chunk, struct reader *r);
/* After all chunks: rows end at n, the oldest live one is first. */
bool recent_loaded(struct recent *t, uint64_t first, uint64_t n);

#endif
