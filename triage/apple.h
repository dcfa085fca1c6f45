/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_APPLE_H
#define TRIAGE_APPLE_H

#include "triage/textscan.h"

/* What Apple's reports have in common. */

/* "macOS 13.1 (22C65)", "iPhone OS 13.3.1 (17D50)": system, version as minidumps write it. */
void apple_os(struct textdump *t, struct text version);

/* "ARM-64 (Native)", "X86-64 (Translated)", "arm64e". */
void apple_arch(struct textdump *t, struct text code_type);

/* The reason from the exception's name, signal and codes: "EXC_BAD_ACCESS / KERN_INVALID_ADDRESS".
 * n_codes at most 2; kind as in "KERN_INVALID_ADDRESS at 0x10", may be empty. */
void apple_reason(struct textdump *t, struct text exception, struct text signal, const uint64_t *codes, size_t n_codes,
		  struct text kind);

/* Frames at addr, in the modules that have been added with bases and sizes; callers' addresses
 * are return addresses, that of a context is its place.  name, base: as the frame itself has them, used when no module covers it. */
struct triage_frame *apple_frame(struct textdump *t, uint64_t addr, bool context, struct text name, uint64_t base);

/* count threads, of which crashed (or none: UINT32_MAX) has the frames. */
void apple_threads(struct textdump *t, uint32_t count, uint32_t crashed);

#endif
