/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/incoming.h"

bool
incoming_open(struct incoming *f, int folder, uint64_t serial)
{
	*f = (struct incoming){ .hash = sha256_new(), .folder = folder, .fd = -1 };
	snprintf(f->name, sizeof(f->name), "%llu.part", (unsigned long long)serial);
	if (f->hash != NULL)
		f->fd = openat(folder, f->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd != -1)
		return true;
	incoming_close(f);
	return false;
}

bool
incoming_write(struct incoming *f, const void *data, size_t len, _Atomic uint64_t *bytes)
{
	const char *p = data;

	sha256_update(f->hash, data, len);
	while (len > 0) {
		ssize_t n = write(f->fd, p, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		atomic_fetch_add(bytes, (uint64_t)n);
		f->size += (uint64_t)n;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

bool
incoming_keep(struct incoming *f, int at, const char *name)
{
	return fchmod(f->fd, 0400) == 0 && fsync(f->fd) == 0 && renameat(f->folder, f->name, at, name) == 0;
}

void
incoming_discard(struct incoming *f, _Atomic uint64_t *bytes)
{
	unlinkat(f->folder, f->name, 0);
	atomic_fetch_sub(bytes, f->size);
}

void
incoming_close(struct incoming *f)
{
	sha256_drop(f->hash);
	f->hash = NULL;
	if (f->fd != -1)
		close(f->fd);
	f->fd = -1;
}

int
folder_open(int at, const char *path)
{
	if (mkdirat(at, path, 0700) == -1 && errno != EEXIST)
		return -1;
	return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

bool
folder_sync(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd == -1)
		return false;
	rc = fsync(fd);
	close(fd);
	return rc == 0;
}

void
folder_sweep(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			unlinkat(folder, e->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	else if (fd != -1)
		close(fd);
}
