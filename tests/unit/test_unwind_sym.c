/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "base/arena.h"
#include "tests/unit/corpus.h"
#include "triage/images.h"
#include "triage/triage.h"
#include "triage/unwind_sym.h"

/* A module of which nothing but its symbol file is at hand, and a stack. */
#define BASE  UINT64_C(0x400000)
#define STACK UINT64_C(0x30000)
#define WORDS 256
#define ID    "0123456789ABCDEF0123456789ABCDEF1"

enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };

struct process {
	struct arena *arena;
	const char *symbols;
	struct images *images;
	struct triage_module module;
	struct module_index index;
	struct unwind u;
	struct unwind_frame f;
	uint8_t stack[8 * WORDS];
};

static const uint8_t *
at(const void *arg, uint64_t addr, uint64_t *len_out)
{
	const struct process *p = arg;

	if (addr < STACK || addr - STACK >= sizeof(p->stack))
		return NULL;
	*len_out = sizeof(p->stack) - (addr - STACK);
	return p->stack + (addr - STACK);
}

static bool
open_symbols(void *arg, const struct image_key *key, enum image_kind kind, struct image_file *out)
{
	const struct process *p = arg;

	(void)key;
	if (kind != IMAGE_SYM || p->symbols == NULL)
		return false;
	*out = (struct image_file){ p->symbols, strlen(p->symbols), NULL };
	return true;
}

static void
close_symbols(void *arg, struct image_file *f)
{
	(void)arg, (void)f;
}

/* Every word of the stack says which one it is. */
#define WORD(i) (0x1000u + (uint64_t)(i))
static void
word(struct process *p, size_t i, uint64_t v)
{
	for (unsigned j = 0; j < p->u.width; j++)
		p->stack[p->u.width * i + j] = (uint8_t)(v >> 8 * j);
}

static void
begin(struct process *p, enum triage_arch arch, enum triage_os os, const char *symbols)
{
	const struct image_opener opener = { open_symbols, close_symbols, p };

	memset(p, 0, sizeof(*p));
	p->arena = arena_new(8 << 20);
	p->symbols = symbols;
	p->images = images_new(&opener, NULL);
	p->module = (struct triage_module){
		.path = "a.exe", .base = BASE, .size = 0x10000, .id = ID, .code_id = "", .debug_id = ID, .version = ""
	};
	p->u = (struct unwind){ .arch = arch, .os = os, .mi = &p->index, .images = p->images, .at = at, .arg = p };
	assert_int_equal(module_index_build(p->arena, &p->module, 1, &p->index), ERR_OK);
	assert_int_equal(unwind_init(&p->u, p->arena), ERR_OK);
	p->f = (struct unwind_frame){ .pc = BASE + 0x1010, .exact = true, .trust = TRIAGE_TRUST_CONTEXT };
	unwind_set(&p->f, unwind_sp(arch), STACK);
	for (size_t i = 0; i < sizeof(p->stack) / p->u.width; i++)
		word(p, i, WORD(i));
}

static void
end(struct process *p)
{
	unwind_fini(&p->u);
	images_free(p->images);
	arena_free(p->arena);
}

static enum unwind_outcome
rules(struct process *p, const char *text, struct unwind_frame *caller)
{
	struct text t = text_of(text);

	memset(caller, 0xee, sizeof(*caller));
	return unwind_cfi_rules(&p->u, &p->f, &t, 1, caller);
}

/* ---- STACK CFI ---- */

