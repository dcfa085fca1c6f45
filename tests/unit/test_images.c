/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/synth/synth.h"
#include "triage/functions.h"
#include "triage/images.h"
#include "triage/unwind.h"

#define BASE  UINT64_C(0x7f0000000000)
#define STACK UINT64_C(0x7fff00000000)

static const uint8_t build_id[20] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 };
#define BUILD_ID "0102030405060708090a0b0c0d0e0f1011121314"
#define DEBUG_ID "0403020106050807090a0b0c0d0e0f100"

/* ---- reading ---- */

struct opened {
	struct synth s;
	struct arena *arena;
	struct elfimage *e;
};

static void
open_elf(struct opened *o, const struct synth_elf *c)
{
	struct synth_elf copy = *c;
	struct diag diag;

	*o = (struct opened){ .arena = arena_new(1 << 20) };
	memcpy(copy.id, build_id, sizeof(build_id));
	synth_elf(&o->s, &copy);
	assert_int_equal(elfimage_open(o->arena, o->s.p, o->s.len, &o->e, &diag), ERR_OK);
}

static void
close_elf(struct opened *o)
{
	elfimage_close(o->e);
	arena_free(o->arena);
	synth_free(&o->s);
}

static void
test_identity(void **state)
{
	struct image_identity id;
	struct opened o;
	struct diag diag;

	(void)state;
	open_elf(&o, &(struct synth_elf){ .machine = EM_X86_64 });
	assert_int_equal(image_identify(o.s.p, o.s.len, &id, &diag), ERR_OK);
	assert_int_equal(id.kind, IMAGE_CODE);
	assert_int_equal(id.arch, TRIAGE_ARCH_X64);
	assert_string_equal(id.key.code_id, BUILD_ID);
	assert_string_equal(id.key.debug_id, DEBUG_ID);
	assert_true(id.has_unwind && id.has_functions && !id.key.pe);
	/* .text without bytes: split off */
	synth_patch(&o.s, SYNTH_ELF_SECTIONS + 64 + 4, SHT_NOBITS, 4);
	assert_int_equal(image_identify(o.s.p, o.s.len, &id, &diag), ERR_OK);
	assert_int_equal(id.kind, IMAGE_DEBUG);
	assert_false(id.has_unwind);
	for (size_t n = 0; n < o.s.len; n += n < 0x300 ? 1 : 64)
		image_identify(o.s.p, n, &id, &diag);
	close_elf(&o);
	assert_int_equal(image_identify("text", 4, &id, &diag), ERR_UNSUPPORTED);
	assert_int_equal(image_identify("", 0, &id, &diag), ERR_UNSUPPORTED);
}

static void
test_records_by_table_and_by_index(void **state)
{
	static const struct synth_elf kinds[] = {
		{ .machine = EM_X86_64 },
		{ .machine = EM_X86_64, .no_header = true },
		{ .machine = EM_X86_64, .no_sections = true },
	};

	(void)state;
	for (size_t k = 0; k <= sizeof(kinds) / sizeof(kinds[0]); k++) {
		bool other_table = k == sizeof(kinds) / sizeof(kinds[0]);
		struct opened o;
		struct elf_fde f;

		open_elf(&o, &kinds[other_table ? 0 : k]);
		if (other_table) /* a table of a kind we do not search */
			o.s.p[SYNTH_ELF_HEADER + 3] = 0x1b;
		for (uint64_t at = 0; at < SYNTH_ELF_SIZE; at += 16) {
			uint64_t i = (at - SYNTH_ELF_CODE) / SYNTH_ELF_FUNCTION;

			assert_int_equal(elfimage_fde(o.e, at, &f), at >= SYNTH_ELF_CODE && i < 3);
			if (at < SYNTH_ELF_CODE || i >= 3)
				continue;
			assert_int_equal(f.start, SYNTH_ELF_CODE + i * SYNTH_ELF_FUNCTION);
			assert_int_equal(f.size, SYNTH_ELF_FUNCTION);
			assert_false(f.signal);
		}
		assert_false(elfimage_fde(o.e, UINT64_MAX, &f));
		close_elf(&o);
	}
}

