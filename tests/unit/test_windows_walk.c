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

#include "tests/synth/synth.h"
#include "triage/images.h"
#include "triage/triage.h"

/* Minidumps of Windows programs, built byte by byte, with the program's image: from the store, in the dump's own
 * memory, and not at all. */

#define BASE  UINT64_C(0x140000000)
#define STAMP 0x5ab38077u
#define WORDS 64

struct program {
	struct synth image;
	uint8_t code[0x800];
	bool offered; /* by the store */
};

static bool
open_image(void *arg, const struct image_key *key, enum image_kind kind, struct image_file *out)
{
	const struct program *p = arg;

	if (kind != IMAGE_CODE || !p->offered || strcmp(key->code_id, "5ab380775000") != 0)
		return false;
	*out = (struct image_file){ p->image.p, p->image.len, NULL };
	return true;
}

static void
close_image(void *arg, struct image_file *f)
{
	(void)arg, (void)f;
}

/* x64: a function at 0x1100 (16 bytes of locals), one of two parts at 0x1200 (rbx pushed, 32 bytes) and 0x1300 (rsi
 * saved), both calling; a leaf at 0x1400. */
static void
make_x64(struct program *p)
{
	static const uint32_t table[] = { 0x1100, 0x1140, SYNTH_PE_RECORDS,     0x1200, 0x1240, SYNTH_PE_RECORDS + 8,
					  0x1300, 0x1340, SYNTH_PE_RECORDS + 16 };
	static const uint8_t records[] = {
		1,          4,    1, 0, 4,    0x12, 0, 0, 1,    5,    2, 0, 5, 0x32, 1, 0x30, /* 0x1200 */
		1 | 4 << 3, 0,    2, 0, 0,    0x64, 5, 0, /* rsi at 40, the home of a parameter */
		0x00,       0x12, 0, 0, 0x40, 0x12, 0, 0, 0x08, 0x30, 0, 0
	};
	struct synth_pe pe = { .machine = 0x8664,
			       .timestamp = STAMP,
			       .code = p->code,
			       .n_code = sizeof(p->code),
			       .records = records,
			       .n_records = sizeof(records),
			       .table = table,
			       .n_table = 9 };

	memset(p->code, 0x90, sizeof(p->code));
	for (uint32_t at = 0x120; at < 0x400; at += 0x100)
		memcpy(p->code + at - 5, "\xe8\0\0\0\0", 5);    /* calls that end at 0x1120, 0x1220, 0x1320 */
	memcpy(p->code + 0x230, "\x48\x83\xc4\x20\x5b\xc3", 6); /* the epilogue of 0x1200 */
	synth_pe(&p->image, &pe);
}

/* arm64: packed functions of 16 instructions at 0x1100 (x19, x20, fp, lr, 48 bytes) and 0x1200 (fp, lr, 32 bytes), a
 * leaf at 0x1400. */
static void
make_arm64(struct program *p)
{
	static const uint32_t table[] = { 0x1100, 1 | 16u << 2 | 2u << 16 | 3u << 21 | 3u << 23, 0x1200,
					  1 | 16u << 2 | 3u << 21 | 2u << 23 };
	struct synth_pe pe = { .machine = 0xaa64,
			       .timestamp = STAMP,
			       .code = p->code,
			       .n_code = sizeof(p->code),
			       .table = table,
			       .n_table = 4 };

	for (size_t i = 0; i < sizeof(p->code); i += 4)
		memcpy(p->code + i, "\x1f\x20\x03\xd5", 4);
	for (uint32_t at = 0x120; at < 0x400; at += 0x100)
		memcpy(p->code + at - 4, "\x00\x00\x00\x94", 4);
	synth_pe(&p->image, &pe);
}

struct expected {
	uint64_t offset;
	enum triage_trust trust;
};

