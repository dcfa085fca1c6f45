/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <string.h>

#include "tests/synth/synth.h"

#define PAGE            4096
#define N_IMAGE_PHDRS   4
#define NETBSD_PROCINFO 160

struct layout {
	uint16_t machine;
	unsigned pid_at, regs_at, n_regs, pc, sp, fp, lr;
};

static const struct layout layouts[] = {
	[SYNTH_X86] = { EM_386, 24, 72, 17, 12, 15, 5, 0 },
	[SYNTH_X64] = { EM_X86_64, 32, 112, 27, 16, 19, 4, 0 },
	[SYNTH_ARM] = { EM_ARM, 24, 72, 18, 15, 13, 11, 14 },
	[SYNTH_ARM64] = { EM_AARCH64, 32, 112, 34, 32, 31, 29, 30 },
	[SYNTH_ARM64_OLD] = { EM_AARCH64, 32, 112, 34, 32, 31, 29, 30 },
};

/* Begin a note; returns where its description starts. */
static size_t
note(struct synth *s, const char *owner, uint32_t type, size_t size)
{
	synth_u32(s, (uint32_t)strlen(owner) + 1);
	synth_u32(s, (uint32_t)size);
	synth_u32(s, type);
	synth_bytes(s, owner, strlen(owner) + 1);
	synth_align(s, 4);
	return s->len;
}

static void
put_prstatus(struct synth *s, const struct synth_crash *c, size_t i)
{
	const struct layout *l = &layouts[c->cpu];
	unsigned w = synth_width(c->cpu);
	size_t size = l->regs_at + l->n_regs * w + w, at = note(s, "CORE", NT_PRSTATUS, size);

	synth_zero(s, size);
	synth_patch(s, at, i == 0 ? c->code : 0, 4);
	synth_patch(s, at + 12, i == 0 ? c->code : 0, 2);
	synth_patch(s, at + l->pid_at, SYNTH_TID(i), 4);
	synth_patch(s, at + l->regs_at + l->pc * w, c->pc + i, w);
	synth_patch(s, at + l->regs_at + l->sp * w, c->sp, w);
	synth_patch(s, at + l->regs_at + l->fp * w, c->fp, w);
	if (l->lr != 0)
		synth_patch(s, at + l->regs_at + l->lr * w, c->lr, w);
	synth_align(s, 4);
}

/* What the kernel tells a program about itself. */
static void
put_auxv(struct synth *s, const struct synth_crash *c)
{
	unsigned w = synth_width(c->cpu);

	synth_word(s, AT_PHDR, w);
	synth_word(s, c->modules[0].base + (w == 8 ? 64 : 52), w);
	synth_word(s, AT_PHNUM, w);
	synth_word(s, N_IMAGE_PHDRS, w);
	synth_word(s, AT_NULL, w);
	synth_word(s, 0, w);
}

static void
put_process(struct synth *s, const struct synth_crash *c)
{
	unsigned w = synth_width(c->cpu);
	size_t at = note(s, "CORE", NT_PRPSINFO, w == 8 ? 136 : 124);

	synth_zero(s, w == 8 ? 136 : 124);
	synth_patch(s, at + (w == 8 ? 24 : 12), SYNTH_PID, 4);
	memcpy(s->p + at + (w == 8 ? 40 : 28), "program", 7);
	at = note(s, "CORE", NT_SIGINFO, 128);
	synth_zero(s, 128);
	synth_patch(s, at, c->code, 4);
	synth_patch(s, at + 8, c->flags, 4);
	synth_patch(s, at + (w == 8 ? 16 : 12), c->address, w);
	note(s, "CORE", NT_AUXV, 6 * w);
	put_auxv(s, c);
}

static size_t
put_files(struct synth *s, const struct synth_crash *c)
{
	unsigned w = synth_width(c->cpu);
	size_t names = 0, at;

	for (size_t i = 0; i < c->n_modules; i++)
		names += 2 * (strlen(c->modules[i].path) + 1);
	at = note(s, "CORE", NT_FILE, 2 * w + 2 * c->n_modules * 3 * w + names);
	synth_word(s, 2 * c->n_modules, w);
	synth_word(s, PAGE, w);
	for (size_t i = 0; i < c->n_modules; i++) {
		const struct synth_module *m = &c->modules[i];

		synth_word(s, m->base, w);
		synth_word(s, m->base + PAGE, w);
		synth_word(s, 0, w);
		synth_word(s, m->base + PAGE, w);
		synth_word(s, m->base + m->size, w);
		synth_word(s, 1, w);
	}
	for (size_t i = 0; i < c->n_modules; i++)
		for (int k = 0; k < 2; k++)
			synth_bytes(s, c->modules[i].path, strlen(c->modules[i].path) + 1);
	synth_align(s, 4);
	return at;
}

