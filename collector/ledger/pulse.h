/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_PULSE_H
#define COLLECTOR_LEDGER_PULSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/ledger.h"

struct pack;
struct reader;

/* The short history of the fleet, for people: four numbers of hosts in bins of a quarter of an hour for a day, what is
 * usual of them in each hour of the week, and crash reports in bins of 20 s for an hour.
 *
 * By the ledger's clock alone, so the same log gives the same history.  Bins in which the server did not run hold
 * "unknown".  Hosts that crashed lately are counted by the minute of their newest report: each once. */
#define PULSE_WEEK         168u
#define PULSE_HOUR_SAMPLES 30u /* minutes of an hour that must have been seen for it to count */
#define PULSE_USUAL_SHIFT  8   /* `usual` is in 1/256 hosts */
#define PULSE_WINDOW_MIN   10u

struct pulse {
	uint32_t minute;    /* sampled last; numbers since 1970, as the next three */
	uint32_t bin, hour; /* running ones */
	uint32_t rate_bin;
	uint32_t n_bin, n_hour; /* samples in them */
	uint64_t bin_sum[PULSE_TILES], hour_sum[PULSE_TILES];
	uint32_t spark[PULSE_TILES][PULSE_SPARK]; /* by bin % PULSE_SPARK: the mean, + 1; 0: unknown */
	uint64_t usual[PULSE_TILES][PULSE_WEEK];  /* by hour % PULSE_WEEK: of the last weeks, a quarter the newest */
	uint8_t weeks[PULSE_WEEK];                /* that it is from; saturates; 0: unknown */
	uint32_t rates[2][PULSE_RATES];           /* all, kernel: by rate_bin % PULSE_RATES, + 1; 0: unknown */
	/* derived: hosts by the minute of their newest report, by minute % */
	uint32_t crashing[PULSE_WINDOW_MIN + 1], crash_minute;
	uint32_t word; /* CHUNK_PULSE */
	bool loaded;
};

/* A report was counted; before: when the host's last one came, unix seconds, 0: never. */
void pulse_report(struct ledger *l, bool kernel, uint32_t before_s);
void pulse_tick(struct ledger *l);
void pulse_touch(struct ledger *l); /* about to change */

void pulse_pack(const struct pulse *p, struct pack *k);
bool pulse_unpack(struct pulse *p, struct reader *r);
void pulse_loaded(struct ledger *l);

#endif
