/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "triage/kdump.h"
#include "triage/reason.h"
#include "triage/utf.h"

/* Where it really happened.  The header's exception record is always the breakpoint of the stop
 * itself; the fault is behind the parameters, differently for each stop code (triage/bugcheck.def),
 * or in the trap frame that the kernel left on the stack when it took the fault. */

#define TRAP_SIZE_X64           0x190u /* KTRAP_FRAME */
#define TRAP_SIZE_ARM64         0x150u
#define STATUS_ACCESS_VIOLATION 0xc0000005
#define STATUS_IN_PAGE_ERROR    0xc0000006

struct fault {
	struct exception_record record;
	bool has_record;
	bool has_status; /* record.code is known, the rest may not be */
	uint64_t ip;     /* 0 unknown */
	unsigned ip_param;
};

uint64_t
kd_strip(const struct kd *k, uint64_t p)
{
	if (k->d->arch != TRIAGE_ARCH_ARM64)
		return p;
	/* bit 55 says which half of the address space it is */
	return p >> 55 & 1 ? p | UINT64_C(0xffff000000000000) : p & UINT64_C(0x0000ffffffffffff);
}

static uint64_t
param(const struct kd *k, unsigned n)
{
	return n != 0 ? k->params[n - 1] : 0;
}

/* ---- records in memory ---- */

static struct dump_regs
context_at(const struct kd *k, uint64_t va)
{
	uint8_t copy[0x4d0];
	size_t len = k->d->arch == TRIAGE_ARCH_ARM64 ? 0x390 : k->is64 ? 0x4d0 : 0x2cc;
	struct dump_regs regs = { 0 };
	struct reader r;

	if (va == 0 || !kd_read(k, va, copy, len))
		return regs;
	reader_init(&r, copy, len, false);
	context_read(&r, k->d->arch, k->d->os, 0, &regs);
	return regs;
}

static bool
record_at(const struct kd *k, uint64_t va, struct exception_record *e)
{
	uint8_t copy[0x98];
	struct reader r;

	if (va == 0 || !kd_read(k, va, copy, k->is64 ? 0x98 : 0x50))
		return false;
	*e = (struct exception_record){ 0 };
	reader_init(&r, copy, sizeof(copy), false);
	e->code = reader_u32(&r);
	e->flags = reader_u32(&r);
	reader_skip(&r, k->width);
	e->address = k->is64 ? reader_u64(&r) : reader_u32(&r);
	e->n_params = reader_u32(&r);
	if (k->is64)
		reader_skip(&r, 4);
	if (e->n_params > 15)
		return false;
	for (uint32_t i = 0; i < e->n_params; i++)
		e->params[i] = k->is64 ? reader_u64(&r) : reader_u32(&r);
	/* of severity warning or error */
	return e->code >> 31 == 1;
}

static uint64_t
number(const uint8_t *p, unsigned width)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static bool
canonical(uint64_t p)
{
	return p <= 0x7fffffffffff || p >= 0xffff800000000000;
}

/* A KTRAP_FRAME of x64: the selectors and the reserved flags have only these values. */
static bool
trap_frame_x64(const uint8_t *p, struct dump_regs *out)
{
	uint64_t cs = number(p + 0x170, 2), ss = number(p + 0x188, 2), flags = number(p + 0x178, 4);
	/* rax, rcx, rdx, r8 to r11 */
	static const uint8_t order[] = { 0, 2, 1, 8, 9, 10, 11 };

	*out = (struct dump_regs){ .pc = number(p + 0x168, 8), .sp = number(p + 0x180, 8), .fp = number(p + 0x158, 8) };
	if ((cs != 0x10 && cs != 0x33 && cs != 0x23) || (ss != 0x18 && ss != 0x2b && ss != 0))
		return false;
	if ((flags & 0x802a) != 2 || flags >> 22 != 0 || out->pc < 0x1000 || !canonical(out->pc) || out->sp == 0 ||
	    out->sp % 8 != 0 || !canonical(out->sp))
		return false;
	for (size_t i = 0; i < sizeof(order); i++) {
		out->r[order[i]] = number(p + 0x30 + 8 * i, 8);
		out->known |= UINT64_C(1) << order[i];
	}
	out->valid = true;
	return true;
}

