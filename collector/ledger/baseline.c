/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "collector/ledger/baseline.h"
#include "collector/ledger/halt_params.h"
#include "collector/ledger/numeric.h"

#define MINUTE_US    60000000
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* ---- a known signature ---- */

double
frailty_log(double n, double mu, double kappa)
{
	static const double JUMP[] = { 2, 4, 8, 16, 64 };
	double a[ARRAY_LEN(JUMP)], base = num_log(kappa + mu);

	for (size_t i = 0; i < ARRAY_LEN(JUMP); i++)
		a[i] = n * num_log(JUMP[i]) + (kappa + n) * (base - num_log(kappa + JUMP[i] * mu)) -
		       num_log((double)ARRAY_LEN(JUMP));
	return num_logsumexp(a, ARRAY_LEN(JUMP));
}

void
frailty_add(struct frailty_fit *f, const uint32_t *days, uint32_t n)
{
	double mean = 0, variance = 0;

	if (n < 2)
		return;
	for (uint32_t i = 0; i < n; i++)
		mean += days[i];
	mean /= n;
	for (uint32_t i = 0; i < n; i++)
		variance += (days[i] - mean) * (days[i] - mean);
	variance /= n - 1;
	f->mean_squared += mean * mean - variance / n; /* without what chance adds to it */
	f->excess += variance - mean;
	f->keys++;
}

double
frailty_kappa(const struct frailty_fit *f, double unlearned)
{
	double kappa;

	if (f->keys < FRAILTY_KEYS_MIN || !(f->mean_squared > 0))
		return unlearned;
	if (!(f->excess > 0))
		return 1000; /* no more variation than chance */
	kappa = f->mean_squared / f->excess;
	return kappa < 0.5 ? 0.5 : kappa > 1000 ? 1000 : kappa;
}

double
detector_step(double log_m, double n, double mu, double kappa)
{
	return (log_m > 0 ? log_m : 0) + frailty_log(n, mu, kappa);
}

/* ---- births ---- */

#define SHAPE 2.0
static const double RATE[BIRTH_RATES] = { 0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6 };
/* what a fault that matters does */
static const double FAULT[BIRTH_RATES] = { 0, 0, 0, .10, .15, .25, .25, .25 };

double
births_rate(uint32_t m)
{
	return m < BIRTH_RATES ? RATE[m] : 0;
}

void
births_cold(struct birth_prior *p)
{
	/* P(rate > x) = 0.5 / x between the components' geometric means; little is left below 0.5 */
	static const double TAIL = 0.15811388300841897; /* 0.5 / sqrt 10 */
	double above = 1, scale = 1;

	p->pi[0] = 1e-12;
	for (uint32_t m = 1; m < BIRTH_RATES; m++, scale /= 10) {
		double next = m + 1 < BIRTH_RATES ? TAIL * scale : 0;

		p->pi[m] = above - next;
		above = next;
	}
	p->pi[1] -= p->pi[0];
}

/* log of component m's likelihood, without the factors that all have in common */
static double
component(uint32_t m, double n, double exposure)
{
	double b = SHAPE / RATE[m];

	return SHAPE * num_log(b) - (SHAPE + n) * num_log(b + exposure);
}

double
births_log(double n, double exposure, const struct birth_prior *p)
{
	double fault[BIRTH_RATES], benign[BIRTH_RATES];

	for (uint32_t m = 0; m < BIRTH_RATES; m++) {
		double x = component(m, n, exposure);

		fault[m] = x + num_log(FAULT[m]);
		benign[m] = x + num_log(p->pi[m]);
	}
	return num_logsumexp(fault, BIRTH_RATES) - num_logsumexp(benign, BIRTH_RATES);
}

double
births_log_max(const struct birth_prior *p)
{
	double most = 0;

	for (uint32_t m = 0; m < BIRTH_RATES; m++)
		if (FAULT[m] > most * p->pi[m])
			most = FAULT[m] / p->pi[m];
	return num_log(most);
}

