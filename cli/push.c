/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/compare.h"
#include "cli/push.h"
#include "proto/log.pb-c.h"

#define HOSTS_A_RECEIPT 20000u
#define LOOP_BOOTS      40u  /* boots of a host that loops, then it is given up */
#define VARIANT_OTHER   200u /* stop codes without a module */

void
push_defaults(struct push_plan *p)
{
	*p = (struct push_plan){ .hazard = 0,
				 .upload = .9,
				 .crash_s = 120,
				 .report_s = 180,
				 .report_sigma = .6,
				 .variants = 1,
				 .kind = REPORT_KERNEL,
				 .known = -1,
				 .stop_s = 30 };
}

void
push_rings(struct push_plan *p, const double *shares, const double *hours, unsigned n, double dur_s)
{
	double at = 0, share = 0;

	p->n_points = 0;
	for (unsigned i = 0; i < n && i < PUSH_RINGS_MAX; i++) {
		at = hours[i] * 3600 > at ? hours[i] * 3600 : at;
		p->at_s[p->n_points] = at;
		p->share[p->n_points++] = share;
		at += dur_s;
		share = shares[i];
		p->at_s[p->n_points] = at;
		p->share[p->n_points++] = share;
	}
}

double
push_share(const struct push *p, int64_t at_us)
{
	const struct push_plan *l = &p->plan;
	double t = (double)(at_us - p->begin_us) / 1e6, share;

	if (t <= 0)
		return 0;
	if (l->ramp_first > 0) {
		share = l->ramp_first / p->w->o.hosts * (exp2(t / l->ramp_double_s) - 1);
		return share < 1 ? share : 1;
	}
	for (unsigned i = 1; i < l->n_points; i++)
		if (t < l->at_s[i]) {
			double from = l->at_s[i - 1];

			if (t <= from)
				return l->share[i - 1];
			return l->share[i - 1] + (l->share[i] - l->share[i - 1]) * (t - from) / (l->at_s[i] - from);
		}
	return l->n_points > 0 ? l->share[l->n_points - 1] : 0;
}

int64_t
push_full_us(const struct push *p)
{
	double s = 0;

	if (p->plan.ramp_first > 0)
		s = p->plan.ramp_double_s * log2(p->w->o.hosts / p->plan.ramp_first + 1);
	else if (p->plan.n_points > 0)
		s = p->plan.at_s[p->plan.n_points - 1];
	return p->begin_us + (int64_t)(s * 1e6);
}

/* ---- who is served when ---- */

struct placed {
	uint64_t rank;
	uint32_t site;
};

static int
by_rank(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return (x->site > y->site) - (x->site < y->site);
}

/* Site after site, in a random order or the smallest first. */
static void
order_by_site(struct push *p)
{
	const struct world *w = p->w;
	struct placed *sites = need(malloc(w->o.sites * sizeof(*sites)));
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->o.sites; i++)
		sites[i] = (struct placed){ hash_mix(p->seed + i) >> 1, i };
	if (p->plan.order == PUSH_BY_SITE_SIZE)
		for (uint32_t i = 0; i < w->o.sites; i++)
			sites[i].rank = (uint64_t)world_site_size(w, i) << 32 | sites[i].rank >> 32;
	qsort(sites, w->o.sites, sizeof(*sites), by_rank);
	p->order = need(malloc(w->o.hosts * sizeof(*p->order)));
	for (uint32_t i = 0; i < w->o.sites; i++)
		for (uint32_t h = w->site_start[sites[i].site]; h < w->site_start[sites[i].site + 1]; h++)
			p->order[n++] = h;
	free(sites);
}

static uint32_t
host_at(const struct push *p, uint64_t place)
{
	if (p->order != NULL)
		return p->order[place];
	return permute(p->w->o.hosts, p->plan.order == PUSH_FIXED ? FIXED_RING_SEED : p->seed, (uint32_t)place);
}

bool
push_is_exposed(const struct push *p, uint32_t host)
{
	return p->exposed != NULL && (p->exposed[host / 64] >> host % 64 & 1) != 0;
}

/* ---- harm ---- */

static struct event
event_of(uint8_t what, int64_t at_us, uint32_t host)
{
	return (struct event){ .at_us = at_us, .host = host, .what = what };
}

