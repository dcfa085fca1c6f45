/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/triage_help.h"

#define PE    "5c0ae38510000"
#define ELF   "784fd549332d826ed23f18c17c6f320a01020304"
#define MACHO "49d54f782d336e82d23f18c17c6f320a1"

static const struct expectation {
	const char *name, *os, *arch, *reason, *id;
	uint64_t address;
	/* frames after the first, as offsets in module 0 or 1 and trust */
	struct {
		int32_t module;
		uint64_t offset;
		enum triage_trust trust;
	} frames[3];
	size_t n_frames;
} expectations[] = {
#define FP           TRIAGE_TRUST_FRAME_POINTER
#define SC           TRIAGE_TRUST_SCAN
#define X86_FRAMES   { { 0, 0x1113, FP }, { 1, 0x2223, FP }, { 0, 0x3333, SC } }, 3
#define X64_FRAMES   { { 0, 0x1113, FP }, { 1, 0x2223, SC }, { 0, 0x3333, SC } }, 3
#define ARM64_FRAMES { { 0, 0x1110, FP }, { 1, 0x2220, FP }, { 0, 0x3330, SC } }, 3
#define ARM_FRAMES   { { 0, 0x1112, SC }, { 1, 0x2222, SC }, { 0, 0x3332, SC } }, 3
	{ "windows-x86", "windows", "x86", "EXCEPTION_ACCESS_VIOLATION_WRITE", PE, 0x45, X86_FRAMES },
	{ "windows-x64", "windows", "x64", "EXCEPTION_ACCESS_VIOLATION_READ", PE, 0x45, X64_FRAMES },
	{ "windows-arm64", "windows", "arm64", "EXCEPTION_STACK_BUFFER_OVERRUN / FAST_FAIL_FATAL_APP_EXIT", PE, 0x45,
	  ARM64_FRAMES },
	{ "windows-arm", "windows", "arm", "EXCEPTION_INT_DIVIDE_BY_ZERO", PE, 0x45, ARM_FRAMES },
	{ "linux-x86", "linux", "x86", "SIGSEGV / SEGV_MAPERR", ELF, 0x45, X86_FRAMES },
	{ "linux-x64", "linux", "x64", "SIGSEGV / SEGV_MAPERR", ELF, 0x45, X64_FRAMES },
	{ "linux-arm", "linux", "arm", "SIGBUS / BUS_ADRALN", ELF, 0x45, ARM_FRAMES },
	{ "linux-arm64", "linux", "arm64", "SIGFPE / FPE_INTDIV", ELF, 0x45, ARM64_FRAMES },
	{ "android-arm64", "android", "arm64", "SIGABRT / SI_TKILL", ELF, 0x45, ARM64_FRAMES },
	{ "linux-arm64-old", "linux", "arm64", "SIGSEGV / SEGV_ACCERR", ELF, 0x45, ARM64_FRAMES },
	{ "macos-x64", "macos", "x64", "EXC_BAD_ACCESS / KERN_INVALID_ADDRESS", MACHO, 0x45, X64_FRAMES },
	{ "macos-arm64", "macos", "arm64", "EXC_BREAKPOINT / EXC_ARM_BREAKPOINT", MACHO, 0x45, ARM64_FRAMES },
	{ "ios-arm64", "ios", "arm64", "EXC_BAD_ACCESS / EXC_ARM_DA_ALIGN", MACHO, 0x45, ARM64_FRAMES },
	{ "ios-arm",
	  "ios",
	  "arm",
	  "EXC_BAD_ACCESS / KERN_PROTECTION_FAILURE",
	  MACHO,
	  0x45,
	  { { 0, 0x1112, FP }, { 1, 0x2222, FP } },
	  2 },
	{ "linux-x64-memory64", "linux", "x64", "SIGSEGV / SI_KERNEL", ELF, 0x45, X64_FRAMES },
};

