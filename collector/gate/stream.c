/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/descriptors.h"
#include "base/logline.h"
#include "base/settings.h"
#include "collector/gate/stream.h"
#include "collector/gate/stream_conn.h"
#include "collector/listen.h"

#define TICK_MS      250
#define BACKLOG      4096
#define ACCEPT_BURST 256 /* connections accepted before others are served */

static uint64_t
setting(const struct stream *s, size_t offset)
{
	const struct settings *set = s->env->settings(s->env->arg);
	uint64_t v;

	memcpy(&v, (const char *)set + offset, sizeof(v));
	return v;
}
#define SETTING_OF(s, field) setting((s), offsetof(struct settings, field))

/* ---- connections ---- */

void
conn_set_state(struct conn *c, enum conn_state next, uint64_t timeout_ms)
{
	struct stream *s = c->stream;

	TAILQ_REMOVE(&s->list[c->state], c, entry);
	s->count[c->state]--;
	c->state = next;
	c->deadline_us = clock_boot_us() + (int64_t)timeout_ms * 1000;
	TAILQ_INSERT_TAIL(&s->list[next], c, entry);
	s->count[next]++;
}

void
conn_pause(struct conn *c, enum conn_pause why)
{
	struct stream *s = c->stream;

	if (c->pause == 0)
		event_del(&c->read_ev);
	c->pause |= (uint8_t)why;
	if (!c->listed) {
		TAILQ_INSERT_TAIL(&s->paused, c, waiting);
		c->listed = true;
	}
}

void
conn_resume(struct conn *c, enum conn_pause why)
{
	c->pause &= (uint8_t)~why;
}

void
conn_mark_due(struct conn *c)
{
	if (c->due)
		return;
	c->due = true;
	TAILQ_INSERT_TAIL(&c->stream->due, c, turn);
}

void
conn_kill(struct conn *c)
{
	struct stream *s = c->stream;

	if (c->state == CONN_DEAD)
		return;
	event_del(&c->read_ev);
	event_del(&c->write_ev);
	close(c->fd);
	c->fd = -1;
	conn_drop_held(c);
	conn_drop_upload(c);
	free(c->out);
	c->out = NULL;
	c->out_len = c->out_at = c->out_cap = 0;
	if (c->listed)
		TAILQ_REMOVE(&s->paused, c, waiting);
	c->listed = false;
	conn_set_state(c, CONN_DEAD, 0);
	counter_sub(COUNTER_connections_stream, 1);
}

void
conn_finish(struct conn *c, enum discard code, const char *what, uint32_t retry_ms)
{
	if (c->state >= CONN_CLOSING)
		return;
	if (code != DISCARD_none)
		discard_count(code);
	c->nack = code;
	c->nack_what = what;
	c->retry_ms = retry_ms;
	conn_pause(c, PAUSE_END);
	conn_drop_held(c);
	conn_set_state(c, CONN_CLOSING, c->stream->draining ? LINGER_MS : SETTING_OF(c->stream, request_timeout));
	conn_mark_due(c);
}

static void
conn_free(struct conn *c)
{
	struct stream *s = c->stream;

	TAILQ_REMOVE(&s->list[CONN_DEAD], c, entry);
	s->count[CONN_DEAD]--;
	if (c->due)
		TAILQ_REMOVE(&s->due, c, turn);
	free(c->site);
	free(c->asked);
	free(c);
}

void
conn_adopt(struct stream *s, int fd, const struct sockaddr_storage *peer, socklen_t peer_len)
{
	struct conn *c = calloc(1, sizeof(*c));
	int one = 1;

	if (c == NULL) {
		close(fd);
		discard_count(DISCARD_too_many_connections);
		return;
	}
	/* An ack is small and somebody waits for it. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->stream = s;
	c->fd = fd;
	memcpy(&c->peer, peer, peer_len < sizeof(c->peer) ? peer_len : sizeof(c->peer));
	c->site_version = UINT64_MAX;
	c->halted_version = UINT64_MAX;
	c->state = CONN_HELLO;
	event_assign(&c->read_ev, s->gate->base, fd, EV_READ | EV_PERSIST, conn_readable, c);
	event_assign(&c->write_ev, s->gate->base, fd, EV_WRITE | EV_PERSIST, conn_writable, c);
	TAILQ_INSERT_TAIL(&s->list[CONN_HELLO], c, entry);
	s->count[CONN_HELLO]++;
	conn_set_state(c, CONN_HELLO, SETTING_OF(s, header_timeout));
	event_add(&c->read_ev, NULL);
	counter_add(COUNTER_stream_connections, 1);
	counter_add(COUNTER_connections_stream, 1);
}

size_t
stream_connections(const struct stream *s)
{
	size_t n = 0;

	for (int i = 0; i < CONN_DEAD; i++)
		n += s->count[i];
	return n;
}

/* ---- accepting ---- */

static void
on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)what;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t len = sizeof(peer);
		int fd = accept4(listen_fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd == -1 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd == -1 || descriptors_low(fd, DESCRIPTORS_NOT_SOCKETS)) {
			/* Out of descriptors or memory: a ready listener would spin, the tick tries again. */
			if (fd != -1 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
				log_warn("stream", "cannot accept: %s",
					 fd != -1 ? "the last descriptors are for files" : strerror(errno));
				discard_count(DISCARD_too_many_connections);
				event_del(s->accept_ev);
				s->accept_paused = true;
			}
			if (fd != -1)
				close(fd);
			return;
		}
		if (stream_connections(s) >= SETTING_OF(s, max_connections)) {
			discard_count(DISCARD_too_many_connections);
			close(fd);
			continue;
		}
		conn_adopt(s, fd, &peer, len);
	}
}

