/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/crypto.h"
#include "base/token.h"

#define TOKEN_MIN  16
#define TOKENS_MAX 4096

/* Digests are kept instead of the tokens: equal length, and no secret in memory. */
struct tokens {
	size_t n;
	uint8_t digest[][SHA256_BYTES];
};

static size_t
trim(char **line)
{
	char *s = *line, *end;

	s += strspn(s, " \t");
	end = s + strcspn(s, "#\r\n");
	while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	*line = s;
	return (size_t)(end - s);
}

struct tokens *
tokens_load(const char *path, char *err, size_t err_size)
{
	struct tokens *t = NULL;
	char buf[1024], *line;
	struct stat st;
	FILE *f = fopen(path, "re");

	if (f == NULL || fstat(fileno(f), &st) == -1) {
		snprintf(err, err_size, "cannot read token file %s", path);
		goto fail;
	}
	if (st.st_mode & S_IRWXO) {
		snprintf(err, err_size, "token file %s is open to everyone: chmod 600 it", path);
		goto fail;
	}
	if ((t = calloc(1, sizeof(*t) + TOKENS_MAX * sizeof(t->digest[0]))) == NULL) {
		snprintf(err, err_size, "out of memory");
		goto fail;
	}
	while (t->n < TOKENS_MAX && fgets(buf, sizeof(buf), f) != NULL) {
		size_t len;

		line = buf;
		len = trim(&line);
		if (len == 0)
			continue;
		if (len < TOKEN_MIN) {
			snprintf(err, err_size, "token file %s: a token needs at least %d characters", path, TOKEN_MIN);
			goto fail;
		}
		sha256(line, len, t->digest[t->n++]);
	}
	if (t->n == 0) {
		snprintf(err, err_size, "token file %s holds no token", path);
		goto fail;
	}
	fclose(f);
	return t;
fail:
	if (f != NULL)
		fclose(f);
	tokens_free(t);
	return NULL;
}

void
tokens_free(struct tokens *t)
{
	free(t);
}

bool
tokens_match(const struct tokens *t, const char *token, size_t len)
{
	uint8_t digest[SHA256_BYTES];

	sha256(token, len, digest);
	return tokens_have_digest(t, digest);
}

bool
tokens_have_digest(const struct tokens *t, const uint8_t digest[SHA256_BYTES])
{
	bool found = false;

	for (size_t i = 0; i < t->n; i++)
		found |= equal_secret(digest, t->digest[i], SHA256_BYTES);
	return found;
}

/* "user:TOKEN" in base64: for clients that can put credentials into a URL and nothing else. */
static bool
match_basic(const struct tokens *t, const char *value, size_t len)
{
	char text[512];
	const char *colon;
	ssize_t n;

	if (len > sizeof(text) || (n = base64_decode(value, len, text)) < 0)
		return false;
	colon = memchr(text, ':', (size_t)n);
	return colon != NULL && tokens_match(t, colon + 1, (size_t)(text + n - colon - 1));
}

bool
tokens_match_header(const struct tokens *t, const char *value, size_t len)
{
	const bool basic = len > 6 && strncasecmp(value, "Basic ", 6) == 0;
	const size_t scheme = basic ? 6 : 7;

	if (!basic && (len < 8 || strncasecmp(value, "Bearer ", 7) != 0))
		return false;
	for (value += scheme, len -= scheme; len > 0 && *value == ' '; len--)
		value++;
	return basic ? match_basic(t, value, len) : tokens_match(t, value, len);
}

size_t
tokens_count(const struct tokens *t)
{
	return t->n;
}
