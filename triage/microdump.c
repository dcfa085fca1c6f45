/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/reason.h"
#include "triage/textscan.h"

/* Breakpad's microdumps: a crash as lines of the system log.  They hold registers, the top
 * of the stack and the modules, so the stack is walked as that of a minidump. */

#define TAG        "google-breakpad"
#define BEGIN      "-----BEGIN BREAKPAD MICRODUMP-----"
#define END        "-----END BREAKPAD MICRODUMP-----"
#define STACK_MAX  ((size_t)1 << 20)
#define REGS_MAX   4096 /* bytes of a context */
#define RAW_ARM64  0x8003
#define RAW_OTHERS 0

struct microdump {
	struct textdump t;
	size_t column; /* where a line's own text begins when it has no tag */
	uint64_t sp;   /* of the "S 0" line */
	struct mem_region stack;
	uint8_t *bytes;
	size_t len;
	bool has_stack, broken;
};

static struct text
content(const struct microdump *m, struct text line)
{
	const char *p = text_find(text_upto(line, 160), TAG), *colon;

	if (p == NULL)
		return text_from(line, m->column);
	colon = text_find(text_from(line, (size_t)(p - line.at)), ": ");
	return colon != NULL ? text_from(line, (size_t)(colon - line.at) + 2) : (struct text){ line.at, 0 };
}

/* Bytes written as hex; how many, at most cap. */
static size_t
unhex(struct text t, uint8_t *out, size_t cap)
{
	size_t n = 0;
	uint64_t v;

	for (; n < cap && 2 * n + 1 < t.len; n++) {
		if (text_hex((struct text){ t.at + 2 * n, 2 }, &v) != 2)
			break;
		out[n] = (uint8_t)v;
	}
	return n;
}

static uint64_t
hex_word(struct text *t)
{
	struct text w = text_word(t);
	uint64_t v = 0;

	return text_hex_value(w, &v) ? v : 0;
}

/* "O A arm 02 armv7l OS VERSION INFO" */
static void
system_line(struct microdump *m, struct text t)
{
	static const struct {
		const char *name;
		enum triage_arch arch;
	} names[] = {
		{ "arm", TRIAGE_ARCH_ARM },         { "arm64", TRIAGE_ARCH_ARM64 }, { "x86", TRIAGE_ARCH_X86 },
		{ "x86_64", TRIAGE_ARCH_X64 },      { "mips", TRIAGE_ARCH_MIPS },   { "mips64", TRIAGE_ARCH_MIPS64 },
		{ "riscv64", TRIAGE_ARCH_RISCV64 }, { "riscv", TRIAGE_ARCH_RISCV },
	};
	struct text os = text_word(&t), arch = text_word(&t), cpus = text_word(&t);

	m->t.d->os = text_equal(os, TEXT("A")) ? TRIAGE_OS_ANDROID : TRIAGE_OS_LINUX;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (text_equal(arch, text_of(names[i].name)))
			m->t.d->arch = names[i].arch;
	textdump_note(&m->t, "processors", cpus);
	(void)text_word(&t);
	m->t.d->os_version = textdump_copy(&m->t, text_trim(t), 256);
}

/* "R 0000000B SIGSEGV 00000010": without it the writer was asked for a dump. */
static void
reason_line(struct microdump *m, struct text t)
{
	struct dump *d = m->t.d;
	struct exception_record e = { 0 };
	char text[REASON_TEXT_MAX];
	struct text name;

	d->code = e.code = (uint32_t)hex_word(&t);
	name = text_word(&t);
	reason_text(TRIAGE_OS_LINUX, d->arch, &e, text);
	d->reason = textdump_copy(&m->t, text_starts(text_of(text), "SIG") ? text_of(text) : name, 64);
	d->has_address = t.len > 0;
	d->address = hex_word(&t);
}

/* "S 0 sp begin length", then "S address bytes". */
static void
stack_line(struct microdump *m, struct text t)
{
	struct text first = text_word(&t);
	uint64_t addr = 0, size;

	if (text_equal(first, TEXT("0")) && !m->has_stack) {
		m->has_stack = true;
		m->sp = hex_word(&t);
		m->stack.addr = hex_word(&t);
		size = hex_word(&t);
		if (size == 0)
			return;
		m->stack.size = size < STACK_MAX ? size : STACK_MAX;
		m->bytes = arena_calloc(m->t.arena, m->stack.size, 1);
		m->t.full |= m->bytes == NULL;
		return;
	}
	if (m->bytes == NULL || !text_hex_value(first, &addr))
		return;
	/* in order and without gaps, or what follows is lost */
	if (addr != m->stack.addr + m->len || m->broken) {
		m->broken = true;
		return;
	}
	m->len += unhex(text_trim(t), m->bytes + m->len, m->stack.size - m->len);
}

