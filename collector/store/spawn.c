/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector/store/spawn.h"

int
spawn_user_for_postgres(struct spawn_user *out, char *err, size_t err_size)
{
	static const char *const candidates[] = { "postgres", "nobody" };

	memset(out, 0, sizeof(*out));
	if (geteuid() != 0)
		return 0;
	for (size_t i = 0; i < 2; i++) {
		struct passwd pw, *found = NULL;
		char buf[4096];

		if (getpwnam_r(candidates[i], &pw, buf, sizeof(buf), &found) != 0 || found == NULL || pw.pw_uid == 0)
			continue;
		out->change = true;
		out->uid = pw.pw_uid;
		out->gid = pw.pw_gid;
		out->n_groups = (int)(sizeof(out->groups) / sizeof(out->groups[0]));
		if (getgrouplist(candidates[i], pw.pw_gid, out->groups, &out->n_groups) == -1) {
			out->groups[0] = pw.pw_gid;
			out->n_groups = 1;
		}
		snprintf(out->name, sizeof(out->name), "%s", candidates[i]);
		return 0;
	}
	snprintf(err, err_size,
		 "PostgreSQL refuses to run as root and there is neither a user \"postgres\" nor \"nobody\"");
	return -1;
}

/* In the child, which shares our memory: only system calls, and the raw ones for
 * identity, because the library's would change every thread of the daemon. */
static int
become(const struct spawn_user *u)
{
	if (u == NULL || !u->change)
		return 0;
	if (syscall(SYS_setgroups, (long)u->n_groups, u->groups) == -1 ||
	    syscall(SYS_setresgid, (long)u->gid, (long)u->gid, (long)u->gid) == -1 ||
	    syscall(SYS_setresuid, (long)u->uid, (long)u->uid, (long)u->uid) == -1)
		return -1;
	return 0;
}

struct child {
	char *const *argv;
	const struct spawn_options *o;
	pid_t parent;
	int null_fd;
};

static _Noreturn void
run_child(const struct child *c)
{
	int out = c->o->output != -1 ? c->o->output : c->null_fd;
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		sigaction(s, &dfl, NULL);
	if (become(c->o->user) == -1 || (c->o->cwd != NULL && chdir(c->o->cwd) == -1) || dup2(c->null_fd, 0) == -1 ||
	    dup2(out, 1) == -1 || dup2(out, 2) == -1)
		_exit(126);
	/* After the change of identity, which clears it. */
	if (c->o->death_signal != 0 && (prctl(PR_SET_PDEATHSIG, c->o->death_signal) == -1 || getppid() != c->parent))
		_exit(126);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (c->argv[0] == NULL) /* spawn_can_enter() */
		_exit(0);
	setsid(); /* a terminal's Ctrl-C is the daemon's to pass on */
	execv(c->argv[0], c->argv);
	_exit(127);
}

pid_t
spawn(char *const argv[], const struct spawn_options *o)
{
	struct child c = { argv, o, getpid(), open("/dev/null", O_RDWR | O_CLOEXEC) };
	sigset_t all, before;
	pid_t pid;
	int saved;

	if (c.null_fd == -1)
		return -1;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* no handler may run in the shared memory */
	pid = vfork();
	if (pid == 0)
		run_child(&c);
	saved = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(c.null_fd);
	errno = saved;
	return pid;
}

int
spawn_wait(pid_t pid, int timeout_ms, int wake_fd, int *status_out)
{
	struct pollfd p[2] = { { -1, POLLIN, 0 }, { wake_fd, POLLIN, 0 } };
	pid_t got = waitpid(pid, status_out, WNOHANG);

	if (got != 0)
		return got == pid ? 1 : -1;
	p[0].fd = (int)syscall(SYS_pidfd_open, (long)pid, 0L);
	if (p[0].fd == -1 && (timeout_ms < 0 || timeout_ms > 100))
		timeout_ms = 100; /* an old kernel: the caller's loop polls */
	poll(p, 2, timeout_ms);
	if (p[0].fd != -1)
		close(p[0].fd);
	got = waitpid(pid, status_out, WNOHANG);
	return got == pid ? 1 : got == 0 ? 0 : -1;
}

bool
spawn_can_enter(const struct spawn_user *user, const char *dir)
{
	char *const nothing[] = { NULL };
	struct spawn_options o = { .cwd = dir, .user = user, .output = -1 };
	pid_t pid = spawn(nothing, &o);
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
