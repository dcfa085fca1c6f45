/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/settings.h"
#include "collector/ledger/eprocess.h"
#include "collector/ledger/halt_params.h"

enum kind { REAL, COUNT, TIME, FLAG };

/* name in the API, kind, member here, setting; where serving is not random, another setting */
#define ROW3(name, kind, member, field, unrandomised, fleet, help)                                                     \
	{                                                                                                              \
		{ name, help, kind == TIME, kind == FLAG, fleet }, kind, offsetof(struct halt_params, member), #field, \
			#unrandomised, offsetof(struct settings, field), offsetof(struct settings, unrandomised)       \
	}
#define ROW2(name, kind, member, field, unrandomised, help) ROW3(name, kind, member, field, unrandomised, false, help)
#define FLEET(name, kind, member, field, help)              ROW3(name, kind, member, field, field, true, help)
#define ROW(name, kind, member, field, help)                ROW2(name, kind, member, field, field, help)

static const struct {
	struct halt_param shown;
	enum kind kind;
	size_t member;
	const char *setting, *unrandomised;
	size_t offset, offset_unrandomised;
} TABLE[] = {
	ROW("alpha", REAL, alpha, halt_alpha, "error level of a halt"),
	ROW("alpha_watch", REAL, alpha_watch, halt_alpha_watch, "error level of a pause"),
	ROW("beta", REAL, beta, halt_beta, "error level of proceed"),
	FLEET("alpha_cohortless", REAL, alpha_cohortless, halt_alpha_cohortless, "error level without a deployment"),
	FLEET("alpha_cold", REAL, alpha_cold, halt_alpha_cold, "the same before births are learned"),
	ROW2("rho", REAL, rho, halt_rho, halt_rho_unrandomised, "tolerated hazard ratio"),
	ROW2("rho_dark", REAL, rho_dark, halt_rho_dark, halt_rho_dark_unrandomised, "tolerated ratio of silence"),
	ROW("delta", REAL, delta, halt_delta, "hazard not worth a halt"),
	ROW("alpha_material", REAL, alpha_material, halt_alpha_material, "error level of that"),
	ROW("hosts_kernel", COUNT, hosts_kernel, halt_hosts_kernel, "least served hosts, kernel"),
	ROW("sites_kernel", COUNT, sites_kernel, halt_sites_kernel, "least sites, kernel"),
	ROW("sites_dark", COUNT, sites_dark, halt_sites_dark, "least sites, silence"),
	ROW("hosts_service", COUNT, hosts_service, halt_hosts_service, "least served hosts, service"),
	ROW("sites_service", COUNT, sites_service, halt_sites_service, "least sites, service"),
	ROW("hosts_user", COUNT, hosts_user, halt_hosts_user, "least served hosts, user mode"),
	ROW("sites_user", COUNT, sites_user, halt_sites_user, "least sites, user mode"),
	ROW("min_resolved", COUNT, min_resolved, halt_min_resolved, "least resolved hosts to proceed"),
	ROW("harm_budget", REAL, harm_budget, halt_harm_budget, "hosts the next ring may cost"),
	ROW("small_fleet", COUNT, small_fleet, halt_small_fleet, "below this nothing is certified"),
	ROW("heartbeat", TIME, heartbeat_s, halt_heartbeat, "interval of heartbeats"),
	ROW("silence_beats", COUNT, silence_beats, halt_silence_beats, "missed heartbeats that are silence"),
	ROW("silence_grace", TIME, silence_grace_s, halt_silence_grace, "and so long on top"),
	ROW("dark_window", TIME, dark_window_s, halt_dark_window, "how long silence is put down to it"),
	ROW("active", TIME, active_s, halt_active, "heard of within this: at risk"),
	ROW("late", TIME, late_s, halt_late, "older crashes do not vote"),
	ROW("host_age", TIME, host_age_s, halt_host_age, "younger hosts do not vote"),
	ROW("loop_boots", COUNT, loop_boots, halt_loop_boots, "boots that are a loop"),
	ROW("loop_window", TIME, loop_window_s, halt_loop_window, "within this"),
	FLEET("kappa", REAL, kappa, halt_kappa, "frailty of the self-controlled test"),
	FLEET("brake_percent", REAL, brake_percent, halt_brake_percent, "emergency brake, of the active fleet"),
	FLEET("brake_window", TIME, brake_window_s, halt_brake_window, "emergency brake, within this"),
	FLEET("brake_sites", COUNT, brake_sites, halt_brake_sites, "emergency brake, sites"),
	ROW("watch_pause", TIME, watch_pause_s, halt_watch_pause, "pause of a watch"),
	ROW("auto_resume", FLAG, auto_resume, halt_auto_resume, "a watch ends by itself"),
	FLEET("shadow", FLAG, shadow, halt_shadow, "say what would have been done, do not do it"),
};
#define N_TABLE  (sizeof(TABLE) / sizeof(TABLE[0]))
#define NAME_LEN 48
_Static_assert(N_TABLE <= HALT_PARAMS_MAX, "readers have room for so many");

