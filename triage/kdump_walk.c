/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/functions.h"
#include "triage/kdump.h"
#include "triage/unwind.h"
#include "triage/unwind_arm64.h"
#include "triage/unwind_sym.h"
#include "triage/unwind_x64.h"

/* Frames of a kernel stack.  By the unwind data of the drivers' images as far as they are at hand or in the dump;
 * over trap frames on to what was interrupted.  Where that ends: on arm64 and x86 the chain of frame records, else
 * the words of the stack that are return addresses as far as anybody can tell. */

#define MAX_TRAPS     16 /* stacks that one walk may be led to */
#define MAX_REPORTING 32 /* frames of the kernel between a fault and the stop */

static const struct unwinder *const unwinders[] = { &unwinder_x64, &unwinder_arm64, &unwinder_sym };

/* Pages that were looked up: going through the page tables costs as much as a step. */
struct page_cache {
	struct {
		uint64_t page; /* its number and 1; 0: none */
		const uint8_t *at;
	} slots[256];
};

struct walk {
	struct kd *k;
	struct page_cache *pages;
	struct unwind u;
	struct walk_result *out;
	size_t max;
	unsigned sp, fp; /* numbers of these registers */
	unsigned traps;
	bool guessed; /* a frame was found by scanning: what is found from there on is no surer */
};

/* The stack was put together from its pages; all else is where the dump has it. */
static const uint8_t *
memory_at(const void *arg, uint64_t addr, uint64_t *len_out)
{
	const struct walk *w = arg;
	const struct mem_region *s = &w->k->stack;
	uint64_t page = addr / KD_PAGE + 1;
	size_t slot = page % (sizeof(w->pages->slots) / sizeof(w->pages->slots[0])), within = addr % KD_PAGE;
	const uint8_t *p;

	if (addr >= s->addr && addr - s->addr < s->size) {
		*len_out = s->size - (addr - s->addr);
		return s->data + (size_t)(addr - s->addr);
	}
	if (w->k->blocks.n > 0) /* no page tables */
		return kd_at(w->k, addr, len_out);
	if (w->pages->slots[slot].page != page) {
		if ((p = kd_at(w->k, addr, len_out)) == NULL)
			return NULL;
		w->pages->slots[slot].page = page;
		w->pages->slots[slot].at = p - within;
	}
	*len_out = KD_PAGE - within;
	return w->pages->slots[slot].at + within;
}

static void
record(struct walk *w, const struct unwind_frame *f)
{
	struct triage_frame *t = &w->out->frames[w->out->n++];

	*t = (struct triage_frame){ .pc = unwind_lookup_pc(w->u.arch, f), .trust = f->trust, .function = "" };
	t->module = module_index_find(&w->k->modules, t->pc);
	if (t->module >= 0)
		t->offset = t->pc - w->k->d->modules[t->module].base;
}

static bool
user_space(const struct kd *k, uint64_t p)
{
	return k->is64 ? p >> 63 == 0 : p < 0x80000000;
}

/* By unwind data.  False with *end set: the walk is over; without: another way may know. */
static bool
step_data(struct walk *w, const struct unwind_frame *f, struct unwind_frame *next, const char **end)
{
	int32_t module = module_index_find(&w->k->modules, unwind_lookup_pc(w->u.arch, f));
	enum unwind_outcome found = UNWIND_UNKNOWN;
	uint64_t len;

	*end = NULL;
	if (w->k->pc_only && w->out->n == 1) /* the stack pointer is not this frame's */
		return false;
	for (size_t i = 0; module >= 0 && i < sizeof(unwinders) / sizeof(unwinders[0]) && found == UNWIND_UNKNOWN;
	     i++) {
		*next = (struct unwind_frame){ 0 };
		found = unwinders[i]->step(&w->u, f, module, next);
	}
	if (found == UNWIND_OUTERMOST)
		*end = "outermost";
	if (found != UNWIND_CALLER)
		return false;
	if (next->exact && user_space(w->k, next->pc)) {
		*end = "user mode";
		return false;
	}
	if (next->exact && w->traps++ == MAX_TRAPS) {
		*end = "more trap frames than the limit";
		return false;
	}
	/* upwards, unless a trap frame leads to another stack, which then is in the dump */
	if (next->r[w->sp] <= f->r[w->sp] && !(next->exact && memory_at(w, next->r[w->sp], &len) != NULL) &&
	    !(next->r[w->sp] == f->r[w->sp] && f->exact))
		return false;
	next->trust = w->guessed ? TRIAGE_TRUST_SCAN : TRIAGE_TRUST_CFI;
	return true;
}

