/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/fuzz/triage_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* either byte order, whatever the input says first */
	if (size >= 4 && (data[0] == 'M' || data[0] == 'P'))
		triage_check(data, size);
	return 0;
}
