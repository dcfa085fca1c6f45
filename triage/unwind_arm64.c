/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/unwind_arm64.h"

#define ENTRY      8u /* bytes of a .pdata entry */
#define DAMAGED    "unwind data that is damaged, or needs memory that is missing"
#define CODE_BYTES 1020 /* of one record: 255 words */
#define OPS_MAX    1024

/* The kernel's KTRAP_FRAME, a machine frame, CONTEXT of arm64 and of x64 code that runs as arm64ec. */
#define TRAP_SP   0x98u
#define TRAP_X    0xa0u /* x0 to x18 */
#define TRAP_LR   0x138u
#define TRAP_FP   0x140u
#define TRAP_PC   0x148u
#define CONTEXT_X 0x8u /* x0 to x30, sp, pc */
#define EC_SP     0x98u
#define EC_FP     0xa0u
#define EC_PC     0xf8u
#define EC_LR     0x120u                 /* in the first x87 register */
#define KEPT      (UINT64_C(0xfff80000)) /* x19 to x30, sp */

/* What one instruction of a prologue did. */
enum kind {
	KIND_NOP,
	KIND_ALLOC,   /* value: bytes */
	KIND_SAVE,    /* count integer registers from reg on, at sp + value; then sp += grow */
	KIND_SAVE_LR, /* reg and lr, at sp + value */
	KIND_FLOATS,  /* of no interest but for grow */
	KIND_SET_FP,
	KIND_ADD_FP, /* value */
	KIND_SAVE_NEXT,
	KIND_SIGN,
	KIND_END,
	KIND_END_CHAINED,
	KIND_TRAP_FRAME, /* from here on no instructions */
	KIND_MACHINE_FRAME,
	KIND_CONTEXT,
	KIND_EC_CONTEXT,
	KIND_NOT_A_CALL,
	KIND_BAD,
};

struct op {
	uint8_t kind, reg, count, bytes;
	uint32_t value, grow;
};

struct program {
	struct op ops[OPS_MAX]; /* in the order in which they are undone; the last is KIND_END */
	unsigned n;
	unsigned first; /* to begin with */
	unsigned skip;  /* instructions of it that did not run, or were undone already */
	bool epilogue;  /* packed data: no mov x29, sp */
};

struct step {
	struct unwind *u;
	const struct peimage *pe;
	struct unwind_frame f;
	bool trapped; /* f.pc was interrupted, its registers were restored */
	bool has_pc;  /* f.pc is not to be taken from lr */
};

static uint64_t
strip(uint64_t p)
{
	/* without pointer authentication; bit 55 says which half of the address space it is */
	return p >> 55 & 1 ? p | UINT64_C(0xffff000000000000) : p & UINT64_C(0x0000ffffffffffff);
}

/* ---- codes ---- */

static struct op
save_any(const uint8_t *p)
{
	bool pair = p[1] & 0x40, writes = p[1] & 0x20;
	unsigned reg = p[1] & 0x1f, mode = p[2] >> 6, offset = p[2] & 0x3f;
	uint32_t at = writes || pair || mode == 2 ? 16 * offset : 8 * offset;
	struct op o = {
		.kind = mode == 0 ? KIND_SAVE : KIND_FLOATS, .reg = (uint8_t)reg, .count = pair ? 2 : 1, .bytes = 3
	};

	if (mode == 3 || p[1] & 0x80 || (mode == 0 && reg + o.count > 31))
		o.kind = KIND_BAD;
	o.value = writes ? 0 : at;
	o.grow = writes ? at + 16 : 0;
	return o;
}

static struct op
one_byte(uint8_t b)
{
	static const uint8_t kinds[] = {
		[0x1] = KIND_SET_FP,     [0x3] = KIND_NOP,        [0x4] = KIND_END,           [0x5] = KIND_END_CHAINED,
		[0x6] = KIND_SAVE_NEXT,  [0x8] = KIND_TRAP_FRAME, [0x9] = KIND_MACHINE_FRAME, [0xa] = KIND_CONTEXT,
		[0xb] = KIND_EC_CONTEXT, [0xc] = KIND_NOT_A_CALL,
	};

	if (b == 0xfc)
		return (struct op){ .kind = KIND_SIGN, .bytes = 1 };
	return (struct op){ .kind = b >= 0xe1 && b <= 0xec && b != 0xe2 && b != 0xe7 ? kinds[b & 15] : KIND_BAD,
			    .bytes = 1 };
}

