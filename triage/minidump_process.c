/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/minidump.h"
#include "triage/utf.h"

/* What a minidump says about the process and its machine beside the crash. */

#define NAME_MAX_BYTES 256
#define TEXT_MAX_BYTES 4096
#define UNLOADED_MAX   1024
#define INFO_MAX       1000000u /* ranges of memory looked at */

/* ---- threads ---- */

static void
name_thread(struct dump *d, uint32_t tid, const char *name)
{
	for (size_t i = 0; i < d->n_threads; i++)
		if (d->threads[i].tid == tid && d->threads[i].name == NULL) {
			d->threads[i].name = name;
			return;
		}
}

static void
read_thread_names(struct md *m)
{
	struct reader r = md_stream(m, MD_THREAD_NAMES);
	uint32_t n = reader_u32(&r);
	size_t known = m->d->n_threads < 4096 ? m->d->n_threads : 4096; /* names × threads stays small */

	for (uint32_t i = 0; i < n && i < known && !reader_failed(&r); i++) {
		uint32_t tid = reader_u32(&r);
		uint64_t at = reader_u64(&r);
		const char *name;

		if (reader_failed(&r) || at == 0 || at > UINT32_MAX)
			continue;
		name = md_utf16(m, (uint32_t)at, NAME_MAX_BYTES);
		if (*name != '\0')
			name_thread(m->d, tid, name);
	}
}

/* ---- modules that were gone ---- */

static const char *
base_name(const char *path)
{
	const char *p = path;

	for (; *path != '\0'; path++)
		if (*path == '/' || *path == '\\')
			p = path + 1;
	return p;
}

static void
read_unloaded(struct md *m, struct triage_process *p)
{
	struct reader r = md_stream(m, MD_UNLOADED_LIST);
	uint32_t header = reader_u32(&r), entry = reader_u32(&r), n = reader_u32(&r);
	struct triage_unloaded *list;

	if (reader_failed(&r) || header < 12 || entry < 24)
		return;
	reader_skip(&r, header - 12u);
	if (reader_failed(&r))
		return;
	if (n > (r.size - r.pos) / entry)
		n = (uint32_t)((r.size - r.pos) / entry);
	if (n > UNLOADED_MAX)
		n = UNLOADED_MAX;
	if ((list = ARENA_ARRAY(m->arena, struct triage_unloaded, n)) == NULL)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct reader e = reader_sub(&r, r.pos, entry);
		uint64_t base = reader_u64(&e);
		uint32_t size = reader_u32(&e), timestamp, name;

		reader_skip(&e, 4); /* checksum */
		timestamp = reader_u32(&e);
		name = reader_u32(&e);
		list[i] = (struct triage_unloaded){ .name = base_name(md_utf16(m, name, NAME_MAX_BYTES)),
						    .start = base,
						    .end = size <= UINT64_MAX - base ? base + size : UINT64_MAX,
						    .timestamp = timestamp };
		reader_skip(&r, entry);
	}
	p->unloaded = list;
	p->n_unloaded = n;
}

/* ---- memory at the crash address ---- */

/* "rw- private": rights as /proc/PID/maps writes them. */
static const char *
describe(struct md *m, uint32_t state, uint32_t protect, uint32_t type)
{
	static const char *const rights[] = { "---", "r--", "rw-", "rw-", "--x", "r-x", "rwx", "rwx" };
	const char *right = "---", *kind = type == 0x1000000 ? "image" : type == 0x40000 ? "mapped" : "private";
	const char *s;

	if (state == 0x10000)
		return "free";
	if (state == 0x2000)
		return "reserved";
	for (unsigned i = 0; i < 8; i++)
		if (protect >> i & 1)
			right = rights[i];
	s = utf_printf(m->arena, "%s%s %s", right, protect & 0x100 ? " guard" : "", kind);
	return s != NULL ? s : "";
}

static void
read_memory_info(struct md *m, struct triage_process *p)
{
	struct reader r = md_stream(m, MD_MEMORY_INFO_LIST);
	uint32_t header = reader_u32(&r), entry = reader_u32(&r);
	uint64_t n = reader_u64(&r);

	if (reader_failed(&r) || header < 16 || entry < 48)
		return;
	reader_skip(&r, header - 16u);
	for (uint64_t i = 0; i < n && i < INFO_MAX && !reader_failed(&r); i++) {
		struct reader e = reader_sub(&r, r.pos, entry);
		uint64_t base = reader_u64(&e), size;
		uint32_t state, protect, type;

		reader_skip(&e, 16);
		size = reader_u64(&e);
		state = reader_u32(&e);
		protect = reader_u32(&e);
		type = reader_u32(&e);
		if (reader_failed(&e))
			return;
		if (m->d->address - base < size) {
			p->memory = describe(m, state, protect, type);
			return;
		}
		reader_skip(&r, entry);
	}
}

static bool
hex(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
	unsigned digits = 0;

	for (*out = 0; *p < end && digits <= 16; (*p)++, digits++) {
		unsigned c = **p, v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10u : 16;

		if (v == 16)
			break;
		*out = *out << 4 | v;
	}
	return digits > 0 && digits <= 16;
}

