/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/signature.h"
#include "collector/store/facts.h"
#include "collector/store/filing.h"
#include "collector/store/pg.h"
#include "collector/store/textbuf.h"
#include "proto/log.pb-c.h"
#include "proto/pbarena.h"

#define ARENA_BYTES (16u << 20) /* for one unpacked record of at most 256 KiB */
#define COLUMNS_MAX 23

enum kind { DUMP, TRIAGE, DEPLOYMENT, RECEIPT, DECISION, GAP, REJECTED, N_KINDS };

static const struct {
	int columns;
	const char *sql;
} statements[N_KINDS] = {
	[DUMP] = { 6, "INSERT INTO dumps (tenant, log, position, sha256, size, received) SELECT * FROM"
		      " unnest($1::int2[], $2::int2[], $3::int8[], $4::bytea[], $5::int8[], $6::timestamptz[])"
		      " ON CONFLICT DO NOTHING" },
	[TRIAGE] = { 23, "INSERT INTO triage_results (tenant, log, position, received, sha256, outcome, signature,"
			 " address, \"offset\", crashing_thread, thread_count, module_count, reason_class, partial,"
			 " error, format, os, arch, reason, module, module_id, module_version, rule, frames)"
			 " SELECT a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w->>'rule',"
			 " w->'frames' FROM unnest($1::int2[], $2::int2[], $3::int8[], $4::timestamptz[], $5::bytea[],"
			 " $6::int2[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::int8[],"
			 " $13::int2[], $14::bool[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[],"
			 " $20::text[], $21::text[], $22::text[], $23::jsonb[])"
			 " AS x (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w)"
			 " ON CONFLICT DO NOTHING RETURNING tenant, position, signature, module, module_id, \"offset\","
			 " reason_class, received" },
	[DEPLOYMENT] = { 10, "INSERT INTO deployments (tenant, log, position, received, id, artefact, version, mode,"
			     " actor, definition) SELECT * FROM unnest($1::int2[], $2::int2[], $3::int8[],"
			     " $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],"
			     " $10::jsonb[]) ON CONFLICT DO NOTHING" },
	[RECEIPT] = { 6, "INSERT INTO receipts AS t (tenant, deployment, ring, withdrawn, receipts, hosts, first_at,"
			 " last_at) SELECT a, b, c, d, count(*), sum(e), min(f), max(f) FROM unnest($1::int2[],"
			 " $2::text[], $3::text[], $4::bool[], $5::int8[], $6::timestamptz[]) AS x (a, b, c, d, e, f)"
			 " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 ON CONFLICT (tenant, deployment, ring, withdrawn)"
			 " DO UPDATE SET receipts = t.receipts + excluded.receipts, hosts = t.hosts + excluded.hosts,"
			 " first_at = least(t.first_at, excluded.first_at),"
			 " last_at = greatest(t.last_at, excluded.last_at)" },
	[DECISION] = { 11, "INSERT INTO decisions (tenant, log, position, received, deployment, action, automatic,"
			   " actor, reason, basis, proof) SELECT * FROM unnest($1::int2[], $2::int2[], $3::int8[],"
			   " $4::timestamptz[], $5::text[], $6::int2[], $7::bool[], $8::text[], $9::text[],"
			   " $10::int8[], $11::jsonb[]) ON CONFLICT DO NOTHING" },
	[GAP] = { 6, "INSERT INTO gaps (log, position, to_position, from_at, to_at, why) SELECT * FROM"
		     " unnest($1::int2[], $2::int8[], $3::int8[], $4::timestamptz[], $5::timestamptz[], $6::text[])"
		     " ON CONFLICT DO NOTHING" },
	[REJECTED] = { 7, "INSERT INTO rejected (tenant, log, position, received, type, error, payload) SELECT * FROM"
			  " unnest($1::int2[], $2::int2[], $3::int8[], $4::timestamptz[], $5::int4[], $6::text[],"
			  " $7::bytea[]) ON CONFLICT DO NOTHING" },
};

/* Rows of one kind, column by column. */
struct columns {
	uint32_t n;
	struct textbuf at[COLUMNS_MAX];
};

