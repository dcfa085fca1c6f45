/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "triage/reason.h"

#define SIGNALS_DUMP_REQUESTED UINT32_MAX /* a dump was asked for, nothing crashed */

static const char *const signals[] = {
	[1] = "SIGHUP",   [2] = "SIGINT",     [3] = "SIGQUIT",  [4] = "SIGILL",     [5] = "SIGTRAP",  [6] = "SIGABRT",
	[7] = "SIGBUS",   [8] = "SIGFPE",     [9] = "SIGKILL",  [10] = "SIGUSR1",   [11] = "SIGSEGV", [12] = "SIGUSR2",
	[13] = "SIGPIPE", [14] = "SIGALRM",   [15] = "SIGTERM", [16] = "SIGSTKFLT", [17] = "SIGCHLD", [18] = "SIGCONT",
	[19] = "SIGSTOP", [20] = "SIGTSTP",   [21] = "SIGTTIN", [22] = "SIGTTOU",   [23] = "SIGURG",  [24] = "SIGXCPU",
	[25] = "SIGXFSZ", [26] = "SIGVTALRM", [27] = "SIGPROF", [28] = "SIGWINCH",  [29] = "SIGIO",   [30] = "SIGPWR",
	[31] = "SIGSYS",
};

/* si_code of the signals that the kernel sends for faults; by signal, 1-based. */
static const char *const fault_codes[32][10] = {
	[4] = { NULL, "ILL_ILLOPC", "ILL_ILLOPN", "ILL_ILLADR", "ILL_ILLTRP", "ILL_PRVOPC", "ILL_PRVREG", "ILL_COPROC",
		"ILL_BADSTK", "ILL_BADIADDR" },
	[5] = { NULL, "TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH", "TRAP_HWBKPT", "TRAP_UNK", "TRAP_PERF" },
	[7] = { NULL, "BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR", "BUS_MCEERR_AR", "BUS_MCEERR_AO" },
	[8] = { NULL, "FPE_INTDIV", "FPE_INTOVF", "FPE_FLTDIV", "FPE_FLTOVF", "FPE_FLTUND", "FPE_FLTRES", "FPE_FLTINV",
		"FPE_FLTSUB" },
	[11] = { NULL, "SEGV_MAPERR", "SEGV_ACCERR", "SEGV_BNDERR", "SEGV_PKUERR" },
	[31] = { NULL, "SYS_SECCOMP", "SYS_USER_DISPATCH" },
};

static const char *
sender_name(int32_t si_code)
{
	switch (si_code) {
	case 0x80:
		return "SI_KERNEL";
	case -1:
		return "SI_QUEUE";
	case -2:
		return "SI_TIMER";
	case -3:
		return "SI_MESGQ";
	case -4:
		return "SI_ASYNCIO";
	case -5:
		return "SI_SIGIO";
	case -6:
		return "SI_TKILL";
	case -7:
		return "SI_DETHREAD";
	case -60:
		return "SI_ASYNCNL";
	default:
		return NULL;
	}
}

void
reason_text_linux(const struct exception_record *e, char out[REASON_TEXT_MAX])
{
	const char *sig = NULL, *code = NULL;

	if (e->code == SIGNALS_DUMP_REQUESTED)
		sig = "DUMP_REQUESTED";
	else if (e->code < sizeof(signals) / sizeof(signals[0]))
		sig = signals[e->code];
	if (sig == NULL) {
		snprintf(out, REASON_TEXT_MAX, "unknown 0x%08x / 0x%08x", e->code, e->flags);
		return;
	}
	if (e->code < 32 && e->flags < 10)
		code = fault_codes[e->code][e->flags];
	if (code == NULL)
		code = sender_name((int32_t)e->flags);
	if (code != NULL)
		snprintf(out, REASON_TEXT_MAX, "%s / %s", sig, code);
	else if (e->flags == 0) /* SI_USER says nothing: older writers left the field empty */
		snprintf(out, REASON_TEXT_MAX, "%s", sig);
	else
		snprintf(out, REASON_TEXT_MAX, "%s / 0x%08x", sig, e->flags);
}
