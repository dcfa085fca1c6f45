/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "tests/fuzz/unwind_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A byte that chooses the processor, the head of unwind_check.h, a stack, an ELF image: stepped by each library. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum triage_arch archs[] = { TRIAGE_ARCH_X64, TRIAGE_ARCH_ARM64, TRIAGE_ARCH_X86,
						  TRIAGE_ARCH_ARM };
	static const struct unwinder *const unwinders[] = { &unwinder_libunwind, &unwinder_dw };

	if (size < 4)
		return 0;
	for (size_t k = 0; k < 2; k++) {
		struct unwind_frame caller;
		struct check c;

		check_init(&c, archs[data[0] % 4], TRIAGE_OS_LINUX, data + 1, size - 1);
		c.u.work = 50000; /* endless expressions end sooner */
		for (int i = 0; i < 64; i++) {
			caller = (struct unwind_frame){ .trust = TRIAGE_TRUST_CFI };
			if (unwinders[k]->step(&c.u, &c.f, 0, &caller) != UNWIND_CALLER)
				break;
			if (!unwind_known(&caller, unwind_sp(c.u.arch)))
				abort();
			c.f = caller; /* that a stack grows is the walk's to check */
		}
		check_end(&c);
	}
	return 0;
}
