/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/pulse.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

#define BIN_S  900u
#define RATE_S 20u
#define WINDOW (PULSE_WINDOW_MIN + 1)

void
pulse_touch(struct ledger *l)
{
	snap_touch(&l->snap, &l->pulse.word, chunk_id(CHUNK_PULSE, 0, 0));
}

/* ---- crash reports ---- */

/* Bins that nobody told of are unknown: no tick came, so the server was not there. */
static void
advance_rates(struct pulse *p, uint32_t now_s)
{
	const uint32_t bin = now_s / RATE_S;

	if (bin <= p->rate_bin)
		return;
	if (bin - p->rate_bin > PULSE_RATES)
		p->rate_bin = bin - PULSE_RATES;
	while (++p->rate_bin < bin)
		p->rates[0][p->rate_bin % PULSE_RATES] = p->rates[1][p->rate_bin % PULSE_RATES] = 0;
	p->rates[0][bin % PULSE_RATES] = p->rates[1][bin % PULSE_RATES] = 1;
}

static void
advance_crashing(struct pulse *p, uint32_t minute)
{
	if (minute > p->crash_minute + WINDOW)
		p->crash_minute = minute - WINDOW;
	while (p->crash_minute < minute)
		p->crashing[++p->crash_minute % WINDOW] = 0;
}

static bool
in_window(const struct pulse *p, uint32_t minute)
{
	return minute <= p->crash_minute && p->crash_minute - minute < WINDOW;
}

void
pulse_report(struct ledger *l, bool kernel, uint32_t before_s)
{
	const uint32_t now_s = seconds(l->now_us);
	struct pulse *p = &l->pulse;

	pulse_touch(l);
	advance_rates(p, now_s);
	p->rates[0][p->rate_bin % PULSE_RATES]++;
	p->rates[1][p->rate_bin % PULSE_RATES] += kernel;
	advance_crashing(p, now_s / 60);
	if (before_s != 0 && in_window(p, before_s / 60) && p->crashing[before_s / 60 % WINDOW] > 0)
		p->crashing[before_s / 60 % WINDOW]--;
	p->crashing[now_s / 60 % WINDOW]++;
}

/* Hosts that crashed within the last ten whole minutes and the running one's part. */
static uint32_t
crashing(const struct pulse *p, uint32_t minute)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < PULSE_WINDOW_MIN && i <= minute; i++)
		if (in_window(p, minute - i))
			n += p->crashing[(minute - i) % WINDOW];
	return n;
}

/* ---- what is sampled each minute ---- */

static void
values(const struct ledger *l, uint32_t out[PULSE_TILES])
{
	out[PULSE_ALIVE] = l->silence.n_alive;
	out[PULSE_DARK] = l->silence.n_dark;
	out[PULSE_LOOPING] = l->boots.looping;
	out[PULSE_CRASHING] = crashing(&l->pulse, seconds(l->now_us) / 60);
}

static void
close_bin(struct pulse *p, uint32_t bin)
{
	for (unsigned t = 0; t < PULSE_TILES; t++) {
		p->spark[t][p->bin % PULSE_SPARK] =
			p->n_bin > 0 ? (uint32_t)((p->bin_sum[t] + p->n_bin / 2) / p->n_bin) + 1 : 0;
		p->bin_sum[t] = 0;
	}
	p->n_bin = 0;
	if (bin - p->bin > PULSE_SPARK)
		p->bin = bin - PULSE_SPARK;
	while (++p->bin < bin)
		for (unsigned t = 0; t < PULSE_TILES; t++)
			p->spark[t][p->bin % PULSE_SPARK] = 0;
}

static void
close_hour(struct pulse *p, uint32_t hour)
{
	const uint32_t slot = p->hour % PULSE_WEEK;

	for (unsigned t = 0; t < PULSE_TILES; t++) {
		if (p->n_hour >= PULSE_HOUR_SAMPLES) {
			const uint64_t mean = (p->hour_sum[t] << PULSE_USUAL_SHIFT) / p->n_hour;
			uint64_t *usual = &p->usual[t][slot];

			*usual = p->weeks[slot] == 0 ? mean : (*usual * 3 + mean) / 4;
		}
		p->hour_sum[t] = 0;
	}
	if (p->n_hour >= PULSE_HOUR_SAMPLES && p->weeks[slot] < UINT8_MAX)
		p->weeks[slot]++;
	p->n_hour = 0;
	p->hour = hour;
}

void
pulse_tick(struct ledger *l)
{
	const uint32_t now_s = seconds(l->now_us), minute = now_s / 60;
	struct pulse *p = &l->pulse;
	uint32_t v[PULSE_TILES];

	pulse_touch(l);
	advance_rates(p, now_s);
	advance_crashing(p, minute);
	if (minute == p->minute)
		return;
	p->minute = minute;
	if (now_s / BIN_S != p->bin)
		close_bin(p, now_s / BIN_S);
	if (now_s / 3600 != p->hour)
		close_hour(p, now_s / 3600);
	values(l, v);
	for (unsigned t = 0; t < PULSE_TILES; t++) {
		p->bin_sum[t] += v[t];
		p->hour_sum[t] += v[t];
	}
	p->n_bin++;
	p->n_hour++;
}

