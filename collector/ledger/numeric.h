/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_NUMERIC_H
#define COLLECTOR_LEDGER_NUMERIC_H

#include <stddef.h>

/* Logarithms and exponentials whose bits are the same wherever the log is folded.
 *
 * A verdict must come out the same bit for bit on another machine, years later, so nothing
 * in the ledger calls libm: these use IEEE + - * / alone, in the order written (the tree is
 * compiled with -ffp-contract=off), and tables written out in hexadecimal.  Within 1e-12 of
 * the true value, relative; most are within 4 ulp.  Pure, any thread. */

double num_exp(double x);    /* 0 below -745, infinity above 709.78 */
double num_expm1(double x);  /* e^x - 1, exact near 0 */
double num_log(double x);    /* -infinity at 0; NaN below */
double num_log1p(double x);  /* log(1 + x), exact near 0; -infinity at -1, NaN below */
double num_lgamma(double x); /* log of the gamma function, x > 0 only: NaN at and below 0 */

/* log(sum of e^a[i]); -infinity for n == 0 or when all are. */
double num_logsumexp(const double *a, size_t n);

#endif
