/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>
#include <stdlib.h>

#include "triage/unwind.h"

/* ELF of every processor by libdw: it reads .eh_frame or .debug_frame and says by which rule each register is found; the
 * rules are evaluated here, over the dump's memory, with a limit on work. */

#define STACK         64  /* of an expression */
#define REGISTERS_MAX 512 /* more than any processor here has numbers for */

struct cfi { /* of an image; lives as long */
	Elf *elf;
	Dwarf *dwarf;
	Dwarf_CFI *eh, *debug;
};

static void
release(void *p)
{
	struct cfi *c = p;

	if (c->eh != NULL)
		dwarf_cfi_end(c->eh);
	if (c->dwarf != NULL)
		dwarf_end(c->dwarf); /* frees debug */
	if (c->elf != NULL)
		elf_end(c->elf);
	free(c);
}

static struct cfi *
cfi_of(struct elfimage *image)
{
	struct elfimage_owned *owned = elfimage_owned(image);
	const void *file;
	struct cfi *c;
	size_t size;

	if (owned->release != NULL)
		return owned->state;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	*owned = (struct elfimage_owned){ c, release };
	file = elfimage_file(image, &size);
	if (file == NULL || elf_version(EV_CURRENT) == EV_NONE ||
	    /* only read, whatever its type says */
	    (c->elf = elf_memory((char *)(uintptr_t)file, size)) == NULL)
		return c;
	c->eh = dwarf_getcfi_elf(c->elf);
	if (elfimage_has_debug_frame(image) && (c->dwarf = dwarf_begin_elf(c->elf, DWARF_C_READ, NULL)) != NULL)
		c->debug = dwarf_getcfi(c->dwarf);
	return c;
}

/* ---- expressions ---- */

struct eval {
	struct unwind *u;
	const struct unwind_frame *f;
	uint64_t bias; /* of addresses as linked */
	bool has_cfa;
	uint64_t cfa;
	uint64_t stack[STACK];
	unsigned n;
	bool is_value; /* the result is the register itself, not where it is kept */
};

static bool
push(struct eval *e, uint64_t v)
{
	if (e->n == STACK)
		return false;
	e->stack[e->n++] = e->u->width == 4 ? (uint32_t)v : v;
	return true;
}

static bool
push_register(struct eval *e, uint64_t reg, uint64_t add)
{
	return reg < UNWIND_REGS && unwind_known(e->f, (unsigned)reg) && push(e, e->f->r[reg] + add);
}

static bool
binary(struct eval *e, uint8_t atom)
{
	const int64_t sign = e->u->width == 4 ? INT64_C(1) << 31 : 0;
	uint64_t a, b;
	int64_t sa, sb;

	if (e->n < 2)
		return false;
	b = e->stack[--e->n];
	a = e->stack[--e->n];
	sa = sign != 0 ? (int64_t)(int32_t)a : (int64_t)a;
	sb = sign != 0 ? (int64_t)(int32_t)b : (int64_t)b;
	switch (atom) {
	case DW_OP_and:
		return push(e, a & b);
	case DW_OP_or:
		return push(e, a | b);
	case DW_OP_xor:
		return push(e, a ^ b);
	case DW_OP_plus:
		return push(e, a + b);
	case DW_OP_minus:
		return push(e, a - b);
	case DW_OP_mul:
		return push(e, a * b);
	case DW_OP_div:
		return sb != 0 && sb != -1 && push(e, (uint64_t)(sa / sb));
	case DW_OP_mod:
		return b != 0 && push(e, a % b);
	case DW_OP_shl:
		return push(e, b < 64 ? a << b : 0);
	case DW_OP_shr:
		return push(e, b < 64 ? a >> b : 0);
	case DW_OP_shra:
		return push(e, (uint64_t)(sa >> (b < 63 ? b : 63)));
	case DW_OP_eq:
		return push(e, sa == sb);
	case DW_OP_ne:
		return push(e, sa != sb);
	case DW_OP_lt:
		return push(e, sa < sb);
	case DW_OP_le:
		return push(e, sa <= sb);
	case DW_OP_gt:
		return push(e, sa > sb);
	case DW_OP_ge:
		return push(e, sa >= sb);
	default:
		return false;
	}
}

