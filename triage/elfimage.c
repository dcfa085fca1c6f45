/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <string.h>

#include "triage/elfcore.h"
#include "triage/elfimage_impl.h"

#define MAX_SEGMENTS 4096  /* linkers write a dozen */
#define MAX_SECTIONS 65536 /* of one file; -ffunction-sections is for objects */
#define NOTE_BYTES   65536
#define MAX_NOTES    64
#define BUILD_ID_MAX 64
#define PAGE         UINT64_C(0xfff)

/* ---- bytes ---- */

const uint8_t *
elfimage_at(const struct elfimage *e, uint64_t offset, uint64_t *len_out)
{
	uint64_t address = e->first + offset;

	*len_out = 0;
	if (offset > UINT64_MAX - e->first)
		return NULL;
	for (size_t i = 0; i < e->n_segments; i++) {
		const struct elf_segment *s = &e->segments[i];
		uint64_t in = address - s->vaddr;
		const uint8_t *p;

		if (address < s->vaddr || in >= s->filesz)
			continue;
		if (e->memory.at != NULL) {
			if (offset > UINT64_MAX - e->memory.base)
				return NULL;
			p = e->memory.at(e->memory.arg, e->memory.base + offset, len_out);
			if (p == NULL)
				*len_out = 0;
			else if (*len_out > s->filesz - in)
				*len_out = s->filesz - in;
			return p;
		}
		if (!e->has_code || s->offset > e->file.size || in >= e->file.size - s->offset)
			return NULL;
		*len_out = s->filesz - in;
		if (*len_out > e->file.size - s->offset - in)
			*len_out = e->file.size - s->offset - in;
		return e->file.base + (size_t)(s->offset + in);
	}
	return NULL;
}

struct reader
elfimage_reader(const struct elfimage *e, uint64_t address)
{
	struct reader r;
	uint64_t len = 0;
	const uint8_t *p = address >= e->first ? elfimage_at(e, address - e->first, &len) : NULL;

	reader_init(&r, p, (size_t)len, e->file.big_endian);
	if (p == NULL)
		reader_fail(&r, ERR_ABSENT, "not in the image");
	return r;
}

struct reader
elfimage_section(const struct elfimage *e, const struct elf_section *s)
{
	struct reader copy = e->file;

	copy.pos = 0;
	copy.err = (struct diag){ ERR_OK, NULL, 0 };
	if (s->size == 0 || s->type == SHT_NOBITS)
		reader_fail(&copy, ERR_ABSENT, "no such section");
	return reader_sub(&copy, s->offset, s->size);
}

static const struct elf_segment *
segment_of(const struct elfimage *e, uint64_t offset)
{
	uint64_t address = e->first + offset;

	for (size_t i = 0; i < e->n_segments; i++)
		if (address >= e->segments[i].vaddr && address - e->segments[i].vaddr < e->segments[i].memsz)
			return &e->segments[i];
	return NULL;
}

bool
elfimage_is_code(const struct elfimage *e, uint64_t offset)
{
	const struct elf_segment *s = segment_of(e, offset);

	return s != NULL && s->executable;
}

bool
elfimage_is_writable(const struct elfimage *e, uint64_t offset)
{
	const struct elf_segment *s = segment_of(e, offset);

	return s != NULL && s->writable;
}

/* ---- headers ---- */

struct header {
	uint64_t phoff, shoff;
	uint32_t phnum, phentsize, shnum, shentsize, shstrndx;
};

static enum triage_arch
arch_of(const struct elfimage *e)
{
	switch (e->machine) {
	case EM_X86_64:
		return e->is64 ? TRIAGE_ARCH_X64 : TRIAGE_ARCH_UNKNOWN;
	case EM_386:
		return TRIAGE_ARCH_X86;
	case EM_AARCH64:
		return TRIAGE_ARCH_ARM64;
	case EM_ARM:
		return TRIAGE_ARCH_ARM;
	case EM_PPC:
		return TRIAGE_ARCH_PPC;
	case EM_PPC64:
		return TRIAGE_ARCH_PPC64;
	case EM_MIPS:
		return e->is64 ? TRIAGE_ARCH_MIPS64 : TRIAGE_ARCH_MIPS;
	case EM_RISCV:
		return e->is64 ? TRIAGE_ARCH_RISCV64 : TRIAGE_ARCH_RISCV;
	default:
		return TRIAGE_ARCH_UNKNOWN;
	}
}