/* The crash, in all three ways; with the image the frames must be these, without it only the first is certain. */
static void
check(struct program *p, struct synth_crash *c, const uint64_t *words, const struct expected *frames, size_t n)
{
	struct synth_module module = { .path = "C:\\a.exe", .base = BASE, .size = SYNTH_PE_SIZE, .timestamp = STAMP };
	const struct image_opener opener = { open_image, close_image, p };
	uint64_t memory[SYNTH_PE_SIZE / 8 + WORDS];

	c->platform = 2;
	c->code = 0xc0000005;
	c->modules = &module;
	c->n_modules = 1;
	c->n_threads = 1;
	memcpy(memory, p->image.p, SYNTH_PE_SIZE);
	memcpy(memory + SYNTH_PE_SIZE / 8, words, 8 * WORDS);
	for (unsigned way = 0; way < 3; way++) {
		struct triage_options options = { .images = images_new(&opener, NULL) };
		struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
		struct synth_crash crash = *c;
		struct triage_result r;
		struct synth dump = { 0 };
		struct diag diag;
		size_t certain = 1;

		p->offered = way == 0;
		crash.stack_base = way == 1 ? BASE : BASE + SYNTH_PE_SIZE;
		crash.stack = way == 1 ? memory : words;
		crash.n_stack = way == 1 ? sizeof(memory) / 8 : WORDS;
		synth_minidump(&dump, &crash, NULL);
		assert_int_equal(triage_run(a, dump.p, dump.len, &options, &r, &diag), ERR_OK);
		for (size_t i = 0; way < 2 && i < n; i++) {
			assert_true(i < r.n_frames);
			if (r.frames[i].offset != frames[i].offset || r.frames[i].trust != frames[i].trust)
				fail_msg("way %u frame %zu: %llx %s", way, i, (unsigned long long)r.frames[i].offset,
					 triage_trust_name(r.frames[i].trust));
		}
		if (way < 2)
			assert_int_equal(r.n_frames, n);
		while (certain < r.n_frames && r.frames[certain].trust != TRIAGE_TRUST_CFI)
			certain++;
		if (way == 2) /* nothing says cfi without an image */
			assert_int_equal(certain, r.n_frames);
		images_free(options.images);
		arena_free(a);
		synth_free(&dump);
	}
	synth_free(&p->image);
}

/* Words of a stack that look like return addresses, and are none. */
static void
litter(uint64_t *words)
{
	for (size_t i = 0; i < WORDS; i++)
		words[i] = i % 3 == 0 ? BASE + 0x1220 : i;
}

#define SP (BASE + SYNTH_PE_SIZE)

static void
test_leaf_and_chained(void **state)
{
	static const struct expected frames[] = { { 0x1410, TRIAGE_TRUST_CONTEXT },
						  { 0x1320 - 1, TRIAGE_TRUST_CFI },
						  { 0x1120 - 1, TRIAGE_TRUST_CFI } };
	struct synth_crash c = { .cpu = SYNTH_X64, .pc = BASE + 0x1410, .sp = SP };
	struct program p = { .offered = false };
	uint64_t words[WORDS];

	(void)state;
	make_x64(&p);
	litter(words);
	words[0] = BASE + 0x1320;         /* the leaf's */
	words[1 + 4 + 1] = BASE + 0x1120; /* 32 bytes, rbx */
	words[1 + 4 + 1 + 1 + 2] = 0;     /* 16 bytes; nobody called that */
	check(&p, &c, words, frames, 3);
}

static void
test_epilogue(void **state)
{
	static const struct expected frames[] = { { 0x1234, TRIAGE_TRUST_CONTEXT }, { 0x1120 - 1, TRIAGE_TRUST_CFI } };
	struct synth_crash c = { .cpu = SYNTH_X64, .pc = BASE + 0x1234, .sp = SP };
	struct program p = { .offered = false };
	uint64_t words[WORDS];

	(void)state;
	make_x64(&p);
	litter(words);
	words[1] = BASE + 0x1120; /* the locals are given back, rbx is not */
	words[1 + 1 + 2] = 0;
	check(&p, &c, words, frames, 2);
}

static void
test_packed(void **state)
{
	static const struct expected frames[] = { { 0x1410, TRIAGE_TRUST_CONTEXT },
						  { 0x1120 - 4, TRIAGE_TRUST_CFI },
						  { 0x1220 - 4, TRIAGE_TRUST_CFI } };
	struct synth_crash c = { .cpu = SYNTH_ARM64, .pc = BASE + 0x1410, .sp = SP, .fp = SP, .lr = BASE + 0x1120 };
	struct program p = { .offered = false };
	uint64_t words[WORDS];

	(void)state;
	make_arm64(&p);
	litter(words);
	words[0] = SP + 48; /* fp, lr; x19 and x20 above them */
	words[1] = BASE + 0x1220;
	words[6] = 0;
	words[7] = 0;
	check(&p, &c, words, frames, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaf_and_chained),
		cmocka_unit_test(test_epilogue),
		cmocka_unit_test(test_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
