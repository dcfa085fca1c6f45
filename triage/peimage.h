/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_PEIMAGE_H
#define TRIAGE_PEIMAGE_H

#include "base/arena.h"
#include "base/reader.h"
#include "triage/triage.h"

/* A PE image: sections, exports, where its unwind data is.  Addresses are RVAs: what a dump
 * calls offset in module.  Borrows the file; tables are in the arena. */

#define PE_MAX_SECTIONS 96

struct pe_section {
	char name[9];
	uint32_t rva, size;    /* in memory */
	uint32_t at, raw_size; /* in the file */
	bool code, writable;
};

struct peimage_memory {
	const uint8_t *(*at)(const void *arg, uint64_t addr, uint64_t *len_out);
	const void *arg;
	uint64_t base;
};

struct peimage {
	struct reader file;           /* of a file */
	struct peimage_memory memory; /* of a loaded image; at NULL: a file */
	enum triage_arch arch;
	uint16_t machine;
	bool is64; /* PE32+ */
	uint32_t timestamp, image_size, header_size;
	uint64_t preferred_base;
	struct pe_section sections[PE_MAX_SECTIONS];
	size_t n_sections;
	uint32_t exception_rva, exception_size; /* .pdata: the exception directory; size 0: none */
	uint32_t export_rva, export_size;
	char code_id[24];           /* time stamp and size as symbol servers write them, lower-case */
	char debug_id[48];          /* of its CodeView record, Breakpad's form, "" none */
	struct pe_exports *exports; /* sorted, when first asked for */
	struct arena *arena;
};

enum err peimage_open(struct arena *a, const void *file, size_t size, struct peimage **out, struct diag *diag);
enum err peimage_open_memory(struct arena *a, const struct peimage_memory *memory, struct peimage **out,
			     struct diag *diag);

/* Bytes at rva and how many follow in one piece; NULL: not in the file.  What a section has beyond the file's bytes
 * is zero in memory and absent here. */
const uint8_t *peimage_at(const struct peimage *pe, uint64_t rva, uint64_t *len_out);

/* Copy len bytes, or a little-endian number of width 1, 2, 4 or 8; false when one is missing. */
bool peimage_read(const struct peimage *pe, uint64_t rva, void *out, size_t len);
bool peimage_uint(const struct peimage *pe, uint64_t rva, unsigned width, uint64_t *out);

bool peimage_is_code(const struct peimage *pe, uint64_t rva);
bool peimage_is_writable(const struct peimage *pe, uint64_t rva);

/* The last exported function at or before rva in the same section, and where it begins; "" when there is none, or the
 * unwind data says that another function, which is not exported, lies between. */
const char *peimage_function(struct peimage *pe, uint64_t rva, uint64_t *start_out);

#endif
