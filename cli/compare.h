/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_COMPARE_H
#define CLI_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

/* Rules that others halt by, on the same events: simple re-implementations from their
 * public descriptions, for comparison only.  None is tuned, and none is their authors' code.
 *
 *	fixed N         N distinct exposed hosts with one new signature within 60 minutes
 *	Crashlytics     velocity alert: one signature on p % of the exposed hosts, and on 25 at
 *	                least, within 30 minutes (p = 1 is the product's default)
 *	three-sigma     in a bin of five minutes more hosts with a signature than three standard
 *	                deviations above what the unexposed lead to expect
 *	Ubuntu          phased updates: at a check every six hours, a bucket that is new and was
 *	                reported by more than three systems that have the update
 *	Gandalf-like    bins with more than four sigma above the signature's usual rate vote; a
 *	                deployment whose hosts give more than half of the votes beyond its share,
 *	                and ten at least, is to blame
 *
 * Deployment by deployment, and hosts once per signature, as for the ledger. */
enum compare_rule {
	COMPARE_FIXED_10,
	COMPARE_FIXED_50,
	COMPARE_FIXED_1000,
	COMPARE_CRASHLYTICS,
	COMPARE_CRASHLYTICS_LOW, /* 0.1 % */
	COMPARE_SIGMA,
	COMPARE_UBUNTU,
	COMPARE_GANDALF,
	COMPARE_RULES
};
const char *compare_name(enum compare_rule rule);

struct compare_event {
	double at_s;  /* since the deployment began */
	uint64_t key; /* signature */
	uint32_t host;
	bool exposed, fresh; /* fresh: never seen before the deployment began */
	double a_day;        /* what the signature usually has */
	double share;        /* of the fleet served */
};

struct compare *compare_new(uint32_t hosts, double until_share);       /* judged up to that share of the fleet */
void compare_free(struct compare *c);                                  /* NULL is fine */
void compare_report(struct compare *c, const struct compare_event *e); /* in order of time */
/* Let time pass: bins and checks that are due are judged. */
void compare_until(struct compare *c, double at_s, double share);
double compare_fired(const struct compare *c, enum compare_rule rule); /* seconds; < 0: not yet */
bool compare_all_fired(const struct compare *c);

#endif