static void
test_functions(void **state)
{
	struct opened o;
	uint64_t start;

	(void)state;
	open_elf(&o, &(struct synth_elf){ .machine = EM_AARCH64 });
	assert_string_equal(elfimage_function(o.e, SYNTH_ELF_CODE, &start), "first");
	assert_string_equal(elfimage_function(o.e, SYNTH_ELF_CODE + 0xff, &start), "_ZN2av6Engine3runEv");
	assert_int_equal(start, SYNTH_ELF_CODE + 0x80);
	assert_string_equal(elfimage_function(o.e, SYNTH_ELF_CODE + 0x180, &start), "");
	assert_string_equal(elfimage_function(o.e, SYNTH_ELF_CODE - 1, &start), "");
	assert_string_equal(function_demangle(o.arena, "_ZN2av6Engine3runEv"), "av::Engine::run");
	assert_string_equal(function_demangle(o.arena, "_ZN4core9panicking5panic17h0123456789abcdefE"),
			    "core::panicking::panic");
	assert_string_equal(function_demangle(o.arena, "_RNvC6_123foo3bar"), "123foo::bar");
	assert_string_equal(function_demangle(o.arena, "main"), "main");
	assert_string_equal(function_demangle(o.arena, "_Znot\xff"), "_Znot\xef\xbf\xbd");
	close_elf(&o);
}

static void
test_lies(void **state)
{
	static const struct {
		size_t at;
		uint64_t value;
		unsigned width;
	} lies[] = {
		{ 56, 0xffff, 2 }, /* 65,535 program headers, 66,000 by way of sections */
		{ 60, 0, 2 },      /* count of sections in the first one */
		{ SYNTH_ELF_SECTIONS + 3 * 64 + 32, UINT64_C(1) << 40, 8 }, /* bytes of symbols */
		{ SYNTH_ELF_SECTIONS + 3 * 64 + 24, UINT64_MAX, 8 },        /* where they are */
		{ SYNTH_ELF_SECTIONS + 2 * 64 + 32, UINT64_C(1) << 60, 8 }, /* bytes of .eh_frame */
		{ SYNTH_ELF_HEADER + 8, 0xffffffff, 4 },                    /* entries of the table */
		{ SYNTH_ELF_FRAMES, 0xffffffff, 4 },                        /* a record's length */
		{ 64 + 32, UINT64_MAX, 8 },                                 /* bytes of a segment */
		{ 64 + 40, UINT64_MAX, 8 },
		{ 32, UINT64_MAX - 8, 8 },                 /* where the program headers are */
		{ 40, UINT64_MAX - 8, 8 },                 /* the sections */
		{ SYNTH_ELF_SYMBOLS + 24, 0xfffffff0, 4 }, /* a name */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct arena *a = arena_new(1 << 20);
		struct synth s = { 0 };
		struct elfimage *e;
		struct elf_fde f;
		struct diag diag;
		uint64_t start;

		synth_elf(&s, &(struct synth_elf){ .machine = EM_X86_64 });
		synth_patch(&s, lies[i].at, lies[i].value, lies[i].width);
		if (elfimage_open(a, s.p, s.len, &e, &diag) == ERR_OK)
			for (uint64_t at = 0; at < SYNTH_ELF_SIZE; at += 64) {
				elfimage_fde(e, at, &f);
				elfimage_function(e, at, &start);
			}
		else
			assert_non_null(diag.what);
		arena_free(a);
		synth_free(&s);
	}
}

/* ---- symbol files, PE exports ---- */

/* Every frame would read them again. */
static void
test_endless_cfi(void **state)
{
	static const char head[] = "MODULE Linux x86_64 49D54F782D336E82D23F18C17C6F320A0 a\n"
				   "STACK CFI INIT 1000 20 .cfa: $rsp 8 + .ra: .cfa 8 - ^\n",
			  line[] = "STACK CFI 1001 .cfa: $rsp 8 +\n",
			  last[] = "STACK CFI INIT 2000 20 .cfa: $rsp 8 + .ra: .cfa 8 - ^\n";
	const size_t lines = 1 << 16;
	struct arena *a = arena_new(16 << 20);
	char *text = malloc(sizeof(head) + lines * sizeof(line) + sizeof(last)), *p;
	struct symfile_cfi cfi;
	struct symfile *s;
	struct diag diag;

	(void)state;
	assert_non_null(text);
	p = text + sprintf(text, "%s", head);
	for (size_t i = 0; i < lines; i++)
		p += sprintf(p, "%s", line);
	p += sprintf(p, "%s", last);
	assert_int_equal(symfile_open(a, text, (size_t)(p - text), &s, &diag), ERR_OK);
	assert_false(symfile_cfi(s, 0x1010, &cfi));
	assert_true(symfile_cfi(s, 0x2010, &cfi) && cfi.deltas.len == 0);
	arena_free(a);
	free(text);
}

