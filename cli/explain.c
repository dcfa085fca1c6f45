/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/explain.h"

/* `faultline explain DEPLOYMENT`: the evidence behind a verdict, for a person. */

#define TIMEOUT_MS   30000
#define VOTES_SHOWN  12
#define FRAMES_SHOWN 6
#define STACKS_SHOWN 3
#define BAR          40

static const char help[] =
	"usage: faultline explain DEPLOYMENT [--signature s1-HEX | --key dark|boot] [--all-votes] [--json]\n\n"
	"Says why a deployment was halted, or why it was not: the sentence, the table, the votes one by one with\n"
	"their factors, the time line, the stacks from different sites, and what would change the verdict.\n\n"
	"  --signature ID    why did this one (not) halt it?\n"
	"  --key dark|boot   the same for hosts that went silent, or boot again and again\n"
	"  --all-votes       every vote, not the first and last\n"
	"  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --json            print the server's answer\n\n"
	"Exit 0: explained; 1: the server refused or is not there; 2: usage.\n";

struct explain {
	struct api_client *client;
	const char *id, *signature, *key;
	bool all_votes, json;
};

static double
number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

static void
line(const char *label, const char *text)
{
	printf("%-12s", label);
	print_text(stdout, text);
	putchar('\n');
}

/* ---- the pieces ---- */

static void
print_table(const json_t *standing)
{
	const json_t *t = json_object_get(standing, "table"), *r = json_object_get(standing, "hazard_ratio");

	printf("\n%-12s%12s %12s %12s\n", "", "with it", "without", "at risk now");
	printf("%-12s%12lld %12lld %12lld\n", "served", json_count(t, "served_with"), json_count(t, "served_without"),
	       json_count(t, "at_risk_served"));
	printf("%-12s%12lld %12lld %12lld\n", "not served", json_count(t, "unserved_with"),
	       json_count(t, "unserved_without"), json_count(t, "at_risk_unserved"));
	printf("served hosts have it ");
	if (json_is_number(json_object_get(r, "high")))
		printf("%.3g to %.3g times as often", number(r, "low"), number(r, "high"));
	else
		printf("at least %.3g times as often", number(r, "low"));
	printf(" (95 %%, valid whenever one looks), on %lld sites\n", json_count(standing, "sites"));
}

static void
print_standing(const json_t *s)
{
	char text[512];

	putchar('\n');
	line("key", json_member(s, "title"));
	snprintf(text, sizeof(text), "%s, %s; birth %lld in its pool", json_member(s, "pool"),
		 json_member(s, "severity"), json_count(s, "birth"));
	line("pool", text);
	if (!json_is_number(json_object_get(s, "log_odds"))) {
		line("why", json_member(s, "why"));
		return;
	}
	snprintf(text, sizeof(text), "weight e^%.2f x evidence e^%.2f = e^%.2f; e^%.2f are needed (1 of %.3g)",
		 number(s, "log_weight"), number(s, "log_e"), number(s, "log_odds"), number(s, "log_needed"),
		 exp(number(s, "log_needed")));
	line("odds", text);
	snprintf(text, sizeof(text), "%lld hosts at %lld sites; worth a halt at e^%.1f (is e^%.1f)",
		 json_count(s, "hosts_needed"), json_count(s, "sites_needed"), number(s, "material_needed"),
		 number(s, "material"));
	line("floors", text);
	line("why", json_member(s, "why"));
	print_table(s);
}

static void
print_vote(const json_t *v, size_t i)
{
	const json_t *since = json_object_get(v, "seconds_since_served");
	char after[24] = "-";

	if (json_is_number(since))
		snprintf(after, sizeof(after), "%lld s", (long long)json_integer_value(since));
	printf("%5zu  %.19s  %-10lld %-10s %6lld %7lld  %-9s %11.6f %+9.3f %9.3f%s\n", i + 1,
	       json_member(v, "received"), json_count(v, "host_number"),
	       json_is_true(json_object_get(v, "served")) ? "served" : "not served", json_count(v, "site_number"),
	       json_count(v, "stratum"), after, number(v, "q"), number(v, "log_factor"), number(v, "log_odds"),
	       json_is_true(json_object_get(v, "counted")) ? "" : "  (not counted)");
}

static void
print_votes(const json_t *votes, bool all)
{
	size_t n = json_array_size(votes);

	if (n == 0)
		return;
	printf("\n%5s  %-19s  %-10s %-10s %6s %7s  %-9s %11s %9s %9s\n", "vote", "received", "host", "", "site",
	       "stratum", "after", "q", "log", "log odds");
	for (size_t i = 0; i < n; i++) {
		if (!all && n > VOTES_SHOWN && i == VOTES_SHOWN / 2) {
			printf("       ... %zu more (--all-votes)\n", n - VOTES_SHOWN);
			i = n - VOTES_SHOWN / 2;
		}
		print_vote(json_array_get(votes, i), i);
	}
}

