/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "triage/reason.h"

/* Mach exceptions of macOS and iOS.  code is the exception, flags its first code,
 * params[1] and params[2] the two 64-bit codes of EXC_RESOURCE and EXC_GUARD. */

enum {
	EXC_BAD_ACCESS = 1,
	EXC_BAD_INSTRUCTION = 2,
	EXC_ARITHMETIC = 3,
	EXC_SOFTWARE = 5,
	EXC_BREAKPOINT = 6,
	EXC_RESOURCE = 11,
	EXC_GUARD = 12,
};
#define EXC_CRASHPAD_SIMULATED 0x43507378

#define C(value, name)       \
	{                    \
		value, #name \
	}
static const struct reason_code exceptions[] = {
	C(1, EXC_BAD_ACCESS), C(2, EXC_BAD_INSTRUCTION), C(3, EXC_ARITHMETIC), C(4, EXC_EMULATION),
	C(5, EXC_SOFTWARE),   C(6, EXC_BREAKPOINT),      C(7, EXC_SYSCALL),    C(8, EXC_MACH_SYSCALL),
	C(9, EXC_RPC_ALERT),  C(11, EXC_RESOURCE),       C(12, EXC_GUARD),
};
static const struct reason_code kern_return[] = {
	C(1, KERN_INVALID_ADDRESS), C(2, KERN_PROTECTION_FAILURE), C(5, KERN_FAILURE),         C(8, KERN_NO_ACCESS),
	C(9, KERN_MEMORY_FAILURE),  C(10, KERN_MEMORY_ERROR),      C(50, KERN_CODESIGN_ERROR),
};
static const struct reason_code access_arm[] = {
	C(0x101, EXC_ARM_DA_ALIGN), C(0x102, EXC_ARM_DA_DEBUG), C(0x103, EXC_ARM_SP_ALIGN),
	C(0x104, EXC_ARM_SWP),      C(0x105, EXC_ARM_PAC_FAIL),
};
static const struct reason_code access_ppc[] = {
	C(0x101, EXC_PPC_VM_PROT_READ),
	C(0x102, EXC_PPC_BADSPACE),
	C(0x103, EXC_PPC_UNALIGNED),
};
static const struct reason_code access_x86[] = { C(13, EXC_I386_GPFLT) };
static const struct reason_code instruction_arm[] = { C(1, EXC_ARM_UNDEFINED) };
static const struct reason_code instruction_ppc[] = {
	C(1, EXC_PPC_INVALID_SYSCALL), C(2, EXC_PPC_UNIPL_INST), C(3, EXC_PPC_PRIVINST),
	C(4, EXC_PPC_PRIVREG),         C(5, EXC_PPC_TRACE),      C(6, EXC_PPC_PERFMON),
};
static const struct reason_code instruction_x86[] = {
	C(1, EXC_I386_INVOP),   C(10, EXC_I386_INVTSSFLT), C(11, EXC_I386_SEGNPFLT),
	C(12, EXC_I386_STKFLT), C(13, EXC_I386_GPFLT),     C(17, EXC_I386_ALIGNFLT),
};
static const struct reason_code arithmetic_arm[] = {
	C(1, EXC_ARM_FP_IO), C(2, EXC_ARM_FP_DZ), C(3, EXC_ARM_FP_OF),
	C(4, EXC_ARM_FP_UF), C(5, EXC_ARM_FP_IX), C(6, EXC_ARM_FP_ID),
};
static const struct reason_code arithmetic_ppc[] = {
	C(1, EXC_PPC_OVERFLOW),         C(2, EXC_PPC_ZERO_DIVIDE),   C(3, EXC_FLT_INEXACT),
	C(4, EXC_PPC_FLT_ZERO_DIVIDE),  C(5, EXC_PPC_FLT_UNDERFLOW), C(6, EXC_PPC_FLT_OVERFLOW),
	C(7, EXC_PPC_FLT_NOT_A_NUMBER), C(8, EXC_PPC_NOEMULATION),   C(9, EXC_PPC_ALTIVECASSIST),
};
static const struct reason_code arithmetic_x86[] = {
	C(1, EXC_I386_DIV),    C(2, EXC_I386_INTO),  C(3, EXC_I386_NOEXT), C(4, EXC_I386_EXTOVR),
	C(5, EXC_I386_EXTERR), C(6, EXC_I386_EMERR), C(7, EXC_I386_BOUND), C(8, EXC_I386_SSEEXTERR),
};
static const struct reason_code software[] = {
	C(1, EXC_PPC_TRAP),
	C(0x10002, SIGABRT),
	C(0x10100, EXC_PPC_MIGRATE),
	C(0xdeadc0de, UNCAUGHT_NS_EXCEPTION),
};
static const struct reason_code breakpoint_arm[] = { C(1, EXC_ARM_BREAKPOINT) };
static const struct reason_code breakpoint_ppc[] = { C(1, EXC_PPC_BREAKPOINT) };
static const struct reason_code breakpoint_x86[] = { C(1, EXC_I386_SGL), C(2, EXC_I386_BPT) };
static const struct reason_code guard_port[] = {
	C(1, GUARD_EXC_DESTROY),
	C(2, GUARD_EXC_MOD_REFS),
	C(3, GUARD_EXC_INVALID_OPTIONS),
	C(4, GUARD_EXC_SET_CONTEXT),
	C(5, GUARD_EXC_THREAD_SET_STATE),
	C(0x8, GUARD_EXC_UNGUARDED),
	C(0x10, GUARD_EXC_INCORRECT_GUARD),
	C(0x20, GUARD_EXC_IMMOVABLE),
	C(0x40, GUARD_EXC_STRICT_REPLY),
	C(0x80, GUARD_EXC_MSG_FILTERED),
	C(0x100, GUARD_EXC_INVALID_RIGHT),
	C(0x200, GUARD_EXC_INVALID_NAME),
	C(0x400, GUARD_EXC_INVALID_VALUE),
	C(0x800, GUARD_EXC_INVALID_ARGUMENT),
	C(0x1000, GUARD_EXC_RIGHT_EXISTS),
	C(0x2000, GUARD_EXC_KERN_NO_SPACE),
	C(0x4000, GUARD_EXC_KERN_FAILURE),
	C(0x8000, GUARD_EXC_KERN_RESOURCE),
	C(0x10000, GUARD_EXC_SEND_INVALID_REPLY),
	C(0x20000, GUARD_EXC_SEND_INVALID_VOUCHER),
	C(0x40000, GUARD_EXC_SEND_INVALID_RIGHT),
	C(0x80000, GUARD_EXC_RCV_INVALID_NAME),
	C(0x100000, GUARD_EXC_RCV_GUARDED_DESC),
	C(0x200000, GUARD_EXC_MOD_REFS_NON_FATAL),
	C(0x400000, GUARD_EXC_IMMOVABLE_NON_FATAL),
	C(0x800000, GUARD_EXC_REQUIRE_REPLY_PORT_SEMANTICS),
	C(0x1000000, GUARD_EXC_EXCEPTION_BEHAVIOR_ENFORCE),
};
static const struct reason_code guard_fd[] = {
	C(0x01, GUARD_EXC_CLOSE),      C(0x02, GUARD_EXC_DUP),      C(0x04, GUARD_EXC_NOCLOEXEC),
	C(0x08, GUARD_EXC_SOCKET_IPC), C(0x10, GUARD_EXC_FILEPORT), C(0x20, GUARD_EXC_MISMATCH),
	C(0x40, GUARD_EXC_WRITE),
};
static const struct reason_code guard_vnode[] = {
	C(0x01, GUARD_EXC_RENAME_TO),   C(0x02, GUARD_EXC_RENAME_FROM), C(0x04, GUARD_EXC_UNLINK),
	C(0x08, GUARD_EXC_WRITE_OTHER), C(0x10, GUARD_EXC_TRUNC_OTHER), C(0x20, GUARD_EXC_LINK),
	C(0x40, GUARD_EXC_EXCHDATA),
};
#undef C

