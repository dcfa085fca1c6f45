/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_RISKSET_H
#define COLLECTOR_LEDGER_RISKSET_H

#include "collector/ledger/deployments.h"

/* Who is at risk in a deployment: hosts that may vote (judge.h: deployment_votes()) and are
 * active, by stratum and by whether they were served. */

uint32_t deployment_minute_now(const struct ledger *l, const struct deployment *d);
/* A hand-picked ring is compared with the part of itself that it holds back. */
bool deployment_holds_back(const struct deployment *d);

/* The deployment begins, or was changed before its first receipt: count all hosts, in this order. */
struct risk_count {
	uint32_t y1, y0;
};
void risk_begin(struct ledger *l, struct deployment *d);
struct risk_count *risk_count_new(void);
void risk_count(struct ledger *l, struct deployment *d, struct risk_count *n,
		uint32_t host_no);                                                 /* served or eligible */
void risk_count_end(struct ledger *l, struct deployment *d, struct risk_count *n); /* frees n */

/* The host was just served for the first time. */
void risk_served(struct ledger *l, struct deployment *d, uint32_t host_no, bool eligible);
/* The host changed from old: was and is say whether it was, is eligible. */
void risk_host_changed(struct ledger *l, struct deployment *d, uint32_t host_no, const struct candidate *old, bool was,
		       bool is);

#endif
