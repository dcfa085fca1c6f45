/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <string.h>

#include "triage/elfcore.h"
#include "triage/utf.h"

#define PATH_BYTES           1024
#define MAX_PHDRS            128    /* of one module */
#define NOTE_BYTES           4096   /* looked through for a build id */
#define MAX_MAPPINGS         262144 /* of NT_FILE: as many as a process may have */
#define IMAGE_NOTES          32     /* of one segment looked at; linkers write two to four */
#define BUILD_ID_MAX         64
#define NT_GNU_BUILD_ID_NOTE 3

/* ---- an ELF image as it stands in the memory of the process ---- */

struct elf_image {
	uint64_t base;      /* where its first byte is */
	uint64_t low, high; /* of its segments, as linked */
	uint64_t notes[8], notes_size[8];
	size_t n_notes;
	bool found;
};

static uint64_t
word(const struct elfcore *c, struct reader *r)
{
	return elfcore_word(c, r);
}

/* Reader over what the core has of [addr, addr + size). */
static struct reader
memory(const struct elfcore *c, uint64_t addr, uint64_t size)
{
	const struct mem_region *m = mem_find(&c->d->mem, addr);
	struct reader r;

	reader_init(&r, NULL, 0, c->file.big_endian);
	if (m == NULL) {
		reader_fail(&r, ERR_ABSENT, "not in the core");
		return r;
	}
	if (size > m->size - (addr - m->addr))
		size = m->size - (addr - m->addr);
	reader_init(&r, m->data + (size_t)(addr - m->addr), (size_t)size, c->file.big_endian);
	return r;
}

static void
image_phdr(const struct elfcore *c, struct reader *r, struct elf_image *im)
{
	uint32_t type = reader_u32(r);
	uint64_t vaddr, filesz, memsz;

	if (c->is64)
		reader_skip(r, 4);
	(void)word(c, r); /* offset in the file */
	vaddr = word(c, r);
	(void)word(c, r); /* physical address */
	filesz = word(c, r);
	memsz = word(c, r);
	if (!c->is64)
		reader_skip(r, 4);
	(void)word(c, r);
	if (reader_failed(r))
		return;
	if (type == PT_LOAD && memsz <= UINT64_MAX - vaddr) {
		if (vaddr < im->low)
			im->low = vaddr;
		if (vaddr + memsz > im->high)
			im->high = vaddr + memsz;
	} else if (type == PT_NOTE && im->n_notes < 8) {
		im->notes[im->n_notes] = vaddr;
		im->notes_size[im->n_notes++] = filesz < NOTE_BYTES ? filesz : NOTE_BYTES;
	}
}

/* Program headers of the image whose ELF header is at base. */
static struct elf_image
image_at(const struct elfcore *c, uint64_t base)
{
	struct elf_image im = { .base = base, .low = UINT64_MAX };
	struct reader r = memory(c, base, 64), table;
	const uint8_t *id = reader_bytes(&r, EI_NIDENT);
	uint16_t size, n;
	uint64_t phoff;

	if (id == NULL || memcmp(id, ELFMAG, SELFMAG) != 0 || (id[EI_CLASS] == ELFCLASS64) != c->is64)
		return im;
	reader_skip(&r, 2 + 2 + 4);
	(void)word(c, &r);
	phoff = word(c, &r);
	(void)word(c, &r);
	reader_skip(&r, 4 + 2);
	size = reader_u16(&r);
	n = reader_u16(&r);
	if (reader_failed(&r) || size != (c->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) || n > MAX_PHDRS ||
	    phoff > UINT64_MAX - base)
		return im;
	table = memory(c, base + phoff, (uint64_t)n * size);
	for (unsigned i = 0; i < n && !reader_failed(&table); i++)
		image_phdr(c, &table, &im);
	im.found = im.low <= im.high;
	return im;
}

