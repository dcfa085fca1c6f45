/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "base/settings.h"

enum type { STRING, BOOL, COUNT, BYTES, TIME };

static const struct {
	enum type type;
	size_t offset;
} layout[] = {
#define SETTING(field, type, def, reload, section, help) { type, offsetof(struct settings, field) },
#include "base/settings.def"
#undef SETTING
};

static const char *const names[] = {
#define SETTING(field, type, def, reload, section, help) #field,
#include "base/settings.def"
#undef SETTING
};

#define N_SETTINGS   (sizeof(layout) / sizeof(layout[0]))
#define NAME_MAX_LEN 48

static char dashed[N_SETTINGS][NAME_MAX_LEN];

static struct setting_row rows[] = {
#define SETTING(field, type, def, reload, section, help) { NULL, #type, def, section, help, reload },
#include "base/settings.def"
#undef SETTING
};

const struct setting_row *
settings_rows(size_t *n_out)
{
	for (size_t i = 0; i < N_SETTINGS && rows[i].name == NULL; i++) {
		for (size_t j = 0; names[i][j] != '\0' && j < NAME_MAX_LEN - 1; j++)
			dashed[i][j] = names[i][j] == '_' ? '-' : names[i][j];
		rows[i].name = dashed[i];
	}
	*n_out = N_SETTINGS;
	return rows;
}

static int
find(const char *name)
{
	size_t n;
	const struct setting_row *r = settings_rows(&n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(r[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* ---- text to value ---- */

static bool
parse_bool(const char *v, bool *out)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off", "0" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (strcmp(v, yes[i]) == 0)
			return *out = true, true;
		if (strcmp(v, no[i]) == 0)
			return *out = false, true;
	}
	return false;
}

struct unit {
	const char *suffix;
	uint64_t factor;
};
static const struct unit byte_units[] = { { "T", 1ull << 40 }, { "G", 1ull << 30 }, { "M", 1ull << 20 },
					  { "K", 1ull << 10 }, { "", 1 },           { NULL, 0 } };
static const struct unit time_units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 },
					  { "s", 1000 },     { "ms", 1 },      { NULL, 0 } };
static const struct unit count_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *
units_of(enum type t)
{
	return t == BYTES ? byte_units : t == TIME ? time_units : count_units;
}

static bool
parse_number(const char *v, const struct unit *units, uint64_t *out)
{
	uint64_t n = 0;

	if (!isdigit((unsigned char)*v))
		return false;
	for (; isdigit((unsigned char)*v); v++) {
		if (n > (UINT64_MAX - 9) / 10)
			return false;
		n = n * 10 + (uint64_t)(*v - '0');
	}
	for (; units->suffix != NULL; units++)
		if (strcmp(v, units->suffix) == 0) {
			if (n > UINT64_MAX / units->factor)
				return false;
			*out = n * units->factor;
			return true;
		}
	return false;
}

static int
set_string(const char **slot, const char *value)
{
	char *copy = strdup(value);

	if (copy == NULL)
		return -1;
	free((void *)(uintptr_t)*slot);
	*slot = copy;
	return 0;
}

static const char *
expected(enum type t)
{
	switch (t) {
	case BOOL:
		return "yes or no";
	case BYTES:
		return "a size such as 512K, 64M or 20G";
	case TIME:
		return "a time such as 500ms, 15s, 30m or 7d";
	case COUNT:
		return "a whole number";
	case STRING:
		break;
	}
	return "a text";
}

int
settings_set(struct settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	int i = find(name);
	void *slot;
	bool ok = false;

	if (i == -1) {
		snprintf(err, err_size, "unknown setting \"%s\"; --help lists them", name);
		return -1;
	}
	slot = (char *)s + layout[i].offset;
	switch (layout[i].type) {
	case STRING:
		ok = set_string(slot, value) == 0;
		break;
	case BOOL:
		ok = parse_bool(value, slot);
		break;
	case COUNT:
	case BYTES:
	case TIME:
		ok = parse_number(value, units_of(layout[i].type), slot);
		break;
	}
	if (!ok)
		snprintf(err, err_size, "%s: \"%s\" is not %s", name, value, expected(layout[i].type));
	return ok ? 0 : -1;
}

void
settings_get(const struct settings *s, const char *name, char *buf, size_t size)
{
	int i = find(name);
	const char *slot;
	const struct unit *u;
	uint64_t v;

	buf[0] = '\0';
	if (i == -1)
		return;
	slot = (const char *)s + layout[i].offset;
	switch (layout[i].type) {
	case STRING:
		snprintf(buf, size, "%s", *(const char *const *)(const void *)slot);
		return;
	case BOOL:
		snprintf(buf, size, "%s", *(const bool *)slot ? "yes" : "no");
		return;
	case COUNT:
	case BYTES:
	case TIME:
		break;
	}
	v = *(const uint64_t *)(const void *)slot;
	u = units_of(layout[i].type);
	while (u[1].suffix != NULL && (v < u->factor || v % u->factor != 0))
		u++;
	snprintf(buf, size, "%" PRIu64 "%s", v / u->factor, u->suffix);
}

/* ---- lifetime ---- */

int
settings_init(struct settings *s)
{
	size_t n;
	const struct setting_row *r = settings_rows(&n);
	char err[256];

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < n; i++)
		if (settings_set(s, r[i].name, r[i].preset, err, sizeof(err)) == -1)
			return -1;
	return 0;
}

void
settings_fini(struct settings *s)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (layout[i].type == STRING)
			free(*(void **)(void *)((char *)s + layout[i].offset));
	memset(s, 0, sizeof(*s));
}

