/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/crypto.h"
#include "base/token.h"
#include "collector/api/session.h"

#define ID_BYTES 32

struct session {
	uint8_t id[ID_BYTES];
	uint8_t token[SHA256_BYTES]; /* digest of the token that began it */
	int64_t began_us, used_us;   /* began 0: free */
};
struct sessions {
	struct session at[SESSIONS_MAX];
};

struct sessions *
sessions_new(void)
{
	return calloc(1, sizeof(struct sessions));
}

void
sessions_free(struct sessions *s)
{
	free(s);
}

static bool
is_over(const struct session *s, int64_t now_us)
{
	return now_us - s->used_us > SESSION_IDLE_US || now_us - s->began_us > SESSION_AGE_US;
}

bool
sessions_begin(struct sessions *s, const struct tokens *tokens, const char *token, size_t len, int64_t now_us,
	       char id_out[SESSION_ID_SIZE])
{
	struct session *oldest = &s->at[0];

	if (tokens == NULL || !tokens_match(tokens, token, len))
		return false;
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *x = &s->at[i];

		if (x->began_us != 0 && is_over(x, now_us))
			*x = (struct session){ .began_us = 0 };
		if (x->used_us < oldest->used_us)
			oldest = x;
	}
	random_bytes(oldest->id, sizeof(oldest->id));
	sha256(token, len, oldest->token);
	oldest->began_us = oldest->used_us = now_us;
	hex_encode(oldest->id, sizeof(oldest->id), id_out);
	return true;
}

/* All are looked at, so that time tells nothing of an id. */
static struct session *
find(struct sessions *s, const char *id)
{
	struct session *found = NULL;
	uint8_t bytes[ID_BYTES];

	if (strlen(id) != SESSION_ID_SIZE - 1 || hex_decode(id, SESSION_ID_SIZE - 1, bytes) != 0)
		return NULL;
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		if (equal_secret(s->at[i].id, bytes, sizeof(bytes)) && s->at[i].began_us != 0)
			found = &s->at[i];
	return found;
}

bool
sessions_find(struct sessions *s, const struct tokens *tokens, const char *id, int64_t now_us, int64_t *expires_out)
{
	struct session *x = find(s, id);

	if (x == NULL)
		return false;
	if (is_over(x, now_us) || tokens == NULL || !tokens_have_digest(tokens, x->token)) {
		*x = (struct session){ .began_us = 0 };
		return false;
	}
	x->used_us = now_us;
	if (expires_out != NULL)
		*expires_out = x->began_us + SESSION_AGE_US < now_us + SESSION_IDLE_US ? x->began_us + SESSION_AGE_US
										       : now_us + SESSION_IDLE_US;
	return true;
}

void
sessions_end(struct sessions *s, const char *id)
{
	struct session *x = find(s, id);

	if (x != NULL)
		*x = (struct session){ .began_us = 0 };
}

bool
session_cookie(const char *header, const char *name, char *out, size_t size)
{
	const size_t name_len = strlen(name);

	for (const char *p = header; *p != '\0';) {
		size_t len, value;

		p += strspn(p, "; \t");
		len = strcspn(p, ";");
		if (len > name_len && p[name_len] == '=' && memcmp(p, name, name_len) == 0) {
			const char *v = p + name_len + 1;

			value = len - name_len - 1;
			while (value > 0 && (v[value - 1] == ' ' || v[value - 1] == '\t'))
				value--;
			if (value >= 2 && v[0] == '"' && v[value - 1] == '"') {
				v++;
				value -= 2;
			}
			if (value == 0 || value >= size)
				return false;
			memcpy(out, v, value);
			out[value] = '\0';
			return true;
		}
		p += len;
	}
	return false;
}

bool
session_same_origin(const char *origin, const char *host)
{
	const char *at;

	if (strncasecmp(origin, "http://", 7) == 0)
		at = origin + 7;
	else if (strncasecmp(origin, "https://", 8) == 0)
		at = origin + 8;
	else
		return false;
	return *at != '\0' && strcasecmp(at, host) == 0;
}
