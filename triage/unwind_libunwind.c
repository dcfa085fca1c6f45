/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/unwind.h"

#ifdef __x86_64__

#include <libunwind.h>
#include <pthread.h>
#include <string.h>

/* x64 by libunwind, over the memory of the dump and of images: never its own view of a core, which opens the paths a
 * dump names.  The record for a pc is found here (triage/elfimage_fde.c) and handed over as a search table of one
 * entry, so that a frame is stepped only where there is a record for it: libunwind's own guesses are never reached.
 * Every access takes from the work that is left, which ends endless expressions too: libunwind reads their
 * operators through us. */

/* Exported for this use, declared nowhere. */
#define dwarf_search_unwind_table UNW_OBJ(dwarf_search_unwind_table)
extern int dwarf_search_unwind_table(unw_addr_space_t as, unw_word_t ip, unw_dyn_info_t *di, unw_proc_info_t *pi,
				     int need_unwind_info, void *arg);

#define TABLE_AT    UINT64_C(0xf1f1f1f1f1f10000) /* where the table is said to be: no address of x64 */
#define RETURN_RULE 16

_Static_assert((int)UNW_X86_64_RBX == UNWIND_X64_BX && (int)UNW_X86_64_RBP == UNWIND_X64_BP &&
		       (int)UNW_X86_64_RSP == UNWIND_X64_SP && UNW_X86_64_R15 == 15,
	       "libunwind numbers registers as DWARF does");

struct step {
	struct unwind *u;
	const struct unwind_frame *f;
	struct elfimage *elf;
	uint64_t base; /* of the module */
	uint64_t lookup;
	struct elf_fde fde;
	uint64_t table; /* its only entry */
	bool found;
	/* bytes of the image that were looked at last */
	const uint8_t *window;
	uint64_t window_at, window_len;
};

static uint64_t
runtime(const struct step *s, uint64_t linked)
{
	return linked - elfimage_first(s->elf) + s->base;
}

static int
find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *pi, int need, void *arg)
{
	struct step *s = arg;
	unw_dyn_info_t di;
	int rc;

	memset(pi, 0, sizeof(*pi));
	if (ip != s->lookup)
		return -UNW_ENOINFO;
	memset(&di, 0, sizeof(di));
	di.format = UNW_INFO_FORMAT_REMOTE_TABLE;
	di.start_ip = runtime(s, s->fde.start);
	di.end_ip = di.start_ip + s->fde.size;
	di.u.rti.segbase = di.start_ip;
	di.u.rti.table_data = TABLE_AT;
	di.u.rti.table_len = 1;
	rc = dwarf_search_unwind_table(as, ip, &di, pi, need, arg);
	s->found = rc == 0;
	return rc;
}

static void
put_unwind_info(unw_addr_space_t as, unw_proc_info_t *pi, void *arg)
{
	(void)as, (void)pi, (void)arg;
}

static int
get_dyn_info_list_addr(unw_addr_space_t as, unw_word_t *at, void *arg)
{
	(void)as, (void)at, (void)arg;
	return -UNW_ENOINFO;
}

static int
access_mem(unw_addr_space_t as, unw_word_t addr, unw_word_t *value, int write, void *arg)
{
	struct step *s = arg;
	uint64_t offset = addr - s->base, len;

	(void)as;
	if (write || !unwind_work(s->u, 1))
		return -UNW_EINVAL;
	if (addr == TABLE_AT) {
		*value = s->table;
		return 0;
	}
	if (addr - s->window_at >= s->window_len && !elfimage_is_writable(s->elf, offset)) {
		const uint8_t *p = elfimage_at(s->elf, offset, &len);

		if (p != NULL) {
			s->window = p;
			s->window_at = addr;
			s->window_len = len;
		}
	}
	if (addr - s->window_at < s->window_len) {
		len = s->window_len - (addr - s->window_at);
		*value = 0; /* the word may reach behind the end of the segment */
		memcpy(value, s->window + (addr - s->window_at), len < 8 ? (size_t)len : 8);
		return 0;
	}
	return unwind_read(s->u, addr, value, 8) ? 0 : -UNW_EINVAL;
}

static int
access_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *value, int write, void *arg)
{
	const struct step *s = arg;

	(void)as;
	if (write || reg < 0 || reg > UNW_X86_64_RIP)
		return -UNW_EBADREG;
	if (reg == UNW_X86_64_RIP) {
		*value = s->lookup;
		return 0;
	}
	if (!unwind_known(s->f, (unsigned)reg))
		return -UNW_EBADREG;
	*value = s->f->r[reg];
	return 0;
}