struct facts {
	struct columns kinds[N_KINDS];
	struct textbuf json;
	struct arena *arena;
	ProtobufCAllocator allocator;
};

struct facts *
facts_new(void)
{
	return calloc(1, sizeof(struct facts));
}

void
facts_free(struct facts *f)
{
	if (f == NULL)
		return;
	for (int k = 0; k < N_KINDS; k++)
		for (int i = 0; i < COLUMNS_MAX; i++)
			textbuf_free(&f->kinds[k].at[i]);
	textbuf_free(&f->json);
	arena_free(f->arena);
	free(f);
}

void
facts_clear(struct facts *f)
{
	for (int k = 0; k < N_KINDS; k++)
		f->kinds[k].n = 0;
}

size_t
facts_bytes(const struct facts *f)
{
	size_t n = 0;

	for (int k = 0; k < N_KINDS; k++)
		for (int i = 0; f->kinds[k].n > 0 && i < statements[k].columns; i++)
			n += f->kinds[k].at[i].len;
	return n;
}

/* The columns of a new row of that kind. */
static struct textbuf *
begin_row(struct facts *f, enum kind k)
{
	struct columns *c = &f->kinds[k];

	if (c->n++ == 0)
		for (int i = 0; i < statements[k].columns; i++)
			array_open(&c->at[i]);
	return c->at;
}

static bool
row_fine(const struct facts *f, enum kind k)
{
	for (int i = 0; i < statements[k].columns; i++)
		if (f->kinds[k].at[i].failed)
			return false;
	return !f->json.failed;
}

/* The four columns that most kinds begin with. */
static struct textbuf *
begin_record(struct facts *f, enum kind k, int log_no, const struct record_view *rec)
{
	struct textbuf *c = begin_row(f, k);

	array_int(&c[0], (int16_t)rec->tenant);
	array_int(&c[1], log_no);
	array_int(&c[2], (int64_t)rec->pos);
	array_time(&c[3], rec->received_us);
	return c;
}

static struct text
str(const char *s)
{
	return text_of(s != NULL ? s : "");
}

static struct text
bin(ProtobufCBinaryData b)
{
	return (struct text){ (const char *)b.data, b.len };
}

static void
array_bool(struct textbuf *b, bool v)
{
	array_text(b, v ? TEXT("t") : TEXT("f"));
}

static struct text
view(const struct textbuf *b)
{
	return (struct text){ b->at, b->len };
}

/* ---- one function a record type; false: not a valid message ---- */

static bool
add_dump(struct facts *f, int log_no, const struct record_view *rec)
{
	Faultline__Log__DumpStored *m =
		faultline__log__dump_stored__unpack(&f->allocator, rec->payload_len, rec->payload);
	struct textbuf *c;

	if (m == NULL)
		return false;
	c = begin_row(f, DUMP);
	array_int(&c[0], (int16_t)rec->tenant);
	array_int(&c[1], log_no);
	array_int(&c[2], (int64_t)m->report);
	array_bytes(&c[3], bin(m->sha256));
	array_int(&c[4], (int64_t)m->size);
	array_time(&c[5], rec->received_us);
	return true;
}

static void
json_triage(struct textbuf *b, const Faultline__Log__TriageResult *m)
{
	textbuf_reset(b);
	textbuf_printf(b, "{\"rule\":");
	textbuf_json(b, str(m->rule));
	textbuf_printf(b, ",\"frames\":[");
	for (size_t i = 0; i < m->n_frames; i++) {
		const Faultline__Log__Frame *fr = m->frames[i];

		textbuf_printf(b, "%s{\"module\":", i > 0 ? "," : "");
		textbuf_json(b, str(fr->module));
		textbuf_printf(b, ",\"module_id\":");
		textbuf_json(b, str(fr->module_id));
		textbuf_printf(b,
			       ",\"module_offset\":\"0x%" PRIx64 "\",\"trust\":%" PRIu32 ",\"function\":", fr->offset,
			       fr->trust);
		textbuf_json(b, str(fr->function));
		textbuf_printf(b, "}");
	}
	textbuf_printf(b, "]}");
}

