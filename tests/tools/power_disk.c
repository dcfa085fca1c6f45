/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/tools/power_disk.h"

#define SECTOR 512

struct sector {
	uint64_t no;
	bool absent; /* lay behind the end of the file */
	uint8_t old[SECTOR];
};

/* A file with unsynced writes. */
struct dirty_file {
	ino_t ino;
	dev_t dev;
	int fd; /* our own */
	off_t synced_size;
	struct sector *sectors;
	size_t n, cap;
	uint8_t *map; /* a bit per sector: is it in sectors? */
	size_t map_bytes;
	struct dirty_file *next;
};

/* How to undo a change of names: unlink `now` (if created), or rename it back to `was`. */
struct name_change {
	char *now, *was;
	char *buried; /* what `now` replaced, or the unlinked file: comes back as `victim` */
	char *victim;
	struct name_change *next; /* the change before */
};

struct power_disk {
	pthread_mutex_t lock;
	char *grave;
	uint64_t random;
	uint64_t calls, cut_at, graves;
	bool off, lie;
	struct dirty_file *files;
	struct name_change *names; /* newest first */
};

static uint64_t
rnd(struct power_disk *d)
{
	uint64_t x = d->random += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* System calls, because the C library's names may be interposed by our own caller. */
static int
sys_open(const char *p, int flags, mode_t m)
{
	return (int)syscall(SYS_openat, AT_FDCWD, p, flags, m);
}
static void
sys_close(int fd)
{
	syscall(SYS_close, fd);
}
static ssize_t
sys_pread(int fd, void *b, size_t n, off_t at)
{
	return syscall(SYS_pread64, fd, b, n, at);
}
static ssize_t
sys_pwrite(int fd, const void *b, size_t n, off_t at)
{
	return syscall(SYS_pwrite64, fd, b, n, at);
}
static int
sys_rename(const char *a, const char *b)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 0);
}
static int
sys_unlink(const char *p)
{
	return (int)syscall(SYS_unlinkat, AT_FDCWD, p, 0);
}
static int
sys_truncate(int fd, off_t n)
{
	return (int)syscall(SYS_ftruncate, fd, n);
}

struct power_disk *
power_disk_new(const char *grave, uint64_t seed)
{
	struct power_disk *d = calloc(1, sizeof(*d));

	if (d == NULL || (d->grave = strdup(grave)) == NULL)
		abort();
	pthread_mutex_init(&d->lock, NULL);
	d->random = seed;
	return d;
}

static void
forget_file(struct power_disk *d, struct dirty_file **at)
{
	struct dirty_file *f = *at;

	(void)d;
	*at = f->next;
	sys_close(f->fd);
	free(f->sectors);
	free(f->map);
	free(f);
}

static void
forget_name(struct name_change **at)
{
	struct name_change *c = *at;

	*at = c->next;
	if (c->buried != NULL)
		sys_unlink(c->buried);
	free(c->now);
	free(c->was);
	free(c->buried);
	free(c->victim);
	free(c);
}

void
power_disk_free(struct power_disk *d)
{
	while (d->files != NULL)
		forget_file(d, &d->files);
	while (d->names != NULL)
		forget_name(&d->names);
	pthread_mutex_destroy(&d->lock);
	free(d->grave);
	free(d);
}

void
power_disk_lie(struct power_disk *d)
{
	d->lie = true;
}

void
power_disk_cut_after(struct power_disk *d, uint64_t n)
{
	pthread_mutex_lock(&d->lock);
	d->cut_at = d->calls + n;
	pthread_mutex_unlock(&d->lock);
}

bool
power_disk_is_off(struct power_disk *d)
{
	bool off;

	pthread_mutex_lock(&d->lock);
	off = d->off;
	pthread_mutex_unlock(&d->lock);
	return off;
}

uint64_t
power_disk_calls(struct power_disk *d)
{
	uint64_t n;

	pthread_mutex_lock(&d->lock);
	n = d->calls;
	pthread_mutex_unlock(&d->lock);
	return n;
}

/* ---- the cut ---- */

static void
tear_file(struct power_disk *d, struct dirty_file *f, unsigned keep)
{
	struct stat st;
	bool drop_size = rnd(d) % 2;
	uint8_t zero[SECTOR] = { 0 };

	if (fstat(f->fd, &st) == -1)
		return;
	if (keep == 0 || drop_size) {
		sys_truncate(f->fd, f->synced_size);
		st.st_size = f->synced_size;
	}
	for (size_t i = 0; i < f->n; i++) {
		off_t at = (off_t)f->sectors[i].no * SECTOR;
		size_t len = at + SECTOR <= st.st_size ? SECTOR : at < st.st_size ? (size_t)(st.st_size - at) : 0;

		if (len > 0 && rnd(d) % 100 >= keep &&
		    sys_pwrite(f->fd, f->sectors[i].absent ? zero : f->sectors[i].old, len, at) != (ssize_t)len)
			abort();
	}
}

