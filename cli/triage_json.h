/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TRIAGE_JSON_H
#define CLI_TRIAGE_JSON_H

#include <jansson.h>

#include "triage/triage.h"

/* A result as `faultline triage --json` shows it (docs/TRIAGE.md). */

/* Put its members into o; all_modules: list every module too. */
void triage_json(json_t *o, const struct triage_result *r, bool all_modules);

/* File names are bytes: whatever is not UTF-8 is shown as U+FFFD. */
json_t *triage_json_name(const char *name);

#endif
