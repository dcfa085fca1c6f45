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
#include "triage/bugcheck.h"
#include "triage/images.h"

static struct images *images; /* at hand, NULL none */

static void
run_kdump(struct run *x, const struct synth_kdump *c)
{
	struct synth s = { 0 };

	synth_kdump(&s, c, NULL);
	run_with(x, s.p, s.len, images);
	synth_free(&s);
}

static struct synth_kdump
example(const char *name)
{
	const struct synth_kdump *c;
	const char *n;

	for (size_t i = 0; (c = synth_kdump_example(i, &n)) != NULL; i++)
		if (strcmp(n, name) == 0)
			return *c;
	fail_msg("no example %s", name);
	return (struct synth_kdump){ 0 };
}

static uint64_t
claimed(const char *module, const char *id, uint64_t offset)
{
	struct signature_key key = { text_of(module), text_of(id), offset,
				     reason_class_of("PAGE_FAULT_IN_NONPAGED_AREA", 27) };

	return signature_hash(&key, RUNG_KEY);
}

/* The outage: any kind of dump of it names the driver, and the client that had only its event
 * log to go by claims the same signature. */
static void
test_july_2024(void **state)
{
	static const struct {
		const char *name, *kind, *how;
	} all[] = {
		{ "july-triage", "triage", "trap frame on the stack" },
		{ "july-full", "full", "trap frame on the stack" },
		{ "july-five-levels", "full", "trap frame on the stack" },
		{ "july-bitmap", "bitmap", "trap frame on the stack" },
		{ "july-ranges", "ranges", "trap frame on the stack" },
		{ "july-arm64", "triage", "instruction of parameter 3" },
		{ "july-arm64-full", "full", "instruction of parameter 3" },
		{ "july-x86", "triage", "instruction of parameter 3" },
		{ "july-x86-full", "full", "instruction of parameter 3" },
		{ "july-x86-pae", "full", "instruction of parameter 3" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct synth_kdump c = example(all[i].name);
		char id[SIGNATURE_ID_LEN];
		struct run x;

		run_kdump(&x, &c);
		if (x.err != ERR_OK || x.r.partial)
			fail_msg("%s: %d %s", all[i].name, x.err, x.err != ERR_OK ? x.diag.what : x.r.partial_what);
		assert_string_equal(triage_format_name(x.r.format), "windows-kernel-dump");
		assert_string_equal(x.r.title, "csagent.sys+0xe14ed");
		assert_string_equal(x.r.module_id, "668d9a8f2ab000");
		assert_string_equal(reason_class_name(x.r.class), "access");
		assert_string_equal(signature_id_text(x.r.signature, id), "s1-fb4b63ca582e8b69");
		assert_true(x.r.signature ==
			    claimed("C:\\Windows\\System32\\drivers\\CSagent.sys", "668D9A8F2AB000", 0xe14ed));
		assert_string_equal(x.r.reason, c.x86 ? "0x50 PAGE_FAULT_IN_NONPAGED_AREA: read of 00000074"
						      : "0x50 PAGE_FAULT_IN_NONPAGED_AREA: read of ffff8405'00000074");
		assert_true(x.r.address == (c.x86 ? 0x74 : UINT64_C(0xffff840500000074)));
		assert_string_equal(x.r.blame_rule, "context");
		assert_int_equal(x.r.frames[0].trust, TRIAGE_TRUST_CONTEXT);
		assert_string_equal(x.r.kernel.kind, all[i].kind);
		assert_string_equal(x.r.kernel.how, all[i].how);
		assert_string_equal(x.r.os_version, "10.0.19041");
		assert_int_equal(x.r.module_count, 3);
		assert_int_equal(x.r.dump_time, 1721364601);
		run_end(&x);
	}
}

/* From the registers of the trap frame on, not from the stop: the frames are the driver's.  What on the
 * stack points into its data, or behind no call, is no frame. */
static void
test_frames(void **state)
{
	static const uint64_t offsets[] = { 0xe14ed, 0xe1666, 0x9a120, 0x24a7b4 };
	static const char *const names[] = { "july-triage", "july-full" };

	(void)state;
	for (size_t n = 0; n < 2; n++) {
		struct synth_kdump c = example(names[n]);
		struct run x;

		run_kdump(&x, &c);
		assert_int_equal(x.r.n_frames, 4);
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(x.r.frames[i].offset, offsets[i]);
			assert_int_equal(x.r.frames[i].module, i < 3 ? 2 : 0);
			assert_int_equal(x.r.frames[i].trust, i == 0 ? TRIAGE_TRUST_CONTEXT : TRIAGE_TRUST_SCAN);
		}
		run_end(&x);
	}
}

