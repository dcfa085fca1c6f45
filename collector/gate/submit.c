/* SPDX-License-Identifier: Apache-2.0 */
/* The upload form of Breakpad, Crashpad and Socorro clients: annotations and one dump, which
 * goes to disk as it comes. */
#include "config.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/util.h>

#include "base/clock.h"
#include "base/settings.h"
#include "base/token.h"
#include "collector/gate/identity.h"
#include "collector/gate/ingest_impl.h"
#include "collector/gate/multipart.h"
#include "collector/gate/submit_fields.h"
#include "collector/log/report_id.h"
#include "collector/workers/dumps.h"

#define FIELDS_ROOM ((uint64_t)16 * 1024 * 1024) /* of a form, beside its dump */
#define FIELD_MAX   ((size_t)64 * 1024)          /* of an annotation we know */
#define EXTRA_MAX   ((size_t)1024 * 1024)        /* of the JSON part */
#define NESTED_LINE (4 + MULTIPART_BOUNDARY_MAX)

/* What the bytes of the present part are. */
enum part_role { PART_SKIPPED, PART_FIELD, PART_EXTRA, PART_DUMP };

struct form {
	struct waiter waiter;
	struct ingest *in;
	struct http_request *r; /* NULL once the client is gone */
	bool socorro;           /* answer CrashID=..., not the bare id */
	bool busy;              /* store or intake has something of ours */
	struct multipart multipart;
	struct multipart *nested; /* some old clients put a form into the dump's part */
	struct submit_fields fields;

	enum part_role role;
	bool has_kv, has_dump, in_nested;
	char *value; /* PART_FIELD: where it goes */
	size_t value_len, value_size, part_len;
	char *extra; /* the JSON part, whole */
	size_t extra_len, extra_cap;
	char front[NESTED_LINE]; /* first line of a dump that looks like a nested form */
	size_t front_len;
	bool front_open; /* still reading it */

	struct dump_writer *writer; /* NULL: none yet, dropped or committed */
	enum discard dropped;       /* why the dump is not kept */
	struct sha256 *sha;         /* of a dump that is not kept, to know it again */
	uint8_t sha256[SHA256_BYTES];
	bool has_sha;
	uint64_t dump_size;
	int64_t received_us;
	struct dumps_commit commit;
	struct intake_group group;
};

static void
form_free(struct form *f)
{
	ingest_unwait(f->in, &f->waiter);
	dumps_abandon(f->writer);
	sha256_drop(f->sha);
	if (f->extra != NULL)
		ingest_drop(f->in, EXTRA_MAX);
	free(f->extra);
	free(f->nested);
	free(f);
}

/* ---- answers ---- */

/* Socorro's word for the reason where it has one. */
static const char *
malformed_reason(enum discard why)
{
	if (why == DISCARD_bad_multipart)
		return "invalid_payload_structure";
	return discard_code(why);
}

/* The status is ours, the body what uploaders look for (docs/PROTOCOL.md). */
static size_t
word_refusal(enum discard why, char *buf, size_t size)
{
	const int status = discard_status(why);
	const int n =
		snprintf(buf, size,
			 status >= 400 && status < 500 && status != 401 && status != 408 ? "Discarded=malformed_%s\n"
											 : "Discarded=%s\n",
			 malformed_reason(why));

	return (size_t)n;
}

static size_t
explain(struct http_request *r, enum discard why, char *buf, size_t size, const char **type_out)
{
	(void)r;
	*type_out = "text/plain";
	return word_refusal(why, buf, size);
}

/* A full disk is answered 200: such clients drop or hammer on anything else. */
static void
refuse(struct http_request *r, enum discard why)
{
	char buf[128];
	const size_t n = word_refusal(why, buf, sizeof(buf));
	int status = discard_status(why);

	discard_count(why);
	if (why == DISCARD_disk_full)
		status = 200;
	else if (status == 415)
		status = 400;
	else if (status == 503)
		http_set_header(r, "Retry-After", "60");
	http_answer(r, status, "text/plain", buf, n);
}

