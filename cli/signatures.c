/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/api_client.h"
#include "cli/figures.h"
#include "cli/glyph.h"
#include "cli/screen.h"
#include "cli/signatures.h"

#define TIMEOUT_MS  60000
#define PAGE_MAX    1000
#define LIMIT_MAX   1000000
#define QUERY_SIZE  4096
#define FACET_NAME  11
#define FACET_LINES 4
#define PAPER       160 /* columns where there is no terminal */

static const char help[] =
	"usage: faultline signatures [--sort ORDER] [--group RUNG] [--limit N] [--facets] [--json | --csv]\n"
	"                            [--server URL] [--token-file FILE] [QUERY ...]\n\n"
	"What crashes, worst first, with its rank in the last 12 hours and how that moved.  The query is that of the\n"
	"page and of GET /v1/signatures?q= (docs/SEARCH.md); terms must all hold:\n\n"
	"  word              the title contains it              module:csagent.sys   whole, * is anything\n"
	"  field:value       -field:value: not so               kind:kernel state:halt\n"
	"  hosts:>10         > >= < <= or =                     new:<1h last:<10m    since first, last seen\n"
	"  fields: module offset kind reason build site os product content deployment state hosts sites reports\n"
	"          new last title\n\n"
	"  --sort ORDER      hosts, sites, reports, crashes, newest, last or trend [hosts]\n"
	"  --group RUNG      signature, build or module: what is one row [signature]\n"
	"  --limit N         so many rows [50]\n"
	"  --facets          how they divide by kind, module, site, OS, product, deployment and state\n"
	"  --json            the server's answer; with --limit all: all rows\n"
	"  --csv             all rows, for a spreadsheet\n"
	"  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n\n"
	"A query that begins with a dash goes after --.\n"
	"Exit 0: found; 3: nothing matches; 1: the server refused or is not there; 2: usage, or the query is wrong.\n";

enum { FOUND = 0, REFUSED = 1, USAGE = 2, NOTHING = 3 };

static const char *const sorts[] = { "hosts", "sites", "reports", "crashes", "newest", "last", "trend", NULL };
static const char *const groups[] = { "signature", "build", "module", NULL };

struct asked {
	const char *sort, *group, *server, *token_file;
	long limit; /* 0: all */
	bool facets, json, csv;
	char query[QUERY_SIZE];
};

/* ---- what is wrong ---- */

/* The query, a mark below the character, and the sentence. */
static int
complain(const struct asked *q, const struct api_answer *a)
{
	const json_t *error = json_object_get(a->body, "error"), *at = json_object_get(error, "at");
	bool of_query = a->status == 400 && strcmp(json_member(error, "field"), "q") == 0;

	fputs("faultline signatures: ", stderr);
	print_text(stderr, of_query ? json_member(error, "message") : a->error);
	fputc('\n', stderr);
	if (of_query && json_is_integer(at)) {
		const char *s = q->query;
		struct glyph g;
		int column = 0;

		for (json_int_t i = json_integer_value(at); i > 0 && *s != '\0'; i--, s += g.taken) {
			glyph_next(s, &g);
			column += g.columns;
		}
		fputs("  ", stderr);
		print_text(stderr, q->query);
		fprintf(stderr, "\n  %*s^\n", column, "");
	}
	return of_query ? USAGE : REFUSED;
}

/* ---- the table ---- */

/* "new", "=", "▲12", "▼3" against the 12 hours before; "back": it crashed before, but not then. */
static void
movement(const json_t *row, int64_t now_us, char buf[FIGURE_SIZE])
{
	const json_t *before = json_object_get(row, "rank_before");
	long long by = json_count(row, "rank_before") - json_count(row, "rank");
	int64_t first_us;

	if (!json_is_integer(json_object_get(row, "rank")))
		snprintf(buf, FIGURE_SIZE, "–");
	else if (json_is_integer(before))
		snprintf(buf, FIGURE_SIZE, by > 0 ? "▲%lld" : by < 0 ? "▼%lld" : "=", by < 0 ? -by : by);
	else if (clock_parse_rfc3339(json_member(row, "first_seen"), &first_us) == 0 &&
		 now_us - first_us < 12ll * 3600 * 1000000)
		snprintf(buf, FIGURE_SIZE, "new");
	else
		snprintf(buf, FIGURE_SIZE, "back");
}

