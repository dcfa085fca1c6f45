/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_TOPICS_H
#define COLLECTOR_API_TOPICS_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/api/params.h"

/* What a stream tells: "now,deployment:d1". */
#define TOPICS_MAX      8u
#define TOPICS_TEXT_MAX ((size_t)TOPICS_MAX * (DEPLOYMENT_ID_MAX + 16))

struct topics {
	bool now, signatures, alarms, verdicts;
	unsigned n_deployments;
	struct {
		char id[DEPLOYMENT_ID_MAX + 1];
		uint64_t print; /* of what was seen of it last; 0: nothing yet */
	} deployments[TOPICS_MAX];
};

/* 0, or -1: an unknown word, none, or too many.  Pure. */
int topics_parse(const char *text, struct topics *out);
/* Place of a deployment among them, -1: it is not there. */
int topics_deployment(const struct topics *t, const char *id);

#endif