static const char *
image_build_id(const struct elfcore *c, const struct elf_image *im)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; im->found && i < im->n_notes; i++) {
		struct reader r =
			memory(c, im->base + (im->notes[i] - (im->low & ~UINT64_C(0xfff))), im->notes_size[i]);
		struct elf_note n;

		for (int k = 0; k < IMAGE_NOTES && elf_note_next(&r, &n); k++) {
			char *s;

			if (n.type != NT_GNU_BUILD_ID_NOTE || n.name_len != 3 || memcmp(n.name, "GNU", 3) != 0 ||
			    n.desc.size == 0 || n.desc.size > BUILD_ID_MAX)
				continue;
			if ((s = arena_calloc(c->arena, 2 * n.desc.size + 1, 1)) == NULL)
				return "";
			for (size_t b = 0; b < n.desc.size; b++) {
				s[2 * b] = digits[n.desc.base[b] >> 4];
				s[2 * b + 1] = digits[n.desc.base[b] & 15];
			}
			return s;
		}
	}
	return "";
}

/* Breakpad's debug id of a build id: its first 16 bytes read as a GUID, age 0. */
static const char *
debug_id_of(const struct elfcore *c, const char *id)
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	size_t len = strlen(id);
	char out[34];
	const char *s;

	if (len == 0)
		return "";
	for (size_t i = 0; i < 32; i++) {
		size_t at = 2 * order[i / 2] + i % 2;
		char ch = at < len ? id[at] : '0';

		out[i] = (char)(ch >= 'a' ? ch - 'a' + 'A' : ch);
	}
	memcpy(out + 32, "0", 2);
	s = utf_printf(c->arena, "%s", out);
	return s != NULL ? s : "";
}

/* ---- collecting modules ---- */

struct collector {
	struct elfcore *c;
	struct triage_module *modules;
	size_t n, cap;
};

static void
add_module(struct collector *l, const char *path, uint64_t base, uint64_t end, const struct elf_image *im)
{
	struct triage_module *m;

	if (l->n == l->cap || end <= base) {
		if (l->n == l->cap)
			dump_partial(l->c->d, "more modules than our limit");
		return;
	}
	m = &l->modules[l->n++];
	*m = (struct triage_module){ .path = path, .base = base, .size = end - base, .version = "" };
	m->id = m->code_id = image_build_id(l->c, im);
	m->debug_id = debug_id_of(l->c, m->id);
}

/* Whether a mapping that may hold code starts in [base, end).  Loads are by address. */
static bool
has_code(const struct elfcore *c, uint64_t base, uint64_t end)
{
	size_t lo = 0, hi = c->n_loads;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->loads[mid].addr < base)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < c->n_loads && c->loads[lo].addr < end; lo++)
		if (c->loads[lo].executable)
			return true;
	return false;
}

/* A run of mappings of one file. */
struct file_run {
	const uint8_t *name;
	size_t name_len;
	uint64_t base, end;
};

static void
close_run(struct collector *l, struct file_run *run)
{
	struct elf_image im;
	const char *path;

	if (run->name == NULL)
		return;
	im = image_at(l->c, run->base);
	/* fonts, locales and databases are mapped too, but are no modules */
	if (im.found || has_code(l->c, run->base, run->end)) {
		path = utf_from_bytes(l->c->arena, run->name, run->name_len, PATH_BYTES);
		add_module(l, path != NULL ? path : "", run->base, run->end, &im);
	}
	run->name = NULL;
}

/* NT_FILE: count, page size, count × (start, end, offset in pages), count names. */
static void
from_file_note(struct collector *l)
{
	struct elfcore *c = l->c;
	struct reader r = c->files, names;
	size_t entry = c->is64 ? 24 : 12, n;
	struct file_run run = { 0 };
	uint64_t count = word(c, &r);

	(void)word(c, &r);
	if (reader_failed(&r))
		return;
	n = (r.size - r.pos) / entry;
	if (n > MAX_MAPPINGS)
		n = MAX_MAPPINGS;
	if (count > n)
		dump_partial(c->d, "the list of mapped files is damaged");
	else
		n = (size_t)count;
	names = reader_sub(&r, r.pos + n * entry, r.size - r.pos - n * entry);
	for (size_t i = 0; i < n && !reader_failed(&names) && l->n < l->cap; i++) {
		uint64_t start = word(c, &r), end = word(c, &r), offset = word(c, &r);
		size_t left = names.size - names.pos, len;
		const uint8_t *name = names.base + names.pos;

		len = strnlen((const char *)name, left);
		reader_skip(&names, len < left ? len + 1 : len);
		if (len == 0 && left == 0)
			break;
		if (run.name == NULL || offset == 0 || start < run.end || run.name_len != len ||
		    memcmp(run.name, name, len) != 0) {
			/* an image may map its start twice; a second copy elsewhere starts anew */
			close_run(l, &run);
			run = (struct file_run){ name, len, start, end };
		}
		run.end = end;
	}
	close_run(l, &run);
}