static void
report_harm(struct push *p, struct rng *r, uint32_t host, int64_t crash_us)
{
	struct event e = event_of(HAPPEN_REPORT, crash_us, host);
	uint32_t variant = (uint32_t)rng_below(r, p->plan.variants > 0 ? p->plan.variants : 1);

	if (rng_unit(r) < p->plan.other)
		variant = VARIANT_OTHER + (uint32_t)rng_below(r, 3);
	e.at_us += (int64_t)(rng_lognormal(r, p->plan.report_s, p->plan.report_sigma) * 1e6);
	e.occurred_us = crash_us;
	e.signature = p->plan.known >= 0 ? (uint32_t)p->plan.known : SIGNATURE_PUSHED | p->no << 8 | variant;
	world_plan(p->w, &e);
}

/* Chances are drawn per host, so that they do not depend on what else happens. */
static void
harm(struct push *p, uint32_t host, int64_t served_us)
{
	struct world *w = p->w;
	struct rng r = rng_of(p->seed + 5, host);
	int64_t crash;
	struct event e;

	if (p->n_harmed == p->cap_harmed) {
		p->cap_harmed = p->cap_harmed > 0 ? p->cap_harmed * 2 : 64;
		p->harmed = need(realloc(p->harmed, p->cap_harmed * sizeof(*p->harmed)));
	}
	p->harmed[p->n_harmed++] = (struct harmed){ served_us, host };
	crash = served_us + 1000 + (int64_t)(rng_exponential(&r, p->plan.crash_s) * 1e6);
	if (rng_unit(&r) < p->plan.upload)
		report_harm(p, &r, host, crash);
	if ((!p->plan.dark && !p->plan.boot_loop) || !w->folding)
		return;
	e = event_of(HAPPEN_DOWN, crash, host);
	world_plan(w, &e);
	if (!p->plan.boot_loop)
		return;
	e = event_of(HAPPEN_BOOT, crash, host);
	e.at_us += (int64_t)((60 + 120 * rng_unit(&r)) * 1e6);
	e.signature = LOOP_BOOTS;
	world_plan(w, &e);
}

static bool
is_bad_for(const struct push *p, uint64_t place, uint32_t host)
{
	if (p->plan.hazard <= 0 || (double)place < p->plan.from_share * p->w->o.hosts)
		return false;
	return unit_of(hash_mix(p->seed * 3 + host)) < p->plan.hazard;
}

static void
write_receipt(struct push *p, uint64_t *hosts, size_t n)
{
	Faultline__Log__Receipt m = FAULTLINE__LOG__RECEIPT__INIT;

	if (n == 0)
		return;
	m.deployment = p->id;
	m.hosts = hosts;
	m.n_hosts = n;
	if (p->w->folding)
		world_message(p->w, RECORD_RECEIPT, p->w->now_us, &m);
}

void
push_serve(struct push *p)
{
	static uint64_t hosts[HOSTS_A_RECEIPT];
	struct world *w = p->w;
	uint64_t target;
	size_t n = 0;

	if (p->closed || p->stopped)
		return;
	if (p->halt_us < INT64_MAX && p->compare == NULL && w->now_us >= p->halt_us + (int64_t)(p->plan.stop_s * 1e6)) {
		p->stopped = true;
		return;
	}
	target = (uint64_t)(push_share(p, w->now_us + SECOND_US) * w->o.hosts + 1e-6);
	for (; p->cursor < target; p->cursor++) {
		uint32_t host = host_at(p, p->cursor);

		if (world_is_down(w, host)) {
			p->skipped++;
			continue;
		}
		p->exposed[host / 64] |= 1ull << host % 64;
		p->served++;
		hosts[n++] = world_hash(host);
		if (is_bad_for(p, p->cursor, host))
			harm(p, host, w->now_us);
		if (n == HOSTS_A_RECEIPT) {
			write_receipt(p, hosts, n);
			n = 0;
		}
	}
	write_receipt(p, hosts, n);
}

uint64_t
push_harmed_until(const struct push *p, int64_t at_us)
{
	size_t lo = 0, hi = p->n_harmed;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p->harmed[mid].at_us <= at_us)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- what is seen of it ---- */