/* Operators that move what is on the stack or change its top. */
static bool
shuffle(struct eval *e, const Dwarf_Op *op)
{
	uint64_t *top = e->n > 0 ? &e->stack[e->n - 1] : NULL, v;

	if (top == NULL)
		return false;
	switch (op->atom) {
	case DW_OP_dup:
		return push(e, *top);
	case DW_OP_drop:
		e->n--;
		return true;
	case DW_OP_over:
		return e->n >= 2 && push(e, top[-1]);
	case DW_OP_pick:
		return op->number < e->n && push(e, e->stack[e->n - 1 - op->number]);
	case DW_OP_swap:
		if (e->n < 2)
			return false;
		v = top[0];
		top[0] = top[-1];
		top[-1] = v;
		return true;
	case DW_OP_rot:
		if (e->n < 3)
			return false;
		v = top[0];
		top[0] = top[-1];
		top[-1] = top[-2];
		top[-2] = v;
		return true;
	case DW_OP_neg:
		*top = 0 - *top;
		return true;
	case DW_OP_not:
		*top = ~*top;
		return true;
	case DW_OP_abs:
		if ((int64_t)*top < 0)
			*top = 0 - *top;
		return true;
	case DW_OP_plus_uconst:
		e->n--;
		return push(e, *top + op->number);
	case DW_OP_deref:
		return unwind_pointer(e->u, *top, top);
	case DW_OP_deref_size:
		return (op->number == 1 || op->number == 2 || op->number == 4 || op->number == 8) &&
		       unwind_uint(e->u, *top, (unsigned)op->number, top);
	default:
		return binary(e, op->atom);
	}
}

static bool
operate(struct eval *e, const Dwarf_Op *op)
{
	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
		return push(e, (uint64_t)op->atom - DW_OP_lit0);
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
		return push_register(e, (uint64_t)op->atom - DW_OP_breg0, op->number);
	if (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31) {
		e->is_value = true;
		return push_register(e, (uint64_t)op->atom - DW_OP_reg0, 0);
	}
	switch (op->atom) {
	case DW_OP_regx:
		e->is_value = true;
		return push_register(e, op->number, 0);
	case DW_OP_bregx:
		return push_register(e, op->number, op->number2);
	case DW_OP_addr:
		return push(e, op->number + e->bias);
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_const2u:
	case DW_OP_const2s:
	case DW_OP_const4u:
	case DW_OP_const4s:
	case DW_OP_const8u:
	case DW_OP_const8s:
	case DW_OP_constu:
	case DW_OP_consts:
		return push(e, op->number);
	case DW_OP_call_frame_cfa:
		return e->has_cfa && push(e, e->cfa);
	case DW_OP_stack_value:
		e->is_value = true;
		return true;
	case DW_OP_nop:
		return true;
	default:
		return shuffle(e, op);
	}
}

/* Where a jump leads: libdw keeps each operator's offset. */
static bool
jump(const Dwarf_Op *ops, size_t n, size_t *at)
{
	const Dwarf_Word to = ops[*at].offset + 3 + (Dwarf_Word)(int64_t)(int16_t)ops[*at].number;

	for (size_t i = 0; i < n; i++)
		if (ops[i].offset == to) {
			*at = i;
			return true;
		}
	if (to <= ops[n - 1].offset)
		return false;
	*at = n; /* behind the last */
	return true;
}

static bool
evaluate(struct eval *e, const Dwarf_Op *ops, size_t n, uint64_t *out)
{
	e->n = 0;
	e->is_value = false;
	for (size_t i = 0; i < n;) {
		const Dwarf_Op *op = &ops[i];

		if (!unwind_work(e->u, 1))
			return false;
		if (op->atom == DW_OP_skip || op->atom == DW_OP_bra) {
			bool taken = true;

			if (op->atom == DW_OP_bra) {
				if (e->n == 0)
					return false;
				taken = e->stack[--e->n] != 0;
			}
			if (!taken)
				i++;
			else if (!jump(ops, n, &i))
				return false;
			continue;
		}
		if (!operate(e, op))
			return false;
		i++;
	}
	if (e->n == 0)
		return false;
	*out = e->stack[e->n - 1];
	return true;
}

/* ---- a step ---- */

enum rule { RULE_VALUE, RULE_UNDEFINED, RULE_FAILED };

