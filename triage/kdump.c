/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/kdump.h"
#include "triage/utf.h"

#define FILLER32      UINT32_C(0x45474150) /* "PAGE": nobody wrote this field */
#define FILLER64      UINT64_C(0x4547415045474150)
#define MACHINE_X86   0x14c
#define MACHINE_ARM   0x1c4
#define MACHINE_X64   0x8664
#define MACHINE_ARM64 0xaa64
#define FILETIME_1970 UINT64_C(116444736000000000)

/* Not a crash: somebody asked for a dump of a machine that runs on. */
#define STOP_LIVE_DUMP 0x161
#define LIVE_DUMP      0x10u /* attributes of the header */
#define ENCRYPTED      0x100u
#define STOP_ACQUIRED  0x5454414d /* "MATT": a tool that reads out memory */

/* Where the header's fields are: 64-bit and 32-bit. */
static const struct layout {
	size_t size, build, dtb, module_list, machine, processors, bugcheck, params, debugger, runs, context,
		context_size, exception, type, time, uptime;
} layout64 = { 0x2000, 0xc, 0x10, 0x20, 0x30, 0x34, 0x38, 0x40, 0x80, 0x88, 0x348, 0x4d0, 0xf00, 0xf98, 0xfa8, 0x1030 },
  layout32 = { 0x1000, 0xc, 0x10, 0x18, 0x20, 0x24, 0x28, 0x2c, 0x60, 0x64, 0x320, 0x4b0, 0x7d0, 0xf88, 0xfc0, 0xfb8 };

static uint64_t
field(const struct kd *k, size_t at, unsigned width)
{
	struct reader r = k->file;
	uint64_t v;

	reader_skip(&r, at);
	v = width == 4 ? reader_u32(&r) : reader_u64(&r);
	return v == (width == 4 ? FILLER32 : FILLER64) ? 0 : v;
}

static enum triage_arch
arch_of(uint32_t machine)
{
	switch (machine) {
	case MACHINE_X86:
		return TRIAGE_ARCH_X86;
	case MACHINE_ARM:
		return TRIAGE_ARCH_ARM;
	case MACHINE_X64:
		return TRIAGE_ARCH_X64;
	case MACHINE_ARM64:
		return TRIAGE_ARCH_ARM64;
	default:
		return TRIAGE_ARCH_UNKNOWN;
	}
}

/* The header has only the build: Windows' versions by the first build of each. */
static const char *
os_version(struct kd *k)
{
	static const struct {
		uint32_t build;
		const char *version;
	} versions[] = { { 10240, "10.0" }, { 9600, "6.3" }, { 9200, "6.2" }, { 7600, "6.1" },
			 { 6000, "6.0" },   { 3790, "5.2" }, { 2600, "5.1" }, { 2195, "5.0" } };
	const char *s;

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (k->build >= versions[i].build) {
			s = utf_printf(k->arena, "%s.%u", versions[i].version, k->build);
			return s != NULL ? s : "";
		}
	return "";
}

int64_t
kd_time(uint64_t filetime)
{
	if (filetime <= FILETIME_1970 || (filetime - FILETIME_1970) / 10000000 > UINT32_MAX)
		return 0;
	return (int64_t)((filetime - FILETIME_1970) / 10000000);
}

static void
read_header(struct kd *k)
{
	const struct layout *l = k->is64 ? &layout64 : &layout32;
	unsigned w = k->width;
	uint64_t time;

	k->header_size = l->size;
	k->build = (uint32_t)field(k, l->build, 4);
	k->dtb = field(k, l->dtb, w);
	k->module_list = field(k, l->module_list, w);
	k->d->arch = arch_of((uint32_t)field(k, l->machine, 4));
	k->processors = (uint32_t)field(k, l->processors, 4);
	k->bugcheck = (uint32_t)field(k, l->bugcheck, 4);
	for (size_t i = 0; i < 4; i++)
		k->params[i] = field(k, l->params + i * w, w);
	k->debugger_at = field(k, l->debugger, w);
	k->type = (uint32_t)field(k, l->type, 4);
	k->runs_at = l->runs;
	k->context_at = l->context;
	k->context_size = l->context_size;
	k->exception_at = l->exception;
	if (!k->is64)
		k->pae = (field(k, 0x5c, 4) & 0xff) == 1;
	k->uptime = field(k, l->uptime, 8) / 10000000;
	time = field(k, l->time, 8);
	k->d->dump_time = kd_time(time);
	k->about = bugcheck_find(k->bugcheck);
	k->d->os_version = os_version(k);
}

