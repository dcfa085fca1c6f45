/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "triage/oops.h"
#include "triage/utf.h"

/* Kernel logs with one or more oopses.  The first fatal event is told, or the first warning
 * if there is none; the others are counted. */

#define MERGE_LINES  40 /* an event's second line of news follows this closely */
#define EVENT_LINES  20000
#define TOLERATED    24 /* lines without a frame inside a trace: registers, code, dumps */
#define LISTED_LINES 64 /* of modules linked in */

/* ---- finding the events ---- */

struct event {
	enum oops_tier tier;
	const char *begin, *end; /* of its lines in the text */
};

struct survey {
	struct oops_markers markers;
	struct event chosen, now;
	unsigned fatal, warnings;
	size_t line, begun; /* line numbers */
	bool body;          /* frames or registers of the event were seen */
};

static void
survey_close(struct survey *s, const char *end)
{
	if (s->now.tier == OOPS_NONE)
		return;
	s->now.end = end;
	if (s->now.tier == OOPS_WARNING)
		s->warnings++;
	else
		s->fatal++;
	if (s->chosen.tier == OOPS_NONE || (s->chosen.tier == OOPS_WARNING && s->now.tier != OOPS_WARNING))
		s->chosen = s->now;
	s->now = (struct event){ 0 };
}

/* A panic that only says what the event before it has led to. */
static bool
closes(const struct survey *s, enum oops_tier tier, struct text what)
{
	static const char *const causes[] = { "Fatal exception",   "panic_on_warn",      "softlockup",    "hung_task",
					      "Hard LOCKUP",       "hard LOCKUP",        "panic_on_oops", "RCU Stall",
					      "Fatal error",       "panic_on_taint",     "Oops",          "KFENCE",
					      "kasan.fault=panic", "Asynchronous SError" };

	if (tier != OOPS_PANIC || s->now.tier == OOPS_NONE)
		return false;
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		if (text_find(what, causes[i]) != NULL)
			return true;
	return false;
}

static void
survey_line(struct survey *s, struct text raw)
{
	struct text line = oops_line(raw), what;
	enum oops_tier tier = oops_marker(&s->markers, line, &what);
	struct oops_place p;
	enum triage_arch arch;

	s->line++;
	if (tier == OOPS_PANIC && text_starts(line, "---[ end "))
		tier = OOPS_NONE;
	if (tier == OOPS_NONE) {
		if (text_find(line, "[ cut here ]") != NULL)
			survey_close(s, raw.at);
		else if (!s->body && s->now.tier != OOPS_NONE)
			s->body = text_starts(line, "Call Trace") || text_starts(line, "Call trace") ||
				  oops_pc(line, &p, &arch);
		return;
	}
	if (s->now.tier != OOPS_NONE && (closes(s, tier, what) || (!s->body && s->line - s->begun < MERGE_LINES))) {
		if (tier == OOPS_PANIC)
			tier = OOPS_FATAL;
		if (tier > s->now.tier)
			s->now.tier = tier;
		return;
	}
	survey_close(s, raw.at);
	s->now = (struct event){ tier, raw.at, NULL };
	s->begun = s->line;
	s->body = false;
}

/* ---- reading one ---- */

struct oops {
	struct textdump t;
	const struct oops_markers *markers;
	struct text what;        /* the marker */
	struct oops_place named; /* by the marker */
	bool has_named, has_pc, in_trace, from_header, trace_done;
	int32_t interrupted; /* frame of the code that a timer interrupted, -1 */
	unsigned idle;       /* lines in the trace since its last frame */
	unsigned listing;    /* lines of modules that may still follow */
	enum triage_arch arch;
	unsigned digits; /* of addresses */
	struct text last_from;
};

static struct triage_frame *
add_frame(struct oops *o, const struct oops_place *p, enum triage_trust trust)
{
	struct textdump *t = &o->t;
	struct triage_frame *f = textdump_frame(t);

	if (p->address_digits > o->digits)
		o->digits = p->address_digits;
	if (f == NULL)
		return NULL;
	f->pc = p->address;
	f->trust = p->unreliable ? TRIAGE_TRUST_SCAN : trust;
	if (p->function.len == 0)
		return f;
	f->function = textdump_copy(t, text_upto(p->function, TEXT_NAME_MAX - 64), TEXT_NAME_MAX);
	f->module = textdump_module(t, p->module.len > 0 ? p->module : TEXT(OOPS_KERNEL), 0);
	if (f->module >= 0 && p->build_id.len > 0)
		t->d->modules[f->module].id = textdump_copy(t, p->build_id, MODULE_ID_MAX);
	f->offset = p->offset;
	f->in_function = f->module >= 0;
	return f;
}

