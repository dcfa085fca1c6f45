/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "collector/workers/quota.h"

#define DAY_US     86400000000ll
#define MAX_SLOTS  ((size_t)1 << 20)
#define ASK_FOR_US 600000000ll /* a request not answered by then is forgotten */

/* One file per data directory, native byte order: it never leaves the machine. */
struct entry {
	int64_t day;
	uint64_t key;
	uint64_t dump; /* first 8 bytes of its SHA-256 */
	uint32_t crc;  /* of the above */
	uint32_t zero;
};

/* Open addressing, never more than half full, emptied each day. */
struct slot {
	uint64_t key;     /* 0: free */
	uint64_t value;   /* dumps: the key it is kept under */
	int64_t asked_us; /* keys: when the requests below began */
	uint32_t kept, receiving, asked;
};
struct table {
	struct slot *slots;
	size_t cap, used;
};

struct quota {
	int fd;
	int64_t day;
	off_t end;
	struct table keys, dumps;
};

static struct slot *
probe(const struct table *t, uint64_t key)
{
	size_t i = (size_t)hash_mix(key) & (t->cap - 1);

	while (t->slots[i].key != 0 && t->slots[i].key != key)
		i = (i + 1) & (t->cap - 1);
	return &t->slots[i];
}

static struct slot *
find(const struct table *t, uint64_t key)
{
	struct slot *s = t->cap != 0 ? probe(t, key) : NULL;

	return s != NULL && s->key == key ? s : NULL;
}

/* NULL when out of memory or slots. */
static struct slot *
obtain(struct table *t, uint64_t key)
{
	struct slot *s = find(t, key);

	if (s != NULL || t->used == MAX_SLOTS)
		return s;
	if (2 * (t->used + 1) > t->cap) {
		struct table bigger = { .cap = t->cap != 0 ? 2 * t->cap : 256, .used = t->used };

		bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
		if (bigger.slots == NULL)
			return NULL;
		for (size_t i = 0; i < t->cap; i++)
			if (t->slots[i].key != 0)
				*probe(&bigger, t->slots[i].key) = t->slots[i];
		free(t->slots);
		*t = bigger;
	}
	s = probe(t, key);
	s->key = key;
	t->used++;
	return s;
}

static void
table_clear(struct table *t)
{
	free(t->slots);
	*t = (struct table){ 0 };
}

static uint64_t
dump_key(const uint8_t sha256[SHA256_BYTES])
{
	uint64_t k;

	memcpy(&k, sha256, sizeof(k));
	return k != 0 ? k : 1;
}

static uint32_t
entry_crc(const struct entry *e)
{
	return crc32c(0, e, offsetof(struct entry, crc));
}

static void
count(struct quota *q, uint64_t key, uint64_t dump)
{
	struct slot *d = obtain(&q->dumps, dump), *k = obtain(&q->keys, key);
	struct slot *old = d != NULL && d->value != 0 ? find(&q->keys, d->value) : NULL;

	if (old != NULL && old->kept > 0)
		old->kept--;
	if (d != NULL)
		d->value = key;
	if (k != NULL) {
		k->kept++;
		if (k->asked > 0)
			k->asked--;
	}
}

static void
roll(struct quota *q, int64_t now_us)
{
	int64_t day = now_us / DAY_US;

	if (day == q->day)
		return;
	table_clear(&q->keys);
	table_clear(&q->dumps);
	q->day = day;
	q->end = 0;
	if (ftruncate(q->fd, 0) == -1)
		q->end = lseek(q->fd, 0, SEEK_END); /* entries carry their day */
}

struct quota *
quota_open(const char *path)
{
	struct quota *q = calloc(1, sizeof(*q));
	struct entry e;

	if (q == NULL)
		return NULL;
	q->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (q->fd == -1) {
		free(q);
		return NULL;
	}
	while (pread(q->fd, &e, sizeof(e), q->end) == (ssize_t)sizeof(e) && e.crc == entry_crc(&e)) {
		if (e.day > q->day) {
			table_clear(&q->keys);
			table_clear(&q->dumps);
			q->day = e.day;
		}
		if (e.day == q->day && e.key != 0 && e.dump != 0)
			count(q, e.key, e.dump);
		q->end += (off_t)sizeof(e);
	}
	return q;
}

void
quota_close(struct quota *q)
{
	if (q == NULL)
		return;
	close(q->fd);
	table_clear(&q->keys);
	table_clear(&q->dumps);
	free(q);
}

uint64_t
quota_used(struct quota *q, int64_t now_us, uint64_t key)
{
	const struct slot *k;

	roll(q, now_us);
	k = find(&q->keys, key);
	return k != NULL ? (uint64_t)k->kept + k->receiving : 0;
}

bool
quota_ask(struct quota *q, int64_t now_us, uint64_t key, uint64_t limit)
{
	struct slot *k;

	roll(q, now_us);
	k = obtain(&q->keys, key);
	if (k == NULL)
		return false;
	if (now_us - k->asked_us > ASK_FOR_US || now_us < k->asked_us)
		k->asked = 0;
	if ((uint64_t)k->kept + k->receiving + k->asked >= limit)
		return false;
	if (k->asked++ == 0)
		k->asked_us = now_us;
	return true;
}

void
quota_reserve(struct quota *q, int64_t now_us, uint64_t key)
{
	struct slot *k;

	roll(q, now_us);
	k = obtain(&q->keys, key);
	if (k != NULL)
		k->receiving++;
}

void
quota_unreserve(struct quota *q, int64_t now_us, uint64_t key)
{
	struct slot *k;

	roll(q, now_us);
	k = find(&q->keys, key);
	if (k != NULL && k->receiving > 0)
		k->receiving--;
}

static void
put(struct quota *q, uint64_t key, uint64_t dump)
{
	struct entry e = { .day = q->day, .key = key, .dump = dump };

	e.crc = entry_crc(&e);
	if (pwrite(q->fd, &e, sizeof(e), q->end) == (ssize_t)sizeof(e))
		q->end += (off_t)sizeof(e);
	count(q, key, dump);
}

bool
quota_keep(struct quota *q, int64_t now_us, uint64_t key, const uint8_t sha256[SHA256_BYTES])
{
	if (quota_kept_under(q, now_us, sha256) != 0)
		return false;
	put(q, key, dump_key(sha256));
	return true;
}

uint64_t
quota_kept_under(struct quota *q, int64_t now_us, const uint8_t sha256[SHA256_BYTES])
{
	const struct slot *d;

	roll(q, now_us);
	d = find(&q->dumps, dump_key(sha256));
	return d != NULL ? d->value : 0;
}

void
quota_move(struct quota *q, int64_t now_us, uint64_t key, const uint8_t sha256[SHA256_BYTES])
{
	roll(q, now_us);
	put(q, key, dump_key(sha256));
}
