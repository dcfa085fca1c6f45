/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/token.h"
#include "collector/http/conn.h"

#define HEAD_START   2048 /* first head buffer; most heads fit */
#define FREE_MAX     512  /* idle request objects kept */
#define OVERHEAD_MAX ((size_t)16 * 1024)

/* ---- llhttp's callbacks: they only note where things are ---- */

static int
on_url(llhttp_t *p, const char *at, size_t len)
{
	struct request *r = p->data;

	r->url = at;
	r->url_len = len;
	return 0;
}

static int
on_field(llhttp_t *p, const char *at, size_t len)
{
	struct request *r = p->data;

	if (r->begun) { /* a trailer: read over, within limits */
		r->overhead += len;
		return r->overhead > OVERHEAD_MAX ? -1 : 0;
	}
	if (r->n_headers == HTTP_MAX_HEADERS)
		return -1;
	r->headers[r->n_headers].name = (uint16_t)(at - r->head);
	r->headers[r->n_headers].value = (uint16_t)(at - r->head + (ptrdiff_t)len); /* until there is one */
	r->n_headers++;
	return 0;
}

static int
on_value(llhttp_t *p, const char *at, size_t len)
{
	struct request *r = p->data;

	if (r->begun) {
		r->overhead += len;
		return r->overhead > OVERHEAD_MAX ? -1 : 0;
	}
	if (r->n_headers > 0)
		r->headers[r->n_headers - 1].value = (uint16_t)(at - r->head);
	return 0;
}

static int
on_extension(llhttp_t *p, const char *at, size_t len)
{
	struct request *r = p->data;

	(void)at;
	r->overhead += len;
	return r->overhead > OVERHEAD_MAX ? -1 : 0;
}

static int
on_headers_complete(llhttp_t *p)
{
	p->upgrade = 0; /* we never switch protocols */
	return HPE_PAUSED;
}

static int
on_body(llhttp_t *p, const char *at, size_t len)
{
	struct request *r = p->data;

	r->span = at;
	r->span_len = len;
	return HPE_PAUSED;
}