static void
test_operators(void **state)
{
	static const struct {
		const char *expression;
		uint64_t value; /* 0: there is none */
	} all[] = {
		{ "$rsp 8 +", STACK + 8 },
		{ "$rsp 24 8 - +", STACK + 16 },
		{ "rsp 2 3 * +", STACK + 6 },
		{ "$rsp 100 8 / +", STACK + 12 },
		{ "$rsp 100 8 % +", STACK + 4 },
		{ "$rsp 55 + 16 @", STACK + 48 },
		{ "$rsp -8 - ", STACK + 8 },
		{ "$rsp 8 + ^ 4096 - 8 * $rsp +", STACK + 8 },
		{ "$rsp 8", 0 },
		{ "", 0 },
		{ "+", 0 },
		{ "$rsp 0 /", 0 },
		{ "$rsp 0 %", 0 },
		{ "$rsp 3 @", 0 },
		{ "$rbx 8 +", 0 }, /* not known */
		{ "$nothing 8 +", 0 },
		{ "0 ^", 0 },
		{ "$rsp 8 + .ra =", 0 }, /* nothing is assigned here */
		{ ".undef", 0 },
		{ "99999999999999999999 1 +", 0 },
	};
	struct unwind_frame c;
	struct process p;
	char text[128];

	(void)state;
	begin(&p, TRIAGE_ARCH_X64, TRIAGE_OS_LINUX, NULL);
	word(&p, 20, BASE + 0x2000);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		enum unwind_outcome outcome;

		snprintf(text, sizeof(text), ".cfa: %s .ra: $rsp 160 + ^", all[i].expression);
		outcome = rules(&p, text, &c);
		if (outcome != (all[i].value != 0 ? UNWIND_CALLER : UNWIND_DAMAGED) ||
		    (all[i].value != 0 && c.r[UNWIND_X64_SP] != all[i].value))
			fail_msg("%s: %d, %llx", all[i].expression, outcome, (unsigned long long)c.r[UNWIND_X64_SP]);
	}
	end(&p);
}

/* Registers of each processor: by their names, kept by a call or not, overruled by a later rule. */
static void
test_registers(void **state)
{
	static const struct {
		enum triage_arch arch;
		const char *rules;
		unsigned sp, saved, kept, lost;
	} all[] = {
		{ TRIAGE_ARCH_X64, ".cfa: $rsp 32 + $rbx: 0 $rbx: .cfa -16 + ^ .ra: .cfa 8 - ^", UNWIND_X64_SP, 3, 12,
		  0 },
		{ TRIAGE_ARCH_X86, ".cfa: $esp 16 + $ebx: .cfa 8 - ^ .ra: .cfa 4 - ^", UNWIND_X86_SP, EBX, ESI, EAX },
		{ TRIAGE_ARCH_ARM, ".cfa: sp 16 + r4: .cfa -8 + ^ .ra: .cfa -4 + ^", UNWIND_ARM_SP, 4, 5, 0 },
		{ TRIAGE_ARCH_ARM, ".cfa: r13 16 + fp: .cfa -8 + ^ .ra: .cfa -4 + ^", UNWIND_ARM_SP, 11, 5, 0 },
		{ TRIAGE_ARCH_ARM64, ".cfa: sp 32 + x19: .cfa -16 + ^ .ra: .cfa -8 + ^", UNWIND_ARM64_SP, 19, 20, 1 },
		{ TRIAGE_ARCH_ARM64, ".cfa: sp 32 + x29: .cfa -16 + ^ .ra: .cfa -8 + ^", UNWIND_ARM64_SP, 29, 20, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct unwind_frame c;
		struct process p;

		begin(&p, all[i].arch, TRIAGE_OS_LINUX, NULL);
		word(&p, 3, BASE + 0x2000);
		unwind_set(&p.f, all[i].kept, 0x77);
		unwind_set(&p.f, all[i].lost, 0x78);
		assert_int_equal(rules(&p, all[i].rules, &c), UNWIND_CALLER);
		assert_true(c.pc == BASE + 0x2000);
		assert_true(c.r[all[i].sp] == STACK + 4 * p.u.width);
		assert_true(unwind_known(&c, all[i].saved) && c.r[all[i].saved] == WORD(2));
		assert_true(unwind_known(&c, all[i].kept) && c.r[all[i].kept] == 0x77);
		assert_false(unwind_known(&c, all[i].lost));
		end(&p);
	}
}

/* The lines of a record count up to the pc, by address of the call in a caller. */
static const char cfi_file[] = "MODULE Linux x86_64 " ID " a.exe\n"
			       "FUNC 1000 100 0 f\n"
			       "STACK CFI INIT 1000 100 .cfa: $rsp 8 + .ra: .cfa 8 - ^\n"
			       "STACK CFI 1001 .cfa: $rsp 16 + $rbp: .cfa 16 - ^\n"
			       "STACK CFI 1010 .cfa: $rsp 32 +\n"
			       "STACK CFI 1020 .cfa: $rsp 8 +\n"
			       "STACK CFI INIT 2000 10 .cfa: $rsp 8 + .ra: 0\n";

static void
test_lines(void **state)
{
	static const struct {
		uint64_t pc;
		bool exact;
		unsigned words; /* 0: no record */
	} all[] = {
		{ 0x1000, true, 1 }, { 0x1001, true, 2 }, { 0x100f, true, 2 },
		{ 0x1010, true, 4 }, { 0x1020, true, 1 }, { 0x1020, false, 4 },
		{ 0x10ff, true, 1 }, { 0x1100, true, 0 }, { 0xfff, true, 0 },
	};
	struct unwind_frame c;
	struct process p;

	(void)state;
	begin(&p, TRIAGE_ARCH_X64, TRIAGE_OS_LINUX, cfi_file);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		p.f.pc = BASE + all[i].pc;
		p.f.exact = all[i].exact;
		for (size_t j = 0; j < 8; j++)
			word(&p, j, j + 1 == all[i].words ? BASE + 0x3000 : WORD(j));
		if (all[i].words == 0) {
			assert_int_equal(unwinder_sym.step(&p.u, &p.f, 0, &c), UNWIND_UNKNOWN);
			continue;
		}
		assert_int_equal(unwinder_sym.step(&p.u, &p.f, 0, &c), UNWIND_CALLER);
		assert_true(c.r[UNWIND_X64_SP] == STACK + 8 * all[i].words);
		assert_int_equal(unwind_known(&c, UNWIND_X64_BP), all[i].words > 1);
	}
	p.f.pc = BASE + 0x2000;
	assert_int_equal(unwinder_sym.step(&p.u, &p.f, 0, &c), UNWIND_OUTERMOST);
	assert_int_equal(unwinder_sym.step(&p.u, &p.f, -1, &c), UNWIND_UNKNOWN);
	end(&p);
}

