/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_UNWIND_ARM64_H
#define TRIAGE_UNWIND_ARM64_H

#include "triage/unwind.h"

/* arm64 PE images: .pdata with packed unwind data and with .xdata records, prologues and epilogues,
 * signed return addresses; the kernel's own codes for trap frames, machine frames and contexts.
 *
 * A function without a record is a leaf: believed only of an interrupted frame whose lr is a return
 * address.  Otherwise as unwind_x64.h. */
extern const struct unwinder unwinder_arm64;

/* One step with an image at hand, base where the dump has it. */
enum unwind_outcome unwind_arm64_step(struct unwind *u, const struct peimage *pe, uint64_t base,
				      const struct unwind_frame *f, struct unwind_frame *caller);

#endif
