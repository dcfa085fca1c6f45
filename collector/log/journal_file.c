/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "collector/log/journal_private.h"

#define ZERO_CHUNK (1024u * 1024)

void
journal_segment_path(const struct journal *j, uint64_t first, char out[JOURNAL_PATH_MAX])
{
	snprintf(out, JOURNAL_PATH_MAX, "%s/%016" PRIx64 ".seg", j->dir, first);
}

void
journal_ready_path(const struct journal *j, uint32_t n, char out[JOURNAL_PATH_MAX])
{
	snprintf(out, JOURNAL_PATH_MAX, "%s/ready-%" PRIu32, j->dir, n);
}

void
journal_making_path(const struct journal *j, uint32_t n, char out[JOURNAL_PATH_MAX])
{
	snprintf(out, JOURNAL_PATH_MAX, "%s/making-%" PRIu32, j->dir, n);
}

int
journal_write(const struct journal *j, int fd, const void *bytes, uint64_t len, uint64_t off)
{
	const uint8_t *p = bytes;

	while (len > 0) {
		int64_t n = j->io->pwrite(fd, p, len, off);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return -1;
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* Close without losing the errno of what failed. */
static int
close_failed(const struct journal *j, int fd)
{
	int e = errno;

	j->io->close(fd);
	errno = e;
	return -1;
}

/* Zeros over the whole file, synced as it goes so that the writer's flushes do not queue
 * behind a whole segment; or, when may_stop, until there is no time for it. */
static int
fill(const struct journal *j, int fd, bool may_stop)
{
	uint8_t *zero = calloc(1, ZERO_CHUNK);
	int rc = zero != NULL ? 0 : -1;

	for (uint64_t off = 0, n; rc == 0 && off < j->segment_bytes; off += n) {
		if (may_stop && atomic_load(&j->hurry))
			break;
		n = j->segment_bytes - off < ZERO_CHUNK ? j->segment_bytes - off : ZERO_CHUNK;
		if (journal_write(j, fd, zero, n, off) == -1 || j->io->fdatasync(fd) == -1)
			rc = -1;
	}
	free(zero);
	return rc;
}

int
journal_prepare(const struct journal *j, const char *path)
{
	int fd = j->io->open(path, O_RDWR | O_CREAT, 0600);
	bool allocated;

	if (fd == -1)
		return -1;
	allocated = j->io->allocate(fd, j->segment_bytes) == 0;
	if ((!allocated && (errno == ENOSPC || errno == EDQUOT || errno == EIO)) || fill(j, fd, allocated) == -1 ||
	    j->io->fdatasync(fd) == -1)
		return close_failed(j, fd);
	return j->io->close(fd);
}

int
journal_activate(const struct journal *j, const char *path, const struct segment_header *h, int *fd_out,
		 bool *renamed_out)
{
	uint8_t header[JOURNAL_HEADER_BYTES];
	char name[JOURNAL_PATH_MAX];
	int fd = j->io->open(path, O_RDWR, 0);

	*renamed_out = false;
	if (fd == -1)
		return -1;
	segment_header_encode(h, header);
	journal_segment_path(j, h->first, name);
	/* The header is on disk before the name says that it is. */
	if (journal_write(j, fd, header, sizeof(header), 0) == -1 || j->io->fdatasync(fd) == -1 ||
	    j->io->rename(path, name) == -1)
		return close_failed(j, fd);
	*renamed_out = true;
	if (j->io->sync_dir(j->dir) == -1)
		return close_failed(j, fd);
	*fd_out = fd;
	return 0;
}

int
journal_add_segment(struct journal *j, const struct segment *s)
{
	if (j->n_segments == j->segments_cap) {
		size_t cap = j->segments_cap ? 2 * j->segments_cap : 64;
		struct segment *grown = realloc(j->segments, cap * sizeof(*grown));

		if (grown == NULL)
			return -1;
		j->segments = grown;
		j->segments_cap = cap;
	}
	j->segments[j->n_segments++] = *s;
	return 0;
}

uint64_t
journal_bytes_kept(const struct journal *j)
{
	uint64_t sum = (uint64_t)j->n_ready * j->segment_bytes;

	for (size_t i = 0; i < j->n_segments; i++)
		sum += j->segments[i].size;
	return sum;
}
