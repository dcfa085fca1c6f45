/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static int64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_us(void) { return read_clock(CLOCK_REALTIME); }
int64_t clock_boot_us(void) { return read_clock(CLOCK_BOOTTIME); }
int64_t clock_cpu_us(void)  { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

char *
clock_rfc3339(int64_t wall_us, char buf[CLOCK_RFC3339_SIZE])
{
	int64_t ms = wall_us / 1000 - (wall_us % 1000 < 0);
	time_t sec = (time_t)(ms / 1000 - (ms % 1000 < 0));
	struct tm tm;

	if (gmtime_r(&sec, &tm) == NULL || tm.tm_year + 1900 < 0 || tm.tm_year + 1900 > 9999) {
		memcpy(buf, "0000-01-01T00:00:00.000Z", CLOCK_RFC3339_SIZE);
		return buf;
	}
	strftime(buf, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	buf[19] = '.';
	buf[20] = (char)('0' + (ms - (int64_t)sec * 1000) / 100);
	buf[21] = (char)('0' + (ms - (int64_t)sec * 1000) / 10 % 10);
	buf[22] = (char)('0' + (ms - (int64_t)sec * 1000) % 10);
	buf[23] = 'Z';
	buf[24] = '\0';
	return buf;
}

/* "Z" or "+hh:mm" at p: the offset in seconds through *out. */
static int
parse_zone(const char *p, int *out)
{
	unsigned hh, mm;
	int used = 0;

	if ((p[0] == 'Z' || p[0] == 'z') && p[1] == '\0')
		return *out = 0, 0;
	if ((p[0] != '+' && p[0] != '-') || sscanf(p + 1, "%2u:%2u%n", &hh, &mm, &used) != 2 || used != 5 ||
	    p[6] != '\0' || hh > 23 || mm > 59)
		return -1;
	*out = (int)(hh * 3600 + mm * 60) * (p[0] == '-' ? -1 : 1);
	return 0;
}

int
clock_parse_rfc3339(const char *text, int64_t *out_us)
{
	struct tm tm = { 0 };
	int64_t us = 0, scale = 100000;
	const char *p;
	int zone, used = 0;

	if (strlen(text) < 20 ||
	    sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
		   &tm.tm_min, &tm.tm_sec, &used) != 6 || used != 19)
		return -1;
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 ||
	    tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return -1;
	p = text + used;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
			us += (*p - '0') * scale;
	if (parse_zone(p, &zone) == -1)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*out_us = ((int64_t)timegm(&tm) - zone) * 1000000 + us;
	return 0;
}
