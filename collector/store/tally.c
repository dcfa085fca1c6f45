/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/hash.h"
#include "collector/store/index.h"
#include "collector/store/pg.h"
#include "collector/store/tally.h"
#include "collector/store/textbuf.h"
#include "proto/claim.h"

#define REMEMBERED_MAX 131072u	/* of each kind; then all are forgotten, between transactions */
#define NONE	       UINT32_MAX
#define TITLE_SIZE     512
#define SUM_COLUMNS    15

/* A signature as some reports spelled it: several spellings may share an id. */
struct spelling {
	uint64_t id;
	uint64_t offset;
	uint16_t tenant;
	uint8_t	 rung, reason_class;
	uint32_t sums;		/* first of its sums, NONE if there is none */
	char	*title, *module, *module_id;	/* one allocation, at title */
};

struct sum {
	uint32_t spelling, next;
	int32_t	 day;		/* since 1970 */
	uint32_t kinds;
	uint64_t reports, crashes, first_pos;
	int64_t	 first_us, last_us;
};

/* Rows of a small table still to be written, as array literals. */
struct news {
	struct index   known;	/* ids that are written, or will be by this transaction */
	uint32_t       n;
	struct textbuf cols[12];
};

struct tally {
	uint64_t	 seed, secret;
	struct index	 by_spelling;
	struct spelling *spellings;
	uint32_t	 n_spellings, cap_spellings;
	struct sum	*sums;
	uint32_t	 n_sums, cap_sums;
	struct news	 origins, sites;
	struct textbuf	 cols[SUM_COLUMNS];	/* of the statement that writes the sums */
};

struct tally *
tally_new(uint64_t seed)
{
	struct tally *t = calloc(1, sizeof(*t));

	if (t != NULL) {
		t->seed = seed;
		t->secret = random_u64();
	}
	return t;
}

static void
forget_spellings(struct tally *t)
{
	for (uint32_t i = 0; i < t->n_spellings; i++)
		free(t->spellings[i].title);
	t->n_spellings = 0;
	index_clear(&t->by_spelling);
}

static void
news_reset(struct news *n)
{
	n->n = 0;
	for (size_t i = 0; i < sizeof(n->cols) / sizeof(n->cols[0]); i++)
		textbuf_reset(&n->cols[i]);
}

static void
news_free(struct news *n)
{
	index_free(&n->known);
	for (size_t i = 0; i < sizeof(n->cols) / sizeof(n->cols[0]); i++)
		textbuf_free(&n->cols[i]);
}

void
tally_free(struct tally *t)
{
	if (t == NULL)
		return;
	forget_spellings(t);
	index_free(&t->by_spelling);
	news_free(&t->origins);
	news_free(&t->sites);
	for (size_t i = 0; i < sizeof(t->cols) / sizeof(t->cols[0]); i++)
		textbuf_free(&t->cols[i]);
	free(t->spellings);
	free(t->sums);
	free(t);
}

void
tally_clear(struct tally *t, bool committed)
{
	for (uint32_t i = 0; i < t->n_sums; i++)
		t->spellings[t->sums[i].spelling].sums = NONE;
	t->n_sums = 0;
	news_reset(&t->origins);
	news_reset(&t->sites);
	if (!committed || t->origins.known.n > REMEMBERED_MAX)
		index_clear(&t->origins.known);
	if (!committed || t->sites.known.n > REMEMBERED_MAX)
		index_clear(&t->sites.known);
	if (t->n_spellings > REMEMBERED_MAX)
		forget_spellings(t);
}

/* The array with twice as many elements, or NULL and all is as it was. */
static void *
more(void *array, uint32_t *cap, size_t size)
{
	uint32_t n = *cap == 0 ? 256 : *cap * 2;
	void *grown = realloc(array, n * size);

	if (grown != NULL)
		*cap = n;
	return grown;
}

/* ---- signatures ---- */

static uint64_t
mix(uint64_t h, struct text t)
{
	return hash64(h, t.at, t.len) ^ hash_mix(t.len);
}

/* Everything that claim_of() looks at. */
static uint64_t
spelling_hash(const struct tally *t, uint16_t tenant, const struct report *r)
{
	uint64_t h = mix(t->secret + tenant, r->module);

	h = mix(h, r->module_id);
	h = mix(h, r->reason);
	h = hash_mix(h + r->offset) + r->reason_code;
	if (r->kind == REPORT_KERNEL) {
		h = mix(hash_mix(h + 1), r->os_build);
		for (uint32_t i = 0; i < r->n_params; i++)
			h = hash_mix(h + r->params[i]);
	}
	return hash_mix(h);
}

