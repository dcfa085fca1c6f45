/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "collector/ledger/state.h"
#include "collector/ledger/story.h"

#define REPORT_LOOK 50000u /* rows a turn */
#define HOST_LOOK   20000u
#define NUMBER_LOOK 512u
#define NUMBERS     65536u
#define SEEN_MAX    (1u << 18) /* crashes of two hours; of more only the newest minutes are told */
#define NAMES_MAX   1024u      /* of one list: the rest is counted in total only */

struct seen {
	uint32_t minute, host_no; /* minute: since 1970 */
	uint32_t crashes;
	uint16_t site;
};

struct story_work {
	enum { READ_REPORTS, COUNT_HOSTS, NAME_SITES, NAME_STRATA, THE_END } stage;
	uint64_t at;
	uint32_t life, from_minute, now_minute;
	uint32_t n_seen;
	bool cut;
	struct seen *seen;
	uint32_t *sites, *strata; /* hosts by number */
};

static bool
begin(struct story *s, const struct ledger *l, struct arena *a)
{
	struct story_work *w = ARENA_NEW(a, struct story_work);

	if (w == NULL)
		return false;
	w->seen = ARENA_ARRAY(a, struct seen, SEEN_MAX);
	w->sites = ARENA_ARRAY(a, uint32_t, NUMBERS);
	w->strata = ARENA_ARRAY(a, uint32_t, NUMBERS);
	for (unsigned i = 0; i < STORY_LISTS; i++)
		if ((s->rows[i] = ARENA_ARRAY(a, struct story_row, NAMES_MAX)) == NULL)
			return false;
	if (w->seen == NULL || w->sites == NULL || w->strata == NULL)
		return false;
	w->life = key_at(&l->keys, s->key_no)->life;
	w->at = l->reports.n;
	w->now_minute = seconds(l->now_us) / 60;
	w->from_minute = w->now_minute >= STORY_MINUTES - 1 ? w->now_minute - (STORY_MINUTES - 1) : 0;
	s->t0_us = (int64_t)w->from_minute * 60000000;
	s->work = w;
	return true;
}

static bool
is_of(const struct rungs *g, uint32_t key_no)
{
	return g->key == key_no || g->build == key_no || g->module == key_no || g->stop == key_no;
}

/* Backwards from the newest report; true when the window is read. */
static bool
read_reports(struct story *s, const struct ledger *l)
{
	struct story_work *w = s->work;
	uint32_t look = REPORT_LOOK;

	for (; w->at > l->reports_first && look > 0; look--) {
		const struct report_row *row = table_at(&l->reports, --w->at);
		const bool computed = row->computed.key != KEY_NONE || row->computed.stop != KEY_NONE;

		if (row->received_s / 60 < w->from_minute || w->n_seen == SEEN_MAX) {
			w->cut = w->n_seen == SEEN_MAX;
			return true;
		}
		if ((row->flags & (REPORT_ROW_RESENT | REPORT_ROW_LATE)) != 0 ||
		    !is_of(computed ? &row->computed : &row->claimed, s->key_no) || row->host_no >= l->hosts.n)
			continue;
		w->seen[w->n_seen++] =
			(struct seen){ .minute = row->received_s / 60,
				       .host_no = row->host_no,
				       .crashes = row->crashes,
				       .site = host_chunk(&l->hosts, row->host_no)->site[HOST_AT(row->host_no)] };
	}
	return w->at <= l->reports_first;
}

static bool
count_hosts(struct story *s, const struct ledger *l)
{
	const struct key *key = key_at(&l->keys, s->key_no);
	struct story_work *w = s->work;
	uint32_t look = HOST_LOOK, no = (uint32_t)w->at;

	if (key->life != w->life)
		return true; /* its row was given away: what was counted stands */
	for (; look > 0 && hostset_next(&key->hosts, &no); no++, look--) {
		const struct host_chunk *c;

		if (no >= l->hosts.n)
			continue;
		c = host_chunk(&l->hosts, no);
		w->sites[c->site[HOST_AT(no)]]++;
		w->strata[c->stratum[HOST_AT(no)]]++;
		if (s->n_hosts < STORY_HOSTS && w->n_seen == 0)
			s->host_no[s->n_hosts++] = no;
	}
	w->at = no;
	return look > 0;
}

static bool
add_row(struct story *s, struct arena *a, enum story_list list, struct text name, uint32_t hosts)
{
	struct story_row *rows = s->rows[list];
	char *copy;

	if (name.len == 0) {
		s->unknown[list] += hosts;
		return true;
	}
	for (uint32_t i = 0; i < s->n_rows[list]; i++)
		if (text_equal(rows[i].name, name)) {
			rows[i].hosts += hosts;
			return true;
		}
	s->total[list]++;
	if (s->n_rows[list] == NAMES_MAX)
		return true;
	if ((copy = ARENA_ARRAY(a, char, name.len)) == NULL)
		return false;
	memcpy(copy, name.at, name.len);
	rows[s->n_rows[list]++] = (struct story_row){ { copy, name.len }, hosts };
	return true;
}

