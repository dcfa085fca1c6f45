/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/kdump.h"
#include "triage/utf.h"

/* What the kernel's own structures say: debugger data, loaded and unloaded drivers,
 * processor, process. */

#define LIST_MAX      4096 /* drivers of a list in memory */
#define LIST_UNLOADED 50
#define PATH_BYTES    512

/* ---- KDDEBUGGER_DATA64 ---- */

static uint64_t
at(struct reader *r, size_t offset, unsigned width)
{
	r->pos = offset <= r->size ? offset : r->size;
	return width == 2 ? reader_u16(r) : width == 4 ? reader_u32(r) : reader_u64(r);
}

void
kd_debugger_data(struct kd *k, struct reader *r)
{
	struct kd_debugger *g = &k->debugger;

	if (at(r, 0x10, 4) != 0x4742444b) /* "KDBG" */
		return;
	g->module_list = at(r, 0x48, 8);
	g->build_lab = at(r, 0x208, 8);
	g->processor_block = at(r, 0x218, 8);
	g->unloaded = at(r, 0x220, 8);
	g->process_size = (uint16_t)at(r, 0x2a8, 2);
	g->prcb_size = (uint16_t)at(r, 0x2b0, 2);
	g->thread_process = (uint16_t)at(r, 0x2a0, 2);
	g->prcb_thread = (uint16_t)at(r, 0x2b4, 2);
	g->prcb_number = (uint16_t)at(r, 0x2be, 2);
	g->prcb_context = (uint16_t)at(r, 0x338, 2);
	g->valid = !reader_failed(r);
	if (!g->valid)
		*g = (struct kd_debugger){ 0 };
}

/* ---- drivers ---- */

bool
kd_module(struct kd *k, struct triage_module *m, uint64_t base, uint32_t size, uint32_t timestamp, uint32_t checksum)
{
	const char *id;

	if (size == 0 || size > UINT64_MAX - base) {
		dump_partial(k->d, "a driver without a size or around the end of the address space");
		return false;
	}
	id = utf_printf(k->arena, "%08x%x", timestamp, size);
	*m = (struct triage_module){
		.path = "", .base = base, .size = size, .debug_id = "", .version = "", .checksum = checksum
	};
	m->id = m->code_id = id != NULL ? id : "";
	return true;
}

/* UNICODE_STRING at va; "" when it is not in the dump. */
static const char *
unicode_string(struct kd *k, uint64_t va)
{
	uint8_t units[PATH_BYTES];
	uint64_t len, buffer;
	const char *s;

	if (!kd_uint(k, va, 2, &len) || !kd_pointer(k, va + k->width, &buffer) || len == 0)
		return "";
	if (len > sizeof(units))
		len = sizeof(units);
	if (!kd_read(k, buffer, units, (size_t)len))
		return "";
	s = utf_from_utf16(k->arena, units, (size_t)len / 2, false, PATH_BYTES);
	return s != NULL ? s : "";
}

static bool
read_entry(struct kd *k, uint64_t va, struct triage_module *m)
{
	uint64_t base, size, timestamp = 0, checksum = 0;
	bool wide = k->is64;

	if (!kd_pointer(k, va + (wide ? 0x30 : 0x18), &base) || !kd_uint(k, va + (wide ? 0x40 : 0x20), 4, &size))
		return false;
	kd_uint(k, va + (wide ? 0x78 : 0x40), 4, &checksum);
	kd_uint(k, va + (wide ? 0x9c : 0x44), 4, &timestamp);
	if (!kd_module(k, m, base, (uint32_t)size, (uint32_t)timestamp, (uint32_t)checksum))
		return false;
	m->path = unicode_string(k, va + (wide ? 0x48 : 0x24));
	if (*m->path == '\0')
		m->path = unicode_string(k, va + (wide ? 0x58 : 0x2c));
	return true;
}

enum err
kd_modules_of_list(struct kd *k)
{
	uint64_t head = k->debugger.module_list != 0 ? k->debugger.module_list : k->module_list, va, seen;
	struct dump *d = k->d;

	if (!kd_pointer(k, head, &va)) {
		dump_partial(d, "the list of drivers is not in the dump");
		return ERR_OK;
	}
	d->modules = ARENA_ARRAY(k->arena, struct triage_module, LIST_MAX + 1);
	if (d->modules == NULL)
		return ERR_LIMIT;
	/* a list that runs into a loop passes the place it was at after 2, 4, 8, … steps again */
	seen = va;
	for (size_t i = 1; va != head && i <= LIST_MAX; i++) {
		if (read_entry(k, va, &d->modules[d->n_modules]))
			d->n_modules++;
		if (!kd_pointer(k, va, &va)) {
			dump_partial(d, "the list of drivers breaks off");
			break;
		}
		if (va == seen && va != head) {
			dump_partial(d, "the list of drivers runs in a circle");
			break;
		}
		if ((i & (i - 1)) == 0)
			seen = va;
	}
	return ERR_OK;
}

