/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/signature.h"

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'f');
}

static bool
ends_with(struct text s, const char *suffix)
{
	size_t n = strlen(suffix);

	if (s.len < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower(s.at[s.len - n + i]) != suffix[i])
			return false;
	return true;
}

/* ---- module id ---- */

size_t
module_id_normalise(struct text id, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < id.len && n + 1 < cap && n < MODULE_ID_MAX; i++) {
		char c = id.at[i];

		if (c == '-' || c == '{' || c == '}' || c == ' ')
			continue;
		/* ids are hex; whatever else comes must not break the line-based text */
		out[n++] = (unsigned char)c <= ' ' || (unsigned char)c >= 0x7f ? '?' : lower(c);
	}
	if (n == 33 && out[32] == '0')
		n = 32; /* Mach-O and Breakpad ELF ids: a UUID with an age that is always 0 */
	out[n] = '\0';
	return n;
}

/* ---- module name ---- */

/* A PE id is 8 hex digits of time stamp and 1 to 7 of size. */
static bool
is_pe_id(struct text id)
{
	if (id.len < 9 || id.len > 15)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (!is_hex(id.at[i]))
			return false;
	return true;
}

static bool
is_pe_name(struct text name)
{
	static const char suffixes[][6] = { "exe", "dll", "sys", "drv", "ocx",  "cpl", "scr", "efi",
					    "ax",  "acm", "tsp", "mui", "node", "pyd", "com" };
	char end[6];
	size_t n = 0;

	while (n < name.len && n < sizeof(end) - 1 && name.at[name.len - 1 - n] != '.')
		n++;
	if (n == 0 || n >= name.len || name.at[name.len - 1 - n] != '.')
		return false;
	for (size_t i = 0; i < n; i++)
		end[i] = lower(name.at[name.len - n + i]);
	end[n] = '\0';
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (strcmp(end, suffixes[i]) == 0)
			return true;
	return false;
}

