/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_HALT_ORACLE_H
#define TESTS_UNIT_HALT_ORACLE_H

/* The first implementation of the engine's mathematics, straight from the formulas and with
 * libm: what the ledger's own is compared with.  Only tests and benchmarks use it. */

#define ORACLE_RATIOS 8
struct oracle_grid {
	int k;
	double lth[ORACLE_RATIOS], th[ORACLE_RATIOS], lw[ORACLE_RATIOS];
};
struct oracle_ev {
	double lf[ORACLE_RATIOS];
	double peak;
};

void oracle_grid(struct oracle_grid *g, int which); /* 0 NEW, 1 OLD, 2 DARK */
double oracle_lse(const double *a, int n);
double oracle_q(double y1, double y0, double rho);
double oracle_update(struct oracle_ev *e, const struct oracle_grid *g, unsigned d1, unsigned d0, double q);
double oracle_beta(double n1, double n0, double sumlogq, double a, double b);
double oracle_nb(double n, double A, int m, const double *rate, const double *pi, const double *psi, double a);
double oracle_material(double k, double mu);
double oracle_proceed(double n, double k, double h);
double oracle_weight(double pool, double j, double J);

#endif