static bool
add_triage(struct facts *f, int log_no, const struct record_view *rec)
{
	Faultline__Log__TriageResult *m =
		faultline__log__triage_result__unpack(&f->allocator, rec->payload_len, rec->payload);
	struct signature_key key;
	struct textbuf *c;
	int n = 0;

	if (m == NULL)
		return false;
	key = (struct signature_key){ str(m->module), str(m->module_id), m->offset,
				      (enum reason_class)m->reason_class };
	json_triage(&f->json, m);
	c = begin_row(f, TRIAGE);
	array_int(&c[n++], (int16_t)rec->tenant);
	array_int(&c[n++], log_no);
	array_int(&c[n++], (int64_t)m->report);
	array_time(&c[n++], rec->received_us);
	array_bytes(&c[n++], bin(m->sha256));
	array_int(&c[n++], (int16_t)m->outcome);
	array_int(&c[n++], key.module.len > 0 ? (int64_t)signature_hash(&key, RUNG_KEY) : 0);
	array_int(&c[n++], (int64_t)m->address);
	array_int(&c[n++], (int64_t)m->offset);
	array_int(&c[n++], m->crashing_thread);
	array_int(&c[n++], m->thread_count);
	array_int(&c[n++], m->module_count);
	array_int(&c[n++], (int16_t)m->reason_class);
	array_bool(&c[n++], m->partial);
	array_text(&c[n++], str(m->error));
	array_text(&c[n++], str(m->format));
	array_text(&c[n++], str(m->os));
	array_text(&c[n++], str(m->arch));
	array_text(&c[n++], str(m->reason));
	array_text(&c[n++], str(m->module));
	array_text(&c[n++], str(m->module_id));
	array_text(&c[n++], str(m->module_version));
	array_text(&c[n++], view(&f->json));
	return true;
}

static void
json_strings(struct textbuf *b, const char *name, char **texts, size_t n)
{
	textbuf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			textbuf_put(b, ",", 1);
		textbuf_json(b, str(texts[i]));
	}
	textbuf_put(b, "]", 1);
}

static void
json_deployment(struct textbuf *b, const Faultline__Log__Deployment *m)
{
	const Faultline__Log__Selector *e = m->eligible;

	textbuf_reset(b);
	textbuf_printf(b, "{\"assignment\":");
	textbuf_json(b, str(m->assignment));
	textbuf_printf(b, ",\"salt\":\"%016" PRIx64 "\",\"bake_ms\":%" PRIu64 ",\"close_ms\":%" PRIu64, m->salt,
		       m->bake_ms, m->close_ms);
	json_strings(b, "modules", m->modules, m->n_modules);
	textbuf_printf(b, ",\"eligible\":{\"hosts\":%zu", e != NULL ? e->n_hosts : 0);
	if (e != NULL) {
		json_strings(b, "products", e->products, e->n_products);
		json_strings(b, "os_builds", e->os_builds, e->n_os_builds);
		json_strings(b, "sites", e->sites, e->n_sites);
		json_strings(b, "hw_classes", e->hw_classes, e->n_hw_classes);
	}
	textbuf_printf(b, "},\"rings\":[");
	for (size_t i = 0; i < m->n_rings; i++) {
		textbuf_printf(b, "%s{\"name\":", i > 0 ? "," : "");
		textbuf_json(b, str(m->rings[i]->name));
		textbuf_printf(b, ",\"size\":%" PRIu64, m->rings[i]->size);
		if (m->rings[i]->percent > 0 && m->rings[i]->percent <= 100)
			textbuf_printf(b, ",\"percent\":%.17g", m->rings[i]->percent);
		textbuf_printf(b, "}");
	}
	textbuf_printf(b, "]}");
}

static bool
add_deployment(struct facts *f, int log_no, const struct record_view *rec)
{
	Faultline__Log__Deployment *m =
		faultline__log__deployment__unpack(&f->allocator, rec->payload_len, rec->payload);
	struct textbuf *c;

	if (m == NULL)
		return false;
	json_deployment(&f->json, m);
	c = begin_record(f, DEPLOYMENT, log_no, rec);
	array_text(&c[4], str(m->id));
	array_text(&c[5], str(m->artefact));
	array_text(&c[6], str(m->version));
	array_text(&c[7], str(m->mode));
	array_text(&c[8], str(m->actor));
	array_text(&c[9], view(&f->json));
	return true;
}

