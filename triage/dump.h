/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_DUMP_H
#define TRIAGE_DUMP_H

#include "base/reader.h"
#include "triage/mem.h"
#include "triage/triage.h"

/* Neutral crash model: what the format readers fill and the walker reads.
 * Everything lives in the arena of the dump or points into its image. */

#define DUMP_REGS 33

struct dump_regs {
	bool valid;
	uint64_t pc, sp, fp, lr;
	uint64_t r[DUMP_REGS]; /* by DWARF number as triage/unwind.h has them */
	uint64_t known;        /* bit n: r[n] is known */
};

struct dump_thread {
	uint32_t tid;
	struct mem_region stack;           /* size 0: not given with the thread */
	const char *name;                  /* NULL: none */
	uint64_t stack_addr;               /* where it would be, 0 unknown */
	uint64_t sp;                       /* of a core's thread; 0 unknown */
	uint64_t context_at, context_size; /* in the image */
};

struct dump {
	enum triage_format format;
	enum triage_os os;
	enum triage_arch arch;
	bool big_endian;
	uint16_t raw_arch;      /* of a minidump, as written */
	const char *os_version; /* the texts are never NULL after a reader succeeded */

	bool has_exception;
	const char *reason;
	uint32_t code, subcode;
	bool has_address;
	uint64_t address;

	struct dump_thread *threads;
	size_t n_threads;
	int32_t crashing_thread;
	uint32_t crashing_tid;
	uint32_t process_id;
	int64_t dump_time;
	struct dump_regs regs; /* where it crashed; the walk starts here */

	struct triage_module *modules;
	size_t n_modules;
	struct mem mem;
	struct mem_region auxv;      /* a core's auxiliary vector, size 0: none; addr means nothing */
	struct mem_region arguments; /* a core's copy of the command line, likewise */
	struct mem needed;           /* memory of no module that names of modules came from, without bytes */
	struct mem exec;             /* executable mappings without bytes; none: not known */

	struct triage_annotation annotations[TRIAGE_MAX_ANNOTATIONS];
	size_t n_annotations;

	bool os_kernel; /* the system's kernel failed */

	const char *no_registers; /* why regs are not valid; NULL: nothing is known about it */

	/* texts: frames as they have them, instead of a walk */
	bool has_frames;
	struct triage_frame *frames; /* at most TRIAGE_MAX_FRAMES */
	size_t n_frames;
	const char *blame_rule; /* the reader chose blamed, by this rule; NULL: blame_choose() does */
	int32_t blamed;
	struct triage_kernel *stop; /* a stop code that a text tells, else NULL */

	struct triage_process *process; /* NULL: nothing is known */
	struct kd *kernel;              /* a Windows kernel dump as its reader has it (triage/kdump.h), else NULL */

	bool partial;
	const char *partial_what; /* first reason, "" */
};

/* Note that something of the dump could not be read; only the first is kept. */
static inline void
dump_partial(struct dump *d, const char *what)
{
	if (!d->partial)
		d->partial_what = what;
	d->partial = true;
}

/* Bytes of a pointer. */
static inline unsigned
dump_pointer_width(const struct dump *d)
{
	switch (d->arch) {
	case TRIAGE_ARCH_X86:
	case TRIAGE_ARCH_ARM:
	case TRIAGE_ARCH_PPC:
	case TRIAGE_ARCH_MIPS:
	case TRIAGE_ARCH_SPARC:
	case TRIAGE_ARCH_RISCV:
		return 4;
	default:
		return 8;
	}
}

/* Registers of the documented CONTEXT record in r, by the processor (raw_arch: its number in a
 * minidump, 0 elsewhere).  !out->valid when the record is cut or says it has no registers. */
void context_read(struct reader *r, enum triage_arch arch, enum triage_os os, uint16_t raw_arch, struct dump_regs *out);

/* Registers of a thread of the dump just read from that image; !out->valid: the dump does not have them. */
void minidump_thread_context(const struct dump *d, const void *image, size_t size, const struct dump_thread *t,
			     struct dump_regs *out);
void elfcore_thread_context(const struct dump *d, const void *image, size_t size, const struct dump_thread *t,
			    struct dump_regs *out);

/* Readers.  ERR_OK fills *out; else *diag (not NULL) says why. */
enum err minidump_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag);
enum err kdump_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag);
/* Any of the texts; ERR_UNSUPPORTED when it is none of them. */
enum err text_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag);
enum err elfcore_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag);

#endif