/* Bins of n: each number up to 7, then four an octave. */
static uint32_t
bin_of(double n)
{
	uint64_t x = n > 0 ? n < 1e12 ? (uint64_t)n : (uint64_t)1e12 : 0;
	uint32_t octave, bin;

	if (x < 8)
		return (uint32_t)x;
	octave = 63 - (uint32_t)__builtin_clzll(x);
	bin = 8 + (octave - 3) * 4 + (uint32_t)(x >> (octave - 2) & 3);
	return bin < BIRTH_BINS ? bin : BIRTH_BINS - 1;
}

void
births_count(struct birth_tally *t, double n, double exposure)
{
	uint32_t bin = bin_of(n);

	t->births[bin]++;
	t->votes[bin] += n;
	t->exposure[bin] += exposure;
	t->total++;
}

void
births_learn(const struct birth_tally *t, struct birth_prior *out)
{
	double like[BIRTH_BINS][BIRTH_RATES], most;
	struct birth_prior cold;

	births_cold(&cold);
	*out = cold;
	for (uint32_t i = 0; i < BIRTH_BINS; i++) {
		if (t->births[i] == 0)
			continue;
		most = -1e308;
		for (uint32_t m = 0; m < BIRTH_RATES; m++) {
			like[i][m] = component(m, t->votes[i] / t->births[i], t->exposure[i] / t->births[i]);
			most = like[i][m] > most ? like[i][m] : most;
		}
		for (uint32_t m = 0; m < BIRTH_RATES; m++)
			like[i][m] = num_exp(like[i][m] - most);
	}
	for (int round = 0; round < 200; round++) {
		double sum[BIRTH_RATES] = { 0 };

		for (uint32_t i = 0; i < BIRTH_BINS; i++) {
			double all = 0;

			if (t->births[i] == 0)
				continue;
			for (uint32_t m = 0; m < BIRTH_RATES; m++)
				all += like[i][m] * out->pi[m];
			for (uint32_t m = 0; m < BIRTH_RATES; m++)
				sum[m] += t->births[i] * (like[i][m] * out->pi[m] / all);
		}
		for (uint32_t m = 0; m < BIRTH_RATES; m++)
			out->pi[m] = (sum[m] + BIRTH_COLD_WORTH * cold.pi[m]) / ((double)t->total + BIRTH_COLD_WORTH);
	}
}

/* Minutes after birth at which start i begins. */
static int64_t
start_age(uint32_t i)
{
	return i == 0 ? 0 : (int64_t)1 << (i - 1);
}

void
birth_begin(struct newborn *b, int64_t now_us, double fleet_exposure)
{
	memset(b, 0, sizeof(*b));
	b->born_us = now_us;
	b->exposure[0] = fleet_exposure;
	b->started = 1;
}

void
birth_advance(struct newborn *b, int64_t now_us, double fleet_exposure)
{
	while (b->started < BIRTH_STARTS && now_us - b->born_us >= start_age(b->started) * MINUTE_US)
		b->exposure[b->started++] = fleet_exposure;
}

void
birth_vote(struct newborn *b)
{
	for (uint32_t i = 0; i < b->started; i++)
		b->votes[i]++;
}

double
birth_log(const struct newborn *b, double fleet_exposure, const struct birth_prior *p)
{
	double most = -1e308;

	for (uint32_t i = 0; i < b->started; i++) {
		double exposure = fleet_exposure - b->exposure[i];
		double x = births_log(b->votes[i], exposure > 1e-6 ? exposure : 1e-6, p) +
			   (i == 0 ? num_log(.5) : num_log(.5 / (BIRTH_STARTS - 1)));

		most = x > most ? x : most;
	}
	return most;
}

/* ---- emergency brake ---- */

bool
brake_pulls(const struct halt_params *p, uint32_t hosts, uint32_t sites, uint32_t active)
{
	return active > 0 && hosts >= p->hosts_kernel && sites >= p->brake_sites &&
	       hosts * 100.0 >= p->brake_percent * active;
}