static void
read_mips(struct reader *r, struct dump_regs *out)
{
	uint64_t regs[32], pc;

	reader_skip(r, 8);
	for (int i = 0; i < 32; i++)
		regs[i] = reader_u64(r);
	reader_skip(r, 48);
	pc = reader_u64(r);
	if (!reader_failed(r))
		*out = (struct dump_regs){ .valid = true, .pc = pc, .sp = regs[29], .fp = regs[30], .lr = regs[31] };
}

static void
context_line(struct microdump *m, struct text t)
{
	struct dump *d = m->t.d;
	uint8_t *bytes;
	struct reader r;
	size_t n;

	t = text_trim(t);
	bytes = arena_calloc(m->t.arena, REGS_MAX, 1);
	if (bytes == NULL) {
		m->t.full = true;
		return;
	}
	n = unhex(t, bytes, REGS_MAX);
	reader_init(&r, bytes, n, false);
	if (d->arch == TRIAGE_ARCH_MIPS || d->arch == TRIAGE_ARCH_MIPS64)
		read_mips(&r, &d->regs);
	else
		context_read(&r, d->arch, d->os, d->arch == TRIAGE_ARCH_ARM64 ? RAW_ARM64 : RAW_OTHERS, &d->regs);
	if (!d->regs.valid)
		dump_partial(d, "registers of this processor are not read");
}

/* "M begin offset size debug-id name" */
static void
module_line(struct microdump *m, struct text t)
{
	uint64_t base = hex_word(&t), size;
	struct text id, name;
	int32_t i;

	(void)hex_word(&t);
	size = hex_word(&t);
	id = text_word(&t);
	name = text_trim(t);
	if (size == 0 || base + size < base || name.len == 0)
		return;
	i = textdump_module(&m->t, name, base);
	if (i < 0)
		return;
	m->t.d->modules[i].size = size;
	m->t.d->modules[i].id = m->t.d->modules[i].debug_id = textdump_copy(&m->t, id, MODULE_ID_MAX);
}

static void
line_of(struct microdump *m, struct text t)
{
	struct text rest = t, kind = text_word(&rest);

	if (kind.len != 1)
		return;
	rest = text_trim(rest);
	switch (kind.at[0]) {
	case 'V':
		textdump_note(&m->t, "version", rest);
		break;
	case 'O':
		system_line(m, rest);
		break;
	case 'P':
		textdump_note(&m->t, "process_type", rest);
		break;
	case 'R':
		reason_line(m, rest);
		break;
	case 'G':
		textdump_note(&m->t, "gpu", rest);
		break;
	case 'S':
		stack_line(m, rest);
		break;
	case 'C':
		context_line(m, rest);
		break;
	case 'M':
		module_line(m, rest);
		break;
	default:
		break;
	}
}

static void
finish(struct microdump *m)
{
	struct dump *d = m->t.d;

	d->threads = ARENA_NEW(m->t.arena, struct dump_thread);
	d->mem.regions = ARENA_NEW(m->t.arena, struct mem_region);
	if (d->threads == NULL || d->mem.regions == NULL) {
		m->t.full = true;
		return;
	}
	d->n_threads = 1;
	d->crashing_thread = 0;
	d->has_frames = false;
	d->has_exception = true; /* a writer is only called for a crash; "R" is newer than the rest */
	if (*d->reason == '\0')
		d->reason = "crash without a reason";
	if (m->bytes == NULL || m->len == 0)
		return;
	m->stack.size = m->len;
	m->stack.data = m->bytes;
	d->threads[0].stack = m->stack;
	d->threads[0].stack_addr = m->stack.addr;
	d->mem.regions[0] = m->stack;
	d->mem.n = 1;
}

enum err
microdump_read(struct arena *a, struct text text, struct dump *out, struct diag *diag)
{
	struct microdump m = { .t = textdump_new(a, out, TRIAGE_FORMAT_MICRODUMP) };
	const char *begin = text_find(text, BEGIN), *line_begin = begin, *p;
	struct lines l;
	struct text line;
	bool ended = false;

	while (line_begin > text.at && line_begin[-1] != '\n')
		line_begin--;
	m.column = (size_t)(begin - line_begin);
	l = (struct lines){ begin, text.at + text.len };
	lines_next(&l, &line);
	while (!ended && lines_next(&l, &line)) {
		p = text_find(line, END);
		ended = p != NULL || text_find(line, BEGIN) != NULL;
		if (!ended)
			line_of(&m, content(&m, line));
	}
	if (!ended)
		dump_partial(out, "the microdump is cut short");
	if (m.broken)
		dump_partial(out, "lines of the stack are missing");
	if (out->n_modules == 0 && !out->regs.valid)
		return textdump_fail(&m.t, ERR_TRUNCATED, "a microdump without registers and modules", diag);
	finish(&m);
	return textdump_end(&m.t, diag);
}