static void
undo_name(const struct name_change *c)
{
	if (c->was != NULL)
		sys_rename(c->now, c->was);
	else if (c->now != NULL)
		sys_unlink(c->now);
	if (c->buried != NULL)
		sys_rename(c->buried, c->victim);
}

static void
cut(struct power_disk *d)
{
	static const unsigned keeps[] = { 0, 10, 50, 90, 99, 100 };
	const unsigned keep = keeps[rnd(d) % 6];
	struct name_change *c;
	uint64_t n = 0, undo;

	if (d->off)
		return;
	d->off = true;
	for (c = d->names; c != NULL; c = c->next)
		n++;
	undo = rnd(d) % (n + 1);
	for (struct dirty_file *f = d->files; f != NULL; f = f->next)
		tear_file(d, f, keep);
	for (c = d->names; undo > 0; c = c->next, undo--)
		undo_name(c);
	/* What was undone owns no grave any more. */
	for (c = d->names; c != NULL; c = c->next)
		if (c->buried != NULL && access(c->buried, F_OK) == -1) {
			free(c->buried);
			c->buried = NULL;
		}
}

void
power_disk_cut(struct power_disk *d)
{
	pthread_mutex_lock(&d->lock);
	cut(d);
	pthread_mutex_unlock(&d->lock);
}

/* Under the lock, before a changing call: false if the disk is off.  *dying_out: this call
 * is the one in which the power goes. */
static bool
powered(struct power_disk *d, bool *dying_out)
{
	if (!d->off)
		d->calls++;
	*dying_out = !d->off && d->cut_at != 0 && d->calls >= d->cut_at;
	errno = EIO;
	return !d->off;
}

/* ---- files ---- */

static struct dirty_file *
file_of(struct power_disk *d, int fd)
{
	struct dirty_file *f;
	char proc[64];
	struct stat st;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return NULL;
	for (f = d->files; f != NULL; f = f->next)
		if (f->ino == st.st_ino && f->dev == st.st_dev)
			return f;
	if ((f = calloc(1, sizeof(*f))) == NULL)
		abort();
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	f->ino = st.st_ino;
	f->dev = st.st_dev;
	f->synced_size = st.st_size;
	if ((f->fd = sys_open(proc, O_RDWR | O_CLOEXEC, 0)) == -1) {
		free(f);
		return NULL;
	}
	f->next = d->files;
	return d->files = f;
}

static void
remember_sector(struct dirty_file *f, uint64_t no)
{
	struct sector *s;
	ssize_t n;

	if (no / 8 >= f->map_bytes) {
		size_t bytes = (no / 8 + 1) * 2;

		if ((f->map = realloc(f->map, bytes)) == NULL)
			abort();
		memset(f->map + f->map_bytes, 0, bytes - f->map_bytes);
		f->map_bytes = bytes;
	}
	if (f->map[no / 8] & 1u << no % 8)
		return;
	f->map[no / 8] |= (uint8_t)(1u << no % 8);
	if (f->n == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 64;
		if ((f->sectors = realloc(f->sectors, f->cap * sizeof(*f->sectors))) == NULL)
			abort();
	}
	s = &f->sectors[f->n++];
	memset(s, 0, sizeof(*s));
	s->no = no;
	n = sys_pread(f->fd, s->old, SECTOR, (off_t)no * SECTOR);
	s->absent = n <= 0;
}