/* Cores without NT_FILE (before Linux 3.7, some debuggers): images by their headers. */
static void
from_headers(struct collector *l)
{
	struct elfcore *c = l->c;
	uint64_t entry = 0, vdso = 0, end = 0;
	bool named = false;

	(void)elfcore_auxv(c, AT_ENTRY, &entry);
	(void)elfcore_auxv(c, AT_SYSINFO_EHDR, &vdso);
	for (size_t i = 0; i < c->n_loads && l->n < l->cap; i++) {
		struct elf_image im = image_at(c, c->loads[i].addr);
		uint64_t size = im.high - (im.low & ~UINT64_C(0xfff));
		const char *name = NULL;

		/* data segments can begin with a copy of the header */
		if (!im.found || im.base == vdso || size > UINT64_MAX - im.base || im.base < end)
			continue;
		end = im.base + size;
		if (entry - im.base < size || (entry == 0 && !named)) {
			name = c->program;
			named = true;
		} else {
			name = utf_printf(c->arena, "image-%s", image_build_id(c, &im));
		}
		add_module(l, name != NULL ? name : "", im.base, end, &im);
	}
}

/* The program by where its program headers are, if the core lacks the page itself: the
 * mappings that follow one another there. */
static void
from_program_headers(struct collector *l)
{
	const struct elfcore *c = l->c;
	const struct elf_image none = { 0 };
	uint64_t at, end = 0;

	if (!elfcore_auxv(c, AT_PHDR, &at))
		return;
	for (size_t i = 0; i < l->n; i++)
		if (at - l->modules[i].base < l->modules[i].size)
			return;
	for (size_t i = 0; i < c->n_loads; i++)
		if ((end == 0 && at - c->loads[i].addr < c->loads[i].memsz) || (end != 0 && end == c->loads[i].addr))
			end = c->loads[i].addr + c->loads[i].memsz;
	add_module(l, c->program, at & ~UINT64_C(0xfff), end, &none);
}

/* Word at addr of the process. */
static bool
peek(const struct elfcore *c, uint64_t addr, uint64_t *out)
{
	struct reader r = memory(c, addr, c->is64 ? 8 : 4);

	*out = word(c, &r);
	return !reader_failed(&r);
}

/* Where the dynamic linker keeps its list: DT_DEBUG of the program's dynamic section,
 * which its program headers (AT_PHDR) lead to.  False: not in the core. */
static bool
find_link_map(const struct elfcore *c, uint64_t *out)
{
	uint64_t phdr, n, self = 0, dynamic = 0, debug = 0, w = c->is64 ? 8 : 4;
	struct reader r;

	if (!elfcore_auxv(c, AT_PHDR, &phdr) || !elfcore_auxv(c, AT_PHNUM, &n) || n > MAX_PHDRS)
		return false;
	r = memory(c, phdr, n * (c->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)));
	for (uint64_t i = 0; i < n && !reader_failed(&r); i++) {
		uint32_t type = reader_u32(&r);
		uint64_t vaddr;

		reader_skip(&r, c->is64 ? 12 : 4);
		vaddr = word(c, &r);
		reader_skip(&r, c->is64 ? 32 : 20);
		if (type == PT_PHDR)
			self = vaddr;
		else if (type == PT_DYNAMIC)
			dynamic = vaddr;
	}
	if (reader_failed(&r) || dynamic == 0 || self == 0)
		return false;
	r = memory(c, phdr - self + dynamic, 512 * 2 * w);
	for (uint64_t tag = 1; tag != DT_NULL && !reader_failed(&r);) {
		uint64_t value;

		tag = word(c, &r);
		value = word(c, &r);
		if (tag == DT_DEBUG)
			debug = value;
	}
	return debug != 0 && debug < UINT64_MAX - w && peek(c, debug + w, out);
}

#define LINK_MAP_MAX 4096