static bool
add_receipt(struct facts *f, int log_no, const struct record_view *rec)
{
	Faultline__Log__Receipt *m = faultline__log__receipt__unpack(&f->allocator, rec->payload_len, rec->payload);
	struct textbuf *c;

	(void)log_no;
	if (m == NULL)
		return false;
	c = begin_row(f, RECEIPT);
	array_int(&c[0], (int16_t)rec->tenant);
	array_text(&c[1], str(m->deployment));
	array_text(&c[2], str(m->ring));
	array_bool(&c[3], m->withdrawn);
	array_int(&c[4], (int64_t)m->n_hosts);
	array_time(&c[5], m->at_us != 0 ? m->at_us : rec->received_us);
	return true;
}

/* JSON has no infinity. */
static double
finite_of(double v)
{
	return v - v == 0 ? v : 0;
}

/* A proof as docs/API.md shows evidence; false: it has none, or it is damaged. */
static bool
json_proof(struct facts *f, ProtobufCBinaryData packed)
{
	Faultline__Log__Proof *m =
		packed.len > 0 ? faultline__log__proof__unpack(&f->allocator, packed.len, packed.data) : NULL;
	struct textbuf *b = &f->json;

	textbuf_reset(b);
	if (m == NULL)
		return false;
	textbuf_printf(b, "{\"title\":");
	textbuf_json(b, str(m->title));
	textbuf_printf(b, ",\"signature_id\":\"s1-%016" PRIx64 "\",\"pool\":", m->signature);
	textbuf_json(b, str(m->pool));
	textbuf_printf(
		b,
		",\"log_weight\":%.17g,\"log_needed\":%.17g,\"rho\":%.17g,\"hosts_needed\":%u,\"sites_needed\":%u,"
		"\"served\":%u,\"unserved\":%u,\"votes_total\":%" PRIu64 ",\"grid\":[",
		finite_of(m->log_weight), finite_of(m->log_needed), finite_of(m->rho), m->hosts_needed, m->sites_needed,
		m->served, m->unserved, m->votes_total);
	for (size_t i = 0; i < m->n_ratios && i < m->n_log_shares; i++)
		textbuf_printf(b, "%s{\"ratio\":%.17g,\"log_share\":%.17g}", i > 0 ? "," : "", finite_of(m->ratios[i]),
			       finite_of(m->log_shares[i]));
	textbuf_printf(b, "],\"votes\":[");
	for (size_t i = 0; i < m->n_votes; i++) {
		const Faultline__Log__ProofVote *v = m->votes[i];

		textbuf_printf(b,
			       "%s{\"position\":\"%016" PRIx64 "\",\"host_number\":%u,\"served\":%s,\"counted\":%s,"
			       "\"site_number\":%u,\"stratum\":%u,\"at_risk_served\":%u,\"at_risk_unserved\":%u,"
			       "\"received_us\":%" PRId64 ",\"crashed_us\":%" PRId64 ",\"served_us\":%" PRId64
			       ",\"q\":%.17g,\"log_factor\":%.17g,\"log_odds\":%.17g}",
			       i > 0 ? "," : "", v->position, v->host_number, v->served ? "true" : "false",
			       v->counted ? "true" : "false", v->site_number, v->stratum, v->at_risk_served,
			       v->at_risk_unserved, v->received_us, v->crashed_us, v->served_us, finite_of(v->q),
			       finite_of(v->log_factor), finite_of(v->log_odds));
	}
	textbuf_printf(b, "]}");
	return true;
}