/* ---- STACK WIN ---- */

static enum unwind_outcome
win(struct process *p, const char *line, struct unwind_frame *caller)
{
	static char file[512];
	struct symfile_win w;
	struct symfile *s;

	snprintf(file, sizeof(file), "MODULE windows x86 " ID " a.pdb\n%s\n", line);
	p->symbols = file;
	images_forget(p->images);
	s = unwind_symfile(&p->u, 0);
	assert_non_null(s);
	assert_true(symfile_win(s, unwind_lookup_pc(TRIAGE_ARCH_X86, &p->f) - BASE, &w));
	memset(caller, 0xee, sizeof(*caller));
	return unwind_win(&p->u, &p->f, &w, caller);
}

static void
test_program_strings(void **state)
{
	struct unwind_frame c;
	struct process p;

	(void)state;
	/* a frame with ebp, and a register that was saved */
	begin(&p, TRIAGE_ARCH_X86, TRIAGE_OS_WINDOWS, NULL);
	unwind_set(&p.f, EBP, STACK + 4 * 10);
	word(&p, 11, BASE + 0x2000);
	assert_int_equal(
		win(&p,
		    "STACK WIN 4 1000 80 3 0 8 4 c 0 1 $T0 $ebp = $eip $T0 4 + ^ = $ebp $T0 ^ = $esp $T0 8 + = "
		    "$L $T0 .cbSavedRegs - = $P $T0 8 + .cbParams + = $ebx $T0 16 - ^ =",
		    &c),
		UNWIND_CALLER);
	assert_true(c.pc == BASE + 0x2000 && c.r[ESP] == STACK + 4 * 12);
	assert_true(unwind_known(&c, EBP) && c.r[EBP] == WORD(10));
	assert_true(unwind_known(&c, EBX) && c.r[EBX] == WORD(6));
	assert_false(unwind_known(&c, ESI));
	assert_int_equal(c.callee_parameters, 8);
	end(&p);
	/* no space behind an assignment */
	begin(&p, TRIAGE_ARCH_X86, TRIAGE_OS_WINDOWS, NULL);
	unwind_set(&p.f, EBP, STACK);
	word(&p, 11, BASE + 0x2000);
	assert_int_equal(win(&p,
			     "STACK WIN 4 1000 80 36 0 8 4 f4 0 1 $T0 $ebp 40 + =$eip $T0 4 + ^ =$ebp $T0 ^ = $esp "
			     "$T0 8 + =",
			     &c),
			 UNWIND_CALLER);
	assert_true(c.pc == BASE + 0x2000 && c.r[ESP] == STACK + 4 * 12 && c.r[EBP] == WORD(10));
	end(&p);
	/* registers by CodeView's numbers, the frame found by the sizes */
	begin(&p, TRIAGE_ARCH_X86, TRIAGE_OS_WINDOWS, NULL);
	p.f.callee_parameters = 8;
	word(&p, 2 + 3 + 1, BASE + 0x2000);
	assert_int_equal(
		win(&p, "STACK WIN 4 1000 80 3 0 0 4 c 0 1 $T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + = $23 $T0 4 - ^ =",
		    &c),
		UNWIND_CALLER);
	assert_true(c.pc == BASE + 0x2000 && c.r[ESP] == STACK + 4 * 7);
	assert_true(unwind_known(&c, ESI) && c.r[ESI] == WORD(5));
	end(&p);
	/* a stack that was aligned: up to three words above */
	begin(&p, TRIAGE_ARCH_X86, TRIAGE_OS_WINDOWS, NULL);
	word(&p, 4, BASE + 0x2000);
	assert_int_equal(
		win(&p, "STACK WIN 4 1000 80 3 0 0 0 8 0 1 $T0 .raSearchStart = $eip $T0 ^ = $esp $T0 4 + =", &c),
		UNWIND_CALLER);
	assert_true(c.r[ESP] == STACK + 4 * 5);
	end(&p);
	begin(&p, TRIAGE_ARCH_X86, TRIAGE_OS_WINDOWS, NULL);
	word(&p, 5, BASE + 0x2000);
	assert_int_equal(
		win(&p, "STACK WIN 4 1000 80 3 0 0 0 8 0 1 $T0 .raSearchStart = $eip $T0 ^ = $esp $T0 4 + =", &c),
		UNWIND_UNKNOWN);
	end(&p);
}

