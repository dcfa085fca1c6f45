/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "triage/images.h"

#define MAX_ENTRIES 4096u /* absent ones included */

struct entry {
	uint64_t hash;
	struct image_key key;
	enum image_kind kind;
	bool open; /* else absent, or not what it should be */
	struct image_file file;
	struct arena *arena;
	struct elfimage *elf; /* one of these if open */
	struct peimage *pe;
	struct symfile *sym;
	uint64_t used;
};

struct images {
	struct image_opener opener;
	struct images_limits limits;
	struct entry **entries;
	size_t n;
	uint64_t turn;
};

const char *
image_kind_name(enum image_kind kind)
{
	static const char *const names[IMAGE_N_KINDS] = { "code", "debug", "sym" };

	return (unsigned)kind < IMAGE_N_KINDS ? names[kind] : "unknown";
}

/* ---- identity ---- */

static void
clean_id(const char *s, char out[IMAGE_ID_MAX])
{
	size_t n = 0;

	for (; *s != '\0' && n < IMAGE_ID_MAX - 1; s++) {
		char c = (char)(*s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s);

		if (c == '-' || c == '{' || c == '}')
			continue;
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
			n = 0;
			break;
		}
		out[n++] = c;
	}
	out[n] = '\0';
}

static void
clean_name(const char *path, char out[IMAGE_NAME_MAX])
{
	const char *base = path;
	size_t n = 0;

	for (const char *p = path; *p != '\0'; p++)
		if (*p == '/' || *p == '\\')
			base = p + 1;
	for (; base[n] != '\0' && n < IMAGE_NAME_MAX - 1; n++) {
		if ((unsigned char)base[n] < ' ' || base[n] == 0x7f)
			break;
		out[n] = base[n];
	}
	if (base[n] != '\0' || base[0] == '.')
		n = 0;
	out[n] = '\0';
}

/* Breakpad's id of an ELF image: the first 16 bytes of its build id as a GUID, age 0. */
static void
debug_id_of(const char *build_id, char out[IMAGE_ID_MAX])
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	const size_t len = strlen(build_id);

	out[0] = '\0';
	if (len == 0)
		return;
	for (size_t i = 0; i < 32; i++) {
		size_t at = 2 * (size_t)order[i / 2] + i % 2;

		out[i] = at < len ? build_id[at] : '0';
	}
	memcpy(out + 32, "0", 2);
}

bool
image_key_of(const struct triage_module *m, struct image_key *out)
{
	char id[IMAGE_ID_MAX];
	size_t n;

	*out = (struct image_key){ .pe = false };
	clean_id(m->code_id, out->code_id);
	clean_id(m->debug_id, out->debug_id);
	clean_id(m->id, id);
	clean_name(m->path, out->name);
	n = strlen(out->code_id);
	if (n >= 9 && n <= 15) {
		out->pe = strcmp(id, out->code_id) == 0;
		if (!out->pe) /* old Linux writers: zero and the size */
			out->code_id[0] = '\0';
	}
	return out->code_id[0] != '\0' || out->debug_id[0] != '\0';
}

static bool
elf_matches(const struct elfimage *e, const struct image_key *key)
{
	char debug_id[IMAGE_ID_MAX];
	const char *id = elfimage_build_id(e);

	if (*id == '\0')
		return false;
	if (key->code_id[0] != '\0')
		return strcmp(id, key->code_id) == 0;
	debug_id_of(id, debug_id);
	return strcmp(debug_id, key->debug_id) == 0;
}

static bool
sym_matches(const struct symfile *s, const struct image_key *key)
{
	if (key->debug_id[0] != '\0')
		return strcmp(s->debug_id, key->debug_id) == 0;
	return s->code_id[0] != '\0' && strcmp(s->code_id, key->code_id) == 0;
}

/* ---- entries ---- */

