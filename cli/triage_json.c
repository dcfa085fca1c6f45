/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/triage_json.h"
#include "triage/bugcheck.h"
#include "triage/summary.h"

static json_t *
hex_json(uint64_t v)
{
	return json_sprintf("0x%" PRIx64, v);
}

json_t *
triage_json_name(const char *name)
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
frames_json(const struct triage_result *r, const struct triage_frame *frames, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct triage_frame *f = &frames[i];
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
		else if (*f->function != '\0')
			json_object_set_new(o, "function_offset", hex_json(f->function_offset));
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

/* The image's id as symbol servers write it, when its time stamp is known. */
static json_t *
unloaded_id(const struct triage_unloaded *u)
{
	char id[32];

	if (u->timestamp == 0)
		return json_null();
	snprintf(id, sizeof(id), "%08" PRIx32 "%" PRIx64, u->timestamp, u->end - u->start);
	return json_string(id);
}

static json_t *
unloaded_json(const struct triage_unloaded *u, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "name", u[i].name, "start",
						hex_json(u[i].start), "end", hex_json(u[i].end), "size",
						hex_json(u[i].end - u[i].start), "code_id", unloaded_id(&u[i]),
						"unloaded_at", u[i].gone != 0 ? json_integer(u[i].gone) : json_null()));
	return list;
}

static json_t *
kernel_json(const struct triage_kernel *k)
{
	json_t *o = json_object();

	json_object_set_new(o, "kind", json_string(k->kind));
	json_object_set_new(o, "live", json_boolean(k->live));
	json_object_set_new(o, "registers_from", text_or_null(k->how));
	json_object_set_new(o, "build", text_or_null(k->build));
	json_object_set_new(o, "process", text_or_null(k->process));
	json_object_set_new(o, "processors", json_integer(k->processors));
	json_object_set_new(o, "processor", k->processor >= 0 ? json_integer(k->processor) : json_null());
	json_object_set_new(o, "uptime_seconds", json_integer((json_int_t)k->uptime));
	json_object_set_new(o, "unloaded_modules", unloaded_json(k->unloaded, k->n_unloaded));
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

/* The function rung: what names from images and symbol files say. */
static json_t *
function_json(const struct triage_result *r)
{
	char id[SIGNATURE_ID_LEN];

	if (r->function_frame < 0)
		return json_null();
	return json_pack("{s:s, s:s, s:s, s:i, s:s}", "id", signature_id_text(r->function_signature, id), "title",
			 r->function_title, "name", r->function, "frame", (int)r->function_frame, "rule",
			 r->function_rule);
}

static json_t *
process_json(const struct triage_result *r)
{
	const struct triage_process *p = r->process;
	json_t *o = json_object();

	json_object_set_new(o, "id", json_integer(r->process_id));
	json_object_set_new(o, "command_line", text_or_null(p->command_line));
	json_object_set_new(o, "started", json_integer(p->started));
	json_object_set_new(o, "user_seconds", json_integer((json_int_t)p->user_time));
	json_object_set_new(o, "kernel_seconds", json_integer((json_int_t)p->kernel_time));
	json_object_set_new(o, "handles", json_integer(p->handles));
	json_object_set_new(o, "memory_at_address", text_or_null(p->memory));
	json_object_set_new(o, "cpu", text_or_null(p->cpu));
	json_object_set_new(o, "cpus", json_integer(p->cpus));
	json_object_set_new(o, "distribution", text_or_null(p->distribution));
	json_object_set_new(o, "soft_errors", text_or_null(p->soft_errors));
	json_object_set_new(o, "unloaded_modules", unloaded_json(p->unloaded, p->n_unloaded));
	return o;
}

static json_t *
threads_json(const struct triage_result *r)
{
	json_t *list = json_array();

	for (uint32_t i = 0; r->threads != NULL && i < r->thread_count; i++) {
		const struct triage_thread *thread = &r->threads[i];
		json_t *o = json_pack("{s:I, s:o}", "id", (json_int_t)thread->tid, "name", text_or_null(thread->name));

		if (thread->frames != NULL) {
			json_object_set_new(o, "frames", frames_json(r, thread->frames, thread->n_frames));
			json_object_set_new(o, "stack_end", text_or_null(thread->stack_end));
		}
		json_array_append_new(list, o);
	}
	return list;
}

void
triage_json(json_t *o, const struct triage_result *r, bool all_modules)
{
	char line[SUMMARY_MAX];

	json_object_set_new(o, "format", json_string(triage_format_name(r->format)));
	json_object_set_new(o, "os", json_string(triage_os_name(r->os)));
	json_object_set_new(o, "os_version", text_or_null(r->os_version));
	json_object_set_new(o, "arch", json_string(triage_arch_name(r->arch)));
	triage_summary(r, line);
	json_object_set_new(o, "summary", json_string(line));
	json_object_set_new(o, "reason", text_or_null(r->reason));
	json_object_set_new(o, "address", r->has_address ? hex_json(r->address) : json_null());
	json_object_set_new(o, "crashing_thread",
			    r->crashing_thread >= 0 ? json_integer(r->crashing_thread) : json_null());
	json_object_set_new(o, "thread_count", json_integer(r->thread_count));
	json_object_set_new(o, "module_count", json_integer(r->module_count));
	json_object_set_new(o, "frames", frames_json(r, r->frames, r->n_frames));
	json_object_set_new(o, "stack_end", text_or_null(r->stack_end));
	json_object_set_new(o, "faulting_module",
			    r->n_frames > 0 && r->frames[0].module >= 0 ? module_json(&r->modules[r->frames[0].module])
									: json_null());
	json_object_set_new(o, "signature", signature_json(r));
	json_object_set_new(o, "function", function_json(r));
	if (r->process != NULL)
		json_object_set_new(o, "process", process_json(r));
	json_object_set_new(o, "threads", threads_json(r));
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
