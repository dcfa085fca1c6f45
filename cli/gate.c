/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/api_client.h"
#include "cli/gate.h"

enum { GATE_PROCEED = 0, GATE_UNSURE = 2, GATE_HOLD = 10, GATE_HALT = 11 };

#define POLL_MS      25000 /* one long poll */
#define POLL_RING_MS 2000  /* while only the next ring is too large: that changes without a new verdict */
#define BACK_OFF_MS  500

static const char help[] =
	"usage: faultline gate DEPLOYMENT [--wait TIME] [--next HOSTS] [--unknown hold|proceed]\n"
	"                      [--server URL] [--token-file FILE] [--json] [--quiet]\n\n"
	"Asks whether a deployment may go on; exit 0 proceed, 10 hold, 11 halt, 2 cannot tell.\n\n"
	"  --wait TIME       wait up to TIME (30m, 90s) for the first proceed or halt; without it, ask once\n"
	"  --next HOSTS      hosts of the next ring: a proceed for fewer hosts counts as hold\n"
	"  --unknown WORD    what to answer when the server cannot be reached in that time:\n"
	"                    hold (10) or proceed (0); without it, 2.  A server that refuses is always 2\n"
	"  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --json            print the verdict as the server gave it\n"
	"  --quiet           print nothing but errors\n";

struct gate {
	struct api_client *client;
	const char *deployment, *server, *token_file;
	int64_t wait_ms, deadline_us;
	long long next;
	int unknown; /* exit status when the server cannot be reached */
	bool json, quiet;
	char told[512];  /* reason that was shown last */
	char etag[96];   /* of the last verdict; "": ask anew */
	json_t *verdict; /* the last one */
};

static int64_t
left_ms(const struct gate *g)
{
	int64_t left = (g->deadline_us - clock_boot_us()) / 1000;

	return left > 0 ? left : 0;
}

static void
progress(struct gate *g, const char *verdict, const char *reason)
{
	if (g->quiet || g->wait_ms == 0 || strcmp(g->told, reason) == 0)
		return;
	snprintf(g->told, sizeof(g->told), "%s", reason);
	fprintf(stderr, "%s: ", verdict);
	print_text(stderr, reason);
	fputc('\n', stderr);
}

