/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_BASELINE_H
#define COLLECTOR_LEDGER_BASELINE_H

#include <stdbool.h>
#include <stdint.h>

/* Tests against history, for want of hosts not served (HALT 4.3, 4.4): weaker than a comparison,
 * because what is normal must be learned.  Pure; bits are reproducible. */

/* ---- a known signature against its own past ---- */

/* log of the evidence that n votes are more than the mu expected ones, when from day to day the rate
 * varies by a gamma factor of shape kappa (variation 1/sqrt kappa).  It saturates near
 * kappa * (jump - 1 - log jump): what is within daily variation can never be certified. */
double frailty_log(double n, double mu, double kappa);

/* kappa from daily counts of many keys, by moments: zero it, add keys, ask. */
struct frailty_fit {
	double mean_squared, excess; /* sums over keys of m^2 and of variance - m */
	uint32_t keys;
};
#define FRAILTY_KEYS_MIN 30u
void frailty_add(struct frailty_fit *f, const uint32_t *days, uint32_t n); /* n < 2 is passed over */
double frailty_kappa(const struct frailty_fit *f, double unlearned);       /* 0.5 to 1000 */

/* Change at an unknown time: log M after one more bin.  M is max(M, 1) times the bin's evidence,
 * so the mean time between false alarms at M >= 1/a is at least 1/a bins. */
double detector_step(double log_m, double n, double mu, double kappa);

/* ---- a new signature against all that were ever born ---- */

/* Benign signatures spread at rates that a mixture describes: component m has a mean of
 * births_rate(m) hosts per million host hours, and the share pi[m]. */
#define BIRTH_RATES 8u
double births_rate(uint32_t m); /* 0.1, 1, ... 1e6 */
struct birth_prior {
	double pi[BIRTH_RATES];
};
void births_cold(struct birth_prior *p); /* P(rate > x) = 0.5 / x */

/* log E of n votes after the first in an exposure of A million host hours: the mixture of a spreading
 * fault over the benign one.  Cannot exceed the rarity of such speed among benign ones. */
double births_log(double n, double exposure, const struct birth_prior *p);
double births_log_max(const struct birth_prior *p);

/* What was born, by votes within a day: learning forgets nothing but the order. */
#define BIRTH_BINS       40u
#define BIRTH_LEARNED    200u /* births from which the prior counts as learned */
#define BIRTH_COLD_WORTH 20.0
struct birth_tally {
	uint32_t births[BIRTH_BINS];
	double votes[BIRTH_BINS], exposure[BIRTH_BINS]; /* sums */
	uint64_t total;
};
void births_count(struct birth_tally *t, double n, double exposure);
/* The prior by expectation maximisation, from a cold start worth BIRTH_COLD_WORTH births. */
void births_learn(const struct birth_tally *t, struct birth_prior *out);
static inline bool
births_learned(const struct birth_tally *t)
{
	return t->total >= BIRTH_LEARNED;
}

/* One new signature: evidence counted from its birth and anew from 1, 2, 4 ... 1024 minutes
 * later, because a fault may sleep in a signature that was benign.  96 + 104 bytes, plain. */
#define BIRTH_STARTS 12u
struct newborn {
	int64_t born_us;
	double exposure[BIRTH_STARTS]; /* of the fleet so far, when counting began there */
	uint32_t votes[BIRTH_STARTS];
	uint32_t started;  /* of them */
	uint32_t reserved; /* 0 */
};
void birth_begin(struct newborn *b, int64_t now_us, double fleet_exposure);
/* Time passed: begin the counts that are due.  Call before birth_vote() and on ticks. */
void birth_advance(struct newborn *b, int64_t now_us, double fleet_exposure);
/* One vote: one a site (HALT: host counting breaks the bound). */
void birth_vote(struct newborn *b);
/* Greatest log(weight * E) over the starts. */
double birth_log(const struct newborn *b, double fleet_exposure, const struct birth_prior *p);

/* ---- emergency brake ---- */

/* A new kernel signature on `hosts` hosts at `sites` sites within the brake's window, of `active`
 * hosts: no bound on false alarms, and said so. */
struct halt_params;
bool brake_pulls(const struct halt_params *p, uint32_t hosts, uint32_t sites, uint32_t active);

#endif
