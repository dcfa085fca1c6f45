/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "collector/ledger/correlate.h"
#include "collector/ledger/numeric.h"
#include "collector/ledger/state.h"

#define ID_MAX      128u /* of a deployment */
#define COLUMNS     4u   /* numbers of a host: content, labels, stratum, site */
#define NUMBERS     65536u
#define FLEET_LOOK  200000u /* hosts a turn */
#define KEY_LOOK    20000u
#define SET_LOOK    2048u /* numbers a turn; each has a few facts */
#define SEEN_SLOTS  (1u << 17)
#define GROUP_FIRST 256u /* facts compared with one another */

const char *
fact_kind_name(enum fact_kind k)
{
	static const char *const names[FACT_KINDS] = { "content",  "label", "product",    "os_build",
						       "hw_class", "site",  "deployment", "ring" };

	return k < FACT_KINDS ? names[k] : "unknown";
}

/* ---- what a host has, in numbers ---- */

struct watched {
	uint32_t deployment;
	bool rings;                                  /* places decide them */
	uint32_t served, ring[DEPLOYMENT_MAX_RINGS]; /* hosts of the fleet */
};

static void
columns(const struct ledger *l, uint32_t no, uint16_t out[COLUMNS])
{
	const struct host_chunk *c = host_chunk(&l->hosts, no);
	uint32_t at = HOST_AT(no);

	out[0] = c->content[at];
	out[1] = c->labels[at];
	out[2] = c->stratum[at];
	out[3] = c->site[at];
}

static bool
in_fleet(const struct ledger *l, uint32_t no, uint16_t tenant)
{
	const struct host_chunk *c = host_chunk(&l->hosts, no);
	uint32_t at = HOST_AT(no);

	return (c->flags[at] & HOST_HEARD) != 0 &&
	       (uint64_t)c->last_seen[at] + CORRELATE_WEEK_S >= seconds(l->now_us) &&
	       atomic_load_explicit(&c->tenant[at], memory_order_relaxed) == tenant;
}

/* Was it served, and in which ring (UINT32_MAX: no telling)? */
static bool
served_ring(const struct ledger *l, const struct watched *w, uint32_t no, uint32_t *ring_out)
{
	const struct deployment *d = l->deployments[w->deployment];
	struct candidate c;

	*ring_out = UINT32_MAX;
	if (d == NULL || d->life != DEPLOYMENT_OPEN || !deployment_served(d, no))
		return false;
	if (w->rings) {
		c = host_candidate(l, no);
		*ring_out = deployment_ring(d, deployment_place(l, d, &c));
	}
	return true;
}

/* ---- the fleet ---- */

struct correlate_fleet {
	uint16_t tenant;
	uint32_t next, hosts;
	bool complete;
	int64_t begin_us;
	uint32_t n_watched;
	struct watched watched[CORRELATE_DEPLOYS];
	uint32_t n[COLUMNS][NUMBERS];
};

struct correlate_fleet *
correlate_fleet_new(void)
{
	return calloc(1, sizeof(struct correlate_fleet));
}

void
correlate_fleet_free(struct correlate_fleet *f)
{
	free(f);
}

static void
fleet_begin(struct correlate_fleet *f, const struct ledger *l, uint16_t tenant)
{
	memset(f, 0, sizeof(*f));
	f->tenant = tenant;
	f->begin_us = l->now_us;
	for (uint32_t i = l->n_open; i-- > 0 && f->n_watched < CORRELATE_DEPLOYS;) {
		const struct deployment *d = l->open[i];

		if (d->tenant == tenant && d->served > 0 && d->life == DEPLOYMENT_OPEN)
			f->watched[f->n_watched++] =
				(struct watched){ .deployment = d->no, .rings = deployment_has_places(d) };
	}
}

static void
fleet_count(struct correlate_fleet *f, const struct ledger *l, uint32_t no)
{
	uint16_t has[COLUMNS];
	uint32_t ring;

	columns(l, no, has);
	for (unsigned i = 0; i < COLUMNS; i++)
		f->n[i][has[i]]++;
	f->hosts++;
	for (uint32_t i = 0; i < f->n_watched; i++) {
		struct watched *w = &f->watched[i];

		if (!served_ring(l, w, no, &ring))
			continue;
		w->served++;
		if (ring < DEPLOYMENT_MAX_RINGS)
			w->ring[ring]++;
	}
}

