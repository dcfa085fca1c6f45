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
#include <time.h>

#include <cmocka.h>

#include "triage/triage.h"

/* What texts of every kind are found to say.  The texts are the seeds of the fuzzers. */

struct expected {
	const char *file;
	enum triage_arch arch;
	const char *reason, *title, *rule;
	enum reason_class class;
	size_t frames;
	const char *annotation; /* "key=value", NULL: none is looked for */
};

static const struct expected oopses[] = {
	{ "oops/x64-6.1", TRIAGE_ARCH_X64, "BUG: unable to handle page fault", "fleetdrv!fleet_flush+0x5c", "context",
	  REASON_ACCESS, 7, "tainted=GOE" },
	{ "oops/memcpy-journal", TRIAGE_ARCH_X64, "BUG: kernel NULL pointer dereference", "ringmod!ring_copy+0x32",
	  "messenger: memcpy* (copy)", REASON_ACCESS, 3, "process=systemd" },
	{ "oops/old-x64", TRIAGE_ARCH_X64, "BUG: unable to handle kernel paging request", "oldmod!spin_thing+0x10",
	  "context", REASON_ACCESS, 3, "process=worker" },
	{ "oops/i386", TRIAGE_ARCH_X86, "BUG: unable to handle kernel NULL pointer dereference", "vmlinux!find_it+0x17",
	  "context", REASON_ACCESS, 3, NULL },
	{ "oops/arm64", TRIAGE_ARCH_ARM64, "Unable to handle kernel NULL pointer dereference", "camdrv!cam_stop+0x28",
	  "context", REASON_ACCESS, 4, "process=camd" },
	{ "oops/arm", TRIAGE_ARCH_ARM, "Unable to handle kernel paging request", "spidrv!spi_poll+0x1c", "context",
	  REASON_ACCESS, 4, "tainted=GW" },
	{ "oops/ppc64", TRIAGE_ARCH_PPC64, "BUG: Kernel NULL pointer dereference on read", "pdrv!probe_it+0x28",
	  "context", REASON_ACCESS, 3, NULL },
	{ "oops/riscv", TRIAGE_ARCH_RISCV64, "Unable to handle kernel access to user memory without uaccess routines",
	  "rdrv!rdrv_go+0x1e", "context", REASON_ACCESS, 2, NULL },
	{ "oops/kasan", TRIAGE_ARCH_UNKNOWN, "BUG: KASAN: slab-use-after-free", "kdrv!list_walk+0x4e", "named",
	  REASON_ACCESS, 6, NULL },
	{ "oops/soft-lockup", TRIAGE_ARCH_X64, "BUG: soft lockup", "spindrv!spin_take+0x14",
	  "messenger: _raw_spin_* (kernel)", REASON_WATCHDOG, 5, "tainted=GL" },
	{ "oops/hung-task", TRIAGE_ARCH_X64, "hung task", "jbd2!jbd2_journal_commit_transaction+0x259",
	  "messenger: io_schedule* (kernel)", REASON_WATCHDOG, 6, NULL },
	{ "oops/hung-kworker", TRIAGE_ARCH_UNKNOWN, "hung task", "mdriver!mdriver_flush+0x30",
	  "messenger: __mutex_lock* (kernel)", REASON_WATCHDOG, 9, "process=kworker/u8:2" },
	{ "oops/kfence-callerids", TRIAGE_ARCH_UNKNOWN, "BUG: KFENCE: use-after-free read",
	  "vmlinux!test_use_after_free_read+0xb2", "named", REASON_ACCESS, 4, NULL },
	{ "oops/panic-no-root", TRIAGE_ARCH_UNKNOWN,
	  "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
	  "vmlinux!mount_block_root+0x23b", "messenger: panic (kernel)", REASON_ABORT, 8, "process=swapper/0" },
	{ "oops/decoded", TRIAGE_ARCH_X64, "general protection fault", "netdrv!net_drop+0x0", "context", REASON_ACCESS,
	  4, NULL },
	{ "oops/several", TRIAGE_ARCH_X64, "kernel BUG at mm/first.c:77!", "one!first_fault+0x8", "context",
	  REASON_ASSERT, 2, "other_events=2" },
	{ "oops/pstore-parts", TRIAGE_ARCH_X64, "BUG: kernel NULL pointer dereference", "pdrv!pdrv_irq+0x18", "context",
	  REASON_ACCESS, 3, NULL },
	{ "oops/null-call", TRIAGE_ARCH_X64, "BUG: kernel NULL pointer dereference", "opsmod!ops_call+0x21",
	  "no-module", REASON_ACCESS, 3, "process=x" },
	{ "oops/panic-init", TRIAGE_ARCH_UNKNOWN, "Kernel panic - not syncing: Attempted to kill init!",
	  "vmlinux!do_exit.cold+0x98", "messenger: panic (kernel)", REASON_ABORT, 4, NULL },
	{ "oops/hard-lockup", TRIAGE_ARCH_X64, "Watchdog detected hard LOCKUP", "hl!hl_irq+0x20",
	  "messenger: _raw_spin_* (kernel)", REASON_WATCHDOG, 3, "process=swapper/7" },
	{ "oops/mips", TRIAGE_ARCH_MIPS, "Unable to handle kernel paging request", "ath9k!ath_tx_start+0x35", "context",
	  REASON_ACCESS, 3, NULL },
	{ "oops/rust", TRIAGE_ARCH_X64, "kernel BUG at rust/helpers.c:34!", "rustmod!_RNvMs_3modNtB4_6Module4init+0x11",
	  "messenger: *4core9panicking* (kernel)", REASON_ASSERT, 5, "process=insmod" },
	{ "oops/arm-undefined", TRIAGE_ARCH_ARM, "Internal error: Oops - undefined instruction", "vmlinux!bad_insn+0x4",
	  "context", REASON_ILLEGAL, 3, NULL },
	{ "oops/panic-oom", TRIAGE_ARCH_UNKNOWN,
	  "Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled",
	  "vmlinux!out_of_memory.cold+0x62", "messenger: panic (kernel)", REASON_ABORT, 3, NULL },
	{ "oops/slab", TRIAGE_ARCH_X64, "BUG kmalloc-64: Redzone overwritten", "slabdrv!slabdrv_free+0x21",
	  "messenger: kfree* (kernel)", REASON_OTHER, 5, "tainted=GB" },
	{ "oops/rcu-stall", TRIAGE_ARCH_X64, "rcu: INFO: rcu_sched self-detected stall on CPU",
	  "loopmod!loop_forever+0x5", "interrupted", REASON_WATCHDOG, 9, NULL },
};

