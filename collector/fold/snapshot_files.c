/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/logline.h"
#include "base/reader.h"
#include "collector/fold/snapshot_files.h"

#define SEGMENT_MAGIC  0x31534c46u /* "FLS1" */
#define MANIFEST_MAGIC 0x314d4c46u /* "FLM1" */
#define SEGMENT_HEADER 36u         /* magic, version, uuid, number, crc */
#define ENTRY_HEADER   16u         /* id, length, crc */
#define MANIFEST_MAX   (16u << 20)
#define CHUNK_MAX      (256u << 20)
#define OUT_BYTES      (1u << 20)
#define REMOVE_STEP    (4 << 20)
#define COLLECT_SLACK  (16u << 20) /* waste that is never worth a rewrite */

/* Where the newest bytes of a chunk are. */
struct where {
	uint64_t id; /* 0: empty slot */
	uint64_t segment;
	uint64_t at; /* of the bytes */
	uint32_t len, crc;
};
struct map {
	struct where *slots;
	size_t n, cap; /* cap: power of two */
};
struct segment {
	uint64_t number, bytes;
};

struct snapshot_files {
	char *dir;
	uint8_t uuid[16];
	struct map map;           /* of the newest snapshot */
	struct segment *segments; /* of it, oldest first */
	size_t n_segments;
	uint64_t next_number, position, live;
	/* being written */
	struct map pending; /* len 0: gone */
	uint64_t new_position;
	struct segment open;
	int fd;
	uint8_t *out;
	size_t n_out;
	uint64_t written; /* of the open segment, without what out holds */
	bool wedged;      /* it is unknown which manifest a crash would leave: touch nothing more */
};

/* ---- map ---- */

