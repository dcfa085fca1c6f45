/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fts.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/symbols.h"
#include "triage/images.h"

#define TIMEOUT_MS 30000

static const char help[] =
	"usage: faultline symbols add [--server URL] [--token-file FILE] [--quiet] FILE|DIR...\n"
	"       faultline symbols list [--server URL] [--token-file FILE] [--json]\n"
	"       faultline symbols rm [--server URL] [--token-file FILE] SHA256|ID...\n"
	"       faultline symbols id FILE...\n\n"
	"Programs, libraries, drivers and symbol files in the server's store: ELF, PE, Breakpad .sym.\n\n"
	"  add   send files; of a directory everything below it that is one, the rest is passed over\n"
	"  list  what is there\n"
	"  rm    remove by hash (64 hex digits), or everything with a build id or debug id\n"
	"  id    say what files are, without a server\n\n"
	"  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --json            the server's own words, a line per file\n"
	"  --quiet           print errors only\n"
	"Exit status: 0 done, 1 something was refused or not found, 2 wrong usage or no server.\n";

struct command {
	struct api_client *client;
	const char *server, *token_file;
	bool json, quiet, failed;
	size_t added, known, passed_over;
};

/* ---- files ---- */

/* What a file is; NULL, or why it is nothing for us. */
static const char *
identify(const char *path, uint64_t *size_out, struct image_identity *out)
{
	struct diag diag = { .what = "" };
	const char *why = NULL;
	struct stat st;
	FILE *f = fopen(path, "re");
	void *p;

	if (f == NULL || fstat(fileno(f), &st) == -1) {
		why = strerror(errno);
	} else if (!S_ISREG(st.st_mode)) {
		why = "not a file";
	} else if (st.st_size == 0) {
		why = "empty";
	} else if ((p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fileno(f), 0)) == MAP_FAILED) {
		why = strerror(errno);
	} else {
		if (image_identify(p, (size_t)st.st_size, out, &diag) != ERR_OK)
			why = diag.what;
		*size_out = (uint64_t)st.st_size;
		munmap(p, (size_t)st.st_size);
	}
	if (f != NULL)
		fclose(f);
	return why;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void
print_identity(const char *path, const struct image_identity *id)
{
	print_text(stdout, path);
	printf(": %s %s, %s%s%s%s%s%s\n",
	       id->kind == IMAGE_SYM ? "breakpad"
	       : id->key.pe          ? "pe"
				     : "elf",
	       image_kind_name(id->kind), triage_arch_name(id->arch), id->key.code_id[0] != '\0' ? ", id " : "",
	       id->key.code_id, id->key.debug_id[0] != '\0' ? ", debug id " : "", id->key.debug_id,
	       id->has_unwind && id->has_functions ? ", unwind data, functions"
	       : id->has_unwind                    ? ", unwind data"
	       : id->has_functions                 ? ", functions"
						   : "");
}

/* ---- add ---- */

static void
add_file(struct command *c, const char *path, bool named)
{
	struct image_identity id;
	struct api_answer a;
	uint64_t size = 0;
	const char *why = identify(path, &size, &id);
	FILE *f;

	if (why != NULL) {
		c->passed_over++;
		if (named) {
			fprintf(stderr, "faultline symbols: %s: %s\n", path, why);
			c->failed = true;
		}
		return;
	}
	if ((f = fopen(path, "re")) == NULL) {
		fprintf(stderr, "faultline symbols: %s: %s\n", path, strerror(errno));
		c->failed = true;
		return;
	}
	if (!api_put_file(c->client, "/v1/symbols/%s", base_name(path), f, size, &a)) {
		fprintf(stderr, "faultline symbols: %s: ", path);
		print_text(stderr, a.error);
		fputc('\n', stderr);
		c->failed = true;
		if (a.status == 0) /* nobody there */
			exit(2);
	} else {
		bool known = json_is_true(json_object_get(a.body, "duplicate"));

		c->added += !known;
		c->known += known;
		if (!c->quiet)
			print_identity(path, &id);
	}
	api_answer_fini(&a);
	fclose(f);
}

static void
add_tree(struct command *c, char *path)
{
	char *const paths[] = { path, NULL };
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *e;

	while (tree != NULL && (e = fts_read(tree)) != NULL)
		if (e->fts_info == FTS_F && e->fts_statp->st_size > 0)
			add_file(c, e->fts_path, false);
	if (tree != NULL)
		fts_close(tree);
}

static void
add(struct command *c, char **paths)
{
	struct stat st;

	for (; *paths != NULL; paths++)
		if (stat(*paths, &st) == 0 && S_ISDIR(st.st_mode))
			add_tree(c, *paths);
		else
			add_file(c, *paths, true);
	if (!c->quiet)
		printf("%zu added, %zu there before, %zu other files passed over\n", c->added, c->known,
		       c->passed_over);
}