/* Codes of two bytes, b their 16 bits. */
static struct op
two_bytes(uint32_t b)
{
	uint32_t z = 8 * (b & 0x3f), z5 = 8 * (b & 0x1f) + 8;
	uint8_t reg = (uint8_t)(19 + (b >> 6 & 15)), reg3 = (uint8_t)(19 + (b >> 5 & 15));

	if (b >> 11 == 0x18) /* alloc_m */
		return (struct op){ .kind = KIND_ALLOC, .bytes = 2, .value = 16 * (b & 0x7ff) };
	if (b >> 10 == 0x32) /* save_regp */
		return (struct op){ .kind = KIND_SAVE, .reg = reg, .count = 2, .bytes = 2, .value = z };
	if (b >> 10 == 0x33) /* save_regp_x */
		return (struct op){ .kind = KIND_SAVE, .reg = reg, .count = 2, .bytes = 2, .grow = z + 8 };
	if (b >> 10 == 0x34) /* save_reg */
		return (struct op){ .kind = KIND_SAVE, .reg = reg, .count = 1, .bytes = 2, .value = z };
	if (b >> 9 == 0x6a) /* save_reg_x */
		return (struct op){ .kind = KIND_SAVE, .reg = reg3, .count = 1, .bytes = 2, .grow = z5 };
	if (b >> 9 == 0x6b) /* save_lrpair */
		return (struct op){ .kind = KIND_SAVE_LR,
				    .reg = (uint8_t)(19 + 2 * (b >> 6 & 7)),
				    .count = 1,
				    .bytes = 2,
				    .value = z };
	if (b >> 9 == 0x6c || b >> 9 == 0x6e) /* save_fregp, save_freg */
		return (struct op){ .kind = KIND_FLOATS, .bytes = 2 };
	if (b >> 9 == 0x6d) /* save_fregp_x */
		return (struct op){ .kind = KIND_FLOATS, .bytes = 2, .grow = z + 8 };
	if (b >> 8 == 0xde) /* save_freg_x */
		return (struct op){ .kind = KIND_FLOATS, .bytes = 2, .grow = z5 };
	if (b >> 8 == 0xe2) /* add_fp */
		return (struct op){ .kind = KIND_ADD_FP, .bytes = 2, .value = 8 * (b & 0xff) };
	return (struct op){ .kind = KIND_BAD, .bytes = 2 };
}

/* The code at p, of len bytes that are left. */
static struct op
decode(const uint8_t *p, size_t len)
{
	static const struct op bad = { .kind = KIND_BAD, .bytes = 1 };
	uint8_t b = p[0];
	struct op o;

	if (b < 0x20) /* alloc_s */
		return (struct op){ .kind = KIND_ALLOC, .bytes = 1, .value = 16u * b };
	if (b < 0x40) /* save_r19r20_x */
		return (struct op){ .kind = KIND_SAVE, .reg = 19, .count = 2, .bytes = 1, .grow = 8u * (b & 0x1f) };
	if (b < 0x80) /* save_fplr */
		return (struct op){ .kind = KIND_SAVE, .reg = 29, .count = 2, .bytes = 1, .value = 8u * (b & 0x3f) };
	if (b < 0xc0) /* save_fplr_x */
		return (struct op){ .kind = KIND_SAVE, .reg = 29, .count = 2, .bytes = 1, .grow = 8u * (b & 0x3f) + 8 };
	if (b == 0xe0) /* alloc_l */
		return len < 4 ? bad
			       : (struct op){ .kind = KIND_ALLOC,
					      .bytes = 4,
					      .value = 16 * ((uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]) };
	if (b == 0xe7)
		return len < 3 ? bad : save_any(p);
	if (b > 0xe0 && b != 0xe2)
		return one_byte(b);
	if (len < 2)
		return bad;
	o = two_bytes((uint32_t)b << 8 | p[1]);
	if ((o.kind == KIND_SAVE || o.kind == KIND_SAVE_LR) && o.reg + o.count > 31)
		o.kind = KIND_BAD;
	return o;
}

static bool
is_instruction(const struct op *o)
{
	return o->kind < KIND_END;
}

/* ---- .xdata ---- */

