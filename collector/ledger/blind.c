/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "collector/ledger/judge.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

#define STEP_MAX_US 60000000 /* ticks further apart than this are never usual */

/* ---- gaps ---- */

/* Room for one more: the two oldest become one, with the time between, which errs towards waiting. */
static void
merge_oldest(struct blind *b)
{
	b->gaps[1].from = b->gaps[0].from;
	memmove(b->gaps, b->gaps + 1, (GAP_KEPT - 1) * sizeof(*b->gaps));
	b->n_gaps--;
}

static void
add_gap(struct ledger *l, uint32_t from, uint32_t to)
{
	struct blind *b = &l->silence.blind;
	uint32_t i = b->n_gaps;

	if (from < b->floor)
		from = b->floor;
	if (from >= to)
		return;
	while (i > 0 && b->gaps[i - 1].to >= from) { /* told twice, or they touch */
		i--;
		from = b->gaps[i].from < from ? b->gaps[i].from : from;
		to = b->gaps[i].to > to ? b->gaps[i].to : to;
	}
	b->gaps_ever += i == b->n_gaps;
	b->n_gaps = i;
	silence_redo(l);
	if (to - from > GAP_LONG_S) {
		b->floor = to;
		b->n_gaps = 0;
		b->listens = to / 60 + 1;
		return;
	}
	if (b->n_gaps == GAP_KEPT)
		merge_oldest(b);
	b->gaps[b->n_gaps++] = (struct gap){ from, to };
}

void
fold_gap(struct ledger *l, const struct record_view *rec)
{
	Faultline__Log__Gap *m = unpack_record(l, rec, &faultline__log__gap__descriptor);

	if (m == NULL || m->from_us <= 0 || m->to_us <= m->from_us || m->to_us > l->now_us + STEP_MAX_US)
		return;
	/* the time of the record itself is where listening went on */
	add_gap(l, seconds(m->from_us), seconds(m->to_us));
}

uint32_t
blind_age(const struct blind *b, uint32_t now, uint32_t then)
{
	uint32_t age;

	if (then < b->floor)
		then = b->floor;
	if (then >= now)
		return 0;
	age = now - then;
	for (uint32_t i = b->n_gaps; i-- > 0 && b->gaps[i].to > then;) {
		uint32_t from = b->gaps[i].from > then ? b->gaps[i].from : then;
		uint32_t to = b->gaps[i].to < now ? b->gaps[i].to : now;

		age -= to > from ? to - from : 0;
	}
	return age;
}

uint32_t
blind_cut(const struct blind *b, uint32_t now, uint32_t span)
{
	uint32_t left = span + 1; /* more than span */

	for (uint32_t i = b->n_gaps; i-- > 0;) {
		const struct gap *g = &b->gaps[i];

		if (now > g->to) {
			if (now - g->to >= left)
				break;
			left -= now - g->to;
		}
		now = g->from < now ? g->from : now;
	}
	return now > left ? now - left : 0;
}

/* ---- hearing the fleet ---- */

/* Beats a minute that live hosts owe, times 60; and the minutes to look at: the interval of most
 * hosts and one, or a fleet whose clocks agree would be all there in one minute and gone in the next. */
static uint64_t
expected(const struct ledger *l, uint32_t *minutes_out, uint32_t *alive_out)
{
	const struct silence *s = &l->silence;
	uint32_t alive = 0, longest = 60;
	uint64_t beats = 0;

	for (uint32_t i = 1; i < l->hosts.n_intervals; i++)
		alive += s->alive[i];
	for (uint32_t i = 1; i < l->hosts.n_intervals; i++) {
		uint32_t interval = l->hosts.intervals[i];

		if (s->alive[i] == 0)
			continue;
		beats += (uint64_t)s->alive[i] * 3600 / interval;
		if (s->alive[i] >= alive / 10 && interval > longest)
			longest = interval;
	}
	longest = (longest + 59) / 60 + 1;
	*minutes_out = longest < BEATS_MINUTES ? longest : BEATS_MINUTES - 1;
	*alive_out = alive;
	return beats;
}

