/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/clock.h"
#include "collector/http/conn.h"
#include "collector/http/listener.h"

#define LINGER_MS   5000
#define PUMP_BUDGET 64 /* steps a connection may take before others get their turn */

static int64_t
now_ms(void)
{
	return clock_boot_us() / 1000;
}

/* ---- connection lifetime ---- */

void
http_conn_set_state(struct http_conn *c, enum conn_state next)
{
	struct http_server *s = c->server;

	TAILQ_REMOVE(&s->list[c->state], c, entry);
	s->count[c->state]--;
	c->state = next;
	TAILQ_INSERT_TAIL(&s->list[next], c, entry);
	s->count[next]++;
}

void
conn_deadline(struct http_conn *c, uint64_t ms)
{
	c->deadline_ms = c->server->now_ms + (int64_t)ms;
}

void
http_conn_kill(struct http_conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	http_conn_set_state(c, CONN_DEAD);
	event_active(c->server->turn, 0, 0);
}

void
conn_wake(struct http_conn *c)
{
	if (c->is_ready || c->state == CONN_DEAD)
		return;
	c->is_ready = true;
	TAILQ_INSERT_TAIL(&c->server->ready, c, ready);
	c->server->n_ready++;
	event_active(c->server->turn, 0, 0);
}

void
conn_release_request(struct http_conn *c, enum http_end how)
{
	struct request *r = c->req;

	if (r == NULL)
		return;
	c->req = NULL;
	if (r->begun && r->route->ops->end != NULL)
		r->route->ops->end(&r->pub, how);
	request_free(c->server, r);
}

/* Everything queued was taken by the peer's kernel. */
static void
conn_flushed(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct evbuffer *in = bufferevent_get_input(c->bev);

	if (!c->closing && !s->draining) {
		http_conn_set_state(c, CONN_IDLE);
		conn_deadline(c, s->options.idle_timeout_ms);
		if (!c->pumping && (c->eof || evbuffer_get_length(in) > 0))
			conn_wake(c);
		return;
	}
	if (c->eof || c->fd == -1 || (!c->linger && evbuffer_get_length(in) == 0)) {
		http_conn_kill(c);
		return;
	}
	/* Closing with unread input would reset the connection and could take the answer with it. */
	shutdown(c->fd, SHUT_WR);
	evbuffer_drain(in, evbuffer_get_length(in));
	http_conn_set_state(c, CONN_LINGER);
	conn_deadline(c, LINGER_MS);
}

void
conn_answered(struct http_conn *c)
{
	conn_release_request(c, HTTP_END_ANSWERED);
	if (c->state == CONN_DEAD)
		return;
	if (conn_queued(c) == 0) {
		conn_flushed(c);
		return;
	}
	http_conn_set_state(c, CONN_FLUSH);
	conn_deadline(c, c->server->options.request_timeout_ms);
}

/* ---- protocol: one function per state, each "true = call me again" ---- */

static struct evbuffer_iovec
input_front(struct http_conn *c)
{
	struct evbuffer_iovec v = { 0 };

	if (evbuffer_peek(bufferevent_get_input(c->bev), -1, NULL, &v, 1) < 1)
		v.iov_len = 0;
	return v;
}

static void
input_drain(struct http_conn *c, size_t n)
{
	evbuffer_drain(bufferevent_get_input(c->bev), n);
}

static bool
state_idle(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct evbuffer_iovec v;

	for (;;) {
		const char *p;
		size_t blank = 0;

		v = input_front(c);
		for (p = v.iov_base; blank < v.iov_len && (p[blank] == '\r' || p[blank] == '\n');)
			blank++; /* empty lines between requests are tolerated */
		if (blank == 0)
			break;
		input_drain(c, blank);
	}
	if (v.iov_len == 0) {
		if (c->eof)
			http_conn_kill(c);
		return false;
	}
	if ((c->req = request_new(s, c)) == NULL) {
		http_conn_kill(c);
		return false;
	}
	http_conn_set_state(c, CONN_HEAD);
	conn_deadline(c, s->options.header_timeout_ms);
	return true;
}

