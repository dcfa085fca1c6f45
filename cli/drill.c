/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "cli/api_client.h"
#include "cli/drill.h"
#include "cli/option.h"
#include "client/faultline-client.h"

/* A fire drill.  Its hosts are always the same, have a product of their own and leave with a goodbye,
 * so that they are a stratum of their own in every deployment and no fleet grows by them.  They crash
 * as user-mode programs: the alarms that need no deployment listen to kernels. */
#define PRODUCT    "faultline-drill"
#define SITES      8u
#define SERVED     10u
#define TIMEOUT_MS 10000
#define POLL_MS    2000
#define PACE_MS    250   /* between two crashes that may decide: it is seen which one did */
#define TOO_FEW    4u    /* halt_hosts_user is 5: these cannot decide */
#define LEAST_MS   2000  /* a notice that was not queued by then is none of that endpoint's */
#define CLOSE      "10m" /* should this program be killed */

static const char help[] =
	"usage: faultline deploy drill [ID] [--stream HOST:PORT] [--hosts N] [--wait TIME] [--keep] [--json]\n\n"
	"A harmless fire drill against a running server: registers a deployment ID [drill-TIME], serves it to 10 of\n"
	"160 simulated hosts, crashes these one by one over the native stream, and waits at the gate until the verdict\n"
	"is halt.  Says how long each stage took, whether endpoints were told to stop and whether webhooks were\n"
	"delivered, and deletes the deployment again.  Whoever is paged by webhooks is paged: that is the point.\n\n"
	"  --stream HOST:PORT  the native stream listener [127.0.0.1:8481]\n"
	"  --hosts N           simulated hosts [160]\n"
	"  --wait TIME         for each stage [30s]\n"
	"  --times N           N alarms, one after the other, and the latencies of all; tells endpoints and looks at\n"
	"                      webhooks with the last [1]\n"
	"  --keep              leave the deployment for a look (faultline explain ID; deploy delete ID --force)\n"
	"  --server URL        address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE   file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --json              print the result as an object\n\n"
	"Exit 0: the alarm works; 1: it does not; 2: usage.\n";

struct drill {
	struct api_client *client;
	struct faultline *stream;
	const char *server, *token_file, *stream_server;
	char id[140], token[1100], module[48];
	unsigned hosts, times, done, crashed; /* done: alarms that worked */
	double *halted_ms;                    /* of each */
	int64_t wait_ms;
	uint64_t salt;
	bool keep, json, registered;
	/* the gate */
	struct api_client *gate;
	pthread_t thread;
	bool waiting;
	_Atomic bool stop;
	_Atomic int64_t halted_us;   /* clock_boot_us(); 0: not yet */
	char reason[512], since[40]; /* of the halt, once halted_us is set */
	unsigned counted;            /* crashes in its evidence */
	/* the result */
	int64_t sent_us, accepted_us, told_us; /* of the crash that decided; endpoints told */
	unsigned decided;                      /* which crash that was */
	unsigned refused;
	json_t *webhooks;
	const char *failed; /* the first stage that did */
	char why[640];
};

static _Atomic bool interrupted;

static void
on_signal(int number)
{
	(void)number;
	interrupted = true;
}

static bool
fail(struct drill *d, const char *stage, const char *why)
{
	if (d->failed == NULL) {
		d->failed = stage;
		snprintf(d->why, sizeof(d->why), "%s", interrupted ? "interrupted" : why);
	}
	return false;
}

static bool
over(int64_t end_us)
{
	return interrupted || clock_boot_us() >= end_us;
}

static int64_t
end_of_wait(const struct drill *d)
{
	return clock_boot_us() + d->wait_ms * 1000;
}

