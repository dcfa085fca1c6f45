/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/fuzz/triage_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size >= 4 && data[0] == 0x7f)
		triage_check(data, size);
	return 0;
}
