/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/logline.h"
#include "collector/store/outcomes.h"

/* An entry: u64 position, u32 bits, u32 crc32c of both; little endian as in memory of the
 * machines we run on, guarded by the CRC elsewhere.  Bits above OUTCOME_UNKNOWN are ours:
 *	MARK	everything below the position is decided and in the files
 *	HOLE	decisions from the position to the next MARK were lost
 * A file is called <first position, 16 hex>.out and read in order of its name. */
#define MARK       0x80000000u
#define HOLE       0x40000000u
#define ENTRY      16u
#define FILE_BYTES (1u << 20)
#define BUFFER_MAX (1u << 20) /* entries kept while the disk refuses */

struct entry {
	uint64_t pos;
	uint32_t bits, crc;
};

struct outcomes {
	char dir[4000];
	int dir_fd;
	/* the fold's */
	int fd; /* file being written, -1 before the first entry */
	uint64_t file_bytes;
	struct entry *buffer; /* not written yet */
	size_t n, cap;
	bool losing; /* the buffer ends in a HOLE; until it drains, entries are dropped */
	bool rewound;
	uint64_t next;
	/* shared */
	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint64_t decided;
	/* the projector's */
	int read_fd;
	uint64_t read_first; /* name of the file being read */
	uint64_t read_off;
	bool have; /* `ahead` is valid */
	struct entry ahead;
	uint64_t clear_below; /* no further entry is below this */
	uint64_t seek;
	bool hole;
	uint64_t duplicate; /* batch that is a duplicate, UINT64_MAX for none */
};

static uint32_t
entry_crc(const struct entry *e)
{
	return crc32c(0, e, offsetof(struct entry, crc));
}

static void
file_name(uint64_t first, char out[32])
{
	snprintf(out, 32, "%016" PRIx64 ".out", first);
}

/* The last file that begins at or below the bound, or else the first that begins above it.
 * False if there is none. */
static bool
find_file(const struct outcomes *o, uint64_t bound, bool last_not_above, uint64_t *first_out)
{
	int fd = dup(o->dir_fd);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;
	bool found = false;

	if (d == NULL) {
		if (fd != -1)
			close(fd);
		return false;
	}
	rewinddir(d);
	while ((e = readdir(d)) != NULL) {
		char *end;
		uint64_t first = strtoull(e->d_name, &end, 16);

		if (end != e->d_name + 16 || strcmp(end, ".out") != 0)
			continue;
		if (last_not_above ? first <= bound && (!found || first > *first_out)
				   : first > bound && (!found || first < *first_out)) {
			*first_out = first;
			found = true;
		}
	}
	closedir(d);
	return found;
}

