/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TRIAGE_DIFF_H
#define CLI_TRIAGE_DIFF_H

#include "triage/triage.h"

/* Say on standard output whether two crashes are the same, and why not.  Returns whether they are: the same signature. */
bool triage_diff(const struct triage_result *a, const struct triage_result *b, bool json);

#endif