static bool
add_decision(struct facts *f, int log_no, const struct record_view *rec)
{
	Faultline__Log__Decision *m = faultline__log__decision__unpack(&f->allocator, rec->payload_len, rec->payload);
	struct textbuf *c;

	if (m == NULL)
		return false;
	c = begin_record(f, DECISION, log_no, rec);
	array_text(&c[4], str(m->deployment));
	array_int(&c[5], (int16_t)m->action);
	array_bool(&c[6], m->automatic);
	array_text(&c[7], str(m->actor));
	array_text(&c[8], str(m->reason));
	array_int(&c[9], (int64_t)m->basis);
	if (json_proof(f, m->proof))
		array_text(&c[10], view(&f->json));
	else
		array_null(&c[10]);
	return true;
}

static void
put_gap(struct facts *f, int log_no, uint64_t from, const uint64_t *to, const int64_t *times, const char *why)
{
	struct textbuf *c = begin_row(f, GAP);

	array_int(&c[0], log_no);
	array_int(&c[1], (int64_t)from);
	if (to != NULL)
		array_int(&c[2], (int64_t)*to);
	else
		array_null(&c[2]);
	for (int i = 0; i < 2; i++)
		if (times != NULL && times[i] != 0)
			array_time(&c[3 + i], times[i]);
		else
			array_null(&c[3 + i]);
	array_text(&c[5], str(why));
}

static bool
add_gap(struct facts *f, int log_no, const struct record_view *rec)
{
	Faultline__Log__Gap *m = faultline__log__gap__unpack(&f->allocator, rec->payload_len, rec->payload);

	if (m == NULL)
		return false;
	put_gap(f, log_no, rec->pos, NULL, (int64_t[]){ m->from_us, m->to_us }, m->why);
	return true;
}

bool
facts_add_gap(struct facts *f, int log_no, uint64_t from, uint64_t to, const char *why)
{
	put_gap(f, log_no, from, &to, NULL, why);
	return row_fine(f, GAP);
}

bool
facts_add_rejected(struct facts *f, int log_no, const struct record_view *rec, const char *error)
{
	struct textbuf *c = begin_record(f, REJECTED, log_no, rec);

	array_int(&c[4], (int32_t)rec->type);
	array_text(&c[5], str(error));
	array_bytes(&c[6], (struct text){ (const char *)rec->payload, rec->payload_len });
	return row_fine(f, REJECTED);
}

bool
facts_add(struct facts *f, int log_no, const struct record_view *rec, bool *taken_out)
{
	static const struct {
		enum record_type type;
		enum kind kind;
		bool (*add)(struct facts *, int, const struct record_view *);
	} types[] = {
		{ RECORD_DUMP_STORED, DUMP, add_dump },
		{ RECORD_TRIAGE_RESULT, TRIAGE, add_triage },
		{ RECORD_DEPLOYMENT, DEPLOYMENT, add_deployment },
		{ RECORD_RECEIPT, RECEIPT, add_receipt },
		{ RECORD_DECISION, DECISION, add_decision },
		{ RECORD_GAP, GAP, add_gap },
	};

	*taken_out = false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == rec->type) {
			f->arena = arena_new(ARENA_BYTES);
			if (f->arena == NULL)
				return false;
			f->allocator = pbarena(f->arena);
			*taken_out = types[i].add(f, log_no, rec);
			arena_free(f->arena);
			f->arena = NULL;
			return row_fine(f, types[i].kind);
		}
	return true;
}

/* ---- writing ---- */

static PGresult *
write_kind(struct facts *f, struct pg *pg, enum kind k)
{
	const char *params[COLUMNS_MAX];

	for (int i = 0; i < statements[k].columns; i++)
		params[i] = array_close(&f->kinds[k].at[i]);
	if (row_fine(f, k))
		return pg_query(pg, statements[k].sql, statements[k].columns, params);
	pg->failure = PG_LATER;
	snprintf(pg->text, sizeof(pg->text), "out of memory");
	return NULL;
}

bool
facts_store(struct facts *f, struct pg *pg, int log_no)
{
	for (enum kind k = 0; k < N_KINDS; k++) {
		PGresult *res;
		bool ok;

		if (f->kinds[k].n == 0)
			continue;
		res = write_kind(f, pg, k);
		ok = res != NULL && (k != TRIAGE || filing_store(pg, log_no, res));
		PQclear(res);
		if (!ok)
			return false;
	}
	return true;
}
