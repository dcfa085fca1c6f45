/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/signature.h"
#include "triage/bugcheck.h"
#include "triage/reason.h"
#include "triage/textscan.h"
#include "triage/utf.h"

/* Events of Windows that tell a crash, as text and as XML: the bugcheck event (System 1001),
 * Kernel-Power 41, Application Error (1000) and Windows Error Reporting (1001).  Where the
 * words are in another language, what follows the colons decides. */

#define DATA_MAX 40

struct event {
	struct textdump t;
	struct text data[DATA_MAX], names[DATA_MAX]; /* of an XML event */
	size_t n_data;
	struct text provider;
	uint64_t id;
	struct text parameters[11]; /* "P1:" to "P10:", by number */
	struct text event_name;
	bool told;
};

/* ---- stop codes ---- */

/* Stop codes that say too little: their first parameter is the exception behind them. */
static bool
carries_status(uint32_t code)
{
	code &= 0xfffffff; /* 0x10000000 marks the same stop without a handler */
	return code == 0x1e || code == 0x3b || code == 0x7e || code == 0x8e;
}

static void
stop(struct event *e, uint64_t code, const uint64_t *params, size_t n)
{
	struct dump *d = e->t.d;
	const char *name = bugcheck_name(code);
	struct triage_kernel *k;

	if (e->told || code == 0 || code > UINT32_MAX)
		return;
	k = ARENA_NEW(e->t.arena, struct triage_kernel);
	if (k == NULL) {
		e->t.full = true;
		return;
	}
	*k = (struct triage_kernel){
		.bugcheck = (uint32_t)code, .kind = "event", .how = "", .build = "", .process = "", .processor = -1
	};
	memcpy(k->params, params, n * sizeof(params[0]));
	d->stop = k;
	d->code = k->bugcheck;
	d->os_kernel = d->has_exception = true;
	d->reason = utf_printf(e->t.arena, "0x%02x %s", k->bugcheck, name != NULL ? name : "UNKNOWN_STOP_CODE");
	if (d->reason != NULL && carries_status(k->bugcheck))
		d->reason = utf_printf(e->t.arena, "%s: 0x%08x", d->reason, (uint32_t)k->params[0]);
	if (d->reason == NULL) {
		d->reason = "";
		e->t.full = true;
	}
	d->blame_rule = "stop-code";
	e->told = true;
}

/* "0x00000050 (0xffff…, 0x0, 0xfffff8…, 0x2)" anywhere in t: no other text looks so. */
static bool
bugcheck_text(struct event *e, struct text t)
{
	uint64_t code, params[4] = { 0 };
	size_t n, k = 0;

	for (size_t i = 0; i + 12 < t.len; i++) {
		struct text s = text_from(t, i);

		if (!text_starts(s, "0x") || (n = text_hex(s, &code)) < 3)
			continue;
		s = text_trim(text_from(s, n));
		if (s.len == 0 || s.at[0] != '(')
			continue;
		s = text_from(s, 1);
		for (k = 0; k < 4; k++) {
			s = text_trim(s);
			n = text_starts(s, "0x") ? text_hex(s, &params[k]) : 0;
			if (n < 3)
				break;
			s = text_trim(text_from(s, n));
			if (s.len > 0 && s.at[0] == ',')
				s = text_from(s, 1);
		}
		if (k < 4)
			continue;
		stop(e, code, params, 4);
		return true;
	}
	return false;
}

/* ---- crashes of programs ---- */

struct app {
	struct text program, version, module, module_version, code, offset;
};

