/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/unit/power_io.h"

static struct power_disk *disk;
static _Atomic uint64_t room = UINT64_MAX;

void
power_io_use(struct power_disk *d)
{
	disk = d;
}

void
power_io_set_free(uint64_t bytes)
{
	atomic_store(&room, bytes);
}

static int
io_open(const char *path, int flags, unsigned mode)
{
	return power_open(disk, path, flags | O_CLOEXEC, (mode_t)mode);
}
static int64_t
io_pwrite(int fd, const void *b, size_t n, uint64_t at)
{
	return power_pwrite(disk, fd, b, n, (off_t)at);
}
static int
io_allocate(int fd, uint64_t len)
{
	return power_allocate(disk, fd, (off_t)len);
}
static int
io_fdatasync(int fd)
{
	return power_sync(disk, fd);
}
static int
io_rename(const char *from, const char *to)
{
	return power_rename(disk, from, to);
}
static int
io_unlink(const char *path)
{
	return power_unlink(disk, path);
}
static int
io_sync_dir(const char *path)
{
	return power_sync_dir(disk, path);
}

static int
io_free_bytes(const char *path, uint64_t *out)
{
	(void)path;
	*out = atomic_load(&room);
	return 0;
}

const struct journal_io journal_io_power = {
	.open = io_open,
	.close = close,
	.pwrite = io_pwrite,
	.allocate = io_allocate,
	.fdatasync = io_fdatasync,
	.rename = io_rename,
	.unlink = io_unlink,
	.sync_dir = io_sync_dir,
	.free_bytes = io_free_bytes,
};