static void
test_symbol_file(void **state)
{
	static const char text[] =
		"MODULE Linux x86_64 "
		"49D54F782D336E82D23F18C17C6F320A0 libav.so\r\n"
		"INFO CODE_ID 784FD549332D826ED23F18C17C6F320A\n"
		"FUNC 1000 20 0 first(int)\n1000 8 12 1\nFUNC m 1040 10 4 twice\nPUBLIC 1100 0 tail\n"
		"STACK CFI INIT 1000 20 .cfa: $rsp 8 +\nSTACK CFI 1004 .cfa: $rsp 16 +\nSTACK CFI 1008 $rbx: ^\n"
		"STACK CFI INIT 1040 10 .cfa: $rsp 32 +\n"
		"STACK WIN 4 2000 100 1 1 c 4 8 0 1 $T0 .raSearch =\nSTACK WIN 0 2010 10 1 1 0 0 0 0 0 1\n"
		"FUNC zz bad line\nSTACK WIN 4\nFUNC";
	struct arena *a = arena_new(1 << 20);
	struct symfile_function f;
	struct symfile_cfi cfi;
	struct symfile_win win;
	struct symfile *s;
	struct diag diag;

	(void)state;
	assert_int_equal(symfile_open(a, text, sizeof(text) - 1, &s, &diag), ERR_OK);
	assert_string_equal(s->debug_id, "49d54f782d336e82d23f18c17c6f320a0");
	assert_string_equal(s->code_id, "784fd549332d826ed23f18c17c6f320a");
	assert_string_equal(s->name, "libav.so");
	assert_true(symfile_function(s, 0x101f, &f));
	assert_true(text_equal(f.name, TEXT("first(int)")) && f.start == 0x1000 && f.size == 0x20);
	assert_false(symfile_function(s, 0x1020, &f)); /* behind it, and no PUBLIC */
	assert_true(symfile_function(s, 0x1044, &f) && text_equal(f.name, TEXT("twice")) && f.parameter_bytes == 4);
	assert_true(symfile_function(s, 0x5000, &f) && text_equal(f.name, TEXT("tail")) && f.size == 0);
	assert_true(symfile_cfi(s, 0x1010, &cfi));
	assert_true(text_equal(cfi.rules, TEXT(".cfa: $rsp 8 +")));
	assert_true(text_equal(cfi.deltas, TEXT("STACK CFI 1004 .cfa: $rsp 16 +\nSTACK CFI 1008 $rbx: ^")));
	assert_true(symfile_cfi(s, 0x1040, &cfi) && cfi.deltas.len == 0);
	assert_false(symfile_cfi(s, 0x1030, &cfi));
	assert_true(symfile_win(s, 0x2014, &win) && win.type == 4 && win.parameters == 12 && win.saved == 4);
	assert_true(text_equal(win.program, TEXT("$T0 .raSearch =")));
	assert_true(symfile_has_stack(s));
	arena_free(a);
}