static bool
same_place(const struct triage_frame *f, const struct oops_place *p)
{
	return p->has_offset && f->offset == p->offset && text_equal(text_of(f->function), p->function);
}

static void
pc_line(struct oops *o, const struct oops_place *p, enum triage_arch arch)
{
	struct dump *d = o->t.d;
	struct triage_frame *f;

	if (o->arch == TRIAGE_ARCH_UNKNOWN)
		o->arch = arch;
	if (p->is_user) {
		o->trace_done |= o->in_trace && d->n_frames > 0;
		return;
	}
	if (o->in_trace && !o->trace_done && d->n_frames > 0) {
		/* registers of what an interrupt or exception found running */
		if (same_place(&d->frames[0], p) || (f = add_frame(o, p, TRIAGE_TRUST_CONTEXT)) == NULL)
			return;
		if (o->interrupted < 0)
			o->interrupted = (int32_t)d->n_frames - 1;
		o->idle = 0;
		return;
	}
	if (o->has_pc) {
		/* first the address, then the name: "EIP: 0060:[<c01>] …", "EIP is at foo+0x1/0x2" */
		if (d->n_frames == 1 && d->frames[0].module < 0 && p->function.len > 0) {
			uint64_t pc = d->frames[0].pc;

			d->n_frames = 0;
			f = add_frame(o, p, TRIAGE_TRUST_CONTEXT);
			if (f != NULL && f->pc == 0)
				f->pc = pc;
		}
		return;
	}
	if (d->n_frames > 0) /* behind the trace: the oops is told again */
		return;
	o->has_pc = true;
	f = add_frame(o, p, TRIAGE_TRUST_CONTEXT);
	if (f != NULL)
		f->trust = TRIAGE_TRUST_CONTEXT;
}

static void
frame_line(struct oops *o, const struct oops_place *p, const struct oops_place *from)
{
	struct dump *d = o->t.d;

	o->idle = 0;
	if (o->has_pc && d->n_frames == 1 && same_place(&d->frames[0], p))
		return;
	if (from == NULL) {
		add_frame(o, p, TRIAGE_TRUST_REPORTED);
		return;
	}
	if ((!text_equal(o->last_from, p->function) || d->n_frames == 0) &&
	    !(o->has_pc && d->n_frames == 1 && text_equal(text_of(d->frames[0].function), p->function))) {
		struct oops_place callee = *p;

		callee.has_offset = false; /* the pair's first offset is that of the function's begin */
		callee.offset = 0;
		add_frame(o, &callee, TRIAGE_TRUST_REPORTED);
	}
	add_frame(o, from, TRIAGE_TRUST_REPORTED);
	o->last_from = from->function;
}

static bool
trace_head(struct text line)
{
	return text_starts(line, "Call Trace") || text_starts(line, "Call trace") ||
	       text_starts(line, "stack backtrace:") || text_starts(line, "Backtrace:") ||
	       text_starts(line, "Trace:") || text_starts(line, "Call backtrace") ||
	       /* KFENCE: "Use-after-free read at 0x… (in kfence-#72):" */
	       (text_find(line, " at 0x") != NULL && text_find(line, "kfence-#") != NULL &&
		line.at[line.len - 1] == ':');
}

/* What ends a trace although a frame may follow somewhere. */
static bool
trace_end(struct text line)
{
	static const char *const ends[] = { "---[ ",
					    "Modules linked in",
					    "Last Breaking",
					    "Allocated by",
					    "Freed by",
					    "Last potentially",
					    "The buggy address",
					    "Kernel panic",
					    "Rebooting in",
					    "=====",
					    "Kernel Offset",
					    "INFO: ",
					    "other info",
					    "NMI backtrace",
					    "Sending NMI",
					    "Showing " };

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (text_starts(line, ends[i]))
			return true;
	return false;
}

static void
trace_line(struct oops *o, struct text line)
{
	struct oops_place p, from;
	bool has_from;

	if (trace_head(line)) {
		if (o->trace_done && o->from_header)
			return;
		if (!o->from_header && !o->has_pc && o->t.d->n_frames > 0) /* what came before was another list */
			o->t.d->n_frames = 0;
		o->in_trace = o->from_header = true;
		o->trace_done = false;
		o->idle = 0;
		return;
	}
	if (o->trace_done)
		return;
	if (o->in_trace && (trace_end(line) || o->idle++ > TOLERATED)) {
		o->trace_done = o->t.d->n_frames > (o->has_pc ? 1u : 0u);
		o->in_trace = false;
		return;
	}
	if (!oops_frame(line, o->in_trace, &p, &from, &has_from))
		return;
	if (!o->in_trace) {
		o->in_trace = true;
		o->idle = 0;
	}
	frame_line(o, &p, has_from ? &from : NULL);
}

