/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_REASON_H
#define TRIAGE_REASON_H

#include <stddef.h>
#include <stdint.h>

#include "triage/triage.h"

/* Exception records to the one-line reason.  The wording is that of the field's most
 * used stack walker, so that reasons can be compared and searched. */

struct exception_record {
	uint32_t code;
	uint32_t flags;
	uint64_t address;
	uint32_t n_params; /* at most 15 */
	uint64_t params[15];
};

#define REASON_TEXT_MAX 256

/* Writes a NUL-terminated text of at most REASON_TEXT_MAX bytes. */
void reason_text(enum triage_os os, enum triage_arch arch, const struct exception_record *e, char out[REASON_TEXT_MAX]);

/* The address the crash is about. */
uint64_t reason_address(enum triage_os os, enum triage_arch arch, const struct exception_record *e);

/* Per system; used by reason_text(). */
void reason_text_windows(const struct exception_record *e, char out[REASON_TEXT_MAX]);
void reason_text_linux(const struct exception_record *e, char out[REASON_TEXT_MAX]);
void reason_text_mac(enum triage_arch arch, const struct exception_record *e, char out[REASON_TEXT_MAX]);

/* Value to name. */
struct reason_code {
	uint32_t value;
	const char *name;
};
const char *reason_code_name(const struct reason_code *table, size_t n, uint64_t value); /* NULL: not there */
#define REASON_CODE_NAME(table, value) reason_code_name((table), sizeof(table) / sizeof((table)[0]), (value))

#endif
