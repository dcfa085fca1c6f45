/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "tests/unit/log_help.h"

#define DIE(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

char *
temp_dir_new(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[4096];

	snprintf(path, sizeof(path), "%s/faultline-log-XXXXXX", tmp ? tmp : "/tmp");
	if (mkdtemp(path) == NULL)
		DIE("cannot make %s", path);
	return strdup(path);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

void
temp_dir_free(char *path)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
		DIE("cannot remove %s", path);
	free(path);
}

static void
fill(uint8_t *p, size_t len, uint64_t producer, uint64_t number, uint32_t index)
{
	uint64_t x = hash_mix(producer * 0x9e3779b97f4a7c15ull + number) + index;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(hash_mix(x + i / 8) >> 8 * (i % 8));
}

static void
answered(struct log_submission *s)
{
	((struct test_batch *)s->arg)->answered = true;
}

struct test_batch *
test_batch_new(uint64_t producer, uint64_t number, uint32_t records, size_t payload_len, enum log_class class,
	       struct mailbox *reply)
{
	struct test_batch *t = calloc(1, sizeof(*t));
	struct batch_writer w;

	if (t == NULL || batch_writer_init(&w) == -1)
		DIE("out of memory");
	for (uint32_t i = 0; i < records; i++) {
		uint8_t *p = batch_writer_add(&w, RECORD_REPORT, 0, (int64_t)number, payload_len);

		if (p == NULL)
			DIE("%u records of %zu bytes do not fit into a batch", records, payload_len);
		fill(p, payload_len, producer, number, i);
	}
	batch_writer_finish(&w, producer, number, 0);
	t->s.bytes = realloc(w.bytes, w.len); /* the exact size, so that a sanitizer sees an overrun */
	t->s.len = w.len;
	t->s.class = class;
	t->s.reply = reply;
	t->s.done = answered;
	t->s.arg = t;
	t->producer = producer;
	t->number = number;
	return t;
}

void
test_batch_free(struct test_batch *t)
{
	free((void *)(uintptr_t)t->s.bytes);
	free(t);
}

bool
test_batch_is(const struct batch_view *b, uint32_t records, size_t payload_len)
{
	uint8_t *want = malloc(payload_len + 1);
	struct record_view r;
	uint32_t cursor = 0, n = 0;
	bool same = true;

	while (batch_next(b, &cursor, &r, NULL)) {
		fill(want, payload_len, b->producer, b->number, n);
		same = same && r.payload_len == payload_len && memcmp(r.payload, want, payload_len) == 0 &&
		       r.pos == b->first + n;
		n++;
	}
	free(want);
	return same && n == records && b->n == records;
}

void
wait_answer(struct mailbox *reply, struct test_batch *t)
{
	while (!t->answered) {
		if (!mailbox_wait(reply, 20000))
			DIE("no answer in 20 s");
		log_dispatch(reply);
	}
}

enum log_append
append_one(struct log *l, struct mailbox *reply, uint64_t producer, uint64_t number, size_t payload_len,
	   enum log_class class, enum log_outcome *outcome_out, uint64_t *first_out)
{
	struct test_batch *t = test_batch_new(producer, number, 1, payload_len, class, reply);
	enum log_append rc = log_append(l, &t->s);

	if (rc == LOG_QUEUED) {
		wait_answer(reply, t);
		*outcome_out = t->s.outcome;
		*first_out = t->s.first;
	}
	test_batch_free(t);
	return rc;
}

uint64_t
must_append(struct log *l, struct mailbox *reply, uint64_t producer, uint64_t number, size_t payload_len)
{
	enum log_outcome outcome = LOG_REFUSED;
	uint64_t first = 0;
	enum log_append rc = append_one(l, reply, producer, number, payload_len, LOG_CLASS_NORMAL, &outcome, &first);

	if (rc != LOG_QUEUED || outcome != LOG_DURABLE)
		DIE("batch %llu was not stored: %d, %d", (unsigned long long)number, (int)rc, (int)outcome);
	return first;
}
