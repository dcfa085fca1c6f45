/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of any kind: oopses, panics, crash reports, tombstones, microdumps, events. */
#include "config.h"

#include <string.h>

#include "tests/fuzz/triage_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* formats that have a target of their own would only take the time */
	if (size < 4 || memcmp(data, "MDMP", 4) == 0 || memcmp(data, "PMDM", 4) == 0 || memcmp(data, "PAGE", 4) == 0 ||
	    memcmp(data,
		   "\x7f"
		   "ELF",
		   4) == 0)
		return 0;
	triage_check(data, size);
	return 0;
}
