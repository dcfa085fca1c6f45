/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, and what may he do; /v1/session: signing in with a token, for browsers. */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/token.h"
#include "collector/api/call.h"
#include "collector/api/session.h"

#define TOKEN_MAX 1024u

/* What a role may do, by the names of the pages.  One role that may everything, and one that may look. */
static const char *const operator_can[] = { "read", "halt",   "resume", "pause", "ack",   "release",
					    "mute", "accept", "triage", "dump",  "admin", NULL };
static const char *const viewer_can[] = { "read", NULL };

bool
sign_in_session(void *arg, const struct http_request *r)
{
	struct api *a = arg;
	const char *cookie = http_header(r, "cookie");
	char id[SESSION_ID_SIZE];

	return cookie != NULL && session_cookie(cookie, SESSION_COOKIE, id, sizeof(id)) &&
	       sessions_find(a->sessions, a->env.tokens(a->env.arg), id, clock_wall_us(), NULL);
}

/* A form, an image or a link cannot send this; a script of another site must ask before. */
static bool
has_custom(const struct http_request *r)
{
	const char *custom = http_header(r, "x-faultline");

	return custom != NULL && strcmp(custom, "1") == 0;
}

/* Was it a page of our own that asked?  Its origin is our name. */
static bool
is_own_page(const struct http_request *r)
{
	const char *origin = http_header(r, "origin"), *host = http_header(r, "host");

	return origin != NULL && host != NULL && has_custom(r) && session_same_origin(origin, host);
}

bool
sign_in_is_forged(struct http_request *r)
{
	if (r->method == HTTP_METHOD_GET)
		return false;
	if (http_by_session(r))
		return !is_own_page(r);
	return http_header(r, "origin") != NULL && !http_authenticated(r) && !is_own_page(r);
}

struct caller
sign_in_caller(struct http_request *r)
{
	const struct api *a = r->arg;

	if (!http_tokens_configured(r))
		return (struct caller){ .role = ROLE_OPERATOR, .browser = http_header(r, "origin") != NULL };
	if (http_authenticated(r))
		return (struct caller){ .role = ROLE_OPERATOR, .browser = http_by_session(r) };
	return (struct caller){ .role = a->env.open_reads ? ROLE_VIEWER : ROLE_NONE };
}

void
sign_in_members(struct jsonout *j, enum role role)
{
	static const char *const names[] = { NULL, "viewer", "operator" };
	const char *const *can = role == ROLE_OPERATOR ? operator_can : viewer_can;

	jsonout_string(j, "role", names[role]);
	jsonout_open(j, "can", '[');
	for (size_t i = 0; role != ROLE_NONE && can[i] != NULL; i++)
		jsonout_string(j, NULL, can[i]);
	jsonout_close(j, ']');
}

/* ---- /v1/session ---- */

static void
answer(struct call *c, enum role role, const char *by, int64_t expires_us)
{
	struct http_request *r = c->req;

	jsonout_open(&c->out, NULL, '{');
	jsonout_bool(&c->out, "signed_in", by != NULL);
	jsonout_bool(&c->out, "needed", http_tokens_configured(r));
	jsonout_string(&c->out, "by", by != NULL ? by : "none");
	jsonout_time(&c->out, "expires", expires_us);
	sign_in_members(&c->out, role);
	jsonout_close(&c->out, '}');
	call_send(c);
}

static void
show_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	const char *cookie = http_header(r, "cookie");
	char id[SESSION_ID_SIZE];
	int64_t expires_us = 0;
	const char *by;

	if (c == NULL)
		return;
	by = !http_tokens_configured(r) ? "none"
	     : !http_authenticated(r)   ? NULL
	     : http_by_session(r)       ? "cookie"
					: "bearer";
	if (by != NULL && strcmp(by, "cookie") == 0 && session_cookie(cookie, SESSION_COOKIE, id, sizeof(id)))
		sessions_find(c->api->sessions, c->api->env.tokens(c->api->env.arg), id, clock_wall_us(), &expires_us);
	answer(c, sign_in_caller(r).role, by, expires_us);
}

const struct http_ops session_ops = { .begin = show_begin, .end = call_end };

static bool
is_tls(const struct http_request *r)
{
	const char *proto = http_header(r, "x-forwarded-proto");

	return proto != NULL && strcasecmp(proto, "https") == 0;
}

static void
set_cookie(struct http_request *r, const char *id)
{
	char value[160];

	snprintf(value, sizeof(value), SESSION_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict%s%s", id,
		 *id != '\0' ? "" : "; Max-Age=0", is_tls(r) ? "; Secure" : "");
	http_set_header(r, "Set-Cookie", value);
}

/* A page of another site must not sign its visitor in, either. */
static void
change_begin(struct http_request *r)
{
	struct call *c = call_new(r);

	if (c != NULL && (!has_custom(r) || (http_header(r, "origin") != NULL && !is_own_page(r))))
		call_refuse(c, DISCARD_bad_origin, "X-Faultline", NULL);
}

static void
begin_complete(struct http_request *r)
{
	struct call *c = r->ctx;
	const struct tokens *tokens = c->api->env.tokens(c->api->env.arg);
	json_t *body = json_loadb(c->body != NULL ? c->body : "", c->body_len, JSON_REJECT_DUPLICATES, NULL), *token;
	char id[SESSION_ID_SIZE];

	token = json_object_get(body, "token");
	if (!json_is_string(token) || json_object_size(body) != 1 || json_string_length(token) > TOKEN_MAX) {
		call_refuse(c, body == NULL ? DISCARD_invalid_json : DISCARD_invalid_field, "token",
			    "send {\"token\":\"...\"}");
	} else if (!http_tokens_configured(r)) {
		answer(c, ROLE_OPERATOR, "none", 0);
	} else if (!sessions_begin(c->api->sessions, tokens, json_string_value(token), json_string_length(token),
				   clock_wall_us(), id)) {
		call_refuse(c, DISCARD_unauthorized, "token", "the server does not know this token");
	} else {
		set_cookie(r, id);
		answer(c, ROLE_OPERATOR, "cookie", clock_wall_us() + SESSION_IDLE_US);
	}
	json_decref(body);
}

const struct http_ops session_begin_ops = {
	.begin = change_begin,
	.body = call_body,
	.complete = begin_complete,
	.end = call_end,
};

static void
end_complete(struct http_request *r)
{
	struct call *c = r->ctx;
	const char *cookie = http_header(r, "cookie");
	char id[SESSION_ID_SIZE];

	if (cookie != NULL && session_cookie(cookie, SESSION_COOKIE, id, sizeof(id)))
		sessions_end(c->api->sessions, id);
	set_cookie(r, "");
	answer(c,
	       !http_tokens_configured(r) ? ROLE_OPERATOR
	       : c->api->env.open_reads   ? ROLE_VIEWER
					  : ROLE_NONE,
	       http_tokens_configured(r) ? NULL : "none", 0);
}

const struct http_ops session_end_ops = {
	.begin = change_begin,
	.body = call_body,
	.complete = end_complete,
	.end = call_end,
};
