/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "triage/symfile.h"

#define LINE_MAX_BYTES 65536u /* of a line that is looked at; longer ones are cut */
#define NESTED         64     /* STACK WIN records that may lie around an offset */
#define INFO_LINES     32
#define DELTAS_MAX     65536u /* bytes of STACK CFI lines of one function: thousands of them */

enum record { FUNC, PUBLIC, CFI, WIN_FPO, WIN_DATA, N_RECORDS };

struct entry {
	uint64_t start;
	uint32_t size;
	uint32_t line; /* where its line begins */
};

struct symfile_index {
	struct entry *list[N_RECORDS]; /* by start, then larger first */
	size_t n[N_RECORDS];
};

/* ---- lines and words ---- */

struct line {
	const char *p, *end;
};

/* The line at *at, which moves to the next; false at the end. */
static bool
next_line(const struct symfile *s, size_t *at, struct line *out)
{
	const char *p = s->bytes + *at, *nl;

	if (*at >= s->size)
		return false;
	nl = memchr(p, '\n', s->size - *at);
	out->p = p;
	out->end = nl != NULL ? nl : s->bytes + s->size;
	*at = (size_t)(out->end - s->bytes) + (nl != NULL);
	if ((size_t)(out->end - p) > LINE_MAX_BYTES)
		out->end = p + LINE_MAX_BYTES;
	if (out->end > p && out->end[-1] == '\r')
		out->end--;
	return true;
}

static struct text
word(struct line *l)
{
	const char *begin;

	while (l->p < l->end && *l->p == ' ')
		l->p++;
	begin = l->p;
	while (l->p < l->end && *l->p != ' ')
		l->p++;
	return (struct text){ begin, (size_t)(l->p - begin) };
}

static struct text
rest(struct line *l)
{
	while (l->p < l->end && *l->p == ' ')
		l->p++;
	return (struct text){ l->p, (size_t)(l->end - l->p) };
}

static bool
is(struct text t, const char *s)
{
	return text_equal(t, text_of(s));
}

static bool
number(struct text t, uint64_t *out)
{
	uint64_t v = 0;

	if (t.len == 0 || t.len > 16)
		return false;
	for (size_t i = 0; i < t.len; i++) {
		char c = t.at[i];
		unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
				 : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
				 : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
							: 99;

		if (digit > 15)
			return false;
		v = v << 4 | digit;
	}
	*out = v;
	return true;
}

static bool
hex(struct line *l, uint64_t *out)
{
	return number(word(l), out);
}