static uint64_t
hash_of(const struct image_key *key, enum image_kind kind)
{
	uint64_t h = 0xcbf29ce484222325 + kind;

	for (const char *p = key->code_id; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3;
	h = (h ^ '/') * 0x100000001b3;
	for (const char *p = key->debug_id; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3;
	return h;
}

static void
entry_free(struct images *s, struct entry *e)
{
	if (e == NULL)
		return;
	elfimage_close(e->elf);
	arena_free(e->arena);
	if (e->file.bytes != NULL)
		s->opener.close(s->opener.arg, &e->file);
	free(e);
}

/* Read the file that was opened; what is no such image, or another one, stays unused. */
static void
take(const struct images *s, struct entry *e)
{
	static const uint8_t elf[4] = { 0x7f, 'E', 'L', 'F' };
	struct diag diag;

	if ((e->arena = arena_new(s->limits.memory)) == NULL)
		return;
	if (e->kind == IMAGE_SYM) {
		e->open = symfile_open(e->arena, e->file.bytes, e->file.size, &e->sym, &diag) == ERR_OK &&
			  sym_matches(e->sym, &e->key);
	} else if (e->file.size >= 4 && memcmp(e->file.bytes, elf, 4) == 0) {
		e->open = elfimage_open(e->arena, e->file.bytes, e->file.size, &e->elf, &diag) == ERR_OK &&
			  elf_matches(e->elf, &e->key) && elfimage_has_code(e->elf) == (e->kind == IMAGE_CODE);
	} else {
		e->open = e->kind == IMAGE_CODE &&
			  peimage_open(e->arena, e->file.bytes, e->file.size, &e->pe, &diag) == ERR_OK &&
			  strcmp(e->pe->code_id, e->key.code_id) == 0;
	}
}

static struct entry *
find(struct images *s, const struct image_key *key, enum image_kind kind)
{
	const uint64_t hash = hash_of(key, kind);
	struct entry *e;

	for (size_t i = 0; i < s->n; i++) {
		e = s->entries[i];
		if (e->hash == hash && e->kind == kind && strcmp(e->key.code_id, key->code_id) == 0 &&
		    strcmp(e->key.debug_id, key->debug_id) == 0) {
			e->used = ++s->turn;
			return e->open ? e : NULL;
		}
	}
	if (s->n == MAX_ENTRIES || (e = calloc(1, sizeof(*e))) == NULL)
		return NULL;
	*e = (struct entry){ .hash = hash, .key = *key, .kind = kind, .used = ++s->turn };
	s->entries[s->n++] = e;
	if (s->opener.open(s->opener.arg, key, kind, &e->file)) {
		take(s, e);
		if (!e->open) { /* what was read of it goes with its arena */
			elfimage_close(e->elf);
			arena_free(e->arena);
			s->opener.close(s->opener.arg, &e->file);
			e->elf = NULL;
			e->pe = NULL;
			e->sym = NULL;
			e->arena = NULL;
			e->file = (struct image_file){ 0 };
		}
	} else {
		e->file = (struct image_file){ 0 };
	}
	return e->open ? e : NULL;
}

/* ---- the outside ---- */

struct images *
images_new(const struct image_opener *o, const struct images_limits *l)
{
	struct images *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->opener = *o;
	s->limits = l != NULL ? *l : (struct images_limits){ IMAGES_FILE_BYTES, IMAGES_FILES, IMAGES_MEMORY };
	s->entries = calloc(MAX_ENTRIES, sizeof(struct entry *));
	if (s->entries == NULL) {
		free(s);
		return NULL;
	}
	return s;
}

void
images_free(struct images *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++)
		entry_free(s, s->entries[i]);
	free(s->entries);
	free(s);
}

void
images_forget(struct images *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->entries[i]->open)
			s->entries[kept++] = s->entries[i];
		else
			entry_free(s, s->entries[i]);
	s->n = kept;
}

void
images_trim(struct images *s)
{
	for (;;) {
		size_t files = 0, oldest = 0;
		uint64_t bytes = 0, used = UINT64_MAX;

		for (size_t i = 0; i < s->n; i++) {
			const struct entry *e = s->entries[i];

			if (!e->open)
				continue;
			files++;
			bytes += e->file.size;
			if (e->used < used) {
				used = e->used;
				oldest = i;
			}
		}
		if (files == 0 || (files <= s->limits.files && bytes <= s->limits.file_bytes))
			break;
		entry_free(s, s->entries[oldest]);
		s->entries[oldest] = s->entries[--s->n];
	}
	if (s->n > MAX_ENTRIES / 2)
		images_forget(s);
}

struct elfimage *
images_elf(struct images *s, const struct image_key *key)
{
	struct entry *e = key->pe ? NULL : find(s, key, IMAGE_CODE);

	return e != NULL ? e->elf : NULL;
}

struct elfimage *
images_debug(struct images *s, const struct image_key *key)
{
	struct entry *e = key->pe ? NULL : find(s, key, IMAGE_DEBUG);

	return e != NULL ? e->elf : NULL;
}

