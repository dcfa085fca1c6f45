/* SPDX-License-Identifier: Apache-2.0 */
/* powercut.so: cut the power of one program's disk.
 *
 *	LD_PRELOAD=powercut.so FAULTLINE_POWER_DIR=DIR faultlined ...
 *
 * What the program writes below DIR (an existing directory) goes to disk at once, and is
 * remembered until it syncs it.  On SIGUSR2 the power goes: what was not synced is put
 * back or torn (tests/tools/power_disk.h) and the program ends as if by SIGKILL, status 137.
 *
 *	FAULTLINE_POWER_CUT_AFTER=N	the power goes in the N-th changing call
 *	FAULTLINE_POWER_LIE=1		syncs do nothing: a build without them
 *	FAULTLINE_POWER_SEED=N		another choice of what is torn
 *	FAULTLINE_POWER_PROGRAM=NAME	whose disk it is (faultlined); other programs that the
 *					variables reach are left alone, as are children
 *
 * Seen: open, openat, write, pwrite, fallocate, fsync, fdatasync, rename, unlink.  Not seen, and so
 * taken as synced: vectored writes, mappings, truncation, copies in the kernel. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/tools/power_disk.h"

#define EXPORT  __attribute__((visibility("default")))
#define MAX_FDS 65536
#define KILLED  137

static _Atomic(struct power_disk *) disk;
static char root[PATH_MAX];
static atomic_bool tracked[MAX_FDS];
static sem_t power_switch;

static _Noreturn void
die(void)
{
	for (;;)
		syscall(SYS_exit_group, KILLED);
}

/* After each call: it may have been the one. */
static void
die_if_off(struct power_disk *d)
{
	if (power_disk_is_off(d))
		die();
}

static void
on_signal(int sig)
{
	(void)sig;
	sem_post(&power_switch);
}

static void *
wait_for_switch(void *arg)
{
	while (sem_wait(&power_switch) == -1)
		;
	power_disk_cut(arg);
	die();
}

/* A child is another program: it must neither cut nor remember. */
static void
in_child(void)
{
	atomic_store(&disk, NULL);
}

static uint64_t
number_from(const char *name, uint64_t preset)
{
	const char *v = getenv(name);

	return v != NULL && *v != '\0' ? strtoull(v, NULL, 10) : preset;
}

__attribute__((constructor)) static void
power_on(void)
{
	const char *dir = getenv("FAULTLINE_POWER_DIR"), *program = getenv("FAULTLINE_POWER_PROGRAM");
	struct sigaction on = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	char grave[PATH_MAX + 8];
	struct power_disk *d;
	pthread_t thread;
	sigset_t all, old;

	if (dir == NULL || strcmp(program_invocation_short_name, program ? program : "faultlined") != 0)
		return;
	if (realpath(dir, root) == NULL) {
		fprintf(stderr, "powercut: FAULTLINE_POWER_DIR=%s: %s\n", dir, strerror(errno));
		die();
	}
	snprintf(grave, sizeof(grave), "%s.grave", root);
	mkdir(grave, 0700);
	d = power_disk_new(grave, number_from("FAULTLINE_POWER_SEED", 1));
	if (number_from("FAULTLINE_POWER_LIE", 0))
		power_disk_lie(d);
	if (number_from("FAULTLINE_POWER_CUT_AFTER", 0))
		power_disk_cut_after(d, number_from("FAULTLINE_POWER_CUT_AFTER", 0));
	unsetenv("FAULTLINE_POWER_DIR");
	unsetenv("LD_PRELOAD");
	sem_init(&power_switch, 0, 0);
	pthread_atfork(NULL, NULL, in_child);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&thread, NULL, wait_for_switch, d) != 0)
		die();
	pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	sigaction(SIGUSR2, &on, NULL);
	atomic_store(&disk, d);
}

/* The absolute path without links in its directory, if that is root or below; else NULL. */
static const char *
below_root(int dirfd, const char *path, char buf[PATH_MAX])
{
	const size_t n = strlen(root);
	const char *name = strrchr(path, '/');
	char parent[PATH_MAX];
	int len;

	if (path[0] == '/' || dirfd == AT_FDCWD)
		len = snprintf(parent, sizeof(parent), "%.*s", name ? (int)(name - path) + 1 : 1, name ? path : ".");
	else
		len = snprintf(parent, sizeof(parent), "/proc/self/fd/%d/%.*s", dirfd, name ? (int)(name - path) : 0,
			       path);
	name = name ? name + 1 : path;
	if (len >= (int)sizeof(parent) || realpath(parent, buf) == NULL || strncmp(buf, root, n) != 0 ||
	    (buf[n] != '/' && buf[n] != '\0') || strlen(buf) + strlen(name) + 2 > PATH_MAX)
		return NULL;
	strcat(buf, "/");
	return strcat(buf, name);
}