/* arm64 keeps a chain of frame records (return addresses in it may be signed), x86 mostly does. */
static void
test_frame_records(void **state)
{
	static const struct {
		const char *name;
		uint64_t offsets[4];
	} all[] = {
		{ "thread-exception-arm64", { 0xe14ed, 0xe1664, 0x9a120, 0x24a7b0 } },
		{ "thread-exception-x86", { 0xe14ed, 0xe1666, 0x9a120, 0x24a7b4 } },
	};

	(void)state;
	for (size_t n = 0; n < 2; n++) {
		struct synth_kdump c = example(all[n].name);
		struct run x;

		run_kdump(&x, &c);
		assert_string_equal(x.r.kernel.how, "context record of parameter 4");
		assert_string_equal(x.r.title, "csagent.sys+0xe14ed");
		assert_int_equal(x.r.n_frames, 4);
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(x.r.frames[i].offset, all[n].offsets[i]);
			assert_int_equal(x.r.frames[i].trust, i == 0  ? TRIAGE_TRUST_CONTEXT
							      : i < 3 ? TRIAGE_TRUST_FRAME_POINTER
								      : TRIAGE_TRUST_SCAN);
		}
		run_end(&x);
	}
}

/* With the driver's unwind data in the dump its callers are certain: no word of the stack is guessed. */
static void
test_unwind_data(void **state)
{
	static const uint64_t x64[] = { 0xe14ed, 0xe1666, 0x9a120, 0x24a7b4 },
			      arm64[] = { 0xe14ec, 0xe1664, 0x9a120, 0x24a7b0 };
	static const char *const names[] = { "july-unwind", "july-full-unwind", "july-arm64-unwind" };

	(void)state;
	for (size_t n = 0; n < 3; n++) {
		struct synth_kdump c = example(names[n]);
		struct run x;

		run_kdump(&x, &c);
		assert_string_equal(x.r.kernel.how, "trap frame on the stack");
		assert_string_equal(x.r.title, c.arm64 ? "csagent.sys+0xe14ec" : "csagent.sys+0xe14ed");
		assert_int_equal(x.r.n_frames, 4);
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(x.r.frames[i].offset, c.arm64 ? arm64[i] : x64[i]);
			assert_int_equal(x.r.frames[i].module, i < 3 ? 2 : 0);
			assert_int_equal(x.r.frames[i].trust, i == 0 ? TRIAGE_TRUST_CONTEXT : TRIAGE_TRUST_CFI);
		}
		run_end(&x);
	}
}

/* csagent.sys as a file, from what a dump of the same outage has of it in memory. */
struct driver_file {
	uint8_t *bytes;
	uint32_t size;
};

static bool
open_driver(void *arg, const struct image_key *key, enum image_kind kind, struct image_file *out)
{
	const struct driver_file *f = arg;

	if (kind != IMAGE_CODE || strcmp(key->code_id, "668d9a8f2ab000") != 0)
		return false;
	*out = (struct image_file){ f->bytes, f->size, NULL };
	return true;
}

static void
close_driver(void *arg, struct image_file *f)
{
	(void)arg, (void)f;
}

static struct driver_file
make_driver(void)
{
	struct driver_file f = { calloc(1, 0x2ab000), 0x2ab000 };
	struct synth_kdump c = example("july-unwind");
	struct synth_kdump_places where;
	struct synth s = { 0 };

	assert_non_null(f.bytes);
	synth_kdump(&s, &c, &where);
	for (size_t i = 0; i < 7; i++) {
		uint64_t va;
		uint32_t at, size;

		memcpy(&va, s.p + where.blocks + 16 * i, 8);
		memcpy(&at, s.p + where.blocks + 16 * i + 8, 4);
		memcpy(&size, s.p + where.blocks + 16 * i + 12, 4);
		if (va >= SYNTH_KD_AGENT && va + size <= SYNTH_KD_AGENT + f.size)
			memcpy(f.bytes + (va - SYNTH_KD_AGENT), s.p + at, size);
	}
	synth_free(&s);
	f.bytes[0x9a121 - 5] = 0xe8; /* the other call that is on the stack; its page is in no dump */
	for (uint8_t *section = f.bytes + 0x80 + 24 + 0xf0, *end = section + 3 * 40; section < end; section += 40) {
		memcpy(section + 16, section + 8, 4); /* it lies in the file as in memory */
		memcpy(section + 20, section + 12, 4);
	}
	return f;
}

