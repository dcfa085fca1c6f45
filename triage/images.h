/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_IMAGES_H
#define TRIAGE_IMAGES_H

#include "triage/elfimage.h"
#include "triage/peimage.h"
#include "triage/symfile.h"
#include "triage/triage.h"

/* Programs, libraries, drivers and symbol files at hand, by identity.
 *
 * The library opens no file: whoever has them (a directory, the daemon's store through a
 * confined worker's socket) gives a struct image_opener.  What was opened and read stays for
 * later dumps up to a limit.  One thread. */

enum image_kind {
	IMAGE_CODE,  /* the ELF or PE file that runs */
	IMAGE_DEBUG, /* the ELF file with its symbols, split off */
	IMAGE_SYM,   /* Breakpad text symbols */
	IMAGE_N_KINDS
};
const char *image_kind_name(enum image_kind kind); /* "code", "debug", "sym" */

#define IMAGE_ID_MAX   80  /* of an id with its NUL */
#define IMAGE_NAME_MAX 256 /* of a file name with its NUL */

/* What a module says that its image is.  Everything comes from a dump, so it was cleaned: ids are lower-case hex,
 * names have no '/', '\', control character or leading '.'; each is "" when not known or not usable. */
struct image_key {
	char code_id[IMAGE_ID_MAX];  /* ELF build id, or PE time stamp and size as one number */
	char debug_id[IMAGE_ID_MAX]; /* GUID and age */
	char name[IMAGE_NAME_MAX];   /* of the file that runs */
	bool pe;                     /* code_id is of a PE image */
};

/* The identity of a module of a dump; false: nothing to look it up by. */
bool image_key_of(const struct triage_module *m, struct image_key *out);

struct image_file {
	const void *bytes; /* may not change or go while open */
	size_t size;
	void *handle; /* the opener's */
};

struct image_opener {
	/* A file for which image_matches() is true.  False: there is none (asked again only after images_forget()). */
	bool (*open)(void *arg, const struct image_key *key, enum image_kind kind, struct image_file *out);
	void (*close)(void *arg, struct image_file *f);
	void *arg;
};

struct images;

struct images_limits {
	uint64_t file_bytes; /* of all files open between dumps */
	size_t files;        /* number of these */
	size_t memory;       /* of one file's tables */
};
#define IMAGES_FILE_BYTES (UINT64_C(1) << 30)
#define IMAGES_FILES      256
#define IMAGES_MEMORY     ((size_t)128 << 20)

struct images *images_new(const struct image_opener *o,
			  const struct images_limits *l); /* NULL: out of memory; l may be NULL */
void images_free(struct images *s);                       /* NULL is fine */

/* What was absent may be there now. */
void images_forget(struct images *s);

/* Close what is over the limits, longest unused first.  Call between dumps: pointers handed out are void then. */
void images_trim(struct images *s);

/* What is known of a module, NULL when nothing is.  A file whose own identity is not the key's is not used. */
struct elfimage *images_elf(struct images *s, const struct image_key *key);
struct elfimage *images_debug(struct images *s, const struct image_key *key);
struct peimage *images_pe(struct images *s, const struct image_key *key);
struct symfile *images_sym(struct images *s, const struct image_key *key);

/* Is this file the one that was asked for? */
bool image_matches(const void *bytes, size_t size, const struct image_key *key, enum image_kind kind);

/* What a file says that it is, for whoever keeps files: kind, ids, name.  ERR_OK, or why it is none that we take:
 * ERR_UNSUPPORTED no image we know, ERR_ABSENT without an id, ERR_TRUNCATED, ERR_MALFORMED, ERR_LIMIT. */
struct image_identity {
	enum image_kind kind;
	struct image_key key;
	enum triage_arch arch;
	bool has_unwind;    /* .eh_frame, .debug_frame, .pdata or STACK records */
	bool has_functions; /* names of any kind */
};
enum err image_identify(const void *bytes, size_t size, struct image_identity *out, struct diag *diag);

#endif