static void
answer(struct form *f)
{
	const struct gate_env *env = f->in->gate->env;
	const uint64_t pos = intake_position(&f->group, 0);
	char body[64], id[REPORT_ID_BP_SIZE];
	int n;

	if (f->dropped != DISCARD_none) {
		discard_count(f->dropped);
		http_set_header(f->r, "X-Faultline-Dump", discard_code(f->dropped));
	}
	if (f->socorro)
		n = snprintf(body, sizeof(body), "CrashID=%s\n",
			     report_id_format_bp(pos, &env->log_id, f->received_us, id));
	else
		n = snprintf(body, sizeof(body), "%s", report_id_format(pos, &env->log_id, id));
	http_answer(f->r, 200, "text/plain", body, (size_t)n);
}

/* ---- parts ---- */

/* From here on the dump's bytes are read but not kept. */
static void
drop_dump(struct form *f, enum discard why)
{
	dumps_abandon(f->writer);
	f->writer = NULL;
	f->dropped = why;
}

static enum discard
start_dump(struct form *f)
{
	f->has_dump = true;
	f->writer = dumps_begin(f->in->gate->env->dumps, 0, 0, &f->dropped);
	if (f->writer != NULL)
		f->dropped = DISCARD_none;
	else if ((f->sha = sha256_new()) == NULL)
		return DISCARD_log_busy;
	return DISCARD_none;
}

static enum discard
dump_bytes(struct form *f, const char *data, size_t len)
{
	const struct settings *s = ingest_settings(f->in);
	enum discard why;

	f->dump_size += len;
	if (f->sha != NULL)
		sha256_update(f->sha, data, len);
	if (f->writer == NULL)
		return DISCARD_none;
	why = f->r->raw_bytes > s->max_dump || f->dump_size > s->max_dump_expanded ? DISCARD_dump_too_large
										   : dumps_write(f->writer, data, len);
	if (why != DISCARD_none)
		drop_dump(f, why);
	return DISCARD_none;
}

static enum discard
keep_extra(struct form *f, const char *data, size_t len)
{
	if (f->extra == NULL) {
		if (!ingest_hold(f->in, EXTRA_MAX))
			return DISCARD_log_busy;
		if ((f->extra = malloc(EXTRA_MAX)) == NULL) {
			ingest_drop(f->in, EXTRA_MAX);
			return DISCARD_log_busy;
		}
	}
	if (len > EXTRA_MAX - f->extra_len)
		return DISCARD_part_too_large;
	memcpy(f->extra + f->extra_len, data, len);
	f->extra_len += len;
	return DISCARD_none;
}

static enum discard
part_begin(void *arg, const struct multipart_part *part)
{
	struct form *f = arg;

	f->part_len = 0;
	f->role = PART_SKIPPED;
	if (text_equal(part->name, TEXT("upload_file_minidump"))) {
		if (f->has_dump)
			return DISCARD_two_dumps;
		f->role = PART_DUMP;
		f->front_len = 0;
		f->front_open = true;
		return DISCARD_none;
	}
	if (text_equal(part->name, TEXT("extra")) && part->content_type.len >= 16 &&
	    memcmp(part->content_type.at, "application/json", 16) == 0) {
		f->role = PART_EXTRA;
		return f->extra_len > 0 ? DISCARD_has_json_and_kv : DISCARD_none;
	}
	if (part->filename.at != NULL) /* an attachment */
		return DISCARD_none;
	f->has_kv = true;
	f->value = submit_field(&f->fields, part->name, &f->value_size);
	f->value_len = 0;
	if (f->value != NULL)
		f->role = PART_FIELD;
	return DISCARD_none;
}

static const struct multipart_ops form_ops;

