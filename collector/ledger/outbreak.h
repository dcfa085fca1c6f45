/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_OUTBREAK_H
#define COLLECTOR_LEDGER_OUTBREAK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/alarm.h"
#include "collector/ledger/baseline.h"
#include "collector/ledger/table.h"

/* Alarms without a deployment: newborn kernel signatures, known ones against their past, the
 * emergency brake (HALT 4.3, 4.4).  The unit is a site: one vote a (key, site) for a newborn,
 * one a (key, site, five minutes) for a known one, so that an incident at one place is one vote.
 * What time does (bins, exposure, births of a day ago) follows Tick records alone. */

struct ledger;
struct key;

#define OUTBREAK_HOURS  168u /* a week of votes, by hour */
#define OUTBREAK_SITES  120u /* told apart in one bin; more are not counted, which is conservative */
#define OUTBREAK_BIN_S  300u
#define OUTBREAK_ROWS   16384u
#define BRAKE_BINS      12u
#define OUTBREAK_FLEETS 64u
#define OUTBREAK_DAY_US (86400ll * 1000000)

/* Floors of an outbreak. */
#define OUTBREAK_HOSTS_MIN 10u
#define OUTBREAK_SITES_MIN 5u
/* The detector's mean time between false alarms, over all keys, in bins of five minutes. */
#define SURGE_RUN          1e6
/* And it needs so many votes within the hour. */
#define SURGE_VOTES_MIN    10u

/* A key that is watched.  Free when key_no is KEY_NONE.  What every vote reads comes first. */
struct outbreak_row {
	uint32_t key_no;
	uint32_t last_s; /* of a vote, unix seconds */
	uint16_t n_sites;
	bool hot;       /* in outbreaks.hot; derived */
	bool newborn;   /* a kernel signature, younger than a day: birth counts */
	bool urged;     /* born within an hour after a push that left no controls: ten times the weight */
	uint8_t raised; /* bits of alarm kinds that are open */
	uint16_t sites[OUTBREAK_SITES]; /* of the bin that goes on */
	uint64_t key_id;
	double log_m;                                              /* the detector */
	uint32_t first_hour, hour;                                 /* absolute; hour: newest in votes */
	uint16_t votes[OUTBREAK_HOURS];                            /* by absolute hour % OUTBREAK_HOURS */
	uint32_t brake_bin;                                        /* absolute number of brake[..][0]'s bin */
	uint32_t brake_hosts[BRAKE_BINS], brake_sites[BRAKE_BINS]; /* new ones; [i]: i bins ago */
	struct newborn birth;
};

/* What is counted for one tenant. */
struct fleet {
	uint16_t tenant;
	uint32_t active; /* hosts heard of within halt-active, at the last minute */
	double exposure; /* million host hours so far */
	struct birth_tally tally;
	struct birth_prior prior; /* derived from the tally */
};

struct outbreaks {
	struct table rows;
	uint32_t n_rows; /* in use; derived */
	uint32_t hand;   /* where to look for a free one; derived */
	uint32_t *hot;   /* rows that voted in this bin, or whose detector is up; derived */
	uint32_t n_hot, cap_hot;
	uint64_t over;
	struct fleet *fleets[OUTBREAK_FLEETS];
	uint32_t n_fleets;
	int64_t tick_us;
	uint32_t bin, minute, day;      /* absolute numbers of what goes on */
	uint8_t ticked[OUTBREAK_HOURS]; /* bins in which the server ran, by absolute hour % OUTBREAK_HOURS */
	uint32_t hour;                  /* newest in ticked */
	struct frailty_fit fit;         /* of yesterday */
	struct alarm *alarms;           /* by number */
	uint32_t n_alarms;
	uint64_t alarm_no;
	uint32_t word;     /* generation of CHUNK_ALARMS */
	uint64_t rows_due; /* while loading */
};

void outbreaks_init(struct outbreaks *o);
void outbreaks_fini(struct outbreaks *o);

/* A report voted for a key: `host_new` and `site_new` say whether that key had them before. */
struct outbreak_vote {
	uint16_t site;
	bool host_new, site_new;
	uint64_t pos;
};
void outbreaks_vote(struct ledger *l, uint32_t key_no, const struct outbreak_vote *v);
void outbreaks_tick(struct ledger *l, uint64_t pos);

double outbreak_kappa(const struct ledger *l);
/* Votes that the key's own past lets expect in the bin that goes on, with two standard errors on top.
 * Negative: less than a day is known. */
double outbreak_expected(const struct ledger *l, const struct outbreak_row *row);

/* ---- for outbreak_*.c ---- */
struct fleet *fleet_of(struct ledger *l, uint16_t tenant);
struct outbreak_row *outbreak_edit(struct ledger *l, uint32_t row);
void outbreak_heat(struct outbreaks *o, uint32_t no, struct outbreak_row *row);
void alarm_raise(struct ledger *l, struct outbreak_row *row, struct alarm *a);
void alarms_minute(struct ledger *l);

/* ---- snapshot ---- */
uint32_t *outbreaks_word(struct ledger *l, uint64_t id);
bool outbreaks_pack(const struct ledger *l, uint64_t id, struct pack *k);
bool outbreaks_unpack(struct ledger *l, uint64_t id, struct reader *r);
bool outbreaks_loaded(struct ledger *l);

#endif
