/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_BANNER_H
#define COLLECTOR_API_BANNER_H

#include "collector/fold/fold.h"
#include "collector/ledger/prose.h"

struct api;

/* The one sentence about the whole fleet: halts first (the newest), then alarms, doubt about ourselves, watches, and
 * "all clear" only when nothing of it is so. */
#define BANNER_PARTS 40
struct banner {
	const char *state;                        /* "halt", "alarm", "unknown", "watch", "hold", "clear" */
	const char *status;                       /* its chip: page_status() */
	const struct view_deployment *deployment; /* that it is about; NULL: none */
	const struct alarm *alarm;
	int64_t since_us; /* 0: not known */
	uint32_t halted, watched, running;
	char headline[ALARM_TITLE_MAX + 32];
	char text[2048];
	struct part parts[BANNER_PARTS];
	uint32_t n_parts;
};
void banner_make(const struct api *a, const struct fold_view *v, struct banner *out);

/* "HALTED: d1", for a row of the others. */
void banner_headline(const char *status, const char *name, char *out, size_t size);

#endif