static void
check_expectation(const struct expectation *e, const struct run *x)
{
	const struct triage_result *r = &x->r;

	assert_int_equal(x->err, ERR_OK);
	assert_int_equal(r->format, TRIAGE_FORMAT_MINIDUMP);
	assert_string_equal(triage_os_name(r->os), e->os);
	assert_string_equal(triage_arch_name(r->arch), e->arch);
	assert_string_equal(r->reason, e->reason);
	assert_true(r->has_address && r->address == e->address);
	assert_int_equal(r->thread_count, 2);
	assert_int_equal(r->crashing_thread, 1);
	assert_int_equal(r->crashing_tid, SYNTH_TID(1));
	assert_int_equal(r->module_count, 2);
	assert_int_equal(r->process_id, SYNTH_PID);
	assert_int_equal(r->dump_time, 1721367000);
	assert_string_equal(r->os_version, "10.0.19045 test");
	assert_string_equal(r->module_id, e->id);
	assert_true(r->has_signature);
	assert_int_equal(r->n_frames, e->n_frames + 1);
	assert_int_equal(r->frames[0].trust, TRIAGE_TRUST_CONTEXT);
	assert_int_equal(r->frames[0].module, 0);
	assert_true(r->frames[0].offset == 0x1234);
	for (size_t i = 0; i < e->n_frames; i++) {
		assert_int_equal(r->frames[i + 1].trust, e->frames[i].trust);
		assert_int_equal(r->frames[i + 1].module, e->frames[i].module);
		assert_int_equal(r->frames[i + 1].offset, e->frames[i].offset);
	}
	assert_false(r->partial);
}

/* Every system and processor, in both byte orders. */
static void
test_every_kind(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++)
		for (int big = 0; big < 2; big++) {
			struct synth s = { .big_endian = big };
			struct run x;

			synth_minidump(&s, synth_named(expectations[i].name), NULL);
			run_synth(&x, &s);
			if (big && expectations[i].id[0] == '4') /* a GUID's fields follow the byte order */
				x.r.module_id = expectations[i].id;
			check_expectation(&expectations[i], &x);
			run_end(&x);
			synth_free(&s);
		}
}

static void
test_module_ids(void **state)
{
	struct synth_module modules[] = {
		{ .path = "C:\\a\\One.DLL",
		  .base = 0x10000,
		  .size = 0xabc000,
		  .timestamp = 0x123,
		  .cv = SYNTH_CV_NONE,
		  .version = { 10, 0, 19041, 1 } },
		{ .path = "C:\\a\\two.dll",
		  .base = 0x2000000,
		  .size = 0x1000,
		  .timestamp = 0xfedcba98,
		  .cv = SYNTH_CV_PDB20,
		  .age = 12 },
		{ .path = "C:\\a\\three.dll",
		  .base = 0x3000000,
		  .size = 0x1000,
		  .timestamp = 1,
		  .cv = SYNTH_CV_PDB70,
		  .age = 0x1c,
		  .id = { 0x08, 0x43, 0x50, 0x1b, 0x17, 0x5f, 0xa3, 0x4d, 0x85, 0x52, 0x1d, 0xd4, 0x74, 0x0d, 0x17,
			  0x30 } },
	};
	struct synth_crash c = *synth_named("windows-x86");
	struct synth s = { 0 };
	struct run x;

	(void)state;
	c.modules = modules;
	c.n_modules = 3;
	synth_minidump(&s, &c, NULL);
	run_synth(&x, &s);
	assert_int_equal(x.err, ERR_OK);
	assert_string_equal(x.r.modules[0].code_id, "00000123abc000");
	assert_string_equal(x.r.modules[0].debug_id, "");
	assert_string_equal(x.r.modules[0].version, "10.0.19041.1");
	assert_string_equal(x.r.modules[1].code_id, "fedcba981000");
	assert_string_equal(x.r.modules[1].debug_id, "FEDCBA98c");
	assert_string_equal(x.r.modules[1].version, "");
	assert_string_equal(x.r.modules[2].debug_id, "1B5043085F174DA385521DD4740D17301c");
	/* 0x401234 is in One.DLL */
	assert_string_equal(x.r.title, "one.dll+0x3f1234");
	run_end(&x);
	synth_free(&s);
}

