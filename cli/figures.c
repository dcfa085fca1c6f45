/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/figures.h"

char *
figure_count(long long n, char buf[FIGURE_SIZE])
{
	const char *sign = n < 0 ? "-" : "";
	unsigned long long v = n < 0 ? 0ull - (unsigned long long)n : (unsigned long long)n;

	if (v >= 1000000000)
		snprintf(buf, FIGURE_SIZE, "%s%.1f G", sign, (double)v / 1e9);
	else if (v >= 1000000)
		snprintf(buf, FIGURE_SIZE, "%s%.1f M", sign, (double)v / 1e6);
	else if (v >= 1000)
		snprintf(buf, FIGURE_SIZE, "%s%llu,%03llu", sign, v / 1000, v % 1000);
	else
		snprintf(buf, FIGURE_SIZE, "%s%llu", sign, v);
	return buf;
}

char *
figure_age(const char *time, int64_t now_us, char buf[FIGURE_SIZE])
{
	int64_t then_us;
	long long s;

	if (clock_parse_rfc3339(time, &then_us) != 0) {
		snprintf(buf, FIGURE_SIZE, "–");
		return buf;
	}
	s = now_us > then_us ? (long long)(now_us - then_us) / 1000000 : 0;
	if (s < 60)
		snprintf(buf, FIGURE_SIZE, "%lld s", s);
	else if (s < 3600)
		snprintf(buf, FIGURE_SIZE, "%lld min", s / 60);
	else if (s < 86400)
		snprintf(buf, FIGURE_SIZE, "%lld h", s / 3600);
	else
		snprintf(buf, FIGURE_SIZE, "%lld d", s / 86400);
	return buf;
}
