/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/unwind_world.h"
#include "triage/callsite.h"
#include "triage/unwind_x64.h"

/* A function at 0x1100 to 0x1200 whose record is at SYNTH_PE_RECORDS, and its caller, who called it at 0x1500. */
#define BEGIN  0x1100u
#define END    0x1200u
#define CALLER 0x1505u

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI }; /* as instructions number them */
enum { D_RBX = 3, D_RSI = 4, D_RDI = 5, D_RBP = 6, D_RSP = 7 };

struct code {
	uint8_t bytes[0x800]; /* from SYNTH_PE_CODE on */
};

static void
put_code(struct code *c, uint32_t rva, const void *p, size_t n)
{
	memcpy(c->bytes + (rva - SYNTH_PE_CODE), p, n);
}

static struct code
some_code(void)
{
	struct code c;

	memset(c.bytes, 0x90, sizeof(c.bytes));
	put_code(&c, CALLER - 5, "\xe8\0\0\0\0", 5);
	put_code(&c, 0x1605 - 5, "\xe8\0\0\0\0", 5);
	return c;
}

/* The function with this record (UNWIND_INFO), at pc of it. */
static void
begin(struct world *w, const void *record, size_t n, const struct code *code, uint32_t pc)
{
	const uint32_t table[] = { BEGIN, END, SYNTH_PE_RECORDS };

	world_init(w, TRIAGE_ARCH_X64,
		   (struct synth_pe){ .code = code->bytes,
				      .n_code = sizeof(code->bytes),
				      .records = record,
				      .n_records = n,
				      .table = table,
				      .n_table = 3 });
	w->f.pc = WORLD_PC(pc);
}

static enum unwind_outcome
step(struct world *w, struct unwind_frame *caller)
{
	memset(caller, 0xee, sizeof(*caller));
	return unwinder_x64.step(&w->u, &w->f, 0, caller);
}

/* The caller is at CALLER, with its stack pointer at word i. */
static void
assert_caller(struct world *w, struct unwind_frame *c, size_t i)
{
	assert_int_equal(step(w, c), UNWIND_CALLER);
	assert_int_equal(c->pc, WORLD_PC(CALLER));
	assert_int_equal(c->r[D_RSP], WORLD_SP(i));
	assert_true(unwind_known(c, D_RSP));
	assert_false(c->exact);
}

/* ---- codes ---- */

/* push rbp; push r12; sub rsp, 0x20; mov [rsp+8], rsi: whole, and stopped at each instruction. */
static void
test_push_alloc_save(void **state)
{
	static const uint8_t record[] = { 1, 13,   5, 0,    13, 4 | RSI << 4, 1, 0, /* save at 1 * 8 */
					  7, 0x32, 3, 0xc0, 1,  0x50,         0, 0 };
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	begin(&w, record, sizeof(record), &code, 0x1150);
	world_word(&w, 1, 0x51);
	world_word(&w, 4, 0x12);
	world_word(&w, 5, 0x55);
	world_word(&w, 6, WORLD_PC(CALLER));
	unwind_set(&w.f, D_RBX, 0xb);
	unwind_set(&w.f, 0, 0xa);
	assert_caller(&w, &c, 7);
	assert_int_equal(c.r[D_RSI], 0x51);
	assert_int_equal(c.r[12], 0x12);
	assert_int_equal(c.r[D_RBP], 0x55);
	assert_true(unwind_known(&c, D_RBX) && c.r[D_RBX] == 0xb);
	assert_false(unwind_known(&c, 0)); /* a call does not keep rax */
	/* before the first push, after it, after both, after the allocation */
	for (unsigned i = 0; i < 4; i++) {
		static const uint32_t at[] = { 0, 1, 3, 7 };
		static const size_t words[] = { 0, 1, 2, 6 };

		memset(w.stack, 0, sizeof(w.stack));
		w.f.pc = WORLD_PC(BEGIN + at[i]);
		world_word(&w, words[i], WORLD_PC(CALLER));
		assert_caller(&w, &c, words[i] + 1);
		assert_int_equal(unwind_known(&c, D_RBP), i > 0);
		assert_int_equal(unwind_known(&c, D_RSI), 0);
	}
	world_end(&w);
}

static void
test_large_allocations(void **state)
{
	/* 0x88 * 8 bytes, then 0x400 bytes by 32 bits */
	static const uint8_t record[] = { 1, 0, 5, 0, 0, 1, 0x88, 0, 0, 0x11, 0, 4, 0, 0, 0, 0 };
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	begin(&w, record, sizeof(record), &code, 0x1150);
	world_word(&w, 0x108, WORLD_PC(CALLER));
	assert_caller(&w, &c, 0x109);
	world_end(&w);
}

