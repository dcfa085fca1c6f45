/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/crypto.h"
#include "base/logline.h"
#include "collector/fold/fold.h"
#include "collector/notify/notify.h"
#include "collector/notify/outbox.h"
#include "collector/notify/transfer.h"

#define LOOK_MS     1000 /* without a wake: freshness, alerts and retries have no event */
#define STOP_US     2000000
#define SAVE_GAP_US 200000 /* outcomes of deliveries are noted together */

struct notify {
	struct fold *fold;
	char dir[4096], source[64], public_url[WEBHOOK_TEXT_MAX];
	struct transfers *transfers; /* of the thread, but for waking */
	atomic_bool stop;
	pthread_t thread;
	pthread_mutex_t lock; /* of everything below */
	struct changes changes;
	struct outbox outbox;
	bool news;    /* notices were made since the file was written */
	bool unsaved; /* the last write failed */
	int64_t saved_us;
	struct webhooks *fresh; /* read again, to be taken over by the thread */
};

static struct message_context
context(const struct notify *n)
{
	return (struct message_context){ .source = n->source, .public_url = n->public_url };
}

/* ---- notices ---- */

static void
on_notice(void *arg, enum notice_kind kind, const char *id, const char *deployment, int64_t at_us, json_t *data)
{
	struct notify *n = arg;
	struct notice notice = { .kind = kind, .at_us = at_us, .data = data };

	snprintf(notice.id, sizeof(notice.id), "%s", id);
	snprintf(notice.deployment, sizeof(notice.deployment), "%s", deployment);
	for (size_t i = 0; i < n->outbox.n; i++)
		if (data != NULL && outbox_wants(n->outbox.list[i], &notice))
			outbox_put(&n->outbox, n->outbox.list[i], &notice, clock_wall_us());
	json_decref(data);
	n->news = true;
}

static void
look(struct notify *n)
{
	const struct fold_view *v;

	if (!fold_caught_up(n->fold) || fold_failed(n->fold) != NULL)
		return; /* what was halted before a restart is not lifted by it */
	v = fold_view_get(n->fold);
	if (changes_look(&n->changes, v, clock_wall_us(), on_notice, n)) {
		n->outbox.dirty = n->news = true;
		for (size_t i = 0; i < n->outbox.n; i++)
			n->outbox.list[i]->push_us = 0; /* alerts at once */
	}
	fold_view_put(n->fold, v);
}

/* Before anything that is new is sent, it is on disk. */
static void
save(struct notify *n, bool now)
{
	char err[512];
	json_t *j;

	if (!n->outbox.dirty || (!now && !n->news && clock_boot_us() - n->saved_us < SAVE_GAP_US))
		return;
	n->outbox.dirty = n->news = false;
	n->saved_us = clock_boot_us();
	j = outbox_pack(&n->outbox, &n->changes);
	pthread_mutex_unlock(&n->lock);
	if (j == NULL || outbox_write(j, n->dir, err, sizeof(err)) == -1) {
		if (!n->unsaved)
			log_error("notify", "%s: notices may be sent again after a restart",
				  j != NULL ? err : "out of memory");
		n->unsaved = true;
	} else
		n->unsaved = false;
	json_decref(j);
	pthread_mutex_lock(&n->lock);
	n->outbox.dirty |= n->unsaved;
}

/* ---- deliveries ---- */

static void
say_outcome(const struct receiver *e, bool went_well, unsigned failures, const char *error)
{
	if (!went_well && failures == 1)
		log_warn("notify", "%s does not take what it is sent: %s", e->hook.name,
			 *error != '\0' ? error : "refused");
	else if (went_well && failures > 0)
		log_info("notify", "%s takes notices again after %u failures", e->hook.name, failures);
}

static void
on_delivered(void *arg, const struct transfer_result *r)
{
	struct delivery *d = arg;
	struct receiver *e = d->to;
	struct notify *n = e->owner;
	unsigned failures;

	pthread_mutex_lock(&n->lock);
	failures = e->failures;
	outbox_settle(&n->outbox, d, r->status, r->retry_after_s, r->error, clock_wall_us());
	say_outcome(e, r->status / 100 == 2, r->status / 100 == 2 ? failures : e->failures, r->error);
	pthread_mutex_unlock(&n->lock);
}

static void
begin(struct notify *n, struct delivery *d)
{
	struct message_context c = context(n);
	struct message m;

	d->in_flight = true;
	if (message_make(&d->to->hook, &c, &d->notice, clock_wall_us(), &m) != 0 ||
	    transfer_begin(n->transfers, &d->to->hook, &m, on_delivered, d) != 0)
		outbox_settle(&n->outbox, d, 0, 0, "out of memory", clock_wall_us());
}

