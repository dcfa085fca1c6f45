/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/blame.h"
#include "triage/dump.h"
#include "triage/kdump.h"
#include "triage/module.h"
#include "triage/walk.h"

static const char *const formats[TRIAGE_N_FORMATS] = {
	"unknown",     "minidump",    "elf-core",  "windows-kernel-dump", "linux-oops",
	"apple-crash", "apple-panic", "tombstone", "microdump",           "windows-event"
};
static const char *const systems[TRIAGE_N_OS] = { "unknown", "windows", "linux", "android", "macos",   "ios",
						  "solaris", "ps3",     "nacl",  "fuchsia", "freebsd", "netbsd" };
static const char *const processors[TRIAGE_N_ARCH] = { "unknown", "x86",   "x64",     "arm",    "arm64",
						       "ppc",     "ppc64", "mips",    "mips64", "sparc",
						       "ia64",    "riscv", "riscv64", "s390x",  "loongarch64" };
static const char *const trusts[TRIAGE_N_TRUSTS] = { "none", "scan", "frame_pointer", "cfi", "context", "reported" };

const char *
triage_format_name(enum triage_format f)
{
	return (unsigned)f < TRIAGE_N_FORMATS ? formats[f] : "unknown";
}

const char *
triage_os_name(enum triage_os os)
{
	return (unsigned)os < TRIAGE_N_OS ? systems[os] : "unknown";
}

const char *
triage_arch_name(enum triage_arch arch)
{
	return (unsigned)arch < TRIAGE_N_ARCH ? processors[arch] : "unknown";
}

const char *
triage_trust_name(enum triage_trust t)
{
	return (unsigned)t < TRIAGE_N_TRUSTS ? trusts[t] : "unknown";
}

bool
triage_of_kernel(const struct triage_result *res)
{
	return res->has_kernel || res->os_kernel;
}

static enum err
read_dump(struct arena *a, const void *image, size_t size, struct dump *d, struct diag *diag)
{
	static const uint8_t mdmp[4] = { 'M', 'D', 'M', 'P' }, pmdm[4] = { 'P', 'M', 'D', 'M' };
	static const uint8_t page[4] = { 'P', 'A', 'G', 'E' };
	static const uint8_t elf[4] = { 0x7f, 'E', 'L', 'F' };

	if (size >= 4 && (memcmp(image, mdmp, 4) == 0 || memcmp(image, pmdm, 4) == 0))
		return minidump_read(a, image, size, d, diag);
	if (size >= 4 && memcmp(image, elf, 4) == 0)
		return elfcore_read(a, image, size, d, diag);
	if (size >= 8 && memcmp(image, page, 4) == 0 &&
	    (memcmp((const uint8_t *)image + 4, "DU64", 4) == 0 || memcmp((const uint8_t *)image + 4, "DUMP", 4) == 0))
		return kdump_read(a, image, size, d, diag);
	*diag = (struct diag){ ERR_UNSUPPORTED, "not a dump format we know", 0 };
	if (size != 0 && triage_container_of(image, size) == TRIAGE_CONTAINER_NONE)
		return text_read(a, image, size, d, diag);
	if (size == 0)
		*diag = (struct diag){ ERR_TRUNCATED, "the file is empty", 0 };
	else
		diag->what = "compressed: expand it first";
	return diag->code;
}

static void
fill(struct triage_result *r, const struct dump *d)
{
	*r = (struct triage_result){
		.format = d->format,
		.os = d->os,
		.arch = d->arch,
		.os_version = d->os_version,
		.reason = d->reason,
		.code = d->code,
		.subcode = d->subcode,
		.has_address = d->has_address,
		.address = d->address,
		.crashing_thread = d->crashing_thread,
		.crashing_tid = d->crashing_tid,
		.thread_count = (uint32_t)d->n_threads,
		.module_count = (uint32_t)d->n_modules,
		.process_id = d->process_id,
		.process = d->process,
		.dump_time = d->dump_time,
		.modules = d->modules,
		.n_modules = d->n_modules,
		.annotations = d->annotations,
		.n_annotations = d->n_annotations,
		.has_signature = d->has_exception,
		.blamed = -1,
		.blame_rule = "none",
		.os_kernel = d->os_kernel || d->kernel != NULL,
		.module = "",
		.module_id = "",
		.title = "",
		.function_frame = -1,
		.function = "",
		.function_title = "",
		.function_rule = "none",
		.stack_end = "",
		.partial = d->partial,
		.partial_what = d->partial_what,
	};
}

