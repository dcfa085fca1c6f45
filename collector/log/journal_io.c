/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "collector/log/journal.h"

static int
system_open(const char *path, int flags, unsigned mode)
{
	return open(path, flags | O_CLOEXEC, (mode_t)mode);
}

static int64_t
system_pwrite(int fd, const void *buf, size_t len, uint64_t off)
{
	return pwrite(fd, buf, len, (off_t)off);
}

static int
system_allocate(int fd, uint64_t len)
{
	return fallocate(fd, 0, 0, (off_t)len);
}

static int
system_sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc, e;

	if (fd == -1)
		return -1;
	rc = fsync(fd);
	e = errno;
	close(fd);
	errno = e;
	return rc;
}

static int
system_free_bytes(const char *path, uint64_t *out)
{
	struct statvfs v;

	if (statvfs(path, &v) == -1)
		return -1;
	*out = (uint64_t)v.f_bavail * v.f_frsize;
	return 0;
}

const struct journal_io journal_io_system = {
	.open = system_open,
	.close = close,
	.pwrite = system_pwrite,
	.allocate = system_allocate,
	.fdatasync = fdatasync,
	.rename = rename,
	.unlink = unlink,
	.sync_dir = system_sync_dir,
	.free_bytes = system_free_bytes,
};
