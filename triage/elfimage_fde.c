/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "triage/elfimage_impl.h"

/* .eh_frame: which record unwinds an address.  The search table of .eh_frame_hdr is used where
 * it is of the usual kind; its answer is checked against the record.  Else the records are
 * read once and sorted. */

#define PE_OMIT     0xff
#define PE_INDIRECT 0x80
#define HDR_TABLE   0x3b /* pairs of 32-bit numbers relative to the header */
#define LEB_MAX     10
#define MAX_RECORDS (1u << 22)
#define NO_CIE      UINT64_MAX

static uint64_t
leb128(struct reader *r, bool is_signed)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < LEB_MAX; i++) {
		uint8_t b = reader_u8(r);

		if (7 * i < 64)
			v |= (uint64_t)(b & 0x7f) << 7 * i;
		if (!(b & 0x80)) {
			if (is_signed && (b & 0x40) && 7 * (i + 1) < 64)
				v |= ~UINT64_C(0) << 7 * (i + 1);
			return v;
		}
	}
	reader_fail(r, ERR_MALFORMED, "a number without end");
	return 0;
}

/* A pointer as encoded by enc; here: the address r stands at. */
static uint64_t
encoded(const struct elfimage *e, struct reader *r, uint8_t enc, uint64_t here)
{
	uint64_t v;

	switch (enc & 0x0f) {
	case 0x00:
		v = elfimage_word(e, r);
		break;
	case 0x01:
		v = leb128(r, false);
		break;
	case 0x02:
		v = reader_u16(r);
		break;
	case 0x03:
		v = reader_u32(r);
		break;
	case 0x04:
	case 0x0c:
		v = reader_u64(r);
		break;
	case 0x09:
		v = leb128(r, true);
		break;
	case 0x0a:
		v = (uint64_t)(int64_t)(int16_t)reader_u16(r);
		break;
	case 0x0b:
		v = (uint64_t)(int64_t)(int32_t)reader_u32(r);
		break;
	default:
		reader_fail(r, ERR_UNSUPPORTED, "a pointer encoding we do not know");
		return 0;
	}
	switch (enc & 0x70) {
	case 0x00:
		break;
	case 0x10:
		v += here;
		break;
	case 0x30:
		v += e->eh_header;
		break;
	default:
		reader_fail(r, ERR_UNSUPPORTED, "a pointer encoding we do not know");
	}
	return e->is64 ? v : (uint32_t)v;
}

struct cie {
	uint8_t enc; /* of addresses in its FDEs */
	uint64_t column;
	struct elf_rules rules;
	bool augmented, signal; /* FDEs have data of their own before their rules; a signal trampoline's */
};

/* Length of a record and the address its fields begin at; 0: the end of the section. */
static uint64_t
record_length(struct reader *r)
{
	uint64_t len = reader_u32(r);

	return len == 0xffffffff ? reader_u64(r) : len;
}

static bool
read_cie(const struct elfimage *e, uint64_t at, struct cie *out)
{
	struct reader r = elfimage_reader(e, at), aug;
	uint64_t len = record_length(&r), here;
	char text[8] = "";
	uint8_t version;
	size_t n = 0;

	*out = (struct cie){ .enc = 0 };
	if (reader_failed(&r) || len == 0 || len > r.size - r.pos)
		return false;
	out->rules.to = at + r.pos + len;
	if (reader_u32(&r) != 0) /* an FDE */
		return false;
	version = reader_u8(&r);
	if (version != 1 && version != 3 && version != 4)
		return false;
	for (uint8_t c; (c = reader_u8(&r)) != 0 && n < sizeof(text) - 1;)
		text[n++] = (char)c;
	if (n == sizeof(text) - 1)
		return false;
	if (version == 4)
		reader_skip(&r, 2);
	(void)leb128(&r, false);
	(void)leb128(&r, true);
	out->column = version == 1 ? reader_u8(&r) : leb128(&r, false);
	out->rules.from = at + r.pos;
	if (text[0] == '\0')
		return !reader_failed(&r);
	if (text[0] != 'z')
		return false;
	len = leb128(&r, false);
	if (reader_failed(&r) || len > r.size - r.pos)
		return false;
	here = at + r.pos;
	out->rules.from = here + len;
	out->augmented = true;
	aug = reader_sub(&r, r.pos, len);
	for (size_t i = 1; i < n && !reader_failed(&aug); i++) {
		if (text[i] == 'R') {
			out->enc = reader_u8(&aug);
		} else if (text[i] == 'P') {
			uint8_t enc = reader_u8(&aug);

			(void)encoded(e, &aug, enc & 0x0f, here + aug.pos);
		} else if (text[i] == 'L') {
			reader_skip(&aug, 1);
		} else if (text[i] == 'S') {
			out->signal = true;
		} else if (text[i] != 'B' && text[i] != 'G') {
			return false;
		}
	}
	return !reader_failed(&aug) && out->enc != PE_OMIT && !(out->enc & PE_INDIRECT);
}

