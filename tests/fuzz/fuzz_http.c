/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a connection, in pieces whose size the first byte says; handlers that answer,
 * pause and refuse.  Every request that began must end. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/hash.h"
#include "collector/http/http.h"
#include "tests/unit/http_peer.h"

static struct http_request *paused, *held;
static size_t open_requests;
static volatile uint32_t touched;

static void
begin(struct http_request *r)
{
	(void)r;
	open_requests++;
}

static void
begin_refusing(struct http_request *r)
{
	begin(r);
	http_refuse(r, DISCARD_dump_too_large, r->segment, NULL);
}

static void
body(struct http_request *r, const void *data, size_t len)
{
	touched ^= crc32c(0, data, len); /* every byte must be readable */
	if (r->arg != NULL) {
		http_pause(r);
		paused = r;
	}
}

static void
complete(struct http_request *r)
{
	char buf[64];

	if (http_query(r, "wait", buf, sizeof(buf)) == 0) {
		held = r;
		return;
	}
	(void)http_header(r, "content-type");
	if (!http_not_modified(r, "\"1\""))
		http_answer(r, 200, "text/plain", r->segment, r->segment[0] != '\0');
}

static void
stream(struct http_request *r)
{
	held = r;
	http_stream_begin(r, "text/event-stream");
}

static void
end(struct http_request *r, enum http_end how)
{
	(void)how;
	open_requests--;
	if (r == paused)
		paused = NULL;
	if (r == held)
		held = NULL;
}

static const struct http_ops plain_ops = { begin, body, complete, end, NULL };
static const struct http_ops refusing_ops = { begin_refusing, body, complete, end, NULL };
static const struct http_ops stream_ops = { begin, NULL, stream, end, NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char yes;
	static const struct http_route routes[] = {
		{ HTTP_METHOD_POST, "/p", &plain_ops, NULL, 10000, 100000, false, NULL },
		{ HTTP_METHOD_POST, "/q", &plain_ops, &yes, 10000, 100000, false, NULL },
		{ HTTP_METHOD_GET, "/g/{}/x", &plain_ops, NULL, 0, 0, false, NULL },
		{ HTTP_METHOD_PUT, "/r/*", &refusing_ops, NULL, 0, 0, false, NULL },
		{ HTTP_METHOD_GET, "/s", &stream_ops, NULL, 0, 0, false, NULL },
	};
	static const struct http_options options = {
		.max_connections = 2,
		.max_header = 2000,
		.header_timeout_ms = 10000,
		.request_timeout_ms = 10000,
		.idle_timeout_ms = 10000,
		.max_output = 1000,
		.connections = COUNTER_connections_api,
	};
	static struct event_base *base;
	static struct http_server *server;
	struct http_peer *peer;
	size_t step;

	if (base == NULL) {
		base = event_base_new();
		server = http_server_new(base, routes, sizeof(routes) / sizeof(routes[0]), &options);
	}
	if (size < 1)
		return 0;
	step = (size_t)data[0] + 1;
	peer = http_peer_new(base, server);
	for (size_t at = 1; at < size && !http_peer_closed(peer); at += step) {
		http_peer_send(peer, data + at, size - at < step ? size - at : step);
		if (paused != NULL) {
			struct http_request *r = paused;

			paused = NULL;
			http_resume(r);
		}
		if (held != NULL && http_stream_send(held, "x", 1) == -1)
			http_answer(held, 200, "text/plain", "x", 1);
	}
	http_peer_free(peer);
	event_base_loop(base, EVLOOP_NONBLOCK);
	if (held != NULL) { /* half-closed: it may still be answered */
		http_stream_end(held);
		if (held != NULL)
			http_answer(held, 200, "text/plain", "x", 1);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	if (paused != NULL) {
		http_answer(paused, 200, "text/plain", "x", 1);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	if (http_server_connections(server) != 0) { /* an answer that nobody reads any more */
		http_server_free(server);
		event_base_free(base);
		base = NULL;
	}
	if (open_requests != 0 || counter_get(COUNTER_connections_api) != 0)
		abort();
	return 0;
}