static bool
hex32(struct line *l, uint32_t *out)
{
	uint64_t v;

	if (!hex(l, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

static void
copy(char *to, size_t cap, struct text t, bool lower)
{
	size_t n = t.len < cap - 1 ? t.len : cap - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = (char)(lower && t.at[i] >= 'A' && t.at[i] <= 'Z' ? t.at[i] - 'A' + 'a' : t.at[i]);
	to[n] = '\0';
}

/* ---- the head of the file ---- */

enum err
symfile_open(struct arena *a, const void *file, size_t size, struct symfile **out, struct diag *diag)
{
	struct symfile *s = ARENA_NEW(a, struct symfile);
	struct line l;
	size_t at = 0;

	*diag = (struct diag){ ERR_UNSUPPORTED, "not a Breakpad symbol file", 0 };
	if (s == NULL) {
		*diag = (struct diag){ ERR_LIMIT, "the symbols need more memory than they are given", 0 };
		return diag->code;
	}
	s->bytes = file;
	s->size = size < UINT32_MAX ? size : UINT32_MAX;
	s->arena = a;
	if (!next_line(s, &at, &l) || !is(word(&l), "MODULE"))
		return diag->code;
	copy(s->os, sizeof(s->os), word(&l), false);
	copy(s->arch, sizeof(s->arch), word(&l), false);
	copy(s->debug_id, sizeof(s->debug_id), word(&l), true);
	copy(s->name, sizeof(s->name), rest(&l), false);
	if (s->debug_id[0] == '\0') {
		*diag = (struct diag){ ERR_MALFORMED, "the MODULE record has no id", 0 };
		return diag->code;
	}
	for (int i = 0; i < INFO_LINES && next_line(s, &at, &l) && is(word(&l), "INFO"); i++)
		if (is(word(&l), "CODE_ID"))
			copy(s->code_id, sizeof(s->code_id), word(&l), true);
	*out = s;
	return ERR_OK;
}

/* ---- records ---- */

static bool
starts(const struct line *l, const char *with)
{
	size_t n = strlen(with);

	return (size_t)(l->end - l->p) >= n && memcmp(l->p, with, n) == 0;
}

/* FUNC and PUBLIC: past the mark of one that stands for several. */
static void
skip_m(struct line *l)
{
	struct line ahead = *l;

	if (is(word(&ahead), "m"))
		*l = ahead;
}

/* Which record a line is and the range it is about; N_RECORDS: none that is indexed. */
static enum record
classify(struct line l, uint64_t *start, uint64_t *size)
{
	uint64_t type;

	*size = 0;
	if (starts(&l, "FUNC ")) {
		word(&l);
		skip_m(&l);
		return hex(&l, start) && hex(&l, size) ? FUNC : N_RECORDS;
	}
	if (starts(&l, "PUBLIC ")) {
		word(&l);
		skip_m(&l);
		return hex(&l, start) ? PUBLIC : N_RECORDS;
	}
	if (!starts(&l, "STACK "))
		return N_RECORDS;
	if (starts(&l, "STACK CFI INIT ")) {
		word(&l), word(&l), word(&l);
		return hex(&l, start) && hex(&l, size) ? CFI : N_RECORDS;
	}
	if (!starts(&l, "STACK WIN "))
		return N_RECORDS;
	word(&l), word(&l);
	if (!hex(&l, &type) || !hex(&l, start) || !hex(&l, size))
		return N_RECORDS;
	return type == 4 ? WIN_DATA : type == 0 ? WIN_FPO : N_RECORDS;
}

static int
by_start(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->size != b->size)
		return a->size > b->size ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

static struct symfile_index *
index_of(struct symfile *s)
{
	struct symfile_index *x = s->index;
	size_t at = 0, here = 0, n[N_RECORDS + 1] = { 0 };
	uint64_t start, size;
	struct line l;

	if (x != NULL || (x = s->index = ARENA_NEW(s->arena, struct symfile_index)) == NULL)
		return x;
	while (next_line(s, &at, &l))
		n[classify(l, &start, &size)]++;
	for (int k = 0; k < N_RECORDS; k++)
		if ((x->list[k] = ARENA_ARRAY(s->arena, struct entry, n[k])) == NULL)
			n[k] = 0;
	for (at = 0; next_line(s, &at, &l); here = at) {
		enum record k = classify(l, &start, &size);

		if (k < N_RECORDS && x->n[k] < n[k])
			x->list[k][x->n[k]++] = (struct entry){ start, size < UINT32_MAX ? (uint32_t)size : UINT32_MAX,
								(uint32_t)here };
	}
	for (int k = 0; k < N_RECORDS; k++)
		if (x->n[k] > 0)
			qsort(x->list[k], x->n[k], sizeof(struct entry), by_start);
	return x;
}

/* The last entry that starts at or before offset, NULL none. */
static const struct entry *
last_before(const struct symfile_index *x, enum record k, uint64_t offset)
{
	size_t lo = 0, hi = x->n[k];

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (x->list[k][mid].start <= offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 ? &x->list[k][lo - 1] : NULL;
}

/* The innermost entry around offset. */
static const struct entry *
around(const struct symfile_index *x, enum record k, uint64_t offset)
{
	const struct entry *e = last_before(x, k, offset);

	for (int i = 0; e != NULL && i < NESTED; i++, e--) {
		if (offset - e->start < e->size)
			return e;
		if (e == x->list[k])
			break;
	}
	return NULL;
}

static struct line
line_at(const struct symfile *s, size_t at)
{
	struct line l = { s->bytes, s->bytes };

	next_line(s, &at, &l);
	return l;
}

bool
symfile_function(struct symfile *s, uint64_t offset, struct symfile_function *out)
{
	const struct symfile_index *x = index_of(s);
	const struct entry *f, *p;
	struct line l;

	*out = (struct symfile_function){ 0 };
	if (x == NULL)
		return false;
	f = around(x, FUNC, offset);
	if (f == NULL) {
		f = last_before(x, FUNC, offset);
		p = last_before(x, PUBLIC, offset);
		if (p == NULL || (f != NULL && f->start >= p->start))
			return false;
		l = line_at(s, p->line);
		word(&l);
		skip_m(&l);
		hex(&l, &out->start);
		hex32(&l, &out->parameter_bytes);
	} else {
		l = line_at(s, f->line);
		word(&l);
		skip_m(&l);
		hex(&l, &out->start);
		hex(&l, &out->size);
		hex32(&l, &out->parameter_bytes);
	}
	out->name = rest(&l);
	return out->name.len > 0;
}

bool
symfile_cfi(struct symfile *s, uint64_t offset, struct symfile_cfi *out)
{
	const struct symfile_index *x = index_of(s);
	const struct entry *e = x != NULL ? around(x, CFI, offset) : NULL;
	size_t at, begin;
	struct line l;

	if (e == NULL)
		return false;
	*out = (struct symfile_cfi){ .start = e->start, .size = e->size };
	at = e->line;
	next_line(s, &at, &l);
	for (int i = 0; i < 5; i++) /* STACK CFI INIT start size */
		word(&l);
	out->rules = rest(&l);
	for (begin = at; next_line(s, &at, &l) && starts(&l, "STACK CFI ") && !starts(&l, "STACK CFI INIT ");) {
		out->deltas = (struct text){ s->bytes + begin, (size_t)(l.end - (s->bytes + begin)) };
		if (out->deltas.len > DELTAS_MAX)
			return false;
	}
	return true;
}

bool
symfile_win(struct symfile *s, uint64_t offset, struct symfile_win *out)
{
	const struct symfile_index *x = index_of(s);
	const struct entry *e = x != NULL ? around(x, WIN_DATA, offset) : NULL;
	uint64_t type, has, bp = 0;
	struct line l;

	*out = (struct symfile_win){ 0 };
	if (x != NULL && e == NULL)
		e = around(x, WIN_FPO, offset);
	if (e == NULL)
		return false;
	l = line_at(s, e->line);
	word(&l), word(&l);
	if (!hex(&l, &type) || !hex(&l, &out->start) || !hex(&l, &out->size) || !hex32(&l, &out->prologue) ||
	    !hex32(&l, &out->epilogue) || !hex32(&l, &out->parameters) || !hex32(&l, &out->saved) ||
	    !hex32(&l, &out->locals) || !hex32(&l, &out->max_stack) || !hex(&l, &has))
		return false;
	out->type = (unsigned)type;
	out->has_program = has != 0;
	if (out->has_program) {
		out->program = rest(&l);
		return out->program.len > 0;
	}
	hex(&l, &bp);
	out->allocates_bp = bp != 0;
	return true;
}

bool
symfile_has_stack(struct symfile *s)
{
	const struct symfile_index *x = index_of(s);

	return x != NULL && (x->n[CFI] > 0 || x->n[WIN_DATA] > 0 || x->n[WIN_FPO] > 0);
}
