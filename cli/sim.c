/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/option.h"
#include "cli/sim.h"
#include "cli/virtual.h"

static const char help[] =
	"usage: faultline sim [--hosts N] [--rings LIST] [--bad-ring K] [--hazard P] ...\n"
	"       faultline sim --load [--connections C] [--batch B] [--duration TIME]\n"
	"       faultline sim --virtual | --july-2024 ...   (faultline sim --virtual --help says more)\n\n"
	"Plays a fleet over real sockets: every host sends heartbeats, some crash for ordinary reasons, and a\n"
	"deployment is served ring after ring, asking the verdict before each and stopping at a halt.\n\n"
	"  --stream ADDR:PORT  the native stream listener [127.0.0.1:8481]\n"
	"  --server URL        the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE   file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --hosts N           hosts in the fleet [8500]\n"
	"  --sites N           sites they are at; on loopback each has its own 127.x.y.0/24 [20]\n"
	"  --connections C     connections (relays) they share; at least one a site [32]\n"
	"  --rings LIST        hosts or shares of the rings, the last may be rest [100,1000,rest]\n"
	"  --bad-ring K        from this ring on the payload is bad; 0: never [2]\n"
	"  --hazard P          chance that a host served the bad payload crashes [0.9]\n"
	"  --delay TIME        mean time from serving to the crash [500ms]\n"
	"  --module NAME       module that crashes [csagent.sys]\n"
	"  --deployment ID     [sim-SEED-TIME]\n"
	"  --rate R            ordinary crashes per second of the whole fleet [10]\n"
	"  --serve-rate R      hosts served per second [500]\n"
	"  --interval TIME     between heartbeats of a host [2s]\n"
	"  --bake TIME         time a served host must stay alive to count [3s]\n"
	"  --ring-wait TIME    how long to wait for the verdict after a ring [30s]\n"
	"  --duration TIME     of everything; with --load, of the load [5m; 5s]\n"
	"  --seed N            same seed, same fleet and same crashes [1]\n"
	"  --demo              a mixed fleet of 6,000 hosts and three rollouts, one of which turns bad: for the\n"
	"                      dashboard; goes on until it is stopped (or for --duration)\n"
	"  --pace F            with --demo: all pauses times F [1]\n"
	"  --force             with --demo: also on a server that has hosts of others\n"
	"  --load              no rollout: reports as fast as they are acknowledged\n"
	"  --batch B           reports in a frame [256]\n"
	"  --load-rate R       with --load: so many reports per second, not more\n"
	"  --window W          with --load: frames in flight per connection [2]\n"
	"  --server-pid PID    with --load: show CPU time of the server's threads\n"
	"  --json              print the result as JSON\n"
	"  --quiet             no progress\n\n"
	"Exit: 0 every ring was served (or the load ran), 11 halted, 10 the verdict stayed hold, 1 failed, 2 usage.\n";