static void
nap(int64_t ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* ---- the hosts ---- */

static void
on_refused(void *arg, uint64_t ticket, const char *cookie, const char *code, const char *message)
{
	struct drill *d = arg;

	(void)ticket;
	(void)cookie;
	if (d->refused++ == 0)
		snprintf(d->why, sizeof(d->why), "the server refused a report: %s: %s", code, message);
}

static void
host_id(unsigned host, char out[32])
{
	snprintf(out, 32, "drill-%04u", host);
}

static bool
beat(struct drill *d, unsigned host, bool goodbye)
{
	char id[32], site[24];
	struct faultline_pair label = { "site", site };
	struct faultline_heartbeat b = {
		.host = id,
		.boot_id = PRODUCT, /* always one boot, or a few drills were a boot loop */
		.boot_id_len = sizeof(PRODUCT) - 1,
		.uptime_s = 86400,
		.product = PRODUCT,
		.labels = &label,
		.n_labels = 1,
	};

	host_id(host, id);
	snprintf(site, sizeof(site), "drill-site-%u", host % SITES);
	b.host_len = strlen(id);
	return (goodbye ? faultline_goodbye : faultline_heartbeat)(d->stream, &b) == FAULTLINE_OK;
}

/* Every host says hello, or goodbye. */
static bool
beats(struct drill *d, bool goodbye)
{
	for (unsigned i = 0; i < d->hosts; i++)
		if (!beat(d, i, goodbye))
			return false;
	return faultline_flush(d->stream, (int)d->wait_ms) == FAULTLINE_OK;
}

static bool
crash(struct drill *d, unsigned host)
{
	char id[32], site[24];
	struct faultline_pair label = { "site", site };
	struct faultline_report r = {
		.host = id,
		.boot_id = PRODUCT,
		.boot_id_len = sizeof(PRODUCT) - 1,
		.epoch = hash_mix(d->salt + host) | 1,
		.seq = 1,
		.kind = FAULTLINE_KIND_USER,
		.module = d->module,
		.module_id = d->module,
		.offset = 0xd1,
		.reason = "EXCEPTION_BREAKPOINT",
		.product = PRODUCT,
		.labels = &label,
		.n_labels = 1,
	};

	host_id(host, id);
	snprintf(site, sizeof(site), "drill-site-%u", host % SITES);
	r.host_len = strlen(id);
	return faultline_report(d->stream, &r, NULL) == FAULTLINE_OK;
}

static bool
connect_hosts(struct drill *d)
{
	struct faultline_options o = {
		.size = sizeof(o),
		.server = d->stream_server,
		.token = d->token[0] != '\0' ? d->token : NULL,
		.agent = "faultline-drill",
		.on = { .refused = on_refused },
		.arg = d,
	};
	const int64_t end = end_of_wait(d);
	char err[256];

	if ((d->stream = faultline_new(&o, err, sizeof(err))) == NULL)
		return fail(d, "connect", err);
	while (!faultline_connected(d->stream) && !over(end))
		faultline_wait(d->stream, 100);
	if (!faultline_connected(d->stream))
		return fail(d, "connect", "the native stream listener does not answer: see --stream");
	return beats(d, false) || fail(d, "connect", "heartbeats were not acknowledged");
}

/* ---- the deployment ---- */

static bool
ask(struct drill *d, const char *stage, const char *method, const char *path, json_t *body, struct api_answer *a)
{
	const bool ok = api_request(d->client, method, path, d->id, body, NULL, TIMEOUT_MS, a);

	json_decref(body);
	if (!ok)
		fail(d, stage, a->error);
	return ok;
}

static bool
deploy(struct drill *d)
{
	const int64_t end = end_of_wait(d);
	struct api_answer a;
	const json_t *assumed;
	json_int_t heard = 0;
	bool ok;

	/* Hosts of a drill are known for seconds, and their site may be this machine's: its own terms. */
	ok = ask(d, "register", "PUT", "/v1/deployments/%s",
		 json_pack("{s:s, s:s, s:[s], s:{s:[s]}, s:s, s:[{s:s, s:i}], s:s, s:s, s:{s:i, s:i}}", "artefact",
			   "fire drill: not a real deployment", "actor", "faultline deploy drill", "modules", d->module,
			   "eligible", "products", PRODUCT, "assignment", "hash", "rings", "name", "drill", "hosts",
			   (int)SERVED, "bake", "1m", "close_after", CLOSE, "halt", "host_age", 0, "sites_user", 1),
		 &a);
	d->registered = ok;
	api_answer_fini(&a);
	/* hosts of an earlier drill are heard of again within a second or two: presence is told by the second */
	while (ok && heard < d->hosts && !over(end)) {
		ok = ask(d, "register", "GET", "/v1/deployments/%s/verdict", NULL, &a);
		assumed = json_object_get(a.body, "assumptions");
		heard = json_count(assumed, "at_risk_served") + json_count(assumed, "at_risk_unserved");
		api_answer_fini(&a);
		if (ok && heard < d->hosts)
			nap(20);
	}
	if (ok && heard < d->hosts)
		ok = fail(d, "register", "the server does not hear the hosts of the drill");
	return ok;
}

static bool
serve(struct drill *d)
{
	json_t *hosts = json_array();
	struct api_answer a;
	char id[32];
	bool ok;

	for (unsigned i = 0; i < SERVED; i++) {
		host_id(i, id);
		json_array_append_new(hosts, json_string(id));
	}
	ok = ask(d, "serve", "POST", "/v1/deployments/%s/receipts",
		 json_pack("{s:o, s:s}", "hosts", hosts, "actor", "faultline deploy drill"), &a);
	api_answer_fini(&a);
	return ok;
}

/* ---- the gate: a long poll on a thread of its own ---- */

static void *
watch(void *arg)
{
	struct drill *d = arg;
	char path[80], etag[96] = "";

	snprintf(path, sizeof(path), "/v1/deployments/%%s/verdict?wait=%dms", POLL_MS);
	while (!d->stop) {
		struct api_answer a;
		bool ok = api_request(d->gate, "GET", path, d->id, NULL, etag[0] != '\0' ? etag : NULL,
				      POLL_MS + TIMEOUT_MS, &a);
		const int64_t now = clock_boot_us();

		snprintf(etag, sizeof(etag), "%s", ok ? a.etag : "");
		if (ok && a.body != NULL && strcmp(json_member(a.body, "verdict"), "halt") == 0) {
			snprintf(d->reason, sizeof(d->reason), "%s", json_member(a.body, "reason"));
			snprintf(d->since, sizeof(d->since), "%s", json_member(a.body, "since"));
			d->counted = (unsigned)json_count(json_object_get(a.body, "evidence"), "hosts");
			d->halted_us = now;
			d->stop = true;
		}
		api_answer_fini(&a);
		if (!ok)
			nap(100);
	}
	return NULL;
}

/* Crash the served hosts, one by one, until the gate says halt. */
static bool
burn(struct drill *d)
{
	const int64_t end = end_of_wait(d);
	int64_t sent[SERVED], accepted[SERVED];

	while (d->halted_us == 0 && d->crashed < SERVED && !over(end)) {
		const unsigned i = d->crashed;

		sent[i] = clock_boot_us();
		if (!crash(d, i) || faultline_flush(d->stream, (int)d->wait_ms) != FAULTLINE_OK)
			return fail(d, "report", "a crash report was not acknowledged");
		if (d->refused > 0)
			return fail(d, "report", d->why);
		accepted[d->crashed++] = clock_boot_us();
		for (int64_t next = clock_boot_us() + PACE_MS * 1000;
		     d->crashed >= TOO_FEW && d->halted_us == 0 && !over(next);)
			faultline_wait(d->stream, 5);
	}
	while (d->halted_us == 0 && !over(end))
		faultline_wait(d->stream, 20);
	if (d->halted_us == 0)
		return fail(d, "halt", "every served host has crashed and the gate was not told to halt");
	d->decided = (d->counted > 0 && d->counted < d->crashed ? d->counted : d->crashed) - 1;
	d->sent_us = sent[d->decided];
	d->accepted_us = accepted[d->decided];
	return true;
}

/* Endpoints hear of it with any ack. */
static bool
brake(struct drill *d)
{
	const int64_t end = end_of_wait(d);

	while (!faultline_is_halted(d->stream, d->id) && !over(end)) {
		beat(d, d->hosts - 1, false);
		faultline_wait(d->stream, 20);
	}
	if (!faultline_is_halted(d->stream, d->id))
		return fail(d, "brake", "acknowledgements of the native stream do not name the halted deployment");
	d->told_us = clock_boot_us();
	return true;
}

/* ---- webhooks ---- */

static double
seconds_between(const char *from, const char *to)
{
	int64_t a, b;

	return clock_parse_rfc3339(from, &a) == 0 && clock_parse_rfc3339(to, &b) == 0 ? (double)(b - a) / 1e6 : -1;
}

/* The notice of our halt at one endpoint; NULL: it has none.  An Alertmanager is told everything that
 * fires, again and again: there the first time since the halt counts. */
static json_t *
delivery(struct drill *d, const char *name)
{
	json_t *found = NULL;
	const json_t *one;
	struct api_answer a;
	size_t i;

	if (!api_request(d->client, "GET", "/v1/webhooks/%s", name, NULL, NULL, TIMEOUT_MS, &a)) {
		api_answer_fini(&a);
		return NULL;
	}
	json_array_foreach(json_object_get(a.body, "deliveries"), i,
			   one) if (found == NULL && strcmp(json_member(one, "deployment"), d->id) == 0 &&
				    strcmp(json_member(one, "type"), "halt.raised") == 0) found = json_deep_copy(one);
	if (found == NULL && strcmp(json_member(a.body, "format"), "alertmanager") == 0 &&
	    seconds_between(d->since, json_member(a.body, "last_attempt")) >= 0)
		found = json_pack("{s:s, s:s, s:s, s:s}", "state",
				  strcmp(json_member(a.body, "state"), "ok") == 0 ? "delivered" : "pending", "queued",
				  d->since, "last_attempt", json_member(a.body, "last_attempt"), "last_error",
				  json_member(a.body, "last_error"));
	api_answer_fini(&a);
	return found;
}

static bool
hook(struct drill *d, const char *name, const char *format, int64_t end)
{
	const char *state = "not_for_it";
	double took = -1;
	json_t *one = NULL;
	bool good;

	for (;;) {
		json_decref(one);
		one = delivery(d, name);
		if (one != NULL && strcmp(json_member(one, "state"), "pending") != 0)
			break;
		if (over(end) || (one == NULL && clock_boot_us() > d->halted_us + LEAST_MS * 1000))
			break;
		nap(50);
	}
	if (one != NULL) {
		state = json_member(one, "state");
		took = seconds_between(json_member(one, "queued"), json_member(one, "last_attempt"));
	}
	json_array_append_new(d->webhooks,
			      json_pack("{s:s, s:s, s:s, s:f, s:s}", "name", name, "format", format, "state", state,
					"seconds", took, "error", one != NULL ? json_member(one, "last_error") : ""));
	good = strcmp(state, "delivered") == 0 || strcmp(state, "not_for_it") == 0;
	json_decref(one);
	return good;
}

static bool
hooks(struct drill *d)
{
	const int64_t end = end_of_wait(d);
	const json_t *one;
	struct api_answer a;
	bool ok, delivered = true;
	size_t i;

	if ((ok = api_request(d->client, "GET", "/v1/webhooks", NULL, NULL, NULL, TIMEOUT_MS, &a))) {
		json_array_foreach(json_object_get(a.body, "webhooks"), i, one) delivered &=
			hook(d, json_member(one, "name"), json_member(one, "format"), end);
	} else
		fail(d, "webhooks", a.error);
	api_answer_fini(&a);
	return ok && (delivered || fail(d, "webhooks", "a webhook was not delivered"));
}

/* ---- the end ---- */

/* The gate leaves, the deployment goes. */
static bool
drop(struct drill *d)
{
	struct api_answer a;
	bool ok = true;

	d->stop = true;
	if (d->waiting)
		pthread_join(d->thread, NULL);
	d->waiting = false;
	if (!d->registered || d->keep)
		return true;
	if (!ask(d, "clean up", "DELETE", "/v1/deployments/%s?force=1",
		 json_pack("{s:s, s:s}", "reason", "the fire drill is over", "actor", "faultline deploy drill"), &a)) {
		fprintf(stderr, "faultline deploy drill: deployment %s is left: %s\n", d->id, a.error);
		ok = false;
	}
	api_answer_fini(&a);
	d->registered = false;
	return ok;
}

static void
clean_up(struct drill *d)
{
	drop(d);
	if (d->stream != NULL && faultline_connected(d->stream) && !beats(d, true))
		fail(d, "clean up", "the hosts of the drill could not say goodbye; they will count as silent");
	faultline_free(d->stream);
}

static double
ms(int64_t from_us, int64_t to_us)
{
	return to_us > from_us ? (double)(to_us - from_us) / 1e3 : 0;
}

static int
by_time(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of the alarms that worked, sorted. */
static double
quantile(const struct drill *d, double q)
{
	const double at = ceil(q * d->done);

	return d->done > 0 ? d->halted_ms[at > 1 ? (unsigned)at - 1 : 0] : 0;
}

static void
print(const struct drill *d)
{
	const json_t *one;
	size_t i;

	if (d->halted_us != 0) {
		printf("halt: ");
		print_text(stdout, d->reason);
		printf("\n  crash %u of %u decided\n  %-34s %8.1f ms\n  %-34s %8.1f ms\n", d->decided + 1, SERVED,
		       "report sent -> durably accepted", ms(d->sent_us, d->accepted_us),
		       "report sent -> gate says halt", ms(d->sent_us, d->halted_us));
		if (d->told_us != 0)
			printf("  %-34s %8.1f ms\n", "report sent -> endpoints told", ms(d->sent_us, d->told_us));
		json_array_foreach(d->webhooks, i, one)
		{
			const double s = json_number_value(json_object_get(one, "seconds"));

			printf("  webhook ");
			print_text(stdout, json_member(one, "name"));
			printf(": %s", json_member(one, "state"));
			if (s >= 0)
				printf(", %.0f ms after it was queued", s * 1e3);
			putchar('\n');
		}
		if (d->times > 1)
			printf("  %u of %u alarms worked: report sent -> gate says halt p50 %.1f, p99 %.1f, max %.1f ms\n",
			       d->done, d->times, quantile(d, .5), quantile(d, .99), quantile(d, 1));
		if (json_array_size(d->webhooks) == 0)
			puts("  no webhooks are configured: nobody was told");
	}
	if (d->keep)
		printf("  kept: faultline explain %s; faultline deploy delete %s --force\n", d->id, d->id);
	puts(d->failed == NULL ? "the alarm works" : "THE ALARM DOES NOT WORK");
}

static void
print_json(const struct drill *d)
{
	json_t *j =
		json_pack("{s:s, s:b, s:s?, s:s?, s:i, s:i, s:i, s:O}", "deployment", d->id, "works", d->failed == NULL,
			  "failed", d->failed, "why", d->failed != NULL ? d->why : NULL, "hosts", (int)d->hosts,
			  "served", (int)SERVED, "crashed", (int)d->crashed, "webhooks", d->webhooks);

	if (d->halted_us != 0) {
		json_object_set_new(j, "decided", json_integer(d->decided + 1));
		json_object_set_new(j, "accepted_ms", json_real(ms(d->sent_us, d->accepted_us)));
		json_object_set_new(j, "halted_ms", json_real(ms(d->sent_us, d->halted_us)));
		json_object_set_new(j, "reason", json_string(d->reason));
	}
	json_object_set_new(j, "alarms",
			    json_pack("{s:i, s:f, s:f, s:f}", "worked", (int)d->done, "p50_ms", quantile(d, .5),
				      "p99_ms", quantile(d, .99), "max_ms", quantile(d, 1)));
	if (d->told_us != 0)
		json_object_set_new(j, "endpoints_ms", json_real(ms(d->sent_us, d->told_us)));
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
}

/* From a deployment to its halt. */
static bool
alarm_once(struct drill *d)
{
	d->salt = hash_mix(d->salt + 1);
	/* never seen before, nor its module: what is known has a past to be compared with */
	snprintf(d->module, sizeof(d->module), "faultline-drill-%08x.exe", (unsigned)(d->salt >> 32));
	d->crashed = d->counted = 0;
	d->halted_us = 0;
	d->stop = false;
	if (!deploy(d) || !serve(d))
		return false;
	if (pthread_create(&d->thread, NULL, watch, d) != 0)
		return fail(d, "gate", "no thread for it");
	d->waiting = true;
	if (!burn(d))
		return false;
	d->halted_ms[d->done++] = ms(d->sent_us, d->halted_us);
	return true;
}

static bool
run(struct drill *d)
{
	char name[sizeof(d->id)];

	snprintf(name, sizeof(name), "%s", d->id);
	if (!connect_hosts(d))
		return false;
	for (unsigned i = 1;; i++) {
		if (d->times > 1)
			snprintf(d->id, sizeof(d->id), "%.120s-%u", name, i);
		if (!alarm_once(d))
			return false;
		if (i == d->times)
			return brake(d) && hooks(d);
		if (!drop(d))
			return false;
		beats(d, false); /* all are still there */
	}
}

static int
drill(struct drill *d)
{
	const struct sigaction quiet = { .sa_handler = on_signal };
	char err[256];

	d->salt = hash_mix((uint64_t)clock_wall_us() ^ (uint64_t)getpid() << 48);
	if (option_token(d->token_file, d->token, sizeof(d->token), err, sizeof(err)) != 0 ||
	    (d->client = api_client_new(d->server, d->token_file, err, sizeof(err))) == NULL ||
	    (d->gate = api_client_new(d->server, d->token_file, err, sizeof(err))) == NULL) {
		fprintf(stderr, "faultline deploy drill: %s\n", err);
		api_client_free(d->client);
		return 2;
	}
	sigaction(SIGINT, &quiet, NULL);
	sigaction(SIGTERM, &quiet, NULL);
	d->webhooks = json_array();
	d->halted_ms = calloc(d->times, sizeof(*d->halted_ms));
	if (d->halted_ms == NULL)
		fail(d, "start", "out of memory");
	else
		run(d);
	clean_up(d);
	qsort(d->halted_ms, d->done, sizeof(*d->halted_ms), by_time);
	(d->json ? print_json : print)(d);
	if (d->failed != NULL) {
		fprintf(stderr, "faultline deploy drill: %s: ", d->failed);
		print_text(stderr, d->why);
		fputc('\n', stderr);
	}
	json_decref(d->webhooks);
	free(d->halted_ms);
	api_client_free(d->client);
	api_client_free(d->gate);
	return d->failed == NULL ? 0 : 1;
}

static bool
take_option(struct drill *d, int o, const char *arg)
{
	switch (o) {
	case 'm':
		d->stream_server = arg;
		return true;
	case 'n':
		return option_unsigned(arg, 100, 10000, &d->hosts);
	case 'w':
		return parse_wait(arg, &d->wait_ms) == 0 && d->wait_ms >= 1000 && d->wait_ms <= 600000;
	case 'x':
		return option_unsigned(arg, 1, 100000, &d->times);
	case 'k':
		return d->keep = true;
	case 's':
		d->server = arg;
		return true;
	case 't':
		d->token_file = arg;
		return true;
	case 'j':
		return d->json = true;
	default:
		return false;
	}
}

int
cmd_drill(int argc, char **argv)
{
	static const struct option options[] = {
		{ "stream", required_argument, NULL, 'm' }, { "hosts", required_argument, NULL, 'n' },
		{ "wait", required_argument, NULL, 'w' },   { "keep", no_argument, NULL, 'k' },
		{ "server", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
		{ "times", required_argument, NULL, 'x' },  { "token-file", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	struct drill d = { .stream_server = "127.0.0.1:8481", .hosts = 160, .times = 1, .wait_ms = 30000 };
	const time_t now = time(NULL);
	struct tm tm;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (o == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (!take_option(&d, o, optarg)) {
			fputs("faultline deploy drill --help says more.\n", stderr);
			return 2;
		}
	}
	if (argc - optind > 1 || (argc > optind && strlen(argv[optind]) >= sizeof(d.id))) {
		fputs(help, stderr);
		return 2;
	}
	if (argc > optind)
		strcpy(d.id, argv[optind]);
	else
		strftime(d.id, sizeof(d.id), "drill-%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	return drill(&d);
}
