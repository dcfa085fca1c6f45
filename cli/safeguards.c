/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/safeguards.h"

#define TIMEOUT_MS 60000
#define QUERY_SIZE 300 /* an id of 64 bytes and a bit, each escaped */
#define PAGE_PATH  1000

static const char offer_help[] =
	"usage: faultline offer DEPLOYMENT HOST [--up-to RING] [--take] [--actor NAME] [--json]\n\n"
	"May this host have the deployment now?  Prints why.\n\n"
	"  --up-to RING      the last ring to offer to [as far as the verdict allows]\n"
	"  --take            record the receipt, if the answer is yes\n"
	"  --actor NAME      who takes it\n"
	"  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --json            print the server's answer\n"
	"Exit status: 0 yes, 3 no, 1 refused, 2 wrong usage or no server.\n";

static const char safeguards_help[] =
	"usage: faultline safeguards list DEPLOYMENT [--json]\n"
	"       faultline safeguards add DEPLOYMENT --reason TEXT [--product P] [--os-build B] [--hw-class C]\n"
	"       faultline safeguards add DEPLOYMENT --reason TEXT --host HOST...\n"
	"       faultline safeguards remove DEPLOYMENT SAFEGUARD --reason TEXT\n"
	"       faultline safeguards check DEPLOYMENT HOST...|-\n\n"
	"Hosts and strata on which a deployment must not be offered.  While it is halted by evidence, the strata of\n"
	"the hosts it harmed are listed by themselves, as `halt`.\n\n"
	"  list              what there is\n"
	"  add, remove       by hand\n"
	"  check             which of these hosts are held; - reads ids from standard input, one a line\n\n"
	"  --reason TEXT, --actor NAME   why, and who\n"
	"  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --json            print the server's answer\n"
	"Exit status: 0 done (check: no host is held), 3 some host is held, 1 refused, 2 wrong usage or no server.\n";

enum { DONE = 0, REFUSED = 1, USAGE = 2, NO = 3 };

struct args {
	const char *who, *server, *token_file, *reason, *actor, *up_to, *product, *os_build, *hw_class;
	json_t *hosts;
	bool take, json;
};

/* Does the request; true when answered well, and then the answer is the caller's to print and free. */
static bool
ask(const struct args *g, struct api_client *client, const char *method, const char *path, const char *id,
    const json_t *body, struct api_answer *a, int *status_out)
{
	json_t *copy = json_deep_copy(body);
	bool ok = api_request(client, method, path, id, copy, NULL, TIMEOUT_MS, a);

	json_decref(copy);
	*status_out = DONE;
	if (!ok) {
		fprintf(stderr, "faultline %s: ", g->who);
		print_text(stderr, a->error);
		fputc('\n', stderr);
		*status_out = a->status == 0 ? USAGE : REFUSED;
	}
	return ok;
}

static void
dump(const json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
}

static void
set(json_t *o, const char *key, const char *value)
{
	if (value != NULL)
		json_object_set_new(o, key, json_string(value));
}

/* Escaped for a query; what is too long is cut, and refused by the server. */
static void
query_text(const char *text, char out[QUERY_SIZE])
{
	size_t n = 0;

	for (; *text != '\0' && n + 3 < QUERY_SIZE; text++) {
		unsigned char c = (unsigned char)*text;

		if (isalnum(c) || strchr("-._~:", c) != NULL)
			out[n++] = *text;
		else
			n += (size_t)snprintf(out + n, QUERY_SIZE - n, "%%%02X", c);
	}
	out[n] = '\0';
}

/* ---- offers ---- */

