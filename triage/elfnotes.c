/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <string.h>

#include "triage/elfcore.h"
#include "triage/reason.h"
#include "triage/utf.h"

/* Notes of a Linux core: one NT_PRSTATUS per thread, the crashing one first, each
 * followed by what else belongs to it. */

#define SIGSTOP_LINUX 19

/* Where pc, sp, fp and lr stand among the registers of NT_PRSTATUS. */
struct reg_layout {
	uint16_t machine;
	enum triage_arch arch;
	uint8_t width;           /* bytes of a register */
	uint8_t pid_at, regs_at; /* in the note */
	uint8_t pc, sp, fp, lr;  /* which register; UINT8_MAX: none */
	uint8_t n;               /* of order */
	uint8_t order[21];       /* DWARF number of each, NO: none that unwinding needs; all 0: as they come */
};
#define NO UINT8_MAX

static const struct reg_layout layouts[] = {
	{ EM_X86_64, TRIAGE_ARCH_X64, 8, 32, 112, 16, 19, 4, NO, 20, { 15, 14, 13, 12, 6, 3,  11, 10, 9,  8,
								       0,  2,  1,  4,  5, NO, NO, NO, NO, 7 } },
	{ EM_386,
	  TRIAGE_ARCH_X86,
	  4,
	  24,
	  72,
	  12,
	  15,
	  5,
	  NO,
	  16,
	  { 3, 1, 2, 6, 7, 5, 0, NO, NO, NO, NO, NO, NO, NO, NO, 4 } },
	{ EM_AARCH64, TRIAGE_ARCH_ARM64, 8, 32, 112, 32, 31, 29, 30, 32, { 0 } },
	{ EM_ARM, TRIAGE_ARCH_ARM, 4, 24, 72, 15, 13, 11, 14, 15, { 0 } },
};

static uint32_t
align4(uint32_t n)
{
	return (n + 3) & ~UINT32_C(3);
}

bool
elf_note_next(struct reader *r, struct elf_note *out)
{
	uint32_t namesz, descsz;
	const uint8_t *name;

	if (reader_failed(r) || r->size - r->pos < 12)
		return false;
	namesz = reader_u32(r);
	descsz = reader_u32(r);
	out->type = reader_u32(r);
	if (namesz > UINT32_MAX - 3 || descsz > UINT32_MAX - 3) {
		reader_fail(r, ERR_MALFORMED, "a note of impossible size");
		return false;
	}
	name = reader_bytes(r, align4(namesz));
	if (name == NULL)
		return false;
	out->name = (const char *)name;
	out->name_len = strnlen(out->name, namesz);
	out->desc = reader_sub(r, r->pos, descsz);
	/* the last note may lack its padding */
	reader_skip(r, align4(descsz) <= r->size - r->pos ? align4(descsz) : descsz);
	return !reader_failed(r);
}

static bool
owner_is(const struct elf_note *n, const char *owner)
{
	return n->name_len == strlen(owner) && memcmp(n->name, owner, n->name_len) == 0;
}

static uint64_t
read_at(struct reader *r, uint64_t off, unsigned width)
{
	r->pos = off <= r->size ? (size_t)off : r->size;
	return width == 8 ? reader_u64(r) : width == 4 ? reader_u32(r) : reader_u16(r);
}

struct notes {
	struct elfcore *c;
	size_t cap;      /* of d->threads */
	uint32_t cursig; /* of the crashing thread */
	bool has_siginfo;
	struct exception_record exception;
};

static const struct reg_layout *
layout_of(uint16_t machine, bool is64)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].machine == machine && (layouts[i].width == 8) == is64)
			return &layouts[i];
	return NULL;
}

static struct dump_regs
read_registers(const struct reg_layout *l, struct reader *r)
{
	struct dump_regs regs = { .valid = true };

	regs.pc = read_at(r, l->regs_at + (uint64_t)l->pc * l->width, l->width);
	regs.sp = read_at(r, l->regs_at + (uint64_t)l->sp * l->width, l->width);
	regs.fp = read_at(r, l->regs_at + (uint64_t)l->fp * l->width, l->width);
	if (l->lr != NO)
		regs.lr = read_at(r, l->regs_at + (uint64_t)l->lr * l->width, l->width);
	for (unsigned i = 0; i < l->n; i++) {
		unsigned reg = l->order[0] != 0 ? l->order[i] : i;

		if (reg == NO)
			continue;
		regs.r[reg] = read_at(r, l->regs_at + (uint64_t)i * l->width, l->width);
		regs.known |= UINT64_C(1) << reg;
	}
	return reader_failed(r) ? (struct dump_regs){ 0 } : regs;
}

