/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TOOLS_POWER_DISK_H
#define TESTS_TOOLS_POWER_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A disk whose power can be cut.  Writes go to the real files at once, so that everybody
 * reads what was written; what each 512-byte sector held before its first unsynced write
 * is remembered, and so is every create, rename and unlink since the last sync of its
 * directory.  A cut puts back what was not synced: sectors one by one at random, name
 * changes from a random one on (a file system commits those in order).  After the cut
 * every call fails with EIO.
 *
 * Any thread.  Only system calls are used: an interposed library may call this. */
struct power_disk;

/* grave: an existing directory on the same file system, for unlinked files. */
struct power_disk *power_disk_new(const char *grave, uint64_t seed);
void power_disk_free(struct power_disk *d);

/* Syncs succeed and do nothing: what a program without them, or a disk that lies, is like. */
void power_disk_lie(struct power_disk *d);

/* Cut at the n-th changing call from now (n >= 1), in the middle of it. */
void power_disk_cut_after(struct power_disk *d, uint64_t n);
void power_disk_cut(struct power_disk *d);
bool power_disk_is_off(struct power_disk *d);
uint64_t power_disk_calls(struct power_disk *d); /* changing calls so far */

int power_open(struct power_disk *d, const char *path, int flags, mode_t mode);
ssize_t power_pwrite(struct power_disk *d, int fd, const void *buf, size_t len, off_t off);
int power_allocate(struct power_disk *d, int fd, off_t len); /* fallocate(fd, 0, 0, len) */
int power_sync(struct power_disk *d, int fd);                /* of a file or a directory */
int power_sync_dir(struct power_disk *d, const char *path);
int power_rename(struct power_disk *d, const char *from, const char *to);
int power_unlink(struct power_disk *d, const char *path);

#endif