static void
decode_all(struct program *p, const uint8_t *codes, size_t len)
{
	/* an index of codes is in bytes: an operation stands where its first byte is */
	for (size_t at = 0; at < len && at < OPS_MAX - 1; at++)
		p->ops[at] = decode(codes + at, len - at);
	p->n = (unsigned)len;
	p->ops[p->n] = (struct op){ .kind = KIND_END, .bytes = 1 };
}

/* Instructions of the codes from at on; of a prologue those of this part of the function only. */
static unsigned
instructions(const struct program *p, unsigned at, bool prologue)
{
	unsigned n = 0;

	for (; at < p->n && p->ops[at].kind != KIND_END; at += p->ops[at].bytes) {
		if (prologue && p->ops[at].kind == KIND_END_CHAINED)
			break;
		n += is_instruction(&p->ops[at]);
	}
	return n;
}

/* Which codes an epilogue runs, if the instruction done of the function is in one. */
static void
enter_epilogue(struct program *p, uint32_t done, uint32_t start, uint32_t index)
{
	if (index >= p->n || done < start || done - start > instructions(p, index, false))
		return;
	p->first = index;
	p->skip = done - start;
}

/* The record at rva; done: instructions of the function before the pc. */
static bool
read_record(const struct peimage *pe, uint32_t at, uint32_t done, struct program *p)
{
	uint8_t codes[CODE_BYTES];
	uint64_t head, more = 0, scope;
	uint32_t epilogues, words, prologue;
	uint64_t next = (uint64_t)at + 4;
	bool single;

	if (!peimage_uint(pe, at, 4, &head) || (head >> 18 & 3) != 0)
		return false;
	single = head >> 21 & 1;
	epilogues = head >> 22 & 31;
	words = (uint32_t)(head >> 27);
	if (epilogues == 0 && words == 0) {
		if (!peimage_uint(pe, next, 4, &more))
			return false;
		next += 4;
		epilogues = more & 0xffff;
		words = more >> 16 & 0xff;
	}
	if (!peimage_read(pe, next + (single ? 0 : 4 * (uint64_t)epilogues), codes, 4 * (size_t)words))
		return false;
	decode_all(p, codes, 4 * (size_t)words);
	prologue = instructions(p, 0, true);
	if (done < prologue) {
		p->skip = prologue - done;
		return true;
	}
	if (single) {
		uint32_t length = head & 0x3ffff, size = instructions(p, epilogues, false) + 1;

		if (epilogues < p->n && size <= length)
			enter_epilogue(p, done, length - size, epilogues);
		return true;
	}
	for (uint32_t i = 0; i < epilogues && p->first == 0 && p->skip == 0; i++) {
		if (!peimage_uint(pe, next + 4 * (uint64_t)i, 4, &scope))
			return false;
		enter_epilogue(p, done, scope & 0x3ffff, (uint32_t)(scope >> 22));
	}
	return true;
}

/* ---- packed unwind data ---- */

static void
add(struct program *p, struct op o)
{
	o.bytes = 1;
	p->ops[p->n++] = o;
}

/* Registers saved at the bottom of the area that the first of them allocates: the integer ones, lr, the floating
 * ones, the homes of the parameters; in the order of the prologue.  Appended to p in that order. */
static void
packed_saves(struct program *p, unsigned reg_i, unsigned reg_f, bool lr, bool homes, uint32_t area)
{
	uint32_t grow = area;

	if (reg_i == 1 && lr) {
		add(p, (struct op){ .kind = KIND_ALLOC, .value = area });
		add(p, (struct op){ .kind = KIND_SAVE_LR, .reg = 19, .count = 1 });
		grow = 0;
	} else {
		for (unsigned i = 0; i < reg_i; i += 2) {
			bool last = i + 1 == reg_i;

			add(p, (struct op){ .kind = last && lr ? KIND_SAVE_LR : KIND_SAVE,
					    .reg = (uint8_t)(19 + i),
					    .count = last ? 1 : 2,
					    .value = grow != 0 ? 0 : 8 * i,
					    .grow = grow });
			grow = 0;
		}
		if (lr && reg_i % 2 == 0) {
			add(p, (struct op){ .kind = KIND_SAVE,
					    .reg = UNWIND_ARM64_LR,
					    .count = 1,
					    .value = grow != 0 ? 0 : 8 * reg_i,
					    .grow = grow });
			grow = 0;
		}
	}
	for (unsigned i = 0; reg_f != 0 && i < reg_f + 1; i += 2) {
		add(p, (struct op){ .kind = KIND_FLOATS, .grow = grow });
		grow = 0;
	}
	for (unsigned i = 0; homes && i < 4; i++)
		add(p, (struct op){ .kind = KIND_NOP });
}

