/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "collector/ledger/judge.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

#define MINUTE_NEVER UINT32_MAX

static void
touch(struct ledger *l, struct deployment *d)
{
	snap_touch(&l->snap, &d->dark.word, chunk_id(CHUNK_DARK, d->no, 0));
}

/* ---- time ---- */

static uint32_t
minute_of(const struct ledger *l, const struct deployment *d)
{
	return l->now_us > d->begin_us ? (uint32_t)((l->now_us - d->begin_us) / 60000000) : 0;
}

static uint32_t
served_minute(const struct deployment *d, uint32_t no)
{
	uint32_t b = no / SERVED_BLOCK, m;

	if (b >= d->n_blocks || d->blocks[b] == NULL || (m = d->blocks[b]->minute[no % SERVED_BLOCK]) == 0)
		return MINUTE_NEVER;
	return m - 1;
}

static uint32_t
minutes(uint32_t seconds)
{
	return (seconds + 59) / 60;
}

/* Beyond the grace of everybody: a declared reboot takes longer. */
static uint32_t
extra_s(const struct ledger *l, const struct deployment *d)
{
	uint32_t own = d->params.silence_grace_s, all = l->halt.randomised.silence_grace_s;

	return own > all ? own - all : 0;
}

/* S - H, and W, in minutes, of hosts with that interval.  The lag is rounded down: a fall of a served host that
 * counts a little early dilutes the test, one that counts as a control's turns it around. */
static uint32_t
lag_of(const struct ledger *l, const struct deployment *d, uint32_t interval_s)
{
	return (silence_limit(&l->halt.randomised, interval_s) - interval_s + extra_s(l, d)) / 60;
}

static uint32_t
window_of(const struct ledger *l, const struct deployment *d, uint32_t interval_s)
{
	return minutes(interval_s + d->params.dark_window_s + extra_s(l, d));
}

/* ---- cells ---- */

static uint32_t
home(const struct dark *k, uint16_t stratum, uint8_t interval)
{
	return (uint32_t)hash_mix((uint64_t)stratum << 8 | interval) & (k->n_slots - 1);
}

static void
place(struct dark *k, uint32_t cell)
{
	uint32_t i = home(k, k->cells[cell].stratum, k->cells[cell].interval);

	while (k->slots[i] != 0)
		i = (i + 1) & (k->n_slots - 1);
	k->slots[i] = cell + 1;
}

static void
index_cells(struct dark *k)
{
	while ((k->n_cells + 1) * 2 > k->n_slots)
		k->n_slots = k->n_slots > 0 ? k->n_slots * 2 : 16;
	free(k->slots);
	k->slots = mem_zero(k->n_slots, sizeof(*k->slots));
	for (uint32_t i = 0; i < k->n_cells; i++)
		place(k, i);
}

static struct dark_cell *
add_cell(const struct ledger *l, struct deployment *d, uint16_t stratum, uint8_t interval)
{
	struct dark *k = &d->dark;
	uint32_t s = l->hosts.intervals[interval];
	struct dark_cell *cell;

	if (k->n_cells >= DARK_CELLS_MAX) {
		k->over_cap++;
		return NULL;
	}
	k->cells = mem_grow(k->cells, k->n_cells, k->n_cells + 1, sizeof(*k->cells));
	cell = &k->cells[k->n_cells++];
	*cell = (struct dark_cell){ .stratum = stratum,
				    .interval = interval,
				    .n_ring = lag_of(l, d, s) + window_of(l, d, s) + 2 };
	cell->ring = mem_zero(cell->n_ring, sizeof(*cell->ring));
	if ((k->n_cells + 1) * 2 > k->n_slots)
		index_cells(k);
	else
		place(k, k->n_cells - 1);
	return cell;
}

/* The cell of a host; NULL if it does not count here. */
static struct dark_cell *
cell_of(struct ledger *l, struct deployment *d, uint32_t no, bool make)
{
	uint8_t interval = host_chunk(&l->hosts, no)->interval[HOST_AT(no)];
	struct dark *k = &d->dark;
	uint16_t stratum;

	if (d->life != DEPLOYMENT_OPEN || d->tenant != host_tenant(l, no) || interval == 0 ||
	    !deployment_votes(l, d, no))
		return NULL;
	stratum = deployment_stratum(l, d, no);
	for (uint32_t i = k->n_slots > 0 ? home(k, stratum, interval) : 0; k->n_slots > 0 && k->slots[i] != 0;
	     i = (i + 1) & (k->n_slots - 1)) {
		struct dark_cell *cell = &k->cells[k->slots[i] - 1];

		if (cell->stratum == stratum && cell->interval == interval)
			return cell;
	}
	return make ? add_cell(l, d, stratum, interval) : NULL;
}