static void
test_exports(void **state)
{
	enum { AT = SYNTH_PE_RECORDS, FUNCTIONS = AT + 64, NAMES = AT + 80, ORDINALS = AT + 96, TEXTS = AT + 112 };
	static const uint32_t table[] = { SYNTH_PE_CODE + 0x60, SYNTH_PE_CODE + 0x80, SYNTH_PE_RECORDS };
	struct arena *a = arena_new(1 << 20);
	struct synth records = { 0 }, s = { 0 };
	struct peimage *pe;
	struct diag diag;
	uint64_t start;

	(void)state;
	synth_zero(&records, 20);
	synth_u32(&records, 2);
	synth_u32(&records, 2);
	synth_u32(&records, FUNCTIONS);
	synth_u32(&records, NAMES);
	synth_u32(&records, ORDINALS);
	synth_zero(&records, 64 - records.len);
	synth_u32(&records, SYNTH_PE_CODE + 0x100);
	synth_u32(&records, SYNTH_PE_CODE + 0x40);
	synth_zero(&records, 8);
	synth_u32(&records, TEXTS);
	synth_u32(&records, TEXTS + 4);
	synth_zero(&records, 8);
	synth_u16(&records, 0);
	synth_u16(&records, 1);
	synth_zero(&records, 12);
	synth_bytes(&records, "Run\0Ask", 8);
	synth_pe(&s, &(struct synth_pe){ .machine = 0x8664,
					 .timestamp = 0x1234,
					 .records = records.p,
					 .n_records = records.len,
					 .table = table,
					 .n_table = 3 });
	synth_patch(&s, 0x80 + 24 + 112, AT, 4);
	synth_patch(&s, 0x80 + 24 + 116, 40, 4);
	assert_int_equal(peimage_open(a, s.p, s.len, &pe, &diag), ERR_OK);
	assert_int_equal(strncmp(pe->code_id, "00001234", 8), 0);
	assert_string_equal(peimage_function(pe, SYNTH_PE_CODE + 0x50, &start), "Ask");
	assert_int_equal(start, SYNTH_PE_CODE + 0x40);
	assert_string_equal(peimage_function(pe, SYNTH_PE_CODE + 0x100, &start), "Run");
	assert_string_equal(peimage_function(pe, SYNTH_PE_CODE, &start), "");
	assert_string_equal(peimage_function(pe, SYNTH_PE_CODE + 0x70, &start), ""); /* a function without a name */
	assert_string_equal(peimage_function(pe, SYNTH_PE_CODE + 0x90, &start), ""); /* a leaf behind it */
	assert_string_equal(peimage_function(pe, SYNTH_PE_RECORDS, &start), "");
	for (size_t n = 0; n < 0x200; n++)
		peimage_open(a, s.p, n, &pe, &diag);
	arena_free(a);
	synth_free(&s);
	synth_free(&records);
}

/* Section headers of synth_pe(): behind the optional header, 40 bytes each; sizes and RVAs at 8 and 12. */
#define PE_SECTIONS (0x80 + 24 + 240)

static enum err
open_patched(size_t at, uint64_t v, unsigned width)
{
	struct arena *a = arena_new(1 << 20);
	struct synth s = { 0 };
	struct peimage *pe = NULL;
	struct diag diag;
	enum err e;
	uint64_t len;

	synth_pe(&s, &(struct synth_pe){ .machine = 0x8664 });
	synth_patch(&s, at, v, width);
	e = peimage_open(a, s.p, s.len, &pe, &diag);
	for (uint64_t rva = 0; e == ERR_OK && rva < UINT32_MAX; rva += 0x7ff001) {
		const uint8_t *p = peimage_at(pe, rva, &len);

		assert_true(p == NULL || (p >= s.p && len <= s.len - (size_t)(p - s.p)));
	}
	synth_free(&s);
	arena_free(a);
	return e;
}

static void
test_hostile_sections(void **state)
{
	(void)state;
	assert_int_equal(open_patched(0, 0x5a4d, 2), ERR_OK);
	/* .text reaches into .rdata, lies behind it, covers it, wraps; .rdata lies in .text */
	assert_int_equal(open_patched(PE_SECTIONS + 8, 0x2001, 4), ERR_MALFORMED);
	assert_int_equal(open_patched(PE_SECTIONS + 12, 0x3800, 4), ERR_MALFORMED);
	assert_int_equal(open_patched(PE_SECTIONS + 8, 0xffffffff, 4), ERR_MALFORMED);
	assert_int_equal(open_patched(PE_SECTIONS + 40 + 12, 0x1800, 4), ERR_MALFORMED);
	/* the last one is cut at the end of the image; one beyond it is none */
	assert_int_equal(open_patched(PE_SECTIONS + 80 + 8, 0x10000, 4), ERR_OK);
	assert_int_equal(open_patched(PE_SECTIONS + 80 + 12, 0xfffff000, 4), ERR_OK);
	/* bytes anywhere in the file */
	assert_int_equal(open_patched(PE_SECTIONS + 20, 0xfffffff0, 4), ERR_OK);
	assert_int_equal(open_patched(PE_SECTIONS + 16, 0xffffffff, 4), ERR_OK);
	/* 65,535 sections */
	assert_int_equal(open_patched(0x80 + 6, 0xffff, 2), ERR_LIMIT);
	/* an optional header that is not there */
	assert_int_equal(open_patched(0x80 + 20, 0xffff, 2), ERR_TRUNCATED);
}

