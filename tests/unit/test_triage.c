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
#include <zlib.h>
#include <zstd.h>

#include "tests/synth/synth.h"
#include "triage/blame.h"
#include "triage/expand.h"
#include "triage/reason.h"
#include "triage/triage.h"

/* ---- reasons ---- */

static void
test_reasons(void **state)
{
	static const struct {
		enum triage_os os;
		enum triage_arch arch;
		struct exception_record e;
		const char *want;
	} t[] = {
#define WIN TRIAGE_OS_WINDOWS, TRIAGE_ARCH_X64
#define LIN TRIAGE_OS_LINUX, TRIAGE_ARCH_X64
#define MAC TRIAGE_OS_MACOS, TRIAGE_ARCH_X64
#define M1  TRIAGE_OS_MACOS, TRIAGE_ARCH_ARM64
		{ WIN, { .code = 0xc0000005, .n_params = 2, .params = { 8, 1 } }, "EXCEPTION_ACCESS_VIOLATION_EXEC" },
		{ WIN, { .code = 0xc0000005, .n_params = 2, .params = { 3, 1 } }, "EXCEPTION_ACCESS_VIOLATION" },
		{ WIN, { .code = 0xc0000005 }, "EXCEPTION_ACCESS_VIOLATION" },
		{ WIN,
		  { .code = 0xc0000006, .n_params = 3, .params = { 0, 1, 0xffffffffc000009c } },
		  "EXCEPTION_IN_PAGE_ERROR_READ / STATUS_DEVICE_DATA_ERROR" },
		{ WIN,
		  { .code = 0xc0000006, .n_params = 3, .params = { 1, 1, 0xc0deface } },
		  "EXCEPTION_IN_PAGE_ERROR_WRITE / 0xc0deface" },
		{ WIN,
		  { .code = 0xc0000409, .n_params = 1, .params = { 2 } },
		  "EXCEPTION_STACK_BUFFER_OVERRUN / FAST_FAIL_STACK_COOKIE_CHECK_FAILURE" },
		{ WIN,
		  { .code = 0xc0000409, .n_params = 1, .params = { 0x4d2 } },
		  "EXCEPTION_STACK_BUFFER_OVERRUN / 0x000004d2" },
		{ WIN, { .code = 0xc0000409 }, "STATUS_STACK_BUFFER_OVERRUN" },
		{ WIN, { .code = 0xc0000374 }, "STATUS_HEAP_CORRUPTION" },
		{ WIN, { .code = 0x80000003 }, "EXCEPTION_BREAKPOINT" },
		{ WIN, { .code = 0xe06d7363 }, "Unhandled C++ Exception" },
		{ WIN, { .code = 0xe0000008 }, "Out of Memory" },
		{ WIN, { .code = 0x0517a7ed }, "Simulated Exception" },
		{ WIN, { .code = 0xc06d007e }, "FACILITY_VISUALCPP / ERROR_MOD_NOT_FOUND" },
		{ WIN, { .code = 5 }, "ERROR_ACCESS_DENIED" },
		{ WIN, { .code = 0xa0b0c0d0 }, "unknown 0xa0b0c0d0" },
		{ LIN, { .code = 11, .flags = 1 }, "SIGSEGV / SEGV_MAPERR" },
		{ LIN, { .code = 11 }, "SIGSEGV" },
		{ LIN, { .code = 11, .flags = 0x80 }, "SIGSEGV / SI_KERNEL" },
		{ LIN, { .code = 11, .flags = 9 }, "SIGSEGV / 0x00000009" },
		{ LIN, { .code = 4, .flags = 2 }, "SIGILL / ILL_ILLOPN" },
		{ LIN, { .code = 5, .flags = 1 }, "SIGTRAP / TRAP_BRKPT" },
		{ LIN, { .code = 7, .flags = 4 }, "SIGBUS / BUS_MCEERR_AR" },
		{ LIN, { .code = 31, .flags = 1 }, "SIGSYS / SYS_SECCOMP" },
		{ LIN, { .code = 6, .flags = 0xfffffffa }, "SIGABRT / SI_TKILL" },
		{ LIN, { .code = 0xffffffff }, "DUMP_REQUESTED" },
		{ LIN, { .code = 99, .flags = 1 }, "unknown 0x00000063 / 0x00000001" },
		{ MAC, { .code = 1, .flags = 13 }, "EXC_BAD_ACCESS / EXC_I386_GPFLT" },
		{ M1, { .code = 1, .flags = 0x102 }, "EXC_BAD_ACCESS / EXC_ARM_DA_DEBUG" },
		{ M1, { .code = 1, .flags = 13 }, "EXC_BAD_ACCESS / 0x0000000d" },
		{ MAC, { .code = 2, .flags = 1 }, "EXC_BAD_INSTRUCTION / EXC_I386_INVOP" },
		{ MAC, { .code = 3, .flags = 1 }, "EXC_ARITHMETIC / EXC_I386_DIV" },
		{ MAC, { .code = 5, .flags = 0x10002 }, "EXC_SOFTWARE / SIGABRT" },
		{ MAC, { .code = 5, .flags = 0xdeadc0de }, "EXC_SOFTWARE / UNCAUGHT_NS_EXCEPTION" },
		{ MAC, { .code = 6, .flags = 2 }, "EXC_BREAKPOINT / EXC_I386_BPT" },
		{ MAC, { .code = 0x43507378 }, "Simulated Exception" },
		{ MAC, { .code = 0x43506e78 }, "unknown 0x43506e78 / 0x00000000" },
		{ M1,
		  { .code = 11, .flags = 0x20000000, .params = { 0, UINT64_C(1) << 58 | 180 << 7 | 5, 3 } },
		  "EXC_RESOURCE / RESOURCE_TYPE_CPU / FLAVOR_CPU_MONITOR interval: 180s CPU limit: 5% CPU consumed: 3%" },
		{ M1,
		  { .code = 12, .flags = 0x40000000, .params = { 0, UINT64_C(1) << 32 | 7, 9 } },
		  "EXC_GUARD / GUARD_TYPE_FD / GUARD_EXC_CLOSE file descriptor: 7 guard identifier: 9" },
		{ M1,
		  { .code = 12, .flags = 0x20000000, .params = { 0, UINT64_C(2) << 32 | 7, 0 } },
		  "EXC_GUARD / GUARD_TYPE_MACH_PORT / GUARD_EXC_MOD_REFS port name: 7" },
		{ TRIAGE_OS_SOLARIS, TRIAGE_ARCH_SPARC, { .code = 11, .flags = 1 }, "unknown 0x0000000b / 0x00000001" },
	};
	char out[REASON_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		reason_text(t[i].os, t[i].arch, &t[i].e, out);
		assert_string_equal(out, t[i].want);
	}
}