static void
read_header(struct elfimage *e, struct reader *r, struct header *h)
{
	const uint8_t *id = reader_bytes(r, EI_NIDENT);
	uint16_t type;

	if (id == NULL || memcmp(id, ELFMAG, SELFMAG) != 0) {
		reader_fail(r, ERR_UNSUPPORTED, "not an ELF image");
		return;
	}
	if ((id[EI_CLASS] != ELFCLASS64 && id[EI_CLASS] != ELFCLASS32) ||
	    (id[EI_DATA] != ELFDATA2LSB && id[EI_DATA] != ELFDATA2MSB)) {
		reader_fail(r, ERR_MALFORMED, "ELF of unknown class or byte order");
		return;
	}
	e->is64 = id[EI_CLASS] == ELFCLASS64;
	r->big_endian = e->file.big_endian = id[EI_DATA] == ELFDATA2MSB;
	type = reader_u16(r);
	e->machine = reader_u16(r);
	e->arch = arch_of(e);
	reader_skip(r, 4);
	(void)elfimage_word(e, r); /* entry */
	h->phoff = elfimage_word(e, r);
	h->shoff = elfimage_word(e, r);
	reader_skip(r, 4 + 2);
	h->phentsize = reader_u16(r);
	h->phnum = reader_u16(r);
	h->shentsize = reader_u16(r);
	h->shnum = reader_u16(r);
	h->shstrndx = reader_u16(r);
	if (!reader_failed(r) && type != ET_EXEC && type != ET_DYN)
		reader_fail(r, ERR_UNSUPPORTED,
			    type == ET_CORE ? "a core, not an image" : "neither program nor library");
	if (!reader_failed(r) && (h->phentsize != (e->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) || h->phnum == 0))
		reader_fail(r, ERR_MALFORMED, "no program headers, or of a strange size");
	if (!reader_failed(r) && h->phnum > MAX_SEGMENTS)
		reader_fail(r, ERR_LIMIT, "more program headers than our limit");
}

struct notes {
	uint64_t vaddr[8], offset[8], size[8];
	size_t n;
};

static void
read_segment(struct elfimage *e, struct reader *r, struct notes *notes)
{
	uint32_t type = reader_u32(r), flags = 0;
	struct elf_segment s;

	if (e->is64)
		flags = reader_u32(r);
	s.offset = elfimage_word(e, r);
	s.vaddr = elfimage_word(e, r);
	(void)elfimage_word(e, r);
	s.filesz = elfimage_word(e, r);
	s.memsz = elfimage_word(e, r);
	if (!e->is64)
		flags = reader_u32(r);
	(void)elfimage_word(e, r);
	if (reader_failed(r) || s.memsz > UINT64_MAX - s.vaddr)
		return;
	s.executable = flags & PF_X;
	s.writable = flags & PF_W;
	if (s.filesz > s.memsz)
		s.filesz = s.memsz;
	if (type == PT_LOAD && s.memsz > 0) {
		if (e->n_segments == 0 || s.vaddr < e->first)
			e->first = s.vaddr;
		e->segments[e->n_segments++] = s;
	} else if (type == PT_NOTE && notes->n < 8) {
		notes->vaddr[notes->n] = s.vaddr;
		notes->offset[notes->n] = s.offset;
		notes->size[notes->n++] = s.filesz < NOTE_BYTES ? s.filesz : NOTE_BYTES;
	} else if (type == PT_GNU_EH_FRAME) {
		e->eh_header = s.vaddr;
		e->eh_header_size = s.filesz;
	}
}

static bool
take_build_id(struct elfimage *e, struct reader *r)
{
	static const char digits[] = "0123456789abcdef";
	struct elf_note n;

	for (int i = 0; i < MAX_NOTES && elf_note_next(r, &n); i++) {
		if (n.type != NT_GNU_BUILD_ID || n.name_len != 3 || memcmp(n.name, "GNU", 3) != 0 || n.desc.size == 0 ||
		    n.desc.size > BUILD_ID_MAX)
			continue;
		for (size_t b = 0; b < n.desc.size; b++) {
			e->build_id[2 * b] = digits[n.desc.base[b] >> 4];
			e->build_id[2 * b + 1] = digits[n.desc.base[b] & 15];
		}
		e->build_id[2 * n.desc.size] = '\0';
		return true;
	}
	return false;
}