typedef unsigned long long ull; /* for printf only */

#define PICK(table) return REASON_CODE_NAME(table, flags)

static const char *
subcode_for_cpu(enum triage_arch arch, uint32_t code, uint32_t flags)
{
	bool arm = arch == TRIAGE_ARCH_ARM64, ppc = arch == TRIAGE_ARCH_PPC;
	bool x86 = arch == TRIAGE_ARCH_X86 || arch == TRIAGE_ARCH_X64;

	if (!arm && !ppc && !x86)
		return NULL;
	switch (code) {
	case EXC_BAD_ACCESS:
		if (arm)
			PICK(access_arm);
		if (ppc)
			PICK(access_ppc);
		PICK(access_x86);
	case EXC_BAD_INSTRUCTION:
		if (arm)
			PICK(instruction_arm);
		if (ppc)
			PICK(instruction_ppc);
		PICK(instruction_x86);
	case EXC_ARITHMETIC:
		if (arm)
			PICK(arithmetic_arm);
		if (ppc)
			PICK(arithmetic_ppc);
		PICK(arithmetic_x86);
	case EXC_BREAKPOINT:
		if (arm)
			PICK(breakpoint_arm);
		if (ppc)
			PICK(breakpoint_ppc);
		PICK(breakpoint_x86);
	default:
		return NULL;
	}
}

