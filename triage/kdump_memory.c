/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "triage/kdump.h"

/* Memory of a kernel dump: file pages, physical pages, page tables. */

#define PTE_PRESENT 1u
#define PTE_LARGE   0x80u
#define PFN_MASK    UINT64_C(0x000ffffffffff000)

const uint8_t *
kd_file(const struct kd *k, uint64_t at, uint64_t len)
{
	struct reader r = k->file;
	struct reader part = reader_sub(&r, at, len);

	return reader_failed(&r) ? NULL : part.base;
}

/* ---- which pages there are ---- */

static int
by_pfn(const void *pa, const void *pb)
{
	const struct kd_run *a = pa, *b = pb;

	return a->pfn < b->pfn ? -1 : a->pfn > b->pfn;
}

/* n runs of two words each at r, in the order of their pages; stops at a run without pages, and where
 * the file ends. */
static enum err
read_runs(struct kd *k, struct reader *r, size_t n, unsigned width)
{
	struct kd_run *runs = ARENA_ARRAY(k->arena, struct kd_run, n);
	uint64_t first = 0, fit = k->file.size > k->pages.at ? (k->file.size - k->pages.at) / KD_PAGE : 0;
	size_t used = 0;

	if (runs == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++) {
		uint64_t pfn = width == 4 ? reader_u32(r) : reader_u64(r);
		uint64_t count = width == 4 ? reader_u32(r) : reader_u64(r);

		if (reader_failed(r) || count == 0 || (pfn == 0 && i > 0))
			break;
		if (first >= fit || count > fit - first) {
			dump_partial(k->d, "the file ends before its last page");
			count = first < fit ? fit - first : 0;
		}
		if (count == 0 || count > UINT64_MAX / KD_PAGE - pfn || pfn > UINT64_MAX / KD_PAGE)
			break;
		runs[used++] = (struct kd_run){ pfn, count, first };
		first += count;
	}
	qsort(runs, used, sizeof(runs[0]), by_pfn);
	k->pages.runs = runs;
	k->pages.n_runs = used;
	return ERR_OK;
}

static enum err
open_full(struct kd *k)
{
	struct reader r = k->file;
	uint32_t n;

	k->kind = "full";
	k->pages.at = k->header_size;
	reader_skip(&r, k->runs_at);
	n = reader_u32(&r);
	reader_skip(&r, k->is64 ? 12 : 4); /* padding, number of pages */
	n = (uint32_t)reader_count(&r, n, 2 * k->width, k->is64 ? 42 : 86);
	if (n == 0)
		dump_partial(k->d, "the list of physical memory is damaged");
	return read_runs(k, &r, n, k->width);
}

static uint32_t
bits_in(const uint8_t *p, uint64_t len)
{
	uint32_t n = 0;
	uint64_t v;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&v, p, 8);
		n += (uint32_t)__builtin_popcountll(v);
	}
	for (; len > 0; p++, len--)
		n += (uint32_t)__builtin_popcount(*p);
	return n;
}

static enum err
open_bitmap(struct kd *k)
{
	struct reader r = k->file;
	struct kd_pages *p = &k->pages;
	uint64_t bytes, n_blocks;
	uint32_t *rank;
	uint32_t count = 0;

	k->kind = "bitmap";
	reader_skip(&r, k->header_size + 0x20);
	p->at = reader_u64(&r);
	p->n_present = reader_u64(&r);
	p->n_bits = reader_u64(&r);
	if (reader_failed(&r) || p->n_bits == 0)
		goto damaged;
	/* 16 TiB of physical memory; more than the file can hold is cut */
	if (p->n_bits > UINT32_MAX || (p->n_bits + 7) / 8 > r.size - r.pos) {
		dump_partial(k->d, "the map of pages is longer than the file or our limit");
		p->n_bits = UINT64_C(8) * (r.size - r.pos) < UINT32_MAX ? UINT64_C(8) * (r.size - r.pos) : UINT32_MAX;
	}
	bytes = (p->n_bits + 7) / 8;
	if ((p->bits = reader_bytes(&r, bytes)) == NULL)
		goto damaged;
	n_blocks = (p->n_bits + KD_RANK_BITS - 1) / KD_RANK_BITS;
	rank = ARENA_ARRAY(k->arena, uint32_t, n_blocks);
	if (rank == NULL)
		return ERR_LIMIT;
	for (uint64_t i = 0; i < n_blocks; i++) {
		uint64_t at = i * (KD_RANK_BITS / 8),
			 len = bytes - at < KD_RANK_BITS / 8 ? bytes - at : KD_RANK_BITS / 8;

		rank[i] = count;
		count += bits_in(p->bits + at, len);
	}
	p->rank = rank;
	return ERR_OK;
damaged:
	dump_partial(k->d, "the map of pages is damaged");
	p->bits = NULL;
	return ERR_OK;
}

