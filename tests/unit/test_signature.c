/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/signature.h"

#define V(s) TEXT(s)

static void
assert_name(struct text name, struct text id, const char *want)
{
	char out[MODULE_NAME_MAX + 1];
	size_t n = module_name_normalise(name, id, out, sizeof(out));

	assert_string_equal(out, want);
	assert_int_equal(n, strlen(want));
	/* idempotent: a normalised name stays what it is */
	module_name_normalise((struct text){ out, n }, id, out, sizeof(out));
	assert_string_equal(out, want);
}

static void
test_module_name(void **state)
{
	static char longname[600];
	char out[MODULE_NAME_MAX + 1], tiny[4];

	(void)state;
	assert_name(V("C:\\Windows\\System32\\drivers\\CSAgent.SYS"), V(""), "csagent.sys");
	assert_name(V("KERNELBASE.dll"), V(""), "kernelbase.dll");
	assert_name(V("/usr/lib/libFoo.so.1"), V(""), "libFoo.so.1");
	assert_name(V("/opt/app/Server (deleted)"), V(""), "Server");
	assert_name(V("/data/app/x/base.apk!libGame.so"), V(""), "libGame.so");
	assert_name(V("Payload.BIN"), V("5c0ae3857000"), "payload.bin");
	assert_name(V("Payload.BIN"), V("784fd549332d826ed23f18c17c6f320a"), "Payload.BIN");
	assert_name(V(""), V(""), "");
	assert_name(V("dir/"), V(""), "");
	memset(longname, 'a', sizeof(longname));
	memcpy(longname + 254, "\xc3\xa4", 2); /* would be cut in half */
	assert_int_equal(module_name_normalise((struct text){ longname, sizeof(longname) }, V(""), out, sizeof(out)),
			 254);
	assert_int_equal(module_name_normalise(V("libc.so.6"), V(""), tiny, sizeof(tiny)), 3);
	assert_string_equal(tiny, "lib");
}

static void
assert_id(struct text id, const char *want)
{
	char out[MODULE_ID_MAX + 1];

	assert_int_equal(module_id_normalise(id, out, sizeof(out)), strlen(want));
	assert_string_equal(out, want);
}

static void
test_module_id(void **state)
{
	(void)state;
	assert_id(V("5C0AE3857000"), "5c0ae3857000");
	assert_id(V("{7DD47A9F-C2E8-499A-A78E-C14AE2C965A2}"), "7dd47a9fc2e8499aa78ec14ae2c965a2");
	assert_id(V("C26E58A434A13F9CBDBCEBC34426633A0"), "c26e58a434a13f9cbdbcebc34426633a");
	assert_id(V("7DD47A9FC2E8499AA78EC14AE2C965A21"), "7dd47a9fc2e8499aa78ec14ae2c965a21");
	assert_id(V("ab\ncd"), "ab?cd");
}

static void
test_function(void **state)
{
	const struct function_key key = { V("C:\\Windows\\System32\\drivers\\CSagent.sys"), V("668D9A8F2AB000"),
					  V("CSProcess") },
				  reported = { V("csagent.sys!CSProcess"), V(""), V("CSProcess") },
				  hostile = { V("a"), V(""), V("\n\x1b[31m\xff") };
	char id[SIGNATURE_ID_LEN], title[64];

	(void)state;
	assert_string_equal(signature_id_text(signature_function_hash(&key), id), "s1-59eb44814e25bd15");
	assert_int_equal(signature_function_hash(&reported), signature_function_hash(&key));
	signature_function_title(&key, title, sizeof(title));
	assert_string_equal(title, "csagent.sys!CSProcess");
	signature_function_title(&hostile, title, sizeof(title));
	assert_string_equal(title, "a!??[31m?");
}

