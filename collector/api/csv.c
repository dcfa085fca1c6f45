/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "collector/api/csv.h"

/* j->comma says whether a cell of this row precedes. */
static void
next_cell(struct jsonout *j)
{
	if (j->comma)
		jsonout_raw(j, ",", 1);
	j->comma = true;
}

/* The code point of a sequence that is well-formed. */
static uint32_t
code_point(const unsigned char *p, size_t n)
{
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3fu);
	return c;
}

static void
character(struct jsonout *j, const char *p, size_t n, bool harmless)
{
	char shown[16];

	if (harmless && *p == '"')
		jsonout_raw(j, "\"\"", 2);
	else if (harmless)
		jsonout_raw(j, p, n);
	else if (text_utf8_sequence(p, n) == n)
		jsonout_raw(j, shown,
			    (size_t)snprintf(shown, sizeof(shown), "U+%04" PRIX32,
					     code_point((const unsigned char *)p, n)));
	else
		jsonout_raw(j, "\xef\xbf\xbd", 3);
}

void
csv_text(struct jsonout *j, struct text t)
{
	next_cell(j);
	if (t.len == 0)
		return;
	jsonout_raw(j, "\"", 1);
	if (strchr("=+-@\t\r\n", t.at[0]) != NULL)
		jsonout_raw(j, "'", 1);
	for (size_t i = 0, n; i < t.len; i += n) {
		bool harmless;

		n = text_character(t.at + i, t.len - i, &harmless);
		character(j, t.at + i, n, harmless);
	}
	jsonout_raw(j, "\"", 1);
}

void
csv_u64(struct jsonout *j, uint64_t n)
{
	char buf[24];

	next_cell(j);
	jsonout_raw(j, buf, (size_t)snprintf(buf, sizeof(buf), "%" PRIu64, n));
}

void
csv_time(struct jsonout *j, int64_t wall_us)
{
	char buf[CLOCK_RFC3339_SIZE];

	next_cell(j);
	if (wall_us == 0)
		return;
	clock_rfc3339(wall_us, buf);
	jsonout_raw(j, buf, strlen(buf));
}

void
csv_end(struct jsonout *j)
{
	jsonout_raw(j, "\r\n", 2);
	j->comma = false;
}