/* Numbers of signals as x86 has them: MIPS and SPARC have their own for some. */
static uint32_t
signal_of(uint16_t machine, uint32_t sig)
{
	static const uint8_t mips[32] = { [7] = 0,   [10] = 7,  [12] = 31, [16] = 10, [17] = 12, [18] = 17, [19] = 30,
					  [20] = 28, [21] = 23, [22] = 29, [23] = 19, [24] = 20, [25] = 18, [26] = 21,
					  [27] = 22, [28] = 26, [29] = 27, [30] = 24, [31] = 25 };
	static const uint8_t sparc[32] = { [10] = 7,  [12] = 31, [16] = 23, [17] = 19, [18] = 20, [19] = 18,
					   [20] = 17, [23] = 29, [29] = 30, [30] = 10, [31] = 12 };
	bool is_sparc = machine == EM_SPARC || machine == EM_SPARC32PLUS || machine == EM_SPARCV9;
	uint8_t as = sig >= 32 ? 0 : machine == EM_MIPS ? mips[sig] : is_sparc ? sparc[sig] : 0;

	return as != 0 ? as : sig;
}

static void
read_prstatus(struct notes *s, struct reader *r)
{
	struct dump *d = s->c->d;
	struct dump_thread *t = &d->threads[d->n_threads];
	const struct reg_layout *l = layout_of(s->c->machine, s->c->is64);
	struct dump_regs regs = { 0 };
	uint32_t cursig = signal_of(s->c->machine, (uint32_t)read_at(r, 12, 2)), tid;

	tid = (uint32_t)read_at(r, l != NULL ? l->pid_at : s->c->is64 ? 32 : 24, 4);
	if (reader_failed(r) || d->n_threads == s->cap) {
		dump_partial(d, "a thread's status is damaged");
		return;
	}
	*t = (struct dump_thread){ .tid = tid, .context_at = r->origin, .context_size = r->size };
	if (l != NULL) {
		regs = read_registers(l, r);
		if (!regs.valid)
			dump_partial(d, "a thread's status is damaged");
	}
	t->sp = regs.sp;
	/* the kernel writes the thread that crashed first; other writers may not */
	if (d->n_threads == 0 || (s->cursig == 0 && cursig != 0 && !s->has_siginfo)) {
		s->cursig = cursig;
		d->crashing_thread = (int32_t)d->n_threads;
		d->crashing_tid = tid;
		d->regs = regs;
	}
	d->n_threads++;
}

void
elfcore_thread_context(const struct dump *d, const void *image, size_t size, const struct dump_thread *t,
		       struct dump_regs *out)
{
	const struct reg_layout *l = NULL;
	struct reader file, r;

	*out = (struct dump_regs){ 0 };
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].arch == d->arch)
			l = &layouts[i];
	reader_init(&file, image, size, d->big_endian);
	r = reader_sub(&file, t->context_at, t->context_size);
	if (l != NULL && t->context_at != 0 && !reader_failed(&r))
		*out = read_registers(l, &r);
}

static void
read_siginfo(struct notes *s, struct reader *r)
{
	struct dump *d = s->c->d;
	struct exception_record e = { 0 };

	if (s->has_siginfo || (d->n_threads > 0 && d->crashing_thread != (int32_t)d->n_threads - 1))
		return;
	e.code = signal_of(s->c->machine, reader_u32(r));
	e.flags = (uint32_t)read_at(r, s->c->machine == EM_MIPS ? 4 : 8, 4);
	e.address = read_at(r, s->c->is64 ? 16 : 12, s->c->is64 ? 8 : 4);
	if (reader_failed(r) || e.code == 0)
		return;
	s->exception = e;
	s->has_siginfo = true;
}

