/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "collector/ledger/eprocess.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/numeric.h"
#include "collector/ledger/state.h"

#define SHIFT         6  /* rows a chunk */
#define GAP_MOST      60 /* seconds between ticks that count as exposure: beyond, nobody was listening */
#define HOUR_US       3600000000ll
#define BIN_MOST      12u    /* bins an hour */
#define COUNT_AT_ONCE 65536u /* up to so many hosts a scan costs nothing */

/* ---- life ---- */

void
outbreaks_init(struct outbreaks *o)
{
	memset(o, 0, sizeof(*o));
	table_init(&o->rows, sizeof(struct outbreak_row), SHIFT, chunk_id(CHUNK_OUTBREAKS, 0, 0), false);
}

void
outbreaks_fini(struct outbreaks *o)
{
	table_fini(&o->rows);
	for (uint32_t i = 0; i < o->n_fleets; i++)
		free(o->fleets[i]);
	free(o->alarms);
	free(o->hot);
}

static const struct halt_params *
params(const struct ledger *l)
{
	return &l->halt.randomised;
}

static void
touch(struct ledger *l)
{
	snap_touch(&l->snap, &l->outbreaks.word, chunk_id(CHUNK_ALARMS, 0, 0));
}

/* ---- fleets ---- */

struct fleet *
fleet_of(struct ledger *l, uint16_t tenant)
{
	struct outbreaks *o = &l->outbreaks;
	struct fleet *f;

	for (uint32_t i = 0; i < o->n_fleets; i++)
		if (o->fleets[i]->tenant == tenant)
			return o->fleets[i];
	if (o->n_fleets == OUTBREAK_FLEETS)
		return NULL;
	touch(l);
	f = o->fleets[o->n_fleets++] = mem_zero(1, sizeof(*f));
	f->tenant = tenant;
	f->active = l->silence.n_active;
	births_cold(&f->prior);
	return f;
}

/* Million host hours up to this moment. */
static double
exposure_now(const struct ledger *l, const struct fleet *f)
{
	int64_t since = l->now_us - l->outbreaks.tick_us;

	since = since < 0 ? 0 : since > GAP_MOST * 1000000ll ? GAP_MOST * 1000000ll : since;
	return f->exposure + f->active / 1e6 * ((double)since / HOUR_US);
}

/* Hosts heard of lately: of several tenants, a scan once a minute. */
static void
count_active(struct ledger *l)
{
	struct outbreaks *o = &l->outbreaks;
	uint32_t now = seconds(l->now_us), span = params(l)->active_s, from = now > span ? now - span : 1;

	if (o->n_fleets == 1) {
		o->fleets[0]->active = l->silence.n_active;
		return;
	}
	for (uint32_t i = 0; i < o->n_fleets; i++)
		o->fleets[i]->active = 0;
	for (uint32_t at = 0; at < l->hosts.n && o->n_fleets > 0; at += HOST_CHUNK) {
		const struct host_chunk *c = host_chunk(&l->hosts, at);
		uint32_t end = l->hosts.n - at < HOST_CHUNK ? l->hosts.n - at : HOST_CHUNK;

		for (uint32_t i = 0; i < end; i++) {
			struct fleet *f;

			if (c->last_seen[i] < from)
				continue;
			f = fleet_of(l, atomic_load_explicit(&c->tenant[i], memory_order_relaxed));
			if (f != NULL)
				f->active++;
		}
	}
}

/* ---- rows ---- */

struct outbreak_row *
outbreak_edit(struct ledger *l, uint32_t row)
{
	return table_edit(&l->outbreaks.rows, &l->snap, row);
}

void
outbreak_heat(struct outbreaks *o, uint32_t no, struct outbreak_row *row)
{
	if (row->hot)
		return;
	if (o->n_hot == o->cap_hot) {
		uint32_t cap = o->cap_hot > 0 ? o->cap_hot * 2 : 64;

		o->hot = mem_grow(o->hot, o->cap_hot, cap, sizeof(*o->hot));
		o->cap_hot = cap;
	}
	o->hot[o->n_hot++] = no;
	row->hot = true;
}

/* The row must have been touched. */
static void
row_free(struct ledger *l, struct outbreak_row *row)
{
	struct key *key = key_at(&l->keys, row->key_no);

	if (key->id == row->key_id)
		key->outbreak = 0;
	memset(row, 0, sizeof(*row));
	row->key_no = KEY_NONE;
	l->outbreaks.n_rows--;
}

