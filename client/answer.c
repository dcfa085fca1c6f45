/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client_private.h"

static const struct sent *
sent_by_number(const struct faultline *f, uint64_t number)
{
	for (unsigned i = 0; i < f->n_sent; i++)
		if (f->sent[i].number == number)
			return &f->sent[i];
	return NULL;
}

/* The item `index` of a frame; false if there is none.  The cookie becomes a C string. */
static bool
find_item(struct faultline *f, const struct sent *s, uint32_t index, char cookie[COOKIE_MAX + 1], uint64_t *ticket_out)
{
	struct spool_item item;
	uint64_t off = s->start;

	for (uint32_t i = 0; off < s->end && spool_read(&f->spool, off, &item) == SPOOL_OK; i++) {
		off = item.next;
		if (i != index)
			continue;
		snprintf(cookie, COOKIE_MAX + 1, "%.*s", (int)item.cookie_len, item.cookie);
		*ticket_out = item.next;
		return true;
	}
	return false;
}

static const char *
terminate(struct text t, char *buf, size_t size)
{
	snprintf(buf, size, "%.*s", (int)(t.len < size ? t.len : size - 1), t.at != NULL ? t.at : "");
	return buf;
}

static void
wanted(struct faultline *f, const struct server_item *i)
{
	const struct sent *s = sent_by_number(f, i->number);
	char cookie[COOKIE_MAX + 1], report[REPORT_ID_MAX + 1];
	uint64_t ticket;
	int fd;

	if (f->o.on.want_dump == NULL || s == NULL || s->kind != CLIENT_REPORTS || i->id.len > REPORT_ID_MAX ||
	    !find_item(f, s, i->index, cookie, &ticket))
		return;
	fd = f->o.on.want_dump(f->o.arg, cookie, terminate(i->id, report, sizeof(report)));
	if (fd != -1)
		upload_begin(f, i->id, fd);
}

static void
refused(struct faultline *f, const struct server_item *i)
{
	const struct sent *s = sent_by_number(f, i->number);
	char cookie[COOKIE_MAX + 1] = "", code[64], message[512];
	uint64_t ticket;

	if (s == NULL)
		return;
	if (s->kind == CLIENT_DUMP) {
		upload_answered(f, s->upload, i->id);
		return;
	}
	ticket = s->end;
	if (f->o.on.refused == NULL || (i->index != FRAME_ALL && !find_item(f, s, i->index, cookie, &ticket)))
		return;
	f->o.on.refused(f->o.arg, ticket, cookie, terminate(i->id, code, sizeof(code)),
			terminate(i->message, message, sizeof(message)));
}

static void
acked(struct faultline *f, uint64_t number)
{
	uint64_t upto = 0;
	unsigned n = 0;

	for (; n < f->n_sent && f->sent[n].number <= number; n++) {
		const struct sent *s = &f->sent[n];

		if (s->end > upto)
			upto = s->end;
		if (s->kind == CLIENT_DUMP && s->last)
			upload_answered(f, s->upload, (struct text){ NULL, 0 });
	}
	memmove(f->sent, f->sent + n, (f->n_sent - n) * sizeof(f->sent[0]));
	f->n_sent -= n;
	if (upto == 0)
		return;
	spool_release(&f->spool, upto);
	if (f->o.on.acked != NULL)
		f->o.on.acked(f->o.arg, upto);
}

static void
halted_clear(struct faultline *f)
{
	for (size_t i = 0; i < f->n_halted; i++)
		free(f->halted[i]);
	f->n_halted = 0;
}

static void
halted_add(struct faultline *f, struct text id)
{
	char **p = realloc(f->halted, (f->n_halted + 1) * sizeof(*p));

	if (p == NULL)
		return;
	f->halted = p;
	if ((f->halted[f->n_halted] = strndup(id.at, id.len)) != NULL)
		f->n_halted++;
}

