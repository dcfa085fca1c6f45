/* SPDX-License-Identifier: Apache-2.0 */
/* PUT /v1/dumps/{report}: the dump of a report that was accepted before. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/settings.h"
#include "collector/gate/ingest_impl.h"
#include "collector/log/report_id.h"
#include "collector/workers/dumps.h"
#include "proto/wire.h"

/* faultline.log.DumpStored */
enum { STORED_REPORT = 1, STORED_SHA256, STORED_SIZE };
#define STORED_MAX 64

struct dump_call {
	struct waiter waiter;
	struct ingest *in;
	struct http_request *r;     /* NULL once the client is gone */
	uint64_t report;            /* position */
	struct dump_writer *writer; /* NULL: not begun, dropped or committed */
	enum discard dropped;       /* why the bytes are read and not kept */
	bool busy;                  /* store or intake has something of ours */
	struct dumps_commit commit;
	struct intake_group group;
};

static void
call_free(struct dump_call *c)
{
	ingest_unwait(c->in, &c->waiter);
	dumps_abandon(c->writer);
	free(c);
}

/* The dump is not kept, which is no fault of the client: the report counts all the same. */
static void
answer_dropped(struct dump_call *c)
{
	struct json_out *o = &c->in->out;

	discard_count(c->dropped);
	json_out_reset(o);
	json_out_raw(o, "{\"stored\":false,\"reason\":{\"code\":");
	json_out_string(o, text_of(discard_code(c->dropped)));
	json_out_raw(o, ",\"message\":");
	json_out_string(o, text_of(discard_help(c->dropped)));
	json_out_raw(o, "}}\n");
	http_answer(c->r, 200, "application/json", o->buf, o->len);
}

static void
begin(struct http_request *r)
{
	struct ingest *in = r->arg;
	const struct gate_env *env = in->gate->env;
	const struct settings *s = ingest_settings(in);
	struct dump_call *c;
	uint64_t report;

	if (report_id_parse(r->segment, &env->log_id, &report) == -1 &&
	    report_id_parse_bp(r->segment, &env->log_id, &report) == -1) {
		http_refuse(r, DISCARD_unknown_report, "report", NULL);
		return;
	}
	if (r->content_length != UINT64_MAX && r->content_length > s->max_dump) {
		http_refuse(r, DISCARD_dump_too_large, NULL, NULL);
		return;
	}
	if (ingest_overloaded(in) || (c = calloc(1, sizeof(*c))) == NULL) {
		http_refuse(r, DISCARD_log_busy, NULL, NULL);
		return;
	}
	c->in = in;
	c->r = r;
	c->report = report;
	r->ctx = c;
	http_limit_body(r, UINT64_MAX, UINT64_MAX); /* body() is stricter, and knows the right code */
	c->writer = dumps_begin(env->dumps, 0, 0, &c->dropped);
	if (c->writer == NULL && http_header(r, "expect") != NULL)
		answer_dropped(c); /* the client waits for leave to send: spare it the trouble */
}

static void
body(struct http_request *r, const void *data, size_t len)
{
	struct dump_call *c = r->ctx;
	const struct settings *s = ingest_settings(c->in);
	enum discard why;

	if (r->raw_bytes > s->max_dump || r->body_bytes > s->max_dump_expanded) {
		http_refuse(r, DISCARD_dump_too_large, NULL, NULL);
		return;
	}
	if (c->writer == NULL || (why = dumps_write(c->writer, data, len)) == DISCARD_none)
		return;
	dumps_abandon(c->writer);
	c->writer = NULL;
	c->dropped = why;
	if (why == DISCARD_dump_too_large)
		http_refuse(r, why, NULL, NULL);
}

