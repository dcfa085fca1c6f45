/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crypto.h"
#include "collector/workers/confine.h"
#include "collector/workers/serve.h"
#include "collector/workers/zygote.h"
#include "triage/triage.h"

#define ZYGOTE_FLAG "--triage-zygote"
#define ZYGOTE_FD   3
#define MAX_WORKERS 256
#define MAX_ENV     32
#define N_FDS       3

enum order_type { ORDER_SPAWN, ORDER_KILL };
struct order { /* SPAWN comes with three descriptors: socket, shared memory, socket for images */
	uint32_t type;
	uint32_t worker;
	struct zygote_limits limits;
};
struct note { /* a worker has ended */
	uint32_t worker;
	int32_t status;
};

/* ---- the zygote's side ---- */

struct child {
	pid_t pid; /* 0: free */
	uint32_t worker;
};

struct nest {
	zygote_analyse *analyse;
	struct confine_filter *filter;
	struct child children[MAX_WORKERS];
};

bool
zygote_requested(int argc, char **argv)
{
	return argc == 2 && strcmp(argv[1], ZYGOTE_FLAG) == 0;
}

static void
tell(uint32_t worker, int status)
{
	struct note n = { worker, status };

	if (send(ZYGOTE_FD, &n, sizeof(n), MSG_NOSIGNAL) != (ssize_t)sizeof(n))
		_exit(0);
}

/* In the child: nothing but the three standard descriptors, the sockets and the memory. */
_Noreturn static void
become_worker(const struct nest *n, const struct order *o, const int fd[N_FDS])
{
	const struct confine_limits l = { .memory_bytes = o->limits.memory_bytes,
					  .image_bytes = o->limits.image_bytes,
					  .cpu_seconds = o->limits.cpu_seconds };
	sigset_t none;
	int high[N_FDS];

	prctl(PR_SET_NAME, "triage-worker");
	/* out of the way of one another first */
	for (int i = 0; i < N_FDS; i++)
		if ((high[i] = fcntl(fd[i], F_DUPFD, ZYGOTE_FD + N_FDS)) == -1)
			_exit(1);
	for (int i = 0; i < N_FDS; i++)
		if (dup2(high[i], ZYGOTE_FD + i) == -1)
			_exit(1);
	if (close_range(ZYGOTE_FD + N_FDS, ~0u, 0) == -1)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	serve(n->analyse, n->filter, &l, ZYGOTE_FD, ZYGOTE_FD + 1, ZYGOTE_FD + 2);
}

static void
spawn(struct nest *n, const struct order *o, const int fd[N_FDS])
{
	struct child *free_child = NULL;
	pid_t pid = -1;

	for (int i = 0; i < MAX_WORKERS; i++)
		if (n->children[i].pid == 0)
			free_child = &n->children[i];
	if (free_child != NULL && fd[0] != -1)
		pid = fork();
	if (pid == 0)
		become_worker(n, o, fd);
	if (pid == -1) {
		tell(o->worker, -1);
		return;
	}
	*free_child = (struct child){ pid, o->worker };
}

static void
on_order(struct nest *n)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(N_FDS * sizeof(int))];
	} control;
	struct order o;
	struct iovec iov = { &o, sizeof(o) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c;
	int fd[N_FDS] = { -1, -1, -1 };

	if (recvmsg(ZYGOTE_FD, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(o))
		_exit(0); /* the parent is gone; the workers follow */
	c = CMSG_FIRSTHDR(&msg);
	if (c != NULL && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(fd, CMSG_DATA(c), sizeof(fd));
	if (o.type == ORDER_SPAWN)
		spawn(n, &o, fd);
	else
		for (int i = 0; i < MAX_WORKERS; i++)
			if (n->children[i].pid != 0 && n->children[i].worker == o.worker)
				kill(n->children[i].pid, SIGKILL);
	for (int i = 0; i < N_FDS; i++)
		if (fd[i] != -1)
			close(fd[i]);
}

static void
on_child(struct nest *n, int sigfd)
{
	struct signalfd_siginfo drained;
	int status;
	pid_t pid;

	if (read(sigfd, &drained, sizeof(drained)) == -1)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < MAX_WORKERS; i++)
			if (n->children[i].pid == pid) {
				n->children[i].pid = 0;
				tell(n->children[i].worker, status);
				break;
			}
}

static int
compare_bytes(const void *a, const void *b)
{
	return *(const unsigned char *)a - *(const unsigned char *)b;
}

/* What libraries ask the system once and keep must be asked before the filter: qsort()
 * wants to know the memory of the machine, malloc() a random key, libcrypto and libunwind a lot. */
static void
warm_up(zygote_analyse *analyse)
{
	static unsigned char out[SERVE_SLOT_BYTES];
	unsigned char *bytes = calloc(1, 4096), hash[SHA256_BYTES];

	if (bytes != NULL)
		qsort(bytes, 4096, 1, compare_bytes);
	free(bytes);
	sha256("", 0, hash);
	triage_prepare();
	analyse("", 0, NULL, out, sizeof(out));
}

int
zygote_main(zygote_analyse *analyse)
{
	struct nest n = { .analyse = analyse };
	struct pollfd p[2] = { { .fd = ZYGOTE_FD, .events = POLLIN }, { .events = POLLIN } };
	sigset_t chld;
	int null;

	prctl(PR_SET_NAME, "triage-zygote");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* the daemon decides when we end, by closing its socket */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null != -1) {
		dup2(null, 0);
		dup2(null, 1);
		close(null);
	}
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_SETMASK, &chld, NULL);
	p[1].fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	n.filter = confine_compile();
	if (p[1].fd == -1 || n.filter == NULL) {
		fprintf(stderr, "triage workers cannot be confined: %s\n", strerror(errno));
		return 1;
	}
	warm_up(analyse);
	for (;;) {
		if (poll(p, 2, -1) == -1)
			continue;
		if (p[1].revents != 0)
			on_child(&n, p[1].fd);
		if (p[0].revents != 0)
			on_order(&n);
	}
}

