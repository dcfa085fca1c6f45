/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "triage/minidump.h"
#include "triage/utf.h"

#define MODULE_RECORD 108
#define PATH_BYTES    1024

#define CV_PDB70 0x53445352 /* "RSDS" */
#define CV_PDB20 0x3031424e /* "NB10" */
#define CV_ELF   0x4270454c /* "LEpB": Breakpad's build id record */

struct raw_module {
	uint64_t base;
	uint32_t size, timestamp, name_rva;
	uint32_t version[6]; /* signature, struct version, file hi, lo, product hi, lo */
	uint32_t cv_size, cv_rva;
};

struct guid {
	uint32_t d1;
	uint16_t d2, d3;
	uint8_t d4[8];
};

static void
read_raw(struct reader *r, struct raw_module *raw)
{
	raw->base = reader_u64(r);
	raw->size = reader_u32(r);
	reader_skip(r, 4); /* checksum */
	raw->timestamp = reader_u32(r);
	raw->name_rva = reader_u32(r);
	for (int i = 0; i < 6; i++)
		raw->version[i] = reader_u32(r);
	reader_skip(r, 7 * 4); /* rest of VS_FIXEDFILEINFO */
	raw->cv_size = reader_u32(r);
	raw->cv_rva = reader_u32(r);
	reader_skip(r, 8 + 16); /* misc record, reserved */
}

static void
read_guid(struct reader *r, struct guid *g)
{
	const uint8_t *tail;

	g->d1 = reader_u32(r);
	g->d2 = reader_u16(r);
	g->d3 = reader_u16(r);
	tail = reader_bytes(r, 8);
	if (tail != NULL)
		memcpy(g->d4, tail, 8);
}

static const char *
guid_text(struct arena *a, const struct guid *g, uint32_t age, bool with_age)
{
	const uint8_t *t = g->d4;
	char tail[12] = "";
	const char *s;

	if (with_age)
		snprintf(tail, sizeof(tail), "%x", age);
	s = utf_printf(a, "%08X%04X%04X%02X%02X%02X%02X%02X%02X%02X%02X%s", g->d1, g->d2, g->d3, t[0], t[1], t[2], t[3],
		       t[4], t[5], t[6], t[7], tail);
	return s != NULL ? s : "";
}

static const char *
lower_text(struct arena *a, const char *s)
{
	char *copy = arena_calloc(a, strlen(s) + 1, 1);

	if (copy == NULL)
		return "";
	for (size_t i = 0; s[i] != '\0'; i++)
		copy[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] - 'A' + 'a' : s[i]);
	return copy;
}

static bool
guid_is_nil(const struct guid *g)
{
	static const struct guid nil;

	return g->d1 == 0 && g->d2 == 0 && g->d3 == 0 && memcmp(g->d4, nil.d4, 8) == 0;
}

static const char *
hex_text(struct arena *a, const uint8_t *p, size_t n)
{
	char *s = arena_calloc(a, 2 * n + 1, 1);

	if (s == NULL)
		return "";
	for (size_t i = 0; i < n; i++)
		snprintf(s + 2 * i, 3, "%02x", p[i]);
	return s;
}

static const char *
pe_code_id(struct md *m, const struct raw_module *raw)
{
	const char *s = utf_printf(m->arena, "%08x%x", raw->timestamp, raw->size);

	return s != NULL ? s : "";
}

/* A build id of 64 bytes and more is not one. */
#define BUILD_ID_MAX 64

static void
read_elf_id(struct md *m, struct reader *r, struct triage_module *mod)
{
	uint8_t first[16] = { 0 };
	size_t n = r->size - r->pos;
	const uint8_t *p;
	struct reader g;
	struct guid guid = { 0 };
	bool any = false;

	if (n > BUILD_ID_MAX)
		n = BUILD_ID_MAX;
	p = reader_bytes(r, n);
	for (size_t i = 0; p != NULL && i < n; i++)
		any |= p[i] != 0;
	if (!any) /* fonts, archives: files that are mapped but are no program */
		return;
	mod->code_id = hex_text(m->arena, p, n);
	mod->id = mod->code_id;
	memcpy(first, p, n < 16 ? n : 16);
	reader_init(&g, first, sizeof(first), m->file.big_endian);
	read_guid(&g, &guid);
	mod->debug_id = guid_text(m->arena, &guid, 0, true);
}

