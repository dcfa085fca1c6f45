/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "collector/api_thread.h"
#include "collector/http/http.h"
#include "collector/loop.h"

struct api_thread {
	struct event_base *base;
	struct api *api;
	struct loop *loop;
};

static void
reload(void *arg)
{
	api_reload(((struct api_thread *)arg)->api);
}
static void
drain(void *arg)
{
	api_drain(((struct api_thread *)arg)->api);
}
static bool
drained(void *arg)
{
	return api_drained(((struct api_thread *)arg)->api);
}

static const struct loop_ops ops = { .name = "api", .reload = reload, .drain = drain, .drained = drained };

static void
release(struct api_thread *t)
{
	api_free(t->api);
	loop_free(t->loop);
	if (t->base != NULL)
		event_base_free(t->base);
	free(t);
}

struct api_thread *
api_thread_start(const struct api_env *env, const char *addr, char *err, size_t err_size)
{
	struct api_thread *t = calloc(1, sizeof(*t));
	int fd;

	snprintf(err, err_size, "out of memory");
	if (t == NULL)
		return NULL;
	if ((t->base = event_base_new()) == NULL || (t->loop = loop_new(t->base, &ops, t)) == NULL ||
	    (t->api = api_new(t->base, env, err, err_size)) == NULL ||
	    (fd = http_bind(addr, false, err, err_size)) == -1)
		goto fail;
	if (api_listen(t->api, fd) == -1 || loop_start(t->loop) == -1) {
		snprintf(err, err_size, "cannot serve the API: out of memory or threads");
		goto fail;
	}
	return t;
fail:
	release(t);
	return NULL;
}

uint16_t
api_thread_port(const struct api_thread *t)
{
	return api_port(t->api);
}
void
api_thread_wake(struct api_thread *t)
{
	api_wake(t->api);
}
void
api_thread_reload(struct api_thread *t)
{
	loop_reload(t->loop);
}

void
api_thread_stop(struct api_thread *t, uint64_t timeout_ms)
{
	if (t == NULL)
		return;
	loop_stop(t->loop, timeout_ms);
	release(t);
}