struct peimage *
images_pe(struct images *s, const struct image_key *key)
{
	struct entry *e = key->pe ? find(s, key, IMAGE_CODE) : NULL;

	return e != NULL ? e->pe : NULL;
}

struct symfile *
images_sym(struct images *s, const struct image_key *key)
{
	struct entry *e = find(s, key, IMAGE_SYM);

	return e != NULL ? e->sym : NULL;
}

/* ---- what a file is ---- */

static enum triage_arch
arch_named(const char *s)
{
	static const struct {
		const char *name;
		enum triage_arch arch;
	} names[] = { { "x86_64", TRIAGE_ARCH_X64 },  { "x86_64h", TRIAGE_ARCH_X64 },  { "x86", TRIAGE_ARCH_X86 },
		      { "arm64", TRIAGE_ARCH_ARM64 }, { "arm64e", TRIAGE_ARCH_ARM64 }, { "arm", TRIAGE_ARCH_ARM } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(s, names[i].name) == 0)
			return names[i].arch;
	return TRIAGE_ARCH_UNKNOWN;
}

static void
identify_elf(const struct elfimage *e, struct image_identity *out)
{
	out->kind = elfimage_has_code(e) ? IMAGE_CODE : IMAGE_DEBUG;
	out->arch = elfimage_arch(e);
	clean_id(elfimage_build_id(e), out->key.code_id);
	debug_id_of(out->key.code_id, out->key.debug_id);
	out->has_unwind = elfimage_has_unwind(e);
	out->has_functions = elfimage_has_functions(e);
}

enum err
image_identify(const void *bytes, size_t size, struct image_identity *out, struct diag *diag)
{
	static const uint8_t elf_magic[4] = { 0x7f, 'E', 'L', 'F' };
	struct arena *a = arena_new((size_t)1 << 20);
	struct elfimage *elf;
	struct peimage *pe;
	struct symfile *sym;
	enum err e;

	*out = (struct image_identity){ .kind = IMAGE_CODE };
	*diag = (struct diag){ ERR_NOMEM, "out of memory", 0 };
	if (a == NULL)
		return ERR_NOMEM;
	if (size >= 4 && memcmp(bytes, elf_magic, 4) == 0) {
		if ((e = elfimage_open(a, bytes, size, &elf, diag)) == ERR_OK)
			identify_elf(elf, out);
	} else if (size >= 2 && memcmp(bytes, "MZ", 2) == 0) {
		if ((e = peimage_open(a, bytes, size, &pe, diag)) == ERR_OK) {
			out->arch = pe->arch;
			out->key.pe = true;
			snprintf(out->key.code_id, sizeof(out->key.code_id), "%s", pe->code_id);
			snprintf(out->key.debug_id, sizeof(out->key.debug_id), "%s", pe->debug_id);
			out->has_unwind = pe->exception_size > 0;
			out->has_functions = pe->export_size > 0;
		}
	} else if ((e = symfile_open(a, bytes, size, &sym, diag)) == ERR_OK) {
		out->kind = IMAGE_SYM;
		out->arch = arch_named(sym->arch);
		out->key.pe = strcmp(sym->os, "windows") == 0;
		clean_id(sym->debug_id, out->key.debug_id);
		clean_id(sym->code_id, out->key.code_id);
		clean_name(sym->name, out->key.name);
		out->has_unwind = out->has_functions = true;
	}
	arena_free(a);
	if (e == ERR_OK && out->key.code_id[0] == '\0' && out->key.debug_id[0] == '\0') {
		*diag = (struct diag){ ERR_ABSENT, "it has no build id to look it up by", 0 };
		e = ERR_ABSENT;
	}
	return e;
}

bool
image_matches(const void *bytes, size_t size, const struct image_key *key, enum image_kind kind)
{
	struct image_identity id;
	struct diag diag;

	if (image_identify(bytes, size, &id, &diag) != ERR_OK || id.kind != kind)
		return false;
	if (kind == IMAGE_SYM)
		return key->debug_id[0] != '\0' ? strcmp(id.key.debug_id, key->debug_id) == 0
						: strcmp(id.key.code_id, key->code_id) == 0;
	if (id.key.pe != key->pe || id.key.code_id[0] == '\0')
		return false;
	return key->code_id[0] != '\0' ? strcmp(id.key.code_id, key->code_id) == 0
				       : strcmp(id.key.debug_id, key->debug_id) == 0;
}