static void
bar(long long n, long long most)
{
	int width = most > 0 ? (int)(n * BAR / most) : 0;

	for (int i = 0; i < width; i++)
		putchar('#');
}

static void
print_timeline(const json_t *timeline, const char *halted)
{
	size_t n = json_array_size(timeline), from = n > 30 ? n - 30 : 0;
	long long most = 0;

	if (n == 0)
		return;
	for (size_t i = from; i < n; i++) {
		long long served = json_count(json_array_get(timeline, i), "served");

		most = served > most ? served : most;
	}
	printf("\n%-17s %8s %8s %8s %8s%s\n", "minute", "served", "votes", "others", "dark",
	       from > 0 ? "   (the last 30)" : "");
	for (size_t i = from; i < n; i++) {
		const json_t *m = json_array_get(timeline, i);

		printf("%.16s %9lld %8lld %8lld %8lld  ", json_member(m, "at"), json_count(m, "served"),
		       json_count(m, "votes_served"), json_count(m, "votes_unserved"), json_count(m, "dark"));
		bar(json_count(m, "served"), most);
		if (*halted != '\0' && strncmp(halted, json_member(m, "at"), 16) == 0)
			printf(" <- here");
		putchar('\n');
	}
}

static void
print_blast(const json_t *e)
{
	const json_t *b = json_object_get(e, "blast_radius");

	printf("\nexposed %lld, harmed %lld (%lld of them well again); going on would harm about %.0f of the %lld not "
	       "served\n",
	       json_count(b, "exposed"), json_count(b, "harmed"), json_count(b, "harmed_back"),
	       number(b, "projected_if_resumed"), json_count(b, "not_exposed"));
}

static void
print_list(const char *title, const json_t *list)
{
	if (json_array_size(list) == 0)
		return;
	printf("\n%s\n", title);
	for (size_t i = 0; i < json_array_size(list); i++) {
		printf("  - ");
		print_text(stdout, json_string_value(json_array_get(list, i)));
		putchar('\n');
	}
}

static void
print_assumptions(const json_t *e)
{
	const json_t *a = json_object_get(e, "assumptions");

	printf("\nassumed: hosts %s (rho %.3g), compared within %lld strata, one vote a %s, hosts known for %lld s and "
	       "heard of within %lld s; alpha %.3g\n",
	       json_is_true(json_object_get(a, "randomised_per_host")) ? "chosen at random" : "not chosen at random",
	       number(a, "rho"), json_count(a, "strata"),
	       json_is_true(json_object_get(a, "one_vote_per_site")) ? "site" : "host",
	       json_count(a, "host_age_seconds"), json_count(a, "heard_within_seconds"), number(a, "alpha"));
}

/* ---- stacks of votes from different sites ---- */

static void
print_stack(const json_t *report, long long site)
{
	const json_t *triage = json_object_get(report, "triage_result");
	const json_t *frames = json_object_get(json_is_object(triage) ? triage : report, "frames");
	size_t n = json_array_size(frames);

	if (n == 0)
		return;
	printf("\nstack from site %lld, host ", site);
	print_text(stdout, json_member(report, "host"));
	putchar('\n');
	for (size_t i = 0; i < n && i < FRAMES_SHOWN; i++) {
		const json_t *f = json_array_get(frames, i);

		printf("  %2zu  ", i);
		print_text(stdout, json_member(f, "module"));
		printf("+");
		print_text(stdout, json_member(f, "offset"));
		if (*json_member(f, "function") != '\0') {
			printf("  ");
			print_text(stdout, json_member(f, "function"));
		}
		putchar('\n');
	}
}

static void
print_stacks(struct explain *x, const json_t *votes)
{
	long long sites[STACKS_SHOWN];
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(votes) && n < STACKS_SHOWN; i++) {
		const json_t *v = json_array_get(votes, i);
		long long site = json_count(v, "site_number");
		struct api_answer a;
		bool seen = !json_is_true(json_object_get(v, "served"));

		for (size_t k = 0; k < n; k++)
			seen |= sites[k] == site;
		if (seen)
			continue;
		if (api_request(x->client, "GET", "/v1/reports/%s", json_member(v, "report"), NULL, NULL, TIMEOUT_MS,
				&a) &&
		    a.body != NULL) {
			print_stack(a.body, site);
			sites[n++] = site;
		}
		api_answer_fini(&a);
	}
}

/* ---- the whole ---- */