static const char *
subcode(enum triage_arch arch, uint32_t code, uint32_t flags)
{
	const char *name = NULL;

	if (code == EXC_BAD_ACCESS)
		name = REASON_CODE_NAME(kern_return, flags);
	else if (code == EXC_SOFTWARE)
		name = REASON_CODE_NAME(software, flags);
	return name != NULL ? name : subcode_for_cpu(arch, code, flags);
}

/* exc_resource.h: the flavor is bits 58 to 60 of the code, the rest depends on type. */
static void
resource(unsigned type, uint64_t code, uint64_t sub, char out[REASON_TEXT_MAX])
{
	static const char *const types[] = { NULL,
					     "RESOURCE_TYPE_CPU",
					     "RESOURCE_TYPE_WAKEUPS",
					     "RESOURCE_TYPE_MEMORY",
					     "RESOURCE_TYPE_IO",
					     "RESOURCE_TYPE_THREADS" };
	unsigned flavor = code >> 58 & 7;
	const char *t = types[type];

	if (type == 1 && (flavor == 1 || flavor == 2))
		snprintf(out, REASON_TEXT_MAX,
			 "EXC_RESOURCE / %s / %s interval: %llus CPU limit: %llu%% CPU consumed: %llu%%", t,
			 flavor == 1 ? "FLAVOR_CPU_MONITOR" : "FLAVOR_CPU_MONITOR_FATAL", (ull)(code >> 7 & 0x1ffffff),
			 (ull)(code & 7), (ull)(sub & 7));
	else if (type == 2 && flavor == 1)
		snprintf(out, REASON_TEXT_MAX,
			 "EXC_RESOURCE / %s / FLAVOR_WAKEUPS_MONITOR interval: %llus wakeups permitted: %llu "
			 "wakeups observed: %llu",
			 t, (ull)(code >> 20 & 0xfffff), (ull)(code & 0xfff), (ull)(sub & 0xfff));
	else if (type == 3 && flavor == 1)
		snprintf(out, REASON_TEXT_MAX,
			 "EXC_RESOURCE / %s / FLAVOR_HIGH_WATERMARK high watermark limit: %lluMiB", t,
			 (ull)(code & 0x1fff));
	else if (type == 4 && (flavor == 1 || flavor == 2))
		snprintf(out, REASON_TEXT_MAX,
			 "EXC_RESOURCE / %s / %s interval: %llus I/O limit: %llu%% I/O observed: %llu%%", t,
			 flavor == 1 ? "FLAVOR_IO_PHYSICAL_WRITES" : "FLAVOR_IO_LOGICAL_WRITES",
			 (ull)(code >> 15 & 0x1ffff), (ull)(code & 0x7fff), (ull)(sub & 0x7fff));
	else if (type == 5 && flavor == 1)
		snprintf(out, REASON_TEXT_MAX,
			 "EXC_RESOURCE / %s / FLAVOR_THREADS_HIGH_WATERMARK high watermark limit: %llu", t,
			 (ull)(code & 0x7fff));
	else
		snprintf(out, REASON_TEXT_MAX, "EXC_RESOURCE / %s / 0x%016llx / 0x%016llx", t, (ull)code, (ull)sub);
}

