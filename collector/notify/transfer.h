/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_NOTIFY_TRANSFER_H
#define COLLECTOR_NOTIFY_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/notify/endpoints.h"
#include "collector/notify/message.h"

/* POSTs, many at a time, on one thread: the only user of libcurl in the daemon.
 *
 * A request goes where the operator's file says and nowhere else: http and https alone, no
 * redirects, no proxy from the environment, no link-local or multicast address whatever the name
 * resolves to, an answer of at most TRANSFER_ANSWER_MAX bytes. */
struct transfers;

#define TRANSFER_ANSWER_MAX 65536u

struct transfer_result {
	long status;           /* of HTTP; 0: no answer */
	int64_t retry_after_s; /* the receiver's wish; 0: none */
	char error[200];       /* why there was no answer, or the beginning of one that is no 2xx; printable */
};
typedef void transfer_done_fn(void *arg, const struct transfer_result *r);

struct transfers *transfers_new(void);    /* NULL: out of memory */
void transfers_free(struct transfers *t); /* what is in flight is dropped without done(); NULL is fine */

/* Takes the message over.  done() runs inside transfers_run(), once.  -1: nothing was begun. */
int transfer_begin(struct transfers *t, const struct webhook *w, struct message *m, transfer_done_fn *done, void *arg);
/* Drop everything with this arg, without done(). */
void transfer_drop(struct transfers *t, const void *arg);

bool transfers_busy(const struct transfers *t);
void transfers_run(struct transfers *t, int timeout_ms); /* waits at most that long */
void transfers_wake(struct transfers *t);                /* any thread: ends the waiting */

#endif
