/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/client_private.h"

#define READ_ROOM (64u * 1024)

/* Wake up in ms (0: never). */
static void
alarm_in(struct faultline *f, uint64_t ms)
{
	struct itimerspec t = { .it_value = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 } };

	timerfd_settime(f->timer_fd, 0, &t, NULL);
}

static void
watch(struct faultline *f, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = f->fd };

	if (f->fd == -1 || f->watched == events)
		return;
	epoll_ctl(f->epoll_fd, f->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, f->fd, &e);
	f->watched = events;
}

int
link_open(struct faultline *f, char *err, size_t err_size)
{
	struct epoll_event e = { .events = EPOLLIN };

	f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	f->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	e.data.fd = f->timer_fd;
	if (f->epoll_fd == -1 || f->timer_fd == -1 || epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, f->timer_fd, &e) == -1) {
		snprintf(err, err_size, "cannot make a descriptor: %s", strerror(errno));
		return -1;
	}
	alarm_in(f, 1);
	return 0;
}

static void
close_socket(struct faultline *f)
{
	if (f->fd != -1)
		close(f->fd);
	f->fd = -1;
	f->watched = 0;
	f->state = LINK_DOWN;
	f->in.len = f->in.at = f->out.len = f->out.at = 0;
}

static void
free_addresses(struct faultline *f)
{
	if (f->addrs != NULL)
		freeaddrinfo(f->addrs);
	f->addrs = f->addr = NULL;
}

void
link_close(struct faultline *f)
{
	close_socket(f);
	free_addresses(f);
	if (f->timer_fd != -1)
		close(f->timer_fd);
	if (f->epoll_fd != -1)
		close(f->epoll_fd);
	f->timer_fd = f->epoll_fd = -1;
}

static uint64_t
next_random(struct faultline *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random;
}

void
link_down(struct faultline *f, const char *why)
{
	bool was_ready = f->state == LINK_READY;
	uint64_t delay = f->o.retry_min_ms;

	snprintf(f->why, sizeof(f->why), "%s", why);
	close_socket(f);
	free_addresses(f);
	answer_forget(f);
	for (unsigned i = 0; i < f->failures && delay < f->o.retry_max_ms; i++)
		delay *= 2;
	if (delay > f->o.retry_max_ms)
		delay = f->o.retry_max_ms;
	f->failures++;
	/* Half of it is chance, so that a fleet does not come back as one. */
	delay = delay / 2 + next_random(f) % (delay / 2 + 1);
	if (delay < f->retry_after_ms)
		delay = f->retry_after_ms + next_random(f) % (f->retry_after_ms / 4 + 1);
	f->retry_after_ms = 0;
	alarm_in(f, delay > 0 ? delay : 1);
	if (f->o.on.connection != NULL && (was_ready || f->failures == 1))
		f->o.on.connection(f->o.arg, 0, f->why);
}

/* ---- connecting ---- */

static int
bind_source(const struct faultline *f, int fd, int family)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *a;
	int rc;

	if (f->o.bind == NULL)
		return 0;
	if (getaddrinfo(f->o.bind, NULL, &hints, &a) != 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	rc = bind(fd, a->ai_addr, a->ai_addrlen);
	freeaddrinfo(a);
	return rc;
}

static void try_address(struct faultline *f);

static void
next_address(struct faultline *f, int error)
{
	char why[128];

	close_socket(f);
	f->addr = f->addr->ai_next;
	if (f->addr != NULL) {
		try_address(f);
		return;
	}
	snprintf(why, sizeof(why), "cannot connect: %s", strerror(error));
	link_down(f, why);
}

static void
say_hello(struct faultline *f)
{
	uint8_t body[AGENT_MAX + TOKEN_MAX + 16];
	struct wire_out o = { body, body + sizeof(body), false };
	struct hello h = { FRAME_VERSION, text_of(f->o.agent != NULL ? f->o.agent : "libfaultline/" PACKAGE_VERSION),
			   text_of(f->o.token) };

	hello_put(&o, &h);
	if (o.full) {
		link_down(f, "agent name or token is too long");
		return;
	}
	f->state = LINK_HELLO;
	f->number = 0;
	if (send_frame(f, CLIENT_HELLO, body, (size_t)(o.p - body), (struct sent){ 0 }))
		f->n_sent = 0; /* the Welcome answers it, not an Ack */
	else
		link_down(f, "out of memory");
}