bool
halt_randomised(const char *assignment)
{
	return strcmp(assignment, "hash") == 0;
}

static void
store(struct halt_params *p, size_t row, const void *value)
{
	void *slot = (char *)p + TABLE[row].member;
	uint64_t number = 0;
	uint32_t narrow;

	switch (TABLE[row].kind) {
	case REAL:
		memcpy(slot, value, sizeof(double));
		return;
	case FLAG:
		memcpy(slot, value, sizeof(bool));
		return;
	case TIME:
	case COUNT:
		break;
	}
	memcpy(&number, value, sizeof(number));
	if (TABLE[row].kind == TIME)
		number = (number + 999) / 1000;
	narrow = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
	memcpy(slot, &narrow, sizeof(narrow));
}

/* Until they are learned. */
static void
births(struct halt_params *p)
{
	p->births_kernel = key_pool_births(POOL_NEW_KERNEL);
	p->births_user = key_pool_births(POOL_NEW_USER);
	p->births_totals = key_pool_births(POOL_TOTALS);
}

void
halt_params_global(struct halt_params *p, const struct settings *s, bool randomised)
{
	memset(p, 0, sizeof(*p));
	births(p);
	for (size_t i = 0; i < N_TABLE; i++)
		store(p, i, (const char *)s + (randomised ? TABLE[i].offset : TABLE[i].offset_unrandomised));
}

void
halt_params_default(struct halt_params *p, bool randomised)
{
	size_t n;
	const struct setting_row *rows = settings_rows(&n);
	char err[64], name[NAME_LEN];
	union setting_value v;

	memset(p, 0, sizeof(*p));
	births(p);
	for (size_t i = 0; i < N_TABLE; i++) {
		snprintf(name, sizeof(name), "%s", randomised ? TABLE[i].setting : TABLE[i].unrandomised);
		for (char *c = name; *c != '\0'; c++)
			*c = *c == '_' ? '-' : *c;
		for (size_t k = 0; k < n; k++)
			if (strcmp(rows[k].name, name) == 0 &&
			    settings_parse(name, rows[k].preset, &v, err, sizeof(err)) == 0)
				store(p, i, &v);
	}
}

int
halt_params_set(struct halt_params *p, const char *name, const char *value, char *err, size_t err_size)
{
	char setting[NAME_LEN], text[64];
	union setting_value v;
	size_t row = 0;

	while (row < N_TABLE && strcmp(TABLE[row].shown.name, name) != 0)
		row++;
	if (row == N_TABLE || TABLE[row].shown.fleet) {
		snprintf(err, err_size,
			 row == N_TABLE ? "is not known" : "is for the whole fleet: a setting of faultlined");
		return -1;
	}
	snprintf(setting, sizeof(setting), "%s", TABLE[row].setting);
	for (char *c = setting; *c != '\0'; c++)
		*c = *c == '_' ? '-' : *c;
	/* a bare number of a time is seconds */
	snprintf(text, sizeof(text), "%.60s%s", value,
		 TABLE[row].kind == TIME && *value != '\0' && strspn(value, "0123456789") == strlen(value) ? "s" : "");
	if (strlen(value) > 60 || settings_parse(setting, text, &v, err, err_size) != 0) {
		if (strlen(value) > 60)
			snprintf(err, err_size, "is too long");
		return -1;
	}
	store(p, row, &v);
	return 0;
}

void
halt_params_of(struct halt_params *p, const struct halt_globals *global, const Faultline__Log__Deployment *m)
{
	char err[160];

	*p = halt_randomised(m->assignment) ? global->randomised : global->unrandomised;
	for (size_t i = 0; i < m->n_halt; i++)
		halt_params_set(p, m->halt[i]->name, m->halt[i]->value, err, sizeof(err));
}

const struct halt_param *
halt_params_row(size_t i)
{
	return i < N_TABLE ? &TABLE[i].shown : NULL;
}

void
halt_params_get(const struct halt_params *p, size_t i, char *buf, size_t size)
{
	const void *slot;
	uint32_t number;
	double real;

	buf[0] = '\0';
	if (i >= N_TABLE)
		return;
	slot = (const char *)p + TABLE[i].member;
	switch (TABLE[i].kind) {
	case REAL:
		memcpy(&real, slot, sizeof(real));
		settings_real_text(real, buf, size);
		return;
	case FLAG:
		snprintf(buf, size, "%s", *(const bool *)slot ? "yes" : "no");
		return;
	case TIME:
	case COUNT:
		break;
	}
	memcpy(&number, slot, sizeof(number));
	snprintf(buf, size, "%" PRIu32, number);
}
