/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "triage/unwind_arm64.h"
#include "triage/unwind_sym.h"
#include "triage/unwind_x64.h"

/* CPU time of one step by unwind data, over all functions of Windows images and all records of symbol files:
 *	bench_step FILE... */
#define SECONDS 1
#define BASE    UINT64_C(0x40000000)
#define CALLER  UINT64_C(0x70000000) /* a module of which nothing is known: whatever is in it may be a caller */
#define STACK   UINT64_C(0x10000)
#define WORDS   (1u << 16)

struct bench {
	struct arena *arena;
	struct unwind u;
	struct triage_module modules[2];
	struct module_index index;
	struct peimage *pe;
	struct symfile *sym;
	uint64_t *functions; /* offsets in their middle */
	size_t n;
};

static uint64_t stack[WORDS];

static const uint8_t *
at(const void *arg, uint64_t addr, uint64_t *len_out)
{
	(void)arg;
	if (addr < STACK || addr - STACK >= sizeof(stack))
		return NULL;
	*len_out = sizeof(stack) - (addr - STACK);
	return (const uint8_t *)stack + (addr - STACK);
}

static void
functions_of_image(struct bench *b)
{
	uint32_t entry = b->pe->arch == TRIAGE_ARCH_X64 ? 12 : 8;
	uint64_t from, to;

	b->functions = calloc(b->pe->exception_size / entry + 1, sizeof(*b->functions));
	for (uint32_t i = 0; i + entry <= b->pe->exception_size; i += entry) {
		if (!peimage_uint(b->pe, b->pe->exception_rva + i, 4, &from) ||
		    !peimage_uint(b->pe, b->pe->exception_rva + i + (entry == 12 ? 4 : 0), 4, &to))
			break;
		b->functions[b->n++] = entry == 12 ? to : from + 32;
	}
}

static void
functions_of_symbols(struct bench *b, const char *text)
{
	unsigned long long from;

	b->functions = calloc(1 << 20, sizeof(*b->functions));
	for (const char *p = text; p != NULL && b->n < 1 << 20; p = strchr(p + 1, '\n'))
		if (sscanf(p, "\nSTACK CFI INIT %llx", &from) == 1 || sscanf(p, "\nSTACK WIN 4 %llx", &from) == 1)
			b->functions[b->n++] = from + 1;
}

static enum unwind_outcome
step(struct bench *b, const struct unwind_frame *f, struct unwind_frame *caller)
{
	struct symfile_cfi cfi;
	struct symfile_win win;

	if (b->pe != NULL)
		return b->u.arch == TRIAGE_ARCH_X64 ? unwind_x64_step(&b->u, b->pe, BASE, f, caller)
						    : unwind_arm64_step(&b->u, b->pe, BASE, f, caller);
	if (b->u.arch == TRIAGE_ARCH_X86 && symfile_win(b->sym, f->pc - BASE, &win))
		return unwind_win(&b->u, f, &win, caller);
	return symfile_cfi(b->sym, f->pc - BASE, &cfi) ? unwind_cfi_rules(&b->u, f, &cfi.rules, 1, caller)
						       : UNWIND_UNKNOWN;
}

static void
measure(struct bench *b, const char *name)
{
	struct unwind_frame f = { .known = UINT64_MAX >> 32 }, caller;
	uint64_t steps = 0, callers = 0;
	clock_t began = clock(), now = began;

	for (unsigned i = 0; i < UNWIND_REGS; i++)
		f.r[i] = STACK;
	f.r[UNWIND_ARM64_LR] = CALLER + 0x1000;
	while (b->n > 0 && now - began < SECONDS * CLOCKS_PER_SEC) {
		for (size_t i = 0; i < b->n; i++) {
			b->u.work = UNWIND_WORK;
			f.pc = BASE + b->functions[i];
			callers += step(b, &f, &caller) == UNWIND_CALLER;
		}
		steps += b->n;
		now = clock();
	}
	printf("%s: %zu functions, %.3f us a step, %.1f %% with a caller\n", name, b->n,
	       (double)(now - began) * 1e6 / CLOCKS_PER_SEC / (double)(steps + !steps),
	       100.0 * (double)callers / (double)(steps + !steps));
}

static bool
open_file(struct bench *b, const char *bytes, size_t size)
{
	static const struct {
		const char *name;
		enum triage_arch arch;
	} archs[] = { { "x86", TRIAGE_ARCH_X86 },
		      { "x86_64", TRIAGE_ARCH_X64 },
		      { "arm", TRIAGE_ARCH_ARM },
		      { "arm64", TRIAGE_ARCH_ARM64 } };
	struct diag diag;

	b->u = (struct unwind){ .os = TRIAGE_OS_WINDOWS, .mi = &b->index, .at = at };
	if (peimage_open(b->arena, bytes, size, &b->pe, &diag) == ERR_OK) {
		b->u.arch = b->pe->arch;
		functions_of_image(b);
		return b->u.arch == TRIAGE_ARCH_X64 || b->u.arch == TRIAGE_ARCH_ARM64;
	}
	b->pe = NULL;
	if (symfile_open(b->arena, bytes, size, &b->sym, &diag) != ERR_OK)
		return false;
	for (size_t i = 0; i < sizeof(archs) / sizeof(archs[0]); i++)
		if (strcmp(archs[i].name, b->sym->arch) == 0)
			b->u.arch = archs[i].arch;
	functions_of_symbols(b, bytes);
	return b->u.arch != TRIAGE_ARCH_UNKNOWN;
}

static void
bench_file(const char *path)
{
	struct bench b = { .arena = arena_new((size_t)256 << 20) };
	FILE *f = fopen(path, "rb");
	char *bytes = calloc(1, (64 << 20) + 1);
	size_t size = f != NULL && bytes != NULL ? fread(bytes, 1, 64 << 20, f) : 0;

	for (unsigned i = 0; i < 2; i++)
		b.modules[i] = (struct triage_module){ .path = "",
						       .base = i == 0 ? BASE : CALLER,
						       .size = 0x10000000,
						       .id = "",
						       .code_id = "",
						       .debug_id = "" };
	if (b.arena == NULL || size == 0 || !open_file(&b, bytes, size) ||
	    module_index_build(b.arena, b.modules, 2, &b.index) != ERR_OK || unwind_init(&b.u, b.arena) != ERR_OK) {
		fprintf(stderr, "%s: no image or symbols that this unwinds by\n", path);
	} else {
		measure(&b, path);
		unwind_fini(&b.u);
	}
	if (f != NULL)
		fclose(f);
	free(b.functions);
	free(bytes);
	arena_free(b.arena);
}

int
main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: bench_step FILE...\n");
		return 2;
	}
	for (size_t i = 0; i < WORDS; i++)
		stack[i] = CALLER + 0x1000 + 16 * i;
	for (int i = 1; i < argc; i++)
		bench_file(argv[i]);
	return 0;
}