int
settings_copy(struct settings *dst, const struct settings *src)
{
	size_t n;
	const struct setting_row *r = settings_rows(&n);
	char text[4096], err[256];

	for (size_t i = 0; i < n; i++) {
		settings_get(src, r[i].name, text, sizeof(text));
		if (settings_set(dst, r[i].name, text, err, sizeof(err)) == -1)
			return -1;
	}
	return 0;
}

/* ---- sources ---- */

struct ini_ctx {
	struct settings *s;
	char *err;
	size_t err_size;
};

static int
on_ini(void *arg, const char *section, const char *name, const char *value)
{
	struct ini_ctx *c = arg;

	(void)section;
	return settings_set(c->s, name, value, c->err, c->err_size) == 0;
}

int
settings_read_file(struct settings *s, const char *path, char *err, size_t err_size)
{
	char why[256] = "";
	struct ini_ctx c = { s, why, sizeof(why) };
	int line = ini_parse(path, on_ini, &c);

	if (line == 0)
		return 0;
	if (line < 0)
		snprintf(err, err_size, "cannot read configuration file %s", path);
	else
		snprintf(err, err_size, "%s:%d: %s", path, line, why[0] ? why : "not a \"key = value\" line");
	return -1;
}

static const char *
config_argument(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			return argv[i + 1];
		if (strncmp(argv[i], "--config=", 9) == 0)
			return argv[i] + 9;
	}
	return NULL;
}

/* Apply one flag; *i moves over a separate value. */
static int
apply_flag(struct settings *s, int argc, char **argv, int *i, char *err, size_t err_size)
{
	char name[NAME_MAX_LEN];
	const char *arg = argv[*i] + 2, *eq = strchr(arg, '='), *value;
	size_t len = eq ? (size_t)(eq - arg) : strlen(arg);
	int row;

	if (len >= sizeof(name)) {
		snprintf(err, err_size, "unknown option %.60s", argv[*i]);
		return -1;
	}
	memcpy(name, arg, len);
	name[len] = '\0';
	if (eq == NULL && strncmp(name, "no-", 3) == 0 && (row = find(name + 3)) != -1 && layout[row].type == BOOL)
		return settings_set(s, name + 3, "no", err, err_size);
	row = find(name);
	if (row == -1) {
		snprintf(err, err_size, "unknown option --%s; --help lists the options", name);
		return -1;
	}
	if (eq != NULL)
		value = eq + 1;
	else if (layout[row].type == BOOL)
		value = "yes";
	else if (*i + 1 < argc)
		value = argv[++*i];
	else {
		snprintf(err, err_size, "option --%s needs a value", name);
		return -1;
	}
	return settings_set(s, name, value, err, err_size);
}

int
settings_read_args(struct settings *s, int argc, char **argv, int *action_out, char *err, size_t err_size)
{
	const char *config = config_argument(argc, argv);
	int i;

	*action_out = 0;
	if (config != NULL && settings_read_file(s, config, err, err_size) == -1)
		return -1;
	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		if (strcmp(argv[i], "--") == 0)
			return i + 1;
		if (strcmp(argv[i], "--help") == 0)
			*action_out = 'h';
		else if (strcmp(argv[i], "--version") == 0)
			*action_out = 'V';
		else if (strcmp(argv[i], "--config") == 0) {
			if (++i >= argc) {
				snprintf(err, err_size, "option --config needs a file");
				return -1;
			}
		} else if (strncmp(argv[i], "--config=", 9) != 0 && apply_flag(s, argc, argv, &i, err, err_size) == -1)
			return -1;
	}
	return i;
}

/* ---- ranges ---- */

#define RANGE(field, from, to)                                     \
	{                                                          \
#field, offsetof(struct settings, field), from, to \
	}

static const struct {
	const char *field;
	size_t offset;
	uint64_t from, to;
} ranges[] = {
	RANGE(gate_threads, 1, 64),
	RANGE(max_connections, 1, UINT32_MAX),
	RANGE(max_header, 1024, 1u << 20),
	RANGE(max_body, 1024, 1u << 30),
	RANGE(max_dump, 1, 1ull << 40),
	RANGE(max_dump_expanded, 1, 1ull << 40),
	RANGE(max_frame, 1024, 64u << 20),
	RANGE(segment_bytes, 1u << 20, 1u << 30),
	RANGE(log_bytes, 2u << 20, UINT64_MAX),
	RANGE(tick, 10, 60000),
	RANGE(snapshot_interval, 10, 86400000),
	RANGE(batch_rows, 1, 10000000),
	RANGE(report_days, 1, 36500),
	RANGE(workers, 1, 1024),
	RANGE(worker_timeout, 10, 86400000),
	RANGE(worker_memory, 16u << 20, 1ull << 40),
};

int
settings_check(const struct settings *s, char *err, size_t err_size)
{
	char text[2][64], name[NAME_MAX_LEN];
	struct settings bound;

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		const uint64_t v = *(const uint64_t *)(const void *)((const char *)s + ranges[i].offset);

		if (v >= ranges[i].from && v <= ranges[i].to)
			continue;
		snprintf(name, sizeof(name), "%s", ranges[i].field);
		for (char *p = name; *p != '\0'; p++)
			if (*p == '_')
				*p = '-';
		memset(&bound, 0, sizeof(bound));
		*(uint64_t *)(void *)((char *)&bound + ranges[i].offset) = ranges[i].from;
		settings_get(&bound, name, text[0], sizeof(text[0]));
		*(uint64_t *)(void *)((char *)&bound + ranges[i].offset) = ranges[i].to;
		settings_get(&bound, name, text[1], sizeof(text[1]));
		if (ranges[i].to >= UINT32_MAX)
			snprintf(err, err_size, "%s must be at least %s", name, text[0]);
		else
			snprintf(err, err_size, "%s must be from %s to %s", name, text[0], text[1]);
		return -1;
	}
	return 0;
}
