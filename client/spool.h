/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_SPOOL_H
#define CLIENT_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A bounded queue of items, in memory or in a file that survives a kill.
 *
 * Offsets are logical: they rise for ever, also over restarts and compactions.  An item is
 * read as often as needed until everything before an offset is released.
 *
 * File: 64 bytes of header (magic "FLSPOOL1", u64 base, u32 crc32c of these; at 32: u64
 * released, u32 crc32c of it), then records: u32 length of what follows, u32 crc32c of
 * that, u8 kind, u16 cookie length, cookie, item; little endian.  A record that is torn by
 * a power cut ends the file. */
struct spool {
	int fd; /* -1: in memory */
	char *path;
	uint64_t limit; /* bytes between base and end */
	uint64_t base;  /* offset of the first byte kept */
	uint64_t released, end;
	uint8_t *buf; /* memory: everything from base on; file: what was read last */
	size_t cap;
	uint64_t win; /* file: offset of buf[0] */
	size_t win_len;
};

struct spool_item {
	uint8_t kind;
	const char *cookie; /* cookie_len bytes, not terminated */
	size_t cookie_len;
	const uint8_t *bytes;
	size_t len;
	uint64_t next; /* offset after it */
};

enum spool_result { SPOOL_OK, SPOOL_END, SPOOL_FULL, SPOOL_IO, SPOOL_MEMORY };

#define SPOOL_ITEM_MAX (128u * 1024)

/* path NULL: in memory.  -1 with a sentence in err; also when another process has it. */
int spool_open(struct spool *s, const char *path, uint64_t limit, char *err, size_t err_size);
void spool_close(struct spool *s);

/* On disk when it returns SPOOL_OK. */
enum spool_result spool_append(struct spool *s, uint8_t kind, const char *cookie, const uint8_t *item, size_t len);

/* The item at off; what it points to is valid until the next call.  SPOOL_END at the end. */
enum spool_result spool_read(struct spool *s, uint64_t off, struct spool_item *out);

/* Nothing before off is needed any more. */
void spool_release(struct spool *s, uint64_t off);

#endif
