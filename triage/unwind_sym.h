/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_UNWIND_SYM_H
#define TRIAGE_UNWIND_SYM_H

#include "base/text.h"
#include "triage/unwind.h"

/* Breakpad symbol files: STACK CFI (x86, x64, arm, arm64) and, on x86, STACK WIN: program strings and FPO data.
 *
 * Both are programs in postfix notation.  They have no jumps, so each ends; their length, their stack and the names
 * they may set are limited.  A caller must be on the stack above its callee and a return address, else it is
 * UNWIND_UNKNOWN (STACK WIN's guess where the return address is may be wrong) or UNWIND_DAMAGED. */
extern const struct unwinder unwinder_sym;

/* One step by rules: those of a STACK CFI INIT, then those of the STACK CFI lines up to the pc, as one text each
 * ("…$esp 4 + …", names with or without '$'); a later rule for a register wins. */
enum unwind_outcome unwind_cfi_rules(struct unwind *u, const struct unwind_frame *f, const struct text *rules, size_t n,
				     struct unwind_frame *caller);

/* One step of x86 by a STACK WIN record. */
enum unwind_outcome unwind_win(struct unwind *u, const struct unwind_frame *f, const struct symfile_win *win,
			       struct unwind_frame *caller);

#endif