static void
set_blind(struct ledger *l, uint32_t since, uint64_t heard, uint64_t due)
{
	struct blind *b = &l->silence.blind;
	uint32_t now = seconds(l->now_us);
	char why[160];

	if ((since != 0) == (b->since != 0))
		return;
	if (since == 0)
		add_gap(l, b->since, now);
	b->since = since;
	snprintf(why, sizeof(why), "only %llu of %llu heartbeats that were due have arrived", (unsigned long long)heard,
		 (unsigned long long)due);
	ledger_set_blind(l, 0, since != 0, why);
	for (uint32_t i = 0; i < l->n_open; i++)
		if (l->open[i]->tenant != 0)
			ledger_set_blind(l, l->open[i]->tenant, since != 0, why);
}

/* A minute is over: did most of what was due arrive? */
static void
judge_minute(struct ledger *l)
{
	struct blind *b = &l->silence.blind;
	uint32_t minutes, alive;
	uint64_t due = expected(l, &minutes, &alive), heard = 0;

	if (b->since == 0 && (b->minute + 1 < b->listens + minutes || alive < BLIND_HOSTS))
		return;
	for (uint32_t i = 0; i < minutes; i++)
		heard += b->beats[(b->minute - i) % BEATS_MINUTES];
	due = due * minutes / 60;
	b->minutes_ever += b->since != 0;
	if (heard * 2 >= due)
		set_blind(l, 0, heard, due);
	else
		set_blind(l, b->since != 0 ? b->since : seconds(b->tick_us) - minutes * 60, heard, due);
}

void
blind_tick(struct ledger *l, int64_t wall_us)
{
	struct blind *b = &l->silence.blind;
	int64_t step = wall_us - b->tick_us, usual = b->step_us < STEP_MAX_US ? b->step_us : STEP_MAX_US;

	if (step <= 0)
		return; /* time never goes back */
	if (b->tick_us == 0) {
		b->listens = seconds(wall_us) / 60 + 1;
		step = STEP_MAX_US;
	} else if (step > GAP_SLACK_US + 2 * usual) {
		add_gap(l, seconds(b->tick_us), seconds(wall_us));
	}
	b->step_us = step;
	if (seconds(wall_us) / 60 != b->minute) {
		uint32_t minute = seconds(wall_us) / 60, passed = minute - b->minute;

		judge_minute(l);
		for (uint32_t i = 1; i <= passed && i <= BEATS_MINUTES; i++)
			b->beats[(b->minute + i) % BEATS_MINUTES] = 0;
		b->minute = minute;
	}
	b->tick_us = wall_us;
}

/* ---- snapshot ---- */

void
blind_pack(const struct blind *b, struct pack *k)
{
	pack_varint(k, b->n_gaps);
	for (uint32_t i = 0; i < b->n_gaps; i++) {
		pack_u32(k, b->gaps[i].from);
		pack_u32(k, b->gaps[i].to);
	}
	pack_u32(k, b->floor);
	pack_u64(k, (uint64_t)b->tick_us);
	pack_u64(k, (uint64_t)b->step_us);
	pack_u32(k, b->minute);
	for (uint32_t i = 0; i < BEATS_MINUTES; i++)
		pack_varint(k, b->beats[i]);
	pack_u32(k, b->listens);
	pack_u32(k, b->since);
	pack_varint(k, b->gaps_ever);
	pack_varint(k, b->minutes_ever);
}

bool
blind_unpack(struct blind *b, struct reader *r)
{
	b->n_gaps = unpack_u32(r);
	if (reader_failed(r) || b->n_gaps > GAP_KEPT)
		return false;
	for (uint32_t i = 0; i < b->n_gaps; i++) {
		b->gaps[i].from = reader_u32(r);
		b->gaps[i].to = reader_u32(r);
	}
	b->floor = reader_u32(r);
	b->tick_us = (int64_t)reader_u64(r);
	b->step_us = (int64_t)reader_u64(r);
	b->minute = reader_u32(r);
	for (uint32_t i = 0; i < BEATS_MINUTES; i++)
		b->beats[i] = wire_varint(r);
	b->listens = reader_u32(r);
	b->since = reader_u32(r);
	b->gaps_ever = wire_varint(r);
	b->minutes_ever = wire_varint(r);
	return !reader_failed(r);
}
