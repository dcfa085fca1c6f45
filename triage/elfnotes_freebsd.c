/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <string.h>

#include "triage/elfcore.h"
#include "triage/reason.h"
#include "triage/utf.h"

/* Notes of a FreeBSD core: all are "FreeBSD"; one of status per thread, that which crashed first. */

#define OWNER       "FreeBSD"
#define TYPE_STATUS 1
#define TYPE_INFO   3
#define TYPE_AUXV   16

/* Where registers stand, counted from the begin of those in the note of a thread's status. */
struct freebsd_layout {
	uint16_t machine;
	uint8_t pc, sp, fp, lr; /* lr 0: none */
};

static const struct freebsd_layout layouts[] = {
	{ EM_X86_64, 17, 20, 10, 0 },
	{ EM_AARCH64, 32, 31, 29, 30 },
};

bool
elf_note_is_freebsd(const struct elf_note *n)
{
	return n->name_len == sizeof(OWNER) - 1 && memcmp(n->name, OWNER, n->name_len) == 0;
}

static uint64_t
word_at(struct reader *r, size_t at, unsigned width)
{
	r->pos = at <= r->size ? at : r->size;
	return width == 8 ? reader_u64(r) : reader_u32(r);
}

/* Version, three sizes, release, signal, thread, registers. */
static void
read_status(struct elfcore *c, struct reader *r, uint32_t *signal_out)
{
	struct dump *d = c->d;
	const size_t at = c->is64 ? 36 : 20, regs_at = c->is64 ? 48 : 28;
	uint32_t signal = (uint32_t)word_at(r, at, 4), tid = (uint32_t)word_at(r, at + 4, 4);
	struct dump_regs regs = { 0 };

	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]) && c->is64; i++) {
		const struct freebsd_layout *l = &layouts[i];

		if (l->machine != c->machine)
			continue;
		regs.pc = word_at(r, regs_at + 8 * (size_t)l->pc, 8);
		regs.sp = word_at(r, regs_at + 8 * (size_t)l->sp, 8);
		regs.fp = word_at(r, regs_at + 8 * (size_t)l->fp, 8);
		regs.lr = l->lr != 0 ? word_at(r, regs_at + 8 * (size_t)l->lr, 8) : 0;
		regs.valid = !reader_failed(r);
	}
	if (reader_failed(r))
		dump_partial(d, "a thread's status is damaged");
	d->threads[d->n_threads] = (struct dump_thread){ .tid = tid, .sp = regs.sp };
	if (d->n_threads == 0) {
		*signal_out = signal;
		d->crashing_thread = 0;
		d->crashing_tid = tid;
		d->regs = regs;
		d->has_address = regs.valid;
		d->address = regs.pc;
	}
	d->n_threads++;
}

static void
read_info(struct elfcore *c, struct reader *r)
{
	const uint8_t *name;
	const char *s;

	r->pos = c->is64 ? 16 : 8;
	if (r->pos > r->size)
		r->pos = r->size;
	name = reader_bytes(r, 17);
	s = name != NULL ? utf_from_bytes(c->arena, name, 17, 64) : NULL;
	if (s != NULL)
		c->program = s;
}

static void
conclude(struct elfcore *c, uint32_t signal)
{
	/* the two fault signals that have other numbers on Linux */
	const struct exception_record e = { .code = signal == 10 ? 7 : signal == 12 ? 31 : signal };
	struct dump *d = c->d;
	char text[REASON_TEXT_MAX];
	const char *s;

	d->code = signal;
	d->has_exception = signal != 0 && signal != 17; /* SIGSTOP: a snapshot */
	reason_text_linux(&e, text);
	if (d->has_exception && (s = utf_printf(c->arena, "%s", text)) != NULL)
		d->reason = s;
}

enum err
elfcore_read_freebsd(struct elfcore *c, struct reader notes)
{
	struct reader again = notes;
	uint32_t signal = 0;
	struct elf_note n;
	size_t cap = 0;

	while (elf_note_next(&again, &n) && cap < TRIAGE_MAX_THREADS)
		cap += elf_note_is_freebsd(&n) && n.type == TYPE_STATUS;
	if ((c->d->threads = ARENA_ARRAY(c->arena, struct dump_thread, cap)) == NULL)
		return ERR_LIMIT;
	c->d->os = TRIAGE_OS_FREEBSD;
	while (elf_note_next(&notes, &n)) {
		if (!elf_note_is_freebsd(&n))
			continue;
		if (n.type == TYPE_STATUS && c->d->n_threads < cap)
			read_status(c, &n.desc, &signal);
		else if (n.type == TYPE_INFO)
			read_info(c, &n.desc);
		else if (n.type == TYPE_AUXV && n.desc.size > 4) /* behind the size of an entry */
			c->auxv = reader_sub(&n.desc, 4, n.desc.size - 4);
	}
	if (reader_failed(&notes))
		dump_partial(c->d, "the notes are damaged");
	conclude(c, signal);
	return ERR_OK;
}
