/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_NOTIFY_NOTIFY_H
#define COLLECTOR_NOTIFY_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

struct fold;

/* Tells others what was decided: webhooks and Alertmanager, on a thread of its own.  A dead
 * receiver costs that thread a timer and nobody else anything. */
struct notify;

struct notify_options {
	struct fold *fold;      /* must outlive the notifier */
	const char *dir;        /* of its state; must exist */
	const char *file;       /* endpoints; "" for none */
	const char *public_url; /* for links; "" for none */
	uint8_t log[16];        /* uuid of the log */
};

/* NULL with a sentence in err: the file of endpoints is not usable. */
struct notify *notify_start(const struct notify_options *o, char *err, size_t err_size);
void notify_stop(struct notify *n); /* NULL is fine */

void notify_wake(struct notify *n); /* a verdict may have changed.  Any thread, cheap */
/* Read the endpoints again.  -1 with a sentence: those of before stay. */
int notify_reload(struct notify *n, const char *file, const char *public_url, char *err, size_t err_size);

/* ---- for the API, any thread ---- */

/* JSON text of all endpoints, or of one with its deliveries; free() it.  NULL: no such endpoint,
 * or out of memory.  No secret is in it. */
char *notify_describe(struct notify *n, const char *endpoint);

/* Try again: one delivery by its id, or (NULL) all dead ones.  How many; -1: no such endpoint. */
int notify_redeliver(struct notify *n, const char *endpoint, const char *id);

/* Send a test event (to an Alertmanager: what fires now); its id into out.  -1: no such endpoint. */
#define NOTIFY_ID_SIZE 37
int notify_ping(struct notify *n, const char *endpoint, char out[NOTIFY_ID_SIZE]);

#endif
