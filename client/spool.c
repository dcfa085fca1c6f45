/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "client/spool.h"

#define HEADER      64u
#define RELEASED_AT 32u
#define PREFIX      8u         /* length and crc */
#define COMPACT_AT  (1u << 20) /* released bytes that are worth a copy */
#define WINDOW      (256u * 1024)

static void
put_le(uint8_t *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t
get_le(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

/* ---- the file ---- */

static uint64_t
file_at(const struct spool *s, uint64_t off)
{
	return off - s->base + HEADER;
}

static bool
write_all(int fd, const void *bytes, size_t n, uint64_t at)
{
	const uint8_t *p = bytes;

	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, (off_t)at);

		if (done == -1 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
		at += (uint64_t)done;
	}
	return true;
}

static bool
write_header(int fd, uint64_t base)
{
	uint8_t h[HEADER] = "FLSPOOL1";

	put_le(h + 8, base, 8);
	put_le(h + 16, crc32c(0, h, 16), 4);
	put_le(h + RELEASED_AT, base, 8);
	put_le(h + RELEASED_AT + 8, crc32c(0, h + RELEASED_AT, 8), 4);
	return write_all(fd, h, sizeof(h), 0);
}

/* Best effort: when it is lost the items are sent again and recognised. */
static void
write_released(const struct spool *s)
{
	uint8_t h[12];

	put_le(h, s->released, 8);
	put_le(h + 8, crc32c(0, h, 8), 4);
	write_all(s->fd, h, sizeof(h), RELEASED_AT);
}

/* Have [off, off + n) in the window. */
static enum spool_result
window(struct spool *s, uint64_t off, size_t n)
{
	ssize_t got;

	if (off >= s->win && off + n <= s->win + s->win_len)
		return SPOOL_OK;
	if (n > s->cap) {
		uint8_t *p = realloc(s->buf, n > WINDOW ? n : WINDOW);

		if (p == NULL)
			return SPOOL_MEMORY;
		s->buf = p;
		s->cap = n > WINDOW ? n : WINDOW;
	}
	got = pread(s->fd, s->buf, s->cap, (off_t)file_at(s, off));
	s->win = off;
	s->win_len = got > 0 ? (size_t)got : 0;
	return s->win_len >= n ? SPOOL_OK : SPOOL_IO;
}

/* A new file with what is not released, in place of the old one. */
static enum spool_result
compact(struct spool *s)
{
	size_t n = (size_t)(s->end - s->released);
	char *tmp = NULL;
	uint8_t *copy = malloc(n > 0 ? n : 1);
	int fd = -1;

	if (copy == NULL || asprintf(&tmp, "%s.new", s->path) == -1) {
		free(copy);
		return SPOOL_MEMORY;
	}
	fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1 || flock(fd, LOCK_EX | LOCK_NB) == -1 || !write_header(fd, s->released) ||
	    pread(s->fd, copy, n, (off_t)file_at(s, s->released)) != (ssize_t)n || !write_all(fd, copy, n, HEADER) ||
	    fsync(fd) == -1 || rename(tmp, s->path) == -1) {
		if (fd != -1)
			close(fd);
		free(copy);
		free(tmp);
		return SPOOL_IO;
	}
	close(s->fd);
	s->fd = fd;
	s->base = s->released;
	s->win_len = 0;
	free(copy);
	free(tmp);
	return SPOOL_OK;
}

/* Find the end: the last record that is whole. */
static enum spool_result
find_end(struct spool *s)
{
	struct spool_item item;
	enum spool_result r;
	struct stat st;

	if (fstat(s->fd, &st) == -1)
		return SPOOL_IO;
	s->end = s->base + ((uint64_t)st.st_size > HEADER ? (uint64_t)st.st_size - HEADER : 0);
	if (s->released < s->base || s->released > s->end)
		s->released = s->base;
	for (uint64_t off = s->released; (r = spool_read(s, off, &item)) != SPOOL_END; off = item.next)
		if (r == SPOOL_MEMORY)
			return r;
		else if (r != SPOOL_OK) {
			s->end = off;
			break;
		}
	s->win_len = 0;
	return ftruncate(s->fd, (off_t)file_at(s, s->end)) == 0 ? SPOOL_OK : SPOOL_IO;
}

