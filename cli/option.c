/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/option.h"

bool
option_u64(const char *text, uint64_t *out)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 0);
	if (end == text || *end != '\0' || errno != 0 || text[0] == '-')
		return false;
	*out = v;
	return true;
}

bool
option_unsigned(const char *text, unsigned min, unsigned max, unsigned *out)
{
	uint64_t v;

	if (!option_u64(text, &v) || v < min || v > max)
		return false;
	*out = (unsigned)v;
	return true;
}

bool
option_double(const char *text, double min, double max, double *out)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || !(v >= min && v <= max))
		return false;
	*out = v;
	return true;
}

int
option_token(const char *path, char *out, size_t size, char *err, size_t err_size)
{
	char line[2048];
	FILE *f;

	out[0] = '\0';
	if (path == NULL)
		path = getenv("FAULTLINE_TOKEN_FILE");
	if (path == NULL || path[0] == '\0')
		return 0;
	if ((f = fopen(path, "re")) == NULL) {
		snprintf(err, err_size, "cannot read token file %s: %s", path, strerror(errno));
		return -1;
	}
	while (out[0] == '\0' && fgets(line, sizeof(line), f) != NULL) {
		size_t start = strspn(line, " \t"), n = strcspn(line + start, " \t#\r\n");

		if (n > 0 && n < size)
			snprintf(out, size, "%.*s", (int)n, line + start);
	}
	fclose(f);
	if (out[0] != '\0')
		return 0;
	snprintf(err, err_size, "token file %s holds no token", path);
	return -1;
}
