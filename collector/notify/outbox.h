/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_NOTIFY_OUTBOX_H
#define COLLECTOR_NOTIFY_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <jansson.h>

#include "collector/notify/endpoints.h"
#include "collector/notify/message.h"

/* What is to be delivered to whom, what became of it, and the file that remembers.
 *
 * The file is written whole, flushed and renamed into place: after a kill at any moment it is
 * the one before or the one after.  A delivery that was made and not yet noted is made
 * again: at least once, and the id tells the receiver. */

#define OUTBOX_PENDING_MAX 1000u /* per endpoint; the oldest gives way and is dead */
#define OUTBOX_KEPT        100u  /* delivered ones, and dead ones, each */

enum delivery_state { DELIVERY_PENDING, DELIVERY_DELIVERED, DELIVERY_DEAD };

struct delivery {
	struct notice notice;
	enum delivery_state state;
	unsigned attempts;
	int64_t queued_us, next_us, last_us; /* wall clock: they outlive us; last_us 0: not tried */
	long last_status;
	char last_error[200];
	bool in_flight;
	struct receiver *to;
	TAILQ_ENTRY(delivery) entry;
};
TAILQ_HEAD(delivery_list, delivery);

struct receiver {
	struct webhook hook; /* a copy */
	bool gone;           /* the receiver said so: 410 */
	uint64_t n_delivered, n_dead;
	unsigned failures; /* attempts since the last that went well */
	int64_t last_us;
	long last_status;
	char last_error[200];
	size_t n[3];              /* by enum delivery_state */
	struct delivery_list all; /* oldest first */
	void *owner;              /* the notifier's */
	/* Alertmanager */
	int64_t push_us; /* next sending, boot clock; 0: now */
	bool pushing, ping;
	uint64_t pushed; /* alerts in the last sending */
};

struct outbox {
	size_t n;
	struct receiver *list[WEBHOOKS_MAX];
	bool dirty;
};

void outbox_init(struct outbox *o);
void outbox_fini(struct outbox *o);

/* Use these endpoints from now on: those of a known name keep their deliveries.  drop() is
 * called for each endpoint that goes, before it is freed.  -1: out of memory, nothing changed. */
int outbox_configure(struct outbox *o, const struct webhooks *w, void (*drop)(void *arg, struct receiver *e),
		     void *arg);
struct receiver *outbox_find(const struct outbox *o, const char *name); /* NULL: there is none */

/* A delivery of the notice, whose data is shared.  NULL: out of memory, or it is there already. */
struct delivery *outbox_put(struct outbox *o, struct receiver *e, const struct notice *n, int64_t now_us);
/* Is the endpoint to hear of it? */
bool outbox_wants(const struct receiver *e, const struct notice *n);

/* The next delivery to begin now, or NULL with *wait_us_out (if earlier) lowered to when one may be due.
 * A delivery waits for the earlier ones of its deployment, so that nothing is told in the wrong order. */
struct delivery *outbox_due(struct receiver *e, int64_t now_us, int64_t *wait_us_out);

/* What an attempt came to. */
enum delivery_state outbox_settle(struct outbox *o, struct delivery *d, long status, int64_t retry_after_s,
				  const char *error, int64_t now_us);
void outbox_again(struct outbox *o, struct delivery *d, int64_t now_us); /* a dead or delivered one: pending */

/* Milliseconds to wait before attempt n + 1: 1 s doubling to 5 min, of which a random half to whole. */
uint64_t outbox_backoff_ms(unsigned attempts, uint64_t random);

json_t *outbox_pack(const struct outbox *o, const struct changes *c);
/* Take over what the file says of endpoints that are configured, and what was told. */
bool outbox_unpack(struct outbox *o, struct changes *c, const json_t *j);

/* 0, or -1 with a sentence. */
int outbox_write(const json_t *j, const char *dir, char *err, size_t err_size);
/* NULL: there is no such file, or (with a sentence) it cannot be read and was set aside. */
json_t *outbox_read(const char *dir, char *err, size_t err_size);

#endif
