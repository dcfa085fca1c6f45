/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_TRIAGE_H
#define TRIAGE_TRIAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/signature.h"

/* Bytes of a dump in, what happened out.
 *
 * Pure: no file, socket, clock, locale, thread or global state; memory comes from
 * the arena alone (malloc underneath).  Safe on hostile input: every count is checked
 * before it sizes anything, every loop is bounded.  Texts of a result are never
 * NULL, NUL-terminated, valid UTF-8 and live in the arena. */

/* The enums below go over the wire and into the database: append only. */
enum triage_format {
	TRIAGE_FORMAT_UNKNOWN = 0,
	TRIAGE_FORMAT_MINIDUMP,
	TRIAGE_FORMAT_ELFCORE,
	TRIAGE_FORMAT_KDUMP,
	TRIAGE_FORMAT_OOPS,
	TRIAGE_FORMAT_APPLE,       /* crash report, .ips or .crash */
	TRIAGE_FORMAT_APPLE_PANIC, /* kernel panic */
	TRIAGE_FORMAT_TOMBSTONE,
	TRIAGE_FORMAT_MICRODUMP,
	TRIAGE_FORMAT_EVENT, /* lines of the Windows event log */
	TRIAGE_N_FORMATS
};

enum triage_os {
	TRIAGE_OS_UNKNOWN = 0,
	TRIAGE_OS_WINDOWS,
	TRIAGE_OS_LINUX,
	TRIAGE_OS_ANDROID,
	TRIAGE_OS_MACOS,
	TRIAGE_OS_IOS,
	TRIAGE_OS_SOLARIS,
	TRIAGE_OS_PS3,
	TRIAGE_OS_NACL,
	TRIAGE_OS_FUCHSIA,
	TRIAGE_OS_FREEBSD,
	TRIAGE_OS_NETBSD,
	TRIAGE_N_OS
};

enum triage_arch {
	TRIAGE_ARCH_UNKNOWN = 0,
	TRIAGE_ARCH_X86,
	TRIAGE_ARCH_X64,
	TRIAGE_ARCH_ARM,
	TRIAGE_ARCH_ARM64,
	TRIAGE_ARCH_PPC,
	TRIAGE_ARCH_PPC64,
	TRIAGE_ARCH_MIPS,
	TRIAGE_ARCH_MIPS64,
	TRIAGE_ARCH_SPARC,
	TRIAGE_ARCH_IA64,
	TRIAGE_ARCH_RISCV,
	TRIAGE_ARCH_RISCV64,
	TRIAGE_ARCH_S390X,
	TRIAGE_ARCH_LOONGARCH64,
	TRIAGE_N_ARCH
};

/* How a frame was found, weakest first (but reported, which is as good as its reporter). */
enum triage_trust {
	TRIAGE_TRUST_NONE = 0,
	TRIAGE_TRUST_SCAN, /* looks like a return address on the stack */
	TRIAGE_TRUST_FRAME_POINTER,
	TRIAGE_TRUST_CFI,
	TRIAGE_TRUST_CONTEXT,  /* registers of the dump */
	TRIAGE_TRUST_REPORTED, /* as a text has it: found by the crashed system itself, not checked here */
	TRIAGE_N_TRUSTS
};

/* Names as they stand in JSON; "unknown" for values out of range. */
const char *triage_format_name(
	enum triage_format f);                 /* "minidump", "elf-core", "windows-kernel-dump", "linux-oops", … */
const char *triage_os_name(enum triage_os os); /* "windows", "linux", "macos", … */
const char *triage_arch_name(enum triage_arch arch); /* "x86", "x64", "arm", "arm64", … */
const char *triage_trust_name(enum triage_trust t);  /* "context", "cfi", "frame_pointer", "scan", "reported", "none" */

struct triage_module {
	const char *path; /* as the dump has it: data, never opened */
	uint64_t base;
	uint64_t size;
	const char *id;       /* build id for the signature (base/signature.h); "" unknown */
	const char *code_id;  /* as symbol servers write it; "" unknown */
	const char *debug_id; /* Breakpad form, GUID and age; "" unknown */
	const char *version;  /* "10.0.19041.1"; "" unknown */
	uint32_t checksum;    /* of a kernel dump's driver; 0 unknown; not sent between processes */
};

struct triage_frame {
	uint64_t pc;     /* return address - 1 (- 2 arm, - 4 arm64) for caller frames */
	uint64_t offset; /* pc - base of its module; 0 without one */
	int32_t module;  /* index into modules, -1: in none */
	enum triage_trust trust;
	const char *function; /* demangled, without parameters; "" unknown: where an offset is known, a decoration */
	uint64_t function_offset; /* of pc from its start */
	bool in_function;         /* offset counts from the function: the module's base is not known */
};

