/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/oops.h"

#define PREFIX_MAX 160 /* how far "host kernel: " may stand from the line's begin */

/* ---- prefixes ---- */

static bool
all_of(struct text t, const char *chars)
{
	for (size_t i = 0; i < t.len; i++)
		if (strchr(chars, t.at[i]) == NULL || t.at[i] == '\0')
			return false;
	return t.len > 0;
}

/* "[   12.345678]", "[ T123]", "[    C0]", "[Mon Nov 23 09:26:05 2026]". */
static bool
is_stamp(struct text t)
{
	static const char *const days[] = { "Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun " };

	t = text_trim(t);
	if (t.len > 1 && (t.at[0] == 'T' || t.at[0] == 'C') && all_of(text_from(t, 1), "0123456789"))
		return true;
	for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++)
		if (text_starts(t, days[i]) && t.len > 20)
			return true;
	return memchr(t.len > 0 ? t.at : "", '.', t.len) != NULL && all_of(t, "0123456789. ");
}

/* "6,416,12345678,-;" of /dev/kmsg and netconsole, "<4>", "kern  :warn  : ". */
static struct text
without_level(struct text t)
{
	const char *end;
	size_t n;

	if (t.len > 2 && t.at[0] == '<' && (end = memchr(t.at, '>', t.len < 7 ? t.len : 7)) != NULL &&
	    all_of((struct text){ t.at + 1, (size_t)(end - t.at) - 1 }, "0123456789c"))
		return text_from(t, (size_t)(end - t.at) + 1);
	if (t.len > 4 && t.at[0] >= '0' && t.at[0] <= '9' &&
	    (end = memchr(t.at, ';', t.len < 80 ? t.len : 80)) != NULL) {
		n = (size_t)(end - t.at);
		if (memchr(t.at, ',', n) != NULL && !memchr(t.at, ' ', n))
			return text_from(t, n + 1);
	}
	if (text_starts(t, "kern  :") && t.len > 16 && t.at[14] == ':')
		return text_from(t, 16);
	return t;
}

/* "2023-05-05T10:00:00,123456+00:00 " of dmesg --time-format=iso. */
static struct text
without_iso(struct text t)
{
	struct text rest = t, w;

	if (t.len < 20 || t.at[4] != '-' || t.at[7] != '-' || t.at[10] != 'T' || t.at[13] != ':')
		return t;
	w = text_word(&rest);
	return all_of(text_upto(w, 4), "0123456789") ? rest : t;
}

struct text
oops_line(struct text line)
{
	const char *p = text_find(text_upto(line, PREFIX_MAX), "kernel: ");

	if (p != NULL && (p == line.at || p[-1] == ' ' || p[-1] == ']'))
		line = text_from(line, (size_t)(p - line.at) + 8);
	line = without_iso(without_level(line));
	for (int i = 0; i < 4; i++) {
		struct text t = text_trim(line);
		const char *end;

		t = without_level(t);
		if (t.len == 0 || t.at[0] != '[' || (end = memchr(t.at, ']', t.len < 40 ? t.len : 40)) == NULL ||
		    !is_stamp((struct text){ t.at + 1, (size_t)(end - t.at) - 1 }))
			break;
		line = text_from(t, (size_t)(end - t.at) + 1);
	}
	return text_trim(without_level(line));
}

/* ---- places ---- */

static bool
symbol_char(char c)
{
	return text_char_word(c) || c == '.' || c == '$' || c == '@' || c == '~';
}

/* "[mod]", "[mod 0123…]", "[mod(PO)]"; also bare as scripts that decode traces leave it. */
static void
read_module(struct text rest, bool bare, struct oops_place *out)
{
	const char *end;
	struct text name, id;
	size_t n = 0;

	rest = text_trim(rest);
	while (rest.len > 0 && (rest.at[0] == ')' || rest.at[0] == '>'))
		rest = text_trim(text_from(rest, 1));
	if (rest.len > 0 && rest.at[0] == '[') {
		end = memchr(rest.at, ']', rest.len);
		rest = text_upto(text_from(rest, 1), end != NULL ? (size_t)(end - rest.at) - 1 : rest.len);
	} else if (!bare) {
		return;
	}
	name = text_word(&rest);
	id = text_trim(rest);
	while (n < name.len && (text_char_word(name.at[n]) || name.at[n] == '-'))
		n++;
	if (n == 0 || (n < name.len && name.at[n] != '('))
		return;
	out->module = text_upto(name, n);
	if (id.len >= 16 && id.len <= 64 && all_of(id, "0123456789abcdef"))
		out->build_id = id;
}