static void
answer_stored(struct dump_call *c)
{
	struct json_out *o = &c->in->out;
	char id[REPORT_ID_SIZE], hex[SHA256_HEX];

	json_out_reset(o);
	json_out_raw(o, "{\"stored\":true,\"report\":\"");
	json_out_raw(o, report_id_format(c->report, &c->in->gate->env->log_id, id));
	json_out_raw(o, "\",\"sha256\":\"");
	json_out_raw(o, hex_encode(c->commit.sha256, SHA256_BYTES, hex));
	json_out_raw(o, "\",\"size\":");
	json_out_uint(o, c->commit.size);
	json_out_raw(o, c->commit.outcome == DUMPS_DUPLICATE ? ",\"duplicate\":true}\n" : "}\n");
	http_answer(c->r, 200, "application/json", o->buf, o->len);
}

static void
on_logged(struct intake_group *g, enum log_outcome outcome)
{
	struct dump_call *c = g->arg;

	c->busy = false;
	c->in->in_work--;
	if (c->r == NULL)
		call_free(c);
	else if (outcome == LOG_DURABLE)
		answer_stored(c);
	else
		http_refuse(c->r, ingest_outcome(c->in, outcome), NULL, NULL);
}

/* False: no room in the intake. */
static bool
log_stored(struct waiter *w)
{
	struct dump_call *c = (struct dump_call *)((char *)w - offsetof(struct dump_call, waiter));
	struct intake *intake = c->in->gate->intake;
	uint8_t buf[STORED_MAX], *to;
	struct wire_out o = { buf, buf + sizeof(buf), false };
	enum intake_result why;

	if (!intake_ready(intake))
		return false;
	wire_put_varint(&o, STORED_REPORT, c->report);
	wire_put_bytes(&o, STORED_SHA256, (struct text){ (const char *)c->commit.sha256, SHA256_BYTES });
	wire_put_varint(&o, STORED_SIZE, c->commit.size);
	c->group = (struct intake_group){ .done = on_logged, .arg = c };
	intake_begin(intake, &c->group, LOG_CLASS_NORMAL);
	to = intake_add(intake, RECORD_DUMP_STORED, 0, clock_wall_us(), (size_t)(o.p - buf), &why);
	if (to != NULL) {
		memcpy(to, buf, (size_t)(o.p - buf));
		c->in->in_work++;
		c->busy = true;
		intake_commit(intake);
		return true;
	}
	intake_abandon(intake);
	if (why == INTAKE_BUSY)
		return false;
	c->busy = false;
	if (c->r == NULL)
		call_free(c);
	else
		http_refuse(c->r, DISCARD_log_unknown, NULL, NULL);
	return true;
}

static void
drop_call(struct waiter *w)
{
	call_free((struct dump_call *)((char *)w - offsetof(struct dump_call, waiter)));
}

static void
on_stored(struct dumps_commit *commit)
{
	struct dump_call *c = commit->arg;

	c->in->commits--;
	if (commit->outcome != DUMPS_FAILED && !c->in->ending) {
		/* logged even if the client has left: the dump is here */
		c->waiter.retry = log_stored;
		c->waiter.drop = drop_call;
		if (!log_stored(&c->waiter))
			ingest_wait(c->in, &c->waiter);
		return;
	}
	c->busy = false;
	c->dropped = DISCARD_dump_disk_low;
	if (c->r == NULL)
		call_free(c);
	else
		answer_dropped(c);
}

static void
complete(struct http_request *r)
{
	struct dump_call *c = r->ctx;
	struct dump_writer *w = c->writer;

	if (w == NULL) {
		answer_dropped(c);
		return;
	}
	if (dumps_written(w) == 0) {
		http_refuse(r, DISCARD_empty, NULL, NULL);
		return;
	}
	c->writer = NULL;
	c->busy = true;
	c->in->commits++;
	c->commit = (struct dumps_commit){ .reply = c->in->stored, .done = on_stored, .arg = c };
	dumps_commit(w, &c->commit);
}

static void
end(struct http_request *r, enum http_end how)
{
	struct dump_call *c = r->ctx;

	(void)how;
	if (c == NULL)
		return;
	c->r = NULL;
	if (!c->busy)
		call_free(c);
}

const struct http_ops ingest_dump_ops = { .begin = begin, .body = body, .complete = complete, .end = end };
