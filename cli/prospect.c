/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli/option.h"
#include "cli/prospect.h"
#include "collector/ledger/halt_params.h"
#include "collector/ledger/outlook.h"

#define RINGS_MAX  32u
#define HAZARDS    5
#define HAZARD_MIN 1e-4

static const char help[] =
	"usage: faultline deploy plan --fleet HOSTS --ring NAME=HOSTS|NAME=P%|NAME[,SERVE[,BAKE]]... [--serve TIME] [--bake TIME]\n"
	"                      [--upload P%] [--latency TIME] [--stop TIME] [--assignment hash|listed|site]\n"
	"                      [--halt NAME=VALUE]... [--json]\n\n"
	"Before a rollout: what each ring could certify, and how many hosts a bad payload would harm.\n"
	"Expected values: the real thing varies, and only sees what crashes or falls silent.\n\n"
	"  --ring early=5%,2h,1d   5 % of the fleet, served evenly in two hours, then a day's wait\n"
	"  --serve, --bake TIME    of rings that do not say [30m, 30m]\n"
	"  --upload P%             hosts that come back and upload their crash [90%]\n"
	"  --latency TIME          median time from crash to report [3m]\n"
	"  --stop TIME             from the halt to the last host served [30s]\n"
	"  --halt NAME=VALUE       a parameter of the halt engine (docs/API.md), such as alpha=1e-7 or heartbeat=1m\n";

struct prospect {
	double fleet, serve_s, bake_s, upload, latency_s, stop_s;
	struct outlook_ring rings[RINGS_MAX];
	char names[RINGS_MAX][65];
	const char *ring_args[RINGS_MAX];
	uint32_t n_rings;
	const char *assignment, *halt_args[HALT_PARAMS_MAX];
	uint32_t n_halt;
	bool json;
	struct halt_params params;
};

static const double hazards[HAZARDS] = { 1, .1, .01, .001, HAZARD_MIN };

__attribute__((format(printf, 1, 2))) static int
wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("faultline deploy plan: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputs("\nfaultline deploy plan --help says more.\n", stderr);
	va_end(ap);
	return 2;
}

/* ---- flags ---- */

/* "90s", "30m", "2h", "1d" or seconds. */
static bool
take_time(const char *text, double *out)
{
	static const struct {
		const char *suffix;
		double factor;
	} units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
	char *end;
	double n = strtod(text, &end);

	for (size_t i = 0; end != text && i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].suffix) == 0 && n >= 0 && n * units[i].factor <= 365 * 86400.0) {
			*out = n * units[i].factor;
			return true;
		}
	return false;
}

static bool
take_share(const char *text, double *out)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || strcmp(end, "%") != 0 || !(n >= 0 && n <= 100))
		return false;
	*out = n / 100;
	return true;
}

/* NAME[=SIZE][,SERVE[,BAKE]] */
static int
take_ring(struct prospect *p, uint32_t i)
{
	char text[160], *comma, *equals, *end;
	struct outlook_ring *r = &p->rings[i];
	double share;

	*r = (struct outlook_ring){ 0, p->serve_s, p->bake_s };
	if (strlen(p->ring_args[i]) >= sizeof(text))
		return wrong("--ring %.40s... is too long", p->ring_args[i]);
	strcpy(text, p->ring_args[i]);
	if ((comma = strchr(text, ',')) != NULL) {
		char *second = strchr(comma + 1, ',');

		*comma = '\0';
		if (second != NULL)
			*second = '\0';
		if (!take_time(comma + 1, &r->serve_s) || (second != NULL && !take_time(second + 1, &r->bake_s)))
			return wrong("--ring wants NAME=SIZE,SERVE,BAKE with times such as 30m, not %s",
				     p->ring_args[i]);
	}
	if ((equals = strrchr(text, '=')) != NULL) {
		*equals = '\0';
		if (take_share(equals + 1, &share))
			r->hosts = share * p->fleet;
		else
			r->hosts = strtod(equals + 1, &end);
		if (r->hosts < 1 || (strchr(equals + 1, '%') == NULL && (end == equals + 1 || *end != '\0')))
			return wrong("--ring wants NAME=HOSTS or NAME=PERCENT%%, not %s", p->ring_args[i]);
	} else if (i + 1 < p->n_rings)
		return wrong("only the last ring may take the rest");
	if (*text == '\0' || strlen(text) >= sizeof(p->names[i]))
		return wrong("--ring %s: a name has 1 to 64 bytes", p->ring_args[i]);
	strcpy(p->names[i], text);
	return 0;
}

