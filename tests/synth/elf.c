/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <string.h>

#include "tests/synth/synth.h"

#define N_FUNCTIONS 3u
#define NOTE_AT     0x200u
#define STRINGS_AT  0x1400u
#define NAMES_AT    0x1600u

static const char strings[] = "\0first\0_ZN2av6Engine3runEv\0last";
static const char names[] = "\0.text\0.eh_frame\0.symtab\0.strtab\0.shstrtab";

static void
pad_to(struct synth *o, size_t at)
{
	synth_zero(o, at - o->len);
}

static void
segment(struct synth *o, uint32_t type, uint32_t flags, uint64_t at, uint64_t size)
{
	synth_u32(o, type);
	synth_u32(o, flags);
	synth_u64(o, at);
	synth_u64(o, at);
	synth_u64(o, at);
	synth_u64(o, size);
	synth_u64(o, size);
	synth_u64(o, 8);
}

static void
section(struct synth *o, uint32_t name, uint32_t type, uint64_t flags, uint64_t at, uint64_t size, uint32_t link)
{
	synth_u32(o, name);
	synth_u32(o, type);
	synth_u64(o, flags);
	synth_u64(o, flags & SHF_ALLOC ? at : 0);
	synth_u64(o, at);
	synth_u64(o, size);
	synth_u32(o, link);
	synth_u32(o, 0);
	synth_u64(o, 8);
	synth_u64(o, type == SHT_SYMTAB ? sizeof(Elf64_Sym) : 0);
}

/* One record of .eh_frame: length, then what put() made of it, padded. */
static void
close_record(struct synth *o, size_t at)
{
	while ((o->len - at) % 8 != 4)
		synth_bytes(o, "", 1);
	synth_patch(o, at, o->len - at - 4, 4);
}

static void
frames(struct synth *o, const struct synth_elf *c, size_t fdes[N_FUNCTIONS], size_t *end_out)
{
	const bool x64 = c->machine == EM_X86_64;
	const uint8_t head[] = { 1, 'z', 'R', 0, x64 ? 1 : 4, 0x78, x64 ? 16 : 30, 1, 0x1b };
	const uint8_t rules_x64[] = { 0x0c, 7, 8, 0x90, 1 }, rules_arm64[] = { 0x0c, 31, 0 };
	size_t cie = synth_u32(o, 0), at;

	synth_u32(o, 0);
	synth_bytes(o, head, sizeof(head));
	if (x64)
		synth_bytes(o, rules_x64, sizeof(rules_x64));
	else
		synth_bytes(o, rules_arm64, sizeof(rules_arm64));
	close_record(o, cie);
	/* not in order: an index has to sort them */
	for (unsigned k = 0; k < N_FUNCTIONS; k++) {
		unsigned i = (k + 2) % N_FUNCTIONS;

		fdes[i] = at = synth_u32(o, 0);
		synth_u32(o, (uint32_t)(at + 4 - cie));
		synth_u32(o, (uint32_t)(SYNTH_ELF_CODE + i * SYNTH_ELF_FUNCTION - o->len));
		synth_u32(o, SYNTH_ELF_FUNCTION);
		synth_bytes(o, "", 1);
		if (i == 1 && c->n_cfi > 0)
			synth_bytes(o, c->cfi, c->n_cfi);
		close_record(o, at);
	}
	synth_u32(o, 0);
	*end_out = o->len;
}

static void
frame_header(struct synth *o, const size_t fdes[N_FUNCTIONS])
{
	const uint8_t head[4] = { 1, 0x1b, 0x03, 0x3b };

	synth_bytes(o, head, 4);
	synth_u32(o, SYNTH_ELF_FRAMES - SYNTH_ELF_HEADER - 4);
	synth_u32(o, N_FUNCTIONS);
	for (unsigned i = 0; i < N_FUNCTIONS; i++) {
		synth_u32(o, SYNTH_ELF_CODE + i * SYNTH_ELF_FUNCTION - SYNTH_ELF_HEADER);
		synth_u32(o, (uint32_t)fdes[i] - SYNTH_ELF_HEADER);
	}
}

static void
symbols(struct synth *o)
{
	const uint32_t name[N_FUNCTIONS] = { 1, 7, 27 };

	synth_zero(o, sizeof(Elf64_Sym));
	for (unsigned i = 0; i < N_FUNCTIONS; i++) {
		synth_u32(o, name[i]);
		synth_u16(o, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC));
		synth_u16(o, 1);
		synth_u64(o, SYNTH_ELF_CODE + i * SYNTH_ELF_FUNCTION);
		synth_u64(o, SYNTH_ELF_FUNCTION);
	}
}

void
synth_elf(struct synth *o, const struct synth_elf *c)
{
	const uint8_t id[EI_NIDENT] = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT };
	size_t fdes[N_FUNCTIONS], frames_end;

	synth_bytes(o, id, sizeof(id));
	synth_u16(o, ET_DYN);
	synth_u16(o, c->machine);
	synth_u32(o, EV_CURRENT);
	synth_u64(o, 0);
	synth_u64(o, 64);
	synth_u64(o, c->no_sections ? 0 : SYNTH_ELF_SECTIONS);
	synth_u32(o, 0);
	synth_u16(o, 64);
	synth_u16(o, sizeof(Elf64_Phdr));
	synth_u16(o, c->no_header ? 2 : 3);
	synth_u16(o, sizeof(Elf64_Shdr));
	synth_u16(o, c->no_sections ? 0 : 6);
	synth_u16(o, c->no_sections ? 0 : 5);
	segment(o, PT_LOAD, PF_R | PF_X, 0, SYNTH_ELF_SIZE);
	segment(o, PT_NOTE, PF_R, NOTE_AT, 36);
	segment(o, PT_GNU_EH_FRAME, PF_R, SYNTH_ELF_HEADER, 12 + 8 * N_FUNCTIONS);
	pad_to(o, NOTE_AT);
	synth_u32(o, 4);
	synth_u32(o, 20);
	synth_u32(o, NT_GNU_BUILD_ID);
	synth_bytes(o, "GNU", 4);
	synth_bytes(o, c->id, 20);
	pad_to(o, SYNTH_ELF_FRAMES);
	frames(o, c, fdes, &frames_end);
	pad_to(o, SYNTH_ELF_HEADER);
	if (!c->no_header)
		frame_header(o, fdes);
	pad_to(o, SYNTH_ELF_SYMBOLS);
	symbols(o);
	pad_to(o, STRINGS_AT);
	synth_bytes(o, strings, sizeof(strings));
	pad_to(o, NAMES_AT);
	synth_bytes(o, names, sizeof(names));
	pad_to(o, SYNTH_ELF_SECTIONS);
	synth_zero(o, sizeof(Elf64_Shdr));
	section(o, 1, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, SYNTH_ELF_CODE, 0x400, 0);
	section(o, 7, SHT_PROGBITS, SHF_ALLOC, SYNTH_ELF_FRAMES, frames_end - SYNTH_ELF_FRAMES, 0);
	section(o, 17, SHT_SYMTAB, 0, SYNTH_ELF_SYMBOLS, 4 * sizeof(Elf64_Sym), 4);
	section(o, 25, SHT_STRTAB, 0, STRINGS_AT, sizeof(strings), 0);
	section(o, 33, SHT_STRTAB, 0, NAMES_AT, sizeof(names), 0);
	pad_to(o, SYNTH_ELF_SIZE);
}