static uint32_t
row_add(struct ledger *l, uint32_t key_no)
{
	struct outbreaks *o = &l->outbreaks;
	struct key *key = key_at(&l->keys, key_no);
	struct outbreak_row *row = NULL;
	uint64_t no = 0;

	touch(l);
	if (o->n_rows == OUTBREAK_ROWS) {
		o->over++;
		return UINT32_MAX;
	}
	for (; row == NULL && o->hand < o->rows.n; o->hand++)
		if (((struct outbreak_row *)table_at(&o->rows, o->hand))->key_no == KEY_NONE) {
			no = o->hand;
			row = outbreak_edit(l, (uint32_t)no);
		}
	if (row == NULL)
		row = table_add(&o->rows, &l->snap, &no);
	memset(row, 0, sizeof(*row));
	row->key_no = key_no;
	row->key_id = key->id;
	row->first_hour = row->hour = (uint32_t)(l->now_us / HOUR_US);
	key->outbreak = (uint32_t)no + 1;
	o->n_rows++;
	return (uint32_t)no;
}

static bool
is_kernel(const struct key *key)
{
	return (key->kinds & (1u << REPORT_KERNEL | 1u << REPORT_BOOT_CRITICAL)) != 0;
}

static bool
is_newborn(const struct ledger *l, const struct key *key)
{
	return (key->rung == RUNG_KEY || key->rung == RUNG_STOP) && (key->flags & KEY_OLD) == 0 && is_kernel(key) &&
	       l->now_us - key->first_us < OUTBREAK_DAY_US;
}

/* Born within an hour after a push that left no controls? */
static bool
after_a_push(const struct ledger *l, const struct key *key)
{
	for (uint32_t i = 0; i < l->n_open; i++) {
		const struct deployment *d = l->open[i];

		if (d->tenant == key->tenant && d->life == DEPLOYMENT_OPEN && d->eligible > 0 &&
		    d->served_eligible > CHANCE_SPENT * d->eligible && key->first_us >= d->first_receipt_us &&
		    key->first_us - d->last_receipt_us < HOUR_US)
			return true;
	}
	return false;
}

static void
be_born(struct ledger *l, struct outbreak_row *row, const struct key *key, const struct fleet *f)
{
	birth_begin(&row->birth, l->now_us, exposure_now(l, f));
	row->newborn = true;
	row->urged = after_a_push(l, key);
}

/* ---- votes ---- */

static uint32_t
brake_bin(const struct ledger *l)
{
	uint32_t len = params(l)->brake_window_s / BRAKE_BINS;

	return seconds(l->now_us) / (len > 0 ? len : 1);
}

static void
roll_brake(const struct ledger *l, struct outbreak_row *row)
{
	uint32_t bin = brake_bin(l), by = bin - row->brake_bin;

	if (by == 0)
		return;
	by = by < BRAKE_BINS ? by : BRAKE_BINS;
	memmove(row->brake_hosts + by, row->brake_hosts, (BRAKE_BINS - by) * sizeof(*row->brake_hosts));
	memmove(row->brake_sites + by, row->brake_sites, (BRAKE_BINS - by) * sizeof(*row->brake_sites));
	memset(row->brake_hosts, 0, by * sizeof(*row->brake_hosts));
	memset(row->brake_sites, 0, by * sizeof(*row->brake_sites));
	row->brake_bin = bin;
}

/* Hours that passed without a vote count none. */
static void
roll_hours(struct outbreak_row *row, uint32_t hour)
{
	for (; row->hour < hour; row->hour++) {
		if (hour - row->hour > OUTBREAK_HOURS)
			row->hour = hour - OUTBREAK_HOURS;
		row->votes[(row->hour + 1) % OUTBREAK_HOURS] = 0;
	}
}

static double
birth_evidence(const struct ledger *l, const struct outbreak_row *row, const struct fleet *f)
{
	return birth_log(&row->birth, exposure_now(l, f), &f->prior) + (row->urged ? num_log(10) : 0);
}

/* At least half of the hosts that crash had been served by then: it cannot be ruled out. */
static bool
is_involved(const struct deployment *d, const struct key *key)
{
	uint32_t x = 0, served = 0;

	if (d->tenant != key->tenant || d->life != DEPLOYMENT_OPEN || d->served == 0)
		return false;
	for (; hostset_next(&key->hosts, &x); x++)
		served += deployment_served(d, x);
	return served * 2ull >= key->hosts.n;
}

/* Another deployment was halted for that key already, or this one is held because of that one: an
 * alarm adds nothing to what the comparison has said. */