static bool
spell(struct spelling *s, uint16_t tenant, const struct report *r)
{
	char title[TITLE_SIZE], module[MODULE_NAME_MAX + 1] = "", id[MODULE_ID_MAX + 1] = "";
	struct claim c;
	size_t nt, nm = 0, ni = 0;

	claim_of(r, &c);
	nt = claim_title(&c, title, sizeof(title));
	if (c.rung == RUNG_KEY) {
		ni = module_id_normalise(c.key.module_id, id, sizeof(id));
		nm = module_name_normalise(c.key.module, (struct text){ id, ni }, module, sizeof(module));
	}
	*s = (struct spelling){ .id = claim_hash(&c), .tenant = tenant, .rung = (uint8_t)c.rung,
				.reason_class = (uint8_t)c.key.reason, .sums = NONE };
	s->offset = c.rung == RUNG_KEY ? c.key.offset : c.rung == RUNG_STOP ? c.stop.code : 0;
	s->title = malloc(nt + nm + ni + 3);
	if (s->title == NULL)
		return false;
	s->module = s->title + nt + 1;
	s->module_id = s->module + nm + 1;
	memcpy(s->title, title, nt + 1);
	memcpy(s->module, module, nm + 1);
	memcpy(s->module_id, id, ni + 1);
	return true;
}

static uint32_t
find_spelling(struct tally *t, uint16_t tenant, const struct report *r)
{
	uint64_t h = spelling_hash(t, tenant, r);
	uint32_t at = index_find(&t->by_spelling, h);

	if (at != INDEX_NONE)
		return at;
	if (t->n_spellings == t->cap_spellings) {
		struct spelling *grown = more(t->spellings, &t->cap_spellings, sizeof(*grown));

		if (grown == NULL)
			return NONE;
		t->spellings = grown;
	}
	if (!spell(&t->spellings[t->n_spellings], tenant, r))
		return NONE;
	if (!index_put(&t->by_spelling, h, t->n_spellings)) {
		free(t->spellings[t->n_spellings].title);
		return NONE;
	}
	return t->n_spellings++;
}

static uint32_t
new_sum(struct tally *t, uint32_t spelling, const struct sum *first)
{
	if (t->n_sums == t->cap_sums) {
		struct sum *grown = more(t->sums, &t->cap_sums, sizeof(*grown));

		if (grown == NULL)
			return NONE;
		t->sums = grown;
	}
	t->sums[t->n_sums] = *first;
	t->spellings[spelling].sums = t->n_sums;
	return t->n_sums++;
}

static bool
add_sum(struct tally *t, uint32_t spelling, const struct record_view *rec, const struct report *r)
{
	int64_t us = store_time(rec->received_us);
	int32_t day = (int32_t)(us / STORE_DAY_US);
	uint32_t i = t->spellings[spelling].sums;
	struct sum *s;

	while (i != NONE && t->sums[i].day != day)
		i = t->sums[i].next;
	if (i == NONE)
		i = new_sum(t, spelling, &(struct sum){ .spelling = spelling, .next = t->spellings[spelling].sums,
							.day = day, .first_pos = rec->pos, .first_us = us,
							.last_us = us });
	if (i == NONE)
		return false;
	s = &t->sums[i];
	s->kinds |= 1u << r->kind;
	s->reports++;
	s->crashes += r->count;
	s->first_us = us < s->first_us ? us : s->first_us;
	s->last_us = us > s->last_us ? us : s->last_us;
	return true;
}

/* ---- origins and sites ---- */

static bool
add_origin(struct tally *t, uint16_t tenant, const struct report *r, uint64_t *id_out)
{
	const struct text texts[] = { r->module, r->module_version, r->reason, r->product, r->version,
				      r->os,	 r->os_build,	    r->arch,   r->hw_class };
	struct news *o = &t->origins;
	uint64_t h = t->seed + tenant;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		h = mix(h, texts[i]);
	*id_out = h = hash_mix(h + r->reason_code);
	if (index_find(&o->known, h) != INDEX_NONE)
		return true;
	if (!index_put(&o->known, h, 0))
		return false;
	if (o->n++ == 0)
		for (size_t i = 0; i < 12; i++)
			array_open(&o->cols[i]);
	array_int(&o->cols[0], (int16_t)tenant);
	array_int(&o->cols[1], (int64_t)h);
	array_int(&o->cols[2], r->reason_code);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		array_text(&o->cols[3 + i], texts[i]);
	return true;
}

static bool
add_site(struct tally *t, uint16_t tenant, struct text site, uint64_t *id_out)
{
	struct news *o = &t->sites;
	uint64_t h = hash_mix(mix(t->seed + tenant, site));

	*id_out = h;
	if (index_find(&o->known, h) != INDEX_NONE)
		return true;
	if (!index_put(&o->known, h, 0))
		return false;
	if (o->n++ == 0)
		for (size_t i = 0; i < 3; i++)
			array_open(&o->cols[i]);
	array_int(&o->cols[0], (int16_t)tenant);
	array_int(&o->cols[1], (int64_t)h);
	array_text(&o->cols[2], site);
	return true;
}

bool
tally_report(struct tally *t, const struct record_view *rec, const struct report *r, bool counted,
	     struct tally_refs *out)
{
	uint32_t spelling = find_spelling(t, rec->tenant, r);