enum record { RECORD_END, RECORD_FDE, RECORD_OTHER };

/* The record at an address; *next is where the one behind it is.  cie_at and cie cache the last common part. */
static enum record
read_record(const struct elfimage *e, uint64_t at, uint64_t *next, uint64_t *cie_at, struct cie *cie,
	    struct elf_fde *out)
{
	struct reader r = elfimage_reader(e, at);
	uint64_t len = record_length(&r), back, id_at = at + r.pos;

	if (reader_failed(&r) || len == 0 || len > r.size - r.pos || len < 4)
		return RECORD_END;
	*next = at + r.pos + len;
	back = reader_u32(&r);
	if (back == 0 || back > id_at)
		return RECORD_OTHER;
	if (*cie_at != id_at - back) {
		*cie_at = id_at - back;
		if (!read_cie(e, *cie_at, cie)) {
			*cie_at = NO_CIE;
			return RECORD_OTHER;
		}
	}
	out->start = encoded(e, &r, cie->enc, at + r.pos);
	out->size = encoded(e, &r, cie->enc & 0x0f, 0);
	out->fde = at;
	out->length = len;
	out->column = cie->column;
	out->signal = cie->signal;
	out->enc = cie->enc;
	out->common = cie->rules;
	if (cie->augmented)
		reader_skip(&r, leb128(&r, false));
	out->own = (struct elf_rules){ at + r.pos, *next };
	return reader_failed(&r) || out->size == 0 ? RECORD_OTHER : RECORD_FDE;
}

/* ---- the search table of .eh_frame_hdr ---- */

static void
check_table(struct elfimage *e)
{
	struct reader r;
	uint8_t version, frame, count, table;

	if (e->table_checked)
		return;
	e->table_checked = true;
	if (e->eh_header_size < 8)
		return;
	r = elfimage_reader(e, e->eh_header);
	version = reader_u8(&r);
	frame = reader_u8(&r);
	count = reader_u8(&r);
	table = reader_u8(&r);
	if (reader_failed(&r) || version != 1)
		return;
	if (frame != PE_OMIT)
		e->eh_frame_at = encoded(e, &r, frame, e->eh_header + r.pos);
	if (count == PE_OMIT || table != HDR_TABLE)
		return;
	e->count = encoded(e, &r, count, e->eh_header + r.pos);
	e->table = e->eh_header + r.pos;
	if (reader_failed(&r) || r.pos > e->eh_header_size || e->count > (e->eh_header_size - r.pos) / 8 ||
	    e->count > (r.size - r.pos) / 8)
		e->count = 0;
}

