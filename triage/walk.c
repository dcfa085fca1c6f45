/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/functions.h"
#include "triage/unwind.h"
#include "triage/unwind_arm64.h"
#include "triage/unwind_sym.h"
#include "triage/unwind_x64.h"
#include "triage/walk.h"

#define SCAN_WORDS       40           /* how far to look for a return address */
#define SCAN_WORDS_FIRST 160          /* from registers: the innermost frames may be odd */
#define MAX_FRAME_GAP    (128 * 1024) /* of two frame pointers that belong together */

#define MAX_SWITCHES 16 /* of stacks: signal handlers on their own */

_Static_assert(DUMP_REGS == UNWIND_REGS, "registers of a dump and of a frame are the same");

static const struct unwinder *const unwinders[] = {
	&unwinder_libunwind, &unwinder_x64, &unwinder_arm64, &unwinder_sym, &unwinder_dw,
};

/* Frame pointers and scanning need three registers of a frame. */
struct cursor {
	uint64_t pc, sp, fp;
	bool fp_valid;
	enum triage_trust trust;
};

struct walk {
	const struct dump *d;
	const struct module_index *mi;
	struct unwind u;
	struct mem_region stack;
	unsigned width;
	uint64_t address_mask; /* without pointer authentication bits */
	unsigned switches;
};

static bool
load(const struct walk *w, uint64_t addr, uint64_t *out)
{
	return region_read(&w->stack, addr, w->width, w->d->big_endian, out);
}

static bool
loadable(const struct walk *w, uint64_t addr)
{
	uint64_t ignored;

	return load(w, addr, &ignored);
}

static uint64_t
top_address(const struct walk *w)
{
	return w->width == 4 ? UINT32_MAX : UINT64_MAX;
}

static bool
canonical(const struct walk *w, uint64_t pc)
{
	switch (w->d->arch) {
	case TRIAGE_ARCH_X64:
		return pc <= 0x7fffffffffff || pc >= 0xffff800000000000;
	case TRIAGE_ARCH_ARM64:
		return pc >= 0x1000 && pc <= 0xfffffffffffff;
	default:
		return true;
	}
}

static uint64_t
strip(const struct walk *w, uint64_t p)
{
	return w->d->arch == TRIAGE_ARCH_ARM64 ? p & w->address_mask : p;
}

/* ---- frame pointers ---- */

static bool
fp_x86(const struct walk *w, const struct cursor *c, struct cursor *next)
{
	if (c->fp >= UINT32_MAX - 8 || !load(w, c->fp + 4, &next->pc) || !load(w, c->fp, &next->fp))
		return false;
	next->sp = c->fp + 8;
	return true;
}

/* Windows sets the frame register up to 240 bytes into the frame, in steps of 16:
 * without the image's unwind data try each of those places. */
static bool
fp_x64(const struct walk *w, const struct cursor *c, struct cursor *next)
{
	unsigned tries = w->d->os == TRIAGE_OS_WINDOWS ? 16 : 1;

	if (c->fp >= UINT64_MAX - 16 - 16 * 16)
		return false;
	for (unsigned i = 0; i < tries; i++) {
		uint64_t at = c->fp + 16 * i;

		if (!load(w, at + 8, &next->pc) || !load(w, at, &next->fp))
			return false;
		next->sp = at + 16;
		if (next->fp < next->sp)
			continue;
		if (!loadable(w, next->fp))
			return false;
		if (canonical(w, next->pc) && next->sp > c->sp && loadable(w, next->sp))
			return true;
	}
	return false;
}

static bool
fp_arm(const struct walk *w, const struct cursor *c, struct cursor *next)
{
	if (c->fp >= top_address(w) - 2 * w->width)
		return false;
	if (c->fp == 0) { /* end of the chain: a caller at 0 ends the walk */
		*next = (struct cursor){ .sp = c->sp };
	} else {
		if (!load(w, c->fp, &next->fp) || !load(w, c->fp + w->width, &next->pc))
			return false;
		next->sp = c->fp + 2 * w->width;
	}
	next->fp = strip(w, next->fp);
	next->pc = strip(w, next->pc);
	return canonical(w, next->pc);
}

