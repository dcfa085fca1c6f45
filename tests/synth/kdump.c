/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/synth/synth.h"

/* Windows kernel dumps.  First a sparse address space is filled, with page tables of its own; then
 * it is written out: as data blocks behind a TRIAGE_DUMP, or page by page. */

#define PAGE      4096u
#define MAX_PAGES 96
#define FILLER    0x45474150u

#define DEBUGGER         UINT64_C(0xfffff8061c600b20)
#define LIST_HEAD        UINT64_C(0xfffff8061c62a390)
#define ENTRIES          UINT64_C(0xffff8d8c10000000) /* one driver's record per 0x200 bytes, then its name */
#define LAB              UINT64_C(0xfffff8061c600f00)
#define BLOCKS           UINT64_C(0xfffff8061c600800) /* KiProcessorBlock */
#define PRCB             UINT64_C(0xfffff80618b40000)
#define THREAD           UINT64_C(0xffff8d8c10003000) /* its process is 0x200 behind it */
#define PRCB_SIZE        0x200u
#define PRCB_CTX         0x100u
#define STOPPED          UINT64_C(0xfffff80618b41000) /* the context KeBugCheckEx was entered with */
#define UNLOADED         UINT64_C(0xffff8d8c10002000)
#define UNLOADED_POINTER UINT64_C(0xfffff8061c600c80 + 0x400)

static const struct synth_module drivers[] = {
	{ .path = "\\SystemRoot\\system32\\ntoskrnl.exe",
	  .base = SYNTH_KD_NT,
	  .size = 0x1046000,
	  .timestamp = 0x0d8333e6 },
	{ .path = "\\SystemRoot\\system32\\hal.dll",
	  .base = SYNTH_KD_NT - 0x10000,
	  .size = 0x6000,
	  .timestamp = 0x1a7be8e9 },
	{ .path = "\\SystemRoot\\System32\\drivers\\CSagent.sys",
	  .base = SYNTH_KD_AGENT,
	  .size = 0x2ab000,
	  .timestamp = 0x668d9a8f },
};
#define N_DRIVERS (sizeof(drivers) / sizeof(drivers[0]))

struct page {
	uint64_t pfn;
	uint8_t bytes[PAGE];
};

struct space {
	const struct synth_kdump *c;
	struct page pages[MAX_PAGES];
	size_t n;
	uint64_t vas[MAX_PAGES]; /* virtual page of each page that is one, 0: a table */
	uint64_t next_pfn;
};

static unsigned
width(const struct synth_kdump *c)
{
	return c->x86 ? 4 : 8;
}

static uint64_t
narrow(const struct synth_kdump *c, uint64_t va)
{
	return c->x86 ? (uint32_t)va : va;
}

static void
put(uint8_t *p, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t
get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static struct page *
find(struct space *s, uint64_t pfn)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->pages[i].pfn == pfn)
			return &s->pages[i];
	return NULL;
}

static struct page *
add(struct space *s, uint64_t pfn, uint64_t va)
{
	if (s->n == MAX_PAGES)
		abort();
	s->pages[s->n].pfn = pfn;
	s->vas[s->n] = va;
	return &s->pages[s->n++];
}

/* Pages come with holes between them, so that there are several runs. */
static uint64_t
new_pfn(struct space *s)
{
	s->next_pfn += s->next_pfn % 5 == 0 ? 3 : 1;
	return s->next_pfn;
}

/* Entry i of table; a fresh table below it unless there is one. */
static uint64_t
descend(struct space *s, uint64_t table, uint64_t i, unsigned n)
{
	struct page *t = find(s, table);
	uint64_t e = get(t->bytes + i * n, n), pfn;

	if (e != 0)
		return e >> 12;
	pfn = new_pfn(s);
	put(t->bytes + i * n, pfn << 12 | (s->c->x86 && s->c->pae ? 1 : 3), n);
	add(s, pfn, 0);
	return pfn;
}

