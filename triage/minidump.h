/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_MINIDUMP_H
#define TRIAGE_MINIDUMP_H

#include "base/reader.h"
#include "triage/dump.h"

/* Parts of the minidump reader, shared by its files alone. */

enum md_stream {
	MD_THREAD_LIST = 3,
	MD_MODULE_LIST = 4,
	MD_MEMORY_LIST = 5,
	MD_EXCEPTION = 6,
	MD_SYSTEM_INFO = 7,
	MD_THREAD_EX_LIST = 8,
	MD_MEMORY64_LIST = 9,
	MD_HANDLE_DATA = 12,
	MD_UNLOADED_LIST = 14,
	MD_MISC_INFO = 15,
	MD_MEMORY_INFO_LIST = 16,
	MD_THREAD_NAMES = 24,
	MD_CRASHPAD_INFO = 0x43500001,
	MD_BREAKPAD_INFO = 0x47670001,
	MD_ASSERTION_INFO = 0x47670002,
	MD_LINUX_CPU_INFO = 0x47670003,
	MD_LINUX_PROC_STATUS = 0x47670004,
	MD_LINUX_LSB_RELEASE = 0x47670005,
	MD_LINUX_CMD_LINE = 0x47670006,
	MD_LINUX_MAPS = 0x47670009,
	MD_MOZ_MAC_CRASH_INFO = 0x4d7a0001,
	MD_MOZ_SOFT_ERRORS = 0x4d7a0004,
};

struct md_dir {
	uint32_t type, size, rva;
};

struct md {
	struct arena *arena;
	struct reader file; /* the whole image; errors here never stick: see md_at() */
	struct md_dir *dirs;
	size_t n_dirs;
	uint16_t raw_arch;  /* processor_architecture as written */
	size_t used_before; /* of the arena, when annotations were begun */
	struct dump *d;
};

/* Bytes [rva, rva + size) of the file, cut at its end (and the dump marked partial).
 * The reader has failed when rva is outside the file. */
struct reader md_at(struct md *m, uint64_t rva, uint64_t size);

/* The stream of that type; failed reader when there is none. */
struct reader md_stream(struct md *m, uint32_t type);

/* Position r at the first element of a counted list (with or without padding after
 * the count) and return how many whole elements, at most limit, are really there. */
size_t md_list(struct md *m, struct reader *r, size_t elem, size_t limit);

/* MINIDUMP_STRING (UTF-16) and MINIDUMP_UTF8_STRING at rva; "" when damaged. */
const char *md_utf16(struct md *m, uint32_t rva, size_t max);
const char *md_utf8(struct md *m, uint32_t rva, size_t max);

enum err minidump_read_modules(struct md *m);

/* Registers of the context record at [at, at + size); *out invalid when it is not one. */
void minidump_read_context(struct md *m, uint64_t at, uint64_t size, struct dump_regs *out);

/* Names of threads, and what there is about process and machine (d->process).  Losing some of it to a full
 * arena is no error. */
void minidump_read_process(struct md *m);

/* Breakpad's, Crashpad's and Mozilla's own streams: annotations, assertion, messages of macOS libraries. */
void minidump_read_annotations(struct md *m);

#endif
