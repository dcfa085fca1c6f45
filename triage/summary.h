/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_SUMMARY_H
#define TRIAGE_SUMMARY_H

#include "triage/triage.h"

#define SUMMARY_MAX 1024 /* bytes with the NUL */

/* One line for people: what happened and where, as they would say it to one another:
 *
 *	0x50 PAGE_FAULT_IN_NONPAGED_AREA: read of ffff8405'00000074 at csagent.sys+0xe14ed
 *	SIGSEGV / SEGV_MAPERR: access to 0x45 at agent+0x1234 (agent::parse)
 *	SIGABRT at libc.so.6+0x8ad3c, called by agent+0x1234
 *
 * Valid UTF-8 without control characters, cut at a character.  Returns the length. */
size_t triage_summary(const struct triage_result *res, char out[SUMMARY_MAX]);

/* "csagent.sys+0xe14ed", "0x7f0012 in unloaded plugin.dll", "0x7f0012": where a frame is.  At most cap bytes
 * with the NUL, cap > 0; same guarantees. */
size_t triage_place(const struct triage_result *res, const struct triage_frame *f, char *out, size_t cap);

#endif
