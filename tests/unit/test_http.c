/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>
#include <zlib.h>
#include <zstd.h>

#include "base/clock.h"
#include "base/token.h"
#include "collector/http/http.h"
#include "tests/unit/http_peer.h"

static struct event_base *base;
static struct http_server *server;
static struct http_options options = {
	.max_connections = 64,
	.max_header = 4096,
	.header_timeout_ms = 300,
	.request_timeout_ms = 600,
	.idle_timeout_ms = 1200,
	.max_output = 4096,
	.connections = COUNTER_connections_api,
};

/* ---- handlers ---- */

struct sum {
	uint32_t adler;
	size_t pieces;
};
static unsigned n_begun, n_answered, n_lost;
static struct http_request *held; /* by the handlers that answer later */

static void
sum_begin(struct http_request *r)
{
	r->ctx = calloc(1, sizeof(struct sum));
	n_begun++;
}

static void
sum_body(struct http_request *r, const void *data, size_t len)
{
	struct sum *s = r->ctx;

	s->adler = (uint32_t)adler32(s->adler, data, (uInt)len);
	s->pieces++;
}

static void
sum_complete(struct http_request *r)
{
	struct sum *s = r->ctx;
	char text[128];
	int n = snprintf(text, sizeof(text), "[%s|%s|%llu|%llu|%08x]", r->path, r->segment,
			 (unsigned long long)r->raw_bytes, (unsigned long long)r->body_bytes, s->adler);

	http_answer(r, 200, "text/plain", text, (size_t)n);
}

static void
sum_end(struct http_request *r, enum http_end how)
{
	free(r->ctx);
	if (how == HTTP_END_ANSWERED)
		n_answered++;
	else
		n_lost++;
}

static void
pause_body(struct http_request *r, const void *data, size_t len)
{
	sum_body(r, data, len);
	held = r;
	http_pause(r);
}

static void
hold_complete(struct http_request *r)
{
	held = r;
}

static void
hold_end(struct http_request *r, enum http_end how)
{
	held = NULL;
	sum_end(r, how);
}

static void
refuse_begin(struct http_request *r)
{
	sum_begin(r);
	http_refuse(r, DISCARD_dump_too_large, "upload \"x\"", NULL);
}

static void
tag_complete(struct http_request *r)
{
	if (!http_not_modified(r, "\"v1\""))
		http_answer(r, 200, "text/plain", "tagged", 6);
}

static void
stream_complete(struct http_request *r)
{
	held = r;
	http_stream_begin(r, "text/event-stream");
}

static const struct http_ops sum_ops = { sum_begin, sum_body, sum_complete, sum_end, NULL };
static const struct http_ops pause_ops = { sum_begin, pause_body, sum_complete, sum_end, NULL };
static const struct http_ops hold_ops = { sum_begin, NULL, hold_complete, hold_end, NULL };
static const struct http_ops refuse_ops = { refuse_begin, sum_body, sum_complete, sum_end, NULL };
static const struct http_ops tag_ops = { sum_begin, NULL, tag_complete, sum_end, NULL };
static const struct http_ops stream_ops = { sum_begin, NULL, stream_complete, hold_end, NULL };

static const struct http_route routes[] = {
	{ HTTP_METHOD_GET, "/sum", &sum_ops, NULL, 0, 0, false, NULL },
	{ HTTP_METHOD_POST, "/sum", &sum_ops, NULL, 200000, 1000000, false, NULL },
	{ HTTP_METHOD_POST, "/pause", &pause_ops, NULL, 200000, 2000000, false, NULL },
	{ HTTP_METHOD_GET, "/hold", &hold_ops, NULL, 0, 0, false, NULL },
	{ HTTP_METHOD_PUT, "/things/{}", &sum_ops, NULL, 0, 0, false, NULL },
	{ HTTP_METHOD_GET, "/things/{}/part", &sum_ops, NULL, 0, 0, false, NULL },
	{ HTTP_METHOD_GET, "/static/*", &sum_ops, NULL, 0, 0, false, NULL },
	{ HTTP_METHOD_POST, "/refuse", &refuse_ops, NULL, 0, 0, false, NULL },
	{ HTTP_METHOD_GET, "/tag", &tag_ops, NULL, 0, 0, false, "limit cursor" },
	{ HTTP_METHOD_GET, "/stream", &stream_ops, NULL, 0, 0, false, NULL },
	{ HTTP_METHOD_GET, "/secret", &sum_ops, NULL, 0, 0, true, NULL },
};