/* Numbers to names, a turn's worth.  STORY_DONE: all of them. */
static enum story_state
name_numbers(struct story *s, const struct ledger *l, struct arena *a, bool sites)
{
	struct story_work *w = s->work;
	uint32_t look = NUMBER_LOOK;

	for (; w->at < NUMBERS && look > 0; w->at++) {
		const uint16_t no = (uint16_t)w->at;
		const uint32_t hosts = sites ? w->sites[no] : w->strata[no];
		struct text names[3] = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };
		bool ok;

		if (hosts == 0)
			continue;
		look--;
		if (sites)
			ok = add_row(s, a, STORY_SITES, no != 0 ? site_name(l, no) : names[0], hosts);
		else {
			stratum_names(l, no, names);
			ok = add_row(s, a, STORY_PRODUCTS, names[0], hosts) &&
			     add_row(s, a, STORY_OS_BUILDS, names[1], hosts) &&
			     add_row(s, a, STORY_HW_CLASSES, names[2], hosts);
		}
		if (!ok)
			return STORY_NO_MEMORY;
	}
	return w->at == NUMBERS ? STORY_DONE : STORY_MORE;
}

enum story_state
story_step(struct story *s, const struct ledger *l, struct arena *a)
{
	struct story_work *w = s->work;
	enum story_state state = STORY_DONE;

	if (w == NULL)
		return begin(s, l, a) ? STORY_MORE : STORY_NO_MEMORY;
	if (w->stage == READ_REPORTS && !read_reports(s, l))
		return STORY_MORE;
	if (w->stage == COUNT_HOSTS && !count_hosts(s, l))
		return STORY_MORE;
	if (w->stage == NAME_SITES || w->stage == NAME_STRATA)
		state = name_numbers(s, l, a, w->stage == NAME_SITES);
	if (state != STORY_DONE)
		return state;
	w->at = 0;
	w->stage++;
	return w->stage == THE_END ? STORY_DONE : STORY_MORE;
}

/* ---- afterwards ---- */

static int
by_minute(const void *x, const void *y)
{
	const struct seen *a = x, *b = y;

	if (a->minute != b->minute)
		return a->minute < b->minute ? -1 : 1;
	return (a->host_no > b->host_no) - (a->host_no < b->host_no);
}

static int
by_site(const void *x, const void *y)
{
	const struct seen *a = x, *b = y;

	if (a->minute != b->minute)
		return a->minute < b->minute ? -1 : 1;
	return (a->site > b->site) - (a->site < b->site);
}

static int
by_hosts(const void *x, const void *y)
{
	const struct story_row *a = x, *b = y;
	const size_t len = a->name.len < b->name.len ? a->name.len : b->name.len;
	int c;

	if (a->hosts != b->hosts)
		return a->hosts > b->hosts ? -1 : 1;
	c = memcmp(a->name.at, b->name.at, len);
	return c != 0 ? c : (a->name.len > b->name.len) - (a->name.len < b->name.len);
}

/* The last that crashed; `seen` is as it was read: newest first. */
static void
newest_hosts(struct story *s)
{
	const struct story_work *w = s->work;

	for (uint32_t i = 0; i < w->n_seen && s->n_hosts < STORY_HOSTS; i++) {
		uint32_t k = 0;

		while (k < s->n_hosts && s->host_no[k] != w->seen[i].host_no)
			k++;
		if (k == s->n_hosts)
			s->host_no[s->n_hosts++] = w->seen[i].host_no;
	}
}

void
story_finish(struct story *s)
{
	struct story_work *w = s->work;

	newest_hosts(s);
	if (w->cut && w->n_seen > 0)
		s->from = w->seen[w->n_seen - 1].minute - w->from_minute + 1;
	qsort(w->seen, w->n_seen, sizeof(*w->seen), by_minute);
	for (uint32_t i = 0; i < w->n_seen; i++) {
		const uint32_t m = w->seen[i].minute - w->from_minute;

		if (m >= STORY_MINUTES)
			continue; /* folded between two turns */
		s->crashes[m] += w->seen[i].crashes;
		s->hosts[m] += i == 0 || by_minute(&w->seen[i - 1], &w->seen[i]) != 0;
	}
	qsort(w->seen, w->n_seen, sizeof(*w->seen), by_site);
	for (uint32_t i = 0; i < w->n_seen; i++) {
		const uint32_t m = w->seen[i].minute - w->from_minute;

		if (m < STORY_MINUTES && w->seen[i].site != 0)
			s->sites[m] += i == 0 || by_site(&w->seen[i - 1], &w->seen[i]) != 0;
	}
	for (unsigned i = 0; i < STORY_LISTS; i++) {
		qsort(s->rows[i], s->n_rows[i], sizeof(struct story_row), by_hosts);
		s->n_rows[i] = s->n_rows[i] < STORY_ROWS ? s->n_rows[i] : STORY_ROWS;
	}
}