/* lea rbp, [rsp+0x30]; the stack grew after that.  Registers saved near and far, xmm ones passed over. */
static void
test_frame_register(void **state)
{
	static const uint8_t record[] = { 1,    0x20,
					  13,   RBP | 3 << 4,
					  0x20, 9 | 6 << 4,
					  0x00, 0x01,
					  0x00, 0x00, /* xmm6 far */
					  0x20, 8 | 7 << 4,
					  1,    0, /* xmm7 */
					  0x20, 5 | RDI << 4,
					  0x18, 0x00,
					  0x00, 0x00, /* rdi at 0x18 */
					  0x20, 4 | RSI << 4,
					  2,    0, /* rsi at 0x10 */
					  0x08, 3,
					  0x03, 0x72,
					  0x01, 0x50 };
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	begin(&w, record, sizeof(record), &code, 0x1150);
	unwind_set(&w.f, D_RBP, WORLD_SP(0x20) + 0x30); /* the frame's base is word 0x20 */
	world_word(&w, 0x22, 0x51);
	world_word(&w, 0x23, 0xd1);
	world_word(&w, 0x28, 0x55);
	world_word(&w, 0x29, WORLD_PC(CALLER));
	assert_caller(&w, &c, 0x2a);
	assert_int_equal(c.r[D_RSI], 0x51);
	assert_int_equal(c.r[D_RDI], 0xd1);
	assert_int_equal(c.r[D_RBP], 0x55);
	/* before the frame register is set it says nothing */
	w.f.pc = WORLD_PC(BEGIN + 4);
	world_word(&w, 8, 0x56);
	world_word(&w, 9, WORLD_PC(CALLER));
	assert_caller(&w, &c, 10);
	assert_int_equal(c.r[D_RBP], 0x56);
	/* a frame register that is not known */
	w.f.pc = WORLD_PC(0x1150);
	w.f.known = UINT64_C(1) << D_RSP;
	assert_int_equal(step(&w, &c), UNWIND_DAMAGED);
	world_end(&w);
}

/* What the processor pushed when it was interrupted: the registers go on where that was, on whatever stack. */
static void
test_machine_frame(void **state)
{
	uint8_t record[] = { 1, 0, 2, 0, 0, 0x12, 0, 0x0a };
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	for (unsigned error = 0; error < 2; error++) {
		record[7] = (uint8_t)(0x0a | error << 4);
		begin(&w, record, sizeof(record), &code, 0x1150);
		world_word(&w, 2 + error, WORLD_PC(0x1333)); /* behind no call */
		world_word(&w, 3 + error, 0x10);
		world_word(&w, 5 + error, WORLD_SP(0x40));
		assert_int_equal(step(&w, &c), UNWIND_CALLER);
		assert_int_equal(c.pc, WORLD_PC(0x1333));
		assert_int_equal(c.r[D_RSP], WORLD_SP(0x40));
		assert_true(c.exact);
		world_end(&w);
	}
}

static void
test_chained(void **state)
{
	/* the second part of a function: saves rbx at 0, then is what the first part made of it */
	static const uint8_t record[0x20] = { 1 | 4 << 3, 0,    2, 0, 0,    4 | RBX << 4, 0, 0,   0x00, 0x16, 0, 0,
					      0x00,       0x17, 0, 0, 0x18, 0x30,         0, 0,   0,    0,    0, 0,
					      1,          4,    2, 0, 4,    0x32,         1, 0x50 };
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	begin(&w, record, sizeof(record), &code, BEGIN);
	world_word(&w, 0, 0xbb);
	world_word(&w, 4, 0x55);
	world_word(&w, 5, WORLD_PC(CALLER));
	assert_caller(&w, &c, 6);
	assert_int_equal(c.r[D_RBX], 0xbb);
	assert_int_equal(c.r[D_RBP], 0x55);
	world_end(&w);
}