/* Exports that point anywhere name nothing that is no code. */
static void
test_hostile_exports(void **state)
{
	enum { AT = SYNTH_PE_RECORDS };
	static const uint32_t places[] = { 0,      1,      0x1000,     0x1fff,     0x2fff,    0x3000,
					   0x4fff, 0x5000, 0x7fffffff, 0xfffffff0, 0xffffffff };
	const size_t n = sizeof(places) / sizeof(places[0]);

	(void)state;
	for (size_t i = 0; i < n * n * 4; i++) {
		struct arena *a = arena_new(1 << 20);
		struct synth records = { 0 }, s = { 0 };
		struct peimage *pe;
		struct diag diag;
		uint64_t start;

		synth_zero(&records, 20);
		synth_u32(&records, i & 1 ? 0xffffffff : 2);
		synth_u32(&records, i & 2 ? 0xffffffff : 2);
		synth_u32(&records, places[i / 4 % n]);
		synth_u32(&records, places[i / 4 / n]);
		synth_u32(&records, places[(i + 3) % n]);
		synth_pe(&s, &(struct synth_pe){ .machine = 0x8664, .records = records.p, .n_records = records.len });
		synth_patch(&s, 0x80 + 24 + 112, AT, 4);
		synth_patch(&s, 0x80 + 24 + 116, 0xffffffff, 4);
		if (peimage_open(a, s.p, s.len, &pe, &diag) == ERR_OK)
			for (uint64_t rva = 0; rva < 0x6000; rva += 0x7f)
				if (*peimage_function(pe, rva, &start) != '\0')
					assert_true(start <= rva && peimage_is_code(pe, start) &&
						    peimage_is_code(pe, rva));
		synth_free(&s);
		synth_free(&records);
		arena_free(a);
	}
}

/* ---- unwinding ---- */

struct world {
	struct opened o;
	struct triage_module module;
	struct module_index index;
	struct unwind u;
	struct unwind_frame f;
	uint64_t stack[32];
};

static const uint8_t *
world_at(const void *arg, uint64_t addr, uint64_t *len_out)
{
	const struct world *w = arg;

	if (addr >= STACK && addr - STACK < sizeof(w->stack)) {
		*len_out = sizeof(w->stack) - (addr - STACK);
		return (const uint8_t *)w->stack + (addr - STACK);
	}
	if (addr >= BASE && addr - BASE < w->o.s.len) {
		*len_out = w->o.s.len - (addr - BASE);
		return w->o.s.p + (addr - BASE);
	}
	return NULL;
}

/* Stopped in the second function, whose record has these instructions. */
static void
world_open(struct world *w, uint16_t machine, const uint8_t *cfi, size_t n_cfi)
{
	memset(w, 0, sizeof(*w));
	open_elf(&w->o, &(struct synth_elf){ .machine = machine, .cfi = cfi, .n_cfi = n_cfi });
	w->module = (struct triage_module){ .path = "libav.so",
					    .base = BASE,
					    .size = SYNTH_ELF_SIZE,
					    .id = "",
					    .code_id = "",
					    .debug_id = "",
					    .version = "" };
	assert_int_equal(module_index_build(w->o.arena, &w->module, 1, &w->index), ERR_OK);
	w->u = (struct unwind){ .arch = machine == EM_X86_64 ? TRIAGE_ARCH_X64 : TRIAGE_ARCH_ARM64,
				.os = TRIAGE_OS_LINUX,
				.mi = &w->index,
				.at = world_at,
				.arg = w };
	assert_int_equal(unwind_init(&w->u, w->o.arena), ERR_OK);
	for (unsigned i = 0; i < 32; i++)
		w->stack[i] = BASE + SYNTH_ELF_CODE + i;
	w->f = (struct unwind_frame){ .pc = BASE + SYNTH_ELF_CODE + SYNTH_ELF_FUNCTION + 8, .exact = true };
	for (unsigned i = 0; i < UNWIND_REGS; i++)
		unwind_set(&w->f, i, 1000 + i);
	unwind_set(&w->f, unwind_sp(w->u.arch), STACK);
	unwind_set(&w->f, 30, BASE + SYNTH_ELF_CODE + 5);
}