static void
find_build_id(struct elfimage *e, const struct notes *notes)
{
	for (size_t i = 0; i < notes->n; i++) {
		struct reader r;

		if (e->memory.at != NULL) {
			r = elfimage_reader(e, notes->vaddr[i]);
			if (!reader_failed(&r) && r.size > notes->size[i])
				r.size = (size_t)notes->size[i];
		} else {
			const struct elf_section s = { .offset = notes->offset[i], .size = notes->size[i] };

			r = elfimage_section(e, &s);
		}
		if (!reader_failed(&r) && take_build_id(e, &r))
			return;
	}
}

/* ---- sections ---- */

struct raw_section {
	uint32_t name, type, link;
	uint64_t flags, addr, offset, size;
};

static struct raw_section
read_section(const struct elfimage *e, struct reader *r)
{
	struct raw_section s = { 0 };

	s.name = reader_u32(r);
	s.type = reader_u32(r);
	s.flags = elfimage_word(e, r);
	s.addr = elfimage_word(e, r);
	s.offset = elfimage_word(e, r);
	s.size = elfimage_word(e, r);
	s.link = reader_u32(r);
	reader_skip(r, e->is64 ? 20 : 12);
	return s;
}

static struct elf_section
keep(const struct raw_section *s)
{
	return (struct elf_section){ s->addr, s->size, s->offset, s->type, s->flags & SHF_ALLOC };
}

static bool
named(struct reader *names, uint32_t at, const char *name)
{
	size_t n = strlen(name) + 1;

	return at <= names->size && names->size - at >= n && memcmp(names->base + at, name, n) == 0;
}

static void
read_sections(struct elfimage *e, const struct header *h)
{
	const size_t width = e->is64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
	uint64_t n = h->shnum, names_at = h->shstrndx;
	struct elf_section whole = { .offset = h->shoff, .size = width };
	struct reader table, names, link;
	struct raw_section s;
	uint32_t symtab_link = 0, dynsym_link = 0;

	if (h->shoff == 0 || h->shentsize != width)
		return;
	table = elfimage_section(e, &whole);
	s = read_section(e, &table);
	if (n == 0) /* more than 65,279: the first one has the counts */
		n = s.size;
	if (names_at == SHN_XINDEX)
		names_at = s.link;
	if (reader_failed(&table) || n > MAX_SECTIONS || names_at >= n)
		return;
	whole.size = n * width;
	table = elfimage_section(e, &whole);
	if (reader_failed(&table))
		return;
	table.pos = (size_t)names_at * width;
	s = read_section(e, &table);
	whole = keep(&s);
	names = elfimage_section(e, &whole);
	table.pos = 0;
	for (uint64_t i = 0; i < n && !reader_failed(&table) && !reader_failed(&names); i++) {
		s = read_section(e, &table);
		if (s.type == SHT_NOBITS && (s.flags & (SHF_ALLOC | SHF_EXECINSTR)) == (SHF_ALLOC | SHF_EXECINSTR))
			e->has_code = false; /* its code was split off */
		if (s.flags & SHF_COMPRESSED)
			continue;
		if (s.type == SHT_SYMTAB) {
			e->symtab = keep(&s);
			symtab_link = s.link;
		} else if (s.type == SHT_DYNSYM) {
			e->dynsym = keep(&s);
			dynsym_link = s.link;
		} else if (named(&names, s.name, ".eh_frame")) {
			e->eh_frame = keep(&s);
		} else if (named(&names, s.name, ".debug_frame")) {
			e->debug_frame = keep(&s);
		} else if (s.type == SHT_NOTE && e->build_id[0] == '\0') {
			struct elf_section note = keep(&s);

			if (note.size > NOTE_BYTES)
				note.size = NOTE_BYTES;
			link = elfimage_section(e, &note);
			if (!reader_failed(&link))
				take_build_id(e, &link);
		}
	}
	for (int i = 0; i < 2; i++) {
		uint32_t at = i == 0 ? symtab_link : dynsym_link;

		if (at == 0 || at >= n)
			continue;
		link = table;
		link.err = (struct diag){ ERR_OK, NULL, 0 };
		link.pos = at * width;
		s = read_section(e, &link);
		if (!reader_failed(&link) && s.type == SHT_STRTAB)
			*(i == 0 ? &e->strtab : &e->dynstr) = keep(&s);
	}
}