static int
open_file(struct spool *s, const char *path, char *err, size_t err_size)
{
	uint8_t h[HEADER] = { 0 };
	ssize_t n;

	s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->fd == -1) {
		snprintf(err, err_size, "cannot open spool %s: %s", path, strerror(errno));
		return -1;
	}
	if (flock(s->fd, LOCK_EX | LOCK_NB) == -1) {
		snprintf(err, err_size, "spool %s is used by another process", path);
		return -1;
	}
	n = pread(s->fd, h, sizeof(h), 0);
	if (n > 0 && n < (ssize_t)HEADER && memcmp(h, "FLSPOOL1", n < 8 ? (size_t)n : 8) == 0)
		n = 0; /* torn while it was made: it holds nothing */
	if (n == 0) {
		if (ftruncate(s->fd, 0) == -1 || !write_header(s->fd, 0) || fsync(s->fd) == -1) {
			snprintf(err, err_size, "cannot write spool %s: %s", path, strerror(errno));
			return -1;
		}
		return 0;
	}
	if (n != (ssize_t)HEADER || memcmp(h, "FLSPOOL1", 8) != 0 || get_le(h + 16, 4) != crc32c(0, h, 16)) {
		snprintf(err, err_size, "%s is not a spool, or it is damaged: move it away", path);
		return -1;
	}
	s->base = s->released = get_le(h + 8, 8);
	if (get_le(h + RELEASED_AT + 8, 4) == crc32c(0, h + RELEASED_AT, 8))
		s->released = get_le(h + RELEASED_AT, 8);
	if (find_end(s) != SPOOL_OK) {
		snprintf(err, err_size, "cannot read spool %s: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

int
spool_open(struct spool *s, const char *path, uint64_t limit, char *err, size_t err_size)
{
	*s = (struct spool){ .fd = -1, .limit = limit };
	if (path == NULL)
		return 0;
	if ((s->path = strdup(path)) == NULL) {
		snprintf(err, err_size, "out of memory");
		return -1;
	}
	if (open_file(s, path, err, err_size) == 0)
		return 0;
	spool_close(s);
	return -1;
}

void
spool_close(struct spool *s)
{
	if (s->fd != -1)
		close(s->fd);
	free(s->path);
	free(s->buf);
	*s = (struct spool){ .fd = -1 };
}

/* ---- items ---- */

static enum spool_result
room(struct spool *s, size_t n)
{
	uint64_t kept = s->end - s->base;

	if (s->end - s->released + n > s->limit)
		return SPOOL_FULL;
	if (s->fd != -1)
		return kept + n > s->limit && s->released > s->base ? compact(s) : SPOOL_OK;
	if (s->released - s->base > kept / 2) {
		memmove(s->buf, s->buf + (s->released - s->base), (size_t)(s->end - s->released));
		s->base = s->released;
		kept = s->end - s->base;
	}
	if (kept + n > s->cap) {
		size_t cap = (size_t)(kept + n) * 2;
		uint8_t *p = realloc(s->buf, cap < 4096 ? 4096 : cap);

		if (p == NULL)
			return SPOOL_MEMORY;
		s->buf = p;
		s->cap = cap < 4096 ? 4096 : cap;
	}
	return SPOOL_OK;
}

static void
encode(uint8_t *p, uint8_t kind, const char *cookie, size_t cookie_len, const uint8_t *item, size_t len)
{
	size_t n = 3 + cookie_len + len;

	p[PREFIX] = kind;
	put_le(p + PREFIX + 1, cookie_len, 2);
	if (cookie_len > 0)
		memcpy(p + PREFIX + 3, cookie, cookie_len);
	memcpy(p + PREFIX + 3 + cookie_len, item, len);
	put_le(p, n, 4);
	put_le(p + 4, crc32c(0, p + PREFIX, n), 4);
}

enum spool_result
spool_append(struct spool *s, uint8_t kind, const char *cookie, const uint8_t *item, size_t len)
{
	size_t cookie_len = cookie != NULL ? strlen(cookie) : 0;
	size_t n = PREFIX + 3 + cookie_len + len;
	enum spool_result r = n <= SPOOL_ITEM_MAX ? room(s, n) : SPOOL_FULL;
	uint8_t *record;

	if (r != SPOOL_OK)
		return r;
	if (s->fd == -1) {
		encode(s->buf + (s->end - s->base), kind, cookie, cookie_len, item, len);
		s->end += n;
		return SPOOL_OK;
	}
	if ((record = malloc(n)) == NULL)
		return SPOOL_MEMORY;
	encode(record, kind, cookie, cookie_len, item, len);
	if (!write_all(s->fd, record, n, file_at(s, s->end)) || fdatasync(s->fd) == -1)
		r = SPOOL_IO; /* what is there is overwritten by the next one */
	else
		s->end += n;
	s->win_len = 0;
	free(record);
	return r;
}

static enum spool_result
bytes_at(struct spool *s, uint64_t off, size_t n, const uint8_t **out)
{
	enum spool_result r;

	if (off + n > s->end)
		return SPOOL_IO;
	if (s->fd == -1) {
		*out = s->buf + (off - s->base);
		return SPOOL_OK;
	}
	r = window(s, off, n);
	*out = s->buf + (off - s->win);
	return r;
}

enum spool_result
spool_read(struct spool *s, uint64_t off, struct spool_item *out)
{
	const uint8_t *p;
	enum spool_result r;
	size_t n;

	if (off >= s->end)
		return SPOOL_END;
	if ((r = bytes_at(s, off, PREFIX, &p)) != SPOOL_OK)
		return r;
	n = get_le(p, 4);
	if (n < 3 || n > SPOOL_ITEM_MAX)
		return SPOOL_IO;
	if ((r = bytes_at(s, off, PREFIX + n, &p)) != SPOOL_OK)
		return r;
	out->cookie_len = get_le(p + PREFIX + 1, 2);
	if (out->cookie_len > n - 3)
		return SPOOL_IO;
	/* Our own memory needs no check; a file may have been torn. */
	if (s->fd != -1 && get_le(p + 4, 4) != crc32c(0, p + PREFIX, n))
		return SPOOL_IO;
	out->kind = p[PREFIX];
	out->cookie = (const char *)p + PREFIX + 3;
	out->bytes = p + PREFIX + 3 + out->cookie_len;
	out->len = n - 3 - out->cookie_len;
	out->next = off + PREFIX + n;
	return SPOOL_OK;
}

void
spool_release(struct spool *s, uint64_t off)
{
	if (off <= s->released || off > s->end)
		return;
	s->released = off;
	if (s->fd == -1)
		return;
	write_released(s);
	if (s->released - s->base >= COMPACT_AT)
		compact(s); /* if it fails the file only stays longer */
}
