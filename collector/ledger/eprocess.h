/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_EPROCESS_H
#define COLLECTOR_LEDGER_EPROCESS_H

#include <stdbool.h>
#include <stdint.h>

struct halt_params;

/* Evidence that a key hits served hosts more often than hosts not served: one of these per
 * (deployment, key).  docs/HALT.md has the derivation; the names are those used there.
 *
 * Each vote asks "was this host served?".  If being served does not raise the hazard by
 * more than the factor rho, the answer is yes with a probability of at most q.  E bets against
 * that with a mixture over hazard ratios; then the chance that E ever reaches c is at most
 * 1/c, however long one watches.  Pure; bits are reproducible (numeric.h). */

enum ratio_grid { GRID_NEW, GRID_OLD, GRID_DARK, GRID_N };

#define GRID_MAX 8
struct grid {
	uint32_t n;
	double ratio[GRID_MAX]; /* hazard ratios betted on */
	double log_ratio[GRID_MAX];
	double log_share[GRID_MAX]; /* of the stake; the shares add up to 1 */
};
const struct grid *eprocess_grid(enum ratio_grid g);

/* 96 bytes, plain, without pointers: a copy is a snapshot. */
struct eprocess {
	double log_factor[GRID_MAX]; /* per ratio: log likelihood ratio so far */
	double log_weight;           /* log of the key's share of alpha, fixed at its birth */
	double peak;                 /* greatest log E so far, 0 at the start: what was reached stays reached */
	uint32_t grid;               /* enum ratio_grid */
	uint32_t served, unserved;   /* votes that moved it */
	uint32_t reserved;           /* 0 */
};

void eprocess_init(struct eprocess *e, enum ratio_grid g, double log_weight);

/* q = rho Y1 / (rho Y1 + Y0): the greatest chance that a vote comes from one of Y1 served
 * rather than Y0 unserved hosts at risk, all of one stratum, at that moment. */
double eprocess_chance(double rho, double served, double unserved);

/* Is such a vote any evidence?  At 0 and 1 it is none, and a vote leaves E as it was. */
static inline bool
eprocess_counts(double q)
{
	return q > 0 && q < 1;
}

/* Above this the comparison has run out of controls: use the self-controlled test (HALT 4.3). */
#define CHANCE_SPENT 0.95

/* Minus log(1 + (ratio - 1) q) of each ratio: what every vote at this q costs, whichever arm.
 * Keys of one ballot share a q, so it is computed once for them. */
struct grid_cost {
	double log_cost[GRID_MAX];
	double q;
	uint32_t grid;
};
void eprocess_cost(enum ratio_grid g, double q, struct grid_cost *out);

/* One vote (or a bin of simultaneous ones: served, unserved) at chance q.  Returns log E. */
double eprocess_vote(struct eprocess *e, bool served, double q);
double eprocess_bin(struct eprocess *e, uint32_t served, uint32_t unserved, double q);
/* Without log E, which takes longer than all the rest: enough for unserved votes, after which it is less. */
void eprocess_add(struct eprocess *e, uint32_t served, uint32_t unserved, const struct grid_cost *cost);
double eprocess_apply(struct eprocess *e, uint32_t served, uint32_t unserved, const struct grid_cost *cost);

double eprocess_log(const struct eprocess *e); /* log E now */

/* log E before -> after is what one vote did: its factor is exp of the difference.  In terms
 * of a single ratio: served multiplies by ratio / (1 + (ratio - 1) q), unserved by
 * 1 / (1 + (ratio - 1) q); log E is the log of the stake-weighted sum of those products. */

/* Interval of the hazard ratio (served : not served) that covers the true one at every
 * moment with probability 1 - alpha.  low >= 0; high may be infinity.
 *
 * For a supposed ratio t the votes give M(t) = sum_i g_i L(rho r_i) / L(t), L the likelihood;
 * M(t) is a martingale if t is true, so {t: M(t) < 1/alpha} is such an interval.  L is known
 * at the ratios of the grid; log L is concave in log t with slopes from -unserved to served,
 * so between and beyond them it lies below the extended chords, and using these for L only
 * widens the interval.  rho is the one the q of the votes were made with. */
void eprocess_interval(const struct eprocess *e, double rho, double alpha, double *low_out, double *high_out);

/* Second opinion while controls are silent: Beta(a, b) closed form for votes whose
 * sum of log q (served) and log(1 - q) (unserved) is sum_log_q (HALT 3.2). */
double eprocess_closed_form(double served, double unserved, double sum_log_q, double a, double b);

/* ---- many keys: shares of alpha (HALT 3.3) ---- */

enum key_pool { POOL_OWN, POOL_NEW_KERNEL, POOL_NEW_USER, POOL_OLD, POOL_TOTALS, POOL_DARK, POOL_BOOT, POOL_N };
const char *key_pool_name(enum key_pool p);
double key_pool_share(enum key_pool p);
double key_pool_births(enum key_pool p); /* J, until it is learned */
double key_births(const struct halt_params *p, enum key_pool pool);
enum ratio_grid key_pool_grid(enum key_pool p);

/* log(share * v(j)), v(j) = J / ((j + J - 1)(j + J)), for the j-th key (from 1) born in either
 * arm since the deployment began.  J must be fixed when the deployment begins. */
double key_log_weight(enum key_pool p, double j, double births);
/* POOL_OLD: log(share / known), known = keys that counted when the deployment was created. */
double key_log_weight_known(double known);

/* Does weight * E reach 1/alpha? */
bool eprocess_reaches(const struct eprocess *e, double alpha);
double eprocess_margin(const struct eprocess *e, double log_e, double alpha); /* log w + log E - log 1/alpha */
/* How many served votes in a row would decide, at this q and no control vote; UINT32_MAX: never. */
uint32_t eprocess_needs(const struct eprocess *e, double q, double alpha);

/* ---- is it worth a halt? (HALT 3.6, 3.7) ---- */

/* log of the evidence that more than mu hosts were to be expected; k: served hosts that crashed. */
double material_log(double k, double mu);
double material_mu_new(double delta, double served);
double material_mu_old(double delta, double served, double unserved_with, double unserved);
/* When q > CHANCE_SPENT there are no controls to compare with: baseline is what was expected. */
double material_mu_spent(double delta, double served, double baseline);

enum key_severity { SEVERITY_KERNEL, SEVERITY_DARK, SEVERITY_SERVICE, SEVERITY_USER, SEVERITY_N };
const char *key_severity_name(enum key_severity s);
struct floors {
	uint32_t hosts, sites;
};
struct floors key_floors(const struct halt_params *p, enum key_severity s);

#endif