static int
setup(void **state)
{
	(void)state;
	n_begun = n_answered = n_lost = 0;
	held = NULL;
	base = event_base_new();
	server = http_server_new(base, routes, sizeof(routes) / sizeof(routes[0]), &options);
	return server == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	http_server_free(server);
	event_base_free(base);
	return 0;
}

/* ---- helpers ---- */

#define HOST "Host: a\r\n"

/* Send it in two halves at every position; the answer's last line must be the same. */
static void
check_splits(const char *request, size_t len, const char *want)
{
	for (size_t at = 0; at <= len; at++) {
		struct http_peer *p = http_peer_new(base, server);

		http_peer_send(p, request, at);
		http_peer_send(p, request + at, len - at);
		if (strstr(http_peer_text(p), want) == NULL)
			fail_msg("split at %zu: %s", at, http_peer_text(p));
		http_peer_free(p);
	}
}

static void
check(const char *request, const char *want)
{
	check_splits(request, strlen(request), want);
}

/* One request, its answer's status; the code must have been counted once, and only it. */
static void
check_refused(const char *request, int status, enum discard why)
{
	const uint64_t before = discard_get(why);
	struct http_peer *p = http_peer_new(base, server);
	char want[64];

	http_peer_send(p, request, strlen(request));
	snprintf(want, sizeof(want), "HTTP/1.1 %d ", status);
	if (strncmp(http_peer_text(p), want, strlen(want)) != 0)
		fail_msg("%s -> %s", request, http_peer_text(p));
	snprintf(want, sizeof(want), "{\"error\":{\"code\":\"%s\",", discard_code(why));
	if (strstr(http_peer_text(p), want) == NULL)
		fail_msg("%s -> %s", request, http_peer_text(p));
	assert_int_equal(discard_get(why) - before, 1);
	http_peer_free(p);
}

static void
wait_for(bool (*happened)(void))
{
	for (int64_t until = clock_boot_us() + 10000000; !happened() && clock_boot_us() < until;)
		event_base_loop(base, EVLOOP_ONCE);
	assert_true(happened());
}

static void
say(struct http_peer *p, const char *text)
{
	http_peer_send(p, text, strlen(text));
}

/* ---- tests ---- */