static void
world_close(struct world *w)
{
	unwind_fini(&w->u);
	close_elf(&w->o);
}

static const struct unwinder *const both[] = { &unwinder_libunwind, &unwinder_dw };

static void
test_step(void **state)
{
	/* CFA is rsp + 32, rbx is at CFA - 16 */
	static const uint8_t cfi[] = { 0x0e, 32, 0x83, 2 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct unwind_frame caller = { 0 };
		struct world w;

		world_open(&w, EM_X86_64, cfi, sizeof(cfi));
		assert_int_equal(both[i]->step(&w.u, &w.f, 0, &caller), UNWIND_CALLER);
		assert_true(caller.pc == w.stack[3] && caller.r[UNWIND_X64_SP] == STACK + 32);
		assert_true(unwind_known(&caller, UNWIND_X64_BX) && caller.r[UNWIND_X64_BX] == w.stack[2]);
		assert_true(caller.r[UNWIND_X64_BP] == 1000 + UNWIND_X64_BP && !caller.exact);
		w.f.pc = BASE + SYNTH_ELF_CODE + 3 * SYNTH_ELF_FUNCTION; /* behind the last one */
		assert_int_equal(both[i]->step(&w.u, &w.f, 0, &caller), UNWIND_UNKNOWN);
		w.f.exact = false; /* but it returns into it */
		assert_int_equal(both[i]->step(&w.u, &w.f, 0, &caller), UNWIND_CALLER);
		assert_true(caller.pc == w.stack[0]);
		world_close(&w);
	}
}

static void
test_step_arm64(void **state)
{
	/* CFA is sp + 16, x29 at CFA - 16, x30 at CFA - 8 */
	static const uint8_t cfi[] = { 0x0e, 16, 0x9d, 2, 0x9e, 1 };
	struct unwind_frame caller = { 0 };
	struct world w;

	(void)state;
	world_open(&w, EM_AARCH64, cfi, sizeof(cfi));
	w.stack[1] |= UINT64_C(0x55) << 56; /* signed */
	assert_int_equal(unwinder_dw.step(&w.u, &w.f, 0, &caller), UNWIND_CALLER);
	assert_true(caller.pc == BASE + SYNTH_ELF_CODE + 1 && caller.r[UNWIND_ARM64_SP] == STACK + 16);
	assert_true(caller.r[UNWIND_ARM64_FP] == w.stack[0]);
	world_close(&w);
	world_open(&w, EM_AARCH64, NULL, 0); /* a leaf: x30 still has it */
	assert_int_equal(unwinder_dw.step(&w.u, &w.f, 0, &caller), UNWIND_CALLER);
	assert_true(caller.pc == BASE + SYNTH_ELF_CODE + 5 && caller.r[UNWIND_ARM64_SP] == STACK);
	world_close(&w);
}

