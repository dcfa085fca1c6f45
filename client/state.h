/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_STATE_H
#define CLIENT_STATE_H

#include <stddef.h>
#include <stdint.h>

/* Epoch and sequence of this installation, kept in a file so that no number is ever used
 * for two reports.  Numbers are reserved in blocks: after a kill some are left out, which
 * the server does not mind. */
struct state {
	char *path; /* NULL: not kept */
	uint64_t epoch;
	uint64_t next, reserved; /* numbers below `reserved` may be used */
};

/* Read or make it.  -1 with a sentence in err. */
int state_open(struct state *s, const char *path, char *err, size_t err_size);
void state_close(struct state *s);

/* The next number, 0 if it could not be reserved (errno tells). */
uint64_t state_take(struct state *s);

#endif
