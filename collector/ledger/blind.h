/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_BLIND_H
#define COLLECTOR_LEDGER_BLIND_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/batch.h"

struct ledger;
struct pack;
struct reader;

/* Our own blindness (HALT A7): silence counts only while somebody listened.
 *
 * Time in which we did not is a gap: the log says so (Gap records), or no Tick came for
 * longer than usual, or most heartbeats that were due did not arrive.  A gap up to
 * GAP_LONG_S shifts every silence deadline by its length.  After a longer one hosts have to
 * find us again first, so everybody counts as heard of at its end. */
#define GAP_SLACK_US  5000000
#define GAP_LONG_S    60u
#define GAP_KEPT      64u
#define BEATS_MINUTES 64u
#define BLIND_HOSTS   20u /* fewer live hosts than this tell nothing about us */

struct gap {
	uint32_t from, to; /* unix seconds */
};
struct blind {
	struct gap gaps[GAP_KEPT]; /* short ones since `floor`, oldest first, apart from one another */
	uint32_t n_gaps;
	uint32_t floor;  /* end of the last long one: no silence is older */
	int64_t tick_us; /* the last tick, and how far it was from the one before */
	int64_t step_us;
	uint32_t minute; /* of tick_us */
	uint64_t beats[BEATS_MINUTES];
	uint32_t listens; /* minute since which beats are complete */
	uint32_t since;   /* blind since this second; 0: we hear the fleet */
	uint64_t gaps_ever, minutes_ever;
};

/* A Tick or Gap record, before the ledger's time moves on. */
void blind_tick(struct ledger *l, int64_t wall_us);
void fold_gap(struct ledger *l, const struct record_view *rec);

/* Heartbeats that arrived.  Judged once a minute, by blind_tick(). */
static inline void
blind_heard(struct blind *b, uint32_t n)
{
	b->beats[b->minute % BEATS_MINUTES] += n;
}

/* Seconds of listening between `then` and `now`. */
uint32_t blind_age(const struct blind *b, uint32_t now, uint32_t then);
/* Whoever was last heard of at or before the answer has been silent for more than `span` such seconds,
 * if the answer is not before `floor`. */
uint32_t blind_cut(const struct blind *b, uint32_t now, uint32_t span);

void blind_pack(const struct blind *b, struct pack *k);
bool blind_unpack(struct blind *b, struct reader *r);

#endif