static void
test_tables_sorted(void **state)
{
#define CODE(value, name) value,
	static const uint32_t tables[] = {
#include "triage/ntstatus.def"
		0, /* the next table begins again */
#include "triage/winerror.def"
		0,
#include "triage/fastfail.def"
		0,
#include "triage/winexception.def"
	};
#undef CODE

	(void)state;
	for (size_t i = 1; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (tables[i] != 0 && tables[i] <= tables[i - 1])
			fail_msg("0x%x stands after 0x%x", tables[i], tables[i - 1]);
}

static void
test_address(void **state)
{
	const struct exception_record av = {
		.code = 0xc0000005, .address = 0x401000, .n_params = 2, .params = { 0, 0xffffffff80001234 }
	};
	const struct exception_record one = { .code = 0xc0000005, .address = 0x401000, .n_params = 1 };

	(void)state;
	assert_true(reason_address(TRIAGE_OS_WINDOWS, TRIAGE_ARCH_X86, &av) == 0x80001234);
	assert_true(reason_address(TRIAGE_OS_WINDOWS, TRIAGE_ARCH_X64, &av) == 0xffffffff80001234);
	assert_true(reason_address(TRIAGE_OS_LINUX, TRIAGE_ARCH_X64, &av) == 0x401000);
	assert_true(reason_address(TRIAGE_OS_WINDOWS, TRIAGE_ARCH_X64, &one) == 0x401000);
}

/* ---- blame ---- */

static const struct triage_module modules[] = {
	{ .path = "/usr/bin/app",
	  .base = 0x1000,
	  .size = 0x1000,
	  .id = "aa",
	  .code_id = "aa",
	  .debug_id = "",
	  .version = "" },
	{ .path = "/lib/libc.so.6",
	  .base = 0x10000,
	  .size = 0x1000,
	  .id = "bb",
	  .code_id = "bb",
	  .debug_id = "",
	  .version = "" },
};

static struct triage_result
crash(const char *reason, const struct triage_frame *frames, size_t n)
{
	return (struct triage_result){ .format = TRIAGE_FORMAT_MINIDUMP,
				       .os_version = "",
				       .reason = reason,
				       .crashing_thread = 0,
				       .thread_count = 1,
				       .module_count = 2,
				       .modules = modules,
				       .n_modules = 2,
				       .frames = frames,
				       .n_frames = n,
				       .has_signature = true,
				       .blame_rule = "",
				       .function_frame = -1,
				       .function_rule = "",
				       .module = "",
				       .module_id = "",
				       .title = "",
				       .stack_end = "",
				       .partial_what = "" };
}

#define FRAME(m, off, how)                                                                               \
	{                                                                                                \
		.pc = (off), .offset = (off), .module = (m), .trust = TRIAGE_TRUST_##how, .function = "" \
	}

static void
test_blame(void **state)
{
	const struct triage_frame by_pointer[] = { FRAME(1, 0x10, CONTEXT), FRAME(1, 0x20, FRAME_POINTER),
						   FRAME(0, 0x30, FRAME_POINTER) };
	const struct triage_frame by_scan[] = { FRAME(1, 0x10, CONTEXT), FRAME(0, 0x20, SCAN) };
	const struct triage_frame lost[] = { FRAME(-1, 0, CONTEXT), FRAME(0, 0x30, SCAN) };
	const struct triage_frame nowhere[] = { FRAME(-1, 0, CONTEXT) };
	struct arena *a = arena_new(1 << 20);
	struct triage_result r;

	(void)state;
	/* abort() in libc is news from the program */
	r = crash("SIGABRT / SI_TKILL", by_pointer, 3);
	blame_choose(&r);
	assert_int_equal(blame_sign(a, &r), ERR_OK);
	assert_int_equal(r.blamed, 2);
	assert_string_equal(r.blame_rule, "messenger: libc.so.6");
	assert_string_equal(r.title, "app+0x30");
	/* but not a crash of libc itself */
	r = crash("SIGSEGV / SEGV_MAPERR", by_pointer, 3);
	blame_choose(&r);
	assert_int_equal(r.blamed, 0);
	assert_string_equal(r.blame_rule, "context");
	/* and never by a guess */
	r = crash("SIGABRT / SI_TKILL", by_scan, 2);
	blame_choose(&r);
	assert_int_equal(r.blamed, 0);
	/* a jump to nowhere is its caller's */
	r = crash("SIGSEGV", lost, 2);
	blame_choose(&r);
	assert_int_equal(blame_sign(a, &r), ERR_OK);
	assert_int_equal(r.blamed, 1);
	assert_string_equal(r.blame_rule, "no-module");
	r = crash("SIGSEGV", nowhere, 1);
	blame_choose(&r);
	assert_int_equal(blame_sign(a, &r), ERR_OK);
	assert_int_equal(r.blamed, -1);
	assert_string_equal(r.title, "unknown");
	arena_free(a);
}

/* ---- the wire ---- */

static const struct synth_crash *
any_example(void)
{
	const char *name;

	return synth_example(0, &name);
}

static void
test_wire_round_trip(void **state)
{
	struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
	uint8_t buf[TRIAGE_WIRE_MAX];
	struct triage_result r, back;
	struct synth s = { 0 };
	struct diag diag;
	size_t n;

	(void)state;
	synth_minidump(&s, any_example(), NULL);
	assert_int_equal(triage_run(a, s.p, s.len, NULL, &r, &diag), ERR_OK);
	n = triage_result_encode(&r, buf, sizeof(buf));
	assert_in_range(n, 100, 4096);
	assert_int_equal(triage_result_decode(a, buf, n, &back, &diag), ERR_OK);
	assert_string_equal(back.reason, r.reason);
	assert_string_equal(back.title, r.title);
	assert_string_equal(back.modules[0].debug_id, r.modules[0].debug_id);
	assert_true(back.signature == r.signature);
	assert_int_equal(back.n_frames, r.n_frames);
	assert_int_equal(back.frames[2].module, 1);
	assert_int_equal(back.crashing_thread, 1);
	/* every cut is refused, every flipped byte is harmless */
	for (size_t i = 0; i < n; i++)
		assert_int_not_equal(triage_result_decode(a, buf, i, &back, &diag), ERR_OK);
	for (size_t i = 0; i < n; i++) {
		struct arena *b = arena_new(1 << 20);

		buf[i] ^= 0xff;
		if (triage_result_decode(b, buf, n, &back, &diag) == ERR_OK)
			assert_true(back.blamed < (int32_t)back.n_frames);
		buf[i] ^= 0xff;
		arena_free(b);
	}
	/* what does not fit is left out from the end */
	for (size_t cap = 0; cap < n; cap++) {
		size_t k = triage_result_encode(&r, buf, cap);

		assert_true(k <= cap);
		if (k > 0) {
			assert_int_equal(triage_result_decode(a, buf, k, &back, &diag), ERR_OK);
			assert_true(back.signature == r.signature);
		}
	}
	synth_free(&s);
	arena_free(a);
}

/* A result larger than the wire keeps its signature and its first frames. */
static void
test_wire_too_large(void **state)
{
	static char path[1000];
	struct triage_module *many = calloc(512, sizeof(*many));
	struct triage_frame *frames = calloc(512, sizeof(*frames));
	struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
	uint8_t *buf = malloc(TRIAGE_WIRE_MAX);
	struct triage_result r, back;
	struct diag diag;
	size_t n;

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	for (int i = 0; i < 512; i++) {
		many[i] = (struct triage_module){
			.path = path, .size = 1, .id = "", .code_id = "", .debug_id = "", .version = ""
		};
		frames[i] = (struct triage_frame)FRAME(511 - i, 1, SCAN);
	}
	frames[0].trust = TRIAGE_TRUST_CONTEXT;
	r = crash("SIGSEGV", frames, 512);
	r.modules = many;
	r.n_modules = r.module_count = 512;
	blame_choose(&r);
	assert_int_equal(blame_sign(a, &r), ERR_OK);
	n = triage_result_encode(&r, buf, TRIAGE_WIRE_MAX);
	assert_in_range(n, 50000, TRIAGE_WIRE_MAX);
	assert_int_equal(triage_result_decode(a, buf, n, &back, &diag), ERR_OK);
	assert_in_range(back.n_frames, 50, 70);
	assert_int_equal(back.module_count, 512);
	assert_true(back.signature == r.signature);
	arena_free(a);
	free(buf);
	free(many);
	free(frames);
}

/* ---- containers ---- */

static size_t
gzip(const void *p, size_t n, uint8_t *out, size_t cap)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)cap };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static void
test_expand(void **state)
{
	static uint8_t plain[300000], packed[400000];
	struct diag diag;
	size_t n, len;
	void *p;

	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * i >> 7);
	memcpy(plain, "MDMP", 4); /* anything else is not expanded to its end */
	for (int kind = 0; kind < 2; kind++) {
		n = kind ? ZSTD_compress(packed, sizeof(packed), plain, sizeof(plain), 3)
			 : gzip(plain, sizeof(plain), packed, sizeof(packed));
		assert_int_equal(triage_container_of(packed, n), kind ? TRIAGE_CONTAINER_ZSTD : TRIAGE_CONTAINER_GZIP);
		assert_int_equal(triage_expand(packed, n, sizeof(plain), &p, &len, &diag), ERR_OK);
		assert_int_equal(len, sizeof(plain));
		assert_memory_equal(p, plain, len);
		free(p);
		/* exactly one byte too many */
		assert_int_equal(triage_expand(packed, n, sizeof(plain) - 1, &p, &len, &diag), ERR_LIMIT);
		assert_null(p);
		/* cut short: what there was is handed out */
		assert_int_equal(triage_expand(packed, n - 9, sizeof(plain), &p, &len, &diag), ERR_TRUNCATED);
		assert_true(len <= sizeof(plain));
		if (len > 0)
			assert_memory_equal(p, plain, len);
		free(p);
	}
	packed[9] ^= 0x55;
	packed[20] ^= 0x55;
	assert_int_not_equal(triage_expand(packed, n, sizeof(plain), &p, &len, &diag), ERR_OK);
	free(p);
	assert_int_equal(triage_expand("plain", 5, 100, &p, &len, &diag), ERR_UNSUPPORTED);
	assert_null(p);
}