static int
take_halt(struct prospect *p, const char *arg)
{
	const char *equals = strchr(arg, '=');
	char name[48], err[160];

	if (equals == NULL || (size_t)(equals - arg) >= sizeof(name))
		return wrong("--halt wants NAME=VALUE, not %s", arg);
	memcpy(name, arg, (size_t)(equals - arg));
	name[equals - arg] = '\0';
	if (halt_params_set(&p->params, name, equals + 1, err, sizeof(err)) != 0)
		return wrong("--halt %s %s", name, err);
	return 0;
}

enum {
	OPT_FLEET = 256,
	OPT_RING,
	OPT_SERVE,
	OPT_BAKE,
	OPT_UPLOAD,
	OPT_LATENCY,
	OPT_STOP,
	OPT_ASSIGNMENT,
	OPT_HALT,
	OPT_JSON
};

static int
take_option(struct prospect *p, int o, const char *arg)
{
	switch (o) {
	case OPT_FLEET:
		return option_double(arg, 1, 1e10, &p->fleet) ? 0
							      : wrong("--fleet wants a number of hosts, not %s", arg);
	case OPT_RING:
		if (p->n_rings == RINGS_MAX)
			return wrong("at most %u rings", RINGS_MAX);
		p->ring_args[p->n_rings++] = arg;
		return 0;
	case OPT_SERVE:
		return take_time(arg, &p->serve_s) ? 0 : wrong("--serve wants a time, not %s", arg);
	case OPT_BAKE:
		return take_time(arg, &p->bake_s) ? 0 : wrong("--bake wants a time, not %s", arg);
	case OPT_LATENCY:
		return take_time(arg, &p->latency_s) ? 0 : wrong("--latency wants a time, not %s", arg);
	case OPT_STOP:
		return take_time(arg, &p->stop_s) ? 0 : wrong("--stop wants a time, not %s", arg);
	case OPT_UPLOAD:
		return take_share(arg, &p->upload) ? 0 : wrong("--upload wants a percentage such as 90%%, not %s", arg);
	case OPT_ASSIGNMENT:
		p->assignment = arg;
		if (strcmp(arg, "hash") == 0 || strcmp(arg, "listed") == 0 || strcmp(arg, "site") == 0)
			return 0;
		return wrong("--assignment is hash, listed or site, not %s", arg);
	case OPT_HALT:
		if (p->n_halt == HALT_PARAMS_MAX)
			return wrong("too many --halt");
		p->halt_args[p->n_halt++] = arg;
		return 0;
	case OPT_JSON:
		p->json = true;
		return 0;
	default:
		return 2;
	}
}

/* ---- telling ---- */

static char *
grouped(double n, char buf[32])
{
	char digits[32];
	size_t len, at = 0;

	if (n >= 1e15)
		return strcpy(buf, "any number");
	len = (size_t)snprintf(digits, sizeof(digits), "%.0f", n);
	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf[at++] = ',';
		buf[at++] = digits[i];
	}
	buf[at] = '\0';
	return buf;
}

static char *
span(double seconds, char buf[32])
{
	unsigned long m = (unsigned long)(seconds / 60 + .5);

	if (m >= 48 * 60)
		snprintf(buf, 32, "%lud %02lu:%02lu", m / 1440, m / 60 % 24, m % 60);
	else
		snprintf(buf, 32, "%lu:%02lu", m / 60, m % 60);
	return buf;
}

