/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli/dumpfile.h"
#include "cli/triage.h"
#include "triage/bugcheck.h"
#include "triage/triage.h"

/* ---- output ---- */

static json_t *
hex_json(uint64_t v)
{
	return json_sprintf("0x%" PRIx64, v);
}

/* File names are bytes: whatever is not UTF-8 is shown as U+FFFD. */
static json_t *
name_json(const char *name)
{
	size_t len = strlen(name), out = 0;
	char *s = malloc(3 * len + 1);
	json_t *j;

	if (s == NULL)
		return NULL;
	for (size_t i = 0; i < len;) {
		size_t n = text_utf8_sequence(name + i, len - i);

		memcpy(s + out, n ? name + i : "\xef\xbf\xbd", n ? n : 3);
		out += n ? n : 3;
		i += n ? n : 1;
	}
	j = json_stringn(s, out);
	free(s);
	return j;
}

static const char *
base_name(const char *path)
{
	const char *p = path;

	for (; *path != '\0'; path++)
		if (*path == '/' || *path == '\\')
			p = path + 1;
	return p;
}

static json_t *
text_or_null(const char *s)
{
	return *s != '\0' ? json_string(s) : json_null();
}

static json_t *
frames_json(const struct triage_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_frames; i++) {
		const struct triage_frame *f = &r->frames[i];
		json_t *o = json_object();

		if (f->module >= 0) {
			json_object_set_new(o, "module", json_string(base_name(r->modules[f->module].path)));
			json_object_set_new(o, "module_offset", f->in_function ? json_null() : hex_json(f->offset));
		} else {
			json_object_set_new(o, "module", json_null());
			json_object_set_new(o, "module_offset", json_null());
			json_object_set_new(o, "address", hex_json(f->pc));
		}
		json_object_set_new(o, "trust", json_string(triage_trust_name(f->trust)));
		if (*f->function != '\0')
			json_object_set_new(o, "function", json_string(f->function));
		if (f->in_function)
			json_object_set_new(o, "function_offset", hex_json(f->offset));
		json_array_append_new(list, o);
	}
	return list;
}

/* Ids of the module of the top frame, as symbol servers and people write them. */
static json_t *
module_json(const struct triage_module *m)
{
	json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "name", base_name(m->path), "path", m->path,
			      "code_id", text_or_null(m->code_id), "debug_id", text_or_null(m->debug_id), "version",
			      text_or_null(m->version), "base", hex_json(m->base), "size", hex_json(m->size));

	if (m->checksum != 0)
		json_object_set_new(o, "checksum", hex_json(m->checksum));
	return o;
}

static json_t *
bugcheck_json(const struct triage_kernel *k)
{
	const struct bugcheck *b = bugcheck_find(k->bugcheck);
	const char *name = bugcheck_name(k->bugcheck);
	json_t *params = json_array();

	for (unsigned i = 0; i < 4; i++) {
		const char *value = bugcheck_value(k->bugcheck, i, k->params[i]);
		json_t *p = json_object();

		json_object_set_new(p, "value", hex_json(k->params[i]));
		json_object_set_new(p, "meaning", text_or_null(b->meaning[i]));
		if (value != NULL)
			json_object_set_new(p, "value_meaning", json_string(value));
		json_array_append_new(params, p);
	}
	return json_pack("{s:o, s:o, s:o}", "code", hex_json(k->bugcheck), "name",
			 text_or_null(name != NULL ? name : ""), "params", params);
}

static json_t *
kernel_json(const struct triage_kernel *k)
{
	json_t *o = json_object(), *unloaded = json_array();

	json_object_set_new(o, "kind", json_string(k->kind));
	json_object_set_new(o, "registers_from", text_or_null(k->how));
	json_object_set_new(o, "build", text_or_null(k->build));
	json_object_set_new(o, "process", text_or_null(k->process));
	json_object_set_new(o, "processors", json_integer(k->processors));
	json_object_set_new(o, "processor", k->processor >= 0 ? json_integer(k->processor) : json_null());
	json_object_set_new(o, "uptime_seconds", json_integer((json_int_t)k->uptime));
	for (size_t i = 0; i < k->n_unloaded; i++)
		json_array_append_new(unloaded,
				      json_pack("{s:s, s:o, s:o}", "name", k->unloaded[i].name, "start",
						hex_json(k->unloaded[i].start), "end", hex_json(k->unloaded[i].end)));
	json_object_set_new(o, "unloaded_modules", unloaded);
	return o;
}

static json_t *
signature_json(const struct triage_result *r)
{
	char id[SIGNATURE_ID_LEN];
	json_t *o;

	if (!r->has_signature)
		return json_null();
	o = json_object();
	json_object_set_new(o, "module", text_or_null(r->module));
	json_object_set_new(o, "module_id", text_or_null(r->module_id));
	json_object_set_new(o, "offset", hex_json(r->offset));
	json_object_set_new(o, "class", json_string(reason_class_name(r->class)));
	json_object_set_new(o, "title", json_string(r->title));
	json_object_set_new(o, "id", json_string(signature_id_text(r->signature, id)));
	json_object_set_new(o, "frame", r->blamed >= 0 ? json_integer(r->blamed) : json_null());
	json_object_set_new(o, "rule", json_string(r->blame_rule));
	return o;
}

