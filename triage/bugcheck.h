/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_BUGCHECK_H
#define TRIAGE_BUGCHECK_H

#include <stddef.h>
#include <stdint.h>

/* Windows stop codes as data: what their parameters mean, which of them lead to the
 * place of the fault, and how far a module may be blamed for one.  Pure tables. */

/* Who can be blamed when the fault itself is in a messenger, or has no place. */
enum bugcheck_blame {
	BUGCHECK_BLAME_CALLER = 0, /* only a driver that itself asked for the stop */
	BUGCHECK_BLAME_FAULT,      /* there is a faulting instruction; from a messenger on to its caller */
	BUGCHECK_BLAME_STACK,      /* the kernel noticed what the driver that called it did */
	BUGCHECK_BLAME_NONE,       /* the stack is not the culprit's: hardware, lost processes, power */
};

enum bugcheck_access { BUGCHECK_ACCESS_UNKNOWN = 0, BUGCHECK_READ, BUGCHECK_WRITE, BUGCHECK_EXECUTE };

/* Numbers of parameters, 1 to 4; 0: none of them is that. */
struct bugcheck {
	uint32_t code;
	enum bugcheck_blame blame;
	uint8_t ip;             /* faulting instruction */
	uint8_t context;        /* pointer to its CONTEXT */
	uint8_t record;         /* pointer to its EXCEPTION_RECORD */
	uint8_t trap;           /* pointer to its KTRAP_FRAME */
	uint8_t status;         /* exception code */
	uint8_t address;        /* memory that was touched */
	uint8_t access;         /* how */
	const char *meaning[4]; /* "" nothing is known */
};

/* The bit that some writers of small dumps add to a code: the meaning stays. */
#define BUGCHECK_SMALL_DUMP_BIT UINT32_C(0x10000000)

/* A row for any code: unlisted ones have no parameters that are known.  Never NULL. */
const struct bugcheck *bugcheck_find(uint32_t code);

/* What the value of parameter n (0 to 3) stands for, where it is one of a list: the kind of
 * pool corruption, of a fast fail, …; depends on the code and, for n > 0, on nothing else.
 * NULL: it is not one we know. */
const char *bugcheck_value(uint32_t code, unsigned n, uint64_t value);

/* How memory was touched, from the parameter that says so. */
enum bugcheck_access bugcheck_access(const struct bugcheck *b, const uint64_t params[4]);
const char *bugcheck_access_name(enum bugcheck_access a); /* "read", "write", "execution"; "access" */

#endif
