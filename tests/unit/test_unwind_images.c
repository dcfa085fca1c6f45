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

#include <cmocka.h>

#include "base/arena.h"
#include "tests/unit/corpus.h"
#include "triage/unwind_arm64.h"
#include "triage/unwind_sym.h"
#include "triage/unwind_x64.h"

/* Unwind data as real compilers write it, of the golden corpus: every function is stepped out of, and the result
 * compared with what other readers of the same image say. */

#define BASE   UINT64_C(0x140000000)
#define CALLER UINT64_C(0x200000000) /* a module without an image: anything in it may be a return address */
#define STACK  UINT64_C(0x10000)
#define WORDS  (1u << 20)

struct process {
	struct arena *arena;
	struct triage_module modules[2];
	struct module_index index;
	struct unwind u;
	struct peimage *pe;
	uint64_t *stack;
	char *file;
};

static const uint8_t *
at(const void *arg, uint64_t addr, uint64_t *len_out)
{
	const struct process *p = arg;

	if (addr < STACK || addr - STACK >= 8 * WORDS)
		return NULL;
	*len_out = 8 * WORDS - (addr - STACK);
	return (const uint8_t *)p->stack + (addr - STACK);
}

static char *
read_corpus(const char *name, size_t *size)
{
	const char *corpus = corpus_dir();
	char path[512], *p = calloc(1, (1 << 20) + 1);
	FILE *f;

	if (corpus == NULL) {
		free(p);
		skip();
	}
	snprintf(path, sizeof(path), "%s/%s", corpus, name);
	f = fopen(path, "rb");
	assert_non_null(f);
	*size = fread(p, 1, 1 << 20, f);
	fclose(f);
	return p;
}

static void
begin(struct process *p, const char *image, enum triage_arch arch)
{
	struct diag diag;
	size_t size;

	*p = (struct process){ .file = read_corpus(image, &size) };
	p->arena = arena_new(16 << 20);
	p->stack = calloc(WORDS, 8);
	assert_non_null(p->stack);
	for (size_t i = 0; i < WORDS; i++) /* each says which it is */
		p->stack[i] = CALLER + 0x1000 + 16 * i;
	assert_int_equal(peimage_open(p->arena, p->file, size, &p->pe, &diag), ERR_OK);
	for (unsigned i = 0; i < 2; i++)
		p->modules[i] = (struct triage_module){ .path = "",
							.base = i == 0 ? BASE : CALLER,
							.size = i == 0 ? p->pe->image_size : UINT64_C(0x10000000),
							.id = "",
							.code_id = "",
							.debug_id = "",
							.version = "" };
	assert_int_equal(module_index_build(p->arena, p->modules, 2, &p->index), ERR_OK);
	p->u = (struct unwind){ .arch = arch, .os = TRIAGE_OS_WINDOWS, .mi = &p->index, .at = at, .arg = p };
	assert_int_equal(unwind_init(&p->u, p->arena), ERR_OK);
}

static void
end(struct process *p)
{
	unwind_fini(&p->u);
	arena_free(p->arena);
	free(p->stack);
	free(p->file);
}

/* A frame in the function's body: all registers known, the frame pointer as if no local was allocated by hand. */
static struct unwind_frame
body(uint64_t rva)
{
	struct unwind_frame f = { .pc = BASE + rva, .trust = TRIAGE_TRUST_SCAN, .known = UINT64_MAX >> 32 };

	for (unsigned i = 0; i < UNWIND_REGS - 1; i++)
		f.r[i] = STACK;
	return f;
}

