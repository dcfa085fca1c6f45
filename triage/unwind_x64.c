/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/unwind_x64.h"

#define CHAIN_MAX     32 /* records chained to one another; Windows stops there too */
#define CODES_MAX     255
#define EPILOGUE_MAX  40 /* bytes: an add, eight pops with prefixes, a jump */
#define FLAG_CHAINED  4
#define RUNTIME_ENTRY 12u /* bytes of a RUNTIME_FUNCTION */
#define DAMAGED       "unwind data that is damaged, or needs memory that is missing"

enum {
	OP_PUSH_NONVOL,
	OP_ALLOC_LARGE,
	OP_ALLOC_SMALL,
	OP_SET_FPREG,
	OP_SAVE_NONVOL,
	OP_SAVE_NONVOL_FAR,
	OP_EPILOG, /* version 1: a save of half an xmm register, which nobody writes */
	OP_SPARE,
	OP_SAVE_XMM,
	OP_SAVE_XMM_FAR,
	OP_PUSH_MACHFRAME,
	OP_COUNT
};

/* Registers as instructions number them: by their DWARF number. */
static const uint8_t dwarf[16] = { 0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15 };

/* What a call leaves as it was: rbx, rbp, rsi, rdi, rsp, r12 to r15. */
#define KEPT ((1u << 3) | (1u << 6) | (1u << 4) | (1u << 5) | (1u << 7) | (0xfu << 12))

struct function {
	uint32_t begin, end, info; /* RVAs; info: of its UNWIND_INFO */
};

struct info {
	unsigned version, flags, prologue, n_codes, frame_register, frame_offset;
	uint8_t codes[2 * CODES_MAX];
	struct function next; /* FLAG_CHAINED */
};

struct step {
	struct unwind *u;
	const struct peimage *pe;
	struct unwind_frame f; /* on its way to the caller */
	bool machine;          /* f.pc and the stack pointer came from a machine frame */
};

/* ---- the image's tables ---- */

static bool
function_at(const struct peimage *pe, uint32_t at, struct function *out)
{
	uint64_t begin, end, info;

	if (!peimage_uint(pe, at, 4, &begin) || !peimage_uint(pe, (uint64_t)at + 4, 4, &end) ||
	    !peimage_uint(pe, (uint64_t)at + 8, 4, &info))
		return false;
	*out = (struct function){ (uint32_t)begin, (uint32_t)end, (uint32_t)info };
	return true;
}

/* The record of the function that has rva.  False: none, or the table is not there (*missing). */
static bool
find_function(const struct peimage *pe, uint64_t rva, struct function *out, bool *missing)
{
	uint32_t lo = 0, hi = pe->exception_size / RUNTIME_ENTRY;
	uint64_t begin;

	*missing = false;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (!peimage_uint(pe, pe->exception_rva + (uint64_t)mid * RUNTIME_ENTRY, 4, &begin)) {
			*missing = true;
			return false;
		}
		if (begin <= rva)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0)
		return false;
	*missing = !function_at(pe, pe->exception_rva + (lo - 1) * RUNTIME_ENTRY, out);
	if (*missing || rva >= out->end)
		return false;
	/* an odd address is that of another record, which this one shares */
	for (unsigned i = 0; out->info & 1 && i <= CHAIN_MAX; i++)
		if (!function_at(pe, out->info & ~1u, out)) {
			*missing = true;
			return false;
		}
	/* in a circle: its address, still odd, is none of a record */
	return true;
}

