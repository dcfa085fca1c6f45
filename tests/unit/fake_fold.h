/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_FAKE_FOLD_H
#define TESTS_UNIT_FAKE_FOLD_H

#include "collector/fold/fold.h"

/* A fold whose knowledge a test sets by hand, in place of the ledger thread: questions are
 * answered on the spot, verdicts are whatever the test says.  One deployment, one
 * signature, one host.  Single-threaded. */
struct fold {
	bool caught_up;
	const char *failed;
	bool queue_full;
	uint64_t position;
	int64_t now_us;
	/* the deployment; none while id is "" */
	char id[129];
	bool open;
	struct verdict_view verdict;
	uint8_t packed[4096];
	size_t packed_len;
	bool has_decision;
	struct decision_view decision;
	const char *refuse; /* what ledger_refuses_*() say */
	/* signatures 1 to n_keys, each seen on id hosts */
	uint32_t n_keys;
	bool has_host;
	uint64_t host_hash;
	bool has_report;
	struct report_view report;
	struct fold_event events[2048];
	uint64_t first_event, next_event; /* ids kept: first <= id < next */
	unsigned views;                   /* given out and not given back */
	unsigned asked;
};

struct fold *fake_fold_new(void);
void fake_fold_free(struct fold *f);
void fake_fold_verdict(struct fold *f, enum verdict v, enum verdict_state s, const char *reason);
void fake_fold_event(struct fold *f, enum fold_event_kind kind, const char *text);

#endif