/* One of arm64: small flags, an exception level that Windows runs at, instructions and stack aligned. */
static bool
trap_frame_arm64(const uint8_t *p, struct dump_regs *out)
{
	uint64_t spsr = number(p + 0x90, 4);

	*out = (struct dump_regs){ .pc = number(p + 0x148, 8),
				   .sp = number(p + 0x98, 8),
				   .lr = number(p + 0x138, 8),
				   .fp = number(p + 0x140, 8) };
	if (p[0] > 2 || p[1] > 1 || p[2] > 1 || ((spsr & 0x1f) != 0 && (spsr & 0x1f) != 4 && (spsr & 0x1f) != 5) ||
	    out->pc % 4 != 0 || out->pc < 0x1000 || out->sp == 0 || out->sp % 16 != 0 || !canonical(out->sp) ||
	    !canonical(out->pc))
		return false;
	for (size_t i = 0; i < 19; i++)
		out->r[i] = number(p + 0xa0 + 8 * i, 8);
	out->known = 0x7ffff;
	out->valid = true;
	return true;
}

static size_t
trap_size(const struct kd *k)
{
	return k->d->arch == TRIAGE_ARCH_X64 ? TRAP_SIZE_X64 : k->d->arch == TRIAGE_ARCH_ARM64 ? TRAP_SIZE_ARM64 : 0;
}

static bool
trap_frame(const struct kd *k, const uint8_t *p, struct dump_regs *out)
{
	return k->d->arch == TRIAGE_ARCH_X64 ? trap_frame_x64(p, out) : trap_frame_arm64(p, out);
}

static struct dump_regs
trap_frame_at(const struct kd *k, uint64_t va)
{
	uint8_t copy[TRAP_SIZE_X64];
	struct dump_regs regs;
	size_t size = trap_size(k);

	if (size != 0 && va != 0 && kd_read(k, va, copy, size) && trap_frame(k, copy, &regs))
		return regs;
	return (struct dump_regs){ 0 };
}

/* Whether code of the kernel was interrupted, as the trap frame at p has it. */
static bool
of_kernel(const struct kd *k, const uint8_t *p)
{
	return k->d->arch == TRIAGE_ARCH_X64 ? number(p + 0x170, 2) == 0x10 : (number(p + 0x90, 4) & 0xf) != 0;
}

/* The first trap frame on the stack: of the instruction ip, or (0) of kernel code in a known
 * module, interrupted on this very stack. */
static struct dump_regs
trap_frame_on_stack(const struct kd *k, uint64_t ip)
{
	const struct mem_region *s = &k->stack;
	size_t size = trap_size(k), pc_at = k->d->arch == TRIAGE_ARCH_X64 ? 0x168 : 0x148;
	struct dump_regs regs;

	for (uint64_t i = 0; size != 0 && i + size <= s->size; i += 8) {
		const uint8_t *p = s->data + i;
		uint64_t above = s->addr + i + size;

		if ((ip != 0 && kd_strip(k, number(p + pc_at, 8)) != ip) || !trap_frame(k, p, &regs))
			continue;
		if (ip != 0 || (of_kernel(k, p) && regs.sp >= above - 8 && regs.sp < s->addr + s->size &&
				module_index_find(&k->modules, regs.pc) >= 0))
			return regs;
	}
	return (struct dump_regs){ 0 };
}

/* ---- the stack ---- */

/* From sp up as far as the dump has it without a gap; put together once where it comes in pieces. */
static enum err
load_stack(struct kd *k, uint64_t sp)
{
	uint64_t len = 0, n = 0;
	const uint8_t *first;
	uint8_t *copy;

	sp &= ~(uint64_t)(k->width - 1);
	if (sp == 0 || (first = kd_at(k, sp, &n)) == NULL)
		return ERR_OK;
	for (len = n; len < KD_STACK_MAX && sp <= UINT64_MAX - len && kd_at(k, sp + len, &n) != NULL;)
		len += n;
	if (len > KD_STACK_MAX)
		len = KD_STACK_MAX;
	if (len > UINT64_MAX - sp)
		return ERR_OK;
	kd_at(k, sp, &n);
	if (n >= len) {
		k->stack = (struct mem_region){ sp, len, first };
		return ERR_OK;
	}
	if ((copy = arena_calloc(k->arena, 1, (size_t)len)) == NULL)
		return ERR_LIMIT;
	if (kd_read(k, sp, copy, (size_t)len))
		k->stack = (struct mem_region){ sp, len, copy };
	return ERR_OK;
}