static void
test_fpo(void **state)
{
	struct unwind_frame c;
	struct process p;

	(void)state;
	/* ebp was pushed behind two other registers, and is used for something else */
	begin(&p, TRIAGE_ARCH_X86, TRIAGE_OS_WINDOWS, NULL);
	word(&p, 5, BASE + 0x2000);
	unwind_set(&p.f, EBP, 0xdead);
	assert_int_equal(win(&p, "STACK WIN 0 1000 80 3 0 10 c 8 0 0 1", &c), UNWIND_CALLER);
	assert_true(c.pc == BASE + 0x2000 && c.r[ESP] == STACK + 4 * 6 && c.r[EBP] == WORD(1));
	assert_int_equal(c.callee_parameters, 16);
	/* ebp was left alone */
	p.f.callee_parameters = 4;
	word(&p, 6, BASE + 0x2004);
	assert_int_equal(win(&p, "STACK WIN 0 1000 80 3 0 10 c 8 0 0 0", &c), UNWIND_CALLER);
	assert_true(c.pc == BASE + 0x2004 && c.r[ESP] == STACK + 4 * 7 && c.r[EBP] == 0xdead);
	end(&p);
	/* a system call that returned: its own address is still on the stack */
	begin(&p, TRIAGE_ARCH_X86, TRIAGE_OS_WINDOWS, NULL);
	word(&p, 0, p.f.pc);
	word(&p, 1, BASE + 0x2000);
	assert_int_equal(win(&p, "STACK WIN 0 1000 80 0 0 0 0 0 0 0 0", &c), UNWIND_CALLER);
	assert_true(c.pc == BASE + 0x2000 && c.r[ESP] == STACK + 8);
	end(&p);
}