static enum discard
start_decoder(struct http_server *s, struct request *r)
{
	const char *encoding = r->has_body ? http_header(&r->pub, "content-encoding") : NULL;
	enum http_encoding e;

	if (encoding == NULL || *encoding == '\0' || strcasecmp(encoding, "identity") == 0)
		return DISCARD_none;
	if (strcasecmp(encoding, "gzip") == 0 || strcasecmp(encoding, "x-gzip") == 0)
		e = HTTP_ENCODING_GZIP;
	else if (strcasecmp(encoding, "zstd") == 0)
		e = HTTP_ENCODING_ZSTD;
	else
		return DISCARD_unsupported_encoding;
	r->decoder = http_decoder_new(&s->decoders, e);
	return r->decoder != NULL ? DISCARD_none : DISCARD_log_busy;
}

/* Headers are read: route, check what can be checked before the body, hand over. */
static void
begin_request(struct http_conn *c, struct request *r)
{
	struct http_server *s = c->server;
	enum discard why = request_route(s, r);
	char stranger[64];

	if (why == DISCARD_none && s->draining)
		why = DISCARD_draining;
	if (why == DISCARD_none && r->route->token && http_tokens_configured(&r->pub) && !http_authenticated(&r->pub))
		why = DISCARD_unauthorized;
	if (why == DISCARD_none && request_stranger(r, stranger, sizeof(stranger))) {
		http_refuse(&r->pub, DISCARD_invalid_field, stranger, "there is no such query parameter here");
		return;
	}
	if (why == DISCARD_none)
		why = start_decoder(s, r);
	if (why != DISCARD_none) {
		http_refuse(&r->pub, why, NULL, NULL);
		return;
	}
	r->begun = true;
	http_conn_set_state(c, CONN_BODY);
	conn_deadline(c, s->options.request_timeout_ms);
	if (r->route->ops->begin != NULL)
		r->route->ops->begin(&r->pub);
	if (c->req != r || c->state == CONN_DEAD || r->streaming)
		return;
	if (!r->chunked && r->left > r->max_raw) {
		conn_refuse(c, DISCARD_body_too_large);
		return;
	}
	if (r->expect && r->has_body && evbuffer_get_length(bufferevent_get_input(c->bev)) == 0) {
		static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
		struct iovec v = { (void *)(uintptr_t)go_on, sizeof(go_on) - 1 };

		conn_write(c, &v, 1);
	}
}

static bool
state_head(struct http_conn *c)
{
	struct evbuffer_iovec v = input_front(c);
	struct request *r = c->req;
	enum head_result result;
	enum discard why;
	size_t used = 0;

	if (v.iov_len == 0) {
		if (c->eof) {
			discard_count(DISCARD_malformed_http);
			http_conn_kill(c);
		}
		return false;
	}
	result = request_scan(r, v.iov_base, v.iov_len, c->server->options.max_header, &used, &why);
	if (result == HEAD_REFUSED) {
		conn_refuse(c, why);
		return true;
	}
	input_drain(c, used);
	if (result == HEAD_MORE)
		return true;
	if ((why = request_parse(r)) != DISCARD_none)
		conn_refuse(c, why);
	else
		begin_request(c, r);
	return true;
}

/* Hand one piece to the handler; the request may be over afterwards. */
static void
give(struct http_conn *c, struct request *r, const void *data, size_t len)
{
	r->pub.body_bytes += len;
	if (r->pub.body_bytes > r->max_body) {
		conn_refuse(c, r->decoder != NULL ? DISCARD_bomb : DISCARD_body_too_large);
	} else if (len > 0 && r->route->ops->body != NULL) {
		r->route->ops->body(&r->pub, data, len);
	}
}

