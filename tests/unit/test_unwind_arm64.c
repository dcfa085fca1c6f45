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
#include "triage/unwind_arm64.h"

/* A function at 0x1100 of LENGTH instructions, and its caller, who called it at 0x1500. */
#define BEGIN  0x1100u
#define LENGTH 64u
#define CALLER 0x1504u
#define SP     31
#define LR     30
#define FP     29

static const uint8_t *
some_code(void)
{
	static uint8_t code[0x800];

	for (size_t i = 0; i < sizeof(code); i += 4)
		memcpy(code + i, "\x1f\x20\x03\xd5", 4); /* nop */
	memcpy(code + 0x500, "\x00\x00\x00\x94", 4);     /* bl */
	return code;
}

static void
begin(struct world *w, const void *record, size_t n, uint32_t data, uint32_t done)
{
	const uint32_t table[] = { BEGIN, data, 0x1700, 0x00000000 | 1 | 16u << 2 };

	world_init(w, TRIAGE_ARCH_ARM64,
		   (struct synth_pe){ .code = some_code(),
				      .n_code = 0x800,
				      .records = record,
				      .n_records = n,
				      .table = table,
				      .n_table = 4 });
	w->f.pc = WORLD_PC(BEGIN + 4 * done);
}

/* A record with these codes and this head; its words are filled up. */
static void
begin_codes(struct world *w, uint32_t head, const uint32_t *scopes, size_t n_scopes, const void *codes, size_t n,
	    uint32_t done)
{
	uint8_t record[256] = { 0 };
	uint32_t words = (uint32_t)(n + 3) / 4, first = head | LENGTH | words << 27;
	size_t at = 4;

	memcpy(record, &first, 4);
	for (size_t i = 0; i < n_scopes; i++, at += 4)
		memcpy(record + at, &scopes[i], 4);
	memset(record + at, 0xe4, 4 * words);
	memcpy(record + at, codes, n);
	begin(w, record, at + 4 * words, SYNTH_PE_RECORDS, done);
}

static enum unwind_outcome
step(struct world *w, struct unwind_frame *caller)
{
	memset(caller, 0xee, sizeof(*caller));
	return unwinder_arm64.step(&w->u, &w->f, 0, caller);
}

static void
assert_caller(struct world *w, struct unwind_frame *c, size_t sp)
{
	assert_int_equal(step(w, c), UNWIND_CALLER);
	assert_int_equal(c->pc, WORLD_PC(CALLER));
	assert_int_equal(c->r[SP], WORLD_SP(sp));
	assert_false(c->exact);
}

/* Every word of the stack says which one it is, so that a register says where it was read. */
#define WORD(i) (0xabcd0000u + (uint64_t)(i))
static void
number_stack(struct world *w)
{
	for (size_t i = 0; i < WORLD_WORDS; i++)
		world_word(w, i, WORD(i));
}

static void
assert_register(const struct unwind_frame *c, unsigned reg, size_t word)
{
	if (!unwind_known(c, reg) || c->r[reg] != WORD(word))
		fail_msg("x%u is %llx", reg, (unsigned long long)c->r[reg]);
}

/* ---- .xdata ---- */