static const struct expected tombstones[] = {
	{ "tombstone/android14", TRIAGE_ARCH_ARM64, "SIGSEGV / SEGV_MAPERR", "libfleet.so+0x21a10", "context",
	  REASON_ACCESS, 4, "cause=null pointer dereference" },
	{ "tombstone/abort-logcat", TRIAGE_ARCH_X64, "SIGABRT / SI_QUEUE", "rustd+0x12345", "messenger: abort (abort)",
	  REASON_ABORT, 3, "thread=rustd" },
	{ "tombstone/android4", TRIAGE_ARCH_ARM, "SIGBUS / BUS_ADRERR", "libold.so+0x1ab4c", "context", REASON_ACCESS,
	  3, "process=com.example.old" },
	{ "tombstone/proto-arm64", TRIAGE_ARCH_ARM64, "SIGSEGV / SEGV_MAPERR", "libfleet.so+0x21a10", "context",
	  REASON_ACCESS, 3, "thread=worker-2" },
	{ "tombstone/proto-cut", TRIAGE_ARCH_ARM64, "SIGSEGV / SEGV_MAPERR", "unknown", "none", REASON_ACCESS, 0,
	  "cause=null pointer dereference" },
};

static const struct expected microdumps[] = {
	{ "microdump/arm64", TRIAGE_ARCH_ARM64, "SIGSEGV", "libfleet.so+0x12340", "context", REASON_ACCESS, 2,
	  "version=fleet:1.2.3" },
	{ "microdump/plain", TRIAGE_ARCH_ARM64, "SIGSEGV", "libfleet.so+0x12340", "context", REASON_ACCESS, 2,
	  "process_type=browser" },
};