static void
halted_tell(struct faultline *f)
{
	if (f->o.on.halted != NULL)
		f->o.on.halted(f->o.arg, (const char *const *)f->halted, f->n_halted);
}

static void
advice(struct faultline *f, const struct server_item *i)
{
	char signature[64], text[1100];

	if (f->o.on.advice != NULL)
		f->o.on.advice(f->o.arg, terminate(i->id, signature, sizeof(signature)),
			       terminate(i->message, text, sizeof(text)));
}

/* The number comes last, whatever its place in the message: items refer to frames up to it. */
static bool
take_ack(struct faultline *f, struct text body)
{
	struct server_item i;
	uint64_t number = 0;
	bool halts = false;
	struct reader r;

	reader_init(&r, body.at, body.len, false);
	while (server_next(&r, SERVER_ACK, &i))
		if (i.kind == ITEM_NUMBER)
			number = i.number;
		else if (i.kind == ITEM_WANT_DUMP)
			wanted(f, &i);
		else if (i.kind == ITEM_REFUSED)
			refused(f, &i);
		else if (i.kind == ITEM_ADVICE)
			advice(f, &i);
		else if (i.kind == ITEM_HALTS) {
			halts = true;
			halted_clear(f);
		} else if (i.kind == ITEM_HALTED)
			halted_add(f, i.id);
	if (reader_failed(&r))
		return false;
	acked(f, number);
	if (halts)
		halted_tell(f);
	return true;
}

static bool
take_welcome(struct faultline *f, struct text body)
{
	bool had = f->n_halted > 0;
	struct server_item i;
	struct reader r;

	halted_clear(f);
	reader_init(&r, body.at, body.len, false);
	while (server_next(&r, SERVER_WELCOME, &i))
		if (i.kind == ITEM_MAX_FRAME && i.number >= 1024)
			f->max_frame = (uint32_t)i.number;
		else if (i.kind == ITEM_HALTED)
			halted_add(f, i.id);
	if (reader_failed(&r))
		return false;
	f->state = LINK_READY;
	f->failures = 0;
	if (f->o.on.connection != NULL)
		f->o.on.connection(f->o.arg, 1, NULL);
	if (had || f->n_halted > 0)
		halted_tell(f);
	return true;
}

static void
take_nack(struct faultline *f, struct text body)
{
	char why[160] = "refused", message[256] = "";
	struct server_item i;
	uint64_t number = 0;
	struct reader r;

	reader_init(&r, body.at, body.len, false);
	while (server_next(&r, SERVER_NACK, &i))
		if (i.kind == ITEM_NUMBER)
			number = i.number;
		else if (i.kind == ITEM_RETRY_AFTER)
			f->retry_after_ms = (uint32_t)i.number;
		else if (i.kind == ITEM_CODE)
			terminate(i.id, why, 64);
		else if (i.kind == ITEM_MESSAGE)
			terminate(i.message, message, sizeof(message));
	acked(f, number);
	if (message[0] != '\0')
		snprintf(why + strlen(why), sizeof(why) - strlen(why), ": %.90s", message);
	link_down(f, why);
}

void
answer_take(struct faultline *f, struct text frame)
{
	enum server_kind kind;
	struct text body = { NULL, 0 };
	bool ok = true;

	if (server_frame_decode(frame, &kind, &body) != DISCARD_none) {
		link_down(f, "the server's answer is damaged");
		return;
	}
	if (kind == SERVER_NACK)
		take_nack(f, body);
	else if (kind == SERVER_WELCOME && f->state == LINK_HELLO)
		ok = take_welcome(f, body);
	else if (kind == SERVER_ACK && f->state == LINK_READY)
		ok = take_ack(f, body);
	if (!ok)
		link_down(f, "the server's answer is damaged");
}

void
answer_forget(struct faultline *f)
{
	f->n_sent = 0;
	f->send_at = f->spool.released;
	upload_restart(f);
}
