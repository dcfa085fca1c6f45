/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_SPAWN_H
#define COLLECTOR_STORE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Programs started beside a daemon whose heap may be large: the address space is
 * never copied.  Any thread; but a child asked to die with its parent dies with the
 * *thread* that started it. */

/* Who a program runs as.  Looked up once, because name services allocate. */
struct spawn_user {
	bool change; /* false: as we are */
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	int n_groups;
	char name[64];
};

/* The user PostgreSQL may run as: ourselves, or when we are root "postgres", else
 * "nobody".  -1 with a sentence in err when there is neither. */
int spawn_user_for_postgres(struct spawn_user *out, char *err, size_t err_size);

struct spawn_options {
	const char *cwd;               /* NULL: ours */
	const struct spawn_user *user; /* NULL: ourselves */
	int output;                    /* descriptor that becomes standard output and error; -1: /dev/null */
	int death_signal;              /* sent when the starting thread ends; 0: none */
};

/* Start argv[0] (a path).  The child has default signal handling, no signal blocked,
 * standard input from /dev/null and no other descriptor of ours that is close-on-exec.
 * Returns its id, or -1 with errno; a program that cannot be run exits with 127. */
pid_t spawn(char *const argv[], const struct spawn_options *o);

/* Wait for a child for at most timeout_ms (-1: for ever), or until wake_fd (-1: none) is
 * readable; may return early.  1: it ended and *status_out is set; 0: still running; -1: no
 * such child. */
int spawn_wait(pid_t pid, int timeout_ms, int wake_fd, int *status_out);

/* Can that user enter the directory? */
bool spawn_can_enter(const struct spawn_user *user, const char *dir);

#endif
