/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "triage/kdump.h"
#include "triage/utf.h"

/* Triage ("small") dumps: TRIAGE_DUMP behind the header says where everything is.  All
 * offsets are those of the file. */

#define NAME_MAX_BYTES 512
#define UNLOADED_NAME  24 /* bytes */

struct triage_header {
	uint32_t size, valid_at, unloaded_at, prcb_at, process_at;
	uint32_t stack_at, stack_size, drivers_at, n_drivers, names_at;
	uint64_t stack_top, page_address;
	uint32_t page_at, page_size, debugger_at, debugger_size, blocks_at, n_blocks;
};

static bool
read_header(struct kd *k, struct triage_header *h)
{
	struct reader r = k->file;

	reader_skip(&r, k->header_size + 4);
	h->size = reader_u32(&r);
	h->valid_at = reader_u32(&r);
	reader_skip(&r, 12); /* context, exception, memory manager */
	h->unloaded_at = reader_u32(&r);
	h->prcb_at = reader_u32(&r);
	h->process_at = reader_u32(&r);
	reader_skip(&r, 4); /* thread */
	h->stack_at = reader_u32(&r);
	h->stack_size = reader_u32(&r);
	h->drivers_at = reader_u32(&r);
	h->n_drivers = reader_u32(&r);
	h->names_at = reader_u32(&r);
	reader_skip(&r, 12); /* size of the names, broken driver, options */
	h->stack_top = k->is64 ? reader_u64(&r) : reader_u32(&r);
	if (k->is64)
		reader_skip(&r, 16);
	h->page_address = k->is64 ? reader_u64(&r) : reader_u32(&r);
	h->page_at = reader_u32(&r);
	h->page_size = reader_u32(&r);
	h->debugger_at = reader_u32(&r);
	h->debugger_size = reader_u32(&r);
	h->blocks_at = reader_u32(&r);
	h->n_blocks = reader_u32(&r);
	return !reader_failed(&r);
}

/* [at, at + size) of the file is memory from addr on; cut at the end of the file. */
static void
add_block(struct kd *k, uint64_t addr, uint64_t at, uint64_t size)
{
	const uint8_t *p;

	if (size == 0 || addr == 0)
		return;
	if (at >= k->file.size || size > k->file.size - at) {
		dump_partial(k->d, "memory lies outside the file");
		if (at >= k->file.size)
			return;
		size = k->file.size - at;
	}
	if ((p = kd_file(k, at, size)) != NULL && size <= UINT64_MAX - addr)
		k->blocks.regions[k->blocks.n++] = (struct mem_region){ addr, size, p };
}

static int
by_start(const void *pa, const void *pb)
{
	const struct mem_region *a = pa, *b = pb;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

/* Blocks overlap: each keeps what none before it has. */
static void
settle_blocks(struct mem *m)
{
	size_t kept = 0;
	uint64_t end = 0;

	qsort(m->regions, m->n, sizeof(m->regions[0]), by_start);
	for (size_t i = 0; i < m->n; i++) {
		struct mem_region r = m->regions[i];

		if (r.addr < end) {
			uint64_t cut = end - r.addr;

			if (cut >= r.size)
				continue;
			r = (struct mem_region){ end, r.size - cut, r.data + (size_t)cut };
		}
		end = r.addr + r.size;
		m->regions[kept++] = r;
	}
	m->n = kept;
}

static enum err
read_blocks(struct kd *k, const struct triage_header *h)
{
	struct reader r = k->file;
	size_t elem = k->is64 ? 16 : 12;
	uint64_t n = h->n_blocks, fit;

	reader_skip(&r, h->blocks_at);
	fit = reader_failed(&r) ? 0 : (r.size - r.pos) / elem;
	if (n > fit || n > KD_MAX_BLOCKS) {
		dump_partial(k->d, "more blocks of memory than the file or our limit has");
		n = fit < KD_MAX_BLOCKS ? fit : KD_MAX_BLOCKS;
	}
	k->blocks.regions = ARENA_ARRAY(k->arena, struct mem_region, (size_t)n + 3);
	if (k->blocks.regions == NULL)
		return ERR_LIMIT;
	add_block(k, h->stack_top, h->stack_at, h->stack_size);
	if (k->blocks.n == 1)
		k->stack = k->blocks.regions[0];
	if (k->stack.size > KD_STACK_MAX)
		k->stack.size = KD_STACK_MAX;
	add_block(k, k->debugger_at, h->debugger_at, h->debugger_size);
	add_block(k, h->page_address, h->page_at, h->page_size);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t addr = k->is64 ? reader_u64(&r) : reader_u32(&r);
		uint32_t at = reader_u32(&r), size = reader_u32(&r);

		add_block(k, addr, at, size);
	}
	settle_blocks(&k->blocks);
	return ERR_OK;
}

/* DUMP_STRING: a count of UTF-16 units, then the units. */
static const char *
dump_string(struct kd *k, uint32_t at)
{
	struct reader r = k->file;
	const uint8_t *units;
	const char *s;
	uint32_t n;

	reader_skip(&r, at);
	n = reader_u32(&r);
	units = reader_bytes(&r, UINT64_C(2) * n);
	s = units != NULL ? utf_from_utf16(k->arena, units, n, false, NAME_MAX_BYTES) : NULL;
	return s != NULL ? s : "";
}

