/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* The only callers of clock_gettime().  Any thread. */
int64_t clock_wall_us(void); /* microseconds since 1970 UTC; may jump */
int64_t clock_boot_us(void); /* microseconds since boot, sleep included; never back */
int64_t clock_cpu_us(void);  /* CPU time of the calling thread */

/* RFC 3339 UTC with milliseconds, "2024-07-19T04:09:00.000Z"; buf of >= 25 bytes. */
#define CLOCK_RFC3339_SIZE 25
char *clock_rfc3339(int64_t wall_us, char buf[CLOCK_RFC3339_SIZE]);

/* Parse RFC 3339 with 'Z' or an offset, fraction optional.  0, or -1 and *out untouched. */
int clock_parse_rfc3339(const char *text, int64_t *out_us);

#endif
