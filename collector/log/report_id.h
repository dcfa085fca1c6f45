/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LOG_REPORT_ID_H
#define COLLECTOR_LOG_REPORT_ID_H

#include <stdint.h>

#include "collector/log/log.h"

/* A report id: 20 lower-case base32 characters (0-9 a-v without padding) of the 64-bit
 * record position and a 36-bit check keyed with the log's uuid.  So any accepted report
 * is found without an index, and ids cannot be guessed or carried to another log. */
#define REPORT_ID_SIZE 21 /* with the NUL */

char *report_id_format(uint64_t pos, const struct log_id *log, char out[REPORT_ID_SIZE]);
int report_id_parse(const char *text, const struct log_id *log, uint64_t *pos_out); /* -1: not ours */

/* Socorro's form: "bp-" + a UUID shape whose last six digits are yymmdd; carries the position. */
#define REPORT_ID_BP_SIZE 40
char *report_id_format_bp(uint64_t pos, const struct log_id *log, int64_t received_us, char out[REPORT_ID_BP_SIZE]);
int report_id_parse_bp(const char *text, const struct log_id *log, uint64_t *pos_out);

#endif
