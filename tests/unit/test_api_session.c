/* SPDX-License-Identifier: Apache-2.0 */
/* Signing in, what a cookie may do, who may have made a browser ask; and what the shell's answers say. */
#include "config.h"

#include <sys/stat.h>

#include "base/token.h"
#include "collector/api/assets.h"
#include "collector/api/encoding.h"
#include "collector/api/idem.h"
#include "collector/api/session.h"
#include "collector/api/topics.h"
#include "collector/http/http.h"
#include "tests/unit/api_world.h"

#define TOKEN "0123456789abcdef-token"
#define OTHER "another-token-0123456789"
#define PAGE  "Origin: http://localhost\r\nX-Faultline: 1\r\n"

static struct tokens *
tokens_of(const struct world *w, const char *token)
{
	char path[128], err[256];
	struct tokens *t;
	FILE *f;

	world_path(w, "tokens", path, sizeof(path));
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "%s\n", token);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	t = tokens_load(path, err, sizeof(err));
	assert_non_null(t);
	return t;
}

/* ---- pure ---- */

static void
cookies(void **state)
{
	static const struct {
		const char *header, *value;
	} cases[] = {
		{ "faultline=abc", "abc" },
		{ "a=b; faultline=abc; c=d", "abc" },
		{ "a=b;faultline=abc ;c", "abc" },
		{ "faultline=\"abc\"", "abc" },
		{ "xfaultline=abc", NULL },
		{ "faultline", NULL },
		{ "faultline=", NULL },
		{ "faultline=\"\"", NULL },
		{ "faultline=toolongforthis", NULL },
		{ "a=faultline=abc", NULL },
		{ "", NULL },
		{ ";;; ;", NULL },
	};
	char buf[8];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool found = session_cookie(cases[i].header, "faultline", buf, sizeof(buf));

		assert_int_equal(found, cases[i].value != NULL);
		if (found)
			assert_string_equal(buf, cases[i].value);
	}
}

static void
origins(void **state)
{
	(void)state;
	assert_true(session_same_origin("http://a.example:8482", "a.example:8482"));
	assert_true(session_same_origin("https://A.example", "a.EXAMPLE"));
	assert_false(session_same_origin("http://a.example:8483", "a.example:8482"));
	assert_false(session_same_origin("http://a.example.evil", "a.example"));
	assert_false(session_same_origin("null", "null"));
	assert_false(session_same_origin("", ""));
	assert_false(session_same_origin("http://", ""));
	assert_false(session_same_origin("ftp://a", "a"));
}