struct outcomes *
outcomes_open(const char *dir, char *err, size_t err_size)
{
	struct outcomes *o = calloc(1, sizeof(*o));
	pthread_condattr_t attr;

	if (o == NULL)
		return NULL;
	snprintf(o->dir, sizeof(o->dir), "%s", dir);
	o->fd = o->read_fd = -1;
	o->duplicate = UINT64_MAX;
	pthread_mutex_init(&o->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&o->moved, &attr);
	pthread_condattr_destroy(&attr);
	if ((mkdir(dir, 0700) == -1 && errno != EEXIST) ||
	    (o->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1) {
		snprintf(err, err_size, "cannot open %s: %s", dir, strerror(errno));
		free(o);
		return NULL;
	}
	return o;
}

void
outcomes_close(struct outcomes *o)
{
	if (o == NULL)
		return;
	outcomes_sync(o);
	if (o->fd != -1)
		close(o->fd);
	if (o->read_fd != -1)
		close(o->read_fd);
	close(o->dir_fd);
	pthread_mutex_destroy(&o->lock);
	pthread_cond_destroy(&o->moved);
	free(o->buffer);
	free(o);
}

/* ---- writing ---- */

/* Length of the part of a file that is whole and below `from`; *covered_out is raised to
 * the last position marked as decided. */
static uint64_t
whole_part(int fd, uint64_t from, uint64_t *covered_out)
{
	struct entry e;
	uint64_t off = 0, last = 0;

	while (pread(fd, &e, ENTRY, (off_t)off) == ENTRY && e.crc == entry_crc(&e) && e.pos >= last &&
	       (e.pos < from || (e.bits == MARK && e.pos == from))) {
		last = e.pos;
		if (e.bits == MARK)
			*covered_out = e.pos;
		off += ENTRY;
	}
	return off;
}

static void
append(struct outcomes *o, uint64_t pos, uint32_t bits)
{
	struct entry e = { pos, bits, 0 };

	if (o->losing)
		return;
	if (o->n == o->cap) {
		size_t cap = o->cap == 0 ? 1024 : o->cap * 2;
		struct entry *grown = cap <= BUFFER_MAX ? realloc(o->buffer, cap * sizeof(*grown)) : NULL;

		if (grown == NULL) {
			log_warn(
				"store",
				"the disk does not take decisions about resent reports: some will be counted twice in the database");
			o->buffer[o->n - 1].bits = HOLE;
			o->buffer[o->n - 1].crc = entry_crc(&o->buffer[o->n - 1]);
			o->losing = true;
			return;
		}
		o->buffer = grown;
		o->cap = cap;
	}
	e.crc = entry_crc(&e);
	o->buffer[o->n++] = e;
}

/* The next file starts with a MARK, so that its name is the position it starts at. */
static int
open_next(struct outcomes *o, uint64_t first)
{
	char name[32];

	if (o->fd != -1) {
		if (fdatasync(o->fd) == -1)
			return -1;
		close(o->fd);
	}
	file_name(first, name);
	o->fd = openat(o->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	o->file_bytes = 0;
	return o->fd == -1 || fsync(o->dir_fd) == -1 ? -1 : 0;
}

static int
flush(struct outcomes *o)
{
	size_t bytes = o->n * ENTRY;

	if (o->n == 0)
		return 0;
	if ((o->fd == -1 || o->file_bytes >= FILE_BYTES) && open_next(o, o->buffer[0].pos) == -1)
		return -1;
	/* A torn write is written over by the next try. */
	if (pwrite(o->fd, o->buffer, bytes, (off_t)o->file_bytes) != (ssize_t)bytes)
		return -1;
	o->file_bytes += bytes;
	o->n = 0;
	return 0;
}

void
outcomes_rewind(struct outcomes *o, uint64_t from)
{
	uint64_t first, covered = 0;
	bool any = false;
	char name[32];

	while (find_file(o, from == 0 ? 0 : from - 1, false, &first)) {
		file_name(first, name);
		if (unlinkat(o->dir_fd, name, 0) == -1)
			break;
		any = true;
	}
	if (from > 0 && find_file(o, from - 1, true, &first)) {
		file_name(first, name);
		o->fd = openat(o->dir_fd, name, O_RDWR | O_CLOEXEC);
		if (o->fd != -1) {
			o->file_bytes = whole_part(o->fd, from, &covered);
			if (ftruncate(o->fd, (off_t)o->file_bytes) == -1)
				log_warn("store", "%s/%s: %s", o->dir, name, strerror(errno));
		}
		any = true;
	}
	/* What an earlier run should have left and did not is a hole, told as such. */
	if (any && covered < from)
		append(o, covered, HOLE);
	append(o, from, MARK);
	o->rewound = true;
	outcomes_decided(o, from);
}

void
outcomes_put(struct outcomes *o, uint64_t pos, uint32_t bits)
{
	append(o, pos, bits);
}

void
outcomes_decided(struct outcomes *o, uint64_t next)
{
	o->next = next;
	if (flush(o) == -1)
		return; /* what cannot be read is not decided yet */
	if (o->losing) {
		o->losing = false;
		append(o, next, MARK); /* the hole ends here */
		if (flush(o) == -1)
			return;
	}
	pthread_mutex_lock(&o->lock);
	o->decided = next;
	pthread_cond_broadcast(&o->moved);
	pthread_mutex_unlock(&o->lock);
}

int
outcomes_mark(struct outcomes *o, int *fd_out)
{
	*fd_out = -1;
	if (!o->rewound)
		return 0;
	append(o, o->next, MARK);
	outcomes_decided(o, o->next);
	if (o->n != 0)
		return -1;
	*fd_out = fcntl(o->fd, F_DUPFD_CLOEXEC, 0); /* files before this one are synced */
	return *fd_out != -1 ? 0 : -1;
}

int
outcomes_sync(struct outcomes *o)
{
	int fd, rc = outcomes_mark(o, &fd);

	if (fd == -1)
		return rc;
	rc = fdatasync(fd);
	close(fd);
	return rc;
}

/* ---- reading ---- */

int
outcomes_wait(struct outcomes *o, uint64_t next, int timeout_ms)
{
	struct timespec until;
	int ok;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&o->lock);
	while (o->decided < next)
		if (timeout_ms <= 0 || pthread_cond_timedwait(&o->moved, &o->lock, &until) != 0)
			break;
	ok = o->decided >= next;
	pthread_mutex_unlock(&o->lock);
	return ok;
}

void
outcomes_seek(struct outcomes *o, uint64_t pos)
{
	if (o->read_fd != -1)
		close(o->read_fd);
	o->read_fd = -1;
	o->have = false;
	o->clear_below = 0;
	o->seek = pos;
	o->hole = false;
	o->duplicate = UINT64_MAX;
}

static bool
read_from(struct outcomes *o, uint64_t first)
{
	char name[32];

	if (o->read_fd != -1)
		close(o->read_fd);
	file_name(first, name);
	o->read_fd = openat(o->dir_fd, name, O_RDONLY | O_CLOEXEC);
	o->read_first = first;
	o->read_off = 0;
	return o->read_fd != -1;
}

static bool
read_entry(struct outcomes *o)
{
	return pread(o->read_fd, &o->ahead, ENTRY, (off_t)o->read_off) == ENTRY && o->ahead.crc == entry_crc(&o->ahead);
}

/* Load the next entry into `ahead`.  False: there is none below what was decided before
 * the call. */
static bool
load_ahead(struct outcomes *o)
{
	uint64_t first, decided;

	pthread_mutex_lock(&o->lock);
	decided = o->decided;
	pthread_mutex_unlock(&o->lock);
	if (o->read_fd == -1) {
		if (find_file(o, o->seek, true, &first)) {
			if (!read_from(o, first))
				return false;
		} else {
			o->hole = true; /* nothing tells about the seek position */
			if (!find_file(o, o->seek, false, &first) || !read_from(o, first))
				return false;
		}
	}
	/* The writer opens a new file only after the last entry of the old one. */
	while (!read_entry(o)) {
		if (!find_file(o, o->read_first, false, &first)) {
			o->clear_below = decided;
			return false;
		}
		if (read_entry(o))
			break;
		if (!read_from(o, first))
			return false;
	}
	o->read_off += ENTRY;
	return o->have = true;
}

uint32_t
outcomes_get(struct outcomes *o, uint64_t batch_pos, uint64_t pos)
{
	uint32_t bits = 0;

	while (pos >= o->clear_below && (o->have || load_ahead(o)) && o->ahead.pos <= pos) {
		const struct entry *e = &o->ahead;

		if (e->bits & MARK)
			o->hole = false;
		else if (e->bits & HOLE)
			o->hole = true;
		else if (e->bits & OUTCOME_DUPLICATE)
			o->duplicate = e->pos;
		else if (e->pos == pos)
			bits |= e->bits;
		o->have = false;
	}
	if (o->duplicate == batch_pos)
		bits |= OUTCOME_RESENT | OUTCOME_DUPLICATE;
	return o->hole ? bits | OUTCOME_UNKNOWN : bits;
}

void
outcomes_release(struct outcomes *o, uint64_t floor)
{
	uint64_t first, next;
	char name[32];

	/* A file is done with when its successor begins at or below the floor. */
	while (find_file(o, 0, false, &first) && find_file(o, first, false, &next) && next <= floor) {
		file_name(first, name);
		if (unlinkat(o->dir_fd, name, 0) == -1)
			return;
	}
}