static void
read_pdb70(struct md *m, struct reader *r, const struct raw_module *raw, struct triage_module *mod)
{
	bool apple = m->d->os == TRIAGE_OS_MACOS || m->d->os == TRIAGE_OS_IOS;
	struct guid guid = { 0 };
	uint32_t age;

	read_guid(r, &guid);
	age = reader_u32(r);
	if (reader_failed(r)) {
		dump_partial(m->d, "a module's CodeView record is cut off");
		return;
	}
	if (!guid_is_nil(&guid))
		mod->debug_id = guid_text(m->arena, &guid, age, true);
	if (apple)
		mod->code_id = lower_text(m->arena, guid_text(m->arena, &guid, age, false));
	else
		mod->code_id = pe_code_id(m, raw);
	mod->id = m->d->os == TRIAGE_OS_WINDOWS ? mod->code_id : mod->debug_id;
}

static void
read_ids(struct md *m, const struct raw_module *raw, struct triage_module *mod)
{
	struct reader r;
	uint32_t signature, stamp, age;
	const char *s;

	if (m->d->os == TRIAGE_OS_WINDOWS)
		mod->code_id = mod->id = pe_code_id(m, raw);
	if (raw->cv_size == 0)
		return;
	r = md_at(m, raw->cv_rva, raw->cv_size);
	signature = reader_u32(&r);
	if (reader_failed(&r)) {
		dump_partial(m->d, "a module's CodeView record lies outside the file");
		return;
	}
	if (signature == CV_ELF) {
		read_elf_id(m, &r, mod);
	} else if (signature == CV_PDB70) {
		read_pdb70(m, &r, raw, mod);
	} else if (signature == CV_PDB20) {
		reader_skip(&r, 4);
		stamp = reader_u32(&r);
		age = reader_u32(&r);
		if (reader_failed(&r))
			return;
		s = utf_printf(m->arena, "%08X%x", stamp, age);
		mod->debug_id = s != NULL ? s : "";
		mod->code_id = pe_code_id(m, raw);
		mod->id = m->d->os == TRIAGE_OS_WINDOWS ? mod->code_id : mod->debug_id;
	}
}

static const char *
version_text(struct md *m, const uint32_t v[6])
{
	enum triage_os os = m->d->os;
	const char *s;

	if (v[0] != 0xfeef04bd || v[1] != 0x00010000)
		return "";
	if (os == TRIAGE_OS_WINDOWS || os == TRIAGE_OS_MACOS || os == TRIAGE_OS_IOS)
		s = utf_printf(m->arena, "%u.%u.%u.%u", v[2] >> 16, v[2] & 0xffff, v[3] >> 16, v[3] & 0xffff);
	else
		s = utf_printf(m->arena, "%u.%u.%u.%u", v[2], v[3], v[4], v[5]);
	return s != NULL ? s : "";
}

enum err
minidump_read_modules(struct md *m)
{
	struct reader r = md_stream(m, MD_MODULE_LIST);
	struct dump *d = m->d;
	size_t n = md_list(m, &r, MODULE_RECORD, TRIAGE_MAX_MODULES);

	if (n == 0)
		return ERR_OK;
	d->modules = ARENA_ARRAY(m->arena, struct triage_module, n);
	if (d->modules == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++) {
		struct triage_module *mod = &d->modules[d->n_modules];
		struct raw_module raw;

		read_raw(&r, &raw);
		if (raw.size == 0 || raw.size > UINT64_MAX - raw.base) {
			dump_partial(d, "a module has an impossible size");
			continue;
		}
		*mod = (struct triage_module){
			.base = raw.base, .size = raw.size, .id = "", .code_id = "", .debug_id = ""
		};
		mod->path = md_utf16(m, raw.name_rva, PATH_BYTES);
		mod->version = version_text(m, raw.version);
		read_ids(m, &raw, mod);
		d->n_modules++;
	}
	return ERR_OK;
}