void
sim_say(const struct sim_options *o, const char *fmt, ...)
{
	static int64_t start;
	va_list ap;

	if (start == 0)
		start = clock_boot_us();
	if (o->quiet)
		return;
	fprintf(stderr, "%7.2fs  ", (double)(clock_boot_us() - start) / 1e6);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* ---- latencies ---- */

#define SAMPLES 200000u

void
latencies_add(struct latencies *l, int64_t us)
{
	uint32_t v = us < 0 ? 0 : us > (int64_t)UINT32_MAX ? UINT32_MAX : (uint32_t)us;
	size_t at;

	l->seen++;
	if (l->us == NULL && (l->us = malloc(SAMPLES * sizeof(*l->us))) == NULL)
		return;
	if (l->n < SAMPLES) {
		l->us[l->n++] = v;
		return;
	}
	l->random = l->random * 6364136223846793005u + 1442695040888963407u;
	at = (size_t)((l->random >> 33) % l->seen);
	if (at < SAMPLES)
		l->us[at] = v;
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

uint32_t
latencies_at(struct latencies *l, double quantile)
{
	if (l->n == 0)
		return 0;
	qsort(l->us, l->n, sizeof(*l->us), by_value);
	return l->us[(size_t)(quantile * (double)(l->n - 1))];
}

void
latencies_free(struct latencies *l)
{
	free(l->us);
	l->us = NULL;
}

/* ---- options ---- */

/* "100,1%,rest" */
static bool
parse_rings(struct sim_options *o, const char *list)
{
	unsigned left = o->hosts;

	o->n_rings = 0;
	for (const char *p = list; *p != '\0';) {
		char *end;
		double v = strtod(p, &end);
		unsigned n;

		if (o->n_rings == SIM_RINGS_MAX)
			return false;
		if (strncmp(p, "rest", 4) == 0) {
			n = left;
			end = (char *)(uintptr_t)p + 4;
		} else if (end == p || v <= 0) {
			return false;
		} else if (*end == '%') {
			n = (unsigned)ceil((double)o->hosts * v / 100);
			end++;
		} else {
			n = (unsigned)v;
		}
		if (n > left)
			n = left;
		left -= n;
		o->rings[o->n_rings++] = n;
		if (*end == ',')
			end++;
		else if (*end != '\0')
			return false;
		p = end;
	}
	return o->n_rings > 0;
}

static bool
parse_seconds(const char *text, double *out)
{
	int64_t ms;

	if (parse_wait(text, &ms) != 0)
		return false;
	*out = (double)ms / 1000;
	return true;
}

enum {
	OPT_STREAM = 256,
	OPT_SERVER,
	OPT_TOKEN,
	OPT_HOSTS,
	OPT_SITES,
	OPT_CONNECTIONS,
	OPT_RINGS,
	OPT_BAD_RING,
	OPT_HAZARD,
	OPT_DELAY,
	OPT_MODULE,
	OPT_DEPLOYMENT,
	OPT_RATE,
	OPT_SERVE_RATE,
	OPT_LOAD_RATE,
	OPT_INTERVAL,
	OPT_BAKE,
	OPT_RING_WAIT,
	OPT_DURATION,
	OPT_SEED,
	OPT_LOAD,
	OPT_DEMO,
	OPT_FORCE,
	OPT_PACE,
	OPT_BATCH,
	OPT_WINDOW,
	OPT_PID,
	OPT_JSON,
	OPT_QUIET
};

static const struct option long_options[] = {
	{ "stream", required_argument, NULL, OPT_STREAM },
	{ "server", required_argument, NULL, OPT_SERVER },
	{ "token-file", required_argument, NULL, OPT_TOKEN },
	{ "hosts", required_argument, NULL, OPT_HOSTS },
	{ "sites", required_argument, NULL, OPT_SITES },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "rings", required_argument, NULL, OPT_RINGS },
	{ "bad-ring", required_argument, NULL, OPT_BAD_RING },
	{ "hazard", required_argument, NULL, OPT_HAZARD },
	{ "delay", required_argument, NULL, OPT_DELAY },
	{ "module", required_argument, NULL, OPT_MODULE },
	{ "deployment", required_argument, NULL, OPT_DEPLOYMENT },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "serve-rate", required_argument, NULL, OPT_SERVE_RATE },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "bake", required_argument, NULL, OPT_BAKE },
	{ "ring-wait", required_argument, NULL, OPT_RING_WAIT },
	{ "duration", required_argument, NULL, OPT_DURATION },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "load", no_argument, NULL, OPT_LOAD },
	{ "demo", no_argument, NULL, OPT_DEMO },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "pace", required_argument, NULL, OPT_PACE },
	{ "load-rate", required_argument, NULL, OPT_LOAD_RATE },
	{ "batch", required_argument, NULL, OPT_BATCH },
	{ "window", required_argument, NULL, OPT_WINDOW },
	{ "server-pid", required_argument, NULL, OPT_PID },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* A number option into the field it sets; false if it is not a number in range. */
