/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/push.h"
#include "cli/world.h"
#include "proto/log.pb-c.h"
#include "proto/presence.h"

#define PRODUCER    7u
#define FLUSH_BYTES (BATCH_MAX_BYTES - RECORD_MAX_BYTES)

void *
need(void *p)
{
	if (p == NULL) {
		fprintf(stderr, "faultline sim: out of memory\n");
		exit(1);
	}
	return p;
}

void
world_defaults(struct world_options *o)
{
	*o = (struct world_options){
		.seed = 1,
		.hosts = 1000000,
		.sites = 20000,
		.strata = 4,
		.site_sigma = 1.6,
		.interval_s = 300,
		.tick_s = 1,
		.history_h = 24,
		.epoch_us = 1721361600000000, /* 19 July 2024, 04:00 UTC */
		.goodbye = 0,
		.away_h = 2,
		.signatures = 5000,
		.crashes_day = 15000,
		.births_day = 200,
		.patches_day = 0.5,
		.incidents_day = 10,
		.lab = 1,
		.days = 1,
	};
}

/* ---- the log ---- */

void
world_flush(struct world *w)
{
	struct batch_view b;

	if (w->w.n == 0)
		return;
	if (w->folding) {
		batch_writer_finish(&w->w, PRODUCER, w->batch, 1);
		if (batch_open(w->w.bytes, w->w.len, &b) != ERR_OK)
			abort(); /* we have just written it */
		b.first = w->batch << 16;
		b.next = (w->batch + 1) << 16;
		if (ledger_fold(w->ledger, &b) != ERR_OK)
			abort();
		w->records += w->w.n;
	}
	w->batch++;
	batch_writer_reset(&w->w);
}

uint8_t *
world_record(struct world *w, enum record_type type, int64_t at_us, size_t len)
{
	int64_t wall = w->o.epoch_us + at_us;
	uint8_t *p;

	if (w->w.len > FLUSH_BYTES || w->w.n == BATCH_MAX_RECORDS)
		world_flush(w);
	w->times[w->w.n] = at_us;
	p = batch_writer_add(&w->w, type, 0, wall, len);
	return need(p);
}

void
world_message(struct world *w, enum record_type type, int64_t at_us, const void *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);

	protobuf_c_message_pack(message, world_record(w, type, at_us, len));
}

static const struct {
	const char *os_build, *hw_class;
	double share;
} strata[] = {
	{ "22631", "laptop", .40 }, { "22631", "desktop", .25 }, { "19045", "desktop", .20 },
	{ "20348", "server", .15 }, { "19045", "laptop", .10 },  { "26100", "laptop", .08 },
	{ "17763", "server", .05 }, { "22631", "kiosk", .02 },
};

uint64_t
world_hash(uint32_t host)
{
	return hash_mix(host + 0x5851f42d4c957f2dull);
}

static struct text
site_text(const struct world *w, uint32_t host, char buf[16])
{
	return (struct text){ buf, (size_t)snprintf(buf, 16, "s%05u", w->site[host]) };
}

void
world_heartbeat(struct world *w, int64_t at_us, uint32_t host, uint32_t boot, uint64_t uptime_s, bool goodbye)
{
	static struct heartbeat h;
	struct report_stamp stamp = { .host_hash = world_hash(host), .flags = REPORT_FLAG_AUTHENTICATED };
	char site[16], boot_id[24];
	uint8_t raw[512];

	h = (struct heartbeat){
		.boot_id = { boot_id, (size_t)snprintf(boot_id, sizeof(boot_id), "%x-%u", host, boot) },
		.uptime_s = uptime_s,
		.product = TEXT("sensor"),
		.version = TEXT("7.11"),
		.os = TEXT("windows"),
		.os_build = text_of(strata[w->stratum[host]].os_build),
		.hw_class = text_of(strata[w->stratum[host]].hw_class),
		.interval_s = w->o.interval_s,
		.goodbye = goodbye,
	};
	stamp.site = site_text(w, host, site);
	h.raw = (struct text){ (const char *)raw, heartbeat_encode(&h, raw, sizeof(raw)) };
	heartbeat_record_write(&h, &stamp, world_record(w, RECORD_HEARTBEAT, at_us, heartbeat_record_size(&h, &stamp)));
}