/* ---- alerts ---- */

static void
on_pushed(void *arg, const struct transfer_result *r)
{
	struct receiver *e = arg;
	struct notify *n = e->owner;
	const bool well = r->status / 100 == 2;
	unsigned failures;
	uint64_t wait_ms = e->hook.resend_ms;

	pthread_mutex_lock(&n->lock);
	e->pushing = false;
	e->last_us = clock_wall_us();
	e->last_status = r->status;
	snprintf(e->last_error, sizeof(e->last_error), "%s", r->error);
	failures = e->failures;
	e->failures = well ? 0 : e->failures + 1;
	if (well)
		e->n_delivered++;
	else if (outbox_backoff_ms(e->failures, UINT64_MAX) < wait_ms)
		wait_ms = outbox_backoff_ms(e->failures, random_u64());
	/* a change that came meanwhile is sent at once */
	if (e->push_us != 0)
		e->push_us = clock_boot_us() + (int64_t)wait_ms * 1000;
	counter_add(well ? COUNTER_webhooks_delivered : COUNTER_webhooks_retried, 1);
	say_outcome(e, well, well ? failures : e->failures, r->error);
	pthread_mutex_unlock(&n->lock);
}

/* Send everything that fires, and what was resolved lately; nothing while there is neither. */
static void
push(struct notify *n, struct receiver *e, int64_t *wait_us_out)
{
	struct message_context c = context(n);
	int64_t now = clock_boot_us();
	struct message m;
	size_t alerts;

	if (e->pushing || n->changes.first)
		return;
	if (e->push_us > now) {
		if (e->push_us - now < *wait_us_out)
			*wait_us_out = e->push_us - now;
		return;
	}
	e->push_us = now + (int64_t)e->hook.resend_ms * 1000;
	if (message_alerts(&e->hook, &c, &n->changes, clock_wall_us(), &m, &alerts) != 0)
		return;
	e->pushed = alerts;
	if (alerts == 0 && !e->ping) {
		message_fini(&m);
		return;
	}
	e->ping = false;
	e->pushing = transfer_begin(n->transfers, &e->hook, &m, on_pushed, e) == 0;
}

/* ---- the thread ---- */

static void
on_drop(void *arg, struct receiver *e)
{
	struct notify *n = arg;
	struct delivery *d;

	transfer_drop(n->transfers, e);
	TAILQ_FOREACH(d, &e->all, entry)
	transfer_drop(n->transfers, d);
}

/* The endpoints that notify_reload() read. */
static void
take_over(struct notify *n)
{
	if (n->fresh == NULL)
		return;
	if (outbox_configure(&n->outbox, n->fresh, on_drop, n) != 0)
		return; /* out of memory: at the next turn */
	for (size_t i = 0; i < n->outbox.n; i++)
		n->outbox.list[i]->owner = n;
	webhooks_free(n->fresh);
	n->fresh = NULL;
}

static void
turn(struct notify *n, int64_t *wait_us)
{
	struct delivery *d;

	take_over(n);
	look(n);
	save(n, false);
	for (size_t i = 0; i < n->outbox.n; i++) {
		struct receiver *e = n->outbox.list[i];

		if (e->hook.format == WEBHOOK_ALERTMANAGER)
			push(n, e, wait_us);
		while ((d = outbox_due(e, clock_wall_us(), wait_us)) != NULL)
			begin(n, d);
	}
	if (n->outbox.dirty && *wait_us > SAVE_GAP_US)
		*wait_us = SAVE_GAP_US;
}