static bool
step_frame_pointer(const struct walk *w, const struct cursor *c, struct cursor *next)
{
	bool found = false;

	*next = (struct cursor){ 0 };
	if (!c->fp_valid)
		return false;
	if (w->d->arch == TRIAGE_ARCH_X86)
		found = fp_x86(w, c, next);
	else if (w->d->arch == TRIAGE_ARCH_X64)
		found = fp_x64(w, c, next);
	else if (w->d->arch == TRIAGE_ARCH_ARM64 ||
		 /* elsewhere r11 is a register like any other */
		 (w->d->arch == TRIAGE_ARCH_ARM && w->d->os == TRIAGE_OS_IOS))
		found = fp_arm(w, c, next);
	next->fp_valid = true;
	next->trust = TRIAGE_TRUST_FRAME_POINTER;
	return found;
}

/* ---- scanning ---- */

static bool
looks_like_return(struct walk *w, uint64_t pc)
{
	/* pc - 1: the call may be the last instruction of its module */
	return pc > 1 && canonical(w, pc) && module_index_find(w->mi, pc - 1) >= 0 &&
	       (w->d->exec.n == 0 || mem_find(&w->d->exec, pc - 1) != NULL) && unwind_is_return(&w->u, pc);
}

/* The caller's frame pointer for a return address found at `at`, the i-th word. */
static void
scan_frame_pointer(const struct walk *w, const struct cursor *c, uint64_t at, unsigned i, struct cursor *next)
{
	bool x64 = w->d->arch == TRIAGE_ARCH_X64;
	uint64_t slot = at - w->width, fp;

	if (i == 0 || (x64 && !c->fp_valid) || !load(w, slot, &fp))
		return;
	/* pushed just below the return address, or left alone and pointing further up */
	if ((!x64 || c->fp == slot) && fp > at && fp - slot <= MAX_FRAME_GAP) {
		next->fp_valid = loadable(w, fp);
		next->fp = fp;
	} else if (c->fp_valid && c->fp >= next->sp) {
		next->fp_valid = x64 || loadable(w, c->fp);
		next->fp = c->fp;
	}
}

static bool
step_scan(struct walk *w, const struct cursor *c, struct cursor *next)
{
	unsigned words = c->trust >= TRIAGE_TRUST_CFI ? SCAN_WORDS_FIRST : SCAN_WORDS;

	for (unsigned i = 0; i < words; i++) {
		uint64_t at;

		if (c->sp > top_address(w) - (uint64_t)(i + 1) * w->width)
			return false;
		at = c->sp + (uint64_t)i * w->width;
		*next = (struct cursor){ .trust = TRIAGE_TRUST_SCAN };
		if (!load(w, at, &next->pc))
			return false;
		if (!looks_like_return(w, next->pc))
			continue;
		next->sp = at + w->width;
		if (w->d->arch == TRIAGE_ARCH_X86 || w->d->arch == TRIAGE_ARCH_X64)
			scan_frame_pointer(w, c, at, i, next);
		return true;
	}
	return false;
}

/* Whether a caller found by its frame pointer can be one: code that we have ends a call there.  Code of no module
 * (made at run time) is believed. */
static bool
plausible(struct walk *w, uint64_t pc)
{
	return module_index_find(w->mi, pc - 1) < 0 || unwind_is_return(&w->u, pc);
}

/* ---- the walk ---- */

static struct cursor
cursor_of(const struct walk *w, const struct unwind_frame *f)
{
	const unsigned sp = unwind_sp(w->u.arch), fp = unwind_fp(w->u.arch, w->u.os);

	return (struct cursor){ f->pc, f->r[sp], f->r[fp], unwind_known(f, fp), f->trust };
}

static struct unwind_frame
frame_of(const struct walk *w, const struct cursor *c)
{
	struct unwind_frame f = { .pc = c->pc, .trust = c->trust };

	unwind_set(&f, unwind_sp(w->u.arch), c->sp);
	if (c->fp_valid)
		unwind_set(&f, unwind_fp(w->u.arch, w->u.os), c->fp);
	return f;
}

