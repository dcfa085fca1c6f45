/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "collector/ledger/judge.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

#define CHURN_KEPT 0.96 /* of the past, each hour: a memory of about a day */

static void
pack_double(struct pack *k, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	pack_u64(k, bits);
}

static double
unpack_double(struct reader *r)
{
	uint64_t bits = reader_u64(r);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

void
silence_fini(struct silence *s)
{
	free(s->strata);
}

void
silence_touch(struct ledger *l)
{
	snap_touch(&l->snap, &l->silence.word, chunk_id(CHUNK_SILENCE, 0, 0));
}

void
silence_redo(struct ledger *l)
{
	silence_touch(l);
	for (uint32_t c = 0; c << HOST_CHUNK_SHIFT < l->hosts.n; c++)
		l->hosts.due[c] = 0;
}

bool
host_is_dark(const struct hosts *h, uint32_t no)
{
	const struct host_chunk *c = host_chunk(h, no);

	return flags_are_dark(c->flags[HOST_AT(no)], c->interval[HOST_AT(no)]);
}

bool
host_is_well(const struct hosts *h, uint32_t no)
{
	const struct host_chunk *c = host_chunk(h, no);
	uint32_t at = HOST_AT(no);

	return (c->flags[at] & (HOST_ACTIVE | HOST_LOOPING | HOST_GOODBYE)) == HOST_ACTIVE &&
	       !flags_are_dark(c->flags[at], c->interval[at]);
}

/* ---- counts of the living ---- */

static struct churn *
churn_of(struct silence *s, uint16_t stratum)
{
	if (stratum >= s->n_strata) {
		uint32_t n = stratum + 64u;

		s->strata = mem_grow(s->strata, s->n_strata, n, sizeof(*s->strata));
		s->n_strata = n;
	}
	return &s->strata[stratum];
}

/* The host joins (by 1) or leaves (by -1) the living. */
static void
count(struct ledger *l, uint32_t no, int by)
{
	const struct host_chunk *c = host_chunk(&l->hosts, no);
	struct silence *s = &l->silence;

	s->n_alive += (uint32_t)by;
	s->alive[c->interval[HOST_AT(no)]] += (uint32_t)by;
	churn_of(s, c->stratum[HOST_AT(no)])->alive += (uint32_t)by;
}

void
silence_out(struct ledger *l, uint32_t no)
{
	if (!host_is_alive(&l->hosts, no))
		return;
	count(l, no, -1);
	for (uint32_t i = 0; i < l->n_open; i++)
		dark_out(l, l->open[i], no);
}

void
silence_in(struct ledger *l, uint32_t no)
{
	if (!host_is_alive(&l->hosts, no))
		return;
	count(l, no, 1);
	for (uint32_t i = 0; i < l->n_open; i++)
		dark_in(l, l->open[i], no);
}

/* ---- coming and going ---- */

static void
set_active(struct ledger *l, uint32_t no, bool active)
{
	bool was = (host_chunk(&l->hosts, no)->flags[HOST_AT(no)] & HOST_ACTIVE) != 0;

	if (was == active)
		return;
	l->silence.n_active += active ? 1u : UINT32_MAX;
	if (active)
		risk_host_returned(l, no);
	else
		risk_host_left(l, no);
}

static uint32_t
limit_of(const struct ledger *l, uint8_t flags, uint32_t interval)
{
	uint32_t silent = silence_limit(&l->halt.randomised, interval), active = l->halt.randomised.active_s;

	if ((flags & HOST_ALIVE) != 0)
		return silent;
	return interval != 0 && silent > active ? silent : active;
}

void
silence_due(struct ledger *l, uint32_t no)
{
	const struct host_chunk *c = host_chunk(&l->hosts, no);
	uint32_t at = HOST_AT(no), *due = &l->hosts.due[no >> HOST_CHUNK_SHIFT];
	uint32_t when = c->last_seen[at] + limit_of(l, c->flags[at], hosts_interval(&l->hosts, no)) + 1;

	if (when >= *due)
		return;
	silence_touch(l);
	*due = when;
}

void
silence_heard(struct ledger *l, uint32_t no)
{
	struct host_chunk *c = hosts_edit(&l->hosts, &l->snap, no);
	uint32_t at = HOST_AT(no);
	bool was_dark = flags_are_dark(c->flags[at], c->interval[at]);

	if (silence_is_settled(c->flags[at], c->interval[at]))
		return;
	c->flags[at] = (uint8_t)((c->flags[at] & ~HOST_GOODBYE) | HOST_HEARD);
	set_active(l, no, true);
	if (c->interval[at] != 0 && (c->flags[at] & HOST_ALIVE) == 0) {
		c->flags[at] |= HOST_ALIVE;
		silence_in(l, no);
	}
	if (was_dark) {
		silence_touch(l);
		l->silence.n_dark--;
		l->silence.came_back++;
		for (uint32_t i = 0; i < l->n_open; i++)
			dark_back(l, l->open[i], no);
	}
	silence_due(l, no);
}

void
silence_goodbye(struct ledger *l, uint32_t no)
{
	struct host_chunk *c = hosts_edit(&l->hosts, &l->snap, no);
	uint32_t at = HOST_AT(no);

	silence_out(l, no);
	c->flags[at] = (uint8_t)((c->flags[at] & ~HOST_ALIVE) | HOST_GOODBYE | HOST_HEARD);
	set_active(l, no, false);
}

/* Is the host served by a deployment that is open? */
static bool
is_tried(const struct ledger *l, uint32_t no)
{
	for (uint32_t i = 0; i < l->n_open; i++)
		if (deployment_served(l->open[i], no))
			return true;
	return false;
}

static void
go_dark(struct ledger *l, uint32_t no)
{
	struct host_chunk *c = hosts_edit(&l->hosts, &l->snap, no);
	uint32_t at = HOST_AT(no);

	silence_touch(l);
	silence_out(l, no);
	c->flags[at] &= (uint8_t)~HOST_ALIVE;
	l->silence.n_dark++;
	l->silence.went_dark++;
	if (!is_tried(l, no))
		churn_of(&l->silence, c->stratum[at])->silences += 1;
	for (uint32_t i = 0; i < l->n_open; i++)
		dark_gone(l, l->open[i], no);
}

/* ---- the scan ---- */

/* Work of one tick, in hosts that change: what does not fit waits for the next.  Chosen so that a tick takes
 * less than 2 ms; ten million hosts are looked at one by one in 45 ticks, if it must be. */
#define SCAN_WORK  5400u
#define SCAN_CHUNK 32u /* to look at a chunk */
#define SCAN_HOSTS 64u /* to look at its hosts one by one besides */

/* What is too long ago now, per number of interval: of hosts that are alive, and of others. */
struct cuts {
	uint32_t alive[HOST_INTERVALS], active[HOST_INTERVALS];
	uint32_t alive_max, active_max;
	uint32_t floor, gaps; /* seconds of gaps that may lie behind a cut */
};

static void
cuts_make(const struct ledger *l, struct cuts *k)
{
	const struct blind *b = &l->silence.blind;
	uint32_t now = seconds(l->now_us);

	memset(k, 0, sizeof(*k));
	for (uint32_t i = 0; i < l->hosts.n_intervals; i++) {
		uint32_t interval = l->hosts.intervals[i];

		k->alive[i] = i > 0 ? blind_cut(b, now, limit_of(l, HOST_ALIVE, interval)) : 0;
		k->active[i] = blind_cut(b, now, limit_of(l, 0, interval));
		k->alive_max = k->alive[i] > k->alive_max ? k->alive[i] : k->alive_max;
		k->active_max = k->active[i] > k->active_max ? k->active[i] : k->active_max;
	}
	k->floor = b->floor;
	for (uint32_t i = 0; i < b->n_gaps; i++)
		k->gaps += b->gaps[i].to - b->gaps[i].from;
}

/* Oldest last_seen of the alive, and of those merely active.  Unused rows have no flags; branches
 * would cost more than the memory. */
static void
oldest(const struct host_chunk *c, uint32_t *alive_out, uint32_t *active_out)
{
	uint32_t alive = UINT32_MAX, active = UINT32_MAX;

	for (uint32_t i = 0; i < HOST_CHUNK; i++) {
		uint32_t f = c->flags[i];
		uint32_t a = c->last_seen[i] | ((f & HOST_ALIVE) != 0 ? 0 : UINT32_MAX);
		uint32_t b = c->last_seen[i] | ((f & (HOST_ALIVE | HOST_ACTIVE)) == HOST_ACTIVE ? 0 : UINT32_MAX);

		alive = a < alive ? a : alive;
		active = b < active ? b : active;
	}
	*alive_out = alive;
	*active_out = active;
}

/* Seconds until somebody last heard of then is too long ago, gaps to come not counted. */
static uint32_t
slack(const struct cuts *k, uint32_t then, uint32_t cut)
{
	uint32_t s = then > cut ? then - cut : 0;

	if (then == UINT32_MAX)
		return UINT32_MAX;
	return s > k->gaps ? s - k->gaps : s > 0;
}

/* Look at each host of the chunk; returns the least slack, and how many hosts changed. */
static uint32_t
settle_chunk(struct ledger *l, uint32_t chunk, const struct cuts *k, uint32_t *changed_out)
{
	struct host_chunk *c = l->hosts.chunks[chunk];
	uint32_t base = chunk << HOST_CHUNK_SHIFT, least = UINT32_MAX, s;
	uint32_t n = l->hosts.n - base < HOST_CHUNK ? l->hosts.n - base : HOST_CHUNK;

	for (uint32_t i = 0; i < n; i++) {
		uint8_t f = c->flags[i], in = c->interval[i];
		uint32_t seen = c->last_seen[i] > k->floor ? c->last_seen[i] : k->floor;

		if ((f & HOST_ALIVE) != 0 && seen <= k->alive[in]) {
			go_dark(l, base + i);
			f = c->flags[i];
			*changed_out += 1;
		}
		if ((f & (HOST_ACTIVE | HOST_ALIVE)) == HOST_ACTIVE && seen <= k->active[in]) {
			set_active(l, base + i, false);
			f = c->flags[i];
			*changed_out += 1;
		}
		if ((f & (HOST_ACTIVE | HOST_ALIVE)) == 0)
			continue;
		s = slack(k, seen, (f & HOST_ALIVE) != 0 ? k->alive[in] : k->active[in]);
		least = s < least ? s : least;
	}
	return least;
}

/* Returns how much work it was. */
static uint32_t
scan_chunk(struct ledger *l, uint32_t chunk, const struct cuts *k)
{
	uint32_t now = seconds(l->now_us), work = SCAN_CHUNK, alive, active, least;

	oldest(l->hosts.chunks[chunk], &alive, &active);
	alive = alive > k->floor ? alive : k->floor;
	active = active > k->floor ? active : k->floor;
	if (alive > k->alive_max && active > k->active_max) {
		uint32_t a = slack(k, alive, k->alive_max), b = slack(k, active, k->active_max);

		least = a < b ? a : b;
	} else {
		work += SCAN_HOSTS;
		least = settle_chunk(l, chunk, k, &work);
	}
	l->hosts.due[chunk] = least < UINT32_MAX - now ? now + (least > 0 ? least : 1) : UINT32_MAX;
	return work;
}

static void
scan(struct ledger *l)
{
	uint32_t n = (l->hosts.n + HOST_CHUNK - 1) >> HOST_CHUNK_SHIFT, now = seconds(l->now_us), work = 0;
	struct silence *s = &l->silence;
	struct cuts k;

	for (uint32_t i = 0; i < n && work < SCAN_WORK; i++) {
		uint32_t chunk = s->hand < n ? s->hand : 0;

		s->hand = chunk + 1 < n ? chunk + 1 : 0;
		if (l->hosts.due[chunk] > now)
			continue;
		if (work == 0) {
			silence_touch(l);
			cuts_make(l, &k);
		}
		work += scan_chunk(l, chunk, &k);
	}
}

/* A minute of listening to hosts that are alive. */
static void
learn_churn(struct ledger *l)
{
	struct silence *s = &l->silence;
	uint32_t hour = seconds(l->now_us) / 3600;
	double keep = hour != s->churn_hour ? CHURN_KEPT : 1;

	silence_touch(l);
	s->churn_hour = hour;
	for (uint32_t i = 0; i < s->n_strata; i++) {
		struct churn *c = &s->strata[i];

		c->silences *= keep;
		c->hours = c->hours * keep + (double)c->alive / 60;
	}
}

void
silence_tick(struct ledger *l)
{
	bool minute = seconds(l->now_us) / 60 != l->tick_minute;

	if (l->silence.blind.since != 0)
		return;
	scan(l);
	if (!minute)
		return;
	learn_churn(l);
	for (uint32_t i = 0; i < l->n_open; i++)
		dark_minute(l, l->open[i]);
}

/* ---- questions ---- */

bool
ledger_churn(const struct ledger *l, uint32_t stratum, struct churn_view *out)
{
	const struct silence *s = &l->silence;
	struct text names[3];

	if (stratum >= l->interns[INTERN_STRATA].rows.n + 1)
		return false;
	stratum_names(l, (uint16_t)stratum, names);
	*out = (struct churn_view){ .product = names[0], .os_build = names[1], .hw_class = names[2] };
	if (stratum < s->n_strata) {
		out->alive = s->strata[stratum].alive;
		out->silences = s->strata[stratum].silences;
		out->host_hours = s->strata[stratum].hours;
	}
	return true;
}

double
silence_churn(const struct ledger *l)
{
	double silences = 0, hours = 0;

	for (uint32_t i = 0; i < l->silence.n_strata; i++) {
		silences += l->silence.strata[i].silences;
		hours += l->silence.strata[i].hours;
	}
	return hours > 0 ? silences / hours : 0;
}

void
ledger_silence(const struct ledger *l, struct silence_view *out)
{
	const struct silence *s = &l->silence;

	*out = (struct silence_view){
		.alive = s->n_alive,
		.dark = s->n_dark,
		.looping = l->boots.looping,
		.loops = l->boots.loops,
		.went_dark = s->went_dark,
		.came_back = s->came_back,
		.gaps = s->blind.gaps_ever,
		.blind_minutes = s->blind.minutes_ever,
		.blind_since_us = (int64_t)s->blind.since * 1000000,
		.deadlines_from_us = (int64_t)s->blind.floor * 1000000,
	};
}

/* ---- snapshot ---- */

void
silence_pack(const struct ledger *l, struct pack *k)
{
	const struct silence *s = &l->silence;

	pack_varint(k, l->hosts.n_intervals);
	for (uint32_t i = 1; i < l->hosts.n_intervals; i++)
		pack_u16(k, l->hosts.intervals[i]);
	for (uint32_t c = 0; c << HOST_CHUNK_SHIFT < l->hosts.n; c++)
		pack_u32(k, l->hosts.due[c]);
	pack_varint(k, s->hand);
	pack_varint(k, s->churn_hour);
	pack_varint(k, s->went_dark);
	pack_varint(k, s->came_back);
	pack_varint(k, s->n_strata);
	for (uint32_t i = 0; i < s->n_strata; i++) {
		pack_double(k, s->strata[i].silences);
		pack_double(k, s->strata[i].hours);
	}
}

static bool
unpack_due(struct ledger *l, struct reader *r)
{
	struct hosts *h = &l->hosts;

	h->n_intervals = unpack_u32(r);
	if (reader_failed(r) || h->n_intervals < 1 || h->n_intervals > HOST_INTERVALS)
		return false;
	for (uint32_t i = 1; i < h->n_intervals; i++)
		h->intervals[i] = reader_u16(r);
	for (uint32_t c = 0; c << HOST_CHUNK_SHIFT < h->n; c++)
		h->due[c] = reader_u32(r);
	return !reader_failed(r);
}

bool
silence_unpack(struct ledger *l, struct reader *r)
{
	struct silence *s = &l->silence;
	uint32_t n;

	if (!unpack_due(l, r))
		return false;
	s->chunks_loaded++;
	s->hand = unpack_u32(r);
	s->churn_hour = unpack_u32(r);
	s->went_dark = wire_varint(r);
	s->came_back = wire_varint(r);
	n = unpack_u32(r);
	if (reader_failed(r) || n > UINT16_MAX + 64u || s->n_strata != 0)
		return false;
	s->strata = mem_zero(n, sizeof(*s->strata));
	s->n_strata = n;
	for (uint32_t i = 0; i < n; i++) {
		s->strata[i].silences = unpack_double(r);
		s->strata[i].hours = unpack_double(r);
	}
	return !reader_failed(r);
}

/* Counts that follow from the hosts. */
bool
silence_loaded(struct ledger *l)
{
	for (uint32_t no = 0; no < l->hosts.n; no++) {
		const struct host_chunk *c = host_chunk(&l->hosts, no);
		uint32_t at = HOST_AT(no);

		if ((c->flags[at] & HOST_ALIVE) != 0)
			count(l, no, 1);
		l->silence.n_active += (c->flags[at] & HOST_ACTIVE) != 0;
		l->silence.n_dark += flags_are_dark(c->flags[at], c->interval[at]);
	}
	for (uint32_t i = 0; i < l->n_deployments; i++) {
		if (!l->deployments[i]->dark.loaded)
			return false;
	}
	return l->silence.chunks_loaded == 2 && boots_loaded(l);
}
