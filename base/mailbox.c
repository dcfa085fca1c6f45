/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mailbox.h"

/* A lock-free stack; the reader takes it whole and turns it round. */
struct mailbox {
	_Atomic(struct mail *) head;
	int fd;
};

struct mailbox *
mailbox_new(void)
{
	struct mailbox *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (b->fd == -1) {
		free(b);
		return NULL;
	}
	return b;
}

void
mailbox_free(struct mailbox *b)
{
	if (b == NULL)
		return;
	close(b->fd);
	free(b);
}

void
mailbox_post(struct mailbox *b, struct mail *m)
{
	struct mail *old = atomic_load_explicit(&b->head, memory_order_relaxed);
	uint64_t one = 1;

	do
		m->next = old;
	while (!atomic_compare_exchange_weak_explicit(&b->head, &old, m, memory_order_release, memory_order_relaxed));
	/* Only the first message of a burst needs to wake the reader. */
	if (old == NULL && write(b->fd, &one, sizeof(one)) == -1)
		return; /* EAGAIN: already readable */
}

int
mailbox_fd(const struct mailbox *b)
{
	return b->fd;
}

struct mail *
mailbox_take(struct mailbox *b)
{
	struct mail *m, *next, *first = NULL;
	uint64_t drained;

	/* Clear the wake-up before taking, so that a message posted in between wakes us again. */
	if (read(b->fd, &drained, sizeof(drained)) == -1)
		drained = 0;
	for (m = atomic_exchange_explicit(&b->head, NULL, memory_order_acquire); m != NULL; m = next) {
		next = m->next;
		m->next = first;
		first = m;
	}
	return first;
}

bool
mailbox_wait(struct mailbox *b, int timeout_ms)
{
	struct pollfd p = { .fd = b->fd, .events = POLLIN };

	if (atomic_load_explicit(&b->head, memory_order_acquire) != NULL)
		return true;
	return poll(&p, 1, timeout_ms) > 0;
}