static int
access_fpreg(unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *value, int write, void *arg)
{
	(void)as, (void)reg, (void)value, (void)write, (void)arg;
	return -UNW_EBADREG;
}

static int
resume(unw_addr_space_t as, unw_cursor_t *cursor, void *arg)
{
	(void)as, (void)cursor, (void)arg;
	return -UNW_EINVAL;
}

/* One address space for the process: it holds nothing but the functions above. */
static unw_addr_space_t space;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
make_space(void)
{
	static unw_accessors_t accessors = {
		.find_proc_info = find_proc_info,
		.put_unwind_info = put_unwind_info,
		.get_dyn_info_list_addr = get_dyn_info_list_addr,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = access_fpreg,
		.resume = resume,
	};

	space = unw_create_addr_space(&accessors, 0);
	if (space != NULL)
		unw_set_caching_policy(space, UNW_CACHE_NONE);
}

/* What the caller still has in its registers: those a function must keep; all, where a signal came. */
static void
take_registers(unw_cursor_t *cursor, bool all, struct unwind_frame *caller)
{
	static const uint8_t kept[] = { UNW_X86_64_RBX, UNW_X86_64_RBP, UNW_X86_64_RSP, UNW_X86_64_R12,
					UNW_X86_64_R13, UNW_X86_64_R14, UNW_X86_64_R15 };
	unw_word_t value;

	for (unsigned reg = 0; all && reg < RETURN_RULE; reg++)
		if (unw_get_reg(cursor, (int)reg, &value) == 0)
			unwind_set(caller, reg, value);
	for (size_t i = 0; !all && i < sizeof(kept); i++)
		if (unw_get_reg(cursor, kept[i], &value) == 0)
			unwind_set(caller, kept[i], value);
}

static enum unwind_outcome
step(struct unwind *u, const struct unwind_frame *f, int32_t module, struct unwind_frame *caller)
{
	struct step s = { .u = u, .f = f, .base = u->mi->modules[module].base };
	unw_cursor_t cursor;
	unw_word_t pc = 0;
	uint64_t away;
	int rc;

	if (u->arch != TRIAGE_ARCH_X64 || (s.elf = unwind_elf(u, module)) == NULL)
		return UNWIND_UNKNOWN;
	s.lookup = unwind_lookup_pc(u->arch, f);
	if (!elfimage_fde(s.elf, s.lookup - s.base, &s.fde))
		return UNWIND_UNKNOWN;
	/* the library takes any number for an index into its registers; what is writable it reads from the dump */
	if (s.fde.column != RETURN_RULE || !elfimage_fde_within(s.elf, &s.fde, RETURN_RULE + 1) ||
	    elfimage_is_writable(s.elf, s.fde.fde - elfimage_first(s.elf)) ||
	    elfimage_is_writable(s.elf, s.fde.common.from - elfimage_first(s.elf)))
		return UNWIND_DAMAGED;
	pthread_once(&once, make_space);
	away = s.fde.fde - s.fde.start; /* two gigabytes at most, either way */
	if (space == NULL || away + (UINT64_C(1) << 31) > UINT32_MAX)
		return UNWIND_UNKNOWN;
	s.table = away << 32;
	if (unw_init_remote(&cursor, space, &s) != 0)
		return UNWIND_DAMAGED;
	rc = unw_step(&cursor);
	if (!s.found || rc < 0)
		return UNWIND_DAMAGED;
	if (rc == 0 || unw_get_reg(&cursor, UNW_REG_IP, &pc) != 0 || pc == 0)
		return UNWIND_OUTERMOST;
	caller->pc = pc;
	caller->exact = s.fde.signal;
	take_registers(&cursor, s.fde.signal, caller);
	return unwind_known(caller, UNWIND_X64_SP) ? UNWIND_CALLER : UNWIND_DAMAGED;
}

void
triage_prepare(void)
{
	const struct unwind_frame f = { .known = ~UINT64_C(0) };
	struct step s = { .f = &f };
	unw_cursor_t cursor;

	pthread_once(&once, make_space);
	if (space != NULL)
		(void)unw_init_remote(&cursor, space, &s);
}

const struct unwinder unwinder_libunwind = { "libunwind", step };

#else

static enum unwind_outcome
step(struct unwind *u, const struct unwind_frame *f, int32_t module, struct unwind_frame *caller)
{
	(void)u, (void)f, (void)module, (void)caller;
	return UNWIND_UNKNOWN; /* unwind_dw.c does it */
}

void
triage_prepare(void)
{
}

const struct unwinder unwinder_libunwind = { "libunwind", step };

#endif
