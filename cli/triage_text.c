/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/api_client.h"
#include "cli/triage_text.h"
#include "triage/bugcheck.h"
#include "triage/summary.h"

/* "  label       value" unless there is none. */
static void
print_fact(const char *label, const char *value)
{
	if (*value == '\0')
		return;
	printf("  %-11s", label);
	print_text(stdout, value);
	putchar('\n');
}

void
triage_print_line(const char *file, const struct triage_result *r)
{
	char id[SIGNATURE_ID_LEN], line[SUMMARY_MAX];

	triage_summary(r, line);
	print_text(stdout, file);
	printf(": %s", line);
	if (r->has_signature)
		printf(" [%s]", signature_id_text(r->signature, id));
	printf(" (%s, %s %s%s%s)\n", triage_format_name(r->format), triage_os_name(r->os), triage_arch_name(r->arch),
	       r->partial ? ", partial: " : "", r->partial_what);
}

static void
print_signature(const struct triage_result *r)
{
	char id[SIGNATURE_ID_LEN];

	if (!r->has_signature)
		return;
	printf("  %-11s%s  ", "signature", signature_id_text(r->signature, id));
	print_text(stdout, r->title);
	printf(", %s, by %s\n", reason_class_name(r->class), r->blame_rule);
	if (r->function_frame >= 0) {
		printf("  %-11s%s  ", "function", signature_id_text(r->function_signature, id));
		print_text(stdout, r->function_title);
		printf(", by %s\n", r->function_rule);
	}
}

static void
print_kernel(const struct triage_kernel *k)
{
	const struct bugcheck *b = bugcheck_find(k->bugcheck);

	for (unsigned i = 0; i < 4; i++) {
		const char *value = bugcheck_value(k->bugcheck, i, k->params[i]);

		printf("  %-11s0x%016" PRIx64, i == 0 ? "parameters" : "", k->params[i]);
		if (*b->meaning[i] != '\0')
			printf("  %s", b->meaning[i]);
		if (value != NULL)
			printf(": %s", value);
		putchar('\n');
	}
	print_fact("registers", k->how);
	print_fact("process", k->process);
	if (k->uptime > 0)
		printf("  %-11s%" PRIu64 " d %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "\n", "uptime", k->uptime / 86400,
		       k->uptime / 3600 % 24, k->uptime / 60 % 60, k->uptime % 60);
	print_fact("build", k->build);
}

static void
print_process(const struct triage_process *p)
{
	if (p == NULL)
		return;
	print_fact("memory", p->memory);
	print_fact("command", p->command_line);
}

static void
print_system(const struct triage_result *r)
{
	char when[32] = "";
	time_t t = (time_t)r->dump_time;
	struct tm tm;

	printf("  %-11s%s %s, %s", "system", triage_os_name(r->os), triage_arch_name(r->arch),
	       triage_format_name(r->format));
	if (*r->os_version != '\0') {
		printf(", ");
		print_text(stdout, r->os_version);
	}
	putchar('\n');
	if (t > 0 && gmtime_r(&t, &tm) != NULL && strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		print_fact("time", when);
}

static void
print_frame(const struct triage_result *r, const struct triage_frame *f, size_t i, bool blamed)
{
	char place[320];

	triage_place(r, f, place, sizeof(place));
	printf("  %c %3zu  %-13s  %s", blamed ? '>' : ' ', i, triage_trust_name(f->trust), place);
	if (*f->function != '\0' && !f->in_function && f->module >= 0) {
		printf("  ");
		print_text(stdout, f->function);
	}
	putchar('\n');
}

static void
print_end(const char *why)
{
	if (*why != '\0')
		printf("         (%s)\n", why);
}

static void
print_thread(const struct triage_result *r, uint32_t i)
{
	printf("  thread %u of %u", i, r->thread_count);
	if (r->threads != NULL)
		printf(", id %u", r->threads[i].tid);
	if (r->threads != NULL && *r->threads[i].name != '\0') {
		printf(", ");
		print_text(stdout, r->threads[i].name);
	}
	puts((int32_t)i == r->crashing_thread ? ", crashed" : "");
}

static void
print_other(const struct triage_result *r, uint32_t i)
{
	const struct triage_thread *t = &r->threads[i];

	putchar('\n');
	print_thread(r, i);
	for (size_t k = 0; k < t->n_frames; k++)
		print_frame(r, &t->frames[k], k, false);
	print_end(t->stack_end);
}

static void
print_modules(const struct triage_result *r)
{
	printf("\n  %u modules\n", r->module_count);
	for (size_t i = 0; i < r->n_modules; i++) {
		const struct triage_module *m = &r->modules[i];

		printf("    0x%012" PRIx64 " 0x%08" PRIx64 "  ", m->base, m->size);
		print_text(stdout, m->path);
		if (*m->id != '\0') {
			printf("  ");
			print_text(stdout, m->id);
		}
		if (*m->version != '\0') {
			printf("  ");
			print_text(stdout, m->version);
		}
		putchar('\n');
	}
}

void
triage_print(const char *file, const struct triage_result *r, bool all_modules)
{
	char line[SUMMARY_MAX];

	triage_summary(r, line);
	print_text(stdout, file);
	printf(": %s\n", line);
	print_signature(r);
	print_system(r);
	if (r->has_kernel)
		print_kernel(&r->kernel);
	print_process(r->process);
	for (size_t i = 0; i < r->n_annotations; i++) {
		printf("  %-11s", i == 0 ? "notes" : "");
		print_text(stdout, r->annotations[i].key);
		printf(" = ");
		print_text(stdout, r->annotations[i].value);
		putchar('\n');
	}
	if (r->partial)
		print_fact("partial", r->partial_what);
	putchar('\n');
	if (r->crashing_thread >= 0)
		print_thread(r, (uint32_t)r->crashing_thread);
	for (size_t i = 0; i < r->n_frames; i++)
		print_frame(r, &r->frames[i], i, (int32_t)i == r->blamed);
	print_end(r->stack_end);
	for (uint32_t i = 0; r->threads != NULL && i < r->thread_count; i++)
		if ((int32_t)i != r->crashing_thread && r->threads[i].frames != NULL)
			print_other(r, i);
	if (all_modules)
		print_modules(r);
}
