/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/reason.h"
#include "triage/textscan.h"
#include "triage/tombstone.h"

/* Android's tombstones as text: the file, what debuggerd writes to the log, and the same
 * behind the prefixes of logcat. */

#define TRAILER_MAX 64 /* "(offset 0x…)", "(BuildId: …)" of a frame */

struct tombstone {
	struct textdump t;
	bool has_pid, in_trace, trace_done;
};

/* ---- both forms ---- */

void
tombstone_reason(struct textdump *t, int32_t signo, int32_t code)
{
	struct exception_record e = { .code = (uint32_t)signo, .flags = (uint32_t)code };
	char text[REASON_TEXT_MAX];

	reason_text(TRIAGE_OS_ANDROID, t->d->arch, &e, text);
	t->d->has_exception = true;
	t->d->code = e.code;
	t->d->subcode = e.flags;
	t->d->reason = textdump_copy(t, text_of(text), REASON_TEXT_MAX);
}

/* "google/redfin/redfin:14/UQ1A.240205.002/…": what stands behind the colon. */
void
tombstone_fingerprint(struct textdump *t, struct text print)
{
	struct text v = text_after(print, ":");
	const char *end = v.at != NULL ? memchr(v.at, '/', v.len) : NULL;

	textdump_note(t, "build_fingerprint", print);
	if (end != NULL)
		t->d->os_version = textdump_copy(t, text_upto(v, (size_t)(end - v.at)), 64);
}

void
tombstone_arch(struct textdump *t, struct text abi)
{
	static const struct {
		const char *name;
		enum triage_arch arch;
	} names[] = {
		{ "arm64", TRIAGE_ARCH_ARM64 }, { "arm", TRIAGE_ARCH_ARM },         { "x86_64", TRIAGE_ARCH_X64 },
		{ "x86", TRIAGE_ARCH_X86 },     { "riscv64", TRIAGE_ARCH_RISCV64 }, { "mips64", TRIAGE_ARCH_MIPS64 },
		{ "mips", TRIAGE_ARCH_MIPS },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (text_equal(abi, text_of(names[i].name)))
			t->d->arch = names[i].arch;
}

void
tombstone_thread(struct textdump *t, uint32_t index, uint32_t count)
{
	t->d->threads = ARENA_ARRAY(t->arena, struct dump_thread, count);
	if (t->d->threads == NULL) {
		t->full = true;
		return;
	}
	t->d->n_threads = count;
	if (index < count)
		t->d->crashing_thread = (int32_t)index;
}

/* Mapped code that is in no file has no place that could be found again. */
bool
tombstone_is_file(struct text name)
{
	return name.len > 0 && name.at[0] != '<' && !text_starts(name, "[anon") && !text_starts(name, "anonymous:") &&
	       !text_starts(name, "/memfd:") && !text_starts(name, "/dev/ashmem");
}

/* ---- text ---- */

/* Without "11-23 09:00:00.123  1234  1234 F DEBUG   : " or "I/DEBUG   ( 1234): ". */
static struct text
content(struct text line)
{
	static const char *const tags[] = { "DEBUG", "crash_dump", "libc    : " };

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		const char *p = text_find(text_upto(line, 120), tags[i]), *colon;
		size_t at;

		if (p == NULL || p == line.at || (p[-1] != ' ' && p[-1] != '/'))
			continue;
		at = (size_t)(p - line.at);
		colon = text_find(text_from(line, at), ": ");
		if (colon != NULL)
			return text_from(line, (size_t)(colon - line.at) + 2);
		if (line.at[line.len - 1] == ':')
			return text_from(line, line.len);
	}
	return line;
}

static struct text
unquoted(struct text t)
{
	if (t.len >= 2 && t.at[0] == '\'' && t.at[t.len - 1] == '\'')
		return (struct text){ t.at + 1, t.len - 2 };
	return t;
}

static int32_t
number(struct text t)
{
	bool minus = t.len > 0 && t.at[0] == '-';
	uint64_t v = 0;

	text_dec(text_from(t, minus ? 1 : 0), &v);
	return minus ? -(int32_t)(v & 0x7fffffff) : (int32_t)(v & 0x7fffffff);
}

