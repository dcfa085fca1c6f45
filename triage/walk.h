/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_WALK_H
#define TRIAGE_WALK_H

#include "triage/dump.h"
#include "triage/module.h"

/* Frames of the crashing thread: its registers, then frame pointers, then a bounded
 * scan of the stack.  Reads only the stack of that thread.  Each step moves the stack
 * pointer up or ends the walk, so it ends.
 * Unwinding by CFI will be one more step function, tried first. */
enum err walk_crashing_thread(struct arena *a, const struct dump *d, const struct module_index *mi, size_t max_frames,
			      struct triage_frame **frames_out, size_t *n_out);

#endif
