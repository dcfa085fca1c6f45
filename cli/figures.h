/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FIGURES_H
#define CLI_FIGURES_H

#include <stddef.h>
#include <stdint.h>

/* Numbers and ages as every screen of Faultline words them. */
#define FIGURE_SIZE 32

/* "987,412"; from a million on "1.2 M".  Returns buf. */
char *figure_count(long long n, char buf[FIGURE_SIZE]);
/* "12 s", "5 min", "3 h", "2 d" from an RFC 3339 time to now; "–" when it is none. */
char *figure_age(const char *time, int64_t now_us, char buf[FIGURE_SIZE]);

#endif