/* Ten megabytes in a few bytes, and a frame that wants a window of 128 MiB. */
static void
test_bombs(void **state)
{
	size_t size = 10 << 20, cap = ZSTD_compressBound(size), n, len, work;
	uint8_t *zeros = calloc(1, size), *packed = malloc(cap);
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	struct diag diag;
	void *p;

	(void)state;
	/* what is no dump is given up after its first bytes */
	for (int kind = 0; kind < 2; kind++) {
		n = kind ? ZSTD_compress(packed, cap, zeros, size, 1) : gzip(zeros, size, packed, cap);
		assert_int_equal(expand_counted(packed, n, 1 << 20, &p, &len, &work, &diag), ERR_UNSUPPORTED);
		assert_string_equal(diag.what, "not a dump format we know");
		assert_int_equal(work, EXPAND_HEAD);
		assert_null(p);
	}
	memcpy(zeros, "MDMP", 4);
	for (int kind = 0; kind < 2; kind++) {
		n = kind ? ZSTD_compress(packed, cap, zeros, size, 1) : gzip(zeros, size, packed, cap);
		assert_true(n < 20000);
		assert_int_equal(expand_counted(packed, n, 1 << 20, &p, &len, &work, &diag), ERR_LIMIT);
		assert_string_equal(diag.what, "it expands beyond the limit");
		assert_int_equal(work, (1 << 20) + 1);
	}
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, 27);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0);
	n = ZSTD_compress2(ctx, packed, cap, zeros, size);
	assert_int_equal(triage_expand(packed, n, 1 << 30, &p, &len, &diag), ERR_LIMIT);
	assert_string_equal(diag.what, "it needs a window over 8 MiB");
	ZSTD_freeCCtx(ctx);
	free(packed);
	free(zeros);
}

