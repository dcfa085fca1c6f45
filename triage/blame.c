/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "triage/blame.h"
#include "triage/messenger.h"

#define PLACE_MAX   1024
#define BLAME_DEPTH 32 /* messengers nest no deeper; also what a wire result always keeps */

/* The rule by which frame f is a messenger, NULL when it is none.  *exact_out: it is known by where it is in its build
 * alone; such functions rarely keep a frame pointer, so only a caller that was found exactly comes after it. */
static const char *
messenger_rule(const struct triage_result *res, const struct triage_frame *f, enum reason_class class, bool *exact_out)
{
	char name[MODULE_NAME_MAX + 1] = "", id[MODULE_ID_MAX + 1] = "";
	const char *rule = NULL;

	*exact_out = false;
	if (f->module >= 0) {
		const struct triage_module *m = &res->modules[f->module];

		module_name_normalise(text_of(m->path), text_of(m->id), name, sizeof(name));
		module_id_normalise(text_of(m->id), id, sizeof(id));
	}
	if (*f->function != '\0')
		rule = messenger_function(name, f->function, triage_of_kernel(res));
	if (rule == NULL && f->module >= 0)
		rule = messenger_module(class, name);
	if (rule == NULL && f->module >= 0 && !f->in_function && (rule = messenger_offset(id, f->offset)) != NULL)
		*exact_out = true;
	return rule;
}

/* Called through a bad pointer: who called.  -1: no frame is in a module. */
static int32_t
first_in_module(const struct triage_result *res, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (res->frames[i].module >= 0)
			return (int32_t)i;
		if (res->frames[i].trust == TRIAGE_TRUST_SCAN)
			break;
	}
	return -1;
}

void
blame_choose(struct triage_result *res)
{
	enum reason_class class = reason_class_of(res->reason, strlen(res->reason));
	size_t n = res->n_frames < BLAME_DEPTH ? res->n_frames : BLAME_DEPTH;
	const char *rule, *last = NULL;
	bool exact = false;

	res->blamed = -1;
	res->blame_rule = "none";
	if (n == 0)
		return;
	if (res->frames[0].module < 0) {
		res->blamed = first_in_module(res, n);
		res->blame_rule = res->blamed >= 0 ? "no-module" : "none";
		return;
	}
	res->blamed = 0;
	res->blame_rule = "context";
	for (size_t i = 0; i < n; i++) {
		if (res->frames[i].module < 0 ||
		    res->frames[i].trust < (exact ? TRIAGE_TRUST_CFI : TRIAGE_TRUST_FRAME_POINTER))
			return;
		if ((rule = messenger_rule(res, &res->frames[i], class, &exact)) == NULL) {
			res->blamed = (int32_t)i;
			res->blame_rule = last != NULL ? last : "context";
			return;
		}
		last = rule;
	}
}

void
blame_function(struct triage_result *res)
{
	enum reason_class class = reason_class_of(res->reason, strlen(res->reason));
	size_t n = res->n_frames < BLAME_DEPTH ? res->n_frames : BLAME_DEPTH;
	const char *last = "context";
	bool exact = false;

	res->function_frame = -1;
	res->function_rule = "none";
	for (size_t i = 0; i < n; i++) {
		const struct triage_frame *f = &res->frames[i];
		const char *rule;

		if (f->trust < (exact ? TRIAGE_TRUST_CFI : TRIAGE_TRUST_FRAME_POINTER))
			return;
		rule = messenger_rule(res, f, class, &exact);
		if (i == 0 && f->module < 0 && *f->function == '\0') {
			last = "no-module"; /* called through a bad pointer: who called */
			continue;
		}
		if (rule == NULL) {
			if (*f->function != '\0') {
				res->function_frame = (int32_t)i;
				res->function_rule = last;
			}
			return;
		}
		last = rule;
	}
}

static const char *
copy_text(struct arena *a, const char *s, size_t len)
{
	char *p = arena_calloc(a, len + 1, 1);

	if (p != NULL)
		memcpy(p, s, len);
	return p;
}

/* A stop code without a module: the provisional key of docs/SIGNATURES.md. */
static enum err
sign_stop(struct arena *a, struct triage_result *res, enum reason_class class)
{
	struct stop_key key = { .code = res->kernel.bugcheck, .n_params = 4, .os_build = text_of(res->os_version) };
	char title[256];
	size_t n;

	memcpy(key.params, res->kernel.params, sizeof(key.params));
	res->class = class;
	res->module = res->module_id = "";
	res->offset = 0;
	res->signature = signature_stop_hash(&key);
	n = signature_stop_title(&key, title, sizeof(title));
	res->title = copy_text(a, title, n);
	return res->title != NULL ? ERR_OK : ERR_LIMIT;
}

/* "module!function" where the offset counts from the function. */
static const char *
place_name(const struct triage_frame *f, const char *path, char buf[PLACE_MAX])
{
	if (!f->in_function)
		return path;
	snprintf(buf, PLACE_MAX, "%s!%s", path, f->function);
	return buf;
}

enum err
blame_sign(struct arena *a, struct triage_result *res)
{
	struct signature_key key = { .module = TEXT(""), .module_id = TEXT("") };
	char id[MODULE_ID_MAX + 1], name[MODULE_NAME_MAX + 1], title[MODULE_NAME_MAX + 32], place[PLACE_MAX];
	struct text idv = { id, 0 };
	size_t n;

	if (res->blamed >= 0) {
		const struct triage_frame *f = &res->frames[res->blamed];

		if (f->module >= 0) {
			key.module = text_of(place_name(f, res->modules[f->module].path, place));
			key.module_id = text_of(res->modules[f->module].id);
			key.offset = f->offset;
		}
	}
	key.reason = reason_class_of(res->reason, strlen(res->reason));
	if (res->has_kernel && key.module.len == 0)
		return sign_stop(a, res, key.reason);
	idv.len = module_id_normalise(key.module_id, id, sizeof(id));
	n = module_name_normalise(key.module, idv, name, sizeof(name));
	res->class = key.reason;
	res->module = copy_text(a, name, n);
	res->module_id = copy_text(a, id, idv.len);
	res->offset = key.offset;
	res->signature = signature_hash(&key, RUNG_KEY);
	n = signature_title(&key, title, sizeof(title));
	res->title = copy_text(a, title, n);
	return res->module != NULL && res->module_id != NULL && res->title != NULL ? ERR_OK : ERR_LIMIT;
}

enum err
blame_sign_function(struct arena *a, struct triage_result *res)
{
	struct function_key key = { .module = TEXT(""), .module_id = TEXT("") };
	char plain[FUNCTION_PLAIN_MAX + 1], title[MODULE_NAME_MAX + SIGNATURE_FUNCTION_MAX + 2];
	const struct triage_frame *f;
	size_t n;

	res->function = res->function_title = "";
	res->function_signature = 0;
	if (res->function_frame < 0)
		return ERR_OK;
	f = &res->frames[res->function_frame];
	if (f->module >= 0) {
		key.module = text_of(res->modules[f->module].path);
		key.module_id = text_of(res->modules[f->module].id);
	}
	key.function = (struct text){ plain, function_plain(f->function, plain) };
	res->function_signature = signature_function_hash(&key);
	n = signature_function_title(&key, title, sizeof(title));
	res->function = copy_text(a, plain, key.function.len);
	res->function_title = copy_text(a, title, n);
	if (res->function != NULL && res->function_title != NULL)
		return ERR_OK;
	res->function = res->function_title = "";
	return ERR_LIMIT;
}