/* Entries of the list differ in length between builds: the names follow them at once. */
static uint32_t
driver_stride(const struct kd *k, const struct triage_header *h)
{
	uint32_t least = k->is64 ? 0x90 : 0x4c, stride;

	if (h->n_drivers == 0 || h->names_at <= h->drivers_at)
		return least;
	stride = (h->names_at - h->drivers_at) / h->n_drivers;
	return stride >= least && stride <= 0x200 && stride % 4 == 0 ? stride : least;
}

static enum err
read_drivers(struct kd *k, const struct triage_header *h)
{
	uint32_t stride = driver_stride(k, h), n = h->n_drivers;
	struct reader list = k->file;
	uint64_t fit;

	reader_skip(&list, h->drivers_at);
	fit = reader_failed(&list) ? 0 : (list.size - list.pos) / stride;
	if (n > fit || n > TRIAGE_MAX_MODULES) {
		dump_partial(k->d, "more drivers than the file or our limit has");
		n = (uint32_t)(fit < TRIAGE_MAX_MODULES ? fit : TRIAGE_MAX_MODULES);
	}
	k->d->modules = ARENA_ARRAY(k->arena, struct triage_module, (size_t)n + 1);
	if (k->d->modules == NULL)
		return ERR_LIMIT;
	for (uint32_t i = 0; i < n; i++) {
		struct reader r = reader_sub(&list, list.pos, stride);
		uint32_t name = reader_u32(&r), size, checksum, timestamp;
		uint64_t base;

		reader_skip(&list, stride);
		reader_skip(&r, k->is64 ? 0x34 : 0x18);
		base = k->is64 ? reader_u64(&r) : reader_u32(&r);
		reader_skip(&r, k->is64 ? 8 : 4);
		size = reader_u32(&r);
		reader_skip(&r, k->is64 ? 0x34 : 0x1c);
		checksum = reader_u32(&r);
		reader_skip(&r, k->is64 ? 4 : 0);
		timestamp = reader_u32(&r);
		if (kd_module(k, &k->d->modules[k->d->n_modules], base, size, timestamp, checksum))
			k->d->modules[k->d->n_modules++].path = dump_string(k, name);
	}
	return ERR_OK;
}

/* DUMP_UNLOADED_DRIVERS: a count, then a counted string without its text, the text, the range. */
static enum err
read_unloaded(struct kd *k, const struct triage_header *h)
{
	struct reader r = k->file;
	uint64_t n, fit, entry = k->is64 ? 0x38 : 0x28;

	if (h->unloaded_at == 0)
		return ERR_OK;
	reader_skip(&r, h->unloaded_at);
	n = k->is64 ? reader_u64(&r) : reader_u32(&r);
	fit = reader_failed(&r) ? 0 : (r.size - r.pos) / entry;
	if (n > fit || n > KD_MAX_UNLOADED) {
		dump_partial(k->d, "more unloaded drivers than the file or our limit has");
		n = fit < KD_MAX_UNLOADED ? fit : KD_MAX_UNLOADED;
	}
	k->unloaded = ARENA_ARRAY(k->arena, struct triage_unloaded, (size_t)n);
	if (k->unloaded == NULL)
		return ERR_LIMIT;
	for (uint64_t i = 0; i < n; i++) {
		size_t len = reader_u16(&r);
		const uint8_t *name;
		const char *s;
		uint64_t start, end;

		reader_skip(&r, k->is64 ? 14 : 6);
		name = reader_bytes(&r, UNLOADED_NAME);
		start = k->is64 ? reader_u64(&r) : reader_u32(&r);
		end = k->is64 ? reader_u64(&r) : reader_u32(&r);
		if (name == NULL || reader_failed(&r))
			break;
		s = utf_from_utf16(k->arena, name, (len < UNLOADED_NAME ? len : UNLOADED_NAME) / 2, false, 64);
		if (s != NULL && *s != '\0' && start < end)
			k->unloaded[k->n_unloaded++] =
				(struct triage_unloaded){ .name = s, .start = start, .end = end };
	}
	return ERR_OK;
}

enum err
kd_triage_open(struct kd *k)
{
	struct triage_header h = { 0 };
	const uint8_t *valid;
	enum err e;

	k->kind = "triage";
	if (!read_header(k, &h)) {
		dump_partial(k->d, "the header of the triage dump is cut off");
		return ERR_OK;
	}
	valid = kd_file(k, h.valid_at, 4);
	if (valid == NULL || memcmp(valid, "TRGD", 4) != 0)
		dump_partial(k->d, "the end mark of the triage dump is missing");
	if (h.size > k->file.size)
		dump_partial(k->d, "the file is cut short");
	k->stack_top = h.stack_top;
	if ((e = read_blocks(k, &h)) != ERR_OK || (e = read_drivers(k, &h)) != ERR_OK ||
	    (e = read_unloaded(k, &h)) != ERR_OK)
		return e;
	k->prcb_at = h.prcb_at;
	k->process_at = h.process_at;
	if (h.debugger_at != 0) {
		struct reader r = k->file;

		r = reader_sub(&r, h.debugger_at, h.debugger_size);
		kd_debugger_data(k, &r);
	}
	return ERR_OK;
}