static void
application(struct event *e, const struct app *a)
{
	struct exception_record rec = { 0 };
	struct dump *d = e->t.d;
	struct triage_frame *f;
	char text[REASON_TEXT_MAX];
	uint64_t code, offset;

	if (e->told || a->module.len == 0 || !text_hex_value(a->code, &code) || !text_hex_value(a->offset, &offset) ||
	    code > UINT32_MAX)
		return;
	d->code = rec.code = (uint32_t)code;
	/* the event does not say whether it was a read or a write */
	if (rec.code == 0xc0000005)
		snprintf(text, sizeof(text), "EXCEPTION_ACCESS_VIOLATION");
	else
		reason_text(TRIAGE_OS_WINDOWS, TRIAGE_ARCH_X64, &rec, text);
	d->reason = textdump_copy(&e->t, text_of(text), REASON_TEXT_MAX);
	d->has_exception = true;
	textdump_note(&e->t, "process", a->program);
	textdump_note(&e->t, "version", a->version);
	e->told = true;
	f = textdump_frame(&e->t);
	if (f == NULL)
		return;
	f->trust = TRIAGE_TRUST_CONTEXT;
	f->pc = f->offset = offset;
	if (text_equal(a->module, TEXT("unknown"))) /* what Windows writes of code in no module */
		return;
	f->module = textdump_module(&e->t, a->module, 0);
	if (f->module >= 0)
		d->modules[f->module].version = textdump_copy(&e->t, a->module_version, 64);
}

/* ": a, …: b, …: c": the values behind the colons of one line, at most n. */
static size_t
values(struct text line, struct text *out, size_t n)
{
	size_t k = 0;

	while (k < n && line.len > 0) {
		const char *colon = text_find(line, ": "), *comma;
		struct text v;

		if (colon == NULL)
			break;
		line = text_from(line, (size_t)(colon - line.at) + 2);
		comma = memchr(line.at, ',', line.len);
		/* "1, 2, 0, 4" is one version */
		while (comma != NULL && comma + 2 < line.at + line.len && comma[1] == ' ' && comma[2] >= '0' &&
		       comma[2] <= '9')
			comma = memchr(comma + 1, ',', (size_t)(line.at + line.len - comma - 1));
		v = comma != NULL ? text_upto(line, (size_t)(comma - line.at)) : line;
		line = text_from(line, v.len);
		out[k++] = text_trim(v);
	}
	return k;
}

static bool
has_stamp(const struct text *v)
{
	uint64_t n;

	return text_starts(v[2], "0x") && text_hex_value(v[2], &n) && n <= UINT32_MAX && v[0].len > 0 && v[0].len < 260;
}

/* "Faulting application name: a.exe, version: 1.0, time stamp: 0x…", the same of the module, then
 * code and offset: four lines whose form is the same in every language. */
static void
application_text(struct event *e, struct lines l)
{
	struct app a = { 0 };
	struct text line, v[3];
	int step = 0;

	while (!e->told && lines_next(&l, &line)) {
		size_t n = values(line, v, 3);

		if (n == 3 && has_stamp(v)) {
			if (step == 0 || step > 1) {
				a = (struct app){ .program = v[0], .version = v[1] };
				step = 1;
			} else {
				a.module = v[0];
				a.module_version = v[1];
				step = 2;
			}
		} else if (n == 1 && step >= 2 && text_starts(v[0], "0x")) {
			if (step == 2)
				a.code = v[0];
			else
				a.offset = v[0];
			if (++step == 4)
				application(e, &a);
		}
	}
}

/* ---- Windows Error Reporting: P1 to P10 ---- */

/* "10_0_19045" of a blue screen's P6 → 10.0.19045 */
static void
os_build(struct event *e, struct text v)
{
	char build[32];
	size_t n = 0;

	for (size_t i = 0; i < v.len && n < sizeof(build) - 1; i++) {
		if ((v.at[i] < '0' || v.at[i] > '9') && v.at[i] != '_' && v.at[i] != '.')
			return;
		build[n++] = v.at[i] == '_' ? '.' : v.at[i];
	}
	if (n > 4 && *e->t.d->os_version == '\0')
		e->t.d->os_version = textdump_copy(&e->t, (struct text){ build, n }, sizeof(build));
}

