/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "triage/peimage.h"

#define SECTION       40u
#define DIRECTORIES   16u
#define MAX_EXPORTS   (1u << 20)
#define EXPORT_NAME   512u
#define SCN_CODE      0x20u
#define SCN_EXECUTE   0x20000000u
#define SCN_WRITE     0x80000000u
#define DEBUG_ENTRIES 32u
#define CODEVIEW      2u
#define RSDS          0x53445352u

struct pe_export {
	uint32_t rva, name; /* name: RVA of the text */
};

struct pe_exports {
	struct pe_export *list; /* by rva */
	size_t n;
};

/* ---- bytes ---- */

static const struct pe_section *
section_of(const struct peimage *pe, uint64_t rva)
{
	for (size_t i = 0; i < pe->n_sections; i++)
		if (rva >= pe->sections[i].rva && rva - pe->sections[i].rva < pe->sections[i].size)
			return &pe->sections[i];
	return NULL;
}

const uint8_t *
peimage_at(const struct peimage *pe, uint64_t rva, uint64_t *len_out)
{
	const struct pe_section *s;
	uint64_t at, end;

	*len_out = 0;
	if (rva >= pe->image_size)
		return NULL;
	if (pe->memory.at != NULL) {
		const uint8_t *p = rva <= UINT64_MAX - pe->memory.base
					   ? pe->memory.at(pe->memory.arg, pe->memory.base + rva, len_out)
					   : NULL;

		if (p == NULL)
			*len_out = 0;
		else if (*len_out > pe->image_size - rva)
			*len_out = pe->image_size - rva;
		return p;
	}
	if (rva < pe->header_size) {
		at = rva;
		end = pe->header_size;
	} else if ((s = section_of(pe, rva)) != NULL) {
		at = s->at + (rva - s->rva);
		end = (uint64_t)s->at + (s->raw_size < s->size ? s->raw_size : s->size);
	} else {
		return NULL;
	}
	if (end > pe->file.size)
		end = pe->file.size;
	if (at >= end)
		return NULL;
	*len_out = end - at;
	return pe->file.base + (size_t)at;
}

bool
peimage_read(const struct peimage *pe, uint64_t rva, void *out, size_t len)
{
	uint8_t *to = out;

	while (len > 0) {
		uint64_t have;
		const uint8_t *p = peimage_at(pe, rva, &have);

		if (p == NULL || have == 0)
			return false;
		if (have > len)
			have = len;
		memcpy(to, p, (size_t)have);
		to += have;
		rva += have;
		len -= (size_t)have;
	}
	return true;
}

bool
peimage_uint(const struct peimage *pe, uint64_t rva, unsigned width, uint64_t *out)
{
	uint8_t b[8];
	uint64_t v = 0;

	if (width > 8 || !peimage_read(pe, rva, b, width))
		return false;
	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t)b[i] << 8 * i;
	*out = v;
	return true;
}

bool
peimage_is_code(const struct peimage *pe, uint64_t rva)
{
	const struct pe_section *s = section_of(pe, rva);

	return s != NULL && s->code;
}

bool
peimage_is_writable(const struct peimage *pe, uint64_t rva)
{
	const struct pe_section *s = section_of(pe, rva);

	return s != NULL && s->writable;
}

/* ---- headers ---- */

static enum triage_arch
arch_of(uint16_t machine)
{
	switch (machine) {
	case 0x14c:
		return TRIAGE_ARCH_X86;
	case 0x8664:
		return TRIAGE_ARCH_X64;
	case 0x1c0:
	case 0x1c2:
	case 0x1c4:
		return TRIAGE_ARCH_ARM;
	case 0xaa64:
		return TRIAGE_ARCH_ARM64;
	default:
		return TRIAGE_ARCH_UNKNOWN;
	}
}

/* Windows loads no image whose sections are not in order, overlap or wrap: such a file is not what ran. */
static void
read_sections(struct peimage *pe, struct reader *r, unsigned n)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < n && !reader_failed(r); i++) {
		struct pe_section *s = &pe->sections[pe->n_sections];
		const uint8_t *name = reader_bytes(r, 8);
		uint32_t flags;

		if (name == NULL)
			return;
		memcpy(s->name, name, 8);
		s->size = reader_u32(r);
		s->rva = reader_u32(r);
		s->raw_size = reader_u32(r);
		s->at = reader_u32(r);
		reader_skip(r, 12);
		flags = reader_u32(r);
		if (reader_failed(r))
			return;
		if (s->size == 0) /* old linkers leave it out */
			s->size = s->raw_size;
		s->code = (flags & (SCN_CODE | SCN_EXECUTE)) != 0;
		s->writable = (flags & SCN_WRITE) != 0;
		if (s->size == 0 || s->rva >= pe->image_size)
			continue;
		if (s->rva < end || s->size > UINT32_MAX - s->rva)
			reader_fail(r, ERR_MALFORMED, "sections that overlap");
		if (s->size > pe->image_size - s->rva)
			s->size = pe->image_size - s->rva;
		end = (uint64_t)s->rva + s->size;
		pe->n_sections++;
	}
}

