/* SPDX-License-Identifier: Apache-2.0 */
/* What only the database knows: reports that have left the log, triage results, and the
 * reports of a signature or host.  The database may be absent or down; answers say so. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/crypto.h"
#include "base/diag.h"
#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/words.h"
#include "collector/gate/identity.h"
#include "collector/log/report_id.h"
#include "proto/report.h"

#define PAGE 100u

const char *
history_state(const struct store_query *q)
{
	return q->answer == STORE_DOWN ? "down" : q->answer == STORE_SLOW ? "slow" : "database";
}

static void
text_or_null(struct jsonout *j, const char *key, const char *s)
{
	jsonout_string(j, key, s[0] != '\0' ? s : NULL);
}

/* JSON that the projector wrote, as it is; "" is null. */
static void
json_member(struct jsonout *j, const char *key, const char *json)
{
	if (json[0] == '\0')
		jsonout_null(j, key);
	else {
		jsonout_open(j, key, json[0]);
		jsonout_raw(j, json + 1, strlen(json + 1));
		j->comma = true;
	}
}

/* ---- what triage found ---- */

static const char *
text_in(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL && s[0] != '\0' ? s : NULL;
}

/* The database has no unsigned 64-bit integers: addresses come back as they went in. */
static uint64_t
number_in(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

const char *
history_outcome(uint64_t code)
{
	static const char *const names[] = {
		[ERR_OK] = "read",      [ERR_TRUNCATED] = "truncated",     [ERR_MALFORMED] = "malformed",
		[ERR_LIMIT] = "limit",  [ERR_UNSUPPORTED] = "unsupported", [ERR_ABSENT] = "absent",
		[ERR_NOMEM] = "memory", [ERR_TIMEOUT] = "timeout",         [ERR_CRASHED] = "crashed",
	};

	return code < sizeof(names) / sizeof(names[0]) ? names[code] : "other";
}

static void
triage_frames(struct jsonout *j, const json_t *all)
{
	size_t i;
	json_t *f;

	jsonout_open(j, "frames", '[');
	json_array_foreach(all, i, f)
	{
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "module", text_in(f, "module"));
		jsonout_string(j, "module_id", text_in(f, "module_id"));
		jsonout_string(j, "offset", text_in(f, "module_offset"));
		jsonout_string(j, "trust", words_trust((uint32_t)number_in(f, "trust")));
		jsonout_string(j, "function", text_in(f, "function"));
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
triage_members(struct jsonout *j, const json_t *o)
{
	static const char *const texts[] = {
		"format", "os", "arch", "reason", "module", "module_id", "module_version"
	};
	const char *sha256 = text_in(o, "sha256"), *error = text_in(o, "error");
	const bool named = text_in(o, "module") != NULL;

	jsonout_string(j, "outcome", history_outcome(number_in(o, "outcome")));
	jsonout_string(j, "error", error);
	jsonout_string(j, "sha256", sha256 != NULL && sha256[0] == '\\' ? sha256 + 2 : sha256); /* \x… of a bytea */
	jsonout_bool(j, "partial", json_is_true(json_object_get(o, "partial")));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		jsonout_string(j, texts[i], text_in(o, texts[i]));
	if (error != NULL) {
		jsonout_null(j, "address");
		jsonout_null(j, "offset");
		jsonout_null(j, "crashing_thread");
		jsonout_null(j, "reason_class");
	} else {
		jsonout_hex(j, "address", number_in(o, "address"));
		if (named)
			jsonout_hex(j, "offset", number_in(o, "offset"));
		else
			jsonout_null(j, "offset");
		jsonout_u64(j, "crashing_thread", number_in(o, "crashing_thread"));
		jsonout_string(j, "reason_class", reason_class_name((enum reason_class)number_in(o, "reason_class")));
	}
	words_signature_id(j, "signature", number_in(o, "signature"));
	jsonout_u64(j, "thread_count", number_in(o, "thread_count"));
	jsonout_u64(j, "module_count", number_in(o, "module_count"));
	jsonout_string(j, "rule", text_in(o, "rule"));
	triage_frames(j, json_object_get(o, "frames"));
}

void
history_triage(struct jsonout *j, const struct store_query *q)
{
	const char *json = q->answer == STORE_FOUND && q->n == 1 ? q->reports[0].triage : "";
	json_t *o = json[0] != '\0' ? json_loads(json, 0, NULL) : NULL;

	if (!json_is_object(o))
		jsonout_null(j, "triage_result");
	else {
		jsonout_open(j, "triage_result", '{');
		triage_members(j, o);
		jsonout_close(j, '}');
	}
	json_decref(o);
}

void
history_report(struct jsonout *j, const struct api *a, const struct store_query *q, const struct store_report *r)
{
	char id[REPORT_ID_SIZE], bp[REPORT_ID_BP_SIZE];
	const bool ours = r->log == q->this_log; /* an id of another log cannot be looked up here */

	jsonout_string(j, "id", ours ? report_id_format(r->pos, &a->env.log_id, id) : NULL);
	jsonout_string(j, "crash_id", ours ? report_id_format_bp(r->pos, &a->env.log_id, r->received_us, bp) : NULL);
	jsonout_time(j, "received", r->received_us);
	jsonout_host(j, "host", r->host);
	jsonout_string(j, "kind", words_kind(r->kind));
	jsonout_time(j, "occurred", r->occurred_us);
	words_signature_id(j, "signature", r->signature);
	text_or_null(j, "title", r->title);
	text_or_null(j, "module", r->module);
	text_or_null(j, "module_id", r->module_id);
	text_or_null(j, "module_version", r->module_version);
	jsonout_hex(j, "offset", r->offset);
	text_or_null(j, "reason", r->reason);
	jsonout_hex(j, "reason_code", r->reason_code);
	text_or_null(j, "product", r->product);
	text_or_null(j, "version", r->version);
	text_or_null(j, "os", r->os);
	text_or_null(j, "os_build", r->os_build);
	text_or_null(j, "arch", r->arch);
	text_or_null(j, "hw_class", r->hw_class);
	text_or_null(j, "site", r->site);
	jsonout_u64(j, "uptime_seconds", r->uptime_s);
	jsonout_u64(j, "count", r->crashes);
	text_or_null(j, "dump_sha256", r->dump);
	json_member(j, "details", r->details);
}

/* ---- lists ---- */

/* log, day and position of the last row, in hex. */
static int
parse_cursor(const char *text, struct store_cursor *out)
{
	uint8_t b[16];
	uint64_t v[2] = { 0, 0 };

	if (strlen(text) != 32 || hex_decode(text, 32, b) != 0)
		return -1;
	for (int i = 0; i < 16; i++)
		v[i / 8] = v[i / 8] << 8 | b[i];
	out->log = (int32_t)(v[0] >> 32);
	out->day = (int32_t)(v[0] & 0xffffffff);
	out->pos = v[1];
	return 0;
}

static void
listed(struct call *c)
{
	const struct store_query *q = &c->history;
	struct jsonout *j = &c->out;
	char next[40];

	if (q->answer == STORE_DOWN || q->answer == STORE_SLOW) {
		call_refuse(c, DISCARD_database_down, NULL,
			    c->api->env.store == NULL ? "this server runs without a database and keeps no history"
			    : q->answer == STORE_SLOW ? "the database did not answer in time"
						      : NULL);
		return;
	}
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "history", history_state(q));
	jsonout_open(j, "reports", '[');
	for (uint32_t i = 0; i < q->n; i++) {
		jsonout_open(j, NULL, '{');
		history_report(j, c->api, q, &q->reports[i]);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	snprintf(next, sizeof(next), "%08" PRIx32 "%08" PRIx32 "%016" PRIx64, (uint32_t)q->next.log,
		 (uint32_t)q->next.day, q->next.pos);
	jsonout_string(j, "next", q->more ? next : NULL);
	jsonout_close(j, '}');
	call_send(c);
}

static void
list(struct call *c, enum store_question what, uint64_t key)
{
	struct http_request *r = c->req;
	uint64_t limit = PAGE;
	char buf[64];

	if (http_query(r, "limit", buf, sizeof(buf)) == 0 && params_count(buf, 1, STORE_PAGE_MAX, &limit) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 1000");
		return;
	}
	if (http_query(r, "cursor", buf, sizeof(buf)) == 0 && parse_cursor(buf, &c->history.from) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "cursor", "is not a cursor of this list");
		return;
	}
	c->history.what = what;
	c->history.key = key;
	c->history.limit = (uint32_t)limit;
	call_history(c, listed);
}

static void
signature_reports_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	uint64_t id;

	if (c == NULL)
		return;
	if (signature_id_parse(r->segment, strlen(r->segment), &id) != 0)
		call_refuse(c, DISCARD_invalid_parameter, "id", "a signature id is s1- and 16 hex digits");
	else
		list(c, STORE_REPORTS_OF_SIGNATURE, id);
}

const struct http_ops signature_reports_ops = { .begin = signature_reports_begin, .end = call_end };

static void
host_reports_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	struct text id = text_of(r->segment);

	if (c == NULL)
		return;
	if (id.len == 0 || id.len > HOST_ID_MAX)
		call_refuse(c, DISCARD_invalid_host_id, "id", NULL);
	else
		list(c, STORE_REPORTS_OF_HOST,
		     identity_api_host(c->api->env.identity(c->api->env.arg), API_TENANT, id));
}

const struct http_ops host_reports_ops = { .begin = host_reports_begin, .end = call_end };
