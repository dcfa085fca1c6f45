/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"

/* Who is at risk: hosts of a deployment that would vote if they crashed now, by stratum. */

#define RING_SHIFT      24
#define CLASS_SHIFT     16
#define LEAST_HELD_BACK 20.0 /* percent */

uint32_t
deployment_minute_now(const struct ledger *l, const struct deployment *d)
{
	int64_t us = l->now_us - d->begin_us;

	return us > 0 ? (uint32_t)(us / 60000000) : 0;
}

/* ---- strata ---- */

static bool
is_own_stratum(const Faultline__Log__Ring *r)
{
	return r->n_hosts > 0 && r->hold_back >= LEAST_HELD_BACK;
}

bool
deployment_holds_back(const struct deployment *d)
{
	for (size_t i = 0; i < d->msg->n_rings; i++)
		if (is_own_stratum(d->msg->rings[i]))
			return true;
	return false;
}

/* Ring that the host was picked for by hand, + 1; 0: none that is a stratum of its own. */
static uint32_t
ring_of(const struct deployment *d, uint64_t hash)
{
	for (uint32_t i = 0; i < d->msg->n_rings; i++) {
		const Faultline__Log__Ring *r = d->msg->rings[i];
		size_t lo = 0, hi = r->n_hosts;

		if (!is_own_stratum(r))
			continue;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (r->hosts[mid] < hash)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo < r->n_hosts && r->hosts[lo] == hash)
			return i + 1;
	}
	return 0;
}

static uint32_t
stratum_key(const struct deployment *d, const struct candidate *c)
{
	uint32_t size = c->site < d->strata.n_sites ? d->strata.size_class[c->site] : 0;

	return (uint32_t)c->stratum | size << CLASS_SHIFT | ring_of(d, c->hash) << RING_SHIFT;
}

static uint16_t
moved_from(const struct deployment *d, uint32_t no)
{
	uint32_t b = no / MOVED_BLOCK;

	return b < d->strata.n_moved && d->strata.moved[b] != NULL ? d->strata.moved[b]->stratum[no % MOVED_BLOCK] : 0;
}

uint16_t
deployment_stratum(struct ledger *l, struct deployment *d, uint32_t host_no)
{
	uint16_t fixed = moved_from(d, host_no);
	struct candidate c;

	if (fixed != 0)
		return fixed - 1;
	c = host_candidate(l, host_no);
	snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0)); /* it may be a new one */
	return strata_obtain(&d->strata, &l->snap, stratum_key(d, &c));
}

uint32_t
deployment_strata(const struct deployment *d)
{
	return (uint32_t)d->strata.rows.n;
}

/* The host has another stratum or site now: it stays where it was. */
static void
stay(struct ledger *l, struct deployment *d, uint32_t no, uint16_t stratum)
{
	struct strata *s = &d->strata;
	uint32_t b = no / MOVED_BLOCK;

	if (b >= s->n_moved) {
		s->moved = mem_grow(s->moved, s->n_moved, b + 1, sizeof(*s->moved));
		s->n_moved = b + 1;
	}
	if (s->moved[b] == NULL)
		s->moved[b] = mem_zero(1, sizeof(*s->moved[b]));
	snap_touch(&l->snap, &s->moved[b]->word, chunk_id(CHUNK_MOVED, d->no, b));
	snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
	s->moved[b]->stratum[no % MOVED_BLOCK] = (uint16_t)(stratum + 1);
	s->moved_hosts++;
}

/* ---- who ---- */

static bool
is_active(const struct ledger *l, uint32_t no)
{
	return (host_chunk(&l->hosts, no)->flags[HOST_AT(no)] & HOST_ACTIVE) != 0;
}

static bool
is_known(const struct ledger *l, const struct deployment *d, uint32_t no)
{
	uint64_t age = d->params.host_age_s, first = host_chunk(&l->hosts, no)->first_seen[HOST_AT(no)];

	return age == 0 || first + age <= seconds(d->begin_us);
}

bool
deployment_votes(struct ledger *l, struct deployment *d, uint32_t host_no)
{
	struct candidate c = host_candidate(l, host_no);

	return is_known(l, d, host_no) && (deployment_served(d, host_no) || deployment_eligible(l, d, &c));
}

static void
shift(struct ledger *l, struct deployment *d, uint16_t stratum, int served, int unserved)
{
	snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
	strata_shift(&d->strata, &l->snap, stratum, l->birth.pos, deployment_minute_now(l, d), served, unserved);
}

static void
come_or_go(struct ledger *l, uint32_t no, int by)
{
	uint16_t tenant = host_tenant(l, no);

	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];
		bool served;

		if (d->life != DEPLOYMENT_OPEN || d->tenant != tenant || !deployment_votes(l, d, no))
			continue;
		served = deployment_served(d, no);
		shift(l, d, deployment_stratum(l, d, no), served ? by : 0, served ? 0 : by);
	}
}

void
risk_host_left(struct ledger *l, uint32_t host_no)
{
	if (!is_active(l, host_no))
		return;
	come_or_go(l, host_no, -1);
	hosts_edit(&l->hosts, &l->snap, host_no)->flags[HOST_AT(host_no)] &= (uint8_t)~HOST_ACTIVE;
}