static enum discard
bad_encoding(const struct request *r)
{
	return http_decoder_encoding(r->decoder) == HTTP_ENCODING_GZIP ? DISCARD_bad_gzip : DISCARD_bad_zstd;
}

/* Body bytes at the front of the input go to the handler. */
static bool
deliver(struct http_conn *c, struct request *r)
{
	struct evbuffer_iovec v = input_front(c);
	const void *data = v.iov_base;
	size_t n = v.iov_len < r->avail ? v.iov_len : r->avail, used, made;

	if (n > HTTP_PIECE)
		n = HTTP_PIECE;
	used = made = n;
	if (r->decoder != NULL) {
		if (http_decoder_run(r->decoder, v.iov_base, n, &used, c->server->scratch, HTTP_PIECE, &made) ==
		    DECODE_BAD) {
			conn_refuse(c, bad_encoding(r));
			return true;
		}
		data = c->server->scratch;
		r->more_output = made == HTTP_PIECE;
	}
	r->avail -= used;
	r->pub.raw_bytes += used;
	if (r->pub.raw_bytes > r->max_raw)
		conn_refuse(c, DISCARD_body_too_large);
	else
		give(c, r, data, made);
	if (c->req == r)
		input_drain(c, used);
	return true;
}

static void
finish_body(struct http_conn *c, struct request *r)
{
	if (r->decoder != NULL && r->pub.raw_bytes > 0 && !http_decoder_finished(r->decoder)) {
		conn_refuse(c, bad_encoding(r));
		return;
	}
	r->whole = true;
	http_conn_set_state(c, CONN_ANSWER);
	if (r->route->ops->complete != NULL)
		r->route->ops->complete(&r->pub);
}

/* Chunk framing up to the next body bytes. */
static bool
next_chunk(struct http_conn *c, struct request *r, const struct evbuffer_iovec *v)
{
	bool done = false;
	ssize_t used = request_dechunk(r, v->iov_base, v->iov_len, &done);

	if (used == -1) {
		conn_refuse(c, DISCARD_malformed_http);
		return true;
	}
	input_drain(c, (size_t)used);
	if (done)
		finish_body(c, r);
	return true;
}

static bool
state_body(struct http_conn *c)
{
	struct request *r = c->req;
	struct evbuffer_iovec v;

	if (r->more_output || (r->avail > 0 && evbuffer_get_length(bufferevent_get_input(c->bev)) > 0))
		return deliver(c, r);
	if (!r->chunked && r->avail == 0 && r->left == 0) {
		finish_body(c, r);
		return true;
	}
	v = input_front(c);
	if (v.iov_len == 0) {
		if (!c->eof)
			return false;
		conn_refuse(c, DISCARD_body_truncated);
		return true;
	}
	if (r->chunked)
		return next_chunk(c, r, &v);
	r->avail = r->left > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)r->left;
	r->left -= r->avail;
	return true;
}

void
conn_pump(struct http_conn *c)
{
	unsigned steps = 0;
	bool again = true;

	if (c->pumping)
		return;
	c->pumping = true;
	while (again) {
		if (++steps > PUMP_BUDGET) {
			conn_wake(c);
			break;
		}
		switch (c->state) {
		case CONN_IDLE:
			again = state_idle(c);
			break;
		case CONN_HEAD:
			again = state_head(c);
			break;
		case CONN_BODY:
			again = state_body(c);
			break;
		case CONN_LINGER:
			input_drain(c, evbuffer_get_length(bufferevent_get_input(c->bev)));
			if (c->eof)
				http_conn_kill(c);
			again = false;
			break;
		case CONN_STREAM:
			if (c->eof)
				http_conn_kill(c);
			again = false;
			break;
		case CONN_PAUSED:
		case CONN_ANSWER:
		case CONN_FLUSH:
		case CONN_DEAD:
		case CONN_N_STATES:
			again = false;
			break;
		}
	}
	c->pumping = false;
}