static void
packed_locals(struct program *p, bool chained, uint32_t locals)
{
	if (chained && locals <= 512) {
		add(p, (struct op){ .kind = KIND_SAVE, .reg = UNWIND_ARM64_FP, .count = 2, .grow = locals });
	} else {
		if (locals > 4080)
			add(p, (struct op){ .kind = KIND_ALLOC, .value = 4080 });
		if (locals != 0)
			add(p, (struct op){ .kind = KIND_ALLOC, .value = locals > 4080 ? locals - 4080 : locals });
		if (chained)
			add(p, (struct op){ .kind = KIND_SAVE, .reg = UNWIND_ARM64_FP, .count = 2 });
	}
	if (chained)
		add(p, (struct op){ .kind = KIND_SET_FP });
}

static void
reverse(struct program *p)
{
	for (unsigned i = 0; i < p->n / 2; i++) {
		struct op o = p->ops[i];

		p->ops[i] = p->ops[p->n - 1 - i];
		p->ops[p->n - 1 - i] = o;
	}
}

/* The prologue that the bits of data stand for, turned round.  fragment: it is another function's. */
static bool
read_packed(uint32_t data, bool fragment, uint32_t done, struct program *p)
{
	uint32_t length = data >> 2 & 0x7ff, frame = 16 * (data >> 23), area, epilogue;
	unsigned reg_f = data >> 13 & 7, reg_i = data >> 16 & 15, cr = data >> 21 & 3;
	bool saves = reg_i != 0 || reg_f != 0 || cr == 1, homes = saves && data >> 20 & 1, chained = cr >= 2;

	/* without registers to save, the homes of the parameters are locals like others */
	area = 8 * reg_i + (cr == 1 ? 8 : 0) + (reg_f != 0 ? 8 * (reg_f + 1) : 0) + (homes ? 64 : 0);
	area = (area + 15) & ~15u;
	if (reg_i > 10 || area > frame)
		return false;
	if (cr == 2)
		add(p, (struct op){ .kind = KIND_SIGN });
	packed_saves(p, reg_i, reg_f, cr == 1, homes, area);
	packed_locals(p, chained, frame - area);
	reverse(p);
	p->ops[p->n] = (struct op){ .kind = KIND_END, .bytes = 1 };
	if (fragment)
		return true;
	if (done < p->n) {
		p->skip = p->n - done;
		return true;
	}
	/* the epilogue ends the function: no mov x29, no homes, but a ret */
	epilogue = p->n - chained - (homes ? 4 : 0) + 1;
	if (epilogue <= length && done >= length - epilogue) {
		p->epilogue = true;
		p->skip = done - (length - epilogue);
	}
	return true;
}

/* ---- undoing ---- */

static bool
get(struct step *s, unsigned reg, uint64_t at)
{
	uint64_t v;

	if (!unwind_uint(s->u, at, 8, &v))
		return false;
	unwind_set(&s->f, reg, v);
	return true;
}

/* x0 … at a distance of 8 bytes each. */
static bool
get_many(struct step *s, unsigned first, unsigned n, uint64_t at)
{
	for (unsigned i = 0; i < n; i++)
		if (!get(s, first + i, at + 8 * i))
			return false;
	return true;
}

static bool
get_pc(struct step *s, uint64_t at)
{
	s->has_pc = s->trapped = true;
	return unwind_uint(s->u, at, 8, &s->f.pc);
}

