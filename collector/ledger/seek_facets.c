/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/hash.h"
#include "collector/ledger/seek_private.h"

/* How many of the found signatures have each value. */

const char *
seek_facet_name(enum seek_facet f)
{
	static const char *const names[SEEK_FACETS] = {
		"kind", "module", "site", "os", "product", "deployment", "state"
	};

	return names[f];
}

/* ---- OS builds and products: several strata have the same ---- */

static struct text
column_text(const struct ledger *l, uint16_t stratum, bool os)
{
	struct text part[3];

	return stratum_names(l, stratum, part) ? part[os] : TEXT("");
}

static bool
column_begin(struct seek_column *c, const struct ledger *l, bool os, struct arena *a)
{
	uint32_t n = intern_count(&l->interns[INTERN_STRATA]), slots = 64;
	uint16_t *table; /* by hash of the text: value + 1 */

	while (slots < 2 * (n + 1))
		slots *= 2;
	table = arena_calloc(a, slots, sizeof(*table));
	c->value = arena_calloc(a, NUMBERS, sizeof(*c->value));
	c->stratum = arena_calloc(a, n + 1, sizeof(*c->stratum));
	c->count = arena_calloc(a, n + 1, sizeof(*c->count));
	c->seen = arena_calloc(a, n + 1, sizeof(*c->seen));
	if (table == NULL || c->value == NULL || c->stratum == NULL || c->count == NULL || c->seen == NULL)
		return false;
	for (uint32_t no = 1; no <= n; no++) {
		struct text t = column_text(l, (uint16_t)no, os);
		uint32_t at;

		if (t.len == 0)
			continue;
		for (at = (uint32_t)hash64(0, t.at, t.len) & (slots - 1); table[at] != 0; at = (at + 1) & (slots - 1))
			if (text_equal(t, column_text(l, c->stratum[table[at] - 1], os)))
				break;
		if (table[at] == 0) {
			c->stratum[c->n++] = (uint16_t)no;
			table[at] = (uint16_t)c->n;
		}
		c->value[no] = table[at];
	}
	return true;
}

static void
column_count(struct seek_column *c, uint16_t stratum, uint32_t stamp)
{
	uint16_t v = c->value[stratum];

	if (v == 0 || c->seen[v - 1] == stamp)
		return;
	c->seen[v - 1] = stamp;
	c->count[v - 1]++;
}

/* ---- counting ---- */

bool
seek_facets_begin(struct seek *s, const struct ledger *l, struct arena *a)
{
	struct seek_facets *f = s->work->facets = arena_calloc(a, 1, sizeof(*f));

	if (f == NULL)
		return false;
	f->n_deployments = s->work->n_deployments;
	f->sites = arena_calloc(a, NUMBERS, sizeof(*f->sites));
	f->deployments = arena_calloc(a, f->n_deployments + 1, sizeof(*f->deployments));
	for (f->module_slots = 1024; f->module_slots < 65536 && f->module_slots < 2 * s->work->n_keys;)
		f->module_slots *= 2;
	f->modules = arena_calloc(a, f->module_slots, sizeof(*f->modules));
	return f->sites != NULL && f->deployments != NULL && f->modules != NULL && column_begin(&f->os, l, true, a) &&
	       column_begin(&f->product, l, false, a);
}

/* Beyond half of the room new modules are not counted: they would be the rarest. */
static void
count_module(struct seek_facets *f, const struct key *k, uint32_t no)
{
	uint32_t at = (uint32_t)(k->module_id_key ^ k->module_id_key >> 32) & (f->module_slots - 1);

	if (k->module_id_key == 0)
		return;
	while (f->modules[at].count != 0 && f->modules[at].id != k->module_id_key)
		at = (at + 1) & (f->module_slots - 1);
	if (f->modules[at].count == 0) {
		if (f->n_modules >= f->module_slots / 2)
			return;
		f->n_modules++;
		f->modules[at] = (struct seek_module){ k->module_id_key, no, 0 };
	}
	f->modules[at].count++;
}

