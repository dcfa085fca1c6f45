/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/sim.h"

#define API_MS          10000
#define ASK_MS          50 /* between questions for the verdict */
#define SERVE_MS        50 /* between portions of a ring */
#define CONNECT_S       20
#define RECEIPT_AT_ONCE 1000u

static bool
failed(const struct rollout *r, const char *what, const struct api_answer *a)
{
	fprintf(stderr, "faultline sim: %s: %s\n", what, a->error);
	(void)r;
	return false;
}

/* ---- the API ---- */

static bool
create_deployment(struct rollout *r)
{
	const struct sim_options *o = r->o;
	json_t *rings = json_array(), *plan;
	struct api_answer a;
	bool ok;

	for (unsigned i = 0; i < o->n_rings; i++) {
		char name[16];

		snprintf(name, sizeof(name), "ring-%u", i + 1);
		json_array_append_new(rings, json_pack("{s:s, s:i}", "name", name, "hosts", (int)o->rings[i]));
	}
	/* hosts are served in an order that has nothing to do with them, and exist for seconds */
	plan = json_pack("{s:s, s:s, s:[s], s:{s:[s]}, s:s, s:f, s:o, s:s, s:{s:i}}", "artefact", "sensor-content",
			 "version", "291-32", "modules", o->module, "eligible", "products", "sensor", "assignment",
			 "hash", "bake", o->bake_s, "rings", rings, "actor", "faultline-sim", "halt", "host_age", 0);
	ok = api_request(r->api, "PUT", "/v1/deployments/%s", o->deployment, plan, NULL, API_MS, &a);
	json_decref(plan);
	if (!ok)
		failed(r, "cannot register the deployment", &a);
	api_answer_fini(&a);
	return ok;
}

/* The verdict as it is now, into r. */
static bool
ask(struct rollout *r, json_int_t *eligible_out)
{
	struct api_answer a;
	bool ok = api_request(r->api, "GET", "/v1/deployments/%s/verdict", r->o->deployment, NULL, NULL, API_MS, &a);

	if (ok) {
		snprintf(r->verdict, sizeof(r->verdict), "%s", json_member(a.body, "verdict"));
		snprintf(r->state, sizeof(r->state), "%s", json_member(a.body, "state"));
		snprintf(r->reason, sizeof(r->reason), "%s", json_member(a.body, "reason"));
		snprintf(r->signature, sizeof(r->signature), "%s",
			 json_member(json_object_get(a.body, "evidence"), "signature"));
		if (eligible_out != NULL)
			*eligible_out = json_count(a.body, "eligible");
	} else {
		failed(r, "cannot ask for the verdict", &a);
	}
	api_answer_fini(&a);
	return ok;
}

static bool
send_receipts(struct rollout *r, unsigned first, unsigned n)
{
	json_t *hosts = json_array(), *body = json_pack("{s:o, s:s}", "hosts", hosts, "actor", "faultline-sim");
	struct api_answer a;
	char id[32];
	bool ok;

	for (unsigned i = first; i < first + n; i++) {
		fleet_host_id(r->fleet, i, id);
		json_array_append_new(hosts, json_string(id));
	}
	ok = api_request(r->api, "POST", "/v1/deployments/%s/receipts", r->o->deployment, body, NULL, API_MS, &a);
	json_decref(body);
	if (!ok)
		failed(r, "cannot register who is served", &a);
	api_answer_fini(&a);
	return ok;
}

/* ---- the rollout ---- */

static bool
is_halted(struct rollout *r)
{
	return strcmp(r->verdict, "halt") == 0;
}

static int
note_halt(struct rollout *r)
{
	const struct fleet_stats *s = fleet_stats(r->fleet);

	r->harmed_at_halt = s->crashed_hosts;
	if (r->bad_start_us != 0)
		r->halted_after_s = (double)(clock_boot_us() - r->bad_start_us) / 1e6;
	sim_say(r->o, "HALT in ring %u: %s", r->ring, r->reason);
	return SIM_HALT;
}

static bool
out_of_time(const struct rollout *r)
{
	return (double)(clock_boot_us() - r->start_us) / 1e6 > r->o->duration_s;
}

