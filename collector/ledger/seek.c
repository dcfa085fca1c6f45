/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "collector/ledger/seek_private.h"
#include "proto/report.h"

/* ---- what is known before the keys are looked at ---- */

const char *
seek_status(uint8_t verdict, uint8_t state)
{
	if (state == STATE_WATCH || state == STATE_CO_SUSPECT)
		return "watch";
	return verdict_name((enum verdict)verdict);
}

static const char *const status_words[STATUS_WORDS] = { "proceed", "hold", "watch", "halt", "none" };

unsigned
seek_status_no(const struct deployment *d)
{
	const char *word = d != NULL ? seek_status(d->verdict, d->state) : "none";
	unsigned i = 0;

	while (i + 1 < STATUS_WORDS && strcmp(status_words[i], word) != 0)
		i++;
	return i;
}

/* False when nothing is left of this turn. */
static bool
spend(uint32_t *left, uint32_t looks)
{
	*left -= looks < *left ? looks : *left;
	return *left > 0;
}

/* Which of the numbers a term of sites, strata or contents says. */
static void
number_bits(const struct search_term *t, const struct ledger *l, uint8_t *bits)
{
	static const uint8_t interns[SEARCH_FIELDS] = { [SEARCH_SITE] = INTERN_SITES,
							[SEARCH_OS] = INTERN_STRATA,
							[SEARCH_PRODUCT] = INTERN_STRATA,
							[SEARCH_CONTENT] = INTERN_CONTENT };
	uint32_t n = intern_count(&l->interns[interns[t->field]]);
	struct text part[3];

	for (uint32_t no = 1; no <= n; no++) {
		struct text has;

		if (t->field == SEARCH_SITE)
			has = site_name(l, (uint16_t)no);
		else if (t->field == SEARCH_CONTENT)
			has = intern_text(&l->interns[INTERN_CONTENT], (uint16_t)no);
		else if (stratum_names(l, (uint16_t)no, part))
			has = part[t->field == SEARCH_OS];
		else
			continue;
		if (search_says(t, has))
			bit_set(bits, no);
	}
}

static bool
is_of_numbers(const struct search_term *t)
{
	return t->field == SEARCH_SITE || t->field == SEARCH_OS || t->field == SEARCH_PRODUCT ||
	       t->field == SEARCH_CONTENT;
}

static bool
is_of_deployments(const struct search_term *t)
{
	return t->field == SEARCH_DEPLOYMENT || t->field == SEARCH_STATE;
}

static bool
begin(struct seek *s, const struct ledger *l, struct arena *a)
{
	struct seek_work *w = s->work = arena_calloc(a, 1, sizeof(*w));

	if (w == NULL)
		return false;
	w->n_keys = (uint32_t)l->keys.rows.n;
	w->n_deployments = l->n_deployments;
	w->now_us = l->now_us;
	w->under = arena_calloc(a, w->n_keys + 1, sizeof(*w->under));
	s->rows = arena_calloc(a, w->n_keys + 1, sizeof(*s->rows));
	if (s->deployment.len > 0)
		w->only = arena_calloc(a, w->n_keys / 8 + 1, 1);
	for (unsigned i = 0; i < s->query->n; i++) {
		const struct search_term *t = &s->query->terms[i];

		if (is_of_numbers(t))
			w->bits[i] = arena_calloc(a, NUMBERS / 8, 1);
		else if (is_of_deployments(t))
			w->bits[i] = arena_calloc(a, w->n_keys / 8 + 1, 1);
		else
			continue;
		if (w->bits[i] == NULL)
			return false;
	}
	return w->under != NULL && s->rows != NULL && (s->deployment.len == 0 || w->only != NULL) &&
	       (!s->facets || seek_facets_begin(s, l, a));
}

/* The graver one is what a key falls under: open before closed, then the verdict, then the newer. */
static unsigned
gravity(const struct deployment *d)
{
	return (d->life == DEPLOYMENT_OPEN ? 8u : 0u) + seek_status_no(d);
}

static bool
term_names(const struct search_term *t, const struct deployment *d)
{
	return search_says(t, t->field == SEARCH_DEPLOYMENT ? text_of(d->msg->id)
							    : text_of(status_words[seek_status_no(d)]));
}

