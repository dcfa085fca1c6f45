/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/fuzz/unwind_check.h"
#include "triage/unwind_x64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A byte that sizes the exception directory, then see unwind_check.h. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct unwind_frame caller;
	struct peimage pe;
	struct check c;

	if (size < 4)
		return 0;
	check_init(&c, TRIAGE_ARCH_X64, TRIAGE_OS_WINDOWS, data + 1, size - 1);
	check_image(&c, 12 * (uint32_t)data[0], &pe);
	for (int i = 0; i < 64 && check_step(&c, unwind_x64_step(&c.u, &pe, CHECK_BASE, &c.f, &caller), &caller); i++)
		c.f = caller;
	check_end(&c);
	return 0;
}
