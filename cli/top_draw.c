/* SPDX-License-Identifier: Apache-2.0 */
/* The picture of `faultline top`: what the page "Now" shows, from the same answer of the server. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/api_client.h"
#include "cli/figures.h"
#include "cli/top_draw.h"
#include "cli/top_rows.h"

static void
text(struct screen *s, const char *what)
{
	screen_text(s, what, s->width, false);
}

/* "2026-12-01 03:17:22 UTC" */
static void
clock_text(int64_t us, char buf[CLOCK_RFC3339_SIZE + 8])
{
	clock_rfc3339(us, buf);
	buf[10] = ' ';
	memcpy(buf + 19, " UTC", 5);
}

static void
draw_head(struct screen *s, const struct picture *p)
{
	char clock[CLOCK_RFC3339_SIZE + 8], line[256];
	const json_t *fresh = json_object_get(p->now, "freshness");
	const char *state = json_member(fresh, "state");

	clock_text(p->now_us, clock);
	if (*state == '\0')
		state = json_member(p->now, "server");
	screen_style(s, STYLE_BOLD);
	text(s, "faultline ");
	text(s, json_member(p->now, "version"));
	text(s, "  ");
	if (p->now != NULL)
		text(s, clock);
	text(s, "  ");
	if (p->error != NULL) {
		screen_style(s, STYLE_WATCH);
		if (p->now != NULL)
			snprintf(line, sizeof(line), "? last news %lld s ago: ", (long long)(p->silent_us / 1000000));
		else
			snprintf(line, sizeof(line), "? no contact yet: ");
		text(s, line);
		text(s, p->error);
	} else {
		text(s, state);
		snprintf(line, sizeof(line), ", ledger %.1f s behind",
			 json_number_value(json_object_get(p->now, "stale_seconds")));
		text(s, line);
	}
	screen_end_line(s);
}

/* ---- the banner ---- */

static void
draw_lost(struct screen *s, const struct picture *p)
{
	const char *headline = json_member(json_object_get(p->now, "verdict"), "headline");
	char line[512];

	if (p->now == NULL)
		snprintf(line, sizeof(line), " ? UNKNOWN: no contact with %s", p->server);
	else
		snprintf(line, sizeof(line), " ? UNKNOWN: no contact for %lld s.%s%s",
			 (long long)(p->silent_us / 1000000), *headline != '\0' ? " Last verdict: " : "", headline);
	screen_bar(s, STYLE_UNKNOWN, line);
}

static void
draw_others(struct screen *s, const json_t *others)
{
	const json_t *other;
	size_t i;

	if (json_array_size(others) == 0)
		return;
	text(s, " and ");
	json_array_foreach(others, i, other)
	{
		if (i > 0)
			text(s, ", ");
		text(s, top_chip(json_member(other, "status"))->shape);
		text(s, " ");
		text(s, json_member(other, "headline"));
	}
	screen_end_line(s);
}

static void
draw_banner(struct screen *s, const struct picture *p)
{
	const json_t *verdict = json_object_get(p->now, "verdict"), *ack = json_object_get(verdict, "acknowledged");
	const struct top_chip *chip = top_chip(json_member(verdict, "status"));
	char line[512], age[FIGURE_SIZE];

	if (p->lost) {
		draw_lost(s, p);
		return;
	}
	if (verdict == NULL)
		return;
	if (strcmp(json_member(verdict, "state"), "unknown") == 0)
		chip = top_chip("");
	snprintf(line, sizeof(line), " %s %s", chip->shape, json_member(verdict, "headline"));
	screen_bar(s, chip->style, line);
	screen_wrapped(s, json_member(verdict, "summary"), 1, s->rows < 20 ? 1 : s->rows < 30 ? 2 : 4);
	draw_others(s, json_object_get(verdict, "others"));
	if (json_is_object(ack) && s->rows >= 20) {
		text(s, " acknowledged by ");
		text(s, json_member(ack, "actor"));
		text(s, ", ");
		text(s, figure_age(json_member(ack, "at"), p->now_us, age));
		text(s, " ago: ");
		text(s, json_member(ack, "reason"));
		screen_end_line(s);
	}
}

/* ---- tiles ---- */

static const struct tile {
	const char *key, *name;
} tiles[] = {
	{ "alive", "ALIVE" },
	{ "dark", "DARK" },
	{ "boot_loop", "BOOT-LOOPING" },
	{ "crashing_10m", "CRASHING, 10 MIN" },
};
#define N_TILES 4

/* "78 below usual" */
static void
difference(const json_t *tile, char *buf, size_t size)
{
	const json_t *usual = json_object_get(tile, "usual");
	long long by = json_count(tile, "value") - json_count(tile, "usual");
	char n[FIGURE_SIZE];

	if (json_is_number(usual) && by == 0)
		snprintf(buf, size, "as usual");
	else if (json_is_number(usual))
		snprintf(buf, size, "%s %s usual", figure_count(by < 0 ? -by : by, n), by < 0 ? "below" : "above");
	else if (*json_member(tile, "usual_from") != '\0')
		snprintf(buf, size, "usual from %.10s", json_member(tile, "usual_from"));
	else
		snprintf(buf, size, "usual: –");
}

