/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include <stdint.h>

/* Why an operation on untrusted input stopped.  Values are stored in the
 * database and exported as metric labels: append only, never renumber. */
enum err {
	ERR_OK = 0,
	ERR_TRUNCATED,   /* input ends before the format says it does */
	ERR_MALFORMED,   /* input contradicts itself */
	ERR_LIMIT,       /* input is legal but exceeds a configured limit */
	ERR_UNSUPPORTED, /* input is legal and we do not handle it */
	ERR_ABSENT,      /* the dump does not contain that memory */
	ERR_NOMEM,
	ERR_TIMEOUT, /* analysing it took too long */
	ERR_CRASHED, /* analysing it killed the worker */
};

/* First failure and where it happened. */
struct diag {
	enum err code;
	const char *what; /* static string, never freed, safe to store */
	uint64_t at;      /* absolute offset in the input, in bytes */
};

#endif