static const struct expected apples[] = {
	{ "apple/ips-arm64", TRIAGE_ARCH_ARM64, "EXC_BAD_ACCESS / KERN_INVALID_ADDRESS", "Fleet+0x4000", "context",
	  REASON_ACCESS, 4, "bug_type=309" },
	{ "apple/ips-abort-translated", TRIAGE_ARCH_X64, "EXC_CRASH / SIGABRT", "Old+0x1b58",
	  "messenger: abort (abort)", REASON_ABORT, 3, "translated=true" },
	{ "apple/crash-x64", TRIAGE_ARCH_X64, "EXC_BAD_INSTRUCTION / EXC_I386_INVOP", "Fleet Tool+0x2c3d", "context",
	  REASON_ILLEGAL, 3, "application_information=Fatal error: Index out of range" },
};

static const struct expected panics[] = {
	{ "apple/panic-x64", TRIAGE_ARCH_X64, "panic: Kernel trap, type 14=page fault", "com.example.gpu+0x1b123",
	  "context", REASON_ACCESS, 5, "process=WindowServer" },
	{ "apple/panic-ips-arm64", TRIAGE_ARCH_ARM64, "panic: AppleExample: command timed out",
	  "com.apple.driver.AppleExample+0x1230", "messenger: kernel", REASON_WATCHDOG, 3, "process=kernel_task" },
};

static const struct expected events[] = {
	{ "winevent/bugcheck-en", TRIAGE_ARCH_UNKNOWN, "0x50 PAGE_FAULT_IN_NONPAGED_AREA",
	  "stop 0x50 PAGE_FAULT_IN_NONPAGED_AREA kernel 0 kernel 0x2", "stop-code", REASON_ACCESS, 0, NULL },
	{ "winevent/bugcheck-de", TRIAGE_ARCH_UNKNOWN, "0x50 PAGE_FAULT_IN_NONPAGED_AREA",
	  "stop 0x50 PAGE_FAULT_IN_NONPAGED_AREA kernel 0 kernel 0x2", "stop-code", REASON_ACCESS, 0, NULL },
	{ "winevent/bugcheck-xml", TRIAGE_ARCH_UNKNOWN, "0x9f DRIVER_POWER_STATE_FAILURE",
	  "stop 0x9f DRIVER_POWER_STATE_FAILURE 0x3 kernel kernel kernel", "stop-code", REASON_WATCHDOG, 0, NULL },
	{ "winevent/power-xml", TRIAGE_ARCH_UNKNOWN, "0xef CRITICAL_PROCESS_DIED",
	  "stop 0xef CRITICAL_PROCESS_DIED kernel 0 0 0", "stop-code", REASON_ABORT, 0, NULL },
	{ "winevent/wer-bluescreen", TRIAGE_ARCH_UNKNOWN, "0x50 PAGE_FAULT_IN_NONPAGED_AREA",
	  "stop 0x50 PAGE_FAULT_IN_NONPAGED_AREA kernel 0 kernel 0x2", "stop-code", REASON_ACCESS, 0, NULL },
	{ "winevent/app-en", TRIAGE_ARCH_UNKNOWN, "EXCEPTION_ACCESS_VIOLATION", "ring.dll+0x12345", "context",
	  REASON_ACCESS, 1, "process=fleet.exe" },
	{ "winevent/app-de", TRIAGE_ARCH_UNKNOWN, "EXCEPTION_ACCESS_VIOLATION", "ring.dll+0x12345", "context",
	  REASON_ACCESS, 1, "version=2.1.0.77" },
	{ "winevent/app-xml", TRIAGE_ARCH_UNKNOWN, "EXCEPTION_ACCESS_VIOLATION", "ring.dll+0x12345", "context",
	  REASON_ACCESS, 1, "process=fleet.exe" },
	{ "winevent/wer-bex64", TRIAGE_ARCH_UNKNOWN, "STATUS_STACK_BUFFER_OVERRUN", "ring.dll+0x12345", "context",
	  REASON_FASTFAIL, 1, "process=fleet.exe" },
};

/* ---- help ---- */

struct run {
	struct arena *arena;
	struct triage_result r;
	struct diag diag;
	enum err err;
};

static void
run_bytes(struct run *x, const void *p, size_t size)
{
	*x = (struct run){ .arena = arena_new(TRIAGE_ARENA_BYTES) };
	assert_non_null(x->arena);
	x->err = triage_run(x->arena, p, size, NULL, &x->r, &x->diag);
}