static bool
set_number(struct sim_options *o, int opt, const char *v)
{
	switch (opt) {
	case OPT_HOSTS:
		return option_unsigned(v, 1, 4000000, &o->hosts);
	case OPT_SITES:
		return option_unsigned(v, 1, 10000, &o->sites);
	case OPT_CONNECTIONS:
		return option_unsigned(v, 1, 20000, &o->connections);
	case OPT_BAD_RING:
		return option_unsigned(v, 0, SIM_RINGS_MAX, &o->bad_ring);
	case OPT_BATCH:
		return option_unsigned(v, 1, 4096, &o->batch);
	case OPT_WINDOW:
		return option_unsigned(v, 1, 64, &o->window);
	case OPT_SEED:
		return option_u64(v, &o->seed);
	case OPT_PID:
		return (o->server_pid = atoi(v)) > 0;
	case OPT_HAZARD:
		return option_double(v, 0, 1, &o->hazard);
	case OPT_RATE:
		return option_double(v, 0, 1e6, &o->rate);
	case OPT_LOAD_RATE:
		return option_double(v, 0, 1e9, &o->load_rate);
	case OPT_SERVE_RATE:
		return option_double(v, 0.1, 1e9, &o->serve_rate);
	case OPT_PACE:
		return option_double(v, 0.01, 100, &o->pace);
	case OPT_DELAY:
		return parse_seconds(v, &o->delay_s);
	case OPT_INTERVAL:
		return parse_seconds(v, &o->interval_s) && o->interval_s >= 0.1;
	case OPT_BAKE:
		return parse_seconds(v, &o->bake_s);
	case OPT_RING_WAIT:
		return parse_seconds(v, &o->ring_wait_s);
	case OPT_DURATION:
		return parse_seconds(v, &o->duration_s);
	default:
		return false;
	}
}

static bool
set_text(struct sim_options *o, int opt, const char **rings, const char *v)
{
	switch (opt) {
	case OPT_STREAM:
		o->stream = v;
		return true;
	case OPT_SERVER:
		o->api = v;
		return true;
	case OPT_TOKEN:
		o->token_file = v;
		return true;
	case OPT_RINGS:
		*rings = v;
		return true;
	case OPT_MODULE:
		o->module = v;
		return true;
	case OPT_DEPLOYMENT:
		o->deployment = v;
		return true;
	case OPT_LOAD:
		o->load = true;
		return true;
	case OPT_DEMO:
		o->demo = true;
		o->hosts = 6000;
		o->rate = 1;
		o->interval_s = 5;
		o->bake_s = 5;
		o->delay_s = 2;
		o->hazard = 0.6;
		o->connections = 8;
		o->sites = 8;
		return true;
	case OPT_FORCE:
		o->force = true;
		return true;
	case OPT_JSON:
		o->json = true;
		return true;
	case OPT_QUIET:
		o->quiet = true;
		return true;
	default:
		return false;
	}
}

static int
parse(struct sim_options *o, int argc, char **argv)
{
	const char *rings = "100,1000,rest";
	int opt;

	while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			exit(0);
		}
		if (opt == '?' || (!set_text(o, opt, &rings, optarg) && !set_number(o, opt, optarg))) {
			if (opt != '?')
				fprintf(stderr, "faultline sim: \"%s\" is out of range or not of the right kind\n",
					optarg);
			return -1;
		}
	}
	if (optind != argc) {
		fputs(help, stderr);
		return -1;
	}
	if (!parse_rings(o, rings)) {
		fprintf(stderr, "faultline sim: --rings wants a list like 100,5%%,rest\n");
		return -1;
	}
	return 0;
}

/* ---- the story ---- */

