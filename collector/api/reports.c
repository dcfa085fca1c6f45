/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/reports/{id}: read straight from the log by the position in its id, so that a
 * report is there as soon as it was accepted. */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/words.h"
#include "collector/log/report_id.h"
#include "proto/claim.h"
#include "proto/report.h"

struct look {
	uint64_t pos;
	uint64_t position; /* of the ledger, when asked */
	int64_t now_us;
	bool known; /* the ledger remembers it (7 days) */
	struct report_view view;
};

static void
text_or_null(struct jsonout *j, const char *key, struct text t)
{
	if (t.len > 0)
		jsonout_text(j, key, t);
	else
		jsonout_null(j, key);
}

static void
frames(struct jsonout *j, const struct report *r)
{
	static _Thread_local struct report_frame all[REPORT_MAX_FRAMES];
	uint32_t n = report_frames(r, all);

	jsonout_open(j, "frames", '[');
	for (uint32_t i = 0; i < n; i++) {
		jsonout_open(j, NULL, '{');
		text_or_null(j, "module", all[i].module);
		text_or_null(j, "module_id", all[i].module_id);
		jsonout_hex(j, "offset", all[i].offset);
		jsonout_string(j, "trust", words_trust(all[i].trust));
		text_or_null(j, "function", all[i].function);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
pairs(struct jsonout *j, const char *key, const struct report_pair *p, uint32_t n)
{
	jsonout_open(j, key, '[');
	for (uint32_t i = 0; i < n; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_text(j, "name", p[i].name);
		jsonout_text(j, "value", p[i].value);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
claim(struct jsonout *j, const struct report *r)
{
	char title[VERDICT_TITLE_MAX];
	struct claim c;

	claim_of(r, &c);
	claim_title(&c, title, sizeof(title));
	jsonout_open(j, "claimed", '{');
	words_signature_id(j, "signature", claim_hash(&c));
	jsonout_string(j, "title", title);
	jsonout_string(j, "reason_class", reason_class_name(c.key.reason));
	jsonout_close(j, '}');
}

/* The dump that came with the report, or after it: then the record does not name it. */
static void
dump(struct jsonout *j, const struct report *r, const struct look *k)
{
	const bool with = r->dump_sha256.len == SHA256_BYTES;
	char hex[SHA256_HEX];

	if (!with && !(k->known && k->view.stage != DUMP_NONE)) {
		jsonout_null(j, "dump");
		return;
	}
	jsonout_open(j, "dump", '{');
	if (with) {
		jsonout_string(j, "sha256", hex_encode(r->dump_sha256.at, SHA256_BYTES, hex));
		jsonout_u64(j, "bytes", r->dump_size);
	} else {
		jsonout_null(j, "sha256");
		jsonout_null(j, "bytes");
	}
	jsonout_bool(j, "kept", !(r->flags & REPORT_FLAG_DUMP_DROPPED));
	jsonout_close(j, '}');
}

static void
contents(struct jsonout *j, const struct report *r, const struct look *k)
{
	jsonout_host(j, "host", r->host_hash);
	jsonout_string(j, "kind", words_kind(r->kind));
	jsonout_time(j, "occurred", r->occurred_us);
	text_or_null(j, "module", r->module);
	text_or_null(j, "module_id", r->module_id);
	text_or_null(j, "module_version", r->module_version);
	jsonout_hex(j, "offset", r->offset);
	text_or_null(j, "reason", r->reason);
	jsonout_hex(j, "reason_code", r->reason_code);
	jsonout_open(j, "params", '[');
	for (uint32_t i = 0; i < r->n_params; i++)
		jsonout_hex(j, NULL, r->params[i]);
	jsonout_close(j, ']');
	text_or_null(j, "product", r->product);
	text_or_null(j, "version", r->version);
	text_or_null(j, "os", r->os);
	text_or_null(j, "os_build", r->os_build);
	text_or_null(j, "arch", r->arch);
	text_or_null(j, "hw_class", r->hw_class);
	text_or_null(j, "site", r->site);
	jsonout_u64(j, "uptime_seconds", r->uptime_s);
	jsonout_u64(j, "count", r->count);
	jsonout_bool(j, "authenticated", r->flags & REPORT_FLAG_AUTHENTICATED);
	jsonout_bool(j, "clock_absurd", r->flags & REPORT_FLAG_CLOCK);
	jsonout_bool(j, "reduced", r->flags & REPORT_FLAG_REDUCED);
	pairs(j, "labels", r->labels, r->n_labels);
	pairs(j, "content", r->content, r->n_content);
	frames(j, r);
	dump(j, r, k);
	claim(j, r);
}

static bool
is_stored(const struct api *a, uint64_t pos)
{
	return a->env.stored != NULL && a->env.stored(a->env.arg) > pos;
}

/* How far it has come: accepted, folded, triaged, stored. */
static void
stages(struct jsonout *j, const struct api *a, const struct look *k)
{
	static const char *const outcomes[] = {
		[REPORT_COUNTED] = "counted",
		[REPORT_LATE] = "late",
		[REPORT_RESENT] = "resent",
	};
	const bool folded = k->position > k->pos;
	const bool stored = is_stored(a, k->pos);
	const bool triaged = k->known && k->view.stage >= DUMP_TRIAGED;
	char id[REPORT_ID_SIZE];

	jsonout_string(j, "stage", stored ? "stored" : triaged ? "triaged" : folded ? "folded" : "accepted");
	jsonout_open(j, "stages", '{');
	jsonout_bool(j, "accepted", true);
	jsonout_bool(j, "folded", folded);
	jsonout_bool(j, "triaged", triaged);
	jsonout_bool(j, "stored", stored);
	jsonout_close(j, '}');
	if (!k->known) {
		jsonout_null(j, "outcome");
		jsonout_null(j, "first");
		jsonout_null(j, "triage");
		jsonout_null(j, "signature");
		return;
	}
	jsonout_string(j, "outcome", outcomes[k->view.outcome]);
	jsonout_string(j, "first",
		       k->view.outcome == REPORT_RESENT && k->view.first != 0
			       ? report_id_format(k->view.first, &a->env.log_id, id)
			       : NULL);
	jsonout_string(j, "triage",
		       k->view.stage == DUMP_TRIAGED      ? "done"
		       : k->view.stage == DUMP_UNREADABLE ? "unreadable"
		       : k->view.stage == DUMP_STORED     ? "waiting"
							  : NULL);
	words_signature_id(j, "signature", k->view.computed != 0 ? k->view.computed : k->view.claimed);
}

/* The record at pos, from the log; false when it is no report, or gone. */
static bool
find_record(struct api *a, uint64_t pos, struct record_view *out)
{
	struct batch_view batch;
	uint32_t cursor = 0;

	log_reader_seek(a->reader, pos);
	if (log_read(a->reader, &batch, 0) != LOG_BATCH)
		return false;
	while (batch_next(&batch, &cursor, out, NULL))
		if (out->pos == pos)
			return out->type == RECORD_REPORT && out->tenant == API_TENANT;
	return false;
}

/* From the log; the triage result, if there is one, from the database. */
static void
tell_logged(struct call *c)
{
	struct look *k = c->state;
	struct api *a = c->api;
	struct jsonout *j = &c->out;
	char id[REPORT_ID_SIZE], bp[REPORT_ID_BP_SIZE];
	struct record_view record;
	struct report *r = ARENA_NEW(c->arena, struct report);
	struct diag diag;

	if (r == NULL || !find_record(a, k->pos, &record) ||
	    report_decode(record.payload, record.payload_len, r, &diag) != DISCARD_none) {
		call_refuse(c, DISCARD_unknown_report, "id", NULL);
		return;
	}
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "id", report_id_format(k->pos, &a->env.log_id, id));
	jsonout_string(j, "crash_id", report_id_format_bp(k->pos, &a->env.log_id, record.received_us, bp));
	jsonout_time(j, "received", record.received_us);
	jsonout_string(j, "source", "log");
	stages(j, a, k);
	if (c->asked_history)
		history_triage(j, &c->history);
	else
		jsonout_null(j, "triage_result");
	contents(j, r, k);
	call_freshness(j, a->env.fold, k->position, k->now_us);
	jsonout_close(j, '}');
	call_send(c);
}

/* It has left the log. */
static void
tell_stored(struct call *c)
{
	struct look *k = c->state;
	struct jsonout *j = &c->out;

	if (c->history.answer == STORE_ABSENT || c->api->env.store == NULL) {
		call_refuse(c, DISCARD_unknown_report, "id", "no report of this id is kept; it may be too old");
		return;
	}
	if (c->history.answer != STORE_FOUND || c->history.n != 1) {
		call_refuse(c, DISCARD_database_down, NULL,
			    "the report has left the log, and the database does not answer");
		return;
	}
	jsonout_open(j, NULL, '{');
	history_report(j, c->api, &c->history, &c->history.reports[0]);
	jsonout_string(j, "source", "database");
	jsonout_string(j, "stage", "stored");
	history_triage(j, &c->history);
	call_freshness(j, c->api->env.fold, k->position, k->now_us);
	jsonout_close(j, '}');
	call_send(c);
}

static void
asked(struct call *c)
{
	struct look *k = c->state;
	struct record_view record;
	const bool logged = find_record(c->api, k->pos, &record);

	c->history.what = STORE_REPORT;
	c->history.key = k->pos;
	c->history.limit = 1;
	if (!logged)
		call_history(c, tell_stored);
	else if (k->known && k->view.stage >= DUMP_TRIAGED && is_stored(c->api, k->pos))
		call_history(c, tell_logged);
	else
		tell_logged(c);
}

static void
ask_report(struct call *c, const struct ledger *l)
{
	struct look *k = c->state;

	k->position = ledger_position(l);
	k->now_us = ledger_now_us(l);
	k->known = ledger_report(l, k->pos, &k->view);
}

static void
report_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct look *k;

	if (c == NULL)
		return;
	if ((c->state = k = ARENA_NEW(c->arena, struct look)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	if (report_id_parse(r->segment, &c->api->env.log_id, &k->pos) != 0 &&
	    report_id_parse_bp(r->segment, &c->api->env.log_id, &k->pos) != 0)
		call_refuse(c, DISCARD_unknown_report, "id", "this is not the id of a report of this server");
	else
		call_ask(c, ask_report, asked);
}

const struct http_ops report_ops = { .begin = report_begin, .end = call_end };