static void
count_column(struct screen *s, const json_t *row, const char *key, int width)
{
	char buf[FIGURE_SIZE];
	const json_t *v = json_object_get(row, key);

	screen_right(s, json_is_integer(v) ? figure_count(json_integer_value(v), buf) : "", width);
}

static void
print_row(struct screen *s, const json_t *row, int64_t now_us, int title)
{
	const json_t *d = json_object_get(row, "deployment");
	char buf[FIGURE_SIZE];

	count_column(s, row, "rank", 6);
	screen_space(s, 1);
	movement(row, now_us, buf);
	screen_text(s, buf, 6, true);
	screen_text(s, json_member(row, "title"), title, true);
	screen_space(s, 1);
	screen_text(s, json_member(row, "kind"), 13, true);
	count_column(s, row, "hosts", 9);
	count_column(s, row, "sites", 7);
	count_column(s, row, "reports", 9);
	screen_right(s, figure_age(json_member(row, "first_seen"), now_us, buf), 8);
	screen_right(s, figure_age(json_member(row, "last_seen"), now_us, buf), 8);
	count_column(s, row, "builds", 7);
	screen_space(s, 1);
	screen_spark(s, json_object_get(row, "hours"), 24, true);
	if (json_is_object(d)) {
		screen_space(s, 1);
		screen_text(s, json_member(d, "id"), s->width, false);
		screen_text(s, " ", 1, false);
		screen_text(s, json_member(d, "status"), s->width, false);
	}
	screen_end_line(s);
	screen_space(s, 14);
	screen_text(s, json_member(row, "id"), 20, true);
	screen_space(s, 1);
	screen_text(s, json_member(row, "reason"), s->width, false);
	screen_end_line(s);
}

static void
print_facets(struct screen *s, const json_t *facets)
{
	const char *name;
	const json_t *list, *value;
	char buf[FIGURE_SIZE], *line;
	size_t i, len;
	FILE *f;

	json_object_foreach((json_t *)(uintptr_t)facets, name, list)
	{
		if ((f = open_memstream(&line, &len)) == NULL)
			return;
		json_array_foreach(list, i, value)
		{
			fputs(i > 0 ? ", " : "", f);
			print_text(f, json_member(value, "value"));
			fprintf(f, " %s", figure_count(json_count(value, "signatures"), buf));
		}
		fclose(f);
		screen_text(s, name, FACET_NAME, true);
		if (*line == '\0')
			screen_end_line(s);
		else
			screen_wrapped(s, line, FACET_NAME, FACET_LINES);
		free(line);
	}
}

/* Bytes of so many characters. */
static size_t
characters(const char *s, json_int_t n)
{
	const char *at = s;

	for (struct glyph g; n > 0 && *at != '\0'; n--, at += g.taken)
		glyph_next(at, &g);
	return (size_t)(at - s);
}

bool
signatures_obstacle(const json_t *answer, const char *query, char *buf, size_t size)
{
	const json_t *parsed = json_object_get(answer, "parsed"), *term, *widest = NULL;
	char count[FIGURE_SIZE];
	size_t i;

	json_array_foreach(parsed, i, term) if (json_count(term, "without") > json_count(widest, "without")) widest =
		term;
	if (widest == NULL)
		return false;
	query += characters(query, json_count(widest, "at"));
	snprintf(buf, size, "Widest part of the query: %.*s (removing it gives %s)",
		 (int)characters(query, json_count(widest, "length")), query,
		 figure_count(json_count(widest, "without"), count));
	return true;
}

static void
print_nothing(const struct asked *q, const json_t *answer)
{
	char obstacle[QUERY_SIZE + 128];

	fputs("No signature matches.", stdout);
	if (signatures_obstacle(answer, q->query, obstacle, sizeof(obstacle))) {
		fputs("  ", stdout);
		print_text(stdout, obstacle);
	}
	putchar('\n');
}

