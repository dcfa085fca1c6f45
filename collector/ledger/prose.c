/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "collector/ledger/prose.h"

#define DAY_US 86400000000ll

void
prose_begin(struct prose *p, char *out, size_t size, struct part *parts, uint32_t cap, uint32_t *n_parts)
{
	*p = (struct prose){ .out = out, .size = size, .parts = parts, .n_parts = n_parts, .cap = cap };
	out[0] = '\0';
	if (n_parts != NULL)
		*n_parts = 0;
}

static void
put(struct prose *p, const char *text, size_t len)
{
	if (p->full || len >= p->size - p->n) {
		p->full = true;
		return;
	}
	memcpy(p->out + p->n, text, len);
	p->n += len;
	p->out[p->n] = '\0';
}

void
prose_say(struct prose *p, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (n > 0)
		put(p, buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
}

static struct part *
mark(struct prose *p, enum part_kind kind, const char *text)
{
	static struct part nowhere;
	const size_t at = p->n;

	put(p, text, strlen(text));
	if (p->full || p->cap == 0 || p->n_parts == NULL || *p->n_parts == p->cap)
		return &nowhere;
	p->parts[*p->n_parts] =
		(struct part){ .at = (uint16_t)at, .len = (uint16_t)(p->n - at), .kind = (uint8_t)kind };
	return &p->parts[(*p->n_parts)++];
}

char *
prose_count_text(uint64_t n, char out[PROSE_COUNT_SIZE])
{
	char plain[24];
	int len = snprintf(plain, sizeof(plain), "%" PRIu64, n), at = 0;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = plain[i];
	}
	out[at] = '\0';
	return out;
}

void
prose_count(struct prose *p, uint64_t n)
{
	char text[PROSE_COUNT_SIZE];

	mark(p, PART_COUNT, prose_count_text(n, text))->value = (double)n;
}

void
prose_name(struct prose *p, enum part_kind kind, const char *name, uint64_t id)
{
	mark(p, kind, name)->id = id;
}

void
prose_time(struct prose *p, int64_t us, int64_t now_us)
{
	char iso[CLOCK_RFC3339_SIZE], text[CLOCK_RFC3339_SIZE + 8];

	clock_rfc3339(us, iso); /* 2026-12-01T03:06:20.120Z */
	if (us / DAY_US == now_us / DAY_US)
		snprintf(text, sizeof(text), "%.8s UTC", iso + 11);
	else
		snprintf(text, sizeof(text), "%.10s %.5s UTC", iso, iso + 11);
	mark(p, PART_TIME, text)->us = us;
}

void
prose_odds(struct prose *p, double n)
{
	static const struct {
		double from;
		const char *word;
	} words[] = { { 1e12, "trillion" }, { 1e9, "billion" }, { 1e6, "million" } };
	char text[48] = "a trillion";
	size_t i = 0;

	while (i < 3 && n < words[i].from * 0.99999)
		i++;
	if (i == 3)
		prose_count_text(n > 1 ? (uint64_t)(n + 0.5) : 1, text);
	else if (i > 0)
		snprintf(text, sizeof(text), "%.2g %s", n / words[i].from, words[i].word);
	if (i == 1 || i == 2) {
		const double m = n / words[i].from;

		if (m >= 99.5)
			snprintf(text, sizeof(text), "%.0f %s", m, words[i].word);
	}
	mark(p, PART_ODDS, text)->value = n;
}

void
prose_rate(struct prose *p, double rate)
{
	char text[48];

	if (rate >= 0.0995)
		snprintf(text, sizeof(text), "%.0f %%", rate * 100);
	else if (rate >= 0.0001)
		snprintf(text, sizeof(text), "%.2g %%", rate * 100);
	else
		snprintf(text, sizeof(text), "%.2g per million", rate * 1e6);
	mark(p, PART_RATE, text)->value = rate;
}

void
prose_append(struct prose *p, const char *text, const struct part *parts, uint32_t n_parts)
{
	const size_t at = p->n;

	put(p, text, strlen(text));
	for (uint32_t i = 0; !p->full && i < n_parts && *p->n_parts < p->cap; i++) {
		struct part *x = &p->parts[(*p->n_parts)++];

		*x = parts[i];
		x->at = (uint16_t)(x->at + at);
	}
}

void
prose_break(struct prose *p)
{
	mark(p, PART_BREAK, " ");
}
