/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "triage/messenger.h"
#include "triage/oops.h"
#include "triage/utf.h"

#define REASON_BYTES 120

/* The telling words, the more telling first where one line can have two.  begins: only at
 * the begin of the message, because the words alone are everyday ones. */
static const struct marker {
	const char *words;
	enum oops_tier tier;
	bool begins;
} markers[] = {
	{ "BUG: sleeping function called", OOPS_WARNING, false },
	{ "BUG: scheduling while atomic", OOPS_WARNING, false },
	{ "BUG: bad unlock balance", OOPS_WARNING, false },
	{ "BUG: Invalid wait context", OOPS_WARNING, false },
	{ "BUG: MAX_LOCK", OOPS_WARNING, false },
	{ "BUG: using smp_processor_id()", OOPS_WARNING, false },
	{ "BUG: workqueue lockup", OOPS_WARNING, false },
	{ "BUG: KCSAN", OOPS_WARNING, false },
	{ "Kernel panic - not syncing", OOPS_PANIC, false },
	{ "kernel BUG at", OOPS_FATAL, false },
	{ "BUG: ", OOPS_FATAL, false },
	{ "bad unlock balance detected", OOPS_WARNING, false },
	{ "Unable to handle kernel", OOPS_FATAL, false },
	{ "unable to handle kernel", OOPS_FATAL, false },
	{ "general protection fault", OOPS_FATAL, true },
	{ "PANIC: double fault", OOPS_FATAL, false },
	{ "double fault: ", OOPS_FATAL, true },
	{ "divide error: ", OOPS_FATAL, true },
	{ "invalid opcode: ", OOPS_FATAL, true },
	{ "stack segment: ", OOPS_FATAL, true },
	{ "segment not present: ", OOPS_FATAL, true },
	{ "int3: ", OOPS_FATAL, true },
	{ "alignment check: ", OOPS_FATAL, true },
	{ "illegal operation: ", OOPS_FATAL, true },
	{ "stack guard page was hit", OOPS_FATAL, false },
	{ "Kernel stack overflow", OOPS_FATAL, false },
	{ "Internal error: ", OOPS_FATAL, true },
	{ "Unhandled fault: ", OOPS_FATAL, false },
	{ "Unexpected kernel BRK exception", OOPS_FATAL, false },
	{ "Kernel unaligned access", OOPS_FATAL, false },
	{ "Oops: ", OOPS_FATAL, true },
	{ "Oops - ", OOPS_FATAL, true },
	{ "Oops[#", OOPS_FATAL, true },
	{ "Kernel BUG ", OOPS_FATAL, true },
	{ "Break instruction in kernel code", OOPS_FATAL, true },
	{ "Watchdog detected hard LOCKUP", OOPS_FATAL, false },
	{ "Watchdog CPU:", OOPS_FATAL, false },
	{ "self-detected stall on CPU", OOPS_FATAL, false },
	{ "detected stalls on CPUs/tasks", OOPS_FATAL, false },
	{ "detected expedited stalls on CPUs/tasks", OOPS_FATAL, false },
	{ "blocked for more than ", OOPS_FATAL, false },
	{ "BUG kmalloc-", OOPS_FATAL, true },
	{ "WARNING: ", OOPS_WARNING, true },
	{ "UBSAN: ", OOPS_WARNING, true },
	{ "INFO: possible ", OOPS_WARNING, false },
	{ "INFO: inconsistent lock", OOPS_WARNING, false },
	{ "INFO: suspicious RCU", OOPS_WARNING, false },
	{ "possible circular locking dependency", OOPS_WARNING, false },
	{ "possible recursive locking", OOPS_WARNING, false },
	{ "suspicious RCU usage", OOPS_WARNING, false },
	{ "INFO: suspicious rcu", OOPS_WARNING, false },
	{ "inconsistent lock state", OOPS_WARNING, false },
};

/* "BUG kmalloc-4096 (Tainted: G  I ): Poison overwritten" of the slab allocator. */
static bool
is_slab_bug(struct text line)
{
	return text_starts(line, "BUG ") &&
	       (text_find(line, "): ") != NULL || text_find(line, "Objects remaining") != NULL);
}

/* What the words say of lines that only mention them: settings, traces, user programs. */
static bool
is_mention(struct text line)
{
	static const char *const harmless[] = { "Disabling lock debugging", "traps: ", "enabled",
						"lockdep is turned off" };

	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (text_find(line, harmless[i]) != NULL && text_find(line, "PANIC") == NULL)
			return true;
	return false;
}