/* By the unwind data of the image f runs in. */
static enum unwind_outcome
step_unwind_data(struct walk *w, const struct unwind_frame *f, struct unwind_frame *next)
{
	const unsigned sp = unwind_sp(w->u.arch);
	int32_t module = module_index_find(w->mi, unwind_lookup_pc(w->u.arch, f));
	enum unwind_outcome found = UNWIND_UNKNOWN;

	if (module < 0)
		return UNWIND_UNKNOWN;
	for (size_t i = 0; i < sizeof(unwinders) / sizeof(unwinders[0]) && found == UNWIND_UNKNOWN; i++) {
		*next = (struct unwind_frame){ .trust = TRIAGE_TRUST_CFI };
		found = unwinders[i]->step(&w->u, f, module, next);
	}
	if (found != UNWIND_CALLER)
		return found;
	next->trust = TRIAGE_TRUST_CFI;
	if (next->pc == 0)
		return UNWIND_OUTERMOST;
	/* the record a frame pointer leads to may lie anywhere in an arm frame: the stack pointer was a guess */
	if (w->d->arch == TRIAGE_ARCH_ARM64 && f->trust == TRIAGE_TRUST_FRAME_POINTER && !next->exact &&
	    !looks_like_return(w, next->pc))
		return UNWIND_UNKNOWN;
	if (next->r[sp] > f->r[sp] || (next->r[sp] == f->r[sp] && f->exact && next->pc != f->pc))
		return UNWIND_CALLER;
	/* a signal may have been handled on a stack of its own */
	if (next->exact && next->r[sp] != f->r[sp] && w->switches++ < MAX_SWITCHES)
		return UNWIND_CALLER;
	w->u.why = "the stack does not grow";
	return UNWIND_DAMAGED;
}

/* By the frame pointer, else by looking for a return address. */
static bool
step_guess(struct walk *w, const struct unwind_frame *f, struct unwind_frame *out)
{
	bool arm = w->d->arch == TRIAGE_ARCH_ARM || w->d->arch == TRIAGE_ARCH_ARM64;
	struct cursor c = cursor_of(w, f), next;

	if ((!step_frame_pointer(w, &c, &next) || !plausible(w, next.pc)) && !step_scan(w, &c, &next))
		return false;
	if (next.pc < 4096 || next.sp < c.sp)
		return false;
	/* a leaf function of arm leaves the stack as it is, once */
	if (next.sp == c.sp && !(arm && c.trust == TRIAGE_TRUST_CONTEXT && next.pc != c.pc))
		return false;
	*out = frame_of(w, &next);
	return true;
}

static void
record(struct walk *w, const struct unwind_frame *u, struct triage_frame *f)
{
	*f = (struct triage_frame){ .pc = unwind_lookup_pc(w->u.arch, u), .trust = u->trust, .function = "" };
	f->module = module_index_find(w->mi, f->pc);
	if (f->module >= 0)
		f->offset = f->pc - w->mi->modules[f->module].base;
}

/* The stack the thread was given, unless its stack pointer is elsewhere. */
static struct mem_region
choose_stack(const struct dump *d, uint64_t sp)
{
	const struct mem_region *other;
	struct mem_region stack = { 0 };
	uint64_t ignored;

	if (d->crashing_thread >= 0) {
		const struct dump_thread *t = &d->threads[d->crashing_thread];

		stack = t->stack;
		if (stack.size == 0 && (other = mem_find(&d->mem, t->stack_addr)) != NULL)
			stack = *other;
	}
	if (!region_read(&stack, sp, 8, false, &ignored) && (other = mem_find(&d->mem, sp)) != NULL)
		stack = *other;
	return stack;
}

static uint64_t
mask_for(uint64_t highest)
{
	uint64_t mask = (UINT64_C(1) << 47) - 1;

	while (mask < highest)
		mask = mask << 1 | 1;
	return mask;
}

/* Memory for the unwinders: the stack as the thread has it, then the rest of the dump. */
static const uint8_t *
memory_at(const void *arg, uint64_t addr, uint64_t *len_out)
{
	const struct walk *w = arg;
	const struct mem_region *r = &w->stack;

	if (addr < r->addr || addr - r->addr >= r->size)
		r = mem_find(&w->d->mem, addr);
	if (r == NULL) {
		*len_out = 0;
		return NULL;
	}
	*len_out = r->size - (addr - r->addr);
	return r->data + (size_t)(addr - r->addr);
}