static void
test_elf_ids(void **state)
{
	struct synth_module modules[] = {
		{ .path = "/bin/a",
		  .base = 0x400000,
		  .size = 0x10000,
		  .cv = SYNTH_CV_ELF,
		  .id_len = 8,
		  .id = { 0x10, 0xfa, 0xa6, 0xbb, 0xba, 0xab, 0x83, 0xdb } },
		{ .path = "/usr/share/font", .base = 0x500000, .size = 0x1000, .cv = SYNTH_CV_ELF, .id_len = 20 },
	};
	struct synth_crash c = *synth_named("linux-x64");
	struct synth s = { 0 };
	struct run x;

	(void)state;
	c.modules = modules;
	c.n_modules = 2;
	synth_minidump(&s, &c, NULL);
	run_synth(&x, &s);
	assert_string_equal(x.r.modules[0].code_id, "10faa6bbbaab83db");
	assert_string_equal(x.r.modules[0].debug_id, "BBA6FA10ABBADB8300000000000000000");
	assert_string_equal(x.r.modules[1].code_id, "");
	assert_string_equal(x.r.modules[1].debug_id, "");
	run_end(&x);
	synth_free(&s);
}

static void
test_no_crash(void **state)
{
	struct synth_crash c = *synth_named("windows-x64");
	struct synth s = { 0 };
	struct run x;

	(void)state;
	c.no_exception = true;
	synth_minidump(&s, &c, NULL);
	run_synth(&x, &s);
	assert_int_equal(x.err, ERR_OK);
	assert_string_equal(x.r.reason, "");
	assert_int_equal(x.r.crashing_thread, -1);
	assert_int_equal(x.r.n_frames, 0);
	assert_false(x.r.has_signature);
	run_end(&x);
	synth_free(&s);
}

/* ---- streams of Breakpad and Crashpad ---- */

static void
add_stream(struct synth *s, const struct synth_places *w, uint32_t type, size_t at)
{
	uint32_t n = s->p[w->n_streams];

	synth_patch(s, w->directory + 12 * n, type, 4);
	synth_patch(s, w->directory + 12 * n + 4, s->len - at, 4);
	synth_patch(s, w->directory + 12 * n + 8, at, 4);
	synth_patch(s, w->n_streams, n + 1, 4);
}

static void
utf16_fixed(struct synth *s, const char *text)
{
	for (size_t i = 0; i < 128; i++)
		synth_u16(s, i < strlen(text) ? (uint8_t)text[i] : 0);
}

static size_t
utf8_string(struct synth *s, const char *text)
{
	size_t at = synth_u32(s, (uint32_t)strlen(text));

	synth_bytes(s, text, strlen(text) + 1);
	synth_align(s, 4);
	return at;
}

static void
test_annotations(void **state)
{
	struct synth s = { 0 };
	struct synth_places w;
	size_t key, value, dict, object_name, object_value, objects, module, modules, at;
	struct run x;

	(void)state;
	synth_minidump(&s, synth_named("windows-x64"), &w);
	at = s.len;
	utf16_fixed(&s, "p != NULL");
	utf16_fixed(&s, "open");
	utf16_fixed(&s, "file.c");
	synth_u32(&s, 42);
	synth_u32(&s, 0);
	add_stream(&s, &w, 0x47670002, at);
	key = utf8_string(&s, "channel");
	value = utf8_string(&s, "beta");
	dict = synth_u32(&s, 1);
	synth_u32(&s, (uint32_t)key);
	synth_u32(&s, (uint32_t)value);
	object_name = utf8_string(&s, "abort message");
	object_value = utf8_string(&s, "no \xff luck");
	objects = synth_u32(&s, 1);
	synth_u32(&s, (uint32_t)object_name);
	synth_u32(&s, 1);
	synth_u32(&s, (uint32_t)object_value);
	module = synth_u32(&s, 1);
	synth_zero(&s, 16);
	synth_u32(&s, 16);
	synth_u32(&s, (uint32_t)objects);
	modules = synth_u32(&s, 1);
	synth_u32(&s, 0);
	synth_u32(&s, 28);
	synth_u32(&s, (uint32_t)module);
	at = synth_u32(&s, 1);
	synth_zero(&s, 32);
	synth_u32(&s, 12);
	synth_u32(&s, (uint32_t)dict);
	synth_u32(&s, 16);
	synth_u32(&s, (uint32_t)modules);
	add_stream(&s, &w, 0x43500001, at);
	run_synth(&x, &s);
	assert_int_equal(x.err, ERR_OK);
	assert_int_equal(x.r.n_annotations, 3);
	assert_string_equal(x.r.annotations[0].key, "assertion");
	assert_string_equal(x.r.annotations[0].value, "p != NULL in open at file.c:42");
	assert_string_equal(x.r.annotations[1].key, "channel");
	assert_string_equal(x.r.annotations[1].value, "beta");
	assert_string_equal(x.r.annotations[2].key, "abort message");
	assert_string_equal(x.r.annotations[2].value, "no \xef\xbf\xbd luck");
	run_end(&x);
	synth_free(&s);
}