/* The page of va, mapped; nt's own memory lies in large pages. */
static struct page *
touch(struct space *s, uint64_t va)
{
	bool wide = !s->c->x86 || s->c->pae, large;
	unsigned n = wide ? 8 : 4;
	uint64_t table = s->pages[0].pfn, pfn, region;
	struct page *t;

	for (size_t i = 0; i < s->n; i++)
		if (s->vas[i] == (va & ~(uint64_t)(PAGE - 1)))
			return &s->pages[i];
	large = va >= narrow(s->c, SYNTH_KD_NT) && va < narrow(s->c, SYNTH_KD_NT) + 0x1000000;
	region = wide ? 0x200000 : 0x400000;
	if (!s->c->x86) {
		if (s->c->five_levels)
			table = descend(s, table, va >> 48 & 0x1ff, 8);
		table = descend(s, table, va >> 39 & 0x1ff, 8);
		table = descend(s, table, va >> 30 & 0x1ff, 8);
	} else if (s->c->pae) {
		table = descend(s, table, va >> 30 & 3, 8);
	}
	if (large) {
		uint64_t first = region == 0x200000 ? 0x200 * (1 + (va >> 21 & 0xf)) : 0x400 * (1 + (va >> 22 & 7));
		uint64_t i = wide ? va >> 21 & 0x1ff : va >> 22 & 0x3ff;

		/* a global PAT page; arm64 knows it by the missing table bit */
		put(find(s, table)->bytes + i * n,
		    first << 12 | (s->c->arm64          ? 1
				   : s->c->x86 && !wide ? 0x81
							: 0x1083),
		    n);
		pfn = first + (va % region) / PAGE;
		return add(s, pfn, va & ~(uint64_t)(PAGE - 1));
	}
	table = descend(s, table, wide ? va >> 21 & 0x1ff : va >> 22 & 0x3ff, n);
	pfn = new_pfn(s);
	t = find(s, table);
	put(t->bytes + (wide ? va >> 12 & 0x1ff : va >> 12 & 0x3ff) * n, pfn << 12 | 3, n);
	return add(s, pfn, va & ~(uint64_t)(PAGE - 1));
}

static void
store(struct space *s, uint64_t va, uint64_t v, unsigned n)
{
	va = narrow(s->c, va);
	for (unsigned i = 0; i < n; i++)
		touch(s, va + i)->bytes[(va + i) % PAGE] = (uint8_t)(v >> 8 * i);
}

static void
pointer(struct space *s, uint64_t va, uint64_t v)
{
	store(s, va, narrow(s->c, v), width(s->c));
}

static void
text16(struct space *s, uint64_t va, const char *text)
{
	for (size_t i = 0; text[i] != '\0'; i++)
		store(s, va + 2 * i, (uint8_t)text[i], 2);
}

/* ---- what is in memory ---- */

static void
fill_context(struct space *s, uint64_t va, uint64_t pc, uint64_t sp)
{
	if (s->c->x86) {
		store(s, va, 0x10007, 4);
		store(s, va + 0xb4, SYNTH_KD_STACK + 0x480, 4);
		store(s, va + 0xb8, pc, 4);
		store(s, va + 0xc4, sp, 4);
	} else if (s->c->arm64) {
		store(s, va, 0x400007, 4);
		store(s, va + 0xf0, SYNTH_KD_STACK + 0x480, 8);
		store(s, va + 0x100, sp, 8);
		store(s, va + 0x108, pc, 8);
	} else {
		store(s, va + 0x30, 0x10000f, 4);
		store(s, va + 0x98, sp, 8);
		store(s, va + 0xb0, SYNTH_KD_STACK + 0x400, 8); /* rdi, which only the driver uses */
		store(s, va + 0xf8, pc, 8);
	}
}