static bool
undo_trap(struct step *s, unsigned kind)
{
	static const struct {
		uint8_t reg, at;
	} ec[] = { { 8, 0x78 },  { 0, 0x80 },  { 1, 0x88 },  { 27, 0x90 }, { 29, 0xa0 },
		   { 25, 0xa8 }, { 26, 0xb0 }, { 2, 0xb8 },  { 3, 0xc0 },  { 4, 0xc8 },
		   { 5, 0xd0 },  { 19, 0xd8 }, { 20, 0xe0 }, { 21, 0xe8 }, { 22, 0xf0 } };
	uint64_t at = s->f.r[UNWIND_ARM64_SP];

	switch (kind) {
	case KIND_TRAP_FRAME:
		return get_many(s, 0, 19, at + TRAP_X) && get(s, UNWIND_ARM64_LR, at + TRAP_LR) &&
		       get(s, UNWIND_ARM64_FP, at + TRAP_FP) && get_pc(s, at + TRAP_PC) &&
		       get(s, UNWIND_ARM64_SP, at + TRAP_SP);
	case KIND_MACHINE_FRAME:
		return get_pc(s, at + 8) && get(s, UNWIND_ARM64_SP, at);
	case KIND_CONTEXT:
		return get_many(s, 0, 31, at + CONTEXT_X) && get_pc(s, at + CONTEXT_X + 8 * 32) &&
		       get(s, UNWIND_ARM64_SP, at + CONTEXT_X + 8 * 31);
	default:
		for (unsigned i = 0; i < sizeof(ec) / sizeof(ec[0]); i++)
			if (!get(s, ec[i].reg, at + ec[i].at))
				return false;
		return get(s, UNWIND_ARM64_LR, at + EC_LR) && get_pc(s, at + EC_PC) &&
		       get(s, UNWIND_ARM64_SP, at + EC_SP);
	}
}

/* Undo one operation; next: save_next codes before it. */
static bool
undo(struct step *s, const struct op *o, unsigned *next)
{
	uint64_t sp = s->f.r[UNWIND_ARM64_SP];
	unsigned count = o->count + 2 * *next;

	if (o->kind != KIND_SAVE_NEXT)
		*next = 0;
	switch (o->kind) {
	case KIND_ALLOC:
		s->f.r[UNWIND_ARM64_SP] += o->value;
		return true;
	case KIND_SAVE:
		s->f.r[UNWIND_ARM64_SP] += o->grow;
		return o->reg + count <= 31 && get_many(s, o->reg, count, sp + o->value);
	case KIND_SAVE_LR:
		s->f.r[UNWIND_ARM64_SP] += o->grow;
		return get(s, o->reg, sp + o->value) && get(s, UNWIND_ARM64_LR, sp + o->value + 8);
	case KIND_FLOATS:
		s->f.r[UNWIND_ARM64_SP] += o->grow;
		return true;
	case KIND_SET_FP:
	case KIND_ADD_FP:
		s->f.r[UNWIND_ARM64_SP] = s->f.r[UNWIND_ARM64_FP] - o->value;
		return unwind_known(&s->f, UNWIND_ARM64_FP);
	case KIND_SAVE_NEXT:
		++*next;
		return true;
	case KIND_SIGN:
		if (unwind_known(&s->f, UNWIND_ARM64_LR))
			s->f.r[UNWIND_ARM64_LR] = strip(s->f.r[UNWIND_ARM64_LR]);
		return true;
	case KIND_TRAP_FRAME:
	case KIND_MACHINE_FRAME:
	case KIND_CONTEXT:
	case KIND_EC_CONTEXT:
		return undo_trap(s, o->kind);
	case KIND_NOT_A_CALL:
		s->trapped = true;
		return true;
	default:
		return o->kind != KIND_BAD;
	}
}

static bool
run(struct step *s, const struct program *p)
{
	unsigned skip = p->skip, next = 0;

	for (unsigned at = p->first; at < p->n && p->ops[at].kind != KIND_END; at += p->ops[at].bytes) {
		const struct op *o = &p->ops[at];

		/* what follows in memory is none of the epilogue's instructions */
		if (p->epilogue && (o->kind == KIND_SET_FP || o->kind == KIND_NOP))
			continue;
		if (skip > 0 && is_instruction(o)) {
			skip--;
			continue;
		}
		if (!undo(s, o, &next))
			return false;
	}
	if (s->has_pc)
		return true;
	s->f.pc = strip(s->f.r[UNWIND_ARM64_LR]);
	return unwind_known(&s->f, UNWIND_ARM64_LR);
}

/* ---- the step ---- */