/* The dump's part begins with a delimiter line: read it as a form of its own, once. */
static enum discard
start_nested(struct form *f)
{
	struct text boundary = { f->front + 2, f->front_len - 2 };

	while (boundary.len > 0 && (boundary.at[boundary.len - 1] == '\n' || boundary.at[boundary.len - 1] == '\r'))
		boundary.len--;
	if (f->nested != NULL || boundary.len == 0 || boundary.len > MULTIPART_BOUNDARY_MAX ||
	    memchr(boundary.at, '\r', boundary.len) != NULL)
		return DISCARD_bad_multipart;
	if ((f->nested = malloc(sizeof(*f->nested))) == NULL)
		return DISCARD_log_busy;
	multipart_init(f->nested, boundary, &form_ops, f);
	f->in_nested = true;
	return multipart_feed(f->nested, f->front, f->front_len);
}

/* It is a dump after all. */
static enum discard
front_is_dump(struct form *f)
{
	const enum discard why = start_dump(f);

	f->front_open = false;
	return why == DISCARD_none && f->front_len > 0 ? dump_bytes(f, f->front, f->front_len) : why;
}

/* A minidump begins MDMP, a nested form "--": two bytes tell, a line names the boundary. */
static enum discard
front_bytes(struct form *f, const char **data, size_t *len)
{
	for (; *len > 0; (*data)++, (*len)--) {
		if ((f->front_len < 2 && **data != '-') || f->front_len == sizeof(f->front))
			return front_is_dump(f);
		f->front[f->front_len++] = **data;
		if (**data == '\n') {
			(*data)++;
			(*len)--;
			f->front_open = false;
			return start_nested(f);
		}
	}
	return DISCARD_none; /* undecided */
}

static enum discard
part_data(void *arg, const char *data, size_t len)
{
	struct form *f = arg;
	enum discard why;

	f->part_len += len;
	switch (f->role) {
	case PART_DUMP:
		if (f->front_open) {
			if ((why = front_bytes(f, &data, &len)) != DISCARD_none)
				return why;
			if (f->in_nested)
				return multipart_feed(f->nested, data, len);
		}
		return len > 0 && !f->front_open ? dump_bytes(f, data, len) : DISCARD_none;
	case PART_EXTRA:
		return keep_extra(f, data, len);
	case PART_FIELD:
		if (f->part_len > FIELD_MAX)
			return DISCARD_part_too_large;
		if (len > f->value_size - 1 - f->value_len)
			len = f->value_size - 1 - f->value_len;
		memcpy(f->value + f->value_len, data, len);
		f->value_len += len;
		return DISCARD_none;
	case PART_SKIPPED:
		break;
	}
	return DISCARD_none;
}

static enum discard
part_end(void *arg)
{
	enum discard why = DISCARD_none;
	struct form *f = arg;

	if (f->role == PART_FIELD)
		f->value[f->value_len] = '\0';
	if (f->role == PART_DUMP && f->front_open) /* empty, or a few dashes */
		why = front_is_dump(f);
	f->role = PART_SKIPPED;
	return why;
}

static const struct multipart_ops form_ops = { part_begin, part_data, part_end };

/* While the part of the outer form lasts that holds another form, its data are the inner one's. */
static enum discard
outer_data(void *arg, const char *data, size_t len)
{
	struct form *f = arg;

	return f->in_nested ? multipart_feed(f->nested, data, len) : part_data(arg, data, len);
}

static enum discard
outer_end(void *arg)
{
	struct form *f = arg;

	if (!f->in_nested)
		return part_end(arg);
	f->in_nested = false;
	f->role = PART_SKIPPED;
	return DISCARD_none;
}

static const struct multipart_ops outer_ops = { part_begin, outer_data, outer_end };

/* ---- the request ---- */

/* Uploaders cannot set headers: the token may stand in the URL. */
static bool
may_submit(struct ingest *in, struct http_request *r)
{
	const struct tokens *t = in->gate->env->tokens(in->gate->env->arg);
	char token[256];

	return t == NULL || http_authenticated(r) ||
	       (http_query(r, "token", token, sizeof(token)) == 0 && tokens_match(t, token, strlen(token)));
}