static enum err
take_frames(const struct dump *d, const struct triage_options *opt, struct triage_frame **out, size_t *n_out)
{
	size_t max = opt != NULL && opt->max_frames != 0 ? opt->max_frames : TRIAGE_MAX_FRAMES;

	*out = d->frames;
	*n_out = d->n_frames < max ? d->n_frames : max;
	return ERR_OK;
}

static enum err
fill_threads(struct arena *a, const struct dump *d, struct triage_result *r, struct triage_thread **out)
{
	struct triage_thread *t = ARENA_ARRAY(a, struct triage_thread, d->n_threads);

	if (t == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < d->n_threads; i++)
		t[i] = (struct triage_thread){ .tid = d->threads[i].tid,
					       .name = d->threads[i].name != NULL ? d->threads[i].name : "",
					       .stack_end = "" };
	r->threads = *out = t;
	return ERR_OK;
}

/* Frames of what crashed, by the images given (NULL: by the dump alone). */
static enum err
walk(struct arena *a, const struct dump *d, const struct module_index *mi, const struct triage_options *opt,
     struct images *images, struct walk_result *out)
{
	size_t max = opt != NULL ? opt->max_frames : 0;

	*out = (struct walk_result){ .end = "" };
	if (d->kernel != NULL)
		return kdump_walk(d->kernel, images, max, out);
	if (d->has_frames)
		return take_frames(d, opt, &out->frames, &out->n);
	return walk_crashing_thread(a, d, mi, images, max, out);
}

static void
take_walk(struct triage_result *r, const struct walk_result *w)
{
	r->frames = w->frames;
	r->n_frames = w->n;
	r->stack_end = w->end;
}

static void
blame(const struct dump *d, struct triage_result *r)
{
	if (d->blame_rule != NULL) {
		r->blamed = d->blamed < (int32_t)r->n_frames ? d->blamed : -1;
		r->blame_rule = d->blame_rule;
	} else if (d->kernel != NULL) {
		kdump_blame(d->kernel, r);
	} else {
		blame_choose(r);
	}
}

/* The same frame of another walk, -1: it has none. */
static int32_t
find_frame(const struct triage_result *r, const struct triage_frame *f)
{
	for (size_t i = 0; i < r->n_frames; i++)
		if (r->frames[i].pc == f->pc && r->frames[i].module == f->module)
			return (int32_t)i;
	return -1;
}

/* The signature must be the same before and after images and symbols arrived: it is that of a walk without them.
 * r has the better walk, and keeps it unless the blamed frame is not in it. */
static enum err
sign(struct arena *a, const struct dump *d, const struct module_index *mi, const struct triage_options *opt,
     struct triage_result *r)
{
	struct triage_result plain = *r;
	struct walk_result w;
	int32_t at;

	if (opt == NULL || opt->images == NULL || d->has_frames) {
		blame(d, r);
		return blame_sign(a, r);
	}
	if (walk(a, d, mi, opt, NULL, &w) != ERR_OK)
		return ERR_LIMIT;
	take_walk(&plain, &w);
	blame(d, &plain);
	if (blame_sign(a, &plain) != ERR_OK)
		return ERR_LIMIT;
	at = plain.blamed >= 0 ? find_frame(r, &plain.frames[plain.blamed]) : -1;
	if (plain.blamed < 0 || at >= 0) {
		plain.frames = r->frames;
		plain.n_frames = r->n_frames;
		plain.stack_end = r->stack_end;
		plain.blamed = at;
	}
	*r = plain;
	return ERR_OK;
}

static enum err
sign_function(struct arena *a, const struct dump *d, struct triage_result *r)
{
	blame_function(r);
	if (d->blame_rule != NULL && r->blamed >= 0 && *r->frames[r->blamed].function != '\0') {
		r->function_frame = r->blamed;
		r->function_rule = r->blame_rule;
	}
	return blame_sign_function(a, r);
}