static void
add_result(json_t *o, const struct triage_result *r, bool all_modules)
{
	json_object_set_new(o, "format", json_string(triage_format_name(r->format)));
	json_object_set_new(o, "os", json_string(triage_os_name(r->os)));
	json_object_set_new(o, "os_version", text_or_null(r->os_version));
	json_object_set_new(o, "arch", json_string(triage_arch_name(r->arch)));
	json_object_set_new(o, "reason", text_or_null(r->reason));
	json_object_set_new(o, "address", r->has_address ? hex_json(r->address) : json_null());
	json_object_set_new(o, "crashing_thread",
			    r->crashing_thread >= 0 ? json_integer(r->crashing_thread) : json_null());
	json_object_set_new(o, "thread_count", json_integer(r->thread_count));
	json_object_set_new(o, "module_count", json_integer(r->module_count));
	json_object_set_new(o, "frames", frames_json(r));
	json_object_set_new(o, "faulting_module",
			    r->n_frames > 0 && r->frames[0].module >= 0 ? module_json(&r->modules[r->frames[0].module])
									: json_null());
	json_object_set_new(o, "signature", signature_json(r));
	if (r->has_kernel) {
		json_object_set_new(o, "bugcheck", bugcheck_json(&r->kernel));
		json_object_set_new(o, "kernel", kernel_json(&r->kernel));
	}
	if (r->n_annotations > 0) {
		json_t *notes = json_object();

		for (size_t i = 0; i < r->n_annotations; i++)
			json_object_set_new(notes, r->annotations[i].key, json_string(r->annotations[i].value));
		json_object_set_new(o, "annotations", notes);
	}
	if (all_modules) {
		json_t *list = json_array();

		for (size_t i = 0; i < r->n_modules; i++)
			json_array_append_new(list, module_json(&r->modules[i]));
		json_object_set_new(o, "modules", list);
	}
	json_object_set_new(o, "partial", json_boolean(r->partial));
	if (r->partial)
		json_object_set_new(o, "partial_reason", json_string(r->partial_what));
}

/* Dumps come from anywhere: no control character reaches the terminal. */
static void
print_text(const char *s)
{
	for (; *s != '\0'; s++)
		putchar((unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s);
}

static void
print_line(const char *file, const struct triage_result *r)
{
	char id[SIGNATURE_ID_LEN];

	print_text(file);
	printf(": %s %s %s: ", triage_format_name(r->format), triage_os_name(r->os), triage_arch_name(r->arch));
	print_text(*r->reason != '\0' ? r->reason : "no crash recorded");
	if (r->has_address && !r->has_kernel) /* whose reason says it */
		printf(" at 0x%" PRIx64, r->address);
	if (r->has_signature)
		printf(" in %s [%s]", r->title, signature_id_text(r->signature, id));
	if (r->crashing_thread >= 0)
		printf(", thread %d of %u", r->crashing_thread, r->thread_count);
	else
		printf(", %u threads", r->thread_count);
	printf(", %zu frames, %u modules%s%s\n", r->n_frames, r->module_count, r->partial ? ", partial: " : "",
	       r->partial_what);
}

struct triage_command {
	bool json, modules;
};

/* Returns whether the file could be read. */
static bool
triage_file(const struct triage_command *cmd, const char *path)
{
	struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
	json_t *o = cmd->json ? json_object() : NULL;
	struct triage_result r;
	struct diag diag = { ERR_OK, "", 0 };
	struct dumpfile im = { 0 };
	bool truncated = false;
	const char *why = a == NULL ? "out of memory" : dumpfile_open(path, &im);

	if (why == NULL)
		why = dumpfile_expand(&im, &truncated, &diag);
	if (why == NULL && triage_run(a, im.p, im.size, NULL, &r, &diag) != ERR_OK)
		why = diag.what;
	if (why == NULL && truncated && !r.partial) {
		r.partial = true;
		r.partial_what = "the compressed data ends early";
	}
	if (cmd->json) {
		json_object_set_new(o, "file", name_json(path));
		if (why == NULL)
			add_result(o, &r, cmd->modules);
		else
			json_object_set_new(o, "error", json_string(why));
		json_dumpf(o, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(o);
	} else if (why == NULL) {
		print_line(path, &r);
	} else {
		fprintf(stderr, "faultline: %s: %s\n", path, why);
	}
	dumpfile_close(&im);
	arena_free(a);
	return why == NULL;
}

static void
usage(FILE *f)
{
	fputs("usage: faultline triage [--json] [--modules] FILE...\n"
	      "Say what crashed: minidumps, ELF cores and Windows kernel dumps, also gzip or zstd compressed; - reads standard input.\n"
	      "  --json      one JSON object per file, each on its line\n"
	      "  --modules   with --json, list every module\n"
	      "Exit status: 0 all files were read, 1 one was not, 2 wrong usage.\n",
	      f);
}

int
cmd_triage(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "modules", no_argument, NULL, 'm' },
						 { "help", no_argument, NULL, 'h' },
						 { NULL, 0, NULL, 0 } };
	struct triage_command cmd = { 0 };
	bool all = true;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			cmd.json = true;
			break;
		case 'm':
			cmd.modules = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return 2;
	}
	for (int i = optind; i < argc; i++)
		all &= triage_file(&cmd, argv[i]);
	if (fflush(stdout) != 0)
		return 1;
	return all ? 0 : 1;
}
