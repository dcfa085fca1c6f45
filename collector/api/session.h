/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_SESSION_H
#define COLLECTOR_API_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokens;

/* Browsers that signed in with a token.  They live in memory: a restart ends them all.  One thread. */
struct sessions;

#define SESSIONS_MAX    1024u
#define SESSION_IDLE_US (12ll * 3600 * 1000000)
#define SESSION_AGE_US  (7ll * 24 * 3600 * 1000000)
#define SESSION_ID_SIZE 65 /* 64 hex digits and the NUL */
#define SESSION_COOKIE  "faultline"

struct sessions *sessions_new(void); /* NULL: out of memory */
void sessions_free(struct sessions *s);

/* Sign in with a token that is one of `tokens`; the id into id_out.  When all are taken the one that was used
 * longest ago goes.  false: the token is not known. */
bool sessions_begin(struct sessions *s, const struct tokens *tokens, const char *token, size_t len, int64_t now_us,
		    char id_out[SESSION_ID_SIZE]);

/* Is there a session of that name, and is its token still one of `tokens` (NULL: there are none)?  Counts as use.
 * Until when it holds without further use: *expires_out, may be NULL. */
bool sessions_find(struct sessions *s, const struct tokens *tokens, const char *id, int64_t now_us,
		   int64_t *expires_out);
void sessions_end(struct sessions *s, const char *id); /* none of that name: nothing */

/* The value of a cookie in a Cookie header (RFC 6265, 4.2.1); false: not there, empty or too long.  Pure. */
bool session_cookie(const char *header, const char *name, char *out, size_t size);

/* Does an Origin header name the host of a Host header?  "null" does not.  Pure. */
bool session_same_origin(const char *origin, const char *host);

#endif
