/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/kdump.h"

/* Frames of a kernel stack.  Without the images' unwind data: on arm64 the chain of frame records, which
 * its calling convention keeps; elsewhere every word of the stack that is a return address as far as the
 * dump can tell: in an executable section of a driver, after a call instruction. */

#define SECTION_EXECUTE 0x20000000u
#define MAX_SECTIONS    96

/* Whether offset rva of a module is code, by the section table in memory; true when the table is not there. */
static bool
in_code(const struct kd *k, const struct triage_module *m, uint64_t rva)
{
	uint64_t pe, magic, n, optional, start, size, flags, table;

	if (!kd_uint(k, m->base, 2, &magic) || magic != 0x5a4d || !kd_uint(k, m->base + 0x3c, 4, &pe) || pe > m->size ||
	    !kd_uint(k, m->base + pe, 4, &magic) || magic != 0x4550 || !kd_uint(k, m->base + pe + 6, 2, &n) ||
	    !kd_uint(k, m->base + pe + 20, 2, &optional) || n == 0 || n > MAX_SECTIONS)
		return true;
	table = m->base + pe + 24 + optional;
	for (uint64_t i = 0; i < n; i++, table += 40) {
		if (!kd_uint(k, table + 8, 4, &size) || !kd_uint(k, table + 12, 4, &start) ||
		    !kd_uint(k, table + 36, 4, &flags))
			return true;
		if (rva >= start && rva - start < size)
			return (flags & SECTION_EXECUTE) != 0;
	}
	return false;
}

/* Whether a call ends at pc; true when the bytes are not in the dump. */
static bool
after_call(const struct kd *k, uint64_t pc)
{
	uint64_t insn;
	uint8_t b[8];

	if (k->d->arch == TRIAGE_ARCH_ARM64) {
		if (!kd_uint(k, pc - 4, 4, &insn))
			return true;
		/* bl; blr and its authenticating forms */
		return insn >> 26 == 0x25 || (insn & 0xfffffc1f) == 0xd63f0000 || (insn & 0xfefff800) == 0xd63f0800;
	}
	if (k->d->arch == TRIAGE_ARCH_ARM || !kd_read(k, pc - 7, b, 7))
		return true;
	if (b[2] == 0xe8)
		return true;
	/* ff /2: register or [register] in 2 bytes, +8 bits in 3 or 4, +32 bits or [rip] in 6 or 7 */
	for (unsigned i = 0; i <= 5; i++)
		if (b[i] == 0xff && (b[i + 1] >> 3 & 7) == 2) {
			unsigned mod = b[i + 1] >> 6, rm = b[i + 1] & 7, len = 2;

			if (mod != 3 && rm == 4)
				len++;
			len += mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 5) ? 4 : 0;
			if (i + len == 7)
				return true;
		}
	return false;
}

static bool
is_return(const struct kd *k, uint64_t pc)
{
	int32_t i = pc > 16 ? module_index_find(&k->modules, pc - 1) : -1;

	return i >= 0 && (k->d->arch != TRIAGE_ARCH_ARM64 || pc % 4 == 0) &&
	       in_code(k, &k->d->modules[i], pc - 1 - k->d->modules[i].base) && after_call(k, pc);
}

static struct triage_frame
frame(const struct kd *k, uint64_t pc, enum triage_trust trust)
{
	struct triage_frame f = { .pc = pc, .trust = trust, .function = "" };

	f.module = module_index_find(&k->modules, pc);
	if (f.module >= 0)
		f.offset = pc - k->d->modules[f.module].base;
	return f;
}

enum err
kdump_walk(struct kd *k, size_t max_frames, struct triage_frame **frames_out, size_t *n_out)
{
	const struct dump *d = k->d;
	uint64_t sp = d->regs.sp & ~(uint64_t)(k->width - 1), fp = d->regs.fp, pc, next;
	unsigned back = d->arch == TRIAGE_ARCH_ARM64 ? 4 : d->arch == TRIAGE_ARCH_ARM ? 2 : 1;
	struct triage_frame *frames;
	size_t n = 0;

	if (max_frames == 0 || max_frames > TRIAGE_MAX_FRAMES)
		max_frames = TRIAGE_MAX_FRAMES;
	frames = ARENA_ARRAY(k->arena, struct triage_frame, max_frames);
	if (frames == NULL)
		return ERR_LIMIT;
	*frames_out = frames;
	*n_out = 0;
	if (!d->regs.valid)
		return ERR_OK;
	frames[n++] = frame(k, d->regs.pc, k->trust);
	while (d->arch == TRIAGE_ARCH_ARM64 && n < max_frames && fp >= sp && fp % 16 == 0 &&
	       region_read(&k->stack, fp, 8, false, &next) && region_read(&k->stack, fp + 8, 8, false, &pc) &&
	       is_return(k, kd_strip(k, pc))) {
		frames[n++] = frame(k, kd_strip(k, pc) - back, TRIAGE_TRUST_FRAME_POINTER);
		sp = fp + 16;
		fp = next;
	}
	for (; n < max_frames && region_read(&k->stack, sp, k->width, false, &pc); sp += k->width)
		if (is_return(k, pc = kd_strip(k, pc)))
			frames[n++] = frame(k, pc - back, TRIAGE_TRUST_SCAN);
	*n_out = n;
	return ERR_OK;
}