/* A line of /proc/PID/maps that covers the crash address. */
static void
read_maps(struct md *m, struct triage_process *p)
{
	struct reader r = md_stream(m, MD_LINUX_MAPS);
	const uint8_t *at = r.base, *end = r.base + (reader_failed(&r) ? 0 : r.size);

	if (reader_failed(&r) || r.size == 0)
		return;
	p->memory = "free";
	for (uint32_t lines = 0; at < end && lines < INFO_MAX; lines++) {
		const uint8_t *line = at, *stop = memchr(at, '\n', (size_t)(end - at)), *path;
		uint64_t from, to;
		const char *name = "", *rights, *s;

		stop = stop != NULL ? stop : end;
		at = stop < end ? stop + 1 : end;
		if (!hex(&line, stop, &from) || line == stop || *line++ != '-' || !hex(&line, stop, &to) ||
		    stop - line < 5 || m->d->address < from || m->d->address >= to)
			continue;
		for (path = stop; path > line + 5 && path[-1] != ' ' && path[-1] != '\t'; path--)
			;
		if (memchr(path, '/', (size_t)(stop - path)) != NULL || (path < stop && *path == '['))
			name = utf_from_bytes(m->arena, path, (size_t)(stop - path), NAME_MAX_BYTES);
		rights = utf_from_bytes(m->arena, line + 1, 3, 3);
		s = utf_printf(m->arena, "%s %s", rights != NULL ? rights : "",
			       name != NULL && *name ? name : "private");
		if (s != NULL)
			p->memory = s;
		return;
	}
}

/* ---- process and machine ---- */

static void
read_times(struct md *m, struct triage_process *p)
{
	struct reader r = md_stream(m, MD_MISC_INFO);
	uint32_t flags, created, user, kernel;

	reader_skip(&r, 4);
	flags = reader_u32(&r);
	reader_skip(&r, 4);
	created = reader_u32(&r);
	user = reader_u32(&r);
	kernel = reader_u32(&r);
	if (reader_failed(&r) || !(flags & 2))
		return;
	p->started = created;
	p->user_time = user;
	p->kernel_time = kernel;
}

static void
read_handles(struct md *m, struct triage_process *p)
{
	struct reader r = md_stream(m, MD_HANDLE_DATA);
	uint32_t header = reader_u32(&r), entry = reader_u32(&r), n = reader_u32(&r);

	if (!reader_failed(&r) && header >= 16 && entry >= 32 && n <= r.size / entry)
		p->handles = n;
}

/* What follows `key` and blanks, '=' or ':' on its line of a text stream; "". */
static const char *
value_of(struct md *m, uint32_t stream, const char *key)
{
	struct reader r = md_stream(m, stream);
	const uint8_t *p, *end, *stop;
	const char *s;

	if (reader_failed(&r) || r.size == 0 || (p = memmem(r.base, r.size, key, strlen(key))) == NULL)
		return "";
	end = r.base + r.size;
	for (p += strlen(key); p < end && (*p == ' ' || *p == '\t' || *p == ':' || *p == '=' || *p == '"'); p++)
		;
	for (stop = p; stop < end && *stop != '\n' && *stop != '"' && *stop != '\0'; stop++)
		;
	s = utf_from_bytes(m->arena, p, (size_t)(stop - p), NAME_MAX_BYTES);
	return s != NULL ? s : "";
}

static void
read_cpu(struct md *m, struct triage_process *p)
{
	struct reader r = md_stream(m, MD_SYSTEM_INFO);
	const uint8_t *vendor;

	reader_skip(&r, 6);
	p->cpus = reader_u8(&r);
	reader_skip(&r, 25);
	vendor = reader_bytes(&r, 12);
	p->cpu = value_of(m, MD_LINUX_CPU_INFO, "model name");
	if (*p->cpu == '\0' && vendor != NULL && m->d->arch == TRIAGE_ARCH_X86 &&
	    (p->cpu = utf_from_bytes(m->arena, vendor, 12, 12)) == NULL)
		p->cpu = "";
}

/* Arguments are separated by NUL: spaces for people. */
static void
read_command_line(struct md *m, struct triage_process *p)
{
	struct reader r = md_stream(m, MD_LINUX_CMD_LINE);
	size_t n = r.size < TEXT_MAX_BYTES ? r.size : TEXT_MAX_BYTES;
	uint8_t *copy;

	if (reader_failed(&r) || n == 0 || (copy = arena_calloc(m->arena, n, 1)) == NULL)
		return;
	memcpy(copy, r.base, n);
	while (n > 0 && copy[n - 1] == '\0')
		n--;
	for (size_t i = 0; i < n; i++)
		if (copy[i] == '\0')
			copy[i] = ' ';
	p->command_line = utf_from_bytes(m->arena, copy, n, TEXT_MAX_BYTES);
}

static void
read_soft_errors(struct md *m, struct triage_process *p)
{
	struct reader r = md_stream(m, MD_MOZ_SOFT_ERRORS);

	if (!reader_failed(&r) && r.size > 0)
		p->soft_errors = utf_from_bytes(m->arena, r.base, r.size, TEXT_MAX_BYTES);
}

void
minidump_read_process(struct md *m)
{
	struct triage_process *p = ARENA_NEW(m->arena, struct triage_process);

	read_thread_names(m);
	if (p == NULL)
		return;
	p->command_line = p->distribution = p->cpu = p->memory = p->soft_errors = "";
	read_times(m, p);
	read_cpu(m, p);
	read_handles(m, p);
	read_unloaded(m, p);
	if (m->d->has_address) {
		read_memory_info(m, p);
		if (*p->memory == '\0')
			read_maps(m, p);
	}
	p->distribution = value_of(m, MD_LINUX_LSB_RELEASE, "DISTRIB_DESCRIPTION");
	if (*p->distribution == '\0')
		p->distribution = value_of(m, MD_LINUX_LSB_RELEASE, "PRETTY_NAME");
	read_command_line(m, p);
	read_soft_errors(m, p);
	if (p->command_line == NULL)
		p->command_line = "";
	if (p->soft_errors == NULL)
		p->soft_errors = "";
	m->d->process = p;
}
