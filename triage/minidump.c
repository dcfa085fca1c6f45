/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/minidump.h"
#include "triage/reason.h"
#include "triage/utf.h"

#define MD_SIGNATURE   0x504d444d /* "MDMP" */
#define MD_VERSION     0xa793
#define MD_MAX_DIRS    4096
#define MD_MAX_REGIONS 262144
#define MD_NAME_MAX    1024 /* bytes of a path or text that are kept */

/* ---- getting at bytes ---- */

struct reader
md_at(struct md *m, uint64_t rva, uint64_t size)
{
	struct reader copy = m->file;

	if (rva > copy.size || size > copy.size - rva) {
		dump_partial(m->d, "the file ends before or inside a record");
		size = rva > copy.size ? size : copy.size - rva;
	}
	return reader_sub(&copy, rva, size);
}

struct reader
md_stream(struct md *m, uint32_t type)
{
	struct reader none = m->file;

	for (size_t i = 0; i < m->n_dirs; i++)
		if (m->dirs[i].type == type)
			return md_at(m, m->dirs[i].rva, m->dirs[i].size);
	reader_fail(&none, ERR_ABSENT, "no such stream");
	return none;
}

size_t
md_list(struct md *m, struct reader *r, size_t elem, size_t limit)
{
	uint64_t n = reader_u32(r), fit;

	if (reader_failed(r))
		return 0;
	/* some writers align the elements to 8 bytes */
	if (r->size - r->pos == n * elem + 4)
		reader_skip(r, 4);
	fit = (r->size - r->pos) / elem;
	if (n > fit || n > limit) {
		dump_partial(m->d, "a list is longer than its stream or our limit");
		n = fit < limit ? fit : limit;
	}
	return (size_t)n;
}

const char *
md_utf16(struct md *m, uint32_t rva, size_t max)
{
	struct reader r = m->file;
	const uint8_t *units;
	const char *s;
	uint32_t len;

	r.pos = rva <= r.size ? rva : r.size;
	len = reader_u32(&r);
	if (reader_failed(&r) || rva == 0)
		return "";
	if (len > r.size - r.pos)
		len = (uint32_t)(r.size - r.pos);
	units = reader_bytes(&r, len);
	s = units != NULL ? utf_from_utf16(m->arena, units, len / 2, r.big_endian, max) : NULL;
	return s != NULL ? s : "";
}

const char *
md_utf8(struct md *m, uint32_t rva, size_t max)
{
	struct reader r = m->file;
	const uint8_t *bytes;
	const char *s;
	uint32_t len;

	r.pos = rva <= r.size ? rva : r.size;
	len = reader_u32(&r);
	if (reader_failed(&r) || rva == 0)
		return "";
	if (len > r.size - r.pos)
		len = (uint32_t)(r.size - r.pos);
	bytes = reader_bytes(&r, len);
	s = bytes != NULL ? utf_from_bytes(m->arena, bytes, len, max) : NULL;
	return s != NULL ? s : "";
}

/* ---- streams ---- */

static enum triage_os
os_of(uint32_t platform)
{
	switch (platform) {
	case 1: /* Windows 95 line */
	case 2: /* Windows NT */
		return TRIAGE_OS_WINDOWS;
	case 0x8101:
		return TRIAGE_OS_MACOS;
	case 0x8102:
		return TRIAGE_OS_IOS;
	case 0x8201:
		return TRIAGE_OS_LINUX;
	case 0x8202:
		return TRIAGE_OS_SOLARIS;
	case 0x8203:
		return TRIAGE_OS_ANDROID;
	case 0x8204:
		return TRIAGE_OS_PS3;
	case 0x8205:
		return TRIAGE_OS_NACL;
	case 0x8206:
		return TRIAGE_OS_FUCHSIA;
	default:
		return TRIAGE_OS_UNKNOWN;
	}
}