static void
print_result(const struct sim_options *o, const struct rollout *r, struct fleet *f, int status)
{
	static const char *const outcomes[] = { "completed", "failed" };
	const struct fleet_stats *s = fleet_stats(f);
	struct latencies *l = fleet_latencies(f);
	const char *outcome = status == SIM_HALT ? "halted" : status == SIM_HOLD ? "hold" : outcomes[status != 0];
	double p50 = latencies_at(l, 0.5) / 1e3, p99 = latencies_at(l, 0.99) / 1e3, max = latencies_at(l, 1) / 1e3;

	if (o->json) {
		json_t *j = json_pack(
			"{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:{s:f, s:f, s:f}, s:I}",
			"deployment", o->deployment, "outcome", outcome, "verdict", r->verdict, "state", r->state,
			"reason", r->reason, "signature", r->signature, "hosts", (json_int_t)o->hosts, "served",
			(json_int_t)r->served, "ring", (json_int_t)r->ring, "harmed", (json_int_t)r->harmed_at_halt,
			"sent", (json_int_t)s->sent, "acked", (json_int_t)s->acked, "refused", (json_int_t)s->refused,
			"heartbeats", (json_int_t)s->beats, "halted_after_seconds", r->halted_after_s, "ack_ms", "p50",
			p50, "p99", p99, "max", max, "disconnects", (json_int_t)s->disconnects);

		json_dumpf(j, stdout, JSON_INDENT(1));
		putchar('\n');
		json_decref(j);
		return;
	}
	printf("deployment  %s: %s", o->deployment, outcome);
	if (status == SIM_HALT)
		printf(" %.2f s after the bad payload was first served, in ring %u", r->halted_after_s, r->ring);
	printf("\nserved      %u of %u hosts; %llu crashed because of it\n", r->served, o->hosts,
	       (unsigned long long)r->harmed_at_halt);
	printf("verdict     %s (%s): ", r->verdict, r->state);
	print_text(stdout, r->reason);
	if (r->signature[0] != '\0') {
		printf("\nsignature   ");
		print_text(stdout, r->signature);
	}
	printf("\nreports     %llu sent, %llu acknowledged, %llu refused; heartbeats %llu; disconnects %llu\n",
	       (unsigned long long)s->sent, (unsigned long long)s->acked, (unsigned long long)s->refused,
	       (unsigned long long)s->beats, (unsigned long long)s->disconnects);
	printf("ack         p50 %.2f ms, p99 %.2f ms, max %.2f ms\n", p50, p99, max);
}

static int
simulate(struct sim_options *o)
{
	struct rollout r = { .o = o };
	char err[512];
	int status = SIM_FAILED;

	if ((r.api = api_client_new(o->api, o->token_file, err, sizeof(err))) == NULL ||
	    (r.fleet = fleet_new(o, err, sizeof(err))) == NULL) {
		fprintf(stderr, "faultline sim: %s\n", err);
		api_client_free(r.api);
		return SIM_FAILED;
	}
	status = rollout_run(&r);
	print_result(o, &r, r.fleet, status);
	fleet_free(r.fleet);
	api_client_free(r.api);
	return status;
}

int
cmd_sim(int argc, char **argv)
{
	struct sim_options o = {
		.stream = "127.0.0.1:8481",
		.module = "csagent.sys",
		.seed = 1,
		.hosts = 8500,
		.connections = 32,
		.sites = 20,
		.batch = 256,
		.window = 2,
		.rate = 10,
		.serve_rate = 500,
		.hazard = 0.9,
		.delay_s = 0.5,
		.interval_s = 2,
		.bake_s = 3,
		.ring_wait_s = 30,
		.duration_s = 0,
		.bad_ring = 2,
		.pace = 1,
		.quiet = isatty(STDERR_FILENO) == 0,
	};
	char id[64], err[256];

	if (virtual_wanted(argc, argv))
		return cmd_virtual(argc, argv);
	if (parse(&o, argc, argv) == -1)
		return SIM_USAGE;
	if (option_token(o.token_file, o.token, sizeof(o.token), err, sizeof(err)) == -1) {
		fprintf(stderr, "faultline sim: %s\n", err);
		return SIM_USAGE;
	}
	if (o.demo)
		return demo_run(&o);
	if (o.duration_s <= 0)
		o.duration_s = o.load ? 5 : 300;
	/* Every loopback address is ours to send from: each site gets its own network. */
	o.bind = strncmp(o.stream, "127.", 4) == 0 || strncmp(o.stream, "localhost:", 10) == 0;
	if (o.connections < o.sites && !o.load)
		o.connections = o.sites;
	if (o.deployment == NULL) {
		snprintf(id, sizeof(id), "sim-%llu-%lld", (unsigned long long)o.seed, (long long)time(NULL));
		o.deployment = id;
	}
	return o.load ? load_run(&o) : simulate(&o);
}
