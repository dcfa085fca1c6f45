/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/correlate.h"

#define TIMEOUT_MS 60000

static const char help[] =
	"usage: faultline correlate SIGNATURE [--limit N] [--json]\n\n"
	"Which facts (content version, label, product, OS build, hardware class, site, deployment, ring) are\n"
	"over-represented among the hosts of a signature against the fleet, with lift and interval: finds the bad\n"
	"content file when nobody registered a deployment.  SIGNATURE is s1- and 16 hex digits.\n\n"
	"  --limit N         so many facts, best first [20]\n"
	"  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --json            print the server's answer\n\n"
	"Exit 0: something is over-represented; 3: nothing is, for certain; 1: the server refused or is not there;\n"
	"2: usage.\n";

enum { FOUND = 0, REFUSED = 1, USAGE = 2, NOTHING = 3 };

static double
number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

static void
print_fact(const json_t *f, size_t i)
{
	const json_t *same = json_object_get(f, "cannot_be_told_from");
	char lift[64], interval[64];

	snprintf(lift, sizeof(lift), "%.3g", number(f, "lift"));
	snprintf(interval, sizeof(interval), "%.3g to %.3g", number(f, "low"), number(f, "high"));
	printf("%3zu %c %-10s ", i, json_is_true(json_object_get(f, "over_represented")) ? '*' : ' ',
	       json_member(f, "kind"));
	print_column(stdout, json_member(f, "fact"), 36, true);
	printf(" %8lld %5.1f%% %9lld %5.1f%%  %7s  %s", json_count(f, "hosts"), 100 * number(f, "share"),
	       json_count(f, "fleet_hosts"), 100 * number(f, "fleet_share"), lift, interval);
	if (json_is_integer(same))
		printf("  (like %lld)", (long long)json_integer_value(same));
	putchar('\n');
}

static void
print(const json_t *a)
{
	const json_t *facts = json_object_get(a, "facts"), *f;
	size_t i;

	print_text(stdout, json_member(a, "statement"));
	putchar('\n');
	if (json_array_size(facts) == 0)
		return;
	printf("\n%3s   %-10s %-36s %8s %6s %9s %6s  %7s  %s\n", "", "", "fact", "hosts", "", "fleet", "", "lift",
	       "interval");
	json_array_foreach(facts, i, f) print_fact(f, i);
	printf("\n* over-represented: an accident of chance for any of the %lld facts compared at most once in %.0f\n"
	       "  signatures.  Hosts are counted with the facts they have now; a correlation is not yet a cause.\n",
	       json_count(a, "facts_compared"), 1 / number(a, "error"));
	if (json_count(a, "hosts_not_heard_of") > 0)
		printf("  %lld more hosts reported it and were not heard of within a week.\n",
		       json_count(a, "hosts_not_heard_of"));
}

static int
correlate(const char *signature, const char *limit, const char *server, const char *token_file, bool as_json)
{
	struct api_client *client;
	struct api_answer a;
	char err[256], path[96];
	int status = REFUSED;

	if ((client = api_client_new(server, token_file, err, sizeof(err))) == NULL) {
		fprintf(stderr, "faultline correlate: %s\n", err);
		return USAGE;
	}
	snprintf(path, sizeof(path), "/v1/signatures/%%s/correlations?limit=%.12s", limit);
	if (!api_request(client, "GET", path, signature, NULL, NULL, TIMEOUT_MS, &a)) {
		fputs("faultline correlate: ", stderr);
		print_text(stderr, a.error);
		fputc('\n', stderr);
	} else {
		const json_t *first = json_array_get(json_object_get(a.body, "facts"), 0);

		status = json_is_true(json_object_get(first, "over_represented")) ? FOUND : NOTHING;
		if (as_json) {
			json_dumpf(a.body, stdout, JSON_COMPACT);
			putchar('\n');
		} else
			print(a.body);
	}
	api_answer_fini(&a);
	api_client_free(client);
	return status;
}

int
cmd_correlate(int argc, char **argv)
{
	static const struct option options[] = {
		{ "limit", required_argument, NULL, 'l' },
		{ "server", required_argument, NULL, 's' },
		{ "token-file", required_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *server = NULL, *token_file = NULL, *limit = "20";
	bool as_json = false;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (o) {
		case 'l':
			limit = optarg;
			break;
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
	if (argc - optind != 1 || limit[strspn(limit, "0123456789")] != '\0') {
		fputs(help, stderr);
		return USAGE;
	}
	return correlate(argv[optind], limit, server, token_file, as_json);
}