uint32_t
seek_facets_count(struct seek *s, const struct ledger *l, uint32_t no)
{
	struct seek_facets *f = s->work->facets;
	const struct key *k = key_at(&l->keys, no);
	uint32_t under = s->work->under[no], looked = 0;
	const struct deployment *d = under != 0 ? l->deployments[under - 1] : NULL;

	f->stamp++;
	for (unsigned i = 0; i < 8; i++)
		f->kinds[i] += k->kinds >> i & 1;
	f->states[seek_status_no(d)]++;
	if (d != NULL)
		f->deployments[under - 1]++;
	count_module(f, k, no);
	for (uint32_t x = 0; hostset_next(&k->sites, &x); x++, looked++)
		f->sites[x & 0xffff]++;
	for (uint32_t x = 0, n = 0; n < SEEK_HOSTS && hostset_next(&k->hosts, &x); x++, n++, looked++) {
		uint16_t stratum = host_chunk(&l->hosts, x)->stratum[HOST_AT(x)];

		column_count(&f->os, stratum, f->stamp);
		column_count(&f->product, stratum, f->stamp);
	}
	return looked;
}

/* ---- telling ---- */

struct top {
	struct seek_count *out;
	size_t n;
};

static void
offer(struct top *t, struct text value, uint32_t count)
{
	size_t at = t->n;

	if (count == 0 || value.len == 0)
		return;
	while (at > 0 && t->out[at - 1].signatures < count)
		at--;
	if (at == SEEK_FACET)
		return;
	if (t->n < SEEK_FACET)
		t->n++;
	memmove(&t->out[at + 1], &t->out[at], (t->n - at - 1) * sizeof(*t->out));
	t->out[at] = (struct seek_count){ value, count };
}

static void
column_tell(const struct seek_column *c, const struct ledger *l, bool os, struct top *t)
{
	for (uint32_t i = 0; i < c->n; i++)
		offer(t, column_text(l, c->stratum[i], os), c->count[i]);
}

size_t
seek_facet(const struct seek *s, const struct ledger *l, enum seek_facet which, struct seek_count out[SEEK_FACET])
{
	static const char *const kinds[] = { "unknown", "user", "service", "boot-critical", "kernel" };
	static const char *const states[STATUS_WORDS] = { "proceed", "hold", "watch", "halt", "none" };
	const struct seek_facets *f = s->work->facets;
	struct top t = { out, 0 };

	switch (which) {
	case FACET_OF_KIND:
		for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			offer(&t, text_of(kinds[i]), f->kinds[i]);
		break;
	case FACET_OF_MODULE:
		for (uint32_t i = 0; i < f->module_slots; i++)
			if (f->modules[i].count > 0)
				offer(&t, key_module(key_at(&l->keys, f->modules[i].key_no)), f->modules[i].count);
		break;
	case FACET_OF_SITE:
		for (uint32_t i = 1; i < NUMBERS; i++)
			if (f->sites[i] > 0)
				offer(&t, site_name(l, (uint16_t)i), f->sites[i]);
		break;
	case FACET_OF_OS:
	case FACET_OF_PRODUCT:
		column_tell(which == FACET_OF_OS ? &f->os : &f->product, l, which == FACET_OF_OS, &t);
		break;
	case FACET_OF_DEPLOYMENT:
		for (uint32_t i = 0; i < f->n_deployments; i++)
			if (f->deployments[i] > 0 && l->deployments[i] != NULL)
				offer(&t, text_of(l->deployments[i]->msg->id), f->deployments[i]);
		break;
	case FACET_OF_STATE:
		for (unsigned i = 0; i < STATUS_WORDS; i++)
			offer(&t, text_of(states[i]), f->states[i]);
		break;
	case SEEK_FACETS:
		break;
	}
	return t.n;
}