static void
test_outermost_and_damaged(void **state)
{
	static const uint8_t undefined[] = { 0x07, 16 }, endless[] = { 0x0f, 3, 0x2f, 0xfd, 0xff },
			     far[] = { 0x0e, 0xff, 0xff, 0x7f }, deref[] = { 0x0f, 2, 0x30, 0x06 };
	static const struct {
		const uint8_t *cfi;
		size_t n;
		enum unwind_outcome want;
	} t[] = {
		{ undefined, sizeof(undefined), UNWIND_OUTERMOST }, /* no return address */
		{ endless, sizeof(endless), UNWIND_DAMAGED },       /* an expression that jumps to itself */
		{ far, sizeof(far), UNWIND_DAMAGED },               /* memory that is not there */
		{ deref, sizeof(deref), UNWIND_DAMAGED },           /* what stands at 0 */
	};

	(void)state;
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < sizeof(t) / sizeof(t[0]); k++) {
			struct unwind_frame caller = { 0 };
			struct world w;

			world_open(&w, EM_X86_64, t[k].cfi, t[k].n);
			assert_int_equal(both[i]->step(&w.u, &w.f, 0, &caller), t[k].want);
			if (t[k].cfi == endless)
				assert_string_equal(w.u.why, "unwinding took too much work");
			world_close(&w);
		}
}

/* ---- images at hand ---- */

struct shelf {
	struct synth s;
	int opened, closed;
	bool empty;
};

static bool
shelf_open(void *arg, const struct image_key *key, enum image_kind kind, struct image_file *out)
{
	struct shelf *f = arg;

	(void)key;
	f->opened++;
	if (f->empty || kind != IMAGE_CODE)
		return false;
	*out = (struct image_file){ f->s.p, f->s.len, NULL };
	return true;
}

static void
shelf_close(void *arg, struct image_file *file)
{
	(void)file;
	((struct shelf *)arg)->closed++;
}

static void
test_at_hand(void **state)
{
	struct triage_module m = {
		.path = "/lib/libav.so", .id = BUILD_ID, .code_id = BUILD_ID, .debug_id = "", .version = ""
	};
	struct synth_elf c = { .machine = EM_X86_64 };
	struct image_key key, other;
	struct shelf f = { .empty = true };
	const struct image_opener o = { shelf_open, shelf_close, &f };
	const struct images_limits l = { .file_bytes = 0, .files = 0, .memory = 1 << 20 };
	struct images *s = images_new(&o, &l);

	(void)state;
	memcpy(c.id, build_id, sizeof(build_id));
	synth_elf(&f.s, &c);
	assert_true(image_key_of(&m, &key));
	assert_string_equal(key.name, "libav.so");
	assert_null(images_elf(s, &key));
	assert_null(images_elf(s, &key)); /* not asked again, */
	assert_int_equal(f.opened, 1);
	f.empty = false;
	images_forget(s); /* until told */
	assert_non_null(images_elf(s, &key));
	assert_ptr_equal(images_elf(s, &key), images_elf(s, &key));
	assert_int_equal(f.opened, 2);
	assert_null(images_pe(s, &key));
	other = key;
	other.code_id[0] = 'f'; /* the opener gives what was not asked for */
	assert_null(images_elf(s, &other));
	assert_int_equal(f.closed, 1);
	images_trim(s);
	assert_int_equal(f.closed, 2);
	assert_non_null(images_elf(s, &key));
	images_free(s);
	assert_int_equal(f.closed, 3);
	synth_free(&f.s);
}

static void
test_keys(void **state)
{
	struct triage_module m = { .path = "C:\\a\\..\\Evil/../x.dll",
				   .id = "5ab380779000",
				   .code_id = "5AB380779000",
				   .debug_id = "zz",
				   .version = "" };
	struct image_key key;

	(void)state;
	assert_true(image_key_of(&m, &key) && key.pe);
	assert_string_equal(key.code_id, "5ab380779000");
	assert_string_equal(key.debug_id, "");
	assert_string_equal(key.name, "x.dll");
	m.path = "/a/..";
	assert_true(image_key_of(&m, &key));
	assert_string_equal(key.name, "");
	m.code_id = "../../../etc/passwd";
	assert_false(image_key_of(&m, &key));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),        cmocka_unit_test(test_records_by_table_and_by_index),
		cmocka_unit_test(test_functions),       cmocka_unit_test(test_lies),
		cmocka_unit_test(test_symbol_file),     cmocka_unit_test(test_endless_cfi),
		cmocka_unit_test(test_exports),         cmocka_unit_test(test_hostile_sections),
		cmocka_unit_test(test_hostile_exports), cmocka_unit_test(test_step),
		cmocka_unit_test(test_step_arm64),      cmocka_unit_test(test_outermost_and_damaged),
		cmocka_unit_test(test_at_hand),         cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