static char *
slurp(const char *name, size_t *size)
{
	const char *srcdir = getenv("srcdir");
	char path[512], *p;
	FILE *f;
	long n;

	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".", name);
	f = fopen(path, "rb");
	if (f == NULL)
		fail_msg("no %s", path);
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	p = malloc((size_t)n + 1);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)n, f), n);
	fclose(f);
	p[n] = '\0';
	*size = (size_t)n;
	return p;
}

static void
check_annotation(const struct triage_result *r, const char *want)
{
	for (size_t i = 0; i < r->n_annotations; i++) {
		size_t n = strlen(r->annotations[i].key);

		if (strncmp(want, r->annotations[i].key, n) == 0 && want[n] == '=') {
			assert_string_equal(r->annotations[i].value, want + n + 1);
			return;
		}
	}
	fail_msg("no annotation %s", want);
}

static void
check_one(const struct expected *e, enum triage_format format)
{
	size_t size;
	char *p = slurp(e->file, &size);
	struct run x;

	run_bytes(&x, p, size);
	if (x.err != ERR_OK)
		fail_msg("%s: %s", e->file, x.diag.what);
	print_message("%s: %s in %s\n", e->file, x.r.reason, x.r.title);
	assert_int_equal(x.r.format, format);
	assert_int_equal(x.r.arch, e->arch);
	assert_string_equal(x.r.reason, e->reason);
	assert_string_equal(x.r.title, e->title);
	assert_string_equal(x.r.blame_rule, e->rule);
	assert_int_equal(x.r.class, e->class);
	assert_int_equal(x.r.n_frames, e->frames);
	if (e->annotation != NULL)
		check_annotation(&x.r, e->annotation);
	arena_free(x.arena);
	free(p);
}

static void
test_oopses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(oopses) / sizeof(oopses[0]); i++)
		check_one(&oopses[i], TRIAGE_FORMAT_OOPS);
}

/* The same crash as text and as protobuf is counted once. */
static void
test_tombstones(void **state)
{
	uint64_t signature[2];

	(void)state;
	for (size_t i = 0; i < sizeof(tombstones) / sizeof(tombstones[0]); i++)
		check_one(&tombstones[i], TRIAGE_FORMAT_TOMBSTONE);
	for (int i = 0; i < 2; i++) {
		size_t size;
		char *p = slurp(i == 0 ? "tombstone/android14" : "tombstone/proto-arm64", &size);
		struct run x;

		run_bytes(&x, p, size);
		assert_int_equal(x.err, ERR_OK);
		assert_int_equal(x.r.os, TRIAGE_OS_ANDROID);
		assert_int_equal(x.r.address, 0x18);
		assert_int_equal(x.r.crashing_tid, 4350);
		assert_int_equal(x.r.thread_count, 2);
		assert_string_equal(x.r.os_version, "14");
		assert_string_equal(x.r.module_id, "0123456789abcdef0123456789abcdef01234567");
		assert_string_equal(x.r.frames[1].function, "worker_main");
		signature[i] = x.r.signature;
		arena_free(x.arena);
		free(p);
	}
	assert_true(signature[0] == signature[1]);
}

static void
test_microdumps(void **state)
{
	size_t size;
	char *p = slurp("microdump/plain", &size);
	struct run x;

	(void)state;
	for (size_t i = 0; i < sizeof(microdumps) / sizeof(microdumps[0]); i++)
		check_one(&microdumps[i], TRIAGE_FORMAT_MICRODUMP);
	run_bytes(&x, p, size); /* its last line is missing */
	assert_int_equal(x.err, ERR_OK);
	assert_true(x.r.partial);
	assert_int_equal(x.r.frames[1].trust, TRIAGE_TRUST_FRAME_POINTER);
	arena_free(x.arena);
	free(p);
}

static void
test_apple(void **state)
{
	size_t size;
	char *p = slurp("apple/jetsam", &size);
	struct run x;

	(void)state;
	for (size_t i = 0; i < sizeof(apples) / sizeof(apples[0]); i++)
		check_one(&apples[i], TRIAGE_FORMAT_APPLE);
	for (size_t i = 0; i < sizeof(panics) / sizeof(panics[0]); i++)
		check_one(&panics[i], TRIAGE_FORMAT_APPLE_PANIC);
	run_bytes(&x, p, size); /* a report that is about no crash */
	assert_int_equal(x.err, ERR_UNSUPPORTED);
	arena_free(x.arena);
	free(p);
}