/* The image comes from the store; another build of the driver is not its image. */
static void
test_images_of_the_store(void **state)
{
	static const uint64_t offsets[] = { 0xe14ed, 0xe1666, 0x9a120, 0x24a7b4 };
	static const char *const names[] = { "july-triage", "july-bitmap" };
	struct driver_file file = make_driver();
	const struct image_opener opener = { open_driver, close_driver, &file };

	(void)state;
	for (size_t n = 0; n < 4; n++) {
		struct synth_kdump c = example(names[n % 2]);
		struct run x;

		file.bytes[0x88] ^= n == 2; /* its time stamp */
		images = images_new(&opener, NULL);
		run_kdump(&x, &c);
		assert_string_equal(x.r.title, "csagent.sys+0xe14ed");
		assert_int_equal(x.r.n_frames, 4);
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(x.r.frames[i].offset, offsets[i]);
			assert_int_equal(x.r.frames[i].trust, i == 0  ? TRIAGE_TRUST_CONTEXT
							      : n < 2 ? TRIAGE_TRUST_CFI
								      : TRIAGE_TRUST_SCAN);
		}
		run_end(&x);
		images_free(images);
		images = NULL;
	}
	free(file.bytes);
}

/* From the stop through the kernel's fault handler on to the code that was interrupted. */
static void
test_machine_frame(void **state)
{
	static const uint64_t offsets[] = {
		0x3fd700, 0x3f2d40, 0x2aa110, 0x40cb5c, 0xe14ed, 0xe1666, 0x9a120, 0x24a7b4
	};
	struct synth_kdump c = example("july-kernel-unwind");
	struct run x;

	(void)state;
	c.bugcheck = 0xef; /* nobody's fault: the stack is that of the stop */
	run_kdump(&x, &c);
	assert_int_equal(x.r.n_frames, 8);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(x.r.frames[i].offset, offsets[i]);
		assert_int_equal(x.r.frames[i].module, i >= 4 && i < 7 ? 2 : 0);
		assert_int_equal(x.r.frames[i].trust, i == 0 ? TRIAGE_TRUST_CONTEXT : TRIAGE_TRUST_CFI);
	}
	assert_string_equal(x.r.stack_end, "outermost");
	run_end(&x);
	/* the driver's own frame hangs on a register that its trap frame does not have: the kernel's functions do */
	for (unsigned i = 0; i < 2; i++) {
		c = example("july-kernel-unwind");
		if (i == 1) { /* only the instruction is known */
			c.bugcheck = 0x1e;
			c.params[0] = 0xc0000005;
			c.params[1] = SYNTH_KD_IP;
		}
		run_kdump(&x, &c);
		assert_string_equal(x.r.title, "csagent.sys+0xe14ed");
		assert_int_equal(x.r.n_frames, 4);
		for (size_t j = 0; j < 4; j++) {
			assert_int_equal(x.r.frames[j].offset, offsets[4 + j]);
			assert_int_equal(x.r.frames[j].trust, j == 0 ? TRIAGE_TRUST_CONTEXT : TRIAGE_TRUST_CFI);
		}
		run_end(&x);
	}
}

