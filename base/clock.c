/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

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

int64_t
clock_wall_us(void)
{
	return read_clock(CLOCK_REALTIME);
}
int64_t
clock_boot_us(void)
{
	return read_clock(CLOCK_BOOTTIME);
}
int64_t
clock_cpu_us(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

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

/* n digits at p, or -1.  Text ends in a NUL, which is no digit. */
static int
digits(const char *p, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v;
}

/* "Z" or "+hh:mm" at p: the offset in seconds through *out. */
static int
parse_zone(const char *p, int *out)
{
	int hh, mm;

	if ((p[0] == 'Z' || p[0] == 'z') && p[1] == '\0')
		return *out = 0, 0;
	if ((p[0] != '+' && p[0] != '-') || (hh = digits(p + 1, 2)) < 0 || p[3] != ':' || (mm = digits(p + 4, 2)) < 0 ||
	    p[6] != '\0' || hh > 23 || mm > 59)
		return -1;
	*out = (hh * 3600 + mm * 60) * (p[0] == '-' ? -1 : 1);
	return 0;
}

/* Days since 1970-01-01 of a day of the Gregorian calendar, which repeats every 400 years. */
static int64_t
days_of(int year, int month, int day)
{
	const int y = year + 400 - (month <= 2), m = month + (month <= 2 ? 9 : -3); /* years begin in March */
	const int era = y / 400, of_era = y % 400;

	return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719468 -
	       146097;
}

int
clock_parse_rfc3339(const char *text, int64_t *out_us)
{
	static const char shape[] = "0000-00-00T00:00:00";
	int month, day, hour, minute, second, zone;
	int64_t us = 0, scale = 100000;
	const char *p = text;

	for (size_t i = 0; shape[i] != '\0'; i++, p++)
		if (shape[i] == '0' ? *p < '0' || *p > '9'
				    : *p != shape[i] && !(shape[i] == 'T' && (*p == 't' || *p == ' ')))
			return -1;
	month = digits(text + 5, 2);
	day = digits(text + 8, 2);
	hour = digits(text + 11, 2);
	minute = digits(text + 14, 2);
	second = digits(text + 17, 2);
	if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
		return -1;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
			us += (*p - '0') * scale;
	if (parse_zone(p, &zone) == -1)
		return -1;
	*out_us = (days_of(digits(text, 4), month, day) * 86400 + hour * 3600 + minute * 60 + second - zone) * 1000000 +
		  us;
	return 0;
}
