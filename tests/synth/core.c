/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <string.h>

#include "tests/synth/synth.h"

#define PAGE 4096

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
	note(s, "CORE", NT_AUXV, 4 * w);
	synth_word(s, AT_PHDR, w);
	synth_word(s, c->modules[0].base + 64, w);
	synth_word(s, AT_NULL, w);
	synth_word(s, 0, w);
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
	const uint8_t ident[16] = { 0x7f, 'E', 'L', 'F', w == 8 ? ELFCLASS64 : ELFCLASS32,
				    s->big_endian ? ELFDATA2MSB : ELFDATA2LSB, EV_CURRENT };

	synth_bytes(s, ident, sizeof(ident));
	synth_u16(s, type);
	synth_u16(s, machine);
	synth_u32(s, EV_CURRENT);
	synth_word(s, 0, w);			/* entry */
	synth_word(s, w == 8 ? 64 : 52, w);	/* program headers follow */
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

/* First page of an image: header, one load, one note with the build id. */
static void
put_image_page(struct synth *s, const struct synth_crash *c, const struct synth_module *m)
{
	unsigned w = synth_width(c->cpu);
	size_t start = s->len, ignored, note_at = (w == 8 ? 64 : 52) + 2 * (w == 8 ? 56 : 32);
	size_t note_size = 12 + 4 + m->id_len;

	put_ehdr(s, w, ET_DYN, layouts[c->cpu].machine, 2, &ignored);
	put_phdr(s, w, PT_LOAD, PF_R | PF_X, 0, 0, m->size, m->size);
	put_phdr(s, w, PT_NOTE, PF_R, note_at, note_at, note_size, note_size);
	note(s, "GNU", NT_GNU_BUILD_ID, m->id_len);
	synth_bytes(s, m->id, m->id_len);
	synth_zero(s, start + PAGE - s->len);
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
	put_prstatus(out, c, 0);
	put_process(out, c);
	w->file_note = put_files(out, c);
	for (size_t i = 1; i < c->n_threads; i++)
		put_prstatus(out, c, i);
	notes_end = out->len;
	synth_align(out, PAGE);
	stack_at = out->len;
	for (size_t i = 0; i < c->n_stack; i++)
		synth_word(out, c->stack[i], width);
	synth_align(out, PAGE);
	pages_at = out->len;
	for (size_t i = 0; i < c->n_modules; i++)
		put_image_page(out, c, &c->modules[i]);
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
