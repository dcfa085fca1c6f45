/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/api_client.h"
#include "cli/dumpfile.h"
#include "cli/scrub.h"
#include "triage/scrub.h"
#include "triage/triage.h"

/* `faultline scrub`: a dump without what people may not want to keep, and with the same signature and stack. */

struct scrub_command {
	struct scrub_options what;
	const char *output; /* NULL: only say what there is */
	bool json;
};

/* What triage says of it, in an arena of its own. */
static const char *
analyse(const struct dumpfile *f, struct arena **a, struct triage_result *out)
{
	struct diag diag = { ERR_OK, "", 0 };

	if ((*a = arena_new(TRIAGE_ARENA_BYTES)) == NULL)
		return "out of memory";
	return triage_run(*a, f->p, f->size, NULL, out, &diag) == ERR_OK ? NULL : diag.what;
}

/* NULL, or what is not the same any more. */
static const char *
difference(const struct triage_result *a, const struct triage_result *b)
{
	if (a->has_signature != b->has_signature || (a->has_signature && a->signature != b->signature))
		return "the signature would change";
	if (strcmp(a->reason, b->reason) != 0 || a->address != b->address || a->blamed != b->blamed)
		return "the reason would change";
	if (a->n_frames != b->n_frames)
		return "the stack would change; leave out --stacks, or keep the heap";
	for (size_t i = 0; i < a->n_frames; i++)
		if (a->frames[i].pc != b->frames[i].pc || a->frames[i].module != b->frames[i].module ||
		    a->frames[i].offset != b->frames[i].offset || a->frames[i].trust != b->frames[i].trust)
			return "the stack would change; leave out --stacks, or keep the heap";
	if (a->n_modules != b->n_modules)
		return "the modules would change";
	for (size_t i = 0; i < a->n_modules; i++)
		if (strcmp(a->modules[i].id, b->modules[i].id) != 0 ||
		    strcmp(a->modules[i].path, b->modules[i].path) != 0)
			return "the modules would change";
	return NULL;
}

/* Whole and durable, or not at all. */
static const char *
write_file(const char *path, const struct dumpfile *f)
{
	size_t n = strlen(path) + sizeof(".part"), done = 0;
	char *part = malloc(n);
	const char *why = NULL;
	int fd;

	if (strcmp(path, "-") == 0) {
		free(part);
		return fwrite(f->p, 1, f->size, stdout) == f->size && fflush(stdout) == 0 ? NULL : strerror(errno);
	}
	if (part == NULL)
		return "out of memory";
	snprintf(part, n, "%s.part", path);
	unlink(part); /* of a run that was killed; never written through a link */
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		why = strerror(errno);
	while (why == NULL && done < f->size) {
		ssize_t w = write(fd, (const char *)f->p + done, f->size - done);

		if (w >= 0)
			done += (size_t)w;
		else if (errno != EINTR)
			why = strerror(errno);
	}
	if (why == NULL && fsync(fd) != 0)
		why = strerror(errno);
	if (fd >= 0)
		close(fd);
	if (why == NULL && rename(part, path) != 0)
		why = strerror(errno);
	if (why != NULL)
		unlink(part);
	free(part);
	return why;
}

static void
say(const struct scrub_command *cmd, const char *path, const struct scrub_counts *n, const struct triage_result *r)
{
	FILE *out = cmd->output != NULL && strcmp(cmd->output, "-") == 0 ? stderr : stdout;
	char id[SIGNATURE_ID_LEN] = "none";

	if (r->has_signature)
		signature_id_text(r->signature, id);
	if (cmd->json) {
		json_t *o = json_pack("{s:s?, s:s?, s:{s:I, s:I, s:I, s:I}, s:s}", "file", path, "output", cmd->output,
				      "overwritten", "environment", (json_int_t)n->environment, "arguments",
				      (json_int_t)n->arguments, "heap", (json_int_t)n->heap, "stacks",
				      (json_int_t)n->stacks, "signature", id);

		if (o == NULL) /* a name that is not UTF-8 */
			o = json_pack("{s:n, s:s}", "file", "signature", id);
		json_dumpf(o, out, JSON_COMPACT);
		fputc('\n', out);
		json_decref(o);
		return;
	}
	print_text(out, path);
	fprintf(out,
		": %" PRIu64 " bytes of environment, %" PRIu64 " of arguments, %" PRIu64 " of heap, %" PRIu64
		" of stacks overwritten; signature %s and stack are the same\n",
		n->environment, n->arguments, n->heap, n->stacks, id);
}