/* One code after which lr, known, is the caller: what it does to the stack pointer and to registers. */
static void
test_every_code(void **state)
{
	static const struct {
		const char *what;
		uint8_t n, codes[5];
		uint16_t sp; /* words that it gave back */
		int8_t reg;  /* restored, -1 none */
		uint8_t count;
		uint16_t from; /* word */
	} all[] = {
		{ "alloc_s", 1, { 0x03 }, 6, -1, 0, 0 },
		{ "save_r19r20_x", 1, { 0x24 }, 4, 19, 2, 0 },
		{ "save_fplr", 1, { 0x43 }, 0, 29, 1, 3 },
		{ "save_fplr_x", 1, { 0x83 }, 4, 29, 1, 0 },
		{ "alloc_m", 2, { 0xc0, 0x41 }, 0x82, -1, 0, 0 },
		{ "save_regp", 2, { 0xc8, 0x85 }, 0, 21, 2, 5 },
		{ "save_regp_x", 2, { 0xcc, 0x85 }, 6, 21, 2, 0 },
		{ "save_reg", 2, { 0xd1, 0x05 }, 0, 23, 1, 5 },
		{ "save_reg_x", 2, { 0xd4, 0x65 }, 6, 22, 1, 0 },
		{ "save_lrpair", 2, { 0xd6, 0x85 }, 0, 23, 1, 5 },
		{ "save_fregp", 2, { 0xd8, 0x45 }, 0, -1, 0, 0 },
		{ "save_fregp_x", 2, { 0xda, 0x45 }, 6, -1, 0, 0 },
		{ "save_freg", 2, { 0xdc, 0x45 }, 0, -1, 0, 0 },
		{ "save_freg_x", 2, { 0xde, 0x45 }, 6, -1, 0, 0 },
		{ "alloc_l", 4, { 0xe0, 0x00, 0x00, 0x21 }, 0x42, -1, 0, 0 },
		{ "nop", 1, { 0xe3 }, 0, -1, 0, 0 },
		{ "save_any_reg x19", 3, { 0xe7, 0x13, 0x03 }, 0, 19, 1, 3 },
		{ "save_any_reg x19, x20", 3, { 0xe7, 0x53, 0x03 }, 0, 19, 2, 6 },
		{ "save_any_reg x19!", 3, { 0xe7, 0x33, 0x01 }, 4, 19, 1, 0 },
		{ "save_any_reg d8!", 3, { 0xe7, 0x28, 0x41 }, 4, -1, 0, 0 },
		{ "save_any_reg q8", 3, { 0xe7, 0x08, 0x81 }, 0, -1, 0, 0 },
		{ "save_next x21 …", 3, { 0xe6, 0xc8, 0x80 }, 0, 21, 4, 0 },
		{ "end_c", 2, { 0xe5, 0x03 }, 6, -1, 0, 0 },
		{ "pac_sign_lr", 1, { 0xfc }, 0, -1, 0, 0 },
	};
	struct unwind_frame c;
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		bool takes_lr = all[i].reg == 29 || all[i].codes[0] == 0xd6;

		begin_codes(&w, 0, NULL, 0, all[i].codes, all[i].n, 32);
		number_stack(&w);
		unwind_set(&w.f, LR, WORLD_PC(CALLER) | UINT64_C(0x7a) << 56); /* signed */
		if (takes_lr)
			world_word(&w, all[i].from + 1u, WORLD_PC(CALLER));
		if (step(&w, &c) != UNWIND_CALLER || c.pc != WORLD_PC(CALLER))
			fail_msg("%s", all[i].what);
		assert_int_equal(c.r[SP], WORLD_SP(all[i].sp));
		for (unsigned r = 0; all[i].reg >= 0 && r < all[i].count; r++)
			assert_register(&c, (unsigned)all[i].reg + r, all[i].from + r);
		world_end(&w);
	}
}

static void
test_frame_pointer_codes(void **state)
{
	/* add x29, sp, 0x10 after a frame of 0x40; the stack grew after that */
	static const uint8_t add[] = { 0xe2, 0x02, 0x87 }, set[] = { 0xe1, 0x87 };
	struct unwind_frame c;
	struct world w;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin_codes(&w, 0, NULL, 0, i == 0 ? add : set, i == 0 ? 3 : 2, 32);
		number_stack(&w);
		world_word(&w, 0x21, WORLD_PC(CALLER));
		assert_int_equal(step(&w, &c), UNWIND_DAMAGED); /* x29 is not known */
		unwind_set(&w.f, FP, WORLD_SP(i == 0 ? 0x22 : 0x20));
		assert_caller(&w, &c, 0x28);
		assert_register(&c, FP, 0x20);
		world_end(&w);
	}
}

/* stp x19, x20, [sp, -0x20]!; str x21, [sp, 0x10]; stp fp, lr, [sp, -0x20]!; mov fp, sp, stopped at each instruction
 * of the prologue and of an epilogue without the mov. */
static const uint8_t whole[] = { 0xe1, 0x83, 0xd0, 0x82, 0xcc, 0x03, 0xe4, 0x83, 0xd0, 0x82, 0xcc, 0x03 };

