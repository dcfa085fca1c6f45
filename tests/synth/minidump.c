/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "tests/synth/synth.h"

#define MAX_STREAMS 8

static size_t
utf16(struct synth *s, const char *text)
{
	size_t at = synth_u32(s, (uint32_t)(2 * strlen(text)));

	for (const char *p = text; *p != '\0'; p++)
		synth_u16(s, (uint8_t)*p);
	synth_u16(s, 0);
	synth_align(s, 4);
	return at;
}

struct builder {
	struct synth *s;
	const struct synth_crash *c;
	struct synth_places *w;
	uint32_t n_streams;
	size_t stack_at, stack_size, context_at, context_size;
};

static void
stream(struct builder *b, uint32_t type, size_t at)
{
	size_t entry = b->w->directory + 12 * b->n_streams++;

	synth_patch(b->s, entry, type, 4);
	synth_patch(b->s, entry + 4, b->s->len - at, 4);
	synth_patch(b->s, entry + 8, at, 4);
	synth_patch(b->s, b->w->n_streams, b->n_streams, 4);
}

static size_t
list(struct builder *b, size_t n, size_t *count_at)
{
	*count_at = synth_u32(b->s, (uint32_t)n);
	if (b->c->padded_lists)
		synth_u32(b->s, 0);
	return *count_at;
}

static void
put_context(struct builder *b)
{
	const struct synth_crash *c = b->c;
	struct synth *s = b->s;
	size_t at;

	synth_align(s, 16);
	switch (c->cpu) {
	case SYNTH_X86:
		at = synth_zero(s, b->context_size = 716);
		synth_patch(s, at, 0x1003f, 4);
		synth_patch(s, at + 180, c->fp, 4);
		synth_patch(s, at + 184, c->pc, 4);
		synth_patch(s, at + 196, c->sp, 4);
		break;
	case SYNTH_X64:
		at = synth_zero(s, b->context_size = 1232);
		synth_patch(s, at + 48, 0x10001f, 4);
		synth_patch(s, at + 152, c->sp, 8);
		synth_patch(s, at + 160, c->fp, 8);
		synth_patch(s, at + 248, c->pc, 8);
		break;
	case SYNTH_ARM:
		at = synth_zero(s, b->context_size = 368);
		synth_patch(s, at, 0x40000006, 4);
		synth_patch(s, at + 4 + 4 * (c->platform == 0x8102 ? 7 : 11), c->fp, 4);
		synth_patch(s, at + 4 + 4 * 13, c->sp, 4);
		synth_patch(s, at + 4 + 4 * 14, c->lr, 4);
		synth_patch(s, at + 4 + 4 * 15, c->pc, 4);
		break;
	case SYNTH_ARM64:
	case SYNTH_ARM64_OLD:
	default:
		at = synth_zero(s, b->context_size = c->cpu == SYNTH_ARM64 ? 912 : 796);
		if (c->cpu == SYNTH_ARM64)
			synth_patch(s, at, 0x400007, 4);
		else
			synth_patch(s, at, 0x80000006, 8);
		synth_patch(s, at + 8 + 8 * 29, c->fp, 8);
		synth_patch(s, at + 8 + 8 * 30, c->lr, 8);
		synth_patch(s, at + 8 + 8 * 31, c->sp, 8);
		synth_patch(s, at + 8 + 8 * 32, c->pc, 8);
	}
	b->context_at = at;
}

static void
put_system_info(struct builder *b)
{
	static const uint16_t arch[] = { 0, 9, 5, 12, 0x8003 };
	struct synth *s = b->s;
	size_t csd = utf16(s, "test"), at;

	at = synth_u16(s, arch[b->c->cpu]);
	synth_zero(s, 6);
	synth_u32(s, 10);
	synth_u32(s, 0);
	synth_u32(s, 19045);
	synth_u32(s, b->c->platform);
	synth_u32(s, (uint32_t)csd);
	synth_zero(s, 28);
	stream(b, 7, at);
}

static void
put_threads(struct builder *b)
{
	struct synth *s = b->s;
	size_t at = list(b, b->c->n_threads, &b->w->thread_count);

	b->w->threads = s->len;
	for (size_t i = 0; i < b->c->n_threads; i++) {
		bool crashed = i + 1 == b->c->n_threads;

		synth_u32(s, SYNTH_TID(i));
		synth_zero(s, 20);
		synth_u64(s, crashed ? b->c->stack_base : 0);
		synth_u32(s, crashed ? (uint32_t)b->stack_size : 0);
		synth_u32(s, crashed ? (uint32_t)b->stack_at : 0);
		synth_u32(s, (uint32_t)b->context_size);
		synth_u32(s, (uint32_t)b->context_at);
	}
	stream(b, 3, at);
}