/* Records that are chained to themselves, and an entry that is another's and so on. */
static void
test_circles(void **state)
{
	static const uint8_t self[] = { 1 | 4 << 3, 0, 0, 0, 0, 0x11, 0, 0, 0, 0x12, 0, 0, 0, 0x30, 0, 0 };
	static const uint8_t entry[] = { 0, 0x11, 0, 0, 0, 0x12, 0, 0, 0x01, 0x30, 0, 0 };
	const uint32_t table[] = { BEGIN, END, SYNTH_PE_RECORDS + 1 };
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	begin(&w, self, sizeof(self), &code, 0x1150);
	assert_int_equal(step(&w, &c), UNWIND_DAMAGED);
	assert_string_equal(w.u.why, "unwind data that is damaged, or needs memory that is missing");
	world_end(&w);
	world_init(&w, TRIAGE_ARCH_X64,
		   (struct synth_pe){ .code = code.bytes,
				      .n_code = sizeof(code.bytes),
				      .records = entry,
				      .n_records = sizeof(entry),
				      .table = table,
				      .n_table = 3 });
	w.f.pc = WORLD_PC(0x1150);
	assert_int_equal(step(&w, &c), UNWIND_DAMAGED);
	world_end(&w);
}

/* ---- epilogues ---- */

/* push rbx; push r14; sub rsp, 0x20 in any of its epilogues, stopped at each instruction of it. */
static void
test_epilogue(void **state)
{
	static const uint8_t record[] = { 1, 8, 3, 0, 8, 0x32, 4, 0xe0, 1, 0x30, 0, 0 };
	static const struct {
		const char *end;
		size_t n;
	} ends[] = {
		{ "\xc3", 1 },
		{ "\xc2\x08\x00", 3 },
		{ "\xf3\xc3", 2 },
		{ "\xe9\x00\x03\x00\x00", 5 }, /* out of the function */
		{ "\x48\xff\x25\x00\x00\x00\x00", 7 },
		{ "\x49\xff\xe2", 3 },
	};
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		for (unsigned done = 0; done < 4; done++) {
			static const uint32_t at[] = { 0, 4, 6, 7 };
			static const size_t sp[] = { 0, 4, 5, 6 };

			put_code(&code, 0x1180, "\x48\x83\xc4\x20\x41\x5e\x5b", 7);
			put_code(&code, 0x1187, ends[i].end, ends[i].n);
			begin(&w, record, sizeof(record), &code, 0x1180 + at[done]);
			unwind_set(&w.f, D_RSP, WORLD_SP(sp[done]));
			world_word(&w, 4, 0xe);
			world_word(&w, 5, 0xb);
			world_word(&w, 6, WORLD_PC(CALLER));
			assert_caller(&w, &c, 7);
			assert_int_equal(unwind_known(&c, D_RBX) && c.r[D_RBX] == 0xb, done < 3);
			assert_int_equal(unwind_known(&c, 14) && c.r[14] == 0xe, done < 2);
			world_end(&w);
		}
	/* pops that end in a jump within the function are none */
	put_code(&code, 0x1187, "\xeb\x10", 2);
	begin(&w, record, sizeof(record), &code, 0x1187);
	world_word(&w, 6, WORLD_PC(CALLER));
	assert_caller(&w, &c, 7);
	world_end(&w);
}

/* lea rsp, [rbp+8]; pop rbp; ret. */
static void
test_epilogue_of_frame_register(void **state)
{
	static const uint8_t record[] = { 1, 8, 3, RBP | 2 << 4, 8, 3, 4, 0x42, 1, 0x50, 0, 0 };
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	put_code(&code, 0x1180, "\x48\x8d\x65\x08\x5d\xc3", 6);
	begin(&w, record, sizeof(record), &code, 0x1180);
	unwind_set(&w.f, D_RBP, WORLD_SP(0x20));
	world_word(&w, 0x21, 0x55);
	world_word(&w, 0x22, WORLD_PC(CALLER));
	assert_caller(&w, &c, 0x23);
	assert_int_equal(c.r[D_RBP], 0x55);
	world_end(&w);
}

/* Version 2 tells where epilogues are: without the code it still is known what was popped. */
static void
test_epilogue_codes(void **state)
{
	static const uint8_t record[] = { 2, 8,    5,    0,
					  4, 0x16, 0x30, 0x06, /* 4 bytes, at the end; 0x30 before it */
					  8, 0x32, 4,    0xe0,
					  1, 0x30, 0,    0 };
	static const uint32_t ends[] = { END - 4, END - 0x30 };
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	for (size_t i = 0; i < 2; i++)
		for (unsigned done = 0; done < 3; done++) {
			static const uint32_t at[] = { 0, 2, 3 };

			begin(&w, record, sizeof(record), &code, ends[i] + at[done]);
			w.no_code = true;
			world_word(&w, 0, done == 0 ? 0xe : done == 1 ? 0xb : WORLD_PC(CALLER));
			world_word(&w, 1, done == 0 ? 0xb : WORLD_PC(CALLER));
			world_word(&w, 2, done == 0 ? WORLD_PC(CALLER) : 0);
			assert_caller(&w, &c, 3 - done);
			world_end(&w);
		}
	/* elsewhere its codes are those of version 1 */
	begin(&w, record, sizeof(record), &code, 0x1150);
	world_word(&w, 6, WORLD_PC(CALLER));
	assert_caller(&w, &c, 7);
	world_end(&w);
}

