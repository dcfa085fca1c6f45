/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "triage/summary.h"

struct line {
	char *out;
	size_t cap, len;
};

/* Texts of a dump are UTF-8 already; a cut may leave half a character. */
static void
close_line(struct line *l)
{
	size_t from = 0, to = 0, n;
	bool harmless;

	for (; from < l->len && text_utf8_sequence(l->out + from, l->len - from) > 0; from += n) {
		n = text_character(l->out + from, l->len - from, &harmless);
		if (harmless) {
			memmove(l->out + to, l->out + from, n);
			to += n;
		} else {
			l->out[to++] = '?';
		}
	}
	l->len = to;
	l->out[to] = '\0';
}

static void __attribute__((format(printf, 2, 3))) add(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->out + l->len, l->cap - l->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len = l->len + (size_t)n < l->cap ? l->len + (size_t)n : l->cap - 1;
}

static void
add_module(struct line *l, const struct triage_module *m)
{
	char name[MODULE_NAME_MAX + 1];

	module_name_normalise(text_of(m->path), text_of(m->id), name, sizeof(name));
	add(l, "%s", *name != '\0' ? name : "unknown");
}

static const char *
unloaded_at(const struct triage_result *res, uint64_t pc)
{
	const struct triage_process *p = res->process;

	for (size_t i = 0; p != NULL && i < p->n_unloaded; i++)
		if (pc >= p->unloaded[i].start && pc < p->unloaded[i].end)
			return p->unloaded[i].name;
	return NULL;
}

static void
add_place(struct line *l, const struct triage_result *res, const struct triage_frame *f)
{
	const char *gone;

	if (f->module >= 0) {
		add_module(l, &res->modules[f->module]);
		if (f->in_function)
			add(l, "!%s", f->function);
		add(l, "+0x%" PRIx64, f->offset);
	} else if ((gone = unloaded_at(res, f->pc)) != NULL)
		add(l, "0x%" PRIx64 " in unloaded %s", f->pc, gone);
	else if (*f->function != '\0' && f->pc == 0)
		add(l, "%s", f->function);
	else
		add(l, "0x%" PRIx64, f->pc);
}

/* What was touched, where the reason does not say it and it is not the instruction itself. */
static void
add_address(struct line *l, const struct triage_result *res)
{
	const char *how = "access to";

	if (!res->has_address || res->has_kernel || (res->n_frames > 0 && res->frames[0].pc == res->address))
		return;
	if (reason_class_of(res->reason, strlen(res->reason)) != REASON_ACCESS)
		return;
	if (strstr(res->reason, "_READ") != NULL)
		how = "read of";
	else if (strstr(res->reason, "_WRITE") != NULL)
		how = "write to";
	else if (strstr(res->reason, "_EXEC") != NULL)
		how = "execution of";
	add(l, ": %s 0x%" PRIx64, how, res->address);
}

/* Texts may tell the place of the registers and then a trace with it. */
static bool
same_place(const struct triage_frame *a, const struct triage_frame *b)
{
	return a->module == b->module && a->pc == b->pc && a->offset == b->offset &&
	       strcmp(a->function, b->function) == 0;
}

size_t
triage_summary(const struct triage_result *res, char out[SUMMARY_MAX])
{
	struct line l = { out, SUMMARY_MAX, 0 };
	const struct triage_frame *top = res->n_frames > 0 ? &res->frames[0] : NULL;

	add(&l, "%s", *res->reason != '\0' ? res->reason : "no crash recorded");
	add_address(&l, res);
	if (*res->reason != '\0' && top != NULL) {
		add(&l, " at ");
		add_place(&l, res, top);
		if (*top->function != '\0' && !top->in_function && top->module >= 0)
			add(&l, " (%s)", top->function);
	}
	if (res->has_signature && res->blamed > 0 && !same_place(top, &res->frames[res->blamed])) {
		const struct triage_frame *f = &res->frames[res->blamed];

		add(&l, res->blamed == 1 ? ", called by " : ", on behalf of ");
		add_place(&l, res, f);
		if (*f->function != '\0' && !f->in_function)
			add(&l, " (%s)", f->function);
	}
	close_line(&l);
	return l.len;
}

size_t
triage_place(const struct triage_result *res, const struct triage_frame *f, char *out, size_t cap)
{
	struct line l = { out, cap, 0 };

	add_place(&l, res, f);
	close_line(&l);
	return l.len;
}
