/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/arena.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/pbarena.h"

/* Deployments: who is eligible, who was served, what people decided. */

#define MESSAGE_LIMIT (16u << 20)
#define OPEN_MAX      1024u /* deployments open at once */

/* ---- one deployment ---- */

void
deployment_start(struct deployment *d, uint32_t no)
{
	d->no = no;
	d->halt_trial = d->suspect = d->shown = d->watch_trial = UINT32_MAX;
	d->co_key = KEY_NONE;
	for (uint32_t q = 0; q < 2; q++)
		table_init(&d->waiting[q], sizeof(struct waiting_row), 10, chunk_id(CHUNK_WAITING, no, q << 31), true);
	table_init(&d->trials, sizeof(struct trial_row), 6, chunk_id(CHUNK_TRIALS, no, 0), false);
	table_init(&d->votes, sizeof(struct vote_row), 9, chunk_id(CHUNK_VOTES, no, 0), false);
	table_init(&d->minutes, sizeof(struct timeline_minute), 8, chunk_id(CHUNK_MINUTES, no, 0), false);
	strata_init(&d->strata, no);
}

static void
free_trials(struct deployment *d)
{
	for (uint64_t i = 0; i < d->trials.n; i++) {
		struct trial_row *t = table_at(&d->trials, i);

		hostset_fini(&t->served);
		hostset_fini(&t->unserved);
		hostset_fini(&t->others);
		hostset_fini(&t->sites1);
		hostset_fini(&t->spent);
	}
	table_fini(&d->trials);
}

void
deployment_free(struct deployment *d)
{
	free_trials(d);
	table_fini(&d->waiting[0]);
	table_fini(&d->waiting[1]);
	hostset_fini(&d->withdrawn);
	hostset_fini(&d->resolved);
	hostset_fini(&d->bad);
	hostset_fini(&d->sites);
	table_fini(&d->votes);
	table_fini(&d->minutes);
	strata_fini(&d->strata);
	free(d->mutes);
	for (uint32_t i = 0; i < d->n_blocks; i++)
		free(d->blocks[i]);
	free(d->blocks);
	free(d->packed);
	free(d->said);
	annals_fini(d);
	free(d->cause);
	past_fini(&d->past);
	free(d->slots);
	free(d->near);
	free(d->may_strata);
	free(d->may_sites);
	free(d->contents);
	dark_fini(&d->dark);
	arena_free(d->arena);
	free(d);
}

