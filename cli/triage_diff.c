/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "cli/api_client.h"
#include "cli/triage_diff.h"
#include "cli/triage_json.h"
#include "triage/messenger.h"
#include "triage/summary.h"

/* Two crashes are the same if their signatures are.  If not, what differs is said, and how much is alike all the same:
 * the same function in another build is most often the same fault. */

enum likeness { SAME, SAME_FUNCTION, SAME_MODULE, DIFFERENT };
static const char *const verdicts[] = { "same", "same_function", "same_module", "different" };
static const char *const words[] = {
	"the same crash: one signature",
	"not the same signature, but the same function: most likely one fault in two builds",
	"not the same crash: the same module at another place",
	"not the same crash",
};

struct comparison {
	enum likeness how;
	json_t *reasons; /* texts */
	size_t common;   /* frames from the innermost on that are at the same place */
};

static void __attribute__((format(printf, 2, 3))) differs(struct comparison *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(c->reasons, triage_json_name(text));
}

static const struct triage_module *
module_of(const struct triage_result *r, const struct triage_frame *f)
{
	return f->module >= 0 ? &r->modules[f->module] : NULL;
}

static void
module_name(const struct triage_result *r, const struct triage_frame *f, char out[MODULE_NAME_MAX + 1])
{
	const struct triage_module *m = module_of(r, f);

	*out = '\0';
	if (m != NULL)
		module_name_normalise(text_of(m->path), text_of(m->id), out, MODULE_NAME_MAX + 1);
}

/* The same place: module and function where both are known, else module, build and offset. */
static bool
same_place(const struct triage_result *a, const struct triage_frame *f, const struct triage_result *b,
	   const struct triage_frame *g)
{
	char m[MODULE_NAME_MAX + 1], n[MODULE_NAME_MAX + 1], p[FUNCTION_PLAIN_MAX + 1], q[FUNCTION_PLAIN_MAX + 1];

	module_name(a, f, m);
	module_name(b, g, n);
	if (strcmp(m, n) != 0)
		return false;
	if (*f->function != '\0' && *g->function != '\0') {
		function_plain(f->function, p);
		function_plain(g->function, q);
		return strcmp(p, q) == 0;
	}
	return *m != '\0' && f->offset == g->offset && strcmp(module_of(a, f)->id, module_of(b, g)->id) == 0;
}

static bool
same_function(const struct triage_result *a, const struct triage_result *b)
{
	return a->function_frame >= 0 && b->function_frame >= 0 && a->function_signature == b->function_signature;
}

static const char *
or_unknown(const char *s)
{
	return *s != '\0' ? s : "unknown";
}

static void
compare_signatures(struct comparison *c, const struct triage_result *a, const struct triage_result *b)
{
	if (a->has_kernel && b->has_kernel && a->kernel.bugcheck != b->kernel.bugcheck)
		differs(c, "stop code: 0x%x, 0x%x", a->kernel.bugcheck, b->kernel.bugcheck);
	if (strcmp(a->module, b->module) != 0)
		differs(c, "module: %s, %s", or_unknown(a->module), or_unknown(b->module));
	else if (strcmp(a->module_id, b->module_id) != 0)
		differs(c, "build of %s: %s, %s", or_unknown(a->module), or_unknown(a->module_id),
			or_unknown(b->module_id));
	if (strcmp(a->module, b->module) == 0 && a->offset != b->offset)
		differs(c, "offset in %s: 0x%" PRIx64 ", 0x%" PRIx64, or_unknown(a->module), a->offset, b->offset);
	if (a->class != b->class)
		differs(c, "kind of failure: %s (%s), %s (%s)", reason_class_name(a->class), or_unknown(a->reason),
			reason_class_name(b->class), or_unknown(b->reason));
	if (strcmp(a->blame_rule, b->blame_rule) != 0)
		differs(c, "rule that chose the frame: %s, %s", a->blame_rule, b->blame_rule);
}

static struct comparison
compare(const struct triage_result *a, const struct triage_result *b)
{
	struct comparison c = { DIFFERENT, json_array(), 0 };

	while (c.common < a->n_frames && c.common < b->n_frames &&
	       same_place(a, &a->frames[c.common], b, &b->frames[c.common]))
		c.common++;
	if (!a->has_signature || !b->has_signature) {
		differs(&c, "the %s dump records no crash", !a->has_signature ? "first" : "second");
		return c;
	}
	compare_signatures(&c, a, b);
	if (a->signature == b->signature)
		c.how = SAME;
	else if (same_function(a, b))
		c.how = SAME_FUNCTION;
	else if (*a->module != '\0' && strcmp(a->module, b->module) == 0)
		c.how = SAME_MODULE;
	return c;
}

static void
print_json(const struct comparison *c, const struct triage_result *a, const struct triage_result *b)
{
	const struct triage_result *r[2] = { a, b };
	json_t *o = json_pack("{s:s, s:O, s:I}", "verdict", verdicts[c->how], "differences", c->reasons,
			      "common_frames", (json_int_t)c->common),
	       *list = json_array();

	for (int i = 0; i < 2; i++) {
		char id[SIGNATURE_ID_LEN], line[SUMMARY_MAX];

		triage_summary(r[i], line);
		json_array_append_new(list, json_pack("{s:s, s:o}", "summary", line, "signature",
						      r[i]->has_signature
							      ? json_string(signature_id_text(r[i]->signature, id))
							      : json_null()));
	}
	json_object_set_new(o, "crashes", list);
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

bool
triage_diff(const struct triage_result *a, const struct triage_result *b, bool json)
{
	struct comparison c = compare(a, b);
	char line[SUMMARY_MAX];

	if (json) {
		print_json(&c, a, b);
	} else {
		triage_summary(a, line);
		printf("A  %s\n", line);
		triage_summary(b, line);
		printf("B  %s\n%s\n", line, words[c.how]);
		for (size_t i = 0; i < json_array_size(c.reasons); i++) {
			printf("  ");
			print_text(stdout, json_string_value(json_array_get(c.reasons, i)));
			putchar('\n');
		}
		printf("  %zu innermost frame%s at the same place\n", c.common, c.common == 1 ? "" : "s");
	}
	json_decref(c.reasons);
	return c.how == SAME;
}
