/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "triage/scrub_private.h"

#define STACK_BELOW 256u                /* kept below a stack pointer: the red zone */
#define STACK_ABOVE ((uint64_t)8 << 20) /* kept above it: what a stack grows to by default */
#define SMALL       4096u

/* ---- pieces of memory ---- */

uint8_t *
scrub_bytes(struct scrub *s, const uint8_t *p)
{
	return s->image + (p - s->image);
}

const uint8_t *
scrub_memory(const struct scrub *s, uint64_t addr, uint64_t len)
{
	for (size_t i = 0; i < s->n_regions; i++) {
		const struct mem_region *r = &s->regions[i];

		if (addr >= r->addr && addr - r->addr < r->size && len <= r->size - (addr - r->addr))
			return r->data + (addr - r->addr);
	}
	return NULL;
}

bool
scrub_word(const struct scrub *s, uint64_t addr, unsigned width, uint64_t *out)
{
	const uint8_t *p = scrub_memory(s, addr, width);
	struct mem_region r = { addr, width, p };

	return p != NULL && region_read(&r, addr, width, s->d->big_endian, out);
}

static uint64_t
wipe(struct scrub *s, const uint8_t *at, uint64_t len)
{
	uint8_t *p = scrub_bytes(s, at);
	uint64_t n = 0;

	for (uint64_t i = 0; i < len; i++)
		n += p[i] != 0;
	if (n > 0)
		memset(p, 0, len);
	return n;
}

uint64_t
scrub_zero(struct scrub *s, uint64_t addr, uint64_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n_regions; i++) {
		const struct mem_region *r = &s->regions[i];
		uint64_t from = addr > r->addr ? addr : r->addr, to = addr + len;

		if (to > r->addr + r->size)
			to = r->addr + r->size;
		if (from < to)
			n += wipe(s, r->data + (from - r->addr), to - from);
	}
	return n;
}

/* ---- what stays ---- */

static int
by_from(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return (x->from > y->from) - (x->from < y->from);
}

static void
keep(struct scrub *s, uint64_t from, uint64_t len)
{
	uint64_t to = len > UINT64_MAX - from ? UINT64_MAX : from + len;

	if (to > from)
		s->keep[s->n_keep++] = (struct span){ from, to };
}

/* Put the last n spans in order and join what touches. */
static void
settle(struct scrub *s, size_t first)
{
	size_t n = first;

	qsort(s->keep + first, s->n_keep - first, sizeof(*s->keep), by_from);
	for (size_t i = first; i < s->n_keep; i++) {
		if (n > first && s->keep[i].from <= s->keep[n - 1].to) {
			if (s->keep[i].to > s->keep[n - 1].to)
				s->keep[n - 1].to = s->keep[i].to;
		} else {
			s->keep[n++] = s->keep[i];
		}
	}
	s->n_keep = n;
}

/* A stack of which only the pointer is known: what surrounds it in its piece of memory. */
static void
keep_around(struct scrub *s, uint64_t sp)
{
	const struct mem_region *r = mem_find(&s->d->mem, sp);
	uint64_t from, to;

	if (r == NULL)
		return;
	from = sp - r->addr > STACK_BELOW ? sp - STACK_BELOW : r->addr;
	to = r->addr + r->size - sp > STACK_ABOVE ? sp + STACK_ABOVE : r->addr + r->size;
	keep(s, from, to - from);
}

static enum err
choose(struct scrub *s)
{
	const struct dump *d = s->d;
	size_t cap = d->n_modules + d->exec.n + d->needed.n + d->n_threads + 1;

	if ((s->keep = ARENA_ARRAY(s->arena, struct span, cap)) == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < d->n_modules; i++)
		keep(s, d->modules[i].base, d->modules[i].size);
	for (size_t i = 0; i < d->exec.n; i++)
		keep(s, d->exec.regions[i].addr, d->exec.regions[i].size);
	for (size_t i = 0; i < d->needed.n; i++)
		keep(s, d->needed.regions[i].addr, d->needed.regions[i].size);
	settle(s, 0);
	s->n_code = s->n_keep;
	for (size_t i = 0; i < d->n_threads; i++) {
		const struct dump_thread *t = &d->threads[i];

		if (t->stack.size > 0)
			keep(s, t->stack.addr, t->stack.size);
		else if (t->sp != 0)
			keep_around(s, t->sp);
	}
	if (d->regs.valid)
		keep_around(s, d->regs.sp);
	settle(s, s->n_code);
	return ERR_OK;
}