static struct outlook_fault
fault(const struct prospect *p, double hazard, bool silent)
{
	const struct halt_params *h = &p->params;
	double limit = (double)h->silence_beats * h->heartbeat_s + h->silence_grace_s;

	if (!silent)
		return (struct outlook_fault){ hazard, p->upload, 20, p->latency_s, .5, p->stop_s, POOL_NEW_KERNEL };
	/* it is missed between one heartbeat before the limit, and the limit */
	return (struct outlook_fault){ hazard, 1, 20, limit - h->heartbeat_s / 2.0, .15, p->stop_s, POOL_DARK };
}

static void
print_rings(const struct prospect *p, const struct outlook_plan *plan)
{
	struct outlook_ring_view v[RINGS_MAX];
	char a[32], b[32], c[32], d[32];

	outlook_rings(plan, v);
	printf("%-16s %10s %10s %14s %8s  %-10s %-12s %s\n", "ring", "from", "full at", "hosts so far", "share",
	       "reports to", "certifies", "allows a next ring");
	printf("%-16s %10s %10s %14s %8s  %-10s %-12s %s\n", "", "", "", "", "", "halt", "a hazard <", "of up to");
	for (uint32_t i = 0; i < p->n_rings; i++) {
		char need[16] = "never", hazard[16] = "nothing";

		if (v[i].votes_needed != UINT32_MAX)
			snprintf(need, sizeof(need), "%u", v[i].votes_needed);
		if (v[i].hazard < 1)
			snprintf(hazard, sizeof(hazard), "%.2g %%", 100 * v[i].hazard);
		printf("%-16.16s %10s %10s %14s %7.3g%%  %-10s %-12s %s\n", p->names[i], span(v[i].from_s, a),
		       span(v[i].to_s, b), grouped(v[i].served, c), 100 * v[i].share, need, hazard,
		       i + 1 == p->n_rings ? "" : grouped((double)v[i].next_ring_max, d));
	}
	for (uint32_t i = 0; i + 1 < p->n_rings; i++)
		if (!v[i].next_fits)
			printf("! %s is larger than a clean %s allows: smaller, or in two steps.\n", p->names[i + 1],
			       p->names[i]);
		else if (v[i].votes_needed == UINT32_MAX)
			printf("! with %s nobody is left to compare with.\n", p->names[i]);
}

static void
print_harm(const struct prospect *p, const struct outlook_plan *plan)
{
	char a[32], b[32], c[32];

	printf("\n%-24s %16s %28s %16s %16s\n", "a payload that harms", "harmed at halt",
	       "when, in ring, after reports", "by silence alone", "never stopped");
	for (int i = 0; i < HAZARDS; i++) {
		struct outlook_fault crash = fault(p, hazards[i], false), silence = fault(p, hazards[i], true);
		struct outlook_harm h, s;
		char when[64] = "not halted", quiet[32] = "not halted";

		outlook_harm(plan, &crash, &h);
		outlook_harm(plan, &silence, &s);
		if (h.halted)
			snprintf(when, sizeof(when), "%s, %.12s, %u", span(h.at_s, c), p->names[h.ring], h.votes);
		if (s.halted)
			grouped(s.harmed, quiet);
		printf("%-4g %% of its hosts      %16s %28s %16s %16s\n", 100 * hazards[i], grouped(h.harmed, a), when,
		       quiet, grouped(hazards[i] * p->fleet, b));
	}
	printf("\nOf the hosts that crash, %.3g %% upload it, half of them within %s; serving stops %.0f s after the halt.\n",
	       100 * p->upload, span(p->latency_s, a), p->stop_s);
	printf("Silence is noticed after %s without a heartbeat, and only where hosts say goodbye when they are shut down.\n",
	       span((double)p->params.silence_beats * p->params.heartbeat_s + p->params.silence_grace_s, b));
}

