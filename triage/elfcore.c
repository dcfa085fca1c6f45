/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <string.h>

#include "triage/elfcore.h"
#include "triage/utf.h"

#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258
#endif

#define MAX_SEGMENTS 262144 /* vm.max_map_count is 65530 by default, 262144 on large servers */

struct phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, filesz, memsz;
};

struct ehdr {
	uint16_t type, phentsize;
	uint64_t phoff, shoff, phnum;
};

struct reader
elfcore_at(struct elfcore *c, uint64_t off, uint64_t size)
{
	struct reader copy = c->file;

	copy.pos = 0;
	copy.err = (struct diag){ ERR_OK, NULL, 0 };
	if (off <= copy.size && size > copy.size - off) {
		dump_partial(c->d, "the core is cut short");
		size = copy.size - off;
	}
	return reader_sub(&copy, off, size);
}

static void
read_phdr(struct elfcore *c, struct reader *r, struct phdr *p)
{
	p->type = reader_u32(r);
	if (c->is64)
		p->flags = reader_u32(r);
	p->offset = elfcore_word(c, r);
	p->vaddr = elfcore_word(c, r);
	(void)elfcore_word(c, r); /* physical address */
	p->filesz = elfcore_word(c, r);
	p->memsz = elfcore_word(c, r);
	if (!c->is64)
		p->flags = reader_u32(r);
	(void)elfcore_word(c, r); /* alignment */
}

static void
add_load(struct elfcore *c, const struct phdr *p)
{
	struct dump *d = c->d;
	struct reader bytes;
	uint64_t size = p->filesz < p->memsz ? p->filesz : p->memsz;

	if (p->memsz == 0 || p->memsz > UINT64_MAX - p->vaddr)
		return;
	c->loads[c->n_loads++] = (struct elf_load){ p->vaddr, p->memsz, p->flags & PF_X };
	if (size == 0) /* left out by the filter: unknown, not zero */
		return;
	bytes = elfcore_at(c, p->offset, size);
	if (reader_failed(&bytes))
		dump_partial(d, "the core is cut short");
	else if (bytes.size > 0)
		d->mem.regions[d->mem.n++] = (struct mem_region){ p->vaddr, bytes.size, bytes.base };
}

