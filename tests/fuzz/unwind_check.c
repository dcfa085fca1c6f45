/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/unwind_check.h"

static const uint8_t *
stack_at(const void *arg, uint64_t addr, uint64_t *len_out)
{
	const struct check *c = arg;

	if (addr >= CHECK_STACK && addr - CHECK_STACK < CHECK_BYTES) {
		*len_out = CHECK_BYTES - (addr - CHECK_STACK);
		return c->stack + (addr - CHECK_STACK);
	}
	if (addr >= CHECK_BASE && addr - CHECK_BASE < c->image_size) {
		*len_out = c->image_size - (addr - CHECK_BASE);
		return c->image + (addr - CHECK_BASE);
	}
	return NULL;
}

void
check_init(struct check *c, enum triage_arch arch, enum triage_os os, const uint8_t *data, size_t size)
{
	uint64_t offset = size >= 2 ? data[0] | (uint64_t)data[1] << 8 : 0;
	bool exact = size >= 3 && data[2] & 1;
	size_t n;

	memset(c, 0, sizeof(*c));
	data += size < 3 ? size : 3;
	size -= size < 3 ? size : 3;
	n = size < CHECK_BYTES ? size : CHECK_BYTES;
	if (n > 0)
		memcpy(c->stack, data, n);
	c->image = data + n;
	c->image_size = size - n;
	c->arena = arena_new(1 << 20);
	c->module = (struct triage_module){ .path = "",
					    .base = CHECK_BASE,
					    .size = CHECK_SIZE,
					    .id = "",
					    .code_id = "",
					    .debug_id = "",
					    .version = "" };
	c->u = (struct unwind){ .arch = arch, .os = os, .mi = &c->index, .at = stack_at, .arg = c };
	if (c->arena == NULL || module_index_build(c->arena, &c->module, 1, &c->index) != ERR_OK ||
	    unwind_init(&c->u, c->arena) != ERR_OK)
		abort();
	c->f = (struct unwind_frame){ .pc = CHECK_BASE + offset, .exact = exact, .trust = TRIAGE_TRUST_CONTEXT };
	for (unsigned i = 0; i < UNWIND_REGS; i++)
		unwind_set(&c->f, i, CHECK_STACK + 8 * (uint64_t)i);
	unwind_set(&c->f, unwind_sp(arch), CHECK_STACK);
	unwind_set(&c->f, UNWIND_ARM64_LR, CHECK_BASE + 0x100);
}

void
check_end(struct check *c)
{
	unwind_fini(&c->u);
	arena_free(c->arena);
}

void
check_image(const struct check *c, uint32_t table_size, struct peimage *out)
{
	memset(out, 0, sizeof(*out));
	out->arch = c->u.arch;
	out->image_size = CHECK_SIZE;
	out->memory = (struct peimage_memory){ stack_at, c, CHECK_BASE };
	out->sections[0] = (struct pe_section){ .size = CHECK_SIZE, .code = true };
	out->n_sections = 1;
	out->exception_size = table_size;
}

bool
check_step(const struct check *c, enum unwind_outcome outcome, const struct unwind_frame *caller)
{
	const unsigned sp = unwind_sp(c->u.arch);

	if (outcome != UNWIND_CALLER)
		return false;
	if (!unwind_known(caller, sp) || caller->trust != TRIAGE_TRUST_CFI)
		abort();
	/* up the stack, but for a leaf, and only to what a call may have left */
	if (!caller->exact && (caller->r[sp] < c->f.r[sp] || (caller->r[sp] == c->f.r[sp] && !c->f.exact) ||
			       caller->pc < CHECK_BASE || caller->pc > CHECK_BASE + CHECK_SIZE))
		abort();
	return true;
}
