/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_PROSE_H
#define COLLECTOR_LEDGER_PROSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sentences for people, and what their pieces are, so that a page can link a name and format a number without
 * composing anything: the text is whole by itself. */

/* Told by name (words.c). */
enum part_kind {
	PART_COUNT,      /* value: "1,042" */
	PART_MODULE,     /* or another thing that crashes */
	PART_SIGNATURE,  /* id */
	PART_DEPLOYMENT, /* its text is the id */
	PART_TIME,       /* us */
	PART_ODDS,       /* value: "4.8 million" */
	PART_RATE,       /* value: "0.087 %" */
	PART_BREAK,      /* a blank between what belongs on two lines */
	PART_N
};
struct part {
	uint16_t at, len; /* of the sentence */
	uint8_t kind;     /* enum part_kind */
	union {
		double value;
		uint64_t id;
		int64_t us;
	};
};

/* Writes at the end of a text; what does not fit is left out, and then nothing more is written. */
struct prose {
	char *out;
	size_t size, n; /* n: bytes written, without the NUL */
	struct part *parts;
	uint32_t *n_parts, cap;
	bool full;
};

/* parts may be NULL with cap 0; *n_parts counts them from 0. */
void prose_begin(struct prose *p, char *out, size_t size, struct part *parts, uint32_t cap, uint32_t *n_parts);
void prose_say(struct prose *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void prose_count(struct prose *p, uint64_t n);
void prose_name(struct prose *p, enum part_kind kind, const char *name, uint64_t id);
void prose_time(struct prose *p, int64_t us,
		int64_t now_us);               /* "03:06:20 UTC", with its day when that is not today's */
void prose_odds(struct prose *p, double n);    /* "1,024", "4.8 million"; above 10^12 no more is said */
void prose_rate(struct prose *p, double rate); /* "3.8 %", "12 per million" */
void prose_break(struct prose *p);

/* Another sentence with its parts. */
void prose_append(struct prose *p, const char *text, const struct part *parts, uint32_t n_parts);

#define PROSE_COUNT_SIZE 28
char *prose_count_text(uint64_t n, char out[PROSE_COUNT_SIZE]); /* "990,198" */

#endif
