/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/synth/synth.h"

static uint8_t *
room(struct synth *s, size_t n)
{
	if (s->len + n > s->cap) {
		s->cap = (s->len + n) * 2 + 4096;
		if ((s->p = realloc(s->p, s->cap)) == NULL)
			abort();
	}
	s->len += n;
	return s->p + s->len - n;
}

void
synth_free(struct synth *s)
{
	free(s->p);
	*s = (struct synth){ 0 };
}

size_t
synth_bytes(struct synth *s, const void *p, size_t n)
{
	size_t at = s->len;
	uint8_t *to = room(s, n);

	if (n > 0)
		memcpy(to, p, n);
	return at;
}

size_t
synth_zero(struct synth *s, size_t n)
{
	size_t at = s->len;
	uint8_t *to = room(s, n);

	if (n > 0)
		memset(to, 0, n);
	return at;
}

static void
store(const struct synth *s, uint8_t *to, uint64_t v, unsigned width)
{
	for (unsigned i = 0; i < width; i++)
		to[i] = (uint8_t)(v >> 8 * (s->big_endian ? width - 1 - i : i));
}

size_t
synth_word(struct synth *s, uint64_t v, unsigned width)
{
	size_t at = s->len;

	store(s, room(s, width), v, width);
	return at;
}

size_t
synth_u16(struct synth *s, uint16_t v)
{
	return synth_word(s, v, 2);
}

size_t
synth_u32(struct synth *s, uint32_t v)
{
	return synth_word(s, v, 4);
}

size_t
synth_u64(struct synth *s, uint64_t v)
{
	return synth_word(s, v, 8);
}

void
synth_align(struct synth *s, size_t to)
{
	synth_zero(s, (to - s->len % to) % to);
}

void
synth_patch(struct synth *s, size_t at, uint64_t v, unsigned width)
{
	if (at > s->len || width > s->len - at)
		abort();
	store(s, s->p + at, v, width);
}

unsigned
synth_width(enum synth_cpu cpu)
{
	return cpu == SYNTH_X86 || cpu == SYNTH_ARM ? 4 : 8;
}

/* ---- examples ---- */

#define MODULE(name, at, codeview)                                                                            \
	{                                                                                                     \
		.path = name, .base = at, .size = 0x10000, .timestamp = 0x5c0ae385, .cv = codeview, .age = 1, \
		.id_len = 20,                                                                                 \
		.id = { 0x78,                                                                                 \
			0x4f,                                                                                 \
			0xd5,                                                                                 \
			0x49,                                                                                 \
			0x33,                                                                                 \
			0x2d,                                                                                 \
			0x82,                                                                                 \
			0x6e,                                                                                 \
			0xd2,                                                                                 \
			0x3f,                                                                                 \
			0x18,                                                                                 \
			0xc1,                                                                                 \
			0x7c,                                                                                 \
			0x6f,                                                                                 \
			0x32,                                                                                 \
			0x0a,                                                                                 \
			1,                                                                                    \
			2,                                                                                    \
			3,                                                                                    \
			4 }                                                                                   \
	}

static const struct synth_module windows_modules[] = {
	MODULE("C:\\app\\Program.exe", 0x400000, SYNTH_CV_PDB70),
	MODULE("C:\\Windows\\System32\\KERNELBASE.dll", 0x75000000, SYNTH_CV_PDB70),
};
static const struct synth_module linux_modules[] = {
	MODULE("/usr/bin/program", 0x400000, SYNTH_CV_ELF),
	MODULE("/lib/libc.so.6", 0x75000000, SYNTH_CV_ELF),
};
static const struct synth_module apple_modules[] = {
	MODULE("/Applications/Program", 0x400000, SYNTH_CV_PDB70),
	MODULE("/usr/lib/libSystem.dylib", 0x75000000, SYNTH_CV_PDB70),
};

#define STACK_BASE 0x1000000
/* words of 4 bytes: fp chain 0x1000010 → 0x1000020 → 0 */
static const uint64_t stack4[] = { 1, 2,        3, 4, 0x1000020, 0x401114, 7, 8, 0, 0x75002224,
				   9, 0x403334, 0, 0, 0,         0,        0, 0, 0, 0 };