static bool
is_explained(const struct ledger *l, const struct deployment *d, uint32_t key_no)
{
	for (uint32_t i = 0; i < l->n_open && d->co_of == 0; i++) {
		const struct deployment *o = l->open[i];
		const struct trial_row *row = NULL;

		if (o != d && o->halted && !o->by_person && o->tenant == d->tenant && o->life == DEPLOYMENT_OPEN)
			row = trial_find(o, key_no);
		if (row != NULL && (row->flags & TRIAL_CROSSED) != 0)
			return true;
	}
	return d->co_of != 0;
}

/* What no comparison can tell any more, the spread of a new signature may (HALT 4.4). */
static uint32_t
tell_spent(struct ledger *l, uint32_t key_no, const struct alarm *a, const char *why)
{
	struct past_standing s = { .key_no = key_no,
				   .odds = a->log_e,
				   .needed = a->log_needed,
				   .material = 1e300,
				   .newborn = true,
				   .watch_only = !a->certified,
				   .why = why };
	const struct key *key = key_at(&l->keys, key_no);
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];

		if (d->halted || !deployment_is_spent(l, d) || !is_involved(d, key) || is_explained(l, d, key_no))
			continue;
		deployment_past(l, d, &s, a->pos);
		n += d->halted;
	}
	return n;
}

static void
judge_birth(struct ledger *l, struct outbreak_row *row, const struct key *key, const struct fleet *f, uint64_t pos)
{
	bool learned = births_learned(&f->tally);
	double alpha = learned ? params(l)->alpha_cohortless : params(l)->alpha_cold;
	struct alarm a = { .kind = ALARM_OUTBREAK, .pos = pos, .certified = learned };
	char why[CAUSE_MAX], title[ALARM_TITLE_MAX];
	double log_e;

	if ((row->raised & 1u << ALARM_OUTBREAK) != 0 || key->hosts.n < OUTBREAK_HOSTS_MIN ||
	    key->sites.n < OUTBREAK_SITES_MIN)
		return;
	log_e = birth_evidence(l, row, f);
	if (log_e < -num_log(alpha))
		return;
	a.log_e = log_e;
	a.log_needed = -num_log(alpha);
	a.hosts = key->hosts.n;
	a.sites = key->sites.n;
	a.active = f->active;
	snprintf(
		a.text, sizeof(a.text),
		"A new kernel signature is on %u hosts at %u sites; of %llu benign ones %s, fewer than 1 in %.3g spread "
		"like that.",
		a.hosts, a.sites, (unsigned long long)f->tally.total,
		learned ? "watched for a day" : "(too few to learn from)", num_exp(log_e < 700 ? log_e : 700));
	key_title(key, title, sizeof(title));
	snprintf(why, sizeof(why),
		 "%s, a new kernel signature, is on %u hosts at %u sites and spreads as benign ones %s do not", title,
		 a.hosts, a.sites, learned ? "watched for a day" : "(too few are known to be sure)");
	a.deployments = tell_spent(l, row->key_no, &a, why);
	alarm_raise(l, row, &a);
}

static void
judge_brake(struct ledger *l, struct outbreak_row *row, const struct key *key, const struct fleet *f, uint64_t pos)
{
	struct alarm a = { .kind = ALARM_BRAKE, .pos = pos };

	if ((row->raised & 1u << ALARM_BRAKE) != 0)
		return;
	for (uint32_t i = 0; i < BRAKE_BINS; i++) {
		a.hosts += row->brake_hosts[i];
		a.sites += row->brake_sites[i];
	}
	a.active = f->active;
	if (!brake_pulls(params(l), a.hosts, a.sites, a.active))
		return;
	snprintf(
		a.text, sizeof(a.text),
		"A new kernel signature came up on %u hosts at %u sites, %.2g %% of the %u active ones, within %u minutes.  "
		"This is a heuristic: there is no bound on its false alarms.",
		a.hosts, a.sites, 100.0 * a.hosts / a.active, a.active, params(l)->brake_window_s / 60);
	for (uint32_t i = 0; i < l->n_open; i++)
		if (!l->open[i]->halted && is_involved(l->open[i], key) &&
		    !deployment_clears(l, l->open[i], row->key_no) && !is_explained(l, l->open[i], row->key_no)) {
			deployment_brake(l, l->open[i], a.text, pos);
			a.deployments++;
		}
	alarm_raise(l, row, &a);
}

static void
vote_newborn(struct ledger *l, struct outbreak_row *row, const struct key *key, const struct outbreak_vote *v)
{
	struct fleet *f = fleet_of(l, key->tenant);

	if (f == NULL)
		return;
	if (!row->newborn) { /* its first vote is its birth, and no evidence */
		be_born(l, row, key, f);
	} else if (v->site_new) {
		birth_advance(&row->birth, l->now_us, exposure_now(l, f));
		birth_vote(&row->birth);
	}
	if (!v->host_new)
		return;
	roll_brake(l, row);
	row->brake_hosts[0]++;
	row->brake_sites[0] += v->site_new;
	if (v->site_new)
		judge_birth(l, row, key, f, v->pos);
	judge_brake(l, row, key, f, v->pos);
}