static enum triage_arch
arch_of(uint16_t raw)
{
	switch (raw) {
	case 0:
	case 10: /* x86 on 64-bit Windows */
		return TRIAGE_ARCH_X86;
	case 1:
		return TRIAGE_ARCH_MIPS;
	case 3:
		return TRIAGE_ARCH_PPC;
	case 5:
		return TRIAGE_ARCH_ARM;
	case 6:
		return TRIAGE_ARCH_IA64;
	case 9:
		return TRIAGE_ARCH_X64;
	case 12:
	case 0x8003: /* Breakpad's number before Microsoft had one */
		return TRIAGE_ARCH_ARM64;
	case 0x8001:
		return TRIAGE_ARCH_SPARC;
	case 0x8002:
		return TRIAGE_ARCH_PPC64;
	case 0x8004:
		return TRIAGE_ARCH_MIPS64;
	case 0x8005:
		return TRIAGE_ARCH_RISCV;
	case 0x8006:
		return TRIAGE_ARCH_RISCV64;
	default:
		return TRIAGE_ARCH_UNKNOWN;
	}
}

static void
read_system_info(struct md *m)
{
	struct reader r = md_stream(m, MD_SYSTEM_INFO);
	uint32_t major, minor, build, platform, csd;
	const char *service, *s;

	m->raw_arch = reader_u16(&r);
	reader_skip(&r, 6); /* level, revision, processors, product */
	major = reader_u32(&r);
	minor = reader_u32(&r);
	build = reader_u32(&r);
	platform = reader_u32(&r);
	csd = reader_u32(&r);
	if (reader_failed(&r)) {
		m->raw_arch = UINT16_MAX;
		dump_partial(m->d, "no system information");
		return;
	}
	m->d->os = os_of(platform);
	m->d->arch = arch_of(m->raw_arch);
	m->d->raw_arch = m->raw_arch;
	service = md_utf16(m, csd, 256);
	if (major == 0 && minor == 0 && build == 0)
		s = service; /* Breakpad on Linux: the whole of uname */
	else
		s = utf_printf(m->arena, "%u.%u.%u%s%s", major, minor, build, *service ? " " : "", service);
	if (s != NULL)
		m->d->os_version = s;
}

static void
read_misc_info(struct md *m)
{
	struct reader r = md_stream(m, MD_MISC_INFO);
	uint32_t flags, pid;
	const uint8_t *status;

	reader_skip(&r, 4);
	flags = reader_u32(&r);
	pid = reader_u32(&r);
	if (!reader_failed(&r) && (flags & 1)) {
		m->d->process_id = pid;
		return;
	}
	/* Breakpad on Linux copies /proc/PID/status */
	r = md_stream(m, MD_LINUX_PROC_STATUS);
	if (reader_failed(&r) || (status = memmem(r.base, r.size, "\nPid:\t", 6)) == NULL)
		return;
	pid = 0;
	for (status += 6; status < r.base + r.size && *status >= '0' && *status <= '9'; status++)
		pid = pid * 10 + (*status - '0');
	m->d->process_id = pid;
}

static enum err
read_threads(struct md *m)
{
	struct reader r = md_stream(m, MD_THREAD_LIST);
	size_t elem = 48, n;

	if (reader_failed(&r)) {
		r = md_stream(m, MD_THREAD_EX_LIST);
		elem = 64;
	}
	n = md_list(m, &r, elem, TRIAGE_MAX_THREADS);
	if (n == 0)
		return ERR_OK;
	m->d->threads = ARENA_ARRAY(m->arena, struct dump_thread, n);
	if (m->d->threads == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++) {
		struct dump_thread *t = &m->d->threads[i];
		uint32_t stack_size, stack_rva;
		struct reader stack;

		t->tid = reader_u32(&r);
		reader_skip(&r, 4 + 4 + 4 + 8); /* suspend count, priorities, TEB */
		t->stack_addr = reader_u64(&r);
		stack_size = reader_u32(&r);
		stack_rva = reader_u32(&r);
		t->context_size = reader_u32(&r);
		t->context_at = reader_u32(&r);
		reader_skip(&r, elem - 48);
		if (stack_size == 0 || stack_rva == 0)
			continue;
		stack = md_at(m, stack_rva, stack_size);
		if (!reader_failed(&stack) && stack.size <= UINT64_MAX - t->stack_addr)
			t->stack = (struct mem_region){ t->stack_addr, stack.size, stack.base };
	}
	m->d->n_threads = n;
	return ERR_OK;
}