void
push_look(const struct push *p, uint32_t variant, struct crash_look *out)
{
	static const uint32_t others[] = { 0x7e, 0xef, 0x1a };
	bool kernel = p->plan.kind >= REPORT_BOOT_CRITICAL;

	*out = (struct crash_look){ .kind = p->plan.kind, .code = kernel ? 0x50 : 0xc0000005 };
	if (variant >= VARIANT_OTHER) {
		out->code = others[(variant - VARIANT_OTHER) % 3];
		return;
	}
	if (p->plan.module != NULL)
		snprintf(out->module, sizeof(out->module), "%s", p->plan.module);
	else
		snprintf(out->module, sizeof(out->module), kernel ? "new%05u.sys" : "new%05u.dll", p->no % 100000);
	snprintf(out->module_id, sizeof(out->module_id), "%08x42000", 0x66000000u + p->no);
	out->offset = 0xe14ed - variant * 0xab48ull;
}

void
push_sees(struct push *p, const struct event *e, int64_t at_us, struct crash_look *look)
{
	bool natural = (e->signature & SIGNATURE_PUSHED) == 0, exposed, fresh;

	if (p->closed)
		return;
	exposed = push_is_exposed(p, e->host);
	fresh = !natural || (e->signature >= p->w->o.signatures && p->w->first_us[e->signature] >= p->begin_us);
	if (natural && exposed && p->rebuilds[0] != '\0' && strcmp(look->module, p->rebuilds) == 0) {
		snprintf(look->module_id, sizeof(look->module_id), "%08x77000", 0x67000000u + p->no);
		look->offset += 0x40;
		fresh = true;
	}
	if ((!natural && (e->signature & ~SIGNATURE_PUSHED) >> 8 == p->no) ||
	    (natural && p->plan.known >= 0 && e->signature == (uint32_t)p->plan.known))
		p->n_reports++;
	if (p->compare != NULL)
		compare_report(
			p->compare,
			&(struct compare_event){
				.at_s = (double)(at_us - p->begin_us) / 1e6,
				.key = hash64(look->offset, look->module_id, strlen(look->module_id)) ^ look->code,
				.host = e->host,
				.exposed = exposed,
				.fresh = fresh,
				.a_day = natural ? world_known_rate(p->w, e->signature) : 0,
				.share = push_share(p, at_us),
			});
}

/* ---- records ---- */

static void
write_deployment(struct push *p)
{
	static char artefact[] = "content", version[] = "291", armed[] = "armed", shadow[] = "shadow";
	static char by_hash[] = "hash", by_site[] = "site", listed[] = "listed";
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	Faultline__Log__Ring rings[PUSH_RINGS_MAX], *refs[PUSH_RINGS_MAX];
	char names[PUSH_RINGS_MAX][16], *modules[1];
	struct crash_look look;

	push_look(p, 0, &look);
	m.id = p->id;
	m.artefact = artefact;
	m.version = version;
	m.assignment = p->plan.order == PUSH_BY_HASH ? by_hash : p->plan.order == PUSH_FIXED ? listed : by_site;
	m.salt = p->seed;
	m.bake_ms = (uint64_t)(p->plan.bake_s * 1000);
	m.mode = p->plan.shadow ? shadow : armed;
	if (p->plan.own || p->rebuilds[0] != '\0') {
		modules[0] = p->rebuilds[0] != '\0' ? p->rebuilds : look.module;
		m.modules = modules;
		m.n_modules = 1;
	}
	m.rings = refs;
	for (unsigned i = 1; i < p->plan.n_points; i++) {
		Faultline__Log__Ring *r = &rings[m.n_rings];

		if (p->plan.share[i] <= p->plan.share[i - 1])
			continue;
		faultline__log__ring__init(r);
		snprintf(names[m.n_rings], sizeof(names[0]), "ring%zu", m.n_rings + 1);
		r->name = names[m.n_rings];
		r->percent = (p->plan.share[i] - p->plan.share[i - 1]) * 100;
		refs[m.n_rings++] = r;
	}
	world_message(p->w, RECORD_DEPLOYMENT, p->w->now_us, &m);
}

static void
write_decision(struct push *p, Faultline__Log__Action action, bool automatic, const char *reason, uint64_t basis)
{
	static char actor[] = "simulation";
	Faultline__Log__Decision m = FAULTLINE__LOG__DECISION__INIT;

	m.deployment = p->id;
	m.action = action;
	m.automatic = automatic;
	m.actor = actor;
	m.reason = (char *)(uintptr_t)reason;
	m.basis = basis;
	if (p->w->folding)
		world_message(p->w, RECORD_DECISION, p->w->now_us + SECOND_US - 1, &m);
}