/* ---- opening ---- */

/* r: the image from its first byte on, as far as it follows in one piece. */
static enum err
open_at(struct elfimage *e, struct reader *r, struct elfimage **out, struct diag *diag)
{
	struct header h = { 0 };
	struct notes notes = { 0 };
	struct reader table;

	read_header(e, r, &h);
	if (!reader_failed(r)) {
		table = reader_sub(r, h.phoff, (uint64_t)h.phnum * h.phentsize);
		e->segments = ARENA_ARRAY(e->arena, struct elf_segment, h.phnum);
		if (e->segments == NULL)
			reader_fail(r, ERR_LIMIT, "the image needs more memory than it is given");
		for (uint32_t i = 0; i < h.phnum && !reader_failed(r); i++)
			read_segment(e, &table, &notes);
		if (!reader_failed(r) && e->n_segments == 0)
			reader_fail(r, ERR_MALFORMED, "an image without segments");
	}
	if (reader_failed(r)) {
		*diag = r->err;
		return diag->code;
	}
	e->first &= ~PAGE;
	e->has_code = true;
	find_build_id(e, &notes);
	if (e->memory.at == NULL)
		read_sections(e, &h);
	*out = e;
	return ERR_OK;
}

static struct elfimage *
new_image(struct arena *a, struct diag *diag)
{
	struct elfimage *e = ARENA_NEW(a, struct elfimage);

	if (e == NULL)
		*diag = (struct diag){ ERR_LIMIT, "the image needs more memory than it is given", 0 };
	else
		e->arena = a;
	return e;
}

enum err
elfimage_open(struct arena *a, const void *file, size_t size, struct elfimage **out, struct diag *diag)
{
	struct elfimage *e = new_image(a, diag);
	struct reader r;

	if (e == NULL)
		return ERR_LIMIT;
	reader_init(&e->file, file, size, false);
	r = e->file;
	return open_at(e, &r, out, diag);
}

enum err
elfimage_open_memory(struct arena *a, const struct elfimage_memory *memory, struct elfimage **out, struct diag *diag)
{
	struct elfimage *e = new_image(a, diag);
	struct reader r;
	const uint8_t *p;
	uint64_t len;

	if (e == NULL)
		return ERR_LIMIT;
	if ((p = memory->at(memory->arg, memory->base, &len)) == NULL) {
		*diag = (struct diag){ ERR_ABSENT, "the dump does not hold the image's headers", memory->base };
		return ERR_ABSENT;
	}
	e->memory = *memory;
	reader_init(&e->file, NULL, 0, false);
	reader_init(&r, p, (size_t)len, false);
	return open_at(e, &r, out, diag);
}

enum triage_arch
elfimage_arch(const struct elfimage *e)
{
	return e->arch;
}

bool
elfimage_big_endian(const struct elfimage *e)
{
	return e->file.big_endian;
}

const char *
elfimage_build_id(const struct elfimage *e)
{
	return e->build_id;
}

bool
elfimage_has_code(const struct elfimage *e)
{
	return e->has_code;
}

const void *
elfimage_file(const struct elfimage *e, size_t *size_out)
{
	uint64_t len, end = 0;
	const uint8_t *p;

	*size_out = e->file.size;
	if (e->memory.at == NULL)
		return e->file.base;
	/* in memory and file the same: the vdso */
	for (size_t i = 0; i < e->n_segments; i++)
		if (e->segments[i].offset + e->segments[i].filesz > end)
			end = e->segments[i].offset + e->segments[i].filesz;
	p = e->n_segments == 1 ? e->memory.at(e->memory.arg, e->memory.base, &len) : NULL;
	if (p == NULL || len < end)
		return NULL;
	*size_out = (size_t)len;
	return p;
}

bool
elfimage_has_debug_frame(const struct elfimage *e)
{
	return e->has_code && e->debug_frame.size > 0 && e->debug_frame.type != SHT_NOBITS;
}

struct elfimage_owned *
elfimage_owned(struct elfimage *e)
{
	return &e->owned;
}

void
elfimage_close(struct elfimage *e)
{
	if (e != NULL && e->owned.release != NULL)
		e->owned.release(e->owned.state);
}

uint64_t
elfimage_first(const struct elfimage *e)
{
	return e->first;
}
