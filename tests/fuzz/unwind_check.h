/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_UNWIND_CHECK_H
#define TESTS_FUZZ_UNWIND_CHECK_H

#include "base/arena.h"
#include "triage/unwind.h"

/* A stack and a module, made of the bytes of a fuzzer. */

#define CHECK_BASE  UINT64_C(0x10000)
#define CHECK_SIZE  UINT64_C(0x10000)
#define CHECK_STACK UINT64_C(0x8000)
#define CHECK_BYTES 512 /* of the stack */

struct check {
	struct arena *arena;
	struct triage_module module;
	struct module_index index;
	struct unwind u;
	struct unwind_frame f; /* to start from: every register points into the stack */
	const uint8_t *image;  /* what the module has in memory, borrowed */
	size_t image_size;
	uint8_t stack[CHECK_BYTES];
};

/* data: head bytes that were read, then the stack, then the image.  The first two bytes are the offset of the pc, the
 * third whether that was interrupted. */
void check_init(struct check *c, enum triage_arch arch, enum triage_os os, const uint8_t *data, size_t size);
void check_end(struct check *c);

/* The image as a PE image: its first bytes up to table_size are the exception directory, all of it is code. */
void check_image(const struct check *c, uint32_t table_size, struct peimage *out);

/* What holds of every step from c->f; aborts where it does not.  True: *caller can be stepped from. */
bool check_step(const struct check *c, enum unwind_outcome outcome, const struct unwind_frame *caller);

#endif
