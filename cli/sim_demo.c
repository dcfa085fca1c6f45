/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/sim.h"

/* `faultline sim --demo`: a fleet for the dashboard.  A rollout that ends well, one that goes on
 * well, and one whose second ring is bad: alarm, halt, the fix, recovery.  Then it goes on quietly. */

#define API_MS    10000
#define TURN_MS   50
#define CONNECT_S 20
#define MARK      "-demo-" /* in the id of every deployment of a demo: by it a demo knows its own fleet */
#define RECEIPTS  500u

struct show {
	const char *name, *artefact, *version, *module;
	unsigned product, payload;
	unsigned rings[3]; /* the rest is the last */
	char id[64];
	unsigned *hosts, n_hosts, served;
	char verdict[16], state[32], summary[512];
};

struct demo {
	const struct sim_options *o;
	struct api_client *api;
	struct fleet *fleet;
	int64_t start_us;
	struct show proxy, driver, file;
};

static volatile sig_atomic_t stopped;

static void
on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static void __attribute__((format(printf, 2, 3))) story(const struct demo *d, const char *fmt, ...)
{
	time_t now = time(NULL);
	struct tm tm;
	va_list ap;

	gmtime_r(&now, &tm);
	printf("%5.0f s  %02d:%02d:%02d  ", (double)(clock_boot_us() - d->start_us) / 1e6, tm.tm_hour, tm.tm_min,
	       tm.tm_sec);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static void
story_text(const struct demo *d, const char *what, const char *text)
{
	story(d, "%s", what);
	printf("                   ");
	print_text(stdout, text);
	putchar('\n');
	fflush(stdout);
}

/* Live for a while, times the pace; false when somebody stopped us. */
static bool
pause_for(struct demo *d, double seconds)
{
	int64_t end = clock_boot_us() + (int64_t)(seconds * d->o->pace * 1e6);

	while (!stopped && clock_boot_us() < end)
		fleet_run(d->fleet, TURN_MS);
	return !stopped;
}

/* ---- the API ---- */

static bool
call(struct demo *d, const char *method, const char *path, const char *id, json_t *body, struct api_answer *a)
{
	bool ok = api_request(d->api, method, path, id, body, NULL, API_MS, a);

	if (!ok)
		fprintf(stderr, "faultline sim: %s\n", a->error);
	json_decref(body);
	return ok;
}

/* A demo plays on an empty server or on its own fleet, never among the hosts of others. */
static bool
ours(struct demo *d)
{
	struct api_answer a;
	json_int_t known;
	size_t i;
	json_t *row;
	bool found = false;

	if (!call(d, "GET", "/v1/now", NULL, NULL, &a))
		return api_answer_fini(&a), false;
	known = json_count(json_object_get(a.body, "hosts"), "known");
	api_answer_fini(&a);
	if (known == 0 || d->o->force)
		return true;
	if (call(d, "GET", "/v1/deployments?limit=200", NULL, NULL, &a))
		json_array_foreach(json_object_get(a.body, "deployments"), i, row) found =
			found || strstr(json_member(row, "id"), MARK) != NULL;
	api_answer_fini(&a);
	if (!found)
		fprintf(stderr,
			"faultline sim: %s knows %lld hosts that are not of a demo; the demo plays among its own only "
			"(--force plays here all the same)\n",
			api_client_server(d->api), (long long)known);
	return found;
}

static bool
announce(struct demo *d, struct show *s)
{
	json_t *rings = json_array();
	struct api_answer a;
	bool ok;

	for (unsigned i = 0; i < 3; i++)
		json_array_append_new(rings, i < 2 ? json_pack("{s:s, s:i}", "name", i == 0 ? "canary" : "early",
							       "hosts", (int)s->rings[i])
						   : json_pack("{s:s}", "name", "rest"));
	ok = call(d, "PUT", "/v1/deployments/%s", s->id,
		  json_pack("{s:s, s:s, s:[s], s:{s:[s]}, s:s, s:f, s:o, s:s, s:{s:i}}", "artefact", s->artefact,
			    "version", s->version, "modules", s->module, "eligible", "products",
			    sim_products[s->product], "assignment", "hash", "bake", d->o->bake_s, "rings", rings,
			    "actor", "faultline-demo", "halt", "host_age", 0),
		  &a);
	api_answer_fini(&a);
	return ok;
}

static bool
ask(struct demo *d, struct show *s)
{
	struct api_answer a;
	bool ok = call(d, "GET", "/v1/deployments/%s/verdict", s->id, NULL, &a);

	if (ok) {
		snprintf(s->verdict, sizeof(s->verdict), "%s", json_member(a.body, "verdict"));
		snprintf(s->state, sizeof(s->state), "%s", json_member(a.body, "state"));
		snprintf(s->summary, sizeof(s->summary), "%s", json_member(a.body, "reason"));
	}
	api_answer_fini(&a);
	return ok;
}

static bool
receipts(struct demo *d, const struct show *s, unsigned first, unsigned n, bool withdrawn)
{
	for (unsigned end = first + n; first < end;) {
		unsigned now = end - first < RECEIPTS ? end - first : RECEIPTS;
		json_t *hosts = json_array();
		struct api_answer a;
		char id[32];
		bool ok;

		for (unsigned i = first; i < first + now; i++) {
			fleet_host_id(d->fleet, s->hosts[i], id);
			json_array_append_new(hosts, json_string(id));
		}
		ok = call(
			d, "POST", "/v1/deployments/%s/receipts", s->id,
			json_pack("{s:o, s:b, s:s}", "hosts", hosts, "withdrawn", withdrawn, "actor", "faultline-demo"),
			&a);
		api_answer_fini(&a);
		if (!ok)
			return false;
		first += now;
	}
	return true;
}

/* ---- what happens ---- */

/* Serve n more hosts within some seconds, a portion each half second; a halt ends it. */
static bool
serve(struct demo *d, struct show *s, unsigned n, double seconds, bool bad)
{
	unsigned end = s->served + n < s->n_hosts ? s->served + n : s->n_hosts;
	unsigned portion = (unsigned)((double)n / (seconds * 2)) + 1;

	while (s->served < end) {
		unsigned now = end - s->served < portion ? end - s->served : portion;

		/* The receipt first: a host that dies at once never says that it was served. */
		if (!receipts(d, s, s->served, now, false))
			return false;
		for (unsigned i = 0; i < now; i++, s->served++) {
			fleet_install(d->fleet, s->hosts[s->served], s->payload, true);
			fleet_serve(d->fleet, s->hosts[s->served], 1, bad);
		}
		if (!pause_for(d, 0.5) || !ask(d, s))
			return false;
		if (strcmp(s->verdict, "halt") == 0)
			return true;
	}
	return true;
}

/* Until the verdict is not hold, or the time is over. */
static bool
await_verdict(struct demo *d, struct show *s, double seconds)
{
	int64_t end = clock_boot_us() + (int64_t)(seconds * 1e6);

	do {
		if (stopped || !ask(d, s))
			return false;
		if (strcmp(s->verdict, "hold") != 0)
			return true;
		fleet_run(d->fleet, 200);
	} while (clock_boot_us() < end);
	return true;
}

static bool
gather(struct demo *d)
{
	int64_t end = clock_boot_us() + CONNECT_S * 1000000ll;

	while (!fleet_settled(d->fleet) && !stopped) {
		if (clock_boot_us() > end) {
			fprintf(stderr, "faultline sim: %s is not reached within %d s\n", d->o->stream, CONNECT_S);
			return false;
		}
		fleet_run(d->fleet, 20);
	}
	fleet_beat_all(d->fleet);
	fleet_noise(d->fleet, true);
	story(d, "%u hosts at 14 sites say that they live; some programs crash now and then, as everywhere",
	      d->o->hosts);
	return pause_for(d, 4);
}

static bool
healthy(struct demo *d)
{
	if (!announce(d, &d->proxy) || !announce(d, &d->driver))
		return false;
	story(d, "%s goes to the canary ring, then to all %u edge proxies", d->proxy.id, d->proxy.n_hosts);
	if (!serve(d, &d->proxy, d->proxy.rings[0], 1, false) || !await_verdict(d, &d->proxy, 20) ||
	    !serve(d, &d->proxy, d->proxy.n_hosts, 3, false))
		return false;
	story(d, "%s begins on %u kiosks", d->driver.id, d->driver.n_hosts);
	if (!serve(d, &d->driver, d->driver.rings[0], 1, false) || !await_verdict(d, &d->driver, 20) ||
	    !serve(d, &d->driver, d->driver.rings[1], 3, false) || !ask(d, &d->proxy))
		return false;
	story_text(d, "the first one is through:", d->proxy.summary);
	return pause_for(d, 3);
}

static bool
disaster(struct demo *d)
{
	struct show *s = &d->file;

	if (!announce(d, s))
		return false;
	story(d, "%s goes to a canary ring of %u laptops; this content is fine", s->id, s->rings[0]);
	if (!serve(d, s, s->rings[0], 2, false) || !await_verdict(d, s, 30))
		return false;
	story_text(d, "the canaries live: the next ring may go on", s->summary);
	if (!pause_for(d, 2))
		return false;
	story(d, "ring 2 gets other content than the canaries had, and it is bad: hosts crash in csagent.sys at boot");
	if (!serve(d, s, s->rings[1], 60, true))
		return false;
	if (strcmp(s->verdict, "halt") == 0)
		story_text(d, "HALT. Nothing more is served:", s->summary);
	else
		story_text(d, "the ring is through without a halt:", s->summary);
	if (!pause_for(d, 15))
		return false;
	story(d, "%llu of %u laptops are harmed: they crash at boot again and again, or fall silent",
	      (unsigned long long)fleet_stats(d->fleet)->crashed_hosts, s->n_hosts);
	return true;
}

static bool
recovery(struct demo *d)
{
	struct show *s = &d->file;
	int64_t end;

	if (!receipts(d, s, 0, s->served, true))
		return false;
	for (unsigned i = 0; i < s->served; i++)
		fleet_install(d->fleet, s->hosts[i], s->payload, false);
	fleet_fix(d->fleet);
	story(d, "the content is withdrawn and people repair the hosts: they boot and stay up (a host that booted"
		 " three times in a minute is believed after a minute)");
	end = clock_boot_us() + 180 * 1000000ll;
	do {
		if (!pause_for(d, 0.5) || !ask(d, s))
			return false;
	} while (strcmp(s->state, "recovered") != 0 && clock_boot_us() < end);
	story_text(d,
		   strcmp(s->state, "recovered") == 0 ? "RECOVERED. It stays halted until a person releases it:"
						      : "now:",
		   s->summary);
	return true;
}

/* On and on: the driver goes to the rest, a few at a time. */
static bool
quiet(struct demo *d)
{
	int64_t end = d->o->duration_s > 0 ? d->start_us + (int64_t)(d->o->duration_s * 1e6) : INT64_MAX;

	story(d, "from here on it is quiet; the demo lives until it is stopped");
	while (!stopped && clock_boot_us() < end) {
		if (d->driver.served < d->driver.n_hosts && !serve(d, &d->driver, 5, 1, false))
			return false;
		if (!pause_for(d, 10))
			break;
	}
	return true;
}

/* ---- setting the stage ---- */

static bool
stage(struct demo *d, struct show *s)
{
	struct sim_part part;

	snprintf(s->id, sizeof(s->id), "%s" MARK "%lld", s->name, (long long)time(NULL) % 1000000);
	s->hosts = calloc(d->o->hosts, sizeof(*s->hosts));
	for (unsigned i = 0; s->hosts != NULL && i < d->o->hosts; i++) {
		sim_cast(d->o->seed, i, &part);
		if (part.product == s->product)
			s->hosts[s->n_hosts++] = i;
	}
	return s->n_hosts > 0;
}

static bool
play(struct demo *d)
{
	return gather(d) && healthy(d) && disaster(d) && recovery(d) && quiet(d);
}

int
demo_run(const struct sim_options *given)
{
	struct sim_options o = *given;
	struct demo d = {
		.o = &o,
		.start_us = clock_boot_us(),
		.proxy = { "edge-proxy-4.2", "edge-proxy", "4.2", "libproxy.so.4", SIM_EDGE, SIM_PROXY, { 30, 150 } },
		.driver = { "display-driver-552",
			    "display-driver",
			    "552.44",
			    "kiosk-gpu.sys",
			    SIM_KIOSK,
			    SIM_DISPLAY_DRIVER,
			    { 40, 300 } },
		.file = { "channel-file-291",
			  "channel-file",
			  "291-32",
			  "csagent.sys",
			  SIM_LAPTOP,
			  SIM_CHANNEL_FILE,
			  { 60, 900 } },
	};
	struct sigaction act = { .sa_handler = on_signal };
	char err[512] = "out of memory";
	bool ok = false;

	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	o.module = d.file.module;
	o.bind = false; /* sites by their names, not by the networks of loopback */
	o.quiet = true;
	if ((d.api = api_client_new(o.api, o.token_file, err, sizeof(err))) == NULL || !stage(&d, &d.proxy) ||
	    !stage(&d, &d.driver) || !stage(&d, &d.file)) {
		fprintf(stderr, "faultline sim: %s\n", err);
	} else if (ours(&d)) {
		o.deployment = d.file.id;
		if ((d.fleet = fleet_new(&o, err, sizeof(err))) == NULL)
			fprintf(stderr, "faultline sim: %s\n", err);
		else
			printf("the dashboard: %s/\n", api_client_server(d.api));
		fflush(stdout);
		ok = d.fleet != NULL && (play(&d) || stopped);
		if (d.fleet != NULL && ok) {
			fleet_goodbye(d.fleet);
			fleet_run(d.fleet, 500);
			story(&d, "stopped: every host said goodbye");
		}
	}
	fleet_free(d.fleet);
	api_client_free(d.api);
	free(d.proxy.hosts);
	free(d.driver.hosts);
	free(d.file.hosts);
	return ok ? SIM_DONE : SIM_FAILED;
}