static bool
on_stack(const struct kd *k, uint64_t sp)
{
	return sp >= k->stack.addr && sp - k->stack.addr < k->stack.size;
}

/* ---- the fault ---- */

static void
set_regs(struct kd *k, struct dump_regs regs, enum triage_trust trust, const char *how, unsigned n)
{
	const char *s = n != 0 ? utf_printf(k->arena, "%s of parameter %u", how, n) : how;

	k->d->regs = regs;
	k->trust = trust;
	k->fault_found = true;
	k->how = s != NULL ? s : how;
}

/* What the parameters point at, each checked before it is believed. */
static void
read_fault(struct kd *k, struct fault *f)
{
	const struct bugcheck *b = k->about;

	if (b->status != 0) {
		f->record.code = (uint32_t)param(k, b->status);
		f->has_status = true;
		if (b->code == 0x1e) {
			f->record.params[0] = k->params[2];
			f->record.params[1] = k->params[3];
			f->record.n_params = 2;
		}
	}
	if (b->record != 0) {
		struct exception_record e;

		if (record_at(k, param(k, b->record), &e) && (!f->has_status || e.code == f->record.code)) {
			f->record = e;
			f->has_record = f->has_status = true;
			f->ip = kd_strip(k, e.address);
			f->ip_param = b->record;
		}
	}
	if (b->ip != 0 && param(k, b->ip) != 0) {
		f->ip = kd_strip(k, param(k, b->ip));
		f->ip_param = b->ip;
	}
}

static void
find_registers(struct kd *k, const struct fault *f)
{
	const struct bugcheck *b = k->about;
	struct dump_regs regs = context_at(k, param(k, b->context));

	if (regs.valid) {
		set_regs(k, regs, TRIAGE_TRUST_CONTEXT, "context record", b->context);
		return;
	}
	if ((regs = trap_frame_at(k, param(k, b->trap))).valid) {
		set_regs(k, regs, TRIAGE_TRUST_CONTEXT, "trap frame", b->trap);
		return;
	}
	if (f->ip != 0) {
		if (k->stopped.valid && k->stopped.pc == f->ip) {
			set_regs(k, k->stopped, TRIAGE_TRUST_CONTEXT, "context of the header", 0);
		} else if ((regs = trap_frame_on_stack(k, f->ip)).valid) {
			set_regs(k, regs, TRIAGE_TRUST_CONTEXT, "trap frame on the stack", 0);
		} else {
			/* the other registers are those of the stop: only how deep its stack is can help */
			regs = (struct dump_regs){ .pc = f->ip, .sp = k->stopped.sp, .valid = true };
			k->pc_only = true;
			set_regs(k, regs, TRIAGE_TRUST_CONTEXT,
				 f->ip_param == b->ip ? "instruction" : "exception record", f->ip_param);
		}
		return;
	}
	if ((b->blame == BUGCHECK_BLAME_FAULT || b->code == 0x133) && (regs = trap_frame_on_stack(k, 0)).valid) {
		set_regs(k, regs, TRIAGE_TRUST_SCAN, "trap frame found on the stack", 0);
		return;
	}
	k->d->regs = k->stopped;
	k->trust = TRIAGE_TRUST_CONTEXT;
	k->how = k->stopped.valid ? "where the machine was stopped" : "";
}

/* The fault is where a driver was before it went: that driver is one module more, without an id. */
static enum err
find_unloaded(struct kd *k)
{
	uint64_t pc = k->d->regs.pc;
	struct dump *d = k->d;

	if (!k->fault_found || module_index_find(&k->modules, pc) >= 0 || d->n_modules >= TRIAGE_MAX_MODULES ||
	    d->modules == NULL)
		return ERR_OK;
	for (size_t i = 0; i < k->n_unloaded; i++) {
		const struct triage_unloaded *u = &k->unloaded[i];

		if (pc < u->start || pc >= u->end || *u->name == '\0')
			continue;
		d->modules[d->n_modules++] = (struct triage_module){ .path = u->name,
								     .base = u->start,
								     .size = u->end - u->start,
								     .id = "",
								     .code_id = "",
								     .debug_id = "",
								     .version = "" };
		k->fault_unloaded = true;
		return module_index_build(k->arena, d->modules, d->n_modules, &k->modules);
	}
	return ERR_OK;
}

