/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "triage/blame.h"
#include "triage/messenger.h"

/* ---- names ---- */

static void
test_plain_names(void **state)
{
	static const char *const names[][2] = {
		{ "raise", "raise" },
		{ "std::vector<int, std::allocator<int> >::at(unsigned long)",
		  "std::vector<int, std::allocator<int> >::at" },
		{ "foo::(anonymous namespace)::bar(int)", "foo::(anonymous namespace)::bar" },
		{ "functor::operator()(int) const", "functor::operator()" },
		{ "nt!KeBugCheckEx", "KeBugCheckEx" },
		{ "do_work.constprop.0", "do_work" },
		{ "do_work.cold", "do_work" },
		{ "do_work.part.3.llvm.8812", "do_work" },
		{ "memcpy@@GLIBC_2.14", "memcpy" },
		{ "_WaitForSingleObject@8", "_WaitForSingleObject" },
		{ "core::panicking::panic_fmt::h0123456789abcdef", "core::panicking::panic_fmt" },
		{ "core::panicking::panic_fmt::h0123456789abcdeg", "core::panicking::panic_fmt::h0123456789abcdeg" },
		{ "?terminate@@YAXXZ", "terminate" },
		{ "?run@Engine@av@@QEAAXXZ", "av::Engine::run" },
		{ "??0Engine@@QEAA@XZ", "??0Engine@@QEAA@XZ" },
		{ "runtime.raise.abi0", "runtime.raise" },
		{ "ext4_put_super+0x1a/0x330", "ext4_put_super" },
		{ "operator+(A const&, B const&)", "operator+" },
		{ "-[NSException raise:format:]", "-[NSException raise:format:]" },
		{ "", "" },
		{ "?", "?" },
		{ "!", "!" },
		{ "(", "(" },
	};
	char out[FUNCTION_PLAIN_MAX + 1], longest[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		function_plain(names[i][0], out);
		assert_string_equal(out, names[i][1]);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(function_plain(longest, out), FUNCTION_PLAIN_MAX);
	longest[0] = '?';
	assert_int_equal(function_plain(longest, out), FUNCTION_PLAIN_MAX);
	for (size_t i = 0; i + 2 < sizeof(longest); i += 3)
		memcpy(longest + i, "\xe2\x82\xac", 3); /* 85 of them fill the room */
	assert_int_equal(function_plain(longest, out), 255);
	assert_memory_equal(out + 252, "\xe2\x82\xac", 3);
}

static void
test_patterns(void **state)
{
	(void)state;
	assert_true(messenger_matches("libc-2.*", "libc-2.31.so"));
	assert_true(messenger_matches("*", ""));
	assert_true(messenger_matches("a*b*c", "a-b-bc"));
	assert_false(messenger_matches("a*b*c", "a-b-cb"));
	assert_false(messenger_matches("", "x"));
	assert_true(messenger_matches("", ""));
	assert_false(messenger_matches("raise", "raised"));
}

static void
test_functions(void **state)
{
	static const struct {
		const char *module, *function;
		bool kernel, messenger;
	} cases[] = {
		{ "libc.so.6", "__GI_raise", false, true },
		{ "agent", "std::terminate()", false, true },
		{ "agent", "core::panicking::panic_bounds_check::h5e5ad5a7dbd2a1c8", false, true },
		{ "agent", "runtime.throw", false, true },
		{ "agent", "__asan::ReportGenericError(unsigned long)", false, true },
		{ "libc.so.6", "__memmove_avx_unaligned_erms", false, true },
		{ "ntdll.dll", "RtlReportFatalFailure", false, true },
		{ "agent", "agent::parse(char const*)", false, false },
		{ "agent", "raised_hand", false, false },
		{ "agent", "small_parse", false, false }, /* a heap's name only in libsystem_malloc */
		{ "libsystem_malloc.dylib", "small_free_list_remove_ptr", false, true },
		{ "agent", "schedule", false, false }, /* the kernel's names are short */
		{ "vmlinux", "schedule", true, true },
		{ "ntoskrnl.exe", "KiPageFault+0x444", true, true },
		{ "agent", "", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(messenger_function(cases[i].module, cases[i].function, cases[i].kernel) != NULL,
				 cases[i].messenger);
	assert_string_equal(messenger_function("libc.so.6", "raise", false), "messenger: raise (abort)");
	assert_string_equal(messenger_module(REASON_ABORT, "libc-2.31.so"), "messenger: libc-2.*");
	assert_null(messenger_module(REASON_ACCESS, "libc-2.31.so"));
}

/* ---- the blame ---- */

#define FRAME(m, t, f)                                                                                  \
	{                                                                                               \
		.module = (m), .trust = TRIAGE_TRUST_##t, .function = (f), .offset = 0x10, .pc = 0x1010 \
	}

static const struct triage_module modules[] = {
	{ .path = "/usr/bin/agent", .id = "", .code_id = "", .debug_id = "", .version = "" },
	{ .path = "/lib/libc.so.6", .id = "", .code_id = "", .debug_id = "", .version = "" },
	{ .path = "/lib/libplugin.so", .id = "", .code_id = "", .debug_id = "", .version = "" },
};

static struct triage_result
crash(const char *reason, const struct triage_frame *frames, size_t n)
{
	return (struct triage_result){ .reason = reason,
				       .modules = modules,
				       .n_modules = 3,
				       .frames = frames,
				       .n_frames = n,
				       .has_signature = true };
}

/* A fault inside memcpy() is its caller's, whatever the class, when the dump has the names. */
static void
test_names_move_the_blame(void **state)
{
	static const struct triage_frame frames[] = {
		FRAME(1, CONTEXT, "__memmove_avx_unaligned_erms"),
		FRAME(2, CFI, "plugin::copy(char*)"),
		FRAME(0, CFI, "main"),
	};
	struct triage_result r = crash("SIGSEGV / SEGV_MAPERR", frames, 3);

	(void)state;
	blame_choose(&r);
	assert_int_equal(r.blamed, 1);
	assert_string_equal(r.blame_rule, "messenger: __memmove* (copy)");
	blame_function(&r);
	assert_int_equal(r.function_frame, 1);
}

/* Where the functions of a known build are is a fact of the build: no name is needed.  Who comes after one has to be
 * found exactly, because a copying function leaves its caller's frame pointer alone. */
static void
test_offsets_of_builds(void **state)
{
	static const char id[] = "93ac61ec5a8eb1396f9fbd350e3169a558528a40";
	static const struct triage_module known[] = {
		{ .path = "/opt/agent/plugin.so", .base = 0x10000, .size = 0x10000, .id = "01" },
		{ .path = "/usr/lib/x86_64-linux-gnu/libc.so.6", .base = 0x20000, .size = 0x200000, .id = id },
	};
	struct triage_frame frames[] = {
		{ .offset = 0x98930 + 0x20, .module = 1, .trust = TRIAGE_TRUST_CONTEXT, .function = "" },
		{ .offset = 0x1234, .module = 0, .trust = TRIAGE_TRUST_CFI, .function = "" },
	};
	struct triage_result r = { .reason = "SIGSEGV / SEGV_MAPERR",
				   .modules = known,
				   .n_modules = 2,
				   .frames = frames,
				   .n_frames = 2,
				   .has_signature = true };

	(void)state;
	assert_string_equal(messenger_offset(id, 0x98930), "messenger: malloc (allocator, known offset)");
	assert_string_equal(messenger_offset(id, 0x98930 + 0x316), "messenger: malloc (allocator, known offset)");
	assert_null(messenger_offset(id, 0x98930 + 0x317));
	assert_null(messenger_offset(id, 0x98930 - 1));
	assert_null(messenger_offset("93ac61ec5a8eb1396f9fbd350e3169a558528a41", 0x98930));
	assert_null(messenger_offset("", 0x98930));
	blame_choose(&r);
	assert_int_equal(r.blamed, 1);
	assert_string_equal(r.blame_rule, "messenger: malloc (allocator, known offset)");
	frames[1].trust = TRIAGE_TRUST_REPORTED;
	blame_choose(&r);
	assert_int_equal(r.blamed, 1);
	frames[1].trust = TRIAGE_TRUST_FRAME_POINTER;
	blame_choose(&r);
	assert_int_equal(r.blamed, 0);
	assert_string_equal(r.blame_rule, "context");
	/* an offset that counts from a function is none of the module */
	frames[1].trust = TRIAGE_TRUST_CFI;
	frames[0].in_function = true;
	blame_choose(&r);
	assert_int_equal(r.blamed, 0);
}

static void
test_function_rung(void **state)
{
	static const struct triage_frame aborts[] = {
		FRAME(1, CONTEXT, ""),
		FRAME(1, CFI, "abort"),
		FRAME(0, CFI, "agent::check"),
		FRAME(0, CFI, "main"),
	};
	static const struct triage_frame jump[] = { FRAME(-1, CONTEXT, ""), FRAME(0, FRAME_POINTER, "call_it") };
	static const struct triage_frame unnamed[] = { FRAME(0, CONTEXT, ""), FRAME(0, CFI, "main") };
	static const struct triage_frame guess[] = { FRAME(1, CONTEXT, "abort"), FRAME(0, SCAN, "main") };
	static const struct triage_frame only[] = { FRAME(1, CONTEXT, "abort"), FRAME(1, CFI, "raise") };
	struct triage_result r = crash("SIGABRT", aborts, 4);
	struct arena *a;

	(void)state;
	blame_function(&r);
	assert_int_equal(r.function_frame, 2);
	assert_string_equal(r.function_rule, "messenger: abort (abort)");
	a = arena_new(1 << 16);
	assert_int_equal(blame_sign_function(a, &r), ERR_OK);
	assert_string_equal(r.function_title, "agent!agent::check");
	assert_true(r.function_signature != 0);
	arena_free(a);
	r = crash("SIGSEGV / SEGV_MAPERR", jump, 2);
	blame_function(&r);
	assert_int_equal(r.function_frame, 1);
	assert_string_equal(r.function_rule, "no-module");
	r = crash("SIGSEGV / SEGV_MAPERR", unnamed, 2);
	blame_function(&r);
	assert_int_equal(r.function_frame, -1);
	r = crash("SIGABRT", guess, 2);
	blame_function(&r);
	assert_int_equal(r.function_frame, -1);
	r = crash("SIGABRT", only, 2);
	blame_function(&r);
	assert_int_equal(r.function_frame, -1);
	assert_string_equal(r.function_rule, "none");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_names),       cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_functions),         cmocka_unit_test(test_names_move_the_blame),
		cmocka_unit_test(test_offsets_of_builds), cmocka_unit_test(test_function_rung),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
