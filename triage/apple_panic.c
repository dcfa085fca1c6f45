/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "triage/apple.h"
#include "triage/utf.h"

/* Kernel panics of macOS and iOS: the text that panic() prints, from Intel and Apple silicon. */

#define KERNEL      "kernel"
#define KERNEL_SPAN ((uint64_t)256 << 20) /* the text says where the kernel begins, not where it ends */

struct panic {
	struct textdump t;
	struct text message;
	uint64_t caller, pc; /* of panic(); of the trap */
	uint64_t frames[TRIAGE_MAX_FRAMES];
	size_t n_frames;
	uint64_t text_base, exec_base;
	struct text uuid, pending; /* pending: a key whose value is in the next line */
	bool in_kexts, in_trace, has_caller, has_pc;
};

/* "panic(cpu 0 caller 0xffffff8005a6f6f6): Kernel trap at 0xffffff7f8a123456, type 14=page fault" */
static void
panic_line(struct panic *p, struct text line)
{
	struct text v = text_after(line, " caller "), at;
	const char *colon = text_find(line, "): ");

	p->has_caller = v.at != NULL && text_hex(v, &p->caller) > 2;
	p->message = colon != NULL ? text_trim(text_from(line, (size_t)(colon - line.at) + 3)) : line;
	at = text_after(p->message, "Kernel trap at ");
	if (at.at == NULL)
		at = text_after(p->message, " at pc ");
	p->has_pc = at.at != NULL && text_hex(at, &p->pc) > 2;
}

/* Copies at most cap bytes of m but for its hex numbers and the blanks around them. */
static size_t
without_numbers(struct text m, char *out, size_t cap)
{
	size_t n = 0, used;
	uint64_t v;

	while (m.len > 0 && n < cap) {
		used = text_starts(m, "0x") && (n == 0 || !text_char_word(out[n - 1])) ? text_hex(m, &v) : 0;
		if (used > 2) {
			m = text_from(m, used);
			if (n > 0 && out[n - 1] == ' ')
				n--;
			continue;
		}
		out[n++] = m.at[0];
		m = text_from(m, 1);
	}
	while (n > 0 && strchr(" ,:=@([", out[n - 1]) != NULL)
		n--;
	return n;
}

/* The message without what differs from panic to panic. */
static const char *
reason_of(struct panic *p)
{
	struct text m = p->message, type = text_after(m, ", type ");
	const char *quote;
	char buf[160];
	size_t n;

	if (m.len > 1 && m.at[0] == '"') {
		m = text_from(m, 1);
		quote = memchr(m.at, '"', m.len);
		if (quote != NULL)
			m = text_upto(m, (size_t)(quote - m.at));
	}
	if (text_starts(m, "Kernel trap at ") && type.at != NULL) {
		const char *comma = memchr(type.at, ',', type.len);

		type = comma != NULL ? text_upto(type, (size_t)(comma - type.at)) : type;
		snprintf(buf, sizeof(buf), "panic: Kernel trap, type %.*s", (int)(type.len < 80 ? type.len : 80),
			 type.at);
		return textdump_copy(&p->t, text_of(buf), sizeof(buf));
	}
	if (text_starts(m, "Kernel data abort") || text_starts(m, "Kernel instruction fetch abort"))
		return "panic: Kernel data abort (access violation)";
	quote = text_find(m, " @");
	if (quote != NULL)
		m = text_upto(m, (size_t)(quote - m.at));
	n = (size_t)snprintf(buf, sizeof(buf), "panic: ");
	n += without_numbers(m, buf + n, 112);
	return textdump_copy(&p->t, (struct text){ buf, n }, sizeof(buf));
}

/* "com.apple.driver.Foo(1.2)[UUID]@0xffffff7f87e6f000->0xffffff7f8811bfff" */
static void
kext_line(struct panic *p, struct text line)
{
	const char *at = memrchr(line.at, '@', line.len), *paren = memchr(line.at, '(', line.len), *close, *id;
	struct text rest;
	uint64_t base, end;
	size_t n;
	int32_t m;

	if (at == NULL || paren == NULL || paren > at)
		return;
	rest = text_from(line, (size_t)(at - line.at) + 1);
	n = text_hex(rest, &base);
	rest = text_from(rest, n);
	if (n < 3 || !text_starts(rest, "->") || text_hex(text_from(rest, 2), &end) < 3 || end < base ||
	    end == UINT64_MAX)
		return;
	m = textdump_module(&p->t, text_upto(line, (size_t)(paren - line.at)), base);
	if (m < 0)
		return;
	p->t.d->modules[m].size = end - base + 1;
	close = memchr(paren, ')', (size_t)(at - paren));
	if (close != NULL)
		p->t.d->modules[m].version =
			textdump_copy(&p->t, (struct text){ paren + 1, (size_t)(close - paren) - 1 }, 64);
	id = memchr(paren, '[', (size_t)(at - paren));
	close = id != NULL ? memchr(id, ']', (size_t)(at - id)) : NULL;
	if (close != NULL)
		p->t.d->modules[m].id = p->t.d->modules[m].debug_id =
			textdump_copy(&p->t, (struct text){ id + 1, (size_t)(close - id) - 1 }, MODULE_ID_MAX);
}

