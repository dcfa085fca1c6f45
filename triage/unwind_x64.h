/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_UNWIND_X64_H
#define TRIAGE_UNWIND_X64_H

#include "triage/unwind.h"

/* x64 PE images: RUNTIME_FUNCTION and UNWIND_INFO, versions 1 and 2, chained; epilogues by their
 * instructions (of version 2 also by its codes, where the dump lacks the code); machine frames.
 *
 * A function without a record is a leaf: believed only of an interrupted frame whose stack begins with a
 * return address.  A caller that is in no module's code or behind no call is no caller: UNWIND_UNKNOWN.
 * Records that run in circles or say nonsense: UNWIND_DAMAGED. */
extern const struct unwinder unwinder_x64;

/* One step with an image at hand, base where the dump has it. */
enum unwind_outcome unwind_x64_step(struct unwind *u, const struct peimage *pe, uint64_t base,
				    const struct unwind_frame *f, struct unwind_frame *caller);

#endif
