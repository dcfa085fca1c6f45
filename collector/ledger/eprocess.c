/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "collector/ledger/eprocess.h"
#include "collector/ledger/halt_params.h"
#include "collector/ledger/numeric.h"

#define INFINITE (__builtin_inf())

/* ---- grids ---- */

/* log 2, log 10 and the logs of the shares, to the last bit; a test compares them with num_log(). */
#define L2   0x1.62e42fefa39efp-1
#define L10  0x1.26bb1bbb55516p+1
#define L1_5 0x1.9f323ecbf984cp-2

static const struct grid GRIDS[GRID_N] = {
	[GRID_NEW] = { 5,
		       { 10, 100, 1e3, 1e4, 1e6 },
		       { L10, 2 * L10, 3 * L10, 4 * L10, 6 * L10 },
		       { -0x1.26bb1bbb55516p+1, -0x1.e5a9a7c3ac418p+0, -0x1.9c041f7ed8d33p+0, -0x1.62e42fefa39efp+0,
			 -0x1.34378fcbda720p+0 } },
	[GRID_OLD] = { 7,
		       { 2, 4, 8, 16, 64, 256, 1e4 },
		       { L2, 2 * L2, 3 * L2, 4 * L2, 6 * L2, 8 * L2, 4 * L10 },
		       { -0x1.f2272ae325a57p+0, -0x1.f2272ae325a57p+0, -0x1.f2272ae325a57p+0, -0x1.f2272ae325a57p+0,
			 -0x1.f2272ae325a57p+0, -0x1.f2272ae325a57p+0, -0x1.f2272ae325a57p+0 } },
	[GRID_DARK] = { 8,
			{ 1.5, 2, 4, 8, 16, 64, 256, 1024 },
			{ L1_5, L2, 2 * L2, 3 * L2, 4 * L2, 6 * L2, 8 * L2, 10 * L2 },
			{ -3 * L2, -3 * L2, -3 * L2, -3 * L2, -3 * L2, -3 * L2, -3 * L2, -3 * L2 } },
};

const struct grid *
eprocess_grid(enum ratio_grid g)
{
	return &GRIDS[g < GRID_N ? g : GRID_NEW];
}

/* ---- the process ---- */

void
eprocess_init(struct eprocess *e, enum ratio_grid g, double log_weight)
{
	memset(e, 0, sizeof(*e));
	e->grid = g;
	e->log_weight = log_weight;
}

double
eprocess_chance(double rho, double served, double unserved)
{
	if (!(served > 0))
		return 0;
	if (!(unserved > 0))
		return 1;
	return rho * served / (rho * served + unserved);
}

void
eprocess_cost(enum ratio_grid g, double q, struct grid_cost *out)
{
	const struct grid *grid = eprocess_grid(g);

	memset(out, 0, sizeof(*out));
	out->grid = g;
	out->q = q;
	if (!eprocess_counts(q))
		return;
	for (uint32_t i = 0; i < grid->n; i++)
		out->log_cost[i] = -num_log1p((grid->ratio[i] - 1) * q);
}

double
eprocess_log(const struct eprocess *e)
{
	const struct grid *g = eprocess_grid(e->grid);
	double a[GRID_MAX];

	for (uint32_t i = 0; i < g->n; i++)
		a[i] = e->log_factor[i] + g->log_share[i];
	return num_logsumexp(a, g->n);
}

void
eprocess_add(struct eprocess *e, uint32_t served, uint32_t unserved, const struct grid_cost *cost)
{
	const struct grid *g = eprocess_grid(e->grid);
	double all = (double)served + unserved;

	if (all == 0 || !eprocess_counts(cost->q) || cost->grid != e->grid)
		return;
	for (uint32_t i = 0; i < g->n; i++)
		e->log_factor[i] += served * g->log_ratio[i] + all * cost->log_cost[i];
	e->served += served;
	e->unserved += unserved;
}

double
eprocess_apply(struct eprocess *e, uint32_t served, uint32_t unserved, const struct grid_cost *cost)
{
	double log_e;

	eprocess_add(e, served, unserved, cost);
	log_e = eprocess_log(e);
	if (log_e > e->peak)
		e->peak = log_e;
	return log_e;
}

