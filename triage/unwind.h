/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_UNWIND_H
#define TRIAGE_UNWIND_H

#include "triage/images.h"
#include "triage/module.h"

/* From a frame to its caller.  walk.c asks the unwinders below one after the other, then the
 * frame pointer, then scans; an unwinder is one way to know better, from an image's own data. */

#define UNWIND_REGS 33

/* A frame and its registers, by their DWARF number on that processor:
 *
 *	x64    rax 0, rdx 1, rcx 2, rbx 3, rsi 4, rdi 5, rbp 6, rsp 7, r8 … r15 8 … 15
 *	x86    eax 0, ecx 1, edx 2, ebx 3, esp 4, ebp 5, esi 6, edi 7
 *	arm    r0 … r15 0 … 15 (sp 13, lr 14, pc 15)
 *	arm64  x0 … x30 0 … 30 (fp 29, lr 30), sp 31
 *
 * The program counter stands apart; r[15] of arm is not used. */
struct unwind_frame {
	uint64_t pc; /* what runs next here: of a caller its return address */
	uint64_t r[UNWIND_REGS];
	uint64_t known; /* bit n: r[n] is known; the stack pointer always is */
	/* x86: bytes of arguments that the frame below took from this one, as symbols say; else 0 */
	uint32_t callee_parameters;
	bool exact; /* pc was interrupted (registers of the dump, a signal or trap frame below), not left by a call */
	enum triage_trust trust;
};

enum { UNWIND_X64_BX = 3, UNWIND_X64_BP = 6, UNWIND_X64_SP = 7 };
enum { UNWIND_X86_BX = 3, UNWIND_X86_SP = 4, UNWIND_X86_BP = 5 };
enum { UNWIND_ARM_R7 = 7, UNWIND_ARM_FP = 11, UNWIND_ARM_SP = 13, UNWIND_ARM_LR = 14 };
enum { UNWIND_ARM64_FP = 29, UNWIND_ARM64_LR = 30, UNWIND_ARM64_SP = 31 };

/* The number of the stack pointer, of the frame pointer; 0 on processors we cannot unwind. */
unsigned unwind_sp(enum triage_arch arch);
unsigned unwind_fp(enum triage_arch arch, enum triage_os os);

static inline bool
unwind_known(const struct unwind_frame *f, unsigned reg)
{
	return reg < UNWIND_REGS && f->known >> reg & 1;
}

static inline void
unwind_set(struct unwind_frame *f, unsigned reg, uint64_t value)
{
	f->r[reg] = value;
	f->known |= UINT64_C(1) << reg;
}

/* Where to look a frame's pc up: inside the instruction, not behind the call. */
uint64_t unwind_lookup_pc(enum triage_arch arch, const struct unwind_frame *f);

/* One walk.  Lives in the arena of the dump. */
struct unwind {
	struct arena *arena;
	enum triage_arch arch;
	enum triage_os os;
	bool big_endian;
	unsigned width; /* bytes of a pointer */
	const struct module_index *mi;
	struct images *images; /* NULL: none are at hand */

	/* Memory of the dump: bytes at addr and how many follow; NULL: not there. */
	const uint8_t *(*at)(const void *arg, uint64_t addr, uint64_t *len_out);
	const void *arg;

	uint64_t work;   /* what is left of reads and instructions of unwind data; at 0 everything fails */
	const char *why; /* the walk ended for this reason (damaged or endless unwind data), else "" */

	struct unwind_module **modules; /* images of mi->modules, as far as asked for */
};

#define UNWIND_WORK UINT64_C(2000000)

/* Prepare u, whose arch, os, big_endian, mi, images, at and arg are set.  ERR_OK (then unwind_fini() ends it) or
 * ERR_LIMIT. */
enum err unwind_init(struct unwind *u, struct arena *a);

/* Release what libraries keep about images in the dump's memory. */
void unwind_fini(struct unwind *u);

/* Memory of the process: of the dump; what the dump lacks, from the images of its modules, but only what the
 * process could not write.  False: not known, or no work is left. */
bool unwind_read(struct unwind *u, uint64_t addr, void *out, size_t len);
bool unwind_uint(struct unwind *u, uint64_t addr, unsigned width, uint64_t *out); /* in the dump's byte order */
bool unwind_pointer(struct unwind *u, uint64_t addr, uint64_t *out);

/* Take n from the work that is left; false: there was not enough, u->why says so. */
bool unwind_work(struct unwind *u, uint64_t n);

/* The image of module i (-1 is fine): from the images at hand by its identity, else, for those with code, from the
 * memory of the dump if that holds its headers.  NULL: not known.  Cached; valid as long as the walk. */
struct elfimage *unwind_elf(struct unwind *u, int32_t i);
struct peimage *unwind_pe(struct unwind *u, int32_t i);
struct symfile *unwind_symfile(struct unwind *u, int32_t i);

/* Name of the function at a pc of module i and its distance from the function's start; "" not known. */
const char *unwind_function(struct unwind *u, int32_t i, uint64_t offset, uint64_t *distance_out);

/* Whether a return address can be pc: its module has code there (when that is known) and a call ends there (when the
 * bytes are known). */
bool unwind_is_return(struct unwind *u, uint64_t pc);

enum unwind_outcome {
	UNWIND_UNKNOWN,   /* nothing known for this pc: the next way is tried */
	UNWIND_CALLER,    /* *caller is filled: pc, known registers, exact; trust stays the walk's to set */
	UNWIND_OUTERMOST, /* the unwind data says that there is no caller */
	UNWIND_DAMAGED, /* unwind data is there and makes no sense, or needs memory that is missing; u->why may say more */
};

static inline enum unwind_outcome
unwind_damaged(struct unwind *u, const char *why)
{
	if (*u->why == '\0')
		u->why = why;
	return UNWIND_DAMAGED;
}

/* A way to step.  step() may look at anything of u and changes nothing but u->work and u->why. */
struct unwinder {
	const char *name;
	enum unwind_outcome (*step)(struct unwind *u, const struct unwind_frame *f, int32_t module,
				    struct unwind_frame *caller);
};

extern const struct unwinder unwinder_libunwind; /* x64 ELF: unwind_libunwind.c */
extern const struct unwinder unwinder_dw;        /* other ELF: unwind_dw.c */

#endif