/* ---- what is believed ---- */

/* Without a record: a leaf, but only where it was interrupted, and only up to a real return address. */
static void
test_leaf(void **state)
{
	static const uint8_t record[] = { 1, 0, 0, 0 };
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	begin(&w, record, sizeof(record), &code, 0x1300);
	world_word(&w, 0, WORLD_PC(CALLER));
	assert_caller(&w, &c, 1);
	w.f.exact = false;
	assert_int_equal(step(&w, &c), UNWIND_UNKNOWN);
	w.f.exact = true;
	world_word(&w, 0, WORLD_PC(CALLER + 1)); /* behind no call */
	assert_int_equal(step(&w, &c), UNWIND_UNKNOWN);
	world_word(&w, 0, WORLD_PC(0x3004)); /* no code */
	assert_int_equal(step(&w, &c), UNWIND_UNKNOWN);
	world_word(&w, 0, 0);
	assert_int_equal(step(&w, &c), UNWIND_OUTERMOST);
	unwind_set(&w.f, D_RSP, WORLD_SP(WORLD_WORDS));
	assert_int_equal(step(&w, &c), UNWIND_UNKNOWN);
	/* no code is there to run */
	w.f.pc = WORLD_PC(0x3004);
	unwind_set(&w.f, D_RSP, WORLD_STACK);
	world_word(&w, 0, WORLD_PC(CALLER));
	assert_int_equal(step(&w, &c), UNWIND_UNKNOWN);
	world_end(&w);
}

/* A return address behind the last instruction is the function's, not the next one's. */
static void
test_call_at_the_end(void **state)
{
	static const uint8_t record[] = { 1, 4, 1, 0, 4, 0x32, 0, 0 };
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	begin(&w, record, sizeof(record), &code, END);
	w.f.exact = false;
	world_word(&w, 4, WORLD_PC(CALLER));
	assert_caller(&w, &c, 5);
	world_end(&w);
}

static void
test_nonsense(void **state)
{
	static const struct {
		const char *what;
		uint8_t record[12];
	} all[] = {
		{ "version 3", { 3, 0, 0, 0 } },
		{ "an unknown code", { 1, 0, 1, 0, 0, 0x0d, 0, 0 } },
		{ "a code that is cut off", { 1, 0, 1, 0, 0, 0x01, 0, 0 } },
		{ "an allocation of an unknown kind", { 1, 0, 3, 0, 0, 0x21, 0, 0, 0, 0, 0, 0 } },
		{ "a machine frame of an unknown kind", { 1, 0, 1, 0, 0, 0x2a, 0, 0 } },
		{ "out of the stack", { 1, 0, 3, 0, 0, 0x11, 0xff, 0xff, 0xff, 0x0f, 0, 0 } },
		{ "an odd stack", { 1, 0, 3, 0, 0, 0x11, 0x04, 0, 0, 0, 0, 0 } },
	};
	struct code code = some_code();
	struct unwind_frame c;
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		begin(&w, all[i].record, sizeof(all[i].record), &code, 0x1150);
		for (size_t j = 0; j < 64; j++)
			world_word(&w, j, WORLD_PC(CALLER) << 32 | (uint32_t)(WORLD_PC(CALLER) >> 32));
		if (step(&w, &c) != UNWIND_DAMAGED)
			fail_msg("%s: believed", all[i].what);
		world_end(&w);
	}
	/* no work is left */
	begin(&w, all[0].record, 4, &code, 0x1150);
	w.u.work = 3;
	assert_int_equal(step(&w, &c), UNWIND_DAMAGED);
	assert_string_equal(w.u.why, "unwinding took too much work");
	world_end(&w);
}

/* ---- calls ---- */

