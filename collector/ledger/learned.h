/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_LEARNED_H
#define COLLECTOR_LEDGER_LEARNED_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/ledger/halt_params.h"
#include "collector/ledger/pack.h"

/* What closed, harmless deployments teach the next ones (HALT 6.3): how much more a ring that is
 * not served at random crashes by itself, and how many keys are born during a deployment. */

struct ledger;
struct deployment;

#define LEARNED_RINGS      64u
#define LEARNED_RATIOS     64u /* the last ones of a ring */
#define LEARNED_RATIOS_MIN 30u /* before they count */
#define LEARNED_VOTES_MIN  20u /* in each arm, for a ratio to mean anything */
#define LEARNED_BIRTHS_MIN 10u /* deployments */
#define LEARNED_NAME_MAX   80u

/* Ratios of one first ring, by tenant, assignment and the ring's name. */
struct ring_ratios {
	uint16_t tenant;
	char name[LEARNED_NAME_MAX]; /* "listed/canary" */
	uint32_t n;                  /* ever; the last LEARNED_RATIOS are kept, number i at i % LEARNED_RATIOS */
	double ratio[LEARNED_RATIOS];
};

/* Keys born a deployment, of all tenants: new kernel, new user, totals. */
enum { BORN_KERNEL, BORN_USER, BORN_TOTALS, BORN_N };
struct learned {
	struct ring_ratios *rings;
	uint32_t n_rings;
	uint32_t deployments;
	double births[BORN_N]; /* means */
};

void learned_fini(struct learned *s);

/* The deployment is about to close; its votes are still there. */
void learned_closed(struct ledger *l, const struct deployment *d);
/* Its plan was read and nothing served yet: rho where serving is not random and the plan does not
 * say, and births once there are enough.  Births are kept when keys have their weights already. */
void learned_apply(const struct ledger *l, const struct deployment *d, const struct halt_params *before,
		   struct halt_params *p);

/* 99 % quantile, at least 1; 0 while there are too few. */
double learned_rho(const struct ring_ratios *r);

void learned_pack(const struct learned *s, struct pack *k);
bool learned_unpack(struct learned *s, struct reader *r);

#endif
