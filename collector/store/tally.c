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

#define REMEMBERED_MAX 131072u /* of each kind; then all are forgotten, between transactions */
#define NONE           UINT32_MAX
#define TITLE_SIZE     512
#define SUM_COLUMNS    14

struct signature {
	uint64_t id;
	uint64_t offset;
	uint16_t tenant;
	uint8_t rung, reason_class;
	uint32_t sums;                    /* first of its sums, NONE if there is none */
	char *title, *module, *module_id; /* one allocation, at title */
};

/* Of one signature and day. */
struct sum {
	uint32_t signature, next;
	int32_t day; /* since 1970 */
	uint32_t kinds;
	uint64_t reports, crashes, first_pos;
	int64_t first_us, last_us;
};

/* Rows of a small table still to be written, as array literals. */
struct news {
	struct index known; /* ids that are written, or will be by this transaction */
	uint32_t n;
	struct textbuf cols[12];
};

struct tally {
	uint64_t seed, secret;
	struct index by_spelling; /* what a report says -> signature, without hashing the text again */
	struct index by_id;       /* several spellings may be one signature */
	struct signature *signatures;
	uint32_t n_signatures, cap_signatures;
	struct sum *sums;
	uint32_t n_sums, cap_sums;
	struct news origins, sites;
	struct textbuf cols[SUM_COLUMNS]; /* of the statement that writes the sums */
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
forget_signatures(struct tally *t)
{
	for (uint32_t i = 0; i < t->n_signatures; i++)
		free(t->signatures[i].title);
	t->n_signatures = 0;
	index_clear(&t->by_spelling);
	index_clear(&t->by_id);
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
	forget_signatures(t);
	index_free(&t->by_spelling);
	index_free(&t->by_id);
	news_free(&t->origins);
	news_free(&t->sites);
	for (size_t i = 0; i < sizeof(t->cols) / sizeof(t->cols[0]); i++)
		textbuf_free(&t->cols[i]);
	free(t->signatures);
	free(t->sums);
	free(t);
}

void
tally_clear(struct tally *t, bool committed)
{
	for (uint32_t i = 0; i < t->n_sums; i++)
		t->signatures[t->sums[i].signature].sums = NONE;
	t->n_sums = 0;
	news_reset(&t->origins);
	news_reset(&t->sites);
	if (!committed || t->origins.known.n > REMEMBERED_MAX)
		index_clear(&t->origins.known);
	if (!committed || t->sites.known.n > REMEMBERED_MAX)
		index_clear(&t->sites.known);
	if (t->by_spelling.n > REMEMBERED_MAX)
		forget_signatures(t);
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

/* A signature that was not met before; INDEX_NONE: out of memory. */
static uint32_t
new_signature(struct tally *t, const struct claim *c, uint64_t id, uint16_t tenant)
{
	char title[TITLE_SIZE], module[MODULE_NAME_MAX + 1] = "", mid[MODULE_ID_MAX + 1] = "";
	size_t nt = claim_title(c, title, sizeof(title)), nm = 0, ni = 0;
	struct signature *s;

	if (t->n_signatures == t->cap_signatures) {
		s = more(t->signatures, &t->cap_signatures, sizeof(*s));
		if (s == NULL)
			return NONE;
		t->signatures = s;
	}
	if (c->rung == RUNG_KEY) {
		ni = module_id_normalise(c->key.module_id, mid, sizeof(mid));
		nm = module_name_normalise(c->key.module, (struct text){ mid, ni }, module, sizeof(module));
	}
	s = &t->signatures[t->n_signatures];
	*s = (struct signature){ .id = id,
				 .tenant = tenant,
				 .rung = (uint8_t)c->rung,
				 .reason_class = (uint8_t)c->key.reason,
				 .sums = NONE };
	s->offset = c->rung == RUNG_KEY ? c->key.offset : c->rung == RUNG_STOP ? c->stop.code : 0;
	s->title = malloc(nt + nm + ni + 3);
	if (s->title == NULL)
		return NONE;
	s->module = s->title + nt + 1;
	s->module_id = s->module + nm + 1;
	memcpy(s->title, title, nt + 1);
	memcpy(s->module, module, nm + 1);
	memcpy(s->module_id, mid, ni + 1);
	return t->n_signatures++;
}

static uint32_t
find_signature(struct tally *t, uint16_t tenant, const struct report *r)
{
	uint64_t spelling = spelling_hash(t, tenant, r), id, key;
	uint32_t at = index_find(&t->by_spelling, spelling);
	struct claim c;

	if (at != INDEX_NONE)
		return at;
	claim_of(r, &c);
	id = claim_hash(&c);
	key = hash_mix(id ^ hash_mix(t->secret + tenant));
	at = index_find(&t->by_id, key);
	if (at == INDEX_NONE && ((at = new_signature(t, &c, id, tenant)) == NONE || !index_put(&t->by_id, key, at)))
		return NONE;
	return index_put(&t->by_spelling, spelling, at) ? at : NONE;
}

static uint32_t
new_sum(struct tally *t, const struct sum *first)
{
	if (t->n_sums == t->cap_sums) {
		struct sum *grown = more(t->sums, &t->cap_sums, sizeof(*grown));

		if (grown == NULL)
			return NONE;
		t->sums = grown;
	}
	t->sums[t->n_sums] = *first;
	t->signatures[first->signature].sums = t->n_sums;
	return t->n_sums++;
}

static bool
add_sum(struct tally *t, uint32_t signature, const struct record_view *rec, const struct report *r)
{
	int64_t us = store_time(rec->received_us);
	int32_t day = (int32_t)(us / STORE_DAY_US);
	uint32_t i = t->signatures[signature].sums;
	struct sum *s;

	while (i != NONE && t->sums[i].day != day)
		i = t->sums[i].next;
	if (i == NONE)
		i = new_sum(t, &(struct sum){ .signature = signature,
					      .next = t->signatures[signature].sums,
					      .day = day,
					      .first_pos = rec->pos,
					      .first_us = us,
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
				      r->os,     r->os_build,       r->arch,   r->hw_class };
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
	uint32_t signature = find_signature(t, rec->tenant, r);

	if (signature == NONE || !add_origin(t, rec->tenant, r, &out->origin) ||
	    !add_site(t, rec->tenant, r->site, &out->site))
		return false;
	out->signature = t->signatures[signature].id;
	return !counted || add_sum(t, signature, rec, r);
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

/* Both upserts go in the order of the key, so that two writers cannot block each other. */
static bool
store_days(struct tally *t, struct pg *pg)
{
	static const char sql[] =
		"INSERT INTO signature_days AS t (tenant, signature, day, reports, crashes) SELECT * FROM"
		" unnest($1::int2[], $2::int8[], $3::date[], $4::int8[], $5::int8[]) ORDER BY 1, 2, 3"
		" ON CONFLICT (tenant, signature, day) DO UPDATE SET reports = t.reports + excluded.reports,"
		" crashes = t.crashes + excluded.crashes";
	struct textbuf *c = t->cols;
	char day[16];

	for (int i = 0; i < 5; i++)
		array_open(&c[i]);
	for (uint32_t i = 0; i < t->n_sums; i++) {
		const struct sum *s = &t->sums[i];

		array_int(&c[0], (int16_t)t->signatures[s->signature].tenant);
		array_int(&c[1], (int64_t)t->signatures[s->signature].id);
		array_text(&c[2], text_of(day_text(s->day, day)));
		array_int(&c[3], (int64_t)s->reports);
		array_int(&c[4], (int64_t)s->crashes);
	}
	return send(pg, sql, c, 5, NULL);
}

/* The sums of all days of a signature, one by one, as one. */
static struct sum
sum_of_days(const struct tally *t, uint32_t first)
{
	struct sum all = t->sums[first];

	for (uint32_t i = all.next; i != NONE; i = t->sums[i].next) {
		const struct sum *s = &t->sums[i];

		all.kinds |= s->kinds;
		all.reports += s->reports;
		all.crashes += s->crashes;
		all.first_pos = s->first_pos < all.first_pos ? s->first_pos : all.first_pos;
		all.first_us = s->first_us < all.first_us ? s->first_us : all.first_us;
		all.last_us = s->last_us > all.last_us ? s->last_us : all.last_us;
	}
	return all;
}

static void
put_signature(struct textbuf *c, const struct signature *g, const struct sum *s)
{
	int n = 0;

	array_int(&c[n++], (int16_t)g->tenant);
	array_int(&c[n++], (int64_t)g->id);
	array_int(&c[n++], g->rung);
	array_int(&c[n++], g->reason_class);
	array_int(&c[n++], s->kinds);
	array_int(&c[n++], (int64_t)g->offset);
	array_time(&c[n++], s->first_us);
	array_time(&c[n++], s->last_us);
	array_int(&c[n++], (int64_t)s->first_pos);
	array_int(&c[n++], (int64_t)s->reports);
	array_int(&c[n++], (int64_t)s->crashes);
	array_text(&c[n++], text_of(g->title));
	array_text(&c[n++], text_of(g->module));
	array_text(&c[n++], text_of(g->module_id));
}

static bool
store_signatures(struct tally *t, struct pg *pg, const char *log_no)
{
	static const char sql[] =
		"INSERT INTO signatures AS t (tenant, id, rung, reason_class, kinds, \"offset\", first_seen, last_seen,"
		" first_log, first_position, reports, crashes, triaged, title, module, module_id)"
		" SELECT a, b, c, d, e, f, g, h, $15::int2, i, j, k, 0, l, m, n FROM unnest($1::int2[], $2::int8[],"
		" $3::int2[], $4::int2[], $5::int4[], $6::int8[], $7::timestamptz[], $8::timestamptz[], $9::int8[],"
		" $10::int8[], $11::int8[], $12::text[], $13::text[], $14::text[])"
		" AS s (a, b, c, d, e, f, g, h, i, j, k, l, m, n) ORDER BY 1, 2"
		" ON CONFLICT (tenant, id) DO UPDATE SET kinds = t.kinds | excluded.kinds,"
		" first_seen = least(t.first_seen, excluded.first_seen),"
		" last_seen = greatest(t.last_seen, excluded.last_seen),"
		" reports = t.reports + excluded.reports, crashes = t.crashes + excluded.crashes";

	for (int i = 0; i < SUM_COLUMNS; i++)
		array_open(&t->cols[i]);
	for (uint32_t i = 0; i < t->n_sums; i++) {
		const struct signature *g = &t->signatures[t->sums[i].signature];
		struct sum all;

		if (g->sums != i)
			continue; /* another day of a signature that is done */
		all = sum_of_days(t, i);
		put_signature(t->cols, g, &all);
	}
	return send(pg, sql, t->cols, SUM_COLUMNS, log_no);
}

bool
tally_store(struct tally *t, struct pg *pg, int log_no)
{
	char no[16];

	snprintf(no, sizeof(no), "%d", log_no);
	return store_news(t, pg) && (t->n_sums == 0 || (store_days(t, pg) && store_signatures(t, pg, no)));
}
