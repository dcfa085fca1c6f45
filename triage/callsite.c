/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/callsite.h"

static uint32_t
word(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Bytes of ff /2 or ff /3 by its second byte and, where there is one, its third; 0: it is neither. */
static size_t
indirect_call(uint8_t modrm, uint8_t sib)
{
	unsigned mod = modrm >> 6, op = modrm >> 3 & 7, rm = modrm & 7;
	size_t n = mod != 3 && rm == 4 ? 3 : 2;

	if ((op != 2 && op != 3) || (op == 3 && mod == 3))
		return 0;
	if (mod == 1)
		return n + 1;
	/* a displacement of 32 bits: said by mod, or in place of a base register */
	return n + (mod == 2 || (mod == 0 && (rm == 5 || (rm == 4 && (sib & 7) == 5))) ? 4 : 0);
}

/* Each place at which a call could begin that ends here.  Prefixes (REX, segment, bnd) stand before it and
 * do not matter. */
static bool
x86_call(enum triage_arch arch, const uint8_t *code, size_t len)
{
	if (code[len - 5] == 0xe8)
		return true;
	if (arch == TRIAGE_ARCH_X86 && code[len - 7] == 0x9a) /* to a selector and offset */
		return true;
	for (size_t n = 2; n <= 7; n++) {
		const uint8_t *p = code + len - n;

		if (p[0] == 0xff && indirect_call(p[1], n > 2 ? p[2] : 0) == n)
			return true;
	}
	return false;
}

static bool
arm64_call(uint32_t insn)
{
	/* bl; blr; blraa, blrab, blraaz, blrabz */
	return insn >> 26 == 0x25 || (insn & 0xfffffc1f) == 0xd63f0000 || (insn & 0xfefff800) == 0xd63f0800;
}

static bool
arm_call(bool thumb, const uint8_t *code, size_t len)
{
	uint32_t high, low, insn;

	if (thumb) {
		low = code[len - 2] | (uint32_t)code[len - 1] << 8;
		if ((low & 0xff87) == 0x4780) /* blx register */
			return true;
		if (len < 4)
			return true;
		high = code[len - 4] | (uint32_t)code[len - 3] << 8;
		return (high & 0xf800) == 0xf000 && (low & 0xc000) == 0xc000; /* bl, blx */
	}
	if (len < 4)
		return true;
	insn = word(code + len - 4);
	/* bl; blx; bx and blx register; a load of pc, for which lr was set just before */
	return (insn & 0x0f000000) == 0x0b000000 || insn >> 25 == 0x7d || (insn & 0x0fffffd0) == 0x012fff10 ||
	       (insn & 0x0e50f000) == 0x0410f000;
}

bool
call_before(enum triage_arch arch, bool thumb, const uint8_t *code, size_t len)
{
	switch (arch) {
	case TRIAGE_ARCH_X86:
	case TRIAGE_ARCH_X64:
		return len < 7 || x86_call(arch, code, len);
	case TRIAGE_ARCH_ARM64:
		return len < 4 || arm64_call(word(code + len - 4));
	case TRIAGE_ARCH_ARM:
		return len < 2 || arm_call(thumb, code, len);
	default:
		return true;
	}
}
