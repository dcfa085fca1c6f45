/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/api_client.h"
#include "cli/option.h"
#include "cli/tables.h"
#include "cli/virtual.h"

static const char help[] =
	"usage: faultline sim --virtual [--table LIST] [--runs N] [--seed N] [--compare] [--json] ...\n"
	"       faultline sim --july-2024 [--hosts N] [--runs N] [--seed N] [--compare] [--json]\n\n"
	"Drives the ledger of faultlined itself in virtual time: no daemon, no sockets, the same records. The same\n"
	"seed gives the same output. Without --table, one case of your own:\n\n"
	"  --table LIST       tables of docs/HALT.md, by name; all; or list to see the names\n"
	"  --runs N           runs a row, or harmless deployments [what the table takes; 20]\n"
	"  --seed N           same seed, same result [1]\n"
	"  --jobs N           runs at once [1]\n"
	"  --compare          what fixed thresholds, Crashlytics, three-sigma, Ubuntu's and a Gandalf-like rule do\n"
	"  --hosts N          hosts of the fleet; tables are scaled to it [1000000; July 8500000]\n"
	"  --sites N          sites they are at [20000]\n"
	"  --hazard P         share of served hosts that is harmed; 0: harmless deployments in one world [0]\n"
	"  --from P           the payload is bad from this share of the fleet on [0]\n"
	"  --rings LIST       shares of the fleet [0.1%,1%,10%,50%,100%]\n"
	"  --hours LIST       when each ring starts [0,2,6,12,18]\n"
	"  --ring-time TIME   time a ring takes to be served [30m]\n"
	"  --ramp N,TIME      no rings: N hosts first, doubling each TIME\n"
	"  --order ORDER      hash, site, site-size or fixed [hash]\n"
	"  --upload P         share of the harmed that upload a report [0.9]\n"
	"  --report-delay T   median time from crash to report [3m]\n"
	"  --dark             the harmed are never heard of again\n"
	"  --boot-loop        the harmed boot again and again\n"
	"  --user             a crash of a user process; else of the kernel\n"
	"  --own              the manifest names the module\n"
	"  --rebuild N        the payload rebuilds a module that crashes on N hosts a day anyway\n"
	"  --churn P          share of the hosts that fall silent each hour [0]\n"
	"  --goodbye P        share of those that say goodbye [0]\n"
	"  --interval TIME    between heartbeats of a host [5m]\n"
	"  --crashes N        ordinary crashes a day [15000 in a million hosts]\n"
	"  --set NAME=VALUE   a setting of the ledger; may be given again\n"
	"  --json             print JSON\n"
	"  --quiet            no progress\n\n"
	"Exit: 0 done, 1 failed, 2 usage.\n";

#define SETTINGS_MAX 15

struct custom {
	struct study study;
	struct world_options world;
	struct push_plan plan;
	const char *tables;
	const char *rings, *hours;
	double ring_s;
	const char *settings[2 * SETTINGS_MAX + 2];
	unsigned n_settings;
	bool july, json, crashes_given;
};

enum {
	OPT_VIRTUAL = 256,
	OPT_JULY,
	OPT_TABLE,
	OPT_RUNS,
	OPT_SEED,
	OPT_JOBS,
	OPT_COMPARE,
	OPT_HOSTS,
	OPT_SITES,
	OPT_HAZARD,
	OPT_FROM,
	OPT_RINGS,
	OPT_HOURS,
	OPT_RING_TIME,
	OPT_RAMP,
	OPT_ORDER,
	OPT_UPLOAD,
	OPT_REPORT_DELAY,
	OPT_DARK,
	OPT_BOOT_LOOP,
	OPT_USER,
	OPT_OWN,
	OPT_REBUILD,
	OPT_CHURN,
	OPT_GOODBYE,
	OPT_INTERVAL,
	OPT_CRASHES,
	OPT_SET,
	OPT_JSON,
	OPT_QUIET
};

