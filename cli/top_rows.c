/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of `faultline top`: deployments worst first, and signatures. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/figures.h"
#include "cli/signatures.h"
#include "cli/top_rows.h"

#define WIDE   190 /* columns from which a deployment's reason stands in its row */
#define MEDIUM 100
#define NARROW 72 /* below, without pictures */

/* The evidence scale of every screen: log10 of the odds. */
#define EVIDENCE_LOW  -2.4
#define EVIDENCE_HIGH 9.6

static const struct top_chip chips[] = {
	{ "proceed", "PROCEED", "▶", STYLE_PROCEED },
	{ "hold", "HOLD", "‖", STYLE_HOLD },
	{ "watch", "WATCH", "◆", STYLE_WATCH },
	{ "halt", "HALT", "✖", STYLE_HALT },
	{ "halt_uncertified", "HALT · UNCERTIFIED", "✖", STYLE_HALT },
	{ "halt_recovered", "HALT · RECOVERED", "✖", STYLE_BOLD },
	{ "would_halt", "WOULD HALT", "◇", STYLE_BOLD },
};

const struct top_chip *
top_chip(const char *status)
{
	static const struct top_chip unknown = { "", "UNKNOWN", "?", STYLE_UNKNOWN };

	for (size_t i = 0; i < sizeof(chips) / sizeof(chips[0]); i++)
		if (strcmp(chips[i].status, status) == 0)
			return &chips[i];
	return &unknown;
}

/* A server of before says the verdict alone. */
static const struct top_chip *
chip_of(const json_t *row)
{
	const char *status = json_member(row, "status");

	return top_chip(*status != '\0' ? status : json_member(row, "verdict"));
}

static void
draw_chip(struct screen *s, const struct top_chip *c, int width)
{
	char text[64];

	snprintf(text, sizeof(text), "%s %s", c->shape, c->word);
	screen_style(s, c->style);
	screen_text(s, text, width, screen_columns(text) > width);
	screen_style(s, STYLE_PLAIN);
	screen_space(s, width - screen_columns(text));
}

static void
draw_shape(struct screen *s, const struct top_chip *c)
{
	screen_style(s, c->style);
	screen_text(s, c->shape, 1, false);
	screen_style(s, STYLE_PLAIN);
	screen_space(s, 1);
}

static void
count_column(struct screen *s, const json_t *row, const char *key, int width)
{
	char buf[FIGURE_SIZE];

	screen_right(s, json_is_integer(json_object_get(row, key)) ? figure_count(json_count(row, key), buf) : "–",
		     width);
}

/* ---- deployments ---- */

/* A ring as cells: served, and with a pattern of its own where the ring is halted or watched. */
static void
draw_ring(struct screen *s, const json_t *ring, long long unserved, int cells)
{
	const char *state = json_member(ring, "state");
	const char *full = strcmp(state, "halt") == 0 ? "▚" : strcmp(state, "watch") == 0 ? "▒" : "█";
	double served = (double)json_count(ring, "served"), size = (double)json_count(ring, "size");
	int filled;

	if (!json_is_integer(json_object_get(ring, "size"))) /* "the rest": whoever does not have it yet */
		size = served + (double)unserved;
	filled = size > 0 ? (int)(served / size * cells) : 0;
	if (served > 0 && filled == 0)
		filled = 1;
	if (filled > cells)
		filled = cells;
	for (int i = 0; i < cells; i++)
		screen_text(s, i < filled ? full : "░", 1, false);
}

static void
draw_rings(struct screen *s, const json_t *row, int width)
{
	const json_t *rings = json_object_get(row, "rings"), *ring;
	const int n = (int)json_array_size(rings), end = s->column + width;
	int cells = n > 0 ? (width - n + 1) / n : 0;
	char text[32];
	size_t i;

	if (n > 0 && cells < 1) {
		int begun = 0;

		json_array_foreach(rings, i, ring) begun += json_count(ring, "served") > 0;
		snprintf(text, sizeof(text), "%d of %d", begun, n);
		screen_text(s, text, width, false);
	} else
		json_array_foreach(rings, i, ring)
		{
			if (i > 0)
				screen_text(s, "│", 1, false);
			draw_ring(s, ring, json_count(row, "unserved"), cells);
		}
	screen_space(s, end - s->column);
}

/* The cell of the meter; what is beyond the scale is at its ends. */
static int
evidence_cell(double odds, int width)
{
	double share = (odds - EVIDENCE_LOW) / (EVIDENCE_HIGH - EVIDENCE_LOW);

	return share <= 0 ? 0 : share >= 1 ? width : (int)(share * width);
}

/* The meter, with both thresholds on it, and the figure. */
static void
draw_evidence(struct screen *s, const json_t *row, int width)
{
	const json_t *odds = json_object_get(row, "log10_odds");
	double v = json_number_value(odds);
	int watch = evidence_cell(json_number_value(json_object_get(row, "log10_watch")), width);
	int halt = evidence_cell(json_number_value(json_object_get(row, "log10_halt")), width);
	int to = evidence_cell(v, width);
	char text[32];

	if (!json_is_number(odds)) {
		screen_right(s, "–", width + 6);
		return;
	}
	for (int i = 0; i < width; i++)
		screen_text(s,
			    v > EVIDENCE_HIGH && i == width - 1 ? "▲"
			    : i == halt                         ? "┃"
			    : i == watch                        ? "┆"
			    : i < to                            ? "━"
								: "·",
			    1, false);
	snprintf(text, sizeof(text), "%.1f", v);
	screen_right(s, text, 6);
}

