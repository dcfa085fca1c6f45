/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/webhooks.h"

#define TIMEOUT_MS 30000

static const char help[] =
	"usage: faultline webhooks list [--json]\n"
	"       faultline webhooks show NAME [--json]\n"
	"       faultline webhooks ping NAME\n"
	"       faultline webhooks redeliver NAME [ID]\n\n"
	"Where notices of halts go (--webhook-file of faultlined): what was delivered, what waits, what was given up.\n\n"
	"  list       the endpoints\n"
	"  show       an endpoint and its deliveries, newest first\n"
	"  ping       send a notice that says nothing, to see whether it arrives\n"
	"  redeliver  send a notice again, or all that were given up\n\n"
	"  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --json            print the server's answer\n"
	"Exit status: 0 done, 1 refused or not found, 2 wrong usage or no server, 3 an endpoint fails or has dead notices.\n";

enum { DONE = 0, REFUSED = 1, USAGE = 2, FAILING = 3 };

/* Is there something for a person to look at? */
static bool
fails(const json_t *hook)
{
	const char *state = json_member(hook, "state");

	return strcmp(state, "failing") == 0 || strcmp(state, "gone") == 0 || json_count(hook, "dead") > 0;
}

static void
print_hook(const json_t *h)
{
	print_column(stdout, json_member(h, "name"), 20, true);
	putchar(' ');
	print_column(stdout, json_member(h, "state"), 8, true);
	printf(" %9lld %8lld %6lld  ", json_count(h, "delivered"), json_count(h, "pending"), json_count(h, "dead"));
	print_column(stdout, json_member(h, "format"), 18, true);
	putchar(' ');
	print_text(stdout, json_member(h, "origin"));
	if (json_member(h, "last_error")[0] != '\0') {
		fputs("  ", stdout);
		print_text(stdout, json_member(h, "last_error"));
	}
	putchar('\n');
}

static void
print_head(void)
{
	printf("%-20s %-8s %9s %8s %6s  %-18s %s\n", "name", "state", "delivered", "pending", "dead", "format", "to");
}

static void
print_deliveries(const json_t *list)
{
	const json_t *d;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	printf("\n%-24s %-24s %-9s %8s  %s\n", "time", "id", "state", "attempts", "what");
	json_array_foreach(list, i, d)
	{
		print_column(stdout, json_member(d, "time"), 24, true);
		putchar(' ');
		print_column(stdout, json_member(d, "id"), 24, true);
		putchar(' ');
		print_column(stdout, json_member(d, "state"), 9, true);
		printf(" %8lld  ", json_count(d, "attempts"));
		print_text(stdout, json_member(d, "type"));
		putchar(' ');
		print_text(stdout, json_member(d, "deployment"));
		if (json_member(d, "last_error")[0] != '\0') {
			fputs(": ", stdout);
			print_text(stdout, json_member(d, "last_error"));
		}
		putchar('\n');
	}
}

static int
print(const json_t *a)
{
	const json_t *hooks = json_object_get(a, "webhooks"), *h;
	bool bad = false;
	size_t i;

	if (json_is_string(json_object_get(a, "name"))) {
		print_head();
		print_hook(a);
		print_deliveries(json_object_get(a, "deliveries"));
		return fails(a) ? FAILING : DONE;
	}
	if (json_is_array(hooks)) {
		if (json_array_size(hooks) > 0)
			print_head();
		else
			puts("no endpoints: see --webhook-file of faultlined");
		json_array_foreach(hooks, i, h)
		{
			print_hook(h);
			bad = bad || fails(h);
		}
		return bad ? FAILING : DONE;
	}
	printf("%lld queued", json_count(a, "queued"));
	if (json_member(a, "id")[0] != '\0') {
		fputs(" as ", stdout);
		print_text(stdout, json_member(a, "id"));
	}
	putchar('\n');
	return DONE;
}

static int
ask(struct api_client *client, const char *method, const char *path, const char *name, json_t *body, bool as_json)
{
	struct api_answer a;
	int status = REFUSED;

	if (!api_request(client, method, path, name, body, NULL, TIMEOUT_MS, &a)) {
		fputs("faultline webhooks: ", stderr);
		print_text(stderr, a.error);
		fputc('\n', stderr);
		status = a.status == 0 ? USAGE : REFUSED;
	} else if (as_json) {
		json_dumpf(a.body, stdout, JSON_COMPACT);
		putchar('\n');
		status = DONE;
	} else {
		status = print(a.body);
	}
	api_answer_fini(&a);
	return status;
}

/* n: words that follow the name of the verb. */
static int
act(struct api_client *client, const char *verb, int n, char **args, bool as_json)
{
	json_t *body;
	int status;

	if (strcmp(verb, "list") == 0 && n == 0)
		return ask(client, "GET", "/v1/webhooks", NULL, NULL, as_json);
	if (strcmp(verb, "show") == 0 && n == 1)
		return ask(client, "GET", "/v1/webhooks/%s", args[0], NULL, as_json);
	if ((strcmp(verb, "ping") != 0 || n != 1) && (strcmp(verb, "redeliver") != 0 || n < 1 || n > 2)) {
		fputs(help, stderr);
		return USAGE;
	}
	body = n == 2 ? json_pack("{s:s}", "id", args[1]) : json_object();
	status = ask(client, "POST", verb[0] == 'p' ? "/v1/webhooks/%s/ping" : "/v1/webhooks/%s/redeliver", args[0],
		     body, as_json);
	json_decref(body);
	return status;
}

int
cmd_webhooks(int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' },
		{ "token-file", required_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *server = NULL, *token_file = NULL;
	struct api_client *client;
	bool as_json = false;
	char err[256];
	int o, status;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (o) {
		case 's':
			server = optarg;
			break;
		case 't':
			token_file = optarg;
			break;
		case 'j':
			as_json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			return USAGE;
		}
	if (optind == argc) {
		fputs(help, stderr);
		return USAGE;
	}
	if ((client = api_client_new(server, token_file, err, sizeof(err))) == NULL) {
		fprintf(stderr, "faultline webhooks: %s\n", err);
		return USAGE;
	}
	status = act(client, argv[optind], argc - optind - 1, argv + optind + 1, as_json);
	api_client_free(client);
	return status;
}