/* "signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x10" */
static void
signal_line(struct tombstone *ts, struct text line)
{
	struct text code = text_after(line, "code "), addr = text_after(line, "fault addr ");
	struct dump *d = ts->t.d;
	uint64_t v;

	if (d->has_exception)
		return;
	tombstone_reason(&ts->t, number(text_from(line, 7)), code.at != NULL ? number(code) : 0);
	if (addr.at != NULL && addr.len > 0 && addr.at[0] != '-' && text_hex(addr, &v) > 0) {
		d->has_address = true;
		d->address = v;
	}
}

/* "pid: 4324, tid: 4330, name: worker  >>> com.example <<<" */
static void
thread_line(struct tombstone *ts, struct text line)
{
	struct text pid = text_from(line, 5), tid = text_after(line, "tid: "), name = text_after(line, ">>> ");
	struct dump *d = ts->t.d;
	const char *end;
	uint64_t v;

	if (ts->has_pid) {
		/* the other threads follow, with traces of their own */
		ts->trace_done = true;
		return;
	}
	ts->has_pid = true;
	if (text_dec(pid, &v) > 0 && v <= UINT32_MAX)
		d->process_id = (uint32_t)v;
	if (tid.at != NULL && text_dec(tid, &v) > 0 && v <= UINT32_MAX)
		d->crashing_tid = (uint32_t)v;
	if (name.at != NULL) {
		end = text_find(name, " <<<");
		textdump_note(&ts->t, "process", end != NULL ? text_upto(name, (size_t)(end - name.at)) : name);
	}
	name = text_after(line, "name: ");
	if (name.at != NULL) {
		end = text_find(name, "  >>>");
		textdump_note(&ts->t, "thread", end != NULL ? text_upto(name, (size_t)(end - name.at)) : name);
	}
}

/* "(BuildId: 0123…)" off the end of rest; false when there is none. */
static bool
take_build_id(struct text *rest, struct text *id)
{
	const char *p = text_find(*rest, "(BuildId: ");
	size_t at, n = 0;
	uint64_t v;

	if (p == NULL)
		return false;
	at = (size_t)(p - rest->at);
	*id = text_from(*rest, at + 10);
	while (n < id->len && text_hex((struct text){ id->at + n, 1 }, &v) == 1)
		n++;
	*id = text_upto(*id, n);
	*rest = text_trim(text_upto(*rest, at));
	return true;
}

/* "(crash_me(int)+24)" → function; parentheses are part of names. */
static void
take_function(struct tombstone *ts, struct triage_frame *f, struct text s)
{
	struct text off;
	const char *plus;

	s = text_trim(s);
	if (text_starts(s, "(offset ")) {
		const char *end = memchr(s.at, ')', s.len);

		s = end != NULL ? text_trim(text_from(s, (size_t)(end - s.at) + 1)) : (struct text){ s.at, 0 };
	}
	if (text_starts(s, "(deleted)"))
		s = text_trim(text_from(s, 9));
	if (s.len < 3 || s.at[0] != '(' || s.at[s.len - 1] != ')')
		return;
	s = (struct text){ s.at + 1, s.len - 2 };
	plus = memrchr(s.at, '+', s.len);
	if (plus != NULL) {
		uint64_t v;

		off = text_from(s, (size_t)(plus - s.at) + 1);
		if (text_dec(off, &v) == off.len && off.len > 0)
			s = text_upto(s, (size_t)(plus - s.at));
	}
	f->function = textdump_copy(&ts->t, s, TEXT_NAME_MAX);
}

