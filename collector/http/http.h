/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_HTTP_HTTP_H
#define COLLECTOR_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"

struct bufferevent;
struct event_base;
struct sockaddr;
struct tokens;

/* HTTP/1.1 server core: one struct http_server per event loop and listener.  Several
 * loops may each own one on the same port (SO_REUSEPORT).  Everything here belongs to
 * the thread of that loop, http_blob_*() excepted.
 *
 * A request goes: begin (headers read) -> body* (decoded pieces) -> complete -> end.
 * The handler answers once, from any of the first three or later from the same loop.
 * One connection has one request at a time; pipelined ones wait, so answers keep order. */
struct http_server;

enum http_method {
	HTTP_METHOD_GET, /* also serves HEAD */
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_OTHER, /* never routed */
};

enum http_end {
	HTTP_END_ANSWERED, /* the whole answer was handed to the connection */
	HTTP_END_LOST,     /* connection died, timed out or broke the protocol first */
};

/* Read-only to handlers, but for ctx.  Strings live until end(). */
struct http_request {
	enum http_method method;
	const char *path;         /* as sent, without query; starts with '/' */
	const char *segment;      /* what {} or * of the route matched, percent-decoded; else "" */
	const char *query;        /* as sent, after '?'; else "" */
	const char *content_type; /* as sent; else "" */
	uint64_t content_length;  /* as declared; UINT64_MAX when chunked */
	uint64_t raw_bytes;       /* of the body so far, as sent (dechunked) */
	uint64_t body_bytes;      /* of the body so far, after decompression */
	void *arg;                /* of the route */
	void *ctx;                /* the handler's own */
};

struct http_ops {
	/* Headers are complete; "100 Continue" is sent after this returns without an answer. */
	void (*begin)(struct http_request *r);
	/* A piece of the decoded body, at most 64 KiB, never empty; NULL: body is discarded. */
	void (*body)(struct http_request *r, const void *data, size_t len);
	/* The body is whole.  Not called once answered. */
	void (*complete)(struct http_request *r);
	/* Once for every begin, last: free ctx here.  Runs inside http_answer*() at times,
	 * so answering is the last thing a handler does with r and ctx.  NULL is fine. */
	void (*end)(struct http_request *r, enum http_end how);
	/* Words an error that the core itself answers, for clients that do not read JSON: text
	 * into buf, returns its length, sets *type_out (a literal).  May be NULL. */
	size_t (*explain)(struct http_request *r, enum discard why, char *buf, size_t size, const char **type_out);
};

/* pattern: literal path, with one {} standing for a non-empty segment, or ending in '*'
 * (any rest, also empty).  First match wins. */
struct http_route {
	enum http_method method;
	const char *pattern;
	const struct http_ops *ops;
	void *arg;
	uint64_t max_raw;  /* body bytes as sent; 0: 64 KiB */
	uint64_t max_body; /* decompressed; 0: as max_raw */
	bool token;        /* refuse without a valid bearer token, if tokens are set */
	/* Names of the query parameters there are, a space between: any other is refused (invalid_field).
	 * NULL: whatever comes is let through. */
	const char *params;
};

struct http_options {
	uint64_t max_connections;
	uint64_t max_header; /* bytes of request line and headers */
	uint64_t header_timeout_ms, request_timeout_ms, idle_timeout_ms;
	uint64_t max_output;      /* bytes a streaming answer may queue; 0: 1 MiB */
	enum counter connections; /* gauge of open connections */
	/* The tokens of now, or NULL when none are configured; asked anew for each request that
	 * wants to know, so a reload may swap them.  The function may be NULL. */
	const struct tokens *(*tokens)(void *arg);
	void *tokens_arg;
	/* Does a request without an Authorization header come with a session that stands for a token of now?
	 * NULL: there are no sessions. */
	bool (*session)(void *arg, const struct http_request *r);
	void *session_arg;
};

/* Routes are copied, patterns and ops borrowed.  NULL when out of memory. */
struct http_server *http_server_new(struct event_base *base, const struct http_route *routes, size_t n,
				    const struct http_options *o);
/* Closes everything at once; every open request gets end(LOST). */
void http_server_free(struct http_server *s);

/* New limits and tokens, after a reload; what is open keeps its deadlines. */
void http_server_configure(struct http_server *s, const struct http_options *o);

