/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DUMPFILE_H
#define CLI_DUMPFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"

/* A dump named on a command line: its bytes, to read, and to write without changing the file. */
struct dumpfile {
	void *p;
	size_t size;
	bool mapped;
};

/* "-" is standard input.  NULL, or what is wrong; then *out is empty. */
const char *dumpfile_open(const char *path, struct dumpfile *out);

/* Replace a compressed dump by what is in it; *truncated: it ends early.  NULL, or what is wrong. */
const char *dumpfile_expand(struct dumpfile *f, bool *truncated, struct diag *diag);

void dumpfile_close(struct dumpfile *f);

#endif
