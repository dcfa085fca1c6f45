/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TRIAGE_TEXT_H
#define CLI_TRIAGE_TEXT_H

#include "triage/triage.h"

/* A result for people, on standard output. */

/* One line. */
void triage_print_line(const char *file, const struct triage_result *r);

/* The summary, where it happened and the stack; all_modules: and every module. */
void triage_print(const char *file, const struct triage_result *r, bool all_modules);

#endif
