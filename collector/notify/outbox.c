/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/crypto.h"
#include "collector/notify/outbox.h"

#define FILE_NAME    "state.json"
#define FILE_VERSION 1
#define IN_FLIGHT    8u /* at one endpoint */
#define BACKOFF_MIN  ((uint64_t)1000)
#define BACKOFF_MAX  ((uint64_t)300000)
#define WISH_MAX_S   3600 /* Retry-After beyond this is taken for this */

void
outbox_init(struct outbox *o)
{
	memset(o, 0, sizeof(*o));
}

static void
delivery_free(struct delivery *d)
{
	d->to->n[d->state]--;
	if (d->state == DELIVERY_PENDING)
		counter_sub(COUNTER_webhooks_pending, 1);
	TAILQ_REMOVE(&d->to->all, d, entry);
	json_decref(d->notice.data);
	free(d);
}

static void
receiver_free(struct receiver *e)
{
	struct delivery *d;

	while ((d = TAILQ_FIRST(&e->all)) != NULL)
		delivery_free(d);
	explicit_bzero(&e->hook, sizeof(e->hook));
	free(e);
}

void
outbox_fini(struct outbox *o)
{
	for (size_t i = 0; i < o->n; i++)
		receiver_free(o->list[i]);
	memset(o, 0, sizeof(*o));
}

struct receiver *
outbox_find(const struct outbox *o, const char *name)
{
	for (size_t i = 0; i < o->n; i++)
		if (strcmp(o->list[i]->hook.name, name) == 0)
			return o->list[i];
	return NULL;
}

int
outbox_configure(struct outbox *o, const struct webhooks *w, void (*drop)(void *arg, struct receiver *e), void *arg)
{
	struct receiver *fresh[WEBHOOKS_MAX] = { NULL };

	for (size_t i = 0; i < w->n; i++)
		if (outbox_find(o, w->list[i].name) == NULL) {
			if ((fresh[i] = calloc(1, sizeof(*fresh[i]))) == NULL) {
				while (i-- > 0)
					free(fresh[i]);
				return -1;
			}
			TAILQ_INIT(&fresh[i]->all);
		}
	for (size_t i = 0; i < w->n; i++) {
		if (fresh[i] == NULL) {
			fresh[i] = outbox_find(o, w->list[i].name);
			for (size_t k = 0; k < o->n; k++)
				if (o->list[k] == fresh[i])
					o->list[k] = o->list[--o->n];
		}
		fresh[i]->hook = w->list[i];
		fresh[i]->gone = false; /* whoever reloads wants it tried again */
		fresh[i]->push_us = 0;
	}
	for (size_t k = 0; k < o->n; k++) {
		drop(arg, o->list[k]);
		receiver_free(o->list[k]);
	}
	memcpy(o->list, fresh, sizeof(fresh));
	o->n = w->n;
	o->dirty = true;
	return 0;
}

/* ---- deliveries ---- */

static void
set_state(struct delivery *d, enum delivery_state s)
{
	if (d->state == DELIVERY_PENDING && s != DELIVERY_PENDING)
		counter_sub(COUNTER_webhooks_pending, 1);
	if (d->state != DELIVERY_PENDING && s == DELIVERY_PENDING)
		counter_add(COUNTER_webhooks_pending, 1);
	d->to->n[d->state]--;
	d->to->n[s]++;
	d->state = s;
}

static void
bury(struct delivery *d, const char *why)
{
	set_state(d, DELIVERY_DEAD);
	snprintf(d->last_error, sizeof(d->last_error), "%s", why);
	d->to->n_dead++;
	counter_add(COUNTER_webhooks_dead, 1);
}

static void
forget_old(struct receiver *e, enum delivery_state s)
{
	struct delivery *d = TAILQ_FIRST(&e->all), *next;

	for (; d != NULL && e->n[s] > OUTBOX_KEPT; d = next) {
		next = TAILQ_NEXT(d, entry);
		if (d->state == s)
			delivery_free(d);
	}
}

bool
outbox_wants(const struct receiver *e, const struct notice *n)
{
	return e->hook.format != WEBHOOK_ALERTMANAGER && (e->hook.events & notice_kind_bits(n->kind)) != 0 &&
	       (e->hook.deployments[0] == '\0' || fnmatch(e->hook.deployments, n->deployment, 0) == 0);
}

static struct delivery *
add(struct receiver *e, const struct notice *n, enum delivery_state s)
{
	struct delivery *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->notice = *n;
	json_incref(d->notice.data);
	d->to = e;
	d->state = s;
	e->n[s]++;
	if (s == DELIVERY_PENDING)
		counter_add(COUNTER_webhooks_pending, 1);
	TAILQ_INSERT_TAIL(&e->all, d, entry);
	return d;
}