/* ---- the parent's side ---- */

struct zygote {
	pid_t pid;
	int sock;
};

/* Loader and sanitizer settings pass; anything else might be a secret. */
static void
pick_environment(char **out)
{
	static const char *const prefixes[] = { "LD_", "ASAN_", "UBSAN_", "TSAN_", "TZ=" };
	size_t n = 0;

	for (char **e = environ; e != NULL && *e != NULL; e++)
		for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
			if (n < MAX_ENV - 1 && strncmp(*e, prefixes[i], strlen(prefixes[i])) == 0)
				out[n++] = *e;
	out[n] = NULL;
}

static int
execute(pid_t *pid_out, int sock)
{
	char name[] = "faultlined", flag[] = ZYGOTE_FLAG;
	char *argv[] = { name, flag, NULL }, *env[MAX_ENV];
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	pick_environment(env);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_adddup2(&fa, sock, ZYGOTE_FD);
	posix_spawn_file_actions_addclosefrom_np(&fa, ZYGOTE_FD + 1);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	rc = posix_spawn(pid_out, "/proc/self/exe", &fa, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return rc;
}

struct zygote *
zygote_start(void)
{
	struct zygote *z = calloc(1, sizeof(*z));
	int sv[2], rc;

	if (z == NULL)
		return NULL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1) {
		free(z);
		return NULL;
	}
	rc = execute(&z->pid, sv[1]);
	close(sv[1]);
	if (rc != 0) {
		close(sv[0]);
		free(z);
		errno = rc;
		return NULL;
	}
	z->sock = sv[0];
	return z;
}

void
zygote_free(struct zygote *z)
{
	if (z == NULL)
		return;
	close(z->sock);
	kill(z->pid, SIGKILL); /* its workers die with it */
	while (waitpid(z->pid, NULL, 0) == -1 && errno == EINTR)
		;
	free(z);
}

bool
zygote_alive(const struct zygote *z)
{
	struct pollfd p = { .fd = z->sock };

	return poll(&p, 1, 0) <= 0 || (p.revents & POLLHUP) == 0;
}

int
zygote_fd(const struct zygote *z)
{
	return z->sock;
}

static int
order(struct zygote *z, const struct order *o, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(N_FDS * sizeof(int))];
	} control = { 0 };
	struct order copy = *o;
	struct iovec iov = { &copy, sizeof(copy) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, n_fds * sizeof(int));
	}
	return sendmsg(z->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(copy) ? 0 : -1;
}

int
zygote_spawn(struct zygote *z, uint32_t worker, const struct zygote_limits *l, int sock, int shm, int wanted)
{
	const struct order o = { .type = ORDER_SPAWN, .worker = worker, .limits = *l };

	return order(z, &o, (const int[]){ sock, shm, wanted }, N_FDS);
}

int
zygote_kill(struct zygote *z, uint32_t worker)
{
	const struct order o = { .type = ORDER_KILL, .worker = worker };

	return order(z, &o, NULL, 0);
}

struct zygote_event
zygote_read(struct zygote *z)
{
	struct zygote_event ev = { .type = ZYGOTE_NOTHING };
	struct note n;
	ssize_t got;

	got = recv(z->sock, &n, sizeof(n), MSG_DONTWAIT);
	if (got == (ssize_t)sizeof(n))
		ev = (struct zygote_event){ ZYGOTE_EXITED, n.worker, n.status };
	else if (got != -1 || (errno != EAGAIN && errno != EINTR))
		ev.type = ZYGOTE_GONE;
	return ev;
}