static const char *
scrub_file(const struct scrub_command *cmd, const char *path)
{
	struct arena *before = NULL, *after = NULL, *work = arena_new(TRIAGE_ARENA_BYTES);
	struct triage_result was, is;
	struct scrub_counts counts = { 0 };
	struct diag diag = { ERR_OK, "", 0 };
	struct dumpfile f = { 0 };
	bool truncated;
	const char *why = work == NULL ? "out of memory" : dumpfile_open(path, &f);

	if (why == NULL)
		why = dumpfile_expand(&f, &truncated, &diag);
	if (why == NULL)
		why = analyse(&f, &before, &was);
	if (why == NULL && scrub_dump(work, f.p, f.size, &cmd->what, &counts, &diag) != ERR_OK)
		why = diag.what;
	if (why == NULL)
		why = analyse(&f, &after, &is);
	if (why == NULL)
		why = difference(&was, &is);
	if (why == NULL && cmd->output != NULL)
		why = write_file(cmd->output, &f);
	if (why == NULL)
		say(cmd, path, &counts, &is);
	arena_free(before);
	arena_free(after);
	arena_free(work);
	dumpfile_close(&f);
	return why;
}

static void
usage(FILE *f)
{
	fputs("usage: faultline scrub [OPTIONS] -o OUTPUT FILE\n"
	      "       faultline scrub [OPTIONS] --dry-run FILE...\n"
	      "Overwrite what people may not want to keep in a minidump or an ELF core: the environment, secrets among the\n"
	      "arguments, and the heap (memory of no module and no stack).  Nothing is written unless signature, stack and\n"
	      "modules are the same as before.  The size stays; what is zero compresses well.\n"
	      "  -o, --output FILE    write here (mode 0600); - is standard output\n"
	      "  --dry-run            only say what would be overwritten\n"
	      "  --stacks             also words of stacks that are neither addresses of code or stack nor small numbers\n"
	      "  --arguments WHICH    secrets (default), all (but the program's name) or keep\n"
	      "  --keep-environment   leave the environment\n"
	      "  --keep-heap          leave the heap (environment and arguments in it are found where the dump says so)\n"
	      "  --json               say it as JSON\n"
	      "Compressed dumps are written expanded.\n"
	      "Exit status: 0 done, 1 not possible (and nothing written), 2 wrong usage.\n",
	      f);
}

static bool
parse_arguments(const char *s, enum scrub_arguments *out)
{
	static const char *const names[] = { "keep", "secrets", "all" };

	for (unsigned i = 0; i < 3; i++)
		if (strcmp(s, names[i]) == 0) {
			*out = (enum scrub_arguments)i;
			return true;
		}
	return false;
}

int
cmd_scrub(int argc, char **argv)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "stacks", no_argument, NULL, 's' },
		{ "arguments", required_argument, NULL, 'a' },
		{ "keep-environment", no_argument, NULL, 'e' },
		{ "keep-heap", no_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct scrub_command cmd = { .what = { SCRUB_ARGUMENTS_SECRETS, true, true, false } };
	bool dry = false, good = true;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			cmd.output = optarg;
			break;
		case 'n':
			dry = true;
			break;
		case 's':
			cmd.what.stacks = true;
			break;
		case 'a':
			if (!parse_arguments(optarg, &cmd.what.arguments)) {
				fputs("faultline: --arguments is secrets, all or keep\n", stderr);
				return 2;
			}
			break;
		case 'e':
			cmd.what.environment = false;
			break;
		case 'k':
			cmd.what.heap = false;
			break;
		case 'j':
			cmd.json = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc || dry == (cmd.output != NULL) || (!dry && argc - optind != 1)) {
		usage(stderr);
		return 2;
	}
	for (int i = optind; i < argc; i++) {
		const char *why = scrub_file(&cmd, argv[i]);

		if (why != NULL)
			print_failure(argv[i], why);
		good &= why == NULL;
	}
	return good && fflush(stdout) == 0 ? 0 : 1;
}