/* KeBugCheckEx, its callers, the trap frame, csagent.sys and what called it. */
static void
fill_stack(struct space *s)
{
	uint64_t at = SYNTH_KD_STACK, w = width(s->c), trap = SYNTH_KD_STACK + 0x200;

	pointer(s, at,
		s->c->direct_call ? SYNTH_KD_AGENT + 0x1235 : SYNTH_KD_NT + 0x3f2d41); /* caller of KeBugCheckEx */
	pointer(s, at + 5 * w, SYNTH_KD_NT + 0x2aa111);                                /* MmAccessFault */
	pointer(s, at + 20 * w, SYNTH_KD_NT + 0x40cb5d);                               /* KiPageFault */
	if (!s->c->no_trap_frame && !s->c->x86 && !s->c->arm64) {
		store(s, trap + 0x158, SYNTH_KD_STACK + 0x480, 8);
		store(s, trap + 0x168, SYNTH_KD_IP, 8);
		store(s, trap + 0x170, 0x10, 2);
		store(s, trap + 0x178, 0x50282, 4);
		store(s, trap + 0x180, SYNTH_KD_STACK + 0x400, 8);
		store(s, trap + 0x188, 0x18, 2);
	}
	if (!s->c->no_trap_frame && s->c->arm64) {
		store(s, trap, 1, 1); /* of an exception */
		store(s, trap + 0x90, 0x60000004, 4);
		store(s, trap + 0x98, SYNTH_KD_STACK + 0x400, 8);
		store(s, trap + 0x138, SYNTH_KD_AGENT + 0xe1480, 8);
		store(s, trap + 0x140, SYNTH_KD_STACK + 0x480, 8);
		store(s, trap + 0x148, SYNTH_KD_IP & ~UINT64_C(3), 8);
	}
	pointer(s, at + 0x400, 0x11);
	pointer(s, at + 0x400 + w, SYNTH_KD_AGENT + 0x150010);    /* data */
	pointer(s, at + 0x400 + 2 * w, SYNTH_KD_AGENT + 0xe1700); /* code, but after no call */
	if (s->c->arm64) {
		pointer(s, at + 0x480, SYNTH_KD_STACK + 0x4c0); /* frame records; pointer authentication bits */
		store(s, at + 0x488, (SYNTH_KD_AGENT + 0xe1668) & ~(UINT64_C(0x7f) << 56), 8);
		pointer(s, at + 0x4c0, 0);
		pointer(s, at + 0x4c8, SYNTH_KD_AGENT + 0x9a124);
		pointer(s, at + 0x500, SYNTH_KD_NT + 0x24a7b4);
	} else {
		if (s->c->x86) { /* frame records there too, beside what scanning finds */
			pointer(s, at + 0x480, SYNTH_KD_STACK + 0x4c0);
			pointer(s, at + 0x484, SYNTH_KD_AGENT + 0xe1667);
			pointer(s, at + 0x4c0, 0);
			pointer(s, at + 0x4c4, SYNTH_KD_AGENT + 0x9a121);
			pointer(s, at + 0x500, SYNTH_KD_NT + 0x24a7b5);
		}
		pointer(s, at + 0x400 + 3 * w, SYNTH_KD_AGENT + 0xe1667);
		pointer(s, at + 0x400 + 6 * w, SYNTH_KD_AGENT + 0x9a121);
		pointer(s, at + 0x400 + 9 * w, SYNTH_KD_NT + 0x24a7b5);
	}
	pointer(s, at + 0x600, 0);
}

static void
bytes(struct space *s, uint64_t va, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		store(s, va + i, ((const uint8_t *)p)[i], 1);
}

/* What the three functions of the driver that are on the stack did to it, as .pdata and its records tell. */
static void
fill_unwind_data(struct space *s)
{
	static const uint32_t begins[] = { 0x9a000, 0xe1400, 0xe1640 }, ends[] = { 0x9a200, 0xe1600, 0xe1700 };
	static const uint8_t x64[3][8] = {
		{ 1, 4, 1, 0, 4, 0x12 }, /* 16 bytes of locals each, but the one that faulted 24 */
		{ 1, 4, 1, 0, 4, 0x22 },
		{ 1, 4, 1, 0, 4, 0x12 },
	};
	/* the same, but with rdi as its frame register */
	static const uint8_t by_rdi[8] = { 1, 4, 2, 7, 4, 0x03, 4, 0x22 };
	static const uint8_t arm64[3][8] = {
		{ 0x80, 0, 0, 0x08, 0xd2, 0xc6, 0x04, 0xe4 }, /* lr above 48 bytes of 64 */
		{ 0x80, 0, 0, 0x08, 0x50, 0x09, 0xe4, 0xe4 }, /* a frame record above 128 of 144 */
		{ 0x30, 0, 0, 0x08, 0x46, 0x04, 0xe4, 0xe4 },
	};
	uint64_t at = SYNTH_KD_PDATA;

	for (unsigned i = 0; i < 3; i++) {
		uint64_t record = SYNTH_KD_PDATA + 0x100 + 8 * i;

		store(s, at, begins[i], 4);
		if (!s->c->arm64)
			store(s, at + 4, ends[i], 4);
		store(s, at + (s->c->arm64 ? 4 : 8), record - SYNTH_KD_AGENT, 4);
		at += s->c->arm64 ? 8 : 12;
		bytes(s, record, s->c->arm64 ? arm64[i] : i == 1 && s->c->kernel_unwind_data ? by_rdi : x64[i], 8);
	}
	store(s, SYNTH_KD_AGENT + 0x98 + 112 + 24, SYNTH_KD_PDATA - SYNTH_KD_AGENT, 4);
	store(s, SYNTH_KD_AGENT + 0x98 + 116 + 24, at - SYNTH_KD_PDATA, 4);
}