/* The vectors of docs/SIGNATURES.md. */
static void
test_vectors(void **state)
{
	const struct signature_key windows = { V("C:\\Windows\\System32\\drivers\\CSagent.sys"), V("668D9A8F2AB000"),
					       0xe14ed, REASON_ACCESS };
	const struct signature_key linux_key = { V("/usr/lib/x86_64-linux-gnu/libc.so.6"),
						 V("784fd549332d826ed23f18c17c6f320a"), 0x3bfc3, REASON_ABORT };
	struct signature_key in_function = { V("amdgpu!amdgpu_vm_sdma_commit"), V(""), 0x46, REASON_ACCESS };
	const struct signature_key none = { { NULL, 0 }, { NULL, 0 }, 0, REASON_ACCESS };
	const struct stop_key stop = {
		0x50, 4, { 0xffff8d8c35c7ce9c, 0, 0xfffff8006c2114ed, 2 }, V("10.0.19045.4651")
	};
	char text[SIGNATURE_TEXT_MAX], id[SIGNATURE_ID_LEN];
	uint64_t h;

	(void)state;
	signature_text(&windows, RUNG_KEY, text);
	assert_string_equal(text, "faultline signature 1\nkey\nmodule 11:csagent.sys\nid 668d9a8f2ab000\n"
				  "offset 0xe14ed\nclass access\n");
	signature_id(&windows, id);
	assert_string_equal(id, "s1-fb4b63ca582e8b69");
	assert_int_equal(signature_id_parse(id, strlen(id), &h), 0);
	assert_true(h == signature_hash(&windows, RUNG_KEY));
	assert_string_equal(signature_id_text(signature_hash(&windows, RUNG_BUILD), id), "s1-7eca8795a2940189");
	assert_string_equal(signature_id_text(signature_hash(&windows, RUNG_MODULE), id), "s1-9eb257dffa6c20ef");
	assert_string_equal(signature_id_text(signature_hash(&windows, RUNG_KERNEL), id), "s1-b28ece4b07dae733");
	assert_string_equal(signature_id_text(signature_hash(NULL, RUNG_ANY), id), "s1-71d34ee732b74680");
	signature_id(&linux_key, id);
	assert_string_equal(id, "s1-32c2781a3b1c1174");
	signature_id(&none, id);
	assert_string_equal(id, "s1-8e522414a45e5361");
	signature_id(&in_function, id);
	assert_string_equal(id, "s1-93e3af517494a511");
	assert_true(signature_hash(&in_function, RUNG_MODULE) == 0xe22032bcd3ecdfe6);
	in_function.module = V("amdgpu");
	assert_true(signature_hash(&in_function, RUNG_MODULE) == 0xe22032bcd3ecdfe6);
	signature_stop_text(&stop, text);
	assert_string_equal(text, "faultline signature 1\nstop\ncode 0x50\nparameters kernel 0 kernel 0x2\n"
				  "os 15:10.0.19045.4651\n");
	assert_string_equal(signature_id_text(signature_stop_hash(&stop), id), "s1-0036e0f49f3731d5");
	assert_int_equal(signature_id_parse("s1-00ff", 7, &h), -1);
	assert_int_equal(signature_id_parse("s1-00000000000000FF", 19, &h), -1);
}

static void
test_same_whoever_asks(void **state)
{
	/* a client's words and what triage finds in the dump are one signature */
	const struct signature_key client = { V("csagent.sys"), V("668d9a8f2ab000"), 0xe14ed,
					      reason_class_of("PAGE_FAULT_IN_NONPAGED_AREA", 27) };
	const struct signature_key dump = { V("\\SystemRoot\\system32\\drivers\\CrowdStrike\\CSagent.sys"),
					    V("668D9A8F2ab000"), 0xe14ed, reason_class_of_code(0x50) };
	const struct signature_key other = { V("csagent.sys"), V("668d9a8f2ab000"), 0xe14ee, REASON_ACCESS };

	(void)state;
	assert_true(signature_hash(&client, RUNG_KEY) == signature_hash(&dump, RUNG_KEY));
	assert_false(signature_hash(&client, RUNG_KEY) == signature_hash(&other, RUNG_KEY));
	assert_true(signature_hash(&client, RUNG_BUILD) == signature_hash(&other, RUNG_BUILD));
}

static void
test_title(void **state)
{
	const struct signature_key k = { V("C:\\a\\CSagent.sys"), V(""), 0xe14ed, REASON_ACCESS };
	const struct signature_key evil = { V("a\x1b[31m\xff\n\xc3\xa4.so"), V(""), 1, REASON_ACCESS };
	const struct signature_key turned = { V("\xc2\x9b"
						"2Jfoo\xe2\x80\xaeos.exe\xe2\x81\xa6\xe2\x82\xac"),
					      V(""), 1, REASON_OTHER };
	const struct signature_key none = { V(""), V(""), 7, REASON_OTHER };
	const struct stop_key stop = { 0x50, 2, { 0, 0xffffffffc0000005 }, V("") };
	char out[128], tiny[5];

	(void)state;
	signature_title(&k, out, sizeof(out));
	assert_string_equal(out, "csagent.sys+0xe14ed");
	signature_title(&evil, out, sizeof(out));
	assert_string_equal(out, "a?[31m??\xc3\xa4.so+0x1");
	signature_title(&turned, out, sizeof(out));
	assert_string_equal(out, "?2Jfoo?os.exe?\xe2\x82\xac+0x1");
	signature_title(&none, out, sizeof(out));
	assert_string_equal(out, "unknown");
	assert_int_equal(signature_title(&k, tiny, sizeof(tiny)), 4);
	signature_stop_title(&stop, out, sizeof(out));
	assert_string_equal(out, "stop 0x50 PAGE_FAULT_IN_NONPAGED_AREA 0 0xc0000005");
}