static int
open_listener(struct stream *s, const char *addr, char *err, size_t err_size)
{
	struct sockaddr_storage ss;
	socklen_t len, bound_len = sizeof(ss);
	int one = 1;

	if (listen_parse("stream-listen", addr, &ss, &len, err, err_size) == -1)
		return -1;
	s->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd == -1)
		goto fail;
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* Several gates share the port; one alone keeps it for itself, so that a second daemon is told. */
	if (SETTING_OF(s, gate_threads) > 1)
		setsockopt(s->fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(s->fd, (struct sockaddr *)&ss, len) == -1 || listen(s->fd, BACKLOG) == -1 ||
	    getsockname(s->fd, (struct sockaddr *)&ss, &bound_len) == -1)
		goto fail;
	s->port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
						 : ((struct sockaddr_in *)&ss)->sin_port);
	return 0;
fail:
	snprintf(err, err_size, "stream-listen: cannot listen on %s: %s", addr, strerror(errno));
	return -1;
}

/* ---- time ---- */

static void
expire(struct stream *s, enum conn_state state, enum discard code, const char *what)
{
	struct conn *c, *next;
	int64_t now = clock_boot_us();

	for (c = TAILQ_FIRST(&s->list[state]); c != NULL && c->deadline_us <= now; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->in_flight > 0) /* we are the slow one */
			conn_set_state(c, state, 1000);
		else
			conn_finish(c, code, what, 0);
	}
}

static void
expire_ending(struct stream *s)
{
	struct conn *c, *next;
	int64_t now = clock_boot_us();

	for (c = TAILQ_FIRST(&s->list[CONN_LINGER]); c != NULL && c->deadline_us <= now; c = next) {
		next = TAILQ_NEXT(c, entry);
		conn_kill(c);
	}
	for (c = TAILQ_FIRST(&s->list[CONN_CLOSING]); c != NULL && c->deadline_us <= now; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->in_flight > 0) {
			conn_set_state(c, CONN_CLOSING, 1000);
			continue;
		}
		discard_count(DISCARD_slow_reader);
		conn_kill(c);
	}
}

/* Peers that do not read what they are told. */
static void
cut_slow_readers(struct stream *s)
{
	int64_t limit_us = (int64_t)SETTING_OF(s, request_timeout) * 1000, now = clock_boot_us();
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->paused); c != NULL; c = next) {
		next = TAILQ_NEXT(c, waiting);
		if (c->stuck_us != 0 && now - c->stuck_us > limit_us) {
			discard_count(DISCARD_slow_reader);
			conn_kill(c);
		}
	}
}

static void
tell_halted(struct stream *s)
{
	const struct text *ids;
	struct conn *c, *next;
	uint64_t version = 0;

	s->env->halted(s->env->arg, &ids, &version);
	if (version == s->halted_version)
		return;
	s->halted_version = version;
	for (int i = CONN_OPEN; i <= CONN_PARTIAL; i++)
		for (c = TAILQ_FIRST(&s->list[i]); c != NULL; c = next) {
			next = TAILQ_NEXT(c, entry);
			conn_push_halted(c);
		}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	(void)what;
	if (s->accept_paused && !s->draining) {
		event_add(s->accept_ev, NULL);
		s->accept_paused = false;
	}
	expire(s, CONN_HELLO, DISCARD_header_timeout, "no hello in time");
	expire(s, CONN_PARTIAL, DISCARD_request_timeout, "the frame did not end in time");
	expire(s, CONN_OPEN, DISCARD_idle_timeout, NULL);
	expire_ending(s);
	cut_slow_readers(s);
	tell_halted(s);
}

/* ---- the loop turn ---- */

static void
resume_paused(struct stream *s)
{
	bool ready = intake_ready(s->gate->intake);
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->paused); c != NULL; c = next) {
		next = TAILQ_NEXT(c, waiting);
		if ((c->pause & PAUSE_BUSY) != 0 && ready)
			conn_resume(c, PAUSE_BUSY);
		if (c->pause != 0)
			continue;
		TAILQ_REMOVE(&s->paused, c, waiting);
		c->listed = false;
		event_add(&c->read_ev, NULL);
		conn_take_held(c);
		ready = intake_ready(s->gate->intake);
	}
}