/* Headers of an image with three sections. */
static void
fill_headers(struct space *s, const struct synth_module *m, const uint32_t sections[3][3])
{
	uint64_t at = m->base, table = m->base + 0x80 + 24 + 0xf0;

	store(s, at, 0x5a4d, 2);
	store(s, at + 0x3c, 0x80, 4);
	store(s, at + 0x80, 0x4550, 4);
	store(s, at + 0x84, s->c->x86 ? 0x14c : s->c->arm64 ? 0xaa64 : 0x8664, 2);
	store(s, at + 0x86, 3, 2);
	store(s, at + 0x88, m->timestamp, 4);
	store(s, at + 0x94, 0xf0, 2);
	store(s, at + 0x98, s->c->x86 ? 0x10b : 0x20b, 2);
	store(s, at + 0x98 + 56, m->size, 4);
	store(s, at + 0x98 + 60, 0x400, 4);
	store(s, at + 0x98 + (s->c->x86 ? 92 : 108), 16, 4);
	for (unsigned i = 0; i < 3; i++, table += 40) {
		store(s, table + 8, sections[i][1], 4);
		store(s, table + 12, sections[i][0], 4);
		store(s, table + 36, sections[i][2], 4);
	}
}

/* The kernel's own functions between the fault and the stop; the fault's handler has a machine frame with an error
 * code behind it. */
static void
fill_kernel_unwind_data(struct space *s)
{
	static const uint32_t sections[3][3] = { { 0x1000, 0x5ff000, 0x60000020 },
						 { 0x600000, 0xa40000, 0xc0000040 },
						 { 0x1040000, 0x1000, 0x40000040 } };
	static const struct {
		uint32_t begin, end;
		uint8_t record[12];
	} functions[] = {
		{ 0x24a000, 0x24b000, { 1, 0, 0, 0 } },
		{ 0x2aa000, 0x2ab000, { 1, 4, 1, 0, 4, 0xd2 } },
		{ 0x3f2000, 0x3f3000, { 1, 4, 1, 0, 4, 0x32 } },
		{ 0x3fd700, 0x3fd800, { 1, 4, 1, 0, 4, 0x42 } },
		{ 0x40cb00, 0x40cc00, { 1, 8, 3, 0, 8, 0x01, 0x57, 0, 0, 0x1a } },
	};
	uint64_t at = SYNTH_KD_NT_PDATA;

	fill_headers(s, &drivers[0], sections);
	store(s, SYNTH_KD_NT + 0x98 + 112 + 24, SYNTH_KD_NT_PDATA - SYNTH_KD_NT, 4);
	store(s, SYNTH_KD_NT + 0x98 + 116 + 24, 12 * 5, 4);
	for (unsigned i = 0; i < 5; i++, at += 12) {
		uint64_t record = SYNTH_KD_NT_PDATA + 0x100 + 16 * i;

		store(s, at, functions[i].begin, 4);
		store(s, at + 4, functions[i].end, 4);
		store(s, at + 8, record - SYNTH_KD_NT, 4);
		bytes(s, record, functions[i].record, 12);
	}
}

/* The driver's headers (.text, .data and .pdata), and a page of its code that has one call. */
static void
fill_image(struct space *s)
{
	static const uint32_t sections[3][3] = { { 0x1000, 0x100000, 0x60000020 },
						 { 0x101000, 0x1a9000, 0xc0000040 },
						 { 0x2aa000, 0x1000, 0x40000040 } };
	uint64_t at = SYNTH_KD_AGENT;

	fill_headers(s, &drivers[2], sections);
	if (s->c->arm64)
		store(s, at + 0xe1664, 0x97ffff00, 4);
	else
		store(s, at + 0xe1662, 0xe8, 1);
	if (s->c->unwind_data)
		fill_unwind_data(s);
	if (s->c->kernel_unwind_data)
		fill_kernel_unwind_data(s);
}

static void
fill_records(struct space *s)
{
	uint64_t w = width(s->c), at = SYNTH_KD_RECORD;

	if (!s->c->context_records)
		return;
	store(s, at, 0xc0000005, 4);
	pointer(s, at + 8 + w, SYNTH_KD_IP);
	store(s, at + 8 + 2 * w, 2, 4);
	pointer(s, at + 8 + 2 * w + (w == 8 ? 8 : 4), 0);
	pointer(s, at + 8 + 3 * w + (w == 8 ? 8 : 4), UINT64_C(0xffff840500000074));
	fill_context(s, SYNTH_KD_CONTEXT, SYNTH_KD_IP, SYNTH_KD_STACK + 0x400);
}

static uint64_t
entry_of(const struct space *s, size_t i)
{
	return i < N_DRIVERS ? ENTRIES + 0x200 * i : s->c->list_loops ? ENTRIES : LIST_HEAD;
}

