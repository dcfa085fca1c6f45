/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "collector/ledger/halt_params.h"
#include "collector/ledger/numeric.h"
#include "collector/ledger/outlook.h"
#include "collector/ledger/proceed.h"

#define VOTES_MOST 20000u
#define QUANTILES  33 /* of the delay: -4 to 4 sigma */

/* ---- hosts served over time ---- */

struct stretch {
	double from_s, to_s, before, after; /* hosts */
};
struct curve {
	struct stretch at[OUTLOOK_RINGS];
	uint32_t n;
	double total;
};

static void
draw(const struct outlook_plan *p, struct curve *c)
{
	double now = 0, served = 0;

	memset(c, 0, sizeof(*c));
	for (uint32_t i = 0; i < p->n_rings && i < OUTLOOK_RINGS; i++) {
		const struct outlook_ring *r = &p->rings[i];
		double left = p->fleet - served, hosts = r->hosts > 0 && r->hosts < left ? r->hosts : left;
		struct stretch *s = &c->at[c->n++];

		s->from_s = now;
		s->to_s = now + (r->serve_s > 0 ? r->serve_s : 0);
		s->before = served;
		s->after = served += hosts > 0 ? hosts : 0;
		now = s->to_s + (r->bake_s > 0 ? r->bake_s : 0);
	}
	c->total = served;
}

static double
served_at(const struct curve *c, double t)
{
	double served = 0;

	for (uint32_t i = 0; i < c->n && t >= c->at[i].from_s; i++) {
		const struct stretch *s = &c->at[i];

		served = t >= s->to_s ? s->after
				      : s->before + (s->after - s->before) * (t - s->from_s) / (s->to_s - s->from_s);
	}
	return served;
}

/* ---- rings ---- */

static void
key_of(struct eprocess *e, enum key_pool pool)
{
	double births = key_pool_births(pool);

	/* a typical key: the middle one of those that are born meanwhile */
	if (pool == POOL_OLD)
		eprocess_init(e, GRID_OLD, key_log_weight_known(5000));
	else
		eprocess_init(e, key_pool_grid(pool), key_log_weight(pool, births > 4 ? births / 4 : 1, births));
}

static double
tolerated(const struct outlook_plan *p, enum key_pool pool)
{
	return pool == POOL_DARK ? p->params->rho_dark : p->params->rho;
}

void
outlook_rings(const struct outlook_plan *p, struct outlook_ring_view *out)
{
	struct floors f = key_floors(p->params, SEVERITY_KERNEL);
	struct eprocess e;
	struct curve c;

	draw(p, &c);
	key_of(&e, POOL_NEW_KERNEL);
	for (uint32_t i = 0; i < c.n; i++) {
		const struct stretch *s = &c.at[i];
		double next = i + 1 < c.n ? c.at[i + 1].after - c.at[i + 1].before : 0;
		uint32_t need = eprocess_needs(&e, eprocess_chance(p->params->rho, s->after, p->fleet - s->after),
					       p->params->alpha);

		out[i] = (struct outlook_ring_view){ .from_s = s->from_s, .to_s = s->to_s, .served = s->after };
		out[i].share = p->fleet > 0 ? s->after / p->fleet : 0;
		out[i].votes_needed = need < f.hosts ? f.hosts : need;
		out[i].hazard = p->fleet < p->params->small_fleet ? 1 : proceed_hazard(s->after, 0, 0, p->params->beta);
		out[i].next_ring_max = proceed_next_ring(p->params->harm_budget, out[i].hazard);
		out[i].next_fits = next <= (double)out[i].next_ring_max;
	}
}

/* ---- a bad payload ---- */

struct arrivals {
	const struct curve *curve;
	double rate;             /* reports a served host: hazard * heard */
	double delay[QUANTILES]; /* from serving to the report */
	double share[QUANTILES];
};

static void
arrivals_of(struct arrivals *a, const struct curve *c, const struct outlook_fault *f)
{
	double all = 0;

	a->curve = c;
	a->rate = f->hazard * f->heard;
	for (int i = 0; i < QUANTILES; i++) {
		double z = (i - QUANTILES / 2) * 0.25;

		a->delay[i] = f->harm_s + f->median_s * num_exp(f->spread * z);
		all += a->share[i] = num_exp(-z * z / 2);
	}
	for (int i = 0; i < QUANTILES; i++)
		a->share[i] /= all;
}

/* Reports expected by time t. */
static double
arrived(const struct arrivals *a, double t)
{
	double sum = 0;

	for (int i = 0; i < QUANTILES; i++)
		sum += a->share[i] * served_at(a->curve, t - a->delay[i]);
	return a->rate * sum;
}

/* When n reports are expected, from `from` on; negative: never. */
static double
time_of(const struct arrivals *a, double n, double from)
{
	double end = a->curve->n > 0 ? a->curve->at[a->curve->n - 1].to_s : 0, low = from, high;

	high = end + a->delay[QUANTILES - 1];
	if (arrived(a, high) < n)
		return -1;
	for (int i = 0; i < 50 && high - low > 1e-3; i++) {
		double middle = low + (high - low) / 2;

		if (arrived(a, middle) >= n)
			high = middle;
		else
			low = middle;
	}
	return high;
}

static void
stopped(const struct curve *c, const struct outlook_fault *f, double t, struct outlook_harm *out)
{
	out->halted = true;
	out->at_s = t + f->stop_s;
	out->served = served_at(c, out->at_s);
	out->harmed = f->hazard * out->served;
	while (out->ring + 1 < c->n && c->at[out->ring + 1].from_s <= out->at_s)
		out->ring++;
}

void
outlook_harm(const struct outlook_plan *p, const struct outlook_fault *f, struct outlook_harm *out)
{
	enum key_severity severity = f->pool == POOL_DARK ? SEVERITY_DARK : SEVERITY_KERNEL;
	uint32_t floor = key_floors(p->params, severity).hosts;
	double rho = tolerated(p, f->pool), gate = -num_log(p->params->alpha_material), t = 0;
	struct arrivals a;
	struct curve c;
	struct eprocess e;

	memset(out, 0, sizeof(*out));
	draw(p, &c);
	out->served = c.total;
	out->harmed = f->hazard * c.total;
	out->ring = c.n > 0 ? c.n - 1 : 0;
	out->at_s = c.n > 0 ? c.at[c.n - 1].to_s : 0;
	out->if_first = out->harmed;
	if (c.n == 0)
		return;
	key_of(&e, f->pool);
	arrivals_of(&a, &c, f);
	for (uint32_t n = 1; n <= VOTES_MOST; n++) {
		double served, log_e;

		if ((t = time_of(&a, n, t)) < 0)
			return;
		served = served_at(&c, t);
		if (n == 1)
			out->if_first = f->hazard * served_at(&c, t + f->stop_s);
		log_e = eprocess_vote(&e, true, eprocess_chance(rho, served, p->fleet - served));
		if (served >= p->fleet)
			return; /* no host is left to compare with */
		if (n >= floor && eprocess_margin(&e, log_e, p->params->alpha) >= 0 &&
		    material_log(n, material_mu_new(p->params->delta, served)) >= gate) {
			out->votes = n;
			out->ring = 0;
			stopped(&c, f, t, out);
			return;
		}
	}
}