	if (spelling == NONE || !add_origin(t, rec->tenant, r, &out->origin) ||
	    !add_site(t, rec->tenant, r->site, &out->site))
		return false;
	out->signature = t->spellings[spelling].id;
	return !counted || add_sum(t, spelling, rec, r);
}

/* ---- writing ---- */

/* Close and send columns, and one more parameter if there is one; false also when a
 * column ran out of memory. */
static bool
send(struct pg *pg, const char *sql, struct textbuf *cols, int n, const char *last)
{
	const char *params[SUM_COLUMNS + 1];

	for (int i = 0; i < n; i++) {
		params[i] = array_close(&cols[i]);
		if (cols[i].failed) {
			pg->failure = PG_LATER;
			snprintf(pg->text, sizeof(pg->text), "out of memory");
			return false;
		}
	}
	params[n] = last;
	return pg_run_params(pg, sql, last != NULL ? n + 1 : n, params);
}

static bool
store_news(struct tally *t, struct pg *pg)
{
	static const char origins[] =
		"INSERT INTO origins (tenant, id, reason_code, module, module_version, reason, product, version, os,"
		" os_build, arch, hw_class) SELECT * FROM unnest($1::int2[], $2::int8[], $3::int8[], $4::text[],"
		" $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])"
		" ORDER BY 1, 2 ON CONFLICT DO NOTHING";
	static const char sites[] =
		"INSERT INTO sites (tenant, id, name) SELECT * FROM unnest($1::int2[], $2::int8[], $3::text[])"
		" ORDER BY 1, 2 ON CONFLICT DO NOTHING";

	return (t->origins.n == 0 || send(pg, origins, t->origins.cols, 12, NULL)) &&
	       (t->sites.n == 0 || send(pg, sites, t->sites.cols, 3, NULL));
}

/* One statement: the sums go to signature_days and, added over days and spellings, to
 * signatures; in the order of the key, so that two writers cannot block each other. */
static const char store_sums[] =
	"WITH s AS MATERIALIZED (SELECT * FROM unnest($1::int2[], $2::int8[], $3::date[], $4::int2[], $5::int2[],"
	" $6::int4[], $7::int8[], $8::timestamptz[], $9::timestamptz[], $10::int8[], $11::int8[], $12::int8[],"
	" $13::text[], $14::text[], $15::text[]) AS s (tenant, id, day, rung, class, kinds, off, first, last, pos,"
	" reports, crashes, title, module, module_id)),"
	" d AS (INSERT INTO signature_days AS t (tenant, signature, day, reports, crashes)"
	"  SELECT tenant, id, day, sum(reports), sum(crashes) FROM s GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
	"  ON CONFLICT (tenant, signature, day) DO UPDATE SET reports = t.reports + excluded.reports,"
	"  crashes = t.crashes + excluded.crashes RETURNING 1)"
	" INSERT INTO signatures AS t (tenant, id, rung, reason_class, kinds, \"offset\", first_seen, last_seen,"
	" first_log, first_position, reports, crashes, triaged, title, module, module_id)"
	" SELECT tenant, id, min(rung), min(class), bit_or(kinds), min(off), min(first), max(last),"
	" $16::int2, min(pos), sum(reports), sum(crashes), 0, min(title), min(module), min(module_id)"
	" FROM s GROUP BY 1, 2 ORDER BY 1, 2"
	" ON CONFLICT (tenant, id) DO UPDATE SET kinds = t.kinds | excluded.kinds,"
	" first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen),"
	" reports = t.reports + excluded.reports, crashes = t.crashes + excluded.crashes";

static void
put_sum(struct textbuf *c, const struct spelling *sp, const struct sum *s)
{
	char day[16];
	int n = 0;

	array_int(&c[n++], (int16_t)sp->tenant);
	array_int(&c[n++], (int64_t)sp->id);
	array_text(&c[n++], text_of(day_text(s->day, day)));
	array_int(&c[n++], sp->rung);
	array_int(&c[n++], sp->reason_class);
	array_int(&c[n++], s->kinds);
	array_int(&c[n++], (int64_t)sp->offset);
	array_time(&c[n++], s->first_us);
	array_time(&c[n++], s->last_us);
	array_int(&c[n++], (int64_t)s->first_pos);
	array_int(&c[n++], (int64_t)s->reports);
	array_int(&c[n++], (int64_t)s->crashes);
	array_text(&c[n++], text_of(sp->title));
	array_text(&c[n++], text_of(sp->module));
	array_text(&c[n++], text_of(sp->module_id));
}

bool
tally_store(struct tally *t, struct pg *pg, int log_no)
{
	char no[16];

	if (!store_news(t, pg))
		return false;
	if (t->n_sums == 0)
		return true;
	for (int i = 0; i < SUM_COLUMNS; i++)
		array_open(&t->cols[i]);
	for (uint32_t i = 0; i < t->n_sums; i++)
		put_sum(t->cols, &t->spellings[t->sums[i].spelling], &t->sums[i]);
	snprintf(no, sizeof(no), "%d", log_no);
	return send(pg, store_sums, t->cols, SUM_COLUMNS, no);
}
