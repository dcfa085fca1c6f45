/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "collector/http/http.h"
#include "tests/unit/http_peer.h"

struct http_peer {
	struct event_base *base;
	struct bufferevent *bev;
	struct evbuffer *got;
	char *text;
	bool closed;
};

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct http_peer *p = arg;

	evbuffer_add_buffer(p->got, bufferevent_get_input(bev));
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_peer *p = arg;

	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		p->closed = true;
}

struct http_peer *
http_peer_new(struct event_base *base, struct http_server *s)
{
	struct http_peer *p = calloc(1, sizeof(*p));
	struct bufferevent *pair[2];

	assert(p != NULL && bufferevent_pair_new(base, 0, pair) == 0);
	p->base = base;
	p->bev = pair[0];
	p->got = evbuffer_new();
	bufferevent_setcb(p->bev, on_read, NULL, on_event, p);
	bufferevent_enable(p->bev, EV_READ | EV_WRITE);
	http_server_adopt(s, pair[1], NULL);
	return p;
}

void
http_peer_free(struct http_peer *p)
{
	http_peer_finish(p);
	bufferevent_free(p->bev);
	evbuffer_free(p->got);
	free(p->text);
	event_base_loop(p->base, EVLOOP_NONBLOCK);
	free(p);
}

void
http_peer_run(struct http_peer *p)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(p->base, EVLOOP_NONBLOCK);
}

void
http_peer_send(struct http_peer *p, const void *data, size_t len)
{
	bufferevent_write(p->bev, data, len);
	http_peer_run(p);
}

const char *
http_peer_text(struct http_peer *p)
{
	const size_t n = evbuffer_get_length(p->got);

	free(p->text);
	p->text = malloc(n + 1);
	assert(p->text != NULL);
	evbuffer_copyout(p->got, p->text, n);
	p->text[n] = '\0';
	return p->text;
}

void
http_peer_forget(struct http_peer *p)
{
	evbuffer_drain(p->got, evbuffer_get_length(p->got));
}

void
http_peer_stop_reading(struct http_peer *p)
{
	bufferevent_disable(p->bev, EV_READ);
}

void
http_peer_finish(struct http_peer *p)
{
	bufferevent_flush(p->bev, EV_WRITE, BEV_FINISHED);
	http_peer_run(p);
}

bool
http_peer_closed(const struct http_peer *p)
{
	return p->closed;
}