size_t
module_name_normalise(struct text name, struct text id, char *out, size_t cap)
{
	static const char deleted[] = " (deleted)";
	size_t n, start = 0;
	bool pe = false;

	if (name.at == NULL)
		name = TEXT("");
	if (ends_with(name, deleted))
		name.len -= sizeof(deleted) - 1;
	for (size_t i = 0; i < name.len; i++) {
		bool apk = name.at[i] == '!' && ends_with((struct text){ name.at, i }, ".apk");

		pe |= name.at[i] == '\\';
		if (name.at[i] == '/' || name.at[i] == '\\' || apk)
			start = i + 1;
	}
	name = (struct text){ name.at + start, name.len - start };
	pe = pe || is_pe_name(name);
	if (!pe && id.len > 0) {
		char clean[MODULE_ID_MAX + 1];

		pe = is_pe_id((struct text){ clean, module_id_normalise(id, clean, sizeof(clean)) });
	}
	n = name.len < MODULE_NAME_MAX ? name.len : MODULE_NAME_MAX;
	if (n > cap - 1)
		n = cap - 1;
	/* never cut inside a UTF-8 sequence */
	while (n < name.len && n > 0 && ((unsigned char)name.at[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		out[i] = pe ? lower(name.at[i]) : name.at[i];
	out[n] = '\0';
	return n;
}

/* ---- canonical text ---- */

const char *
signature_rung_name(enum signature_rung rung)
{
	static const char *const names[RUNG_N] = {
		[RUNG_KEY] = "key", [RUNG_BUILD] = "build", [RUNG_MODULE] = "module",     [RUNG_KERNEL] = "kernel",
		[RUNG_ANY] = "any", [RUNG_STOP] = "stop",   [RUNG_FUNCTION] = "function",
	};

	return (unsigned)rung < RUNG_N ? names[rung] : "any";
}

size_t
module_name_bare(struct text name)
{
	const char *mark = name.len > 2 ? memchr(name.at + 1, '!', name.len - 2) : NULL;

	return mark != NULL ? (size_t)(mark - name.at) : name.len;
}

struct out {
	char *p;
	size_t cap, len;
};

static void
put_bytes(struct out *o, const char *p, size_t n)
{
	if (n > o->cap - 1 - o->len)
		n = o->cap - 1 - o->len;
	memcpy(o->p + o->len, p, n);
	o->len += n;
	o->p[o->len] = '\0';
}

static void
put_text(struct out *o, const char *s)
{
	put_bytes(o, s, strlen(s));
}

/* printf would cost more than the hash: these texts are made for each report. */
static void
put_number(struct out *o, uint64_t v, unsigned base)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = "0123456789abcdef"[v % base];
	while ((v /= base) != 0);
	put_bytes(o, digits + n, sizeof(digits) - n);
}

static void
put_hex(struct out *o, uint64_t v)
{
	put_text(o, "0x");
	put_number(o, v, 16);
}

static void
put_head(struct out *o, enum signature_rung rung)
{
	put_text(o, "faultline signature 1\n");
	put_text(o, signature_rung_name(rung));
	put_text(o, "\n");
}

size_t
signature_text(const struct signature_key *key, enum signature_rung rung, char out[SIGNATURE_TEXT_MAX])
{
	struct out o = { out, SIGNATURE_TEXT_MAX, 0 };
	char name[MODULE_NAME_MAX + 1], id[MODULE_ID_MAX + 1];
	struct text idv = { id, 0 };
	size_t n;

	put_head(&o, rung);
	if (rung > RUNG_MODULE)
		return o.len;
	idv.len = module_id_normalise(key->module_id, id, sizeof(id));
	n = module_name_normalise(key->module, idv, name, sizeof(name));
	if (rung != RUNG_KEY)
		n = module_name_bare((struct text){ name, n });
	/* the length keeps names with line breaks apart */
	put_text(&o, "module ");
	put_number(&o, n, 10);
	put_text(&o, ":");
	put_bytes(&o, name, n);
	put_text(&o, "\n");
	if (rung == RUNG_MODULE)
		return o.len;
	put_text(&o, "id ");
	put_bytes(&o, id, idv.len);
	put_text(&o, "\n");
	if (rung == RUNG_BUILD)
		return o.len;
	put_text(&o, "offset ");
	put_hex(&o, key->offset);
	put_text(&o, "\nclass ");
	put_text(&o, reason_class_name(key->reason));
	put_text(&o, "\n");
	return o.len;
}

static uint64_t
hash_text(const char *text, size_t len)
{
	uint8_t d[SHA256_BYTES];
	uint64_t h = 0;

	sha256(text, len, d);
	for (int i = 0; i < 8; i++)
		h = h << 8 | d[i];
	return h;
}

uint64_t
signature_hash(const struct signature_key *key, enum signature_rung rung)
{
	char text[SIGNATURE_TEXT_MAX];

	return hash_text(text, signature_text(key, rung, text));
}

char *
signature_id_text(uint64_t hash, char out[SIGNATURE_ID_LEN])
{
	snprintf(out, SIGNATURE_ID_LEN, "s1-%016" PRIx64, hash);
	return out;
}

void
signature_id(const struct signature_key *key, char out[SIGNATURE_ID_LEN])
{
	signature_id_text(signature_hash(key, RUNG_KEY), out);
}

int
signature_id_parse(const char *s, size_t len, uint64_t *hash_out)
{
	uint64_t h = 0;

	if (len != SIGNATURE_ID_LEN - 1 || memcmp(s, "s1-", 3) != 0)
		return -1;
	for (size_t i = 3; i < len; i++) {
		char c = s[i];

		if (!is_hex(c) || c != lower(c))
			return -1;
		h = h << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*hash_out = h;
	return 0;
}

/* ---- title ---- */

static void
put_safe(struct out *o, const char *p, size_t len)
{
	for (size_t i = 0; i < len;) {
		bool harmless;
		size_t n = text_character(p + i, len - i, &harmless);

		if (!harmless)
			put_bytes(o, "?", 1);
		else if (o->cap - 1 - o->len >= n)
			put_bytes(o, p + i, n);
		i += n;
	}
}

size_t
signature_title(const struct signature_key *key, char *out, size_t cap)
{
	struct out o = { out, cap, 0 };
	char name[MODULE_NAME_MAX + 1], id[MODULE_ID_MAX + 1];
	struct text idv = { id, 0 };
	size_t n;

	if (cap == 0)
		return 0;
	out[0] = '\0';
	idv.len = module_id_normalise(key->module_id, id, sizeof(id));
	n = module_name_normalise(key->module, idv, name, sizeof(name));
	if (n == 0) {
		put_text(&o, "unknown");
		return o.len;
	}
	put_safe(&o, name, n);
	put_text(&o, "+");
	put_hex(&o, key->offset);
	return o.len;
}

/* ---- functions ---- */

static size_t
function_module(const struct function_key *key, char name[MODULE_NAME_MAX + 1])
{
	char id[MODULE_ID_MAX + 1];
	struct text idv = { id, module_id_normalise(key->module_id, id, sizeof(id)) };
	size_t n = module_name_normalise(key->module, idv, name, MODULE_NAME_MAX + 1);

	return module_name_bare((struct text){ name, n });
}

size_t
signature_function_text(const struct function_key *key, char out[SIGNATURE_TEXT_MAX])
{
	struct out o = { out, SIGNATURE_TEXT_MAX, 0 };
	size_t n, f = key->function.len < SIGNATURE_FUNCTION_MAX ? key->function.len : SIGNATURE_FUNCTION_MAX;
	char name[MODULE_NAME_MAX + 1];

	put_head(&o, RUNG_FUNCTION);
	n = function_module(key, name);
	put_text(&o, "module ");
	put_number(&o, n, 10);
	put_text(&o, ":");
	put_bytes(&o, name, n);
	put_text(&o, "\nfunction ");
	put_number(&o, f, 10);
	put_text(&o, ":");
	if (f > 0)
		put_bytes(&o, key->function.at, f);
	put_text(&o, "\n");
	return o.len;
}

uint64_t
signature_function_hash(const struct function_key *key)
{
	char text[SIGNATURE_TEXT_MAX];

	return hash_text(text, signature_function_text(key, text));
}

size_t
signature_function_title(const struct function_key *key, char *out, size_t cap)
{
	struct out o = { out, cap, 0 };
	char name[MODULE_NAME_MAX + 1];
	size_t n;

	if (cap == 0)
		return 0;
	out[0] = '\0';
	n = function_module(key, name);
	if (n > 0) {
		put_safe(&o, name, n);
		put_text(&o, "!");
	}
	if (key->function.len > 0)
		put_safe(&o, key->function.at,
			 key->function.len < SIGNATURE_FUNCTION_MAX ? key->function.len : SIGNATURE_FUNCTION_MAX);
	return o.len;
}

/* ---- stop codes ---- */

static void
put_params(struct out *o, const struct stop_key *key)
{
	for (size_t i = 0; i < key->n_params && i < 4; i++) {
		uint64_t p = key->params[i], low = (uint32_t)p;
		bool sign_extended = p >> 32 == 0xffffffff || p >> 32 == 0;

		put_text(o, " ");
		if (p == 0)
			put_text(o, "0");
		else if (p < 0x1000)
			put_hex(o, p);
		else if (sign_extended && ((low >> 30 == 3 && (low & 0x0fff0000) < 0x100000) ||
					   (low >= 0x80000001 && low <= 0x80000004)))
			put_hex(o, low);
		else
			put_text(o, p >> 47 || (p >> 32 == 0 && p >= 0x80000000) ? "kernel" : "user");
	}
}

size_t
signature_stop_text(const struct stop_key *key, char out[SIGNATURE_TEXT_MAX])
{
	struct out o = { out, SIGNATURE_TEXT_MAX, 0 };
	size_t n = key->os_build.at == NULL ? 0 : key->os_build.len < 64 ? key->os_build.len : 64;

	put_head(&o, RUNG_STOP);
	put_text(&o, "code ");
	put_hex(&o, key->code);
	put_text(&o, "\nparameters");
	put_params(&o, key);
	put_text(&o, "\nos ");
	put_number(&o, n, 10);
	put_text(&o, ":");
	if (n != 0)
		put_bytes(&o, key->os_build.at, n);
	put_text(&o, "\n");
	return o.len;
}

uint64_t
signature_stop_hash(const struct stop_key *key)
{
	char text[SIGNATURE_TEXT_MAX];

	return hash_text(text, signature_stop_text(key, text));
}

size_t
signature_stop_title(const struct stop_key *key, char *out, size_t cap)
{
	struct out o = { out, cap, 0 };
	const char *name = bugcheck_name(key->code);

	if (cap == 0)
		return 0;
	out[0] = '\0';
	put_text(&o, "stop ");
	put_hex(&o, key->code);
	if (name != NULL) {
		put_text(&o, " ");
		put_text(&o, name);
	}
	put_params(&o, key);
	return o.len;
}