/* The symbol that ends at t.at + end. */
static struct text
symbol_before(struct text t, size_t end)
{
	size_t begin = end;

	while (begin > 0 && symbol_char(t.at[begin - 1]))
		begin--;
	return (struct text){ t.at + begin, end - begin };
}

/* "foo+0x12/0x34" anywhere in t; *at is where foo begins. */
static bool
find_symbol(struct text t, struct oops_place *out, size_t *at, size_t *after)
{
	const char *plus = text_find(t, "+0x");
	uint64_t size;
	size_t n, pos;

	if (plus == NULL)
		return false;
	pos = (size_t)(plus - t.at);
	out->function = symbol_before(t, pos);
	if (out->function.len == 0 || (n = text_hex(text_from(t, pos + 1), &out->offset)) == 0)
		return false;
	out->has_offset = true;
	*at = (size_t)(out->function.at - t.at);
	pos += 1 + n;
	if (pos < t.len && t.at[pos] == '/' && (n = text_hex(text_from(t, pos + 1), &size)) != 0)
		pos += 1 + n;
	*after = pos;
	if (out->function.at[0] == '.' && out->function.len > 1) /* ppc64's code symbols */
		out->function = text_from(out->function, 1);
	return true;
}

bool
oops_place_in(struct text t, struct oops_place *out)
{
	size_t at, after;

	*out = (struct oops_place){ 0 };
	if (!find_symbol(t, out, &at, &after))
		return false;
	read_module(text_from(t, after), false, out);
	return true;
}

/* A bracketed address at the begin of *t: "[<c0123456>]", "[c000000000123456]". */
static bool
take_address(struct text *t, struct oops_place *out)
{
	struct text s = *t, digits;
	size_t n;

	if (s.len < 10 || s.at[0] != '[')
		return false;
	s = text_from(s, s.at[1] == '<' ? 2 : 1);
	n = text_hex(s, &out->address);
	digits = text_upto(s, n);
	if (n < 8 || n >= s.len || (s.at[n] != ']' && s.at[n] != '>'))
		return false;
	out->has_address = true;
	out->address_digits = (unsigned)digits.len;
	s = text_from(s, n + (s.at[n] == '>' ? 2 : 1));
	*t = s;
	return true;
}

/* Brackets, marks and question marks before a symbol; false when there is other text. */
static bool
take_marks(struct text *t, struct oops_place *out)
{
	const char *end;

	for (int i = 0; i < 12; i++) {
		struct text s = text_trim(*t);

		*t = s;
		if (s.len == 0)
			return true;
		if (take_address(t, out))
			continue;
		if (s.at[0] == '?') {
			out->unreliable = true;
			*t = text_from(s, 1);
		} else if (s.at[0] == '(' || s.at[0] == '>') {
			*t = text_from(s, 1);
		} else if (s.at[0] == '<' && (end = memchr(s.at, '>', s.len < 24 ? s.len : 24)) != NULL) {
			*t = text_from(s, (size_t)(end - s.at) + 1);
		} else {
			return true;
		}
	}
	return true;
}

/* "do_fault (mm/memory.c:1234 (discriminator 3)) mod": what scripts make of an offset. */
static bool
decoded(struct text s, struct oops_place *out)
{
	const char *colon, *close;
	size_t n = 0;

	while (n < s.len && symbol_char(s.at[n]))
		n++;
	if (n == 0 || n + 4 > s.len || s.at[n] != ' ' || s.at[n + 1] != '(')
		return false;
	colon = memchr(s.at + n, ':', s.len - n);
	close = memrchr(s.at, ')', s.len);
	if (close == NULL || (colon == NULL && text_find(s, "??") == NULL))
		return false;
	out->function = text_upto(s, n);
	read_module(text_from(s, (size_t)(close - s.at) + 1), true, out);
	return true;
}

/* One place at the begin of s, which is without marks. */
static bool
place_at(struct text s, bool loose, struct oops_place *out)
{
	size_t at, after;

	if (find_symbol(s, out, &at, &after) && at <= 1) {
		read_module(text_from(s, after), false, out);
		return true;
	}
	out->function = (struct text){ NULL, 0 };
	out->has_offset = false;
	if (loose && decoded(s, out))
		return true;
	if (text_starts(s, "0x") && text_hex(s, &out->address) > 4) {
		out->has_address = true;
		return true;
	}
	return s.len == 0 && out->has_address;
}

