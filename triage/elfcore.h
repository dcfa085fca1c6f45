/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_ELFCORE_H
#define TRIAGE_ELFCORE_H

#include "base/reader.h"
#include "triage/dump.h"

/* Parts of the ELF core reader, shared by its files alone. */

/* A mapping of the process, whether the core holds its bytes or not. */
struct elf_load {
	uint64_t addr, memsz;
	bool executable;
};

struct elfcore {
	struct arena *arena;
	struct reader file; /* positioned afresh for each use */
	bool is64;
	uint16_t machine;
	struct elf_load *loads; /* in the core's order, which is by address */
	size_t n_loads;
	struct reader files; /* description of NT_FILE; failed when there is none */
	struct reader auxv;  /* same of NT_AUXV */
	const char *program; /* first 15 bytes of its name, "" */
	struct dump *d;
};

/* Up to size bytes at off of the file, cut at its end. */
struct reader elfcore_at(struct elfcore *c, uint64_t off, uint64_t size);

static inline uint64_t
elfcore_word(const struct elfcore *c, struct reader *r)
{
	return c->is64 ? reader_u64(r) : reader_u32(r);
}

/* One PT_NOTE segment: threads, signal, process, and where NT_FILE and NT_AUXV are. */
enum err elfcore_read_notes(struct elfcore *c, struct reader notes);

/* Modules from NT_FILE, the ELF headers in memory and the vdso. */
enum err elfcore_read_modules(struct elfcore *c);

/* ELF notes one by one. */
struct elf_note {
	const char *name; /* name_len bytes, without the NUL */
	size_t name_len;
	uint32_t type;
	struct reader desc;
};
bool elf_note_next(struct reader *r, struct elf_note *out); /* false: end or damage (r failed) */

/* The same as elfcore_read_notes() for the notes of NetBSD and FreeBSD. */
bool elf_note_is_netbsd(const struct elf_note *n);
enum err elfcore_read_netbsd(struct elfcore *c, struct reader notes);
bool elf_note_is_freebsd(const struct elf_note *n);
enum err elfcore_read_freebsd(struct elfcore *c, struct reader notes);

/* Value of an auxiliary vector entry; false: not there. */
bool elfcore_auxv(const struct elfcore *c, uint64_t type, uint64_t *out);

#endif