/* Serve one ring in portions; a halt that arrives meanwhile ends it. */
static int
serve_ring(struct rollout *r, unsigned first, unsigned n)
{
	bool bad = r->o->bad_ring != 0 && r->ring >= r->o->bad_ring;
	double portion = r->o->serve_rate * SERVE_MS / 1000, due = 0;
	unsigned done = 0;

	if (bad && r->bad_start_us == 0)
		r->bad_start_us = clock_boot_us();
	while (done < n) {
		unsigned now;

		due += portion;
		now = due > (double)(n - done) ? n - done : (unsigned)due;
		if (now > RECEIPT_AT_ONCE)
			now = RECEIPT_AT_ONCE;
		due -= now;
		/* The receipt first: a host that dies at once never says that it was served. */
		if (now > 0 && !send_receipts(r, first + done, now))
			return SIM_FAILED;
		for (unsigned i = 0; i < now; i++)
			fleet_serve(r->fleet, first + done + i, r->ring, bad);
		done += now;
		r->served += now;
		fleet_run(r->fleet, SERVE_MS);
		if (!ask(r, NULL))
			return SIM_FAILED;
		if (is_halted(r) || fleet_told_halted(r->fleet))
			return SIM_HALT;
	}
	return SIM_DONE;
}

/* Until the verdict on what was served so far is not hold any more. */
static int
wait_for_verdict(struct rollout *r)
{
	int64_t end = clock_boot_us() + (int64_t)(r->o->ring_wait_s * 1e6);

	for (;;) {
		if (!ask(r, NULL))
			return SIM_FAILED;
		if (is_halted(r))
			return SIM_HALT;
		if (strcmp(r->verdict, "proceed") == 0)
			return SIM_DONE;
		if (clock_boot_us() >= end || out_of_time(r))
			return SIM_HOLD;
		fleet_run(r->fleet, ASK_MS);
	}
}

static int
roll_out(struct rollout *r)
{
	unsigned first = 0;
	int status = SIM_DONE;

	r->start_us = clock_boot_us();
	for (unsigned i = 0; i < r->o->n_rings && status == SIM_DONE; i++) {
		r->ring = i + 1;
		sim_say(r->o, "ring %u: serving %u hosts%s", r->ring, r->o->rings[i],
			r->o->bad_ring != 0 && r->ring >= r->o->bad_ring ? " the bad payload" : "");
		status = serve_ring(r, first, r->o->rings[i]);
		first += r->o->rings[i];
		if (status == SIM_DONE) {
			sim_say(r->o, "ring %u: served, waiting for the verdict", r->ring);
			status = wait_for_verdict(r);
		}
		if (status == SIM_DONE)
			sim_say(r->o, "ring %u: %s: %s", r->ring, r->verdict, r->reason);
	}
	if (status == SIM_HALT && ask(r, NULL))
		note_halt(r);
	else
		r->harmed_at_halt = fleet_stats(r->fleet)->crashed_hosts;
	return status;
}

static bool
settle(struct rollout *r)
{
	int64_t end = clock_boot_us() + CONNECT_S * 1000000ll;

	while (!fleet_settled(r->fleet)) {
		if (clock_boot_us() > end) {
			fprintf(stderr, "faultline sim: %u of %u connections to %s are up after %d s\n",
				fleet_stats(r->fleet)->connected, r->o->connections, r->o->stream, CONNECT_S);
			return false;
		}
		fleet_run(r->fleet, 20);
	}
	return true;
}

/* Connected, every host said that it lives, and every ordinary crash was seen once. */
static bool
gather(struct rollout *r)
{
	if (!settle(r))
		return false;
	fleet_beat_all(r->fleet);
	fleet_noise(r->fleet, true);
	return settle(r);
}

/* The ledger knows the whole fleet. */
static bool
known(struct rollout *r)
{
	int64_t end = clock_boot_us() + CONNECT_S * 1000000ll;
	json_int_t eligible = 0;

	do {
		if (!ask(r, &eligible))
			return false;
		if (eligible >= (json_int_t)r->o->hosts)
			return true;
		fleet_run(r->fleet, 100);
	} while (clock_boot_us() < end);
	fprintf(stderr, "faultline sim: the server knows %lld of %u hosts after %d s\n", (long long)eligible,
		r->o->hosts, CONNECT_S);
	return false;
}

int
rollout_run(struct rollout *r)
{
	sim_say(r->o, "%u hosts at %u sites over %u connections to %s", r->o->hosts, r->o->sites, r->o->connections,
		r->o->stream);
	if (!gather(r))
		return SIM_FAILED;
	sim_say(r->o, "every host was heard; registering deployment %s", r->o->deployment);
	if (!create_deployment(r) || !known(r))
		return SIM_FAILED;
	return roll_out(r);
}