void
world_report(struct world *w, int64_t at_us, uint32_t host, const struct crash_look *look, int64_t occurred_us)
{
	static struct report r;
	struct report_stamp stamp = { .host_hash = world_hash(host), .flags = REPORT_FLAG_AUTHENTICATED };
	uint8_t raw[1024];
	char site[16];

	r = (struct report){
		.kind = look->kind,
		.occurred_us = w->o.epoch_us + occurred_us,
		.module = text_of(look->module),
		.module_id = text_of(look->module_id),
		.offset = look->offset,
		.reason = look->kind == REPORT_KERNEL ? TEXT("PAGE_FAULT_IN_NONPAGED_AREA")
						      : TEXT("EXCEPTION_ACCESS_VIOLATION_READ"),
		.reason_code = look->code,
		.product = TEXT("sensor"),
		.version = TEXT("7.11"),
		.os = TEXT("windows"),
		.os_build = text_of(strata[w->stratum[host]].os_build),
		.hw_class = text_of(strata[w->stratum[host]].hw_class),
		.count = 1,
	};
	stamp.site = site_text(w, host, site);
	r.raw = (struct text){ (const char *)raw, report_encode(&r, NULL, raw, sizeof(raw)) };
	report_record_write(&r, &stamp, world_record(w, RECORD_REPORT, at_us, report_record_size(&r, &stamp)));
}

static void
write_tick(struct world *w, int64_t at_us)
{
	Faultline__Log__Tick m = FAULTLINE__LOG__TICK__INIT;

	m.wall_us = w->o.epoch_us + at_us;
	m.boot_us = m.wall_us - 1000000 * SECOND_US;
	world_message(w, RECORD_TICK, at_us, &m);
}

static void
write_gap(struct world *w, int64_t from_us, int64_t to_us)
{
	static char why[] = "virtual time";
	Faultline__Log__Gap m = FAULTLINE__LOG__GAP__INIT;

	m.from_us = w->o.epoch_us + from_us;
	m.to_us = w->o.epoch_us + to_us;
	m.why = why;
	world_message(w, RECORD_GAP, to_us, &m);
}

static void
write_settings(struct world *w, int64_t at_us)
{
	Faultline__Log__Settings m = FAULTLINE__LOG__SETTINGS__INIT;
	Faultline__Log__Setting list[32], *refs[32];
	size_t n = 0;

	if (w->o.settings == NULL)
		return;
	for (const char *const *p = w->o.settings; p[0] != NULL && n < 32; p += 2, n++) {
		faultline__log__setting__init(&list[n]);
		list[n].name = (char *)(uintptr_t)p[0];
		list[n].value = (char *)(uintptr_t)p[1];
		refs[n] = &list[n];
	}
	m.settings = refs;
	m.n_settings = n;
	world_message(w, RECORD_SETTINGS, at_us, &m);
}

/* The hosts whose turn this second is, of those that are up: numbers equal to the second
 * modulo the interval. */
static void
write_presence(struct world *w)
{
	int64_t second = (w->o.epoch_us + w->now_us) / SECOND_US;
	uint32_t turn = (uint32_t)(second % w->o.interval_s), n = 0;
	uint32_t *list;
	uint8_t *buf;

	if (turn >= w->o.hosts)
		return;
	list = need(malloc((w->o.hosts / w->o.interval_s + 1) * sizeof(*list)));
	buf = need(malloc(RECORD_MAX_BYTES));
	for (uint32_t h = turn; h < w->o.hosts; h += w->o.interval_s)
		if ((w->down[h / 64] >> h % 64 & 1) == 0)
			list[n++] = h;
	for (size_t at = 0, used; at < n; at += used) {
		size_t len = presence_encode(1, (uint64_t)second, list + at, n - at, buf,
					     RECORD_MAX_BYTES - RECORD_HEADER, &used);

		memcpy(world_record(w, RECORD_PRESENCE, w->now_us + SECOND_US - 1, len), buf, len);
	}
	free(buf);
	free(list);
}

