/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_PRESENCE_H
#define PROTO_PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/reader.h"

/* RECORD_PRESENCE: which host numbers one gate heard in one second.
 * varint gate, varint unix second, varint n, then n varints: the first host number,
 * then each difference to the one before (numbers rise strictly). */

/* Encode as many of the n sorted, distinct numbers as fit in a record; *used_out says how many. */
size_t presence_encode(uint32_t gate, uint64_t second, const uint32_t *hosts, size_t n, uint8_t *buf, size_t size,
		       size_t *used_out);

struct presence {
	uint32_t gate;
	uint64_t second;
	uint32_t n; /* claimed; iterate, do not trust */
	struct reader r;
	uint32_t last;
	bool started;
};
enum err presence_open(const void *bytes, size_t len, struct presence *out);

/* Next host number; false at the end or at damage (p->r.err). */
bool presence_next(struct presence *p, uint32_t *host_out);

#endif