void
outbreaks_vote(struct ledger *l, uint32_t key_no, const struct outbreak_vote *v)
{
	struct outbreaks *o = &l->outbreaks;
	const struct key *key = key_at(&l->keys, key_no);
	bool newborn = is_newborn(l, key);
	uint32_t no = key->outbreak - 1;
	struct outbreak_row *row;
	uint16_t i = 0;

	if (key->rung == RUNG_BUILD)
		return; /* its exact keys and its module are watched */
	if (key->outbreak == 0) {
		if (!newborn && key->reports < 2)
			return; /* most are never seen again */
		if ((no = row_add(l, key_no)) == UINT32_MAX)
			return;
	}
	row = outbreak_edit(l, no);
	row->last_s = seconds(l->now_us);
	if (newborn)
		vote_newborn(l, row, key, v);
	while (row->n_sites < OUTBREAK_SITES && i < row->n_sites && row->sites[i] != v->site)
		i++;
	if (i < row->n_sites)
		return; /* the site has voted in this bin, or there is room for no more */
	row->sites[row->n_sites++] = v->site;
	outbreak_heat(o, no, row);
}

/* ---- a key's own past ---- */

/* From the hours around it on the last six days in which the server ran. */
double
outbreak_expected(const struct ledger *l, const struct outbreak_row *row)
{
	const struct outbreaks *o = &l->outbreaks;
	uint32_t hour = o->bin / BIN_MOST;
	double votes = 0, bins = 0;

	for (uint32_t day = 1; day <= 6; day++)
		for (uint32_t h = hour - day * 24 - 1; h <= hour - day * 24 + 1; h++) {
			if (h <= row->first_hour || h + OUTBREAK_HOURS <= o->hour || h > o->hour)
				continue;
			bins += o->ticked[h % OUTBREAK_HOURS];
			if (h <= row->hour && h + OUTBREAK_HOURS > row->hour)
				votes += row->votes[h % OUTBREAK_HOURS];
		}
	if (bins < 2 * BIN_MOST)
		return -1;
	return (votes + 1 + 2 * num_exp(num_log(votes + 1) / 2)) / bins;
}

double
outbreak_kappa(const struct ledger *l)
{
	return frailty_kappa(&l->outbreaks.fit, params(l)->kappa);
}

static void
judge_surge(struct ledger *l, struct outbreak_row *row, double mu, uint64_t pos)
{
	struct outbreaks *o = &l->outbreaks;
	const struct key *key = key_at(&l->keys, row->key_no);
	struct fleet *f = fleet_of(l, key->tenant);
	double need = num_log(SURGE_RUN) + num_log(o->n_rows > 0 ? o->n_rows : 1);
	uint32_t votes = row->votes[row->hour % OUTBREAK_HOURS];
	struct alarm a = { .kind = ALARM_SURGE, .pos = pos };

	if ((row->raised & 1u << ALARM_SURGE) != 0 || row->log_m < need || votes < SURGE_VOTES_MIN || f == NULL)
		return;
	a.certified = o->fit.keys >= FRAILTY_KEYS_MIN;
	a.log_e = row->log_m;
	a.log_needed = need;
	a.hosts = key->hosts.n;
	a.sites = row->n_sites;
	a.active = f->active;
	snprintf(a.text, sizeof(a.text),
		 "Crashes came from %u sites in five minutes, %u times in the last hour; at this time of day %.2g are "
		 "usual in five minutes.",
		 a.sites, votes, mu);
	alarm_raise(l, row, &a);
}

