/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logline.h"

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static atomic_int threshold = LOGLINE_INFO;

void
logline_set_level(enum log_level level)
{
	atomic_store(&threshold, (int)level);
}

int
logline_level_by_name(const char *name)
{
	for (int i = 0; i < 4; i++)
		if (strcmp(name, level_names[i]) == 0)
			return i;
	return -1;
}

void
logline(enum log_level level, const char *area, const char *fmt, ...)
{
	char line[2048], when[CLOCK_RFC3339_SIZE];
	va_list ap;
	int n, m;

	if ((int)level > atomic_load(&threshold))
		return;
	n = snprintf(line, sizeof(line), "%s %-5s %s: ", clock_rfc3339(clock_wall_us(), when), level_names[level],
		     area);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n += m;
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	/* Text from the network may carry line ends; a log line is one line. */
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) == -1)
		return; /* nowhere left to complain */
}
