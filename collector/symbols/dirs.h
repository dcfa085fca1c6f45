/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_SYMBOLS_DIRS_H
#define COLLECTOR_SYMBOLS_DIRS_H

#include <stddef.h>
#include <stdint.h>

#include "triage/images.h"

/* Directories of images and symbols in the layouts that symbol servers and distributions use,
 * read in place (docs/SYMBOLS.md):
 *
 *	Microsoft     NAME/STAMPsize/NAME, NAME.pdb/GUIDage/NAME.sym
 *	Breakpad      NAME/GUIDage/NAME.sym
 *	build ids     .build-id/ab/cdef…, .build-id/ab/cdef….debug
 *	debuginfod    ID/executable, ID/debuginfo, and the same below ab/cdef…/
 *	our own       by-id/KIND/ID
 *	plain         NAME, NAME.debug, NAME.sym
 *
 * Nothing is indexed: a key has a dozen places where its file can be, which are tried.  Any thread. */
struct symbol_dirs;

/* paths: directories, separated by ':'.  Ones that cannot be opened are left out, and counted in *missing_out (may
 * be NULL).  NULL: out of memory. */
struct symbol_dirs *symbol_dirs_new(const char *paths, size_t *missing_out);
void symbol_dirs_free(struct symbol_dirs *d); /* NULL is fine */
size_t symbol_dirs_count(const struct symbol_dirs *d);

/* A read-only descriptor of a file that may be the one asked for (its own identity is the caller's to compare), or
 * -1.  at: 0, then one more than that of the candidate that was no good; *at_out is where this one was found. */
int symbol_dirs_open(const struct symbol_dirs *d, const struct image_key *key, enum image_kind kind, unsigned at,
		     unsigned *at_out, uint64_t *size_out);

#endif