static int
offer(const struct args *g, struct api_client *client, const char *deployment, const char *host)
{
	json_t *body = json_pack("{s:s}", "host", host);
	struct api_answer a;
	int status;

	set(body, "up_to", g->up_to);
	set(body, "actor", g->actor);
	if (g->take) {
		ask(g, client, "POST", "/v1/deployments/%s/offer", deployment, body, &a, &status);
	} else {
		char path[PAGE_PATH], h[QUERY_SIZE], r[QUERY_SIZE];

		/* asked by GET nothing is recorded */
		query_text(host, h);
		query_text(g->up_to != NULL ? g->up_to : "", r);
		snprintf(path, sizeof(path), "/v1/deployments/%%s/offer?host=%s%s%s", h, r[0] != '\0' ? "&up_to=" : "",
			 r);
		ask(g, client, "GET", path, deployment, NULL, &a, &status);
	}
	json_decref(body);
	if (status == DONE) {
		bool yes = json_is_true(json_object_get(a.body, "offer"));

		if (g->json) {
			dump(a.body);
		} else {
			printf("%s: ", yes ? "yes" : "no");
			print_text(stdout, json_member(a.body, "reason"));
			if (json_is_true(json_object_get(a.body, "recorded")))
				fputs(" (recorded)", stdout);
			putchar('\n');
		}
		status = yes ? DONE : NO;
	}
	api_answer_fini(&a);
	return status;
}

/* ---- safeguards ---- */

static void
print_safeguard(const json_t *s)
{
	print_column(stdout, json_member(s, "id"), 24, true);
	putchar(' ');
	if (strcmp(json_member(s, "kind"), "host") == 0) {
		fputs("host ", stdout);
		print_text(stdout, json_member(s, "host"));
	} else {
		static const char *const parts[] = { "product", "os_build", "hw_class" };

		fputs("stratum", stdout);
		for (int i = 0; i < 3; i++) {
			putchar(' ');
			print_text(stdout, json_member(s, parts[i])[0] != '\0' ? json_member(s, parts[i]) : "any");
		}
	}
	fputs(": ", stdout);
	print_text(stdout, json_member(s, "reason"));
	putchar('\n');
}

static int
list(const struct args *g, struct api_client *client, const char *deployment)
{
	char cursor[128] = "", path[PAGE_PATH];
	size_t total = 0, i;
	int status;

	for (;;) {
		struct api_answer a;
		const json_t *s;

		snprintf(path, sizeof(path), "/v1/deployments/%%s/safeguard?limit=1000%s%s",
			 cursor[0] != '\0' ? "&cursor=" : "", cursor);
		if (ask(g, client, "GET", path, deployment, NULL, &a, &status)) {
			if (g->json)
				dump(a.body);
			else
				json_array_foreach(json_object_get(a.body, "safeguards"), i, s) print_safeguard(s);
			total += json_array_size(json_object_get(a.body, "safeguards"));
		}
		snprintf(cursor, sizeof(cursor), "%s", status == DONE ? json_member(a.body, "next") : "");
		api_answer_fini(&a);
		if (cursor[0] == '\0' || strpbrk(cursor, "%&#") != NULL) /* a cursor of ours has none */
			break;
	}
	if (status == DONE && total == 0 && !g->json)
		puts("no safeguards");
	return status;
}

static int
change(const struct args *g, struct api_client *client, const char *deployment, json_t *body)
{
	struct api_answer a;
	int status;

	set(body, "reason", g->reason);
	set(body, "actor", g->actor);
	if (ask(g, client, "POST", "/v1/deployments/%s/safeguard", deployment, body, &a, &status)) {
		const char *added = json_member(a.body, "added");

		if (g->json)
			dump(a.body);
		else
			printf("%s %s\n", added[0] != '\0' ? "added" : "removed",
			       added[0] != '\0' ? added : json_member(a.body, "removed"));
	}
	api_answer_fini(&a);
	json_decref(body);
	return status;
}

static json_t *
what_to_add(const struct args *g)
{
	json_t *what = json_object();

	if (g->hosts != NULL)
		json_object_set(what, "hosts", g->hosts);
	set(what, "product", g->product);
	set(what, "os_build", g->os_build);
	set(what, "hw_class", g->hw_class);
	return json_pack("{s:o}", "add", what);
}