static enum err
read_header(struct elfcore *c, struct ehdr *h)
{
	struct reader *r = &c->file;
	const uint8_t *id = reader_bytes(r, EI_NIDENT);

	if (id == NULL)
		return r->err.code;
	if (id[EI_CLASS] != ELFCLASS64 && id[EI_CLASS] != ELFCLASS32)
		return reader_fail(r, ERR_MALFORMED, "neither 32 nor 64 bit ELF");
	if (id[EI_DATA] != ELFDATA2LSB && id[EI_DATA] != ELFDATA2MSB)
		return reader_fail(r, ERR_MALFORMED, "ELF of unknown byte order");
	c->is64 = id[EI_CLASS] == ELFCLASS64;
	r->big_endian = id[EI_DATA] == ELFDATA2MSB;
	h->type = reader_u16(r);
	c->machine = reader_u16(r);
	reader_skip(r, 4);
	(void)elfcore_word(c, r); /* entry */
	h->phoff = elfcore_word(c, r);
	h->shoff = elfcore_word(c, r);
	reader_skip(r, 4 + 2); /* flags, size of this header */
	h->phentsize = reader_u16(r);
	h->phnum = reader_u16(r);
	if (reader_failed(r))
		return r->err.code;
	if (h->type != ET_CORE)
		return reader_fail(r, ERR_UNSUPPORTED, "an ELF file, but no core");
	if (h->phentsize != (c->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return reader_fail(r, ERR_MALFORMED, "program headers of a strange size");
	return ERR_OK;
}

/* More than 65534 segments: the count stands in the first section header. */
static void
read_extended_count(struct elfcore *c, struct ehdr *h)
{
	struct reader sh = elfcore_at(c, h->shoff, c->is64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr));
	uint32_t info;

	reader_skip(&sh, c->is64 ? 44 : 28);
	info = reader_u32(&sh);
	if (!reader_failed(&sh))
		h->phnum = info;
}

static enum triage_arch
arch_of(const struct elfcore *c)
{
	switch (c->machine) {
	case EM_X86_64:
		return c->is64 ? TRIAGE_ARCH_X64 : TRIAGE_ARCH_UNKNOWN; /* x32 */
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
		return c->is64 ? TRIAGE_ARCH_MIPS64 : TRIAGE_ARCH_MIPS;
	case EM_RISCV:
		return c->is64 ? TRIAGE_ARCH_RISCV64 : TRIAGE_ARCH_RISCV;
	case EM_S390:
		return c->is64 ? TRIAGE_ARCH_S390X : TRIAGE_ARCH_UNKNOWN;
	case EM_SPARC:
	case EM_SPARC32PLUS:
	case EM_SPARCV9:
		return TRIAGE_ARCH_SPARC;
	case EM_IA_64:
		return TRIAGE_ARCH_IA64;
	case EM_LOONGARCH:
		return TRIAGE_ARCH_LOONGARCH64;
	default:
		return TRIAGE_ARCH_UNKNOWN;
	}
}

/* A core whose registers have a form we do not know tells less, and says so. */
static void
say_what_is_missing(struct elfcore *c)
{
	struct dump *d = c->d;
	const char *arch = triage_arch_name(d->arch), *what;

	if (d->regs.valid || d->partial)
		return;
	if (d->arch == TRIAGE_ARCH_UNKNOWN)
		what = utf_printf(c->arena, "registers of ELF machine %u are not read", c->machine);
	else if (d->os == TRIAGE_OS_LINUX)
		what = utf_printf(c->arena, "registers of %s are not read", arch);
	else
		what = utf_printf(c->arena, "registers of %s on %s are not read", arch, triage_os_name(d->os));
	d->no_registers = what != NULL ? what : "no registers";
	dump_partial(d, d->no_registers);
}

static enum err
read_segments(struct elfcore *c, struct ehdr *h, struct diag *diag)
{
	struct reader table, notes;
	size_t n;
	enum err e;

	if (h->phnum == PN_XNUM && h->shoff != 0)
		read_extended_count(c, h);
	table = elfcore_at(c, h->phoff, h->phnum * h->phentsize);
	if (reader_failed(&table)) {
		*diag = table.err;
		return diag->code;
	}
	n = table.size / h->phentsize;
	if (n > MAX_SEGMENTS) {
		n = MAX_SEGMENTS;
		dump_partial(c->d, "more segments than our limit");
	}
	c->loads = ARENA_ARRAY(c->arena, struct elf_load, n);
	c->d->mem.regions = ARENA_ARRAY(c->arena, struct mem_region, n);
	if (c->loads == NULL || c->d->mem.regions == NULL)
		goto limit;
	for (size_t i = 0; i < n; i++) {
		struct phdr p = { 0 };

		read_phdr(c, &table, &p);
		if (p.type == PT_LOAD)
			add_load(c, &p);
		if (p.type != PT_NOTE)
			continue;
		notes = elfcore_at(c, p.offset, p.filesz);
		if ((e = elfcore_read_notes(c, notes)) != ERR_OK)
			goto limit;
	}
	mem_sort(&c->d->mem);
	return ERR_OK;
limit:
	*diag = (struct diag){ ERR_LIMIT, "the core needs more memory than it is given", 0 };
	return ERR_LIMIT;
}

enum err
elfcore_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag)
{
	struct elfcore c = { .arena = a, .d = out, .program = "" };
	struct ehdr h = { 0 };
	enum err e;

	*out = (struct dump){ .format = TRIAGE_FORMAT_ELFCORE,
			      .os_version = "",
			      .reason = "",
			      .partial_what = "",
			      .crashing_thread = -1 };
	reader_fail(&c.files, ERR_ABSENT, "no list of mapped files");
	reader_fail(&c.auxv, ERR_ABSENT, "no auxiliary vector");
	reader_init(&c.file, image, size, false);
	if (read_header(&c, &h) != ERR_OK) {
		*diag = c.file.err;
		return diag->code;
	}
	out->big_endian = out->mem.big_endian = c.file.big_endian;
	out->arch = arch_of(&c);
	if ((e = read_segments(&c, &h, diag)) != ERR_OK)
		return e;
	if (out->n_threads == 0) {
		*diag = (struct diag){ ERR_MALFORMED, "a core without threads", 0 };
		return ERR_MALFORMED;
	}
	say_what_is_missing(&c);
	if (elfcore_read_modules(&c) != ERR_OK) {
		*diag = (struct diag){ ERR_LIMIT, "the core needs more memory than it is given", 0 };
		return ERR_LIMIT;
	}
	return ERR_OK;
}
