/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <assert.h>
#include <stddef.h>

#include "collector/log/log.h"

enum log_append
log_append(struct log *l, struct log_submission *s)
{
	assert(s->len >= BATCH_HEADER && s->len <= BATCH_MAX_BYTES && s->reply != NULL && s->done != NULL);
	return l->ops->append(l, s);
}

void
log_dispatch(struct mailbox *reply)
{
	struct mail *m, *next;

	for (m = mailbox_take(reply); m != NULL; m = next) {
		struct log_submission *s = (struct log_submission *)((char *)m - offsetof(struct log_submission, mail));

		next = m->next; /* done() may free s */
		s->done(s);
	}
}

void
log_on_room(struct log *l, void (*fn)(void *arg), void *arg)
{
	l->ops->on_room(l, fn, arg);
}

struct log_reader *
log_reader_new(struct log *l, uint64_t from)
{
	return l->ops->reader_new(l, from);
}

void
log_reader_free(struct log_reader *r)
{
	if (r != NULL)
		r->ops->reader_free(r);
}

void
log_reader_seek(struct log_reader *r, uint64_t from)
{
	r->ops->reader_seek(r, from);
}

enum log_read
log_read(struct log_reader *r, struct batch_view *out, int timeout_ms)
{
	return r->ops->read(r, out, timeout_ms);
}

void
log_reader_wake(struct log_reader *r)
{
	r->ops->reader_wake(r);
}

void
log_bounds(struct log *l, uint64_t *first_out, uint64_t *end_out, struct log_id *id_out)
{
	l->ops->bounds(l, first_out, end_out, id_out);
}

void
log_release_below(struct log *l, enum log_floor holder, uint64_t floor)
{
	l->ops->release_below(l, holder, floor);
}

enum log_durability
log_durability(const struct log *l)
{
	return l->ops->durability(l);
}

enum log_pressure
log_pressure(const struct log *l)
{
	return l->ops->pressure(l);
}

bool
log_stopped(const struct log *l)
{
	return l->ops->stopped(l);
}

void
log_close(struct log *l)
{
	if (l != NULL)
		l->ops->close(l);
}
