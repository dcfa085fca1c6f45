/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/textscan.h"
#include "triage/utf.h"

#define MODULE_LOOKUPS (2 * TRIAGE_MAX_MODULES) /* each looks through all of them */

bool
lines_next(struct lines *l, struct text *out)
{
	const char *nl;
	size_t n;

	if (l->at >= l->end)
		return false;
	nl = memchr(l->at, '\n', (size_t)(l->end - l->at));
	n = (size_t)((nl != NULL ? nl : l->end) - l->at);
	*out = (struct text){ l->at, n < TEXT_LINE_MAX ? n : TEXT_LINE_MAX };
	l->at = nl != NULL ? nl + 1 : l->end;
	while (out->len > 0 && (out->at[out->len - 1] == '\r' || out->at[out->len - 1] == ' ' ||
				out->at[out->len - 1] == '\t' || out->at[out->len - 1] == '\0'))
		out->len--;
	return true;
}

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

struct text
text_trim(struct text t)
{
	while (t.len > 0 && blank(t.at[0])) {
		t.at++;
		t.len--;
	}
	while (t.len > 0 && blank(t.at[t.len - 1]))
		t.len--;
	return t;
}

struct text
text_from(struct text t, size_t at)
{
	if (at >= t.len)
		return (struct text){ t.at, 0 };
	return (struct text){ t.at + at, t.len - at };
}

struct text
text_upto(struct text t, size_t len)
{
	return (struct text){ t.at, t.len < len ? t.len : len };
}

bool
text_starts(struct text t, const char *with)
{
	size_t n = strlen(with);

	return t.len >= n && memcmp(t.at, with, n) == 0;
}

const char *
text_find(struct text t, const char *needle)
{
	return t.len > 0 ? memmem(t.at, t.len, needle, strlen(needle)) : NULL;
}

struct text
text_after(struct text t, const char *needle)
{
	const char *p = text_find(t, needle);

	if (p == NULL)
		return (struct text){ NULL, 0 };
	return text_trim(text_from(t, (size_t)(p - t.at) + strlen(needle)));
}

struct text
text_word(struct text *t)
{
	struct text w;

	while (t->len > 0 && blank(t->at[0])) {
		t->at++;
		t->len--;
	}
	w = (struct text){ t->at, 0 };
	while (w.len < t->len && !blank(t->at[w.len]))
		w.len++;
	*t = text_from(*t, w.len);
	return w;
}

bool
text_char_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t
text_hex(struct text t, uint64_t *out)
{
	size_t i = 0, digits = 0;
	uint64_t v = 0;

	if (t.len > 2 && t.at[0] == '0' && (t.at[1] | 32) == 'x')
		i = 2;
	for (; i < t.len; i++) {
		int d = hex_digit(t.at[i]);

		if (d < 0)
			break;
		if (v >> 60 != 0)
			return 0;
		v = v << 4 | (uint64_t)d;
		digits++;
	}
	if (digits == 0)
		return 0;
	*out = v;
	return i;
}

size_t
text_dec(struct text t, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < t.len && t.at[i] >= '0' && t.at[i] <= '9'; i++) {
		if (v > UINT64_MAX / 10 - 1)
			return 0;
		v = v * 10 + (uint64_t)(t.at[i] - '0');
	}
	if (i > 0)
		*out = v;
	return i;
}

bool
text_hex_value(struct text t, uint64_t *out)
{
	return t.len > 0 && text_hex(t, out) == t.len;
}

/* ---- the crash model ---- */

struct textdump
textdump_new(struct arena *a, struct dump *out, enum triage_format format)
{
	*out = (struct dump){ .format = format,
			      .os_version = "",
			      .reason = "",
			      .partial_what = "",
			      .crashing_thread = -1,
			      .blamed = -1,
			      .has_frames = true };
	return (struct textdump){ .arena = a, .d = out };
}

const char *
textdump_copy(struct textdump *t, struct text s, size_t max)
{
	const char *p = utf_from_bytes(t->arena, s.len > 0 ? s.at : "", s.len, max);

	if (p == NULL) {
		t->full = true;
		return "";
	}
	return p;
}

int32_t
textdump_module(struct textdump *t, struct text name, uint64_t base)
{
	struct dump *d = t->d;
	struct triage_module *m;

	if (name.len > TEXT_NAME_MAX) /* of a path the end tells */
		name = text_from(name, name.len - TEXT_NAME_MAX);
	if (++t->lookups > MODULE_LOOKUPS)
		return -1;
	for (size_t i = 0; i < d->n_modules; i++)
		if (d->modules[i].base == base && text_equal(text_of(d->modules[i].path), name))
			return (int32_t)i;
	if (d->modules == NULL)
		d->modules = ARENA_ARRAY(t->arena, struct triage_module, TRIAGE_MAX_MODULES);
	if (d->modules == NULL) {
		t->full = true;
		return -1;
	}
	if (d->n_modules == TRIAGE_MAX_MODULES) {
		dump_partial(d, "more modules than our limit");
		return -1;
	}
	m = &d->modules[d->n_modules];
	*m = (struct triage_module){ .path = textdump_copy(t, name, TEXT_NAME_MAX),
				     .base = base,
				     .id = "",
				     .code_id = "",
				     .debug_id = "",
				     .version = "" };
	return (int32_t)d->n_modules++;
}

struct triage_frame *
textdump_frame(struct textdump *t)
{
	struct dump *d = t->d;
	struct triage_frame *f;

	if (d->frames == NULL)
		d->frames = ARENA_ARRAY(t->arena, struct triage_frame, TRIAGE_MAX_FRAMES);
	if (d->frames == NULL) {
		t->full = true;
		return NULL;
	}
	if (d->n_frames == TRIAGE_MAX_FRAMES) {
		dump_partial(d, "more frames than our limit");
		return NULL;
	}
	f = &d->frames[d->n_frames++];
	*f = (struct triage_frame){ .module = -1, .trust = TRIAGE_TRUST_REPORTED, .function = "" };
	return f;
}

void
textdump_note(struct textdump *t, const char *key, struct text value)
{
	struct dump *d = t->d;

	value = text_trim(value);
	if (value.len == 0 || d->n_annotations == TRIAGE_MAX_ANNOTATIONS)
		return;
	for (size_t i = 0; i < d->n_annotations; i++)
		if (strcmp(d->annotations[i].key, key) == 0)
			return;
	d->annotations[d->n_annotations++] = (struct triage_annotation){ key, textdump_copy(t, value, 1024) };
}

enum err
textdump_end(const struct textdump *t, struct diag *diag)
{
	if (!t->full)
		return ERR_OK;
	*diag = (struct diag){ ERR_LIMIT, "the text needs more memory than it is given", 0 };
	return ERR_LIMIT;
}

enum err
textdump_fail(const struct textdump *t, enum err code, const char *what, struct diag *diag)
{
	if (t->full)
		return textdump_end(t, diag);
	*diag = (struct diag){ code, what, 0 };
	return code;
}

unsigned
text_call_size(enum triage_arch arch)
{
	switch (arch) {
	case TRIAGE_ARCH_ARM64:
		return 4;
	case TRIAGE_ARCH_ARM:
		return 2;
	default:
		return 1;
	}
}
