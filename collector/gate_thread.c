/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/logline.h"
#include "collector/gate/ingest.h"
#include "collector/gate/intake.h"
#include "collector/gate/stream.h"
#include "collector/gate_thread.h"
#include "collector/loop.h"

/* A batch of 512 KiB folds in 2 to 5 ms. */
#define BEHIND_HOLD   4
#define BEHIND_RESUME 2

struct gate_thread {
	struct gate gate;
	struct ingest *ingest;
	struct stream *stream;
	struct event *outcomes, *second, *look_again;
	bool held;
	struct loop *loop;
};

static void
on_outcomes(evutil_socket_t fd, short what, void *arg)
{
	struct gate_thread *t = arg;

	(void)fd;
	(void)what;
	intake_dispatch(t->gate.intake);
}

static void
on_second(evutil_socket_t fd, short what, void *arg)
{
	struct gate_thread *t = arg;

	(void)fd;
	(void)what;
	roster_flush(t->gate.roster, t->gate.intake, clock_wall_us(),
		     log_pressure(t->gate.env->log) >= LOG_PRESSURE_THIN_PRESENCE);
}

/* Verdicts must not wait behind a flood: past a few batches that the ledger has not folded,
 * senders wait instead, in their own socket buffers. */
static void
mind_the_ledger(struct gate_thread *t)
{
	static const struct timeval soon = { 0, 2000 };
	uint64_t behind = t->gate.env->behind(t->gate.env->arg);

	if (behind > 0) /* it is the ledger that is slow: what is on its way counts too */
		behind += intake_in_flight(t->gate.intake);
	if (behind > (t->held ? BEHIND_RESUME : BEHIND_HOLD)) {
		if (!t->held)
			intake_hold(t->gate.intake, true);
		t->held = true;
		evtimer_add(t->look_again, &soon);
	} else if (t->held) {
		t->held = false;
		intake_hold(t->gate.intake, false);
	}
}

static void
on_look_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	mind_the_ledger(arg);
}

static void
turn(void *arg)
{
	struct gate_thread *t = arg;

	mind_the_ledger(t);
	intake_flush(t->gate.intake);
	stream_reap(t->stream);
}

static void
reload(void *arg)
{
	ingest_reload(((struct gate_thread *)arg)->ingest);
}

static void
drain(void *arg)
{
	struct gate_thread *t = arg;

	ingest_drain(t->ingest);
	stream_drain(t->stream);
}

static bool
drained(void *arg)
{
	const struct gate_thread *t = arg;

	return ingest_drained(t->ingest) && stream_drained(t->stream) && intake_in_flight(t->gate.intake) == 0;
}

static const struct loop_ops ops = {
	.name = "gate", .nice = 10, .turn = turn, .reload = reload, .drain = drain, .drained = drained
};

static void
release(struct gate_thread *t)
{
	stream_free(t->stream);
	ingest_free(t->ingest);
	if (t->outcomes != NULL)
		event_free(t->outcomes);
	if (t->second != NULL)
		event_free(t->second);
	if (t->look_again != NULL)
		event_free(t->look_again);
	loop_free(t->loop);
	roster_free(t->gate.roster);
	if (t->gate.intake != NULL && intake_in_flight(t->gate.intake) == 0)
		intake_free(t->gate.intake);
	if (t->gate.base != NULL)
		event_base_free(t->gate.base);
	free(t);
}

struct gate_thread *
gate_thread_start(const struct gate_env *env, uint32_t number, roster_find *find, void *arg, const char *http_addr,
		  const char *stream_addr, char *err, size_t err_size)
{
	struct gate_thread *t = calloc(1, sizeof(*t));
	struct gate *g;
	static const struct timeval second = { 1, 0 };

	if (t == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	g = &t->gate;
	g->env = env;
	g->number = number;
	snprintf(err, err_size, "out of memory");
	if ((g->base = event_base_new()) == NULL || (g->intake = intake_new(env->log)) == NULL ||
	    (g->roster = roster_new(number, find, arg)) == NULL || (t->loop = loop_new(g->base, &ops, t)) == NULL ||
	    (t->outcomes = event_new(g->base, intake_fd(g->intake), EV_READ | EV_PERSIST, on_outcomes, t)) == NULL ||
	    (t->second = event_new(g->base, -1, EV_PERSIST, on_second, t)) == NULL ||
	    (t->look_again = evtimer_new(g->base, on_look_again, t)) == NULL)
		goto fail;
	if ((t->ingest = ingest_new(g, http_addr, err, err_size)) == NULL ||
	    (t->stream = stream_new(g, stream_addr, err, err_size)) == NULL)
		goto fail;
	event_add(t->outcomes, NULL);
	event_add(t->second, &second);
	if (loop_start(t->loop) == -1) {
		snprintf(err, err_size, "cannot start a thread");
		goto fail;
	}
	return t;
fail:
	release(t);
	return NULL;
}

uint16_t
gate_thread_http_port(const struct gate_thread *t)
{
	return ingest_port(t->ingest);
}
uint16_t
gate_thread_stream_port(const struct gate_thread *t)
{
	return stream_port(t->stream);
}

void
gate_thread_reload(struct gate_thread *t)
{
	loop_reload(t->loop);
}

void
gate_thread_stop(struct gate_thread *t, uint64_t timeout_ms)
{
	if (t == NULL)
		return;
	loop_stop(t->loop, timeout_ms);
	if (intake_in_flight(t->gate.intake) > 0)
		log_warn("gate", "stopped with records in flight; their senders were not answered and will send again");
	release(t);
}
