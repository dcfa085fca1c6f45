/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_ELFIMAGE_H
#define TRIAGE_ELFIMAGE_H

#include "base/arena.h"
#include "base/reader.h"
#include "triage/triage.h"

/* An ELF program, library or split-off debug file: where its segments are, its build id, its
 * unwind data and the names of its functions.  Borrows the file; tables are in the arena. */

struct elf_section {
	uint64_t addr, size;
	uint64_t offset; /* in the file */
	uint32_t type;
	bool alloc;
};

struct elf_segment {
	uint64_t vaddr, memsz, offset, filesz;
	bool executable, writable;
};

/* Instructions for a stack frame: addresses, as linked. */
struct elf_rules {
	uint64_t from, to;
};

/* One frame description: [start, start + size) is unwound by the record at fde. */
struct elf_fde {
	uint64_t start, size;
	uint64_t fde;                 /* address of the record in .eh_frame, as linked */
	uint64_t length;              /* bytes of the record */
	uint64_t column;              /* the rule that has the return address, as the record says */
	struct elf_rules common, own; /* of its CIE, and its own */
	uint8_t enc;                  /* of addresses in them */
	bool signal;                  /* of a signal trampoline */
};

struct elfimage; /* its tables are its own */

/* Read the headers.  Tables of unwind data and names are built when first asked for. */
enum err elfimage_open(struct arena *a, const void *file, size_t size, struct elfimage **out, struct diag *diag);

/* The same of an image as a process has it loaded: memory gives bytes at an address and how many follow.  Only what
 * is loaded is there: no sections. */
struct elfimage_memory {
	const uint8_t *(*at)(const void *arg, uint64_t addr, uint64_t *len_out);
	const void *arg;
	uint64_t base; /* where its first byte is */
};
enum err elfimage_open_memory(struct arena *a, const struct elfimage_memory *memory, struct elfimage **out,
			      struct diag *diag);

enum triage_arch elfimage_arch(const struct elfimage *e);
bool elfimage_big_endian(const struct elfimage *e);
const char *elfimage_build_id(const struct elfimage *e); /* lower-case hex, "" none */
bool elfimage_has_code(const struct elfimage *e);        /* false: a debug file */

/* The whole file; of an image in memory what follows its first byte in one piece, NULL if that is not all of it. */
const void *elfimage_file(const struct elfimage *e, size_t *size_out);

/* Addresses below are as linked, less the address of its first page: what a dump calls offset in module. */
const uint8_t *elfimage_at(const struct elfimage *e, uint64_t offset, uint64_t *len_out); /* NULL: not in the file */
bool elfimage_is_code(const struct elfimage *e, uint64_t offset);
bool elfimage_is_writable(const struct elfimage *e, uint64_t offset);
uint64_t elfimage_first(const struct elfimage *e); /* the address of its first page as linked */

/* The .eh_frame record for an offset: .eh_frame_hdr's table if it is one that can be trusted, else an own index,
 * sorted, built once.  False: none. */
bool elfimage_fde(struct elfimage *e, uint64_t offset, struct elf_fde *out);

/* Do the rules of a record name no register but the first n, and remember no more states than anybody needs?  For
 * libraries that take both without a limit; nothing else of the rules is judged. */
bool elfimage_fde_within(const struct elfimage *e, const struct elf_fde *f, unsigned n);
bool elfimage_has_unwind(const struct elfimage *e);

/* Name of the function at an offset as the symbol table has it, "" none, and where it begins. */
const char *elfimage_function(struct elfimage *e, uint64_t offset, uint64_t *start_out);
bool elfimage_has_functions(const struct elfimage *e);

bool elfimage_has_debug_frame(const struct elfimage *e);

/* What a library keeps about the image; released by elfimage_close(). */
struct elfimage_owned {
	void *state;
	void (*release)(void *state); /* NULL: nothing is kept */
};
struct elfimage_owned *elfimage_owned(struct elfimage *e);
void elfimage_close(struct elfimage *e); /* before its arena goes; NULL is fine */

#endif
