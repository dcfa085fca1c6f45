/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/minidump.h"
#include "triage/utf.h"

/* What crashing programs attach for people: Breakpad's assertion, Crashpad's
 * annotations of the process and of its modules, crash messages of macOS libraries. */

#define KEY_MAX     128
#define VALUE_MAX   1024
#define LIST_MAX    512               /* entries looked at of each list */
#define BYTES_MAX   ((size_t)1 << 20) /* of the arena spent on annotations */
#define MODULES_MAX 1024              /* looked at for annotations */

static void
add(struct md *m, const char *key, const char *value)
{
	struct dump *d = m->d;

	if (*key != '\0' && *value != '\0' && d->n_annotations < TRIAGE_MAX_ANNOTATIONS)
		d->annotations[d->n_annotations++] = (struct triage_annotation){ key, value };
}

static void
read_assertion(struct md *m)
{
	struct reader r = md_stream(m, MD_ASSERTION_INFO);
	const char *text[3]; /* expression, function, file */
	uint32_t line;
	const char *s;

	for (int i = 0; i < 3; i++) {
		const uint8_t *units = reader_bytes(&r, 256);

		text[i] = units != NULL ? utf_from_utf16(m->arena, units, 128, r.big_endian, VALUE_MAX) : NULL;
		if (text[i] == NULL)
			return;
	}
	line = reader_u32(&r);
	if (reader_failed(&r) || (*text[0] == '\0' && *text[1] == '\0' && *text[2] == '\0'))
		return;
	s = utf_printf(m->arena, "%s%s%s%s%s:%u", text[0], *text[1] ? " in " : "", text[1], *text[2] ? " at " : "",
		       text[2], line);
	if (s != NULL)
		add(m, "assertion", s);
}

static bool
full(const struct md *m)
{
	return m->d->n_annotations >= TRIAGE_MAX_ANNOTATIONS || arena_used(m->arena) - m->used_before > BYTES_MAX;
}

/* Location of a counted list inside a Crashpad record. */
static struct reader
location(struct md *m, struct reader *r)
{
	uint32_t size = reader_u32(r), rva = reader_u32(r);
	struct reader none = m->file;

	if (reader_failed(r) || size == 0) {
		reader_fail(&none, ERR_ABSENT, "no list");
		return none;
	}
	return md_at(m, rva, size);
}

static void
read_dictionary(struct md *m, struct reader list)
{
	size_t n = md_list(m, &list, 8, LIST_MAX);

	for (size_t i = 0; i < n && !full(m); i++) {
		uint32_t key = reader_u32(&list), value = reader_u32(&list);

		add(m, md_utf8(m, key, KEY_MAX), md_utf8(m, value, VALUE_MAX));
	}
}

/* Annotation objects: name, type (1: text), value as counted bytes. */
static void
read_objects(struct md *m, struct reader list)
{
	size_t n = md_list(m, &list, 12, LIST_MAX);

	for (size_t i = 0; i < n && !full(m); i++) {
		uint32_t name = reader_u32(&list);
		uint16_t type = reader_u16(&list);
		uint32_t value;

		reader_skip(&list, 2);
		value = reader_u32(&list);
		if (type == 1)
			add(m, md_utf8(m, name, KEY_MAX), md_utf8(m, value, VALUE_MAX));
	}
}

static void
read_module_annotations(struct md *m, struct reader list)
{
	size_t n = md_list(m, &list, 12, MODULES_MAX);

	for (size_t i = 0; i < n && !full(m); i++) {
		struct reader module;

		reader_skip(&list, 4); /* index into the module list */
		module = location(m, &list);
		reader_skip(&module, 4 + 8); /* version, list of plain texts */
		read_dictionary(m, location(m, &module));
		read_objects(m, location(m, &module));
	}
}

static void
read_crashpad(struct md *m)
{
	struct reader r = md_stream(m, MD_CRASHPAD_INFO);

	reader_skip(&r, 4 + 16 + 16); /* version, report and client id */
	if (reader_failed(&r))
		return;
	read_dictionary(m, location(m, &r));
	read_module_annotations(m, location(m, &r));
}

/* What libraries of macOS left in __crash_info for people, as Mozilla's writer collects it: records of counted
 * numbers, then texts: module path, message, signature, backtrace, second message. */
static void
read_mac_crash_info(struct md *m)
{
	struct reader r = md_stream(m, MD_MOZ_MAC_CRASH_INFO);
	uint32_t n, fixed;

	reader_skip(&r, 4);
	n = reader_u32(&r);
	fixed = reader_u32(&r);
	for (uint32_t i = 0; i < n && i < 20 && !reader_failed(&r) && !full(m); i++) {
		struct reader record = location(m, &r);
		const char *text[5] = { "", "", "", "", "" }, *image, *key;

		reader_skip(&record, fixed);
		for (int k = 0; k < 5 && !reader_failed(&record) && record.pos < record.size; k++) {
			const uint8_t *p = record.base + record.pos;
			size_t len = strnlen((const char *)p, record.size - record.pos);
			const char *s = utf_from_bytes(m->arena, p, len, VALUE_MAX);

			if (s != NULL)
				text[k] = s;
			reader_skip(&record, len < record.size - record.pos ? len + 1 : len);
		}
		image = utf_from_bytes(m->arena, text[0], strlen(text[0]), 100);
		key = utf_printf(m->arena, "crash_info: %s", image != NULL ? image : "");
		if (key == NULL)
			return;
		add(m, key, text[1]);
		add(m, key, text[2]);
		add(m, key, text[4]);
	}
}

void
minidump_read_annotations(struct md *m)
{
	m->used_before = arena_used(m->arena);
	read_assertion(m);
	read_crashpad(m);
	read_mac_crash_info(m);
}