/* ---- events ---- */

static bool
before(const struct event *a, const struct event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void
world_plan(struct world *w, const struct event *e)
{
	size_t i = w->n_heap++;

	if (w->n_heap > w->cap_heap) {
		w->cap_heap = w->cap_heap > 0 ? w->cap_heap * 2 : 1024;
		w->heap = need(realloc(w->heap, w->cap_heap * sizeof(*w->heap)));
	}
	w->heap[i] = *e;
	w->heap[i].order = w->planned++;
	for (size_t up; i > 0 && before(&w->heap[i], &w->heap[up = (i - 1) / 2]); i = up) {
		struct event t = w->heap[i];

		w->heap[i] = w->heap[up];
		w->heap[up] = t;
	}
}

static struct event
take_first(struct world *w)
{
	struct event first = w->heap[0], last = w->heap[--w->n_heap];
	size_t i = 0;

	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= w->n_heap)
			break;
		if (c + 1 < w->n_heap && before(&w->heap[c + 1], &w->heap[c]))
			c++;
		if (!before(&w->heap[c], &last))
			break;
		w->heap[i] = w->heap[c];
		i = c;
	}
	w->heap[i] = last;
	return first;
}

bool
world_is_down(const struct world *w, uint32_t host)
{
	return w->down[host / 64] >> host % 64 & 1;
}

void
world_set_down(struct world *w, uint32_t host, bool down)
{
	if (world_is_down(w, host) == down)
		return;
	w->down[host / 64] ^= 1ull << host % 64;
	w->n_down += down ? 1u : UINT32_MAX;
}

static void
on_report(struct world *w, const struct event *e, int64_t at_us)
{
	struct crash_look look;

	if ((e->signature & SIGNATURE_PUSHED) != 0)
		push_look(w->pushes[(e->signature & ~SIGNATURE_PUSHED) >> 8], e->signature & 0xff, &look);
	else
		world_look(e->signature, &look);
	for (uint32_t i = w->first_open; i < w->n_pushes; i++)
		push_sees(w->pushes[i], e, at_us, &look);
	w->reports++;
	if (w->folding)
		world_report(w, at_us, e->host, &look, e->occurred_us);
}

static void
boot(struct world *w, uint32_t host, int64_t at_us, uint64_t uptime_s)
{
	if (w->boots == NULL)
		w->boots = need(calloc(w->o.hosts, sizeof(*w->boots)));
	w->boots[host]++;
	if (w->folding)
		world_heartbeat(w, at_us, host, w->boots[host], uptime_s, false);
}

static void
happen(struct world *w, const struct event *e)
{
	int64_t at = e->at_us > w->now_us ? e->at_us : w->now_us;
	struct event again;

	switch (e->what) {
	case HAPPEN_REPORT:
		on_report(w, e, at);
		break;
	case HAPPEN_GOODBYE:
		if (w->folding && !world_is_down(w, e->host))
			world_heartbeat(w, at, e->host, w->boots != NULL ? w->boots[e->host] : 0, 1000, true);
		world_set_down(w, e->host, true);
		break;
	case HAPPEN_DOWN:
		world_set_down(w, e->host, true);
		break;
	case HAPPEN_UP:
		world_set_down(w, e->host, false);
		boot(w, e->host, at, 30);
		break;
	case HAPPEN_BOOT:
		if (!w->folding || !world_is_down(w, e->host))
			break; /* mended meanwhile */
		boot(w, e->host, at, 20);
		again = *e;
		again.at_us += (int64_t)((60 + 120 * rng_unit(&w->rng)) * 1e6);
		if (--again.signature > 0)
			world_plan(w, &again);
		break;
	default:
		abort();
	}
}

