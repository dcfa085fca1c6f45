/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/kdump.h"

/* Frames of a kernel stack.  Without the images' unwind data: on arm64 the chain of frame records, which
 * its calling convention keeps; elsewhere every word of the stack that is a return address as far as the
 * dump can tell: in an executable section of a driver, after a call instruction. */

#define SECTION_EXECUTE 0x20000000u
#define MAX_SECTIONS    96
#define SECTION         40u /* bytes of a section header */

/* Executable ranges of a module, by the section table in memory. */
struct kd_code {
	bool known; /* not known: the table is not in the dump */
	uint16_t n;
	struct {
		uint32_t start, size;
	} ranges[];
};

static size_t
section_table(const struct kd *k, const struct triage_module *m, uint8_t table[MAX_SECTIONS * SECTION])
{
	uint64_t pe, magic, n, optional;

	if (!kd_uint(k, m->base, 2, &magic) || magic != 0x5a4d || !kd_uint(k, m->base + 0x3c, 4, &pe) || pe > m->size ||
	    !kd_uint(k, m->base + pe, 4, &magic) || magic != 0x4550 || !kd_uint(k, m->base + pe + 6, 2, &n) ||
	    !kd_uint(k, m->base + pe + 20, 2, &optional) || n == 0 || n > MAX_SECTIONS ||
	    !kd_read(k, m->base + pe + 24 + optional, table, (size_t)n * SECTION))
		return 0;
	return (size_t)n;
}

/* NULL: the arena is exhausted, which counts as not known. */
static const struct kd_code *
code_of(const struct kd *k, int32_t i)
{
	uint8_t table[MAX_SECTIONS * SECTION];
	struct kd_code *c = k->code[i];
	struct reader r;
	size_t n;

	if (c != NULL)
		return c;
	n = section_table(k, &k->d->modules[i], table);
	c = k->code[i] = arena_calloc(k->arena, 1, sizeof(*c) + n * sizeof(c->ranges[0]));
	if (c == NULL)
		return NULL;
	c->known = n > 0;
	for (size_t s = 0; s < n; s++) {
		uint32_t size, start;

		reader_init(&r, table + s * SECTION, SECTION, false);
		reader_skip(&r, 8);
		size = reader_u32(&r);
		start = reader_u32(&r);
		reader_skip(&r, 20);
		if (reader_u32(&r) & SECTION_EXECUTE) {
			c->ranges[c->n].start = start;
			c->ranges[c->n++].size = size;
		}
	}
	return c;
}

/* Whether offset rva of module i is code; true when that is not known. */
static bool
in_code(const struct kd *k, int32_t i, uint64_t rva)
{
	const struct kd_code *c = code_of(k, i);

	if (c == NULL || !c->known)
		return true;
	for (unsigned s = 0; s < c->n; s++)
		if (rva >= c->ranges[s].start && rva - c->ranges[s].start < c->ranges[s].size)
			return true;
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
	       in_code(k, i, pc - 1 - k->d->modules[i].base) && after_call(k, pc);
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
	k->code = ARENA_ARRAY(k->arena, struct kd_code *, d->n_modules);
	if (frames == NULL || k->code == NULL)
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
