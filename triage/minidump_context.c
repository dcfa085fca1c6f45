/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/minidump.h"

/* Context records.  Which layout it is follows from the processor of the dump; the
 * flags, wherever that layout has them, must agree.  Offsets are those of the
 * documented CONTEXT structures and of Breakpad's for systems without one. */

static uint64_t
at32(struct reader *r, size_t offset)
{
	r->pos = offset <= r->size ? offset : r->size;
	return reader_u32(r);
}

static uint64_t
at64(struct reader *r, size_t offset)
{
	r->pos = offset <= r->size ? offset : r->size;
	return reader_u64(r);
}

/* n registers of that width from offset on; order: the DWARF number of each. */
static void
registers(struct reader *r, size_t offset, unsigned width, const uint8_t *order, size_t n, struct dump_regs *out)
{
	for (size_t i = 0; i < n; i++) {
		unsigned reg = order != NULL ? order[i] : (unsigned)i;

		out->r[reg] = width == 8 ? at64(r, offset + 8 * i) : at32(r, offset + 4 * i);
		out->known |= UINT64_C(1) << reg;
	}
}

static void
read_x86(struct reader *r, struct dump_regs *out)
{
	if (!(at32(r, 0) & 0x10000))
		return;
	*out = (struct dump_regs){ .fp = at32(r, 180), .pc = at32(r, 184), .sp = at32(r, 196), .valid = true };
	registers(r, 156, 4, (const uint8_t[]){ 7, 6, 3, 2, 1, 0, 5 }, 7, out); /* edi … ebp */
	registers(r, 196, 4, (const uint8_t[]){ 4 }, 1, out);
}

static void
read_x64(struct reader *r, struct dump_regs *out)
{
	if (!(at32(r, 48) & 0x100000))
		return;
	*out = (struct dump_regs){ .sp = at64(r, 152), .fp = at64(r, 160), .pc = at64(r, 248), .valid = true };
	registers(r, 120, 8, (const uint8_t[]){ 0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15 }, 16, out);
}

static void
read_arm(struct reader *r, enum triage_os os, struct dump_regs *out)
{
	uint32_t flags = (uint32_t)at32(r, 0);
	unsigned fp = os == TRIAGE_OS_IOS ? 7 : 11;

	/* Breakpad's bit, Microsoft's bit */
	if (!(flags & 0x40000000) && !(flags & 0x200000))
		return;
	*out = (struct dump_regs){ .fp = at32(r, 4 + 4 * fp),
				   .sp = at32(r, 4 + 4 * 13),
				   .lr = at32(r, 4 + 4 * 14),
				   .pc = at32(r, 4 + 4 * 15),
				   .valid = true };
	registers(r, 4, 4, NULL, 15, out);
}

static void
read_arm64(struct reader *r, uint16_t raw_arch, struct dump_regs *out)
{
	uint32_t flags = (uint32_t)(raw_arch == 0x8003 ? at64(r, 0) : at32(r, 0));

	/* Microsoft's layout has 32 bits of flags, then cpsr; Breakpad's older one has
	 * 64 bits of flags and cpsr behind pc.  The registers stand at the same place. */
	if (!(flags & 0x400000) && !(flags & 0x80000000))
		return;
	*out = (struct dump_regs){ .fp = at64(r, 8 + 8 * 29),
				   .lr = at64(r, 8 + 8 * 30),
				   .sp = at64(r, 8 + 8 * 31),
				   .pc = at64(r, 8 + 8 * 32),
				   .valid = true };
	registers(r, 8, 8, NULL, 32, out);
}

void
context_read(struct reader *r, enum triage_arch arch, enum triage_os os, uint16_t raw_arch, struct dump_regs *out)
{
	*out = (struct dump_regs){ 0 };
	if (arch == TRIAGE_ARCH_X86)
		read_x86(r, out);
	else if (arch == TRIAGE_ARCH_X64)
		read_x64(r, out);
	else if (arch == TRIAGE_ARCH_ARM)
		read_arm(r, os, out);
	else if (arch == TRIAGE_ARCH_ARM64)
		read_arm64(r, raw_arch, out);
	if (reader_failed(r))
		*out = (struct dump_regs){ 0 };
}

static bool
has_context(enum triage_arch arch)
{
	return arch == TRIAGE_ARCH_X86 || arch == TRIAGE_ARCH_X64 || arch == TRIAGE_ARCH_ARM ||
	       arch == TRIAGE_ARCH_ARM64;
}

void
minidump_read_context(struct md *m, uint64_t at, uint64_t size, struct dump_regs *out)
{
	struct reader r;

	*out = (struct dump_regs){ 0 };
	if (at == 0 || size == 0)
		return;
	r = md_at(m, at, size);
	if (reader_failed(&r) || !has_context(m->d->arch))
		return;
	context_read(&r, m->d->arch, m->d->os, m->raw_arch, out);
	if (!out->valid)
		dump_partial(m->d, "the context of the crashing thread is damaged");
}

void
minidump_thread_context(const struct dump *d, const void *image, size_t size, const struct dump_thread *t,
			struct dump_regs *out)
{
	struct reader file, r;

	*out = (struct dump_regs){ 0 };
	reader_init(&file, image, size, d->big_endian);
	r = reader_sub(&file, t->context_at, t->context_size);
	if (t->context_at != 0 && !reader_failed(&r) && has_context(d->arch))
		context_read(&r, d->arch, d->os, d->raw_arch, out);
}