static void
test_facts(void **state)
{
	struct synth_kdump c = example("july-triage");
	struct run x;

	(void)state;
	run_kdump(&x, &c);
	assert_string_equal(x.r.kernel.build, "19041.1.amd64fre.vb_release.191206-1406");
	assert_string_equal(x.r.kernel.process, "csfalcon.exe");
	assert_int_equal(x.r.kernel.processors, 4);
	assert_int_equal(x.r.kernel.processor, 2);
	assert_int_equal(x.r.kernel.uptime, 65);
	assert_int_equal(x.r.kernel.n_unloaded, 1);
	assert_string_equal(x.r.kernel.unloaded[0].name, "dam.sys");
	assert_true(x.r.kernel.unloaded[0].start == SYNTH_KD_AGENT + 0x1000000);
	assert_string_equal(x.r.modules[0].path, "\\SystemRoot\\system32\\ntoskrnl.exe");
	assert_string_equal(x.r.modules[0].code_id, "0d8333e61046000");
	assert_true(x.r.modules[0].base == SYNTH_KD_NT && x.r.modules[0].size == 0x1046000);
	assert_int_equal(x.r.modules[2].checksum, 0xabc2);
	run_end(&x);
	/* of 32 bits */
	c = example("july-x86");
	run_kdump(&x, &c);
	assert_int_equal(x.r.kernel.uptime, 65);
	assert_int_equal(x.r.kernel.processors, 4);
	assert_int_equal(x.r.kernel.n_unloaded, 1);
	assert_string_equal(x.r.kernel.unloaded[0].name, "dam.sys");
	assert_true(x.r.kernel.unloaded[0].end - x.r.kernel.unloaded[0].start == 0x1c000);
	run_end(&x);
	/* the same by page tables and the kernel's own lists */
	c = example("july-bitmap");
	run_kdump(&x, &c);
	assert_string_equal(x.r.kernel.build, "19041.1.amd64fre.vb_release.191206-1406");
	assert_int_equal(x.r.kernel.processor, 2);
	assert_string_equal(x.r.kernel.process, "csfalcon.exe");
	assert_int_equal(x.r.kernel.n_unloaded, 1);
	assert_int_equal(x.r.kernel.unloaded[0].gone, 1721364541);
	assert_string_equal(x.r.modules[2].path, "\\SystemRoot\\System32\\drivers\\CSagent.sys");
	assert_int_equal(x.r.modules[2].checksum, 0xabc2);
	run_end(&x);
}

/* ---- which context is the fault's ---- */

static void
test_exception_and_context_records(void **state)
{
	struct synth_kdump c = example("thread-exception");
	struct run x;

	(void)state;
	run_kdump(&x, &c);
	assert_string_equal(x.r.title, "csagent.sys+0xe14ed");
	assert_string_equal(x.r.kernel.how, "context record of parameter 4");
	assert_string_equal(x.r.reason, "0x1000007e SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M: 0xc0000005 "
					"EXCEPTION_ACCESS_VIOLATION_READ of ffff8405'00000074");
	assert_int_equal(x.r.class, REASON_ACCESS);
	assert_int_equal(x.r.subcode, 0xc0000005);
	assert_int_equal(x.r.frames[1].offset, 0xe1666);
	run_end(&x);
	/* a fast fail has no parameter with the instruction: the record behind parameter 3 has it */
	c.bugcheck = 0x139;
	c.params[0] = 3;
	c.params[1] = 0;
	c.params[2] = SYNTH_KD_RECORD;
	c.params[3] = 0;
	c.no_trap_frame = true;
	run_kdump(&x, &c);
	assert_string_equal(x.r.title, "csagent.sys+0xe14ed");
	assert_string_equal(x.r.kernel.how, "exception record of parameter 3");
	assert_string_equal(x.r.reason, "0x139 KERNEL_SECURITY_CHECK_FAILURE: FAST_FAIL_CORRUPT_LIST_ENTRY");
	assert_int_equal(x.r.class, REASON_FASTFAIL);
	run_end(&x);
	/* its trap frame */
	c.params[1] = SYNTH_KD_STACK + 0x200;
	c.no_trap_frame = false;
	run_kdump(&x, &c);
	assert_string_equal(x.r.kernel.how, "trap frame of parameter 2");
	assert_string_equal(x.r.title, "csagent.sys+0xe14ed");
	run_end(&x);
}