/* Clear the rings of the minutes that have begun since. */
static void
advance(struct ledger *l, struct deployment *d)
{
	struct dark *k = &d->dark;
	uint32_t now = minute_of(l, d);

	if (now <= k->minute)
		return;
	touch(l, d);
	for (uint32_t i = 0; i < k->n_cells; i++)
		for (uint32_t m = k->minute + 1, n = 0; m <= now && n < k->cells[i].n_ring; m++, n++)
			k->cells[i].ring[m % k->cells[i].n_ring] = 0;
	k->minute = now;
}

/* Where an alive host is counted; NULL: nowhere (any more). */
static uint32_t *
place_of(struct ledger *l, struct deployment *d, uint32_t no, bool make)
{
	struct dark_cell *cell = cell_of(l, d, no, make);
	uint32_t m;

	if (cell == NULL)
		return NULL;
	advance(l, d);
	touch(l, d);
	m = served_minute(d, no);
	if (m == MINUTE_NEVER)
		return &cell->unserved;
	return m <= d->dark.minute && m + cell->n_ring > d->dark.minute ? &cell->ring[m % cell->n_ring] : NULL;
}

void
dark_out(struct ledger *l, struct deployment *d, uint32_t no)
{
	uint32_t *at = place_of(l, d, no, false);

	if (at != NULL && *at > 0)
		--*at;
}

void
dark_in(struct ledger *l, struct deployment *d, uint32_t no)
{
	uint32_t *at = place_of(l, d, no, true);

	if (at != NULL)
		++*at;
}

static void
free_cells(struct dark *k)
{
	for (uint32_t i = 0; i < k->n_cells; i++)
		free(k->cells[i].ring);
	free(k->cells);
	free(k->slots);
	k->cells = NULL;
	k->slots = NULL;
	k->n_cells = k->n_slots = 0;
}

void
dark_recount(struct ledger *l, struct deployment *d)
{
	touch(l, d);
	advance(l, d);
	free_cells(&d->dark);
	d->dark.silent = 0;
	for (uint32_t no = 0; no < l->hosts.n; no++) {
		if (host_is_alive(&l->hosts, no))
			dark_in(l, d, no);
		else if (d->served > 0 && host_is_dark(&l->hosts, no))
			d->dark.silent += deployment_served(d, no);
	}
}

void
dark_fini(struct dark *k)
{
	free_cells(k);
	free(k->falls);
	free(k->site_voted);
}

void
dark_close(struct ledger *l, struct deployment *d)
{
	struct dark *k = &d->dark;

	touch(l, d);
	dark_fini(k);
	k->falls = NULL;
	k->site_voted = NULL;
	k->n_falls = k->cap_falls = k->n_sites = 0;
}

/* ---- falling and coming back ---- */

void
dark_served(struct ledger *l, struct deployment *d, uint32_t no)
{
	touch(l, d);
	d->dark.silent += host_is_dark(&l->hosts, no);
}

void
dark_gone(struct ledger *l, struct deployment *d, uint32_t no)
{
	struct dark *k = &d->dark;
	uint32_t seen = host_chunk(&l->hosts, no)->last_seen[HOST_AT(no)];

	if (d->life != DEPLOYMENT_OPEN || d->tenant != host_tenant(l, no))
		return;
	touch(l, d);
	k->silent += deployment_served(d, no);
	if (cell_of(l, d, no, false) == NULL)
		return;
	if (k->n_falls == k->cap_falls) {
		k->falls = mem_grow(k->falls, k->cap_falls, k->cap_falls * 2 + 64, sizeof(*k->falls));
		k->cap_falls = k->cap_falls * 2 + 64;
	}
	k->falls[k->n_falls++] = (struct dark_fall){ no, seen, seconds(l->now_us) + extra_s(l, d) };
}

void
dark_back(struct ledger *l, struct deployment *d, uint32_t no)
{
	if (d->life != DEPLOYMENT_OPEN || d->tenant != host_tenant(l, no) || !deployment_served(d, no))
		return;
	touch(l, d);
	d->dark.silent -= d->dark.silent > 0;
	deployment_touch(l, d);
}

/* ---- a minute's bin ---- */

enum arm { ARM_CONTROL, ARM_EXPOSED, ARM_NONE };

static enum arm
arm_of(const struct ledger *l, const struct deployment *d, const struct dark_cell *cell, uint32_t no)
{
	uint32_t s = l->hosts.intervals[cell->interval], m = served_minute(d, no);
	uint32_t lag = lag_of(l, d, s), now = d->dark.minute;

	if (m == MINUTE_NEVER || m + lag > now)
		return ARM_CONTROL;
	return m + lag + window_of(l, d, s) >= now ? ARM_EXPOSED : ARM_NONE;
}

struct fallen {
	uint64_t order;
	uint32_t cell;
	struct dark_host host;
};