static int
title_width(const struct screen *s)
{
	int title = s->width - 14 - 13 - 49 - 26 - 24;

	return title < 32 ? 32 : title > 72 ? 72 : title;
}

static void
print_heading(struct screen *s)
{
	char line[256];

	snprintf(line, sizeof(line), "%6s %-6s%-*s %-13s%9s%7s%9s%8s%8s%7s %-24s DEPLOYMENT", "RANK", "MOVED",
		 title_width(s), "SIGNATURE", "KIND", "HOSTS", "SITES", "REPORTS", "FIRST", "LAST", "BUILDS",
		 "LAST 24 H");
	screen_text(s, line, s->width, false);
	screen_end_line(s);
}

static struct screen
paper(void)
{
	struct screen s = { .out = stdout, .width = PAPER, .rows = 1 << 30 };
	struct winsize w;

	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 80)
		s.width = w.ws_col;
	return s;
}

/* One page; *printed counts rows.  The cursor of the next page, or "". */
static void
print_page(const struct asked *q, const json_t *answer, long *printed, char *next, size_t next_size)
{
	const json_t *rows = json_object_get(answer, "signatures"), *row;
	struct screen s = paper();
	int64_t now_us;
	size_t i;

	if (clock_parse_rfc3339(json_member(json_object_get(answer, "freshness"), "time"), &now_us) != 0)
		now_us = clock_wall_us();
	if (*printed == 0 && json_array_size(rows) > 0)
		print_heading(&s);
	json_array_foreach(rows, i, row)
	{
		if (q->limit != 0 && *printed >= q->limit)
			break;
		print_row(&s, row, now_us, title_width(&s));
		++*printed;
	}
	snprintf(next, next_size, "%s", json_member(answer, "next"));
}

static void
print_total(const json_t *answer, long printed)
{
	const json_t *total = json_object_get(answer, "total");
	char of[FIGURE_SIZE], n[FIGURE_SIZE];

	if (!json_is_integer(total))
		return;
	figure_count(json_integer_value(total), of);
	if (printed < json_integer_value(total))
		printf("%s of %s signatures; --limit shows more\n", figure_count(printed, n), of);
	else
		printf("%s signature%s\n", of, printed == 1 ? "" : "s");
}

/* ---- asking ---- */

static int
table(const struct asked *q, struct api_client *client)
{
	char path[512], cursor[128] = "";
	long printed = 0, page;

	do {
		struct api_answer a;
		bool last;

		page = q->limit == 0 || q->limit - printed > PAGE_MAX ? PAGE_MAX : q->limit - printed;
		snprintf(path, sizeof(path), "/v1/signatures?sort=%s&group=%s&limit=%ld%s%s%s&q=%%s", q->sort, q->group,
			 page, q->facets && printed == 0 ? "&facets=1" : "", *cursor != '\0' ? "&cursor=" : "", cursor);
		if (!api_request(client, "GET", path, q->query, NULL, NULL, TIMEOUT_MS, &a)) {
			int status = complain(q, &a);

			api_answer_fini(&a);
			return status;
		}
		if (json_object_get(a.body, "parsed") == NULL) { /* it would give all for any query */
			fputs("faultline signatures: this server does not search\n", stderr);
			api_answer_fini(&a);
			return REFUSED;
		}
		if (q->json) {
			json_dumpf(a.body, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
			putchar('\n');
			printed = (long)json_array_size(json_object_get(a.body, "signatures"));
			api_answer_fini(&a);
			break;
		}
		if (q->facets && printed == 0) {
			struct screen s = paper();

			print_facets(&s, json_object_get(a.body, "facets"));
			putchar('\n');
		}
		print_page(q, a.body, &printed, cursor, sizeof(cursor));
		last = *cursor == '\0' || strpbrk(cursor, "%&#") != NULL || (q->limit != 0 && printed >= q->limit);
		if (last && printed == 0)
			print_nothing(q, a.body);
		else if (last)
			print_total(a.body, printed);
		api_answer_fini(&a);
		if (last)
			break;
	} while (true);
	return printed > 0 ? FOUND : NOTHING;
}

/* All rows, as the server writes them. */
static int export(const struct asked *q, struct api_client *client)
{
	struct api_answer a;
	char path[256];
	int status = FOUND;

	snprintf(path, sizeof(path), "/v1/signatures.%s?sort=%s&group=%s&q=%%s", q->csv ? "csv" : "json", q->sort,
		 q->group);
	if (!api_download(client, path, q->query, stdout, &a))
		status = complain(q, &a);
	else if (fflush(stdout) != 0)
		status = REFUSED;
	api_answer_fini(&a);
	return status;
}

static const char *
one_of(const char *word, const char *const *words, const char *option)
{
	for (size_t i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], word) == 0)
			return words[i];
	fprintf(stderr, "faultline signatures: %s wants", option);
	for (size_t i = 0; words[i] != NULL; i++)
		fprintf(stderr, "%s %s", i == 0 ? "" : words[i + 1] == NULL ? " or" : ",", words[i]);
	fputc('\n', stderr);
	return NULL;
}

