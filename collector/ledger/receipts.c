/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"
#include "collector/ledger/annals.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"

/* Receipts: who was served a deployment's payload, and when. */

bool
deployment_served(const struct deployment *d, uint32_t host_no)
{
	uint32_t b = host_no / SERVED_BLOCK;

	return b < d->n_blocks && d->blocks[b] != NULL && d->blocks[b]->minute[host_no % SERVED_BLOCK] != 0;
}

void
deployment_prefetch_served(const struct deployment *d, uint32_t host_no)
{
	uint32_t b = host_no / SERVED_BLOCK;

	if (b < d->n_blocks && d->blocks[b] != NULL)
		__builtin_prefetch(&d->blocks[b]->minute[host_no % SERVED_BLOCK]);
}

uint16_t
deployment_served_minute(const struct deployment *d, uint32_t host_no)
{
	return deployment_served(d, host_no) ? d->blocks[host_no / SERVED_BLOCK]->minute[host_no % SERVED_BLOCK] : 0;
}

/* What one receipt serves. */
struct serving {
	enum receipt_source source;
	int64_t at_us; /* when; at most now, at least when the deployment began */
	uint32_t n;    /* hosts that were not before */
};

static void
serve(struct ledger *l, struct deployment *d, uint32_t host_no, struct serving *s)
{
	uint32_t b = host_no / SERVED_BLOCK;
	uint64_t minute = (uint64_t)(s->at_us - d->begin_us) / 60000000u;
	struct candidate c = host_candidate(l, host_no);
	struct waiting_row *w;
	bool eligible;

	if (deployment_served(d, host_no))
		return; /* served again, or after a withdrawal: it stays exposed since the first time */
	if (b >= d->n_blocks) {
		d->blocks = mem_grow(d->blocks, d->n_blocks, b + 1, sizeof(*d->blocks));
		d->n_blocks = b + 1;
	}
	if (d->blocks[b] == NULL)
		d->blocks[b] = mem_zero(1, sizeof(*d->blocks[b]));
	snap_touch(&l->snap, &d->blocks[b]->word, chunk_id(CHUNK_SERVED, d->no, b));
	if (host_is_alive(&l->hosts, host_no))
		dark_out(l, d, host_no);
	d->blocks[b]->minute[host_no % SERVED_BLOCK] = minute < 0xfffe ? (uint16_t)(minute + 1) : 0xffff;
	eligible = deployment_eligible(l, d, &c);
	d->served++;
	d->served_by[s->source]++;
	if (host_is_alive(&l->hosts, host_no))
		dark_in(l, d, host_no);
	dark_served(l, d, host_no);
	d->served_eligible += eligible;
	risk_served(l, d, host_no, eligible);
	hostset_add(&d->sites, c.site, &l->snap, chunk_id(CHUNK_RESOLVED, d->no, SITES_BLOCKS));
	deployment_minute(l, d)->served++;
	w = table_add(&d->waiting[0], &l->snap, NULL);
	*w = (struct waiting_row){ host_no, seconds(l->now_us),
				   (uint32_t)((l->now_us + deployment_bake_us(l, d) + 999999) / 1000000) };
	s->n++;
}

/* ---- rings ---- */

uint64_t
deployment_ring_size(const struct deployment *d, size_t ring)
{
	const Faultline__Log__Ring *r = d->msg->rings[ring];
	uint64_t ppm;

	if (r->size > 0)
		return r->size;
	if (!(r->percent > 0))
		return UINT64_MAX; /* the rest */
	ppm = r->percent < 100 ? (uint64_t)(r->percent * 10000) : 1000000;
	return ((uint64_t)d->eligible * ppm + 999999) / 1000000;
}

struct ranked {
	uint64_t rank;
	uint32_t host_no;
};

static int
by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return (x->host_no > y->host_no) - (x->host_no < y->host_no);
}

/* Place of a host in the plan: its own hash, or its site's, with the deployment's salt. */
uint64_t
deployment_rank(const struct ledger *l, const struct deployment *d, const struct candidate *c)
{
	struct text site;

	if (strcmp(d->msg->assignment, "site") != 0)
		return hash_mix(c->hash ^ d->msg->salt);
	site = site_name(l, c->site);
	return hash64(d->msg->salt, site.at, site.len);
}

/* Serve `size` eligible hosts from number `from` on, in the order of the plan. */
static void
serve_ranked(struct ledger *l, struct deployment *d, uint64_t from, uint64_t size, struct serving *s)
{
	struct ranked *v = mem_zero(l->hosts.n, sizeof(*v));
	size_t n = 0;

	for (uint32_t no = 0; no < l->hosts.n; no++) {
		struct candidate c = host_candidate(l, no);

		if (host_tenant(l, no) == d->tenant && deployment_eligible(l, d, &c))
			v[n++] = (struct ranked){ deployment_rank(l, d, &c), no };
	}
	qsort(v, n, sizeof(*v), by_rank);
	for (uint64_t i = from; i < n && i - from < size; i++)
		serve(l, d, v[i].host_no, s);
	free(v);
}

/* Serve who the plan puts in this ring, or its first percent of all. */
static void
serve_plan(struct ledger *l, struct deployment *d, const Faultline__Log__Receipt *m, struct serving *s)
{
	uint64_t from = 0, size = 0;
	size_t ring;

	s->source = RECEIPT_PLAN;
	if (strcmp(d->msg->assignment, "listed") == 0) {
		l->stats.refused_changes++;
		return;
	}
	if (m->percent > 0) {
		uint64_t ppm = m->percent < 100 ? (uint64_t)(m->percent * 10000) : 1000000;

		serve_ranked(l, d, 0, ((uint64_t)d->eligible * ppm + 999999) / 1000000, s);
		return;
	}
	for (ring = 0; ring < d->msg->n_rings; ring++) {
		size = deployment_ring_size(d, ring);
		if (strcmp(d->msg->rings[ring]->name, m->ring) == 0)
			break;
		from += size < UINT64_MAX - from ? size : UINT64_MAX - from;
	}
	if (ring == d->msg->n_rings)
		l->stats.refused_changes++;
	else
		serve_ranked(l, d, from, size, s);
}