static void
test_reason_class(void **state)
{
	static const struct {
		const char *reason;
		enum reason_class want;
	} t[] = {
		{ "EXCEPTION_ACCESS_VIOLATION_READ", REASON_ACCESS },
		{ "exception_access_violation_exec", REASON_ACCESS },
		{ "EXCEPTION_IN_PAGE_ERROR_READ / STATUS_DEVICE_DATA_ERROR", REASON_HARDWARE },
		{ "EXCEPTION_STACK_BUFFER_OVERRUN / FAST_FAIL_FATAL_APP_EXIT", REASON_FASTFAIL },
		{ "FAST_FAIL_GUARD_ICALL_CHECK_FAILURE", REASON_FASTFAIL },
		{ "EXCEPTION_STACK_OVERFLOW", REASON_STACK },
		{ "EXCEPTION_INT_DIVIDE_BY_ZERO", REASON_ARITHMETIC },
		{ "SIGSEGV /SEGV_MAPERR", REASON_ACCESS },
		{ "SIGSEGV", REASON_ACCESS },
		{ "SIGABRT", REASON_ABORT },
		{ "SIGFPE / FPE_INTDIV", REASON_ARITHMETIC },
		{ "SIGILL / ILL_ILLOPN", REASON_ILLEGAL },
		{ "SIGTRAP", REASON_ASSERT },
		{ "SIGBUS / BUS_ADRALN", REASON_ACCESS },
		{ "SIGBUS / BUS_MCEERR_AR", REASON_HARDWARE },
		{ "EXC_BAD_ACCESS / KERN_INVALID_ADDRESS", REASON_ACCESS },
		{ "EXC_BAD_INSTRUCTION / EXC_I386_INVOP", REASON_ILLEGAL },
		{ "EXC_CRASH (SIGABRT)", REASON_ABORT },
		{ "EXC_CRASH (SIGSEGV)", REASON_ACCESS },
		{ "EXC_RESOURCE / RESOURCE_TYPE_CPU", REASON_WATCHDOG },
		{ "unknown 0x43506e78 / 0x00000000", REASON_ABORT },
		{ "Unhandled C++ Exception", REASON_ABORT },
		{ "unknown 0x0000000a / 0x06000000", REASON_ABORT },
		{ "unknown 0x0000000a / 0x0b100001", REASON_ACCESS },
		{ "unknown 0x00000050 / 0x00000000", REASON_OTHER },
		{ "EXC_SOFTWARE / UNCAUGHT_NS_EXCEPTION", REASON_ABORT },
		{ "0x50", REASON_ACCESS },
		{ "0x00000050 (0xffff8d8c35c7ce9c, 0x0, 0xfffff8006c2114ed, 0x2)", REASON_ACCESS },
		{ "BUGCHECK 0x50", REASON_ACCESS },
		{ "PAGE_FAULT_IN_NONPAGED_AREA", REASON_ACCESS },
		{ "STOP: 0x00000133", REASON_WATCHDOG },
		{ "0x7E (0xffffffffc0000005, 0xfffff80000000001)", REASON_ACCESS },
		{ "0x7E (0xffffffff80000003, 0xfffff80000000001)", REASON_ASSERT },
		{ "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED", REASON_ACCESS },
		{ "KERNEL_SECURITY_CHECK_FAILURE", REASON_FASTFAIL },
		{ "WHEA_UNCORRECTABLE_ERROR", REASON_HARDWARE },
		{ "0xc0000005", REASON_ACCESS },
		{ "c0000005", REASON_ACCESS },
		{ "0xe06d7363", REASON_ABORT },
		{ "BUG: unable to handle page fault for address: ffffffffc0a01000", REASON_ACCESS },
		{ "BUG: kernel NULL pointer dereference, address: 0000000000000008", REASON_ACCESS },
		{ "kernel BUG at mm/slub.c:305!", REASON_ASSERT },
		{ "watchdog: BUG: soft lockup - CPU#1 stuck for 22s!", REASON_WATCHDOG },
		{ "Kernel panic - not syncing: VFS: Unable to mount root fs", REASON_ABORT },
		{ "", REASON_OTHER },
		{ "DUMP_REQUESTED", REASON_OTHER },
		{ "no such reason", REASON_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (reason_class_of(t[i].reason, strlen(t[i].reason)) != t[i].want)
			fail_msg("%s: %s, not %s", t[i].reason,
				 reason_class_name(reason_class_of(t[i].reason, strlen(t[i].reason))),
				 reason_class_name(t[i].want));
	for (int c = 0; c < REASON_N_CLASSES; c++)
		assert_int_equal(reason_class_parse(reason_class_name((enum reason_class)c),
						    strlen(reason_class_name((enum reason_class)c))),
				 c);
	assert_int_equal(reason_class_parse("acces", 5), -1);
	assert_int_equal(reason_class_of(NULL, 0), REASON_OTHER);
	assert_int_equal(reason_class_of_code(0xffffffffc0000005), REASON_ACCESS);
}

static void
test_reason_table(void **state)
{
	static const char *const names[] = {
#define REASON(name, code, class) #name,
#define WEAK(name, code, class)   #name,
#include "base/reasons.def"
	};

	(void)state;
	for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i - 1], names[i]) >= 0)
			fail_msg("%s stands after %s", names[i], names[i - 1]);
	assert_string_equal(bugcheck_name(0x50), "PAGE_FAULT_IN_NONPAGED_AREA");
	assert_null(bugcheck_name(0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_module_name),       cmocka_unit_test(test_module_id),
		cmocka_unit_test(test_vectors),           cmocka_unit_test(test_function),
		cmocka_unit_test(test_same_whoever_asks), cmocka_unit_test(test_title),
		cmocka_unit_test(test_reason_class),      cmocka_unit_test(test_reason_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
