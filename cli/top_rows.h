/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TOP_ROWS_H
#define CLI_TOP_ROWS_H

#include "cli/top_draw.h"

/* The two tables, heading included, in at most so many lines. */
void top_deployments(struct screen *s, const struct picture *p, int lines);
void top_signatures(struct screen *s, const struct picture *p, int lines);

/* Lines that they need to show all; deployments use two more each for long reasons if they get them. */
int top_deployments_want(const struct screen *s, const struct picture *p);
int top_signatures_want(const struct picture *p);

#endif