static json_t *
harm_json(const struct prospect *p, const struct outlook_plan *plan, double hazard, bool silent)
{
	struct outlook_fault f = fault(p, hazard, silent);
	struct outlook_harm h;

	outlook_harm(plan, &f, &h);
	return json_pack("{sb sf sf sf sf ss sI}", "halted", h.halted, "harmed", h.harmed, "served", h.served,
			 "at_seconds", h.at_s, "harmed_if_first_report_halts", h.if_first, "ring", p->names[h.ring],
			 "reports", (json_int_t)h.votes);
}

static void
print_json(const struct prospect *p, const struct outlook_plan *plan)
{
	json_t *root = json_pack("{sf s[] s[]}", "fleet", p->fleet, "rings", "payloads");
	struct outlook_ring_view v[RINGS_MAX];

	outlook_rings(plan, v);
	for (uint32_t i = 0; i < p->n_rings; i++) {
		json_t *ring = json_pack("{ss sf sf sf sf sb}", "name", p->names[i], "from_seconds", v[i].from_s,
					 "to_seconds", v[i].to_s, "hosts", v[i].served, "share", v[i].share,
					 "next_ring_fits", v[i].next_fits);

		json_object_set_new(ring, "reports_to_halt",
				    v[i].votes_needed == UINT32_MAX ? json_null() : json_integer(v[i].votes_needed));
		json_object_set_new(ring, "certified_hazard", v[i].hazard < 1 ? json_real(v[i].hazard) : json_null());
		json_object_set_new(ring, "next_ring_max", json_integer((json_int_t)(v[i].next_ring_max & INT64_MAX)));
		json_array_append_new(json_object_get(root, "rings"), ring);
	}
	for (int i = 0; i < HAZARDS; i++)
		json_array_append_new(json_object_get(root, "payloads"),
				      json_pack("{sf so so}", "hazard", hazards[i], "by_crash",
						harm_json(p, plan, hazards[i], false), "by_silence",
						harm_json(p, plan, hazards[i], true)));
	json_dumpf(root, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(root);
}

int
cmd_prospect(int argc, char **argv)
{
	static const struct option options[] = {
		{ "fleet", required_argument, NULL, OPT_FLEET },
		{ "ring", required_argument, NULL, OPT_RING },
		{ "serve", required_argument, NULL, OPT_SERVE },
		{ "bake", required_argument, NULL, OPT_BAKE },
		{ "upload", required_argument, NULL, OPT_UPLOAD },
		{ "latency", required_argument, NULL, OPT_LATENCY },
		{ "stop", required_argument, NULL, OPT_STOP },
		{ "assignment", required_argument, NULL, OPT_ASSIGNMENT },
		{ "halt", required_argument, NULL, OPT_HALT },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct prospect p = {
		.serve_s = 1800, .bake_s = 1800, .upload = .9, .latency_s = 180, .stop_s = 30, .assignment = "hash"
	};
	struct outlook_plan plan;
	int o, status;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (o == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if ((status = take_option(&p, o, optarg)) != 0)
			return status;
	}
	if (optind != argc || p.fleet < 1 || p.n_rings == 0)
		return wrong("wants --fleet HOSTS and at least one --ring, and nothing else");
	halt_params_default(&p.params, halt_randomised(p.assignment));
	for (uint32_t i = 0; i < p.n_halt; i++)
		if ((status = take_halt(&p, p.halt_args[i])) != 0)
			return status;
	for (uint32_t i = 0; i < p.n_rings; i++)
		if ((status = take_ring(&p, i)) != 0)
			return status;
	plan = (struct outlook_plan){ p.fleet, p.rings, p.n_rings, &p.params };
	if (p.json) {
		print_json(&p, &plan);
		return 0;
	}
	print_rings(&p, &plan);
	print_harm(&p, &plan);
	return 0;
}