static void
try_address(struct faultline *f)
{
	const struct addrinfo *a = f->addr;
	int one = 1;

	f->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd == -1 || bind_source(f, f->fd, a->ai_family) == -1) {
		next_address(f, errno);
		return;
	}
	setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(f->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (connect(f->fd, a->ai_addr, a->ai_addrlen) == -1 && errno != EINPROGRESS) {
		next_address(f, errno);
		return;
	}
	f->state = LINK_CONNECTING;
	alarm_in(f, CONNECT_MS);
	watch(f, EPOLLIN | EPOLLOUT);
}

static void
start(struct faultline *f)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	char why[160];
	int rc = getaddrinfo(f->host_name, f->port, &hints, &f->addrs);

	if (rc != 0) {
		f->addrs = NULL;
		snprintf(why, sizeof(why), "cannot find %.80s: %s", f->host_name, gai_strerror(rc));
		link_down(f, why);
		return;
	}
	f->addr = f->addrs;
	try_address(f);
}

static void
connected(struct faultline *f)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		next_address(f, error);
	else
		say_hello(f);
}

/* ---- traffic ---- */

static void
read_frames(struct faultline *f)
{
	struct text frame;
	size_t need;

	while (f->fd != -1)
		switch (frame_split(f->in.p + f->in.at, f->in.len - f->in.at, 64u << 20, &frame, &need)) {
		case FRAME_READY:
			f->in.at += need;
			answer_take(f, frame); /* may drop the buffer's content, never its memory */
			break;
		case FRAME_PARTIAL:
			if (f->in.at == f->in.len)
				f->in.at = f->in.len = 0;
			return;
		default:
			link_down(f, "the server's answer is damaged");
			return;
		}
}

static void
read_socket(struct faultline *f)
{
	ssize_t n;

	do {
		if (!buffer_room(&f->in, READ_ROOM)) {
			link_down(f, "out of memory");
			return;
		}
		n = recv(f->fd, f->in.p + f->in.len, f->in.cap - f->in.len, MSG_DONTWAIT);
		if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
			link_down(f, n == 0 ? "the server closed the connection" : strerror(errno));
			return;
		}
		if (n > 0) {
			f->in.len += (size_t)n;
			alarm_in(f, ANSWER_MS);
			read_frames(f);
		}
	} while (n > 0 && f->fd != -1);
}

static void
write_socket(struct faultline *f)
{
	while (f->fd != -1 && f->out.at < f->out.len) {
		ssize_t n = send(f->fd, f->out.p + f->out.at, f->out.len - f->out.at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n == -1) {
			/* What the server said last may tell why. */
			int error = errno;

			read_socket(f);
			if (f->fd != -1)
				link_down(f, strerror(error));
			return;
		}
		f->out.at += (size_t)n;
		if (f->out.at == f->out.len) {
			f->out.at = f->out.len = 0;
			send_fill(f);
		}
	}
}

static void
on_alarm(struct faultline *f)
{
	uint64_t fired;

	if (read(f->timer_fd, &fired, sizeof(fired)) != (ssize_t)sizeof(fired))
		return;
	if (f->state == LINK_DOWN)
		start(f);
	else if (f->state == LINK_CONNECTING)
		next_address(f, ETIMEDOUT);
	else if (f->state == LINK_HELLO || f->n_sent > 0)
		link_down(f, "the server does not answer");
}

void
link_wake(struct faultline *f)
{
	/* A ready socket is writable: epoll makes the descriptor readable at once. */
	if (f->state == LINK_READY)
		watch(f, EPOLLIN | EPOLLOUT);
}

void
faultline_process(struct faultline *f)
{
	struct epoll_event events[2];
	int n = epoll_wait(f->epoll_fd, events, 2, 0);
	bool owed;

	for (int i = 0; i < n; i++)
		if (events[i].data.fd == f->timer_fd)
			on_alarm(f);
		else if (f->state == LINK_CONNECTING && events[i].data.fd == f->fd &&
			 (events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
			connected(f);
		else if (f->state >= LINK_HELLO && events[i].data.fd == f->fd &&
			 (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
			read_socket(f);
	if (f->state < LINK_HELLO)
		return;
	owed = f->n_sent > 0;
	send_fill(f);
	if (!owed && f->n_sent > 0)
		alarm_in(f, ANSWER_MS);
	write_socket(f);
	if (f->fd != -1)
		watch(f, f->out.at < f->out.len ? EPOLLIN | EPOLLOUT : EPOLLIN);
}