static enum rule
register_of(struct eval *e, Dwarf_Frame *frame, unsigned reg, uint64_t *out)
{
	Dwarf_Op mem[3], *ops;
	size_t n;

	if (dwarf_frame_register(frame, (int)reg, mem, &ops, &n) != 0)
		return RULE_FAILED;
	if (n == 0) {
		if (ops != NULL)
			return RULE_UNDEFINED;
		if (!unwind_known(e->f, reg)) /* the same as here */
			return RULE_FAILED;
		*out = e->f->r[reg];
		return RULE_VALUE;
	}
	if (!evaluate(e, ops, n, out))
		return RULE_FAILED;
	if (!e->is_value && !unwind_pointer(e->u, *out, out))
		return RULE_FAILED;
	return RULE_VALUE;
}

static enum unwind_outcome
by_frame(struct eval *e, Dwarf_Frame *frame, struct unwind_frame *caller)
{
	const unsigned sp = unwind_sp(e->u->arch);
	Dwarf_Addr start, end;
	Dwarf_Op *ops;
	bool is_signal = false;
	enum rule rule;
	uint64_t v;
	size_t n;
	int ra;

	ra = dwarf_frame_info(frame, &start, &end, &is_signal);
	if (ra < 0 || dwarf_frame_cfa(frame, &ops, &n) != 0 || n == 0 || !evaluate(e, ops, n, &e->cfa))
		return UNWIND_DAMAGED;
	e->has_cfa = true;
	rule = register_of(e, frame, (unsigned)ra, &v);
	if (rule == RULE_UNDEFINED)
		return UNWIND_OUTERMOST;
	if (rule == RULE_FAILED)
		return UNWIND_DAMAGED;
	if (e->u->arch == TRIAGE_ARCH_ARM64) /* without the pointer authentication code */
		v &= (UINT64_C(1) << 48) - 1;
	caller->pc = e->u->arch == TRIAGE_ARCH_ARM ? v & ~UINT64_C(1) : v;
	caller->exact = is_signal;
	for (unsigned reg = 0; reg < UNWIND_REGS; reg++)
		if ((reg == sp || unwind_known(e->f, reg) || reg == unwind_fp(e->u->arch, e->u->os)) &&
		    register_of(e, frame, reg, &v) == RULE_VALUE)
			unwind_set(caller, reg, v);
	if (!is_signal || !unwind_known(caller, sp)) /* what a call leaves it at */
		unwind_set(caller, sp, e->cfa);
	if (caller->pc == 0)
		return UNWIND_OUTERMOST;
	return UNWIND_CALLER;
}

static enum unwind_outcome
step(struct unwind *u, const struct unwind_frame *f, int32_t module, struct unwind_frame *caller)
{
	struct elfimage *image = unwind_elf(u, module);
	struct eval e = { .u = u, .f = f };
	struct elf_fde record;
	Dwarf_Frame *frame = NULL;
	enum unwind_outcome out;
	Dwarf_Addr address;
	struct cfi *c;
	bool found;

	if (image == NULL || (!elfimage_has_unwind(image) && !elfimage_has_debug_frame(image)) ||
	    (c = cfi_of(image)) == NULL)
		return UNWIND_UNKNOWN;
	e.bias = u->mi->modules[module].base - elfimage_first(image);
	address = unwind_lookup_pc(u->arch, f) - e.bias;
	/* libdw runs through the whole record each time, and has memory for every register up to the highest named */
	found = elfimage_fde(image, unwind_lookup_pc(u->arch, f) - u->mi->modules[module].base, &record);
	if (found && (!unwind_work(u, 16 + record.length) || !elfimage_fde_within(image, &record, REGISTERS_MAX)))
		return UNWIND_DAMAGED;
	if (!found && c->debug == NULL)
		return UNWIND_UNKNOWN;
	if ((c->eh == NULL || !found || dwarf_cfi_addrframe(c->eh, address, &frame) != 0) &&
	    (c->debug == NULL || dwarf_cfi_addrframe(c->debug, address, &frame) != 0))
		return UNWIND_UNKNOWN;
	out = by_frame(&e, frame, caller);
	free(frame);
	return out;
}

const struct unwinder unwinder_dw = { "libdw", step };