static void
read_prpsinfo(struct notes *s, struct reader *r)
{
	struct dump *d = s->c->d;
	const uint8_t *name;
	const char *text;

	d->process_id = (uint32_t)read_at(r, s->c->is64 ? 24 : 12, 4);
	r->pos = s->c->is64 ? 40 : 28;
	if (r->pos > r->size)
		return;
	name = reader_bytes(r, 16);
	text = name != NULL ? utf_from_bytes(s->c->arena, name, 16, 64) : NULL;
	if (text != NULL)
		s->c->program = text;
	d->arguments = (struct mem_region){ 0, r->size - r->pos, r->base + r->pos };
}

static void
read_note(struct notes *s, struct elf_note *n)
{
	struct elfcore *c = s->c;

	if (!owner_is(n, "CORE") && !owner_is(n, "LINUX"))
		return;
	c->d->os = TRIAGE_OS_LINUX;
	switch (n->type) {
	case NT_PRSTATUS:
		read_prstatus(s, &n->desc);
		break;
	case NT_PRPSINFO:
		read_prpsinfo(s, &n->desc);
		break;
	case NT_SIGINFO:
		read_siginfo(s, &n->desc);
		break;
	case NT_AUXV:
		if (reader_failed(&c->auxv)) {
			c->auxv = n->desc;
			c->d->auxv = (struct mem_region){ 0, n->desc.size, n->desc.base };
		}
		break;
	case NT_FILE:
		if (reader_failed(&c->files))
			c->files = n->desc;
		break;
	default:
		break;
	}
}

/* si_addr means something only when the kernel sent the signal for a fault. */
static bool
is_fault(const struct exception_record *e)
{
	bool signal = e->code == 4 || e->code == 5 || e->code == 7 || e->code == 8 || e->code == 11;

	return signal && (int32_t)e->flags > 0 && e->flags != 0x80;
}

static void
conclude(struct notes *s)
{
	struct dump *d = s->c->d;
	struct exception_record *e = &s->exception;
	char text[REASON_TEXT_MAX];
	const char *reason;

	if (!s->has_siginfo)
		*e = (struct exception_record){ .code = s->cursig };
	if (e->code == 0)
		return;
	reason_text_linux(e, text);
	reason = utf_printf(s->c->arena, "%s", text);
	if (reason != NULL)
		d->reason = reason;
	d->code = e->code;
	d->subcode = e->flags;
	/* a debugger's snapshot of a stopped process is no crash */
	d->has_exception = e->code != SIGSTOP_LINUX;
	d->has_address = is_fault(e) || d->regs.valid;
	d->address = is_fault(e) ? e->address : d->regs.pc;
}

static size_t
count_threads(struct reader r)
{
	struct elf_note n;
	size_t count = 0;

	while (elf_note_next(&r, &n) && count < TRIAGE_MAX_THREADS)
		count += owner_is(&n, "CORE") && n.type == NT_PRSTATUS;
	return count;
}

enum err
elfcore_read_notes(struct elfcore *c, struct reader notes)
{
	struct notes s = { .c = c };
	struct reader first = notes;
	struct elf_note n;

	if (c->d->n_threads > 0) /* a second segment of notes has nothing we read */
		return ERR_OK;
	if (elf_note_next(&first, &n)) {
		if (elf_note_is_netbsd(&n))
			return elfcore_read_netbsd(c, notes);
		if (elf_note_is_freebsd(&n))
			return elfcore_read_freebsd(c, notes);
	}
	s.cap = count_threads(notes);
	c->d->threads = ARENA_ARRAY(c->arena, struct dump_thread, s.cap);
	if (c->d->threads == NULL)
		return ERR_LIMIT;
	while (elf_note_next(&notes, &n))
		read_note(&s, &n);
	if (reader_failed(&notes))
		dump_partial(c->d, "the notes are damaged");
	conclude(&s);
	return ERR_OK;
}

bool
elfcore_auxv(const struct elfcore *c, uint64_t type, uint64_t *out)
{
	struct reader r = c->auxv;

	while (!reader_failed(&r) && r.size - r.pos >= (c->is64 ? 16u : 8u)) {
		uint64_t t = elfcore_word(c, &r), v = elfcore_word(c, &r);

		if (t == AT_NULL)
			break;
		if (t == type) {
			*out = v;
			return true;
		}
	}
	return false;
}
