/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "cli/sim.h"

#define NOISE_POOL    40u /* ordinary signatures */
#define LOOPS_MAX     3u  /* times a harmed host crashes again */
#define TURN_MS       5
#define BEATS_AT_ONCE 5000u

struct sim_host {
	int64_t crash_us; /* when the bad payload kills it next; 0: not */
	uint32_t boots, crashes, seq;
	uint8_t ring; /* served in; 0: not served */
	uint8_t has;  /* demo: a bit for each payload */
	bool bad;
};

/* Reports of a connection that wait for their ack, oldest first. */
struct waiting {
	uint64_t ticket;
	int64_t since_us;
};
struct relay {
	struct fleet *fleet;
	struct faultline *client;
	struct waiting *waiting; /* ring */
	size_t head, n, cap;
};

struct fleet {
	const struct sim_options *o;
	struct sim_host *hosts;
	struct relay *relays;
	struct pollfd *fds;
	unsigned n_relays;
	unsigned *harmed; /* hosts that may crash, in the order they were served */
	unsigned n_harmed;
	uint64_t random, seq_base, module_salt;
	int64_t last_us;
	double beat_debt, noise_debt;
	unsigned beat_next;
	bool noise, halted, beating;
	struct fleet_stats stats;
	struct latencies latencies;
};

uint64_t
fleet_random(struct fleet *f)
{
	f->random += 0x9e3779b97f4a7c15u;
	return hash_mix(f->random);
}

static double
uniform(struct fleet *f)
{
	return ((double)(fleet_random(f) >> 11) + 0.5) / 9007199254740992.0;
}

void
fleet_host_id(const struct fleet *f, unsigned host, char out[32])
{
	snprintf(out, 32, "sim%llu-%06u", (unsigned long long)f->o->seed, host);
}

/* ---- events of the connections ---- */

static void
on_acked(void *arg, uint64_t ticket)
{
	struct relay *r = arg;
	int64_t now = clock_boot_us();

	while (r->n > 0 && r->waiting[r->head].ticket <= ticket) {
		latencies_add(&r->fleet->latencies, now - r->waiting[r->head].since_us);
		r->head = (r->head + 1) % r->cap;
		r->n--;
		r->fleet->stats.acked++;
	}
}

static void
on_refused(void *arg, uint64_t ticket, const char *cookie, const char *code, const char *message)
{
	struct relay *r = arg;

	(void)ticket;
	(void)cookie;
	if (r->fleet->stats.refused++ == 0)
		sim_say(r->fleet->o, "a report was refused: %s: %s", code, message);
}

static void
on_halted(void *arg, const char *const *ids, size_t n)
{
	struct relay *r = arg;

	for (size_t i = 0; i < n; i++)
		if (strcmp(ids[i], r->fleet->o->deployment) == 0)
			r->fleet->halted = true;
}

static void
on_connection(void *arg, int connected, const char *why)
{
	struct relay *r = arg;

	if (connected) {
		r->fleet->stats.connected++;
		return;
	}
	r->fleet->stats.disconnects++;
	if (r->fleet->stats.disconnects <= 3)
		sim_say(r->fleet->o, "connection lost: %s", why);
}

/* ---- life ---- */

static bool
open_relay(struct fleet *f, unsigned i, char *err, size_t err_size)
{
	const struct sim_options *o = f->o;
	struct relay *r = &f->relays[i];
	unsigned site = i % o->sites;
	char source[32];
	struct faultline_options co = {
		.size = sizeof(co),
		.server = o->stream,
		.agent = "faultline-sim/" PACKAGE_VERSION,
		.token = o->token[0] != '\0' ? o->token : NULL,
		.batch = o->batch,
		.window = 16,
		.queue_bytes = 64u << 20,
		.arg = r,
		.on = { .acked = on_acked, .refused = on_refused, .halted = on_halted, .connection = on_connection },
	};

	snprintf(source, sizeof(source), "127.%u.%u.%u", 1 + site / 250, 1 + site % 250, 1 + i / o->sites % 250);
	co.bind = o->bind ? source : NULL;
	r->fleet = f;
	r->client = faultline_new(&co, err, err_size);
	return r->client != NULL;
}