struct delivery *
outbox_put(struct outbox *o, struct receiver *e, const struct notice *n, int64_t now_us)
{
	struct delivery *d;

	TAILQ_FOREACH(d, &e->all, entry)
	if (strcmp(d->notice.id, n->id) == 0)
		return NULL;
	if ((d = add(e, n, DELIVERY_PENDING)) == NULL)
		return NULL;
	d->queued_us = d->next_us = now_us;
	o->dirty = true;
	if (e->gone && n->kind != NOTICE_PING)
		bury(d, "the receiver is gone (410)");
	if (e->n[DELIVERY_PENDING] > OUTBOX_PENDING_MAX)
		TAILQ_FOREACH(d, &e->all, entry)
	if (d->state == DELIVERY_PENDING && !d->in_flight) {
		bury(d, "too many deliveries wait for this receiver");
		break;
	}
	forget_old(e, DELIVERY_DEAD);
	d = TAILQ_LAST(&e->all, delivery_list);
	return d;
}

static bool
waits_for_another(const struct receiver *e, const struct delivery *d)
{
	const struct delivery *other;

	TAILQ_FOREACH(other, &e->all, entry)
	{
		if (other == d)
			return false;
		if (other->state == DELIVERY_PENDING && strcmp(other->notice.deployment, d->notice.deployment) == 0)
			return true;
	}
	return false;
}

struct delivery *
outbox_due(struct receiver *e, int64_t now_us, int64_t *wait_us_out)
{
	unsigned flying = 0;
	struct delivery *d;

	if (e->n[DELIVERY_PENDING] == 0)
		return NULL;
	TAILQ_FOREACH(d, &e->all, entry)
	flying += d->in_flight;
	if (flying >= IN_FLIGHT)
		return NULL;
	TAILQ_FOREACH(d, &e->all, entry)
	{
		if (d->state != DELIVERY_PENDING || d->in_flight || waits_for_another(e, d))
			continue;
		/* a clock that was set back must not keep anything for ever */
		if (d->next_us <= now_us || d->next_us > now_us + (int64_t)WISH_MAX_S * 1000000)
			return d;
		if (d->next_us - now_us < *wait_us_out)
			*wait_us_out = d->next_us - now_us;
	}
	return NULL;
}

uint64_t
outbox_backoff_ms(unsigned attempts, uint64_t random)
{
	uint64_t ms = attempts > 18 ? BACKOFF_MAX : BACKOFF_MIN << (attempts > 0 ? attempts - 1 : 0);

	ms = ms < BACKOFF_MAX ? ms : BACKOFF_MAX;
	return ms / 2 + random % (ms / 2 + 1);
}

/* An answer that another try will not change. */
static bool
is_final(long status)
{
	return status / 100 == 3 || status == 400 || status == 405 || status == 410 || status == 413 || status == 415 ||
	       status == 422;
}

enum delivery_state
outbox_settle(struct outbox *o, struct delivery *d, long status, int64_t retry_after_s, const char *error,
	      int64_t now_us)
{
	struct receiver *e = d->to;
	char why[200];

	o->dirty = true;
	d->in_flight = false;
	d->attempts++;
	d->last_us = e->last_us = now_us;
	d->last_status = e->last_status = status;
	snprintf(d->last_error, sizeof(d->last_error), "%s", error);
	if (status / 100 == 2) {
		set_state(d, DELIVERY_DELIVERED);
		e->n_delivered++;
		e->failures = 0;
		e->gone = false;
		e->last_error[0] = '\0';
		counter_add(COUNTER_webhooks_delivered, 1);
		forget_old(e, DELIVERY_DELIVERED);
		return DELIVERY_DELIVERED;
	}
	e->failures++;
	snprintf(e->last_error, sizeof(e->last_error), "%s", error);
	if (status == 410)
		e->gone = true;
	if (is_final(status) || now_us - d->queued_us >= (int64_t)e->hook.give_up_ms * 1000) {
		snprintf(why, sizeof(why), "%s", error);
		bury(d, why);
		forget_old(e, DELIVERY_DEAD);
		return DELIVERY_DEAD;
	}
	counter_add(COUNTER_webhooks_retried, 1);
	d->next_us = now_us + (int64_t)outbox_backoff_ms(d->attempts, random_u64()) * 1000;
	if (retry_after_s > WISH_MAX_S)
		retry_after_s = WISH_MAX_S;
	if (retry_after_s > 0 && d->next_us < now_us + retry_after_s * 1000000)
		d->next_us = now_us + retry_after_s * 1000000;
	return DELIVERY_PENDING;
}

void
outbox_again(struct outbox *o, struct delivery *d, int64_t now_us)
{
	set_state(d, DELIVERY_PENDING);
	d->queued_us = d->next_us = now_us;
	d->attempts = 0;
	d->last_error[0] = '\0';
	o->dirty = true;
}

/* ---- the file ---- */

static json_t *
pack_delivery(const struct delivery *d)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:O, s:i, s:i, s:I, s:I, s:I, s:i, s:s}", "id", d->notice.id, "kind",
			 notice_kind_name(d->notice.kind), "deployment", d->notice.deployment, "at",
			 (json_int_t)d->notice.at_us, "data", d->notice.data, "state", (int)d->state, "attempts",
			 (int)d->attempts, "queued", (json_int_t)d->queued_us, "next", (json_int_t)d->next_us, "last",
			 (json_int_t)d->last_us, "status", (int)d->last_status, "error", d->last_error);
}