/* The CodeView record of m; returns its size, 0 without one. */
static size_t
put_codeview(struct synth *s, const struct synth_module *m)
{
	size_t at = s->len;

	switch (m->cv) {
	case SYNTH_CV_PDB70:
		synth_u32(s, 0x53445352);
		synth_bytes(s, m->id, 16);
		synth_u32(s, m->age);
		synth_bytes(s, "a.pdb", 6);
		break;
	case SYNTH_CV_PDB20:
		synth_u32(s, 0x3031424e);
		synth_u32(s, 0);
		synth_u32(s, m->timestamp);
		synth_u32(s, m->age);
		synth_bytes(s, "a.pdb", 6);
		break;
	case SYNTH_CV_ELF:
		synth_u32(s, 0x4270454c);
		synth_bytes(s, m->id, m->id_len);
		break;
	case SYNTH_CV_NONE:
	default:
		break;
	}
	return s->len - at;
}

static void
put_modules(struct builder *b)
{
	size_t names[64], cvs[64], cv_sizes[64], at, n = b->c->n_modules < 64 ? b->c->n_modules : 64;
	struct synth *s = b->s;

	for (size_t i = 0; i < n; i++) {
		names[i] = utf16(s, b->c->modules[i].path);
		cvs[i] = s->len;
		cv_sizes[i] = put_codeview(s, &b->c->modules[i]);
		synth_align(s, 4);
	}
	at = list(b, n, &b->w->module_count);
	b->w->modules = s->len;
	for (size_t i = 0; i < n; i++) {
		const struct synth_module *m = &b->c->modules[i];
		bool version = m->version[0] || m->version[1] || m->version[2] || m->version[3];

		synth_u64(s, m->base);
		synth_u32(s, m->size);
		synth_u32(s, 0);
		synth_u32(s, m->timestamp);
		synth_u32(s, (uint32_t)names[i]);
		synth_u32(s, version ? 0xfeef04bd : 0);
		synth_u32(s, version ? 0x10000 : 0);
		synth_u32(s, (uint32_t)m->version[0] << 16 | m->version[1]);
		synth_u32(s, (uint32_t)m->version[2] << 16 | m->version[3]);
		synth_zero(s, 9 * 4);
		synth_u32(s, (uint32_t)cv_sizes[i]);
		synth_u32(s, (uint32_t)cvs[i]);
		synth_zero(s, 8 + 16);
	}
	stream(b, 4, at);
}

static void
put_memory(struct builder *b)
{
	struct synth *s = b->s;
	size_t at;

	if (b->c->memory64) {
		at = b->w->memory_count = synth_u64(s, 1);
		synth_u64(s, b->stack_at);
		b->w->memory = synth_u64(s, b->c->stack_base);
		synth_u64(s, b->stack_size);
		stream(b, 9, at);
		return;
	}
	at = list(b, 1, &b->w->memory_count);
	b->w->memory = synth_u64(s, b->c->stack_base);
	synth_u32(s, (uint32_t)b->stack_size);
	synth_u32(s, (uint32_t)b->stack_at);
	stream(b, 5, at);
}

static void
put_exception(struct builder *b)
{
	const struct synth_crash *c = b->c;
	struct synth *s = b->s;
	size_t at = synth_u32(s, SYNTH_TID(c->n_threads - 1));

	synth_u32(s, 0);
	synth_u32(s, c->code);
	synth_u32(s, c->flags);
	synth_u64(s, 0);
	synth_u64(s, c->address);
	synth_u32(s, c->n_params);
	synth_u32(s, 0);
	for (int i = 0; i < 15; i++)
		synth_u64(s, c->params[i]);
	synth_u32(s, (uint32_t)b->context_size);
	synth_u32(s, (uint32_t)b->context_at);
	b->w->exception = at;
	stream(b, 6, at);
}

static void
put_misc(struct builder *b)
{
	size_t at = synth_u32(b->s, 24);

	synth_u32(b->s, 1);
	synth_u32(b->s, SYNTH_PID);
	synth_zero(b->s, 12);
	stream(b, 15, at);
}

void
synth_minidump(struct synth *out, const struct synth_crash *c, struct synth_places *where)
{
	struct synth_places ignored;
	struct builder b = { .s = out, .c = c, .w = where != NULL ? where : &ignored };

	*b.w = (struct synth_places){ 0 };
	synth_u32(out, 0x504d444d);
	synth_u32(out, 0xa793);
	b.w->n_streams = synth_u32(out, 0);
	synth_u32(out, 32);
	synth_u32(out, 0);
	synth_u32(out, 1721367000); /* 19 July 2024 */
	synth_u64(out, 0);
	b.w->directory = synth_zero(out, MAX_STREAMS * 12);
	b.stack_at = out->len;
	for (size_t i = 0; i < c->n_stack; i++)
		synth_word(out, c->stack[i], synth_width(c->cpu));
	b.stack_size = out->len - b.stack_at;
	put_context(&b);
	b.w->context = b.context_at;
	put_system_info(&b);
	put_threads(&b);
	put_modules(&b);
	put_memory(&b);
	if (!c->no_exception)
		put_exception(&b);
	put_misc(&b);
}
