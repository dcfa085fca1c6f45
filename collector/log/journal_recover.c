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
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/logline.h"
#include "collector/log/journal_private.h"

__attribute__((format(printf, 3, 4))) static int
fail(char *err, size_t err_size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_size, fmt, ap);
	va_end(ap);
	return -1;
}

/* One opener: exclusive for a writer; readers of a stopped journal share. */
static int
take_lock(struct journal *j, char *err, size_t err_size)
{
	char path[JOURNAL_PATH_MAX];

	snprintf(path, sizeof(path), "%s/lock", j->dir);
	j->lock_fd = open(path, (j->read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC, 0600);
	if (j->lock_fd == -1) {
		if (j->read_only && (errno == ENOENT || errno == EROFS))
			return 0;
		return fail(err, err_size, "cannot open %s: %s", path, strerror(errno));
	}
	if (flock(j->lock_fd, (j->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == -1)
		return errno == EWOULDBLOCK ? fail(err, err_size, "the log in %s is in use by another process", j->dir)
					    : fail(err, err_size, "cannot lock %s: %s", path, strerror(errno));
	return 0;
}

static int
by_first(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static bool
segment_name(const char *name, uint64_t *first_out)
{
	uint8_t be[8];
	uint64_t v = 0;

	if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0 || hex_decode(name, 16, be) == -1)
		return false;
	for (int i = 0; i < 8; i++)
		v = v << 8 | be[i];
	*first_out = v;
	return true;
}

static bool
numbered(const char *name, const char *prefix, uint32_t *n_out)
{
	size_t len = strlen(prefix);
	char *end;

	if (strncmp(name, prefix, len) != 0 || name[len] < '0' || name[len] > '9')
		return false;
	*n_out = (uint32_t)strtoul(name + len, &end, 10);
	return *end == '\0';
}

/* A file kept ready by an earlier run: use it, or drop what is surplus or of another size. */
static void
found_ready(struct journal *j, const char *name, uint32_t n)
{
	char path[JOURNAL_PATH_MAX];
	struct stat st;

	if (j->read_only)
		return;
	if (n >= j->next_ready)
		j->next_ready = n + 1;
	journal_ready_path(j, n, path);
	if (j->n_ready < JOURNAL_READY && stat(path, &st) == 0 && (uint64_t)st.st_size == j->segment_bytes)
		j->ready[j->n_ready++] = n;
	else if (j->io->unlink(path) == -1)
		log_warn("log", "cannot remove %s: %s", name, strerror(errno));
}

static int
list_files(struct journal *j, char *err, size_t err_size)
{
	DIR *d = opendir(j->dir);
	struct dirent *e;
	char path[JOURNAL_PATH_MAX];
	int rc = 0;

	if (d == NULL)
		return fail(err, err_size, "cannot read %s: %s", j->dir, strerror(errno));
	while (rc == 0 && (e = readdir(d)) != NULL) {
		struct segment s = { 0 };
		uint32_t n;

		if (segment_name(e->d_name, &s.first)) {
			if (journal_add_segment(j, &s) == -1)
				rc = fail(err, err_size, "out of memory");
		} else if (numbered(e->d_name, "ready-", &n)) {
			found_ready(j, e->d_name, n);
		} else if (numbered(e->d_name, "making-", &n) && !j->read_only) {
			journal_making_path(j, n, path);
			if (j->io->unlink(path) == -1)
				log_warn("log", "cannot remove %s: %s", path, strerror(errno));
		}
	}
	closedir(d);
	if (j->n_segments > 1)
		qsort(j->segments, j->n_segments, sizeof(j->segments[0]), by_first);
	return rc;
}

static int
read_header(const struct journal *j, uint64_t first, struct segment_header *h, char *err, size_t err_size)
{
	uint8_t bytes[JOURNAL_HEADER_BYTES] = { 0 };
	char path[JOURNAL_PATH_MAX];
	struct stat st;
	enum err e;
	int fd;

	journal_segment_path(j, first, path);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 || fstat(fd, &st) == -1) {
		int errnum = errno;

		if (fd != -1)
			close(fd);
		return fail(err, err_size, "cannot open log segment %s: %s", path, strerror(errnum));
	}
	e = pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) ? segment_header_decode(bytes, h)
									 : ERR_MALFORMED;
	close(fd);
	if (e == ERR_UNSUPPORTED)
		return fail(err, err_size, "log segment %s was written by a newer version of this program", path);
	if (e != ERR_OK)
		return fail(err, err_size,
			    "log segment %s has a damaged header: restore the file from a copy, or move "
			    "the whole log away to start an empty one",
			    path);
	if (h->first != first || h->size != (uint64_t)st.st_size)
		return fail(err, err_size,
			    "log segment %s is not what its header says (a renamed or cut file): restore it "
			    "from a copy, or move the whole log away to start an empty one",
			    path);
	return 0;
}

/* Headers of all segments: one journal, none missing in between. */
static int
check_chain(struct journal *j, struct segment_header *last, char *err, size_t err_size)
{
	for (size_t i = 0; i < j->n_segments; i++) {
		struct segment *s = &j->segments[i], *prev = i > 0 ? s - 1 : NULL;
		struct segment_header h;

		if (read_header(j, s->first, &h, err, err_size) == -1)
			return -1;
		if (prev == NULL)
			j->id = h.id;
		if (memcmp(&j->id, &h.id, sizeof(h.id)) != 0)
			return fail(err, err_size, "log segments of two different logs are mixed in %s", j->dir);
		s->size = h.size;
		s->begin = h.prev_end;
		if (prev != NULL) {
			if (h.prev_first != prev->first || h.prev_used > prev->size ||
			    h.prev_used < JOURNAL_HEADER_BYTES)
				return fail(err, err_size,
					    "the log in %s has a hole: the segment before %016" PRIx64
					    ".seg is missing (%016" PRIx64 ".seg): restore it from a copy, or move the "
					    "whole log away to start an empty one",
					    j->dir, s->first, h.prev_first);
			prev->end = h.prev_end;
			prev->used = h.prev_used;
			prev->sealed_us = h.created_us;
		}
		*last = h;
	}
	return 0;
}

/* Scan the last segment, whose bytes are a private copy. */
static int
scan_last(struct journal *j, const struct segment_header *h, const uint8_t *bytes, struct segment_scan *scan, char *err,
	  size_t err_size)
{
	segment_scan(h, bytes, h->size, scan);
	if (scan->lost_below > scan->end)
		return fail(err, err_size,
			    "log segment %s/%016" PRIx64 ".seg is damaged at byte %" PRIu64 ": acknowledged "
			    "batches from position %" PRIu64 " to %" PRIu64
			    " cannot be read: restore the file from a copy, "
			    "or move the whole log away to start an empty one",
			    j->dir, h->first, scan->used, scan->end, scan->lost_below);
	return 0;
}

/* Make the tail what the scan says: write again what may be in the page cache alone (a
 * failed flush marks pages clean that never reached the disk) and zero what follows. */
static int
settle_tail(struct journal *j, uint8_t *bytes, const struct segment_scan *scan, char *err, size_t err_size)
{
	if (scan->junk_end > scan->used) {
		log_info("log",
			 "zeroed %" PRIu64 " bytes behind position %" PRIu64 ": an interrupted write, or what a "
			 "recycled file held before",
			 scan->junk_end - scan->used, scan->end);
		memset(bytes + scan->used, 0, scan->junk_end - scan->used);
	}
	if (journal_write(j, j->fd, bytes + scan->group,
			  (scan->junk_end > scan->used ? scan->junk_end : scan->used) - scan->group,
			  scan->group) == -1 ||
	    j->io->fdatasync(j->fd) == -1 || j->io->sync_dir(j->dir) == -1)
		return fail(err, err_size, "cannot write the log in %s: %s", j->dir, strerror(errno));
	return 0;
}

static int
open_last(struct journal *j, const struct segment_header *h, char *err, size_t err_size)
{
	struct segment *s = &j->segments[j->n_segments - 1];
	char path[JOURNAL_PATH_MAX];
	struct segment_scan scan;
	uint8_t *bytes;
	uint64_t got = 0;
	ssize_t n = 1;
	int rc = -1;

	journal_segment_path(j, h->first, path);
	j->fd = j->read_only ? open(path, O_RDONLY | O_CLOEXEC) : j->io->open(path, O_RDWR, 0);
	if (j->fd == -1)
		return fail(err, err_size, "cannot open log segment %s: %s", path, strerror(errno));
	bytes = mmap(NULL, h->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return fail(err, err_size, "out of memory");
	while (got < h->size && (n = pread(j->fd, bytes + got, h->size - got, (off_t)got)) > 0)
		got += (uint64_t)n;
	if (got < h->size)
		fail(err, err_size, "cannot read log segment %s: %s", path,
		     n == -1 ? strerror(errno) : "it is cut short");
	else if (scan_last(j, h, bytes, &scan, err, err_size) == 0 &&
		 (j->read_only || settle_tail(j, bytes, &scan, err, err_size) == 0))
		rc = 0;
	munmap(bytes, h->size);
	if (rc == -1)
		return -1;
	s->used = j->at = scan.used;
	s->end = j->durable = scan.end;
	j->next = journal_start_position(clock_wall_us());
	if (j->next < scan.end || j->next < h->first)
		j->next = scan.end > h->first ? scan.end : h->first;
	j->size = h->size;
	j->seed = frame_seed(&h->id, h->first);
	j->since_us = clock_boot_us();
	j->created_us = h->created_us;
	return 0;
}

/* The first segment of a new journal. */
static int
create(struct journal *j, char *err, size_t err_size)
{
	const int64_t now_us = clock_wall_us();
	const uint64_t first = journal_start_position(now_us);
	struct segment_header h = { .size = j->segment_bytes, .first = first, .prev_end = first, .created_us = now_us };
	struct segment s = {
		.first = first, .begin = first, .end = first, .used = JOURNAL_HEADER_BYTES, .size = h.size
	};
	char path[JOURNAL_PATH_MAX];
	bool renamed;

	if (j->read_only)
		return fail(err, err_size, "there is no log in %s", j->dir);
	random_bytes(j->id.uuid, sizeof(j->id.uuid));
	h.id = j->id;
	journal_making_path(j, j->next_ready++, path);
	if (journal_prepare(j, path) == -1 || journal_activate(j, path, &h, &j->fd, &renamed) == -1) {
		int e = errno;

		j->io->unlink(path);
		return fail(err, err_size, "cannot create a log in %s: %s", j->dir, strerror(e));
	}
	if (journal_add_segment(j, &s) == -1)
		return fail(err, err_size, "out of memory");
	j->at = s.used;
	j->durable = j->next = s.end;
	j->size = h.size;
	j->seed = frame_seed(&h.id, h.first);
	j->since_us = clock_boot_us();
	j->created_us = now_us;
	return 0;
}

int
journal_recover(struct journal *j, char *err, size_t err_size)
{
	struct segment_header last;

	if (take_lock(j, err, err_size) == -1 || list_files(j, err, err_size) == -1)
		return -1;
	if (j->n_segments == 0)
		return create(j, err, err_size);
	if (check_chain(j, &last, err, err_size) == -1)
		return -1;
	return open_last(j, &last, err, err_size);
}