static void
at_each_instruction(struct world *w, bool epilogue, unsigned done)
{
	/* what is still on the stack, and where the stack pointer is */
	static const unsigned sp_prologue[] = { 8, 4, 4, 0, 0 }, sp_epilogue[] = { 0, 4, 4, 8 };
	unsigned sp = epilogue ? sp_epilogue[done] : sp_prologue[done];
	bool lr_saved = sp == 0;
	struct unwind_frame c;

	number_stack(w);
	unwind_set(&w->f, SP, WORLD_SP(sp));
	unwind_set(&w->f, FP, lr_saved && (done == 4 || epilogue) ? WORLD_STACK : 0xf);
	unwind_set(&w->f, LR, lr_saved ? 1 : WORLD_PC(CALLER));
	unwind_set(&w->f, 19, 0x19);
	unwind_set(&w->f, 21, 0x21);
	if (lr_saved)
		world_word(w, 1, WORLD_PC(CALLER));
	assert_caller(w, &c, 8);
	if (lr_saved)
		assert_register(&c, FP, 0);
	if (epilogue ? done <= 2 : done >= 1)
		assert_register(&c, 19, 4);
	else
		assert_int_equal(c.r[19], 0x19);
	if (epilogue ? done <= 1 : done >= 2)
		assert_register(&c, 21, 6);
	else
		assert_int_equal(c.r[21], 0x21);
	world_end(w);
}

static void
test_prologue_and_epilogues(void **state)
{
	const uint32_t scopes[] = { 20 | 7u << 22, 40 | 1u << 22 };
	struct world w;

	(void)state;
	for (unsigned done = 0; done <= 4; done++) {
		begin_codes(&w, 0, NULL, 0, whole, sizeof(whole), done);
		at_each_instruction(&w, false, done);
	}
	for (unsigned done = 0; done <= 3; done++)
		for (unsigned i = 0; i < 3; i++) {
			if (i < 2)
				begin_codes(&w, 2u << 22, scopes, 2, whole, sizeof(whole), (i == 0 ? 20 : 40) + done);
			else /* one, at the end of the function, said in the head */
				begin_codes(&w, 1u << 21 | 7u << 22, NULL, 0, whole, sizeof(whole), LENGTH - 4 + done);
			at_each_instruction(&w, true, done);
		}
}

/* The head with the counts in a word of their own. */
static void
test_long_head(void **state)
{
	const uint32_t words[] = { LENGTH, 1u << 16, 0xe4e4e483 };
	struct unwind_frame c;
	struct world w;

	(void)state;
	begin(&w, words, sizeof(words), SYNTH_PE_RECORDS, 32);
	world_word(&w, 1, WORLD_PC(CALLER));
	assert_caller(&w, &c, 4);
	world_end(&w);
}

/* What the kernel leaves on the stack of an interrupted thread. */
static void
test_kernel_frames(void **state)
{
	static const struct {
		uint8_t code;
		uint16_t sp, pc, lr, fp, x19; /* words; 0: not restored */
	} all[] = {
		{ 0xe8, 0x98 / 8, 0x148 / 8, 0x138 / 8, 0x140 / 8, 0 },
		{ 0xe9, 0, 1, 0, 0, 0 },
		{ 0xea, 0x100 / 8, 0x108 / 8, 0xf8 / 8, 0xf0 / 8, 0xa0 / 8 },
		{ 0xeb, 0x98 / 8, 0xf8 / 8, 0x120 / 8, 0xa0 / 8, 0xd8 / 8 },
	};
	struct unwind_frame c;
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		begin_codes(&w, 0, NULL, 0, &all[i].code, 1, 32);
		number_stack(&w);
		world_word(&w, all[i].sp, WORLD_SP(0x100));
		world_word(&w, all[i].pc, WORLD_PC(0x1304)); /* behind no call */
		assert_int_equal(step(&w, &c), UNWIND_CALLER);
		assert_int_equal(c.pc, WORLD_PC(0x1304));
		assert_int_equal(c.r[SP], WORLD_SP(0x100));
		assert_true(c.exact);
		if (all[i].lr != 0)
			assert_register(&c, LR, all[i].lr);
		if (all[i].fp != 0)
			assert_register(&c, FP, all[i].fp);
		if (all[i].x19 != 0)
			assert_register(&c, 19, all[i].x19);
		world_end(&w);
	}
	/* lr is where it was interrupted */
	begin_codes(&w, 0, NULL, 0, "\xec", 1, 32);
	unwind_set(&w.f, LR, WORLD_PC(0x1304));
	assert_int_equal(step(&w, &c), UNWIND_CALLER);
	assert_true(c.exact);
	world_end(&w);
}