/* The first span of [lo, hi) that ends behind addr, or hi. */
static size_t
span_after(const struct scrub *s, size_t lo, size_t hi, uint64_t addr)
{
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->keep[mid].to <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool
inside(const struct scrub *s, size_t lo, size_t hi, uint64_t addr)
{
	size_t i = span_after(s, lo, hi, addr);

	return i < hi && s->keep[i].from <= addr;
}

/* ---- heap and stacks ---- */

/* Where the next kept byte at or after addr is. */
static uint64_t
next_kept(const struct scrub *s, uint64_t addr)
{
	size_t code = span_after(s, 0, s->n_code, addr), stack = span_after(s, s->n_code, s->n_keep, addr);
	uint64_t a = code < s->n_code ? s->keep[code].from : UINT64_MAX;
	uint64_t b = stack < s->n_keep ? s->keep[stack].from : UINT64_MAX;

	return a < b ? a : b;
}

static uint64_t
kept_until(const struct scrub *s, uint64_t addr)
{
	size_t code = span_after(s, 0, s->n_code, addr), stack = span_after(s, s->n_code, s->n_keep, addr);
	uint64_t to = addr;

	if (code < s->n_code && s->keep[code].from <= addr)
		to = s->keep[code].to;
	if (stack < s->n_keep && s->keep[stack].from <= addr && s->keep[stack].to > to)
		to = s->keep[stack].to;
	return to;
}

static void
scrub_heap(struct scrub *s)
{
	for (size_t i = 0; i < s->n_regions; i++) {
		const struct mem_region *r = &s->regions[i];
		uint64_t at = r->addr, end = r->addr + r->size;

		while (at < end) {
			uint64_t stop = kept_until(s, at);

			if (stop > at) {
				at = stop;
				continue;
			}
			stop = next_kept(s, at);
			if (stop > end)
				stop = end;
			s->counts.heap += wipe(s, r->data + (at - r->addr), stop - at);
			at = stop;
		}
	}
}

/* A word that tells nothing but where code and stacks are. */
static bool
harmless(const struct scrub *s, uint64_t v, unsigned width)
{
	int64_t n = width == 4 ? (int32_t)v : (int64_t)v;

	if (n >= -(int64_t)SMALL && n <= (int64_t)SMALL)
		return true;
	if (inside(s, 0, s->n_code, v) || inside(s, s->n_code, s->n_keep, v))
		return true;
	/* with the authentication bits of a signed pointer */
	return s->d->arch == TRIAGE_ARCH_ARM64 && inside(s, 0, s->n_code, v & UINT64_C(0x7fffffffffff));
}

static void
scrub_stack(struct scrub *s, const struct mem_region *r, uint64_t from, uint64_t to)
{
	unsigned width = dump_pointer_width(s->d);

	/* a stack may end where the address space does */
	for (uint64_t at = (from + width - 1) & ~(uint64_t)(width - 1); at >= from && at < to && to - at >= width;
	     at += width) {
		uint64_t v;

		if (region_read(r, at, width, s->d->big_endian, &v) && !harmless(s, v, width))
			s->counts.stacks += wipe(s, r->data + (at - r->addr), width);
	}
}

static void
scrub_stacks(struct scrub *s)
{
	for (size_t i = 0; i < s->n_regions; i++) {
		const struct mem_region *r = &s->regions[i];
		uint64_t end = r->addr + r->size;

		for (size_t k = span_after(s, s->n_code, s->n_keep, r->addr); k < s->n_keep && s->keep[k].from < end;
		     k++)
			scrub_stack(s, r, s->keep[k].from > r->addr ? s->keep[k].from : r->addr,
				    s->keep[k].to < end ? s->keep[k].to : end);
	}
}

/* ---- the dump ---- */

static enum err
scrub_core(struct scrub *s)
{
	s->regions = s->d->mem.regions;
	s->n_regions = s->d->mem.n;
	s->auxv = s->d->auxv;
	if (s->d->arguments.size > 0)
		s->counts.arguments += scrub_arguments(scrub_bytes(s, s->d->arguments.data), s->d->arguments.size, 1,
						       true, s->opt->arguments);
	scrub_linux(s);
	return ERR_OK;
}

enum err
scrub_dump(struct arena *a, void *image, size_t size, const struct scrub_options *opt, struct scrub_counts *out,
	   struct diag *diag)
{
	static const uint8_t elf[4] = { 0x7f, 'E', 'L', 'F' }, page[4] = { 'P', 'A', 'G', 'E' };
	static const uint8_t mdmp[4] = { 'M', 'D', 'M', 'P' }, pmdm[4] = { 'P', 'M', 'D', 'M' };
	struct scrub s = { .arena = a, .image = image, .size = size, .opt = opt, .d = ARENA_NEW(a, struct dump) };
	bool minidump = size >= 4 && (memcmp(image, mdmp, 4) == 0 || memcmp(image, pmdm, 4) == 0);
	enum err e;

	if (s.d == NULL)
		goto limit;
	if (!minidump && (size < 4 || memcmp(image, elf, 4) != 0)) {
		*diag = (struct diag){ ERR_UNSUPPORTED, "only minidumps and ELF cores can be scrubbed", 0 };
		if (size >= 4 && memcmp(image, page, 4) == 0)
			diag->what = "a kernel dump: pages of programs cannot be told from those of the kernel";
		return diag->code;
	}
	e = minidump ? minidump_read(a, image, size, s.d, diag) : elfcore_read(a, image, size, s.d, diag);
	if (e != ERR_OK)
		return e;
	if (choose(&s) != ERR_OK || (minidump ? scrub_minidump(&s) : scrub_core(&s)) != ERR_OK)
		goto limit;
	if (opt->heap)
		scrub_heap(&s);
	if (opt->stacks)
		scrub_stacks(&s);
	*out = s.counts;
	return ERR_OK;
limit:
	*diag = (struct diag){ ERR_LIMIT, "the dump needs more memory than it is given", 0 };
	return ERR_LIMIT;
}
