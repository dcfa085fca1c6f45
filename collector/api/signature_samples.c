/* SPDX-License-Identifier: Apache-2.0 */
/* What samples of a signature show: the stack of the best one, the dumps there are. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/crypto.h"
#include "base/diag.h"
#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/page.h"
#include "collector/api/signature_page.h"
#include "collector/api/words.h"
#include "collector/log/report_id.h"
#include "proto/report.h"

static const char *
text_in(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL && s[0] != '\0' ? s : NULL;
}

static void
put_text(struct jsonout *j, const char *key, const char *s)
{
	if (s != NULL)
		page_text(j, key, text_of(s));
	else
		jsonout_null(j, key);
}

static void
report_of(struct jsonout *j, const struct call *c, const json_t *o)
{
	const char *position = text_in(o, "position");
	char id[REPORT_ID_SIZE];

	if (position != NULL && json_integer_value(json_object_get(o, "log")) == c->history.this_log)
		jsonout_string(j, "report", report_id_format(strtoull(position, NULL, 10), &c->api->env.log_id, id));
	else
		jsonout_null(j, "report");
}

/* ---- the stack ---- */

static void
frame(struct jsonout *j, size_t n, struct text module, const char *offset, struct text function, const char *trust,
      size_t blamed)
{
	jsonout_open(j, NULL, '{');
	jsonout_u64(j, "n", n);
	if (module.len > 0)
		page_text(j, "module", module);
	else
		jsonout_null(j, "module");
	jsonout_string(j, "offset", offset);
	if (function.len > 0)
		page_text(j, "function", function);
	else
		jsonout_null(j, "function");
	jsonout_string(j, "trust", trust);
	jsonout_bool(j, "blamed", n == blamed);
	jsonout_bool(j, "messenger", blamed != SIZE_MAX && n < blamed);
	jsonout_close(j, '}');
}

/* The frames that a rule skipped are those inside of the one it blamed. */
static void
skipped(struct jsonout *j, size_t blamed, const char *rule)
{
	const size_t n = blamed != SIZE_MAX ? blamed : 0;

	jsonout_open(j, "skipped", '{');
	jsonout_u64(j, "count", n);
	put_text(j, "rule", rule);
	jsonout_open(j, "frames", '[');
	for (size_t i = 0; i < n; i++)
		jsonout_u64(j, NULL, i);
	jsonout_close(j, ']');
	jsonout_close(j, '}');
}

/* The frame at the place that the result names; SIZE_MAX: none is. */
static size_t
blamed_frame(const json_t *best, const json_t *frames)
{
	const char *module = text_in(best, "module");
	char plain[MODULE_NAME_MAX + 1];
	const uint64_t offset = (uint64_t)json_integer_value(json_object_get(best, "offset"));
	size_t i;
	json_t *f;

	json_array_foreach(frames, i, f)
	{
		const char *at = text_in(f, "module_offset"), *name = text_in(f, "module");

		if (module == NULL || name == NULL || at == NULL || strtoull(at, NULL, 0) != offset)
			continue;
		plain[module_name_normalise(text_of(name), TEXT(""), plain, sizeof(plain) - 1)] = '\0';
		if (strcmp(plain, module) == 0)
			return i;
	}
	return SIZE_MAX;
}

static void
stack_of_dump(struct call *c, const json_t *best, const char *state)
{
	const json_t *frames = json_object_get(best, "frames");
	const size_t blamed = blamed_frame(best, frames);
	struct jsonout *j = &c->out;
	size_t i;
	json_t *f;

	jsonout_open(j, "stack", '{');
	jsonout_open(j, "from", '{');
	jsonout_string(j, "source", "dump");
	report_of(j, c, best);
	put_text(j, "sha256", text_in(best, "sha256"));
	put_text(j, "received", text_in(best, "received"));
	jsonout_close(j, '}');
	jsonout_open(j, "frames", '[');
	json_array_foreach(frames, i, f)
	{
		const char *module = text_in(f, "module"), *function = text_in(f, "function");

		frame(j, i, text_of(module != NULL ? module : ""), text_in(f, "module_offset"),
		      text_of(function != NULL ? function : ""),
		      words_trust((uint32_t)json_integer_value(json_object_get(f, "trust"))), blamed);
	}
	jsonout_close(j, ']');
	skipped(j, blamed, text_in(best, "rule"));
	jsonout_string(j, "state", state);
	jsonout_close(j, '}');
}

static bool
read_report(struct call *c, uint64_t pos, struct report *out, int64_t *received_out)
{
	struct batch_view batch;
	struct record_view record;
	uint32_t cursor = 0;
	struct diag diag;

	if (pos == 0)
		return false;
	log_reader_seek(c->api->reader, pos);
	if (log_read(c->api->reader, &batch, 0) != LOG_BATCH)
		return false;
	while (batch_next(&batch, &cursor, &record, NULL))
		if (record.pos == pos && record.type == RECORD_REPORT && record.tenant == API_TENANT) {
			*received_out = record.received_us;
			return report_decode(record.payload, record.payload_len, out, &diag) == DISCARD_none;
		}
	return false;
}