/* The frames of every function are as large as its symbol file says. */
static void
test_x64(void **state)
{
	unsigned n = 0, compared = 0;
	struct symfile *sym;
	struct process p;
	struct diag diag;
	size_t size;
	char *text;

	(void)state;
	begin(&p, "symbolic/windows/CrashWithException.exe", TRIAGE_ARCH_X64);
	text = read_corpus("symbolic/windows/CrashWithException.pdb.sym", &size);
	assert_int_equal(symfile_open(p.arena, text, size, &sym, &diag), ERR_OK);
	for (uint32_t i = 0; i + 12 <= p.pe->exception_size; i += 12) {
		struct unwind_frame f, caller, other;
		struct symfile_cfi cfi;
		struct text rules[2];
		uint64_t from, to;

		assert_true(peimage_uint(p.pe, p.pe->exception_rva + i, 4, &from));
		assert_true(peimage_uint(p.pe, p.pe->exception_rva + i + 4, 4, &to));
		f = body(to - 1); /* behind any prologue; of a caller, so that no epilogue is looked for */
		assert_int_equal(unwind_x64_step(&p.u, p.pe, BASE, &f, &caller), UNWIND_CALLER);
		n++;
		if (!symfile_cfi(sym, from, &cfi) || cfi.deltas.len == 0)
			continue;
		rules[0] = cfi.rules;
		rules[1].at = memchr(cfi.deltas.at, '.', cfi.deltas.len); /* one line, its rules begin with .cfa */
		assert_non_null(rules[1].at);
		rules[1].len = strcspn(rules[1].at, "\r\n");
		assert_int_equal(unwind_cfi_rules(&p.u, &f, rules, 2, &other), UNWIND_CALLER);
		if (caller.pc != other.pc || caller.r[UNWIND_X64_SP] != other.r[UNWIND_X64_SP])
			fail_msg("%llx: %llx, not %llx", (unsigned long long)from,
				 (unsigned long long)(caller.r[UNWIND_X64_SP] - STACK),
				 (unsigned long long)(other.r[UNWIND_X64_SP] - STACK));
		compared++;
	}
	assert_int_equal(n, 41);
	assert_int_equal(compared, n);
	free(text);
	end(&p);
}

/* Another compiler's program: its frames are as large as another reader (LLVM's) counts. */
static void
test_x64_gcc(void **state)
{
	uint64_t bytes = 0, to;
	unsigned n = 0;
	struct process p;

	(void)state;
	begin(&p, "symbolic/windows/hello-dwarf.exe", TRIAGE_ARCH_X64);
	for (uint32_t i = 0; i + 12 <= p.pe->exception_size; i += 12, n++) {
		struct unwind_frame f, caller;

		assert_true(peimage_uint(p.pe, p.pe->exception_rva + i + 4, 4, &to));
		f = body(to);
		assert_int_equal(unwind_x64_step(&p.u, p.pe, BASE, &f, &caller), UNWIND_CALLER);
		bytes += caller.r[UNWIND_X64_SP] - STACK;
	}
	assert_int_equal(n, 95);
	assert_int_equal(bytes, 6032 - 192); /* four of them count from the middle of a frame: rbp less an offset */
	end(&p);
}

/* A record that is chained to itself. */
static void
test_x64_loop(void **state)
{
	struct unwind_frame f, caller;
	uint64_t from = 0;
	struct process p;

	(void)state;
	begin(&p, "symbolic/windows/cfi_chained_loop.exe", TRIAGE_ARCH_X64);
	assert_true(peimage_uint(p.pe, p.pe->exception_rva, 4, &from));
	f = body(from + 1);
	assert_int_equal(unwind_x64_step(&p.u, p.pe, BASE, &f, &caller), UNWIND_DAMAGED);
	end(&p);
}

/* Each function in the middle.  Another reader of the same image (LLVM's) counts 32,608 bytes in the frames of these
 * functions; less 160 that ten of them take back by x29, which here says that nothing was, and 208 of three whose x29
 * cannot be as it is here.  38 have no frame in the middle, which of a caller cannot be. */
static void
test_arm64(void **state)
{
	unsigned n = 0, stepped = 0;
	uint64_t bytes = 0;
	struct process p;

	(void)state;
	begin(&p, "symbolic/windows/arm64/test.exe", TRIAGE_ARCH_ARM64);
	for (uint32_t i = 0; i + 8 <= p.pe->exception_size; i += 8, n++) {
		struct unwind_frame f, caller = { 0 };
		uint64_t from, data, head, length;

		assert_true(peimage_uint(p.pe, p.pe->exception_rva + i, 4, &from));
		assert_true(peimage_uint(p.pe, p.pe->exception_rva + i + 4, 4, &data));
		length = data >> 2 & 0x7ff;
		if ((data & 3) == 0) {
			assert_true(peimage_uint(p.pe, data, 4, &head));
			length = head & 0x3ffff;
		}
		f = body(from + 4 * (length / 2) + 4);
		unwind_set(&f, UNWIND_ARM64_LR, CALLER + 0x1000);
		if (unwind_arm64_step(&p.u, p.pe, BASE, &f, &caller) != UNWIND_CALLER)
			continue;
		stepped++;
		bytes += caller.r[UNWIND_ARM64_SP] - STACK;
	}
	assert_int_equal(n, 709);
	assert_int_equal(stepped, 709 - 38 - 3);
	assert_int_equal(bytes, 32608 - 160 - 208);
	end(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_x64),
		cmocka_unit_test(test_x64_gcc),
		cmocka_unit_test(test_x64_loop),
		cmocka_unit_test(test_arm64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
