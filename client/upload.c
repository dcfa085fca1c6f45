/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/client_private.h"

static void
drop(struct upload *u)
{
	close(u->fd);
	u->id = 0;
}

void
upload_begin(struct faultline *f, struct text report, int fd)
{
	struct stat st;

	for (unsigned i = 0; i < UPLOADS_MAX; i++) {
		struct upload *u = &f->uploads[i];

		if (u->id != 0)
			continue;
		if (fstat(fd, &st) == -1 || st.st_size <= 0 || report.len > REPORT_ID_MAX)
			break;
		*u = (struct upload){ .id = ++f->next_upload, .fd = fd, .size = (uint64_t)st.st_size };
		memcpy(u->report, report.at, report.len);
		u->report[report.len] = '\0';
		return;
	}
	close(fd); /* the server asks again with the next one */
}

static void
finish(struct faultline *f, struct upload *u, const char *code)
{
	char report[REPORT_ID_MAX + 1];

	memcpy(report, u->report, sizeof(report));
	drop(u);
	if (f->o.on.dump_done != NULL)
		f->o.on.dump_done(f->o.arg, report, code);
}

bool
upload_fill(struct faultline *f)
{
	static const size_t around = REPORT_ID_MAX + 64; /* fields around the data */
	struct upload *u = NULL;
	struct dump_piece piece = { 0 };
	struct wire_out o;
	size_t want = PIECE;
	ssize_t n;

	for (unsigned i = 0; i < UPLOADS_MAX && u == NULL; i++)
		if (f->uploads[i].id != 0 && !f->uploads[i].sent)
			u = &f->uploads[i];
	if (u == NULL)
		return false;
	if (want + 2 * around > f->max_frame)
		want = f->max_frame > 2 * around ? f->max_frame - 2 * around : 1;
	f->body.len = f->body.at = 0;
	if (!buffer_room(&f->body, want * 2 + around))
		return false;
	n = pread(u->fd, f->body.p + want + around, want, (off_t)u->at);
	if (n <= 0) { /* it shrank, or the disk failed */
		finish(f, u, "unreadable");
		return true;
	}
	piece.report = text_of(u->report);
	piece.offset = u->at;
	piece.data = (struct text){ (char *)f->body.p + want + around, (size_t)n };
	piece.last = u->at + (uint64_t)n >= u->size;
	o = (struct wire_out){ f->body.p, f->body.p + want + around, false };
	dump_piece_put(&o, &piece);
	if (o.full || !send_frame(f, CLIENT_DUMP, f->body.p, (size_t)(o.p - f->body.p),
				  (struct sent){ .upload = u->id, .last = piece.last }))
		return false;
	u->at += (uint64_t)n;
	u->sent = piece.last;
	return true;
}

void
upload_answered(struct faultline *f, uint32_t id, struct text code)
{
	char text[64];

	for (unsigned i = 0; i < UPLOADS_MAX; i++)
		if (f->uploads[i].id == id) {
			snprintf(text, sizeof(text), "%.*s", (int)code.len, code.at != NULL ? code.at : "");
			finish(f, &f->uploads[i], code.len > 0 ? text : NULL);
			return;
		}
}

void
upload_restart(struct faultline *f)
{
	for (unsigned i = 0; i < UPLOADS_MAX; i++) {
		f->uploads[i].at = 0;
		f->uploads[i].sent = false;
	}
}

void
upload_close_all(struct faultline *f)
{
	for (unsigned i = 0; i < UPLOADS_MAX; i++)
		if (f->uploads[i].id != 0)
			drop(&f->uploads[i]);
}

bool
upload_pending(const struct faultline *f)
{
	for (unsigned i = 0; i < UPLOADS_MAX; i++)
		if (f->uploads[i].id != 0)
			return true;
	return false;
}