/* A driver or module that was gone when it happened. */
struct triage_unloaded {
	const char *name; /* kernel dumps keep 12 characters */
	uint64_t start, end;
	uint32_t timestamp; /* of its image; 0 unknown: the kernel does not keep it */
	int64_t gone;       /* when it went, seconds since 1970; 0 unknown: only the kernel's own list tells */
};

/* What only a Windows kernel dump says. */
struct triage_kernel {
	uint32_t bugcheck; /* stop code as written; its name: bugcheck_name() */
	uint64_t params[4];
	bool live;           /* a live dump: no crash, the machine runs on; not sent between processes */
	const char *kind;    /* "triage", "full", "bitmap", "ranges", "header" */
	const char *how;     /* where the registers of frames[0] come from; "" there are none */
	const char *build;   /* "19041.1.amd64fre.vb_release.191206-1406"; "" unknown */
	const char *process; /* that ran; "" unknown */
	uint32_t processors;
	int32_t processor;                      /* that stopped the machine, -1 unknown */
	uint64_t uptime;                        /* seconds; 0 unknown */
	const struct triage_unloaded *unloaded; /* not sent between processes */
	size_t n_unloaded;
};

/* What a dump says about the process and its machine beside the crash.  Texts are "" and numbers 0 where it says
 * nothing.  Not sent between processes. */
struct triage_process {
	const char *command_line; /* may hold secrets */
	const char *distribution; /* "Debian GNU/Linux 12 (bookworm)" */
	const char *cpu;          /* vendor or model */
	uint32_t cpus;
	int64_t started;      /* seconds since 1970 */
	uint64_t user_time;   /* seconds of processor time */
	uint64_t kernel_time; /* same, in the kernel */
	uint32_t handles;
	const char *memory;      /* what lies at the crash address: "free", "reserved", "rw- /usr/lib/libc.so.6", … */
	const char *soft_errors; /* JSON that the writer left about what it could not do (Mozilla) */
	const struct triage_unloaded *unloaded; /* modules that were gone, as the system listed them */
	size_t n_unloaded;
};

struct triage_thread {
	uint32_t tid;
	const char *name; /* "" unknown */
	/* with all_threads: innermost first; of the crashing thread those of the result */
	const struct triage_frame *frames;
	size_t n_frames;
	const char *stack_end; /* why there are no more, "" */
};

struct triage_annotation {
	const char *key;
	const char *value;
};

struct triage_result {
	enum triage_format format;
	enum triage_os os;
	enum triage_arch arch;
	const char *os_version; /* "10.0.19045", kernel release …; "" unknown */

	const char *reason; /* "EXCEPTION_ACCESS_VIOLATION_READ", "SIGSEGV / SEGV_MAPERR"; "" = no crash recorded */
	uint32_t code;      /* exception code or signal number */
	uint32_t subcode;   /* exception flags or si_code */
	bool has_address;
	uint64_t address; /* what the crash was about: fault address, else the pc */

	int32_t crashing_thread; /* index in the dump's thread list, -1: none */
	uint32_t crashing_tid;   /* 0 without one */
	uint32_t thread_count;
	uint32_t module_count;                /* in the dump; n_modules may be fewer after decode */
	uint32_t process_id;                  /* 0 unknown */
	const struct triage_thread *threads;  /* thread_count of them; NULL: not sent between processes */
	const struct triage_process *process; /* NULL: the dump says nothing */
	int64_t dump_time;                    /* seconds since 1970 as the client's clock had it; 0 unknown */

	const struct triage_module *modules; /* [0] is the program itself when the dump says so */
	size_t n_modules;
	const struct triage_frame *frames; /* of the crashing thread; [0] is its context */
	size_t n_frames;
	const char
		*stack_end; /* why there are no more: "outermost", "no caller found", "more frames than the limit", … */
	const struct triage_annotation *annotations; /* what the writer attached, first 64 */
	size_t n_annotations;

	bool os_kernel;  /* the system's kernel failed, not a program */
	bool has_kernel; /* a Windows kernel dump, or an event that tells its stop code */
	struct triage_kernel kernel;

