/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_HTTP_CONN_H
#define COLLECTOR_HTTP_CONN_H

/* Inside of the HTTP core, for the files of this folder only.
 *
 * Ownership: the server owns its connections, a connection its bufferevent and its one
 * request.  Whatever dies is only marked; http_turn() frees once per loop turn, so a
 * callback that is already under way never sees freed memory. */

#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include <event2/event.h>
#include <llhttp.h>

#include "collector/http/decode.h"
#include "collector/http/http.h"

#define HTTP_MAX_HEADERS 100
#define HTTP_MAX_LINE    8192 /* bytes of the request line */
#define HTTP_PIECE       ((size_t)64 * 1024)
#define HTTP_DEFAULT_RAW ((uint64_t)64 * 1024)
#define HTTP_TICK_MS     250

struct http_conn;
struct request;

/* A state is a list, oldest first, so a deadline costs a comparison a tick.
 * http_conn_set_state() is the only mover. */
enum conn_state {
	CONN_IDLE,   /* between requests */
	CONN_HEAD,   /* reading request line and headers */
	CONN_BODY,   /* reading the body */
	CONN_PAUSED, /* the handler wants no more body for now */
	CONN_ANSWER, /* request whole, the handler has yet to answer */
	CONN_STREAM, /* a streaming answer is open */
	CONN_FLUSH,  /* answer queued, waiting until the peer took it */
	CONN_LINGER, /* answered and closed for writing; reading on so that the answer is not lost */
	CONN_DEAD,   /* to be freed by http_turn() */
	CONN_N_STATES
};

struct http_conn {
	TAILQ_ENTRY(http_conn) entry;
	TAILQ_ENTRY(http_conn) ready; /* while is_ready */
	struct http_server *server;
	struct bufferevent *bev;
	struct request *req; /* NULL between requests */
	int64_t deadline_ms;
	int fd; /* plain socket that may be written directly; -1: only through bev */
	enum conn_state state;
	bool is_ready;
	bool pumping; /* conn_pump() is on the stack */
	bool eof;     /* the peer sends no more */
	bool closing; /* close after the answer */
	bool linger;  /* unread input is likely: close gently */
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} peer;
};
TAILQ_HEAD(conn_list, http_conn);

struct header {
	uint16_t name, value; /* offsets in head; both NUL-terminated, name in lower case */
};

struct request {
	struct http_request pub; /* first: handlers hold this */
	struct http_conn *conn;
	const struct http_route *route; /* NULL until routed */
	struct request *next_free;
	llhttp_t parser;
	struct http_decoder *decoder;
	uint64_t left; /* of a body with Content-Length: not yet in avail */
	size_t avail;  /* body bytes at the front of the input */
	uint64_t max_raw, max_body;
	size_t overhead; /* bytes of chunk extensions and trailers */
	bool has_body, chunked, whole;
	bool begun, streaming, more_output, expect, keep_alive, is_head;
	bool auth_checked, authenticated, by_session;

	char *head;
	size_t head_len, head_cap;
	size_t line_len; /* scanner: of the unfinished line */
	unsigned lines;
	struct header headers[HTTP_MAX_HEADERS];
	unsigned n_headers;
	const char *span; /* body bytes of the last parser step */
	size_t span_len;
	const char *url;
	size_t url_len;
	char segment[256];
	char extra[768]; /* headers set by the handler */
	size_t extra_len;
};

struct listener;

struct http_server {
	struct event_base *base;
	struct event *tick, *turn;
	struct listener *listeners;
	struct http_route *routes;
	size_t n_routes;
	struct http_options options;
	struct conn_list list[CONN_N_STATES];
	size_t count[CONN_N_STATES];
	size_t n_conns;
	struct conn_list ready;
	size_t n_ready;
	int64_t now_ms; /* of the last tick */
	bool draining;
	struct request *free_requests;
	size_t n_free;
	struct http_decoder_pool decoders;
	int64_t date_s;
	char date[32]; /* "Tue, 15 Nov 1994 08:12:31 GMT" */
	uint8_t scratch[HTTP_PIECE];
};

static inline struct request *
request_of(struct http_request *r)
{
	return (struct request *)r;
}

/* ---- server.c ---- */
void http_conn_set_state(struct http_conn *c, enum conn_state next);
void conn_deadline(struct http_conn *c, uint64_t ms); /* from now */
void http_conn_kill(struct http_conn *c);             /* the only death; frees nothing yet */
void conn_wake(struct http_conn *c);                  /* pump it in this loop turn, not now */
void conn_pump(struct http_conn *c);
/* The answer is with the connection: go on with whatever comes after it. */
void conn_answered(struct http_conn *c);
/* Give the request back; its handler gets end(). */
void conn_release_request(struct http_conn *c, enum http_end how);

/* ---- request.c ---- */
enum head_result { HEAD_MORE, HEAD_DONE, HEAD_REFUSED };
struct request *request_new(struct http_server *s, struct http_conn *c);
void request_free(struct http_server *s, struct request *r);
/* Take head bytes; *used_out were taken.  HEAD_REFUSED sets *why_out. */
enum head_result request_scan(struct request *r, const char *data, size_t len, size_t limit, size_t *used_out,
			      enum discard *why_out);
/* Parse the whole head; DISCARD_none or what is wrong with it. */
enum discard request_parse(struct request *r);
/* One parser step over chunked input.  Returns bytes used up to the body span (then
 * r->avail is set), or all; *done_out when the last chunk was read; -1: malformed. */
ssize_t request_dechunk(struct request *r, const char *data, size_t len, bool *done_out);

/* Sets r->route and the captured segment, or returns not_found / method_not_allowed (then
 * the Allow header is set). */
enum discard request_route(struct http_server *s, struct request *r);
/* The first query parameter that its route does not know, into buf (cut if it is long); false: there is none. */
bool request_stranger(const struct request *r, char *buf, size_t size);

/* ---- answer.c ---- */
/* Write to the peer now if possible, else queue. */
void conn_write(struct http_conn *c, const struct iovec *iov, int n);
void conn_refuse(struct http_conn *c, enum discard why);
size_t conn_queued(const struct http_conn *c);

#endif