/* The record that the table names for an address, 0 none. */
static uint64_t
search_table(const struct elfimage *e, uint64_t address)
{
	struct reader r = elfimage_reader(e, e->table);
	uint64_t lo = 0, hi = e->count;

	while (lo < hi && !reader_failed(&r)) {
		uint64_t mid = lo + (hi - lo) / 2;

		r.pos = (size_t)(8 * mid);
		if (e->eh_header + (uint64_t)(int64_t)(int32_t)reader_u32(&r) <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || reader_failed(&r))
		return 0;
	r.pos = (size_t)(8 * (lo - 1) + 4);
	return e->eh_header + (uint64_t)(int64_t)(int32_t)reader_u32(&r);
}

/* ---- the own index ---- */

static int
by_start(const void *pa, const void *pb)
{
	const struct elf_slot *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->fde < b->fde ? -1 : a->fde > b->fde;
}

/* Go over the records, writing up to cap of them to slots; returns how many there are. */
static size_t
collect(const struct elfimage *e, uint64_t at, uint64_t end, struct elf_slot *slots, size_t cap)
{
	uint64_t cie_at = NO_CIE, next = 0;
	struct cie cie = { 0 };
	struct elf_fde f = { 0 };
	enum record kind;
	size_t n = 0;

	for (unsigned i = 0; i < MAX_RECORDS && at < end; i++, at = next) {
		if ((kind = read_record(e, at, &next, &cie_at, &cie, &f)) == RECORD_END)
			break;
		if (kind == RECORD_OTHER)
			continue;
		if (slots != NULL && n < cap)
			slots[n] = (struct elf_slot){ f.start, f.fde };
		n++;
	}
	return slots != NULL && n > cap ? cap : n;
}

static void
build_index(struct elfimage *e)
{
	uint64_t at = e->eh_frame_at, end = UINT64_MAX;
	size_t n;

	if (e->indexed)
		return;
	e->indexed = true;
	if (e->eh_frame.size > 0 && e->eh_frame.addr != 0) {
		at = e->eh_frame.addr;
		end = at + e->eh_frame.size;
	}
	if (at == 0)
		return;
	n = collect(e, at, end, NULL, 0);
	e->slots = ARENA_ARRAY(e->arena, struct elf_slot, n);
	if (e->slots == NULL)
		return;
	e->n_slots = collect(e, at, end, e->slots, n);
	qsort(e->slots, e->n_slots, sizeof(e->slots[0]), by_start);
}

static uint64_t
search_index(const struct elfimage *e, uint64_t address)
{
	size_t lo = 0, hi = e->n_slots;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (e->slots[mid].start <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 ? e->slots[lo - 1].fde : 0;
}

/* ---- rules ---- */

#define REMEMBER       0x0a
#define RESTORE        0x0b
#define REMEMBERED_MAX 32 /* states at a time: compilers need one or two */

/* Operands of the instructions: r a register, u a number, b a block of bytes, p an address, 1 2 4 so many bytes.
 * DWARF 5, section 7.24, and GNU's own. */
static const char *const operands[0x40] = {
	[0x00] = "",   [0x01] = "p",  [0x02] = "1",  [0x03] = "2",  [0x04] = "4",  [0x05] = "ru", [0x06] = "r",
	[0x07] = "r",  [0x08] = "r",  [0x09] = "rr", [0x0a] = "",   [0x0b] = "",   [0x0c] = "ru", [0x0d] = "r",
	[0x0e] = "u",  [0x0f] = "b",  [0x10] = "rb", [0x11] = "ru", [0x12] = "ru", [0x13] = "u",  [0x14] = "ru",
	[0x15] = "ru", [0x16] = "rb", [0x2e] = "u",  [0x2f] = "ru",
};

static bool
rules_within(const struct elfimage *e, struct elf_rules rules, uint8_t enc, unsigned n)
{
	struct reader r = elfimage_reader(e, rules.from);
	unsigned remembered = 0;

	if (rules.from > rules.to || rules.to - rules.from > r.size)
		return false;
	while (r.pos < rules.to - rules.from && !reader_failed(&r)) {
		uint8_t op = reader_u8(&r);
		const char *o = op < 0x40 ? operands[op] : op >> 6 == 2 ? "u" : "";

		if (o == NULL || (op >= 0x80 && (op & 0x3f) >= n) || (op == REMEMBER && remembered++ >= REMEMBERED_MAX))
			return false;
		if (op == RESTORE && remembered > 0)
			remembered--;
		for (; *o != '\0'; o++)
			if (*o == 'r' && leb128(&r, false) >= n)
				return false;
			else if (*o == 'u')
				(void)leb128(&r, false);
			else if (*o == 'b')
				reader_skip(&r, leb128(&r, false));
			else if (*o == 'p')
				(void)encoded(e, &r, enc, 0);
			else if (*o != 'r')
				reader_skip(&r, (size_t)(*o - '0'));
	}
	return !reader_failed(&r);
}

bool
elfimage_fde_within(const struct elfimage *e, const struct elf_fde *f, unsigned n)
{
	return f->column < n && rules_within(e, f->common, f->enc, n) && rules_within(e, f->own, f->enc, n);
}

/* ---- the outside ---- */

bool
elfimage_fde(struct elfimage *e, uint64_t offset, struct elf_fde *out)
{
	uint64_t address = e->first + offset, at, cie_at = NO_CIE, next;
	struct cie cie = { 0 };

	check_table(e);
	if (e->count == 0)
		build_index(e);
	at = e->count != 0 ? search_table(e, address) : search_index(e, address);
	return at != 0 && read_record(e, at, &next, &cie_at, &cie, out) == RECORD_FDE && address >= out->start &&
	       address - out->start < out->size;
}

bool
elfimage_has_unwind(const struct elfimage *e)
{
	return e->has_code && (e->eh_header_size > 0 || e->eh_frame.size > 0);
}