/* What a server of before says of its fleet. */
static void
draw_hosts(struct screen *s, const struct picture *p)
{
	const json_t *hosts = json_object_get(p->now, "hosts");
	char line[256];

	snprintf(line, sizeof(line), "%lld hosts known, %lld heard of in 5 min, %lld sites, %lld signatures",
		 json_count(hosts, "known"), json_count(hosts, "recent"), json_count(hosts, "sites"),
		 json_count(p->now, "signatures"));
	text(s, line);
	screen_end_line(s);
}

static int
tiles_want(const struct screen *s, const struct picture *p)
{
	return json_object_get(p->now, "fleet") == NULL ? 1 : s->rows < 12 ? 1 : s->rows < 20 ? 2 : 3;
}

static void
draw_tiles(struct screen *s, const struct picture *p)
{
	const json_t *fleet = json_object_get(p->now, "fleet");
	const int lines = tiles_want(s, p), each = s->width / N_TILES;
	char buf[96];

	if (fleet == NULL) {
		draw_hosts(s, p);
		return;
	}
	for (int line = 0; line < lines; line++) {
		for (int i = 0; i < N_TILES; i++) {
			const json_t *tile = json_object_get(fleet, tiles[i].key), *v = json_object_get(tile, "value");
			const int end = (i + 1) * each;

			if (line == 0) {
				screen_style(s, STYLE_BOLD);
				screen_text(s, json_is_integer(v) ? figure_count(json_count(tile, "value"), buf) : "–",
					    each - 1, false);
				screen_style(s, STYLE_PLAIN);
				screen_space(s, 1);
				screen_text(s, tiles[i].name, end - s->column - 1, false);
			} else if (line == 1) {
				difference(tile, buf, sizeof(buf));
				screen_text(s, buf, each - 1, false);
			} else
				screen_spark(s, json_object_get(json_object_get(tile, "spark"), "v"), each - 2, false);
			screen_space(s, end - s->column);
		}
		screen_end_line(s);
	}
}

/* ---- arrivals ---- */

static double
most_of(const json_t *values)
{
	const json_t *v;
	double most = 0;
	size_t i;

	json_array_foreach(values, i, v) most = json_number_value(v) > most ? json_number_value(v) : most;
	return most;
}

static void
draw_rate(struct screen *s, const char *name, const json_t *values, int step_s)
{
	char line[64], n[FIGURE_SIZE];

	screen_text(s, name, 8, true);
	screen_spark(s, values, s->width - 8 - 24, true);
	snprintf(line, sizeof(line), " most %s in %d s", figure_count((long long)most_of(values), n), step_s);
	text(s, line);
	screen_end_line(s);
}

/* Where halts and other marks stand on the time axis above. */
static void
draw_marks(struct screen *s, const json_t *rates)
{
	const json_t *marks = json_object_get(rates, "annotations"), *mark;
	const size_t n = json_array_size(json_object_get(rates, "all"));
	double span = (double)n * json_number_value(json_object_get(rates, "step_s")) * 1e6;
	const int width = (int)n < s->width - 32 ? (int)n : s->width - 32;
	char signs[512];
	int64_t t0, t;
	size_t i;

	if (clock_parse_rfc3339(json_member(rates, "t0"), &t0) != 0 || width <= 0 || width >= (int)sizeof(signs))
		return;
	memset(signs, ' ', sizeof(signs));
	json_array_foreach(marks, i, mark)
	{
		const char *kind = json_member(mark, "kind");
		int at;

		if (clock_parse_rfc3339(json_member(mark, "t"), &t) != 0 || t < t0 || (double)(t - t0) >= span)
			continue;
		at = (int)((double)(t - t0) / span * width);
		if (strcmp(kind, "halt") == 0)
			signs[at] = 'H';
		else if (signs[at] != 'H' && (*kind >= 'a' && *kind <= 'z'))
			signs[at] = *kind;
	}
	signs[width] = '\0';
	screen_space(s, 8);
	text(s, signs);
	text(s, " H halt, s start, a ack");
	screen_end_line(s);
}

static int
rates_want(const struct screen *s, const struct picture *p)
{
	if (json_object_get(p->now, "rates") == NULL)
		return s->rows < 12 ? 0 : 1;
	return s->rows < 12 ? 0 : s->rows < 20 ? 1 : s->rows < 30 ? 2 : 3;
}

static void
draw_rates(struct screen *s, const struct picture *p)
{
	const json_t *rates = json_object_get(p->now, "rates");
	const int lines = rates_want(s, p), step_s = (int)json_count(rates, "step_s");

	if (lines > 0 && rates == NULL)
		draw_rate(s, "crashes", json_object_get(json_object_get(p->now, "arrivals"), "reports"), 1);
	else if (lines > 0)
		draw_rate(s, "crashes", json_object_get(rates, "all"), step_s);
	if (lines > 1)
		draw_rate(s, "kernel", json_object_get(rates, "kernel"), step_s);
	if (lines > 2)
		draw_marks(s, rates);
}