static void
test_instruction_parameter(void **state)
{
	static const struct {
		uint32_t code;
		unsigned ip;
		const char *reason;
	} all[] = {
		{ 0xa, 3, "0xa IRQL_NOT_LESS_OR_EQUAL: write of 00000000'00000008" },
		{ 0xd1, 3, "0xd1 DRIVER_IRQL_NOT_LESS_OR_EQUAL: write of 00000000'00000008" },
		{ 0xc5, 3, "0xc5 DRIVER_CORRUPTED_EXPOOL: write of 00000000'00000008" },
		{ 0xd5, 2, "0xd5 DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL: read of 00000000'00000008" },
		{ 0x1e, 1, "0x1e KMODE_EXCEPTION_NOT_HANDLED: 0x00000008 unknown 0x00000008" },
		{ 0x3b, 1, "0x3b SYSTEM_SERVICE_EXCEPTION: 0x00000008 unknown 0x00000008" },
		{ 0x8e, 1, "0x8e KERNEL_MODE_EXCEPTION_NOT_HANDLED: 0x00000008 unknown 0x00000008" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (int frame = 0; frame < 2; frame++) {
			struct synth_kdump c = { .bugcheck = all[i].code, .params = { 8 }, .no_trap_frame = !frame };
			struct run x;

			c.params[2] = 1;
			c.params[all[i].ip] = SYNTH_KD_IP;
			run_kdump(&x, &c);
			if (frame == 1)
				assert_string_equal(x.r.kernel.how, "trap frame on the stack");
			assert_string_equal(x.r.title, "csagent.sys+0xe14ed");
			if (all[i].ip == 3)
				assert_string_equal(x.r.reason, all[i].reason);
			run_end(&x);
		}
}

/* Without an instruction: the frame that the kernel pushed when it took the fault. */
static void
test_trap_frame_search(void **state)
{
	static const uint32_t codes[] = { 0xbe, 0xfc, 0x7f, 0x133, 0x50 };

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct synth_kdump c = { .bugcheck = codes[i], .params = { 8 } };
		struct run x;

		run_kdump(&x, &c);
		assert_string_equal(x.r.kernel.how, "trap frame found on the stack");
		assert_string_equal(x.r.title, "csagent.sys+0xe14ed");
		assert_int_equal(x.r.frames[0].trust, TRIAGE_TRUST_SCAN);
		run_end(&x);
	}
}

/* ---- blame ---- */

/* A fault inside the kernel is its caller's. */
static void
test_messengers(void **state)
{
	struct synth_kdump c = example("july-triage");
	struct run x;

	(void)state;
	c.params[2] = SYNTH_KD_NT + 0x40f1a0;
	c.no_trap_frame = true;
	run_kdump(&x, &c);
	assert_string_equal(x.r.title, "csagent.sys+0xe1666");
	assert_string_equal(x.r.blame_rule, "messenger: ntoskrnl.exe");
	assert_int_equal(x.r.frames[0].module, 0);
	assert_true(x.r.frames[0].pc == SYNTH_KD_NT + 0x40f1a0);
	run_end(&x);
	/* called through a bad pointer */
	c.params[2] = 0x1000;
	run_kdump(&x, &c);
	assert_int_equal(x.r.frames[0].module, -1);
	assert_string_equal(x.r.title, "csagent.sys+0xe1666");
	run_end(&x);
	/* what the kernel noticed for its caller */
	for (size_t i = 0; i < 3; i++) {
		c = (struct synth_kdump){ .bugcheck = (uint32_t[]){ 0xc4, 0x19, 0xc2 }[i],
					  .params = { 0x20 },
					  .no_trap_frame = true };
		run_kdump(&x, &c);
		assert_string_equal(x.r.title, "csagent.sys+0xe1666");
		assert_string_equal(x.r.blame_rule, "messenger: ntoskrnl.exe");
		run_end(&x);
	}
}

/* A fault where a driver was: it has a name and an offset, but no id any more. */
static void
test_unloaded_driver(void **state)
{
	static const char *const names[] = { "july-triage", "july-full" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct synth_kdump c = example(names[i]);
		struct run x;

		c.bugcheck = 0xce;
		c.params[2] = SYNTH_KD_AGENT + 0x1001234;
		run_kdump(&x, &c);
		assert_string_equal(x.r.title, "dam.sys+0x1234");
		assert_string_equal(x.r.module_id, "");
		assert_string_equal(x.r.blame_rule, "unloaded");
		assert_int_equal(x.r.module_count, 4);
		run_end(&x);
	}
}

/* No driver is accused of hardware, power, or a process that died; there the stop code counts. */
static void
test_stop_code(void **state)
{
	static const uint32_t codes[] = { 0xef, 0xf4, 0x124, 0x101, 0x9f, 0x7a, 0x12345 };

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct synth_kdump c = { .bugcheck = codes[i], .params = { 3, 0, SYNTH_KD_IP, 0 } };
		struct stop_key key = { .code = codes[i],
					.n_params = 4,
					.params = { 3, 0, SYNTH_KD_IP, 0 },
					.os_build = TEXT("10.0.19041") };
		struct run x;

		run_kdump(&x, &c);
		assert_true(x.r.has_signature);
		assert_int_equal(x.r.blamed, -1);
		assert_string_equal(x.r.blame_rule, "stop-code");
		assert_string_equal(x.r.module, "");
		assert_true(x.r.signature == signature_stop_hash(&key));
		assert_memory_equal(x.r.title, "stop 0x", 7);
		run_end(&x);
	}
}

