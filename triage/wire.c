/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/reader.h"
#include "base/text.h"
#include "triage/blame.h"

/* A result as flat bytes: little-endian, no pointers, no alignment.
 *
 *	u32 magic, u8 format, os, arch, flags
 *	u32 code, subcode; u64 address
 *	i32 crashing_thread; u32 crashing_tid, thread_count, module_count, process_id
 *	i64 dump_time; i32 blamed, function_frame
 *	text os_version, reason, blame_rule, function_rule, partial_what, stack_end
 *	with FLAG_KERNEL: u32 bugcheck; u64 params[4]; u32 processors; i32 processor;
 *		u64 uptime; text kind, how, build, process
 *	u16 modules { u64 base, size; text path, id, code_id, debug_id, version }
 *	u16 frames { u64 pc, offset; i32 module; u8 trust (0x80: the offset counts from the function); text function;
 *		u64 function_offset }
 *	u16 annotations { text key, value }
 *
 * text: u16 length, bytes.  The signature is not sent: it follows from the rest. */

#define WIRE_MAGIC     0x32544c46 /* "FLT2" */
#define TEXT_MAX_BYTES 1024
#define NONE           0xffff
#define IN_FUNCTION    0x80u /* beside the trust */

enum { FLAG_ADDRESS = 1, FLAG_SIGNATURE = 2, FLAG_PARTIAL = 4, FLAG_KERNEL = 8, FLAG_OS_KERNEL = 16, FLAGS = 32 };

struct writer {
	uint8_t *p;
	size_t cap, len;
	bool full;
};

static void
put_bytes(struct writer *w, const void *p, size_t n)
{
	if (w->full || n > w->cap - w->len) {
		w->full = true;
		return;
	}
	if (n > 0)
		memcpy(w->p + w->len, p, n);
	w->len += n;
}

static void
put_uint(struct writer *w, uint64_t v, unsigned width)
{
	uint8_t b[8];

	for (unsigned i = 0; i < width; i++)
		b[i] = (uint8_t)(v >> 8 * i);
	put_bytes(w, b, width);
}

