/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/callsite.h"
#include "triage/unwind.h"

/* What unwinders share: images of the modules, memory, plausible return addresses. */

enum { ASKED_ELF = 1, ASKED_PE = 2, ASKED_SYM = 4 };

struct unwind_module {
	uint8_t asked;
	bool keyed;
	bool own_elf; /* of the dump's memory */
	struct image_key key;
	struct elfimage *elf;
	struct peimage *pe;
	struct symfile *sym;
};

enum err
unwind_init(struct unwind *u, struct arena *a)
{
	u->arena = a;
	u->work = UNWIND_WORK;
	u->why = "";
	u->width = u->arch == TRIAGE_ARCH_X86 || u->arch == TRIAGE_ARCH_ARM ? 4 : 8;
	u->modules = NULL;
	if (u->mi->n > 0 && (u->modules = ARENA_ARRAY(a, struct unwind_module *, u->mi->n)) == NULL)
		return ERR_LIMIT;
	return ERR_OK;
}

void
unwind_fini(struct unwind *u)
{
	for (size_t i = 0; i < u->mi->n; i++)
		if (u->modules[i] != NULL && u->modules[i]->own_elf)
			elfimage_close(u->modules[i]->elf);
}

unsigned
unwind_sp(enum triage_arch arch)
{
	switch (arch) {
	case TRIAGE_ARCH_X64:
		return UNWIND_X64_SP;
	case TRIAGE_ARCH_X86:
		return UNWIND_X86_SP;
	case TRIAGE_ARCH_ARM:
		return UNWIND_ARM_SP;
	case TRIAGE_ARCH_ARM64:
		return UNWIND_ARM64_SP;
	default:
		return 0;
	}
}

unsigned
unwind_fp(enum triage_arch arch, enum triage_os os)
{
	switch (arch) {
	case TRIAGE_ARCH_X64:
		return UNWIND_X64_BP;
	case TRIAGE_ARCH_X86:
		return UNWIND_X86_BP;
	case TRIAGE_ARCH_ARM:
		return os == TRIAGE_OS_IOS ? UNWIND_ARM_R7 : UNWIND_ARM_FP;
	case TRIAGE_ARCH_ARM64:
		return UNWIND_ARM64_FP;
	default:
		return 0;
	}
}

uint64_t
unwind_lookup_pc(enum triage_arch arch, const struct unwind_frame *f)
{
	if (f->exact || f->pc < 4)
		return f->pc;
	return f->pc - (arch == TRIAGE_ARCH_ARM64 ? 4 : arch == TRIAGE_ARCH_ARM ? 2 : 1);
}

bool
unwind_work(struct unwind *u, uint64_t n)
{
	if (n <= u->work) {
		u->work -= n;
		return true;
	}
	u->work = 0;
	u->why = "unwinding took too much work";
	return false;
}

/* ---- images ---- */

static struct unwind_module *
module_of(struct unwind *u, int32_t i)
{
	struct unwind_module *m;

	if (i < 0 || (size_t)i >= u->mi->n)
		return NULL;
	m = u->modules[i];
	if (m == NULL && (m = u->modules[i] = ARENA_NEW(u->arena, struct unwind_module)) != NULL)
		m->keyed = u->images != NULL && image_key_of(&u->mi->modules[i], &m->key);
	return m;
}

struct elfimage *
unwind_elf(struct unwind *u, int32_t i)
{
	struct unwind_module *m = module_of(u, i);
	struct elfimage_memory memory = { u->at, u->arg, 0 };
	struct diag diag;
	uint64_t len;

	if (m == NULL || m->asked & ASKED_ELF)
		return m != NULL ? m->elf : NULL;
	m->asked |= ASKED_ELF;
	if (m->keyed)
		m->elf = images_elf(u->images, &m->key);
	if (m->elf == NULL) {
		const uint8_t *p = u->at(u->arg, u->mi->modules[i].base, &len);

		memory.base = u->mi->modules[i].base;
		if (p != NULL && len >= 4 && memcmp(p, "\177ELF", 4) == 0 &&
		    elfimage_open_memory(u->arena, &memory, &m->elf, &diag) != ERR_OK)
			m->elf = NULL;
		m->own_elf = m->elf != NULL;
	}
	if (m->elf != NULL && elfimage_arch(m->elf) != u->arch)
		m->elf = NULL;
	return m->elf;
}

struct peimage *
unwind_pe(struct unwind *u, int32_t i)
{
	struct unwind_module *m = module_of(u, i);
	struct peimage_memory memory = { u->at, u->arg, 0 };
	struct diag diag;
	uint64_t len;

	if (m == NULL || m->asked & ASKED_PE)
		return m != NULL ? m->pe : NULL;
	m->asked |= ASKED_PE;
	if (m->keyed)
		m->pe = images_pe(u->images, &m->key);
	if (m->pe == NULL) {
		const uint8_t *p = u->at(u->arg, u->mi->modules[i].base, &len);

		memory.base = u->mi->modules[i].base;
		if (p != NULL && len >= 2 && memcmp(p, "MZ", 2) == 0 &&
		    peimage_open_memory(u->arena, &memory, &m->pe, &diag) != ERR_OK)
			m->pe = NULL;
	}
	if (m->pe != NULL && m->pe->arch != u->arch)
		m->pe = NULL;
	return m->pe;
}

