/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The settings of faultlined, generated from settings.def.
 *
 * A struct settings owns its strings.  Sizes are bytes, times milliseconds.
 * Readers on other threads hold a const copy; nobody writes a published one. */

#define SETTINGS_TYPE_STRING const char *
#define SETTINGS_TYPE_BOOL   bool
#define SETTINGS_TYPE_COUNT  uint64_t
#define SETTINGS_TYPE_REAL   double
#define SETTINGS_TYPE_BYTES  uint64_t
#define SETTINGS_TYPE_TIME   uint64_t

struct settings {
#define SETTING(field, type, def, reload, section, help) SETTINGS_TYPE_##type field;
#include "base/settings.def"
#undef SETTING
};

/* One row of the table, for --help, docs and the Settings record. */
struct setting_row {
	const char *name;   /* as flag and ini key, with dashes */
	const char *type;   /* "STRING", "BOOL", ... */
	const char *preset; /* default, as text */
	const char *section;
	const char *help;
	bool reload;
};
const struct setting_row *settings_rows(size_t *n_out);

/* Defaults.  Returns -1 when out of memory. */
int settings_init(struct settings *s);
void settings_fini(struct settings *s);

/* Set one value from text.  On failure s is unchanged and err holds a sentence
 * naming the setting and what was expected. */
int settings_set(struct settings *s, const char *name, const char *value, char *err, size_t err_size);

/* A value of that setting alone, checked like settings_set() and settings_check() do: what is
 * wrong is a sentence without the name ("must be from 1 to 64").  -1 for a STRING too. */
union setting_value {
	bool flag;
	uint64_t number; /* COUNT, BYTES, TIME (ms) */
	double real;
};
int settings_parse(const char *name, const char *value, union setting_value *out, char *err, size_t err_size);

/* The shortest text that reads as the same number: "0.001", "1e-6". */
void settings_real_text(double x, char *buf, size_t size);

/* The value as canonical text ("20G", "15s", "1e-6", "yes"), into buf. */
void settings_get(const struct settings *s, const char *name, char *buf, size_t size);

/* Read an ini file ([section] lines are allowed and only group).  err names file and line. */
int settings_read_file(struct settings *s, const char *path, char *err, size_t err_size);

/* Parse argv: --name=value, --name value, --bool, --no-bool.  --config FILE is read
 * before the flags are applied, wherever it stands.  Returns the index of the first
 * argument that is no flag, or -1 with err.  --help and --version are the caller's:
 * they are reported through *action_out ('h', 'V' or 0). */
int settings_read_args(struct settings *s, int argc, char **argv, int *action_out, char *err, size_t err_size);

/* Are the numbers usable?  -1 with a sentence in err naming the setting and its range. */
int settings_check(const struct settings *s, char *err, size_t err_size);

/* Deep copy of src over dst (which must be initialised). */
int settings_copy(struct settings *dst, const struct settings *src);

#endif