static void
fill_drivers(struct space *s)
{
	bool wide = !s->c->x86;
	uint64_t w = width(s->c);

	pointer(s, LIST_HEAD, entry_of(s, 0));
	for (size_t i = 0; i < N_DRIVERS; i++) {
		uint64_t at = entry_of(s, i), name = at + (wide ? 0x48 : 0x24);
		size_t len = 2 * strlen(drivers[i].path);

		pointer(s, at, entry_of(s, i + 1));
		pointer(s, at + (wide ? 0x30 : 0x18), drivers[i].base);
		store(s, at + (wide ? 0x40 : 0x20), drivers[i].size, 4);
		store(s, name, len, 2);
		pointer(s, name + w, at + 0x100);
		store(s, at + (wide ? 0x78 : 0x40), 0xabc0 + i, 4);
		store(s, at + (wide ? 0x9c : 0x44), drivers[i].timestamp, 4);
		text16(s, at + 0x100, drivers[i].path);
	}
	pointer(s, UNLOADED_POINTER, UNLOADED);
	store(s, UNLOADED, 14, 2);
	pointer(s, UNLOADED + w, UNLOADED + 0x800);
	text16(s, UNLOADED + 0x800, "dam.sys");
	pointer(s, UNLOADED + 2 * w, SYNTH_KD_AGENT + 0x1000000);
	pointer(s, UNLOADED + 3 * w, SYNTH_KD_AGENT + 0x101c000);
	store(s, UNLOADED + 4 * w, UINT64_C(133658381410000000), 8); /* a minute before */
}

static void
fill_kernel(struct space *s)
{
	const char *lab = "19041.1.amd64fre.vb_release.191206-1406";

	store(s, DEBUGGER + 0x10, 0x4742444b, 4);
	store(s, DEBUGGER + 0x14, 0x380, 4);
	store(s, DEBUGGER + 0x48, narrow(s->c, LIST_HEAD), 8);
	store(s, DEBUGGER + 0x208, narrow(s->c, LAB), 8);
	store(s, DEBUGGER + 0x218, narrow(s->c, BLOCKS), 8);
	store(s, DEBUGGER + 0x220, narrow(s->c, UNLOADED_POINTER), 8);
	store(s, DEBUGGER + 0x2a8, 0x100, 2);
	store(s, DEBUGGER + 0x2b0, PRCB_SIZE, 2);
	store(s, DEBUGGER + 0x2a0, 0xb8, 2);
	store(s, DEBUGGER + 0x2b4, 8, 2);
	store(s, DEBUGGER + 0x2be, 0x24, 2);
	store(s, DEBUGGER + 0x338, PRCB_CTX, 2);
	store(s, DEBUGGER + 0x37f, 0, 1);
	for (size_t i = 0; i <= strlen(lab); i++)
		store(s, LAB + i, (uint8_t)lab[i], 1);
	store(s, LAB + 127, 0, 1);
	for (unsigned i = 0; i < 4; i++)
		pointer(s, BLOCKS + i * width(s->c), PRCB + i * PRCB_SIZE);
	pointer(s, THREAD + 0xb8, THREAD + 0x200);
	for (size_t i = 0; i < 12; i++)
		store(s, THREAD + 0x258 + i, (uint8_t) "csfalcon.exe"[i], 1);
	for (unsigned i = 0; i < 4; i++) {
		store(s, PRCB + i * PRCB_SIZE + 0x24, i, 4);
		pointer(s, PRCB + i * PRCB_SIZE + 8, THREAD);
		pointer(s, PRCB + i * PRCB_SIZE + PRCB_CTX, i == 2 ? STOPPED : STOPPED + 0x800);
	}
	fill_context(s, STOPPED, SYNTH_KD_NT + 0x3fd700, SYNTH_KD_STACK);
	fill_context(s, STOPPED + 0x800, SYNTH_KD_NT + 0x3fd700, SYNTH_KD_STACK + 0x100000);
}

/* ---- the file ---- */