ssize_t
power_pwrite(struct power_disk *d, int fd, const void *buf, size_t len, off_t off)
{
	struct dirty_file *f;
	ssize_t n = -1;
	bool dying;

	pthread_mutex_lock(&d->lock);
	if (powered(d, &dying)) {
		f = file_of(d, fd);
		for (uint64_t no = (uint64_t)off / SECTOR;
		     f != NULL && len > 0 && no <= ((uint64_t)off + len - 1) / SECTOR; no++)
			remember_sector(f, no);
		n = sys_pwrite(fd, buf, len, off);
		if (dying) {
			cut(d);
			errno = EIO;
			n = -1;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return n;
}

int
power_allocate(struct power_disk *d, int fd, off_t len)
{
	bool dying;
	int rc = -1;

	pthread_mutex_lock(&d->lock);
	if (powered(d, &dying)) {
		file_of(d, fd); /* remembers the size */
		rc = (int)syscall(SYS_fallocate, fd, 0, (off_t)0, len);
		if (dying) {
			cut(d);
			errno = EIO;
			rc = -1;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static void
forget_names_in(struct power_disk *d, const char *dir)
{
	size_t len = strlen(dir);

	while (len > 1 && dir[len - 1] == '/')
		len--;
	for (struct name_change **c = &d->names; *c != NULL;) {
		const char *path = (*c)->now != NULL ? (*c)->now : (*c)->victim;

		if (strncmp(path, dir, len) == 0 && path[len] == '/' && strchr(path + len + 1, '/') == NULL)
			forget_name(c);
		else
			c = &(*c)->next;
	}
}

int
power_sync_dir(struct power_disk *d, const char *path)
{
	bool dying;
	int rc = -1;

	pthread_mutex_lock(&d->lock);
	if (powered(d, &dying)) {
		if (dying) {
			cut(d);
			errno = EIO;
		} else {
			if (!d->lie)
				forget_names_in(d, path);
			rc = 0;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

int
power_sync(struct power_disk *d, int fd)
{
	char proc[64], path[PATH_MAX];
	struct dirty_file **f;
	struct stat st;
	ssize_t n;
	bool dying;
	int rc = -1;

	if (fstat(fd, &st) == -1)
		return -1;
	if (S_ISDIR(st.st_mode)) {
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		if ((n = readlink(proc, path, sizeof(path) - 1)) == -1)
			return -1;
		path[n] = '\0';
		return power_sync_dir(d, path);
	}
	pthread_mutex_lock(&d->lock);
	if (powered(d, &dying)) {
		if (dying) {
			cut(d);
			errno = EIO;
		} else {
			for (f = &d->files; *f != NULL && ((*f)->ino != st.st_ino || (*f)->dev != st.st_dev);
			     f = &(*f)->next)
				;
			if (*f != NULL && !d->lie)
				forget_file(d, f);
			rc = 0;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

/* ---- names ---- */

static struct name_change *
change(struct power_disk *d, const char *now, const char *was)
{
	struct name_change *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->now = now ? strdup(now) : NULL;
	c->was = was ? strdup(was) : NULL;
	c->next = d->names;
	return d->names = c;
}

/* Move what is at path out of the way, to come back if c is undone. */
static int
bury(struct power_disk *d, struct name_change *c, const char *path)
{
	char grave[PATH_MAX];

	snprintf(grave, sizeof(grave), "%s/%d-%llu", d->grave, (int)getpid(), (unsigned long long)d->graves++);
	if (sys_rename(path, grave) == -1)
		return -1;
	c->buried = strdup(grave);
	c->victim = strdup(path);
	return 0;
}

int
power_open(struct power_disk *d, const char *path, int flags, mode_t mode)
{
	bool dying = false, existed;
	int fd = -1;

	if ((flags & O_ACCMODE) == O_RDONLY)
		return sys_open(path, flags, mode);
	pthread_mutex_lock(&d->lock);
	if (powered(d, &dying)) {
		existed = access(path, F_OK) == 0;
		fd = sys_open(path, flags, mode);
		if (fd != -1 && !existed)
			change(d, path, NULL);
		if (dying) {
			cut(d);
			if (fd != -1)
				sys_close(fd);
			errno = EIO;
			fd = -1;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return fd;
}

int
power_rename(struct power_disk *d, const char *from, const char *to)
{
	bool dying;
	int rc = -1;

	pthread_mutex_lock(&d->lock);
	if (powered(d, &dying)) {
		struct name_change *c = change(d, to, from);

		if (access(to, F_OK) == 0)
			bury(d, c, to);
		if ((rc = sys_rename(from, to)) == -1) {
			int e = errno;

			undo_name(&(struct name_change){ .buried = c->buried, .victim = c->victim });
			free(c->buried);
			c->buried = NULL;
			forget_name(&d->names);
			errno = e;
		}
		if (dying) {
			cut(d);
			errno = EIO;
			rc = -1;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

int
power_unlink(struct power_disk *d, const char *path)
{
	bool dying;
	int rc = -1;

	pthread_mutex_lock(&d->lock);
	if (powered(d, &dying)) {
		struct name_change *c = change(d, NULL, NULL);

		if ((rc = bury(d, c, path)) == -1) {
			int e = errno;

			forget_name(&d->names);
			errno = e;
		}
		if (dying) {
			cut(d);
			errno = EIO;
			rc = -1;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}
