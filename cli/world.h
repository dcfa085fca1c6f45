/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_WORLD_H
#define CLI_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/random.h"
#include "collector/ledger/ledger.h"
#include "proto/batch.h"
#include "proto/report.h"

/* A fleet in virtual time, folded by the product's own ledger.
 *
 * The world writes the records that gates would write (heartbeats, presence, reports,
 * receipts, deployments, ticks), in batches in memory, second by second, and folds each batch
 * at once.  Nothing of the halt rule is computed here.  One thread; the same options give the
 * same records.  A world may be forked: the child continues from the same state.
 *
 * Times are microseconds since the world began (negative: its history). */

#define SECOND_US 1000000ll
#define HOUR_US   (3600 * SECOND_US)

struct world_options {
	uint64_t seed;
	uint32_t hosts, sites, strata;
	double site_sigma;   /* of the log of a site's size; 0: all of one size */
	uint32_t interval_s; /* heartbeat */
	uint32_t tick_s;
	double history_h; /* the fleet lives so long before time 0 */
	int64_t epoch_us; /* wall clock of time 0 */
	/* silence */
	double churn;   /* hosts falling silent, share an hour */
	double goodbye; /* share of those that say goodbye before */
	double away_h;  /* mean time until they are back */
	/* ordinary crashes */
	uint32_t signatures; /* known ones, Zipf */
	double crashes_day, births_day, patches_day, incidents_day;
	double flaky_day;   /* > 0: known signature 0 has so many */
	double outages_day; /* sites that are cut off for an hour or two */
	double lab;         /* hosts of the fixed canary ring crash so many times more often; 1: no */
	double days;        /* of noise from time 0 on */
	/* settings of the ledger, name and value in turn, ended by NULL */
	const char *const *settings;
};
void world_defaults(struct world_options *o); /* one million hosts at 20,000 sites, as in docs/HALT.md */

/* What a signature looks like in a report. */
struct crash_look {
	char module[32], module_id[24];
	uint64_t offset;
	enum report_kind kind;
	uint32_t code; /* kernel: the stop code */
};

/* One thing that happens. */
enum happening { HAPPEN_REPORT, HAPPEN_DOWN, HAPPEN_GOODBYE, HAPPEN_UP, HAPPEN_BOOT };
struct event {
	int64_t at_us;
	int64_t occurred_us; /* REPORT: when it crashed */
	uint64_t order;      /* equal times keep the order of being planned */
	uint32_t host;
	uint32_t signature; /* BOOT: boots that are left of a loop */
	uint8_t what;
};

#define SIGNATURE_PUSHED 0x80000000u /* of a deployment: | number << 8 | variant */

struct push;
struct world {
	struct world_options o;
	struct ledger *ledger;
	bool folding; /* false: events only go to the pushes (a halt has been seen, comparisons go on) */
	int64_t now_us;
	struct rng rng;
	/* hosts, by ledger number */
	uint16_t *site;
	uint8_t *stratum;
	uint64_t *down; /* bits */
	uint32_t *site_start;
	uint32_t n_down;
	uint32_t *boots; /* of hosts that booted since time 0; made on first use */
	/* events */
	struct event *heap;
	size_t n_heap, cap_heap;
	uint64_t planned;
	struct event *noise; /* sorted */
	size_t n_noise, at_noise;
	uint32_t n_signatures; /* natural ones so far */
	int64_t *first_us;     /* of those, when they were born; old ones: INT64_MIN */
	double zipf;           /* sum of 1, 1/2, 1/3, ... over the known ones */
	/* the log being written */
	struct batch_writer w;
	int64_t *times; /* of the records in the open batch */
	uint64_t batch;
	uint64_t records, reports;
	/* deployments, in order of creation */
	struct push **pushes;
	uint32_t n_pushes, first_open;
	uint32_t settled; /* decisions wanted and not yet written */
};

struct world *world_new(const struct world_options *o); /* ends the process when memory is out */
void world_free(struct world *w);

void world_second(struct world *w);               /* live one second */
void world_until(struct world *w, int64_t at_us); /* and many */

/* Plan an event; at_us may be in the past of this second. */
void world_plan(struct world *w, const struct event *e);
bool world_is_down(const struct world *w, uint32_t host);
void world_set_down(struct world *w, uint32_t host, bool down);
uint64_t world_hash(uint32_t host); /* its id in the log */
uint32_t world_site_size(const struct world *w, uint32_t site);

/* Append a record; written with the batch of this second. */
uint8_t *world_record(struct world *w, enum record_type type, int64_t at_us, size_t len);
void world_message(struct world *w, enum record_type type, int64_t at_us, const void *message);
void world_flush(struct world *w);
void world_heartbeat(struct world *w, int64_t at_us, uint32_t host, uint32_t boot, uint64_t uptime_s, bool goodbye);
void world_report(struct world *w, int64_t at_us, uint32_t host, const struct crash_look *look, int64_t occurred_us);

/* Hosts of a share of the sites are cut off from at_us on, for about `hours`. */
void world_outage(struct world *w, int64_t at_us, double share, double hours);

/* ---- world_noise.c ---- */

#define FIXED_RING_SEED 777u

/* Crashes between the hours, in place of those planned before. */
void world_make_noise(struct world *w, uint64_t seed, double from_h, double to_h);
double world_known_rate(const struct world *w, uint32_t signature); /* a day; 0: not a known one */
void world_look(uint32_t signature, struct crash_look *out);        /* a natural one */
/* Name of a module of which about so many known crashes a day come; pick chooses among near ones. */
void world_module_near(const struct world *w, double a_day, uint64_t pick, char out[32]);
uint32_t world_random_host(const struct world *w, struct rng *r); /* crash-prone ones more often */

void *need(void *p); /* p, or the end of the process */

#endif
