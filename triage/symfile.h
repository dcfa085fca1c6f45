/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_SYMFILE_H
#define TRIAGE_SYMFILE_H

#include "base/arena.h"
#include "base/reader.h"
#include "base/text.h"
#include "triage/triage.h"

/* A Breakpad text symbol file: MODULE, INFO, FUNC, PUBLIC and STACK records, indexed by
 * address (offset in module).  Borrows the file; the index is in the arena and is built when
 * first asked for.  Lines that are none of these are passed over. */

struct symfile {
	const char *bytes;
	size_t size;
	struct arena *arena;
	char os[16], arch[16];        /* of MODULE: "Linux", "x86_64" */
	char debug_id[48], name[256]; /* of MODULE */
	char code_id[80];             /* of INFO CODE_ID, lower-case, "" none */
	struct symfile_index *index;
};

/* Reads MODULE and the INFO lines that follow it. */
enum err symfile_open(struct arena *a, const void *file, size_t size, struct symfile **out, struct diag *diag);

/* The FUNC that covers offset, else the last PUBLIC at or before it that no FUNC follows; NULL at .name: none. */
struct symfile_function {
	struct text name;
	uint64_t start, size; /* size 0: PUBLIC */
	uint32_t parameter_bytes;
};
bool symfile_function(struct symfile *s, uint64_t offset, struct symfile_function *out);

/* STACK CFI: rules is the text after the address and size of the STACK CFI INIT that covers offset (".cfa: …");
 * deltas are the STACK CFI lines that belong to it, whole lines, by rising address: those up to offset apply.
 * More than 64 KiB of them are not believed. */
struct symfile_cfi {
	uint64_t start, size;
	struct text rules;
	struct text deltas;
};
bool symfile_cfi(struct symfile *s, uint64_t offset, struct symfile_cfi *out);

/* STACK WIN: the innermost record that covers offset, program strings (4) before FPO data (0). */
struct symfile_win {
	unsigned type; /* 4 frame data, 0 FPO */
	uint64_t start, size;
	uint32_t prologue, epilogue, parameters, saved, locals, max_stack;
	bool has_program;
	struct text program; /* has_program */
	bool allocates_bp;   /* else */
};
bool symfile_win(struct symfile *s, uint64_t offset, struct symfile_win *out);

bool symfile_has_stack(struct symfile *s);

#endif