static bool
read_info(const struct peimage *pe, uint32_t at, struct info *out)
{
	uint8_t head[4];

	if (!peimage_read(pe, at, head, 4))
		return false;
	out->version = head[0] & 7;
	out->flags = head[0] >> 3;
	out->prologue = head[1];
	out->n_codes = head[2];
	out->frame_register = head[3] & 15;
	out->frame_offset = 16u * (head[3] >> 4);
	if ((out->version != 1 && out->version != 2) || at % 4 != 0 ||
	    !peimage_read(pe, (uint64_t)at + 4, out->codes, (size_t)2 * out->n_codes))
		return false;
	/* the codes are padded to an even number */
	return !(out->flags & FLAG_CHAINED) || function_at(pe, at + 4 + 2 * ((out->n_codes + 1u) & ~1u), &out->next);
}

/* The function that fn is a part of; false: its records are damaged. */
static bool
primary(const struct peimage *pe, struct function *fn)
{
	struct info i;

	for (unsigned n = 0; n < CHAIN_MAX; n++) {
		if (!read_info(pe, fn->info, &i))
			return false;
		if (!(i.flags & FLAG_CHAINED))
			return true;
		*fn = i.next;
	}
	return false;
}

/* ---- registers ---- */

static uint64_t
sp_of(const struct step *s)
{
	return s->f.r[UNWIND_X64_SP];
}

static bool
pop(struct step *s, unsigned reg)
{
	uint64_t v;

	if (!unwind_uint(s->u, sp_of(s), 8, &v))
		return false;
	s->f.r[UNWIND_X64_SP] += 8;
	unwind_set(&s->f, dwarf[reg], v);
	return true;
}

static bool
restore(struct step *s, unsigned reg, uint64_t at)
{
	uint64_t v;

	if (!unwind_uint(s->u, at, 8, &v))
		return false;
	unwind_set(&s->f, dwarf[reg], v);
	return true;
}

static bool
machine_frame(struct step *s, bool error_code)
{
	uint64_t at = sp_of(s) + (error_code ? 8 : 0), pc, sp;

	if (!unwind_uint(s->u, at, 8, &pc) || !unwind_uint(s->u, at + 24, 8, &sp))
		return false;
	s->f.pc = pc;
	unwind_set(&s->f, UNWIND_X64_SP, sp);
	s->machine = true;
	return true;
}

/* ---- codes ---- */

static uint32_t
slot(const struct info *i, unsigned n)
{
	return i->codes[2 * n] | (uint32_t)i->codes[2 * n + 1] << 8;
}

/* Slots of the code at n; 0: it is none, or its last ones are missing. */
static unsigned
slots(const struct info *i, unsigned n)
{
	static const uint8_t sizes[OP_COUNT] = { 1, 2, 1, 1, 2, 3, 2, 3, 2, 3, 1 };
	unsigned op = i->codes[2 * n + 1] & 15, size;

	if (op >= OP_COUNT)
		return 0;
	size = op == OP_ALLOC_LARGE && i->codes[2 * n + 1] >> 4 != 0 ? 3 : sizes[op];
	return size <= i->n_codes - n ? size : 0;
}

/* Where the slots of saved registers are counted from: the stack pointer, or the frame register once the prologue has
 * set it.  done: bytes of the prologue that ran. */
static bool
frame_base(const struct step *s, const struct info *i, uint32_t done, uint64_t *out)
{
	bool set = i->frame_register != 0 && (done >= i->prologue || (i->flags & FLAG_CHAINED));
	unsigned size;

	for (unsigned n = 0; i->frame_register != 0 && !set && n < i->n_codes; n += size) {
		if ((size = slots(i, n)) == 0)
			return false;
		set = (i->codes[2 * n + 1] & 15) == OP_SET_FPREG && done >= i->codes[2 * n];
	}
	*out = sp_of(s);
	if (!set)
		return true;
	*out = s->f.r[dwarf[i->frame_register]] - i->frame_offset;
	return unwind_known(&s->f, dwarf[i->frame_register]);
}