/* A driver that stops the machine by a code of its own is named. */
static void
test_driver_calls_bugcheck(void **state)
{
	struct synth_kdump c = { .bugcheck = 0xdeadbeef, .direct_call = true, .no_trap_frame = true };
	struct run x;

	(void)state;
	run_kdump(&x, &c);
	assert_string_equal(x.r.title, "csagent.sys+0x1234");
	assert_string_equal(x.r.blame_rule, "bugcheck-caller");
	run_end(&x);
	/* a driver further up did not: the kernel called, for whatever reason */
	c.direct_call = false;
	run_kdump(&x, &c);
	assert_string_equal(x.r.blame_rule, "stop-code");
	assert_memory_equal(x.r.title, "stop 0xdeadbeef", 15);
	run_end(&x);
}

/* By its code, or by what the header says of a code that stops machines as well. */
static void
test_live_dump_is_no_crash(void **state)
{
	static const struct {
		uint32_t code, attributes;
		bool live;
	} all[] = { { 0x161, 0, true },    { 0x193, 0, true },    { 0x15e, 0, true },
		    { 0x141, 0x10, true }, { 0x141, 0x1, false }, { 0x141, 0x45474150, false } };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct synth_kdump c = { .kind = SYNTH_KDUMP_BITMAP, .bugcheck = all[i].code };
		struct synth s = { 0 };
		struct run x;

		synth_kdump(&s, &c, NULL);
		synth_patch(&s, 0x1050, all[i].attributes, 4);
		run_bytes(&x, s.p, s.len);
		assert_int_equal(x.err, ERR_OK);
		assert_int_equal(x.r.kernel.live, all[i].live);
		assert_int_equal(x.r.has_signature, !all[i].live);
		if (all[i].live)
			assert_string_equal(x.r.reason, "");
		assert_int_equal(x.r.module_count, 3);
		run_end(&x);
		synth_free(&s);
	}
}

/* ---- between processes ---- */

static void
test_wire(void **state)
{
	static uint8_t buf[TRIAGE_WIRE_MAX];
	const struct synth_kdump *c;
	const char *name;

	(void)state;
	for (size_t i = 0; (c = synth_kdump_example(i, &name)) != NULL; i++) {
		struct triage_result back;
		struct diag diag;
		struct run x;
		size_t n;

		run_kdump(&x, c);
		n = triage_result_encode(&x.r, buf, sizeof(buf));
		assert_true(n > 0);
		assert_int_equal(triage_result_decode(x.arena, buf, n, &back, &diag), ERR_OK);
		assert_true(back.has_kernel && back.kernel.bugcheck == x.r.kernel.bugcheck);
		assert_memory_equal(back.kernel.params, x.r.kernel.params, sizeof(back.kernel.params));
		assert_string_equal(back.kernel.kind, x.r.kernel.kind);
		assert_string_equal(back.kernel.build, x.r.kernel.build);
		assert_true(back.signature == x.r.signature);
		assert_string_equal(back.title, x.r.title);
		run_end(&x);
	}
}

/* ---- lies ---- */