/* Callers' addresses are return addresses; ids are the UUIDs of minidumps. */
static void
test_ips(void **state)
{
	size_t size;
	char *p = slurp("apple/ips-arm64", &size);
	struct run x;

	(void)state;
	run_bytes(&x, p, size);
	assert_int_equal(x.err, ERR_OK);
	assert_int_equal(x.r.frames[1].offset, 20000 - 4);
	assert_string_equal(x.r.frames[1].function, "worker_main");
	assert_int_equal(x.r.frames[3].module, -1);
	assert_string_equal(x.r.module_id, "aaaaaaaabbbb3ccc8dddeeeeeeeeeeee");
	assert_int_equal(x.r.address, 0x20);
	assert_int_equal(x.r.crashing_thread, 1);
	assert_int_equal(x.r.thread_count, 2);
	assert_string_equal(x.r.os_version, "13.1");
	check_annotation(&x.r, "thread=worker \xc3\xa9");
	arena_free(x.arena);
	free(p);
}

/* One stop told by the event log, by error reporting and by a client is counted once; a program's
 * crash likewise, whatever the language. */
static void
test_events(void **state)
{
	static const char *const stops[] = { "winevent/bugcheck-de", "winevent/wer-bluescreen" };
	static const char *const apps[] = { "winevent/app-en", "winevent/app-de", "winevent/app-xml" };
	struct stop_key claim = { .code = 0x50,
				  .n_params = 4,
				  .params = { 0xffff8d8c35c7ce9c, 0, 0xfffff8006c2114ed, 2 },
				  .os_build = TEXT("10.0.19045") };
	struct signature_key key = { TEXT("C:\\Program Files\\Fleet\\RING.dll"), TEXT(""), 0x12345, REASON_ACCESS };

	(void)state;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		check_one(&events[i], TRIAGE_FORMAT_EVENT);
	for (size_t i = 0; i < 5; i++) {
		size_t size;
		char *p = slurp(i < 2 ? stops[i] : apps[i - 2], &size);
		struct run x;

		run_bytes(&x, p, size);
		assert_int_equal(x.err, ERR_OK);
		assert_true(x.r.has_kernel == (i < 2) && x.r.os_kernel == (i < 2));
		assert_true(x.r.signature == (i < 2 ? signature_stop_hash(&claim) : signature_hash(&key, RUNG_KEY)));
		arena_free(x.arena);
		free(p);
	}
}

/* Marks of "?" are guesses, the registers are not. */
static void
test_oops_trust(void **state)
{
	size_t size;
	char *p = slurp("oops/x64-6.1", &size);
	struct run x;

	(void)state;
	run_bytes(&x, p, size);
	assert_int_equal(x.err, ERR_OK);
	assert_true(x.r.os_kernel && !x.r.has_kernel);
	assert_int_equal(x.r.frames[0].trust, TRIAGE_TRUST_CONTEXT);
	assert_int_equal(x.r.frames[1].trust, TRIAGE_TRUST_SCAN);
	assert_int_equal(x.r.frames[3].trust, TRIAGE_TRUST_REPORTED);
	assert_true(x.r.frames[3].in_function);
	assert_int_equal(x.r.frames[3].offset, 0x90);
	assert_int_equal(x.r.module_count, 8);
	assert_int_equal(x.r.address, 0xffffc90000a1b000);
	assert_int_equal(x.r.crashing_tid, 812);
	arena_free(x.arena);
	free(p);
}

/* A text without a crash, and what is no text, are refused quickly. */
static void
test_refused(void **state)
{
	size_t size, big = (size_t)100 << 20;
	char *p = slurp("oops/none", &size), *zeros = calloc(1, big);
	struct run x;

	(void)state;
	run_bytes(&x, p, size);
	assert_int_equal(x.err, ERR_UNSUPPORTED);
	arena_free(x.arena);
	free(p);
	assert_non_null(zeros);
	run_bytes(&x, zeros, big);
	assert_int_equal(x.err, ERR_UNSUPPORTED);
	arena_free(x.arena);
	memset(zeros, 'a', big); /* one line of 100 MB */
	run_bytes(&x, zeros, big);
	assert_int_equal(x.err, ERR_UNSUPPORTED);
	arena_free(x.arena);
	free(zeros);
}

