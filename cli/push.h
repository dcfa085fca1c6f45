/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PUSH_H
#define CLI_PUSH_H

#include "cli/world.h"

/* A deployment pushed into a virtual world: who is served when, who is harmed by it, and what
 * the ledger said.  It obeys a halt after the time a stop takes, nothing else. */

enum push_order { PUSH_BY_HASH, PUSH_BY_SITE, PUSH_BY_SITE_SIZE, PUSH_FIXED };

#define PUSH_RINGS_MAX 16

struct push_plan {
	/* the schedule: hosts served at a time; straight between these points */
	unsigned n_points;
	double at_s[2 * PUSH_RINGS_MAX + 1];
	double share[2 * PUSH_RINGS_MAX + 1];
	double ramp_first, ramp_double_s; /* > 0: exponential instead */
	enum push_order order;
	bool own;      /* the manifest names the module that crashes */
	double bake_s; /* 0: the setting */
	/* harm */
	double hazard;                 /* share of served hosts that are harmed */
	double from_share;             /* the payload is bad from this share of the fleet on */
	double upload;                 /* share of the harmed that upload a report */
	double crash_s;                /* mean time from being served to the crash */
	double report_s, report_sigma; /* lognormal: from the crash to the report */
	bool dark;                     /* the harmed never come back */
	bool boot_loop;                /* they boot again and again */
	double fixed_h;                /* > 0: hosts are well again so long after the halt */
	unsigned variants;             /* offsets the fault shows at */
	double other;                  /* share that shows other stop codes instead */
	enum report_kind kind;
	const char *module; /* NULL: one of its own */
	int known;          /* >= 0: the harm is this old signature of the world */
	double rebuild;     /* > 0: rebuilds a module that crashes on so many hosts a day anyway */
	double stop_s;      /* from the verdict to the last host served */
	bool shadow;
};
void push_defaults(struct push_plan *p);
/* "0.1%,1%,10%,50%,100%" at the hours "0,2,6,12,18", each delivered over dur_s. */
void push_rings(struct push_plan *p, const double *shares, const double *hours, unsigned n, double dur_s);

struct compare;
struct push {
	struct world *w;
	struct push_plan plan;
	char id[32];
	uint32_t no;
	uint64_t seed;
	int64_t begin_us;
	uint64_t served, skipped, cursor; /* cursor: places of the order passed */
	uint32_t *order;                  /* NULL: a permutation by hash */
	unsigned half_bits;
	uint64_t *exposed; /* bits */
	struct harmed {
		int64_t at_us; /* when served */
		uint32_t host;
	} * harmed;
	size_t n_harmed, cap_harmed;
	uint64_t n_reports;        /* of its harm, arrived */
	int64_t watch_us, halt_us; /* INT64_MAX: not yet */
	uint64_t watch_reports, halt_reports;
	uint64_t basis; /* of the Decision to write */
	bool halt_wanted, stopped, closed, proceeded;
	uint32_t halts;
	char rebuilds[32]; /* name of the module */
	char reason[VERDICT_REASON_MAX];
	char title[VERDICT_TITLE_MAX];
	struct compare *compare; /* owned; NULL: none */
};

/* Create it now (its Deployment record is folded with this second). */
struct push *push_new(struct world *w, const struct push_plan *plan, uint64_t seed);
void push_free(struct push *p);
void push_close(struct push *p); /* a Close record; its memory of hosts goes */
void push_resume(struct push *p, const char *reason);
bool push_is_exposed(const struct push *p, uint32_t host);
double push_share(const struct push *p, int64_t at_us); /* of the fleet, by plan */
uint64_t push_harmed_until(const struct push *p, int64_t at_us);
int64_t push_full_us(const struct push *p); /* when the last host is served by plan */

/* ---- for the world ---- */
void push_serve(struct push *p); /* whom this second's plan says */
void push_look(const struct push *p, uint32_t variant, struct crash_look *out);
void push_sees(struct push *p, const struct event *e, int64_t at_us, struct crash_look *look); /* may change the look */
void push_heard(struct world *w, const char *deployment, const struct verdict_view *v);
void push_halt_wanted(struct world *w, const char *deployment, const char *reason, uint64_t pos);
void pushes_decide(struct world *w); /* write the Decisions wanted */

#endif