static void
put_ehdr(struct synth *s, unsigned w, uint16_t type, uint16_t machine, size_t phnum, size_t *phnum_at)
{
	const uint8_t ident[16] = {
		0x7f,      'E', 'L', 'F', w == 8 ? ELFCLASS64 : ELFCLASS32, s->big_endian ? ELFDATA2MSB : ELFDATA2LSB,
		EV_CURRENT
	};

	synth_bytes(s, ident, sizeof(ident));
	synth_u16(s, type);
	synth_u16(s, machine);
	synth_u32(s, EV_CURRENT);
	synth_word(s, 0, w);                /* entry */
	synth_word(s, w == 8 ? 64 : 52, w); /* program headers follow */
	synth_word(s, 0, w);
	synth_u32(s, 0);
	synth_u16(s, w == 8 ? 64 : 52);
	synth_u16(s, w == 8 ? 56 : 32);
	*phnum_at = synth_u16(s, (uint16_t)phnum);
	synth_u16(s, 0);
	synth_u16(s, 0);
	synth_u16(s, 0);
}

static void
put_phdr(struct synth *s, unsigned w, uint32_t type, uint32_t flags, uint64_t offset, uint64_t vaddr, uint64_t filesz,
	 uint64_t memsz)
{
	synth_u32(s, type);
	if (w == 8)
		synth_u32(s, flags);
	synth_word(s, offset, w);
	synth_word(s, vaddr, w);
	synth_word(s, 0, w);
	synth_word(s, filesz, w);
	synth_word(s, memsz, w);
	if (w == 4)
		synth_u32(s, flags);
	synth_word(s, 0, w);
}

/* Where things are in the first page of an image. */
#define DYNAMIC_AT  0x800
#define DEBUG_AT    0x880 /* what DT_DEBUG of the program leads to */
#define LINK_MAP_AT 0x900
#define NAMES_AT    0xc00

/* The dynamic linker's list, in the page of the program. */
static void
put_link_map(struct synth *s, const struct synth_crash *c, size_t start)
{
	unsigned w = synth_width(c->cpu);
	uint64_t base = c->modules[0].base;
	size_t name = NAMES_AT;

	synth_patch(s, start + DYNAMIC_AT, DT_DEBUG, w);
	synth_patch(s, start + DYNAMIC_AT + w, base + DEBUG_AT, w);
	synth_patch(s, start + DEBUG_AT, 1, 4);
	synth_patch(s, start + DEBUG_AT + w, base + LINK_MAP_AT, w);
	for (size_t i = 0; i < c->n_modules; i++) {
		size_t at = start + LINK_MAP_AT + i * 5 * w, len = i == 0 ? 0 : strlen(c->modules[i].path);

		synth_patch(s, at, c->modules[i].base, w);
		synth_patch(s, at + w, base + name, w);
		synth_patch(s, at + 2 * w, c->modules[i].base + DYNAMIC_AT, w);
		synth_patch(s, at + 3 * w, i + 1 < c->n_modules ? base + LINK_MAP_AT + (i + 1) * 5 * w : 0, w);
		memcpy(s->p + start + name, c->modules[i].path, len); /* the program's own is empty */
		name += len + 1;
	}
}