static void
begin(struct http_request *r, bool socorro)
{
	struct ingest *in = r->arg;
	const struct settings *s = ingest_settings(in);
	const char *agent = http_header(r, "user-agent");
	enum discard why;
	struct text boundary;
	struct form *f;

	why = may_submit(in, r) ? multipart_boundary(r->content_type, &boundary) : DISCARD_unauthorized;
	if (why == DISCARD_none && ingest_overloaded(in))
		why = DISCARD_log_busy;
	if (why != DISCARD_none) {
		refuse(r, why);
		return;
	}
	if ((f = calloc(1, sizeof(*f))) == NULL) {
		refuse(r, DISCARD_log_busy);
		return;
	}
	f->in = in;
	f->r = r;
	f->socorro = socorro && (agent == NULL || strstr(agent, "Crashpad") == NULL);
	r->ctx = f;
	multipart_init(&f->multipart, boundary, &outer_ops, f);
	/* A dump beyond its limit is dropped and its report kept, so read on for a while. */
	http_limit_body(r, 2 * s->max_dump + FIELDS_ROOM, s->max_dump_expanded + 2 * s->max_dump + FIELDS_ROOM);
}

static void
begin_socorro(struct http_request *r)
{
	begin(r, true);
}
static void
begin_plain(struct http_request *r)
{
	begin(r, false);
}

static void
body(struct http_request *r, const void *data, size_t len)
{
	struct form *f = r->ctx;
	const enum discard why = multipart_feed(&f->multipart, data, len);

	if (why != DISCARD_none)
		refuse(r, why);
}

static void
on_logged(struct intake_group *g, enum log_outcome outcome)
{
	struct form *f = g->arg;

	f->busy = false;
	f->in->in_work--;
	if (outcome == LOG_DURABLE) {
		counter_add(COUNTER_reports, 1);
		counter_add(COUNTER_acks, 1);
	}
	if (f->r == NULL)
		form_free(f);
	else if (outcome == LOG_DURABLE)
		answer(f);
	else
		refuse(f->r, ingest_outcome(f->in, outcome));
}

/* Without an id of its own the client is told apart by its guid, else by its address. */
static struct text
host_of(const struct form *f, char *buf, size_t size)
{
	const struct sockaddr *peer = http_peer(f->r);
	char addr[64] = "unknown";

	if (*f->fields.host != '\0')
		return text_of(f->fields.host);
	if (*f->fields.guid != '\0') {
		snprintf(buf, size, "%.*s", (int)HOST_ID_MAX, f->fields.guid);
		return text_of(buf);
	}
	if (peer->sa_family == AF_INET)
		evutil_inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, addr,
				 sizeof(addr));
	else if (peer->sa_family == AF_INET6)
		evutil_inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, addr,
				 sizeof(addr));
	snprintf(buf, size, "addr:%s", addr);
	return text_of(buf);
}

static void
form_stamp(struct form *f, const struct sender *s, const struct report *rep, char *site, struct report_stamp *out)
{
	const struct gate_env *env = f->in->gate->env;

	ingest_stamp(f->in, s, rep, site, out);
	out->flags |= REPORT_FLAG_FORM;
	if (f->dropped != DISCARD_none)
		out->flags |= REPORT_FLAG_DUMP_DROPPED;
	if (f->has_sha) {
		out->dump_sha256 = (struct text){ (const char *)f->sha256, SHA256_BYTES };
		out->dump_size = f->dump_size;
	}
	if (*f->fields.guid != '\0')
		out->guid_hash = identity_hash(env->identity(env->arg), "guid", text_of(f->fields.guid));
	if (out->clear_occurred)
		discard_count(DISCARD_invalid_time);
}