/* "0xffffff91f1b2b5c0 : 0xffffff8005ab6f8d mach_kernel : _panic + 0x5d", "lr: 0x…  fp: 0x…" */
static bool
frame_line(struct panic *p, struct text line)
{
	struct text v;
	uint64_t fp, addr;
	size_t n;

	if (text_starts(line, "lr: ")) {
		v = text_trim(text_from(line, 4));
	} else {
		n = text_starts(line, "0x") ? text_hex(line, &fp) : 0;
		v = text_trim(text_from(line, n));
		if (n < 6 || v.len == 0 || v.at[0] != ':')
			return false;
		v = text_trim(text_from(v, 1));
	}
	if (!text_starts(v, "0x") || text_hex(v, &addr) < 6)
		return false;
	if (p->n_frames < TRIAGE_MAX_FRAMES)
		p->frames[p->n_frames++] = addr;
	return true;
}

static void
kernel_version(struct panic *p, struct text v)
{
	struct textdump *t = &p->t;
	struct text number = text_after(v, "Version ");
	const char *colon = number.at != NULL ? memchr(number.at, ':', number.len) : NULL;

	textdump_note(t, "kernel_version", v);
	if (text_find(v, "ARM64") != NULL)
		t->d->arch = TRIAGE_ARCH_ARM64;
	else if (text_find(v, "X86_64") != NULL)
		t->d->arch = TRIAGE_ARCH_X64;
	if (colon != NULL)
		t->d->os_version = textdump_copy(t, text_upto(number, (size_t)(colon - number.at)), 64);
}

static void
fact(struct panic *p, struct text key, struct text v)
{
	struct textdump *t = &p->t;

	if (text_equal(key, TEXT("Kernel text exec base"))) {
		text_hex(v, &p->exec_base);
	} else if (text_equal(key, TEXT("Kernel text base"))) {
		text_hex(v, &p->text_base);
	} else if (text_equal(key, TEXT("Kernel UUID"))) {
		p->uuid = v;
	} else if (text_equal(key, TEXT("Mac OS version")) || text_equal(key, TEXT("OS version"))) {
		textdump_note(t, "os_build", v);
	} else if (text_equal(key, TEXT("Kernel version"))) {
		kernel_version(p, v);
	} else if (text_equal(key, TEXT("System model name"))) {
		textdump_note(t, "hardware", v);
	} else if (text_find(key, "rocess name corresponding to current thread") != NULL) {
		textdump_note(t, "process", v);
	} else if (text_equal(key, TEXT("iBoot version"))) {
		textdump_note(t, "iboot", v);
	} else if (text_starts(key, "Panicked task")) {
		v = text_after(v, "pid ");
		textdump_note(t, "process", v.at != NULL ? text_after(v, ":") : v);
	}
}

/* "key: value", also with the value in the next line. */
static void
fact_line(struct panic *p, struct text line)
{
	const char *colon = memchr(line.at, ':', line.len);

	if (line.len == 0)
		return;
	if (p->pending.len > 0) {
		fact(p, p->pending, line);
		p->pending.len = 0;
	} else if (colon != NULL && colon == line.at + line.len - 1) {
		p->pending = text_upto(line, line.len - 1);
	} else if (colon != NULL) {
		fact(p, text_upto(line, (size_t)(colon - line.at)),
		     text_trim(text_from(line, (size_t)(colon - line.at) + 1)));
	}
}