static const struct option long_options[] = {
	{ "virtual", no_argument, NULL, OPT_VIRTUAL },
	{ "july-2024", no_argument, NULL, OPT_JULY },
	{ "table", required_argument, NULL, OPT_TABLE },
	{ "runs", required_argument, NULL, OPT_RUNS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "jobs", required_argument, NULL, OPT_JOBS },
	{ "compare", no_argument, NULL, OPT_COMPARE },
	{ "hosts", required_argument, NULL, OPT_HOSTS },
	{ "sites", required_argument, NULL, OPT_SITES },
	{ "hazard", required_argument, NULL, OPT_HAZARD },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "rings", required_argument, NULL, OPT_RINGS },
	{ "hours", required_argument, NULL, OPT_HOURS },
	{ "ring-time", required_argument, NULL, OPT_RING_TIME },
	{ "ramp", required_argument, NULL, OPT_RAMP },
	{ "order", required_argument, NULL, OPT_ORDER },
	{ "upload", required_argument, NULL, OPT_UPLOAD },
	{ "report-delay", required_argument, NULL, OPT_REPORT_DELAY },
	{ "dark", no_argument, NULL, OPT_DARK },
	{ "boot-loop", no_argument, NULL, OPT_BOOT_LOOP },
	{ "user", no_argument, NULL, OPT_USER },
	{ "own", no_argument, NULL, OPT_OWN },
	{ "rebuild", required_argument, NULL, OPT_REBUILD },
	{ "churn", required_argument, NULL, OPT_CHURN },
	{ "goodbye", required_argument, NULL, OPT_GOODBYE },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "crashes", required_argument, NULL, OPT_CRASHES },
	{ "set", required_argument, NULL, OPT_SET },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

bool
virtual_wanted(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--virtual") == 0 || strcmp(argv[i], "--july-2024") == 0)
			return true;
	return false;
}

/* ---- options ---- */

static bool
parse_seconds(const char *text, double *out)
{
	int64_t ms;

	if (parse_wait(text, &ms) != 0 || ms <= 0)
		return false;
	*out = (double)ms / 1000;
	return true;
}

/* "0.1%,1%,rest" or "0,2,6": up to max numbers; 0 when it is no such list. */
static unsigned
parse_list(const char *text, double *out, unsigned max)
{
	unsigned n = 0;

	while (n < max) {
		char *end;

		if (strncmp(text, "rest", 4) == 0 || strncmp(text, "100%", 4) == 0) {
			out[n++] = 1;
			end = (char *)(uintptr_t)text + 4;
		} else {
			out[n] = strtod(text, &end);
			if (end == text || out[n] < 0)
				return 0;
			if (*end == '%') {
				out[n] /= 100;
				end++;
			}
			n++;
		}
		if (*end == '\0')
			return n;
		if (*end != ',')
			return 0;
		text = end + 1;
	}
	return 0;
}

static bool
parse_rings(struct custom *c)
{
	double shares[PUSH_RINGS_MAX], hours[PUSH_RINGS_MAX];
	unsigned n = parse_list(c->rings, shares, PUSH_RINGS_MAX);

	if (n == 0 || parse_list(c->hours, hours, PUSH_RINGS_MAX) != n)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (shares[i] > 1 || (i > 0 && (shares[i] <= shares[i - 1] || hours[i] < hours[i - 1])))
			return false;
	push_rings(&c->plan, shares, hours, n, c->ring_s);
	return true;
}

static bool
parse_ramp(struct push_plan *p, const char *text)
{
	char *end;

	p->ramp_first = strtod(text, &end);
	return p->ramp_first >= 1 && *end == ',' && parse_seconds(end + 1, &p->ramp_double_s);
}

static bool
parse_order(enum push_order *out, const char *text)
{
	static const char *const names[] = { "hash", "site", "site-size", "fixed" };

	for (unsigned i = 0; i < 4; i++)
		if (strcmp(text, names[i]) == 0) {
			*out = (enum push_order)i;
			return true;
		}
	return false;
}

