/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/apple.h"
#include "triage/reason.h"
#include "triage/utf.h"

/* Crash reports of macOS and iOS as text (.crash), and those that crash reporters for apps write
 * in the same form. */

/* ---- what all of Apple's texts have in common ---- */

void
apple_os(struct textdump *t, struct text v)
{
	const char *end = text_find(v, " (");
	size_t digit = 0;

	t->d->os = text_find(v, "iPhone") != NULL || text_find(v, "iOS") != NULL || text_find(v, "iPad") != NULL ||
				   text_find(v, "Watch") != NULL || text_find(v, "tvOS") != NULL ||
				   text_find(v, "TVOS") != NULL || text_find(v, "xrOS") != NULL
			   ? TRIAGE_OS_IOS
			   : TRIAGE_OS_MACOS;
	textdump_note(t, "os", v);
	if (end != NULL)
		v = text_upto(v, (size_t)(end - v.at));
	while (digit < v.len && (v.at[digit] < '0' || v.at[digit] > '9'))
		digit++;
	t->d->os_version = textdump_copy(t, text_from(v, digit), 64);
}

void
apple_arch(struct textdump *t, struct text s)
{
	if (text_starts(s, "ARM-64") || text_starts(s, "arm64"))
		t->d->arch = TRIAGE_ARCH_ARM64;
	else if (text_starts(s, "X86-64") || text_starts(s, "x86_64") || text_starts(s, "x86-64"))
		t->d->arch = TRIAGE_ARCH_X64;
	else if (text_starts(s, "X86") || text_starts(s, "i386") || text_starts(s, "x86"))
		t->d->arch = TRIAGE_ARCH_X86;
	else if (text_starts(s, "ARM") || text_starts(s, "armv"))
		t->d->arch = TRIAGE_ARCH_ARM;
	else if (text_starts(s, "PPC"))
		t->d->arch = TRIAGE_ARCH_PPC;
	if (text_find(s, "ranslated") != NULL)
		textdump_note(t, "translated", TEXT("true"));
}

