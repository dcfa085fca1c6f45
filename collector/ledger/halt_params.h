/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_HALT_PARAMS_H
#define COLLECTOR_LEDGER_HALT_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/log.pb-c.h"

struct settings;

/* Parameters of the halt engine: the settings halt-* of the log's Settings record, and a
 * deployment's own values over them (log.Deployment.halt).  Plain; times in seconds. */
struct halt_params {
	/* error levels, per deployment */
	double alpha;                        /* of HALT */
	double alpha_watch;                  /* of WATCH */
	double beta;                         /* of PROCEED */
	double alpha_cohortless, alpha_cold; /* per new signature, no deployment known: learned, and at a cold start */
	/* tolerated hazard ratio served : not served, and for silence */
	double rho, rho_dark;
	/* materiality: hazard not worth a halt, and its error level */
	double delta, alpha_material;
	/* floors: served hosts and distinct sites */
	uint32_t hosts_kernel, sites_kernel, sites_dark, hosts_service, sites_service, hosts_user, sites_user;
	uint32_t min_resolved; /* resolved served hosts before PROCEED */
	double harm_budget;    /* hosts the next ring may cost */
	uint32_t small_fleet;  /* eligible hosts below which nothing is certified */
	/* silence: S = beats * heartbeat + grace; a host is at risk for window after its receipt */
	uint32_t heartbeat_s, silence_beats, silence_grace_s, dark_window_s;
	uint32_t active_s;   /* a host heard of within this is at risk */
	uint32_t late_s;     /* older crashes do not vote */
	uint32_t host_age_s; /* a host must be known that long before the start to vote */
	/* boot loop: so many boots within the window */
	uint32_t loop_boots, loop_window_s;
	double kappa;         /* frailty of the self-controlled test until it is learned */
	double brake_percent; /* emergency brake: of the active fleet, within window, at sites */
	uint32_t brake_window_s, brake_sites;
	uint32_t watch_pause_s;
	/* J of the pools: keys expected to be born; learned (learned.h) */
	double births_kernel, births_user, births_totals;
	bool auto_resume; /* a WATCH that did not become a HALT */
	bool shadow;
};

/* Is the plan's assignment ("hash", "listed", "site") randomised per host?  Then rho is the
 * one of randomised rings, and every host votes; else a vote a site (HALT A2, A3). */
bool halt_randomised(const char *assignment);

/* The documented defaults, for such an assignment. */
void halt_params_default(struct halt_params *p, bool randomised);

/* From settings (the log's or the daemon's). */
void halt_params_global(struct halt_params *p, const struct settings *s, bool randomised);

/* Global values are kept for both kinds of assignment. */
struct halt_globals {
	struct halt_params randomised, unrandomised;
};

/* One value of a deployment over it: name as in the API ("alpha", "host_age"), value as text:
 * times in seconds or with a unit ("3600", "1h").  0, or -1 with a sentence in err that
 * says what was expected, without the name. */
int halt_params_set(struct halt_params *p, const char *name, const char *value, char *err, size_t err_size);

/* Global values, then those of the plan over them.  Values that this build does not know or
 * refuses leave the global one: the API does not log such. */
void halt_params_of(struct halt_params *p, const struct halt_globals *global, const Faultline__Log__Deployment *m);

#define HALT_PARAMS_MAX 48u

/* One row a parameter, for those who print them. */
struct halt_param {
	const char *name, *help;
	bool is_time, is_flag;
	bool fleet; /* for the whole fleet: a deployment cannot have its own */
};
const struct halt_param *halt_params_row(size_t i); /* NULL after the last */
/* Value of row i as canonical text: "1e-6", "3", "3600", "yes". */
void halt_params_get(const struct halt_params *p, size_t i, char *buf, size_t size);

#endif