/* Texts longer than we keep are never cut inside a character. */
static void
test_long_assertion(void **state)
{
	(void)state;
	for (int lead = 0; lead < 3; lead++) {
		struct synth s = { 0 };
		struct synth_places w;
		struct run x;
		size_t at;

		synth_minidump(&s, synth_named("windows-x64"), &w);
		at = s.len;
		for (int i = 0; i < 3 * 128; i++)
			synth_u16(&s, i < lead ? 'a' : 0x20ac);
		synth_u32(&s, 42);
		synth_u32(&s, 0);
		add_stream(&s, &w, 0x47670002, at);
		run_synth(&x, &s);
		assert_int_equal(x.r.n_annotations, 1);
		assert_true(text_is_utf8(text_of(x.r.annotations[0].value)));
		assert_true(strlen(x.r.annotations[0].value) > 500);
		run_end(&x);
		synth_free(&s);
	}
}

static void
test_requesting_thread(void **state)
{
	struct synth_crash c = *synth_named("linux-x64");
	struct synth s = { 0 };
	struct synth_places w;
	struct run x;
	size_t at;

	(void)state;
	c.no_exception = true;
	synth_minidump(&s, &c, &w);
	at = synth_u32(&s, 3);
	synth_u32(&s, SYNTH_TID(0));
	synth_u32(&s, SYNTH_TID(1));
	add_stream(&s, &w, 0x47670001, at);
	run_synth(&x, &s);
	assert_int_equal(x.r.crashing_thread, 1);
	assert_int_equal(x.r.n_frames, 4);
	assert_false(x.r.has_signature);
	run_end(&x);
	synth_free(&s);
}

/* ---- lies ---- */

struct lie {
	const char *what;
	size_t at;
	uint64_t v;
	unsigned width;
	bool fatal; /* nothing useful is left */
};

static void
check_lie(const struct lie *l, const struct synth_crash *c)
{
	struct synth s = { 0 };
	struct run x;

	synth_minidump(&s, c, NULL);
	synth_patch(&s, l->at, l->v, l->width);
	run_synth(&x, &s);
	if (l->fatal ? x.err == ERR_OK : x.err != ERR_OK)
		fail_msg("%s: error %d", l->what, x.err);
	if (!l->fatal && !x.r.partial)
		fail_msg("%s: not said to be partial", l->what);
	run_end(&x);
	synth_free(&s);
}

