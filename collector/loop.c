/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/mailbox.h"
#include "collector/loop.h"

struct loop {
	struct event_base *base;
	const struct loop_ops *ops;
	void *arg;
	struct mailbox *box;
	struct mail nudge;
	struct event *wake, *poll;
	atomic_bool nudged, reload, stop;
	uint64_t grace_ms;
	int64_t deadline_us; /* of draining; 0: not draining */
	bool started;
	pthread_t thread;
};

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	/* First take the mail, then allow another, then look: no nudge is lost. */
	mailbox_take(l->box);
	atomic_store(&l->nudged, false);
	if (atomic_exchange(&l->reload, false))
		l->ops->reload(l->arg);
	if (atomic_load(&l->stop) && l->deadline_us == 0) {
		l->deadline_us = clock_boot_us() + (int64_t)l->grace_ms * 1000;
		l->ops->drain(l->arg);
	}
}

/* Keeps the loop turning, so that drained() and the deadline are looked at. */
static void
on_poll(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void *
run(void *arg)
{
	struct loop *l = arg;
	static const struct timeval often = { 0, 50000 };

	pthread_setname_np(pthread_self(), l->ops->name);
	if (l->ops->nice > 0)
		setpriority(PRIO_PROCESS, (id_t)gettid(), l->ops->nice);
	event_add(l->poll, &often);
	while (l->deadline_us == 0 || (!l->ops->drained(l->arg) && clock_boot_us() < l->deadline_us)) {
		event_base_loop(l->base, EVLOOP_ONCE);
		if (l->ops->turn != NULL)
			l->ops->turn(l->arg);
	}
	return NULL;
}

struct loop *
loop_new(struct event_base *base, const struct loop_ops *ops, void *arg)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->base = base;
	l->ops = ops;
	l->arg = arg;
	if ((l->box = mailbox_new()) == NULL ||
	    (l->wake = event_new(base, mailbox_fd(l->box), EV_READ | EV_PERSIST, on_wake, l)) == NULL ||
	    (l->poll = event_new(base, -1, EV_PERSIST, on_poll, l)) == NULL || event_add(l->wake, NULL) == -1) {
		loop_free(l);
		return NULL;
	}
	return l;
}

int
loop_start(struct loop *l)
{
	l->started = pthread_create(&l->thread, NULL, run, l) == 0;
	return l->started ? 0 : -1;
}

static void
nudge(struct loop *l)
{
	if (!atomic_exchange(&l->nudged, true))
		mailbox_post(l->box, &l->nudge);
}

void
loop_reload(struct loop *l)
{
	atomic_store(&l->reload, true);
	nudge(l);
}

void
loop_stop(struct loop *l, uint64_t timeout_ms)
{
	if (!l->started)
		return;
	l->grace_ms = timeout_ms;
	atomic_store(&l->stop, true);
	nudge(l);
	pthread_join(l->thread, NULL);
	l->started = false;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	if (l->wake != NULL)
		event_free(l->wake);
	if (l->poll != NULL)
		event_free(l->poll);
	mailbox_free(l->box);
	free(l);
}