struct fleet *
fleet_new(const struct sim_options *o, char *err, size_t err_size)
{
	struct fleet *f = calloc(1, sizeof(*f));

	snprintf(err, err_size, "out of memory");
	if (f == NULL)
		return NULL;
	f->o = o;
	f->random = o->seed;
	/* Later runs of the same seed go on counting where this one cannot have been. */
	f->seq_base = (uint64_t)clock_wall_us();
	f->module_salt = hash64(o->seed, o->deployment, strlen(o->deployment));
	f->last_us = clock_boot_us();
	f->hosts = calloc(o->hosts, sizeof(*f->hosts));
	f->harmed = calloc(o->hosts, sizeof(*f->harmed));
	f->relays = calloc(o->connections, sizeof(*f->relays));
	f->fds = calloc(o->connections, sizeof(*f->fds));
	if (f->hosts == NULL || f->harmed == NULL || f->relays == NULL || f->fds == NULL)
		goto fail;
	for (; f->n_relays < o->connections; f->n_relays++) {
		if (!open_relay(f, f->n_relays, err, err_size))
			goto fail;
		f->fds[f->n_relays] =
			(struct pollfd){ .fd = faultline_fd(f->relays[f->n_relays].client), .events = POLLIN };
	}
	return f;
fail:
	fleet_free(f);
	return NULL;
}

void
fleet_free(struct fleet *f)
{
	if (f == NULL)
		return;
	for (unsigned i = 0; i < f->n_relays; i++) {
		faultline_free(f->relays[i].client);
		free(f->relays[i].waiting);
	}
	latencies_free(&f->latencies);
	free(f->hosts);
	free(f->harmed);
	free(f->relays);
	free(f->fds);
	free(f);
}

/* The hosts of a site share its connections. */
static struct relay *
relay_of(struct fleet *f, unsigned host)
{
	unsigned site = host % f->o->sites, per_site = (f->n_relays - site + f->o->sites - 1) / f->o->sites;

	return &f->relays[site + host / f->o->sites % per_site * f->o->sites];
}

/* ---- what hosts say ---- */

static void
boot_id_of(const struct fleet *f, unsigned host, char out[48])
{
	snprintf(out, 48, "%llx-%u-%u", (unsigned long long)f->seq_base, host, f->hosts[host].boots);
}

/* The texts of one host, and a heartbeat that borrows them. */
struct spoken {
	char id[32], boot[48], site[16];
	struct faultline_pair label, content[SIM_PAYLOADS];
	struct faultline_heartbeat b;
};

/* A host of the demo's mixed fleet. */
static void
cast_speaks(struct fleet *f, unsigned host, struct spoken *s)
{
	static const char *const names[] = { "channel-291", "display-driver", "edge-config" };
	static const char *const versions[][2] = { { "31", "32" }, { "551.86", "552.44" }, { "4.1", "4.2" } };
	static const unsigned payload_of[SIM_PRODUCTS] = { SIM_CHANNEL_FILE, SIM_DISPLAY_DRIVER, SIM_PROXY };
	struct sim_part part;
	unsigned payload;

	sim_cast(f->o->seed, host, &part);
	payload = payload_of[part.product];
	s->content[0].name = names[payload];
	s->content[0].value = versions[payload][f->hosts[host].has >> payload & 1];
	s->label.value = part.site;
	s->b.product = sim_products[part.product];
	s->b.version = part.version;
	s->b.os = part.os;
	s->b.os_build = part.os_build;
	s->b.hw_class = part.hw_class;
	s->b.n_labels = 1;
}

static void
speak(struct fleet *f, unsigned host, struct spoken *s)
{
	const struct sim_options *o = f->o;

	fleet_host_id(f, host, s->id);
	boot_id_of(f, host, s->boot);
	snprintf(s->site, sizeof(s->site), "site-%02u", host % o->sites);
	s->label = (struct faultline_pair){ "site", s->site };
	s->content[0] = (struct faultline_pair){ "sensor-content", f->hosts[host].ring > 0 ? "291-32" : "291-31" };
	s->b = (struct faultline_heartbeat){
		.host = s->id,
		.host_len = strlen(s->id),
		.boot_id = s->boot,
		.boot_id_len = strlen(s->boot),
		.product = "sensor",
		.version = "7.15",
		.os = "windows",
		.os_build = "22631.3880",
		.arch = "x86_64",
		.interval_s = (unsigned)ceil(o->interval_s),
		.content = s->content,
		.n_content = 1,
		.labels = &s->label,
		.n_labels = o->bind ? 0 : 1,
	};
	if (o->demo)
		cast_speaks(f, host, s);
}

static void
beat(struct fleet *f, unsigned host)
{
	struct spoken s;

	speak(f, host, &s);
	if (faultline_heartbeat(relay_of(f, host)->client, &s.b) == FAULTLINE_OK)
		f->stats.beats++;
}