/* The optional header and the section table, at r. */
static void
read_optional(struct peimage *pe, struct reader *r, size_t size, unsigned n_sections)
{
	struct reader o = reader_sub(r, r->pos, size);
	uint16_t magic = reader_u16(&o);
	uint32_t n, dir[DIRECTORIES][2] = { 0 };

	reader_skip(r, size);
	if (magic != 0x10b && magic != 0x20b)
		reader_fail(&o, ERR_MALFORMED, "a PE optional header of unknown kind");
	pe->is64 = magic == 0x20b;
	reader_skip(&o, pe->is64 ? 22 : 26);
	pe->preferred_base = pe->is64 ? reader_u64(&o) : reader_u32(&o);
	reader_skip(&o, 24);
	pe->image_size = reader_u32(&o);
	pe->header_size = reader_u32(&o);
	reader_skip(&o, pe->is64 ? 44 : 28);
	n = reader_u32(&o);
	for (unsigned i = 0; i < n && i < DIRECTORIES && o.size - o.pos >= 8; i++) {
		dir[i][0] = reader_u32(&o);
		dir[i][1] = reader_u32(&o);
	}
	if (reader_failed(&o)) {
		reader_fail(r, o.err.code, o.err.what);
		return;
	}
	pe->export_rva = dir[0][0];
	pe->export_size = dir[0][1];
	if (dir[3][0] < pe->image_size && dir[3][1] <= pe->image_size - dir[3][0]) {
		pe->exception_rva = dir[3][0];
		pe->exception_size = dir[3][0] != 0 ? dir[3][1] : 0;
	}
	read_sections(pe, r, n_sections);
	snprintf(pe->code_id, sizeof(pe->code_id), "%08x%x", pe->timestamp, pe->image_size);
	/* the debug directory is the seventh */
	for (uint32_t i = 0; i < DEBUG_ENTRIES && dir[6][1] >= 28 * (i + 1); i++) {
		uint64_t at = (uint64_t)dir[6][0] + 28 * i, type, rva, cv, age, d1, d2, d3;
		uint8_t t[8];

		if (!peimage_uint(pe, at + 12, 4, &type) || type != CODEVIEW || !peimage_uint(pe, at + 20, 4, &rva) ||
		    !peimage_uint(pe, rva, 4, &cv) || cv != RSDS || !peimage_uint(pe, rva + 4, 4, &d1) ||
		    !peimage_uint(pe, rva + 8, 2, &d2) || !peimage_uint(pe, rva + 10, 2, &d3) ||
		    !peimage_read(pe, rva + 12, t, 8) || !peimage_uint(pe, rva + 20, 4, &age))
			continue;
		snprintf(pe->debug_id, sizeof(pe->debug_id), "%08x%04x%04x%02x%02x%02x%02x%02x%02x%02x%02x%x",
			 (unsigned)d1, (unsigned)d2, (unsigned)d3, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7],
			 (unsigned)age);
		return;
	}
}

/* r: the image from its first byte on, as much as there is in one piece. */
static void
read_headers(struct peimage *pe, struct reader *r)
{
	uint32_t at;
	uint16_t n_sections, optional;

	if (reader_u16(r) != 0x5a4d)
		reader_fail(r, ERR_UNSUPPORTED, "not a PE image");
	reader_skip(r, 0x3a);
	at = reader_u32(r);
	if (reader_failed(r))
		return;
	r->pos = at <= r->size ? at : r->size;
	if (reader_u32(r) != 0x4550)
		reader_fail(r, ERR_UNSUPPORTED, "an MZ program, but no PE image");
	pe->machine = reader_u16(r);
	pe->arch = arch_of(pe->machine);
	n_sections = reader_u16(r);
	pe->timestamp = reader_u32(r);
	reader_skip(r, 8);
	optional = reader_u16(r);
	reader_skip(r, 2);
	if (n_sections > PE_MAX_SECTIONS)
		reader_fail(r, ERR_LIMIT, "more sections than our limit");
	if (!reader_failed(r))
		read_optional(pe, r, optional, n_sections);
}

static enum err
open_at(struct peimage *pe, struct reader *r, struct peimage **out, struct diag *diag)
{
	read_headers(pe, r);
	if (reader_failed(r)) {
		*diag = r->err;
		return diag->code;
	}
	*out = pe;
	return ERR_OK;
}

static struct peimage *
new_image(struct arena *a, struct diag *diag)
{
	struct peimage *pe = ARENA_NEW(a, struct peimage);

	if (pe == NULL)
		*diag = (struct diag){ ERR_LIMIT, "the image needs more memory than it is given", 0 };
	else
		pe->arena = a;
	return pe;
}

enum err
peimage_open(struct arena *a, const void *file, size_t size, struct peimage **out, struct diag *diag)
{
	struct peimage *pe = new_image(a, diag);
	struct reader r;

	if (pe == NULL)
		return ERR_LIMIT;
	reader_init(&pe->file, file, size, false);
	r = pe->file;
	return open_at(pe, &r, out, diag);
}