struct widths {
	int chip, id, rings, meter, because;
};

static struct widths
widths_of(const struct screen *s, const json_t *deployments)
{
	struct widths w = { 9, 20, 11, 8, 0 };
	const json_t *row;
	int left;
	size_t i;

	json_array_foreach(deployments, i, row)
	{
		int n = screen_columns(chip_of(row)->word) + 2;

		w.chip = n > w.chip ? n : w.chip;
	}
	if (s->width < NARROW) {
		w.chip = 9;
		w.rings = w.meter = 0;
	} else if (s->width < MEDIUM) {
		w.chip = w.chip < 12 ? w.chip : 12;
		w.rings = 9;
	} else {
		w.rings = 19;
		w.meter = 12;
		w.id = 26;
	}
	/* exposed, harmed and the next ring have 9, 8 and 9 columns, the figure of the meter 6, gaps 2 or 3 */
	left = s->width - w.chip - w.rings - w.meter - (w.rings > 0 ? 35 : 34);
	if (s->width < WIDE)
		w.id = left > 12 ? left : 12;
	else
		w.because = left - w.id - 2;
	return w;
}

static void
draw_deployment(struct screen *s, const struct widths *w, const json_t *d)
{
	draw_chip(s, chip_of(d), w->chip);
	screen_space(s, 1);
	screen_text(s, json_member(d, "id"), w->id, true);
	screen_space(s, 1);
	if (w->rings > 0) {
		draw_rings(s, d, w->rings);
		screen_space(s, 1);
	}
	draw_evidence(s, d, w->meter);
	count_column(s, d, json_object_get(d, "exposed") != NULL ? "exposed" : "served", 9);
	count_column(s, d, json_object_get(d, "harmed") != NULL ? "harmed" : "bad", 8);
	count_column(s, d, "next_ring_max", 9);
	if (w->because > 0) {
		screen_space(s, 2);
		screen_text(s, json_member(d, "reason"), w->because, false);
	}
	screen_end_line(s);
}

/* In a line, or in more where they are there; how many more. */
static int
draw_reason(struct screen *s, const char *reason, int spare)
{
	const int before = s->used;

	screen_wrapped(s, *reason != '\0' ? reason : "–", 2, 1 + (spare < 2 ? spare : 2));
	return s->used - before - 1;
}

int
top_deployments_want(const struct screen *s, const struct picture *p)
{
	int n = (int)json_array_size(json_object_get(p->now, "deployments"));

	return 1 + (n == 0 ? 1 : s->width < WIDE ? 2 * n : n);
}

void
top_deployments(struct screen *s, const struct picture *p, int lines)
{
	const json_t *deployments = json_object_get(p->now, "deployments"), *d;
	const struct widths w = widths_of(s, deployments);
	const int n = (int)json_array_size(deployments);
	const bool reasons = s->width < WIDE && lines > 2 * n;
	int spare = lines - 1 - 2 * n; /* for reasons of more than a line */
	char text[512], name[64] = "DEPLOYMENT";
	long long all = json_count(p->now, "deployments_total");
	int shown = reasons ? n : lines - 1 < n ? lines - 1 : n;
	size_t i;

	if (lines < 1)
		return;
	if (shown < n || all > n)
		snprintf(name, sizeof(name), "DEPLOYMENT (%d of %lld)", shown, all > n ? all : n);
	snprintf(text, sizeof(text), "%-*s %-*.*s %-*s%-*.*s%9s%8s%9s%s", w.chip, "VERDICT", w.id, w.id, name,
		 w.rings > 0 ? w.rings + 1 : 0, w.rings > 0 ? "RINGS" : "", w.meter + 6, w.meter + 6,
		 w.meter > 0 ? "EVIDENCE" : "  ODDS", "EXPOSED", "HARMED", "NEXT MAX",
		 w.because > 0 ? "  BECAUSE" : "");
	screen_bar(s, STYLE_HEADING, text);
	if (n == 0 && lines > 1) {
		screen_text(s, "No deployment registered.  faultline deploy create …", s->width, false);
		screen_end_line(s);
	}
	json_array_foreach(deployments, i, d)
	{
		if ((int)i >= shown)
			break;
		draw_deployment(s, &w, d);
		if (reasons) {
			spare -= draw_reason(s, json_member(d, "reason"), spare);
		}
	}
}

/* ---- signatures ---- */

static const json_t *
signatures_of(const struct picture *p)
{
	const json_t *list;

	if (*p->filter != '\0')
		return json_object_get(p->found, "signatures");
	list = json_object_get(p->now, p->list);
	return list != NULL ? list : json_object_get(p->now, "newest"); /* of a server of before */
}