/* Undo one code.  base: of saved registers. */
static bool
undo(struct step *s, const struct info *i, unsigned n, uint64_t base)
{
	unsigned op = i->codes[2 * n + 1] & 15, arg = i->codes[2 * n + 1] >> 4, size = slots(i, n);
	uint32_t one = size > 1 ? slot(i, n + 1) : 0, two = size > 2 ? one | slot(i, n + 2) << 16 : 0;

	switch (op) {
	case OP_PUSH_NONVOL:
		return pop(s, arg);
	case OP_ALLOC_LARGE:
		s->f.r[UNWIND_X64_SP] += arg == 0 ? 8 * (uint64_t)one : two;
		return arg <= 1;
	case OP_ALLOC_SMALL:
		s->f.r[UNWIND_X64_SP] += 8 * arg + 8;
		return true;
	case OP_SET_FPREG:
		s->f.r[UNWIND_X64_SP] = s->f.r[dwarf[i->frame_register]] - i->frame_offset;
		return unwind_known(&s->f, dwarf[i->frame_register]);
	case OP_SAVE_NONVOL:
		return restore(s, arg, base + 8 * (uint64_t)one);
	case OP_SAVE_NONVOL_FAR:
		return restore(s, arg, base + two);
	case OP_PUSH_MACHFRAME:
		return arg <= 1 && machine_frame(s, arg == 1);
	default: /* xmm registers are not followed; epilogue codes undo nothing */
		return true;
	}
}

static bool
undo_all(struct step *s, const struct info *i, uint32_t done)
{
	uint64_t base;
	unsigned size;

	if (!frame_base(s, i, done, &base))
		return false;
	for (unsigned n = 0; n < i->n_codes && !s->machine; n += size) {
		if ((size = slots(i, n)) == 0)
			return false;
		if (done >= i->codes[2 * n] && !undo(s, i, n, base))
			return false;
	}
	return true;
}

/* ---- epilogues ---- */

/* Whether a jump from fn to target leaves the function. */
static bool
leaves(const struct step *s, const struct function *fn, uint64_t target)
{
	struct function a = *fn, b;
	bool missing;

	if (target >= fn->begin && target < fn->end)
		return target == fn->begin;
	if (!find_function(s->pe, target, &b, &missing))
		return true;
	return !primary(s->pe, &a) || !primary(s->pe, &b) || a.begin != b.begin || target == b.begin;
}