/* ---- in words ---- */

static void
address_text(const struct kd *k, uint64_t v, char out[24])
{
	if (k->is64)
		snprintf(out, 24, "%08" PRIx64 "'%08" PRIx64, v >> 32, v & 0xffffffff);
	else
		snprintf(out, 24, "%08" PRIx64, v);
}

/* Stop code first, then the exception's: the words that decide the reason class. */
static void
write_reason(struct kd *k, const struct fault *f)
{
	const struct bugcheck *b = k->about;
	const char *name = bugcheck_name(k->bugcheck), *value = bugcheck_value(k->bugcheck, 0, k->params[0]), *s;
	bool access = f->has_status &&
		      (f->record.code == STATUS_ACCESS_VIOLATION || f->record.code == STATUS_IN_PAGE_ERROR) &&
		      f->record.n_params >= 2;
	char head[160], detail[REASON_TEXT_MAX] = "", text[24] = "";

	snprintf(head, sizeof(head), "0x%x%s%s", k->bugcheck, name != NULL ? " " : "", name != NULL ? name : "");
	if (b->code == 0x139 && value != NULL) {
		s = utf_printf(k->arena, "%s: %s", head, value);
	} else if (f->has_status) {
		reason_text_windows(&f->record, detail);
		if (access)
			address_text(k, f->record.params[1], text);
		s = utf_printf(k->arena, "%s: 0x%08x %s%s%s", head, f->record.code, detail, access ? " of " : "", text);
	} else if (b->address != 0) {
		address_text(k, param(k, b->address), text);
		s = utf_printf(k->arena, "%s: %s of %s", head, bugcheck_access_name(bugcheck_access(b, k->params)),
			       text);
	} else {
		s = utf_printf(k->arena, "%s%s%s", head, value != NULL ? ": " : "", value != NULL ? value : "");
	}
	k->d->reason = s != NULL ? s : "";
	k->d->subcode = f->has_status ? f->record.code : 0;
	k->d->has_address = b->address != 0 || access || f->ip != 0;
	k->d->address = b->address != 0 ? param(k, b->address) : access ? f->record.params[1] : f->ip;
}

/* The context KeBugCheckEx was entered with: the processor block points at it; the header
 * has it too, unless it has that of the fault. */
static void
read_stopped(struct kd *k)
{
	const uint8_t *p = kd_file(k, k->context_at, k->context_size), *pointer = NULL;
	struct dump_regs regs;
	struct reader r;

	if (p != NULL) {
		reader_init(&r, p, k->context_size, false);
		context_read(&r, k->d->arch, k->d->os, 0, &k->stopped);
	}
	if (k->prcb_at != 0 && k->debugger.valid)
		pointer = kd_file(k, k->prcb_at + k->debugger.prcb_context, k->width);
	if (pointer != NULL && (regs = context_at(k, number(pointer, k->width))).valid && on_stack(k, regs.sp))
		k->stopped = regs;
}

enum err
kd_fault(struct kd *k)
{
	struct fault f = { 0 };

	read_stopped(k);
	if (k->stack.size == 0 && load_stack(k, k->stopped.sp) != ERR_OK)
		return ERR_LIMIT;
	read_fault(k, &f);
	find_registers(k, &f);
	k->d->regs.pc = kd_strip(k, k->d->regs.pc);
	if (find_unloaded(k) != ERR_OK)
		return ERR_LIMIT;
	if (k->d->has_exception)
		write_reason(k, &f);
	if (k->d->regs.valid && !on_stack(k, k->d->regs.sp) && load_stack(k, k->d->regs.sp) != ERR_OK)
		return ERR_LIMIT;
	k->d->threads[0].stack = k->stack;
	return ERR_OK;
}