static void
draw_signature(struct screen *s, const struct picture *p, const json_t *row, int title)
{
	const json_t *d = json_object_get(row, "deployment");
	const char *id = json_is_string(d) ? json_string_value(d) : json_member(d, "id");
	const char *status = json_member(json_is_string(d) ? row : d, "status");
	const char *last = json_member(row, "last_seen");
	char buf[FIGURE_SIZE];

	screen_text(s, json_member(row, "title"), title, true);
	screen_space(s, 1);
	if (s->width >= NARROW)
		screen_text(s, json_member(row, "kind"), s->width < MEDIUM ? 8 : 13, true);
	count_column(s, row, "hosts", 8);
	count_column(s, row, "sites", 7);
	screen_right(s, figure_age(json_member(row, "first_seen"), p->now_us, buf), 8);
	if (s->width >= MEDIUM)
		screen_right(s, *last != '\0' ? figure_age(last, p->now_us, buf) : "", 8);
	screen_space(s, 2);
	if (*id != '\0') {
		if (*status != '\0')
			draw_shape(s, top_chip(status)); /* the word is in the table above */
		screen_text(s, id, s->width, false);
	} else if (json_object_get(row, "deployment") != NULL)
		screen_text(s, "no deployment", s->width, false);
	screen_end_line(s);
}

int
top_signatures_want(const struct picture *p)
{
	int n = (int)json_array_size(signatures_of(p));

	return 1 + (p->mistake != NULL ? 3 : n > 0 ? n : 1);
}

/* The filter, a mark below the character that is wrong, and what to do. */
static void
draw_mistake(struct screen *s, const struct picture *p)
{
	screen_text(s, "  ", 2, false);
	screen_text(s, p->filter, s->width, false);
	screen_end_line(s);
	if (p->mistake_at >= 0) {
		screen_space(s, 2 + p->mistake_at);
		screen_text(s, "^", 1, false);
		screen_end_line(s);
	}
	screen_style(s, STYLE_BOLD);
	screen_wrapped(s, p->mistake, 2, 2);
}

static void
heading(struct screen *s, const struct picture *p, int title)
{
	char name[1200], text[1400];
	int n, pad;

	if (*p->filter != '\0')
		n = snprintf(name, sizeof(name), "SIGNATURES %s BY %s", p->filter,
			     strcmp(p->sort, "new") == 0 ? "newest" : p->sort);
	else if (strcmp(p->sort, "new") == 0)
		n = snprintf(name, sizeof(name), "NEW SIGNATURES of the last hour");
	else
		n = snprintf(name, sizeof(name), "SIGNATURES BY %s", p->sort);
	if (*p->filter != '\0' && json_is_integer(json_object_get(p->found, "total")) && (size_t)n < sizeof(name)) {
		char buf[FIGURE_SIZE];

		snprintf(name + n, sizeof(name) - (size_t)n, ": %s", figure_count(json_count(p->found, "total"), buf));
	}
	pad = title - screen_columns(name);
	if (s->width >= MEDIUM)
		snprintf(text, sizeof(text), "%s%*s %-13s%8s%7s%8s%8s  DEPLOYMENT", name, pad > 0 ? pad : 0, "", "KIND",
			 "HOSTS", "SITES", "FIRST", "LAST");
	else
		snprintf(text, sizeof(text), "%s%*s %-*s%8s%7s%8s  DEPLOYMENT", name, pad > 0 ? pad : 0, "",
			 s->width >= NARROW ? 8 : 0, s->width >= NARROW ? "KIND" : "", "HOSTS", "SITES", "FIRST");
	screen_bar(s, STYLE_HEADING, text);
}

static const char *
nothing(const struct picture *p)
{
	if (*p->filter != '\0')
		return p->found == NULL ? "searching …" : "No signature matches.";
	return strcmp(p->sort, "new") == 0 && json_object_get(p->now, p->list) != NULL
		       ? "No new signature in the last hour."
		       : "No crash reported.";
}

static void
draw_nothing(struct screen *s, const struct picture *p)
{
	char obstacle[1200];

	screen_text(s, nothing(p), s->width, false);
	if (*p->filter != '\0' && signatures_obstacle(p->found, p->filter, obstacle, sizeof(obstacle))) {
		screen_space(s, 2);
		screen_text(s, obstacle, s->width, false);
	}
	screen_end_line(s);
}

void
top_signatures(struct screen *s, const struct picture *p, int lines)
{
	const json_t *list = signatures_of(p), *row;
	int title = s->width - (s->width < NARROW ? 24 : s->width < MEDIUM ? 53 : 68), skip;
	size_t i;

	if (lines < 1)
		return;
	if (title > 64)
		title = 64;
	if (title < 16)
		title = 16;
	heading(s, p, title);
	lines--;
	if (p->mistake != NULL) {
		draw_mistake(s, p);
		return;
	}
	if (json_array_size(list) == 0 && lines > 0)
		draw_nothing(s, p);
	skip = (int)json_array_size(list) - lines;
	if (skip > p->skip)
		skip = p->skip;
	json_array_foreach(list, i, row) if ((int)i >= skip && lines-- > 0) draw_signature(s, p, row, title);
}