bool
correlate_fleet_step(struct correlate_fleet *f, const struct ledger *l, uint16_t tenant, uint32_t look)
{
	if (f->complete && f->tenant == tenant && l->now_us - f->begin_us < (int64_t)CORRELATE_FRESH_S * 1000000)
		return true;
	if (f->complete || f->begin_us == 0 || f->tenant != tenant)
		fleet_begin(f, l, tenant);
	look /= 1 + f->n_watched;
	for (; f->next < l->hosts.n && look > 0; f->next++, look--)
		if (in_fleet(l, f->next, tenant))
			fleet_count(f, l, f->next);
	f->complete = f->next >= l->hosts.n;
	return f->complete;
}

/* ---- one signature ---- */

struct tally {
	uint32_t n;
	uint64_t print; /* sum over its hosts: the same for the same hosts */
};
struct correlate_work {
	enum { COUNT_HOSTS, LIST_FACTS, COUNT_FACTS, THE_END } stage;
	uint32_t at;                  /* next host, or number */
	uint32_t life;                /* of the key's row */
	uint32_t numbers[COLUMNS];    /* below these */
	struct tally *tally[COLUMNS]; /* of the signature's hosts */
	uint32_t *fleet[COLUMNS];     /* of the fleet's */
	uint32_t n_watched;
	struct watched watched[CORRELATE_DEPLOYS]; /* of the fleet */
	struct {
		struct tally served, ring[DEPLOYMENT_MAX_RINGS];
	} own[CORRELATE_DEPLOYS];
	uint32_t *slots; /* fact + 1 */
	uint64_t *seen;  /* hashes of facts that only the rest of the fleet has */
	uint32_t n_seen;
	bool failed;
};

static uint32_t
numbers_of(const struct ledger *l, unsigned column)
{
	static const uint8_t interns[COLUMNS] = { INTERN_CONTENT, INTERN_LABELS, INTERN_STRATA, INTERN_SITES };

	return intern_count(&l->interns[interns[column]]) + 1;
}

static bool
begin(struct correlation *c, const struct correlate_fleet *f, const struct ledger *l, struct arena *a)
{
	struct correlate_work *w = ARENA_NEW(a, struct correlate_work);

	if (w == NULL)
		return false;
	for (unsigned i = 0; i < COLUMNS; i++) {
		w->numbers[i] = numbers_of(l, i) < INTERN_OTHER ? numbers_of(l, i) : INTERN_OTHER;
		w->tally[i] = ARENA_ARRAY(a, struct tally, w->numbers[i]);
		w->fleet[i] = ARENA_ARRAY(a, uint32_t, w->numbers[i]);
		if (w->tally[i] == NULL || w->fleet[i] == NULL)
			return false;
		memcpy(w->fleet[i], f->n[i], w->numbers[i] * sizeof(uint32_t));
	}
	c->facts = ARENA_ARRAY(a, struct fact, CORRELATE_FACTS);
	w->slots = ARENA_ARRAY(a, uint32_t, 2 * CORRELATE_FACTS);
	w->seen = ARENA_ARRAY(a, uint64_t, SEEN_SLOTS);
	if (c->facts == NULL || w->slots == NULL || w->seen == NULL)
		return false;
	w->n_watched = f->n_watched;
	memcpy(w->watched, f->watched, sizeof(w->watched));
	w->life = key_at(&l->keys, c->key_no)->life;
	c->key_hosts = key_at(&l->keys, c->key_no)->hosts.n;
	c->fleet = f->hosts;
	c->fleet_us = f->begin_us;
	c->work = w;
	return true;
}

static void
tally_add(struct tally *t, uint64_t print)
{
	t->n++;
	t->print += print;
}