/* Keys on hosts that a deployment served; true when all of them were looked at in this turn. */
static bool
look_at_deployment(struct seek *s, const struct ledger *l, uint32_t *left)
{
	struct seek_work *w = s->work;
	const struct deployment *d = l->deployments[w->next_deployment];
	bool named[SEARCH_TERMS] = { false }, only;

	if (d == NULL || d->tenant != s->tenant || d->life == DEPLOYMENT_DELETED)
		return true;
	only = w->only != NULL && text_equal(text_of(d->msg->id), s->deployment);
	for (unsigned i = 0; i < s->query->n; i++)
		named[i] = is_of_deployments(&s->query->terms[i]) && term_names(&s->query->terms[i], d);
	for (; w->next_trial < d->trials.n && spend(left, 1); w->next_trial++) {
		const struct trial_row *row = table_at(&d->trials, w->next_trial);
		const struct deployment *before;
		uint32_t no = row->key_no;

		if (row->served.n == 0 || no >= w->n_keys || trial_key(l, row) == NULL)
			continue;
		before = w->under[no] != 0 ? l->deployments[w->under[no] - 1] : NULL;
		if (before == NULL || gravity(d) >= gravity(before))
			w->under[no] = w->next_deployment + 1;
		if (only)
			bit_set(w->only, no);
		for (unsigned i = 0; i < s->query->n; i++)
			if (named[i])
				bit_set(w->bits[i], no);
	}
	return w->next_trial >= d->trials.n;
}

/* ---- one key ---- */

bool
seek_in_group(const struct seek *s, const struct key *k)
{
	if (k->tenant != s->tenant || k->reports == 0)
		return false;
	switch (s->group) {
	case SEEK_BUILDS:
		return k->rung == RUNG_BUILD;
	case SEEK_MODULES:
		return k->rung == RUNG_MODULE;
	case SEEK_ALL:
		return true;
	case SEEK_SIGNATURES:
		break;
	}
	return k->rung == RUNG_KEY || k->rung == RUNG_STOP;
}

static bool
any_site(const struct key *k, const uint8_t *bits)
{
	for (uint32_t x = 0; hostset_next(&k->sites, &x); x++)
		if (bit_get(bits, x & 0xffff))
			return true;
	return false;
}

static bool
any_host(const struct ledger *l, const struct key *k, bool content, const uint8_t *bits, uint32_t *left)
{
	uint32_t seen = 0;

	for (uint32_t x = 0; seen < SEEK_HOSTS && hostset_next(&k->hosts, &x); x++, seen++) {
		const struct host_chunk *c = host_chunk(&l->hosts, x);

		if (bit_get(bits, content ? c->content[HOST_AT(x)] : c->stratum[HOST_AT(x)]))
			break;
	}
	spend(left, seen);
	return seen < SEEK_HOSTS && seen < k->hosts.n;
}