static bool
parse_setting(struct custom *c, char *text)
{
	char *eq = strchr(text, '=');

	if (eq == NULL || c->n_settings == SETTINGS_MAX)
		return false;
	*eq = '\0';
	c->settings[2 * c->n_settings] = text;
	c->settings[2 * c->n_settings + 1] = eq + 1;
	c->n_settings++;
	return true;
}

static bool
set_fleet(struct custom *c, int opt, char *v)
{
	unsigned n;

	switch (opt) {
	case OPT_HOSTS:
		if (!option_unsigned(v, 1000, 20000000, &n))
			return false;
		c->study.hosts = c->world.hosts = n;
		return true;
	case OPT_SITES:
		return option_unsigned(v, 2, 65000, &c->world.sites);
	case OPT_CHURN:
		return option_double(v, 0, 1, &c->world.churn);
	case OPT_GOODBYE:
		return option_double(v, 0, 1, &c->world.goodbye);
	case OPT_CRASHES:
		c->crashes_given = true;
		return option_double(v, 0, 1e8, &c->world.crashes_day);
	case OPT_INTERVAL: {
		double s;

		if (!parse_seconds(v, &s) || s < 10 || s > 3600)
			return false;
		c->world.interval_s = (uint32_t)s;
		return true;
	}
	case OPT_SET:
		return parse_setting(c, v);
	default:
		return false;
	}
}

static bool
set_plan(struct push_plan *p, struct custom *c, int opt, const char *v)
{
	switch (opt) {
	case OPT_HAZARD:
		return option_double(v, 0, 1, &p->hazard);
	case OPT_FROM:
		return option_double(v, 0, 1, &p->from_share);
	case OPT_RINGS:
		c->rings = v;
		return true;
	case OPT_HOURS:
		c->hours = v;
		return true;
	case OPT_RING_TIME:
		return parse_seconds(v, &c->ring_s);
	case OPT_RAMP:
		return parse_ramp(p, v);
	case OPT_ORDER:
		return parse_order(&p->order, v);
	case OPT_UPLOAD:
		return option_double(v, 0, 1, &p->upload);
	case OPT_REPORT_DELAY:
		return parse_seconds(v, &p->report_s);
	case OPT_REBUILD:
		return option_double(v, 1, 1e6, &p->rebuild);
	case OPT_DARK:
		p->dark = true;
		p->upload = 0;
		return true;
	case OPT_BOOT_LOOP:
		p->boot_loop = true;
		p->upload = 0;
		return true;
	case OPT_USER:
		p->kind = REPORT_USER;
		return true;
	case OPT_OWN:
		p->own = true;
		return true;
	default:
		return false;
	}
}

static bool
set_other(struct custom *c, int opt, const char *v)
{
	switch (opt) {
	case OPT_VIRTUAL:
		return true;
	case OPT_JULY:
		c->july = true;
		return true;
	case OPT_TABLE:
		c->tables = v;
		return true;
	case OPT_RUNS:
		return option_unsigned(v, 1, 1000000, &c->study.runs);
	case OPT_SEED:
		return option_u64(v, &c->study.seed);
	case OPT_JOBS:
		return option_unsigned(v, 1, 64, &c->study.jobs);
	case OPT_COMPARE:
		c->study.compare = true;
		return true;
	case OPT_JSON:
		c->json = true;
		return true;
	case OPT_QUIET:
		run_quiet = true;
		return true;
	default:
		return false;
	}
}

static int
parse(struct custom *c, int argc, char **argv)
{
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			exit(0);
		}
		if (opt == '?')
			return -1;
		if (!set_other(c, opt, optarg) && !set_fleet(c, opt, optarg) && !set_plan(&c->plan, c, opt, optarg)) {
			fprintf(stderr, "faultline sim: \"%s\" is out of range or not of the right kind\n", optarg);
			return -1;
		}
	}
	if (optind != argc) {
		fputs(help, stderr);
		return -1;
	}
	if (!parse_rings(c)) {
		fprintf(stderr,
			"faultline sim: --rings and --hours want rising lists of one length, like 1%%,100%% and 0,2\n");
		return -1;
	}
	return 0;
}