static void
received(struct ledger *l, struct deployment *d)
{
	deployment_touch(l, d);
	if (d->first_receipt_us == 0)
		d->first_receipt_us = l->now_us;
	d->last_receipt_us = l->now_us;
	d->frozen = true;
}

void
fold_receipt(struct ledger *l, const struct record_view *rec)
{
	Faultline__Log__Receipt *m = unpack_record(l, rec, &faultline__log__receipt__descriptor);
	struct serving s = { .source = RECEIPT_SERVED, .at_us = l->now_us };
	struct deployment *d;
	bool withdrawn = false;
	uint32_t no;

	l->stats.receipts++;
	if (m == NULL)
		return;
	if (!ledger_deployment_find(l, rec->tenant, text_of(m->deployment), &no) ||
	    (d = l->deployments[no])->life != DEPLOYMENT_OPEN) {
		l->stats.refused_changes++;
		return;
	}
	received(l, d);
	if (m->at_us > 0 && m->at_us < l->now_us)
		s.at_us = m->at_us > d->begin_us ? m->at_us : d->begin_us;
	if (m->n_hosts == 0 && !m->withdrawn)
		serve_plan(l, d, m, &s);
	for (size_t i = 0; i < m->n_hosts; i++) {
		uint32_t host = host_number(l, rec->tenant, m->hosts[i]);

		if (host == UINT32_MAX)
			continue;
		if (!m->withdrawn)
			serve(l, d, host, &s);
		else if (deployment_served(d, host))
			withdrawn |= hostset_add(&d->withdrawn, host, &l->snap,
						 chunk_id(CHUNK_RESOLVED, d->no, WITHDRAWN_BLOCKS));
	}
	if (withdrawn) {
		annals_touch(l, d);
		d->withdrawn_us = l->now_us;
	}
	if (s.n > 0 && s.at_us < l->now_us)
		deployment_relabel(l, d, s.at_us);
}

/* ---- without receipts ---- */

/* Is the line name=value in a host's set? */
static bool
has_line(struct text set, struct text name, struct text value)
{
	while (set.len > 0) {
		const char *nl = memchr(set.at, '\n', set.len);
		size_t len = nl != NULL ? (size_t)(nl - set.at) : set.len;

		if (len == name.len + 1 + value.len && memcmp(set.at, name.at, name.len) == 0 &&
		    set.at[name.len] == '=' && memcmp(set.at + name.len + 1, value.at, value.len) == 0)
			return true;
		len += nl != NULL;
		set.at += len;
		set.len -= len;
	}
	return false;
}

static bool
brings(struct ledger *l, struct deployment *d, uint16_t content)
{
	if (content == 0 || content == INTERN_OTHER)
		return false;
	if (content >= d->n_contents) {
		d->contents = mem_grow(d->contents, d->n_contents, content + 256u, 1);
		d->n_contents = content + 256u;
	}
	if (d->contents[content] == 0)
		d->contents[content] = has_line(intern_text(&l->interns[INTERN_CONTENT], content),
						text_of(d->msg->content_name), text_of(d->msg->content_version))
					       ? 1
					       : 2;
	return d->contents[content] == 1;
}

bool
receipts_replaced(struct ledger *l, struct deployment *d, uint32_t no)
{
	uint16_t content = host_chunk(&l->hosts, no)->content[HOST_AT(no)];

	return d->msg->content_name[0] != '\0' && content != 0 && content != INTERN_OTHER && !brings(l, d, content);
}

static bool
infer(struct ledger *l, struct deployment *d, uint32_t no, struct serving *s)
{
	const struct candidate c = host_candidate(l, no);

	if (host_tenant(l, no) != d->tenant || deployment_served(d, no) ||
	    !brings(l, d, host_chunk(&l->hosts, no)->content[HOST_AT(no)]) || !deployment_eligible(l, d, &c))
		return false;
	serve(l, d, no, s);
	return true;
}

void
receipts_infer(struct ledger *l, struct deployment *d, uint32_t no)
{
	struct serving s = { .source = RECEIPT_INFERRED, .at_us = l->now_us };

	if (d->life == DEPLOYMENT_OPEN && d->msg->content_name[0] != '\0' && infer(l, d, no, &s))
		received(l, d);
}

void
receipts_infer_all(struct ledger *l, struct deployment *d)
{
	struct serving s = { .source = RECEIPT_INFERRED, .at_us = l->now_us };
	bool any = false;

	for (uint32_t no = 0; d->msg->content_name[0] != '\0' && no < l->hosts.n; no++)
		any |= infer(l, d, no, &s);
	if (any)
		received(l, d);
}

const char *
deployment_receipts(const struct deployment *d)
{
	static const char *const names[RECEIPT_N] = { "served", "inferred", "plan" };
	unsigned most = 0;

	for (unsigned i = 1; i < RECEIPT_N; i++)
		if (d->served_by[i] > d->served_by[most])
			most = i;
	return d->served_by[most] > 0 ? names[most] : "none";
}

int32_t
ledger_served_minute(const struct ledger *l, uint32_t deployment, uint32_t host_no)
{
	const struct deployment *d = deployment < l->n_deployments ? l->deployments[deployment] : NULL;

	if (d == NULL || !deployment_served(d, host_no))
		return -1;
	return d->blocks[host_no / SERVED_BLOCK]->minute[host_no % SERVED_BLOCK] - 1;
}
