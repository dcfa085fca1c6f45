/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SIGNATURES_H
#define CLI_SIGNATURES_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/* Of an answer without rows: which term keeps most away, "Widest part of the query: new:<1h (removing it gives
 * 214)"; false: none does alone. */
bool signatures_obstacle(const json_t *answer, const char *query, char *buf, size_t size);

/* faultline signatures: search in what crashes; returns the exit status. */
int cmd_signatures(int argc, char **argv);

#endif