/* ---- packed ---- */

#define PACKED(flag, reg_f, reg_i, h, cr, frame)                                                          \
	((flag) | LENGTH << 2 | (uint32_t)(reg_f) << 13 | (uint32_t)(reg_i) << 16 | (uint32_t)(h) << 20 | \
	 (uint32_t)(cr) << 21 | (uint32_t)(frame) / 16 << 23)

static void
test_packed_body(void **state)
{
	static const struct {
		uint32_t data;
		unsigned words, lr, x19, x21; /* where they are, 0xff not saved */
	} all[] = {
		/* chained: fp and lr at the bottom, x19 to x22 above the locals */
		{ PACKED(1, 0, 4, 0, 3, 0x60), 12, 1, 8, 10 },
		{ PACKED(1, 0, 4, 0, 2, 0x60), 12, 1, 8, 10 },
		{ PACKED(2, 0, 4, 0, 3, 0x60), 12, 1, 8, 10 },
		{ PACKED(1, 3, 4, 0, 3, 0x60), 12, 1, 4, 6 },
		{ PACKED(1, 0, 4, 1, 3, 0xa0), 20, 1, 8, 10 },
		{ PACKED(1, 0, 2, 0, 3, 0x400), 128, 1, 126, 0xff },
		{ PACKED(1, 0, 2, 0, 3, 0xff0 - 0x10), 0xfe0 / 8, 1, 0xfd0 / 8, 0xff },
		{ PACKED(1, 0, 0, 1, 3, 0x60), 12, 1, 0xff, 0xff },
		/* not chained: lr behind the saved registers */
		{ PACKED(1, 0, 4, 0, 1, 0x60), 12, 6 + 4, 6, 8 },
		{ PACKED(1, 0, 3, 0, 1, 0x60), 12, 8 + 3, 8, 10 },
		{ PACKED(1, 0, 1, 0, 1, 0x20), 4, 2 + 1, 2, 0xff },
		{ PACKED(1, 0, 0, 0, 1, 0x20), 4, 2, 0xff, 0xff },
		/* lr is where it was */
		{ PACKED(1, 0, 3, 0, 0, 0x40), 8, 0xff, 4, 6 },
		{ PACKED(1, 0, 1, 0, 0, 0x20), 4, 0xff, 2, 0xff },
		{ PACKED(1, 4, 0, 0, 0, 0x40), 8, 0xff, 0xff, 0xff },
		{ PACKED(1, 0, 0, 0, 0, 0x40), 8, 0xff, 0xff, 0xff },
	};
	struct unwind_frame c;
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		begin(&w, NULL, 0, all[i].data, 32);
		number_stack(&w);
		unwind_set(&w.f, FP, WORLD_STACK);
		unwind_set(&w.f, LR, WORLD_PC(CALLER));
		if (all[i].lr != 0xff)
			world_word(&w, all[i].lr, WORLD_PC(CALLER) | UINT64_C(0x35) << 56);
		if (step(&w, &c) != UNWIND_CALLER || c.pc != WORLD_PC(CALLER) || c.r[SP] != WORLD_SP(all[i].words))
			fail_msg("case %zu", i);
		if (all[i].x19 != 0xff)
			assert_register(&c, 19, all[i].x19);
		if (all[i].x21 != 0xff)
			assert_register(&c, 21, all[i].x21);
		world_end(&w);
	}
}

/* pacibsp; stp x19, x20, [sp, -0x20]!; str x21, [sp, 0x10]; stp fp, lr, [sp, -0x20]!; mov fp, sp, at each instruction
 * of the prologue and of the epilogue, which ends the function. */