static void
print_others(const json_t *standings)
{
	if (json_array_size(standings) < 2)
		return;
	printf("\n%-48s %-12s %9s %9s %8s %8s\n", "other keys", "pool", "log odds", "needed", "served", "others");
	for (size_t i = 1; i < json_array_size(standings); i++) {
		const json_t *s = json_array_get(standings, i), *t = json_object_get(s, "table");

		print_column(stdout, json_member(s, "title"), 48, true);
		printf(" %-12s %9.2f %9.2f %8lld %8lld\n", json_member(s, "pool"), number(s, "log_odds"),
		       number(s, "log_needed"), json_count(t, "served_with"), json_count(t, "unserved_with"));
	}
}

static void
print_evidence(struct explain *x, const json_t *e, const json_t *votes)
{
	const json_t *named = json_object_get(e, "standing"), *standings = json_object_get(e, "standings");
	const char *halted = *json_member(e, "token") != '\0' ? json_member(e, "since") : "";

	print_text(stdout, x->id);
	printf(": %s (%s)\n", json_member(e, "verdict"), json_member(e, "state"));
	print_text(stdout, json_member(e, "reason"));
	putchar('\n');
	if (*json_member(e, "token") != '\0')
		line("\ntoken", json_member(e, "token"));
	if (json_is_object(named))
		print_standing(named);
	else if (json_array_size(standings) > 0)
		print_standing(json_array_get(standings, 0));
	else
		puts("\nNo key has a served host: there is nothing to explain yet.");
	print_votes(votes, x->all_votes);
	print_timeline(json_object_get(e, "timeline"), halted);
	print_blast(e);
	print_stacks(x, votes);
	print_others(standings);
	print_list("what would change it", json_object_get(e, "would_change"));
	print_list("cannot be told from", json_object_get(e, "suspects"));
	print_assumptions(e);
}

/* All votes, page by page; NULL when the server does not answer. */
static json_t *
fetch_votes(struct explain *x, const char *query)
{
	json_t *all = json_array();
	long long from = 0;

	for (;;) {
		struct api_answer a;
		char path[256];
		json_t *next;
		bool ok;

		snprintf(path, sizeof(path), "/v1/deployments/%%s/votes?limit=1000&from=%lld%s", from, query);
		ok = api_request(x->client, "GET", path, x->id, NULL, NULL, TIMEOUT_MS, &a);
		if (ok)
			json_array_extend(all, json_object_get(a.body, "votes"));
		next = json_object_get(a.body, "next");
		from = json_is_integer(next) ? json_integer_value(next) : -1;
		api_answer_fini(&a);
		if (!ok || from < 0)
			return all;
	}
}

static int
explain(struct explain *x)
{
	char query[96] = "", path[160];
	struct api_answer a;
	json_t *votes;

	if (x->signature != NULL)
		snprintf(query, sizeof(query), "signature=%.40s", x->signature);
	else if (x->key != NULL)
		snprintf(query, sizeof(query), "key=%.8s", x->key);
	snprintf(path, sizeof(path), "/v1/deployments/%%s/evidence%s%s", *query ? "?" : "", query);
	if (!api_request(x->client, "GET", path, x->id, NULL, NULL, TIMEOUT_MS, &a)) {
		fprintf(stderr, "faultline explain: %s\n", a.error);
		api_answer_fini(&a);
		return 1;
	}
	if (x->json) {
		json_dumpf(a.body, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		memmove(query + (*query != '\0'), query, strlen(query) + 1);
		if (*query != '\0')
			query[0] = '&';
		votes = fetch_votes(x, query);
		print_evidence(x, a.body, votes);
		json_decref(votes);
	}
	api_answer_fini(&a);
	return fflush(stdout) == 0 ? 0 : 1;
}

static bool
plain(const char *s)
{
	return s == NULL || strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(s);
}

int
cmd_explain(int argc, char **argv)
{
	static const struct option options[] = {
		{ "signature", required_argument, NULL, 's' },
		{ "key", required_argument, NULL, 'k' },
		{ "all-votes", no_argument, NULL, 'a' },
		{ "server", required_argument, NULL, 'S' },
		{ "token-file", required_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *server = NULL, *token_file = NULL;
	struct explain x = { 0 };
	char err[512];
	int c, status;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			x.signature = optarg;
			break;
		case 'k':
			x.key = optarg;
			break;
		case 'a':
			x.all_votes = true;
			break;
		case 'S':
			server = optarg;
			break;
		case 't':
			token_file = optarg;
			break;
		case 'j':
			x.json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			fputs(help, stderr);
			return 2;
		}
	}
	if (optind != argc - 1 || (x.signature != NULL && x.key != NULL) || !plain(x.signature) || !plain(x.key)) {
		fputs(help, stderr);
		return 2;
	}
	x.id = argv[optind];
	if ((x.client = api_client_new(server, token_file, err, sizeof(err))) == NULL) {
		fprintf(stderr, "faultline explain: %s\n", err);
		return 1;
	}
	status = explain(&x);
	api_client_free(x.client);
	return status;
}
