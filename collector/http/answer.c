/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "collector/http/conn.h"

/* ---- shared bytes ---- */

struct http_blob {
	atomic_size_t refs;
	size_t len;
	uint8_t data[];
};

struct http_blob *
http_blob_new(const void *data, size_t len)
{
	struct http_blob *b = malloc(sizeof(*b) + len);

	if (b == NULL)
		return NULL;
	atomic_init(&b->refs, 1);
	b->len = len;
	if (len > 0)
		memcpy(b->data, data, len);
	return b;
}

struct http_blob *
http_blob_ref(struct http_blob *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void
http_blob_unref(struct http_blob *b)
{
	if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
}

const void *
http_blob_data(const struct http_blob *b, size_t *len_out)
{
	*len_out = b->len;
	return b->data;
}

/* ---- writing ---- */

size_t
conn_queued(const struct http_conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
}

/* What the socket takes at once saves two changes of the poll set an answer. */
static size_t
write_now(struct http_conn *c, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iovlen = (size_t)n };
	ssize_t sent;

	if (c->fd == -1 || conn_queued(c) > 0)
		return 0;
	memcpy(&msg.msg_iov, &iov, sizeof(iov));
	do
		sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent == -1 && errno == EINTR);
	if (sent == -1 && errno != EAGAIN && errno != EWOULDBLOCK)
		http_conn_kill(c);
	return sent > 0 ? (size_t)sent : 0;
}

static void
unref_blob(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	http_blob_unref(arg);
}

/* As conn_write(); the last piece is the blob's, if there is one. */
static void
write_pieces(struct http_conn *c, const struct iovec *iov, int n, struct http_blob *blob)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	size_t sent = write_now(c, iov, n);
	int rc = 0;

	for (int i = 0; i < n && c->state != CONN_DEAD; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len, left = iov[i].iov_len - skip;

		sent -= skip;
		if (left == 0)
			continue;
		if (blob == NULL || i < n - 1)
			rc |= evbuffer_add(out, p + skip, left);
		else
			rc |= evbuffer_add_reference(out, p + skip, left, unref_blob, http_blob_ref(blob));
	}
	if (rc != 0)
		http_conn_kill(c);
}

void
conn_write(struct http_conn *c, const struct iovec *iov, int n)
{
	write_pieces(c, iov, n, NULL);
}

/* ---- the head of an answer ---- */

static const char *
reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 304:
		return "Not Modified";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 412:
		return "Precondition Failed";
	case 413:
		return "Payload Too Large";
	case 415:
		return "Unsupported Media Type";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 503:
		return "Service Unavailable";
	default:
		return "Status";
	}
}

struct text {
	char *buf;
	size_t len, size;
};

static void
put(struct text *t, const char *s, size_t n)
{
	if (n > t->size - t->len)
		n = t->size - t->len;
	memcpy(t->buf + t->len, s, n);
	t->len += n;
}