static bool
says_kind(const struct search_term *t, uint8_t kinds)
{
	static const struct {
		const char *word;
		uint8_t kind;
	} words[] = { { "kernel", REPORT_KERNEL },
		      { "boot-critical", REPORT_BOOT_CRITICAL },
		      { "service", REPORT_SERVICE },
		      { "user", REPORT_USER },
		      { "unknown", REPORT_UNKNOWN } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if ((kinds >> words[i].kind & 1) != 0 && search_says(t, text_of(words[i].word)))
			return true;
	return false;
}

static uint64_t
age(int64_t now_us, int64_t then_us)
{
	return now_us > then_us ? (uint64_t)(now_us - then_us) : 0;
}

static bool
holds(const struct seek *s, const struct ledger *l, unsigned i, uint32_t no, uint32_t *left)
{
	const struct search_term *t = &s->query->terms[i];
	const struct seek_work *w = s->work;
	const struct key *k = key_at(&l->keys, no);
	char title[KEY_TITLE_MAX];

	switch (t->field) {
	case SEARCH_TITLE:
		return search_says(t, (struct text){ title, key_title(k, title, sizeof(title)) });
	case SEARCH_MODULE:
		return search_says(t, key_module(k));
	case SEARCH_OFFSET:
		return k->rung == RUNG_KEY && search_holds(t, k->offset);
	case SEARCH_KIND:
		return says_kind(t, k->kinds);
	case SEARCH_REASON:
		return search_says(t, key_reason(k)) ||
		       search_says(t, text_of(reason_class_name((enum reason_class)k->reason)));
	case SEARCH_BUILD:
		return search_says(t, key_module_id(k));
	case SEARCH_SITE:
		return any_site(k, w->bits[i]);
	case SEARCH_OS:
	case SEARCH_PRODUCT:
	case SEARCH_CONTENT:
		return any_host(l, k, t->field == SEARCH_CONTENT, w->bits[i], left);
	case SEARCH_DEPLOYMENT:
	case SEARCH_STATE:
		return search_says(t, TEXT("none")) ? w->under[no] == 0 : bit_get(w->bits[i], no);
	case SEARCH_HOSTS:
		return search_holds(t, k->hosts.n);
	case SEARCH_SITES:
		return search_holds(t, k->sites.n);
	case SEARCH_REPORTS:
		return search_holds(t, k->reports);
	case SEARCH_NEW:
		return search_holds(t, age(w->now_us, k->first_us));
	case SEARCH_LAST:
		return search_holds(t, age(w->now_us, k->last_us));
	case SEARCH_FIELDS:
		break;
	}
	return false;
}

static uint64_t
sort_value(const struct seek *s, const struct key *k)
{
	switch (s->sort) {
	case SEEK_BY_SITES:
		return k->sites.n;
	case SEEK_BY_REPORTS:
		return k->reports;
	case SEEK_BY_CRASHES:
		return k->crashes;
	case SEEK_NEWEST:
		return (uint64_t)k->first_us;
	case SEEK_LAST:
		return (uint64_t)k->last_us;
	case SEEK_BY_TREND:
		return (uint64_t)key_hour(k, s->work->now_us, 0) + key_hour(k, s->work->now_us, 1);
	case SEEK_BY_HOSTS:
	case SEEK_SORTS:
		break;
	}
	return k->hosts.n;
}

static void
look_at_key(struct seek *s, const struct ledger *l, uint32_t no, uint32_t *left)
{
	const struct key *k = key_at(&l->keys, no);
	unsigned failed = 0, which = 0;

	if (!seek_in_group(s, k) || (s->kinds != 0 && (k->kinds & s->kinds) == 0) || k->first_us < s->new_since_us ||
	    (s->module.len > 0 && !text_equal(key_module(k), s->module)) ||
	    (s->work->only != NULL && !bit_get(s->work->only, no)))
		return;
	for (unsigned i = 0; i < s->query->n && failed < 2; i++)
		if (holds(s, l, i, no, left) == s->query->terms[i].negated) {
			failed++;
			which = i;
		}
	if (failed == 1)
		s->without[which]++;
	if (failed > 0)
		return;
	s->rows[s->n++] = (struct seek_row){ sort_value(s, k), k->id, no };
	if (s->facets)
		spend(left, seek_facets_count(s, l, no));
}

enum seek_state
seek_step(struct seek *s, const struct ledger *l, struct arena *a)
{
	uint32_t left = SEEK_TURN;
	struct seek_work *w;

	if (s->work == NULL)
		return begin(s, l, a) ? SEEK_MORE : SEEK_NO_MEMORY;
	w = s->work;
	if (w->next_term < s->query->n) {
		unsigned i = w->next_term++;

		if (is_of_numbers(&s->query->terms[i]))
			number_bits(&s->query->terms[i], l, w->bits[i]);
		return SEEK_MORE;
	}
	while (w->next_deployment < w->n_deployments) {
		if (!look_at_deployment(s, l, &left) || !spend(&left, 1))
			return SEEK_MORE;
		w->next_deployment++;
		w->next_trial = 0;
	}
	while (w->next_key < w->n_keys) {
		if (!spend(&left, 1))
			return SEEK_MORE;
		look_at_key(s, l, w->next_key++, &left);
	}
	return SEEK_DONE;
}