static void
test_lies(void **state)
{
	static const struct {
		const char *name, *what;
		size_t at; /* from the second header */
		uint64_t v;
		unsigned width;
	} lies[] = {
		{ "july-triage", "drivers without end", 0x34, UINT32_MAX, 4 },
		{ "july-triage", "drivers behind the end", 0x30, UINT32_MAX, 4 },
		{ "july-triage", "blocks without end", 0x7c, UINT32_MAX, 4 },
		{ "july-triage", "blocks behind the end", 0x78, UINT32_MAX, 4 },
		{ "july-triage", "a stack larger than the file", 0x2c, UINT32_MAX, 4 },
		{ "july-triage", "unloaded drivers in the middle of nowhere", 0x18, 0xf98, 4 },
		{ "july-triage", "larger than the file", 0x04, UINT32_MAX, 4 },
		{ "july-bitmap", "a terabyte of bits", 0x30, UINT64_C(1) << 40, 8 },
		{ "july-bitmap", "all bits there are", 0x30, UINT64_MAX, 8 },
		{ "july-bitmap", "no bits", 0x30, 0, 8 },
		{ "july-bitmap", "pages behind the end", 0x20, UINT64_MAX - 4095, 8 },
		{ "july-bitmap", "no pages", 0x28, 0, 8 },
		{ "july-ranges", "pages behind the end", 0x18, UINT64_MAX, 8 },
		{ "july-ranges", "a range of all memory", 0x38, UINT64_MAX, 8 },
		{ "july-ranges", "a range at the end of memory", 0x30, UINT64_MAX, 8 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct synth_kdump c = example(lies[i].name);
		struct synth_kdump_places w;
		struct synth s = { 0 };
		struct run x;

		synth_kdump(&s, &c, &w);
		synth_patch(&s, w.triage + lies[i].at, lies[i].v, lies[i].width);
		run_bytes(&x, s.p, s.len);
		if (x.err != ERR_OK || !x.r.partial)
			fail_msg("%s: error %d", lies[i].what, x.err);
		assert_string_equal(triage_format_name(x.r.format), "windows-kernel-dump");
		run_end(&x);
		synth_free(&s);
	}
}

/* Runs of the header, in both widths. */
static void
test_lying_runs(void **state)
{
	static const char *const names[] = { "july-full", "july-x86-full" };

	(void)state;
	for (size_t i = 0; i < 2; i++)
		for (unsigned lie = 0; lie < 4; lie++) {
			struct synth_kdump c = example(names[i]);
			size_t at = i == 0 ? 0x88 : 0x64, w = i == 0 ? 8 : 4;
			struct synth s = { 0 };
			struct run x;

			synth_kdump(&s, &c, NULL);
			if (lie == 0)
				synth_patch(&s, at, UINT32_MAX, 4);
			else if (lie == 1)
				synth_patch(&s, at, 0, 4);
			else if (lie == 2)
				synth_patch(&s, at + 3 * w, UINT64_MAX, (unsigned)w); /* pages of the first */
			else
				synth_patch(&s, at + 2 * w, UINT64_MAX, (unsigned)w); /* its number */
			run_bytes(&x, s.p, s.len);
			assert_int_equal(x.err, ERR_OK);
			assert_true(x.r.partial);
			assert_int_equal(x.r.module_count, 0);
			run_end(&x);
			synth_free(&s);
		}
}

/* Every entry of every page table may point back at any table. */
static void
test_page_tables_that_loop(void **state)
{
	struct synth_kdump c = example("july-full");
	struct synth s = { 0 };
	uint64_t root;
	size_t pages;
	struct run x;

	(void)state;
	synth_kdump(&s, &c, NULL);
	memcpy(&root, s.p + 0x10, 8);
	root &= ~UINT64_C(0xfff);
	pages = (s.len - 0x2000) / 4096;
	for (size_t i = 0; i < pages; i++)
		for (size_t j = 0; j < 4096; j += 8)
			synth_patch(&s, 0x2000 + 4096 * i + j, root | 3, 8);
	run_bytes(&x, s.p, s.len);
	assert_int_equal(x.err, ERR_OK);
	run_end(&x);
	synth_free(&s);
}

static void
test_driver_list_that_loops(void **state)
{
	struct synth_kdump c = example("july-full");
	struct run x;

	(void)state;
	c.list_loops = true;
	run_kdump(&x, &c);
	assert_int_equal(x.err, ERR_OK);
	assert_true(x.r.partial);
	assert_string_equal(x.r.partial_what, "the list of drivers runs in a circle");
	assert_string_equal(x.r.title, "csagent.sys+0xe14ed");
	run_end(&x);
}

/* A page on its way to the page file is not there, even if its number is. */
static void
test_transition_pages_are_absent(void **state)
{
	struct synth_kdump c = example("july-full");
	struct synth s = { 0 };
	struct run x;
	size_t changed = 0;

	(void)state;
	synth_kdump(&s, &c, NULL);
	for (size_t at = 0x2000; at + 8 <= s.len; at += 8) {
		uint64_t e;

		memcpy(&e, s.p + at, 8);
		/* the page tables' entries of single pages, by what the builder makes them */
		if ((e & 0xfff) == 3 && e < 0x100000) {
			synth_patch(&s, at, (e & ~UINT64_C(1)) | 0x800, 8);
			changed++;
		}
	}
	assert_true(changed > 0);
	run_bytes(&x, s.p, s.len);
	assert_int_equal(x.err, ERR_OK);
	assert_true(x.r.partial);
	assert_int_equal(x.r.module_count, 0);
	run_end(&x);
	synth_free(&s);
}

/* Cut anywhere it is read as far as it goes. */
static void
test_truncated(void **state)
{
	static const char *const names[] = { "july-triage", "july-full", "july-bitmap", "july-x86-pae" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct synth_kdump c = example(names[i]);
		size_t header = c.x86 ? 0x1000 : 0x2000;
		struct synth s = { 0 };

		synth_kdump(&s, &c, NULL);
		for (size_t n = 8; n < s.len; n += n < header + 0x200 ? 61 : 1021) {
			struct run x;

			run_bytes(&x, s.p, n);
			if (n < header)
				assert_int_equal(x.err, ERR_TRUNCATED);
			else
				assert_true(x.err == ERR_OK && x.r.kernel.bugcheck == 0x50);
			run_end(&x);
		}
		synth_free(&s);
	}
}

/* ---- the table ---- */

static void
test_table(void **state)
{
	const struct bugcheck *b = bugcheck_find(0x1000008e);
	const uint64_t params[4] = { 0, 0x10, 0, 0 };

	(void)state;
	assert_int_equal(b->code, 0x8e);
	assert_int_equal(b->ip, 2);
	assert_string_equal(bugcheck_find(0xd1)->meaning[3], "instruction that referenced it");
	assert_string_equal(bugcheck_find(0x77777777)->meaning[0], "");
	assert_string_equal(bugcheck_value(0x139, 0, 2), "FAST_FAIL_STACK_COOKIE_CHECK_FAILURE");
	assert_string_equal(bugcheck_value(0x1000007f, 0, 8), "double fault, mostly an exhausted stack");
	assert_null(bugcheck_value(0x50, 3, 0x99));
	assert_int_equal(bugcheck_access(bugcheck_find(0x50), params), BUGCHECK_EXECUTE);
	/* sorted, so that every row is found, and no parameter is out of range */
	for (uint32_t code = 1; code < 0x400; code++) {
		b = bugcheck_find(code);
		assert_true(b->code == code || b->code == 0);
		assert_true(b->ip <= 4 && b->context <= 4 && b->record <= 4 && b->trap <= 4 && b->status <= 4 &&
			    b->address <= 4 && b->access <= 4);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_july_2024),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_frame_records),
		cmocka_unit_test(test_unwind_data),
		cmocka_unit_test(test_images_of_the_store),
		cmocka_unit_test(test_machine_frame),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_exception_and_context_records),
		cmocka_unit_test(test_instruction_parameter),
		cmocka_unit_test(test_trap_frame_search),
		cmocka_unit_test(test_messengers),
		cmocka_unit_test(test_unloaded_driver),
		cmocka_unit_test(test_stop_code),
		cmocka_unit_test(test_driver_calls_bugcheck),
		cmocka_unit_test(test_live_dump_is_no_crash),
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_lying_runs),
		cmocka_unit_test(test_page_tables_that_loop),
		cmocka_unit_test(test_driver_list_that_loops),
		cmocka_unit_test(test_transition_pages_are_absent),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