/* By a frame record: the caller's frame pointer, then the return address. */
static bool
step_record(struct walk *w, const struct unwind_frame *f, struct unwind_frame *next)
{
	unsigned width = w->k->width;
	uint64_t fp = f->r[w->fp], caller_fp, pc;

	if ((w->u.arch != TRIAGE_ARCH_ARM64 && w->u.arch != TRIAGE_ARCH_X86) || !unwind_known(f, w->fp) ||
	    fp < f->r[w->sp] || fp - f->r[w->sp] > KD_STACK_MAX || fp % (w->u.arch == TRIAGE_ARCH_X86 ? 4 : 16) != 0 ||
	    !unwind_pointer(&w->u, fp, &caller_fp) || !unwind_pointer(&w->u, fp + width, &pc) ||
	    !unwind_is_return(&w->u, kd_strip(w->k, pc)))
		return false;
	*next = (struct unwind_frame){ .pc = kd_strip(w->k, pc),
				       .trust = w->guessed ? TRIAGE_TRUST_SCAN : TRIAGE_TRUST_FRAME_POINTER };
	unwind_set(next, w->sp, fp + 2 * width);
	unwind_set(next, w->fp, caller_fp);
	return true;
}

/* The next word of the stack that is a return address. */
static bool
step_scan(struct walk *w, const struct unwind_frame *f, struct unwind_frame *next)
{
	uint64_t sp = f->r[w->sp] & ~(uint64_t)(w->k->width - 1), pc;

	for (; region_read(&w->k->stack, sp, w->k->width, false, &pc); sp += w->k->width)
		if (unwind_is_return(&w->u, pc = kd_strip(w->k, pc))) {
			*next = (struct unwind_frame){ .pc = pc, .trust = TRIAGE_TRUST_SCAN };
			unwind_set(next, w->sp, sp + w->k->width);
			w->guessed = true;
			return true;
		}
	return false;
}

static void
walk(struct walk *w, struct unwind_frame f)
{
	struct unwind_frame next;
	const char *end;

	record(w, &f);
	while (w->out->n < w->max) {
		w->u.why = ""; /* of this step */
		if (!step_data(w, &f, &next, &end)) {
			if (end != NULL) {
				w->out->end = end;
				return;
			}
			if (!step_record(w, &f, &next) && !step_scan(w, &f, &next)) {
				w->out->end = *w->u.why != '\0' ? w->u.why : "no caller found";
				return;
			}
		}
		f = next;
		record(w, &f);
	}
	w->out->end = "more frames than the limit";
}

static struct unwind_frame
frame_of(const struct walk *w, const struct dump_regs *regs)
{
	struct unwind_frame f = { .pc = regs->pc, .exact = true, .trust = w->k->trust };

	memcpy(f.r, regs->r, sizeof(f.r));
	f.known = regs->known;
	unwind_set(&f, w->sp, regs->sp);
	if (regs->fp != 0)
		unwind_set(&f, w->fp, regs->fp);
	if (regs->lr != 0)
		unwind_set(&f, UNWIND_ARM64_LR, regs->lr);
	return f;
}

/* A trap frame has not all registers, a parameter has only the instruction: the others are where the kernel's own
 * functions saved them between the fault and the stop, if its unwind data is at hand. */
static void
complete(struct walk *w, struct unwind_frame *f)
{
	struct unwind_frame g = frame_of(w, &w->k->stopped), next;
	const char *end;

	if (!w->k->fault_found || !w->k->stopped.valid || w->k->stopped.pc == f->pc)
		return;
	for (unsigned i = 0; i < MAX_REPORTING && step_data(w, &g, &next, &end); i++, g = next) {
		if (!next.exact || next.pc != f->pc || (!w->k->pc_only && next.r[w->sp] != f->r[w->sp]))
			continue;
		for (unsigned r = 0; r < UNWIND_REGS; r++)
			if (unwind_known(&next, r) && (!unwind_known(f, r) || w->k->pc_only))
				unwind_set(f, r, next.r[r]);
		w->k->pc_only = false;
		break;
	}
	w->traps = 0;
	w->u.why = "";
}

enum err
kdump_walk(struct kd *k, struct images *images, size_t max_frames, struct walk_result *out)
{
	const struct dump *d = k->d;
	struct walk w = { .k = k,
			  .u = { .arch = d->arch, .os = d->os, .mi = &k->modules, .images = images, .at = memory_at },
			  .out = out,
			  .max = max_frames,
			  .sp = unwind_sp(d->arch),
			  .fp = unwind_fp(d->arch, d->os) };
	struct unwind_frame f;

	w.u.arg = &w;
	w.pages = ARENA_NEW(k->arena, struct page_cache);
	if (w.max == 0 || w.max > TRIAGE_MAX_FRAMES)
		w.max = TRIAGE_MAX_FRAMES;
	*out = (struct walk_result){ .frames = ARENA_ARRAY(k->arena, struct triage_frame, w.max),
				     .end = "no registers" };
	if (out->frames == NULL || w.pages == NULL || unwind_init(&w.u, k->arena) != ERR_OK)
		return ERR_LIMIT;
	if (d->regs.valid) {
		f = frame_of(&w, &d->regs);
		complete(&w, &f);
		walk(&w, f);
	}
	functions_name(&w.u, out->frames, out->n);
	unwind_fini(&w.u);
	return ERR_OK;
}