/* Dumps of a recent debugger: runs of pages behind a header of their own. */
static enum err
open_ranges(struct kd *k)
{
	struct reader r = k->file;
	uint64_t fit;

	k->kind = "ranges";
	reader_skip(&r, k->header_size + 0x18);
	k->pages.at = reader_u64(&r);
	reader_skip(&r, 0x10);
	if (reader_failed(&r) || k->pages.at < r.pos || k->pages.at > r.size) {
		dump_partial(k->d, "the list of page ranges is damaged");
		return ERR_OK;
	}
	fit = (k->pages.at - r.pos) / 16;
	if (fit > KD_MAX_RUNS) {
		dump_partial(k->d, "more page ranges than our limit");
		fit = KD_MAX_RUNS;
	}
	return read_runs(k, &r, (size_t)fit, 8);
}

enum err
kd_pages_open(struct kd *k)
{
	const uint8_t *magic = kd_file(k, k->header_size, 8);
	const uint8_t *ranges = kd_file(k, k->header_size + 4, 8);

	if (k->type == 1)
		return open_full(k);
	if (magic != NULL && memcmp(magic + 4, "DUMP", 4) == 0 &&
	    (memcmp(magic, "SDMP", 4) == 0 || memcmp(magic, "FDMP", 4) == 0))
		return open_bitmap(k);
	if (ranges != NULL && memcmp(ranges, "RDMPDUMP", 8) == 0)
		return open_ranges(k);
	if (k->type != 3)
		dump_partial(k->d, "a kind of kernel dump whose memory cannot be read");
	k->kind = "header";
	return ERR_OK;
}

/* Number of a page in the file. */
static bool
page_number(const struct kd_pages *p, uint64_t pfn, uint64_t *out)
{
	size_t lo = 0, hi = p->n_runs;
	uint64_t at, n;

	if (p->bits != NULL) {
		if (pfn >= p->n_bits || !(p->bits[pfn / 8] >> pfn % 8 & 1))
			return false;
		at = pfn / KD_RANK_BITS * (KD_RANK_BITS / 8);
		n = (uint64_t)p->rank[pfn / KD_RANK_BITS] + bits_in(p->bits + at, pfn / 8 - at) +
		    (uint64_t)__builtin_popcount(p->bits[pfn / 8] & ((1u << pfn % 8) - 1));
		*out = n;
		return n < p->n_present;
	}
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->runs[mid].pfn <= pfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || pfn - p->runs[lo - 1].pfn >= p->runs[lo - 1].count)
		return false;
	*out = p->runs[lo - 1].first + (pfn - p->runs[lo - 1].pfn);
	return true;
}

static const uint8_t *
physical_page(const struct kd *k, uint64_t pa)
{
	uint64_t n;

	if (!page_number(&k->pages, pa / KD_PAGE, &n) || n > (UINT64_MAX - k->pages.at) / KD_PAGE)
		return NULL;
	return kd_file(k, k->pages.at + n * KD_PAGE, KD_PAGE);
}

/* ---- page tables ---- */

static uint64_t
number(const uint8_t *p, unsigned width)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

/* Entry i of the table at pa; 0, which is never present, when the table is not in the dump. */
static uint64_t
entry(const struct kd *k, uint64_t table, uint64_t i, unsigned width)
{
	uint64_t pa = table + i * width;
	const uint8_t *page = physical_page(k, pa);

	return page != NULL ? number(page + pa % KD_PAGE, width) : 0;
}

