/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "base/settings.h"

enum type { STRING, BOOL, COUNT, REAL, BYTES, TIME };

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

/* A decimal number, whatever the locale says of it. */
static bool
parse_real(const char *v, double *out)
{
	char *end;
	double x;

	if (strspn(v, "+-.0123456789eE") != strlen(v) || *v == '\0')
		return false;
	x = strtod(v, &end);
	if (*end != '\0' || !(x > -1e300 && x < 1e300))
		return false;
	*out = x;
	return true;
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
	case REAL:
		return "a number such as 0.5 or 1e-6";
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
	case REAL:
		ok = parse_real(value, slot);
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
settings_real_text(double x, char *buf, size_t size)
{
	char *e;

	if (x > -1e15 && x < 1e15 && x == (double)(int64_t)x) {
		snprintf(buf, size, "%" PRId64, (int64_t)x);
		return;
	}
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(buf, size, "%.*g", digits, x);
		if (strtod(buf, NULL) == x)
			break;
	}
	e = strpbrk(buf, "e");
	if (e != NULL && e[1] == '-' && e[2] == '0') /* 1e-06 */
		memmove(e + 2, e + 3, strlen(e + 3) + 1);
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
	case REAL:
		settings_real_text(*(const double *)(const void *)slot, buf, size);
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
#define SECONDS 1000ull
#define DAYS    (86400 * SECONDS)

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
	RANGE(halt_hosts_kernel, 2, 1000),
	RANGE(halt_sites_kernel, 1, 1000),
	RANGE(halt_sites_dark, 1, 1000),
	RANGE(halt_hosts_service, 2, 1000),
	RANGE(halt_sites_service, 1, 1000),
	RANGE(halt_hosts_user, 2, 1000),
	RANGE(halt_sites_user, 1, 1000),
	RANGE(halt_min_resolved, 1, 1000000),
	RANGE(halt_small_fleet, 0, 1000000),
	RANGE(halt_heartbeat, 1 * SECONDS, 1 * DAYS),
	RANGE(halt_silence_beats, 1, 100),
	RANGE(halt_silence_grace, 0, 1 * DAYS),
	RANGE(halt_dark_window, 0, 30 * DAYS),
	RANGE(halt_active, 1 * SECONDS, 30 * DAYS),
	RANGE(halt_late, 60 * SECONDS, 7 * DAYS),
	RANGE(halt_host_age, 0, 365 * DAYS),
	RANGE(halt_loop_boots, 2, 100),
	RANGE(halt_loop_window, 60 * SECONDS, 1 * DAYS),
	RANGE(halt_brake_window, 60 * SECONDS, 1 * DAYS),
	RANGE(halt_brake_sites, 1, 1000000),
	RANGE(halt_watch_pause, 1 * SECONDS, 7 * DAYS),
};

static const struct {
	const char *field;
	size_t offset;
	double from, to;
} real_ranges[] = {
	RANGE(halt_alpha, 1e-12, 0.1),
	RANGE(halt_alpha_watch, 1e-12, 0.5),
	RANGE(halt_beta, 1e-9, 0.5),
	RANGE(halt_rho, 1, 1000),
	RANGE(halt_rho_unrandomised, 1, 1000),
	RANGE(halt_rho_dark, 1, 1000),
	RANGE(halt_rho_dark_unrandomised, 1, 1000),
	RANGE(halt_delta, 0, 0.1),
	RANGE(halt_alpha_material, 1e-6, 1),
	RANGE(halt_harm_budget, 1, 1e9),
	RANGE(halt_kappa, 0.1, 1e6),
	RANGE(halt_alpha_cohortless, 1e-12, 0.1),
	RANGE(halt_alpha_cold, 1e-12, 0.5),
	RANGE(halt_brake_percent, 1e-4, 100),
};

/* Is row i of s within its range?  If not, a sentence without the name. */
static bool
in_range(const struct settings *s, size_t row, char *err, size_t err_size)
{
	const char *name = settings_rows(&(size_t){ 0 })[row].name;
	const void *slot = (const char *)s + layout[row].offset;
	struct settings bound;
	char text[2][64];

	memset(&bound, 0, sizeof(bound));
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		uint64_t v, *edge = (uint64_t *)(void *)((char *)&bound + layout[row].offset);

		if (ranges[i].offset != layout[row].offset)
			continue;
		memcpy(&v, slot, sizeof(v));
		if (v >= ranges[i].from && v <= ranges[i].to)
			return true;
		*edge = ranges[i].from;
		settings_get(&bound, name, text[0], sizeof(text[0]));
		*edge = ranges[i].to;
		settings_get(&bound, name, text[1], sizeof(text[1]));
		if (layout[row].type != TIME && ranges[i].to >= UINT32_MAX)
			snprintf(err, err_size, "must be at least %s", text[0]);
		else
			snprintf(err, err_size, "must be from %s to %s", text[0], text[1]);
		return false;
	}
	for (size_t i = 0; i < sizeof(real_ranges) / sizeof(real_ranges[0]); i++) {
		double v;

		if (real_ranges[i].offset != layout[row].offset)
			continue;
		memcpy(&v, slot, sizeof(v));
		if (v >= real_ranges[i].from && v <= real_ranges[i].to)
			return true;
		snprintf(err, err_size, "must be from %g to %g", real_ranges[i].from, real_ranges[i].to);
		return false;
	}
	return true;
}

int
settings_check(const struct settings *s, char *err, size_t err_size)
{
	size_t n;
	const struct setting_row *r = settings_rows(&n);
	char why[160];

	for (size_t i = 0; i < n; i++)
		if (!in_range(s, i, why, sizeof(why))) {
			snprintf(err, err_size, "%s %s", r[i].name, why);
			return -1;
		}
	return 0;
}

int
settings_parse(const char *name, const char *value, union setting_value *out, char *err, size_t err_size)
{
	int i = find(name);
	struct settings s;
	char why[256];

	memset(&s, 0, sizeof(s));
	if (i == -1 || layout[i].type == STRING) {
		snprintf(err, err_size, "is not known");
		return -1;
	}
	if (settings_set(&s, name, value, why, sizeof(why)) != 0) {
		snprintf(err, err_size, "must be %s", expected(layout[i].type));
		return -1;
	}
	memset(out, 0, sizeof(*out));
	memcpy(out, (char *)&s + layout[i].offset, layout[i].type == BOOL ? sizeof(bool) : sizeof(uint64_t));
	return in_range(&s, (size_t)i, err, err_size) ? 0 : -1;
}