/* The copy of the debugger's data in memory; it may be encoded there. */
static void
read_debugger_block(struct kd *k)
{
	uint8_t copy[0x380];
	struct reader r;

	if (k->debugger_at == 0 || !kd_read(k, k->debugger_at, copy, sizeof(copy)))
		return;
	reader_init(&r, copy, sizeof(copy), false);
	kd_debugger_data(k, &r);
}

static enum err
read_memory_and_modules(struct kd *k)
{
	enum err e;

	if (k->type == 4) {
		e = kd_triage_open(k);
	} else {
		e = kd_pages_open(k);
		if (e == ERR_OK && kd_find_levels(k, k->module_list))
			read_debugger_block(k);
		if (e == ERR_OK)
			e = kd_modules_of_list(k);
		if (e == ERR_OK)
			e = kd_unloaded_of_memory(k);
	}
	if (e == ERR_OK)
		e = module_index_build(k->arena, k->d->modules, k->d->n_modules, &k->modules);
	return e;
}

/* One thread is known: the one that ran on the processor that stopped. */
static enum err
make_thread(struct kd *k)
{
	struct dump *d = k->d;

	d->threads = ARENA_NEW(k->arena, struct dump_thread);
	if (d->threads == NULL)
		return ERR_LIMIT;
	d->n_threads = 1;
	d->crashing_thread = 0;
	return ERR_OK;
}

/* Whether the machine runs on: the header says so, or the code is one that exists for such dumps. */
static bool
is_live(const struct kd *k, uint64_t attributes)
{
	const char *name = bugcheck_name(k->bugcheck);
	size_t len = name != NULL ? strlen(name) : 0;

	return k->bugcheck == STOP_LIVE_DUMP || (attributes & LIVE_DUMP) ||
	       (len > 9 && (strcmp(name + len - 8, "LIVEDUMP") == 0 || strcmp(name + len - 9, "LIVE_DUMP") == 0));
}

enum err
kdump_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag)
{
	uint64_t attributes;
	struct kd *k = ARENA_NEW(a, struct kd);
	enum err e = ERR_LIMIT;

	*out = (struct dump){ .format = TRIAGE_FORMAT_KDUMP,
			      .os = TRIAGE_OS_WINDOWS,
			      .os_version = "",
			      .reason = "",
			      .partial_what = "",
			      .crashing_thread = -1 };
	if (k == NULL)
		goto failed;
	*k = (struct kd){
		.arena = a, .d = out, .kind = "header", .build_lab = "", .process = "", .how = "", .processor = -1
	};
	reader_init(&k->file, image, size, false);
	k->is64 = size >= 8 && memcmp((const uint8_t *)image + 4, "DU64", 4) == 0;
	k->width = k->is64 ? 8 : 4;
	if (kd_file(k, 0, k->is64 ? 0x2000 : 0x1000) == NULL) {
		*diag = (struct diag){ ERR_TRUNCATED, "the file ends inside the header of a kernel dump", size };
		return diag->code;
	}
	read_header(k);
	if (out->arch == TRIAGE_ARCH_UNKNOWN) {
		*diag = (struct diag){ ERR_UNSUPPORTED, "a kernel dump of an unknown processor",
				       k->is64 ? 0x30 : 0x20 };
		return diag->code;
	}
	out->kernel = k;
	attributes = k->is64 ? field(k, 0x1050, 4) : 0; /* not written by older systems */
	k->live = is_live(k, attributes);
	if (attributes & ENCRYPTED)
		dump_partial(out, "the memory in the dump is encrypted");
	out->has_exception = k->bugcheck != 0 && !k->live && k->bugcheck != STOP_ACQUIRED;
	out->code = k->bugcheck;
	if ((e = read_memory_and_modules(k)) != ERR_OK || (e = make_thread(k)) != ERR_OK)
		goto failed;
	if ((e = kd_fault(k)) != ERR_OK)
		goto failed;
	kd_identity(k);
	return ERR_OK;
failed:
	*diag = (struct diag){ e, "the dump needs more memory than it is given", 0 };
	return e;
}

void
kdump_facts(const struct kd *k, struct triage_kernel *out)
{
	*out = (struct triage_kernel){
		.bugcheck = k->bugcheck,
		.live = k->live,
		.kind = k->kind,
		.how = k->how,
		.build = k->build_lab,
		.process = k->process,
		.processors = k->processors,
		.processor = k->processor,
		.uptime = k->uptime,
		.unloaded = k->unloaded,
		.n_unloaded = k->n_unloaded,
	};
	memcpy(out->params, k->params, sizeof(out->params));
}