/* ---- asking ---- */

void
ledger_pulse(const struct ledger *l, struct pulse_view *out)
{
	const uint32_t now_s = seconds(l->now_us), slot = now_s / 3600 % PULSE_WEEK;
	const struct pulse *p = &l->pulse;

	memset(out, 0, sizeof(*out));
	values(l, out->value);
	out->usual_from_us = p->weeks[slot] > 0 ? 0 : (now_s / 3600 + PULSE_WEEK) * 3600ll * 1000000;
	out->spark_from_us = ((int64_t)p->bin - PULSE_SPARK + 1) * BIN_S * 1000000;
	for (unsigned t = 0; t < PULSE_TILES; t++) {
		out->usual[t] =
			p->weeks[slot] > 0
				? (uint32_t)((p->usual[t][slot] + (1u << (PULSE_USUAL_SHIFT - 1))) >> PULSE_USUAL_SHIFT)
				: PULSE_UNKNOWN;
		for (uint32_t i = 0; i < PULSE_SPARK; i++) /* unknown: 0 - 1 */
			out->spark[t][i] = p->spark[t][(p->bin + 1 + i) % PULSE_SPARK] - 1;
		out->spark[t][PULSE_SPARK - 1] =
			p->n_bin > 0 ? (uint32_t)((p->bin_sum[t] + p->n_bin / 2) / p->n_bin) : PULSE_UNKNOWN;
	}
	out->rates_from_us = ((int64_t)p->rate_bin - PULSE_RATES + 1) * RATE_S * 1000000;
	for (uint32_t i = 0; i < PULSE_RATES; i++) {
		out->all[i] = p->rates[0][(p->rate_bin + 1 + i) % PULSE_RATES] - 1;
		out->kernel[i] = p->rates[1][(p->rate_bin + 1 + i) % PULSE_RATES] - 1;
	}
}

/* ---- snapshot ---- */

void
pulse_pack(const struct pulse *p, struct pack *k)
{
	pack_varint(k, p->minute);
	pack_varint(k, p->bin);
	pack_varint(k, p->hour);
	pack_varint(k, p->rate_bin);
	pack_varint(k, p->n_bin);
	pack_varint(k, p->n_hour);
	for (unsigned t = 0; t < PULSE_TILES; t++) {
		pack_varint(k, p->bin_sum[t]);
		pack_varint(k, p->hour_sum[t]);
		for (uint32_t i = 0; i < PULSE_SPARK; i++)
			pack_varint(k, p->spark[t][i]);
		for (uint32_t i = 0; i < PULSE_WEEK; i++)
			pack_varint(k, p->usual[t][i]);
	}
	for (uint32_t i = 0; i < PULSE_WEEK; i++)
		pack_u8(k, p->weeks[i]);
	for (uint32_t i = 0; i < PULSE_RATES; i++) {
		pack_varint(k, p->rates[0][i]);
		pack_varint(k, p->rates[1][i]);
	}
}

bool
pulse_unpack(struct pulse *p, struct reader *r)
{
	p->minute = unpack_u32(r);
	p->bin = unpack_u32(r);
	p->hour = unpack_u32(r);
	p->rate_bin = unpack_u32(r);
	p->n_bin = unpack_u32(r);
	p->n_hour = unpack_u32(r);
	for (unsigned t = 0; t < PULSE_TILES; t++) {
		p->bin_sum[t] = wire_varint(r);
		p->hour_sum[t] = wire_varint(r);
		for (uint32_t i = 0; i < PULSE_SPARK; i++)
			p->spark[t][i] = unpack_u32(r);
		for (uint32_t i = 0; i < PULSE_WEEK; i++)
			p->usual[t][i] = wire_varint(r);
	}
	for (uint32_t i = 0; i < PULSE_WEEK; i++)
		p->weeks[i] = reader_u8(r);
	for (uint32_t i = 0; i < PULSE_RATES; i++) {
		p->rates[0][i] = unpack_u32(r);
		p->rates[1][i] = unpack_u32(r);
	}
	p->loaded = true;
	return !reader_failed(r);
}

/* The hosts that crashed lately are in their rows. */
void
pulse_loaded(struct ledger *l)
{
	struct pulse *p = &l->pulse;

	p->crash_minute = seconds(l->now_us) / 60;
	for (uint64_t i = 0; i < l->hosts.side.n; i++) {
		const struct host_side *side = table_at(&l->hosts.side, i);
		const uint32_t minute = side->last_report / 60;

		if (side->last_report != 0 && in_window(p, minute))
			p->crashing[minute % WINDOW]++;
	}
}