static void
add_region(struct md *m, uint64_t addr, uint64_t rva, uint64_t size)
{
	struct mem *mem = &m->d->mem;
	struct reader r;

	if (size == 0)
		return;
	r = md_at(m, rva, size);
	if (reader_failed(&r)) {
		dump_partial(m->d, "memory lies outside the file");
		return;
	}
	if (r.size != 0 && r.size <= UINT64_MAX - addr)
		mem->regions[mem->n++] = (struct mem_region){ addr, r.size, r.base };
}

static enum err
read_memory64(struct md *m, struct reader *r)
{
	uint64_t n = reader_u64(r), rva = reader_u64(r), fit;

	if (reader_failed(r))
		return ERR_OK;
	fit = (r->size - r->pos) / 16;
	if (n > fit || n > MD_MAX_REGIONS) {
		dump_partial(m->d, "more memory ranges than their stream or our limit");
		n = fit < MD_MAX_REGIONS ? fit : MD_MAX_REGIONS;
	}
	m->d->mem.regions = ARENA_ARRAY(m->arena, struct mem_region, (size_t)n);
	if (m->d->mem.regions == NULL)
		return ERR_LIMIT;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t addr = reader_u64(r), size = reader_u64(r);

		add_region(m, addr, rva, size);
		if (size > UINT64_MAX - rva)
			break;
		rva += size;
	}
	return ERR_OK;
}

static enum err
read_memory(struct md *m)
{
	struct reader r = md_stream(m, MD_MEMORY64_LIST);
	size_t n;

	m->d->mem.big_endian = m->file.big_endian;
	if (!reader_failed(&r)) {
		enum err e = read_memory64(m, &r);

		if (e != ERR_OK || m->d->mem.n > 0) {
			mem_sort(&m->d->mem);
			return e;
		}
	}
	r = md_stream(m, MD_MEMORY_LIST);
	n = md_list(m, &r, 16, MD_MAX_REGIONS);
	m->d->mem.regions = ARENA_ARRAY(m->arena, struct mem_region, n);
	if (m->d->mem.regions == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++) {
		uint64_t addr = reader_u64(&r);
		uint32_t size = reader_u32(&r), rva = reader_u32(&r);

		add_region(m, addr, rva, size);
	}
	mem_sort(&m->d->mem);
	return ERR_OK;
}

/* ---- exception and crashing thread ---- */

static int32_t
find_thread(const struct dump *d, uint32_t tid)
{
	for (size_t i = d->n_threads; i-- > 0;)
		if (d->threads[i].tid == tid)
			return (int32_t)i;
	return -1;
}

static void
read_exception_record(struct reader *r, struct exception_record *e)
{
	e->code = reader_u32(r);
	e->flags = reader_u32(r);
	reader_skip(r, 8);
	e->address = reader_u64(r);
	e->n_params = reader_u32(r);
	reader_skip(r, 4);
	for (int i = 0; i < 15; i++)
		e->params[i] = reader_u64(r);
	if (e->n_params > 15)
		e->n_params = 15;
}

static void
read_exception(struct md *m)
{
	struct reader r = md_stream(m, MD_EXCEPTION);
	struct exception_record e = { 0 };
	struct dump *d = m->d;
	char text[REASON_TEXT_MAX];
	uint32_t tid, size, at;
	const char *s;

	if (reader_failed(&r))
		return;
	tid = reader_u32(&r);
	reader_skip(&r, 4);
	read_exception_record(&r, &e);
	size = reader_u32(&r);
	at = reader_u32(&r);
	if (reader_failed(&r)) {
		dump_partial(d, "the exception record is cut off");
		return;
	}
	reason_text(d->os, d->arch, &e, text);
	if ((s = utf_printf(m->arena, "%s", text)) != NULL)
		d->reason = s;
	d->has_exception = true;
	d->code = e.code;
	d->subcode = e.flags;
	d->has_address = true;
	d->address = reason_address(d->os, d->arch, &e);
	d->crashing_tid = tid;
	d->crashing_thread = find_thread(d, tid);
	minidump_read_context(m, at, size, &d->regs);
}

