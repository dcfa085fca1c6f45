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

#define BUILD_ID "784fd549332d826ed23f18c17c6f320a01020304"

static void
test_every_processor(void **state)
{
	static const struct {
		const char *name, *arch, *reason;
		uint64_t offset; /* of frame 1 */
		enum triage_trust trust;
	} t[] = {
		{ "linux-x86", "x86", "SIGSEGV / SEGV_MAPERR", 0x1113, TRIAGE_TRUST_FRAME_POINTER },
		{ "linux-x64", "x64", "SIGSEGV / SEGV_MAPERR", 0x1113, TRIAGE_TRUST_FRAME_POINTER },
		{ "linux-arm", "arm", "SIGBUS / BUS_ADRALN", 0x1112, TRIAGE_TRUST_SCAN },
		{ "linux-arm64", "arm64", "SIGFPE / FPE_INTDIV", 0x1110, TRIAGE_TRUST_FRAME_POINTER },
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct synth s = { 0 };
		struct run x;

		synth_core(&s, synth_named(t[i].name), NULL);
		run_synth(&x, &s);
		assert_int_equal(x.err, ERR_OK);
		assert_int_equal(x.r.format, TRIAGE_FORMAT_ELFCORE);
		assert_string_equal(triage_os_name(x.r.os), "linux");
		assert_string_equal(triage_arch_name(x.r.arch), t[i].arch);
		assert_string_equal(x.r.reason, t[i].reason);
		assert_true(x.r.address == 0x45);
		assert_int_equal(x.r.thread_count, 2);
		assert_int_equal(x.r.crashing_thread, 0);
		assert_int_equal(x.r.crashing_tid, SYNTH_TID(0));
		assert_int_equal(x.r.process_id, SYNTH_PID);
		assert_int_equal(x.r.module_count, 2);
		assert_string_equal(x.r.modules[0].path, "/usr/bin/program");
		assert_true(x.r.modules[0].base == 0x400000 && x.r.modules[0].size == 0x10000);
		assert_string_equal(x.r.modules[1].id, BUILD_ID);
		assert_string_equal(x.r.modules[1].debug_id, "49D54F782D336E82D23F18C17C6F320A0");
		assert_string_equal(x.r.title, "program+0x1234");
		assert_string_equal(x.r.module_id, BUILD_ID);
		assert_true(x.r.n_frames > 1);
		assert_int_equal(x.r.frames[1].trust, t[i].trust);
		assert_true(x.r.frames[1].offset == t[i].offset);
		assert_false(x.r.partial);
		run_end(&x);
		synth_free(&s);
	}
}

/* A signal that someone sent has no fault address: the pc is what there is. */
static void
test_sent_signal(void **state)
{
	struct synth_crash c = *synth_named("linux-x64");
	struct synth s = { 0 };
	struct run x;

	(void)state;
	c.code = 6;
	c.flags = 0xfffffffa;
	c.address = 0x3e8000039be; /* pid and uid of the sender */
	synth_core(&s, &c, NULL);
	run_synth(&x, &s);
	assert_string_equal(x.r.reason, "SIGABRT / SI_TKILL");
	assert_true(x.r.address == 0x401234);
	assert_int_equal(x.r.class, REASON_ABORT);
	run_end(&x);
	synth_free(&s);
}

static void
test_snapshot_is_no_crash(void **state)
{
	struct synth_crash c = *synth_named("linux-x64");
	struct synth s = { 0 };
	struct run x;

	(void)state;
	c.code = 19;
	c.flags = 0;
	synth_core(&s, &c, NULL);
	run_synth(&x, &s);
	assert_int_equal(x.err, ERR_OK);
	assert_false(x.r.has_signature);
	run_end(&x);
	synth_free(&s);
}

static void
test_deleted_program(void **state)
{
	struct synth_module modules[] = {
		{ .path = "/opt/app/server (deleted)", .base = 0x400000, .size = 0x10000, .id_len = 20 }
	};
	struct synth_crash c = *synth_named("linux-x64");
	struct synth s = { 0 };
	struct run x;

	(void)state;
	c.modules = modules;
	c.n_modules = 1;
	synth_core(&s, &c, NULL);
	run_synth(&x, &s);
	assert_string_equal(x.r.modules[0].path, "/opt/app/server (deleted)");
	assert_string_equal(x.r.module, "server");
	run_end(&x);
	synth_free(&s);
}

/* Modules are found by their headers when the list of mapped files is missing. */
static void
test_without_file_note(void **state)
{
	struct synth s = { 0 };
	struct synth_core_places w;
	struct run x;

	(void)state;
	synth_core(&s, synth_named("linux-x64"), &w);
	synth_patch(&s, w.file_note - 12, 0x1234, 4); /* another type of note */
	run_synth(&x, &s);
	assert_int_equal(x.err, ERR_OK);
	assert_int_equal(x.r.module_count, 2);
	assert_string_equal(x.r.modules[0].path, "program");
	/* the other one's name comes from the dynamic linker's list */
	assert_string_equal(x.r.modules[1].path, "/lib/libc.so.6");
	assert_string_equal(x.r.modules[1].id, BUILD_ID);
	assert_string_equal(x.r.module_id, BUILD_ID);
	run_end(&x);
	synth_free(&s);
}