static int32_t
signed32(const uint8_t *p)
{
	return (int32_t)(p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}

/* add rsp, n; lea rsp, [frame register + n].  Bytes of it, 0: neither. */
static unsigned
release(struct step *s, const struct info *i, const uint8_t *p, size_t len)
{
	unsigned reg, wide;
	int64_t by;

	if (len >= 4 && p[0] == 0x48 && p[1] == 0x83 && p[2] == 0xc4) {
		s->f.r[UNWIND_X64_SP] += (uint64_t)(int64_t)(int8_t)p[3];
		return 4;
	}
	if (len >= 7 && p[0] == 0x48 && p[1] == 0x81 && p[2] == 0xc4) {
		s->f.r[UNWIND_X64_SP] += (uint64_t)(int64_t)signed32(p + 3);
		return 7;
	}
	if (len < 7 || (p[0] & 0xfe) != 0x48 || p[1] != 0x8d || (p[2] & 0x38) != 0x20 || (p[2] & 7) == 4)
		return 0;
	reg = (p[2] & 7) | (p[0] & 1u) << 3;
	wide = p[2] >> 6;
	if (reg != i->frame_register || i->frame_register == 0 || (wide != 1 && wide != 2) ||
	    !unwind_known(&s->f, dwarf[reg]))
		return 0;
	by = wide == 1 ? (int8_t)p[3] : signed32(p + 3);
	s->f.r[UNWIND_X64_SP] = s->f.r[dwarf[reg]] + (uint64_t)by;
	return wide == 1 ? 4 : 7;
}

/* Whether the instruction at p ends an epilogue: ret, or a jump out of the function. */
static bool
ends(const struct step *s, const struct function *fn, uint64_t rva, const uint8_t *p, size_t len)
{
	if (len >= 2 && (p[0] == 0xf3 || p[0] == 0xf2)) /* rep ret, bnd */
		return ends(s, fn, rva + 1, p + 1, p[1] == 0xf3 || p[1] == 0xf2 ? 0 : len - 1);
	if (len >= 1 && (p[0] == 0xc3 || p[0] == 0xc2))
		return true;
	if (len >= 2 && p[0] == 0xeb)
		return leaves(s, fn, rva + 2 + (uint64_t)(int64_t)(int8_t)p[1]);
	if (len >= 5 && p[0] == 0xe9)
		return leaves(s, fn, rva + 5 + (uint64_t)(int64_t)signed32(p + 1));
	if (len >= 2 && p[0] == 0xff && p[1] == 0x25)
		return true;
	return len >= 3 && (p[0] & 0xf8) == 0x48 && p[1] == 0xff && (p[2] & 0x38) == 0x20;
}

/* By the instructions from the pc on.  True: it is an epilogue, and *s has run it to its end. */
static bool
run_epilogue(struct step *s, const struct function *fn, const struct info *i, uint64_t rva)
{
	struct step t = *s;
	uint8_t code[EPILOGUE_MAX];
	size_t len = sizeof(code), n;
	uint64_t pc;

	if (len > fn->end - rva)
		len = fn->end - rva;
	while (len > 0 && !unwind_read(s->u, s->f.pc, code, len))
		len--;
	n = release(&t, i, code, len);
	while (n < len) {
		unsigned rex = (code[n] & 0xf0) == 0x40 && n + 1 < len, op = code[n + rex];

		if (op < 0x58 || op > 0x5f || (op == 0x5c && !(rex && code[n] & 1)))
			break;
		if (!pop(&t, (op - 0x58) | (rex ? (code[n] & 1u) << 3 : 0)))
			return false;
		n += 1 + rex;
	}
	if (!ends(&t, fn, rva + n, code + n, len - n) || !unwind_uint(t.u, sp_of(&t), 8, &pc))
		return false;
	t.f.pc = pc;
	t.f.r[UNWIND_X64_SP] += 8;
	*s = t;
	return true;
}

/* Distance of rva into the epilogue that version 2's codes tell of: behind the release of the stack, pops and the
 * return.  False: none has it. */
static bool
epilogue_of_codes(const struct function *fn, const struct info *i, uint64_t rva, uint32_t *into)
{
	uint32_t size = 0;

	for (unsigned n = 0; i->version == 2 && n < i->n_codes && (i->codes[2 * n + 1] & 15) == OP_EPILOG; n++) {
		uint32_t back = i->codes[2 * n] | (uint32_t)(i->codes[2 * n + 1] >> 4) << 8;

		if (n == 0) { /* the size of all, and whether the last one ends the function */
			size = i->codes[0];
			back = i->codes[1] >> 4 & 1 ? size : 0;
		}
		if (back != 0 && back <= fn->end - fn->begin && rva >= fn->end - back &&
		    rva - (fn->end - back) < size) {
			*into = (uint32_t)(rva - (fn->end - back));
			return true;
		}
	}
	return false;
}

static bool
run_epilogue_codes(struct step *s, const struct info *i, uint32_t into)
{
	struct step t = *s;
	unsigned size;
	uint64_t pc;

	for (unsigned n = 0; n < i->n_codes; n += size) {
		unsigned reg = i->codes[2 * n + 1] >> 4, bytes = reg < 8 ? 1 : 2;

		if ((size = slots(i, n)) == 0)
			return false;
		if ((i->codes[2 * n + 1] & 15) != OP_PUSH_NONVOL)
			continue;
		if (into >= bytes)
			into -= bytes;
		else if (!pop(&t, reg))
			return false;
	}
	if (!unwind_uint(t.u, sp_of(&t), 8, &pc))
		return false;
	t.f.pc = pc;
	t.f.r[UNWIND_X64_SP] += 8;
	*s = t;
	return true;
}

/* ---- the step ---- */

static bool
run_function(struct step *s, struct function fn, uint64_t rva, bool exact)
{
	uint32_t done = (uint32_t)(rva - fn.begin), into;
	struct info i;
	uint64_t pc;

	for (unsigned n = 0;; n++) {
		if (n == CHAIN_MAX || !unwind_work(s->u, 32) || !read_info(s->pe, fn.info, &i))
			return false;
		if (n == 0 && exact && done >= i.prologue &&
		    (run_epilogue(s, &fn, &i, rva) ||
		     (epilogue_of_codes(&fn, &i, rva, &into) && run_epilogue_codes(s, &i, into))))
			return true;
		if (!undo_all(s, &i, done))
			return false;
		if (!(i.flags & FLAG_CHAINED) || s->machine)
			break;
		fn = i.next;
		done = UINT32_MAX;
	}
	if (s->machine)
		return true;
	if (!unwind_uint(s->u, sp_of(s), 8, &pc))
		return false;
	s->f.pc = pc;
	s->f.r[UNWIND_X64_SP] += 8;
	return true;
}

static bool
canonical(uint64_t p)
{
	return p <= 0x7fffffffffff || p >= 0xffff800000000000;
}

/* What the stack says, judged. */
static enum unwind_outcome
finish(struct step *s, const struct unwind_frame *from, struct unwind_frame *caller)
{
	if (s->f.pc == 0 && !s->machine)
		return UNWIND_OUTERMOST;
	s->f.exact = s->machine;
	s->f.known &= KEPT;
	s->f.trust = TRIAGE_TRUST_CFI;
	if (sp_of(s) % 8 != 0 || !canonical(sp_of(s)) || !canonical(s->f.pc) ||
	    (!s->machine && sp_of(s) <= from->r[UNWIND_X64_SP]))
		return unwind_damaged(s->u, DAMAGED);
	if (!s->machine && !unwind_is_return(s->u, s->f.pc))
		return UNWIND_UNKNOWN;
	*caller = s->f;
	return UNWIND_CALLER;
}

enum unwind_outcome
unwind_x64_step(struct unwind *u, const struct peimage *pe, uint64_t base, const struct unwind_frame *f,
		struct unwind_frame *caller)
{
	struct step s = { .u = u, .pe = pe, .f = *f };
	uint64_t rva = f->pc - base, pc;
	struct function fn;
	bool missing;

	if (pe->arch != TRIAGE_ARCH_X64 || pe->exception_size < RUNTIME_ENTRY || f->pc < base)
		return UNWIND_UNKNOWN;
	if (find_function(pe, f->exact ? rva : rva - 1, &fn, &missing))
		return run_function(&s, fn, rva, f->exact) ? finish(&s, f, caller) : unwind_damaged(u, DAMAGED);
	if (missing) { /* a symbol file may know */
		unwind_damaged(u, "the image's unwind data is not in the dump");
		return UNWIND_UNKNOWN;
	}
	if (!f->exact || !peimage_is_code(pe, rva) || !unwind_uint(u, sp_of(&s), 8, &pc))
		return UNWIND_UNKNOWN;
	s.f.pc = pc;
	s.f.r[UNWIND_X64_SP] += 8;
	return finish(&s, f, caller);
}

static enum unwind_outcome
step_x64(struct unwind *u, const struct unwind_frame *f, int32_t module, struct unwind_frame *caller)
{
	const struct peimage *pe = u->arch == TRIAGE_ARCH_X64 && module >= 0 ? unwind_pe(u, module) : NULL;

	return pe != NULL ? unwind_x64_step(u, pe, u->mi->modules[module].base, f, caller) : UNWIND_UNKNOWN;
}

const struct unwinder unwinder_x64 = { "x64", step_x64 };