static int
do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	struct power_disk *d = atomic_load(&disk);
	const char *abs;
	char buf[PATH_MAX];
	int fd;

	if (d == NULL || (flags & O_ACCMODE) == O_RDONLY || (abs = below_root(dirfd, path, buf)) == NULL)
		return (int)syscall(SYS_openat, dirfd, path, flags, mode);
	fd = power_open(d, abs, flags, mode);
	die_if_off(d);
	if (fd >= 0 && fd < MAX_FDS)
		atomic_store(&tracked[fd], true);
	return fd;
}

#define MODE_OF(flags, mode)                             \
	do {                                             \
		if ((flags) & (O_CREAT | __O_TMPFILE)) { \
			va_list ap_;                     \
			va_start(ap_, flags);            \
			mode = va_arg(ap_, mode_t);      \
			va_end(ap_);                     \
		}                                        \
	} while (0)

EXPORT int
open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_OF(flags, mode);
	return do_open(AT_FDCWD, path, flags, mode);
}

EXPORT int
open64(const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_OF(flags, mode);
	return do_open(AT_FDCWD, path, flags, mode);
}

EXPORT int
openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_OF(flags, mode);
	return do_open(dirfd, path, flags, mode);
}

EXPORT int
openat64(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_OF(flags, mode);
	return do_open(dirfd, path, flags, mode);
}

/* The disk, if fd was opened for writing below root. */
static struct power_disk *
disk_of(int fd)
{
	return fd >= 0 && fd < MAX_FDS && atomic_load(&tracked[fd]) ? atomic_load(&disk) : NULL;
}

EXPORT int
close(int fd)
{
	if (fd >= 0 && fd < MAX_FDS)
		atomic_store(&tracked[fd], false);
	return (int)syscall(SYS_close, fd);
}

EXPORT ssize_t
pwrite64(int fd, const void *buf, size_t len, off64_t off)
{
	struct power_disk *d = disk_of(fd);
	ssize_t n;

	if (d == NULL)
		return syscall(SYS_pwrite64, fd, buf, len, off);
	n = power_pwrite(d, fd, buf, len, off);
	die_if_off(d);
	return n;
}

EXPORT ssize_t
pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return pwrite64(fd, buf, len, off);
}

EXPORT int
fallocate64(int fd, int mode, off64_t off, off64_t len)
{
	struct power_disk *d = disk_of(fd);
	int rc;

	if (d == NULL || mode != 0 || off != 0)
		return (int)syscall(SYS_fallocate, fd, mode, off, len);
	rc = power_allocate(d, fd, len);
	die_if_off(d);
	return rc;
}

EXPORT int
fallocate(int fd, int mode, off_t off, off_t len)
{
	return fallocate64(fd, mode, off, len);
}

EXPORT ssize_t
write(int fd, const void *buf, size_t len)
{
	struct power_disk *d = disk_of(fd);
	off_t at;
	ssize_t n;

	if (d == NULL || (at = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR)) == -1)
		return syscall(SYS_write, fd, buf, len);
	n = power_pwrite(d, fd, buf, len, at);
	die_if_off(d);
	if (n > 0)
		lseek(fd, at + n, SEEK_SET);
	return n;
}

static int
do_sync(int fd, long call)
{
	struct power_disk *d = atomic_load(&disk);
	char proc[64], path[PATH_MAX];
	const size_t len = strlen(root);
	ssize_t n;
	int rc;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (d == NULL || (n = readlink(proc, path, sizeof(path) - 1)) == -1)
		return (int)syscall(call, fd);
	path[n] = '\0';
	if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return (int)syscall(call, fd);
	rc = power_sync(d, fd);
	die_if_off(d);
	return rc;
}

EXPORT int
fsync(int fd)
{
	return do_sync(fd, SYS_fsync);
}

EXPORT int
fdatasync(int fd)
{
	return do_sync(fd, SYS_fdatasync);
}

EXPORT int
rename(const char *from, const char *to)
{
	struct power_disk *d = atomic_load(&disk);
	char a[PATH_MAX], b[PATH_MAX];
	int rc;

	if (d == NULL || below_root(AT_FDCWD, from, a) == NULL || below_root(AT_FDCWD, to, b) == NULL)
		return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
	rc = power_rename(d, a, b);
	die_if_off(d);
	return rc;
}

EXPORT int
unlink(const char *path)
{
	struct power_disk *d = atomic_load(&disk);
	char buf[PATH_MAX];
	int rc;

	if (d == NULL || below_root(AT_FDCWD, path, buf) == NULL)
		return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	rc = power_unlink(d, buf);
	die_if_off(d);
	return rc;
}