static void
put_header(struct synth *o, const struct space *s)
{
	const struct synth_kdump *c = s->c;
	unsigned w = width(c);
	size_t context = c->x86 ? 0x320 : 0x348;

	for (size_t i = 0; i < (c->x86 ? 0x400u : 0x800u); i++)
		synth_u32(o, FILLER);
	memcpy(o->p, c->x86 ? "PAGEDUMP" : "PAGEDU64", 8);
	synth_patch(o, 8, 15, 4);
	synth_patch(o, 0xc, 19041, 4);
	synth_patch(o, 0x10, s->pages[0].pfn << 12 | c->dtb_flags, w);
	synth_patch(o, c->x86 ? 0x18 : 0x20, narrow(c, LIST_HEAD), w);
	synth_patch(o, c->x86 ? 0x20 : 0x30, c->x86 ? 0x14c : c->arm64 ? 0xaa64 : 0x8664, 4);
	synth_patch(o, c->x86 ? 0x24 : 0x34, 4, 4);
	synth_patch(o, c->x86 ? 0x28 : 0x38, c->bugcheck, 4);
	for (size_t i = 0; i < 4; i++)
		synth_patch(o, (c->x86 ? 0x2c : 0x40) + i * w, narrow(c, c->params[i]), w);
	if (c->x86)
		synth_patch(o, 0x5c, c->pae, 1);
	synth_patch(o, c->x86 ? 0x60 : 0x80, narrow(c, DEBUGGER), w);
	memset(o->p + context, 0, c->x86 ? 0x4b0 : 0xbb8);
	if (c->x86) {
		synth_patch(o, context, 0x10007, 4);
		synth_patch(o, context + 0xb8, narrow(c, SYNTH_KD_NT + 0x3fd700), 4);
		synth_patch(o, context + 0xc4, narrow(c, SYNTH_KD_STACK), 4);
	} else {
		synth_patch(o, context + (c->arm64 ? 0 : 0x30), c->arm64 ? 0x400007 : 0x10000f, 4);
		synth_patch(o, context + (c->arm64 ? 0x100 : 0x98), SYNTH_KD_STACK, 8);
		synth_patch(o, context + (c->arm64 ? 0x108 : 0xf8), SYNTH_KD_NT + 0x3fd700, 8);
		synth_patch(o, 0xf00, 0x80000003, 4);
		synth_patch(o, 0xf10, SYNTH_KD_NT + 0x3fd700, 8);
	}
	synth_patch(o, c->x86 ? 0xf88 : 0xf98,
		    c->kind == SYNTH_KDUMP_TRIAGE   ? 4
		    : c->kind == SYNTH_KDUMP_FULL   ? 1
		    : c->kind == SYNTH_KDUMP_BITMAP ? 5
						    : 10,
		    4);
	synth_patch(o, c->x86 ? 0xfc0 : 0xfa8, UINT64_C(133658382010000000), 8); /* 19 July 2024 */
	synth_patch(o, c->x86 ? 0xfb8 : 0x1030, UINT64_C(650000000), 8);
}

static const uint8_t *
page_at(struct space *s, uint64_t va)
{
	return touch(s, narrow(s->c, va) & ~(uint64_t)(PAGE - 1))->bytes;
}

static void
put_drivers(struct synth *o, const struct space *s, struct synth_kdump_places *where)
{
	bool wide = !s->c->x86;
	size_t stride = wide ? 0x90 : 0x4c, names;

	where->drivers = synth_zero(o, N_DRIVERS * stride);
	names = o->len;
	for (size_t i = 0; i < N_DRIVERS; i++) {
		size_t at = where->drivers + i * stride;

		synth_patch(o, at, o->len, 4);
		synth_patch(o, at + (wide ? 0x38 : 0x1c), narrow(s->c, drivers[i].base), width(s->c));
		synth_patch(o, at + (wide ? 0x48 : 0x24), drivers[i].size, 4);
		synth_patch(o, at + (wide ? 0x80 : 0x44), 0xabc0 + i, 4);
		synth_patch(o, at + (wide ? 0x88 : 0x48), drivers[i].timestamp, 4);
		synth_u32(o, (uint32_t)strlen(drivers[i].path));
		for (size_t j = 0; j <= strlen(drivers[i].path); j++)
			synth_u16(o, (uint8_t)drivers[i].path[j]);
		synth_align(o, 8);
	}
	synth_patch(o, where->triage + 0x30, where->drivers, 4);
	synth_patch(o, where->triage + 0x34, N_DRIVERS, 4);
	synth_patch(o, where->triage + 0x38, names, 4);
	synth_patch(o, where->triage + 0x3c, o->len - names, 4);
}

static size_t
put_unloaded(struct synth *o, const struct space *s)
{
	unsigned w = width(s->c);
	size_t at = synth_word(o, 1, w);

	synth_u16(o, 14);
	synth_zero(o, w == 8 ? 14 : 6);
	for (size_t i = 0; i < 12; i++)
		synth_u16(o, i < 7 ? (uint8_t) "dam.sys"[i] : 0);
	synth_word(o, narrow(s->c, SYNTH_KD_AGENT + 0x1000000), w);
	synth_word(o, narrow(s->c, SYNTH_KD_AGENT + 0x101c000), w);
	return at;
}