/* Length of s within max bytes, not cutting a UTF-8 sequence. */
static size_t
clipped(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	if (n <= max)
		return n;
	for (n = max; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

static void
put_text(struct writer *w, const char *s)
{
	size_t n = clipped(s, TEXT_MAX_BYTES);

	put_uint(w, n, 2);
	put_bytes(w, s, n);
}

static void
put_kernel(struct writer *w, const struct triage_kernel *k)
{
	put_uint(w, k->bugcheck, 4);
	for (int i = 0; i < 4; i++)
		put_uint(w, k->params[i], 8);
	put_uint(w, k->processors, 4);
	put_uint(w, (uint32_t)k->processor, 4);
	put_uint(w, k->uptime, 8);
	put_text(w, k->kind);
	put_text(w, k->how);
	put_text(w, k->build);
	put_text(w, k->process);
}

static void
put_fixed(struct writer *w, const struct triage_result *r)
{
	unsigned flags = (r->has_address ? FLAG_ADDRESS : 0u) | (r->has_signature ? FLAG_SIGNATURE : 0u) |
			 (r->partial ? FLAG_PARTIAL : 0u) | (r->has_kernel ? FLAG_KERNEL : 0u) |
			 (r->os_kernel ? FLAG_OS_KERNEL : 0u);

	put_uint(w, WIRE_MAGIC, 4);
	put_uint(w, r->format, 1);
	put_uint(w, r->os, 1);
	put_uint(w, r->arch, 1);
	put_uint(w, flags, 1);
	put_uint(w, r->code, 4);
	put_uint(w, r->subcode, 4);
	put_uint(w, r->address, 8);
	put_uint(w, (uint32_t)r->crashing_thread, 4);
	put_uint(w, r->crashing_tid, 4);
	put_uint(w, r->thread_count, 4);
	put_uint(w, r->module_count, 4);
	put_uint(w, r->process_id, 4);
	put_uint(w, (uint64_t)r->dump_time, 8);
	put_uint(w, (uint32_t)r->blamed, 4);
	put_uint(w, (uint32_t)r->function_frame, 4);
	put_text(w, r->os_version);
	put_text(w, r->reason);
	put_text(w, r->blame_rule);
	put_text(w, r->function_rule);
	put_text(w, r->partial_what);
	put_text(w, r->stack_end);
	if (r->has_kernel)
		put_kernel(w, &r->kernel);
}

static void
put_module(struct writer *w, const struct triage_module *m)
{
	put_uint(w, m->base, 8);
	put_uint(w, m->size, 8);
	put_text(w, m->path);
	put_text(w, m->id);
	put_text(w, m->code_id);
	put_text(w, m->debug_id);
	put_text(w, m->version);
}

static void
put_frame(struct writer *w, const struct triage_frame *f, int32_t module)
{
	put_uint(w, f->pc, 8);
	put_uint(w, f->offset, 8);
	put_uint(w, (uint32_t)module, 4);
	put_uint(w, f->trust | (f->in_function ? IN_FUNCTION : 0u), 1);
	put_text(w, f->function);
	put_uint(w, f->function_offset, 8);
}

static size_t
text_cost(const char *s)
{
	return 2 + clipped(s, TEXT_MAX_BYTES);
}

static size_t
module_cost(const struct triage_module *m)
{
	return 16 + text_cost(m->path) + text_cost(m->id) + text_cost(m->code_id) + text_cost(m->debug_id) +
	       text_cost(m->version);
}

/* What is sent, chosen before a byte of it is written. */
struct plan {
	size_t room;
	uint16_t place[TRIAGE_MAX_MODULES]; /* of a module among those sent, NONE */
	uint16_t sent[TRIAGE_MAX_MODULES];
	size_t n_modules, n_frames, n_annotations;
};

static bool
plan_module(struct plan *p, const struct triage_result *r, size_t i)
{
	size_t cost = module_cost(&r->modules[i]);

	if (p->place[i] != NONE)
		return true;
	if (cost > p->room)
		return false;
	p->room -= cost;
	p->place[i] = (uint16_t)p->n_modules;
	p->sent[p->n_modules++] = (uint16_t)i;
	return true;
}

static void
plan_result(struct plan *p, const struct triage_result *r, size_t n_modules)
{
	memset(p->place, 0xff, sizeof(p->place));
	for (size_t i = 0; i < r->n_frames && i < TRIAGE_MAX_FRAMES; i++) {
		const struct triage_frame *f = &r->frames[i];
		size_t cost = 29 + text_cost(f->function);

		if (cost > p->room || (f->module >= 0 && !plan_module(p, r, (size_t)f->module)) || cost > p->room)
			break;
		p->room -= cost;
		p->n_frames++;
	}
	for (size_t i = 0; i < r->n_annotations && i < TRIAGE_MAX_ANNOTATIONS; i++) {
		size_t cost = text_cost(r->annotations[i].key) + text_cost(r->annotations[i].value);

		if (cost > p->room)
			break;
		p->room -= cost;
		p->n_annotations++;
	}
	for (size_t i = 0; i < n_modules; i++)
		if (!plan_module(p, r, i))
			break;
}

size_t
triage_result_encode(const struct triage_result *r, void *buf, size_t cap)
{
	struct writer w = { buf, cap, 0, false };
	size_t n_modules = r->n_modules < TRIAGE_MAX_MODULES ? r->n_modules : TRIAGE_MAX_MODULES;
	struct plan p;

	put_fixed(&w, r);
	if (w.full || w.cap - w.len < 6)
		return 0;
	p = (struct plan){ .room = w.cap - w.len - 6 };
	plan_result(&p, r, n_modules);
	if ((r->blamed >= 0 && (size_t)r->blamed >= p.n_frames) ||
	    (r->function_frame >= 0 && (size_t)r->function_frame >= p.n_frames))
		return 0;
	put_uint(&w, p.n_modules, 2);
	for (size_t i = 0; i < p.n_modules; i++)
		put_module(&w, &r->modules[p.sent[i]]);
	put_uint(&w, p.n_frames, 2);
	for (size_t i = 0; i < p.n_frames; i++)
		put_frame(&w, &r->frames[i], r->frames[i].module >= 0 ? p.place[r->frames[i].module] : -1);
	put_uint(&w, p.n_annotations, 2);
	for (size_t i = 0; i < p.n_annotations; i++) {
		put_text(&w, r->annotations[i].key);
		put_text(&w, r->annotations[i].value);
	}
	return w.full ? 0 : w.len;
}

/* ---- decoding ---- */

static const char *
get_text(struct arena *a, struct reader *r)
{
	uint16_t n = reader_u16(r);
	const uint8_t *p = reader_bytes(r, n);
	char *s;

	if (p == NULL)
		return "";
	if (n > TEXT_MAX_BYTES || !text_is_utf8((struct text){ (const char *)p, n })) {
		reader_fail(r, ERR_MALFORMED, "a text is too long or not UTF-8");
		return "";
	}
	if ((s = arena_calloc(a, (size_t)n + 1, 1)) == NULL) {
		reader_fail(r, ERR_LIMIT, "the result needs more memory than it is given");
		return "";
	}
	if (n > 0)
		memcpy(s, p, n);
	return s;
}

static unsigned
get_enum(struct reader *r, unsigned limit)
{
	unsigned v = reader_u8(r);

	if (v >= limit) {
		reader_fail(r, ERR_MALFORMED, "a value that is in no list");
		return 0;
	}
	return v;
}

static void
get_kernel(struct arena *a, struct reader *r, struct triage_kernel *k)
{
	k->bugcheck = reader_u32(r);
	for (int i = 0; i < 4; i++)
		k->params[i] = reader_u64(r);
	k->processors = reader_u32(r);
	k->processor = (int32_t)reader_u32(r);
	k->uptime = reader_u64(r);
	k->kind = get_text(a, r);
	k->how = get_text(a, r);
	k->build = get_text(a, r);
	k->process = get_text(a, r);
}

static void
get_fixed(struct arena *a, struct reader *r, struct triage_result *out)
{
	unsigned flags;

	if (reader_u32(r) != WIRE_MAGIC)
		reader_fail(r, ERR_MALFORMED, "not a triage result");
	out->format = (enum triage_format)get_enum(r, TRIAGE_N_FORMATS);
	out->os = (enum triage_os)get_enum(r, TRIAGE_N_OS);
	out->arch = (enum triage_arch)get_enum(r, TRIAGE_N_ARCH);
	flags = get_enum(r, FLAGS);
	out->has_address = flags & FLAG_ADDRESS;
	out->has_signature = flags & FLAG_SIGNATURE;
	out->partial = flags & FLAG_PARTIAL;
	out->has_kernel = flags & FLAG_KERNEL;
	out->os_kernel = flags & FLAG_OS_KERNEL;
	out->code = reader_u32(r);
	out->subcode = reader_u32(r);
	out->address = reader_u64(r);
	out->crashing_thread = (int32_t)reader_u32(r);
	out->crashing_tid = reader_u32(r);
	out->thread_count = reader_u32(r);
	out->module_count = reader_u32(r);
	out->process_id = reader_u32(r);
	out->dump_time = (int64_t)reader_u64(r);
	out->blamed = (int32_t)reader_u32(r);
	out->function_frame = (int32_t)reader_u32(r);
	out->os_version = get_text(a, r);
	out->reason = get_text(a, r);
	out->blame_rule = get_text(a, r);
	out->function_rule = get_text(a, r);
	out->partial_what = get_text(a, r);
	out->stack_end = get_text(a, r);
	if (out->has_kernel)
		get_kernel(a, r, &out->kernel);
	if (out->crashing_thread < -1 || out->thread_count > TRIAGE_MAX_THREADS ||
	    out->module_count > TRIAGE_MAX_MODULES || out->dump_time < 0 || out->dump_time > UINT32_MAX ||
	    (out->crashing_thread >= 0 && (uint32_t)out->crashing_thread >= out->thread_count))
		reader_fail(r, ERR_MALFORMED, "a number out of range");
}

static void
get_modules(struct arena *a, struct reader *r, struct triage_result *out)
{
	size_t n = reader_count(r, reader_u16(r), 26, TRIAGE_MAX_MODULES);
	struct triage_module *m = ARENA_ARRAY(a, struct triage_module, n);

	if (m == NULL)
		reader_fail(r, ERR_LIMIT, "the result needs more memory than it is given");
	for (size_t i = 0; i < n && !reader_failed(r); i++) {
		m[i].base = reader_u64(r);
		m[i].size = reader_u64(r);
		m[i].path = get_text(a, r);
		m[i].id = get_text(a, r);
		m[i].code_id = get_text(a, r);
		m[i].debug_id = get_text(a, r);
		m[i].version = get_text(a, r);
	}
	out->modules = m;
	out->n_modules = n;
	if (n > out->module_count)
		reader_fail(r, ERR_MALFORMED, "more modules than the dump has");
}

static void
get_frames(struct arena *a, struct reader *r, struct triage_result *out)
{
	size_t n = reader_count(r, reader_u16(r), 31, TRIAGE_MAX_FRAMES);
	struct triage_frame *f = ARENA_ARRAY(a, struct triage_frame, n);
	unsigned trust;

	if (f == NULL)
		reader_fail(r, ERR_LIMIT, "the result needs more memory than it is given");
	for (size_t i = 0; i < n && !reader_failed(r); i++) {
		f[i].pc = reader_u64(r);
		f[i].offset = reader_u64(r);
		f[i].module = (int32_t)reader_u32(r);
		trust = reader_u8(r);
		f[i].in_function = trust & IN_FUNCTION;
		f[i].trust = (enum triage_trust)(trust & ~IN_FUNCTION);
		if (f[i].trust >= TRIAGE_N_TRUSTS)
			reader_fail(r, ERR_MALFORMED, "a value that is in no list");
		f[i].function = get_text(a, r);
		f[i].function_offset = reader_u64(r);
		if (f[i].module < -1 || (f[i].module >= 0 && (size_t)f[i].module >= out->n_modules))
			reader_fail(r, ERR_MALFORMED, "a frame in a module that was not sent");
	}
	out->frames = f;
	out->n_frames = n;
	if (out->blamed < -1 || (out->blamed >= 0 && (size_t)out->blamed >= n) || out->function_frame < -1 ||
	    (out->function_frame >= 0 && (size_t)out->function_frame >= n))
		reader_fail(r, ERR_MALFORMED, "the blame is on a frame that was not sent");
}

static void
get_annotations(struct arena *a, struct reader *r, struct triage_result *out)
{
	size_t n = reader_count(r, reader_u16(r), 4, TRIAGE_MAX_ANNOTATIONS);
	struct triage_annotation *t = ARENA_ARRAY(a, struct triage_annotation, n);

	if (t == NULL)
		reader_fail(r, ERR_LIMIT, "the result needs more memory than it is given");
	for (size_t i = 0; i < n && !reader_failed(r); i++) {
		t[i].key = get_text(a, r);
		t[i].value = get_text(a, r);
	}
	out->annotations = t;
	out->n_annotations = n;
}

enum err
triage_result_decode(struct arena *a, const void *buf, size_t size, struct triage_result *out, struct diag *diag)
{
	struct triage_result res = { .module = "", .module_id = "", .title = "", .function = "", .function_title = "" };
	struct reader r;

	reader_init(&r, buf, size, false);
	get_fixed(a, &r, &res);
	get_modules(a, &r, &res);
	get_frames(a, &r, &res);
	get_annotations(a, &r, &res);
	if (!reader_failed(&r) && res.has_signature &&
	    (blame_sign(a, &res) != ERR_OK || blame_sign_function(a, &res) != ERR_OK))
		reader_fail(&r, ERR_LIMIT, "the result needs more memory than it is given");
	if (reader_failed(&r)) {
		*diag = r.err;
		return diag->code;
	}
	*out = res;
	return ERR_OK;
}
