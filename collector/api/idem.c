/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "collector/api/idem.h"
#include "collector/http/http.h"

struct entry {
	uint8_t name[SHA256_BYTES]; /* of key and path */
	uint8_t body[SHA256_BYTES];
	int64_t at_us; /* 0: free */
	struct http_blob *answer;
};
struct idem {
	struct entry at[IDEM_KEPT];
};

struct idem *
idem_new(void)
{
	return calloc(1, sizeof(struct idem));
}

static void
forget(struct entry *e)
{
	http_blob_unref(e->answer);
	*e = (struct entry){ .at_us = 0 };
}

void
idem_free(struct idem *m)
{
	for (size_t i = 0; m != NULL && i < IDEM_KEPT; i++)
		forget(&m->at[i]);
	free(m);
}

bool
idem_key(const char *text)
{
	size_t n = 0;

	for (; text[n] != '\0'; n++)
		if (n == 64 || (!isalnum((unsigned char)text[n]) && text[n] != '_' && text[n] != '-'))
			return false;
	return n > 0;
}

static void
name_of(const char *key, const char *what, uint8_t out[SHA256_BYTES])
{
	struct sha256 *h = sha256_new();

	if (h == NULL)
		abort();
	sha256_update(h, key, strlen(key) + 1);
	sha256_update(h, what, strlen(what));
	sha256_final(h, out);
}

static struct entry *
find(struct idem *m, const char *key, const char *what)
{
	uint8_t name[SHA256_BYTES];

	name_of(key, what, name);
	for (size_t i = 0; i < IDEM_KEPT; i++)
		if (m->at[i].at_us != 0 && memcmp(m->at[i].name, name, sizeof(name)) == 0)
			return &m->at[i];
	return NULL;
}

enum idem_state
idem_begin(struct idem *m, const char *key, const char *what, const void *body, size_t len, int64_t now_us,
	   struct http_blob **answer_out)
{
	struct entry *e = find(m, key, what);
	uint8_t digest[SHA256_BYTES];

	sha256(body, len, digest);
	if (e != NULL && now_us - e->at_us > (e->answer != NULL ? IDEM_AGE_US : IDEM_WAIT_US)) {
		forget(e);
		e = NULL;
	}
	if (e != NULL) {
		if (memcmp(e->body, digest, sizeof(digest)) != 0)
			return IDEM_OTHER;
		*answer_out = e->answer;
		return e->answer != NULL ? IDEM_AGAIN : IDEM_BUSY;
	}
	e = &m->at[0];
	for (size_t i = 1; i < IDEM_KEPT; i++)
		if (m->at[i].at_us < e->at_us)
			e = &m->at[i];
	forget(e);
	name_of(key, what, e->name);
	memcpy(e->body, digest, sizeof(digest));
	e->at_us = now_us;
	return IDEM_NEW;
}

void
idem_keep(struct idem *m, const char *key, const char *what, struct http_blob *answer)
{
	struct entry *e = find(m, key, what);

	if (e != NULL && e->answer == NULL)
		e->answer = http_blob_ref(answer);
}

void
idem_drop(struct idem *m, const char *key, const char *what)
{
	struct entry *e = find(m, key, what);

	if (e != NULL && e->answer == NULL)
		forget(e);
}