static void
put_str(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

static void
put_number(struct text *t, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	put(t, digits + n, sizeof(digits) - n);
}

static const char *
date_now(struct http_server *s)
{
	struct timeval tv;
	struct tm tm;
	time_t t;

	event_base_gettimeofday_cached(s->base, &tv);
	if (tv.tv_sec != s->date_s) {
		s->date_s = tv.tv_sec;
		t = tv.tv_sec;
		gmtime_r(&t, &tm);
		strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return s->date;
}

#define NO_LENGTH UINT64_MAX

static size_t
write_head(struct http_conn *c, const struct request *r, int status, const char *type, uint64_t len, char *buf,
	   size_t size)
{
	struct text t = { buf, 0, size };

	put(&t, "HTTP/1.1 ", 9);
	put_number(&t, (unsigned)status);
	put(&t, " ", 1);
	put_str(&t, reason(status));
	put_str(&t, "\r\nServer: faultline\r\nDate: ");
	put_str(&t, date_now(c->server));
	if (type != NULL) {
		put_str(&t, "\r\nContent-Type: ");
		put_str(&t, type);
	}
	if (len != NO_LENGTH) {
		put_str(&t, "\r\nContent-Length: ");
		put_number(&t, len);
	}
	if (c->closing)
		put_str(&t, "\r\nConnection: close");
	put(&t, "\r\n", 2);
	if (r != NULL)
		put(&t, r->extra, r->extra_len);
	put(&t, "\r\n", 2);
	return t.len;
}

void
http_set_header(struct http_request *pub, const char *name, const char *value)
{
	struct request *r = request_of(pub);
	const size_t n = strlen(name), v = strlen(value);

	/* a value with a line end would be a header of somebody else's making */
	if (n + v + 4 > sizeof(r->extra) - r->extra_len || strpbrk(value, "\r\n") != NULL)
		return;
	memcpy(r->extra + r->extra_len, name, n);
	memcpy(r->extra + r->extra_len + n, ": ", 2);
	memcpy(r->extra + r->extra_len + n + 2, value, v);
	memcpy(r->extra + r->extra_len + n + 2 + v, "\r\n", 2);
	r->extra_len += n + v + 4;
}

/* The answer to c's request, or to no request at all (r NULL). */
static void
answer(struct http_conn *c, struct request *r, int status, const char *type, const void *body, size_t len,
       struct http_blob *blob)
{
	const bool bodyless = status == 204 || status == 304;
	char head[1536];
	struct iovec iov[2];
	int n = 1;

	if (c->state == CONN_DEAD) {
		conn_release_request(c, HTTP_END_LOST);
		return;
	}
	if (r != NULL && r->has_body && !r->whole)
		c->closing = c->linger = true;
	if (r == NULL || !r->keep_alive || c->server->draining)
		c->closing = true;
	iov[0].iov_base = head;
	iov[0].iov_len =
		write_head(c, r, status, bodyless ? NULL : type, bodyless ? NO_LENGTH : len, head, sizeof(head));
	if (len > 0 && !bodyless && !(r != NULL && r->is_head)) {
		memcpy(&iov[1].iov_base, &body, sizeof(body));
		iov[1].iov_len = len;
		n = 2;
	}
	write_pieces(c, iov, n, n == 2 ? blob : NULL);
	counter_add(COUNTER_http_requests, 1);
	conn_answered(c);
}

void
http_answer(struct http_request *pub, int status, const char *type, const void *body, size_t len)
{
	struct request *r = request_of(pub);

	answer(r->conn, r, status, type, body, len, NULL);
}

void
http_answer_blob(struct http_request *pub, int status, const char *type, struct http_blob *b)
{
	struct request *r = request_of(pub);

	answer(r->conn, r, status, type, b->data, b->len, b);
}

/* ---- errors ---- */

static void
put_json(struct text *t, const char *s)
{
	static const char hex[] = "0123456789abcdef";

	put(t, "\"", 1);
	for (; *s != '\0'; s++) {
		const unsigned char ch = (unsigned char)*s;

		if (ch == '"' || ch == '\\') {
			put(t, "\\", 1);
			put(t, s, 1);
		} else if (ch < 0x20) {
			put(t, "\\u00", 4);
			put(t, &hex[ch >> 4], 1);
			put(t, &hex[ch & 15], 1);
		} else {
			put(t, s, 1);
		}
	}
	put(t, "\"", 1);
}

size_t
http_error_json(char *buf, size_t size, const char *code, const char *field, const char *message)
{
	struct text t = { buf, 0, size - 1 };

	put_str(&t, "{\"error\":{\"code\":");
	put_json(&t, code);
	put_str(&t, ",\"message\":");
	put_json(&t, message);
	if (field != NULL) {
		put_str(&t, ",\"field\":");
		put_json(&t, field);
	}
	put_str(&t, "}}\n");
	buf[t.len] = '\0';
	return t.len;
}

void
http_refuse(struct http_request *pub, enum discard why, const char *field, const char *message)
{
	char body[1024];
	size_t len;

	discard_count(why);
	if (discard_status(why) == 503)
		http_set_header(pub, "Retry-After", "5");
	else if (discard_status(why) == 401)
		http_set_header(pub, "WWW-Authenticate", "Bearer");
	len = http_error_json(body, sizeof(body), discard_code(why), field,
			      message != NULL ? message : discard_help(why));
	http_answer(pub, discard_status(why), "application/json", body, len);
}

/* The core's own refusal: the protocol is broken or a limit was passed, so nothing after it
 * can be trusted.  The handler, if it had begun, hears that the request is lost. */
void
conn_refuse(struct http_conn *c, enum discard why)
{
	const char *type = "application/json";
	struct request *r = c->req;
	char body[512];
	size_t len;

	discard_count(why);
	if (r != NULL && r->begun && r->route->ops->explain != NULL)
		len = r->route->ops->explain(&r->pub, why, body, sizeof(body), &type);
	else
		len = http_error_json(body, sizeof(body), discard_code(why), NULL, discard_help(why));
	conn_release_request(c, HTTP_END_LOST);
	c->closing = c->linger = true;
	answer(c, NULL, discard_status(why), type, body, len, NULL);
}

bool
http_not_modified(struct http_request *r, const char *etag)
{
	const char *list = http_header(r, "if-none-match");
	const size_t len = strlen(etag);

	http_set_header(r, "ETag", etag);
	if (list == NULL)
		return false;
	for (const char *p = list; *p != '\0';) {
		p += strspn(p, " \t,");
		if (strncmp(p, "W/", 2) == 0)
			p += 2;
		if (*p == '*' || (strncmp(p, etag, len) == 0 && strchr(", \t", p[len]) != NULL)) {
			http_answer(r, 304, NULL, NULL, 0);
			return true;
		}
		p += strcspn(p, ",");
	}
	return false;
}

/* ---- streams ---- */

void
http_stream_begin(struct http_request *pub, const char *type)
{
	struct request *r = request_of(pub);
	struct http_conn *c = r->conn;
	char head[1536];
	struct iovec v = { head, 0 };

	if (c->state == CONN_DEAD || r->is_head) {
		http_answer(pub, 200, type, NULL, 0);
		return;
	}
	c->closing = true; /* the end of the connection is the end of the answer */
	c->linger = r->has_body && !r->whole;
	r->streaming = true;
	v.iov_len = write_head(c, r, 200, type, NO_LENGTH, head, sizeof(head));
	counter_add(COUNTER_http_requests, 1);
	http_conn_set_state(c, CONN_STREAM);
	conn_write(c, &v, 1);
}

static int
stream_send(struct request *r, const void *data, size_t len, struct http_blob *blob)
{
	struct http_conn *c = r->conn;
	struct iovec v = { NULL, len };

	if (c->state != CONN_STREAM)
		return -1;
	memcpy(&v.iov_base, &data, sizeof(data));
	write_pieces(c, &v, 1, blob);
	if (c->state == CONN_STREAM && conn_queued(c) > c->server->options.max_output) {
		discard_count(DISCARD_slow_reader);
		http_conn_kill(c);
	}
	return c->state == CONN_STREAM ? 0 : -1;
}

int
http_stream_send(struct http_request *r, const void *data, size_t len)
{
	return stream_send(request_of(r), data, len, NULL);
}

int
http_stream_send_blob(struct http_request *r, struct http_blob *b)
{
	return stream_send(request_of(r), b->data, b->len, b);
}

size_t
http_stream_queued(const struct http_request *pub)
{
	return conn_queued(((const struct request *)pub)->conn);
}

void
http_stream_end(struct http_request *pub)
{
	struct http_conn *c = request_of(pub)->conn;

	if (c->state == CONN_STREAM)
		conn_answered(c);
}