/* A million frames: as many as are kept, within the memory a dump is given. */
static void
test_million_frames(void **state)
{
	static const char head[] = "BUG: kernel NULL pointer dereference, address: 0000000000000010\nCall Trace:\n";
	size_t cap = (size_t)32 << 20, n = sizeof(head) - 1;
	char *p = malloc(cap);
	struct run x;

	(void)state;
	assert_non_null(p);
	memcpy(p, head, n);
	for (int i = 0; i < 1000000 && n + 64 < cap; i++)
		n += (size_t)snprintf(p + n, cap - n, " f%d+0x1/0x2 [m%d]\n", i, i);
	run_bytes(&x, p, n);
	assert_int_equal(x.err, ERR_OK);
	assert_int_equal(x.r.n_frames, TRIAGE_MAX_FRAMES);
	assert_true(x.r.partial);
	assert_string_equal(x.r.title, "m0!f0+0x0");
	arena_free(x.arena);
	free(p);
}

/* UTF-16 as Windows tools save texts. */
static void
test_utf16(void **state)
{
	size_t size;
	char *p = slurp("oops/x64-6.1", &size);
	uint8_t *wide = malloc(2 * size + 2);
	struct run x;

	(void)state;
	assert_non_null(wide);
	wide[0] = 0xff;
	wide[1] = 0xfe;
	for (size_t i = 0; i < size; i++) {
		wide[2 + 2 * i] = (uint8_t)p[i];
		wide[3 + 2 * i] = 0;
	}
	run_bytes(&x, wide, 2 * size + 2);
	assert_int_equal(x.err, ERR_OK);
	assert_string_equal(x.r.title, "fleetdrv!fleet_flush+0x5c");
	arena_free(x.arena);
	free(wide);
	free(p);
}

/* Every text in every arena that is too small: refused or read, never worse. */
static void
test_small_arenas(void **state)
{
	static const struct {
		const struct expected *list;
		size_t n;
	} all[] = {
		{ oopses, sizeof(oopses) / sizeof(oopses[0]) },
		{ tombstones, sizeof(tombstones) / sizeof(tombstones[0]) },
		{ microdumps, sizeof(microdumps) / sizeof(microdumps[0]) },
		{ apples, sizeof(apples) / sizeof(apples[0]) },
		{ panics, sizeof(panics) / sizeof(panics[0]) },
		{ events, sizeof(events) / sizeof(events[0]) },
	};

	(void)state;
	for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
		for (size_t i = 0; i < all[k].n; i++) {
			size_t size, refused = 0;
			char *p = slurp(all[k].list[i].file, &size);

			for (size_t limit = 256; limit < 4 << 20; limit += limit / 7 + 16) {
				struct arena *a = arena_new(limit);
				struct triage_result r;
				struct diag diag;
				enum err e = triage_run(a, p, size, NULL, &r, &diag);

				assert_true(e == ERR_OK || e == ERR_LIMIT || e == ERR_NOMEM);
				refused += e != ERR_OK;
				assert_true(arena_used(a) <= limit);
				arena_free(a);
			}
			assert_true(refused > 0);
			free(p);
		}
}

/* What a worker tells of a text is what the server signs. */
static void
test_wire(void **state)
{
	size_t size, n;
	char *p = slurp("oops/x64-6.1", &size);
	uint8_t *buf = malloc(TRIAGE_WIRE_MAX);
	struct triage_result back;
	struct run x;

	(void)state;
	assert_non_null(buf);
	run_bytes(&x, p, size);
	n = triage_result_encode(&x.r, buf, TRIAGE_WIRE_MAX);
	assert_true(n > 0);
	assert_int_equal(triage_result_decode(x.arena, buf, n, &back, &x.diag), ERR_OK);
	assert_true(back.os_kernel && back.frames[0].in_function);
	assert_int_equal(back.frames[3].trust, TRIAGE_TRUST_REPORTED);
	assert_true(back.signature == x.r.signature);
	assert_string_equal(back.title, x.r.title);
	arena_free(x.arena);
	free(buf);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oopses),     cmocka_unit_test(test_tombstones),
		cmocka_unit_test(test_microdumps), cmocka_unit_test(test_apple),
		cmocka_unit_test(test_ips),        cmocka_unit_test(test_events),
		cmocka_unit_test(test_oops_trust), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_utf16),      cmocka_unit_test(test_million_frames),
		cmocka_unit_test(test_wire),       cmocka_unit_test(test_small_arenas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