/* Without an exception the thread that asked for the dump is of interest. */
static void
read_requesting_thread(struct md *m)
{
	struct reader r = md_stream(m, MD_BREAKPAD_INFO);
	uint32_t validity, dumper, asker;

	if (reader_failed(&r))
		return;
	validity = reader_u32(&r);
	dumper = reader_u32(&r);
	asker = reader_u32(&r);
	if (reader_failed(&r) || !(validity & 2) || ((validity & 1) && dumper == asker))
		return;
	m->d->crashing_tid = asker;
	m->d->crashing_thread = find_thread(m->d, asker);
}

static void
read_crash(struct md *m)
{
	struct dump *d = m->d;

	d->crashing_thread = -1;
	read_exception(m);
	if (!d->has_exception)
		read_requesting_thread(m);
	if (!d->regs.valid && d->crashing_thread >= 0) {
		const struct dump_thread *t = &d->threads[d->crashing_thread];

		minidump_read_context(m, t->context_at, t->context_size, &d->regs);
	}
}

/* ---- the file ---- */

static enum err
read_header(struct md *m, struct diag *diag)
{
	struct reader r = m->file;
	uint32_t n, rva, version;
	struct reader dirs;

	reader_skip(&r, 4);
	version = reader_u32(&r);
	n = reader_u32(&r);
	rva = reader_u32(&r);
	reader_skip(&r, 4);
	m->d->dump_time = reader_u32(&r);
	reader_skip(&r, 8);
	if (reader_failed(&r)) {
		*diag = r.err;
		return diag->code;
	}
	if ((version & 0xffff) != MD_VERSION)
		dump_partial(m->d, "unknown version of the format");
	dirs = md_at(m, rva, (uint64_t)n * 12);
	if (reader_failed(&dirs)) {
		*diag = dirs.err;
		return diag->code;
	}
	if (n > dirs.size / 12)
		n = (uint32_t)(dirs.size / 12);
	if (n > MD_MAX_DIRS) {
		n = MD_MAX_DIRS;
		dump_partial(m->d, "too many streams");
	}
	m->dirs = ARENA_ARRAY(m->arena, struct md_dir, n);
	if (m->dirs == NULL) {
		*diag = (struct diag){ ERR_LIMIT, "out of memory for this dump", 0 };
		return ERR_LIMIT;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t type = reader_u32(&dirs), size = reader_u32(&dirs), at = reader_u32(&dirs);

		m->dirs[i] = (struct md_dir){ type, size, at };
	}
	m->n_dirs = n;
	return ERR_OK;
}

enum err
minidump_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag)
{
	static const uint8_t swapped[4] = { 'P', 'M', 'D', 'M' };
	struct md m = { .arena = a, .d = out };
	enum err e;

	*out = (struct dump){ .format = TRIAGE_FORMAT_MINIDUMP,
			      .os_version = "",
			      .reason = "",
			      .partial_what = "",
			      .crashing_thread = -1 };
	out->big_endian = size >= 4 && memcmp(image, swapped, 4) == 0;
	reader_init(&m.file, image, size, out->big_endian);
	if ((e = read_header(&m, diag)) != ERR_OK)
		return e;
	read_system_info(&m);
	read_misc_info(&m);
	if ((e = read_threads(&m)) != ERR_OK || (e = minidump_read_modules(&m)) != ERR_OK ||
	    (e = read_memory(&m)) != ERR_OK) {
		*diag = (struct diag){ e, "out of memory for this dump", 0 };
		return e;
	}
	read_crash(&m);
	minidump_read_process(&m);
	minidump_read_annotations(&m);
	if (out->n_threads == 0 && !out->has_exception) {
		*diag = (struct diag){ ERR_MALFORMED, "a minidump without threads and without an exception", 0 };
		return ERR_MALFORMED;
	}
	return ERR_OK;
}