/* As a client sent it: the newest report, else the first, while it is in the log. */
static void
stack_of_report(struct call *c, uint64_t first, uint64_t last, const char *state)
{
	static _Thread_local struct report_frame all[REPORT_MAX_FRAMES];
	struct report *r = ARENA_NEW(c->arena, struct report);
	struct jsonout *j = &c->out;
	uint64_t pos = last != 0 ? last : first;
	char id[REPORT_ID_SIZE], offset[24];
	size_t blamed = SIZE_MAX;
	int64_t received;
	uint32_t n;

	if (r == NULL || (!read_report(c, pos, r, &received) && !read_report(c, pos = first, r, &received))) {
		jsonout_null(j, "stack");
		return;
	}
	n = report_frames(r, all);
	for (uint32_t i = 0; i < n && blamed == SIZE_MAX; i++)
		if (all[i].offset == r->offset && r->module.len > 0 && text_equal(all[i].module, r->module))
			blamed = i;
	jsonout_open(j, "stack", '{');
	jsonout_open(j, "from", '{');
	jsonout_string(j, "source", "report");
	jsonout_string(j, "report", report_id_format(pos, &c->api->env.log_id, id));
	jsonout_null(j, "sha256");
	jsonout_time(j, "received", received);
	jsonout_close(j, '}');
	jsonout_open(j, "frames", '[');
	for (uint32_t i = 0; i < n; i++) {
		snprintf(offset, sizeof(offset), "0x%" PRIx64, all[i].offset);
		frame(j, i, all[i].module, offset, all[i].function, words_trust(all[i].trust), blamed);
	}
	if (n == 0 && r->module.len > 0) { /* the place alone */
		snprintf(offset, sizeof(offset), "0x%" PRIx64, r->offset);
		frame(j, 0, r->module, offset, (struct text){ NULL, 0 }, "reported", 0);
	}
	jsonout_close(j, ']');
	skipped(j, blamed, blamed != SIZE_MAX && blamed > 0 ? "as the client claims" : NULL);
	jsonout_string(j, "state", state);
	jsonout_close(j, '}');
}

/* ---- dumps ---- */

static void
dump_row(struct call *c, const json_t *o)
{
	const char *hex = text_in(o, "sha256");
	uint8_t sha256[SHA256_BYTES];
	struct jsonout *j = &c->out;
	uint64_t size = 0;
	int fd = -1;

	if (hex != NULL && c->api->env.dump_open != NULL && strlen(hex) == 2 * SHA256_BYTES &&
	    hex_decode(hex, 2 * SHA256_BYTES, sha256) == 0)
		fd = c->api->env.dump_open(c->api->env.arg, sha256, &size);
	if (fd != -1)
		close(fd);
	jsonout_open(j, NULL, '{');
	jsonout_string(j, "sha256", hex);
	report_of(j, c, o);
	put_text(j, "received", text_in(o, "received"));
	jsonout_bool(j, "kept", fd != -1);
	if (fd != -1)
		jsonout_u64(j, "size", size);
	else
		jsonout_null(j, "size");
	jsonout_string(j, "outcome", history_outcome((uint64_t)json_integer_value(json_object_get(o, "outcome"))));
	put_text(j, "error", text_in(o, "error"));
	jsonout_bool(j, "partial", json_is_true(json_object_get(o, "partial")));
	put_text(j, "format", text_in(o, "format"));
	jsonout_close(j, '}');
}

void
signature_samples(struct call *c, const char *state, uint64_t first, uint64_t last)
{
	const struct store_query *q = &c->history;
	json_t *o = q->answer == STORE_FOUND ? json_loads(q->json, 0, NULL) : NULL, *x;
	const json_t *best = json_object_get(o, "best");
	struct jsonout *j = &c->out;
	size_t i;

	if (json_is_object(best))
		stack_of_dump(c, best, state);
	else
		stack_of_report(c, first, last, state);
	jsonout_open(j, "dump_samples", '{');
	jsonout_string(j, "state", state);
	jsonout_open(j, "rows", '[');
	json_array_foreach(json_object_get(o, "dumps"), i, x)
	{
		dump_row(c, x);
	}
	jsonout_close(j, ']');
	jsonout_close(j, '}');
	jsonout_open(j, "alias_history", '{');
	jsonout_string(j, "state", state);
	jsonout_open(j, "claimed_as", '[');
	json_array_foreach(json_object_get(o, "claimed"), i, x)
	{
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "id", text_in(x, "id"));
		jsonout_i64(j, "reports", json_integer_value(json_object_get(x, "reports")));
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	jsonout_close(j, '}');
	json_decref(o);
}
