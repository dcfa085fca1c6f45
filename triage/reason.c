/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "triage/reason.h"

/* Tables are sorted by value. */
const char *
reason_code_name(const struct reason_code *table, size_t n, uint64_t value)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (table[mid].value < value)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && table[lo].value == value ? table[lo].name : NULL;
}

void
reason_text(enum triage_os os, enum triage_arch arch, const struct exception_record *e, char out[REASON_TEXT_MAX])
{
	switch (os) {
	case TRIAGE_OS_WINDOWS:
		reason_text_windows(e, out);
		break;
	case TRIAGE_OS_LINUX:
	case TRIAGE_OS_ANDROID:
		reason_text_linux(e, out);
		break;
	case TRIAGE_OS_MACOS:
	case TRIAGE_OS_IOS:
		reason_text_mac(arch, e, out);
		break;
	default:
		snprintf(out, REASON_TEXT_MAX, "unknown 0x%08x / 0x%08x", e->code, e->flags);
	}
}

uint64_t
reason_address(enum triage_os os, enum triage_arch arch, const struct exception_record *e)
{
	uint64_t addr = e->address;

	/* access violation, in-page error: the second parameter is the address touched */
	if (os == TRIAGE_OS_WINDOWS && (e->code == 0xc0000005 || e->code == 0xc0000006) && e->n_params >= 2)
		addr = e->params[1];
	/* 32-bit addresses are sometimes written sign-extended */
	if (arch == TRIAGE_ARCH_X86 || arch == TRIAGE_ARCH_ARM || arch == TRIAGE_ARCH_PPC || arch == TRIAGE_ARCH_MIPS ||
	    arch == TRIAGE_ARCH_SPARC || arch == TRIAGE_ARCH_RISCV)
		addr = (uint32_t)addr;
	return addr;
}