/* ---- other facts ---- */

static void
list_modules(struct oops *o, struct text line)
{
	while (line.len > 0) {
		struct text w = text_word(&line);
		size_t n = 0;

		while (n < w.len && (text_char_word(w.at[n]) || w.at[n] == '-'))
			n++;
		if (n == 0 || (n < w.len && w.at[n] != '(')) {
			o->listing = 0; /* "[last unloaded: foo]", or another line */
			return;
		}
		if (o->listing-- == 0)
			return;
		textdump_module(&o->t, text_upto(w, n), 0);
	}
}

/* Is the whole line names of modules, the rest of a list that was wrapped? */
static bool
more_modules(struct text line)
{
	if (line.len == 0 || line.at[0] == '[')
		return false;
	while (line.len > 0) {
		struct text w = text_word(&line);

		for (size_t i = 0; i < w.len; i++) {
			if (w.at[i] == '(' && i > 0 && w.at[w.len - 1] == ')')
				break;
			if (!text_char_word(w.at[i]) && w.at[i] != '-')
				return w.at[0] == '[' && i == 0;
		}
	}
	return true;
}

/* "5.13.0-rc1 #3 0123…": release and build id behind the taint letters. */
static void
release(struct oops *o, struct text line)
{
	const char *mark = text_find(line, " #");
	struct dump *d = o->t.d;
	struct text before, rest, w, last = { "", 0 };

	if (mark == NULL || *d->os_version != '\0')
		return;
	before = text_upto(line, (size_t)(mark - line.at));
	while ((w = text_word(&before)).len > 0)
		last = w;
	if (last.len < 3 || last.at[0] < '0' || last.at[0] > '9')
		return;
	d->os_version = textdump_copy(&o->t, last, 128);
	rest = text_from(line, (size_t)(mark - line.at) + 2);
	(void)text_word(&rest);
	w = text_word(&rest);
	if (w.len == 40) {
		int32_t m = textdump_module(&o->t, TEXT(OOPS_KERNEL), 0);
		uint64_t v;

		if (m >= 0 && text_hex_value(text_upto(w, 16), &v))
			d->modules[m].id = textdump_copy(&o->t, w, MODULE_ID_MAX);
	}
}

/* "CPU: 0 PID: 32037 Comm: insmod Tainted: GF          O   3.10.0 #1", older "Pid: 3, comm: x Not tainted …". */
static void
task_line(struct oops *o, struct text line)
{
	struct dump *d = o->t.d;
	struct text comm = text_after(line, "omm: "), pid = text_after(line, "PID: "), taint;
	const char *end;
	uint64_t v;

	if (pid.at == NULL)
		pid = text_after(line, "Pid: ");
	if (pid.at != NULL && text_dec(pid, &v) > 0 && v <= UINT32_MAX && d->crashing_tid == 0)
		d->crashing_tid = (uint32_t)v;
	taint = text_after(line, "Tainted: ");
	if (comm.at != NULL) {
		end = text_find(comm, taint.at != NULL ? " Tainted: " : " Not tainted");
		if (text_find(comm, " Kdump: ") != NULL)
			end = text_find(comm, " Kdump: ");
		textdump_note(&o->t, "process",
			      end != NULL ? text_upto(comm, (size_t)(end - comm.at)) : text_upto(comm, 16));
	}
	if (taint.at != NULL) {
		char letters[33];
		size_t n = 0;

		for (size_t i = 0; i < taint.len && n < sizeof(letters) - 1; i++) {
			if (taint.at[i] >= 'A' && taint.at[i] <= 'Z')
				letters[n++] = taint.at[i];
			else if (taint.at[i] != ' ' && taint.at[i] != '-')
				break;
		}
		textdump_note(&o->t, "tainted", (struct text){ letters, n });
	}
	release(o, line);
}