/* ---- list and rm ---- */

static void
print_row(const struct command *c, const json_t *row)
{
	if (c->json) {
		json_dumpf(row, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	print_column(stdout, json_member(row, "sha256"), 13, true);
	printf("  %-8s  %-5s  %-6s  ", json_member(row, "format"), json_member(row, "kind"), json_member(row, "arch"));
	print_column(stdout,
		     *json_member(row, "code_id") != '\0' ? json_member(row, "code_id") : json_member(row, "debug_id"),
		     40, true);
	printf("  %10lld  ", json_count(row, "bytes"));
	print_text(stdout, json_member(row, "name"));
	putchar('\n');
}

/* Call row for everything in the store; false: no answer. */
static bool
each_row(struct command *c, void (*visit)(struct command *c, const json_t *row, const char *arg), const char *arg)
{
	char path[128] = "/v1/symbols?limit=500";

	for (;;) {
		struct api_answer a;
		const json_t *row;
		size_t i;

		if (!api_request(c->client, "GET", path, NULL, NULL, NULL, TIMEOUT_MS, &a)) {
			fprintf(stderr, "faultline symbols: %s\n", a.error);
			api_answer_fini(&a);
			return false;
		}
		json_array_foreach(json_object_get(a.body, "symbols"), i, row) visit(c, row, arg);
		snprintf(path, sizeof(path), "/v1/symbols?limit=500&cursor=%.64s", json_member(a.body, "next"));
		i = strlen(json_member(a.body, "next"));
		api_answer_fini(&a);
		if (i == 0)
			return true;
	}
}

static void
list_row(struct command *c, const json_t *row, const char *arg)
{
	(void)arg;
	print_row(c, row);
}

static void
remove_hash(struct command *c, const char *sha256)
{
	struct api_answer a;

	if (api_request(c->client, "DELETE", "/v1/symbols/%s", sha256, NULL, NULL, TIMEOUT_MS, &a)) {
		c->added++;
	} else {
		fprintf(stderr, "faultline symbols: %s: %s\n", sha256, a.error);
		c->failed = true;
	}
	api_answer_fini(&a);
}

static void
remove_row(struct command *c, const json_t *row, const char *id)
{
	if (strcasecmp(json_member(row, "code_id"), id) == 0 || strcasecmp(json_member(row, "debug_id"), id) == 0)
		remove_hash(c, json_member(row, "sha256"));
}

static bool
rm(struct command *c, char **ids)
{
	for (; *ids != NULL; ids++) {
		const size_t before = c->added;

		if (strlen(*ids) == 64) {
			remove_hash(c, *ids);
			continue;
		}
		if (!each_row(c, remove_row, *ids))
			return false;
		if (c->added == before) {
			fprintf(stderr, "faultline symbols: nothing with id %s\n", *ids);
			c->failed = true;
		}
	}
	return true;
}

/* ---- the command ---- */

static void
say_ids(struct command *c, char **paths)
{
	for (; *paths != NULL; paths++) {
		struct image_identity id;
		uint64_t size;
		const char *why = identify(*paths, &size, &id);

		if (why == NULL) {
			print_identity(*paths, &id);
			continue;
		}
		fprintf(stderr, "faultline symbols: %s: %s\n", *paths, why);
		c->failed = true;
	}
}

static int
parse(struct command *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' }, { "token-file", required_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },         { "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (o) {
		case 's':
			c->server = optarg;
			break;
		case 't':
			c->token_file = optarg;
			break;
		case 'j':
			c->json = true;
			break;
		case 'q':
			c->quiet = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			return -1;
		}
	return 0;
}

int
cmd_symbols(int argc, char **argv)
{
	struct command c = { 0 };
	const char *verb;
	char **rest, err[256];
	bool lists, good = true;

	if (parse(&c, argc, argv) != 0)
		return 2;
	verb = optind < argc ? argv[optind] : "";
	rest = optind < argc ? argv + optind + 1 : argv + argc;
	lists = strcmp(verb, "list") == 0;
	if ((!lists && strcmp(verb, "add") != 0 && strcmp(verb, "rm") != 0 && strcmp(verb, "id") != 0) ||
	    lists != (*rest == NULL)) {
		fputs(help, stderr);
		return 2;
	}
	if (strcmp(verb, "id") == 0) {
		say_ids(&c, rest);
		return c.failed ? 1 : 0;
	}
	if ((c.client = api_client_new(c.server, c.token_file, err, sizeof(err))) == NULL) {
		fprintf(stderr, "faultline symbols: %s\n", err);
		return 2;
	}
	if (lists)
		good = each_row(&c, list_row, NULL);
	else if (strcmp(verb, "rm") == 0)
		good = rm(&c, rest);
	else
		add(&c, rest);
	api_client_free(c.client);
	return !good ? 2 : c.failed ? 1 : 0;
}
