/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_STRATA_H
#define COLLECTOR_LEDGER_STRATA_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/ledger/hostset.h"
#include "collector/ledger/table.h"

/* Hosts of a deployment that are compared with one another, and how many are at risk.
 *
 * A stratum is product, OS build and hardware class (of one tenant), as the host had them when the
 * deployment began; the size of its site joins where hosts are not served at random, and a
 * hand-picked ring that holds back a part of itself is one of its own.  Ring and site never are:
 * a stratum that is served as a whole would have no controls left. */
#define STRATA_MAX    4096u /* then `other` */
#define STRATUM_OTHER 0u
#define SHARE_LEVELS  12u /* last 1, 2, 4, ... 2,048 minutes */

/* Served and unserved hosts at risk at one moment. */
struct share {
	uint32_t y1, y0;
};
struct stratum_row {
	uint32_t key; /* interned stratum | size class + 1 << 16 | ring + 1 << 24 */
	uint32_t minute;
	struct share now;
	uint64_t pos; /* of the record that changed it last; what one record does on the way is no moment */
	/* greatest share of served hosts within the running block of 2^i minutes, and the block before */
	struct share running[SHARE_LEVELS], before[SHARE_LEVELS];
};

/* Where hosts were when the deployment began, for those that have moved since. */
#define MOVED_BLOCK 65536u
struct moved_block {
	uint32_t word;
	uint16_t stratum[MOVED_BLOCK]; /* + 1; 0: as the host says now */
};

struct strata {
	struct table rows; /* struct stratum_row; 0 is `other` */
	uint32_t *slots;   /* row + 1 by key; derived */
	uint32_t n_slots;
	uint8_t *size_class; /* of sites, when it began; log2 of hosts, + 1 */
	uint32_t n_sites;
	struct moved_block **moved;
	uint32_t n_moved, moved_hosts;
	uint32_t at_risk1, at_risk0; /* in all strata */
};

void strata_init(struct strata *s, uint32_t deployment);
void strata_fini(struct strata *s);
/* Number of the stratum with that key, made when missing; STRATUM_OTHER when there is no room. */
uint16_t strata_obtain(struct strata *s, struct snap *snap, uint32_t key);
uint16_t strata_find(const struct strata *s, uint32_t key);
void strata_index(struct strata *s); /* after loading */

/* So many hosts more or less are at risk from the record at pos on. */
void strata_shift(struct strata *s, struct snap *snap, uint16_t stratum, uint64_t pos, uint32_t minute, int served,
		  int unserved);
/* The greatest share of served hosts of any moment from minute `from` to `now`. */
struct share strata_greatest(struct strata *s, struct snap *snap, uint16_t stratum, uint32_t from, uint32_t now);
bool share_exceeds(struct share a, struct share b);

/* Drop what only counting needs; rows and their shares stay. */
void strata_close(struct strata *s, struct snap *snap, uint32_t deployment);

#endif
