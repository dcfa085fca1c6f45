/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_UNWIND_WORLD_H
#define TESTS_UNIT_UNWIND_WORLD_H

#include "base/arena.h"
#include "tests/synth/synth.h"
#include "triage/unwind.h"

/* A process of one PE module, which lies in its memory, and a stack: what an unwinder is shown. */

#define WORLD_BASE  UINT64_C(0x7ff600000000)
#define WORLD_STACK UINT64_C(0x000000c0ffee0000)
#define WORLD_WORDS 512

struct world {
	struct arena *arena;
	struct synth image;
	uint8_t stack[8 * WORLD_WORDS]; /* at WORLD_STACK */
	struct triage_module module;
	struct module_index index;
	struct unwind u;
	struct unwind_frame f; /* to unwind from: exact, no register but the stack pointer known */
	bool no_code;          /* the image's code is not in memory */
};

/* arch x64 or arm64; pe's machine is set by it.  Fails the test when that cannot be done. */
void world_init(struct world *w, enum triage_arch arch, struct synth_pe pe);
void world_end(struct world *w);

void world_word(struct world *w, size_t i, uint64_t v); /* word i of the stack */

/* Return address to an offset of the image: the code of SYNTH_PE must have a call before it. */
#define WORLD_PC(offset) (WORLD_BASE + (offset))
#define WORLD_SP(i)      (WORLD_STACK + 8 * (uint64_t)(i))

#endif