static struct where *
map_slot(const struct map *m, uint64_t id)
{
	size_t i = hash_mix(id) & (m->cap - 1);

	while (m->slots[i].id != 0 && m->slots[i].id != id)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

/* The slot of id, made when missing; NULL when out of memory.  Chunks that are gone stay
 * as entries of length 0 until the map is copied. */
static struct where *
map_put(struct map *m, uint64_t id)
{
	struct where *w;

	if ((m->n + 1) * 4 > m->cap * 3) {
		struct map grown = { calloc(m->cap > 0 ? m->cap * 2 : 256, sizeof(*m->slots)), m->n,
				     m->cap > 0 ? m->cap * 2 : 256 };

		if (grown.slots == NULL)
			return NULL;
		for (size_t i = 0; i < m->cap; i++)
			if (m->slots[i].id != 0)
				*map_slot(&grown, m->slots[i].id) = m->slots[i];
		free(m->slots);
		*m = grown;
	}
	w = map_slot(m, id);
	if (w->id == 0) {
		w->id = id;
		m->n++;
	}
	return w;
}

static void
map_clear(struct map *m)
{
	free(m->slots);
	*m = (struct map){ 0 };
}

/* ---- bytes ---- */

static void
put(uint8_t *p, uint64_t v, unsigned width)
{
	for (unsigned i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static bool
fail(const struct snapshot_files *f, const char *what)
{
	log_error("snapshot", "%s in %s: %s", what, f->dir, strerror(errno));
	return false;
}

static char *
path_of(const struct snapshot_files *f, uint64_t number, char *buf, size_t size)
{
	snprintf(buf, size, "%s/%016" PRIx64 ".chunks", f->dir, number);
	return buf;
}

static bool
write_full(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

static bool
read_full(int fd, uint8_t *p, size_t n, uint64_t at)
{
	while (n > 0) {
		ssize_t r = pread(fd, p, n, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		p += r;
		n -= (size_t)r;
		at += (uint64_t)r;
	}
	return true;
}

/* ---- one segment ---- */

/* Bytes to the disk as they come, never many at once: the flushes of the log, for which every
 * acknowledgement waits, would queue behind a whole segment (they stood 250 ms).  A hint only:
 * finish_segment() is what makes them durable. */
static bool
write_out(struct snapshot_files *f, const uint8_t *p, size_t n)
{
	for (size_t some; n > 0; p += some, n -= some) {
		some = n < OUT_BYTES ? n : OUT_BYTES;
		if (!write_full(f->fd, p, some))
			return fail(f, "cannot write a snapshot");
		sync_file_range(f->fd, (off_t)f->written, (off_t)some,
				SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
		f->written += some;
	}
	return true;
}

static bool
flush(struct snapshot_files *f)
{
	size_t n = f->n_out;

	f->n_out = 0;
	return write_out(f, f->out, n);
}

static bool
append(struct snapshot_files *f, const void *bytes, size_t len)
{
	if (f->n_out + len > OUT_BYTES && !flush(f))
		return false;
	f->open.bytes += len;
	if (len > OUT_BYTES)
		return write_out(f, bytes, len);
	memcpy(f->out + f->n_out, bytes, len);
	f->n_out += len;
	return true;
}

static bool
segment_create(struct snapshot_files *f)
{
	uint8_t head[SEGMENT_HEADER];
	char path[4096];

	f->open = (struct segment){ f->next_number++, 0 };
	f->n_out = 0;
	f->written = 0;
	f->fd = open(path_of(f, f->open.number, path, sizeof(path)), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (f->fd < 0)
		return fail(f, "cannot create a snapshot segment");
	put(head, SEGMENT_MAGIC, 4);
	put(head + 4, LEDGER_SNAPSHOT_VERSION, 4);
	memcpy(head + 8, f->uuid, 16);
	put(head + 24, f->open.number, 8);
	put(head + 32, crc32c(0, head, 32), 4);
	return append(f, head, sizeof(head));
}

bool
snapshot_files_begin(struct snapshot_files *f, uint64_t position)
{
	f->new_position = position;
	return !f->wedged && segment_create(f);
}

static bool
put_chunk(struct snapshot_files *f, struct map *m, uint64_t chunk, const void *bytes, size_t len)
{
	struct where *w = map_put(m, chunk);
	uint8_t head[ENTRY_HEADER];
	uint32_t crc;

	if (w == NULL || len > CHUNK_MAX)
		return false;
	put(head, chunk, 8);
	put(head + 8, len, 4);
	crc = crc32c(crc32c(0, head, 12), bytes, len);
	put(head + 12, crc, 4);
	*w = (struct where){ chunk, f->open.number, f->open.bytes + ENTRY_HEADER, (uint32_t)len, crc };
	return append(f, head, sizeof(head)) && (len == 0 || append(f, bytes, len));
}

bool
snapshot_files_put(struct snapshot_files *f, uint64_t chunk, const void *bytes, size_t len)
{
	return put_chunk(f, &f->pending, chunk, bytes, len);
}

/* In steps: a file system that tells the disk what is free does so while the file goes, and nothing
 * is flushed meanwhile (0.4 ms a MiB where it was measured). */
static void
segment_remove(const struct snapshot_files *f, uint64_t number)
{
	char path[4096];
	int fd = open(path_of(f, number, path, sizeof(path)), O_WRONLY | O_CLOEXEC);
	struct stat st;

	if (fd >= 0) {
		if (fstat(fd, &st) == 0)
			while (st.st_size > REMOVE_STEP && ftruncate(fd, st.st_size - REMOVE_STEP) == 0)
				st.st_size -= REMOVE_STEP;
		close(fd);
	}
	unlink(path);
}

void
snapshot_files_abandon(struct snapshot_files *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	f->n_out = 0;
	if (!f->wedged)
		segment_remove(f, f->open.number);
	map_clear(&f->pending);
}

/* ---- the manifest ---- */

static bool
sync_dir(const struct snapshot_files *f)
{
	int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool
write_manifest(struct snapshot_files *f, uint64_t position, const struct segment *v, size_t n)
{
	size_t len = 36 + n * 16 + 4;
	uint8_t *b = malloc(len);
	char temp[4096], path[4096];
	bool ok;
	int fd;

	if (b == NULL)
		return false;
	put(b, MANIFEST_MAGIC, 4);
	put(b + 4, LEDGER_SNAPSHOT_VERSION, 4);
	memcpy(b + 8, f->uuid, 16);
	put(b + 24, position, 8);
	put(b + 32, n, 4);
	for (size_t i = 0; i < n; i++) {
		put(b + 36 + i * 16, v[i].number, 8);
		put(b + 44 + i * 16, v[i].bytes, 8);
	}
	put(b + len - 4, crc32c(0, b, len - 4), 4);
	snprintf(temp, sizeof(temp), "%s/MANIFEST.new", f->dir);
	snprintf(path, sizeof(path), "%s/MANIFEST", f->dir);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ok = fd >= 0 && write_full(fd, b, len) && fdatasync(fd) == 0;
	if (fd >= 0)
		close(fd);
	free(b);
	/* the segment's name must be durable before the manifest names it */
	ok = ok && sync_dir(f) && rename(temp, path) == 0;
	if (ok && !sync_dir(f)) {
		f->wedged = true;
		ok = false;
	}
	return ok || fail(f, "cannot replace MANIFEST");
}

static bool
finish_segment(struct snapshot_files *f)
{
	bool ok = flush(f) && (fdatasync(f->fd) == 0 || fail(f, "cannot sync a snapshot"));

	close(f->fd);
	f->fd = -1;
	return ok;
}

bool
snapshot_files_commit(struct snapshot_files *f)
{
	struct segment *v = realloc(f->segments, (f->n_segments + 1) * sizeof(*v));

	if (v == NULL)
		return false;
	f->segments = v;
	v[f->n_segments] = f->open;
	/* room first: once the manifest stands nothing may fail */
	for (size_t i = 0; i < f->pending.cap; i++)
		if (f->pending.slots[i].id != 0 && map_put(&f->map, f->pending.slots[i].id) == NULL)
			return false;
	if (!finish_segment(f))
		return false;
	v[f->n_segments] = f->open;
	if (!write_manifest(f, f->new_position, v, f->n_segments + 1))
		return false;
	f->n_segments++;
	f->position = f->new_position;
	for (size_t i = 0; i < f->pending.cap; i++) {
		const struct where *w = &f->pending.slots[i];
		struct where *old;

		if (w->id == 0)
			continue;
		old = map_slot(&f->map, w->id);
		f->live += w->len;
		f->live -= old->len;
		*old = *w;
	}
	map_clear(&f->pending);
	return true;
}

/* ---- collecting ---- */

static bool
copy_live(struct snapshot_files *f, struct map *m)
{
	uint8_t *buf = NULL;
	size_t cap = 0;
	bool ok = true;

	for (size_t s = 0; ok && s < f->n_segments; s++) {
		char path[4096];
		int fd = open(path_of(f, f->segments[s].number, path, sizeof(path)), O_RDONLY | O_CLOEXEC);

		ok = fd >= 0;
		for (size_t i = 0; ok && i < f->map.cap; i++) {
			const struct where *w = &f->map.slots[i];

			if (w->len == 0 || w->segment != f->segments[s].number)
				continue;
			if (w->len > cap) {
				free(buf);
				cap = w->len * 2ul;
				buf = malloc(cap);
			}
			ok = buf != NULL && read_full(fd, buf, w->len, w->at) && put_chunk(f, m, w->id, buf, w->len);
		}
		if (fd >= 0)
			close(fd);
	}
	free(buf);
	return ok;
}

void
snapshot_files_collect(struct snapshot_files *f)
{
	struct map m = { 0 };
	struct segment *v;
	uint64_t total = 0;

	for (size_t i = 0; i < f->n_segments; i++)
		total += f->segments[i].bytes;
	if (total < 2 * f->live + COLLECT_SLACK && f->n_segments < 1000)
		return;
	v = malloc(sizeof(*v));
	if (v == NULL || !segment_create(f) || !copy_live(f, &m) || !finish_segment(f)) {
		log_warn("snapshot", "old segments could not be collected; tried again after the next snapshot");
		goto fail;
	}
	*v = f->open;
	if (!write_manifest(f, f->position, v, 1))
		goto fail;
	for (size_t i = 0; i < f->n_segments; i++)
		segment_remove(f, f->segments[i].number);
	free(f->segments);
	f->segments = v;
	f->n_segments = 1;
	map_clear(&f->map);
	f->map = m;
	return;
fail:
	free(v);
	map_clear(&m);
	snapshot_files_abandon(f);
}

/* ---- opening ---- */

static enum snapshot_found damaged(char *err, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static enum snapshot_found
damaged(char *err, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, size, fmt, ap);
	va_end(ap);
	return SNAPSHOT_DAMAGED;
}

static uint8_t *
read_file(const char *path, size_t max, size_t *len_out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *b = NULL;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && st.st_size >= 0 && (uint64_t)st.st_size <= max) {
		*len_out = (size_t)st.st_size;
		b = malloc(*len_out + 1);
		if (b != NULL && !read_full(fd, b, *len_out, 0)) {
			free(b);
			b = NULL;
		}
	}
	close(fd);
	return b;
}

static enum snapshot_found
parse_manifest(struct snapshot_files *f, const uint8_t *b, size_t len, char *err, size_t err_size)
{
	const uint8_t *uuid;
	struct reader r;
	uint32_t version;
	size_t n;

	reader_init(&r, b, len, false);
	if (reader_u32(&r) != MANIFEST_MAGIC)
		return damaged(err, err_size, "%s/MANIFEST is no snapshot manifest", f->dir);
	version = reader_u32(&r);
	if (!reader_failed(&r) && version > LEDGER_SNAPSHOT_VERSION) {
		snprintf(err, err_size, "%s was written by a newer version (format %u, this one reads %u)", f->dir,
			 version, LEDGER_SNAPSHOT_VERSION);
		return SNAPSHOT_NEWER;
	}
	uuid = reader_bytes(&r, 16);
	f->position = reader_u64(&r);
	n = reader_count(&r, reader_u32(&r), 16, MANIFEST_MAX / 16);
	if (reader_failed(&r) || n == 0 || len != 36 + n * 16 + 4)
		return damaged(err, err_size, "%s/MANIFEST is cut short", f->dir);
	f->segments = calloc(n, sizeof(*f->segments));
	if (f->segments == NULL)
		return damaged(err, err_size, "out of memory");
	f->n_segments = n;
	for (size_t i = 0; i < n; i++) {
		f->segments[i].number = reader_u64(&r);
		f->segments[i].bytes = reader_u64(&r);
		if (f->segments[i].number >= f->next_number)
			f->next_number = f->segments[i].number + 1;
	}
	if (reader_u32(&r) != crc32c(0, b, len - 4))
		return damaged(err, err_size, "%s/MANIFEST is damaged", f->dir);
	if (memcmp(uuid, f->uuid, 16) != 0)
		return damaged(err, err_size, "%s belongs to another log", f->dir);
	return SNAPSHOT_LOADED;
}

/* Enter every chunk of a segment into the map; later segments win. */
static bool
scan_segment(struct snapshot_files *f, const struct segment *s)
{
	char path[4096];
	int fd = open(path_of(f, s->number, path, sizeof(path)), O_RDONLY | O_CLOEXEC);
	uint64_t at = SEGMENT_HEADER;
	uint8_t head[SEGMENT_HEADER];
	bool ok = fd >= 0 && read_full(fd, head, sizeof(head), 0);
	struct reader r;
	uint32_t version;

	reader_init(&r, head, sizeof(head), false);
	ok = ok && reader_u32(&r) == SEGMENT_MAGIC;
	version = reader_u32(&r);
	ok = ok && version >= LEDGER_SNAPSHOT_OLDEST && version <= LEDGER_SNAPSHOT_VERSION &&
	     memcmp(reader_bytes(&r, 16), f->uuid, 16) == 0 && reader_u64(&r) == s->number &&
	     reader_u32(&r) == crc32c(0, head, 32);
	while (ok && at < s->bytes) {
		struct where *w;
		uint64_t id;
		uint32_t len, crc;

		ok = read_full(fd, head, ENTRY_HEADER, at);
		reader_init(&r, head, ENTRY_HEADER, false);
		id = reader_u64(&r);
		len = reader_u32(&r);
		crc = reader_u32(&r);
		ok = ok && id != 0 && len <= CHUNK_MAX && at + ENTRY_HEADER + len <= s->bytes;
		if (!ok || (w = map_put(&f->map, id)) == NULL)
			break;
		f->live += len;
		f->live -= w->len;
		*w = (struct where){ id, s->number, at + ENTRY_HEADER, len, crc };
		at += ENTRY_HEADER + len;
	}
	if (fd >= 0)
		close(fd);
	return ok && at == s->bytes;
}

static int
by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct where *)a)->id, y = ((const struct where *)b)->id;

	return (x > y) - (x < y);
}

static bool
load_chunk(struct snapshot_files *f, const struct where *w, struct ledger *l, uint64_t *open_number, int *fd)
{
	uint8_t *b = malloc(w->len), head[12];
	char path[4096];
	bool ok;

	if (*fd < 0 || *open_number != w->segment) {
		if (*fd >= 0)
			close(*fd);
		*fd = open(path_of(f, w->segment, path, sizeof(path)), O_RDONLY | O_CLOEXEC);
		*open_number = w->segment;
	}
	put(head, w->id, 8);
	put(head + 8, w->len, 4);
	ok = b != NULL && *fd >= 0 && read_full(*fd, b, w->len, w->at) &&
	     crc32c(crc32c(0, head, 12), b, w->len) == w->crc && ledger_load_chunk(l, w->id, b, w->len) == ERR_OK;
	free(b);
	return ok;
}

static bool
load_ledger(struct snapshot_files *f, struct ledger *l)
{
	struct where *v = calloc(f->map.n + 1, sizeof(*v));
	uint64_t number = 0;
	size_t n = 0;
	bool ok = v != NULL;
	int fd = -1;

	for (size_t i = 0; ok && i < f->map.cap; i++)
		if (f->map.slots[i].len > 0)
			v[n++] = f->map.slots[i];
	if (n > 1)
		qsort(v, n, sizeof(*v), by_id);
	for (size_t i = 0; ok && i < n; i++)
		ok = load_chunk(f, &v[i], l, &number, &fd);
	if (fd >= 0)
		close(fd);
	free(v);
	return ok && ledger_load_end(l) == ERR_OK && ledger_position(l) == f->position;
}

static enum snapshot_found
load(struct snapshot_files *f, struct ledger *l, char *err, size_t err_size)
{
	enum snapshot_found found;
	char path[4096];
	uint8_t *b;
	size_t len;

	snprintf(path, sizeof(path), "%s/MANIFEST", f->dir);
	b = read_file(path, MANIFEST_MAX, &len);
	if (b == NULL)
		return errno == ENOENT ? SNAPSHOT_NONE
				       : damaged(err, err_size, "%s cannot be read: %s", path, strerror(errno));
	found = parse_manifest(f, b, len, err, err_size);
	free(b);
	for (size_t i = 0; found == SNAPSHOT_LOADED && i < f->n_segments; i++)
		if (!scan_segment(f, &f->segments[i]))
			found = damaged(err, err_size, "snapshot segment %s is damaged or missing",
					path_of(f, f->segments[i].number, path, sizeof(path)));
	if (found == SNAPSHOT_LOADED && !load_ledger(f, l))
		found = damaged(err, err_size, "a chunk of the snapshot in %s is damaged", f->dir);
	return found;
}

/* Segments that no manifest names are left by a crash.  Their numbers are not used again. */
static void
find_strays(struct snapshot_files *f, bool remove)
{
	DIR *d = opendir(f->dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		uint64_t number;
		bool named = false;
		char rest[8];

		if (strlen(e->d_name) != 23 || sscanf(e->d_name, "%16" SCNx64 "%7s", &number, rest) != 2 ||
		    strcmp(rest, ".chunks") != 0)
			continue;
		for (size_t i = 0; i < f->n_segments; i++)
			named |= f->segments[i].number == number;
		if (number >= f->next_number)
			f->next_number = number + 1;
		if (!named && remove)
			segment_remove(f, number);
	}
	if (d != NULL)
		closedir(d);
}

enum snapshot_found
snapshot_files_open(const char *dir, const uint8_t uuid[16], struct ledger *l, struct snapshot_files **out, char *err,
		    size_t err_size)
{
	struct snapshot_files *f = calloc(1, sizeof(*f));
	enum snapshot_found found = SNAPSHOT_NONE;

	*out = NULL;
	if (f != NULL) {
		f->dir = strdup(dir);
		f->out = malloc(OUT_BYTES);
		f->fd = -1;
		f->next_number = 1;
		memcpy(f->uuid, uuid, 16);
	}
	if (f == NULL || f->dir == NULL || f->out == NULL) {
		snprintf(err, err_size, "out of memory");
		if (f != NULL)
			snapshot_files_close(f);
		return SNAPSHOT_NONE;
	}
	found = load(f, l, err, err_size);
	if (found == SNAPSHOT_NEWER) {
		snapshot_files_close(f);
		return found;
	}
	if (found != SNAPSHOT_LOADED) {
		free(f->segments);
		f->segments = NULL;
		f->n_segments = 0;
		f->live = 0;
		map_clear(&f->map);
	}
	find_strays(f, found == SNAPSHOT_LOADED);
	*out = f;
	return found;
}

void
snapshot_files_close(struct snapshot_files *f)
{
	if (f->fd >= 0)
		snapshot_files_abandon(f);
	map_clear(&f->map);
	map_clear(&f->pending);
	free(f->segments);
	free(f->out);
	free(f->dir);
	free(f);
}