void
http_pause(struct http_request *pub)
{
	struct http_conn *c = request_of(pub)->conn;

	if (c->state == CONN_BODY)
		http_conn_set_state(c, CONN_PAUSED);
}

void
http_resume(struct http_request *pub)
{
	struct http_conn *c = request_of(pub)->conn;

	if (c->state != CONN_PAUSED)
		return;
	http_conn_set_state(c, CONN_BODY);
	conn_deadline(c, c->server->options.request_timeout_ms);
	conn_wake(c);
}

/* ---- libevent edge ---- */

static void
on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	conn_pump(arg);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	(void)bev;
	if (c->state == CONN_FLUSH)
		conn_flushed(c);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_conn *c = arg;

	(void)bev;
	if (what & BEV_EVENT_ERROR) {
		if (c->state == CONN_BODY || c->state == CONN_PAUSED)
			discard_count(DISCARD_body_truncated);
		http_conn_kill(c);
	} else if (what & BEV_EVENT_EOF) {
		c->eof = true;
		conn_pump(c);
	}
}

static void
conn_free(struct http_conn *c)
{
	struct http_server *s = c->server;

	conn_release_request(c, HTTP_END_LOST);
	TAILQ_REMOVE(&s->list[CONN_DEAD], c, entry);
	s->count[CONN_DEAD]--;
	if (c->is_ready) {
		TAILQ_REMOVE(&s->ready, c, ready);
		s->n_ready--;
	}
	s->n_conns--;
	counter_sub(s->options.connections, 1);
	if (c->fd == -1)
		bufferevent_flush(c->bev, EV_WRITE, BEV_FINISHED);
	bufferevent_free(c->bev);
	free(c);
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	struct http_conn *c;

	(void)fd;
	(void)what;
	for (size_t n = s->n_ready; n > 0 && (c = TAILQ_FIRST(&s->ready)) != NULL; n--) {
		TAILQ_REMOVE(&s->ready, c, ready);
		s->n_ready--;
		c->is_ready = false;
		conn_pump(c);
	}
	while ((c = TAILQ_FIRST(&s->list[CONN_DEAD])) != NULL)
		conn_free(c);
	if (s->n_conns == 0)
		event_del(s->tick);
}

static void
expire(struct http_conn *c)
{
	switch (c->state) {
	case CONN_IDLE:
		discard_count(DISCARD_idle_timeout);
		http_conn_kill(c);
		break;
	case CONN_HEAD:
		conn_refuse(c, DISCARD_header_timeout);
		break;
	case CONN_BODY:
		conn_refuse(c, DISCARD_request_timeout);
		break;
	case CONN_FLUSH:
		discard_count(DISCARD_slow_reader);
		http_conn_kill(c);
		break;
	default:
		http_conn_kill(c);
		break;
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	static const enum conn_state timed[] = { CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_FLUSH, CONN_LINGER };
	struct http_server *s = arg;
	struct http_conn *c;

	(void)fd;
	(void)what;
	s->now_ms = now_ms();
	for (size_t i = 0; i < sizeof(timed) / sizeof(timed[0]); i++)
		while ((c = TAILQ_FIRST(&s->list[timed[i]])) != NULL && c->deadline_ms <= s->now_ms)
			expire(c);
}

/* ---- server ---- */

int
http_server_adopt(struct http_server *s, struct bufferevent *bev, const struct sockaddr *peer)
{
	struct http_conn *c;

	counter_add(COUNTER_http_connections, 1);
	if (s->draining || s->n_conns >= s->options.max_connections || (c = calloc(1, sizeof(*c))) == NULL) {
		discard_count(s->draining ? DISCARD_draining : DISCARD_too_many_connections);
		bufferevent_free(bev);
		return -1;
	}
	c->server = s;
	c->bev = bev;
	c->fd = -1;
	if (peer != NULL && peer->sa_family == AF_INET)
		memcpy(&c->peer.v4, peer, sizeof(c->peer.v4));
	else if (peer != NULL && peer->sa_family == AF_INET6)
		memcpy(&c->peer.v6, peer, sizeof(c->peer.v6));
	if (s->n_conns++ == 0) {
		static const struct timeval every = { 0, HTTP_TICK_MS * 1000 };

		s->now_ms = now_ms();
		event_add(s->tick, &every);
	}
	counter_add(s->options.connections, 1);
	TAILQ_INSERT_TAIL(&s->list[CONN_IDLE], c, entry);
	s->count[CONN_IDLE]++;
	conn_deadline(c, s->options.idle_timeout_ms);
	bufferevent_setcb(bev, on_read, on_write, on_event, c);
	bufferevent_setwatermark(bev, EV_READ, 0, HTTP_PIECE);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	if (evbuffer_get_length(bufferevent_get_input(bev)) > 0)
		conn_wake(c);
	return 0;
}

void
server_accept(struct http_server *s, int fd, const struct sockaddr *peer)
{
	struct bufferevent *bev = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);

	if (bev == NULL) {
		discard_count(DISCARD_too_many_connections);
		evutil_closesocket(fd);
		return;
	}
	if (http_server_adopt(s, bev, peer) == 0)
		TAILQ_LAST(&s->list[CONN_IDLE], conn_list)->fd = fd;
}