static uint64_t
bit(char c)
{
	return UINT64_C(1) << ((unsigned char)c & 63);
}

/* Which bytes the line has: most markers are ruled out by their first ones. */
static uint64_t
bytes_of(struct text line)
{
	uint64_t set = 0;

	for (size_t i = 0; i < line.len; i++)
		set |= bit(line.at[i]);
	return set;
}

void
oops_markers_init(struct oops_markers *m)
{
	_Static_assert(sizeof(markers) / sizeof(markers[0]) <= OOPS_MARKERS_MAX, "room for each marker");

	for (size_t i = 0; i < sizeof(markers) / sizeof(markers[0]); i++) {
		m->need[i] = 0;
		for (const char *p = markers[i].words; *p != '\0'; p++)
			m->need[i] |= bit(*p);
	}
}

enum oops_tier
oops_marker(const struct oops_markers *known, struct text line, struct text *what)
{
	uint64_t set;

	if (line.len < 6)
		return OOPS_NONE;
	set = bytes_of(line);
	for (size_t i = 0; i < sizeof(markers) / sizeof(markers[0]); i++) {
		const struct marker *m = &markers[i];
		const char *p;

		if ((known->need[i] & ~set) != 0)
			continue;
		p = m->begins ? (text_starts(line, m->words) ? line.at : NULL) : text_find(line, m->words);
		if (p == NULL)
			continue;
		if (m->tier != OOPS_PANIC && is_mention(line))
			return OOPS_NONE;
		*what = text_from(line, (size_t)(p - line.at));
		if (strcmp(m->words, "blocked for more than ") == 0 || strstr(m->words, "stall") != NULL)
			*what = line;
		return m->tier;
	}
	if (!is_slab_bug(line))
		return OOPS_NONE;
	*what = line;
	return OOPS_FATAL;
}

/* ---- reasons ---- */

/* Where what differs from one time to the next begins: an address, a counter in brackets. */
static size_t
variable_part(struct text t)
{
	static const char *const ends[] = { " [#", ", probably", ": 0000",        " on CPU#", " on cpu ", " - CPU#",
					    "! [", " (Tainted",  " (Not tainted", "{",        " usage" };
	size_t end = t.len;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		const char *p = text_find(text_upto(t, end), ends[i]);

		if (p != NULL)
			end = (size_t)(p - t.at) + (ends[i][0] == '!' ? 1 : 0);
	}
	for (size_t i = 0; i < end; i++) {
		struct text rest = text_from(text_upto(t, end), i);
		size_t n = 0;
		uint64_t v;

		if (i > 0 && text_char_word(t.at[i - 1]))
			continue;
		while (n < rest.len && text_char_word(rest.at[n]))
			n++;
		if (n >= 3 && text_hex(rest, &v) >= n && (text_starts(rest, "0x") || (n >= 8 && rest.at[0] <= 'f')))
			end = i;
	}
	return end;
}

static size_t
without_word(struct text t, const char *word)
{
	size_t n = strlen(word);

	if (t.len <= n || memcmp(t.at + t.len - n, word, n) != 0 || text_char_word(t.at[t.len - n - 1]))
		return t.len;
	return t.len - n;
}

/* Words that only lead to what was cut away. */
static struct text
without_leaders(struct text t)
{
	static const char *const words[] = {
		"at", "address", "virtual", "for", "in", "exitcode", "of", "kernel address"
	};

	size_t n;

	for (size_t before = t.len + 1; t.len < before;) {
		before = t.len;
		t = text_trim(t);
		while (t.len > 0 && strchr(" ,:=-([", t.at[t.len - 1]) != NULL)
			t.len--;
		for (n = t.len; n > 0 && t.at[n - 1] >= '0' && t.at[n - 1] <= '9'; n--)
			;
		if (n > 2 && n < t.len && t.at[n - 1] == ' ' && t.at[n - 2] == ':') /* "undefined instruction: 0" */
			t.len = n - 2;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			t.len = without_word(t, words[i]);
	}
	return text_trim(t);
}

/* "WARNING: CPU: 1 PID: 2 at net/core/dev.c:42 foo+0x1/0x2 [mod]": the file would say things
 * that are no reason ("watchdog.c"), and its line differs from build to build. */
static const char *
warning_reason(struct textdump *t, struct text what)
{
	struct text place = text_after(what, " at ");

	if (place.at == NULL)
		return NULL;
	textdump_note(t, "source", text_word(&place));
	return "WARNING";
}

