/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <float.h>
#include <stdint.h>
#include <string.h>

#include "collector/ledger/numeric.h"

#if defined(__FAST_MATH__) || FLT_EVAL_METHOD != 0
#error "the ledger needs IEEE double arithmetic: no -ffast-math, no x87"
#endif

#define INFINITE (__builtin_inf())
#define NO_VALUE (__builtin_nan(""))
#define LN2_HIGH 0x1.62e42fep-1 /* 29 bits: times an exponent it is exact */
#define LN2_LOW  0x1.f473de6af278fp-30

static uint64_t
bits_of(double x)
{
	uint64_t b;

	memcpy(&b, &x, sizeof(b));
	return b;
}

static double
of_bits(uint64_t b)
{
	double x;

	memcpy(&x, &b, sizeof(x));
	return x;
}

/* 2^k for k from -1022 to 1023 */
static double
power_of_two(int k)
{
	return of_bits((uint64_t)(k + 1023) << 52);
}

/* ---- exp ---- */

/* 2^(j/32) */
static const double ROOTS[32] = {
	0x1.0000000000000p+0, 0x1.059b0d3158574p+0, 0x1.0b5586cf9890fp+0, 0x1.11301d0125b51p+0, 0x1.172b83c7d517bp+0,
	0x1.1d4873168b9aap+0, 0x1.2387a6e756238p+0, 0x1.29e9df51fdee1p+0, 0x1.306fe0a31b715p+0, 0x1.371a7373aa9cbp+0,
	0x1.3dea64c123422p+0, 0x1.44e086061892dp+0, 0x1.4bfdad5362a27p+0, 0x1.5342b569d4f82p+0, 0x1.5ab07dd485429p+0,
	0x1.6247eb03a5585p+0, 0x1.6a09e667f3bcdp+0, 0x1.71f75e8ec5f74p+0, 0x1.7a11473eb0187p+0, 0x1.82589994cce13p+0,
	0x1.8ace5422aa0dbp+0, 0x1.93737b0cdc5e5p+0, 0x1.9c49182a3f090p+0, 0x1.a5503b23e255dp+0, 0x1.ae89f995ad3adp+0,
	0x1.b7f76f2fb5e47p+0, 0x1.c199bdd85529cp+0, 0x1.cb720dcef9069p+0, 0x1.d5818dcfba487p+0, 0x1.dfc97337b9b5fp+0,
	0x1.ea4afa2a490dap+0, 0x1.f50765b6e4540p+0,
};

double
num_exp(double x)
{
	double r, tail;
	int n, k;

	if (!(x > -745.2))
		return x != x ? x : 0;
	if (x > 709.79)
		return INFINITE;
	/* x = n/32 log 2 + r, |r| <= 0.011 */
	n = (int)(x * 0x1.71547652b82fep+5 + (x < 0 ? -0.5 : 0.5));
	r = x - n * (LN2_HIGH / 32) - n * (LN2_LOW / 32);
	tail = (0.5 + r * (1.0 / 6)) + r * r * ((1.0 / 24 + r * (1.0 / 120)) + r * r * (1.0 / 720));
	tail = r + r * r * tail;
	tail = ROOTS[n & 31] + ROOTS[n & 31] * tail;
	k = (n - (n & 31)) / 32;
	if (k < -1021)
		return tail * power_of_two(k + 100) * power_of_two(-100);
	if (k > 1023)
		return tail * power_of_two(k - 1) * 2;
	return tail * power_of_two(k);
}

double
num_expm1(double x)
{
	double sum = 0;

	if (x < -0.35 || x > 0.35 || x != x)
		return num_exp(x) - 1;
	for (int i = 14; i >= 2; i--) /* x (1 + x/2 (1 + x/3 (...))) */
		sum = (1 + sum) * x / i;
	return x + x * sum;
}

/* ---- log ---- */

/* 2 atanh(s) for |s| <= 0.1716 */
static double
twice_atanh(double s)
{
	double z = s * s, z2 = z * z, z4 = z2 * z2, sum;

	sum = ((1.0 / 3 + z * (1.0 / 5)) + z2 * (1.0 / 7 + z * (1.0 / 9))) +
	      z4 * (((1.0 / 11 + z * (1.0 / 13)) + z2 * (1.0 / 15 + z * (1.0 / 17))) +
		    z4 * (1.0 / 19 + z * (1.0 / 21)));
	return 2 * s + 2 * s * (z * sum);
}

