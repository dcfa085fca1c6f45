/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/synth/synth.h"

/* PE images. */

#define HEADER   0x80u
#define OPTIONAL 240u

static void
section(struct synth *o, const char name[8], uint32_t rva, uint32_t size, uint32_t flags)
{
	synth_bytes(o, name, 8);
	synth_u32(o, size);
	synth_u32(o, rva);
	synth_u32(o, size);
	synth_u32(o, rva);
	synth_zero(o, 12);
	synth_u32(o, flags);
}

static void
put_at(struct synth *o, uint32_t rva, const void *p, size_t n)
{
	synth_zero(o, rva - o->len);
	if (n > 0)
		synth_bytes(o, p, n);
}

void
synth_pe(struct synth *out, const struct synth_pe *c)
{
	size_t optional;

	synth_u16(out, 0x5a4d);
	synth_zero(out, 0x3a);
	synth_u32(out, HEADER);
	synth_zero(out, HEADER - out->len);
	synth_u32(out, 0x4550);
	synth_u16(out, c->machine);
	synth_u16(out, 3);
	synth_u32(out, c->timestamp);
	synth_zero(out, 8);
	synth_u16(out, OPTIONAL);
	synth_u16(out, 0x22);
	optional = synth_zero(out, OPTIONAL);
	synth_patch(out, optional, 0x20b, 2);
	synth_patch(out, optional + 24, UINT64_C(0x140000000), 8);
	synth_patch(out, optional + 32, 0x1000, 4);
	synth_patch(out, optional + 36, 0x1000, 4);
	synth_patch(out, optional + 56, SYNTH_PE_SIZE, 4);
	synth_patch(out, optional + 60, 0x400, 4);
	synth_patch(out, optional + 108, 16, 4);
	synth_patch(out, optional + 112 + 8 * 3, SYNTH_PE_TABLE, 4);
	synth_patch(out, optional + 112 + 8 * 3 + 4, 4 * c->n_table, 4);
	section(out, ".text\0\0", SYNTH_PE_CODE, 0x2000, 0x60000020);
	section(out, ".rdata\0", SYNTH_PE_RECORDS, 0x1000, 0x40000040);
	section(out, ".pdata\0", SYNTH_PE_TABLE, 0x1000, 0x40000040);
	put_at(out, SYNTH_PE_CODE, c->code, c->n_code);
	put_at(out, SYNTH_PE_RECORDS, c->records, c->n_records);
	synth_zero(out, SYNTH_PE_TABLE - out->len);
	for (size_t i = 0; i < c->n_table; i++)
		synth_u32(out, c->table[i]);
	synth_zero(out, SYNTH_PE_SIZE - out->len);
}
