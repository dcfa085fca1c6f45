/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_KDUMP_H
#define TRIAGE_KDUMP_H

#include "base/reader.h"
#include "triage/bugcheck.h"
#include "triage/dump.h"
#include "triage/module.h"
#include "triage/walk.h"

/* Windows kernel dumps.  Shared by the reader's files; triage.c uses the last part.
 *
 * A dump holds memory by virtual address (triage dumps: data blocks) or by physical
 * page (all others), reached by the page tables that are in the dump themselves.
 * Nothing is copied but the stack of the processor that stopped. */

/* Pages that follow one another in the address space and in the file. */
struct kd_run {
	uint64_t pfn, count;
	uint64_t first; /* number of its first page in the file */
};

#define KD_PAGE         4096u
#define KD_MAX_RUNS     262144 /* of ranges; the header's own list has 42 at most */
#define KD_MAX_BLOCKS   262144
#define KD_MAX_UNLOADED 512
#define KD_STACK_MAX    (128u << 10)

struct kd_pages {
	uint64_t at;               /* file offset of page 0 */
	const struct kd_run *runs; /* by pfn */
	size_t n_runs;
	const uint8_t *bits; /* or: bit per pfn; NULL */
	uint64_t n_bits, n_present;
	const uint32_t *rank; /* set bits before each KD_RANK_BITS of them */
};
#define KD_RANK_BITS 2048u

/* KDDEBUGGER_DATA64, what of it is used. */
struct kd_debugger {
	bool valid;
	uint64_t module_list, build_lab, processor_block, unloaded;
	uint16_t prcb_number, prcb_context, prcb_thread, prcb_size, thread_process, process_size;
};

struct kd {
	struct arena *arena;
	struct reader file; /* whole image; errors never stick: copies are read */
	struct dump *d;
	bool is64, pae;
	bool five_levels; /* of page tables */
	unsigned width;   /* of a pointer */
	size_t header_size;

	/* header; absent fields are 0 */
	uint32_t build, processors, bugcheck, type;
	uint64_t params[4];
	uint64_t dtb, module_list, debugger_at;
	uint64_t uptime;
	bool live; /* no crash: the machine runs on */
	size_t runs_at, context_at, context_size, exception_at;

	const char *kind;
	struct mem blocks;     /* triage dumps */
	struct kd_pages pages; /* the others */
	struct kd_debugger debugger;
	uint64_t prcb_at, process_at; /* in the file (triage dumps), 0 not there */
	uint64_t stack_top;           /* TopOfStack of a triage dump, 0 */
	int32_t processor;
	const char *build_lab, *process, *how;

	struct triage_unloaded *unloaded;
	size_t n_unloaded;
	bool fault_unloaded; /* the last module is a driver that was gone, and the fault is in it */
	struct module_index modules;
	struct mem_region stack; /* of the processor that stopped */

	const struct bugcheck *about;
	struct dump_regs stopped; /* at KeBugCheckEx, as the header or the processor block have them */
	bool fault_found;         /* d->regs are the fault's, not those of the stop itself */
	bool pc_only;             /* of d->regs only the pc is the fault's */
	enum triage_trust trust;  /* of d->regs */
};

/* Seconds since 1970 of a FILETIME, 0 for one that is none. */
int64_t kd_time(uint64_t filetime);

/* ---- kdump_memory.c ---- */

/* len bytes at a file offset, NULL when they are not all there. */
const uint8_t *kd_file(const struct kd *k, uint64_t at, uint64_t len);

/* Prepare the physical pages of a dump of that kind.  ERR_OK (k->pages may be empty, the dump
 * then partial) or ERR_LIMIT. */
enum err kd_pages_open(struct kd *k);

/* Bytes at virtual address va and how many follow without a break; NULL: not in the dump.
 * Works for every kind of dump once blocks or pages are there. */
const uint8_t *kd_at(const struct kd *k, uint64_t va, uint64_t *len_out);

/* Whether the list of drivers can be reached, with page tables of four levels or of five. */
bool kd_find_levels(struct kd *k, uint64_t va);

/* Copy len bytes, across pages and blocks; false when one is missing. */
bool kd_read(const struct kd *k, uint64_t va, void *out, size_t len);

/* Little-endian number of width 1, 2, 4 or 8; a pointer. */
bool kd_uint(const struct kd *k, uint64_t va, unsigned width, uint64_t *out);
bool kd_pointer(const struct kd *k, uint64_t va, uint64_t *out);

/* ---- kdump_triage.c ---- */
enum err kd_triage_open(struct kd *k); /* blocks, drivers, unloaded drivers, stack; ERR_OK or ERR_LIMIT */

/* ---- kdump_modules.c ---- */
enum err kd_modules_of_list(struct kd *k);             /* PsLoadedModuleList */
enum err kd_unloaded_of_memory(struct kd *k);          /* MmUnloadedDrivers */
void kd_debugger_data(struct kd *k, struct reader *r); /* of a copy of the block */
void kd_identity(struct kd *k);                        /* build text, processor, process */

/* A module record; false when it is none (no size, wraps). */
bool kd_module(struct kd *k, struct triage_module *m, uint64_t base, uint32_t size, uint32_t timestamp,
	       uint32_t checksum);

/* ---- kdump_fault.c ---- */

/* The registers where it really happened, the address, the reason. */
enum err kd_fault(struct kd *k);

/* Kernel address without pointer authentication bits. */
uint64_t kd_strip(const struct kd *k, uint64_t p);

/* ---- for triage.c ---- */

/* Frames of the processor that stopped, from d->regs on: by the unwind data of images (NULL is fine) and of what the
 * dump holds of its drivers, else by frame records, else by scanning.  ERR_OK or ERR_LIMIT. */
enum err kdump_walk(struct kd *k, struct images *images, size_t max_frames, struct walk_result *out);

/* Set blamed and blame_rule; -1: only the stop code can be counted. */
void kdump_blame(const struct kd *k, struct triage_result *res);

void kdump_facts(const struct kd *k, struct triage_kernel *out);

#endif