/* ---- one case ---- */

static int
harmless(struct custom *c)
{
	struct nulls n = {
		.label = "harmless", .world = c->world, .plan = c->plan, .n = 20, .compare = c->study.compare
	};
	struct study own = c->study;
	struct sheet sheet;

	own.hosts = 0; /* the world has it */
	sheet_begin(&sheet, "Harmless deployments", "False halts and pauses per 1,000 with 95 % intervals.");
	sheet_row(&sheet, study_nulls(&own, &n));
	study_take(&own, &sheet);
	return 0;
}

static int
harmful(struct custom *c)
{
	struct run r = { .plan = c->plan, .noise = true, .compare = c->study.compare, .compare_until = 1 };
	unsigned n = c->study.runs > 0 ? c->study.runs : 20;
	struct study own = c->study;
	struct outcome *o;
	struct sheet sheet;
	char label[64];

	own.hosts = 0;
	c->world.seed = own.seed;
	r.world = study_world(&own, &c->world);
	snprintf(label, sizeof(label), "hazard %g %%", c->plan.hazard * 100);
	o = study_runs(&own, &r, label, n);
	if (o != NULL) {
		sheet_begin(&sheet, "A bad payload",
			    "Hosts harmed until the halt took effect, mean and 95 % interval.");
		sheet_row(&sheet, study_row(&own, label, &r, o, n, "-"));
		study_take(&own, &sheet);
	}
	world_free(r.world);
	free(o);
	return o != NULL ? 0 : -1;
}

static int
make_tables(struct custom *c)
{
	bool any = false;
	int bad = 0;

	for (unsigned i = 0; i < n_tables && bad == 0; i++) {
		size_t len = strlen(tables[i].name);
		bool all = strcmp(c->tables, "all") == 0, named = false;

		if (strcmp(c->tables, "list") == 0) {
			printf("%-10s %s\n", tables[i].name, tables[i].what);
			any = true;
			continue;
		}
		for (const char *p = c->tables; !named && p != NULL; p = strchr(p, ',')) {
			p += *p == ',';
			named = strncmp(p, tables[i].name, len) == 0 && (p[len] == ',' || p[len] == '\0');
		}
		if (!all && !named)
			continue;
		any = true;
		bad = tables[i].make(&c->study);
	}
	if (any)
		return bad;
	fprintf(stderr, "faultline sim: no table \"%s\"; --table list names them\n", c->tables);
	return -2;
}

int
cmd_virtual(int argc, char **argv)
{
	static struct custom c;
	int64_t begun = clock_boot_us();
	int bad;

	c.study = (struct study){ .seed = 1, .jobs = 1 };
	world_defaults(&c.world);
	push_defaults(&c.plan);
	c.rings = "0.1%,1%,10%,50%,100%";
	c.hours = "0,2,6,12,18";
	c.ring_s = 1800;
	if (parse(&c, argc, argv) != 0)
		return 2;
	c.study.text = !c.json;
	c.study.sheets = need(json_array());
	c.world.settings = c.settings;
	if (!c.crashes_given)
		c.world.crashes_day *= c.world.hosts / 1e6;
	if (c.july)
		bad = july_2024(&c.study);
	else if (c.tables != NULL)
		bad = make_tables(&c);
	else
		bad = c.plan.hazard > 0 ? harmful(&c) : harmless(&c);
	if (c.json) {
		json_dumpf(c.study.sheets, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(8));
		putchar('\n');
	}
	json_decref(c.study.sheets);
	run_progress("%.1f s in all", (double)(clock_boot_us() - begun) / 1e6);
	return bad == -2 ? 2 : bad != 0 ? 1 : 0;
}
