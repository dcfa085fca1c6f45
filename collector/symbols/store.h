/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_SYMBOLS_STORE_H
#define COLLECTOR_SYMBOLS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/crypto.h"
#include "base/mailbox.h"
#include "triage/images.h"

struct log;

/* The images and symbol files we keep: immutable files (0400) named by their SHA-256 and what
 * they were called, DATA/symbols/files/ab/<64 hex>-<name>, and links by their ids,
 * DATA/symbols/by-id/<kind>/<id>.  The links follow from the files: what a crash leaves of them is
 * put right when the store is opened.  So nothing but files has to be backed up, and the folder is one
 * that `faultline triage --symbols` reads in place.
 *
 * A file is streamed into DATA/symbols/incoming/; symbols_commit() hands it to the store's own thread, which
 * reads what it is, flushes it, gives it its name and posts the outcome.  Of two files with one id
 * (stripped and not) the larger one is found.
 *
 * Threads: a struct symbols is for any thread; a writer for one thread at a time. */
struct symbols;
struct symbol_writer;

#define SYMBOL_NAME_MAX 128 /* of a name that is kept, with its NUL */

struct symbols_options {
	uint64_t keep_bytes; /* of all files */
	uint64_t max_file;   /* of one */
};

/* Opens (creates) the store below data_dir, starts its thread.  dirs: more directories to look into, separated by
 * ':' (collector/symbols/dirs.h).  log: whose free space stops uploads; NULL none.  NULL with a sentence in err. */
struct symbols *symbols_open(const char *data_dir, const char *dirs, const struct symbols_options *o, struct log *log,
			     char *err, size_t err_size);
void symbols_close(struct symbols *s); /* finishes what was committed; NULL is fine */
void symbols_configure(struct symbols *s, const struct symbols_options *o);

/* ---- adding ---- */

/* NULL with *why_out.  name: what the file is called, "" not known; only its last part is used. */
struct symbol_writer *symbols_begin(struct symbols *s, const char *name, enum discard *why_out);
enum discard symbols_write(struct symbol_writer *w, const void *data, size_t len); /* DISCARD_none: written */
uint64_t symbols_written(const struct symbol_writer *w);
void symbols_abandon(struct symbol_writer *w); /* NULL is fine */

/* One file of the store. */
struct symbol_file {
	uint8_t sha256[SHA256_BYTES];
	uint64_t size;
	int64_t added_us; /* wall clock */
	struct image_identity id;
	char name[SYMBOL_NAME_MAX];
};

/* The caller owns it and leaves it alone until done() has run: exactly once, on the thread
 * that dispatches `reply`. */
struct symbols_commit {
	struct mailbox *reply;
	void (*done)(struct symbols_commit *c);
	void *arg;
	/* filled before done() runs: */
	enum discard refused; /* DISCARD_none: file is kept */
	const char *what;     /* of a refusal: what is wrong with the file, NULL nothing to add */
	bool duplicate;       /* it was there before */
	struct symbol_file file;
	/* the store's: */
	struct symbol_writer *writer;
	struct mail mail;
};
void symbols_commit(struct symbol_writer *w, struct symbols_commit *c); /* consumes w; never blocks */
void symbols_dispatch(struct mailbox *reply);

/* ---- what is there ---- */

/* Copies of the files from the first whose hash is not below `from` on, by hash; at most max.  Returns how many. */
size_t symbols_list(struct symbols *s, const uint8_t from[SHA256_BYTES], struct symbol_file *out, size_t max);
void symbols_count(struct symbols *s, uint64_t *files_out, uint64_t *bytes_out);

/* False: no such file. */
bool symbols_remove(struct symbols *s, const uint8_t sha256[SHA256_BYTES]);

/* ---- for triage ---- */

/* Rises whenever a file came or went; 0: there is nothing at all and never was a directory. */
uint32_t symbols_generation(struct symbols *s);

/* symbol_dirs_open() over the store and then the directories. */
int symbols_open_image(struct symbols *s, const struct image_key *key, enum image_kind kind, unsigned at,
		       unsigned *at_out, uint64_t *size_out);

#endif
