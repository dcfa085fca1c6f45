/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "triage/functions.h"
#include "triage/images.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OFFSETS 64

static void
ask_elf(struct elfimage *e, const uint64_t *offsets)
{
	struct elf_fde f;
	uint64_t start, len;

	for (int i = 0; i < OFFSETS; i++) {
		if (elfimage_fde(e, offsets[i], &f) &&
		    (elfimage_first(e) + offsets[i] < f.start || elfimage_first(e) + offsets[i] - f.start >= f.size))
			abort();
		if (*elfimage_function(e, offsets[i], &start) != '\0' && start > offsets[i])
			abort();
		elfimage_at(e, offsets[i], &len);
		elfimage_is_code(e, offsets[i]);
	}
}

static void
ask_pe(struct peimage *pe, const uint64_t *offsets)
{
	uint64_t start, v;

	for (int i = 0; i < OFFSETS; i++) {
		if (*peimage_function(pe, offsets[i], &start) != '\0' && start > offsets[i])
			abort();
		peimage_uint(pe, offsets[i], 8, &v);
	}
}

static void
ask_sym(struct symfile *s, const uint64_t *offsets)
{
	struct symfile_function f;
	struct symfile_cfi cfi;
	struct symfile_win win;

	for (int i = 0; i < OFFSETS; i++) {
		if (symfile_function(s, offsets[i], &f) &&
		    (f.start > offsets[i] || f.name.at < s->bytes || f.name.at + f.name.len > s->bytes + s->size))
			abort();
		if (symfile_cfi(s, offsets[i], &cfi) && offsets[i] - cfi.start >= cfi.size)
			abort();
		symfile_win(s, offsets[i], &win);
	}
}

/* An ELF or PE image or a symbol file: everything that is asked of one, at offsets out of its own bytes. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new((size_t)16 << 20);
	uint64_t offsets[OFFSETS] = { 0 };
	struct image_identity id;
	struct elfimage *elf;
	struct peimage *pe;
	struct symfile *sym;
	struct diag diag;
	char name[128] = "";

	if (a == NULL)
		abort();
	for (size_t i = 0; i < OFFSETS; i++)
		offsets[i] = i < 32 ? i * 0x40 + 0x400 : i * 0x100;
	for (size_t i = 0; i < 16 && size >= 4; i++)
		memcpy(&offsets[i], data + (size - 4) * i / 16, 4);
	image_identify(data, size, &id, &diag);
	if (elfimage_open(a, data, size, &elf, &diag) == ERR_OK)
		ask_elf(elf, offsets);
	if (peimage_open(a, data, size, &pe, &diag) == ERR_OK)
		ask_pe(pe, offsets);
	if (symfile_open(a, data, size, &sym, &diag) == ERR_OK)
		ask_sym(sym, offsets);
	if (size > 0)
		memcpy(name, data, size < sizeof(name) - 1 ? size : sizeof(name) - 1);
	function_demangle(a, name);
	arena_free(a);
	return 0;
}
