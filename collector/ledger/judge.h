/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_JUDGE_H
#define COLLECTOR_LEDGER_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* What other parts of the ledger tell the halt engine while they fold.  All of it shapes
 * verdicts, so all of it must follow from records alone.  The deployment is judged when the
 * record is done; nothing here calls the sink. */

struct ledger;
struct deployment;

/* ---- presence (riskset.c) ---- */

/* The host was not heard of within halt_params.active_s, or said goodbye: it leaves every risk set.
 * The host was heard of again, or for the first time.  Both are idempotent: the flag
 * HOST_ACTIVE of the host says which it is, and only these two change it. */
void risk_host_left(struct ledger *l, uint32_t host_no);
void risk_host_returned(struct ledger *l, uint32_t host_no);

/* Of the deployment's strata: the host's, fixed at the deployment's start; 0 is `other`. */
uint16_t deployment_stratum(struct ledger *l, struct deployment *d, uint32_t host_no);
uint32_t deployment_strata(const struct deployment *d); /* numbers 0 .. n-1 */
/* May the host vote: eligible or served, and known long enough before the start?  (Not: is it active.) */
bool deployment_votes(struct ledger *l, struct deployment *d, uint32_t host_no);
/* Does a halted deployment explain whatever happens to this host, because it was served that one and silence
 * (or boot loops) halted it?  Then the host is no evidence against d. */
bool deployment_explained(const struct ledger *l, const struct deployment *d, uint32_t host_no);

/* ---- silence and boot loops ---- */

/* Hosts of one stratum that went dark in one bin of time, one entry a host that votes. */
struct dark_host {
	uint32_t host_no;
	bool exposed;
	bool counts; /* has its site's or relay's vote (HALT A6), or is randomised; others are shown */
};
struct dark_bin {
	uint16_t stratum;
	uint32_t y1, y0; /* at risk of going dark in this bin, in this stratum */
	int64_t from_us; /* when the bin began */
	uint64_t pos;    /* record that closed it */
	const struct dark_host *hosts;
	size_t n;
};
/* Grid DARK at rho_dark, floors of 3 hosts at 3 sites, pool dark; d1 and d0 are the entries that count. */
void deployment_dark_bin(struct ledger *l, struct deployment *d, const struct dark_bin *bin);
/* The host is in a boot loop (crash_us: since when): votes like a crash key, for every open
 * deployment it can vote for; grid NEW, pool boot, class kernel.  Later votes of a host are nothing. */
void deployments_boot_vote(struct ledger *l, uint32_t host_no, int64_t crash_us, uint64_t pos);

/* ---- halting and holding ---- */

/* The emergency brake: latched as a halt is, marked as without a proof.  reason is copied. */
void deployment_brake(struct ledger *l, struct deployment *d, const char *reason, uint64_t pos);
/* A key stands so against its own past, or the past of newborns, when nobody is left to compare with. */
struct past_standing;
void deployment_past(struct ledger *l, struct deployment *d, const struct past_standing *s, uint64_t pos);
/* The comparison of served with unserved hosts speaks for the deployment: the brake must not halt what the test
 * itself clears. */
bool deployment_clears(const struct ledger *l, const struct deployment *d, uint32_t key_no);
/* The server does not hear its fleet (HALT A7): every open deployment of the tenant holds until it
 * does again. why is copied. */
void ledger_set_blind(struct ledger *l, uint16_t tenant, bool blind, const char *why);
bool ledger_is_blind(const struct ledger *l, uint16_t tenant);

#endif
