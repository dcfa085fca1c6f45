/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <string.h>

#include "triage/elfcore.h"
#include "triage/reason.h"
#include "triage/utf.h"

/* Notes of a NetBSD core: "NetBSD-CORE" about the process, "NetBSD-CORE@N" about its
 * LWP N, where the type is the ptrace request that would fetch the same. */

#define OWNER         "NetBSD-CORE"
#define OWNER_LEN     (sizeof(OWNER) - 1)
#define TYPE_PROCINFO 1
#define TYPE_AUXV     2

struct netbsd_layout {
	uint16_t machine;
	uint32_t getregs; /* note type of the registers */
	uint8_t width, pc, sp, fp;
};

static const struct netbsd_layout layouts[] = {
	{ EM_X86_64, 33, 8, 21, 24, 12 },
	{ EM_AARCH64, 32, 8, 32, 31, 29 },
};

bool
elf_note_is_netbsd(const struct elf_note *n)
{
	return n->name_len >= OWNER_LEN && memcmp(n->name, OWNER, OWNER_LEN) == 0 &&
	       (n->name_len == OWNER_LEN || n->name[OWNER_LEN] == '@');
}

static uint32_t
lwp_of(const struct elf_note *n)
{
	uint32_t lwp = 0;

	for (size_t i = OWNER_LEN + 1; i < n->name_len && n->name[i] >= '0' && n->name[i] <= '9'; i++)
		lwp = lwp * 10 + (uint32_t)(n->name[i] - '0');
	return lwp;
}

static uint64_t
word_at(struct reader *r, size_t at, unsigned width)
{
	r->pos = at <= r->size ? at : r->size;
	return width == 8 ? reader_u64(r) : reader_u32(r);
}

static void
read_procinfo(struct elfcore *c, struct reader *r)
{
	struct dump *d = c->d;
	struct exception_record e = { 0 };
	char text[REASON_TEXT_MAX];
	const uint8_t *name;
	const char *s;

	d->code = (uint32_t)word_at(r, 8, 4);
	d->subcode = (uint32_t)word_at(r, 12, 4);
	d->process_id = (uint32_t)word_at(r, 80, 4);
	d->crashing_tid = (uint32_t)word_at(r, 156, 4);
	r->pos = 124 <= r->size ? 124 : r->size;
	name = reader_bytes(r, 32);
	if (reader_failed(r)) {
		dump_partial(d, "the note about the process is damaged");
		return;
	}
	if ((s = utf_from_bytes(c->arena, name, 32, 64)) != NULL)
		c->program = s;
	/* the two fault signals that have other numbers on Linux */
	e.code = d->code == 10 ? 7 : d->code == 12 ? 31 : d->code;
	e.flags = d->subcode < 16 ? d->subcode : 0; /* often left unset */
	reason_text_linux(&e, text);
	if (d->code != 0 && (s = utf_printf(c->arena, "%s", text)) != NULL)
		d->reason = s;
	d->has_exception = d->code != 0;
}

static void
read_registers(struct elfcore *c, const struct elf_note *n, const struct netbsd_layout *l)
{
	struct dump *d = c->d;
	struct reader r = n->desc;
	uint32_t lwp = lwp_of(n);
	struct dump_regs regs = { .pc = word_at(&r, (size_t)l->pc * l->width, l->width),
				  .sp = word_at(&r, (size_t)l->sp * l->width, l->width),
				  .fp = word_at(&r, (size_t)l->fp * l->width, l->width) };

	regs.valid = !reader_failed(&r);
	d->threads[d->n_threads] = (struct dump_thread){ .tid = lwp };
	/* LWP 0: the signal was for the process; its first thread stands for it */
	if (d->crashing_thread < 0 && (d->crashing_tid == lwp || d->crashing_tid == 0)) {
		d->crashing_thread = (int32_t)d->n_threads;
		d->crashing_tid = lwp;
		d->regs = regs;
		d->has_address = regs.valid;
		d->address = regs.pc;
	}
	d->n_threads++;
}

enum err
elfcore_read_netbsd(struct elfcore *c, struct reader notes)
{
	const struct netbsd_layout *l = NULL;
	struct reader again = notes;
	struct elf_note n;
	size_t cap = 0;

	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].machine == c->machine && c->is64)
			l = &layouts[i];
	while (elf_note_next(&again, &n))
		cap += l != NULL && n.type == l->getregs && n.name_len > OWNER_LEN;
	if (cap > TRIAGE_MAX_THREADS)
		cap = TRIAGE_MAX_THREADS;
	if ((c->d->threads = ARENA_ARRAY(c->arena, struct dump_thread, cap)) == NULL)
		return ERR_LIMIT;
	c->d->os = TRIAGE_OS_NETBSD;
	while (elf_note_next(&notes, &n)) {
		if (!elf_note_is_netbsd(&n))
			continue;
		if (n.name_len == OWNER_LEN && n.type == TYPE_PROCINFO)
			read_procinfo(c, &n.desc);
		else if (n.name_len == OWNER_LEN && n.type == TYPE_AUXV)
			c->auxv = n.desc;
		else if (l != NULL && n.name_len > OWNER_LEN && n.type == l->getregs && c->d->n_threads < cap)
			read_registers(c, &n, l);
	}
	if (reader_failed(&notes))
		dump_partial(c->d, "the notes are damaged");
	return ERR_OK;
}