static void
test_simple(void **state)
{
	(void)state;
	check("GET /sum HTTP/1.1\r\n" HOST "\r\n", "\r\n\r\n[/sum||0|0|00000000]");
	check("\r\n\r\nGET /sum?a=b HTTP/1.1\r\nhOST:a:80  \r\nEmpty:\r\nX: y\r\n\r\n", "\r\n\r\n[/sum||0|0|00000000]");
	check("GET http://host.example/sum HTTP/1.1\r\n" HOST "\r\n", "[/sum||0|0|");
	check("POST /sum HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", "[/sum||5|5|06270214]");
	check("PUT /things/a%20b HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "[/things/a%20b|a b|0|0|");
	check("GET /things/x/part HTTP/1.1\r\n" HOST "\r\n", "[/things/x/part|x|");
	check("GET /static/a/b.js HTTP/1.1\r\n" HOST "\r\n", "[/static/a/b.js|a/b.js|");
	assert_int_equal(n_begun, n_answered + n_lost);
}

static void
test_chunked(void **state)
{
	(void)state;
	check("POST /sum HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
	      "2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nTrailer: t\r\n\r\n",
	      "[/sum||5|5|06270214]");
	check("POST /sum HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "[/sum||0|0|");
}

static void
test_pipelined(void **state)
{
	static const char two[] = "POST /sum HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"
				  "GET /things/q/part HTTP/1.1\r\n" HOST "\r\n"
				  "POST /sum HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
	(void)state;
	for (size_t at = 0; at < sizeof(two); at++) {
		struct http_peer *p = http_peer_new(base, server);
		const char *a, *b, *c;

		http_peer_send(p, two, at);
		http_peer_send(p, two + at, sizeof(two) - 1 - at);
		a = strstr(http_peer_text(p), "[/sum||5|5|06270214]");
		b = strstr(http_peer_text(p), "[/things/q/part|q|");
		c = strstr(http_peer_text(p), "[/sum||1|1|");
		assert_true(a != NULL && b > a && c > b);
		assert_false(http_peer_closed(p));
		http_peer_free(p);
	}
}

static void
test_refused(void **state)
{
	char big[6000];

	(void)state;
	check_refused("GET /sum HTTP/1.1\r\n\r\n", 400, DISCARD_no_host);
	check_refused("GET /sum HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, DISCARD_bad_host);
	check_refused("GET /sum HTTP/1.1\r\nHost: a b\r\n\r\n", 400, DISCARD_bad_host);
	check_refused("GET /sum HTTP/1.1\r\nHost: a:x\r\n\r\n", 400, DISCARD_bad_host);
	check_refused("GET /sum HTTP/1.1\r\nHost:\r\n\r\n", 400, DISCARD_bad_host);
	check_refused("GET http://a@b/sum HTTP/1.1\r\nHost: a\r\n\r\n", 400, DISCARD_bad_host);
	check_refused("GET /nowhere HTTP/1.1\r\n" HOST "\r\n", 404, DISCARD_not_found);
	check_refused("GET /things/a%00b/part HTTP/1.1\r\n" HOST "\r\n", 404, DISCARD_not_found);
	check_refused("DELETE /sum HTTP/1.1\r\n" HOST "\r\n", 405, DISCARD_method_not_allowed);
	check_refused("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 404, DISCARD_not_found);
	check_refused("GET /sum HTTP/2.0\r\n" HOST "\r\n", 400, DISCARD_malformed_http);
	check_refused("NONSENSE\r\n\r\n", 400, DISCARD_malformed_http);
	check_refused("GET /sum#x HTTP/1.1\r\n" HOST "\r\n", 400, DISCARD_malformed_http);
	check_refused("GET sum HTTP/1.1\r\n" HOST "\r\n", 400, DISCARD_malformed_http);
	check_refused("\x16\x03\x01\x02\r\n\r\n", 400, DISCARD_malformed_http);

	memset(big, 'x', sizeof(big));
	memcpy(big, "GET /sum HTTP/1.1\r\nHost: ", 25);
	strcpy(big + sizeof(big) - 5, "\r\n\r\n");
	check_refused(big, 431, DISCARD_header_too_large);
	big[0] = '\0';
	strcat(big, "GET /sum HTTP/1.1\r\n" HOST);
	for (int i = 0; i < 101; i++)
		strcat(big, "a: b\r\n");
	strcat(big, "\r\n");
	check_refused(big, 431, DISCARD_header_too_large);
}

/* What two parsers may read differently is an attack (LIMITS: request smuggling). */
static void
test_smuggling(void **state)
{
	static const char *const heads[] = {
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
		"Content-Length: 5\r\nContent-Length: 5\r\n",
		"Content-Length: 5\r\nContent-Length: 6\r\n",
		"Content-Length: +5\r\n",
		"Content-Length: 5, 5\r\n",
		"Content-Length: 0x5\r\n",
		"Content-Length: \r\n",
		"Content-Length: 99999999999999999999\r\n",
		"Content-Length : 5\r\n",
		"Transfer-Encoding: xchunked\r\n",
		"Transfer-Encoding: chunked\t\r\n",
		"Transfer-Encoding: chunked \t \r\n",
		"Transfer-Encoding: chunked, chunked\r\n",
		"Transfer-Encoding: gzip, chunked\r\n",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"Transfer-Encoding:\r\n chunked\r\n",
		"Transfer-Encoding\t: chunked\r\n",
		"X: a\r\n b\r\n",
		"X:\r\n\tb\r\n",
		" X: folded onto the request line\r\n",
		"X: a\nY: b\r\n",
		"X: a\rY: b\r\n",
		"X: \x01\r\n",
		"X\x80: a\r\n",
		": a\r\n",
		"no colon\r\n",
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		snprintf(text, sizeof(text),
			 "POST /sum HTTP/1.1\r\n" HOST "%s\r\nhelloGET /hold HTTP/1.1\r\n" HOST "\r\n", heads[i]);
		check_refused(text, 400, DISCARD_malformed_http);
	}
	snprintf(text, sizeof(text), "POST /sum HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
	check_refused(text, 400, DISCARD_malformed_http);
	assert_null(held);
	assert_int_equal(n_begun, 0);
}

static void
test_nul_in_header(void **state)
{
	static const char request[] = "GET /sum HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
	struct http_peer *p = http_peer_new(base, server);

	(void)state;
	http_peer_send(p, request, sizeof(request) - 1);
	assert_non_null(strstr(http_peer_text(p), "malformed_http"));
	assert_true(http_peer_closed(p));
	http_peer_free(p);
}

static void
test_bad_chunks(void **state)
{
	static const char *const bodies[] = {
		"g\r\nhello\r\n0\r\n\r\n",
		"-5\r\nhello\r\n0\r\n\r\n",
		"5\nhello\r\n0\r\n\r\n",
		"5\r\nhelloX\r\n0\r\n\r\n",
		" 5\r\nhello\r\n0\r\n\r\n",
		"0x5\r\nhello\r\n0\r\n\r\n",
		"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"\r\nhello\r\n0\r\n\r\n",
		"5\r\nhello0\r\n\r\n",
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		snprintf(text, sizeof(text), "POST /sum HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%s",
			 bodies[i]);
		check_refused(text, 400, DISCARD_malformed_http);
	}
	assert_int_equal(n_lost, n_begun);
	assert_int_equal(n_answered, 0);
}

static void
test_limits(void **state)
{
	struct http_peer *p;
	char chunk[1024];

	(void)state;
	check_refused("POST /sum HTTP/1.1\r\n" HOST "Content-Length: 200001\r\n\r\n", 413, DISCARD_body_too_large);
	check_refused("POST /sum HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Encoding: br\r\n\r\nx", 415,
		      DISCARD_unsupported_encoding);
	p = http_peer_new(base, server);
	say(p, "POST /sum HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
	memset(chunk, 'x', sizeof(chunk));
	for (int i = 0; i < 400 && !http_peer_closed(p); i++) {
		say(p, "400\r\n");
		http_peer_send(p, chunk, 1024);
		say(p, "\r\n");
	}
	assert_non_null(strstr(http_peer_text(p), "body_too_large"));
	http_peer_free(p);
	/* a chunk extension without end */
	p = http_peer_new(base, server);
	http_peer_send(p, "POST /sum HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;", 59);
	memset(chunk, 'x', sizeof(chunk));
	for (int i = 0; i < 64 && !http_peer_closed(p); i++)
		http_peer_send(p, chunk, sizeof(chunk));
	assert_non_null(strstr(http_peer_text(p), "malformed_http"));
	http_peer_free(p);
}

static size_t
gzip(const void *data, size_t len, uint8_t *out, size_t cap)
{
	z_stream z = { 0 };
	uint8_t *copy = malloc(len);

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	memcpy(copy, data, len);
	z.next_in = copy;
	z.avail_in = (uInt)len;
	z.next_out = out;
	z.avail_out = (uInt)cap;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	free(copy);
	return cap - z.avail_out;
}

static size_t
post(char *out, size_t size, const char *path, const char *encoding, const void *body, size_t len)
{
	int n = snprintf(out, size, "POST %s HTTP/1.1\r\n" HOST "Content-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
			 path, encoding, len);

	memcpy(out + n, body, len);
	return (size_t)n + len;
}

static void
test_encodings(void **state)
{
	uint8_t packed[4096], twice[8192];
	char request[16384], plain[100000], want[64];
	size_t n, m;

	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (char)(i * i >> 7);
	memset(plain + 1000, 'z', sizeof(plain) - 1000);
	n = gzip(plain, 200, packed, sizeof(packed));
	snprintf(want, sizeof(want), "[/sum||%zu|200|%08lx]", n, adler32(0, (const Bytef *)plain, 200));
	check_splits(request, post(request, sizeof(request), "/sum", "gzip", packed, n), want);
	n = ZSTD_compress(packed, sizeof(packed), plain, 200, 3);
	snprintf(want, sizeof(want), "[/sum||%zu|200|%08lx]", n, adler32(0, (const Bytef *)plain, 200));
	check_splits(request, post(request, sizeof(request), "/sum", "zstd", packed, n), want);

	/* output larger than a piece, from a handler that pauses after each */
	n = gzip(plain, sizeof(plain), packed, sizeof(packed));
	memcpy(twice, packed, n); /* two members make one body */
	memcpy(twice + n, packed, n);
	m = post(request, sizeof(request), "/pause", "gzip", twice, 2 * n);
	for (int wait = 0; wait < 2; wait++) {
		struct http_peer *p = http_peer_new(base, server);
		unsigned resumed = 0;

		http_peer_send(p, request, m);
		while (held != NULL && strstr(http_peer_text(p), "HTTP/1.1") == NULL) {
			struct http_request *r = held;

			held = NULL;
			http_resume(r);
			http_peer_run(p);
			resumed++;
		}
		snprintf(want, sizeof(want), "[/pause||%zu|%zu|", 2 * n, 2 * sizeof(plain));
		assert_non_null(strstr(http_peer_text(p), want));
		assert_true(resumed >= 3);
		http_peer_free(p);
		n = ZSTD_compress(packed, sizeof(packed), plain, sizeof(plain), 3);
		memcpy(twice, packed, n);
		memcpy(twice + n, packed, n);
		m = post(request, sizeof(request), "/pause", "zstd", twice, 2 * n);
	}
}

static void
check_body(const char *encoding, const void *body, size_t len, enum discard why)
{
	const uint64_t before = discard_get(why);
	struct http_peer *p = http_peer_new(base, server);
	char *request = malloc(len + 512);

	http_peer_send(p, request, post(request, len + 512, "/sum", encoding, body, len));
	if (strstr(http_peer_text(p), discard_code(why)) == NULL)
		fail_msg("%s", http_peer_text(p));
	assert_int_equal(discard_get(why) - before, 1);
	free(request);
	http_peer_free(p);
}

static void
test_bad_encodings(void **state)
{
	const size_t big = 4000000;
	uint8_t *zeros = calloc(1, big), packed[16384];
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	ZSTD_inBuffer src = { zeros, 0, 0 };
	ZSTD_outBuffer dst = { packed, 0, 0 };
	size_t n;

	(void)state;
	n = gzip(zeros, big, packed, sizeof(packed));
	check_body("gzip", packed, n, DISCARD_bomb);
	check_body("gzip", packed, 100, DISCARD_bad_gzip);
	packed[0] ^= 1;
	check_body("gzip", packed, n, DISCARD_bad_gzip);
	check_body("gzip", "not gzip at all", 15, DISCARD_bad_gzip);
	n = ZSTD_compress(packed, sizeof(packed), zeros, big, 1);
	check_body("zstd", packed, n, DISCARD_bomb);
	check_body("zstd", packed, n - 3, DISCARD_bomb);
	check_body("zstd", "not zstd at all", 15, DISCARD_bad_zstd);
	n = ZSTD_compress(packed, sizeof(packed), "0123456789abcdef0123456789", 26, 1);
	check_body("zstd", packed, n - 3, DISCARD_bad_zstd);
	/* a window larger than we grant is refused before any memory is taken */
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, 27);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_enableLongDistanceMatching, 1);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0);
	src.size = 500000;
	dst.size = sizeof(packed);
	assert_int_equal(ZSTD_compressStream2(ctx, &dst, &src, ZSTD_e_flush), 0);
	assert_int_equal(ZSTD_compressStream2(ctx, &dst, &src, ZSTD_e_end), 0);
	check_body("zstd", packed, dst.pos, DISCARD_bad_zstd);
	ZSTD_freeCCtx(ctx);
	free(zeros);
}

static void
test_continue(void **state)
{
	static const char head[] = "POST /sum HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
	static const char refused[] =
		"POST /refuse HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
	struct http_peer *p = http_peer_new(base, server);

	(void)state;
	http_peer_send(p, head, sizeof(head) - 1);
	assert_string_equal(http_peer_text(p), "HTTP/1.1 100 Continue\r\n\r\n");
	say(p, "hello");
	assert_non_null(strstr(http_peer_text(p) + 25, "HTTP/1.1 200 OK\r\n"));
	http_peer_free(p);
	p = http_peer_new(base, server);
	http_peer_send(p, refused, sizeof(refused) - 1);
	assert_null(strstr(http_peer_text(p), "100 Continue"));
	assert_non_null(strstr(http_peer_text(p), "HTTP/1.1 413 "));
	assert_non_null(strstr(http_peer_text(p), "\"field\":\"upload \\\"x\\\"\"}}"));
	assert_true(http_peer_closed(p));
	http_peer_free(p);
}

static void
test_head_and_close(void **state)
{
	struct http_peer *p = http_peer_new(base, server);
	const char *text;

	(void)state;
	say(p, "HEAD /sum HTTP/1.1\r\n" HOST "\r\n");
	text = http_peer_text(p);
	assert_non_null(strstr(text, "Content-Length: 20\r\n"));
	assert_non_null(strstr(text, "Server: faultline\r\nDate: "));
	assert_string_equal(text + strlen(text) - 4, "\r\n\r\n");
	assert_false(http_peer_closed(p));
	say(p, "GET /sum HTTP/1.0\r\n\r\n");
	assert_true(http_peer_closed(p));
	http_peer_free(p);
	p = http_peer_new(base, server);
	say(p, "GET /sum HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nGET /sum HTTP/1.1\r\n" HOST "\r\n");
	assert_true(http_peer_closed(p));
	assert_non_null(strstr(http_peer_text(p), "Connection: close\r\n"));
	assert_null(strstr(strstr(http_peer_text(p), "[/sum"), "HTTP/1.1"));
	http_peer_free(p);
}

static void
test_allow(void **state)
{
	struct http_peer *p = http_peer_new(base, server);

	(void)state;
	say(p, "DELETE /sum HTTP/1.1\r\n" HOST "\r\n");
	assert_non_null(strstr(http_peer_text(p), "Allow: GET, HEAD, POST\r\n"));
	http_peer_free(p);
}

static void
test_etag(void **state)
{
	(void)state;
	check("GET /tag HTTP/1.1\r\n" HOST "\r\n", "ETag: \"v1\"\r\n\r\ntagged");
	check("GET /tag HTTP/1.1\r\n" HOST "If-None-Match: \"v0\", W/\"v1\"\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n");
	check("GET /tag HTTP/1.1\r\n" HOST "If-None-Match: \"v11\", \"v\"\r\n\r\n", "HTTP/1.1 200 ");
	check("GET /tag HTTP/1.1\r\n" HOST "If-None-Match: *\r\n\r\n", "HTTP/1.1 304 ");
}

static void
test_answer_later(void **state)
{
	struct http_peer *p = http_peer_new(base, server);

	(void)state;
	say(p, "GET /hold HTTP/1.1\r\n" HOST "\r\nGET /sum HTTP/1.1\r\n" HOST "\r\n");
	assert_non_null(held);
	assert_string_equal(http_peer_text(p), "");
	http_answer(held, 202, "text/plain", "later", 5);
	http_peer_run(p);
	assert_non_null(strstr(http_peer_text(p), "later"));
	assert_true(strstr(http_peer_text(p), "later") < strstr(http_peer_text(p), "[/sum||"));
	assert_int_equal(n_answered, 2);
	/* half-closed: the answer still arrives */
	say(p, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
	http_peer_finish(p);
	assert_non_null(held);
	http_answer(held, 202, "text/plain", "at last", 7);
	http_peer_run(p);
	assert_non_null(strstr(http_peer_text(p), "HTTP/1.1 202"));
	http_peer_free(p);
	assert_int_equal(n_lost, 0);
}

static void
test_lost(void **state)
{
	struct http_peer *p = http_peer_new(base, server);

	(void)state;
	say(p, "POST /sum HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel");
	http_peer_finish(p);
	assert_non_null(strstr(http_peer_text(p), "body_truncated"));
	http_peer_free(p);
	assert_int_equal(n_lost, 1);
	p = http_peer_new(base, server);
	say(p, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
	assert_non_null(held);
	http_server_free(server);
	assert_null(held);
	assert_int_equal(n_lost, 2);
	server = http_server_new(base, routes, sizeof(routes) / sizeof(routes[0]), &options);
	http_peer_free(p);
}

static void
test_stream(void **state)
{
	struct http_peer *p = http_peer_new(base, server);
	const uint64_t slow = discard_get(DISCARD_slow_reader);

	(void)state;
	say(p, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(http_stream_send(held, "data: 1\n\n", 9), 0);
	http_peer_run(p);
	assert_non_null(strstr(http_peer_text(p), "Connection: close\r\n\r\ndata: 1\n\n"));
	http_stream_end(held);
	http_peer_run(p);
	assert_null(held);
	assert_true(http_peer_closed(p));
	http_peer_free(p);
	/* who leaves is noticed; who does not read is dropped */
	p = http_peer_new(base, server);
	say(p, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	assert_non_null(held);
	http_peer_finish(p);
	assert_null(held);
	http_peer_free(p);
	assert_int_equal(discard_get(DISCARD_slow_reader), slow);
	p = http_peer_new(base, server);
	say(p, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	http_peer_stop_reading(p);
	for (int i = 0; i < 1000 && held != NULL; i++) {
		if (http_stream_send(held, "data: 0123456789\n\n", 18) == -1)
			assert_int_equal(http_stream_send(held, "x", 1), -1); /* dead, and still safe to ask */
		http_peer_run(p);
	}
	assert_null(held);
	assert_int_equal(discard_get(DISCARD_slow_reader), slow + 1);
	http_peer_free(p);
}

static struct http_peer *waiting;
static bool
waiting_closed(void)
{
	return http_peer_closed(waiting);
}

static bool
nobody_left(void)
{
	return http_server_connections(server) == 0;
}

/* Who does not take its answer is cut off; the blob it held is released. */
static void
test_unread_answer(void **state)
{
	struct http_peer *p = http_peer_new(base, server);
	const uint64_t slow = discard_get(DISCARD_slow_reader);
	struct http_blob *b = http_blob_new("0123456789", 10);

	(void)state;
	http_peer_stop_reading(p);
	say(p, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
	http_answer_blob(held, 200, "text/plain", b);
	assert_null(held); /* the handler is done with it */
	wait_for(nobody_left);
	assert_int_equal(discard_get(DISCARD_slow_reader), slow + 1);
	http_blob_unref(b);
	http_peer_free(p);
}

static void
test_deadlines(void **state)
{
	static const struct {
		const char *sent;
		enum discard why;
	} rows[] = {
		{ "", DISCARD_idle_timeout },
		{ "GET /sum HT", DISCARD_header_timeout },
		{ "POST /sum HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel", DISCARD_request_timeout },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint64_t before = discard_get(rows[i].why);

		waiting = http_peer_new(base, server);
		http_peer_send(waiting, rows[i].sent, strlen(rows[i].sent));
		wait_for(waiting_closed);
		assert_int_equal(discard_get(rows[i].why) - before, 1);
		if (*rows[i].sent != '\0')
			assert_non_null(strstr(http_peer_text(waiting), "HTTP/1.1 408 "));
		http_peer_free(waiting);
	}
}

static void
test_max_connections(void **state)
{
	struct http_peer *peers[65];
	const uint64_t before = discard_get(DISCARD_too_many_connections);

	(void)state;
	for (int i = 0; i < 65; i++)
		peers[i] = http_peer_new(base, server);
	assert_int_equal(http_server_connections(server), 64);
	assert_int_equal(counter_get(COUNTER_connections_api), 64);
	assert_int_equal(discard_get(DISCARD_too_many_connections) - before, 1);
	for (int i = 0; i < 65; i++)
		http_peer_free(peers[i]);
	assert_int_equal(http_server_connections(server), 0);
	assert_int_equal(counter_get(COUNTER_connections_api), 0);
}

static void
test_drain(void **state)
{
	struct http_peer *idle = http_peer_new(base, server), *busy = http_peer_new(base, server);

	(void)state;
	say(busy, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
	http_server_drain(server);
	http_peer_run(idle);
	assert_int_equal(http_server_connections(server), 1);
	http_answer(held, 200, "text/plain", "ok", 2);
	http_peer_run(busy);
	assert_non_null(strstr(http_peer_text(busy), "Connection: close\r\n"));
	assert_int_equal(http_server_connections(server), 0);
	http_peer_free(idle);
	http_peer_free(busy);
}

static const struct tokens *
the_tokens(void *arg)
{
	return arg;
}

static void
test_token(void **state)
{
	char path[] = "/tmp/test_http.XXXXXX", err[256];
	struct http_options o = options;
	int fd = mkstemp(path);
	struct tokens *t;

	(void)state;
	assert_int_equal(write(fd, "0123456789abcdef\n", 17), 17);
	t = tokens_load(path, err, sizeof(err));
	unlink(path);
	close(fd);
	assert_non_null(t);
	check("GET /secret HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 200 "); /* none configured */
	o.tokens = the_tokens;
	o.tokens_arg = t;
	http_server_configure(server, &o);
	check_refused("GET /secret HTTP/1.1\r\n" HOST "\r\n", 401, DISCARD_unauthorized);
	check_refused("GET /secret HTTP/1.1\r\n" HOST "Authorization: Bearer 0123456789abcdeX\r\n\r\n", 401,
		      DISCARD_unauthorized);
	check("GET /secret HTTP/1.1\r\n" HOST "Authorization: Bearer 0123456789abcdef\r\n\r\n", "HTTP/1.1 200 ");
	http_server_configure(server, &options);
	tokens_free(t);
}

static void
test_bind(void **state)
{
	char err[256];
	int fd = http_bind("127.0.0.1:0", true, err, sizeof(err));

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(http_server_listen(server, fd), 0);
	assert_true(http_server_port(server) > 0);
	assert_int_equal(http_bind("127.0.0.1", false, err, sizeof(err)), -1);
	assert_int_equal(http_bind("::1:80", false, err, sizeof(err)), -1);
	assert_int_equal(http_bind("1.2.3.4:99999x", false, err, sizeof(err)), -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_simple),    T(test_chunked),       T(test_pipelined),    T(test_refused),
		T(test_smuggling), T(test_nul_in_header), T(test_bad_chunks),   T(test_limits),
		T(test_encodings), T(test_bad_encodings), T(test_continue),     T(test_head_and_close),
		T(test_allow),     T(test_etag),          T(test_answer_later), T(test_lost),
		T(test_stream),    T(test_unread_answer), T(test_deadlines),    T(test_max_connections),
		T(test_drain),     T(test_token),         T(test_bind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
