/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_TEXTSCAN_H
#define TRIAGE_TEXTSCAN_H

#include "base/text.h"
#include "triage/dump.h"

/* What the readers of texts share: lines, words and numbers of borrowed bytes, and the
 * crash model that is filled from them.  Pure; nothing here keeps what it is given. */

#define TEXT_SIZE_MAX ((size_t)32 << 20) /* of a text; what is beyond is not looked at */
#define TEXT_LINE_MAX 8192               /* of a line; the rest of it is passed over */
#define TEXT_NAME_MAX 255                /* of a name that is kept */

struct lines {
	const char *at, *end;
};

/* The next line without its line break and trailing blanks; false at the end. */
bool lines_next(struct lines *l, struct text *out);

/* All return views into t. */
struct text text_trim(struct text t);
struct text text_from(struct text t, size_t at);           /* the rest from at on; empty behind the end */
struct text text_upto(struct text t, size_t len);          /* at most len bytes */
bool text_starts(struct text t, const char *with);         /* exact */
const char *text_find(struct text t, const char *needle);  /* NULL: not in it */
struct text text_after(struct text t, const char *needle); /* behind needle, trimmed; at NULL without it */
struct text text_word(struct text *t);                     /* the next word without blanks; empty at the end */
bool text_char_word(char c);                               /* letter, digit or _ */
size_t text_hex(struct text t, uint64_t *out);     /* bytes used of "1f" or "0x1f", 0: no number or over 64 bits */
size_t text_dec(struct text t, uint64_t *out);     /* same, decimal */
bool text_hex_value(struct text t, uint64_t *out); /* the whole of t is a hex number */

/* The crash model of a text. */
struct textdump {
	struct arena *arena;
	struct dump *d;
	unsigned lookups; /* of modules */
	bool full;        /* the arena was exhausted */
};

/* Start a model of that format in *out, whose texts are "". */
struct textdump textdump_new(struct arena *a, struct dump *out, enum triage_format format);

/* Copy as valid UTF-8; "" (and t->full) when the arena is exhausted. */
const char *textdump_copy(struct textdump *t, struct text s, size_t max);

/* Index of the module of that name and base, added when new (name, base 0: by name alone); -1
 * when there are too many. */
int32_t textdump_module(struct textdump *t, struct text name, uint64_t base);

/* A frame at the end; what is over TRIAGE_MAX_FRAMES is dropped.  NULL then. */
struct triage_frame *textdump_frame(struct textdump *t);

/* First 64 annotations are kept; an empty value is none. */
void textdump_note(struct textdump *t, const char *key, struct text value);

/* ERR_OK, or ERR_LIMIT and *diag when the arena was exhausted. */
enum err textdump_end(const struct textdump *t, struct diag *diag);

/* The text is not what it seemed: code and what in *diag, unless that came of an exhausted arena. */
enum err textdump_fail(const struct textdump *t, enum err code, const char *what, struct diag *diag);

/* Bytes a call leaves between itself and its return address, as signatures count them. */
unsigned text_call_size(enum triage_arch arch);

/* Readers of one text each; the text is UTF-8 or nearly, without a BOM. */
enum err oops_read(struct arena *a, struct text text, struct dump *out, struct diag *diag);
enum err tombstone_read(struct arena *a, struct text text, struct dump *out, struct diag *diag);
enum err microdump_read(struct arena *a, struct text text, struct dump *out, struct diag *diag);
enum err apple_read(struct arena *a, struct text text, struct dump *out, struct diag *diag);
enum err applejson_read(struct arena *a, struct text text, struct dump *out, struct diag *diag);
enum err applepanic_read(struct arena *a, struct text text, struct dump *out, struct diag *diag);
bool winevent_is(struct text text); /* has words that only such events have, in any language */
enum err winevent_read(struct arena *a, struct text text, struct dump *out, struct diag *diag);

/* May these be the first bytes of a text we read?  false: they are none, whatever follows. */
bool text_begins(const void *head, size_t size);

/* Android's binary tombstone, tried when the bytes are no text. */
bool tombstonepb_is(const void *image, size_t size);
bool tombstonepb_begins(const void *head, size_t size); /* as far as it goes: it may be cut anywhere */
enum err tombstonepb_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag);

#endif