/* "#00 pc 0001a2f4  /system/lib/libc.so (memcpy+10) (BuildId: …)" */
static bool
frame_line(struct tombstone *ts, struct text line)
{
	struct text rest, id = { NULL, 0 }, name;
	struct triage_frame *f;
	const char *paren;
	uint64_t pc, no;
	size_t n;

	if (line.len < 8 || line.at[0] != '#' || (n = text_dec(text_from(line, 1), &no)) == 0)
		return false;
	rest = text_trim(text_from(line, 1 + n));
	if (!text_starts(rest, "pc "))
		return false;
	rest = text_trim(text_from(rest, 3));
	n = text_hex(rest, &pc);
	if (n == 0 || (f = textdump_frame(&ts->t)) == NULL)
		return n != 0;
	rest = text_trim(text_from(rest, n));
	f->trust = no == 0 ? TRIAGE_TRUST_CONTEXT : TRIAGE_TRUST_REPORTED;
	f->pc = f->offset = pc;
	take_build_id(&rest, &id);
	paren = text_find(rest, " (");
	name = paren != NULL ? text_upto(rest, (size_t)(paren - rest.at)) : rest;
	if (paren != NULL)
		take_function(ts, f, text_from(rest, name.len));
	if (!tombstone_is_file(text_trim(name))) {
		f->offset = 0;
		return true;
	}
	f->module = textdump_module(&ts->t, text_trim(name), 0);
	if (f->module >= 0 && id.len > 0)
		ts->t.d->modules[f->module].id = ts->t.d->modules[f->module].code_id =
			textdump_copy(&ts->t, id, MODULE_ID_MAX);
	return true;
}

static void
fact_line(struct tombstone *ts, struct text line)
{
	struct textdump *t = &ts->t;

	if (text_starts(line, "Build fingerprint: "))
		tombstone_fingerprint(t, unquoted(text_after(line, "Build fingerprint: ")));
	else if (text_starts(line, "ABI: "))
		tombstone_arch(t, unquoted(text_after(line, "ABI: ")));
	else if (text_starts(line, "pid: ") && text_find(line, "tid: ") != NULL)
		thread_line(ts, line);
	else if (text_starts(line, "signal "))
		signal_line(ts, line);
	else if (text_starts(line, "Abort message: "))
		textdump_note(t, "abort_message", unquoted(text_after(line, "Abort message: ")));
	else if (text_starts(line, "Cause: "))
		textdump_note(t, "cause", text_after(line, "Cause: "));
	else if (text_starts(line, "Cmdline: "))
		textdump_note(t, "command_line", text_after(line, "Cmdline: "));
	else if (text_starts(line, "Revision: "))
		textdump_note(t, "hardware_revision", unquoted(text_after(line, "Revision: ")));
}

/* Older ones have no "ABI:": the registers tell. */
static void
guess_arch(struct textdump *t, struct text line)
{
	if (t->d->arch != TRIAGE_ARCH_UNKNOWN || t->d->n_frames > 0)
		return;
	if (text_starts(line, "x0 ") || text_starts(line, "x0  "))
		t->d->arch = TRIAGE_ARCH_ARM64;
	else if (text_starts(line, "r0 "))
		t->d->arch = TRIAGE_ARCH_ARM;
	else if (text_starts(line, "rax "))
		t->d->arch = TRIAGE_ARCH_X64;
	else if (text_starts(line, "eax "))
		t->d->arch = TRIAGE_ARCH_X86;
}

enum err
tombstone_read(struct arena *a, struct text text, struct dump *out, struct diag *diag)
{
	struct tombstone ts = { .t = textdump_new(a, out, TRIAGE_FORMAT_TOMBSTONE) };
	struct lines l = { text.at, text.at + text.len };
	struct text line;
	uint32_t threads = 0;

	out->os = TRIAGE_OS_ANDROID;
	while (lines_next(&l, &line)) {
		line = text_trim(content(line));
		if (text_starts(line, "*** *** ***") && ts.has_pid)
			break; /* another one: the first is told */
		threads +=
			text_starts(line, "pid: ") && text_find(line, "tid: ") != NULL && threads < TRIAGE_MAX_THREADS;
		fact_line(&ts, line);
		guess_arch(&ts.t, line);
		if (!ts.trace_done && !frame_line(&ts, line) && ts.t.d->n_frames > 0 && text_starts(line, "stack:"))
			ts.trace_done = true;
	}
	if (!ts.has_pid || !out->has_exception)
		return textdump_fail(&ts.t, ERR_MALFORMED, "a tombstone without a process or a signal", diag);
	tombstone_thread(&ts.t, 0, threads > 0 ? threads : 1);
	if (out->n_threads > 0)
		out->threads[0].tid = out->crashing_tid;
	return textdump_end(&ts.t, diag);
}
