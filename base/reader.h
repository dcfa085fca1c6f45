/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_READER_H
#define BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"

/* Bounded reader over untrusted bytes.
 *
 * Borrows [base, base + size); never copies, allocates or logs.  The first
 * failure sticks in r->err and every later call is a no-op yielding 0 or NULL,
 * so a record is read field by field and checked once:
 *
 *	uint16_t phnum = reader_u16(&r);
 *	uint64_t phoff = reader_u64(&r);
 *	if (reader_failed(&r))
 *		return r.err.code;
 *
 * Before that check a value must not size an allocation, bound a loop or
 * become an address.  Invariant: pos <= size. */
struct reader {
	const uint8_t *base;
	size_t size;
	size_t pos;
	uint64_t origin; /* offset of base in the whole input, for err.at */
	bool big_endian;
	struct diag err;
};

void reader_init(struct reader *r, const void *buf, size_t size, bool big_endian);

/* Child over [off, off + len) of the parent; fails the parent if out of range. */
struct reader reader_sub(struct reader *parent, uint64_t off, uint64_t len);

static inline bool
reader_failed(const struct reader *r)
{
	return r->err.code != ERR_OK;
}

/* Record a failure at the current position unless one is already recorded. */
enum err reader_fail(struct reader *r, enum err code, const char *what);

uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
void reader_skip(struct reader *r, uint64_t n);

/* n bytes in place, valid as long as the input; NULL on failure. */
const uint8_t *reader_bytes(struct reader *r, uint64_t n);

/* Check that n elements of elem bytes can follow and that n <= limit.
 * The only function whose result may size an allocation; 0 on failure. */
size_t reader_count(struct reader *r, uint64_t n, size_t elem, size_t limit);

#endif
