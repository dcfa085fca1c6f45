/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SYNTH_SYNTH_H
#define TESTS_SYNTH_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Dumps built byte by byte, so that a test states exactly the truth or the lie it
 * tells.  Out of memory aborts. */

struct synth {
	uint8_t *p;
	size_t len, cap;
	bool big_endian;
};

void synth_free(struct synth *s);
size_t synth_bytes(struct synth *s, const void *p, size_t n); /* all return where it was put */
size_t synth_zero(struct synth *s, size_t n);
size_t synth_u16(struct synth *s, uint16_t v);
size_t synth_u32(struct synth *s, uint32_t v);
size_t synth_u64(struct synth *s, uint64_t v);
size_t synth_word(struct synth *s, uint64_t v, unsigned width);
void synth_align(struct synth *s, size_t to);
void synth_patch(struct synth *s, size_t at, uint64_t v, unsigned width);

enum synth_cpu { SYNTH_X86, SYNTH_X64, SYNTH_ARM, SYNTH_ARM64, SYNTH_ARM64_OLD };

enum synth_cv { SYNTH_CV_NONE, SYNTH_CV_PDB70, SYNTH_CV_PDB20, SYNTH_CV_ELF };

struct synth_module {
	const char *path;
	uint64_t base;
	uint32_t size, timestamp;
	enum synth_cv cv;
	uint8_t id[20]; /* GUID or build id */
	size_t id_len;  /* of an ELF build id */
	uint32_t age;
	uint16_t version[4]; /* all zero: no version record */
};

struct synth_crash {
	enum synth_cpu cpu;
	uint32_t platform;    /* as in MINIDUMP_SYSTEM_INFO: 2 Windows NT, 0x8201 Linux, … */
	uint32_t code, flags; /* exception and its flags, or signal and si_code */
	uint64_t address;
	uint32_t n_params;
	uint64_t params[15];
	bool no_exception;

	uint64_t pc, sp, fp, lr;
	uint64_t stack_base;
	const uint64_t *stack; /* words of the processor's width */
	size_t n_stack;

	const struct synth_module *modules;
	size_t n_modules;
	size_t n_threads;  /* the last one crashed in a minidump, the first in a core */
	bool padded_lists; /* counts followed by 4 bytes of padding */
	bool memory64;
	bool netbsd; /* cores: notes as NetBSD writes them, the last thread crashed */
};

#define SYNTH_TID(i) ((uint32_t)(1000 + (i)))
#define SYNTH_PID    999

unsigned synth_width(enum synth_cpu cpu);

/* Where things stand in a minidump that was built, for lies. */
struct synth_places {
	size_t n_streams, directory; /* entries: type, size, rva */
	size_t thread_count, threads;
	size_t module_count, modules;
	size_t memory_count, memory;
	size_t exception; /* the stream */
	size_t context;   /* of the exception */
};

/* A minidump with system information, threads, modules, memory, exception, pid. */
void synth_minidump(struct synth *out, const struct synth_crash *c, struct synth_places *where);

/* A Linux core: PRSTATUS per thread, PRPSINFO, SIGINFO, AUXV, FILE; the stack and the
 * first page of each module (with its build id) as segments.  The program's page also
 * has the dynamic linker's list. */
struct synth_core_places {
	size_t phdrs, n_phdrs;   /* offset of the table and of e_phnum */
	size_t notes, file_note; /* descriptions of the first note and of NT_FILE */
};
void synth_core(struct synth *out, const struct synth_crash *c, struct synth_core_places *where);

/* A Windows kernel dump of the July 2024 outage: stop 0x50, csagent.sys reading
 * ffff8405'00000074, or the same with another stop code. */
enum synth_kdump_kind { SYNTH_KDUMP_TRIAGE, SYNTH_KDUMP_FULL, SYNTH_KDUMP_BITMAP, SYNTH_KDUMP_RANGES };

