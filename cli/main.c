/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "cli/agent.h"
#include "cli/correlate.h"
#include "cli/deploy.h"
#include "cli/explain.h"
#include "cli/gate.h"
#include "cli/replay.h"
#include "cli/safeguards.h"
#include "cli/scrub.h"
#include "cli/send.h"
#include "cli/signatures.h"
#include "cli/sim.h"
#include "cli/symbols.h"
#include "cli/top.h"
#include "cli/triage.h"
#include "cli/webhooks.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "agent", cmd_agent, "a small endpoint: heartbeats, crash records, dumps, a goodbye" },
	{ "correlate", cmd_correlate, "what the hosts of a signature have in common that the fleet has not" },
	{ "deploy", cmd_deploy, "tell the server what is rolled out, and halt or resume it" },
	{ "explain", cmd_explain, "why a deployment was halted, or was not: votes, factors, time line" },
	{ "gate", cmd_gate, "ask whether a deployment may go on; exit 0 proceed, 10 hold, 11 halt" },
	{ "offer", cmd_offer, "ask whether a host may have a deployment now, and take it" },
	{ "replay", cmd_replay, "fold a log again: why did it, or did it not, halt?" },
	{ "safeguards", cmd_safeguards, "where a deployment must not be offered: list, add, remove, check" },
	{ "scrub", cmd_scrub, "take environment, secrets and heap out of a dump before it is kept" },
	{ "send", cmd_send, "upload dumps and cores, and say what they are" },
	{ "signatures", cmd_signatures, "search what crashes: ranks, hosts, sites, trend; export" },
	{ "sim", cmd_sim, "play a fleet over real sockets: a rollout, or plain load" },
	{ "symbols", cmd_symbols, "give the server programs and symbols to unwind by and take names from" },
	{ "top", cmd_top, "watch the fleet: verdicts, signatures, arrivals" },
	{ "triage", cmd_triage, "say what crashed in dumps and cores" },
	{ "webhooks", cmd_webhooks, "where notices of halts go: deliveries, dead letters, ping, send again" },
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void
usage(FILE *f)
{
	fputs("usage: faultline COMMAND [ARGUMENTS]\n\n", f);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\nfaultline COMMAND --help says more.\n", f);
}

int
main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("faultline " PACKAGE_VERSION);
		return 0;
	}
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, argv[1]) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "faultline: no command %s\n", argv[1]);
	usage(stderr);
	return 2;
}
