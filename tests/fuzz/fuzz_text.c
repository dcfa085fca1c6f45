/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of any kind: oopses, panics, crash reports, tombstones, microdumps, events. */
#include "config.h"

#include "tests/fuzz/triage_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	triage_check(data, size);
	return 0;
}