static int
by_order(const void *a, const void *b)
{
	const struct fallen *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return (x->host.host_no > y->host.host_no) - (x->host.host_no < y->host.host_no);
}

static int
by_cell(const void *a, const void *b)
{
	const struct fallen *x = a, *y = b;

	if (x->cell != y->cell)
		return x->cell < y->cell ? -1 : 1;
	return by_order(a, b);
}

/* Falls that are due and still hold, with their cell and arm. */
static size_t
take_falls(struct ledger *l, struct deployment *d, struct fallen *out)
{
	struct dark *k = &d->dark;
	uint32_t now = seconds(l->now_us), kept = 0;
	size_t n = 0;

	for (uint32_t i = 0; i < k->n_falls; i++) {
		const struct dark_fall f = k->falls[i];
		struct dark_cell *cell;
		enum arm arm;

		if (f.at > now) {
			k->falls[kept++] = f;
			continue;
		}
		if (!host_is_dark(&l->hosts, f.host_no) ||
		    host_chunk(&l->hosts, f.host_no)->last_seen[HOST_AT(f.host_no)] != f.last_seen ||
		    (cell = cell_of(l, d, f.host_no, false)) == NULL || deployment_explained(l, d, f.host_no) ||
		    (arm = arm_of(l, d, cell, f.host_no)) == ARM_NONE)
			continue;
		cell->fell1 += arm == ARM_EXPOSED;
		cell->fell0 += arm == ARM_CONTROL;
		out[n++] = (struct fallen){ hash_mix(host_candidate(l, f.host_no).hash ^ d->dark.minute),
					    (uint32_t)(cell - k->cells),
					    { f.host_no, arm == ARM_EXPOSED, false } };
	}
	k->n_falls = kept;
	return n;
}

/* The minute of the last vote of a site. */
static uint32_t *
site_vote(struct dark *k, uint16_t site)
{
	if (site >= k->n_sites) {
		k->site_voted = mem_grow(k->site_voted, k->n_sites, site + 64u, sizeof(*k->site_voted));
		k->n_sites = site + 64u;
	}
	return &k->site_voted[site];
}

static bool
is_spent(uint32_t voted, uint32_t now, uint32_t window)
{
	return voted != 0 && voted - 1 + window > now;
}

/* One vote a relay, and a site where hosts are not served at random, in each W: whichever arm it
 * comes from.  A vote for each arm would count an outage that takes a few served hosts and a thousand
 * others as one against one.  Among those of one minute the hash decides, so that it is as likely
 * to come from an arm as that arm is large. */
static void
cast_votes(struct ledger *l, struct deployment *d, struct fallen *v, size_t n)
{
	bool by_site = !halt_randomised(d->msg->assignment);
	struct dark *k = &d->dark;

	qsort(v, n, sizeof(*v), by_order);
	for (size_t i = 0; i < n; i++) {
		const struct host_chunk *c = host_chunk(&l->hosts, v[i].host.host_no);
		uint32_t at = HOST_AT(v[i].host.host_no);
		uint32_t window = window_of(l, d, l->hosts.intervals[c->interval[at]]);
		uint32_t *relay = c->relay[at] != 0 ? &k->relay_voted[c->relay[at]] : NULL;
		uint32_t *site = by_site ? site_vote(k, c->site[at]) : NULL;

		if ((relay != NULL && is_spent(*relay, k->minute, window)) ||
		    (site != NULL && is_spent(*site, k->minute, window)))
			continue;
		v[i].host.counts = true;
		if (relay != NULL)
			*relay = k->minute + 1;
		if (site != NULL)
			*site = k->minute + 1;
	}
}

static void
close_bin(struct ledger *l, struct deployment *d, struct dark_cell *cell, const struct dark_host *hosts, size_t n)
{
	uint32_t s = l->hosts.intervals[cell->interval], now = d->dark.minute;
	uint32_t lag = lag_of(l, d, s), window = window_of(l, d, s);
	struct dark_bin bin = { .stratum = cell->stratum,
				.y1 = cell->fell1,
				.y0 = cell->fell0 + cell->unserved,
				.from_us = l->now_us - 60000000,
				.pos = l->birth.pos,
				.hosts = hosts,
				.n = n };

	for (uint32_t back = 0; back < cell->n_ring && back <= now; back++) {
		uint32_t alive = cell->ring[(now - back) % cell->n_ring];

		if (back < lag)
			bin.y0 += alive;
		else if (back <= lag + window)
			bin.y1 += alive;
	}
	cell->fell1 = cell->fell0 = 0;
	deployment_dark_bin(l, d, &bin);
}