static void
reporting(struct event *e)
{
	const struct text *p = e->parameters;
	struct app a = { .program = p[1], .version = p[2], .module = p[4], .module_version = p[5] };
	uint64_t code, params[4];

	if (text_equal(e->event_name, TEXT("BlueScreen"))) {
		if (!text_hex_value(p[1], &code))
			return;
		for (int i = 0; i < 4; i++)
			if (!text_hex_value(p[2 + i], &params[i]))
				return;
		os_build(e, p[6]);
		stop(e, code, params, 4);
		return;
	}
	if (text_equal(e->event_name, TEXT("APPCRASH"))) {
		a.code = p[7];
		a.offset = p[8];
	} else if (text_starts(e->event_name, "BEX")) {
		a.offset = p[7];
		a.code = p[8];
	} else if (text_equal(e->event_name, TEXT("MoAppCrash"))) {
		a = (struct app){ p[1], p[3], p[5], p[6], p[8], p[9] };
	}
	application(e, &a);
}

/* "P4: bar.dll" lines; the name of the event is the line that holds one of those we know. */
static void
reporting_text(struct event *e, struct lines l)
{
	static const char *const known[] = { "BlueScreen", "APPCRASH", "BEX64", "BEX", "MoAppCrash" };
	struct text line;

	while (lines_next(&l, &line)) {
		struct text t = text_trim(line), rest;
		uint64_t n;
		size_t used;

		for (size_t i = 0; e->event_name.len == 0 && i < sizeof(known) / sizeof(known[0]); i++) {
			size_t len = strlen(known[i]);

			if (t.len >= len + 2 && memcmp(t.at + t.len - len, known[i], len) == 0 &&
			    t.at[t.len - len - 1] == ' ')
				e->event_name = text_from(t, t.len - len);
		}
		if (t.len < 3 || t.at[0] != 'P' || (used = text_dec(text_from(t, 1), &n)) == 0 || n < 1 || n > 10)
			continue;
		rest = text_from(t, 1 + used);
		if (rest.len > 0 && rest.at[0] == ':' && e->event_name.len > 0 && e->parameters[n].at == NULL)
			e->parameters[n] = text_trim(text_from(rest, 1));
		if (n == 10)
			break;
	}
	if (e->event_name.len > 0)
		reporting(e);
}

/* ---- XML ---- */

/* The text of <Data …>…</Data>, one after the other; names are their Name attributes. */
static void
read_data(struct event *e, struct text xml)
{
	const char *p;

	e->n_data = 0;
	while (e->n_data < DATA_MAX && (p = text_find(xml, "<Data")) != NULL) {
		struct text head, body, name = { "", 0 };
		const char *gt, *end;

		xml = text_from(xml, (size_t)(p - xml.at) + 5);
		gt = memchr(xml.at, '>', xml.len);
		if (gt == NULL)
			break;
		head = text_upto(xml, (size_t)(gt - xml.at));
		xml = text_from(xml, head.len + 1);
		if ((p = text_find(head, "Name=")) != NULL && p + 6 < head.at + head.len) {
			name = text_from(head, (size_t)(p - head.at) + 6);
			end = memchr(name.at, p[5], name.len);
			name = end != NULL ? text_upto(name, (size_t)(end - name.at)) : name;
		}
		body = (struct text){ xml.at, 0 };
		if (head.len == 0 || head.at[head.len - 1] != '/') {
			end = text_find(xml, "</Data>");
			if (end == NULL)
				break;
			body = text_upto(xml, (size_t)(end - xml.at));
			xml = text_from(xml, body.len + 7);
		}
		e->names[e->n_data] = name;
		e->data[e->n_data++] = text_trim(body);
	}
}

static struct text
named(const struct event *e, const char *name)
{
	for (size_t i = 0; i < e->n_data; i++)
		if (text_equal(e->names[i], text_of(name)))
			return e->data[i];
	return (struct text){ "", 0 };
}

/* Kernel-Power 41: the code is decimal there, 0 for a loss of power. */
static void
power(struct event *e)
{
	static const char *const params[] = { "BugcheckParameter1", "BugcheckParameter2", "BugcheckParameter3",
					      "BugcheckParameter4" };
	uint64_t code, v[4] = { 0 };

	if (text_dec(named(e, "BugcheckCode"), &code) == 0)
		return;
	for (int i = 0; i < 4; i++)
		text_hex_value(named(e, params[i]), &v[i]);
	stop(e, code, v, 4);
}