static void *
run(void *arg)
{
	struct notify *n = arg;
	int64_t until;

	pthread_setname_np(pthread_self(), "notify");
	while (!atomic_load(&n->stop)) {
		int64_t wait_us = (int64_t)LOOK_MS * 1000;

		pthread_mutex_lock(&n->lock);
		turn(n, &wait_us);
		pthread_mutex_unlock(&n->lock);
		transfers_run(n->transfers, (int)(wait_us / 1000) + 1);
	}
	/* What is on its way may arrive; the rest is sent by the next one. */
	until = clock_boot_us() + STOP_US;
	while (transfers_busy(n->transfers) && clock_boot_us() < until)
		transfers_run(n->transfers, 50);
	pthread_mutex_lock(&n->lock);
	save(n, true);
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

/* ---- life ---- */

static void
release(struct notify *n)
{
	transfers_free(n->transfers);
	outbox_fini(&n->outbox);
	changes_fini(&n->changes);
	webhooks_free(n->fresh);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static struct webhooks *
load(const char *file, char *err, size_t err_size)
{
	return *file != '\0' ? webhooks_load(file, err, err_size) : webhooks_parse("", 0, err, err_size);
}

static void
set_public_url(struct notify *n, const char *url)
{
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		len--;
	snprintf(n->public_url, sizeof(n->public_url), "%.*s", (int)len, url);
}

static void
recall(struct notify *n)
{
	char err[512];
	json_t *j = outbox_read(n->dir, err, sizeof(err));

	if (*err != '\0')
		log_warn("notify", "%s; what is halted is told again", err);
	if (j != NULL && !outbox_unpack(&n->outbox, &n->changes, j))
		log_warn("notify", "the notices in %s are of another log; what is halted is told again", n->dir);
	json_decref(j);
}

struct notify *
notify_start(const struct notify_options *o, char *err, size_t err_size)
{
	struct notify *n = calloc(1, sizeof(*n));
	char log[33];

	if (n == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&n->lock, NULL);
	n->fold = o->fold;
	snprintf(n->dir, sizeof(n->dir), "%s", o->dir);
	snprintf(n->source, sizeof(n->source), "/faultline/%s", hex_encode(o->log, sizeof(o->log), log));
	set_public_url(n, o->public_url);
	changes_init(&n->changes, o->log);
	outbox_init(&n->outbox);
	if ((n->fresh = load(o->file, err, err_size)) == NULL)
		goto fail;
	snprintf(err, err_size, "webhooks: out of memory or threads");
	if ((n->transfers = transfers_new()) == NULL)
		goto fail;
	take_over(n);
	if (n->fresh != NULL)
		goto fail;
	recall(n);
	if (pthread_create(&n->thread, NULL, run, n) != 0)
		goto fail;
	return n;
fail:
	release(n);
	return NULL;
}

void
notify_stop(struct notify *n)
{
	if (n == NULL)
		return;
	atomic_store(&n->stop, true);
	transfers_wake(n->transfers);
	pthread_join(n->thread, NULL);
	release(n);
}

void
notify_wake(struct notify *n)
{
	transfers_wake(n->transfers);
}

int
notify_reload(struct notify *n, const char *file, const char *public_url, char *err, size_t err_size)
{
	struct webhooks *w = load(file, err, err_size), *unused;

	if (w == NULL)
		return -1;
	pthread_mutex_lock(&n->lock);
	unused = n->fresh;
	n->fresh = w;
	set_public_url(n, public_url);
	pthread_mutex_unlock(&n->lock);
	webhooks_free(unused);
	transfers_wake(n->transfers);
	return 0;
}

/* ---- for the API ---- */

static json_t *
time_or_null(int64_t us)
{
	char buf[CLOCK_RFC3339_SIZE];

	return us > 0 ? json_string(clock_rfc3339(us, buf)) : json_null();
}

static json_t *
describe_events(unsigned events)
{
	json_t *list = json_array();

	if (events & WEBHOOK_HALT)
		json_array_append_new(list, json_string("halt"));
	if (events & WEBHOOK_VERDICT)
		json_array_append_new(list, json_string("verdict"));
	if (events & WEBHOOK_DEPLOYMENT)
		json_array_append_new(list, json_string("deployment"));
	if (events & WEBHOOK_ALARM)
		json_array_append_new(list, json_string("alarm"));
	return list;
}

static json_t *
describe_one(const struct receiver *e)
{
	const bool alerts = e->hook.format == WEBHOOK_ALERTMANAGER;
	char origin[WEBHOOK_TEXT_MAX];
	json_t *j = json_object();

	webhook_origin(&e->hook, origin, sizeof(origin));
	json_object_set_new(j, "name", json_string(e->hook.name));
	json_object_set_new(j, "format", json_string(webhook_format_name(e->hook.format)));
	json_object_set_new(j, "origin", json_string(origin));
	json_object_set_new(j, "signed", json_boolean(e->hook.secret[0] != '\0'));
	json_object_set_new(j, "events", alerts ? json_null() : describe_events(e->hook.events));
	json_object_set_new(j, "deployments",
			    e->hook.deployments[0] != '\0' ? json_string(e->hook.deployments) : json_null());
	json_object_set_new(j, "state",
			    json_string(e->gone           ? "gone"
					: e->failures > 0 ? "failing"
					: e->last_us > 0  ? "ok"
							  : "idle"));
	json_object_set_new(j, "failures", json_integer(e->failures));
	json_object_set_new(j, "delivered", json_integer((json_int_t)e->n_delivered));
	json_object_set_new(j, "pending", json_integer((json_int_t)e->n[DELIVERY_PENDING]));
	json_object_set_new(j, "dead", json_integer((json_int_t)e->n[DELIVERY_DEAD]));
	json_object_set_new(j, "dead_ever", json_integer((json_int_t)e->n_dead));
	json_object_set_new(j, "last_attempt", time_or_null(e->last_us));
	json_object_set_new(j, "last_status", e->last_status != 0 ? json_integer(e->last_status) : json_null());
	json_object_set_new(j, "last_error", e->last_error[0] != '\0' ? json_string(e->last_error) : json_null());
	if (alerts)
		json_object_set_new(j, "alerts", json_integer((json_int_t)e->pushed));
	return j;
}

static json_t *
describe_delivery(const struct delivery *d)
{
	static const char *const states[] = { "pending", "delivered", "dead" };
	json_t *j = json_object();

	json_object_set_new(j, "id", json_string(d->notice.id));
	json_object_set_new(j, "type", json_string(notice_kind_name(d->notice.kind)));
	json_object_set_new(j, "deployment",
			    d->notice.deployment[0] != '\0' ? json_string(d->notice.deployment) : json_null());
	json_object_set_new(j, "time", time_or_null(d->notice.at_us));
	json_object_set_new(j, "state", json_string(states[d->state]));
	json_object_set_new(j, "attempts", json_integer(d->attempts));
	json_object_set_new(j, "queued", time_or_null(d->queued_us));
	json_object_set_new(j, "last_attempt", time_or_null(d->last_us));
	json_object_set_new(j, "next_attempt", d->state == DELIVERY_PENDING ? time_or_null(d->next_us) : json_null());
	json_object_set_new(j, "last_status", d->last_status != 0 ? json_integer(d->last_status) : json_null());
	json_object_set_new(j, "last_error", d->last_error[0] != '\0' ? json_string(d->last_error) : json_null());
	return j;
}

static json_t *
describe_with_deliveries(const struct receiver *e)
{
	json_t *j = describe_one(e), *list = json_array();
	const struct delivery *d;

	TAILQ_FOREACH_REVERSE(d, &e->all, delivery_list, entry)
	json_array_append_new(list, describe_delivery(d));
	json_object_set_new(j, "deliveries", list);
	return j;
}

char *
notify_describe(struct notify *n, const char *endpoint)
{
	json_t *j = NULL, *list;
	const struct receiver *e;
	char *text;

	pthread_mutex_lock(&n->lock);
	if (endpoint == NULL) {
		list = json_array();
		for (size_t i = 0; i < n->outbox.n; i++)
			json_array_append_new(list, describe_one(n->outbox.list[i]));
		j = json_pack("{s:o}", "webhooks", list);
	} else if ((e = outbox_find(&n->outbox, endpoint)) != NULL)
		j = describe_with_deliveries(e);
	pthread_mutex_unlock(&n->lock);
	text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	return text;
}

int
notify_redeliver(struct notify *n, const char *endpoint, const char *id)
{
	struct receiver *e;
	struct delivery *d;
	int again = -1;

	pthread_mutex_lock(&n->lock);
	if ((e = outbox_find(&n->outbox, endpoint)) != NULL) {
		again = 0;
		TAILQ_FOREACH(d, &e->all, entry)
		if (id != NULL ? d->state != DELIVERY_PENDING && strcmp(d->notice.id, id) == 0
			       : d->state == DELIVERY_DEAD) {
			outbox_again(&n->outbox, d, clock_wall_us());
			again++;
		}
		n->news |= again > 0;
	}
	pthread_mutex_unlock(&n->lock);
	transfers_wake(n->transfers);
	return again;
}

int
notify_ping(struct notify *n, const char *endpoint, char out[NOTIFY_ID_SIZE])
{
	struct notice notice = { .kind = NOTICE_PING, .at_us = clock_wall_us() };
	struct receiver *e;
	uint8_t random[16];

	random_bytes(random, sizeof(random));
	memcpy(notice.id, "evt-", 4);
	hex_encode(random, sizeof(random), notice.id + 4);
	memcpy(out, notice.id, NOTIFY_ID_SIZE);
	notice.data = json_pack("{s:s}", "message", "Faultline says hello: this endpoint works.");
	pthread_mutex_lock(&n->lock);
	if ((e = outbox_find(&n->outbox, endpoint)) != NULL && e->hook.format == WEBHOOK_ALERTMANAGER) {
		e->ping = true;
		e->push_us = 0;
	} else if (e != NULL && notice.data != NULL) {
		outbox_put(&n->outbox, e, &notice, clock_wall_us());
		n->news = true;
	}
	pthread_mutex_unlock(&n->lock);
	json_decref(notice.data);
	transfers_wake(n->transfers);
	return e != NULL ? 0 : -1;
}
