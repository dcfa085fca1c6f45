/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/unwind_check.h"
#include "triage/unwind_sym.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One step from offset by whatever the records say. */
static bool
step(struct check *c, struct symfile *s, struct unwind_frame *caller)
{
	uint64_t offset = unwind_lookup_pc(c->u.arch, &c->f) - CHECK_BASE;
	struct symfile_cfi cfi;
	struct symfile_win win;
	struct text rules[2];

	if (c->u.arch == TRIAGE_ARCH_X86 && symfile_win(s, offset, &win) &&
	    check_step(c, unwind_win(&c->u, &c->f, &win, caller), caller))
		return true;
	if (!symfile_cfi(s, offset, &cfi))
		return false;
	rules[0] = cfi.rules;
	rules[1] = cfi.deltas; /* words that are no rules: of the one before them */
	return check_step(c, unwind_cfi_rules(&c->u, &c->f, rules, 2, caller), caller) ||
	       check_step(c, unwind_cfi_rules(&c->u, &c->f, rules, 1, caller), caller);
}

/* A byte that chooses the processor, the head of unwind_check.h, a stack; the image is the records. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum triage_arch archs[] = { TRIAGE_ARCH_X86, TRIAGE_ARCH_X64, TRIAGE_ARCH_ARM,
						  TRIAGE_ARCH_ARM64 };
	static const char head[] = "MODULE windows x86 0123456789abcdef0123456789abcdef1 a.pdb\n";
	struct unwind_frame caller;
	struct symfile *s;
	struct diag diag;
	struct check c;
	char *text;

	if (size < 4)
		return 0;
	check_init(&c, archs[data[0] % 4], data[0] & 4 ? TRIAGE_OS_WINDOWS : TRIAGE_OS_LINUX, data + 1, size - 1);
	text = malloc(sizeof(head) + c.image_size);
	if (text == NULL)
		abort();
	memcpy(text, head, sizeof(head) - 1);
	if (c.image_size > 0)
		memcpy(text + sizeof(head) - 1, c.image, c.image_size);
	if (symfile_open(c.arena, text, sizeof(head) - 1 + c.image_size, &s, &diag) == ERR_OK) {
		c.image_size = 0; /* no code is known */
		for (int i = 0; i < 64 && step(&c, s, &caller); i++)
			c.f = caller;
	}
	check_end(&c);
	free(text);
	return 0;
}
