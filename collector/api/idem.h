/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_IDEM_H
#define COLLECTOR_API_IDEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_blob;

/* Answers to requests with an Idempotency-Key, to be given again: the newest IDEM_KEPT, for an hour, in memory.  One
 * thread. */
struct idem;

#define IDEM_KEPT    512u
#define IDEM_AGE_US  (3600ll * 1000000)
#define IDEM_WAIT_US (30ll * 1000000) /* an answer that never came is not waited for any longer */

struct idem *idem_new(void); /* NULL: out of memory */
void idem_free(struct idem *m);

/* 1 to 64 of A-Z a-z 0-9 _ - */
bool idem_key(const char *text);

enum idem_state {
	IDEM_NEW,   /* entered: idem_keep() or idem_drop() it */
	IDEM_AGAIN, /* the answer is in *answer_out, borrowed */
	IDEM_BUSY,  /* the first one is not answered yet */
	IDEM_OTHER, /* the key was used with another body */
};
/* `what` is what the key belongs to: the path. */
enum idem_state idem_begin(struct idem *m, const char *key, const char *what, const void *body, size_t len,
			   int64_t now_us, struct http_blob **answer_out);
void idem_keep(struct idem *m, const char *key, const char *what, struct http_blob *answer); /* takes a reference */
/* It was not done: nothing to repeat.  One that is answered stays. */
void idem_drop(struct idem *m, const char *key, const char *what);

#endif