static int
on_complete(llhttp_t *p)
{
	struct request *r = p->data;

	r->whole = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t parser_settings = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
	.on_chunk_extension_name = on_extension,
	.on_chunk_extension_value = on_extension,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

/* ---- lifetime: objects are kept, so a request allocates nothing ---- */

struct request *
request_new(struct http_server *s, struct http_conn *c)
{
	struct request *r = s->free_requests;

	if (r != NULL) {
		s->free_requests = r->next_free;
		s->n_free--;
	} else {
		if ((r = malloc(sizeof(*r))) == NULL)
			return NULL;
		if ((r->head = malloc(HEAD_START)) == NULL) {
			free(r);
			return NULL;
		}
		r->head_cap = HEAD_START;
	}
	r->pub = (struct http_request){ .path = "", .segment = "", .query = "", .content_type = "" };
	r->conn = c;
	r->route = NULL;
	r->decoder = NULL;
	r->left = 0;
	r->avail = r->overhead = 0;
	r->has_body = r->chunked = r->whole = false;
	r->begun = r->streaming = r->more_output = r->expect = r->is_head = false;
	r->keep_alive = false;
	r->auth_checked = r->authenticated = false;
	r->head_len = r->line_len = r->extra_len = 0;
	r->lines = r->n_headers = 0;
	r->span = NULL;
	r->span_len = 0;
	return r;
}

void
request_free(struct http_server *s, struct request *r)
{
	http_decoder_free(&s->decoders, r->decoder);
	if (s->n_free >= FREE_MAX || r->head_cap > HEAD_START) {
		free(r->head);
		free(r);
		return;
	}
	r->next_free = s->free_requests;
	s->free_requests = r;
	s->n_free++;
}

/* ---- the head ---- */

static int
head_append(struct request *r, const char *data, size_t len)
{
	if (r->head_len + len > r->head_cap) {
		size_t cap = r->head_cap * 2 > r->head_len + len ? r->head_cap * 2 : r->head_len + len;
		char *bigger = realloc(r->head, cap);

		if (bigger == NULL)
			return -1;
		r->head = bigger;
		r->head_cap = cap;
	}
	memcpy(r->head + r->head_len, data, len);
	r->head_len += len;
	return 0;
}

/* Walks lines only: finds the end of the head, and refuses what parsers are known to
 * disagree about (bare line feeds, folded or nameless headers). */
enum head_result
request_scan(struct request *r, const char *data, size_t len, size_t limit, size_t *used_out, enum discard *why_out)
{
	const char *p = data, *const end = data + len, *lf;
	enum head_result result = HEAD_MORE;

	*why_out = DISCARD_malformed_http;
	while (p < end && result == HEAD_MORE) {
		if (r->line_len == 0 && r->lines > 0 && (*p == ' ' || *p == '\t' || *p == ':'))
			return HEAD_REFUSED;
		lf = memchr(p, '\n', (size_t)(end - p));
		if (lf == NULL) {
			r->line_len += (size_t)(end - p);
			p = end;
			break;
		}
		r->line_len += (size_t)(lf - p);
		if (r->line_len == 0 || (lf > data ? lf[-1] : r->head[r->head_len - 1]) != '\r')
			return HEAD_REFUSED;
		if (r->line_len == 1)
			result = HEAD_DONE;
		if ((r->lines == 0 && r->line_len > HTTP_MAX_LINE) || ++r->lines > HTTP_MAX_HEADERS + 2) {
			*why_out = DISCARD_header_too_large;
			return HEAD_REFUSED;
		}
		r->line_len = 0;
		p = lf + 1;
	}
	*used_out = (size_t)(p - data);
	if (*used_out > limit || r->head_len > limit - *used_out || (r->lines == 0 && r->line_len > HTTP_MAX_LINE)) {
		*why_out = DISCARD_header_too_large;
		return HEAD_REFUSED;
	}
	if (head_append(r, data, *used_out) == -1) {
		*why_out = DISCARD_too_many_connections;
		return HEAD_REFUSED;
	}
	return result;
}

static bool
valid_host(const char *h)
{
	const char *p = h;

	if (*p == '[') {
		p += 1 + strspn(p + 1, "0123456789abcdefABCDEF:.");
		if (p == h + 1 || *p++ != ']')
			return false;
	} else {
		p += strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=");
		if (p == h)
			return false;
	}
	if (*p == ':') {
		const size_t digits = strspn(p + 1, "0123456789");

		if (digits > 5)
			return false;
		p += 1 + digits;
	}
	return *p == '\0';
}

/* Terminate names and values in place, lower names, trim values. */
static void
finish_headers(struct request *r)
{
	char *const end = r->head + r->head_len;

	for (unsigned i = 0; i < r->n_headers; i++) {
		char *p = r->head + r->headers[i].name, *v;

		for (; p < end && *p != ':'; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p + 32);
		v = r->head + r->headers[i].value;
		if (v <= p)
			v = p + 1; /* no value: the rest of the line is white */
		*p = '\0';
		p = memchr(v, '\r', (size_t)(end - v));
		while (p > v && (p[-1] == ' ' || p[-1] == '\t'))
			p--;
		*p = '\0';
		r->headers[i].value = (uint16_t)(v - r->head);
	}
}

/* Split the request target; absolute-form names a host of its own. */
static enum discard
finish_target(struct request *r)
{
	char *url = r->head + (r->url - r->head), *p;

	url[r->url_len] = '\0';
	if (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0) {
		char *host = strchr(url, ':') + 3, saved;
		bool ok;

		p = host + strcspn(host, "/?");
		saved = *p;
		*p = '\0';
		ok = valid_host(host);
		*p = saved;
		if (!ok)
			return DISCARD_bad_host;
		if (*p != '/') { /* "http://host?query": room for the slash is where the host ended */
			*--p = '/';
		}
		url = p;
	}
	if (*url != '/' && strcmp(url, "*") != 0)
		return DISCARD_malformed_http;
	if ((p = strchr(url, '#')) != NULL)
		return DISCARD_malformed_http;
	if ((p = strchr(url, '?')) != NULL) {
		*p = '\0';
		r->pub.query = p + 1;
	}
	r->pub.path = url;
	return DISCARD_none;
}

static enum discard
check_headers(struct request *r)
{
	const char *host = NULL, *te = NULL;
	unsigned n_host = 0, n_te = 0, n_length = 0;

	for (unsigned i = 0; i < r->n_headers; i++) {
		const char *name = r->head + r->headers[i].name, *value = r->head + r->headers[i].value;

		if (strcmp(name, "host") == 0) {
			host = value;
			n_host++;
		} else if (strcmp(name, "content-length") == 0) {
			if (*value == '\0' || value[strspn(value, "0123456789")] != '\0')
				return DISCARD_malformed_http;
			n_length++;
		} else if (strcmp(name, "transfer-encoding") == 0) {
			te = value;
			n_te++;
		} else if (strcmp(name, "content-type") == 0) {
			r->pub.content_type = value;
		} else if (strcmp(name, "expect") == 0) {
			r->expect = strcasecmp(value, "100-continue") == 0;
		}
	}
	if (n_length > 1 || n_te > 1 || (n_te == 1 && (n_length > 0 || strcasecmp(te, "chunked") != 0)))
		return DISCARD_malformed_http;
	if (r->parser.http_minor == 0 && n_te > 0)
		return DISCARD_malformed_http;
	if (n_host == 0 && r->parser.http_minor > 0)
		return DISCARD_no_host;
	if (n_host > 1 || (n_host == 1 && !valid_host(host)))
		return DISCARD_bad_host;
	return DISCARD_none;
}

static enum http_method
method_of(const llhttp_t *p)
{
	switch (p->method) {
	case HTTP_GET:
	case HTTP_HEAD:
		return HTTP_METHOD_GET;
	case HTTP_POST:
		return HTTP_METHOD_POST;
	case HTTP_PUT:
		return HTTP_METHOD_PUT;
	case HTTP_DELETE:
		return HTTP_METHOD_DELETE;
	case HTTP_PATCH:
		return HTTP_METHOD_PATCH;
	default:
		return HTTP_METHOD_OTHER;
	}
}

enum discard
request_parse(struct request *r)
{
	enum discard why;

	llhttp_init(&r->parser, HTTP_REQUEST, &parser_settings);
	r->parser.data = r;
	r->url = NULL;
	if (llhttp_execute(&r->parser, r->head, r->head_len) != HPE_PAUSED ||
	    llhttp_get_error_pos(&r->parser) != r->head + r->head_len || r->url == NULL || r->parser.http_major != 1 ||
	    r->parser.http_minor > 1)
		return DISCARD_malformed_http;
	finish_headers(r);
	if ((why = check_headers(r)) != DISCARD_none || (why = finish_target(r)) != DISCARD_none)
		return why;
	llhttp_resume(&r->parser);
	r->pub.method = method_of(&r->parser);
	r->is_head = r->parser.method == HTTP_HEAD;
	r->chunked = r->parser.flags & F_CHUNKED;
	if (r->chunked != ((r->parser.flags & F_TRANSFER_ENCODING) != 0))
		return DISCARD_malformed_http; /* "chunked<tab>": no chunks to llhttp, chunks to others */
	r->keep_alive = r->parser.http_minor > 0 && !(r->parser.flags & F_CONNECTION_CLOSE);
	r->left = r->parser.flags & F_CONTENT_LENGTH ? r->parser.content_length : 0;
	r->has_body = r->chunked || r->left > 0;
	r->pub.content_length = r->chunked ? UINT64_MAX : r->left;
	if (r->parser.http_minor == 0)
		r->expect = false;
	return DISCARD_none;
}

ssize_t
request_dechunk(struct request *r, const char *data, size_t len, bool *done_out)
{
	llhttp_errno_t rc;
	const char *pos;

	r->span = NULL;
	rc = llhttp_execute(&r->parser, data, len);
	if (rc == HPE_OK)
		return (ssize_t)len;
	pos = llhttp_get_error_pos(&r->parser);
	if (rc != HPE_PAUSED || pos < data || pos > data + len)
		return -1;
	llhttp_resume(&r->parser);
	if (r->span != NULL) {
		if (r->span + r->span_len != pos)
			return -1;
		r->avail = r->span_len;
		return r->span - data;
	}
	*done_out = r->whole;
	return pos - data;
}

/* ---- what handlers ask ---- */

const char *
http_header(const struct http_request *pub, const char *name)
{
	const struct request *r = (const struct request *)pub;

	for (unsigned i = 0; i < r->n_headers; i++)
		if (strcmp(r->head + r->headers[i].name, name) == 0)
			return r->head + r->headers[i].value;
	return NULL;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decode [p, end) into buf with a NUL; -1 if damaged, holds NUL or does not fit. */
static int
percent_decode(const char *p, const char *end, bool plus, char *buf, size_t size)
{
	size_t n = 0;

	for (; p < end; p++) {
		char c = *p;

		if (c == '%') {
			int hi, lo;

			if (end - p < 3 || (hi = hex_value(p[1])) < 0 || (lo = hex_value(p[2])) < 0 || (hi | lo) == 0)
				return -1;
			c = (char)(hi << 4 | lo);
			p += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		if (n + 1 >= size)
			return -1;
		buf[n++] = c;
	}
	buf[n] = '\0';
	return 0;
}

int
http_query(const struct http_request *pub, const char *name, char *buf, size_t size)
{
	return http_form_value(pub->query, name, buf, size);
}

int
http_form_value(const char *form, const char *name, char *buf, size_t size)
{
	const size_t name_len = strlen(name);

	for (const char *p = form; *p != '\0';) {
		const size_t len = strcspn(p, "&"), key = strcspn(p, "=&");

		if (key == name_len && memcmp(p, name, key) == 0)
			return percent_decode(p + key + (key < len), p + len, true, buf, size);
		p += len + (p[len] == '&');
	}
	return -1;
}

const struct sockaddr *
http_peer(const struct http_request *pub)
{
	return &((const struct request *)pub)->conn->peer.any;
}

static const struct tokens *
current_tokens(const struct http_request *pub)
{
	const struct http_options *o = &((const struct request *)pub)->conn->server->options;

	return o->tokens != NULL ? o->tokens(o->tokens_arg) : NULL;
}

bool
http_tokens_configured(const struct http_request *pub)
{
	return current_tokens(pub) != NULL;
}

bool
http_authenticated(struct http_request *pub)
{
	struct request *r = request_of(pub);
	const struct http_options *o = &r->conn->server->options;
	const struct tokens *t = current_tokens(pub);
	const char *value;

	if (!r->auth_checked) {
		r->auth_checked = true;
		value = http_header(pub, "authorization");
		r->authenticated = t != NULL && value != NULL && tokens_match_header(t, value, strlen(value));
		r->by_session = t != NULL && value == NULL && o->session != NULL && o->session(o->session_arg, pub);
	}
	return r->authenticated || r->by_session;
}

bool
http_by_session(struct http_request *pub)
{
	return http_authenticated(pub) && request_of(pub)->by_session;
}

void
http_limit_body(struct http_request *pub, uint64_t max_raw, uint64_t max_body)
{
	struct request *r = request_of(pub);

	r->max_raw = max_raw;
	r->max_body = max_body;
}

/* ---- routes ---- */

/* Does path match?  The captured part through *seg_out. */
static bool
route_match(const char *pattern, const char *path, const char **seg_out, size_t *len_out)
{
	const char *brace = strstr(pattern, "{}");
	const size_t len = strlen(pattern);
	size_t head, tail, n;

	*seg_out = "";
	*len_out = 0;
	if (brace == NULL && len > 0 && pattern[len - 1] == '*') {
		if (strncmp(pattern, path, len - 1) != 0)
			return false;
		*seg_out = path + len - 1;
		*len_out = strlen(path) - (len - 1);
		return true;
	}
	if (brace == NULL)
		return strcmp(pattern, path) == 0;
	head = (size_t)(brace - pattern);
	tail = len - head - 2;
	n = strlen(path);
	if (n <= head + tail || memcmp(pattern, path, head) != 0 || strcmp(brace + 2, path + n - tail) != 0)
		return false;
	*seg_out = path + head;
	*len_out = n - head - tail;
	return memchr(*seg_out, '/', *len_out) == NULL;
}

enum discard
request_route(struct http_server *s, struct request *r)
{
	static const char *const names[] = { "GET, HEAD", "POST", "PUT", "DELETE", "PATCH" };
	unsigned allowed = 0;
	char allow[64] = "";

	for (size_t i = 0; i < s->n_routes; i++) {
		const struct http_route *route = &s->routes[i];
		const char *seg;
		size_t len;

		if (!route_match(route->pattern, r->pub.path, &seg, &len))
			continue;
		if (route->method != r->pub.method) {
			allowed |= 1u << route->method;
			continue;
		}
		if (percent_decode(seg, seg + len, false, r->segment, sizeof(r->segment)) == -1)
			return DISCARD_not_found;
		r->route = route;
		r->pub.arg = route->arg;
		r->pub.segment = r->segment;
		r->max_raw = route->max_raw != 0 ? route->max_raw : HTTP_DEFAULT_RAW;
		r->max_body = route->max_body != 0 ? route->max_body : r->max_raw;
		return DISCARD_none;
	}
	if (allowed == 0)
		return DISCARD_not_found;
	for (unsigned m = 0; m < sizeof(names) / sizeof(names[0]); m++)
		if (allowed & 1u << m) {
			if (*allow != '\0')
				strcat(allow, ", ");
			strcat(allow, names[m]);
		}
	http_set_header(&r->pub, "Allow", allow);
	return DISCARD_method_not_allowed;
}

static bool
is_listed(const char *words, const char *word, size_t len)
{
	for (; *words != '\0'; words += strcspn(words, " "), words += *words == ' ')
		if (strcspn(words, " ") == len && memcmp(words, word, len) == 0)
			return true;
	return false;
}

bool
request_stranger(const struct request *r, char *buf, size_t size)
{
	const char *p = r->route->params != NULL ? r->pub.query : "";

	for (; *p != '\0'; p += strcspn(p, "&"), p += *p == '&') {
		const size_t key = strcspn(p, "=&");

		if (*p == '&' || is_listed(r->route->params, p, key))
			continue;
		snprintf(buf, size, "%.*s", (int)(key < size ? key : size - 1), p);
		return true;
	}
	return false;
}