static void
test_packed_prologue_and_epilogue(void **state)
{
	struct world w;

	(void)state;
	for (unsigned done = 0; done <= 4; done++) {
		begin(&w, NULL, 0, PACKED(1, 0, 3, 0, 3, 0x40), done);
		at_each_instruction(&w, false, done);
		begin(&w, NULL, 0, PACKED(1, 0, 3, 0, 2, 0x40), done + 1);
		at_each_instruction(&w, false, done);
	}
	for (unsigned done = 0; done <= 3; done++) {
		begin(&w, NULL, 0, PACKED(1, 0, 3, 0, 3, 0x40), LENGTH - 4 + done);
		at_each_instruction(&w, true, done);
		begin(&w, NULL, 0, PACKED(1, 0, 3, 0, 2, 0x40), LENGTH - 5 + done);
		at_each_instruction(&w, true, done);
	}
}

/* ---- what is believed ---- */

static void
test_leaf(void **state)
{
	struct unwind_frame c;
	struct world w;

	(void)state;
	begin(&w, NULL, 0, PACKED(1, 0, 0, 0, 0, 0), 0);
	w.f.pc = WORLD_PC(0x1300); /* between the functions */
	assert_int_equal(step(&w, &c), UNWIND_UNKNOWN);
	unwind_set(&w.f, LR, WORLD_PC(CALLER));
	assert_caller(&w, &c, 0);
	w.f.exact = false;
	assert_int_equal(step(&w, &c), UNWIND_UNKNOWN);
	w.f.exact = true;
	unwind_set(&w.f, LR, WORLD_PC(CALLER + 4)); /* behind no call */
	assert_int_equal(step(&w, &c), UNWIND_UNKNOWN);
	unwind_set(&w.f, LR, 0);
	assert_int_equal(step(&w, &c), UNWIND_OUTERMOST);
	world_end(&w);
}

static void
test_nonsense(void **state)
{
	static const struct {
		const char *what;
		uint8_t n, codes[4];
	} all[] = {
		{ "a reserved code", 1, { 0xed } },
		{ "a reserved code", 1, { 0xf8 } },
		{ "x30 and x31", 2, { 0xca, 0xc0 } },
		{ "x33 and lr", 2, { 0xd7, 0xc0 } },
		{ "save_any_reg of a third kind", 3, { 0xe7, 0x13, 0xc3 } },
		{ "more registers than there are", 4, { 0xe6, 0xe6, 0xe6, 0x40 } },
	};
	struct unwind_frame c;
	uint32_t version = LENGTH | 1u << 18;
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		begin_codes(&w, 0, NULL, 0, all[i].codes, all[i].n, 32);
		unwind_set(&w.f, LR, WORLD_PC(CALLER));
		if (step(&w, &c) != UNWIND_DAMAGED)
			fail_msg("%s: believed", all[i].what);
		world_end(&w);
	}
	begin(&w, &version, 4, SYNTH_PE_RECORDS, 32);
	assert_int_equal(step(&w, &c), UNWIND_DAMAGED);
	world_end(&w);
	begin(&w, NULL, 0, 0x7ffffffc, 32); /* behind the image */
	assert_int_equal(step(&w, &c), UNWIND_DAMAGED);
	world_end(&w);
	begin(&w, NULL, 0, PACKED(1, 0, 10, 1, 3, 0x20), 32); /* more saved than there is room for */
	assert_int_equal(step(&w, &c), UNWIND_DAMAGED);
	world_end(&w);
	begin(&w, NULL, 0, 3 | LENGTH << 2, 32); /* a reserved kind of entry */
	assert_int_equal(step(&w, &c), UNWIND_DAMAGED);
	world_end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code),
		cmocka_unit_test(test_frame_pointer_codes),
		cmocka_unit_test(test_prologue_and_epilogues),
		cmocka_unit_test(test_long_head),
		cmocka_unit_test(test_kernel_frames),
		cmocka_unit_test(test_packed_body),
		cmocka_unit_test(test_packed_prologue_and_epilogue),
		cmocka_unit_test(test_leaf),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