static void
remember(struct relay *r, uint64_t ticket)
{
	if (r->n == r->cap) {
		size_t cap = r->cap == 0 ? 64 : r->cap * 2;
		struct waiting *w = malloc(cap * sizeof(*w));

		if (w == NULL)
			return;
		for (size_t i = 0; i < r->n; i++)
			w[i] = r->waiting[(r->head + i) % r->cap];
		free(r->waiting);
		r->waiting = w;
		r->cap = cap;
		r->head = 0;
	}
	r->waiting[(r->head + r->n++) % r->cap] = (struct waiting){ ticket, clock_boot_us() };
}

static void
report(struct fleet *f, unsigned host, struct faultline_report *r)
{
	struct relay *relay = relay_of(f, host);
	struct spoken s;
	uint64_t ticket;

	speak(f, host, &s);
	r->host = s.id;
	r->host_len = s.b.host_len;
	r->boot_id = s.boot;
	r->boot_id_len = s.b.boot_id_len;
	r->epoch = hash_mix(f->o->seed * 0x9e3779b97f4a7c15u + host + 1);
	r->seq = f->seq_base + ++f->hosts[host].seq;
	r->occurred_us = clock_wall_us();
	r->product = s.b.product;
	r->version = s.b.version;
	r->os = s.b.os;
	r->os_build = s.b.os_build;
	r->arch = s.b.arch;
	r->hw_class = s.b.hw_class;
	r->labels = s.b.labels;
	r->n_labels = s.b.n_labels;
	if (faultline_report(relay->client, r, &ticket) == FAULTLINE_OK) {
		remember(relay, ticket);
		f->stats.sent++;
	} else {
		f->stats.refused++;
	}
}

/* An ordinary crash: one of a pool of signatures that were always there. */
static void
noise_crash(struct fleet *f, unsigned kind, unsigned host)
{
	char module[32], id[32];
	struct faultline_report r = {
		.kind = FAULTLINE_KIND_USER,
		.module = module,
		.module_id = id,
		.offset = 0x1000 + kind * 0x111,
		.reason = kind % 3 == 0 ? "EXCEPTION_STACK_OVERFLOW" : "EXCEPTION_ACCESS_VIOLATION_READ",
	};

	snprintf(module, sizeof(module), "app%02u.dll", kind);
	snprintf(id, sizeof(id), "5f%06x%x", kind * 7919, 0x20000 + kind * 0x1000);
	report(f, host, &r);
}

/* On any day: some crash often, most seldom, each on hosts of its own product. */
static void
ordinary_crash(struct fleet *f, unsigned host)
{
	const struct sim_crash *c = NULL;
	struct sim_part part;
	unsigned n = 0;

	sim_cast(f->o->seed, host, &part);
	for (unsigned i = 0; sim_ordinary(i) != NULL; i++)
		if (sim_ordinary(i)->product == part.product && fleet_random(f) % (++n + 1) == 0)
			c = sim_ordinary(i);
	if (c == NULL)
		return;
	report(f, host,
	       &(struct faultline_report){ .kind = c->kind,
					   .module = c->module,
					   .module_id = c->module_id,
					   .offset = c->offset,
					   .reason = c->reason,
					   .reason_code = c->reason_code });
}

/* The payload kills the host; it comes back with a new boot id and reports. */
static void
bad_crash(struct fleet *f, unsigned host)
{
	struct sim_host *h = &f->hosts[host];
	static const uint64_t params[] = { 0xffff840500000074, 0, 0xfffff80335514ed, 0 };
	char id[24];
	struct faultline_report r = {
		.kind = FAULTLINE_KIND_KERNEL,
		.module = f->o->module,
		.module_id = id,
		.offset = 0xe14ed,
		.reason = "PAGE_FAULT_IN_NONPAGED_AREA",
		.reason_code = 0x50,
		.params = params,
		.n_params = 4,
	};

	/* Each deployment delivers a build of its own. */
	snprintf(id, sizeof(id), "%08x8d000", (unsigned)(f->module_salt & 0xffffffff) | 0x10000000);
	h->boots++;
	/* A third of the demo's never come up again: silence is all that is heard of them. */
	if (f->o->demo && host % 3 == 0 && h->crashes > 0)
		return;
	if (h->crashes++ == 0)
		f->stats.crashed_hosts++;
	f->stats.crash_reports++;
	report(f, host, &r);
	beat(f, host);
	h->crash_us = 0;
	/* In the demo nothing but the fix ends the loop. */
	if (h->crashes <= LOOPS_MAX || f->o->demo)
		h->crash_us = clock_boot_us() + (int64_t)((f->o->delay_s * (f->o->demo ? 4 : 1) + 1) * 1e6);
}