static void
count_host(struct correlation *c, const struct ledger *l, uint32_t no)
{
	struct correlate_work *w = c->work;
	const uint64_t print = hash_mix((uint64_t)no + 1);
	uint16_t has[COLUMNS];
	uint32_t ring;

	columns(l, no, has);
	for (unsigned i = 0; i < COLUMNS; i++)
		if (has[i] < w->numbers[i])
			tally_add(&w->tally[i][has[i]], print);
	c->hosts++;
	for (uint32_t i = 0; i < w->n_watched; i++) {
		if (!served_ring(l, &w->watched[i], no, &ring))
			continue;
		tally_add(&w->own[i].served, print);
		if (ring < DEPLOYMENT_MAX_RINGS)
			tally_add(&w->own[i].ring[ring], print);
	}
}

/* True when there are no more. */
static bool
count_hosts(struct correlation *c, const struct ledger *l)
{
	const struct key *key = key_at(&l->keys, c->key_no);
	struct correlate_work *w = c->work;
	uint32_t look = KEY_LOOK;

	if (key->life != w->life)
		return true; /* its row was given away: what was counted stands */
	for (; look > 0 && hostset_next(&key->hosts, &w->at); w->at++, look--)
		if (w->at < l->hosts.n && in_fleet(l, w->at, key->tenant))
			count_host(c, l, w->at);
	return look > 0;
}

/* ---- facts ---- */

static uint64_t
fact_hash(enum fact_kind kind, struct text name)
{
	uint64_t h = hash64(kind + 1, name.at, name.len);

	return h != 0 ? h : 1;
}

/* Its slot, or the free one where it would be. */
static uint32_t *
fact_slot(const struct correlation *c, enum fact_kind kind, struct text name, uint64_t hash)
{
	const uint32_t mask = 2 * CORRELATE_FACTS - 1;
	uint32_t i = (uint32_t)hash & mask;

	for (; c->work->slots[i] != 0; i = (i + 1) & mask) {
		const struct fact *f = &c->facts[c->work->slots[i] - 1];

		if (f->kind == kind && text_equal(f->name, name))
			break;
	}
	return &c->work->slots[i];
}

static void
fact_add(struct correlation *c, struct arena *a, enum fact_kind kind, struct text name, const struct tally *t)
{
	uint32_t *slot = fact_slot(c, kind, name, fact_hash(kind, name));
	struct fact *f;
	char *copy;

	if (*slot == 0) {
		if (c->n_facts == CORRELATE_FACTS) {
			c->fact_over++;
			return;
		}
		if ((copy = ARENA_ARRAY(a, char, name.len + 1)) == NULL) {
			c->work->failed = true;
			return;
		}
		memcpy(copy, name.at, name.len);
		c->facts[c->n_facts++] = (struct fact){ .kind = kind, .name = { copy, name.len }, .same = UINT32_MAX };
		*slot = (uint32_t)c->n_facts;
	}
	f = &c->facts[*slot - 1];
	f->hosts += t->n;
	f->print += t->print;
}

/* Facts that no host of the signature has are comparisons too. */
static void
note_other(struct correlation *c, uint64_t hash)
{
	struct correlate_work *w = c->work;
	uint32_t i = (uint32_t)hash & (SEEN_SLOTS - 1);

	for (; w->seen[i] != 0; i = (i + 1) & (SEEN_SLOTS - 1))
		if (w->seen[i] == hash)
			return;
	c->compared++;
	if (w->n_seen >= SEEN_SLOTS / 4 * 3)
		return; /* from here on some are counted more than once: the interval only widens */
	w->seen[i] = hash;
	w->n_seen++;
}

static void
fact_fleet(struct correlation *c, enum fact_kind kind, struct text name, uint32_t n)
{
	const uint64_t hash = fact_hash(kind, name);
	const uint32_t slot = *fact_slot(c, kind, name, hash);

	if (slot != 0)
		c->facts[slot - 1].fleet += n;
	else
		note_other(c, hash);
}

/* Every fact behind a number of a column. */
struct visit {
	struct correlation *c;
	struct arena *arena;
	const struct tally *tally; /* NULL: add to the fleet's count instead */
	uint32_t fleet;
};

static void
visit_fact(const struct visit *v, enum fact_kind kind, struct text name)
{
	if (name.len == 0)
		return;
	if (v->tally != NULL)
		fact_add(v->c, v->arena, kind, name, v->tally);
	else
		fact_fleet(v->c, kind, name, v->fleet);
}

