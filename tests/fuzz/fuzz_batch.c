/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a batch; then the same with the right CRCs, so that the fuzzer gets past them. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "proto/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(const uint8_t *bytes, size_t size)
{
	struct batch_view b;
	struct record_view r;
	struct diag d;
	uint32_t cursor = 0, n = 0;
	uint64_t sum = 0;

	if (batch_open(bytes, size, &b) != ERR_OK)
		return;
	if (b.bytes != bytes || b.len > size || b.len > BATCH_MAX_BYTES || b.n > BATCH_MAX_RECORDS)
		abort();
	while (batch_next(&b, &cursor, &r, &d)) {
		if (r.index != n || r.payload < bytes || r.payload_len > (size_t)(bytes + b.len - r.payload))
			abort();
		for (uint32_t i = 0; i < r.payload_len; i++)
			sum += r.payload[i];
		n++;
	}
	if (n > b.n || (d.code == ERR_OK && n != b.n))
		abort();
	if (sum == UINT64_MAX) /* the payloads were read */
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *fixed;
	uint32_t crc, len;

	walk(data, size);
	if (size < BATCH_HEADER || size > BATCH_MAX_BYTES || (fixed = malloc(size)) == NULL)
		return 0;
	memcpy(fixed, data, size);
	len = (uint32_t)size;
	memcpy(fixed, "FLB1", 4);
	for (int i = 0; i < 4; i++)
		fixed[4 + i] = (uint8_t)(len >> 8 * i);
	crc = crc32c(0, fixed + 12, size - 12);
	for (int i = 0; i < 4; i++)
		fixed[8 + i] = (uint8_t)(crc >> 8 * i);
	walk(fixed, size);
	free(fixed);
	return 0;
}
