/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "collector/gate/stream_conn.h"
#include "collector/log/report_id.h"
#include "proto/wire.h"

/* The last piece of a dump is acknowledged when the dump has its name on disk and the
 * record that says so is durable; so its group stays open from here to there. */

void
conn_asked(struct conn *c, uint64_t report, uint64_t signature)
{
	if (c->asked == NULL && (c->asked = calloc(ASKED_MAX, sizeof(*c->asked))) == NULL)
		return; /* the dump will count under no signature */
	c->asked[c->n_asked++ % ASKED_MAX] = (struct asked){ report, signature };
}

static uint64_t
asked_signature(const struct conn *c, uint64_t report)
{
	for (uint32_t i = 0; c->asked != NULL && i < ASKED_MAX; i++)
		if (c->asked[i].report == report)
			return c->asked[i].signature;
	return 0;
}

static void
upload_free(struct dump_upload *u)
{
	dumps_abandon(u->writer);
	free(u);
}

void
conn_drop_upload(struct conn *c)
{
	if (c->upload != NULL)
		upload_free(c->upload);
	c->upload = NULL;
}

/* A faultline.log.DumpStored, and the group is on its way. */
static void
log_stored(struct dump_upload *u)
{
	struct intake *in = u->stream->gate->intake;
	enum intake_result why = INTAKE_OK;
	uint8_t buf[96];
	struct wire_out o = { buf, buf + sizeof(buf), false };
	uint8_t *p;

	wire_put_varint(&o, 1, u->report);
	wire_put_bytes(&o, 2, (struct text){ (const char *)u->commit.sha256, sizeof(u->commit.sha256) });
	wire_put_varint(&o, 3, u->commit.size);
	intake_begin(in, &u->group->intake, LOG_CLASS_NORMAL);
	p = intake_add(in, RECORD_DUMP_STORED, 0, clock_wall_us(), (size_t)(o.p - buf), &why);
	if (p == NULL) {
		/* The peer connects again and sends the dump again; then it is a duplicate of our own. */
		intake_abandon(in);
		u->group->nack = DISCARD_log_busy;
		group_settle(u->group, LOG_REFUSED);
		return;
	}
	memcpy(p, buf, (size_t)(o.p - buf));
	intake_commit(in);
}

static void
on_committed(struct dumps_commit *commit)
{
	struct dump_upload *u = commit->arg;

	u->stream->uploads--;
	if (commit->outcome == DUMPS_FAILED) {
		discard_count(DISCARD_dump_disk_low);
		if (!group_refuse(u->group, FRAME_ALL, DISCARD_dump_disk_low, NULL))
			u->group->nack = DISCARD_frame_memory;
		else
			u->group->conn->refusals++;
		group_settle(u->group, LOG_DURABLE);
	} else {
		log_stored(u);
	}
	upload_free(u);
}

/* The piece that begins a dump, whatever was being sent before. */
static enum discard
begin_upload(struct conn *c, const struct dump_piece *piece)
{
	struct stream *s = c->stream;
	char id[REPORT_ID_MAX + 1];
	enum discard why = DISCARD_none;
	struct dump_upload *u;
	uint64_t report;

	conn_drop_upload(c);
	if (piece->report.len > 0)
		memcpy(id, piece->report.at, piece->report.len);
	id[piece->report.len] = '\0';
	if (report_id_parse(id, &s->env->log_id, &report) == -1)
		return DISCARD_unknown_report;
	if ((u = calloc(1, sizeof(*u))) == NULL)
		return DISCARD_frame_memory;
	u->stream = s;
	u->report = report;
	memcpy(u->id, id, sizeof(u->id));
	u->commit = (struct dumps_commit){ .reply = s->dumps_reply, .done = on_committed, .arg = u };
	u->writer = dumps_begin(s->env->dumps, 0, asked_signature(c, report), &why);
	u->refused = u->writer != NULL ? DISCARD_none : why;
	c->upload = u;
	return u->refused;
}

static enum discard
take_piece(struct conn *c, const struct dump_piece *piece)
{
	struct dump_upload *u = c->upload;
	enum discard d;

	if (piece->offset == 0) {
		if ((d = begin_upload(c, piece)) != DISCARD_none)
			return d;
		u = c->upload;
	}
	if (u == NULL || !text_equal(piece->report, text_of(u->id)))
		return DISCARD_unknown_report;
	if (u->refused != DISCARD_none)
		return u->refused;
	if (piece->offset != dumps_written(u->writer))
		return u->refused = DISCARD_invalid_field;
	u->refused = dumps_write(u->writer, piece->data.at, piece->data.len);
	return u->refused;
}

enum taken
conn_dump_piece(struct conn *c, const struct client_frame *f)
{
	struct stream *s = c->stream;
	struct dump_upload *u;
	struct dump_piece piece;
	struct frame_group *g;
	struct diag diag;
	enum discard d = dump_piece_decode(f->body, &piece, &diag);

	if (d != DISCARD_none) {
		conn_finish(c, d, diag.what, 0);
		return TAKEN_LAST;
	}
	if ((g = group_new(c, f->number)) == NULL) {
		conn_finish(c, DISCARD_frame_memory, NULL, RETRY_MS);
		return TAKEN_LAST;
	}
	d = take_piece(c, &piece);
	if (d != DISCARD_none && !group_refuse(g, FRAME_ALL, d, NULL))
		g->nack = DISCARD_frame_memory;
	if (d != DISCARD_none)
		discard_count(d);
	c->number = f->number;
	group_queue(g);
	if (d != DISCARD_none || !piece.last) {
		group_settle(g, LOG_DURABLE);
		return TAKEN;
	}
	/* From here on the dump is the store's, whatever becomes of the connection. */
	u = c->upload;
	c->upload = NULL;
	u->group = g;
	s->uploads++;
	dumps_commit(u->writer, &u->commit);
	u->writer = NULL;
	return TAKEN;
}