static int
by_hash(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

bool
deployment_read(struct deployment *d, const void *packed, size_t len)
{
	struct arena *a = arena_new(MESSAGE_LIMIT);
	Faultline__Log__Deployment *m;
	ProtobufCAllocator alloc;

	if (a == NULL)
		abort();
	alloc = pbarena(a);
	m = (Faultline__Log__Deployment *)protobuf_c_message_unpack(&faultline__log__deployment__descriptor, &alloc,
								    len, packed);
	if (m == NULL || m->n_rings > DEPLOYMENT_MAX_RINGS || m->n_modules > DEPLOYMENT_MAX_MODULES) {
		arena_free(a);
		return false;
	}
	if (m->eligible != NULL && m->eligible->n_hosts > 0)
		qsort(m->eligible->hosts, m->eligible->n_hosts, sizeof(uint64_t), by_hash);
	for (size_t i = 0; i < m->n_rings; i++)
		if (m->rings[i]->n_hosts > 0)
			qsort(m->rings[i]->hosts, m->rings[i]->n_hosts, sizeof(uint64_t), by_hash);
	arena_free(d->arena);
	free(d->packed);
	d->arena = a;
	d->msg = m;
	d->packed = mem_zero(len, 1);
	memcpy(d->packed, packed, len);
	d->packed_len = len;
	free(d->may_strata);
	free(d->may_sites);
	free(d->contents);
	d->may_strata = d->may_sites = d->contents = NULL;
	d->n_may_strata = d->n_may_sites = d->n_contents = 0;
	trials_manifest(d);
	return true;
}

/* ---- eligibility ---- */

static bool
listed(char **names, size_t n, struct text t)
{
	for (size_t i = 0; i < n; i++)
		if (text_equal(text_of(names[i]), t))
			return true;
	return n == 0;
}

static bool
stratum_matches(const struct ledger *l, const Faultline__Log__Selector *s, uint16_t stratum)
{
	struct text t[3];

	stratum_names(l, stratum, t);
	return listed(s->products, s->n_products, t[0]) && listed(s->os_builds, s->n_os_builds, t[1]) &&
	       listed(s->hw_classes, s->n_hw_classes, t[2]);
}

/* Remembered per number; 0: not computed yet. */
static uint8_t *
memo(uint8_t **v, uint32_t *n, uint16_t no)
{
	if (no >= *n) {
		uint32_t grown = no + 256u;

		*v = mem_grow(*v, *n, grown, 1);
		*n = grown;
	}
	return *v + no;
}

bool
deployment_eligible(struct ledger *l, struct deployment *d, const struct candidate *c)
{
	const Faultline__Log__Selector *s = d->msg->eligible;
	uint8_t *a, *b;

	if (s == NULL)
		return true;
	if (s->n_hosts > 0 && bsearch(&c->hash, s->hosts, s->n_hosts, sizeof(uint64_t), by_hash) == NULL)
		return false;
	a = memo(&d->may_strata, &d->n_may_strata, c->stratum);
	if (*a == 0)
		*a = stratum_matches(l, s, c->stratum) ? 1 : 2;
	b = memo(&d->may_sites, &d->n_may_sites, c->site);
	if (*b == 0)
		*b = listed(s->sites, s->n_sites, site_name(l, c->site)) ? 1 : 2;
	return *a == 1 && *b == 1;
}

struct candidate
host_candidate(const struct ledger *l, uint32_t no)
{
	const struct host_chunk *c = host_chunk(&l->hosts, no);
	uint32_t at = HOST_AT(no);

	return (struct candidate){ atomic_load_explicit(&c->hash[at], memory_order_relaxed), c->stratum[at],
				   c->site[at] };
}

uint16_t
host_tenant(const struct ledger *l, uint32_t no)
{
	return atomic_load_explicit(&host_chunk(&l->hosts, no)->tenant[HOST_AT(no)], memory_order_relaxed);
}

void
deployment_touch(struct ledger *l, struct deployment *d)
{
	snap_touch(&l->snap, &d->word, chunk_id(CHUNK_DEPLOYMENT, d->no, 0));
	d->moved = true;
	l->judge = true;
}

void
deployments_host_changed(struct ledger *l, uint32_t host_no, const struct candidate *old)
{
	struct candidate now = host_candidate(l, host_no);
	uint16_t tenant = host_tenant(l, host_no);

	for (uint32_t i = 0; i < l->n_open; i++) {
		struct deployment *d = l->open[i];
		bool was, is;

		if (d->life != DEPLOYMENT_OPEN || d->tenant != tenant)
			continue;
		was = old != NULL && deployment_eligible(l, d, old);
		is = deployment_eligible(l, d, &now);
		if (old != NULL)
			risk_host_changed(l, d, host_no, old, was, is);
		if (was == is)
			continue;
		deployment_touch(l, d);
		d->eligible += is ? 1u : UINT32_MAX;
		if (deployment_served(d, host_no))
			d->served_eligible += is ? 1u : UINT32_MAX;
	}
}

static void
count_eligible(struct ledger *l, struct deployment *d)
{
	struct risk_count *n = risk_count_new();

	d->eligible = d->served_eligible = 0;
	risk_begin(l, d);
	for (uint32_t no = 0; no < l->hosts.n; no++) {
		struct candidate c;

		if (host_tenant(l, no) != d->tenant)
			continue;
		c = host_candidate(l, no);
		if (!deployment_eligible(l, d, &c) && !deployment_served(d, no))
			continue;
		risk_count(l, d, n, no);
		if (!deployment_eligible(l, d, &c))
			continue;
		d->eligible++;
		d->served_eligible += deployment_served(d, no);
	}
	risk_count_end(l, d, n);
}

/* ---- create and change ---- */

bool
ledger_deployment_find(const struct ledger *l, uint16_t tenant, struct text id, uint32_t *no_out)
{
	uint32_t found = UINT32_MAX;

	for (uint32_t i = l->n_open; i-- > 0;) /* the usual case */
		if (l->open[i]->tenant == tenant && l->open[i]->life == DEPLOYMENT_OPEN &&
		    text_equal(text_of(l->open[i]->msg->id), id)) {
			*no_out = l->open[i]->no;
			return true;
		}
	for (uint32_t i = l->n_deployments; i-- > 0;) {
		const struct deployment *d = l->deployments[i];

		if (d->tenant != tenant || !text_equal(text_of(d->msg->id), id))
			continue;
		if (found == UINT32_MAX || d->life != DEPLOYMENT_DELETED)
			found = i;
		if (d->life != DEPLOYMENT_DELETED)
			break;
	}
	*no_out = found;
	return found != UINT32_MAX;
}

static bool
same_names(char **a, size_t n, char **b, size_t m)
{
	if (n != m)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

static bool
same_selector(const Faultline__Log__Selector *a, const Faultline__Log__Selector *b)
{
	static const Faultline__Log__Selector none = FAULTLINE__LOG__SELECTOR__INIT;

	a = a != NULL ? a : &none;
	b = b != NULL ? b : &none;
	/* hosts: ours are sorted, so the packed order of the other may differ: compare as sets */
	if (a->n_hosts != b->n_hosts)
		return false;
	for (size_t i = 0; i < b->n_hosts; i++)
		if (bsearch(&b->hosts[i], a->hosts, a->n_hosts, sizeof(uint64_t), by_hash) == NULL)
			return false;
	return same_names(a->products, a->n_products, b->products, b->n_products) &&
	       same_names(a->os_builds, a->n_os_builds, b->os_builds, b->n_os_builds) &&
	       same_names(a->sites, a->n_sites, b->sites, b->n_sites) &&
	       same_names(a->hw_classes, a->n_hw_classes, b->hw_classes, b->n_hw_classes);
}

static bool
same_settings(Faultline__Log__Setting *const *a, size_t n_a, Faultline__Log__Setting *const *b, size_t n_b)
{
	for (size_t i = 0; i < n_a && n_a == n_b; i++)
		if (strcmp(a[i]->name, b[i]->name) != 0 || strcmp(a[i]->value, b[i]->value) != 0)
			return false;
	return n_a == n_b;
}

/* Hand-picked rings are strata: the number of their hosts and what they hold back stay. */
static bool
same_picked(const Faultline__Log__Deployment *a, const Faultline__Log__Deployment *b)
{
	for (size_t i = 0; i < a->n_rings || i < b->n_rings; i++) {
		size_t n = i < a->n_rings ? a->rings[i]->n_hosts : 0, m = i < b->n_rings ? b->rings[i]->n_hosts : 0;

		if (n != m || (n > 0 && a->rings[i]->hold_back != b->rings[i]->hold_back))
			return false;
	}
	return true;
}

/* What a receipt freezes: manifest, eligibility, salt and the rules of the test. */
static bool
keeps_frozen(const struct deployment *d, const Faultline__Log__Deployment *m)
{
	return same_names(d->msg->modules, d->msg->n_modules, m->modules, m->n_modules) && d->msg->salt == m->salt &&
	       same_selector(d->msg->eligible, m->eligible) && strcmp(d->msg->assignment, m->assignment) == 0 &&
	       same_settings(d->msg->halt, d->msg->n_halt, m->halt, m->n_halt) && same_picked(d->msg, m);
}

/* NULL, or why the log's change does not take effect. */
static const char *
refuses(const struct ledger *l, const struct deployment *d, const Faultline__Log__Deployment *m)
{
	if (m->id[0] == '\0' || m->n_rings > DEPLOYMENT_MAX_RINGS || m->n_modules > DEPLOYMENT_MAX_MODULES)
		return "invalid";
	if (d == NULL || d->life == DEPLOYMENT_DELETED)
		return l->n_open < OPEN_MAX ? NULL : "too_many_open";
	if (d->life == DEPLOYMENT_CLOSED)
		return "closed";
	return d->frozen && !keeps_frozen(d, m) ? "frozen" : NULL;
}

static struct deployment *
create(struct ledger *l, const struct record_view *rec)
{
	struct deployment *d = mem_zero(1, sizeof(*d));

	l->deployments = mem_grow(l->deployments, l->n_deployments, l->n_deployments + 1, sizeof(*l->deployments));
	l->deployments[l->n_deployments] = d;
	deployment_start(d, l->n_deployments++);
	annals_touch(l, d);
	d->tenant = rec->tenant;
	d->begin_pos = rec->pos;
	d->begin_us = l->now_us;
	d->since_pos = rec->pos;
	d->since_us = l->now_us;
	d->version = 1;
	l->open = mem_grow(l->open, l->n_open, l->n_open + 1, sizeof(*l->open));
	l->open[l->n_open++] = d;
	return d;
}

void
deployment_tell(struct ledger *l, const struct deployment *d, uint64_t pos)
{
	if (l->sink.deployment_changed != NULL)
		l->sink.deployment_changed(l->sink.arg, d->tenant, d->msg->id, pos);
}

void
fold_deployment(struct ledger *l, const struct record_view *rec)
{
	Faultline__Log__Deployment *m = unpack_record(l, rec, &faultline__log__deployment__descriptor);
	struct deployment *d = NULL;
	uint32_t no;

	if (m == NULL)
		return;
	if (ledger_deployment_find(l, rec->tenant, text_of(m->id), &no))
		d = l->deployments[no];
	if (refuses(l, d, m) != NULL) {
		l->stats.refused_changes++;
		return;
	}
	if (d == NULL || d->life == DEPLOYMENT_DELETED)
		d = create(l, rec);
	deployment_touch(l, d);
	if (!deployment_read(d, rec->payload, rec->payload_len))
		abort(); /* it was just parsed */
	if (!d->frozen) {
		const struct halt_params before = d->params;

		d->randomised = halt_randomised(d->msg->assignment);
		halt_params_of(&d->params, &l->halt, d->msg);
		learned_apply(l, d, &before, &d->params);
	}
	if (d->trials.n == 0)
		trials_begin(l, d);
	count_eligible(l, d);
	receipts_infer_all(l, d);
	dark_recount(l, d);
	deployment_tell(l, d, rec->pos);
}

const char *
ledger_refuses_deployment(const struct ledger *l, uint16_t tenant, const void *packed, size_t len)
{
	struct arena *a = arena_new(MESSAGE_LIMIT);
	const char *why = "invalid";
	Faultline__Log__Deployment *m;
	ProtobufCAllocator alloc;
	uint32_t no;

	if (a == NULL)
		return "busy";
	alloc = pbarena(a);
	m = (Faultline__Log__Deployment *)protobuf_c_message_unpack(&faultline__log__deployment__descriptor, &alloc,
								    len, packed);
	if (m != NULL)
		why = refuses(l, ledger_deployment_find(l, tenant, text_of(m->id), &no) ? l->deployments[no] : NULL, m);
	arena_free(a);
	return why;
}