static int
check(const struct args *g, struct api_client *client, const char *deployment, json_t *hosts)
{
	json_t *body = json_pack("{s:o}", "hosts", hosts);
	struct api_answer a;
	const json_t *h;
	int status;
	size_t i;

	if (ask(g, client, "POST", "/v1/deployments/%s/safeguard/check", deployment, body, &a, &status)) {
		if (g->json) {
			dump(a.body);
		} else {
			json_array_foreach(json_object_get(a.body, "held"), i, h)
			{
				const json_t *id = json_array_get(hosts, (size_t)json_count(h, "index"));

				print_text(stdout, json_string_value(id) != NULL ? json_string_value(id)
										 : json_member(h, "host"));
				fputs(" is held by ", stdout);
				print_text(stdout, json_member(h, "by"));
				putchar('\n');
			}
			printf("%lld held, %lld allowed\n", json_count(a.body, "held_total"),
			       json_count(a.body, "allowed_total"));
		}
		status = json_count(a.body, "held_total") > 0 ? NO : DONE;
	}
	api_answer_fini(&a);
	json_decref(body);
	return status;
}

static json_t *
hosts_of(int n, char **words)
{
	json_t *hosts = json_array();
	char line[256];

	for (int i = 0; i < n; i++) {
		if (strcmp(words[i], "-") != 0) {
			json_array_append_new(hosts, json_string(words[i]));
			continue;
		}
		while (fgets(line, sizeof(line), stdin) != NULL) {
			line[strcspn(line, "\r\n")] = '\0';
			if (line[0] != '\0')
				json_array_append_new(hosts, json_string(line));
		}
	}
	return hosts;
}

static int
act_on_safeguards(const struct args *g, struct api_client *client, int n, char **w)
{
	if (n == 2 && strcmp(w[0], "list") == 0)
		return list(g, client, w[1]);
	if (n == 2 && strcmp(w[0], "add") == 0)
		return change(g, client, w[1], what_to_add(g));
	if (n == 3 && strcmp(w[0], "remove") == 0)
		return change(g, client, w[1], json_pack("{s:s}", "remove", w[2]));
	if (n >= 3 && strcmp(w[0], "check") == 0)
		return check(g, client, w[1], hosts_of(n - 2, w + 2));
	fputs(safeguards_help, stderr);
	return USAGE;
}

/* ---- arguments ---- */

static int
command(int argc, char **argv, const char *help)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' },
		{ "token-file", required_argument, NULL, 't' },
		{ "reason", required_argument, NULL, 'r' },
		{ "actor", required_argument, NULL, 'a' },
		{ "up-to", required_argument, NULL, 'u' },
		{ "take", no_argument, NULL, 'k' },
		{ "product", required_argument, NULL, 'p' },
		{ "os-build", required_argument, NULL, 'o' },
		{ "hw-class", required_argument, NULL, 'c' },
		{ "host", required_argument, NULL, 'H' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct args g = { .who = argv[0] };
	struct api_client *client;
	char err[256];
	int o, status = USAGE;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (o) {
		case 's':
			g.server = optarg;
			break;
		case 't':
			g.token_file = optarg;
			break;
		case 'r':
			g.reason = optarg;
			break;
		case 'a':
			g.actor = optarg;
			break;
		case 'u':
			g.up_to = optarg;
			break;
		case 'k':
			g.take = true;
			break;
		case 'p':
			g.product = optarg;
			break;
		case 'o':
			g.os_build = optarg;
			break;
		case 'c':
			g.hw_class = optarg;
			break;
		case 'H':
			if (g.hosts == NULL)
				g.hosts = json_array();
			json_array_append_new(g.hosts, json_string(optarg));
			break;
		case 'j':
			g.json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			return USAGE;
		}
	argc -= optind;
	argv += optind;
	if (argc < 2 || (help == offer_help && argc != 2)) {
		fputs(help, stderr);
	} else if ((client = api_client_new(g.server, g.token_file, err, sizeof(err))) == NULL) {
		fprintf(stderr, "faultline %s: %s\n", g.who, err);
	} else {
		status = help == offer_help ? offer(&g, client, argv[0], argv[1])
					    : act_on_safeguards(&g, client, argc, argv);
		api_client_free(client);
	}
	json_decref(g.hosts);
	return status;
}

int
cmd_offer(int argc, char **argv)
{
	return command(argc, argv, offer_help);
}

int
cmd_safeguards(int argc, char **argv)
{
	return command(argc, argv, safeguards_help);
}