json_t *
outbox_pack(const struct outbox *o, const struct changes *c)
{
	json_t *endpoints = json_array();

	for (size_t i = 0; i < o->n; i++) {
		const struct receiver *e = o->list[i];
		json_t *list = json_array();
		const struct delivery *d;

		TAILQ_FOREACH(d, &e->all, entry)
		json_array_append_new(list, pack_delivery(d));
		json_array_append_new(endpoints, json_pack("{s:s, s:b, s:I, s:I, s:o}", "name", e->hook.name, "gone",
							   e->gone, "delivered", (json_int_t)e->n_delivered, "dead",
							   (json_int_t)e->n_dead, "deliveries", list));
	}
	return json_pack("{s:i, s:o, s:o}", "version", FILE_VERSION, "changes", changes_pack(c), "endpoints",
			 endpoints);
}

static void
unpack_delivery(struct receiver *e, json_t *j)
{
	const char *id, *kind, *deployment, *error;
	struct notice n = { 0 };
	json_int_t at, queued, next, last;
	int state, attempts, status, k;
	struct delivery *d;

	if (json_unpack(j, "{s:s, s:s, s:s, s:I, s:o, s:i, s:i, s:I, s:I, s:I, s:i, s:s}", "id", &id, "kind", &kind,
			"deployment", &deployment, "at", &at, "data", &n.data, "state", &state, "attempts", &attempts,
			"queued", &queued, "next", &next, "last", &last, "status", &status, "error", &error) != 0 ||
	    (k = notice_kind_parse(kind)) == -1 || state < 0 || state > DELIVERY_DEAD || !json_is_object(n.data))
		return;
	n.kind = (enum notice_kind)k;
	n.at_us = at;
	snprintf(n.id, sizeof(n.id), "%s", id);
	snprintf(n.deployment, sizeof(n.deployment), "%s", deployment);
	if ((d = add(e, &n, (enum delivery_state)state)) == NULL)
		return;
	d->attempts = attempts > 0 ? (unsigned)attempts : 0;
	d->queued_us = queued;
	d->next_us = next;
	d->last_us = last;
	d->last_status = status;
	snprintf(d->last_error, sizeof(d->last_error), "%s", error);
}

bool
outbox_unpack(struct outbox *o, struct changes *c, const json_t *j)
{
	json_t *list = json_object_get(j, "endpoints"), *one, *d;
	size_t i, k;

	if (json_integer_value(json_object_get(j, "version")) != FILE_VERSION || !json_is_array(list))
		return false;
	json_array_foreach(list, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));
		struct receiver *e = name != NULL ? outbox_find(o, name) : NULL;

		if (e == NULL)
			continue;
		e->gone = json_is_true(json_object_get(one, "gone"));
		e->n_delivered = (uint64_t)json_integer_value(json_object_get(one, "delivered"));
		e->n_dead = (uint64_t)json_integer_value(json_object_get(one, "dead"));
		json_array_foreach(json_object_get(one, "deliveries"), k, d)
		{
			unpack_delivery(e, d);
		}
	}
	return changes_unpack(c, json_object_get(j, "changes"));
}

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return fdatasync(fd);
}

int
outbox_write(const json_t *j, const char *dir, char *err, size_t err_size)
{
	char *text = json_dumps(j, JSON_COMPACT);
	char path[4200], temp[4200];
	int fd = -1, dir_fd, bad;

	snprintf(path, sizeof(path), "%s/" FILE_NAME, dir);
	snprintf(temp, sizeof(temp), "%s/" FILE_NAME ".new", dir);
	bad = text == NULL || (fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) == -1 ||
	      write_all(fd, text, strlen(text)) == -1;
	if (fd != -1)
		bad |= close(fd) == -1;
	bad = bad || rename(temp, path) == -1;
	if (!bad && (dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) != -1) {
		fsync(dir_fd);
		close(dir_fd);
	}
	if (bad)
		snprintf(err, err_size, "cannot write %s: %s", path, strerror(errno));
	free(text);
	return bad ? -1 : 0;
}

json_t *
outbox_read(const char *dir, char *err, size_t err_size)
{
	char path[4200], aside[4200];
	json_error_t error;
	json_t *j;

	*err = '\0';
	snprintf(path, sizeof(path), "%s/" FILE_NAME, dir);
	if (access(path, F_OK) == -1)
		return NULL;
	if ((j = json_load_file(path, JSON_REJECT_DUPLICATES, &error)) != NULL)
		return j;
	snprintf(aside, sizeof(aside), "%s.bad", path);
	snprintf(err, err_size, "%s cannot be read (%s) and is now %s", path, error.text, aside);
	rename(path, aside);
	return NULL;
}