static void
needed(struct dump *d, uint64_t addr, uint64_t size)
{
	if (d->needed.regions != NULL && d->needed.n < 2 * LINK_MAP_MAX)
		d->needed.regions[d->needed.n++] = (struct mem_region){ addr, size, NULL };
}

/* Paths from the dynamic linker's list, matched by where their dynamic section lies. */
static void
name_from_link_map(struct collector *l)
{
	const struct elfcore *c = l->c;
	uint64_t map, w = c->is64 ? 8 : 4, name, dynamic;

	if (!find_link_map(c, &map))
		return;
	c->d->needed.regions = ARENA_ARRAY(c->arena, struct mem_region, 2 * LINK_MAP_MAX);
	/* the list may be damaged into a ring: it has no more entries than modules matter */
	for (int i = 0; i < LINK_MAP_MAX && map != 0 && map < UINT64_MAX - 4 * w; i++) {
		needed(c->d, map, 4 * w);
		if (!peek(c, map + w, &name) || !peek(c, map + 2 * w, &dynamic) || !peek(c, map + 3 * w, &map))
			return;
		for (size_t k = 0; k < l->n; k++) {
			struct triage_module *m = &l->modules[k];
			struct reader text;
			const char *path;

			if (dynamic - m->base >= m->size)
				continue;
			text = memory(c, name, PATH_BYTES);
			path = reader_failed(&text) ? NULL : utf_from_bytes(c->arena, text.base, text.size, PATH_BYTES);
			if (path != NULL && *path != '\0') {
				m->path = path;
				needed(c->d, name, strlen(path) + 1);
			}
			break;
		}
	}
}

static void
add_vdso(struct collector *l)
{
	const char *name = l->c->machine == EM_386 ? "linux-gate.so.1" : "linux-vdso.so.1";
	struct elf_image im;
	uint64_t base, size = 4096;

	if (!elfcore_auxv(l->c, AT_SYSINFO_EHDR, &base) || base == 0)
		return;
	im = image_at(l->c, base);
	if (im.found && im.high - im.low > 0 && im.high - im.low < UINT64_C(1) << 24)
		size = (im.high - (im.low & ~UINT64_C(0xfff)) + 4095) & ~UINT64_C(4095);
	if (size <= UINT64_MAX - base)
		add_module(l, name, base, base + size, &im);
}

/* The program itself comes first. */
static void
program_first(struct collector *l)
{
	uint64_t at;

	if (!elfcore_auxv(l->c, AT_PHDR, &at) && !elfcore_auxv(l->c, AT_ENTRY, &at))
		return;
	for (size_t i = 1; i < l->n; i++) {
		struct triage_module m = l->modules[i];

		if (at - m.base >= m.size)
			continue;
		memmove(&l->modules[1], &l->modules[0], i * sizeof(m));
		l->modules[0] = m;
		return;
	}
}

/* Where code can be, so that a scan of the stack does not take data for it. */
static enum err
note_code(struct elfcore *c)
{
	struct mem *code = &c->d->exec;

	code->regions = ARENA_ARRAY(c->arena, struct mem_region, c->n_loads);
	if (code->regions == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < c->n_loads; i++)
		if (c->loads[i].executable)
			code->regions[code->n++] = (struct mem_region){ c->loads[i].addr, c->loads[i].memsz, NULL };
	mem_sort(code);
	return ERR_OK;
}

enum err
elfcore_read_modules(struct elfcore *c)
{
	struct collector l = { .c = c, .cap = c->n_loads < TRIAGE_MAX_MODULES ? c->n_loads + 1 : TRIAGE_MAX_MODULES };

	if ((l.modules = ARENA_ARRAY(c->arena, struct triage_module, l.cap)) == NULL)
		return ERR_LIMIT;
	if (!reader_failed(&c->files)) {
		from_file_note(&l);
	} else {
		from_headers(&l);
		from_program_headers(&l);
		name_from_link_map(&l);
	}
	if (l.n == TRIAGE_MAX_MODULES)
		dump_partial(c->d, "more modules than our limit");
	add_vdso(&l);
	program_first(&l);
	c->d->modules = l.modules;
	c->d->n_modules = l.n;
	return note_code(c);
}
