/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_STORY_H
#define COLLECTOR_LEDGER_STORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "collector/ledger/ledger.h"

/* What the ledger can tell of one key beside its counters: who has it, and when that was, minute by minute.
 * Work is cut into turns of a few milliseconds of the ledger's thread; nothing of it is state. */

#define STORY_MINUTES 120u
#define STORY_ROWS    100u /* of each list: the largest */
#define STORY_HOSTS   20u

enum story_list { STORY_SITES, STORY_OS_BUILDS, STORY_PRODUCTS, STORY_HW_CLASSES, STORY_LISTS };

struct story_row {
	struct text name; /* in the arena */
	uint32_t hosts;
};

struct story {
	uint32_t key_no;
	/* the minutes that end with the running one; those before `from` are not known whole */
	int64_t t0_us;
	uint32_t from;
	uint32_t crashes[STORY_MINUTES], hosts[STORY_MINUTES], sites[STORY_MINUTES];
	struct story_row *rows[STORY_LISTS]; /* most hosts first */
	uint32_t n_rows[STORY_LISTS], total[STORY_LISTS], unknown[STORY_LISTS];
	uint32_t host_no[STORY_HOSTS], n_hosts; /* that crashed last, else the first */
	struct story_work *work;                /* private */
};

enum story_state { STORY_MORE, STORY_DONE, STORY_NO_MEMORY };
/* One turn; s starts zeroed but for key_no, its memory comes from a. */
enum story_state story_step(struct story *s, const struct ledger *l, struct arena *a);
/* After STORY_DONE, any thread: what was seen becomes counts, and the lists are sorted. */
void story_finish(struct story *s);

#endif