struct http_server *
http_server_new(struct event_base *base, const struct http_route *routes, size_t n, const struct http_options *o)
{
	struct http_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->base = base;
	for (int i = 0; i < CONN_N_STATES; i++)
		TAILQ_INIT(&s->list[i]);
	TAILQ_INIT(&s->ready);
	http_server_configure(s, o);
	s->routes = calloc(n + 1, sizeof(*routes));
	s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
	s->turn = event_new(base, -1, 0, on_turn, s);
	if (s->routes == NULL || s->tick == NULL || s->turn == NULL) {
		http_server_free(s);
		return NULL;
	}
	memcpy(s->routes, routes, n * sizeof(*routes));
	s->n_routes = n;
	return s;
}

void
http_server_configure(struct http_server *s, const struct http_options *o)
{
	s->options = *o;
	if (s->options.max_header > UINT16_MAX) /* struct header holds 16-bit offsets */
		s->options.max_header = UINT16_MAX;
	if (s->options.max_output == 0)
		s->options.max_output = 1024 * 1024;
}

static void
kill_all(struct http_server *s, enum conn_state state)
{
	struct http_conn *c;

	while ((c = TAILQ_FIRST(&s->list[state])) != NULL)
		http_conn_kill(c);
}

void
http_server_free(struct http_server *s)
{
	struct http_conn *c;
	struct request *r;

	if (s == NULL)
		return;
	listeners_free(s->listeners);
	for (int i = 0; i < CONN_DEAD; i++)
		kill_all(s, (enum conn_state)i);
	while ((c = TAILQ_FIRST(&s->list[CONN_DEAD])) != NULL)
		conn_free(c);
	while ((r = s->free_requests) != NULL) {
		s->free_requests = r->next_free;
		free(r->head);
		free(r);
	}
	http_decoder_pool_fini(&s->decoders);
	if (s->tick != NULL)
		event_free(s->tick);
	if (s->turn != NULL)
		event_free(s->turn);
	free(s->routes);
	free(s);
}

void
http_server_drain(struct http_server *s)
{
	s->draining = true;
	listeners_free(s->listeners);
	s->listeners = NULL;
	kill_all(s, CONN_IDLE);
	kill_all(s, CONN_STREAM);
}

size_t
http_server_connections(const struct http_server *s)
{
	return s->n_conns;
}

int
http_server_listen(struct http_server *s, int fd)
{
	return listener_add(&s->listeners, s, s->base, fd);
}

uint16_t
http_server_port(const struct http_server *s)
{
	return s->listeners != NULL ? listener_port(s->listeners) : 0;
}
