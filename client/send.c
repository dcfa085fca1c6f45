/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "client/client_private.h"

/* Room that a frame's head and its parts around the items may need. */
#define FRAME_SLACK 64u

bool
send_frame(struct faultline *f, enum client_kind kind, const uint8_t *body, size_t len, struct sent sent)
{
	uint8_t head[FRAME_HEAD_MAX];
	size_t head_len = client_frame_head(f->number + 1, kind, len, head);

	if (!buffer_room(&f->out, head_len + len))
		return false;
	memcpy(f->out.p + f->out.len, head, head_len);
	if (len > 0)
		memcpy(f->out.p + f->out.len + head_len, body, len);
	f->out.len += head_len + len;
	sent.number = ++f->number;
	sent.kind = kind;
	f->sent[f->n_sent++] = sent;
	return true;
}

/* As many queued items of one kind as a frame takes. */
static bool
fill_items(struct faultline *f)
{
	struct sent sent = { .start = f->send_at, .end = f->send_at };
	struct spool_item item;
	enum client_kind kind = CLIENT_NONE;
	struct wire_out o;

	f->body.len = 0;
	for (unsigned n = 0; n < f->o.batch && spool_read(&f->spool, sent.end, &item) == SPOOL_OK; n++) {
		if (n == 0)
			kind = (enum client_kind)item.kind;
		if (item.kind != (uint8_t)kind || f->body.len + item.len + FRAME_SLACK > f->max_frame)
			break;
		if (!buffer_room(&f->body, item.len + 8))
			break;
		o = (struct wire_out){ f->body.p + f->body.len, f->body.p + f->body.cap, false };
		item_put(&o, (struct text){ (const char *)item.bytes, item.len });
		f->body.len = (size_t)(o.p - f->body.p);
		sent.end = item.next;
	}
	if (sent.end == sent.start)
		return false;
	if (!send_frame(f, kind, f->body.p, f->body.len, sent))
		return false;
	f->send_at = sent.end;
	return true;
}

static bool
fill_beats(struct faultline *f)
{
	struct buffer *b = &f->beats;
	struct reader r;
	struct text item;
	size_t take = 0;

	reader_init(&r, b->p + b->at, b->len - b->at, false);
	for (unsigned n = 0; n < f->o.batch && frame_item(&r, &item) && r.pos + FRAME_SLACK <= f->max_frame; n++)
		take = r.pos;
	if (take == 0 || !send_frame(f, CLIENT_HEARTBEATS, b->p + b->at, take, (struct sent){ 0 }))
		return false;
	b->at += take;
	if (b->at == b->len)
		b->at = b->len = 0;
	return true;
}

void
send_fill(struct faultline *f)
{
	while (f->state == LINK_READY && f->n_sent < f->o.window && f->out.len - f->out.at < OUT_MAX)
		if (!((f->send_at < f->spool.end && fill_items(f)) || (f->beats.at < f->beats.len && fill_beats(f)) ||
		      upload_fill(f)))
			break;
}