/* Hosts fall silent, more of them in the evening, and come back later. */
static void
churn(struct world *w)
{
	double hour = (double)(w->now_us % (24 * HOUR_US)) / (double)HOUR_US;
	double rate = w->o.churn / 3600 * (1 + 0.3 * sin(hour * 0.2617993877991494));
	uint64_t n = rng_poisson(&w->rng, rate * (w->o.hosts - w->n_down));

	while (n-- > 0) {
		struct event e = { .at_us = w->now_us + (int64_t)rng_below(&w->rng, SECOND_US),
				   .host = (uint32_t)rng_below(&w->rng, w->o.hosts) };

		if (world_is_down(w, e.host))
			continue;
		e.what = rng_unit(&w->rng) < w->o.goodbye ? HAPPEN_GOODBYE : HAPPEN_DOWN;
		world_plan(w, &e);
		e.at_us += (int64_t)(rng_exponential(&w->rng, w->o.away_h) * (double)HOUR_US);
		e.what = HAPPEN_UP;
		world_plan(w, &e);
	}
}

void
world_outage(struct world *w, int64_t at_us, double share, double hours)
{
	uint32_t sites = (uint32_t)ceil(share * w->o.sites), first = (uint32_t)rng_below(&w->rng, w->o.sites);

	for (uint32_t i = 0; i < sites; i++) {
		uint32_t site = (first + i) % w->o.sites;

		for (uint32_t h = w->site_start[site]; h < w->site_start[site + 1]; h++) {
			struct event e = { .at_us = at_us + (int64_t)rng_below(&w->rng, 20 * SECOND_US),
					   .host = h,
					   .what = HAPPEN_DOWN };

			if (world_is_down(w, h))
				continue;
			world_plan(w, &e);
			e.at_us += (int64_t)(hours * (0.9 + 0.2 * rng_unit(&w->rng)) * (double)HOUR_US);
			e.what = HAPPEN_UP;
			world_plan(w, &e);
		}
	}
}

/* A single site, now and then. */
static void
cut_off(struct world *w)
{
	uint64_t n = rng_poisson(&w->rng, w->o.outages_day / 86400);

	while (n-- > 0)
		world_outage(w, w->now_us, 0.5 / w->o.sites, rng_exponential(&w->rng, 1.5));
}

void
world_second(struct world *w)
{
	int64_t end = w->now_us + SECOND_US;

	for (uint32_t i = w->first_open; i < w->n_pushes; i++)
		push_serve(w->pushes[i]);
	if (w->o.churn > 0)
		churn(w);
	if (w->o.outages_day > 0)
		cut_off(w);
	for (;;) {
		const struct event *noise = w->at_noise < w->n_noise ? &w->noise[w->at_noise] : NULL;
		struct event e;

		if (noise != NULL && noise->at_us >= end)
			noise = NULL;
		if (w->n_heap > 0 && w->heap[0].at_us < end && (noise == NULL || before(&w->heap[0], noise))) {
			e = take_first(w);
		} else if (noise != NULL) {
			e = *noise;
			w->at_noise++;
		} else {
			break;
		}
		happen(w, &e);
	}
	if (w->folding) {
		write_presence(w);
		if (end / SECOND_US % w->o.tick_s == 0)
			write_tick(w, end - 1);
	}
	pushes_decide(w);
	world_flush(w);
	w->now_us = end;
}

void
world_until(struct world *w, int64_t at_us)
{
	while (w->now_us < at_us)
		world_second(w);
}

/* ---- the fleet ---- */

uint32_t
world_site_size(const struct world *w, uint32_t site)
{
	return w->site_start[site + 1] - w->site_start[site];
}