/* Walk tables of 512 entries from the level whose index begins at bit `shift` down.  A page in
 * transition or in the page file has no valid entry: it counts as absent.  arm64 marks a table by bit 1
 * and a block by its absence, x64 a large page by bit 7; at the last level neither ends the walk. */
static bool
walk_tables(const struct kd *k, uint64_t table, uint64_t va, unsigned shift, bool arm, uint64_t *pa_out)
{
	for (;; shift -= 9) {
		uint64_t e = entry(k, table, va >> shift & 0x1ff, 8), base = e & PFN_MASK;
		bool leaf = shift == 12, large = arm ? !(e & 2) : (e & PTE_LARGE) != 0;

		if (arm)
			base &= UINT64_C(0x0000fffffffff000);
		if (!(e & PTE_PRESENT) || (leaf && arm && large) || (shift == 39 && large && arm))
			return false;
		if (leaf || (shift < 39 && large)) {
			uint64_t offset = (UINT64_C(1) << shift) - 1;

			*pa_out = (base & ~offset) | (va & offset);
			return true;
		}
		table = base;
	}
}

static bool
walk_x86(const struct kd *k, uint64_t va, uint64_t *pa_out)
{
	uint64_t e;

	if (k->pae) {
		e = entry(k, k->dtb & ~UINT64_C(0x1f), va >> 30 & 3, 8);
		return (e & PTE_PRESENT) && walk_tables(k, e & PFN_MASK, va, 21, false, pa_out);
	}
	e = entry(k, k->dtb & ~UINT64_C(0xfff), va >> 22 & 0x3ff, 4);
	if (!(e & PTE_PRESENT))
		return false;
	if (e & PTE_LARGE) {
		*pa_out = (e & 0xffc00000) | (va & 0x3fffff);
		return true;
	}
	e = entry(k, e & 0xfffff000, va >> 12 & 0x3ff, 4);
	*pa_out = (e & 0xfffff000) | (va & 0xfff);
	return e & PTE_PRESENT;
}

static bool
translate(const struct kd *k, uint64_t va, uint64_t *pa_out)
{
	if (!k->is64)
		return walk_x86(k, va, pa_out);
	/* the low bits of CR3 are the PCID; on arm64 the table's halves are both address spaces */
	return walk_tables(k, k->dtb & PFN_MASK, va, k->five_levels ? 48 : 39, k->d->arch == TRIAGE_ARCH_ARM64, pa_out);
}

/* ---- virtual memory ---- */

const uint8_t *
kd_at(const struct kd *k, uint64_t va, uint64_t *len_out)
{
	const struct mem_region *r = mem_find(&k->blocks, va);
	const uint8_t *page;
	uint64_t pa;

	if (r != NULL) {
		*len_out = r->size - (va - r->addr);
		return r->data + (size_t)(va - r->addr);
	}
	if ((k->pages.bits == NULL && k->pages.n_runs == 0) || !translate(k, va, &pa) ||
	    (page = physical_page(k, pa)) == NULL)
		return NULL;
	*len_out = KD_PAGE - pa % KD_PAGE;
	return page + pa % KD_PAGE;
}

bool
kd_find_levels(struct kd *k, uint64_t va)
{
	uint64_t n;

	if (kd_at(k, va, &n) != NULL)
		return true;
	k->five_levels = k->d->arch == TRIAGE_ARCH_X64;
	if (kd_at(k, va, &n) != NULL)
		return true;
	k->five_levels = false;
	return false;
}

bool
kd_read(const struct kd *k, uint64_t va, void *out, size_t len)
{
	uint8_t *to = out;

	while (len > 0) {
		uint64_t n;
		const uint8_t *p = kd_at(k, va, &n);

		if (p == NULL)
			return false;
		if (n > len)
			n = len;
		memcpy(to, p, (size_t)n);
		to += n;
		len -= (size_t)n;
		va += n;
	}
	return true;
}

bool
kd_uint(const struct kd *k, uint64_t va, unsigned width, uint64_t *out)
{
	uint8_t b[8];

	if (!kd_read(k, va, b, width))
		return false;
	*out = number(b, width);
	return true;
}

bool
kd_pointer(const struct kd *k, uint64_t va, uint64_t *out)
{
	return kd_uint(k, va, k->width, out);
}