enum err
peimage_open_memory(struct arena *a, const struct peimage_memory *memory, struct peimage **out, struct diag *diag)
{
	struct peimage *pe = new_image(a, diag);
	const uint8_t *p;
	struct reader r;
	uint64_t len;

	if (pe == NULL)
		return ERR_LIMIT;
	p = memory->at(memory->arg, memory->base, &len);
	if (p == NULL) {
		*diag = (struct diag){ ERR_ABSENT, "the dump does not hold the image's headers", memory->base };
		return ERR_ABSENT;
	}
	pe->memory = *memory;
	reader_init(&r, p, len < SIZE_MAX ? (size_t)len : SIZE_MAX, false);
	return open_at(pe, &r, out, diag);
}

/* ---- exports ---- */

static int
by_rva(const void *pa, const void *pb)
{
	const struct pe_export *a = pa, *b = pb;

	if (a->rva != b->rva)
		return a->rva < b->rva ? -1 : 1;
	return a->name < b->name ? -1 : a->name > b->name;
}

static struct pe_exports *
read_exports(struct peimage *pe)
{
	struct pe_exports *x = ARENA_NEW(pe->arena, struct pe_exports);
	uint64_t n_functions, n_names, functions, names, ordinals;

	if (x == NULL || pe->export_size < 40 || !peimage_uint(pe, pe->export_rva + 20ull, 4, &n_functions) ||
	    !peimage_uint(pe, pe->export_rva + 24ull, 4, &n_names) ||
	    !peimage_uint(pe, pe->export_rva + 28ull, 4, &functions) ||
	    !peimage_uint(pe, pe->export_rva + 32ull, 4, &names) ||
	    !peimage_uint(pe, pe->export_rva + 36ull, 4, &ordinals))
		return x;
	/* each name has four bytes in the image */
	if (n_names > MAX_EXPORTS || n_names > pe->image_size / 4)
		n_names = 0;
	x->list = ARENA_ARRAY(pe->arena, struct pe_export, (size_t)n_names);
	if (x->list == NULL)
		return x;
	for (uint64_t i = 0; i < n_names; i++) {
		uint64_t name, ordinal, rva;

		if (!peimage_uint(pe, names + 4 * i, 4, &name) || !peimage_uint(pe, ordinals + 2 * i, 2, &ordinal))
			break;
		if (ordinal >= n_functions || !peimage_uint(pe, functions + 4 * ordinal, 4, &rva) ||
		    rva - pe->export_rva < pe->export_size || !peimage_is_code(pe, rva)) /* forwarded, data */
			continue;
		x->list[x->n++] = (struct pe_export){ (uint32_t)rva, (uint32_t)name };
	}
	qsort(x->list, x->n, sizeof(x->list[0]), by_rva);
	return x;
}

/* Where the function at rva may begin as far as the unwind data knows: an export before that is another function. */
static uint32_t
earliest_begin(const struct peimage *pe, uint64_t rva)
{
	const unsigned entry = pe->arch == TRIAGE_ARCH_X64 ? 12 : pe->arch == TRIAGE_ARCH_ARM64 ? 8 : 0;
	uint32_t lo = 0, hi = entry != 0 ? pe->exception_size / entry : 0;
	uint64_t begin, end;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (!peimage_uint(pe, pe->exception_rva + (uint64_t)mid * entry, 4, &begin))
			return 0;
		if (begin <= rva)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || !peimage_uint(pe, pe->exception_rva + (uint64_t)(lo - 1) * entry, 4, &begin))
		return 0;
	/* x64 says where it ends too: what follows is a leaf */
	if (entry == 12 && peimage_uint(pe, pe->exception_rva + (uint64_t)(lo - 1) * entry + 4, 4, &end) && rva >= end)
		return (uint32_t)end;
	return (uint32_t)begin;
}

const char *
peimage_function(struct peimage *pe, uint64_t rva, uint64_t *start_out)
{
	size_t lo = 0, hi;
	const uint8_t *p;
	uint64_t len;

	if (pe->exports == NULL && (pe->exports = read_exports(pe)) == NULL)
		return "";
	hi = pe->exports->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (pe->exports->list[mid].rva <= rva)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || section_of(pe, rva) != section_of(pe, pe->exports->list[lo - 1].rva))
		return "";
	if (pe->exports->list[lo - 1].rva < earliest_begin(pe, rva))
		return "";
	while (lo > 1 && pe->exports->list[lo - 2].rva == pe->exports->list[lo - 1].rva)
		lo--;
	p = peimage_at(pe, pe->exports->list[lo - 1].name, &len);
	if (p == NULL || memchr(p, 0, len < EXPORT_NAME ? (size_t)len : EXPORT_NAME) == NULL)
		return "";
	*start_out = pe->exports->list[lo - 1].rva;
	return (const char *)p;
}