struct symfile *
unwind_symfile(struct unwind *u, int32_t i)
{
	struct unwind_module *m = module_of(u, i);

	if (m == NULL || m->asked & ASKED_SYM)
		return m != NULL ? m->sym : NULL;
	m->asked |= ASKED_SYM;
	if (m->keyed)
		m->sym = images_sym(u->images, &m->key);
	return m->sym;
}

const char *
unwind_function(struct unwind *u, int32_t i, uint64_t offset, uint64_t *distance_out)
{
	struct symfile_function f;
	struct elfimage *elf, *debug;
	struct symfile *sym;
	struct peimage *pe;
	uint64_t start = 0;
	const char *name = "";

	if (i < 0)
		return "";
	if ((sym = unwind_symfile(u, i)) != NULL && symfile_function(sym, offset, &f)) {
		char *copy = arena_calloc(u->arena, f.name.len + 1, 1);

		if (copy == NULL)
			return "";
		memcpy(copy, f.name.at, f.name.len);
		name = copy;
		start = f.start;
	}
	if (*name == '\0' && u->modules[i] != NULL && u->modules[i]->keyed &&
	    (debug = images_debug(u->images, &u->modules[i]->key)) != NULL)
		name = elfimage_function(debug, offset, &start);
	if (*name == '\0' && (elf = unwind_elf(u, i)) != NULL)
		name = elfimage_function(elf, offset, &start);
	if (*name == '\0' && (pe = unwind_pe(u, i)) != NULL)
		name = peimage_function(pe, offset, &start);
	*distance_out = offset - start;
	return name;
}

/* ---- memory ---- */

/* Bytes of the image of whatever module is at addr, if the process could not change them. */
static const uint8_t *
image_at(struct unwind *u, uint64_t addr, uint64_t *len_out)
{
	int32_t i = module_index_find(u->mi, addr);
	struct elfimage *elf;
	struct peimage *pe;
	uint64_t offset;

	if (i < 0 || u->images == NULL)
		return NULL;
	offset = addr - u->mi->modules[i].base;
	if ((elf = unwind_elf(u, i)) != NULL && !elfimage_is_writable(elf, offset))
		return elfimage_at(elf, offset, len_out);
	if ((pe = unwind_pe(u, i)) != NULL && !peimage_is_writable(pe, offset))
		return peimage_at(pe, offset, len_out);
	return NULL;
}

bool
unwind_read(struct unwind *u, uint64_t addr, void *out, size_t len)
{
	uint8_t *to = out;

	if (!unwind_work(u, 1))
		return false;
	while (len > 0) {
		uint64_t have = 0;
		const uint8_t *p = u->at(u->arg, addr, &have);

		if (p == NULL)
			p = image_at(u, addr, &have);
		if (p == NULL || have == 0)
			return false;
		if (have > len)
			have = len;
		memcpy(to, p, (size_t)have);
		to += have;
		addr += have;
		len -= (size_t)have;
	}
	return true;
}

bool
unwind_uint(struct unwind *u, uint64_t addr, unsigned width, uint64_t *out)
{
	uint8_t b[8];
	uint64_t v = 0;

	if (width > 8 || !unwind_read(u, addr, b, width))
		return false;
	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t)b[i] << 8 * (u->big_endian ? width - 1 - i : i);
	*out = v;
	return true;
}

bool
unwind_pointer(struct unwind *u, uint64_t addr, uint64_t *out)
{
	return unwind_uint(u, addr, u->width, out);
}

/* ---- return addresses ---- */

/* Whether a call ends at pc; true when the bytes before it are not known. */
static bool
after_call(struct unwind *u, uint64_t pc)
{
	bool thumb = u->arch == TRIAGE_ARCH_ARM && pc & 1; /* bit 0 says so, the code begins before it */
	uint64_t end = thumb ? pc - 1 : pc;
	uint8_t b[CALLSITE_BYTES];

	if (u->arch == TRIAGE_ARCH_ARM64 && pc % 4 != 0)
		return false;
	return !unwind_read(u, end - sizeof(b), b, sizeof(b)) || call_before(u->arch, thumb, b, sizeof(b));
}

bool
unwind_is_return(struct unwind *u, uint64_t pc)
{
	int32_t i = pc > 16 ? module_index_find(u->mi, pc - 1) : -1;
	struct elfimage *elf;
	struct peimage *pe;
	uint64_t offset;

	if (i < 0)
		return false;
	offset = pc - 1 - u->mi->modules[i].base;
	if ((elf = unwind_elf(u, i)) != NULL && !elfimage_is_code(elf, offset))
		return false;
	if (elf == NULL && (pe = unwind_pe(u, i)) != NULL && !peimage_is_code(pe, offset))
		return false;
	return after_call(u, pc);
}