	bool has_signature;     /* false when no crash is recorded */
	int32_t blamed;         /* frame the signature names, -1: none */
	const char *blame_rule; /* why that one: "context", "no-module", "messenger:…", "stop-code" */
	const char *module;     /* normalised name, "" unknown */
	const char *module_id;  /* normalised id */
	uint64_t offset;
	enum reason_class class;
	uint64_t signature; /* signature_hash(…, RUNG_KEY) of these four; of a kernel dump without
			     * a module to blame signature_stop_hash() of code, parameters and os_version */
	const char *title;

	int32_t function_frame;      /* frame the function rung names, -1: no name is known there */
	uint64_t function_signature; /* signature_function_hash() of that frame's module and plain name */
	const char *function;        /* the plain name, "" none */
	const char *function_title;  /* "csagent.sys!CSProcess", "" none */
	const char *function_rule;   /* why that one: "context", "no-module", "messenger: …", "none" */

	bool partial;             /* part of the dump was missing or damaged */
	const char *partial_what; /* first reason for it, "" */
};

/* Is it the stack of an operating system's kernel? */
bool triage_of_kernel(const struct triage_result *res);
struct images;

struct triage_options {
	size_t max_frames; /* 0: TRIAGE_MAX_FRAMES */
	bool all_threads;  /* stacks of the others too: more time, and an arena of TRIAGE_ARENA_ALL_BYTES */
	struct images *
		images; /* programs and symbols at hand (triage/images.h), NULL none; images_trim() stays the caller's */
};

#define TRIAGE_MAX_FRAMES      512
#define TRIAGE_MAX_MODULES     8192
#define TRIAGE_MAX_THREADS     65536
#define TRIAGE_MAX_ANNOTATIONS 64

/* The arena to give a dump of any size: what a result and its working tables can take. */
#define TRIAGE_ARENA_BYTES     ((size_t)32 << 20)
#define TRIAGE_ARENA_ALL_BYTES ((size_t)512 << 20)

/* Analyse image, which is borrowed while the call lasts and not kept: the result
 * holds copies.  opt may be NULL.
 * ERR_OK: *out is filled (look at partial).  Otherwise *out is untouched and *diag
 * (may not be NULL) says what is wrong and where: ERR_UNSUPPORTED when this is no
 * dump we know, ERR_TRUNCATED or ERR_MALFORMED when nothing useful could be read,
 * ERR_LIMIT or ERR_NOMEM from the arena. */
enum err triage_run(struct arena *a, const void *image, size_t size, const struct triage_options *opt,
		    struct triage_result *out, struct diag *diag);

/* What libraries ask the system for once, and keep: call before the process gives up asking it.  Not needed otherwise. */
void triage_prepare(void);

/* ---- results between processes ---- */

#define TRIAGE_WIRE_MAX ((size_t)64 << 10)

/* Write res to buf; returns the bytes used, 0 if cap is too small for a minimum.
 * What does not fit is left out from the end: modules no frame is in, annotations, frames. */
size_t triage_result_encode(const struct triage_result *res, void *buf, size_t cap);

/* Read what an untrusted worker wrote.  Every field is checked again and the
 * signature is computed again from its parts.  buf is not kept and may not change
 * while the call lasts: copy it out of shared memory first. */
enum err triage_result_decode(struct arena *a, const void *buf, size_t size, struct triage_result *out,
			      struct diag *diag);

/* ---- compressed dumps ---- */

enum triage_container {
	TRIAGE_CONTAINER_NONE = 0,
	TRIAGE_CONTAINER_GZIP,
	TRIAGE_CONTAINER_ZSTD,
	TRIAGE_CONTAINER_XZ,
	TRIAGE_CONTAINER_BZIP2,
	TRIAGE_CONTAINER_CAB,  /* a file of it */
	TRIAGE_CONTAINER_FORM, /* multipart/form-data: the dump in it */
};

enum triage_container triage_container_of(const void *image, size_t size);

/* Take what is in a container, and in the containers in it (4 levels), into memory the caller
 * frees with free(): zstd (window up to 8 MiB), gzip, xz (dictionary up to 64 MiB), bzip2, the dump
 * of a cabinet (64 files are looked at) or of a form.  What is no dump by its first 64 KiB is not
 * expanded to its end, of a text only what is read; all levels share a budget that size buys
 * (expand.h).  ERR_LIMIT when any level would grow beyond limit, all beyond the budget, or one needs
 * more memory; ERR_TRUNCATED hands out what there was before the end of the data or, of a dump, of
 * the budget (*out may be used, free it too; diag->what says which); ERR_UNSUPPORTED when there is no
 * dump in it; other failures leave *out NULL. */
enum err triage_expand(const void *image, size_t size, size_t limit, void **out, size_t *out_size, struct diag *diag);

#endif