/* All levels have one budget, which the bytes that were sent buy. */
static void
test_budget(void **state)
{
	const size_t size = 80 << 20, cap = ZSTD_compressBound(size);
	uint8_t *plain = calloc(1, size), *packed = malloc(cap);
	struct diag diag;
	size_t n, len, work;
	void *p;

	(void)state;
	/* as much as a text is read, in lines or not */
	memset(plain, ' ', size);
	n = ZSTD_compress(packed, cap, plain, size, 1);
	assert_int_equal(expand_counted(packed, n, 1 << 30, &p, &len, &work, &diag), ERR_OK);
	assert_int_equal(len, (32 << 20) + 1);
	assert_int_equal(work, len);
	free(p);
	/* a dump of that size: all of it */
	memset(plain, 0, size);
	memcpy(plain, "MDMP", 4);
	n = ZSTD_compress(packed, cap, plain, size, 1);
	assert_int_equal(expand_counted(packed, n, 1 << 30, &p, &len, &work, &diag), ERR_OK);
	assert_int_equal(len, size);
	free(p);
	/* the same in a container that ends in 80 MiB of nothing: the second has 48 left, and a few bytes bought */
	memset(plain, 0, size);
	memcpy(plain, packed, n);
	n = ZSTD_compress(packed, cap, plain, size, 1);
	assert_int_equal(expand_counted(packed, n, 1 << 30, &p, &len, &work, &diag), ERR_TRUNCATED);
	assert_string_equal(diag.what, "it expands to more than its size can stand for");
	assert_in_range(len, 48 << 20, (48 << 20) + EXPAND_WORK_PER_BYTE * n + 1);
	assert_int_equal(work, EXPAND_WORK_FREE + EXPAND_WORK_PER_BYTE * n);
	assert_memory_equal(p, "MDMP", 4);
	free(p);
	free(packed);
	free(plain);
}

static void
test_not_a_dump(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		enum err want;
	} t[] = {
		{ "", 0, ERR_TRUNCATED },
		{ "MDM", 3, ERR_UNSUPPORTED },
		{ "hello world", 11, ERR_UNSUPPORTED },
		{ "MDMP", 4, ERR_TRUNCATED },
		{ "\x7f"
		  "ELF",
		  4, ERR_TRUNCATED },
		{ "\x1f\x8b\x08", 3, ERR_UNSUPPORTED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct arena *a = arena_new(1 << 20);
		struct diag diag = { ERR_OK, NULL, 0 };
		struct triage_result r;

		assert_int_equal(triage_run(a, t[i].bytes, t[i].size, NULL, &r, &diag), t[i].want);
		assert_int_equal(diag.code, t[i].want);
		assert_non_null(diag.what);
		arena_free(a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),         cmocka_unit_test(test_tables_sorted),
		cmocka_unit_test(test_address),         cmocka_unit_test(test_blame),
		cmocka_unit_test(test_wire_round_trip), cmocka_unit_test(test_wire_too_large),
		cmocka_unit_test(test_expand),          cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_budget),          cmocka_unit_test(test_not_a_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