static void
fact_line(struct oops *o, struct text line)
{
	if (text_starts(line, "Modules linked in:")) {
		o->listing = TRIAGE_MAX_MODULES;
		list_modules(o, text_after(line, "Modules linked in:"));
		return;
	}
	if (o->listing > 0) {
		if (more_modules(line))
			list_modules(o, line);
		else
			o->listing = 0;
	}
	if (text_find(line, "ainted") != NULL)
		task_line(o, line);
	else if (text_starts(line, "Hardware name:"))
		textdump_note(&o->t, "hardware", text_after(line, "Hardware name:"));
	else if (text_starts(line, "Workqueue:"))
		textdump_note(&o->t, "workqueue", text_after(line, "Workqueue:"));
	else if (text_starts(line, "Kernel panic"))
		textdump_note(&o->t, "panic", line);
	else if (text_starts(line, "Kernel Offset:"))
		textdump_note(&o->t, "kernel_offset", text_after(line, "Kernel Offset:"));
	else if (!o->t.d->has_address && text_starts(line, "BUG: ") == false &&
		 text_find(line, "Unable to handle") == NULL &&
		 (text_starts(line, "Read of size") || text_starts(line, "Write of size")))
		o->t.d->has_address = oops_address(line, &o->t.d->address);
}

static void
event_line(struct oops *o, struct text raw)
{
	struct text line = oops_line(raw), what;
	struct oops_place p;
	enum triage_arch arch;

	if (oops_marker(o->markers, line, &what) != OOPS_NONE) {
		if (o->what.len == 0)
			o->what = what;
		if (!o->t.d->has_address)
			o->t.d->has_address = oops_address(what, &o->t.d->address);
		if (!o->has_named)
			o->has_named = oops_place_in(what, &o->named);
		fact_line(o, line);
		return;
	}
	fact_line(o, line);
	if (oops_pc(line, &p, &arch))
		pc_line(o, &p, arch);
	else
		trace_line(o, line);
}

/* ---- conclusions ---- */

static enum triage_arch
arch_of(const struct oops *o, struct text text)
{
	static const struct {
		const char *word;
		enum triage_arch arch;
	} words[] = {
		{ "x86_64", TRIAGE_ARCH_X64 },
		{ "amd64", TRIAGE_ARCH_X64 },
		{ "aarch64", TRIAGE_ARCH_ARM64 },
		{ "arm64", TRIAGE_ARCH_ARM64 },
		{ "s390x", TRIAGE_ARCH_S390X },
		{ "ppc64", TRIAGE_ARCH_PPC64 },
		{ "riscv64", TRIAGE_ARCH_RISCV64 },
		{ "armv7", TRIAGE_ARCH_ARM },
		{ "i686", TRIAGE_ARCH_X86 },
		{ "i386", TRIAGE_ARCH_X86 },
		{ "mips64", TRIAGE_ARCH_MIPS64 },
		{ "pstate:", TRIAGE_ARCH_ARM64 },
		{ "badaddr:", TRIAGE_ARCH_RISCV64 },
		{ "BadVA", TRIAGE_ARCH_MIPS },
		{ "unwind_backtrace", TRIAGE_ARCH_ARM },
		{ "do_DataAbort", TRIAGE_ARCH_ARM },
		{ "psr:", TRIAGE_ARCH_ARM },
		{ "CR2:", TRIAGE_ARCH_X64 },
		{ "entry_SYSCALL_64", TRIAGE_ARCH_X64 },
		{ "el0_svc", TRIAGE_ARCH_ARM64 },
		{ "system_call_fastpath", TRIAGE_ARCH_X64 },
		{ "sysenter_do_call", TRIAGE_ARCH_X86 },
	};

	if (o->arch != TRIAGE_ARCH_UNKNOWN)
		return o->arch == TRIAGE_ARCH_PPC64 && o->digits == 8 ? TRIAGE_ARCH_PPC : o->arch;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (text_find(text, words[i].word) != NULL)
			return words[i].arch;
	for (size_t i = 0; i < o->t.d->n_frames && o->digits == 16; i++)
		if (o->t.d->frames[i].pc >> 31 == 0x1ffffffff)
			return TRIAGE_ARCH_X64; /* where its kernel is mapped */
	return TRIAGE_ARCH_UNKNOWN;
}

/* Offsets of callers are those of the call. */
static void
adjust(struct dump *d)
{
	unsigned n = text_call_size(d->arch);

	for (size_t i = 0; i < d->n_frames; i++) {
		struct triage_frame *f = &d->frames[i];

		if (f->trust == TRIAGE_TRUST_CONTEXT)
			continue;
		if (f->in_function && f->offset >= n)
			f->offset -= n;
		if (f->pc >= n)
			f->pc -= n;
	}
}