/* Whole pages as blocks, of which two overlap. */
static void
put_blocks(struct synth *o, struct space *s, struct synth_kdump_places *where)
{
	const uint64_t vas[] = { LAB,
				 STOPPED,
				 SYNTH_KD_AGENT,
				 SYNTH_KD_AGENT + 0xe1000,
				 SYNTH_KD_RECORD,
				 SYNTH_KD_RECORD,
				 SYNTH_KD_PDATA,
				 SYNTH_KD_NT,
				 SYNTH_KD_NT_PDATA };
	size_t at[9], n = s->c->kernel_unwind_data ? 9 : s->c->unwind_data ? 7 : 6;

	for (size_t i = 0; i < n; i++)
		at[i] = synth_bytes(o, page_at(s, vas[i]), PAGE);
	where->blocks = o->len;
	for (size_t i = 0; i < n; i++) {
		uint64_t skip = i == 5 ? 0x800 : 0;

		synth_word(o, (narrow(s->c, vas[i]) & ~(uint64_t)(PAGE - 1)) + skip, width(s->c));
		synth_u32(o, (uint32_t)(at[i] + skip));
		synth_u32(o, (uint32_t)(PAGE - skip));
	}
	synth_patch(o, where->triage + (s->c->x86 ? 0x60 : 0x78), where->blocks, 4);
	synth_patch(o, where->triage + (s->c->x86 ? 0x64 : 0x7c), n, 4);
}

static void
put_triage(struct synth *o, struct space *s, struct synth_kdump_places *where)
{
	bool wide = !s->c->x86;
	size_t at, to, valid;

	where->triage = synth_zero(o, 0x80);
	synth_patch(o, where->triage + 0x18, put_unloaded(o, s), 4);
	if (wide) {
		synth_patch(o, where->triage + 0x1c, synth_bytes(o, page_at(s, PRCB) + 2 * PRCB_SIZE, PRCB_SIZE), 4);
		at = synth_zero(o, 0x100);
		memcpy(o->p + at + 0x58, "csfalcon.exe", 12);
		synth_patch(o, where->triage + 0x20, at, 4);
	}
	at = synth_bytes(o, page_at(s, SYNTH_KD_STACK) + 0xe00, 0x200);
	synth_bytes(o, page_at(s, SYNTH_KD_STACK + 0x200), 0x420);
	synth_patch(o, where->triage + 0x28, at, 4);
	synth_patch(o, where->triage + 0x2c, 0x620, 4);
	synth_patch(o, where->triage + 0x48, narrow(s->c, SYNTH_KD_STACK), width(s->c));
	at = synth_bytes(o, page_at(s, DEBUGGER) + DEBUGGER % PAGE, 0x380);
	synth_patch(o, where->triage + (wide ? 0x70 : 0x58), at, 4);
	synth_patch(o, where->triage + (wide ? 0x74 : 0x5c), 0x380, 4);
	put_drivers(o, s, where);
	put_blocks(o, s, where);
	valid = synth_bytes(o, "TRGD", 4);
	to = o->len;
	synth_patch(o, where->triage + 4, to, 4);
	synth_patch(o, where->triage + 8, valid, 4);
}

static int
by_pfn(const void *a, const void *b)
{
	const struct page *x = a, *y = b;

	return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

static size_t
runs_of(const struct space *s, uint64_t runs[][2])
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (i == 0 || s->pages[i].pfn != s->pages[i - 1].pfn + 1) {
			runs[n][0] = s->pages[i].pfn;
			runs[n++][1] = 0;
		}
		runs[n - 1][1]++;
	}
	return n;
}

static void
put_pages(struct synth *o, struct space *s, struct synth_kdump_places *where)
{
	uint64_t runs[MAX_PAGES][2], bits = s->pages[s->n - 1].pfn + 1;
	size_t n = runs_of(s, runs), at = s->c->x86 ? 0x64 : 0x88;
	unsigned w = width(s->c);

	where->triage = o->len;
	if (s->c->kind == SYNTH_KDUMP_FULL) {
		synth_patch(o, at, n, 4);
		synth_patch(o, at + w, s->n, w);
		for (size_t i = 0; i < n; i++) {
			synth_patch(o, at + 2 * w + 2 * w * i, runs[i][0], w);
			synth_patch(o, at + 2 * w + 2 * w * i + w, runs[i][1], w);
		}
	} else if (s->c->kind == SYNTH_KDUMP_BITMAP) {
		synth_bytes(o, "FDMPDUMP", 8);
		synth_zero(o, 24);
		synth_u64(o, where->triage + 0x38 + (bits + 7) / 8);
		synth_u64(o, s->n);
		synth_u64(o, bits);
		synth_zero(o, (bits + 7) / 8);
		for (size_t i = 0; i < s->n; i++)
			o->p[where->triage + 0x38 + s->pages[i].pfn / 8] |= (uint8_t)(1 << s->pages[i].pfn % 8);
	} else {
		synth_u32(o, 0x40);
		synth_bytes(o, "RDMPDUMP", 8);
		synth_u32(o, 0);
		synth_u64(o, 0x20 + 0x10 + 16 * (n + 1));
		synth_u64(o, where->triage + 0x30 + 16 * (n + 1));
		synth_u32(o, (uint32_t)n);
		synth_u32(o, 0);
		synth_u64(o, s->n);
		for (size_t i = 0; i <= n; i++) {
			synth_u64(o, i < n ? runs[i][0] : 0);
			synth_u64(o, i < n ? runs[i][1] : 0);
		}
	}
	for (size_t i = 0; i < s->n; i++)
		synth_bytes(o, s->pages[i].bytes, PAGE);
}

