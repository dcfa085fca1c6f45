/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/reader.h"
#include "triage/scrub_private.h"

/* Minidumps name the same memory more than once (a stack in the thread list and in the memory list), so every
 * descriptor is followed here, not only those that the reader keeps. */

enum {
	THREAD_LIST = 3,
	MEMORY_LIST = 5,
	MEMORY64_LIST = 9,
	LINUX_CMD_LINE = 0x47670006,
	LINUX_ENVIRON = 0x47670007,
	LINUX_AUXV = 0x47670008,
};

#define REGIONS_MAX 600000u
#define TEBS_MAX    64u /* they share one process */

struct parse {
	struct scrub *s;
	struct reader file;
	size_t cap;
	uint64_t tebs[TEBS_MAX];
	size_t n_tebs;
};

static struct reader
part(const struct parse *p, uint64_t at, uint64_t size)
{
	struct reader copy = p->file;

	if (at <= copy.size && size > copy.size - at)
		size = copy.size - at; /* cut short: what there is */
	return reader_sub(&copy, at, size);
}

static void
add(struct parse *p, uint64_t addr, uint64_t at, uint64_t size)
{
	struct reader r = part(p, at, size);

	if (!reader_failed(&r) && at != 0 && r.size > 0 && r.size <= UINT64_MAX - addr && p->s->n_regions < p->cap)
		p->s->regions[p->s->n_regions++] = (struct mem_region){ addr, r.size, r.base };
}

/* The number of elements of a list, as the reader of minidumps counts them. */
static uint64_t
list(struct reader *r, size_t elem)
{
	uint64_t n = reader_u32(r), fit;

	if (reader_failed(r))
		return 0;
	if (r->size - r->pos == n * elem + 4)
		reader_skip(r, 4);
	fit = (r->size - r->pos) / elem;
	return n < fit ? n : fit;
}

static void
add_stream(struct parse *p, uint32_t type, struct reader r)
{
	uint64_t n, at;

	switch (type) {
	case THREAD_LIST:
		n = list(&r, 48);
		for (uint64_t i = 0; i < n; i++) {
			uint64_t teb, addr;
			uint32_t size;

			reader_skip(&r, 16);
			teb = reader_u64(&r);
			addr = reader_u64(&r);
			size = reader_u32(&r);
			at = reader_u32(&r);
			reader_skip(&r, 8);
			add(p, addr, at, size);
			if (p->n_tebs < TEBS_MAX)
				p->tebs[p->n_tebs++] = teb;
		}
		break;
	case MEMORY_LIST:
		n = list(&r, 16);
		for (uint64_t i = 0; i < n; i++) {
			uint64_t addr = reader_u64(&r), size = reader_u32(&r);

			add(p, addr, reader_u32(&r), size);
		}
		break;
	case MEMORY64_LIST:
		n = reader_u64(&r);
		at = reader_u64(&r);
		for (uint64_t i = 0; i < n && r.size - r.pos >= 16; i++) {
			uint64_t addr = reader_u64(&r), size = reader_u64(&r);

			add(p, addr, at, size);
			if (size > UINT64_MAX - at)
				break;
			at += size;
		}
		break;
	default:
		break;
	}
}

static uint64_t
zero_stream(struct scrub *s, const struct reader *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->size; i++)
		n += r->base[i] != 0;
	if (n > 0)
		memset(scrub_bytes(s, r->base), 0, r->size);
	return n;
}

static void
text_stream(struct scrub *s, uint32_t type, const struct reader *r)
{
	if (reader_failed(r) || r->size == 0)
		return;
	if (type == LINUX_ENVIRON && s->opt->environment)
		s->counts.environment += zero_stream(s, r);
	if (type == LINUX_CMD_LINE)
		s->counts.arguments += scrub_arguments(scrub_bytes(s, r->base), r->size, 1, false, s->opt->arguments);
	if (type == LINUX_AUXV)
		s->auxv = (struct mem_region){ 0, r->size, r->base };
}

enum err
scrub_minidump(struct scrub *s)
{
	struct parse p = { .s = s };
	struct reader r, dirs;
	uint32_t n, rva;

	reader_init(&p.file, s->image, s->size, s->d->big_endian);
	r = p.file;
	reader_skip(&r, 8);
	n = reader_u32(&r);
	rva = reader_u32(&r);
	dirs = part(&p, rva, (uint64_t)n * 12);
	p.cap = s->size / 16 < REGIONS_MAX ? s->size / 16 : REGIONS_MAX;
	if ((s->regions = ARENA_ARRAY(s->arena, struct mem_region, p.cap)) == NULL)
		return ERR_LIMIT;
	while (!reader_failed(&dirs) && dirs.size - dirs.pos >= 12) {
		uint32_t type = reader_u32(&dirs), size = reader_u32(&dirs), at = reader_u32(&dirs);
		struct reader stream = part(&p, at, size);

		if (!reader_failed(&stream))
			add_stream(&p, type, stream);
		text_stream(s, type, &stream);
	}
	if (s->d->os == TRIAGE_OS_WINDOWS)
		scrub_windows(s, p.tebs, p.n_tebs);
	else
		scrub_linux(s);
	return ERR_OK;
}
