/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <mspack.h>
#include <stdlib.h>
#include <string.h>

#include "triage/expand.h"

/* Cabinets, as Windows Error Reporting sends dumps.  The decoder sees memory alone: its files
 * are the image and a sink. */

#define CAB_FILES_MAX 64
#define CAB_BLOCK_MAX ((size_t)8 << 20) /* of the decoder; a window has at most 2 MiB */

/* The system the decoder is given; first, so that it is found from there. */
struct cabinet {
	struct mspack_system sys;
	const uint8_t *image;
	size_t size;
	struct sink *sink;
	enum err err; /* of the sink */
	bool enough;  /* of this file: the rest is decoded, because the next may lie behind it, and dropped */
};

struct handle {
	struct cabinet *cab;
	bool writes;
	size_t pos;
};

/* Names that stand for the two files there are. */
static const char input_name[] = "cabinet", output_name[] = "file";

static struct mspack_file *
cab_open(struct mspack_system *sys, const char *name, int mode)
{
	struct handle *h = malloc(sizeof(*h));

	(void)name;
	if (h != NULL)
		*h = (struct handle){ (struct cabinet *)sys, mode == MSPACK_SYS_OPEN_WRITE, 0 };
	return (struct mspack_file *)h;
}

static void
cab_close(struct mspack_file *f)
{
	free(f);
}

static int
cab_read(struct mspack_file *f, void *buf, int n)
{
	struct handle *h = (struct handle *)f;
	size_t left = h->cab->size - h->pos, take;

	if (n < 0 || h->writes)
		return -1;
	take = (size_t)n < left ? (size_t)n : left;
	memcpy(buf, h->cab->image + h->pos, take);
	h->pos += take;
	return (int)take;
}

static int
cab_write(struct mspack_file *f, void *buf, int n)
{
	struct handle *h = (struct handle *)f;
	struct sink *s = h->cab->sink;
	const uint8_t *p = buf;
	size_t left = n > 0 ? (size_t)n : 0, take;

	if (n < 0 || !h->writes)
		return -1;
	while (left > 0) {
		if (!h->cab->enough && (h->cab->err = sink_room(s)) != ERR_OK)
			h->cab->enough = h->cab->err == ERR_UNSUPPORTED ||
					 (h->cab->err == ERR_LIMIT && s->content == EXPAND_TEXT);
		if (h->cab->enough)
			return n;
		if (h->cab->err != ERR_OK)
			return -1;
		take = left < s->cap - s->len ? left : s->cap - s->len;
		memcpy(s->buf + s->len, p, take);
		s->len += take;
		p += take;
		left -= take;
	}
	return n;
}

static int
cab_seek(struct mspack_file *f, off_t offset, int mode)
{
	struct handle *h = (struct handle *)f;
	off_t base = mode == MSPACK_SYS_SEEK_START ? 0
		     : mode == MSPACK_SYS_SEEK_CUR ? (off_t)h->pos
						   : (off_t)h->cab->size;

	if (h->writes || offset < -base || offset > (off_t)h->cab->size - base)
		return -1;
	h->pos = (size_t)(base + offset);
	return 0;
}

static off_t
cab_tell(struct mspack_file *f)
{
	return (off_t)((struct handle *)f)->pos;
}

static void
cab_message(struct mspack_file *f, const char *format, ...)
{
	(void)f;
	(void)format;
}

/* The decoder calls it with copies of the system too, so there is no account to keep: what it asks
 * for are records of files and folders (65,535 at most) and one window. */
static void *
cab_alloc(struct mspack_system *sys, size_t n)
{
	(void)sys;
	return n <= CAB_BLOCK_MAX ? calloc(1, n) : NULL;
}

static void
cab_free(void *p)
{
	free(p);
}

static void
cab_copy(void *from, void *to, size_t n)
{
	memcpy(to, from, n);
}

/* ---- choosing ---- */

static void
swap(struct sink *a, struct sink *b)
{
	struct sink t = *a;

	*a = *b;
	*b = t;
}

/* Files one by one in their order; what has to be decoded for them, a folder from its begin for a file that lies
 * further back, is together within the limit.  The dump, or the largest file, is left in best. */
static enum err
extract_files(struct cabinet *c, struct mscab_decompressor *d, struct mscabd_cabinet *cab, struct sink *best)
{
	const struct mscabd_folder *folder = NULL;
	const size_t limit = c->sink->limit;
	size_t spent = 0, at = 0, n = 0;
	bool damaged = false, over = false, unknown = false;

	for (struct mscabd_file *f = cab->files; f != NULL && n < CAB_FILES_MAX; f = f->next, n++) {
		size_t end = (size_t)f->offset + f->length, cost;

		if (f->length == 0)
			continue;
		cost = f->folder == folder && f->offset >= at ? end - at : end;
		if (cost > limit - spent) {
			over = true;
			continue;
		}
		spent += cost;
		folder = f->folder;
		at = end;
		*c->sink = (struct sink){ .buf = c->sink->buf, .cap = c->sink->cap, .limit = limit };
		c->err = ERR_OK;
		c->enough = false;
		if (d->extract(d, f, output_name) != MSPACK_ERR_OK) {
			if (c->err != ERR_OK && !c->enough) {
				swap(c->sink, best);
				return c->err;
			}
			damaged = true; /* what came out may be a dump that is cut short */
		}
		if (c->err == ERR_UNSUPPORTED) {
			unknown = true;
			continue;
		}
		if (expand_is_dump(c->sink->buf, c->sink->len)) {
			swap(c->sink, best);
			return best->len < f->length ? ERR_TRUNCATED : ERR_OK;
		}
		if (c->sink->len > best->len)
			swap(c->sink, best);
	}
	if (best->len > 0)
		return damaged ? ERR_TRUNCATED : ERR_OK;
	return over ? ERR_LIMIT : unknown ? ERR_UNSUPPORTED : ERR_MALFORMED;
}

enum err
expand_cab(const void *image, size_t size, struct sink *s, struct diag *diag)
{
	struct sink work = { .limit = s->limit };
	struct cabinet c = { .sys = { .open = cab_open,
				      .close = cab_close,
				      .read = cab_read,
				      .write = cab_write,
				      .seek = cab_seek,
				      .tell = cab_tell,
				      .message = cab_message,
				      .alloc = cab_alloc,
				      .free = cab_free,
				      .copy = cab_copy },
			     .image = image,
			     .size = size,
			     .sink = &work };
	struct mscab_decompressor *d = mspack_create_cab_decompressor(&c.sys);
	struct mscabd_cabinet *cab;
	enum err e = ERR_MALFORMED;

	if (d == NULL)
		return ERR_NOMEM;
	cab = d->open(d, input_name);
	if (cab != NULL) {
		e = extract_files(&c, d, cab, s);
		d->close(d, cab);
	} else {
		diag->what = "the cabinet is damaged";
	}
	mspack_destroy_cab_decompressor(d);
	free(work.buf);
	if (e == ERR_UNSUPPORTED)
		diag->what = "not a dump format we know";
	if (e == ERR_LIMIT)
		diag->what = "the files of the cabinet are larger than the limit";
	return e;
}
