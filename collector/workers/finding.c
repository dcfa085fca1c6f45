/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "collector/workers/finding.h"
#include "proto/log.pb-c.h"
#include "proto/report.h"
#include "triage/triage.h"

#define FINDING_MAX ((size_t)64 << 10) /* well below RECORD_MAX_BYTES */

/* protobuf-c does not write through the texts it is given. */
static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* Stronger is larger in triage and smaller on the wire: faultline.Trust. */
static uint32_t
wire_trust(enum triage_trust t)
{
	static const uint32_t wire[TRIAGE_N_TRUSTS] = {
		[TRIAGE_TRUST_CONTEXT] = 1, [TRIAGE_TRUST_CFI] = 2,      [TRIAGE_TRUST_FRAME_POINTER] = 3,
		[TRIAGE_TRUST_SCAN] = 4,    [TRIAGE_TRUST_REPORTED] = 5,
	};

	return wire[t];
}

/* "module!function": where the offset counts from. */
static char *
place(struct arena *a, const struct triage_result *r, const struct triage_frame *f)
{
	const char *path = r->modules[f->module].path;
	size_t len = strlen(path) + strlen(f->function) + 2;
	char *s;

	if (!f->in_function)
		return text(path);
	s = arena_calloc(a, len, 1);
	if (s != NULL)
		snprintf(s, len, "%s!%s", path, f->function);
	return s;
}

static int
add_frames(struct arena *a, Faultline__Log__TriageResult *m, const struct triage_result *r)
{
	const size_t n = r->n_frames < REPORT_MAX_FRAMES ? r->n_frames : REPORT_MAX_FRAMES;
	Faultline__Log__Frame *frames = ARENA_ARRAY(a, Faultline__Log__Frame, n);

	m->frames = ARENA_ARRAY(a, Faultline__Log__Frame *, n);
	if (n > 0 && (frames == NULL || m->frames == NULL))
		return -1;
	m->n_frames = n;
	for (size_t i = 0; i < n; i++) {
		const struct triage_frame *f = &r->frames[i];

		faultline__log__frame__init(&frames[i]);
		if (f->module >= 0) {
			frames[i].module = place(a, r, f);
			if (frames[i].module == NULL)
				return -1;
			frames[i].module_id = text(r->modules[f->module].id);
		}
		frames[i].offset = f->module >= 0 ? f->offset : f->pc;
		frames[i].trust = wire_trust(f->trust);
		frames[i].function = text(f->function);
		m->frames[i] = &frames[i];
	}
	return 0;
}

static void
add_signature(Faultline__Log__TriageResult *m, const struct triage_result *r)
{
	if (!r->has_signature)
		return;
	m->module = text(r->module);
	m->module_id = text(r->module_id);
	m->offset = r->offset;
	m->reason_class = r->class;
	m->rule = text(r->blame_rule);
	if (r->blamed >= 0 && r->frames[r->blamed].module >= 0)
		m->module_version = text(r->modules[r->frames[r->blamed].module].version);
}

/* The function rung; without memory it is left out. */
static void
add_function(struct arena *a, Faultline__Log__TriageResult *m, const struct triage_result *r)
{
	const struct triage_module *module;
	char *name;

	if (r->function_frame < 0 || r->frames[r->function_frame].module < 0)
		return;
	module = &r->modules[r->frames[r->function_frame].module];
	if ((name = arena_calloc(a, MODULE_NAME_MAX + 1, 1)) == NULL)
		return;
	module_name_normalise(text_of(module->path), text_of(module->id), name, MODULE_NAME_MAX + 1);
	m->function_module = name;
	m->function = text(r->function);
}

/* Crashes of a kernel count as such; those of Windows name a driver, or have their stop code counted. */
static void
add_kernel(Faultline__Log__TriageResult *m, const struct triage_result *r)
{
	m->kernel = r->os_kernel && r->has_signature;
	if (!r->has_kernel || !r->has_signature || r->module[0] != '\0')
		return;
	m->stop_code = r->kernel.bugcheck;
	m->n_stop_params = 4;
	m->stop_params = (uint64_t *)(uintptr_t)r->kernel.params;
	m->os_build = text(r->os_version);
}

size_t
finding_encode(struct arena *a, uint64_t report, const uint8_t sha256[SHA256_BYTES], enum err outcome, const char *what,
	       const struct triage_result *r, uint8_t **out)
{
	Faultline__Log__TriageResult m;

	faultline__log__triage_result__init(&m);
	m.report = report;
	m.sha256 = (ProtobufCBinaryData){ SHA256_BYTES, (uint8_t *)(uintptr_t)sha256 };
	m.outcome = outcome;
	if (outcome != ERR_OK) {
		m.error = text(what);
	} else {
		m.partial = r->partial;
		m.error = text(r->partial_what);
		m.format = text(triage_format_name(r->format));
		m.os = text(triage_os_name(r->os));
		m.arch = text(triage_arch_name(r->arch));
		m.reason = text(r->reason);
		m.address = r->address;
		m.crashing_thread = (uint32_t)r->crashing_thread;
		m.thread_count = r->thread_count;
		m.module_count = r->module_count;
		add_signature(&m, r);
		add_function(a, &m, r);
		add_kernel(&m, r);
		if (add_frames(a, &m, r) == -1)
			return 0;
	}
	while (m.n_frames > 0 && faultline__log__triage_result__get_packed_size(&m) > FINDING_MAX)
		m.n_frames /= 2;
	*out = arena_calloc(a, 1, faultline__log__triage_result__get_packed_size(&m));
	return *out != NULL ? faultline__log__triage_result__pack(&m, *out) : 0;
}
