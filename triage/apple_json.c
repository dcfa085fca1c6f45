/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/apple.h"
#include "triage/jsonscan.h"
#include "triage/utf.h"

/* Apple's .ips: a line of JSON that says what follows, then a JSON report; some tools keep only
 * the second.  Panics have their text inside. */

struct ips {
	struct textdump t;
	struct text head, body;
	struct text images;
	int32_t *modules; /* of images, by index; -1: none */
	size_t n_images;
};

static void
note(struct ips *p, const char *key, struct text value)
{
	const char *s = jsonscan_string(&p->t, value, 1024);

	textdump_note(&p->t, key, text_of(s));
}

static struct text
string(struct ips *p, struct text value, size_t max)
{
	return text_of(jsonscan_string(&p->t, value, max));
}

static void
read_images(struct ips *p)
{
	struct text list = jsonscan_member(p->body, "usedImages"), image, v, path;
	struct dump *d = p->t.d;
	bool first = true;

	p->modules = ARENA_ARRAY(p->t.arena, int32_t, TRIAGE_MAX_MODULES);
	if (p->modules == NULL) {
		p->t.full = true;
		return;
	}
	while (p->n_images < TRIAGE_MAX_MODULES && jsonscan_next(&list, &first, &image)) {
		uint64_t base = 0, size = 0;
		int32_t m = -1;

		jsonscan_number(jsonscan_member(image, "base"), &base);
		jsonscan_number(jsonscan_member(image, "size"), &size);
		path = string(p, jsonscan_member(image, "path"), 1024);
		if (path.len == 0)
			path = string(p, jsonscan_member(image, "name"), TEXT_NAME_MAX);
		if (path.len > 0 && (base != 0 || size != 0))
			m = textdump_module(&p->t, path, base);
		p->modules[p->n_images++] = m;
		if (m < 0)
			continue;
		d->modules[m].size = size <= UINT64_MAX - base ? size : 0;
		d->modules[m].id = d->modules[m].debug_id =
			jsonscan_string(&p->t, jsonscan_member(image, "uuid"), MODULE_ID_MAX);
		v = jsonscan_member(image, "CFBundleShortVersionString");
		d->modules[m].version = jsonscan_string(&p->t, v, 64);
	}
}

static void
read_frame(struct ips *p, struct text frame)
{
	uint64_t index, offset = 0, base = 0;
	struct triage_frame *f;
	int32_t m = -1;

	if (jsonscan_number(jsonscan_member(frame, "imageIndex"), &index) && index < p->n_images)
		m = p->modules[index];
	jsonscan_number(jsonscan_member(frame, "imageOffset"), &offset);
	if (m >= 0)
		base = p->t.d->modules[m].base;
	f = apple_frame(&p->t, base + offset, p->t.d->n_frames == 0, (struct text){ NULL, 0 }, 0);
	if (f == NULL)
		return;
	if (m >= 0 && f->pc >= base) { /* the writer knows better than the addresses */
		f->module = m;
		f->offset = f->pc - base;
	}
	f->function = jsonscan_string(&p->t, jsonscan_member(frame, "symbol"), TEXT_NAME_MAX);
}

static void
read_threads(struct ips *p)
{
	struct text list = jsonscan_member(p->body, "threads"), thread, chosen = { NULL, 0 }, frames, frame;
	uint64_t faulting = UINT64_MAX, id;
	uint32_t n = 0, crashed = UINT32_MAX;
	bool first = true;

	jsonscan_number(jsonscan_member(p->body, "faultingThread"), &faulting);
	while (n < TRIAGE_MAX_THREADS && jsonscan_next(&list, &first, &thread)) {
		bool triggered = jsonscan_true(jsonscan_member(thread, "triggered"));

		if (triggered || (crashed == UINT32_MAX && n == faulting)) {
			chosen = thread;
			crashed = n;
			if (triggered)
				faulting = n;
		}
		n++;
	}
	if (chosen.len > 0) {
		if (jsonscan_number(jsonscan_member(chosen, "id"), &id) && id <= UINT32_MAX)
			p->t.d->crashing_tid = (uint32_t)id;
		note(p, "thread", jsonscan_member(chosen, "name"));
		note(p, "queue", jsonscan_member(chosen, "queue"));
		frames = jsonscan_member(chosen, "frames");
		for (first = true; p->t.d->n_frames < TRIAGE_MAX_FRAMES && jsonscan_next(&frames, &first, &frame);)
			read_frame(p, frame);
	}
	apple_threads(&p->t, n, crashed);
}