static void
visit_lines(const struct visit *v, enum fact_kind kind, struct text set)
{
	while (set.len > 0) {
		const char *nl = memchr(set.at, '\n', set.len);
		const size_t len = nl != NULL ? (size_t)(nl - set.at) : set.len;

		visit_fact(v, kind, (struct text){ set.at, len });
		set.at += len + (nl != NULL);
		set.len -= len + (nl != NULL);
	}
}

static void
visit_number(const struct visit *v, const struct ledger *l, unsigned column, uint16_t no)
{
	struct text names[3];

	if (column == 0)
		visit_lines(v, FACT_CONTENT, intern_text(&l->interns[INTERN_CONTENT], no));
	else if (column == 1)
		visit_lines(v, FACT_LABEL, intern_text(&l->interns[INTERN_LABELS], no));
	else if (column == 3)
		visit_fact(v, FACT_SITE, site_name(l, no));
	else if (stratum_names(l, no, names)) {
		visit_fact(v, FACT_PRODUCT, names[0]);
		visit_fact(v, FACT_OS_BUILD, names[1]);
		visit_fact(v, FACT_HW_CLASS, names[2]);
	}
}

/* All numbers of all columns, a turn's worth; true when there are no more. */
static bool
visit_numbers(struct correlation *c, const struct ledger *l, struct arena *a, bool fleet)
{
	struct correlate_work *w = c->work;
	struct visit v = { .c = c, .arena = a };
	uint32_t look = SET_LOOK;

	for (; w->at < COLUMNS * NUMBERS && look > 0; w->at++) {
		const unsigned column = w->at / NUMBERS;
		const uint32_t no = w->at % NUMBERS;

		if (no >= w->numbers[column]) {
			w->at |= NUMBERS - 1;
			continue;
		}
		v.tally = fleet ? NULL : &w->tally[column][no];
		v.fleet = w->fleet[column][no];
		if (no == 0 || (fleet ? v.fleet : v.tally->n) == 0)
			continue;
		visit_number(&v, l, column, (uint16_t)no);
		look--;
	}
	return look > 0;
}

/* Served hosts: as many facts as there are deployments and rings. */
static void
visit_watched(struct correlation *c, const struct ledger *l, struct arena *a, bool fleet)
{
	struct correlate_work *w = c->work;
	struct visit v = { .c = c, .arena = a };
	char name[ID_MAX + TEXT_NAME_MAX + 4];

	for (uint32_t i = 0; i < w->n_watched; i++) {
		const struct deployment *d = l->deployments[w->watched[i].deployment];
		const size_t id = d != NULL && d->life == DEPLOYMENT_OPEN ? strlen(d->msg->id) : 0;

		if (id == 0 || id > ID_MAX)
			continue;
		v.tally = fleet ? NULL : &w->own[i].served;
		v.fleet = w->watched[i].served;
		if (fleet || v.tally->n > 0)
			visit_fact(&v, FACT_DEPLOYMENT, text_of(d->msg->id));
		for (uint32_t r = 0; r < d->msg->n_rings && r < DEPLOYMENT_MAX_RINGS; r++) {
			const size_t len = strnlen(d->msg->rings[r]->name, TEXT_NAME_MAX);

			v.tally = fleet ? NULL : &w->own[i].ring[r];
			v.fleet = w->watched[i].ring[r];
			if ((fleet ? v.fleet : v.tally->n) == 0)
				continue;
			memcpy(name, d->msg->id, id);
			name[id] = '/';
			memcpy(name + id + 1, d->msg->rings[r]->name, len);
			visit_fact(&v, FACT_RING, (struct text){ name, id + 1 + len });
		}
	}
}

/* Everything that is told apart by a fact is a comparison. */
static void
count_compared(struct correlation *c)
{
	for (size_t i = 0; i < c->n_facts; i++) {
		struct fact *f = &c->facts[i];

		/* a host that moved since the fleet was counted */
		f->fleet = f->fleet > f->hosts ? f->fleet : f->hosts;
		c->fleet = c->fleet > f->fleet ? c->fleet : f->fleet;
	}
	c->fleet = c->fleet > c->hosts ? c->fleet : c->hosts;
	for (size_t i = 0; i < c->n_facts; i++)
		c->compared += c->facts[i].fleet < c->fleet;
}

