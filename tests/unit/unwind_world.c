/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unwind_world.h"

static const uint8_t *
at(const void *arg, uint64_t addr, uint64_t *len_out)
{
	const struct world *w = arg;
	uint64_t rva = addr - WORLD_BASE;

	if (addr >= WORLD_STACK && addr - WORLD_STACK < sizeof(w->stack)) {
		*len_out = sizeof(w->stack) - (addr - WORLD_STACK);
		return w->stack + (addr - WORLD_STACK);
	}
	if (addr < WORLD_BASE || rva >= w->image.len)
		return NULL;
	if (w->no_code && rva >= SYNTH_PE_CODE && rva < SYNTH_PE_RECORDS)
		return NULL;
	*len_out = (w->no_code && rva < SYNTH_PE_CODE ? SYNTH_PE_CODE : w->image.len) - rva;
	return w->image.p + rva;
}

void
world_init(struct world *w, enum triage_arch arch, struct synth_pe pe)
{
	unsigned sp = arch == TRIAGE_ARCH_X64 ? UNWIND_X64_SP : UNWIND_ARM64_SP;

	memset(w, 0, sizeof(*w));
	w->arena = arena_new(8 << 20);
	pe.machine = arch == TRIAGE_ARCH_X64 ? 0x8664 : 0xaa64;
	synth_pe(&w->image, &pe);
	w->module = (struct triage_module){ .path = "C:\\a.exe",
					    .base = WORLD_BASE,
					    .size = SYNTH_PE_SIZE,
					    .id = "",
					    .code_id = "",
					    .debug_id = "",
					    .version = "" };
	w->u = (struct unwind){ .arch = arch, .os = TRIAGE_OS_WINDOWS, .mi = &w->index, .at = at, .arg = w };
	if (w->arena == NULL || module_index_build(w->arena, &w->module, 1, &w->index) != ERR_OK ||
	    unwind_init(&w->u, w->arena) != ERR_OK)
		abort();
	w->f = (struct unwind_frame){ .exact = true, .trust = TRIAGE_TRUST_CONTEXT };
	unwind_set(&w->f, sp, WORLD_STACK);
}

void
world_end(struct world *w)
{
	arena_free(w->arena);
	synth_free(&w->image);
}

void
world_word(struct world *w, size_t i, uint64_t v)
{
	for (unsigned j = 0; j < 8; j++)
		w->stack[8 * i + j] = (uint8_t)(v >> 8 * j);
}