static void
one_xml(struct event *e, struct text xml)
{
	struct text id = text_after(xml, "<EventID"), provider = text_after(xml, "<Provider");
	const char *gt = id.at != NULL ? memchr(id.at, '>', id.len) : NULL;
	struct app a;

	if (gt == NULL || text_dec(text_from(id, (size_t)(gt - id.at) + 1), &e->id) == 0 || provider.at == NULL)
		return;
	gt = memchr(provider.at, '>', provider.len);
	provider = gt != NULL ? text_upto(provider, (size_t)(gt - provider.at)) : provider;
	read_data(e, xml);
	if (e->id == 41 && text_find(provider, "Kernel-Power") != NULL) {
		power(e);
	} else if (e->id == 1001 &&
		   (text_find(provider, "SystemErrorReporting") != NULL || text_find(provider, "BugCheck") != NULL)) {
		for (size_t i = 0; i < e->n_data && !e->told; i++)
			bugcheck_text(e, e->data[i]);
	} else if (e->id == 1000 && text_find(provider, "Application Error") != NULL && e->n_data >= 8) {
		a = (struct app){ e->data[0], e->data[1], e->data[3], e->data[4], e->data[6], e->data[7] };
		application(e, &a);
	} else if (e->id == 1001 && text_find(provider, "Windows Error Reporting") != NULL && e->n_data >= 15) {
		e->event_name = e->data[2];
		for (int i = 1; i <= 10; i++)
			e->parameters[i] = e->data[4 + i];
		reporting(e);
	}
}

/* Each <Event> on its own; the first that tells a crash counts. */
static void
read_xml(struct event *e, struct text xml)
{
	while (!e->told && xml.len > 0) {
		const char *end = text_find(xml, "</Event>");
		struct text one = end != NULL ? text_upto(xml, (size_t)(end - xml.at)) : xml;

		one_xml(e, one);
		xml = end != NULL ? text_from(xml, one.len + 8) : (struct text){ xml.at, 0 };
	}
}

/* "Microsoft (R) Windows (R) 10.00. 19045 Multiprocessor Free." (event 6009) and "Windows 10.0.19045". */
static void
find_build(struct event *e, struct text text)
{
	struct text v = text_after(text, "Windows (R) "), rest;
	uint64_t major, minor, build;
	size_t n;
	char buf[64];

	if (v.at == NULL || (n = text_dec(v, &major)) == 0)
		return;
	rest = text_from(v, n + 1);
	if ((n = text_dec(rest, &minor)) == 0)
		return;
	rest = text_from(rest, n);
	while (rest.len > 0 && (rest.at[0] == '.' || rest.at[0] == ' '))
		rest = text_from(rest, 1);
	if (text_dec(rest, &build) == 0 || major > 99 || minor > 99 || build > 999999)
		return;
	snprintf(buf, sizeof(buf), "%u.%u.%u", (unsigned)major, (unsigned)minor, (unsigned)build);
	if (*e->t.d->os_version == '\0')
		e->t.d->os_version = textdump_copy(&e->t, text_of(buf), sizeof(buf));
}

bool
winevent_is(struct text t)
{
	static const char *const words[] = { "<EventID",
					     "<Data Name='param1'>",
					     "Faulting application name: ",
					     "The bugcheck was: ",
					     "BlueScreen",
					     "APPCRASH",
					     "BEX64" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (text_find(t, words[i]) != NULL)
			return true;
	return false;
}

enum err
winevent_read(struct arena *a, struct text text, struct dump *out, struct diag *diag)
{
	struct event e = { .t = textdump_new(a, out, TRIAGE_FORMAT_EVENT) };
	struct lines l = { text.at, text.at + text.len };

	out->os = TRIAGE_OS_WINDOWS;
	find_build(&e, text);
	if (text_find(text, "<EventID") != NULL)
		read_xml(&e, text);
	if (!e.told)
		reporting_text(&e, l);
	if (!e.told)
		application_text(&e, l);
	if (!e.told)
		bugcheck_text(&e, text);
	if (!e.told)
		return textdump_fail(&e.t, ERR_UNSUPPORTED, "a text without a crash that we know", diag);
	return textdump_end(&e.t, diag);
}