void
dark_minute(struct ledger *l, struct deployment *d)
{
	struct dark *k = &d->dark;
	struct dark_host *hosts;
	struct fallen *v;
	size_t n;

	if (d->life != DEPLOYMENT_OPEN || k->n_falls == 0)
		return;
	touch(l, d);
	advance(l, d);
	v = mem_zero(k->n_falls, sizeof(*v));
	hosts = mem_zero(k->n_falls, sizeof(*hosts));
	n = take_falls(l, d, v);
	cast_votes(l, d, v, n);
	qsort(v, n, sizeof(*v), by_cell);
	for (size_t i = 0; i < n; i++)
		hosts[i] = v[i].host;
	for (size_t i = 0, to; i < n; i = to) {
		for (to = i; to < n && v[to].cell == v[i].cell; to++)
			;
		close_bin(l, d, &k->cells[v[i].cell], hosts + i, to - i);
	}
	free(hosts);
	free(v);
}

/* ---- snapshot ---- */

static void
pack_voted(const uint32_t *voted, uint32_t n, struct pack *k)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < n; i++)
		used += voted[i] != 0;
	pack_varint(k, used);
	for (uint32_t i = 0; i < n; i++)
		if (voted[i] != 0) {
			pack_varint(k, i);
			pack_varint(k, voted[i]);
		}
}

void
dark_pack(const struct ledger *l, const struct deployment *d, struct pack *out)
{
	const struct dark *k = &d->dark;

	(void)l;
	pack_varint(out, k->minute);
	pack_varint(out, k->silent);
	pack_varint(out, k->over_cap);
	pack_varint(out, k->n_cells);
	for (uint32_t i = 0; i < k->n_cells; i++) {
		const struct dark_cell *cell = &k->cells[i];

		pack_u16(out, cell->stratum);
		pack_u8(out, cell->interval);
		pack_varint(out, cell->unserved);
		pack_varint(out, cell->n_ring);
		for (uint32_t m = 0; m < cell->n_ring; m++)
			pack_varint(out, cell->ring[m]);
	}
	pack_varint(out, k->n_falls);
	for (uint32_t i = 0; i < k->n_falls; i++) {
		pack_varint(out, k->falls[i].host_no);
		pack_u32(out, k->falls[i].last_seen);
		pack_u32(out, k->falls[i].at);
	}
	pack_voted(k->site_voted, k->n_sites, out);
	pack_voted(k->relay_voted, 256, out);
}

static bool
unpack_cells(const struct ledger *l, struct dark *k, struct reader *r)
{
	uint32_t n = unpack_u32(r);

	if (reader_failed(r) || n > DARK_CELLS_MAX || k->cells != NULL)
		return false;
	k->cells = mem_zero(n, sizeof(*k->cells));
	for (uint32_t i = 0; i < n; i++) {
		struct dark_cell *cell = &k->cells[k->n_cells++];

		cell->stratum = reader_u16(r);
		cell->interval = reader_u8(r);
		cell->unserved = unpack_u32(r);
		cell->n_ring = unpack_u32(r);
		if (reader_failed(r) || cell->n_ring == 0 || cell->n_ring > r->size || cell->interval == 0 ||
		    cell->interval >= l->hosts.n_intervals)
			return false;
		cell->ring = mem_zero(cell->n_ring, sizeof(*cell->ring));
		for (uint32_t m = 0; m < cell->n_ring; m++)
			cell->ring[m] = unpack_u32(r);
	}
	index_cells(k);
	return !reader_failed(r);
}

static bool
unpack_falls(const struct ledger *l, struct dark *k, struct reader *r)
{
	uint32_t n = unpack_u32(r);

	if (reader_failed(r) || n > r->size)
		return false;
	k->falls = mem_zero(n, sizeof(*k->falls));
	k->n_falls = k->cap_falls = n;
	for (uint32_t i = 0; i < n; i++) {
		k->falls[i].host_no = unpack_u32(r);
		k->falls[i].last_seen = reader_u32(r);
		k->falls[i].at = reader_u32(r);
		if (reader_failed(r) || k->falls[i].host_no >= l->hosts.n)
			return false;
	}
	return true;
}

bool
dark_unpack(const struct ledger *l, struct deployment *d, struct reader *r)
{
	struct dark *k = &d->dark;
	uint32_t n, at;

	k->loaded = true;
	k->minute = unpack_u32(r);
	k->silent = unpack_u32(r);
	k->over_cap = wire_varint(r);
	if (!unpack_cells(l, k, r) || !unpack_falls(l, k, r))
		return false;
	n = unpack_u32(r);
	for (uint32_t i = 0; i < n && !reader_failed(r); i++) {
		at = unpack_u32(r);
		if (at > UINT16_MAX)
			return false;
		*site_vote(k, (uint16_t)at) = unpack_u32(r);
	}
	n = unpack_u32(r);
	for (uint32_t i = 0; i < n && !reader_failed(r); i++) {
		at = unpack_u32(r);
		if (at > UINT8_MAX)
			return false;
		k->relay_voted[at] = unpack_u32(r);
	}
	return !reader_failed(r);
}
