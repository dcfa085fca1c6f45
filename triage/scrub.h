/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_SCRUB_H
#define TRIAGE_SCRUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"

/* Take out of a dump what triage does not need and people may not want to keep.  Bytes are overwritten where
 * they stand: the size and every offset stay, and what is zero compresses to nothing. */

enum scrub_arguments {
	SCRUB_ARGUMENTS_KEEP = 0,
	SCRUB_ARGUMENTS_SECRETS, /* values of options named like a secret, passwords in URLs, well-known tokens */
	SCRUB_ARGUMENTS_ALL,     /* everything but the program's name */
};

struct scrub_options {
	enum scrub_arguments arguments;
	bool environment; /* environment blocks: wherever the dump says that one is */
	bool heap;        /* memory that belongs to no module and no thread's stack */
	bool stacks;      /* words of stacks that are no address of code or stack and no small number */
};

struct scrub_counts {
	uint64_t environment; /* bytes overwritten */
	uint64_t arguments;
	uint64_t heap;
	uint64_t stacks;
};

/* Scrub a minidump or an ELF core in place.  Memory for tables comes from a.  On success *out counts; else the
 * image may be scrubbed in part and *diag says why: ERR_UNSUPPORTED for what is no such dump (kernel dumps: the
 * pages of programs cannot be told from those of the kernel), other codes as triage_run().
 * That stack and signature did not change is for the caller to check: triage_run() before and after. */
enum err scrub_dump(struct arena *a, void *image, size_t size, const struct scrub_options *opt,
		    struct scrub_counts *out, struct diag *diag);

#endif
