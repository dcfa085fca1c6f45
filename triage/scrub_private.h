/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_SCRUB_PRIVATE_H
#define TRIAGE_SCRUB_PRIVATE_H

#include "triage/dump.h"
#include "triage/scrub.h"

/* Shared by the files of scrubbing alone. */

struct span {
	uint64_t from, to; /* addresses */
};

struct scrub {
	struct arena *arena;
	uint8_t *image;
	size_t size;
	const struct scrub_options *opt;
	struct scrub_counts counts;
	struct dump *d;
	/* what stays, by address: first modules and mappings of code, then stacks */
	struct span *keep;
	size_t n_keep, n_code;
	/* every piece of memory in the file, repeated ones too */
	struct mem_region *regions;
	size_t n_regions;
	struct mem_region auxv; /* size 0: none */
};

/* The bytes of the image at p (which lies in it), to write to. */
uint8_t *scrub_bytes(struct scrub *s, const uint8_t *p);

/* len bytes of memory at addr, if they lie in one piece that the file holds; NULL. */
const uint8_t *scrub_memory(const struct scrub *s, uint64_t addr, uint64_t len);
bool scrub_word(const struct scrub *s, uint64_t addr, unsigned width, uint64_t *out);

/* Zero it in every piece that holds part of it; returns the bytes that were not zero. */
uint64_t scrub_zero(struct scrub *s, uint64_t addr, uint64_t len);

/* One argument, or a command line of width-byte characters; separated by NUL or, when `line`, by spaces outside of
 * quotes.  Overwrites with x; returns the bytes that it changed. */
uint64_t scrub_arguments(uint8_t *p, size_t n, unsigned width, bool line, enum scrub_arguments how);

/* Environment and arguments where the processes of these systems have them. */
void scrub_linux(struct scrub *s);
void scrub_windows(struct scrub *s, const uint64_t *tebs, size_t n);

/* Streams, and the pieces of memory, of a minidump. */
enum err scrub_minidump(struct scrub *s);

#endif