static void
test_lies(void **state)
{
	const struct synth_crash *c = synth_named("linux-x64"), *c64 = synth_named("linux-x64-memory64");
	struct synth s = { 0 }, s64 = { 0 };
	struct synth_places w, w64;

	(void)state;
	synth_minidump(&s, c, &w);
	synth_minidump(&s64, c64, &w64);
	const struct lie lies[] = {
		{ "terabytes of streams", w.n_streams, 0xffffffff, 4, false },
		{ "directory outside", w.n_streams + 4, 0xfffffff0, 4, true },
		{ "terabytes of threads", w.thread_count, 0xffffffff, 4, false },
		{ "terabytes of modules", w.module_count, 0x7fffffff, 4, false },
		{ "terabytes of memory ranges", w.memory_count, 0xffffffff, 4, false },
		{ "memory outside", w.memory + 12, 0xffffff00, 4, false },
		{ "a module of no bytes", w.modules + 8, 0, 4, false },
		{ "a module around the end of memory", w.modules, 0xfffffffffffffff0, 8, false },
		{ "codeview outside", w.modules + 80, 0xffffff00, 4, false },
		{ "context without flags", w.context + 48, 0, 4, false },
		{ "another version", 4, 0x1234, 4, false },
	};
	const struct lie lies64[] = {
		{ "terabytes of memory64 ranges", w64.memory_count, UINT64_C(1) << 60, 8, false },
		{ "a memory64 range of terabytes", w64.memory + 8, UINT64_MAX - 16, 8, false },
		{ "memory64 base outside", w64.memory_count + 8, UINT64_MAX - 3, 8, false },
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		check_lie(&lies[i], c);
	for (size_t i = 0; i < sizeof(lies64) / sizeof(lies64[0]); i++)
		check_lie(&lies64[i], c64);
	synth_free(&s);
	synth_free(&s64);
}

/* Streams over one another, over the header, and names that point at themselves. */
static void
test_self_reference(void **state)
{
	struct synth s = { 0 };
	struct synth_places w;
	struct run x;

	(void)state;
	synth_minidump(&s, synth_named("linux-x64"), &w);
	synth_patch(&s, w.modules + 20, w.modules + 20, 4); /* name: its own RVA as the length */
	for (uint32_t i = 0; i < s.p[w.n_streams]; i++) {
		synth_patch(&s, w.directory + 12 * i + 4, s.len, 4);
		synth_patch(&s, w.directory + 12 * i + 8, 0, 4);
	}
	run_synth(&x, &s);
	run_end(&x);
	for (uint32_t i = 0; i < s.p[w.n_streams]; i++)
		synth_patch(&s, w.directory + 12 * i + 8, w.directory, 4);
	run_synth(&x, &s);
	run_end(&x);
	synth_free(&s);
}

static void
test_frame_pointer_loops(void **state)
{
	static const char *const names[] = { "linux-x86", "linux-x64", "linux-arm64", "ios-arm" };
	/* every word is a frame pointer to the start, and a return address to boot */
	uint64_t words[20];

	(void)state;
	for (size_t n = 0; n < 4; n++) {
		struct synth_crash c = *synth_named(names[n]);
		struct synth s = { 0 };
		struct run x;

		for (size_t i = 0; i < 20; i++)
			words[i] = i % 2 ? 0x401111 : c.stack_base;
		c.stack = words;
		c.fp = c.stack_base;
		synth_minidump(&s, &c, NULL);
		run_synth(&x, &s);
		assert_int_equal(x.err, ERR_OK);
		assert_in_range(x.r.n_frames, 1, 22);
		run_end(&x);
		synth_free(&s);
	}
}

/* A deep recursion ends at the limit, not at the memory's. */
static void
test_many_frames(void **state)
{
	struct synth_crash c = *synth_named("linux-x86");
	struct synth s = { 0 };
	uint64_t *words = calloc(4000, sizeof(*words));
	struct run x;

	(void)state;
	for (size_t i = 0; i < 4000; i++)
		words[i] = i % 2 ? 0x401111 : c.stack_base + 4 * (i + 2);
	c.stack = words;
	c.n_stack = 4000;
	c.fp = c.stack_base;
	synth_minidump(&s, &c, NULL);
	run_synth(&x, &s);
	assert_int_equal(x.r.n_frames, TRIAGE_MAX_FRAMES);
	run_end(&x);
	synth_free(&s);
	free(words);
}

static void
test_truncated(void **state)
{
	static const char *const names[] = { "windows-x86", "linux-x64", "macos-arm64" };

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		struct synth s = { 0 };

		synth_minidump(&s, synth_named(names[k]), NULL);
		for (size_t len = 0; len < s.len; len++) {
			struct run x;

			run_bytes(&x, s.p, len);
			if (x.err == ERR_OK && !x.r.partial)
				fail_msg("%s cut at %zu of %zu bytes is taken for whole", names[k], len, s.len);
			if (x.err != ERR_OK)
				assert_non_null(x.diag.what);
			run_end(&x);
		}
		synth_free(&s);
	}
}

static void
test_small_arena(void **state)
{
	struct synth s = { 0 };

	(void)state;
	synth_minidump(&s, synth_named("linux-x64"), NULL);
	for (size_t limit = 0; limit < 60000; limit += 997) {
		struct arena *a = arena_new(limit);
		struct triage_result r;
		struct diag diag;
		enum err e = triage_run(a, s.p, s.len, NULL, &r, &diag);

		assert_true(e == ERR_OK || e == ERR_LIMIT);
		arena_free(a);
	}
	synth_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind),        cmocka_unit_test(test_module_ids),
		cmocka_unit_test(test_elf_ids),           cmocka_unit_test(test_no_crash),
		cmocka_unit_test(test_annotations),       cmocka_unit_test(test_long_assertion),
		cmocka_unit_test(test_requesting_thread), cmocka_unit_test(test_lies),
		cmocka_unit_test(test_self_reference),    cmocka_unit_test(test_frame_pointer_loops),
		cmocka_unit_test(test_many_frames),       cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_small_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
