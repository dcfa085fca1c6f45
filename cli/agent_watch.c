/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "cli/agent.h"

/* What was handled is remembered by a hash of name, time and size, appended to one file:
 * the folders themselves are not ours to write to.  A report is queued before its file is
 * remembered: a kill in between sends it twice rather than never. */

static uint64_t
hash_of(const char *path, const struct stat *st)
{
	uint64_t h = hash64(0, path, strlen(path));

	h = hash_mix(h ^ (uint64_t)st->st_mtim.tv_sec) ^ (uint64_t)st->st_mtim.tv_nsec;
	return hash_mix(h ^ (uint64_t)st->st_size);
}

static bool
was_seen(const struct agent *a, uint64_t h)
{
	for (size_t i = 0; i < a->n_seen; i++)
		if (a->seen[i] == h)
			return true;
	return false;
}

static bool
keep_seen(struct agent *a, uint64_t h)
{
	if (a->n_seen == a->cap_seen) {
		size_t cap = a->cap_seen == 0 ? 64 : a->cap_seen * 2;
		uint64_t *p = realloc(a->seen, cap * sizeof(*p));

		if (p == NULL)
			return false;
		a->seen = p;
		a->cap_seen = cap;
	}
	a->seen[a->n_seen++] = h;
	return true;
}

static void
remember(struct agent *a, uint64_t h)
{
	if (!keep_seen(a, h))
		return;
	if (write(a->seen_fd, &h, sizeof(h)) != (ssize_t)sizeof(h) || fdatasync(a->seen_fd) == -1)
		agent_say(a, "cannot remember what was handled: %s", strerror(errno));
}

static void
handle(struct agent *a, const char *folder, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	uint64_t h;
	bool ours;

	if (name[0] == '.' || snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path) ||
	    lstat(path, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return;
	h = hash_of(path, &st);
	if (was_seen(a, h) || !agent_record(a, folder, name, &ours))
		return;
	remember(a, h);
	agent_say(a, ours ? "%s: reported" : "%s: not a crash, left alone", path);
}

void
agent_watch_scan(struct agent *a)
{
	for (unsigned i = 0; i < a->n_watch; i++) {
		DIR *d = opendir(a->watch[i]);
		struct dirent *e;

		while (d != NULL && (e = readdir(d)) != NULL)
			handle(a, a->watch[i], e->d_name);
		if (d != NULL)
			closedir(d);
	}
}

void
agent_watch_ready(struct agent *a)
{
	_Alignas(struct inotify_event) char buf[8192];
	ssize_t n = read(a->inotify_fd, buf, sizeof(buf));

	for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
		const struct inotify_event *e = (const struct inotify_event *)(buf + at);

		at += (ssize_t)(sizeof(*e) + e->len);
		if ((e->mask & IN_Q_OVERFLOW) != 0)
			agent_watch_scan(a);
		for (unsigned i = 0; e->len > 0 && i < a->n_watch; i++)
			if (a->watch_fd[i] == e->wd)
				handle(a, a->watch[i], e->name);
	}
}

static int
load_seen(struct agent *a, char *err, size_t err_size)
{
	char *path = NULL;
	uint64_t h;

	if (asprintf(&path, "%s/seen", a->state_dir) == -1) {
		snprintf(err, err_size, "out of memory");
		return -1;
	}
	a->seen_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (a->seen_fd == -1)
		snprintf(err, err_size, "cannot open %s: %s", path, strerror(errno));
	while (a->seen_fd != -1 && read(a->seen_fd, &h, sizeof(h)) == (ssize_t)sizeof(h))
		if (!keep_seen(a, h))
			break;
	free(path);
	return a->seen_fd == -1 ? -1 : 0;
}

int
agent_watch_open(struct agent *a, char *err, size_t err_size)
{
	if (a->n_watch == 0)
		return 0;
	a->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	for (unsigned i = 0; i < a->n_watch; i++) {
		a->watch_fd[i] = inotify_add_watch(a->inotify_fd, a->watch[i], IN_CLOSE_WRITE | IN_MOVED_TO);
		if (a->watch_fd[i] == -1) {
			snprintf(err, err_size, "cannot watch %s: %s", a->watch[i], strerror(errno));
			return -1;
		}
	}
	return load_seen(a, err, err_size);
}

void
agent_watch_close(struct agent *a)
{
	if (a->inotify_fd != -1)
		close(a->inotify_fd);
	if (a->seen_fd != -1)
		close(a->seen_fd);
	free(a->seen);
	a->inotify_fd = a->seen_fd = -1;
	a->seen = NULL;
}