void
fleet_serve(struct fleet *f, unsigned host, unsigned ring, bool bad)
{
	struct sim_host *h = &f->hosts[host];

	h->ring = (uint8_t)ring;
	h->bad = bad;
	if (!bad || uniform(f) >= f->o->hazard)
		return;
	h->crash_us = clock_boot_us() + (int64_t)(-log(uniform(f)) * f->o->delay_s * 1e6);
	f->harmed[f->n_harmed++] = host;
}

/* ---- time ---- */

static void
live(struct fleet *f, int64_t now)
{
	double passed = (double)(now - f->last_us) / 1e6;

	f->last_us = now;
	f->beat_debt += f->beating ? passed * (double)f->o->hosts / f->o->interval_s : 0;
	for (; f->beat_debt >= 1; f->beat_debt--) {
		/* a host that is about to crash again is on its way up, and silent */
		if (f->hosts[f->beat_next].crash_us == 0 || f->hosts[f->beat_next].crashes == 0)
			beat(f, f->beat_next);
		f->beat_next = (f->beat_next + 1) % f->o->hosts;
	}
	for (unsigned i = 0; i < f->n_harmed; i++) {
		struct sim_host *h = &f->hosts[f->harmed[i]];

		if (h->crash_us != 0 && h->crash_us <= now)
			bad_crash(f, f->harmed[i]);
	}
	if (!f->noise)
		return;
	for (f->noise_debt += passed * f->o->rate; f->noise_debt >= 1; f->noise_debt--) {
		unsigned host = (unsigned)(fleet_random(f) % f->o->hosts);

		if (f->o->demo)
			ordinary_crash(f, host);
		else
			noise_crash(f, (unsigned)(fleet_random(f) % NOISE_POOL), host);
	}
}

void
fleet_noise(struct fleet *f, bool on)
{
	/* Everything ordinary has been seen before. */
	if (on && !f->noise && f->o->rate > 0 && !f->o->demo)
		for (unsigned i = 0; i < NOISE_POOL; i++)
			noise_crash(f, i, (unsigned)(fleet_random(f) % f->o->hosts));
	f->noise = on;
}

void
fleet_run(struct fleet *f, int ms)
{
	int64_t now = clock_boot_us(), end = now + (int64_t)ms * 1000;

	do {
		live(f, now);
		if (poll(f->fds, f->n_relays, TURN_MS) > 0)
			for (unsigned i = 0; i < f->n_relays; i++)
				if (f->fds[i].revents != 0)
					faultline_process(f->relays[i].client);
		now = clock_boot_us();
	} while (now < end);
}

void
fleet_beat_all(struct fleet *f)
{
	for (unsigned i = 0; i < f->o->hosts; i++) {
		beat(f, i);
		if (i % BEATS_AT_ONCE == BEATS_AT_ONCE - 1)
			fleet_run(f, TURN_MS);
	}
	f->beating = true;
	f->last_us = clock_boot_us();
}

void
fleet_install(struct fleet *f, unsigned host, unsigned payload, bool on)
{
	f->hosts[host].has = (uint8_t)((f->hosts[host].has & ~(1u << payload)) | (on ? 1u << payload : 0));
}

void
fleet_fix(struct fleet *f)
{
	for (unsigned i = 0; i < f->n_harmed; i++) {
		struct sim_host *h = &f->hosts[f->harmed[i]];

		h->crash_us = 0;
		h->bad = false;
		if (h->crashes == 0)
			continue;
		h->boots++;
		beat(f, f->harmed[i]);
	}
	f->n_harmed = 0;
}

void
fleet_goodbye(struct fleet *f)
{
	struct spoken s;

	f->beating = false;
	for (unsigned i = 0; i < f->o->hosts; i++) {
		speak(f, i, &s);
		(void)faultline_goodbye(relay_of(f, i)->client, &s.b);
		if (i % BEATS_AT_ONCE == BEATS_AT_ONCE - 1)
			fleet_run(f, TURN_MS);
	}
}

bool
fleet_settled(const struct fleet *f)
{
	for (unsigned i = 0; i < f->n_relays; i++)
		if (!faultline_connected(f->relays[i].client) || faultline_pending(f->relays[i].client) > 0)
			return false;
	return true;
}

bool
fleet_told_halted(const struct fleet *f)
{
	return f->halted;
}

const struct fleet_stats *
fleet_stats(const struct fleet *f)
{
	return &f->stats;
}

struct latencies *
fleet_latencies(struct fleet *f)
{
	return &f->latencies;
}