double
eprocess_bin(struct eprocess *e, uint32_t served, uint32_t unserved, double q)
{
	struct grid_cost cost;

	eprocess_cost(e->grid, q, &cost);
	return eprocess_apply(e, served, unserved, &cost);
}

double
eprocess_vote(struct eprocess *e, bool served, double q)
{
	return eprocess_bin(e, served, !served, q);
}

double
eprocess_closed_form(double served, double unserved, double sum_log_q, double a, double b)
{
	return num_lgamma(a + served) + num_lgamma(b + unserved) - num_lgamma(a + b + served + unserved) -
	       (num_lgamma(a) + num_lgamma(b) - num_lgamma(a + b)) - sum_log_q;
}

/* ---- interval of the ratio ---- */

struct line {
	double slope, at0; /* y = at0 + slope * x */
};

static double
line_at(struct line l, double x)
{
	return l.at0 + l.slope * x;
}

/* The upper bound of log L crosses `level` within [from, to], a stretch where it is one line. */
static void
cross_stretch(struct line l, double from, double to, double level, double *low, double *high)
{
	double a = from > -1e300 ? line_at(l, from) : l.slope > 0 ? -INFINITE : INFINITE;
	double b = to < 1e300 ? line_at(l, to) : l.slope < 0 ? -INFINITE : INFINITE;
	double x = l.slope != 0 ? (level - l.at0) / l.slope : 0;

	if (a <= level && b <= level)
		return;
	if (a <= level)
		from = x;
	if (b <= level)
		to = x;
	if (from < *low)
		*low = from;
	if (to > *high)
		*high = to;
}

void
eprocess_interval(const struct eprocess *e, double rho, double alpha, double *low_out, double *high_out)
{
	const struct grid *g = eprocess_grid(e->grid);
	double x[GRID_MAX + 1], y[GRID_MAX + 1], low = INFINITE, high = -INFINITE;
	double level = eprocess_log(e) + num_log(alpha);
	struct line chord[GRID_MAX];
	uint32_t n = g->n;

	*low_out = 0;
	*high_out = INFINITE;
	if (e->served + e->unserved == 0)
		return;
	x[0] = num_log(rho);
	y[0] = 0;
	for (uint32_t i = 0; i < n; i++) {
		x[i + 1] = x[0] + g->log_ratio[i];
		y[i + 1] = e->log_factor[i];
		chord[i].slope = (y[i + 1] - y[i]) / (x[i + 1] - x[i]);
		chord[i].at0 = y[i] - chord[i].slope * x[i];
	}
	cross_stretch(chord[0], -INFINITE, x[0], level, &low, &high);
	for (uint32_t i = 0; i < n; i++) {
		/* between two points the chords before and after go on above the curve; at the ends
		 * its slope is at most the served votes and at least minus the unserved ones */
		struct line before = { e->served, y[0] - e->served * x[0] };
		struct line after = { -(double)e->unserved, y[n] + e->unserved * x[n] };
		double meet = x[i + 1];

		if (i > 0)
			before = chord[i - 1];
		if (i + 1 < n)
			after = chord[i + 1];
		if (before.slope > after.slope)
			meet = (after.at0 - before.at0) / (before.slope - after.slope);
		meet = meet < x[i] ? x[i] : meet > x[i + 1] ? x[i + 1] : meet;
		cross_stretch(before, x[i], meet, level, &low, &high);
		cross_stretch(after, meet, x[i + 1], level, &low, &high);
	}
	cross_stretch(chord[n - 1], x[n], INFINITE, level, &low, &high);
	*low_out = low > -700 ? num_exp(low) : 0;
	*high_out = high < 700 ? num_exp(high) : INFINITE;
}

/* ---- shares of alpha ---- */

static const struct {
	const char *name;
	double share, births;
	enum ratio_grid grid;
} POOLS[POOL_N] = {
	[POOL_OWN] = { "own", .20, 3, GRID_NEW },
	[POOL_NEW_KERNEL] = { "new_kernel", .20, 20, GRID_NEW },
	[POOL_NEW_USER] = { "new_user", .10, 300, GRID_NEW },
	[POOL_OLD] = { "old", .10, 0, GRID_OLD },
	[POOL_TOTALS] = { "totals", .10, 10, GRID_OLD },
	[POOL_DARK] = { "dark", .20, 1, GRID_DARK },
	[POOL_BOOT] = { "boot", .10, 1, GRID_NEW },
};

