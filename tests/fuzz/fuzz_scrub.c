/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/triage_check.h"
#include "triage/scrub.h"
#include "triage/scrub_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* First byte: the options.  The rest is a dump, and a command line of either width. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scrub_options o = { 0 };
	struct scrub_counts n, again;
	struct arena *a = arena_new(TRIAGE_ARENA_BYTES), *b = arena_new(TRIAGE_ARENA_BYTES);
	struct diag diag;
	uint8_t *copy;

	if (size == 0 || a == NULL || b == NULL || (copy = malloc(size)) == NULL)
		goto done;
	o.arguments = (enum scrub_arguments)(data[0] % 3);
	o.environment = data[0] & 4;
	o.heap = data[0] & 8;
	o.stacks = data[0] & 16;
	memcpy(copy, data + 1, size - 1);
	if (scrub_dump(a, copy, size - 1, &o, &n, &diag) == ERR_OK)
		(void)scrub_dump(b, copy, size - 1, &o, &again, &diag);
	memcpy(copy, data + 1, size - 1);
	scrub_arguments(copy, size - 1, 1 + (data[0] >> 5 & 1), data[0] >> 6 & 1, o.arguments);
	free(copy);
done:
	arena_free(a);
	arena_free(b);
	return 0;
}