const char *
oops_reason(struct textdump *t, struct text what)
{
	struct oops_place p;
	const char *s;

	if (text_find(what, "blocked for more than ") != NULL && text_find(what, "task ") != NULL)
		return "hung task";
	if (is_slab_bug(what) && text_find(what, "): ") != NULL) {
		s = utf_printf(t->arena, "%s: %s", textdump_copy(t, text_upto(what, variable_part(what)), 60),
			       textdump_copy(t, text_after(what, "): "), 60));
		t->full |= s == NULL;
		return s != NULL ? s : "";
	}
	if (text_starts(what, "WARNING: ") && text_find(what, "possible ") == NULL &&
	    text_find(what, "suspicious ") == NULL && (s = warning_reason(t, what)) != NULL)
		return s;
	if (oops_place_in(what, &p)) /* "BUG: KASAN: use-after-free in foo+0x12/0x34" */
		what.len = (size_t)(p.function.at - what.at);
	what = without_leaders(text_upto(what, variable_part(what)));
	if (what.len > 0 && what.at[what.len - 1] == ']')
		what = text_trim(text_upto(what, what.len - 1));
	s = textdump_copy(t, what, REASON_BYTES);
	return *s != '\0' ? s : "kernel oops";
}

bool
oops_address(struct text what, uint64_t *out)
{
	static const char *const leaders[] = { "virtual address ", "address: ",     "address ", " at addr ",
					       " on read at ",     " on write at ", " at " };

	for (size_t i = 0; i < sizeof(leaders) / sizeof(leaders[0]); i++) {
		struct text t = text_after(what, leaders[i]);
		size_t n;

		if (t.at == NULL)
			continue;
		n = text_hex(t, out);
		if ((n >= 8 || (n > 2 && text_starts(t, "0x"))) && (n == t.len || !text_char_word(t.at[n])))
			return true;
	}
	return false;
}

/* ---- messengers ---- */

const char *
oops_messenger(const char *function)
{
	return messenger_function(OOPS_KERNEL, function, true);
}

/* ---- pstore ---- */

#define PARTS_MAX 256

struct part {
	uint64_t count, number;
	struct text body;
	size_t seen;
};

/* "Panic#2 Part3": the head of a part. */
static bool
part_head(struct text line, struct part *out)
{
	static const char *const kinds[] = { "Panic#", "Oops#",     "Emergency#", "Restart#",
					     "Halt#",  "Poweroff#", "Shutdown#",  "Unknown#" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct text t;
		size_t n;

		if (!text_starts(line, kinds[i]))
			continue;
		t = text_from(line, strlen(kinds[i]));
		n = text_dec(t, &out->count);
		t = text_from(t, n);
		if (n == 0 || !text_starts(t, " Part"))
			return false;
		t = text_from(t, 5);
		n = text_dec(t, &out->number);
		return n > 0 && n == t.len;
	}
	return false;
}

/* The last part was written last and stands first when files are joined by name. */
static int
by_time(const void *pa, const void *pb)
{
	const struct part *a = pa, *b = pb;

	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	if (a->number != b->number)
		return a->number > b->number ? -1 : 1;
	return a->seen < b->seen ? -1 : a->seen > b->seen;
}

struct text
oops_order(struct arena *a, struct text text)
{
	struct lines l = { text.at, text.at + text.len };
	struct part *parts = NULL, p;
	struct text line;
	size_t n = 0, len = 0;
	bool ordered = true;
	char *out;

	while (lines_next(&l, &line)) {
		if (line.len > 40 || !part_head(line, &p))
			continue;
		if (parts == NULL && (parts = ARENA_ARRAY(a, struct part, PARTS_MAX)) == NULL)
			return text;
		if (n == PARTS_MAX)
			return text;
		p.seen = n;
		p.body = (struct text){ l.at, 0 };
		if (n > 0)
			parts[n - 1].body.len = (size_t)(line.at - parts[n - 1].body.at);
		ordered &= n == 0 || by_time(&parts[n - 1], &p) <= 0;
		parts[n++] = p;
	}
	if (n < 2 || ordered)
		return text;
	parts[n - 1].body.len = (size_t)(text.at + text.len - parts[n - 1].body.at);
	qsort(parts, n, sizeof(parts[0]), by_time);
	out = arena_calloc(a, text.len + 1, 1);
	if (out == NULL)
		return text;
	for (size_t i = 0; i < n; i++) {
		memcpy(out + len, parts[i].body.at, parts[i].body.len);
		len += parts[i].body.len;
	}
	return (struct text){ out, len };
}