/* False: no room in the intake. */
static bool
log_form(struct waiter *w)
{
	struct form *f = (struct form *)((char *)w - offsetof(struct form, waiter));
	struct intake *intake = f->in->gate->intake;
	uint8_t bytes[8192], *to = NULL;
	char host[HOST_ID_MAX + 64], site[SITE_MAX];
	enum intake_result result = INTAKE_BUSY;
	struct report_stamp stamp;
	struct report rep;
	struct sender s;
	struct diag diag;
	enum discard why;
	size_t len;

	if (!intake_ready(intake))
		return false;
	submit_fields_report(&f->fields, &rep);
	rep.host = host_of(f, host, sizeof(host));
	len = report_encode(&rep, NULL, bytes, sizeof(bytes));
	why = len > 0 ? report_decode(bytes, len, &rep, &diag) : DISCARD_invalid_field;
	if (why != DISCARD_none) {
		f->busy = false;
		refuse(f->r, why);
		return true;
	}
	ingest_sender(f->in, f->r, f->received_us, &s);
	form_stamp(f, &s, &rep, site, &stamp);
	f->group = (struct intake_group){ .done = on_logged, .arg = f };
	intake_begin(intake, &f->group, s.class);
	to = intake_add(intake, RECORD_REPORT, 0, f->received_us, report_record_size(&rep, &stamp), &result);
	if (to != NULL) {
		report_record_write(&rep, &stamp, to);
		f->busy = true;
		f->in->in_work++;
		intake_commit(intake);
		return true;
	}
	intake_abandon(intake);
	if (result == INTAKE_BUSY)
		return false;
	f->busy = false;
	refuse(f->r, DISCARD_log_unknown);
	return true;
}

static void
log_or_wait(struct form *f)
{
	f->waiter.retry = log_form;
	if (!log_form(&f->waiter))
		ingest_wait(f->in, &f->waiter);
}

static void
on_stored(struct dumps_commit *commit)
{
	struct form *f = commit->arg;

	f->in->commits--;
	f->busy = false;
	if (f->r == NULL) {
		/* It never got an answer, so it will send again; the dump is there already then. */
		form_free(f);
		return;
	}
	memcpy(f->sha256, commit->sha256, SHA256_BYTES);
	f->has_sha = true;
	f->dump_size = commit->size;
	if (commit->outcome == DUMPS_FAILED)
		f->dropped = DISCARD_dump_disk_low;
	log_or_wait(f);
}

static enum discard
check(struct form *f)
{
	enum discard why;

	if (!multipart_finished(&f->multipart) || (f->nested != NULL && !multipart_finished(f->nested)))
		return DISCARD_bad_multipart;
	if (f->extra_len > 0) {
		if (f->has_kv)
			return DISCARD_has_json_and_kv;
		if ((why = submit_fields_json(&f->fields, f->extra, f->extra_len)) != DISCARD_none)
			return why;
	}
	if (!f->has_dump || f->dump_size == 0)
		return f->fields.any ? DISCARD_no_dump : DISCARD_no_annotations;
	return submit_fields_check(&f->fields);
}

static void
complete(struct http_request *r)
{
	struct form *f = r->ctx;
	const enum discard why = check(f);
	struct dump_writer *w = f->writer;

	if (why != DISCARD_none) {
		refuse(r, why);
		return;
	}
	f->received_us = clock_wall_us();
	if (w == NULL) {
		if (f->sha != NULL) {
			sha256_final(f->sha, f->sha256);
			f->sha = NULL;
			f->has_sha = true;
		}
		log_or_wait(f);
		return;
	}
	f->writer = NULL;
	f->busy = true;
	f->in->commits++;
	f->commit = (struct dumps_commit){ .reply = f->in->stored, .done = on_stored, .arg = f };
	dumps_commit(w, &f->commit);
}

static void
end(struct http_request *r, enum http_end how)
{
	struct form *f = r->ctx;

	(void)how;
	if (f == NULL)
		return;
	f->r = NULL;
	if (!f->busy)
		form_free(f);
}

const struct http_ops submit_socorro_ops = {
	.begin = begin_socorro,
	.body = body,
	.complete = complete,
	.end = end,
	.explain = explain,
};
const struct http_ops submit_plain_ops = {
	.begin = begin_plain,
	.body = body,
	.complete = complete,
	.end = end,
	.explain = explain,
};