double
num_log(double x)
{
	uint64_t b;
	int k = 0;
	double m;

	if (!(x > 0))
		return x == 0 ? -INFINITE : NO_VALUE;
	if (x > DBL_MAX)
		return x;
	if (x < DBL_MIN) {
		x *= 0x1p54;
		k = -54;
	}
	b = bits_of(x);
	k += (int)(b >> 52) - 1023;
	m = of_bits((b & 0xfffffffffffff) | 0x3ff0000000000000);
	if (m > 0x1.6a09e667f3bcdp+0) { /* from 1/sqrt 2 to sqrt 2, so that it is exact around 1 */
		m *= 0.5;
		k++;
	}
	return k * LN2_HIGH + (twice_atanh((m - 1) / (m + 1)) + k * LN2_LOW);
}

double
num_log1p(double x)
{
	double u;

	if (x > -0.29 && x < 0.41)
		return twice_atanh(x / (2 + x));
	if (!(x > -1))
		return x == -1 ? -INFINITE : NO_VALUE;
	u = 1 + x;
	return u > 0x1p60 ? num_log(u) : num_log(u) + (x - (u - 1)) / u; /* what 1 + x rounded away */
}

/* ---- lgamma ---- */

#define ONE_LESS_GAMMA  0x1.b0ee6072093cep-2 /* 1 - Euler's constant */
#define HALF_LOG_TWO_PI 0x1.d67f1c864beb5p-1

/* zeta(k) - 1, k = 2 ... */
static const double ZETA[] = {
	0x1.4a34cc4a60fa6p-1,  0x1.9dd002780310ap-3,  0x1.51322ac7d8483p-4,  0x1.2e831d94f99b7p-5,
	0x1.1c26130249124p-6,  0x1.1196d0a679c47p-7,  0x1.0b36af86396e9p-8,  0x1.073e7b02d6ae0p-9,
	0x1.04b8ce96ee5f8p-10, 0x1.0318df2459954p-11, 0x1.020a5b2cd3042p-12, 0x1.01593a1177bd6p-13,
	0x1.00e4af2b4e156p-14, 0x1.0097bcbf11bedp-15, 0x1.0064cdeb22f0fp-16, 0x1.0043073686681p-17,
	0x1.002c9953744ccp-18, 0x1.001db08f9ba4ap-19, 0x1.0013c594466eap-20, 0x1.000d2bab28121p-21,
	0x1.0008c66cec77dp-22, 0x1.0005d8f13858cp-23, 0x1.0003e59ffde12p-24, 0x1.000298ea55633p-25,
};

/* lgamma(2 + z), |z| <= 1/2: exact around its zero */
static double
lgamma_at_two(double z)
{
	double sum = 0;

	for (int k = (int)(sizeof(ZETA) / sizeof(ZETA[0])) + 1; k >= 2; k--)
		sum = (k % 2 == 0 ? ZETA[k - 2] : -ZETA[k - 2]) / k + sum * z;
	return z * (ONE_LESS_GAMMA + z * sum);
}

double
num_lgamma(double x)
{
	double rest = 1, z, series;

	if (!(x > 0))
		return NO_VALUE;
	if (x > DBL_MAX)
		return x;
	if (x < 0.5)
		return lgamma_at_two(x) - num_log1p(x) - num_log(x);
	if (x < 1.5)
		return lgamma_at_two(x - 1) - num_log1p(x - 1);
	if (x <= 2.5)
		return lgamma_at_two(x - 2);
	for (; x < 12; x += 1) /* Stirling is for large ones */
		rest *= x;
	z = 1 / (x * x);
	series = 1.0 / 12 -
		 z * (1.0 / 360 -
		      z * (1.0 / 1260 - z * (1.0 / 1680 - z * (1.0 / 1188 - z * (691.0 / 360360 - z / 156)))));
	return (x - 0.5) * num_log(x) - x + HALF_LOG_TWO_PI + series / x - num_log(rest);
}

/* ---- sums ---- */

double
num_logsumexp(const double *a, size_t n)
{
	double most = -INFINITE, sum = 0;

	for (size_t i = 0; i < n; i++)
		if (a[i] > most)
			most = a[i];
	if (!(most > -INFINITE) || most > DBL_MAX)
		return most;
	for (size_t i = 0; i < n; i++)
		if (a[i] - most > -40) /* below, it is less than half a unit in the last place of the sum */
			sum += a[i] == most ? 1 : num_exp(a[i] - most);
	return most + num_log(sum);
}