void
synth_kdump(struct synth *out, const struct synth_kdump *c, struct synth_kdump_places *where)
{
	struct synth_kdump_places ignored;
	struct space *s = calloc(1, sizeof(*s));

	if (s == NULL)
		abort();
	if (where == NULL)
		where = &ignored;
	*where = (struct synth_kdump_places){ 0 };
	s->c = c;
	s->next_pfn = 0x10;
	add(s, new_pfn(s), 0);
	fill_stack(s);
	fill_image(s);
	fill_records(s);
	fill_drivers(s);
	fill_kernel(s);
	put_header(out, s);
	if (c->kind == SYNTH_KDUMP_TRIAGE) {
		put_triage(out, s, where);
	} else {
		qsort(s->pages, s->n, sizeof(s->pages[0]), by_pfn);
		put_pages(out, s, where);
	}
	free(s);
}

#define JULY .bugcheck = 0x50, .params = { UINT64_C(0xffff840500000074), 0, SYNTH_KD_IP, 2 }

static const struct {
	const char *name;
	struct synth_kdump dump;
} examples[] = {
	{ "july-triage", { .kind = SYNTH_KDUMP_TRIAGE, JULY } },
	{ "july-full", { .kind = SYNTH_KDUMP_FULL, JULY, .dtb_flags = 2 } },
	{ "july-five-levels", { .kind = SYNTH_KDUMP_FULL, .five_levels = true, JULY } },
	{ "july-bitmap", { .kind = SYNTH_KDUMP_BITMAP, JULY } },
	{ "july-ranges", { .kind = SYNTH_KDUMP_RANGES, JULY } },
	{ "july-arm64", { .kind = SYNTH_KDUMP_TRIAGE, .arm64 = true, JULY } },
	{ "july-arm64-full", { .kind = SYNTH_KDUMP_FULL, .arm64 = true, JULY } },
	{ "july-unwind", { .kind = SYNTH_KDUMP_TRIAGE, .unwind_data = true, JULY } },
	{ "july-kernel-unwind", { .kind = SYNTH_KDUMP_TRIAGE, .unwind_data = true, .kernel_unwind_data = true, JULY } },
	{ "july-full-unwind", { .kind = SYNTH_KDUMP_FULL, .unwind_data = true, JULY } },
	{ "july-arm64-unwind",
	  { .kind = SYNTH_KDUMP_TRIAGE,
	    .arm64 = true,
	    .unwind_data = true,
	    .bugcheck = 0x50,
	    .params = { UINT64_C(0xffff840500000074), 0, SYNTH_KD_IP & ~UINT64_C(3), 2 } } },
	{ "july-x86", { .kind = SYNTH_KDUMP_TRIAGE, .x86 = true, JULY } },
	{ "july-x86-full", { .kind = SYNTH_KDUMP_FULL, .x86 = true, JULY } },
	{ "july-x86-pae", { .kind = SYNTH_KDUMP_FULL, .x86 = true, .pae = true, JULY } },
	{ "thread-exception",
	  { .kind = SYNTH_KDUMP_TRIAGE,
	    .bugcheck = 0x1000007e,
	    .context_records = true,
	    .params = { 0xffffffffc0000005, SYNTH_KD_IP, SYNTH_KD_RECORD, SYNTH_KD_CONTEXT } } },
	{ "thread-exception-arm64",
	  { .kind = SYNTH_KDUMP_TRIAGE,
	    .arm64 = true,
	    .bugcheck = 0x7e,
	    .context_records = true,
	    .params = { 0xffffffffc0000005, SYNTH_KD_IP, SYNTH_KD_RECORD, SYNTH_KD_CONTEXT } } },
	{ "thread-exception-x86",
	  { .kind = SYNTH_KDUMP_TRIAGE,
	    .x86 = true,
	    .bugcheck = 0x7e,
	    .context_records = true,
	    .params = { 0xffffffffc0000005, SYNTH_KD_IP, SYNTH_KD_RECORD, SYNTH_KD_CONTEXT } } },
	{ "process-died", { .kind = SYNTH_KDUMP_BITMAP, .bugcheck = 0xef, .params = { 0xffff8d8c11111080 } } },
};

const struct synth_kdump *
synth_kdump_example(size_t i, const char **name)
{
	if (i >= sizeof(examples) / sizeof(examples[0]))
		return NULL;
	*name = examples[i].name;
	return &examples[i].dump;
}
