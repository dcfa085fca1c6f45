/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <libiberty/demangle.h>
#include <string.h>

#include "triage/functions.h"
#include "triage/utf.h"

#define SYMBOL_MAX 1024u /* longer ones are shown as they are: demangling repeats parts of a name */

struct text_out {
	char bytes[FUNCTION_NAME_MAX];
	size_t len;
	bool full;
};

static void
append(const char *p, size_t n, void *arg)
{
	struct text_out *o = arg;

	if (n > sizeof(o->bytes) - 1 - o->len) {
		n = sizeof(o->bytes) - 1 - o->len;
		o->full = true;
	}
	if (n > 0) /* nothing may come without an address */
		memcpy(o->bytes + o->len, p, n);
	o->len += n;
}

/* Does a Rust name bind more lifetimes than anybody writes?  A function type (F) or a trait object (D) says how many by
 * G and a number in base 62, and the library prints them one by one, up to 2^64. */
static bool
binds_many(const char *symbol)
{
	static const char base62[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	for (const char *p = symbol; (p = strpbrk(p, "FD")) != NULL; p++) {
		size_t digits = p[1] == 'G' ? strspn(p + 2, base62) : 0;

		if (digits > 1 && p[2 + digits] == '_')
			return true;
	}
	return false;
}

const char *
function_demangle(struct arena *a, const char *symbol)
{
	struct text_out o = { .len = 0 };
	size_t len = strlen(symbol);
	const char *p = symbol;
	bool done = false;

	while (*p == '_' && p[1] == '_') /* Mach-O has one more */
		p++;
	if (len <= SYMBOL_MAX && ((strncmp(p, "_R", 2) == 0 && !binds_many(p)) || strncmp(p, "_ZN", 3) == 0))
		done = rust_demangle_callback(p, 0, append, &o) != 0;
	if (!done && len <= SYMBOL_MAX && strncmp(p, "_Z", 2) == 0) {
		o.len = 0;
		done = cplus_demangle_v3_callback(p, DMGL_ANSI, append, &o) != 0;
	}
	if (done && o.len > 0)
		return utf_from_bytes(a, o.bytes, o.len, FUNCTION_NAME_MAX);
	return utf_from_bytes(a, symbol, len, FUNCTION_NAME_MAX);
}

void
functions_name(struct unwind *u, struct triage_frame *frames, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct triage_frame *f = &frames[i];
		uint64_t distance = 0;
		const char *name = unwind_function(u, f->module, f->offset, &distance);

		if (*name == '\0' || (name = function_demangle(u->arena, name)) == NULL)
			continue;
		f->function = name;
		f->function_offset = distance;
	}
}