static int
by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* A bin of five minutes is over. */
static void
close_bin(struct ledger *l, bool whole, uint64_t pos)
{
	struct outbreaks *o = &l->outbreaks;
	uint32_t hour = o->bin / BIN_MOST, kept = 0;
	double kappa = outbreak_kappa(l);

	if (whole) {
		for (; o->hour < hour; o->hour++) {
			if (hour - o->hour > OUTBREAK_HOURS)
				o->hour = hour - OUTBREAK_HOURS;
			o->ticked[(o->hour + 1) % OUTBREAK_HOURS] = 0;
		}
		o->ticked[hour % OUTBREAK_HOURS]++;
	}
	if (o->n_hot > 1) /* the order in which they warmed up is not in a snapshot */
		qsort(o->hot, o->n_hot, sizeof(*o->hot), by_number);
	past_bin(l, whole, pos);
	for (uint32_t i = 0; i < o->n_hot; i++) {
		struct outbreak_row *row = outbreak_edit(l, o->hot[i]);
		double mu = outbreak_expected(l, row);
		uint16_t *votes = &row->votes[hour % OUTBREAK_HOURS];

		roll_hours(row, hour);
		*votes = (uint16_t)(*votes + row->n_sites < UINT16_MAX ? *votes + row->n_sites : UINT16_MAX);
		row->log_m = mu > 0 && whole ? detector_step(row->log_m, row->n_sites, mu, kappa) : 0;
		judge_surge(l, row, mu, pos);
		row->n_sites = 0;
		row->log_m = row->log_m > 0 ? row->log_m : 0;
		row->hot = row->log_m > 0;
		if (row->hot)
			o->hot[kept++] = o->hot[i];
	}
	o->n_hot = kept;
}

/* ---- time ---- */

/* A newborn is a day old: one more to learn from. */
static void
grow_up(struct ledger *l, uint32_t no)
{
	struct outbreak_row *row = outbreak_edit(l, no);
	struct fleet *f = fleet_of(l, key_at(&l->keys, row->key_no)->tenant);

	row->newborn = row->urged = false;
	if (f == NULL)
		return;
	births_count(&f->tally, row->birth.votes[0], exposure_now(l, f) - row->birth.exposure[0]);
	births_learn(&f->tally, &f->prior);
}

static void
rows_minute(struct ledger *l)
{
	struct outbreaks *o = &l->outbreaks;

	for (uint32_t i = 0; i < o->rows.n; i++) {
		const struct outbreak_row *row = table_at(&o->rows, i);
		struct fleet *f;

		if (row->key_no == KEY_NONE || !row->newborn)
			continue;
		if (l->now_us - row->birth.born_us >= OUTBREAK_DAY_US) {
			grow_up(l, i);
			continue;
		}
		f = fleet_of(l, key_at(&l->keys, row->key_no)->tenant);
		if (f != NULL)
			birth_advance(&outbreak_edit(l, i)->birth, l->now_us, exposure_now(l, f));
	}
}

/* Once a day: forget who was not heard of for a week, learn how much days differ. */
static void
rows_day(struct ledger *l)
{
	struct outbreaks *o = &l->outbreaks;
	uint32_t now = seconds(l->now_us), hour = o->bin / BIN_MOST;
	struct frailty_fit fit = { 0 };

	o->hand = 0;
	for (uint32_t i = 0; i < o->rows.n; i++) {
		const struct outbreak_row *row = table_at(&o->rows, i);
		uint32_t days[6] = { 0 };

		if (row->key_no == KEY_NONE)
			continue;
		if (row->last_s + 7 * 86400u < now || key_at(&l->keys, row->key_no)->id != row->key_id) {
			row_free(l, outbreak_edit(l, i));
			continue;
		}
		if (hour < row->first_hour + OUTBREAK_HOURS - 24)
			continue;
		for (uint32_t h = 1; h <= 6 * 24; h++)
			if (hour - h <= row->hour && hour - h + OUTBREAK_HOURS > row->hour)
				days[(h - 1) / 24] += row->votes[(hour - h) % OUTBREAK_HOURS];
		if (days[0] + days[1] + days[2] + days[3] + days[4] + days[5] >= 12)
			frailty_add(&fit, days, 6);
	}
	o->fit = fit;
}

void
outbreaks_tick(struct ledger *l, uint64_t pos)
{
	struct outbreaks *o = &l->outbreaks;
	uint32_t now = seconds(l->now_us), bin = now / OUTBREAK_BIN_S, minute = now / 60, day = now / 86400;

	if (o->n_fleets == 0 && l->hosts.n == 0)
		return;
	touch(l);
	if (o->tick_us == 0) { /* the first one */
		o->bin = bin;
		o->day = day;
		o->hour = bin / BIN_MOST;
	}
	for (uint32_t i = 0; i < o->n_fleets; i++)
		o->fleets[i]->exposure = exposure_now(l, o->fleets[i]);
	o->tick_us = l->now_us;
	if (bin != o->bin) {
		close_bin(l, bin == o->bin + 1, pos);
		o->bin = bin;
	}
	if (minute != o->minute || l->hosts.n <= COUNT_AT_ONCE)
		count_active(l);
	if (minute == o->minute)
		return;
	o->minute = minute;
	rows_minute(l);
	alarms_minute(l);
	if (day != o->day) {
		rows_day(l);
		o->day = day;
	}
}