static bool
parse_limit(struct asked *q, const char *text)
{
	char *end;

	if (strcmp(text, "all") == 0) {
		q->limit = 0;
		return true;
	}
	q->limit = strtol(text, &end, 10);
	if (*text >= '0' && *text <= '9' && *end == '\0' && q->limit >= 1 && q->limit <= LIMIT_MAX)
		return true;
	fprintf(stderr, "faultline signatures: --limit wants 1 to %d, or all\n", LIMIT_MAX);
	return false;
}

static bool
parse_option(struct asked *q, int o)
{
	switch (o) {
	case 'S':
		return (q->sort = one_of(optarg, sorts, "--sort")) != NULL;
	case 'g':
		return (q->group = one_of(optarg, groups, "--group")) != NULL;
	case 'l':
		return parse_limit(q, optarg);
	case 'f':
		q->facets = true;
		return true;
	case 'j':
		q->json = true;
		return true;
	case 'c':
		q->csv = true;
		return true;
	case 's':
		q->server = optarg;
		return true;
	case 't':
		q->token_file = optarg;
		return true;
	case 'h':
		fputs(help, stdout);
		exit(0);
	default:
		return false;
	}
}

static bool
parse(struct asked *q, int argc, char **argv)
{
	static const struct option options[] = {
		{ "sort", required_argument, NULL, 'S' },   { "group", required_argument, NULL, 'g' },
		{ "limit", required_argument, NULL, 'l' },  { "facets", no_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },         { "csv", no_argument, NULL, 'c' },
		{ "server", required_argument, NULL, 's' }, { "token-file", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	size_t len = 0;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1)
		if (!parse_option(q, o))
			return false;
	if (q->json && q->csv) {
		fputs("faultline signatures: --json or --csv, not both\n", stderr);
		return false;
	}
	if (q->json && q->limit > PAGE_MAX) {
		fprintf(stderr, "faultline signatures: --json has a --limit of at most %d, or all\n", PAGE_MAX);
		return false;
	}
	for (; optind < argc; optind++) {
		int n = snprintf(q->query + len, sizeof(q->query) - len, "%s%s", len > 0 ? " " : "", argv[optind]);

		if ((size_t)n >= sizeof(q->query) - len) {
			fputs("faultline signatures: the query is too long\n", stderr);
			return false;
		}
		len += (size_t)n;
	}
	return true;
}

int
cmd_signatures(int argc, char **argv)
{
	struct asked q = { .sort = "hosts", .group = "signature", .limit = 50 };
	struct api_client *client;
	char err[256];
	int status;

	if (!parse(&q, argc, argv))
		return USAGE;
	if ((client = api_client_new(q.server, q.token_file, err, sizeof(err))) == NULL) {
		fprintf(stderr, "faultline signatures: %s\n", err);
		return USAGE;
	}
	status = q.csv || (q.json && q.limit == 0) ? export(&q, client) : table(&q, client);
	api_client_free(client);
	return status;
}