static uint32_t
exception_code(struct text name)
{
	static const char *const names[] = { "EXC_BAD_ACCESS",   "EXC_BAD_INSTRUCTION", "EXC_ARITHMETIC",
					     "EXC_EMULATION",    "EXC_SOFTWARE",        "EXC_BREAKPOINT",
					     "EXC_SYSCALL",      "EXC_MACH_SYSCALL",    "EXC_RPC_ALERT",
					     "EXC_CRASH",        "EXC_RESOURCE",        "EXC_GUARD",
					     "EXC_CORPSE_NOTIFY" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (text_equal(name, text_of(names[i])))
			return (uint32_t)i + 1;
	return 0;
}

/* "KERN_INVALID_ADDRESS at 0x10": the first word. */
static struct text
kind_word(struct text kind)
{
	struct text w = text_word(&kind);
	size_t n = 0;

	while (n < w.len && text_char_word(w.at[n]))
		n++;
	return n > 4 && n == w.len && (w.at[0] < '0' || w.at[0] > '9') ? w : (struct text){ "", 0 };
}

void
apple_reason(struct textdump *t, struct text exception, struct text signal, const uint64_t *codes, size_t n_codes,
	     struct text kind)
{
	struct dump *d = t->d;
	struct text at = text_after(kind, " at "), word = kind_word(kind), second = word.len > 0 ? word : signal;
	struct exception_record e = { .code = exception_code(exception) };
	char text[REASON_TEXT_MAX];
	uint64_t v;

	d->code = e.code;
	if (n_codes > 0)
		d->subcode = e.flags = (uint32_t)codes[0];
	if (n_codes > 1 && e.code == 1) {
		d->has_address = true;
		d->address = codes[1];
	} else if (at.at != NULL && text_hex(at, &v) > 0) {
		d->has_address = true;
		d->address = v;
	}
	/* with the codes in numbers as a minidump of the same crash says it; the others say more by their signal */
	if (n_codes > 0 && (e.code == 1 || e.code == 2 || e.code == 3 || e.code == 6)) {
		reason_text(TRIAGE_OS_MACOS, d->arch, &e, text);
		d->reason = textdump_copy(t, text_of(text), REASON_TEXT_MAX);
	} else if (second.len > 0 && !text_equal(second, exception)) {
		d->reason =
			utf_printf(t->arena, "%s / %s", textdump_copy(t, exception, 64), textdump_copy(t, second, 64));
	} else {
		d->reason = textdump_copy(t, exception, 64);
	}
	if (d->reason == NULL) {
		d->reason = "";
		t->full = true;
	}
	d->has_exception = true;
}

static int32_t
covering(const struct dump *d, uint64_t addr)
{
	for (size_t i = 0; i < d->n_modules; i++)
		if (addr - d->modules[i].base < d->modules[i].size)
			return (int32_t)i;
	return -1;
}

struct triage_frame *
apple_frame(struct textdump *t, uint64_t addr, bool context, struct text name, uint64_t base)
{
	struct triage_frame *f = textdump_frame(t);
	struct dump *d = t->d;
	unsigned call = text_call_size(d->arch);

	if (f == NULL)
		return NULL;
	f->pc = addr;
	if (context)
		f->trust = TRIAGE_TRUST_CONTEXT;
	else if (f->pc >= call)
		f->pc -= call;
	f->module = covering(d, f->pc);
	if (f->module < 0 && base != 0 && base <= addr && name.len > 0 && name.at[0] != '?')
		f->module = textdump_module(t, name, base);
	if (f->module >= 0)
		f->offset = f->pc - d->modules[f->module].base;
	return f;
}

void
apple_threads(struct textdump *t, uint32_t count, uint32_t crashed)
{
	struct dump *d = t->d;

	if (count == 0)
		return;
	d->threads = ARENA_ARRAY(t->arena, struct dump_thread, count);
	if (d->threads == NULL) {
		t->full = true;
		return;
	}
	d->n_threads = count;
	if (crashed < count) {
		d->crashing_thread = (int32_t)crashed;
		d->threads[crashed].tid = d->crashing_tid;
	}
}

/* ---- the text ---- */

enum part { HEAD, THREAD, IMAGES, ASI, OTHER };

struct apple {
	struct textdump t;
	enum part part;
	struct text exception, signal, codes, subtype;
	struct text frames; /* lines of the crashed thread */
	uint64_t crashed;   /* number in "Crashed Thread:" */
	bool has_crashed, in_frames, marked;
	uint32_t threads, index; /* headings seen; of the crashed one, UINT32_MAX none */
	uint32_t last_number;
};

/* "Exception Type:  EXC_BAD_ACCESS (SIGSEGV)" */
static void
exception_line(struct apple *p, struct text v)
{
	const char *paren = text_find(v, " (");

	p->exception = v;
	if (paren == NULL)
		return;
	p->exception = text_upto(v, (size_t)(paren - v.at));
	p->signal = text_from(v, p->exception.len + 2);
	if (p->signal.len > 0 && p->signal.at[p->signal.len - 1] == ')')
		p->signal.len--;
}

static void
head_line(struct apple *p, struct text line)
{
	struct textdump *t = &p->t;
	const char *colon = memchr(line.at, ':', line.len);
	struct text key, v;
	uint64_t n;

	if (colon == NULL)
		return;
	key = text_upto(line, (size_t)(colon - line.at));
	v = text_trim(text_from(line, key.len + 1));
	if (text_equal(key, TEXT("OS Version"))) {
		apple_os(t, v);
	} else if (text_equal(key, TEXT("Code Type"))) {
		apple_arch(t, v);
	} else if (text_equal(key, TEXT("Exception Type"))) {
		exception_line(p, v);
	} else if (text_equal(key, TEXT("Exception Codes"))) {
		p->codes = v;
	} else if (text_equal(key, TEXT("Exception Subtype"))) {
		p->subtype = v;
	} else if (text_equal(key, TEXT("Termination Reason"))) {
		textdump_note(t, "termination", v);
	} else if (text_equal(key, TEXT("Crashed Thread")) || text_equal(key, TEXT("Triggered by Thread"))) {
		p->has_crashed = text_dec(v, &p->crashed) > 0;
	} else if (text_equal(key, TEXT("Process"))) {
		const char *bracket = text_find(v, " [");

		textdump_note(t, "process", bracket != NULL ? text_upto(v, (size_t)(bracket - v.at)) : v);
		if (bracket != NULL && text_dec(text_from(v, (size_t)(bracket - v.at) + 2), &n) > 0 && n <= UINT32_MAX)
			t->d->process_id = (uint32_t)n;
	} else if (text_equal(key, TEXT("Identifier"))) {
		textdump_note(t, "identifier", v);
	} else if (text_equal(key, TEXT("Version"))) {
		textdump_note(t, "version", v);
	} else if (text_equal(key, TEXT("Hardware Model"))) {
		textdump_note(t, "hardware", v);
	}
}

/* "Thread 5 Crashed:: Dispatch queue: …", "Thread 5 name: …", "Thread 5:"; false: another line. */
static bool
thread_line(struct apple *p, struct text line)
{
	uint64_t number;
	struct text rest;
	size_t n;
	bool crashed;

	if (text_starts(line, "Last Exception Backtrace") || text_starts(line, "Application Specific Backtrace")) {
		p->part = OTHER;
		p->in_frames = false;
		return true;
	}
	if (!text_starts(line, "Thread ") || (n = text_dec(text_from(line, 7), &number)) == 0)
		return false;
	rest = text_from(line, 7 + n);
	if (text_starts(rest, " name:") || text_starts(rest, " Dispatch"))
		return true;
	if (text_find(rest, "Thread State") != NULL || text_find(rest, "crashed with") != NULL) {
		p->part = OTHER;
		p->in_frames = false;
		return true;
	}
	crashed = text_starts(rest, " Crashed") || text_starts(rest, " Highlighted");
	if (!crashed && !text_starts(rest, ":"))
		return false;
	p->part = THREAD;
	p->in_frames = crashed || (!p->marked && p->has_crashed && number == p->crashed);
	if (p->in_frames) {
		p->marked |= crashed;
		p->index = p->threads;
		p->frames = (struct text){ NULL, 0 };
	}
	if (p->threads < TRIAGE_MAX_THREADS)
		p->threads++;
	return true;
}

/* "0x10864e000 - 0x10ee0ffff +Name With Blanks x86_64 (1.0 - 2) <2d90…> /path" */
static void
image_line(struct apple *p, struct text line)
{
	struct textdump *t = &p->t;
	uint64_t base, end;
	struct text rest = line, name, path, id = { NULL, 0 };
	const char *lt, *gt, *slash;
	size_t n = text_hex(rest, &base);
	int32_t m;

	if (n < 3)
		return;
	rest = text_trim(text_from(rest, n));
	if (rest.len == 0 || rest.at[0] != '-')
		return;
	rest = text_trim(text_from(rest, 1));
	n = text_hex(rest, &end);
	if (n < 3 || end < base || end == UINT64_MAX)
		return;
	rest = text_trim(text_from(rest, n));
	if (rest.len > 0 && rest.at[0] == '+')
		rest = text_from(rest, 1);
	lt = memchr(rest.at, '<', rest.len);
	gt = lt != NULL ? memchr(lt, '>', (size_t)(rest.at + rest.len - lt)) : NULL;
	if (gt != NULL)
		id = (struct text){ lt + 1, (size_t)(gt - lt) - 1 };
	path = gt != NULL ? text_trim(text_from(rest, (size_t)(gt - rest.at) + 1)) : (struct text){ NULL, 0 };
	slash = memchr(rest.at, '/', rest.len);
	if (path.len == 0 && slash != NULL)
		path = text_from(rest, (size_t)(slash - rest.at));
	name = text_word(&rest);
	m = textdump_module(t, path.len > 0 ? path : name, base);
	if (m < 0)
		return;
	t->d->modules[m].size = end - base + 1;
	t->d->modules[m].id = t->d->modules[m].debug_id = textdump_copy(t, id, MODULE_ID_MAX);
	lt = memchr(rest.at, '(', rest.len);
	gt = lt != NULL ? memchr(lt, ')', (size_t)(rest.at + rest.len - lt)) : NULL;
	if (gt != NULL)
		t->d->modules[m].version = textdump_copy(t, (struct text){ lt + 1, (size_t)(gt - lt) - 1 }, 64);
}

/* The blank before the address of a frame: names may have blanks too. */
static const char *
address_in(struct text line)
{
	for (size_t i = 0; i + 3 < line.len; i++)
		if ((line.at[i] == ' ' || line.at[i] == '\t') && line.at[i + 1] == '0' && line.at[i + 2] == 'x')
			return line.at + i;
	return NULL;
}

/* "10  Name With Blanks    0x0000000108b7092b 0x10864e000 + 5384491", "… symbol + 64",
 * "… main (main.m:16)". */
static void
frame_line(struct apple *p, struct text line)
{
	struct text name, rest = line, tail;
	const char *hex = address_in(line), *plus;
	struct triage_frame *f;
	uint64_t addr, base = 0, off = 0;
	bool has_off = false;
	size_t n;

	n = text_dec(line, &addr);
	if (n == 0 || hex == NULL || n >= line.len || (line.at[n] != ' ' && line.at[n] != '\t'))
		return;
	name = text_trim((struct text){ line.at + n, (size_t)(hex - line.at) - n });
	rest = text_from(line, (size_t)(hex - line.at) + 1);
	n = text_hex(rest, &addr);
	if (n < 3)
		return;
	tail = text_trim(text_from(rest, n));
	plus = text_find(tail, " + ");
	for (const char *q = plus; q != NULL; q = text_find(text_from(tail, (size_t)(q - tail.at) + 3), " + "))
		plus = q; /* "operator + (…) + 12": the last one */
	if (plus != NULL)
		has_off = text_dec(text_from(tail, (size_t)(plus - tail.at) + 3), &off) > 0;
	if (text_starts(tail, "0x") && has_off && text_hex(tail, &base) < 3)
		base = 0;
	f = apple_frame(&p->t, addr, p->t.d->n_frames == 0, name, base);
	if (f == NULL || text_starts(tail, "0x"))
		return;
	rest = plus != NULL ? text_upto(tail, (size_t)(plus - tail.at)) : tail;
	if (plus == NULL && (hex = text_find(rest, " (")) != NULL &&
	    memchr(hex, ':', (size_t)(rest.at + rest.len - hex)) != NULL)
		rest = text_upto(rest, (size_t)(hex - rest.at));
	f->function = textdump_copy(&p->t, text_trim(rest), TEXT_NAME_MAX);
	if (f->module >= 0 || name.len == 0 || name.at[0] == '?')
		return;
	/* no list of images: what is known is the name of its module and the place in a function */
	f->module = textdump_module(&p->t, name, 0);
	f->in_function = f->module >= 0;
	f->offset = has_off && off >= addr - f->pc ? off - (addr - f->pc) : 0;
}

static void
line_of(struct apple *p, struct text raw)
{
	struct text line = text_trim(raw);

	if (line.len == 0) {
		if (p->part == ASI)
			p->part = HEAD;
		return;
	}
	if (thread_line(p, line))
		return;
	if (text_starts(line, "Binary Images:")) {
		p->part = IMAGES;
		p->in_frames = false;
	} else if (text_starts(line, "Application Specific Information:")) {
		p->part = ASI;
		textdump_note(&p->t, "application_information", text_after(line, "Information:"));
	} else if (p->part == HEAD) {
		head_line(p, line);
	} else if (p->part == ASI) {
		textdump_note(&p->t, "application_information", line);
	} else if (p->part == IMAGES) {
		image_line(p, line);
	} else if (p->part == THREAD && p->in_frames) {
		if (p->frames.at == NULL)
			p->frames.at = raw.at;
		p->frames.len = (size_t)(raw.at + raw.len - p->frames.at);
	}
}

static void
codes_of(struct apple *p)
{
	struct text rest = p->codes, kind = p->subtype.len > 0 ? p->subtype : p->codes;
	uint64_t codes[2];
	size_t n = 0, used;

	if (p->exception.len == 0)
		return;
	while (n < 2 && text_starts(rest, "0x") && (used = text_hex(rest, &codes[n])) > 2) {
		n++;
		rest = text_from(rest, used);
		while (rest.len > 0 && (rest.at[0] == ',' || rest.at[0] == ' '))
			rest = text_from(rest, 1);
	}
	apple_reason(&p->t, p->exception, p->signal, codes, n, kind);
}

enum err
apple_read(struct arena *a, struct text text, struct dump *out, struct diag *diag)
{
	struct apple p = { .t = textdump_new(a, out, TRIAGE_FORMAT_APPLE), .index = UINT32_MAX };
	struct lines l = { text.at, text.at + text.len };
	struct text line;

	while (lines_next(&l, &line))
		line_of(&p, line);
	if (out->os == TRIAGE_OS_UNKNOWN)
		out->os = TRIAGE_OS_MACOS;
	codes_of(&p);
	l = p.frames.at != NULL ? (struct lines){ p.frames.at, p.frames.at + p.frames.len } : (struct lines){ 0 };
	while (lines_next(&l, &line))
		frame_line(&p, text_trim(line));
	if (p.threads == 0)
		dump_partial(out, "the report has no threads");
	apple_threads(&p.t, p.threads, p.index);
	return textdump_end(&p.t, diag);
}