/* ---- lies ---- */

static void
test_nonsense(void **state)
{
	static const char *const all[] = {
		"STACK WIN 4 1000 80 3 0 0 0 0 0 1 $eip $esp =",
		"STACK WIN 4 1000 80 3 0 0 0 0 0 1 $eip = = =",
		"STACK WIN 4 1000 80 3 0 0 0 0 0 1 4 8 =",
		"STACK WIN 4 1000 80 3 0 0 0 0 0 1 $eip 4194304 = $esp $esp 4 - =", /* down the stack */
		"STACK WIN 4 1000 80 3 0 0 0 0 0 1 $eip 4198400 = $esp $esp =",
		"STACK WIN 4 1000 80 3 0 0 0 ffffff00 0 1 $T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + =",
	};
	struct unwind_frame c;
	struct process p;
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		begin(&p, TRIAGE_ARCH_X86, TRIAGE_OS_WINDOWS, NULL);
		assert_int_equal(win(&p, all[i], &c), UNWIND_DAMAGED);
		end(&p);
	}
	/* without an end: rules, a program, a stack of values, names */
	begin(&p, TRIAGE_ARCH_X64, TRIAGE_OS_LINUX, NULL);
	assert_int_equal(rules(&p, ".cfa: $rsp", &c), UNWIND_DAMAGED);
	assert_int_equal(rules(&p, "$rsp .cfa: $rsp", &c), UNWIND_DAMAGED);
	text = malloc(200000);
	assert_non_null(text);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const repeated[] = { "1 + ", "1 1 1 ", "x%05u: 1 " };
		size_t n = (size_t)sprintf(text, ".cfa: $rsp 8 + .ra: $rsp ");

		for (unsigned j = 0; j < 10000; j++) {
			if (i == 2)
				n += (size_t)sprintf(text + n, "x%05u: 1 ", j);
			else
				n += (size_t)sprintf(text + n, "%s", repeated[i]);
		}
		assert_int_equal(rules(&p, text, &c), UNWIND_DAMAGED);
	}
	free(text);
	end(&p);
}

/* ---- the golden corpus ---- */

static char *
read_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	char *p = malloc(4 << 20);

	*size = f != NULL && p != NULL ? fread(p, 1, 4 << 20, f) : 0;
	if (f != NULL)
		fclose(f);
	return p;
}

/* The files of the shelf: which of them has the id, says its MODULE line. */
static const char *const shelf[] = {
	"symbolic/windows/crash.sym",
	"symbolic/linux/crash.sym",
	"symbolic/macos/crash.sym",
	"symbolicator/symbols/sentry_example/73781EDEBF5B34EC81B2749A0F1FA5FD0/sentry_example.sym",
	"breakpad/symbols/overflow/B0E1FC01EF48E39CAF5C881D2DF0C3840/overflow.sym",
	"breakpad/symbols/libc-2.13.so/F4F8DFCD5A5FB5A7CE64717E9E6AE3890/libc-2.13.so.sym",
	"breakpad/symbols/libgcc_s.so.1/18B180F90887D8F8B5C35D185444AF4C0/libgcc_s.so.1.sym",
	"breakpad/symbols/null_read_av/7B7D1968FF0D47AE4366E9C3A7E1B6750/null_read_av.sym",
	"breakpad/symbols/test_app.pdb/5A9832E5287241C1838ED98914E9B7FF1/test_app.sym",
	"breakpad/symbols/kernel32.pdb/BCE8785C57B44245A669896B6A19B9542/kernel32.sym",
	"breakpad/symbols/microdump/breakpad_unittests/D6D1FEC9A15DE7F38A236898871A2E770/breakpad_unittests.sym",
	"breakpad/symbols/microdump/breakpad_unittests/DA7778FB66018A4E9B4110ED06E730D00/breakpad_unittests.sym",
	"breakpad/symbols/linux_inline/BBA6FA10B8AAB33D00000000000000000/linux_inline.new.sym",
};