struct push *
push_new(struct world *w, const struct push_plan *plan, uint64_t seed)
{
	struct push *p = need(calloc(1, sizeof(*p)));

	if ((w->n_pushes & (w->n_pushes - 1)) == 0)
		w->pushes = need(realloc(w->pushes, (w->n_pushes * 2ul + 1) * sizeof(struct push *)));
	p->w = w;
	p->plan = *plan;
	p->seed = hash_mix(seed);
	p->no = w->n_pushes;
	p->begin_us = w->now_us;
	p->watch_us = p->halt_us = INT64_MAX;
	p->exposed = need(calloc(w->o.hosts / 64 + 1, sizeof(*p->exposed)));
	snprintf(p->id, sizeof(p->id), "d%u", p->no);
	if (plan->order == PUSH_BY_SITE || plan->order == PUSH_BY_SITE_SIZE)
		order_by_site(p);
	if (plan->rebuild > 0)
		world_module_near(w, plan->rebuild, p->seed, p->rebuilds);
	write_deployment(p);
	w->pushes[w->n_pushes++] = p;
	return p;
}

static void
forget_hosts(struct push *p)
{
	free(p->order);
	free(p->exposed);
	p->order = NULL;
	p->exposed = NULL;
}

void
push_free(struct push *p)
{
	if (p == NULL)
		return;
	forget_hosts(p);
	free(p->harmed);
	compare_free(p->compare);
	free(p);
}

void
push_close(struct push *p)
{
	struct world *w = p->w;

	if (p->closed)
		return;
	write_decision(p, FAULTLINE__LOG__ACTION__ACTION_CLOSE, false, "over", 0);
	p->closed = true;
	forget_hosts(p);
	while (w->first_open < w->n_pushes && w->pushes[w->first_open]->closed)
		w->first_open++;
}

void
push_resume(struct push *p, const char *reason)
{
	write_decision(p, FAULTLINE__LOG__ACTION__ACTION_RESUME, false, reason, 0);
	p->halt_us = INT64_MAX;
	p->stopped = false;
}

/* ---- what the ledger says ---- */

static struct push *
find(struct world *w, const char *id)
{
	unsigned no = id[0] == 'd' ? (unsigned)strtoul(id + 1, NULL, 10) : UINT32_MAX;

	return no < w->n_pushes ? w->pushes[no] : NULL;
}

void
push_heard(struct world *w, const char *deployment, const struct verdict_view *v)
{
	struct push *p = find(w, deployment);

	if (p == NULL)
		return;
	p->proceeded |= v->verdict == VERDICT_PROCEED;
	if (v->evidence.set)
		snprintf(p->title, sizeof(p->title), "%s", v->evidence.title);
	if (strcmp(verdict_state_name(v->state), "watch") != 0 || p->watch_us < INT64_MAX)
		return;
	p->watch_us = v->since_us - w->o.epoch_us;
	p->watch_reports = p->n_reports;
}

void
push_halt_wanted(struct world *w, const char *deployment, const char *reason, uint64_t pos)
{
	struct push *p = find(w, deployment);

	if (p == NULL || p->halt_us < INT64_MAX)
		return;
	p->halt_us = pos >> 16 == w->batch ? w->times[pos & 0xffff] : w->now_us;
	p->halt_reports = p->n_reports;
	p->basis = pos;
	p->halt_wanted = true;
	p->halts++;
	w->settled++;
	snprintf(p->reason, sizeof(p->reason), "%s", reason);
}

/* The harmed of a halted deployment are mended, one after the other. */
static void
mend(struct push *p)
{
	struct rng r = rng_of(p->seed, 9);

	for (size_t i = 0; i < p->n_harmed; i++) {
		struct event e = event_of(HAPPEN_UP, p->w->now_us, p->harmed[i].host);

		e.at_us += (int64_t)(rng_exponential(&r, p->plan.fixed_h) * (double)HOUR_US);
		world_plan(p->w, &e);
	}
}

void
pushes_decide(struct world *w)
{
	for (uint32_t i = w->first_open; w->settled > 0 && i < w->n_pushes; i++) {
		struct push *p = w->pushes[i];

		if (!p->halt_wanted)
			continue;
		p->halt_wanted = false;
		w->settled--;
		write_decision(p, FAULTLINE__LOG__ACTION__ACTION_HALT, true, p->reason, p->basis);
		if (p->plan.fixed_h > 0)
			mend(p);
	}
}