static int
finish(const struct gate *g, const json_t *verdict, const char *word, const char *reason, int status)
{
	if (g->json && verdict != NULL) {
		json_dumpf(verdict, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (!g->json && !g->quiet) {
		printf("%s: ", word);
		print_text(stdout, reason);
		putchar('\n');
	}
	return status;
}

/* -1: go on asking. */
static int
judge(struct gate *g, const json_t *v, bool last)
{
	const char *word = json_member(v, "verdict"), *reason = json_member(v, "reason");
	char small[128];

	if (strcmp(word, "halt") == 0)
		return finish(g, v, word, reason, GATE_HALT);
	if (strcmp(word, "proceed") == 0) {
		if (g->next <= json_count(v, "next_ring_max") || g->next == 0)
			return finish(g, v, word, reason, GATE_PROCEED);
		snprintf(small, sizeof(small), "the next ring may have %lld hosts for now, not %lld",
			 json_count(v, "next_ring_max"), g->next);
		reason = small;
	} else if (strcmp(word, "hold") != 0) {
		fprintf(stderr, "faultline gate: %s does not speak this protocol\n", api_client_server(g->client));
		return GATE_UNSURE;
	}
	if (last)
		return finish(g, v, "hold", reason, GATE_HOLD);
	progress(g, "hold", reason);
	return -1;
}

static void
pause_ms(int64_t ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Nothing new: the last verdict stands. */
static int
unchanged(struct gate *g, bool last)
{
	g->etag[0] = '\0'; /* the size of the next ring may differ: look at the numbers again */
	return last ? judge(g, g->verdict, true) : -1;
}

static int
unreachable(struct gate *g, const char *error, bool last)
{
	if (last) {
		fprintf(stderr, "faultline gate: %s\n", error);
		return g->unknown;
	}
	progress(g, "cannot tell yet", error);
	pause_ms(left_ms(g) < BACK_OFF_MS ? left_ms(g) : BACK_OFF_MS);
	return -1;
}

/* One request; -1: go on asking.  The first one does not wait, so that it is soon seen why
 * we wait; then the server answers when the verdict changes. */
static int
ask(struct gate *g)
{
	const bool held = g->verdict != NULL && strcmp(json_member(g->verdict, "verdict"), "proceed") == 0;
	int64_t left = left_ms(g), most = held ? POLL_RING_MS : POLL_MS, wait = g->etag[0] == '\0' ? 0 : most;
	struct api_answer a;
	char path[96];
	int status;
	bool last, ok;

	wait = wait < left ? wait : left;
	snprintf(path, sizeof(path), "/v1/deployments/%%s/verdict?wait=%lldms", (long long)wait);
	ok = api_request(g->client, "GET", path, g->deployment, NULL, g->etag[0] != '\0' ? g->etag : NULL,
			 (long)wait + 10000, &a);
	last = left_ms(g) == 0;
	if (ok && a.status == 304 && g->verdict != NULL)
		status = unchanged(g, last);
	else if (ok) {
		json_decref(g->verdict);
		g->verdict = json_incref(a.body);
		snprintf(g->etag, sizeof(g->etag), "%s", a.etag);
		status = judge(g, a.body, last);
	} else if (a.status >= 400 && a.status < 500) {
		fprintf(stderr, "faultline gate: %s\n", a.error);
		status = GATE_UNSURE;
	} else
		status = unreachable(g, a.error, last);
	api_answer_fini(&a);
	return status;
}

static int
parse(struct gate *g, int argc, char **argv)
{
	static const struct option options[] = {
		{ "wait", required_argument, NULL, 'w' },
		{ "next", required_argument, NULL, 'n' },
		{ "unknown", required_argument, NULL, 'u' },
		{ "server", required_argument, NULL, 's' },
		{ "token-file", required_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char *end;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (o) {
		case 'w':
			if (parse_wait(optarg, &g->wait_ms) != 0) {
				fprintf(stderr, "faultline gate: --wait wants a time like 30m\n");
				return -1;
			}
			break;
		case 'n':
			g->next = strtoll(optarg, &end, 10);
			if (*end != '\0' || g->next < 1) {
				fprintf(stderr, "faultline gate: --next wants a number of hosts\n");
				return -1;
			}
			break;
		case 'u':
			if (strcmp(optarg, "hold") != 0 && strcmp(optarg, "proceed") != 0) {
				fprintf(stderr, "faultline gate: --unknown wants hold or proceed\n");
				return -1;
			}
			g->unknown = strcmp(optarg, "hold") == 0 ? GATE_HOLD : GATE_PROCEED;
			break;
		case 's':
			g->server = optarg;
			break;
		case 't':
			g->token_file = optarg;
			break;
		case 'j':
			g->json = true;
			break;
		case 'q':
			g->quiet = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			return -1;
		}
	if (optind + 1 != argc) {
		fputs(help, stderr);
		return -1;
	}
	g->deployment = argv[optind];
	return 0;
}

int
cmd_gate(int argc, char **argv)
{
	struct gate g = { .unknown = GATE_UNSURE };
	char err[256];
	int status;

	if (parse(&g, argc, argv) != 0)
		return GATE_UNSURE;
	if ((g.client = api_client_new(g.server, g.token_file, err, sizeof(err))) == NULL) {
		fprintf(stderr, "faultline gate: %s\n", err);
		return GATE_UNSURE;
	}
	g.deadline_us = clock_boot_us() + g.wait_ms * 1000;
	while ((status = ask(&g)) == -1)
		continue;
	json_decref(g.verdict);
	api_client_free(g.client);
	return status;
}
