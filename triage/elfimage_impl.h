/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_ELFIMAGE_IMPL_H
#define TRIAGE_ELFIMAGE_IMPL_H

#include "triage/elfimage.h"

/* Of elfimage.c, elfimage_fde.c and elfimage_names.c alone. */

struct elf_slot { /* of the own index of .eh_frame */
	uint64_t start, fde;
};

struct elf_symbol {
	uint64_t start;
	uint32_t size;
	uint32_t name; /* in the string table */
	uint8_t rank;  /* which of several names for one place */
};

struct elf_symbols {
	struct elf_symbol *list; /* by start, one for each */
	size_t n;
	const char *names; /* of names_size bytes */
	uint64_t names_size;
};

struct elfimage {
	struct arena *arena;
	struct reader file;            /* of a file; of an image in memory without bytes */
	struct elfimage_memory memory; /* at NULL: a file */
	enum triage_arch arch;
	bool is64, has_code;
	uint16_t machine;
	uint64_t first; /* address of its first page as linked */
	struct elf_segment *segments;
	size_t n_segments;
	struct elf_section symtab, dynsym, strtab, dynstr, eh_frame, debug_frame; /* size 0: not there */
	uint64_t eh_header, eh_header_size;                                       /* as linked; size 0: none */
	char build_id[129];

	bool table_checked;
	uint64_t eh_frame_at;  /* as linked, from the header; 0 not known */
	uint64_t table, count; /* the header's search table; count 0: none to be trusted */
	bool indexed;
	struct elf_slot *slots;
	size_t n_slots;

	struct elfimage_owned owned;

	bool named;
	struct elf_symbols symbols;
};

static inline uint64_t
elfimage_word(const struct elfimage *e, struct reader *r)
{
	return e->is64 ? reader_u64(r) : reader_u32(r);
}

/* Reader over the loaded bytes at an address as linked, as far as they follow in one piece; failed: none. */
struct reader elfimage_reader(const struct elfimage *e, uint64_t address);

/* Reader over a section's bytes in the file; failed: not there. */
struct reader elfimage_section(const struct elfimage *e, const struct elf_section *s);

#endif