void
risk_host_returned(struct ledger *l, uint32_t host_no)
{
	if (is_active(l, host_no))
		return;
	hosts_edit(&l->hosts, &l->snap, host_no)->flags[HOST_AT(host_no)] |= HOST_ACTIVE;
	come_or_go(l, host_no, 1);
}

/* ---- events ---- */

void
risk_served(struct ledger *l, struct deployment *d, uint32_t host_no, bool eligible)
{
	d->served_new += !is_known(l, d, host_no);
	if (!is_known(l, d, host_no) || !is_active(l, host_no))
		return;
	shift(l, d, deployment_stratum(l, d, host_no), 1, eligible ? -1 : 0);
}

void
risk_host_changed(struct ledger *l, struct deployment *d, uint32_t host_no, const struct candidate *old, bool was,
		  bool is)
{
	struct candidate now = host_candidate(l, host_no);
	bool served = deployment_served(d, host_no), counted = is_known(l, d, host_no) && is_active(l, host_no);
	uint32_t before = stratum_key(d, old);
	uint16_t from;

	was = (was || served) && counted;
	is = (is || served) && counted;
	snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
	if (moved_from(d, host_no) == 0 && before != stratum_key(d, &now)) {
		if ((old->stratum | old->site) != 0) {
			from = strata_obtain(&d->strata, &l->snap, before);
			stay(l, d, host_no, from);
		} else if (was) { /* it had said nothing about itself: what it says first counts */
			from = strata_obtain(&d->strata, &l->snap, before);
			shift(l, d, from, served ? -1 : 0, served ? 0 : -1);
			was = false;
		}
	}
	if (was == is)
		return;
	from = deployment_stratum(l, d, host_no);
	shift(l, d, from, served ? is - was : 0, served ? 0 : is - was);
}

/* Classes of sites by their hosts now. */
static void
classify_sites(struct ledger *l, struct deployment *d)
{
	uint32_t n = (uint32_t)l->interns[INTERN_SITES].rows.n + 1,
		 *hosts = mem_zero(INTERN_OTHER + 1u, sizeof(*hosts));

	for (uint32_t no = 0; no < l->hosts.n; no++)
		if (host_tenant(l, no) == d->tenant)
			hosts[host_chunk(&l->hosts, no)->site[HOST_AT(no)]]++;
	if (n > INTERN_OTHER)
		n = INTERN_OTHER;
	free(d->strata.size_class);
	d->strata.size_class = mem_zero(n, 1);
	d->strata.n_sites = n;
	for (uint32_t i = 0; i < n; i++)
		while (hosts[i] >> d->strata.size_class[i] != 0)
			d->strata.size_class[i]++;
	free(hosts);
}

void
risk_begin(struct ledger *l, struct deployment *d)
{
	if (!d->randomised && !d->frozen)
		classify_sites(l, d);
	if (d->strata.rows.n == 0)
		table_add(&d->strata.rows, &l->snap, NULL);
	for (uint32_t i = 0; i < d->strata.rows.n; i++) {
		const struct stratum_row *row = table_at(&d->strata.rows, i);

		if (row->now.y1 + row->now.y0 > 0)
			shift(l, d, (uint16_t)i, -(int)row->now.y1, -(int)row->now.y0);
	}
}

/* Counted in one go: a share is only looked at when all hosts are there. */
struct risk_count *
risk_count_new(void)
{
	return mem_zero(STRATA_MAX + 1, sizeof(struct risk_count));
}

void
risk_count(struct ledger *l, struct deployment *d, struct risk_count *n, uint32_t host_no)
{
	struct risk_count *at;

	if (!is_known(l, d, host_no) || !is_active(l, host_no))
		return;
	at = &n[deployment_stratum(l, d, host_no)];
	at->y1 += deployment_served(d, host_no);
	at->y0 += !deployment_served(d, host_no);
}

void
risk_count_end(struct ledger *l, struct deployment *d, struct risk_count *n)
{
	for (uint32_t i = 0; i < d->strata.rows.n; i++)
		if (n[i].y1 + n[i].y0 > 0)
			shift(l, d, (uint16_t)i, (int)n[i].y1, (int)n[i].y0);
	free(n);
}

/* ---- questions ---- */

static void
copy(struct text t, char *out, size_t cap)
{
	size_t n = t.len < cap - 1 ? t.len : cap - 1;

	if (n > 0)
		memcpy(out, t.at, n);
	out[n] = '\0';
}

bool
ledger_stratum(const struct ledger *l, uint32_t deployment, uint16_t stratum, struct stratum_view *out)
{
	const struct deployment *d = deployment < l->n_deployments ? l->deployments[deployment] : NULL;
	const struct stratum_row *row;
	struct text t[3];

	if (d == NULL || stratum >= d->strata.rows.n)
		return false;
	row = table_at(&d->strata.rows, stratum);
	stratum_names(l, (uint16_t)(row->key & 0xffff), t);
	*out = (struct stratum_view){ .other = stratum == STRATUM_OTHER,
				      .size_class = (int)(row->key >> CLASS_SHIFT & 0xff) - 1,
				      .at_risk1 = row->now.y1,
				      .at_risk0 = row->now.y0 };
	copy(t[0], out->product, sizeof(out->product));
	copy(t[1], out->os_build, sizeof(out->os_build));
	copy(t[2], out->hw_class, sizeof(out->hw_class));
	return true;
}
