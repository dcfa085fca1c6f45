/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "cli/api_client.h"
#include "cli/dumpfile.h"
#include "cli/symbol_files.h"
#include "cli/triage.h"
#include "cli/triage_diff.h"
#include "cli/triage_json.h"
#include "cli/triage_text.h"

/* What one invocation is asked for. */
struct triage_command {
	bool json, modules, brief, diff, threads;
	struct symbol_files *symbols;
	char *dirs; /* that they are from */
};

/* A dump and what triage says of it. */
struct analysed {
	struct dumpfile file;
	struct arena *arena;
	struct triage_result r;
};

static void
analysed_drop(struct analysed *x)
{
	dumpfile_close(&x->file);
	arena_free(x->arena);
}

/* NULL, or what is wrong; drop x in either case. */
static const char *
analyse(const struct triage_command *cmd, const char *path, struct analysed *x)
{
	const struct triage_options opt = { .images = symbol_files_images(cmd->symbols), .all_threads = cmd->threads };
	struct diag diag = { ERR_OK, "", 0 };
	bool truncated = false;
	const char *why, *cut;

	*x = (struct analysed){ .arena = arena_new(cmd->threads ? TRIAGE_ARENA_ALL_BYTES : TRIAGE_ARENA_BYTES) };
	why = x->arena == NULL ? "out of memory" : dumpfile_open(path, &x->file);
	if (why == NULL)
		why = dumpfile_expand(&x->file, &truncated, &diag);
	cut = diag.what;
	if (why == NULL && triage_run(x->arena, x->file.p, x->file.size, &opt, &x->r, &diag) != ERR_OK)
		why = diag.what;
	if (why == NULL && truncated && !x->r.partial) {
		x->r.partial = true;
		x->r.partial_what = cut;
	}
	return why;
}

/* Returns whether the file could be read. */
static bool
triage_file(const struct triage_command *cmd, const char *path)
{
	struct analysed x;
	const char *why = analyse(cmd, path, &x);

	if (cmd->json) {
		json_t *o = json_object();

		json_object_set_new(o, "file", triage_json_name(path));
		if (why == NULL)
			triage_json(o, &x.r, cmd->modules);
		else
			json_object_set_new(o, "error", json_string(why));
		json_dumpf(o, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(o);
	} else if (why != NULL) {
		print_failure(path, why);
	} else if (cmd->brief) {
		triage_print_line(path, &x.r);
	} else {
		triage_print(path, &x.r, cmd->modules);
	}
	analysed_drop(&x);
	return why == NULL;
}

/* Exit status as diff(1). */
static int
diff(const struct triage_command *cmd, char *const paths[2])
{
	struct analysed x[2];
	int status = 2;
	bool good = true;

	for (int i = 0; i < 2; i++) {
		const char *why = analyse(cmd, paths[i], &x[i]);

		if (why != NULL)
			print_failure(paths[i], why);
		good &= why == NULL;
	}
	if (good)
		status = triage_diff(&x[0].r, &x[1].r, cmd->json) ? 0 : 1;
	analysed_drop(&x[0]);
	analysed_drop(&x[1]);
	return fflush(stdout) == 0 ? status : 2;
}

static void
usage(FILE *f)
{
	fputs("usage: faultline triage [--json] [--brief | --stack] [--all-threads] [--modules] [--symbols DIR] FILE...\n"
	      "       faultline triage --diff [--json] [--symbols DIR] FILE FILE\n"
	      "Say what crashed, in minidumps, ELF cores, Windows kernel dumps, and in text: Linux kernel logs, Apple crash\n"
	      "reports and panics, Android tombstones (also protobuf), Breakpad microdumps, bugcheck and crash events of the\n"
	      "Windows event log; as they are or in gzip, zstd, xz, bzip2, a cabinet or an upload form.\n"
	      "- reads standard input.  One file is shown with its stack, several with a line each.\n"
	      "  --json      one JSON object per file, each on its line\n"
	      "  --brief     a line per file, also for one\n"
	      "  --stack     the stack, also for several\n"
	      "  --all-threads  stacks of all threads\n"
	      "  --modules   list every module too\n"
	      "  --symbols DIR  unwind by, and take names from, images and symbols there; also DIR:DIR, or again, see faultline-symbols(1)\n"
	      "  --diff      are these the same crash? why not?\n"
	      "Exit status: 0 all files were read, 1 one was not, 2 wrong usage;\n"
	      "with --diff 0 the same crash, 1 not, 2 a file could not be read.\n",
	      f);
}

/* Directories beside those given before. */
static bool
add_symbols(struct triage_command *cmd, const char *dirs)
{
	const char *why = "out of memory";
	char *all = NULL;

	if (asprintf(&all, "%s%s%s", cmd->dirs != NULL ? cmd->dirs : "", cmd->dirs != NULL ? ":" : "", dirs) < 0)
		all = NULL;
	free(cmd->dirs);
	cmd->dirs = all;
	symbol_files_close(cmd->symbols);
	cmd->symbols = all != NULL ? symbol_files_open(all, &why) : NULL;
	if (cmd->symbols == NULL)
		print_failure(dirs, why);
	return cmd->symbols != NULL;
}

int
cmd_triage(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "modules", no_argument, NULL, 'm' },
		{ "brief", no_argument, NULL, 'b' },
		{ "stack", no_argument, NULL, 's' },
		{ "diff", no_argument, NULL, 'd' },
		{ "all-threads", no_argument, NULL, 'a' },
		{ "symbols", required_argument, NULL, 'S' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct triage_command cmd = { 0 };
	bool all = true, stack = false;
	int c, status;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			cmd.json = true;
			break;
		case 'm':
			cmd.modules = true;
			break;
		case 'b':
			cmd.brief = true;
			break;
		case 's':
			stack = true;
			break;
		case 'd':
			cmd.diff = true;
			break;
		case 'a':
			cmd.threads = true;
			break;
		case 'S':
			if (!add_symbols(&cmd, optarg))
				return 2;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc || (cmd.diff && argc - optind != 2) || (stack && cmd.brief)) {
		usage(stderr);
		return 2;
	}
	if (cmd.diff) {
		status = diff(&cmd, argv + optind);
		symbol_files_close(cmd.symbols);
		free(cmd.dirs);
		return status;
	}
	cmd.brief |= argc - optind > 1 && !stack && !cmd.modules && !cmd.threads;
	for (int i = optind; i < argc; i++)
		all &= triage_file(&cmd, argv[i]);
	symbol_files_close(cmd.symbols);
	free(cmd.dirs);
	if (fflush(stdout) != 0)
		return 1;
	return all ? 0 : 1;
}
