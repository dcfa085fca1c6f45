/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_SILENCE_H
#define COLLECTOR_LEDGER_SILENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/blind.h"
#include "collector/ledger/halt_params.h"
#include "collector/ledger/hosts.h"

/* Presence: who is there, and who fell silent without a goodbye.
 *
 * A host that sends heartbeats is *alive* until S = beats * interval + grace seconds have passed
 * since the last (docs/HALT.md, "Silence"); then it is *dark*, unless it said goodbye.  Apart from
 * that it is *active*, a member of the risk sets, until halt-active has passed, or S if that is
 * longer.  Both change rarely, at ticks and when the host is heard of again; everything that counts
 * hosts by state is told then: nothing else walks the fleet. */

/* Of one stratum (of the host table): how often hosts fall silent by themselves. */
struct churn {
	uint32_t alive;         /* derived */
	double silences, hours; /* of about a day; hosts served by an open deployment are not in `silences` */
};

struct silence {
	struct blind blind;
	uint32_t alive[HOST_INTERVALS]; /* hosts by number of interval; derived, as the next three */
	uint32_t n_alive, n_dark, n_active;
	struct churn *strata;
	uint32_t n_strata;
	uint32_t hand; /* chunk where the next tick's scan begins */
	uint32_t churn_hour;
	uint64_t went_dark, came_back;
	uint32_t word; /* CHUNK_SILENCE */
	uint32_t chunks_loaded;
};

void silence_fini(struct silence *s);

/* Seconds without a heartbeat until a host of that interval is dark: S. */
static inline uint32_t
silence_limit(const struct halt_params *p, uint32_t interval_s)
{
	return p->silence_beats * interval_s + p->silence_grace_s;
}

/* The host was heard of: last_seen was raised already. */
void silence_heard(struct ledger *l, uint32_t no);
/* Is there anything for silence_heard() to do? */
static inline bool
silence_is_settled(uint8_t flags, uint8_t interval)
{
	const uint8_t want = HOST_HEARD | HOST_ACTIVE | (interval != 0 ? HOST_ALIVE : 0);

	return (flags & (HOST_GOODBYE | want)) == want;
}
void silence_goodbye(struct ledger *l, uint32_t no);

/* Around every change of an alive host that moves it between counts (stratum, interval, site). */
void silence_out(struct ledger *l, uint32_t no);
void silence_in(struct ledger *l, uint32_t no);
/* The interval changed: its deadline may be nearer. */
void silence_due(struct ledger *l, uint32_t no);

static inline bool
host_is_alive(const struct hosts *h, uint32_t no)
{
	return (host_chunk(h, no)->flags[HOST_AT(no)] & HOST_ALIVE) != 0;
}
/* Heartbeats were expected and did not come. */
static inline bool
flags_are_dark(uint8_t flags, uint8_t interval)
{
	return interval != 0 && (flags & (HOST_HEARD | HOST_ALIVE | HOST_GOODBYE)) == HOST_HEARD;
}
bool host_is_dark(const struct hosts *h, uint32_t no);
/* Heard of, neither dark nor in a boot loop. */
bool host_is_well(const struct hosts *h, uint32_t no);

/* How often hosts that no open deployment served fall silent by themselves: an hour of a host, over all strata. */
double silence_churn(const struct ledger *l);

/* The table of chunks or of intervals has grown: CHUNK_SILENCE holds a part of it. */
void silence_touch(struct ledger *l);

void silence_tick(struct ledger *l);
/* All deadlines are to be looked at again: what they are counted from has changed. */
void silence_redo(struct ledger *l);

/* ---- snapshot: CHUNK_SILENCE ---- */
void silence_pack(const struct ledger *l, struct pack *k);
bool silence_unpack(struct ledger *l, struct reader *r);
bool silence_loaded(struct ledger *l);

#endif