static struct unwind_frame
innermost(const struct dump *d)
{
	struct unwind_frame f = { .pc = d->regs.pc, .exact = true, .trust = TRIAGE_TRUST_CONTEXT };

	memcpy(f.r, d->regs.r, sizeof(f.r));
	f.known = d->regs.known;
	unwind_set(&f, unwind_sp(d->arch), d->regs.sp);
	unwind_set(&f, unwind_fp(d->arch, d->os), d->regs.fp);
	if (d->arch == TRIAGE_ARCH_ARM64)
		unwind_set(&f, UNWIND_ARM64_LR, d->regs.lr);
	else if (d->arch == TRIAGE_ARCH_ARM)
		unwind_set(&f, UNWIND_ARM_LR, d->regs.lr);
	return f;
}

/* Jumped to where no module is: nothing there has touched the stack, so the call has left its return address in the
 * link register, or on top of the stack. */
static bool
step_bad_jump(struct walk *w, const struct unwind_frame *f, struct unwind_frame *next)
{
	const unsigned sp = unwind_sp(w->u.arch);
	uint64_t pc, ignored;

	if (f->trust != TRIAGE_TRUST_CONTEXT || module_index_find(w->mi, f->pc) >= 0)
		return false;
	*next = *f;
	next->exact = false;
	if (w->d->arch == TRIAGE_ARCH_ARM64 || w->d->arch == TRIAGE_ARCH_ARM) {
		pc = strip(w, w->d->regs.lr);
		next->trust = TRIAGE_TRUST_FRAME_POINTER;
	} else {
		/* what ran there, when there was code, may have moved it */
		if (memory_at(w, f->pc, &ignored) != NULL || !load(w, f->r[sp], &pc))
			return false;
		next->trust = TRIAGE_TRUST_SCAN;
		next->r[sp] += w->width;
	}
	next->pc = pc;
	return looks_like_return(w, pc);
}

/* The caller of *f into *next; false: the walk ends here, *end says why. */
static bool
step(struct walk *w, const struct unwind_frame *f, struct unwind_frame *next, const char **end)
{
	enum unwind_outcome found;
	uint64_t sp, ignored;

	w->u.why = ""; /* of this step */
	found = step_unwind_data(w, f, next);
	if (found == UNWIND_OUTERMOST)
		*end = "outermost";
	if (found != UNWIND_OUTERMOST && found != UNWIND_CALLER) {
		*end = *w->u.why != '\0' ? w->u.why : "no caller found";
		if (!step_bad_jump(w, f, next) && !step_guess(w, f, next))
			return false;
	}
	if (found == UNWIND_OUTERMOST)
		return false;
	sp = next->r[unwind_sp(w->u.arch)];
	if (!region_read(&w->stack, sp, w->width, false, &ignored))
		w->stack = choose_stack(w->d, sp);
	return true;
}

enum err
walk_crashing_thread(struct arena *a, const struct dump *d, const struct module_index *mi, struct images *images,
		     size_t max_frames, struct walk_result *out)
{
	struct walk w = { .d = d, .mi = mi, .width = dump_pointer_width(d) };
	struct unwind_frame f = innermost(d), next;
	const char *end = "no caller found";

	if (max_frames == 0 || max_frames > TRIAGE_MAX_FRAMES)
		max_frames = TRIAGE_MAX_FRAMES;
	*out = (struct walk_result){ .frames = ARENA_ARRAY(a, struct triage_frame, max_frames),
				     .end = d->no_registers != NULL ? d->no_registers : "no registers" };
	w.u = (struct unwind){ .arch = d->arch,
			       .os = d->os,
			       .big_endian = d->big_endian,
			       .mi = mi,
			       .images = images,
			       .at = memory_at,
			       .arg = &w };
	if (out->frames == NULL || unwind_init(&w.u, a) != ERR_OK)
		return ERR_LIMIT;
	if (!d->regs.valid) {
		unwind_fini(&w.u);
		return ERR_OK;
	}
	w.stack = choose_stack(d, d->regs.sp);
	w.address_mask = mask_for(module_index_top(mi));
	record(&w, &f, &out->frames[out->n++]);
	while (out->n < max_frames && unwind_sp(d->arch) != 0 && step(&w, &f, &next, &end)) {
		f = next;
		record(&w, &f, &out->frames[out->n++]);
	}
	out->end = out->n == max_frames ? "more frames than the limit" : end;
	functions_name(&w.u, out->frames, out->n);
	unwind_fini(&w.u);
	return ERR_OK;
}