/* false: a second panic begins, which is counted elsewhere if at all. */
static bool
line_of(struct panic *p, struct text line)
{
	const char *at = text_find(line, "panic(cpu ");

	if (at != NULL) {
		if (p->message.len > 0)
			return text_starts(line, "Nested");
		panic_line(p, text_from(line, (size_t)(at - line.at)));
		return true;
	}
	if (text_starts(line, "Kernel Extensions in backtrace")) {
		p->in_kexts = true;
		return true;
	}
	if (p->in_kexts) {
		if (text_starts(line, "dependency:"))
			kext_line(p, text_trim(text_from(line, 11)));
		else if (text_find(line, "@0x") != NULL)
			kext_line(p, line);
		else
			p->in_kexts = false;
	}
	if (text_starts(line, "last loaded kext") || text_starts(line, "loaded kexts"))
		return true;
	if (text_starts(line, "Backtrace (CPU ") || text_find(line, "backtrace: 0x") != NULL ||
	    text_find(line, "Backtrace continues") != NULL || text_starts(line, "Panicked thread"))
		p->in_trace = p->n_frames == 0;
	if (p->in_trace && !frame_line(p, line) && p->n_frames > 0 && line.len > 0)
		p->in_trace = false;
	fact_line(p, line);
	return true;
}

/* The kernel as a module, behind the extensions: what none of them covers. */
static void
add_kernel(struct panic *p)
{
	uint64_t base = p->exec_base != 0 ? p->exec_base : p->text_base;
	struct dump *d = p->t.d;
	int32_t m;

	if (base == 0 && p->uuid.len == 0)
		return;
	m = textdump_module(&p->t, TEXT(KERNEL), p->text_base != 0 ? p->text_base : base);
	if (m < 0)
		return;
	d->modules[m].id = d->modules[m].debug_id = textdump_copy(&p->t, p->uuid, MODULE_ID_MAX);
	if (base != 0 && base <= UINT64_MAX - KERNEL_SPAN)
		d->modules[m].size = KERNEL_SPAN + (base - d->modules[m].base);
}

static void
add_frames(struct panic *p)
{
	const struct text none = { NULL, 0 };

	if (p->has_pc)
		apple_frame(&p->t, p->pc, true, none, 0);
	else if (p->n_frames == 0 && p->has_caller)
		apple_frame(&p->t, p->caller, false, none, 0);
	for (size_t i = 0; i < p->n_frames; i++)
		apple_frame(&p->t, p->frames[i], false, none, 0);
}

static bool
is_kernel(const struct dump *d, const struct triage_frame *f)
{
	return strcmp(d->modules[f->module].path, KERNEL) == 0;
}

/* The trap's place if it is in an extension, else the innermost extension: the kernel mostly
 * tells what others did.  With no extension at all, who called panic(). */
static void
choose(struct panic *p)
{
	struct dump *d = p->t.d;
	uint64_t call = text_call_size(d->arch);

	d->blamed = -1;
	d->blame_rule = "none";
	for (size_t i = 0; i < d->n_frames; i++) {
		const struct triage_frame *f = &d->frames[i];

		if (f->module < 0 || is_kernel(d, f))
			continue;
		d->blamed = (int32_t)i;
		d->blame_rule = i == 0 && p->has_pc ? "context" : "messenger: " KERNEL;
		return;
	}
	for (size_t i = 0; i < d->n_frames && d->blamed < 0; i++) {
		if (d->frames[i].module < 0 || (!p->has_pc && d->frames[i].pc != p->caller - call && p->has_caller))
			continue;
		d->blamed = (int32_t)i;
		d->blame_rule = p->has_pc && i == 0 ? "context" : "panic-caller";
	}
}

enum err
applepanic_read(struct arena *a, struct text text, struct dump *out, struct diag *diag)
{
	struct panic p = { .t = textdump_new(a, out, TRIAGE_FORMAT_APPLE_PANIC) };
	struct lines l = { text.at, text.at + text.len };
	struct text line;

	while (lines_next(&l, &line))
		if (!line_of(&p, text_trim(line)))
			break;
	if (p.message.len == 0)
		return textdump_fail(&p.t, ERR_MALFORMED, "a panic without its message", diag);
	out->os = text_find(text, "iPhone OS") != NULL ? TRIAGE_OS_IOS : TRIAGE_OS_MACOS;
	if (out->arch == TRIAGE_ARCH_UNKNOWN)
		out->arch = text_find(text, "CR2:") != NULL || text_find(text, "RIP:") != NULL ? TRIAGE_ARCH_X64
											       : TRIAGE_ARCH_UNKNOWN;
	out->os_kernel = out->has_exception = true;
	out->reason = reason_of(&p);
	textdump_note(&p.t, "panic", p.message);
	add_kernel(&p);
	add_frames(&p);
	choose(&p);
	apple_threads(&p.t, 1, 0);
	return textdump_end(&p.t, diag);
}