enum correlate_state
correlation_step(struct correlation *c, struct correlate_fleet *f, const struct ledger *l, struct arena *a)
{
	struct correlate_work *w = c->work;
	bool through;

	if (w == NULL) {
		if (!correlate_fleet_step(f, l, key_at(&l->keys, c->key_no)->tenant, FLEET_LOOK))
			return CORRELATE_MORE;
		return begin(c, f, l, a) ? CORRELATE_MORE : CORRELATE_NO_MEMORY;
	}
	if (w->stage == THE_END)
		return CORRELATE_DONE;
	through = w->stage == COUNT_HOSTS ? count_hosts(c, l) : visit_numbers(c, l, a, w->stage == COUNT_FACTS);
	if (w->failed)
		return CORRELATE_NO_MEMORY;
	if (!through)
		return CORRELATE_MORE;
	if (w->stage != COUNT_HOSTS)
		visit_watched(c, l, a, w->stage == COUNT_FACTS);
	w->at = 0;
	w->stage++;
	if (w->stage == THE_END)
		count_compared(c);
	return w->stage == THE_END ? CORRELATE_DONE : CORRELATE_MORE;
}

/* ---- how much more often ---- */

static double
x_log_ratio(double x, double p)
{
	return x > 0 ? x * (num_log(x) - num_log(p)) : 0;
}

double
correlate_bound(uint32_t k, uint32_t n, double log_odds, bool upper)
{
	const double x = n > 0 ? (double)k / n : 0;
	double near = x, far = upper ? 1 : 0; /* at near the left side is too small, at far too large */

	if (n == 0 || (upper ? k == n : k == 0))
		return upper ? 1 : 0;
	for (int i = 0; i < 40; i++) {
		const double p = (near + far) / 2;

		if (n * (x_log_ratio(x, p) + x_log_ratio(1 - x, 1 - p)) < log_odds)
			near = p;
		else
			far = p;
	}
	return far;
}

static double
score(const struct fact *f)
{
	return f->low * (double)f->hosts;
}

/* Best first; whatever the order they were found in. */
static int
by_score(const void *a, const void *b)
{
	const struct fact *x = a, *y = b;
	const size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
	int c;

	if (score(x) != score(y))
		return score(x) > score(y) ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	c = memcmp(x->name.at, y->name.at, len);
	return c != 0 ? c : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

/* The same hosts of the signature, and within 5 % as many of the fleet: numbers cannot tell them apart. */
static bool
alike(const struct fact *a, const struct fact *b)
{
	const uint32_t less = a->fleet < b->fleet ? a->fleet : b->fleet, more = a->fleet + b->fleet - less;

	return a->hosts == b->hosts && a->print == b->print && (uint64_t)(more - less) * 20 <= more;
}

static void
group(struct correlation *c)
{
	for (uint32_t i = 1; i < c->n_facts && i < GROUP_FIRST; i++)
		for (uint32_t j = 0; j < i && c->facts[i].same == UINT32_MAX; j++)
			if (c->facts[j].same == UINT32_MAX && alike(&c->facts[i], &c->facts[j]))
				c->facts[i].same = j;
}

void
correlation_rank(struct correlation *c)
{
	const double log_odds = num_log(2.0 * (c->compared > 0 ? c->compared : 1) / CORRELATE_ERROR);
	size_t n = 0;

	for (size_t i = 0; i < c->n_facts; i++) {
		struct fact f = c->facts[i];
		double share;

		if (f.fleet >= c->fleet || f.hosts == 0)
			continue; /* all share it */
		share = (double)f.fleet / c->fleet;
		f.lift = (double)f.hosts / c->hosts / share;
		f.low = correlate_bound(f.hosts, c->hosts, log_odds, false) / share;
		f.high = correlate_bound(f.hosts, c->hosts, log_odds, true) / share;
		f.over = f.low > 1 && f.hosts >= CORRELATE_HOSTS;
		c->facts[n++] = f;
	}
	c->n_facts = n;
	if (n > 1)
		qsort(c->facts, n, sizeof(*c->facts), by_score);
	group(c);
}
