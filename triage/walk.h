/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_WALK_H
#define TRIAGE_WALK_H

#include "triage/dump.h"
#include "triage/module.h"

struct images;

struct walk_result {
	struct triage_frame *frames; /* in the arena */
	size_t n;
	const char *end; /* why there are no more: "outermost", "no caller found", … */
};

/* Frames of the crashing thread: its registers, then step by step by the unwind data of the images at hand
 * (triage/unwind.h), else frame pointers, else a bounded scan of the stack; and the names of their functions.
 * images may be NULL: then the dump's own memory is all there is.  Each step moves the stack pointer up, but for a
 * few changes of stack, or ends the walk; work is bounded too: so it ends.  ERR_OK or ERR_LIMIT. */
enum err walk_crashing_thread(struct arena *a, const struct dump *d, const struct module_index *mi,
			      struct images *images, size_t max_frames, struct walk_result *out);

#endif