static void
test_netbsd(void **state)
{
	struct synth s = { 0 };
	struct run x;

	(void)state;
	synth_core(&s, synth_named("netbsd-x64"), NULL);
	run_synth(&x, &s);
	assert_int_equal(x.err, ERR_OK);
	assert_string_equal(triage_os_name(x.r.os), "netbsd");
	assert_string_equal(x.r.reason, "SIGSEGV");
	assert_int_equal(x.r.thread_count, 2);
	assert_int_equal(x.r.crashing_thread, 1);
	assert_int_equal(x.r.crashing_tid, 2);
	assert_int_equal(x.r.process_id, SYNTH_PID);
	assert_string_equal(x.r.title, "program+0x1234");
	assert_string_equal(x.r.module_id, BUILD_ID);
	assert_int_equal(x.r.frames[1].trust, TRIAGE_TRUST_FRAME_POINTER);
	run_end(&x);
	synth_free(&s);
}

/* Processors whose registers we do not read: threads, signal and modules are there, and what is missing is said. */
static void
test_other_processors(void **state)
{
	static const struct {
		uint16_t machine;
		const char *arch, *missing;
	} cases[] = {
		{ 22, "s390x", "registers of s390x are not read" },
		{ 21, "ppc64", "registers of ppc64 are not read" },
		{ 243, "riscv64", "registers of riscv64 are not read" },
		{ 258, "loongarch64", "registers of loongarch64 are not read" },
		{ 43, "sparc", "registers of sparc are not read" },
		{ 8, "mips64", "registers of mips64 are not read" },
		{ 9999, "unknown", "registers of ELF machine 9999 are not read" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct synth s = { 0 };
		struct run x;

		synth_core(&s, synth_named("linux-x64"), NULL);
		s.p[18] = (uint8_t)cases[i].machine;
		s.p[19] = (uint8_t)(cases[i].machine >> 8);
		run_synth(&x, &s);
		assert_int_equal(x.err, ERR_OK);
		assert_string_equal(triage_arch_name(x.r.arch), cases[i].arch);
		assert_true(x.r.partial);
		assert_string_equal(x.r.partial_what, cases[i].missing);
		assert_string_equal(x.r.stack_end, cases[i].missing);
		assert_int_equal(x.r.n_frames, 0);
		assert_true(x.r.thread_count > 0 && x.r.module_count > 0);
		assert_int_equal(x.r.class, REASON_ACCESS);
		run_end(&x);
		synth_free(&s);
	}
}

/* Signals have other numbers there, and si_code stands before si_errno. */
static void
test_mips_signals(void **state)
{
	struct synth s = { 0 };
	struct run x;
	uint8_t *p;

	(void)state;
	synth_core(&s, synth_named("linux-x64"), NULL);
	s.p[18] = 8;
	/* NT_SIGINFO: its type is "SIGI", then owner and description */
	p = memmem(s.p, s.len, "IGIS", 4);
	assert_non_null(p);
	memcpy(p + 4 + 8, (const uint8_t[12]){ 10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0 }, 12);
	run_synth(&x, &s);
	assert_int_equal(x.err, ERR_OK);
	assert_string_equal(x.r.reason, "SIGBUS / BUS_ADRERR");
	run_end(&x);
	synth_free(&s);
}

static void
put_note(struct synth *s, uint32_t type, const uint64_t *words, size_t n)
{
	synth_u32(s, 8);
	synth_u32(s, (uint32_t)(8 * n));
	synth_u32(s, type);
	synth_bytes(s, "FreeBSD", 8);
	for (size_t i = 0; i < n; i++)
		synth_u64(s, words[i]);
}

static void
test_freebsd(void **state)
{
	/* two threads: version, sizes, release and signal, thread; r15 to ss */
	uint64_t status[6 + 23] = { 1, 0, 184, 512, UINT64_C(10) << 32 | 1400097, 100123 };
	struct synth s = { 0 };
	struct run x;
	size_t size;

	(void)state;
	for (int machine = 62; machine <= 183; machine += 183 - 62) {
		synth_bytes(&s, "\177ELF\2\1\1\11\0\0\0\0\0\0\0", 16);
		synth_u16(&s, 4);
		synth_u16(&s, (uint16_t)machine);
		synth_u32(&s, 1);
		for (int i = 0; i < 3; i++)
			synth_u64(&s, i == 1 ? 64 : 0);
		synth_u32(&s, 0);
		for (int i = 0; i < 6; i++)
			synth_u16(&s, (const uint16_t[]){ 64, 56, 1, 64, 0, 0 }[i]);
		size = 2 * (20 + sizeof(status));
		synth_u32(&s, 4);
		synth_u32(&s, 4);
		synth_u64(&s, 120);
		synth_u64(&s, 0);
		synth_u64(&s, 0);
		synth_u64(&s, size);
		synth_u64(&s, size);
		synth_u64(&s, 4);
		status[5] = 100123;
		status[6 + 17] = 0x401234;
		status[6 + 20] = 0x7fffffffe000;
		put_note(&s, 1, status, 29);
		status[5] = 100124;
		put_note(&s, 1, status, 29);
		run_synth(&x, &s);
		assert_int_equal(x.err, ERR_OK);
		assert_string_equal(triage_os_name(x.r.os), "freebsd");
		assert_int_equal(x.r.thread_count, 2);
		assert_int_equal(x.r.crashing_tid, 100123);
		assert_string_equal(x.r.reason, "SIGBUS");
		if (machine == 62)
			assert_int_equal(x.r.address, 0x401234);
		else
			assert_true(x.r.partial);
		run_end(&x);
		synth_free(&s);
		s = (struct synth){ 0 };
	}
}

/* A list of the dynamic linker that bites its own tail. */
static void
test_link_map_ring(void **state)
{
	struct synth s = { 0 };
	struct synth_core_places w;
	uint8_t *map;
	struct run x;

	(void)state;
	synth_core(&s, synth_named("linux-x64"), &w);
	synth_patch(&s, w.file_note - 12, 0x1234, 4);
	/* l_next of the first entry: itself */
	map = memmem(s.p, s.len, "\0\x09\x40\0\0\0\0\0", 8);
	assert_non_null(map);
	synth_patch(&s, (size_t)(map - s.p) + 0x900 - 0x888 + 24, 0x400900, 8);
	run_synth(&x, &s);
	assert_int_equal(x.err, ERR_OK);
	assert_int_equal(x.r.module_count, 2);
	assert_true(strncmp(x.r.modules[1].path, "image-", 6) == 0);
	run_end(&x);
	synth_free(&s);
}

static void
test_lies(void **state)
{
	struct synth_core_places w;
	struct synth good = { 0 };

	(void)state;
	synth_core(&good, synth_named("linux-x64"), &w);
	const struct {
		const char *what;
		size_t at;
		uint64_t v;
		unsigned width;
		bool fatal;
	} t[] = {
		{ "mapped files of terabytes", w.file_note, UINT64_C(1) << 40, 8, false },
		{ "a note of 4 GiB", w.file_note - 16, 0xfffffff0, 4, false },
		{ "a note of a size that wraps", w.file_note - 16, 0xffffffff, 4, false },
		{ "65535 segments", w.n_phdrs, 0xffff, 2, false },
		{ "more segments than the file", w.n_phdrs, 0xfff0, 2, false },
		{ "no segments", w.n_phdrs, 0, 2, true },
		{ "segments outside", 32, UINT64_MAX - 7, 8, true },
		{ "no core", 16, 2, 2, true },
		{ "class 9", 4, 9, 1, true },
		{ "a load at the end of memory", w.phdrs + 56 + 16, UINT64_MAX - 100, 8, false },
		{ "a load outside the file", w.phdrs + 56 + 8, UINT64_MAX - 100, 8, false },
		{ "a load of all memory", w.phdrs + 56 + 40, UINT64_MAX, 8, false },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct synth s = { 0 };
		struct run x;

		synth_bytes(&s, good.p, good.len);
		synth_patch(&s, t[i].at, t[i].v, t[i].width);
		run_synth(&x, &s);
		if (t[i].fatal ? x.err == ERR_OK : x.err != ERR_OK)
			fail_msg("%s: error %d", t[i].what, x.err);
		run_end(&x);
		synth_free(&s);
	}
	synth_free(&good);
}

static void
test_truncated(void **state)
{
	static const char *const names[] = { "linux-x64", "linux-x86" };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct synth s = { 0 };

		synth_core(&s, synth_named(names[k]), NULL);
		for (size_t len = 0; len < s.len; len += len < 4096 ? 1 : 61) {
			struct run x;

			run_bytes(&x, s.p, len);
			if (x.err == ERR_OK && !x.r.partial)
				fail_msg("%s cut at %zu of %zu bytes is taken for whole", names[k], len, s.len);
			run_end(&x);
		}
		synth_free(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_processor),
		cmocka_unit_test(test_sent_signal),
		cmocka_unit_test(test_snapshot_is_no_crash),
		cmocka_unit_test(test_deleted_program),
		cmocka_unit_test(test_without_file_note),
		cmocka_unit_test(test_netbsd),
		cmocka_unit_test(test_other_processors),
		cmocka_unit_test(test_mips_signals),
		cmocka_unit_test(test_freebsd),
		cmocka_unit_test(test_link_map_ring),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
