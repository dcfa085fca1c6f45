/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <stdbool.h>

/* Messages to one thread: many senders, one reader, woken through a file
 * descriptor that fits an event loop.  Nodes are embedded in the sender's object
 * and owned by whoever holds them; the mailbox allocates nothing. */
struct mail {
	struct mail *next;
};

struct mailbox;
struct mailbox *mailbox_new(void);    /* NULL when out of memory or descriptors */
void mailbox_free(struct mailbox *b); /* must be empty */

void mailbox_post(struct mailbox *b, struct mail *m); /* any thread; wakes the reader */
int mailbox_fd(const struct mailbox *b);              /* readable while there may be mail */

/* Everything posted so far, oldest first, or NULL.  Reader only; never blocks. */
struct mail *mailbox_take(struct mailbox *b);

/* Wait up to timeout_ms (-1: for ever) for mail; true if there is some. */
bool mailbox_wait(struct mailbox *b, int timeout_ms);

#endif
