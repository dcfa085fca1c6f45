/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_INCOMING_H
#define BASE_INCOMING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"

/* Files that strangers send, kept under the hash of what they hold.  They arrive in a folder of their own, which a
 * restart sweeps, and have their name only once they are on the disk. */
struct incoming {
	struct sha256 *hash; /* NULL: taken by the owner, or not open */
	uint64_t size;       /* bytes written so far */
	int folder, fd;      /* fd -1: not open */
	char name[32];       /* in folder, until it is kept */
};

/* Begin file number `serial` (not in use) in folder.  False: it cannot be created, and *f is closed. */
bool incoming_open(struct incoming *f, int folder, uint64_t serial);

/* Append and hash.  *bytes grows by what was written, also when the disk then refuses the rest: false, errno. */
bool incoming_write(struct incoming *f, const void *data, size_t len, _Atomic uint64_t *bytes);

/* Flush the file and give it its name, for reading only; a file of that name gives way.  The folder it is named in is
 * for the caller to flush.  False: errno, and it lies where it was. */
bool incoming_keep(struct incoming *f, int at, const char *name);

/* Take the file away, and its bytes out of *bytes.  Not after incoming_keep() succeeded. */
void incoming_discard(struct incoming *f, _Atomic uint64_t *bytes);

/* Close the descriptor and forget the hash; the file stays.  Fine on one that is closed. */
void incoming_close(struct incoming *f);

/* The folder `path` in folder `at`, made if it is missing.  -1: errno. */
int folder_open(int at, const char *path);

/* Flush the names of folder `path` in folder `at`. */
bool folder_sync(int at, const char *path);

/* Remove every file of a folder whose name does not begin with a dot. */
void folder_sweep(int folder);

#endif
