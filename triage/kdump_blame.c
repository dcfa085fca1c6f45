/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/blame.h"
#include "triage/kdump.h"
#include "triage/messenger.h"

/* Which driver a stop is counted under.  The kernel is where most stops are noticed and where few are
 * caused: it and the frameworks are messengers, and the blame passes to the module that called them,
 * found by scanning if need be.  How far that is fair depends on the stop code (enum bugcheck_blame). */

#define BLAME_DEPTH 48 /* frames looked at; also what a wire result always keeps */

static const struct rule {
	const char *module, *name;
} rules[] = {
#define KERNEL_MESSENGER(module) { module, "messenger: " module },
#include "triage/kdump_messengers.def"
#undef KERNEL_MESSENGER
};

static const char *
messenger(const struct triage_result *res, const struct triage_frame *f)
{
	const struct triage_module *m = &res->modules[f->module];
	char name[MODULE_NAME_MAX + 1];

	module_name_normalise(text_of(m->path), text_of(m->id), name, sizeof(name));
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (messenger_matches(rules[i].module, name))
			return rules[i].name;
	return NULL;
}

/* First frame from i on in a module that is no messenger; -1 none.  *rule: what was passed over last. */
static int32_t
next_culprit(const struct triage_result *res, size_t i, size_t n, const char **rule)
{
	const char *m;

	for (; i < n; i++) {
		if (res->frames[i].module < 0)
			continue;
		if ((m = messenger(res, &res->frames[i])) == NULL)
			return (int32_t)i;
		*rule = m;
	}
	return -1;
}

/* Whether frame 1 is the caller of KeBugCheckEx for certain: of a frame record, or the return address
 * that the call left on top of the stack. */
static bool
sure_caller(const struct kd *k, const struct triage_result *res)
{
	uint64_t pc;

	if (res->frames[1].trust >= TRIAGE_TRUST_FRAME_POINTER)
		return true;
	return k->d->arch != TRIAGE_ARCH_ARM64 && region_read(&k->stack, k->d->regs.sp, k->width, false, &pc) &&
	       pc - 1 == res->frames[1].pc;
}

void
kdump_blame(const struct kd *k, struct triage_result *res)
{
	size_t n = res->n_frames < BLAME_DEPTH ? res->n_frames : BLAME_DEPTH;
	enum bugcheck_blame how = k->about->blame;
	bool module = n > 0 && res->frames[0].module >= 0;
	const char *rule = "stop-code";

	res->blamed = -1;
	res->blame_rule = "stop-code";
	if (n == 0 || how == BUGCHECK_BLAME_NONE)
		return;
	if (how == BUGCHECK_BLAME_CALLER && !k->fault_found) {
		if (module && messenger(res, &res->frames[0]) != NULL && n > 1 && res->frames[1].module >= 0 &&
		    messenger(res, &res->frames[1]) == NULL && sure_caller(k, res)) {
			res->blamed = 1;
			res->blame_rule = "bugcheck-caller";
		}
		return;
	}
	if (k->fault_found && !module)
		rule = "no-module";
	else if (k->fault_found)
		rule = k->fault_unloaded ? "unloaded" : "context";
	res->blamed = next_culprit(res, 0, n, &rule);
	if (res->blamed >= 0)
		res->blame_rule = rule;
	else if (k->fault_found && module) {
		res->blamed = 0; /* the kernel's own: messengers all the way up */
		res->blame_rule = "context";
	}
}