struct synth_kdump {
	enum synth_kdump_kind kind;
	bool x86, pae; /* 32-bit header; page tables with PAE */
	bool arm64;
	bool five_levels; /* of page tables */
	uint32_t bugcheck;
	uint64_t params[4];
	bool no_trap_frame;      /* leave out what the kernel pushed when it took the fault */
	bool context_records;    /* EXCEPTION_RECORD and CONTEXT of the fault in memory */
	bool direct_call;        /* csagent.sys called KeBugCheckEx itself */
	uint32_t dtb_flags;      /* PCID */
	bool list_loops;         /* PsLoadedModuleList without an end */
	bool unwind_data;        /* the driver's .pdata is in memory */
	bool kernel_unwind_data; /* x64: nt's too; the driver's frame then hangs on rdi */
};

/* Addresses in it; on x86 their low 32 bits. */
#define SYNTH_KD_NT       UINT64_C(0xfffff8061c000000)
#define SYNTH_KD_AGENT    UINT64_C(0xfffff80620be0000)
#define SYNTH_KD_STACK    UINT64_C(0xffff8d8c35c7ce00)
#define SYNTH_KD_RECORD   UINT64_C(0xffff8d8c35c7d900)
#define SYNTH_KD_CONTEXT  UINT64_C(0xffff8d8c35c7da00)
#define SYNTH_KD_IP       (SYNTH_KD_AGENT + 0xe14ed)
#define SYNTH_KD_PDATA    (SYNTH_KD_AGENT + 0x2aa000)
#define SYNTH_KD_NT_PDATA (SYNTH_KD_NT + 0x1040000)

struct synth_kdump_places {
	size_t triage; /* TRIAGE_DUMP, or the header of the page map */
	size_t drivers, blocks;
};
void synth_kdump(struct synth *out, const struct synth_kdump *c, struct synth_kdump_places *where);
const struct synth_kdump *synth_kdump_example(size_t i, const char **name);

/* A PE image (PE32+) whose sections lie in the file as they do in memory: headers, .text, .rdata with what the
 * entries of .pdata point at, .pdata.  Borrowed parts may be NULL with length 0. */
#define SYNTH_PE_CODE    0x1000u
#define SYNTH_PE_RECORDS 0x3000u
#define SYNTH_PE_TABLE   0x4000u
#define SYNTH_PE_SIZE    0x5000u
struct synth_pe {
	uint16_t machine; /* 0x8664, 0xaa64 */
	uint32_t timestamp;
	const uint8_t *code, *records;
	size_t n_code, n_records;
	const uint32_t *table;
	size_t n_table; /* words */
};
void synth_pe(struct synth *out, const struct synth_pe *c);

/* Ready-made crashes, one of each kind; NULL after the last.  The name says which. */
const struct synth_crash *synth_example(size_t i, const char **name);

/* A small 64-bit ELF library: three functions at SYNTH_ELF_CODE, of SYNTH_ELF_FUNCTION bytes each, named first, _ZN2av6Engine3runEv
 * and last; file and memory are the same. */
#define SYNTH_ELF_SIZE     0x2000u
#define SYNTH_ELF_CODE     0x400u
#define SYNTH_ELF_FUNCTION 0x80u
#define SYNTH_ELF_FRAMES   0x800u  /* .eh_frame */
#define SYNTH_ELF_HEADER   0xc00u  /* .eh_frame_hdr */
#define SYNTH_ELF_SYMBOLS  0x1000u /* .symtab */
#define SYNTH_ELF_SECTIONS 0x1800u /* section headers: null, .text, .eh_frame, .symtab, .strtab, .shstrtab */

struct synth_elf {
	uint16_t machine; /* EM_X86_64, EM_AARCH64 */
	uint8_t id[20];   /* build id */
	bool no_header;   /* no .eh_frame_hdr */
	bool no_sections;
	const uint8_t *cfi; /* instructions of the second function's record, after the CIE's (CFA is sp + 8, or sp) */
	size_t n_cfi;
};
void synth_elf(struct synth *out, const struct synth_elf *c);

#endif