/* The entry of the function that may have rva.  False: none, or (*missing) the table is not there. */
static bool
find_entry(const struct peimage *pe, uint64_t rva, uint64_t *begin, uint64_t *data, bool *missing)
{
	uint32_t lo = 0, hi = pe->exception_size / ENTRY;

	*missing = false;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (!peimage_uint(pe, pe->exception_rva + (uint64_t)mid * ENTRY, 4, begin)) {
			*missing = true;
			return false;
		}
		if (*begin <= rva)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0)
		return false;
	*missing = !peimage_uint(pe, pe->exception_rva + (uint64_t)(lo - 1) * ENTRY, 4, begin) ||
		   !peimage_uint(pe, pe->exception_rva + (uint64_t)(lo - 1) * ENTRY + 4, 4, data);
	return !*missing;
}

/* Bytes of the function. */
static bool
function_length(const struct peimage *pe, uint64_t data, uint64_t *out)
{
	uint64_t head;

	if (data & 3) {
		*out = 4 * (data >> 2 & 0x7ff);
		return true;
	}
	if (!peimage_uint(pe, data, 4, &head))
		return false;
	*out = 4 * (head & 0x3ffff);
	return true;
}

static enum unwind_outcome
finish(struct step *s, const struct unwind_frame *from, struct unwind_frame *caller)
{
	uint64_t sp = s->f.r[UNWIND_ARM64_SP], old = from->r[UNWIND_ARM64_SP];

	if (s->f.pc == 0 && !s->trapped)
		return UNWIND_OUTERMOST;
	s->f.exact = s->trapped;
	if (!s->has_pc)
		s->f.known &= KEPT | UINT64_C(1) << UNWIND_ARM64_SP;
	s->f.trust = TRIAGE_TRUST_CFI;
	if (sp % 8 != 0 || s->f.pc % 4 != 0 || (!s->has_pc && (sp < old || (sp == old && !from->exact))))
		return unwind_damaged(s->u, DAMAGED);
	if (!s->trapped && !unwind_is_return(s->u, s->f.pc))
		return UNWIND_UNKNOWN;
	*caller = s->f;
	return UNWIND_CALLER;
}

enum unwind_outcome
unwind_arm64_step(struct unwind *u, const struct peimage *pe, uint64_t base, const struct unwind_frame *f,
		  struct unwind_frame *caller)
{
	struct step s = { .u = u, .pe = pe, .f = *f };
	/* of a caller the call, not what follows it */
	uint64_t rva = f->pc - base, at = f->exact ? rva : rva - 4, begin, data, length;
	struct program p;
	bool missing;

	if (pe->arch != TRIAGE_ARCH_ARM64 || pe->exception_size < ENTRY || f->pc < base || !unwind_work(u, 64))
		return UNWIND_UNKNOWN;
	p.n = p.first = p.skip = 0;
	p.epilogue = false;
	if (find_entry(pe, at, &begin, &data, &missing)) {
		if ((data & 3) == 3 || !function_length(pe, data, &length))
			return unwind_damaged(u, DAMAGED);
		if (at - begin < length) {
			uint32_t done = (uint32_t)(at - begin) / 4;

			if (data & 3 ? !read_packed((uint32_t)data, (data & 3) == 2, done, &p)
				     : !read_record(pe, (uint32_t)data, done, &p))
				return unwind_damaged(u, DAMAGED);
			return run(&s, &p) ? finish(&s, f, caller) : unwind_damaged(u, DAMAGED);
		}
	}
	if (missing) { /* a symbol file may know */
		unwind_damaged(u, "the image's unwind data is not in the dump");
		return UNWIND_UNKNOWN;
	}
	if (!f->exact || !peimage_is_code(pe, rva) || !unwind_known(f, UNWIND_ARM64_LR))
		return UNWIND_UNKNOWN;
	s.f.pc = strip(f->r[UNWIND_ARM64_LR]);
	return finish(&s, f, caller);
}

static enum unwind_outcome
step_arm64(struct unwind *u, const struct unwind_frame *f, int32_t module, struct unwind_frame *caller)
{
	const struct peimage *pe = u->arch == TRIAGE_ARCH_ARM64 && module >= 0 ? unwind_pe(u, module) : NULL;

	return pe != NULL ? unwind_arm64_step(u, pe, u->mi->modules[module].base, f, caller) : UNWIND_UNKNOWN;
}

const struct unwinder unwinder_arm64 = { "arm64", step_arm64 };
