/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_SUBMIT_FIELDS_H
#define COLLECTOR_GATE_SUBMIT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/text.h"
#include "proto/report.h"

/* What an upload form says beside its dump: the annotations of Breakpad, Crashpad and
 * Socorro clients that a report has a place for, under the names those clients use
 * (docs/PROTOCOL.md lists them); all others are read over.  Values are cut at their field's
 * limit.  Pure, no allocation. */
struct submit_fields {
	char host[HOST_ID_MAX + 1], guid[VALUE_MAX + 1];
	char product[TEXT_NAME_MAX + 1], version[VERSION_MAX + 1];
	char os[TEXT_NAME_MAX + 1], os_build[TEXT_NAME_MAX + 1], arch[TEXT_NAME_MAX + 1], hw_class[TEXT_NAME_MAX + 1];
	char channel[VALUE_MAX + 1], build[VALUE_MAX + 1], process_type[VALUE_MAX + 1], site[VALUE_MAX + 1];
	char uptime_ms[32], uptime_s[32], crash_time_s[32];
	bool any; /* at least one annotation came, known or not */
};

/* Room for the value of an annotation: *size_out bytes, the last for the NUL; NULL if it is
 * one that is read over.  Marks that an annotation came. */
char *submit_field(struct submit_fields *f, struct text name, size_t *size_out);

/* The JSON text of Socorro's "extra" part (consumed): every member is an annotation.
 * DISCARD_none, invalid_json, invalid_json_value or invalid_utf8. */
enum discard submit_fields_json(struct submit_fields *f, char *text, size_t len);

/* A value that is not UTF-8: DISCARD_invalid_annotation_value; else DISCARD_none. */
enum discard submit_fields_check(const struct submit_fields *f);

/* The report they make; texts borrow f, the host is left to the caller. */
void submit_fields_report(const struct submit_fields *f, struct report *out);

#endif
