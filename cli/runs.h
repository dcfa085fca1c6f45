/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_RUNS_H
#define CLI_RUNS_H

#include "cli/compare.h"
#include "cli/push.h"
#include "cli/tally.h"

/* Many runs from one world.  A run is a child process that goes on from the parent's world
 * and tells its outcome through a pipe: building a fleet of a million hosts and its history
 * happens once. */

struct outcome {
	bool halted;    /* before everybody was served */
	bool watched;   /* WATCH came first */
	double halt_s;  /* since the deployment began */
	double harmed;  /* hosts harmed until the stop took effect (all of them, without one) */
	double exposed; /* hosts served until then */
	double reports; /* of the harm, at the halt */
	double watch_harmed;
	double fired_harmed[COMPARE_RULES]; /* the same for other rules, with compare */
	bool fired[COMPARE_RULES];
	double extra[4]; /* what a table wants besides */
};

struct run {
	struct world *world; /* the parent's */
	struct push_plan plan;
	uint64_t seed;
	bool compare;
	double compare_until; /* share of the fleet up to which other rules are judged */
	bool noise;           /* ordinary crashes of its own, else the world's */
	double max_h;         /* 0: until everybody is served and an hour more */
	/* NULL, or what else happens: called before the run starts and each second after */
	void (*also)(struct run *r, struct push *p);
	void *arg;
	/* NULL, or fills in extra[] when the run is over */
	void (*finish)(struct run *r, struct push *p, struct outcome *o);
};

/* One deployment, in this process. */
void run_push(struct run *r, struct outcome *out);

/* n runs with seeds of their own, up to jobs at once; -1: a child failed. */
int run_many(const struct run *r, unsigned n, unsigned jobs, const char *what, struct outcome *out);

void run_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* stderr, unless quiet */
extern bool run_quiet;

#endif
