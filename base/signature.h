/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SIGNATURE_H
#define BASE_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* What a crash is counted under: one definition for clients, gates, ledger and
 * triage.  The algorithm with test vectors is docs/SIGNATURES.md.
 * Everything here is pure, allocates nothing and may run on any thread.
 * Texts may hold any bytes. */

/* Part of the signature and of the database: append only. */
enum reason_class {
	REASON_OTHER = 0,
	REASON_ACCESS,  /* bad address, bad rights */
	REASON_ILLEGAL, /* instruction or system call that does not exist */
	REASON_ARITHMETIC,
	REASON_ABORT,    /* the program gave up by itself */
	REASON_FASTFAIL, /* heap or stack protection fired */
	REASON_STACK,    /* stack exhausted, double fault */
	REASON_WATCHDOG, /* hang, time-out */
	REASON_HARDWARE, /* machine check, I/O error behind a mapping */
	REASON_ASSERT,   /* trap, breakpoint, the kernel's own checks */
	REASON_N_CLASSES
};

/* Class of a reason as people and dumps write it: "SIGSEGV /SEGV_MAPERR",
 * "EXC_BAD_ACCESS / KERN_INVALID_ADDRESS", "EXCEPTION_ACCESS_VIOLATION_READ",
 * "PAGE_FAULT_IN_NONPAGED_AREA", "0x50", "BUGCHECK 0x50 (…)", "0xc0000005",
 * "Kernel panic - not syncing: …".  REASON_OTHER when nothing is known. */
enum reason_class reason_class_of(const char *reason, size_t len);

/* Same for a number alone: NTSTATUS (0x40000000 and above) or Windows stop code. */
enum reason_class reason_class_of_code(uint64_t code);

const char *reason_class_name(enum reason_class c); /* "access"; "other" for values out of range */
int reason_class_parse(const char *s, size_t len);  /* -1 when it is no class */

/* "PAGE_FAULT_IN_NONPAGED_AREA" for 0x50; NULL when unknown. */
const char *bugcheck_name(uint64_t code);

#define MODULE_NAME_MAX 255 /* bytes of a normalised name, without a NUL */
#define MODULE_ID_MAX   64  /* bytes of a normalised id, without a NUL */

/* A module and a place in it.  The functions below normalise what they are given,
 * so raw client claims and already normalised texts give the same ids. */
struct signature_key {
	struct text module;    /* path or name; empty: no module is known */
	struct text module_id; /* build id; empty when unknown */
	uint64_t offset;       /* in the module; 0 when no module is known */
	enum reason_class reason;
};

/* Base name; ASCII lower-case when the module is a PE image (by path, suffix or
 * shape of its id); " (deleted)" and "x.apk!" removed; cut at MODULE_NAME_MAX.
 * Writes at most cap bytes including a final NUL, cap > 0; returns the length. */
size_t module_name_normalise(struct text name, struct text id, char *out, size_t cap);

/* Length of the module's part of a normalised name.  "amdgpu!amdgpu_vm_fini" is a function of
 * a module whose base is not known: the offset counts from the function, and the rungs above the
 * key are those of "amdgpu". */
size_t module_name_bare(struct text name);

/* Lower-case hex without dashes and braces; a UUID's trailing age 0 removed. */
size_t module_id_normalise(struct text id, char *out, size_t cap);

/* What a report votes for, most exact first.  Append only. */
enum signature_rung {
	RUNG_KEY = 0,  /* (module, id, offset, reason class) */
	RUNG_BUILD,    /* (module, id) */
	RUNG_MODULE,   /* (module) */
	RUNG_KERNEL,   /* any kernel crash; ignores the key */
	RUNG_ANY,      /* any crash; ignores the key */
	RUNG_STOP,     /* provisional: stop code without a place, see signature_stop_hash() */
	RUNG_FUNCTION, /* (module, function) by name, see signature_function_hash() */
	RUNG_N
};
const char *signature_rung_name(enum signature_rung rung);

#define SIGNATURE_TEXT_MAX 512 /* canonical text with its NUL */
#define SIGNATURE_ID_LEN   20  /* "s1-" + 16 hex + NUL */

/* The canonical text that is hashed (NUL-terminated; returns its length). */
size_t signature_text(const struct signature_key *key, enum signature_rung rung, char out[SIGNATURE_TEXT_MAX]);

/* First 8 bytes of SHA-256 over the canonical text, most significant first.
 * A key or build without a module name has a hash too: callers that must not
 * count unknown modules check for it themselves. */
uint64_t signature_hash(const struct signature_key *key, enum signature_rung rung);

void signature_id(const struct signature_key *key, char out[SIGNATURE_ID_LEN]);
char *signature_id_text(uint64_t hash, char out[SIGNATURE_ID_LEN]);
int signature_id_parse(const char *s, size_t len, uint64_t *hash_out); /* -1: not an id */

/* "csagent.sys+0xe14ed", "libc.so.6+0x1", "unknown" without a module.  Valid UTF-8
 * without control characters whatever the name; returns the length. */
size_t signature_title(const struct signature_key *key, char *out, size_t cap);

/* A function by name, in any build of its module: what symbols add to the rungs above.
 * function: its plain name (docs/SIGNATURES.md), at most SIGNATURE_FUNCTION_MAX bytes are used. */
#define SIGNATURE_FUNCTION_MAX 160
struct function_key {
	struct text module, module_id; /* as in signature_key; the id only tells how the name is written */
	struct text function;
};
size_t signature_function_text(const struct function_key *key, char out[SIGNATURE_TEXT_MAX]);
uint64_t signature_function_hash(const struct function_key *key);
/* "csagent.sys!CSProcess"; same guarantees as signature_title(). */
size_t signature_function_title(const struct function_key *key, char *out, size_t cap);

/* A kernel report that carries only a stop code. */
struct stop_key {
	uint64_t code;
	size_t n_params; /* at most 4 are used */
	uint64_t params[4];
	struct text os_build;
};

/* One word per parameter: "0", a literal below 0x1000 ("0x2"), an NTSTATUS
 * ("0xc0000005"), "kernel" or "user" for addresses. */
size_t signature_stop_text(const struct stop_key *key, char out[SIGNATURE_TEXT_MAX]);
uint64_t signature_stop_hash(const struct stop_key *key);
size_t signature_stop_title(const struct stop_key *key, char *out, size_t cap);

#endif