static bool
open_shelf(void *arg, const struct image_key *key, enum image_kind kind, struct image_file *out)
{
	for (size_t i = 0; kind == IMAGE_SYM && key->debug_id[0] != '\0' && i < sizeof(shelf) / sizeof(shelf[0]); i++) {
		char path[512], id[IMAGE_ID_MAX];
		size_t size;
		char *p;

		snprintf(path, sizeof(path), "%s/%s", (const char *)arg, shelf[i]);
		p = read_file(path, &size);
		if (size > 0 && sscanf(p, "MODULE %*s %*s %79s", id) == 1 && strcasecmp(id, key->debug_id) == 0) {
			*out = (struct image_file){ p, size, p };
			return true;
		}
		free(p);
	}
	return false;
}

static void
close_shelf(void *arg, struct image_file *f)
{
	(void)arg;
	free(f->handle);
}

#define GOLDEN_FRAMES 9

/* Real dumps with the symbol files that belong to them: the frames that the sources' own tests assert. */
static const struct golden {
	const char *dump;
	struct {
		const char *module, *function;
		uint64_t offset; /* of the call */
		enum triage_trust trust;
	} frames[GOLDEN_FRAMES];
} golden[] = {
	{ "breakpad/minidump2.dmp",
	  { { "test_app.exe", "`anonymous namespace'::CrashFunction", 0x429e, TRIAGE_TRUST_CONTEXT },
	    { "test_app.exe", "main", 0x4200 - 1, TRIAGE_TRUST_CFI },
	    { "test_app.exe", "__tmainCRTStartup", 0x53ec - 1, TRIAGE_TRUST_CFI },
	    { "kernel32.dll", "BaseProcessStart", 0x16fd7 - 1, TRIAGE_TRUST_CFI } } },
	{ "symbolicator/windows.dmp",
	  { { "crash.exe", "main", 0x2a3d, TRIAGE_TRUST_CONTEXT },
	    { "crash.exe", "__scrt_common_main_seh", 0x2d96, TRIAGE_TRUST_CFI },
	    { "kernel32.dll", "", 0x162c3, TRIAGE_TRUST_CFI },
	    { "ntdll.dll", "", 0x60f78, TRIAGE_TRUST_FRAME_POINTER },
	    { "ntdll.dll", "", 0x60f43, TRIAGE_TRUST_FRAME_POINTER } } },
	{ "symbolicator/linux.dmp",
	  { { "crash", "main", 0x1d72, TRIAGE_TRUST_CONTEXT }, { "libc-2.23.so", "", 0x2082f, TRIAGE_TRUST_CFI } } },
	{ "symbolicator/macos-no-fp.dmp",
	  { { "libsystem_platform.dylib", "", 0x305c, TRIAGE_TRUST_CONTEXT },
	    { "sentry_example", "main", 0x2480, TRIAGE_TRUST_SCAN } } },
	{ "breakpad/linux_null_read_av.dmp",
	  { { "null_read_av", "crash()", 0x2170, TRIAGE_TRUST_CONTEXT },
	    { "null_read_av", "main", 0x1fce, TRIAGE_TRUST_CFI },
	    { "libc-2.13.so", "__libc_start_main", 0x1eeac, TRIAGE_TRUST_CFI } } },
	{ "breakpad/linux_overflow.dmp",
	  { { "libc-2.13.so", "gsignal", 0x32475, TRIAGE_TRUST_CONTEXT },
	    { "libc-2.13.so", "abort", 0x356ef, TRIAGE_TRUST_CFI },
	    { "libc-2.13.so", "__fsetlocking", 0x6d52a, TRIAGE_TRUST_CFI },
	    { "libc-2.13.so", "__fortify_fail", 0xef2a6, TRIAGE_TRUST_CFI },
	    { "libc-2.13.so", "__chk_fail", 0xee15f, TRIAGE_TRUST_CFI },
	    { "overflow", "overflow(char const*)", 0x2523, TRIAGE_TRUST_CFI },
	    { "overflow", "main", 0x22f5, TRIAGE_TRUST_CFI },
	    { "libc-2.13.so", "__libc_start_main", 0x1eeac, TRIAGE_TRUST_CFI } } },
	{ "breakpad/microdump-arm.dmp",
	  { { "breakpad_unittests", "MicrodumpWriterTest_Setup_Test::TestBody", 0x1e307, TRIAGE_TRUST_CONTEXT },
	    { "breakpad_unittests", "testing::Test::Run", 0x3d73f, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "testing::TestInfo::Run", 0x3d873, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "testing::TestCase::Run", 0x3d8fb, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "testing::internal::UnitTestImpl::RunAllTests", 0x3dafb, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "testing::UnitTest::Run", 0x3ca5f, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "main", 0x15c39, TRIAGE_TRUST_CFI },
	    { "libc.so", "", 0x11e9d, TRIAGE_TRUST_CFI } } },
	{ "breakpad/microdump-arm64.dmp",
	  { { "breakpad_unittests", "MicrodumpWriterTest_Setup_Test::TestBody", 0x2ef6c, TRIAGE_TRUST_CONTEXT },
	    { "breakpad_unittests", "testing::internal::HandleExceptionsInMethodIfSupported<testing::Test, void>",
	      0x5b238, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "testing::Test::Run", 0x5c488, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "testing::TestInfo::Run", 0x5c5b4, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "testing::TestCase::Run", 0x5c670, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "testing::internal::UnitTestImpl::RunAllTests", 0x5c948, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "testing::UnitTest::Run", 0x5cb64, TRIAGE_TRUST_CFI },
	    { "breakpad_unittests", "main", 0x23394, TRIAGE_TRUST_CFI },
	    { "libc.so", "", 0x17388, TRIAGE_TRUST_CFI } } },
	{ "breakpad/linux_stacksmash.dmp",
	  { { "libgcc_s.so.1", "_Unwind_GetTextRelBase", 0xf730, TRIAGE_TRUST_CONTEXT },
	    { "libgcc_s.so.1", "_Unwind_Backtrace", 0x103bb, TRIAGE_TRUST_CFI },
	    { "libc-2.13.so", "backtrace", 0xef40d, TRIAGE_TRUST_CFI },
	    { "libc-2.13.so", "__fsetlocking", 0x6d53e, TRIAGE_TRUST_CFI },
	    { "libc-2.13.so", "__fortify_fail", 0xef2a6, TRIAGE_TRUST_CFI },
	    { "libc-2.13.so", "__stack_chk_fail", 0xef26f, TRIAGE_TRUST_CFI },
	    { "overflow", "stack_smash(char const*)", 0x2588, TRIAGE_TRUST_CFI } } },
};