static bool
worth(const struct triage_frame *f)
{
	return f->trust != TRIAGE_TRUST_SCAN && f->module >= 0;
}

static void
choose(struct oops *o)
{
	struct dump *d = o->t.d;
	const char *rule, *last = NULL;
	int32_t first = -1;
	size_t i = 0;

	d->blamed = -1;
	d->blame_rule = "none";
	if (o->interrupted >= 0 && !o->has_pc)
		i = (size_t)o->interrupted;
	else if (o->has_named && !o->has_pc)
		for (size_t k = 0; k < d->n_frames; k++)
			if (worth(&d->frames[k]) && text_equal(text_of(d->frames[k].function), o->named.function)) {
				i = k;
				last = "named";
				break;
			}
	if (i > 0 && last == NULL)
		last = "interrupted";
	for (; i < d->n_frames; i++) {
		const struct triage_frame *f = &d->frames[i];

		if (!worth(f)) {
			if (f->trust == TRIAGE_TRUST_CONTEXT)
				last = "no-module";
			continue;
		}
		if (first < 0)
			first = (int32_t)i;
		if ((rule = oops_messenger(f->function)) == NULL) {
			d->blamed = (int32_t)i;
			d->blame_rule = last != NULL ? last : f->trust == TRIAGE_TRUST_CONTEXT ? "context" : "reported";
			return;
		}
		last = rule;
	}
	if (first >= 0) {
		d->blamed = first;
		d->blame_rule = "reported";
	}
}

/* "INFO: task kworker/u8:2:123 blocked for more than 120 seconds." */
static void
hung_task(struct oops *o)
{
	struct text task = text_after(o->what, "task ");
	const char *end = text_find(task, " blocked for"), *colon;
	uint64_t pid;

	if (task.at == NULL || end == NULL)
		return;
	task = text_upto(task, (size_t)(end - task.at));
	if ((colon = memrchr(task.at, ':', task.len)) == NULL ||
	    text_dec(text_from(task, (size_t)(colon - task.at) + 1), &pid) == 0 || pid > UINT32_MAX)
		return;
	o->t.d->crashing_tid = (uint32_t)pid;
	textdump_note(&o->t, "process", text_upto(task, (size_t)(colon - task.at)));
}

static void
conclude(struct oops *o, const struct survey *s, struct text text)
{
	struct dump *d = o->t.d;
	struct text count;
	char buf[32];

	if (d->n_frames == 0 && o->has_named)
		add_frame(o, &o->named, TRIAGE_TRUST_REPORTED);
	if (d->crashing_tid == 0)
		hung_task(o);
	d->os = TRIAGE_OS_LINUX;
	d->os_kernel = true;
	d->has_exception = true;
	d->reason = oops_reason(&o->t, o->what);
	d->arch = arch_of(o, text);
	adjust(d);
	choose(o);
	d->threads = ARENA_NEW(o->t.arena, struct dump_thread);
	if (d->threads != NULL) {
		d->n_threads = 1;
		d->crashing_thread = 0;
		d->threads[0].tid = d->crashing_tid;
	}
	if (s->fatal + s->warnings > 1) {
		snprintf(buf, sizeof(buf), "%u", s->fatal + s->warnings - 1);
		count = text_of(buf);
		textdump_note(&o->t, "other_events", count);
	}
	if (s->chosen.tier == OOPS_WARNING)
		textdump_note(&o->t, "severity", TEXT("warning"));
}

enum err
oops_read(struct arena *a, struct text text, struct dump *out, struct diag *diag)
{
	struct survey s = { 0 };
	struct oops o = { .t = textdump_new(a, out, TRIAGE_FORMAT_OOPS), .interrupted = -1, .markers = &s.markers };
	struct lines l;
	struct text line, event;

	oops_markers_init(&s.markers);
	text = oops_order(a, text);
	l = (struct lines){ text.at, text.at + text.len };
	while (lines_next(&l, &line))
		survey_line(&s, line);
	survey_close(&s, text.at + text.len);
	if (s.chosen.tier == OOPS_NONE) {
		*diag = (struct diag){ ERR_UNSUPPORTED, "a text without a crash that we know", 0 };
		return diag->code;
	}
	event = (struct text){ s.chosen.begin, (size_t)(s.chosen.end - s.chosen.begin) };
	l = (struct lines){ event.at, event.at + event.len };
	for (size_t i = 0; i < EVENT_LINES && lines_next(&l, &line); i++)
		event_line(&o, line);
	conclude(&o, &s, event);
	return textdump_end(&o.t, diag);
}