/* First page of an image: header, segments, build id, dynamic section. */
static void
put_image_page(struct synth *s, const struct synth_crash *c, size_t i)
{
	const struct synth_module *m = &c->modules[i];
	unsigned w = synth_width(c->cpu);
	size_t start = s->len, ignored, phdrs = w == 8 ? 64 : 52, size = w == 8 ? 56 : 32;
	size_t note_at = phdrs + N_IMAGE_PHDRS * size, note_size = 12 + 4 + m->id_len;

	put_ehdr(s, w, ET_DYN, layouts[c->cpu].machine, N_IMAGE_PHDRS, &ignored);
	put_phdr(s, w, PT_PHDR, PF_R, phdrs, phdrs, N_IMAGE_PHDRS * size, N_IMAGE_PHDRS * size);
	put_phdr(s, w, PT_LOAD, PF_R | PF_X, 0, 0, m->size, m->size);
	put_phdr(s, w, PT_NOTE, PF_R, note_at, note_at, note_size, note_size);
	put_phdr(s, w, PT_DYNAMIC, PF_R, DYNAMIC_AT, DYNAMIC_AT, 4 * w, 4 * w);
	note(s, "GNU", NT_GNU_BUILD_ID, m->id_len);
	synth_bytes(s, m->id, m->id_len);
	synth_zero(s, start + PAGE - s->len);
	if (i == 0)
		put_link_map(s, c, start);
}

static void
put_linux_notes(struct synth *s, const struct synth_crash *c, struct synth_core_places *w)
{
	put_prstatus(s, c, 0);
	put_process(s, c);
	w->file_note = put_files(s, c);
	for (size_t i = 1; i < c->n_threads; i++)
		put_prstatus(s, c, i);
}

/* NetBSD, x86-64: the last LWP crashed. */
static void
put_netbsd_notes(struct synth *s, const struct synth_crash *c)
{
	size_t at = note(s, "NetBSD-CORE", 1, NETBSD_PROCINFO);

	synth_zero(s, NETBSD_PROCINFO);
	synth_patch(s, at + 8, c->code, 4);
	synth_patch(s, at + 12, c->flags, 4);
	synth_patch(s, at + 80, SYNTH_PID, 4);
	memcpy(s->p + at + 124, "program", 7);
	synth_patch(s, at + 156, c->n_threads, 4);
	note(s, "NetBSD-CORE", 2, 6 * 8);
	put_auxv(s, c);
	for (size_t i = 0; i < c->n_threads; i++) {
		char owner[] = "NetBSD-CORE@1";

		owner[12] = (char)('1' + i % 9);
		at = note(s, owner, 33, 26 * 8);
		synth_zero(s, 26 * 8);
		synth_patch(s, at + 21 * 8, i + 1 == c->n_threads ? c->pc : 0x1234, 8);
		synth_patch(s, at + 24 * 8, c->sp, 8);
		synth_patch(s, at + 12 * 8, c->fp, 8);
	}
}

void
synth_core(struct synth *out, const struct synth_crash *c, struct synth_core_places *where)
{
	struct synth_core_places ignored, *w = where != NULL ? where : &ignored;
	unsigned width = synth_width(c->cpu);
	size_t n = 2 + 2 * c->n_modules, notes_at, notes_end, stack_at, pages_at, stack_size = c->n_stack * width;
	struct synth phdrs = { .big_endian = out->big_endian };

	put_ehdr(out, width, ET_CORE, layouts[c->cpu].machine, n, &w->n_phdrs);
	w->phdrs = synth_zero(out, n * (width == 8 ? 56 : 32));
	notes_at = out->len;
	w->notes = notes_at + 12 + 8;
	if (c->netbsd)
		put_netbsd_notes(out, c);
	else
		put_linux_notes(out, c, w);
	notes_end = out->len;
	synth_align(out, PAGE);
	stack_at = out->len;
	for (size_t i = 0; i < c->n_stack; i++)
		synth_word(out, c->stack[i], width);
	synth_align(out, PAGE);
	pages_at = out->len;
	for (size_t i = 0; i < c->n_modules; i++)
		put_image_page(out, c, i);
	put_phdr(&phdrs, width, PT_NOTE, 0, notes_at, 0, notes_end - notes_at, 0);
	for (size_t i = 0; i < c->n_modules; i++) {
		const struct synth_module *m = &c->modules[i];

		/* the first page is in the core, the code behind it is not */
		put_phdr(&phdrs, width, PT_LOAD, PF_R, pages_at + i * PAGE, m->base, PAGE, PAGE);
		put_phdr(&phdrs, width, PT_LOAD, PF_R | PF_X, pages_at, m->base + PAGE, 0, m->size - PAGE);
	}
	put_phdr(&phdrs, width, PT_LOAD, PF_R | PF_W, stack_at, c->stack_base, stack_size, stack_size);
	memcpy(out->p + w->phdrs, phdrs.p, phdrs.len);
	synth_free(&phdrs);
}