static void
check_golden(const struct golden *g, const char *corpus)
{
	const struct image_opener opener = { open_shelf, close_shelf, (void *)(uintptr_t)corpus };
	struct triage_options options = { .images = images_new(&opener, NULL) };
	struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
	struct triage_result r;
	struct diag diag;
	char path[512], *dump;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s", corpus, g->dump);
	dump = read_file(path, &size);
	assert_int_equal(triage_run(a, dump, size, &options, &r, &diag), ERR_OK);
	for (size_t j = 0; j < GOLDEN_FRAMES && g->frames[j].module != NULL; j++) {
		const struct triage_frame *f = &r.frames[j];

		assert_true(j < r.n_frames && f->module >= 0);
		assert_non_null(strstr(r.modules[f->module].path, g->frames[j].module));
		assert_int_equal(f->offset, g->frames[j].offset);
		assert_int_equal(f->trust, g->frames[j].trust);
		assert_string_equal(f->function, g->frames[j].function);
	}
	images_free(options.images);
	arena_free(a);
	free(dump);
}

static void
test_golden(void **state)
{
	const char *corpus = corpus_dir();

	(void)state;
	if (corpus == NULL)
		skip();
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++)
		check_golden(&golden[i], corpus);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operators), cmocka_unit_test(test_registers),
		cmocka_unit_test(test_lines),     cmocka_unit_test(test_program_strings),
		cmocka_unit_test(test_fpo),       cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_golden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