void
stream_reap(struct stream *s)
{
	const struct identity *id = s->env->identity(s->env->arg);
	struct conn *c;

	if (id != s->identity) {
		s->identity = id;
		s->identity_version++;
	}
	while ((c = TAILQ_FIRST(&s->due)) != NULL) {
		TAILQ_REMOVE(&s->due, c, turn);
		c->due = false;
		conn_answer(c);
	}
	resume_paused(s);
	for (c = TAILQ_FIRST(&s->list[CONN_DEAD]); c != NULL;) {
		struct conn *next = TAILQ_NEXT(c, entry);

		if (c->in_flight == 0)
			conn_free(c);
		c = next;
	}
	if (s->frames > 0)
		counter_add(COUNTER_stream_frames, s->frames);
	s->frames = 0;
}

/* ---- lifetime ---- */

static void
on_dumps(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	(void)what;
	dumps_dispatch(s->dumps_reply);
}

static int
add_events(struct stream *s)
{
	const struct timeval tick = { 0, TICK_MS * 1000 };
	struct event_base *base = s->gate->base;

	s->accept_ev = event_new(base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
	s->tick_ev = event_new(base, -1, EV_PERSIST, on_tick, s);
	s->dumps_ev = event_new(base, mailbox_fd(s->dumps_reply), EV_READ | EV_PERSIST, on_dumps, s);
	if (s->accept_ev == NULL || s->tick_ev == NULL || s->dumps_ev == NULL)
		return -1;
	return event_add(s->accept_ev, NULL) | event_add(s->tick_ev, &tick) | event_add(s->dumps_ev, NULL);
}

struct stream *
stream_new(struct gate *gate, const char *listen_addr, char *err, size_t err_size)
{
	struct stream *s = calloc(1, sizeof(*s));
	const struct text *ids;

	snprintf(err, err_size, "stream-listen: out of memory");
	if (s == NULL)
		return NULL;
	s->gate = gate;
	s->env = gate->env;
	s->fd = -1;
	s->max_frame = (uint32_t)SETTING_OF(s, max_frame);
	s->cache_seed = random_u64();
	s->identity = s->env->identity(s->env->arg);
	s->env->halted(s->env->arg, &ids, &s->halted_version);
	for (int i = 0; i < CONN_N_STATES; i++)
		TAILQ_INIT(&s->list[i]);
	TAILQ_INIT(&s->paused);
	TAILQ_INIT(&s->due);
	s->chunk = malloc(CHUNK);
	s->dumps_reply = mailbox_new();
	if (s->chunk == NULL || s->dumps_reply == NULL || open_listener(s, listen_addr, err, err_size) == -1)
		goto fail;
	if (add_events(s) != 0) {
		snprintf(err, err_size, "stream-listen: the event loop takes no more events");
		goto fail;
	}
	return s;
fail:
	stream_free(s);
	return NULL;
}

uint16_t
stream_port(const struct stream *s)
{
	return s->port;
}

void
stream_drain(struct stream *s)
{
	struct conn *c;

	if (s->draining)
		return;
	s->draining = true;
	event_del(s->accept_ev);
	close(s->fd);
	s->fd = -1;
	for (int i = 0; i < CONN_CLOSING; i++)
		while ((c = TAILQ_FIRST(&s->list[i])) != NULL)
			/* spread the fleet's return over the interval after next */
			conn_finish(c, DISCARD_draining, NULL, RETRY_MS + (uint32_t)(random_u64() % RETRY_MS));
}

bool
stream_drained(const struct stream *s)
{
	return stream_connections(s) == 0 && s->uploads == 0;
}

void
stream_free(struct stream *s)
{
	struct conn *c;
	struct frame_group *g;

	if (s == NULL)
		return;
	for (int i = 0; i < CONN_DEAD; i++)
		while ((c = TAILQ_FIRST(&s->list[i])) != NULL)
			conn_kill(c);
	while ((c = TAILQ_FIRST(&s->list[CONN_DEAD])) != NULL) {
		while ((g = c->first) != NULL) {
			c->first = g->next;
			group_free(s, g);
		}
		conn_free(c);
	}
	while ((g = s->free_groups) != NULL) {
		s->free_groups = g->next;
		free(g->refused);
		free(g->wanted);
		free(g);
	}
	if (s->accept_ev != NULL)
		event_free(s->accept_ev);
	if (s->tick_ev != NULL)
		event_free(s->tick_ev);
	if (s->dumps_ev != NULL)
		event_free(s->dumps_ev);
	if (s->fd != -1)
		close(s->fd);
	mailbox_free(s->dumps_reply);
	free(s->chunk);
	free(s->scratch);
	free(s);
}
