/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "triage/elfimage_impl.h"

#define MAX_SYMBOLS (UINT64_C(1) << 23)
#define NAME_BYTES  8192u

static bool
in_code(const struct elfimage *e, uint64_t address)
{
	return address >= e->first && elfimage_is_code(e, address - e->first);
}

/* Of several names for one place: functions before labels, global before weak before local. */
static uint8_t
rank_of(uint8_t info)
{
	const uint8_t bind = info >> 4, type = info & 15;

	return (uint8_t)((type == STT_NOTYPE ? 0 : 4) + (bind == STB_GLOBAL ? 3 : bind == STB_WEAK ? 2 : 1));
}

/* The symbol at r; false: no function. */
static bool
read_symbol(const struct elfimage *e, struct reader *r, const char *names, uint64_t names_size, struct elf_symbol *out)
{
	uint64_t size;
	uint8_t info, type;
	uint16_t section;

	out->name = reader_u32(r);
	if (e->is64) {
		info = reader_u8(r);
		reader_skip(r, 1);
		section = reader_u16(r);
		out->start = reader_u64(r);
		size = reader_u64(r);
	} else {
		out->start = reader_u32(r);
		size = reader_u32(r);
		info = reader_u8(r);
		reader_skip(r, 1);
		section = reader_u16(r);
	}
	type = info & 15;
	if (section == SHN_UNDEF || (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) ||
	    out->name >= names_size || names[out->name] == '\0' || names[out->name] == '$')
		return false;
	if (e->machine == EM_ARM && type == STT_FUNC)
		out->start &= ~UINT64_C(1);
	out->size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
	out->rank = rank_of(info);
	return in_code(e, out->start);
}

static int
by_start(const void *pa, const void *pb)
{
	const struct elf_symbol *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank > b->rank ? -1 : 1;
	return a->name < b->name ? -1 : a->name > b->name;
}

static bool
read_table(struct elfimage *e, const struct elf_section *table, const struct elf_section *strings)
{
	const size_t width = e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	struct reader r = elfimage_section(e, table), names = elfimage_section(e, strings), again;
	struct elf_symbols *s = &e->symbols;
	struct elf_symbol one;
	size_t n = 0, count, kept = 0;

	if (reader_failed(&r) || reader_failed(&names) || names.size == 0 || r.size / width > MAX_SYMBOLS)
		return false;
	s->names = (const char *)names.base;
	s->names_size = names.size;
	again = r;
	count = r.size / width;
	for (size_t i = 0; i < count; i++)
		n += read_symbol(e, &r, s->names, s->names_size, &one);
	if ((s->list = ARENA_ARRAY(e->arena, struct elf_symbol, n)) == NULL)
		return false;
	for (size_t i = 0; i < count && s->n < n; i++)
		if (read_symbol(e, &again, s->names, s->names_size, &one))
			s->list[s->n++] = one;
	qsort(s->list, s->n, sizeof(s->list[0]), by_start);
	for (size_t i = 0; i < s->n; i++)
		if (kept == 0 || s->list[kept - 1].start != s->list[i].start)
			s->list[kept++] = s->list[i];
	s->n = kept;
	return kept > 0;
}

const char *
elfimage_function(struct elfimage *e, uint64_t offset, uint64_t *start_out)
{
	const struct elf_symbols *s = &e->symbols;
	uint64_t address = e->first + offset, left;
	const struct elf_symbol *found;
	size_t lo = 0, hi;

	if (!e->named) {
		e->named = true;
		if (!read_table(e, &e->symtab, &e->strtab)) {
			e->symbols = (struct elf_symbols){ 0 };
			if (!read_table(e, &e->dynsym, &e->dynstr))
				e->symbols = (struct elf_symbols){ 0 };
		}
	}
	hi = s->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->list[mid].start <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0)
		return "";
	found = &s->list[lo - 1];
	if (found->size != 0 && address - found->start >= found->size)
		return "";
	left = s->names_size - found->name;
	if (memchr(s->names + found->name, 0, left < NAME_BYTES ? (size_t)left : NAME_BYTES) == NULL)
		return "";
	*start_out = found->start - e->first;
	return s->names + found->name;
}

bool
elfimage_has_functions(const struct elfimage *e)
{
	return e->symtab.size > 0 || e->dynsym.size > 0;
}