static void
test_call_before(void **state)
{
	static const struct {
		enum triage_arch arch;
		bool call;
		const char *bytes; /* the last 8 before the return address */
	} all[] = {
		{ TRIAGE_ARCH_X64, true, "\x90\x90\x90\xe8\x01\x02\x03\x04" },
		{ TRIAGE_ARCH_X64, true, "\x90\x90\x90\x90\x90\x90\xff\xd0" },  /* call rax */
		{ TRIAGE_ARCH_X64, true, "\x90\x90\x90\x90\x90\x41\xff\xd2" },  /* call r10 */
		{ TRIAGE_ARCH_X64, true, "\x90\x90\x90\x90\x90\x90\xff\x13" },  /* call [rbx] */
		{ TRIAGE_ARCH_X64, true, "\x90\x90\x90\x90\x90\xff\x50\x18" },  /* call [rax+18h] */
		{ TRIAGE_ARCH_X64, true, "\x90\x90\x90\x90\xff\x54\x24\x18" },  /* call [rsp+18h] */
		{ TRIAGE_ARCH_X64, true, "\x90\x90\x90\x90\x90\xff\x14\xc8" },  /* call [rax+rcx*8] */
		{ TRIAGE_ARCH_X64, true, "\x90\x90\xff\x15\x10\x20\x30\x00" },  /* call [rip+…] */
		{ TRIAGE_ARCH_X64, true, "\x90\x48\xff\x90\x10\x20\x30\x00" },  /* call [rax+…] */
		{ TRIAGE_ARCH_X64, true, "\x90\xff\x94\xc8\x10\x20\x30\x00" },  /* call [rax+rcx*8+…] */
		{ TRIAGE_ARCH_X64, true, "\x90\xff\x14\xc5\x10\x20\x30\x00" },  /* call [rax*8+…] */
		{ TRIAGE_ARCH_X64, true, "\x90\x90\x90\x90\x90\x90\xff\x18" },  /* call far [rax] */
		{ TRIAGE_ARCH_X64, false, "\x90\x90\x90\x90\x90\x90\xff\xd8" }, /* no far call by register */
		{ TRIAGE_ARCH_X64, false, "\x90\x90\x90\x90\x90\x90\xff\xe0" }, /* jmp rax */
		{ TRIAGE_ARCH_X64, false, "\x90\x90\x90\x90\x90\x90\xff\x15" }, /* cut off */
		{ TRIAGE_ARCH_X64, false, "\x90\x90\xe8\x90\x90\x90\x90\x90" },
		{ TRIAGE_ARCH_X64, false, "\x90\x9a\x90\x90\x90\x90\x90\x90" },
		{ TRIAGE_ARCH_X86, true, "\x90\x9a\x90\x90\x90\x90\x90\x90" },
		{ TRIAGE_ARCH_ARM64, true, "\0\0\0\0\x10\x00\x00\x94" },  /* bl */
		{ TRIAGE_ARCH_ARM64, true, "\0\0\0\0\x00\x01\x3f\xd6" },  /* blr x8 */
		{ TRIAGE_ARCH_ARM64, true, "\0\0\0\0\x00\x09\x3f\xd7" },  /* blraa x8, x0 */
		{ TRIAGE_ARCH_ARM64, false, "\0\0\0\0\x10\x00\x00\x14" }, /* b */
		{ TRIAGE_ARCH_ARM64, false, "\x10\x00\x00\x94\0\0\0\0" },
		{ TRIAGE_ARCH_ARM, true, "\0\0\0\0\x10\x00\x00\xeb" },  /* bl */
		{ TRIAGE_ARCH_ARM, true, "\0\0\0\0\x33\xff\x2f\xe1" },  /* blx r3 */
		{ TRIAGE_ARCH_ARM, false, "\0\0\0\0\x10\x00\x00\xea" }, /* b */
		{ TRIAGE_ARCH_PPC, true, "\0\0\0\0\0\0\0\0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (call_before(all[i].arch, false, (const uint8_t *)all[i].bytes, 8) != all[i].call)
			fail_msg("case %zu", i);
	assert_true(call_before(TRIAGE_ARCH_ARM, true, (const uint8_t *)"\0\0\x80\x47", 4));     /* blx r0 */
	assert_true(call_before(TRIAGE_ARCH_ARM, true, (const uint8_t *)"\x00\xf0\x01\xf8", 4)); /* bl */
	assert_false(call_before(TRIAGE_ARCH_ARM, true, (const uint8_t *)"\0\0\x00\xbf", 4));    /* nop */
	assert_true(call_before(TRIAGE_ARCH_X64, false, (const uint8_t *)"\x90\x90\x90", 3));    /* cannot tell */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_push_alloc_save), cmocka_unit_test(test_large_allocations),
		cmocka_unit_test(test_frame_register),  cmocka_unit_test(test_machine_frame),
		cmocka_unit_test(test_chained),         cmocka_unit_test(test_circles),
		cmocka_unit_test(test_epilogue),        cmocka_unit_test(test_epilogue_of_frame_register),
		cmocka_unit_test(test_epilogue_codes),  cmocka_unit_test(test_leaf),
		cmocka_unit_test(test_call_at_the_end), cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_call_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