/* exc_guard.h: the flavor is bits 32 to 60 of the code, its target the low 28. */
static void
guard(unsigned type, uint64_t code, uint64_t sub, char out[REASON_TEXT_MAX])
{
	static const char *const types[] = { "GUARD_TYPE_NONE",       "GUARD_TYPE_MACH_PORT", "GUARD_TYPE_FD",
					     "GUARD_TYPE_USER",       "GUARD_TYPE_VN",        "GUARD_TYPE_VIRT_MEMORY",
					     "GUARD_TYPE_REJECTED_SC" };
	uint64_t flavor = code >> 32 & 0x1fffffff, target = code & 0xfffffff;
	const char *t = types[type], *f = NULL;

	if (type == 1 && (f = REASON_CODE_NAME(guard_port, flavor)) != NULL && sub != 0)
		snprintf(out, REASON_TEXT_MAX, "EXC_GUARD / %s / %s port name: %llu subcode: %llu", t, f, (ull)target,
			 (ull)sub);
	else if (type == 1 && f != NULL)
		snprintf(out, REASON_TEXT_MAX, "EXC_GUARD / %s / %s port name: %llu", t, f, (ull)target);
	else if (type == 2 && (f = REASON_CODE_NAME(guard_fd, flavor)) != NULL)
		snprintf(out, REASON_TEXT_MAX, "EXC_GUARD / %s / %s file descriptor: %llu guard identifier: %llu", t, f,
			 (ull)target, (ull)sub);
	else if (type == 3)
		snprintf(out, REASON_TEXT_MAX, "EXC_GUARD / %s/ namespace: %llu guard identifier: %llu", t,
			 (ull)(code & 0xffffffff), (ull)sub);
	else if (type == 4 && (f = REASON_CODE_NAME(guard_vnode, flavor)) != NULL)
		snprintf(out, REASON_TEXT_MAX, "EXC_GUARD / %s / %s pid: %llu guard identifier: %llu", t, f,
			 (ull)target, (ull)sub);
	else if (type == 5 && flavor == 1)
		snprintf(out, REASON_TEXT_MAX, "EXC_GUARD / %s / GUARD_EXC_DEALLOC_GAP offset: %llu", t, (ull)sub);
	else if (type == 6 && flavor == 0)
		snprintf(out, REASON_TEXT_MAX, "EXC_GUARD / %s / GUARD_EXC_MACH_TRAP syscall: %llu", t, (ull)sub);
	else if (type == 0)
		snprintf(out, REASON_TEXT_MAX, "EXC_GUARD / %s", t);
	else
		snprintf(out, REASON_TEXT_MAX, "EXC_GUARD / %s / 0x%016llx / 0x%016llx", t, (ull)code, (ull)sub);
}

void
reason_text_mac(enum triage_arch arch, const struct exception_record *e, char out[REASON_TEXT_MAX])
{
	const char *name = REASON_CODE_NAME(exceptions, e->code), *sub = subcode(arch, e->code, e->flags);
	unsigned type = e->flags >> 29;

	if (e->code == EXC_CRASHPAD_SIMULATED)
		snprintf(out, REASON_TEXT_MAX, "Simulated Exception");
	else if (name == NULL)
		snprintf(out, REASON_TEXT_MAX, "unknown 0x%08x / 0x%08x", e->code, e->flags);
	else if (e->code == EXC_RESOURCE && type >= 1 && type <= 5)
		resource(type, e->params[1], e->params[2], out);
	else if (e->code == EXC_GUARD && type <= 6)
		guard(type, e->params[1], e->params[2], out);
	else if (sub != NULL)
		snprintf(out, REASON_TEXT_MAX, "%s / %s", name, sub);
	else
		snprintf(out, REASON_TEXT_MAX, "%s / 0x%08x", name, e->flags);
}
