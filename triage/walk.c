/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/walk.h"

#define SCAN_WORDS       40           /* how far to look for a return address */
#define SCAN_WORDS_FIRST 160          /* from registers: the innermost frames may be odd */
#define MAX_FRAME_GAP    (128 * 1024) /* of two frame pointers that belong together */

struct cursor {
	uint64_t pc, sp, fp;
	bool fp_valid;
	enum triage_trust trust;
};

struct walk {
	const struct dump *d;
	const struct module_index *mi;
	struct mem_region stack;
	unsigned width;
	uint64_t address_mask; /* without pointer authentication bits */
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
looks_like_return(const struct walk *w, uint64_t pc)
{
	/* pc - 1: the call may be the last instruction of its module */
	return pc > 1 && canonical(w, pc) && module_index_find(w->mi, pc - 1) >= 0 &&
	       (w->d->exec.n == 0 || mem_find(&w->d->exec, pc - 1) != NULL);
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
step_scan(const struct walk *w, const struct cursor *c, struct cursor *next)
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

/* ---- the walk ---- */

static bool
step(const struct walk *w, const struct cursor *c, struct cursor *next)
{
	bool arm = w->d->arch == TRIAGE_ARCH_ARM || w->d->arch == TRIAGE_ARCH_ARM64;

	if (!step_frame_pointer(w, c, next) && !step_scan(w, c, next))
		return false;
	if (next->pc < 4096 || next->sp < c->sp)
		return false;
	/* a leaf function of arm leaves the stack as it is, once */
	if (next->sp == c->sp && !(arm && c->trust == TRIAGE_TRUST_CONTEXT && next->pc != c->pc))
		return false;
	return true;
}

static unsigned
call_size(enum triage_arch arch)
{
	return arch == TRIAGE_ARCH_ARM64 ? 4 : arch == TRIAGE_ARCH_ARM ? 2 : 1;
}

static void
record(const struct walk *w, const struct cursor *c, struct triage_frame *f)
{
	*f = (struct triage_frame){ .pc = c->pc, .trust = c->trust, .function = "" };
	if (c->trust != TRIAGE_TRUST_CONTEXT)
		f->pc -= call_size(w->d->arch);
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

enum err
walk_crashing_thread(struct arena *a, const struct dump *d, const struct module_index *mi, size_t max_frames,
		     struct triage_frame **frames_out, size_t *n_out)
{
	struct walk w = { .d = d, .mi = mi, .width = dump_pointer_width(d) };
	struct cursor c = { d->regs.pc, d->regs.sp, d->regs.fp, true, TRIAGE_TRUST_CONTEXT }, next;
	struct triage_frame *frames;
	size_t n = 0;

	if (max_frames == 0 || max_frames > TRIAGE_MAX_FRAMES)
		max_frames = TRIAGE_MAX_FRAMES;
	frames = ARENA_ARRAY(a, struct triage_frame, max_frames);
	if (frames == NULL)
		return ERR_LIMIT;
	*frames_out = frames;
	*n_out = 0;
	if (!d->regs.valid)
		return ERR_OK;
	w.stack = choose_stack(d, c.sp);
	w.address_mask = mask_for(module_index_top(mi));
	record(&w, &c, &frames[n++]);
	while (n < max_frames && step(&w, &c, &next)) {
		c = next;
		record(&w, &c, &frames[n++]);
	}
	*n_out = n;
	return ERR_OK;
}
