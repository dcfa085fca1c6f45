/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mailbox.h"
#include "collector/workers/dumps.h"
#include "tests/unit/fake_dumps.h"

struct dump_writer {
	struct sha256 *sha;
	uint64_t size;
};

struct fake_dumps fake_dumps;

struct dump_writer *
dumps_begin(struct dumps *d, uint16_t tenant, uint64_t signature, enum discard *why_out)
{
	struct dump_writer *w;

	(void)d;
	(void)tenant;
	(void)signature;
	*why_out = fake_dumps.refuse_begin;
	if (fake_dumps.refuse_begin != DISCARD_none)
		return NULL;
	w = calloc(1, sizeof(*w));
	w->sha = sha256_new();
	fake_dumps.open++;
	return w;
}

enum discard
dumps_write(struct dump_writer *w, const void *data, size_t len)
{
	sha256_update(w->sha, data, len);
	w->size += len;
	if (len > fake_dumps.largest_write)
		fake_dumps.largest_write = len;
	return fake_dumps.refuse_write;
}

uint64_t
dumps_written(const struct dump_writer *w)
{
	return w->size;
}

void
dumps_abandon(struct dump_writer *w)
{
	if (w == NULL)
		return;
	sha256_drop(w->sha);
	free(w);
	fake_dumps.open--;
}

void
dumps_commit(struct dump_writer *w, struct dumps_commit *c)
{
	c->size = w->size;
	sha256_final(w->sha, c->sha256);
	free(w);
	fake_dumps.open--;
	fake_dumps.committed++;
	memcpy(fake_dumps.last_sha256, c->sha256, SHA256_BYTES);
	fake_dumps.last_size = c->size;
	c->outcome = fake_dumps.outcome;
	mailbox_post(c->reply, &c->mail);
}

void
dumps_dispatch(struct mailbox *reply)
{
	for (struct mail *m = mailbox_take(reply), *next; m != NULL; m = next) {
		struct dumps_commit *c = (struct dumps_commit *)((char *)m - offsetof(struct dumps_commit, mail));

		next = m->next;
		c->done(c);
	}
}