static void
build_sites(struct world *w)
{
	double *size = need(malloc(w->o.sites * sizeof(*size))), sum = 0, at = 0;
	struct rng r = rng_of(w->o.seed, 1);

	for (uint32_t i = 0; i < w->o.sites; i++)
		sum += size[i] = w->o.site_sigma > 0 ? rng_lognormal(&r, 1, w->o.site_sigma) : 1;
	w->site_start = need(calloc(w->o.sites + 1, sizeof(*w->site_start)));
	for (uint32_t i = 0; i < w->o.sites; i++) {
		at += size[i] / sum * (w->o.hosts - w->o.sites);
		w->site_start[i + 1] = (uint32_t)at + i + 1; /* each has one host at least */
	}
	w->site_start[w->o.sites] = w->o.hosts;
	w->site = need(malloc(w->o.hosts * sizeof(*w->site)));
	for (uint32_t i = 0; i < w->o.sites; i++)
		for (uint32_t h = w->site_start[i]; h < w->site_start[i + 1]; h++)
			w->site[h] = (uint16_t)i;
	free(size);
}

static void
build_strata(struct world *w)
{
	double sum = 0;

	w->stratum = need(malloc(w->o.hosts));
	for (uint32_t i = 0; i < w->o.strata; i++)
		sum += strata[i].share;
	for (uint32_t h = 0; h < w->o.hosts; h++) {
		double u = unit_of(hash_mix(h ^ w->o.seed << 32)) * sum;
		uint8_t i = 0;

		while (i + 1u < w->o.strata && u >= strata[i].share)
			u -= strata[i++].share;
		w->stratum[h] = i;
	}
}

static void
on_verdict(void *arg, uint16_t tenant, const char *deployment, const struct verdict_view *v)
{
	(void)tenant;
	push_heard(arg, deployment, v);
}

static void
on_decision_wanted(void *arg, uint16_t tenant, const char *deployment, const char *reason, uint64_t pos)
{
	(void)tenant;
	push_halt_wanted(arg, deployment, reason, pos);
}

struct world *
world_new(const struct world_options *o)
{
	struct world *w = need(calloc(1, sizeof(*w)));
	struct ledger_options lo = {
		.sink = { .arg = w, .verdict_changed = on_verdict, .decision_wanted = on_decision_wanted }
	};

	w->o = *o;
	if (w->o.strata > sizeof(strata) / sizeof(strata[0]))
		w->o.strata = sizeof(strata) / sizeof(strata[0]);
	w->rng = rng_of(o->seed, 2);
	w->folding = true;
	w->batch = 1;
	w->times = need(malloc(BATCH_MAX_RECORDS * sizeof(*w->times)));
	if (batch_writer_init(&w->w) != 0)
		need(NULL);
	w->ledger = need(ledger_new(&lo));
	build_sites(w);
	build_strata(w);
	w->down = need(calloc(o->hosts / 64 + 1, sizeof(*w->down)));
	/* all hosts are known for two hours longer than the history is long */
	w->now_us = -(int64_t)(o->history_h * (double)HOUR_US) / SECOND_US * SECOND_US;
	write_settings(w, w->now_us - 2 * HOUR_US);
	for (uint32_t h = 0; h < o->hosts; h++)
		world_heartbeat(w, w->now_us - 2 * HOUR_US, h, 0, 86400, false);
	write_gap(w, w->now_us - 2 * HOUR_US, w->now_us);
	world_flush(w);
	world_make_noise(w, o->seed, -o->history_h, o->days * 24);
	return w;
}

void
world_free(struct world *w)
{
	if (w == NULL)
		return;
	for (uint32_t i = 0; i < w->n_pushes; i++)
		push_free(w->pushes[i]);
	free(w->pushes);
	ledger_free(w->ledger);
	batch_writer_fini(&w->w);
	free(w->times);
	free(w->site);
	free(w->stratum);
	free(w->down);
	free(w->site_start);
	free(w->boots);
	free(w->heap);
	free(w->noise);
	free(w->first_us);
	free(w);
}