/* MM_UNLOADED_DRIVERS: the name, then the range, then when it went. */
enum err
kd_unloaded_of_memory(struct kd *k)
{
	uint64_t list, stride = k->is64 ? 0x28 : 0x18, start, end, time;

	if (k->debugger.unloaded == 0 || !kd_pointer(k, k->debugger.unloaded, &list) || list == 0)
		return ERR_OK;
	k->unloaded = ARENA_ARRAY(k->arena, struct triage_unloaded, LIST_UNLOADED);
	if (k->unloaded == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < LIST_UNLOADED; i++, list += stride) {
		const char *name = unicode_string(k, list);

		if (!kd_pointer(k, list + 2 * k->width, &start) || !kd_pointer(k, list + 3 * k->width, &end))
			break;
		if (*name == '\0' || start >= end)
			continue;
		if (!kd_uint(k, list + 4 * k->width, 8, &time))
			time = 0;
		k->unloaded[k->n_unloaded++] =
			(struct triage_unloaded){ .name = name, .start = start, .end = end, .gone = kd_time(time) };
	}
	return ERR_OK;
}

/* ---- who ran where ---- */

static bool
printable(uint8_t c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '/' && c != ':';
}

/* Nobody tells where EPROCESS keeps the file name of its image: it is the one field of 15
 * bytes, filled up with zeros, that is named like a program. */
static size_t
process_name(const uint8_t *p)
{
	size_t n = 0;

	while (n < 15 && (printable(p[n]) || (n > 0 && p[n] == ' ')))
		n++;
	for (size_t i = n; i < 15; i++)
		if (p[i] != 0)
			return 0;
	if ((n > 4 && memcmp(p + n - 4, ".exe", 4) == 0) || (n == 6 && memcmp(p, "System", 6) == 0) ||
	    (n == 8 && memcmp(p, "Registry", 8) == 0) || (n == 14 && memcmp(p, "MemCompression", 14) == 0))
		return n;
	return 0;
}

/* The object's copy in a triage dump; elsewhere that of the thread that ran. */
static const char *
find_process(struct kd *k, uint64_t prcb)
{
	size_t size = k->debugger.process_size < 0x1000 ? k->debugger.process_size : 0x1000, n;
	uint8_t copy[0x1000];
	const uint8_t *p = copy;
	uint64_t thread, process;

	if (k->process_at != 0)
		p = kd_file(k, k->process_at, size);
	else if (prcb == 0 || !kd_pointer(k, prcb + k->debugger.prcb_thread, &thread) ||
		 !kd_pointer(k, thread + k->debugger.thread_process, &process) || !kd_read(k, process, copy, size))
		return "";
	for (size_t i = 0; p != NULL && i + 16 <= size; i += 8)
		if ((n = process_name(p + i)) > 0) {
			const char *s = utf_from_bytes(k->arena, p + i, n, 15);

			return s != NULL ? s : "";
		}
	return "";
}

/* The processor whose saved context is the one KeBugCheckEx was entered with; returns its block. */
static uint64_t
find_processor(struct kd *k)
{
	uint64_t prcb, n, context, want_sp = k->stack_top;
	const uint8_t *copy;

	if (!k->debugger.valid)
		return 0;
	if (k->prcb_at != 0) {
		copy = kd_file(k, k->prcb_at, k->debugger.prcb_size);
		if (copy != NULL && k->debugger.prcb_number + 4u <= k->debugger.prcb_size) {
			copy += k->debugger.prcb_number;
			n = copy[0] | (uint32_t)copy[1] << 8;
			k->processor = n < k->processors ? (int32_t)n : -1;
		}
		return 0;
	}
	if (k->stopped.valid)
		want_sp = k->stopped.sp;
	for (uint32_t i = 0; i < k->processors && i < 4096; i++) {
		size_t sp_at = k->d->arch == TRIAGE_ARCH_ARM64 ? 0x100 : k->is64 ? 0x98 : 0xc4;
		uint64_t sp;

		if (!kd_pointer(k, k->debugger.processor_block + (uint64_t)i * k->width, &prcb) || prcb == 0)
			return 0;
		if (kd_pointer(k, prcb + k->debugger.prcb_context, &context) && kd_pointer(k, context + sp_at, &sp) &&
		    sp == want_sp && sp != 0) {
			k->processor = (int32_t)i;
			return prcb;
		}
	}
	return 0;
}

void
kd_identity(struct kd *k)
{
	uint8_t text[128];
	size_t n = sizeof(text);
	const char *s;

	/* the text ends anywhere: take what is there */
	while (n > 0 && !(k->debugger.build_lab != 0 && kd_read(k, k->debugger.build_lab, text, n)))
		n /= 2;
	s = n > 0 ? utf_from_bytes(k->arena, text, n, n) : NULL;
	if (s != NULL && *s >= '0' && *s <= '9')
		k->build_lab = s;
	k->process = find_process(k, find_processor(k));
}