static const char *
kept(struct arena *a, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = n > 1 ? arena_calloc(a, n, 1) : NULL;

	return p != NULL ? memcpy(p, s, n) : "";
}

/* Stack of a thread other than the one that crashed.  The walk has an arena of its own: what it needs for each
 * thread would add up. */
static enum err
walk_thread(struct arena *a, const struct dump *d, const struct module_index *mi, const struct triage_options *opt,
	    const struct dump_regs *regs, size_t thread, struct triage_thread *out)
{
	struct arena *own = arena_new(TRIAGE_ARENA_BYTES);
	struct dump *other = ARENA_NEW(own, struct dump);
	struct triage_frame *frames;
	struct walk_result w;
	enum err e = ERR_LIMIT;

	if (other == NULL)
		goto done;
	*other = *d;
	other->regs = *regs;
	other->crashing_thread = (int32_t)thread;
	if (walk_crashing_thread(own, other, mi, opt->images, opt->max_frames, &w) != ERR_OK ||
	    (frames = ARENA_ARRAY(a, struct triage_frame, w.n)) == NULL)
		goto done;
	for (size_t i = 0; i < w.n; i++) {
		frames[i] = w.frames[i];
		frames[i].function = kept(a, frames[i].function);
	}
	out->frames = frames;
	out->n_frames = w.n;
	out->stack_end = kept(a, w.end);
	e = ERR_OK;
done:
	arena_free(own);
	return e;
}

static enum err
walk_others(struct arena *a, const struct dump *d, const void *image, size_t size, const struct module_index *mi,
	    const struct triage_options *opt, const struct triage_result *r, struct triage_thread *threads)
{
	for (size_t i = 0; i < d->n_threads; i++) {
		struct dump_regs regs = { 0 };

		if ((int32_t)i == d->crashing_thread) {
			threads[i].frames = r->frames;
			threads[i].n_frames = r->n_frames;
			threads[i].stack_end = r->stack_end;
			continue;
		}
		if (d->format == TRIAGE_FORMAT_MINIDUMP)
			minidump_thread_context(d, image, size, &d->threads[i], &regs);
		else if (d->format == TRIAGE_FORMAT_ELFCORE)
			elfcore_thread_context(d, image, size, &d->threads[i], &regs);
		if (regs.valid && walk_thread(a, d, mi, opt, &regs, i, &threads[i]) != ERR_OK)
			return ERR_LIMIT;
	}
	return ERR_OK;
}

enum err
triage_run(struct arena *a, const void *image, size_t size, const struct triage_options *opt, struct triage_result *out,
	   struct diag *diag)
{
	struct dump *d = ARENA_NEW(a, struct dump);
	struct module_index modules;
	struct triage_thread *threads;
	struct walk_result w;
	struct triage_result r;
	enum err e;

	if (d == NULL)
		goto limit;
	if ((e = read_dump(a, image, size, d, diag)) != ERR_OK)
		return e;
	fill(&r, d);
	if (fill_threads(a, d, &r, &threads) != ERR_OK ||
	    module_index_build(a, d->modules, d->n_modules, &modules) != ERR_OK ||
	    walk(a, d, &modules, opt, opt != NULL ? opt->images : NULL, &w) != ERR_OK)
		goto limit;
	take_walk(&r, &w);
	if (d->kernel != NULL) {
		r.has_kernel = true;
		kdump_facts(d->kernel, &r.kernel);
	}
	if (d->stop != NULL) {
		r.has_kernel = true;
		r.kernel = *d->stop;
	}
	if (r.has_signature && (sign(a, d, &modules, opt, &r) != ERR_OK || sign_function(a, d, &r) != ERR_OK))
		goto limit;
	if (opt != NULL && opt->all_threads && walk_others(a, d, image, size, &modules, opt, &r, threads) != ERR_OK)
		goto limit;
	*out = r;
	return ERR_OK;
limit:
	*diag = (struct diag){ ERR_LIMIT, "the dump needs more memory than it is given", 0 };
	return ERR_LIMIT;
}