/* ---- ingest ---- */

#define INGEST_SIZE 512

static void
put(char *line, const char *before, double n, const char *after)
{
	char count[FIGURE_SIZE];
	size_t len = strlen(line);

	if (n >= 100)
		figure_count((long long)(n + 0.5), count);
	else
		snprintf(count, sizeof(count), n == (double)(long long)n ? "%.0f" : "%.1f", n);
	snprintf(line + len, INGEST_SIZE - len, "%s%s%s%s", len > 0 ? ", " : "", before, count, after);
}

/* "": the server says nothing of it. */
static void
ingest_line(const struct picture *p, char line[INGEST_SIZE])
{
	static const struct {
		const char *key, *before, *after;
	} parts[] = {
		{ "heartbeats_per_s", "", " heartbeats/s" },   { "reports_per_s", "", " reports/s" },
		{ "journal_p99_ms", "journal p99 ", " ms" },   { "verdict_lag_s", "verdicts ", " s behind" },
		{ "database_lag_s", "history ", " s behind" }, { "refused_1h", "", " refused in 1 h" },
	};
	const json_t *ingest = json_object_get(p->now, "ingest"), *workers = json_object_get(ingest, "workers");
	const json_t *receiving = json_object_get(ingest, "receiving");

	line[0] = '\0';
	if (receiving != NULL)
		snprintf(line, INGEST_SIZE, json_is_true(receiving) ? "receiving" : "NOT RECEIVING");
	if (strcmp(json_member(ingest, "database"), "down") == 0)
		snprintf(line + strlen(line), INGEST_SIZE - strlen(line), ", DATABASE DOWN");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const json_t *v = json_object_get(ingest, parts[i].key);

		if (json_is_number(v))
			put(line, parts[i].before, json_number_value(v), parts[i].after);
	}
	if (workers != NULL)
		snprintf(line + strlen(line), INGEST_SIZE - strlen(line), ", workers %lld of %lld",
			 json_count(workers, "up"), json_count(workers, "of"));
}

static int
ingest_want(const struct screen *s, const struct picture *p)
{
	char line[INGEST_SIZE];

	ingest_line(p, line);
	return line[0] == '\0' || s->rows < 10 ? 0 : s->rows >= 24 && screen_columns(line) > s->width ? 2 : 1;
}

/* ---- the whole ---- */

static void
draw_help(struct screen *s)
{
	static const char *const lines[] = {
		"",
		"  w   signatures new in the last hour        /   filter signatures: module:x.sys new:<1h hosts:>10",
		"  h   signatures by hosts                        (fields in faultline signatures --help)",
		"  n   newest signatures                          Enter takes it, an empty one ends it, Esc leaves",
		"  t   signatures that rise                   j k and arrows move in the signatures",
		"  q   quit                                   ?   this page; any key leaves it",
		"",
		"  ▶ PROCEED  ‖ HOLD  ◆ WATCH  ✖ HALT  ◇ WOULD HALT (shadow)  ? UNKNOWN",
		"  Rings      █ served, ▚ served by a halted ring, ▒ by a watched one, ░ not served",
		"  Evidence   log10 of the odds against chance: ┆ watch at 3, ┃ halt at 6, ▲ beyond the scale",
		"  Usual      for this hour of the week",
		"  Next max   how many hosts the next ring may have at most",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		text(s, lines[i]);
		screen_end_line(s);
	}
}

static void
draw_prompt(struct screen *s, const struct picture *p)
{
	screen_style(s, STYLE_BOLD);
	text(s, "/");
	text(s, p->edit);
	text(s, "▏");
	screen_end_line(s);
}

void
top_draw(struct screen *s, const struct picture *p)
{
	const int ingest = ingest_want(s, p);
	char line[INGEST_SIZE];
	int room, deployments, signatures;

	draw_head(s, p);
	draw_banner(s, p);
	if (p->edit != NULL)
		draw_prompt(s, p);
	if (p->help) {
		draw_help(s);
		return;
	}
	if (p->now == NULL)
		return;
	room = screen_left(s) - tiles_want(s, p) - rates_want(s, p) - ingest;
	deployments = top_deployments_want(s, p);
	signatures = top_signatures_want(p);
	if (deployments + signatures > room) { /* half each, and what one does not need is the other's */
		int half = room / 2, rest = room - signatures, most = half > rest ? half : rest;

		deployments = deployments < most ? deployments : most;
	}
	signatures = room - deployments < signatures ? room - deployments : signatures;
	draw_tiles(s, p);
	top_deployments(s, p, room - signatures);
	draw_rates(s, p);
	top_signatures(s, p, signatures);
	ingest_line(p, line);
	screen_wrapped(s, line, 0, ingest);
}