/* A listening, non-blocking socket on "ADDR:PORT" ("[::1]:80", "*:80", port 0: any), or -1
 * with a sentence in err. */
int http_bind(const char *addr_port, bool reuse_port, char *err, size_t err_size);
/* Serve a listening socket; takes fd over, also on failure (-1: out of memory). */
int http_server_listen(struct http_server *s, int fd);
/* Port of the first listener, 0 if there is none. */
uint16_t http_server_port(const struct http_server *s);
/* Serve one connected bufferevent (TLS, tests); takes it over.  peer may be NULL. */
int http_server_adopt(struct http_server *s, struct bufferevent *bev, const struct sockaddr *peer);

/* Stop accepting, close idle connections, let requests finish; streams are ended.
 * Then http_server_connections() falls to 0. */
void http_server_drain(struct http_server *s);
size_t http_server_connections(const struct http_server *s);

/* ---- asking ---- */

const char *http_header(const struct http_request *r, const char *name); /* NULL if absent; name in lower case */
/* Percent-decoded value of a query parameter into buf; -1 if absent, damaged or too long. */
int http_query(const struct http_request *r, const char *name, char *buf, size_t size);
/* The same out of application/x-www-form-urlencoded text. */
int http_form_value(const char *form, const char *name, char *buf, size_t size);
/* Peer address, AF_UNSPEC if unknown. */
const struct sockaddr *http_peer(const struct http_request *r);
/* Did the client present one of our tokens?  False if none are configured. */
bool http_authenticated(struct http_request *r);
/* ... by a session and not by an Authorization header: then a page of another site may be behind it. */
bool http_by_session(struct http_request *r);
bool http_tokens_configured(const struct http_request *r);

/* Other limits than the route's; only from begin(). */
void http_limit_body(struct http_request *r, uint64_t max_raw, uint64_t max_body);

/* Stop and go on reading the body.  A paused request costs one buffer; its deadline stands
 * still.  May be called from body(); then no further body() comes until resumed. */
void http_pause(struct http_request *r);
void http_resume(struct http_request *r);

/* ---- answering ---- */

/* Add a header to the coming answer.  Content-Type, Content-Length, Date, Server and
 * Connection are made here.  Ignored when all added ones pass 768 bytes, or value holds a
 * line end. */
void http_set_header(struct http_request *r, const char *name, const char *value);

/* Answer with a copy of the body.  Last use of r (see end). */
void http_answer(struct http_request *r, int status, const char *type, const void *body, size_t len);

/* Refuse: counts the code and answers its status with
 * {"error":{"code":"...","message":"...","field":"..."}}; field may be NULL; message NULL: the table's. */
void http_refuse(struct http_request *r, enum discard why, const char *field, const char *message);

/* If the client has this version (If-None-Match): answers 304 and returns true.
 * Else sets ETag for the answer to come.  etag with its quotes. */
bool http_not_modified(struct http_request *r, const char *etag);

/* Immutable bytes shared between answers and threads. */
struct http_blob;
struct http_blob *http_blob_new(const void *data, size_t len); /* copies; NULL when out of memory */
struct http_blob *http_blob_ref(struct http_blob *b);
void http_blob_unref(struct http_blob *b); /* NULL is fine */
const void *http_blob_data(const struct http_blob *b, size_t *len_out);
/* Answer with a reference; the caller's own reference stays its own. */
void http_answer_blob(struct http_request *r, int status, const char *type, struct http_blob *b);

/* A streaming answer (SSE): begin once, send pieces, end.  The request stays open; end()
 * comes when the client leaves, reads too slowly (more than max_output queued: counted
 * slow_reader) or after http_stream_end().  Sending is -1 when that is about to happen. */
void http_stream_begin(struct http_request *r, const char *type);
int http_stream_send(struct http_request *r, const void *data, size_t len);
int http_stream_send_blob(struct http_request *r, struct http_blob *b);
size_t http_stream_queued(const struct http_request *r); /* bytes sent that the client has not taken */
void http_stream_end(struct http_request *r);

/* Body of an error answer, for handlers that write their own; returns its length (< size). */
size_t http_error_json(char *buf, size_t size, const char *code, const char *field, const char *message);

#endif
