/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_TOMBSTONE_H
#define TRIAGE_TOMBSTONE_H

#include "triage/textscan.h"

/* What the text and the binary form of a tombstone have in common. */

void tombstone_reason(struct textdump *t, int32_t signo, int32_t code);
void tombstone_fingerprint(struct textdump *t, struct text print);
void tombstone_arch(struct textdump *t, struct text abi);
void tombstone_thread(struct textdump *t, uint32_t index, uint32_t count); /* count > 0 threads, which crashed */
bool tombstone_is_file(struct text name);                                  /* a mapping's name is that of a file */

#endif