const char *
key_pool_name(enum key_pool p)
{
	return p < POOL_N ? POOLS[p].name : "unknown";
}

double
key_pool_share(enum key_pool p)
{
	return p < POOL_N ? POOLS[p].share : 0;
}

double
key_pool_births(enum key_pool p)
{
	return p < POOL_N ? POOLS[p].births : 0;
}

double
key_births(const struct halt_params *p, enum key_pool pool)
{
	return pool == POOL_NEW_KERNEL ? p->births_kernel
	       : pool == POOL_NEW_USER ? p->births_user
	       : pool == POOL_TOTALS   ? p->births_totals
				       : key_pool_births(pool);
}

enum ratio_grid
key_pool_grid(enum key_pool p)
{
	return p < POOL_N ? POOLS[p].grid : GRID_NEW;
}

double
key_log_weight(enum key_pool p, double j, double births)
{
	return num_log(key_pool_share(p)) + num_log(births) - num_log(j + births - 1) - num_log(j + births);
}

double
key_log_weight_known(double known)
{
	return num_log(key_pool_share(POOL_OLD)) - num_log(known > 1 ? known : 1);
}

double
eprocess_margin(const struct eprocess *e, double log_e, double alpha)
{
	return e->log_weight + log_e + num_log(alpha);
}

bool
eprocess_reaches(const struct eprocess *e, double alpha)
{
	return eprocess_margin(e, eprocess_log(e), alpha) >= 0;
}

uint32_t
eprocess_needs(const struct eprocess *e, double q, double alpha)
{
	struct eprocess trial = *e;
	struct grid_cost cost;
	double log_e = eprocess_log(e), before;

	if (!eprocess_counts(q))
		return eprocess_margin(e, log_e, alpha) >= 0 ? 0 : UINT32_MAX;
	eprocess_cost(e->grid, q, &cost);
	for (uint32_t n = 0; n < 100000; n++) {
		if (eprocess_margin(&trial, log_e, alpha) >= 0)
			return n;
		before = log_e;
		log_e = eprocess_apply(&trial, 1, 0, &cost);
		if (log_e <= before)
			break;
	}
	return UINT32_MAX;
}

/* ---- worth a halt? ---- */

double
material_log(double k, double mu)
{
	static const double RATIO[6] = { 2, 4, 10, 100, 1e3, 1e4 };
	static const double LOG_RATIO[6] = { L2, 2 * L2, L10, 2 * L10, 3 * L10, 4 * L10 };
	double a[6];

	for (int i = 0; i < 6; i++)
		a[i] = k * LOG_RATIO[i] - (RATIO[i] - 1) * mu - 0x1.cab0bfa2a2002p+0; /* log 6 */
	return num_logsumexp(a, 6);
}

double
material_mu_new(double delta, double served)
{
	return delta * served;
}

double
material_mu_old(double delta, double served, double unserved_with, double unserved)
{
	return (delta + (unserved_with + 1) / (unserved > 1 ? unserved : 1)) * served;
}

double
material_mu_spent(double delta, double served, double baseline)
{
	return baseline + delta * served;
}

const char *
key_severity_name(enum key_severity s)
{
	static const char *const NAMES[SEVERITY_N] = { "kernel", "dark", "service", "user" };

	return s < SEVERITY_N ? NAMES[s] : "unknown";
}

struct floors
key_floors(const struct halt_params *p, enum key_severity s)
{
	switch (s) {
	case SEVERITY_KERNEL:
		return (struct floors){ p->hosts_kernel, p->sites_kernel };
	case SEVERITY_DARK:
		return (struct floors){ p->hosts_kernel, p->sites_dark };
	case SEVERITY_SERVICE:
		return (struct floors){ p->hosts_service, p->sites_service };
	case SEVERITY_USER:
	case SEVERITY_N:
		break;
	}
	return (struct floors){ p->hosts_user, p->sites_user };
}
