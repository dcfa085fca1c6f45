/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "base/descriptors.h"
#include "base/logline.h"
#include "collector/http/http.h"
#include "collector/http/listener.h"

#define BACKLOG  1024
#define PAUSE_MS 100

struct listener {
	struct listener *next;
	struct http_server *server;
	struct evconnlistener *ev;
	struct event *again; /* accepting resumes */
	uint16_t port;
};

/* ADDR:PORT into its halves; brackets and '*' taken off. */
static int
split(const char *text, char *host, size_t host_size, const char **port_out)
{
	const char *colon = strrchr(text, ':'), *from = text, *to = colon;

	if (colon == NULL || colon[1] == '\0' || strlen(colon + 1) > 5 ||
	    colon[1 + strspn(colon + 1, "0123456789")] != '\0')
		return -1;
	if (*from == '[') {
		if (to == from + 1 || to[-1] != ']')
			return -1;
		from++;
		to--;
	} else if (memchr(from, ':', (size_t)(to - from)) != NULL) {
		return -1; /* a bare IPv6 address: whose colon is the port's? */
	}
	if ((size_t)(to - from) >= host_size)
		return -1;
	memcpy(host, from, (size_t)(to - from));
	host[to - from] = '\0';
	if (strcmp(host, "*") == 0)
		host[0] = '\0';
	*port_out = colon + 1;
	return 0;
}

static int
bind_one(const struct addrinfo *ai, bool reuse_port)
{
	static const int on = 1;
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);

	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if ((reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == -1) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == -1 || listen(fd, BACKLOG) == -1) {
		const int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int
http_bind(const char *addr_port, bool reuse_port, char *err, size_t err_size)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	char host[256];
	const char *port;
	int rc, fd = -1;

	if (split(addr_port, host, sizeof(host), &port) == -1) {
		snprintf(err, err_size, "%s is not ADDR:PORT", addr_port);
		return -1;
	}
	rc = getaddrinfo(*host != '\0' ? host : NULL, port, &hints, &list);
	if (rc != 0) {
		snprintf(err, err_size, "cannot resolve %s: %s", addr_port, gai_strerror(rc));
		return -1;
	}
	for (const struct addrinfo *ai = list; ai != NULL && fd == -1; ai = ai->ai_next)
		fd = bind_one(ai, reuse_port);
	if (fd == -1)
		snprintf(err, err_size, "cannot listen on %s: %s", addr_port, strerror(errno));
	freeaddrinfo(list);
	return fd;
}

static void
pause_accepting(struct listener *l, const char *why)
{
	static const struct timeval pause = { 0, PAUSE_MS * 1000 };

	log_warn("http", "cannot accept: %s; pausing", why);
	discard_count(DISCARD_too_many_connections);
	evconnlistener_disable(l->ev);
	event_add(l->again, &pause);
}

static void
on_accept(struct evconnlistener *ev, evutil_socket_t fd, struct sockaddr *peer, int len, void *arg)
{
	struct listener *l = arg;

	(void)ev;
	(void)len;
	if (descriptors_low(fd, DESCRIPTORS_NOT_SOCKETS)) {
		evutil_closesocket(fd);
		pause_accepting(l, "the last descriptors are for files");
		return;
	}
	server_accept(l->server, fd, peer);
}

static void
on_accept_error(struct evconnlistener *ev, void *arg)
{
	(void)ev;
	pause_accepting(arg, strerror(errno));
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(l->ev);
}

int
listener_add(struct listener **list, struct http_server *s, struct event_base *base, int fd)
{
	static const int on = 1;
	struct listener *l = calloc(1, sizeof(*l));
	struct sockaddr_in6 self;
	socklen_t len = sizeof(self);

	/* accepted sockets inherit both */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (l == NULL || evutil_make_socket_nonblocking(fd) == -1 ||
	    (l->again = event_new(base, -1, 0, on_again, l)) == NULL ||
	    (l->ev = evconnlistener_new(base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd)) ==
		    NULL) {
		if (l != NULL && l->again != NULL)
			event_free(l->again);
		free(l);
		evutil_closesocket(fd);
		return -1;
	}
	l->server = s;
	evconnlistener_set_error_cb(l->ev, on_accept_error);
	if (getsockname(fd, (struct sockaddr *)&self, &len) == 0) /* the port is at one place in v4 and v6 */
		l->port = ntohs(self.sin6_port);
	l->next = *list;
	*list = l;
	return 0;
}

void
listeners_free(struct listener *list)
{
	for (struct listener *next; list != NULL; list = next) {
		next = list->next;
		evconnlistener_free(list->ev);
		event_free(list->again);
		free(list);
	}
}

uint16_t
listener_port(const struct listener *l)
{
	return l->port;
}