static void
encodings(void **state)
{
	const unsigned all = 1u << ENCODING_GZIP | 1u << ENCODING_BROTLI | 1u << ENCODING_ZSTD;
	static const struct {
		const char *accept;
		enum encoding pick;
	} cases[] = {
		{ NULL, ENCODING_PLAIN },
		{ "", ENCODING_PLAIN },
		{ "gzip", ENCODING_GZIP },
		{ "x-gzip", ENCODING_GZIP },
		{ "gzip, deflate, br, zstd", ENCODING_BROTLI },
		{ "gzip, zstd", ENCODING_ZSTD },
		{ "gzip;q=1.0, br;q=0.5", ENCODING_GZIP },
		{ "br;q=0, gzip;q=0.001", ENCODING_GZIP },
		{ "br;q=0.0, gzip ; q=0", ENCODING_PLAIN },
		{ "*", ENCODING_BROTLI },
		{ "*;q=0.3, br;q=0", ENCODING_ZSTD },
		{ "gzip;q=1.5", ENCODING_PLAIN },
		{ "gzip;q=0.1234", ENCODING_PLAIN },
		{ "gzip;q=", ENCODING_PLAIN },
		{ "identity, BR", ENCODING_BROTLI },
		{ "brx, gzi", ENCODING_PLAIN },
		{ ",,, ;q=1, gzip,", ENCODING_GZIP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(encoding_pick(cases[i].accept, all), cases[i].pick);
	assert_int_equal(encoding_pick("br, gzip;q=0.1", 1u << ENCODING_GZIP), ENCODING_GZIP);
	assert_int_equal(encoding_pick("br", 1u << ENCODING_GZIP), ENCODING_PLAIN);
}

static void
sessions_age_and_are_few(void **state)
{
	struct world *w = *state;
	struct sessions *s = sessions_new();
	struct tokens *t = tokens_of(w, TOKEN), *other;
	char first[SESSION_ID_SIZE], id[SESSION_ID_SIZE];
	int64_t now = 1000000, expires;

	assert_false(sessions_begin(s, t, "wrong", 5, now, first));
	assert_false(sessions_begin(s, NULL, TOKEN, strlen(TOKEN), now, first));
	assert_true(sessions_begin(s, t, TOKEN, strlen(TOKEN), now, first));
	assert_true(sessions_find(s, t, first, now, &expires));
	assert_int_equal(expires, now + SESSION_IDLE_US);
	first[5] ^= 1;
	assert_false(sessions_find(s, t, first, now, NULL));
	assert_false(sessions_find(s, t, "", now, NULL));
	first[5] ^= 1;
	for (now = 1000000; now < SESSION_AGE_US; now += SESSION_IDLE_US) /* used: it goes on, up to its age */
		assert_true(sessions_find(s, t, first, now, NULL));
	assert_false(sessions_find(s, t, first, SESSION_AGE_US + 1000001, NULL));

	assert_true(sessions_begin(s, t, TOKEN, strlen(TOKEN), now, first));
	assert_false(sessions_find(s, t, first, now + SESSION_IDLE_US + 1, NULL)); /* not used */

	assert_true(sessions_begin(s, t, TOKEN, strlen(TOKEN), now, first));
	for (unsigned i = 1; i < SESSIONS_MAX; i++)
		assert_true(sessions_begin(s, t, TOKEN, strlen(TOKEN), now + i, id));
	assert_true(sessions_find(s, t, first, now + SESSIONS_MAX, NULL));
	assert_true(sessions_begin(s, t, TOKEN, strlen(TOKEN), now + SESSIONS_MAX + 1, id)); /* not the one just used */
	assert_true(sessions_find(s, t, first, now + SESSIONS_MAX + 2, NULL));

	other = tokens_of(w, OTHER); /* the file was changed: whoever signed in with what is gone is out */
	assert_false(sessions_find(s, other, id, now + SESSIONS_MAX + 3, NULL));
	assert_false(sessions_find(s, t, id, now + SESSIONS_MAX + 3, NULL));
	sessions_end(s, first);
	assert_false(sessions_find(s, t, first, now + SESSIONS_MAX + 4, NULL));
	tokens_free(t);
	tokens_free(other);
	sessions_free(s);
}

static void
topics(void **state)
{
	static const char *const bad[] = {
		"", ",", "now,", "Now", "deployment:", "deployment:a/b", "now,now,now,now,now,now,now,now,now"
	};
	struct topics t;

	(void)state;
	assert_int_equal(topics_parse("now,deployment:d1,alarms,deployment:d-2", &t), 0);
	assert_true(t.now && t.alarms && !t.signatures && !t.verdicts);
	assert_int_equal(topics_deployment(&t, "d1"), 0);
	assert_int_equal(topics_deployment(&t, "d-2"), 1);
	assert_int_equal(topics_deployment(&t, "d"), -1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(topics_parse(bad[i], &t), -1);
}

static void
same_request_again(void **state)
{
	struct idem *m = idem_new();
	struct http_blob *b = http_blob_new("x", 1), *got = NULL;

	(void)state;
	assert_true(idem_key("a-B_9"));
	assert_false(idem_key("") || idem_key("a b") ||
		     idem_key("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	assert_int_equal(idem_begin(m, "k", "/a", "body", 4, 1, &got), IDEM_NEW);
	assert_int_equal(idem_begin(m, "k", "/a", "body", 4, 2, &got), IDEM_BUSY);
	assert_int_equal(idem_begin(m, "k", "/a", "other", 5, 2, &got), IDEM_OTHER);
	assert_int_equal(idem_begin(m, "k", "/b", "other", 5, 2, &got), IDEM_NEW);
	idem_drop(m, "k", "/b");
	assert_int_equal(idem_begin(m, "k", "/b", "body", 4, 2, &got), IDEM_NEW);
	idem_keep(m, "k", "/a", b);
	idem_drop(m, "k", "/a"); /* it is answered: it stays */
	assert_int_equal(idem_begin(m, "k", "/a", "body", 4, 3, &got), IDEM_AGAIN);
	assert_ptr_equal(got, b);
	assert_int_equal(idem_begin(m, "k", "/a", "body", 4, IDEM_AGE_US + 2, &got), IDEM_NEW);
	assert_int_equal(idem_begin(m, "k", "/a", "body", 4, IDEM_AGE_US + IDEM_WAIT_US + 3, &got), IDEM_NEW);
	for (unsigned i = 0; i < IDEM_KEPT; i++) { /* the oldest goes */
		char key[16];

		snprintf(key, sizeof(key), "n%u", i);
		assert_int_equal(idem_begin(m, key, "/", "", 0, 2 * IDEM_AGE_US + i, &got), IDEM_NEW);
	}
	assert_int_equal(idem_begin(m, "n0", "/", "", 0, 2 * IDEM_AGE_US + 600, &got), IDEM_BUSY);
	http_blob_unref(b);
	idem_free(m);
}

/* ---- over HTTP ---- */

static const char *
role_of(const struct client *c)
{
	return text(c, "role");
}

/* Sign in and take the cookie as a header line. */
static void
sign_in(struct world *w, struct client *c, char *cookie, size_t size)
{
	const char *at;

	ask(w, c, "POST", "/v1/session", JSON_TYPE PAGE, "{\"token\":\"" TOKEN "\"}");
	assert_int_equal(c->status, 200);
	assert_string_equal(role_of(c), "operator");
	at = strstr(c->buf, "Set-Cookie: ");
	assert_non_null(at);
	assert_non_null(strstr(at, "; Path=/; HttpOnly; SameSite=Strict"));
	snprintf(cookie, size, "Cookie: %.*s\r\n", (int)strcspn(at + 12, ";"), at + 12);
}

static int
status(struct world *w, const char *method, const char *path, const char *headers, const char *body)
{
	struct client c;
	int is;

	client_open(&c, w);
	ask(w, &c, method, path, headers, body);
	is = c.status;
	client_close(&c);
	return is;
}

static void
a_session_is_as_good_as_its_token(void **state)
{
	struct world *w = *state;
	char cookie[160], headers[512];
	struct client c;

	w->tokens = tokens_of(w, TOKEN);
	world_deploy(w, VERDICT_HOLD, STATE_NOTHING_SERVED, "nothing");
	w->fold->position = UINT64_MAX / 2;
	api_free(w->api);
	world_start_api(w, false);
	client_open(&c, w);
	ask(w, &c, "GET", "/v1/session", "", "");
	assert_string_equal(role_of(&c), "(none)");
	assert_true(json_is_false(json_object_get(c.body, "signed_in")));
	ask(w, &c, "POST", "/v1/session", JSON_TYPE PAGE, "{\"token\":\"" OTHER "\"}");
	assert_refused(&c, 401, "unauthorized", "token");
	client_close(&c);
	client_open(&c, w);
	sign_in(w, &c, cookie, sizeof(cookie));
	assert_null(strstr(c.buf, "Secure"));
	ask(w, &c, "GET", "/v1/session", cookie, "");
	assert_string_equal(text(&c, "by"), "cookie");
	assert_string_not_equal(text(&c, "expires"), "(none)");
	client_close(&c);
	assert_int_equal(status(w, "GET", "/v1/now", "", ""), 401);
	assert_int_equal(status(w, "GET", "/v1/now", cookie, ""), 200);
	snprintf(headers, sizeof(headers), "%s" JSON_TYPE PAGE, cookie);
	assert_int_equal(status(w, "POST", "/v1/deployments/d1/pause", headers, "{\"reason\":\"x\"}"), 200);

	/* with a token header the cookie is not looked at */
	snprintf(headers, sizeof(headers), "%sAuthorization: Bearer wrong-wrong-wrong-wrong\r\n", cookie);
	assert_int_equal(status(w, "GET", "/v1/now", headers, ""), 401);

	/* behind TLS */
	client_open(&c, w);
	ask(w, &c, "POST", "/v1/session",
	    JSON_TYPE "X-Faultline: 1\r\nOrigin: https://localhost\r\nX-Forwarded-Proto: https\r\n",
	    "{\"token\":\"" TOKEN "\"}");
	assert_int_equal(c.status, 200);
	assert_non_null(strstr(c.buf, "SameSite=Strict; Secure"));

	snprintf(headers, sizeof(headers), "%s" JSON_TYPE PAGE, cookie);
	ask(w, &c, "DELETE", "/v1/session", headers, "");
	assert_int_equal(c.status, 200);
	assert_non_null(strstr(c.buf, "Max-Age=0"));
	client_close(&c);
	assert_int_equal(status(w, "GET", "/v1/now", cookie, ""), 401);
}

static void
other_sites_write_nothing(void **state)
{
	static const char *const forged[] = {
		"", /* no origin at all: not a page of ours */
		"X-Faultline: 1\r\n",
		"Origin: http://localhost\r\n", /* a form of ours would not have the header */
		"Origin: http://localhost\r\nX-Faultline: \r\n",
		"Origin: http://evil.example\r\nX-Faultline: 1\r\n",
		"Origin: null\r\nX-Faultline: 1\r\n",
		"Origin: http://localhost:1\r\nX-Faultline: 1\r\n",
	};
	struct world *w = *state;
	char cookie[160], headers[512];
	struct client c;

	w->tokens = tokens_of(w, TOKEN);
	world_deploy(w, VERDICT_HOLD, STATE_NOTHING_SERVED, "nothing");
	w->fold->position = UINT64_MAX / 2;
	client_open(&c, w);
	sign_in(w, &c, cookie, sizeof(cookie));
	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		snprintf(headers, sizeof(headers), "%s" JSON_TYPE "%s", cookie, forged[i]);
		assert_int_equal(status(w, "POST", "/v1/deployments/d1/pause", headers, "{\"reason\":\"x\"}"), 403);
		assert_int_equal(status(w, "DELETE", "/v1/deployments/d1", headers, "{\"reason\":\"x\"}"), 403);
	}
	snprintf(headers, sizeof(headers), "%sContent-Type: text/plain\r\n" PAGE, cookie);
	assert_int_equal(status(w, "POST", "/v1/deployments/d1/pause", headers, "{\"reason\":\"x\"}"), 415);
	/* nobody is signed in by another site either */
	ask(w, &c, "POST", "/v1/session", JSON_TYPE "X-Faultline: 1\r\nOrigin: http://evil.example\r\n",
	    "{\"token\":\"" TOKEN "\"}");
	assert_refused(&c, 403, "bad_origin", "Origin");
	client_close(&c);
	client_open(&c, w);
	ask(w, &c, "POST", "/v1/session", JSON_TYPE, "{\"token\":\"" TOKEN "\"}");
	assert_int_equal(c.status, 403);
	client_close(&c);
	/* reading changes nothing; and a program with the token is no page */
	assert_int_equal(status(w, "GET", "/v1/now", cookie, ""), 200);
	assert_int_equal(status(w, "POST", "/v1/deployments/d1/pause",
				JSON_TYPE "Origin: http://evil.example\r\nAuthorization: Bearer " TOKEN "\r\n",
				"{\"reason\":\"x\"}"),
			 200);
}

static void
without_tokens(void **state)
{
	struct world *w = *state;
	struct client c;

	world_deploy(w, VERDICT_HOLD, STATE_NOTHING_SERVED, "nothing");
	w->fold->position = UINT64_MAX / 2;
	client_open(&c, w);
	ask(w, &c, "GET", "/v1/session", "", "");
	assert_true(json_is_true(json_object_get(c.body, "signed_in")));
	assert_true(json_is_false(json_object_get(c.body, "needed")));
	assert_string_equal(role_of(&c), "operator");
	client_close(&c);
	assert_int_equal(status(w, "POST", "/v1/deployments/d1/pause", JSON_TYPE, "{\"reason\":\"x\"}"), 200);
	assert_int_equal(status(w, "POST", "/v1/deployments/d1/pause", JSON_TYPE PAGE, "{\"reason\":\"x\"}"), 200);
	assert_int_equal(status(w, "POST", "/v1/deployments/d1/pause", JSON_TYPE "Origin: http://evil.example\r\n",
				"{\"reason\":\"x\"}"),
			 403);
}

static void
bodies_of_a_sign_in(void **state)
{
	static const char *const bad[] = { "",           "{}", "[]", "{\"token\":1}", "{\"token\":\"a\",\"more\":1}",
					   "{\"token\":" };
	struct world *w = *state;

	w->tokens = tokens_of(w, TOKEN);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(status(w, "POST", "/v1/session", JSON_TYPE PAGE, bad[i]), 400);
	assert_int_equal(status(w, "POST", "/v1/session", "Content-Type: text/plain\r\n" PAGE, "{}"), 415);
}

/* ---- the shell ---- */

static void
every_page_is_the_shell(void **state)
{
	static const char *const pages[] = { "/",           "/deployments",     "/deployments/d1",
					     "/signatures", "/signatures/s1-0", "/hosts/h:0123456789abcdef",
					     "/halts",      "/halts/3",         "/health",
					     "/signin",     "/about",           "/hosts",
					     "/index.html" };
	struct world *w = *state;
	char etag[96] = "", headers[160];
	struct client c;

	if (n_assets == 0)
		skip();
	client_open(&c, w);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		ask(w, &c, "GET", pages[i], "", "");
		assert_int_equal(c.status, 200);
		assert_non_null(strstr(c.buf, "Content-Type: text/html"));
		assert_non_null(strstr(c.buf, "Cache-Control: no-cache\r\n"));
		assert_non_null(strstr(c.buf, "Content-Security-Policy: default-src 'none'; script-src 'self'; "
					      "style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
					      "form-action 'self'; frame-ancestors 'none'; "
					      "require-trusted-types-for 'script'; trusted-types 'none'"));
		assert_non_null(strstr(c.buf, "Cross-Origin-Opener-Policy: same-origin\r\n"));
		assert_non_null(strstr(c.buf, "Cross-Origin-Resource-Policy: same-origin\r\n"));
		assert_non_null(strstr(c.buf, "X-Content-Type-Options: nosniff\r\n"));
		assert_non_null(strstr(c.buf, "Referrer-Policy: no-referrer\r\n"));
		assert_true(i == 0 || strcmp(etag, c.etag) == 0);
		strcpy(etag, c.etag);
	}
	snprintf(headers, sizeof(headers), "If-None-Match: %s\r\n", etag);
	ask(w, &c, "GET", "/deployments/d2", headers, "");
	assert_int_equal(c.status, 304);
	ask(w, &c, "GET", "/", "Accept-Encoding: gzip;q=0, br;q=0, zstd;q=0\r\n", "");
	assert_null(strstr(c.buf, "Content-Encoding"));
	ask(w, &c, "GET", "/", "Accept-Encoding: gzip\r\n", "");
	assert_non_null(strstr(c.buf, "Content-Encoding: gzip\r\n"));
	ask(w, &c, "GET", "/nothing", "", "");
	assert_int_equal(c.status, 404);
	client_close(&c);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cookies),
		cmocka_unit_test(origins),
		cmocka_unit_test(encodings),
		cmocka_unit_test(topics),
		cmocka_unit_test(same_request_again),
		T(sessions_age_and_are_few),
		T(a_session_is_as_good_as_its_token),
		T(other_sites_write_nothing),
		T(without_tokens),
		T(bodies_of_a_sign_in),
		T(every_page_is_the_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