/* "(unwind_backtrace+0x0/0xf4) from [<c005f9c0>] (__lock_acquire+0x1948/0x1d48)". */
static bool
arm_pair(struct text s, struct oops_place *out, struct oops_place *from)
{
	const char *mid = text_find(s, " from ");
	struct text a, b;
	size_t n = 0;

	if (mid == NULL)
		return false;
	a = text_upto(s, (size_t)(mid - s.at));
	b = text_from(s, (size_t)(mid - s.at) + 6);
	*from = (struct oops_place){ 0 };
	if (!take_marks(&b, from) || !place_at(b, false, from))
		return false;
	if (place_at(a, false, out) && out->function.len > 0)
		return true;
	while (n < a.len && symbol_char(a.at[n]))
		n++;
	out->function = text_upto(a, n);
	return n > 0;
}

bool
oops_frame(struct text line, bool loose, struct oops_place *out, struct oops_place *from, bool *has_from)
{
	struct text s = line;

	*out = (struct oops_place){ 0 };
	*has_from = false;
	if (line.len < 5 || !take_marks(&s, out) || (!loose && !out->has_address))
		return false;
	if (arm_pair(s, out, from)) {
		*has_from = true;
		return true;
	}
	if (!place_at(s, loose, out))
		return false;
	if (text_find(line, "(unreliable)") != NULL)
		out->unreliable = true;
	return true;
}

/* ---- registers ---- */

/* Behind word and any blanks a colon or what follows: the rest of the line. */
static bool
after_name(struct text line, const char *word, struct text *rest)
{
	if (!text_starts(line, word))
		return false;
	*rest = text_from(line, strlen(word));
	if (rest->len > 0 && text_char_word(rest->at[0]))
		return false;
	*rest = text_trim(*rest);
	if (rest->len > 0 && rest->at[0] == ':')
		*rest = text_trim(text_from(*rest, 1));
	return rest->len > 0;
}

/* "0010:" of x86: a selector whose low bits are 3 is user space. */
static void
take_selector(struct text *s, struct oops_place *out)
{
	uint64_t selector;

	if (s->len > 5 && s->at[4] == ':' && text_hex(text_upto(*s, 4), &selector) == 4) {
		out->is_user = (selector & 3) == 3;
		*s = text_trim(text_from(*s, 5));
	}
}

bool
oops_pc(struct text line, struct oops_place *out, enum triage_arch *arch)
{
	static const struct {
		const char *word;
		enum triage_arch arch;
	} names[] = {
		{ "RIP", TRIAGE_ARCH_X64 },          { "EIP is at", TRIAGE_ARCH_X86 },   { "EIP", TRIAGE_ARCH_X86 },
		{ "PC is at", TRIAGE_ARCH_UNKNOWN }, { "pc", TRIAGE_ARCH_UNKNOWN },      { "epc", TRIAGE_ARCH_UNKNOWN },
		{ "NIP", TRIAGE_ARCH_PPC64 },        { "Krnl PSW", TRIAGE_ARCH_S390X },  { "TPC", TRIAGE_ARCH_SPARC },
		{ "ERA", TRIAGE_ARCH_LOONGARCH64 },  { "IAOQ[0]", TRIAGE_ARCH_UNKNOWN },
	};
	struct text s = { NULL, 0 };
	size_t at, after, i, n;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (after_name(line, names[i].word, &s))
			break;
	if (i == sizeof(names) / sizeof(names[0]))
		return false;
	*out = (struct oops_place){ 0 };
	*arch = names[i].arch;
	take_selector(&s, out);
	take_marks(&s, out);
	if (find_symbol(s, out, &at, &after)) {
		read_module(text_from(s, after), false, out);
		return true;
	}
	out->function = (struct text){ NULL, 0 };
	if (decoded(s, out))
		return true;
	n = text_hex(s, &out->address);
	if (!out->has_address && (n >= 8 || (n > 2 && text_starts(s, "0x")))) {
		out->has_address = true;
		out->address_digits = text_starts(s, "0x") ? 0 : (unsigned)n;
	} else if (text_starts(s, "(null)")) {
		out->has_address = true;
		out->address = 0;
	}
	return out->has_address;
}