static void
read_exception(struct ips *p)
{
	struct text e = jsonscan_member(p->body, "exception"), raw = jsonscan_member(e, "rawCodes"), v;
	struct text type = string(p, jsonscan_member(e, "type"), 64),
		    signal = string(p, jsonscan_member(e, "signal"), 64),
		    subtype = string(p, jsonscan_member(e, "subtype"), 256);
	uint64_t codes[2];
	size_t n = 0;

	for (bool first = true; n < 2 && jsonscan_next(&raw, &first, &v) && jsonscan_number(v, &codes[n]);)
		n++;
	if (type.len > 0)
		apple_reason(&p->t, type, signal, codes, n, subtype);
}

/* "asi": {"libsystem_c.dylib": ["abort() called"]}: the first line of each. */
static void
read_information(struct ips *p)
{
	struct text asi = jsonscan_member(p->body, "asi"), name, list, v;
	struct text why = jsonscan_member(jsonscan_member(p->body, "termination"), "indicator");
	bool first = true;

	note(p, "termination", why);
	if (asi.len > 0 && asi.at[0] == '{' && jsonscan_pair(&asi, &name, &list) && jsonscan_next(&list, &first, &v))
		note(p, "application_information", v);
}

static void
read_process(struct ips *p)
{
	struct text os = jsonscan_member(p->body, "osVersion"), v;
	uint64_t n;

	v = string(p, jsonscan_member(p->head, "os_version"), 128);
	if (v.len == 0)
		v = string(p, jsonscan_member(os, "train"), 128);
	apple_os(&p->t, v);
	apple_arch(&p->t, string(p, jsonscan_member(p->body, "cpuType"), 32));
	if (jsonscan_true(jsonscan_member(p->body, "translated")))
		textdump_note(&p->t, "translated", TEXT("true"));
	note(p, "process", jsonscan_member(p->body, "procName"));
	note(p, "hardware", jsonscan_member(p->body, "modelCode"));
	note(p, "bug_type", jsonscan_member(p->head, "bug_type"));
	note(p, "version", jsonscan_member(p->head, "app_version"));
	note(p, "identifier", jsonscan_member(p->head, "bundleID"));
	if (jsonscan_number(jsonscan_member(p->body, "pid"), &n) && n <= UINT32_MAX)
		p->t.d->process_id = (uint32_t)n;
}

enum err
applejson_read(struct arena *a, struct text text, struct dump *out, struct diag *diag)
{
	struct ips p = { .t = textdump_new(a, out, TRIAGE_FORMAT_APPLE) };
	struct text panic, rest;

	p.head = jsonscan_value(text, &rest);
	p.body = jsonscan_value(rest, NULL);
	if (p.body.len == 0 || p.body.at[0] != '{')
		p.body = p.head; /* only one part */
	panic = jsonscan_member(p.body, "panicString");
	if (panic.len == 0)
		panic = jsonscan_member(p.body, "macOSPanicString");
	if (panic.len > 0) {
		panic = string(&p, panic, panic.len);
		if (p.t.full)
			return textdump_end(&p.t, diag);
		return applepanic_read(a, panic, out, diag);
	}
	read_process(&p);
	read_images(&p);
	read_exception(&p);
	read_threads(&p);
	read_information(&p);
	if (!out->has_exception && out->n_frames == 0)
		return textdump_fail(&p.t, ERR_UNSUPPORTED, "a report of Apple's that is about no crash", diag);
	return textdump_end(&p.t, diag);
}
