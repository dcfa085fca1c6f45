/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_PROCEED_H
#define COLLECTOR_LEDGER_PROCEED_H

#include <stdbool.h>
#include <stdint.h>

/* May the next ring be served?  Evidence against "the hazard is at least h" from n resolved
 * served hosts, bad of them harmed (HALT 5, A9).  Pure; bits are reproducible. */

/* log of that evidence.  churn: chance that a host counts as bad for reasons of its own, taken
 * from the hosts not served; 0 where bad means a crash.  Too small a churn only certifies less.
 * A mixture over true hazards f*h, f in {0, .05, .1, .25, .5}; f = 0 while no host is bad
 * (with churn, bad hosts speak for f = 0 like for the others). */
double proceed_log(double n, double bad, double h, double churn);

/* The smallest hazard h* such that it and all above are excluded at error level beta: the chance
 * that this ever says less than the deployment's true hazard is at most beta.  1: nothing is
 * excluded. */
double proceed_hazard(double n, double bad, double churn, double beta);
/* Is anything, that is, is it below 1?  Much faster. */
bool proceed_excludes(double n, double bad, double churn, double beta);

/* Hosts that the next ring may have so that it costs at most `budget` hosts at that hazard even
 * if nothing stops it; 0 when nothing is certified.  n clean hosts allow about budget/6.9 * n
 * at beta = 1e-3: the ring-growth law. */
uint64_t proceed_next_ring(double budget, double hazard);

/* Clean hosts needed to exclude hazards from h up, UINT64_MAX if none do. */
uint64_t proceed_needs(double h, double churn, double beta);

#endif
