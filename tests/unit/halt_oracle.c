/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <math.h>
#include <string.h>

#include "tests/unit/halt_oracle.h"

void
oracle_grid(struct oracle_grid *g, int which)
{
	static const double th[3][ORACLE_RATIOS] = { { 10, 100, 1e3, 1e4, 1e6 },
						     { 2, 4, 8, 16, 64, 256, 1e4 },
						     { 1.5, 2, 4, 8, 16, 64, 256, 1024 } };
	static const double new_w[5] = { .1, .15, .2, .25, .3 };
	static const int k[3] = { 5, 7, 8 };

	memset(g, 0, sizeof(*g));
	g->k = k[which];
	for (int i = 0; i < g->k; i++) {
		g->th[i] = th[which][i];
		g->lth[i] = log(th[which][i]);
		g->lw[i] = log(which == 0 ? new_w[i] : 1. / g->k);
	}
}

double
oracle_lse(const double *a, int n)
{
	double m = a[0], s = 0;

	for (int i = 1; i < n; i++)
		if (a[i] > m)
			m = a[i];
	if (m == -INFINITY)
		return m;
	for (int i = 0; i < n; i++)
		s += exp(a[i] - m);
	return m + log(s);
}

double
oracle_q(double y1, double y0, double rho)
{
	if (y1 <= 0)
		return 0;
	if (y0 <= 0)
		return 1;
	return rho * y1 / (rho * y1 + y0);
}

double
oracle_update(struct oracle_ev *e, const struct oracle_grid *g, unsigned d1, unsigned d0, double q)
{
	double t[ORACLE_RATIOS], L;

	if (q > 0 && q < 1)
		for (int i = 0; i < g->k; i++)
			e->lf[i] += d1 * g->lth[i] - (d1 + d0) * log1p((g->th[i] - 1) * q);
	for (int i = 0; i < g->k; i++)
		t[i] = e->lf[i] + g->lw[i];
	L = oracle_lse(t, g->k);
	if (L > e->peak)
		e->peak = L;
	return L;
}

double
oracle_beta(double n1, double n0, double sumlogq, double a, double b)
{
	return lgamma(a + n1) + lgamma(b + n0) - lgamma(a + b + n1 + n0) - (lgamma(a) + lgamma(b) - lgamma(a + b)) -
	       sumlogq;
}

double
oracle_nb(double n, double A, int m, const double *rate, const double *pi, const double *psi, double a)
{
	double x[16], y[16];

	for (int i = 0; i < m; i++) {
		double b = a / rate[i], L = lgamma(a + n) - lgamma(a) + a * log(b) - (a + n) * log(b + A);

		x[i] = L + log(psi[i]);
		y[i] = L + log(pi[i]);
	}
	return oracle_lse(x, m) - oracle_lse(y, m);
}

double
oracle_material(double k, double mu)
{
	static const double th[6] = { 2, 4, 10, 100, 1e3, 1e4 };
	double t[6];

	for (int i = 0; i < 6; i++)
		t[i] = k * log(th[i]) - (th[i] - 1) * mu - log(6);
	return oracle_lse(t, 6);
}

double
oracle_proceed(double n, double k, double h)
{
	static const double f[5] = { 0, .05, .1, .25, .5 };
	double t[5];
	int c = 0;

	for (int i = 0; i < 5; i++) {
		double p = f[i] * h;

		if (p == 0 && k > 0)
			continue;
		t[c++] = (k > 0 ? k * log(p / h) : 0) + (n - k) * (log1p(-p) - log1p(-h)) - log(5);
	}
	return oracle_lse(t, c);
}

double
oracle_weight(double pool, double j, double J)
{
	return log(pool) + log(J) - log(j + J - 1) - log(j + J);
}