/* words of 8 bytes: fp chain 0x1000020 → 0x1000040 → 0 */
static const uint64_t stack8[] = { 1, 2,        3, 4, 0x1000040, 0x401114, 7, 8, 0, 0x75002224,
				   9, 0x403334, 0, 0, 0,         0,        0, 0, 0, 0 };

#define COMMON(which, os, mods, stk, frame)                                                                   \
	.cpu = which, .platform = os, .modules = mods, .n_modules = 2, .n_threads = 2, .pc = 0x401234,        \
	.sp = STACK_BASE, .fp = frame, .lr = 0x401118, .stack_base = STACK_BASE, .stack = stk, .n_stack = 20, \
	.address = 0x45

#define WINDOWS 2
#define MACOS   0x8101
#define IOS     0x8102
#define LINUX   0x8201
#define ANDROID 0x8203

static const struct example {
	const char *name;
	struct synth_crash crash;
} examples[] = {
	{ "windows-x86",
	  { COMMON(SYNTH_X86, WINDOWS, windows_modules, stack4, 0x1000010), .code = 0xc0000005, .n_params = 2,
	    .params = { 1, 0x45 } } },
	{ "windows-x64",
	  { COMMON(SYNTH_X64, WINDOWS, windows_modules, stack8, 0x1000020), .code = 0xc0000005, .n_params = 2,
	    .params = { 0, 0x45 } } },
	{ "windows-arm64",
	  { COMMON(SYNTH_ARM64, WINDOWS, windows_modules, stack8, 0x1000020), .code = 0xc0000409, .n_params = 1,
	    .params = { 7 } } },
	{ "windows-arm", { COMMON(SYNTH_ARM, WINDOWS, windows_modules, stack4, 0x1000010), .code = 0xc0000094 } },
	{ "linux-x86", { COMMON(SYNTH_X86, LINUX, linux_modules, stack4, 0x1000010), .code = 11, .flags = 1 } },
	{ "linux-x64", { COMMON(SYNTH_X64, LINUX, linux_modules, stack8, 0x1000020), .code = 11, .flags = 1 } },
	{ "linux-arm", { COMMON(SYNTH_ARM, LINUX, linux_modules, stack4, 0x1000010), .code = 7, .flags = 1 } },
	{ "linux-arm64", { COMMON(SYNTH_ARM64, LINUX, linux_modules, stack8, 0x1000020), .code = 8, .flags = 1 } },
	{ "android-arm64",
	  { COMMON(SYNTH_ARM64, ANDROID, linux_modules, stack8, 0x1000020), .code = 6, .flags = 0xfffffffa } },
	{ "linux-arm64-old",
	  { COMMON(SYNTH_ARM64_OLD, LINUX, linux_modules, stack8, 0x1000020), .code = 11, .flags = 2 } },
	{ "macos-x64", { COMMON(SYNTH_X64, MACOS, apple_modules, stack8, 0x1000020), .code = 1, .flags = 1 } },
	{ "macos-arm64", { COMMON(SYNTH_ARM64, MACOS, apple_modules, stack8, 0x1000020), .code = 6, .flags = 1 } },
	{ "ios-arm64", { COMMON(SYNTH_ARM64, IOS, apple_modules, stack8, 0x1000020), .code = 1, .flags = 0x101 } },
	{ "ios-arm", { COMMON(SYNTH_ARM, IOS, apple_modules, stack4, 0x1000010), .code = 1, .flags = 2 } },
	{ "linux-x64-memory64",
	  { COMMON(SYNTH_X64, LINUX, linux_modules, stack8, 0x1000020), .code = 11, .flags = 0x80, .memory64 = true,
	    .padded_lists = true } },
	{ "netbsd-x64",
	  { COMMON(SYNTH_X64, 0, linux_modules, stack8, 0x1000020), .code = 11, .flags = 0x7fff, .netbsd = true } },
};

const struct synth_crash *
synth_example(size_t i, const char **name)
{
	if (i >= sizeof(examples) / sizeof(examples[0]))
		return NULL;
	*name = examples[i].name;
	return &examples[i].crash;
}
